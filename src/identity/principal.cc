#include "identity/principal.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <ranges>
#include <utility>

#include "base/files.h"
#include "crypto/hash.h"
#include "text/ascii.h"

namespace zwinger::identity {

namespace {

constexpr UnixSeconds kClockSkew = 60;
constexpr std::size_t kMaxGrantFileBytes = std::size_t{64} << 10U;

// Restrictions that this build cannot check: RFC 7800 (proof of possession), RFC 8693 section 4.4
// (who may act).
constexpr std::array<std::string_view, 2> kUnsupportedClaims = {"cnf", "may_act"};

std::unexpected<Error> bad_claim(std::string_view name, std::string message) {
  return fail(Code::token_claims, "the claim '" + std::string(name) + "' " + std::move(message),
              std::string(name));
}

Result<std::string> text_claim(json::Value payload, std::string_view name) {
  const auto claim = payload.find(name);
  if (!claim) return bad_claim(name, "is missing");
  if (!claim->is_string()) return bad_claim(name, "must be a string");
  const std::string_view text = claim->string();
  if (text.empty() || text.size() > kMaxClaimBytes || text::has_control(text)) {
    return bad_claim(name, "must have 1 to 256 bytes and no control characters");
  }
  return std::string(text);
}

// A NumericDate (RFC 7519 section 2), nothing where it is absent.
Result<std::optional<UnixSeconds>> date_claim(json::Value payload, std::string_view name) {
  const auto claim = payload.find(name);
  if (!claim) return std::nullopt;
  const auto seconds = claim->is_number() ? claim->integer() : std::nullopt;
  if (!seconds || *seconds < 0) {
    return bad_claim(name, "must be a whole number of seconds since 1970");
  }
  return *seconds;
}

struct Validity {
  UnixSeconds not_before;
  UnixSeconds expires;
};

Result<Validity> read_validity(json::Value payload) {
  ZWINGER_TRY(const auto exp, date_claim(payload, "exp"));
  ZWINGER_TRY(const auto nbf, date_claim(payload, "nbf"));
  ZWINGER_TRY(const auto iat, date_claim(payload, "iat"));
  if (!exp) return bad_claim("exp", "is missing");
  return Validity{.not_before = std::max(nbf.value_or(0), iat.value_or(0)) - kClockSkew,
                  .expires = *exp};
}

Result<void> compare(UnixSeconds not_before, UnixSeconds expires, UnixSeconds now) {
  if (now >= expires) return fail(Code::token_expired, "the token has expired", "exp");
  if (now < not_before) return fail(Code::token_not_yet_valid, "the token is not valid yet");
  return {};
}

// --- the actor chain
// ---------------------------------------------------------------------------------------

struct Actor {
  std::string issuer;  // may be empty
  std::string subject;
  std::optional<json::Value> atr;  // of the party that delegated
  std::string where;               // JSON pointer
};

Result<std::string> actor_text(json::Value actor, std::string_view name, const std::string& where) {
  auto text = text_claim(actor, name);
  if (!text) {
    return fail(Code::grant_invalid, std::move(text.error().message),
                where + "/" + std::string(name));
  }
  return text;
}

Result<Actor> read_actor(json::Value value, std::string where) {
  if (!value.is_object()) return fail(Code::grant_invalid, "an actor is an object", where);
  Actor out{.issuer = {}, .subject = {}, .atr = std::nullopt, .where = std::move(where)};
  for (const json::Value member : value.children()) {
    const std::string_view name = member.name();
    if (name == "iss") {
      ZWINGER_TRY(out.issuer, actor_text(value, name, out.where));
    } else if (name == "client_id" || name == "azp") {
      ZWINGER_CHECK_OK(actor_text(value, name, out.where));
    } else if (name == "atr") {
      if (!member.is_null()) out.atr = member;
    } else if (name != "sub" && name != "act") {
      return fail(Code::grant_unsupported, "this build knows no such claim of an actor",
                  out.where + "/" + std::string(name));
    }
  }
  ZWINGER_TRY(out.subject, actor_text(value, "sub", out.where));
  return out;
}

// The current actor first.
Result<std::vector<Actor>> read_actors(json::Value payload) {
  std::vector<Actor> out;
  std::string where;
  for (auto act = payload.find("act"); act && !act->is_null(); act = act->find("act")) {
    where += "/act";
    if (out.size() == kMaxActors) {
      return fail(Code::grant_unsupported, "the chain of actors is too long", where);
    }
    ZWINGER_TRY(Actor actor, read_actor(*act, where));
    out.push_back(std::move(actor));
  }
  return out;
}

std::vector<std::string> names_of(const std::vector<Actor>& actors) {
  std::vector<std::string> out;
  out.reserve(actors.size());
  for (const Actor& actor : actors) {
    out.push_back(actor.issuer.empty() ? actor.subject : actor.issuer + "|" + actor.subject);
  }
  return out;
}

// --- the grant
// ---------------------------------------------------------------------------------------

using SharedGrant = std::shared_ptr<const grant::Grant>;

// `atr` as a grant of one of `parties`, passed on by `delegator` where there is one.
Result<SharedGrant> compile_atr(json::Value atr, const std::vector<std::string_view>& parties,
                                SharedGrant delegator, const std::string& where) {
  const auto placed = [&where](Error error) {
    error.where = where + error.where;
    return std::unexpected(std::move(error));
  };
  if (!atr.is_object()) return fail(Code::grant_invalid, "the grant must be an object", where);
  auto compiled = grant::Grant::compile(atr);
  if (!compiled) return placed(std::move(compiled).error());
  const std::string& subject = compiled->subject();
  if (!subject.empty() && std::ranges::find(parties, subject) == parties.end()) {
    return fail(Code::grant_invalid, "the grant names a subject that the token does not", where);
  }
  if (delegator) {
    compiled = (*std::move(compiled)).delegated_by(std::move(delegator));
    if (!compiled) return placed(std::move(compiled).error());
  }
  return std::make_shared<const grant::Grant>(*std::move(compiled));
}

// The token's grant is its subject's; an ancestor's may be of anybody whom the token names.
Result<SharedGrant> compile_chain(json::Value atr, const std::string& subject,
                                  const std::vector<Actor>& actors) {
  std::vector<std::string_view> parties = {subject};
  for (const Actor& actor : actors) parties.push_back(actor.subject);
  SharedGrant delegator;
  for (const Actor& actor : std::views::reverse(actors)) {
    if (!actor.atr) continue;
    ZWINGER_TRY(delegator,
                compile_atr(*actor.atr, parties, std::move(delegator), actor.where + "/atr"));
  }
  return compile_atr(atr, {subject}, std::move(delegator), "/atr");
}

Result<SharedGrant> compile_grant(json::Value payload, const Principal& principal,
                                  const Result<std::vector<Actor>>& actors) {
  const auto atr = payload.find("atr");
  if (!atr || atr->is_null()) {
    return fail(Code::grant_missing, "the token carries no grant (claim 'atr')", "/atr");
  }
  for (const std::string_view name : kUnsupportedClaims) {
    if (const auto claim = payload.find(name); claim && !claim->is_null()) {
      return fail(Code::grant_unsupported,
                  "the claim '" + std::string(name) +
                      "' restricts the token in a way that cannot be checked",
                  "/" + std::string(name));
    }
  }
  if (!actors) return std::unexpected(actors.error());
  if (principal.proof == Proof::local_grant && !actors->empty()) {
    return fail(Code::grant_unsupported, "nobody can vouch for actors in a local grant", "/act");
  }
  return compile_chain(*atr, principal.subject, *actors);
}

// Each field is preceded by its length, so that no two lists of fields give the same bytes.
void append_field(std::string& out, std::string_view field) {
  for (int shift = 56; shift >= 0; shift -= 8) {
    out += static_cast<char>(
        (static_cast<std::uint64_t>(field.size()) >> static_cast<unsigned>(shift)) & 0xFFU);
  }
  out += field;
}

std::string session_of(const Principal& principal, const std::vector<Actor>& actors,
                       const grant::Grant* grant) {
  std::string_view kind;
  std::string_view id;
  if (grant != nullptr && !grant->task_id().empty()) {
    kind = "task";
    id = grant->task_id();
  } else if (grant != nullptr && !grant->session_id().empty()) {
    kind = "session";
    id = grant->session_id();
  }
  std::string bytes;
  for (const std::string_view field :
       {std::string_view("zwinger session 1"), std::string_view(principal.issuer),
        std::string_view(principal.tenant), std::string_view(principal.subject), kind, id}) {
    append_field(bytes, field);
  }
  for (const Actor& actor : actors) {
    append_field(bytes, actor.issuer);
    append_field(bytes, actor.subject);
  }
  return crypto::sha256_hex(bytes);
}

// Takes from the grant what it says of the principal.
void narrow(Principal& principal, const grant::Grant& grant) {
  principal.tenant = grant.tenant();
  if (const auto issued = grant.issued_at()) {
    principal.not_before = std::max(principal.not_before, *issued - kClockSkew);
  }
  if (const auto expires = grant.expires_at()) {
    principal.expires = std::min(principal.expires, *expires);
  }
}

// `error` as one of the file: where it is, and what to do.
std::unexpected<Error> in_file(Error error, const std::string& path) {
  error.message += "; write a new grant with: zwinger init --allow GLOB";
  error.where = error.where.empty() ? path : path + ": " + error.where;
  return std::unexpected(std::move(error));
}

}  // namespace

std::string_view to_string(Proof proof) {
  switch (proof) {
    case Proof::jwt:
      return "jwt";
    case Proof::local_grant:
      return "local_grant";
    case Proof::replay:
      return "replay";
  }
  return {};
}

Result<Authenticated> read_claims(json::Value payload, Proof proof) {
  if (!payload.is_object()) return fail(Code::token_claims, "the claims must be an object");
  Principal principal;
  principal.proof = proof;
  auto issuer = text_claim(payload, "iss");
  if (proof == Proof::jwt && !issuer) return std::unexpected(std::move(issuer).error());
  if (proof != Proof::local_grant && issuer) principal.issuer = *std::move(issuer);
  ZWINGER_TRY(principal.subject, text_claim(payload, "sub"));
  if (proof != Proof::local_grant) ZWINGER_CHECK_OK(text_claim(payload, "jti"));
  ZWINGER_TRY(const Validity validity, read_validity(payload));
  principal.not_before = validity.not_before;
  principal.expires = validity.expires;
  const auto actors = read_actors(payload);
  auto grant = compile_grant(payload, principal, actors);
  if (grant) narrow(principal, **grant);
  const std::vector<Actor> chain = actors ? *actors : std::vector<Actor>{};
  principal.actors = names_of(chain);
  principal.session = session_of(principal, chain, grant ? grant->get() : nullptr);
  return Authenticated{.principal = std::move(principal), .grant = std::move(grant)};
}

Result<void> check_time(const Principal& principal, UnixSeconds now) {
  return compare(principal.not_before, principal.expires, now);
}

Result<void> check_time(json::Value payload, UnixSeconds now) {
  ZWINGER_TRY(const Validity validity, read_validity(payload));
  return compare(validity.not_before, validity.expires, now);
}

Result<std::shared_ptr<const Authenticated>> load_local_grant(const std::string& path,
                                                              UnixSeconds now) {
  auto text = read_private_file(path, kMaxGrantFileBytes);
  if (!text) return in_file({Code::grant_file, std::move(text).error().message, {}}, path);
  auto document = json::Document::parse(*std::move(text));
  if (!document) return in_file(std::move(document).error(), path);
  const json::Value file = document->root();
  if (!file.is_object()) {
    return in_file({Code::grant_file, "the grant file must hold an object", {}}, path);
  }
  for (const json::Value member : file.children()) {
    const std::string_view name = member.name();
    if (name != "sub" && name != "exp" && name != "atr") {
      return in_file({Code::grant_unsupported, "a local grant has only sub, exp and atr",
                      "/" + std::string(name)},
                     path);
    }
  }
  auto who = read_claims(file, Proof::local_grant);
  if (!who) return in_file(std::move(who).error(), path);
  if (!check_time(who->principal, now)) {
    return in_file({Code::grant_expired, "the local grant has expired", "exp"}, path);
  }
  return std::make_shared<const Authenticated>(*std::move(who));
}

}  // namespace zwinger::identity
