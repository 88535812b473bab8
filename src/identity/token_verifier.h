// Bearer tokens to principals: JWT with a pinned algorithm per issuer (RFC 7519, RFC 8725, RFC 9068
// shape). Thread-safe: the cache has its own lock; keys and configuration never change after
// construction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "crypto/hash.h"
#include "crypto/jose.h"
#include "identity/principal.h"

namespace zwinger::identity {

struct Issuer {
  std::string issuer;    // exact `iss`; unique in a verifier, or the first one counts
  std::string audience;  // must be among `aud`
  std::vector<crypto::Algorithm> algorithms;  // pinned; where it is empty, nothing verifies
  crypto::KeySet keys;
};

class TokenVerifier {
 public:
  // `cache_entries` bounds the cache; 0 means none.
  explicit TokenVerifier(std::vector<Issuer> issuers, std::size_t cache_entries = 4096);

  // `token` is the compact JWT without "Bearer ". A verified token is cached by its SHA-256 until
  // it expires, and then one and the same object is returned for it; time is compared on every
  // call, hit or miss. A full cache drops what has expired, else what it has held longest. Refusals
  // are never cached.
  //
  // In this order (the first that fails is the answer): Jws::parse; strict JSON payload
  // (token_malformed); `iss` configured (token_issuer); `alg` pinned for it (token_algorithm); the
  // key of that issuer with exactly the header's kid and algorithm or, without kid, the issuer's
  // only key of that algorithm (token_unknown_key); signature (token_signature); `aud`, a string or
  // an array of strings, names us (token_audience); read_claims (token_claims); time. A token that
  // verifies but whose grant is malformed gives an Authenticated whose grant is an Error.
  [[nodiscard]] Result<std::shared_ptr<const Authenticated>> verify(std::string_view token,
                                                                    UnixSeconds now);

  [[nodiscard]] std::size_t cached() const;  // entries held now

 private:
  using Who = std::shared_ptr<const Authenticated>;
  struct Entry {
    Who who;
    std::uint64_t order;  // of insertion
  };
  struct HashOfDigest {
    std::size_t operator()(const crypto::Sha256& digest) const noexcept;
  };

  [[nodiscard]] Result<Who> verify_uncached(std::string_view token) const;
  [[nodiscard]] Who remember(const crypto::Sha256& digest, Who who, UnixSeconds now);
  void make_room(UnixSeconds now);  // with mutex_ held

  const std::vector<Issuer> issuers_;
  const std::size_t cache_entries_;
  mutable std::mutex mutex_;  // guards what follows
  std::unordered_map<crypto::Sha256, Entry, HashOfDigest> cache_;
  std::uint64_t next_order_ = 0;
};

// The token of an Authorization header value: "Bearer", spaces, one token68 and nothing else, the
// scheme in any case (RFC 6750 section 2.1, RFC 9110 section 11.4). Errors: token_missing for an
// empty value or another scheme, token_malformed.
[[nodiscard]] Result<std::string_view> bearer_token(std::string_view authorization);

}  // namespace zwinger::identity
