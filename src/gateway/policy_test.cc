#include "gateway/policy.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "crypto/jose.h"
#include "json/json.h"

namespace zwinger::gateway {
namespace {

namespace fs = std::filesystem;

// The key of RFC 7515 appendix A.3.1, without its private member.
constexpr std::string_view kJwks =
    R"({"keys":[{"kty":"EC","crv":"P-256","kid":"k1","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
    R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]})";

constexpr std::string_view kWhole = R"(mode: development
stateDir: var/state
listeners:
  - address: "127.0.0.1:8080"
  - address: "unix:/run/zwinger.sock"
issuers:
  - {issuer: "https://dev.example", audience: zwinger, algorithms: [ES256, EdDSA], jwksFile: jwks.json}
upstreams:
  bank:
    command: ["./servers/bank", "stdio"]
    env: {TOKEN_FILE: "/run/bank", PORT: "8080", EMPTY: ""}
    vertical: lending
    timeoutSeconds: 5
    startTimeoutSeconds: 7
    maxAnswerBytes: 2048
  files: {command: [node, index.js], vertical: shared}
roles:
  operator:
    scope: ["tools:list", "tools:call"]
    toolsInScope: ["bank/*"]
    toolsOutOfScope: ["bank/close_*"]
    verticals: [lending]
)";

// A policy of one upstream and nothing else, and room for more.
constexpr std::string_view kSmall = "upstreams: {files: {command: [files], vertical: shared}}\n";

