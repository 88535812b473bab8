#include "json/json.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace zwinger::json {
namespace {

using namespace std::string_view_literals;

Document parse_ok(std::string_view text, const Limits& limits = {}) {
  auto document = Document::parse(std::string(text), limits);
  if (!document) ADD_FAILURE() << text.substr(0, 200) << ": " << document.error().to_string();
  return document ? *std::move(document) : *Document::parse("null");
}

// The member that must be there.
Value member(const Value& object, std::string_view name) {
  const auto found = object.find(name);
  if (!found) ADD_FAILURE() << object.source().substr(0, 200) << " has no " << name;
  return found ? *found : object;
}

struct Refusal {
  std::string_view text;
  std::size_t byte;
  std::string_view says;  // part of the message
};

void expect_refused(Code code, const Refusal& want, const Limits& limits = {}) {
  const auto document = Document::parse(std::string(want.text), limits);
  ASSERT_FALSE(document) << want.text;
  EXPECT_EQ(name(document.error().code), name(code)) << want.text;
  EXPECT_EQ(document.error().where, "byte " + std::to_string(want.byte)) << want.text;
  EXPECT_NE(document.error().message.find(want.says), std::string::npos)
      << want.text << ": " << document.error().message;
}

std::string repeat(std::string_view text, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += text;
  return out;
}

// --- what is read
// ---------------------------------------------------------------------------------

TEST(Json, ReadsEveryKindAtTheRoot) {
  EXPECT_TRUE(parse_ok("null").root().is_null());
  EXPECT_TRUE(parse_ok("true").root().boolean());
  EXPECT_FALSE(parse_ok("false").root().boolean());
  EXPECT_EQ(parse_ok("12").root().number_text(), "12");
  EXPECT_EQ(parse_ok("\"a\"").root().string(), "a");
  EXPECT_TRUE(parse_ok("[]").root().is_array());
  EXPECT_TRUE(parse_ok("{}").root().is_object());
  EXPECT_EQ(parse_ok("[]").root().size(), 0U);
  EXPECT_EQ(parse_ok("{}").root().size(), 0U);
  EXPECT_EQ(parse_ok("7").root().size(), 0U);
  EXPECT_EQ(to_string(parse_ok("{}").root().kind()), "object");
}

TEST(Json, GoesOverChildrenInSourceOrderAndSkipsGrandchildren) {
  const Document d = parse_ok(R"({"b":[1,[2,{"x":3}]],"a":{"b":{}},"c":4})");
  std::vector<std::string> seen;
  for (const Value v : d.root().children())
    seen.push_back(std::string(v.name()) + "=" + std::string(v.source()));
  EXPECT_EQ(seen, (std::vector<std::string>{R"(b=[1,[2,{"x":3}]])", R"(a={"b":{}})", "c=4"}));
  EXPECT_EQ(d.root().size(), 3U);
  const Value list = member(d.root(), "b");
  EXPECT_EQ(list.size(), 2U);
  for (const Value v : list.children()) EXPECT_EQ(v.name(), "");
  EXPECT_EQ(d.root().name(), "");
  const auto none = member(d.root(), "c").children();
  EXPECT_EQ(none.begin(), none.end());
}

TEST(Json, FindsMembersOfThisObjectOnly) {
  const Document d = parse_ok(R"({"a":{"deep":1},"":2,"A":3})");
  EXPECT_EQ(member(d.root(), "").source(), "2");
  EXPECT_EQ(member(d.root(), "A").source(), "3");
  EXPECT_FALSE(d.root().find("deep"));
  EXPECT_FALSE(d.root().find("b"));
  EXPECT_FALSE(member(d.root(), "A").find("x")) << "a number has no members";
  EXPECT_FALSE(parse_ok(R"(["a"])").root().find("a")) << "an array has no members";
}

// Seventeen members are the first object that is searched by its sorted order.
TEST(Json, FindsMembersOfObjectsAroundTheSizeWhereTheSearchChanges) {
  for (const int count : {15, 16, 17, 18, 500}) {
    std::string text = "{";
    for (int i = 0; i < count; ++i) {
      // Names come in no order, some with escapes: "k\u0030" is k0.
      const int n = (i * 7919) % count;
      text += (i == 0 ? "\"k" : ",\"k") + (n == 0 ? std::string("\\u0030") : std::to_string(n)) +
              "\":" + std::to_string(n);
    }
    const Document d = parse_ok(text + "}");
    for (int n = 0; n < count; ++n) {
      EXPECT_EQ(member(d.root(), "k" + std::to_string(n)).source(), std::to_string(n)) << count;
    }
    EXPECT_FALSE(d.root().find("k"));
    EXPECT_FALSE(d.root().find("k9999"));
    EXPECT_FALSE(d.root().find("a"));
    EXPECT_FALSE(d.root().find("z"));
  }
}

TEST(Json, KeepsTheSourceOfEveryValueByteForByte) {
  const std::string text =
      "\t{ \"n\" : -0.10E+02 , \"s\":\"\\u0041\\/\" ,\n \"o\" :{ \"x\" : [ 1 , 2 ] } , "
      "\"t\":true}\r\n ";
  const Document d = parse_ok(text);
  EXPECT_EQ(d.text(), text);
  EXPECT_EQ(d.root().source(), text.substr(1, text.size() - 4));
  EXPECT_EQ(d.root().offset(), 1U);
  EXPECT_EQ(member(d.root(), "n").source(), "-0.10E+02");
  EXPECT_EQ(member(d.root(), "n").number_text(), "-0.10E+02");
  EXPECT_EQ(member(d.root(), "s").source(), R"("\u0041\/")");
  EXPECT_EQ(member(d.root(), "s").string(), "A/");
  EXPECT_EQ(member(d.root(), "o").source(), R"({ "x" : [ 1 , 2 ] })");
  EXPECT_EQ(member(d.root(), "t").source(), "true");
  for (const Value v : d.root().children())
    EXPECT_EQ(text.substr(v.offset(), v.source().size()), v.source());
}

TEST(Json, DecodesEveryEscape) {
  EXPECT_EQ(parse_ok(R"("\"\\\/\b\f\n\r\t")").root().string(), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(parse_ok(R"("a\u00e9b\u20ACc")").root().string(),
            "a\xC3\xA9"
            "b\xE2\x82\xAC"
            "c");
  EXPECT_EQ(parse_ok(R"("\u0000")").root().string(), "\0"sv);
  EXPECT_EQ(parse_ok(R"("\uD83D\uDE00")").root().string(), "\xF0\x9F\x98\x80");
  EXPECT_EQ(parse_ok(R"("\ud800\udc00\uDBFF\uDFFF")").root().string(),
            "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF");
  EXPECT_EQ(parse_ok(R"("\uD7FF\uE000\uFFFF")").root().string(),
            "\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF");
  EXPECT_EQ(parse_ok("\"\x7F\"").root().string(), "\x7F") << "DEL needs no escape";
}

TEST(Json, KeepsDecodedTextApartFromPlainText) {
  const Document d = parse_ok(R"({"p\u0031":"v\u0031","p2":"v2","p\u0033":"v3","p4":"v\u0034"})");
  std::string all;
  for (const Value v : d.root().children())
    all += std::string(v.name()) + "=" + std::string(v.string()) + " ";
  EXPECT_EQ(all, "p1=v1 p2=v2 p3=v3 p4=v4 ");
}

TEST(Json, KeepsNumberSpellings) {
  for (const auto* number : {"0", "-0", "0.0", "-0.0", "1e3", "1E3", "1e+3", "1e-3", "0e0", "10",
                             "1.50", "123456789012345678901234567890", "1e999999999999", "0.1e1"}) {
    const Document d = parse_ok(std::string("[") + number + "]");
    EXPECT_EQ((*d.root().children().begin()).number_text(), number);
  }
}

TEST(Json, IntegerTakesOnlyPlainIntegersOf64Bits) {
  const auto integer = [](std::string_view text) { return parse_ok(text).root().integer(); };
  EXPECT_EQ(integer("0"), 0);
  EXPECT_EQ(integer("-0"), 0);
  EXPECT_EQ(integer("-17"), -17);
  EXPECT_EQ(integer("9223372036854775807"), INT64_MAX);
  EXPECT_EQ(integer("-9223372036854775808"), INT64_MIN);
  for (const auto* other :
       {"9223372036854775808", "-9223372036854775809", "1.0", "1e3", "100000000000000000000"}) {
    EXPECT_EQ(integer(other), std::nullopt) << other;
  }
}

TEST(Json, ValuesOutliveAMoveOfTheirDocument) {
  Document first = parse_ok(R"({"a":"x"})");  // short enough for std::string's own buffer
  const Value value = member(first.root(), "a");
  const Document second = std::move(first);
  EXPECT_EQ(value.string(), "x");
  EXPECT_EQ(value.source().data(), second.text().data() + 5);
}

TEST(JsonDeathTest, AskingForTheWrongKindEndsTheProgram) {
  const Document d = parse_ok(R"([1,"s",true])");
  const Value number = *d.root().children().begin();
  EXPECT_DEATH((void)number.string(), "");
  EXPECT_DEATH((void)number.boolean(), "");
  EXPECT_DEATH((void)d.root().number_text(), "");
  EXPECT_DEATH((void)d.root().integer(), "");
}

// --- what is refused
// ------------------------------------------------------------------------------

TEST(JsonRefuses, WhatIsNoValue) {
  constexpr auto kValue = "expected a JSON value"sv;
  for (const Refusal& r : std::vector<Refusal>{
           {"", 0, "found the end of the text"},
           {"  ", 2, "found the end of the text"},
           {"x", 0, kValue},
           {"'a'", 0, kValue},
           {"NaN", 0, kValue},
           {"Infinity", 0, kValue},
           {"True", 0, kValue},
           {"nul", 3, "expected 'null', found the end of the text"},
           {"nulL", 3, "expected 'null'"},
           {"trve", 2, "expected 'true'"},
           {"[fals]", 5, "expected 'false'"},
           {"/* no */ 1", 0, kValue},
           {"\v1", 0, kValue},
           {"\xC2\xA0"
            "1",
            0, kValue},  // no-break space is not JSON white space
           {"\0"sv, 0, kValue},
           {"]", 0, kValue},
           {"[,1]", 1, kValue},
           {"[1,]", 3, kValue},
           {"[1,,2]", 3, kValue},
           {"{\"a\":}", 5, kValue},
           {"\xEF\xBB\xBF{}", 0, "found a byte order mark"},
       }) {
    expect_refused(Code::json_syntax, r);
  }
}

TEST(JsonRefuses, BrokenArraysAndObjects) {
  for (const Refusal& r : std::vector<Refusal>{
           {"[", 1, "expected a JSON value, found the end"},
           {"[1", 2, "expected ',' or ']', found the end"},
           {"[1 2]", 3, "expected ',' or ']'"},
           {"[1}", 2, "expected ',' or ']'"},
           {"[nullx]", 5, "expected ',' or ']'"},
           {"{", 1, "expected a member name in double quotes or '}', found the end"},
           {"{a:1}", 1, "expected a member name in double quotes or '}'"},
           {"{1:1}", 1, "expected a member name"},
           {"{]", 1, "expected a member name"},
           {"{\"a\"}", 4, "expected ':'"},
           {"{\"a\" 1}", 5, "expected ':'"},
           {"{\"a\":1", 6, "expected ',' or '}', found the end"},
           {"{\"a\":1]", 6, "expected ',' or '}'"},
           {"{\"a\":1,}", 7, "expected a member name in double quotes"},
           {"{\"a\":1,,\"b\":2}", 7, "expected a member name"},
           {"{\"a\":1 \"b\":2}", 7, "expected ',' or '}'"},
           {"{,}", 1, "expected a member name"},
       }) {
    expect_refused(Code::json_syntax, r);
  }
}

TEST(JsonRefuses, NumbersOutsideTheGrammar) {
  for (const Refusal& r : std::vector<Refusal>{
           {"+1", 0, "expected a JSON value"},
           {".5", 0, "expected a JSON value"},
           {"-", 1, "expected a digit, found the end"},
           {"-a", 1, "expected a digit"},
           {"-.5", 1, "expected a digit"},
           {"--1", 1, "expected a digit"},
           {"01", 1, "no leading zeros"},
           {"-00", 2, "no leading zeros"},
           {"[00.5]", 2, "no leading zeros"},
           {"1.", 2, "expected a digit, found the end"},
           {"[1.]", 3, "expected a digit"},
           {"1.e3", 2, "expected a digit"},
           {"1e", 2, "expected a digit"},
           {"1e+", 3, "expected a digit"},
           {"1e-x", 3, "expected a digit"},
           {"[1_000]", 2, "expected ',' or ']'"},
           {"[0x10]", 2, "expected ',' or ']'"},
       }) {
    expect_refused(Code::json_syntax, r);
  }
}

TEST(JsonRefuses, BrokenStrings) {
  for (const Refusal& r : std::vector<Refusal>{
           {"\"", 1, "expected '\"' at the end of a string, found the end"},
           {"\"abc", 4, "found the end"},
           {"\"a\nb\"", 2, "control characters"},
           {"\"\tb\"", 1, "control characters"},
           {"\"a\0b\""sv, 2, "control characters"},
           {"\"\x1F\"", 1, "control characters"},
           {"\"\\u0041\n\"", 7, "control characters"},
           {"\"\\", 2, "after a backslash, found the end"},
           {"\"\\x41\"", 2, "after a backslash"},
           {"\"\\'\"", 2, "after a backslash"},
           {"\"\\U0041\"", 2, "after a backslash"},
           {"\"\\\0\""sv, 2, "after a backslash"},
           {"\"\\u\"", 3, "four hexadecimal digits"},
           {"\"\\u12\"", 5, "four hexadecimal digits"},
           {"\"\\u12g4\"", 5, "four hexadecimal digits"},
           {"\"\\u+123\"", 3, "four hexadecimal digits"},
           {"\"\\u123", 6, "four hexadecimal digits after \\u, found the end"},
           {"\"\\ud800\\u12\"", 11, "four hexadecimal digits"},
           {"{\"a\nb\":1}", 3, "control characters"},
       }) {
    expect_refused(Code::json_syntax, r);
  }
}

TEST(JsonRefuses, LoneSurrogates) {
  for (const Refusal& r : std::vector<Refusal>{
           {R"("\ud800")", 1, "pair"},
           {R"("ab\udc00")", 3, "pair"},
           {R"("\udbff")", 1, "pair"},
           {R"("\udfff")", 1, "pair"},
           {R"("\ud800x")", 1, "pair"},
           {R"("\ud800\n")", 1, "pair"},
           {R"("\ud800\u0041")", 1, "pair"},
           {R"("\ud800\ud800")", 1, "pair"},
           {R"("\udc00\ud800")", 1, "pair"},
           {R"("\ud83d\ude00\ude00")", 13, "pair"},
           {R"({"\ud800":1})", 2, "pair"},
       }) {
    expect_refused(Code::json_lone_surrogate, r);
  }
}

TEST(JsonRefuses, BytesThatAreNotUtf8) {
  for (const Refusal& r : std::vector<Refusal>{
           {"\"\xFF\"", 1, "UTF-8"},
           {"\"ab\xC0\x80\"", 3, "UTF-8"},
           {"\"\xED\xA0\x80\"", 1, "UTF-8"},
           {"{\"\x80\":1}", 2, "UTF-8"},
           {"\"\xE2\x82\"", 1, "UTF-8"},
           {"\xFF\xFE{\0}\0"sv, 0, "UTF-8"},  // UTF-16
           {"[1]\xC2", 3, "UTF-8"},
       }) {
    expect_refused(Code::json_bad_utf8, r);
  }
}

TEST(JsonRefuses, TrailingBytes) {
  for (const Refusal& r : std::vector<Refusal>{
           {"1 2", 2, "end of the text"},
           {"{}{}", 2, "end of the text"},
           {"[]]", 2, "end of the text"},
           {"null,", 4, "end of the text"},
           {"nullx", 4, "end of the text"},
           {"1e3.5", 3, "end of the text"},
           {"{}\0"sv, 2, "end of the text"},
           {"{} // x", 3, "end of the text"},
       }) {
    expect_refused(Code::json_trailing_bytes, r);
  }
}

TEST(JsonRefuses, DuplicateNames) {
  for (const Refusal& r : std::vector<Refusal>{
           {R"({"a":1,"a":2})", 7, "earlier member"},
           {R"({"a":1 , "b":2,"a":1})", 15, "earlier member"},
           {R"({"a":1,"\u0061":2})", 7, "earlier member"},
           {R"({"\u0061":1,"a":2})", 12, "earlier member"},
           {R"({"\/":1,"b":{"c":[1]}, "/":2})", 23, "earlier member"},
           {R"({"":1,"":2})", 6, "earlier member"},
           {R"({"a":1,"b":2,"b":3,"a":4})", 13, "earlier member"},
           {R"([[{"x":{"y":1,"y":1}}]])", 14, "earlier member"},
           {R"({"\uD83D\uDE00":1,"😀":2})", 18, "earlier member"},
       }) {
    expect_refused(Code::json_duplicate_key, r);
  }
  // One name at several depths, names that differ in case or normalisation: all different members.
  parse_ok(R"({"a":{"a":{"a":1}},"b":{"a":1},"A":1})");
  parse_ok("{\"\xC3\xA9\":1,\"e\xCC\x81\":2}");
}

TEST(JsonRefuses, DuplicateNamesInLargeObjects) {
  for (const std::size_t count : {15U, 16U, 17U, 300U}) {
    std::string text = "{";
    for (std::size_t i = 1; i < count; ++i) text += "\"m" + std::to_string(i) + "\":{},";
    const std::size_t byte = text.size();
    expect_refused(Code::json_duplicate_key, {text + R"("\u006d3":0})", byte, "earlier member"});
    // Two duplicates: the one that comes first in the text is named, whatever the sorted order.
    expect_refused(Code::json_duplicate_key, {text + R"("m9":0,"m1":0})", byte, "earlier member"});
    parse_ok(text + R"("m":0})");
  }
}

// --- limits
// ---------------------------------------------------------------------------------------

TEST(JsonLimits, BytesExactly) {
  const Limits limits{.max_bytes = 8};
  parse_ok("[1,2,34]", limits);
  expect_refused(Code::json_too_large, {"[1,2,345]", 8, "at most 8 bytes"}, limits);
  expect_refused(Code::json_too_large, {"[1,2,34] ", 8, "at most 8 bytes"}, limits);
}

TEST(JsonLimits, DepthExactly) {
  const Limits limits{.max_depth = 3};
  parse_ok("[[[1]],{\"a\":{}}]", limits);
  expect_refused(Code::json_too_deep, {"[[[[]]]]", 3, "at most 3"}, limits);
  expect_refused(Code::json_too_deep, {R"({"a":[{"b":{}}]})", 11, "at most 3"}, limits);
  parse_ok("1", {.max_depth = 0});
  expect_refused(Code::json_too_deep, {"[]", 0, "at most 0"}, {.max_depth = 0});
  parse_ok(repeat("[", 64) + repeat("]", 64));
  expect_refused(Code::json_too_deep, {repeat("[", 65) + repeat("]", 65), 64, "at most 64"});
}

TEST(JsonLimits, ValuesAndNamesExactly) {
  const std::string text = R"({"a":[1,2],"b":null})";  // 5 values, 2 names
  parse_ok(text, {.max_values = 7});
  expect_refused(Code::json_too_large, {text, 15, "at most 6 values"}, {.max_values = 6});
  expect_refused(Code::json_too_large, {text, 11, "at most 5 values"}, {.max_values = 5});
  expect_refused(Code::json_too_large, {"1", 0, "at most 0 values"}, {.max_values = 0});
}

TEST(JsonLimits, DeepNestingNeedsNoCallStack) {
  constexpr std::size_t kDepth = 100'000;
  expect_refused(Code::json_too_deep, {repeat("[", kDepth), 64, "at most 64"});
  const Limits deep{.max_depth = kDepth};
  const Document d = parse_ok(repeat("[", kDepth) + repeat("]", kDepth), deep);
  Value inner = d.root();
  std::size_t depth = 1;
  for (; inner.size() == 1; ++depth) inner = *inner.children().begin();
  EXPECT_EQ(depth, kDepth);
  expect_refused(Code::json_syntax, {repeat("{\"a\":", kDepth), kDepth * 5, "found the end"}, deep);
}

// Quadratic work on any of these would take minutes; the test's time limit is the judge.
TEST(JsonLimits, LargeInputsOfEveryShapeAreReadInOnePass) {
  constexpr std::size_t kCount = 400'000;
  std::string members = "{";
  for (std::size_t i = 0; i < kCount; ++i) members += "\"" + std::to_string(i) + "\":0,";
  members += "\"x\":0}";
  EXPECT_EQ(parse_ok(members, {.max_bytes = members.size()}).root().size(), kCount + 1);
  EXPECT_EQ(parse_ok("[" + repeat("1,", kCount) + "1]").root().size(), kCount + 1);
  EXPECT_EQ(parse_ok("\"" + repeat("\\n", kCount) + "\"").root().string().size(), kCount);
  parse_ok("[" + repeat(" ", kCount) + "]");
  parse_ok(repeat("1", kCount));
}

}  // namespace
}  // namespace zwinger::json
