#include "gateway/client_stream.h"

#include <algorithm>

namespace zwinger::gateway {

ClientStream::~ClientStream() {
  if (store_ != nullptr) store_->used.fetch_sub(bytes_, std::memory_order_relaxed);
}

void ClientStream::wake(Signal& signal) {
  if (signal) std::exchange(signal, nullptr)->set(true);
}

void ClientStream::wake_producers() {
  for (Signal& producer : std::exchange(producers_, {})) wake(producer);
}

void ClientStream::add(std::string message) {
  const std::size_t size = message.size();
  events_.push_back(
      {.sequence = ++last_, .message = std::make_shared<const std::string>(std::move(message))});
  bytes_ += size;
  undelivered_ += size;
  if (store_ != nullptr) store_->used.fetch_add(size, std::memory_order_relaxed);
  forget();
}

void ClientStream::forget_front() {
  const Stored& front = events_.front();
  const std::size_t size = front.message->size();
  if (front.sequence > cursor_) {
    ++dropped_;
    undelivered_ -= size;
  }
  bytes_ -= size;
  if (store_ != nullptr) store_->used.fetch_sub(size, std::memory_order_relaxed);
  events_.pop_front();
}

// What was told is kept within the bounds; what was not, as long as somebody reads.
void ClientStream::forget() {
  const auto too_much = [this] {
    return store_ == nullptr || bytes_ > kKeptBytes || events_.size() > kKeptEvents ||
           store_->used.load(std::memory_order_relaxed) > store_->limit;
  };
  while (!events_.empty() && events_.front().sequence <= cursor_ && too_much()) forget_front();
  const auto far_too_much = [this] {
    return bytes_ > kKeptBytes || events_.size() > kKeptEvents ||
           (store_ != nullptr && store_->used.load(std::memory_order_relaxed) > store_->limit);
  };
  while (reader_ == 0 && !events_.empty() && far_too_much()) forget_front();
}

void ClientStream::append(std::string message) {
  const std::lock_guard lock(mutex_);
  if (finished_ || shut_) return;
  add(std::move(message));
  wake(reader_signal_);
}

void ClientStream::open() {
  const std::lock_guard lock(mutex_);
  opened_ = true;
  wake(reader_signal_);
}

void ClientStream::set_retry(std::uint64_t milliseconds) {
  const std::lock_guard lock(mutex_);
  retry_ = milliseconds;
  wake(reader_signal_);
}

void ClientStream::pause(std::optional<std::uint64_t> retry_ms) {
  const std::lock_guard lock(mutex_);
  pause_ = retry_ms;
  wake(reader_signal_);
}

void ClientStream::finish(FinalAnswer answer) {
  const std::lock_guard lock(mutex_);
  if (finished_) return;
  finished_ = true;
  pause_.reset();
  if (!answer.message.empty() && !shut_) {
    add(std::move(answer.message));
    answer.message.clear();
  }
  answer_ = std::move(answer);
  wake(reader_signal_);
  wake_producers();
}

bool ClientStream::lags() const {
  const std::lock_guard lock(mutex_);
  return undelivered_ > kHighWater;
}

bool ClientStream::finished() const {
  const std::lock_guard lock(mutex_);
  return finished_;
}

bool ClientStream::opened() const {
  const std::lock_guard lock(mutex_);
  return opened_ || cursor_ > 0;
}

std::uint64_t ClientStream::dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

std::size_t ClientStream::waiting_bytes() const { return undelivered_; }

Task<void> ClientStream::room(net::Loop& loop) {
  while (true) {
    Signal signal;
    {
      const std::lock_guard lock(mutex_);
      if (reader_ == 0 || shut_ || finished_ || waiting_bytes() <= kHighWater) co_return;
      signal = producers_.emplace_back(std::make_shared<net::OneShot<bool>>(loop));
    }
    co_await signal->wait();
  }
}

std::optional<std::uint64_t> ClientStream::attach(std::optional<std::uint64_t> after) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t oldest = events_.empty() ? last_ + 1 : events_.front().sequence;
  if (after && (*after > last_ || *after + 1 < oldest)) return std::nullopt;
  cursor_ = after ? *after : std::max(cursor_, oldest - 1);
  undelivered_ = 0;
  for (const Stored& event : events_) {
    if (event.sequence > cursor_) undelivered_ += event.message->size();
  }
  reader_ = ++readers_;
  wake(reader_signal_);
  return reader_;
}

void ClientStream::detach(std::uint64_t reader) {
  const std::lock_guard lock(mutex_);
  if (reader_ != reader) return;
  reader_ = 0;
  forget();
  wake(reader_signal_);
  wake_producers();
}

bool ClientStream::attached() const {
  const std::lock_guard lock(mutex_);
  return reader_ != 0;
}

bool ClientStream::pending() const {
  const std::lock_guard lock(mutex_);
  return !shut_ && !events_.empty() && events_.back().sequence > cursor_;
}

void ClientStream::shut() {
  const std::lock_guard lock(mutex_);
  shut_ = true;
  wake(reader_signal_);
  wake_producers();
}

std::optional<ClientStream::Next> ClientStream::ready(std::uint64_t reader, Form form) {
  Next out;
  if (reader_ != reader || shut_) return out;  // detached
  const bool has_event = !events_.empty() && events_.back().sequence > cursor_;
  if (form == Form::undecided) {
    const bool only_the_answer = finished_ && !opened_ && cursor_ == 0 && last_ <= 1;
    if (only_the_answer && answer_->as_stream) {
      opened_ = true;
      out.kind = Next::Kind::opened;
      out.answer.headers = answer_->headers;
      return out;
    }
    if (only_the_answer) {
      out.kind = Next::Kind::answer;
      out.answer = *answer_;
      if (has_event) {
        out.message = events_.back().message;
        out.sequence = last_;
        cursor_ = last_;
        undelivered_ = 0;
      }
      return out;
    }
    if (!has_event && !opened_ && !finished_) return std::nullopt;
    opened_ = true;
    out.kind = Next::Kind::opened;
    return out;
  }
  if (retry_) {
    out.kind = Next::Kind::retry;
    out.retry_ms = std::exchange(retry_, std::nullopt);
    return out;
  }
  if (has_event) {
    const auto event = std::ranges::upper_bound(events_, cursor_, {}, &Stored::sequence);
    out.kind = Next::Kind::event;
    out.sequence = event->sequence;
    out.message = event->message;
    cursor_ = event->sequence;
    undelivered_ -= event->message->size();
    forget();
    if (waiting_bytes() <= kHighWater / 2) wake_producers();
    return out;
  }
  if (finished_) {
    out.kind = Next::Kind::ended;
    return out;
  }
  if (pause_) {
    out.kind = Next::Kind::paused;
    out.retry_ms = *std::exchange(pause_, std::nullopt);
    return out;
  }
  return std::nullopt;
}

Task<ClientStream::Next> ClientStream::next(net::Loop& loop, std::uint64_t reader, Form form,
                                            Monotonic deadline) {
  while (true) {
    Signal signal;
    {
      const std::lock_guard lock(mutex_);
      if (auto now = ready(reader, form)) co_return *std::move(now);
      reader_signal_ = std::make_shared<net::OneShot<bool>>(loop);
      signal = reader_signal_;
    }
    if (deadline == Monotonic::max()) {  // no timer for most of them
      co_await signal->wait();
      continue;
    }
    const std::optional<bool> woken = co_await signal->wait_until(deadline);
    if (!woken) {
      Next out;
      out.kind = Next::Kind::timeout;
      co_return out;
    }
  }
}

}  // namespace zwinger::gateway
