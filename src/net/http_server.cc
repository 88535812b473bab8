#include "net/http_server.h"

#include <fmt/format.h>

#include <coroutine>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "net/one_shot.h"

namespace zwinger::net {
namespace {

using std::chrono::milliseconds;
using State = RequestParser::State;

constexpr std::size_t kSmallBuffer = std::size_t{4} << 10U;   // what an idle connection costs
constexpr std::size_t kLargeBuffer = std::size_t{64} << 10U;  // for one whose bodies do not fit
// Closing with unread bytes makes the kernel reset the connection, and the client may lose the
// answer. So after a last answer we read on, within these bounds.
constexpr std::size_t kLingerBytes = std::size_t{1} << 20U;
constexpr milliseconds kLingerTime{1000};
constexpr std::size_t kMaxRefusals =
    64;  // answered 503 at once; beyond that, closed without a word
constexpr milliseconds kRefusalTime{1000};
constexpr milliseconds kUnwindTime{100};

// Where one coroutine waits until another one of the same loop has something for it. Nothing is
// remembered: open() with nobody waiting has no effect.
class Gate {
 public:
  explicit Gate(Loop& loop) : loop_(loop) {}
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate() = default;

  class [[nodiscard]] Awaiter {
   public:
    Awaiter(Gate& gate, Monotonic deadline) : gate_(gate), deadline_(deadline) {}
    Awaiter(const Awaiter&) = delete;
    Awaiter& operator=(const Awaiter&) = delete;
    ~Awaiter() {
      if (suspended_) gate_.take();
    }
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
      suspended_ = true;
      gate_.opened_ = false;
      gate_.waiting_ = handle;
      gate_.timer_ = gate_.loop_.call_at(deadline_, [&gate = gate_] {
        gate.timer_.reset();
        gate.take().resume();
      });
    }
    // Whether it was opened before the deadline.
    bool await_resume() {
      suspended_ = false;
      return gate_.opened_;
    }

   private:
    Gate& gate_;
    Monotonic deadline_;
    bool suspended_ = false;
  };

  Awaiter wait(Monotonic deadline) { return {*this, deadline}; }
  // Resumes whoever waits, inside this call.
  void open() {
    if (!waiting_) return;
    opened_ = true;
    take().resume();
  }

 private:
  std::coroutine_handle<> take() {
    if (timer_) loop_.cancel(*std::exchange(timer_, std::nullopt));
    return std::exchange(waiting_, nullptr);
  }

  Loop& loop_;
  std::coroutine_handle<> waiting_;
  std::optional<Loop::TimerId> timer_;
  bool opened_ = false;
};

// Lends a stream to an owner that may go before it does.
class LentStream final : public Stream {
 public:
  explicit LentStream(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  Task<Result<std::size_t>> read_some(std::span<char> into,
                                      std::optional<Monotonic> deadline) override {
    return stream_->read_some(into, deadline);
  }
  Task<Result<void>> write_all(std::string_view bytes, std::optional<Monotonic> deadline) override {
    return stream_->write_all(bytes, deadline);
  }
  void shutdown_write() override { stream_->shutdown_write(); }
  void close() override { stream_->close(); }

 private:
  std::shared_ptr<Stream> stream_;
};

// One connection: the stream, what was read and not parsed yet, and whether the client is there.
// The serving coroutine reads here, except while a handler runs: then look_out() does, whose read
// may still be under way when the next request is due, and then brings its first bytes. It keeps
// the connection alive, not in the server's list.
class Connection {
 public:
  Connection(Loop& loop, std::unique_ptr<Stream> accepted, const HttpLimits& limits)
      : stream(std::move(accepted)), parser(limits), arrived_(loop) {}

  std::shared_ptr<Stream> stream;
  HttpPeer peer;
  RequestParser parser;
  bool idle = true;  // between requests: drain() may close it

  [[nodiscard]] std::string_view& unread() { return unread_; }
  // Reads until something is unread. Errors: timeout; closed and io, as Stream. An end is closed.
  static Task<Result<void>> fill(std::shared_ptr<Connection> self, Monotonic deadline);

  // From here until handler_ended() the connection is watched.
  static void handler_begins(Loop& loop, const std::shared_ptr<Connection>& self);
  void handler_ended() {
    handling_ = false;
    on_gone_ = nullptr;
  }
  void on_gone(std::function<void()> gone);
  [[nodiscard]] bool gone() const { return gone_; }
  // Nobody reads any more.
  void leave();
  // Ends it without a word where something was going on, else with one.
  void close(bool politely) {
    if (politely) stream->shutdown_write();
    stream->close();
  }

