#include "text/utf8.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace zwinger::text {
namespace {

using namespace std::string_view_literals;

TEST(Utf8, AcceptsTheEdgesOfEverySequenceLength) {
  for (const std::string_view ok :
       {""sv, "\0"sv, "\x7F"sv, "\xC2\x80"sv, "\xDF\xBF"sv, "\xE0\xA0\x80"sv, "\xED\x9F\xBF"sv,
        "\xEE\x80\x80"sv, "\xEF\xBF\xBF"sv, "\xF0\x90\x80\x80"sv, "\xF4\x8F\xBF\xBF"sv}) {
    EXPECT_EQ(first_invalid_utf8(ok), std::nullopt) << ok;
  }
}

// Unicode 15, section 3.9, table 3-7: one byte beyond each edge.
TEST(Utf8, RefusesWhatLiesBeyondTheEdges) {
  for (const std::string_view bad : {
           "\x80"sv,
           "\xBF"sv,  // a continuation byte alone
           "\xC0\x80"sv,
           "\xC1\xBF"sv,  // overlong, two bytes
           "\xE0\x9F\xBF"sv,
           "\xF0\x8F\xBF\xBF"sv,  // overlong, three and four bytes
           "\xED\xA0\x80"sv,
           "\xED\xBF\xBF"sv,  // surrogates
           "\xF4\x90\x80\x80"sv,
           "\xF5\x80\x80\x80"sv,  // beyond U+10FFFF
           "\xFE"sv,
           "\xFF"sv,  // never part of UTF-8
           "\xC2"sv,
           "\xE2\x82"sv,
           "\xF0\x9F\x98"sv,  // cut off
           "\xC2\x41"sv,
           "\xE2\x82\x41"sv,
           "\xF0\x9F\x98\x41"sv,
       }) {
    EXPECT_EQ(first_invalid_utf8(bad), 0U) << testing::PrintToString(bad);
    // The same behind a long ASCII run, where the scan goes eight bytes at a time.
    const std::string later = std::string(21, 'x') + std::string(bad);
    EXPECT_EQ(first_invalid_utf8(later), 21U) << testing::PrintToString(bad);
  }
}

TEST(Utf8, NamesTheFirstOfSeveralBadBytes) {
  EXPECT_EQ(first_invalid_utf8("\xC3\xA9\xE2\x82\xAC z\xFF\xFE"sv), 7U);
  EXPECT_EQ(first_invalid_utf8("12345678\xE2\x82"sv), 8U);
}

TEST(Utf8, CountsCodePointsNotBytes) {
  EXPECT_EQ(count_code_points(""), 0U);
  EXPECT_EQ(count_code_points("abc"), 3U);
  EXPECT_EQ(count_code_points("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"), 3U);
  EXPECT_EQ(count_code_points("e\xCC\x81"), 2U);  // a combining accent counts
}

TEST(Utf8, AppendsEachSequenceLength) {
  std::string out;
  for (const std::uint32_t c :
       {0x24U, 0x7FU, 0x80U, 0x7FFU, 0x800U, 0xFFFFU, 0x10000U, 0x10FFFFU}) {
    append_utf8(out, c);
  }
  EXPECT_EQ(out,
            "\x24\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"sv);
}

TEST(Utf8, TakesOffWhatWasAppended) {
  const std::vector<std::uint32_t> points = {0x24U,  0x7FU,   0x80U,    0x7FFU,
                                             0x800U, 0xFFFFU, 0x10000U, 0x10FFFFU};
  std::string text;
  for (const std::uint32_t c : points) append_utf8(text, c);
  std::string_view rest = text;
  for (const std::uint32_t c : points) EXPECT_EQ(take_code_point(rest), c);
  EXPECT_TRUE(rest.empty());
}

// A wrong promise must not read beyond the text.
TEST(Utf8, TakesNoMoreThanThereIs) {
  std::string_view rest = "\xF0\x9F";
  (void)take_code_point(rest);
  EXPECT_TRUE(rest.empty());
}

}  // namespace
}  // namespace zwinger::text
