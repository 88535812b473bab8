// An event loop for one thread. Asio is behind it and shows in no header.
//
// Everything but post() and stop() is called on the loop's own thread (until run() or poll() is
// called, on the thread that made the loop). Coroutines spawned on a loop run and resume on that
// thread only. A loop outlives what was made on it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/task.h"

namespace zwinger::net {

using Callback = std::move_only_function<void()>;

class Loop {
 public:
  class Impl;

  // The first loop makes the process ignore SIGPIPE: a peer that is gone is an error value of a
  // write.
  Loop();
  ~Loop();  // destroys what is still queued or suspended without running it
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs until stop(). Call once, on the thread that becomes the loop's. Coroutines that are still
  // suspended when it ends are destroyed before it returns, so what they refer to needs to live
  // that long and no longer.
  void run();
  // Runs what is ready and due, then returns; for tests.
  void poll();
  // From any thread; not from a signal handler: signals come through on_signal. Before run(), makes
  // run() return at once.
  void stop();
  // From any thread: runs `callback` on the loop's thread, never inside this call.
  void post(Callback callback);
  [[nodiscard]] bool on_loop_thread() const;

  // Starts a coroutine on this loop (from the loop's thread, at once, until its first suspension).
  void spawn(Task<void> task);

  using TimerId = std::uint64_t;
  // Runs `callback` once, not before `at`, never inside this call. Timers that are due together run
  // in order of `at`.
  TimerId call_at(Monotonic at, Callback callback);
  // No effect where the timer has already run.
  void cancel(TimerId id);
  [[nodiscard]] static Monotonic now() { return std::chrono::steady_clock::now(); }

  // co_await loop.sleep(...)
  Task<void> sleep(Duration duration);

  // Calls `callback` on this loop each time the process gets `signal` (SIGTERM, SIGINT, SIGHUP,
  // SIGCHLD); signals that come together may be told once. The signal's default action is off from
  // then on.
  void on_signal(int signal, std::function<void()> callback);

  [[nodiscard]] Impl& impl() { return *impl_; }  // for src/net/*.cc

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace zwinger::net
