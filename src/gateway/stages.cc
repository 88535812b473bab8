#include "gateway/stages.h"

#include <algorithm>
#include <utility>

#include "text/url.h"

namespace zwinger::gateway {

namespace {

using mcp::Method;

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
    out.counts.push_back({.key = "calls/" + session + "/" + counter.key,
                          .limit = counter.limit,
                          .refusal = counter.refusal});
  }
  if (const auto limit = grant.session_limit()) {
    out.session_key = "session/" + session;
    out.session_ttl = limit->seconds;
    out.session_refusal = limit->refusal;
  }
  return out;
}

// The grant that may be asked, or why there is none.
std::expected<const grant::Grant*, Judgement> usable_grant(const identity::Authenticated* who,
                                                           UnixSeconds now) {
  if (who == nullptr) {
    return std::unexpected(deny("identity", Verdict::deny(Code::grant_missing)));
  }
  if (const auto valid = identity::check_time(who->principal, now); !valid) {
    const bool is_local = who->principal.proof == identity::Proof::local_grant;
    return std::unexpected(deny(
        "identity", is_local ? Verdict::deny(Code::grant_expired) : Verdict::deny(valid.error())));
  }
  if (!who->grant) return std::unexpected(deny("grant", Verdict::deny(who->grant.error())));
  return who->grant->get();
}

grant::ToolRef tool_of(const Question& q) {
  return {.upstream = q.upstream, .tool = q.name, .vertical = q.vertical};
}
grant::PromptRef prompt_of(const Question& q) {
  return {.upstream = q.upstream, .name = q.name, .vertical = q.vertical};
}
grant::ResourceRef resource_of(const Question& q) {
  return {.upstream = q.upstream, .uri = q.uri, .vertical = q.vertical};
}

// The second verdict, where the first allows.
template <class Second>
Verdict both(Verdict first, const Second& second) {
  return first.allowed() ? second() : first;
}

// What an allowed exchange needs; the verdict of tools/call comes with its counters.
Verdict evaluate(const grant::RoleTable& roles, const grant::Grant& grant, const Question& q,
                 std::vector<grant::Counter>& counters) {
  const auto scope = [&](grant::Scope wanted) { return grant.evaluate_scope(roles, wanted); };
  switch (q.method) {
    case Method::initialize:
    case Method::ping:
      return Verdict::allow();
    case Method::logging_set_level:
      return grant.evaluate_upstream(roles, q.upstream, q.vertical);
    case Method::tools_list:
      return scope(grant::Scope::tools_list);
    case Method::tools_call: {
      grant::CallDecision decision = grant.evaluate_call(roles, tool_of(q), q.arguments);
      counters = std::move(decision.counters);
      return std::move(decision.verdict);
    }
    case Method::resources_list:
    case Method::resources_templates_list:
      return scope(grant::Scope::resources_list);
    case Method::resources_read:
      return both(scope(grant::Scope::resources_read),
                  [&] { return grant.evaluate_resource(roles, resource_of(q)); });
    case Method::resources_subscribe:
    case Method::resources_unsubscribe:
      return both(scope(grant::Scope::resources_subscribe),
                  [&] { return grant.evaluate_resource(roles, resource_of(q)); });
    case Method::prompts_list:
      return scope(grant::Scope::prompts_list);
    case Method::prompts_get:
      return both(scope(grant::Scope::prompts_get),
                  [&] { return grant.evaluate_prompt(roles, prompt_of(q)); });
    case Method::completion_complete:
      return both(scope(grant::Scope::completion), [&] {
        return q.uri.empty() ? grant.evaluate_prompt(roles, prompt_of(q))
                             : grant.evaluate_resource(roles, resource_of(q));
      });
    case Method::tasks_list:
      return scope(grant::Scope::tools_call);
    case Method::tasks_get:
    case Method::tasks_result:
    case Method::tasks_cancel:
      return both(scope(grant::Scope::tools_call),
                  [&] { return grant.evaluate_tool(roles, tool_of(q)); });
    case Method::sampling_create_message:
    case Method::roots_list:
    case Method::elicitation_create:
      break;
  }
  return Verdict::deny(Code::method_not_supported);
}

// Whether an allowed exchange of this kind reaches the upstream by what was just evaluated.
bool names_its_target(Method method) {
  switch (method) {
    case Method::initialize:
    case Method::ping:
    case Method::tools_list:
    case Method::resources_list:
    case Method::resources_templates_list:
    case Method::prompts_list:
    case Method::tasks_list:
      return false;
    default:
      return true;
  }
}

