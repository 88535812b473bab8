// HTTP upstreams against a scripted server in this process, which misbehaves on purpose: what it
// sends is written byte for byte.
#include "gateway/http_upstream.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "mcp/envelope.h"
#include "net/http1.h"
#include "net/one_shot.h"
#include "net/test_certificates.h"
#include "net/test_loop.h"
#include "net/tls.h"

namespace zwinger::gateway {
namespace {

using namespace std::chrono_literals;

// What the record got, to look for notices in it.
class KeptDisk final : public ledger::AppendFile {
 public:
  struct Bytes {
    std::mutex mutex;
    std::string text;
  };
  explicit KeptDisk(std::shared_ptr<Bytes> bytes) : bytes_(std::move(bytes)) {}
  Result<void> write(std::string_view bytes) override {
    const std::lock_guard lock(bytes_->mutex);
    bytes_->text += bytes;
    return {};
  }
  Result<void> sync() override { return {}; }

 private:
  std::shared_ptr<Bytes> bytes_;
};

// One request as the server saw it, and the way back.
struct Asked {
  net::HttpRequest http;
  std::string method;  // of JSON-RPC; empty without
  std::string id;      // source text
  net::Stream* stream = nullptr;
  net::Loop* loop = nullptr;

  [[nodiscard]] std::string header(std::string_view name) const {
    return std::string(http.header(name).value_or("-"));
  }
  [[nodiscard]] std::string result(std::string_view result = "{}") const {
    return mcp::write_result(id, result);
  }
};

Task<bool> write(const Asked& asked, std::string bytes) {
  auto writing = asked.stream->write_all(bytes, net::Loop::now() + 60s);
  const auto written = co_await writing;
  co_return written.has_value();
}
std::string answer(int status, std::string_view type, std::string_view body,
                   std::string_view headers = {}) {
  return fmt::format("HTTP/1.1 {} X\r\nContent-Type: {}\r\n{}Content-Length: {}\r\n\r\n{}", status,
                     type, headers, body.size(), body);
}
std::string json(std::string_view body, std::string_view headers = {}) {
  return answer(200, "application/json", body, headers);
}
constexpr const char* kAccepted = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
// The head of an event stream that ends with the connection, and one that can be followed.
constexpr const char* kEvents =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
constexpr const char* kChunkedEvents =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
std::string event(std::string_view data, std::string_view id = {}) {
  return (id.empty() ? std::string() : fmt::format("id: {}\n", id)) +
         fmt::format("data: {}\n\n", data);
}
std::string note(int number) {
  return fmt::format(R"({{"jsonrpc":"2.0","method":"notifications/message","params":{{"n":{}}}}})",
                     number);
}
std::string hello(std::string_view version = "2025-11-25") {
  return fmt::format(
      R"({{"protocolVersion":"{}","capabilities":{{}},"serverInfo":{{"name":"t","version":"1"}}}})",
      version);
}

// Lives on one loop. The script gets each request; where it returns false the connection is closed.
class Peer {
 public:
  using Script = std::function<Task<bool>(const Asked&)>;

  Peer(net::Loop& loop, Script script, std::shared_ptr<const net::TlsServerContext> tls = {})
      : loop_(loop), script_(std::move(script)), tls_(std::move(tls)) {
    const auto address = net::Address::parse("127.0.0.1:0");
    listener_ = *net::listen(loop, *address);
    loop.spawn(accept());
  }

  [[nodiscard]] std::uint16_t port() const { return listener_->address().port; }
  [[nodiscard]] std::size_t count(std::string_view method) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(seen, [&](const Asked& asked) { return asked.method == method; }));
  }
  [[nodiscard]] const Asked* find(std::string_view http_method,
                                  std::string_view method = {}) const {
    const auto found = std::ranges::find_if(seen, [&](const Asked& asked) {
      return asked.http.method == http_method && asked.method == method;
    });
    return found == seen.end() ? nullptr : &*found;
  }

  std::vector<Asked> seen;  // NOLINT(misc-non-private-member-variables-in-classes)
  int connections = 0;      // NOLINT(misc-non-private-member-variables-in-classes)
  int open = 0;             // NOLINT(misc-non-private-member-variables-in-classes)
  bool verified = false;    // NOLINT(misc-non-private-member-variables-in-classes)

 private:
  Task<void> accept() {
    while (true) {
      auto accepting = listener_->accept();
      auto stream = co_await accepting;
      if (!stream) co_return;
      ++connections;
      loop_.spawn(serve(*std::move(stream)));
    }
  }
  Task<void> serve(std::unique_ptr<net::Stream> stream) {
    ++open;
    if (tls_) {
      auto shaking = net::tls_accept(loop_, std::move(stream), tls_, net::Loop::now() + 60s);
      auto shaken = co_await shaking;
      if (!shaken) co_return;
      verified = shaken->peer.verified;
      stream = std::move(shaken->stream);
    }
    net::RequestParser parser({});
    std::string buffer(16384, '\0');
    while (true) {
      auto reading = stream->read_some(std::span(buffer), std::nullopt);
      const auto got = co_await reading;
      if (!got || *got == 0) break;
      std::string_view input = std::string_view(buffer).substr(0, *got);
      const auto state = parser.feed(input);
      EXPECT_TRUE(state.has_value());
      if (!state) break;
      if (*state != net::RequestParser::State::complete) continue;
      Asked asked = read(parser.take());
      asked.stream = stream.get();
      asked.loop = &loop_;
      seen.push_back(asked);
      auto answering = script_(asked);
      if (!co_await answering) break;
    }
    --open;
  }
  static Asked read(net::HttpRequest request) {
    Asked out;
    if (!request.body.empty()) {
      auto message = mcp::parse_message(request.body, {});
      EXPECT_TRUE(message.has_value()) << request.body;
      if (message) {
        out.method = message->method.empty() ? "answer" : std::string(message->method);
        out.id = message->id;
      }
    }
    out.http = std::move(request);
    return out;
  }

  net::Loop& loop_;
  Script script_;
  std::shared_ptr<const net::TlsServerContext> tls_;
  std::unique_ptr<net::Listener> listener_;
};

// Initialization as it should be; everything else is the rest's. Sessions are s1, s2, ...
Peer::Script polite(Peer::Script rest, std::string version = "2025-11-25") {
  auto sessions = std::make_shared<int>(0);
  return [rest = std::move(rest), sessions, version](const Asked& asked) -> Task<bool> {
    if (asked.method == "initialize") {
      auto writing = write(asked, json(asked.result(hello(version)),
                                       fmt::format("Mcp-Session-Id: s{}\r\n", ++*sessions)));
      co_return co_await writing;
    }
    if (asked.method == "notifications/initialized" || asked.http.method == "DELETE" ||
        asked.method == "notifications/cancelled" || asked.method == "answer") {
      auto writing = write(asked, kAccepted);
      co_return co_await writing;
    }
    auto going_on = rest(asked);
    co_return co_await going_on;
  };
}
// Answers each request with these bytes.
Peer::Script bytes(std::function<std::string(const Asked&)> make, bool keep = true) {
  return [make = std::move(make), keep](const Asked& asked) -> Task<bool> {
    auto writing = write(asked, make(asked));
    const bool written = co_await writing;
    co_return written&& keep;
  };
}
// Never answers.
Task<bool> silent(const Asked& asked) {
  auto sleeping = asked.loop->sleep(1h);
  co_await sleeping;
  co_return false;
}

class Sink final : public EventSink {
 public:
  void opened() override { ++opens; }
  void paused(std::optional<std::uint64_t> retry_ms) override {
    ++pauses;
    retry = retry_ms;
  }
  Task<void> take(net::Loop& loop, mcp::Message message) override {
    EXPECT_TRUE(loop.on_loop_thread());
    EXPECT_FALSE(std::exchange(busy, true)) << "one call at a time";
    taken.emplace_back(message.document.text());
    while (held) {
      auto pausing = loop.sleep(2ms);
      co_await pausing;
    }
    busy = false;
  }

  int opens = 0;
  int pauses = 0;
  std::optional<std::uint64_t> retry;
  bool held = false;
  bool busy = false;
  std::vector<std::string> taken;
};

class HttpUpstreamTest : public net::LoopTest {
 public:
  using net::LoopTest::loop;

