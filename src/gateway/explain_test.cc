#include "gateway/explain.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "base/files.h"
#include "gateway/stages.h"
#include "json/writer.h"
#include "mcp/params.h"

namespace zwinger::gateway {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBank = "bank";
constexpr std::int64_t kFarAway = 99'999'999'999;

fs::path golden_root() { return fs::path(ZWINGER_SOURCE_DIR) / "src/grant/golden"; }

json::Document parse(std::string text) {
  auto document = json::Document::parse(std::move(text));
  EXPECT_TRUE(document) << document.error().to_string();
  return document ? *std::move(document) : *json::Document::parse("{}");
}

json::Document read(const fs::path& file) {
  auto text = read_file(file, std::size_t{64} << 10U);
  EXPECT_TRUE(text) << file;
  return parse(text ? *std::move(text) : "{}");
}

std::string text_of(json::Value object, std::string_view key, std::string_view otherwise) {
  const auto value = object.find(key);
  return std::string(value && value->is_string() ? value->string() : otherwise);
}

// --- a golden folder of src/grant as a token
// ---------------------------------------------------------------------------------------

std::vector<json::Value> members(const std::optional<json::Value>& array) {
  std::vector<json::Value> out;
  if (array) std::ranges::copy(array->children(), std::back_inserter(out));
  return out;
}

template <class T>
std::vector<T> globs(json::Value role, std::string_view key,
                     Result<T> (*parse_one)(std::string_view)) {
  std::vector<T> out;
  for (const json::Value glob : members(role.find(key))) {
    out.push_back(parse_one(glob.string()).value());
  }
  return out;
}

grant::Role role_of(json::Value value) {
  grant::Role role;
  for (const json::Value word : members(value.find("scope"))) {
    role.scope.push_back(grant::parse_scope(word.string()).value());
  }
  role.tools_in_scope = globs<text::Glob>(value, "toolsInScope", grant::parse_tool_glob);
  role.tools_out_of_scope = globs<text::Glob>(value, "toolsOutOfScope", grant::parse_tool_glob);
  role.resources_in_scope =
      globs<grant::ResourceGlob>(value, "resourcesInScope", grant::parse_resource_glob);
  role.prompts_in_scope = globs<text::Glob>(value, "promptsInScope", grant::parse_prompt_glob);
  for (const json::Value word : members(value.find("verticals"))) {
    role.verticals.emplace_back(word.string());
  }
  return role;
}

std::string subject_of(json::Value atr, std::string_view otherwise) {
  const std::string_view key = atr.is_object() && atr.find("actorId") ? "actorId" : "sub";
  std::string subject = atr.is_object() ? text_of(atr, key, otherwise) : std::string(otherwise);
  return subject.empty() ? std::string(otherwise) : subject;
}

void write_actors(json::Writer& out, const std::vector<json::Value>& ancestors) {
  std::size_t open = 0;
  for (const json::Value atr : ancestors) {
    out.key("act").begin_object();
    out.key("sub").string(subject_of(atr, "ancestor-" + std::to_string(open++)));
    out.key("atr").value(atr);
  }
  for (; open > 0; --open) out.end_object();
}

// Where the claim stands, "/act/act/atr/x", as expected.json has it: "/ancestors/1/x".
std::string place_of(std::string at) {
  std::size_t depth = 0;
  for (; at.starts_with("/act/"); ++depth) at.erase(0, 4);
  at.erase(0, std::string_view("/atr").size());
  return depth == 0 ? at : "/ancestors/" + std::to_string(depth - 1) + at;
}

struct Case {
  explicit Case(const fs::path& folder)
      : exchange(read(folder / "exchange.json")), expected(read(folder / "expected.json")) {
    json::Writer out;
    const json::Document atr = read(folder / "grant.json");
    const json::Document ancestors =
        fs::exists(folder / "ancestors.json") ? read(folder / "ancestors.json") : parse("[]");
    out.begin_object();
    out.key("sub").string(subject_of(atr.root(), "somebody"));
    out.key("exp").integer(kFarAway);
    out.key("jti").string("j");
    out.key("atr").value(atr.root());
    write_actors(out, members(ancestors.root()));
    claims = parse(std::move(out.end_object()).take());
    auto read_who = identity::read_claims(claims.root(), identity::Proof::replay);
    EXPECT_TRUE(read_who) << read_who.error().to_string();
    who = std::make_shared<const identity::Authenticated>(*std::move(read_who));
    if (fs::exists(folder / "policy.json")) read_policy(read(folder / "policy.json").root());
  }

