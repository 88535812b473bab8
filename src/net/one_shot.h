// OneShot<T>: one value, set once from any thread, awaited once on its loop, with an optional time
// limit.
//
//   auto reply = std::make_shared<OneShot<Answer>>(loop);
//   ledger.append(leaf, [reply](Result<void> r) { reply->set(std::move(r)); });
//   auto answer = reply->wait_until(deadline);
//   std::optional<Answer> got = co_await answer;   // nothing: the deadline came first
//
// A value that comes after the deadline is dropped. Share it by shared_ptr between setter and
// awaiter. The awaiting coroutine may be destroyed while it waits; a value that comes then is
// dropped too. A setter that may outlive the loop is safe once nobody waits.
#pragma once

#include <coroutine>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "net/loop.h"

namespace zwinger::net {

template <class T>
class OneShot : public std::enable_shared_from_this<OneShot<T>> {
 public:
  explicit OneShot(Loop& loop) : loop_(loop) {}

  // Any thread; the second and later calls have no effect. Returns whether this call was the first,
  // before the deadline.
  bool set(T value) {
    const std::lock_guard lock(mutex_);
    if (done_) return false;
    done_ = true;
    value_.emplace(std::move(value));
    // Posted under the lock: an awaiter that goes away (and with it, perhaps, the loop) waits for
    // this call to be over.
    if (waiting_) loop_.post([self = this->shared_from_this()] { self->resume(); });
    return true;
  }

  class [[nodiscard]] Awaiter {
   public:
    Awaiter(std::shared_ptr<OneShot> state, std::optional<Monotonic> deadline)
        : state_(std::move(state)), deadline_(deadline) {}
    Awaiter(Awaiter&&) noexcept = default;
    Awaiter& operator=(Awaiter&&) = delete;
    Awaiter(const Awaiter&) = delete;
    Awaiter& operator=(const Awaiter&) = delete;
    ~Awaiter() {
      if (suspended_) state_->forget();
    }

    [[nodiscard]] bool await_ready() const {
      const std::lock_guard lock(state_->mutex_);
      return state_->done_;
    }
    bool await_suspend(std::coroutine_handle<> handle) {
      const std::lock_guard lock(state_->mutex_);
      if (state_->done_) return false;
      state_->waiting_ = handle;
      suspended_ = true;
      if (deadline_) {
        state_->timer_ = state_->loop_.call_at(*deadline_, [weak = std::weak_ptr(state_)] {
          if (const auto state = weak.lock()) state->expire();
        });
      }
      return true;
    }
    std::optional<T> await_resume() {
      suspended_ = false;
      const std::lock_guard lock(state_->mutex_);
      return std::exchange(state_->value_, std::nullopt);
    }

   private:
    std::shared_ptr<OneShot> state_;
    std::optional<Monotonic> deadline_;
    bool suspended_ = false;
  };

  // On the loop's thread, once.
  Awaiter wait_until(Monotonic deadline) { return Awaiter(this->shared_from_this(), deadline); }
  Awaiter wait() { return Awaiter(this->shared_from_this(), std::nullopt); }

 private:
  // The rest runs on the loop's thread.
  std::coroutine_handle<> take_waiting() {
    if (timer_) loop_.cancel(*std::exchange(timer_, std::nullopt));
    return std::exchange(waiting_, nullptr);
  }
  void resume() {
    std::coroutine_handle<> handle;
    {
      const std::lock_guard lock(mutex_);
      handle = take_waiting();
    }
    if (handle) handle.resume();
  }
  void expire() {
    std::coroutine_handle<> handle;
    {
      const std::lock_guard lock(mutex_);
      timer_.reset();
      if (done_) return;  // the value is on its way: resume() is queued
      done_ = true;
      handle = take_waiting();
    }
    if (handle) handle.resume();
  }
  void forget() {
    const std::lock_guard lock(mutex_);
    done_ = true;
    take_waiting();
  }

  Loop& loop_;
  std::mutex mutex_;
  bool done_ = false;
  std::optional<T> value_;
  std::coroutine_handle<> waiting_;
  std::optional<Loop::TimerId> timer_;
};

}  // namespace zwinger::net
