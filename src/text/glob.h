// Globs over tool identities ("upstream/tool"). `*` matches any run of characters but `/`; every
// other character stands for itself; comparison is byte by byte, case matters. A Glob is a value;
// any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace zwinger::text {

class Glob {
 public:
  // Errors: policy_value for an empty pattern, one over 512 bytes, one with control characters or
  // malformed UTF-8, or with one of `? [ ] { } \ **`, which other dialects give a meaning that this
  // one lacks.
  [[nodiscard]] static Result<Glob> parse(std::string_view pattern);

  [[nodiscard]] bool matches(
      std::string_view text) const;  // linear in both lengths' product at worst
  // Whether what stands before the pattern's first slash matches `segment`, which holds no slash:
  // only then can the glob match some text that begins with the segment and a slash.
  [[nodiscard]] bool first_segment_matches(std::string_view segment) const;
  [[nodiscard]] const std::string& pattern() const { return pattern_; }

 private:
  explicit Glob(std::string pattern) : pattern_(std::move(pattern)) {}
  std::string pattern_;
};

// Whether any of the globs matches.
[[nodiscard]] bool any_matches(const std::vector<Glob>& globs, std::string_view text);

}  // namespace zwinger::text
