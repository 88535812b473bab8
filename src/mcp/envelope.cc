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

// `_meta` with our progress token instead of the client's; left out where nothing remains.
void write_meta(json::Writer& w, const std::optional<json::Value>& meta, std::int64_t id,
                bool wants_progress) {
  if (!meta) return;
  w.key("_meta").begin_object();
  for (const json::Value member : meta->children()) {
    if (member.name() != "progressToken") w.key(member.name()).value(member);
  }
  if (wants_progress) w.key("progressToken").integer(id);
  w.end_object();
}

}  // namespace

std::string write_initialize(std::int64_t id, std::string_view client_version) {
  json::Writer w = message();
  w.key("id").integer(id).key("method").string("initialize").key("params").begin_object();
  w.key("protocolVersion").string(kRevision).key("capabilities").begin_object().end_object();
  w.key("clientInfo")
      .begin_object()
      .key("name")
      .string("zwinger")
      .key("version")
      .string(client_version);
  w.end_object().end_object().end_object();
  return std::move(w).take();
}

std::string write_initialized() {
  json::Writer w = message();
  w.key("method").string("notifications/initialized").end_object();
  return std::move(w).take();
}

std::string write_call(std::int64_t id, const CallParams& call, bool wants_progress) {
  json::Writer w = message();
  w.key("id").integer(id).key("method").string("tools/call").key("params").begin_object();
  w.key("name").string(call.name);
  if (call.arguments) w.key("arguments").value(*call.arguments);
  write_meta(w, call.meta, id, wants_progress);
  w.end_object().end_object();
  return single_line(std::move(w).take());
}

std::string write_list(std::int64_t id, const ListParams& list, bool wants_progress) {
  json::Writer w = message();
  w.key("id").integer(id).key("method").string("tools/list").key("params").begin_object();
  if (list.cursor) w.key("cursor").value(*list.cursor);
  write_meta(w, list.meta, id, wants_progress);
  w.end_object().end_object();
  return single_line(std::move(w).take());
}

std::string write_cancelled(std::int64_t id, std::optional<std::string_view> reason_source) {
  json::Writer w = message();
  w.key("method").string("notifications/cancelled").key("params").begin_object();
  w.key("requestId").integer(id);
  if (reason_source) w.key("reason").raw(*reason_source);
  w.end_object().end_object();
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

std::string initialize_result(const ServerInfo& server) {
  json::Writer w;
  w.begin_object().key("protocolVersion").string(kRevision).key("capabilities").begin_object();
  if (server.has_tools) w.key("tools").begin_object().end_object();
  w.end_object().key("serverInfo").raw(server.server_info);
  if (server.instructions) w.key("instructions").raw(*server.instructions);
  w.end_object();
  return std::move(w).take();
}

std::string write_progress(const ProgressParams& progress, std::string_view token_source) {
  json::Writer w = message();
  w.key("method").string("notifications/progress").key("params").begin_object();
  w.key("progressToken").raw(token_source).key("progress").value(progress.progress);
  if (progress.total) w.key("total").value(*progress.total);
  if (progress.message) w.key("message").value(*progress.message);
  w.end_object().end_object();
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

Result<FilteredList> filter_tools(json::Value result,
                                  const std::function<bool(std::string_view name)>& keep) {
  const auto tools = result.find("tools");
  if (!tools || !tools->is_array()) {
    return fail(Code::upstream_invalid_message, "a tools/list result must have an array of tools",
                "result.tools");
  }
  FilteredList out;
  json::Writer w;
  w.begin_object();
  for (const json::Value member : result.children()) {
    w.key(member.name());
    if (member.name() != "tools") {
      w.value(member);
      continue;
    }
    w.begin_array();
    for (const json::Value tool : member.children()) {
      const auto tool_name = tool.find("name");
      if (!tool_name || !tool_name->is_string()) {
        return fail(Code::upstream_invalid_message, "a tool must be an object with a string name",
                    "result.tools");
      }
      if (keep(tool_name->string())) {
        w.value(tool);
        ++out.kept;
      } else {
        ++out.hidden;
      }
    }
    w.end_array();
  }
  w.end_object();
  out.result = std::move(w).take();
  return out;
}

std::string single_line(std::string message) {
  std::erase_if(message, [](char c) { return c == '\n' || c == '\r'; });
  return message;
}

}  // namespace zwinger::mcp
