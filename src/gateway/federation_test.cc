// Several upstreams behind one URL, around the real pipeline. The upstreams are stand-ins that
// answer by a script, because the point is what reaches which of them and what comes back.
#include "gateway/federation.h"

#include <gtest/gtest.h>

#include <mutex>
#include <thread>

#include "base/metrics.h"
#include "crypto/hash.h"
#include "gateway/session.h"
#include "json/writer.h"
#include "net/test_loop.h"
#include "text/encoding.h"
#include "text/utf8.h"

namespace zwinger::gateway {
namespace {

using namespace std::chrono_literals;
using Names = std::vector<std::string>;

// --- display names
// ----------------------------------------------------------------------------------------

Names shown_names(const std::vector<std::pair<std::string, Names>>& listed, Naming naming) {
  Names out;
  for (const DisplayName& each : display_names(listed, naming)) out.push_back(each.shown);
  return out;
}

const std::vector<std::pair<std::string, Names>> two_upstreams = {{"bank", {"read", "pay"}},
                                                                  {"mail", {"send", "read"}}};

TEST(FederationNames, AlwaysHaveTheirUpstreamsPrefix) {
  EXPECT_EQ(shown_names(two_upstreams, Naming::always),
            (Names{"bank__read", "bank__pay", "mail__send", "mail__read"}));
}

TEST(FederationNames, AreTheirOwnButWhereTwoHaveOne) {
  EXPECT_EQ(shown_names(two_upstreams, Naming::on_conflict),
            (Names{"bank__read", "pay", "send", "mail__read"}));
}

TEST(FederationNames, WithoutPrefixTheFirstUpstreamsIsMeant) {
  const auto names = display_names(two_upstreams, Naming::never);
  ASSERT_EQ(names.size(), 3U);
  EXPECT_EQ(names[0].shown, "read");
  EXPECT_EQ(names[0].upstream, "bank");
  EXPECT_EQ(names[2].shown, "send");
}

TEST(FederationNames, OneUpstreamThatListsANameTwiceIsInNoConflict) {
  EXPECT_EQ(shown_names({{"bank", {"read", "read"}}}, Naming::on_conflict), (Names{"read"}));
}

TEST(FederationNames, NoneTakesThePlaceOfAnotherUpstreamsPrefixedOne) {
  const auto names = display_names(
      {{"evil", {"mail__read"}}, {"bank", {"read"}}, {"mail", {"read"}}}, Naming::on_conflict);
  ASSERT_EQ(names.size(), 3U);
  EXPECT_EQ(names[0].shown, "evil__mail__read");
  EXPECT_EQ(names[2].shown, "mail__read");
  EXPECT_EQ(names[2].upstream, "mail");
}

TEST(FederationNames, UpTo64CharactersTheyAreWhole) {
  const std::string raw(kMaxShownName - 6, 'x');
  EXPECT_EQ(shown_names({{"bank", {raw}}}, Naming::always), (Names{"bank__" + raw}));
}

TEST(FederationNames, LongerOnesAreCutAndEndInAHashOfTheirIdentity) {
  const std::string raw(kMaxShownName - 5, 'x');
  const std::string hash = crypto::sha256_hex("bank/" + raw).substr(0, 8);
  EXPECT_EQ(shown_names({{"bank", {raw}}}, Naming::always),
            (Names{"bank__" + std::string(49, 'x') + "_" + hash}));
  const std::string alone(65, 'y');
  EXPECT_EQ(shown_names({{"bank", {alone}}}, Naming::never),
            (Names{std::string(55, 'y') + "_" + crypto::sha256_hex("bank/" + alone).substr(0, 8)}));
}

TEST(FederationNames, CharactersAreCountedAndNeverSplit) {
  std::string raw;
  for (int i = 0; i < 58; ++i) raw += "\u00e9";
  EXPECT_EQ(shown_names({{"bank", {raw}}}, Naming::always), (Names{"bank__" + raw}));
  raw += "\U0001f511";
  const Names cut = shown_names({{"bank", {raw}}}, Naming::always);
  ASSERT_EQ(cut.size(), 1U);
  EXPECT_FALSE(text::first_invalid_utf8(cut[0]));
  EXPECT_EQ(text::count_code_points(cut[0]), kMaxShownName);
  EXPECT_TRUE(cut[0].starts_with("bank__\u00e9"));
}

TEST(FederationNames, OfTwoThatWouldBeAlikeAfterTheCutTheLaterIsLeftOut) {
  const std::string raw(80, 'x');
  const std::string cut = shown_names({{"bank", {raw}}}, Naming::always).at(0);
  const std::string twin = cut.substr(std::string_view("bank__").size());
  const auto names = display_names({{"bank", {raw, twin}}}, Naming::always);
  ASSERT_EQ(names.size(), 1U);
  EXPECT_EQ(names[0].raw, raw);
}

TEST(FederationNames, LongNamesThatBeginAlikeStayApart) {
  const std::string raw(80, 'x');
  const Names names = shown_names({{"bank", {raw + "1", raw + "2"}}}, Naming::always);
  ASSERT_EQ(names.size(), 2U);
  EXPECT_NE(names[0], names[1]);
}

// --- stand-ins
// --------------------------------------------------------------------------------------------

// What an upstream does with a request.
struct Reply {
  std::string result;
  std::string error = {};  // source text of a JSON-RPC error
  std::optional<Code> failure = {};
  std::chrono::milliseconds after = 0ms;
};
Reply failing(Code code) { return {.result = {}, .error = {}, .failure = code}; }
const Reply no_such_method = {.result = {}, .error = R"({"code":-32601,"message":"no"})"};

struct Script {
  // By method; what is missing is no method of this upstream.
  std::map<std::string, std::function<Reply(const mcp::Message&)>> methods;
  std::optional<std::string> initialize;  // its result; nothing: it is down
  std::vector<std::string> seen;          // "method params"

  // How many requests it saw of this method.
  [[nodiscard]] std::ptrdiff_t count(std::string_view method) const {
    return std::ranges::count_if(
        seen, [&](const std::string& each) { return each.starts_with(std::string(method) + " "); });
  }
};

class FakeConnection final : public Connection {
 public:
  explicit FakeConnection(Script& script) : script_(script) {}

