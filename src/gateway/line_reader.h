// Splits the byte stream of a stdio transport into lines. A value of its reader; no thread
// affinity.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace zwinger::gateway {

// Splits a byte stream into lines of at most `max` bytes. A longer line is thrown away up to its
// end and reported once, so that the stream stays in step.
class LineReader {
 public:
  explicit LineReader(std::size_t max) : max_(max) {}

  // Calls `line` for each whole line and `too_long` for each that was thrown away.
  template <class Line, class TooLong>
  void feed(std::string_view bytes, const Line& line, const TooLong& too_long) {
    while (!bytes.empty()) {
      const std::size_t end = bytes.find('\n');
      const std::string_view part = bytes.substr(0, end);
      if (!discarding_ && buffer_.size() + part.size() > max_) {
        discarding_ = true;
        buffer_ = {};
      }
      if (!discarding_) buffer_ += part;
      if (end == std::string_view::npos) return;
      bytes.remove_prefix(end + 1);
      if (std::exchange(discarding_, false)) {
        too_long();
      } else {
        if (buffer_.ends_with('\r')) buffer_.pop_back();
        line(std::exchange(buffer_, {}));
      }
    }
  }
  [[nodiscard]] bool in_line() const { return discarding_ || !buffer_.empty(); }

 private:
  std::size_t max_;
  std::string buffer_;
  bool discarding_ = false;
};

}  // namespace zwinger::gateway
