#include "net/http_client.h"

#include <fmt/format.h>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <semaphore>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "net/loop_impl.h"
#include "net/one_shot.h"
#include "net/resolver_pool.h"
#include "net/test_certificates.h"
#include "net/test_loop.h"

namespace zwinger::net {
namespace {

using std::chrono::milliseconds;

std::string ok(std::string_view body, std::string_view headers = "") {
  return fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{}\r\n{}", body.size(), headers,
                     body);
}
HttpClientRequest get(std::string target = "/") {
  return {.method = "GET", .target = std::move(target), .headers = {}, .body = {}};
}
HttpClientRequest post(std::string body) {
  return {.method = "POST", .target = "/", .headers = {{"X", "y"}}, .body = std::move(body)};
}
std::string code(const Error& error) { return std::string(name(error.code)); }

// One accepted connection of a peer written by hand.
struct Peer {
  std::unique_ptr<Stream> stream;
  RequestParser parser{HttpLimits{}};
  std::string buffer = std::string(4096, '\0');
  std::string_view unread;
  int number = 0;  // of the connection, from 1

  // Nothing where the client has gone.
  Task<std::optional<HttpRequest>> request() {
    while (true) {
      while (!unread.empty()) {
        const auto state = parser.feed(unread);
        if (!state) {
          ADD_FAILURE() << "the client sends no HTTP: " << state.error().to_string();
          co_return std::nullopt;
        }
        if (*state == RequestParser::State::complete) co_return parser.take();
      }
      auto reading = stream->read_some(std::span(buffer), std::nullopt);
      const auto got = co_await reading;
      if (!got || *got == 0) co_return std::nullopt;
      unread = std::string_view(buffer).substr(0, *got);
    }
  }
  Task<bool> write(std::string bytes) {
    auto writing = stream->write_all(bytes, std::nullopt);
    const auto written = co_await writing;
    co_return written.has_value();
  }
};

class HttpClientTest : public LoopTest {
 protected:
  // What a peer does with each connection; it is closed afterwards.
  using Script = std::function<Task<void>(Peer&)>;

  HttpClientTest() { listen_on("127.0.0.1:0"); }
  void listen_on(const std::string& address) {
    auto listening = listen(loop, Address::parse(address).value());
    EXPECT_TRUE(listening.has_value());
    listener_ = std::move(*listening);
  }
  // From now on each connection is TLS, and trusts the authority that is returned.
  std::shared_ptr<const TlsClientContext> secure(const TempDir& folder) {
    const TestAuthority authority(folder.path(), "ca");
    const TestIdentity identity =
        authority.issue({.name = "server", .alternative = "IP:127.0.0.1"});
    auto server = TlsServerContext::make({.certificate = identity.certificate,
                                          .key = identity.key,
                                          .client_ca = std::nullopt,
                                          .require_client_certificate = false});
    EXPECT_TRUE(server.has_value()) << server.error().to_string();
    tls_ = *server;
    auto client = TlsClientContext::make({.ca = authority.path(),
                                          .certificate = std::nullopt,
                                          .key = std::nullopt,
                                          .server_name = "127.0.0.1"});
    EXPECT_TRUE(client.has_value()) << client.error().to_string();
    return *client;
  }
  void serve(Script script) {
    script_ = std::move(script);
    loop.spawn(accept_all());
  }
  [[nodiscard]] HttpClientOptions options() const {
    HttpClientOptions options;
    const Address& address = listener_->address();
    options.origin.host = address.host;
    options.origin.port = address.port;
    options.origin.is_unix = address.family == Address::Family::unix_socket;
    return options;
  }
  HttpClient& client() {
    if (!client_) client_ = std::make_unique<HttpClient>(loop, options());
    return *client_;
  }
  HttpClient& client(HttpClientOptions options) {
    client_ = std::make_unique<HttpClient>(loop, std::move(options));
    return *client_;
  }

  // The body, or the error's code: "send: closed" or "read: closed".
  static Task<std::string> fetch(HttpClient& client, HttpClientRequest request) {
    auto sending = client.send(std::move(request), soon());
    auto incoming = co_await sending;
    if (!incoming) co_return "send: " + code(incoming.error());
    auto reading = (*incoming)->read_all(std::size_t{1} << 20U, soon());
    const auto body = co_await reading;
    co_return body ? *body : "read: " + code(body.error());
  }
  static Task<std::unique_ptr<HttpIncoming>> begin(HttpClient& client, HttpClientRequest request) {
    auto sending = client.send(std::move(request), soon());
    auto incoming = co_await sending;
    EXPECT_TRUE(incoming.has_value()) << incoming.error().to_string();
    co_return incoming ? std::move(*incoming) : nullptr;
  }
  // The next piece, "end", or the error's code in brackets.
  static Task<std::string> piece(HttpIncoming& incoming,
                                 std::optional<Monotonic> deadline = soon()) {
    std::string into;
    auto reading = incoming.read_some(into, deadline);
    const auto more = co_await reading;
    if (!more) co_return "[" + code(more.error()) + "]";
    co_return *more ? into : "end";
  }
  // Answers each request of each connection with its own target and the connection's number.
  static Task<void> echo(Peer& peer) {
    while (true) {
      auto asking = peer.request();
      const auto request = co_await asking;
      if (!request) co_return;
      auto answering = peer.write(ok(fmt::format("{} on {}", request->target, peer.number)));
      co_await answering;
    }
  }
  // Answers the first request of each connection with these bytes, then closes.
  void serve_bytes(std::string bytes) {
    serve([bytes = std::move(bytes)](Peer& peer) -> Task<void> {
      auto asking = peer.request();
      if (!co_await asking) co_return;
      auto answering = peer.write(bytes);
      co_await answering;
    });
  }

