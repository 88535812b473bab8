// Who asks, and with what grant. Plain immutable values; any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "grant/grant.h"
#include "json/json.h"

namespace zwinger::identity {

enum class Proof { jwt, local_grant, replay };
[[nodiscard]] std::string_view to_string(Proof proof);

struct Principal {
  std::string issuer;  // empty for a local grant; may be in replay
  std::string tenant;  // of the grant; empty where it names none
  std::string subject;
  Proof proof = Proof::jwt;
  // Identity of the session (design section 1): SHA-256 hex, domain-separated and length-prefixed,
  // over issuer, tenant, subject and task.id, else sessionId, else nothing, and over the actors
  // where there are any. A new connection or a fresh token keeps it.
  std::string session;
  // The latest of nbf, iat and the grant's issuedAt, less 60 s for clocks that differ.
  UnixSeconds not_before = 0;
  UnixSeconds expires = 0;  // the earlier of exp and the grant's expiresAt, without leeway
  // Who acts for the subject (RFC 8693 `act`): the current actor first, then who delegated to it.
  // "sub", or "iss|sub" where an issuer is named. Empty where nobody does, or where `act` cannot be
  // read (then the grant is an Error).
  std::vector<std::string> actors = {};
};

// A principal with its compiled grant. Shared between requests that use the same token.
struct Authenticated {
  Principal principal;
  // A grant that is malformed or unsupported is an Error here: the principal is known, nothing is
  // allowed.
  Result<std::shared_ptr<const grant::Grant>> grant =
      fail(Code::grant_missing, "there is no grant");
};

// Longest sub, iss and jti, in bytes.
inline constexpr std::size_t kMaxClaimBytes = 256;
// Most nested `act` claims.
inline constexpr std::size_t kMaxActors = 8;

// Reads the payload of a token whose signature was checked (or, in replay, deliberately not).
// Compares no time.
//   sub, exp           required
//   jti                required but for a local grant
//   iss                required for a JWT; in replay kept if it is a string as below and otherwise
//                      left empty, never an error; not read for a local grant
//   aud                not looked at: the verifier's task
//   nbf, iat           optional
// Strings are not empty, at most kMaxClaimBytes long and hold no control character; times are
// integers from 0 on (RFC 7519 allows fractions; we do not). Errors: token_claims with where = the
// claim.
//
// `atr` is compiled into the grant. That is an Error for no or a null atr (grant_missing), for what
// Grant::compile refuses (where begins with "/atr"), for a `sub` or `actorId` in it that is not the
// token's sub, or in an ancestor's none that the token names (grant_invalid), and for a cnf or
// may_act that is not null (grant_unsupported).
//
// `act` (RFC 8693 section 4.1) nests kMaxActors deep at most. Each actor has sub, and may have iss,
// client_id, azp, and an `atr`: the grant of the party that delegated. The token's own grant is
// then delegated by the outermost such grant, that one by the next, and so on (grant.h). An actor
// without one is identity only: its issuer vouches for it. The grant is an Error for anything else:
// grant_unsupported for other members (exp and aud among them), a deeper chain or an act in a local
// grant, grant_invalid for wrong types and for a child of another tenant; where begins with "/act".
[[nodiscard]] Result<Authenticated> read_claims(json::Value payload, Proof proof);

// not_before <= now < expires. Errors: token_expired, token_not_yet_valid.
[[nodiscard]] Result<void> check_time(const Principal& principal, UnixSeconds now);
// The same from the claims themselves. Errors: also token_claims.
[[nodiscard]] Result<void> check_time(json::Value payload, UnixSeconds now);

// The local grant file of a stdio wrapper: {sub, exp, atr} and no other member, mode 0600, own uid,
// at most 64 KiB (design section 5). Errors, with where beginning with the path: grant_file,
// grant_expired, json_*, token_claims, grant_unsupported for other members. Whoever keeps the
// result compares the time again for each call.
[[nodiscard]] Result<std::shared_ptr<const Authenticated>> load_local_grant(const std::string& path,
                                                                            UnixSeconds now);

}  // namespace zwinger::identity