  static UpstreamConfig config_for(std::uint16_t port) {
    UpstreamConfig config;
    config.id = "t";
    config.endpoint = {.url = fmt::format("http://127.0.0.1:{}/mcp", port),
                       .tls = false,
                       .host = "127.0.0.1",
                       .port = port,
                       .target = "/mcp"};
    config.answer_timeout = 30s;
    return config;
  }
  // They stay: their coroutines run as long as the loop.
  void serve(Peer::Script script) {
    peers.push_back(std::make_unique<Peer>(loop, std::move(script)));
    peer = peers.back().get();
  }
  // A server that initializes politely and then does this, and a connection to it.
  Connection& session(Peer::Script rest, const std::function<void(UpstreamConfig&)>& tweak = {},
                      bool shared = true) {
    return session_with(polite(std::move(rest)), tweak, shared);
  }
  Connection& session_with(Peer::Script script,
                           const std::function<void(UpstreamConfig&)>& tweak = {},
                           bool shared = true) {
    serve(std::move(script));
    UpstreamConfig config = config_for(peer->port());
    if (tweak) tweak(config);
    make(std::move(config));
    connection = shared ? upstream->shared() : open();
    return *connection;
  }
  void make(UpstreamConfig config) {
    const std::array loops = {&loop};
    if (upstream) earlier.push_back(std::move(upstream));
    upstream = std::make_unique<HttpUpstream>(std::span<net::Loop* const>(loops), std::move(config),
                                              *log, notices);
  }
  std::shared_ptr<Connection> open() {
    ConnectionStart start;
    start.initialize_id = kInitializeId;
    start.initialize_params = mcp::own_initialize_params("test");
    start.initialize = mcp::write_request(kInitializeId, "initialize", start.initialize_params);
    start.events = events;
    auto opened = upstream->open(std::move(start));
    EXPECT_TRUE(opened.has_value());
    return *opened;
  }

  // The result's source text, the error's, or the name of the code.
  Task<std::string> ask(Connection& to, std::shared_ptr<Sink> sink = {}, std::string key = {}) {
    const std::int64_t id = to.next_id();
    UpstreamRequest request{.id = id,
                            .message = mcp::write_request(id, "tools/call", "{}"),
                            .progress_key = std::move(key),
                            .events = std::move(sink),
                            .cancelled = {}};
    auto asking = to.request(loop, std::move(request));
    const auto reply = co_await asking;
    if (!reply) {
      last_error = reply.error();
      co_return std::string(name(reply.error().code));
    }
    co_return std::string(reply->result ? reply->result->source() : reply->error->source());
  }
  Task<std::string> start(Connection& to) {
    auto asking = to.server(loop);
    const auto server = co_await asking;
    if (server) co_return (*server)->protocol_version;
    last_error = server.error();
    co_return std::string(name(server.error().code));
  }
  using Waiting = std::shared_ptr<net::OneShot<std::string>>;
  // Asks without waiting.
  Waiting ask_aside(Connection& to, std::shared_ptr<Sink> sink = {}, std::string key = {}) {
    auto out = std::make_shared<net::OneShot<std::string>>(loop);
    loop.spawn([](Task<std::string> asking, Waiting told) -> Task<void> {
      std::string reply = co_await asking;
      told->set(std::move(reply));
    }(ask(to, std::move(sink), std::move(key)), out));
    return out;
  }
  static Task<std::string> value(Waiting waiting) {
    auto awaiting = waiting->wait();
    auto got = co_await awaiting;
    co_return got.value_or("nothing");
  }
  Task<void> until(std::function<bool()> condition) {
    const Monotonic deadline = net::Loop::now() + 30s;
    while (!condition()) {
      if (net::Loop::now() > deadline) {
        ADD_FAILURE() << "it does not come";
        co_return;
      }
      auto pausing = loop.sleep(2ms);
      co_await pausing;
    }
  }
  // Ends the record; how often it has this notice.
  std::uint64_t noted(std::string_view event) {
    if (record) notices.flush();
    record.reset();
    const std::lock_guard lock(disk->mutex);
    std::uint64_t total = 0;
    const std::string wanted = fmt::format("\"event\":\"{}\"", event);
    for (std::size_t at = 0; (at = disk->text.find(wanted, at)) != std::string::npos; ++at) {
      const std::size_t end = disk->text.find('\n', at);
      const std::size_t count = disk->text.find("\"count\":", at);
      total += count < end ? std::stoull(disk->text.substr(count + 8)) : 1;
    }
    return total;
  }

  net::TempDir folder;
  SystemClock clock;
  std::unique_ptr<Log> log = make_null_log();
  std::shared_ptr<KeptDisk::Bytes> disk = std::make_shared<KeptDisk::Bytes>();
  std::unique_ptr<ledger::Ledger> record =
      ledger::Ledger::over(std::make_unique<KeptDisk>(disk), {.emitter = "test"}, clock);
  Notices notices{loop, *record};
  std::shared_ptr<Sink> events = std::make_shared<Sink>();
  std::vector<std::unique_ptr<Peer>> peers;
  Peer* peer = nullptr;
  std::vector<std::unique_ptr<HttpUpstream>> earlier;
  std::unique_ptr<HttpUpstream> upstream;
  std::shared_ptr<Connection> connection;
  Error last_error{Code::internal, {}, {}};
};

// --- starting ---

TEST_F(HttpUpstreamTest, TheSharedConnectionInitializesItselfWhenItIsFirstUsed) {
  Connection& to = session(bytes([](const Asked& a) { return json(a.result(R"({"n":7})")); }),
                           [](UpstreamConfig& config) { config.headers = {{"X-Team", "blue"}}; });
  run([&]() -> Task<void> {
    EXPECT_EQ(peer->connections, 0);
    auto asking = ask(to);
    EXPECT_EQ(co_await asking, R"({"n":7})");
  }());
  ASSERT_EQ(peer->seen.size(), 3U);
  EXPECT_EQ(peer->connections, 1) << "kept alive";
  EXPECT_EQ(peer->seen[0].method, "initialize");
  EXPECT_EQ(peer->seen[0].header("mcp-protocol-version"), "-");
  EXPECT_EQ(peer->seen[0].header("mcp-session-id"), "-");
  EXPECT_EQ(peer->seen[1].method, "notifications/initialized");
  const Asked& call = peer->seen[2];
  EXPECT_EQ(call.http.method, "POST");
  EXPECT_EQ(call.http.target, "/mcp");
  EXPECT_EQ(call.header("content-type"), "application/json");
  EXPECT_EQ(call.header("accept"), "application/json, text/event-stream");
  EXPECT_EQ(call.header("mcp-protocol-version"), "2025-11-25");
  EXPECT_EQ(call.header("mcp-session-id"), "s1");
  EXPECT_EQ(call.header("x-team"), "blue");
}

TEST_F(HttpUpstreamTest, ASessionSendsItsClientsInitializeAndNoNotificationOfItsOwn) {
  Connection& to = session_with(
      polite(bytes([](const Asked& a) { return json(a.result()); }), "2025-06-18"), {}, false);
  run([&]() -> Task<void> {
    auto starting = start(to);
    EXPECT_EQ(co_await starting, "2025-06-18");
    auto telling = to.send(loop, mcp::write_notification("notifications/initialized", {}));
    EXPECT_TRUE((co_await telling).has_value());
  }());
  ASSERT_EQ(peer->seen.size(), 2U);
  EXPECT_TRUE(peer->seen[0].http.body.contains("\"test\""));
  EXPECT_EQ(peer->seen[1].header("mcp-protocol-version"), "2025-06-18");
}

TEST_F(HttpUpstreamTest, ManyWhoComeAtOnceInitializeOnce) {
  Connection& to = session(bytes([](const Asked& a) { return json(a.result(R"({"n":7})")); }));
  run([&]() -> Task<void> {
    std::vector<Waiting> all;
    all.reserve(20);
    for (int i = 0; i < 20; ++i) all.push_back(ask_aside(to));
    for (const Waiting& each : all) {
      auto getting = value(each);
      EXPECT_EQ(co_await getting, R"({"n":7})");
    }
  }());
  EXPECT_EQ(peer->count("initialize"), 1U);
  EXPECT_EQ(peer->count("tools/call"), 20U);
}

TEST_F(HttpUpstreamTest, AnInitializeThatIsRefusedIsToldInItsOwnWords) {
  Connection& to =
      session_with(bytes([](const Asked& a) {
                     return json(mcp::write_error(a.id, R"({"code":-3,"message":"no"})"));
                   }),
                   {}, false);
  run([&]() -> Task<void> {
    auto starting = start(to);
    EXPECT_EQ(co_await starting, "upstream_error");
    EXPECT_EQ(last_error.message, R"({"code":-3,"message":"no"})");
    auto again = start(to);  // its client was told: it is not tried again
    EXPECT_EQ(co_await again, "upstream_error");
    auto asking = ask(to);
    EXPECT_EQ(co_await asking, "upstream_error");
  }());
  EXPECT_EQ(peer->seen.size(), 1U);
}

TEST_F(HttpUpstreamTest, ARevisionThatWeDoNotSpeakIsNoSession) {
  Connection& to = session_with(polite(silent, "1999-01-01"), {}, false);
  run([&]() -> Task<void> {
    auto starting = start(to);
    EXPECT_EQ(co_await starting, "upstream_invalid_message");
  }());
}

