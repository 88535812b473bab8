#include "net/sse.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "text/utf8.h"

namespace zwinger::net {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

bool ends_line(char c) { return c == '\n' || c == '\r'; }

// ASCII digits only, and no more than the number can hold; anything else is to be ignored.
std::optional<std::uint64_t> parse_retry(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool says_something(const SseEvent& event) {
  return event.has_data || !event.event.empty() || event.id || event.retry_ms;
}

void write_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\n");
}

// Up to what would end the line or, with a NUL, the stream.
std::string_view one_line(std::string_view text) {
  return text.substr(0, text.find_first_of(std::string_view("\r\n\0", 3)));
}

}  // namespace

void SseParser::append(std::string_view bytes) {
  if (failed_) return;
  // Only when half of it is read: then moving the rest costs no more than what was read did.
  if (position_ > 0 && position_ >= buffer_.size() - position_) {
    buffer_.erase(0, position_);
    scanned_ -= position_;
    position_ = 0;
  }
  buffer_.append(bytes);
}

Result<std::optional<SseEvent>> SseParser::next() {
  if (failed_) return std::unexpected(*failed_);
  auto event = step();
  if (!event) failed_ = event.error();
  return event;
}

bool SseParser::in_event() const {
  const std::string_view unread = std::string_view(buffer_).substr(position_);
  return says_something(event_) || (!unread.empty() && !unread.starts_with(':'));
}

Result<std::optional<SseEvent>> SseParser::step() {
  skip_byte_order_mark();
  if (at_start_) return std::nullopt;
  while (const auto line = take_line()) {
    ZWINGER_TRY(const bool told, read_line(*line));
    if (told) {
      event_bytes_ = 0;
      return std::exchange(event_, {});
    }
  }
  if (buffer_.size() - position_ > max_event_ - event_bytes_) {
    return fail(Code::sse_too_large, fmt::format("the event is larger than {} bytes", max_event_));
  }
  return std::nullopt;
}

// Decides as soon as the bytes at hand can be no mark, or are one.
void SseParser::skip_byte_order_mark() {
  if (!at_start_) return;
  const std::string_view head = std::string_view(buffer_).substr(0, kByteOrderMark.size());
  if (head == kByteOrderMark) position_ = scanned_ = kByteOrderMark.size();
  at_start_ = head.size() < kByteOrderMark.size() && kByteOrderMark.starts_with(head);
}

std::optional<std::string_view> SseParser::take_line() {
  if (after_cr_ && position_ < buffer_.size()) {
    after_cr_ = false;
    if (buffer_[position_] == '\n') scanned_ = ++position_;
  }
  const auto begin = buffer_.begin() + static_cast<std::ptrdiff_t>(scanned_);
  const auto end = std::find_if(begin, buffer_.end(), ends_line);
  scanned_ = static_cast<std::size_t>(end - buffer_.begin());
  if (end == buffer_.end()) return std::nullopt;
  const auto line = std::string_view(buffer_).substr(position_, scanned_ - position_);
  after_cr_ = *end == '\r';
  position_ = ++scanned_;
  return line;
}

Result<bool> SseParser::read_line(std::string_view line) {
  if (line.empty()) {
    const bool told = says_something(event_);
    if (!told) event_ = {};
    event_bytes_ = 0;
    return told;
  }
  // The size comes first: of a line that is too long, not all has to be there.
  if (line.size() > max_event_ - event_bytes_) {
    return fail(Code::sse_too_large, fmt::format("the event is larger than {} bytes", max_event_));
  }
  if (line.find('\0') != std::string_view::npos) {
    return fail(Code::sse_syntax, "a NUL stands in the stream");
  }
  if (text::first_invalid_utf8(line)) return fail(Code::sse_syntax, "the stream is not UTF-8");
  const std::size_t colon = std::min(line.find(':'), line.size());
  std::string_view value = line.substr(std::min(line.size(), colon + 1));
  if (value.starts_with(' ')) value.remove_prefix(1);
  read_field(line.substr(0, colon), value);
  return false;
}

void SseParser::read_field(std::string_view name, std::string_view value) {
  if (name == "data") {
    if (event_.has_data) event_.data.push_back('\n');
    event_.data.append(value);
    event_.has_data = true;
  } else if (name == "event") {
    event_.event = value;
  } else if (name == "id") {
    event_.id = value;
  } else if (const auto retry = name == "retry" ? parse_retry(value) : std::nullopt; retry) {
    event_.retry_ms = retry;
  } else {
    return;
  }
  event_bytes_ += name.size() + value.size();
}

std::string write_sse(const SseEvent& event) {
  std::string out;
  out.reserve(event.event.size() + event.data.size() + 64);
  if (!event.event.empty()) write_field(out, "event", one_line(event.event));
  if (event.id) write_field(out, "id", one_line(*event.id));
  if (event.retry_ms) write_field(out, "retry", fmt::format("{}", *event.retry_ms));
  if (event.has_data || !event.data.empty()) {
    for (std::string_view rest = event.data;;) {
      const std::size_t end = std::min(rest.find_first_of("\r\n"), rest.size());
      write_field(out, "data", rest.substr(0, end));
      if (end == rest.size()) break;
      rest.remove_prefix(end + (rest.substr(end).starts_with("\r\n") ? 2 : 1));
    }
  }
  out.push_back('\n');
  return out;
}

}  // namespace zwinger::net
