#include "net/http_server.h"

#include <fmt/format.h>

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "net/one_shot.h"
#include "net/test_certificates.h"
#include "net/test_loop.h"

namespace zwinger::net {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

class HttpServerTest : public LoopTest {
 protected:
  // Answers "METHOD target body"; /hold waits until `release` is set, /leave until the client has
  // gone, /nothing does not answer.
  Task<void> handle(const HttpRequest& request, HttpResponder& responder) {
    ++handled;
    if (request.path == "/hold") {
      started->set(true);
      auto holding = release->wait();
      co_await holding;
    }
    if (request.path == "/leave") {
      auto leaving = wait_for_leave(responder);
      co_await leaving;
    }
    if (request.path == "/nothing") co_return;
    auto sending = responder.send(
        {.status = 200,
         .headers = {{"X-Path", request.path}},
         .body = fmt::format("{} {} {}", request.method, request.target, request.body),
         .close = request.path == "/close"});
    sent = co_await sending;
  }
  Task<void> wait_for_leave(HttpResponder& responder) {
    EXPECT_FALSE(responder.gone());
    const auto left = std::make_shared<OneShot<bool>>(loop);
    responder.on_gone([this, left] {
      ++told;
      left->set(true);
    });
    started->set(true);
    auto leaving = left->wait();
    co_await leaving;
    EXPECT_TRUE(responder.gone());
  }

