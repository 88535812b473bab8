// Runs every folder under grant/golden: the manual of the grant language. A folder holds
//   README.md       one paragraph: what happens and why
//   grant.json      the `atr` claim
//   ancestors.json  optional: the `atr` claims of those who delegated, the nearest first
//   exchange.json   the request, byte for byte as it arrives: tools/call, tools/list,
//                   resources/list, resources/read, resources/subscribe, prompts/list, prompts/get
//                   or completion/complete
//   policy.json     optional: {"roles", "upstreams": {ID: {"vertical"}}, "upstream": ID}. The
//                   upstream asked is "bank" unless named. Without "roles" roles do not restrict;
//                   without "upstreams" the upstream is shared.
//   expected.json   {"verdict", "reason", "at"}, written by hand; "at" is left out where it is
//                   empty. For a grant that does not compile: deny, the error's code and its place,
//                   which is below /ancestors/N for an ancestor's. Where it matters also
//                   "counters": [{"key", "limit", "reason"}], the counts that the call takes, and
//                   "session": {"seconds", "reason"}, the longest life of the session.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <iterator>
#include <map>
#include <memory>
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

constexpr std::size_t kLeastCases = 450;  // fewer means that the folders were not found
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
  check_keys(value,
             {"scope", "toolsInScope", "toolsOutOfScope", "resourcesInScope", "promptsInScope",
              "verticals"},
             "a role");
  Role role;
  for_strings(value, "scope",
              [&](std::string_view word) { role.scope.push_back(parse_scope(word).value()); });
  for_strings(value, "toolsInScope", [&](std::string_view glob) {
    role.tools_in_scope.push_back(parse_tool_glob(glob).value());
  });
  for_strings(value, "toolsOutOfScope", [&](std::string_view glob) {
    role.tools_out_of_scope.push_back(parse_tool_glob(glob).value());
  });
  for_strings(value, "resourcesInScope", [&](std::string_view glob) {
    role.resources_in_scope.push_back(parse_resource_glob(glob).value());
  });
  for_strings(value, "promptsInScope", [&](std::string_view glob) {
    role.prompts_in_scope.push_back(parse_prompt_glob(glob).value());
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

// What comes of an exchange. Counters and session are compared only where expected.json has them.
struct Outcome {
  std::string verdict;
  std::string reason;
  std::string at;
  std::optional<std::string> counters;
  std::optional<std::string> session;

  [[nodiscard]] bool is(const Outcome& want) const {
    return verdict == want.verdict && reason == want.reason && at == want.at &&
           (!want.counters || counters == want.counters) &&
           (!want.session || session == want.session);
  }
  [[nodiscard]] std::string to_string() const {
    return verdict + " " + reason + " at \"" + at + "\", counters: " + counters.value_or("any") +
           ", session: " + session.value_or("any");
  }
};

std::string counter_text(std::string_view key, std::uint64_t limit, std::string_view reason) {
  return "[" + std::string(key) + " " + std::to_string(limit) + " " + std::string(reason) + "]";
}

std::string session_text(std::int64_t seconds, std::string_view reason) {
  return std::to_string(seconds) + " " + std::string(reason);
}

std::int64_t integer(json::Value object, std::string_view key) {
  return require(object, key).integer().value();
}

Outcome read_expected(const fs::path& file) {
  const json::Document document = read_json(file);
  const json::Value root = document.root();
  check_keys(root, {"verdict", "reason", "at", "counters", "session"}, "expected.json");
  Outcome out{.verdict = std::string(require(root, "verdict").string()),
              .reason = std::string(require(root, "reason").string()),
              .at = string_or(root, "at", ""),
              .counters = std::nullopt,
              .session = std::nullopt};
  if (const auto counters = root.find("counters")) {
    out.counters.emplace();
    for (const json::Value counter : counters->children()) {
      *out.counters += counter_text(require(counter, "key").string(),
                                    static_cast<std::uint64_t>(integer(counter, "limit")),
                                    require(counter, "reason").string());
    }
  }
  if (const auto session = root.find("session")) {
    out.session = session_text(integer(*session, "seconds"), require(*session, "reason").string());
  }
  return out;
}

Outcome outcome_of(const Verdict& verdict) {
  return {.verdict = std::string(to_string(verdict.decision)),
          .reason = std::string(verdict.reason_name()),
          .at = verdict.at,
          .counters = std::nullopt,
          .session = std::nullopt};
}

// The grant of the case, with its chain.
Result<Grant> compile(const fs::path& folder) {
  std::shared_ptr<const Grant> delegator;
  if (fs::exists(folder / "ancestors.json")) {
    const json::Document ancestors = read_json(folder / "ancestors.json");
    for (std::size_t i = ancestors.root().size(); i-- > 0;) {
      auto range = ancestors.root().children();
      auto grant = Grant::compile(*std::next(range.begin(), static_cast<std::ptrdiff_t>(i)));
      if (!grant) {
        return fail(grant.error().code, {},
                    "/ancestors/" + std::to_string(i) + grant.error().where);
      }
      if (delegator) grant = (*std::move(grant)).delegated_by(std::move(delegator));
      if (!grant) return std::unexpected(grant.error());
      delegator = std::make_shared<const Grant>(*std::move(grant));
    }
  }
  const json::Document atr = read_json(folder / "grant.json");
  auto grant = Grant::compile(atr.root());
  if (!grant || !delegator) return grant;
  return (*std::move(grant)).delegated_by(std::move(delegator));
}

class Case {
 public:
  explicit Case(const fs::path& folder)
      : exchange_(read_json(folder / "exchange.json")),
        policy_(read_policy(folder / "policy.json")),
        grant_(compile(folder)) {}

  Outcome run() const {
    if (!grant_) {
      return {.verdict = "deny",
              .reason = std::string(name(grant_.error().code)),
              .at = grant_.error().where,
              .counters = std::nullopt,
              .session = std::nullopt};
    }
    Outcome out = judge(require(exchange_.root(), "method").string());
    if (const auto limit = grant_->session_limit()) {
      out.session = session_text(limit->seconds, name(limit->refusal));
    }
    return out;
  }

 private:
  [[nodiscard]] Outcome judge(std::string_view method) const {
    const json::Value params = require(exchange_.root(), "params");
    if (method == "tools/call") return judge_call(params);
    if (method == "tools/list") return judge_scope(Scope::tools_list);
    if (method == "resources/list") return judge_scope(Scope::resources_list);
    if (method == "prompts/list") return judge_scope(Scope::prompts_list);
    if (method == "resources/read") {
      return judge_resource(Scope::resources_read, require(params, "uri").string());
    }
    if (method == "resources/subscribe") {
      return judge_resource(Scope::resources_subscribe, require(params, "uri").string());
    }
    if (method == "prompts/get") {
      return judge_prompt(Scope::prompts_get, require(params, "name").string());
    }
    if (method != "completion/complete") throw BadCase("the method is not one of a case");
    const json::Value ref = require(params, "ref");
    return require(ref, "type").string() == "ref/prompt"
               ? judge_prompt(Scope::completion, require(ref, "name").string())
               : judge_resource(Scope::completion, require(ref, "uri").string());
  }

  [[nodiscard]] Outcome judge_scope(Scope scope) const {
    return outcome_of(grant_->evaluate_scope(policy_.roles, scope));
  }

  [[nodiscard]] Outcome judge_call(json::Value params) const {
    const ToolRef tool{.upstream = policy_.upstream,
                       .tool = require(params, "name").string(),
                       .vertical = policy_.vertical};
    const Verdict reachable = grant_->evaluate_tool(policy_.roles, tool);
    expect_open_upstream(reachable);
    const CallDecision decision =
        grant_->evaluate_call(policy_.roles, tool, params.find("arguments"));
    EXPECT_TRUE(reachable.allowed() || !decision.verdict.allowed())
        << "a call passes to a tool that lists hide";
    Outcome out = outcome_of(decision.verdict);
    out.counters.emplace();
    for (const Counter& counter : decision.counters) {
      *out.counters += counter_text(counter.key, counter.limit, name(counter.refusal));
    }
    return out;
  }

  [[nodiscard]] Outcome judge_resource(Scope scope, std::string_view uri) const {
    const Verdict reachable = grant_->evaluate_resource(
        policy_.roles, {.upstream = policy_.upstream, .uri = uri, .vertical = policy_.vertical});
    expect_open_upstream(reachable);
    const Verdict may = grant_->evaluate_scope(policy_.roles, scope);
    return outcome_of(may.allowed() ? reachable : may);
  }

  [[nodiscard]] Outcome judge_prompt(Scope scope, std::string_view prompt) const {
    const Verdict reachable = grant_->evaluate_prompt(
        policy_.roles,
        {.upstream = policy_.upstream, .name = prompt, .vertical = policy_.vertical});
    expect_open_upstream(reachable);
    const Verdict may = grant_->evaluate_scope(policy_.roles, scope);
    return outcome_of(may.allowed() ? reachable : may);
  }

  void expect_open_upstream(const Verdict& reachable) const {
    EXPECT_TRUE(
        !reachable.allowed() ||
        grant_->evaluate_upstream(policy_.roles, policy_.upstream, policy_.vertical).allowed())
        << "an upstream is closed though something of it can be reached";
  }

  json::Document exchange_;
  Policy policy_;
  Result<Grant> grant_;
};

void check_files(const fs::path& folder) {
  std::set<std::string> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.insert(entry.path().filename());
  files.erase("policy.json");
  files.erase("ancestors.json");
  const std::set<std::string> wanted = {"README.md", "exchange.json", "expected.json",
                                        "grant.json"};
  if (files != wanted) {
    throw BadCase(
        "a case is README.md, grant.json, exchange.json, expected.json, and at will policy.json "
        "and ancestors.json");
  }
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
      const Outcome got = Case(folder).run();
      EXPECT_TRUE(got.is(want)) << "\n  want  " << want.to_string() << "\n  got   "
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
                                        "resource_not_in_scope",
                                        "prompt_not_in_scope",
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
