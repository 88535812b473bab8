// Whose tasks are whose (MCP 2025-11-25, basic/utilities/tasks): a task that a tool call has
// started belongs to the principal's session that made the call, and is that tool's for every
// judgement. Forgotten with the process: then nobody may ask about it (fail closed). Thread-safe.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

namespace zwinger::gateway {

class Tasks {
 public:
  static constexpr std::size_t kMost = 20'000;  // beyond it the oldest is forgotten

  void add(std::string_view upstream, std::string_view task, std::string_view owner,
           std::string_view tool);
  // The tool whose call made it; nothing where it is not this owner's.
  [[nodiscard]] std::optional<std::string> tool_of(std::string_view upstream, std::string_view task,
                                                   std::string_view owner) const;

 private:
  using Key = std::tuple<std::string, std::string, std::string>;  // owner, upstream, task
  struct Entry {
    std::string tool;
    std::list<Key>::iterator age;
  };
  mutable std::mutex mutex_;
  std::map<Key, Entry> tasks_;
  std::list<Key> ages_;  // oldest first
};

}  // namespace zwinger::gateway
