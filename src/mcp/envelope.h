// Writes the messages that leave the gateway. What was judged is spliced byte for byte; only the
// envelope is ours, and on shared connections the progress token. Pure functions; any thread.
// Requests and notifications are one line each; answers may hold the line breaks of what is
// spliced (single_line() for stdio).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/verdict.h"
#include "json/json.h"
#include "mcp/message.h"
#include "mcp/params.h"

namespace zwinger::mcp {

// JSON-RPC and MCP error codes.
inline constexpr int kParseError = -32700;
inline constexpr int kInvalidRequest = -32600;
inline constexpr int kMethodNotFound = -32601;
inline constexpr int kInvalidParams = -32602;
inline constexpr int kDenied = -32001;  // design section 5, "Denial"

// `params` is source text of an object; empty for none.
[[nodiscard]] std::string write_request(std::int64_t id, std::string_view method,
                                        std::string_view params);
[[nodiscard]] std::string write_notification(std::string_view method, std::string_view params);
// A client's request on a connection that others use too: its progress token is replaced by `id`,
// or taken out, so that two clients' tokens cannot meet.
[[nodiscard]] std::string write_shared_request(std::int64_t id, std::string_view method,
                                               const RequestParams& params, bool wants_progress);

// What we say of ourselves to an upstream: params of initialize.
[[nodiscard]] std::string own_initialize_params(std::string_view client_version);
[[nodiscard]] std::string write_cancelled(std::int64_t id,
                                          std::optional<std::string_view> reason_source);
// A cancellation (a notification whose params were read) with the id that its receiver knows.
[[nodiscard]] std::string rewrite_cancelled(const Message& message, std::int64_t id);
// `params` of a notification with one member's value replaced (source text), the rest spliced.
[[nodiscard]] std::string replace_member(json::Value object, std::string_view member,
                                         std::string_view value_source);

// `id` is the source text of the request's id, or "null".
[[nodiscard]] std::string write_result(std::string_view id, std::string_view result_source);
[[nodiscard]] std::string write_error(std::string_view id, std::string_view error_source);
// The result of initialize where we answer it ourselves: this revision, `capabilities` (source text
// of an object), our own name, and instructions (source text of a string) where there are any.
[[nodiscard]] std::string own_initialize_result(std::string_view revision,
                                                std::string_view capabilities,
                                                std::optional<std::string_view> instructions,
                                                std::string_view version);

// What a denied or failed request is told: error -32001 with data {reason, rules, callId,
// retryable}.
struct Denial {
  Code reason = Code::internal;
  std::string text;
  std::vector<std::string> rules;
  std::string at;
  std::string call_id;
  int rpc_code = kDenied;
};
[[nodiscard]] std::string write_denial(std::string_view id, const Denial& denial);
// What a message is told that could not be read or not be taken: -32700 for what is not JSON, else
// -32600.
[[nodiscard]] std::string write_unreadable(std::string_view id, const Error& error);

// Where the entries of a list are, and what names them.
struct ListShape {
  std::string_view array;  // "tools"
  std::string_view key;    // "name"
};
// The shape of a list method's result; nothing for other methods.
[[nodiscard]] std::optional<ListShape> list_shape(Method method);

// A list result without the entries that `keep` refuses; every other member and every kept entry is
// spliced untouched. Errors: upstream_invalid_message when the array is none, or an entry no object
// with a string of this key.
struct FilteredList {
  std::string result;
  std::uint64_t kept = 0;
  std::uint64_t hidden = 0;
};
[[nodiscard]] Result<FilteredList> filter_list(
    json::Value result, const ListShape& shape,
    const std::function<bool(std::string_view key)>& keep);

// The same JSON with the line breaks between its tokens taken out (inside strings JSON has none).
[[nodiscard]] std::string single_line(std::string message);

}  // namespace zwinger::mcp
