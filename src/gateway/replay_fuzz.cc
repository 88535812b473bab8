// Sessions of any bytes: no line may end the program, and nothing is allowed before a grant.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "gateway/replay.h"

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer calls it by this name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  zwinger::gateway::Replay session(nullptr, 1'700'000'000);
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  bool granted = false;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(line.size() < rest.size() ? line.size() + 1 : line.size());
    // Wide of the mark on purpose: escapes may spell it otherwise, and then no claim is made.
    granted = granted || line.find("grant") != line.npos || line.find('\\') != line.npos;
    const auto out = session.take_line(line, "");
    if (!out) break;
    for (const std::string& each : *out) {
      if (!granted && each.find(R"("verdict":"allow")") != each.npos) std::abort();
    }
  }
  return 0;
}
