#include "net/http_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <span>
#include <utility>

namespace zwinger::net {
namespace {

using std::chrono::milliseconds;
using State = ResponseParser::State;

constexpr std::size_t kSmallBuffer = std::size_t{4} << 10U;   // what an idle connection costs
constexpr std::size_t kLargeBuffer = std::size_t{64} << 10U;  // for one whose bodies do not fit

// One connection: after each response either thrown away or pooled with nothing left to read.
struct Connection {
  Connection(std::unique_ptr<Stream> connected, const HttpLimits& limits)
      : stream(std::move(connected)), parser(limits), buffer(kSmallBuffer, '\0') {}
  std::unique_ptr<Stream> stream;
  ResponseParser parser;
  std::string buffer;
  std::string_view unread;  // in buffer
  bool full = false;        // the last read filled the buffer: there is more where that came from
  bool reusable = true;
  Monotonic idle_until;  // while it is pooled
};

// The error of an attempt that has sent nothing, so that the caller may try again.
Error nothing_sent(Error error) {
  if (error.code == Code::closed) error.code = Code::io;
  error.message += "; nothing was sent";
  return error;
}

// The error of an attempt that may have had its effect.
Error after_sending(Error error) {
  if (error.code == Code::io) error.code = Code::closed;
  return error;
}

std::string host_header(const HttpOrigin& origin) {
  if (origin.is_unix) return "localhost";
  const bool ipv6 = origin.host.find(':') != std::string::npos;
  const std::string host = ipv6 ? fmt::format("[{}]", origin.host) : origin.host;
  const std::uint16_t usual = origin.tls ? 443 : 80;
  return origin.port == usual ? host : fmt::format("{}:{}", host, origin.port);
}

// How long the peer says that it keeps an idle connection: "timeout=5, max=1000".
std::optional<std::chrono::seconds> peer_timeout(const HttpResponseHead& head) {
  constexpr std::string_view kName = "timeout=";
  constexpr std::uint32_t kMost = 1'000'000;
  const auto value = head.header("keep-alive");
  if (!value) return std::nullopt;
  const auto at = value->find(kName);
  if (at == std::string_view::npos) return std::nullopt;
  std::uint32_t seconds = 0;
  const char* const begin = value->data() + at + kName.size();
  const auto [end, error] = std::from_chars(begin, value->data() + value->size(), seconds);
  if (error != std::errc()) return std::nullopt;
  return std::chrono::seconds(std::min(seconds, kMost));
}

}  // namespace

class HttpClient::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(Loop& loop, HttpClientOptions options)
      : loop_(loop), options_(std::move(options)), host_(host_header(options_.origin)) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { stop_timer(); }

  static Task<Result<std::unique_ptr<HttpIncoming>>> send(std::shared_ptr<Impl> self,
                                                          HttpClientRequest request,
                                                          Monotonic deadline);
  // A connection whose response has ended.
  void give_back(std::unique_ptr<Connection> connection);
  void close();
  [[nodiscard]] std::size_t idle() const { return idle_.size(); }
  [[nodiscard]] std::size_t max_body() const { return options_.limits.max_body; }

 private:
  using Connected = Result<std::unique_ptr<Connection>>;
  static Task<Connected> open(std::shared_ptr<Impl> self, Monotonic deadline);
  static Task<Result<std::unique_ptr<Stream>>> dial(std::shared_ptr<Impl> self, Monotonic deadline);
  static Task<Result<std::vector<Address>>> addresses(std::shared_ptr<Impl> self,
                                                      Monotonic deadline);
  std::unique_ptr<Connection> take_idle();
  void start_timer();
  void stop_timer();
  void sweep();

  Loop& loop_;
  HttpClientOptions options_;
  std::string host_;
  bool closed_ = false;
  std::deque<std::unique_ptr<Connection>> idle_;  // the most recently used one at the back
  std::optional<Loop::TimerId> timer_;            // for sweep(), while any is idle
};

