#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "base/verdict.h"

namespace zwinger {

namespace {

constexpr std::array kCodes = {
#define ZWINGER_CODE(name, group, retryable, text) CodeInfo{#name, group, retryable, text},
#include "base/codes.def"
#undef ZWINGER_CODE
};

}  // namespace

const CodeInfo& info(Code code) { return kCodes.at(static_cast<std::size_t>(code)); }

std::string Error::to_string() const {
  std::string out(name(code));
  out += ": ";
  out += message;
  if (!where.empty()) out += " (" + where + ")";
  return out;
}

std::string_view to_string(Decision decision) {
  switch (decision) {
    case Decision::allow:
      return "allow";
    case Decision::deny:
      return "deny";
    case Decision::require_approval:
      return "require_approval";
    case Decision::transform:
      return "transform";
  }
  return "deny";
}

Verdict Verdict::deny(Code reason, std::string at, std::string text) {
  if (text.empty()) text = std::string(info(reason).text);
  return {.decision = Decision::deny,
          .reason = reason,
          .at = std::move(at),
          .text = std::move(text),
          .rules = {}};
}

Verdict Verdict::deny(const Error& error) { return deny(error.code, error.where, error.message); }

std::chrono::system_clock::time_point SystemClock::now() const {
  return std::chrono::system_clock::now();
}
Monotonic SystemClock::monotonic() const { return std::chrono::steady_clock::now(); }

std::string Random::hex(std::size_t bytes) {
  std::string raw(bytes, '\0');
  fill(std::as_writable_bytes(std::span(raw)));
  std::string out;
  out.reserve(bytes * 2);
  for (const unsigned char c : raw) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    out += kDigits[c >> 4U];
    out += kDigits[c & 15U];
  }
  return out;
}

void SystemRandom::fill(std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t n = getrandom(out.data(), out.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      (void)std::fputs("zwinger: the kernel gave no random bytes; cannot go on\n", stderr);
      std::abort();
    }
    out = out.subspan(static_cast<std::size_t>(n));
  }
}

void SequenceRandom::fill(std::span<std::byte> out) {
  std::uint64_t value = next_++;
  for (std::size_t i = out.size(); i-- > 0;) {
    out[i] = static_cast<std::byte>(value & 0xffU);
    value >>= 8U;
  }
}

}  // namespace zwinger
