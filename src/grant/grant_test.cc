// What the golden folders cannot show: accessors, counters, scopes of other methods, lists against
// calls.
#include "grant/grant.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace zwinger::grant {
namespace {

Result<Grant> compile(std::string atr) {
  auto document = json::Document::parse(std::move(atr));
  EXPECT_TRUE(document);
  return Grant::compile(document->root());  // a grant keeps nothing of the document
}

const RoleTable no_roles{RolesDoNotRestrict{}};
const ToolRef send_money{.upstream = "bank", .tool = "send_money", .vertical = kSharedVertical};

TEST(Grant, KeepsWhatOthersAskFor) {
  const auto grant = compile(R"({"actorType":"agent","role":"operator","tenantId":"acme",
      "task":{"id":"t-91","text":"pay","values":["DE02"]},"sessionId":"s-1","sessionTtl":3600})");
  ASSERT_TRUE(grant) << grant.error().to_string();
  EXPECT_EQ(grant->actor_type(), "agent");
  EXPECT_EQ(grant->role(), "operator");
  EXPECT_EQ(grant->tenant(), "acme");
  EXPECT_EQ(grant->task_id(), "t-91");
  EXPECT_EQ(grant->session_id(), "s-1");
  EXPECT_EQ(grant->session_ttl(), 3600);
}

TEST(Grant, AbsentAndNullMembersAreEmpty) {
  for (
      const std::string_view atr :
      {R"({})",
       R"({"actorType":null,"role":null,"tenantId":null,"task":null,"sessionId":null,"sessionTtl":null})",
       R"({"task":{"id":null,"text":null,"values":null}})"}) {
    const auto grant = compile(std::string(atr));
    ASSERT_TRUE(grant) << atr;
    EXPECT_EQ(grant->actor_type() + grant->role() + grant->tenant() + grant->task_id() +
                  grant->session_id(),
              "");
    EXPECT_EQ(grant->session_ttl(), std::nullopt);
  }
}

TEST(Grant, CountersNameEveryMatchingEntryThatCounts) {
  const auto grant =
      compile(R"({"scope":["tools:call"],"toolsInScope":["bank/*"],"toolConstraints":{
      "bank/*":{"maxCalls":40},"bank/send_money":{"maxCalls":0},"bank/read_*":{"maxCalls":7},"*/send_money":{}}})");
  ASSERT_TRUE(grant) << grant.error().to_string();
  const CallDecision decision = grant->evaluate_call(no_roles, send_money, std::nullopt);
  EXPECT_TRUE(decision.verdict.allowed());
  ASSERT_EQ(decision.counters.size(), 2U);
  EXPECT_EQ(decision.counters[0].key, "bank/*");
  EXPECT_EQ(decision.counters[0].limit, 40U);
  EXPECT_EQ(decision.counters[1].key, "bank/send_money");
  EXPECT_EQ(decision.counters[1].limit, 0U);
}

