#include "gateway/cancellation.h"

#include <utility>

namespace zwinger::gateway {

bool Cancellation::begin_forwarding(std::shared_ptr<Connection> upstream, std::int64_t id) {
  const std::lock_guard lock(mutex_);
  if (cancelled_) return false;
  upstream_ = std::move(upstream);
  id_ = id;
  return true;
}

void Cancellation::cancel(const Write& write) {
  const std::lock_guard lock(mutex_);
  if (std::exchange(cancelled_, true)) return;
  if (upstream_) upstream_->cancel(id_, write(id_));
}

bool Cancellation::cancelled() const {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

InFlight::Entry::Entry(InFlight& table, std::string key, std::shared_ptr<Cancellation> cancellation)
    : table_(table) {
  const std::lock_guard lock(table_.mutex_);
  place_ = table_.requests_.emplace(std::move(key), std::move(cancellation));
}

InFlight::Entry::~Entry() {
  const std::lock_guard lock(table_.mutex_);
  table_.requests_.erase(place_);
}

bool InFlight::admit(const std::string& owner) {
  const std::lock_guard lock(mutex_);
  if (running_of_all_ >= kMost) return false;
  std::size_t& of_one = running_[owner];
  if (of_one >= kMostOfOne) return false;
  ++of_one;
  ++running_of_all_;
  return true;
}

void InFlight::leave(const std::string& owner) {
  const std::lock_guard lock(mutex_);
  const auto of_one = running_.find(owner);
  if (--of_one->second == 0) running_.erase(of_one);
  --running_of_all_;
}

bool InFlight::contains(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  return requests_.contains(key);
}

bool InFlight::cancel(const std::string& key, const Cancellation::Write& write) {
  std::shared_ptr<Cancellation> request;
  {
    const std::lock_guard lock(mutex_);
    if (requests_.count(key) != 1) return false;
    request = requests_.find(key)->second;
  }
  request->cancel(write);
  return true;
}

}  // namespace zwinger::gateway
