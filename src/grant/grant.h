// The grant: what a principal may do in this task. Text to snapshot (compile), and snapshot and
// call, resource or prompt to verdict (evaluate). Design section 5; the golden folders under
// grant/golden are its manual.
//
// A Grant and a RoleTable are immutable after they were made and may be read from any thread.
// Nothing here reads a clock, counts, or does I/O: what must be counted is named in the Decision
// for the pipeline to count.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/verdict.h"
#include "grant/item_glob.h"
#include "json/json.h"
#include "text/glob.h"

namespace zwinger::grant {

// The vertical of an upstream that belongs to no business domain: any grant may reach it.
inline constexpr std::string_view kSharedVertical = "shared";

// What a method needs from `scope`.
enum class Scope : std::uint8_t {
  tools_list,
  tools_call,
  resources_list,
  resources_read,
  resources_subscribe,
  prompts_list,
  prompts_get,
  completion,
  sandbox_exec
};
[[nodiscard]] std::string_view to_string(Scope scope);  // "tools:list", ...
[[nodiscard]] std::optional<Scope> parse_scope(std::string_view text);

// A glob over "upstream/tool". Errors: policy_value for what text::Glob refuses, and for a glob
// without a slash: it can match no tool, and a restriction that matches nothing must not pass for
// one.
[[nodiscard]] Result<text::Glob> parse_tool_glob(std::string_view pattern);

// One of `roles:` in the policy. Absent members mean none.
struct Role {
  std::vector<Scope> scope;
  std::vector<text::Glob> tools_in_scope;
  std::vector<text::Glob> tools_out_of_scope;
  std::vector<ResourceGlob> resources_in_scope;
  std::vector<text::Glob> prompts_in_scope;
  std::vector<std::string> verticals;
};

// `unrestricted` is for wrap and replay without a policy directory, where roles do not restrict; it
// is a type of its own so that a search finds every use.
struct RolesDoNotRestrict {};
class RoleTable {
 public:
  explicit RoleTable(std::map<std::string, Role, std::less<>> roles) : roles_(std::move(roles)) {}
  explicit RoleTable(RolesDoNotRestrict /*named*/) : unrestricted_(true) {}
  [[nodiscard]] bool unrestricted() const { return unrestricted_; }
  [[nodiscard]] const Role* find(std::string_view name) const;

 private:
  std::map<std::string, Role, std::less<>> roles_;
  bool unrestricted_ = false;
};

// A tool as the configuration places it.
struct ToolRef {
  std::string_view upstream;  // our id
  std::string_view tool;      // raw name, as the upstream knows it
  std::string_view vertical;  // from the configuration; kSharedVertical where it is shared
};

// A resource, or a resource template, whose text is then taken for a URI.
struct ResourceRef {
  std::string_view upstream;
  std::string_view uri;
  std::string_view vertical;
};

struct PromptRef {
  std::string_view upstream;
  std::string_view name;  // raw, as the upstream knows it
  std::string_view vertical;
};

// A count that must be taken, durably, before the call is forwarded: at most `limit` calls of all
// tools together that a constraint's glob matches, or of all tools for a budget.
struct Counter {
  // Stable within the session: the constraint's tool glob, "{budget}", and for an ancestor's
  // "{act}" before it, once for each grant between. No glob holds a brace.
  std::string key;
  std::uint64_t limit = 0;
  Code refusal = Code::max_calls;  // what to say when no call is left: max_calls or budget_calls
};

// How old a session may become.
struct SessionLimit {
  std::int64_t seconds = 0;              // since it was first seen
  Code refusal = Code::session_expired;  // what to say then: session_expired or budget_time
};

struct CallDecision {
  Verdict verdict;
  std::vector<Counter> counters;  // only when the verdict allows
};

struct Claims;  // private: grant/claims.h

class Grant {
 public:
  // `atr` is the value of the claim, an object. Errors: grant_invalid (where = JSON pointer) for
  // wrong types, unknown enum words, bad globs, pointers and matchers; grant_unsupported for a
  // restriction this build cannot check: any member that this build does not know.
  [[nodiscard]] static Result<Grant> compile(json::Value atr);
  // This grant as one that `delegator`, itself perhaps delegated, passed on (RFC 8693 `act`). What
  // is allowed then is what every grant of the chain allows, each with its own role: this one is
  // asked first, and its denial is the reason. Counters, limits and times of all of them apply;
  // role, tenant, task and session stay this one's. Errors: grant_invalid (where = "/tenantId")
  // where the tenants differ; internal for a grant that has a delegator already, or for none.
  [[nodiscard]] Result<Grant> delegated_by(std::shared_ptr<const Grant> delegator) &&;

