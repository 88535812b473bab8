#include "crypto/jose.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>

#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "crypto/openssl.h"
#include "text/encoding.h"

namespace zwinger::crypto {
namespace {

// Keys and signatures of RFC 7515 appendices A.2.1 and A.3.1, and RFC 8037 appendices A.2 and A.4.
constexpr std::string_view kRsaN =
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-"
    "4qPCJrcS2mJPMEzP1Pt0Bm4d4Ql"
    "L-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-"
    "bSf63kpaSHSXndS5z5rexMdbBYUsLA"
    "9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-"
    "DWNmoudF8NA"
    "co9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
constexpr std::string_view kEcX = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
constexpr std::string_view kEcY = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
constexpr std::string_view kEdX = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
constexpr std::string_view kClaims =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlf"
    "Q";
constexpr std::string_view kRsaSignature =
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_"
    "O8W2Fp5jujGbd"
    "s9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_"
    "nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0Gar"
    "ZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-"
    "eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9"
    "Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
constexpr std::string_view kEcSignature =
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
constexpr std::string_view kEdSignature =
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

// JSON with ' for ", so that tests stay readable.
std::string json_text(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c == '\'') c = '"';
  }
  return out;
}

std::string rsa_jwk(std::string_view extra = "", std::string_view n = kRsaN,
                    std::string_view e = "AQAB") {
  return json_text("{'kty':'RSA','n':'" + std::string(n) + "','e':'" + std::string(e) + "'" +
                   std::string(extra) + "}");
}

std::string ec_jwk(std::string_view extra = "", std::string_view x = kEcX,
                   std::string_view y = kEcY) {
  return json_text("{'kty':'EC','crv':'P-256','x':'" + std::string(x) + "','y':'" + std::string(y) +
                   "'" + std::string(extra) + "}");
}

std::string ed_jwk(std::string_view extra = "", std::string_view x = kEdX) {
  return json_text("{'kty':'OKP','crv':'Ed25519','x':'" + std::string(x) + "'" +
                   std::string(extra) + "}");
}

Result<PublicKey> read_key(const std::string& jwk) {
  auto document = json::Document::parse(jwk);
  EXPECT_TRUE(document.has_value()) << jwk;
  return PublicKey::from_jwk(document->root());
}

PublicKey must_read_key(const std::string& jwk) {
  auto key = read_key(jwk);
  EXPECT_TRUE(key.has_value()) << key.error().to_string();
  return *std::move(key);
}

Result<KeySet> read_set(const std::string& keys) {
  return KeySet::parse("{\"keys\":[" + keys + "]}");
}

// The code's name and the place, "ok" for success: what a failing test should print.
template <class T>
std::string outcome(const Result<T>& result) {
  if (result) return "ok";
  return std::string(name(result.error().code)) +
         (result.error().where.empty() ? "" : " " + result.error().where);
}

std::string compact(std::string_view header, std::string_view payload = "{}",
                    std::string_view signature = "s") {
  return text::base64url_encode(json_text(header)) + "." + text::base64url_encode(payload) + "." +
         text::base64url_encode(signature);
}

std::string header_outcome(std::string_view header) { return outcome(Jws::parse(compact(header))); }

std::string decoded(std::string_view text) { return text::base64url_decode(text).value_or("?"); }

std::string big_endian(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    out += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return out;
}

std::string pem_of(const Key& key, std::string pass_phrase) {
  const Bio bio(BIO_new(BIO_s_mem()));
  const EVP_CIPHER* cipher = pass_phrase.empty() ? nullptr : EVP_aes_128_cbc();
  EXPECT_EQ(PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), cipher, pass_phrase.data(),
                                          static_cast<int>(pass_phrase.size()), nullptr, nullptr),
            1);
  char* data = nullptr;
  const auto length = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(length)};
}

