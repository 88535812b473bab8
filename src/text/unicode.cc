#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <compare>
#include <cstddef>
#include <iterator>
#include <vector>

#include "text/ascii.h"
#include "text/utf8.h"

namespace zwinger::text {

namespace {

using CodePoints = std::vector<utf8proc_int32_t>;

constexpr std::uint32_t kDottedI = 0x130;   // İ
constexpr std::uint32_t kDotlessI = 0x131;  // ı
constexpr std::uint32_t kBrailleBlank = 0x2800;

constexpr auto kCompat =
    static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE);
constexpr auto kCasefold =
    static_cast<utf8proc_option_t>(kCompat | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE);
constexpr auto kCompose = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);

constexpr bool is_ascii(std::uint32_t code_point) { return code_point < 0x80; }
constexpr bool is_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

void append_decomposed(CodePoints& out, std::uint32_t code_point, utf8proc_option_t options) {
  constexpr std::size_t kMost = 18;  // the longest compatibility decomposition, that of U+FDFA
  const std::size_t before = out.size();
  const auto decompose = [&](std::size_t room) {
    out.resize(before + room);
    const auto length =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code_point), out.data() + before,
                                static_cast<utf8proc_ssize_t>(room), options, nullptr);
    return static_cast<std::size_t>(std::max<utf8proc_ssize_t>(length, 0));
  };
  std::size_t length = decompose(kMost);
  if (length > kMost) length = decompose(length);
  out.resize(before + length);
}

void append_folded(CodePoints& out, std::uint32_t code_point) {
  if (code_point == kDottedI || code_point == kDotlessI) {
    out.push_back('i');
  } else {
    append_decomposed(out, code_point, kCasefold);
  }
}

// The canonical order of marks (Unicode 3.11, D109): by class, and otherwise as they came.
// utf8proc's own sort takes quadratic time.
void sort_marks(CodePoints& points) {
  struct Mark {
    int combining_class;
    std::size_t position;
    utf8proc_int32_t point;
    auto operator<=>(const Mark&) const = default;
  };
  std::vector<Mark> run;
  for (std::size_t i = 0; i <= points.size(); ++i) {
    const int combining_class =
        i == points.size() ? 0 : utf8proc_get_property(points[i])->combining_class;
    if (combining_class != 0) {
      run.push_back({combining_class, i, points[i]});
      continue;
    }
    std::ranges::sort(run);
    for (std::size_t k = 0; k < run.size(); ++k) points[i - run.size() + k] = run[k].point;
    run.clear();
  }
}

}  // namespace

std::string nfkc_casefold(std::string_view text) {
  std::string out;
  if (is_ascii(text)) {
    std::ranges::transform(text, std::back_inserter(out), to_lower);
    return out;
  }
  CodePoints points;
  while (!text.empty()) append_folded(points, take_code_point(text));
  sort_marks(points);
  const auto length = utf8proc_normalize_utf32(
      points.data(), static_cast<utf8proc_ssize_t>(points.size()), kCompose);
  points.resize(static_cast<std::size_t>(std::max<utf8proc_ssize_t>(length, 0)));
  for (const utf8proc_int32_t point : points) append_utf8(out, static_cast<std::uint32_t>(point));
  return out;
}

bool nfkc_casefolds_to(std::string_view text, std::string_view folded) {
  if (!is_ascii(folded)) return !is_ascii(text) && nfkc_casefold(text) == folded;
  CodePoints points;
  while (!text.empty()) {
    const std::uint32_t code_point = take_code_point(text);
    points.clear();
    if (is_ascii(code_point)) {
      if (!folded.starts_with(to_lower(static_cast<char>(code_point)))) return false;
      folded.remove_prefix(1);
      continue;
    }
    append_folded(points, code_point);
    for (const utf8proc_int32_t point : points) {
      if (folded.empty() || point != folded.front()) return false;
      folded.remove_prefix(1);
    }
  }
  return folded.empty();
}

void append_nfkd(std::string& out, std::uint32_t code_point) {
  CodePoints points;
  append_decomposed(points, code_point, kCompat);
  for (const utf8proc_int32_t point : points) append_utf8(out, static_cast<std::uint32_t>(point));
}

bool is_visible(std::uint32_t code_point) {
  const utf8proc_property_t* property =
      utf8proc_get_property(static_cast<utf8proc_int32_t>(code_point));
  if (property->ignorable != 0 || code_point == kBrailleBlank) return false;
  switch (property->category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO:
      return true;
    default:
      return false;
  }
}

bool is_blank(std::string_view text) {
  while (!text.empty()) {
    if (is_visible(take_code_point(text))) return false;
  }
  return true;
}

}  // namespace zwinger::text
