// Runs every folder under grant/golden: the manual of the grant language. A folder holds
//   README.md      one paragraph: what happens and why
//   grant.json     the `atr` claim
//   exchange.json  the tools/call request, byte for byte as it arrives
//   policy.json    optional: {"roles", "upstreams": {ID: {"vertical"}}, "upstream": ID}. The
//   upstream called is "bank"
//                  unless named. Without "roles" roles do not restrict; without "upstreams" the
//                  upstream is shared.
//   expected.json  {"verdict", "reason", "at"}, written by hand. For a grant that does not compile:
//   deny, the error's
//                  code, and its place. "at" is left out where it is empty.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/files.h"
#include "grant/grant.h"
#include "json/json.h"

namespace zwinger::grant {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLeastCases = 60;  // fewer means that the folders were not found
constexpr std::size_t kMaxBytes = 64UL * 1024;

fs::path golden_root() { return fs::path(ZWINGER_SOURCE_DIR) / "src/grant/golden"; }

// A case that breaks its own form ends the test by an exception, which GoogleTest reports with the
// folder.
struct BadCase : std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::string read_text(const fs::path& file) {
  auto text = read_file(file, kMaxBytes);
  if (!text) throw BadCase(text.error().to_string());
  return *std::move(text);
}

json::Document read_json(const fs::path& file) {
  auto document = json::Document::parse(read_text(file));
  if (!document) throw BadCase(file.filename().string() + ": " + document.error().to_string());
  return *std::move(document);
}

void check_keys(json::Value object, std::initializer_list<std::string_view> known,
                std::string_view what) {
  for (const json::Value member : object.children()) {
    if (std::ranges::find(known, member.name()) == known.end()) {
      throw BadCase(std::string(what) + " holds the unknown key " + std::string(member.name()));
    }
  }
}

std::string string_or(json::Value object, std::string_view key, std::string_view otherwise) {
  const auto value = object.find(key);
  return std::string(value ? value->string() : otherwise);
}

json::Value require(json::Value object, std::string_view key) {
  const auto value = object.find(key);
  if (!value) throw BadCase("lacks the key " + std::string(key));
  return *value;
}

// Calls `each` with every string of the array member `key`, if it is there.
template <class F>
void for_strings(json::Value object, std::string_view key, F each) {
  if (const auto array = object.find(key)) {
    for (const json::Value element : array->children()) each(element.string());
  }
}

Role parse_role(json::Value value) {
  check_keys(value, {"scope", "toolsInScope", "toolsOutOfScope", "verticals"}, "a role");
  Role role;
  for_strings(value, "scope",
              [&](std::string_view word) { role.scope.push_back(parse_scope(word).value()); });
  for_strings(value, "toolsInScope", [&](std::string_view glob) {
    role.tools_in_scope.push_back(parse_tool_glob(glob).value());
  });
  for_strings(value, "toolsOutOfScope", [&](std::string_view glob) {
    role.tools_out_of_scope.push_back(parse_tool_glob(glob).value());
  });
  for_strings(value, "verticals",
              [&](std::string_view word) { role.verticals.emplace_back(word); });
  return role;
}

struct Policy {
  RoleTable roles{RolesDoNotRestrict{}};
  std::string upstream = "bank";
  std::string vertical = std::string(kSharedVertical);
};

Policy read_policy(const fs::path& file) {
  Policy out;
  if (!fs::exists(file)) return out;
  const json::Document document = read_json(file);
  const json::Value policy = document.root();
  check_keys(policy, {"roles", "upstreams", "upstream"}, "policy.json");
  out.upstream = string_or(policy, "upstream", out.upstream);
  if (const auto upstreams = policy.find("upstreams")) {
    const json::Value upstream = require(*upstreams, out.upstream);
    check_keys(upstream, {"vertical"}, "an upstream");
    out.vertical = require(upstream, "vertical").string();
  }
  if (const auto roles = policy.find("roles")) {
    std::map<std::string, Role, std::less<>> table;
    for (const json::Value role : roles->children()) table.emplace(role.name(), parse_role(role));
    out.roles = RoleTable(std::move(table));
  }
  return out;
}

struct Outcome {
  std::string verdict;
  std::string reason;
  std::string at;
  friend bool operator==(const Outcome&, const Outcome&) = default;

