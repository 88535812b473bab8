// Any bytes as a compact token, as an Authorization header and as claims. The verifier knows the
// public keys of RFC 7515 appendices A.2 and A.3, whose signed examples are seeds: they pass the
// signature and fail at the claims, so that nothing is ever accepted.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crypto/jose.h"
#include "identity/token_verifier.h"

namespace {

using namespace zwinger;

constexpr std::string_view kKeys =
    R"({"keys":[{"kty":"RSA","e":"AQAB","n":")"
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-"
    "4qPCJrcS2mJPMEzP1Pt0Bm4d4Ql"
    "L-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-"
    "bSf63kpaSHSXndS5z5rexMdbBYUsLA"
    "9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-"
    "DWNmoudF8NA"
    "co9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
    R"("},{"kty":"EC","crv":"P-256","kid":"es","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
    R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]})";

identity::TokenVerifier& verifier() {
  static identity::TokenVerifier* const verifier_of_all_runs = [] {
    std::vector<identity::Issuer> issuers;
    issuers.push_back({.issuer = "joe",
                       .audience = "zwinger",
                       .algorithms = {crypto::Algorithm::rs256, crypto::Algorithm::es256},
                       .keys = crypto::KeySet::parse(std::string(kKeys)).value()});
    return new identity::TokenVerifier(std::move(issuers));
  }();
  return *verifier_of_all_runs;
}

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer names it
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  require(!verifier().verify(text, 1300819379));
  require(verifier().cached() == 0);
  if (const auto token = identity::bearer_token(text)) require(token->size() < text.size());

  const auto document = json::Document::parse(std::string(text));
  if (!document) return 0;
  for (const auto proof :
       {identity::Proof::jwt, identity::Proof::local_grant, identity::Proof::replay}) {
    const auto who = identity::read_claims(document->root(), proof);
    if (!who) continue;
    require(!who->principal.subject.empty() && who->principal.session.size() == 64);
    require(!identity::check_time(who->principal, who->principal.expires));
    // The grant may narrow the times of its token, never widen them.
    require(identity::check_time(document->root(), 0).has_value() ||
            !identity::check_time(who->principal, 0).has_value());
    require(who->principal.actors.size() <= identity::kMaxActors);
    require(proof != identity::Proof::local_grant || who->principal.actors.empty() || !who->grant);
  }
  return 0;
}
