// A closed loop of MCP clients over HTTP, and a holder of idle sessions.
//
//   load --port N [--path '/u{}/mcp'] [--upstreams N] [--clients 16] [--seconds 2] [--warmup 0.3]
//        [--bytes 1024] [--seed N] [--token-file FILE] [--session]
//   load --port N --idle N [--streams] ...
//
// Each client has one connection to 127.0.0.1 and sends tools/call requests one after the other, to
// the upstreams in turn ("{}" in the path is the upstream's number). With --session it initializes
// a session with each upstream first and deletes it at the end, outside the time measured. Every
// answer is checked: status 200, the request's id, the text that was sent. Prints
// {"event":"begin"} when the clock starts and {"event":"result",...} when it stops; times are
// microseconds from the first byte sent to the last byte of the answer.
//
// --idle opens that many connections with a session each (with --streams a GET stream each as
// well), says {"event":"ready",...}, and holds them until standard input ends. Then it says how
// many are still open.
//
// Exit 0: measured, whatever was measured. 1: could not be set up. 2: wrong usage.
#include <sys/epoll.h>

#include <fstream>
#include <memory>
#include <utility>

#include "bench/gateway/corpus.h"
#include "bench/gateway/histogram.h"
#include "bench/gateway/response.h"
#include "bench/gateway/wire.h"

namespace zwinger::bench {

namespace {

constexpr std::size_t kReadBytes = std::size_t{256} << 10U;
constexpr std::size_t kVariants = 512;
constexpr std::size_t kOpening = 64;  // sessions that are being opened at the same time
constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kStuck = 2 * kSecond;         // no answer for that long is an error
constexpr std::uint64_t kSetupLimit = 120 * kSecond;  // for everything before the clock starts
constexpr std::uint64_t kDeleteLimit = 10 * kSecond;
constexpr std::uint64_t kMaxErrors = 1000;  // then it is not worth going on

struct Config {
  std::uint16_t port = 0;
  std::string path = "/u{}/mcp";
  std::size_t upstreams = 1;
  std::size_t clients = 16;
  double seconds = 2;
  double warmup = 0.3;
  std::size_t bytes = 1024;
  std::uint64_t seed = 1;
  std::string token;
  bool session = false;
  bool idle = false;
  bool streams = false;
};

enum class Step : std::uint8_t {
  closed,
  initialize,
  initialized,
  stream,
  waiting,
  calling,
  held,
  deleting
};

struct Client {
  Fd fd;
  Step step = Step::closed;
  std::size_t upstream = 0;          // of the request that is under way, or of the next
  std::vector<std::string> session;  // header line by upstream
  std::string out;
  std::size_t sent = 0;
  ResponseReader response;
  std::uint64_t id = 0;
  std::uint64_t began = 0;
  bool waits_to_write = false;
};

class Load {
 public:
  explicit Load(Config config)
      : config_(std::move(config)),
        corpus_(make_corpus(kVariants, config_.bytes, config_.seed)),
        clients_(config_.clients) {
    epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
    buffer_.resize(kReadBytes);
    for (std::size_t i = 0; i < config_.upstreams; ++i) {
      std::string path = config_.path;
      const std::size_t at = path.find("{}");
      if (at != std::string::npos) path.replace(at, 2, std::to_string(i));
      paths_.push_back(std::move(path));
    }
    next_id_ = mix(config_.seed) % 1'000'000;
  }

  int run() {
    const std::uint64_t began = now_ns();
    set_up(began);
    if (setup_failed_) return report_setup();
    return config_.idle ? hold(began) : measure();
  }

 private:
  // --- before the clock starts

  void set_up(std::uint64_t began) {
    while (ready_ < clients_.size() && !setup_failed_) {
      while (begun_ < clients_.size() && begun_ - ready_ < kOpening && !setup_failed_) {
        open(begun_++);
      }
      poll(100);
      if (now_ns() - began > kSetupLimit) fail_setup("not set up in time");
    }
  }

