#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "net/http1.h"
#include "net/http1_response_trace.h"

namespace zwinger::net {
namespace {

// The trace, after checking that byte by byte and every split in two give the same one.
std::string parse(std::string_view input, const ResponseTrace& trace = {}) {
  std::string whole = trace.run(input);
  EXPECT_EQ(trace.run(input, [] { return 1; }), whole) << "fed byte by byte: " << input;
  for (std::size_t at = 1; at < input.size(); ++at) {
    bool first = true;
    const std::string split =
        trace.run(input, [&] { return std::exchange(first, false) ? at : input.size(); });
    EXPECT_EQ(split, whole) << "split at " << at << ": " << input;
    if (split != whole) break;
  }
  return whole;
}

ResponseTrace asked(std::string methods) {
  ResponseTrace trace;
  trace.methods = std::move(methods);
  return trace;
}
ResponseTrace ended() {
  ResponseTrace trace;
  trace.ends = true;
  return trace;
}

std::string ok(std::string_view headers, std::string_view body) {
  return "HTTP/1.1 200 OK\r\n" + std::string(headers) + "\r\n" + std::string(body);
}
std::string chunked(std::string_view body) { return ok("Transfer-Encoding: chunked\r\n", body); }

TEST(Http1Response, AnOrdinaryResponseComesThroughWhole) {
  EXPECT_EQ(parse("HTTP/1.1 200 OK\r\nContent-Type:application/json\r\nX-Padded: \t a b \t\r\n"
                  "Content-Length: 7\r\n\r\n{\"a\":1}"),
            "200 1.1 keep [content-type=application/json] [x-padded=a b] [content-length=7]\n"
            "body={\"a\":1}\n");
  EXPECT_EQ(parse(chunked("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")),
            "200 1.1 keep [transfer-encoding=chunked]\nbody=hello world\n");
  EXPECT_EQ(parse(ok("Content-Length: 5\r\n", "hell")),
            "200 1.1 keep [content-length=5]\nmore body=hell\n");
  EXPECT_EQ(parse("HTTP/1.1 2"), "more body=\n");
}

TEST(Http1Response, HeadersThatOccurTwiceHaveNoOneValue) {
  ResponseParser parser{HttpLimits{}};
  parser.expect("GET");
  const std::string text = ok("A: 1\r\na: 2\r\nB: 3\r\nContent-Length: 0\r\n", "");
  std::string_view input = text;
  std::string body;
  ASSERT_EQ(parser.feed(input, body), ResponseParser::State::head);
  EXPECT_EQ(parser.head().count("a"), 2U);
  EXPECT_FALSE(parser.head().header("a").has_value());
  EXPECT_EQ(parser.head().header("b"), "3");
  const HttpResponseHead taken = parser.take_head();
  EXPECT_EQ(taken.header("b"), "3");
  EXPECT_EQ(parser.head().count("b"), 0U);
  EXPECT_EQ(parser.feed(input, body), ResponseParser::State::complete) << "fed with no bytes";
  EXPECT_EQ(parser.feed(input, body), ResponseParser::State::need_more) << "told once";
}

TEST(Http1Response, TheHeadIsToldBeforeTheBodyComes) {
  ResponseParser parser{HttpLimits{}};
  parser.expect("GET");
  EXPECT_TRUE(parser.in_message());
  const std::string text = chunked("3\r\nabc\r\n");
  std::string_view input = text;
  std::string body;
  ASSERT_EQ(parser.feed(input, body), ResponseParser::State::head);
  EXPECT_EQ(body, "");
  EXPECT_EQ(input, "3\r\nabc\r\n");
  ASSERT_EQ(parser.feed(input, body), ResponseParser::State::need_more);
  EXPECT_EQ(body, "abc") << "each piece as it comes";
  std::string_view end = "0\r\n\r\nHTTP";
  ASSERT_EQ(parser.feed(end, body), ResponseParser::State::complete);
  EXPECT_EQ(end, "HTTP") << "what stands behind the response is left";
  EXPECT_FALSE(parser.in_message());
}

TEST(Http1Response, SomeResponsesHaveNoBodyWhateverTheySay) {
  const std::string next = ok("Content-Length: 1\r\n", "x");
  const std::string then = "200 1.1 keep [content-length=1]\nbody=x\n";
  EXPECT_EQ(parse(ok("Content-Length: 5\r\n", "") + next, asked("HG")),
            "200 1.1 keep [content-length=5]\nbody=\n" + then)
      << "HEAD";
  EXPECT_EQ(parse(chunked("") + next, asked("HG")),
            "200 1.1 keep [transfer-encoding=chunked]\nbody=\n" + then);
  EXPECT_EQ(parse(ok("", "") + next, asked("HG")), "200 1.1 keep\nbody=\n" + then);
  EXPECT_EQ(parse("HTTP/1.1 204 No Content\r\n\r\n" + next, asked("GG")),
            "204 1.1 keep\nbody=\n" + then);
  EXPECT_EQ(parse("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n" + next, asked("GG")),
            "204 1.1 keep [content-length=0]\nbody=\n" + then);
  EXPECT_EQ(parse("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n" + next, asked("GG")),
            "304 1.1 keep [content-length=5]\nbody=\n" + then);
  EXPECT_EQ(parse("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"),
            "http_ambiguous_framing (header content-length) after body=\n");
  EXPECT_EQ(parse("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "http_ambiguous_framing (header transfer-encoding) after body=\n");
  EXPECT_EQ(parse(ok("Content-Length: 5\r\nContent-Length: 5\r\n", ""), asked("H")),
            "http_ambiguous_framing (header content-length) after body=\n")
      << "HEAD excuses nothing";
}

TEST(Http1Response, NothingMayComeThatWasNotAskedFor) {
  const std::string first = ok("Content-Length: 1\r\n", "x");
  const std::string told = "200 1.1 keep [content-length=1]\nbody=x\n";
  EXPECT_EQ(parse(first + first, asked("GG")), told + told);
  EXPECT_EQ(parse(first + first), told + "http_syntax () after body=\n") << "response splitting";
  EXPECT_EQ(parse(first + "\r\n"), told + "http_syntax () after body=\n");
  EXPECT_EQ(parse("H", asked("")), "http_syntax () after body=\n");
  EXPECT_EQ(parse(ok("Content-Length: 1\r\nConnection: close\r\n", "x") + first, asked("GG")),
            "200 1.1 close [content-length=1] [connection=close]\nbody=x\n"
            "http_syntax () after body=\n")
      << "after a response that ends the connection";
}

TEST(Http1Response, ExpectingTwiceIsADefect) {
  ResponseParser parser{HttpLimits{}};
  parser.expect("GET");
  parser.expect("GET");
  std::string body;
  std::string_view input = "H";
  EXPECT_EQ(parser.feed(input, body).error().code, Code::internal);
  EXPECT_EQ(parser.end_of_input().error().code, Code::internal);
}

TEST(Http1Response, AnErrorStays) {
  ResponseParser parser{HttpLimits{}};
  parser.expect("GET");
  std::string body;
  std::string_view lf = "\n";
  EXPECT_EQ(parser.feed(lf, body).error().where, "byte 0 of the response head");
  parser.expect("GET");
  const std::string good = ok("Content-Length: 0\r\n", "");
  std::string_view input = good;
  EXPECT_EQ(parser.feed(input, body).error().code, Code::http_syntax);
  EXPECT_EQ(parser.end_of_input().error().code, Code::http_syntax);
}

TEST(Http1Response, TheStatusLineIsStrict) {
  const auto line = [](std::string_view text) {
    return parse(std::string(text) + "\r\nContent-Length: 0\r\n\r\n");
  };
  const std::string read = " 1.1 keep [content-length=0]\nbody=\n";
  EXPECT_EQ(line("HTTP/1.1 200 OK"), "200" + read);
  EXPECT_EQ(line("HTTP/1.1 200 "), "200" + read) << "the reason may be empty";
  EXPECT_EQ(line("HTTP/1.1 599 What\tever \xc3\xa4"), "599" + read);
  EXPECT_EQ(line("HTTP/1.0 200 OK"), "200 1.0 close [content-length=0]\nbody=\n");
  const auto at = [](int byte, std::string_view code = "http_syntax") {
    return std::string(code) + " (byte " + std::to_string(byte) +
           " of the response head) after body=\n";
  };
  EXPECT_EQ(line(""), at(0)) << "an empty line before it";
  EXPECT_EQ(line(" HTTP/1.1 200 OK"), at(0));
  EXPECT_EQ(line("http/1.1 200 OK"), at(0));
  EXPECT_EQ(line("HTTP/11 200 OK"), at(0));
  EXPECT_EQ(line("HTTP/1.x 200 OK"), at(0));
  EXPECT_EQ(line("HTTP/1,1 200 OK"), at(0));
  EXPECT_EQ(line("ICY 200 OK"), at(0));
  EXPECT_EQ(line("HTTP/1."), at(0));
  EXPECT_EQ(line("HTTP/2.0 200 OK"), at(0, "http_version"));
  EXPECT_EQ(line("HTTP/1.2 200 OK"), at(0, "http_version"));
  EXPECT_EQ(line("HTTP/0.9 200 OK"), at(0, "http_version"));
  EXPECT_EQ(line("HTTP/1.1"), at(8));
  EXPECT_EQ(line("HTTP/1.1\t200 OK"), at(8));
  EXPECT_EQ(line("HTTP/1.10 200 OK"), at(8));
  EXPECT_EQ(line("HTTP/1.1 "), at(9));
  EXPECT_EQ(line("HTTP/1.1  200 OK"), at(9));
  EXPECT_EQ(line("HTTP/1.1 20 OK"), at(9));
  EXPECT_EQ(line("HTTP/1.1 2x0 OK"), at(9));
  EXPECT_EQ(line("HTTP/1.1 +20 OK"), at(9));
  EXPECT_EQ(line("HTTP/1.1 099 OK"), at(9));
  EXPECT_EQ(line("HTTP/1.1 600 OK"), at(9));
  EXPECT_EQ(line("HTTP/1.1 200"), at(12)) << "no space";
  EXPECT_EQ(line("HTTP/1.1 200\tOK"), at(12));
  EXPECT_EQ(line("HTTP/1.1 2000 OK"), at(12));
  EXPECT_EQ(line("HTTP/1.1 200 O\x01K"), at(14));
  EXPECT_EQ(line(std::string_view("HTTP/1.1 200 O\0K", 16)), at(14));
}

TEST(Http1Response, LineEndsAndHeadersAreAsStrictAsInRequests) {
  const auto at = [](int byte) {
    return "http_syntax (byte " + std::to_string(byte) + " of the response head) after body=\n";
  };
  EXPECT_EQ(parse("HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"), at(15));
  EXPECT_EQ(parse("HTTP/1.1 200 OK\rContent-Length: 0\r\n\r\n"), at(15));
  EXPECT_EQ(parse(ok("X: a\n", "")), at(21));
  EXPECT_EQ(parse(ok("X: a\rY: b\r\n", "")), at(21));
  EXPECT_EQ(parse("HTTP/1.1 200 OK\r\nX: a\r\n\nx"), at(23));
  EXPECT_EQ(parse(ok("X: a\r\n folded\r\n", "")), at(23)) << "obs-fold";
  EXPECT_EQ(parse(ok("X: a\r\n\tfolded\r\n", "")), at(23));
  EXPECT_EQ(parse(ok(" X: a\r\n", "")), at(17));
  EXPECT_EQ(parse(ok("X : a\r\n", "")), at(18));
  EXPECT_EQ(parse(ok("X\t: a\r\n", "")), at(18));
  EXPECT_EQ(parse(ok("X Y: a\r\n", "")), at(18));
  EXPECT_EQ(parse(ok("X\x80: a\r\n", "")), at(18));
  EXPECT_EQ(parse(ok(": a\r\n", "")), at(17));
  EXPECT_EQ(parse(ok("no colon\r\n", "")), at(17));
  EXPECT_EQ(parse(ok(std::string_view("X: a\0b\r\n", 8), "")), at(21));
  EXPECT_EQ(parse(ok("X: a\x7f\r\n", "")), at(21));
}

TEST(Http1Response, ContentLengthIsOnePlainNumber) {
  const std::string refused = "http_ambiguous_framing (header content-length) after body=\n";
  EXPECT_EQ(parse(ok("Content-Length:005\r\n", "12345")),
            "200 1.1 keep [content-length=005]\nbody=12345\n");
  for (const std::string_view bad :
       {"", "+5", "-5", "5,5", "5, 5", "0x5", "5.0", "5 5", "five", "\"5\"", "\xd9\xa5"}) {
    EXPECT_EQ(parse(ok("Content-Length: " + std::string(bad) + "\r\n", "12345")), refused) << bad;
  }
  for (const std::string_view stray : {"Content-Length:  5\r\n", "Content-Length: 5 \r\n",
                                       "Content-Length:\t5\r\n", "Content-Length:5\t\r\n"}) {
    EXPECT_EQ(parse(ok(stray, "12345")), refused) << stray;
  }
  EXPECT_EQ(parse(ok("Content-Length: 5\r\nContent-Length: 5\r\n", "12345")), refused);
  EXPECT_EQ(parse(ok("Content-Length: 5\r\ncontent-length: 6\r\n", "12345")), refused);
  EXPECT_EQ(parse(ok("Content-Length: 18446744073709551616\r\n", "")),
            "http_body_too_large (header content-length) after body=\n");
}

TEST(Http1Response, TransferEncodingIsExactlyChunkedAndAlone) {
  const std::string refused = "http_ambiguous_framing (header transfer-encoding) after body=\n";
  const std::string body = "1\r\na\r\n0\r\n\r\n";
  for (const std::string_view bad :
       {"", "xchunked", "chunked, chunked", "identity", "gzip, chunked", "chunked,", ",chunked",
        "Chunked", "\"chunked\"", "chunked;q=1", "chun ked", "gzip"}) {
    EXPECT_EQ(parse(ok("Transfer-Encoding: " + std::string(bad) + "\r\n", body)), refused) << bad;
  }
  for (const std::string_view stray :
       {"Transfer-Encoding:  chunked\r\n", "Transfer-Encoding:\tchunked\r\n",
        "Transfer-Encoding: chunked \r\n"}) {
    EXPECT_EQ(parse(ok(stray, body)), refused) << stray;
  }
  EXPECT_EQ(parse(ok("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", body)),
            refused);
  EXPECT_EQ(parse(ok("Content-Length: 11\r\nTransfer-Encoding: chunked\r\n", body)), refused);
  EXPECT_EQ(parse(ok("Transfer-Encoding: chunked\r\nContent-Length: 11\r\n", body)), refused);
  EXPECT_EQ(parse("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body), refused);
}

TEST(Http1Response, ChunksAreStrict) {
  const auto broken = [](std::string_view body, int at, std::string_view before) {
    EXPECT_EQ(parse(chunked(body)),
              "200 1.1 keep [transfer-encoding=chunked]\n"
              "http_ambiguous_framing (byte " +
                  std::to_string(at) + " of the body) after body=" + std::string(before) + "\n")
        << body;
  };
  broken("5;a=b\r\nhello\r\n0\r\n\r\n", 1, "");
  broken("5 \r\nhello\r\n0\r\n\r\n", 1, "");
  broken(" 5\r\nhello\r\n0\r\n\r\n", 0, "");
  broken("-5\r\nhello\r\n0\r\n\r\n", 0, "");
  broken("0x5\r\nhello\r\n0\r\n\r\n", 1, "");
  broken("\r\nhello\r\n0\r\n\r\n", 0, "");
  broken("5\nhello\r\n0\r\n\r\n", 1, "");
  broken("5\rhello\r\n0\r\n\r\n", 2, "");
  broken("5\r\nhello0\r\n\r\n", 8, "hello");
  broken("5\r\nhello\n0\r\n\r\n", 8, "hello");
  broken("5\r\nhello\r\r", 9, "hello");
  broken("5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", 13, "hello");
  broken("0\r\n\n", 3, "");
  broken("FFFFFFFFFFFFFFFFF\r\n", 16, "");
  EXPECT_EQ(parse(chunked("1\r\na\r\nFFFFFFFFFFFFFFFF\r\n")),
            "200 1.1 keep [transfer-encoding=chunked]\n"
            "http_body_too_large (byte 24 of the body) after body=a\n")
      << "no wrapping around";
}

TEST(Http1Response, AStreamHasNoLimit) {
  ResponseTrace small;
  small.limits.max_body = 2;
  EXPECT_EQ(parse(ok("Content-Length: 5\r\n", "hello"), small),
            "200 1.1 keep [content-length=5]\nbody=hello\n");
  EXPECT_EQ(parse(chunked("5\r\nhello\r\n0\r\n\r\n"), small),
            "200 1.1 keep [transfer-encoding=chunked]\nbody=hello\n");
}

TEST(Http1Response, ABodyMayEndWithAConnectionThatDoesNotStayOpen) {
  EXPECT_EQ(parse(ok("Connection: close\r\n", "hello"), ended()),
            "200 1.1 close [connection=close]\nbody=hello\nend\n");
  EXPECT_EQ(parse(ok("Connection: close\r\n", ""), ended()),
            "200 1.1 close [connection=close]\nbody=\nend\n");
  EXPECT_EQ(parse(ok("Connection: close\r\n", "hello")),
            "200 1.1 close [connection=close]\nmore body=hello\n");
  EXPECT_EQ(parse("HTTP/1.0 200 OK\r\n\r\nhello", ended()), "200 1.0 close\nbody=hello\nend\n");
  const std::string refused = "http_ambiguous_framing (header content-length) after body=\n";
  EXPECT_EQ(parse(ok("", "hello"), ended()), refused);
  EXPECT_EQ(parse(ok("Connection: keep-alive\r\n", "hello"), ended()), refused);
  EXPECT_EQ(parse("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello", ended()), refused);
}

TEST(Http1Response, WhatIsCutOffIsNotWhole) {
  EXPECT_EQ(parse(ok("Content-Length: 5\r\n", "hell"), ended()),
            "200 1.1 keep [content-length=5]\nclosed () after body=hell\n");
  EXPECT_EQ(parse(chunked("5\r\nhello\r\n"), ended()),
            "200 1.1 keep [transfer-encoding=chunked]\nclosed () after body=hello\n")
      << "between two chunks";
  EXPECT_EQ(parse(chunked("5\r\nhello\r\n0\r\n\r"), ended()),
            "200 1.1 keep [transfer-encoding=chunked]\nclosed () after body=hello\n");
  EXPECT_EQ(parse("HTTP/1.1 200 OK\r\nConnection: close\r\n", ended()), "closed () after body=\n");
  EXPECT_EQ(parse("", ended()), "closed () after body=\n");
  EXPECT_EQ(parse("HTTP/1.1 100 Continue\r\n\r\n", ended()), "closed () after body=\n");
  ResponseTrace two = ended();
  EXPECT_EQ(parse(ok("Content-Length: 1\r\n", "x"), two),
            "200 1.1 keep [content-length=1]\nbody=x\nend\n");
  two.methods = "GG";
  EXPECT_EQ(parse(ok("Content-Length: 1\r\n", "x"), two),
            "200 1.1 keep [content-length=1]\nbody=x\nclosed () after body=\n");
}

TEST(Http1Response, TheEndOfInputEndsAResponseThatHasNoBody) {
  ResponseParser parser{HttpLimits{}};
  parser.expect("HEAD");
  std::string body;
  const std::string text = ok("Content-Length: 5\r\n", "");
  std::string_view input = text;
  ASSERT_EQ(parser.feed(input, body), ResponseParser::State::head);
  EXPECT_EQ(parser.end_of_input(), ResponseParser::State::complete);
  EXPECT_EQ(parser.end_of_input(), ResponseParser::State::need_more);
  parser.expect("GET");
  std::string_view more = "H";
  EXPECT_EQ(parser.feed(more, body).error().code, Code::http_syntax) << "nothing comes any more";
}

TEST(Http1Response, InterimResponsesAreSkippedUpToABound) {
  const std::string early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
  const std::string last = ok("Content-Length: 1\r\n", "x");
  const std::string told = "200 1.1 keep [content-length=1]\nbody=x\n";
  EXPECT_EQ(parse("HTTP/1.1 100 Continue\r\n\r\n" + early + last), told);
  std::string many;
  for (int i = 0; i < 8; ++i) many += early;
  EXPECT_EQ(parse(many + last + many + last, asked("GG")), told + told) << "for each request";
  EXPECT_EQ(parse(early + many + last), "http_syntax (byte 9 of the response head) after body=\n");
  EXPECT_EQ(parse("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
            "http_syntax (byte 9 of the response head) after body=\n");
  EXPECT_EQ(parse("HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello" + last),
            "http_ambiguous_framing (header content-length) after body=\n");
  EXPECT_EQ(parse("HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n" + last),
            "http_ambiguous_framing (header transfer-encoding) after body=\n");
}

TEST(Http1Response, ConnectionDecidesWhatFollows) {
  const auto kept = [](std::string_view version, std::string_view headers) {
    return parse(std::string(version) + " 200 OK\r\nContent-Length: 0\r\n" + std::string(headers) +
                 "\r\n")
               .find(" keep ") != std::string::npos;
  };
  EXPECT_TRUE(kept("HTTP/1.1", ""));
  EXPECT_TRUE(kept("HTTP/1.1", "Connection: , x,\r\n"));
  EXPECT_FALSE(kept("HTTP/1.1", "Connection: keep-alive, CLOSE\r\n"));
  EXPECT_FALSE(kept("HTTP/1.1", "Connection: keep-alive\r\nConnection: close\r\n"));
  EXPECT_FALSE(kept("HTTP/1.0", ""));
  EXPECT_TRUE(kept("HTTP/1.0", "Connection: Keep-Alive\r\n"));
  EXPECT_EQ(parse(ok("Connection: a b\r\n", "")), "http_syntax (header connection) after body=\n");
}

TEST(Http1Response, LimitsAreInclusive) {
  ResponseTrace trace;
  trace.limits = {.max_target = 8, .max_head = 64, .max_headers = 2, .max_body = 4};
  const std::string head = ok("Content-Length:0\r\n", "");  // 37 bytes
  const auto padded = [&](std::size_t size) {
    return ok("Content-Length:0\r\nX:" + std::string(size - head.size() - 4, 'x') + "\r\n", "");
  };
  ASSERT_EQ(padded(64).size(), 64U);
  EXPECT_TRUE(parse(padded(64), trace).starts_with("200 1.1"));
  EXPECT_EQ(parse(padded(65), trace), "http_header_too_large () after body=\n");
  EXPECT_EQ(parse("HTTP/1.1 200 " + std::string(100, 'a'), trace),
            "http_header_too_large () after body=\n")
      << "a status line without an end";
  EXPECT_EQ(parse(ok("A:1\r\nB:2\r\nC:3\r\n", ""), trace),
            "http_header_too_large (byte 27 of the response head) after body=\n");
}

std::string request(std::string_view method, std::string_view target, std::string_view host,
                    const HttpHeaders& headers, std::string_view body) {
  const auto bytes = serialize_request(method, target, host, headers, body);
  return bytes ? *bytes : std::string(name(bytes.error().code));
}

TEST(Http1Request, IsSerializedWithHostFirstAndItsLength) {
  EXPECT_EQ(request("POST", "/mcp?a=b", "localhost:8080", {{"Accept", "a, b"}, {"X-Y", ""}}, "{}"),
            "POST /mcp?a=b HTTP/1.1\r\nHost: localhost:8080\r\nAccept: a, b\r\nX-Y: \r\n"
            "Content-Length: 2\r\n\r\n{}");
  EXPECT_EQ(request("GET", "/", "[::1]", {}, ""), "GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n");
  EXPECT_EQ(request("POST", "/", "a", {}, ""),
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(request("PUT", "/", "a", {}, ""),
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(request("DELETE", "/", "a", {}, "x"),
            "DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
}

TEST(Http1Request, NothingThatWouldBreakItIsSent) {
  for (const std::string_view method : {"", "G T", "GET\r\n", "CONNECT", "G\xc3\xa4T"}) {
    EXPECT_EQ(request(method, "/", "a", {}, ""), "internal") << method;
  }
  for (const std::string_view target :
       {"", "a", "*", "http://a/", "/a b", "/a\r\nX: y", "/a#b", "/\x80", "/\t"}) {
    EXPECT_EQ(request("GET", target, "a", {}, ""), "internal") << target;
  }
  for (const std::string_view host : {"", "a b", "a\r\nX: y", "a/b", "u@a", "a:", "a,b", "::1"}) {
    EXPECT_EQ(request("GET", "/", host, {}, ""), "internal") << host;
  }
  for (const std::string_view name :
       {"", "a b", "a:", "a\r\nb", "Host", "content-length", "TRANSFER-ENCODING", "Connection"}) {
    EXPECT_EQ(request("GET", "/", "a", {{std::string(name), "x"}}, ""), "internal") << name;
  }
  for (const std::string_view value : {"a\r\nX: y", "a\nb", "\r", "a\x01", "\x7f", "a\tb"}) {
    EXPECT_EQ(request("GET", "/", "a", {{"X", std::string(value)}}, ""), "internal") << value;
  }
  EXPECT_EQ(request("GET", "/", "a", {{"X", std::string("a\0b", 3)}}, ""), "internal");
  EXPECT_EQ(request("GET", "/", "a", {{"X", "\xc3\xa4"}}, ""),
            "GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa4\r\n\r\n");
}

TEST(Http1Request, OurOwnServerReadsIt) {
  const std::string bytes = request("POST", "/a?b", "[::1]:80", {{"X", "y"}}, "body");
  RequestParser parser{HttpLimits{}};
  std::string_view input = bytes;
  ASSERT_EQ(parser.feed(input), RequestParser::State::complete);
  const HttpRequest read = parser.take();
  EXPECT_EQ(read.target, "/a?b");
  EXPECT_EQ(read.header("host"), "[::1]:80");
  EXPECT_EQ(read.header("x"), "y");
  EXPECT_EQ(read.body, "body");
  EXPECT_TRUE(input.empty());
}

}  // namespace
}  // namespace zwinger::net
