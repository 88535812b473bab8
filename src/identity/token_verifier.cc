#include "identity/token_verifier.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "text/ascii.h"

namespace zwinger::identity {

namespace {

std::unexpected<Error> no_audience() {
  return fail(Code::token_claims, "the claim 'aud' must be a string or an array of strings", "aud");
}

// RFC 7519 section 4.1.3.
Result<void> check_audience(json::Value payload, std::string_view expected) {
  const auto aud = payload.find("aud");
  if (!aud || (!aud->is_string() && !aud->is_array())) return no_audience();
  bool named = aud->is_string() && aud->string() == expected;
  for (const json::Value one : aud->children()) {
    if (!one.is_string()) return no_audience();
    named = named || one.string() == expected;
  }
  if (!named) return fail(Code::token_audience, "the token is meant for another audience", "aud");
  return {};
}

// The one key that the header can mean, or null. A kid must fit exactly: a wrong one never falls
// back to trying other keys.
const crypto::PublicKey* find_key(const Issuer& issuer, const std::optional<std::string>& kid,
                                  crypto::Algorithm algorithm) {
  const crypto::PublicKey* found = nullptr;
  for (const crypto::PublicKey& key : issuer.keys.keys) {
    if (key.algorithm() != algorithm) continue;
    if (kid) {
      if (!key.id().empty() && key.id() == *kid) return &key;
    } else {
      if (found != nullptr) return nullptr;
      found = &key;
    }
  }
  return found;
}

bool is_token68(char c) {
  return text::is_letter(c) || text::is_digit(c) ||
         std::string_view("-._~+/").find(c) != std::string_view::npos;
}

}  // namespace

std::size_t TokenVerifier::HashOfDigest::operator()(const crypto::Sha256& digest) const noexcept {
  std::size_t hash = 0;
  std::memcpy(&hash, digest.data(), sizeof hash);
  return hash;
}

TokenVerifier::TokenVerifier(std::vector<Issuer> issuers, std::size_t cache_entries)
    : issuers_(std::move(issuers)), cache_entries_(cache_entries) {}

Result<std::shared_ptr<const Authenticated>> TokenVerifier::verify(std::string_view token,
                                                                   UnixSeconds now) {
  const crypto::Sha256 digest = crypto::sha256(token);
  {
    const std::scoped_lock lock(mutex_);
    if (const auto hit = cache_.find(digest); hit != cache_.end()) {
      Who who = hit->second.who;
      if (now >= who->principal.expires) cache_.erase(hit);
      ZWINGER_CHECK_OK(check_time(who->principal, now));
      return who;
    }
  }
  ZWINGER_TRY(Who who, verify_uncached(token));
  ZWINGER_CHECK_OK(check_time(who->principal, now));
  return remember(digest, std::move(who), now);
}

std::size_t TokenVerifier::cached() const {
  const std::scoped_lock lock(mutex_);
  return cache_.size();
}

Result<TokenVerifier::Who> TokenVerifier::verify_uncached(std::string_view token) const {
  ZWINGER_TRY(crypto::Jws jws, crypto::Jws::parse(token));
  auto document = json::Document::parse(std::move(jws.payload));
  if (!document || !document->root().is_object()) {
    return fail(Code::token_malformed,
                "the token's payload is not one strict JSON object" +
                    (document ? "" : ": " + std::string(info(document.error().code).text)));
  }
  const json::Value payload = document->root();

  const auto iss = payload.find("iss");
  if (!iss || !iss->is_string()) {
    return fail(Code::token_claims, "the claim 'iss' must be a string", "iss");
  }
  const auto issuer = std::ranges::find(issuers_, iss->string(), &Issuer::issuer);
  if (issuer == issuers_.end()) {
    return fail(Code::token_issuer, "the token's issuer is not configured", "iss");
  }
  const auto algorithm = crypto::parse_algorithm(jws.algorithm);
  if (!algorithm || std::ranges::find(issuer->algorithms, *algorithm) == issuer->algorithms.end()) {
    return fail(Code::token_algorithm, "the token's algorithm is not pinned for its issuer", "alg");
  }
  const crypto::PublicKey* key = find_key(*issuer, jws.key_id, *algorithm);
  if (key == nullptr) {
    return fail(Code::token_unknown_key,
                "the issuer has no key, or no single key, for the token's kid and algorithm",
                "kid");
  }
  if (!key->verify(jws.signing_input, jws.signature)) {
    return fail(Code::token_signature, "the token's signature is wrong");
  }
  ZWINGER_CHECK_OK(check_audience(payload, issuer->audience));
  ZWINGER_TRY(Authenticated who, read_claims(payload, Proof::jwt));
  return std::make_shared<const Authenticated>(std::move(who));
}

TokenVerifier::Who TokenVerifier::remember(const crypto::Sha256& digest, Who who, UnixSeconds now) {
  if (cache_entries_ == 0) return who;
  const std::scoped_lock lock(mutex_);
  // Another thread may have verified the same token meanwhile: its object stays the one of this
  // token.
  if (const auto other = cache_.find(digest); other != cache_.end()) return other->second.who;
  if (cache_.size() >= cache_entries_) make_room(now);
  cache_.emplace(digest, Entry{.who = who, .order = next_order_++});
  return who;
}

void TokenVerifier::make_room(UnixSeconds now) {
  std::erase_if(cache_,
                [now](const auto& entry) { return now >= entry.second.who->principal.expires; });
  if (cache_.size() < cache_entries_) return;
  cache_.erase(
      std::ranges::min_element(cache_, {}, [](const auto& entry) { return entry.second.order; }));
}

Result<std::string_view> bearer_token(std::string_view authorization) {
  static constexpr std::string_view kScheme = "bearer";
  const std::string_view scheme = authorization.substr(0, authorization.find(' '));
  if (!std::ranges::equal(scheme, kScheme, {}, text::to_lower)) {
    return fail(Code::token_missing, "the Authorization header does not begin with 'Bearer'");
  }
  std::string_view token = authorization.substr(scheme.size());
  token.remove_prefix(std::min(token.find_first_not_of(' '), token.size()));
  const std::string_view body = token.substr(0, token.find_last_not_of('=') + 1);
  if (body.empty() || !std::ranges::all_of(body, is_token68)) {
    return fail(Code::token_malformed, "the Authorization header does not hold exactly one token");
  }
  return token;
}

}  // namespace zwinger::identity
