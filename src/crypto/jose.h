// JSON Web Keys and compact JWS (RFC 7515, 7517, 7518, 8037): verification with a pinned algorithm,
// and signing for development issuers. Keys are decoded once and immutable; any thread.
//
// Only RS256, ES256 and EdDSA (Ed25519) exist here. "none" and the HMAC family have no
// representation, so no header can select them.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "json/json.h"

namespace zwinger::crypto {

enum class Algorithm { rs256, es256, eddsa };

[[nodiscard]] std::string_view to_string(Algorithm algorithm);  // "RS256", ...
// The exact, case-sensitive spelling of RFC 7518 section 3.1 and RFC 8037 section 3.1; nothing
// otherwise.
[[nodiscard]] std::optional<Algorithm> parse_algorithm(std::string_view text);

// A verification key with the one algorithm it may be used for.
class PublicKey {
 public:
  // From one JWK object. Errors: jwks_invalid with where = JSON pointer, for private members ("d",
  // "k", ...), kty/crv/alg/use/key_ops that do not fit, an empty kid, RSA outside 2048 to 8192 bits
  // or with an exponent that is even, below 3 or above 64 bits, EC points off the curve. A wrong
  // Ed25519 point shows only in verify, which then refuses everything.
  [[nodiscard]] static Result<PublicKey> from_jwk(json::Value jwk);
  PublicKey(const PublicKey&) = delete;
  PublicKey& operator=(const PublicKey&) = delete;
  PublicKey(PublicKey&&) noexcept;
  PublicKey& operator=(PublicKey&&) noexcept;
  ~PublicKey();

  [[nodiscard]] const std::string& id() const;  // kid; empty where the JWK has none
  [[nodiscard]] Algorithm algorithm() const;
  // Whether `signature` (raw JWS form: ES256 is R||S of 64 bytes) is this key's over `message`.
  [[nodiscard]] bool verify(std::string_view message, std::string_view signature) const;

 private:
  friend struct KeySet;
  struct Impl;
  // Nothing: a sound JWK of a kind or purpose that is not ours.
  [[nodiscard]] static Result<std::optional<PublicKey>> decode(json::Value jwk);
  explicit PublicKey(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// A JWKS: {"keys": [...]}. Two keys of one id and algorithm are refused, and so are two keys of one
// algorithm without an id: nothing could tell them apart.
struct KeySet {
  std::vector<PublicKey> keys;
  // Errors: jwks_invalid with where = JSON pointer, json_*. A JWK of a kty, crv or alg unknown to
  // us, or for another use, is skipped, as RFC 7517 section 5 asks; a malformed one of a known
  // kind, a private or symmetric one of any kind, and a set without a usable key are errors.
  [[nodiscard]] static Result<KeySet> parse(std::string text);
};

// A compact JWS above this is refused unread.
inline constexpr std::size_t kMaxCompactBytes = std::size_t{16} << 10U;

// The three parts of a compact JWS, decoded but not yet trusted.
struct Jws {
  json::Document header;
  std::string algorithm;              // alg, any string
  std::optional<std::string> key_id;  // kid
  std::string payload;                // any bytes
  std::string signature;
  std::string signing_input;  // the bytes that are signed
  // Errors: token_malformed (shape, size, base64url, JSON, duplicate header members, types of alg
  // and kid); token_header where the header has crit, jwk, jku, x5u, x5c, x5t, x5t#S256, b64, zip
  // or enc, or a typ other than JWT, at+jwt or application/at+jwt (any case; RFC 8725 section 3.11,
  // RFC 9068 section 4).
  [[nodiscard]] static Result<Jws> parse(std::string_view compact);
};

// A development issuer's private key, kept as PKCS#8 PEM.
class SigningKey {
 public:
  // RSA keys have 2048 bits. Errors: crypto.
  [[nodiscard]] static Result<SigningKey> generate(Algorithm algorithm, std::string key_id);
  // Errors: crypto for what is not exactly an unencrypted PEM private key of a type and size that
  // from_jwk takes.
  [[nodiscard]] static Result<SigningKey> from_pem(std::string_view pem, std::string key_id);
  SigningKey(const SigningKey&) = delete;
  SigningKey& operator=(const SigningKey&) = delete;
  SigningKey(SigningKey&&) noexcept;
  SigningKey& operator=(SigningKey&&) noexcept;
  ~SigningKey();

  [[nodiscard]] Algorithm algorithm() const;
  [[nodiscard]] Result<std::string> to_pem() const;
  [[nodiscard]] Result<std::string> public_jwk() const;  // one JWK object as JSON
  // The raw JWS signature of a signing input.
  [[nodiscard]] Result<std::string> sign(std::string_view message) const;
  // Compact JWS of the payload, header {"alg","kid","typ":"JWT"}, without kid where the key id is
  // empty. The payload is signed as it is.
  [[nodiscard]] Result<std::string> sign_jwt(std::string_view payload) const;

 private:
  struct Impl;
  explicit SigningKey(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace zwinger::crypto
