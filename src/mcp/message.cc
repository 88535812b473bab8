#include "mcp/message.h"

#include <utility>

namespace zwinger::mcp {

namespace {

Error invalid(std::string message, std::string where) {
  return {Code::rpc_invalid, std::move(message), std::move(where)};
}

// The reason why an id cannot be used; nothing when it can.
std::optional<Error> check_id(json::Value id) {
  if (id.source().size() > kMaxIdBytes) {
    return invalid("the id is longer than " + std::to_string(kMaxIdBytes) + " bytes", "id");
  }
  if (id.is_string()) return std::nullopt;
  if (id.is_number() && id.integer()) return std::nullopt;
  return invalid("the id must be a string or an integer", "id");
}

std::optional<Error> read_request(Message& out, json::Value method) {
  if (!method.is_string()) return invalid("method must be a string", "method");
  out.method = method.string();
  if (out.method.empty() || out.method.size() > kMaxMethodBytes) {
    return invalid("method must have 1 to " + std::to_string(kMaxMethodBytes) + " bytes", "method");
  }
  if (out.params && !out.params->is_object() && !out.params->is_array()) {
    return invalid("params must be an object", "params");
  }
  out.kind = out.id.empty() ? MessageKind::notification : MessageKind::request;
  return std::nullopt;
}

std::optional<Error> read_answer(Message& out) {
  if (out.result && out.error)
    return invalid("an answer has either result or error, not both", "result");
  if (!out.result && !out.error) return invalid("the message has no method, result or error", "");
  if (out.id.empty()) return invalid("an answer must name the id of its request", "id");
  if (out.result) {
    out.kind = MessageKind::result;
    if (!out.result->is_object()) return invalid("result must be an object", "result");
    return std::nullopt;
  }
  out.kind = MessageKind::error;
  const auto code = out.error->find("code");
  const auto text = out.error->find("message");
  if (!code || !code->is_number() || !code->integer() || !text || !text->is_string()) {
    return invalid("error must be an object with an integer code and a string message", "error");
  }
  return std::nullopt;
}

std::optional<Error> read_members(Message& out, json::Value root) {
  const auto version = root.find("jsonrpc");
  if (!version || !version->is_string() || version->string() != "2.0") {
    return invalid("jsonrpc must be \"2.0\"", "jsonrpc");
  }
  out.params = root.find("params");
  out.result = root.find("result");
  out.error = root.find("error");
  const auto method = root.find("method");
  if (!method) return read_answer(out);
  if (out.result || out.error) {
    return invalid("a message has either method or an answer, not both", "method");
  }
  return read_request(out, *method);
}

}  // namespace

std::expected<Message, BadMessage> parse_message(std::string bytes, const json::Limits& limits) {
  auto document = json::Document::parse(std::move(bytes), limits);
  if (!document) return std::unexpected(BadMessage{std::move(document).error()});

  Message out{.document = *std::move(document),
              .kind = MessageKind::notification,
              .id = {},
              .method = {},
              .params = {},
              .result = {},
              .error = {}};
  const json::Value root = out.document.root();
  if (root.is_array()) {
    return std::unexpected(BadMessage{
        Error{Code::rpc_batch, "send each message on its own; batches are not accepted", {}}});
  }
  if (!root.is_object()) {
    return std::unexpected(BadMessage{invalid("a message must be an object", "")});
  }

  BadMessage bad;
  if (const auto id = root.find("id")) {
    if (auto error = check_id(*id)) return std::unexpected(BadMessage{*std::move(error)});
    out.id = id->source();
    bad.id = std::string(out.id);
  }
  if (auto error = read_members(out, root)) {
    bad.error = *std::move(error);
    return std::unexpected(std::move(bad));
  }
  return out;
}

std::string id_key(json::Value id) {
  if (id.is_string()) return "s" + std::string(id.string());
  return "n" + std::to_string(id.integer().value_or(0));
}

}  // namespace zwinger::mcp
