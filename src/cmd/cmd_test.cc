#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <sstream>

#include "base/files.h"
#include "cmd/command.h"
#include "cmd/ready.h"
#include "identity/principal.h"
#include "identity/token_verifier.h"
#include "json/json.h"
#include "ledger/ledger.h"
#include "text/utf8.h"

namespace zwinger::cmd {
namespace {

namespace fs = std::filesystem;

constexpr UnixSeconds kNow = 1'800'000'000;
constexpr UnixSeconds kDay = 86400;

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

class CmdTest : public testing::Test {
 protected:
  CmdTest() {
    std::string pattern = (fs::temp_directory_path() / "zwinger-cmd-XXXXXX").string();
    home_ = ::mkdtemp(pattern.data());
    policy_ = home_ / "policy";
  }
  ~CmdTest() override {
    std::error_code ec;
    fs::remove_all(home_, ec);
  }

  Outcome run(const std::vector<std::string>& arguments, const std::string& input = {}) {
    std::istringstream in(input);
    std::ostringstream out;
    std::ostringstream err;
    Context context{.clock = clock_,
                    .random = random_,
                    .in = in,
                    .out = out,
                    .err = err,
                    .out_is_terminal = false,
                    .environment = {{"HOME", home_.string()}},
                    .executable = executable_};
    const int code = run_command(arguments, context);
    return {.code = code, .out = out.str(), .err = err.str()};
  }
  // With --policy of this test.
  Outcome run_here(std::vector<std::string> arguments, const std::string& input = {}) {
    arguments.insert(arguments.end(), {"--policy", policy_.string()});
    return run(arguments, input);
  }

  void write(const fs::path& path, std::string_view text) const {
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
  }
  static std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  static unsigned mode_of(const fs::path& path) {
    struct stat st{};
    return ::stat(path.c_str(), &st) == 0 ? st.st_mode & 0777U : 0;
  }
  void replace_in_policy(const std::string& old_text, const std::string& new_text) const {
    std::string yaml = read(policy_ / "zwinger.yaml");
    const std::size_t at = yaml.find(old_text);
    ASSERT_NE(at, std::string::npos) << old_text;
    write(policy_ / "zwinger.yaml", yaml.replace(at, old_text.size(), new_text));
  }
  std::string example_grant() const { return (policy_ / "grants/example.json").string(); }

  ManualClock clock_{kNow};
  SequenceRandom random_;
  fs::path home_;
  fs::path policy_;
  fs::path executable_ = "/nowhere/zwinger";
};

// --- the command line itself
// --------------------------------------------------------------------------

TEST_F(CmdTest, NothingSaysWhatToDoFirst) {
  const Outcome outcome = run({});
  EXPECT_EQ(outcome.code, kUsage);
  EXPECT_TRUE(outcome.out.empty());
  EXPECT_TRUE(outcome.err.contains("zwinger init"));
}

TEST_F(CmdTest, EveryCommandHasHelpWithAnExample) {
  const std::vector<std::vector<std::string>> commands = {{"up"},
                                                          {"gateway"},
                                                          {"wrap"},
                                                          {"init"},
                                                          {"check"},
                                                          {"replay"},
                                                          {"token", "keygen"},
                                                          {"token", "mint"},
                                                          {"token", "show"},
                                                          {"ledger", "show"},
                                                          {"codes"},
                                                          {"reference"},
                                                          {"version"},
                                                          {"doctor"},
                                                          {"eval"},
                                                          {"completion"},
                                                          {"man"}};
  const std::string all = run({"--help"}).out;
  for (std::vector<std::string> words : commands) {
    const std::string name = fmt::format("{}", fmt::join(words, " "));
    EXPECT_EQ(all.contains("\n  " + words[0] + " "), words[0] != "reference") << name;
    words.emplace_back("--help");
    const Outcome help = run(words);
    EXPECT_EQ(help.code, kOk) << name;
    EXPECT_TRUE(help.out.contains("Example:\n  zwinger " + words[0])) << name << help.out;
    EXPECT_TRUE(help.err.empty()) << help.err;
  }
  EXPECT_EQ(run({"--help"}).code, kOk);
  EXPECT_EQ(run({"token", "--help"}).code, kOk);
}

TEST_F(CmdTest, WhatIsNotUnderstoodIsRefusedWithAHint) {
  EXPECT_EQ(run({"chek"}).err,
            "zwinger: usage: there is no command 'chek'; did you mean 'check'?\n");
  EXPECT_EQ(run({"token", "mnt"}).err,
            "zwinger: usage: there is no command 'mnt'; did you mean 'mint'?\n");
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"chek"},
           {"token"},
           {"token", "mnt"},
           {"check", "--polcy", "x"},
           {"check", "a", "b"},
           {"--nope"},
           {"replay"},
           {"replay", "x", "--approvals", "some"},
           {"token", "mint", "--subject", "s"},
           {"token", "mint", "--subject", "s", "--grant", "g", "--ttl", "0"},
           {"token", "mint", "--subject", "s", "--grant", "g", "--ttl", "1h"},
           {"token", "mint", "--subject", "s", "--grant", "g", "--ttl", "5", "--expires-at", "5"},
           {"ledger", "show", "--policy", "a", "--state", "b"},
           {"codes", "--json", "--markdown"},
           {"check", "a", "--policy", "b"},
           {"init", "--days", "3"},
           {"init", "--allow", "a/b", "--policy", "p"},
           {"reference"},
           {"reference", "DESIGN.md"}}) {
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.code, kUsage) << fmt::format("{}", fmt::join(words, " "));
    EXPECT_TRUE(outcome.err.starts_with("zwinger: usage: ")) << outcome.err;
    EXPECT_TRUE(outcome.out.empty()) << outcome.out;
  }
}

TEST_F(CmdTest, Version) {
  EXPECT_EQ(run({"version"}).out, "zwinger " ZWINGER_VERSION "\n");
  EXPECT_EQ(run({"--version"}).out, run({"version"}).out);
}

TEST_F(CmdTest, TextFromAnywhereIsFitForATerminal) {
  EXPECT_EQ(printable("plain \xC3\xA4\n"), "plain \xC3\xA4\n");
  EXPECT_EQ(printable("\x1B[2J\r\x7F"), "\\u001b[2J\\u000d\\u007f");
  EXPECT_EQ(printable("\xC2\x9B"), "\\u009b");  // a C1 control sequence introducer
  std::string right_to_left_override;
  text::append_utf8(right_to_left_override, 0x202E);
  EXPECT_EQ(printable(right_to_left_override), "\\u202e");
  EXPECT_EQ(printable("a\xFF"
                      "b"),
            "a?b");
  EXPECT_EQ(printable("\xF0\x9F\x8F\xB0"), "\xF0\x9F\x8F\xB0");
}

// --- init and check
// -----------------------------------------------------------------------------------

