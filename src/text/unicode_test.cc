#include "text/unicode.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zwinger::text {
namespace {

std::string nfkd(std::uint32_t code_point) {
  std::string out;
  append_nfkd(out, code_point);
  return out;
}

// By hand from UnicodeData.txt and CaseFolding.txt.
const std::vector<std::pair<std::string, std::string>> folds = {
    {"", ""},
    {"amount", "amount"},
    {"AMOUNT_2", "amount_2"},
    {"\uFF21mount", "amount"},                     // fullwidth A
    {"\uFB03", "ffi"},                             // ligature
    {"\u212A\u017F", "ks"},                        // kelvin sign, long s
    {"L\u0130M\u0131T", "limit"},                  // dotted capital and dotless small i
    {"\u1E9E\u00DF", "ssss"},                      // capital and small sharp s
    {"a\u00ADm\u200Bo\u2060unt\uFE0F", "amount"},  // invisible
    {"\u212B", "\u00E5"},                          // angstrom sign: a with ring
    {"a\u030A", "\u00E5"},                         // composed
    {"A\u0308\u0323", "\u1EA1\u0308"},             // marks in canonical order, then composed
    {"A\u0323\u0308", "\u1EA1\u0308"},
    {"\u0430mount", "\u0430mount"},    // Cyrillic a is another letter
    {"\u03A3\u03C2", "\u03C3\u03C3"},  // capital and final sigma
    {"\uFDFA",
     "\u0635\u0644\u0649 \u0627\u0644\u0644\u0647 \u0639\u0644\u064A\u0647 \u0648\u0633\u0644"
     "\u0645"},            // the longest decomposition
    {"\uAC01", "\uAC01"},  // Hangul comes apart and together again
    {"\U0001F4B6", "\U0001F4B6"},
};

TEST(Unicode, CasefoldMakesOneNameOfItsSpellings) {
  for (const auto& [text, folded] : folds) EXPECT_EQ(nfkc_casefold(text), folded) << text;
}

TEST(Unicode, ComparingToAFoldIsFoldingAndComparing) {
  for (const auto& [text, own] : folds) {
    for (const auto& [other, folded] : folds) {
      EXPECT_EQ(nfkc_casefolds_to(text, folded), own == folded) << text << " to " << folded;
    }
  }
  EXPECT_FALSE(nfkc_casefolds_to("amoun", "amount"));
  EXPECT_FALSE(nfkc_casefolds_to("amounts", "amount"));
  EXPECT_FALSE(nfkc_casefolds_to("amoun\uFB03", "amounf"));
  EXPECT_FALSE(nfkc_casefolds_to("AMOUNT", "AMOUNT")) << "the second is not folded";
}

// A long run of marks out of order; utf8proc alone would take hours for this.
TEST(Unicode, ManyMarksCostNoMoreThanTheirSort) {
  std::string text = "a";
  std::string sorted = "\u1EA1";
  for (int i = 0; i < 300'000; ++i) text += "\u0308\u0323";
  for (int i = 0; i < 299'999; ++i) sorted += "\u0323";
  for (int i = 0; i < 300'000; ++i) sorted += "\u0308";
  EXPECT_TRUE(nfkc_casefold(text) == sorted);
}

TEST(Unicode, NfkdTakesCompatibilityFormsApart) {
  EXPECT_EQ(nfkd('x'), "x");
  EXPECT_EQ(nfkd(0x2025), "..");
  EXPECT_EQ(nfkd(0xFE30), "..");  // by way of U+2025
  EXPECT_EQ(nfkd(0x2105), "c/o");
  EXPECT_EQ(nfkd(0xFF05), "%");
  EXPECT_EQ(nfkd(0xB2), "2");
  EXPECT_EQ(nfkd(0x1E1F), "f\u0307");
  EXPECT_EQ(nfkd(0x2044), "\u2044");
  EXPECT_EQ(nfkd(0x4E2D), "\u4E2D");
}

TEST(Unicode, BlankIsWhatShowsNothing) {
  for (const std::string_view blank :
       {"",       " \t\r\n",    "\u00A0",     "\u1680",
        "\u2003", "\u3000",     "\u2028",     "\u2029",
        "\u0085", "\u200B",     "\u200D",     "\u2060",
        "\u00AD", "\uFEFF",     "\u200E",     "\u0301",
        "\u20DD", "\uFE0F",     "\u034F",     "\u115F",
        "\u3164", "\uFFA0",     "\u2800",     "\uE000",
        "\uFFFF", "\U000E0041", "\U0010FFFD", " \u00A0\u200B\u3000"}) {
    EXPECT_TRUE(is_blank(blank)) << blank;
  }
  for (const std::string_view text : {"x", " . ", "\u200B7", "\u00FC", "u\u0308", "\u4E2D",
                                      "\u0627", "\u20AC", "\U0001F4B6", "\uFF01"}) {
    EXPECT_FALSE(is_blank(text)) << text;
  }
}

}  // namespace
}  // namespace zwinger::text
