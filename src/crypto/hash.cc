#include "crypto/hash.h"

#include <openssl/crypto.h>

#include <cstdlib>

#include "crypto/openssl.h"
#include "text/encoding.h"

namespace zwinger::crypto {

namespace {

// Fetched once: a fetch by name takes locks and costs more than hashing a short message. The
// algorithm is immutable and lives as long as the program.
const EVP_MD* sha256_algorithm() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return algorithm;
}

}  // namespace

Sha256 sha256(std::string_view bytes) {
  Sha256 digest{};
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, sha256_algorithm(), nullptr) !=
      1) {
    std::abort();
  }
  return digest;
}

std::string sha256_hex(std::string_view bytes) {
  const Sha256 digest = sha256(bytes);
  return text::hex_encode({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

bool equal_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace zwinger::crypto
