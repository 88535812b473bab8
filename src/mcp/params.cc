#include "mcp/params.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

namespace zwinger::mcp {

namespace {

using Names = std::span<const std::string_view>;

std::unexpected<Error> wrong(std::string message, std::string where) {
  return fail(Code::mcp_params, std::move(message), std::move(where));
}

std::string place(std::string_view member) { return "params." + std::string(member); }

// An optional member of a given kind.
Result<std::optional<json::Value>> member(json::Value object, std::string_view name,
                                          json::Kind kind) {
  const auto found = object.find(name);
  if (found && found->kind() != kind) {
    return wrong(std::string(name) + " must be of kind " + std::string(json::to_string(kind)),
                 place(name));
  }
  return found;
}

Result<json::Value> required(json::Value object, std::string_view name, json::Kind kind) {
  ZWINGER_TRY(const auto found, member(object, name, kind));
  if (!found) return wrong(std::string(name) + " is missing", place(name));
  return *found;
}

// A required text of 1 to `most` bytes.
Result<std::string_view> text(json::Value object, std::string_view name, std::size_t most) {
  ZWINGER_TRY(const json::Value found, required(object, name, json::Kind::string));
  if (found.string().empty() || found.string().size() > most) {
    return wrong(std::string(name) + " must have 1 to " + std::to_string(most) + " bytes",
                 place(name));
  }
  return found.string();
}

bool is_token(json::Value value) {
  return value.source().size() <= kMaxSource &&
         (value.is_string() || (value.is_number() && value.integer().has_value()));
}

Result<void> read_meta(RequestParams& out, json::Value params) {
  ZWINGER_TRY(out.meta, member(params, "_meta", json::Kind::object));
  if (!out.meta) return {};
  out.progress_token = out.meta->find("progressToken");
  if (out.progress_token && !is_token(*out.progress_token)) {
    return wrong("progressToken must be a string or an integer", "params._meta.progressToken");
  }
  return {};
}

// --- one reader a method
// ---------------------------------------------------------------------------

using Reader = Result<void> (*)(RequestParams& out, json::Value params);

Result<void> read_nothing(RequestParams& /*out*/, json::Value /*params*/) { return {}; }

Result<void> read_initialize(RequestParams& out, json::Value params) {
  ZWINGER_TRY(out.protocol_version, text(params, "protocolVersion", kMaxName));
  ZWINGER_TRY(out.capabilities, required(params, "capabilities", json::Kind::object));
  ZWINGER_CHECK_OK(required(params, "clientInfo", json::Kind::object));
  return {};
}

Result<void> read_list(RequestParams& out, json::Value params) {
  ZWINGER_TRY(out.cursor, member(params, "cursor", json::Kind::string));
  if (out.cursor && out.cursor->source().size() > kMaxSource) {
    return wrong("the cursor is too long", "params.cursor");
  }
  return {};
}

Result<void> read_task_wish(RequestParams& out, json::Value params) {
  ZWINGER_TRY(const auto task, member(params, "task", json::Kind::object));
  out.as_task = task.has_value();
  return {};
}

Result<void> read_call(RequestParams& out, json::Value params) {
  ZWINGER_TRY(out.name, text(params, "name", kMaxName));
  ZWINGER_TRY(out.arguments, member(params, "arguments", json::Kind::object));
  return read_task_wish(out, params);
}

Result<void> read_uri(RequestParams& out, json::Value params) {
  ZWINGER_TRY(out.uri, text(params, "uri", kMaxUri));
  return {};
}

Result<void> read_prompt(RequestParams& out, json::Value params) {
  ZWINGER_TRY(out.name, text(params, "name", kMaxName));
  ZWINGER_TRY(const auto arguments, member(params, "arguments", json::Kind::object));
  if (!arguments) return {};
  for (const json::Value argument : arguments->children()) {
    if (!argument.is_string()) return wrong("a prompt's arguments are strings", "params.arguments");
  }
  return {};
}

Result<void> read_completion(RequestParams& out, json::Value params) {
  ZWINGER_TRY(const json::Value ref, required(params, "ref", json::Kind::object));
  ZWINGER_CHECK_OK(required(params, "argument", json::Kind::object));
  ZWINGER_CHECK_OK(member(params, "context", json::Kind::object));
  const auto type = ref.find("type");
  const bool is_text = type && type->is_string();
  if (is_text && type->string() == "ref/prompt") {
    ZWINGER_TRY(out.name, text(ref, "name", kMaxName));
    return {};
  }
  if (is_text && type->string() == "ref/resource") {
    ZWINGER_TRY(out.uri, text(ref, "uri", kMaxUri));
    return {};
  }
  return wrong("a reference is ref/prompt or ref/resource", "params.ref.type");
}

Result<void> read_level(RequestParams& /*out*/, json::Value params) {
  ZWINGER_CHECK_OK(text(params, "level", kMaxName));
  return {};
}

Result<void> read_task(RequestParams& out, json::Value params) {
  ZWINGER_TRY(out.task_id, text(params, "taskId", kMaxTaskId));
  return {};
}

Result<void> read_sampling(RequestParams& out, json::Value params) {
  ZWINGER_CHECK_OK(required(params, "messages", json::Kind::array));
  ZWINGER_CHECK_OK(required(params, "maxTokens", json::Kind::number));
  return read_task_wish(out, params);
}

Result<void> read_elicitation(RequestParams& out, json::Value params) {
  ZWINGER_CHECK_OK(required(params, "message", json::Kind::string));
  ZWINGER_TRY(const auto mode, member(params, "mode", json::Kind::string));
  ZWINGER_CHECK_OK(read_task_wish(out, params));
  if (mode && mode->string() == "url") {
    ZWINGER_CHECK_OK(text(params, "elicitationId", kMaxName));
    ZWINGER_TRY(out.url, text(params, "url", kMaxUri));
    return {};
  }
  if (mode && mode->string() != "form") return wrong("the mode is form or url", "params.mode");
  if (params.find("url")) return wrong("a form has no url", "params.url");
  ZWINGER_CHECK_OK(required(params, "requestedSchema", json::Kind::object));
  return {};
}

struct Row {
  Method method;
  Reader read;
  bool may_lack_params;
  Names members;  // beside _meta and task
};

constexpr std::array<std::string_view, 3> kInitialize = {"protocolVersion", "capabilities",
                                                         "clientInfo"};
constexpr std::array<std::string_view, 1> kCursor = {"cursor"};
constexpr std::array<std::string_view, 2> kCall = {"name", "arguments"};
constexpr std::array<std::string_view, 1> kUri = {"uri"};
constexpr std::array<std::string_view, 2> kPrompt = {"name", "arguments"};
constexpr std::array<std::string_view, 3> kCompletion = {"ref", "argument", "context"};
constexpr std::array<std::string_view, 1> kLevel = {"level"};
constexpr std::array<std::string_view, 1> kTask = {"taskId"};
constexpr std::array<std::string_view, 10> kSampling = {
    "messages",  "modelPreferences", "systemPrompt", "includeContext", "temperature",
    "maxTokens", "stopSequences",    "metadata",     "tools",          "toolChoice"};
constexpr std::array<std::string_view, 5> kElicitation = {"mode", "message", "requestedSchema",
                                                          "url", "elicitationId"};

constexpr std::array kRows = {
    Row{Method::initialize, read_initialize, false, kInitialize},
    Row{Method::ping, read_nothing, true, {}},
    Row{Method::tools_list, read_list, true, kCursor},
    Row{Method::tools_call, read_call, false, kCall},
    Row{Method::resources_list, read_list, true, kCursor},
    Row{Method::resources_templates_list, read_list, true, kCursor},
    Row{Method::resources_read, read_uri, false, kUri},
    Row{Method::resources_subscribe, read_uri, false, kUri},
    Row{Method::resources_unsubscribe, read_uri, false, kUri},
    Row{Method::prompts_list, read_list, true, kCursor},
    Row{Method::prompts_get, read_prompt, false, kPrompt},
    Row{Method::completion_complete, read_completion, false, kCompletion},
    Row{Method::logging_set_level, read_level, false, kLevel},
    Row{Method::tasks_list, read_list, true, kCursor},
    Row{Method::tasks_get, read_task, false, kTask},
    Row{Method::tasks_result, read_task, false, kTask},
    Row{Method::tasks_cancel, read_task, false, kTask},
    Row{Method::sampling_create_message, read_sampling, false, kSampling},
    Row{Method::roots_list, read_nothing, true, {}},
    Row{Method::elicitation_create, read_elicitation, false, kElicitation},
};

}  // namespace

Result<RequestParams> read_request_params(Method method, const std::optional<json::Value>& params) {
  const Row& row = *std::ranges::find(kRows, method, &Row::method);
  RequestParams out;
  if (!params) {
    if (row.may_lack_params) return out;
    return wrong("the method needs params", "params");
  }
  if (!params->is_object()) return wrong("params must be an object", "params");
  for (const json::Value each : params->children()) {
    // Clients ask for a task with any method, and expect to be told where none is made.
    const bool anywhere = each.name() == "_meta" || each.name() == "task";
    if (!anywhere && std::ranges::find(row.members, each.name()) == row.members.end()) {
      // The name is the sender's, so it is not repeated in records.
      return wrong("params has a member that MCP does not define for this method", "params");
    }
  }
  out.params = params;
  ZWINGER_CHECK_OK(read_meta(out, *params));
  ZWINGER_CHECK_OK(member(*params, "task", json::Kind::object));
  ZWINGER_CHECK_OK(row.read(out, *params));
  return out;
}

Result<ServerInfo> read_initialize_result(json::Value result) {
  ZWINGER_TRY(const std::string_view version, text(result, "protocolVersion", kMaxName));
  ZWINGER_TRY(const json::Value capabilities, required(result, "capabilities", json::Kind::object));
  ZWINGER_CHECK_OK(required(result, "serverInfo", json::Kind::object));
  ZWINGER_TRY(const auto instructions, member(result, "instructions", json::Kind::string));
  ServerInfo out;
  out.result = result.source();
  out.protocol_version = version;
  out.capabilities = capabilities.source();
  if (instructions) out.instructions = instructions->source();
  return out;
}

Result<CancelledParams> read_cancelled_params(const std::optional<json::Value>& params) {
  if (!params || !params->is_object())
    return wrong("notifications/cancelled needs params", "params");
  const auto id = params->find("requestId");
  if (!id || !is_token(*id)) {
    return wrong("requestId must be a string or an integer", "params.requestId");
  }
  ZWINGER_TRY(const auto reason, member(*params, "reason", json::Kind::string));
  return CancelledParams{.request_id = *id, .reason = reason};
}

Result<ProgressParams> read_progress_params(const std::optional<json::Value>& params) {
  if (!params || !params->is_object())
    return wrong("notifications/progress needs params", "params");
  const auto token = params->find("progressToken");
  if (!token || !is_token(*token)) {
    return wrong("progressToken must be a string or an integer", "params.progressToken");
  }
  ZWINGER_CHECK_OK(required(*params, "progress", json::Kind::number));
  ZWINGER_CHECK_OK(member(*params, "total", json::Kind::number));
  ZWINGER_CHECK_OK(member(*params, "message", json::Kind::string));
  return ProgressParams{.token = *token};
}

Result<std::string_view> read_string_param(const std::optional<json::Value>& params,
                                           std::string_view name) {
  if (!params || !params->is_object()) return wrong("the notification needs params", "params");
  return text(*params, name, kMaxUri);
}

std::optional<std::string_view> created_task(json::Value result) {
  const auto task = result.find("task");
  const auto id = task ? task->find("taskId") : std::nullopt;
  if (!id || !id->is_string() || id->string().empty() || id->string().size() > kMaxTaskId) {
    return std::nullopt;
  }
  return id->string();
}

bool declares(json::Value capabilities, std::string_view capability) {
  std::optional<json::Value> at = capabilities;
  while (at && !capability.empty()) {
    const std::size_t dot = capability.find('.');
    at = at->find(capability.substr(0, dot));
    capability = dot == std::string_view::npos ? std::string_view() : capability.substr(dot + 1);
  }
  return at && at->is_object();
}

}  // namespace zwinger::mcp
