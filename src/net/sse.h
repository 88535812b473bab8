// Server-sent events (WHATWG HTML, section 9.2), sans I/O: bytes to events and back. Values of one
// reader or writer; no thread affinity.
//
// The parser takes LF, CRLF and CR line ends, and a byte order mark at the start, as the standard
// says. It never repairs: malformed UTF-8, a NUL, or more than the limit ends the stream with an
// error. Comments and unknown fields are dropped. How the bytes are split over calls makes no
// difference. An event counts with the lines it is made of; a line counts while it arrives,
// whatever it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace zwinger::net {

struct SseEvent {
  std::string event;              // empty: "message"
  std::string data;               // lines joined by LF
  std::optional<std::string> id;  // where the event itself had a field of this name
  std::optional<std::uint64_t> retry_ms;
  // Whether it had a data field: an event without one is still told here, for its id and retry
  // (a priming event has an empty one).
  bool has_data = false;

  bool operator==(const SseEvent&) const = default;
};

class SseParser {
 public:
  explicit SseParser(std::size_t max_event_bytes) : max_event_(max_event_bytes) {}

  // More bytes of the stream.
  void append(std::string_view bytes);
  // The next whole event; nothing when more bytes are needed. An event that the stream's end cut
  // off is never told. Errors: sse_syntax, sse_too_large; then for good.
  [[nodiscard]] Result<std::optional<SseEvent>> next();
  // Whether an event has begun that is not whole yet.
  [[nodiscard]] bool in_event() const;

 private:
  // A line without its end, when it is whole.
  [[nodiscard]] std::optional<std::string_view> take_line();
  // Returns whether the line ended an event that is to be told.
  [[nodiscard]] Result<bool> read_line(std::string_view line);
  void read_field(std::string_view name, std::string_view value);
  void skip_byte_order_mark();
  [[nodiscard]] Result<std::optional<SseEvent>> step();

  std::size_t max_event_;
  std::string buffer_;
  std::size_t position_ = 0;  // in buffer_: where the next line begins
  std::size_t scanned_ = 0;   // in buffer_: up to here the line has no end
  SseEvent event_;
  std::size_t event_bytes_ = 0;  // of the lines that event_ is made of
  bool at_start_ = true;         // of the stream: a byte order mark may come
  bool after_cr_ = false;        // an LF that comes now belongs to the line end before
  std::optional<Error> failed_;
};

// The event's bytes, with an empty line at the end. A line break inside `event` or `id` is a
// defect of the caller and is dropped with what follows it; `data` may hold line breaks of any
// kind.
[[nodiscard]] std::string write_sse(const SseEvent& event);
// A comment that keeps intermediaries from closing an idle stream.
inline constexpr std::string_view kSseKeepAlive = ": keep-alive\n\n";

}  // namespace zwinger::net
