#include "mcp/revision.h"

#include <algorithm>
#include <array>

namespace zwinger::mcp {

bool upstream_revision_supported(std::string_view revision) {
  constexpr std::array<std::string_view, 4> kKnown = {"2025-11-25", "2025-06-18", "2025-03-26",
                                                      "2024-11-05"};
  return std::ranges::find(kKnown, revision) != kKnown.end();
}

std::optional<Method> parse_method(std::string_view method) {
  if (method == "initialize") return Method::initialize;
  if (method == "ping") return Method::ping;
  if (method == "tools/list") return Method::tools_list;
  if (method == "tools/call") return Method::tools_call;
  return std::nullopt;
}

bool is_known_method(std::string_view method) {
  constexpr std::array<std::string_view, 33> kNames = {"initialize",
                                                       "ping",
                                                       "tools/list",
                                                       "tools/call",
                                                       "resources/list",
                                                       "resources/read",
                                                       "resources/templates/list",
                                                       "resources/subscribe",
                                                       "resources/unsubscribe",
                                                       "prompts/list",
                                                       "prompts/get",
                                                       "completion/complete",
                                                       "logging/setLevel",
                                                       "sampling/createMessage",
                                                       "roots/list",
                                                       "elicitation/create",
                                                       "tasks/list",
                                                       "tasks/get",
                                                       "tasks/result",
                                                       "tasks/cancel",
                                                       "notifications/initialized",
                                                       "notifications/cancelled",
                                                       "notifications/progress",
                                                       "notifications/message",
                                                       "notifications/tools/list_changed",
                                                       "notifications/resources/list_changed",
                                                       "notifications/resources/updated",
                                                       "notifications/prompts/list_changed",
                                                       "notifications/roots/list_changed",
                                                       "notifications/elicitation/complete",
                                                       "notifications/tasks/status",
                                                       "server/discover",
                                                       "subscriptions/listen"};
  return std::ranges::find(kNames, method) != kNames.end();
}

std::optional<Notification> parse_notification(std::string_view method) {
  if (method == "notifications/initialized") return Notification::initialized;
  if (method == "notifications/cancelled") return Notification::cancelled;
  if (method == "notifications/progress") return Notification::progress;
  return std::nullopt;
}

}  // namespace zwinger::mcp
