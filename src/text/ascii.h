// ASCII character classes without a locale. Pure functions; any thread.
#pragma once

#include <string_view>

namespace zwinger::text {

[[nodiscard]] constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
[[nodiscard]] constexpr char to_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
[[nodiscard]] constexpr bool is_letter(char c) { return to_lower(c) >= 'a' && to_lower(c) <= 'z'; }
// 0 to 15, or -1 where `c` is no hex digit.
[[nodiscard]] constexpr int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  const char lower = to_lower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// Whether well-formed UTF-8 holds a control character: C0, DEL, or C1 (U+0080 to U+009F, which is
// C2 80 to C2 9F).
[[nodiscard]] constexpr bool has_control(std::string_view text) {
  unsigned char before = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) return true;
    if (before == 0xC2 && byte >= 0x80 && byte <= 0x9F) return true;
    before = byte;
  }
  return false;
}

}  // namespace zwinger::text
