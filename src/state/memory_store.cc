#include <map>
#include <mutex>
#include <utility>

#include "state/store.h"

namespace zwinger::state {

namespace {

// The entries, and what to put back when a transaction fails. Used by one thread at a time.
class Entries final : public Store {
 public:
  Result<Versioned> get(std::string_view key) override {
    const auto it = entries_.find(key);
    return it == entries_.end() ? Versioned{} : it->second;
  }

  Result<bool> compare_and_swap(std::string_view key, std::uint64_t expected,
                                std::string_view value) override {
    const auto it = entries_.find(key);
    const Versioned before = it == entries_.end() ? Versioned{} : it->second;
    if (before.version != expected) return false;
    Versioned after{.value = std::string(value), .version = expected + 1};
    entries_.insert_or_assign(std::string(key), std::move(after));
    if (depth_ > 0) undo_.emplace_back(std::string(key), before);
    return true;
  }

  Result<void> transaction(const std::function<Result<void>(Store&)>& work) override {
    const std::size_t mark = undo_.size();
    ++depth_;
    Result<void> outcome = work(*this);
    --depth_;
    if (!outcome) roll_back_to(mark);
    if (depth_ == 0) undo_.clear();
    return outcome;
  }

 private:
  void roll_back_to(std::size_t mark) {
    for (; undo_.size() > mark; undo_.pop_back()) {
      auto& [key, before] = undo_.back();
      if (before.version == 0) {
        entries_.erase(key);
      } else {
        entries_.insert_or_assign(std::move(key), std::move(before));
      }
    }
  }

  std::map<std::string, Versioned, std::less<>> entries_;
  std::vector<std::pair<std::string, Versioned>> undo_;
  int depth_ = 0;
};

class MemoryStore final : public Store {
 public:
  Result<Versioned> get(std::string_view key) override {
    const std::scoped_lock lock(mutex_);
    return entries_.get(key);
  }
  Result<bool> compare_and_swap(std::string_view key, std::uint64_t expected,
                                std::string_view value) override {
    const std::scoped_lock lock(mutex_);
    return entries_.compare_and_swap(key, expected, value);
  }
  Result<void> transaction(const std::function<Result<void>(Store&)>& work) override {
    const std::scoped_lock lock(mutex_);
    return entries_.transaction(work);
  }

 private:
  std::mutex mutex_;
  Entries entries_;
};

}  // namespace

std::unique_ptr<Store> make_memory_store() { return std::make_unique<MemoryStore>(); }

}  // namespace zwinger::state
