#include "net/http_server.h"

#include <fmt/format.h>

#include <array>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "net/one_shot.h"
#include "net/test_loop.h"

namespace zwinger::net {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

class HttpServerTest : public LoopTest {
 protected:
  // Answers "METHOD target body"; /hold waits until `release` is set.
  Task<HttpResponse> handle(const HttpRequest& request) {
    ++handled;
    if (request.path == "/hold") {
      if (started) started->set(true);
      auto holding = release->wait();
      co_await holding;
    }
    co_return HttpResponse{
        .status = 200,
        .headers = {{"X-Path", request.path}},
        .body = fmt::format("{} {} {}", request.method, request.target, request.body),
        .close = request.path == "/close"};
  }

  void serve(HttpServerOptions options = {}, HttpHeadCheck check_head = {}) {
    auto listener = listen(loop, Address::parse("127.0.0.1:0").value());
    ASSERT_TRUE(listener.has_value());
    server = std::make_unique<HttpServer>(
        loop, std::move(*listener), options,
        [this](const HttpRequest& request) { return handle(request); },
        [](int status, const Error& error) {
          return HttpResponse{
              .status = status, .headers = {}, .body = std::string(name(error.code))};
        },
        std::move(check_head));
    server->start();
  }

  Task<std::unique_ptr<Stream>> client() {
    auto connecting = connect(loop, server->address(), soon());
    auto stream = co_await connecting;
    EXPECT_TRUE(stream.has_value()) << stream.error().to_string();
    co_return std::move(*stream);
  }
  static Task<void> send(Stream& stream, std::string text) {
    auto writing = stream.write_all(text, soon());
    EXPECT_TRUE((co_await writing).has_value());
  }
  // One answer: "STATUS connection body", or "end" where the server closed instead.
  static Task<std::string> answer(Stream& stream) {
    std::string head;
    while (!head.ends_with("\r\n\r\n")) {
      auto reading = read_all(stream, 1);
      const std::string byte = co_await reading;
      if (byte.empty()) co_return "end" + head;
      head += byte;
    }
    const auto after = [&head](std::string_view key) {
      const auto at = head.find(key);
      return at == std::string::npos
                 ? std::string()
                 : head.substr(at + key.size(), head.find('\r', at) - at - key.size());
    };
    const std::string length = after("Content-Length: ");
    auto reading = read_all(stream, length.empty() ? 0 : std::stoul(length));
    const std::string body = co_await reading;
    const std::string connection = after("Connection: ");
    co_return fmt::format("{}{}{} {}", head.substr(9, 3), connection.empty() ? "" : " ", connection,
                          body);
  }
  // Sends `text`, and everything that comes back until the server closes.
  Task<std::string> exchange(std::string text) {
    auto connecting = client();
    const auto stream = co_await connecting;
    auto sending = send(*stream, std::move(text));
    co_await sending;
    auto answering = answer(*stream);
    std::string first = co_await answering;
    auto closing = answer(*stream);
    EXPECT_EQ(co_await closing, "end");
    co_return first;
  }

  static std::string get(std::string_view target, std::string_view headers = "") {
    return fmt::format("GET {} HTTP/1.1\r\nHost: a\r\n{}\r\n", target, headers);
  }

  std::unique_ptr<HttpServer> server;
  int handled = 0;
  std::shared_ptr<OneShot<bool>> started = std::make_shared<OneShot<bool>>(loop);
  std::shared_ptr<OneShot<bool>> release = std::make_shared<OneShot<bool>>(loop);
};

TEST_F(HttpServerTest, AConnectionServesManyRequests) {
  serve();
  run([&]() -> Task<void> {
    auto connecting = client();
    const auto stream = co_await connecting;
    for (int i = 0; i < 100; ++i) {
      auto sending = send(
          *stream, fmt::format("POST /{} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", i));
      co_await sending;
      auto answering = answer(*stream);
      EXPECT_EQ(co_await answering, fmt::format("200 keep-alive POST /{} hi", i));
    }
  }());
}

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInOrder) {
  serve();
  run([&]() -> Task<void> {
    auto connecting = client();
    const auto stream = co_await connecting;
    auto sending =
        send(*stream, get("/hold") + get("/2") + get("/3", "Connection: close\r\n") + get("/4"));
    co_await sending;
    auto starting = started->wait();
    co_await starting;
    EXPECT_EQ(handled, 1) << "the second waits for the first";
    release->set(true);
    for (const std::string_view expected :
         {"200 keep-alive GET /hold ", "200 keep-alive GET /2 ", "200 close GET /3 ", "end"}) {
      auto answering = answer(*stream);
      EXPECT_EQ(co_await answering, expected);
    }
    EXPECT_EQ(handled, 3) << "nothing after a request that asked to close";
  }());
}

