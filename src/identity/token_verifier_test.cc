#include "identity/token_verifier.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "crypto/jose.h"
#include "text/encoding.h"

namespace zwinger::identity {
namespace {

using crypto::Algorithm;
using crypto::SigningKey;

constexpr UnixSeconds kNow = 1800000000;

std::string json_text(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c == '\'') c = '"';
  }
  return out;
}

std::string claims(std::string_view issuer, std::string_view jti, UnixSeconds exp,
                   std::string_view subject = "alice") {
  return json_text("{'iss':'" + std::string(issuer) + "','aud':'zwinger','sub':'" +
                   std::string(subject) + "','jti':'" + std::string(jti) + "','exp':" +
                   std::to_string(exp) + ",'atr':{'tenantId':'acme','toolsInScope':['bank/*']}}");
}

std::string outcome(const Result<std::shared_ptr<const Authenticated>>& who) {
  return who ? "ok" : std::string(name(who.error().code));
}

// One issuer "i" with one Ed25519 key "k".
class TokenVerifierTest : public testing::Test {
 protected:
  static Issuer issuer(const SigningKey& key, std::string name) {
    return {.issuer = std::move(name),
            .audience = "zwinger",
            .algorithms = {key.algorithm()},
            .keys = crypto::KeySet::parse("{\"keys\":[" + key.public_jwk().value() + "]}").value()};
  }
  static std::vector<Issuer> list(Issuer one) {
    std::vector<Issuer> all;
    all.push_back(std::move(one));
    return all;
  }
  std::string token(std::string_view jti, UnixSeconds exp = kNow + 600) {
    return key_.sign_jwt(claims("i", jti, exp)).value();
  }

  SigningKey key_ = SigningKey::generate(Algorithm::eddsa, "k").value();
};

TEST_F(TokenVerifierTest, TellsWhoAsksWithWhichGrant) {
  TokenVerifier verifier(list(issuer(key_, "i")));
  const auto who = verifier.verify(token("1"), kNow);
  ASSERT_EQ(outcome(who), "ok");
  const Principal& principal = (*who)->principal;
  EXPECT_EQ(principal.issuer, "i");
  EXPECT_EQ(principal.tenant, "acme");
  EXPECT_EQ(principal.subject, "alice");
  EXPECT_EQ(principal.proof, Proof::jwt);
  EXPECT_EQ(principal.expires, kNow + 600);
  ASSERT_TRUE((*who)->grant.has_value());
  EXPECT_EQ((*(*who)->grant)->tenant(), "acme");
}

TEST_F(TokenVerifierTest, EveryChangedByteIsRefused) {
  TokenVerifier verifier(list(issuer(key_, "i")));
  const std::string good = token("1");
  ASSERT_EQ(outcome(verifier.verify(good, kNow)), "ok");
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const char c : {'A', 'z', '_', '.', '=', ' ', '\0'}) {
      if (good[i] == c) continue;
      std::string changed = good;
      changed[i] = c;
      ASSERT_NE(outcome(verifier.verify(changed, kNow)), "ok") << "byte " << i;
    }
    std::string shorter = good;
    shorter.erase(i, 1);
    ASSERT_NE(outcome(verifier.verify(shorter, kNow)), "ok") << "without byte " << i;
  }
  EXPECT_EQ(verifier.cached(), 1U);
}

TEST_F(TokenVerifierTest, IssuersDoNotShareKeys) {
  const SigningKey other = SigningKey::generate(Algorithm::eddsa, "k").value();  // the same kid
  std::vector<Issuer> both = list(issuer(key_, "i"));
  both.push_back(issuer(other, "j"));
  TokenVerifier verifier(std::move(both));
  const auto from = [&](const SigningKey& key, std::string_view name) {
    return outcome(verifier.verify(key.sign_jwt(claims(name, "1", kNow + 600)).value(), kNow));
  };
  EXPECT_EQ(from(key_, "i"), "ok");
  EXPECT_EQ(from(other, "j"), "ok");
  EXPECT_EQ(from(key_, "j"), "token_signature");
  EXPECT_EQ(from(other, "i"), "token_signature");
  EXPECT_EQ(from(key_, "k"), "token_issuer");
}

