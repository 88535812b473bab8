#include "net/stream.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <string>

#include "net/one_shot.h"
#include "net/test_loop.h"

namespace zwinger::net {
namespace {

using std::chrono::milliseconds;

std::string parsed(std::string_view text) {
  const auto address = Address::parse(text);
  return address ? address->to_string() : std::string(name(address.error().code));
}

TEST(Address, TakesLiteralsAndSocketPathsOnly) {
  EXPECT_EQ(parsed("127.0.0.1:8080"), "127.0.0.1:8080");
  EXPECT_EQ(parsed("0.0.0.0:0"), "0.0.0.0:0");
  EXPECT_EQ(parsed("[::1]:65535"), "[::1]:65535");
  EXPECT_EQ(parsed("[0:0::0001]:1"), "[::1]:1");
  EXPECT_EQ(parsed("unix:/run/zwinger.sock"), "unix:/run/zwinger.sock");
  for (const std::string_view bad : {"",
                                     "localhost:80",
                                     "127.0.0.1",
                                     "127.0.0.1:",
                                     "127.0.0.1:65536",
                                     "127.0.0.1:080",
                                     "127.0.0.1:+80",
                                     "127.0.0.1:80 ",
                                     " 127.0.0.1:80",
                                     "127.1:80",
                                     "0x7f.0.0.1:80",
                                     "2130706433:80",
                                     "::1:80",
                                     "[::1]",
                                     "[::1%lo]:80",
                                     "[127.0.0.1]:80",
                                     "127.0.0.1.:80",
                                     "unix:",
                                     "unix:run/zwinger.sock",
                                     "unix:/a\nb",
                                     ":80",
                                     "*:80"}) {
    EXPECT_EQ(parsed(bad), "policy_value") << bad;
  }
  EXPECT_EQ(parsed("unix:/" + std::string(106, 'a')), "unix:/" + std::string(106, 'a'));
  EXPECT_EQ(parsed("unix:/" + std::string(107, 'a')), "policy_value");
  EXPECT_EQ(parsed(std::string("127.0.0.1\0:80", 13)), "policy_value");
  EXPECT_NE(Address::parse("localhost:80").error().message.find("127.0.0.1"), std::string::npos);
}

TEST(Address, OnlyLoopbackIsLoopback) {
  const auto loopback = [](std::string_view text) {
    return Address::parse(text).value().is_loopback();
  };
  EXPECT_TRUE(loopback("127.0.0.1:1"));
  EXPECT_TRUE(loopback("127.255.0.1:1"));
  EXPECT_TRUE(loopback("[::1]:1"));
  EXPECT_TRUE(loopback("unix:/a"));
  EXPECT_FALSE(loopback("0.0.0.0:1"));
  EXPECT_FALSE(loopback("128.0.0.1:1"));
  EXPECT_FALSE(loopback("[::]:1"));
  EXPECT_FALSE(loopback("[::2]:1"));
  EXPECT_FALSE(loopback("[::ffff:127.0.0.1]:1"));
}

class StreamTest : public LoopTest {
 protected:
  struct Pipe {
    Fd read;
    Fd write;
  };
  static Pipe make_pipe() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    return {.read = Fd(ends[0]), .write = Fd(ends[1])};
  }
  // Both ends of one connection.
  struct Pair {
    std::unique_ptr<Stream> client;
    std::unique_ptr<Stream> server;
  };
  Task<Pair> connected(Listener& listener) {
    auto connecting = connect(loop, listener.address(), soon());
    auto client = co_await connecting;
    EXPECT_TRUE(client.has_value()) << client.error().to_string();
    auto accepting = listener.accept();
    auto server = co_await accepting;
    EXPECT_TRUE(server.has_value());
    co_return Pair{.client = std::move(*client), .server = std::move(*server)};
  }
  std::unique_ptr<Listener> listen_on(const std::string& text) {
    auto listener = listen(loop, Address::parse(text).value());
    EXPECT_TRUE(listener.has_value()) << listener.error().to_string();
    return std::move(*listener);
  }
  static Task<std::string> read_code(Stream& stream, std::optional<Monotonic> deadline) {
    std::array<char, 8> buffer{};
    auto reading = stream.read_some(buffer, deadline);
    const auto got = co_await reading;
    co_return got ? "ok" : std::string(name(got.error().code));
  }
};

TEST_F(StreamTest, TcpCarriesBytesBothWaysAndEndsOneSideAtATime) {
  run([&]() -> Task<void> {
    const auto listener = listen_on("127.0.0.1:0");
    EXPECT_NE(listener->address().port, 0);
    auto pairing = connected(*listener);
    const Pair pair = co_await pairing;
    auto ping = pair.client->write_all("ping", soon());
    EXPECT_TRUE((co_await ping).has_value());
    pair.client->shutdown_write();
    auto request = read_all(*pair.server);
    EXPECT_EQ(co_await request, "ping");
    auto pong = pair.server->write_all("pong", soon());
    EXPECT_TRUE((co_await pong).has_value());
    pair.server->close();
    auto answer = read_all(*pair.client);
    EXPECT_EQ(co_await answer, "pong");
  }());
}

TEST_F(StreamTest, Ipv6LoopbackWorksLikeIpv4) {
  const auto listener = listen(loop, Address::parse("[::1]:0").value());
  if (!listener) GTEST_SKIP() << "no IPv6 here";
  run([&]() -> Task<void> {
    auto pairing = connected(**listener);
    const Pair pair = co_await pairing;
    auto ping = pair.client->write_all("6", soon());
    EXPECT_TRUE((co_await ping).has_value());
    auto got = read_all(*pair.server, 1);
    EXPECT_EQ(co_await got, "6");
  }());
}

TEST_F(StreamTest, TwoListenersShareAPortOnlyOnPurpose) {
  const auto first = listen_on("127.0.0.1:0");
  Loop other;
  const auto uninvited = listen(other, first->address());
  ASSERT_FALSE(uninvited.has_value());
  EXPECT_EQ(uninvited.error().code, Code::io);
  const auto second = listen(other, first->address(), PortUse::shared);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ((*second)->address().port, first->address().port);
}

TEST_F(StreamTest, ManyBytesPassThroughASlowReaderUnchanged) {
  run([&]() -> Task<void> {
    const auto listener = listen_on("127.0.0.1:0");
    auto pairing = connected(*listener);
    const Pair pair = co_await pairing;
    std::string sent;  // far more than socket buffers hold, so the writer has to wait
    for (int i = 0; sent.size() < 8U << 20U; ++i) sent += std::to_string(i);
    auto writer = [](Stream& stream, const std::string& bytes) -> Task<void> {
      auto writing = stream.write_all(bytes, soon());
      EXPECT_TRUE((co_await writing).has_value());
      stream.shutdown_write();
    };
    loop.spawn(writer(*pair.client, sent));
    auto reading = read_all(*pair.server);
    const std::string got = co_await reading;
    EXPECT_TRUE(got == sent);
  }());
}

TEST_F(StreamTest, ADeadlineEndsAReadAndTheStreamGoesOn) {
  run([&]() -> Task<void> {
    const auto listener = listen_on("127.0.0.1:0");
    auto pairing = connected(*listener);
    const Pair pair = co_await pairing;
    auto late = read_code(*pair.server, Loop::now() + milliseconds(2));
    EXPECT_EQ(co_await late, "timeout");
    auto again = read_code(*pair.server, Loop::now() - milliseconds(2));
    EXPECT_EQ(co_await again, "timeout");
    auto ping = pair.client->write_all("x", soon());
    EXPECT_TRUE((co_await ping).has_value());
    auto third = read_all(*pair.server, 1);
    EXPECT_EQ(co_await third, "x");
  }());
}

TEST_F(StreamTest, ADeadlineEndsAWriteThatNobodyReads) {
  run([&]() -> Task<void> {
    const auto listener = listen_on("127.0.0.1:0");
    auto pairing = connected(*listener);
    const Pair pair = co_await pairing;
    const std::string much(32U << 20U, 'x');
    auto writing = pair.client->write_all(much, Loop::now() + milliseconds(20));
    const auto result = co_await writing;
    EXPECT_EQ(result.error().code, Code::timeout);
  }());
}

TEST_F(StreamTest, CloseEndsAPendingReadWithoutResumingInsideTheCall) {
  run([&]() -> Task<void> {
    const auto listener = listen_on("127.0.0.1:0");
    auto pairing = connected(*listener);
    const Pair pair = co_await pairing;
    auto ended = std::make_shared<OneShot<std::string>>(loop);
    bool resumed = false;
    auto reader = [&resumed, ended](Stream& stream) -> Task<void> {
      auto reading = read_code(stream, std::nullopt);
      std::string code = co_await reading;
      resumed = true;
      ended->set(std::move(code));
    };
    loop.spawn(reader(*pair.server));
    pair.server->close();
    EXPECT_FALSE(resumed);
    auto wait = ended->wait();
    EXPECT_EQ((co_await wait).value_or(""), "closed");
    auto after = read_code(*pair.server, std::nullopt);
    EXPECT_EQ(co_await after, "closed");
    auto writing = pair.server->write_all("x", soon());
    EXPECT_EQ((co_await writing).error().code, Code::closed);
  }());
}

TEST_F(StreamTest, AStreamMayBeDestroyedUnderAPendingReadAndWrite) {
  run([&]() -> Task<void> {
    const auto listener = listen_on("127.0.0.1:0");
    auto pairing = connected(*listener);
    Pair pair = co_await pairing;
    auto ended = std::make_shared<OneShot<std::string>>(loop);
    auto reader = [](Stream& stream, std::shared_ptr<OneShot<std::string>> result) -> Task<void> {
      auto reading = read_code(stream, soon());
      result->set(co_await reading);
    };
    auto written = std::make_shared<OneShot<Code>>(loop);
    auto writer = [](Stream& stream, std::shared_ptr<OneShot<Code>> result) -> Task<void> {
      const std::string much(32U << 20U, 'x');
      auto writing = stream.write_all(much, soon());
      result->set((co_await writing).error().code);
    };
    loop.spawn(reader(*pair.server, ended));
    loop.spawn(writer(*pair.server, written));
    pair.server.reset();
    auto wait = ended->wait();
    EXPECT_EQ((co_await wait).value_or(""), "closed");
    auto wait_written = written->wait();
    EXPECT_EQ(co_await wait_written, Code::closed);
  }());
}

TEST_F(StreamTest, WritingToAPeerThatIsGoneIsAnErrorAndNoSignal) {
  run([&]() -> Task<void> {
    Pipe pipe = make_pipe();
    auto stream = std::move(*adopt_write_end(loop, std::move(pipe.write)));
    pipe.read.reset();
    auto writing = stream->write_all("x", soon());
    EXPECT_EQ((co_await writing).error().code, Code::closed);
  }());
}

TEST_F(StreamTest, ConnectingToNobodySaysSo) {
  run([&]() -> Task<void> {
    const TempDir dir;
    const std::string path = (dir.path() / "nobody").string();
    auto connecting = connect(loop, Address::parse("unix:" + path).value(), soon());
    const auto stream = co_await connecting;
    EXPECT_EQ(stream.error().code, Code::io);
    EXPECT_NE(stream.error().message.find(path), std::string::npos);
    const Fd bound(
        ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));  // takes a port and does not listen
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    auto* generic = reinterpret_cast<sockaddr*>(&at);
    EXPECT_EQ(::bind(bound.get(), generic, size), 0);
    EXPECT_EQ(::getsockname(bound.get(), generic, &size), 0);
    const Address deaf{
        .family = Address::Family::ipv4, .host = "127.0.0.1", .port = ntohs(at.sin_port)};
    auto refused = connect(loop, deaf, soon());
    EXPECT_EQ((co_await refused).error().code, Code::io);
  }());
}

