// The stages that decide a request, in their order, as pure functions: the pipeline and replay both
// call judge().
//
// No I/O, no clock, no counting. What must be counted before the request may pass is returned for
// the caller to take (state::reserve) as the last stage.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/verdict.h"
#include "grant/grant.h"
#include "identity/principal.h"
#include "json/json.h"
#include "state/store.h"

namespace zwinger::gateway {

enum class Operation { initialize, ping, list_tools, call_tool };

// What is asked. Views must outlive the call.
struct Question {
  const identity::Authenticated* who = nullptr;  // null: nobody; everything is denied
  Operation operation = Operation::ping;
  grant::ToolRef tool;  // tool name empty unless call_tool
  std::optional<json::Value> arguments;
  UnixSeconds now = 0;
};

struct Judgement {
  Verdict verdict;
  std::string_view stage;  // the stage that denied; "grant" where all allowed
  // Whether some tool of the upstream could be reached. Where not, initialize and tools/list are
  // answered without the upstream: nothing of the request goes to it, and nothing of it comes back.
  bool reaches_upstream = false;
  std::optional<state::Reservation>
      must_reserve;  // only when the verdict allows and there is something to take
};

[[nodiscard]] Judgement judge(const grant::RoleTable& roles, const Question& question);

// Whether a tool belongs into a list for this principal: the same evaluation that a call begins
// with.
[[nodiscard]] Verdict judge_listed_tool(const grant::RoleTable& roles,
                                        const identity::Authenticated& who,
                                        const grant::ToolRef& tool);

}  // namespace zwinger::gateway
