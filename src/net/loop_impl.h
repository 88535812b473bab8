// What is behind Loop. Only src/net/*.cc include this: it shows Asio.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "net/loop.h"

namespace zwinger::net {

// A spawned coroutine's place in its loop's list, so that the loop can destroy it.
struct RootLink {
  RootLink* previous = this;
  RootLink* next = this;
  std::coroutine_handle<> frame;

  void insert_before(RootLink& other) {
    previous = other.previous;
    next = &other;
    previous->next = this;
    other.previous = this;
  }
  void unlink() {
    previous->next = next;
    next->previous = previous;
    previous = next = this;
  }
};

class ResolverPool;

class Loop::Impl {
 public:
  Impl();
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void post(Callback callback);
  TimerId call_at(Monotonic at, Callback callback);
  void cancel(TimerId id);
  void listen_for_signal(std::size_t index);
  void destroy_coroutines();

  // Asio's own timers cost a rearmed timerfd and a queued handler per cancellation. Deadlines here
  // are set and cancelled with every message, so they live in a map and one Asio timer follows the
  // earliest of them.
  struct TimerKey {
    Monotonic at;
    TimerId id;
    auto operator<=>(const TimerKey&) const = default;
  };
  struct Signal {
    Signal(boost::asio::io_context& context, std::function<void()> call)
        : set(context), callback(std::move(call)) {}
    boost::asio::signal_set set;
    std::function<void()> callback;
  };

  boost::asio::io_context io{1};  // first: destroyed last
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{io.get_executor()};
  std::atomic<std::thread::id> thread{std::this_thread::get_id()};
  bool ending = false;  // callbacks are dropped, not run
  bool reaps_orphans = false;
  RootLink roots;
  std::map<TimerKey, Callback> timers;
  std::unordered_map<TimerId, Monotonic> timer_times;
  TimerId next_timer = 1;
  std::vector<std::unique_ptr<Signal>> signals;
  std::shared_ptr<ResolverPool> resolver;  // made when a name is first resolved

 private:
  void arm();
  void run_timers();

  boost::asio::steady_timer alarm_{io};
  Monotonic armed_for_ = Monotonic::max();
};

}  // namespace zwinger::net
