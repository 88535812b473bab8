#include "net/process.h"

#include <fcntl.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers,hicpp-deprecated-headers): sigset_t is POSIX
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "net/proc_table.h"
#include "net/test_loop.h"

namespace zwinger::net {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLong{20'000};
constexpr milliseconds kShort{5};

class ProcessTest : public LoopTest {
 protected:
  static ProcessOptions shell(std::string script) {
    return {.command = {"sh", "-c", std::move(script)},
            .environment = {{"PATH", "/usr/bin:/bin"}},
            .working_directory = {},
            .inherit_stderr = false};
  }
  std::unique_ptr<Process> start(const ProcessOptions& options) {
    auto process = Process::start(loop, options);
    EXPECT_TRUE(process.has_value()) << process.error().to_string();
    return std::move(*process);
  }
  std::unique_ptr<Process> start(std::string script) { return start(shell(std::move(script))); }
  // Standard output up to the end, and the wait status.
  Task<std::pair<std::string, int>> outcome(Process& process) {
    auto reading = read_all(process.output());
    std::string text = co_await reading;
    auto waiting = process.wait();
    const int status = co_await waiting;
    co_return std::pair(std::move(text), status);
  }
  static Task<std::string> read_line(Stream& stream) {
    std::string line;
    while (!line.ends_with('\n')) {
      auto reading = read_all(stream, 1);
      const std::string byte = co_await reading;
      if (byte.empty()) break;
      line += byte;
    }
    if (!line.empty()) line.pop_back();
    co_return line;
  }
  static Task<pid_t> read_pid(Stream& stream) {
    auto reading = read_line(stream);
    const std::string line = co_await reading;
    pid_t pid = 0;
    std::from_chars(line.data(), line.data() + line.size(), pid);
    EXPECT_GT(pid, 0) << line;
    co_return pid;
  }
  static bool alive(pid_t pid) {
    const auto entry = read_process(pid);
    return entry && !entry->zombie;
  }
  // Waits until `pid` has become this process's child: its parents are gone.
  Task<void> orphaned(pid_t pid) {
    for (auto entry = read_process(pid); entry && entry->parent != ::getpid();
         entry = read_process(pid)) {
      auto pause = loop.sleep(milliseconds(1));
      co_await pause;
    }
  }
  // Starts a daemon that left its parents and their session, tells its pid, and goes on until its
  // input ends.
  static constexpr auto kDaemon =
      "( setsid sh -c 'echo $$; exec sleep 1000 >/dev/null 2>&1' & ) ; exec cat";
};

TEST_F(ProcessTest, TheEnvironmentIsExactlyWhatWasGiven) {
  run([&]() -> Task<void> {
    auto process = start({.command = {"/usr/bin/env"},
                          .environment = {{"B", "two words"}, {"A", ""}, {"C", "x=y"}},
                          .working_directory = {},
                          .inherit_stderr = false});
    auto ending = outcome(*process);
    const auto [text, status] = co_await ending;
    EXPECT_EQ(text, "B=two words\nA=\nC=x=y\n");
    EXPECT_EQ(status, 0);
  }());
}

TEST_F(ProcessTest, TheWaitStatusIsThatOfTheChild) {
  run([&]() -> Task<void> {
    auto exits = start("exit 7");
    auto exiting = exits->wait();
    const int exited = co_await exiting;
    EXPECT_TRUE(WIFEXITED(exited));
    EXPECT_EQ(WEXITSTATUS(exited), 7);
    auto dies = start("kill -KILL $$");
    auto dying = dies->wait();
    const int died = co_await dying;
    EXPECT_TRUE(WIFSIGNALED(died));
    EXPECT_EQ(WTERMSIG(died), SIGKILL);
    auto again = dies->wait();
    EXPECT_EQ(co_await again, died) << "asked after the end";
  }());
}

TEST_F(ProcessTest, WhatCannotBeStartedSaysWhy) {
  const TempDir dir;
  const std::string plain = (dir.path() / "plain").string();
  std::ofstream(plain) << "#!/bin/sh\n";
  const auto message = [&](std::vector<std::string> command,
                           std::vector<std::pair<std::string, std::string>> environment,
                           std::string folder = {}) {
    const auto process = Process::start(loop, {.command = std::move(command),
                                               .environment = std::move(environment),
                                               .working_directory = std::move(folder),
                                               .inherit_stderr = false});
    return process ? "started" : process.error().to_string();
  };
  EXPECT_EQ(message({"/nowhere/at-all"}, {}),
            "io: cannot start '/nowhere/at-all': No such file or directory");
  EXPECT_EQ(message({"no-such-program"}, {{"PATH", "/usr/bin:/bin"}}),
            "io: cannot start 'no-such-program': No such file or directory");
  EXPECT_EQ(message({plain}, {}), "io: cannot start '" + plain + "': Permission denied");
  EXPECT_EQ(message({"plain"}, {{"PATH", dir.path().string() + ":/usr/bin"}}),
            "io: cannot start 'plain': Permission denied");
  EXPECT_EQ(message({"/bin/sh"}, {}, "/nowhere"),
            "io: cannot start '/bin/sh': working directory '/nowhere': No such file or directory");
  EXPECT_NE(message({"sh"}, {}).find("no PATH"), std::string::npos);
  EXPECT_NE(message({"sh"}, {{"PATH", ":.:bin"}}).find("no PATH"), std::string::npos)
      << "relative folders do not count";
  EXPECT_NE(message({}, {}).find("empty"), std::string::npos);
  EXPECT_NE(message({"/bin/sh", std::string("a\0b", 3)}, {}).find("NUL"), std::string::npos);
  EXPECT_NE(message({"/bin/sh"}, {{"A=B", "1"}}).find("environment name"), std::string::npos);
  EXPECT_NE(message({"/bin/sh"}, {{"", "1"}}).find("environment name"), std::string::npos);
  EXPECT_TRUE(descendants(::getpid()).empty()) << "no half-started child is left";
}

TEST_F(ProcessTest, TheChildRunsWhereItIsTold) {
  run([&]() -> Task<void> {
    const TempDir dir;
    ProcessOptions options = shell("pwd");
    options.working_directory = dir.path();
    auto process = start(options);
    auto ending = outcome(*process);
    EXPECT_EQ((co_await ending).first, std::filesystem::canonical(dir.path()).string() + "\n");
  }());
}

TEST_F(ProcessTest, NoDescriptorButTheFirstThreeReachesTheChild) {
  const Fd leaky(::open("/dev/null", O_RDONLY));  // without O_CLOEXEC, as careless code opens files
  const Fd high(::fcntl(leaky.get(), F_DUPFD, 700));
  ASSERT_TRUE(leaky && high);
  run([&]() -> Task<void> {
    auto process = start({.command = {"/bin/ls", "/proc/self/fd"},
                          .environment = {},
                          .working_directory = {},
                          .inherit_stderr = false});
    auto ending = outcome(*process);
    EXPECT_EQ((co_await ending).first, "0\n1\n2\n3\n") << "3 is ls's own";
  }());
}

TEST_F(ProcessTest, SignalsAreAsInAFreshProcess) {
  sigset_t blocked;
  sigset_t before;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
  loop.on_signal(SIGHUP, [] {});
  run([&]() -> Task<void> {
    auto process = start({.command = {"/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"},
                          .environment = {},
                          .working_directory = {},
                          .inherit_stderr = false});
    auto ending = outcome(*process);
    const std::string text = (co_await ending).first;
    // glibc's posix_spawn, by which make starts programs, leaves glibc's own signals 32 and 33
    // ignored, and glibc lets nobody change that; a test below make inherits it.
    constexpr std::uint64_t kOwnSignals = std::uint64_t{3} << 31U;
    std::istringstream lines(text);
    std::string name;
    std::uint64_t blocked_in_child = 1;
    std::uint64_t ignored_in_child = 1;
    lines >> name >> std::hex >> blocked_in_child >> name >> ignored_in_child;
    EXPECT_TRUE(lines) << text;
    EXPECT_EQ(blocked_in_child & ~kOwnSignals, 0U) << text;
    EXPECT_EQ(ignored_in_child & ~kOwnSignals, 0U) << text;
  }());
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_F(ProcessTest, TheChildLeadsASessionAndAGroupOfItsOwn) {
  run([&]() -> Task<void> {
    auto process = start("exec cat");
    const auto entry = read_process(process->pid());
    EXPECT_TRUE(entry.has_value());
    EXPECT_EQ(entry->session, process->pid());
    EXPECT_EQ(entry->group, process->pid());
    EXPECT_EQ(entry->parent, ::getpid());
    auto ending = process->end_tree(kLong);
    co_await ending;
  }());
}

TEST_F(ProcessTest, TheChildDiesWithTheThreadThatStartedIt) {
  std::unique_ptr<Process> process;
  std::jthread([&] { process = start("exec sleep 1000"); }).join();
  run([&]() -> Task<void> {
    auto waiting = process->wait();
    const int status = co_await waiting;
    EXPECT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), SIGKILL);
  }());
}

TEST_F(ProcessTest, StandardErrorIsAStreamOrInherited) {
  run([&]() -> Task<void> {
    auto process = start("echo out; echo err >&2");
    auto reading = read_all(*process->error());
    EXPECT_EQ(co_await reading, "err\n");
    auto ending = outcome(*process);
    EXPECT_EQ((co_await ending).first, "out\n");
    ProcessOptions inherits = shell("exit 0");
    inherits.inherit_stderr = true;
    auto other = start(inherits);
    EXPECT_EQ(other->error(), nullptr);
    auto waiting = other->wait();
    EXPECT_EQ(co_await waiting, 0);
  }());
}

TEST_F(ProcessTest, EndTreeClosesItsInputFirst) {
  run([&]() -> Task<void> {
    auto process = start("cat >/dev/null; exit 3");
    auto ending = process->end_tree(kLong);
    co_await ending;
    auto waiting = process->wait();
    const int status = co_await waiting;
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 3);
  }());
}

