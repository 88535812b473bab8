// `zwinger replay`: recorded sessions through every stage, without upstreams.
#include <fmt/format.h>

#include <fstream>
#include <istream>
#include <ostream>

#include "cmd/command.h"
#include "gateway/replay.h"

namespace zwinger::cmd {

namespace {

struct Arguments {
  std::string policy;
  std::string approvals = "none";  // no stage of this build asks for one
  std::vector<std::string> files;
};

// One session. `shown` goes into each output line where it is not empty.
Result<void> replay(std::istream& in, const std::string& name, std::string_view shown,
                    const gateway::Policy* policy, Context& context) {
  gateway::Replay session(policy, context.clock.unix_seconds());
  std::uint64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    Result<std::vector<std::string>> out = session.take_line(line, shown);
    if (!out) {
      Error error = std::move(out).error();
      const std::string place = fmt::format("{}:{}", name, number);
      error.where = error.where.empty() ? place : fmt::format("{}, {}", place, error.where);
      return std::unexpected(std::move(error));
    }
    for (const std::string& each : *out) context.out << each << '\n';
    if (context.out_is_terminal) context.out.flush();
  }
  if (in.bad()) return fail(Code::io, "the file cannot be read", name);
  return {};
}

int run(const Arguments& arguments, Context& context) {
  std::optional<gateway::Policy> policy;
  if (!arguments.policy.empty()) {
    policy = load_policy_or_report(context, arguments.policy);
    if (!policy) return kUsage;
  } else {
    context.err
        << "zwinger: without --policy roles do not restrict and every upstream counts as shared\n";
  }
  for (const std::string& name : arguments.files) {
    std::ifstream file;
    if (name != "-") {
      std::error_code ec;
      file.open(name, std::ios::binary);
      if (!file || std::filesystem::is_directory(name, ec)) {
        return report(context,
                      {.code = Code::io, .message = "the file cannot be opened", .where = name},
                      kUsage);
      }
    }
    const auto done =
        replay(name == "-" ? context.in : file, name, arguments.files.size() > 1 ? name : "",
               policy ? &*policy : nullptr, context);
    if (!done) {
      context.out.flush();
      return report(context, done.error(), kUsage);
    }
  }
  return kOk;
}

}  // namespace

Command replay_command() {
  return {.name = "replay",
          .summary = "Judge recorded sessions again, without upstreams",
          .example = "zwinger replay --policy ./policy session.jsonl",
          .declare = [](Options& options) -> Run {
            auto arguments = std::make_shared<Arguments>();
            options.text(
                "--policy", arguments->policy, "DIR",
                "The policy directory; without it roles do not restrict and upstreams are shared");
            options.choice("--approvals", arguments->approvals, {"none", "all"},
                           "How requests for approval are answered");
            options.list("files", arguments->files, "FILE",
                         "Sessions as JSON Lines, one a file; - is standard input", true);
            return [arguments](Context& context) { return run(*arguments, context); };
          }};
}

}  // namespace zwinger::cmd