  std::int64_t next_id() override { return ++last_; }
  Task<Result<std::shared_ptr<const mcp::ServerInfo>>> server(net::Loop&) override {
    if (!script_.initialize) co_return fail(Code::upstream_unavailable, "it is down");
    const auto document = json::Document::parse(*script_.initialize);
    auto read = mcp::read_initialize_result(document->root());
    if (!read) co_return std::unexpected(std::move(read).error());
    co_return std::make_shared<const mcp::ServerInfo>(*std::move(read));
  }
  Task<Result<mcp::Message>> request(net::Loop& loop, UpstreamRequest asked) override {
    const auto message = mcp::parse_message(asked.message, {});
    EXPECT_TRUE(message);
    const std::string method(message->method);
    script_.seen.push_back(
        method + " " +
        std::string(message->params ? message->params->source() : std::string_view()));
    const auto found = script_.methods.find(method);
    const Reply reply = found == script_.methods.end() ? no_such_method : found->second(*message);
    if (reply.after > 0ms) {
      auto sleeping = loop.sleep(reply.after);
      co_await sleeping;
    }
    if (reply.failure) co_return fail(*reply.failure, "as the script says");
    const std::string member =
        reply.error.empty() ? R"("result":)" + reply.result : R"("error":)" + reply.error;
    auto answer = mcp::parse_message(
        R"({"jsonrpc":"2.0","id":)" + std::to_string(asked.id) + "," + member + "}", {});
    EXPECT_TRUE(answer) << member;
    co_return *std::move(answer);
  }
  Task<Result<void>> send(net::Loop&, std::string) override { co_return Result<void>(); }
  void cancel(std::int64_t, std::string) override {}
  void listen() override {}
  void close() override {}

 private:
  Script& script_;
  std::int64_t last_ = kInitializeId;
};

class FakeUpstream final : public Upstream {
 public:
  FakeUpstream(std::string id, Script& script) : script_(script) { config_.id = std::move(id); }

  [[nodiscard]] const UpstreamConfig& config() const override { return config_; }
  std::shared_ptr<Connection> shared() override {
    if (!shared_) shared_ = std::make_shared<FakeConnection>(script_);
    return shared_;
  }
  Result<std::shared_ptr<Connection>> open(ConnectionStart start) override {
    script_.seen.push_back("initialize " + start.initialize_params);
    return std::make_shared<FakeConnection>(script_);
  }
  void quiesce() override {}
  Task<void> stop() override { co_return; }

 private:
  UpstreamConfig config_;
  Script& script_;
  std::shared_ptr<Connection> shared_;
};

class MemoryDisk final : public ledger::AppendFile {
 public:
  struct Shared {
    std::mutex mutex;
    std::string bytes;
  };
  explicit MemoryDisk(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  Result<void> write(std::string_view bytes) override {
    const std::lock_guard lock(shared_->mutex);
    shared_->bytes += bytes;
    return {};
  }
  Result<void> sync() override { return {}; }

 private:
  std::shared_ptr<Shared> shared_;
};

// A list in pages: the cursor of the page after the first is "1", and so on.
std::function<Reply(const mcp::Message&)> pages(std::string array, std::vector<std::string> pages) {
  return
      [array = std::move(array), pages = std::move(pages)](const mcp::Message& message) -> Reply {
        const auto cursor = message.params ? message.params->find("cursor") : std::nullopt;
        const std::size_t page = cursor ? std::stoul(std::string(cursor->string())) : 0;
        const std::string next =
            page + 1 < pages.size() ? R"(,"nextCursor":")" + std::to_string(page + 1) + "\"" : "";
        return {.result = "{\"" + array + "\":" + pages.at(page) + next + "}"};
      };
}
std::string tools(const Names& names) {
  json::Writer w;
  w.begin_array();
  for (const std::string& name : names) w.begin_object().key("name").string(name).end_object();
  w.end_array();
  return std::move(w).take();
}
std::function<Reply(const mcp::Message&)> always(Reply reply) {
  return [reply = std::move(reply)](const mcp::Message&) { return reply; };
}

constexpr const char* kEverything =
    R"({"scope":["tools:call","tools:list","resources:list","resources:read","resources:subscribe",
                 "prompts:list","prompts:get","completion"],
        "toolsInScope":["*/*"],"promptsInScope":["*/*"],
        "resourcesInScope":{"a":["test://**"],"b":["test://**"],"c":["test://**"]}})";

class FederationTest : public net::LoopTest {
 protected:
  FederationTest() {
    for (auto& [id, script] : scripts) {
      script.methods["tools/call"] = always({.result = R"({"content":[]})"});
      script.methods["tools/list"] = pages("tools", {tools({"read"})});
    }
    hold(kEverything);
  }

  void hold(const std::string& atr) {
    const auto payload =
        json::Document::parse(R"({"sub":"alice","exp":4102444800,"jti":"j","atr":)" + atr + "}");
    auto read = identity::read_claims(payload->root(), identity::Proof::replay);
    ASSERT_TRUE(read);
    ASSERT_TRUE(read->grant) << read->grant.error().to_string();
    who = std::make_shared<const identity::Authenticated>(*std::move(read));
  }
  std::unique_ptr<Federation> federation(Naming naming, const Names& ids = {"a", "b", "c"}) {
    return federation(VirtualServer{.upstreams = {}, .tools = {}, .prompts = {}, .naming = naming},
                      ids);
  }
  std::unique_ptr<Federation> federation(VirtualServer selection, const Names& ids) {
    std::vector<Route> routes;
    for (const std::string& id : ids) {
      routes.push_back({.upstream = std::make_shared<FakeUpstream>(id, scripts[id]),
                        .vertical = std::string(grant::kSharedVertical)});
    }
    return std::make_unique<Federation>(std::move(routes), std::move(selection));
  }

