#include "net/sse.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <utility>

#include "net/sse_trace.h"

namespace zwinger::net {
namespace {

// The events, after checking that byte by byte and every split in two give the same ones.
std::string parse(std::string_view input, std::size_t limit = 1024) {
  const SseTrace whole = SseTrace::of(input, limit);
  EXPECT_EQ(SseTrace::of(input, limit, [] { return 1; }), whole) << "byte by byte: " << input;
  for (std::size_t at = 1; at < input.size(); ++at) {
    bool first = true;
    const auto split =
        SseTrace::of(input, limit, [&] { return std::exchange(first, false) ? at : input.size(); });
    EXPECT_EQ(split, whole) << "split at " << at << ": " << input;
  }
  return whole.to_string();
}

TEST(Sse, AnEventHasItsFields) {
  EXPECT_EQ(parse("event: message\nid: 7\nretry: 3000\ndata: {\"a\":1}\n\n"),
            "event=message id=7 retry=3000 data={\"a\":1}\n");
  EXPECT_EQ(parse("data: a\n\ndata: b\n\n"), "data=a\ndata=b\n");
}

// The examples of the standard, 9.2.6.
TEST(Sse, TheStandardsOwnExamplesAreReadAsItSays) {
  EXPECT_EQ(parse("data: YHOO\ndata: +2\ndata: 10\n\n"), "data=YHOO\n+2\n10\n");
  EXPECT_EQ(parse(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\n"
                  "data:  third event\n\n"),
            "id=1 data=first event\nid= data=second event\ndata= third event\n");
  EXPECT_EQ(parse("data\n\ndata\ndata\n\ndata:"), "data=\ndata=\n\nevent")
      << "the third one is cut off";
  EXPECT_EQ(parse("data:test\n\ndata: test\n\n"), "data=test\ndata=test\n");
}

TEST(Sse, LinesEndInThreeWays) {
  EXPECT_EQ(parse("data: a\r\n\r\ndata: b\r\rdata: c\n\n"), "data=a\ndata=b\ndata=c\n");
  EXPECT_EQ(parse("data: a\rdata: b\r\ndata: c\n\r\n"), "data=a\nb\nc\n");
  EXPECT_EQ(parse("data: a\n\r"), "data=a\n") << "the event is told before an LF could come";
  EXPECT_EQ(parse("\r\n\n\r\r\n"), "");
}

TEST(Sse, AByteOrderMarkMayStandAtTheStartOnly) {
  EXPECT_EQ(parse("\xef\xbb\xbf"
                  "data: a\n\n"),
            "data=a\n");
  EXPECT_EQ(parse("\xef\xbb\xbf\xef\xbb\xbf"
                  "data: a\n\ndata: b\n\n"),
            "data=b\n")
      << "the second mark belongs to a field of another name";
  EXPECT_EQ(parse("data: a\n\n\xef\xbb\xbf"
                  "data: b\n\n"),
            "data=a\n");
  EXPECT_EQ(parse("\xef\xbb"), "event") << "half a mark is told for no mark yet";
  EXPECT_EQ(parse("\xef\xbb\n"), "sse_syntax");
}

TEST(Sse, AnEventWithoutDataIsToldForItsIdAndRetry) {
  EXPECT_EQ(parse("id: 1\n\n"), "id=1 \n");
  EXPECT_EQ(parse("retry: 10\n\n"), "retry=10 \n");
  EXPECT_EQ(parse("event: ping\n\n"), "event=ping \n");
  EXPECT_EQ(parse("id: 1\ndata:\n\n"), "id=1 data=\n") << "a priming event";
  EXPECT_EQ(parse("event:\n\n"), "") << "the default type alone says nothing";
  EXPECT_EQ(parse(": comment\nother: x\ndatax: y\n\n"), "");
}

TEST(Sse, TheLastOfAFieldCountsAndOnlyWholeNamesDo) {
  EXPECT_EQ(parse("id: 1\nid: 2\nevent: a\nevent: b\nretry: 1\nretry: 2\ndata: x\n\n"),
            "event=b id=2 retry=2 data=x\n");
  EXPECT_EQ(parse("Data: x\n data: y\ndata : z\nid : 1\ndata: ok\n\n"), "data=ok\n");
  EXPECT_EQ(parse("data: a:b: c\n\n"), "data=a:b: c\n");
  EXPECT_EQ(parse("event: a\n\ndata: x\n\n"), "event=a \ndata=x\n") << "nothing is inherited";
}

TEST(Sse, ARetryThatIsNoNumberIsIgnored) {
  for (const std::string_view bad :
       {"", "-1", "+1", "1.5", "1s", "0x1", "1 ", "  1", "18446744073709551616"}) {
    EXPECT_EQ(parse("retry: " + std::string(bad) + "\ndata: x\n\n"), "data=x\n") << bad;
  }
  EXPECT_EQ(parse("retry: 18446744073709551615\n\n"), "retry=18446744073709551615 \n");
}

TEST(Sse, NulAndBadUtf8EndTheStream) {
  EXPECT_EQ(parse(std::string("data: a\n\ndata: b\0c\n\ndata: d\n\n", 28)), "data=a\nsse_syntax");
  EXPECT_EQ(parse(std::string(": \0\n\n", 5)), "sse_syntax") << "in a comment, too";
  EXPECT_EQ(parse(std::string("id: 1\0\n\n", 8)), "sse_syntax");
  EXPECT_EQ(parse("data: \xc3\xa4\xe2\x82\xac\n\n"), "data=\xc3\xa4\xe2\x82\xac\n");
  EXPECT_EQ(parse("data: \xc3\n\n"), "sse_syntax");
  EXPECT_EQ(parse("data: \xed\xa0\x80\n\n"), "sse_syntax") << "a surrogate";
  EXPECT_EQ(parse("\xff: x\n\n"), "sse_syntax");
}

TEST(Sse, AnErrorStays) {
  SseParser parser(64);
  parser.append("\xff\n");
  EXPECT_EQ(parser.next().error().code, Code::sse_syntax);
  parser.append("data: a\n\n");
  EXPECT_EQ(parser.next().error().code, Code::sse_syntax);
}

TEST(Sse, LimitsAreInclusive) {
  EXPECT_EQ(parse("data: 6789\n\n", 10), "data=6789\n");
  EXPECT_EQ(parse("data: 67890\n\n", 10), "sse_too_large");
  EXPECT_EQ(parse("data: 67890", 10), "sse_too_large") << "without its end, too";
  EXPECT_EQ(parse("data: 6\n\ndata: 6\n\ndata: 6\n\n", 10), "data=6\ndata=6\ndata=6\n")
      << "each event for itself";
  EXPECT_EQ(parse("data:a\ndata:b\n\n", 11), "data=a\nb\n");
  EXPECT_EQ(parse("data:a\ndata:b\n\n", 10), "sse_too_large") << "five of the first and six";
  EXPECT_EQ(parse(":23\n:23\n:23\ndata:a\n\n", 6), "data=a\n") << "comments do not add up";
  EXPECT_EQ(parse(":234567\n", 6), "sse_too_large") << "but a line is a line";
  EXPECT_EQ(parse("data\ndata\ndata\n\n", 10), "sse_too_large") << "empty data is not free";
  EXPECT_EQ(parse("x:x\n\ndata:a\n\n", 6), "data=a\n");
  EXPECT_EQ(parse("\n", 0), "");
  EXPECT_EQ(parse("d", 0), "sse_too_large");
}

TEST(Sse, InEventTellsWhetherSomethingHasBegun) {
  SseParser parser(1024);
  EXPECT_FALSE(parser.in_event());
  const auto after = [&](std::string_view bytes) {
    parser.append(bytes);
    while (parser.next().value()) {
    }
    return parser.in_event();
  };
  EXPECT_FALSE(after(": comm"));
  EXPECT_FALSE(after("ent\n"));
  EXPECT_TRUE(after("da"));
  EXPECT_TRUE(after("ta: x\n"));
  EXPECT_FALSE(after("\n"));
}

// A megabyte byte by byte, and many events appended before any is taken: either would take minutes
// if a byte were looked at or moved more than a few times.
TEST(Sse, TimeIsLinear) {
  constexpr std::size_t kSize = std::size_t{4} << 20U;
  const auto begin = std::chrono::steady_clock::now();
  SseParser slow(2 * kSize);
  slow.append("data: ");
  for (std::size_t i = 0; i < kSize; ++i) {
    slow.append("x");
    EXPECT_FALSE(slow.next().value().has_value());
  }
  slow.append("\n\n");
  EXPECT_EQ(slow.next().value().value().data.size(), kSize);

  SseParser behind(64);
  constexpr int kEvents = 200'000;
  for (int i = 0; i < kEvents; ++i) {
    behind.append("data: a\n\ndata: b\n\n");
    EXPECT_TRUE(behind.next().value().has_value());
  }
  for (int i = 0; i < kEvents; ++i) EXPECT_TRUE(behind.next().value().has_value());
  EXPECT_FALSE(behind.next().value().has_value());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
}

TEST(SseWriter, WritesWhatTheParserReads) {
  EXPECT_EQ(
      write_sse({.event = "message", .data = "{}", .id = "s-1", .retry_ms = 5, .has_data = true}),
      "event: message\nid: s-1\nretry: 5\ndata: {}\n\n");
  const SseEvent priming{
      .event = "", .data = "", .id = "1", .retry_ms = std::nullopt, .has_data = true};
  EXPECT_EQ(write_sse(priming), "id: 1\ndata: \n\n");
  for (const std::string_view data : {"", "a", " a", "a\nb", "a\n", "\n", "\n\n", ": a", "\n a"}) {
    const SseEvent event{.event = "",
                         .data = std::string(data),
                         .id = std::nullopt,
                         .retry_ms = std::nullopt,
                         .has_data = true};
    const SseTrace read = SseTrace::of(write_sse(event), 100);
    ASSERT_EQ(read.events.size(), 1U) << data;
    EXPECT_EQ(read.events[0], event) << data;
  }
}

TEST(SseWriter, NoValueMakesAFieldOrAnEventOfItsOwn) {
  const std::string written = write_sse({.event = "a\ndata: evil",
                                         .data = "1\r2\r\n3\n\nid: evil",
                                         .id = "b\r\n\r\nid: evil",
                                         .retry_ms = std::nullopt,
                                         .has_data = false});
  EXPECT_EQ(written, "event: a\nid: b\ndata: 1\ndata: 2\ndata: 3\ndata: \ndata: id: evil\n\n");
  EXPECT_EQ(SseTrace::of(written, 100).to_string(), "event=a id=b data=1\n2\n3\n\nid: evil\n");
}

TEST(SseWriter, TheKeepAliveIsNoEvent) {
  EXPECT_EQ(parse(std::string(kSseKeepAlive) + "data: a\n\n"), "data=a\n");
}

}  // namespace
}  // namespace zwinger::net
