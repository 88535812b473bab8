// `zwinger gateway` with its record in memory, to see what the doorway costs without a disk.
// Nothing else differs. For this bench only: the product has no such switch, because a record that
// can be left out is none.
//
//   zwinger_bench_gateway --policy DIR --json
#include <unistd.h>

#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "cmd/ready.h"
#include "gateway/gateway.h"
#include "ledger/ledger.h"

namespace zwinger::bench {

namespace {

int report(std::string_view what) {
  std::cerr << "zwinger_bench_gateway: " << what << "\n";
  return 2;
}

int run(const std::string& directory) {
  const auto policy = gateway::load_policy(directory);
  if (!policy) return report(policy.error().front().to_string());
  const SystemClock clock;
  SystemRandom random;
  const std::unique_ptr<Log> log = make_stderr_log(LogLevel::info);
  const gateway::Environment environment{.clock = clock, .random = random, .log = *log};
  const auto on_ready = [](const gateway::Ready& ready) {
    const cmd::ReadyLine line{.endpoints = ready.endpoints, .pid = ::getpid()};
    std::cout << line.to_json() << "\n" << std::flush;
  };
  const Result<void> done =
      gateway::run_gateway(*policy, environment, on_ready, ledger::RecordNothingForBenchmarks{});
  return done ? 0 : report(done.error().to_string());
}

}  // namespace

}  // namespace zwinger::bench

int main(int argc, char** argv) {
  if (argc != 4 || std::string_view(argv[1]) != "--policy" ||
      std::string_view(argv[3]) != "--json") {
    std::cerr << "zwinger_bench_gateway --policy DIR --json\n";
    return 2;
  }
  return zwinger::bench::run(argv[2]);
}
