// One open descriptor on a loop, and the two coroutines (one reading, one writing) that may wait
// until it is ready. Private to src/net: streams, listeners, outgoing connections and child
// processes are made of it. Loop thread only.
//
// Readiness is a hint: whoever is resumed with Wake::ready tries again and may have to wait again.
// Callers try their system call before they wait; most messages then cost no wait at all.
#pragma once

#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/fd.h"
#include "base/result.h"
#include "net/loop.h"

namespace zwinger::net {

enum class Direction : std::uint8_t { read, write };
enum class Wake : std::uint8_t { ready, timeout, closed };

class Descriptor : public std::enable_shared_from_this<Descriptor> {
 public:
  enum class Kind : std::uint8_t {
    socket,  // or anything else that epoll takes
    file,    // never makes its user wait: regular files, /dev/null
  };
  // `fd` is open and non-blocking (kind socket). `restore_flags`, where given, are put back before
  // it is closed.
  Descriptor(Loop& loop, Fd fd, Kind kind, std::optional<int> restore_flags = std::nullopt);
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  [[nodiscard]] Loop& loop() const { return loop_; }
  [[nodiscard]] int fd() const { return fd_; }  // -1 once closed
  [[nodiscard]] bool open() const { return fd_ >= 0; }
  // Ends waits with Wake::closed; their coroutines resume from the loop, not inside this call.
  void close();

  // Counts a system call that succeeded at once. True when it is time to give the loop's other work
  // a turn first, with yield(): otherwise one busy peer would have the thread for itself.
  [[nodiscard]] bool should_yield();

  class [[nodiscard]] Awaiter {
   public:
    Awaiter(std::shared_ptr<Descriptor> self, Direction direction,
            std::optional<Monotonic> deadline, bool yield)
        : self_(std::move(self)), deadline_(deadline), direction_(direction), yield_(yield) {}
    Awaiter(Awaiter&&) = delete;
    Awaiter& operator=(Awaiter&&) = delete;
    Awaiter(const Awaiter&) = delete;
    Awaiter& operator=(const Awaiter&) = delete;
    ~Awaiter();
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> handle);
    Wake await_resume();

   private:
    std::shared_ptr<Descriptor> self_;
    std::optional<Monotonic> deadline_;
    Direction direction_;
    bool yield_;
    bool suspended_ = false;
  };
  // One wait per direction at a time. A file is always ready, after the loop's other work.
  Awaiter wait(Direction direction, std::optional<Monotonic> deadline) {
    return {shared_from_this(), direction, deadline, kind_ == Kind::file};
  }
  Awaiter yield(Direction direction) { return {shared_from_this(), direction, std::nullopt, true}; }

  // For the reader: the last read took all there was, so the next one had better wait first.
  bool drained = false;

 private:
  struct Slot {
    std::coroutine_handle<> waiting;
    std::optional<Loop::TimerId> timer;
    Wake wake = Wake::ready;
    bool armed = false;  // Asio will call back; left so by a timeout, and used by the next wait
  };
  Slot& slot(Direction direction) { return slots_[static_cast<std::size_t>(direction)]; }
  void arm(Direction direction);
  std::coroutine_handle<> take_waiting(Slot& slot);
  void wake(Direction direction, Wake wake);

  Loop& loop_;
  int fd_;
  Kind kind_;
  std::optional<int> restore_flags_;
  boost::asio::posix::stream_descriptor asio_;  // owns fd_ when kind_ is socket
  std::array<Slot, 2> slots_;
  int calls_in_a_row_ = 0;
};

}  // namespace zwinger::net
