// Writes the messages that leave the gateway. What was judged is spliced byte for byte; only the
// envelope, and the progress token in `_meta`, are ours. Pure functions; any thread. No function's
// output contains a newline outside a spliced span; single_line() is for stdio, where a message
// must be one line.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/verdict.h"
#include "json/json.h"
#include "mcp/params.h"

namespace zwinger::mcp {

// JSON-RPC and MCP error codes.
inline constexpr int kParseError = -32700;
inline constexpr int kInvalidRequest = -32600;
inline constexpr int kMethodNotFound = -32601;
inline constexpr int kInvalidParams = -32602;
inline constexpr int kDenied = -32001;  // design section 5, "Denial"

// Towards upstreams. `id` is ours, and is the progress token too when `wants_progress`.
[[nodiscard]] std::string write_initialize(std::int64_t id, std::string_view client_version);
[[nodiscard]] std::string write_initialized();
[[nodiscard]] std::string write_call(std::int64_t id, const CallParams& call, bool wants_progress);
[[nodiscard]] std::string write_list(std::int64_t id, const ListParams& list, bool wants_progress);
[[nodiscard]] std::string write_cancelled(std::int64_t id,
                                          std::optional<std::string_view> reason_source);

// Towards clients. `id` is the source text of the request's id, or "null".
[[nodiscard]] std::string write_result(std::string_view id, std::string_view result_source);
[[nodiscard]] std::string write_error(std::string_view id, std::string_view error_source);
// The answer to initialize: our revision, tools as the only capability, the upstream's own name and
// instructions.
[[nodiscard]] std::string initialize_result(const ServerInfo& server);
// An upstream's progress with the client's own token back in place; progress, total and message,
// and nothing else.
[[nodiscard]] std::string write_progress(const ProgressParams& progress,
                                         std::string_view token_source);

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

// A tools/list result without the tools that `keep` refuses; every other member and every kept tool
// is spliced untouched. Errors: upstream_invalid_message when `tools` is no array of objects with
// string names.
struct FilteredList {
  std::string result;
  std::uint64_t kept = 0;
  std::uint64_t hidden = 0;
};
[[nodiscard]] Result<FilteredList> filter_tools(
    json::Value result, const std::function<bool(std::string_view name)>& keep);

// The same JSON with the line breaks between its tokens taken out (inside strings JSON has none).
[[nodiscard]] std::string single_line(std::string message);

}  // namespace zwinger::mcp
