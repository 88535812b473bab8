#include "net/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers,hicpp-deprecated-headers): sigaction is POSIX
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <mutex>
#include <set>
#include <string_view>
#include <system_error>
#include <thread>

#include "net/descriptor.h"
#include "net/loop_impl.h"
#include "net/one_shot.h"
#include "net/proc_table.h"

namespace zwinger::net {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kKillPause{1};
constexpr int kKillRounds = 2000;

// --- the children of this process
// ------------------------------------------------------------------

// See process.h for why this one thing is global. A child is forked and listed under the lock, and
// reaped and struck off under it, so whoever holds the lock sees no child of ours that is missing
// here.
struct Children {
  std::mutex mutex;
  std::set<pid_t> owned;
};

Children& children() {
  static Children instance;
  return instance;
}

// The rest of this section runs under the lock.

bool is_orphan(const ProcEntry& entry, const std::set<pid_t>& owned) {
  return entry.parent == ::getpid() && !owned.contains(entry.pid) && entry.session != ::getsid(0);
}

void reap_orphans(const std::set<pid_t>& owned) {
  siginfo_t any{};
  if (::waitid(P_ALL, 0, &any, WEXITED | WNOHANG | WNOWAIT) != 0 || any.si_pid == 0) return;
  for (const ProcEntry& entry : read_processes()) {
    if (entry.zombie && is_orphan(entry, owned)) ::waitpid(entry.pid, nullptr, WNOHANG);
  }
}

// Ends a tree that does not want to end: all of it is stopped before any of it is killed, so that
// nobody is left to start another one, and what was once seen as part of the tree stays part of it
// when its parent is gone.
class Hunt {
 public:
  enum class Prey : std::uint8_t { tree, orphans };
  explicit Hunt(pid_t root) : prey_(Prey::tree) { sessions_.insert(root); }
  explicit Hunt(Prey prey) : prey_(prey) {}

  // Stops and kills what there is; true while something was still alive. `root` as long as it is
  // not reaped.
  bool round(const std::set<pid_t>& owned, std::optional<pid_t> root) {
    for (bool grew = true; grew;) grew = stop_new(owned, root);
    for (const ProcEntry& entry : living_) signal_process(entry, SIGKILL);
    return !living_.empty();
  }
  [[nodiscard]] std::size_t count() const { return seen_.size(); }

 private:
  // One look at the process table. Only descendants of this process are looked at, so a number that
  // was reused by a stranger is not mistaken for the session we hunt. Returns whether somebody new
  // was found and stopped.
  bool stop_new(const std::set<pid_t>& owned, std::optional<pid_t> root) {
    const std::vector<ProcEntry> table = read_processes();
    std::set<pid_t> ours{self_};
    std::set<pid_t> prey;
    living_.clear();
    for (bool changed = true; changed;) {
      changed = false;
      for (const ProcEntry& entry : table) {
        if (!ours.contains(entry.pid) && ours.contains(entry.parent))
          changed = ours.insert(entry.pid).second;
        if (!ours.contains(entry.pid) || prey.contains(entry.pid) || entry.pid == self_) continue;
        if (!is_prey(entry, prey, owned, root)) continue;
        prey.insert(entry.pid);
        if (entry.session != own_session_) sessions_.insert(entry.session);
        if (!entry.zombie) living_.push_back(entry);
        changed = true;
      }
    }
    bool grew = false;
    for (const ProcEntry& entry : living_) {
      if (!seen_.emplace(entry.pid, entry.start_time).second) continue;
      grew = true;
      signal_process(entry, SIGSTOP);
    }
    return grew;
  }

  [[nodiscard]] bool is_prey(const ProcEntry& entry, const std::set<pid_t>& prey,
                             const std::set<pid_t>& owned, std::optional<pid_t> root) const {
    if (entry.pid == root || prey.contains(entry.parent)) return true;
    if (owned.contains(entry.pid) || owned_session(entry, owned, root)) return false;
    if (seen_.contains({entry.pid, entry.start_time})) return true;
    if (sessions_.contains(entry.session) || sessions_.contains(entry.group)) return true;
    return prey_ == Prey::orphans && is_orphan(entry, owned);
  }
  // In a session or group that another Process's child leads; our root's number may be such a one
  // after it was reaped.
  static bool owned_session(const ProcEntry& entry, const std::set<pid_t>& owned,
                            std::optional<pid_t> root) {
    return (owned.contains(entry.session) && entry.session != root) ||
           (owned.contains(entry.group) && entry.group != root);
  }