class PolicyTest : public testing::Test {
 protected:
  PolicyTest() {
    std::string pattern = (fs::temp_directory_path() / "zwinger-policy-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    write("jwks.json", kJwks);
  }
  ~PolicyTest() override {
    std::error_code ec;
    fs::remove_all(directory_, ec);
  }

  void write(const fs::path& name, std::string_view text) const {
    fs::create_directories((directory_ / name).parent_path());
    std::ofstream(directory_ / name, std::ios::binary) << text;
  }
  Policy load() const {
    auto policy = load_policy(directory_);
    if (policy) return *std::move(policy);
    for (const Error& error : policy.error()) ADD_FAILURE() << error.to_string();
    return {};
  }
  // "code line:column" of every error, sorted; "code file" where there is no line.
  std::vector<std::string> errors_of(std::string_view yaml) const {
    write(kPolicyFile, yaml);
    return errors();
  }
  std::vector<std::string> errors() const {
    const auto policy = load_policy(directory_);
    std::vector<std::string> out;
    if (policy) return out;
    for (const Error& error : policy.error()) {
      std::string where = error.where;
      const std::string prefix = directory_.string() + "/";
      while (where.contains(prefix)) where.erase(where.find(prefix), prefix.size());
      if (where.starts_with("zwinger.yaml:")) where.erase(0, 13);
      out.push_back(fmt::format("{} {}", name(error.code), where));
    }
    std::ranges::sort(out);
    return out;
  }

  fs::path directory_;
};

using Lines = std::vector<std::string>;

TEST_F(PolicyTest, ReadsEveryKey) {
  write(kPolicyFile, kWhole);
  const Policy policy = load();
  EXPECT_EQ(policy.mode, Mode::development);
  EXPECT_EQ(policy.directory, directory_);
  EXPECT_EQ(policy.state_dir, directory_ / "var/state");
  ASSERT_EQ(policy.listeners.size(), 2U);
  EXPECT_EQ(policy.listeners[0].address.to_string(), "127.0.0.1:8080");
  EXPECT_EQ(policy.listeners[1].address.to_string(), "unix:/run/zwinger.sock");
  ASSERT_EQ(policy.issuers.size(), 1U);
  EXPECT_EQ(policy.issuers[0].issuer, "https://dev.example");
  EXPECT_EQ(policy.issuers[0].audience, "zwinger");
  EXPECT_EQ(policy.issuers[0].algorithms,
            (std::vector{crypto::Algorithm::es256, crypto::Algorithm::eddsa}));
  EXPECT_EQ(policy.issuers[0].jwks_file, directory_ / "jwks.json");
  EXPECT_EQ(policy.issuers[0].jwks, kJwks);

  ASSERT_EQ(policy.upstreams.size(), 2U);
  const UpstreamConfig& bank = policy.upstreams.at("bank");
  EXPECT_EQ(bank.id, "bank");
  EXPECT_EQ(bank.command, (Lines{(directory_ / "servers/bank").string(), "stdio"}));
  EXPECT_EQ(bank.environment, (std::vector<std::pair<std::string, std::string>>{
                                  {"TOKEN_FILE", "/run/bank"}, {"PORT", "8080"}, {"EMPTY", ""}}));
  EXPECT_EQ(bank.vertical, "lending");
  EXPECT_EQ(bank.answer_timeout, std::chrono::seconds(5));
  EXPECT_EQ(bank.start_timeout, std::chrono::seconds(7));
  EXPECT_EQ(bank.max_answer_bytes, 2048U);
  EXPECT_EQ(policy.upstreams.at("files").command, (Lines{"node", "index.js"}));
  EXPECT_EQ(policy.vertical_of("bank"), "lending");
  EXPECT_EQ(policy.vertical_of("nobody"), std::nullopt);

  EXPECT_FALSE(policy.roles.unrestricted());
  const grant::Role* role = policy.roles.find("operator");
  ASSERT_NE(role, nullptr);
  EXPECT_EQ(role->scope, (std::vector{grant::Scope::tools_list, grant::Scope::tools_call}));
  EXPECT_TRUE(text::any_matches(role->tools_in_scope, "bank/send"));
  EXPECT_TRUE(text::any_matches(role->tools_out_of_scope, "bank/close_account"));
  EXPECT_EQ(role->verticals, Lines{"lending"});

  const auto issuers = load_issuers(policy);
  ASSERT_TRUE(issuers);
  ASSERT_EQ(issuers->size(), 1U);
  ASSERT_EQ((*issuers)[0].keys.keys.size(), 1U);
  EXPECT_EQ((*issuers)[0].keys.keys[0].id(), "k1");
}

TEST_F(PolicyTest, WhatIsNotWrittenIsStrict) {
  write(kPolicyFile, kSmall);
  const Policy policy = load();
  EXPECT_EQ(policy.mode, Mode::production);
  EXPECT_EQ(policy.state_dir, directory_ / "state");
  EXPECT_TRUE(policy.listeners.empty());
  EXPECT_FALSE(policy.roles.unrestricted());
  EXPECT_EQ(policy.roles.find("operator"), nullptr);
}

// The absence of a restriction must never be how a restriction that was written is read.
TEST_F(PolicyTest, EachMistakeHasItsCodeAndPlace) {
  struct Case {
    const char* what;
    std::string yaml;
    Lines errors;
  };
  const std::string small(kSmall);
  const std::string issuer =
      "issuers: [{issuer: i, audience: a, algorithms: [ES256], jwksFile: jwks.json}]\n";
  const std::vector<Case> cases = {
      {"unknown key", small + "role: {}\n", {"policy_unknown_key 2:1"}},
      {"unknown key in a role",
       small + "roles:\n  a:\n    toolOutOfScope: [x/y]\n",
       {"policy_unknown_key 4:5"}},
      {"duplicate key",
       small + "mode: production\nmode: development\n",
       {"yaml_duplicate_key 3:1"}},
      {"alias",
       "upstreams: &u {files: {command: [files], vertical: shared}}\n",
       {"yaml_alias 1:12"}},
      {"a list at the top", "- a\n", {"policy_type 1:1"}},
      {"mode of the wrong type", small + "mode: true\n", {"policy_type 2:7"}},
      {"unknown mode", small + "mode: Production\n", {"policy_value 2:7"}},
      {"empty stateDir", small + "stateDir: \"\"\n", {"policy_value 2:11"}},
      {"no upstreams", "mode: production\n", {"policy_missing_key 1:1"}},
      {"empty upstreams", "upstreams: {}\n", {"policy_empty_set 1:12"}},
      {"upstream id in capitals",
       "upstreams: {Files: {command: [files], vertical: shared}}\n",
       {"policy_value 1:13"}},
      {"upstream id with __",
       "upstreams: {a__b: {command: [files], vertical: shared}}\n",
       {"policy_value 1:13"}},
      {"upstream id of 33",
       "upstreams: {" + std::string(33, 'a') + ": {command: [files], vertical: shared}}\n",
       {"policy_value 1:13"}},
      {"vertical missing",
       "upstreams: {files: {command: [files]}}\n",
       {"policy_vertical_missing 1:20"}},
      {"vertical empty",
       "upstreams: {files: {command: [files], vertical: \"\"}}\n",
       {"policy_vertical_missing 1:49"}},
      {"vertical null",
       "upstreams: {files: {command: [files], vertical: ~}}\n",
       {"policy_vertical_missing 1:49"}},
      {"command missing", "upstreams: {files: {vertical: shared}}\n", {"policy_missing_key 1:20"}},
      {"command empty",
       "upstreams: {files: {command: [], vertical: shared}}\n",
       {"policy_empty_set 1:30"}},
      {"command is a string",
       "upstreams: {files: {command: files, vertical: shared}}\n",
       {"policy_type 1:30"}},
      {"command holds a number",
       "upstreams: {files: {command: [files, 1], vertical: shared}}\n",
       {"policy_type 1:38"}},
      {"env holds a number",
       "upstreams: {files: {command: [f], vertical: shared, env: {A: 1}}}\n",
       {"policy_type 1:62"}},
      {"env name",
       "upstreams: {files: {command: [f], vertical: shared, env: {A-B: x}}}\n",
       {"policy_value 1:59"}},
      {"timeout zero",
       "upstreams: {files: {command: [f], vertical: shared, timeoutSeconds: 0}}\n",
       {"policy_value 1:69"}},
      {"timeout with a fraction",
       "upstreams: {files: {command: [f], vertical: shared, timeoutSeconds: 1.5}}\n",
       {"policy_value 1:69"}},
      {"plain HTTP to another host",
       "upstreams: {files: {url: \"http://mcp.example/\", vertical: shared}}\n",
       {"policy_value 1:20"}},
      {"an upstream of both kinds",
       "upstreams: {files: {url: \"http://127.0.0.1/\", command: [x], vertical: shared}}\n",
       {"policy_missing_key 1:20"}},
      {"an upstream of neither kind",
       "upstreams: {files: {vertical: shared}}\n",
       {"policy_missing_key 1:20"}},
      {"an upstream that is no plain URL",
       "upstreams: {files: {url: \"https://user@mcp.example/\", vertical: shared}}\n",
       {"policy_value 1:26"}},
      {"a header of ours",
       "upstreams: {files: {url: \"http://127.0.0.1/\", headers: {Host: x}, vertical: shared}}\n",
       {"policy_value 1:57"}},
      {"TLS files without TLS",
       "upstreams: {files: {url: \"http://127.0.0.1/\", tlsCa: ca.pem, vertical: shared}}\n",
       {"policy_value 1:20"}},
      {"a certificate without its key",
       "upstreams: {files: {url: \"https://mcp.example/\", tlsCertificate: c.pem, vertical: "
       "shared}}\n",
       {"policy_value 1:20"}},
      {"a virtual server of nothing known",
       small + "virtualServers: {sel: {upstreams: [nobody]}}\n",
       {"policy_value 2:23"}},
      {"a virtual server with an upstream's name",
       "upstreams: {files: {command: [x], vertical: shared}}\n"
       "virtualServers: {files: {upstreams: [files]}}\n",
       {"policy_value 2:25"}},
      {"an admin listener open to all",
       small + "admin: {address: \"127.0.0.1:0\"}\n",
       {"policy_listener 2:8"}},
      {"empty listeners", small + "listeners: []\n", {"policy_empty_set 2:12"}},
      {"listeners without issuers",
       small + "listeners: [{address: \"127.0.0.1:0\"}]\n",
       {"policy_empty_set zwinger.yaml"}},
      {"listener open to all",
       small + issuer + "listeners: [{address: \"0.0.0.0:80\"}]\n",
       {"policy_listener 3:13"}},
      {"listener by name",
       small + issuer + "listeners: [{address: \"localhost:80\"}]\n",
       {"policy_value 3:23"}},
      {"socket without a path",
       small + issuer + "listeners: [{address: \"unix:z.sock\"}]\n",
       {"policy_value 3:23"}},
      {"listener with TLS",
       small + issuer + "listeners: [{address: \"127.0.0.1:0\", tls: {}}]\n",
       {"policy_missing_key 3:43", "policy_missing_key 3:43"}},
      {"listener twice",
       small + issuer + "listeners: [{address: \"127.0.0.1:80\"}, {address: \"127.0.0.1:80\"}]\n",
       {"policy_value 3:40"}},
      {"empty issuers", small + "issuers: []\n", {"policy_empty_set 2:10"}},
      {"no algorithms",
       small + "issuers: [{issuer: i, audience: a, algorithms: [], jwksFile: jwks.json}]\n",
       {"policy_empty_set 2:48"}},
      {"algorithm none",
       small + "issuers: [{issuer: i, audience: a, algorithms: [none], jwksFile: jwks.json}]\n",
       {"policy_value 2:49"}},
      {"algorithm HS256",
       small + "issuers: [{issuer: i, audience: a, algorithms: [HS256], jwksFile: jwks.json}]\n",
       {"policy_value 2:49"}},
      {"keys by URL",
       small +
           "issuers: [{issuer: i, audience: a, algorithms: [ES256], jwksUrl: \"https://x/\"}]\n",
       {"policy_value 2:57"}},
      {"no key set",
       small + "issuers: [{issuer: i, audience: a, algorithms: [ES256], jwksFile: none.json}]\n",
       {"policy_unreadable 2:11"}},
      {"issuer twice",
       small + "issuers:\n- {issuer: i, audience: a, algorithms: [ES256], jwksFile: jwks.json}\n"
               "- {issuer: i, audience: b, algorithms: [ES256], jwksFile: jwks.json}\n",
       {"policy_value 4:3"}},
      {"empty roles", small + "roles: {}\n", {"policy_empty_set 2:8"}},
      {"role is null", small + "roles: {a: }\n", {"policy_type 2:9"}},
      {"out of scope without a slash matches no tool",
       small + "roles: {a: {toolsOutOfScope: [\"close_*\"]}}\n",
       {"policy_value 2:31"}},
      {"unknown scope", small + "roles: {a: {scope: [\"tools:*\"]}}\n", {"policy_value 2:21"}},
      {"bad glob",
       small + "roles: {a: {toolsOutOfScope: [\"bank/[a-z]\"]}}\n",
       {"policy_value 2:31"}},
      {"vertical of a role is a number",
       small + "roles: {a: {verticals: [7]}}\n",
       {"policy_type 2:25"}},
  };
  for (const Case& each : cases) {
    EXPECT_EQ(errors_of(each.yaml), each.errors) << each.what;
  }
}

TEST_F(PolicyTest, ShowsEveryErrorAtOnce) {
  write("roles/a.yaml", "broken: [\n");
  write("roles/b.yaml", "b: {scop: []}\n");
  write("jwks.json", "{\"keys\":[]}");
  EXPECT_EQ(
      errors_of("mode: none\nupstreams: {f: {command: []}}\n"
                "issuers: [{issuer: i, audience: a, algorithms: [ES256], jwksFile: jwks.json}]\n"),
      (Lines{"jwks_invalid jwks.json: /keys", "policy_empty_set 2:26",
             "policy_unknown_key roles/b.yaml:1:5", "policy_value 1:7",
             "policy_vertical_missing 2:16", "yaml_syntax roles/a.yaml:2:1"}));
}

TEST_F(PolicyTest, RefusesAPolicyFileThatThisBuildDoesNotRead) {
  write("labels.yaml", "labels: []\n");
  write(".labels.yaml.swp", "half");
  write("README.md", "notes");
  EXPECT_EQ(errors_of(kSmall), (Lines{"policy_unknown_key labels.yaml"}));
}

TEST_F(PolicyTest, SuggestsWhatWasMeant) {
  write(kPolicyFile, std::string(kSmall) + "stateDirr: x\n");
  const auto policy = load_policy(directory_);
  ASSERT_FALSE(policy);
  EXPECT_EQ(policy.error().front().message,
            "the key 'stateDirr' does not exist here; did you mean 'stateDir'?");
}

TEST_F(PolicyTest, MissingDirectoryAndFile) {
  EXPECT_EQ(errors(), Lines{"policy_unreadable zwinger.yaml"});
  const auto policy = load_policy(directory_ / "nowhere");
  ASSERT_FALSE(policy);
  EXPECT_EQ(policy.error().front().code, Code::policy_unreadable);
}

TEST_F(PolicyTest, RoleFilesAreMergedAndDuplicatesRefused) {
  write(kPolicyFile, std::string(kSmall) + "roles: {a: {scope: [\"tools:list\"]}}\n");
  write("roles/one.yaml", "b: {scope: [\"tools:call\"]}\n");
  const Policy policy = load();
  EXPECT_NE(policy.roles.find("a"), nullptr);
  ASSERT_NE(policy.roles.find("b"), nullptr);
  EXPECT_EQ(policy.roles.find("b")->scope, std::vector{grant::Scope::tools_call});

  write("roles/two.yaml", "a: {scope: [\"tools:call\"]}\n");
  EXPECT_EQ(errors(), Lines{"policy_value roles/two.yaml:1:4"});
}

// What a writer or an editor left half done beside the files is not read, and is named.
TEST_F(PolicyTest, TemporaryFilesAreNoPolicy) {
  write(kPolicyFile, kSmall);
  write("roles/a.yaml", "a: {}\n");
  for (const char* name : {"roles/b.yaml.tmp", "roles/.c.yaml", "roles/d.yaml~", "roles/e.yml"}) {
    write(name, "evil: {toolsInScope: [\"files/*\"], scope: [\"tools:call\"]}\n");
  }
  const Policy policy = load();
  EXPECT_EQ(policy.roles.find("evil"), nullptr);
  EXPECT_EQ(policy.not_read, (std::vector<fs::path>{"roles/.c.yaml", "roles/b.yaml.tmp",
                                                    "roles/d.yaml~", "roles/e.yml"}));
}

TEST_F(PolicyTest, HalfAFileIsNoPolicy) {
  const std::string whole =
      R"({"upstreams": {"files": {"command": ["files"], "vertical": "shared"}}})";
  EXPECT_EQ(errors_of(whole), Lines{});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(errors_of(whole.substr(0, size)).empty()) << whole.substr(0, size);
  }
}

