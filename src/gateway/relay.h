// Takes what an upstream sends besides answers, judges each message and passes it on to the client,
// in order. One for each request (with the request's stream), and one for each session's connection
// (for what belongs to no request).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "gateway/exchange.h"
#include "gateway/notices.h"
#include "gateway/tasks.h"
#include "gateway/upstream.h"

namespace zwinger::gateway {

class Pipeline;
class Session;

class Relay final : public EventSink {
 public:
  struct Parts {
    Pipeline& pipeline;
    Route route;
    std::weak_ptr<Session> session;        // empty: there is no client that could be asked
    std::weak_ptr<Connection> connection;  // set by bind() where it is not known yet
    // Of a request; null for what belongs to none.
    std::shared_ptr<const identity::Authenticated> who;
    std::shared_ptr<const Generation> generation;
    std::shared_ptr<ClientStream> stream;
    // Source text of the client's progress token, where the upstream knows it by another.
    std::string progress_token;
  };
  static constexpr std::uint64_t kMaxEvents = 100'000;  // of one request; the rest is dropped

  explicit Relay(Parts parts) : parts_(std::move(parts)) {}

  void opened() override;
  void retry(std::uint64_t milliseconds) override;
  void paused(std::optional<std::uint64_t> retry_ms) override;
  Task<void> take(net::Loop& loop, mcp::Message message) override;

  void bind(const std::shared_ptr<Connection>& connection);
  // After this nothing is passed on any more.
  EventRecord close();

 private:
  Task<void> take_notification(net::Loop& loop, mcp::Message message);
  Task<void> take_request(net::Loop& loop, mcp::Message message);
  void take_cancellation(Session& session, const mcp::Message& message, ClientStream& stream);
  // Whether it was counted and may go.
  bool count(const std::string& event);
  [[nodiscard]] std::shared_ptr<ClientStream> stream_of(
      const std::shared_ptr<Session>& session) const;

  Parts parts_;
  std::mutex mutex_;
  EventRecord record_;
  bool closed_ = false;
};

}  // namespace zwinger::gateway
