#include <algorithm>
#include <array>
#include <utility>

#include "crypto/jose.h"
#include "text/ascii.h"
#include "text/encoding.h"

namespace zwinger::crypto {

namespace {

std::unexpected<Error> malformed(std::string message) {
  return fail(Code::token_malformed, std::move(message));
}

// Members that choose a key, a certificate or another encoding for the verifier, and extensions
// that must be understood. We understand none and let no token bring its own key (RFC 8725
// sections 3.1, 3.10).
constexpr std::array<std::string_view, 10> kRefusedMembers = {
    "crit", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "b64", "zip", "enc"};

bool equals_ignoring_case(std::string_view any, std::string_view lower) {
  return std::ranges::equal(any, lower, {}, text::to_lower);
}

Result<void> check_header(json::Value header) {
  if (!header.is_object()) return malformed("the token's header is not a JSON object");
  for (const std::string_view name : kRefusedMembers) {
    if (header.find(name)) {
      return fail(Code::token_header,
                  "the token's header has '" + std::string(name) + "', which is never accepted",
                  std::string(name));
    }
  }
  const auto typ = header.find("typ");
  if (!typ) return {};
  for (const std::string_view accepted : {"jwt", "at+jwt", "application/at+jwt"}) {
    if (typ->is_string() && equals_ignoring_case(typ->string(), accepted)) return {};
  }
  return fail(Code::token_header, "the token's 'typ' is neither JWT nor at+jwt", "typ");
}

}  // namespace

Result<Jws> Jws::parse(std::string_view compact) {
  if (compact.size() > kMaxCompactBytes) {
    return malformed("the token is longer than " + std::to_string(kMaxCompactBytes) + " bytes");
  }
  if (std::ranges::count(compact, '.') != 2) {
    return malformed("the token does not have three parts");
  }
  const std::size_t first = compact.find('.');
  const std::size_t second = compact.find('.', first + 1);
  auto header = text::base64url_decode(compact.substr(0, first));
  auto payload = text::base64url_decode(compact.substr(first + 1, second - first - 1));
  auto signature = text::base64url_decode(compact.substr(second + 1));
  if (!header || !payload || !signature) {
    return malformed("a part of the token is not base64url without padding");
  }
  auto document = json::Document::parse(*std::move(header));
  if (!document) {
    return malformed("the token's header is not strict JSON: " +
                     std::string(info(document.error().code).text));
  }
  const json::Value members = document->root();
  ZWINGER_CHECK_OK(check_header(members));
  const auto alg = members.find("alg");
  if (!alg || !alg->is_string()) {
    return malformed("the token's header has no 'alg' that is a string");
  }
  std::optional<std::string> key_id;
  if (const auto kid = members.find("kid")) {
    if (!kid->is_string()) return malformed("the token's 'kid' is not a string");
    key_id = kid->string();
  }
  return Jws{.header = *std::move(document),
             .algorithm = std::string(alg->string()),
             .key_id = std::move(key_id),
             .payload = *std::move(payload),
             .signature = *std::move(signature),
             .signing_input = std::string(compact.substr(0, second))};
}

}  // namespace zwinger::crypto
