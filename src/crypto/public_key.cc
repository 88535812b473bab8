#include <openssl/core_names.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <tuple>
#include <utility>

#include "crypto/jose.h"
#include "crypto/openssl.h"
#include "text/encoding.h"

namespace zwinger::crypto {

struct PublicKey::Impl {
  std::string id;
  Algorithm algorithm;
  Key key;
};

namespace {

std::unexpected<Error> invalid(std::string message, std::string where = {}) {
  return fail(Code::jwks_invalid, std::move(message), std::move(where));
}

// Every private or symmetric member of RFC 7518 section 6 and RFC 8037 section 2.
constexpr std::array<std::string_view, 8> kPrivateMembers = {"d",  "p",  "q",   "dp",
                                                             "dq", "qi", "oth", "k"};

constexpr std::size_t kCoordinateBytes = 32;  // of P-256, and of an Ed25519 point
constexpr int kMinRsaBits = 2048;
constexpr int kMaxRsaBits = 8192;  // bounds what one verification costs
constexpr std::size_t kMaxExponentBytes = 8;

// The order of P-256 (FIPS 186-5, SP 800-186 section 3.2.1.3), big-endian.
constexpr std::array<unsigned char, kCoordinateBytes> kP256Order = {
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};

// A member that must be a string where it is present.
Result<std::optional<std::string_view>> optional_text(json::Value jwk, std::string_view name) {
  const auto member = jwk.find(name);
  if (!member) return std::nullopt;
  if (!member->is_string()) return invalid("must be a string", "/" + std::string(name));
  return member->string();
}

Result<std::string> required_octets(json::Value jwk, std::string_view name) {
  ZWINGER_TRY(const auto text, optional_text(jwk, name));
  if (!text) return invalid("the key lacks this member", "/" + std::string(name));
  auto bytes = text::base64url_decode(*text);
  if (!bytes || bytes->empty()) {
    return invalid("must be base64url without padding, and not empty", "/" + std::string(name));
  }
  return *std::move(bytes);
}

Result<std::string> required_coordinate(json::Value jwk, std::string_view name) {
  ZWINGER_TRY(std::string bytes, required_octets(jwk, name));
  if (bytes.size() != kCoordinateBytes) {
    return invalid("must hold exactly 32 bytes", "/" + std::string(name));
  }
  return bytes;
}

// A Base64urlUInt (RFC 7518 section 2): no leading zero byte.
Result<std::string> required_unsigned(json::Value jwk, std::string_view name) {
  ZWINGER_TRY(std::string bytes, required_octets(jwk, name));
  if (bytes.front() == '\0') {
    return invalid("must not begin with a zero byte", "/" + std::string(name));
  }
  return bytes;
}

Key make_key(const char* type, OSSL_PARAM* params) {
  const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
    return nullptr;
  }
  return Key(key);
}

Result<Key> rsa_key(json::Value jwk) {
  ZWINGER_TRY(const std::string n, required_unsigned(jwk, "n"));
  ZWINGER_TRY(const std::string e, required_unsigned(jwk, "e"));
  const auto is_odd = [](const std::string& bytes) {
    return (static_cast<unsigned char>(bytes.back()) & 1U) != 0;
  };
  if (n.size() > kMaxRsaBits / 8) return invalid("RSA keys have at most 8192 bits", "/n");
  if (!is_odd(n)) return invalid("an RSA modulus is odd", "/n");
  if (e.size() > kMaxExponentBytes) return invalid("an RSA exponent has at most 64 bits", "/e");
  if (!is_odd(e) || e == "\x01") return invalid("an RSA exponent is odd and at least 3", "/e");

  const BigNumber modulus(BN_bin2bn(octets(n), static_cast<int>(n.size()), nullptr));
  const BigNumber exponent(BN_bin2bn(octets(e), static_cast<int>(e.size()), nullptr));
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  if (!modulus || !exponent || !builder) return fail(Code::crypto, "out of memory");
  if (BN_num_bits(modulus.get()) < kMinRsaBits) {
    return invalid("RSA keys have at least 2048 bits", "/n");
  }
  if (OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get()) != 1) {
    return fail(Code::crypto, "out of memory");
  }
  const Params params(OSSL_PARAM_BLD_to_param(builder.get()));
  Key key = params ? make_key("RSA", params.get()) : nullptr;
  if (!key) return invalid("this is no RSA public key");
  return key;
}

