// UTF-8 as RFC 3629 defines it. Pure functions; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace zwinger::text {

// Byte offset of the first byte that is not part of well-formed UTF-8; nothing when all of it is.
[[nodiscard]] std::optional<std::size_t> first_invalid_utf8(std::string_view text);
// Number of code points of well-formed UTF-8.
[[nodiscard]] std::size_t count_code_points(std::string_view text);
// Takes the first code point off well-formed UTF-8 that is not empty.
[[nodiscard]] std::uint32_t take_code_point(std::string_view& text);
// Appends one code point, which must be a scalar value (no surrogate, at most U+10FFFF).
void append_utf8(std::string& out, std::uint32_t code_point);

}  // namespace zwinger::text
