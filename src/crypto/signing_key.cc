#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <array>
#include <utility>

#include "crypto/jose.h"
#include "crypto/openssl.h"
#include "json/writer.h"
#include "text/encoding.h"

namespace zwinger::crypto {

struct SigningKey::Impl {
  std::string id;
  Algorithm algorithm;
  Key key;
};

namespace {

constexpr std::size_t kRsaBits = 2048;
constexpr int kCoordinateBytes = 32;

std::unexpected<Error> failed(std::string message) {
  return fail(Code::crypto, std::move(message));
}

// Answers OpenSSL's question for a pass phrase with "there is none", so that it never asks on a
// terminal.
int no_pass_phrase(char* /*out*/, int /*size*/, int /*writing*/, void* /*unused*/) { return -1; }

std::optional<Algorithm> algorithm_of(const EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "RSA") == 1) {
    const int bits = EVP_PKEY_get_bits(key);
    return bits >= 2048 && bits <= 8192 ? std::optional(Algorithm::rs256) : std::nullopt;
  }
  if (EVP_PKEY_is_a(key, "ED25519") == 1) return Algorithm::eddsa;
  if (EVP_PKEY_is_a(key, "EC") == 1) {
    std::array<char, 32> group{};
    std::size_t length = 0;
    if (EVP_PKEY_get_group_name(key, group.data(), group.size(), &length) == 1 &&
        std::string_view(group.data(), length) == "prime256v1") {
      return Algorithm::es256;
    }
  }
  return std::nullopt;
}

// One big-endian number of the key in base64url, padded to `width` bytes; minimal where width is 0.
Result<std::string> number_text(const EVP_PKEY* key, const char* name, int width) {
  BIGNUM* out = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &out) != 1) return failed("the key has no public part");
  const BigNumber number(out);
  std::string bytes(static_cast<std::size_t>(width == 0 ? BN_num_bytes(out) : width), '\0');
  if (BN_bn2binpad(out, reinterpret_cast<unsigned char*>(bytes.data()),
                   static_cast<int>(bytes.size())) < 0) {
    return failed("the key has no public part");
  }
  return text::base64url_encode(bytes);
}

// DER of an ECDSA signature as R||S (RFC 7518 section 3.4).
Result<std::string> ecdsa_raw(std::string_view der) {
  const unsigned char* at = octets(der);
  const EcdsaSignature signature(
      d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));  // NOLINT(google-runtime-int)
  std::string raw(std::size_t{2} * kCoordinateBytes, '\0');
  auto* out = reinterpret_cast<unsigned char*>(raw.data());
  if (!signature || BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), out, kCoordinateBytes) < 0 ||
      BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), out + kCoordinateBytes, kCoordinateBytes) <
          0) {
    return failed("the signature cannot be encoded");
  }
  return raw;
}

}  // namespace

SigningKey::SigningKey(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SigningKey::SigningKey(SigningKey&&) noexcept = default;
SigningKey& SigningKey::operator=(SigningKey&&) noexcept = default;
SigningKey::~SigningKey() = default;

Result<SigningKey> SigningKey::generate(Algorithm algorithm, std::string key_id) {
  const ErrorQueueGuard guard;
  Key key;
  switch (algorithm) {
    case Algorithm::rs256:
      key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", kRsaBits));
      break;
    case Algorithm::es256:
      key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "prime256v1"));
      break;
    case Algorithm::eddsa:
      key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
      break;
  }
  if (!key) return failed("no key could be generated");
  return SigningKey(std::make_unique<Impl>(
      Impl{.id = std::move(key_id), .algorithm = algorithm, .key = std::move(key)}));
}

Result<SigningKey> SigningKey::from_pem(std::string_view pem, std::string key_id) {
  const ErrorQueueGuard guard;
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Key key(bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, no_pass_phrase, nullptr) : nullptr);
  if (!key) return failed("this is no unencrypted private key in PEM");
  const auto algorithm = algorithm_of(key.get());
  if (!algorithm) return failed("only RSA of 2048 to 8192 bits, P-256 and Ed25519 keys can sign");
  return SigningKey(std::make_unique<Impl>(
      Impl{.id = std::move(key_id), .algorithm = *algorithm, .key = std::move(key)}));
}