Result<Key> p256_key(json::Value jwk) {
  ZWINGER_TRY(const std::string x, required_coordinate(jwk, "x"));
  ZWINGER_TRY(const std::string y, required_coordinate(jwk, "y"));
  std::string point = "\x04" + x + y;  // uncompressed, SEC 1 section 2.3.3
  std::string group = "prime256v1";
  std::array<OSSL_PARAM, 3> params = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()),
      OSSL_PARAM_construct_end()};
  Key key = make_key("EC", params.data());
  const KeyContext context(key ? EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr) : nullptr);
  if (!context || EVP_PKEY_public_check(context.get()) != 1) {
    return invalid("the point (x, y) is not on the curve P-256");
  }
  return key;
}

Result<Key> ed25519_key(json::Value jwk) {
  ZWINGER_TRY(const std::string x, required_coordinate(jwk, "x"));
  Key key(EVP_PKEY_new_raw_public_key_ex(nullptr, "ED25519", nullptr, octets(x), x.size()));
  if (!key) return invalid("this is no Ed25519 public key", "/x");
  return key;
}

// Whether "use" and "key_ops" (RFC 7517 sections 4.2, 4.3) let the key verify signatures.
Result<bool> may_verify(json::Value jwk) {
  ZWINGER_TRY(const auto use, optional_text(jwk, "use"));
  bool allowed = !use || *use == "sig";
  if (const auto operations = jwk.find("key_ops")) {
    if (!operations->is_array()) return invalid("must be an array of strings", "/key_ops");
    bool listed = false;
    for (const json::Value operation : operations->children()) {
      if (!operation.is_string()) return invalid("must be an array of strings", "/key_ops");
      listed = listed || operation.string() == "verify";
    }
    allowed = allowed && listed;
  }
  return allowed;
}

// The algorithm that kty and crv stand for; nothing for kinds that are not ours.
Result<std::optional<Algorithm>> algorithm_of(json::Value jwk) {
  ZWINGER_TRY(const auto kty, optional_text(jwk, "kty"));
  if (!kty) return invalid("the key lacks this member", "/kty");
  std::optional<Algorithm> algorithm;
  if (*kty == "RSA") {
    algorithm = Algorithm::rs256;
  } else if (*kty == "EC" || *kty == "OKP") {
    ZWINGER_TRY(const auto crv, optional_text(jwk, "crv"));
    if (!crv) return invalid("the key lacks this member", "/crv");
    if (*kty == "EC" && *crv == "P-256") algorithm = Algorithm::es256;
    if (*kty == "OKP" && *crv == "Ed25519") algorithm = Algorithm::eddsa;
  }
  ZWINGER_TRY(const auto alg, optional_text(jwk, "alg"));
  if (!algorithm || !alg) return algorithm;
  const auto stated = parse_algorithm(*alg);
  if (!stated) return std::nullopt;
  if (stated != algorithm) return invalid("'alg' does not fit the kind of key", "/alg");
  return algorithm;
}

Result<Key> decode_key(json::Value jwk, Algorithm algorithm) {
  const ErrorQueueGuard guard;
  switch (algorithm) {
    case Algorithm::rs256:
      return rsa_key(jwk);
    case Algorithm::es256:
      return p256_key(jwk);
    case Algorithm::eddsa:
      return ed25519_key(jwk);
  }
  return fail(Code::internal, "unknown algorithm");
}

// R||S (RFC 7518 section 3.4) as the DER that OpenSSL takes; empty for what is no pair of numbers
// in [1, order - 1].
std::string ecdsa_der(std::string_view raw) {
  if (raw.size() != 2 * kCoordinateBytes) return {};
  const auto number = [&](std::size_t offset) {
    const std::string_view part = raw.substr(offset, kCoordinateBytes);
    const bool in_range = part.find_first_not_of('\0') != std::string_view::npos &&
                          std::memcmp(part.data(), kP256Order.data(), kCoordinateBytes) < 0;
    return BigNumber(in_range ? BN_bin2bn(octets(part), kCoordinateBytes, nullptr) : nullptr);
  };
  BigNumber r = number(0);
  BigNumber s = number(kCoordinateBytes);
  const EcdsaSignature signature(ECDSA_SIG_new());
  if (!r || !s || !signature) return {};
  if (ECDSA_SIG_set0(signature.get(), r.get(), s.get()) != 1) return {};
  std::ignore = r.release();  // the signature owns both now
  std::ignore = s.release();
  unsigned char* der = nullptr;
  const int length = i2d_ECDSA_SIG(signature.get(), &der);
  if (length <= 0) return {};
  std::string out(reinterpret_cast<const char*>(der), static_cast<std::size_t>(length));
  OPENSSL_free(der);
  return out;
}

}  // namespace

