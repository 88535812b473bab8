#include "identity/principal.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>

#include "base/files.h"
#include "crypto/hash.h"

namespace zwinger::identity {
namespace {

namespace fs = std::filesystem;

constexpr UnixSeconds kNow = 1800000000;
constexpr std::string_view kGood = "'iss':'i','sub':'s','jti':'j','exp':1800000600";

std::string json_text(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c == '\'') c = '"';
  }
  return out;
}

Result<Authenticated> read(std::string_view claims, Proof proof = Proof::jwt) {
  auto document = json::Document::parse(json_text(claims));
  EXPECT_TRUE(document.has_value()) << claims;
  return read_claims(document->root(), proof);
}

std::string describe(const Error& error) {
  return std::string(name(error.code)) + (error.where.empty() ? "" : " " + error.where);
}

std::string outcome(std::string_view claims, Proof proof = Proof::jwt) {
  const auto who = read(claims, proof);
  return who ? "ok" : describe(who.error());
}

// What the grant is, "ok" where it compiled.
std::string grant_outcome(const std::string& members) {
  const auto who = read("{" + std::string(kGood) + members + "}");
  if (!who) return "no principal: " + describe(who.error());
  EXPECT_EQ(who->principal.subject, "s") << "the principal is known whatever the grant is";
  EXPECT_EQ(who->principal.session.size(), 64U);
  return who->grant ? "ok" : describe(who->grant.error());
}

std::string session(std::string_view issuer, std::string_view subject, std::string_view atr,
                    std::string_view rest = "'jti':'j','exp':1800000600") {
  const auto who = read("{'iss':'" + std::string(issuer) + "','sub':'" + std::string(subject) +
                        "'," + std::string(rest) + ",'atr':" + std::string(atr) + "}");
  EXPECT_TRUE(who.has_value() && who->grant.has_value()) << atr;
  return who->principal.session;
}

TEST(ReadClaims, NeedsTheClaimsOfEachProof) {
  EXPECT_EQ(outcome("{" + std::string(kGood) + "}"), "ok");
  EXPECT_EQ(outcome("{'sub':'s','jti':'j','exp':1}"), "token_claims iss");
  EXPECT_EQ(outcome("{'iss':'i','jti':'j','exp':1}"), "token_claims sub");
  EXPECT_EQ(outcome("{'iss':'i','sub':'s','exp':1}"), "token_claims jti");
  EXPECT_EQ(outcome("{'iss':'i','sub':'s','jti':'j'}"), "token_claims exp");
  EXPECT_EQ(outcome("{'iss':'i','sub':'s','jti':'j','exp':null}"), "token_claims exp");
  EXPECT_EQ(outcome("[]"), "token_claims");

  EXPECT_EQ(outcome("{'sub':'s','jti':'j','exp':1}", Proof::replay), "ok");
  EXPECT_EQ(outcome("{'sub':'s','exp':1}", Proof::replay), "token_claims jti");
  EXPECT_EQ(outcome("{'sub':'s','jti':'j'}", Proof::replay), "token_claims exp");

  EXPECT_EQ(outcome("{'sub':'s','exp':1}", Proof::local_grant), "ok");
  EXPECT_EQ(outcome("{'exp':1}", Proof::local_grant), "token_claims sub");
  EXPECT_EQ(outcome("{'sub':'s'}", Proof::local_grant), "token_claims exp");
}

// Design section 5: in replay iss and aud go unchecked.
TEST(ReadClaims, TakesAnyIssuerAndAudienceInReplay) {
  const auto issuer = [](std::string_view members) {
    const auto who =
        read("{'sub':'s','jti':'j','exp':1" + std::string(members) + "}", Proof::replay);
    return who ? "<" + who->principal.issuer + ">" : describe(who.error());
  };
  EXPECT_EQ(issuer(",'iss':'https://id.example'"), "<https://id.example>");
  EXPECT_EQ(issuer(""), "<>");
  for (const std::string_view bad : {"7", "null", "''", "['i']", "{'a':'i'}", "'a\\nb'"}) {
    EXPECT_EQ(issuer(",'iss':" + std::string(bad)), "<>") << bad;
    EXPECT_EQ(issuer(",'iss':'i','aud':" + std::string(bad)), "<i>") << bad;
  }
  EXPECT_EQ(issuer(",'iss':'" + std::string(257, 'a') + "'"), "<>");
}