TEST_F(HttpUpstreamTest, AMalformedSessionIdIsNoSession) {
  for (const std::string& id : {std::string("a b"), std::string("caf\xC3\xA9"), std::string(),
                                std::string(1025, 'x'), std::string("a\r\nMcp-Session-Id: b")}) {
    Connection& to =
        session_with(bytes([id](const Asked& a) {
                       return json(a.result(hello()), fmt::format("Mcp-Session-Id: {}\r\n", id));
                     }),
                     {}, false);
    loop.spawn(
        [](HttpUpstreamTest& test, Connection& asked, const std::string& what) -> Task<void> {
          auto starting = test.start(asked);
          const std::string got = co_await starting;
          EXPECT_EQ(got, "upstream_invalid_message") << what;
        }(*this, to, id));
    const Monotonic deadline = soon();
    while (peer->seen.empty() || last_error.code == Code::internal) {
      ASSERT_LT(net::Loop::now(), deadline);
      loop.poll();
    }
    last_error = {Code::internal, {}, {}};
    loop.poll();
  }
}

TEST_F(HttpUpstreamTest, AServerThatIsNotReadyIsAskedAgainAfterAPause) {
  bool up = false;
  serve([&, ready = polite(silent)](const Asked& a) -> Task<bool> {
    auto answering = up ? ready(a) : write(a, answer(503, "text/plain", "secret"));
    co_return co_await answering;
  });
  make(config_for(peer->port()));
  connection = upstream->shared();
  run([&]() -> Task<void> {
    auto first = ask(*connection);
    EXPECT_EQ(co_await first, "upstream_unavailable");
    EXPECT_TRUE(last_error.message.contains("503"));
    EXPECT_FALSE(last_error.message.contains("secret"));
    EXPECT_EQ(peer->seen.size(), 1U);
    auto at_once = ask(*connection);
    EXPECT_EQ(co_await at_once, "upstream_unavailable");
    EXPECT_EQ(peer->seen.size(), 1U) << "not in the pause";
    up = true;
    std::string again = "upstream_unavailable";
    while (again == "upstream_unavailable") {
      auto pausing = loop.sleep(10ms);
      co_await pausing;
      auto asking = start(*connection);
      again = co_await asking;
    }
    EXPECT_EQ(again, "2025-11-25");
    EXPECT_EQ(peer->count("initialize"), 2U);
  }());
}

TEST_F(HttpUpstreamTest, NobodyThereIsUnavailable) {
  serve(silent);
  UpstreamConfig config = config_for(peer->port());
  config.endpoint.port = 1;
  make(config);
  connection = upstream->shared();
  run([&]() -> Task<void> {
    auto asking = ask(*connection);
    EXPECT_EQ(co_await asking, "upstream_unavailable");
    EXPECT_TRUE(last_error.message.contains("cannot be reached"));
  }());
}

TEST_F(HttpUpstreamTest, AnInitializeWithoutAnAnswerEndsWithTheStartsTime) {
  Connection& to =
      session_with(silent, [](UpstreamConfig& config) { config.start_timeout = 1s; }, false);
  run([&]() -> Task<void> {
    auto starting = start(to);
    EXPECT_EQ(co_await starting, "upstream_timeout");
  }());
}

TEST_F(HttpUpstreamTest, ASecretHeaderComesFromAPrivateFile) {
  const auto path = folder.path() / "token";
  std::ofstream(path) << "Bearer abc\n";
  ::chmod(path.c_str(), 0600);
  Connection& to =
      session(bytes([](const Asked& a) { return json(a.result(R"({"n":7})")); }),
              [&](UpstreamConfig& config) { config.secret_headers = {{"Authorization", path}}; });
  run([&]() -> Task<void> {
    auto asking = ask(to);
    EXPECT_EQ(co_await asking, R"({"n":7})");
    EXPECT_EQ(peer->seen.back().header("authorization"), "Bearer abc");

    ::chmod(path.c_str(), 0644);
    UpstreamConfig open = upstream->config();
    make(open);
    connection = upstream->shared();
    auto refused = ask(*connection);
    EXPECT_EQ(co_await refused, "upstream_unavailable");
    EXPECT_TRUE(last_error.message.contains("Authorization"));
    EXPECT_FALSE(last_error.message.contains("abc"));
  }());
}

TEST_F(HttpUpstreamTest, AHeaderThatIsOursCannotBeConfigured) {
  Connection& to = session(
      silent, [](UpstreamConfig& config) { config.headers = {{"MCP-Session-ID", "mine"}}; });
  run([&]() -> Task<void> {
    auto asking = ask(to);
    EXPECT_EQ(co_await asking, "upstream_unavailable");
  }());
  EXPECT_TRUE(peer->seen.empty());
}

TEST_F(HttpUpstreamTest, ACertificateAuthorityThatIsNotThereMakesItUnavailable) {
  Connection& to = session(silent, [&](UpstreamConfig& config) {
    config.endpoint.tls = true;
    config.tls_ca = folder.path() / "missing.pem";
  });
  run([&]() -> Task<void> {
    auto asking = ask(to);
    EXPECT_EQ(co_await asking, "upstream_unavailable");
  }());
  EXPECT_TRUE(peer->seen.empty());
}

TEST_F(HttpUpstreamTest, TlsGoesBothWaysAndToTheRightServerOnly) {
  const net::TestAuthority authority(folder.path(), "authority");
  const net::TestIdentity ours = authority.issue({.name = "client", .alternative = {}});
  const net::TestIdentity theirs =
      authority.issue({.name = "server", .alternative = "IP:127.0.0.1"});
  auto context = net::TlsServerContext::make({.certificate = theirs.certificate,
                                              .key = theirs.key,
                                              .client_ca = authority.path(),
                                              .require_client_certificate = true});
  ASSERT_TRUE(context.has_value());
  peers.push_back(std::make_unique<Peer>(
      loop, polite(bytes([](const Asked& a) { return json(a.result(R"({"n":7})")); })), *context));
  peer = peers.back().get();
  UpstreamConfig config = config_for(peer->port());
  config.endpoint.tls = true;
  config.tls_ca = authority.path();
  config.tls_certificate = ours.certificate;
  config.tls_key = ours.key;
  make(config);
  connection = upstream->shared();
  run([&]() -> Task<void> {
    auto asking = ask(*connection);
    EXPECT_EQ(co_await asking, R"({"n":7})") << last_error.message;
    EXPECT_TRUE(peer->verified);
    EXPECT_EQ(peer->connections, 1) << "kept alive";
    config.tls_server_name = "another.example";
    make(config);
    connection = upstream->shared();
    auto another = ask(*connection);
    EXPECT_EQ(co_await another, "upstream_unavailable");
  }());
  EXPECT_EQ(peer->count("tools/call"), 1U);
}

// --- answers ---

TEST_F(HttpUpstreamTest, AStreamsEventsComeInOrderBeforeItsAnswer) {
  Connection& to = session(bytes(
      [](const Asked& a) {
        return kEvents + event(note(1)) + ": a comment\n\nevent: other\ndata: {}\n\n" +
               event(note(2)) + event(a.result(R"({"n":7})"));
      },
      false));
  run([&]() -> Task<void> {
    const auto sink = std::make_shared<Sink>();
    auto asking = ask(to, sink);
    EXPECT_EQ(co_await asking, R"({"n":7})");
    EXPECT_EQ(sink->taken, (std::vector<std::string>{note(1), note(2)}));
    EXPECT_EQ(sink->opens, 1);
    EXPECT_EQ(sink->pauses, 0);
  }());
}

TEST_F(HttpUpstreamTest, AStreamThatEndsWithItsAnswerLeavesItsConnectionForTheNext) {
  Connection& to = session(bytes([](const Asked& a) {
    const std::string data = event(a.result(R"({"n":7})"));
    return kChunkedEvents + net::serialize_chunk(data) + std::string(net::kLastChunk);
  }));
  run([&]() -> Task<void> {
    for (int i = 0; i < 5; ++i) {
      auto asking = ask(to);
      EXPECT_EQ(co_await asking, R"({"n":7})");
    }
  }());
  EXPECT_EQ(peer->connections, 1);
}

