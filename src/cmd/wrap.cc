// `zwinger wrap`: guards one stdio MCP server.
#include <fmt/format.h>

#include "base/log.h"
#include "cmd/command.h"
#include "gateway/gateway.h"

namespace zwinger::cmd {

namespace {

struct Arguments {
  std::string id = "server";
  std::string policy;
  std::string grant;
  std::vector<std::string> command;
};

Result<gateway::WrapOptions> options_of(const Arguments& arguments, const gateway::Policy* policy,
                                        const Context& context) {
  gateway::WrapOptions options;
  options.upstream_id = arguments.id;
  options.command = arguments.command;
  options.policy = policy;
  if (!gateway::is_upstream_id(arguments.id)) {
    return fail(Code::usage, "an upstream id is 1 to 32 characters of a-z, 0-9 and '-'", "--id");
  }
  if (policy != nullptr && !policy->vertical_of(arguments.id)) {
    return fail(
        Code::upstream_unknown,
        fmt::format("the policy has no upstream '{}', so its vertical is unknown", arguments.id),
        "--id");
  }
  if (policy != nullptr) {
    options.state_dir = policy->state_dir;
  } else {
    ZWINGER_TRY(options.state_dir, state_folder(context));
  }
  options.grant_file = arguments.grant;
  if (arguments.grant.empty()) {
    ZWINGER_TRY(const std::filesystem::path folder, config_folder(context));
    options.grant_file = (folder / "grant.json").string();
  }
  return options;
}

int run(const Arguments& arguments, Context& context) {
  if (arguments.command.empty()) {
    return usage_error(context,
                       "put the server's command behind --: zwinger wrap -- npx -y SOME-SERVER");
  }
  std::optional<gateway::Policy> policy;
  if (!arguments.policy.empty()) {
    policy = load_policy_or_report(context, arguments.policy);
    if (!policy) return kUsage;
  }
  const Result<gateway::WrapOptions> options =
      options_of(arguments, policy ? &*policy : nullptr, context);
  if (!options) return report(context, options.error(), kUsage);
  const std::unique_ptr<Log> log = make_stderr_log(LogLevel::warn);
  const auto done =
      gateway::run_wrap(*options, {.clock = context.clock, .random = context.random, .log = *log});
  return done ? kOk : report(context, done.error(), kUsage);
}

}  // namespace

Command wrap_command() {
  return {.name = "wrap",
          .summary = "Guard one MCP server that speaks on standard input and output",
          .example =
              "zwinger wrap --id files -- npx -y @modelcontextprotocol/server-filesystem "
              "/home/me/notes",
          .declare = [](Options& options) -> Run {
            auto arguments = std::make_shared<Arguments>();
            options.text("--id", arguments->id, "ID",
                         "What grants call this server; default 'server'");
            options.text(
                "--policy", arguments->policy, "DIR",
                "A policy directory; without it roles do not restrict and the server is shared");
            options.text("--grant", arguments->grant, "FILE",
                         "The local grant; default is what 'init --allow' wrote");
            options.rest(arguments->command);
            return [arguments](Context& context) { return run(*arguments, context); };
          }};
}

}  // namespace zwinger::cmd