  void read_policy(json::Value policy) {
    upstream = text_of(policy, "upstream", kBank);
    if (const auto upstreams = policy.find("upstreams")) {
      vertical = text_of(*upstreams->find(upstream), "vertical", "");
    }
    if (const auto table = policy.find("roles")) {
      std::map<std::string, grant::Role, std::less<>> by_name;
      for (const json::Value role : table->children()) by_name.emplace(role.name(), role_of(role));
      roles = grant::RoleTable(std::move(by_name));
    }
  }

  [[nodiscard]] OfflineExchange asked() const {
    OfflineExchange out;
    out.who = who;
    out.claims = claims.root();
    out.proof = "a test";
    out.upstream = upstream;
    out.vertical = vertical;
    method = text_of(exchange.root(), "method", "");
    out.method = method;
    out.params = exchange.root().find("params");
    out.now = std::max<UnixSeconds>(0, who->principal.not_before);
    return out;
  }

  json::Document exchange;
  json::Document expected;
  json::Document claims = parse("{}");
  std::shared_ptr<const identity::Authenticated> who;
  std::string upstream{kBank};
  std::string vertical{grant::kSharedVertical};
  grant::RoleTable roles{grant::RolesDoNotRestrict{}};
  mutable std::string method;
};

// As the pipeline asks; nothing where its first stage refuses the parameters.
std::optional<Verdict> judged(const Case& each, const OfflineExchange& asked) {
  const auto method = mcp::parse_client_method(asked.method);
  if (!method) return std::nullopt;
  const auto params = mcp::read_request_params(*method, asked.params);
  if (!params) return std::nullopt;
  Question question;
  question.who = each.who.get();
  question.method = *method;
  question.upstream = asked.upstream;
  question.vertical = *asked.vertical;
  question.name = params->name;
  question.uri = params->uri;
  question.arguments = params->arguments;
  question.now = asked.now;
  return judge(each.roles, question).verdict;
}

std::string to_line(const Verdict& verdict) {
  return std::string(to_string(verdict.decision)) + " " + std::string(verdict.reason_name()) +
         " at \"" + (verdict.allowed() ? "" : verdict.at) + "\"";
}

bool contains(const std::vector<std::string>& lines, std::string_view line) {
  return std::ranges::find(lines, line) != lines.end();
}

std::vector<std::string> lines_of(const StageReport& stage) {
  std::vector<std::string> out;
  out.reserve(stage.rules.size());
  for (const grant::Rule& rule : stage.rules) {
    out.push_back(rule.whose + (rule.whose.empty() ? "" : " ") + rule.member + ": " + rule.text +
                  (rule.verdict.allowed() ? "" : " -> " + std::string(rule.verdict.reason_name())));
  }
  return out;
}

void expect_place(const Case& each, const Verdict& verdict) {
  const std::string want = text_of(each.expected.root(), "at", "");
  if (verdict.allowed() || each.who->grant) {
    EXPECT_EQ(verdict.at, want);
  } else if (place_of(verdict.at) != want) {
    // The grant does not know where in a token it stands; whoever reads the token does.
    EXPECT_EQ(want, "/tenantId");
    EXPECT_TRUE(verdict.at.ends_with(want)) << verdict.at;
  }
}

// Each count that expected.json names is told.
void expect_counts(const Case& each, const Explanation& explained) {
  for (const json::Value count : members(each.expected.root().find("counters"))) {
    const std::string line = "count: " + text_of(count, "key", "") + ": one more of at most " +
                             std::to_string(count.find("limit")->integer().value()) +
                             ", then it is " + text_of(count, "reason", "");
    EXPECT_TRUE(contains(lines_of(explained.stages[4]), line)) << line;
  }
}

TEST(ExplainTest, ComesToTheVerdictOfEveryGoldenGrant) {
  std::size_t cases = 0;
  std::set<std::string> refused_before;
  for (const auto& entry : fs::directory_iterator(golden_root())) {
    SCOPED_TRACE(entry.path().filename().string());
    ++cases;
    const Case each(entry.path());
    const OfflineExchange asked = each.asked();
    const Explanation explained = explain(each.roles, asked);
    const auto verdict = judged(each, asked);
    if (!verdict) {
      EXPECT_EQ(explained.stage, "protocol");
      refused_before.insert(entry.path().filename().string());
      continue;
    }
    EXPECT_EQ(to_line(explained.verdict), to_line(*verdict)) << explained.verdict.text;
    EXPECT_EQ(explained.verdict.reason_name(), text_of(each.expected.root(), "reason", ""));
    expect_place(each, explained.verdict);
    expect_counts(each, explained);
    ASSERT_EQ(explained.stages.size(), 5U);
    EXPECT_TRUE(explained.stages[3].reached);
    EXPECT_FALSE(explained.stages[3].rules.empty());
    EXPECT_EQ(explained.stages[4].reached, explained.verdict.allowed());
  }
  EXPECT_GE(cases, 450U) << "cases are missing under " << golden_root();
  EXPECT_LE(refused_before.size(), 3U) << "only what is no MCP request at all";
}

// --- what it says
// ---------------------------------------------------------------------------------------

class Asking {
 public:
  explicit Asking(std::string claims, identity::Proof proof = identity::Proof::replay)
      : claims_(parse(std::move(claims))) {
    auto who = identity::read_claims(claims_.root(), proof);
    if (who) {
      asked_.who = std::make_shared<const identity::Authenticated>(*std::move(who));
    } else {
      asked_.who = std::unexpected(who.error());
    }
    asked_.claims = claims_.root();
    asked_.proof = "a test";
    asked_.upstream = kBank;
    asked_.vertical = grant::kSharedVertical;
    asked_.now = 1000;
  }
  Explanation operator()(std::string_view method, std::string params = "{}") {
    params_.push_back(std::make_unique<json::Document>(parse(std::move(params))));
    asked_.method = method;
    asked_.params = params_.back()->root();
    return explain(roles_, asked_);
  }
  OfflineExchange& asked() { return asked_; }

