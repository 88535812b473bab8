// Runs the folders under golden/. Their README says what each file holds.
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "crypto/jose.h"
#include "identity/token_verifier.h"
#include "text/encoding.h"

namespace zwinger::identity {
namespace {

namespace fs = std::filesystem;
using crypto::Algorithm;

constexpr std::size_t kMaxFileBytes = 65536;

std::string read(const fs::path& path) {
  auto text = read_file(path, kMaxFileBytes);
  EXPECT_TRUE(text.has_value()) << path;
  return text.value_or("");
}

json::Document read_json(const fs::path& path) {
  auto document = json::Document::parse(read(path));
  EXPECT_TRUE(document.has_value()) << path << ": " << document.error().to_string();
  return *std::move(document);
}

std::string text_member(const json::Document& document, std::string_view name) {
  const auto member = document.root().find(name);
  return member && member->is_string() ? std::string(member->string()) : "";
}

std::optional<UnixSeconds> time_member(const json::Document& document, std::string_view name) {
  const auto member = document.root().find(name);
  return member ? member->integer() : std::nullopt;
}

// The public half of a PEM private key, as the PEM an issuer would publish.
std::string public_pem(const std::string& private_pem) {
  BIO* in = BIO_new_mem_buf(private_pem.data(), static_cast<int>(private_pem.size()));
  EVP_PKEY* key = PEM_read_bio_PrivateKey(in, nullptr, nullptr, nullptr);
  BIO* out = BIO_new(BIO_s_mem());
  EXPECT_EQ(PEM_write_bio_PUBKEY(out, key), 1);
  char* data = nullptr;
  const auto length = BIO_get_mem_data(out, &data);
  std::string pem(data, static_cast<std::size_t>(length));
  BIO_free_all(in);
  BIO_free_all(out);
  EVP_PKEY_free(key);
  return pem;
}

std::string hmac_sha256(const std::string& secret, const std::string& message) {
  std::string mac(32, '\0');
  unsigned length = 0;
  EXPECT_NE(HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
                 reinterpret_cast<const unsigned char*>(message.data()), message.size(),
                 reinterpret_cast<unsigned char*>(mac.data()), &length),
            nullptr);
  return mac;
}

// R||S as SEQUENCE { INTEGER, INTEGER }.
std::string der_of(const std::string& raw) {
  std::string body;
  for (std::string number : {raw.substr(0, 32), raw.substr(32)}) {
    number.erase(0, std::min(number.find_first_not_of('\0'), number.size() - 1));
    if ((static_cast<unsigned char>(number[0]) & 0x80U) != 0) number.insert(0, 1, '\0');
    body += '\x02';
    body += static_cast<char>(number.size());
    body += number;
  }
  return std::string("\x30") + static_cast<char>(body.size()) + body;
}

class Golden : public testing::TestWithParam<std::string> {
 public:
  static void SetUpTestSuite() {
    for (const auto& [id, algorithm] :
         std::map<std::string, Algorithm>{{"rs-1", Algorithm::rs256},
                                          {"es-1", Algorithm::es256},
                                          {"ed-1", Algorithm::eddsa},
                                          {"rs-2", Algorithm::rs256},
                                          {"ed-2", Algorithm::eddsa},
                                          {"es-3", Algorithm::es256},
                                          {"es-4", Algorithm::es256},
                                          {"stranger-rs", Algorithm::rs256},
                                          {"stranger-es", Algorithm::es256}}) {
      auto key = crypto::SigningKey::generate(algorithm, id);
      ASSERT_TRUE(key.has_value());
      keys.emplace(id, *std::move(key));
    }
  }
  static void TearDownTestSuite() { keys.clear(); }

 protected:
  static Issuer issuer(std::string name, std::vector<Algorithm> algorithms,
                       const std::vector<std::string>& key_ids) {
    std::string set;
    for (const std::string& id : key_ids) {
      set += (set.empty() ? "" : ",") + keys.at(id).public_jwk().value();
    }
    return {.issuer = std::move(name),
            .audience = "zwinger",
            .algorithms = std::move(algorithms),
            .keys = crypto::KeySet::parse("{\"keys\":[" + set + "]}").value()};
  }

