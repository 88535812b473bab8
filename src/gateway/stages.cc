#include "gateway/stages.h"

#include <utility>

namespace zwinger::gateway {

namespace {

Judgement deny(std::string_view stage, Verdict verdict) {
  return {.verdict = std::move(verdict),
          .stage = stage,
          .reaches_upstream = false,
          .must_reserve = std::nullopt};
}

state::Reservation reservation_for(const Question& question, const grant::Grant& grant,
                                   const std::vector<grant::Counter>& counters) {
  const std::string& session = question.who->principal.session;
  state::Reservation out;
  out.now = question.now;
  for (const grant::Counter& counter : counters) {
    out.counts.push_back({.key = "calls/" + session + "/" + counter.key, .limit = counter.limit});
  }
  if (grant.session_ttl()) {
    out.session_key = "session/" + session;
    out.session_ttl = grant.session_ttl();
  }
  return out;
}

}  // namespace

Judgement judge(const grant::RoleTable& roles, const Question& question) {
  if (question.who == nullptr) return deny("identity", Verdict::deny(Code::grant_missing));
  const identity::Principal& principal = question.who->principal;
  if (const auto valid = identity::check_time(principal, question.now); !valid) {
    const bool is_local = principal.proof == identity::Proof::local_grant;
    return deny("identity",
                is_local ? Verdict::deny(Code::grant_expired) : Verdict::deny(valid.error()));
  }
  if (!question.who->grant) return deny("grant", Verdict::deny(question.who->grant.error()));
  const grant::Grant& grant = **question.who->grant;

  Verdict verdict = Verdict::allow();
  std::vector<grant::Counter> counters;
  switch (question.operation) {
    case Operation::initialize:
    case Operation::ping:
      break;
    case Operation::list_tools:
      verdict = grant.evaluate_scope(roles, grant::Scope::tools_list);
      break;
    case Operation::call_tool: {
      grant::CallDecision decision = grant.evaluate_call(roles, question.tool, question.arguments);
      verdict = std::move(decision.verdict);
      counters = std::move(decision.counters);
      break;
    }
  }
  if (!verdict.allowed()) return deny("grant", std::move(verdict));

  const bool reaches =  // an allowed call reaches it by what was just evaluated
      question.operation == Operation::call_tool ||
      grant.evaluate_upstream(roles, question.tool.upstream, question.tool.vertical).allowed();
  Judgement allowed{.verdict = std::move(verdict),
                    .stage = "grant",
                    .reaches_upstream = reaches,
                    .must_reserve = std::nullopt};
  if (!counters.empty() || grant.session_ttl()) {
    allowed.must_reserve = reservation_for(question, grant, counters);
  }
  return allowed;
}

Verdict judge_listed_tool(const grant::RoleTable& roles, const identity::Authenticated& who,
                          const grant::ToolRef& tool) {
  if (!who.grant) return Verdict::deny(who.grant.error());
  return (*who.grant)->evaluate_tool(roles, tool);
}

}  // namespace zwinger::gateway
