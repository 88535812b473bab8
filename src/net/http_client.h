// An HTTP/1.1 client for one origin: pooled keep-alive connections, bodies read piece by piece.
// Loop thread only; one per loop and origin. Knows no policy: it follows no redirect, sends no
// credential of its own, keeps no cookie.
//
// A request is sent once. It is sent again on a fresh connection only where the pooled one had
// already been closed by the peer before a byte of the request was written.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "net/http1.h"
#include "net/stream.h"
#include "net/tls.h"

namespace zwinger::net {

// Where requests go.
struct HttpOrigin {
  std::string host;  // a name or an IP literal (IPv6 without brackets), or a Unix socket's path
  std::uint16_t port = 80;
  bool is_unix = false;
  std::shared_ptr<const TlsClientContext> tls;  // null: plain text
};

struct HttpClientOptions {
  HttpOrigin origin;
  HttpLimits limits;  // max_body bounds one body read whole; streamed bodies have no bound here
  std::chrono::milliseconds connect_timeout{10'000};  // name, TCP and TLS together
  std::chrono::milliseconds write_timeout{30'000};
  std::chrono::milliseconds idle_timeout{4'000};  // of a pooled connection (Node closes after 5 s)
  std::size_t max_idle = 64;
};

struct HttpClientRequest {
  std::string method;
  std::string target;   // origin-form
  HttpHeaders headers;  // not Host, Content-Length, Transfer-Encoding, Connection: written here.
                        // A name that is no token or a value with a control character is an error.
  std::string body;
};

// A response whose head has arrived. Destroying it before its end closes the connection; at its
// end the connection goes back to the pool.
class HttpIncoming {
 public:
  virtual ~HttpIncoming() = default;
  [[nodiscard]] virtual const HttpResponseHead& head() const = 0;
  // Appends the next piece of the body to `into`; false at its end. Errors: http_syntax and other
  // http_*, closed (cut off), timeout, io; then for good.
  virtual Task<Result<bool>> read_some(std::string& into, std::optional<Monotonic> deadline) = 0;
  // The whole rest of the body. Errors: those, and http_body_too_large above `max_bytes`.
  virtual Task<Result<std::string>> read_all(std::size_t max_bytes,
                                             std::optional<Monotonic> deadline) = 0;
  // Makes pending and later reads end with Code::closed. Loop thread.
  virtual void abort() = 0;
};

class HttpClient {
 public:
  HttpClient(Loop& loop, HttpClientOptions options);
  ~HttpClient();  // closes what is pooled; responses in progress go on
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Sends and waits for the final response's head (1xx are skipped). Errors: io (cannot connect;
  // nothing was sent: `message` says so), tls_handshake, timeout, closed (the peer ended before a
  // head came; the request may have had its effect), http_*.
  Task<Result<std::unique_ptr<HttpIncoming>>> send(HttpClientRequest request, Monotonic deadline);
  [[nodiscard]] std::size_t idle_connections() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

// Resolves names off the loop (getaddrinfo on a small thread pool), IP literals at once. Any
// address is returned: whether it may be used is the caller's policy.
Task<Result<std::vector<Address>>> resolve(Loop& loop, std::string host, std::uint16_t port,
                                           Monotonic deadline);

}  // namespace zwinger::net
