#include "json/decimal.h"

#include <algorithm>
#include <cstdlib>

namespace zwinger::json {

namespace {

constexpr std::int64_t kMaxInteger = (std::int64_t{1} << 53U) - 1;
constexpr int kMaxDigits = 16;          // of kMaxInteger
constexpr int kMaxFractionDigits = 15;  // significant digits that every double keeps
constexpr std::int64_t kMinAdjusted = -307;
// Exponents saturate here: far beyond what the digits of any text in memory can shift back into
// range.
constexpr std::int64_t kHugeExponent = 100'000'000'000'000'000;

int digit_count(std::int64_t magnitude) {
  int count = 0;
  for (; magnitude != 0; magnitude /= 10) ++count;
  return count;
}

std::int64_t scaled(std::int64_t magnitude, int digits) {
  for (int have = digit_count(magnitude); have < digits; ++have) magnitude *= 10;
  return magnitude;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Takes JSON number text (RFC 8259 section 6) apart.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  // False where the text is no JSON number.
  bool read() {
    negative_ = take('-');
    if (take('0')) {
      if (at_ < text_.size() && is_digit(text_[at_])) return false;
    } else if (!digits(false)) {
      return false;
    }
    if (take('.') && !digits(true)) return false;
    if ((take('e') || take('E')) && !exponent()) return false;
    return at_ == text_.size();
  }

  [[nodiscard]] bool negative() const { return negative_; }
  // The significant digits, from the first to the last that is not 0, as an integer; 0 for zero.
  // Meaningless where significant() says that there are more than kMaxDigits.
  [[nodiscard]] std::int64_t coefficient() const { return coefficient_; }
  [[nodiscard]] std::size_t significant() const { return significant_; }
  // Power of ten of the last significant digit; of the first.
  [[nodiscard]] std::int64_t last_power() const {
    return written_exponent_ - fraction_digits_ + trailing_zeros_;
  }
  [[nodiscard]] std::int64_t first_power() const {
    return last_power() + static_cast<std::int64_t>(significant_) - 1;
  }

 private:
  bool take(char c) {
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  bool digits(bool fraction) {
    const std::size_t start = at_;
    for (; at_ < text_.size() && is_digit(text_[at_]); ++at_) {
      if (fraction) ++fraction_digits_;
      if (text_[at_] != '0') {
        push_pending_zeros();
        push(text_[at_] - '0');
      } else if (significant_ > 0) {
        ++trailing_zeros_;
      }
    }
    return at_ > start;
  }

  // Zeros turn out to be significant once another digit follows them.
  void push_pending_zeros() {
    for (; trailing_zeros_ > 0; --trailing_zeros_) push(0);
  }

  void push(int digit) {
    if (++significant_ <= kMaxDigits) coefficient_ = coefficient_ * 10 + digit;
  }

  bool exponent() {
    const bool minus = take('-');
    if (!minus) take('+');
    const std::size_t start = at_;
    for (; at_ < text_.size() && is_digit(text_[at_]); ++at_) {
      if (written_exponent_ < kHugeExponent)
        written_exponent_ = written_exponent_ * 10 + (text_[at_] - '0');
    }
    written_exponent_ = std::min(written_exponent_, kHugeExponent);
    if (minus) written_exponent_ = -written_exponent_;
    return at_ > start;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool negative_ = false;
  std::int64_t coefficient_ = 0;
  std::size_t significant_ = 0;
  std::int64_t trailing_zeros_ = 0;  // behind the last significant digit
  std::int64_t fraction_digits_ = 0;
  std::int64_t written_exponent_ = 0;
};

}  // namespace

std::optional<Decimal> Decimal::parse(std::string_view number_text) {
  Reader number(number_text);
  if (!number.read()) return std::nullopt;
  Decimal result;
  if (number.significant() == 0) return result;
  if (number.last_power() >= 0) {
    // An integer of more than 16 digits is beyond 2^53-1, whatever those digits are.
    if (number.first_power() >= kMaxDigits) return std::nullopt;
    const int digits = static_cast<int>(number.first_power()) + 1;
    if (scaled(number.coefficient(), digits) > kMaxInteger) return std::nullopt;
  } else if (number.significant() > kMaxFractionDigits || number.first_power() < kMinAdjusted) {
    return std::nullopt;
  }
  result.coefficient_ = number.negative() ? -number.coefficient() : number.coefficient();
  result.exponent_ = static_cast<std::int32_t>(number.last_power());
  return result;
}

std::strong_ordering operator<=>(const Decimal& a, const Decimal& b) {
  const auto sign = [](const Decimal& d) {
    return (d.coefficient_ > 0 ? 1 : 0) - (d.coefficient_ < 0 ? 1 : 0);
  };
  if (sign(a) != sign(b)) return sign(a) <=> sign(b);
  if (sign(a) == 0) return std::strong_ordering::equal;
  // Same sign: the larger magnitude has the first digit of higher power or, with equal powers, the
  // larger digits once both are written with 16 of them.
  const Decimal& large = sign(a) > 0 ? a : b;
  const Decimal& small = sign(a) > 0 ? b : a;
  const std::int64_t large_digits = std::abs(large.coefficient_);
  const std::int64_t small_digits = std::abs(small.coefficient_);
  const int large_power = large.exponent_ + digit_count(large_digits);
  const int small_power = small.exponent_ + digit_count(small_digits);
  if (large_power != small_power) return large_power <=> small_power;
  return scaled(large_digits, kMaxDigits) <=> scaled(small_digits, kMaxDigits);
}

}  // namespace zwinger::json