  void serve(HttpServerOptions options = {}, HttpHeadCheck check_head = {}) {
    auto listener = listen(loop, Address::parse("127.0.0.1:0").value());
    ASSERT_TRUE(listener.has_value());
    server = std::make_unique<HttpServer>(
        loop, std::move(*listener), std::move(options),
        [this](const HttpRequest& request, HttpResponder& responder) {
          return streaming ? streaming(request, responder) : handle(request, responder);
        },
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
  HttpHandler streaming;  // in place of handle()
  int handled = 0;
  int told = 0;  // calls of on_gone's callback
  std::optional<bool> sent;
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
  serve({}, [&checked](const HttpRequest& head, const HttpPeer&) -> std::optional<HttpResponse> {
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

TEST_F(HttpServerTest, AHandlerIsToldThatItsClientHasLeft) {
  serve();
  run([&]() -> Task<void> {
    auto connecting = client();
    auto stream = co_await connecting;
    auto sending = send(*stream, get("/leave"));
    co_await sending;
    auto starting = started->wait();
    co_await starting;
    EXPECT_EQ(told, 0);
    stream.reset();
    while (!sent) {
      auto pause = loop.sleep(milliseconds(1));
      co_await pause;
    }
    EXPECT_EQ(told, 1);
  }());
}

TEST_F(HttpServerTest, AClientThatEndsOnlyItsSideStillGetsTheAnswer) {
  serve();
  run([&]() -> Task<void> {
    auto connecting = client();
    const auto stream = co_await connecting;
    auto sending = send(*stream, get("/leave") + get("/behind"));
    co_await sending;
    auto starting = started->wait();
    co_await starting;
    stream->shutdown_write();
    for (const std::string_view expected :
         {"200 keep-alive GET /leave ", "200 keep-alive GET /behind ", "end"}) {
      auto answering = answer(*stream);
      EXPECT_EQ(co_await answering, expected);
    }
    EXPECT_EQ(told, 1);
  }());
}

TEST_F(HttpServerTest, AHandlerThatSendsNothingHasTheConnectionClosed) {
  serve();
  run([&]() -> Task<void> {
    auto connecting = client();
    const auto stream = co_await connecting;
    auto sending = send(*stream, get("/nothing") + get("/behind"));
    co_await sending;
    auto silence = answer(*stream);
    EXPECT_EQ(co_await silence, "end");
    EXPECT_EQ(handled, 1);
  }());
}

TEST_F(HttpServerTest, ManyBytesBehindARunningRequestAreLeftToTheKernelAndServedLater) {
  serve();
  run([&]() -> Task<void> {
    auto connecting = client();
    const auto stream = co_await connecting;
    std::string all = get("/hold");
    constexpr int kRequests = 300;
    for (int i = 0; i < kRequests; ++i) {
      all += fmt::format("POST /{} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{}", i,
                         std::string(100, 'x'));
    }
    auto sending = send(*stream, all);
    co_await sending;
    auto starting = started->wait();
    co_await starting;
    auto pause = loop.sleep(milliseconds(5));  // what fits is read meanwhile
    co_await pause;
    release->set(true);
    auto first = answer(*stream);
    EXPECT_EQ(co_await first, "200 keep-alive GET /hold ");
    for (int i = 0; i < kRequests; ++i) {
      auto answering = answer(*stream);
      EXPECT_EQ(co_await answering,
                fmt::format("200 keep-alive POST /{} {}", i, std::string(100, 'x')));
    }
  }());
}

TEST_F(HttpServerTest, AnIdleTimeoutCountsAlsoWhileTheReadOfTheLastRequestIsUnderWay) {
  HttpServerOptions options;
  options.idle_timeout = milliseconds(30);
  options.request_timeout = milliseconds(30);
  serve(options);
  run([&]() -> Task<void> {
    for (const std::string_view behind : {"", "GET / HT"}) {
      auto connecting = client();
      const auto stream = co_await connecting;
      release = std::make_shared<OneShot<bool>>(loop);
      started = std::make_shared<OneShot<bool>>(loop);
      auto sending = send(*stream, get("/hold"));
      co_await sending;
      auto starting = started->wait();
      co_await starting;
      release->set(true);
      auto answering = answer(*stream);
      EXPECT_EQ(co_await answering, "200 keep-alive GET /hold ");
      auto part = send(*stream, std::string(behind));
      co_await part;
      auto last = answer(*stream);
      EXPECT_EQ(co_await last, behind.empty() ? "end" : "408 close http_timeout");
    }
  }());
}

// --- streamed answers ----------------------------------------------------------------------------

// Reads exactly what is expected.
Task<void> expect_bytes(Stream& stream, std::string expected) {
  std::string got(expected.size(), '\0');
  std::size_t have = 0;
  while (have < got.size()) {
    auto reading = stream.read_some(std::span(got).subspan(have), std::nullopt);
    const auto count = co_await reading;
    if (!count || *count == 0) break;
    have += *count;
  }
  EXPECT_EQ(got.substr(0, have), expected);
}

constexpr std::string_view kStreamHead =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
    "Connection: keep-alive\r\n\r\n";

HttpResponse stream_head() {
  return {.status = 200,
          .headers = {{"Content-Type", "text/event-stream"}},
          .body = "never sent",
          .close = false};
}

class HttpStreamTest : public HttpServerTest {
 protected:
  // Begins a stream, writes a piece each time the test says so (nothing: until the client is gone),
  // and ends it where the test says so.
  Task<void> stream(const HttpRequest& request, HttpResponder& responder) {
    ++handled;
    if (request.path != "/stream") {
      auto sending = responder.send({.status = 200, .headers = {}, .body = request.path});
      sent = co_await sending;
      co_return;
    }
    const auto left = std::make_shared<OneShot<bool>>(loop);
    responder.on_gone([this, left] {
      ++told;
      left->set(true);
    });
    auto beginning = responder.begin(stream_head());
    EXPECT_TRUE(co_await beginning);
    auto again = responder.begin(stream_head());
    EXPECT_FALSE(co_await again) << "an answer begins once";
    for (const std::string_view piece : {"one", "", "two"}) {
      auto writing = responder.write(std::string(piece));
      EXPECT_TRUE(co_await writing);
    }
    started->set(true);
    if (wait_for_gone) {
      auto leaving = left->wait();
      co_await leaving;
      auto writing = responder.write("nobody reads this");
      static_cast<void>(co_await writing);
    } else {
      auto holding = release->wait();
      co_await holding;
      auto writing = responder.write("three");
      EXPECT_TRUE(co_await writing);
      auto ending = responder.end();
      EXPECT_TRUE(co_await ending);
      auto late = responder.write("late");
      EXPECT_FALSE(co_await late);
    }
    finished->set(true);
  }
  void serve_streams(HttpServerOptions options = {}) {
    streaming = [this](const HttpRequest& request, HttpResponder& responder) {
      return stream(request, responder);
    };
    serve(std::move(options));
  }

  bool wait_for_gone = false;
  std::shared_ptr<OneShot<bool>> finished = std::make_shared<OneShot<bool>>(loop);
};

TEST_F(HttpStreamTest, PiecesArriveBeforeTheEndAndTheConnectionGoesOn) {
  serve_streams();
  run([&]() -> Task<void> {
    auto connecting = client();
    const auto stream = co_await connecting;
    auto sending = send(*stream, get("/stream"));
    co_await sending;
    auto reading = expect_bytes(*stream, std::string(kStreamHead) + "3\r\none\r\n3\r\ntwo\r\n");
    co_await reading;
    release->set(true);  // only now: what came did not wait for the end
    auto rest = expect_bytes(*stream, "5\r\nthree\r\n0\r\n\r\n");
    co_await rest;
    auto again = send(*stream, get("/next"));
    co_await again;
    auto answering = answer(*stream);
    EXPECT_EQ(co_await answering, "200 keep-alive /next");
    EXPECT_EQ(told, 0);
  }());
}

TEST_F(HttpStreamTest, ARequestBehindAStreamIsAnsweredAfterIt) {
  serve_streams();
  run([&]() -> Task<void> {
    auto connecting = client();
    const auto stream = co_await connecting;
    auto sending = send(*stream, get("/stream"));
    co_await sending;
    auto reading = expect_bytes(*stream, std::string(kStreamHead) + "3\r\none\r\n3\r\ntwo\r\n");
    co_await reading;
    auto behind = send(*stream, get("/a") + get("/b").substr(0, 5));
    co_await behind;
    auto pause = loop.sleep(milliseconds(5));
    co_await pause;
    EXPECT_EQ(handled, 1);
    release->set(true);
    auto rest = expect_bytes(*stream, "5\r\nthree\r\n0\r\n\r\n");
    co_await rest;
    auto answering = answer(*stream);
    EXPECT_EQ(co_await answering, "200 keep-alive /a");
    auto remainder = send(*stream, get("/b").substr(5));
    co_await remainder;
    auto answering_too = answer(*stream);
    EXPECT_EQ(co_await answering_too, "200 keep-alive /b");
  }());
}

TEST_F(HttpStreamTest, AClientThatLeavesMidStreamIsNoticed) {
  wait_for_gone = true;
  serve_streams();
  run([&]() -> Task<void> {
    auto connecting = client();
    auto stream = co_await connecting;
    auto sending = send(*stream, get("/stream"));
    co_await sending;
    auto starting = started->wait();
    co_await starting;
    EXPECT_EQ(told, 0);
    stream.reset();
    auto finishing = finished->wait();
    co_await finishing;
    EXPECT_EQ(told, 1);
  }());
}

TEST_F(HttpStreamTest, AClientThatDoesNotReadMakesWritesFailInTime) {
  HttpServerOptions options;
  options.write_timeout = milliseconds(50);
  const auto failed = std::make_shared<OneShot<bool>>(loop);
  streaming = [&](const HttpRequest&, HttpResponder& responder) -> Task<void> {
    responder.on_gone([&] { ++told; });
    auto beginning = responder.begin(stream_head());
    EXPECT_TRUE(co_await beginning);
    const std::string piece(std::size_t{1} << 20U, 'p');
    for (int i = 0; i < 64; ++i) {
      auto writing = responder.write(piece);
      if (co_await writing) continue;
      EXPECT_TRUE(responder.gone());
      auto ending = responder.end();
      EXPECT_FALSE(co_await ending);
      failed->set(true);
      co_return;
    }
  };
  serve(options);
  run([&]() -> Task<void> {
    auto connecting = client();
    const auto stream = co_await connecting;
    auto sending = send(*stream, get("/"));
    co_await sending;
    auto failing = failed->wait();
    EXPECT_TRUE((co_await failing).has_value());
    EXPECT_EQ(told, 1);
  }());
}

TEST_F(HttpStreamTest, Http10GetsTheBytesAndTheEndOfTheConnection) {
  serve_streams();
  run([&]() -> Task<void> {
    release->set(true);
    auto connecting = client();
    const auto stream = co_await connecting;
    auto sending = send(*stream, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    co_await sending;
    auto reading = read_all(*stream);
    EXPECT_EQ(co_await reading,
              "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
              "onetwothree");
  }());
}

TEST_F(HttpStreamTest, HeadGetsTheHeadOnly) {
  serve_streams();
  run([&]() -> Task<void> {
    release->set(true);
    auto connecting = client();
    const auto stream = co_await connecting;
    auto sending = send(*stream, "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n" + get("/next"));
    co_await sending;
    auto reading = expect_bytes(*stream, std::string(kStreamHead));
    co_await reading;
    auto answering = answer(*stream);
    EXPECT_EQ(co_await answering, "200 keep-alive /next");
  }());
}

TEST_F(HttpStreamTest, AStreamThatIsNotEndedDoesNotLookWhole) {
  streaming = [&](const HttpRequest&, HttpResponder& responder) -> Task<void> {
    auto beginning = responder.begin(stream_head());
    EXPECT_TRUE(co_await beginning);
    auto writing = responder.write("one");
    EXPECT_TRUE(co_await writing);
  };
  serve();
  run([&]() -> Task<void> {
    auto connecting = client();
    const auto stream = co_await connecting;
    auto sending = send(*stream, get("/stream"));
    co_await sending;
    auto reading = read_all(*stream);
    EXPECT_EQ(co_await reading, std::string(kStreamHead) + "3\r\none\r\n") << "no last chunk";
  }());
}

TEST_F(HttpStreamTest, DrainLetsAStreamRunUntilItsDeadlineAndTellsTheHandler) {
  wait_for_gone = true;
  serve_streams();
  run([&]() -> Task<void> {
    auto connecting = client();
    const auto stream = co_await connecting;
    auto sending = send(*stream, get("/stream"));
    co_await sending;
    auto starting = started->wait();
    co_await starting;
    const Monotonic deadline = Loop::now() + milliseconds(30);
    auto draining = server->drain(deadline);
    co_await draining;
    EXPECT_GE(Loop::now(), deadline);
    EXPECT_EQ(told, 1);
    auto finishing = finished->wait();
    co_await finishing;
    auto reading = read_all(*stream);
    EXPECT_EQ(co_await reading, std::string(kStreamHead) + "3\r\none\r\n3\r\ntwo\r\n");
  }());
}

TEST_F(HttpStreamTest, DrainTellsAlsoWhereTooMuchIsWaitingForTheConnectionToBeWatched) {
  wait_for_gone = true;
  serve_streams();
  run([&]() -> Task<void> {
    auto connecting = client();
    const auto stream = co_await connecting;
    std::string all = get("/stream");
    for (int i = 0; i < 300; ++i) all += get("/behind");
    auto sending = send(*stream, all);
    co_await sending;
    auto starting = started->wait();
    co_await starting;
    auto draining = server->drain(Loop::now() + milliseconds(5));
    co_await draining;
    EXPECT_EQ(told, 1);
    auto finishing = finished->wait();
    co_await finishing;
    EXPECT_EQ(handled, 1);
  }());
}

TEST_F(HttpStreamTest, DrainEndsEarlyWhenTheLastStreamEnds) {
  serve_streams();
  run([&]() -> Task<void> {
    auto connecting = client();
    const auto stream = co_await connecting;
    auto sending = send(*stream, get("/stream"));
    co_await sending;
    auto starting = started->wait();
    co_await starting;
    const auto drained = std::make_shared<OneShot<bool>>(loop);
    auto drain = [](HttpServer& on, std::shared_ptr<OneShot<bool>> done) -> Task<void> {
      auto draining = on.drain(soon());
      co_await draining;
      done->set(true);
    };
    loop.spawn(drain(*server, drained));
    release->set(true);
    auto reading = read_all(*stream);
    EXPECT_TRUE((co_await reading).ends_with("5\r\nthree\r\n0\r\n\r\n"))
        << "the stream ends whole, then the connection";
    stream->close();
    auto waiting = drained->wait();
    EXPECT_TRUE((co_await waiting).has_value());
    EXPECT_EQ(told, 0);
  }());
}

// --- TLS -----------------------------------------------------------------------------------------

class HttpsServerTest : public HttpServerTest {
 protected:
  HttpServerOptions secure() {
    const TestIdentity identity =
        authority.issue({.name = "server", .alternative = "IP:127.0.0.1"});
    auto context = TlsServerContext::make({.certificate = identity.certificate,
                                           .key = identity.key,
                                           .client_ca = authority.path(),
                                           .require_client_certificate = false});
    EXPECT_TRUE(context.has_value()) << context.error().to_string();
    HttpServerOptions options;
    options.tls = std::move(*context);
    return options;
  }
  Task<std::unique_ptr<Stream>> tls_client(std::optional<TestIdentity> identity) {
    TlsClientConfig config{.ca = authority.path(),
                           .certificate = std::nullopt,
                           .key = std::nullopt,
                           .server_name = "127.0.0.1"};
    if (identity) {
      config.certificate = identity->certificate;
      config.key = identity->key;
    }
    auto context = TlsClientContext::make(config);
    EXPECT_TRUE(context.has_value()) << context.error().to_string();
    auto connecting = client();
    auto stream = co_await connecting;
    auto shaking = tls_connect(loop, std::move(stream), std::move(*context), soon());
    auto made = co_await shaking;
    EXPECT_TRUE(made.has_value()) << made.error().to_string();
    co_return std::move(made->stream);
  }

  TempDir folder;
  TestAuthority authority{folder.path(), "ca"};
};

TEST_F(HttpsServerTest, TheHandlerAndTheHeadsCheckSeeTheClientsCertificate) {
  const TestIdentity agent =
      authority.issue({.name = "agent", .alternative = "URI:spiffe://mesh.test/agent/a"});
  int checked = 0;
  streaming = [](const HttpRequest&, HttpResponder& responder) -> Task<void> {
    const auto& tls = responder.peer().tls;
    EXPECT_TRUE(tls.has_value());
    auto sending = responder.send({.status = 200,
                                   .headers = {},
                                   .body = !tls            ? "no TLS"
                                           : tls->verified ? tls->uri_names.at(0)
                                                           : "nobody"});
    EXPECT_TRUE(co_await sending);
  };
  serve(secure(), [&](const HttpRequest&, const HttpPeer& peer) -> std::optional<HttpResponse> {
    EXPECT_TRUE(peer.tls && peer.tls->verified);
    ++checked;
    return std::nullopt;
  });
  run([&]() -> Task<void> {
    auto connecting = tls_client(agent);
    const auto known = co_await connecting;
    for (int i = 0; i < 3; ++i) {
      auto head = send(*known, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
      co_await head;
      while (checked == i) {
        auto pause = loop.sleep(milliseconds(1));
        co_await pause;
      }
      auto body = send(*known, "hi");
      co_await body;
      auto answering = answer(*known);
      EXPECT_EQ(co_await answering, "200 keep-alive spiffe://mesh.test/agent/a");
    }
    auto connecting_too = tls_client(std::nullopt);
    const auto unknown = co_await connecting_too;
    auto sending = send(*unknown, get("/", "Connection: close\r\n"));
    co_await sending;
    auto answering = answer(*unknown);
    EXPECT_EQ(co_await answering, "200 close nobody");
    std::array<char, 1> byte{};
    auto reading = unknown->read_some(byte, soon());
    EXPECT_EQ(co_await reading, 0U) << "the end is a clean one";
  }());
}

TEST_F(HttpsServerTest, ALeavingClientIsNoticedThroughTlsToo) {
  serve(secure());
  run([&]() -> Task<void> {
    auto connecting = tls_client(std::nullopt);
    auto stream = co_await connecting;
    auto sending = send(*stream, get("/leave"));
    co_await sending;
    auto starting = started->wait();
    co_await starting;
    stream.reset();
    while (!sent) {
      auto pause = loop.sleep(milliseconds(1));
      co_await pause;
    }
    EXPECT_EQ(told, 1);
  }());
}

TEST_F(HttpsServerTest, PlainTextAndSilenceAreClosedAndCountAsConnections) {
  HttpServerOptions options = secure();
  options.handshake_timeout = milliseconds(100);
  options.max_connections = 1;
  serve(options);
  run([&]() -> Task<void> {
    auto connecting = client();
    const auto silent = co_await connecting;
    auto reading = read_all(*silent);
    EXPECT_EQ(co_await reading, "") << "closed without a word after the handshake's time";
    auto connecting_plain = client();
    const auto plain = co_await connecting_plain;
    auto sending = send(*plain, get("/"));
    co_await sending;
    auto reading_plain = read_all(*plain);
    const std::string alert = co_await reading_plain;
    EXPECT_EQ(alert.find("HTTP/"), std::string::npos) << "no answer in plain text";
    EXPECT_EQ(handled, 0);
    auto connecting_first = client();
    const auto first = co_await connecting_first;
    auto connecting_second = client();
    const auto second = co_await connecting_second;
    auto reading_second = read_all(*second);
    const Monotonic before = Loop::now();
    EXPECT_EQ(co_await reading_second, "");
    EXPECT_LT(Loop::now() - before, options.handshake_timeout) << "refused at once";
  }());
}

TEST_F(HttpsServerTest, DrainEndsHandshakesAndIdleConnections) {
  serve(secure());
  run([&]() -> Task<void> {
    auto connecting = tls_client(std::nullopt);
    const auto idle = co_await connecting;
    auto sending = send(*idle, get("/warm"));
    co_await sending;
    auto answering = answer(*idle);
    EXPECT_EQ(co_await answering, "200 keep-alive GET /warm ");
    auto connecting_half = client();
    const auto half = co_await connecting_half;
    auto draining = server->drain(soon());
    co_await draining;
    std::array<char, 1> byte{};
    auto reading = idle->read_some(byte, soon());
    EXPECT_EQ(co_await reading, 0U) << "the end is a clean one";
    auto reading_half = half->read_some(byte, soon());
    const auto got = co_await reading_half;
    EXPECT_TRUE(!got || *got == 0);
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
