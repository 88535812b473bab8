// What goes to a client about one request, or about none (the standalone stream): events in order,
// then the answer. One producer side, one reader at a time; both may be on any loop's thread.
//
// Events of a session are kept for a while, within bounds, so that a client whose connection broke
// can ask for the rest (MCP 2025-11-25, basic/transports, "Resumability and Redelivery"). A
// producer waits while a reader lags; without a reader the oldest events go when the bound is
// reached.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/task.h"
#include "net/http1.h"
#include "net/loop.h"
#include "net/one_shot.h"

namespace zwinger::gateway {

// How many bytes of events the whole gateway keeps for resumption. Beyond it events are delivered
// and then forgotten.
struct EventStore {
  std::atomic<std::size_t> used{0};
  std::size_t limit = std::size_t{64} << 20U;
};

// A request's end, as HTTP tells it where nothing came before it.
struct FinalAnswer {
  int status = 200;
  net::HttpHeaders headers;
  bool as_stream = false;  // the upstream gave it as a stream, so we do too
  std::string message;     // one JSON-RPC message; empty: none (a cancelled request over stdio)
};

class ClientStream {
 public:
  static constexpr std::size_t kKeptBytes = std::size_t{256} << 10U;  // of one stream
  static constexpr std::size_t kKeptEvents = 512;
  static constexpr std::size_t kHighWater = std::size_t{256} << 10U;  // a producer waits above it

  // `number` names the stream within its session; `store` null: nothing is kept once delivered.
  // `takes_events`: what belongs to no request may be told here.
  ClientStream(std::uint64_t number, std::shared_ptr<EventStore> store, bool takes_events = true)
      : number_(number), takes_events_(takes_events), store_(std::move(store)) {}
  ~ClientStream();
  ClientStream(const ClientStream&) = delete;
  ClientStream& operator=(const ClientStream&) = delete;

  [[nodiscard]] std::uint64_t number() const { return number_; }
  [[nodiscard]] bool takes_events() const { return takes_events_; }

  // --- producer ---

  // One JSON-RPC message. No effect after finish().
  void append(std::string message);
  // The upstream answers with a stream: so do we, from now on.
  void open();
  // How long the reader may wait before it asks again, should the stream break.
  void set_retry(std::uint64_t milliseconds);
  // The upstream has ended its stream for now; the reader may do so too.
  void pause(std::optional<std::uint64_t> retry_ms);
  void finish(FinalAnswer answer);
  // Waits while the reader lags behind; not at all without one.
  Task<void> room(net::Loop& loop);
  // Whether room() would wait.
  [[nodiscard]] bool lags() const;
  [[nodiscard]] bool finished() const;
  // Whether it is told as a stream already.
  [[nodiscard]] bool opened() const;
  // Events that went before anybody took them.
  [[nodiscard]] std::uint64_t dropped() const;

  // --- reader ---

  struct Next {
    enum class Kind : std::uint8_t {
      event,     // message, sequence
      opened,    // the answer will be a stream; `answer` has headers where it is known
      answer,    // the answer came first: it needs no stream
      retry,     // retry_ms
      paused,    // retry_ms
      ended,     // everything was told
      detached,  // another reader took over, or the stream was shut
      timeout
    };
    Kind kind = Kind::detached;
    std::uint64_t sequence = 0;
    std::shared_ptr<const std::string> message;
    std::optional<std::uint64_t> retry_ms;
    FinalAnswer answer;
  };
  enum class Form : std::uint8_t { undecided, stream };

  // Becomes the reader of what stands behind event `after`, or of what nobody was told yet. Nothing
  // where there is no such event, or events behind it are gone.
  std::optional<std::uint64_t> attach(std::optional<std::uint64_t> after);
  // What comes next. With Form::undecided only `opened`, `answer` and the last three are told.
  Task<Next> next(net::Loop& loop, std::uint64_t reader, Form form, Monotonic deadline);
  // The reader leaves; a producer that waits for it goes on.
  void detach(std::uint64_t reader);
  [[nodiscard]] bool attached() const;
  // Whether something stands there that no reader was told.
  [[nodiscard]] bool pending() const;
  // Every reader is told to leave, now and later.
  void shut();

 private:
  using Signal = std::shared_ptr<net::OneShot<bool>>;
  struct Stored {
    std::uint64_t sequence;
    std::shared_ptr<const std::string> message;
  };

  void add(std::string message);  // with the lock held, as the next four
  void forget();
  void forget_front();
  std::optional<Next> ready(std::uint64_t reader, Form form);
  [[nodiscard]] std::size_t waiting_bytes() const;
  static void wake(Signal& signal);
  void wake_producers();

  const std::uint64_t number_;
  const bool takes_events_;
  const std::shared_ptr<EventStore> store_;
  mutable std::mutex mutex_;
  std::deque<Stored> events_;
  std::size_t bytes_ = 0;        // of events_
  std::size_t undelivered_ = 0;  // bytes of those not told yet
  std::uint64_t last_ = 0;       // sequence of the newest event
  std::uint64_t cursor_ = 0;     // of the newest event that was told
  std::uint64_t dropped_ = 0;
  bool opened_ = false;
  bool finished_ = false;
  bool shut_ = false;
  std::optional<FinalAnswer> answer_;   // its message is the last event
  std::optional<std::uint64_t> retry_;  // not told yet
  std::optional<std::optional<std::uint64_t>> pause_;
  std::uint64_t reader_ = 0;  // 0: nobody
  std::uint64_t readers_ = 0;
  Signal reader_signal_;
  std::vector<Signal> producers_;  // each waits for room
};

}  // namespace zwinger::gateway
