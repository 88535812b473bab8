// The machine itself, as `zwinger doctor` asks it. System calls only; no judgement.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/kvm.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <system_error>

#include "base/fd.h"
#include "cmd/doctor.h"
#include "net/loop.h"
#include "net/process.h"

namespace zwinger::cmd {

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr std::size_t kMaxProcFile = std::size_t{1} << 20U;
constexpr std::size_t kMaxOutput = std::size_t{16} << 10U;
constexpr auto kRunBound = 10s;  // npx alone takes a second on a slow machine
constexpr auto kConnectBound = 1s;

std::string errno_text(int error) { return std::generic_category().message(error); }

struct Magic {
  std::uint64_t number;
  std::string_view name;
};
// statfs(2). Those that linux/magic.h does not list are written out.
constexpr std::array kMagics = {Magic{.number = EXT4_SUPER_MAGIC, .name = "ext4"},
                                Magic{.number = 0x58465342, .name = "xfs"},
                                Magic{.number = BTRFS_SUPER_MAGIC, .name = "btrfs"},
                                Magic{.number = 0x2fc12fc1, .name = "zfs"},
                                Magic{.number = F2FS_SUPER_MAGIC, .name = "f2fs"},
                                Magic{.number = TMPFS_MAGIC, .name = "tmpfs"},
                                Magic{.number = RAMFS_MAGIC, .name = "ramfs"},
                                Magic{.number = OVERLAYFS_SUPER_MAGIC, .name = "overlay"},
                                Magic{.number = NFS_SUPER_MAGIC, .name = "nfs"},
                                Magic{.number = 0xff534d42, .name = "cifs"},
                                Magic{.number = 0xfe534d42, .name = "smb2"},
                                Magic{.number = 0x65735546, .name = "fuse"},
                                Magic{.number = V9FS_MAGIC, .name = "9p"}};

std::string type_name(std::uint64_t number) {
  for (const Magic& each : kMagics)
    if (each.number == number) return std::string(each.name);
  return fmt::format("{:#x}", number);
}

// Why a file in this folder could not be written and made durable; empty if it could.
std::string try_sync(const fs::path& folder) {
  Fd file(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file && (errno == EOPNOTSUPP || errno == EISDIR)) {
    std::string name = (folder / ".zwinger-doctor-XXXXXX").string();
    file = Fd(::mkostemp(name.data(), O_CLOEXEC));
    if (file) ::unlink(name.c_str());
  }
  if (!file) return errno_text(errno);
  if (::write(file.get(), "zwinger", 7) != 7) return errno_text(errno);
  return ::fdatasync(file.get()) == 0 ? std::string() : errno_text(errno);
}

// One child from its start to its end, with what it wrote.
class BoundedRun {
 public:
  explicit BoundedRun(const net::ProcessOptions& options) : options_(options) {}

  Result<Ran> run() {
    auto process = net::Process::start(loop_, options_);
    if (!process) return std::unexpected(process.error());
    process_ = *std::move(process);
    process_->input().close();
    open_ends_ = 3;
    loop_.spawn(read(process_->output(), output_));
    loop_.spawn(read(*process_->error(), errors_));
    loop_.spawn(wait());
    const auto timer = loop_.call_at(net::Loop::now() + kRunBound, [this] {
      late_ = true;
      loop_.stop();
    });
    loop_.run();
    loop_.cancel(timer);
    process_.reset();  // whatever it started goes with it
    if (late_) {
      return fail(Code::timeout, fmt::format("'{}' did not end within {} s", options_.command[0],
                                             std::chrono::seconds(kRunBound).count()));
    }
    return Ran{.exit_code = WIFEXITED(status_) ? WEXITSTATUS(status_) : -1,
               .output = output_ + errors_};
  }

 private:
  Task<void> read(net::Stream& stream, std::string& into) {
    std::array<char, 1024> chunk{};
    while (true) {
      auto some = stream.read_some(chunk, std::nullopt);
      const Result<std::size_t> size = co_await some;
      if (!size || *size == 0) break;
      if (into.size() < kMaxOutput) into.append(chunk.data(), *size);
    }
    ended();
  }
  Task<void> wait() {
    auto end = process_->wait();
    status_ = co_await end;
    ended();
  }
  void ended() {
    if (--open_ends_ == 0) loop_.stop();
  }

  const net::ProcessOptions& options_;
  net::Loop loop_;
  std::unique_ptr<net::Process> process_;
  std::string output_;
  std::string errors_;
  int status_ = 0;
  int open_ends_ = 0;
  bool late_ = false;
};

class SystemHost final : public Host {
 public:
  explicit SystemHost(const std::vector<std::pair<std::string, std::string>>& environment) {
    for (const auto& [name, value] : environment) {
      if (name == "PATH") path_ = value;
      if (name == "PATH" || name == "HOME" || name == "LANG")
        environment_.emplace_back(name, value);
    }
  }

