#include "json/canonical.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "json/writer.h"
#include "text/utf8.h"

namespace zwinger::json {
namespace {

std::string canonical_of(std::string_view text) {
  const auto document = Document::parse(std::string(text));
  if (!document) return document.error().to_string();
  const auto out = canonical(document->root());
  return out ? *out : out.error().to_string();
}

// RFC 8785 sections 3.2.2 and 3.2.3.
TEST(Canonical, TheSampleOfTheRfc) {
  const std::string canonical = canonical_of(R"({
    "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
    "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
    "literals": [null, true, false]
  })");
  EXPECT_EQ(canonical, R"({"literals":[null,true,false],)"
                       R"("numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],)"
                       "\"string\":\"\u20ac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
}

// Section 3.2.4: the same sample in bytes.
TEST(Canonical, TheSampleInBytes) {
  constexpr std::array<unsigned char, 117> kBytes = {
      0x7b, 0x22, 0x6c, 0x69, 0x74, 0x65, 0x72, 0x61, 0x6c, 0x73, 0x22, 0x3a, 0x5b, 0x6e, 0x75,
      0x6c, 0x6c, 0x2c, 0x74, 0x72, 0x75, 0x65, 0x2c, 0x66, 0x61, 0x6c, 0x73, 0x65, 0x5d, 0x2c,
      0x22, 0x6e, 0x75, 0x6d, 0x62, 0x65, 0x72, 0x73, 0x22, 0x3a, 0x5b, 0x33, 0x33, 0x33, 0x33,
      0x33, 0x33, 0x33, 0x33, 0x33, 0x2e, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x2c, 0x31,
      0x65, 0x2b, 0x33, 0x30, 0x2c, 0x34, 0x2e, 0x35, 0x2c, 0x30, 0x2e, 0x30, 0x30, 0x32, 0x2c,
      0x31, 0x65, 0x2d, 0x32, 0x37, 0x5d, 0x2c, 0x22, 0x73, 0x74, 0x72, 0x69, 0x6e, 0x67, 0x22,
      0x3a, 0x22, 0xe2, 0x82, 0xac, 0x24, 0x5c, 0x75, 0x30, 0x30, 0x30, 0x66, 0x5c, 0x6e, 0x41,
      0x27, 0x42, 0x5c, 0x22, 0x5c, 0x5c, 0x5c, 0x5c, 0x5c, 0x22, 0x2f, 0x22};
  const std::string canonical =
      canonical_of(R"({"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",)"
                   R"("numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],)"
                   R"("literals":[null,true,false]})");
  EXPECT_EQ(canonical, std::string(kBytes.begin(), kBytes.end()) + "}");
}

// The example of section 3.2.3: code units decide, so the emoji (D83D DE00) stands before U+FB33.
TEST(Canonical, TheSortingExampleOfTheRfc) {
  const std::string canonical = canonical_of(R"({
    "\u20ac": "Euro Sign",
    "\r": "Carriage Return",
    "\ufb33": "Hebrew Letter Dalet With Dagesh",
    "1": "One",
    "\ud83d\ude00": "Emoji: Grinning Face",
    "\u0080": "Control",
    "\u00f6": "Latin Small Letter O With Diaeresis"
  })");
  EXPECT_EQ(canonical,
            "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u0080\":\"Control\","
            "\"\u00f6\":\"Latin Small Letter O With Diaeresis\",\"\u20ac\":\"Euro Sign\","
            "\"\U0001F600\":\"Emoji: Grinning Face\","
            "\"\uFB33\":\"Hebrew Letter Dalet With Dagesh\"}");
}

struct NumberVector {
  std::uint64_t bits;
  std::string_view text;  // empty: an error
};