TEST(ReadClaims, ChecksTheShapeOfNames) {
  const auto with_subject = [](const std::string& text) {
    return outcome("{'iss':'i','jti':'j','exp':1,'sub':" + text + "}");
  };
  EXPECT_EQ(with_subject("'" + std::string(256, 'a') + "'"), "ok");
  EXPECT_EQ(with_subject("'" + std::string(257, 'a') + "'"), "token_claims sub");
  EXPECT_EQ(with_subject("'J\\u00f6rg'"), "ok");
  for (const std::string_view text : {"''", "7", "null", "['s']", "{'a':'s'}", "'a\\nb'",
                                      "'a\\u0000'", "'\\u007f'", "'a\\u0085'", "'\\u009b31m'"}) {
    EXPECT_EQ(with_subject(std::string(text)), "token_claims sub") << text;
  }
  EXPECT_EQ(outcome("{'iss':'i','jti':'','exp':1,'sub':'s'}"), "token_claims jti");
  EXPECT_EQ(outcome("{'iss':'i','jti':7,'exp':1,'sub':'s'}"), "token_claims jti");
  EXPECT_EQ(outcome("{'iss':'','jti':'j','exp':1,'sub':'s'}"), "token_claims iss");
}

TEST(ReadClaims, TakesTimesAsWholeSecondsOnly) {
  for (const std::string_view name : {"exp", "nbf", "iat"}) {
    const auto with_time = [&](std::string_view text) {
      const std::string exp = name == "exp" ? "" : ",'exp':1";
      return outcome("{'iss':'i','jti':'j','sub':'s'" + exp + ",'" + std::string(name) +
                     "':" + std::string(text) + "}");
    };
    EXPECT_EQ(with_time("0"), "ok");
    EXPECT_EQ(with_time("9223372036854775807"), "ok");
    for (const std::string_view text :
         {"1.5", "1.0", "1e3", "-1", "9223372036854775808", "'1'", "true", "[1]", "{}"}) {
      EXPECT_EQ(with_time(text), "token_claims " + std::string(name)) << text;
    }
  }
}

TEST(ReadClaims, KeepsTheTimesForLater) {
  const auto bounds = [](std::string_view times) {
    const auto who = read("{'iss':'i','sub':'s','jti':'j'," + std::string(times) + "}");
    EXPECT_TRUE(who.has_value());
    return std::pair(who->principal.not_before, who->principal.expires);
  };
  EXPECT_EQ(bounds("'exp':500"), std::pair(UnixSeconds{-60}, UnixSeconds{500}));
  EXPECT_EQ(bounds("'exp':500,'nbf':100,'iat':200"), std::pair(UnixSeconds{140}, UnixSeconds{500}));
  EXPECT_EQ(bounds("'exp':500,'nbf':300,'iat':200"), std::pair(UnixSeconds{240}, UnixSeconds{500}));
}

TEST(CheckTime, IncludesTheFirstSecondAndExcludesTheLast) {
  auto document = json::Document::parse(json_text("{'nbf':1000,'exp':2000}"));
  ASSERT_TRUE(document.has_value());
  const Principal principal{.issuer = {},
                            .tenant = {},
                            .subject = {},
                            .proof = Proof::jwt,
                            .session = {},
                            .not_before = 940,
                            .expires = 2000};
  const auto at = [&](UnixSeconds now) {
    const auto one = check_time(principal, now);
    const auto other = check_time(document->root(), now);
    EXPECT_EQ(one.has_value(), other.has_value());
    return one ? "ok" : std::string(name(one.error().code));
  };
  EXPECT_EQ(at(939), "token_not_yet_valid");
  EXPECT_EQ(at(940), "ok");
  EXPECT_EQ(at(1999), "ok");
  EXPECT_EQ(at(2000), "token_expired");
  EXPECT_EQ(at(2001), "token_expired");

  auto broken = json::Document::parse(json_text("{'nbf':'1000','exp':2000}"));
  ASSERT_TRUE(broken.has_value());
  EXPECT_EQ(describe(check_time(broken->root(), 1500).error()), "token_claims nbf");
}