TEST_F(StreamTest, ABusyStreamLeavesTurnsToTimers) {
  run([&]() -> Task<void> {
    bool timer_ran = false;
    loop.call_at(Loop::now(), [&] { timer_ran = true; });
    auto zeros = std::move(*adopt_read_end(loop, Fd(::open("/dev/zero", O_RDONLY | O_CLOEXEC))));
    std::array<char, 16> buffer{};
    for (int i = 0; i < 100'000 && !timer_ran; ++i) {
      auto reading = zeros->read_some(buffer, std::nullopt);
      EXPECT_EQ((co_await reading).value_or(0), buffer.size());
    }
    EXPECT_TRUE(timer_ran);
  }());
}

TEST_F(StreamTest, PipesKeepTheFlagsOfTheOpenFileTheyCameFrom) {
  run([&]() -> Task<void> {
    Pipe pipe = make_pipe();
    const Fd shared_read(::dup(pipe.read.get()));  // as a shell keeps its standard input
    const Fd shared_write(::dup(pipe.write.get()));
    auto reader = std::move(*adopt_read_end(loop, std::move(pipe.read)));
    auto writer = std::move(*adopt_write_end(loop, std::move(pipe.write)));
    EXPECT_EQ(::fcntl(shared_read.get(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_EQ(::fcntl(shared_write.get(), F_GETFL) & O_NONBLOCK, 0);
    auto waiting = read_code(*reader, Loop::now() + milliseconds(1));
    EXPECT_EQ(co_await waiting, "timeout");
    auto writing = writer->write_all("through", soon());
    EXPECT_TRUE((co_await writing).has_value());
    auto reading = read_all(*reader, 7);
    EXPECT_EQ(co_await reading, "through");
  }());
}

TEST_F(StreamTest, SocketsGetTheirFlagsBackWhenTheStreamCloses) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  const Fd peer(ends[1]);
  const Fd shared(::dup(ends[0]));
  const int before = ::fcntl(shared.get(), F_GETFL);
  auto stream = std::move(*adopt_read_end(loop, Fd(ends[0])));
  EXPECT_NE(::fcntl(shared.get(), F_GETFL) & O_NONBLOCK, 0);
  stream.reset();
  EXPECT_EQ(::fcntl(shared.get(), F_GETFL), before);
}

TEST_F(StreamTest, RegularFilesAndDevNullAreStreamsToo) {
  run([&]() -> Task<void> {
    const TempDir dir;
    const std::string path = (dir.path() / "file").string();
    {
      auto out = std::move(
          *adopt_write_end(loop, Fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600))));
      auto writing = out->write_all("one\ntwo\n", soon());
      EXPECT_TRUE((co_await writing).has_value());
    }
    auto in = std::move(*adopt_read_end(loop, Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC))));
    auto reading = read_all(*in);
    EXPECT_EQ(co_await reading, "one\ntwo\n");
    auto null_in = std::move(*adopt_read_end(loop, Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC))));
    auto nothing = read_all(*null_in);
    EXPECT_EQ(co_await nothing, "");
    auto null_out =
        std::move(*adopt_write_end(loop, Fd(::open("/dev/null", O_WRONLY | O_CLOEXEC))));
    auto swallowed = null_out->write_all("x", soon());
    EXPECT_TRUE((co_await swallowed).has_value());
  }());
}