TEST_F(CmdTest, WhatInitWritesIsValid) {
  const Outcome init = run_here({"init"});
  ASSERT_EQ(init.code, kOk) << init.err;
  EXPECT_EQ(mode_of(policy_ / "state/dev-issuer.pem"), 0600U);
  EXPECT_EQ(mode_of(policy_ / "state"), 0700U);

  const Outcome check = run({"check", policy_.string()});
  EXPECT_EQ(check.code, kOk) << check.err;
  EXPECT_TRUE(check.err.empty());
  for (const char* part : {"development mode", "127.0.0.1:8080", "https://dev.zwinger.invalid",
                           "ES256", "everything, vertical shared", "operator"}) {
    EXPECT_TRUE(check.out.contains(part)) << part << "\n" << check.out;
  }
  const auto json = json::Document::parse(run_here({"check", "--json"}).out);
  ASSERT_TRUE(json);
  EXPECT_TRUE(json->root().find("valid")->boolean());
  EXPECT_EQ(json->root().find("issuers")->size(), 1U);
}

TEST_F(CmdTest, InitDoesNotOverwrite) {
  ASSERT_EQ(run_here({"init"}).code, kOk);
  const std::string key = read(policy_ / "state/dev-issuer.pem");
  write(policy_ / "zwinger.yaml", "mine");
  EXPECT_EQ(run_here({"init"}).code, kUsage);
  EXPECT_EQ(read(policy_ / "zwinger.yaml"), "mine");
  EXPECT_EQ(run_here({"init", "--force"}).code, kOk);
  EXPECT_EQ(run_here({"check"}).code, kOk);
  EXPECT_EQ(read(policy_ / "state/dev-issuer.pem"), key) << "tokens that are out there stay valid";
}

TEST_F(CmdTest, DefaultPolicyDirectoryFollowsXdg) {
  ASSERT_EQ(run({"init"}).code, kOk);
  EXPECT_TRUE(fs::exists(home_ / ".config/zwinger/policy/zwinger.yaml"));
  EXPECT_EQ(mode_of(home_ / ".config/zwinger"), 0700U);
  EXPECT_EQ(run({"check"}).code, kOk);
}

TEST_F(CmdTest, CheckShowsEveryErrorWithItsPlace) {
  write(policy_ / "zwinger.yaml", "mode: testing\nupstreams: {a: {command: [a]}}\n\x20\n");
  const Outcome text = run({"check", policy_.string()});
  EXPECT_EQ(text.code, kNo);
  EXPECT_TRUE(text.out.empty());
  EXPECT_TRUE(text.err.contains("zwinger: policy_value: ")) << text.err;
  EXPECT_TRUE(text.err.contains("zwinger.yaml:1:7)")) << text.err;
  EXPECT_TRUE(text.err.contains("zwinger: policy_vertical_missing: ")) << text.err;
  const Outcome json = run({"check", policy_.string(), "--json"});
  EXPECT_EQ(json.code, kNo);
  EXPECT_TRUE(json.out.contains(R"("valid":false)")) << json.out;
  EXPECT_EQ(run({"check", (home_ / "nowhere").string()}).code, kUsage);
}

TEST_F(CmdTest, CheckNamesWhatIsNotRead) {
  ASSERT_EQ(run_here({"init"}).code, kOk);
  write(policy_ / "roles/late.yaml.tmp", "x: {}\n");
  EXPECT_TRUE(run_here({"check"}).out.contains("not read   roles/late.yaml.tmp"));
}

TEST_F(CmdTest, LocalGrantIsPrivateAndAllowsWhatWasNamed) {
  const Outcome init = run({"init", "--allow", "server/read_*", "--allow", "server/list"});
  ASSERT_EQ(init.code, kOk) << init.err;
  const fs::path path = home_ / ".config/zwinger/grant.json";
  EXPECT_EQ(mode_of(path), 0600U);
  EXPECT_EQ(mode_of(path.parent_path()), 0700U);

  const auto who = identity::load_local_grant(path.string(), kNow);
  ASSERT_TRUE(who) << who.error().to_string();
  EXPECT_EQ((*who)->principal.expires, kNow + 30 * kDay);
  EXPECT_FALSE((*who)->principal.subject.empty());
  ASSERT_TRUE((*who)->grant);
  const grant::RoleTable roles{grant::RolesDoNotRestrict{}};
  const auto judged = [&](std::string_view tool) {
    return (**(*who)->grant)
        .evaluate_call(roles,
                       {.upstream = "server", .tool = tool, .vertical = grant::kSharedVertical},
                       std::nullopt)
        .verdict;
  };
  EXPECT_TRUE(judged("read_file").allowed());
  EXPECT_TRUE(judged("list").allowed());
  EXPECT_EQ(judged("write_file").reason, Code::tool_not_in_scope);
  EXPECT_TRUE((**(*who)->grant).evaluate_scope(roles, grant::Scope::tools_list).allowed());

  const std::string before = read(path);
  EXPECT_EQ(run({"init", "--allow", "server/*"}).code, kUsage);
  EXPECT_EQ(read(path), before);
  ASSERT_EQ(run({"init", "--allow", "server/*", "--force", "--days", "1"}).code, kOk);
  EXPECT_EQ((*identity::load_local_grant(path.string(), kNow))->principal.expires, kNow + kDay);
}

// What the local grant says of one item of an upstream.
class LocalGrantTest : public CmdTest {
 protected:
  void init(std::vector<std::string> words) {
    words.insert(words.begin(), {"init", "--force"});
    const Outcome outcome = run(words);
    ASSERT_EQ(outcome.code, kOk) << outcome.err;
    const auto who =
        identity::load_local_grant((home_ / ".config/zwinger/grant.json").string(), kNow);
    ASSERT_TRUE(who) << who.error().to_string();
    ASSERT_TRUE((*who)->grant);
    grant_ = *(*who)->grant;
  }
  [[nodiscard]] bool allows(grant::Scope scope) const {
    return grant_->evaluate_scope(roles_, scope).allowed();
  }
  [[nodiscard]] bool tool(std::string_view upstream, std::string_view name) const {
    return grant_
        ->evaluate_tool(roles_,
                        {.upstream = upstream, .tool = name, .vertical = grant::kSharedVertical})
        .allowed();
  }
  [[nodiscard]] bool resource(std::string_view upstream, std::string_view uri) const {
    return grant_
        ->evaluate_resource(roles_,
                            {.upstream = upstream, .uri = uri, .vertical = grant::kSharedVertical})
        .allowed();
  }
  [[nodiscard]] bool prompt(std::string_view upstream, std::string_view name) const {
    return grant_
        ->evaluate_prompt(roles_,
                          {.upstream = upstream, .name = name, .vertical = grant::kSharedVertical})
        .allowed();
  }

  std::shared_ptr<const grant::Grant> grant_;
  grant::RoleTable roles_{grant::RolesDoNotRestrict{}};
};

