// A few threads that wait for getaddrinfo, so that no loop does. Private to src/net: one for each
// loop that resolves names, and tests with a lookup of their own.
//
// The threads are detached and share the pool with their loop: one that is stuck in a lookup when
// the loop ends touches the pool only, and its answer finds nobody (see one_shot.h). A thread ends
// when there is nothing left to look up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "net/one_shot.h"
#include "net/stream.h"

namespace zwinger::net {

class ResolverPool : public std::enable_shared_from_this<ResolverPool> {
 public:
  using Answer = Result<std::vector<Address>>;
  // Runs on a thread of the pool, several at a time.
  using Lookup = std::function<Answer(const std::string& host, std::uint16_t port)>;
  static constexpr std::size_t kMaxThreads = 4;
  static constexpr std::size_t kMaxWaiting = 256;  // names in the queue; more are refused

  explicit ResolverPool(Lookup lookup) : lookup_(std::move(lookup)) {}

  // On the loop's thread. Errors: io, timeout.
  static Task<Answer> resolve(std::shared_ptr<ResolverPool> self, Loop& loop, std::string host,
                              std::uint16_t port, Monotonic deadline);

 private:
  struct Job {
    std::string host;
    std::uint16_t port = 0;
    Monotonic deadline;  // nobody waits for the answer afterwards
    std::shared_ptr<OneShot<Answer>> reply;
  };
  [[nodiscard]] Result<void> submit(Job job);
  [[nodiscard]] bool start_thread();
  void work();

  const Lookup lookup_;
  std::mutex mutex_;
  std::deque<Job> waiting_;
  std::size_t threads_ = 0;
};

}  // namespace zwinger::net