  Grant(Grant&&) noexcept;
  Grant& operator=(Grant&&) noexcept;
  Grant(const Grant&) = delete;
  Grant& operator=(const Grant&) = delete;
  ~Grant();

  // sub (or actorId): whoever holds the grant compares it with the token's. May be empty.
  [[nodiscard]] const std::string& subject() const;
  [[nodiscard]] const std::string& role() const;
  [[nodiscard]] const std::string& tenant() const;      // tenantId; may be empty
  [[nodiscard]] const std::string& actor_type() const;  // agent, human or service; may be empty
  [[nodiscard]] const std::string& task_id() const;     // may be empty
  [[nodiscard]] const std::string& session_id() const;  // may be empty
  // The strictest of sessionTtl and budget.maxSeconds along the chain; of equals, the first.
  [[nodiscard]] std::optional<SessionLimit> session_limit() const;
  [[nodiscard]] std::optional<std::int64_t> session_ttl() const;  // its seconds
  // Unix seconds that narrow the token's own: the latest issuedAt and the earliest expiresAt along
  // the chain.
  [[nodiscard]] std::optional<std::int64_t> issued_at() const;
  [[nodiscard]] std::optional<std::int64_t> expires_at() const;

  // Whether a method that needs `scope` may be used at all (role AND grant). A denial has no `at`.
  [[nodiscard]] Verdict evaluate_scope(const RoleTable& roles, Scope scope) const;
  // Whether the tool can be reached by some call: role, out of scope, in scope, vertical,
  // elevation, in this order. Lists are filtered by this; evaluate_call contains it, so that a list
  // never hides what a call can reach, nor the other way round. A denial's `at` is the tool
  // identity.
  [[nodiscard]] Verdict evaluate_tool(const RoleTable& roles, const ToolRef& tool) const;
  // Whether the resource or prompt can be reached: role, in scope, vertical, elevation, in this
  // order. The scope word is asked by evaluate_scope. A URI that readers could take for another
  // (grant/uri.h) is never in scope. A denial's `at` is "upstream/uri" or "upstream/name"; for such
  // a URI it is the upstream's id alone.
  [[nodiscard]] Verdict evaluate_resource(const RoleTable& roles,
                                          const ResourceRef& resource) const;
  [[nodiscard]] Verdict evaluate_prompt(const RoleTable& roles, const PromptRef& prompt) const;
  // Whether some tool, resource or prompt of the upstream might be reached: role, in scope by what
  // globs say before the slash (tool_not_in_scope stands for all three), vertical, elevation, in
  // this order. Never denies where one of the three allows something of that upstream; may allow
  // where none does, since only names tell. A denial's `at` is the upstream's id.
  [[nodiscard]] Verdict evaluate_upstream(const RoleTable& roles, std::string_view upstream,
                                          std::string_view vertical) const;
  // The whole decision for tools/call: scope tools:call, evaluate_tool, then every constraint entry
  // whose glob matches the tool. `arguments` is nothing where the call has none (judged as an empty
  // object). A denial's `at` is the tool identity, or for constraint_* the pointer of the offending
  // argument.
  [[nodiscard]] CallDecision evaluate_call(const RoleTable& roles, const ToolRef& tool,
                                           std::optional<json::Value> arguments) const;

 private:
  [[nodiscard]] Verdict own_scope(const RoleTable& roles, Scope scope) const;
  [[nodiscard]] Verdict own_tool(const RoleTable& roles, const ToolRef& tool) const;
  [[nodiscard]] Verdict own_resource(const RoleTable& roles, const ResourceRef& resource) const;
  [[nodiscard]] Verdict own_prompt(const RoleTable& roles, const PromptRef& prompt) const;
  [[nodiscard]] Verdict own_upstream(const RoleTable& roles, std::string_view upstream,
                                     std::string_view vertical) const;
  [[nodiscard]] CallDecision own_call(const RoleTable& roles, const ToolRef& tool,
                                      std::optional<json::Value> arguments) const;

  explicit Grant(std::unique_ptr<const Claims> claims);
  std::unique_ptr<const Claims> claims_;
  std::shared_ptr<const Grant> delegator_;  // null: nobody delegated
};

// The member names that compile() knows in `atr`, in its `task` and `budget` and in an entry of
// `toolConstraints`, for the test that compares them with the JSON Schema.
[[nodiscard]] std::span<const std::string_view> atr_members();
[[nodiscard]] std::span<const std::string_view> task_members();
[[nodiscard]] std::span<const std::string_view> constraint_members();
[[nodiscard]] std::span<const std::string_view> budget_members();

}  // namespace zwinger::grant
