// What an SseParser makes of some bytes, for tests and fuzzers. Only *_test.cc and *_fuzz.cc
// include it.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "net/sse.h"

namespace zwinger::net {

struct SseTrace {
  std::vector<SseEvent> events;
  std::string end;  // the error's code, "event" where one has begun that is not whole, or nothing

  bool operator==(const SseTrace&) const = default;

  // `next_size` gives the length of the next piece to append (at least 1 is taken).
  static SseTrace of(std::string_view input, std::size_t max_event_bytes,
                     const std::function<std::size_t()>& next_size) {
    SseTrace trace;
    SseParser parser(max_event_bytes);
    while (!input.empty()) {
      const std::string_view piece = input.substr(0, std::max<std::size_t>(1, next_size()));
      input.remove_prefix(piece.size());
      parser.append(piece);
      while (true) {
        auto event = parser.next();
        if (!event) {
          trace.end = name(event.error().code);
          return trace;
        }
        if (!*event) break;
        trace.events.push_back(std::move(**event));
      }
    }
    if (parser.in_event()) trace.end = "event";
    return trace;
  }
  static SseTrace of(std::string_view input, std::size_t max_event_bytes) {
    return of(input, max_event_bytes, [&] { return input.size(); });
  }

  // One line each.
  [[nodiscard]] std::string to_string() const {
    std::string out;
    for (const SseEvent& event : events) {
      if (!event.event.empty()) out += fmt::format("event={} ", event.event);
      if (event.id) out += fmt::format("id={} ", *event.id);
      if (event.retry_ms) out += fmt::format("retry={} ", *event.retry_ms);
      if (event.has_data) out += fmt::format("data={}", event.data);
      out += '\n';
    }
    return out + end;
  }
};

}  // namespace zwinger::net