  void open(std::size_t number) {
    Client& client = clients_[number];
    client.session.resize(paths_.size());
    // Clients begin at different upstreams, so that they do not march in step.
    client.upstream = number % paths_.size();
    if (!connect(number)) return fail_setup("connect: " + std::string(std::strerror(errno)));
    if (config_.session || config_.idle) return send_initialize(client);
    become_ready(client);
  }

  bool connect(std::size_t number) {
    Client& client = clients_[number];
    client.fd = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in address = loopback(config_.port);
    const auto* generic = reinterpret_cast<const sockaddr*>(&address);
    if (!client.fd || ::connect(client.fd.get(), generic, sizeof address) != 0) return false;
    no_delay(client.fd.get());
    (void)::fcntl(client.fd.get(), F_SETFL, O_NONBLOCK);
    client.response.reset();
    client.waits_to_write = false;
    watch(client, EPOLLIN, EPOLL_CTL_ADD);
    return true;
  }

  void become_ready(Client& client) {
    client.step = config_.idle ? Step::held : Step::waiting;
    if (config_.idle) {
      client.response.release();
      std::string().swap(client.out);
    }
    ++ready_;
  }

  void send_initialize(Client& client) {
    client.step = Step::initialize;
    client.id = next_id_++;
    body_ = R"({"jsonrpc":"2.0","id":)";
    append_number(body_, client.id);
    body_ += R"(,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},)"
             R"("clientInfo":{"name":"load","version":"1"}}})";
    request(client, "POST", body_);
  }

  void send_initialized(Client& client) {
    client.step = Step::initialized;
    request(client, "POST", R"({"jsonrpc":"2.0","method":"notifications/initialized"})");
  }

  // Called with a whole answer, or with the head of the stream.
  void next_step(Client& client) {
    const int status = client.response.status();
    if (client.step == Step::initialize) {
      if (status != 200 || !answer(client)) return fail_setup(describe("initialize", client));
      const std::string_view id = header(client.response.head(), "mcp-session-id");
      if (!id.empty()) {
        client.session[client.upstream] = "Mcp-Session-Id: " + std::string(id) + "\r\n";
      }
      client.response.reset();
      return send_initialized(client);
    }
    if (client.step == Step::initialized) {
      if (status != 202) return fail_setup(describe("initialized", client));
      client.response.reset();
      return after_session(client);
    }
    if (status != 200 || !client.response.event_stream()) {
      return fail_setup(describe("GET", client));
    }
    become_ready(client);
  }

  void after_session(Client& client) {
    if (config_.streams) {
      client.step = Step::stream;
      return request(client, "GET", "");
    }
    if (config_.idle) return become_ready(client);
    client.upstream = (client.upstream + 1) % paths_.size();
    const auto number = static_cast<std::size_t>(&client - clients_.data());
    if (client.upstream == number % paths_.size()) return become_ready(client);
    send_initialize(client);
  }

  void fail_setup(const std::string& what) {
    setup_failed_ = true;
    note_error(what);
  }
  int report_setup() {
    std::printf("{\"event\":\"failed\",\"sessions\":%zu,\"first_error\":\"%s\"}\n", ready_,
                first_error_.c_str());
    return 1;
  }

  // --- measuring

  int measure() {
    std::printf("{\"event\":\"begin\"}\n");
    std::fflush(stdout);
    const double cpu = cpu_seconds();
    measure_from_ = now_ns() + static_cast<std::uint64_t>(config_.warmup * 1e9);
    end_ = measure_from_ + static_cast<std::uint64_t>(config_.seconds * 1e9);
    for (Client& client : clients_) send_call(client);
    while (now_ns() < end_ && errors_ < kMaxErrors) poll(50);
    const std::uint64_t stopped = now_ns();
    for (const Client& client : clients_) {
      if (client.step == Step::calling && stopped - client.began > kStuck) note_error("no answer");
    }
    report(stopped, cpu_seconds() - cpu);
    if (config_.session) delete_sessions();
    return 0;
  }

