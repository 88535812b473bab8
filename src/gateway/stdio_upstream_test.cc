// The supervisor of stdio servers against real child processes: small shell scripts that misbehave
// on purpose.
#include "gateway/stdio_upstream.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/files.h"
#include "mcp/envelope.h"
#include "net/one_shot.h"
#include "net/process.h"
#include "net/test_loop.h"

namespace zwinger::gateway {
namespace {

using namespace std::chrono_literals;

// Shell functions of every script below. hello: answers initialize, with $1 behind it in the same
// write. answer: answers the request that was read into $line with the result {"n":$1}. The id is
// the first number of a request.
constexpr const char* kFunctions =
    "number() { id=${line#*'\"id\":'}; id=${id%%,*}; }\n"
    "hello() { IFS= read -r line; number; printf "
    R"('{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"t"}}}\n%b' )"
    "\"$id\" \"$1\"; IFS= read -r initialized; }\n"
    R"(answer() { number; printf '{"jsonrpc":"2.0","id":%s,"result":{"n":%s}}\n' "$id" "$1"; }
)";

class NullDisk final : public ledger::AppendFile {
 public:
  Result<void> write(std::string_view) override { return {}; }
  Result<void> sync() override { return {}; }
};

class StdioUpstreamTest : public net::LoopTest {
 public:
  std::unique_ptr<StdioUpstream> server(const std::string& script,
                                        std::chrono::seconds answer_timeout = 30s) {
    UpstreamConfig config;
    config.id = "t";
    config.command = {"/bin/sh", "-c", kFunctions + script};
    config.answer_timeout = answer_timeout;
    config.environment = {{"FOLDER", folder.path().string()}};
    return std::make_unique<StdioUpstream>(loop, StdioUpstreamOptions{.config = config}, *log,
                                           notices);
  }
  Task<std::string> ask(StdioUpstream& upstream, std::function<bool()> cancelled = {}) {
    const auto connection = upstream.shared();
    UpstreamRequest request;
    request.id = connection->next_id();
    request.message =
        R"({"jsonrpc":"2.0","id":)" + std::to_string(request.id) + R"(,"method":"tools/call"})";
    request.cancelled = std::move(cancelled);
    auto asking = connection->request(loop, std::move(request));
    const auto reply = co_await asking;
    if (!reply) co_return std::string(name(reply.error().code));
    co_return std::string(reply->result->source());
  }