TEST_F(LocalGrantTest, AWholeServerIsAllThatItHas) {
  init({"--allow", "server/*"});
  for (const grant::Scope scope :
       {grant::Scope::tools_list, grant::Scope::tools_call, grant::Scope::resources_list,
        grant::Scope::resources_read, grant::Scope::resources_subscribe, grant::Scope::prompts_list,
        grant::Scope::prompts_get, grant::Scope::completion}) {
    EXPECT_TRUE(allows(scope)) << to_string(scope);
  }
  EXPECT_FALSE(allows(grant::Scope::sandbox_exec));
  EXPECT_TRUE(tool("server", "write_file"));
  EXPECT_TRUE(prompt("server", "summary"));
  for (const char* uri :
       {"file:///a/b", "file:///", "file:///a/", "demo://resource/x", "demo://resource", "demo://",
        "custom:opaque", "custom:a/", "custom:a/b", "custom:/", "https://h/p?q=1#f",
        "https://h:8080/?q", "demo://resource/text/{id}", "urn:isbn:0451450523"}) {
    EXPECT_TRUE(resource("server", uri)) << uri;
  }
  for (const char* uri : {"file:///a/../b", "relative", "http://u@h/"}) {
    EXPECT_FALSE(resource("server", uri)) << uri << " is none that a grant can name";
  }
  EXPECT_FALSE(tool("other", "write_file"));
  EXPECT_FALSE(resource("other", "file:///a/b"));
  EXPECT_FALSE(prompt("other", "summary"));
}

TEST_F(LocalGrantTest, EveryServerIsAllThatEachHas) {
  init({"--allow", "*/*"});
  EXPECT_TRUE(tool("server", "write_file"));
  EXPECT_TRUE(resource("other", "file:///a/b"));
  EXPECT_TRUE(prompt("other", "summary"));
}

TEST_F(LocalGrantTest, NarrowerGlobsAllowToolsOnly) {
  init({"--allow", "server/read_*"});
  EXPECT_TRUE(tool("server", "read_file"));
  EXPECT_FALSE(allows(grant::Scope::resources_list));
  EXPECT_FALSE(allows(grant::Scope::prompts_list));
  EXPECT_FALSE(allows(grant::Scope::completion));
  EXPECT_FALSE(resource("server", "file:///a/b"));
  EXPECT_FALSE(prompt("server", "summary"));
}

TEST_F(LocalGrantTest, ResourcesAndPromptsHaveGlobsOfTheirOwn) {
  init({"--allow", "server/read_*", "--allow-resources", "server/file:///data/**",
        "--allow-prompts", "server/sum*"});
  EXPECT_TRUE(tool("server", "read_file"));
  EXPECT_TRUE(allows(grant::Scope::resources_read));
  EXPECT_TRUE(resource("server", "file:///data/a/b"));
  EXPECT_FALSE(resource("server", "file:///etc/passwd"));
  EXPECT_TRUE(prompt("server", "summary"));
  EXPECT_FALSE(prompt("server", "other"));
  EXPECT_TRUE(allows(grant::Scope::completion));

  init({"--allow-resources", "server/demo://**"});
  EXPECT_TRUE(resource("server", "demo://x"));
  EXPECT_FALSE(allows(grant::Scope::tools_list));
  EXPECT_FALSE(allows(grant::Scope::prompts_list));
}

TEST_F(CmdTest, LocalGrantWithAUselessGlobIsNotWritten) {
  for (const char* glob : {"*", "server", "server/[a-z]", "Server/*", ""}) {
    EXPECT_EQ(run({"init", "--allow", glob}).code, kUsage) << glob;
  }
  for (const char* glob : {"server/data", "file:///data/**", "server", ""}) {
    const Outcome outcome = run({"init", "--allow-resources", glob});
    EXPECT_EQ(outcome.code, kUsage) << glob;
    EXPECT_TRUE(outcome.err.contains("--allow-resources")) << outcome.err;
  }
  EXPECT_EQ(run({"init", "--allow-prompts", "summary"}).code, kUsage);
  EXPECT_FALSE(fs::exists(home_ / ".config/zwinger/grant.json"));
}

// --- token
// --------------------------------------------------------------------------------------------

class TokenTest : public CmdTest {
 protected:
  TokenTest() { EXPECT_EQ(run_here({"init"}).code, kOk); }

  Outcome mint(const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {"token", "mint",    "--subject",
                                      "emma",  "--grant", example_grant()};
    words.insert(words.end(), more.begin(), more.end());
    return run_here(words);
  }
  // As the gateway would.
  Result<std::shared_ptr<const identity::Authenticated>> verify(std::string token) {
    if (token.ends_with('\n')) token.pop_back();
    const auto policy = gateway::load_policy(policy_);
    if (!policy) return std::unexpected(policy.error().front());
    ZWINGER_TRY(auto issuers, gateway::load_issuers(*policy));
    return identity::TokenVerifier(std::move(issuers)).verify(token, kNow);
  }
};

TEST_F(TokenTest, MintedTokensVerify) {
  const Outcome minted = mint();
  ASSERT_EQ(minted.code, kOk) << minted.err;
  EXPECT_TRUE(minted.err.starts_with("development token: ")) << minted.err;
  const auto who = verify(minted.out);
  ASSERT_TRUE(who) << who.error().to_string();
  EXPECT_EQ((*who)->principal.subject, "emma");
  EXPECT_EQ((*who)->principal.expires, kNow + 3600);
  ASSERT_TRUE((*who)->grant);
  EXPECT_EQ((**(*who)->grant).role(), "operator");
  EXPECT_NE(mint().out, minted.out) << "each token has an id of its own";
}

TEST_F(TokenTest, MintTakesTimesAndStandardInput) {
  EXPECT_EQ((*verify(mint({"--ttl", "60"}).out))->principal.expires, kNow + 60);
  const auto expired = verify(mint({"--expires-at", std::to_string(kNow - 1)}).out);
  ASSERT_FALSE(expired);
  EXPECT_EQ(expired.error().code, Code::token_expired);
  const Outcome minted =
      run_here({"token", "mint", "--subject", "emma", "--grant", "-"}, read(example_grant()));
  EXPECT_TRUE(verify(minted.out));
}

TEST_F(TokenTest, ProductionHasNoDevelopmentTokens) {
  const std::string token = mint().out;
  replace_in_policy("mode: development", "mode: production");
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"token", "mint", "--subject", "emma", "--grant", example_grant()},
           {"token", "keygen"},
           {"token", "show", token.substr(0, token.size() - 1)}}) {
    const Outcome outcome = run_here(words);
    EXPECT_EQ(outcome.code, kNo) << words[1];
    EXPECT_TRUE(outcome.err.starts_with("zwinger: policy_mode: ")) << outcome.err;
    EXPECT_TRUE(outcome.out.empty()) << outcome.out;
  }
}

