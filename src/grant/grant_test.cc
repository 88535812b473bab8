// What the golden folders cannot show: accessors, counters, scopes of other methods, lists against
// calls, upstreams, errors of globs.
#include "grant/grant.h"

#include <gtest/gtest.h>

#include <memory>
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
  EXPECT_EQ(decision.counters[0].refusal, Code::max_calls);
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

// What is only a resource or a prompt opens an upstream as a tool does, and needs role and grant.
TEST(GrantUpstream, IsOpenWhereAResourceOrAPromptMayBeReached) {
  const auto outcome = [](std::string_view members) {
    return upstream_outcome("{" + std::string(members) + "}", no_roles, "bank", kSharedVertical);
  };
  EXPECT_EQ(outcome(R"("resourcesInScope":{"bank":["x:*"]})"), "ok");
  EXPECT_EQ(outcome(R"("resourcesInScope":["b*/x:*"])"), "ok");
  EXPECT_EQ(outcome(R"("promptsInScope":{"bank":["x"]})"), "ok");
  EXPECT_EQ(outcome(R"("promptsInScope":["*/x"])"), "ok");
  EXPECT_EQ(outcome(R"("resourcesInScope":{"mail":["x:*"]},"promptsInScope":["bank-2/x"])"),
            "tool_not_in_scope");
  EXPECT_EQ(outcome(R"("resourcesInScope":{"bank":[]})"), "tool_not_in_scope");
  EXPECT_EQ(outcome(R"("scope":["search"])"), "tool_not_in_scope") << "a tool of clawql";
  EXPECT_EQ(upstream_outcome(R"({"scope":["search"]})", no_roles, "clawql", kSharedVertical), "ok");
  EXPECT_EQ(upstream_outcome(R"({"scope":["search"],"toolsInScope":["bank/*"]})", no_roles,
                             "clawql", kSharedVertical),
            "tool_not_in_scope");
}

TEST(GrantUpstream, NeedsOneKindThatRoleAndGrantShare) {
  Role role;
  role.resources_in_scope.push_back(parse_resource_glob("bank/x:*").value());
  role.prompts_in_scope.push_back(parse_prompt_glob("mail/*").value());
  const RoleTable roles{{{"clerk", std::move(role)}}};
  const auto outcome = [&roles](std::string_view members) {
    return upstream_outcome(R"({"role":"clerk",)" + std::string(members) + "}", roles, "bank",
                            kSharedVertical);
  };
  EXPECT_EQ(outcome(R"("resourcesInScope":["bank/*:*"])"), "ok");
  EXPECT_EQ(outcome(R"("promptsInScope":["bank/*"],"toolsInScope":["bank/*"])"),
            "tool_not_in_scope");
}

std::shared_ptr<const Grant> shared(std::string atr) {
  return std::make_shared<const Grant>(compile(std::move(atr)).value());
}

TEST(GrantDelegation, ClosesTheUpstreamsThatAnAncestorCannotReach) {
  auto grant =
      compile(R"({"toolsInScope":["*/*"]})")
          .value()
          .delegated_by(shared(R"({"promptsInScope":["bank/*"],"toolsInScope":["mail/x"]})"));
  ASSERT_TRUE(grant);
  EXPECT_TRUE(grant->evaluate_upstream(no_roles, "mail", kSharedVertical).allowed());
  EXPECT_TRUE(grant->evaluate_upstream(no_roles, "bank", kSharedVertical).allowed())
      << "only names tell that nothing is left of it";
  EXPECT_FALSE(grant->evaluate_upstream(no_roles, "disk", kSharedVertical).allowed());
}

TEST(GrantDelegation, HasOneDelegatorAndNeverNone) {
  const auto code = [](const Result<Grant>& grant) {
    return grant ? std::string("ok") : std::string(name(grant.error().code));
  };
  EXPECT_EQ(code(compile("{}").value().delegated_by(nullptr)), "internal");
  Result<Grant> once = compile("{}").value().delegated_by(shared("{}"));
  ASSERT_TRUE(once);
  EXPECT_EQ(code((*std::move(once)).delegated_by(shared("{}"))), "internal");
}

TEST(GrantDelegation, KeepsTheChildsNamesAndNarrowsItsTimes) {
  auto grant = compile(R"({"sub":"a","role":"r","tenantId":"t","task":{"id":"1"},"sessionId":"s",
                  "actorType":"agent","issuedAt":5,"expiresAt":90})")
                   .value()
                   .delegated_by(shared(R"({"sub":"b","role":"q","tenant_id":"t","task":{"id":"2"},
                                    "sessionId":"z","issuedAt":7,"expiresAt":80})"));
  ASSERT_TRUE(grant);
  EXPECT_EQ(grant->subject() + grant->role() + grant->tenant() + grant->task_id() +
                grant->session_id() + grant->actor_type(),
            "art1sagent");
  EXPECT_EQ(grant->issued_at(), 7);
  EXPECT_EQ(grant->expires_at(), 80);
  EXPECT_EQ(grant->session_limit().has_value(), false);
  EXPECT_EQ(grant->session_ttl(), std::nullopt);
}

TEST(GrantDelegation, OfAnAllowedCallThatAnAncestorRefusesCountsNothing) {
  auto grant = compile(R"({"scope":["tools:call"],"toolsInScope":["*/*"],"budget":{"maxCalls":9}})")
                   .value()
                   .delegated_by(shared(R"({"scope":["tools:call"],"budget":{"maxCalls":9}})"));
  ASSERT_TRUE(grant);
  const CallDecision decision = grant->evaluate_call(no_roles, send_money, std::nullopt);
  EXPECT_FALSE(decision.verdict.allowed());
  EXPECT_TRUE(decision.counters.empty());
}

TEST(GrantSession, LimitNamesTheStrictest) {
  const auto grant = compile(R"({"sessionTtl":100,"budget":{"maxSeconds":30}})");
  ASSERT_TRUE(grant);
  ASSERT_TRUE(grant->session_limit());
  EXPECT_EQ(grant->session_limit()->seconds, 30);
  EXPECT_EQ(grant->session_limit()->refusal, Code::budget_time);
  EXPECT_EQ(grant->session_ttl(), 30) << "who asks for this alone must not live longer";
}

// A URI of `length` bytes.
std::string long_uri(std::size_t length) { return "x:" + std::string(length - 2, 'a'); }

TEST(GrantResource, UrisHaveALongestLength) {
  const auto grant = compile(R"({"resourcesInScope":{"bank":["x:*"]}})");
  ASSERT_TRUE(grant);
  const auto read = [&](std::string_view uri) {
    return grant->evaluate_resource(no_roles,
                                    {.upstream = "bank", .uri = uri, .vertical = kSharedVertical});
  };
  EXPECT_TRUE(read(long_uri(2048)).allowed());
  const Verdict verdict = read(long_uri(2049));
  EXPECT_EQ(verdict.reason_name(), "resource_not_in_scope");
  EXPECT_EQ(verdict.at, "bank") << "what is refused for its form is not repeated";
  for (const std::string_view odd : {std::string_view("x:\0", 3), std::string_view("x:\xFF"),
                                     std::string_view("x:\xC3"), std::string_view("x:\xC2\x80")}) {
    EXPECT_EQ(read(odd).at, "bank");
    EXPECT_EQ(read(odd).reason_name(), "resource_not_in_scope");
  }
}

TEST(GrantResource, HostsAndPortsArePlain) {
  const auto grant = compile(R"({"resourcesInScope":{"bank":["*:*/**","*:*"]}})");
  ASSERT_TRUE(grant);
  const auto ok = [&](std::string_view uri) {
    return grant
        ->evaluate_resource(no_roles, {.upstream = "bank", .uri = uri, .vertical = kSharedVertical})
        .allowed();
  };
  for (const std::string_view good :
       {"https://a/x", "https://a:1/x", "https://[::1]/x", "https://[::1]:80/x", "file:///x",
        "a+b-c.1:x", "mailto:ann@acme.example", "https://a/x@y", "https://a/x;v=1?q=//y#z",
        "bank://{region}/x", "x:%E2%80%A6", "https://a/trailing/"}) {
    EXPECT_TRUE(ok(good)) << good;
  }
  for (const std::string_view bad : {"https://@a/x",
                                     "https://a@/x",
                                     "https://a:/x",
                                     "https://a:1:2/x",
                                     "https://[::1/x",
                                     "https://[::1]x/x",
                                     "https://[::1]:/x",
                                     "https://a:b@c/x",
                                     "https://a%40b/x",
                                     "https://\u00fc/x",
                                     ":x",
                                     "+:x",
                                     "a_b:x",
                                     "\u00fc:x",
                                     "https:////a/x",
                                     "x:a//b",
                                     "https://a/;..;/x",
                                     "https://a/#../x",
                                     "https://a/x?..",
                                     "https://a/%25252e%25252e/x",
                                     "https://a/%2525252525252e/x",
                                     "x:..",
                                     "x:%2e"}) {
    EXPECT_FALSE(ok(bad)) << bad;
  }
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

TEST(ResourceGlob, NamesAnUpstreamAndAUri) {
  for (const std::string_view good :
       {"bank/x:*", "b*/file:///**", "*/*", "bank/*/**", "bank/x:/**", "bank/x://a/*/b/**"}) {
    EXPECT_TRUE(parse_resource_glob(good)) << good;
  }
  const std::string longest = "bank/x:" + std::string(505, 'a');
  EXPECT_TRUE(parse_resource_glob(longest));
  EXPECT_TRUE(parse_resource_glob(longest + "/**")) << "what is cut off does not count";
  const std::string too_long = longest + "a";
  for (const std::string_view bad :
       {std::string_view(""), std::string_view("*"), std::string_view("x:*"),
        std::string_view("bank/"), std::string_view("/x:*"), std::string_view("bank//**"),
        std::string_view("bank/**"), std::string_view("bank/x:**"), std::string_view("bank/x:/**/"),
        std::string_view("bank/x:/**/**"), std::string_view("bank/x:/***"),
        std::string_view("bank/x:?"), std::string_view("bank/x:{y}"), std::string_view("Bank/x:*"),
        std::string_view("ba.nk/x:*"), std::string_view("bank/x/y:*"),
        std::string_view("bank/x:\n"), std::string_view("bank/x:\xFF"),
        std::string_view(too_long)}) {
    const auto glob = parse_resource_glob(bad);
    ASSERT_FALSE(glob) << bad;
    EXPECT_EQ(glob.error().code, Code::policy_value);
  }
}

TEST(ResourceGlob, MatchesTheUpstreamAndTheUri) {
  const auto matches = [](std::string_view glob, std::string_view upstream, std::string_view uri) {
    const auto parsed = parse_resource_glob(glob);
    EXPECT_TRUE(parsed) << glob;
    const bool fits = parsed->matches(upstream, uri);
    EXPECT_TRUE(!fits || parsed->may_match(upstream)) << glob;
    return fits;
  };
  EXPECT_TRUE(matches("bank/x://a/**", "bank", "x://a/b"));
  EXPECT_TRUE(matches("bank/x://a/**", "bank", "x://a/?b"));
  EXPECT_TRUE(matches("bank/x://*/**", "bank", "x://a/b/c"));
  EXPECT_TRUE(matches("b*/x:/**", "bank", "x:/b"));
  EXPECT_TRUE(matches("bank/*/**", "bank", "x:y/z"));
  EXPECT_FALSE(matches("bank/x://a/**", "bank", "x://a/"));
  EXPECT_FALSE(matches("bank/x://a/**", "bank", "x://a"));
  EXPECT_FALSE(matches("bank/x://a/**", "bank", "x://ab/c"));
  EXPECT_FALSE(matches("bank/x://a/**", "bank-2", "x://a/b"));
  EXPECT_FALSE(matches("bank/x://*/a/**", "bank", "x://b/c/a/d"));
  EXPECT_FALSE(matches("bank/x:*", "bank", "x:a?b"));
  EXPECT_FALSE(matches("bank/x:*", "bank", "x:a#b"));
  EXPECT_FALSE(matches("bank/x:*", "bank", "x:a/b"));
  EXPECT_FALSE(matches("bank/x:*", "bank", ""));
}

TEST(PromptGlob, NamesAnUpstreamAndAPrompt) {
  EXPECT_TRUE(parse_prompt_glob("bank/*"));
  for (const std::string_view bad : {"", "*", "bank", "bank/**", "bank/a/**"}) {
    const auto glob = parse_prompt_glob(bad);
    ASSERT_FALSE(glob) << bad;
    EXPECT_EQ(glob.error().code, Code::policy_value);
  }
}

}  // namespace
}  // namespace zwinger::grant
