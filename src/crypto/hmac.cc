#include "crypto/hmac.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <array>
#include <cstdlib>
#include <utility>

#include "crypto/openssl.h"

namespace zwinger::crypto {

namespace {

using MacContext = std::unique_ptr<EVP_MAC_CTX, FreeWith<EVP_MAC_CTX_free>>;

void require(bool condition) {
  if (!condition) std::abort();
}

// HMAC with SHA-256 chosen and an empty key, to be copied. Fetched once: fetching by name takes
// locks and costs more than many MACs. Immutable, and lives as long as the program. It has a key
// because OpenSSL copies no context without one.
const EVP_MAC_CTX* prototype() {
  static const EVP_MAC_CTX* const context = [] {
    EVP_MAC* algorithm = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    require(algorithm != nullptr);
    EVP_MAC_CTX* made = EVP_MAC_CTX_new(algorithm);
    EVP_MAC_free(algorithm);  // the context holds it
    std::array<char, 7> digest{"SHA256"};
    const std::array<OSSL_PARAM, 2> params = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), 0),
        OSSL_PARAM_construct_end()};
    require(made != nullptr && EVP_MAC_init(made, octets(""), 0, params.data()) == 1);
    return made;
  }();
  return context;
}

MacContext copy_of(const EVP_MAC_CTX* context) {
  MacContext copy(EVP_MAC_CTX_dup(context));
  require(copy != nullptr);
  return copy;
}

}  // namespace

struct HmacSha256::Context {
  MacContext mac;
};

HmacSha256::HmacSha256(std::string_view key)
    : context_(std::make_unique<Context>(copy_of(prototype()))) {
  // A null pointer would mean: keep the key that is there.
  const unsigned char* bytes = key.empty() ? octets("") : octets(key);
  require(EVP_MAC_init(context_->mac.get(), bytes, key.size(), nullptr) == 1);
}

HmacSha256::HmacSha256(const HmacSha256& other)
    : context_(std::make_unique<Context>(copy_of(other.context_->mac.get()))) {}

HmacSha256& HmacSha256::operator=(const HmacSha256& other) {
  if (this != &other) *this = HmacSha256(other);
  return *this;
}

HmacSha256::HmacSha256(HmacSha256&&) noexcept = default;
HmacSha256& HmacSha256::operator=(HmacSha256&&) noexcept = default;
HmacSha256::~HmacSha256() = default;

Sha256 HmacSha256::mac(std::string_view message) {
  Sha256 out{};
  std::size_t size = 0;
  EVP_MAC_CTX* context = context_->mac.get();
  require(EVP_MAC_init(context, nullptr, 0, nullptr) == 1 &&  // the same key from the start
          EVP_MAC_update(context, octets(message), message.size()) == 1 &&
          EVP_MAC_final(context, out.data(), &size, out.size()) == 1 && size == out.size());
  return out;
}

std::string hmac_sha256(std::string_view key, std::string_view message) {
  const Sha256 mac = HmacSha256(key).mac(message);
  return {mac.begin(), mac.end()};
}

}  // namespace zwinger::crypto
