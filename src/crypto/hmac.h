// HMAC-SHA-256 (RFC 2104, FIPS 198-1) over OpenSSL 3, to tell equal values apart from unequal ones
// without keeping them. It signs no tokens: JOSE's HMAC algorithms stay without representation.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "crypto/hash.h"

namespace zwinger::crypto {

// A key that is ready for use. mac() is for one thread at a time; a copy costs about as much as two
// mac() of a short message, and copying one object is safe from many threads while nobody calls
// its mac(). Ends the program where OpenSSL has no HMAC, as sha256() does.
class HmacSha256 {
 public:
  explicit HmacSha256(std::string_view key);  // of any length, binary
  HmacSha256(const HmacSha256& other);
  HmacSha256& operator=(const HmacSha256& other);
  HmacSha256(HmacSha256&&) noexcept;
  HmacSha256& operator=(HmacSha256&&) noexcept;
  ~HmacSha256();

  [[nodiscard]] Sha256 mac(std::string_view message);

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// The 32 bytes, binary. For a key that is used once; any thread.
[[nodiscard]] std::string hmac_sha256(std::string_view key, std::string_view message);

}  // namespace zwinger::crypto
