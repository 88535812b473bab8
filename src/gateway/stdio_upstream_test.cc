// The supervisor of stdio servers against real child processes: small shell scripts that misbehave
// on purpose.
#include "gateway/stdio_upstream.h"

#include <gtest/gtest.h>
#include <unistd.h>

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
    const std::int64_t id = upstream.next_id();
    UpstreamRequest request{
        .id = id,
        .message = R"({"jsonrpc":"2.0","id":)" + std::to_string(id) + R"(,"method":"tools/call"})",
        .progress = {},
        .cancelled = std::move(cancelled)};
    auto asking = upstream.request(loop, std::move(request));
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
    upstream->start();
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
    upstream->start();
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
    upstream->start();
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
    upstream->start();
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
    upstream->start();
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
    upstream->start();
    auto asking = ask(*upstream);
    EXPECT_EQ(co_await asking, "upstream_timeout");
    auto stopping = upstream->stop();
    co_await stopping;
  }());
}

TEST_F(StdioUpstreamTest, ARequestThatWasCancelledBeforeItWasSentIsNotSent) {
  const auto upstream = server("hello ''; IFS= read -r line; answer 7");
  run([&]() -> Task<void> {
    upstream->start();
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
    upstream.start();
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
    upstream->start();
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

}  // namespace
}  // namespace zwinger::gateway
