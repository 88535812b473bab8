// Serves HTTP/1.1 on one listener and one loop. Loop thread only. Knows no policy: what to answer
// is the handler's.
//
// One request at a time per connection, answers in order, so pipelining is safe. A malformed or
// slow request costs only its own connection. A client that leaves does not stop a handler that is
// running; its answer is dropped. HEAD is answered like any other method, without the body.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>

#include "base/task.h"
#include "net/http1.h"
#include "net/stream.h"

namespace zwinger::net {

struct HttpServerOptions {
  HttpLimits limits;
  std::chrono::milliseconds idle_timeout{60'000};     // between requests, and before the first
  std::chrono::milliseconds request_timeout{15'000};  // from a request's first byte to its last
  std::chrono::milliseconds write_timeout{30'000};    // for one answer
  std::size_t max_connections = 20'000;               // more are answered 503 and closed
};

// Runs on the loop. The request lives until the task ends.
using HttpHandler = std::function<Task<HttpResponse>(const HttpRequest&)>;
// Looks at a request whose head is complete before its body is read. A response ends the connection
// with it, so that nobody fills memory with the body of a request that would be refused anyway. A
// request that arrives in one piece goes to the handler alone, which has to check everything
// itself.
using HttpHeadCheck = std::function<std::optional<HttpResponse>(const HttpRequest& head)>;
// Makes the body and headers of an answer to a request that never reached the handler (parse
// errors, timeouts, too many connections).
using HttpErrorHandler = std::function<HttpResponse(int status, const Error&)>;

class HttpServer {
 public:
  HttpServer(Loop& loop, std::unique_ptr<Listener> listener, HttpServerOptions options,
             HttpHandler handler, HttpErrorHandler on_error, HttpHeadCheck check_head = {});
  ~HttpServer();  // only after drain() has ended, or with the loop stopped
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  void start();
  // Stops accepting, closes idle connections, lets requests that have begun finish (with
  // Connection: close) until the deadline, then closes what is left. A handler that runs even then
  // goes on, for nobody.
  Task<void> drain(Monotonic deadline);
  [[nodiscard]] const Address& address() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace zwinger::net