  // As a client that takes its leave would, so that sessions of one run do not weigh on the next.
  // On fresh connections, because calls may still be under way. Whatever the server answers is
  // fine.
  void delete_sessions() {
    const std::uint64_t began = now_ns();
    deleting_ = 0;
    for (std::size_t i = 0; i < clients_.size(); ++i) {
      clients_[i].fd.reset();
      if (!connect(i)) continue;
      ++deleting_;
      clients_[i].upstream = 0;
      delete_next(clients_[i]);
    }
    while (deleting_ > 0 && now_ns() - began < kDeleteLimit) poll(100);
  }

  void delete_next(Client& client) {
    client.step = Step::deleting;
    while (client.upstream < paths_.size() && client.session[client.upstream].empty()) {
      ++client.upstream;
    }
    if (client.upstream < paths_.size()) return request(client, "DELETE", "");
    client.step = Step::closed;
    --deleting_;
  }

  void deleted(std::size_t number) {
    Client& client = clients_[number];
    const bool closes = client.response.peer_closes();
    client.response.reset();
    client.session[client.upstream].clear();
    if (closes) {
      client.fd.reset();
      if (!connect(number)) return lost(number, "");
    }
    delete_next(client);
  }

  void report(std::uint64_t stopped, double cpu) const {
    const double seconds =
        stopped > measure_from_ ? static_cast<double>(stopped - measure_from_) / 1e9 : 0;
    const auto requests = static_cast<double>(times_.count());
    std::printf(
        "{\"event\":\"result\",\"clients\":%zu,\"requests\":%.0f,\"total\":%llu,\"streamed\":%llu,"
        "\"errors\":%llu,"
        "\"first_error\":\"%s\","
        "\"seconds\":%.3f,\"rate\":%.0f,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"max\":%.1f,"
        "\"client_cpu_us\":%.2f}\n",
        clients_.size(), requests, static_cast<unsigned long long>(answered_),
        static_cast<unsigned long long>(streamed_), static_cast<unsigned long long>(errors_),
        first_error_.c_str(), seconds, seconds > 0 ? requests / seconds : 0,
        times_.percentile_us(0.5), times_.percentile_us(0.9), times_.percentile_us(0.99),
        times_.max_us(), answered_ > 0 ? cpu * 1e6 / static_cast<double>(answered_) : 0);
  }

