// `zwinger init`: a starter policy directory for a gateway, or with --allow the local grant for
// `zwinger wrap`.
#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <ostream>

#include "base/files.h"
#include "cmd/command.h"
#include "cmd/dev_issuer.h"
#include "cmd/pretty.h"
#include "json/json.h"
#include "json/writer.h"
#include "text/glob.h"

namespace zwinger::cmd {

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kDefaultDays = 30;
constexpr std::int64_t kSecondsPerDay = 86400;

struct Arguments {
  std::string policy;
  std::vector<std::string> allow;
  std::optional<std::int64_t> days;
  bool force = false;
};

constexpr std::string_view kStarterPolicy =
    R"(# The policy of one gateway. 'zwinger check' shows what it says, or every error in it.

# development: 'zwinger token mint' works. production: tokens come from your identity provider.
mode: development

# Counters, the record and the development key; relative to this directory.
stateDir: state

# Until TLS exists only loopback addresses and unix:/path are accepted. Port 0 takes any free port.
listeners:
  - address: "127.0.0.1:8080"

# Who may issue tokens. Each token needs iss, aud, exp, sub, jti and the claim 'atr', the grant.
issuers:
  - issuer: "https://dev.zwinger.invalid"
    audience: "zwinger"
    algorithms: [ES256]
    jwksFile: jwks.json

# The MCP servers behind the gateway. A client finds this one at /mcp/everything.
upstreams:
  everything:
    command: ["npx", "-y", "@modelcontextprotocol/server-everything", "stdio"]
    # Beside this it gets PATH, HOME, LANG and TZ, and nothing else.
    env: {}
    # The business domain it belongs to: a grant must list it. 'shared' belongs to none.
    vertical: shared
    timeoutSeconds: 60

# What a grant of this role may allow at most. Out of scope wins; what is absent is not allowed.
roles:
  operator:
    scope: ["tools:list", "tools:call"]
    toolsInScope: ["everything/*"]
    toolsOutOfScope: []
    verticals: []
)";

constexpr std::string_view kStarterGrant = R"({
  "actorType": "agent",
  "role": "operator",
  "scope": ["tools:list", "tools:call"],
  "toolsInScope": ["everything/echo", "everything/get-*"],
  "toolConstraints": {
    "everything/echo": {"args": {"/message": {"len": {"max": 200}}}, "closed": true}
  },
  "task": {"id": "first-steps", "text": "try the gateway"}
}
)";

// Nothing is written where one of the files exists, unless it was asked for.
Result<void> refuse_to_overwrite(std::initializer_list<fs::path> files, bool force) {
  for (const fs::path& file : files) {
    std::error_code ec;
    if (!force && fs::symlink_status(file, ec).type() != fs::file_type::not_found) {
      return fail(Code::usage, "the file exists already; --force writes a new one", file.string());
    }
  }
  return {};
}

Result<fs::path> write_policy(const Arguments& arguments, Context& context) {
  ZWINGER_TRY(fs::path directory, policy_directory(context, arguments.policy));
  const fs::path policy = directory / gateway::kPolicyFile;
  const fs::path jwks = directory / "jwks.json";
  const fs::path grant = directory / "grants" / "example.json";
  ZWINGER_CHECK_OK(refuse_to_overwrite({policy, jwks, grant}, arguments.force));
  ZWINGER_TRY(const crypto::SigningKey key,
              make_dev_key(directory / "state", crypto::Algorithm::es256));
  std::error_code ec;
  fs::remove(jwks, ec);
  ZWINGER_CHECK_OK(publish(key, jwks));
  ZWINGER_CHECK_OK(write_file_atomically(grant, kStarterGrant, 0644));
  // Last, so that a directory that is half written is no policy.
  ZWINGER_CHECK_OK(write_file_atomically(policy, kStarterPolicy, 0644));
  return directory;
}

std::string user_name() {
  const struct passwd* entry =
      ::getpwuid(::geteuid());  // NOLINT(concurrency-mt-unsafe): one thread
  return entry != nullptr && entry->pw_name[0] != '\0' ? entry->pw_name
                                                       : fmt::format("uid-{}", ::geteuid());
}

Result<fs::path> write_grant(const Arguments& arguments, Context& context) {
  for (const std::string& glob : arguments.allow) {
    ZWINGER_CHECK_OK(text::Glob::parse(glob));
    if (!glob.contains('/')) {
      return fail(
          Code::usage,
          fmt::format("'{}' can match no tool: a glob is over upstream/tool, such as 'server/*'",
                      glob));
    }
  }
  ZWINGER_TRY(const fs::path folder, config_folder(context));
  fs::path path = folder / "grant.json";
  ZWINGER_CHECK_OK(refuse_to_overwrite({path}, arguments.force));
  json::Writer out;
  out.begin_object();
  out.key("sub").string(user_name());
  out.key("exp").integer(context.clock.unix_seconds() +
                         arguments.days.value_or(kDefaultDays) * kSecondsPerDay);
  out.key("atr").begin_object();
  out.key("role").string("operator");
  out.key("scope").begin_array().string("tools:list").string("tools:call").end_array();
  out.key("toolsInScope").begin_array();
  for (const std::string& glob : arguments.allow) out.string(glob);
  out.end_array().end_object();
  ZWINGER_TRY(const json::Document grant,
              json::Document::parse(std::move(out.end_object()).take()));
  ZWINGER_CHECK_OK(write_file_atomically(path, pretty(grant.root()) + "\n", 0600));
  return path;
}

int run(const Arguments& arguments, Context& context) {
  if (arguments.allow.empty()) {
    if (arguments.days) return usage_error(context, "--days belongs to --allow");
    const Result<fs::path> directory = write_policy(arguments, context);
    if (!directory) return report(context, directory.error(), kUsage);
    const std::string option = arguments.policy.empty() ? "" : " --policy " + arguments.policy;
    context.out << printable(
        fmt::format("Wrote a development policy to {0}\n"
                    "  {0}/zwinger.yaml         what the gateway does; read and change it\n"
                    "  {0}/grants/example.json  a grant to begin with\n"
                    "Next:\n"
                    "  zwinger up{1}\n"
                    "  zwinger token mint{1} --subject me --grant {0}/grants/example.json\n",
                    directory->string(), option));
    return kOk;
  }
  if (!arguments.policy.empty()) {
    return usage_error(context,
                       "--allow writes the local grant, which belongs to no policy directory");
  }
  const Result<fs::path> path = write_grant(arguments, context);
  if (!path) return report(context, path.error(), kUsage);
  context.out << printable(fmt::format(
      "Wrote a grant for {} days to {}\nNext:\n  zwinger wrap -- COMMAND OF AN MCP SERVER\n",
      arguments.days.value_or(kDefaultDays), path->string()));
  return kOk;
}

}  // namespace

Command init_command() {
  return {.name = "init",
          .summary = "Write a starter policy directory, or with --allow a grant for 'zwinger wrap'",
          .example = "zwinger init --allow 'server/read_*' --days 7",
          .declare = [](Options& options) -> Run {
            auto arguments = std::make_shared<Arguments>();
            options.text("--policy", arguments->policy, "DIR", "The policy directory to write");
            options.list("--allow", arguments->allow, "GLOB",
                         "A tool that the local grant allows, as upstream/tool");
            options.number("--days", arguments->days,
                           "How long the local grant is valid; default 30", 1, 366);
            options.flag("--force", arguments->force, "Write over what exists");
            return [arguments](Context& context) { return run(*arguments, context); };
          }};
}

}  // namespace zwinger::cmd