namespace {

// A response under way. Shared between the HttpIncoming and what reads from it, so that either may
// go first.
class Exchange {
 public:
  Exchange(std::unique_ptr<Connection> connection, std::size_t max_body,
           std::move_only_function<void(std::unique_ptr<Connection>)> give_back)
      : connection_(std::move(connection)), max_body_(max_body), give_back_(std::move(give_back)) {}

  static Task<Result<void>> read_head(std::shared_ptr<Exchange> self, Monotonic deadline);
  static Task<Result<bool>> read_some(std::shared_ptr<Exchange> self, std::string& into,
                                      std::optional<Monotonic> deadline);
  static Task<Result<std::string>> read_all(std::shared_ptr<Exchange> self, std::size_t max_bytes,
                                            std::optional<Monotonic> deadline);
  void abort();
  [[nodiscard]] const HttpResponseHead& head() const { return head_; }

 private:
  // Reads once into the connection's buffer; false at the peer's end.
  static Task<Result<bool>> fill(std::shared_ptr<Exchange> self, std::optional<Monotonic> deadline);
  // Parses what has been read.
  void advance(std::string& into);
  void end_of_input();
  void finish();
  void fail_with(Error error);

  std::unique_ptr<Connection> connection_;  // until the response has ended
  std::size_t max_body_;
  std::move_only_function<void(std::unique_ptr<Connection>)> give_back_;
  HttpResponseHead head_;
  std::string early_;  // what came of the body with the head
  bool ended_ = false;
  std::optional<Error> failed_;
};

Task<Result<bool>> Exchange::fill(std::shared_ptr<Exchange> self,
                                  std::optional<Monotonic> deadline) {
  Connection& connection = *self->connection_;
  if (connection.full && connection.buffer.size() < kLargeBuffer) {
    connection.buffer.resize(kLargeBuffer);
  }
  auto reading = connection.stream->read_some(std::span(connection.buffer), deadline);
  const auto got = co_await reading;
  if (!got) co_return std::unexpected(got.error());
  connection.unread = std::string_view(connection.buffer).substr(0, *got);
  connection.full = *got == connection.buffer.size();
  co_return *got > 0;
}

Task<Result<void>> Exchange::read_head(std::shared_ptr<Exchange> self, Monotonic deadline) {
  Connection& connection = *self->connection_;
  std::string none;
  while (true) {
    auto filling = fill(self, deadline);
    ZWINGER_CO_TRY(const bool more, co_await filling);
    const auto state =
        more ? connection.parser.feed(connection.unread, none) : connection.parser.end_of_input();
    if (!state) co_return std::unexpected(state.error());
    if (*state != State::head) continue;
    self->head_ = connection.parser.take_head();
    self->advance(self->early_);
    co_return Result<void>();
  }
}

void Exchange::advance(std::string& into) {
  const auto state = connection_->parser.feed(connection_->unread, into);
  if (!state) return fail_with(state.error());
  if (*state == State::complete) finish();
}

void Exchange::end_of_input() {
  const auto state = connection_->parser.end_of_input();
  if (!state) return fail_with(state.error());
  finish();
}

void Exchange::finish() {
  ended_ = true;
  Connection& connection = *connection_;
  // Bytes behind the response belong to no request: nobody may take them for an answer.
  if (connection.reusable && head_.keep_alive && connection.unread.empty()) {
    connection.idle_until = Monotonic::max();
    if (const auto timeout = peer_timeout(head_)) {
      // A quarter earlier than the peer says: its clock began before ours.
      connection.idle_until = Loop::now() + milliseconds(*timeout) * 3 / 4;
    }
    give_back_(std::move(connection_));
  }
  connection_.reset();
}

void Exchange::fail_with(Error error) {
  if (!failed_) failed_ = std::move(error);
  if (connection_) connection_->stream->close();
}

void Exchange::abort() {
  early_.clear();
  fail_with({.code = Code::closed, .message = "the response was given up", .where = {}});
}

Task<Result<bool>> Exchange::read_some(std::shared_ptr<Exchange> self, std::string& into,
                                       std::optional<Monotonic> deadline) {
  if (!self->early_.empty()) {
    if (into.empty()) {
      into = std::exchange(self->early_, {});
    } else {
      into.append(std::exchange(self->early_, {}));
    }
    co_return true;
  }
  const std::size_t before = into.size();
  while (!self->failed_ && !self->ended_) {
    auto filling = fill(self, deadline);
    const auto more = co_await filling;
    if (self->failed_) break;  // abort() came meanwhile
    if (!more) {
      self->fail_with(more.error());
    } else if (*more) {
      self->advance(into);
    } else {
      self->end_of_input();
    }
    if (into.size() > before) co_return true;
  }
  if (self->failed_) co_return std::unexpected(*self->failed_);
  co_return false;
}

Task<Result<std::string>> Exchange::read_all(std::shared_ptr<Exchange> self, std::size_t max_bytes,
                                             std::optional<Monotonic> deadline) {
  const std::size_t most = std::min(max_bytes, self->max_body_);
  std::string body;
  while (true) {
    auto reading = read_some(self, body, deadline);
    ZWINGER_CO_TRY(const bool more, co_await reading);
    if (body.size() > most) {
      self->fail_with({.code = Code::http_body_too_large,
                       .message = fmt::format("the response's body is larger than {} bytes", most),
                       .where = {}});
      co_return std::unexpected(*self->failed_);
    }
    if (!more) co_return body;
  }
}

class Incoming final : public HttpIncoming {
 public:
  explicit Incoming(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}
  ~Incoming() override { exchange_->abort(); }
  Incoming(const Incoming&) = delete;
  Incoming& operator=(const Incoming&) = delete;