TEST(Grant, IsAnErrorWhereItCannotBeRelied) {
  EXPECT_EQ(grant_outcome(",'atr':{'toolsInScope':['bank/*']}"), "ok");
  EXPECT_EQ(grant_outcome(""), "grant_missing /atr");
  EXPECT_EQ(grant_outcome(",'atr':null"), "grant_missing /atr");
  EXPECT_EQ(grant_outcome(",'atr':[]"), "grant_invalid /atr");
  EXPECT_EQ(grant_outcome(",'atr':'bank/*'"), "grant_invalid /atr");
  EXPECT_EQ(grant_outcome(",'atr':{'toolsInScope':7}"), "grant_invalid /atr/toolsInScope");
  EXPECT_EQ(grant_outcome(",'atr':{'budget':{'maxUsd':4}}"),
            "grant_unsupported /atr/budget/maxUsd");
  for (const std::string claim : {"cnf", "may_act"}) {
    const std::string atr = ",'atr':{'toolsInScope':['bank/*']},'" + claim + "':";
    EXPECT_EQ(grant_outcome(atr + "null"), "ok");
    const std::string refused = "grant_unsupported /" + claim;
    for (const std::string_view value : {"{}", "[]", "''", "0", "false"}) {
      EXPECT_EQ(grant_outcome(atr + std::string(value)), refused);
    }
  }
}

TEST(Grant, IsOfTheSubjectThatItNames) {
  EXPECT_EQ(grant_outcome(",'atr':{'sub':'s'}"), "ok");
  EXPECT_EQ(grant_outcome(",'atr':{'actorId':'s'}"), "ok");
  EXPECT_EQ(grant_outcome(",'atr':{'sub':'t'}"), "grant_invalid /atr");
  EXPECT_EQ(grant_outcome(",'atr':{'actorId':'S'}"), "grant_invalid /atr");
  EXPECT_EQ(grant_outcome(",'atr':{'sub':''}"), "grant_invalid /atr/sub");
  EXPECT_EQ(grant_outcome(",'act':{'sub':'a'},'atr':{'sub':'a'}"), "grant_invalid /atr")
      << "the actor is not the subject";
}

TEST(Grant, NarrowsTheTimesOfItsToken) {
  const auto bounds = [](std::string_view atr, std::string_view act = "null") {
    const auto who =
        read("{'iss':'i','sub':'s','jti':'j','exp':5000,'nbf':1000,'act':" + std::string(act) +
             ",'atr':" + std::string(atr) + "}");
    EXPECT_TRUE(who.has_value() && who->grant.has_value()) << atr;
    return std::pair(who->principal.not_before, who->principal.expires);
  };
  using Bounds = std::pair<UnixSeconds, UnixSeconds>;
  EXPECT_EQ(bounds("{}"), Bounds(940, 5000));
  EXPECT_EQ(bounds("{'issuedAt':2000,'expiresAt':4000}"), Bounds(1940, 4000));
  EXPECT_EQ(bounds("{'issuedAt':0,'expiresAt':9000}"), Bounds(940, 5000)) << "never widens";
  EXPECT_EQ(bounds("{'expiresAt':4000}", "{'sub':'a','atr':{'issuedAt':2000,'expiresAt':3000}}"),
            Bounds(1940, 3000));
  EXPECT_EQ(bounds("{'issuedAt':3000}", "{'sub':'a','atr':{'issuedAt':2000,'expiresAt':4500}}"),
            Bounds(2940, 4500));
}

// What the actors are, or what the grant is where it is an error.
std::string actor_outcome(const std::string& act, Proof proof = Proof::jwt) {
  const auto who = read("{" + std::string(kGood) + ",'act':" + act + ",'atr':{}}", proof);
  if (!who) return "no principal: " + describe(who.error());
  std::string out;
  for (const std::string& actor : who->principal.actors) out += "<" + actor + ">";
  return who->grant ? out : describe(who->grant.error());
}

std::string nested(std::size_t depth) {
  std::string out;
  for (std::size_t i = 0; i < depth; ++i) out += "{'sub':'a','act':";
  return out.append("null").append(depth, '}');
}

TEST(Actors, AreNamedFromTheCurrentOneInwards) {
  EXPECT_EQ(actor_outcome("null"), "");
  EXPECT_EQ(actor_outcome("{'sub':'agent-7'}"), "<agent-7>");
  EXPECT_EQ(actor_outcome("{'sub':'agent-7','iss':'https://i.example','client_id':'c','azp':'c',"
                          "'act':{'sub':'agent-3'}}"),
            "<https://i.example|agent-7><agent-3>");
  EXPECT_EQ(actor_outcome("{'sub':'a','act':null,'atr':null}"), "<a>");
  EXPECT_EQ(actor_outcome("{'sub':'a'}", Proof::replay), "<a>");
  EXPECT_EQ(actor_outcome(nested(8)), "<a><a><a><a><a><a><a><a>");
}