TEST_F(HttpUpstreamTest, AServersRequestGoesToTheSinkAndAPingIsAnswered) {
  const std::string request = R"({"jsonrpc":"2.0","id":"q","method":"roots/list"})";
  Connection& to = session(bytes(
      [&](const Asked& a) {
        return kEvents + event(request) + event(R"({"jsonrpc":"2.0","id":"p","method":"ping"})") +
               event(a.result(R"({"n":7})"));
      },
      false));
  run([&]() -> Task<void> {
    const auto sink = std::make_shared<Sink>();
    auto asking = ask(to, sink);
    EXPECT_EQ(co_await asking, R"({"n":7})");
    EXPECT_EQ(sink->taken, std::vector<std::string>{request});
    // Nobody to ask: refused.
    auto alone = ask(to);
    EXPECT_EQ(co_await alone, R"({"n":7})");
  }());
  std::vector<std::string> answers;
  for (const Asked& asked : peer->seen) {
    if (asked.method == "answer") answers.push_back(asked.http.body);
  }
  ASSERT_EQ(answers.size(), 3U);
  EXPECT_EQ(answers[0], mcp::write_result("\"p\"", "{}"));
  EXPECT_TRUE(answers[1].contains("-32601"));
  EXPECT_EQ(noted("server_request_refused"), 1U);
}

TEST_F(HttpUpstreamTest, AnErrorOfItsOwnIsAnAnswerWhateverTheStatus) {
  for (const int status : {200, 400, 422, 500}) {
    SCOPED_TRACE(status);
    const std::string error = R"({"code":-32602,"message":"bad"})";
    Connection& to = session([=](const Asked& a) -> Task<bool> {
      const bool ping = a.method == "ping";
      auto writing =
          write(a, ping ? json(a.result())
                        : answer(status, "application/json", mcp::write_error(a.id, error)));
      co_return co_await writing;
    });
    std::string got;
    loop.spawn([](HttpUpstreamTest& test, Connection& asked, std::string& out) -> Task<void> {
      auto asking = test.ask(asked);
      out = co_await asking;
    }(*this, to, got));
    const Monotonic deadline = soon();
    while (got.empty() && net::Loop::now() < deadline) loop.poll();
    EXPECT_EQ(got, error);
  }
}

struct Refusal {
  const char* what;
  std::string bytes;
  const char* code;
  const char* told = "";
};
class HttpUpstreamRefusalTest : public HttpUpstreamTest,
                                public ::testing::WithParamInterface<Refusal> {};

TEST_P(HttpUpstreamRefusalTest, IsAnErrorThatDoesNotSayWhatTheBodySaid) {
  const Refusal& refusal = GetParam();
  Connection& to = session(bytes([&](const Asked&) { return refusal.bytes; }, false));
  run([&]() -> Task<void> {
    auto asking = ask(to);
    EXPECT_EQ(co_await asking, refusal.code);
    EXPECT_TRUE(last_error.message.contains(refusal.told)) << last_error.message;
    EXPECT_FALSE(last_error.message.contains("BODY")) << last_error.message;
    auto pausing = loop.sleep(20ms);
    co_await pausing;
  }());
  EXPECT_EQ(peer->count("tools/call"), 1U) << "asked once";
}

INSTANTIATE_TEST_SUITE_P(
    All, HttpUpstreamRefusalTest,
    ::testing::Values(
        Refusal{"Unauthorized", answer(401, "text/plain", "BODY"), "upstream_unavailable", "401"},
        Refusal{"Forbidden", answer(403, "text/plain", "BODY"), "upstream_unavailable", "403"},
        Refusal{"NotAllowed", answer(405, "text/plain", "BODY"), "upstream_invalid_message", "405"},
        Refusal{"TooMany", answer(429, "text/plain", "BODY"), "upstream_unavailable", "429"},
        Refusal{"Broken", answer(500, "application/json", R"({"BODY":1})"),
                "upstream_invalid_message", "500"},
        Refusal{"AnothersError",
                answer(500, "application/json",
                       R"({"jsonrpc":"2.0","id":77,"error":{"code":1,"message":"BODY"}})"),
                "upstream_invalid_message", "500"},
        Refusal{"Redirect", "HTTP/1.1 307 X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
                "upstream_invalid_message", "307"},
        Refusal{"RedirectToAnother",
                "HTTP/1.1 302 X\r\nLocation: http://127.0.0.2:1/\r\nContent-Length: 0\r\n\r\n",
                "upstream_invalid_message", "302"},
        Refusal{"Accepted", kAccepted, "upstream_invalid_message", "202"},
        Refusal{"NoType", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
                "upstream_invalid_message", "200"},
        Refusal{"Html", answer(200, "text/html", "<p>BODY"), "upstream_invalid_message", "200"},
        Refusal{"TwoTypes",
                answer(200, "application/json", "{}", "Content-Type: text/event-stream\r\n"),
                "upstream_invalid_message", "200"},
        Refusal{"Garbage", json("BODY"), "upstream_invalid_message"},
        Refusal{"Batch", json(R"([{"jsonrpc":"2.0","id":2,"result":{}}])"),
                "upstream_invalid_message"},
        Refusal{"AnotherId", json(R"({"jsonrpc":"2.0","id":77,"result":{"BODY":1}})"),
                "upstream_invalid_message"},
        Refusal{"StringId", json(R"({"jsonrpc":"2.0","id":"2","result":{"BODY":1}})"),
                "upstream_invalid_message"},
        Refusal{"ARequest", json(R"({"jsonrpc":"2.0","id":2,"method":"ping"})"),
                "upstream_invalid_message"},
        Refusal{"NoHttp", "BODY and nothing else\r\n\r\n", "upstream_invalid_message"},
        Refusal{"TwoLengths",
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
                "upstream_invalid_message"},
        Refusal{"EndsBeforeItsHead", "HTTP/1.1 200 OK\r\nContent-", "upstream_died"},
        Refusal{"EndsInItsBody",
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
                "upstream_died"},
        Refusal{"EndsInItsStream", std::string(kEvents) + "data: {\n", "upstream_died"},
        Refusal{"EndsAfterEvents", std::string(kEvents) + event(note(1)), "upstream_died"},
        Refusal{"EndsInAChunk", std::string(kChunkedEvents) + "5\r\nda", "upstream_died"},
        Refusal{"BadChunk", std::string(kChunkedEvents) + "zz\r\n", "upstream_invalid_message"},
        Refusal{"StreamIsNotUtf8", std::string(kEvents) + "data: \xff\n\n",
                "upstream_invalid_message"}),
    [](const auto& param) { return std::string(param.param.what); });

TEST_F(HttpUpstreamTest, WhatBelongsToNoRequestIsCountedAndGoesNoFurther) {
  Connection& to = session(bytes(
      [](const Asked& a) {
        return kEvents + event(R"({"jsonrpc":"2.0","id":77,"result":{"n":1}})") +
               event(R"({"jsonrpc":"2.0","id":"x","error":{"code":1,"message":"m"}})") +
               event("garbage") + event(R"([])") + event(a.result(R"({"n":7})")) +
               event(a.result(R"({"n":666})"));
      },
      false));
  run([&]() -> Task<void> {
    const auto sink = std::make_shared<Sink>();
    auto asking = ask(to, sink);
    EXPECT_EQ(co_await asking, R"({"n":7})");
    EXPECT_TRUE(sink->taken.empty());
    auto waiting = until([&] { return peer->open == 0; });
    co_await waiting;
  }());
  EXPECT_EQ(noted("answer_without_request"), 3U);
  EXPECT_EQ(noted("upstream_bad_message"), 2U);
}

TEST_F(HttpUpstreamTest, AnAnswerBeyondTheLimitIsCutThere) {
  std::size_t sent = 0;
  bool whole = false;
  Connection& to = session(
      [&](const Asked& a) -> Task<bool> {
        constexpr std::size_t kSize = std::size_t{100} << 20U;
        const std::string piece(std::size_t{1} << 16U, ' ');
        auto head = write(a, fmt::format("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                         "Content-Length: {}\r\n\r\n",
                                         kSize));
        bool going = co_await head;
        for (sent = 0; going && sent < kSize; sent += piece.size()) {
          auto writing = write(a, piece);
          going = co_await writing;
        }
        whole = going;
        co_return false;
      },
      [](UpstreamConfig& config) { config.max_answer_bytes = std::size_t{1} << 20U; });
  run([&]() -> Task<void> {
    auto asking = ask(to);
    EXPECT_EQ(co_await asking, "upstream_answer_too_large");
    auto waiting = until([&] { return peer->open == 0; });
    co_await waiting;
  }());
  EXPECT_FALSE(whole);
  // What the sockets' buffers take, and no more: it was not read on.
  EXPECT_LT(sent, std::size_t{30} << 20U);
}