  [[nodiscard]] const HttpResponseHead& head() const override { return exchange_->head(); }
  Task<Result<bool>> read_some(std::string& into, std::optional<Monotonic> deadline) override {
    return Exchange::read_some(exchange_, into, deadline);
  }
  Task<Result<std::string>> read_all(std::size_t max_bytes,
                                     std::optional<Monotonic> deadline) override {
    return Exchange::read_all(exchange_, max_bytes, deadline);
  }
  void abort() override { exchange_->abort(); }

 private:
  std::shared_ptr<Exchange> exchange_;
};

}  // namespace

Task<Result<std::unique_ptr<HttpIncoming>>> HttpClient::Impl::send(std::shared_ptr<Impl> self,
                                                                   HttpClientRequest request,
                                                                   Monotonic deadline) {
  ZWINGER_CO_TRY(std::string bytes, serialize_request(request.method, request.target, self->host_,
                                                      request.headers, request.body));
  std::string().swap(request.body);  // the answer may take long
  auto connection = self->take_idle();
  if (!connection) {
    auto opening = open(self, deadline);
    auto opened = co_await opening;
    if (!opened) co_return std::unexpected(nothing_sent(std::move(opened).error()));
    connection = std::move(*opened);
  }
  connection->parser.expect(request.method);
  const Monotonic write_until = std::min(deadline, Loop::now() + self->options_.write_timeout);
  auto writing = connection->stream->write_all(bytes, write_until);
  const auto written = co_await writing;
  std::string().swap(bytes);
  // A server may answer and close before it has read everything; its answer counts.
  if (!written && written.error().code != Code::closed) {
    co_return std::unexpected(after_sending(written.error()));
  }
  connection->reusable = written.has_value();
  auto exchange = std::make_shared<Exchange>(
      std::move(connection), self->max_body(),
      [self](std::unique_ptr<Connection> done) { self->give_back(std::move(done)); });
  auto reading = Exchange::read_head(exchange, deadline);
  const auto read = co_await reading;
  if (!read) co_return std::unexpected(after_sending(written ? read.error() : written.error()));
  co_return std::make_unique<Incoming>(std::move(exchange));
}

