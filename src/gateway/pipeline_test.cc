// Rows of the design's failure table (section 6) that belong to the pipeline: what is let through,
// what is not, and what the record says of it. The upstream is a stand-in here, because the point
// is what reaches it; tests/e2e has real ones.
#include "gateway/pipeline.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "base/metrics.h"
#include "gateway/session.h"
#include "json/json.h"
#include "net/test_loop.h"

namespace zwinger::gateway {
namespace {

using namespace std::chrono_literals;

// A disk that can fail or stand still.
class FakeDisk final : public ledger::AppendFile {
 public:
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::string bytes;
    bool fail_writes = false;
    bool stand_still = false;
  };
  explicit FakeDisk(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

  Result<void> write(std::string_view bytes) override {
    std::unique_lock lock(shared_->mutex);
    shared_->changed.wait(lock, [&] { return !shared_->stand_still; });
    if (shared_->fail_writes) return fail(Code::io, "disk full");
    shared_->bytes += bytes;
    return {};
  }
  Result<void> sync() override { return {}; }

 private:
  std::shared_ptr<Shared> shared_;
};

class BrokenStore final : public state::Store {
 public:
  Result<state::Versioned> get(std::string_view) override {
    return fail(Code::state_unavailable, "gone");
  }
  Result<bool> compare_and_swap(std::string_view, std::uint64_t, std::string_view) override {
    return fail(Code::state_unavailable, "gone");
  }
  Result<void> transaction(const std::function<Result<void>(state::Store&)>&) override {
    return fail(Code::state_unavailable, "gone");
  }
};

class FakeConnection final : public Connection {
 public:
  std::int64_t next_id() override { return next_++; }
  Task<Result<mcp::Message>> request(net::Loop& loop, UpstreamRequest asked) override {
    seen.push_back(std::move(asked.message));
    for (const std::string& event : says) {
      auto message = mcp::parse_message(event, {});
      auto taking = asked.events->take(loop, *std::move(message));
      co_await taking;
    }
    if (on_request) on_request();
    if (failure) co_return std::unexpected(*failure);
    auto reply = mcp::parse_message(
        R"({"jsonrpc":"2.0","id":)" + std::to_string(asked.id) + ",\"result\":" + result + "}", {});
    co_return *std::move(reply);
  }
  Task<Result<std::shared_ptr<const mcp::ServerInfo>>> server(net::Loop&) override {
    ++asked_who;
    co_return fail(Code::upstream_unavailable, "not here");
  }
  Task<Result<void>> send(net::Loop&, std::string message) override {
    sent.push_back(std::move(message));
    if (on_send) on_send();
    co_return Result<void>();
  }
  void cancel(std::int64_t, std::string) override {}
  void listen() override {}
  void close() override {}

  std::vector<std::string> seen;
  std::vector<std::string> sent;
  std::vector<std::string> says;  // before it answers
  std::string result = R"({"content":[]})";
  std::optional<Error> failure;
  std::function<void()> on_request;
  std::function<void()> on_send;
  int asked_who = 0;

 private:
  std::int64_t next_ = 1;
};

class FakeUpstream final : public Upstream {
 public:
  explicit FakeUpstream(std::shared_ptr<FakeConnection> connection)
      : connection_(std::move(connection)) {
    config_.id = "bank";
  }
  [[nodiscard]] const UpstreamConfig& config() const override { return config_; }
  std::shared_ptr<Connection> shared() override { return connection_; }
  Result<std::shared_ptr<Connection>> open(ConnectionStart) override { return connection_; }
  void quiesce() override {}
  Task<void> stop() override { co_return; }

 private:
  UpstreamConfig config_;
  std::shared_ptr<FakeConnection> connection_;
};

class PipelineTest : public net::LoopTest {
 protected:
  static std::shared_ptr<const identity::Authenticated> holder_of(const std::string& atr) {
    const auto payload =
        json::Document::parse(R"({"sub":"alice","exp":4102444800,"jti":"j","atr":)" + atr + "}");
    auto who = identity::read_claims(payload->root(), identity::Proof::replay);
    EXPECT_TRUE(who);
    return std::make_shared<const identity::Authenticated>(*std::move(who));
  }