  net::TempDir folder;
  SystemClock clock;
  std::unique_ptr<Log> log = make_null_log();
  std::unique_ptr<ledger::Ledger> record =
      ledger::Ledger::over(std::make_unique<NullDisk>(), {.emitter = "test"}, clock);
  Notices notices{loop, *record};
};

TEST_F(StdioUpstreamTest, ARequestThatComesWhileItStartsIsSentOnceItIsReady) {
  const auto upstream = server("hello ''; IFS= read -r line; answer 7");
  run([&]() -> Task<void> {
    auto asking = ask(*upstream);
    EXPECT_EQ(co_await asking, R"({"n":7})");
    auto stopping = upstream->stop();
    co_await stopping;
  }());
}

TEST_F(StdioUpstreamTest, AGreetingOnStandardOutputHarmsNoRequestThatWaits) {
  const auto upstream =
      server("echo Welcome; hello 'Server started\\n'; IFS= read -r line; answer 7");
  run([&]() -> Task<void> {
    auto asking = ask(*upstream);
    EXPECT_EQ(co_await asking, R"({"n":7})");
    auto stopping = upstream->stop();
    co_await stopping;
  }());
}

TEST_F(StdioUpstreamTest, AnAnswerToWhatWasNotSentIsNoAnswer) {
  const auto upstream = server(
      "for i in 2 3 4 5; do printf '{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"n\":666}}\\n' $i; "
      "done\n"
      "hello ''; IFS= read -r line; answer 7");
  run([&]() -> Task<void> {
    auto asking = ask(*upstream);
    EXPECT_EQ(co_await asking, R"({"n":7})");
    auto stopping = upstream->stop();
    co_await stopping;
  }());
}

TEST_F(StdioUpstreamTest, GarbageFailsTheOneRequestThatWaitsAndNoOther) {
  const auto upstream =
      server("hello ''; IFS= read -r line; echo garbage; answer 1; IFS= read -r line; answer 7");
  run([&]() -> Task<void> {
    auto first = ask(*upstream);
    EXPECT_EQ(co_await first, "upstream_invalid_message");
    auto second = ask(*upstream);
    EXPECT_EQ(co_await second, R"({"n":7})");
    auto stopping = upstream->stop();
    co_await stopping;
  }());
}

TEST_F(StdioUpstreamTest, ADeadServerIsStartedAgain) {
  const auto upstream = server(
      "hello ''; IFS= read -r line\n"
      "if [ -e \"$FOLDER/died\" ]; then answer 7; else : >\"$FOLDER/died\"; printf '{\"jsonrpc\"'; "
      "fi");
  run([&]() -> Task<void> {
    auto first = ask(*upstream);
    EXPECT_EQ(co_await first, "upstream_died");
    std::string again = "upstream_unavailable";
    while (again == "upstream_unavailable") {  // until its pause is over
      auto pausing = loop.sleep(10ms);
      co_await pausing;
      auto asking = ask(*upstream);
      again = co_await asking;
    }
    EXPECT_EQ(again, R"({"n":7})");
    auto stopping = upstream->stop();
    co_await stopping;
  }());
}

TEST_F(StdioUpstreamTest, ASilentServerIsGivenUp) {
  const auto upstream = server("hello ''; while IFS= read -r line; do :; done", 1s);
  run([&]() -> Task<void> {
    auto asking = ask(*upstream);
    EXPECT_EQ(co_await asking, "upstream_timeout");
    auto stopping = upstream->stop();
    co_await stopping;
  }());
}

TEST_F(StdioUpstreamTest, ARequestThatWasCancelledBeforeItWasSentIsNotSent) {
  const auto upstream = server("hello ''; IFS= read -r line; answer 7");
  run([&]() -> Task<void> {
    auto first = ask(*upstream, [] { return true; });
    EXPECT_EQ(co_await first, "cancelled");
    auto second = ask(*upstream);
    EXPECT_EQ(co_await second, R"({"n":7})");  // the script answers the first request that it reads
    auto stopping = upstream->stop();
    co_await stopping;
  }());
}

TEST_F(StdioUpstreamTest, AProgramThatIsNotThereFailsItsRequestsAtOnce) {
  UpstreamConfig config;
  config.id = "t";
  config.command = {"/nonexistent/server"};
  StdioUpstream upstream(loop, {.config = config}, *log, notices);
  run([&]() -> Task<void> {
    auto asking = ask(upstream);
    EXPECT_EQ(co_await asking, "upstream_unavailable");
    auto stopping = upstream.stop();
    co_await stopping;
  }());
}

TEST_F(StdioUpstreamTest, StoppingFailsWhatWaitsAndEndsAStubbornTree) {
  const auto upstream = server(
      "trap '' TERM; hello ''; (trap '' TERM; : >\"$FOLDER/ready\"; while :; do sleep 1; done) & "
      "while :; do sleep 1; done");
  const auto before = net::descendants(::getpid());  // a sanitizer's symbolizer, say
  run([&]() -> Task<void> {
    auto waiting = std::make_shared<net::OneShot<std::string>>(loop);
    loop.spawn([](StdioUpstreamTest& test, StdioUpstream& asked,
                  std::shared_ptr<net::OneShot<std::string>> out) -> Task<void> {
      auto asking = test.ask(asked);
      std::string reply = co_await asking;
      out->set(std::move(reply));
    }(*this, *upstream, waiting));
    while (!std::filesystem::exists(folder.path() / "ready")) {
      auto pausing = loop.sleep(5ms);
      co_await pausing;
    }
    auto stopping = upstream->stop();
    co_await stopping;
    auto failed = waiting->wait();
    EXPECT_EQ((co_await failed).value_or(""), "upstream_unavailable");
    EXPECT_EQ(net::descendants(::getpid()), before);
  }());
}

// --- sessions
// ---------------------------------------------------------------------------------------

// Remembers what a server says besides answers.
class Remember final : public EventSink {
 public:
  Task<void> take(net::Loop&, mcp::Message message) override {
    heard.emplace_back(message.document.text());
    co_return;
  }
  std::vector<std::string> heard;
};

ConnectionStart begin(std::shared_ptr<EventSink> events) {
  ConnectionStart start;
  start.initialize_id = kInitializeId;
  start.initialize_params =
      R"({"protocolVersion":"2025-11-25","capabilities":{"roots":{}},"clientInfo":{"name":"c"}})";
  start.initialize = mcp::write_request(kInitializeId, "initialize", start.initialize_params);
  start.events = std::move(events);
  return start;
}

TEST_F(StdioUpstreamTest, EachSessionHasAProcessThatKnowsItsClient) {
  const auto upstream = server(
      "IFS= read -r line; echo \"$line\" >\"$FOLDER/$$\"; number; printf "
      R"('{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"t"}}}\n' )"
      "\"$id\"; while IFS= read -r line; do :; done");
  run([&]() -> Task<void> {
    for (int i = 0; i < 2; ++i) {
      auto opened = upstream->open(begin(std::make_shared<Remember>()));
      EXPECT_TRUE(opened);
      auto asking = (*opened)->server(loop);
      const auto server_info = co_await asking;
      EXPECT_TRUE(server_info);
    }
    auto stopping = upstream->stop();
    co_await stopping;
  }());
  std::size_t processes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    const auto text = read_file(entry.path(), 4096);
    ASSERT_TRUE(text);
    EXPECT_NE(text->find(R"("capabilities":{"roots":{}})"), std::string::npos) << *text;
    ++processes;
  }
  EXPECT_EQ(processes, 2U);
}

