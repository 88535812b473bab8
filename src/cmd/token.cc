// `zwinger token keygen|mint|show`: an issuer for development, never for production.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include "cmd/command.h"
#include "cmd/dev_issuer.h"
#include "cmd/pretty.h"
#include "identity/principal.h"
#include "json/json.h"
#include "json/writer.h"

namespace zwinger::cmd {

namespace {

constexpr std::int64_t kDefaultTtl = 3600;
constexpr std::int64_t kMaxTtl = 366LL * 86400;
constexpr std::size_t kTokenIdBytes = 16;

std::string when(UnixSeconds at) {
  constexpr UnixSeconds kYear10000 = 253'402'300'800;
  if (at < 0 || at >= kYear10000) return std::to_string(at);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(at)));
}

Result<void> check_mode(const gateway::Policy& policy) {
  if (policy.mode == gateway::Mode::development) return {};
  return fail(Code::policy_mode,
              "tokens are made and shown in development mode only; in production they come from an "
              "identity provider",
              (policy.directory / gateway::kPolicyFile).string());
}

// The issuer of this name, or the only one.
Result<const gateway::IssuerConfig*> choose_issuer(const gateway::Policy& policy,
                                                   const std::string& name) {
  const auto& all = policy.issuers;
  if (all.empty()) return fail(Code::usage, "the policy names no issuer");
  if (name.empty() && all.size() == 1) return &all.front();
  if (name.empty())
    return fail(Code::usage, "the policy names several issuers: choose one with --issuer");
  const auto found = std::ranges::find(all, name, &gateway::IssuerConfig::issuer);
  if (found == all.end())
    return fail(Code::usage, fmt::format("the policy names no issuer '{}'", name));
  return &*found;
}

Result<void> check_algorithm(const crypto::SigningKey& key, const gateway::IssuerConfig& issuer) {
  if (std::ranges::find(issuer.algorithms, key.algorithm()) != issuer.algorithms.end()) return {};
  return fail(Code::token_algorithm,
              fmt::format("the development key is for {}, which this issuer may not use",
                          crypto::to_string(key.algorithm())),
              issuer.issuer);
}

int exit_code_of(const Error& error) { return error.code == Code::policy_mode ? kNo : kUsage; }

// --- keygen
// -----------------------------------------------------------------------------------------

struct KeygenArguments {
  std::string policy;
  std::string issuer;
};

Result<std::string> keygen(const gateway::Policy& policy, const KeygenArguments& arguments) {
  ZWINGER_CHECK_OK(check_mode(policy));
  ZWINGER_TRY(const gateway::IssuerConfig* issuer, choose_issuer(policy, arguments.issuer));
  ZWINGER_TRY(const crypto::SigningKey key,
              make_dev_key(policy.state_dir, issuer->algorithms.front()));
  ZWINGER_CHECK_OK(check_algorithm(key, *issuer));
  ZWINGER_TRY(const std::string id, key_id(key));
  ZWINGER_TRY(const bool added, publish(key, issuer->jwks_file));
  return fmt::format("{} {} {} {}\n", id, crypto::to_string(key.algorithm()),
                     added ? "written to" : "is already in", issuer->jwks_file.string());
}

int run_keygen(const KeygenArguments& arguments, Context& context) {
  const auto policy =
      load_policy_or_report(context, arguments.policy, gateway::KeySets::not_needed);
  if (!policy) return kUsage;
  const Result<std::string> done = keygen(*policy, arguments);
  if (!done) return report(context, done.error(), exit_code_of(done.error()));
  context.err << "development key: for trying things out, never for production\n";
  context.out << printable(*done);
  return kOk;
}

// --- mint
// -------------------------------------------------------------------------------------------

struct MintArguments {
  std::string policy;
  std::string issuer;
  std::string subject;
  std::string grant;
  std::optional<std::int64_t> ttl;
  std::optional<std::int64_t> expires_at;
};

