#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "state/store.h"

namespace zwinger::state {

class AsyncStore::Impl {
 public:
  explicit Impl(std::unique_ptr<Store> store)
      : store_(std::move(store)), thread_([this] { work(); }) {}

  ~Impl() {
    {
      const std::scoped_lock lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void reserve(Reservation reservation, Done done) {
    {
      const std::scoped_lock lock(mutex_);
      if (queue_.size() < kMaxQueued) {
        queue_.push_back({.reservation = std::move(reservation), .done = std::move(done)});
        wake_.notify_one();
        return;
      }
    }
    done(fail(Code::state_unavailable, "too many reservations are waiting for the store"));
  }

 private:
  struct Item {
    Reservation reservation;
    Done done;
  };

  void work() {
    while (true) {
      std::deque<Item> batch;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
        if (queue_.empty()) return;
        batch.swap(queue_);
      }
      run(batch);
    }
  }

  // One transaction for all. Each reservation nests in it, so that one refusal undoes only itself;
  // nobody learns of success before the whole of it is durable.
  void run(std::deque<Item>& batch) {
    std::vector<Result<void>> outcomes;
    outcomes.reserve(batch.size());
    const Result<void> committed = store_->transaction([&](Store& inner) -> Result<void> {
      for (const Item& item : batch) {
        outcomes.push_back(state::reserve(inner, item.reservation));
      }
      return {};
    });
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (committed) {
        batch[i].done(std::move(outcomes[i]));
      } else {
        batch[i].done(committed);
      }
    }
  }

  std::unique_ptr<Store> store_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Item> queue_;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses all of the above
};

AsyncStore::AsyncStore(std::unique_ptr<Store> store)
    : impl_(std::make_unique<Impl>(std::move(store))) {}
AsyncStore::~AsyncStore() = default;
void AsyncStore::reserve(Reservation reservation, Done done) {
  impl_->reserve(std::move(reservation), std::move(done));
}

}  // namespace zwinger::state
