#include "grant/claims.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <utility>

#include "grant/clawql.h"
#include "grant/pointer.h"
#include "grant/read.h"
#include "text/ascii.h"

namespace zwinger::grant {

namespace {

constexpr std::array<std::string_view, 3> kActorTypes = {"agent", "human", "service"};
constexpr std::array<std::string_view, 3> kTaskMembers = {"id", "text", "values"};
constexpr std::array<std::string_view, 3> kConstraintMembers = {"args", "closed", "maxCalls"};
constexpr std::array<std::string_view, 3> kBudgetMembers = {"maxCalls", "maxTurns", "maxSeconds"};
constexpr std::string_view kTwoSpellings = "the grant has two spellings of one member";

// What a glob's parser refuses, as an error of the grant.
template <class T>
Result<T> in_grant(Result<T> parsed, const std::string& where) {
  if (!parsed) return fail(Code::grant_invalid, std::move(parsed.error().message), where);
  return parsed;
}

// --- tools, resources, prompts
// -----------------------------------------------------------------------------------------

// Globs, or bare names of tools that ClawQL has.
template <auto BareNames>
Result<std::vector<text::Glob>> read_tools(json::Value value, const std::string& where) {
  std::vector<text::Glob> out;
  ZWINGER_CHECK_OK(for_each_string(
      value, where, [&](std::string_view pattern, const std::string& at) -> Result<void> {
        if (std::vector<text::Glob> mapped = BareNames(pattern); !mapped.empty()) {
          std::ranges::move(mapped, std::back_inserter(out));
          return {};
        }
        ZWINGER_TRY(text::Glob glob, in_grant(parse_tool_glob(pattern), at));
        out.push_back(std::move(glob));
        return {};
      }));
  return out;
}

bool is_upstream_id(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || text::is_digit(c) || c == '-';
  });
}

template <class T>
Result<void> append_items(std::vector<T>& out, std::string_view prefix, json::Value globs,
                          const std::string& where, Result<T> (*parse)(std::string_view)) {
  return for_each_string(
      globs, where, [&](std::string_view pattern, const std::string& at) -> Result<void> {
        ZWINGER_TRY(T glob, in_grant(parse(fmt::format("{}{}", prefix, pattern)), at));
        out.push_back(std::move(glob));
        return {};
      });
}

// An array of globs over "upstream/item", or an object that maps upstreams to arrays of globs over
// their items.
template <class T, Result<T> (*Parse)(std::string_view)>
Result<std::vector<T>> read_items(json::Value value, const std::string& where) {
  std::vector<T> out;
  if (!value.is_object()) {
    ZWINGER_CHECK_OK(append_items(out, "", value, where, Parse));
    return out;
  }
  for (const json::Value globs : value.children()) {
    const std::string at = child_pointer(where, globs.name());
    if (!is_upstream_id(globs.name())) {
      return fail(Code::grant_invalid, "expected the id of an upstream: a-z, 0-9 and -", at);
    }
    ZWINGER_CHECK_OK(append_items(out, fmt::format("{}/", globs.name()), globs, at, Parse));
  }
  return out;
}

// --- scope
// ---------------------------------------------------------------------------------------

Result<void> add_scope(Scopes& out, std::string_view word, const std::string& where) {
  std::vector<text::Glob> tools = clawql::tools_of_scope(word);
  const auto scope = parse_scope(word);
  if (!scope && tools.empty()) {
    return fail(Code::grant_invalid, "no scope has this name", where);
  }
  if (scope ? out.only_tools.has_value() : (!out.methods.empty() && !out.only_tools)) {
    return fail(Code::grant_invalid, "words that name tools do not go with words that name methods",
                where);
  }
  if (scope) {
    out.methods.push_back(*scope);
    return {};
  }
  out.methods = {Scope::tools_list, Scope::tools_call};
  if (!out.only_tools) out.only_tools.emplace();
  std::ranges::move(tools, std::back_inserter(*out.only_tools));
  return {};
}

Result<Scopes> read_scopes(json::Value value, const std::string& where) {
  Scopes out;
  ZWINGER_CHECK_OK(for_each_string(value, where, [&](std::string_view word, const std::string& at) {
    return add_scope(out, word, at);
  }));
  return out;
}

// --- tasks, constraints, budgets
// ---------------------------------------------------------------------------------------

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
  ZWINGER_TRY(text::Glob tools, in_grant(parse_tool_glob(value.name()), where));
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

