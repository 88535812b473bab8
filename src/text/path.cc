#include "text/path.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "text/ascii.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace zwinger::text {

namespace {

// Honest names need no decoding at all; more rounds than this only serve to hide something.
constexpr int kMaxRounds = 4;

// What best-fit code pages turn into a separator though NFKC does not; NFKC's own are in its data.
// Servers that fold names before they open them would otherwise find a ".." or a slash that was not
// there when we looked.
constexpr std::array<std::pair<std::uint32_t, char>, 3> kBestFit = {{
    {0x2044, '/'},   // fraction slash
    {0x2215, '/'},   // division slash
    {0x2216, '\\'},  // set minus
}};
constexpr std::uint32_t kEllipsis = 0x2026;

std::string percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    if (text.size() >= 3 && text[0] == '%' && hex_value(text[1]) >= 0 && hex_value(text[2]) >= 0) {
      out += static_cast<char>(hex_value(text[1]) * 16 + hex_value(text[2]));
      text.remove_prefix(3);
    } else {
      out += text.front();
      text.remove_prefix(1);
    }
  }
  return out;
}

// One round of percent-decoding, and of folding as the most forgiving reader would: compatibility
// forms and best-fit look-alikes to what they stand for, invisible characters and accents dropped.
// Nothing for what decodes to malformed UTF-8 or a control character, and for a character that
// brings a dot with it; the ellipsis may, for titles have it and three dots climb nowhere.
std::optional<std::string> fold_once(std::string_view segment) {
  const std::string decoded = percent_decode(segment);
  if (first_invalid_utf8(decoded) || has_control(decoded)) return std::nullopt;
  std::string out;
  out.reserve(decoded.size());
  std::string form;
  for (std::string_view rest = decoded; !rest.empty();) {
    const std::uint32_t code_point = take_code_point(rest);
    if (code_point < 0x80) {
      out += static_cast<char>(code_point);
      continue;
    }
    if (!is_visible(code_point)) continue;
    form.clear();
    const auto* best_fit =
        std::ranges::find(kBestFit, code_point, &decltype(kBestFit)::value_type::first);
    if (best_fit != kBestFit.end()) {
      form += best_fit->second;
    } else {
      append_nfkd(form, code_point);
    }
    if (form.contains('.') && code_point != kEllipsis) return std::nullopt;
    out += form;
  }
  return out;
}

// Whether the segment is "." or "..", or would be to a reader that trims white space.
bool is_dots(std::string_view segment) {
  const std::size_t first = segment.find_first_not_of(' ');
  if (first == std::string_view::npos) return false;
  segment = segment.substr(first, segment.find_last_not_of(' ') + 1 - first);
  return segment == "." || segment == "..";
}

// Whether every reader takes the segment, which is neither "." nor "..", for a plain name.
bool is_plain_name(std::string_view segment) {
  std::string now(segment);
  if (first_invalid_utf8(now)) return false;  // decoding must not complete a broken sequence
  for (int round = 0; round <= kMaxRounds; ++round) {
    if (is_dots(now) || now.find_first_of("/\\") != std::string::npos) return false;
    auto next = fold_once(now);
    if (!next) return false;
    if (*next == now) return true;
    now = *std::move(next);
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
