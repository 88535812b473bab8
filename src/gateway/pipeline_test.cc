// Rows of the design's failure table (section 6) that belong to the pipeline: what is let through,
// what is not, and what the record says of it. The upstream is a stand-in here, because the point
// is what reaches it; tests/e2e has real ones.
#include "gateway/pipeline.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

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

class FakeUpstream final : public Upstream {
 public:
  [[nodiscard]] const std::string& id() const override { return id_; }
  std::int64_t next_id() override { return next_++; }
  Task<Result<mcp::Message>> request(net::Loop&, UpstreamRequest asked) override {
    seen.push_back(std::move(asked.message));
    if (speak && asked.progress) speak(asked.progress);
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
  void cancel(std::int64_t, std::optional<std::string>) override {}

  std::vector<std::string> seen;
  std::string result = R"({"content":[]})";
  std::optional<Error> failure;
  std::function<void()> on_request;
  std::function<void(const ProgressSink&)> speak;
  int asked_who = 0;

 private:
  std::string id_ = "bank";
  std::int64_t next_ = 1;
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
    Pipeline pipeline(roles, "generation", *store, *record, clock, bounds);
    Exchange x(loop, *std::move(message));
    x.who = std::move(who);
    x.transport = "http";
    x.call_id = "call-1";
    x.began = clock.monotonic();
    x.upstream = &upstream;
    x.vertical = vertical;
    if (client_progress) x.client_progress = client_progress;
    if (cancel_first) x.cancellation->cancel({});
    Answer answer;
    run([](Pipeline& p, Exchange& exchange, Answer& out) -> Task<void> {
      out = co_await p.run(exchange);
    }(pipeline, x, answer));
    return answer;
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
  grant::RoleTable roles{grant::RolesDoNotRestrict{}};
  std::shared_ptr<FakeDisk::Shared> disk = std::make_shared<FakeDisk::Shared>();
  std::unique_ptr<ledger::Ledger> record =
      ledger::Ledger::over(std::make_unique<FakeDisk>(disk), {.emitter = "test"}, clock);
  std::unique_ptr<state::AsyncStore> store =
      std::make_unique<state::AsyncStore>(state::make_memory_store());
  FakeUpstream upstream;
  bool cancel_first = false;
  std::string_view vertical = grant::kSharedVertical;
  ClientProgress client_progress;
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
      holder_of(R"({"scope":["tools:call"],"toolsInScope":["bank/*"],"budget":{"maxCalls":4}})");
  EXPECT_EQ(reason_of(ask("ping", "{}", who)), "grant_unsupported");
}

TEST_F(PipelineTest, MethodsThatAreNotPassedOnAreRefusedAndRecorded) {
  EXPECT_EQ(reason_of(ask("resources/read", R"({"uri":"file:///etc/passwd"})", holder_of(kGrant))),
            "method_not_supported");
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

TEST_F(PipelineTest, ProgressIsRecordedByCountSizeAndDigest) {
  std::vector<std::string> events;
  client_progress = [&events](std::string event) {
    events.push_back(std::move(event));
    return events.size() < 3;  // the third is too much for the client
  };
  upstream.speak = [](const ProgressSink& sink) {
    const auto params =
        json::Document::parse(R"({"progressToken":1,"progress":1,"message":"half","extra":"x"})");
    const auto progress = mcp::read_progress_params(params->root());
    ASSERT_TRUE(progress);
    for (int i = 0; i < 3; ++i) sink(*progress);
  };
  ask("tools/call", R"({"name":"read","_meta":{"progressToken":"mine"}})", holder_of(kGrant));
  const std::string event =
      R"({"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"mine","progress":1,"message":"half"}})";
  EXPECT_EQ(events, (std::vector<std::string>{event, event, event}));
  const auto all = leaves();
  const json::Value outcome = all.at(all.size() - 2).root();  // a stop leaf follows
  ASSERT_EQ(outcome.find("kind")->string(), "outcome");
  EXPECT_EQ(outcome.find("progress_events")->integer(), 2);
  EXPECT_EQ(outcome.find("progress_bytes")->integer(), static_cast<std::int64_t>(2 * event.size()));
  EXPECT_TRUE(outcome.find("progress_sha256"));
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