TEST_F(HttpUpstreamTest, AnEventBeyondTheLimitEndsItsRequest) {
  Connection& to = session(
      [&](const Asked& a) -> Task<bool> {
        auto head = write(a, kEvents + event(note(1)) + "data: ");
        bool going = co_await head;
        const std::string piece(std::size_t{1} << 16U, 'x');
        while (going) {
          auto writing = write(a, piece);
          going = co_await writing;
        }
        co_return false;
      },
      [](UpstreamConfig& config) { config.max_answer_bytes = 100'000; });
  run([&]() -> Task<void> {
    const auto sink = std::make_shared<Sink>();
    auto asking = ask(to, sink);
    EXPECT_EQ(co_await asking, "upstream_answer_too_large");
    EXPECT_EQ(sink->taken.size(), 1U);
  }());
}

TEST_F(HttpUpstreamTest, ASinkThatIsSlowHoldsTheServerBack) {
  std::size_t sent = 0;
  const std::string big =
      fmt::format(R"({{"jsonrpc":"2.0","method":"notifications/message","params":{{"x":"{}"}}}})",
                  std::string(60'000, 'x'));
  Connection& to = session([&](const Asked& a) -> Task<bool> {
    auto head = write(a, kEvents);
    bool going = co_await head;
    for (; going && sent < 1000; ++sent) {
      auto writing = write(a, event(big));
      going = co_await writing;
    }
    auto last = write(a, event(a.result(R"({"n":7})")));
    co_await last;
    co_return false;
  });
  run([&]() -> Task<void> {
    const auto sink = std::make_shared<Sink>();
    sink->held = true;
    const Waiting waiting = ask_aside(to, sink);
    std::size_t before = 1;
    std::size_t now = 0;
    do {  // until it gets no further
      before = now;
      auto pausing = loop.sleep(100ms);
      co_await pausing;
      now = sent;
    } while (now != before || now == 0);
    EXPECT_LT(now, 500U);
    EXPECT_EQ(sink->taken.size(), 1U);
    sink->held = false;
    auto getting = value(waiting);
    EXPECT_EQ(co_await getting, R"({"n":7})");
    EXPECT_EQ(sink->taken.size(), 1000U);
  }());
}

// --- time ---

TEST_F(HttpUpstreamTest, AServerThatDoesNotAnswerIsGivenUpAndTold) {
  Connection& to = session(silent, [](UpstreamConfig& config) { config.answer_timeout = 1s; });
  run([&]() -> Task<void> {
    auto asking = ask(to);
    EXPECT_EQ(co_await asking, "upstream_timeout");
    auto waiting = until([&] { return peer->count("notifications/cancelled") == 1; });
    co_await waiting;
    EXPECT_TRUE(
        peer->find("POST", "notifications/cancelled")->http.body.contains(R"("requestId":2,)"));
  }());
}

TEST_F(HttpUpstreamTest, AHeadThatTricklesDoesNotBuyTime) {
  Connection& to = session(
      [](const Asked& a) -> Task<bool> {
        for (bool going = true; going;) {
          auto writing = write(a, "H");
          going = co_await writing;
          auto pausing = a.loop->sleep(50ms);
          co_await pausing;
          break;
        }
        auto head = write(a, "TTP/1.1 200 OK\r\nX-Slow: ");
        bool going = co_await head;
        while (going) {
          auto writing = write(a, "x");
          going = co_await writing;
          auto pausing = a.loop->sleep(20ms);
          co_await pausing;
        }
        co_return false;
      },
      [](UpstreamConfig& config) { config.answer_timeout = 1s; });
  run([&]() -> Task<void> {
    const Monotonic began = net::Loop::now();
    auto asking = ask(to);
    EXPECT_EQ(co_await asking, "upstream_timeout");
    EXPECT_LT(net::Loop::now() - began, 20s);
    auto waiting = until([&] { return peer->open <= 1; });
    co_await waiting;
  }());
}

TEST_F(HttpUpstreamTest, EventsGiveARequestItsTimeAgain) {
  Connection& to = session(
      [](const Asked& a) -> Task<bool> {
        auto head = write(a, kEvents);
        co_await head;
        for (int i = 0; i < 5; ++i) {
          auto pausing = a.loop->sleep(400ms);
          co_await pausing;
          auto writing = write(a, event(note(i)));
          co_await writing;
        }
        auto last = write(a, event(a.result(R"({"n":7})")));
        co_await last;
        co_return false;
      },
      [](UpstreamConfig& config) { config.answer_timeout = 1s; });
  run([&]() -> Task<void> {
    const Monotonic began = net::Loop::now();
    auto asking = ask(to, std::make_shared<Sink>());
    EXPECT_EQ(co_await asking, R"({"n":7})");
    EXPECT_GT(net::Loop::now() - began, 1500ms);
  }());
}

TEST_F(HttpUpstreamTest, CommentsDoNotGiveItTime) {
  Connection& to = session(
      [](const Asked& a) -> Task<bool> {
        auto head = write(a, kEvents);
        bool going = co_await head;
        while (going) {
          auto pausing = a.loop->sleep(50ms);
          co_await pausing;
          auto writing = write(a, ": still here\n\n");
          going = co_await writing;
        }
        co_return false;
      },
      [](UpstreamConfig& config) { config.answer_timeout = 1s; });
  run([&]() -> Task<void> {
    auto asking = ask(to, std::make_shared<Sink>());
    EXPECT_EQ(co_await asking, "upstream_timeout");
  }());
}

// --- resuming ---

TEST_F(HttpUpstreamTest, AStreamThatIsPausedIsTakenUpWhereItEnded) {
  Monotonic ended;
  Connection& to = session([&](const Asked& a) -> Task<bool> {
    if (a.http.method == "GET") {
      EXPECT_GE(net::Loop::now() - ended, 300ms);
      EXPECT_EQ(a.header("last-event-id"), "e2");
      EXPECT_EQ(a.header("accept"), "text/event-stream");
      EXPECT_EQ(a.header("mcp-session-id"), "s1");
      EXPECT_EQ(a.header("content-type"), "-");
      auto writing = write(a, kEvents + event(note(2), "e3") +
                                  event(R"({"jsonrpc":"2.0","id":3,"result":{"n":666}})") +
                                  event(R"({"jsonrpc":"2.0","id":2,"result":{"n":7}})"));
      co_await writing;
      co_return false;
    }
    auto writing =
        write(a, std::string(kChunkedEvents) +
                     net::serialize_chunk("id: e1\nretry: 300\ndata:\n\n" + event(note(1), "e2")) +
                     std::string(net::kLastChunk));
    ended = net::Loop::now();
    co_return co_await writing;
  });
  run([&]() -> Task<void> {
    const auto sink = std::make_shared<Sink>();
    auto asking = ask(to, sink);
    EXPECT_EQ(co_await asking, R"({"n":7})");
    EXPECT_EQ(sink->taken, (std::vector<std::string>{note(1), note(2)}));
    EXPECT_EQ(sink->opens, 1);
    EXPECT_EQ(sink->pauses, 1);
    EXPECT_EQ(sink->retry, 300U);
  }());
  EXPECT_EQ(peer->count("tools/call"), 1U) << "asked once";
}

TEST_F(HttpUpstreamTest, AStreamThatBreaksIsTakenUpWithoutAPauseForTheClient) {
  Connection& to = session([&](const Asked& a) -> Task<bool> {
    const bool first = a.http.method == "POST";
    auto writing =
        write(a, first ? std::string(kChunkedEvents) + "1f\r\nid: e1\nretry: 60\ndata:\n\nda"
                       : kEvents + event(R"({"jsonrpc":"2.0","id":2,"result":{"n":7}})"));
    co_await writing;
    co_return false;
  });
  run([&]() -> Task<void> {
    const auto sink = std::make_shared<Sink>();
    auto asking = ask(to, sink);
    EXPECT_EQ(co_await asking, R"({"n":7})");
    EXPECT_EQ(sink->pauses, 0);
  }());
}

TEST_F(HttpUpstreamTest, AServerThatGivesTheRestToNobodyHasDied) {
  int attempts = 0;
  Connection& to = session([&](const Asked& a) -> Task<bool> {
    const bool first = a.http.method == "POST";
    if (!first) ++attempts;
    // Streams without an event, refusals, closed connections.
    const std::string later = attempts % 3 == 0   ? std::string(kEvents)
                              : attempts % 3 == 1 ? answer(503, "text/plain", "no")
                                                  : std::string();
    auto writing = write(a, first ? std::string(kEvents) + "id: e1\nretry: 0\ndata:\n\n" : later);
    co_await writing;
    co_return false;
  });
  run([&]() -> Task<void> {
    auto asking = ask(to, std::make_shared<Sink>());
    EXPECT_EQ(co_await asking, "upstream_died");
  }());
  EXPECT_EQ(attempts, 5);
}

TEST_F(HttpUpstreamTest, AServerThatDoesNotResumeIsBelieved) {
  Connection& to = session([&](const Asked& a) -> Task<bool> {
    const bool first = a.http.method == "POST";
    auto writing = write(a, first ? std::string(kEvents) + "id: e1\nretry: 0\ndata:\n\n"
                                  : answer(405, "text/plain", "no"));
    co_await writing;
    co_return false;
  });
  run([&]() -> Task<void> {
    auto asking = ask(to, std::make_shared<Sink>());
    EXPECT_EQ(co_await asking, "upstream_died");
  }());
  EXPECT_EQ(peer->count(""), 1U);
}

// --- sessions ---

TEST_F(HttpUpstreamTest, ALostSessionIsTheClientsToBeginAgain) {
  bool lost = false;
  Connection& to = session(
      [&](const Asked& a) -> Task<bool> {
        auto writing = write(a, lost ? answer(404, "text/plain", "no") : json(a.result("{}")));
        co_return co_await writing;
      },
      {}, false);
  run([&]() -> Task<void> {
    auto first = ask(to);
    EXPECT_EQ(co_await first, "{}");
    lost = true;
    auto second = ask(to);
    EXPECT_EQ(co_await second, "upstream_session_lost");
    lost = false;
    auto third = ask(to);
    EXPECT_EQ(co_await third, "upstream_session_lost");
    auto starting = start(to);
    EXPECT_EQ(co_await starting, "upstream_session_lost");
  }());
  EXPECT_EQ(peer->seen.size(), 3U);
}

TEST_F(HttpUpstreamTest, TheSharedConnectionBeginsAgainByItself) {
  Connection& to = session([&](const Asked& a) -> Task<bool> {
    const bool known = a.header("mcp-session-id") != "s1" || peer->count("tools/call") == 1;
    auto writing = write(a, known ? json(a.result("{}")) : answer(404, "text/plain", "no"));
    co_return co_await writing;
  });
  run([&]() -> Task<void> {
    auto first = ask(to);
    EXPECT_EQ(co_await first, "{}");
    auto second = ask(to);
    EXPECT_EQ(co_await second, "upstream_session_lost");
    std::string again = "upstream_unavailable";
    while (again == "upstream_unavailable") {
      auto pausing = loop.sleep(5ms);
      co_await pausing;
      auto asking = ask(to);
      again = co_await asking;
    }
    EXPECT_EQ(again, "{}");
  }());
  EXPECT_EQ(peer->count("initialize"), 2U);
  EXPECT_EQ(peer->count("tools/call"), 3U);
  EXPECT_EQ(peer->seen.back().header("mcp-session-id"), "s2");
}

TEST_F(HttpUpstreamTest, AServerThatSaysBadRequestIsAskedWhetherItKnowsTheSession) {
  bool lost = false;
  Connection& to = session(
      [&](const Asked& a) -> Task<bool> {
        const bool refused = lost || (a.method != "ping" && peer->count("tools/call") == 1);
        auto writing = write(a, refused ? answer(400, "text/plain", "no") : json(a.result("{}")));
        co_return co_await writing;
      },
      {}, false);
  run([&]() -> Task<void> {
    auto first = ask(to);  // a refusal, and nothing else
    EXPECT_EQ(co_await first, "upstream_invalid_message");
    auto waiting = until([&] { return peer->count("ping") == 1; });
    co_await waiting;
    auto second = ask(to);
    EXPECT_EQ(co_await second, "{}");
    lost = true;
    std::string got = "upstream_invalid_message";
    while (got == "upstream_invalid_message") {  // a ping a second at most
      auto asking = ask(to);
      got = co_await asking;
      auto pausing = loop.sleep(50ms);
      co_await pausing;
    }
    EXPECT_EQ(got, "upstream_session_lost");
  }());
}

TEST_F(HttpUpstreamTest, CloseEndsTheSessionAtTheServer) {
  Connection& to = session(silent, {}, false);
  run([&]() -> Task<void> {
    auto starting = start(to);
    EXPECT_EQ(co_await starting, "2025-11-25");
    const Waiting waiting = ask_aside(to);
    auto sent = until([&] { return peer->count("tools/call") == 1; });
    co_await sent;
    to.close();
    auto getting = value(waiting);
    EXPECT_EQ(co_await getting, "upstream_unavailable");
    auto deleted = until([&] { return peer->find("DELETE") != nullptr; });
    co_await deleted;
    EXPECT_EQ(peer->find("DELETE")->header("mcp-session-id"), "s1");
    auto asking = ask(to);
    EXPECT_EQ(co_await asking, "upstream_unavailable");
  }());
}

TEST_F(HttpUpstreamTest, AConnectionThatIsDroppedIsClosed) {
  session(silent, {}, false);
  run([&]() -> Task<void> {
    auto starting = start(*connection);
    EXPECT_EQ(co_await starting, "2025-11-25");
    connection->listen();
    auto listening = until([&] { return peer->find("GET") != nullptr; });
    co_await listening;
    connection.reset();
    auto deleted = until([&] { return peer->find("DELETE") != nullptr; });
    co_await deleted;
  }());
}

// --- cancelling ---

TEST_F(HttpUpstreamTest, ACancelledRequestEndsAtOnceAndTheServerIsTold) {
  for (const bool streaming : {false, true}) {
    SCOPED_TRACE(streaming);
    const auto sink = std::make_shared<Sink>();
    Connection& to = session([=](const Asked& a) -> Task<bool> {
      if (streaming) {
        auto writing = write(a, kEvents + event(note(1)));
        co_await writing;
      }
      auto waiting = silent(a);
      co_return co_await waiting;
    });
    bool done = false;
    loop.spawn([](HttpUpstreamTest& test, Connection& asked, std::shared_ptr<Sink> taker, bool wait,
                  bool& out) -> Task<void> {
      const Waiting waiting = test.ask_aside(asked, taker);
      auto sent = test.until([&] {
        return test.peer->count("tools/call") == 1 && (!wait || taker->taken.size() == 1);
      });
      co_await sent;
      asked.cancel(999, mcp::write_cancelled(999, std::nullopt));  // nobody's
      asked.cancel(2, mcp::write_cancelled(2, R"("no more")"));
      auto getting = value(waiting);
      EXPECT_EQ(co_await getting, "cancelled");
      auto told = test.until([&] { return test.peer->count("notifications/cancelled") == 1; });
      co_await told;
      EXPECT_TRUE(test.peer->find("POST", "notifications/cancelled")
                      ->http.body.contains(R"({"requestId":2,"reason":"no more"})"));
      asked.cancel(2, mcp::write_cancelled(2, std::nullopt));  // over
      out = true;
    }(*this, to, sink, streaming, done));
    const Monotonic deadline = soon();
    while (!done && net::Loop::now() < deadline) loop.poll();
    EXPECT_TRUE(done);
    EXPECT_EQ(peer->count("notifications/cancelled"), 1U);
  }
}

TEST_F(HttpUpstreamTest, WhatWasCancelledBeforeItWasSentIsNotSent) {
  Connection& to = session(bytes([](const Asked& a) { return json(a.result()); }));
  run([&]() -> Task<void> {
    UpstreamRequest request;
    request.id = to.next_id();
    request.message = mcp::write_request(request.id, "tools/call", "{}");
    request.cancelled = [] { return true; };
    auto asking = to.request(loop, std::move(request));
    const auto reply = co_await asking;
    EXPECT_FALSE(reply.has_value());
    EXPECT_EQ(reply.error().code, Code::cancelled);
  }());
  EXPECT_EQ(peer->count("tools/call"), 0U);
}

TEST_F(HttpUpstreamTest, ACancelledRequestDoesNotCutOffWhatIsBeingTaken) {
  const auto sink = std::make_shared<Sink>();
  sink->held = true;
  Connection& to = session([](const Asked& a) -> Task<bool> {
    auto writing = write(a, kEvents + event(note(1)) + event(note(2)));
    co_await writing;
    auto waiting = silent(a);
    co_return co_await waiting;
  });
  run([&]() -> Task<void> {
    const Waiting waiting = ask_aside(to, sink);
    auto taking = until([&] { return sink->taken.size() == 1; });
    co_await taking;
    to.cancel(2, mcp::write_cancelled(2, std::nullopt));
    auto getting = value(waiting);
    EXPECT_EQ(co_await getting, "cancelled");
    EXPECT_TRUE(sink->busy);
    sink->held = false;
    auto ending = until([&] { return !sink->busy; });
    co_await ending;
    EXPECT_EQ(sink->taken.size(), 1U);
  }());
}

// --- stopping ---

TEST_F(HttpUpstreamTest, StoppingFailsWhatRunsAndSaysGoodbye) {
  session(silent, {}, false);
  run([&]() -> Task<void> {
    auto starting = start(*connection);
    EXPECT_EQ(co_await starting, "2025-11-25");
    const auto second = open();
    std::vector<Waiting> all;
    all.reserve(7);
    for (int i = 0; i < 5; ++i) all.push_back(ask_aside(*connection));
    all.push_back(ask_aside(*second));
    all.push_back(ask_aside(*upstream->shared()));
    connection->listen();
    auto sent = until([&] { return peer->count("tools/call") == 7 && peer->find("GET"); });
    co_await sent;
    upstream->quiesce();
    for (const Waiting& each : all) {
      auto getting = value(each);
      EXPECT_EQ(co_await getting, "upstream_unavailable");
    }
    EXPECT_EQ(last_error.message, "the gateway is shutting down");
    EXPECT_EQ(peer->find("DELETE"), nullptr);
    auto stopping = upstream->stop();
    co_await stopping;
    auto asking = ask(*connection);
    EXPECT_EQ(co_await asking, "upstream_unavailable");
    auto shared = ask(*upstream->shared());
    EXPECT_EQ(co_await shared, "upstream_unavailable");
    EXPECT_FALSE(upstream->open({}).has_value());
    upstream.reset();
    auto closed = until([&] { return peer->open == 0 || peer->find("DELETE"); });
    co_await closed;
  }());
  std::vector<std::string> ended;
  for (const Asked& asked : peer->seen) {
    if (asked.http.method == "DELETE") ended.push_back(asked.header("mcp-session-id"));
  }
  std::ranges::sort(ended);
  EXPECT_EQ(ended, (std::vector<std::string>{"s1", "s2", "s3"}));
}

TEST_F(HttpUpstreamTest, AServerThatIgnoresGoodbyeDoesNotKeepUs) {
  serve([](const Asked& a) -> Task<bool> {
    if (a.http.method == "DELETE") {
      auto waiting = silent(a);
      co_return co_await waiting;
    }
    auto writing = write(a, json(a.result(hello()), "Mcp-Session-Id: x\r\n"));
    co_return co_await writing;
  });
  make(config_for(peer->port()));
  connection = open();
  run([&]() -> Task<void> {
    auto starting = start(*connection);
    EXPECT_EQ(co_await starting, "2025-11-25");
    const Monotonic began = net::Loop::now();
    auto stopping = upstream->stop();
    co_await stopping;
    EXPECT_LT(net::Loop::now() - began, 20s);
  }());
  EXPECT_NE(peer->find("DELETE"), nullptr);
}

TEST_F(HttpUpstreamTest, TheLoopMayEndInTheMiddleOfEverything) {
  session(silent, {}, false);
  run([&]() -> Task<void> {
    auto starting = start(*connection);
    EXPECT_EQ(co_await starting, "2025-11-25");
    connection->listen();
    ask_aside(*connection);
    ask_aside(*open());
    ask_aside(*upstream->shared());
    auto sent = until([&] { return peer->count("tools/call") == 3; });
    co_await sent;
    ask_aside(*upstream->shared());
    open()->close();
  }());
  upstream.reset();
  connection.reset();
}

// --- the standalone stream ---

TEST_F(HttpUpstreamTest, TheStandaloneStreamIsKeptOpen) {
  int gets = 0;
  Connection& to = session(
      [&](const Asked& a) -> Task<bool> {
        if (a.http.method != "GET") {
          auto waiting = silent(a);
          co_return co_await waiting;
        }
        ++gets;
        if (gets == 1) {
          EXPECT_EQ(a.header("last-event-id"), "-");
          auto writing = write(a, kEvents + event(note(1), "e1") +
                                      event(R"({"jsonrpc":"2.0","id":2,"result":{"n":666}})") +
                                      "retry: 200\n\n");
          co_await writing;
          co_return false;
        }
        EXPECT_EQ(a.header("last-event-id"), "e1");
        const std::string progress =
            R"({"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"k","progress":1}})";
        const std::string nobodys =
            R"({"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"z","progress":1}})";
        auto writing = write(
            a, kEvents + event(note(2), "e2") + event(progress) + event(nobodys) + event(note(3)));
        co_await writing;
        auto waiting = silent(a);
        co_return co_await waiting;
      },
      {}, false);
  run([&]() -> Task<void> {
    const auto sink = std::make_shared<Sink>();
    const Waiting waiting = ask_aside(to, sink, "sk");
    auto sent = until([&] { return peer->count("tools/call") == 1; });
    co_await sent;
    to.listen();
    to.listen();
    auto taken = until([&] { return events->taken.size() == 3; });
    co_await taken;
    EXPECT_EQ(events->taken, (std::vector<std::string>{note(1), note(2), note(3)}));
    EXPECT_EQ(sink->taken.size(), 1U);
    EXPECT_EQ(gets, 2);
    to.close();
    auto getting = value(waiting);
    EXPECT_EQ(co_await getting, "upstream_unavailable");
  }());
  EXPECT_EQ(noted("answer_without_request"), 1U);
  EXPECT_EQ(noted("progress_without_request"), 1U);
}