  [[nodiscard]] std::string to_string() const {
    return verdict + " " + reason + " at \"" + at + "\"";
  }
};

Outcome read_expected(const fs::path& file) {
  const json::Document document = read_json(file);
  check_keys(document.root(), {"verdict", "reason", "at"}, "expected.json");
  return {.verdict = std::string(require(document.root(), "verdict").string()),
          .reason = std::string(require(document.root(), "reason").string()),
          .at = string_or(document.root(), "at", "")};
}

Outcome run(const fs::path& folder) {
  const json::Document atr = read_json(folder / "grant.json");
  const json::Document exchange = read_json(folder / "exchange.json");
  const Policy policy = read_policy(folder / "policy.json");
  if (require(exchange.root(), "method").string() != "tools/call")
    throw BadCase("not a tools/call");
  const json::Value params = require(exchange.root(), "params");
  const ToolRef tool{.upstream = policy.upstream,
                     .tool = require(params, "name").string(),
                     .vertical = policy.vertical};

  const auto grant = Grant::compile(atr.root());
  if (!grant) return {"deny", std::string(name(grant.error().code)), grant.error().where};
  const Verdict reachable = grant->evaluate_tool(policy.roles, tool);
  EXPECT_TRUE(grant->evaluate_upstream(policy.roles, policy.upstream, policy.vertical).allowed() ||
              !reachable.allowed())
      << "an upstream is closed though one of its tools can be reached";
  const CallDecision decision = grant->evaluate_call(policy.roles, tool, params.find("arguments"));
  EXPECT_TRUE(reachable.allowed() || !decision.verdict.allowed())
      << "a call passes to a tool that lists hide";
  return {.verdict = std::string(to_string(decision.verdict.decision)),
          .reason = std::string(decision.verdict.reason_name()),
          .at = decision.verdict.at};
}

void check_files(const fs::path& folder) {
  std::set<std::string> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.insert(entry.path().filename());
  files.erase("policy.json");
  const std::set<std::string> wanted = {"README.md", "exchange.json", "expected.json",
                                        "grant.json"};
  if (files != wanted)
    throw BadCase("a case is README.md, grant.json, exchange.json, expected.json, and policy.json");
  if (read_text(folder / "README.md").find_first_not_of(" \n") == std::string::npos)
    throw BadCase("README.md is empty");
}

bool is_sentence_in_kebab_case(std::string_view name) {
  return name.contains('-') && std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(golden_root(), error))
    names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

TEST(GrantGolden, EveryFolderSaysWhatHappens) {
  const std::vector<std::string> names = case_names();
  ASSERT_GE(names.size(), kLeastCases) << "cases are missing under " << golden_root();
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    const fs::path folder = golden_root() / name;
    try {
      EXPECT_TRUE(is_sentence_in_kebab_case(name));
      check_files(folder);
      const Outcome want = read_expected(folder / "expected.json");
      const Outcome got = run(folder);
      EXPECT_TRUE(got == want) << "\n  want  " << want.to_string() << "\n  got   "
                               << got.to_string() << "\n  " << read_text(folder / "README.md");
    } catch (const std::exception& bad) {
      ADD_FAILURE() << bad.what();
    }
  }
}

// Every reason that a grant can give is shown by a case.
TEST(GrantGolden, EveryReasonHasACase) {
  std::set<std::string> shown;
  for (const std::string& name : case_names())
    shown.insert(read_expected(golden_root() / name / "expected.json").reason);
  for (const std::string_view reason : {"ok",
                                        "grant_invalid",
                                        "grant_unsupported",
                                        "role_unknown",
                                        "scope_missing",
                                        "tool_not_in_scope",
                                        "tool_out_of_scope",
                                        "vertical_denied",
                                        "vertical_elevation",
                                        "constraint_missing",
                                        "constraint_shape",
                                        "constraint_const",
                                        "constraint_enum",
                                        "constraint_prefix",
                                        "constraint_pattern",
                                        "constraint_min",
                                        "constraint_max",
                                        "constraint_host",
                                        "constraint_under",
                                        "constraint_len",
                                        "constraint_closed"}) {
    EXPECT_TRUE(shown.contains(std::string(reason))) << reason;
  }
}

}  // namespace
}  // namespace zwinger::grant
