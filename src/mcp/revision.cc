#include "mcp/revision.h"

#include <algorithm>
#include <array>

namespace zwinger::mcp {

namespace {

struct MethodRow {
  std::string_view name;
  Method method;
  bool client;  // a client may ask it
  bool server;  // a server may ask it
};
constexpr std::array kMethods = {
    MethodRow{"initialize", Method::initialize, true, false},
    MethodRow{"ping", Method::ping, true, true},
    MethodRow{"tools/list", Method::tools_list, true, false},
    MethodRow{"tools/call", Method::tools_call, true, false},
    MethodRow{"resources/list", Method::resources_list, true, false},
    MethodRow{"resources/templates/list", Method::resources_templates_list, true, false},
    MethodRow{"resources/read", Method::resources_read, true, false},
    MethodRow{"resources/subscribe", Method::resources_subscribe, true, false},
    MethodRow{"resources/unsubscribe", Method::resources_unsubscribe, true, false},
    MethodRow{"prompts/list", Method::prompts_list, true, false},
    MethodRow{"prompts/get", Method::prompts_get, true, false},
    MethodRow{"completion/complete", Method::completion_complete, true, false},
    MethodRow{"logging/setLevel", Method::logging_set_level, true, false},
    MethodRow{"tasks/list", Method::tasks_list, true, true},
    MethodRow{"tasks/get", Method::tasks_get, true, true},
    MethodRow{"tasks/result", Method::tasks_result, true, true},
    MethodRow{"tasks/cancel", Method::tasks_cancel, true, true},
    MethodRow{"sampling/createMessage", Method::sampling_create_message, false, true},
    MethodRow{"roots/list", Method::roots_list, false, true},
    MethodRow{"elicitation/create", Method::elicitation_create, false, true},
};

struct NotificationRow {
  std::string_view name;
  Notification notification;
  bool client;
  bool server;
};
constexpr std::array kNotifications = {
    NotificationRow{"notifications/cancelled", Notification::cancelled, true, true},
    NotificationRow{"notifications/progress", Notification::progress, true, true},
    NotificationRow{"notifications/initialized", Notification::initialized, true, false},
    NotificationRow{"notifications/roots/list_changed", Notification::roots_list_changed, true,
                    false},
    NotificationRow{"notifications/message", Notification::message, false, true},
    NotificationRow{"notifications/tools/list_changed", Notification::tools_list_changed, false,
                    true},
    NotificationRow{"notifications/resources/list_changed", Notification::resources_list_changed,
                    false, true},
    NotificationRow{"notifications/resources/updated", Notification::resources_updated, false,
                    true},
    NotificationRow{"notifications/prompts/list_changed", Notification::prompts_list_changed, false,
                    true},
    NotificationRow{"notifications/elicitation/complete", Notification::elicitation_complete, false,
                    true},
    NotificationRow{"notifications/tasks/status", Notification::tasks_status, true, true},
};

// Methods of other revisions that a record may name.
constexpr std::array<std::string_view, 2> kOtherMethods = {"server/discover",
                                                           "subscriptions/listen"};

}  // namespace

bool revision_supported(std::string_view revision) {
  constexpr std::array<std::string_view, 4> kKnown = {"2025-11-25", "2025-06-18", "2025-03-26",
                                                      "2024-11-05"};
  return std::ranges::find(kKnown, revision) != kKnown.end();
}

bool revision_has_priming_events(std::string_view revision) { return revision == kRevision; }

std::string_view to_string(Method method) {
  return std::ranges::find(kMethods, method, &MethodRow::method)->name;
}

std::optional<Method> parse_client_method(std::string_view method) {
  const auto* row = std::ranges::find(kMethods, method, &MethodRow::name);
  if (row == kMethods.end() || !row->client) return std::nullopt;
  return row->method;
}

std::optional<Method> parse_server_method(std::string_view method) {
  const auto* row = std::ranges::find(kMethods, method, &MethodRow::name);
  if (row == kMethods.end() || !row->server) return std::nullopt;
  return row->method;
}

bool is_known_method(std::string_view method) {
  return std::ranges::find(kMethods, method, &MethodRow::name) != kMethods.end() ||
         std::ranges::find(kNotifications, method, &NotificationRow::name) !=
             kNotifications.end() ||
         std::ranges::find(kOtherMethods, method) != kOtherMethods.end();
}

std::optional<Notification> parse_client_notification(std::string_view method) {
  const auto* row = std::ranges::find(kNotifications, method, &NotificationRow::name);
  if (row == kNotifications.end() || !row->client) return std::nullopt;
  return row->notification;
}

std::optional<Notification> parse_server_notification(std::string_view method) {
  const auto* row = std::ranges::find(kNotifications, method, &NotificationRow::name);
  if (row == kNotifications.end() || !row->server) return std::nullopt;
  return row->notification;
}

}  // namespace zwinger::mcp