TEST_F(HttpUpstreamTest, AServerWithoutAStandaloneStreamIsNotAskedAgain) {
  Connection& to =
      session(bytes([](const Asked& a) {
                return a.http.method == "GET" ? answer(405, "text/plain", "no") : json(a.result());
              }),
              {}, false);
  run([&]() -> Task<void> {
    to.listen();
    auto waiting = until([&] { return peer->find("GET") != nullptr; });
    co_await waiting;
    auto pausing = loop.sleep(1500ms);
    co_await pausing;
    EXPECT_EQ(peer->count(""), 1U);
    auto asking = ask(to);
    EXPECT_EQ(co_await asking, "{}");
  }());
}

// --- HTTP+SSE ---

// A server of 2024-11-05 with one stream at a time.
class OldServer {
 public:
  explicit OldServer(std::string endpoint = "/messages?session=1")
      : endpoint_(std::move(endpoint)) {}

  Peer::Script script(std::function<std::string(const Asked&)> make) {
    return [this, make = std::move(make)](const Asked& asked) -> Task<bool> {
      if (asked.http.method == "GET") {
        auto writing =
            write(asked, fmt::format("{}event: endpoint\ndata: {}\n\n", kEvents, endpoint_));
        co_await writing;
        stream = &asked;
        ended = false;
        while (!ended) {
          auto pausing = asked.loop->sleep(1ms);
          co_await pausing;
          if (outbox.empty()) continue;
          auto sending = write(asked, std::exchange(outbox, {}));
          co_await sending;
        }
        co_return false;
      }
      if (asked.method == "initialize") {
        outbox += "event: message\n" + event(asked.result(hello("2024-11-05")));
      } else {
        outbox += make(asked);
      }
      auto writing = write(asked, answer(202, "text/plain", "Accepted"));
      co_return co_await writing;
    };
  }

