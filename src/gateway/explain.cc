#include "gateway/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "gateway/stages.h"
#include "mcp/params.h"
#include "mcp/revision.h"

namespace zwinger::gateway {

namespace {

using grant::Rule;
using grant::Scope;
using mcp::Method;

constexpr std::array<std::string_view, 5> kStages = {"identity", "route", "protocol", "grant",
                                                     "state"};
constexpr std::string_view kCountPrefix = "calls/";

Rule note(std::string_view member, std::string text) {
  return {.whose = {},
          .member = std::string(member),
          .text = std::move(text),
          .verdict = Verdict::allow(),
          .is_part = true};
}

Rule rule(std::string_view member, std::string text, Verdict verdict) {
  return {.whose = {},
          .member = std::string(member),
          .text = std::move(text),
          .verdict = std::move(verdict),
          .is_part = false};
}

// --- who, where, what
// ---------------------------------------------------------------------------------------

void explain_identity(StageReport& out, const OfflineExchange& asked) {
  if (!asked.who) {
    out.looked_at = asked.proof;
    out.rules.push_back(rule("token", asked.who.error().message, Verdict::deny(asked.who.error())));
    return;
  }
  const identity::Principal& principal = (*asked.who)->principal;
  out.looked_at = fmt::format("{}, {}", principal.subject, asked.proof);
  for (const std::string& actor : principal.actors) {
    out.rules.push_back(note("act", fmt::format("{} acts for {}", actor, principal.subject)));
  }
  Verdict valid = Verdict::allow();
  if (const auto time = identity::check_time(principal, asked.now); !time) {
    valid = principal.proof == identity::Proof::local_grant ? Verdict::deny(Code::grant_expired)
                                                            : Verdict::deny(time.error());
  }
  const std::string from =
      principal.not_before > 0 ? fmt::format("from {} ", principal.not_before) : std::string();
  out.rules.push_back(rule("time",
                           fmt::format("valid {}until {}, asked for {} (Unix seconds)", from,
                                       principal.expires, asked.now),
                           std::move(valid)));
}

void explain_route(StageReport& out, const OfflineExchange& asked) {
  out.looked_at = fmt::format("upstream {}", asked.upstream);
  if (asked.vertical) {
    out.rules.push_back(
        rule("upstream", fmt::format("its vertical is {}", *asked.vertical), Verdict::allow()));
  } else {
    out.rules.push_back(rule("upstream", "the policy has no upstream of this id",
                             Verdict::deny(Code::upstream_unknown)));
  }
}

bool is_about_a_task(Method method) {
  return method == Method::tasks_get || method == Method::tasks_result ||
         method == Method::tasks_cancel;
}

// What the pipeline's first stage reads; nothing of it where the stage denies.
struct Read {
  Method method = Method::ping;
  mcp::RequestParams params;
};
std::optional<Read> explain_protocol(StageReport& out, const OfflineExchange& asked) {
  out.looked_at = asked.method;
  const auto method = mcp::parse_client_method(asked.method);
  if (!method) {
    out.rules.push_back(rule("method", "no client's request of this method is passed on",
                             Verdict::deny(Code::method_not_supported)));
    return std::nullopt;
  }
  auto params = mcp::read_request_params(*method, asked.params);
  if (!params) {
    out.rules.push_back(rule("params", params.error().message, Verdict::deny(params.error())));
    return std::nullopt;
  }
  out.rules.push_back(rule("params", "have the shape that the method demands", Verdict::allow()));
  if (is_about_a_task(*method)) {
    out.rules.push_back(
        note("task", fmt::format("taken to run {}/{}", asked.upstream, asked.task_tool)));
  }
  return Read{.method = *method, .params = *std::move(params)};
}

Question question_of(const OfflineExchange& asked, const Read& read) {
  Question question;
  question.who = asked.who ? asked.who->get() : nullptr;
  question.method = read.method;
  question.upstream = asked.upstream;
  question.vertical = *asked.vertical;
  question.name = is_about_a_task(read.method) ? asked.task_tool : read.params.name;
  question.uri = read.params.uri;
  question.arguments = read.params.arguments;
  question.now = asked.now;
  return question;
}

// --- the grant
// ---------------------------------------------------------------------------------------

std::vector<grant::Source> chain_of(json::Value claims) {
  std::vector<grant::Source> out;
  std::string where;
  for (std::optional<json::Value> party = claims; party && party->is_object();
       party = party->find("act")) {
    if (const auto atr = party->find("atr"); atr && !atr->is_null()) {
      out.push_back({.where = where + "atr", .atr = *atr});
    }
    where += "act/";
  }
  return out;
}

// `second` behind `first`; each grant's role is told once.
std::vector<Rule> behind(std::vector<Rule> first, std::vector<Rule> second) {
  std::erase_if(second, [](const Rule& each) { return each.member == "role"; });
  std::ranges::move(second, std::back_inserter(first));
  return first;
}

std::vector<Rule> explain_target(const grant::Explainer& grants, const Question& q) {
  if (!q.uri.empty()) {
    return grants.evaluate_resource({.upstream = q.upstream, .uri = q.uri, .vertical = q.vertical});
  }
  if (q.method == Method::prompts_get || q.method == Method::completion_complete) {
    return grants.evaluate_prompt({.upstream = q.upstream, .name = q.name, .vertical = q.vertical});
  }
  return grants.evaluate_tool({.upstream = q.upstream, .tool = q.name, .vertical = q.vertical});
}

std::optional<Scope> scope_of(Method method) {
  switch (method) {
    case Method::tools_list:
      return Scope::tools_list;
    case Method::tasks_list:
    case Method::tasks_get:
    case Method::tasks_result:
    case Method::tasks_cancel:
      return Scope::tools_call;
    case Method::resources_list:
    case Method::resources_templates_list:
      return Scope::resources_list;
    case Method::resources_read:
      return Scope::resources_read;
    case Method::resources_subscribe:
    case Method::resources_unsubscribe:
      return Scope::resources_subscribe;
    case Method::prompts_list:
      return Scope::prompts_list;
    case Method::prompts_get:
      return Scope::prompts_get;
    case Method::completion_complete:
      return Scope::completion;
    default:
      return std::nullopt;
  }
}

bool lists_something(Method method) {
  return method == Method::tools_list || method == Method::resources_list ||
         method == Method::resources_templates_list || method == Method::prompts_list ||
         method == Method::tasks_list;
}

bool names_nothing(Method method) {
  return method == Method::initialize || method == Method::ping || lists_something(method);
}

// Whether something of the upstream may be reached decides nothing here, only who answers.
std::vector<Rule> explain_reach(const grant::Explainer& grants, const Question& q) {
  std::vector<Rule> out = grants.evaluate_upstream(q.upstream, q.vertical);
  const bool reaches = grant::conclusion(out).allowed();
  std::erase_if(out, [](const Rule& each) { return each.member == "role"; });
  for (Rule& each : out) each.is_part = true;
  std::string text = reaches ? "the upstream is asked" : "the gateway answers, not the upstream";
  if (reaches && lists_something(q.method)) {
    text += "; entries that a call, read or get could not reach are left out of its list";
  }
  out.push_back(note("answer", std::move(text)));
  return out;
}

// The rules that stages.cc asks for this method, in its order.
std::vector<Rule> rules_of(const grant::Explainer& grants, const Question& q) {
  if (q.method == Method::tools_call) {
    return grants.evaluate_call({.upstream = q.upstream, .tool = q.name, .vertical = q.vertical},
                                q.arguments);
  }
  if (q.method == Method::logging_set_level) {
    return grants.evaluate_upstream(q.upstream, q.vertical);
  }
  std::vector<Rule> rules;
  if (const auto scope = scope_of(q.method)) rules = grants.evaluate_scope(*scope);
  if (!names_nothing(q.method)) return behind(std::move(rules), explain_target(grants, q));
  if (rules.empty()) {
    rules.push_back(
        rule("method", fmt::format("{} needs no scope", to_string(q.method)), Verdict::allow()));
  }
  if (!grant::conclusion(rules).allowed()) return rules;
  return behind(std::move(rules), explain_reach(grants, q));
}

std::string target_of(const Question& q) {
  const std::string_view item = q.uri.empty() ? q.name : q.uri;
  return item.empty() ? std::string(q.upstream) : fmt::format("{}/{}", q.upstream, item);
}

bool same(const Verdict& a, const Verdict& b) {
  return a.decision == b.decision && (a.allowed() || (a.reason == b.reason && a.at == b.at));
}

Judgement explain_grant(StageReport& out, const grant::RoleTable& roles,
                        const OfflineExchange& asked, const Question& question) {
  out.looked_at = target_of(question);
  Judgement judgement = judge(roles, question);
  const auto& grant = question.who->grant;
  if (!grant) {
    out.rules.push_back(rule("atr", grant.error().message, Verdict::deny(grant.error())));
  } else {
    const std::vector<grant::Source> chain =
        asked.claims ? chain_of(*asked.claims) : std::vector<grant::Source>{};
    const auto grants = grant::Explainer::compile(roles, chain);
    if (grants) {
      out.rules = rules_of(*grants, question);
    } else {
      out.rules.push_back(rule("atr", grants.error().message, Verdict::deny(grants.error())));
    }
  }
  if (!same(judgement.verdict, grant::conclusion(out.rules))) {
    judgement.verdict = Verdict::deny(
        Code::internal, {},
        fmt::format("The rules explain another verdict than the one that was reached ({}).",
                    judgement.verdict.reason_name()));
  }
  return judgement;
}

// --- what would be counted
// ---------------------------------------------------------------------------------------

// A counter's key without its session: the tool glob of a constraint, or {budget}.
std::string_view counted(std::string_view key) {
  key.remove_prefix(std::min(key.size(), kCountPrefix.size()));
  const std::size_t slash = key.find('/');
  return slash == std::string_view::npos ? key : key.substr(slash + 1);
}

void explain_state(StageReport& out, const Judgement& judgement,
                   const identity::Principal& principal) {
  out.looked_at = fmt::format("session {}", principal.session);
  if (!judgement.must_reserve) {
    out.rules.push_back(note("counts", "nothing is counted for this"));
    return;
  }
  const state::Reservation& reservation = *judgement.must_reserve;
  if (reservation.session_ttl) {
    out.rules.push_back(
        note("age", fmt::format("the session may be {} seconds old, then it is {}",
                                *reservation.session_ttl, name(reservation.session_refusal))));
  }
  for (const state::Reservation::Count& count : reservation.counts) {
    out.rules.push_back(
        note("count", fmt::format("{}: one more of at most {}, then it is {}", counted(count.key),
                                  count.limit, name(count.refusal))));
  }
  out.rules.push_back(
      note("counts", "what the session has used so far is not known here, so nothing is refused"));
}

class Explaining {
 public:
  Explaining() {
    for (const std::string_view stage : kStages) {
      out_.stages.push_back({.stage = stage,
                             .reached = false,
                             .verdict = Verdict::deny(Code::internal),
                             .looked_at = {},
                             .rules = {}});
    }
    out_.verdict = Verdict::deny(Code::internal);
    out_.stage = "none";
  }