Result<void> check_published(const crypto::SigningKey& key, const gateway::IssuerConfig& issuer) {
  ZWINGER_TRY(const std::string id, key_id(key));
  ZWINGER_TRY(const crypto::KeySet keys, crypto::KeySet::parse(issuer.jwks));
  if (std::ranges::find(keys.keys, id, &crypto::PublicKey::id) != keys.keys.end()) return {};
  return fail(Code::token_unknown_key,
              "the issuer's key set lacks the development key; 'zwinger token keygen' adds it",
              issuer.jwks_file.string());
}

std::string payload_of(const gateway::IssuerConfig& issuer, const MintArguments& arguments,
                       json::Value grant, Context& context) {
  const UnixSeconds now = context.clock.unix_seconds();
  json::Writer out;
  out.begin_object();
  out.key("iss").string(issuer.issuer);
  out.key("aud").string(issuer.audience);
  out.key("sub").string(arguments.subject);
  out.key("iat").integer(now);
  out.key("exp").integer(arguments.expires_at.value_or(now + arguments.ttl.value_or(kDefaultTtl)));
  out.key("jti").string(context.random.hex(kTokenIdBytes));
  out.key("atr").raw(compact(grant));
  return std::move(out.end_object()).take();
}

Result<std::string> mint(const gateway::Policy& policy, const MintArguments& arguments,
                         Context& context) {
  ZWINGER_CHECK_OK(check_mode(policy));
  ZWINGER_TRY(const gateway::IssuerConfig* issuer, choose_issuer(policy, arguments.issuer));
  ZWINGER_TRY(const crypto::SigningKey key, read_dev_key(policy.state_dir));
  ZWINGER_CHECK_OK(check_algorithm(key, *issuer));
  ZWINGER_CHECK_OK(check_published(key, *issuer));
  ZWINGER_TRY(std::string text, read_input(context, arguments.grant));
  ZWINGER_TRY(const json::Document grant, json::Document::parse(std::move(text)));
  ZWINGER_TRY(const json::Document payload,
              json::Document::parse(payload_of(*issuer, arguments, grant.root(), context)));
  // As the gateway will read it: a token that nobody could use is not made.
  ZWINGER_TRY(const identity::Authenticated who,
              identity::read_claims(payload.root(), identity::Proof::jwt));
  if (!who.grant) return std::unexpected(who.grant.error());
  return key.sign_jwt(payload.text());
}

int run_mint(const MintArguments& arguments, Context& context) {
  if (arguments.ttl && arguments.expires_at)
    return usage_error(context, "choose one of --ttl and --expires-at");
  const auto policy = load_policy_or_report(context, arguments.policy);
  if (!policy) return kUsage;
  const Result<std::string> token = mint(*policy, arguments, context);
  if (!token) return report(context, token.error(), exit_code_of(token.error()));
  context.err << "development token: signed with the development key, never for production\n";
  context.out << *token << '\n';
  return kOk;
}

// --- show
// -------------------------------------------------------------------------------------------

struct ShowArguments {
  std::string policy;
  std::string token = "-";
  bool json = false;
};

std::string meaning_of(json::Value claims, UnixSeconds now, std::string& reason) {
  const Result<identity::Authenticated> who = identity::read_claims(claims, identity::Proof::jwt);
  const auto nothing = [&](const Error& error) {
    reason = name(error.code);
    return "nothing is allowed: " + error.to_string();
  };
  if (!who) return nothing(who.error());
  if (const auto valid = identity::check_time(who->principal, now); !valid)
    return nothing(valid.error());
  if (!who->grant) return nothing(who->grant.error());
  reason = "ok";
  const grant::Grant& grant = **who->grant;
  const auto word = [](const std::string& value) {
    return value.empty() ? std::string("none") : value;
  };
  return fmt::format(
      "{} may do what the grant says until {}\nrole {}, tenant {}, task {}, session {}",
      who->principal.subject, when(who->principal.expires), word(grant.role()),
      word(grant.tenant()), word(grant.task_id()), who->principal.session);
}