  Answer ask(Federation& to, const std::string& method, const std::string& params) {
    auto message = mcp::parse_message(
        R"({"jsonrpc":"2.0","id":"q","method":")" + method + "\",\"params\":" + params + "}", {});
    EXPECT_TRUE(message);
    FrontRequest request{.loop = loop,
                         .message = *std::move(message),
                         .began = clock.monotonic(),
                         .generation = generation,
                         .who = who,
                         .transport = "http",
                         .peer = {},
                         .call_id = "call",
                         .session = session,
                         .stream = nullptr};
    if (cancel_first) request.cancellation->cancel([](std::int64_t) { return std::string(); });
    Answer answer;
    bool done = false;
    loop.spawn(
        [](Federation& f, Pipeline& p, FrontRequest& r, Answer& out, bool& ended) -> Task<void> {
          auto running = f.run(p, r);
          out = co_await running;
          ended = true;
        }(to, pipeline, request, answer, done));
    const Monotonic patience = soon();
    while (!done && net::Loop::now() < patience) {
      loop.poll();
      std::this_thread::yield();
    }
    if (!done) {
      ADD_FAILURE() << method << " hangs";
      std::abort();  // what runs refers to this frame
    }
    return answer;
  }
  Answer call(Federation& to, const std::string& tool) {
    return ask(to, "tools/call", R"({"name":)" + json::quote(tool) + R"(,"arguments":{"n":1.0}})");
  }

  // The result's source text, or "reason: <code>".
  static std::string result_of(const Answer& answer) {
    const auto message = json::Document::parse(answer.message);
    EXPECT_TRUE(message);
    if (const auto result = message->root().find("result")) return std::string(result->source());
    const auto error = message->root().find("error");
    const auto data = error->find("data");
    return data ? "reason: " + std::string(data->find("reason")->string())
                : "error: " + std::string(error->source());
  }
  struct Page {
    Names names;
    Names unavailable;
    std::optional<std::string> next;
  };
  static Page page_of(const Answer& answer, std::string_view array, std::string_view key) {
    const auto message = json::Document::parse(answer.message);
    Page out;
    const auto result = message->root().find("result");
    EXPECT_TRUE(result) << answer.message;
    if (!result) return out;
    for (const json::Value each : result->find(array)->children()) {
      out.names.emplace_back(each.find(key)->string());
    }
    if (const auto next = result->find("nextCursor")) out.next = std::string(next->string());
    if (const auto meta = result->find("_meta")) {
      for (const json::Value each : meta->find("zwinger/unavailable")->children()) {
        out.unavailable.emplace_back(each.string());
      }
    }
    return out;
  }
  Page tools_of(Federation& to) { return page_of(ask(to, "tools/list", "{}"), "tools", "name"); }
  // All pages; fails where there is no end.
  std::vector<Page> all_pages(Federation& to, const std::string& method, std::string_view array,
                              std::string_view key) {
    std::vector<Page> out = {page_of(ask(to, method, "{}"), array, key)};
    while (out.back().next && out.size() < 20) {
      const std::string params = R"({"cursor":)" + json::quote(*out.back().next) + "}";
      out.push_back(page_of(ask(to, method, params), array, key));
    }
    EXPECT_FALSE(out.back().next);
    return out;
  }
  static std::string cursor_params(std::string_view json_text) {
    return R"({"cursor":")" + text::base64url_encode(json_text) + "\"}";
  }
  // All leaves so far; what was answered is among them.
  std::string leaves() {
    const std::lock_guard lock(disk->mutex);
    return disk->bytes;
  }

  // NOLINTBEGIN(misc-non-private-member-variables-in-classes)
  std::map<std::string, Script> scripts = {{"a", {}}, {"b", {}}, {"c", {}}};
  SystemClock clock;
  SequenceRandom random;
  std::shared_ptr<MemoryDisk::Shared> disk = std::make_shared<MemoryDisk::Shared>();
  std::unique_ptr<ledger::Ledger> record =
      ledger::Ledger::over(std::make_unique<MemoryDisk>(disk), {.emitter = "test"}, clock);
  state::AsyncStore store{state::make_memory_store()};
  Notices notices{loop, *record};
  metrics::Registry registry;
  Meters meters{registry};
  ledger::ArgumentKey argument_key{"0123456789abcdef0123456789abcdef"};
  Pipeline pipeline{{.store = store,
                     .ledger = *record,
                     .notices = notices,
                     .clock = clock,
                     .random = random,
                     .meters = meters,
                     .argument_key = argument_key,
                     .bounds = {.decision = 60s, .durability = 60s}}};
  std::shared_ptr<const Generation> generation = [] {
    auto made = std::make_shared<Generation>();
    made->roles = grant::RoleTable(grant::RolesDoNotRestrict{});
    return made;
  }();
  std::shared_ptr<const identity::Authenticated> who;
  Sessions sessions{random};
  std::shared_ptr<Session> session;
  bool cancel_first = false;
  // NOLINTEND(misc-non-private-member-variables-in-classes)
};

// --- lists
// ------------------------------------------------------------------------------------------------

TEST_F(FederationTest, ListsAreMergedInTheOrderOfTheirUpstreams) {
  scripts["a"].methods["tools/list"] =
      always({.result = R"({"tools":[{"name":"slow"}]})", .after = 30ms});
  scripts["b"].methods["tools/list"] = always({.result = R"({"tools":[{"name":"fast"}]})"});
  const auto both = federation(Naming::always, {"a", "b"});
  EXPECT_EQ(result_of(ask(*both, "tools/list", "{}")),
            R"({"tools":[{"name":"a__slow"},{"name":"b__fast"}]})");
}

TEST_F(FederationTest, EverythingOfAnEntryButItsNameIsUntouched) {
  scripts["a"].methods["tools/list"] = always(
      {.result =
           R"({"tools":[{"x": 1.0e0 , "name":"r","inputSchema":{ "type" : "object"},"_meta":{"k":[]}}],"_meta":{"theirs":1}})"});
  const auto one = federation(Naming::always, {"a"});
  EXPECT_EQ(
      result_of(ask(*one, "tools/list", "{}")),
      R"({"tools":[{"x":1.0e0,"name":"a__r","inputSchema":{ "type" : "object"},"_meta":{"k":[]}}]})");
}

TEST_F(FederationTest, EachShareIsAnExchangeInTheRecord) {
  const auto both = federation(Naming::always, {"a", "b"});
  tools_of(*both);
  const std::string all = leaves();
  for (const std::string_view call : {R"("call":"call.1")", R"("call":"call.2")"}) {
    const std::size_t decision = all.find(call);
    ASSERT_NE(decision, std::string::npos);
    EXPECT_NE(all.find(call, decision + 1), std::string::npos);  // its outcome
  }
}

TEST_F(FederationTest, OneThatIsDownIsLeftOutAndNamed) {
  scripts["b"].methods["tools/list"] = always(failing(Code::upstream_unavailable));
  for (const Naming naming : {Naming::always, Naming::on_conflict, Naming::never}) {
    const auto three = federation(naming);
    const Page page = tools_of(*three);
    EXPECT_EQ(page.unavailable, Names{"b"});
    EXPECT_EQ(page.names.size(), naming == Naming::never ? 1U : 2U);
  }
}

TEST_F(FederationTest, OneThatDoesNotAnswerInItsTimeIsLeftOutAndNamed) {
  Reply late = failing(Code::upstream_timeout);
  late.after = 50ms;
  scripts["a"].methods["tools/list"] = always(late);
  const auto both = federation(Naming::always, {"a", "b"});
  const Page page = tools_of(*both);
  EXPECT_EQ(page.names, Names{"b__read"});
  EXPECT_EQ(page.unavailable, Names{"a"});
}

