// What holds of the summary of any arguments: its bounds, that every value is accounted for, and
// that a leaf with it is a line that our own parser reads.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "json/json.h"
#include "ledger/arguments.h"

namespace {

using namespace zwinger;
using ledger::ArgumentTrace;

void require(bool condition) {
  if (!condition) std::abort();
}

std::uint64_t count(const json::Value& value, std::size_t depth) {
  if (value.size() == 0 || depth == ledger::kMaxArgumentDepth) return 1;
  std::uint64_t values = 0;
  for (const json::Value child : value.children()) values += count(child, depth + 1);
  return values;
}

// Only what a plain name, a digest or a star is made of.
bool is_plain(std::string_view pointer) {
  return std::ranges::all_of(pointer, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("/~*_.$-").contains(c);
  });
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): the name that libFuzzer calls
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto document = json::Document::parse(text);
  if (!document || !document->root().is_object()) return 0;
  static const ledger::ArgumentKey key(std::string(ledger::kArgumentKeySize, 'k'));
  const auto summary = ledger::summarize_arguments(document->root(), key);
  require(summary.arguments.size() <= ledger::kMaxArguments);
  std::uint64_t accounted = summary.more;
  for (const ArgumentTrace& trace : summary.arguments) {
    accounted += trace.times + trace.more;
    require(is_plain(trace.pointer));
    require(static_cast<std::size_t>(std::ranges::count(trace.pointer, '/')) <=
            ledger::kMaxArgumentDepth);
  }
  require(accounted == (document->root().size() == 0 ? 0 : count(document->root(), 0)));

  ledger::Leaf leaf;
  leaf.kind = ledger::LeafKind::decision;
  leaf.arguments = summary.arguments;
  leaf.arguments_more = summary.more;
  const std::string json = ledger::to_json(leaf, 1, {});
  require(json.size() <= ledger::kMaxLeaf && !json.contains('\n'));
  const auto again = json::Document::parse(json);
  require(again.has_value() && !again->root().find("cut"));
  const auto list = again->root().find("args");
  require(list.has_value() == !summary.arguments.empty());
  if (list) require(list->source().size() <= ledger::kMaxArgumentBytes);
  (void)ledger::trace_resource(text, key);
  return 0;
}
