#include "mcp/envelope.h"

#include <algorithm>
#include <utility>

#include "json/writer.h"
#include "mcp/revision.h"

namespace zwinger::mcp {

namespace {

json::Writer message() {
  json::Writer w;
  w.begin_object().key("jsonrpc").string("2.0");
  return w;
}

}  // namespace

std::string write_request(std::int64_t id, std::string_view method, std::string_view params) {
  json::Writer w = message();
  w.key("id").integer(id).key("method").string(method);
  if (!params.empty()) w.key("params").raw(params);
  w.end_object();
  return single_line(std::move(w).take());
}

std::string write_notification(std::string_view method, std::string_view params) {
  json::Writer w = message();
  w.key("method").string(method);
  if (!params.empty()) w.key("params").raw(params);
  w.end_object();
  return single_line(std::move(w).take());
}

std::string write_shared_request(std::int64_t id, std::string_view method,
                                 const RequestParams& params, bool wants_progress) {
  if (!params.params) return write_request(id, method, {});
  if (!params.progress_token) return write_request(id, method, params.params->source());
  json::Writer meta;
  meta.begin_object();
  for (const json::Value member : params.meta->children()) {
    if (member.name() != "progressToken") meta.key(member.name()).value(member);
  }
  if (wants_progress) meta.key("progressToken").integer(id);
  meta.end_object();
  return write_request(id, method, replace_member(*params.params, "_meta", std::move(meta).take()));
}

std::string own_initialize_params(std::string_view client_version) {
  json::Writer w;
  w.begin_object().key("protocolVersion").string(kRevision);
  w.key("capabilities").begin_object().end_object();
  w.key("clientInfo").begin_object().key("name").string("zwinger");
  w.key("version").string(client_version).end_object().end_object();
  return std::move(w).take();
}

std::string write_cancelled(std::int64_t id, std::optional<std::string_view> reason_source) {
  json::Writer w;
  w.begin_object().key("requestId").integer(id);
  if (reason_source) w.key("reason").raw(*reason_source);
  w.end_object();
  return write_notification("notifications/cancelled", std::move(w).take());
}

std::string rewrite_cancelled(const Message& message, std::int64_t id) {
  return write_notification(message.method,
                            replace_member(*message.params, "requestId", std::to_string(id)));
}

std::string replace_member(json::Value object, std::string_view member,
                           std::string_view value_source) {
  json::Writer w;
  w.begin_object();
  for (const json::Value each : object.children()) {
    w.key(each.name());
    if (each.name() == member) {
      w.raw(value_source);
    } else {
      w.value(each);
    }
  }
  w.end_object();
  return std::move(w).take();
}

std::string write_result(std::string_view id, std::string_view result_source) {
  json::Writer w = message();
  w.key("id").raw(id).key("result").raw(result_source).end_object();
  return std::move(w).take();
}

std::string write_error(std::string_view id, std::string_view error_source) {
  json::Writer w = message();
  w.key("id").raw(id).key("error").raw(error_source).end_object();
  return std::move(w).take();
}

std::string own_initialize_result(std::string_view revision, std::string_view capabilities,
                                  std::optional<std::string_view> instructions,
                                  std::string_view version) {
  json::Writer w;
  w.begin_object().key("protocolVersion").string(revision).key("capabilities").raw(capabilities);
  w.key("serverInfo").begin_object().key("name").string("zwinger");
  w.key("version").string(version).end_object();
  if (instructions) w.key("instructions").raw(*instructions);
  w.end_object();
  return std::move(w).take();
}

std::string write_denial(std::string_view id, const Denial& denial) {
  json::Writer w = message();
  w.key("id").raw(id).key("error").begin_object();
  w.key("code").integer(denial.rpc_code);
  w.key("message").string(std::string(name(denial.reason)) + ": " + denial.text);
  w.key("data").begin_object().key("reason").string(name(denial.reason));
  w.key("rules").begin_array();
  for (const std::string& rule : denial.rules) w.string(rule);
  w.end_array().key("callId").string(denial.call_id);
  w.key("retryable").boolean(info(denial.reason).retryable);
  if (!denial.at.empty()) w.key("at").string(denial.at);
  w.end_object().end_object().end_object();
  return std::move(w).take();
}

std::string write_unreadable(std::string_view id, const Error& error) {
  Denial denial;
  denial.reason = error.code;
  denial.text = error.message;
  denial.at = error.where;
  denial.rpc_code = name(error.code).starts_with("json_") ? kParseError : kInvalidRequest;
  return write_denial(id, denial);
}

std::optional<ListShape> list_shape(Method method) {
  switch (method) {
    case Method::tools_list:
      return ListShape{.array = "tools", .key = "name"};
    case Method::resources_list:
      return ListShape{.array = "resources", .key = "uri"};
    case Method::resources_templates_list:
      return ListShape{.array = "resourceTemplates", .key = "uriTemplate"};
    case Method::prompts_list:
      return ListShape{.array = "prompts", .key = "name"};
    case Method::tasks_list:
      return ListShape{.array = "tasks", .key = "taskId"};
    default:
      return std::nullopt;
  }
}

Result<FilteredList> filter_list(json::Value result, const ListShape& shape,
                                 const std::function<bool(std::string_view key)>& keep) {
  const auto invalid = [&shape](std::string_view what) {
    return fail(Code::upstream_invalid_message, std::string(what),
                "result." + std::string(shape.array));
  };
  const auto array = result.find(shape.array);
  if (!array || !array->is_array()) return invalid("a list's result must have its array");
  FilteredList out;
  json::Writer w;
  w.begin_object();
  for (const json::Value member : result.children()) {
    w.key(member.name());
    if (member.name() != shape.array) {
      w.value(member);
      continue;
    }
    w.begin_array();
    for (const json::Value entry : member.children()) {
      const auto key = entry.find(shape.key);
      if (!key || !key->is_string()) {
        return invalid("an entry of a list must be an object that says what it is");
      }
      if (keep(key->string())) {
        w.value(entry);
        ++out.kept;
      } else {
        ++out.hidden;
      }
    }
    w.end_array();
  }
  w.end_object();
  // Where nothing is left out the upstream's own bytes go on.
  out.result = out.hidden == 0 ? std::string(result.source()) : std::move(w).take();
  return out;
}

std::string single_line(std::string message) {
  if (message.find_first_of("\r\n") != std::string::npos) {
    std::erase_if(message, [](char c) { return c == '\n' || c == '\r'; });
  }
  return message;
}

}  // namespace zwinger::mcp
