// Keeps docs/reference/grant.schema.json and grant.md in step with the code: the schema's
// properties are exactly the members that compile() knows, and every example in schema and manual
// compiles.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "base/files.h"
#include "grant/grant.h"
#include "grant/matcher.h"
#include "json/json.h"

namespace zwinger::grant {
namespace {

std::string read_reference(std::string_view file) {
  auto text =
      read_file(std::filesystem::path(ZWINGER_SOURCE_DIR) / "docs/reference" / file, 1U << 20U);
  EXPECT_TRUE(text) << file;
  return text ? *std::move(text) : std::string();
}

Result<Grant> compile(const std::string& atr) {
  auto document = json::Document::parse(atr);
  if (!document) return std::unexpected(document.error());
  return Grant::compile(document->root());
}

// The member `name`, which has to be there.
json::Value member(json::Value object, std::string_view name) {
  const auto found = object.find(name);
  if (!found) throw std::runtime_error("the schema lacks " + std::string(name));
  return *found;
}

class GrantSchema : public testing::Test {
 protected:
  json::Document document_ = json::Document::parse(read_reference("grant.schema.json")).value();

  [[nodiscard]] json::Value definition(std::string_view name) const {
    return member(member(document_.root(), "$defs"), name);
  }

  // `schema` describes an object whose members are exactly `known`. Each member's examples, put
  // between `before` and `after`, make a grant that compiles; an unlisted member makes one that is
  // unsupported.
  static void check(json::Value schema, std::span<const std::string_view> known,
                    const std::string& before, const std::string& after) {
    EXPECT_FALSE(member(schema, "additionalProperties").boolean());
    std::set<std::string_view> listed;
    for (const json::Value property : member(schema, "properties").children()) {
      listed.insert(property.name());
      const json::Value examples = member(property, "examples");
      EXPECT_GT(examples.size(), 0U) << property.name();
      for (const json::Value example : examples.children()) {
        // A matcher cannot be optional alone.
        const std::string_view beside = property.name() == "optional" ? R"("max":1,)" : "";
        const std::string atr = fmt::format(R"({}{}"{}":{}{})", before, beside, property.name(),
                                            example.source(), after);
        const auto grant = compile(atr);
        EXPECT_TRUE(grant) << atr << "\n" << grant.error().to_string();
      }
    }
    EXPECT_EQ(listed, std::set<std::string_view>(known.begin(), known.end()));
    const auto grant = compile(before + R"("unlisted":1)" + after);
    ASSERT_FALSE(grant);
    EXPECT_EQ(grant.error().code, Code::grant_unsupported);
  }
};

TEST_F(GrantSchema, ListsTheMembersOfTheClaim) { check(document_.root(), atr_members(), "{", "}"); }

TEST_F(GrantSchema, ListsTheMembersOfATask) {
  const json::Value task = member(member(document_.root(), "properties"), "task");
  check(task, task_members(), R"({"task":{)", "}}");
}

TEST_F(GrantSchema, ListsTheMembersOfABudget) {
  const json::Value budget = definition("budget");
  check(budget, budget_members(), R"({"budget":{)", "}}");
}

TEST_F(GrantSchema, ListsTheMembersOfAConstraint) {
  check(definition("constraint"), constraint_members(), R"({"toolConstraints":{"bank/x":{)", "}}}");
}

TEST_F(GrantSchema, ListsTheMembersOfAMatcher) {
  check(definition("matcher"), matcher_members(), R"({"toolConstraints":{"bank/x":{"args":{"/y":{)",
        "}}}}}");
}

TEST_F(GrantSchema, ListsTheMembersOfLen) {
  const json::Value len = member(member(definition("matcher"), "properties"), "len");
  check(len, len_members(), R"({"toolConstraints":{"bank/x":{"args":{"/y":{"len":{)", "}}}}}}");
}

TEST_F(GrantSchema, AMatcherNeedsAnyOfItsConditions) {
  std::set<std::string_view> conditions(matcher_members().begin(), matcher_members().end());
  conditions.erase("optional");
  std::set<std::string_view> required;
  for (const json::Value branch : member(definition("matcher"), "anyOf").children()) {
    for (const json::Value name : member(branch, "required").children())
      required.insert(name.string());
  }
  EXPECT_EQ(required, conditions);
}

TEST_F(GrantSchema, ListsTheScopesInTheirOrder) {
  int index = 0;
  for (const json::Value word : member(definition("scope"), "enum").children()) {
    EXPECT_EQ(word.string(), to_string(static_cast<Scope>(index++)));
  }
  EXPECT_EQ(index, static_cast<int>(Scope::sandbox_exec) + 1);
}

TEST_F(GrantSchema, ListsTheActorTypes) {
  const json::Value actor_type = member(member(document_.root(), "properties"), "actorType");
  for (const json::Value word : member(actor_type, "enum").children()) {
    EXPECT_TRUE(compile(R"({"actorType":)" + std::string(word.source()) + "}")) << word.source();
  }
}

TEST_F(GrantSchema, ListsClawqlsNames) {
  for (const json::Value word : member(definition("clawqlScope"), "enum").children()) {
    EXPECT_TRUE(compile(R"({"scope":[)" + std::string(word.source()) + "]}")) << word.source();
  }
  for (const json::Value name : member(definition("clawqlTool"), "enum").children()) {
    for (const std::string_view list : {"toolsInScope", "toolsOutOfScope"}) {
      EXPECT_TRUE(compile(fmt::format(R"({{"{}":[{}]}})", list, name.source()))) << name.source();
    }
  }
}

TEST_F(GrantSchema, ItsGlobsCompile) {
  for (const json::Value glob : member(definition("toolGlob"), "examples").children()) {
    EXPECT_TRUE(parse_tool_glob(glob.string())) << glob.string();
  }
  for (const json::Value glob : member(definition("resourceGlob"), "examples").children()) {
    EXPECT_TRUE(parse_resource_glob(glob.string())) << glob.string();
  }
  for (const json::Value glob : member(definition("uriGlob"), "examples").children()) {
    EXPECT_TRUE(parse_resource_glob(fmt::format("bank/{}", glob.string()))) << glob.string();
  }
}

TEST(GrantManual, ItsExampleCompiles) {
  const std::string manual = read_reference("grant.md");
  const std::string fence = "```json\n";
  const std::size_t begin = manual.find(fence);
  ASSERT_NE(begin, std::string::npos);
  const std::size_t end = manual.find("```", begin + fence.size());
  const auto grant = compile(manual.substr(begin + fence.size(), end - begin - fence.size()));
  ASSERT_TRUE(grant) << grant.error().to_string();
  EXPECT_EQ(grant->task_id(), "t-91");
}

TEST(GrantManual, NamesEveryMember) {
  const std::string manual = read_reference("grant.md");
  for (const auto members :
       {atr_members(), budget_members(), constraint_members(), matcher_members()}) {
    for (const std::string_view member : members) {
      EXPECT_NE(manual.find("`" + std::string(member) + "`"), std::string::npos) << member;
    }
  }
}

}  // namespace
}  // namespace zwinger::grant