TEST_F(StdioUpstreamTest, ASessionHearsWhatTheServerSaysInOrder) {
  const auto upstream = server(
      "hello ''; IFS= read -r line; for i in 1 2 3; do printf "
      R"('{"jsonrpc":"2.0","method":"notifications/message","params":{"n":%s}}\n' $i; done; )"
      R"(printf '{"jsonrpc":"2.0","id":"q","method":"roots/list"}\n'; answer 7)");
  const auto remember = std::make_shared<Remember>();
  run([&]() -> Task<void> {
    auto start = begin(remember);
    start.send_initialized = true;
    auto opened = upstream->open(std::move(start));
    UpstreamRequest request;
    request.id = (*opened)->next_id();
    request.message = mcp::write_request(request.id, "tools/list", {});
    auto asking = (*opened)->request(loop, std::move(request));
    const auto reply = co_await asking;
    EXPECT_TRUE(reply);
    auto stopping = upstream->stop();
    co_await stopping;
  }());
  ASSERT_EQ(remember->heard.size(), 4U);
  EXPECT_NE(remember->heard[0].find("\"n\":1"), std::string::npos);
  EXPECT_NE(remember->heard[2].find("\"n\":3"), std::string::npos);
  EXPECT_NE(remember->heard[3].find("roots/list"), std::string::npos);
}

TEST_F(StdioUpstreamTest, AServersOwnErrorToInitializeIsTold) {
  const auto upstream = server(
      "IFS= read -r line; number; printf "
      R"('{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"no"}}\n' "$id"; )"
      "while IFS= read -r line; do :; done");
  run([&]() -> Task<void> {
    auto opened = upstream->open(begin(nullptr));
    auto asking = (*opened)->server(loop);
    const auto told = co_await asking;
    EXPECT_FALSE(told);
    if (!told) {
      EXPECT_EQ(told.error().code, Code::upstream_error);
      EXPECT_EQ(told.error().message, R"({"code":-32602,"message":"no"})");
    }
    auto stopping = upstream->stop();
    co_await stopping;
  }());
}

TEST_F(StdioUpstreamTest, MoreSessionsThanAllowedAreRefused) {
  UpstreamConfig config;
  config.id = "t";
  config.command = {"/bin/sh", "-c", "while IFS= read -r line; do :; done"};
  config.max_sessions = 1;
  StdioUpstream upstream(loop, {.config = config}, *log, notices);
  run([&]() -> Task<void> {
    const auto first = upstream.open(begin(nullptr));
    EXPECT_TRUE(first);
    const auto second = upstream.open(begin(nullptr));
    EXPECT_FALSE(second);
    if (!second) EXPECT_EQ(second.error().code, Code::session_limit);
    auto stopping = upstream.stop();
    co_await stopping;
  }());
}

}  // namespace
}  // namespace zwinger::gateway
