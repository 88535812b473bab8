#include "net/http_server.h"

#include <fmt/format.h>

#include <array>
#include <list>
#include <optional>
#include <span>
#include <string>
#include <utility>

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

}  // namespace

class HttpServer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(Loop& loop, std::unique_ptr<Listener> listener, HttpServerOptions options,
       HttpHandler handler, HttpErrorHandler on_error, HttpHeadCheck check_head)
      : loop_(loop),
        listener_(std::move(listener)),
        options_(options),
        handler_(std::move(handler)),
        on_error_(std::move(on_error)),
        check_head_(std::move(check_head)) {}

  static Task<void> accept_all(std::shared_ptr<Impl> self);
  static Task<void> drain(std::shared_ptr<Impl> self, Monotonic deadline);
  [[nodiscard]] const Address& address() const { return listener_->address(); }
  [[nodiscard]] Loop& loop() { return loop_; }
  void abandon();

 private:
  struct Connection {
    explicit Connection(std::unique_ptr<Stream> accepted) : stream(std::move(accepted)) {}
    std::unique_ptr<Stream> stream;
    bool idle = true;  // between requests: drain() may close it
  };
  using Connections = std::list<Connection>;

  // A connection's place in the list, for as long as its coroutine lives.
  class Seat {
   public:
    Seat(Impl& server, std::unique_ptr<Stream> stream)
        : server_(server),
          place_(server.connections_.emplace(server.connections_.end(), std::move(stream))) {}
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;
    ~Seat() { server_.leave(place_); }
    [[nodiscard]] Connection& operator*() const { return *place_; }

   private:
    Impl& server_;
    Connections::iterator place_;
  };

  // One connection's input, its parser and what is read but not parsed yet.
  struct Input {
    explicit Input(const HttpLimits& limits) : parser(limits), buffer(kSmallBuffer, '\0') {}
    RequestParser parser;
    std::string buffer;
    std::string_view unread;              // in buffer
    std::optional<HttpResponse> refusal;  // what the head's check made of it
  };

  static Task<void> serve(std::shared_ptr<Impl> self, std::unique_ptr<Stream> stream);
  static Task<void> refuse(std::shared_ptr<Impl> self, std::unique_ptr<Stream> stream);
  // Nothing where the connection is to be closed without an answer; an error is to be answered
  // first.
  Task<Result<std::optional<HttpRequest>>> next_request(Connection& connection, Input& input);
  Task<bool> write(Stream& stream, std::string bytes);
  Task<void> answer_error(Stream& stream, Error error);
  Task<void> linger(Stream& stream);
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

Task<void> HttpServer::Impl::accept_all(std::shared_ptr<Impl> self) {
  while (true) {
    auto accepting = self->listener_->accept();
    auto stream = co_await accepting;
    if (!stream) co_return;
    const bool full = self->connections_.size() >= self->options_.max_connections;
    if (!full) {
      self->loop_.spawn(serve(self, std::move(*stream)));
    } else if (self->refusals_ < kMaxRefusals) {
      self->loop_.spawn(refuse(self, std::move(*stream)));
    }
  }
}

Task<void> HttpServer::Impl::serve(std::shared_ptr<Impl> self, std::unique_ptr<Stream> stream) {
  const Seat seat(*self, std::move(stream));
  Connection& connection = *seat;
  Stream& peer = *connection.stream;
  Input input(self->options_.limits);
  while (true) {
    auto requesting = self->next_request(connection, input);
    const auto request = co_await requesting;
    if (!request) {
      auto answering = self->answer_error(peer, request.error());
      co_await answering;
      co_return;
    }
    if (!*request) {
      if (!input.refusal) co_return;
      auto refusing = self->write(peer, serialize(*input.refusal, false));
      if (!co_await refusing) co_return;
      auto lingering = self->linger(peer);
      co_await lingering;
      co_return;
    }
    auto handling = self->handler_(**request);
    const HttpResponse response = co_await handling;
    const bool keep_alive = (*request)->keep_alive && !response.close && !self->draining_;
    auto writing = self->write(peer, serialize(response, keep_alive, (*request)->method == "HEAD"));
    if (!co_await writing) co_return;
    if (!keep_alive) {
      auto lingering = self->linger(peer);
      co_await lingering;
      co_return;
    }
  }
}