TEST(Grant, ADeniedCallCountsNothing) {
  const auto grant =
      compile(R"({"scope":["tools:call"],"toolsInScope":["bank/*"],"toolConstraints":{
      "bank/*":{"maxCalls":40},"bank/send_money":{"closed":true}}})");
  ASSERT_TRUE(grant);
  const auto arguments = json::Document::parse(R"({"x":1})");
  const CallDecision decision = grant->evaluate_call(no_roles, send_money, arguments->root());
  EXPECT_EQ(decision.verdict.reason_name(), "constraint_closed");
  EXPECT_TRUE(decision.counters.empty());
}

// The codec refuses such arguments before; an entry must not let them pass if it ever does not.
TEST(Grant, ArgumentsThatAreNoObjectPassNoEntry) {
  for (const std::string_view entry :
       {R"({})", R"({"closed":true})", R"({"args":{"/x":{"max":5,"optional":true}}})"}) {
    const auto grant = compile(R"({"scope":["tools:call"],"toolsInScope":["bank/*"],
        "toolConstraints":{"bank/*":)" +
                               std::string(entry) + "}}");
    ASSERT_TRUE(grant);
    for (const std::string_view arguments : {"null", "[]", "[6]", "\"x\"", "5"}) {
      const auto document = json::Document::parse(std::string(arguments));
      const Verdict verdict = grant->evaluate_call(no_roles, send_money, document->root()).verdict;
      EXPECT_EQ(verdict.reason_name(), "constraint_shape") << entry << arguments;
      EXPECT_EQ(verdict.at, "") << entry << arguments;
    }
  }
}

TEST(Grant, EveryScopeHasItsWordAndNoneStandsForAnother) {
  for (int i = 0; i <= static_cast<int>(Scope::sandbox_exec); ++i) {
    const auto scope = static_cast<Scope>(i);
    EXPECT_EQ(parse_scope(to_string(scope)), scope);
    const auto grant = compile("{\"scope\":[\"" + std::string(to_string(scope)) + "\"]}");
    ASSERT_TRUE(grant);
    for (int j = 0; j <= static_cast<int>(Scope::sandbox_exec); ++j) {
      EXPECT_EQ(grant->evaluate_scope(no_roles, static_cast<Scope>(j)).allowed(), i == j);
    }
  }
  EXPECT_EQ(parse_scope("tools"), std::nullopt);
  EXPECT_EQ(parse_scope(""), std::nullopt);
}

TEST(Grant, AScopeDenialHasNoPlaceOfItsOwn) {
  const auto grant = compile("{}");
  const Verdict verdict = grant->evaluate_scope(no_roles, Scope::tools_list);
  EXPECT_EQ(verdict.reason_name(), "scope_missing");
  EXPECT_EQ(verdict.at, "");
  EXPECT_NE(verdict.text.find("tools:list"), std::string::npos);
}

TEST(Grant, ListsShowAToolThatSomeCallCanReachWhateverItsConstraints) {
  const auto grant = compile(R"({"scope":["tools:list"],"toolsInScope":["bank/*"],
      "toolConstraints":{"bank/send_money":{"args":{"/x":{"const":1}}}}})");
  ASSERT_TRUE(grant);
  EXPECT_TRUE(grant->evaluate_tool(no_roles, send_money).allowed());
}

// An empty name must not find a role, however the table was filled.
TEST(Grant, AnAbsentRoleIsUnknownEvenIfTheTableHasAnEmptyName) {
  std::map<std::string, Role, std::less<>> table;
  table[""].scope = {Scope::tools_list};
  const auto grant = compile(R"({"scope":["tools:list"]})");
  EXPECT_EQ(grant->evaluate_scope(RoleTable(table), Scope::tools_list).reason_name(),
            "role_unknown");
  EXPECT_EQ(grant->evaluate_tool(RoleTable(table), send_money).reason_name(), "role_unknown");
}

TEST(Grant, AToolWithoutAVerticalIsDenied) {
  const auto grant = compile(R"({"verticals":["lending"],"toolsInScope":["bank/*"]})");
  const ToolRef tool{.upstream = "bank", .tool = "send_money", .vertical = ""};
  EXPECT_EQ(grant->evaluate_tool(no_roles, tool).reason_name(), "vertical_denied");
  const auto empty = compile(R"({"verticals":[""]})");
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().where, "/verticals/0");
}

TEST(Grant, NoDenialQuotesAnArgument) {
  const auto grant = compile(R"({"scope":["tools:call"],"toolsInScope":["bank/*"],
      "toolConstraints":{"bank/*":{"args":{"/x":{"enum":["a"]}}}}})");
  const auto arguments = json::Document::parse(R"({"x":"s3cret"})");
  const Verdict verdict = grant->evaluate_call(no_roles, send_money, arguments->root()).verdict;
  EXPECT_FALSE(verdict.allowed());
  EXPECT_EQ(verdict.text.find("s3cret"), std::string::npos);
  EXPECT_EQ(verdict.at, "/x");
}

TEST(Grant, AVerdictNobodyFilledInDenies) { EXPECT_FALSE(CallDecision().verdict.allowed()); }

TEST(ToolGlob, NamesAnUpstreamAndATool) {
  EXPECT_TRUE(parse_tool_glob("bank/*"));
  EXPECT_TRUE(parse_tool_glob("fs/a/b"));
  for (const std::string_view bad : {"", "*", "bank", "bank/**", "bank/?"}) {
    const auto glob = parse_tool_glob(bad);
    ASSERT_FALSE(glob) << bad;
    EXPECT_EQ(glob.error().code, Code::policy_value);
  }
}

}  // namespace
}  // namespace zwinger::grant
