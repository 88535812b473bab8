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

}  // namespace
}  // namespace zwinger::net