Task<Result<std::optional<HttpRequest>>> HttpServer::Impl::next_request(Connection& connection,
                                                                        Input& input) {
  connection.idle = true;
  bool head_checked = !check_head_;
  bool full = false;  // the last read filled the buffer: there is more where that came from
  if (input.unread.empty() && input.buffer.size() > kSmallBuffer)
    std::string(kSmallBuffer, '\0').swap(input.buffer);
  Monotonic deadline = Loop::now() + options_.idle_timeout;
  while (true) {
    while (!input.unread.empty()) {
      ZWINGER_CO_TRY(const State state, input.parser.feed(input.unread));
      if (input.parser.in_message() && std::exchange(connection.idle, false))
        deadline = Loop::now() + options_.request_timeout;
      if (state == State::complete) co_return input.parser.take();
      if (const HttpRequest* head = input.parser.awaiting_body();
          head != nullptr && !std::exchange(head_checked, true)) {
        input.refusal = check_head_(*head);
        if (input.refusal) co_return std::nullopt;
      }
      if (state == State::need_continue) {
        auto writing = write(*connection.stream, "HTTP/1.1 100 Continue\r\n\r\n");
        if (!co_await writing) co_return std::nullopt;
      }
    }
    if (connection.idle && draining_) co_return std::nullopt;
    if (full) input.buffer.resize(kLargeBuffer);
    auto reading = connection.stream->read_some(std::span(input.buffer), deadline);
    const auto got = co_await reading;
    if (!got && got.error().code == Code::timeout && !connection.idle) {
      co_return fail(Code::http_timeout, fmt::format("the request was not complete after {} ms",
                                                     options_.request_timeout.count()));
    }
    if (!got || *got == 0) co_return std::nullopt;
    input.unread = std::string_view(input.buffer).substr(0, *got);
    full = *got == input.buffer.size();
  }
}

Task<bool> HttpServer::Impl::write(Stream& stream, std::string bytes) {
  auto writing = stream.write_all(bytes, Loop::now() + options_.write_timeout);
  const auto written = co_await writing;
  co_return written.has_value();
}

Task<void> HttpServer::Impl::answer_error(Stream& stream, Error error) {
  const int status = RequestParser::status_for(error.code);
  HttpResponse response = on_error_(status, error);
  response.status = status;
  auto writing = write(stream, serialize(response, false));
  if (!co_await writing) co_return;
  auto lingering = linger(stream);
  co_await lingering;
}

Task<void> HttpServer::Impl::linger(Stream& stream) {
  stream.shutdown_write();
  std::array<char, kSmallBuffer> ignored{};
  const Monotonic deadline = Loop::now() + kLingerTime;
  for (std::size_t total = 0; total < kLingerBytes && Loop::now() < deadline;) {
    auto reading = stream.read_some(ignored, deadline);
    const auto got = co_await reading;
    if (!got || *got == 0) co_return;
    total += *got;
  }
}

Task<void> HttpServer::Impl::refuse(std::shared_ptr<Impl> self, std::unique_ptr<Stream> stream) {
  ++self->refusals_;
  const Error error{
      .code = Code::overloaded, .message = "there are too many connections", .where = {}};
  const int status = RequestParser::status_for(error.code);
  HttpResponse response = self->on_error_(status, error);
  response.status = status;
  const std::string bytes = serialize(response, false);
  auto writing = stream->write_all(bytes, Loop::now() + kRefusalTime);
  if ((co_await writing).has_value()) {
    auto lingering = self->linger(*stream);
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
  for (Connection& connection : self->connections_) {
    if (connection.idle) connection.stream->close();
  }
  if (!self->connections_.empty()) {
    self->all_left_ = std::make_shared<OneShot<bool>>(self->loop_);
    auto leaving = self->all_left_->wait_until(deadline);
    co_await leaving;
  }
  if (self->connections_.empty()) co_return;
  for (Connection& connection : self->connections_) connection.stream->close();
  // Those that read or write end now; those whose handler runs do not, and are not waited for.
  self->all_left_ = std::make_shared<OneShot<bool>>(self->loop_);
  auto closing = self->all_left_->wait_until(Loop::now() + kUnwindTime);
  co_await closing;
}

void HttpServer::Impl::abandon() {
  listener_->close();
  for (Connection& connection : connections_) connection.stream->close();
}

HttpServer::HttpServer(Loop& loop, std::unique_ptr<Listener> listener, HttpServerOptions options,
                       HttpHandler handler, HttpErrorHandler on_error, HttpHeadCheck check_head)
    : impl_(std::make_shared<Impl>(loop, std::move(listener), options, std::move(handler),
                                   std::move(on_error), std::move(check_head))) {}

HttpServer::~HttpServer() { impl_->abandon(); }

void HttpServer::start() { impl_->loop().spawn(Impl::accept_all(impl_)); }

Task<void> HttpServer::drain(Monotonic deadline) { return Impl::drain(impl_, deadline); }

const Address& HttpServer::address() const { return impl_->address(); }

}  // namespace zwinger::net
