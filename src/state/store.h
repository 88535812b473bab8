// Durable counters and marks that outlive a process: today calls per grant, and when a session
// began.
//
// One compare-and-swap interface (design section 3); SQLite in WAL mode with synchronous=FULL
// behind it, or memory for replay and tests. A Store may be called from any thread; calls block on
// disk, so event loops go through AsyncStore, which owns one thread and commits whatever is waiting
// as one transaction.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace zwinger::state {

struct Versioned {
  std::string value;
  std::uint64_t version = 0;  // 0: the key does not exist
};

class Store {
 public:
  virtual ~Store() = default;
  // Errors: state_unavailable.
  [[nodiscard]] virtual Result<Versioned> get(std::string_view key) = 0;
  // Sets the value if the key's version is still `expected` (0: must not exist). True when it was
  // set and is durable. Errors: state_unavailable, and then nothing was set.
  [[nodiscard]] virtual Result<bool> compare_and_swap(std::string_view key, std::uint64_t expected,
                                                      std::string_view value) = 0;
  // Runs `work` in one transaction that is durable on return; an error from `work` rolls all of it
  // back. `work` uses only the Store it is given. That Store's transactions nest: a failed inner
  // one is undone alone. Errors: those of `work`; state_unavailable, and then nothing was set.
  [[nodiscard]] virtual Result<void> transaction(
      const std::function<Result<void>(Store&)>& work) = 0;
};

// Several processes may open one file (busy timeout 1 s). Creates it with mode 0600 in a folder
// that must exist. Errors: state_unavailable, also for a file that is not ours, open to others, or
// of another schema version.
[[nodiscard]] Result<std::unique_ptr<Store>> open_sqlite(const std::filesystem::path& file);
[[nodiscard]] std::unique_ptr<Store> make_memory_store();

// One call's demands on the store: taken all or none.
struct Reservation {
  struct Count {
    std::string key;
    std::uint64_t limit = 0;
    Code refusal = Code::max_calls;  // the error where the limit is reached
  };
  std::vector<Count> counts;  // each goes up by one and must stay within its limit
  std::string session_key;    // marks when the session was seen; empty: no session, no TTL
  std::int64_t now = 0;       // Unix seconds
  std::optional<std::int64_t>
      session_ttl;  // seconds since the session was first seen; needs session_key
  Code session_refusal = Code::session_expired;  // the error where it is that old
};

// Takes a reservation: the session's age first, then the counts in their order. Errors: the
// `refusal` of the first count that is at its limit (where = its key), `session_refusal` (where =
// the session's key), state_unavailable, internal (a TTL without a session); on any of them nothing
// was counted. A session's age never shrinks, whatever the clock does: it is the latest time it was
// seen less the earliest.
[[nodiscard]] Result<void> reserve(Store& store, const Reservation& reservation);

class AsyncStore {
 public:
  using Done = std::move_only_function<void(Result<void>)>;
  explicit AsyncStore(std::unique_ptr<Store> store);
  ~AsyncStore();  // finishes what is queued, then joins
  AsyncStore(const AsyncStore&) = delete;
  AsyncStore& operator=(const AsyncStore&) = delete;

  // `done` runs on the store's thread once the reservation is durable or refused. With more than
  // `kMaxQueued` waiting it runs at once, on the caller's thread, with state_unavailable.
  void reserve(Reservation reservation, Done done);
  static constexpr std::size_t kMaxQueued = 4096;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace zwinger::state