TEST_F(StreamTest, AdoptingNothingIsAnError) {
  EXPECT_EQ(adopt_read_end(loop, Fd()).error().code, Code::io);
}

TEST_F(StreamTest, AUnixSocketIsPrivateAndItsFileGoesWithTheListener) {
  run([&]() -> Task<void> {
    const TempDir dir;
    const std::string path = (dir.path() / "s").string();
    auto listener = listen_on("unix:" + path);
    struct stat about{};
    EXPECT_EQ(::stat(path.c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 07777U, 0600U);
    auto pairing = connected(*listener);
    const Pair pair = co_await pairing;
    auto hello = pair.server->write_all("hello", soon());
    EXPECT_TRUE((co_await hello).has_value());
    auto got = read_all(*pair.client, 5);
    EXPECT_EQ(co_await got, "hello");
    listener.reset();
    EXPECT_NE(::stat(path.c_str(), &about), 0);
  }());
}

TEST_F(StreamTest, AUnixSocketIsReplacedOnlyWhenNobodyAnswersOnIt) {
  const TempDir dir;
  const std::string path = (dir.path() / "s").string();
  const Address address = Address::parse("unix:" + path).value();
  auto first = listen_on("unix:" + path);
  const auto second = listen(loop, address);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, Code::io);
  EXPECT_NE(second.error().message.find("answers"), std::string::npos);
  // What a killed listener leaves: a socket file without a listener.
  const std::string moved = (dir.path() / "stale").string();
  std::filesystem::rename(path, moved);
  first.reset();
  EXPECT_TRUE(std::filesystem::exists(moved)) << "not its path any more, so not its to remove";
  std::filesystem::rename(moved, path);
  const auto third = listen(loop, address);
  EXPECT_TRUE(third.has_value());
}

TEST_F(StreamTest, AFileThatIsNoSocketIsNeverReplaced) {
  const TempDir dir;
  const std::string path = (dir.path() / "notes").string();
  std::ofstream(path) << "keep me";
  const auto listener = listen(loop, Address::parse("unix:" + path).value());
  ASSERT_FALSE(listener.has_value());
  EXPECT_EQ(listener.error().code, Code::io);
  EXPECT_EQ(std::filesystem::file_size(path), 7U);
}

TEST_F(StreamTest, ClosingAListenerEndsItsAccept) {
  run([&]() -> Task<void> {
    const auto listener = listen_on("127.0.0.1:0");
    auto ended = std::make_shared<OneShot<Code>>(loop);
    auto acceptor = [](Listener& on, std::shared_ptr<OneShot<Code>> result) -> Task<void> {
      auto accepting = on.accept();
      const auto stream = co_await accepting;
      result->set(stream ? Code::internal : stream.error().code);
    };
    loop.spawn(acceptor(*listener, ended));
    listener->close();
    auto wait = ended->wait();
    EXPECT_EQ(co_await wait, Code::closed);
  }());
}

}  // namespace
}  // namespace zwinger::net
