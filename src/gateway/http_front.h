// MCP's streamable HTTP transport, server side, with JSON answers (MCP 2025-11-25, basic/transports
// and basic/authorization): HTTP requests to exchanges and back. No decision is made here but who
// is asking.
//
// There are no sessions: every request carries its token and is judged by itself. GET and DELETE
// answer 405. One HttpFront serves all loops; handle() runs on the loop of the connection.
#pragma once

#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/random.h"
#include "gateway/cancellation.h"
#include "gateway/notices.h"
#include "gateway/pipeline.h"
#include "identity/token_verifier.h"
#include "json/json.h"
#include "net/http1.h"
#include "net/loop.h"

namespace zwinger::gateway {

// An upstream as the front knows it.
struct Route {
  Upstream* upstream = nullptr;
  std::string_view vertical;
};
using Routes = std::map<std::string, Route, std::less<>>;

class HttpFront {
 public:
  struct Parts {
    Pipeline& pipeline;
    identity::TokenVerifier& verifier;
    Notices& notices;
    const Clock& clock;
    Random& random;
    std::vector<std::string> authorization_servers;  // issuers, for the protected resource metadata
  };
  HttpFront(Parts parts, Routes routes, json::Limits limits);

  // `authority` is the listener's own host:port, empty for a Unix socket: what the metadata
  // documents name.
  Task<net::HttpResponse> handle(net::Loop& loop, std::string_view authority,
                                 const net::HttpRequest& request);
  // The refusal of a request whose body has not been read yet; nothing where it may come. handle()
  // checks again.
  std::optional<net::HttpResponse> check_head(std::string_view authority,
                                              const net::HttpRequest& head);
  // What a peer gets whose request could not be read.
  [[nodiscard]] static net::HttpResponse unreadable(int status, const Error& error);

 private:
  struct Target {
    Route route;
    std::string_view resource;  // the path below which it stands: "/mcp" or "/mcp/<upstream>"
  };
  [[nodiscard]] std::optional<Target> find_route(std::string_view path) const;
  // Who asks, or the refusal of a stranger, of a web page, of a path that is no endpoint.
  std::expected<std::shared_ptr<const identity::Authenticated>, net::HttpResponse> admit(
      std::string_view authority, const net::HttpRequest& request);
  [[nodiscard]] Result<std::shared_ptr<const identity::Authenticated>> authenticate(
      const net::HttpRequest& request);
  [[nodiscard]] net::HttpResponse metadata(std::string_view authority,
                                           std::string_view resource) const;
  Task<net::HttpResponse> post(net::Loop& loop, std::string_view authority,
                               const net::HttpRequest& request, Target target,
                               std::shared_ptr<const identity::Authenticated> who);
  [[nodiscard]] net::HttpResponse take_notification(const mcp::Message& message,
                                                    const Target& target,
                                                    const identity::Authenticated& who);

  Parts parts_;
  Routes routes_;
  json::Limits limits_;
  InFlight in_flight_;
};

}  // namespace zwinger::gateway
