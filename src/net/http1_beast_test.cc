// Boost.Beast as an oracle: what our parser accepts, Beast reads as the same request. The reverse
// does not hold, and is why we have a parser of our own (docs/decisions). Beast stands in this file
// only: it is slow to compile.
#include <gtest/gtest.h>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "net/http1.h"

namespace zwinger::net {
namespace {

struct Parsed {
  std::string method;
  std::string target;
  std::string body;
  int minor_version = 0;
  std::optional<bool>
      keep_alive;  // nothing with several Connection headers, of which Beast reads the first only
  std::size_t length = 0;  // bytes of input that belong to it
};

std::optional<Parsed> by_us(std::string_view input) {
  RequestParser parser{HttpLimits{}};
  const std::size_t size = input.size();
  while (!input.empty()) {
    const auto state = parser.feed(input);
    if (!state) return std::nullopt;
    if (*state != RequestParser::State::complete) continue;
    HttpRequest request = parser.take();
    return Parsed{.method = std::move(request.method),
                  .target = std::move(request.target),
                  .body = std::move(request.body),
                  .minor_version = request.minor_version,
                  .keep_alive = request.count("connection") > 1 ? std::nullopt
                                                                : std::optional(request.keep_alive),
                  .length = size - input.size()};
  }
  return std::nullopt;
}

std::optional<Parsed> by_beast(std::string_view input) {
  boost::beast::http::request_parser<boost::beast::http::string_body> parser;
  parser.eager(true);
  boost::system::error_code error;
  std::size_t used = 0;
  while (!parser.is_done() && used < input.size()) {
    const std::size_t step = parser.put(boost::asio::buffer(input.substr(used)), error);
    if (error) return std::nullopt;
    used += step;
  }
  if (!parser.is_done()) return std::nullopt;
  const auto& request = parser.get();
  return Parsed{.method = std::string(request.method_string()),
                .target = std::string(request.target()),
                .body = request.body(),
                .minor_version = static_cast<int>(request.version() % 10),
                .keep_alive = request.keep_alive(),
                .length = used};
}

// Pieces that make requests: mostly well-formed, some smuggling shapes, some noise.
std::string random_request(std::mt19937& random) {
  const auto pick = [&random](const std::vector<std::string>& from) {
    return from[random() % from.size()];
  };
  std::string out =
      pick({"GET", "POST", "POST", "DELETE", "M-SEARCH"}) + " " +
      pick({"/", "/mcp/bank", "/a?b=c", "/%41", "*", "http://a/"}) +
      pick({" HTTP/1.1\r\n", " HTTP/1.1\r\n", " HTTP/1.1\r\n", " HTTP/1.0\r\n", " HTTP/1.1\n"});
  if (random() % 8 != 0) out += "Host: a\r\n";
  const std::size_t headers = random() % 4;
  for (std::size_t i = 0; i < headers; ++i) {
    out += pick({"Accept: x\r\n", "Connection: close\r\n", "Connection: keep-alive, x\r\n",
                 "X-A:b\r\n", "X-B: \t c \r\n", "X: a\r\n folded\r\n", "Connection: , close\r\n",
                 "Expect: 100-continue\r\n", "X-Empty:\r\n"});
  }
  out +=
      pick({"", "Content-Length: 5\r\n", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\n", "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n", "Content-Length: +5\r\n"});
  out += "\r\n";
  out += pick({"", "hello", "5\r\nhello\r\n0\r\n\r\n", "2\r\nhe\r\n003\r\nllo\r\n0\r\n\r\n",
               "5;x=y\r\nhello\r\n0\r\n\r\n", "0\r\nT: x\r\n\r\n"});
  if (random() % 4 == 0 && !out.empty())
    out[random() % out.size()] = static_cast<char>(random() % 256);
  return out;
}

TEST(Http1AgainstBeast, WhatWeAcceptBeastReadsAlike) {
  std::mt19937 random(
      20260101);  // NOLINT(*-msc51-cpp,*-random-generator-seed): the same requests in every run
  int accepted = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string input = random_request(random);
    const auto ours = by_us(input);
    if (!ours) continue;
    ++accepted;
    const auto theirs = by_beast(input);
    ASSERT_TRUE(theirs.has_value()) << input;
    EXPECT_EQ(ours->method, theirs->method) << input;
    EXPECT_EQ(ours->target, theirs->target) << input;
    EXPECT_EQ(ours->body, theirs->body) << input;
    EXPECT_EQ(ours->minor_version, theirs->minor_version) << input;
    if (ours->keep_alive) EXPECT_EQ(ours->keep_alive, theirs->keep_alive) << input;
    EXPECT_EQ(ours->length, theirs->length) << input;
  }
  EXPECT_GT(accepted, 2'000) << "the generator makes too little that is well-formed";
}

// --- responses
// ---------------------------------------------------------------------------------------

struct ParsedResponse {
  int status = 0;
  int minor_version = 0;
  std::string body;
  std::optional<bool> keep_alive;  // as in Parsed
  std::size_t length = 0;          // bytes of input that belong to it, interim responses included
};

// One response that ends inside `input`, or with it where the peer closes then.
std::optional<ParsedResponse> response_by_us(std::string_view input, bool head_only, bool ends) {
  ResponseParser parser{HttpLimits{}};
  parser.expect(head_only ? "HEAD" : "GET");
  const std::size_t size = input.size();
  ParsedResponse parsed;
  auto state = parser.feed(input, parsed.body);
  if (state == ResponseParser::State::head) state = parser.feed(input, parsed.body);
  if (state == ResponseParser::State::need_more && ends) state = parser.end_of_input();
  if (state != ResponseParser::State::complete) return std::nullopt;
  const HttpResponseHead& head = parser.head();
  parsed.status = head.status;
  parsed.minor_version = head.minor_version;
  if (head.count("connection") <= 1) parsed.keep_alive = head.keep_alive;
  parsed.length = size - input.size();
  return parsed;
}

using BeastResponse = boost::beast::http::response_parser<boost::beast::http::string_body>;

// Feeds one message, interim or not; how much of `input` belongs to it.
std::optional<std::size_t> put_response(BeastResponse& parser, std::string_view input, bool ends) {
  boost::system::error_code error;
  std::size_t used = 0;
  while (!parser.is_done() && used < input.size()) {
    const std::size_t step = parser.put(boost::asio::buffer(input.substr(used)), error);
    if (error) return std::nullopt;
    used += step;
  }
  if (!parser.is_done() && ends) parser.put_eof(error);
  if (error || !parser.is_done()) return std::nullopt;
  return used;
}

std::optional<ParsedResponse> response_by_beast(std::string_view input, bool head_only, bool ends) {
  const std::size_t size = input.size();
  while (true) {
    BeastResponse parser;
    parser.eager(true);
    parser.skip(head_only);
    const auto used = put_response(parser, input, ends);
    if (!used) return std::nullopt;
    input.remove_prefix(*used);
    const auto& response = parser.get();
    if (response.result_int() / 100 == 1) continue;
    return ParsedResponse{.status = static_cast<int>(response.result_int()),
                          .minor_version = static_cast<int>(response.version() % 10),
                          .body = response.body(),
                          .keep_alive = response.keep_alive(),
                          .length = size - input.size()};
  }
}

std::string random_response(std::mt19937& random) {
  const auto pick = [&random](const std::vector<std::string>& from) {
    return from[random() % from.size()];
  };
  std::string out;
  if (random() % 8 == 0) out += "HTTP/1.1 100 Continue\r\nX: y\r\n\r\n";
  out += pick({"HTTP/1.1 ", "HTTP/1.1 ", "HTTP/1.1 ", "HTTP/1.0 "});
  out += pick({"200 OK", "200 OK", "404 ", "204 No Content", "304 Not Modified", "500 a b", "99 x",
               "200", "101 Switching Protocols"});
  out += pick({"\r\n", "\r\n", "\r\n", "\r\n", "\n"});
  const std::size_t headers = random() % 4;
  for (std::size_t i = 0; i < headers; ++i) {
    out += pick({"Accept: x\r\n", "Connection: close\r\n", "Connection: keep-alive, x\r\n",
                 "X-A:b\r\n", "X-B: \t c \r\n", "X: a\r\n folded\r\n", "X-Empty:\r\n"});
  }
  out +=
      pick({"", "Content-Length: 5\r\n", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\n", "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n", "Content-Length: +5\r\n"});
  out += "\r\n";
  out +=
      pick({"", "hello", "hello", "5\r\nhello\r\n0\r\n\r\n", "2\r\nhe\r\n003\r\nllo\r\n0\r\n\r\n",
            "5;x=y\r\nhello\r\n0\r\n\r\n", "0\r\nT: x\r\n\r\n", "hello, and more"});
  if (random() % 4 == 0) out[random() % out.size()] = static_cast<char>(random() % 256);
  return out;
}

TEST(Http1AgainstBeast, ResponsesThatWeAcceptBeastReadsAlike) {
  std::mt19937 random(
      20260102);  // NOLINT(*-msc51-cpp,*-random-generator-seed): the same responses in every run
  int accepted = 0;
  for (int i = 0; i < 40'000; ++i) {
    const std::string input = random_response(random);
    const bool head_only = random() % 8 == 0;
    const bool ends = random() % 2 == 0;
    const auto ours = response_by_us(input, head_only, ends);
    if (!ours) continue;
    ++accepted;
    const auto theirs = response_by_beast(input, head_only, ends);
    ASSERT_TRUE(theirs.has_value()) << input;
    EXPECT_EQ(ours->status, theirs->status) << input;
    EXPECT_EQ(ours->body, theirs->body) << input;
    EXPECT_EQ(ours->minor_version, theirs->minor_version) << input;
    if (ours->keep_alive) EXPECT_EQ(ours->keep_alive, theirs->keep_alive) << input;
    EXPECT_EQ(ours->length, theirs->length) << input;
  }
  EXPECT_GT(accepted, 4'000) << "the generator makes too little that is well-formed";
}

// What Beast takes and we do not, on purpose. Each is a way for two readers of one stream to
// disagree, or a feature that we do not offer.
TEST(Http1AgainstBeast, ThisBeastAcceptsAndWeRefuse) {
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  for (const std::string& input : {
           ok + "X: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
           ok + "Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
           ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
           ok + "Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
           ok + "Transfer-Encoding: chunked\r\n\r\n0;a=b\r\n\r\n",
           ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nTrailer: x\r\n\r\n",
           ok + "\r\nno length, and the connection was to stay open",
       }) {
    EXPECT_FALSE(response_by_us(input, false, true).has_value()) << input;
    EXPECT_TRUE(response_by_beast(input, false, true).has_value()) << input;
  }
}

}  // namespace
}  // namespace zwinger::net