  Answer ask(const std::string& method, const std::string& params,
             std::shared_ptr<const identity::Authenticated> who, Bounds bounds = {}) {
    auto message = mcp::parse_message(
        R"({"jsonrpc":"2.0","id":"q","method":")" + method + "\",\"params\":" + params + "}", {});
    EXPECT_TRUE(message);
    Pipeline pipeline(parts(bounds));
    Exchange x(loop, *std::move(message), clock.monotonic());
    x.generation = generation();
    x.who = std::move(who);
    x.transport = "http";
    x.call_id = "call-1";
    x.route = {.upstream = server, .vertical = vertical};
    x.stream = stream;
    x.session = session;
    if (cancel_first) x.cancellation->cancel([](std::int64_t) { return std::string(); });
    Answer answer;
    run([](Pipeline& p, Exchange& exchange, Answer& out) -> Task<void> {
      out = co_await p.run(exchange);
    }(pipeline, x, answer));
    return answer;
  }
  Pipeline::Parts parts(Bounds bounds = {}) {
    return {.store = *store,
            .ledger = *record,
            .notices = notices,
            .clock = clock,
            .random = random,
            .meters = meters,
            .argument_key = argument_key,
            .bounds = bounds};
  }
  std::shared_ptr<const Generation> generation() {
    auto out = std::make_shared<Generation>();
    out->digest = "generation";
    out->roles = grant::RoleTable(grant::RolesDoNotRestrict{});
    return out;
  }
  void poll_until(const bool& done) {
    while (!done) loop.poll();
  }
  Answer call(const std::string& tool) {
    return ask("tools/call", R"({"name":")" + tool + R"(","arguments":{"n":1}})",
               holder_of(kGrant));
  }

  // What the record holds, oldest first; ends the record.
  std::vector<json::Document> leaves() {
    record.reset();
    std::vector<json::Document> out;
    std::string_view rest = disk->bytes;
    while (!rest.empty()) {
      const std::size_t end = rest.find('\n');
      auto leaf =
          json::Document::parse(std::string(rest.substr(17, end - 17)));  // 16 hex digits, a space
      EXPECT_TRUE(leaf);
      if (leaf) out.push_back(*std::move(leaf));
      rest.remove_prefix(end + 1);
    }
    return out;
  }
  // "kind/verdict-or-status/reason" of the leaves of this call.
  std::vector<std::string> story() {
    std::vector<std::string> out;
    for (const json::Document& leaf : leaves()) {
      const auto text = [&](const char* member) {
        const auto value = leaf.root().find(member);
        return value ? std::string(value->string()) : std::string();
      };
      if (text("call") != "call-1") continue;
      out.push_back(text("kind") + "/" + text(text("kind") == "decision" ? "verdict" : "status") +
                    "/" + text("reason"));
    }
    return out;
  }
  static std::string reason_of(const Answer& answer) {
    const auto document = json::Document::parse(answer.message);
    const auto error = document->root().find("error");
    return error ? std::string(error->find("data")->find("reason")->string()) : "ok";
  }