  pid_t self_ = ::getpid();
  pid_t own_session_ = ::getsid(0);
  Prey prey_;
  std::set<pid_t> sessions_;
  std::set<std::pair<pid_t, std::uint64_t>> seen_;
  std::vector<ProcEntry> living_;
};

// --- starting
// --------------------------------------------------------------------------------------

std::string errno_text(int error) { return std::generic_category().message(error); }

std::unexpected<Error> start_error(const ProcessOptions& options, std::string_view why) {
  return fail(Code::io, fmt::format("cannot start '{}': {}",
                                    options.command.empty() ? "" : options.command[0], why));
}

struct Pipe {
  Fd read;
  Fd write;
};

// Both ends close on exec and stand above 2, so that dup2() in the child overwrites none of them.
Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail(Code::io, errno_text(errno));
  Pipe pipe{.read = Fd(ends[0]), .write = Fd(ends[1])};
  for (Fd* end : {&pipe.read, &pipe.write}) {
    if (end->get() > STDERR_FILENO) continue;
    *end = Fd(::fcntl(end->get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    if (!*end) return fail(Code::io, errno_text(errno));
  }
  return pipe;
}

// Everything that the child needs, made before the fork: after it, another thread's lock (malloc's,
// say) may be held for ever, so the child makes system calls only.
struct Image {
  std::vector<std::string> strings;
  std::vector<std::string> programs;  // to be tried in turn
  std::vector<char*> argv;
  std::vector<char*> envp;
  std::string directory;
};

struct ChildFailure {
  enum class Stage : std::uint8_t { setup, directory, exec };
  Stage stage = Stage::setup;
  int error = 0;
};

bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

Result<Image> make_image(const ProcessOptions& options) {
  if (options.command.empty() || options.command[0].empty())
    return start_error(options, "the command is empty");
  Image image;
  image.directory = options.working_directory.string();
  bool nul = has_nul(image.directory);
  std::string_view path;
  for (const std::string& word : options.command) {
    nul = nul || has_nul(word);
    image.strings.push_back(word);
  }
  for (const auto& [key, value] : options.environment) {
    if (key.empty() || key.find('=') != std::string::npos)
      return start_error(options, "an environment name is malformed");
    nul = nul || has_nul(key) || has_nul(value);
    if (key == "PATH") path = value;
    image.strings.push_back(fmt::format("{}={}", key, value));
  }
  if (nul)
    return start_error(options, "a word, a variable or the working directory holds a NUL byte");
  for (std::size_t i = 0; i < image.strings.size(); ++i) {
    (i < options.command.size() ? image.argv : image.envp).push_back(image.strings[i].data());
  }
  image.argv.push_back(nullptr);
  image.envp.push_back(nullptr);
  const std::string& program = options.command[0];
  if (program.find('/') != std::string::npos) {
    image.programs.push_back(program);
    return image;
  }
  while (!path.empty()) {
    const std::string_view folder = path.substr(0, path.find(':'));
    path.remove_prefix(std::min(path.size(), folder.size() + 1));
    if (folder.starts_with('/')) image.programs.push_back(fmt::format("{}/{}", folder, program));
  }
  if (image.programs.empty()) {
    return start_error(options,
                       "its environment has no PATH to look it up in; give an absolute path");
  }
  return image;
}

[[noreturn]] void give_up(int report, ChildFailure::Stage stage, int error) {
  const ChildFailure failure{.stage = stage, .error = error};
  [[maybe_unused]] const ssize_t ignored = ::write(report, &failure, sizeof failure);
  ::_exit(127);
}

// In the child, after fork: async-signal-safe calls only. `standard` are the descriptors that
// become 0, 1 and 2 (-1: as it is).
[[noreturn]] void run_child(const Image& image, std::array<int, 3> standard, int report,
                            pid_t parent) {
  using Stage = ChildFailure::Stage;
  if (::setsid() < 0 || ::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
    give_up(report, Stage::setup, errno);
  if (::getppid() != parent) ::_exit(127);  // the parent died before it could be told to us
  for (int i = 0; i < static_cast<int>(standard.size()); ++i) {
    const int from = standard[static_cast<std::size_t>(i)];
    if (from >= 0 && ::dup2(from, i) < 0) give_up(report, Stage::setup, errno);
  }
  if (::syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) != 0)
    give_up(report, Stage::setup, errno);
  if (!image.directory.empty() && ::chdir(image.directory.c_str()) != 0)
    give_up(report, Stage::directory, errno);
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal)
    ::sigaction(signal, &action, nullptr);  // fails for KILL and STOP
  sigset_t none;
  ::sigemptyset(&none);
  if (::sigprocmask(SIG_SETMASK, &none, nullptr) != 0) give_up(report, Stage::setup, errno);
  int error = ENOENT;
  for (const std::string& program : image.programs) {
    ::execve(program.c_str(), image.argv.data(), image.envp.data());
    // As execvp(3): go on where the file is not there; remember that one was there and could not be
    // run.
    if (errno == EACCES) error = EACCES;
    if (errno != EACCES && errno != ENOENT && errno != ENOTDIR) give_up(report, Stage::exec, errno);
  }
  give_up(report, Stage::exec, error);
}

// Signals are held back in the child until its handlers are gone: Asio's would tell the parent of
// the child's signals.
pid_t fork_child(const Image& image, std::array<int, 3> standard, int report) {
  const pid_t parent = ::getpid();
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  const int error = errno;
  if (pid == 0) run_child(image, standard, report, parent);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return pid;
}

// Blocks until the child has executed its program or has given up.
std::optional<ChildFailure> read_report(int fd) {
  ChildFailure failure;
  ssize_t got = 0;
  do {
    got = ::read(fd, &failure, sizeof failure);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return std::nullopt;
  if (got != sizeof failure) return ChildFailure{.stage = ChildFailure::Stage::setup, .error = EIO};
  return failure;
}

// --- one child
// -------------------------------------------------------------------------------------

// Shared with the coroutine that watches the child, which may outlive the Process by a turn of the
// loop.
struct Child {
  Child(Loop& on, pid_t number, Fd pidfd)
      : loop(on),
        pid(number),
        watch(std::make_shared<Descriptor>(on, std::move(pidfd), Descriptor::Kind::socket)) {}

  // The pid while it is ours to use: once reaped, the kernel may give it to somebody else.
  [[nodiscard]] std::optional<pid_t> unreaped() const {
    return status ? std::nullopt : std::optional(pid);
  }

  void reap() {
    if (status) return;
    Children& all = children();
    {
      const std::lock_guard lock(all.mutex);
      siginfo_t info{};
      if (::waitid(P_PIDFD, static_cast<id_t>(watch->fd()), &info, WEXITED | WNOHANG) != 0) {
        status = W_EXITCODE(127, 0);  // somebody else reaped it: its status is lost
      } else if (info.si_pid == pid) {
        status = info.si_code == CLD_EXITED   ? W_EXITCODE(info.si_status, 0)
                 : info.si_code == CLD_DUMPED ? info.si_status | WCOREFLAG
                                              : info.si_status;
      } else {
        return;
      }
      all.owned.erase(pid);
      reap_orphans(all.owned);
    }
    watch->close();
    for (const auto& waiter : waiters) waiter->set(*status);
    waiters.clear();
  }

  bool hunt_round(Hunt& hunt) const {
    Children& all = children();
    const std::lock_guard lock(all.mutex);
    const bool alive = hunt.round(all.owned, unreaped());
    reap_orphans(all.owned);
    return alive;
  }

  Loop& loop;  // NOLINT(cppcoreguidelines-avoid-const-or-ref-data-members): outlives the child
  pid_t pid;
  std::shared_ptr<Descriptor> watch;
  std::optional<int> status;
  std::vector<std::shared_ptr<OneShot<int>>> waiters;
};

Task<void> watch_child(std::shared_ptr<Child> child) {
  while (!child->status) {
    auto ended = child->watch->wait(Direction::read, std::nullopt);
    if (co_await ended == Wake::closed) co_return;
    child->reap();
  }
}

// The status, or nothing at the deadline.
Task<std::optional<int>> wait_for(std::shared_ptr<Child> child, std::optional<Monotonic> deadline) {
  if (!child->status) {
    const auto ended = std::make_shared<OneShot<int>>(child->loop);
    child->waiters.push_back(ended);
    auto waiting = deadline ? ended->wait_until(*deadline) : ended->wait();
    co_await waiting;
  }
  co_return child->status;
}

// With the last child gone, whatever is left can only be theirs.
std::size_t kill_orphans_if(bool even_with_children) {
  Hunt hunt(Hunt::Prey::orphans);
  Children& all = children();
  for (int i = 0; i < kKillRounds; ++i) {
    {
      const std::lock_guard lock(all.mutex);
      if (!even_with_children && !all.owned.empty()) break;
      const bool alive = hunt.round(all.owned, std::nullopt);
      reap_orphans(all.owned);
      if (!alive) break;
    }
    std::this_thread::sleep_for(kKillPause);
  }
  return hunt.count();
}

Task<void> end_child(std::shared_ptr<Child> child, milliseconds grace) {
  auto quiet = wait_for(child, Loop::now() + grace);
  if (!co_await quiet) {
    ::kill(-child->pid, SIGTERM);  // not reaped yet, so the number is still its own
    auto asked = wait_for(child, Loop::now() + grace);
    co_await asked;
  }
  Hunt hunt(child->pid);
  for (int i = 0; i < kKillRounds && child->hunt_round(hunt); ++i) {
    auto pause = child->loop.sleep(kKillPause);
    co_await pause;
  }
  child->reap();
  kill_orphans_if(false);
}

void kill_child(Child& child) {
  Hunt hunt(child.pid);
  for (int i = 0; i < kKillRounds && child.hunt_round(hunt); ++i)
    std::this_thread::sleep_for(kKillPause);
  child.reap();
  kill_orphans_if(false);
}

void reap_on_sigchld(Loop& loop) {
  if (std::exchange(loop.impl().reaps_orphans, true)) return;
  loop.on_signal(SIGCHLD, [] {
    Children& all = children();
    const std::lock_guard lock(all.mutex);
    reap_orphans(all.owned);
  });
}

}  // namespace

class Process::Impl {
 public:
  explicit Impl(std::shared_ptr<Child> started) : child(std::move(started)) {}

