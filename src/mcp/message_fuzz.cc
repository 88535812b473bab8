// Hostile messages: whatever parses can be read by every reader, and what is forwarded parses again
// to the same call.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "mcp/envelope.h"
#include "mcp/message.h"
#include "mcp/params.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void check_call(const zwinger::mcp::CallParams& call) {
  using namespace zwinger::mcp;
  const auto forwarded = parse_message(write_call(5, call, true), {});
  if (!forwarded) return;  // only where our token makes it larger than the limits allow
  const auto again = read_call_params(forwarded->params);
  require(again.has_value());
  require(again->name == call.name);
  require(again->arguments.has_value() == call.arguments.has_value());
  if (call.arguments) {
    require(again->arguments->source() == single_line(std::string(call.arguments->source())));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace zwinger::mcp;
  const auto message = parse_message(std::string(reinterpret_cast<const char*>(data), size), {});
  if (!message) {
    require(!message.error().id.empty());
    return 0;
  }
  if (!message->id.empty()) (void)id_key(*message->document.root().find("id"));
  if (const auto call = read_call_params(message->params)) {
    (void)read_progress_token(call->meta);
    check_call(*call);
  }
  (void)read_list_params(message->params);
  (void)read_initialize_params(message->params);
  (void)read_cancelled_params(message->params);
  if (const auto progress = read_progress_params(message->params)) {
    require(parse_message(write_progress(*progress, "\"t\""), {}).has_value());
  }
  if (message->result) {
    (void)read_initialize_result(*message->result);
    if (const auto list = filter_tools(*message->result, [](std::string_view) { return true; })) {
      require(zwinger::json::Document::parse(list->result).has_value());
    }
  }
  return 0;
}
