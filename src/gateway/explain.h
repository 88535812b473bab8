// One client's exchange judged offline, and why: each stage before the record, in the pipeline's
// order, with every rule that spoke (`zwinger eval`).
//
// Pure: no I/O, no clock, no counting. The verdict is judge()'s; an explanation that comes to
// another conclusion is a defect, and is a denial. Any thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/verdict.h"
#include "grant/explain.h"
#include "grant/grant.h"
#include "identity/principal.h"
#include "json/json.h"

namespace zwinger::gateway {

// What is asked. Views and values must outlive the call.
struct OfflineExchange {
  // Who asks, or why the token is refused; and the claims that it was read from.
  Result<std::shared_ptr<const identity::Authenticated>> who =
      fail(Code::grant_missing, "there is no grant");
  std::optional<json::Value> claims;
  std::string_view proof;  // how it was proved, for people
  std::string_view upstream;
  std::optional<std::string_view> vertical;  // nothing: the policy has no such upstream
  std::string_view method;
  std::optional<json::Value> params;
  std::string_view task_tool;  // tasks/get, result, cancel: the tool that the task runs
  UnixSeconds now = 0;
};

struct StageReport {
  std::string_view stage;  // identity, route, protocol, grant, state
  bool reached = false;    // false: a stage before it refused, and this one was not asked
  Verdict verdict;         // denies where it was not reached
  std::string looked_at;   // one line
  std::vector<grant::Rule> rules;
};

struct Explanation {
  std::vector<StageReport> stages;  // all of them
  Verdict verdict;
  std::string_view stage;  // the one that denied; "grant" where all allowed
};

[[nodiscard]] Explanation explain(const grant::RoleTable& roles, const OfflineExchange& asked);

}  // namespace zwinger::gateway
