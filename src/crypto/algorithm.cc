#include <optional>
#include <string_view>

#include "crypto/jose.h"

namespace zwinger::crypto {

std::string_view to_string(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::rs256:
      return "RS256";
    case Algorithm::es256:
      return "ES256";
    case Algorithm::eddsa:
      return "EdDSA";
  }
  return {};
}

std::optional<Algorithm> parse_algorithm(std::string_view text) {
  for (const Algorithm algorithm : {Algorithm::rs256, Algorithm::es256, Algorithm::eddsa}) {
    if (text == to_string(algorithm)) return algorithm;
  }
  return std::nullopt;
}

}  // namespace zwinger::crypto