Result<Budget> read_budget(json::Value value, const std::string& where) {
  ZWINGER_CHECK_OK(check_object(value, kBudgetMembers, where));
  Budget out;
  for (const json::Value member : value.children()) {
    if (member.is_null()) continue;
    const std::string at = child_pointer(where, member.name());
    if (member.name() == "maxSeconds") {
      ZWINGER_TRY(out.max_seconds, read_integer(member, 1, at));
    } else {
      if (out.max_calls) {
        return fail(Code::grant_invalid, std::string(kTwoSpellings),
                    child_pointer(where, "maxTurns"));
      }
      ZWINGER_TRY(out.max_calls, read_integer(member, 0, at));
    }
  }
  if (!out.max_calls && !out.max_seconds) {
    return fail(Code::grant_invalid, "a budget needs maxCalls, maxSeconds or both", where);
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

// Nobody can say what several roles together may do.
Result<std::string> read_only_role(json::Value value, const std::string& where) {
  ZWINGER_TRY(std::vector<std::string> roles, read_strings(value, where));
  if (roles.size() != 1) {
    return fail(Code::grant_unsupported, "this build knows grants of exactly one role", where);
  }
  return std::move(roles.front());
}

Result<std::string> read_subject(json::Value value, const std::string& where) {
  ZWINGER_TRY(std::string subject, read_string(value, where));
  if (subject.empty()) return fail(Code::grant_invalid, "an empty string names nobody", where);
  return subject;
}

Result<std::int64_t> read_ttl(json::Value value, const std::string& where) {
  return read_integer(value, 1, where);
}

Result<std::int64_t> read_time(json::Value value, const std::string& where) {
  constexpr std::int64_t kLatest = 99'999'999'999;  // in the year 5138
  ZWINGER_TRY(const std::int64_t time, read_integer(value, 0, where));
  if (time > kLatest) {
    return fail(Code::grant_invalid, "expected seconds since 1970, not milliseconds", where);
  }
  return time;
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
constexpr std::array<Member, 32> kMembers = {{
    {"actorType", into<&Claims::actor_type, read_actor_type>},
    {"role", into<&Claims::role, read_string>},
    {"tenantId", into<&Claims::tenant, read_string>},
    {"verticals", into<&Claims::verticals, read_strings>},
    {"scope", into<&Claims::scope, read_scopes>},
    {"toolsInScope", into<&Claims::tools_in_scope, read_tools<clawql::permitted_tools>>},
    {"toolsOutOfScope", into<&Claims::tools_out_of_scope, read_tools<clawql::refused_tools>>},
    {"resourcesInScope",
     into<&Claims::resources_in_scope, read_items<ResourceGlob, parse_resource_glob>>},
    {"promptsInScope", into<&Claims::prompts_in_scope, read_items<text::Glob, parse_prompt_glob>>},
    {"toolConstraints", into<&Claims::constraints, read_constraints>},
    {"task", into<&Claims::task_id, read_task_id>},
    {"crossVertical", into<&Claims::cross_vertical, read_bool>},
    {"crossVerticalPurpose", into<&Claims::cross_vertical_purpose, read_string>},
    {"sandbox",
     checked<read_strings>},  // a permission that nothing asks for before sandbox:exec exists
    {"budget", into<&Claims::budget, read_budget>},
    {"sessionId", into<&Claims::session_id, read_string>},
    {"sessionTtl", into<&Claims::session_ttl, read_ttl>},
    // ClawQL's names for some of the above, and for what the token says too.
    {"scopes", into<&Claims::scope, read_scopes>},
    {"roles", into<&Claims::role, read_only_role>},
    {"tenant_id", into<&Claims::tenant, read_string>},
    {"sub", into<&Claims::subject, read_subject>},
    {"actorId", into<&Claims::subject, read_subject>},
    {"issuedAt", into<&Claims::issued_at, read_time>},
    {"expiresAt", into<&Claims::expires_at, read_time>},
    // Who the subject is and how it was proved: these restrict nothing.
    {"virtualKeyId", checked<read_string>},
    {"acr", checked<read_string>},
    {"amr", checked<read_strings>},
    {"email", checked<read_string>},
    {"emailDomain", checked<read_string>},
    {"emailVerified", checked<read_bool>},
    {"tenantTier", checked<read_string>},
    {"requestId", checked<read_string>},
}};
constexpr std::array<std::string_view, kMembers.size()> kMemberNames = [] {
  std::array<std::string_view, kMembers.size()> names;
  for (std::size_t i = 0; i < kMembers.size(); ++i) names.at(i) = kMembers.at(i).name;
  return names;
}();

struct Spelling {
  std::string_view ours;
  std::string_view other;
};
constexpr std::array<Spelling, 4> kSpellings = {
    {{"scope", "scopes"}, {"role", "roles"}, {"tenantId", "tenant_id"}, {"sub", "actorId"}}};

Result<void> check_spellings(json::Value atr) {
  const auto has = [atr](std::string_view name) {
    const auto member = atr.find(name);
    return member && !member->is_null();
  };
  for (const auto& [ours, other] : kSpellings) {
    if (has(ours) && has(other)) {
      return fail(Code::grant_invalid, std::string(kTwoSpellings), child_pointer("", other));
    }
  }
  return {};
}

}  // namespace

Result<Claims> read_atr(json::Value atr) {
  ZWINGER_CHECK_OK(check_object(atr, kMemberNames, ""));
  ZWINGER_CHECK_OK(check_spellings(atr));
  Claims out;
  for (const json::Value value : atr.children()) {
    if (value.is_null()) continue;
    const auto* member = std::ranges::find(kMembers, value.name(), &Member::name);
    ZWINGER_CHECK_OK(member->read(out, value, child_pointer("", value.name())));
  }
  return out;
}

std::span<const std::string_view> atr_members() { return kMemberNames; }
std::span<const std::string_view> task_members() { return kTaskMembers; }
std::span<const std::string_view> constraint_members() { return kConstraintMembers; }
std::span<const std::string_view> budget_members() { return kBudgetMembers; }

}  // namespace zwinger::grant
