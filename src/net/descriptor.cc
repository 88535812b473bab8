#include "net/descriptor.h"

#include <fcntl.h>
#include <unistd.h>

#include <boost/system/error_code.hpp>
#include <utility>

#include "net/loop_impl.h"

namespace zwinger::net {
namespace {

using boost::system::error_code;

constexpr int kCallsBeforeYield = 32;

}  // namespace

Descriptor::Descriptor(Loop& loop, Fd fd, Kind kind, std::optional<int> restore_flags)
    : loop_(loop),
      fd_(fd.release()),
      kind_(kind),
      restore_flags_(restore_flags),
      asio_(loop.impl().io) {
  if (kind_ == Kind::socket) {
    error_code error;
    asio_.assign(fd_, error);
    if (error) {  // epoll has no room for it: users find it closed
      ::close(fd_);
      fd_ = -1;
    }
  }
}

Descriptor::~Descriptor() { close(); }

void Descriptor::close() {
  if (fd_ < 0) return;
  if (restore_flags_) ::fcntl(fd_, F_SETFL, *restore_flags_);
  error_code error;
  if (kind_ == Kind::socket) {
    asio_.close(error);
  } else {
    ::close(fd_);
  }
  fd_ = -1;
}

bool Descriptor::should_yield() {
  if (++calls_in_a_row_ < kCallsBeforeYield) return false;
  calls_in_a_row_ = 0;
  return true;
}

void Descriptor::arm(Direction direction) {
  slot(direction).armed = true;
  const auto what = direction == Direction::read
                        ? boost::asio::posix::stream_descriptor::wait_read
                        : boost::asio::posix::stream_descriptor::wait_write;
  asio_.async_wait(what, [self = shared_from_this(), direction](const error_code& /*error*/) {
    self->slot(direction).armed = false;
    self->wake(direction, Wake::ready);  // closed or failed: the next system call tells
  });
}

std::coroutine_handle<> Descriptor::take_waiting(Slot& slot) {
  if (slot.timer) loop_.cancel(*std::exchange(slot.timer, std::nullopt));
  return std::exchange(slot.waiting, nullptr);
}

void Descriptor::wake(Direction direction, Wake wake) {
  Slot& waiting = slot(direction);
  if (!waiting.waiting) return;
  waiting.wake = wake;
  take_waiting(waiting).resume();
}

bool Descriptor::Awaiter::await_suspend(std::coroutine_handle<> handle) {
  if (!self_->open()) return false;
  Slot& slot = self_->slot(direction_);
  slot.waiting = handle;
  slot.wake = Wake::ready;
  suspended_ = true;
  self_->calls_in_a_row_ = 0;
  if (yield_) {
    self_->loop_.post(
        [self = self_, direction = direction_] { self->wake(direction, Wake::ready); });
    return true;
  }
  if (!slot.armed) self_->arm(direction_);
  if (deadline_) {
    slot.timer = self_->loop_.call_at(*deadline_, [self = self_, direction = direction_] {
      self->slot(direction).timer.reset();
      self->wake(direction, Wake::timeout);
    });
  }
  return true;
}

Wake Descriptor::Awaiter::await_resume() {
  suspended_ = false;
  if (!self_->open()) return Wake::closed;
  return self_->slot(direction_).wake;
}

Descriptor::Awaiter::~Awaiter() {
  if (suspended_) self_->take_waiting(self_->slot(direction_));
}

}  // namespace zwinger::net