TEST_F(FederationTest, OneThatHasNoneOfTheKindIsNotUnavailable) {
  scripts["b"].methods["prompts/list"] = pages("prompts", {tools({"hello"})});
  const auto both = federation(Naming::always, {"a", "b"});
  EXPECT_EQ(result_of(ask(*both, "prompts/list", "{}")), R"({"prompts":[{"name":"b__hello"}]})");
}

TEST_F(FederationTest, WhereAllFailTheFirstFailureIsTheAnswer) {
  scripts["a"].methods.erase("tools/list");
  scripts["b"].methods["tools/list"] = always(failing(Code::upstream_died));
  scripts["c"].methods["tools/list"] = always(failing(Code::upstream_timeout));
  const auto three = federation(Naming::always);
  const Answer answer = ask(*three, "tools/list", "{}");
  EXPECT_EQ(result_of(answer), "reason: upstream_died");
  EXPECT_EQ(answer.failure, Code::upstream_died);
  EXPECT_FALSE(answer.is_result);
}

TEST_F(FederationTest, WhereNoneHasTheMethodItsErrorIsTheAnswer) {
  const auto both = federation(Naming::always, {"a", "b"});
  EXPECT_EQ(result_of(ask(*both, "prompts/list", "{}")),
            R"(error: {"code":-32601,"message":"no"})");
}

