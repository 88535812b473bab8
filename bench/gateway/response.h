// Reads the answers on one connection, one at a time: by length, in chunks, or only the head of a
// stream that is to stay open. For the peers of this bench only. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bench/gateway/wire.h"

namespace zwinger::bench {

class ResponseReader {
 public:
  enum class State : std::uint8_t { need_more, complete, bad };

  // With `head_only` the answer is complete when its head is.
  State feed(std::string_view bytes, bool head_only = false) {
    in_ += bytes;
    if (head_size_ == 0 && !read_head()) return bad_ ? State::bad : State::need_more;
    if (head_only) return State::complete;
    if (chunked_) return read_chunks();
    return in_.size() >= head_size_ + length_ ? State::complete : State::need_more;
  }

  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] std::string_view head() const {
    return std::string_view(in_).substr(0, head_size_);
  }
  [[nodiscard]] std::string_view body() const {
    return chunked_ ? std::string_view(decoded_)
                    : std::string_view(in_).substr(head_size_, length_);
  }
  [[nodiscard]] bool event_stream() const {
    return header(head(), "content-type").starts_with("text/event-stream");
  }
  // Bytes behind the answer: nobody asked for them.
  [[nodiscard]] bool has_surplus() const {
    return in_.size() > (chunked_ ? at_ : head_size_ + length_);
  }
  [[nodiscard]] bool peer_closes() const {
    const std::string_view value = header(head(), "connection");
    return value == "close" || value == "Close";
  }

  // Ready for the next answer.
  void reset() {
    in_.clear();
    decoded_.clear();
    head_size_ = length_ = at_ = 0;
    chunked_ = bad_ = false;
  }
  // Gives memory back, for connections that stay silent.
  void release() {
    reset();
    in_.shrink_to_fit();
    decoded_.shrink_to_fit();
  }

 private:
  bool read_head() {
    const std::size_t end = find(in_, "\r\n\r\n");
    if (end == std::string_view::npos) return false;
    head_size_ = at_ = end + 4;
    const std::optional<std::size_t> status =
        in_.starts_with("HTTP/1.1 ") ? to_size(std::string_view(in_).substr(9, 3)) : std::nullopt;
    status_ = static_cast<int>(status.value_or(0));
    chunked_ = header(head(), "transfer-encoding") == "chunked";
    const std::string_view length = header(head(), "content-length");
    const std::optional<std::size_t> size = length.empty() ? 0 : to_size(length);
    const bool has_body = status_ != 204 && status_ != 202;
    bad_ = !status || !size || (has_body && length.empty() && !chunked_);
    length_ = size.value_or(0);
    return !bad_;
  }

  State read_chunks() {
    for (;;) {
      const std::string_view rest = std::string_view(in_).substr(at_);
      const std::size_t line = find(rest, "\r\n");
      if (line == std::string_view::npos) return State::need_more;
      const std::optional<std::size_t> size = to_size(rest.substr(0, line), 16);
      if (!size) return State::bad;
      if (rest.size() < line + 2 + *size + 2) return State::need_more;
      decoded_ += rest.substr(line + 2, *size);
      at_ += line + 2 + *size + 2;
      if (*size == 0) return State::complete;
    }
  }

  std::string in_;
  std::string decoded_;
  std::size_t head_size_ = 0;
  std::size_t length_ = 0;
  std::size_t at_ = 0;  // behind the chunks that were read
  int status_ = 0;
  bool chunked_ = false;
  bool bad_ = false;
};

// The JSON text of the event that answers this request; empty where there is none.
inline std::string_view event_with_id(std::string_view stream, std::string_view id) {
  constexpr std::string_view kData = "data:";
  while (!stream.empty()) {
    const std::size_t end = stream.find('\n');
    std::string_view line = stream.substr(0, end);
    stream = end == std::string_view::npos ? std::string_view() : stream.substr(end + 1);
    if (!line.starts_with(kData)) continue;
    line.remove_prefix(kData.size());
    if (member(line, "id") == id) return line;
  }
  return {};
}

}  // namespace zwinger::bench
