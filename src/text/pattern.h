// User-written regular expressions: RE2, whole value, linear time. A Pattern is immutable; any
// thread.
#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"

namespace re2 {
class RE2;
}

namespace zwinger::text {

class Pattern {
 public:
  // Errors: policy_value with RE2's message; patterns over 4096 bytes or needing over 1 MiB are
  // refused.
  [[nodiscard]] static Result<Pattern> compile(std::string_view regex);
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;
  ~Pattern();

  [[nodiscard]] bool matches_whole(std::string_view text) const;

 private:
  explicit Pattern(std::unique_ptr<re2::RE2> re);
  std::unique_ptr<re2::RE2> re_;
};

}  // namespace zwinger::text
