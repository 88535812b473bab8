#include "grant/grant.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "grant/matcher.h"
#include "grant/pointer.h"
#include "grant/read.h"
#include "text/unicode.h"

namespace zwinger::grant {

namespace {

constexpr std::array<std::string_view, 9> kScopeNames = {
    "tools:list",   "tools:call",  "resources:list", "resources:read", "resources:subscribe",
    "prompts:list", "prompts:get", "completion",     "sandbox:exec"};

constexpr std::array<std::string_view, 3> kActorTypes = {"agent", "human", "service"};

struct ConstraintEntry {
  text::Glob tools;
  ArgumentConstraints arguments;
  std::optional<std::uint64_t> max_calls;
};

// What an `atr` claim says. Absent members are empty, and empty grants nothing.
struct Claims {
  std::string actor_type;
  std::string role;
  std::string tenant;
  std::vector<std::string> verticals;  // the first is home
  std::vector<Scope> scope;
  std::vector<text::Glob> tools_in_scope;
  std::vector<text::Glob> tools_out_of_scope;
  std::vector<ConstraintEntry> constraints;  // in source order
  std::string task_id;
  bool cross_vertical = false;
  std::string cross_vertical_purpose;
  std::string session_id;
  std::optional<std::int64_t> session_ttl;
};

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

// --- compile
// ----------------------------------------------------------------------------------------

namespace {

constexpr std::array<std::string_view, 3> kTaskMembers = {"id", "text", "values"};
constexpr std::array<std::string_view, 3> kConstraintMembers = {"args", "closed", "maxCalls"};

Result<text::Glob> read_tool_glob(std::string_view pattern, const std::string& where) {
  auto glob = parse_tool_glob(pattern);
  if (!glob) return fail(Code::grant_invalid, std::move(glob.error().message), where);
  return glob;
}

Result<std::vector<text::Glob>> read_tool_globs(json::Value value, const std::string& where) {
  std::vector<text::Glob> out;
  ZWINGER_CHECK_OK(for_each_string(
      value, where, [&](std::string_view pattern, const std::string& at) -> Result<void> {
        ZWINGER_TRY(text::Glob glob, read_tool_glob(pattern, at));
        out.push_back(std::move(glob));
        return {};
      }));
  return out;
}

Result<std::vector<Scope>> read_scopes(json::Value value, const std::string& where) {
  std::vector<Scope> out;
  ZWINGER_CHECK_OK(for_each_string(
      value, where, [&](std::string_view word, const std::string& at) -> Result<void> {
        const auto scope = parse_scope(word);
        if (!scope) return fail(Code::grant_invalid, "no scope has this name", at);
        out.push_back(*scope);
        return {};
      }));
  return out;
}

// An array of strings, or an object that maps upstreams to such arrays. Checked only: resources and
// prompts are not passed on by this build, so nothing has to be permitted.
Result<void> check_globs_by_upstream(json::Value value, const std::string& where) {
  if (!value.is_object()) {
    ZWINGER_TRY([[maybe_unused]] const auto globs, read_strings(value, where));
    return {};
  }
  for (const json::Value globs : value.children()) {
    ZWINGER_TRY([[maybe_unused]] const auto checked,
                read_strings(globs, child_pointer(where, globs.name())));
  }
  return {};
}

// `task` grants nothing by itself; its id names the session.
Result<std::string> read_task_id(json::Value value, const std::string& where) {
  ZWINGER_CHECK_OK(check_object(value, kTaskMembers, where));
  std::string id;
  for (const json::Value member : value.children()) {
    const std::string at = child_pointer(where, member.name());
    if (member.is_null()) continue;
    if (member.name() == "values") {
      ZWINGER_TRY([[maybe_unused]] const auto values, read_strings(member, at));
    } else {
      ZWINGER_TRY(std::string text, read_string(member, at));
      if (member.name() == "id") id = std::move(text);
    }
  }
  return id;
}

Result<ConstraintEntry> read_constraint_entry(json::Value value, const std::string& where) {
  ZWINGER_TRY(text::Glob tools, read_tool_glob(value.name(), where));
  ZWINGER_CHECK_OK(check_object(value, kConstraintMembers, where));
  bool closed = false;
  if (const auto member = value.find("closed")) {
    ZWINGER_TRY(closed, read_bool(*member, child_pointer(where, "closed")));
  }
  std::optional<std::uint64_t> max_calls;
  if (const auto member = value.find("maxCalls")) {
    ZWINGER_TRY(max_calls, read_integer(*member, 0, child_pointer(where, "maxCalls")));
  }
  ZWINGER_TRY(
      ArgumentConstraints arguments,
      ArgumentConstraints::compile(value.find("args"), closed, child_pointer(where, "args")));
  return ConstraintEntry{
      .tools = std::move(tools), .arguments = std::move(arguments), .max_calls = max_calls};
}

Result<std::vector<ConstraintEntry>> read_constraints(json::Value value, const std::string& where) {
  if (!value.is_object())
    return fail(Code::grant_invalid, "expected an object of tool globs", where);
  std::vector<ConstraintEntry> out;
  for (const json::Value entry : value.children()) {
    ZWINGER_TRY(ConstraintEntry read,
                read_constraint_entry(entry, child_pointer(where, entry.name())));
    out.push_back(std::move(read));
  }
  return out;
}

// --- the table of members
// ---------------------------------------------------------------------------

Result<std::string> read_actor_type(json::Value value, const std::string& where) {
  ZWINGER_TRY(std::string type, read_string(value, where));
  if (std::ranges::find(kActorTypes, type) == kActorTypes.end()) {
    return fail(Code::grant_invalid, "expected agent, human or service", where);
  }
  return type;
}

Result<std::int64_t> read_ttl(json::Value value, const std::string& where) {
  return read_integer(value, 1, where);
}

Result<void> refuse_budget(Claims& /*out*/, json::Value /*value*/, const std::string& where) {
  return fail(Code::grant_unsupported, "this build cannot count budgets yet", where);
}

template <auto Field, auto Reader>
Result<void> into(Claims& out, json::Value value, const std::string& where) {
  ZWINGER_TRY(out.*Field, Reader(value, where));
  return {};
}

template <auto Check>
Result<void> checked(Claims& /*out*/, json::Value value, const std::string& where) {
  auto result = Check(value, where);
  if (!result) return std::unexpected(std::move(result).error());
  return {};
}

// One row a member of `atr`. A member that is null is absent, and its row is not asked.
struct Member {
  std::string_view name;
  Result<void> (*read)(Claims& out, json::Value value, const std::string& where);
};
constexpr std::array<Member, 17> kMembers = {{
    {"actorType", into<&Claims::actor_type, read_actor_type>},
    {"role", into<&Claims::role, read_string>},
    {"tenantId", into<&Claims::tenant, read_string>},
    {"verticals", into<&Claims::verticals, read_strings>},
    {"scope", into<&Claims::scope, read_scopes>},
    {"toolsInScope", into<&Claims::tools_in_scope, read_tool_globs>},
    {"toolsOutOfScope", into<&Claims::tools_out_of_scope, read_tool_globs>},
    {"resourcesInScope", checked<check_globs_by_upstream>},
    {"promptsInScope", checked<check_globs_by_upstream>},
    {"toolConstraints", into<&Claims::constraints, read_constraints>},
    {"task", into<&Claims::task_id, read_task_id>},
    {"crossVertical", into<&Claims::cross_vertical, read_bool>},
    {"crossVerticalPurpose", into<&Claims::cross_vertical_purpose, read_string>},
    {"sandbox",
     checked<read_strings>},  // a permission that nothing asks for before sandbox:exec exists
    {"budget", refuse_budget},
    {"sessionId", into<&Claims::session_id, read_string>},
    {"sessionTtl", into<&Claims::session_ttl, read_ttl>},
}};
constexpr std::array<std::string_view, kMembers.size()> kMemberNames = [] {
  std::array<std::string_view, kMembers.size()> names;
  for (std::size_t i = 0; i < kMembers.size(); ++i) names.at(i) = kMembers.at(i).name;
  return names;
}();

}  // namespace

struct Grant::Compiled {
  Claims claims;
};

Grant::Grant(std::unique_ptr<const Compiled> compiled) : compiled_(std::move(compiled)) {}
Grant::Grant(Grant&&) noexcept = default;
Grant& Grant::operator=(Grant&&) noexcept = default;
Grant::~Grant() = default;

Result<Grant> Grant::compile(json::Value atr) {
  ZWINGER_CHECK_OK(check_object(atr, kMemberNames, ""));
  Compiled out;
  for (const json::Value value : atr.children()) {
    if (value.is_null()) continue;
    const auto* member = std::ranges::find(kMembers, value.name(), &Member::name);
    ZWINGER_CHECK_OK(member->read(out.claims, value, child_pointer("", value.name())));
  }
  return Grant(std::make_unique<const Compiled>(std::move(out)));
}

const std::string& Grant::role() const { return compiled_->claims.role; }
const std::string& Grant::tenant() const { return compiled_->claims.tenant; }
const std::string& Grant::actor_type() const { return compiled_->claims.actor_type; }
const std::string& Grant::task_id() const { return compiled_->claims.task_id; }
const std::string& Grant::session_id() const { return compiled_->claims.session_id; }
std::optional<std::int64_t> Grant::session_ttl() const { return compiled_->claims.session_ttl; }

std::span<const std::string_view> atr_members() { return kMemberNames; }
std::span<const std::string_view> task_members() { return kTaskMembers; }
std::span<const std::string_view> constraint_members() { return kConstraintMembers; }

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

// The first reason why no call can reach the tool; nothing where some call can.
std::optional<Code> refuse_tool(const Claims& claims, const Role* role, const std::string& identity,
                                std::string_view vertical) {
  if (any_matches(claims.tools_out_of_scope, identity) ||
      (role != nullptr && any_matches(role->tools_out_of_scope, identity))) {
    return Code::tool_out_of_scope;
  }
  if (!any_matches(claims.tools_in_scope, identity) ||
      (role != nullptr && !any_matches(role->tools_in_scope, identity))) {
    return Code::tool_not_in_scope;
  }
  return refuse_vertical(claims, role, vertical);
}

// The first reason why no tool of the upstream can be reached; nothing where one might be. Out of
// scope is not asked: no glob speaks of every tool, for a tool's name may hold slashes.
std::optional<Code> refuse_upstream(const Claims& claims, const Role* role,
                                    std::string_view upstream, std::string_view vertical) {
  const auto may_match = [upstream](const std::vector<text::Glob>& globs) {
    return std::ranges::any_of(
        globs, [upstream](const text::Glob& glob) { return glob.first_segment_matches(upstream); });
  };
  if (!may_match(claims.tools_in_scope) || (role != nullptr && !may_match(role->tools_in_scope))) {
    return Code::tool_not_in_scope;
  }
  return refuse_vertical(claims, role, vertical);
}

std::string identity_of(const ToolRef& tool) {
  return fmt::format("{}/{}", tool.upstream, tool.tool);
}

}  // namespace

Verdict Grant::evaluate_scope(const RoleTable& roles, Scope scope) const {
  const Claims& claims = compiled_->claims;
  const auto role = restricting_role(roles, claims);
  if (!role) return Verdict::deny(role.error());
  const auto holds = [scope](const std::vector<Scope>& scopes) {
    return std::ranges::find(scopes, scope) != scopes.end();
  };
  if (!holds(claims.scope)) {
    return Verdict::deny(Code::scope_missing, {},
                         fmt::format("The grant lacks the scope {}.", to_string(scope)));
  }
  if (*role != nullptr && !holds((*role)->scope)) {
    return Verdict::deny(Code::scope_missing, {},
                         fmt::format("The role lacks the scope {}.", to_string(scope)));
  }
  return Verdict::allow();
}

Verdict Grant::evaluate_tool(const RoleTable& roles, const ToolRef& tool) const {
  const Claims& claims = compiled_->claims;
  std::string identity = identity_of(tool);
  const auto role = restricting_role(roles, claims);
  if (!role) return Verdict::deny(role.error().code, std::move(identity));
  if (const auto reason = refuse_tool(claims, *role, identity, tool.vertical)) {
    return Verdict::deny(*reason, std::move(identity));
  }
  return Verdict::allow();
}

Verdict Grant::evaluate_upstream(const RoleTable& roles, std::string_view upstream,
                                 std::string_view vertical) const {
  const Claims& claims = compiled_->claims;
  const auto role = restricting_role(roles, claims);
  if (!role) return Verdict::deny(role.error().code, std::string(upstream));
  if (const auto reason = refuse_upstream(claims, *role, upstream, vertical)) {
    return Verdict::deny(*reason, std::string(upstream));
  }
  return Verdict::allow();
}

CallDecision Grant::evaluate_call(const RoleTable& roles, const ToolRef& tool,
                                  std::optional<json::Value> arguments) const {
  const std::string identity = identity_of(tool);
  CallDecision decision{.verdict = evaluate_scope(roles, Scope::tools_call), .counters = {}};
  if (!decision.verdict.allowed()) {
    decision.verdict.at = identity;
    return decision;
  }
  decision.verdict = evaluate_tool(roles, tool);
  for (const ConstraintEntry& entry : compiled_->claims.constraints) {
    if (!decision.verdict.allowed()) break;
    if (!entry.tools.matches(identity)) continue;
    decision.verdict = entry.arguments.evaluate(arguments);
    if (entry.max_calls) decision.counters.push_back({entry.tools.pattern(), *entry.max_calls});
  }
  if (!decision.verdict.allowed()) decision.counters.clear();
  return decision;
}

}  // namespace zwinger::grant