std::optional<ServerRequestKind> kind_of(Method method) {
  switch (method) {
    case Method::roots_list:
      return ServerRequestKind::roots;
    case Method::sampling_create_message:
      return ServerRequestKind::sampling;
    case Method::elicitation_create:
      return ServerRequestKind::elicitation;
    default:
      return std::nullopt;
  }
}

// The capability that a client declares to be asked this.
std::string_view capability_for(Method method, const mcp::RequestParams& params) {
  switch (method) {
    case Method::roots_list:
      return "roots";
    case Method::sampling_create_message:
      return "sampling";
    case Method::elicitation_create:
      return params.url.empty() ? "elicitation" : "elicitation.url";
    default:
      return "tasks";
  }
}

// A page that a user may be asked to open: https, or this machine.
bool may_be_opened(std::string_view url) {
  const auto host = text::canonical_url_host(url);
  if (!host) return false;
  return url.starts_with("https://") || *host == "localhost" || *host == "127.0.0.1" ||
         *host == "[::1]";
}

}  // namespace

Judgement judge(const grant::RoleTable& roles, const Question& question) {
  const auto usable = usable_grant(question.who, question.now);
  if (!usable) return usable.error();
  const grant::Grant& grant = **usable;

  std::vector<grant::Counter> counters;
  Verdict verdict = evaluate(roles, grant, question, counters);
  if (!verdict.allowed()) return deny("grant", std::move(verdict));

  const bool reaches =
      names_its_target(question.method) ||
      grant.evaluate_upstream(roles, question.upstream, question.vertical).allowed();
  Judgement allowed{.verdict = std::move(verdict),
                    .stage = "grant",
                    .reaches_upstream = reaches,
                    .must_reserve = std::nullopt};
  if (!counters.empty() || grant.session_limit()) {
    allowed.must_reserve = reservation_for(question, grant, counters);
  }
  return allowed;
}

Verdict judge_listed(const grant::RoleTable& roles, const Question& list, std::string_view key) {
  if (list.who == nullptr) return Verdict::deny(Code::grant_missing);
  if (!list.who->grant) return Verdict::deny(list.who->grant.error());
  const grant::Grant& grant = **list.who->grant;
  Question entry = list;
  entry.name = key;
  entry.uri = key;
  switch (list.method) {
    case Method::tools_list:
      return grant.evaluate_tool(roles, tool_of(entry));
    case Method::prompts_list:
      return grant.evaluate_prompt(roles, prompt_of(entry));
    case Method::resources_list:
    case Method::resources_templates_list:
      return grant.evaluate_resource(roles, resource_of(entry));
    default:
      return Verdict::deny(Code::internal);
  }
}

Judgement judge_server_request(const grant::RoleTable& roles, const ServerQuestion& question,
                               Method method, const mcp::RequestParams& params) {
  const auto usable = usable_grant(question.who, question.now);
  if (!usable) return usable.error();
  Verdict reachable = (*usable)->evaluate_upstream(roles, question.upstream, question.vertical);
  if (!reachable.allowed()) return deny("grant", std::move(reachable));
  const auto kind = kind_of(method);
  if (kind && std::ranges::find(question.may_ask, *kind) == question.may_ask.end()) {
    return deny("policy", Verdict::deny(Code::server_request_denied));
  }
  const std::string_view capability = capability_for(method, params);
  if (!question.capabilities || !mcp::declares(*question.capabilities, capability)) {
    return deny("protocol", Verdict::deny(Code::capability_missing));
  }
  if (!params.url.empty() && !may_be_opened(params.url)) {
    return deny("protocol", Verdict::deny(Code::elicitation_url));
  }
  return {.verdict = Verdict::allow(),
          .stage = "grant",
          .reaches_upstream = true,
          .must_reserve = std::nullopt};
}

Verdict judge_server_notification(const grant::RoleTable& roles, const ServerQuestion& question,
                                  mcp::Notification notification, std::string_view uri) {
  const auto usable = usable_grant(question.who, question.now);
  if (!usable) return usable.error().verdict;
  const grant::Grant& grant = **usable;
  if (notification != mcp::Notification::resources_updated) {
    return grant.evaluate_upstream(roles, question.upstream, question.vertical);
  }
  return both(grant.evaluate_scope(roles, grant::Scope::resources_subscribe), [&] {
    return grant.evaluate_resource(
        roles, {.upstream = question.upstream, .uri = uri, .vertical = question.vertical});
  });
}

Verdict judge_client_notification(const grant::RoleTable& roles, const Question& question) {
  const auto usable = usable_grant(question.who, question.now);
  if (!usable) return usable.error().verdict;
  return (*usable)->evaluate_upstream(roles, question.upstream, question.vertical);
}

}  // namespace zwinger::gateway