  int connections = 0;  // NOLINT(misc-non-private-member-variables-in-classes)

 private:
  Task<void> accept_all() {
    while (true) {
      auto accepting = listener_->accept();
      auto stream = co_await accepting;
      if (!stream) co_return;
      ++connections;
      loop.spawn(serve_one(std::move(*stream), connections));
    }
  }
  Task<void> serve_one(std::unique_ptr<Stream> stream, int number) {
    Peer peer;
    peer.stream = std::move(stream);
    peer.number = number;
    if (tls_) {
      auto shaking = tls_accept(loop, std::move(peer.stream), tls_, soon());
      auto secured = co_await shaking;
      if (!secured) co_return;
      peer.stream = std::move(secured->stream);
    }
    auto serving = script_(peer);
    co_await serving;
  }

  std::unique_ptr<Listener> listener_;
  std::shared_ptr<const TlsServerContext> tls_;
  Script script_;
  std::unique_ptr<HttpClient> client_;
};

TEST_F(HttpClientTest, KeepAliveConnectionsAreReused) {
  serve(echo);
  run([&]() -> Task<void> {
    for (int i = 0; i < 10; ++i) {
      auto fetching = fetch(client(), get("/a"));
      EXPECT_EQ(co_await fetching, "/a on 1");
      EXPECT_EQ(client().idle_connections(), 1U);
    }
    EXPECT_EQ(connections, 1);
  }());
}

TEST_F(HttpClientTest, ARequestSaysWhatItShould) {
  std::string host;
  std::string rest;
  serve([&](Peer& peer) -> Task<void> {
    auto asking = peer.request();
    const auto request = co_await asking;
    if (!request) co_return;
    host = *request->header("host");
    rest = fmt::format("{} {} {} {}", request->method, request->target, request->body,
                       *request->header("x"));
    auto answering = peer.write(ok(""));
    co_await answering;
  });
  run([&]() -> Task<void> {
    auto fetching = fetch(client(), post("body"));
    EXPECT_EQ(co_await fetching, "");
    EXPECT_EQ(host, fmt::format("127.0.0.1:{}", options().origin.port));
    EXPECT_EQ(rest, "POST / body y");
  }());
}

TEST_F(HttpClientTest, ARequestThatCannotBeSentMakesNoConnection) {
  serve(echo);
  run([&]() -> Task<void> {
    auto fetching = fetch(client(), get("no-slash"));
    EXPECT_EQ(co_await fetching, "send: internal");
    HttpClientRequest split = get();
    split.headers = {{"X", "a\r\nHost: b"}};
    auto splitting = fetch(client(), std::move(split));
    EXPECT_EQ(co_await splitting, "send: internal");
    EXPECT_EQ(connections, 0);
  }());
}

TEST_F(HttpClientTest, UnixSocketsWorkAlike) {
  const TempDir folder;
  listen_on("unix:" + (folder.path() / "s").string());
  std::string host;
  serve([&](Peer& peer) -> Task<void> {
    while (true) {
      auto asking = peer.request();
      const auto request = co_await asking;
      if (!request) co_return;
      host = *request->header("host");
      auto answering = peer.write(ok("unix"));
      co_await answering;
    }
  });
  run([&]() -> Task<void> {
    for (int i = 0; i < 2; ++i) {
      auto fetching = fetch(client(), get());
      EXPECT_EQ(co_await fetching, "unix");
    }
    EXPECT_EQ(host, "localhost");
    EXPECT_EQ(connections, 1);
  }());
}

TEST_F(HttpClientTest, ManyRequestsAtOnceEachGetTheirOwnAnswer) {
  serve(echo);
  run([&]() -> Task<void> {
    HttpClientOptions few = options();
    few.max_idle = 8;
    HttpClient& many = client(few);
    constexpr int kRequests = 100;
    int done = 0;
    const auto all = std::make_shared<OneShot<bool>>(loop);
    const auto one = [&](int i) -> Task<void> {
      auto fetching = fetch(many, get(fmt::format("/{}", i)));
      const std::string body = co_await fetching;
      EXPECT_TRUE(body.starts_with(fmt::format("/{} on ", i))) << body;
      if (++done == kRequests) all->set(true);
    };
    for (int i = 0; i < kRequests; ++i) loop.spawn(one(i));
    auto waiting = all->wait();
    co_await waiting;
    EXPECT_LE(many.idle_connections(), 8U);
    EXPECT_GT(connections, 8);
  }());
}

TEST_F(HttpClientTest, TheMostRecentlyUsedConnectionComesFirst) {
  serve(echo);
  run([&]() -> Task<void> {
    // Two at once make two connections; the one whose answer ends last is the one used next.
    auto first_begun = begin(client(), get("/1"));
    auto first = co_await first_begun;
    auto slow = std::move(first);  // its body is whole already, so its connection is back
    EXPECT_EQ(client().idle_connections(), 1U);
    auto again = fetch(client(), get("/2"));
    EXPECT_EQ(co_await again, "/2 on 1");
    auto body = slow->read_all(100, soon());
    EXPECT_EQ((co_await body).value(), "/1 on 1");
  }());
}

TEST_F(HttpClientTest, AStaleConnectionIsReplacedBeforeAByteIsSent) {
  std::vector<int> asked;
  serve([&](Peer& peer) -> Task<void> {
    auto asking = peer.request();
    if (!co_await asking) co_return;
    asked.push_back(peer.number);
    auto answering = peer.write(ok("x"));
    co_await answering;
  });
  run([&]() -> Task<void> {
    for (int i = 1; i <= 3; ++i) {
      auto fetching = fetch(client(), post("once"));
      EXPECT_EQ(co_await fetching, "x");
      EXPECT_EQ(client().idle_connections(), 1U) << "nothing said that it would close";
      // On the same machine the end has arrived when the loop has had its turn.
      while (connections < i) {
        auto turn = loop.sleep(milliseconds(1));
        co_await turn;
      }
      auto turn = loop.sleep(milliseconds(20));
      co_await turn;
    }
    EXPECT_EQ(asked, (std::vector{1, 2, 3}))
        << "each request arrived once, on a connection of its own";
  }());
}

TEST_F(HttpClientTest, BytesThatNobodyAskedForSpoilAConnection) {
  const auto spoil = std::make_shared<OneShot<bool>>(loop);
  const auto spoiled = std::make_shared<OneShot<bool>>(loop);
  serve([&](Peer& peer) -> Task<void> {
    auto asking = peer.request();
    if (!co_await asking) co_return;
    auto answering = peer.write(ok(fmt::format("{}", peer.number)));
    co_await answering;
    if (peer.number == 1) {
      auto waiting = spoil->wait();
      co_await waiting;
      auto poisoning = peer.write(ok("evil"));
      co_await poisoning;
      spoiled->set(true);
    }
    auto staying = peer.request();
    co_await staying;
  });
  run([&]() -> Task<void> {
    auto fetching = fetch(client(), get());
    EXPECT_EQ(co_await fetching, "1");
    EXPECT_EQ(client().idle_connections(), 1U);
    spoil->set(true);
    auto waiting = spoiled->wait();
    co_await waiting;
    auto again = fetch(client(), get());
    EXPECT_EQ(co_await again, "2") << "not the answer that came too early";
  }());
}

TEST_F(HttpClientTest, TwoResponsesToOneRequestSpoilAConnection) {
  serve_bytes(ok("good") + ok("evil"));
  run([&]() -> Task<void> {
    for (int i = 1; i <= 2; ++i) {
      auto fetching = fetch(client(), get());
      EXPECT_EQ(co_await fetching, "good");
      EXPECT_EQ(client().idle_connections(), 0U);
      EXPECT_EQ(connections, i);
    }
  }());
}

TEST_F(HttpClientTest, AConnectionThatThePeerWillCloseIsNotPooled) {
  serve_bytes(ok("x", "Connection: close\r\n"));
  run([&]() -> Task<void> {
    auto fetching = fetch(client(), get());
    EXPECT_EQ(co_await fetching, "x");
    EXPECT_EQ(client().idle_connections(), 0U);
  }());
}

TEST_F(HttpClientTest, ThePeersOwnIdleTimeoutCounts) {
  serve([&](Peer& peer) -> Task<void> {
    const std::string hint = peer.number == 1 ? "timeout=0" : "max=5, timeout=100";
    while (true) {
      auto asking = peer.request();
      if (!co_await asking) co_return;
      auto answering =
          peer.write(ok(fmt::format("{}", peer.number), "Keep-Alive: " + hint + "\r\n"));
      co_await answering;
    }
  });
  run([&]() -> Task<void> {
    for (const std::string_view expected : {"1", "2", "2"}) {
      auto fetching = fetch(client(), get());
      EXPECT_EQ(co_await fetching, expected);
    }
  }());
}

TEST_F(HttpClientTest, AnIdleConnectionIsClosedInTime) {
  const auto left = std::make_shared<OneShot<bool>>(loop);
  serve([&](Peer& peer) -> Task<void> {
    auto serving = echo(peer);
    co_await serving;
    left->set(true);
  });
  run([&]() -> Task<void> {
    HttpClientOptions impatient = options();
    impatient.idle_timeout = milliseconds(20);
    HttpClient& pool = client(impatient);
    auto fetching = fetch(pool, get("/a"));
    EXPECT_EQ(co_await fetching, "/a on 1");
    auto waiting = left->wait();
    co_await waiting;
    EXPECT_EQ(pool.idle_connections(), 0U);
    auto again = fetch(pool, get("/b"));
    EXPECT_EQ(co_await again, "/b on 2");
  }());
}

TEST_F(HttpClientTest, ThePoolIsBoundedAndMayBeOff) {
  serve(echo);
  run([&]() -> Task<void> {
    HttpClientOptions off = options();
    off.max_idle = 0;
    HttpClient& none = client(off);
    for (int i = 1; i <= 2; ++i) {
      auto fetching = fetch(none, get("/"));
      EXPECT_EQ(co_await fetching, fmt::format("/ on {}", i));
      EXPECT_EQ(none.idle_connections(), 0U);
    }
  }());
}

TEST_F(HttpClientTest, ABodyMayEndWithItsConnection) {
  serve_bytes("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end");
  run([&]() -> Task<void> {
    auto fetching = fetch(client(), get());
    EXPECT_EQ(co_await fetching, "until the end");
    EXPECT_EQ(client().idle_connections(), 0U);
  }());
}

TEST_F(HttpClientTest, ChunksAreToldOneByOneAsTheyArrive) {
  const auto next = std::make_shared<OneShot<bool>>(loop);
  const auto last = std::make_shared<OneShot<bool>>(loop);
  serve([&](Peer& peer) -> Task<void> {
    auto asking = peer.request();
    if (!co_await asking) co_return;
    auto head = peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    co_await head;
    auto waiting = next->wait();
    co_await waiting;
    auto first = peer.write("5\r\nfirst\r\n");
    co_await first;
    auto waiting_again = last->wait();
    co_await waiting_again;
    auto second = peer.write("6\r\nsecond\r\n0\r\n\r\n");
    co_await second;
    auto serving = echo(peer);
    co_await serving;
  });
  run([&]() -> Task<void> {
    auto beginning = begin(client(), get());
    auto incoming = co_await beginning;
    EXPECT_EQ(incoming->head().status, 200);
    next->set(true);
    auto first = piece(*incoming);
    EXPECT_EQ(co_await first, "first") << "before the second has been sent";
    last->set(true);
    auto second = piece(*incoming);
    EXPECT_EQ(co_await second, "second");
    auto end = piece(*incoming);
    EXPECT_EQ(co_await end, "end");
    auto still_end = piece(*incoming);
    EXPECT_EQ(co_await still_end, "end");
    EXPECT_EQ(client().idle_connections(), 1U);
    incoming.reset();
    auto fetching = fetch(client(), get("/x"));
    EXPECT_EQ(co_await fetching, "/x on 1") << "the connection goes on behind a chunked body";
  }());
}

TEST_F(HttpClientTest, PiecesAreAppended) {
  serve_bytes(ok("body"));
  run([&]() -> Task<void> {
    auto beginning = begin(client(), get());
    auto incoming = co_await beginning;
    std::string into = "before ";
    auto reading = incoming->read_some(into, soon());
    EXPECT_TRUE((co_await reading).value());
    EXPECT_EQ(into, "before body");
  }());
}

TEST_F(HttpClientTest, AResponseWithoutABodyGivesItsConnectionBackAtOnce) {
  serve([&](Peer& peer) -> Task<void> {
    while (true) {
      auto asking = peer.request();
      if (!co_await asking) co_return;
      auto answering = peer.write("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
      co_await answering;
    }
  });
  run([&]() -> Task<void> {
    for (int i = 0; i < 2; ++i) {
      auto beginning = begin(client(), post("{}"));
      auto incoming = co_await beginning;
      EXPECT_EQ(incoming->head().status, 202);
      EXPECT_EQ(client().idle_connections(), 1U);
    }
    EXPECT_EQ(connections, 1);
  }());
}

TEST_F(HttpClientTest, HeadHasNoBodyWhateverItsLengthSays) {
  serve([&](Peer& peer) -> Task<void> {
    while (true) {
      auto asking = peer.request();
      if (!co_await asking) co_return;
      auto answering = peer.write("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n");
      co_await answering;
    }
  });
  run([&]() -> Task<void> {
    for (int i = 0; i < 2; ++i) {
      auto fetching = fetch(client(), {.method = "HEAD", .target = "/", .headers = {}, .body = {}});
      EXPECT_EQ(co_await fetching, "");
    }
    EXPECT_EQ(connections, 1);
  }());
}

TEST_F(HttpClientTest, InterimResponsesAreSkipped) {
  serve_bytes("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" +
              ok("final"));
  run([&]() -> Task<void> {
    auto fetching = fetch(client(), get());
    EXPECT_EQ(co_await fetching, "final");
  }());
}

TEST_F(HttpClientTest, AResponseThatIsCutOffIsNotWhole) {
  serve_bytes("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell");
  run([&]() -> Task<void> {
    auto beginning = begin(client(), get());
    auto incoming = co_await beginning;
    auto first = piece(*incoming);
    EXPECT_EQ(co_await first, "hell");
    auto second = piece(*incoming);
    EXPECT_EQ(co_await second, "[closed]");
    auto third = piece(*incoming);
    EXPECT_EQ(co_await third, "[closed]") << "for good";
    EXPECT_EQ(client().idle_connections(), 0U);
  }());
}

TEST_F(HttpClientTest, APeerThatClosesWithoutAnAnswerIsToldAsClosedAndNotAskedAgain) {
  serve_bytes("");
  run([&]() -> Task<void> {
    auto fetching = fetch(client(), post("once"));
    EXPECT_EQ(co_await fetching, "send: closed");
    EXPECT_EQ(connections, 1) << "the request may have had its effect";
  }());
}

TEST_F(HttpClientTest, GarbageIsAnError) {
  serve_bytes("SSH-2.0-OpenSSH\r\n");
  run([&]() -> Task<void> {
    auto fetching = fetch(client(), get());
    EXPECT_EQ(co_await fetching, "send: http_syntax");
  }());
}

TEST_F(HttpClientTest, ABodyThatTurnsIntoGarbageIsAnErrorAfterWhatCameBefore) {
  serve_bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n2;x=y\r\nno\r\n");
  run([&]() -> Task<void> {
    auto beginning = begin(client(), get());
    auto incoming = co_await beginning;
    auto first = piece(*incoming);
    EXPECT_EQ(co_await first, "ok");
    auto second = piece(*incoming);
    EXPECT_EQ(co_await second, "[http_ambiguous_framing]");
  }());
}

TEST_F(HttpClientTest, AHeadThatIsTooLargeIsAnError) {
  serve_bytes("HTTP/1.1 200 OK\r\nX: " + std::string(40'000, 'x') + "\r\n\r\n");
  run([&]() -> Task<void> {
    auto fetching = fetch(client(), get());
    EXPECT_EQ(co_await fetching, "send: http_header_too_large");
  }());
}

TEST_F(HttpClientTest, ABodyThatIsTooLargeToBeReadWholeIsAnError) {
  serve_bytes(ok(std::string(10'000, 'x')));
  run([&]() -> Task<void> {
    auto beginning = begin(client(), get());
    auto incoming = co_await beginning;
    auto reading = incoming->read_all(9'999, soon());
    EXPECT_EQ((co_await reading).error().code, Code::http_body_too_large);
    auto again = piece(*incoming);
    EXPECT_EQ(co_await again, "[http_body_too_large]") << "for good";
    auto exact = begin(client(), get());
    auto second = co_await exact;
    auto fits = second->read_all(10'000, soon());
    EXPECT_EQ((co_await fits).value().size(), 10'000U);
    HttpClientOptions small = options();
    small.limits.max_body = 9'999;
    auto limited = fetch(client(small), get());
    EXPECT_EQ(co_await limited, "read: http_body_too_large") << "whatever the caller allows";
  }());
}

TEST_F(HttpClientTest, LargeBodiesComeThroughBothWays) {
  const std::string large(3'000'000, 'L');
  serve([&](Peer& peer) -> Task<void> {
    peer.buffer.resize(65536);
    auto asking = peer.request();
    const auto request = co_await asking;
    if (!request) co_return;
    EXPECT_EQ(request->body, large);
    auto answering = peer.write(ok(request->body));
    co_await answering;
    auto serving = echo(peer);
    co_await serving;
  });
  run([&]() -> Task<void> {
    auto sending = client().send(post(large), soon());
    auto incoming = co_await sending;
    EXPECT_TRUE(incoming.has_value());
    auto reading = (*incoming)->read_all(large.size(), soon());
    EXPECT_EQ((co_await reading).value(), large);
    auto fetching = fetch(client(), get("/after"));
    EXPECT_EQ(co_await fetching, "/after on 1");
  }());
}

TEST_F(HttpClientTest, ASlowHeadIsATimeout) {
  serve([&](Peer& peer) -> Task<void> {
    auto asking = peer.request();
    if (!co_await asking) co_return;
    auto answering = peer.write("HTTP/1.1 200 OK\r\n");
    co_await answering;
    auto staying = peer.request();
    co_await staying;
  });
  run([&]() -> Task<void> {
    auto sending = client().send(get(), Loop::now() + milliseconds(30));
    EXPECT_EQ((co_await sending).error().code, Code::timeout);
    EXPECT_EQ(client().idle_connections(), 0U);
  }());
}

TEST_F(HttpClientTest, ASlowBodyIsATimeoutForGood) {
  serve([&](Peer& peer) -> Task<void> {
    auto asking = peer.request();
    if (!co_await asking) co_return;
    auto answering = peer.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell");
    co_await answering;
    auto staying = peer.request();
    co_await staying;
  });
  run([&]() -> Task<void> {
    auto beginning = begin(client(), get());
    auto incoming = co_await beginning;
    auto first = piece(*incoming);
    EXPECT_EQ(co_await first, "hell");
    auto slow = piece(*incoming, Loop::now() + milliseconds(20));
    EXPECT_EQ(co_await slow, "[timeout]");
    auto again = piece(*incoming);
    EXPECT_EQ(co_await again, "[timeout]");
  }());
}

TEST_F(HttpClientTest, APeerThatNeverReadsIsATimeout) {
  const auto over = std::make_shared<OneShot<bool>>(loop);
  serve([&](Peer& /*peer*/) -> Task<void> {
    auto waiting = over->wait();
    co_await waiting;
  });
  run([&]() -> Task<void> {
    HttpClientOptions impatient = options();
    impatient.write_timeout = milliseconds(50);
    auto fetching = fetch(client(impatient), post(std::string(std::size_t{64} << 20U, 'x')));
    EXPECT_EQ(co_await fetching, "send: timeout");
    over->set(true);
  }());
}

TEST_F(HttpClientTest, AnAnswerBeforeTheWholeRequestIsReadCounts) {
  serve([&](Peer& peer) -> Task<void> {
    std::string some(100, '\0');
    auto reading = peer.stream->read_some(std::span(some), std::nullopt);
    co_await reading;
    auto answering = peer.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
    co_await answering;
    // Goes on reading, so that the kernel does not reset what the client has yet to read.
    auto draining = read_all(*peer.stream);
    co_await draining;
  });
  run([&]() -> Task<void> {
    auto beginning = begin(client(), post(std::string(std::size_t{8} << 20U, 'x')));
    auto incoming = co_await beginning;
    EXPECT_EQ(incoming->head().status, 413);
  }());
}

TEST_F(HttpClientTest, NobodyReadsAheadOfItsCaller) {
  const TempDir folder;
  listen_on("unix:" + (folder.path() / "s").string());
  constexpr std::size_t kPiece = std::size_t{64} << 10U;
  constexpr std::size_t kPieces = 256;
  const auto stuck = std::make_shared<OneShot<std::size_t>>(loop);
  serve([&](Peer& peer) -> Task<void> {
    auto asking = peer.request();
    if (!co_await asking) co_return;
    auto head =
        peer.write(fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", kPiece * kPieces));
    co_await head;
    const std::string bytes(kPiece, 'x');
    for (std::size_t sent = 0; sent < kPieces; ++sent) {
      auto writing = peer.stream->write_all(bytes, Loop::now() + milliseconds(100));
      if (co_await writing) continue;
      stuck->set(sent * kPiece);
      co_return;
    }
    stuck->set(kPieces * kPiece);
  });
  run([&]() -> Task<void> {
    auto beginning = begin(client(), get());
    auto incoming = co_await beginning;
    auto waiting = stuck->wait();
    const auto sent = co_await waiting;
    EXPECT_LT(sent.value(), kPieces * kPiece / 2) << "16 MB were read that nobody asked for";
  }());
}

TEST_F(HttpClientTest, AbortEndsAPendingReadAndTheConnection) {
  const auto left = std::make_shared<OneShot<bool>>(loop);
  serve([&](Peer& peer) -> Task<void> {
    auto asking = peer.request();
    if (!co_await asking) co_return;
    auto answering = peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    co_await answering;
    auto staying = peer.request();
    co_await staying;
    left->set(true);
  });
  run([&]() -> Task<void> {
    auto beginning = begin(client(), get());
    auto incoming = co_await beginning;
    loop.post([&] { incoming->abort(); });
    auto pending = piece(*incoming);
    EXPECT_EQ(co_await pending, "[closed]");
    auto later = piece(*incoming);
    EXPECT_EQ(co_await later, "[closed]");
    auto waiting = left->wait();
    co_await waiting;
    EXPECT_EQ(client().idle_connections(), 0U);
  }());
}

TEST_F(HttpClientTest, AbortDropsWhatHasArrived) {
  serve_bytes(ok("body"));
  run([&]() -> Task<void> {
    auto beginning = begin(client(), get());
    auto incoming = co_await beginning;
    incoming->abort();
    auto reading = piece(*incoming);
    EXPECT_EQ(co_await reading, "[closed]");
  }());
}

TEST_F(HttpClientTest, AResponseThatIsDroppedWhileItIsReadEndsThatRead) {
  serve([&](Peer& peer) -> Task<void> {
    auto asking = peer.request();
    if (!co_await asking) co_return;
    auto answering = peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    co_await answering;
    auto staying = peer.request();
    co_await staying;
  });
  run([&]() -> Task<void> {
    auto beginning = begin(client(), get());
    auto incoming = co_await beginning;
    loop.post([&] { incoming.reset(); });
    auto pending = piece(*incoming);
    EXPECT_EQ(co_await pending, "[closed]");
  }());
}

TEST_F(HttpClientTest, DroppingAResponseMidBodyClosesItsConnection) {
  const auto left = std::make_shared<OneShot<bool>>(loop);
  serve([&](Peer& peer) -> Task<void> {
    auto asking = peer.request();
    if (!co_await asking) co_return;
    auto answering = peer.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell");
    co_await answering;
    auto staying = peer.request();
    EXPECT_FALSE((co_await staying).has_value());
    left->set(true);
  });
  run([&]() -> Task<void> {
    {
      auto beginning = begin(client(), get());
      const auto incoming = co_await beginning;
    }
    auto waiting = left->wait();
    co_await waiting;
    EXPECT_EQ(client().idle_connections(), 0U);
  }());
}

TEST_F(HttpClientTest, AResponseOutlivesItsClient) {
  const auto go_on = std::make_shared<OneShot<bool>>(loop);
  serve([&](Peer& peer) -> Task<void> {
    auto asking = peer.request();
    if (!co_await asking) co_return;
    auto head = peer.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    co_await head;
    auto waiting = go_on->wait();
    co_await waiting;
    auto body = peer.write("body");
    co_await body;
    auto staying = peer.request();
    EXPECT_FALSE((co_await staying).has_value()) << "nobody pools it any more";
  });
  run([&]() -> Task<void> {
    auto own = std::make_unique<HttpClient>(loop, options());
    auto beginning = begin(*own, get());
    auto incoming = co_await beginning;
    own.reset();
    go_on->set(true);
    auto reading = incoming->read_all(100, soon());
    EXPECT_EQ((co_await reading).value(), "body");
  }());
}

TEST_F(HttpClientTest, ARefusedConnectionIsIoAndSaysThatNothingWasSent) {
  HttpClientOptions nobody;
  {
    Loop other;
    nobody.origin.host = "127.0.0.1";
    nobody.origin.port =
        listen(other, Address::parse("127.0.0.1:0").value()).value()->address().port;
  }
  run([&]() -> Task<void> {
    HttpClient& refused = client(nobody);
    auto sending = refused.send(get(), soon());
    const auto got = co_await sending;
    EXPECT_EQ(got.error().code, Code::io);
    EXPECT_NE(got.error().message.find("nothing was sent"), std::string::npos);
    HttpClientOptions no_file = options();
    no_file.origin.is_unix = true;
    no_file.origin.host = "/nonexistent/socket";
    auto fetching = fetch(client(no_file), get());
    EXPECT_EQ(co_await fetching, "send: io");
  }());
}

TEST_F(HttpClientTest, TlsConnectionsAreReusedToo) {
  const TempDir folder;
  HttpClientOptions secured = options();
  secured.origin.tls = secure(folder);
  serve(echo);
  run([&]() -> Task<void> {
    HttpClient& https = client(secured);
    for (int i = 0; i < 3; ++i) {
      auto fetching = fetch(https, get("/s"));
      EXPECT_EQ(co_await fetching, "/s on 1");
      EXPECT_EQ(https.idle_connections(), 1U);
    }
  }());
}

TEST_F(HttpClientTest, AStaleTlsConnectionIsReplaced) {
  const TempDir folder;
  HttpClientOptions secured = options();
  secured.origin.tls = secure(folder);
  const auto left = std::make_shared<OneShot<bool>>(loop);
  serve([&](Peer& peer) -> Task<void> {
    auto asking = peer.request();
    if (!co_await asking) co_return;
    auto answering = peer.write(ok(fmt::format("{}", peer.number)));
    co_await answering;
    if (peer.number > 1) co_return;
    peer.stream->shutdown_write();  // close_notify
    auto staying = peer.request();
    co_await staying;
    left->set(true);
  });
  run([&]() -> Task<void> {
    HttpClient& https = client(secured);
    auto first = fetch(https, get());
    EXPECT_EQ(co_await first, "1");
    auto turn = loop.sleep(milliseconds(20));
    co_await turn;
    auto second = fetch(https, post("once"));
    EXPECT_EQ(co_await second, "2");
    auto waiting = left->wait();
    co_await waiting;
  }());
}

TEST_F(HttpClientTest, ATlsStreamThatIsCutOffIsNotAWholeBody) {
  const TempDir folder;
  HttpClientOptions secured = options();
  secured.origin.tls = secure(folder);
  serve_bytes("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end");  // no close_notify
  run([&]() -> Task<void> {
    auto fetching = fetch(client(secured), get());
    EXPECT_EQ(co_await fetching, "read: closed");
  }());
}

TEST_F(HttpClientTest, AServerThatNobodyTrustsGetsNoRequest) {
  const TempDir folder;
  secure(folder);
  bool asked = false;
  serve([&](Peer& peer) -> Task<void> {
    auto asking = peer.request();
    asked = (co_await asking).has_value();
  });
  run([&]() -> Task<void> {
    HttpClientOptions stranger = options();
    const TestAuthority unknown(folder.path(), "unknown");
    stranger.origin.tls = TlsClientContext::make({.ca = unknown.path(),
                                                  .certificate = std::nullopt,
                                                  .key = std::nullopt,
                                                  .server_name = "127.0.0.1"})
                              .value();
    auto sending = client(stranger).send(post("secret"), soon());
    const auto got = co_await sending;
    EXPECT_EQ(got.error().code, Code::tls_handshake);
    EXPECT_NE(got.error().message.find("nothing was sent"), std::string::npos);
    EXPECT_FALSE(asked);
  }());
}

TEST_F(HttpClientTest, ATlsHandshakeThatHangsEndsWithTheConnectTimeout) {
  const TempDir folder;
  HttpClientOptions secured = options();
  secured.origin.tls = secure(folder);
  listen_on("127.0.0.1:0");  // whose backlog takes the connection; nobody accepts it
  secured.origin.port = options().origin.port;
  secured.connect_timeout = milliseconds(30);
  run([&]() -> Task<void> {
    auto sending = client(secured).send(get(), soon());
    const auto got = co_await sending;
    EXPECT_EQ(got.error().code, Code::timeout);
    EXPECT_NE(got.error().message.find("nothing was sent"), std::string::npos);
  }());
}

TEST_F(HttpClientTest, ANameIsResolved) {
  serve(echo);
  run([&]() -> Task<void> {
    HttpClientOptions by_name = options();
    by_name.origin.host = "localhost";
    auto fetching = fetch(client(by_name), get("/n"));
    EXPECT_EQ(co_await fetching, "/n on 1");
  }());
}

// --- names

class ResolveTest : public LoopTest {
 protected:
  Task<std::string> resolved(std::string host) {
    auto resolving = resolve(loop, std::move(host), 80, soon());
    const auto found = co_await resolving;
    if (!found) co_return code(found.error());
    std::string all;
    for (const Address& address : *found) all += address.to_string() + " ";
    co_return all;
  }
};

TEST_F(ResolveTest, LiteralsAreAddressesAtOnce) {
  run([&]() -> Task<void> {
    auto ipv4 = resolved("127.0.0.1");
    EXPECT_EQ(co_await ipv4, "127.0.0.1:80 ");
    auto ipv6 = resolved("0:0::1");
    EXPECT_EQ(co_await ipv6, "[::1]:80 ");
    EXPECT_EQ(loop.impl().resolver, nullptr) << "no thread was needed";
  }());
}

TEST_F(ResolveTest, LocalhostIsLoopback) {
  run([&]() -> Task<void> {
    auto resolving = resolve(loop, "localhost", 8080, soon());
    const auto found = co_await resolving;
    EXPECT_TRUE(found.has_value()) << found.error().to_string();
    EXPECT_FALSE(found->empty());
    for (const Address& address : *found) {
      EXPECT_TRUE(address.is_loopback()) << address.to_string();
      EXPECT_EQ(address.port, 8080);
    }
  }());
}

TEST_F(ResolveTest, WhatIsNoNameIsRefused) {
  run([&]() -> Task<void> {
    for (const std::string& bad :
         {std::string(""), std::string("."), std::string("a b"), std::string("a\0b", 3),
          std::string("a/b"), std::string("[::1]"), std::string("::1%lo"), std::string("\xc3\xa4"),
          std::string("127.1"), std::string("2130706433"), std::string("0x7f000001"),
          std::string("127.0.0.0x1"), std::string("1.2.3.4.5"), std::string("127.0.0.1."),
          std::string("a..1"), std::string("a.."), std::string(254, 'a')}) {
      auto resolving = resolved(bad);
      EXPECT_EQ(co_await resolving, "io") << bad;
    }
    EXPECT_EQ(loop.impl().resolver, nullptr) << "nobody was asked for them";
  }());
}

TEST_F(ResolveTest, ANameThatDoesNotExistIsIo) {
  run([&]() -> Task<void> {
    // A label that no DNS message can hold: the answer needs no network.
    auto resolving = resolved(std::string(64, 'a') + ".localhost.invalid");
    EXPECT_EQ(co_await resolving, "io");
  }());
}

// A lookup that is stuck until it is let go, as getaddrinfo is with a dead name server.
struct Stuck {
  std::counting_semaphore<> gate{0};
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;

  [[nodiscard]] static ResolverPool::Lookup lookup(const std::shared_ptr<Stuck>& self) {
    return [self](const std::string& host, std::uint16_t port) -> ResolverPool::Answer {
      const int now = ++self->running;
      int seen = self->most;
      while (seen < now && !self->most.compare_exchange_weak(seen, now)) {
      }
      self->gate.acquire();
      --self->running;
      return std::vector{Address{.family = Address::Family::ipv4, .host = host, .port = port}};
    };
  }
};

TEST_F(ResolveTest, AStuckLookupEndsWithItsDeadlineAndMayOutliveTheLoop) {
  const auto stuck = std::make_shared<Stuck>();
  std::weak_ptr<ResolverPool> pool;
  {
    Loop own;
    auto owner = std::make_shared<ResolverPool>(Stuck::lookup(stuck));
    pool = owner;
    std::optional<Code> ended;
    const auto ask = [&](Monotonic deadline) -> Task<void> {
      auto resolving = ResolverPool::resolve(owner, own, "stuck", 1, deadline);
      const auto answer = co_await resolving;
      ended = answer ? Code::internal : answer.error().code;
      own.stop();
    };
    own.spawn(ask(Loop::now() + milliseconds(20)));
    own.spawn(ask(soon()));  // still waits when the loop ends
    own.run();
    EXPECT_EQ(ended, Code::timeout);
  }
  stuck->gate.release(2);
  while (!pool.expired()) std::this_thread::yield();  // the threads end; under tsan, without a race
  EXPECT_EQ(stuck->running, 0);
}

TEST_F(ResolveTest, AFewThreadsServeManyNamesAndTheQueueIsBounded) {
  const auto stuck = std::make_shared<Stuck>();
  const auto pool = std::make_shared<ResolverPool>(Stuck::lookup(stuck));
  constexpr std::size_t kNames = ResolverPool::kMaxThreads + ResolverPool::kMaxWaiting;
  run([&]() -> Task<void> {
    std::multiset<std::string> answers;
    const auto all = std::make_shared<OneShot<bool>>(loop);
    const auto ask = [&](std::size_t i) -> Task<void> {
      auto resolving = ResolverPool::resolve(pool, loop, fmt::format("{}", i), 1, soon());
      const auto answer = co_await resolving;
      answers.insert(answer ? answer->front().host : code(answer.error()));
      if (answers.size() == kNames + 1) all->set(true);
    };
    for (std::size_t i = 0; i < kNames; ++i) {
      loop.spawn(ask(i));
      // Each of the first ones gets a thread before the queue fills up.
      while (i < ResolverPool::kMaxThreads && stuck->running != static_cast<int>(i) + 1) {
        std::this_thread::yield();
      }
    }
    EXPECT_TRUE(answers.empty());
    loop.spawn(ask(kNames));
    EXPECT_EQ(answers.count("io"), 1U) << "one too many is refused at once";
    stuck->gate.release(static_cast<std::ptrdiff_t>(kNames));
    auto waiting = all->wait();
    co_await waiting;
    for (std::size_t i = 0; i < kNames; ++i) {
      EXPECT_EQ(answers.count(fmt::format("{}", i)), 1U) << i;
    }
    EXPECT_EQ(stuck->most, static_cast<int>(ResolverPool::kMaxThreads));
  }());
}

}  // namespace
}  // namespace zwinger::net
