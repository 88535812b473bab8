// JSON-RPC 2.0 messages as MCP uses them (revision 2025-11-25, basic protocol). Values; any thread.
//
// A message is decided from its body alone. Ids are kept as their source text, so that they go back
// byte for byte.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "json/json.h"

namespace zwinger::mcp {

enum class MessageKind { request, notification, result, error };

// Views into `document`; they stay valid when the message is moved.
struct Message {
  json::Document document;
  MessageKind kind = MessageKind::notification;
  std::string_view
      id;  // source text of the id: a string literal or an integer; empty for notifications
  std::string_view method;  // decoded; empty for answers
  std::optional<json::Value> params;
  std::optional<json::Value> result;  // of a result
  std::optional<json::Value> error;   // of an error
};

// Why bytes are no message, and the id to answer to where one could be read ("null" otherwise).
struct BadMessage {
  Error error;
  std::string id = "null";
};

inline constexpr std::size_t kMaxIdBytes = 256;  // of source text
inline constexpr std::size_t kMaxMethodBytes = 128;

// Errors: json_* for what is not JSON, rpc_batch for an array, rpc_invalid for the rest: jsonrpc
// other than "2.0", an id that is no string or integer (null and fractions included), method
// together with result or error, params that are neither object nor array, an error object without
// integer code and string message.
[[nodiscard]] std::expected<Message, BadMessage> parse_message(std::string bytes,
                                                               const json::Limits& limits);

// Ids of equal value in different spelling ("\u0061" and "a") name the same request: the key to
// compare by.
[[nodiscard]] std::string id_key(json::Value id);

}  // namespace zwinger::mcp
