// SHA-256 and a comparison that leaks no timing, over OpenSSL 3. Free functions are thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace zwinger::crypto {

using Sha256 = std::array<std::uint8_t, 32>;

// FIPS 180-4. Ends the program where OpenSSL has no SHA-256: nothing here works without it.
[[nodiscard]] Sha256 sha256(std::string_view bytes);
[[nodiscard]] std::string sha256_hex(std::string_view bytes);  // 64 lower-case hex digits
// Compares without telling how far it got. Different lengths are unequal.
[[nodiscard]] bool equal_constant_time(std::string_view a, std::string_view b);

}  // namespace zwinger::crypto