TEST_F(PolicyTest, FileBeyondTheLimitIsRefused) {
  EXPECT_EQ(errors_of(std::string(kSmall) + "# " + std::string(std::size_t{1} << 20U, 'x') + "\n"),
            Lines{"policy_unreadable zwinger.yaml"});
}

TEST_F(PolicyTest, FolderOrPipeInsteadOfAFileIsRefused) {
  write(kPolicyFile, kSmall);
  fs::create_directories(directory_ / "roles/a.yaml");
  EXPECT_EQ(errors(), Lines{"policy_unreadable roles/a.yaml"});
}

TEST_F(PolicyTest, DigestCoversEveryFileNameAndByte) {
  write(kPolicyFile, kWhole);
  const std::string first = load().digest;
  EXPECT_EQ(first.size(), 64U);
  EXPECT_EQ(load().digest, first);

  write("roles/.x.yaml", "not read\n");
  EXPECT_EQ(load().digest, first);
  write("jwks.json", std::string(kJwks) + "\n");
  const std::string second = load().digest;
  EXPECT_NE(second, first);
  write("roles/a.yaml", "a: {}\n");
  const std::string third = load().digest;
  EXPECT_NE(third, second);
  fs::rename(directory_ / "roles/a.yaml", directory_ / "roles/b.yaml");
  EXPECT_NE(load().digest, third);
}