TEST_F(ProcessTest, EndTreeThenAsksWithSigterm) {
  run([&]() -> Task<void> {
    auto process = start("trap 'exit 4' TERM; echo ready; while :; do sleep 0.01; done");
    auto ready = read_line(process->output());
    EXPECT_EQ(co_await ready, "ready");
    auto ending = process->end_tree(milliseconds(1000));  // also how long its trap may take
    co_await ending;
    auto waiting = process->wait();
    const int status = co_await waiting;
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 4);
  }());
}

TEST_F(ProcessTest, EndTreeKillsWhatIgnoresSigtermAndEverythingBelowIt) {
  run([&]() -> Task<void> {
    auto process = start("trap '' TERM; sh -c 'sleep 1000 & echo $!; wait' & echo $!; wait");
    auto first = read_pid(process->output());
    const pid_t one = co_await first;
    auto second = read_pid(process->output());
    const pid_t two = co_await second;
    EXPECT_TRUE(alive(one) && alive(two));
    const auto below = descendants(process->pid());
    EXPECT_EQ(below.size(), 2U);
    auto ending = process->end_tree(kShort);
    co_await ending;
    EXPECT_FALSE(alive(one) || alive(two));
    auto waiting = process->wait();
    EXPECT_EQ(WTERMSIG(co_await waiting), SIGKILL);
    EXPECT_TRUE(descendants(::getpid()).empty());
  }());
}