// A policy that is there must be for development; without one there is nothing to protect.
Result<bool> may_show(const ShowArguments& arguments, Context& context) {
  ZWINGER_TRY(const std::filesystem::path directory, policy_directory(context, arguments.policy));
  std::error_code ec;
  if (arguments.policy.empty() && !std::filesystem::exists(directory, ec)) return true;
  const auto policy =
      load_policy_or_report(context, arguments.policy, gateway::KeySets::not_needed);
  if (!policy) return false;
  ZWINGER_CHECK_OK(check_mode(*policy));
  return true;
}

int run_show(const ShowArguments& arguments, Context& context) {
  const Result<bool> allowed = may_show(arguments, context);
  if (!allowed) return report(context, allowed.error(), exit_code_of(allowed.error()));
  if (!*allowed) return kUsage;

  Result<std::string> token = arguments.token == "-" ? read_input(context, "-") : arguments.token;
  if (!token) return report(context, token.error(), kUsage);
  while (!token->empty() && (token->back() == '\n' || token->back() == '\r')) token->pop_back();
  const Result<crypto::Jws> jws = crypto::Jws::parse(*token);
  if (!jws) return report(context, jws.error(), kNo);
  const Result<json::Document> claims = json::Document::parse(jws->payload);
  if (!claims) return report(context, claims.error(), kNo);

  std::string reason;
  const std::string meaning = meaning_of(claims->root(), context.clock.unix_seconds(), reason);
  context.err << "development aid: the signature was NOT checked\n";
  if (arguments.json) {
    json::Writer out;
    out.begin_object();
    out.key("signatureChecked").boolean(false);
    out.key("header").raw(compact(jws->header.root()));
    out.key("claims").raw(compact(claims->root()));
    out.key("reason").string(reason);
    out.key("meaning").string(meaning);
    context.out << std::move(out.end_object()).take() << '\n';
  } else {
    context.out << printable(fmt::format("header {}\nclaims {}\n{}\n", pretty(jws->header.root()),
                                         pretty(claims->root()), meaning));
  }
  return kOk;
}

}  // namespace

Command token_keygen_command() {
  return {.name = "token keygen",
          .summary = "Make the development key (development mode only)",
          .example = "zwinger token keygen --policy ./policy",
          .declare = [](Options& options) -> Run {
            auto arguments = std::make_shared<KeygenArguments>();
            options.text("--policy", arguments->policy, "DIR", "The policy directory");
            options.text("--issuer", arguments->issuer, "ISS",
                         "Which issuer, where the policy has several");
            return [arguments](Context& context) { return run_keygen(*arguments, context); };
          }};
}

Command token_mint_command() {
  return {.name = "token mint",
          .summary = "Sign a token with the development key (development mode only)",
          .example = "zwinger token mint --subject emma --grant policy/grants/example.json",
          .declare = [](Options& options) -> Run {
            auto arguments = std::make_shared<MintArguments>();
            options.text("--policy", arguments->policy, "DIR", "The policy directory");
            options.text("--issuer", arguments->issuer, "ISS",
                         "Which issuer, where the policy has several");
            options.text("--subject", arguments->subject, "SUBJECT", "Who the token is for", true);
            options.text("--grant", arguments->grant, "FILE",
                         "The grant, the value of the claim 'atr'; - is standard input", true);
            options.number("--ttl", arguments->ttl, "Seconds until it expires; default 3600", 1,
                           kMaxTtl);
            options.number("--expires-at", arguments->expires_at,
                           "When it expires, in Unix seconds", 0, 253'402'300'799);
            return [arguments](Context& context) { return run_mint(*arguments, context); };
          }};
}

Command token_show_command() {
  return {.name = "token show",
          .summary = "Show what a token says, without checking its signature",
          .example = "zwinger token mint --subject emma --grant grant.json | zwinger token show -",
          .declare = [](Options& options) -> Run {
            auto arguments = std::make_shared<ShowArguments>();
            options.text("--policy", arguments->policy, "DIR", "The policy directory");
            options.text("token", arguments->token, "TOKEN",
                         "The token; - or nothing is standard input");
            options.flag("--json", arguments->json, "One JSON object");
            return [arguments](Context& context) { return run_show(*arguments, context); };
          }};
}

}  // namespace zwinger::cmd
