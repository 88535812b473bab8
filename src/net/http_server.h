// Serves HTTP/1.1 on one listener and one loop. Loop thread only. Knows no policy: what to answer
// is the handler's.
//
// One request at a time per connection, answers in order, so pipelining is safe. A malformed or
// slow request costs only its own connection. A client that leaves does not stop a handler that is
// running; its answer is dropped. HEAD is answered like any other method, without the body.
// An answer is whole or streamed in pieces; a stream has no time limit but that each piece must be
// read in time. While a handler runs the connection is watched for the client's leaving; bytes that
// come meanwhile (pipelined requests) are kept up to a small bound, then left to the kernel.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>

#include "base/task.h"
#include "net/http1.h"
#include "net/stream.h"
#include "net/tls.h"

namespace zwinger::net {

struct HttpServerOptions {
  HttpLimits limits;
  std::chrono::milliseconds idle_timeout{60'000};       // between requests, and before the first
  std::chrono::milliseconds request_timeout{15'000};    // from a request's first byte to its last
  std::chrono::milliseconds write_timeout{30'000};      // for one answer
  std::chrono::milliseconds handshake_timeout{10'000};  // of TLS
  std::size_t max_connections = 20'000;                 // more are answered 503 and closed
  std::shared_ptr<const TlsServerContext> tls;          // null: plain text
};

// Who is at the other end.
struct HttpPeer {
  std::optional<TlsPeer> tls;
};

// One request's way back: either send(), once, or begin(), write() any number of times, end().
// Loop thread only; belongs to the server and lives until the handler's task ends.
class HttpResponder {
 public:
  virtual ~HttpResponder() = default;
  [[nodiscard]] virtual const HttpPeer& peer() const = 0;

  // The whole answer. False where the client is gone or too slow: nobody reads any more.
  virtual Task<bool> send(HttpResponse response) = 0;
  // The head of an answer whose body follows in pieces; head.body is ignored. Sent at once.
  virtual Task<bool> begin(HttpResponse head) = 0;
  // A piece, sent at once; waits while the client does not read, write_timeout at most.
  // By value: a task begins when it is awaited, and must own what it was given.
  virtual Task<bool> write(std::string bytes) = 0;
  virtual Task<bool> end() = 0;

  // Calls `gone` once, on the loop, when the client closes or resets its side while the answer is
  // still to come or being streamed, or when the server has to end (drain's deadline). Not called
  // after the handler's task has ended. At once where it has happened already.
  virtual void on_gone(std::function<void()> gone) = 0;
  [[nodiscard]] virtual bool gone() const = 0;
};

// Runs on the loop. Request and responder live until the task ends. A handler that sends nothing
// has the connection closed.
using HttpHandler = std::function<Task<void>(const HttpRequest&, HttpResponder&)>;
// Looks at a request whose head is complete before its body is read. A response ends the connection
// with it, so that nobody fills memory with the body of a request that would be refused anyway. A
// request that arrives in one piece goes to the handler alone, which has to check everything
// itself.
using HttpHeadCheck =
    std::function<std::optional<HttpResponse>(const HttpRequest& head, const HttpPeer& peer)>;
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
