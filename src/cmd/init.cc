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
#include "grant/grant.h"
#include "json/json.h"
#include "json/writer.h"

namespace zwinger::cmd {

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kDefaultDays = 30;
constexpr std::int64_t kSecondsPerDay = 86400;

struct Arguments {
  std::string policy;
  std::vector<std::string> allow;
  std::vector<std::string> allow_resources;
  std::vector<std::string> allow_prompts;
  std::optional<std::int64_t> days;
  bool force = false;

  // The local grant is to be written, not a policy.
  [[nodiscard]] bool is_about_a_grant() const {
    return !allow.empty() || !allow_resources.empty() || !allow_prompts.empty();
  }
};

constexpr std::string_view kStarterPolicy =
    R"(# The policy of one gateway. 'zwinger check' shows what it says, or every error in it.

# development: 'zwinger token mint' works. production: tokens come from your identity provider.
mode: development

# Counters, the record and the development key; relative to this directory.
stateDir: state

# Without tls only loopback addresses and unix:/path are accepted. Port 0 takes any free port.
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
    scope:
      - "tools:list"
      - "tools:call"
      - "resources:list"
      - "resources:read"
      - "resources:subscribe"
      - "prompts:list"
      - "prompts:get"
      - "completion"
    toolsInScope: ["everything/*"]
    toolsOutOfScope: []
    # Globs over upstream/uri; a final /** is any rest.
    resourcesInScope: ["everything/demo://**"]
    promptsInScope: ["everything/*"]
    verticals: []
)";

constexpr std::string_view kStarterGrant = R"({
  "actorType": "agent",
  "role": "operator",
  "scope": ["tools:list", "tools:call", "resources:list", "resources:read", "prompts:list",
            "prompts:get", "completion"],
  "toolsInScope": ["everything/echo", "everything/get-*"],
  "resourcesInScope": {"everything": ["demo://resource/**"]},
  "promptsInScope": {"everything": ["*"]},
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

// --- the local grant
// ---------------------------------------------------------------------------------------

// What the grant's members will be.
struct Allowed {
  std::vector<std::string> tools;
  std::vector<std::string> resources;
  std::vector<std::string> prompts;

  [[nodiscard]] std::vector<grant::Scope> scopes() const {
    std::vector<grant::Scope> out;
    if (!tools.empty()) out.insert(out.end(), {grant::Scope::tools_list, grant::Scope::tools_call});
    if (!resources.empty()) {
      out.insert(out.end(), {grant::Scope::resources_list, grant::Scope::resources_read,
                             grant::Scope::resources_subscribe});
    }
    if (!prompts.empty()) {
      out.insert(out.end(), {grant::Scope::prompts_list, grant::Scope::prompts_get});
    }
    if (!resources.empty() || !prompts.empty()) out.push_back(grant::Scope::completion);
    return out;
  }
};

// Globs that together match every URI of the upstream that a glob can match: without a slash, with
// one at its end, and with something behind it.
constexpr std::array<std::string_view, 3> kEveryUri = {"*", "*/", "*/**"};

// The upstream of "ID/*", which stands for everything that the server has.
std::optional<std::string_view> whole_server(std::string_view glob) {
  constexpr std::string_view kEverything = "/*";
  if (!glob.ends_with(kEverything)) return std::nullopt;
  glob.remove_suffix(kEverything.size());
  if (glob.contains('/')) return std::nullopt;
  return glob;
}

// `glob`, if `parsed` is one; else what is wrong with it.
template <class Glob>
Result<std::string> checked(std::string glob, const Result<Glob>& parsed, std::string_view option) {
  if (parsed) return glob;
  return fail(Code::usage, fmt::format("'{}': {}", glob, parsed.error().message),
              std::string(option));
}

