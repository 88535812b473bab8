#include "text/glob.h"

#include <algorithm>
#include <cstddef>

#include "text/ascii.h"
#include "text/utf8.h"

namespace zwinger::text {

namespace {

constexpr std::size_t kMaxPattern = 512;

// `*` stays within one segment, so each segment of the pattern meets exactly one of the text, and
// within a segment it is enough to go back to the last star.
bool matches_pattern(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t after_star = std::string::npos;  // in the pattern
  std::size_t star_end = 0;                    // in the text: where the last star's run ends
  while (t < text.size() || p < pattern.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      after_star = ++p;
      star_end = t;
    } else if (p < pattern.size() && t < text.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (after_star != std::string::npos && star_end < text.size() && text[star_end] != '/') {
      p = after_star;
      t = ++star_end;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

Result<Glob> Glob::parse(std::string_view pattern) {
  if (pattern.empty()) return fail(Code::policy_value, "a glob must not be empty");
  if (pattern.size() > kMaxPattern) {
    return fail(Code::policy_value, "a glob must not be longer than 512 bytes");
  }
  if (first_invalid_utf8(pattern) || has_control(pattern)) {
    return fail(Code::policy_value, "a glob must be UTF-8 without control characters");
  }
  if (pattern.find_first_of("?[]{}\\") != std::string_view::npos ||
      pattern.find("**") != std::string_view::npos) {
    return fail(
        Code::policy_value,
        "a glob knows only *, which matches any characters but /; write other patterns out");
  }
  return Glob(std::string(pattern));
}

bool Glob::matches(std::string_view text) const { return matches_pattern(pattern_, text); }

bool Glob::first_segment_matches(std::string_view segment) const {
  return matches_pattern(std::string_view(pattern_).substr(0, pattern_.find('/')), segment);
}

bool any_matches(const std::vector<Glob>& globs, std::string_view text) {
  return std::ranges::any_of(globs, [&](const Glob& glob) { return glob.matches(text); });
}

}  // namespace zwinger::text