  std::shared_ptr<Child> child;
  std::unique_ptr<Stream> input;
  std::unique_ptr<Stream> output;
  std::unique_ptr<Stream> error;
};

Process::Process(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Process::~Process() { kill_tree(); }

Result<std::unique_ptr<Process>> Process::start(Loop& loop, const ProcessOptions& options) {
  ZWINGER_TRY(const Image image, make_image(options));
  ZWINGER_TRY(Pipe in, make_pipe());
  ZWINGER_TRY(Pipe out, make_pipe());
  ZWINGER_TRY(Pipe report, make_pipe());
  Pipe err;
  if (!options.inherit_stderr) {
    ZWINGER_TRY(err, make_pipe());
  }
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return start_error(options, errno_text(errno));
  reap_on_sigchld(loop);

  Fd pidfd;
  pid_t pid = -1;
  int error = 0;
  {
    Children& all = children();
    const std::lock_guard lock(all.mutex);
    pid = fork_child(image, {in.read.get(), out.write.get(), err.write.get()}, report.write.get());
    error = errno;
    if (pid > 0) all.owned.insert(pid);
  }
  if (pid < 0) return start_error(options, errno_text(error));
  pidfd = Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  error = errno;
  for (Fd* childs : {&in.read, &out.write, &err.write, &report.write}) childs->reset();
  const auto failure = read_report(report.read.get());
  if (failure || !pidfd) {
    ::kill(pid, SIGKILL);
    Children& all = children();
    const std::lock_guard lock(all.mutex);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    all.owned.erase(pid);
    if (!failure) return start_error(options, errno_text(error));
    const std::string why = errno_text(failure->error);
    if (failure->stage != ChildFailure::Stage::directory) return start_error(options, why);
    return start_error(options, fmt::format("working directory '{}': {}", image.directory, why));
  }

  for (const Fd* ours : {&in.write, &out.read, &err.read}) {
    if (*ours)
      ::fcntl(ours->get(), F_SETFL, O_NONBLOCK);  // no other flag is settable on a pipe's end
  }
  auto child = std::make_shared<Child>(loop, pid, std::move(pidfd));
  std::unique_ptr<Process> process(
      new Process(std::make_unique<Impl>(child)));  // from here on its destructor cleans up
  if (!child->watch->open()) return start_error(options, "epoll refused the child");
  loop.spawn(watch_child(std::move(child)));
  ZWINGER_TRY(process->impl_->input, adopt_write_end(loop, std::move(in.write)));
  ZWINGER_TRY(process->impl_->output, adopt_read_end(loop, std::move(out.read)));
  if (!options.inherit_stderr) {
    ZWINGER_TRY(process->impl_->error, adopt_read_end(loop, std::move(err.read)));
  }
  return process;
}

pid_t Process::pid() const { return impl_->child->pid; }
Stream& Process::input() { return *impl_->input; }
Stream& Process::output() { return *impl_->output; }
Stream* Process::error() { return impl_->error.get(); }

Task<int> Process::wait() {
  auto ended = wait_for(impl_->child, std::nullopt);
  co_return (co_await ended).value_or(W_EXITCODE(127, 0));
}

Task<void> Process::end_tree(milliseconds grace) {
  impl_->input->close();
  return end_child(impl_->child, grace);
}

void Process::kill_tree() { kill_child(*impl_->child); }

std::vector<pid_t> descendants(pid_t root) {
  const std::vector<ProcEntry> table = read_processes();
  std::vector<pid_t> found{root};
  for (std::size_t i = 0; i < found.size(); ++i) {
    for (const ProcEntry& entry : table) {
      if (entry.parent == found[i] && !entry.zombie) found.push_back(entry.pid);
    }
  }
  found.erase(found.begin());
  return found;
}

std::size_t kill_orphans() { return kill_orphans_if(true); }

}  // namespace zwinger::net
