#include "grant/item_glob.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "text/ascii.h"

namespace zwinger::grant {

namespace {

constexpr std::string_view kAnyRest = "/**";

bool is_upstream_pattern(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || text::is_digit(c) || c == '-' || c == '*';
  });
}

// What the first `slashes + 1` slashes of the URI leave before the last of them, if anything
// follows; else nothing.
std::string_view before_rest(std::string_view uri, std::size_t slashes) {
  std::size_t at = uri.find('/');
  for (; slashes > 0 && at != std::string_view::npos; --slashes) at = uri.find('/', at + 1);
  if (at == std::string_view::npos || at + 1 == uri.size()) return {};
  return uri.substr(0, at);
}

}  // namespace

bool ResourceGlob::matches(std::string_view upstream, std::string_view uri) const {
  const std::string_view head = any_rest_ ? before_rest(uri, slashes_) : uri;
  // A query or fragment here would be taken by a star that was meant for a host or a name.
  if (head.empty() || head.find_first_of("?#") != std::string_view::npos) return false;
  return head_.matches(fmt::format("{}/{}", upstream, head));
}

Result<ResourceGlob> parse_resource_glob(std::string_view pattern) {
  const std::size_t slash = pattern.find('/');
  if (slash == std::string_view::npos || !is_upstream_pattern(pattern.substr(0, slash))) {
    return fail(Code::policy_value,
                "a resource glob has the form upstream/uri, for example bank/bank://statements/*");
  }
  std::string_view uri = pattern.substr(slash + 1);
  const bool any_rest = uri.ends_with(kAnyRest);
  if (any_rest) uri.remove_suffix(kAnyRest.size());
  if (uri.substr(0, uri.find('/')).find_first_of(":*") == std::string_view::npos) {
    return fail(Code::policy_value,
                "a URI glob begins with a scheme or a star for it, for example file:///data/**");
  }
  ZWINGER_TRY(text::Glob head, text::Glob::parse(pattern.substr(0, slash + 1 + uri.size())));
  return ResourceGlob(std::move(head), static_cast<std::size_t>(std::ranges::count(uri, '/')),
                      any_rest);
}

Result<text::Glob> parse_prompt_glob(std::string_view pattern) {
  ZWINGER_TRY(text::Glob glob, text::Glob::parse(pattern));
  if (!pattern.contains('/')) {
    return fail(Code::policy_value, "a prompt glob has the form upstream/prompt");
  }
  return glob;
}

bool any_matches(const std::vector<ResourceGlob>& globs, std::string_view upstream,
                 std::string_view uri) {
  return std::ranges::any_of(globs,
                             [&](const ResourceGlob& glob) { return glob.matches(upstream, uri); });
}

}  // namespace zwinger::grant
