#include "json/writer.h"

#include <gtest/gtest.h>

namespace zwinger::json {
namespace {

using namespace std::string_view_literals;

TEST(Quote, EscapesWhatJsonDemandsAndNothingElse) {
  EXPECT_EQ(quote(""), R"("")");
  EXPECT_EQ(quote("a\"b\\c/d"), R"("a\"b\\c/d")");
  EXPECT_EQ(quote("\b\f\n\r\t"), R"("\b\f\n\r\t")");
  EXPECT_EQ(quote("\0\x01\x1F\x7F"sv), "\"\\u0000\\u0001\\u001f\x7F\"");
  EXPECT_EQ(quote("\xC3\xA9 \xF0\x9F\x98\x80"), "\"\xC3\xA9 \xF0\x9F\x98\x80\"");
}

TEST(Quote, ReplacesEachByteThatIsNotUtf8) {
  EXPECT_EQ(quote("\xFF"), "\"\xEF\xBF\xBD\"");
  EXPECT_EQ(quote("a\xE2\x82z"), "\"a\xEF\xBF\xBD\xEF\xBF\xBDz\"");
  EXPECT_EQ(quote("\n\xC0\"\xED\xA0\x80"),
            "\"\\n\xEF\xBF\xBD\\\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

TEST(Writer, PutsCommasAndColonsWhereTheyBelong) {
  Writer w;
  w.begin_object().key("a").integer(1).key("b").begin_array().end_array();
  w.key("c").begin_array().string("x").begin_object().end_object().null().end_array();
  w.key("d\n")
      .begin_object()
      .key("")
      .boolean(true)
      .key("f")
      .boolean(false)
      .end_object()
      .end_object();
  EXPECT_EQ(std::move(w).take(), R"({"a":1,"b":[],"c":["x",{},null],"d\n":{"":true,"f":false}})");
}

TEST(Writer, WritesAScalarAsTheWholeDocument) {
  EXPECT_EQ(std::move(Writer().string("x")).take(), "\"x\"");
  EXPECT_EQ(std::move(Writer().null()).take(), "null");
}

TEST(Writer, WritesTheEdgesOfItsIntegers) {
  Writer w;
  w.begin_array()
      .integer(INT64_MIN)
      .integer(INT64_MAX)
      .unsigned_integer(UINT64_MAX)
      .integer(0)
      .end_array();
  EXPECT_EQ(std::move(w).take(),
            "[-9223372036854775808,9223372036854775807,18446744073709551615,0]");
}

TEST(Writer, SplicesJudgedSpansByteForByte) {
  const auto d = Document::parse(R"( { "n" : 1.0e3 , "s" : "\u0041" } )");
  ASSERT_TRUE(d);
  Writer w;
  w.begin_object().key("id").raw("-0").key("params").value(d->root()).end_object();
  EXPECT_EQ(std::move(w).take(), R"({"id":-0,"params":{ "n" : 1.0e3 , "s" : "\u0041" }})");
}

TEST(WriterDeathTest, MisuseEndsTheProgram) {
  EXPECT_DEATH(Writer().begin_object().integer(1), "");             // a value without a key
  EXPECT_DEATH(Writer().key("a"), "");                              // a key outside an object
  EXPECT_DEATH(Writer().begin_array().key("a"), "");                // a key in an array
  EXPECT_DEATH(Writer().begin_object().key("a").key("b"), "");      // a key without a value
  EXPECT_DEATH(Writer().begin_object().key("a").end_object(), "");  // the same at the end
  EXPECT_DEATH(Writer().begin_object().end_array(), "");            // the wrong end
  EXPECT_DEATH(Writer().end_object(), "");                          // an end without a begin
  EXPECT_DEATH(Writer().null().null(), "");                         // two documents
  EXPECT_DEATH(Writer().begin_array().end_array().begin_array(), "");
  EXPECT_DEATH(Writer().raw(""), "");                                // no value at all
  EXPECT_DEATH((void)std::move(Writer().begin_array()).take(), "");  // unbalanced
  EXPECT_DEATH((void)Writer().take(), "");                           // nothing written
}

}  // namespace
}  // namespace zwinger::json