TEST(Algorithm, HasThreeSpellingsAndNoOther) {
  for (const Algorithm algorithm : {Algorithm::rs256, Algorithm::es256, Algorithm::eddsa}) {
    EXPECT_EQ(parse_algorithm(to_string(algorithm)), algorithm);
  }
  EXPECT_EQ(parse_algorithm("RS256"), Algorithm::rs256);
  EXPECT_EQ(parse_algorithm("ES256"), Algorithm::es256);
  EXPECT_EQ(parse_algorithm("EdDSA"), Algorithm::eddsa);
  for (const std::string_view text : {"none", "None", "nOnE", "", "HS256", "rs256", "RS256 ",
                                      "RS512", "PS256", "ES384", "EDDSA", "Ed25519"}) {
    EXPECT_EQ(parse_algorithm(text), std::nullopt) << text;
  }
}

TEST(PublicKey, VerifiesThePublishedSignatures) {
  struct Vector {
    std::string jwk;
    std::string header;
    std::string payload;
    std::string_view signature;
    Algorithm algorithm;
  };
  const std::vector<Vector> vectors = {
      {rsa_jwk(), "eyJhbGciOiJSUzI1NiJ9", std::string(kClaims), kRsaSignature, Algorithm::rs256},
      {ec_jwk(), "eyJhbGciOiJFUzI1NiJ9", std::string(kClaims), kEcSignature, Algorithm::es256},
      {ed_jwk(), "eyJhbGciOiJFZERTQSJ9", "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc", kEdSignature,
       Algorithm::eddsa},
  };
  for (const Vector& vector : vectors) {
    const PublicKey key = must_read_key(vector.jwk);
    EXPECT_EQ(key.algorithm(), vector.algorithm);
    EXPECT_EQ(key.id(), "");
    auto jws =
        Jws::parse(vector.header + "." + vector.payload + "." + std::string(vector.signature));
    ASSERT_TRUE(jws.has_value()) << jws.error().to_string();
    EXPECT_EQ(jws->algorithm, to_string(vector.algorithm));
    EXPECT_EQ(jws->payload, decoded(vector.payload));
    EXPECT_EQ(jws->signing_input, vector.header + "." + vector.payload);
    EXPECT_TRUE(key.verify(jws->signing_input, jws->signature));

    EXPECT_FALSE(key.verify(jws->signing_input + "x", jws->signature));
    EXPECT_FALSE(key.verify("", jws->signature));
    for (std::size_t i = 0; i < jws->signature.size(); ++i) {
      std::string wrong = jws->signature;
      wrong[i] = static_cast<char>(wrong[i] ^ 1);
      ASSERT_FALSE(key.verify(jws->signing_input, wrong)) << "byte " << i;
    }
    EXPECT_FALSE(key.verify(jws->signing_input, ""));
    EXPECT_FALSE(key.verify(jws->signing_input, jws->signature + '\0'));
    EXPECT_FALSE(key.verify(jws->signing_input, '\0' + jws->signature));
    EXPECT_FALSE(key.verify(jws->signing_input, std::string_view(jws->signature).substr(1)));
    EXPECT_EQ(ERR_peek_error(), 0U) << "a refusal must not stay in OpenSSL's error queue";
  }
}