PublicKey::PublicKey(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PublicKey::PublicKey(PublicKey&&) noexcept = default;
PublicKey& PublicKey::operator=(PublicKey&&) noexcept = default;
PublicKey::~PublicKey() = default;

Result<std::optional<PublicKey>> PublicKey::decode(json::Value jwk) {
  if (!jwk.is_object()) return invalid("a key must be a JSON object");
  for (const std::string_view name : kPrivateMembers) {
    if (jwk.find(name)) {
      return invalid(
          "this is a private or symmetric key; put only its public half here, and replace the key, "
          "since it has been exposed",
          "/" + std::string(name));
    }
  }
  ZWINGER_TRY(const auto id, optional_text(jwk, "kid"));
  if (id && id->empty()) return invalid("must not be empty", "/kid");
  ZWINGER_TRY(const bool ours, may_verify(jwk));
  ZWINGER_TRY(const auto algorithm, algorithm_of(jwk));
  if (!ours || !algorithm) return std::nullopt;
  ZWINGER_TRY(Key key, decode_key(jwk, *algorithm));
  return PublicKey(std::make_unique<Impl>(
      Impl{.id = std::string(id.value_or("")), .algorithm = *algorithm, .key = std::move(key)}));
}

Result<PublicKey> PublicKey::from_jwk(json::Value jwk) {
  ZWINGER_TRY(auto key, decode(jwk));
  if (!key) {
    return invalid("only RS256, ES256 and EdDSA (Ed25519) keys for verifying signatures are used");
  }
  return *std::move(key);
}

const std::string& PublicKey::id() const { return impl_->id; }
Algorithm PublicKey::algorithm() const { return impl_->algorithm; }

bool PublicKey::verify(std::string_view message, std::string_view signature) const {
  const ErrorQueueGuard guard;
  std::string der;
  if (impl_->algorithm == Algorithm::es256) {
    der = ecdsa_der(signature);
    if (der.empty()) return false;
    signature = der;
  }
  const char* digest = impl_->algorithm == Algorithm::eddsa ? nullptr : "SHA256";
  const DigestContext context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* parameters = nullptr;  // owned by context
  if (!context || EVP_DigestVerifyInit_ex(context.get(), &parameters, digest, nullptr, nullptr,
                                          impl_->key.get(), nullptr) != 1) {
    return false;
  }
  // RS256 is PKCS #1 v1.5 (RFC 7518 section 3.3), whatever OpenSSL's default is.
  if (impl_->algorithm == Algorithm::rs256 &&
      EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PADDING) != 1) {
    return false;
  }
  return EVP_DigestVerify(context.get(), octets(signature), signature.size(), octets(message),
                          message.size()) == 1;
}

Result<KeySet> KeySet::parse(std::string text) {
  static constexpr json::Limits kLimits = {
      .max_bytes = std::size_t{1} << 20U, .max_depth = 16, .max_values = 1U << 16U};
  ZWINGER_TRY(const json::Document document, json::Document::parse(std::move(text), kLimits));
  const auto list = document.root().find("keys");
  if (!list || !list->is_array()) return invalid("a key set is {\"keys\": [...]}", "/keys");
  KeySet set;
  std::size_t index = 0;
  for (const json::Value jwk : list->children()) {
    const std::string where = "/keys/" + std::to_string(index++);
    auto decoded = PublicKey::decode(jwk);
    if (!decoded) {
      Error error = std::move(decoded).error();
      error.where = where + error.where;
      return std::unexpected(std::move(error));
    }
    std::optional<PublicKey> key = *std::move(decoded);
    if (!key) continue;
    const bool twice = std::ranges::any_of(set.keys, [&](const PublicKey& other) {
      return other.id() == key->id() && other.algorithm() == key->algorithm();
    });
    if (twice) return invalid("two keys of one algorithm have the same 'kid', or none", where);
    set.keys.push_back(*std::move(key));
  }
  if (set.keys.empty()) return invalid("the set holds no key for RS256, ES256 or EdDSA", "/keys");
  return set;
}

}  // namespace zwinger::crypto
