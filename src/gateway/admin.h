// The admin listener: health, readiness and metrics for operators and their tools. On a Unix socket
// (mode 0600) by default; over TCP only with TLS and a bearer token. No MCP, no policy, no content.
//
//   GET /healthz   200 as long as the process turns its loop
//   GET /readyz    200 when exchanges would be taken, else 503 with the reason
//   GET /metrics   Prometheus text format (docs/reference/metrics.md)
//
// Main loop only.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/metrics.h"
#include "base/result.h"
#include "net/http_server.h"

namespace zwinger::gateway {

class Admin {
 public:
  struct Parts {
    const metrics::Registry& registry;
    std::function<std::optional<Error>()> not_ready;  // why not; nothing when it is
    std::optional<std::string> token;                 // required on TCP
  };
  explicit Admin(Parts parts) : parts_(std::move(parts)) {}

  Task<void> handle(const net::HttpRequest& request, net::HttpResponder& responder);
  [[nodiscard]] net::HttpResponse answer(const net::HttpRequest& request) const;

 private:
  Parts parts_;
};

}  // namespace zwinger::gateway
