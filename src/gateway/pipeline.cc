#include "gateway/pipeline.h"

#include "gateway/session.h"

namespace zwinger::gateway {

// A stage that finds the exchange already refused leaves it as it is. docs/life-of-an-exchange.md
// follows these lists.
Task<Answer> Pipeline::run(Exchange& x) {
  read(x);                      // what is asked: method, parameters, tool identity
  judge(x);                     // outer gate: role and grant
  within_deadline(x);           // undecided in time is denied
  co_await reserve(x);          // outer gate: calls that may be made only so often, counted durably
  write_envelope(x);            // what would be forwarded is what was judged
  co_await record_decision(x);  // ledger: no leaf, no forwarding
  co_await forward(x);          // upstream, or our own answer; its events pass through a Relay
  filter_list(x);               // return: a list shows what a call could reach
  keep_task(x);                 // return: whose task this is
  co_await record_outcome(x);   // ledger: no leaf, no answer
  co_return answer(x);
}

Task<void> Pipeline::ask_client(net::Loop& loop, std::shared_ptr<ServerExchange> x) {
  read(*x);                            // what is asked
  judge(*x);                           // policy, grant, and what the client said it can do
  write_question(loop, x);             // what would go to the client is what was judged
  co_await record_decision(loop, *x);  // ledger: no leaf, no question
  if (!x->allowed()) {
    co_await refuse(loop, *x);
    co_return;
  }
  // The server may have cancelled it meanwhile.
  if (x->session->waits(x->client_request)) x->stream->append(x->forward);
  const auto stream = x->stream;
  loop.spawn(await_answer(*this, loop, std::move(x)));  // ledger: no leaf, no answer to the server
  co_await stream->room(loop);
}

}  // namespace zwinger::gateway