  StageReport& begin() {
    StageReport& report = out_.stages.at(next_++);
    report.reached = true;
    return report;
  }
  // Whether the exchange goes on behind this stage.
  bool end(StageReport& report, Verdict verdict) {
    report.verdict = verdict;
    out_.verdict = std::move(verdict);
    if (!out_.verdict.allowed() || report.stage == "grant") out_.stage = report.stage;
    return out_.verdict.allowed();
  }
  bool end(StageReport& report) { return end(report, grant::conclusion(report.rules)); }
  Explanation take() && { return std::move(out_); }

 private:
  Explanation out_;
  std::size_t next_ = 0;
};

}  // namespace

Explanation explain(const grant::RoleTable& roles, const OfflineExchange& asked) {
  Explaining explaining;
  StageReport& identity = explaining.begin();
  explain_identity(identity, asked);
  if (!explaining.end(identity)) return std::move(explaining).take();

  StageReport& route = explaining.begin();
  explain_route(route, asked);
  if (!explaining.end(route)) return std::move(explaining).take();

  StageReport& protocol = explaining.begin();
  const std::optional<Read> read = explain_protocol(protocol, asked);
  if (!explaining.end(protocol) || !read) return std::move(explaining).take();

  StageReport& grant = explaining.begin();
  const Judgement judgement = explain_grant(grant, roles, asked, question_of(asked, *read));
  if (!explaining.end(grant, judgement.verdict)) return std::move(explaining).take();

  StageReport& state = explaining.begin();
  explain_state(state, judgement, (*asked.who)->principal);
  (void)explaining.end(state);
  return std::move(explaining).take();
}

}  // namespace zwinger::gateway