  void send_call(Client& client) {
    client.step = Step::calling;
    client.id = next_id_++;
    const std::string& text = corpus_[mix(client.id) % corpus_.size()];
    body_ = R"({"jsonrpc":"2.0","id":)";
    append_number(body_, client.id);
    body_ += R"(,"method":"tools/call","params":{"name":"echo","arguments":{"echo":")";
    append_hex16(body_, mix(client.id ^ config_.seed));
    body_.append(R"(","text":")").append(text).append(R"("}}})");
    request(client, "POST", body_);
  }

  void finish_call(std::size_t number) {
    Client& client = clients_[number];
    const std::uint64_t now = now_ns();
    if (client.response.status() == 200 && answer(client) && echoes(client)) {
      ++answered_;
      streamed_ += client.response.event_stream() ? 1 : 0;
      if (client.began >= measure_from_ && now <= end_) times_.record(now - client.began);
    } else {
      note_error(describe("call", client));
    }
    if (client.response.peer_closes()) return reconnect(number);
    client.response.reset();
    client.upstream = (client.upstream + 1) % paths_.size();
    send_call(client);
  }

  // The JSON-RPC message that has this client's id.
  [[nodiscard]] std::optional<std::string_view> answer(const Client& client) const {
    std::string id;
    append_number(id, client.id);
    const std::string_view body = client.response.body();
    const std::string_view message =
        client.response.event_stream() ? event_with_id(body, id) : body;
    if (client.response.has_surplus() || member(message, "id") != id) return std::nullopt;
    return member(message, "result").empty() ? std::nullopt : std::optional(message);
  }

  // Looks for the short unique part first: that is quicker than for all of it.
  [[nodiscard]] bool echoes(const Client& client) const {
    std::string echo;
    append_hex16(echo, mix(client.id ^ config_.seed));
    echo += ':';
    const std::string_view body = client.response.body();
    const std::size_t at = find(body, echo);
    return at != std::string_view::npos &&
           body.substr(at + echo.size()).starts_with(corpus_[mix(client.id) % corpus_.size()]);
  }

  // The call is lost; its client goes on with another.
  void reconnect(std::size_t number) {
    if (errors_ >= kMaxErrors) return;
    clients_[number].fd.reset();
    if (!connect(number)) return note_error("connect: " + std::string(std::strerror(errno)));
    send_call(clients_[number]);
  }

  // --- holding

  int hold(std::uint64_t began) {
    std::printf("{\"event\":\"ready\",\"sessions\":%zu,\"seconds\":%.2f}\n", ready_,
                static_cast<double>(now_ns() - began) / 1e9);
    std::fflush(stdout);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLHUP;
    event.data.u64 = kStandardInput;
    (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, STDIN_FILENO, &event);
    while (!input_ended_) poll(1000);
    std::size_t open = 0;
    for (const Client& client : clients_) open += client.step == Step::held ? 1 : 0;
    std::printf("{\"event\":\"end\",\"open\":%zu,\"closed\":%zu}\n", open, clients_.size() - open);
    return 0;
  }

  // --- connections

  static constexpr std::uint64_t kStandardInput = UINT64_MAX;

  void watch(const Client& client, std::uint32_t what, int operation) const {
    epoll_event event{};
    event.events = what;
    event.data.u64 = static_cast<std::uint64_t>(&client - clients_.data());
    if (::epoll_ctl(epoll_.get(), operation, client.fd.get(), &event) != 0) die_errno("epoll_ctl");
  }

  void poll(int milliseconds) {
    std::array<epoll_event, 256> events{};
    const int n =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), milliseconds);
    for (int i = 0; i < n; ++i) {
      const epoll_event& event = events.at(static_cast<std::size_t>(i));
      if (event.data.u64 == kStandardInput) {
        read_input();
        continue;
      }
      const auto number = static_cast<std::size_t>(event.data.u64);
      if ((event.events & EPOLLOUT) != 0) flush(clients_[number]);
      if ((event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read(number);
    }
  }

  void read_input() {
    std::array<char, 256> ignored{};
    input_ended_ = ::read(STDIN_FILENO, ignored.data(), ignored.size()) <= 0;
  }

  void request(Client& client, std::string_view method, std::string_view body) {
    std::string& out = client.out;
    out.assign(method).append(" ").append(paths_[client.upstream]);
    out.append(" HTTP/1.1\r\nHost: 127.0.0.1:");
    append_number(out, config_.port);
    out += method == "GET" ? "\r\nAccept: text/event-stream\r\n"
                           : "\r\nAccept: application/json, text/event-stream\r\n"
                             "Content-Type: application/json\r\n";
    if (client.step != Step::initialize) out += "MCP-Protocol-Version: 2025-11-25\r\n";
    if (!config_.token.empty()) {
      out.append("Authorization: Bearer ").append(config_.token).append("\r\n");
    }
    if (client.step != Step::initialize) out += client.session[client.upstream];
    if (method == "POST") {
      out += "Content-Length: ";
      append_number(out, body.size());
      out += "\r\n";
    }
    out.append("\r\n").append(body);
    client.sent = 0;
    client.began = now_ns();
    flush(client);
  }

  // An error shows again when the connection is read.
  void flush(Client& client) const {
    const std::string_view rest = std::string_view(client.out).substr(client.sent);
    const ssize_t n = ::send(client.fd.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n > 0) client.sent += static_cast<std::size_t>(n);
    const bool more = client.sent < client.out.size() && (n >= 0 || errno == EAGAIN);
    if (more == client.waits_to_write) return;
    client.waits_to_write = more;
    watch(client, more ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
  }

  void read(std::size_t number) {
    Client& client = clients_[number];
    if (!client.fd) return;
    const ssize_t n = ::recv(client.fd.get(), buffer_.data(), buffer_.size(), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) return lost(number, n == 0 ? "connection closed" : "connection reset");
    if (client.step == Step::held) return;  // a stream's comment
    const std::string_view bytes(buffer_.data(), static_cast<std::size_t>(n));
    const ResponseReader::State state = client.response.feed(bytes, client.step == Step::stream);
    if (state == ResponseReader::State::bad) return lost(number, describe("response", client));
    if (state == ResponseReader::State::need_more) return;
    if (client.step == Step::calling) return finish_call(number);
    if (client.step == Step::deleting) return deleted(number);
    next_step(client);
  }

  void lost(std::size_t number, const std::string& what) {
    Client& client = clients_[number];
    client.fd.reset();
    if (client.step == Step::calling) {
      note_error(what);
      return reconnect(number);
    }
    if (client.step == Step::deleting) {
      --deleting_;
    } else if (client.step != Step::held && client.step != Step::waiting) {
      fail_setup(what);
    }
    client.step = Step::closed;
  }

  // --- errors

  void note_error(const std::string& what) {
    ++errors_;
    if (!first_error_.empty()) return;
    for (const char c : what) {  // so that it can stand in JSON
      first_error_ += c == '"' || c == '\\' ? '\'' : static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }

  static std::string describe(const std::string& what, const Client& client) {
    return what + ": status " + std::to_string(client.response.status()) + ", " +
           std::string(client.response.body().substr(0, 300));
  }

  Config config_;
  std::vector<std::string> corpus_;
  std::vector<Client> clients_;
  std::vector<std::string> paths_;
  Fd epoll_;
  std::string buffer_;
  std::string body_;
  std::uint64_t next_id_ = 0;
  std::size_t begun_ = 0;
  std::size_t ready_ = 0;
  std::size_t deleting_ = 0;  // clients that still delete sessions
  bool setup_failed_ = false;
  bool input_ended_ = false;
  std::uint64_t measure_from_ = 0;
  std::uint64_t end_ = 0;
  Histogram times_;
  std::uint64_t answered_ = 0;
  std::uint64_t streamed_ = 0;  // of them, those that came as an event stream
  std::uint64_t errors_ = 0;
  std::string first_error_;
};

std::string read_token(const std::string& path) {
  if (path.empty()) return {};
  std::ifstream in(path);
  std::string token;
  if (!(in >> token)) die("no token in " + path);
  return token;
}

Config read_config(const Options& options) {
  Config out;
  out.port = static_cast<std::uint16_t>(options.count("--port", 0));
  if (out.port == 0) die("--port is missing");
  out.path = options.text("--path", out.path);
  out.upstreams = options.count("--upstreams", out.upstreams);
  out.idle = options.flag("--idle");
  out.clients = out.idle ? options.count("--idle", 0) : options.count("--clients", out.clients);
  if (out.upstreams == 0 || out.clients == 0) die("there must be one upstream and one client");
  out.seconds = options.number("--seconds", out.seconds);
  out.warmup = options.number("--warmup", out.warmup);
  out.bytes = options.count("--bytes", out.bytes);
  out.seed = options.count("--seed", 1);
  out.token = read_token(options.text("--token-file", ""));
  out.session = options.flag("--session");
  out.streams = options.flag("--streams");
  if (out.streams && !out.idle) die("--streams goes with --idle");
  return out;
}

}  // namespace

}  // namespace zwinger::bench

int main(int argc, char** argv) {
  using namespace zwinger::bench;
  const Options options(argc, argv,
                        {"--port", "--path", "--upstreams", "--clients", "--seconds", "--warmup",
                         "--bytes", "--seed", "--token-file", "--idle"},
                        {"--session", "--streams"});
  raise_descriptor_limit();
  return Load(read_config(options)).run();
}
