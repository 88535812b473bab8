// What this build knows of MCP revisions. Values; any thread.
//
// Issue order: 2025-11-25 first. The seams for 2026-07-28, which has no initialize and no sessions,
// are that nothing here or in the pipeline depends on a handshake having happened, and that every
// decision comes from the body.
#pragma once

#include <optional>
#include <string_view>

namespace zwinger::mcp {

// What we speak towards clients.
inline constexpr std::string_view kRevision = "2025-11-25";

// Revisions an upstream may answer initialize with: tools, ping, progress and cancellation are
// alike in all.
[[nodiscard]] bool upstream_revision_supported(std::string_view revision);

enum class Method { initialize, ping, tools_list, tools_call };
// Nothing for a method that is not passed on.
[[nodiscard]] std::optional<Method> parse_method(std::string_view method);

// Whether MCP 2025-11-25 names this method: what may stand in a record's aggregate without letting
// a peer fill it.
[[nodiscard]] bool is_known_method(std::string_view method);

enum class Notification { initialized, cancelled, progress };
[[nodiscard]] std::optional<Notification> parse_notification(std::string_view method);

}  // namespace zwinger::mcp