 private:
  json::Document claims_;
  std::vector<std::unique_ptr<json::Document>> params_;
  OfflineExchange asked_;
  grant::RoleTable roles_{grant::RolesDoNotRestrict{}};
};

constexpr std::string_view kPayer =
    R"({"sub":"emma","exp":2000,"jti":"j","atr":{"scope":["tools:call","tools:list"],)"
    R"("toolsInScope":["bank/*"],"toolsOutOfScope":["bank/close_*"],"toolConstraints":{)"
    R"("bank/send_money":{"args":{"/amount":{"min":1,"max":500},"/to":{"enum":["A","B"]}},)"
    R"("closed":true,"maxCalls":1}},"budget":{"maxCalls":9,"maxSeconds":60},)"
    R"("task":{"id":"t"}}})";

TEST(ExplainTest, NamesEachRuleOfACall) {
  Asking ask{std::string(kPayer)};
  const Explanation allowed =
      ask("tools/call", R"({"name":"send_money","arguments":{"amount":5,"to":"A"}})");
  EXPECT_TRUE(allowed.verdict.allowed()) << to_line(allowed.verdict);
  EXPECT_EQ(allowed.stage, "grant");
  EXPECT_EQ(
      lines_of(allowed.stages[3]),
      (std::vector<std::string>{"atr role: roles do not restrict here", "atr scope: has tools:call",
                                "atr toolsOutOfScope: none matches bank/send_money: bank/close_*",
                                "atr toolsInScope: bank/* matches bank/send_money",
                                "atr verticals: the upstream is shared: any grant may reach it",
                                "atr toolConstraints: entry bank/send_money", "atr /amount: min 1",
                                "atr /amount: max 500", R"(atr /to: enum ["A","B"])",
                                "atr closed: every argument is listed"}));
  EXPECT_EQ(lines_of(allowed.stages[4]),
            (std::vector<std::string>{
                "age: the session may be 60 seconds old, then it is budget_time",
                "count: bank/send_money: one more of at most 1, then it is max_calls",
                "count: {budget}: one more of at most 9, then it is budget_calls",
                "counts: what the session has used so far is not known here, so nothing is "
                "refused"}));
}

TEST(ExplainTest, AsksTheRulesBehindADenialToo) {
  Asking ask{std::string(kPayer)};
  const Explanation denied =
      ask("tools/call", R"({"name":"send_money","arguments":{"amount":501,"to":"C","x":1}})");
  EXPECT_EQ(to_line(denied.verdict), R"(deny constraint_max at "/amount")");
  EXPECT_EQ(denied.stage, "grant");
  const auto lines = lines_of(denied.stages[3]);
  const auto has = [&lines](std::string_view line) { return contains(lines, line); };
  EXPECT_TRUE(has("atr toolConstraints: entry bank/send_money -> constraint_max"));
  EXPECT_TRUE(has("atr /amount: min 1"));
  EXPECT_TRUE(has("atr /amount: max 500 -> constraint_max"));
  EXPECT_TRUE(has(R"(atr /to: enum ["A","B"] -> constraint_enum)"));
  EXPECT_FALSE(denied.stages[4].reached);

  const Explanation closed = ask("tools/call", R"({"name":"close_account"})");
  EXPECT_EQ(to_line(closed.verdict), R"(deny tool_out_of_scope at "bank/close_account")");
  EXPECT_TRUE(contains(
      lines_of(closed.stages[3]),
      "atr toolsOutOfScope: bank/close_* matches bank/close_account -> tool_out_of_scope"));
}

TEST(ExplainTest, NamesTheGrantOfTheChainThatDenied) {
  Asking ask{
      R"({"sub":"emma","exp":2000,"jti":"j","atr":{"scope":["tools:call"],"toolsInScope":["bank/*"]},)"
      R"("act":{"sub":"helper","act":{"sub":"planner","atr":{"scope":["tools:call"],)"
      R"("toolsInScope":["bank/read"],"budget":{"maxCalls":2}}}}})"};
  const Explanation denied = ask("tools/call", R"({"name":"send_money"})");
  EXPECT_EQ(to_line(denied.verdict), R"(deny tool_not_in_scope at "bank/send_money")");
  EXPECT_TRUE(contains(
      lines_of(denied.stages[3]),
      "act/act/atr toolsInScope: none matches bank/send_money: bank/read -> tool_not_in_scope"));
  EXPECT_EQ(lines_of(denied.stages[0]).front(), "act: helper acts for emma");
  const Explanation allowed = ask("tools/call", R"({"name":"read"})");
  EXPECT_TRUE(contains(lines_of(allowed.stages[4]),
                       "count: {act}{budget}: one more of at most 2, then it is budget_calls"));
}

TEST(ExplainTest, ResourcesPromptsAndListsHaveTheirRules) {
  Asking ask{
      R"({"sub":"emma","exp":2000,"jti":"j","atr":{"scope":["resources:read","prompts:get","completion",)"
      R"("tools:list"],"resourcesInScope":["bank/file:///data/**"],"promptsInScope":["bank/month_*"]}})"};
  EXPECT_TRUE(ask("resources/read", R"({"uri":"file:///data/a?b"})").verdict.allowed());
  const Explanation climbing = ask("resources/read", R"({"uri":"file:///data/../etc"})");
  EXPECT_EQ(to_line(climbing.verdict), R"(deny resource_not_in_scope at "bank")");
  EXPECT_TRUE(contains(lines_of(climbing.stages[3]),
                       "atr uri: is not absolute, or could be read as another one -> "
                       "resource_not_in_scope"));
  EXPECT_EQ(to_line(ask("resources/subscribe", R"({"uri":"file:///data/a"})").verdict),
            R"(deny scope_missing at "")");
  EXPECT_TRUE(ask("prompts/get", R"({"name":"month_end"})").verdict.allowed());
  const std::string completion =
      R"({"ref":{"type":"ref/prompt","name":"year"},"argument":{"name":"a","value":""}})";
  EXPECT_EQ(to_line(ask("completion/complete", completion).verdict),
            R"(deny prompt_not_in_scope at "bank/year")");

  const Explanation list = ask("tools/list");
  EXPECT_TRUE(list.verdict.allowed());
  EXPECT_TRUE(lines_of(list.stages[3]).back().starts_with("answer: the upstream is asked; "));
  ask.asked().upstream = "mail";
  const Explanation elsewhere =
      ask("initialize", R"({"protocolVersion":"2025-11-25","capabilities":{},)"
                        R"("clientInfo":{"name":"n","version":"1"}})");
  EXPECT_TRUE(elsewhere.verdict.allowed());
  EXPECT_EQ(lines_of(elsewhere.stages[3]).back(), "answer: the gateway answers, not the upstream");
  EXPECT_EQ(to_line(ask("logging/setLevel", R"({"level":"info"})").verdict),
            R"(deny tool_not_in_scope at "mail")");
}

TEST(ExplainTest, StagesBehindADenialAreNotReached) {
  Asking ask{std::string(kPayer)};
  ask.asked().now = 2000;
  const Explanation expired = ask("tools/list");
  EXPECT_EQ(expired.stage, "identity");
  EXPECT_EQ(expired.verdict.reason, Code::token_expired);
  EXPECT_FALSE(expired.stages[1].reached);
  EXPECT_FALSE(expired.stages[1].verdict.allowed());

  ask.asked().now = 1000;
  const Explanation unsupported = ask("sampling/createMessage");
  EXPECT_EQ(unsupported.stage, "protocol");
  EXPECT_EQ(unsupported.verdict.reason, Code::method_not_supported);
  const Explanation malformed = ask("tools/call", R"({"arguments":{}})");
  EXPECT_EQ(malformed.stage, "protocol");
  EXPECT_EQ(malformed.verdict.reason, Code::mcp_params);

  ask.asked().vertical.reset();
  const Explanation nowhere = ask("tools/list");
  EXPECT_EQ(nowhere.stage, "route");
  EXPECT_EQ(nowhere.verdict.reason, Code::upstream_unknown);

  Asking local(R"({"sub":"emma","exp":900,"atr":{}})", identity::Proof::local_grant);
  EXPECT_EQ(local("ping").verdict.reason, Code::grant_expired);
  Asking nobody(R"({"exp":900,"jti":"j","atr":{}})");
  const Explanation refused = nobody("ping");
  EXPECT_EQ(refused.stage, "identity");
  EXPECT_EQ(refused.verdict.reason, Code::token_claims);
  Asking broken(R"({"sub":"emma","exp":2000,"jti":"j","atr":{"scope":"tools:call"}})");
  const Explanation invalid = broken("ping");
  EXPECT_EQ(invalid.stage, "grant");
  EXPECT_EQ(to_line(invalid.verdict), R"(deny grant_invalid at "/atr/scope")");
}

}  // namespace
}  // namespace zwinger::gateway
