// What holds of every text that the YAML reader accepts: its tree is JSON with unique names, and
// every scalar stands where it says.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "json/json.h"
#include "json/yaml.h"

namespace {

using namespace zwinger;
using json::YamlKind;

void require(bool condition) {
  if (!condition) std::abort();
}

void check(const json::YamlNode& node, const std::vector<std::string_view>& lines) {
  require(node.line >= 1 && node.column >= 1);
  const std::size_t line = static_cast<std::size_t>(node.line) - 1;
  const std::size_t column = static_cast<std::size_t>(node.column) - 1;
  if (node.kind == YamlKind::boolean || node.kind == YamlKind::number) {
    require(line < lines.size() && lines[line].substr(column).starts_with(node.scalar));
  }
  for (const auto& item : node.items) check(item, lines);
  for (const auto& member : node.members) {
    require(node.find(member.key) == &member.value);
    check(member.value, lines);
  }
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> lines;
  for (std::size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  lines.push_back(text);
  return lines;
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): the name that libFuzzer calls
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto root = json::parse_yaml(text, "f");
  if (!root) {
    require(root.error().where.starts_with("f:"));
    return 0;
  }
  check(*root, split(text));
  const std::string json_text = json::yaml_to_json(*root);
  const auto document = json::Document::parse(json_text);
  require(document.has_value());
  const auto again = json::parse_yaml(text, "f");
  require(again.has_value() && json::yaml_to_json(*again) == json_text);
  return 0;
}