TEST(Actors, ThatCannotBeReadAllowNothing) {
  std::string deep;
  for (int i = 0; i < 9; ++i) deep += "/act";
  EXPECT_EQ(actor_outcome(nested(9)), "grant_unsupported " + deep);
  for (const std::string_view act : {"[]", "''", "0", "false", "'agent-7'", "[{'sub':'a'}]"}) {
    EXPECT_EQ(actor_outcome(std::string(act)), "grant_invalid /act") << act;
  }
  EXPECT_EQ(actor_outcome("{}"), "grant_invalid /act/sub");
  EXPECT_EQ(actor_outcome("{'iss':'i'}"), "grant_invalid /act/sub");
  EXPECT_EQ(actor_outcome("{'sub':'a','act':{'sub':''}}"), "grant_invalid /act/act/sub");
  EXPECT_EQ(actor_outcome("{'sub':'a\\nb'}"), "grant_invalid /act/sub");
  for (const std::string name : {"iss", "client_id", "azp"}) {
    EXPECT_EQ(actor_outcome("{'sub':'a','" + name + "':7}"), "grant_invalid /act/" + name);
    EXPECT_EQ(actor_outcome("{'sub':'a','" + name + "':null}"), "grant_invalid /act/" + name);
  }
  for (const std::string name : {"aud", "exp", "nbf", "iat", "cnf", "may_act", "scope", "role"}) {
    EXPECT_EQ(actor_outcome("{'sub':'a','" + name + "':null}"), "grant_unsupported /act/" + name);
  }
  EXPECT_EQ(actor_outcome("{'sub':'a','atr':7}"), "grant_invalid /act/atr");
  EXPECT_EQ(actor_outcome("{'sub':'a','atr':{'scope':7}}"), "grant_invalid /act/atr/scope");
  EXPECT_EQ(actor_outcome("{'sub':'a','act':{'sub':'b','atr':{'x':1}}}"),
            "grant_unsupported /act/act/atr/x");
  EXPECT_EQ(actor_outcome("{'sub':'a','atr':{'sub':'b'}}"), "grant_invalid /act/atr");
  EXPECT_EQ(actor_outcome("{'sub':'a','atr':{'sub':'s'},'act':{'sub':'b','atr':{'sub':'a'}}}"),
            "<a><b>");
  EXPECT_EQ(actor_outcome("{'sub':'a','atr':{'tenantId':'t'}}"), "grant_invalid /atr/tenantId");
  EXPECT_EQ(actor_outcome("{'sub':'a'}", Proof::local_grant), "grant_unsupported /act");
}

TEST(Actors, OfAMalformedChainAreNone) {
  const auto who = read("{" + std::string(kGood) + ",'act':{'sub':'a','act':7},'atr':{}}");
  const auto alone = read("{" + std::string(kGood) + ",'atr':{}}");
  ASSERT_TRUE(who && alone);
  EXPECT_FALSE(who->grant.has_value());
  EXPECT_TRUE(who->principal.actors.empty());
  EXPECT_EQ(who->principal.session, alone->principal.session);
}

// The token's grant, then those of the actors from the outermost inwards: all of them must allow.
TEST(Actors, PassOnNoMoreThanEachOfThemHas) {
  const auto reason = [](std::string_view own, std::string_view outer, std::string_view inner) {
    const auto globs = [](std::string_view glob) {
      return "'atr':{'toolsInScope':['" + std::string(glob) + "']}";
    };
    const auto who =
        read("{" + std::string(kGood) + "," + globs(own) + ",'act':{'sub':'a'," + globs(outer) +
             ",'act':{'sub':'b','act':{'sub':'c'," + globs(inner) + "}}}}");
    EXPECT_TRUE(who.has_value() && who->grant.has_value());
    const grant::RoleTable no_roles{grant::RolesDoNotRestrict{}};
    return std::string(
        (*who->grant)
            ->evaluate_tool(
                no_roles, {.upstream = "bank", .tool = "send", .vertical = grant::kSharedVertical})
            .reason_name());
  };
  EXPECT_EQ(reason("bank/*", "*/*", "bank/send"), "ok");
  EXPECT_EQ(reason("mail/*", "*/*", "*/*"), "tool_not_in_scope");
  EXPECT_EQ(reason("*/*", "mail/*", "*/*"), "tool_not_in_scope");
  EXPECT_EQ(reason("*/*", "*/*", "mail/*"), "tool_not_in_scope");
}

