// An MCP server over HTTP that costs next to nothing: one thread, one epoll loop, answers made of
// the request's own bytes. One process is up to 100 upstreams: a path may begin with /u0 to /u99.
//
//   canned_upstream [--port N] [--sse EVENTS] [--no-session] [--get-stream]
//
// Prints {"event":"ready","port":N} and serves until it is killed or its parent dies. POST takes
// initialize, ping, tools/list, tools/call and notifications; tools/call gives back its argument
// `echo`, a colon and its argument `text`. With --sse a call is answered by a stream of that many
// log messages and the answer. GET is refused, or with --get-stream an event stream that stays
// silent; GET /stats counts what was served. For the peers of this bench only: it believes what it
// reads.
#include <sys/epoll.h>
#include <sys/prctl.h>

#include <csignal>
#include <memory>
#include <utility>

#include "bench/gateway/wire.h"

namespace zwinger::bench {

namespace {

struct Config {
  std::optional<std::size_t> sse_events;
  bool sessions = true;
  bool get_stream = false;
};

constexpr std::size_t kReadBytes = std::size_t{256} << 10U;

struct Request {
  std::string_view method;
  std::string_view path;
  std::string_view body;
  std::size_t size = 0;  // of all of it
};

class Server {
 public:
  Server(Config config, Fd listener) : config_(config), listener_(std::move(listener)) {
    epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
    watch(listener_.get(), EPOLLIN, EPOLL_CTL_ADD);
    buffer_.resize(kReadBytes);
    seed_ = mix(now_ns() ^ static_cast<std::uint64_t>(::getpid()));
  }

  [[noreturn]] void run() {
    std::array<epoll_event, 256> events{};
    for (;;) {
      const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
      for (int i = 0; i < n; ++i) {
        const epoll_event& event = events.at(static_cast<std::size_t>(i));
        if (event.data.fd == listener_.get()) {
          accept_all();
        } else {
          serve(event.data.fd, event.events);
        }
      }
    }
  }

 private:
  struct Connection {
    Fd fd;
    std::string in;   // the beginning of a request whose end has not come
    std::string out;  // what the socket did not take
  };

  void watch(int fd, std::uint32_t what, int operation) const {
    epoll_event event{};
    event.events = what;
    event.data.fd = fd;
    if (::epoll_ctl(epoll_.get(), operation, fd, &event) != 0) die_errno("epoll_ctl");
  }

  void accept_all() {
    for (;;) {
      Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) return;
      no_delay(fd.get());
      const int number = fd.get();
      const auto index = static_cast<std::size_t>(number);
      if (index >= connections_.size()) connections_.resize(index + 1024);
      watch(number, EPOLLIN, EPOLL_CTL_ADD);
      connections_[index] = std::make_unique<Connection>(Connection{std::move(fd), {}, {}});
    }
  }

  void serve(int fd, std::uint32_t what) {
    std::unique_ptr<Connection>& connection = connections_[static_cast<std::size_t>(fd)];
    if (!connection) return;
    bool open = true;
    if ((what & EPOLLOUT) != 0) open = flush(*connection);
    if (open && (what & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) open = read(*connection);
    if (!open) connection.reset();
  }

  // One read: where more is waiting, epoll says so again.
  bool read(Connection& connection) {
    const ssize_t n = ::recv(connection.fd.get(), buffer_.data(), buffer_.size(), 0);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) return false;
    std::string_view bytes(buffer_.data(), static_cast<std::size_t>(n));
    if (!connection.in.empty()) bytes = connection.in.append(bytes);
    std::size_t used = 0;
    answers_.clear();
    bad_ = false;
    while (const std::optional<Request> request = next(bytes.substr(used))) {
      answer(*request);
      used += request->size;
    }
    if (bad_) return false;
    if (connection.in.empty()) {
      connection.in.assign(bytes.substr(used));
    } else {
      connection.in.erase(0, used);
    }
    return send(connection);
  }

