#include "gateway/relay.h"

#include <utility>

#include "crypto/hash.h"
#include "gateway/pipeline.h"
#include "gateway/session.h"
#include "mcp/envelope.h"

namespace zwinger::gateway {

void Relay::opened() {
  if (parts_.stream) parts_.stream->open();
}

void Relay::retry(std::uint64_t milliseconds) {
  if (parts_.stream) parts_.stream->set_retry(milliseconds);
}

void Relay::paused(std::optional<std::uint64_t> retry_ms) {
  if (parts_.stream) parts_.stream->pause(retry_ms);
}

void Relay::bind(const std::shared_ptr<Connection>& connection) {
  const std::lock_guard lock(mutex_);
  parts_.connection = connection;
}

EventRecord Relay::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  return std::move(record_);
}

bool Relay::count(const std::string& event) {
  const crypto::Sha256 digest = crypto::sha256(event);
  const std::lock_guard lock(mutex_);
  if (closed_ || record_.events >= kMaxEvents) return false;
  ++record_.events;
  record_.bytes += event.size();
  record_.digests.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  return true;
}

std::shared_ptr<ClientStream> Relay::stream_of(const std::shared_ptr<Session>& session) const {
  // What comes behind a request's answer belongs to no request any more.
  if (parts_.stream && !(session && parts_.stream->finished())) return parts_.stream;
  if (!session) return nullptr;
  return session->stream_for_the_rest(!parts_.route.upstream->config().is_stdio());
}

Task<void> Relay::take(net::Loop& loop, mcp::Message message) {
  if (message.kind == mcp::MessageKind::request) {
    auto taking = take_request(loop, std::move(message));
    co_await taking;
  } else {
    auto taking = take_notification(loop, std::move(message));
    co_await taking;
  }
}

Task<void> Relay::take_notification(net::Loop& loop, mcp::Message message) {
  const std::string& upstream = parts_.route.upstream->id();
  Notices& notices = parts_.pipeline.notices();
  const auto refuse = [&](std::string_view event, Code reason) {
    notices.note(event, upstream, message.method, name(reason));
  };
  const auto session = parts_.session.lock();
  const auto kind = mcp::parse_server_notification(message.method);
  if (!kind) {
    refuse("server_notification_refused", Code::method_not_supported);
    co_return;
  }
  const auto who = parts_.who ? parts_.who : session ? session->who() : nullptr;
  const auto generation = parts_.generation ? parts_.generation
                          : session         ? session->generation()
                                            : nullptr;
  const auto stream = stream_of(session);
  if (!generation || !stream) {
    refuse("server_notification_refused", Code::client_gone);
    co_return;
  }
  const Verdict verdict =
      parts_.pipeline.judge_notification(*generation, who.get(), parts_.route, *kind, message);
  if (!verdict.allowed()) {
    refuse("server_notification_denied", verdict.reason);
    co_return;
  }
  if (*kind == mcp::Notification::cancelled) {
    if (session) take_cancellation(*session, message, *stream);
    co_return;
  }
  std::string event(message.document.text());
  if (*kind == mcp::Notification::progress && !parts_.progress_token.empty()) {
    event = mcp::write_notification(
        message.method,
        mcp::replace_member(*message.params, "progressToken", parts_.progress_token));
  }
  // On a connection that others use too, nobody waits for one who does not read.
  const bool is_shared = !session && parts_.route.upstream->config().is_stdio();
  if ((is_shared && stream->lags()) || (parts_.stream && !count(event))) {
    refuse("server_notification_dropped", Code::overloaded);
    co_return;
  }
  if (!parts_.stream) notices.note("server_notification", upstream, message.method, "ok");
  stream->append(std::move(event));
  if (is_shared) co_return;
  auto room = stream->room(loop);
  co_await room;
}

// The server gives up a request that it made: the client knows it by our id.
void Relay::take_cancellation(Session& session, const mcp::Message& message,
                              ClientStream& /*stream*/) {
  const auto params = mcp::read_cancelled_params(message.params);
  const auto asked =
      params ? session.find_asked(parts_.route.upstream->id(), mcp::id_key(params->request_id))
             : std::nullopt;
  if (!asked) {
    parts_.pipeline.notices().note("cancel_without_request", parts_.route.upstream->id());
    return;
  }
  if (const auto target = session.stream_for_the_rest(false)) {
    target->append(mcp::rewrite_cancelled(message, *asked));
  }
  session.cancel_asked(*asked);
}

Task<void> Relay::take_request(net::Loop& loop, mcp::Message message) {
  const auto session = parts_.session.lock();
  std::shared_ptr<Connection> connection;
  {
    const std::lock_guard lock(mutex_);
    connection = parts_.connection.lock();
  }
  if (!connection) {  // it has ended, or has not begun
    parts_.pipeline.notices().note("server_request_refused", parts_.route.upstream->id(),
                                   message.method, name(Code::client_gone));
    co_return;
  }
  auto x = std::make_shared<ServerExchange>(std::move(message), parts_.pipeline.now());
  x->route = parts_.route;
  x->connection = std::move(connection);
  x->session = session;
  x->stream = stream_of(session);
  if (session) {
    x->who = session->who();
    x->generation = session->generation();
  }
  auto asking = parts_.pipeline.ask_client(loop, std::move(x));
  co_await asking;
}

}  // namespace zwinger::gateway
