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

// Why `upstream` is closed, "ok" where it is not.
std::string upstream_outcome(std::string_view atr, const RoleTable& roles,
                             std::string_view upstream, std::string_view vertical) {
  const auto grant = compile(std::string(atr));
  EXPECT_TRUE(grant) << atr;
  const Verdict verdict = grant->evaluate_upstream(roles, upstream, vertical);
  EXPECT_EQ(verdict.at, verdict.allowed() ? "" : upstream);
  return std::string(verdict.reason_name());
}

TEST(GrantUpstream, IsOpenWhereAGlobMayMatchOneOfItsTools) {
  const auto outcome = [](std::string_view globs, std::string_view upstream = "bank") {
    return upstream_outcome(R"({"toolsInScope":[)" + std::string(globs) + "]}", no_roles, upstream,
                            kSharedVertical);
  };
  EXPECT_EQ(outcome(R"("bank/send_money")"), "ok");
  EXPECT_EQ(outcome(R"("mail/send","bank/a/b")"), "ok");
  EXPECT_EQ(outcome(R"("*/send_money")"), "ok");
  EXPECT_EQ(outcome(R"("ba*/x")"), "ok");
  EXPECT_EQ(outcome(""), "tool_not_in_scope");
  EXPECT_EQ(outcome(R"("bank/*")", "bank-2"), "tool_not_in_scope");
  EXPECT_EQ(outcome(R"("bank-2/*","ban/*","mail/bank")"), "tool_not_in_scope");
}

TEST(GrantUpstream, IsClosedByTheRoleToo) {
  const std::string_view atr = R"({"role":"clerk","toolsInScope":["*/*"],"verticals":["lending"]})";
  const auto with = [](std::string_view glob, std::string vertical) {
    Role role;
    role.tools_in_scope.push_back(parse_tool_glob(glob).value());
    role.verticals.push_back(std::move(vertical));
    return RoleTable{{{"clerk", std::move(role)}}};
  };
  EXPECT_EQ(upstream_outcome(atr, with("bank/a", "lending"), "bank", "lending"), "ok");
  EXPECT_EQ(upstream_outcome(atr, with("mail/*", "lending"), "bank", "lending"),
            "tool_not_in_scope");
  EXPECT_EQ(upstream_outcome(atr, with("bank/a", "insurance"), "bank", "lending"),
            "vertical_denied");
  EXPECT_EQ(upstream_outcome(atr, RoleTable{{{"other", Role{}}}}, "bank", "lending"),
            "role_unknown");
  EXPECT_EQ(upstream_outcome(R"({"toolsInScope":["*/*"]})", with("*/*", "lending"), "bank",
                             kSharedVertical),
            "role_unknown");
}

TEST(GrantUpstream, AsksForVerticalAndElevationAsToolsDo) {
  const auto outcome = [](std::string_view members, std::string_view vertical) {
    return upstream_outcome(R"({"toolsInScope":["bank/*"],"verticals":["lending","insurance"])" +
                                std::string(members) + "}",
                            no_roles, "bank", vertical);
  };
  EXPECT_EQ(outcome("", "lending"), "ok");
  EXPECT_EQ(outcome("", "shared"), "ok");
  EXPECT_EQ(outcome("", "health"), "vertical_denied");
  EXPECT_EQ(outcome("", "insurance"), "vertical_elevation");
  EXPECT_EQ(outcome(R"(,"crossVertical":true)", "insurance"), "vertical_elevation");
  EXPECT_EQ(outcome(R"(,"crossVertical":true,"crossVerticalPurpose":"claim 4711")", "insurance"),
            "ok");
}

// A tool's name may hold slashes, so no glob takes every tool out of scope.
TEST(GrantUpstream, DoesNotCloseByWhatIsOutOfScope) {
  const std::string_view atr =
      R"({"toolsInScope":["bank/*/*"],"toolsOutOfScope":["bank/*","*/*"]})";
  EXPECT_EQ(upstream_outcome(atr, no_roles, "bank", kSharedVertical), "ok");
  EXPECT_TRUE(
      compile(std::string(atr))
          ->evaluate_tool(no_roles, {.upstream = "bank", .tool = "a/b", .vertical = "shared"})
          .allowed());
}

// Twenty pointers and a megabyte of names that almost fit: each is compared, none is folded whole.
TEST(Grant, ManyForeignNamesAreOtherArguments) {
  std::string pointers;
  for (char c = 'a'; c < 'u'; ++c) {
    pointers += std::string(pointers.empty() ? "" : ",") + "\"/amount" + c +
                "\":{\"max\":5,\"optional\":true}";
  }
  const auto grant = compile(R"({"scope":["tools:call"],"toolsInScope":["bank/*"],
      "toolConstraints":{"bank/*":{"args":{)" +
                             pointers + "}}}}");
  ASSERT_TRUE(grant);
  std::string members;
  for (int i = 0; i < 10'000; ++i) {
    members += (i == 0 ? "\"\uFF21mount" : ",\"\uFF21mount") + std::to_string(i) +
               std::string(80, 'x') + "\":1";
  }
  const auto document = json::Document::parse("{" + members + "}");
  ASSERT_TRUE(document);
  EXPECT_TRUE(grant->evaluate_call(no_roles, send_money, document->root()).verdict.allowed());
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
