// What a RequestParser makes of some bytes, as text, for tests and fuzzers: one line per request,
// and one for the error that ended it. Only *_test.cc and *_fuzz.cc include it.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>

#include "net/http1.h"

namespace zwinger::net {

// `next_size` gives the length of the next piece to feed (at least 1 is taken).
inline std::string trace(std::string_view input, const HttpLimits& limits,
                         const std::function<std::size_t()>& next_size) {
  RequestParser parser(limits);
  std::string out;
  while (!input.empty()) {
    std::string_view piece = input.substr(0, std::max<std::size_t>(1, next_size()));
    input.remove_prefix(piece.size());
    while (!piece.empty()) {
      const auto state = parser.feed(piece);
      if (!state)
        return out + fmt::format("{} ({})\n", name(state.error().code), state.error().where);
      if (*state == RequestParser::State::need_continue) out += "continue\n";
      if (*state != RequestParser::State::complete) continue;
      const HttpRequest request = parser.take();
      out +=
          fmt::format("{} {} 1.{} {} body={}", request.method, request.target,
                      request.minor_version, request.keep_alive ? "keep" : "close", request.body);
      for (const auto& [key, value] : request.headers) out += fmt::format(" [{}={}]", key, value);
      out += '\n';
    }
  }
  return out + (parser.in_message() ? "more\n" : "");
}

inline std::string trace(std::string_view input, const HttpLimits& limits = {}) {
  return trace(input, limits, [&] { return input.size(); });
}

}  // namespace zwinger::net
