// Logging for operators, on standard error. Not the record: that is the ledger. Never pass tool
// content, tokens or argument values here. Thread-safe.
#pragma once

#include <fmt/format.h>

#include <memory>
#include <string_view>

namespace zwinger {

enum class LogLevel { debug, info, warn, error, off };

class Log {
 public:
  virtual ~Log() = default;
  virtual void write(LogLevel level, std::string_view message) = 0;

  template <class... A>
  void debug(fmt::format_string<A...> f, A&&... a) {
    write(LogLevel::debug, fmt::format(f, std::forward<A>(a)...));
  }
  template <class... A>
  void info(fmt::format_string<A...> f, A&&... a) {
    write(LogLevel::info, fmt::format(f, std::forward<A>(a)...));
  }
  template <class... A>
  void warn(fmt::format_string<A...> f, A&&... a) {
    write(LogLevel::warn, fmt::format(f, std::forward<A>(a)...));
  }
  template <class... A>
  void error(fmt::format_string<A...> f, A&&... a) {
    write(LogLevel::error, fmt::format(f, std::forward<A>(a)...));
  }
};

// Writes "2026-11-23T10:00:00.000Z info  message" lines to standard error; control characters are
// escaped, so that a hostile upstream cannot forge lines or drive a terminal.
[[nodiscard]] std::unique_ptr<Log> make_stderr_log(LogLevel least);
// Swallows everything; for tests and fuzzers.
[[nodiscard]] std::unique_ptr<Log> make_null_log();

}  // namespace zwinger
