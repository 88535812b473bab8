// Keeps docs/reference/grant.schema.json and grant.md in step with the code: the schema's
// properties are exactly the members that compile() knows, and every example in schema and manual
// compiles.
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <span>
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

std::string quoted(std::string_view name) { return "\"" + std::string(name) + "\""; }

class GrantSchema : public testing::Test {
 protected:
  json::Document document_ = json::Document::parse(read_reference("grant.schema.json")).value();

  [[nodiscard]] json::Value definition(std::string_view name) const {
    return document_.root().find("$defs").value().find(name).value();
  }

  // `schema` describes an object whose members are exactly `known`. Each member's examples, put
  // between `before` and `after`, make a grant that compiles; an unlisted member makes one that is
  // unsupported.
  static void check(json::Value schema, std::span<const std::string_view> known,
                    const std::string& before, const std::string& after) {
    EXPECT_FALSE(schema.find("additionalProperties").value().boolean());
    std::set<std::string_view> listed;
    for (const json::Value property : schema.find("properties").value().children()) {
      listed.insert(property.name());
      const auto examples = property.find("examples");
      ASSERT_TRUE(examples && examples->size() > 0) << property.name() << " has no example";
      for (const json::Value example : examples->children()) {
        // A matcher cannot be optional alone.
        const std::string beside = property.name() == "optional" ? R"("max":1,)" : "";
        const std::string atr =
            before + beside + quoted(property.name()) + ":" + std::string(example.source()) + after;
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
  const json::Value task = document_.root().find("properties").value().find("task").value();
  check(task, task_members(), R"({"task":{)", "}}");
}

TEST_F(GrantSchema, ListsTheMembersOfAConstraint) {
  check(definition("constraint"), constraint_members(), R"({"toolConstraints":{"bank/x":{)", "}}}");
}

TEST_F(GrantSchema, ListsTheMembersOfAMatcher) {
  check(definition("matcher"), matcher_members(), R"({"toolConstraints":{"bank/x":{"args":{"/y":{)",
        "}}}}}");
}

TEST_F(GrantSchema, ListsTheMembersOfLen) {
  const json::Value len = definition("matcher").find("properties").value().find("len").value();
  check(len, len_members(), R"({"toolConstraints":{"bank/x":{"args":{"/y":{"len":{)", "}}}}}}");
}

TEST_F(GrantSchema, AMatcherNeedsAnyOfItsConditions) {
  std::set<std::string_view> conditions(matcher_members().begin(), matcher_members().end());
  conditions.erase("optional");
  std::set<std::string_view> required;
  for (const json::Value branch : definition("matcher").find("anyOf").value().children()) {
    for (const json::Value name : branch.find("required").value().children())
      required.insert(name.string());
  }
  EXPECT_EQ(required, conditions);
}

TEST_F(GrantSchema, ListsTheScopesInTheirOrder) {
  int index = 0;
  for (const json::Value word : definition("scope").find("enum").value().children()) {
    EXPECT_EQ(word.string(), to_string(static_cast<Scope>(index++)));
  }
  EXPECT_EQ(index, static_cast<int>(Scope::sandbox_exec) + 1);
}

TEST_F(GrantSchema, ListsTheActorTypes) {
  const json::Value actor_type =
      document_.root().find("properties").value().find("actorType").value();
  for (const json::Value word : actor_type.find("enum").value().children()) {
    EXPECT_TRUE(compile(R"({"actorType":)" + std::string(word.source()) + "}")) << word.source();
  }
}

TEST_F(GrantSchema, ItsGlobsCompile) {
  for (const json::Value glob : definition("toolGlob").find("examples").value().children()) {
    EXPECT_TRUE(parse_tool_glob(glob.string())) << glob.string();
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
  for (const auto members : {atr_members(), constraint_members(), matcher_members()}) {
    for (const std::string_view member : members) {
      EXPECT_NE(manual.find("`" + std::string(member) + "`"), std::string::npos) << member;
    }
  }
}

}  // namespace
}  // namespace zwinger::grant
