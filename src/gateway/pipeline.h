// The chokepoint: every MCP request, from every codec, takes this one way (design section 2).
// pipeline.cc is the list of stages; steps.cc holds what each does.
//
// One Pipeline per process; run() may be called on any loop's thread, each exchange stays on its
// own.
#pragma once

#include <chrono>
#include <string>

#include "base/clock.h"
#include "base/task.h"
#include "gateway/exchange.h"
#include "grant/grant.h"
#include "ledger/ledger.h"
#include "state/store.h"

namespace zwinger::gateway {

struct Bounds {
  std::chrono::milliseconds decision{
      50};  // from the request's last byte to its verdict; disk not counted
  std::chrono::milliseconds durability{2'000};  // for each wait on the record or the counters
};

// What goes back to the client.
struct Answer {
  std::string message;  // one JSON-RPC message
  Verdict verdict;  // of the request; a failure after an allowing verdict shows only in `message`
};

class Pipeline {
 public:
  Pipeline(const grant::RoleTable& roles, std::string generation, state::AsyncStore& store,
           ledger::Ledger& ledger, const Clock& clock, Bounds bounds)
      : roles_(roles),
        generation_(std::move(generation)),
        store_(store),
        ledger_(ledger),
        clock_(clock),
        bounds_(bounds) {}

  // `x` must outlive the task.
  Task<Answer> run(Exchange& x);

 private:
  void read(Exchange& x) const;
  void judge(Exchange& x) const;
  void within_deadline(Exchange& x) const;
  Task<void> reserve(Exchange& x);
  void write_envelope(Exchange& x) const;
  Task<void> record_decision(Exchange& x);
  Task<void> forward(Exchange& x);
  void filter_list(Exchange& x) const;
  Task<void> record_outcome(Exchange& x);
  [[nodiscard]] static Answer answer(const Exchange& x);

  // Nothing: the leaves are not durable within the bound.
  Task<std::optional<Result<void>>> append(net::Loop& loop, std::vector<ledger::Leaf> leaves);
  [[nodiscard]] ledger::Leaf decision_leaf(const Exchange& x) const;
  [[nodiscard]] static ledger::Leaf outcome_leaf(const Exchange& x);

  const grant::RoleTable& roles_;
  std::string generation_;
  state::AsyncStore& store_;
  ledger::Ledger& ledger_;
  const Clock& clock_;
  Bounds bounds_;
};

}  // namespace zwinger::gateway
