// Cancelling a request that is on its way (MCP 2025-11-25, basic/utilities/cancellation).
// Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "gateway/upstream.h"

namespace zwinger::gateway {

// One request's switch. Shared by the exchange and the table below.
class Cancellation {
 public:
  // The request is about to be sent to `upstream` under `id`. False where it was cancelled before:
  // then it must not be sent.
  [[nodiscard]] bool begin_forwarding(std::shared_ptr<Connection> upstream, std::int64_t id);
  // `write` makes the notification for the upstream, given the id that it knows the request by.
  using Write = std::function<std::string(std::int64_t id)>;
  void cancel(const Write& write);
  [[nodiscard]] bool cancelled() const;

 private:
  mutable std::mutex mutex_;
  bool cancelled_ = false;
  std::shared_ptr<Connection> upstream_;
  std::int64_t id_ = 0;
};

// The requests of all clients that can still be cancelled, by a key that holds the client's
// identity and the request's id. Over HTTP without sessions two clients of one principal may use
// one id at a time: then it is unclear which is meant, and none is cancelled.
class InFlight {
 public:
  // Keeps the request in the table as long as it lives.
  class Entry {
   public:
    Entry(InFlight& table, std::string key, std::shared_ptr<Cancellation> cancellation);
    ~Entry();
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

   private:
    InFlight& table_;
    std::multimap<std::string, std::shared_ptr<Cancellation>>::iterator place_;
  };

  // How many requests of one principal's session, and of all, may run at a time over HTTP: they go
  // on without their connections, so connections do not bound them.
  static constexpr std::size_t kMostOfOne = 1024;
  static constexpr std::size_t kMost = 8192;
  // Counts a request that begins; false where there are too many. Each one admitted leaves.
  [[nodiscard]] bool admit(const std::string& owner);
  void leave(const std::string& owner);

  [[nodiscard]] bool contains(const std::string& key) const;
  // Whether exactly one request had this key, which is now cancelled.
  bool cancel(const std::string& key, const Cancellation::Write& write);

 private:
  mutable std::mutex mutex_;
  std::multimap<std::string, std::shared_ptr<Cancellation>> requests_;
  std::map<std::string, std::size_t> running_;  // by owner
  std::size_t running_of_all_ = 0;
};

}  // namespace zwinger::gateway
