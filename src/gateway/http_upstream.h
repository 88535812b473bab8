// An MCP server over HTTP: Streamable HTTP (MCP 2025-03-26 to 2025-11-25, basic/transports) or
// HTTP+SSE of 2024-11-05. Each connection is one MCP session with it.
//
// A request and its answer stay on the caller's loop, which has an HTTP client of its own; what
// belongs to no request (the standalone stream, the whole stream of HTTP+SSE, farewells) is on the
// first loop. What the server sends is judged event by event: what is no message, belongs to no
// request or comes a second time is counted and goes no further. Redirects are not followed.
//
// The gateway's own connection (shared()) is initialized when it is first used, and again when its
// session is lost, with growing pauses. A client's session that is lost stays so: its client has to
// initialize again. A connection that is dropped without close() is closed.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

#include "base/log.h"
#include "gateway/notices.h"
#include "gateway/policy.h"
#include "gateway/upstream.h"
#include "net/loop.h"

namespace zwinger::gateway {

// The request target that the `endpoint` event of an HTTP+SSE server names: a URI reference,
// resolved against the URL that was asked (RFC 3986, section 5.2). Errors: upstream_invalid_message
// where it is none, or leads to another scheme, host or port.
[[nodiscard]] Result<std::string> resolve_sse_endpoint(const HttpEndpoint& base,
                                                       std::string_view reference);

class HttpConnection;
class HttpUpstreamCore;

class HttpUpstream final : public Upstream {
 public:
  // `loops` are those that connections are used on, the main loop first; they outlive this. Reads
  // key, certificate and header files; where that fails the upstream is unavailable and says why.
  HttpUpstream(std::span<net::Loop* const> loops, UpstreamConfig config, Log& log,
               Notices& notices);
  ~HttpUpstream() override;  // after stop() has ended, or with the loops stopped
  HttpUpstream(const HttpUpstream&) = delete;
  HttpUpstream& operator=(const HttpUpstream&) = delete;

  [[nodiscard]] const UpstreamConfig& config() const override;
  [[nodiscard]] std::shared_ptr<Connection> shared() override;
  [[nodiscard]] Result<std::shared_ptr<Connection>> open(ConnectionStart start) override;
  void quiesce() override;
  Task<void> stop() override;

 private:
  std::shared_ptr<HttpUpstreamCore> core_;
  std::mutex mutex_;
  bool stopping_ = false;
  std::shared_ptr<HttpConnection> shared_;
};

}  // namespace zwinger::gateway
