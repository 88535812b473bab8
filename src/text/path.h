// Absolute POSIX paths, lexically. Nothing here touches a file system: a symbolic link inside a
// root can still lead out of it, which is what sandboxes are for. Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace zwinger::text {

// The path with "//", "." and ".." resolved and no trailing slash ("/" for the root). Nothing for
// what is not absolute, holds a control character, a backslash or malformed UTF-8, or climbs above
// the root; nor for a path that a forgiving reader would read otherwise: one with a segment that
// becomes "." or ".." or comes to hold a slash, a backslash, a control character or malformed UTF-8
// when it is percent-decoded, folded (NFKC, best-fit look-alikes of / and \, spaces around it,
// accents and invisible characters dropped), or both, once or repeatedly; and one with any other
// character than the ellipsis that NFKC turns into something with a dot, as U+2488 "1." is. Names
// are kept as they came.
[[nodiscard]] std::optional<std::string> canonical_path(std::string_view path);

// Whether canonical `path` is canonical `root` or lies below it ("/data" covers "/data/x", not
// "/database").
[[nodiscard]] bool is_under(std::string_view canonical_path, std::string_view canonical_root);

}  // namespace zwinger::text
