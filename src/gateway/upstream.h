// MCP servers behind the gateway, whatever carries them.
//
// An Upstream is one configured server; a Connection is one MCP session with it: a child process
// (StdioUpstream), or a session over HTTP (HttpUpstream). Requests of a client's session go over a
// connection of that session's own, initialized with what the client said of itself; requests
// without a session share one connection that is initialized by the gateway (shared()).
//
// Threads: every function but start(), quiesce() and stop() may be called from any loop's thread;
// what is awaited resumes on the caller's loop. Ids towards an upstream are ours and never reused
// on one connection.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/task.h"
#include "gateway/policy.h"
#include "mcp/message.h"
#include "mcp/params.h"
#include "net/loop.h"

namespace zwinger::gateway {

// Gets what an upstream sends besides answers, in the order in which it sent it. One call at a
// time for each stream of the upstream: its next message is read when the call's task has ended,
// which is how back-pressure reaches it. `loop` is the loop that the call runs on.
class EventSink {
 public:
  virtual ~EventSink() = default;
  EventSink() = default;
  EventSink(const EventSink&) = delete;
  EventSink& operator=(const EventSink&) = delete;

  // The upstream has begun to answer this request with a stream (HTTP with text/event-stream).
  virtual void opened() {}
  // How long to wait before asking again, should the stream break (the SSE field `retry`).
  virtual void retry(std::uint64_t /*milliseconds*/) {}
  // It has ended the stream before its answer, to be asked for the rest later (MCP 2025-11-25,
  // basic/transports, "Sending Messages to the Server", item 6). The connection asks by itself.
  virtual void paused(std::optional<std::uint64_t> /*retry_ms*/) {}
  // A request or a notification of the server.
  virtual Task<void> take(net::Loop& loop, mcp::Message message) = 0;
};

struct UpstreamRequest {
  std::int64_t id = 0;                // from next_id()
  std::string message;                // carries the id; one line
  std::string progress_key;           // id_key of the request's progress token; empty without one
  std::shared_ptr<EventSink> events;  // what belongs to this request; may be null
  std::function<bool()> cancelled;    // asked before it is sent; may be empty
};

class Connection {
 public:
  virtual ~Connection() = default;
  Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // A fresh id for a request.
  [[nodiscard]] virtual std::int64_t next_id() = 0;
  // Its answer to initialize; waits while it starts. Errors: upstream_unavailable,
  // upstream_invalid_message, upstream_timeout; upstream_error where it answered with an error of
  // its own, whose source text is then in `message` (JSON).
  virtual Task<Result<std::shared_ptr<const mcp::ServerInfo>>> server(net::Loop& caller) = 0;
  // Sends the request and waits for its answer. Errors: upstream_unavailable, upstream_timeout,
  // upstream_died, upstream_invalid_message, upstream_answer_too_large, upstream_session_lost,
  // cancelled, overloaded.
  virtual Task<Result<mcp::Message>> request(net::Loop& caller, UpstreamRequest request) = 0;
  // Sends a notification, or the answer to one of its requests. Order with requests of the same
  // caller is kept where the transport has an order. Errors: as request().
  virtual Task<Result<void>> send(net::Loop& caller, std::string message) = 0;
  // Ends a running request: the upstream is told by `message`, the waiting request() gets
  // Code::cancelled. No effect where it is not running.
  virtual void cancel(std::int64_t id, std::string message) = 0;
  // The client listens for what belongs to no request: HTTP opens the standalone stream (GET), and
  // keeps it open. No effect on stdio, or a second time.
  virtual void listen() = 0;
  // Ends the session: HTTP sends DELETE, stdio ends the process. What waits fails. For good.
  virtual void close() = 0;
};

// How a session's connection begins.
struct ConnectionStart {
  std::int64_t initialize_id = 0;
  std::string initialize;             // the whole message, one line
  std::string initialize_params;      // source text, for when a process has to be started again
  std::shared_ptr<EventSink> events;  // what belongs to no request
  bool send_initialized = false;      // else the client's own notification is passed on
};
// The first id that a connection gives out is above this one: initialize has it.
inline constexpr std::int64_t kInitializeId = 1;

class Upstream {
 public:
  virtual ~Upstream() = default;
  Upstream() = default;
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;

  [[nodiscard]] virtual const UpstreamConfig& config() const = 0;
  [[nodiscard]] const std::string& id() const { return config().id; }
  // The connection for requests without a session; made when it is first asked for.
  [[nodiscard]] virtual std::shared_ptr<Connection> shared() = 0;
  // A connection for one session. Returns at once; server() tells how initialize went. Errors:
  // session_limit.
  [[nodiscard]] virtual Result<std::shared_ptr<Connection>> open(ConnectionStart start) = 0;

  // Main loop: fails what waits and takes no more. The first half of stop(), for when answers have
  // still to be recorded.
  virtual void quiesce() = 0;
  // Main loop: ends every connection; returns when all is gone or has outlived every bound.
  virtual Task<void> stop() = 0;
};

}  // namespace zwinger::gateway