Task<HttpClient::Impl::Connected> HttpClient::Impl::open(std::shared_ptr<Impl> self,
                                                         Monotonic deadline) {
  const Monotonic until = std::min(deadline, Loop::now() + self->options_.connect_timeout);
  auto dialling = dial(self, until);
  ZWINGER_CO_TRY(auto stream, co_await dialling);
  if (self->options_.origin.tls) {
    auto shaking = tls_connect(self->loop_, std::move(stream), self->options_.origin.tls, until);
    ZWINGER_CO_TRY(auto secured, co_await shaking);
    stream = std::move(secured.stream);
  }
  co_return std::make_unique<Connection>(std::move(stream), self->options_.limits);
}

Task<Result<std::vector<Address>>> HttpClient::Impl::addresses(std::shared_ptr<Impl> self,
                                                               Monotonic deadline) {
  const HttpOrigin& origin = self->options_.origin;
  if (origin.is_unix) {
    co_return std::vector{
        Address{.family = Address::Family::unix_socket, .host = origin.host, .port = 0}};
  }
  auto resolving = resolve(self->loop_, origin.host, origin.port, deadline);
  co_return co_await resolving;
}

// One address after the other; each gets its share of the time that is left.
Task<Result<std::unique_ptr<Stream>>> HttpClient::Impl::dial(std::shared_ptr<Impl> self,
                                                             Monotonic deadline) {
  auto finding = addresses(self, deadline);
  ZWINGER_CO_TRY(const std::vector<Address> found, co_await finding);
  Result<std::unique_ptr<Stream>> last = fail(Code::io, "the host has no address");
  for (std::size_t i = 0; i < found.size(); ++i) {
    const Monotonic now = Loop::now();
    const auto share = (deadline - now) / static_cast<int>(found.size() - i);
    auto connecting = connect(self->loop_, found[i], now + share);
    last = co_await connecting;
    if (last) break;
  }
  co_return last;
}

std::unique_ptr<Connection> HttpClient::Impl::take_idle() {
  while (!idle_.empty()) {
    auto connection = std::move(idle_.back());
    idle_.pop_back();
    if (Loop::now() < connection->idle_until && connection->stream->is_quiet()) return connection;
  }
  return nullptr;
}

void HttpClient::Impl::give_back(std::unique_ptr<Connection> connection) {
  if (closed_ || options_.max_idle == 0) return;
  connection->idle_until = std::min(connection->idle_until, Loop::now() + options_.idle_timeout);
  connection->unread = {};
  connection->full = false;
  if (connection->buffer.size() > kSmallBuffer) {
    std::string(kSmallBuffer, '\0').swap(connection->buffer);
  }
  if (idle_.size() >= options_.max_idle) idle_.pop_front();
  idle_.push_back(std::move(connection));
  start_timer();
}

// One timer for all of them, which is not touched while they come and go.
void HttpClient::Impl::start_timer() {
  if (timer_ || idle_.empty()) return;
  const auto first = std::ranges::min_element(idle_, {}, &Connection::idle_until);
  timer_ = loop_.call_at((*first)->idle_until, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->sweep();
  });
}

void HttpClient::Impl::stop_timer() {
  if (timer_) loop_.cancel(*std::exchange(timer_, std::nullopt));
}

void HttpClient::Impl::sweep() {
  timer_.reset();
  const Monotonic now = Loop::now();
  std::erase_if(idle_, [now](const auto& connection) { return connection->idle_until <= now; });
  start_timer();
}

void HttpClient::Impl::close() {
  closed_ = true;
  stop_timer();
  idle_.clear();
}

HttpClient::HttpClient(Loop& loop, HttpClientOptions options)
    : impl_(std::make_shared<Impl>(loop, std::move(options))) {}

HttpClient::~HttpClient() { impl_->close(); }

Task<Result<std::unique_ptr<HttpIncoming>>> HttpClient::send(HttpClientRequest request,
                                                             Monotonic deadline) {
  return Impl::send(impl_, std::move(request), deadline);
}

std::size_t HttpClient::idle_connections() const { return impl_->idle(); }

}  // namespace zwinger::net
