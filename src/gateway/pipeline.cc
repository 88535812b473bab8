#include "gateway/pipeline.h"

namespace zwinger::gateway {

// A stage that finds the exchange already refused leaves it as it is. docs/life-of-an-exchange.md
// follows this list.
Task<Answer> Pipeline::run(Exchange& x) {
  read(x);                      // what is asked: method, parameters, tool identity
  judge(x);                     // outer gate: role and grant
  within_deadline(x);           // undecided in time is denied
  co_await reserve(x);          // outer gate: calls that may be made only so often, counted durably
  write_envelope(x);            // what would be forwarded is what was judged
  co_await record_decision(x);  // ledger: no leaf, no forwarding
  co_await forward(x);          // upstream, or our own answer
  filter_list(x);               // return: a list shows what a call could reach
  co_await record_outcome(x);   // ledger: no leaf, no answer
  co_return answer(x);
}

}  // namespace zwinger::gateway
