// What this build knows of MCP revisions 2024-11-05 to 2025-11-25. Values; any thread.
//
// The seams for 2026-07-28, which has no initialize and no sessions, are that nothing here or in
// the pipeline depends on a handshake having happened, and that every decision comes from the body.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace zwinger::mcp {

// What we speak where we speak for ourselves.
inline constexpr std::string_view kRevision = "2025-11-25";
// What a client without an MCP-Protocol-Version header speaks (basic/transports, "Protocol Version
// Header").
inline constexpr std::string_view kRevisionWithoutHeader = "2025-03-26";

// Revisions that may be negotiated through us: 2025-11-25 and 2025-06-18 whole, 2025-03-26 without
// batches, 2024-11-05.
[[nodiscard]] bool revision_supported(std::string_view revision);
// From 2025-11-25 on a server may end a stream early and be asked for the rest, and primes streams
// for it.
[[nodiscard]] bool revision_has_priming_events(std::string_view revision);

enum class Method : std::uint8_t {
  initialize,
  ping,
  tools_list,
  tools_call,
  resources_list,
  resources_templates_list,
  resources_read,
  resources_subscribe,
  resources_unsubscribe,
  prompts_list,
  prompts_get,
  completion_complete,
  logging_set_level,
  tasks_list,
  tasks_get,
  tasks_result,
  tasks_cancel,
  // what servers ask clients
  sampling_create_message,
  roots_list,
  elicitation_create,
};
[[nodiscard]] std::string_view to_string(Method method);
// What a client may ask a server; nothing for a method that is not passed on.
[[nodiscard]] std::optional<Method> parse_client_method(std::string_view method);
// What a server may ask a client. The methods of tasks go both ways.
[[nodiscard]] std::optional<Method> parse_server_method(std::string_view method);

// Whether MCP 2025-11-25 names this method: what may stand in a record's aggregate without letting
// a peer fill it.
[[nodiscard]] bool is_known_method(std::string_view method);

enum class Notification : std::uint8_t {
  cancelled,           // both
  progress,            // both
  initialized,         // client
  roots_list_changed,  // client
  message,             // server
  tools_list_changed,  // server
  resources_list_changed,
  resources_updated,
  prompts_list_changed,
  elicitation_complete,
  tasks_status,  // both
};
[[nodiscard]] std::optional<Notification> parse_client_notification(std::string_view method);
[[nodiscard]] std::optional<Notification> parse_server_notification(std::string_view method);

}  // namespace zwinger::mcp
