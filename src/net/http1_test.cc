#include "net/http1.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "net/http1_trace.h"

namespace zwinger::net {
namespace {

// The trace, after checking that byte by byte and every split in two give the same one.
std::string parse(std::string_view input, const HttpLimits& limits = {}) {
  std::string whole = trace(input, limits);
  EXPECT_EQ(trace(input, limits, [] { return 1; }), whole) << "fed byte by byte: " << input;
  for (std::size_t at = 1; at < input.size(); ++at) {
    bool first = true;
    const std::string split =
        trace(input, limits, [&] { return std::exchange(first, false) ? at : input.size(); });
    EXPECT_EQ(split, whole) << "split at " << at << ": " << input;
    if (split != whole) break;
  }
  return whole;
}

std::string get(std::string_view headers) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(headers) + "\r\n";
}
std::string post(std::string_view headers, std::string_view body) {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + std::string(headers) + "\r\n" + std::string(body);
}
std::string chunked(std::string_view body) { return post("Transfer-Encoding: chunked\r\n", body); }

TEST(Http1, AnOrdinaryRequestComesThroughWhole) {
  EXPECT_EQ(parse("POST /mcp/bank?x=%41 HTTP/1.1\r\nHost: "
                  "localhost:8080\r\nContent-Type:application/json\r\n"
                  "Content-Length: 7\r\nX-Empty:\r\nX-Padded: \t a b \t\r\n\r\n{\"a\":1}"),
            "POST /mcp/bank?x=%41 1.1 keep body={\"a\":1} [host=localhost:8080] "
            "[content-type=application/json] "
            "[content-length=7] [x-empty=] [x-padded=a b]\n");
}

TEST(Http1, ThePathEndsAtTheQuestionMarkAndIsNotDecoded) {
  RequestParser parser{HttpLimits{}};
  std::string_view input = "GET /a%2fb?c?d HTTP/1.1\r\nHost: a\r\n\r\n";
  ASSERT_TRUE(parser.feed(input).has_value());
  const HttpRequest request = parser.take();
  EXPECT_EQ(request.path, "/a%2fb");
  EXPECT_EQ(request.target, "/a%2fb?c?d");
}

TEST(Http1, AHeaderThatOccursTwiceHasNoOneValue) {
  RequestParser parser{HttpLimits{}};
  const std::string text = get("Authorization: one\r\nAUTHORIZATION: two\r\nAccept: x\r\n");
  std::string_view input = text;
  ASSERT_TRUE(parser.feed(input).has_value());
  const HttpRequest request = parser.take();
  EXPECT_EQ(request.count("authorization"), 2U);
  EXPECT_FALSE(request.header("authorization").has_value());
  EXPECT_EQ(request.header("accept"), "x");
  EXPECT_FALSE(request.header("cookie").has_value());
}

TEST(Http1, PipelinedRequestsComeOneAfterTheOther) {
  EXPECT_EQ(parse(post("Content-Length: 2\r\n", "ab") + chunked("3\r\nabc\r\n0\r\n\r\n") + "\r\n" +
                  get("")),
            "POST / 1.1 keep body=ab [host=a] [content-length=2]\n"
            "POST / 1.1 keep body=abc [host=a] [transfer-encoding=chunked]\n"
            "GET / 1.1 keep body= [host=a]\n");
}

TEST(Http1, FeedStopsAtTheEndOfOneRequest) {
  RequestParser parser{HttpLimits{}};
  const std::string two = get("") + get("X: 2\r\n");
  std::string_view input = two;
  EXPECT_EQ(parser.feed(input), RequestParser::State::complete);
  EXPECT_EQ(input.size(), get("X: 2\r\n").size());
  EXPECT_EQ(parser.feed(input), RequestParser::State::complete) << "until it is taken";
  EXPECT_EQ(input.size(), get("X: 2\r\n").size());
}

TEST(Http1, InMessageTellsIdleFromSlow) {
  RequestParser parser{HttpLimits{}};
  EXPECT_FALSE(parser.in_message());
  std::string_view empty_line = "\r\n";
  EXPECT_EQ(parser.feed(empty_line), RequestParser::State::need_more);
  EXPECT_FALSE(parser.in_message()) << "an empty line is no request yet";
  std::string_view letter = "P";
  EXPECT_EQ(parser.feed(letter), RequestParser::State::need_more);
  EXPECT_TRUE(parser.in_message());
  std::string_view head = "OST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n";
  EXPECT_EQ(parser.feed(head), RequestParser::State::need_more);
  EXPECT_TRUE(parser.in_message());
  std::string_view body = "x";
  EXPECT_EQ(parser.feed(body), RequestParser::State::complete);
  EXPECT_EQ(parser.take().body, "x");
  EXPECT_FALSE(parser.in_message());
}

TEST(Http1, AnErrorStays) {
  RequestParser parser{HttpLimits{}};
  std::string_view bad = " ";
  std::string_view lf = "\n";
  ASSERT_FALSE(parser.feed(lf).has_value());
  const std::string good = get("");
  std::string_view again = good;
  EXPECT_EQ(parser.feed(again).error().code, Code::http_syntax);
  EXPECT_EQ(parser.feed(bad).error().where, "byte 0 of the request head");
}

TEST(Http1, TheRequestLineIsStrict) {
  const auto line = [](std::string_view text) {
    return parse(std::string(text) + "\r\nHost: a\r\n\r\n");
  };
  EXPECT_EQ(line("GET / HTTP/1.1"), "GET / 1.1 keep body= [host=a]\n");
  EXPECT_EQ(line("M-SEARCH /?q=a;b,c:d@e!~ HTTP/1.1"),
            "M-SEARCH /?q=a;b,c:d@e!~ 1.1 keep body= [host=a]\n");
  EXPECT_EQ(line("get / HTTP/1.1"), "get / 1.1 keep body= [host=a]\n")
      << "methods are case-sensitive: the handler's matter";
  const std::string at_0 = "http_syntax (byte 0 of the request head)\n";
  const std::string at_4 = "http_syntax (byte 4 of the request head)\n";
  const std::string at_6 = "http_syntax (byte 6 of the request head)\n";
  EXPECT_EQ(line(" GET / HTTP/1.1"), at_0);
  EXPECT_EQ(line("G(T / HTTP/1.1"), at_0);
  EXPECT_EQ(line("G\xc3\x84T / HTTP/1.1"), at_0);
  EXPECT_EQ(line("GET\t/ HTTP/1.1"), at_0);
  EXPECT_EQ(line("GET"), at_0);
  EXPECT_EQ(line("GET  / HTTP/1.1"), at_4);
  EXPECT_EQ(line("GET http://a/ HTTP/1.1"), at_4) << "absolute form";
  EXPECT_EQ(line("CONNECT a:443 HTTP/1.1"), "http_syntax (byte 8 of the request head)\n")
      << "authority form";
  EXPECT_EQ(line("OPTIONS * HTTP/1.1"), "http_syntax (byte 8 of the request head)\n")
      << "asterisk form";
  EXPECT_EQ(line("GET a HTTP/1.1"), at_4);
  EXPECT_EQ(line("GET /a#b HTTP/1.1"), at_6);
  EXPECT_EQ(line("GET /a\tb HTTP/1.1"), at_6);
  EXPECT_EQ(line("GET /a\x80 HTTP/1.1"), at_6);
  EXPECT_EQ(line("GET /a b HTTP/1.1"), "http_syntax (byte 7 of the request head)\n")
      << "no version after the first space";
  EXPECT_EQ(line("GET /"), "http_syntax (byte 5 of the request head)\n") << "HTTP/0.9";
  EXPECT_EQ(line("GET / "), at_6);
  EXPECT_EQ(line("GET / HTTP/1.1 "), at_6);
  EXPECT_EQ(line("GET / http/1.1"), at_6);
  EXPECT_EQ(line("GET / HTTP/1.10"), at_6);
  EXPECT_EQ(line("GET / HTTP/11"), at_6);
  EXPECT_EQ(line("GET / HTTP/2.0"), "http_version (byte 6 of the request head)\n");
  EXPECT_EQ(line("GET / HTTP/1.2"), "http_version (byte 6 of the request head)\n");
  EXPECT_EQ(line("GET / HTTP/0.9"), "http_version (byte 6 of the request head)\n");
  EXPECT_EQ(parse("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), at_4) << "HTTP/2 preface";
  EXPECT_EQ(parse(std::string("\x16\x03\x01\x02\x00", 5)), at_0) << "TLS";
}

TEST(Http1, OneEmptyLineBeforeARequestIsSkippedASecondIsNot) {
  EXPECT_EQ(parse("\r\n" + get("")), "GET / 1.1 keep body= [host=a]\n");
  EXPECT_EQ(parse("\r\n\r\n" + get("")), "http_syntax (byte 0 of the request head)\n");
  EXPECT_EQ(parse("\n" + get("")), "http_syntax (byte 0 of the request head)\n");
}

TEST(Http1, LineEndsAreCrlfOnly) {
  EXPECT_EQ(parse("GET / HTTP/1.1\nHost: a\r\n\r\n"),
            "http_syntax (byte 14 of the request head)\n");
  EXPECT_EQ(parse("GET / HTTP/1.1\r\nHost: a\n\r\n"),
            "http_syntax (byte 23 of the request head)\n");
  EXPECT_EQ(parse("GET / HTTP/1.1\r\nHost: a\r\n\n"),
            "http_syntax (byte 25 of the request head)\n");
  EXPECT_EQ(parse("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"),
            "http_syntax (byte 23 of the request head)\n");
  EXPECT_EQ(parse("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"),
            "http_syntax (byte 23 of the request head)\n");
}

TEST(Http1, HeadersAreStrict) {
  const std::string at_25 =
      "http_syntax (byte 25 of the request head)\n";  // where get() puts its headers
  EXPECT_EQ(parse(get(" folded: x\r\n")), at_25);
  EXPECT_EQ(parse(get("\tfolded\r\n")), at_25);
  EXPECT_EQ(parse("GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
            "http_syntax (byte 16 of the request head)\n");
  EXPECT_EQ(parse(get("X : y\r\n")), "http_syntax (byte 26 of the request head)\n");
  EXPECT_EQ(parse(get("X\t: y\r\n")), "http_syntax (byte 26 of the request head)\n");
  EXPECT_EQ(parse(get("X Y: z\r\n")), "http_syntax (byte 26 of the request head)\n");
  EXPECT_EQ(parse(get("X\x80: z\r\n")), "http_syntax (byte 26 of the request head)\n");
  EXPECT_EQ(parse(get("X(: z\r\n")), "http_syntax (byte 26 of the request head)\n");
  EXPECT_EQ(parse(get(": z\r\n")), at_25);
  EXPECT_EQ(parse(get("no-colon\r\n")), at_25);
  EXPECT_EQ(parse(get(std::string("X: a\0b\r\n", 8))),
            "http_syntax (byte 29 of the request head)\n");
  EXPECT_EQ(parse(get("X: a\x01\r\n")), "http_syntax (byte 29 of the request head)\n");
  EXPECT_EQ(parse(get("X: a\x7f\r\n")), "http_syntax (byte 29 of the request head)\n");
  EXPECT_EQ(parse(get("X: a\vb\r\n")), "http_syntax (byte 29 of the request head)\n");
  EXPECT_EQ(parse(get("X: a\tb: \xc3\xa4\r\n")),
            "GET / 1.1 keep body= [host=a] [x=a\tb: \xc3\xa4]\n")
      << "obs-text is opaque";
}

TEST(Http1, ThereIsExactlyOneWellFormedHost) {
  const auto host = [](std::string_view lines) {
    return parse("GET / HTTP/1.1\r\n" + std::string(lines) + "\r\n");
  };
  for (const std::string_view good :
       {"a", "a.b-c_d~1", "127.0.0.1:80", "[::1]", "[::1]:8080", "a:0", "a:65535"}) {
    EXPECT_EQ(host("Host: " + std::string(good) + "\r\n"),
              "GET / 1.1 keep body= [host=" + std::string(good) + "]\n");
  }
  const std::string refused = "http_syntax (header host)\n";
  EXPECT_EQ(host(""), refused);
  EXPECT_EQ(host("Host: a\r\nhost: a\r\n"), refused);
  for (const std::string_view bad :
       {"",         "a b",      "a,b",    "a:",     "a:80:80", "a:-1",        "a:+1",     "a:65536",
        "a:00080x", "a:000080", ":80",    "u@a",    "a/b",     "a?b",         "a#b",      "a%41",
        "[::1",     "::1",      "[::1]x", "[::1]:", "[a]",     "[127.0.0.1]", "\xc3\xa4", "a\\b"}) {
    EXPECT_EQ(host("Host: " + std::string(bad) + "\r\n"), refused) << bad;
  }
  EXPECT_EQ(parse("GET / HTTP/1.0\r\n\r\n"), "GET / 1.0 close body=\n") << "HTTP/1.0 had none";
  EXPECT_EQ(parse("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"), refused);
  EXPECT_EQ(parse("GET / HTTP/1.0\r\nHost: a b\r\n\r\n"), refused);
}

TEST(Http1, ContentLengthIsOnePlainNumber) {
  EXPECT_EQ(parse(post("Content-Length: 0\r\n", "")),
            "POST / 1.1 keep body= [host=a] [content-length=0]\n");
  EXPECT_EQ(parse(post("Content-Length:005\r\n", "12345")),
            "POST / 1.1 keep body=12345 [host=a] [content-length=005]\n");
  EXPECT_EQ(parse(post("Content-Length: 5\r\n", "1234")), "more\n");
  for (const std::string_view bad :
       {"", "+5", "-5", "5,5", "5, 5", "0x5", "5.0", "5e0", "5 5", "five", "\"5\"", "\xd9\xa5"}) {
    EXPECT_EQ(parse(post("Content-Length: " + std::string(bad) + "\r\n", "12345")),
              "http_ambiguous_framing (header content-length)\n")
        << bad;
  }
  for (const std::string_view stray : {"Content-Length:  5\r\n", "Content-Length: 5 \r\n",
                                       "Content-Length:\t5\r\n", "Content-Length:5\t\r\n"}) {
    EXPECT_EQ(parse(post(stray, "12345")), "http_ambiguous_framing (header content-length)\n")
        << stray;
  }
  const std::string twice = "http_ambiguous_framing (header content-length)\n";
  EXPECT_EQ(parse(post("Content-Length: 5\r\nContent-Length: 5\r\n", "12345")), twice);
  EXPECT_EQ(parse(post("Content-Length: 5\r\ncontent-length: 6\r\n", "12345")), twice);
  EXPECT_EQ(parse(post("Content-Length: 99999999999999999999999999\r\n", "")),
            "http_body_too_large (header content-length)\n");
}

TEST(Http1, TransferEncodingIsExactlyChunkedAndAlone) {
  const std::string refused = "http_ambiguous_framing (header transfer-encoding)\n";
  const std::string body = "1\r\na\r\n0\r\n\r\n";
  EXPECT_EQ(parse(post("Transfer-Encoding:chunked\r\n", body)),
            "POST / 1.1 keep body=a [host=a] [transfer-encoding=chunked]\n");
  for (const std::string_view bad :
       {"", "xchunked", "chunkedx", "chunked, chunked", "chunked, identity", "identity",
        "gzip, chunked", "chunked,", ",chunked", "Chunked", "CHUNKED", "\"chunked\"", "chunked;q=1",
        "chun ked"}) {
    EXPECT_EQ(parse(post("Transfer-Encoding: " + std::string(bad) + "\r\n", body)), refused) << bad;
  }
  for (const std::string_view stray :
       {"Transfer-Encoding:  chunked\r\n", "Transfer-Encoding:\tchunked\r\n",
        "Transfer-Encoding: chunked \r\n"}) {
    EXPECT_EQ(parse(post(stray, body)), refused) << stray;
  }
  EXPECT_EQ(parse(post("Transfer-Encoding : chunked\r\n", body)),
            "http_syntax (byte 43 of the request head)\n");
  EXPECT_EQ(parse(post(" Transfer-Encoding: chunked\r\n", body)),
            "http_syntax (byte 26 of the request head)\n");
  EXPECT_EQ(parse(post("Transfer-Encoding:\x0b"
                       "chunked\r\n",
                       body)),
            "http_syntax (byte 44 of the request head)\n");
  EXPECT_EQ(parse(post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", body)),
            refused);
  EXPECT_EQ(parse(post("Content-Length: 11\r\nTransfer-Encoding: chunked\r\n", body)), refused);
  EXPECT_EQ(parse(post("Transfer-Encoding: chunked\r\nContent-Length: 11\r\n", body)), refused);
  EXPECT_EQ(parse("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + body), refused);
}

TEST(Http1, ChunksAreStrict) {
  const std::string ok = "POST / 1.1 keep body=hello world [host=a] [transfer-encoding=chunked]\n";
  EXPECT_EQ(parse(chunked("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")), ok);
  EXPECT_EQ(parse(chunked("B\r\nhello world\r\n000\r\n\r\n")), ok);
  EXPECT_EQ(parse(chunked("00b\r\nhello world\r\n0\r\n\r\n")), ok);
  EXPECT_EQ(parse(chunked("5\r\nhello\r\n")), "more\n");
  const auto ambiguous = [](int at) {
    return "http_ambiguous_framing (byte " + std::to_string(at) + " of the body)\n";
  };
  EXPECT_EQ(parse(chunked("5;a=b\r\nhello\r\n0\r\n\r\n")), ambiguous(1)) << "extension";
  EXPECT_EQ(parse(chunked("5 \r\nhello\r\n0\r\n\r\n")), ambiguous(1));
  EXPECT_EQ(parse(chunked(" 5\r\nhello\r\n0\r\n\r\n")), ambiguous(0));
  EXPECT_EQ(parse(chunked("-5\r\nhello\r\n0\r\n\r\n")), ambiguous(0));
  EXPECT_EQ(parse(chunked("+5\r\nhello\r\n0\r\n\r\n")), ambiguous(0));
  EXPECT_EQ(parse(chunked("0x5\r\nhello\r\n0\r\n\r\n")), ambiguous(1));
  EXPECT_EQ(parse(chunked("\r\nhello\r\n0\r\n\r\n")), ambiguous(0)) << "no size";
  EXPECT_EQ(parse(chunked("5\nhello\r\n0\r\n\r\n")), ambiguous(1)) << "bare LF";
  EXPECT_EQ(parse(chunked("5\rhello\r\n0\r\n\r\n")), ambiguous(2)) << "bare CR";
  EXPECT_EQ(parse(chunked("5\r\r\nhello\r\n0\r\n\r\n")), ambiguous(2));
  EXPECT_EQ(parse(chunked("5\r\nhello0\r\n\r\n")), ambiguous(8)) << "no CRLF after the data";
  EXPECT_EQ(parse(chunked("5\r\nhello!\r\n0\r\n\r\n")), ambiguous(8)) << "longer than it said";
  EXPECT_EQ(parse(chunked("5\r\nhello\n0\r\n\r\n")), ambiguous(8));
  EXPECT_EQ(parse(chunked("5\r\nhello\r\r")), ambiguous(9));
  EXPECT_EQ(parse(chunked("0\r\nTrailer: x\r\n\r\n")), ambiguous(3)) << "trailer";
  EXPECT_EQ(parse(chunked("0\r\n\n")), ambiguous(3));
  EXPECT_EQ(parse(chunked("FFFFFFFFFFFFFFFFF\r\n")), ambiguous(16))
      << "more digits than a 64-bit number has";
  EXPECT_EQ(parse(chunked("FFFFFFFFFFFFFFFF\r\n")), "http_body_too_large (byte 18 of the body)\n");
  EXPECT_EQ(parse(chunked("1\r\na\r\nFFFFFFFFFFFFFFFF\r\n")),
            "http_body_too_large (byte 24 of the body)\n")
      << "no wrapping around";
}

TEST(Http1, LimitsAreInclusive) {
  const HttpLimits limits{.max_target = 8, .max_head = 64, .max_headers = 3, .max_body = 4};
  EXPECT_EQ(parse("GET /1234567 HTTP/1.1\r\nHost: a\r\n\r\n", limits),
            "GET /1234567 1.1 keep body= [host=a]\n");
  EXPECT_EQ(parse("GET /12345678 HTTP/1.1\r\nHost: a\r\n\r\n", limits),
            "http_target_too_long (byte 4 of the request head)\n");
  const std::string head = get("");  // 27 bytes
  const std::string fits = get("X: " + std::string(64 - head.size() - 5, 'x') + "\r\n");
  ASSERT_EQ(fits.size(), 64U);
  EXPECT_TRUE(parse(fits, limits).starts_with("GET / 1.1"));
  EXPECT_EQ(parse(get("X: " + std::string(64 - head.size() - 4, 'x') + "\r\n"), limits),
            "http_header_too_large ()\n");
  EXPECT_EQ(parse("GET /" + std::string(100, 'a'), limits), "http_header_too_large ()\n")
      << "a request line without an end";
  EXPECT_TRUE(parse(get("A:1\r\nB:2\r\n"), limits).starts_with("GET / 1.1"));
  EXPECT_EQ(parse(get("A:1\r\nB:2\r\nC:3\r\n"), limits),
            "http_header_too_large (byte 35 of the request head)\n");
  EXPECT_TRUE(parse(post("Content-Length:4\r\n", "abcd"), limits).starts_with("POST / 1.1"));
  EXPECT_EQ(parse(post("Content-Length:5\r\n", "abcde"), limits),
            "http_body_too_large (header content-length)\n");
  const HttpLimits small_body{.max_body = 4};
  EXPECT_TRUE(
      parse(chunked("2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"), small_body).starts_with("POST / 1.1"));
  EXPECT_EQ(parse(chunked("2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"), small_body),
            "http_body_too_large (byte 10 of the body)\n");
}

TEST(Http1, ConnectionDecidesWhatFollows) {
  const auto kept = [](std::string_view text) {
    return parse(text).find(" keep ") != std::string::npos;
  };
  EXPECT_TRUE(kept(get("")));
  EXPECT_TRUE(kept(get("Connection: upgrade\r\nUpgrade: h2c\r\n"))) << "an offer that is not taken";
  EXPECT_TRUE(kept(get("Connection: , keep-alive ,\r\n")));
  EXPECT_FALSE(kept(get("Connection: close\r\n")));
  EXPECT_FALSE(kept(get("Connection: keep-alive, CLOSE\r\n")));
  EXPECT_FALSE(kept(get("Connection: keep-alive\r\nConnection: close\r\n")));
  EXPECT_TRUE(kept(get("X-Connection: close\r\n")));
  EXPECT_FALSE(kept("GET / HTTP/1.0\r\n\r\n"));
  EXPECT_TRUE(kept("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
  EXPECT_FALSE(kept("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n"));
  EXPECT_EQ(parse(get("Connection: a b\r\n")), "http_syntax (header connection)\n");
}

TEST(Http1, NothingMayFollowARequestThatAskedToClose) {
  EXPECT_EQ(parse(get("Connection: close\r\n") + "G"),
            "GET / 1.1 close body= [host=a] [connection=close]\nhttp_syntax ()\n");
}

TEST(Http1, OnlyOneExpectationIsMet) {
  const std::string parsed =
      "POST / 1.1 keep body=ab [host=a] [expect=100-continue] [content-length=2]\n";
  EXPECT_EQ(parse(post("Expect: 100-continue\r\nContent-Length: 2\r\n", "ab")),
            "continue\n" + parsed);
  EXPECT_EQ(parse(post("Expect: 100-CONTINUE\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
            "continue\nPOST / 1.1 keep body= [host=a] [expect=100-CONTINUE] "
            "[transfer-encoding=chunked]\n");
  EXPECT_EQ(parse(get("Expect: 100-continue\r\n")),
            "GET / 1.1 keep body= [host=a] [expect=100-continue]\n")
      << "no body to wait for";
  EXPECT_EQ(parse("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na"),
            "POST / 1.0 close body=a [expect=100-continue] [content-length=1]\n");
  EXPECT_EQ(parse(post("Expect: payment\r\n", "")), "http_syntax (header expect)\n");
  EXPECT_EQ(parse(post("Expect: 100-continue\r\nExpect: 100-continue\r\n", "")),
            "http_syntax (header expect)\n");
  EXPECT_EQ(parse(post("Expect: 100-continue\r\nContent-Length: 99999999\r\n", "")),
            "http_body_too_large (header content-length)\n")
      << "too large is told before the client sends it";
}

TEST(Http1, EveryErrorHasItsStatus) {
  EXPECT_EQ(RequestParser::status_for(Code::http_syntax), 400);
  EXPECT_EQ(RequestParser::status_for(Code::http_ambiguous_framing), 400);
  EXPECT_EQ(RequestParser::status_for(Code::http_timeout), 408);
  EXPECT_EQ(RequestParser::status_for(Code::http_body_too_large), 413);
  EXPECT_EQ(RequestParser::status_for(Code::http_target_too_long), 414);
  EXPECT_EQ(RequestParser::status_for(Code::http_header_too_large), 431);
  EXPECT_EQ(RequestParser::status_for(Code::http_version), 505);
  EXPECT_EQ(RequestParser::status_for(Code::overloaded), 503);
  EXPECT_EQ(RequestParser::status_for(Code::internal), 500);
}

TEST(Http1, AnAnswerIsSerializedWithItsLength) {
  EXPECT_EQ(
      serialize({.status = 200, .headers = {{"Content-Type", "text/plain"}}, .body = "hi"}, true),
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: "
      "keep-alive\r\n\r\nhi");
  EXPECT_EQ(serialize({.status = 404, .headers = {}, .body = ""}, false),
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(serialize({.status = 200, .headers = {}, .body = "hi"}, true, true),
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(serialize({.status = 204, .headers = {}, .body = "no"}, true),
            "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(serialize({.status = 299, .headers = {}, .body = ""}, true),
            "HTTP/1.1 299 \r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_TRUE(
      serialize({.status = 100, .headers = {}, .body = ""}, true).starts_with("HTTP/1.1 500 "))
      << "no final status";
}

TEST(Http1, NoHeaderValueSplitsAnAnswer) {
  EXPECT_EQ(serialize({.status = 200,
                       .headers = {{"X", "a\r\nSet-Cookie: b\x01"},
                                   {"bad name", "x"},
                                   {"Y:", "x"},
                                   {"", "x"},
                                   {"Content-Length", "7"},
                                   {"transfer-encoding", "chunked"},
                                   {"CONNECTION", "x"}},
                       .body = ""},
                      true),
            "HTTP/1.1 200 OK\r\nX: a  Set-Cookie: b \r\nContent-Length: 0\r\nConnection: "
            "keep-alive\r\n\r\n");
}

}  // namespace
}  // namespace zwinger::net