Algorithm SigningKey::algorithm() const { return impl_->algorithm; }

Result<std::string> SigningKey::to_pem() const {
  const ErrorQueueGuard guard;
  const Bio bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_PKCS8PrivateKey(bio.get(), impl_->key.get(), nullptr, nullptr, 0,
                                            nullptr, nullptr) != 1) {
    return failed("the key cannot be written as PEM");
  }
  char* data = nullptr;
  const auto length = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(length));
}

Result<std::string> SigningKey::public_jwk() const {
  const ErrorQueueGuard guard;
  const EVP_PKEY* key = impl_->key.get();
  json::Writer jwk;
  jwk.begin_object();
  switch (impl_->algorithm) {
    case Algorithm::rs256: {
      ZWINGER_TRY(const std::string n, number_text(key, OSSL_PKEY_PARAM_RSA_N, 0));
      ZWINGER_TRY(const std::string e, number_text(key, OSSL_PKEY_PARAM_RSA_E, 0));
      jwk.key("kty").string("RSA").key("n").string(n).key("e").string(e);
      break;
    }
    case Algorithm::es256: {
      ZWINGER_TRY(const std::string x,
                  number_text(key, OSSL_PKEY_PARAM_EC_PUB_X, kCoordinateBytes));
      ZWINGER_TRY(const std::string y,
                  number_text(key, OSSL_PKEY_PARAM_EC_PUB_Y, kCoordinateBytes));
      jwk.key("kty").string("EC").key("crv").string("P-256");
      jwk.key("x").string(x).key("y").string(y);
      break;
    }
    case Algorithm::eddsa: {
      std::string x(kCoordinateBytes, '\0');
      std::size_t length = x.size();
      if (EVP_PKEY_get_raw_public_key(key, reinterpret_cast<unsigned char*>(x.data()), &length) !=
          1) {
        return failed("the key has no public part");
      }
      jwk.key("kty").string("OKP").key("crv").string("Ed25519");
      jwk.key("x").string(text::base64url_encode(x));
      break;
    }
  }
  jwk.key("alg").string(to_string(impl_->algorithm)).key("use").string("sig");
  if (!impl_->id.empty()) jwk.key("kid").string(impl_->id);
  jwk.end_object();
  return std::move(jwk).take();
}

Result<std::string> SigningKey::sign(std::string_view message) const {
  const ErrorQueueGuard guard;
  const char* digest = impl_->algorithm == Algorithm::eddsa ? nullptr : "SHA256";
  const DigestContext context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* parameters = nullptr;  // owned by context
  std::size_t length = 0;
  if (!context ||
      EVP_DigestSignInit_ex(context.get(), &parameters, digest, nullptr, nullptr, impl_->key.get(),
                            nullptr) != 1 ||
      (impl_->algorithm == Algorithm::rs256 &&
       EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PADDING) != 1) ||
      EVP_DigestSign(context.get(), nullptr, &length, octets(message), message.size()) != 1) {
    return failed("the message cannot be signed");
  }
  std::string signature(length, '\0');  // an upper bound; the second call tells the length
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &length,
                     octets(message), message.size()) != 1) {
    return failed("the message cannot be signed");
  }
  signature.resize(length);
  if (impl_->algorithm == Algorithm::es256) return ecdsa_raw(signature);
  return signature;
}

Result<std::string> SigningKey::sign_jwt(std::string_view payload) const {
  json::Writer header;
  header.begin_object().key("alg").string(to_string(impl_->algorithm));
  if (!impl_->id.empty()) header.key("kid").string(impl_->id);
  header.key("typ").string("JWT").end_object();
  std::string token =
      text::base64url_encode(std::move(header).take()) + "." + text::base64url_encode(payload);
  ZWINGER_TRY(const std::string signature, sign(token));
  return token + "." + text::base64url_encode(signature);
}

}  // namespace zwinger::crypto