TEST_F(TokenVerifierTest, NothingConfiguredMeansNothingAccepted) {
  TokenVerifier nobody({});
  EXPECT_EQ(outcome(nobody.verify(token("1"), kNow)), "token_issuer");
  Issuer unpinned = issuer(key_, "i");
  unpinned.algorithms.clear();
  TokenVerifier nothing_pinned(list(std::move(unpinned)));
  EXPECT_EQ(outcome(nothing_pinned.verify(token("1"), kNow)), "token_algorithm");
}

TEST_F(TokenVerifierTest, IssuerAndPayloadMustHaveTheirShape) {
  TokenVerifier verifier(list(issuer(key_, "i")));
  const auto payload = [&](std::string_view text) {
    return outcome(verifier.verify(key_.sign_jwt(json_text(text)).value(), kNow));
  };
  EXPECT_EQ(payload(""), "token_malformed");
  EXPECT_EQ(payload("[]"), "token_malformed");
  EXPECT_EQ(payload("{} {}"), "token_malformed");
  EXPECT_EQ(payload("{'iss':'i','atr':{'a':1,'a':2}}"), "token_malformed")
      << "duplicates at any depth";
  EXPECT_EQ(payload("{}"), "token_claims");
  EXPECT_EQ(payload("{'iss':['i']}"), "token_claims");
  EXPECT_EQ(payload("{'iss':'i','aud':7}"), "token_claims");
  EXPECT_EQ(payload("{'iss':'i','aud':['zwinger',7]}"), "token_claims");
  EXPECT_EQ(payload("{'iss':'i','aud':{'a':'zwinger'}}"), "token_claims");
  EXPECT_EQ(payload("{'iss':'i','aud':[['zwinger']]}"), "token_claims");
  EXPECT_EQ(payload("{'iss':'i','aud':[]}"), "token_audience");
}

TEST_F(TokenVerifierTest, RemembersATokenUntilItExpires) {
  TokenVerifier verifier(list(issuer(key_, "i")));
  const std::string text = token("1", kNow + 600);
  const auto first = verifier.verify(text, kNow);
  ASSERT_EQ(outcome(first), "ok");
  const auto second = verifier.verify(text, kNow + 599);
  ASSERT_EQ(outcome(second), "ok");
  EXPECT_EQ(first->get(), second->get()) << "the same object, not a second verification";
  EXPECT_EQ(verifier.cached(), 1U);
  EXPECT_EQ(outcome(verifier.verify(text, kNow + 600)), "token_expired");
  EXPECT_EQ(verifier.cached(), 0U);
  EXPECT_EQ(outcome(verifier.verify(text, kNow + 600)), "token_expired");
  EXPECT_EQ(verifier.cached(), 0U) << "what has expired is not taken in again";
}

TEST_F(TokenVerifierTest, ComparesBothEndsOfTheTimeOnAHit) {
  TokenVerifier verifier(list(issuer(key_, "i")));
  std::string payload = claims("i", "1", kNow + 600);
  payload.insert(1, "\"nbf\":" + std::to_string(kNow) + ",");
  const std::string text = key_.sign_jwt(payload).value();
  ASSERT_EQ(outcome(verifier.verify(text, kNow)), "ok");
  EXPECT_EQ(outcome(verifier.verify(text, kNow - 61)), "token_not_yet_valid");
  EXPECT_EQ(outcome(verifier.verify(text, kNow - 60)), "ok");
}