  bool send(Connection& connection) {
    if (answers_.empty()) return true;
    if (!connection.out.empty()) {
      connection.out += answers_;
      return true;
    }
    const ssize_t n = ::send(connection.fd.get(), answers_.data(), answers_.size(), MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return false;
    const std::size_t sent = n < 0 ? 0 : static_cast<std::size_t>(n);
    if (sent == answers_.size()) return true;
    connection.out.assign(answers_, sent);
    watch(connection.fd.get(), EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    return true;
  }

  bool flush(Connection& connection) const {
    const ssize_t n =
        ::send(connection.fd.get(), connection.out.data(), connection.out.size(), MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    connection.out.erase(0, static_cast<std::size_t>(n));
    if (connection.out.empty()) watch(connection.fd.get(), EPOLLIN, EPOLL_CTL_MOD);
    return true;
  }

  // The first request in `bytes`, where all of it is there.
  std::optional<Request> next(std::string_view bytes) {
    const std::size_t end = find(bytes, "\r\n\r\n");
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view head = bytes.substr(0, end + 4);
    const std::string_view length = header(head, "content-length");
    const std::optional<std::size_t> body = length.empty() ? 0 : to_size(length);
    const std::size_t method = head.find(' ');
    const std::size_t path = head.find(' ', method + 1);
    bad_ = !body || path == std::string_view::npos || !header(head, "transfer-encoding").empty();
    if (bad_ || bytes.size() < head.size() + *body) return std::nullopt;
    return Request{.method = head.substr(0, method),
                   .path = head.substr(method + 1, path - method - 1),
                   .body = bytes.substr(head.size(), *body),
                   .size = head.size() + *body};
  }

  void answer(const Request& request) {
    if (request.method == "POST") return post(request);
    if (request.method == "DELETE") return plain("200 OK");
    if (request.method == "GET" && request.path == "/stats") return stats();
    if (request.method != "GET" || !config_.get_stream) return plain("405 Method Not Allowed");
    ++streams_;
    answers_ +=
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
        "X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n: open\n\n\r\n";
  }

  void plain(std::string_view status) {
    answers_.append("HTTP/1.1 ").append(status).append("\r\nContent-Length: 0\r\n\r\n");
  }

  void json(std::string_view body, std::string_view more_headers = "") {
    answers_ += "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ";
    append_number(answers_, body.size());
    answers_.append("\r\n").append(more_headers).append("\r\n").append(body);
  }

  void stats() {
    body_ = "{\"calls\":";
    append_number(body_, calls_);
    body_ += ",\"sessions\":";
    append_number(body_, sessions_);
    body_ += ",\"streams\":";
    append_number(body_, streams_);
    body_ += "}";
    json(body_);
  }

  void post(const Request& request) {
    const std::string_view id = member(request.body, "id");
    const std::string_view method = text_member(request.body, "method");
    if (id.empty()) return plain("202 Accepted");
    body_.assign(R"({"jsonrpc":"2.0","id":)").append(id);
    if (method == "tools/call") return call(request, id);
    if (method == "initialize") return initialize(request);
    if (method == "tools/list") {
      body_ += R"(,"result":{"tools":[{"name":"echo","description":"Gives back its arguments",)"
               R"("inputSchema":{"type":"object","properties":{"echo":{"type":"string"},)"
               R"("text":{"type":"string"}},"required":["echo","text"]}}]}})";
    } else if (method == "ping") {
      body_ += R"(,"result":{}})";
    } else {
      body_ += R"(,"error":{"code":-32601,"message":"Method not found"}})";
    }
    json(body_);
  }

  void initialize(const Request& request) {
    const std::string_view version = text_member(member(request.body, "params"), "protocolVersion");
    body_.append(R"(,"result":{"protocolVersion":")").append(version);
    body_ += R"(","capabilities":{"tools":{},"logging":{}},"serverInfo":{"name":"canned )";
    body_.append(request.path.substr(0, request.path.find('?'))).append(R"(","version":"1"}}})");
    std::string session;
    ++sessions_;
    if (config_.sessions) {
      session = "Mcp-Session-Id: ";
      append_hex16(session, mix(seed_ + (2 * sessions_)));
      append_hex16(session, mix(seed_ + (2 * sessions_) + 1));
      session += "\r\n";
    }
    json(body_, session);
  }

  void call(const Request& request, std::string_view id) {
    ++calls_;
    const std::string_view arguments = member(member(request.body, "params"), "arguments");
    body_ += R"(,"result":{"content":[{"type":"text","text":")";
    body_.append(text_member(arguments, "echo")).append(":");
    body_.append(text_member(arguments, "text")).append(R"("}]}})");
    if (!config_.sse_events) return json(body_);
    answers_ +=
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
        "X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (std::size_t i = 1; i <= *config_.sse_events; ++i) {
      event_ = R"({"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info",)"
               R"("logger":"canned","data":"step )";
      append_number(event_, i);
      event_ += " of call ";
      for (const char c : id) event_ += c == '"' ? '\'' : c;
      event_ += R"("}})";
      add_event(event_);
    }
    add_event(body_);
    answers_ += "0\r\n\r\n";
  }

  void add_event(std::string_view data) {
    constexpr std::string_view kBefore = "event: message\ndata: ";
    append_number(answers_, kBefore.size() + data.size() + 2, 16);
    answers_.append("\r\n").append(kBefore).append(data).append("\n\n\r\n");
  }

  Config config_;
  Fd listener_;
  Fd epoll_;
  std::vector<std::unique_ptr<Connection>> connections_;  // by descriptor
  std::string buffer_;
  std::string answers_;  // to what one read brought
  std::string body_;
  std::string event_;
  bool bad_ = false;
  std::uint64_t seed_ = 0;
  std::uint64_t calls_ = 0;
  std::uint64_t sessions_ = 0;
  std::uint64_t streams_ = 0;
};

std::pair<Fd, std::uint16_t> listen_on(std::uint16_t port) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address = loopback(port);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(fd.get(), generic, size) != 0) die_errno("bind");
  if (::listen(fd.get(), 4096) != 0) die_errno("listen");
  if (::getsockname(fd.get(), generic, &size) != 0) die_errno("getsockname");
  return {std::move(fd), ntohs(address.sin_port)};
}

}  // namespace

}  // namespace zwinger::bench

int main(int argc, char** argv) {
  using namespace zwinger::bench;
  const Options options(argc, argv, {"--port", "--sse"}, {"--no-session", "--get-stream"});
  Config config;
  if (options.flag("--sse")) config.sse_events = options.count("--sse", 0);
  config.sessions = !options.flag("--no-session");
  config.get_stream = options.flag("--get-stream");
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  raise_descriptor_limit();
  auto [listener, port] = listen_on(static_cast<std::uint16_t>(options.count("--port", 0)));
  std::printf("{\"event\":\"ready\",\"port\":%u,\"pid\":%d}\n", static_cast<unsigned>(port),
              ::getpid());
  std::fflush(stdout);
  Server(config, std::move(listener)).run();
}