// What was checked is what is used: the key file may be replaced after the policy was loaded.
TEST_F(PolicyTest, KeySetsAreTheOnesThatWereRead) {
  write(kPolicyFile, kWhole);
  const Policy policy = load();
  write("jwks.json", "not JSON");
  const auto issuers = load_issuers(policy);
  ASSERT_TRUE(issuers);
  EXPECT_EQ((*issuers)[0].keys.keys[0].id(), "k1");
}

TEST_F(PolicyTest, KeygenNeedsNoKeySet) {
  write(kPolicyFile, kWhole);
  fs::remove(directory_ / "jwks.json");
  EXPECT_FALSE(load_policy(directory_));
  const auto policy = load_policy(directory_, KeySets::not_needed);
  ASSERT_TRUE(policy);
  EXPECT_FALSE(load_issuers(*policy)) << "a policy without key sets lets nobody in";
}

TEST_F(PolicyTest, ReferenceNamesEveryKeyAndTheSchemaIsJson) {
  const std::string reference = policy_reference();
  const auto schema = json::Document::parse(policy_schema());
  ASSERT_TRUE(schema) << schema.error().to_string();
  const auto top = schema->root().find("properties");
  ASSERT_TRUE(top);
  for (const char* key : {"mode", "stateDir", "listeners", "issuers", "upstreams", "roles"}) {
    EXPECT_TRUE(top->find(key)) << key;
    EXPECT_TRUE(reference.contains(fmt::format("| `{}` |", key))) << key;
  }
  EXPECT_FALSE(policy_schema().contains("jwksUrl")) << "editors offer only what works";
}

}  // namespace
}  // namespace zwinger::gateway