TEST_F(TokenVerifierTest, TheCacheIsBounded) {
  TokenVerifier verifier(list(issuer(key_, "i")), 2);
  const std::string brief = token("brief", kNow + 10);
  const std::string old = token("old");
  const std::string young = token("young");
  const std::string last = token("last");
  const auto get = [&](const std::string& text, UnixSeconds now) {
    auto who = verifier.verify(text, now);
    EXPECT_EQ(outcome(who), "ok");
    return *who;
  };
  const auto old_object = get(old, kNow);
  (void)get(brief, kNow);
  EXPECT_EQ(verifier.cached(), 2U);
  // What has expired goes first, though it came later.
  const auto young_object = get(young, kNow + 10);
  EXPECT_EQ(verifier.cached(), 2U);
  EXPECT_EQ(get(old, kNow + 10), old_object);
  EXPECT_EQ(get(young, kNow + 10), young_object);
  // Nothing has expired: the oldest goes.
  const auto last_object = get(last, kNow + 10);
  EXPECT_EQ(verifier.cached(), 2U);
  EXPECT_EQ(get(young, kNow + 10), young_object);
  EXPECT_EQ(get(last, kNow + 10), last_object);
  EXPECT_NE(get(old, kNow + 10), old_object);
}

TEST_F(TokenVerifierTest, NoCacheIsPossible) {
  TokenVerifier verifier(list(issuer(key_, "i")), 0);
  EXPECT_EQ(outcome(verifier.verify(token("1"), kNow)), "ok");
  EXPECT_EQ(verifier.cached(), 0U);
}

TEST_F(TokenVerifierTest, MayBeUsedFromManyThreads) {
  TokenVerifier verifier(list(issuer(key_, "i")), 4);
  const SigningKey stranger = SigningKey::generate(Algorithm::eddsa, "k").value();
  std::vector<std::string> good(8);
  for (std::string& one : good) one = token(std::to_string(&one - good.data()));
  const std::string bad = stranger.sign_jwt(claims("i", "1", kNow + 600)).value();
  const std::string expired = token("x", kNow);
  std::vector<int> wrong(4, 0);
  {
    std::vector<std::jthread> threads;
    threads.reserve(wrong.size());
    for (int& count : wrong) {
      threads.emplace_back([&] {
        for (int i = 0; i < 100; ++i) {
          for (const std::string& one : good) count += outcome(verifier.verify(one, kNow)) != "ok";
          count += outcome(verifier.verify(bad, kNow)) != "token_signature";
          count += outcome(verifier.verify(expired, kNow)) != "token_expired";
        }
      });
    }
  }
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
  EXPECT_EQ(verifier.cached(), 4U);
}

TEST(BearerToken, TakesExactlyOneToken) {
  const auto token = [](std::string_view text) {
    const auto result = bearer_token(text);
    return result ? std::string(*result) : std::string(name(result.error().code));
  };
  EXPECT_EQ(token("Bearer abc.def-_~+/=="), "abc.def-_~+/==");
  EXPECT_EQ(token("bEARER abc"), "abc");
  EXPECT_EQ(token("Bearer   abc"), "abc");
  EXPECT_EQ(token(""), "token_missing");
  EXPECT_EQ(token("Basic YTpi"), "token_missing");
  EXPECT_EQ(token("Bearerabc"), "token_missing");
  EXPECT_EQ(token("Bearer\tabc"), "token_missing");
  EXPECT_EQ(token(" Bearer abc"), "token_missing");
  EXPECT_EQ(token("Bearer"), "token_malformed");
  EXPECT_EQ(token("Bearer  "), "token_malformed");
  EXPECT_EQ(token("Bearer =="), "token_malformed");
  EXPECT_EQ(token("Bearer a=b"), "token_malformed");
  EXPECT_EQ(token("Bearer abc "), "token_malformed");
  EXPECT_EQ(token("Bearer abc def"), "token_malformed");
  EXPECT_EQ(token("Bearer abc, Bearer def"), "token_malformed");
  EXPECT_EQ(token("Bearer \"abc\""), "token_malformed");
  EXPECT_EQ(token("Bearer ab\xc3\xa9"), "token_malformed");
  EXPECT_EQ(token(std::string_view("Bearer ab\0c", 11)), "token_malformed");
}

}  // namespace
}  // namespace zwinger::identity
