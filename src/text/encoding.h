// base64url (RFC 4648 section 5) and hex, strict. Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace zwinger::text {

// Unpadded base64url. Decoding refuses padding, other alphabets, white space, and non-zero trailing
// bits.
[[nodiscard]] std::string base64url_encode(std::string_view bytes);
[[nodiscard]] std::optional<std::string> base64url_decode(std::string_view text);
// Lower-case hex.
[[nodiscard]] std::string hex_encode(std::string_view bytes);

}  // namespace zwinger::text