 private:
  static Task<void> look_out(std::shared_ptr<Connection> self);
  void make_room();
  [[nodiscard]] std::span<char> room() { return std::span(buffer_).subspan(end_); }
  void take_in(std::size_t got);

  std::string buffer_;
  std::size_t end_ = 0;  // of what was read into the buffer
  std::string_view unread_;
  bool filled_ = false;   // the last read took all the room there was: there is more
  bool reading_ = false;  // look_out() has a read under way: the buffer stays where it is
  bool ended_ = false;    // the client's side
  bool gone_ = false;
  bool handling_ = false;
  Gate arrived_;
  std::function<void()> on_gone_;
};

// Only with no read under way.
void Connection::make_room() {
  if (!unread_.empty()) return;  // behind it, what is left of the buffer
  const std::size_t size = std::exchange(filled_, false) ? kLargeBuffer : kSmallBuffer;
  if (buffer_.size() != size) std::string(size, '\0').swap(buffer_);
  end_ = 0;
}

void Connection::take_in(std::size_t got) {
  const std::size_t begin = end_ - unread_.size();
  end_ += got;
  unread_ = std::string_view(buffer_).substr(begin, end_ - begin);
  filled_ = end_ == buffer_.size();
}

Task<Result<void>> Connection::fill(std::shared_ptr<Connection> self, Monotonic deadline) {
  if (self->reading_) {
    auto arriving = self->arrived_.wait(deadline);
    if (!co_await arriving) co_return fail(Code::timeout, "the peer was too slow");
  } else if (!self->ended_) {
    self->make_room();
    auto reading = self->stream->read_some(self->room(), deadline);
    const auto got = co_await reading;
    if (!got) co_return std::unexpected(got.error());
    if (*got == 0) self->ended_ = true;
    self->take_in(*got);
  }
  if (self->unread_.empty()) co_return fail(Code::closed, "the client has ended its side");
  co_return Result<void>();
}

void Connection::handler_begins(Loop& loop, const std::shared_ptr<Connection>& self) {
  self->handling_ = true;
  if (self->reading_ || self->ended_) return;
  self->make_room();
  if (self->room().empty()) return;  // full of requests to come: nobody left
  self->reading_ = true;
  loop.spawn(look_out(self));
}

Task<void> Connection::look_out(std::shared_ptr<Connection> self) {
  do {
    auto reading = self->stream->read_some(self->room(), std::nullopt);
    const auto got = co_await reading;
    self->ended_ = !got || *got == 0;
    if (got) self->take_in(*got);
  } while (self->handling_ && !self->ended_ && !self->room().empty());
  self->reading_ = false;
  if (self->ended_) self->leave();
  self->arrived_.open();
}

void Connection::on_gone(std::function<void()> gone) {
  if (!gone) return;
  if (gone_) return gone();
  on_gone_ = std::move(gone);
}

void Connection::leave() {
  gone_ = true;
  if (const auto tell = std::exchange(on_gone_, nullptr)) tell();
}

}  // namespace

class HttpServer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(Loop& loop, std::unique_ptr<Listener> listener, HttpServerOptions options,
       HttpHandler handler, HttpErrorHandler on_error, HttpHeadCheck check_head)
      : loop_(loop),
        listener_(std::move(listener)),
        options_(std::move(options)),
        handler_(std::move(handler)),
        on_error_(std::move(on_error)),
        check_head_(std::move(check_head)) {}

  static Task<void> accept_all(std::shared_ptr<Impl> self);
  static Task<void> drain(std::shared_ptr<Impl> self, Monotonic deadline);
  [[nodiscard]] const Address& address() const { return listener_->address(); }
  [[nodiscard]] Loop& loop() { return loop_; }
  void abandon();

 private:
  using ConnectionPtr = std::shared_ptr<Connection>;
  using Connections = std::list<ConnectionPtr>;
  class Responder;

  // A connection's place in the list, for as long as its coroutine lives.
  class Seat {
   public:
    Seat(Impl& server, std::unique_ptr<Stream> stream)
        : server_(server),
          place_(server.connections_.insert(
              server.connections_.end(),
              std::make_shared<Connection>(server.loop_, std::move(stream),
                                           server.options_.limits))) {}
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;
    ~Seat() {
      (*place_)->stream->close();  // a read of look_out() may still hold the connection
      server_.leave(place_);
    }
    [[nodiscard]] const ConnectionPtr& connection() const { return *place_; }

