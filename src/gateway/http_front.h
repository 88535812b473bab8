// MCP's streamable HTTP transport, server side (MCP 2025-03-26 to 2025-11-25, basic/transports and
// basic/authorization): HTTP requests to exchanges and back. No decision is made here but who is
// asking.
//
// POST carries one message; its answer is JSON, or a stream of events where something comes before
// the answer or the upstream streams. GET listens, or resumes a stream by Last-Event-ID. DELETE
// ends the session. A request without a session is judged by itself, over a connection that such
// requests share. One HttpFront serves all loops; handle() runs on the loop of the connection.
#pragma once

#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/random.h"
#include "gateway/cancellation.h"
#include "gateway/federation.h"
#include "gateway/generation.h"
#include "gateway/notices.h"
#include "gateway/pipeline.h"
#include "gateway/session.h"
#include "json/json.h"
#include "net/http_server.h"
#include "net/loop.h"

namespace zwinger::gateway {

// The generation that new exchanges are judged by. Thread-safe.
class CurrentGeneration {
 public:
  [[nodiscard]] std::shared_ptr<const Generation> get() const {
    const std::lock_guard lock(mutex_);
    return generation_;
  }
  void set(std::shared_ptr<const Generation> generation) {
    const std::lock_guard lock(mutex_);
    generation_.swap(generation);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Generation> generation_;
};

// One listener, as requests see it.
struct Listening {
  std::string authority;  // its own host:port; empty for a Unix socket
  bool tls = false;
  bool loopback = true;
  std::vector<std::string> hosts;    // further names for its Host header, lower case
  std::vector<std::string> origins;  // further origins of web pages
};

class HttpFront {
 public:
  struct Parts {
    Pipeline& pipeline;
    const CurrentGeneration& current;
    Sessions& sessions;
    Notices& notices;
    const Clock& clock;
    Random& random;
  };
  HttpFront(Parts parts, json::Limits limits) : parts_(parts), limits_(limits) {}

  // `at`, `request` and `responder` live until the task ends.
  Task<void> handle(net::Loop& loop, const Listening& at, const net::HttpRequest& request,
                    net::HttpResponder& responder);
  // The refusal of a request whose body has not been read yet; nothing where it may come. handle()
  // checks again.
  std::optional<net::HttpResponse> check_head(const Listening& at, const net::HttpRequest& head);
  // What a peer gets whose request could not be read.
  [[nodiscard]] static net::HttpResponse unreadable(int status, const Error& error);

 private:
  using Who = std::shared_ptr<const identity::Authenticated>;
  // What a path leads to: one upstream, or several as one.
  struct Target {
    std::string name;  // the path, which is also the resource of its metadata
    std::vector<Route> routes;
    std::optional<VirtualServer> selection;  // several
  };
  // A request that is past the door.
  struct Admitted {
    std::shared_ptr<const Generation> generation;
    Who who;
    Target target;
    std::string peer;
  };

  [[nodiscard]] static std::optional<Target> find_target(const Generation& generation,
                                                         std::string_view path);
  // Who asks, or the refusal of a stranger, of a web page, of a path that is no endpoint.
  std::expected<Who, net::HttpResponse> admit(const Listening& at, const Generation& generation,
                                              const net::HttpRequest& request);
  [[nodiscard]] Result<Who> authenticate(const Generation& generation,
                                         const net::HttpRequest& request);
  Task<void> post(net::Loop& loop, const Listening& at, const net::HttpRequest& request,
                  net::HttpResponder& responder, Admitted admitted);
  Task<void> listen(net::Loop& loop, const net::HttpRequest& request, net::HttpResponder& responder,
                    Admitted admitted);
  [[nodiscard]] net::HttpResponse end_session(const net::HttpRequest& request,
                                              const Admitted& admitted);
  // The session that the header names; nothing without one; a refusal for one that is not theirs.
  std::expected<std::shared_ptr<Session>, net::HttpResponse> session_of(
      const net::HttpRequest& request, const Admitted& admitted);
  [[nodiscard]] net::HttpResponse take_message(net::Loop& loop, mcp::Message message,
                                               const Admitted& admitted,
                                               const std::shared_ptr<Session>& session);
  void pass_on(net::Loop& loop, const mcp::Message& message, const Admitted& admitted,
               Session& session);

  struct Running;
  static Task<void> run(HttpFront& self, std::shared_ptr<Running> running);
  [[nodiscard]] FinalAnswer final_answer(const Running& running, Answer answer);
  static Task<void> stream_events(net::Loop& loop, net::HttpResponder& responder,
                                  std::shared_ptr<ClientStream> stream, std::uint64_t reader,
                                  std::shared_ptr<Session> session, bool from_start,
                                  net::HttpHeaders headers);

  Parts parts_;
  json::Limits limits_;
  InFlight in_flight_;
};

}  // namespace zwinger::gateway