// Appendix B, whole.
constexpr std::array kNumbers = {
    NumberVector{0x0000000000000000, "0"},
    NumberVector{0x8000000000000000, "0"},
    NumberVector{0x0000000000000001, "5e-324"},
    NumberVector{0x8000000000000001, "-5e-324"},
    NumberVector{0x7fefffffffffffff, "1.7976931348623157e+308"},
    NumberVector{0xffefffffffffffff, "-1.7976931348623157e+308"},
    NumberVector{0x4340000000000000, "9007199254740992"},
    NumberVector{0xc340000000000000, "-9007199254740992"},
    NumberVector{0x4430000000000000, "295147905179352830000"},
    NumberVector{0x7fffffffffffffff, ""},
    NumberVector{0x7ff0000000000000, ""},
    NumberVector{0x44b52d02c7e14af5, "9.999999999999997e+22"},
    NumberVector{0x44b52d02c7e14af6, "1e+23"},
    NumberVector{0x44b52d02c7e14af7, "1.0000000000000001e+23"},
    NumberVector{0x444b1ae4d6e2ef4e, "999999999999999700000"},
    NumberVector{0x444b1ae4d6e2ef4f, "999999999999999900000"},
    NumberVector{0x444b1ae4d6e2ef50, "1e+21"},
    NumberVector{0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
    NumberVector{0x3eb0c6f7a0b5ed8d, "0.000001"},
    NumberVector{0x41b3de4355555553, "333333333.3333332"},
    NumberVector{0x41b3de4355555554, "333333333.33333325"},
    NumberVector{0x41b3de4355555555, "333333333.3333333"},
    NumberVector{0x41b3de4355555556, "333333333.3333334"},
    NumberVector{0x41b3de4355555557, "333333333.33333343"},
    NumberVector{0xbecbf647612f3696, "-0.0000033333333333333333"},
    NumberVector{0x43143ff3c1cb0959, "1424953923781206.2"},
};

TEST(Canonical, TheNumberTableOfTheRfc) {
  for (const auto& [bits, text] : kNumbers) {
    const auto number = canonical_number(std::bit_cast<double>(bits));
    EXPECT_EQ(number.value_or(""), text) << std::hex << bits;
    if (!text.empty()) {
      EXPECT_EQ(canonical_of(text), text) << "read back";
    }
  }
  EXPECT_FALSE(canonical_number(-std::numeric_limits<double>::infinity()));
}

// The smallest and largest of each of ECMAScript's four notations, with few digits and with many.
TEST(Canonical, NotationsChangeWhereEcmaScriptChangesThem) {
  for (const auto& [text, expected] : std::vector<std::pair<std::string_view, std::string_view>>{
           {"1.0", "1"},
           {"-0", "0"},
           {"-0.0e5", "0"},
           {"10", "10"},
           {"1e0", "1"},
           {"-1.5", "-1.5"},
           {"123.456e1", "1234.56"},
           {"1e20", "100000000000000000000"},
           {"123456789012345678901", "123456789012345680000"},
           {"1e21", "1e+21"},
           {"1234567890123456789012", "1.2345678901234568e+21"},
           {"1e-6", "0.000001"},
           {"0.00000123", "0.00000123"},
           {"1e-7", "1e-7"},
           {"0.000000123", "1.23e-7"},
           {"-1e-7", "-1e-7"},
           {"9007199254740993", "9007199254740992"},  // between two doubles: the even one
           {"9007199254740991", "9007199254740991"},
           {"-9223372036854775808", "-9223372036854776000"},
           {"0.1", "0.1"},
           {"0.30000000000000004", "0.30000000000000004"},
           {"1.7976931348623157e308", "1.7976931348623157e+308"}}) {
    EXPECT_EQ(canonical_of(text), expected) << text;
  }
}

TEST(Canonical, WhatIsTooLargeIsAnErrorAndWhatIsTooSmallIsZero) {
  const std::string zeros(400, '0');
  for (const std::string& large :
       {std::string("1e309"), std::string("-1e309"), std::string("1.8e308"), "1" + zeros,
        "0." + zeros + "1e800", std::string("1e99999999999999999999999")}) {
    const auto document = Document::parse("[0, " + large + "]");
    ASSERT_TRUE(document) << large;
    const auto out = canonical(document->root());
    ASSERT_FALSE(out) << large;
    EXPECT_EQ(out.error().code, Code::json_number_range);
    EXPECT_EQ(out.error().where, "byte 4");
  }
  for (const std::string& small :
       {std::string("1e-400"), std::string("-1e-400"), "0." + zeros + "1", "1" + zeros + "e-900",
        std::string("1e-99999999999999999999999"), std::string("0e99999999999999999999999"),
        std::string("0.000e400")}) {
    EXPECT_EQ(canonical_of(small), "0") << small;
  }
}

// Section 3.2.2.2: two-letter escapes where there are any, lower-case \u00xx for other controls,
// and everything else as it is, also DEL, the solidus, U+2028 and what lies beyond the BMP.
TEST(Canonical, StringsHaveTheFewestEscapes) {
  EXPECT_EQ(canonical_of(R"("\u0000\u0008\u0009\u000a\u000b\u000c\u000d\u001F")"),
            R"("\u0000\b\t\n\u000b\f\r\u001f")");
  EXPECT_EQ(canonical_of(R"("\u0022\u005C\u002f\u007f\u00e4\u2028\ud834\udd1e")"),
            "\"\\\"\\\\/\x7f\u00e4\u2028\U0001D11E\"");
}

TEST(Canonical, ContainersHoldNoSpace) {
  EXPECT_EQ(canonical_of(" [ ] "), "[]");
  EXPECT_EQ(canonical_of(" { } "), "{}");
  EXPECT_EQ(canonical_of("[ 1 , [ 2 ] , { } ]"), "[1,[2],{}]");
  EXPECT_EQ(canonical_of(R"({ "b" : { "d" : 1 , "c" : 2 } , "a" : [ { "y" : 1 , "x" : 2 } ] })"),
            R"({"a":[{"x":2,"y":1}],"b":{"c":2,"d":1}})");
}

std::u16string utf16(std::string_view text) {
  std::u16string out;
  while (!text.empty()) {
    const std::uint32_t point = text::take_code_point(text);
    if (point < 0x10000) {
      out += static_cast<char16_t>(point);
    } else {
      out += static_cast<char16_t>(0xD800 + ((point - 0x10000) >> 10U));
      out += static_cast<char16_t>(0xDC00 + ((point - 0x10000) & 0x3FFU));
    }
  }
  return out;
}

// Every order in which members may come has one form, and its order is that of real UTF-16.
TEST(Canonical, OrderOfMembersIsThatOfUtf16AndNotOfTheSource) {
  std::vector<std::string> names = {
      "",        "a",           "aa",         "A",       "\x7f",
      "\u0080",  "\u07ff",      "\u0800",     "\ud7ff",  "\ue000",
      "\uffff",  "\U00010000",  "\U0010FFFF", "a\ue000", "a\U00010000",
      "\ue000a", "\U00010000a", "\uefff",     "\uf000"};
  std::vector<std::string> sorted = names;
  std::ranges::sort(sorted, {}, utf16);
  Writer expected;
  expected.begin_object();
  for (const std::string& name : sorted) expected.key(name).string(name);
  expected.end_object();
  const std::string form = std::move(expected).take();

  std::minstd_rand random(7);  // NOLINT(bugprone-random-generator-seed,cert-msc51-cpp)
  for (int round = 0; round < 50; ++round) {
    std::ranges::shuffle(names, random);
    Writer source;
    source.begin_object();
    for (const std::string& name : names) source.key(name).string(name);
    source.end_object();
    EXPECT_EQ(canonical_of(std::move(source).take()), form);
  }
}

// Any double comes back from its form, and its form from the form.
TEST(Canonical, NumbersComeBack) {
  std::mt19937_64 random(11);  // NOLINT(bugprone-random-generator-seed,cert-msc51-cpp)
  for (int round = 0; round < 20000; ++round) {
    const auto number = std::bit_cast<double>(random());
    const auto text = canonical_number(number);
    if (!text) continue;  // NaN or infinite
    double back = 0;
    const auto read = std::from_chars(text->data(), text->data() + text->size(), back);
    ASSERT_EQ(read.ptr, text->data() + text->size()) << *text;
    ASSERT_EQ(back, number) << *text;
    ASSERT_EQ(canonical_of(*text), *text);
  }
}

}  // namespace
}  // namespace zwinger::json