   private:
    Impl& server_;
    Connections::iterator place_;
  };

  static Task<void> serve(std::shared_ptr<Impl> self, std::unique_ptr<Stream> stream);
  static Task<void> refuse(std::shared_ptr<Impl> self, std::unique_ptr<Stream> stream);
  // The TLS handshake. Whether the connection goes on as one of HTTP.
  Task<bool> secure(ConnectionPtr connection);
  // Nothing where the connection is to be closed without an answer; an error is to be answered
  // first.
  Task<Result<std::optional<HttpRequest>>> next_request(ConnectionPtr connection);
  // Parses what is unread. Nothing: more bytes are needed.
  Task<Result<std::optional<HttpRequest>>> parse(ConnectionPtr connection, Monotonic& deadline,
                                                 bool& head_checked,
                                                 std::optional<HttpResponse>& refusal);
  // Whether the connection goes on.
  Task<bool> handle(ConnectionPtr connection, const HttpRequest& request);
  Task<bool> write(Stream& stream, std::string_view bytes);
  Task<void> answer_last(ConnectionPtr connection, std::string bytes);
  Task<void> linger(ConnectionPtr connection);
  [[nodiscard]] std::string error_answer(const Error& error) const;
  void leave(Connections::iterator place);

  Loop& loop_;
  std::unique_ptr<Listener> listener_;
  HttpServerOptions options_;
  HttpHandler handler_;
  HttpErrorHandler on_error_;
  HttpHeadCheck check_head_;
  Connections connections_;
  std::size_t refusals_ = 0;
  bool draining_ = false;
  std::shared_ptr<OneShot<bool>> all_left_;
};

// Lives in handle(), as long as the handler's task.
class HttpServer::Impl::Responder final : public HttpResponder {
 public:
  Responder(Impl& server, Connection& connection, const HttpRequest& request)
      : server_(server),
        connection_(connection),
        minor_version_(request.minor_version),
        keep_alive_(request.keep_alive),
        head_only_(request.method == "HEAD") {}

  [[nodiscard]] const HttpPeer& peer() const override { return connection_.peer; }
  Task<bool> send(HttpResponse response) override {
    if (phase_ != Phase::nothing) co_return false;
    keep_alive_ = keep_alive_ && !response.close && !server_.draining_;
    const std::string bytes = serialize(response, keep_alive_, head_only_);
    auto putting = put(bytes, Phase::complete);
    co_return co_await putting;
  }
  Task<bool> begin(HttpResponse head) override {
    if (phase_ != Phase::nothing) co_return false;
    chunked_ = minor_version_ > 0;
    bodiless_ = head_only_ || head.status == 204 || head.status == 304;
    keep_alive_ = keep_alive_ && chunked_ && !head.close && !server_.draining_;
    const std::string bytes = serialize_stream_head(head, keep_alive_, minor_version_);
    auto putting = put(bytes, Phase::streaming);
    co_return co_await putting;
  }
  Task<bool> write(std::string bytes) override {
    if (phase_ != Phase::streaming) co_return false;
    if (bodiless_ || bytes.empty()) co_return true;
    if (chunked_) bytes = serialize_chunk(bytes);
    auto putting = put(bytes, Phase::streaming);
    co_return co_await putting;
  }
  Task<bool> end() override {
    if (phase_ != Phase::streaming) co_return false;
    auto putting = put(chunked_ && !bodiless_ ? kLastChunk : "", Phase::complete);
    co_return co_await putting;
  }
  void on_gone(std::function<void()> gone) override { connection_.on_gone(std::move(gone)); }
  [[nodiscard]] bool gone() const override { return connection_.gone(); }

  [[nodiscard]] bool complete() const { return phase_ == Phase::complete; }
  [[nodiscard]] bool keep_alive() const { return keep_alive_; }

 private:
  enum class Phase : std::uint8_t { nothing, streaming, complete, broken };

  Task<bool> put(std::string_view bytes, Phase then) {
    phase_ = Phase::broken;  // also for whoever writes in the middle of this
    auto writing = server_.write(*connection_.stream, bytes);
    const bool written = co_await writing;
    if (written) {
      phase_ = then;
    } else {
      connection_.leave();
    }
    co_return written;
  }