TEST_F(FederationTest, WhereAllAreDeniedTheVerdictIsThatDenial) {
  hold(R"({"scope":["tools:call"],"toolsInScope":["*/*"]})");
  for (const Naming naming : {Naming::always, Naming::on_conflict}) {
    const auto three = federation(naming);
    const Answer answer = ask(*three, "tools/list", "{}");
    EXPECT_FALSE(answer.verdict.allowed());
    EXPECT_EQ(answer.verdict.reason, Code::scope_missing);
    EXPECT_EQ(result_of(answer), "reason: scope_missing");
    EXPECT_EQ(scripts["a"].count("tools/list"), 0);
  }
}

TEST_F(FederationTest, OverAllPagesEveryToolIsThereOnce) {
  scripts["a"].methods["tools/list"] = pages("tools", {tools({"a1", "same"})});
  scripts["b"].methods["tools/list"] =
      pages("tools", {tools({"b1"}), tools({"b2"}), tools({"b3"})});
  scripts["c"].methods["tools/list"] = pages("tools", {tools({"c1"}), tools({"c2", "same"})});
  const std::vector<std::pair<Naming, std::vector<Names>>> expected = {
      {Naming::always,
       {{"a__a1", "a__same", "b__b1", "c__c1"}, {"b__b2", "c__c2", "c__same"}, {"b__b3"}}},
      {Naming::on_conflict, {{"a1", "a__same", "b1", "c1"}, {"b2", "c2", "c__same"}, {"b3"}}},
      {Naming::never, {{"a1", "same", "b1", "c1"}, {"b2", "c2"}, {"b3"}}}};
  for (const auto& [naming, names] : expected) {
    const auto three = federation(naming);
    std::vector<Names> got;
    for (const Page& page : all_pages(*three, "tools/list", "tools", "name")) {
      got.push_back(page.names);
      EXPECT_TRUE(page.unavailable.empty());
    }
    EXPECT_EQ(got, names);
  }
}

TEST_F(FederationTest, WithoutASessionALaterPageHasTheSameNames) {
  scripts["a"].methods["tools/list"] = pages("tools", {tools({"x"}), tools({"same"})});
  scripts["b"].methods["tools/list"] = pages("tools", {tools({"same"})});
  const auto first = federation(Naming::on_conflict, {"a", "b"});
  const Page page = tools_of(*first);
  EXPECT_EQ(page.names, (Names{"x", "b__same"}));
  ASSERT_TRUE(page.next);
  const auto second = federation(Naming::on_conflict, {"a", "b"});
  EXPECT_EQ(
      page_of(ask(*second, "tools/list", R"({"cursor":")" + *page.next + "\"}"), "tools", "name")
          .names,
      Names{"a__same"});
}

TEST_F(FederationTest, OneThatFailsOnALaterPageIsNamedThere) {
  scripts["a"].methods["tools/list"] = [](const mcp::Message& message) -> Reply {
    if (message.params->find("cursor")) return failing(Code::upstream_died);
    return {.result = R"({"tools":[{"name":"x"}],"nextCursor":"1"})"};
  };
  scripts["b"].methods["tools/list"] = pages("tools", {tools({"y"}), tools({"z"})});
  const auto both = federation(Naming::always, {"a", "b"});
  const auto all = all_pages(*both, "tools/list", "tools", "name");
  ASSERT_EQ(all.size(), 2U);
  EXPECT_TRUE(all[0].unavailable.empty());
  EXPECT_EQ(all[1].names, Names{"b__z"});
  EXPECT_EQ(all[1].unavailable, Names{"a"});
}

TEST_F(FederationTest, AnUpstreamGetsItsOwnCursorBack) {
  const std::string odd = "\"\\\u00e9\n[]";
  scripts["a"].methods["tools/list"] = [&](const mcp::Message& message) -> Reply {
    const auto cursor = message.params->find("cursor");
    if (cursor) EXPECT_EQ(cursor->string(), odd);
    return {.result = cursor ? R"({"tools":[]})"
                             : R"({"tools":[],"nextCursor":)" + json::quote(odd) + "}"};
  };
  const auto one = federation(Naming::always, {"a"});
  EXPECT_EQ(all_pages(*one, "tools/list", "tools", "name").size(), 2U);
  EXPECT_EQ(scripts["a"].count("tools/list"), 2);
}

TEST_F(FederationTest, ACursorTooLongToComeBackMakesTheRestUnavailable) {
  scripts["a"].methods["tools/list"] = always(
      {.result = R"({"tools":[{"name":"x"}],"nextCursor":")" + std::string(60'000, 'c') + "\"}"});
  scripts["b"].methods["tools/list"] = pages("tools", {tools({"y"}), tools({"z"})});
  const auto both = federation(Naming::always, {"a", "b"});
  const auto all = all_pages(*both, "tools/list", "tools", "name");
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].names, (Names{"a__x", "b__y"}));
  EXPECT_EQ(all[0].unavailable, Names{"a"});
  EXPECT_EQ(all[1].names, Names{"b__z"});
}

TEST_F(FederationTest, MalformedCursorsAreRefusedAndReachNobody) {
  const auto both = federation(Naming::always, {"a", "b"});
  std::string many = "[";
  for (int i = 0; i < 100; ++i) many += "[\"u" + std::to_string(i) + "\",\"\"],";
  many.back() = ']';
  for (const std::string& params :
       {std::string(R"({"cursor":""})"), std::string(R"({"cursor":"not base64!"})"),
        std::string(R"({"cursor":"1"})"), cursor_params(""), cursor_params("{}"),
        cursor_params("[]"), cursor_params("[1]"), cursor_params(R"(["a","1"])"),
        cursor_params(R"([["a"]])"), cursor_params(R"([["a",1]])"), cursor_params(R"([[1,"a"]])"),
        cursor_params(R"([["a","1","2"]])"), cursor_params(R"([["a","1"],["a","2"]])"),
        cursor_params(R"([["z","1"]])"), cursor_params(R"([["a","1"],["z","1"]])"),
        cursor_params(R"([["a",["1"]]])"), cursor_params(R"([["a","1"]] x)"),
        cursor_params("[[\"a\",\"\xff\"]]"), cursor_params(many)}) {
    const Answer answer = ask(*both, "tools/list", params);
    EXPECT_EQ(result_of(answer), "reason: mcp_params") << params;
    EXPECT_FALSE(answer.verdict.allowed());
  }
  EXPECT_TRUE(scripts["a"].seen.empty());
  EXPECT_TRUE(scripts["b"].seen.empty());
}

TEST_F(FederationTest, ParamsOfTheWrongShapeAreDeniedByThePipeline) {
  const auto both = federation(Naming::always, {"a", "b"});
  EXPECT_EQ(result_of(ask(*both, "tools/list", R"({"cursor":5})")), "reason: mcp_params");
  EXPECT_NE(leaves().find(R"("reason":"mcp_params")"), std::string::npos);
  EXPECT_TRUE(scripts["a"].seen.empty());
}

TEST_F(FederationTest, APageThatNeverEndsIsReadToABound) {
  int page = 0;
  scripts["a"].methods["tools/list"] = [&](const mcp::Message&) -> Reply {
    const std::string n = std::to_string(++page);
    return {.result = R"({"tools":[{"name":"t)" + n + R"("}],"nextCursor":")" + n + "\"}"};
  };
  const auto both = federation(Naming::on_conflict, {"a", "b"});
  EXPECT_EQ(tools_of(*both).names, (Names{"t1", "read"}));
  EXPECT_EQ(page, 50);
}

TEST_F(FederationTest, ACancelledListIsCancelled) {
  cancel_first = true;
  const auto both = federation(Naming::always, {"a", "b"});
  EXPECT_EQ(ask(*both, "tools/list", "{}").failure, Code::cancelled);
}

TEST_F(FederationTest, TheClientsProgressTokenGoesToOneUpstreamOnly) {
  const auto both = federation(Naming::always, {"a", "b"});
  ask(*both, "tools/list", R"({"_meta":{"progressToken":"p","k":1}})");
  EXPECT_EQ(scripts["a"].seen, Names{R"(tools/list {"_meta":{"k":1}})"});
}

// --- calls
// ------------------------------------------------------------------------------------------------

TEST_F(FederationTest, APrefixedCallReachesItsUpstreamUnderItsRawName) {
  const auto both = federation(Naming::always, {"a", "b"});
  EXPECT_EQ(result_of(call(*both, "b__x__y")), R"({"content":[]})");
  EXPECT_EQ(scripts["b"].seen, Names{R"(tools/call {"name":"x__y","arguments":{"n":1.0}})"});
  EXPECT_TRUE(scripts["a"].seen.empty());
  EXPECT_NE(leaves().find(R"("call":"call.1")"), std::string::npos);
}

TEST_F(FederationTest, WhatHasNoUpstreamsPrefixIsUnknown) {
  const auto both = federation(Naming::always, {"a", "b"});
  for (const char* name : {"read", "c__read", "__read", "a__", "a_read", "A__read"}) {
    const Answer answer = call(*both, name);
    EXPECT_EQ(result_of(answer), "reason: tool_not_in_scope") << name;
    EXPECT_FALSE(answer.verdict.allowed());
  }
  EXPECT_TRUE(scripts["a"].seen.empty());
}

TEST_F(FederationTest, ByConflictACallIsRoutedByWhatWasListed) {
  scripts["a"].methods["tools/list"] = pages("tools", {tools({"x"}), tools({"same"})});
  scripts["b"].methods["tools/list"] = pages("tools", {tools({"y", "same"})});
  const auto both = federation(Naming::on_conflict, {"a", "b"});
  for (const auto& [shown, upstream, raw] :
       std::vector<std::tuple<std::string, std::string, std::string>>{
           {"y", "b", "y"}, {"x", "a", "x"}, {"a__same", "a", "same"}, {"b__same", "b", "same"}}) {
    EXPECT_EQ(result_of(call(*both, shown)), R"({"content":[]})");
    EXPECT_EQ(scripts[upstream].seen.back(),
              R"(tools/call {"name":")" + raw + R"(","arguments":{"n":1.0}})");
  }
  EXPECT_EQ(scripts["a"].count("tools/list"), 2);  // learned once, from both pages
  for (const char* name : {"same", "a__x", "nothing"}) {
    EXPECT_EQ(result_of(call(*both, name)), "reason: tool_not_in_scope") << name;
  }
}

TEST_F(FederationTest, WithoutPrefixACallReachesTheFirstThatHasTheName) {
  const auto both = federation(Naming::never, {"b", "a"});
  call(*both, "read");
  EXPECT_EQ(scripts["b"].count("tools/call"), 1);
  EXPECT_EQ(scripts["a"].count("tools/call"), 0);
}

TEST_F(FederationTest, AskingForNonsenseListsNothingAgainAndAgain) {
  const auto both = federation(Naming::on_conflict, {"a", "b"});
  for (int i = 0; i < 3; ++i) call(*both, "nonsense");
  EXPECT_LE(scripts["a"].count("tools/list"), 2);  // once, unless this took a second
  scripts["a"].methods["tools/list"] = pages("tools", {tools({"fresh"})});
  EXPECT_EQ(tools_of(*both).names, (Names{"fresh", "read"}));
  EXPECT_EQ(result_of(call(*both, "fresh")), R"({"content":[]})");
}

TEST_F(FederationTest, WhatADeadUpstreamHadListedKeepsItsName) {
  const auto both = federation(Naming::on_conflict, {"a", "b"});
  EXPECT_EQ(tools_of(*both).names, (Names{"a__read", "b__read"}));
  scripts["a"].methods["tools/list"] = always(failing(Code::upstream_died));
  EXPECT_EQ(tools_of(*both).names, Names{"b__read"});
}

TEST_F(FederationTest, ALongNameIsCutAndStillReachesItsTool) {
  const std::string raw(100, 'x');
  scripts["b"].methods["tools/list"] = pages("tools", {tools({"short"}), tools({raw})});
  for (const Naming naming : {Naming::always, Naming::on_conflict, Naming::never}) {
    const auto listing = federation(naming, {"a", "b"});
    const auto all = all_pages(*listing, "tools/list", "tools", "name");
    ASSERT_EQ(all.size(), 2U);
    ASSERT_EQ(all[1].names.size(), 1U);
    const std::string& shown = all[1].names[0];
    EXPECT_EQ(shown.size(), kMaxShownName);
    const auto fresh = federation(naming, {"a", "b"});
    for (Federation* each : {listing.get(), fresh.get()}) {
      EXPECT_EQ(result_of(call(*each, shown)), R"({"content":[]})");
      EXPECT_EQ(scripts["b"].seen.back(),
                R"(tools/call {"name":")" + raw + R"(","arguments":{"n":1.0}})");
    }
  }
}

TEST_F(FederationTest, ANameThatOnlyLooksCutIsTakenAsItIs) {
  const std::string raw = std::string(52, 'x') + "_0123abcd";
  ASSERT_EQ(("a__" + raw).size(), kMaxShownName);
  scripts["a"].methods["tools/list"] = pages("tools", {tools({raw})});
  const auto one = federation(Naming::always, {"a"});
  EXPECT_EQ(tools_of(*one).names, Names{"a__" + raw});
  call(*one, "a__" + raw);
  EXPECT_EQ(scripts["a"].seen.back(),
            R"(tools/call {"name":")" + raw + R"(","arguments":{"n":1.0}})");
}

TEST_F(FederationTest, WhatTheGrantHidesIsNotListedNotCalledAndInNobodysWay) {
  hold(R"({"scope":["tools:call","tools:list"],"toolsInScope":["a/read","b/*"]})");
  scripts["a"].methods["tools/list"] = pages("tools", {tools({"read", "secret"})});
  scripts["b"].methods["tools/list"] = pages("tools", {tools({"secret"})});
  const auto prefixing = federation(Naming::always, {"a", "b"});
  EXPECT_EQ(tools_of(*prefixing).names, (Names{"a__read", "b__secret"}));
  EXPECT_EQ(result_of(call(*prefixing, "a__secret")), "reason: tool_not_in_scope");
  const auto plain = federation(Naming::on_conflict, {"a", "b"});
  EXPECT_EQ(tools_of(*plain).names, (Names{"read", "secret"}));
  EXPECT_EQ(result_of(call(*plain, "secret")), R"({"content":[]})");
  EXPECT_EQ(result_of(call(*plain, "a__secret")), "reason: tool_not_in_scope");
  EXPECT_EQ(scripts["a"].count("tools/call"), 0);
  EXPECT_EQ(scripts["b"].count("tools/call"), 1);
}

TEST_F(FederationTest, WhatAVirtualServerDoesNotSelectIsUnknownThere) {
  scripts["a"].methods["tools/list"] = pages("tools", {tools({"read", "write"})});
  scripts["b"].methods["tools/list"] = pages("tools", {tools({"read", "write"})});
  scripts["a"].methods["prompts/list"] = pages("prompts", {tools({"hello"})});
  for (const Naming naming : {Naming::always, Naming::on_conflict, Naming::never}) {
    const auto some = federation(
        VirtualServer{.upstreams = {"a", "b"},
                      .tools = {*text::Glob::parse("a/read"), *text::Glob::parse("b/write")},
                      .prompts = {*text::Glob::parse("b/*")},
                      .naming = naming},
        {"a", "b"});
    const bool prefixes = naming == Naming::always;
    EXPECT_EQ(tools_of(*some).names,
              prefixes ? (Names{"a__read", "b__write"}) : (Names{"read", "write"}));
    EXPECT_EQ(result_of(ask(*some, "prompts/list", "{}")), R"({"prompts":[]})");
    scripts["a"].seen.clear();
    EXPECT_EQ(result_of(call(*some, "a__write")), "reason: tool_not_in_scope");
    EXPECT_EQ(result_of(call(*some, "b__read")), "reason: tool_not_in_scope");
    EXPECT_EQ(result_of(call(*some, prefixes ? "b__write" : "write")), R"({"content":[]})");
    EXPECT_EQ(scripts["a"].count("tools/call"), 0);
  }
  EXPECT_EQ(scripts["b"].count("tools/call"), 3);
}

TEST_F(FederationTest, PromptsAndTheirCompletionsAreRoutedLikeTools) {
  scripts["b"].methods["prompts/get"] = always({.result = R"({"messages":[]})"});
  scripts["b"].methods["completion/complete"] = always({.result = R"({"completion":{}})"});
  const auto both = federation(Naming::always, {"a", "b"});
  ask(*both, "prompts/get", R"({"name":"b__hello","arguments":{"x":"y"}})");
  ask(*both, "completion/complete",
      R"({"ref":{"type":"ref/prompt","name":"b__hello"},"argument":{"name":"x","value":"y"}})");
  EXPECT_EQ(
      scripts["b"].seen,
      (Names{
          R"(prompts/get {"name":"hello","arguments":{"x":"y"}})",
          R"(completion/complete {"ref":{"type":"ref/prompt","name":"hello"},"argument":{"name":"x","value":"y"}})"}));
  EXPECT_EQ(result_of(ask(*both, "prompts/get", R"({"name":"hello"})")),
            "reason: prompt_not_in_scope");
}

// --- resources
// --------------------------------------------------------------------------------------------

class FederationResources : public FederationTest {
 protected:
  FederationResources() {
    for (const std::string id : {"a", "b"}) {
      scripts[id].methods["resources/read"] = always({.result = R"({"contents":[]})"});
      scripts[id].methods["resources/subscribe"] = always({.result = "{}"});
      scripts[id].methods["completion/complete"] = always({.result = R"({"completion":{}})"});
    }
    scripts["a"].methods["resources/list"] =
        pages("resources", {R"([{"uri":"test://both"}])", R"([{"uri":"test://a/2"}])"});
    scripts["b"].methods["resources/list"] =
        pages("resources", {R"([{"uri":"test://both"},{"uri":"test://t/deep/listed"}])"});
    scripts["a"].methods["resources/templates/list"] =
        pages("resourceTemplates",
              {R"([{"uriTemplate":"test://t/{x}"},{"uriTemplate":"test://t/deep/{x}"}])"});
    scripts["b"].methods["resources/templates/list"] =
        pages("resourceTemplates", {R"([{"uriTemplate":"test://t/deep/er/{x}"}])"});
  }
  std::string reader_of(Federation& to, const std::string& uri,
                        const std::string& method = "resources/read") {
    for (auto& [id, script] : scripts) script.seen.clear();
    const std::string result = result_of(ask(to, method, R"({"uri":")" + uri + "\"}"));
    std::string out;
    for (auto& [id, script] : scripts) {
      if (script.count(method) != 0) out += id;
    }
    return out.empty() ? result : out;
  }
};

TEST_F(FederationResources, AUriLeadsToWhoListedItThenToTheClosestTemplate) {
  const auto both = federation(Naming::always, {"a", "b"});
  EXPECT_EQ(reader_of(*both, "test://t/deep/listed"), "b");  // though a template of a fits
  EXPECT_EQ(reader_of(*both, "test://a/2"), "a");            // on a's second page
  EXPECT_EQ(reader_of(*both, "test://both"), "a");
  EXPECT_EQ(reader_of(*both, "test://t/1"), "a");
  EXPECT_EQ(reader_of(*both, "test://t/deep/1"), "a");
  EXPECT_EQ(reader_of(*both, "test://t/deep/er/1"), "b");
  EXPECT_EQ(reader_of(*both, "test://t/deep/er/1", "resources/subscribe"), "b");
  EXPECT_EQ(reader_of(*both, "test://else"), "reason: resource_not_in_scope");
}

TEST_F(FederationResources, TheClosestTemplateIsMeantInWhateverOrderTheyCome) {
  const auto backwards = federation(Naming::always, {"b", "a"});
  EXPECT_EQ(reader_of(*backwards, "test://t/deep/er/1"), "b");
  EXPECT_EQ(reader_of(*backwards, "test://t/deep/1"), "a");
}

TEST_F(FederationResources, ATemplateThatIsKnownDoesNotTakeWhatAnotherLists) {
  const auto both = federation(Naming::always, {"a", "b"});
  ask(*both, "resources/templates/list", "{}");
  EXPECT_EQ(reader_of(*both, "test://t/deep/listed"), "b");
}

TEST_F(FederationResources, WhatLeadsToAnotherUpstreamIsNotListedTwice) {
  const auto both = federation(Naming::always, {"a", "b"});
  EXPECT_EQ(page_of(ask(*both, "resources/list", "{}"), "resources", "uri").names,
            (Names{"test://both", "test://t/deep/listed"}));
  const auto backwards = federation(Naming::always, {"b", "a"});
  EXPECT_EQ(reader_of(*backwards, "test://both"), "b");
}

TEST_F(FederationResources, TheGrantIsAskedForTheUpstreamThatHasIt) {
  hold(R"({"scope":["resources:read","resources:list"],"resourcesInScope":{"b":["test://**"]}})");
  const auto both = federation(Naming::always, {"a", "b"});
  EXPECT_EQ(reader_of(*both, "test://both"), "b");  // a's is out of reach, so nobody lists it
  EXPECT_EQ(reader_of(*both, "test://a/2"), "reason: resource_not_in_scope");
}

TEST_F(FederationResources, ACompletionGoesToWhoseTemplateItIs) {
  const auto both = federation(Naming::always, {"a", "b"});
  const auto complete = [&](const std::string& uri) {
    return ask(*both, "completion/complete",
               R"({"ref":{"type":"ref/resource","uri":")" + uri +
                   R"("},"argument":{"name":"x","value":"y"}})");
  };
  complete("test://t/deep/er/{x}");
  EXPECT_EQ(scripts["b"].count("completion/complete"), 1);
  complete("test://t/{x}");
  EXPECT_EQ(scripts["a"].count("completion/complete"), 1);
  EXPECT_EQ(result_of(complete("other://{x}")), "reason: resource_not_in_scope");
}

// --- tasks
// ------------------------------------------------------------------------------------------------

class FederationTasks : public FederationTest {
 protected:
  FederationTasks() {
    for (const std::string id : {"a", "b"}) {
      scripts[id].methods["tools/call"] =
          always({.result = R"({"task":{"taskId":"t-)" + id + R"(","status":"working"}})"});
      scripts[id].methods["tasks/get"] = always({.result = R"({"taskId":"t","status":"working"})"});
      scripts[id].methods["tasks/list"] = pages("tasks", {R"([{"taskId":"t-)" + id + "\"}]"});
    }
  }
  Answer start(Federation& to, const std::string& tool) {
    return ask(to, "tools/call", R"({"name":")" + tool + R"(","task":{}})");
  }
  std::string get(Federation& to, const std::string& task) {
    return result_of(ask(to, "tasks/get", R"({"taskId":")" + task + "\"}"));
  }
};

TEST_F(FederationTasks, ATaskIsAskedForWhereItWasBegun) {
  const auto both = federation(Naming::always, {"a", "b"});
  start(*both, "b__work");
  EXPECT_EQ(get(*both, "t-b"), R"({"taskId":"t","status":"working"})");
  EXPECT_EQ(scripts["b"].count("tasks/get"), 1);
  EXPECT_EQ(scripts["b"].count("tasks/list"), 0);
  EXPECT_EQ(get(*both, "t-a"), "reason: task_unknown");  // nobody of ours has begun it
  EXPECT_EQ(scripts["a"].count("tasks/get"), 0);
}

TEST_F(FederationTasks, WithoutASessionItIsLookedFor) {
  start(*federation(Naming::always, {"a", "b"}), "b__work");
  const auto later = federation(Naming::always, {"a", "b"});
  EXPECT_EQ(get(*later, "t-b"), R"({"taskId":"t","status":"working"})");
  EXPECT_EQ(scripts["b"].count("tasks/get"), 1);
}

TEST_F(FederationTasks, AListHasOnlyTheClientsOwn) {
  const auto both = federation(Naming::always, {"a", "b"});
  start(*both, "a__work");
  EXPECT_EQ(result_of(ask(*both, "tasks/list", "{}")), R"({"tasks":[{"taskId":"t-a"}]})");
}

TEST_F(FederationTasks, AnIdThatTwoUpstreamsGaveIsNobodys) {
  scripts["a"].methods["tools/call"] = always({.result = R"({"task":{"taskId":"t-b"}})"});
  const auto both = federation(Naming::always, {"a", "b"});
  start(*both, "a__work");
  start(*both, "b__work");
  EXPECT_EQ(result_of(ask(*both, "tasks/cancel", R"({"taskId":"t-b"})")), "reason: name_ambiguous");
}

// --- the rest
// ---------------------------------------------------------------------------------------------

TEST_F(FederationTest, ALogLevelIsSetWhereverItCanBe) {
  scripts["b"].methods["logging/setLevel"] = always({.result = R"({"x":1})"});
  const auto three = federation(Naming::always);
  EXPECT_EQ(result_of(ask(*three, "logging/setLevel", R"({"level":"info"})")), "{}");
  for (auto& [id, script] : scripts) EXPECT_EQ(script.count("logging/setLevel"), 1);
  scripts["b"].methods["logging/setLevel"] = always(failing(Code::upstream_died));
  EXPECT_EQ(result_of(ask(*three, "logging/setLevel", R"({"level":"info"})")),
            "reason: upstream_died");
}

TEST_F(FederationTest, APingIsAnsweredHere) {
  const auto both = federation(Naming::always, {"a", "b"});
  EXPECT_EQ(result_of(ask(*both, "ping", "{}")), "{}");
  EXPECT_TRUE(scripts["a"].seen.empty());
}

TEST_F(FederationTest, AnUnknownMethodIsDeniedAndRecorded) {
  const auto both = federation(Naming::always, {"a", "b"});
  EXPECT_EQ(result_of(ask(*both, "tools/destroy", "{}")), "reason: method_not_supported");
  EXPECT_NE(leaves().find(R"("reason":"method_not_supported")"), std::string::npos);
}

TEST_F(FederationTest, WithoutUpstreamsEverythingIsDenied) {
  const auto none = federation(Naming::always, Names{});
  for (const char* method : {"ping", "tools/list", "nonsense"}) {
    const Answer answer = ask(*none, method, "{}");
    EXPECT_FALSE(answer.verdict.allowed());
    EXPECT_EQ(result_of(answer), "reason: upstream_unknown");
  }
}

// --- initialize
// -------------------------------------------------------------------------------------------

class FederationInitialize : public FederationTest {
 protected:
  FederationInitialize() {
    session = sessions.make("/mcp", who, generation, clock.monotonic());
    scripts["a"].initialize =
        R"({"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":false},"logging":{}},
            "serverInfo":{"name":"x"},"instructions":"Be \"kind\"."})";
    scripts["b"].initialize =
        R"({"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true},
            "resources":{"subscribe":true},"experimental":{"k":{"v":1}}},"serverInfo":{"name":"y"}})";
    scripts["c"].initialize =
        R"({"protocolVersion":"2025-11-25","capabilities":{"resources":{"listChanged":true}},
            "serverInfo":{"name":"z"},"instructions":"Wait."})";
  }
  Answer initialize(Federation& to, const std::string& version = "2025-11-25") {
    return ask(to, "initialize",
               R"({"protocolVersion":")" + version +
                   R"(","capabilities":{"roots":{}},"clientInfo":{"name":"c"}})");
  }
};

TEST_F(FederationInitialize, SeveralLookLikeOne) {
  const auto three = federation(Naming::always);
  EXPECT_EQ(
      result_of(initialize(*three)),
      R"({"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true},"logging":{},)"
      R"("resources":{"subscribe":true,"listChanged":true},"experimental":{"k":{"v":1}}},)"
      R"("serverInfo":{"name":"zwinger","version":")" ZWINGER_VERSION
      R"("},"instructions":"a:\nBe \"kind\".\n\nc:\nWait."})");
  EXPECT_EQ(session->members().size(), 3U);
  EXPECT_EQ(session->protocol_version(), "2025-06-18");
  EXPECT_EQ(
      scripts["b"].seen.at(0),
      R"(initialize {"protocolVersion":"2025-11-25","capabilities":{"roots":{}},"clientInfo":{"name":"c"}})");
}

TEST_F(FederationInitialize, NoLaterRevisionThanTheClientAskedFor) {
  const auto both = federation(Naming::always, {"a", "c"});
  EXPECT_NE(initialize(*both, "2025-03-26").message.find(R"("protocolVersion":"2025-03-26")"),
            std::string::npos);
  EXPECT_EQ(session->protocol_version(), "2025-03-26");
}

TEST_F(FederationInitialize, AnOddRevisionOfOneIsNotAllOthers) {
  scripts["b"].initialize = R"({"protocolVersion":"!","capabilities":{},"serverInfo":{}})";
  const auto three = federation(Naming::always);
  EXPECT_NE(initialize(*three).message.find(R"("protocolVersion":"2025-11-25")"),
            std::string::npos);
}

TEST_F(FederationInitialize, OneThatIsDownIsNamedAndDoesNotCount) {
  scripts["b"].initialize = std::nullopt;
  const auto three = federation(Naming::always);
  const Answer answer = initialize(*three);
  EXPECT_TRUE(answer.is_result);
  EXPECT_EQ(
      result_of(answer),
      R"({"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":false},"logging":{},)"
      R"("resources":{"listChanged":true}},"serverInfo":{"name":"zwinger","version":")" ZWINGER_VERSION
      R"("},"instructions":"a:\nBe \"kind\".\n\nc:\nWait.","_meta":{"zwinger/unavailable":["b"]}})");
}

TEST_F(FederationInitialize, WhereNoneAnswersItFails) {
  for (auto& [id, script] : scripts) script.initialize = std::nullopt;
  const auto three = federation(Naming::always);
  const Answer answer = initialize(*three);
  EXPECT_FALSE(answer.is_result);
  EXPECT_EQ(answer.failure, Code::upstream_unavailable);
}

TEST_F(FederationInitialize, OneOutOfReachIsNotAskedAndDoesNotCount) {
  hold(R"({"scope":["tools:list"],"toolsInScope":["b/*"]})");
  const auto three = federation(Naming::always);
  const std::string result = result_of(initialize(*three));
  EXPECT_EQ(result.find("logging"), std::string::npos);
  EXPECT_EQ(result.find("kind"), std::string::npos);
  EXPECT_EQ(result.find("_meta"), std::string::npos);
  EXPECT_TRUE(scripts["a"].seen.empty());
  EXPECT_EQ(session->members().size(), 1U);
}

TEST_F(FederationInitialize, AClientThatReachesNoneIsToldNothingOfAny) {
  hold(R"({"scope":["tools:list"],"toolsInScope":["z/*"]})");
  const auto three = federation(Naming::always);
  const Answer answer = initialize(*three);
  EXPECT_TRUE(answer.is_result);
  EXPECT_EQ(result_of(answer).find("zwinger/unavailable"), std::string::npos);
  EXPECT_TRUE(session->members().empty());
}

TEST_F(FederationInitialize, RequestsOfTheSessionGoOverItsConnections) {
  const auto both = federation(Naming::always, {"a", "b"});
  initialize(*both);
  EXPECT_EQ(result_of(call(*both, "b__read")), R"({"content":[]})");
  EXPECT_EQ(scripts["b"].seen.back(), R"(tools/call {"name":"read","arguments":{"n":1.0}})");
}

}  // namespace
}  // namespace zwinger::gateway