TEST_F(TokenTest, WhatCouldNotBeUsedIsNotMinted) {
  struct Case {
    std::string subject;
    std::string grant;
    Code code;
  };
  for (const Case& each :
       {Case{"emma", "{", Code::json_syntax}, Case{"emma", "[]", Code::grant_invalid},
        Case{"emma", "null", Code::grant_missing},
        Case{"emma", R"({"scope":"tools:call"})", Code::grant_invalid},
        Case{"emma", R"({"hours":{"from":9,"to":17}})", Code::grant_unsupported},
        Case{"", "{}", Code::token_claims}}) {
    const Outcome outcome =
        run_here({"token", "mint", "--subject", each.subject, "--grant", "-"}, each.grant);
    EXPECT_EQ(outcome.code, kUsage) << each.grant;
    EXPECT_TRUE(outcome.out.empty()) << outcome.out;
    EXPECT_TRUE(outcome.err.starts_with(fmt::format("zwinger: {}: ", name(each.code))))
        << outcome.err;
  }
}

TEST_F(TokenTest, KeyMustBePrivateAndPublished) {
  fs::permissions(policy_ / "state/dev-issuer.pem", fs::perms::group_read, fs::perm_options::add);
  EXPECT_TRUE(mint().err.starts_with("zwinger: grant_file: "));
  fs::remove(policy_ / "state/dev-issuer.pem");
  EXPECT_TRUE(mint().err.contains("zwinger token keygen"));

  // A new key is made; the old public half stays, so that tokens in use go on.
  const Outcome keygen = run_here({"token", "keygen"});
  ASSERT_EQ(keygen.code, kOk) << keygen.err;
  EXPECT_EQ(mode_of(policy_ / "state/dev-issuer.pem"), 0600U);
  const auto keys = json::Document::parse(read(policy_ / "jwks.json"));
  ASSERT_TRUE(keys);
  EXPECT_EQ(keys->root().find("keys")->size(), 2U);
  EXPECT_FALSE(read(policy_ / "jwks.json").contains("\"d\"")) << "no private member";
  EXPECT_TRUE(verify(mint().out));

  const std::string before = read(policy_ / "jwks.json");
  EXPECT_EQ(run_here({"token", "keygen"}).code, kOk);
  EXPECT_EQ(read(policy_ / "jwks.json"), before) << "it is there already";
}

TEST_F(TokenTest, AKeyThatTheSetLacksMintsNothing) {
  const std::string other_set = read(policy_ / "jwks.json");
  fs::remove(policy_ / "state/dev-issuer.pem");
  ASSERT_EQ(run_here({"token", "keygen"}).code, kOk);
  write(policy_ / "jwks.json", other_set);
  const Outcome minted = mint();
  EXPECT_EQ(minted.code, kUsage);
  EXPECT_TRUE(minted.err.starts_with("zwinger: token_unknown_key: ")) << minted.err;
}

TEST_F(TokenTest, KeygenMakesTheKeySetOfEachAlgorithm) {
  for (const char* algorithm : {"EdDSA", "RS256"}) {
    fs::remove(policy_ / "jwks.json");
    fs::remove(policy_ / "state/dev-issuer.pem");
    const std::string old = algorithm == std::string("EdDSA") ? "ES256" : "EdDSA";
    replace_in_policy("algorithms: [" + old, std::string("algorithms: [") + algorithm);
    const Outcome keygen = run_here({"token", "keygen"});
    ASSERT_EQ(keygen.code, kOk) << keygen.err;
    EXPECT_TRUE(verify(mint().out)) << algorithm;
  }
  replace_in_policy("algorithms: [RS256", "algorithms: [ES256");
  EXPECT_TRUE(mint().err.starts_with("zwinger: token_algorithm: "));
}

TEST_F(TokenTest, SeveralIssuersNeedAChoice) {
  replace_in_policy(
      "issuers:\n",
      "issuers:\n  - {issuer: other, audience: o, algorithms: [ES256], jwksFile: jwks.json}\n");
  EXPECT_EQ(mint().code, kUsage);
  EXPECT_EQ(mint({"--issuer", "nobody"}).code, kUsage);
  const auto who = verify(mint({"--issuer", "other"}).out);
  ASSERT_TRUE(who);
  EXPECT_EQ((*who)->principal.issuer, "other");
}

TEST_F(TokenTest, ShowSaysThatItCheckedNothing) {
  const std::string token = mint().out;
  const Outcome shown = run_here({"token", "show", "-"}, token);
  EXPECT_EQ(shown.code, kOk) << shown.err;
  EXPECT_TRUE(shown.err.contains("NOT checked"));
  for (const char* part :
       {"\"alg\": \"ES256\"", "\"sub\": \"emma\"", "everything/echo", "role operator"}) {
    EXPECT_TRUE(shown.out.contains(part)) << part << "\n" << shown.out;
  }
  clock_.set(kNow + 3600);
  EXPECT_TRUE(run_here({"token", "show"}, token).out.contains("nothing is allowed: token_expired"));
  const auto json = json::Document::parse(run_here({"token", "show", "--json"}, token).out);
  ASSERT_TRUE(json);
  EXPECT_FALSE(json->root().find("signatureChecked")->boolean());
  EXPECT_EQ(json->root().find("reason")->string(), "token_expired");

  EXPECT_EQ(run_here({"token", "show", "not.a.token"}).code, kNo);
  EXPECT_EQ(run({"token", "show", "-"}, token).code, kOk)
      << "without any policy there is no production to protect";
}

// --- replay
// -------------------------------------------------------------------------------------------

TEST_F(CmdTest, ReplayPrintsALineForEachVerdict) {
  const std::string session =
      (fs::path(ZWINGER_SOURCE_DIR) / "src/gateway/testdata/replay/pay-the-bill").string();
  const Outcome one = run({"replay", session + ".jsonl"});
  EXPECT_EQ(one.code, kOk);
  EXPECT_EQ(one.out, read(session + ".expected.jsonl"));
  EXPECT_TRUE(one.err.contains("roles do not restrict"));
  EXPECT_EQ(run({"replay", "-", "--approvals", "all"}, read(session + ".jsonl")).out, one.out);

  const Outcome two = run({"replay", session + ".jsonl", session + "-in-other-words.jsonl"});
  EXPECT_EQ(two.code, kOk);
  EXPECT_EQ(std::ranges::count(two.out, '\n'), 2 * std::ranges::count(one.out, '\n'));
  EXPECT_TRUE(two.out.contains(fmt::format(R"("rules":[],"file":"{}.jsonl"}})", session)));
  EXPECT_TRUE(
      two.out.contains(fmt::format(R"("rules":[],"file":"{}-in-other-words.jsonl"}})", session)))
      << "a session of its own: the first file's calls and counts do not matter to the second";
}

TEST_F(CmdTest, ReplayEndsAtAMalformedLineWithItsNumber) {
  const std::string good = R"({"type":"call","id":"c1","upstream":"a","tool":"b"})";
  const Outcome outcome = run({"replay", "-"}, good + "\n\n{\"type\":\"grant\"}\n" + good + "\n");
  EXPECT_EQ(outcome.code, kUsage);
  EXPECT_EQ(std::ranges::count(outcome.out, '\n'), 1);
  EXPECT_TRUE(outcome.err.contains("(-:3)")) << outcome.err;
  EXPECT_TRUE(run({"replay", "-"}, "{\"type\":}\n").err.contains("(-:1, byte 8)"));
  EXPECT_EQ(run({"replay", (home_ / "nowhere").string()}).code, kUsage);
  EXPECT_EQ(run({"replay", home_.string()}).code, kUsage);
}

