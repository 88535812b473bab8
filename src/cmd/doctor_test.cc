#include "cmd/doctor.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <sstream>

#include "cmd/command.h"
#include "json/json.h"

namespace zwinger::cmd {
namespace {

namespace fs = std::filesystem;
using State = Finding::State;

// A machine that has everything, until a test takes something away.
class FakeHost final : public Host {
 public:
  std::string kernel_release() override { return release; }
  std::optional<std::string> read(const fs::path& path) override {
    const auto found = files.find(path.string());
    if (found == files.end()) return std::nullopt;
    return found->second;
  }
  bool writable(const fs::path& folder) override { return writable_folders.contains(folder); }
  int landlock_abi() override { return landlock; }
  bool has_pidfd() override { return pidfd; }
  bool has_openat2() override { return openat2; }
  Kvm kvm() override { return kvm_state; }
  Descriptors descriptors() override { return limits; }
  std::optional<bool> clock_synchronised() override { return clock; }
  Result<FileSystem> file_system(const fs::path& /*folder*/) override { return disk; }
  std::optional<fs::path> find(std::string_view program) override {
    if (absent.contains(program)) return std::nullopt;
    return fs::path("/usr/bin") / program;
  }
  Result<Ran> run(const std::vector<std::string>& command) override {
    const auto found = results.find(command[0]);
    if (found != results.end()) return found->second;
    return Ran{.exit_code = 0, .output = "\n" + fmt::format("{}", fmt::join(command, " ")) + "\nx"};
  }
  Result<void> can_listen(const net::Address& /*address*/) override { return listening; }

  std::string release = "6.1.0-25-amd64";
  std::map<std::string, std::string> files = {
      {"/proc/sys/kernel/seccomp/actions_avail", "kill_process errno user_notif allow"},
      {"/proc/sys/user/max_user_namespaces", "63000"},
      {"/proc/filesystems", "nodev\tproc\nnodev\toverlay\n\text4"},
      {"/proc/self/mountinfo",
       "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"},
      {"/proc/self/cgroup", "0::/user.slice/zw.scope"},
      {"/sys/fs/cgroup/user.slice/zw.scope/cgroup.controllers", "cpuset cpu io memory pids"}};
  std::set<fs::path> writable_folders = {"/sys/fs/cgroup/user.slice/zw.scope"};
  std::set<std::string, std::less<>> absent;
  std::map<std::string, Result<Ran>> results;
  int landlock = 4;
  bool pidfd = true;
  bool openat2 = true;
  Kvm kvm_state{.exists = true, .open_error = {}, .api_version = 12};
  Descriptors limits{.soft = 20000, .hard = 20000};
  std::optional<bool> clock = true;
  Result<FileSystem> disk =
      FileSystem{.type = "ext4", .free_bytes = std::uint64_t{10} << 30U, .sync_error = {}};
  Result<void> listening;
};

PolicyFacts facts_with_policy() {
  return {.directory = "/etc/zwinger",
          .state_dir = "/var/lib/zwinger",
          .loaded = true,
          .errors = {},
          .listeners = {{.family = net::Address::Family::ipv4, .host = "127.0.0.1", .port = 8080}},
          .upstreams = 2,
          .programs = {{"files", "npx"}}};
}

class DoctorTest : public testing::Test {
 protected:
  Finding look(std::string_view name) {
    const std::vector<Finding> all = diagnose(host_, facts_);
    const auto found = std::ranges::find(all, name, &Finding::name);
    if (found != all.end()) return *found;
    ADD_FAILURE() << "no finding is called " << name;
    return {};
  }
  // It is well until `spoil`, and afterwards in this state, saying this, with this way to mend it.
  void expect(std::string_view name, const std::function<void()>& spoil, State state,
              std::string_view seen, std::string_view fix) {
    EXPECT_EQ(look(name).state, State::ok) << name << ": " << look(name).seen;
    EXPECT_EQ(look(name).fix, "") << name;
    expect_now(name, spoil, state, seen, fix);
  }
  void expect_now(std::string_view name, const std::function<void()>& spoil, State state,
                  std::string_view seen, std::string_view fix) {
    spoil();
    const Finding after = look(name);
    EXPECT_EQ(to_string(after.state), to_string(state)) << name;
    EXPECT_TRUE(after.seen.contains(seen)) << name << ": " << after.seen;
    EXPECT_TRUE(after.fix.contains(fix)) << name << ": " << after.fix;
    EXPECT_FALSE(after.fix.empty()) << name;
  }

