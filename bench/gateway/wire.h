// What the programs of this bench share: arguments, sockets, and the little of HTTP and JSON that
// they need of each other and of the proxies between them. Written for speed and for friendly
// peers: nothing here may be used on input of strangers. Functions have no state; any thread.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"

namespace zwinger::bench {

[[noreturn]] inline void die(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(2);
}
[[noreturn]] inline void die_errno(const std::string& what) {
  die(what + ": " + std::strerror(errno));
}

inline std::uint64_t now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return (static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000U) +
         static_cast<std::uint64_t>(t.tv_nsec);
}

// CPU time of this process so far, user and system.
inline double cpu_seconds() {
  rusage use{};
  ::getrusage(RUSAGE_SELF, &use);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + (static_cast<double>(t.tv_usec) / 1e6);
  };
  return seconds(use.ru_utime) + seconds(use.ru_stime);
}

// --- arguments -----------------------------------------------------------------------------------

// `--name value` and `--flag`. Everything that is not known is refused, so that a misspelt option
// cannot measure something else.
class Options {
 public:
  Options(int argc, char** argv, const std::vector<std::string>& with_value,
          const std::vector<std::string>& flags) {
    for (int i = 1; i < argc; ++i) {
      const std::string name = argv[i];
      if (contains(flags, name)) {
        values_[name] = "";
      } else if (contains(with_value, name) && i + 1 < argc) {
        values_[name] = argv[++i];
      } else {
        die("unknown or incomplete option: " + name);
      }
    }
  }

  [[nodiscard]] bool flag(const std::string& name) const { return values_.contains(name); }
  [[nodiscard]] std::string text(const std::string& name, const std::string& fallback) const {
    const auto found = values_.find(name);
    return found == values_.end() ? fallback : found->second;
  }
  [[nodiscard]] double number(const std::string& name, double fallback) const {
    const auto found = values_.find(name);
    if (found == values_.end()) return fallback;
    char* end = nullptr;
    const double value = std::strtod(found->second.c_str(), &end);
    if (found->second.empty() || *end != '\0' || !(value >= 0)) die(name + " takes a number");
    return value;
  }
  [[nodiscard]] std::size_t count(const std::string& name, std::size_t fallback) const {
    return static_cast<std::size_t>(number(name, static_cast<double>(fallback)));
  }

 private:
  static bool contains(const std::vector<std::string>& names, const std::string& name) {
    for (const std::string& each : names) {
      if (each == name) return true;
    }
    return false;
  }
  std::map<std::string, std::string> values_;
};

// --- sockets -------------------------------------------------------------------------------------

// The soft limit of 1,024 descriptors is for programs that use select().
inline void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

inline sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

inline void no_delay(int fd) {
  const int on = 1;
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// --- HTTP ----------------------------------------------------------------------------------------

// Where `needle` begins in `bytes`; npos where it does not occur.
inline std::size_t find(std::string_view bytes, std::string_view needle) {
  const void* at = ::memmem(bytes.data(), bytes.size(), needle.data(), needle.size());
  return at == nullptr ? std::string_view::npos
                       : static_cast<std::size_t>(static_cast<const char*>(at) - bytes.data());
}

// The value of the first header with this name; empty where there is none. `head` is the start line
// and the headers, up to and with the empty line.
inline std::string_view header(std::string_view head, std::string_view name) {
  std::size_t at = find(head, "\r\n");
  while (at != std::string_view::npos && at + 2 < head.size()) {
    at += 2;
    const std::size_t end = head.find('\r', at);
    if (end == std::string_view::npos) return {};
    if (end - at > name.size() && head[at + name.size()] == ':' &&
        ::strncasecmp(head.data() + at, name.data(), name.size()) == 0) {
      std::string_view value = head.substr(at + name.size() + 1, end - at - name.size() - 1);
      while (value.starts_with(' ')) value.remove_prefix(1);
      return value;
    }
    at = end;
  }
  return {};
}

inline std::optional<std::size_t> to_size(std::string_view digits, int base = 10) {
  std::size_t value = 0;
  const auto [stop, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc() || stop != digits.data() + digits.size()) return std::nullopt;
  return value;
}

// --- JSON ----------------------------------------------------------------------------------------

// Behind the closing quote of the string that begins at `at`.
inline std::size_t after_string(std::string_view json, std::size_t at) {
  for (++at;; ++at) {
    at = json.find('"', at);
    if (at == std::string_view::npos) return json.size();
    std::size_t backslashes = 0;
    while (json[at - 1 - backslashes] == '\\') ++backslashes;
    if (backslashes % 2 == 0) return at + 1;
  }
}

// Behind the value that begins at `at`.
inline std::size_t after_value(std::string_view json, std::size_t at) {
  int depth = 0;
  while (at < json.size()) {
    const char c = json[at];
    if (c == '"') {
      at = after_string(json, at);
      if (depth == 0) return at;
      continue;
    }
    if (c == '{' || c == '[') ++depth;
    const bool closes = c == '}' || c == ']';
    if (closes && --depth < 0) return at;
    if (closes && depth == 0) return at + 1;
    if (depth == 0 && (c == ',' || c == ' ' || c == '\n' || c == '\r')) return at;
    ++at;
  }
  return json.size();
}

// The source text of one member of an object, quotes included; empty where there is none. Members
// of members are not looked at, so an argument named "id" is not taken for the id.
inline std::string_view member(std::string_view object, std::string_view key) {
  constexpr std::string_view kBetween = " \t\r\n,:{";
  std::size_t at = 0;
  for (;;) {
    at = object.find_first_not_of(kBetween, at);
    if (at == std::string_view::npos || object[at] != '"') return {};
    const std::size_t key_end = after_string(object, at);
    const std::string_view found = object.substr(at + 1, key_end - at - 2);
    const std::size_t value = object.find_first_not_of(" \t\r\n:", key_end);
    if (value == std::string_view::npos) return {};
    const std::size_t end = after_value(object, value);
    if (found == key) return object.substr(value, end - value);
    at = end;
  }
}

// A string member without its quotes, escapes left as they are.
inline std::string_view text_member(std::string_view object, std::string_view key) {
  const std::string_view value = member(object, key);
  if (value.size() < 2 || value.front() != '"') return {};
  return value.substr(1, value.size() - 2);
}

// --- numbers as text -----------------------------------------------------------------------------

inline void append_number(std::string& out, std::uint64_t value, int base = 10) {
  std::array<char, 24> digits{};
  const auto [end, error] =
      std::to_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error == std::errc()) out.append(digits.data(), end);
}

inline void append_hex16(std::string& out, std::uint64_t value) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (int shift = 60; shift >= 0; shift -= 4) out += kDigits[(value >> shift) & 15U];
}

// SplitMix64: distinct inputs give distinct, well mixed outputs.
inline std::uint64_t mix(std::uint64_t value) {
  value += 0x9E3779B97F4A7C15U;
  value = (value ^ (value >> 30U)) * 0xBF58476D1CE4E5B9U;
  value = (value ^ (value >> 27U)) * 0x94D049BB133111EBU;
  return value ^ (value >> 31U);
}

}  // namespace zwinger::bench
