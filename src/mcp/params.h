// The parameters of the methods that are passed on: what each field means for inspection, read
// strictly. Views into the message they were read from. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "json/json.h"
#include "mcp/revision.h"

namespace zwinger::mcp {

// The protocol recommends at most 128 characters; a name stands in records and denials.
inline constexpr std::size_t kMaxName = 256;  // bytes
inline constexpr std::size_t kMaxUri = std::size_t{8} << 10U;
inline constexpr std::size_t kMaxTaskId = 256;
inline constexpr std::size_t kMaxSource = std::size_t{64} << 10U;  // of a cursor or a token

// One request's parameters. What the method does not have stays empty.
struct RequestParams {
  std::optional<json::Value> params;          // all of them, an object
  std::optional<json::Value> meta;            // `_meta`, an object
  std::optional<json::Value> progress_token;  // a string or an integer
  std::string_view
      name;              // tools/call: the tool; prompts/get and completion of a prompt: the prompt
  std::string_view uri;  // resources/read, subscribe, unsubscribe; completion: the template's text
  std::optional<json::Value> arguments;     // tools/call: an object
  std::optional<json::Value> cursor;        // lists: a string
  bool as_task = false;                     // tools/call, sampling, elicitation with `task`
  std::string_view task_id;                 // tasks/get, result, cancel
  std::string_view protocol_version;        // initialize
  std::optional<json::Value> capabilities;  // initialize: an object
  std::string_view url;                     // elicitation/create in URL mode
};

// Errors: mcp_params with where = the field. A member of `params` that MCP does not define for the
// method is refused, because it could neither be judged nor dropped in silence; members of `_meta`
// pass.
[[nodiscard]] Result<RequestParams> read_request_params(Method method,
                                                        const std::optional<json::Value>& params);

// initialize, an upstream's answer.
struct ServerInfo {
  std::string result;  // source text of all of it
  std::string protocol_version;
  std::string capabilities;                 // source text of the object
  std::optional<std::string> instructions;  // source text of the string
  bool streamed = false;                    // it came as a stream of events
  std::optional<std::uint64_t> retry_ms;    // which said how long to wait before asking again
};
// Errors: mcp_params.
[[nodiscard]] Result<ServerInfo> read_initialize_result(json::Value result);

// notifications/cancelled, from either side.
struct CancelledParams {
  json::Value request_id;
  std::optional<json::Value> reason;  // a string
};
[[nodiscard]] Result<CancelledParams> read_cancelled_params(
    const std::optional<json::Value>& params);

// notifications/progress, from either side: progress and total are numbers, message a string.
struct ProgressParams {
  json::Value token;  // a string or an integer
};
[[nodiscard]] Result<ProgressParams> read_progress_params(const std::optional<json::Value>& params);

// `params` as an object with this string member: notifications/resources/updated (uri),
// notifications/tasks/status (taskId), notifications/elicitation/complete (elicitationId). Errors:
// mcp_params.
[[nodiscard]] Result<std::string_view> read_string_param(const std::optional<json::Value>& params,
                                                         std::string_view member);

// The task id of a CreateTaskResult ({"task": {"taskId": ...}}); nothing for any other result.
[[nodiscard]] std::optional<std::string_view> created_task(json::Value result);

// Whether capabilities (an object) declare this one: "elicitation", or "elicitation.url" for a
// member of it.
[[nodiscard]] bool declares(json::Value capabilities, std::string_view capability);

}  // namespace zwinger::mcp