  const Asked* stream = nullptr;
  std::string outbox;
  bool ended = false;

 private:
  std::string endpoint_;
};
void old(UpstreamConfig& config) { config.transport = HttpTransport::sse; }

TEST_F(HttpUpstreamTest, AnOldServerAnswersOnItsOneStream) {
  OldServer server;
  Connection& to = session_with(server.script([](const Asked& a) {
    if (a.method != "tools/call") return std::string();
    return event(note(1)) + event(a.result(R"({"n":7})")) + event(a.result(R"({"n":666})"));
  }),
                                old, false);
  run([&]() -> Task<void> {
    auto asking = ask(to);
    EXPECT_EQ(co_await asking, R"({"n":7})");
    EXPECT_EQ(events->taken, std::vector<std::string>{note(1)});
    auto telling = to.send(loop, mcp::write_notification("notifications/initialized", {}));
    EXPECT_TRUE((co_await telling).has_value());
    auto again = ask(to);
    EXPECT_EQ(co_await again, R"({"n":7})");
  }());
  EXPECT_EQ(peer->find("POST", "initialize")->http.target, "/messages?session=1");
  EXPECT_EQ(noted("answer_without_request"), 2U);
}

TEST_F(HttpUpstreamTest, AnOldServersStreamIsItsSession) {
  OldServer server;
  Connection& to = session_with(server.script([&](const Asked& a) {
    if (a.method == "tools/call") server.ended = true;
    return std::string();
  }),
                                old, false);
  run([&]() -> Task<void> {
    auto asking = ask(to);
    EXPECT_EQ(co_await asking, "upstream_died");
    auto again = ask(to);
    EXPECT_EQ(co_await again, "upstream_session_lost");
  }());
}

TEST_F(HttpUpstreamTest, TheSharedConnectionToAnOldServerBeginsAgain) {
  OldServer server;
  Connection& to = session_with(server.script([&](const Asked& a) {
    if (a.method != "tools/call") return std::string();
    if (peer->count("tools/call") > 1) return event(a.result("{}"));
    server.ended = true;
    return std::string();
  }),
                                old);
  run([&]() -> Task<void> {
    auto asking = ask(to);
    EXPECT_EQ(co_await asking, "upstream_died");
    std::string again = "upstream_unavailable";
    while (again == "upstream_unavailable") {
      auto pausing = loop.sleep(5ms);
      co_await pausing;
      auto once_more = ask(to);
      again = co_await once_more;
    }
    EXPECT_EQ(again, "{}");
  }());
  EXPECT_EQ(peer->count("initialize"), 2U);
  EXPECT_EQ(peer->count("notifications/initialized"), 2U);
}

