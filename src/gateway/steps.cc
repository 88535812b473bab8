// What each line of Pipeline::run does.
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "crypto/hash.h"
#include "gateway/leaf_parts.h"
#include "gateway/pipeline.h"
#include "gateway/relay.h"
#include "gateway/session.h"
#include "mcp/envelope.h"
#include "net/one_shot.h"

namespace zwinger::gateway {

namespace {

using mcp::Method;

bool is_tool_call(Method method) { return method == Method::tools_call; }

bool is_about_a_task(Method method) {
  return method == Method::tasks_get || method == Method::tasks_result ||
         method == Method::tasks_cancel;
}

bool names_a_prompt(const Exchange& x) {
  return x.method == Method::prompts_get ||
         (x.method == Method::completion_complete && x.params.uri.empty());
}

// Whether this exchange goes over a connection that only this client's session uses.
bool has_own_connection(const Exchange& x) {
  return x.session && x.route.upstream->config().sessions == SessionUse::own;
}

// A closed constraint names the argument that it does not list, and a resource's denial its URI.
// These are the caller's own words, so the record has only where they stood.
std::string recordable_place(const Exchange& x) {
  const Verdict& verdict = x.judgement.verdict;
  if (!x.params.uri.empty()) return x.upstream();
  if (verdict.reason != Code::constraint_closed) return verdict.at;
  return verdict.at.substr(0, verdict.at.rfind('/')) + "/?";
}

Question question_of(const Exchange& x, UnixSeconds now) {
  Question question;
  question.who = x.who.get();
  question.method = *x.method;
  question.upstream = x.upstream();
  question.vertical = x.route.vertical;
  question.name = is_about_a_task(*x.method) ? std::string_view(x.task_tool) : x.params.name;
  question.uri = x.params.uri;
  question.arguments = x.params.arguments;
  question.now = now;
  return question;
}

// The result of a list method for somebody who can reach nothing of the upstream.
std::string empty_list(Method method) {
  return R"({")" + std::string(mcp::list_shape(method)->array) + R"(":[]})";
}

Error error_of(Code code) { return {code, std::string(info(code).text), {}}; }

}  // namespace

// --- the request
// ------------------------------------------------------------------------------------

void Pipeline::read(Exchange& x) const {
  x.method = mcp::parse_client_method(x.message.method);
  if (!x.method) {
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
  if (!is_about_a_task(*x.method) || !x.who) return;
  auto tool = tasks_.tool_of(x.upstream(), x.params.task_id, x.who->principal.session);
  if (tool) {
    x.task_tool = *std::move(tool);
  } else {
    x.method.reset();
    x.deny("protocol", Verdict::deny(Code::task_unknown));
  }
}

void Pipeline::judge(Exchange& x) const {
  if (!x.method) return;
  x.judgement = gateway::judge(x.generation->roles, question_of(x, parts_.clock.unix_seconds()));
}

void Pipeline::within_deadline(Exchange& x) const {
  const Monotonic now = parts_.clock.monotonic();
  x.times.mark("judge", now);
  if (!x.allowed() || now - x.began <= parts_.bounds.decision) return;
  x.deny("deadline", Verdict::deny(Code::decision_timeout));
}

Task<void> Pipeline::reserve(Exchange& x) {
  if (!x.allowed() || !x.judgement.must_reserve) co_return;
  auto taken = std::make_shared<net::OneShot<Result<void>>>(x.loop);
  parts_.store.reserve(*std::move(x.judgement.must_reserve),
                       [taken](Result<void> r) { taken->set(std::move(r)); });
  const std::optional<Result<void>> result =
      co_await taken->wait_until(net::Loop::now() + parts_.bounds.durability);
  x.times.mark("reserve", parts_.clock.monotonic());
  if (!result) {
    x.deny("state", Verdict::deny(Code::state_unavailable));
  } else if (!*result) {
    // The error's place is the store's key, which is no business of the client.
    x.deny("state", Verdict::deny(result->error().code));
  }
}

void Pipeline::write_envelope(Exchange& x) const {
  if (!x.allowed() || x.method == Method::ping) return;
  if (!x.judgement.reaches_upstream) return;
  const std::string_view params = x.params.params ? x.params.params->source() : std::string_view();
  if (x.method == Method::initialize) {
    if (!has_own_connection(x)) return;  // the shared one was initialized by us
    x.upstream_request = kInitializeId;
    x.forward = mcp::write_request(x.upstream_request, x.message.method, params);
  } else {
    if (x.session) x.connection = x.session->connection_to(x.upstream());
    const bool is_own = x.connection && has_own_connection(x);
    x.own_connection = is_own;
    if (!x.connection) x.connection = x.route.upstream->shared();
    x.upstream_request = x.connection->next_id();
    x.forward = is_own ? mcp::write_request(x.upstream_request, x.message.method, params)
                       : mcp::write_shared_request(x.upstream_request, x.message.method, x.params,
                                                   x.stream != nullptr);
  }
  x.forward_digest = crypto::sha256_hex(x.forward);
}

Task<std::optional<Result<void>>> Pipeline::append(net::Loop& loop,
                                                   std::vector<ledger::Leaf> leaves) {
  auto durable = std::make_shared<net::OneShot<Result<void>>>(loop);
  parts_.ledger.append(std::move(leaves),
                       [durable](Result<void> r) { durable->set(std::move(r)); });
  co_return co_await durable->wait_until(net::Loop::now() + parts_.bounds.durability);
}

Task<void> Pipeline::record_decision(Exchange& x) {
  parts_.meters.decided(x.upstream(), "client", to_string(x.judgement.verdict.decision),
                        x.judgement.verdict.reason_name());
  std::vector<ledger::Leaf> leaves;
  leaves.push_back(decision_leaf(x));
  if (!x.allowed()) {
    x.status = "denied";
    x.outcome_recorded = true;
    leaves.push_back(outcome_leaf(x));
  }
  const std::optional<Result<void>> durable = co_await append(x.loop, std::move(leaves));
  x.times.mark("record_decision", parts_.clock.monotonic());
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
    parts_.ledger.append(std::move(late), [](const Result<void>&) {});
  }
  x.outcome_recorded = true;
}

// --- the upstream
// -----------------------------------------------------------------------------------

Task<void> Pipeline::forward(Exchange& x) {
  if (!x.allowed()) co_return;
  if (x.method == Method::ping || !x.judgement.reaches_upstream) {
    answer_ourselves(x);
  } else if (x.method == Method::initialize) {
    auto initializing = forward_initialize(x);
    co_await initializing;
  } else {
    auto requesting = forward_request(x);
    co_await requesting;
  }
  x.times.mark("upstream", parts_.clock.monotonic());
}

void Pipeline::answer_ourselves(Exchange& x) const {
  x.status = "result";
  if (x.method == Method::ping) {
    x.result = "{}";
  } else if (x.method == Method::initialize) {
    // As nothing but ourselves.
    x.result = mcp::own_initialize_result(mcp::kRevision, R"({"tools":{}})", std::nullopt,
                                          ZWINGER_VERSION);
  } else if (mcp::list_shape(*x.method)) {
    x.result = empty_list(*x.method);
  } else {  // judge() allows nothing else without reaching the upstream
    x.status = "failed";
    x.failure = error_of(Code::internal);
  }
}

Task<void> Pipeline::forward_initialize(Exchange& x) {
  if (has_own_connection(x)) {
    auto relay = std::make_shared<Relay>(Relay::Parts{.pipeline = *this,
                                                      .route = x.route,
                                                      .session = x.session,
                                                      .connection = {},
                                                      .who = nullptr,
                                                      .generation = nullptr,
                                                      .stream = nullptr,
                                                      .progress_token = {}});
    ConnectionStart start;
    start.initialize_id = x.upstream_request;
    start.initialize = std::move(x.forward);
    start.initialize_params = x.params.params->source();
    start.events = relay;
    x.session->agree(x.params.capabilities->source(), std::string(x.params.protocol_version));
    auto opened = x.route.upstream->open(std::move(start));
    if (!opened) {
      x.status = "not_forwarded";
      x.failure = std::move(opened).error();
      co_return;
    }
    x.connection = *std::move(opened);
    relay->bind(x.connection);
    x.session->add({.route = x.route, .connection = x.connection});
  } else {
    x.connection = x.route.upstream->shared();
  }
  auto asking = x.connection->server(x.loop);
  auto server = co_await asking;
  if (server) {
    x.status = "result";
    x.server = *std::move(server);
    x.result = x.server->result;
    if (x.session) x.session->agree(x.params.capabilities->source(), x.server->protocol_version);
  } else if (server.error().code == Code::upstream_error) {
    x.status = "error";
    x.error = std::move(server.error().message);
  } else {
    x.status = "failed";
    x.failure = std::move(server).error();
  }
}

Task<void> Pipeline::forward_request(Exchange& x) {
  if (!x.cancellation->begin_forwarding(x.connection, x.upstream_request)) {
    x.status = "not_forwarded";
    x.failure = error_of(Code::cancelled);
    co_return;
  }
  const bool is_own = x.own_connection;
  std::shared_ptr<Relay> relay;
  UpstreamRequest request;
  request.id = x.upstream_request;
  request.message = std::move(x.forward);
  request.cancelled = [request_switch = x.cancellation] { return request_switch->cancelled(); };
  if (x.stream) {
    Relay::Parts parts{.pipeline = *this,
                       .route = x.route,
                       .session = {},
                       .connection = x.connection,
                       .who = x.who,
                       .generation = x.generation,
                       .stream = x.stream,
                       .progress_token = {}};
    if (is_own) parts.session = x.session;
    if (x.params.progress_token) {
      if (is_own) {
        request.progress_key = mcp::id_key(*x.params.progress_token);
      } else {
        request.progress_key = "n" + std::to_string(x.upstream_request);
        parts.progress_token = x.params.progress_token->source();
      }
    }
    relay = std::make_shared<Relay>(std::move(parts));
    request.events = relay;
  }
  auto asking = x.connection->request(x.loop, std::move(request));
  auto reply = co_await asking;
  if (relay) x.events = relay->close();
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

// --- the way back
// -----------------------------------------------------------------------------------

void Pipeline::filter_list(Exchange& x) const {
  const auto shape = x.method ? mcp::list_shape(*x.method) : std::nullopt;
  if (!shape || x.status != "result" || !x.reply) return;
  const Question list = question_of(x, 0);
  const auto keep = [&](std::string_view key) {
    if (x.method == Method::tasks_list) {
      return tasks_.tool_of(x.upstream(), key, x.who->principal.session).has_value();
    }
    return judge_listed(x.generation->roles, list, key).allowed();
  };
  auto filtered = mcp::filter_list(*x.reply->result, *shape, keep);
  if (filtered) {
    x.result = std::move(filtered->result);
    return;
  }
  x.status = "failed";
  x.failure = std::move(filtered).error();
  x.result.clear();
}

void Pipeline::keep_task(Exchange& x) {
  if (x.method != Method::tools_call || !x.params.as_task || !x.reply || x.status != "result") {
    return;
  }
  if (const auto task = mcp::created_task(*x.reply->result)) {
    tasks_.add(x.upstream(), *task, x.who->principal.session, x.params.name);
  }
}

Task<void> Pipeline::record_outcome(Exchange& x) {
  parts_.meters.ended(x.upstream(), "client", x.status);
  if (x.outcome_recorded) co_return;
  std::vector<ledger::Leaf> leaves;
  leaves.push_back(outcome_leaf(x));
  const std::optional<Result<void>> durable = co_await append(x.loop, std::move(leaves));
  x.outcome_recorded = true;
  x.times.mark("record_outcome", parts_.clock.monotonic());
  for (const auto& [stage, spent] : x.times.spent()) parts_.meters.stage(stage, spent);
  if (durable && *durable) co_return;
  if (!durable) {  // it may become durable yet, and must not stand there as if the answer had left
    ledger::Leaf withheld;
    withheld.kind = ledger::LeafKind::notice;
    withheld.call = x.call_id;
    withheld.event = "answer_withheld";
    withheld.reason = name(Code::outcome_unrecorded);
    std::vector<ledger::Leaf> notice;
    notice.push_back(std::move(withheld));
    parts_.ledger.append(std::move(notice), [](const Result<void>&) {});
  }
  x.failure = error_of(Code::outcome_unrecorded);
}

Answer Pipeline::answer(const Exchange& x) {
  Answer out{.message = {},
             .verdict = x.judgement.verdict,
             .failure = std::nullopt,
             .is_result = false,
             .as_stream = false};
  mcp::Denial denial;
  denial.call_id = x.call_id;
  if (!x.allowed()) {
    const Verdict& verdict = x.judgement.verdict;
    denial.reason = verdict.reason;
    denial.text = verdict.text;
    denial.rules = verdict.rules;
    denial.at = verdict.at;
    if (verdict.reason == Code::method_not_supported) denial.rpc_code = mcp::kMethodNotFound;
    if (verdict.reason == Code::mcp_params || verdict.reason == Code::task_unknown) {
      denial.rpc_code = mcp::kInvalidParams;
    }
    out.message = mcp::write_denial(x.message.id, denial);
  } else if (x.failure) {
    denial.reason = x.failure->code;
    denial.text = x.failure->message;
    out.failure = x.failure->code;
    out.message = mcp::write_denial(x.message.id, denial);
  } else if (!x.error.empty()) {
    out.message = mcp::write_error(x.message.id, x.error);
  } else {
    out.is_result = true;
    out.as_stream = x.server && x.server->streamed && x.stream;
    if (out.as_stream && x.server->retry_ms) x.stream->set_retry(*x.server->retry_ms);
    out.message = mcp::write_result(x.message.id, x.result);
  }
  return out;
}

// --- the record
// -------------------------------------------------------------------------------------

ledger::Leaf Pipeline::decision_leaf(const Exchange& x) const {
  ledger::Leaf leaf;
  leaf.kind = ledger::LeafKind::decision;
  leaf.call = x.call_id;
  leaf.generation = x.generation->digest;
  name_principal(leaf, x.who.get());
  leaf.peer = x.peer;
  leaf.transport = x.transport;
  leaf.method = x.message.method;
  leaf.upstream = x.upstream();
  leaf.request_bytes = x.message.document.text().size();
  if (x.method && is_tool_call(*x.method)) leaf.tool = x.params.name;
  if (!x.task_tool.empty()) leaf.tool = x.task_tool;
  if (names_a_prompt(x)) leaf.prompt = x.params.name;
  if (!x.params.uri.empty()) {
    ledger::ResourceTrace trace = ledger::trace_resource(x.params.uri, parts_.argument_key);
    leaf.resource_scheme = std::move(trace.scheme);
    leaf.resource_host = std::move(trace.host);
    leaf.resource_digest = std::move(trace.digest);
  }
  // What a closed constraint refuses may have any name, and names are the caller's own.
  if (x.params.arguments && x.judgement.verdict.reason != Code::constraint_closed) {
    ledger::ArgumentSummary summary =
        ledger::summarize_arguments(*x.params.arguments, parts_.argument_key);
    leaf.arguments = std::move(summary.arguments);
    leaf.arguments_more = summary.more;
  }
  leaf.verdict = to_string(x.judgement.verdict.decision);
  leaf.reason = x.judgement.verdict.reason_name();
  leaf.stage = x.judgement.stage;
  leaf.at = recordable_place(x);
  leaf.rules = x.judgement.verdict.rules;
  leaf.forward_sha256 = x.forward_digest;
  return leaf;
}

ledger::Leaf Pipeline::outcome_leaf(const Exchange& x) const {
  ledger::Leaf leaf;
  leaf.kind = ledger::LeafKind::outcome;
  leaf.call = x.call_id;
  leaf.upstream = x.upstream();
  if (x.method && is_tool_call(*x.method)) leaf.tool = x.params.name;
  if (!x.task_tool.empty()) leaf.tool = x.task_tool;
  if (names_a_prompt(x)) leaf.prompt = x.params.name;
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
      std::chrono::duration_cast<std::chrono::microseconds>(parts_.clock.monotonic() - x.began)
          .count());
  for (const auto& [stage, spent] : x.times.spent()) {
    leaf.stages_us.emplace_back(stage, static_cast<std::uint64_t>(spent.count()));
  }
  leaf.progress_events = x.events.events;
  leaf.progress_bytes = x.events.bytes;
  if (x.events.events != 0) leaf.progress_sha256 = crypto::sha256_hex(x.events.digests);
  return leaf;
}

}  // namespace zwinger::gateway
