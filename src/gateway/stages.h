// The stages that decide an exchange, in their order, as pure functions: the pipeline, replay and
// eval call the same ones.
//
// No I/O, no clock, no counting. What must be counted before the request may pass is returned for
// the caller to take (state::reserve) as the last stage.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/verdict.h"
#include "gateway/policy.h"
#include "grant/grant.h"
#include "identity/principal.h"
#include "json/json.h"
#include "mcp/params.h"
#include "mcp/revision.h"
#include "state/store.h"

namespace zwinger::gateway {

// What a client asks. Views must outlive the call.
struct Question {
  const identity::Authenticated* who = nullptr;  // null: nobody; everything is denied
  mcp::Method method = mcp::Method::ping;
  std::string_view upstream;
  std::string_view vertical;
  std::string_view name;  // of the tool or prompt; for a task, of the tool that it runs
  std::string_view uri;
  std::optional<json::Value> arguments;
  UnixSeconds now = 0;
};

struct Judgement {
  Verdict verdict;
  std::string_view stage;  // the stage that denied; "grant" where all allowed
  // Whether something of the upstream could be reached. Where not, initialize and lists are
  // answered without the upstream: nothing of the request goes to it, and nothing of it comes back.
  bool reaches_upstream = false;
  std::optional<state::Reservation>
      must_reserve;  // only when the verdict allows and there is something to take
};

[[nodiscard]] Judgement judge(const grant::RoleTable& roles, const Question& question);

// Whether an entry belongs into a list for this principal: the same evaluation that a call, a read
// or a get of it begins with. `method` is the list's.
[[nodiscard]] Verdict judge_listed(const grant::RoleTable& roles, const Question& list,
                                   std::string_view key);

// What a server asks of a client, or tells it.
struct ServerQuestion {
  const identity::Authenticated* who = nullptr;  // whose session it is
  std::string_view upstream;
  std::string_view vertical;
  std::span<const ServerRequestKind> may_ask;  // by the upstream's configuration
  std::optional<json::Value> capabilities;     // what the client declared; nothing: no client
  UnixSeconds now = 0;
};
[[nodiscard]] Judgement judge_server_request(const grant::RoleTable& roles,
                                             const ServerQuestion& question, mcp::Method method,
                                             const mcp::RequestParams& params);
// `uri` is that of notifications/resources/updated, else empty.
[[nodiscard]] Verdict judge_server_notification(const grant::RoleTable& roles,
                                                const ServerQuestion& question,
                                                mcp::Notification notification,
                                                std::string_view uri);
[[nodiscard]] Verdict judge_client_notification(const grant::RoleTable& roles,
                                                const Question& question);

}  // namespace zwinger::gateway
