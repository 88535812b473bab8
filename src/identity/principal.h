// Who asks, and with what grant. Plain immutable values; any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

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
  // over issuer, tenant, subject and task.id, else sessionId, else nothing. A new connection or a
  // fresh token keeps it.
  std::string session;
  UnixSeconds not_before = 0;  // the later of nbf and iat, less 60 s for clocks that differ
  UnixSeconds expires = 0;     // exp, without leeway
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
// Grant::compile refuses (where begins with "/atr"), and for a cnf, act or may_act that is not null
// (grant_unsupported).
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
