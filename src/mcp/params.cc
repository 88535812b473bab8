#include "mcp/params.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

namespace zwinger::mcp {

namespace {

std::unexpected<Error> wrong(std::string message, std::string where) {
  return fail(Code::mcp_params, std::move(message), std::move(where));
}

// Params as an object whose members are all in `known`; nothing where there are no params.
Result<std::optional<json::Value>> object_of(const std::optional<json::Value>& params,
                                             std::initializer_list<std::string_view> known) {
  if (!params) return std::nullopt;
  if (!params->is_object()) return wrong("params must be an object", "params");
  for (const json::Value member : params->children()) {
    if (std::ranges::find(known, member.name()) == known.end()) {
      // The name is the sender's, so it is not repeated in records.
      return wrong("params has a member that this gateway does not pass on", "params");
    }
  }
  return params;
}

// An optional member of a given kind.
Result<std::optional<json::Value>> member(const std::optional<json::Value>& object,
                                          std::string_view name, json::Kind kind) {
  if (!object) return std::nullopt;
  const auto found = object->find(name);
  if (found && found->kind() != kind) {
    return wrong(std::string(name) + " must be of kind " + std::string(json::to_string(kind)),
                 "params." + std::string(name));
  }
  return found;
}

bool is_token(json::Value value) {
  return value.is_string() || (value.is_number() && value.integer().has_value());
}

}  // namespace

Result<CallParams> read_call_params(const std::optional<json::Value>& params) {
  ZWINGER_TRY(const auto object, object_of(params, {"name", "arguments", "_meta"}));
  ZWINGER_TRY(const auto name, member(object, "name", json::Kind::string));
  ZWINGER_TRY(const auto arguments, member(object, "arguments", json::Kind::object));
  ZWINGER_TRY(const auto meta, member(object, "_meta", json::Kind::object));
  if (!name || name->string().empty())
    return wrong("tools/call needs the tool's name", "params.name");
  if (name->string().size() > kMaxToolName) {
    return wrong("a tool's name may have at most " + std::to_string(kMaxToolName) + " bytes",
                 "params.name");
  }
  return CallParams{.name = name->string(), .arguments = arguments, .meta = meta};
}

Result<ListParams> read_list_params(const std::optional<json::Value>& params) {
  ZWINGER_TRY(const auto object, object_of(params, {"cursor", "_meta"}));
  ZWINGER_TRY(const auto cursor, member(object, "cursor", json::Kind::string));
  ZWINGER_TRY(const auto meta, member(object, "_meta", json::Kind::object));
  return ListParams{.cursor = cursor, .meta = meta};
}

Result<InitializeParams> read_initialize_params(const std::optional<json::Value>& params) {
  if (!params || !params->is_object()) return wrong("initialize needs params", "params");
  ZWINGER_TRY(const auto version, member(params, "protocolVersion", json::Kind::string));
  ZWINGER_TRY(const auto capabilities, member(params, "capabilities", json::Kind::object));
  ZWINGER_TRY(const auto client, member(params, "clientInfo", json::Kind::object));
  if (!version || version->string().empty()) {
    return wrong("initialize needs protocolVersion", "params.protocolVersion");
  }
  if (!capabilities) return wrong("initialize needs capabilities", "params.capabilities");
  if (!client) return wrong("initialize needs clientInfo", "params.clientInfo");
  ZWINGER_TRY(const auto name, member(client, "name", json::Kind::string));
  return InitializeParams{.protocol_version = version->string(),
                          .client_name = name ? name->string() : std::string_view()};
}

Result<ServerInfo> read_initialize_result(json::Value result) {
  const std::optional<json::Value> object = result;
  ZWINGER_TRY(const auto version, member(object, "protocolVersion", json::Kind::string));
  ZWINGER_TRY(const auto capabilities, member(object, "capabilities", json::Kind::object));
  ZWINGER_TRY(const auto info, member(object, "serverInfo", json::Kind::object));
  ZWINGER_TRY(const auto instructions, member(object, "instructions", json::Kind::string));
  if (!version || !capabilities || !info) {
    return wrong("an initialize result needs protocolVersion, capabilities and serverInfo",
                 "result");
  }
  ServerInfo out;
  out.protocol_version = version->string();
  out.server_info = info->source();
  if (instructions) out.instructions = instructions->source();
  const auto tools = capabilities->find("tools");
  out.has_tools = tools && tools->is_object();
  return out;
}

Result<CancelledParams> read_cancelled_params(const std::optional<json::Value>& params) {
  if (!params || !params->is_object())
    return wrong("notifications/cancelled needs params", "params");
  const auto id = params->find("requestId");
  if (!id || !is_token(*id)) {
    return wrong("requestId must be a string or an integer", "params.requestId");
  }
  ZWINGER_TRY(const auto reason, member(params, "reason", json::Kind::string));
  return CancelledParams{.request_id = *id, .reason = reason};
}

Result<ProgressParams> read_progress_params(const std::optional<json::Value>& params) {
  if (!params || !params->is_object())
    return wrong("notifications/progress needs params", "params");
  const auto token = params->find("progressToken");
  const auto progress = params->find("progress");
  if (!token || !token->is_number() || !token->integer()) {
    return wrong("progressToken is not one that was given out", "params.progressToken");
  }
  if (!progress || !progress->is_number())
    return wrong("progress must be a number", "params.progress");
  ZWINGER_TRY(const auto total, member(params, "total", json::Kind::number));
  ZWINGER_TRY(const auto message, member(params, "message", json::Kind::string));
  if (message && message->source().size() > kMaxProgressMessage) {
    return wrong("the message is too long", "params.message");
  }
  return ProgressParams{
      .token = *token->integer(), .progress = *progress, .total = total, .message = message};
}

Result<std::optional<json::Value>> read_progress_token(const std::optional<json::Value>& meta) {
  if (!meta) return std::nullopt;
  const auto token = meta->find("progressToken");
  if (token && !is_token(*token)) {
    return wrong("progressToken must be a string or an integer", "params._meta.progressToken");
  }
  return token;
}

}  // namespace zwinger::mcp
