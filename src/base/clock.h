// Time is passed in, never read by an engine. Clock is the one door to it; ManualClock is for
// tests. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace zwinger {

using UnixSeconds = std::int64_t;
using Monotonic = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual std::chrono::system_clock::time_point now() const = 0;
  [[nodiscard]] virtual Monotonic monotonic() const = 0;
  [[nodiscard]] UnixSeconds unix_seconds() const {
    return std::chrono::duration_cast<std::chrono::seconds>(now().time_since_epoch()).count();
  }
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] std::chrono::system_clock::time_point now() const override;
  [[nodiscard]] Monotonic monotonic() const override;
};

// Stands still until it is moved.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(UnixSeconds at) : seconds_(at) {}
  [[nodiscard]] std::chrono::system_clock::time_point now() const override {
    return std::chrono::system_clock::time_point(std::chrono::seconds(seconds_.load()));
  }
  [[nodiscard]] Monotonic monotonic() const override {
    return Monotonic(std::chrono::seconds(seconds_.load()));
  }
  void set(UnixSeconds at) { seconds_ = at; }

 private:
  std::atomic<UnixSeconds> seconds_;
};

}  // namespace zwinger