  static constexpr const char* kGrant =
      R"({"role":"r","scope":["tools:call","tools:list"],"toolsInScope":["bank/send","bank/read"],
          "toolConstraints":{"bank/send":{"maxCalls":2}}})";

  SystemClock clock;
  SequenceRandom random;
  metrics::Registry registry;
  Meters meters{registry};
  ledger::ArgumentKey argument_key{"0123456789abcdef0123456789abcdef"};
  std::shared_ptr<FakeDisk::Shared> disk = std::make_shared<FakeDisk::Shared>();
  std::unique_ptr<ledger::Ledger> record =
      ledger::Ledger::over(std::make_unique<FakeDisk>(disk), {.emitter = "test"}, clock);
  std::unique_ptr<state::AsyncStore> store =
      std::make_unique<state::AsyncStore>(state::make_memory_store());
  Notices notices{loop, *record};
  std::shared_ptr<FakeConnection> connection = std::make_shared<FakeConnection>();
  FakeConnection& upstream = *connection;
  std::shared_ptr<Upstream> server = std::make_shared<FakeUpstream>(connection);
  bool cancel_first = false;
  std::string vertical{grant::kSharedVertical};
  std::shared_ptr<EventStore> kept = std::make_shared<EventStore>();
  std::shared_ptr<ClientStream> stream;
  std::shared_ptr<Session> session;
};

using Story = std::vector<std::string>;

TEST_F(PipelineTest, APermittedCallGoesThroughWithTwoLeaves) {
  EXPECT_EQ(call("read").message, R"({"jsonrpc":"2.0","id":"q","result":{"content":[]}})");
  EXPECT_EQ(upstream.seen.size(), 1U);
  EXPECT_EQ(story(), (Story{"decision/allow/ok", "outcome/result/ok"}));
}

TEST_F(PipelineTest, TheDecisionLeafIsThereBeforeTheUpstreamHearsOfIt) {
  std::string on_disk;
  upstream.on_request = [&] {
    const std::lock_guard lock(disk->mutex);
    on_disk = disk->bytes;
  };
  call("read");
  EXPECT_NE(on_disk.find(R"("verdict":"allow")"), std::string::npos);
  EXPECT_EQ(on_disk.find(R"("kind":"outcome")"), std::string::npos);
}

TEST_F(PipelineTest, ADeniedCallReachesNobody) {
  EXPECT_EQ(reason_of(call("close_account")), "tool_not_in_scope");
  EXPECT_TRUE(upstream.seen.empty());
  EXPECT_EQ(story(),
            (Story{"decision/deny/tool_not_in_scope", "outcome/denied/tool_not_in_scope"}));
}

TEST_F(PipelineTest, NobodyIsDenied) {
  EXPECT_EQ(reason_of(ask("tools/call", R"({"name":"read"})", nullptr)), "grant_missing");
  EXPECT_TRUE(upstream.seen.empty());
}

