#include "net/loop.h"

#include <signal.h>  // NOLINT(modernize-deprecated-headers,hicpp-deprecated-headers): sigaction is POSIX

#include <boost/asio/post.hpp>
#include <boost/system/error_code.hpp>
#include <coroutine>

#include "net/loop_impl.h"

namespace zwinger::net {
namespace {

using boost::system::error_code;

// The frame of a spawned coroutine: owns its task, stands in its loop's list while it lives.
struct Root {
  struct promise_type {  // NOLINT(readability-identifier-naming): the language asks for this name
    promise_type(Loop::Impl& loop, Task<void>& /*task*/) {
      link.frame = std::coroutine_handle<promise_type>::from_promise(*this);
      link.insert_before(loop.roots);
    }
    promise_type(const promise_type&) = delete;
    promise_type& operator=(const promise_type&) = delete;
    ~promise_type() { link.unlink(); }

    [[nodiscard]] Root get_return_object() const noexcept { return {}; }
    [[nodiscard]] std::suspend_never initial_suspend() const noexcept { return {}; }
    [[nodiscard]] std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }

    RootLink link;
  };
};

Root start_root(Loop::Impl& /*loop*/, Task<void> task) { co_await task; }

class SleepAwaiter {
 public:
  SleepAwaiter(Loop& loop, Monotonic at) : loop_(loop), at_(at) {}
  SleepAwaiter(const SleepAwaiter&) = delete;
  SleepAwaiter& operator=(const SleepAwaiter&) = delete;
  ~SleepAwaiter() {
    if (timer_ != 0) loop_.cancel(timer_);
  }
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    timer_ = loop_.call_at(at_, [handle] { handle.resume(); });
  }
  void await_resume() noexcept { timer_ = 0; }

 private:
  Loop& loop_;
  Monotonic at_;
  Loop::TimerId timer_ = 0;
};

void ignore_sigpipe() {
  struct sigaction action = {};
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
}

}  // namespace

Loop::Impl::Impl() { ignore_sigpipe(); }

Loop::Impl::~Impl() {
  ending = true;
  destroy_coroutines();
  // Destructors of callbacks may come back here (cancel, post), so each container is emptied beside
  // itself.
  auto dropped_timers = std::exchange(timers, {});
  timer_times.clear();
  dropped_timers.clear();
  auto dropped_signals = std::exchange(signals, {});
  dropped_signals.clear();
  work.reset();
  io.restart();
  io.poll();
}

void Loop::Impl::destroy_coroutines() {
  while (roots.next != &roots) roots.next->frame.destroy();
}

void Loop::Impl::post(Callback callback) {
  boost::asio::post(io, [this, call = std::move(callback)]() mutable {
    if (!ending) call();
  });
}

Loop::TimerId Loop::Impl::call_at(Monotonic at, Callback callback) {
  const TimerId id = next_timer++;
  timers.emplace(TimerKey{at, id}, std::move(callback));
  timer_times.emplace(id, at);
  arm();
  return id;
}

void Loop::Impl::cancel(TimerId id) {
  const auto found = timer_times.find(id);
  if (found == timer_times.end()) return;
  const auto node = timers.extract(TimerKey{found->second, id});
  timer_times.erase(found);
}  // the callback is destroyed here, when the maps are whole again

// A cancelled timer leaves the alarm as it is: it then wakes for nothing once, which is cheaper
// than rearming.
void Loop::Impl::arm() {
  if (timers.empty() || timers.begin()->first.at >= armed_for_) return;
  armed_for_ = timers.begin()->first.at;
  alarm_.expires_at(armed_for_);
  alarm_.async_wait([this](const error_code& error) {
    if (!error) run_timers();
  });
}

void Loop::Impl::run_timers() {
  armed_for_ = Monotonic::max();
  const Monotonic now = Loop::now();
  const TimerId first_new =
      next_timer;  // what callbacks add waits for the next turn, however early it is due
  for (auto at = timers.begin(); at != timers.end() && at->first.at <= now; at = timers.begin()) {
    if (at->first.id >= first_new) break;
    auto node = timers.extract(at);
    timer_times.erase(node.key().id);
    node.mapped()();
  }
  arm();
}

void Loop::Impl::listen_for_signal(std::size_t index) {
  signals[index]->set.async_wait([this, index](const error_code& error, int /*signal*/) {
    if (error || ending) return;
    listen_for_signal(index);
    signals[index]->callback();
  });
}

Loop::Loop() : impl_(std::make_unique<Impl>()) {}
Loop::~Loop() = default;

void Loop::run() {
  impl_->thread = std::this_thread::get_id();
  impl_->io.run();
  impl_->destroy_coroutines();
}

void Loop::poll() {
  impl_->thread = std::this_thread::get_id();
  impl_->io.poll();
}

void Loop::stop() { impl_->io.stop(); }
void Loop::post(Callback callback) { impl_->post(std::move(callback)); }
bool Loop::on_loop_thread() const { return impl_->thread == std::this_thread::get_id(); }

void Loop::spawn(Task<void> task) { start_root(*impl_, std::move(task)); }

Loop::TimerId Loop::call_at(Monotonic at, Callback callback) {
  return impl_->call_at(at, std::move(callback));
}
void Loop::cancel(TimerId id) { impl_->cancel(id); }

Task<void> Loop::sleep(Duration duration) {
  SleepAwaiter awaiter(*this, now() + duration);
  co_await awaiter;
}

void Loop::on_signal(int signal, std::function<void()> callback) {
  error_code error;
  auto entry = std::make_unique<Impl::Signal>(impl_->io, std::move(callback));
  entry->set.add(signal, error);
  if (error) return;  // only a number that is no signal
  // Asio registers without SA_RESTART; blocking calls of other threads shall not end with EINTR.
  struct sigaction action = {};
  if (::sigaction(signal, nullptr, &action) == 0) {
    action.sa_flags |= SA_RESTART;
    ::sigaction(signal, &action, nullptr);
  }
  impl_->signals.push_back(std::move(entry));
  impl_->listen_for_signal(impl_->signals.size() - 1);
}

}  // namespace zwinger::net