Result<Allowed> read_globs(const Arguments& arguments) {
  Allowed out;
  for (const std::string& glob : arguments.allow) {
    ZWINGER_TRY(std::string tools, checked(glob, grant::parse_tool_glob(glob), "--allow"));
    out.tools.push_back(std::move(tools));
    const auto upstream = whole_server(glob);
    if (!upstream) continue;
    for (const std::string_view uri : kEveryUri) {
      std::string every = fmt::format("{}/{}", *upstream, uri);
      const auto parsed = grant::parse_resource_glob(every);
      if (!parsed) {
        return fail(Code::usage,
                    fmt::format("'{}' names no upstream: an id has a-z, 0-9 and '-'", glob),
                    "--allow");
      }
      out.resources.push_back(std::move(every));
    }
    out.prompts.push_back(glob);
  }
  for (const std::string& glob : arguments.allow_resources) {
    ZWINGER_TRY(std::string resources,
                checked(glob, grant::parse_resource_glob(glob), "--allow-resources"));
    out.resources.push_back(std::move(resources));
  }
  for (const std::string& glob : arguments.allow_prompts) {
    ZWINGER_TRY(std::string prompts,
                checked(glob, grant::parse_prompt_glob(glob), "--allow-prompts"));
    out.prompts.push_back(std::move(prompts));
  }
  return out;
}

void write_globs(json::Writer& out, std::string_view key, const std::vector<std::string>& globs) {
  if (globs.empty()) return;
  out.key(key).begin_array();
  for (const std::string& glob : globs) out.string(glob);
  out.end_array();
}

std::string grant_text(const Allowed& allowed, UnixSeconds expires) {
  json::Writer out;
  out.begin_object();
  out.key("sub").string(user_name());
  out.key("exp").integer(expires);
  out.key("atr").begin_object();
  out.key("role").string("operator");
  out.key("scope").begin_array();
  for (const grant::Scope scope : allowed.scopes()) out.string(to_string(scope));
  out.end_array();
  write_globs(out, "toolsInScope", allowed.tools);
  write_globs(out, "resourcesInScope", allowed.resources);
  write_globs(out, "promptsInScope", allowed.prompts);
  return std::move(out.end_object().end_object()).take();
}

Result<fs::path> write_grant(const Arguments& arguments, Context& context) {
  ZWINGER_TRY(const Allowed allowed, read_globs(arguments));
  ZWINGER_TRY(const fs::path folder, config_folder(context));
  fs::path path = folder / "grant.json";
  ZWINGER_CHECK_OK(refuse_to_overwrite({path}, arguments.force));
  const UnixSeconds expires =
      context.clock.unix_seconds() + arguments.days.value_or(kDefaultDays) * kSecondsPerDay;
  ZWINGER_TRY(const json::Document grant, json::Document::parse(grant_text(allowed, expires)));
  ZWINGER_CHECK_OK(write_file_atomically(path, pretty(grant.root()) + "\n", 0600));
  return path;
}

int run(const Arguments& arguments, Context& context) {
  if (!arguments.is_about_a_grant()) {
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
          .example = "zwinger init --allow 'server/*' --days 7",
          .declare = [](Options& options) -> Run {
            auto arguments = std::make_shared<Arguments>();
            options.text("--policy", arguments->policy, "DIR", "The policy directory to write");
            options.list("--allow", arguments->allow, "GLOB",
                         "Tools that the local grant allows, as upstream/tool; 'ID/*' allows "
                         "all that the server ID has: tools, resources and prompts");
            options.list("--allow-resources", arguments->allow_resources, "GLOB",
                         "Resources that it allows, as upstream/uri, such as "
                         "'server/file:///data/**'; with their completion");
            options.list("--allow-prompts", arguments->allow_prompts, "GLOB",
                         "Prompts that it allows, as upstream/prompt; with their completion");
            options.number("--days", arguments->days,
                           "How long the local grant is valid; default 30", 1, 366);
            options.flag("--force", arguments->force, "Write over what exists");
            return [arguments](Context& context) { return run(*arguments, context); };
          }};
}

}  // namespace zwinger::cmd