  Impl& server_;
  Connection& connection_;
  Phase phase_ = Phase::nothing;
  int minor_version_;
  bool keep_alive_;
  bool head_only_;
  bool bodiless_ = false;
  bool chunked_ = false;
};

Task<void> HttpServer::Impl::accept_all(std::shared_ptr<Impl> self) {
  while (true) {
    auto accepting = self->listener_->accept();
    auto stream = co_await accepting;
    if (!stream) co_return;
    const bool full = self->connections_.size() >= self->options_.max_connections;
    if (!full) {
      self->loop_.spawn(serve(self, std::move(*stream)));
    } else if (self->refusals_ < kMaxRefusals && !self->options_.tls) {
      self->loop_.spawn(refuse(self, std::move(*stream)));
    }
  }
}

Task<void> HttpServer::Impl::serve(std::shared_ptr<Impl> self, std::unique_ptr<Stream> stream) {
  const Seat seat(*self, std::move(stream));
  const ConnectionPtr& connection = seat.connection();
  if (self->options_.tls) {
    auto securing = self->secure(connection);  // in here: its frame goes before the waiting begins
    if (!co_await securing) co_return;
  }
  for (bool go_on = true; go_on;) {
    auto requesting = self->next_request(connection);
    const auto request = co_await requesting;
    if (!request) {
      auto answering = self->answer_last(connection, self->error_answer(request.error()));
      co_await answering;
      co_return;
    }
    if (!*request) break;
    auto handling = self->handle(connection, **request);
    go_on = co_await handling;
  }
}

Task<bool> HttpServer::Impl::secure(ConnectionPtr connection) {
  auto lent = std::make_unique<LentStream>(connection->stream);  // drain() may close it meanwhile
  auto accepting =
      tls_accept(loop_, std::move(lent), options_.tls, Loop::now() + options_.handshake_timeout);
  auto accepted = co_await accepting;
  if (!accepted) co_return false;
  connection->stream = std::move(accepted->stream);
  connection->peer.tls = std::move(accepted->peer);
  co_return true;
}

Task<bool> HttpServer::Impl::handle(ConnectionPtr connection, const HttpRequest& request) {
  Responder responder(*this, *connection, request);
  Connection::handler_begins(loop_, connection);
  {
    auto handling = handler_(request, responder);
    co_await handling;
  }
  connection->handler_ended();
  if (!responder.complete()) co_return false;
  if (responder.keep_alive()) co_return true;
  auto lingering = linger(connection);
  co_await lingering;
  co_return false;
}

Task<Result<std::optional<HttpRequest>>> HttpServer::Impl::next_request(ConnectionPtr connection) {
  connection->idle = true;
  std::optional<HttpResponse> refusal;
  Monotonic deadline = Loop::now() + options_.idle_timeout;
  bool head_checked = !check_head_;
  while (true) {
    if (!connection->unread().empty()) {
      auto parsing = parse(connection, deadline, head_checked, refusal);
      ZWINGER_CO_TRY(auto request, co_await parsing);
      if (request) co_return request;
    }
    if (refusal) {
      auto refusing = answer_last(connection, serialize(*refusal, false));
      co_await refusing;
      co_return std::nullopt;
    }
    if (connection->idle && draining_) break;
    auto filling = Connection::fill(connection, deadline);
    const auto filled = co_await filling;
    if (filled) continue;
    if (filled.error().code == Code::timeout && !connection->idle) {
      co_return fail(Code::http_timeout, fmt::format("the request was not complete after {} ms",
                                                     options_.request_timeout.count()));
    }
    break;
  }
  connection->close(connection->idle);
  co_return std::nullopt;
}

Task<Result<std::optional<HttpRequest>>> HttpServer::Impl::parse(
    ConnectionPtr connection, Monotonic& deadline, bool& head_checked,
    std::optional<HttpResponse>& refusal) {
  RequestParser& parser = connection->parser;
  while (!connection->unread().empty()) {
    ZWINGER_CO_TRY(const State state, parser.feed(connection->unread()));
    if (parser.in_message() && std::exchange(connection->idle, false))
      deadline = Loop::now() + options_.request_timeout;
    if (state == State::complete) {
      HttpRequest request = parser.take();
      // A fresh one, where another request may follow: this one keeps the memory of its largest
      // head. Swapped, because a string that is assigned an empty one keeps its memory, too.
      if (request.keep_alive) {
        RequestParser fresh(options_.limits);
        std::swap(parser, fresh);
      }
      co_return request;
    }
    if (const HttpRequest* head = parser.awaiting_body();
        head != nullptr && !std::exchange(head_checked, true)) {
      refusal = check_head_(*head, connection->peer);
      if (refusal) break;
    }
    if (state == State::need_continue) {
      auto writing = write(*connection->stream, "HTTP/1.1 100 Continue\r\n\r\n");
      co_await writing;  // where it failed, reading will, too
    }
  }
  co_return std::nullopt;
}