TEST(Session, DiffersByItsActors) {
  const auto with = [](std::string_view act) {
    return session("i", "s", "{}", "'jti':'j','exp':1800000600,'act':" + std::string(act));
  };
  const std::set<std::string> all = {
      with("null"),
      with("{'sub':'a'}"),
      with("{'sub':'b'}"),
      with("{'sub':'a','act':{'sub':'b'}}"),
      with("{'sub':'b','act':{'sub':'a'}}"),
      with("{'sub':'a','act':{'sub':'b','act':{'sub':'c'}}}"),
      with("{'sub':'b','iss':'a'}"),
      with("{'sub':'a|b'}"),
  };
  EXPECT_EQ(all.size(), 8U);
  EXPECT_EQ(with("null"), session("i", "s", "{}"));
  EXPECT_EQ(with("{'sub':'a'}"), with("{'sub':'a','client_id':'c','atr':{'toolsInScope':[]}}"));
}

TEST(Session, StaysWithTheTaskWhateverTheToken) {
  const std::string_view atr = "{'tenantId':'t','task':{'id':'t-1'}}";
  const std::string first = session("i", "s", atr);
  EXPECT_EQ(first, session("i", "s", atr, "'jti':'other','iat':1800000000,'exp':1800009999"));
  EXPECT_EQ(first,
            session("i", "s", "{'task':{'id':'t-1'},'toolsInScope':['bank/*'],'tenantId':'t'}"))
      << "a narrower grant for the same task sheds nothing";
  EXPECT_EQ(first, session("i", "s", "{'tenantId':'t','task':{'id':'t-1'},'sessionId':'x'}"))
      << "the task decides where there is one";
  EXPECT_EQ(first.size(), 64U);
}

TEST(Session, DiffersByEachPart) {
  const std::set<std::string> all = {
      session("i", "s", "{'tenantId':'t','task':{'id':'1'}}"),
      session("j", "s", "{'tenantId':'t','task':{'id':'1'}}"),
      session("i", "r", "{'tenantId':'t','task':{'id':'1'}}"),
      session("i", "s", "{'tenantId':'u','task':{'id':'1'}}"),
      session("i", "s", "{'tenantId':'t','task':{'id':'2'}}"),
      session("i", "s", "{'tenantId':'t','sessionId':'1'}"),
      session("i", "s", "{'tenantId':'t'}"),
      session("i", "s", "{}"),
      // The same letters, cut elsewhere.
      session("ab", "c", "{}"),
      session("a", "bc", "{}"),
      session("a", "b", "{'tenantId':'c'}"),
      session("a", "c", "{'tenantId':'b'}"),
  };
  EXPECT_EQ(all.size(), 12U);
}

// The bytes that are hashed, written out: a session must not change with a new version of this
// program.
TEST(Session, IsTheHashOfItsFieldsWithTheirLengths) {
  const auto field = [](const std::string& text) {
    return std::string(7, '\0') + static_cast<char>(text.size()) + text;
  };
  const std::string bytes = field("zwinger session 1") + field("i") + field("t") + field("s") +
                            field("task") + field("t-1");
  EXPECT_EQ(session("i", "s", "{'tenantId':'t','task':{'id':'t-1'}}"), crypto::sha256_hex(bytes));
  EXPECT_EQ(session("i", "s", "{'tenantId':'t','task':{'id':'t-1'}}",
                    "'jti':'j','exp':1,'act':{'sub':'a','act':{'iss':'j','sub':'b'}}"),
            crypto::sha256_hex(bytes + field("") + field("a") + field("j") + field("b")));
}

TEST(Session, OfABrokenGrantIsThatOfThePrincipal) {
  const auto broken = read("{" + std::string(kGood) + ",'atr':{'tenantId':'t','scope':7}}");
  const auto none = read("{" + std::string(kGood) + "}");
  ASSERT_TRUE(broken && none);
  EXPECT_EQ(broken->principal.tenant, "");
  EXPECT_EQ(broken->principal.session, none->principal.session);
}