  static std::vector<Issuer> issuers() {
    std::vector<Issuer> all;
    all.push_back(issuer("https://issuer.example",
                         {Algorithm::rs256, Algorithm::es256, Algorithm::eddsa},
                         {"rs-1", "es-1", "ed-1"}));
    all.push_back(issuer("https://other.example", {Algorithm::rs256}, {"rs-2", "ed-2"}));
    all.push_back(issuer("https://rotating.example", {Algorithm::es256}, {"es-3", "es-4"}));
    return all;
  }

  static std::string sign(std::string_view how, const std::string& message) {
    if (how == "nothing") return "";
    if (how == "hmac-with-public-pem-of-rs-1") {
      return hmac_sha256(public_pem(keys.at("rs-1").to_pem().value()), message);
    }
    return keys.at(std::string(how)).sign(message).value();
  }

  static std::string build(std::string_view key, std::string_view change, const std::string& header,
                           const std::string& payload) {
    std::string first = text::base64url_encode(header);
    std::string second = text::base64url_encode(payload);
    std::string signature = sign(key, first + "." + second);
    if (change == "payload") {
      std::string other = payload;
      other.replace(other.find("alice"), 5, "admin");
      second = text::base64url_encode(other);
    } else if (change == "header") {
      first = text::base64url_encode(header + " ");
    } else if (change == "signature") {
      signature.back() = static_cast<char>(signature.back() ^ 1);
    } else if (change == "der") {
      signature = der_of(signature);
    } else if (change == "line-break") {
      second.insert(second.size() / 2, "\n");
    } else if (change != "padding" && change != "fourth-part" && !change.empty()) {
      ADD_FAILURE() << "unknown change: " << change;
    }
    std::string token = first + "." + second + "." + text::base64url_encode(signature);
    if (change == "padding") token += "=";
    if (change == "fourth-part") token += ".AAAA";
    return token;
  }

  static inline std::map<std::string, crypto::SigningKey, std::less<>> keys;
};

fs::path golden_folder() { return fs::path(ZWINGER_SOURCE_DIR) / "src/identity/golden"; }

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(golden_folder())) {
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

std::string reason_of(const Result<std::shared_ptr<const Authenticated>>& who) {
  if (!who) return std::string(name(who.error().code));
  if (!(*who)->grant) return std::string(name((*who)->grant.error().code));
  return "ok";
}

TEST_P(Golden, Case) {
  const fs::path folder = golden_folder() / GetParam();
  EXPECT_FALSE(read(folder / "README.md").empty());
  const json::Document how = read_json(folder / "how.json");
  const json::Document expected = read_json(folder / "expected.json");
  const std::string token = build(text_member(how, "sign"), text_member(how, "change"),
                                  read(folder / "header.json"), read(folder / "payload.json"));

  TokenVerifier verifier(issuers());
  if (const auto seen_at = time_member(how, "seen_at")) {
    EXPECT_EQ(reason_of(verifier.verify(token, *seen_at)), "ok");
    EXPECT_EQ(verifier.cached(), 1U);
  }
  const auto who = verifier.verify(token, time_member(how, "now").value_or(0));
  const std::string reason = reason_of(who);
  EXPECT_EQ(reason, text_member(expected, "reason")) << (who ? "" : who.error().to_string());
  EXPECT_EQ(reason == "ok" ? "allow" : "deny", text_member(expected, "verdict"));
  if (who) {
    EXPECT_EQ((*who)->principal.subject, "alice");
    if (const auto actors = expected.root().find("actors")) {
      std::vector<std::string> wanted;
      for (const json::Value actor : actors->children()) wanted.emplace_back(actor.string());
      EXPECT_EQ((*who)->principal.actors, wanted);
    }
  } else {
    EXPECT_EQ(verifier.cached(), 0U) << "a refusal must not be remembered";
  }
}

INSTANTIATE_TEST_SUITE_P(Tokens, Golden, testing::ValuesIn(cases()), [](const auto& info) {
  std::string name = info.param;
  std::ranges::replace(name, '-', '_');
  return name;
});

TEST(GoldenFolder, IsComplete) { EXPECT_GE(cases().size(), 78U); }

}  // namespace
}  // namespace zwinger::identity
