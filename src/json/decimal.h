// Exact decimal numbers, compared without floating point. Values; any thread.
//
// A number is exact when it is an integer of magnitude at most 2^53-1, or has a fraction, at most
// 15 significant digits and a magnitude of at least 1e-307 (I-JSON, RFC 7493 section 2.2, on the
// safe side: 1e20 is not exact, although a double holds it). What is not exact has no Decimal, so
// it can satisfy no constraint. "1e3", "1000.0" and "1000" are the same number; "-0" is 0.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string_view>

namespace zwinger::json {

class Decimal {
 public:
  // From JSON number text. Nothing when the text is no JSON number or not exact.
  [[nodiscard]] static std::optional<Decimal> parse(std::string_view number_text);

  friend std::strong_ordering operator<=>(const Decimal& a, const Decimal& b);
  friend bool operator==(const Decimal& a, const Decimal& b) = default;

 private:
  // value = coefficient * 10^exponent; coefficient has no trailing zero; zero is {0, 0}
  std::int64_t coefficient_ = 0;
  std::int32_t exponent_ = 0;
};

}  // namespace zwinger::json
