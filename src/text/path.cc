#include "text/path.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>
#include <vector>

#include "text/ascii.h"
#include "text/utf8.h"

namespace zwinger::text {

namespace {

// Honest names need no decoding at all; more rounds than this only serve to hide something.
constexpr int kMaxRounds = 4;

// What NFKC or a best-fit code page turns into . / \ or %. Servers that fold names before they open
// them would otherwise find a ".." that was not there when we looked.
constexpr std::array<std::pair<std::string_view, std::string_view>, 13> kFolds = {{
    {"\u2024", "."},    // one dot leader
    {"\uFE52", "."},    // small full stop
    {"\uFF0E", "."},    // fullwidth full stop
    {"\u2025", ".."},   // two dot leader
    {"\u2026", "..."},  // horizontal ellipsis
    {"\u2044", "/"},    // fraction slash
    {"\u2215", "/"},    // division slash
    {"\uFF0F", "/"},    // fullwidth solidus
    {"\u2216", "\\"},   // set minus
    {"\uFE68", "\\"},   // small reverse solidus
    {"\uFF3C", "\\"},   // fullwidth reverse solidus
    {"\uFE6A", "%"},    // small percent sign
    {"\uFF05", "%"},    // fullwidth percent sign
}};

// One round of percent-decoding and folding.
std::string fold_once(std::string_view segment) {
  std::string out;
  out.reserve(segment.size());
  while (!segment.empty()) {
    if (segment.size() >= 3 && segment[0] == '%' && hex_value(segment[1]) >= 0 &&
        hex_value(segment[2]) >= 0) {
      out += static_cast<char>(hex_value(segment[1]) * 16 + hex_value(segment[2]));
      segment.remove_prefix(3);
      continue;
    }
    const auto* fold = std::ranges::find_if(
        kFolds, [&](const auto& entry) { return segment.starts_with(entry.first); });
    if (fold != kFolds.end()) {
      out += fold->second;
      segment.remove_prefix(fold->first.size());
    } else {
      out += segment.front();
      segment.remove_prefix(1);
    }
  }
  return out;
}

// Whether every reader takes the segment, which is neither "." nor "..", for a plain name.
bool is_plain_name(std::string_view segment) {
  std::string now(segment);
  for (int round = 0; round <= kMaxRounds; ++round) {
    if (first_invalid_utf8(now) || has_control(now)) return false;
    if (now == "." || now == ".." || now.find_first_of("/\\") != std::string::npos) return false;
    std::string next = fold_once(now);
    if (next == now) return true;
    now = std::move(next);
  }
  return false;
}

}  // namespace

std::optional<std::string> canonical_path(std::string_view path) {
  if (!path.starts_with('/')) return std::nullopt;
  std::vector<std::string_view> names;
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string_view segment = path.substr(0, end);
    path.remove_prefix(end);
    if (segment.empty() || segment == ".") continue;
    if (segment == "..") {
      if (names.empty()) return std::nullopt;
      names.pop_back();
    } else if (is_plain_name(segment)) {
      names.push_back(segment);
    } else {
      return std::nullopt;
    }
  }
  if (names.empty()) return "/";
  std::string out;
  for (const std::string_view name : names) {
    out += '/';
    out += name;
  }
  return out;
}

bool is_under(std::string_view canonical_path, std::string_view canonical_root) {
  if (canonical_root == "/") return canonical_path.starts_with('/');
  return canonical_path.starts_with(canonical_root) &&
         (canonical_path.size() == canonical_root.size() ||
          canonical_path[canonical_root.size()] == '/');
}

}  // namespace zwinger::text
