// What each line of pipeline.cc does.
#include <chrono>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "crypto/hash.h"
#include "gateway/pipeline.h"
#include "mcp/envelope.h"
#include "net/one_shot.h"

namespace zwinger::gateway {

namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

// How we present an upstream to a principal that can reach none of its tools: as nothing but
// ourselves.
mcp::ServerInfo stranger_to_upstream() {
  mcp::ServerInfo info;
  info.protocol_version = mcp::kRevision;
  info.server_info = R"({"name":"zwinger","version":")" ZWINGER_VERSION R"("})";
  info.has_tools = true;
  return info;
}

// Passes progress on. The upstream's loop may be another thread, and it may speak after the
// exchange has ended, so this is shared and the exchange takes the record out of it.
class ProgressRelay {
 public:
  ProgressRelay(ClientProgress client, std::string token)
      : client_(std::move(client)), token_(std::move(token)) {}

  void pass(const mcp::ProgressParams& params) {
    std::string event = mcp::write_progress(params, token_);
    const crypto::Sha256 digest = crypto::sha256(event);
    const std::size_t bytes = event.size();
    const std::lock_guard lock(mutex_);
    if (closed_ || record_.events >= kMaxEvents || !client_(std::move(event))) return;
    ++record_.events;
    record_.bytes += bytes;
    record_.digests.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  }
  // After this nothing is passed on any more.
  ProgressRecord close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    return std::move(record_);
  }

 private:
  static constexpr std::uint64_t kMaxEvents = 10'000;  // of one request; the rest is dropped
  ClientProgress client_;
  std::string token_;
  std::mutex mutex_;
  ProgressRecord record_;
  bool closed_ = false;
};

// Reads the parameters of a known method into the exchange.
Result<void> read_params(Exchange& x) {
  const std::optional<json::Value>& params = x.message.params;
  std::optional<json::Value> meta;
  switch (*x.method) {
    case mcp::Method::initialize: {
      ZWINGER_TRY(auto initialize, mcp::read_initialize_params(params));
      x.params = initialize;
      break;
    }
    case mcp::Method::ping:
      break;
    case mcp::Method::tools_list: {
      ZWINGER_TRY(auto list, mcp::read_list_params(params));
      meta = list.meta;
      x.params = list;
      break;
    }
    case mcp::Method::tools_call: {
      ZWINGER_TRY(auto call, mcp::read_call_params(params));
      meta = call.meta;
      x.params = call;
      break;
    }
  }
  ZWINGER_TRY(x.progress_token, mcp::read_progress_token(meta));
  return {};
}

// A closed constraint names the argument that it does not list. That name is the caller's own, so
// the record has only where it stood.
std::string recordable_place(const Verdict& verdict) {
  if (verdict.reason != Code::constraint_closed) return verdict.at;
  return verdict.at.substr(0, verdict.at.rfind('/')) + "/?";
}

Operation operation_of(mcp::Method method) {
  switch (method) {
    case mcp::Method::initialize:
      return Operation::initialize;
    case mcp::Method::ping:
      return Operation::ping;
    case mcp::Method::tools_list:
      return Operation::list_tools;
    case mcp::Method::tools_call:
      return Operation::call_tool;
  }
  std::unreachable();
}

Question question_of(const Exchange& x, UnixSeconds now) {
  Question question;
  question.who = x.who.get();
  question.operation = operation_of(*x.method);
  question.tool = {.upstream = x.upstream->id(), .tool = x.tool(), .vertical = x.vertical};
  if (const auto* call = std::get_if<mcp::CallParams>(&x.params))
    question.arguments = call->arguments;
  question.now = now;
  return question;
}

}  // namespace

void Pipeline::read(Exchange& x) const {
  x.method = mcp::parse_method(x.message.method);
  if (!x.method) {
    x.deny("protocol", Verdict::deny(Code::method_not_supported));
    return;
  }
  if (const Result<void> params = read_params(x); !params) {
    x.method.reset();
    x.deny("protocol", Verdict::deny(params.error()));
  }
}

void Pipeline::judge(Exchange& x) const {
  if (!x.method) return;
  x.judgement = gateway::judge(roles_, question_of(x, clock_.unix_seconds()));
}

void Pipeline::within_deadline(Exchange& x) const {
  if (!x.allowed() || clock_.monotonic() - x.began <= bounds_.decision) return;
  x.deny("deadline", Verdict::deny(Code::decision_timeout));
}

Task<void> Pipeline::reserve(Exchange& x) {
  if (!x.allowed() || !x.judgement.must_reserve) co_return;
  auto taken = std::make_shared<net::OneShot<Result<void>>>(x.loop);
  store_.reserve(*std::move(x.judgement.must_reserve),
                 [taken](Result<void> r) { taken->set(std::move(r)); });
  const std::optional<Result<void>> result =
      co_await taken->wait_until(net::Loop::now() + bounds_.durability);
  if (!result) {
    x.deny("state", Verdict::deny(Code::state_unavailable));
  } else if (!*result) {
    // The error's place is the store's key, which is no business of the client.
    x.deny("state", Verdict::deny(result->error().code));
  }
}

