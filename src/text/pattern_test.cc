#include "text/pattern.h"

#include <gtest/gtest.h>

#include <string>

namespace zwinger::text {
namespace {

bool matches(std::string_view regex, std::string_view text) {
  auto pattern = Pattern::compile(regex);
  EXPECT_TRUE(pattern) << regex;
  return pattern && pattern->matches_whole(text);
}

TEST(Pattern, MatchesTheWholeValueOnly) {
  EXPECT_TRUE(matches("[A-Z]{2}[0-9]+", "DE02"));
  EXPECT_FALSE(matches("[A-Z]{2}[0-9]+", "xDE02"));
  EXPECT_FALSE(matches("[A-Z]{2}[0-9]+", "DE02x"));
  EXPECT_FALSE(matches("[A-Z]{2}[0-9]+", "DE02\n"));
  EXPECT_FALSE(matches("^DE02$", "DE02\nDE03"));
  EXPECT_FALSE(matches("a|ab", "abc"));
  EXPECT_TRUE(matches("a|ab", "ab"));
  EXPECT_FALSE(matches("(?m)^a$", "a\nb"));
  EXPECT_FALSE(matches(".*", "a\nb"));
  EXPECT_TRUE(matches("", ""));
  EXPECT_FALSE(matches("", "a"));
  EXPECT_FALSE(matches("a", std::string_view("a\0", 2)));
}

TEST(Pattern, RefusesWhatRe2CannotPromiseLinearTimeFor) {
  for (const std::string_view bad : {"(", "(a)\\1", "a(?=b)", "[z-a]", "\xFF"}) {
    auto pattern = Pattern::compile(bad);
    ASSERT_FALSE(pattern) << bad;
    EXPECT_EQ(pattern.error().code, Code::policy_value);
  }
  EXPECT_FALSE(Pattern::compile(std::string(4097, 'a')));
  EXPECT_FALSE(Pattern::compile("((\\pL{100}){10}){10}"));  // small to write, large to run
}

TEST(Pattern, IsLinear) { EXPECT_FALSE(matches("(a*)*b", std::string(100'000, 'a'))); }

}  // namespace
}  // namespace zwinger::text