// RFC 7518 section 3.4: exactly R||S. OpenSSL's own form, DER, must not be a second spelling of it.
TEST(PublicKey, TakesEs256OnlyAsTwoNumbersInRange) {
  const PublicKey key = must_read_key(ec_jwk());
  const std::string message = "eyJhbGciOiJFUzI1NiJ9." + std::string(kClaims);
  const std::string raw = decoded(kEcSignature);
  const std::string r = raw.substr(0, 32);
  const std::string s = raw.substr(32);
  ASSERT_TRUE(key.verify(message, r + s));

  const std::string zero(32, '\0');
  const std::string order =
      big_endian("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
  EXPECT_FALSE(key.verify(message, zero + zero));
  EXPECT_FALSE(key.verify(message, zero + s));
  EXPECT_FALSE(key.verify(message, r + zero));
  EXPECT_FALSE(key.verify(message, order + s));
  EXPECT_FALSE(key.verify(message, r + order));
  EXPECT_FALSE(key.verify(message, std::string(64, '\xff')));
  EXPECT_FALSE(key.verify(message, s + r));
  // DER of the same pair: R begins with 0x0e, so 32 bytes; S with 0xc5, so 33 with its sign byte.
  const std::string der =
      std::string("\x30\x45\x02\x20", 4) + r + std::string("\x02\x21\x00", 3) + s;
  EXPECT_FALSE(key.verify(message, der));
}

TEST(PublicKey, DoesNotTakeAnotherKeysSignature) {
  const std::string message = "message";
  auto ours = SigningKey::generate(Algorithm::es256, "a");
  auto theirs = SigningKey::generate(Algorithm::es256, "a");
  ASSERT_TRUE(ours && theirs);
  const PublicKey key = must_read_key(ours->public_jwk().value());
  EXPECT_TRUE(key.verify(message, ours->sign(message).value()));
  EXPECT_FALSE(key.verify(message, theirs->sign(message).value()));
}

TEST(PublicKey, MayBeUsedFromManyThreads) {
  const PublicKey key = must_read_key(ec_jwk());
  const std::string message = "eyJhbGciOiJFUzI1NiJ9." + std::string(kClaims);
  const std::string good = decoded(kEcSignature);
  std::string bad = good;
  bad[5] = static_cast<char>(bad[5] ^ 0x10);
  std::vector<int> wrong(4, 0);
  {
    std::vector<std::jthread> threads;
    threads.reserve(wrong.size());
    for (int& count : wrong) {
      threads.emplace_back([&] {
        for (int i = 0; i < 50; ++i) {
          count += key.verify(message, good) ? 0 : 1;
          count += key.verify(message, bad) ? 1 : 0;
        }
      });
    }
  }
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST(Jwk, TakesWhatFits) {
  EXPECT_EQ(outcome(read_key(rsa_jwk(",'alg':'RS256','use':'sig','kid':'k1'"))), "ok");
  EXPECT_EQ(outcome(read_key(ec_jwk(",'alg':'ES256','key_ops':['verify']"))), "ok");
  EXPECT_EQ(outcome(read_key(ed_jwk(",'alg':'EdDSA','key_ops':['sign','verify'],'x5t':'x'"))),
            "ok");
  EXPECT_EQ(outcome(read_key(rsa_jwk("", kRsaN, "Aw"))), "ok") << "the exponent 3";
  EXPECT_EQ(must_read_key(rsa_jwk(",'kid':'k1'")).id(), "k1");
}

TEST(Jwk, RefusesWhatDoesNotFit) {
  EXPECT_EQ(outcome(read_key("[]")), "jwks_invalid");
  EXPECT_EQ(outcome(read_key("{}")), "jwks_invalid /kty");
  EXPECT_EQ(outcome(read_key(json_text("{'kty':1}"))), "jwks_invalid /kty");
  EXPECT_EQ(outcome(read_key(json_text("{'kty':'EC'}"))), "jwks_invalid /crv");
  EXPECT_EQ(outcome(read_key(json_text("{'kty':'oct','alg':'RS256'}"))), "jwks_invalid");
  EXPECT_EQ(outcome(read_key(json_text("{'kty':'rsa','n':'AQAB','e':'AQAB'}"))), "jwks_invalid");

  for (const std::string_view alg : {"ES256", "EdDSA"}) {
    EXPECT_EQ(outcome(read_key(rsa_jwk(",'alg':'" + std::string(alg) + "'"))), "jwks_invalid /alg");
  }
  EXPECT_EQ(outcome(read_key(ec_jwk(",'alg':'RS256'"))), "jwks_invalid /alg");
  EXPECT_EQ(outcome(read_key(ec_jwk(",'alg':'EdDSA'"))), "jwks_invalid /alg");
  EXPECT_EQ(outcome(read_key(ed_jwk(",'alg':'ES256'"))), "jwks_invalid /alg");
  EXPECT_EQ(outcome(read_key(ec_jwk(",'alg':7"))), "jwks_invalid /alg");
  for (const std::string_view alg : {"none", "HS256", "RS512", "PS256", "RSA-OAEP", "rs256", ""}) {
    EXPECT_EQ(outcome(read_key(rsa_jwk(",'alg':'" + std::string(alg) + "'"))), "jwks_invalid")
        << alg;
  }

  EXPECT_EQ(outcome(read_key(rsa_jwk(",'use':'enc'"))), "jwks_invalid");
  EXPECT_EQ(outcome(read_key(rsa_jwk(",'use':null"))), "jwks_invalid /use");
  EXPECT_EQ(outcome(read_key(rsa_jwk(",'key_ops':['encrypt']"))), "jwks_invalid");
  EXPECT_EQ(outcome(read_key(rsa_jwk(",'key_ops':[]"))), "jwks_invalid");
  EXPECT_EQ(outcome(read_key(rsa_jwk(",'key_ops':'verify'"))), "jwks_invalid /key_ops");
  EXPECT_EQ(outcome(read_key(rsa_jwk(",'key_ops':['verify',1]"))), "jwks_invalid /key_ops");
  EXPECT_EQ(outcome(read_key(rsa_jwk(",'use':'enc','key_ops':['verify']"))), "jwks_invalid");
  EXPECT_EQ(outcome(read_key(rsa_jwk(",'kid':7"))), "jwks_invalid /kid");
  EXPECT_EQ(outcome(read_key(rsa_jwk(",'kid':''"))), "jwks_invalid /kid");
}

TEST(Jwk, RefusesWeakOrOddlyWrittenRsa) {
  EXPECT_EQ(outcome(read_key(json_text("{'kty':'RSA','e':'AQAB'}"))), "jwks_invalid /n");
  EXPECT_EQ(outcome(read_key(json_text("{'kty':'RSA','n':'" + std::string(kRsaN) + "'}"))),
            "jwks_invalid /e");
  const auto with_n = [](const std::string& bytes) {
    return outcome(read_key(rsa_jwk("", text::base64url_encode(bytes))));
  };
  EXPECT_EQ(with_n("\x80" + std::string(254, '\0') + "\x01"), "ok") << "2048 bits";
  EXPECT_EQ(with_n("\x7f" + std::string(255, '\xff')), "jwks_invalid /n") << "2047 bits";
  EXPECT_EQ(with_n("\xff" + std::string(127, '\xff')), "jwks_invalid /n") << "1024 bits";
  EXPECT_EQ(with_n("\x80" + std::string(1022, '\0') + "\x01"), "ok") << "8192 bits";
  EXPECT_EQ(with_n("\x01" + std::string(1023, '\0') + "\x01"), "jwks_invalid /n") << "8193 bits";
  EXPECT_EQ(with_n("\x80" + std::string(255, '\0')), "jwks_invalid /n") << "even";
  EXPECT_EQ(with_n('\0' + decoded(kRsaN)), "jwks_invalid /n") << "leading zero byte";
  EXPECT_EQ(outcome(read_key(rsa_jwk("", ""))), "jwks_invalid /n");
  EXPECT_EQ(outcome(read_key(rsa_jwk("", std::string(kRsaN) + "="))), "jwks_invalid /n");

  const auto with_e = [](const std::string& bytes) {
    return outcome(read_key(rsa_jwk("", kRsaN, text::base64url_encode(bytes))));
  };
  EXPECT_EQ(with_e("\x01"), "jwks_invalid /e") << "with exponent 1 anybody can sign";
  EXPECT_EQ(with_e("\x02"), "jwks_invalid /e");
  EXPECT_EQ(with_e(std::string("\x01\0\0", 3)), "jwks_invalid /e");
  EXPECT_EQ(with_e(std::string("\0\x03", 2)), "jwks_invalid /e");
  EXPECT_EQ(with_e(std::string("\0", 1)), "jwks_invalid /e");
  EXPECT_EQ(with_e(std::string(8, '\xff')), "ok");
  EXPECT_EQ(with_e(std::string(9, '\xff')), "jwks_invalid /e");
}

TEST(Jwk, RefusesPointsThatAreNone) {
  std::string y = decoded(kEcY);
  y.back() = static_cast<char>(y.back() ^ 1);
  EXPECT_EQ(outcome(read_key(ec_jwk("", kEcX, text::base64url_encode(y)))), "jwks_invalid");
  EXPECT_EQ(outcome(read_key(ec_jwk("", kEcY, kEcX))), "jwks_invalid");
  const std::string zero = text::base64url_encode(std::string(32, '\0'));
  EXPECT_EQ(outcome(read_key(ec_jwk("", zero, zero))), "jwks_invalid");
  const std::string ones = text::base64url_encode(std::string(32, '\xff'));
  EXPECT_EQ(outcome(read_key(ec_jwk("", ones, ones))), "jwks_invalid");
  const std::string longer = text::base64url_encode('\0' + decoded(kEcX));
  EXPECT_EQ(outcome(read_key(ec_jwk("", longer, kEcY))), "jwks_invalid /x");
  const std::string shorter = text::base64url_encode(decoded(kEcX).substr(1));
  EXPECT_EQ(outcome(read_key(ec_jwk("", shorter, kEcY))), "jwks_invalid /x");
  EXPECT_EQ(outcome(read_key(ed_jwk("", shorter))), "jwks_invalid /x");
  EXPECT_EQ(outcome(read_key(ed_jwk("", ""))), "jwks_invalid /x");
}

TEST(Jwk, SaysThatAPrivateKeyWasPastedWithoutRepeatingIt) {
  const std::string secret = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
  for (const std::string_view member : {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}) {
    const std::string extra = ",'" + std::string(member) + "':'" + secret + "'";
    for (const std::string& jwk :
         {rsa_jwk(extra), ec_jwk(extra), ed_jwk(extra), json_text("{'kty':'new'" + extra + "}")}) {
      const auto key = read_key(jwk);
      ASSERT_EQ(outcome(key), "jwks_invalid /" + std::string(member));
      EXPECT_NE(key.error().message.find("private"), std::string::npos);
      EXPECT_EQ(key.error().to_string().find(secret.substr(0, 8)), std::string::npos);
      EXPECT_EQ(outcome(read_set(ed_jwk() + "," + jwk)),
                "jwks_invalid /keys/1/" + std::string(member));
    }
  }
}

TEST(KeySet, SkipsWhatIsNotOursAndKeepsTheRest) {
  const std::string foreign = json_text(
                                  "{'kty':'AKP','alg':'ML-DSA-44','pub':'AA'},"
                                  "{'kty':'EC','crv':'P-384','x':'AA','y':'AA'},"
                                  "{'kty':'OKP','crv':'X25519','x':'AA'},"
                                  "{'kty':'OKP','crv':'Ed448','alg':'EdDSA','x':'AA'},") +
                              rsa_jwk(",'use':'enc','alg':'RSA-OAEP','kid':'enc'") + "," +
                              rsa_jwk(",'alg':'PS256'") + "," + rsa_jwk(",'use':'enc'") + "," +
                              ec_jwk(",'key_ops':['deriveKey']");
  EXPECT_EQ(outcome(read_set(foreign)), "jwks_invalid /keys");
  auto set = read_set(foreign + "," + ec_jwk(",'kid':'one'") + "," + rsa_jwk(",'kid':'one'"));
  ASSERT_TRUE(set.has_value()) << set.error().to_string();
  ASSERT_EQ(set->keys.size(), 2U);
  EXPECT_EQ(set->keys[0].algorithm(), Algorithm::es256);
  EXPECT_EQ(set->keys[1].algorithm(), Algorithm::rs256);
  EXPECT_EQ(set->keys[1].id(), "one");
}

TEST(KeySet, RefusesWhatIsBroken) {
  EXPECT_EQ(outcome(KeySet::parse("")), "json_syntax byte 0");
  EXPECT_EQ(outcome(KeySet::parse("[]")), "jwks_invalid /keys");
  EXPECT_EQ(outcome(KeySet::parse("{}")), "jwks_invalid /keys");
  EXPECT_EQ(outcome(KeySet::parse(json_text("{'keys':{}}"))), "jwks_invalid /keys");
  EXPECT_EQ(outcome(read_set("")), "jwks_invalid /keys");
  EXPECT_EQ(outcome(read_set("null")), "jwks_invalid /keys/0");
  EXPECT_EQ(outcome(read_set(ec_jwk() + "," + rsa_jwk("", "AQAB"))), "jwks_invalid /keys/1/n");
  EXPECT_EQ(
      outcome(KeySet::parse(json_text("{'keys':[],'keys':[") + ec_jwk() + "]}")).substr(0, 18),
      "json_duplicate_key");
}

TEST(KeySet, RefusesKeysThatNothingTellsApart) {
  EXPECT_EQ(outcome(read_set(ec_jwk(",'kid':'a'") + "," + ec_jwk(",'kid':'a'"))),
            "jwks_invalid /keys/1");
  EXPECT_EQ(outcome(read_set(ec_jwk() + "," + ec_jwk())), "jwks_invalid /keys/1");
  EXPECT_EQ(outcome(read_set(ec_jwk(",'kid':'a'") + "," + ec_jwk(",'kid':'b'"))), "ok");
  EXPECT_EQ(outcome(read_set(ec_jwk(",'kid':'a'") + "," + ec_jwk())), "ok");
}

TEST(Jws, KnowsItsShape) {
  EXPECT_EQ(header_outcome("{'alg':'ES256'}"), "ok");
  EXPECT_EQ(header_outcome("{'alg':'none'}"), "ok") << "an algorithm is refused where it is pinned";
  EXPECT_EQ(outcome(Jws::parse(compact("{'alg':'none'}", "{}", ""))), "ok");
  for (const std::string_view text :
       {"", ".", "..", "...", "e30", "e30.e30", "e30.e30.e30.e30", "e30.e30.e30.", ".e30.e30"}) {
    EXPECT_EQ(outcome(Jws::parse(text)), "token_malformed") << text;
  }
  const std::string good = compact("{'alg':'ES256'}", "{\"a\":1}", "signature");
  const auto part = [&](std::size_t index, auto change) {
    std::vector<std::string> parts(3);
    std::size_t at = 0;
    for (const char c : good) {
      if (c == '.') {
        ++at;
      } else {
        parts[at] += c;
      }
    }
    change(parts[index]);
    return outcome(Jws::parse(parts[0] + "." + parts[1] + "." + parts[2]));
  };
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(part(i, [](std::string& text) { text += "="; }), "token_malformed") << i;
    EXPECT_EQ(part(i, [](std::string& text) { text += "=="; }), "token_malformed") << i;
    for (const char c : {'+', '/', '=', ' ', '\n', '\0', '\x80'}) {
      EXPECT_EQ(part(i, [c](std::string& text) { text[2] = c; }), "token_malformed") << i << c;
    }
  }
  // "e30" is "{}"; "e31" decodes to the same bytes but for two bits that must be zero.
  EXPECT_EQ(outcome(Jws::parse(text::base64url_encode(json_text("{'alg':'ES256'}")) + ".e31.e30")),
            "token_malformed");
}

TEST(Jws, HasASizeLimit) {
  const std::string head = text::base64url_encode(json_text("{'alg':'ES256'}")) + ".";
  const auto of_size = [&](std::size_t size) {
    return head + std::string(size - head.size() - 3, 'A') + ".AA";
  };
  // The payload's length must not be 1 modulo 4; at the limit it is 16384 - 21 - 3 = 4 * 4090.
  ASSERT_EQ(head.size(), 21U);
  EXPECT_EQ(outcome(Jws::parse(of_size(16384))), "ok");
  EXPECT_EQ(outcome(Jws::parse(of_size(16387))), "token_malformed");
}

TEST(Jws, RefusesHeadersThatAreNotStrictJson) {
  EXPECT_EQ(header_outcome(""), "token_malformed");
  EXPECT_EQ(header_outcome("[]"), "token_malformed");
  EXPECT_EQ(header_outcome("'ES256'"), "token_malformed");
  EXPECT_EQ(header_outcome("{}"), "token_malformed");
  EXPECT_EQ(header_outcome("{'alg':null}"), "token_malformed");
  EXPECT_EQ(header_outcome("{'alg':['ES256']}"), "token_malformed");
  EXPECT_EQ(header_outcome("{'alg':'ES256'} x"), "token_malformed");
  EXPECT_EQ(header_outcome("{'alg':'none','alg':'ES256'}"), "token_malformed");
  EXPECT_EQ(header_outcome("{'alg':'none','\\u0061lg':'ES256'}"), "token_malformed");
  EXPECT_EQ(header_outcome("{'alg':'ES256','kid':1}"), "token_malformed");
  EXPECT_EQ(header_outcome("{'alg':'ES256','kid':null}"), "token_malformed");
}

TEST(Jws, RefusesHeadersThatBringKeysOrExtensions) {
  for (const std::string_view member :
       {"crit", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "b64", "zip", "enc"}) {
    for (const std::string_view value : {"null", "[]", "'x'", "true", "{}"}) {
      EXPECT_EQ(header_outcome("{'alg':'ES256','" + std::string(member) +
                               "':" + std::string(value) + "}"),
                "token_header " + std::string(member));
    }
  }
  for (const std::string_view typ : {"JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"}) {
    EXPECT_EQ(header_outcome("{'alg':'ES256','typ':'" + std::string(typ) + "'}"), "ok") << typ;
  }
  for (const std::string_view typ :
       {"''", "'JOSE'", "'dpop+jwt'", "'logout+jwt'", "'application/jwt'", "'JWT '", "null", "1"}) {
    EXPECT_EQ(header_outcome("{'alg':'ES256','typ':" + std::string(typ) + "}"), "token_header typ");
  }
}

TEST(SigningKey, SignsWhatItsPublicHalfVerifies) {
  for (const Algorithm algorithm : {Algorithm::rs256, Algorithm::es256, Algorithm::eddsa}) {
    auto made = SigningKey::generate(algorithm, "key \"1\"");
    ASSERT_TRUE(made.has_value());
    const auto pem = made->to_pem();
    ASSERT_TRUE(pem.has_value());
    EXPECT_EQ(pem->rfind("-----BEGIN PRIVATE KEY-----", 0), 0U);
    auto again = SigningKey::from_pem(*pem, "key \"1\"");
    ASSERT_TRUE(again.has_value()) << again.error().to_string();
    EXPECT_EQ(again->algorithm(), algorithm);
    EXPECT_EQ(again->public_jwk().value(), made->public_jwk().value());

    const PublicKey key = must_read_key(made->public_jwk().value());
    EXPECT_EQ(key.algorithm(), algorithm);
    EXPECT_EQ(key.id(), "key \"1\"");
    // ECDSA signatures differ in length as DER: several, so that short numbers are padded too.
    for (int i = 0; i < (algorithm == Algorithm::es256 ? 300 : 3); ++i) {
      auto jws = Jws::parse(again->sign_jwt("{\"n\":" + std::to_string(i) + "}").value());
      ASSERT_TRUE(jws.has_value());
      ASSERT_TRUE(key.verify(jws->signing_input, jws->signature));
      EXPECT_EQ(jws->payload, "{\"n\":" + std::to_string(i) + "}");
      EXPECT_EQ(jws->header.root().source(),
                json_text("{'alg':'" + std::string(to_string(algorithm)) +
                          "','kid':'key \\'1\\'','typ':'JWT'}"));
    }
    EXPECT_EQ(ERR_peek_error(), 0U);
  }
}

TEST(SigningKey, WritesNoKeyIdWhereThereIsNone) {
  auto key = SigningKey::generate(Algorithm::eddsa, "");
  ASSERT_TRUE(key.has_value());
  EXPECT_EQ(key->public_jwk()->find("kid"), std::string::npos);
  EXPECT_EQ(Jws::parse(key->sign_jwt("{}").value())->header.root().source(),
            json_text("{'alg':'EdDSA','typ':'JWT'}"));
}

TEST(SigningKey, RefusesWhatIsNoKeyOfOurs) {
  const Key p384(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-384"));
  const Key rsa1024(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{1024}));
  const Key ed25519(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  const std::string encrypted = pem_of(ed25519, "secret");
  ASSERT_NE(encrypted.find("BEGIN ENCRYPTED"), std::string::npos);
  ASSERT_EQ(outcome(SigningKey::from_pem(pem_of(ed25519, ""), "k")), "ok");
  for (const std::string& pem :
       {std::string(), std::string("nonsense"), pem_of(p384, ""), pem_of(rsa1024, ""), encrypted}) {
    EXPECT_EQ(outcome(SigningKey::from_pem(pem, "k")), "crypto") << pem;
  }
  auto key = SigningKey::generate(Algorithm::eddsa, "k");
  ASSERT_TRUE(key.has_value());
  std::string cut = key->to_pem().value();
  cut.resize(cut.size() / 2);
  EXPECT_EQ(outcome(SigningKey::from_pem(cut, "k")), "crypto");
}

}  // namespace
}  // namespace zwinger::crypto