void Pipeline::write_envelope(Exchange& x) const {
  if (!x.allowed()) return;
  const bool wants_progress = x.progress_token.has_value() && x.client_progress;
  std::visit(Overloaded{
                 [&](const mcp::CallParams& call) {
                   x.upstream_request = x.upstream->next_id();
                   x.forward = mcp::write_call(x.upstream_request, call, wants_progress);
                 },
                 [&](const mcp::ListParams& list) {
                   if (!x.judgement.reaches_upstream) return;
                   x.upstream_request = x.upstream->next_id();
                   x.forward = mcp::write_list(x.upstream_request, list, wants_progress);
                 },
                 [](const mcp::InitializeParams&) {},
                 [](std::monostate) {},
             },
             x.params);
  if (!x.forward.empty()) x.forward_digest = crypto::sha256_hex(x.forward);
}

Task<std::optional<Result<void>>> Pipeline::append(net::Loop& loop,
                                                   std::vector<ledger::Leaf> leaves) {
  auto durable = std::make_shared<net::OneShot<Result<void>>>(loop);
  ledger_.append(std::move(leaves), [durable](Result<void> r) { durable->set(std::move(r)); });
  co_return co_await durable->wait_until(net::Loop::now() + bounds_.durability);
}

Task<void> Pipeline::record_decision(Exchange& x) {
  std::vector<ledger::Leaf> leaves;
  leaves.push_back(decision_leaf(x));
  if (!x.allowed()) {
    x.status = "denied";
    x.outcome_recorded = true;
    leaves.push_back(outcome_leaf(x));
  }
  const std::optional<Result<void>> durable = co_await append(x.loop, std::move(leaves));
  if (durable && *durable) co_return;
  if (durable) {
    x.deny("ledger", Verdict::deny(Code::ledger_unavailable));
    x.outcome_recorded = true;  // there is nowhere to record it
    co_return;
  }
  // The leaf may still become durable later; it must not stand there as if the request had gone
  // out.
  const bool was_allowed = x.allowed();
  x.deny("ledger", Verdict::deny(Code::ledger_late));
  if (was_allowed) {
    x.status = "not_forwarded";
    std::vector<ledger::Leaf> late;
    late.push_back(outcome_leaf(x));
    ledger_.append(std::move(late), [](const Result<void>&) {});
  }
  x.outcome_recorded = true;
}

Task<void> Pipeline::forward(Exchange& x) {
  if (!x.allowed()) co_return;
  if (x.method == mcp::Method::ping) {
    x.status = "result";
    x.result = "{}";
    co_return;
  }
  if (!x.judgement.reaches_upstream && x.method == mcp::Method::initialize) {
    x.status = "result";
    x.result = mcp::initialize_result(stranger_to_upstream());
    co_return;
  }
  if (!x.judgement.reaches_upstream && x.method == mcp::Method::tools_list) {
    x.status = "result";
    x.result = R"({"tools":[]})";
    co_return;
  }
  if (x.method == mcp::Method::initialize) {
    auto server = co_await x.upstream->server(x.loop);
    if (server) {
      x.status = "result";
      x.result = mcp::initialize_result(**server);
    } else {
      x.status = "failed";
      x.failure = std::move(server).error();
    }
    co_return;
  }
  if (!x.cancellation->begin_forwarding(*x.upstream, x.upstream_request)) {
    x.status = "not_forwarded";
    x.failure = Error{Code::cancelled, std::string(info(Code::cancelled).text), {}};
    co_return;
  }

  std::shared_ptr<ProgressRelay> relay;
  ProgressSink sink;
  if (x.progress_token && x.client_progress) {
    relay =
        std::make_shared<ProgressRelay>(x.client_progress, std::string(x.progress_token->source()));
    sink = [relay](const mcp::ProgressParams& params) { relay->pass(params); };
  }
  UpstreamRequest request{
      .id = x.upstream_request,
      .message = std::move(x.forward),
      .progress = std::move(sink),
      .cancelled = [request_switch = x.cancellation] { return request_switch->cancelled(); }};
  auto reply = co_await x.upstream->request(x.loop, std::move(request));
  if (relay) x.progress = relay->close();
  if (!reply) {
    x.status = reply.error().code == Code::cancelled ? "cancelled" : "failed";
    x.failure = std::move(reply).error();
    co_return;
  }
  x.reply = *std::move(reply);
  if (x.reply->kind == mcp::MessageKind::error) {
    x.status = "error";
    x.error = x.reply->error->source();
  } else {
    x.status = "result";
    x.result = x.reply->result->source();
  }
}

