// Hostile messages: whatever parses can be read by every reader, and what is forwarded parses again
// to the same request.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "mcp/envelope.h"
#include "mcp/message.h"
#include "mcp/params.h"
#include "mcp/revision.h"

namespace {

using namespace zwinger::mcp;  // NOLINT(google-build-using-namespace): a fuzzer of this folder

void require(bool condition) {
  if (!condition) std::abort();
}

constexpr std::array kMethods = {Method::initialize,
                                 Method::ping,
                                 Method::tools_list,
                                 Method::tools_call,
                                 Method::resources_list,
                                 Method::resources_templates_list,
                                 Method::resources_read,
                                 Method::resources_subscribe,
                                 Method::resources_unsubscribe,
                                 Method::prompts_list,
                                 Method::prompts_get,
                                 Method::completion_complete,
                                 Method::logging_set_level,
                                 Method::tasks_list,
                                 Method::tasks_get,
                                 Method::tasks_result,
                                 Method::tasks_cancel,
                                 Method::sampling_create_message,
                                 Method::roots_list,
                                 Method::elicitation_create};

void check_forwarding(Method method, const RequestParams& params) {
  const std::string_view source = params.params ? params.params->source() : std::string_view();
  const auto own = parse_message(write_request(5, to_string(method), source), {});
  if (!own) return;  // only where the envelope makes it larger than the limits allow
  const auto again = read_request_params(method, own->params);
  require(again.has_value());
  require(again->name == params.name && again->uri == params.uri);
  require(again->task_id == params.task_id && again->url == params.url);
  require(again->arguments.has_value() == params.arguments.has_value());
  if (params.arguments) {
    require(again->arguments->source() == single_line(std::string(params.arguments->source())));
  }
  for (const bool wants_progress : {true, false}) {
    const auto shared =
        parse_message(write_shared_request(5, to_string(method), params, wants_progress), {});
    if (!shared) continue;
    const auto read = read_request_params(method, shared->params);
    require(read.has_value());
    const bool has_token = params.progress_token.has_value() && wants_progress;
    require(read->progress_token.has_value() == has_token);
    if (has_token) require(read->progress_token->integer() == 5);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto message = parse_message(std::string(reinterpret_cast<const char*>(data), size), {});
  if (!message) {
    require(!message.error().id.empty());
    return 0;
  }
  if (!message->id.empty()) (void)id_key(*message->document.root().find("id"));
  for (const Method method : kMethods) {
    if (const auto params = read_request_params(method, message->params)) {
      check_forwarding(method, *params);
    }
  }
  (void)read_cancelled_params(message->params);
  (void)read_progress_params(message->params);
  (void)read_string_param(message->params, "uri");
  if (message->result) {
    (void)read_initialize_result(*message->result);
    (void)created_task(*message->result);
    (void)declares(*message->result, "elicitation.url");
    for (const Method method : kMethods) {
      const auto shape = list_shape(method);
      if (!shape) continue;
      bool keep = false;
      const auto list = filter_list(*message->result, *shape, [&keep](std::string_view) {
        return keep = !keep;  // every other one
      });
      if (list) require(zwinger::json::Document::parse(list->result).has_value());
    }
  }
  return 0;
}