TEST_F(PipelineTest, AGrantThatCannotBeCheckedDeniesEvenPing) {
  const auto who =
      holder_of(R"({"scope":["tools:call"],"toolsInScope":["bank/*"],"budget":{"maxUsd":4}})");
  EXPECT_EQ(reason_of(ask("ping", "{}", who)), "grant_unsupported");
}

TEST_F(PipelineTest, MethodsThatAreNotPassedOnAreRefusedAndRecorded) {
  EXPECT_EQ(reason_of(ask("server/discover", "{}", holder_of(kGrant))), "method_not_supported");
  EXPECT_TRUE(upstream.seen.empty());
  EXPECT_EQ(story(),
            (Story{"decision/deny/method_not_supported", "outcome/denied/method_not_supported"}));
}

TEST_F(PipelineTest, ParametersOfTheWrongShapeAreRefused) {
  EXPECT_EQ(reason_of(ask("tools/call", R"({"name":"read","arguments":[]})", holder_of(kGrant))),
            "mcp_params");
  EXPECT_TRUE(upstream.seen.empty());
}

TEST_F(PipelineTest, AnUndecidedRequestIsDenied) {
  const Bounds none{.decision = -1ms, .durability = 2'000ms};
  EXPECT_EQ(reason_of(ask("tools/call", R"({"name":"read"})", holder_of(kGrant), none)),
            "decision_timeout");
  EXPECT_TRUE(upstream.seen.empty());
}

TEST_F(PipelineTest, WithoutCountersACountedCallIsDenied) {
  store = std::make_unique<state::AsyncStore>(std::make_unique<BrokenStore>());
  EXPECT_EQ(reason_of(call("send")), "state_unavailable");
  EXPECT_TRUE(upstream.seen.empty());
}

TEST_F(PipelineTest, WithoutCountersAnUncountedCallGoesThrough) {
  store = std::make_unique<state::AsyncStore>(std::make_unique<BrokenStore>());
  EXPECT_EQ(reason_of(call("read")), "ok");
}

TEST_F(PipelineTest, AFailingDiskLetsNothingThrough) {
  {
    const std::lock_guard lock(disk->mutex);
    disk->fail_writes = true;
  }
  EXPECT_EQ(reason_of(call("read")), "ledger_unavailable");
  EXPECT_TRUE(upstream.seen.empty());
}

TEST_F(PipelineTest, ADecisionThatIsLateOnDiskIsNotForwarded) {
  {
    const std::lock_guard lock(disk->mutex);
    disk->stand_still = true;
  }
  const Bounds short_wait{.decision = 50ms, .durability = 20ms};
  EXPECT_EQ(reason_of(ask("tools/call", R"({"name":"read"})", holder_of(kGrant), short_wait)),
            "ledger_late");
  EXPECT_TRUE(upstream.seen.empty());
  {
    const std::lock_guard lock(disk->mutex);
    disk->stand_still = false;
  }
  disk->changed.notify_all();
  EXPECT_EQ(story(), (Story{"decision/allow/ok", "outcome/not_forwarded/ledger_late"}));
}

TEST_F(PipelineTest, AnAnswerWhoseOutcomeCannotBeRecordedIsWithheld) {
  upstream.on_request = [&] {
    const std::lock_guard lock(disk->mutex);
    disk->fail_writes = true;
  };
  const Answer answer = call("read");
  EXPECT_EQ(reason_of(answer), "outcome_unrecorded");
  EXPECT_EQ(answer.message.find("content"), std::string::npos);
}

TEST_F(PipelineTest, AnUpstreamsFailureKeepsItsOwnReason) {
  upstream.failure = Error{Code::upstream_died, "ended", {}};
  EXPECT_EQ(reason_of(call("read")), "upstream_died");
  EXPECT_EQ(story(), (Story{"decision/allow/ok", "outcome/failed/upstream_died"}));
}

TEST_F(PipelineTest, ARequestThatWasCancelledFirstIsNotForwarded) {
  cancel_first = true;
  EXPECT_EQ(reason_of(call("read")), "cancelled");
  EXPECT_TRUE(upstream.seen.empty());
  EXPECT_EQ(story(), (Story{"decision/allow/ok", "outcome/not_forwarded/cancelled"}));
}

TEST_F(PipelineTest, AListShowsWhatACallCouldReach) {
  upstream.result =
      R"({"tools":[{"name":"close_account"},{"name":"read"},{"name":"send"}],"nextCursor":"2"})";
  EXPECT_EQ(
      ask("tools/list", "{}", holder_of(kGrant)).message,
      R"({"jsonrpc":"2.0","id":"q","result":{"tools":[{"name":"read"},{"name":"send"}],"nextCursor":"2"}})");
}

TEST_F(PipelineTest, NothingGoesToOrComesFromAnUpstreamOutOfReach) {
  vertical = "insurance";
  const auto who = holder_of(
      R"({"verticals":["lending"],"scope":["tools:call","tools:list"],"toolsInScope":["bank/*"]})");
  EXPECT_EQ(ask("tools/list", R"({"cursor":"outward"})", who).message,
            R"({"jsonrpc":"2.0","id":"q","result":{"tools":[]}})");
  EXPECT_TRUE(upstream.seen.empty());
}

TEST_F(PipelineTest, AnUpstreamOutOfReachIsNotAskedWhoItIs) {
  const auto who = holder_of(R"({"scope":["tools:call"],"toolsInScope":["other/*"]})");
  const Answer answer =
      ask("initialize",
          R"({"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c"}})", who);
  EXPECT_EQ(reason_of(answer), "ok");
  EXPECT_NE(answer.message.find(R"("name":"zwinger")"), std::string::npos);
  EXPECT_EQ(upstream.asked_who, 0);
}

// What stands in a stream for a reader that begins now.
std::vector<std::string> all_of(net::Loop& loop, ClientStream& stream) {
  std::vector<std::string> out;
  const std::uint64_t reader = *stream.attach(0);
  loop.spawn([](net::Loop& l, ClientStream& s, std::uint64_t r,
                std::vector<std::string>& into) -> Task<void> {
    while (true) {
      auto waiting = s.next(l, r, ClientStream::Form::stream, net::Loop::now());
      const ClientStream::Next next = co_await waiting;
      if (next.kind != ClientStream::Next::Kind::event) break;
      into.push_back(*next.message);
    }
  }(loop, stream, reader, out));
  loop.poll();
  stream.detach(reader);
  return out;
}

TEST_F(PipelineTest, ProgressIsRecordedByCountSizeAndDigest) {
  stream = std::make_shared<ClientStream>(2, kept);
  upstream.says = {
      R"({"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1,"message":"half","extra":"x"}})",
      R"({"jsonrpc":"2.0","method":"notifications/unheard/of"})",
      R"({"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}})"};
  ask("tools/call", R"({"name":"read","_meta":{"progressToken":"mine"}})", holder_of(kGrant));
  const std::string progress =
      R"({"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"mine","progress":1,"message":"half","extra":"x"}})";
  const std::vector<std::string> events = all_of(loop, *stream);
  EXPECT_EQ(events, (std::vector<std::string>{progress, upstream.says[2]}));
  const auto all = leaves();
  const json::Value outcome = all.at(all.size() - 2).root();  // a stop leaf follows
  ASSERT_EQ(outcome.find("kind")->string(), "outcome");
  EXPECT_EQ(outcome.find("progress_events")->integer(), 2);
  EXPECT_EQ(outcome.find("progress_bytes")->integer(),
            static_cast<std::int64_t>(events[0].size() + events[1].size()));
  EXPECT_TRUE(outcome.find("progress_sha256"));
}

TEST_F(PipelineTest, AServerWithoutAClientToAskIsTold) {
  stream = std::make_shared<ClientStream>(2, kept);
  upstream.says = {
      R"({"jsonrpc":"2.0","id":"s1","method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}})"};
  EXPECT_EQ(reason_of(call("read")), "ok");
  ASSERT_EQ(upstream.sent.size(), 1U);
  EXPECT_NE(upstream.sent[0].find(R"("id":"s1","error":)"), std::string::npos);
  EXPECT_NE(upstream.sent[0].find("capability_missing"), std::string::npos);
  EXPECT_TRUE(all_of(loop, *stream).empty());
}

TEST_F(PipelineTest, WhatTheClientAnswersGoesBackUnderTheServersOwnId) {
  stream = std::make_shared<ClientStream>(2, kept);
  session = std::make_shared<Session>("id", "/mcp/bank", holder_of(kGrant), generation(), kept);
  session->agree(R"({"sampling":{}})", "2025-11-25");
  session->add({.route = {.upstream = server, .vertical = vertical}, .connection = connection});
  upstream.says = {
      R"({"jsonrpc":"2.0","id":"s1","method":"sampling/createMessage","params":{"messages":[ ],"maxTokens":1}})"};
  upstream.on_request = [this] {  // the question is on its way, and the client answers
    const auto asked = all_of(loop, *stream);
    ASSERT_EQ(asked.size(), 1U);
    EXPECT_EQ(
        asked[0],
        R"({"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{"messages":[ ],"maxTokens":1}})");
    auto answer = mcp::parse_message(R"({"jsonrpc":"2.0","id":1,"result":{ "role":"x" }})", {});
    EXPECT_TRUE(session->answer(*std::move(answer)));
    auto again = mcp::parse_message(R"({"jsonrpc":"2.0","id":1,"result":{}})", {});
    EXPECT_FALSE(session->answer(*std::move(again)));
  };
  Pipeline pipeline(parts());
  auto message = mcp::parse_message(
      R"({"jsonrpc":"2.0","id":"q","method":"tools/call","params":{"name":"read"}})", {});
  Exchange x(loop, *std::move(message), clock.monotonic());
  x.generation = generation();
  x.who = holder_of(kGrant);
  x.call_id = "c";
  x.route = {.upstream = server, .vertical = vertical};
  x.session = session;
  x.stream = stream;
  Answer answer;
  bool done = false;
  loop.spawn([](Pipeline& p, Exchange& exchange, Answer& out, bool& over) -> Task<void> {
    out = co_await p.run(exchange);
    over = true;
  }(pipeline, x, answer, done));
  while (!done || upstream.sent.empty()) loop.poll();
  EXPECT_EQ(reason_of(answer), "ok");
  ASSERT_FALSE(upstream.sent.empty());
  EXPECT_EQ(upstream.sent[0], R"({"jsonrpc":"2.0","id":"s1","result":{ "role":"x" }})");
  session->end();
  std::vector<std::string> told;
  for (const json::Document& leaf : leaves()) {
    const auto direction = leaf.root().find("direction");
    if (!direction || direction->string() != "server") continue;
    told.push_back(std::string(leaf.root().find("kind")->string()));
  }
  EXPECT_EQ(told, (Story{"decision", "outcome"}));
}

TEST_F(PipelineTest, AServersRequestIsNotAskedWhereItCannotBeRecorded) {
  stream = std::make_shared<ClientStream>(2, kept);
  session = std::make_shared<Session>("id", "/mcp/bank", holder_of(kGrant), generation(), kept);
  session->agree(R"({"roots":{}})", "2025-11-25");
  session->add({.route = {.upstream = server, .vertical = vertical}, .connection = connection});
  Pipeline pipeline(parts());
  auto message = mcp::parse_message(R"({"jsonrpc":"2.0","id":7,"method":"roots/list"})", {});
  auto x = std::make_shared<ServerExchange>(*std::move(message), clock.monotonic());
  x->generation = generation();
  x->who = holder_of(kGrant);
  x->route = {.upstream = server, .vertical = vertical};
  x->session = session;
  x->connection = connection;
  x->stream = stream;
  {
    const std::lock_guard lock(disk->mutex);
    disk->fail_writes = true;
  }
  run(pipeline.ask_client(loop, x));
  EXPECT_TRUE(all_of(loop, *stream).empty());
  ASSERT_EQ(upstream.sent.size(), 1U);
  EXPECT_NE(upstream.sent[0].find("ledger_unavailable"), std::string::npos);
  session->end();
}

TEST_F(PipelineTest, NotificationsStopWithTheRecord) {
  const Pipeline pipeline(parts());
  const auto who = holder_of(kGrant);
  const Route route{.upstream = server, .vertical = vertical};
  const auto message = mcp::parse_message(
      R"({"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}})",
      {});
  const auto from_server = [&] {
    return pipeline.judge_notification(*generation(), who.get(), route, mcp::Notification::message,
                                       *message);
  };
  EXPECT_TRUE(from_server().allowed());
  EXPECT_TRUE(pipeline.judge_client_notification(*generation(), who.get(), route).allowed());
  {
    const std::lock_guard lock(disk->mutex);
    disk->fail_writes = true;
  }
  EXPECT_EQ(reason_of(call("read")), "ledger_unavailable");
  EXPECT_EQ(from_server().reason, Code::ledger_unavailable);
  EXPECT_EQ(pipeline.judge_client_notification(*generation(), who.get(), route).reason,
            Code::ledger_unavailable);
}

TEST_F(PipelineTest, ATaskIsItsOwnersAlone) {
  upstream.result = R"({"task":{"taskId":"t-1","status":"working"}})";
  Pipeline pipeline(parts());
  const auto ask_with = [&](const std::string& method, const std::string& params,
                            std::shared_ptr<const identity::Authenticated> who) {
    auto message = mcp::parse_message(
        R"({"jsonrpc":"2.0","id":"q","method":")" + method + "\",\"params\":" + params + "}", {});
    Exchange x(loop, *std::move(message), clock.monotonic());
    x.generation = generation();
    x.who = std::move(who);
    x.call_id = "c";
    x.route = {.upstream = server, .vertical = vertical};
    Answer answer;
    bool done = false;
    loop.spawn([](Pipeline& p, Exchange& exchange, Answer& out, bool& over) -> Task<void> {
      out = co_await p.run(exchange);
      over = true;
    }(pipeline, x, answer, done));
    poll_until(done);
    return reason_of(answer);
  };
  const auto alice = holder_of(kGrant);
  const auto other =
      holder_of(R"({"scope":["tools:call"],"toolsInScope":["bank/*"],"task":{"id":"another"}})");
  EXPECT_EQ(ask_with("tasks/get", R"({"taskId":"t-1"})", alice), "task_unknown");
  EXPECT_EQ(ask_with("tools/call", R"({"name":"read","task":{}})", alice), "ok");
  EXPECT_EQ(ask_with("tasks/get", R"({"taskId":"t-1"})", alice), "ok");
  EXPECT_EQ(ask_with("tasks/get", R"({"taskId":"t-1"})", other), "task_unknown");
  EXPECT_EQ(upstream.seen.size(), 2U);
}

TEST_F(PipelineTest, ResourcesAndPromptsNeedTheirScopeAndGlobs) {
  const auto who = holder_of(
      R"({"scope":["resources:read","prompts:get"],"resourcesInScope":{"bank":["memo:*"]},"promptsInScope":{"bank":["sum*"]}})");
  EXPECT_EQ(reason_of(ask("resources/read", R"({"uri":"memo:1"})", who)), "ok");
}
TEST_F(PipelineTest, AResourceOutOfScopeReachesNobody) {
  const auto who =
      holder_of(R"({"scope":["resources:read"],"resourcesInScope":{"bank":["memo:*"]}})");
  EXPECT_EQ(reason_of(ask("resources/read", R"({"uri":"file:///etc/sk-live-secret"})", who)),
            "resource_not_in_scope");
  EXPECT_TRUE(upstream.seen.empty());
  record.reset();
  EXPECT_EQ(disk->bytes.find("sk-live-secret"), std::string::npos);
}

TEST_F(PipelineTest, TheRecordDoesNotRepeatTheCallersOwnNames) {
  const auto who = holder_of(
      R"({"scope":["tools:call"],"toolsInScope":["bank/*"],"toolConstraints":{"bank/read":{"closed":true}}})");
  const Answer answer =
      ask("tools/call", R"({"name":"read","arguments":{"sk-live-secret":1}})", who);
  EXPECT_EQ(reason_of(answer), "constraint_closed");
  record.reset();
  EXPECT_EQ(disk->bytes.find("sk-live-secret"), std::string::npos);
}

TEST_F(PipelineTest, AListThatIsNoneIsWithheld) {
  upstream.result = R"({"tools":[{"name":"close_account"},{"title":"nameless"}]})";
  EXPECT_EQ(reason_of(ask("tools/list", "{}", holder_of(kGrant))), "upstream_invalid_message");
}

TEST_F(PipelineTest, ListingNeedsItsScope) {
  const auto who = holder_of(R"({"scope":["tools:call"],"toolsInScope":["bank/*"]})");
  EXPECT_EQ(reason_of(ask("tools/list", "{}", who)), "scope_missing");
}

}  // namespace
}  // namespace zwinger::gateway
