#include "text/pattern.h"

#include <re2/re2.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace zwinger::text {

namespace {
constexpr std::size_t kMaxPattern = 4096;
constexpr std::int64_t kMaxMemory = std::int64_t{1} << 20U;

re2::StringPiece piece(std::string_view text) { return {text.data(), text.size()}; }
}  // namespace

Pattern::Pattern(std::unique_ptr<re2::RE2> re) : re_(std::move(re)) {}
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;

Result<Pattern> Pattern::compile(std::string_view regex) {
  if (regex.size() > kMaxPattern) {
    return fail(Code::policy_value, "a pattern must not be longer than 4096 bytes");
  }
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kMaxMemory);
  auto re = std::make_unique<RE2>(piece(regex), options);
  if (!re->ok()) return fail(Code::policy_value, "RE2 does not accept the pattern: " + re->error());
  return Pattern(std::move(re));
}

bool Pattern::matches_whole(std::string_view text) const {
  return RE2::FullMatch(piece(text), *re_);
}

}  // namespace zwinger::text