  FakeHost host_;
  PolicyFacts facts_ = facts_with_policy();
};

TEST_F(DoctorTest, AMachineThatHasEverythingIsWell) {
  for (const Finding& each : diagnose(host_, facts_)) {
    EXPECT_EQ(to_string(each.state), "ok") << each.name << ": " << each.seen;
    EXPECT_FALSE(each.seen.empty()) << each.name;
    EXPECT_FALSE(each.purpose.empty()) << each.name;
    EXPECT_TRUE(each.fix.empty()) << each.name << ": " << each.fix;
  }
}

TEST_F(DoctorTest, EveryFindingHasItsOwnName) {
  std::set<std::string> names;
  for (const Finding& each : diagnose(host_, facts_)) {
    EXPECT_TRUE(names.insert(each.name).second) << each.name;
  }
}

TEST_F(DoctorTest, Kernel) {
  expect(
      "kernel", [this] { host_.release = "5.10.0-30-amd64"; }, State::missing, "5.10.0",
      "linux-image-amd64");
  for (const char* release : {"", "x", "5", "4.19.0", "5."}) {
    host_.release = release;
    EXPECT_EQ(look("kernel").state, State::missing) << release;
  }
  for (const char* release : {"5.11.0", "5.11", "6.0-rc1", "10.2.3"}) {
    host_.release = release;
    EXPECT_EQ(look("kernel").state, State::ok) << release;
  }
}

TEST_F(DoctorTest, SystemCalls) {
  expect("pidfd", [this] { host_.pidfd = false; }, State::missing, "refused", "Linux 5.3");
  expect("openat2", [this] { host_.openat2 = false; }, State::warn, "refused", "Linux 5.6");
  expect("landlock", [this] { host_.landlock = 0; }, State::warn, "not there", "lsm=landlock");
}

TEST_F(DoctorTest, Seccomp) {
  std::string& actions = host_.files["/proc/sys/kernel/seccomp/actions_avail"];
  expect(
      "seccomp", [&] { actions = "kill_process errno allow"; }, State::warn,
      "without user notification", "CONFIG_SECCOMP_FILTER");
  expect_now(
      "seccomp", [&] { host_.files.erase("/proc/sys/kernel/seccomp/actions_avail"); }, State::warn,
      "no filters", "CONFIG_SECCOMP_FILTER");
}

TEST_F(DoctorTest, UserNamespacesByTheSwitches) {
  constexpr std::string_view kName = "user-namespaces";
  const std::map<std::string, std::string> before = host_.files;
  expect(
      kName, [this] { host_.files["/proc/sys/user/max_user_namespaces"] = "0"; }, State::warn,
      "max_user_namespaces is 0", "sysctl -w user.max_user_namespaces=15000");
  host_.files = before;
  expect(
      kName, [this] { host_.files["/proc/sys/kernel/unprivileged_userns_clone"] = "0"; },
      State::warn, "unprivileged_userns_clone is 0",
      "sysctl -w kernel.unprivileged_userns_clone=1");
  host_.files = before;
  expect(
      kName,
      [this] { host_.files["/proc/sys/kernel/apparmor_restrict_unprivileged_userns"] = "1"; },
      State::warn, "apparmor_restrict_unprivileged_userns is 1",
      "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0");
  host_.files = before;
  expect(
      kName, [this] { host_.files.erase("/proc/sys/user/max_user_namespaces"); }, State::warn,
      "has none", "CONFIG_USER_NS");
}

TEST_F(DoctorTest, UserNamespacesByTrying) {
  constexpr std::string_view kName = "user-namespaces";
  expect(
      kName,
      [this] {
        host_.results.insert_or_assign(
            "unshare", Ran{.exit_code = 1, .output = "unshare: Operation not permitted\n"});
      },
      State::warn, "Operation not permitted", "CLONE_NEWUSER");
  expect_now(
      kName, [this] { host_.results.insert_or_assign("unshare", fail(Code::timeout, "too slow")); },
      State::warn, "too slow", "CLONE_NEWUSER");
  expect_now(
      kName, [this] { host_.absent.insert("unshare"); }, State::warn, "not tried", "util-linux");
}

TEST_F(DoctorTest, Overlayfs) {
  expect(
      "overlayfs", [this] { host_.files["/proc/filesystems"] = "nodev\tnotoverlay\n\text4"; },
      State::warn, "not in", "modprobe overlay");
}

TEST_F(DoctorTest, ControlGroupsOfVersionTwo) {
  EXPECT_TRUE(look("cgroups").seen.starts_with("version 2 with cpu, memory, pids"));
  expect(
      "cgroups", [this] { host_.writable_folders.clear(); }, State::warn, "not writable",
      "Delegate=yes");
  expect_now(
      "cgroups",
      [this] {
        host_.files["/sys/fs/cgroup/user.slice/zw.scope/cgroup.controllers"] = "memory pids";
      },
      State::warn, "version 2 without cpu", "Delegate=yes");
  expect_now(
      "cgroups", [this] { host_.files.erase("/proc/self/mountinfo"); }, State::warn, "not mounted",
      "mount -t cgroup2");
}

TEST_F(DoctorTest, ControlGroupsOfVersionOneAndBoth) {
  const std::string v1 =
      "1 0 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
      "2 0 0:2 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
      "3 0 0:3 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
  host_.files["/proc/self/mountinfo"] =
      v1 + "4 0 0:4 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
  host_.files["/proc/self/cgroup"] = "3:memory:/a\n2:cpu,cpuacct:/\n1:pids:/\n0::/";
  host_.writable_folders = {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/memory/a", "/sys/fs/cgroup/pids"};
  EXPECT_TRUE(look("cgroups").seen.starts_with("hybrid, version 1 with")) << look("cgroups").seen;
  expect(
      "cgroups", [this] { host_.writable_folders.erase("/sys/fs/cgroup/memory/a"); }, State::warn,
      "not writable", "unified_cgroup_hierarchy=1");
  expect_now(
      "cgroups", [&] { host_.files["/proc/self/mountinfo"] = v1.substr(0, v1.find("3 0 0:3")); },
      State::warn, "version 1 without pids", "unified_cgroup_hierarchy=1");
}

TEST_F(DoctorTest, Kvm) {
  expect(
      "kvm", [this] { host_.kvm_state.api_version = 11; }, State::warn, "API version 11",
      "API version 12");
  expect_now(
      "kvm", [this] { host_.kvm_state.open_error = "Permission denied"; }, State::warn,
      "Permission denied", "usermod -aG kvm");
  expect_now("kvm", [this] { host_.kvm_state = {}; }, State::warn, "no /dev/kvm", "modprobe kvm");
}

TEST_F(DoctorTest, EveryProgramIsThereOrSaysHowToGetIt) {
  const std::map<std::string, std::string> programs = {
      {"node", "apt-get install -y nodejs"},
      {"npx", "apt-get install -y npm"},
      {"uvx", "pipx install uv"},
      {"runsc", "apt-get install -y runsc"},
      {"runc", "apt-get install -y runc"},
      {"crun", "apt-get install -y crun"},
      {"bwrap", "apt-get install -y bubblewrap"},
      {"qemu-system-x86_64", "apt-get install -y qemu-system-x86"},
      {"workerd", "npm install -g workerd"},
      {"nats-server", "apt-get install -y nats-server"},
      {"kubectl", "apt-get install -y kubernetes-client"},
      {"nginx", "apt-get install -y nginx-light"}};
  for (const auto& [name, fix] : programs) {
    EXPECT_TRUE(look(name).seen.starts_with(fmt::format("/usr/bin/{0}: /usr/bin/{0} ", name)))
        << look(name).seen << ": the first line of what it says that holds something";
    EXPECT_FALSE(look(name).seen.contains('\n'));
    expect(name, [&] { host_.absent.insert(name); }, State::warn, "not in PATH", fix);
    host_.absent.clear();
  }
}

TEST_F(DoctorTest, AProgramThatDoesNotRunIsNotThere) {
  host_.results.insert_or_assign("/usr/bin/crun", Ran{.exit_code = 127, .output = "no library"});
  EXPECT_EQ(look("crun").state, State::warn);
  EXPECT_TRUE(look("crun").seen.contains("no library (exit code 127)")) << look("crun").seen;
  host_.results.insert_or_assign("/usr/bin/crun", fail(Code::timeout, "did not end"));
  EXPECT_EQ(look("crun").state, State::warn);
  EXPECT_TRUE(look("crun").seen.contains("did not end"));
}

TEST_F(DoctorTest, DescriptorLimit) {
  expect(
      "descriptors", [this] { host_.limits.soft = 1024; }, State::warn,
      "soft limit 1024, hard limit 20000", "ulimit -n 10512");
  expect_now(
      "descriptors", [this] { host_.limits.hard = 4096; }, State::warn, "hard limit 4096",
      "LimitNOFILE=10512");
  host_.limits = {.soft = 10512, .hard = 10512};
  EXPECT_EQ(look("descriptors").state, State::ok);
  host_.limits = {.soft = 10511, .hard = 10512};
  EXPECT_EQ(look("descriptors").state, State::warn);
}

TEST_F(DoctorTest, Clock) {
  expect("clock", [this] { host_.clock = false; }, State::warn, "not synchronised", "set-ntp true");
  expect_now("clock", [this] { host_.clock.reset(); }, State::warn, "does not say", "set-ntp true");
}

TEST_F(DoctorTest, StateDirectory) {
  constexpr std::string_view kName = "state-directory";
  EXPECT_EQ(look(kName).seen, "/var/lib/zwinger: ext4, 10240 MiB free");
  expect(
      kName, [this] { host_.disk->free_bytes = std::uint64_t{1} << 29U; }, State::warn,
      "512 MiB free", "free space");
  expect_now(
      kName, [this] { host_.disk->type = "tmpfs"; }, State::warn, "lost at reboot", "stateDir");
  expect_now(
      kName, [this] { host_.disk->free_bytes = 1; }, State::missing, "0 MiB free", "free space");
  for (const char* type : {"nfs", "cifs", "smb2", "9p"}) {
    host_.disk = FileSystem{.type = type, .free_bytes = std::uint64_t{1} << 40U, .sync_error = {}};
    EXPECT_EQ(look(kName).state, State::missing) << type;
  }
  expect_now(
      kName, [this] { host_.disk->sync_error = "Read-only file system"; }, State::missing,
      "Read-only file system", "stateDir");
  expect_now(
      kName, [this] { host_.disk = fail(Code::io, "No such file"); }, State::missing,
      "No such file", "stateDir");
}

TEST_F(DoctorTest, Policy) {
  EXPECT_EQ(look("policy").seen, "/etc/zwinger: 1 listeners, 2 upstreams");
  expect(
      "policy", [this] { facts_.loaded = false; }, State::warn, "none yet",
      "zwinger init --policy /etc/zwinger");
  expect_now(
      "policy",
      [this] {
        facts_.errors = {{.code = Code::policy_value, .message = "no", .where = "zwinger.yaml:1:1"},
                         {.code = Code::policy_type, .message = "also no", .where = "x"}};
      },
      State::missing, "policy_value: no (zwinger.yaml:1:1) and 1 more",
      "zwinger check /etc/zwinger");
}

TEST_F(DoctorTest, WhatThePolicyNamesIsNeeded) {
  EXPECT_EQ(look("upstream files").seen, "/usr/bin/npx");
  expect(
      "upstream files", [this] { host_.absent.insert("npx"); }, State::missing, "'npx'",
      "apt-get install -y npm");
  expect_now(
      "upstream files",
      [this] {
        facts_.programs = {{"files", "my-server"}};
        host_.absent.insert("my-server");
      },
      State::missing, "'my-server'", "install 'my-server'");
}

TEST_F(DoctorTest, Listeners) {
  constexpr std::string_view kName = "listener 127.0.0.1:8080";
  expect(
      kName, [this] { host_.listening = fail(Code::io, "cannot listen: Address already in use"); },
      State::warn, "already", "sport = :8080");
  expect_now(
      kName, [this] { host_.listening = fail(Code::io, "Permission denied"); }, State::missing,
      "Permission denied", "zwinger.yaml");
  facts_.listeners = {
      {.family = net::Address::Family::unix_socket, .host = "/run/z.sock", .port = 0}};
  expect_now(
      "listener unix:/run/z.sock",
      [this] { host_.listening = fail(Code::io, "x: Address already in use"); }, State::warn,
      "already", "fuser -v /run/z.sock");
}

// --- this machine
// -----------------------------------------------------------------------------------

class SystemHostTest : public testing::Test {
 protected:
  SystemHostTest() {
    std::string pattern = (fs::temp_directory_path() / "zwinger-doctor-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~SystemHostTest() override {
    std::error_code ec;
    fs::remove_all(folder_, ec);
  }
  fs::path folder_;
  std::unique_ptr<Host> host_ =
      make_system_host({{"PATH", "relative:/usr/bin:/bin"}, {"SECRET", "hunter2"}});
};

TEST_F(SystemHostTest, RunsAProgramWithoutAShellInACleanEnvironment) {
  const auto echo = host_->run({"echo", "$HOME;", "x"});
  ASSERT_TRUE(echo);
  EXPECT_EQ(echo->exit_code, 0);
  EXPECT_EQ(echo->output, "$HOME; x\n");
  const auto env = host_->run({"env"});
  ASSERT_TRUE(env);
  EXPECT_TRUE(env->output.contains("PATH=")) << env->output;
  EXPECT_FALSE(env->output.contains("SECRET")) << env->output;
}

TEST_F(SystemHostTest, TellsHowAProgramEndedAndWhatItComplainedOf) {
  const auto failed = host_->run({"sh", "-c", "echo out; echo err >&2; exit 3"});
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->exit_code, 3);
  EXPECT_EQ(failed->output, "out\nerr\n");
  const auto killed = host_->run({"sh", "-c", "kill -9 $$"});
  ASSERT_TRUE(killed);
  EXPECT_EQ(killed->exit_code, -1);
  const auto reads = host_->run({"cat"});
  ASSERT_TRUE(reads) << "it has no input to wait for";
  EXPECT_EQ(reads->exit_code, 0);
  const auto missing = host_->run({"no-such-program"});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::io);
}

TEST_F(SystemHostTest, KeepsLittleOfWhatAProgramWrites) {
  const auto much = host_->run({"head", "-c", "4000000", "/dev/zero"});
  ASSERT_TRUE(much);
  EXPECT_EQ(much->exit_code, 0);
  EXPECT_LE(much->output.size(), 20000U);
}

TEST_F(SystemHostTest, FindsProgramsInPathOnly) {
  EXPECT_TRUE(host_->find("env").has_value());
  EXPECT_FALSE(host_->find("no-such-program").has_value());
  EXPECT_FALSE(host_->find(".").has_value());
  EXPECT_EQ(host_->find("/usr/bin/env"), fs::path("/usr/bin/env"));
  EXPECT_FALSE(make_system_host({})->find("env").has_value());
}

TEST_F(SystemHostTest, LooksAtTheNearestFolderThatIsThereAndLeavesNothing) {
  const auto found = host_->file_system(folder_ / "a/b/c");
  ASSERT_TRUE(found) << found.error().to_string();
  EXPECT_FALSE(found->type.empty());
  EXPECT_GT(found->free_bytes, 0U);
  EXPECT_EQ(found->sync_error, "");
  EXPECT_TRUE(fs::is_empty(folder_));
  const auto proc = host_->file_system("/proc");
  ASSERT_TRUE(proc);
  EXPECT_NE(proc->sync_error, "") << "nobody writes files there";
}

TEST_F(SystemHostTest, KnowsWhetherItCouldListen) {
  net::Loop loop;
  const net::Address any{.family = net::Address::Family::ipv4, .host = "127.0.0.1", .port = 0};
  EXPECT_TRUE(host_->can_listen(any));
  auto taken = net::listen(loop, any);
  ASSERT_TRUE(taken);
  const auto busy = host_->can_listen((*taken)->address());
  ASSERT_FALSE(busy);
  EXPECT_TRUE(busy.error().message.contains("Address already in use")) << busy.error().message;

  const fs::path path = folder_ / "s.sock";
  const net::Address socket{
      .family = net::Address::Family::unix_socket, .host = path.string(), .port = 0};
  EXPECT_TRUE(host_->can_listen(socket));
  EXPECT_FALSE(fs::exists(path)) << "asking makes no socket";
  auto listener = net::listen(loop, socket);
  ASSERT_TRUE(listener);
  const auto answered = host_->can_listen(socket);
  ASSERT_FALSE(answered);
  EXPECT_TRUE(answered.error().message.contains("Address already in use"));
  const net::Address nowhere{.family = net::Address::Family::unix_socket,
                             .host = (folder_ / "none/s.sock").string(),
                             .port = 0};
  EXPECT_FALSE(host_->can_listen(nowhere));
}

TEST_F(SystemHostTest, AnswersEveryQuestion) {
  EXPECT_FALSE(host_->kernel_release().empty());
  EXPECT_GT(host_->descriptors().hard, 0U);
  EXPECT_TRUE(host_->has_pidfd()) << "net::Process needs it, so this test could not run without";
  EXPECT_TRUE(host_->read("/proc/self/cgroup").has_value());
  EXPECT_FALSE(host_->read("/proc/no-such-file").has_value());
  EXPECT_FALSE(host_->read("/proc").has_value());
  EXPECT_TRUE(host_->writable(folder_));
  EXPECT_FALSE(host_->writable(folder_ / "none"));
  const Kvm kvm = host_->kvm();
  EXPECT_EQ(kvm.api_version > 0, kvm.exists && kvm.open_error.empty());
}

// --- the command
// ------------------------------------------------------------------------------------

TEST_F(SystemHostTest, TheCommandExitsByWhatIsMissing) {
  const ManualClock clock(1'800'000'000);
  SequenceRandom random;
  const auto run = [&](std::vector<std::string> words) {
    std::istringstream in;
    std::ostringstream out;
    std::ostringstream err;
    Context context{.clock = clock,
                    .random = random,
                    .in = in,
                    .out = out,
                    .err = err,
                    .out_is_terminal = false,
                    .environment = {{"HOME", folder_.string()}, {"PATH", "/usr/bin:/bin"}},
                    .executable = {}};
    const int code = run_command(words, context);
    return std::pair(code, out.str() + err.str());
  };
  const std::string policy = (folder_ / "policy").string();

  const auto without = run({"doctor"});
  EXPECT_EQ(without.first, kOk) << without.second;
  EXPECT_TRUE(without.second.contains("there is none yet")) << without.second;

  const auto named = run({"doctor", "--policy", policy});
  EXPECT_EQ(named.first, kNo) << "a policy that was asked for must be there";
  EXPECT_TRUE(named.second.contains("missing  policy ")) << named.second;

  const auto made = run({"init", "--policy", policy});
  ASSERT_EQ(made.first, kOk) << made.second;
  const auto json = run({"doctor", "--json", "--policy", policy});
  const auto document = json::Document::parse(json.second);
  ASSERT_TRUE(document) << json.second;
  const auto findings = document->root().find("findings");
  ASSERT_TRUE(findings);
  bool missing = false;
  bool saw_policy = false;
  for (const json::Value& each : findings->children()) {
    missing = missing || each.find("state")->string() == "missing";
    saw_policy = saw_policy ||
                 (each.find("name")->string() == "policy" && each.find("state")->string() == "ok");
    EXPECT_EQ(each.find("fix").has_value(), each.find("state")->string() != "ok");
  }
  EXPECT_TRUE(saw_policy) << json.second;
  EXPECT_EQ(document->root().find("ok")->boolean(), !missing);
  EXPECT_EQ(json.first, missing ? kNo : kOk);

  EXPECT_EQ(run({"doctor", "more"}).first, kUsage);
}

}  // namespace
}  // namespace zwinger::cmd