TEST_F(CmdTest, ReplayWithAPolicyUsesItsRoles) {
  const std::string session =
      R"({"type":"grant","claims":{"sub":"s","exp":1900000000,"jti":"j","atr":{"role":"operator",)"
      R"("scope":["tools:call"],"toolsInScope":["everything/*","other/*"]}}})"
      "\n"
      R"({"type":"call","id":"c1","upstream":"everything","tool":"echo"})"
      "\n"
      R"({"type":"call","id":"c2","upstream":"other","tool":"echo"})"
      "\n";
  ASSERT_EQ(run_here({"init"}).code, kOk);
  const Outcome outcome = run_here({"replay", "-"}, session);
  EXPECT_EQ(outcome.code, kOk);
  EXPECT_TRUE(outcome.err.empty()) << outcome.err;
  EXPECT_TRUE(outcome.out.contains(R"({"id":"c1","phase":"call","verdict":"allow")"))
      << outcome.out;
  EXPECT_TRUE(outcome.out.contains(R"("reason":"upstream_unknown")")) << outcome.out;
  write(policy_ / "zwinger.yaml", "nonsense");
  const Outcome broken = run_here({"replay", "-"}, session);
  EXPECT_EQ(broken.code, kUsage);
  EXPECT_TRUE(broken.out.empty()) << "never judged without the policy that was asked for";
}

// --- eval
// ---------------------------------------------------------------------------------------------

class EvalTest : public CmdTest {
 protected:
  EvalTest() {
    write(
        grant_,
        R"({"sub": "emma", "exp": 1900000000, "atr": {"role": "operator",)"
        R"("scope": ["tools:call", "tools:list", "resources:read", "prompts:get"],)"
        R"("toolsInScope": ["bank/*"], "toolsOutOfScope": ["bank/close_*"],)"
        R"("resourcesInScope": {"bank": ["file:///data/**"]},)"
        R"("promptsInScope": {"bank": ["month_*"]},)"
        R"("toolConstraints": {"bank/send": {"args": {"/amount": {"max": 500}}, "maxCalls": 1}}}})");
  }
  Outcome eval(std::vector<std::string> more, const std::string& input = {}) {
    more.insert(more.begin(), {"eval", "--grant", grant_.string(), "--upstream", "bank"});
    return run(more, input);
  }
  fs::path grant_ = home_ / "grant.json";
};

TEST_F(EvalTest, ShowsEachStageAndEachRule) {
  const Outcome allowed = eval({"--tool", "send", "--arguments", R"({"amount": 5})"});
  EXPECT_EQ(allowed.code, kOk) << allowed.err;
  EXPECT_EQ(
      allowed.err,
      "zwinger: without --policy roles do not restrict and every upstream counts as shared\n");
  for (const char* line :
       {"identity   allow        emma, a local grant\n", "route      allow        upstream bank\n",
        "protocol   allow        tools/call\n", "grant      allow        bank/send\n",
        "  ok  role                   roles do not restrict here\n",
        "  ok  toolsInScope           bank/* matches bank/send\n",
        "  ok  toolConstraints        entry bank/send\n",
        "    ok  /amount                max 500\n",
        "        count                  bank/send: one more of at most 1, then it is max_calls\n",
        "\nallowed: ok\n"}) {
    EXPECT_TRUE(allowed.out.contains(line)) << line << "\n" << allowed.out;
  }

  const Outcome denied = eval({"--tool", "send", "--arguments", R"({"amount": 501})"});
  EXPECT_EQ(denied.code, kNo) << denied.err;
  for (const char* line :
       {"  no  toolConstraints        entry bank/send: constraint_max at /amount\n",
        "    no  /amount                max 500: constraint_max at /amount\n",
        "state      not reached",
        "\ndenied: constraint_max at /amount, by grant\n"
        "  An argument is above its maximum, or not an exact number.\n"}) {
    EXPECT_TRUE(denied.out.contains(line)) << line << "\n" << denied.out;
  }
}

TEST_F(EvalTest, AsksForResourcesPromptsAndMethods) {
  EXPECT_EQ(eval({"--resource", "file:///data/a"}).code, kOk);
  EXPECT_TRUE(eval({"--resource", "file:///etc/passwd"})
                  .out.contains("denied: resource_not_in_scope at bank/file:///etc/passwd"));
  EXPECT_TRUE(eval({"--resource", "file:///data/a", "--method", "resources/subscribe"})
                  .out.contains("denied: scope_missing"));
  EXPECT_EQ(eval({"--prompt", "month_end", "--arguments", R"({"year": "2026"})"}).code, kOk);
  EXPECT_TRUE(eval({"--prompt", "month_end", "--method", "completion/complete"})
                  .out.contains("denied: scope_missing"));
  for (const char* method : {"tools/list", "ping", "initialize", "logging/setLevel"}) {
    EXPECT_EQ(eval({"--method", method}).code, kOk) << method;
  }
  EXPECT_TRUE(eval({"--method", "prompts/list"}).out.contains("lacks prompts:list"));
  EXPECT_TRUE(
      eval({"--method", "sampling/createMessage"}).out.contains("denied: method_not_supported"));
  EXPECT_EQ(eval({"--method", "tasks/get", "--tool", "send"}).code, kOk);
  EXPECT_TRUE(eval({"--method", "tasks/result", "--tool", "close_account"})
                  .out.contains("denied: tool_out_of_scope"));
}

TEST_F(EvalTest, TakesAWholeRequestAndFiles) {
  const std::string call =
      R"({"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"send",)"
      R"("arguments":{"amount":501}}})";
  EXPECT_TRUE(eval({"--exchange", "-"}, call).out.contains("denied: constraint_max at /amount"));
  write(home_ / "call.json", call);
  EXPECT_EQ(eval({"--exchange", (home_ / "call.json").string()}).code, kNo);
  write(home_ / "arguments.json", "{\n  \"amount\": 1\n}\n");
  EXPECT_EQ(eval({"--tool", "send", "--arguments", "@" + (home_ / "arguments.json").string()}).code,
            kOk);
  EXPECT_EQ(
      run({"eval", "--grant", "-", "--upstream", "bank", "--tool", "read"}, read(grant_)).code,
      kOk);
  const std::string task =
      R"({"jsonrpc":"2.0","id":7,"method":"tasks/get","params":{"taskId":"x"}})";
  EXPECT_EQ(eval({"--exchange", "-"}, task).code, kUsage);
  EXPECT_EQ(eval({"--exchange", "-", "--tool", "send"}, task).code, kOk);
}

TEST_F(EvalTest, JsonHoldsTheSame) {
  const Outcome outcome =
      eval({"--tool", "send", "--arguments", R"({"amount": 501})", "--json", "--at", "1850000000"});
  EXPECT_EQ(outcome.code, kNo);
  const auto json = json::Document::parse(outcome.out);
  ASSERT_TRUE(json) << outcome.out;
  const json::Value root = json->root();
  EXPECT_EQ(root.find("verdict")->string(), "deny");
  EXPECT_EQ(root.find("reason")->string(), "constraint_max");
  EXPECT_EQ(root.find("at")->string(), "/amount");
  EXPECT_EQ(root.find("stage")->string(), "grant");
  EXPECT_EQ(root.find("meaning")->string(),
            "An argument is above its maximum, or not an exact number.");
  EXPECT_EQ(root.find("signature")->string(), "none");
  EXPECT_EQ(root.find("now")->integer(), 1'850'000'000);
  const json::Value stages = *root.find("stages");
  ASSERT_EQ(stages.size(), 5U);
  const auto stage = [&stages](std::ptrdiff_t index) {
    return *std::next(stages.children().begin(), index);
  };
  EXPECT_EQ(stage(0).find("verdict")->string(), "allow");
  EXPECT_EQ(stage(3).find("stage")->string(), "grant");
  EXPECT_TRUE(std::ranges::any_of(stage(3).find("rules")->children(), [](json::Value rule) {
    return rule.find("rule")->string() == "toolConstraints" &&
           rule.find("reason")->string() == "constraint_max" && rule.find("decides")->boolean();
  }));
  EXPECT_FALSE(stage(4).find("reached")->boolean());
  EXPECT_FALSE(stage(4).find("verdict"));
}

TEST_F(EvalTest, TimeIsNowOrWhatWasSaid) {
  EXPECT_TRUE(eval({"--tool", "read", "--at", "1900000000"}).out.contains("denied: grant_expired"));
  clock_.set(1'900'000'000);
  EXPECT_EQ(eval({"--tool", "read"}).code, kNo);
  EXPECT_EQ(eval({"--tool", "read", "--at", "1899999999"}).code, kOk);
}

TEST_F(EvalTest, APolicyRestrictsByRoleAndKnowsItsUpstreams) {
  ASSERT_EQ(run_here({"init"}).code, kOk);
  const Outcome nowhere = eval({"--policy", policy_.string(), "--tool", "read"});
  EXPECT_EQ(nowhere.code, kNo);
  EXPECT_TRUE(nowhere.err.empty()) << nowhere.err;
  EXPECT_TRUE(nowhere.out.contains("denied: upstream_unknown, by route")) << nowhere.out;
  write(grant_, R"({"sub":"emma","exp":1900000000,"jti":"j","atr":{"role":"operator",)"
                R"("scope":["tools:call"],"toolsInScope":["everything/*"]}})");
  const Outcome allowed = run({"eval", "--policy", policy_.string(), "--grant", grant_.string(),
                               "--upstream", "everything", "--tool", "echo"});
  EXPECT_EQ(allowed.code, kOk) << allowed.out;
  EXPECT_TRUE(allowed.out.contains("the policy defines 'operator'")) << allowed.out;
  EXPECT_TRUE(allowed.out.contains("role.toolsInScope      everything/* matches everything/echo"))
      << allowed.out;
  write(policy_ / "zwinger.yaml", "nonsense");
  const Outcome broken = eval({"--policy", policy_.string(), "--tool", "read"});
  EXPECT_EQ(broken.code, kUsage);
  EXPECT_TRUE(broken.out.empty()) << "never judged without the policy that was asked for";
}

// What init writes lets its operator use what the example upstream has.
TEST_F(EvalTest, TheStarterPolicyCoversAllFeaturesOfItsExample) {
  ASSERT_EQ(run_here({"init"}).code, kOk);
  write(grant_, R"({"sub":"emma","exp":1900000000,"jti":"j","atr":)" +
                    read(policy_ / "grants/example.json") + "}");
  const auto asks = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"eval", "--policy", policy_.string(), "--grant", grant_.string(),
                               "--upstream", "everything"});
    const Outcome outcome = run(more);
    EXPECT_NE(outcome.code, kUsage) << outcome.err;
    return outcome.code;
  };
  EXPECT_EQ(asks({"--tool", "echo", "--arguments", R"({"message":"hello"})"}), kOk);
  EXPECT_EQ(asks({"--resource", "demo://resource/dynamic/text/1"}), kOk);
  EXPECT_EQ(asks({"--prompt", "simple-prompt"}), kOk);
  EXPECT_EQ(asks({"--prompt", "simple-prompt", "--method", "completion/complete"}), kOk);
  EXPECT_EQ(asks({"--resource", "demo://resource/dynamic/text/{resourceId}", "--method",
                  "completion/complete"}),
            kOk);
  for (const char* method : {"tools/list", "resources/list", "resources/templates/list",
                             "prompts/list", "logging/setLevel"}) {
    EXPECT_EQ(asks({"--method", method}), kOk) << method;
  }
  EXPECT_EQ(asks({"--resource", "file:///etc/passwd"}), kNo);
}

TEST_F(EvalTest, ErrorsSayWhatToDoNext) {
  struct Case {
    std::vector<std::string> words;
    std::string said;
  };
  const std::string grant = grant_.string();
  for (const Case& each : std::vector<Case>{
           {{"--upstream", "bank", "--tool", "t"}, "--grant FILE"},
           {{"--grant", grant, "--tool", "t"}, "--upstream"},
           {{"--grant", grant, "--upstream", "BANK", "--tool", "t"}, "a-z, 0-9"},
           {{"--grant", grant, "--upstream", "bank"}, "--tool NAME"},
           {{"--grant", grant, "--token", grant, "--upstream", "bank", "--tool", "t"}, "who asks"},
           {{"--grant", grant, "--no-signature", "--upstream", "bank", "--tool", "t"}, "--token"},
           {{"--token", grant, "--upstream", "bank", "--tool", "t"}, "--policy"},
           {{"--grant", grant, "--upstream", "bank", "--tool", "t", "--prompt", "p"}, "choose one"},
           {{"--grant", grant, "--upstream", "bank", "--tool", "t", "--arguments", "[]"},
            "a JSON object"},
           {{"--grant", grant, "--upstream", "bank", "--tool", "t", "--arguments", "amount=5"},
            "a JSON object"},
           {{"--grant", grant, "--upstream", "bank", "--resource", "a:b", "--arguments", "{}"},
            "--arguments goes with"},
           {{"--grant", grant, "--upstream", "bank", "--method", "tools/call"}, "--tool"},
           {{"--grant", grant, "--upstream", "bank", "--method", "resources/read"}, "--resource"},
           {{"--grant", grant, "--upstream", "bank", "--method", "prompts/get"}, "--prompt"},
           {{"--grant", grant, "--upstream", "bank", "--method", "tasks/get"}, "--tool"},
           {{"--grant", grant, "--upstream", "bank", "--tool", "t", "--method", "ping"},
            "goes with tools/call"},
           {{"--grant", "-", "--upstream", "bank", "--exchange", "-"}, "read once"}}) {
    std::vector<std::string> words = each.words;
    words.insert(words.begin(), "eval");
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.code, kUsage) << fmt::format("{}", fmt::join(words, " "));
    EXPECT_TRUE(outcome.err.contains(each.said)) << outcome.err;
    EXPECT_TRUE(outcome.out.empty()) << outcome.out;
  }
  write(grant_, R"({"scope":["tools:call"]})");
  EXPECT_TRUE(eval({"--tool", "t"}).err.contains("the value of 'atr' alone")) << "what mint takes";
  EXPECT_EQ(eval({"--exchange", "-"}, "[]").code, kUsage);
  EXPECT_EQ(eval({"--exchange", "-"}, R"({"jsonrpc":"2.0","method":"ping"})").code, kUsage);
}

TEST_F(TokenTest, EvalChecksTokensAsTheGatewayDoes) {
  const auto eval = [&](const std::string& token, std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"eval", "--token", "-", "--upstream", "everything", "--tool", "echo",
                               "--arguments", R"({"message":"hi"})", "--json"});
    return run(more, token);
  };
  const std::string token = mint().out;
  const std::vector<std::string> here = {"--policy", policy_.string()};
  const Outcome good = eval(token, here);
  EXPECT_EQ(good.code, kOk) << good.out << good.err;
  EXPECT_TRUE(good.out.contains(R"("signature":"checked")")) << good.out;

  std::string forged = token;
  char& last = forged[forged.size() - 8];
  last = last == 'A' ? 'B' : 'A';
  const Outcome refused = eval(forged, here);
  EXPECT_EQ(refused.code, kNo);
  EXPECT_TRUE(refused.out.contains(R"("reason":"token_signature")")) << refused.out;
  EXPECT_TRUE(refused.out.contains(R"("stage":"identity")")) << refused.out;

  const Outcome believed = eval(forged, {"--no-signature"});
  EXPECT_EQ(believed.code, kOk) << believed.out;
  EXPECT_TRUE(believed.err.contains("NOT checked")) << believed.err;
  EXPECT_TRUE(believed.out.contains(R"("signature":"not checked")")) << believed.out;
  EXPECT_EQ(eval("not.a.token", {"--no-signature"}).code, kUsage);
  EXPECT_EQ(eval("not.a.token", here).code, kNo);
}

// --- ledger
// -------------------------------------------------------------------------------------------

class LedgerShowTest : public CmdTest {
 protected:
  LedgerShowTest() {
    const auto ledger =
        ledger::Ledger::open(home_ / "state/ledger", {.emitter = "test"}, clock_, random_);
    EXPECT_TRUE(ledger);
    ledger::Leaf decision;
    decision.kind = ledger::LeafKind::decision;
    decision.call = "call-1";
    decision.subject = "emma";
    decision.method = "tools/call";
    decision.upstream = "bank";
    decision.tool = "send\x1B[2J";
    decision.verdict = "allow";
    decision.reason = "ok";
    ledger::Leaf outcome;
    outcome.kind = ledger::LeafKind::outcome;
    outcome.call = "call-1";
    outcome.status = "result";
    outcome.duration_us = 1234;
    ledger::Leaf denied = decision;
    denied.call = "call-2";
    denied.tool = "close";
    denied.verdict = "deny";
    denied.reason = "tool_out_of_scope";
    append(**ledger, decision);
    append(**ledger, denied);
    append(**ledger, outcome);
  }
  static void append(ledger::Ledger& ledger, const ledger::Leaf& leaf) {
    std::promise<bool> done;
    ledger.append({leaf},
                  [&done](const Result<void>& result) { done.set_value(result.has_value()); });
    EXPECT_TRUE(done.get_future().get());
  }
  Outcome show(std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"ledger", "show", "--state", (home_ / "state").string()});
    return run(more);
  }
  fs::path segment() const { return fs::directory_iterator(home_ / "state/ledger")->path(); }
  // The row of a call, with runs of spaces made one.
  static std::string row_of(const std::string& out, const std::string& call) {
    std::istringstream lines(out);
    for (std::string line; std::getline(lines, line);) {
      if (!line.contains(call)) continue;
      const auto tail =
          std::ranges::unique(line, [](char a, char b) { return a == ' ' && b == ' '; });
      line.erase(tail.begin(), tail.end());
      return line.substr(line.find(call));
    }
    return {};
  }
};

TEST_F(LedgerShowTest, JoinsDecisionAndOutcome) {
  const Outcome shown = show();
  EXPECT_EQ(shown.code, kOk) << shown.err;
  EXPECT_EQ(row_of(shown.out, "call-1"), "call-1 emma bank/send\\u001b[2J allow ok result 1.234");
  EXPECT_EQ(row_of(shown.out, "call-2"), "call-2 emma bank/close deny tool_out_of_scope - -");
}

TEST_F(LedgerShowTest, WithoutAPolicyShowsTheRecordOfWrap) {
  const Outcome none = run({"ledger", "show"});
  EXPECT_EQ(none.code, kUsage);
  const fs::path wrap_state = home_ / ".local/state/zwinger";
  fs::create_directories(wrap_state);
  fs::rename(home_ / "state/ledger", wrap_state / "ledger");
  const Outcome shown = run({"ledger", "show"});
  EXPECT_EQ(shown.code, kOk) << shown.err;
  EXPECT_TRUE(shown.out.contains("call-1"));
}

TEST_F(LedgerShowTest, SelectsByCallAndCount) {
  const Outcome call = show({"--call", "call-2"});
  EXPECT_EQ(call.code, kOk);
  EXPECT_FALSE(call.out.contains("call-1"));
  EXPECT_EQ(show({"--call", "call-3"}).code, kNo);
  const Outcome json = show({"--json", "--call", "call-1"});
  EXPECT_EQ(std::ranges::count(json.out, '\n'), 2);
  EXPECT_TRUE(json.out.starts_with("{\"seq\":2,")) << json.out;
  EXPECT_EQ(std::ranges::count(show({"--json", "--last", "1"}).out, '\n'), 1);
  EXPECT_EQ(std::ranges::count(show({"--last", "1"}).out, '\n'), 2) << "a title and a row";
}

TEST_F(LedgerShowTest, ATornTailIsToldAndDamageIsAFailure) {
  const std::string whole = read(segment());
  write(segment(), whole + "0123456789abcdef {\"seq\":9");
  const Outcome torn = show();
  EXPECT_EQ(torn.code, kOk);
  EXPECT_TRUE(torn.err.contains("the last 25 bytes are a write that was cut off")) << torn.err;

  std::string changed = whole;
  changed[changed.find("emma")] = 'E';
  write(segment(), changed);
  const Outcome damaged = show();
  EXPECT_EQ(damaged.code, kNo);
  EXPECT_TRUE(damaged.err.starts_with("zwinger: ledger_corrupt: ")) << damaged.err;
  EXPECT_TRUE(damaged.out.contains("boot")) << "what is whole is still shown";
}

TEST_F(LedgerShowTest, NoRecordIsAnError) {
  EXPECT_EQ(run({"ledger", "show", "--state", (home_ / "nowhere").string()}).code, kUsage);
  EXPECT_EQ(run({"ledger", "show"}).code, kUsage);
}

// --- what is made from the program
// --------------------------------------------------------------------

// After a change: zwinger reference NAME > docs/reference/NAME
TEST_F(CmdTest, CommittedReferencesAreUpToDate) {
  for (const char* name : {"codes.md", "metrics.md", "policy.md", "policy.schema.json"}) {
    const Outcome made = run({"reference", name});
    EXPECT_EQ(made.code, kOk);
    EXPECT_EQ(made.out, read(fs::path(ZWINGER_SOURCE_DIR) / "docs/reference" / name)) << name;
  }
  EXPECT_EQ(run({"codes", "--markdown"}).out, run({"reference", "codes.md"}).out);
}

TEST_F(CmdTest, CodesAsTextAndJson) {
  const auto codes = json::Document::parse(run({"codes", "--json"}).out);
  ASSERT_TRUE(codes);
  EXPECT_EQ(codes->root().size(),
            static_cast<std::size_t>(std::ranges::count(run({"codes"}).out, '\n')));
  EXPECT_EQ((*codes->root().children().begin()).find("code")->string(), "json_syntax");
}

// --- up, gateway, wrap
// --------------------------------------------------------------------------------

TEST(ReadyLineTest, ComesBackAsItWasWritten) {
  const ReadyLine line{.endpoints = {{"bank", "http://127.0.0.1:1/mcp/bank"}}, .pid = 7};
  EXPECT_EQ(line.to_json(),
            R"({"event":"ready","endpoints":{"bank":"http://127.0.0.1:1/mcp/bank"},"pid":7})");
  const auto back = ReadyLine::parse(line.to_json());
  ASSERT_TRUE(back);
  EXPECT_EQ(back->endpoints, line.endpoints);
  EXPECT_EQ(back->pid, 7);
  for (const char* other :
       {"", "ready", "[]", R"({"event":"stop","endpoints":{},"pid":1})",
        R"({"event":"ready","endpoints":{"a":1},"pid":1})", R"({"event":"ready","pid":1})"}) {
    EXPECT_FALSE(ReadyLine::parse(other)) << other;
  }
}

class UpTest : public CmdTest {
 protected:
  // A gateway of a few lines of shell. $0.count holds how often it was started.
  void script(const std::string& body) {
    executable_ = home_ / "fake-gateway";
    write(executable_, "#!/bin/sh\necho x >> \"$0.count\"\n" + body);
    fs::permissions(executable_, fs::perms::owner_all);
  }
  std::ptrdiff_t starts() const {
    const std::string count = read(home_ / "fake-gateway.count");
    return std::ranges::count(count, '\n');
  }
};

// Sends this process SIGTERM once its text holds so many lines.
class StopAfter : public std::stringbuf {
 public:
  explicit StopAfter(int lines) : lines_(lines) {}
  int sync() override {
    if (std::ranges::count(str(), '\n') >= lines_) ::raise(SIGTERM);
    return 0;
  }

 private:
  int lines_;
};

TEST_F(UpTest, RestartsTheGatewayAndEndsItWithItself) {
  // The first one dies after it was ready, with the very code that would end `up` if it came at
  // first.
  script(
      "trap 'echo ended >> \"$0.ended\"; exit 0' TERM\n"
      "echo "
      "'{\"event\":\"ready\",\"endpoints\":{\"bank\":\"http://127.0.0.1:1/mcp/bank\"},\"pid\":1}'\n"
      "test $(wc -l < \"$0.count\") -gt 1 || exit 2\n"
      "while :; do sleep 0.05; done\n");
  std::istringstream in;
  std::ostringstream err;
  StopAfter buffer(2);
  std::ostream out(&buffer);
  Context context{.clock = clock_,
                  .random = random_,
                  .in = in,
                  .out = out,
                  .err = err,
                  .out_is_terminal = false,
                  .environment = {{"HOME", home_.string()}, {"PATH", "/usr/bin:/bin"}},
                  .executable = executable_};
  const std::vector<std::string> arguments = {"up", "--json", "--policy", policy_.string()};
  EXPECT_EQ(run_command(arguments, context), kOk);
  EXPECT_EQ(starts(), 2);
  const std::string line =
      R"({"event":"ready","endpoints":{"bank":"http://127.0.0.1:1/mcp/bank"},"pid":1})";
  EXPECT_EQ(buffer.str(), line + "\n" + line + "\n");
  EXPECT_EQ(read(home_ / "fake-gateway.ended"), "ended\n") << "it was asked, not killed";
}

TEST_F(UpTest, AGatewayThatRefusesToStartEndsIt) {
  script("exit 2\n");
  EXPECT_EQ(run_here({"up"}).code, kUsage);
  EXPECT_EQ(starts(), 1);
  executable_ = home_ / "nowhere";
  const Outcome missing = run_here({"up"});
  EXPECT_EQ(missing.code, kUsage);
  EXPECT_TRUE(missing.err.starts_with("zwinger: io: ")) << missing.err;
}

TEST_F(CmdTest, GatewayNeedsAPolicyWithListeners) {
  EXPECT_EQ(run_here({"gateway"}).code, kUsage);
  write(policy_ / "zwinger.yaml", "upstreams: {a: {command: [a], vertical: shared}}\n");
  const Outcome outcome = run_here({"gateway"});
  EXPECT_EQ(outcome.code, kUsage);
  EXPECT_TRUE(outcome.err.starts_with("zwinger: policy_missing_key: ")) << outcome.err;
}

TEST_F(CmdTest, WrapNeedsACommandAnIdAndAGrant) {
  EXPECT_TRUE(run({"wrap"}).err.contains("behind --"));
  EXPECT_TRUE(run({"wrap", "npx", "-y"}).err.contains("behind --"));
  EXPECT_EQ(run({"wrap", "--"}).code, kUsage);
  EXPECT_TRUE(run({"wrap", "--id", "A__b", "--", "cat"}).err.contains("(--id)"));
  write(policy_ / "zwinger.yaml", "upstreams: {a: {command: [a], vertical: shared}}\n");
  EXPECT_TRUE(run({"wrap", "--policy", policy_.string(), "--id", "b", "--", "cat"})
                  .err.contains("upstream_unknown"));

  const Outcome no_grant = run({"wrap", "--", "cat", "--help"});
  EXPECT_EQ(no_grant.code, kUsage);
  EXPECT_TRUE(no_grant.err.starts_with("zwinger: grant_file: ")) << no_grant.err;
  EXPECT_TRUE(no_grant.err.contains("zwinger init --allow")) << no_grant.err;
}

}  // namespace
}  // namespace zwinger::cmd
