// Absolute POSIX paths, lexically. Nothing here touches a file system: a symbolic link inside a
// root can still lead out of it, which is what sandboxes are for. Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace zwinger::text {

// The path with "//", "." and ".." resolved and no trailing slash ("/" for the root). Nothing for
// what is not absolute, holds a control character, a backslash or malformed UTF-8, climbs above the
// root, or has a segment that becomes "." or ".." or comes to hold a slash, a backslash, a control
// character or malformed UTF-8 when it is percent-decoded and its look-alikes of . / \ % are folded
// (as NFKC and best-fit code pages do), once or repeatedly.
[[nodiscard]] std::optional<std::string> canonical_path(std::string_view path);

// Whether canonical `path` is canonical `root` or lies below it ("/data" covers "/data/x", not
// "/database").
[[nodiscard]] bool is_under(std::string_view canonical_path, std::string_view canonical_root);

}  // namespace zwinger::text