TEST_F(HttpServerTest, ALargeBodyInPiecesArrivesWhole) {
  serve();
  run([&]() -> Task<void> {
    auto connecting = client();
    const auto stream = co_await connecting;
    const std::string body(std::size_t{1} << 20U, 'b');
    auto sending = send(*stream, fmt::format("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
                                             "chunked\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n",
                                             body.size(), body));
    co_await sending;
    auto answering = answer(*stream);
    const std::string got = co_await answering;
    EXPECT_TRUE(got == "200 keep-alive POST / " + body);
    auto again = send(*stream, get("/next"));
    co_await again;
    auto next = answer(*stream);
    EXPECT_EQ(co_await next, "200 keep-alive GET /next ");
  }());
}

TEST_F(HttpServerTest, HeadHasNoBodyAndHttp10IsClosed) {
  serve();
  run([&]() -> Task<void> {
    auto connecting = client();
    const auto stream = co_await connecting;
    auto sending = send(*stream, "HEAD /h HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    co_await sending;
    auto reading = read_all(*stream);
    EXPECT_EQ(co_await reading,
              "HTTP/1.1 200 OK\r\nX-Path: /h\r\nContent-Length: 8\r\nConnection: close\r\n\r\n");
    auto old = exchange("GET /old HTTP/1.0\r\n\r\n");
    EXPECT_EQ(co_await old, "200 close GET /old ");
    auto handler_closes = exchange(get("/close"));
    EXPECT_EQ(co_await handler_closes, "200 close GET /close ");
  }());
}

TEST_F(HttpServerTest, AClientThatExpectsContinueGetsIt) {
  serve();
  run([&]() -> Task<void> {
    auto connecting = client();
    const auto stream = co_await connecting;
    auto sending =
        send(*stream,
             "POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    co_await sending;
    auto going_on = answer(*stream);
    EXPECT_EQ(co_await going_on, "100 ");
    auto body = send(*stream, "hi");
    co_await body;
    auto answering = answer(*stream);
    EXPECT_EQ(co_await answering, "200 keep-alive POST /e hi");
  }());
}

TEST_F(HttpServerTest, ARefusedHeadIsAnsweredBeforeItsBodyIsRead) {
  int checked = 0;
  serve({}, [&checked](const HttpRequest& head) -> std::optional<HttpResponse> {
    ++checked;
    if (head.count("authorization") != 0) return std::nullopt;
    return HttpResponse{.status = 401, .headers = {}, .body = "who?"};
  });
  run([&]() -> Task<void> {
    auto refused = exchange("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\nbegin");
    EXPECT_EQ(co_await refused, "401 close who?");
    auto without_continue = exchange(
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_EQ(co_await without_continue, "401 close who?");
    EXPECT_EQ(handled, 0);

    auto connecting = client();
    const auto stream = co_await connecting;
    for (int i = 0; i < 2; ++i) {  // once for each request of a connection
      auto head = send(
          *stream, "POST /y HTTP/1.1\r\nHost: a\r\nAuthorization: b\r\nContent-Length: 4\r\n\r\n");
      co_await head;
      while (checked < 3 + i) {
        auto pause = loop.sleep(milliseconds(1));
        co_await pause;
      }
      auto body = send(*stream, "body");
      co_await body;
      auto answering = answer(*stream);
      EXPECT_EQ(co_await answering, "200 keep-alive POST /y body");
    }
    EXPECT_EQ(checked, 4);
  }());
}

TEST_F(HttpServerTest, MalformedRequestsCostOnlyTheirOwnConnection) {
  HttpServerOptions options;
  options.limits = {.max_target = 64, .max_head = 512, .max_headers = 4, .max_body = 16};
  serve(options);
  run([&]() -> Task<void> {
    auto connecting = client();
    const auto bystander = co_await connecting;
    const std::vector<std::pair<std::string, std::string>> cases{
        {"GET / HTTP/1.1\r\n\r\n", "400 close http_syntax"},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         "400 close http_ambiguous_framing"},
        {"GET / HTTP/3.0\r\n\r\n", "505 close http_version"},
        {get("/" + std::string(64, 'x')), "414 close http_target_too_long"},
        {get("/", "X: " + std::string(600, 'x') + "\r\n"), "431 close http_header_too_large"},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\n\r\n",
         "413 close http_body_too_large"},
        {"\x16\x03\x01", "400 close http_syntax"},
    };
    for (const auto& [request, expected] : cases) {
      auto exchanging = exchange(request);
      EXPECT_EQ(co_await exchanging, expected) << request;
    }
    EXPECT_EQ(handled, 0);
    auto sending = send(*bystander, get("/fine"));
    co_await sending;
    auto answering = answer(*bystander);
    EXPECT_EQ(co_await answering, "200 keep-alive GET /fine ");
  }());
}

TEST_F(HttpServerTest, AClientThatIsStillSendingSeesWhyItIsRefused) {
  HttpServerOptions options;
  options.limits.max_body = 1024;
  serve(options);
  run([&]() -> Task<void> {
    auto connecting = client();
    const auto stream = co_await connecting;
    const std::string body(std::size_t{512} << 10U, 'x');
    // All of it is sent before the answer is read: without the lingering close the answer would be
    // lost to a reset.
    auto sending =
        send(*stream, fmt::format("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{}",
                                  body.size(), body));
    co_await sending;
    auto answering = answer(*stream);
    EXPECT_EQ(co_await answering, "413 close http_body_too_large");
    auto closing = answer(*stream);
    EXPECT_EQ(co_await closing, "end");
  }());
}

TEST_F(HttpServerTest, ASlowRequestIsAnsweredWith408AndAnIdleConnectionIsJustClosed) {
  HttpServerOptions options;
  options.idle_timeout = milliseconds(30);
  options.request_timeout = milliseconds(30);
  serve(options);
  run([&]() -> Task<void> {
    auto slow = exchange("GET / HT");
    EXPECT_EQ(co_await slow, "408 close http_timeout");
    auto slow_body = exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n123");
    EXPECT_EQ(co_await slow_body, "408 close http_timeout");
    auto connecting = client();
    const auto idle = co_await connecting;
    auto silence = answer(*idle);
    EXPECT_EQ(co_await silence, "end");
    EXPECT_EQ(handled, 0);
  }());
}

TEST_F(HttpServerTest, TricklingBytesDoNotProlongARequest) {
  HttpServerOptions options;
  options.request_timeout = milliseconds(100);
  serve(options);
  run([&]() -> Task<void> {
    auto connecting = client();
    const auto stream = co_await connecting;
    auto sending = send(*stream, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    co_await sending;
    std::array<char, 3> status{};
    std::string got;
    while (got.size() < 12) {  // each turn comes well within the timeout, all together do not
      auto trickle = stream->write_all("x", soon());
      if (!(co_await trickle).has_value()) break;
      auto reading = stream->read_some(status, Loop::now() + milliseconds(10));
      if (const auto count = co_await reading) got.append(status.data(), *count);
    }
    EXPECT_EQ(got, "HTTP/1.1 408");
  }());
}

TEST_F(HttpServerTest, AClientThatLeavesDoesNotDisturbItsHandlerOrOthers) {
  serve();
  run([&]() -> Task<void> {
    auto connecting = client();
    auto stream = co_await connecting;
    auto sending = send(*stream, get("/hold"));
    co_await sending;
    auto starting = started->wait();
    co_await starting;
    stream.reset();
    release->set(true);
    auto other = exchange(get("/close"));
    EXPECT_EQ(co_await other, "200 close GET /close ");
    EXPECT_EQ(handled, 2);
    auto half = client();
    const auto leaver = co_await half;
    auto part = send(*leaver, "GET / HT");
    co_await part;
    leaver->shutdown_write();
    auto nothing = answer(*leaver);
    EXPECT_EQ(co_await nothing, "end") << "half a request and its end need no answer";
  }());
}

TEST_F(HttpServerTest, ConnectionsAboveTheLimitAreAnswered503) {
  HttpServerOptions options;
  options.max_connections = 1;
  serve(options);
  run([&]() -> Task<void> {
    auto connecting = client();
    auto first = co_await connecting;
    auto sending = send(*first, get("/1"));
    co_await sending;
    auto answering = answer(*first);
    EXPECT_EQ(co_await answering, "200 keep-alive GET /1 ");
    auto refused = exchange(get("/2"));
    EXPECT_EQ(co_await refused, "503 close overloaded");
    auto again = send(*first, get("/close"));
    co_await again;
    auto last = answer(*first);
    EXPECT_EQ(co_await last, "200 close GET /close ");
    first.reset();
    std::string third = "503";
    while (third.starts_with("503")) {  // until the server has seen that the first one left
      auto trying = exchange(get("/close"));
      third = co_await trying;
    }
    EXPECT_EQ(third, "200 close GET /close ");
  }());
}

TEST_F(HttpServerTest, DrainFinishesWhatRunsClosesWhatIsIdleAndRefusesTheRest) {
  serve();
  run([&]() -> Task<void> {
    auto connecting = client();
    const auto busy = co_await connecting;
    auto connecting_too = client();
    const auto idle = co_await connecting_too;
    auto warm = send(*idle, get("/warm"));
    co_await warm;
    auto warmed = answer(*idle);
    EXPECT_EQ(co_await warmed, "200 keep-alive GET /warm ");
    auto sending = send(*busy, get("/hold"));
    co_await sending;
    auto starting = started->wait();
    co_await starting;

    auto drained = std::make_shared<OneShot<bool>>(loop);
    auto drain = [](HttpServer& on, Monotonic until,
                    std::shared_ptr<OneShot<bool>> done) -> Task<void> {
      auto draining = on.drain(until);
      co_await draining;
      done->set(true);
    };
    loop.spawn(drain(*server, soon(), drained));
    auto closed = answer(*idle);
    EXPECT_EQ(co_await closed, "end");
    auto late = connect(loop, server->address(), soon());
    EXPECT_FALSE((co_await late).has_value()) << "nobody listens any more";
    release->set(true);
    auto answering = answer(*busy);
    EXPECT_EQ(co_await answering, "200 close GET /hold ");
    busy->close();
    auto waiting = drained->wait();
    EXPECT_TRUE((co_await waiting).has_value());
  }());
}

TEST_F(HttpServerTest, DrainEndsAtItsDeadlineWhateverStillRuns) {
  serve();
  run([&]() -> Task<void> {
    auto connecting = client();
    const auto held = co_await connecting;
    auto sending = send(*held, get("/hold"));
    co_await sending;
    auto starting = started->wait();
    co_await starting;
    auto connecting_too = client();
    const auto half = co_await connecting_too;
    auto part = send(*half, "GET / HT");
    co_await part;
    auto draining = server->drain(Loop::now() + milliseconds(20));
    co_await draining;
    auto cut = answer(*held);
    EXPECT_EQ(co_await cut, "end");
    auto cut_too = answer(*half);
    EXPECT_EQ(co_await cut_too, "end");
    release->set(true);  // the handler ends for nobody
  }());
}

TEST_F(HttpServerTest, ARunningServerMayBeDestroyedWithTheLoopStopped) {
  serve();
  run([&]() -> Task<void> {
    auto connecting = client();
    const auto stream = co_await connecting;
    auto sending = send(*stream, get("/hold"));
    co_await sending;
    auto starting = started->wait();
    co_await starting;
  }());
  server.reset();
}

TEST_F(HttpServerTest, ManyConnectionsFromAnotherThreadAllGetTheirAnswers) {
  serve();
  constexpr int kClients = 50;
  std::jthread clients([&] {
    Loop other;
    int left = kClients;
    auto talk = [&](int i) -> Task<void> {
      auto connecting = connect(other, server->address(), soon());
      const auto stream = co_await connecting;
      EXPECT_TRUE(stream.has_value());
      for (int k = 0; k < 20; ++k) {
        auto sending = send(**stream, get(fmt::format("/{}/{}", i, k)));
        co_await sending;
        auto answering = answer(**stream);
        EXPECT_EQ(co_await answering, fmt::format("200 keep-alive GET /{}/{} ", i, k));
      }
      if (--left == 0) other.stop();
    };
    for (int i = 0; i < kClients; ++i) other.spawn(talk(i));
    other.run();
    loop.stop();
  });
  loop.run();
  EXPECT_EQ(handled, kClients * 20);
}

}  // namespace
}  // namespace zwinger::net
