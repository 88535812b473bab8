// Globs over what an upstream offers besides tools. Values; any thread. Part of grant: see grant.h.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/glob.h"

namespace zwinger::grant {

// A glob over "upstream/uri". `*` matches any run of characters but `/`, `?` and `#`. As the last
// three characters, `/**` matches a slash and any rest of at least one character. Everything else
// stands for itself.
class ResourceGlob {
 public:
  // `uri` is one that is_plain_uri() (grant/uri.h) takes.
  [[nodiscard]] bool matches(std::string_view upstream, std::string_view uri) const;
  // Whether some resource of the upstream might match.
  [[nodiscard]] bool may_match(std::string_view upstream) const {
    return head_.first_segment_matches(upstream);
  }
  // As it was written.
  [[nodiscard]] std::string pattern() const { return head_.pattern() + (any_rest_ ? "/**" : ""); }

 private:
  friend Result<ResourceGlob> parse_resource_glob(std::string_view pattern);
  ResourceGlob(text::Glob head, std::size_t slashes, bool any_rest)
      : head_(std::move(head)), slashes_(slashes), any_rest_(any_rest) {}
  text::Glob head_;      // "upstream/uri", without a final "/**"
  std::size_t slashes_;  // in the URI part of `head_`
  bool any_rest_;
};

// Errors: policy_value for what text::Glob refuses (but for a final "/**"), and for a glob that can
// match no resource: without an upstream before its first slash, or without a scheme or a star for
// one behind it.
[[nodiscard]] Result<ResourceGlob> parse_resource_glob(std::string_view pattern);

// A glob over "upstream/prompt", as tool globs are. Errors: policy_value, as parse_tool_glob().
[[nodiscard]] Result<text::Glob> parse_prompt_glob(std::string_view pattern);

[[nodiscard]] bool any_matches(const std::vector<ResourceGlob>& globs, std::string_view upstream,
                               std::string_view uri);

}  // namespace zwinger::grant
