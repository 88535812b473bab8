// What a ResponseParser makes of some bytes, as text, for tests and fuzzers: one line per response,
// and one for the error that ended it. Only *_test.cc and *_fuzz.cc include it.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>

#include "net/http1.h"

namespace zwinger::net {

struct ResponseTrace {
  std::string methods = "G";  // one letter for each request that was sent: G(ET) or H(EAD)
  bool ends = false;          // the peer closes after the last byte
  HttpLimits limits;

  // `next_size` gives the length of the next piece to feed (at least 1 is taken).
  [[nodiscard]] std::string run(std::string_view input,
                                const std::function<std::size_t()>& next_size) const {
    ResponseParser parser(limits);
    std::string out;
    std::string body;
    std::size_t asked = 0;
    const auto ask = [&] {
      if (asked < methods.size()) parser.expect(methods[asked++] == 'H' ? "HEAD" : "GET");
    };
    const auto tell = [&](ResponseParser::State state) {
      if (state == ResponseParser::State::head) {
        const HttpResponseHead& head = parser.head();
        out += fmt::format("{} 1.{} {}", head.status, head.minor_version,
                           head.keep_alive ? "keep" : "close");
        for (const auto& [key, value] : head.headers) out += fmt::format(" [{}={}]", key, value);
        out += '\n';
      } else if (state == ResponseParser::State::complete) {
        out += fmt::format("body={}\n", body);
        body.clear();
        ask();
      }
    };
    const auto failed = [&](const Error& error) {
      return out + fmt::format("{} ({}) after body={}\n", name(error.code), error.where, body);
    };
    ask();
    while (!input.empty()) {
      std::string_view piece = input.substr(0, std::max<std::size_t>(1, next_size()));
      input.remove_prefix(piece.size());
      for (bool again = true; again;) {
        const auto state = parser.feed(piece, body);
        if (!state) return failed(state.error());
        tell(*state);
        again = !piece.empty() || *state == ResponseParser::State::head;
      }
    }
    if (ends) {
      const auto state = parser.end_of_input();
      if (!state) return failed(state.error());
      tell(*state);
      return out + "end\n";
    }
    return out + (parser.in_message() ? fmt::format("more body={}\n", body) : "");
  }
  [[nodiscard]] std::string run(std::string_view input) const {
    return run(input, [&] { return input.size(); });
  }
};

}  // namespace zwinger::net