  std::string kernel_release() override {
    struct utsname names{};
    return ::uname(&names) == 0 ? std::string(std::begin(names.release)) : std::string();
  }

  std::optional<std::string> read(const fs::path& path) override {
    std::ifstream file(path, std::ios::binary);
    std::string text(kMaxProcFile, '\0');
    if (!file.read(text.data(), static_cast<std::streamsize>(text.size())) && !file.eof())
      return std::nullopt;
    text.resize(static_cast<std::size_t>(file.gcount()));
    if (text.ends_with('\n')) text.pop_back();
    return text;
  }

  bool writable(const fs::path& folder) override {
    return ::access(folder.c_str(), W_OK | X_OK) == 0;
  }

  int landlock_abi() override {
    constexpr unsigned kAskVersion = 1;  // LANDLOCK_CREATE_RULESET_VERSION
    const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, kAskVersion);
    return version > 0 ? static_cast<int>(version) : 0;
  }

  bool has_pidfd() override {
    return static_cast<bool>(Fd(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0))));
  }

  bool has_openat2() override {
    struct open_how how{};
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH;
    const long opened = ::syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof how);
    return static_cast<bool>(Fd(static_cast<int>(opened)));
  }

  Kvm kvm() override {
    Kvm out;
    const Fd device(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
    out.exists = device || errno != ENOENT;
    if (!device) {
      out.open_error = errno_text(errno);
      return out;
    }
    out.api_version = ::ioctl(device.get(), KVM_GET_API_VERSION, 0);
    return out;
  }

  Descriptors descriptors() override {
    struct rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return {};
    return {.soft = limit.rlim_cur, .hard = limit.rlim_max};
  }

  std::optional<bool> clock_synchronised() override {
    struct timex state{};
    const int result = ::adjtimex(&state);
    if (result < 0) return std::nullopt;
    return result != TIME_ERROR && (static_cast<unsigned>(state.status) & STA_UNSYNC) == 0;
  }

  Result<FileSystem> file_system(const fs::path& folder) override {
    fs::path there = folder;
    std::error_code ec;
    while (!fs::is_directory(there, ec) && there.has_relative_path()) there = there.parent_path();
    struct statfs found{};
    if (::statfs(there.c_str(), &found) != 0)
      return fail(Code::io, errno_text(errno), there.string());
    return FileSystem{.type = type_name(static_cast<std::uint32_t>(found.f_type)),
                      .free_bytes = static_cast<std::uint64_t>(found.f_bavail) *
                                    static_cast<std::uint64_t>(found.f_bsize),
                      .sync_error = try_sync(there)};
  }

  std::optional<fs::path> find(std::string_view program) override {
    if (program.contains('/')) return runnable(fs::path(program));
    for (std::string_view rest = path_; !rest.empty();) {
      const std::string_view folder = rest.substr(0, rest.find(':'));
      rest.remove_prefix(std::min(rest.size(), folder.size() + 1));
      if (!folder.starts_with('/')) continue;
      if (const auto found = runnable(fs::path(folder) / program)) return found;
    }
    return std::nullopt;
  }

  Result<Ran> run(const std::vector<std::string>& command) override {
    net::ProcessOptions options;
    options.command = command;
    options.environment = environment_;
    return BoundedRun(options).run();
  }

  Result<void> can_listen(const net::Address& address) override {
    net::Loop loop;
    if (address.family != net::Address::Family::unix_socket) {
      ZWINGER_TRY(const auto listener, net::listen(loop, address));
      listener->close();
      return {};
    }
    // Listening would make the socket's file: only who is there already is asked.
    std::error_code ec;
    if (!fs::exists(fs::path(address.host), ec)) {
      const fs::path folder = fs::path(address.host).parent_path();
      if (writable(folder)) return {};
      return fail(Code::io, fmt::format("cannot make a socket in {}", folder.string()));
    }
    bool answered = false;
    loop.spawn(ask(loop, address, answered));
    loop.run();
    if (answered) return fail(Code::io, errno_text(EADDRINUSE));
    return {};
  }

 private:
  static std::optional<fs::path> runnable(fs::path path) {
    std::error_code ec;
    if (!fs::is_regular_file(path, ec) || ::access(path.c_str(), X_OK) != 0) return std::nullopt;
    return path;
  }

  static Task<void> ask(net::Loop& loop, net::Address address, bool& answered) {
    auto connecting = net::connect(loop, std::move(address), net::Loop::now() + kConnectBound);
    const auto stream = co_await connecting;
    answered = stream.has_value();
    loop.stop();
  }

  std::string path_;
  std::vector<std::pair<std::string, std::string>> environment_;
};

}  // namespace

std::unique_ptr<Host> make_system_host(
    const std::vector<std::pair<std::string, std::string>>& environment) {
  return std::make_unique<SystemHost>(environment);
}

}  // namespace zwinger::cmd
