// `zwinger up`: starts the gateway, restarts it when it dies, and ends everything with itself.
#include <fmt/format.h>
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <csignal>
#include <ostream>

#include "base/log.h"
#include "cmd/command.h"
#include "cmd/ready.h"
#include "gateway/gateway.h"
#include "net/loop.h"
#include "net/process.h"

namespace zwinger::cmd {

namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kFirstPause = 200ms;
constexpr std::chrono::milliseconds kLongestPause = 10s;
constexpr auto kHealthyAfter =
    30s;  // a gateway that lived this long begins with the first pause again
constexpr auto kStopGrace = gateway::kShutdownBound + 5s;
constexpr std::size_t kMaxLine = std::size_t{256} << 10U;

struct Arguments {
  std::string policy;
  bool json = false;
};

std::string describe(int status) {
  if (WIFEXITED(status)) return fmt::format("exit code {}", WEXITSTATUS(status));
  if (WIFSIGNALED(status)) return fmt::format("signal {}", WTERMSIG(status));
  return fmt::format("status {}", status);
}

class Supervisor {
 public:
  Supervisor(Context& context, net::ProcessOptions child, bool json, Log& log)
      : context_(context), child_(std::move(child)), json_(json), log_(log) {}

  int run() {
    loop_.on_signal(SIGTERM, [this] { stop(); });
    loop_.on_signal(SIGHUP, [this] {  // the gateway reads its policy again
      if (process_) (void)::kill(process_->pid(), SIGHUP);
    });
    loop_.on_signal(SIGINT, [this] { stop(); });
    start();
    if (!finished_) loop_.run();
    return exit_code_;
  }

 private:
  void start() {
    began_ = net::Loop::now();
    auto process = net::Process::start(loop_, child_);
    if (!process) {
      report(context_, process.error(), kUsage);
      finish(kUsage);
      return;
    }
    process_ = *std::move(process);
    log_.info("gateway started, process {}", process_->pid());
    loop_.spawn(watch());
  }

  // From the start of one gateway to its end.
  Task<void> watch() {
    std::string line;
    std::array<char, 4096> chunk{};
    while (true) {
      auto read = process_->output().read_some(chunk, std::nullopt);
      const Result<std::size_t> size = co_await read;
      if (!size || *size == 0) break;
      for (const char c : std::string_view(chunk.data(), *size)) {
        if (c == '\n') {
          take_line(line);
          line.clear();
        } else if (line.size() < kMaxLine) {
          line += c;
        }
      }
    }
    auto ended = process_->wait();
    const int status = co_await ended;
    process_.reset();
    net::kill_orphans();  // upstreams that outlived it
    on_end(status);
  }

  void take_line(const std::string& line) {
    const auto ready = ReadyLine::parse(line);
    if (!ready) return;
    was_ready_ = true;
    context_.out << (json_ ? ready->to_json() + "\n" : printable(ready->to_text())) << std::flush;
  }

  void on_end(int status) {
    if (stopping_) {
      log_.info("gateway ended, {}", describe(status));
      finish(WIFEXITED(status) && WEXITSTATUS(status) == kOk ? kOk : kNo);
      return;
    }
    if (!was_ready_ && WIFEXITED(status) && WEXITSTATUS(status) == kUsage) {
      finish(kUsage);  // it has said why; trying again would say the same
      return;
    }
    if (net::Loop::now() - began_ >= kHealthyAfter) pause_ = kFirstPause;
    log_.error("gateway ended, {}; starting it again in {} ms", describe(status), pause_.count());
    timer_ = loop_.call_at(net::Loop::now() + pause_, [this] {
      timer_.reset();
      start();
    });
    pause_ = std::min(pause_ * 2, kLongestPause);
  }

  // The first time it asks, the second time it does not.
  void stop() {
    if (process_ == nullptr) {
      finish(kOk);
    } else if (stopping_) {
      process_->kill_tree();
    } else {
      log_.info("stopping");
      (void)::kill(process_->pid(), SIGTERM);
      timer_ = loop_.call_at(net::Loop::now() + kStopGrace, [this] {
        timer_.reset();
        if (process_ != nullptr) process_->kill_tree();
      });
    }
    stopping_ = true;
  }

  void finish(int exit_code) {
    if (timer_) loop_.cancel(*timer_);
    timer_.reset();
    exit_code_ = exit_code;
    finished_ = true;
    loop_.stop();
  }

  Context& context_;
  net::ProcessOptions child_;
  bool json_;
  Log& log_;
  net::Loop loop_;
  std::unique_ptr<net::Process> process_;  // nothing between two gateways
  std::optional<net::Loop::TimerId> timer_;
  Monotonic began_;
  std::chrono::milliseconds pause_ = kFirstPause;
  bool was_ready_ = false;
  bool stopping_ = false;
  bool finished_ = false;
  int exit_code_ = kOk;
};

int run(const Arguments& arguments, Context& context) {
  const Result<std::filesystem::path> directory = policy_directory(context, arguments.policy);
  if (!directory) return report(context, directory.error(), kUsage);
  net::ProcessOptions child;
  child.command = {context.executable.string(), "gateway", "--policy", directory->string(),
                   "--json"};
  child.environment = context.environment;
  child.inherit_stderr = true;
  const std::unique_ptr<Log> log = make_stderr_log(LogLevel::info);
  return Supervisor(context, std::move(child), arguments.json, *log).run();
}

}  // namespace

Command up_command() {
  return {.name = "up",
          .summary = "Run everything on this host, and restart what dies",
          .example = "zwinger up --policy ./policy",
          .declare = [](Options& options) -> Run {
            auto arguments = std::make_shared<Arguments>();
            options.text("--policy", arguments->policy, "DIR", "The policy directory");
            options.flag("--json", arguments->json,
                         "Say in one JSON line each time the gateway is ready");
            return [arguments](Context& context) { return run(*arguments, context); };
          }};
}

}  // namespace zwinger::cmd
