// The kernel's process table, read from /proc. Private to src/net. Any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace zwinger::net {

struct ProcEntry {
  pid_t pid = 0;
  pid_t parent = 0;
  pid_t group = 0;
  pid_t session = 0;
  std::uint64_t start_time =
      0;                // in clock ticks since boot: with the pid it names one process for good
  bool zombie = false;  // has ended, is not reaped yet

  bool operator==(const ProcEntry&) const = default;
};

// Nothing where there is no such process (any more).
[[nodiscard]] std::optional<ProcEntry> read_process(pid_t pid);
// Every process that can be seen, each as it was at some moment of the call.
[[nodiscard]] std::vector<ProcEntry> read_processes();
// Sends a signal to that very process, never to another one that got its number since.
void signal_process(const ProcEntry& entry, int signal);

}  // namespace zwinger::net
