#include "json/decimal.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace zwinger::json {
namespace {

bool exact(std::string_view text) { return Decimal::parse(text).has_value(); }

std::strong_ordering compare(std::string_view a, std::string_view b) {
  const auto x = Decimal::parse(a);
  const auto y = Decimal::parse(b);
  EXPECT_TRUE(x) << a;
  EXPECT_TRUE(y) << b;
  return x && y ? *x <=> *y : std::strong_ordering::equal;
}

TEST(Decimal, OneNumberHasManySpellings) {
  const std::vector<std::vector<std::string>> same = {
      {"1000", "1e3", "1E+3", "1000.0", "1000.000", "10.00e2", "0.001e6", "100000e-2", "1000e0",
       "1000e-0"},
      {"0", "-0", "0.0", "-0.000", "0e0", "0e999999999999", "-0e-999999999999", "0.0e5"},
      {"-0.5", "-5e-1", "-0.50", "-50e-2", "-0.0005e3"},
      {"9007199254740991", "9007199254740991.0", "9007199254740.991e3", "9007199254740991000e-3"},
      {"0.000000000000000000001", "1e-21"},
      {"1", "0." + std::string(999, '0') + "1e1000", "1" + std::string(1000, '0') + "e-1000"},
  };
  for (const auto& group : same) {
    for (const auto& spelling : group) {
      EXPECT_EQ(compare(spelling, group.front()), std::strong_ordering::equal) << spelling;
      EXPECT_TRUE(Decimal::parse(spelling) == Decimal::parse(group.front())) << spelling;
    }
  }
}

TEST(Decimal, IntegersAreExactUpTo53Bits) {
  EXPECT_TRUE(exact("9007199254740991"));
  EXPECT_TRUE(exact("-9007199254740991"));
  EXPECT_FALSE(exact("9007199254740992"));
  EXPECT_FALSE(exact("-9007199254740992"));
  EXPECT_FALSE(exact("9007199254740993.0"));
  EXPECT_FALSE(exact("9999999999999999"));
  EXPECT_TRUE(exact("9e15"));
  EXPECT_TRUE(exact("9007199254740990"));  // 15 significant digits and a zero
  EXPECT_FALSE(exact("9007199254741000"));
  EXPECT_FALSE(exact("1e16"));
  EXPECT_FALSE(exact("10000000000000000"));
  EXPECT_FALSE(exact("1e20")) << "few digits do not make a large integer exact";
  EXPECT_FALSE(exact("12345678901234567890"));
}

TEST(Decimal, FractionsAreExactTo15SignificantDigits) {
  EXPECT_TRUE(exact("0.123456789012345"));
  EXPECT_FALSE(exact("0.1234567890123456"));
  EXPECT_TRUE(exact("0.000123456789012345"));
  EXPECT_TRUE(exact("0.1234567890123450000"));
  EXPECT_TRUE(exact("12345.6789012345"));
  EXPECT_FALSE(exact("12345.67890123456"));
  EXPECT_FALSE(exact("100000000000000.5"));  // sixteen digits, the zeros between are significant
  EXPECT_FALSE(exact("9007199254740990.5"));
  EXPECT_TRUE(exact("99999999999999.5"));
  EXPECT_FALSE(exact("1.0000000000000000000000000000001"));
  EXPECT_FALSE(exact("0.30000000000000004"));
}

TEST(Decimal, FractionsEndWhereNormalDoublesEnd) {
  EXPECT_TRUE(exact("1e-307"));
  EXPECT_TRUE(exact("-9.99e-307"));
  EXPECT_FALSE(exact("9.99e-308"));
  EXPECT_FALSE(exact("1e-308"));
  EXPECT_TRUE(exact("1.23456789012345e-307"));
  EXPECT_TRUE(exact("0.0001e-303"));
  EXPECT_FALSE(exact("0.0001e-304"));
}

TEST(Decimal, HugeExponentsNeitherOverflowNorLoop) {
  for (const auto* text :
       {"1e999999999999", "1e-999999999999", "1e99999999999999999999999999999999",
        "1e9223372036854775807", "1e-9223372036854775808", "1e18446744073709551616", "1e4294967296",
        "1e2147483648", "0.1e-99999999999999999999999999999999", "-5e+99999999999999999999"}) {
    EXPECT_FALSE(exact(text)) << text;
  }
  EXPECT_EQ(compare("0e99999999999999999999999999999999", "0"), std::strong_ordering::equal);
  EXPECT_FALSE(exact("1" + std::string(1'000'000, '0')));
  EXPECT_FALSE(exact("0." + std::string(1'000'000, '0') + "1"));
  EXPECT_EQ(compare("0." + std::string(999'999, '0') + "1e1000001", "10"),
            std::strong_ordering::equal);
}

TEST(Decimal, TakesNothingButJsonNumbers) {
  for (const auto* text :
       {"",   " ",   "-",   "+1",    "01",    "-01",   "00",  ".5",       "5.",        "1.e3",
        "1e", "1e+", "1e-", "1e1.0", "0x10",  "1_0",   "NaN", "Infinity", "-Infinity", " 1",
        "1 ", "1,0", "--1", "1e--1", "1e+-1", "\"1\"", "1a",  "1e5e5"}) {
    EXPECT_FALSE(exact(text)) << text;
  }
  EXPECT_FALSE(exact(std::string_view("1\0", 2)));
}

// Strictly ascending: every pair is compared both ways.
TEST(Decimal, OrdersAcrossSignsAndExponents) {
  const std::vector<std::string> ascending = {"-9007199254740991",
                                              "-9007199254740990",
                                              "-1000.5",
                                              "-1e3",
                                              "-999.999999999999",
                                              "-1.5",
                                              "-1.000001",
                                              "-1",
                                              "-0.9",
                                              "-0.1",
                                              "-0.09",
                                              "-1e-307",
                                              "0",
                                              "1e-307",
                                              "2e-307",
                                              "1.1e-306",
                                              "0.09",
                                              "0.1",
                                              "0.10000000000001",
                                              "0.11",
                                              "0.9",
                                              "0.999999999999999",
                                              "1",
                                              "1.00000000000001",
                                              "1.5",
                                              "9",
                                              "10",
                                              "10.5",
                                              "99",
                                              "100",
                                              "499.999999999999",
                                              "5e2",
                                              "500.000000000001",
                                              "999.999999999999",
                                              "1e3",
                                              "99999999999999.9",
                                              "100000000000000",
                                              "9e15",
                                              "9007199254740990",
                                              "9007199254740991"};
  for (std::size_t i = 0; i < ascending.size(); ++i) {
    for (std::size_t j = 0; j < ascending.size(); ++j) {
      EXPECT_EQ(compare(ascending[i], ascending[j]), i <=> j)
          << ascending[i] << " " << ascending[j];
    }
  }
}

}  // namespace
}  // namespace zwinger::json
