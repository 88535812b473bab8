// Which resource URIs may be compared with a glob at all. Private to src/grant. Pure functions; any
// thread.
#pragma once

#include <cstddef>
#include <string_view>

namespace zwinger::grant {

inline constexpr std::size_t kMaxUriBytes = 2048;

// Whether the URI is absolute and every reader takes it for the same one, so that a glob which
// matches its text matches what will be read. Not so: longer than kMaxUriBytes; malformed UTF-8,
// control characters, spaces, backslashes; no scheme or nothing behind it; an authority with user
// information, percent signs, characters beyond ASCII or a port that is no number; an empty segment
// in the path; a segment (queries and fragments are cut into segments too, and segments at their
// semicolons) that text::canonical_path would not take as a name: "." and "..", plain or
// percent-decoded or folded, and whatever comes to hold a separator, a control character or
// malformed UTF-8. Braces of URI templates are ordinary characters.
[[nodiscard]] bool is_plain_uri(std::string_view uri);

}  // namespace zwinger::grant
