// `zwinger gateway`: the gateway itself.
#include <unistd.h>

#include <ostream>

#include "base/log.h"
#include "cmd/command.h"
#include "cmd/ready.h"
#include "gateway/gateway.h"

namespace zwinger::cmd {

namespace {

struct Arguments {
  std::string policy;
  bool json = false;
};

int run(const Arguments& arguments, Context& context) {
  const auto policy = load_policy_or_report(context, arguments.policy);
  if (!policy) return kUsage;
  if (policy->listeners.empty()) {
    return report(context,
                  {.code = Code::policy_missing_key,
                   .message = "a gateway needs 'listeners'",
                   .where = (policy->directory / gateway::kPolicyFile).string()},
                  kUsage);
  }
  const std::unique_ptr<Log> log = make_stderr_log(LogLevel::info);
  if (policy->mode == gateway::Mode::development) log->warn("development mode: not for production");
  const auto on_ready = [&](const gateway::Ready& ready) {
    const ReadyLine line{.endpoints = ready.endpoints, .pid = ::getpid()};
    context.out << (arguments.json ? line.to_json() + "\n" : printable(line.to_text()))
                << std::flush;
  };
  const auto done = gateway::run_gateway(
      *policy, {.clock = context.clock, .random = context.random, .log = *log}, on_ready);
  return done ? kOk : report(context, done.error(), kUsage);
}

}  // namespace

Command gateway_command() {
  return {.name = "gateway",
          .summary = "Run the gateway; 'zwinger up' does and restarts it",
          .example = "zwinger gateway --policy ./policy",
          .declare = [](Options& options) -> Run {
            auto arguments = std::make_shared<Arguments>();
            options.text("--policy", arguments->policy, "DIR", "The policy directory");
            options.flag("--json", arguments->json, "Say in one JSON line when it is ready");
            return [arguments](Context& context) { return run(*arguments, context); };
          }};
}

}  // namespace zwinger::cmd
