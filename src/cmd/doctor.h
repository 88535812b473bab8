// What `zwinger doctor` looks at. A Host answers questions about the machine and judges nothing;
// diagnose() judges and asks nobody but the Host, so that a test can put every finding before it.
// Main thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "net/stream.h"

namespace zwinger::cmd {

struct Ran {
  int exit_code = 0;   // -1: it was ended by a signal
  std::string output;  // standard output, and standard error behind it; cut off at a bound
};

struct FileSystem {
  std::string type;  // "ext4"; a hexadecimal number where we have no name for it
  std::uint64_t free_bytes = 0;
  std::string sync_error;  // why a file could not be written and synced; empty if it could
};

struct Kvm {
  bool exists = false;
  std::string open_error;  // empty where it could be opened
  int api_version = 0;
};

struct Descriptors {
  std::uint64_t soft = 0;
  std::uint64_t hard = 0;
};

class Host {
 public:
  virtual ~Host() = default;
  Host() = default;
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  [[nodiscard]] virtual std::string kernel_release() = 0;
  // A small file of /proc or /sys without its last line break; nothing where it cannot be read.
  [[nodiscard]] virtual std::optional<std::string> read(const std::filesystem::path& path) = 0;
  // Whether this process may make folders in it.
  [[nodiscard]] virtual bool writable(const std::filesystem::path& folder) = 0;
  // The version of Landlock's interface; 0 where there is none.
  [[nodiscard]] virtual int landlock_abi() = 0;
  // Whether the kernel knows these system calls, and lets us make them.
  [[nodiscard]] virtual bool has_pidfd() = 0;
  [[nodiscard]] virtual bool has_openat2() = 0;
  [[nodiscard]] virtual Kvm kvm() = 0;
  [[nodiscard]] virtual Descriptors descriptors() = 0;
  // Whether somebody keeps the clock; nothing where the kernel does not say.
  [[nodiscard]] virtual std::optional<bool> clock_synchronised() = 0;
  // Of the folder, or of the nearest one above it that is there. A probe file has no name and
  // leaves no trace.
  [[nodiscard]] virtual Result<FileSystem> file_system(const std::filesystem::path& folder) = 0;
  // The program in PATH; nothing where it is not there.
  [[nodiscard]] virtual std::optional<std::filesystem::path> find(std::string_view program) = 0;
  // Runs it without a shell, without input, for a bounded time. Errors: io, timeout.
  [[nodiscard]] virtual Result<Ran> run(const std::vector<std::string>& command) = 0;
  // Whether a gateway could listen here now. Errors: io.
  [[nodiscard]] virtual Result<void> can_listen(const net::Address& address) = 0;
};

// This machine. `environment` is what programs get of it: PATH, HOME and LANG.
[[nodiscard]] std::unique_ptr<Host> make_system_host(
    const std::vector<std::pair<std::string, std::string>>& environment);

struct Finding {
  enum class State : std::uint8_t {
    ok,
    warn,    // works, or will be needed only later or for one purpose
    missing  // needed, and not there
  };
  std::string name;
  State state = State::ok;
  std::string seen;
  std::string purpose;  // what it is for
  std::string fix;      // the command or the deed that mends it; empty where all is well
};
[[nodiscard]] std::string_view to_string(Finding::State state);

// What of the policy matters here. Neither loaded nor with errors: there is none yet.
struct PolicyFacts {
  std::filesystem::path directory;
  std::filesystem::path state_dir;
  bool loaded = false;
  std::vector<Error> errors;
  std::vector<net::Address> listeners;
  std::size_t upstreams = 0;
  std::vector<std::pair<std::string, std::string>> programs;  // upstream id, what starts it
};

// Every check, in the order in which they are shown.
[[nodiscard]] std::vector<Finding> diagnose(Host& host, const PolicyFacts& facts);

}  // namespace zwinger::cmd