class LocalGrantTest : public testing::Test {
 protected:
  LocalGrantTest() {
    std::string name = (fs::temp_directory_path() / "zwinger_grant_XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  LocalGrantTest(const LocalGrantTest&) = delete;
  LocalGrantTest& operator=(const LocalGrantTest&) = delete;
  ~LocalGrantTest() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  [[nodiscard]] std::string path() const { return (folder_ / "grant.json").string(); }

  std::string load(std::string_view text, mode_t mode = 0600) {
    EXPECT_TRUE(write_file_atomically(path(), json_text(text), mode).has_value());
    return load_existing();
  }
  // Code and place, the folder's name cut off.
  std::string load_existing() {
    last_ = load_local_grant(path(), kNow);
    if (last_) return "ok";
    EXPECT_NE(last_.error().message.find("zwinger init --allow GLOB"), std::string::npos);
    EXPECT_EQ(last_.error().where.rfind(path(), 0), 0U);
    return std::string(name(last_.error().code)) + last_.error().where.substr(path().size());
  }

  fs::path folder_;
  Result<std::shared_ptr<const Authenticated>> last_;
};

TEST_F(LocalGrantTest, IsReadFromAPrivateFile) {
  ASSERT_EQ(load("{'sub':'alice','exp':1800000001,'atr':{'tenantId':'t','toolsInScope':['fs/*']}}"),
            "ok");
  const Authenticated& who = **last_;
  EXPECT_EQ(who.principal.issuer, "");
  EXPECT_EQ(who.principal.subject, "alice");
  EXPECT_EQ(who.principal.tenant, "t");
  EXPECT_EQ(who.principal.proof, Proof::local_grant);
  EXPECT_EQ(who.principal.expires, 1800000001);
  EXPECT_TRUE(who.grant.has_value());
}

TEST_F(LocalGrantTest, MustBeThereAndPrivate) {
  const std::string_view good = "{'sub':'s','exp':1800000001,'atr':{}}";
  EXPECT_EQ(load_existing(), "grant_file");
  EXPECT_EQ(load(good, 0644), "grant_file");
  EXPECT_EQ(load(good, 0660), "grant_file");
  EXPECT_EQ(load(good, 0600), "ok");
  fs::rename(path(), folder_ / "elsewhere");
  fs::create_symlink(folder_ / "elsewhere", path());
  EXPECT_EQ(load_existing(), "grant_file");
  fs::remove(path());
  fs::create_directory(path());
  EXPECT_EQ(load_existing(), "grant_file");
}

TEST_F(LocalGrantTest, MustBeInTimeAndHoldNothingElse) {
  EXPECT_EQ(load("{'sub':'s','exp':1800000000,'atr':{}}"), "grant_expired: exp");
  EXPECT_EQ(load("{'sub':'s','atr':{}}"), "token_claims: exp");
  EXPECT_EQ(load("{'exp':1800000001,'atr':{}}"), "token_claims: sub");
  EXPECT_EQ(load("[]"), "grant_file");
  EXPECT_EQ(load("{'sub':'s','sub':'t','exp':1800000001}").substr(0, 18), "json_duplicate_key");
  EXPECT_EQ(load("{'sub':'s',").substr(0, 11), "json_syntax");
  EXPECT_EQ(load(std::string(65537, ' ')), "grant_file");
  for (const std::string extra : {"iss", "aud", "jti", "nbf", "iat", "cnf", "act", "note"}) {
    EXPECT_EQ(load("{'sub':'s','exp':1800000001,'atr':{},'" + extra + "':null}"),
              "grant_unsupported: /" + extra);
  }
}

TEST_F(LocalGrantTest, KnowsThePrincipalOfABrokenGrant) {
  ASSERT_EQ(load("{'sub':'s','exp':1800000001}"), "ok");
  EXPECT_EQ((*last_)->grant.error().code, Code::grant_missing);
  ASSERT_EQ(load("{'sub':'s','exp':1800000001,'atr':{'scope':7}}"), "ok");
  EXPECT_EQ(describe((*last_)->grant.error()), "grant_invalid /atr/scope");
}

TEST(Proof, HasStableNames) {
  EXPECT_EQ(to_string(Proof::jwt), "jwt");
  EXPECT_EQ(to_string(Proof::local_grant), "local_grant");
  EXPECT_EQ(to_string(Proof::replay), "replay");
}

}  // namespace
}  // namespace zwinger::identity
