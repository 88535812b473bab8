#include "json/canonical.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>
#include <system_error>
#include <vector>

#include "json/writer.h"

namespace zwinger::json {

namespace {

// Up to here every integer is a double of its own, and ECMAScript writes it in full.
constexpr std::int64_t kMaxExact = std::int64_t{1} << 53U;
// ECMAScript writes a number without exponent while its decimal point stands at most so far behind
// its first digit, and at most so many zeros in front of it.
constexpr int kMaxPlain = 21;
constexpr int kMinPlain = -6;

// UTF-8 sorts as code points do, UTF-16 too save that what is encoded by surrogates comes before
// U+E000 to U+FFFF. Lead bytes EE and EF begin these, F0 to F4 the former; a byte that follows a
// lead byte is never one of them.
unsigned rank(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte == 0xEE || byte == 0xEF ? byte + 0x10U : byte;
}

bool utf16_less(std::string_view a, std::string_view b) {
  const auto [x, y] = std::ranges::mismatch(a, b);
  if (y == b.end()) return false;
  return x == a.end() || rank(*x) < rank(*y);
}

// Finite, not zero. The words are those of ECMA-262, Number::toString: the value is 0.DIGITS times
// ten to the power of `point`.
void append_finite(std::string& out, double number) {
  std::array<char, 32> buffer{};
  const auto written = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number,
                                     std::chars_format::scientific);
  std::string_view text(buffer.data(), static_cast<std::size_t>(written.ptr - buffer.data()));
  if (text.front() == '-') {
    out += '-';
    text.remove_prefix(1);
  }
  const std::size_t e = text.find('e');
  std::string digits(text, 0, 1);
  if (e > 2) digits += text.substr(2, e - 2);
  int exponent = 0;
  const bool minus = text[e + 1] == '-';
  (void)std::from_chars(text.data() + e + 2, text.data() + text.size(), exponent);
  const int point = (minus ? -exponent : exponent) + 1;
  const int count = static_cast<int>(digits.size());

  if (point > kMaxPlain || point <= kMinPlain) {
    out += digits.front();
    if (count > 1) out.append(".").append(digits, 1);
    out.append(point > 0 ? "e+" : "e-").append(std::to_string(std::abs(point - 1)));
  } else if (point <= 0) {
    out.append("0.").append(static_cast<std::size_t>(-point), '0').append(digits);
  } else if (count <= point) {
    out.append(digits).append(static_cast<std::size_t>(point - count), '0');
  } else {
    out.append(digits, 0, static_cast<std::size_t>(point)).append(".");
    out.append(digits, static_cast<std::size_t>(point));
  }
}

void append_double(std::string& out, double number) {
  if (number == 0) {
    out += '0';  // -0 too
  } else {
    append_finite(out, number);
  }
}

// Whether a JSON number that no double is near to is too small for one: its magnitude is below 1.
bool is_tiny(std::string_view text) {
  const std::size_t e = std::min(text.find_first_of("eE"), text.size());
  std::string_view mantissa = text.substr(0, e);
  if (mantissa.starts_with('-')) mantissa.remove_prefix(1);
  const std::size_t first = mantissa.find_first_not_of("0.");
  if (first == std::string_view::npos) return true;  // zero
  const auto point = static_cast<std::int64_t>(std::min(mantissa.find('.'), mantissa.size()));
  const auto at = static_cast<std::int64_t>(first);
  const std::int64_t power = at < point ? point - at - 1 : point - at;
  if (e == text.size()) return power < 0;
  std::string_view written = text.substr(e + 1);
  if (written.starts_with('+')) written.remove_prefix(1);
  std::int64_t exponent = 0;
  const auto read = std::from_chars(written.data(), written.data() + written.size(), exponent);
  if (read.ec != std::errc()) return written.starts_with('-');  // beyond any number of digits
  // Written like this, nothing overflows: a text in memory has far fewer digits than 2^62.
  return exponent < -power;
}

Result<void> append_number(std::string& out, const Value& value) {
  if (const auto integer = value.integer();
      integer && *integer >= -kMaxExact && *integer <= kMaxExact) {
    std::array<char, 20> buffer{};
    const auto written = std::to_chars(buffer.data(), buffer.data() + buffer.size(), *integer);
    out.append(buffer.data(), written.ptr);
    return {};
  }
  const std::string_view text = value.number_text();
  double number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (read.ec != std::errc() || !std::isfinite(number)) {
    if (!is_tiny(text)) {
      return fail(Code::json_number_range, "no double is as large as this number",
                  "byte " + std::to_string(value.offset()));
    }
    number = 0;
  }
  append_double(out, number);
  return {};
}

Result<void> append_object(std::string& out, const Value& value) {
  std::vector<Value> members;
  members.reserve(value.size());
  for (const Value member : value.children()) members.push_back(member);
  std::ranges::sort(members, utf16_less, &Value::name);
  char before = '{';
  for (const Value& member : members) {
    out += before;
    out += quote(member.name());
    out += ':';
    ZWINGER_CHECK_OK(append_canonical(out, member));
    before = ',';
  }
  out.append(members.empty() ? "{}" : "}");
  return {};
}

Result<void> append_array(std::string& out, const Value& value) {
  char before = '[';
  for (const Value element : value.children()) {
    out += before;
    ZWINGER_CHECK_OK(append_canonical(out, element));
    before = ',';
  }
  out.append(before == '[' ? "[]" : "]");
  return {};
}

}  // namespace

Result<void> append_canonical(std::string& out, const Value& value) {
  switch (value.kind()) {
    case Kind::null:
      out += "null";
      return {};
    case Kind::boolean:
      out += value.boolean() ? "true" : "false";
      return {};
    case Kind::number:
      return append_number(out, value);
    case Kind::string:
      // The writer's escapes are those of RFC 8785 section 3.2.2.2; a test holds them to it.
      out += quote(value.string());
      return {};
    case Kind::array:
      return append_array(out, value);
    case Kind::object:
      return append_object(out, value);
  }
  return fail(Code::internal, "a value of no kind");
}

Result<std::string> canonical(const Value& value) {
  std::string out;
  ZWINGER_CHECK_OK(append_canonical(out, value));
  return out;
}

std::optional<std::string> canonical_number(double number) {
  if (!std::isfinite(number)) return std::nullopt;
  std::string out;
  append_double(out, number);
  return out;
}

}  // namespace zwinger::json
