// The program. Everything it does is in the subcommands; see cli.cc for their list.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "cmd/command.h"

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  const zwinger::SystemClock clock;
  zwinger::SystemRandom random;
  zwinger::cmd::Context context{.clock = clock,
                                .random = random,
                                .in = std::cin,
                                .out = std::cout,
                                .err = std::cerr,
                                .out_is_terminal = ::isatty(STDOUT_FILENO) == 1,
                                .environment = {},
                                .executable = {}};
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string variable(*entry);
    const std::size_t equals = variable.find('=');
    if (equals != std::string::npos) {
      context.environment.emplace_back(variable.substr(0, equals), variable.substr(equals + 1));
    }
  }
  std::error_code ec;
  context.executable = std::filesystem::read_symlink("/proc/self/exe", ec);
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const int code = zwinger::cmd::run_command(arguments, context);
  std::cout.flush();
  if (code == zwinger::cmd::kOk && !std::cout) {
    std::cerr << "zwinger: io: standard output could not be written\n";
    return zwinger::cmd::kUsage;
  }
  return code;
}
