#include "grant/grant.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "grant/claims.h"
#include "grant/uri.h"
#include "text/unicode.h"

namespace zwinger::grant {

namespace {

constexpr std::array<std::string_view, 9> kScopeNames = {
    "tools:list",   "tools:call",  "resources:list", "resources:read", "resources:subscribe",
    "prompts:list", "prompts:get", "completion",     "sandbox:exec"};

// Keys of counts that no tool glob can be.
constexpr std::string_view kBudgetKey = "{budget}";
constexpr std::string_view kAncestorPrefix = "{act}";

}  // namespace

std::string_view to_string(Scope scope) { return kScopeNames.at(static_cast<std::size_t>(scope)); }

std::optional<Scope> parse_scope(std::string_view text) {
  const auto* found = std::ranges::find(kScopeNames, text);
  if (found == kScopeNames.end()) return std::nullopt;
  return static_cast<Scope>(found - kScopeNames.begin());
}

Result<text::Glob> parse_tool_glob(std::string_view pattern) {
  ZWINGER_TRY(text::Glob glob, text::Glob::parse(pattern));
  if (!pattern.contains('/')) {
    return fail(Code::policy_value, "a tool glob has the form upstream/tool, for example bank/*");
  }
  return glob;
}

const Role* RoleTable::find(std::string_view name) const {
  const auto found = roles_.find(name);
  return found == roles_.end() ? nullptr : &found->second;
}

Grant::Grant(std::unique_ptr<const Claims> claims) : claims_(std::move(claims)) {}
Grant::Grant(Grant&&) noexcept = default;
Grant& Grant::operator=(Grant&&) noexcept = default;
Grant::~Grant() = default;

Result<Grant> Grant::compile(json::Value atr) {
  ZWINGER_TRY(Claims claims, read_atr(atr));
  return Grant(std::make_unique<const Claims>(std::move(claims)));
}

Result<Grant> Grant::delegated_by(std::shared_ptr<const Grant> delegator) && {
  if (!delegator || delegator_) return fail(Code::internal, "a grant has one delegator");
  if (delegator->tenant() != tenant()) {
    return fail(Code::grant_invalid, "the grant's tenant is not that of the grant it comes from",
                "/tenantId");
  }
  delegator_ = std::move(delegator);
  return std::move(*this);
}

const std::string& Grant::subject() const { return claims_->subject; }
const std::string& Grant::role() const { return claims_->role; }
const std::string& Grant::tenant() const { return claims_->tenant; }
const std::string& Grant::actor_type() const { return claims_->actor_type; }
const std::string& Grant::task_id() const { return claims_->task_id; }
const std::string& Grant::session_id() const { return claims_->session_id; }

std::optional<SessionLimit> Grant::session_limit() const {
  std::optional<SessionLimit> strictest;
  const auto consider = [&strictest](const SessionLimit& limit) {
    if (!strictest || limit.seconds < strictest->seconds) strictest = limit;
  };
  if (const auto ttl = claims_->session_ttl) consider({*ttl, Code::session_expired});
  if (const auto time = claims_->budget.max_seconds) consider({*time, Code::budget_time});
  if (delegator_) {
    if (const auto limit = delegator_->session_limit()) consider(*limit);
  }
  return strictest;
}

std::optional<std::int64_t> Grant::session_ttl() const {
  const auto limit = session_limit();
  return limit ? std::optional(limit->seconds) : std::nullopt;
}

std::optional<std::int64_t> Grant::issued_at() const {
  // An absent time is less than any.
  return delegator_ ? std::max(claims_->issued_at, delegator_->issued_at()) : claims_->issued_at;
}

std::optional<std::int64_t> Grant::expires_at() const {
  const auto theirs = delegator_ ? delegator_->expires_at() : std::nullopt;
  if (!theirs || !claims_->expires_at) return theirs ? theirs : claims_->expires_at;
  return std::min(*claims_->expires_at, *theirs);
}

// --- evaluate
// ---------------------------------------------------------------------------------------

namespace {

// The role as a limit of its own: nothing where roles do not restrict, role_unknown where the
// policy does not define it.
Result<const Role*> restricting_role(const RoleTable& roles, const Claims& claims) {
  if (roles.unrestricted()) return nullptr;
  const Role* role = claims.role.empty() ? nullptr : roles.find(claims.role);
  if (role == nullptr) return fail(Code::role_unknown, std::string(info(Code::role_unknown).text));
  return role;
}

bool lists(const std::vector<std::string>& verticals, std::string_view vertical) {
  return std::ranges::find(verticals, vertical) != verticals.end();
}

bool is_elevated(const Claims& claims) {
  return claims.cross_vertical && !text::is_blank(claims.cross_vertical_purpose);
}

std::optional<Code> refuse_vertical(const Claims& claims, const Role* role,
                                    std::string_view vertical) {
  if (vertical == kSharedVertical) return std::nullopt;
  if (!lists(claims.verticals, vertical) ||
      (role != nullptr && !lists(role->verticals, vertical))) {
    return Code::vertical_denied;
  }
  if (vertical != claims.verticals.front() && !is_elevated(claims)) return Code::vertical_elevation;
  return std::nullopt;
}

// A scope of ClawQL names tools itself; a list of tools beside it only narrows it.
bool is_tool_in_scope(const Claims& claims, const std::string& identity) {
  const auto& named = claims.scope.only_tools;
  const auto& listed = claims.tools_in_scope;
  return (named || listed) && (!named || any_matches(*named, identity)) &&
         (!listed || any_matches(*listed, identity));
}

// The first reason why no call can reach the tool; nothing where some call can.
std::optional<Code> refuse_tool(const Claims& claims, const Role* role, const std::string& identity,
                                std::string_view vertical) {
  if (any_matches(claims.tools_out_of_scope, identity) ||
      (role != nullptr && any_matches(role->tools_out_of_scope, identity))) {
    return Code::tool_out_of_scope;
  }
  if (!is_tool_in_scope(claims, identity) ||
      (role != nullptr && !any_matches(role->tools_in_scope, identity))) {
    return Code::tool_not_in_scope;
  }
  return refuse_vertical(claims, role, vertical);
}

std::optional<Code> refuse_resource(const Claims& claims, const Role* role,
                                    const ResourceRef& resource) {
  if (!any_matches(claims.resources_in_scope, resource.upstream, resource.uri) ||
      (role != nullptr &&
       !any_matches(role->resources_in_scope, resource.upstream, resource.uri))) {
    return Code::resource_not_in_scope;
  }
  return refuse_vertical(claims, role, resource.vertical);
}

std::optional<Code> refuse_prompt(const Claims& claims, const Role* role,
                                  const std::string& identity, std::string_view vertical) {
  if (!any_matches(claims.prompts_in_scope, identity) ||
      (role != nullptr && !any_matches(role->prompts_in_scope, identity))) {
    return Code::prompt_not_in_scope;
  }
  return refuse_vertical(claims, role, vertical);
}

bool may_match(const std::vector<text::Glob>& globs, std::string_view upstream) {
  return std::ranges::any_of(
      globs, [upstream](const text::Glob& glob) { return glob.first_segment_matches(upstream); });
}

bool may_match(const std::vector<ResourceGlob>& globs, std::string_view upstream) {
  return std::ranges::any_of(
      globs, [upstream](const ResourceGlob& glob) { return glob.may_match(upstream); });
}

bool may_reach_a_tool(const Claims& claims, const Role* role, std::string_view upstream) {
  const auto& named = claims.scope.only_tools;
  const auto& listed = claims.tools_in_scope;
  return (named || listed) && (!named || may_match(*named, upstream)) &&
         (!listed || may_match(*listed, upstream)) &&
         (role == nullptr || may_match(role->tools_in_scope, upstream));
}

// The first reason why nothing of the upstream can be reached; nothing where something might be.
// Out of scope is not asked: no glob speaks of every tool, for a tool's name may hold slashes.
std::optional<Code> refuse_upstream(const Claims& claims, const Role* role,
                                    std::string_view upstream, std::string_view vertical) {
  const bool some_resource = may_match(claims.resources_in_scope, upstream) &&
                             (role == nullptr || may_match(role->resources_in_scope, upstream));
  const bool some_prompt = may_match(claims.prompts_in_scope, upstream) &&
                           (role == nullptr || may_match(role->prompts_in_scope, upstream));
  if (!some_resource && !some_prompt && !may_reach_a_tool(claims, role, upstream)) {
    return Code::tool_not_in_scope;
  }
  return refuse_vertical(claims, role, vertical);
}

std::string identity_of(std::string_view upstream, std::string_view name) {
  return fmt::format("{}/{}", upstream, name);
}

}  // namespace

Verdict Grant::own_scope(const RoleTable& roles, Scope scope) const {
  const Claims& claims = *claims_;
  const auto role = restricting_role(roles, claims);
  if (!role) return Verdict::deny(role.error());
  const auto holds = [scope](const std::vector<Scope>& scopes) {
    return std::ranges::find(scopes, scope) != scopes.end();
  };
  if (!holds(claims.scope.methods)) {
    return Verdict::deny(Code::scope_missing, {},
                         fmt::format("The grant lacks the scope {}.", to_string(scope)));
  }
  if (*role != nullptr && !holds((*role)->scope)) {
    return Verdict::deny(Code::scope_missing, {},
                         fmt::format("The role lacks the scope {}.", to_string(scope)));
  }
  return Verdict::allow();
}

Verdict Grant::own_tool(const RoleTable& roles, const ToolRef& tool) const {
  const Claims& claims = *claims_;
  std::string identity = identity_of(tool.upstream, tool.tool);
  const auto role = restricting_role(roles, claims);
  if (!role) return Verdict::deny(role.error().code, std::move(identity));
  if (const auto reason = refuse_tool(claims, *role, identity, tool.vertical)) {
    return Verdict::deny(*reason, std::move(identity));
  }
  return Verdict::allow();
}

Verdict Grant::own_upstream(const RoleTable& roles, std::string_view upstream,
                            std::string_view vertical) const {
  const Claims& claims = *claims_;
  const auto role = restricting_role(roles, claims);
  if (!role) return Verdict::deny(role.error().code, std::string(upstream));
  if (const auto reason = refuse_upstream(claims, *role, upstream, vertical)) {
    return Verdict::deny(*reason, std::string(upstream));
  }
  return Verdict::allow();
}

Verdict Grant::own_resource(const RoleTable& roles, const ResourceRef& resource) const {
  const bool plain = is_plain_uri(resource.uri);
  // What is odd is not repeated: it may be long, or unfit for a terminal.
  std::string at =
      plain ? identity_of(resource.upstream, resource.uri) : std::string(resource.upstream);
  const auto role = restricting_role(roles, *claims_);
  if (!role) return Verdict::deny(role.error().code, std::move(at));
  if (!plain) {
    return Verdict::deny(Code::resource_not_in_scope, std::move(at),
                         "The URI is not absolute, or could be read as another one.");
  }
  if (const auto reason = refuse_resource(*claims_, *role, resource)) {
    return Verdict::deny(*reason, std::move(at));
  }
  return Verdict::allow();
}

Verdict Grant::own_prompt(const RoleTable& roles, const PromptRef& prompt) const {
  std::string identity = identity_of(prompt.upstream, prompt.name);
  const auto role = restricting_role(roles, *claims_);
  if (!role) return Verdict::deny(role.error().code, std::move(identity));
  if (const auto reason = refuse_prompt(*claims_, *role, identity, prompt.vertical)) {
    return Verdict::deny(*reason, std::move(identity));
  }
  return Verdict::allow();
}

CallDecision Grant::own_call(const RoleTable& roles, const ToolRef& tool,
                             std::optional<json::Value> arguments) const {
  const std::string identity = identity_of(tool.upstream, tool.tool);
  CallDecision decision{.verdict = own_scope(roles, Scope::tools_call), .counters = {}};
  if (!decision.verdict.allowed()) {
    decision.verdict.at = identity;
    return decision;
  }
  decision.verdict = own_tool(roles, tool);
  for (const ConstraintEntry& entry : claims_->constraints) {
    if (!decision.verdict.allowed()) break;
    if (!entry.tools.matches(identity)) continue;
    decision.verdict = entry.arguments.evaluate(arguments);
    if (entry.max_calls) {
      decision.counters.push_back({entry.tools.pattern(), *entry.max_calls, Code::max_calls});
    }
  }
  if (const auto limit = claims_->budget.max_calls) {
    decision.counters.push_back({std::string(kBudgetKey), *limit, Code::budget_calls});
  }
  if (!decision.verdict.allowed()) decision.counters.clear();
  return decision;
}

// --- the chain of delegation
// ---------------------------------------------------------------------------------------

Verdict Grant::evaluate_scope(const RoleTable& roles, Scope scope) const {
  Verdict verdict = own_scope(roles, scope);
  if (!delegator_ || !verdict.allowed()) return verdict;
  return delegator_->evaluate_scope(roles, scope);
}

Verdict Grant::evaluate_tool(const RoleTable& roles, const ToolRef& tool) const {
  Verdict verdict = own_tool(roles, tool);
  if (!delegator_ || !verdict.allowed()) return verdict;
  return delegator_->evaluate_tool(roles, tool);
}

Verdict Grant::evaluate_resource(const RoleTable& roles, const ResourceRef& resource) const {
  Verdict verdict = own_resource(roles, resource);
  if (!delegator_ || !verdict.allowed()) return verdict;
  return delegator_->evaluate_resource(roles, resource);
}

Verdict Grant::evaluate_prompt(const RoleTable& roles, const PromptRef& prompt) const {
  Verdict verdict = own_prompt(roles, prompt);
  if (!delegator_ || !verdict.allowed()) return verdict;
  return delegator_->evaluate_prompt(roles, prompt);
}

Verdict Grant::evaluate_upstream(const RoleTable& roles, std::string_view upstream,
                                 std::string_view vertical) const {
  Verdict verdict = own_upstream(roles, upstream, vertical);
  if (!delegator_ || !verdict.allowed()) return verdict;
  return delegator_->evaluate_upstream(roles, upstream, vertical);
}

CallDecision Grant::evaluate_call(const RoleTable& roles, const ToolRef& tool,
                                  std::optional<json::Value> arguments) const {
  CallDecision decision = own_call(roles, tool, arguments);
  if (!delegator_ || !decision.verdict.allowed()) return decision;
  CallDecision theirs = delegator_->evaluate_call(roles, tool, arguments);
  if (!theirs.verdict.allowed()) return theirs;
  for (Counter& counter : theirs.counters) {
    counter.key.insert(0, kAncestorPrefix);
    decision.counters.push_back(std::move(counter));
  }
  return decision;
}

}  // namespace zwinger::grant