void Pipeline::filter_list(Exchange& x) const {
  if (x.method != mcp::Method::tools_list || x.status != "result" || !x.reply) return;
  auto filtered = mcp::filter_tools(*x.reply->result, [&](std::string_view tool) {
    return judge_listed_tool(roles_, *x.who,
                             {.upstream = x.upstream->id(), .tool = tool, .vertical = x.vertical})
        .allowed();
  });
  if (filtered) {
    x.result = std::move(filtered->result);
    return;
  }
  x.status = "failed";
  x.failure = std::move(filtered).error();
  x.result.clear();
}

Task<void> Pipeline::record_outcome(Exchange& x) {
  if (x.outcome_recorded) co_return;
  std::vector<ledger::Leaf> leaves;
  leaves.push_back(outcome_leaf(x));
  const std::optional<Result<void>> durable = co_await append(x.loop, std::move(leaves));
  x.outcome_recorded = true;
  if (durable && *durable) co_return;
  if (!durable) {  // it may become durable yet, and must not stand there as if the answer had left
    ledger::Leaf withheld;
    withheld.kind = ledger::LeafKind::notice;
    withheld.call = x.call_id;
    withheld.event = "answer_withheld";
    withheld.reason = name(Code::outcome_unrecorded);
    std::vector<ledger::Leaf> notice;
    notice.push_back(std::move(withheld));
    ledger_.append(std::move(notice), [](const Result<void>&) {});
  }
  x.failure = Error{Code::outcome_unrecorded, std::string(info(Code::outcome_unrecorded).text), {}};
}

Answer Pipeline::answer(const Exchange& x) {
  Answer out{.message = {}, .verdict = x.judgement.verdict};
  mcp::Denial denial;
  denial.call_id = x.call_id;
  if (!x.allowed()) {
    const Verdict& verdict = x.judgement.verdict;
    denial.reason = verdict.reason;
    denial.text = verdict.text;
    denial.rules = verdict.rules;
    denial.at = verdict.at;
    if (verdict.reason == Code::method_not_supported) denial.rpc_code = mcp::kMethodNotFound;
    if (verdict.reason == Code::mcp_params) denial.rpc_code = mcp::kInvalidParams;
    out.message = mcp::write_denial(x.message.id, denial);
  } else if (x.failure) {
    denial.reason = x.failure->code;
    denial.text = x.failure->message;
    out.message = mcp::write_denial(x.message.id, denial);
  } else if (!x.error.empty()) {
    out.message = mcp::write_error(x.message.id, x.error);
  } else {
    out.message = mcp::write_result(x.message.id, x.result);
  }
  return out;
}

ledger::Leaf Pipeline::decision_leaf(const Exchange& x) const {
  ledger::Leaf leaf;
  leaf.kind = ledger::LeafKind::decision;
  leaf.call = x.call_id;
  leaf.generation = generation_;
  if (x.who) {
    const identity::Principal& principal = x.who->principal;
    leaf.issuer = principal.issuer;
    leaf.tenant = principal.tenant;
    leaf.subject = principal.subject;
    leaf.session = principal.session;
    leaf.proof = to_string(principal.proof);
  }
  leaf.transport = x.transport;
  leaf.method = x.message.method;
  leaf.upstream = x.upstream->id();
  leaf.tool = x.tool();
  leaf.request_bytes = x.message.document.text().size();
  leaf.verdict = to_string(x.judgement.verdict.decision);
  leaf.reason = x.judgement.verdict.reason_name();
  leaf.stage = x.judgement.stage;
  leaf.at = recordable_place(x.judgement.verdict);
  leaf.rules = x.judgement.verdict.rules;
  leaf.forward_sha256 = x.forward_digest;
  return leaf;
}

ledger::Leaf Pipeline::outcome_leaf(const Exchange& x) {
  ledger::Leaf leaf;
  leaf.kind = ledger::LeafKind::outcome;
  leaf.call = x.call_id;
  leaf.upstream = x.upstream->id();
  leaf.tool = x.tool();
  leaf.status = x.status;
  if (x.failure) {
    leaf.reason = name(x.failure->code);
  } else if (!x.allowed()) {
    leaf.reason = x.judgement.verdict.reason_name();
  } else if (x.status == "error") {
    leaf.reason = name(Code::upstream_error);
  } else {
    leaf.reason = "ok";
  }
  const std::string& body = x.error.empty() ? x.result : x.error;
  leaf.answer_bytes = body.size();
  if (!body.empty()) leaf.answer_sha256 = crypto::sha256_hex(body);
  leaf.duration_us = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(net::Loop::now() - x.began).count());
  leaf.progress_events = x.progress.events;
  leaf.progress_bytes = x.progress.bytes;
  if (x.progress.events != 0) leaf.progress_sha256 = crypto::sha256_hex(x.progress.digests);
  return leaf;
}

}  // namespace zwinger::gateway
