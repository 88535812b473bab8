#include "text/glob.h"

#include <gtest/gtest.h>

#include <string>

namespace zwinger::text {
namespace {

bool matches(std::string_view pattern, std::string_view text) {
  auto glob = Glob::parse(pattern);
  EXPECT_TRUE(glob) << pattern;
  return glob && glob->matches(text);
}

TEST(Glob, StarStaysWithinOneSegment) {
  EXPECT_TRUE(matches("bank/*", "bank/send_money"));
  EXPECT_TRUE(matches("bank/*", "bank/"));
  EXPECT_FALSE(matches("bank/*", "bank/a/b"));
  EXPECT_FALSE(matches("bank/*", "bank"));
  EXPECT_FALSE(matches("*", "bank/send_money"));
  EXPECT_TRUE(matches("*/*", "bank/send_money"));
  EXPECT_FALSE(matches("*/*", "bank/a/b"));
  EXPECT_FALSE(matches("a*c", "ab/c"));
}

TEST(Glob, ItsFirstSegmentSaysWhichUpstreams) {
  const auto first = [](std::string_view pattern, std::string_view segment) {
    return Glob::parse(pattern)->first_segment_matches(segment);
  };
  EXPECT_TRUE(first("bank/send_money", "bank"));
  EXPECT_TRUE(first("b*k/a/b", "bank"));
  EXPECT_TRUE(first("*/x", "bank"));
  EXPECT_TRUE(first("bank", "bank"));
  EXPECT_FALSE(first("bank/*", "bank-2"));
  EXPECT_FALSE(first("bank-2/*", "bank"));
  EXPECT_FALSE(first("ban/*", "bank"));
  EXPECT_FALSE(first("/bank", "bank"));
  EXPECT_FALSE(first("*b/*", "bank"));
}

TEST(Glob, EverythingElseStandsForItself) {
  EXPECT_TRUE(matches("bank/close_*", "bank/close_account"));
  EXPECT_FALSE(matches("bank/close_*", "bank/Close_account"));
  EXPECT_FALSE(matches("bank/close_*", "xbank/close_account"));
  EXPECT_FALSE(matches("bank/close", "bank/close_account"));
  EXPECT_FALSE(matches("bank/close_account", "bank/close"));
  EXPECT_TRUE(matches("m/a.b", "m/a.b"));
  EXPECT_FALSE(matches("m/a.b", "m/axb"));
}

TEST(Glob, GoesBackToTheLastStarOnly) {
  EXPECT_TRUE(matches("x/*ab*ab", "x/abxabyab"));
  EXPECT_TRUE(matches("x/a*b*c", "x/abbcbc"));
  EXPECT_FALSE(matches("x/a*b*c", "x/acb"));
  EXPECT_TRUE(matches("*a/*b", "xaya/ab"));
  EXPECT_FALSE(matches("*a/*b", "xa/ya/b"));
  // Exponential in a naive matcher.
  EXPECT_FALSE(matches("x/*a*a*a*a*a*a*a*a*b", "x/" + std::string(4000, 'a')));
}

TEST(Glob, RefusesWhatOtherDialectsReadDifferently) {
  for (const std::string_view bad :
       {"", "bank/?", "bank/[ab]", "bank/{a,b}", "bank/**", "a**b/c", "bank\\x", "bank/}", "bank/]",
        "bank/a\nb", "bank/a\x7f", "bank/\xC2\x85", "bank/\xFF"}) {
    auto glob = Glob::parse(bad);
    ASSERT_FALSE(glob) << bad;
    EXPECT_EQ(glob.error().code, Code::policy_value);
  }
  EXPECT_TRUE(Glob::parse("b/" + std::string(510, 'a')));
  EXPECT_FALSE(Glob::parse("b/" + std::string(511, 'a')));
  EXPECT_FALSE(Glob::parse(std::string_view("a\0b", 3)));
}

TEST(Glob, AnyOfNoneMatchesNothing) {
  EXPECT_FALSE(any_matches({}, "bank/x"));
  EXPECT_TRUE(any_matches({*Glob::parse("mail/*"), *Glob::parse("bank/x")}, "bank/x"));
}

}  // namespace
}  // namespace zwinger::text