TEST_F(HttpUpstreamTest, AnOldServerCannotSendUsElsewhere) {
  OldServer server("http://127.0.0.1:1/messages");
  Connection& to =
      session_with(server.script([](const Asked&) { return std::string(); }), old, false);
  run([&]() -> Task<void> {
    auto starting = start(to);
    EXPECT_EQ(co_await starting, "upstream_invalid_message");
  }());
  EXPECT_EQ(peer->seen.size(), 1U);
}

TEST_F(HttpUpstreamTest, AnOldServersEventBeyondTheLimitEndsWhatWaits) {
  OldServer server;
  Connection& to = session_with(
      server.script([&](const Asked&) { return "data: " + std::string(200'000, 'x'); }),
      [](UpstreamConfig& config) {
        old(config);
        config.max_answer_bytes = 100'000;
      },
      false);
  run([&]() -> Task<void> {
    auto asking = ask(to);
    EXPECT_EQ(co_await asking, "upstream_answer_too_large");
  }());
}

TEST_F(HttpUpstreamTest, AnOldServerThatIsSilentIsGivenUp) {
  OldServer server;
  Connection& to = session_with(server.script([](const Asked&) { return std::string(); }),
                                [](UpstreamConfig& config) {
                                  old(config);
                                  config.answer_timeout = 1s;
                                });
  run([&]() -> Task<void> {
    auto asking = ask(to);
    EXPECT_EQ(co_await asking, "upstream_timeout");
    const Waiting waiting = ask_aside(to);
    auto sent = until([&] { return peer->count("tools/call") == 2; });
    co_await sent;
    to.cancel(3, mcp::write_cancelled(3, std::nullopt));
    auto getting = value(waiting);
    EXPECT_EQ(co_await getting, "cancelled");
    auto stopping = upstream->stop();
    co_await stopping;
  }());
}

TEST(SseEndpoint, IsResolvedAgainstTheUrl) {
  const HttpEndpoint base{.url = "http://Example.org:8080/a/sse?x=1",
                          .tls = false,
                          .host = "example.org",
                          .port = 8080,
                          .target = "/a/sse?x=1"};
  const auto at = [&](std::string_view reference) {
    const auto got = resolve_sse_endpoint(base, reference);
    if (got) return *got;
    EXPECT_EQ(got.error().code, Code::upstream_invalid_message);
    return std::string("no");
  };
  EXPECT_EQ(at("/messages?session=1"), "/messages?session=1");
  EXPECT_EQ(at("messages"), "/a/messages");
  EXPECT_EQ(at("./messages"), "/a/messages");
  EXPECT_EQ(at("../messages"), "/messages");
  EXPECT_EQ(at("/a/./b/../c?d=/../e"), "/a/c?d=/../e");
  EXPECT_EQ(at("/../.."), "/");
  EXPECT_EQ(at("?session=1"), "/a/sse?session=1");
  EXPECT_EQ(at("/m#part"), "/m");
  EXPECT_EQ(at("http://example.org:8080/m"), "/m");
  EXPECT_EQ(at("HTTP://EXAMPLE.org:8080?m"), "/?m");
  EXPECT_EQ(at("//example.org:8080/m"), "/m");
  for (const char* const elsewhere : {"http://example.org/m",
                                      "http://example.org:8081/m",
                                      "https://example.org:8080/m",
                                      "http://example.com:8080/m",
                                      "//example.com:8080/m",
                                      "http://example.org:8080@evil.com/m",
                                      "http://user@example.org:8080/m",
                                      "ftp://example.org:8080/m",
                                      "javascript:alert(1)",
                                      "http:/m",
                                      "http:m",
                                      "///m",
                                      "\\\\example.com\\m",
                                      "http://example.org:8080\\@evil.com/",
                                      "http://example.org:008080x/",
                                      "http://example.org:/m",
                                      "/a b",
                                      "/a\nb",
                                      "",
                                      "#",
                                      "http://example.org.evil.com:8080/m",
                                      "/caf\xC3\xA9"}) {
    EXPECT_EQ(at(elsewhere), "no") << elsewhere;
  }
  EXPECT_EQ(at("/" + std::string(3000, 'x')), "no");

  const HttpEndpoint six{
      .url = "https://[::1]/sse", .tls = true, .host = "::1", .port = 443, .target = "/sse"};
  EXPECT_EQ(*resolve_sse_endpoint(six, "https://[::1]/m"), "/m");
  EXPECT_EQ(*resolve_sse_endpoint(six, "https://[0:0::1]:443/m"), "/m");
  EXPECT_FALSE(resolve_sse_endpoint(six, "https://[::2]/m").has_value());
}

// --- threads ---

// Requests on two loops at once, each with its own HTTP client; cancellations come from the other
// thread, progress on the first loop's stream.
class TwoLoops {
 public:
  TwoLoops(HttpUpstreamTest& test, net::Loop& second) : test_(test), second_(second) {}

  Task<void> ask_many(net::Loop& loop, Connection& to, int times, std::atomic<int>& done) {
    for (int i = 0; i < times; ++i) {
      const auto sink = std::make_shared<Sink>();
      UpstreamRequest request;
      request.id = to.next_id();
      request.message = mcp::write_request(request.id, "tools/call", "{}");
      request.events = sink;
      const bool cancel = i % 5 == 4;
      if (cancel) {
        net::Loop& other = &loop == &second_ ? test_.loop : second_;
        other.post(
            [&to, id = request.id] { to.cancel(id, mcp::write_cancelled(id, std::nullopt)); });
      }
      const std::string id = std::to_string(request.id);
      auto asking = to.request(loop, std::move(request));
      const auto reply = co_await asking;
      EXPECT_TRUE(loop.on_loop_thread());
      if (!reply) {
        EXPECT_TRUE(cancel);
        EXPECT_EQ(reply.error().code, Code::cancelled);
      } else {
        EXPECT_EQ(reply->id, id);
      }
    }
    ++done;
  }

 private:
  HttpUpstreamTest& test_;
  net::Loop& second_;
};

class HttpUpstreamThreadsTest : public HttpUpstreamTest,
                                public ::testing::WithParamInterface<HttpTransport> {};

TEST_P(HttpUpstreamThreadsTest, RequestsStayOnTheirLoops) {
  net::Loop second;
  OldServer server;
  const auto streams = std::make_shared<int>(0);
  serve(GetParam() == HttpTransport::sse
            ? server.script([](const Asked& a) { return a.id.empty() ? "" : event(a.result()); })
            : polite(bytes([streams](const Asked& a) {
                return ++*streams % 2 == 0
                           ? json(a.result())
                           : kChunkedEvents +
                                 net::serialize_chunk(event(note(1)) + event(a.result())) +
                                 std::string(net::kLastChunk);
              })));
  UpstreamConfig config = config_for(peer->port());
  config.transport = GetParam();
  const std::array loops = {&loop, &second};
  upstream =
      std::make_unique<HttpUpstream>(std::span<net::Loop* const>(loops), config, *log, notices);
  connection = upstream->shared();
  constexpr int kTimes = 100;
  std::atomic<int> done = 0;
  TwoLoops both(*this, second);
  std::thread thread;
  run([&]() -> Task<void> {
    for (int i = 0; i < 4; ++i) {
      second.spawn(both.ask_many(second, *connection, kTimes, done));
    }
    thread = std::thread([&] { second.run(); });
    for (int i = 0; i < 4; ++i) loop.spawn(both.ask_many(loop, *connection, kTimes, done));
    auto waiting = until([&] { return done == 8; });
    co_await waiting;
    // Some are under way when it stops.
    std::atomic<int> cut = 0;
    second.post([&] {
      second.spawn([](Connection& to, net::Loop& on, std::atomic<int>& out) -> Task<void> {
        for (bool going = true; going;) {
          UpstreamRequest request;
          request.id = to.next_id();
          request.message = mcp::write_request(request.id, "tools/call", "{}");
          auto asking = to.request(on, std::move(request));
          const auto reply = co_await asking;
          going = reply.has_value();
          if (!going) EXPECT_EQ(reply.error().code, Code::upstream_unavailable);
        }
        ++out;
      }(*connection, second, cut));
    });
    auto stopping = upstream->stop();
    co_await stopping;
    auto cutting = until([&] { return cut == 1; });
    co_await cutting;
  }());
  second.stop();
  thread.join();
  EXPECT_EQ(peer->count("initialize"), 1U);
}

INSTANTIATE_TEST_SUITE_P(All, HttpUpstreamThreadsTest,
                         ::testing::Values(HttpTransport::streamable, HttpTransport::sse),
                         [](const auto& param) {
                           return param.param == HttpTransport::sse ? "Sse" : "Streamable";
                         });

}  // namespace
}  // namespace zwinger::gateway