TEST_F(ProcessTest, WhatTheChildLeavesInItsSessionEndsWithTheTree) {
  run([&]() -> Task<void> {
    auto process = start("sleep 1000 >/dev/null 2>&1 & echo $!");
    auto ending = outcome(*process);
    const auto [text, status] = co_await ending;
    EXPECT_EQ(status, 0);
    const pid_t left = static_cast<pid_t>(std::stol(text));
    EXPECT_TRUE(alive(left));
    process.reset();
    EXPECT_FALSE(alive(left));
  }());
}

TEST_F(ProcessTest, ADaemonThatLeftItsSessionEndsWithTheLastTree) {
  run([&]() -> Task<void> {
    auto process = start(kDaemon);
    auto reading = read_pid(process->output());
    const pid_t daemon = co_await reading;
    auto leaving = orphaned(daemon);
    co_await leaving;
    EXPECT_NE(read_process(daemon)->session, process->pid());
    auto ending = process->end_tree(kLong);
    co_await ending;
    EXPECT_FALSE(read_process(daemon).has_value()) << "killed and reaped";
  }());
}

TEST_F(ProcessTest, ASessionBelowTheTreeEndsWithItEvenBesideOthers) {
  run([&]() -> Task<void> {
    auto bystander = start("exec cat");
    auto process = start("setsid sh -c 'sleep 1000 & echo $!; wait' & wait");
    auto reading = read_pid(process->output());
    const pid_t deep = co_await reading;
    EXPECT_NE(read_process(deep)->session, process->pid());
    process->kill_tree();
    EXPECT_FALSE(alive(deep));
    EXPECT_TRUE(alive(bystander->pid()));
  }());
}

