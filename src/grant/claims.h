// What an `atr` claim says, compiled. Private to src/grant. Immutable once made; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "grant/grant.h"
#include "grant/matcher.h"
#include "json/json.h"
#include "text/glob.h"

namespace zwinger::grant {

struct ConstraintEntry {
  text::Glob tools;
  ArgumentConstraints arguments;
  std::optional<std::uint64_t> max_calls;
};

struct Budget {
  std::optional<std::uint64_t> max_calls;
  std::optional<std::int64_t> max_seconds;
};

// The words of `scope`: ours, or ClawQL's, which permit to list and to call tools and name those.
struct Scopes {
  std::vector<Scope> methods;
  std::optional<std::vector<text::Glob>> only_tools;
};

// Absent members are empty, and empty grants nothing.
struct Claims {
  std::string subject;
  std::string actor_type;
  std::string role;
  std::string tenant;
  std::vector<std::string> verticals;  // the first is home
  Scopes scope;
  std::optional<std::vector<text::Glob>> tools_in_scope;
  std::vector<text::Glob> tools_out_of_scope;
  std::vector<ResourceGlob> resources_in_scope;
  std::vector<text::Glob> prompts_in_scope;
  std::vector<ConstraintEntry> constraints;  // in source order
  std::string task_id;
  bool cross_vertical = false;
  std::string cross_vertical_purpose;
  Budget budget;
  std::string session_id;
  std::optional<std::int64_t> session_ttl;
  std::optional<std::int64_t> issued_at;
  std::optional<std::int64_t> expires_at;
};

// Errors: as Grant::compile().
[[nodiscard]] Result<Claims> read_atr(json::Value atr);

}  // namespace zwinger::grant
