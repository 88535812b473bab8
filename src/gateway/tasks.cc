#include "gateway/tasks.h"

#include <utility>

namespace zwinger::gateway {

void Tasks::add(std::string_view upstream, std::string_view task, std::string_view owner,
                std::string_view tool) {
  const std::lock_guard lock(mutex_);
  Key key{owner, upstream, task};
  // An upstream that gives one id twice does not make the first call's task another tool's.
  if (tasks_.contains(key)) return;
  ages_.push_back(key);
  tasks_.emplace(std::move(key), Entry{.tool = std::string(tool), .age = std::prev(ages_.end())});
  if (tasks_.size() <= kMost) return;
  tasks_.erase(ages_.front());
  ages_.pop_front();
}

std::optional<std::string> Tasks::tool_of(std::string_view upstream, std::string_view task,
                                          std::string_view owner) const {
  const std::lock_guard lock(mutex_);
  const auto found = tasks_.find(Key{owner, upstream, task});
  if (found == tasks_.end()) return std::nullopt;
  return found->second.tool;
}

}  // namespace zwinger::gateway
