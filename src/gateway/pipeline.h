// The chokepoint: every MCP exchange, in both directions and from every codec, takes this one way
// (design section 2). pipeline.cc is the list of stages; steps.cc holds what each does for a
// client's request, server_steps.cc for a server's.
//
// One Pipeline per process; it may be called on any loop's thread, each exchange stays on its own.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/task.h"
#include "gateway/exchange.h"
#include "gateway/meters.h"
#include "gateway/notices.h"
#include "gateway/tasks.h"
#include "ledger/arguments.h"
#include "ledger/ledger.h"
#include "state/store.h"

namespace zwinger::gateway {

struct Bounds {
  std::chrono::milliseconds decision{
      50};  // from the request's last byte to its verdict; disk not counted
  std::chrono::milliseconds durability{2'000};  // for each wait on the record or the counters
  std::chrono::seconds client_answer{600};      // for what a server asks of a client
};

// What goes back to the client.
struct Answer {
  std::string message;  // one JSON-RPC message
  Verdict verdict;  // of the request; a failure after an allowing verdict shows only in `message`
  std::optional<Code> failure;
  bool is_result = false;  // of the upstream or ours; not an error
  bool as_stream = false;  // the upstream answered initialize with a stream
};

class Pipeline {
 public:
  struct Parts {
    state::AsyncStore& store;
    ledger::Ledger& ledger;
    Notices& notices;
    const Clock& clock;
    Random& random;
    Meters& meters;
    const ledger::ArgumentKey& argument_key;
    Bounds bounds;
  };
  explicit Pipeline(const Parts& parts) : parts_(parts) {}

  // A client's request. `x` must outlive the task.
  Task<Answer> run(Exchange& x);
  // A server's request to the client. Returns when the question is on its way or refused; the wait
  // for the client's answer, and what follows, go on by themselves on `loop`.
  Task<void> ask_client(net::Loop& loop, std::shared_ptr<ServerExchange> x);

  // Whether a server's notification may go to this client.
  [[nodiscard]] Verdict judge_notification(const Generation& generation,
                                           const identity::Authenticated* who, const Route& route,
                                           mcp::Notification kind,
                                           const mcp::Message& message) const;
  // Whether a client's notification may go to this upstream.
  [[nodiscard]] Verdict judge_client_notification(const Generation& generation,
                                                  const identity::Authenticated* who,
                                                  const Route& route) const;

  // Whether anything can be recorded. Where not, nothing passes, notifications neither.
  [[nodiscard]] bool records() const { return parts_.ledger.healthy(); }
  [[nodiscard]] Notices& notices() const { return parts_.notices; }
  [[nodiscard]] Meters& meters() const { return parts_.meters; }
  [[nodiscard]] Monotonic now() const { return parts_.clock.monotonic(); }

 private:
  // --- a client's request ---
  void read(Exchange& x) const;
  void judge(Exchange& x) const;
  void within_deadline(Exchange& x) const;
  Task<void> reserve(Exchange& x);
  void write_envelope(Exchange& x) const;
  Task<void> record_decision(Exchange& x);
  Task<void> forward(Exchange& x);
  void filter_list(Exchange& x) const;
  void keep_task(Exchange& x);
  Task<void> record_outcome(Exchange& x);
  [[nodiscard]] Answer answer(const Exchange& x);

  void answer_ourselves(Exchange& x) const;
  Task<void> forward_initialize(Exchange& x);
  Task<void> forward_request(Exchange& x);
  [[nodiscard]] ledger::Leaf decision_leaf(const Exchange& x) const;
  [[nodiscard]] ledger::Leaf outcome_leaf(const Exchange& x) const;

  // --- a server's request ---
  void read(ServerExchange& x) const;
  void judge(ServerExchange& x) const;
  void write_question(net::Loop& loop, const std::shared_ptr<ServerExchange>& x) const;
  Task<void> record_decision(net::Loop& loop, ServerExchange& x);
  Task<void> refuse(net::Loop& loop, ServerExchange& x);
  void judge_answer(ServerExchange& x, mcp::Message reply) const;
  static Task<void> await_answer(Pipeline& self, net::Loop& loop,
                                 std::shared_ptr<ServerExchange> x);
  [[nodiscard]] ledger::Leaf decision_leaf(const ServerExchange& x) const;
  [[nodiscard]] ledger::Leaf outcome_leaf(const ServerExchange& x) const;

  // Nothing: the leaves are not durable within the bound.
  Task<std::optional<Result<void>>> append(net::Loop& loop, std::vector<ledger::Leaf> leaves);

  Parts parts_;
  Tasks tasks_;
};

}  // namespace zwinger::gateway
