// What each line of Pipeline::ask_client does: a server asks the client something, and what the
// client answers leaves our side of the wall.
#include <memory>
#include <utility>
#include <vector>

#include "crypto/hash.h"
#include "gateway/leaf_parts.h"
#include "gateway/pipeline.h"
#include "gateway/session.h"
#include "mcp/envelope.h"

namespace zwinger::gateway {

namespace {

ServerQuestion question_of(const identity::Authenticated* who, const Route& route,
                           const Session* session, UnixSeconds now) {
  ServerQuestion question;
  question.who = who;
  question.upstream = route.upstream->id();
  question.vertical = route.vertical;
  question.may_ask = route.upstream->config().server_requests;
  if (session != nullptr) question.capabilities = session->capabilities();
  question.now = now;
  return question;
}

}  // namespace

void Pipeline::read(ServerExchange& x) const {
  x.call_id = parts_.random.hex(16);
  if (!x.session || !x.generation || !x.stream) {
    x.deny("protocol", Verdict::deny(Code::capability_missing));
    return;
  }
  x.method = mcp::parse_server_method(x.message.method);
  if (!x.method || x.method == mcp::Method::ping) {
    x.method.reset();
    x.deny("protocol", Verdict::deny(Code::method_not_supported));
    return;
  }
  auto params = mcp::read_request_params(*x.method, x.message.params);
  if (!params) {
    x.method.reset();
    x.deny("protocol", Verdict::deny(params.error()));
    return;
  }
  x.params = *std::move(params);
  // A server may ask about the tasks that the client made for it, and about no others.
  const bool lists = *x.method == mcp::Method::tasks_list;
  if (lists ||
      (!x.params.task_id.empty() && !x.session->has_client_task(x.upstream(), x.params.task_id))) {
    x.method.reset();
    x.deny("protocol", Verdict::deny(lists ? Code::method_not_supported : Code::task_unknown));
  }
}

void Pipeline::judge(ServerExchange& x) const {
  if (!x.method) return;
  x.judgement = judge_server_request(
      x.generation->roles,
      question_of(x.who.get(), x.route, x.session.get(), parts_.clock.unix_seconds()), *x.method,
      x.params);
}

// The session waits for the answer before the question is on its way, so that none can be missed.
void Pipeline::write_question(net::Loop& loop, const std::shared_ptr<ServerExchange>& x) const {
  x->times.mark("judge", parts_.clock.monotonic());
  if (!x->allowed()) return;
  x->answered = std::make_shared<net::OneShot<Result<mcp::Message>>>(loop);
  if (const Result<void> waiting = x->session->expect(x); !waiting) {
    x->deny("protocol", Verdict::deny(waiting.error()));
    return;
  }
  const auto& params = x->params.params;
  x->forward = mcp::write_request(x->client_request, x->message.method,
                                  params ? params->source() : std::string_view());
  x->forward_digest = crypto::sha256_hex(x->forward);
}

Task<void> Pipeline::record_decision(net::Loop& loop, ServerExchange& x) {
  parts_.meters.decided(x.upstream(), "server", to_string(x.judgement.verdict.decision),
                        x.judgement.verdict.reason_name());
  std::vector<ledger::Leaf> leaves;
  leaves.push_back(decision_leaf(x));
  if (!x.allowed()) {
    x.status = "denied";
    leaves.push_back(outcome_leaf(x));
  }
  const std::optional<Result<void>> durable = co_await append(loop, std::move(leaves));
  x.times.mark("record_decision", parts_.clock.monotonic());
  if (durable && *durable) co_return;
  const bool was_allowed = x.allowed();
  x.deny("ledger", Verdict::deny(durable ? Code::ledger_unavailable : Code::ledger_late));
  if (was_allowed && !durable) {
    // It may become durable yet, and must not stand there as if the question had gone out.
    x.status = "not_forwarded";
    std::vector<ledger::Leaf> late;
    late.push_back(outcome_leaf(x));
    parts_.ledger.append(std::move(late), [](const Result<void>&) {});
  }
}

// The server is told that nobody was asked.
Task<void> Pipeline::refuse(net::Loop& loop, ServerExchange& x) {
  if (x.client_request != 0) x.session->forget(x.client_request);
  const Verdict& verdict = x.judgement.verdict;
  mcp::Denial denial;
  denial.reason = verdict.reason;
  denial.text = verdict.text;
  denial.call_id = x.call_id;
  const bool unknown =
      verdict.reason == Code::method_not_supported || verdict.reason == Code::capability_missing;
  if (unknown) denial.rpc_code = mcp::kMethodNotFound;
  if (verdict.reason == Code::mcp_params) denial.rpc_code = mcp::kInvalidParams;
  auto sending =
      x.connection->send(loop, mcp::single_line(mcp::write_denial(x.message.id, denial)));
  const Result<void> sent = co_await sending;
  if (!sent) parts_.notices.note("answer_not_delivered", x.upstream(), {}, name(sent.error().code));
}

// The question may have been long ago: what goes out now is judged by what holds now.
void Pipeline::judge_answer(ServerExchange& x, mcp::Message reply) const {
  x.who = x.session->who();
  x.generation = x.session->generation();
  const Judgement now = judge_server_request(
      x.generation->roles,
      question_of(x.who.get(), x.route, x.session.get(), parts_.clock.unix_seconds()), *x.method,
      x.params);
  if (!now.verdict.allowed()) {
    x.status = "withheld";
    x.failure = Error{now.verdict.reason, std::string(info(now.verdict.reason).text), {}};
    return;
  }
  x.reply = std::move(reply);
  x.status = x.reply->kind == mcp::MessageKind::error ? "error" : "result";
  if (!x.params.as_task || !x.reply->result) return;
  if (const auto task = mcp::created_task(*x.reply->result)) {
    x.session->add_client_task(x.upstream(), *task);
  }
}

Task<void> Pipeline::await_answer(Pipeline& self, net::Loop& loop,
                                  std::shared_ptr<ServerExchange> x) {
  const Monotonic deadline = net::Loop::now() + self.parts_.bounds.client_answer;
  std::optional<Result<mcp::Message>> answer = co_await x->answered->wait_until(deadline);
  x->session->forget(x->client_request);
  x->times.mark("client", self.parts_.clock.monotonic());
  if (!answer) {
    x->status = "failed";
    x->failure = Error{Code::client_timeout, std::string(info(Code::client_timeout).text), {}};
  } else if (!*answer) {
    x->status = answer->error().code == Code::cancelled ? "cancelled" : "failed";
    x->failure = std::move(*answer).error();
  } else {
    self.judge_answer(*x, **std::move(answer));
  }
  std::vector<ledger::Leaf> leaves;
  leaves.push_back(self.outcome_leaf(*x));
  self.parts_.meters.ended(x->upstream(), "server", x->status);
  const std::optional<Result<void>> durable = co_await self.append(loop, std::move(leaves));
  if (!durable || !*durable) {
    x->failure =
        Error{Code::outcome_unrecorded, std::string(info(Code::outcome_unrecorded).text), {}};
  }
  if (x->status == "cancelled") co_return;  // the server waits for nothing any more

  std::string message;
  if (x->failure) {
    mcp::Denial denial;
    denial.reason = x->failure->code;
    denial.text = x->failure->message;
    denial.call_id = x->call_id;
    message = mcp::write_denial(x->message.id, denial);
  } else if (x->reply->kind == mcp::MessageKind::error) {
    message = mcp::write_error(x->message.id, x->reply->error->source());
  } else {
    message = mcp::write_result(x->message.id, x->reply->result->source());
  }
  auto sending = x->connection->send(loop, mcp::single_line(std::move(message)));
  const Result<void> sent = co_await sending;
  if (!sent) {
    self.parts_.notices.note("answer_not_delivered", x->upstream(), {}, name(sent.error().code));
  }
}

Verdict Pipeline::judge_notification(const Generation& generation,
                                     const identity::Authenticated* who, const Route& route,
                                     mcp::Notification kind, const mcp::Message& message) const {
  if (!records()) return Verdict::deny(Code::ledger_unavailable);
  std::string_view uri;
  if (kind == mcp::Notification::resources_updated) {
    const auto read = mcp::read_string_param(message.params, "uri");
    if (!read) return Verdict::deny(read.error());
    uri = *read;
  }
  if (kind == mcp::Notification::tasks_status) {
    const auto task = mcp::read_string_param(message.params, "taskId");
    if (!task) return Verdict::deny(task.error());
    const bool known =
        who != nullptr &&
        tasks_.tool_of(route.upstream->id(), *task, who->principal.session).has_value();
    if (!known) return Verdict::deny(Code::task_unknown);
  }
  return judge_server_notification(
      generation.roles, question_of(who, route, nullptr, parts_.clock.unix_seconds()), kind, uri);
}

Verdict Pipeline::judge_client_notification(const Generation& generation,
                                            const identity::Authenticated* who,
                                            const Route& route) const {
  if (!records()) return Verdict::deny(Code::ledger_unavailable);
  Question question;
  question.who = who;
  question.upstream = route.upstream->id();
  question.vertical = route.vertical;
  question.now = parts_.clock.unix_seconds();
  return gateway::judge_client_notification(generation.roles, question);
}

ledger::Leaf Pipeline::decision_leaf(const ServerExchange& x) const {
  ledger::Leaf leaf;
  leaf.kind = ledger::LeafKind::decision;
  leaf.direction = "server";
  leaf.call = x.call_id;
  if (x.generation) leaf.generation = x.generation->digest;
  name_principal(leaf, x.who.get());
  leaf.method = mcp::is_known_method(x.message.method) ? x.message.method : "unknown";
  leaf.upstream = x.upstream();
  leaf.request_bytes = x.message.document.text().size();
  leaf.verdict = to_string(x.judgement.verdict.decision);
  leaf.reason = x.judgement.verdict.reason_name();
  leaf.stage = x.judgement.stage;
  leaf.forward_sha256 = x.forward_digest;
  return leaf;
}

ledger::Leaf Pipeline::outcome_leaf(const ServerExchange& x) const {
  ledger::Leaf leaf;
  leaf.kind = ledger::LeafKind::outcome;
  leaf.direction = "server";
  leaf.call = x.call_id;
  leaf.upstream = x.upstream();
  leaf.status = x.status;
  if (x.failure) {
    leaf.reason = name(x.failure->code);
  } else if (!x.allowed()) {
    leaf.reason = x.judgement.verdict.reason_name();
  } else {
    leaf.reason = x.status == "error" ? "client_error" : "ok";
  }
  if (x.reply) {
    const std::string_view body =
        x.reply->result ? x.reply->result->source() : x.reply->error->source();
    leaf.answer_bytes = body.size();
    leaf.answer_sha256 = crypto::sha256_hex(body);
  }
  leaf.duration_us = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(parts_.clock.monotonic() - x.began)
          .count());
  for (const auto& [stage, spent] : x.times.spent()) {
    leaf.stages_us.emplace_back(stage, static_cast<std::uint64_t>(spent.count()));
  }
  return leaf;
}

}  // namespace zwinger::gateway