TEST_F(ProcessTest, KillOrphansSparesWhateverARunningProcessOwns) {
  run([&]() -> Task<void> {
    auto bystander = start("( sleep 1000 >/dev/null 2>&1 & echo $! ) ; exec cat");
    auto owned = read_pid(bystander->output());
    const pid_t in_its_session = co_await owned;
    auto process = start(kDaemon);
    auto reading = read_pid(process->output());
    const pid_t daemon = co_await reading;
    auto leaving = orphaned(daemon);
    co_await leaving;
    auto leaving_too = orphaned(in_its_session);
    co_await leaving_too;
    auto ending = process->end_tree(kLong);
    co_await ending;
    EXPECT_TRUE(alive(daemon)) << "it could be the bystander's";
    EXPECT_EQ(kill_orphans(), 1U);
    EXPECT_FALSE(read_process(daemon).has_value());
    EXPECT_TRUE(alive(bystander->pid()) && alive(in_its_session));
    EXPECT_EQ(kill_orphans(), 0U);
  }());
}

TEST_F(ProcessTest, KillOrphansSparesChildrenThatOtherCodeStarted) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::pause();
    ::_exit(0);
  }
  EXPECT_EQ(kill_orphans(), 0U);
  EXPECT_TRUE(alive(pid));
  ::kill(pid, SIGKILL);
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid) << "and leaves their status to it";
}

TEST_F(ProcessTest, AForkStormIsEnded) {
  run([&]() -> Task<void> {
    auto process = start(
        "echo go; while :; do sh -c 'setsid sleep 1000 & sleep 1000 & wait' >/dev/null 2>&1 & "
        "sleep 0.01; done");
    auto reading = read_line(process->output());
    EXPECT_EQ(co_await reading, "go");
    while (descendants(process->pid()).size() < 10) {
      auto pause = loop.sleep(milliseconds(5));
      co_await pause;
    }
    process->kill_tree();
    EXPECT_TRUE(descendants(::getpid()).empty());
  }());
}

TEST_F(ProcessTest, OrphansThatEndByThemselvesAreReaped) {
  run([&]() -> Task<void> {
    auto process = start("( setsid sh -c 'echo $$' & ) ; exec cat");
    auto reading = read_pid(process->output());
    const pid_t orphan = co_await reading;
    while (read_process(orphan)) {
      auto pause = loop.sleep(milliseconds(1));
      co_await pause;
    }
    EXPECT_TRUE(alive(process->pid()));
  }());
}

TEST_F(ProcessTest, KillOrphansOnAnotherThreadNeverHitsAChildBeingStarted) {
  std::atomic<bool> done = false;
  std::jthread killer([&] {
    while (!done) {
      EXPECT_EQ(kill_orphans(), 0U);
      // It looks at every process under the lock that start() needs, and a mutex is not fair.
      std::this_thread::sleep_for(milliseconds(1));
    }
  });
  run([&]() -> Task<void> {
    for (int i = 0; i < 40; ++i) {
      auto process = start("read x; exit 9");
      process->input().close();
      auto waiting = process->wait();
      const int status = co_await waiting;
      EXPECT_TRUE(WIFEXITED(status));
      EXPECT_EQ(WEXITSTATUS(status), 9);
    }
  }());
  done = true;
}

TEST_F(ProcessTest, DescendantsListsParentsFirst) {
  run([&]() -> Task<void> {
    auto process = start("sh -c 'echo $$; sh -c \"echo \\$\\$; cat; :\"; :'; :");
    auto first = read_pid(process->output());
    const pid_t child = co_await first;
    auto second = read_pid(process->output());
    const pid_t grandchild = co_await second;
    auto below = descendants(process->pid());
    EXPECT_GE(below.size(), 2U);
    EXPECT_LT(std::ranges::find(below, child), std::ranges::find(below, grandchild));
    EXPECT_EQ(std::ranges::count(below, process->pid()), 0);
    auto ending = process->end_tree(kLong);
    co_await ending;
  }());
}

}  // namespace
}  // namespace zwinger::net
