// The host of a URL, when every parser agrees on it. Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace zwinger::text {

// A host name or IP literal in canonical form: ASCII lower case, one trailing dot dropped, IPv6 in
// brackets and RFC 5952 form, IPv4 only as four decimal numbers. Nothing for what is not plainly
// one of these (empty labels, percent signs, non-ASCII, characters that no host name has, numbers
// such as 0x7f.1 or 127.1 or 2130706433 that some parsers read as IPv4).
[[nodiscard]] std::optional<std::string> canonical_host(std::string_view host);

// The canonical host of an absolute URL "scheme://host[:port][/...][?...][#...]" whose scheme is
// http, https, ws, wss or ftp: these go to their host and are split alike by all parsers. Nothing
// for any other scheme (file and javascript URLs ignore their host), relative or opaque URLs,
// userinfo (or an @ that old parsers take for its end), backslashes, spaces or control characters
// anywhere, a malformed or empty port, a host that canonical_host refuses.
[[nodiscard]] std::optional<std::string> canonical_url_host(std::string_view url);

}  // namespace zwinger::text