Task<bool> HttpServer::Impl::write(Stream& stream, std::string_view bytes) {
  auto writing = stream.write_all(bytes, Loop::now() + options_.write_timeout);
  const auto written = co_await writing;
  co_return written.has_value();
}

std::string HttpServer::Impl::error_answer(const Error& error) const {
  const int status = RequestParser::status_for(error.code);
  HttpResponse response = on_error_(status, error);
  response.status = status;
  return serialize(response, false);
}

Task<void> HttpServer::Impl::answer_last(ConnectionPtr connection, std::string bytes) {
  auto writing = write(*connection->stream, bytes);
  if (!co_await writing) co_return;
  auto lingering = linger(connection);
  co_await lingering;
}

Task<void> HttpServer::Impl::linger(ConnectionPtr connection) {
  connection->stream->shutdown_write();
  const Monotonic deadline = Loop::now() + kLingerTime;
  for (std::size_t total = 0; total < kLingerBytes && Loop::now() < deadline;) {
    total += std::exchange(connection->unread(), {}).size();
    auto filling = Connection::fill(connection, deadline);
    if (!(co_await filling).has_value()) co_return;
  }
}

Task<void> HttpServer::Impl::refuse(std::shared_ptr<Impl> self, std::unique_ptr<Stream> stream) {
  ++self->refusals_;
  const auto connection =
      std::make_shared<Connection>(self->loop_, std::move(stream), self->options_.limits);
  const std::string bytes = self->error_answer(
      Error{.code = Code::overloaded, .message = "there are too many connections", .where = {}});
  auto writing = connection->stream->write_all(bytes, Loop::now() + kRefusalTime);
  if ((co_await writing).has_value()) {
    auto lingering = self->linger(connection);
    co_await lingering;
  }
  --self->refusals_;
}

void HttpServer::Impl::leave(Connections::iterator place) {
  connections_.erase(place);
  if (connections_.empty() && all_left_) all_left_->set(true);
}

Task<void> HttpServer::Impl::drain(std::shared_ptr<Impl> self, Monotonic deadline) {
  self->draining_ = true;
  self->listener_->close();
  for (const ConnectionPtr& connection : self->connections_) {
    if (connection->idle) connection->close(true);
  }
  if (!self->connections_.empty()) {
    self->all_left_ = std::make_shared<OneShot<bool>>(self->loop_);
    auto leaving = self->all_left_->wait_until(deadline);
    co_await leaving;
  }
  if (self->connections_.empty()) co_return;
  // A copy: whoever is told may end its connection at once.
  const std::vector<ConnectionPtr> left(self->connections_.begin(), self->connections_.end());
  for (const ConnectionPtr& connection : left) {
    connection->stream->close();
    connection->leave();
  }
  // Those that read or write end now, and those that listen; whose handler runs on does not, and is
  // not waited for.
  self->all_left_ = std::make_shared<OneShot<bool>>(self->loop_);
  if (self->connections_.empty()) co_return;
  auto closing = self->all_left_->wait_until(Loop::now() + kUnwindTime);
  co_await closing;
}

void HttpServer::Impl::abandon() {
  listener_->close();
  for (const ConnectionPtr& connection : connections_) connection->stream->close();
}

HttpServer::HttpServer(Loop& loop, std::unique_ptr<Listener> listener, HttpServerOptions options,
                       HttpHandler handler, HttpErrorHandler on_error, HttpHeadCheck check_head)
    : impl_(std::make_shared<Impl>(loop, std::move(listener), std::move(options),
                                   std::move(handler), std::move(on_error),
                                   std::move(check_head))) {}

HttpServer::~HttpServer() { impl_->abandon(); }

void HttpServer::start() { impl_->loop().spawn(Impl::accept_all(impl_)); }

Task<void> HttpServer::drain(Monotonic deadline) { return Impl::drain(impl_, deadline); }

const Address& HttpServer::address() const { return impl_->address(); }

}  // namespace zwinger::net
