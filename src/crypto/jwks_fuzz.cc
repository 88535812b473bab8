// Any bytes as a JWKS: refused, or a set whose keys say no to a signature that nobody made.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "crypto/jose.h"

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer names it
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using zwinger::crypto::Algorithm;
  const auto set =
      zwinger::crypto::KeySet::parse(std::string(reinterpret_cast<const char*>(data), size));
  if (!set) return 0;
  if (set->keys.empty()) std::abort();
  for (const zwinger::crypto::PublicKey& key : set->keys) {
    const bool accepted = key.verify("message", std::string(64, '\x01'));
    // Not for Ed25519: there a key of small order can be chosen to fit a signature.
    if (accepted && key.algorithm() != Algorithm::eddsa) std::abort();
  }
  return 0;
}
