// Randomness is passed in. SystemRandom asks the kernel; SequenceRandom is for tests. Thread-safe.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace zwinger {

class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(std::span<std::byte> out) = 0;
  // `bytes` random bytes as lower-case hex.
  [[nodiscard]] std::string hex(std::size_t bytes);
};

// getrandom(2); ends the program when the kernel has none to give.
class SystemRandom final : public Random {
 public:
  void fill(std::span<std::byte> out) override;
};

// Counts upwards: different every time, and the same in every run.
class SequenceRandom final : public Random {
 public:
  void fill(std::span<std::byte> out) override;

 private:
  std::atomic<std::uint64_t> next_{1};
};

}  // namespace zwinger
