// The parameters of the methods that are passed on: what each field means, read strictly. Views
// into the message they were read from. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "json/json.h"

namespace zwinger::mcp {

// The protocol recommends at most 128 characters; a name stands in records and denials.
inline constexpr std::size_t kMaxToolName = 256;  // bytes

// tools/call (MCP 2025-11-25, server/tools, "Calling Tools").
struct CallParams {
  std::string_view name;
  std::optional<json::Value> arguments;  // an object
  std::optional<json::Value> meta;       // an object
};
// Errors: mcp_params with where = the field. A member that this build does not know is refused,
// because it could neither be judged nor dropped in silence; `task` (experimental) among them.
[[nodiscard]] Result<CallParams> read_call_params(const std::optional<json::Value>& params);

// tools/list.
struct ListParams {
  std::optional<json::Value> cursor;  // a string
  std::optional<json::Value> meta;
};
[[nodiscard]] Result<ListParams> read_list_params(const std::optional<json::Value>& params);

// initialize, from a client.
struct InitializeParams {
  std::string_view protocol_version;
  std::string_view client_name;
};
[[nodiscard]] Result<InitializeParams> read_initialize_params(
    const std::optional<json::Value>& params);

// initialize, an upstream's answer.
struct ServerInfo {
  std::string protocol_version;
  std::string server_info;                  // source text of the object
  std::optional<std::string> instructions;  // source text of the string
  bool has_tools = false;
};
[[nodiscard]] Result<ServerInfo> read_initialize_result(json::Value result);

// notifications/cancelled.
struct CancelledParams {
  json::Value request_id;
  std::optional<json::Value> reason;  // a string
};
[[nodiscard]] Result<CancelledParams> read_cancelled_params(
    const std::optional<json::Value>& params);

// notifications/progress, from an upstream. We choose integer tokens. Its message reaches the
// client before the outcome is recorded, so it is kept short.
inline constexpr std::size_t kMaxProgressMessage = 1024;
struct ProgressParams {
  std::int64_t token = 0;
  json::Value progress;                // a number
  std::optional<json::Value> total;    // a number
  std::optional<json::Value> message;  // a string of at most kMaxProgressMessage bytes of source
};
[[nodiscard]] Result<ProgressParams> read_progress_params(const std::optional<json::Value>& params);

// The progress token a request carries in `_meta`: a string or an integer. Errors: mcp_params.
[[nodiscard]] Result<std::optional<json::Value>> read_progress_token(
    const std::optional<json::Value>& meta);

}  // namespace zwinger::mcp
