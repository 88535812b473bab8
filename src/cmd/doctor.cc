// `zwinger doctor`: what this machine has of what the product needs today and will need, with the
// command that mends what is missing. doctor.h says who asks and who judges; this file judges.
#include "cmd/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <ostream>
#include <set>
#include <system_error>

#include "cmd/command.h"
#include "json/writer.h"

namespace zwinger::cmd {

namespace {

namespace fs = std::filesystem;
using State = Finding::State;

constexpr std::string_view kSandbox = "sandbox (planned)";
constexpr std::string_view kProcesses = "child processes";

Finding good(std::string_view name, std::string seen, std::string_view purpose) {
  return {.name = std::string(name),
          .state = State::ok,
          .seen = std::move(seen),
          .purpose = std::string(purpose),
          .fix = {}};
}

Finding bad(State state, std::string_view name, std::string seen, std::string_view purpose,
            std::string fix) {
  return {.name = std::string(name),
          .state = state,
          .seen = std::move(seen),
          .purpose = std::string(purpose),
          .fix = std::move(fix)};
}

std::string_view first_line(std::string_view text) {
  while (!text.empty() && (text.front() == '\n' || text.front() == ' ')) text.remove_prefix(1);
  return text.substr(0, text.find('\n'));
}

// Calls `take` with each piece of `text` between separators; empty ones are left out.
template <class Take>
void for_each_piece(std::string_view text, char separator, const Take& take) {
  while (!text.empty()) {
    const std::string_view piece = text.substr(0, text.find(separator));
    text.remove_prefix(std::min(text.size(), piece.size() + 1));
    if (!piece.empty()) take(piece);
  }
}

std::set<std::string, std::less<>> pieces(std::string_view text, char separator) {
  std::set<std::string, std::less<>> out;
  for_each_piece(text, separator, [&out](std::string_view piece) { out.emplace(piece); });
  return out;
}

// --- kernel
// -----------------------------------------------------------------------------------------

// {5, 11} of "5.11.0-rc1".
std::pair<int, int> version_of(std::string_view release) {
  std::pair<int, int> out{0, 0};
  const std::size_t dot = release.find('.');
  if (dot == std::string_view::npos) return out;
  const std::string major(release.substr(0, dot));
  const std::string minor(release.substr(dot + 1));
  const auto [end, error] = std::from_chars(major.data(), major.data() + major.size(), out.first);
  if (error == std::errc() && end == major.data() + major.size())
    std::from_chars(minor.data(), minor.data() + minor.size(), out.second);
  return out;
}

Finding kernel(Host& host) {
  constexpr std::pair kLeast{5, 11};  // close_range(2) with CLOSE_RANGE_CLOEXEC
  const std::string release = host.kernel_release();
  if (version_of(release) >= kLeast) return good("kernel", release, kProcesses);
  return bad(State::missing, "kernel", release, kProcesses,
             "boot Linux 5.11 or newer: apt-get install -y linux-image-amd64 && reboot");
}

Finding pidfd(Host& host) {
  if (host.has_pidfd()) return good("pidfd", "pidfd_open works", kProcesses);
  return bad(State::missing, "pidfd", "pidfd_open is refused", kProcesses,
             "boot Linux 5.3 or newer, or allow pidfd_open in the container's seccomp profile");
}

Finding openat2(Host& host) {
  if (host.has_openat2()) return good("openat2", "openat2 works", kSandbox);
  return bad(State::warn, "openat2", "openat2 is refused", kSandbox,
             "boot Linux 5.6 or newer, or allow openat2 in the container's seccomp profile");
}

Finding landlock(Host& host) {
  const int abi = host.landlock_abi();
  if (abi > 0) return good("landlock", fmt::format("ABI {}", abi), kSandbox);
  return bad(State::warn, "landlock", "not there, or not switched on", kSandbox,
             "boot Linux 5.13 or newer with landlock in the kernel parameter lsm=, as in "
             "lsm=landlock,lockdown,yama,apparmor");
}

Finding seccomp(Host& host) {
  const auto text = host.read("/proc/sys/kernel/seccomp/actions_avail");
  const auto actions = pieces(text.value_or(""), ' ');
  constexpr std::string_view kFix =
      "boot a kernel with CONFIG_SECCOMP_FILTER: apt-get install -y linux-image-amd64 && reboot";
  if (!actions.contains("errno"))
    return bad(State::warn, "seccomp", "no filters", kSandbox, std::string(kFix));
  if (!actions.contains("user_notif")) {
    return bad(State::warn, "seccomp", "filters without user notification", kSandbox,
               std::string(kFix));
  }
  return good("seccomp", "filters with user notification", kSandbox);
}

// The switch that forbids user namespaces, and the command that opens it.
std::optional<std::pair<std::string_view, std::string_view>> closed_switch(Host& host) {
  const auto most = host.read("/proc/sys/user/max_user_namespaces");
  if (!most) return std::pair("the kernel has none", "boot a kernel with CONFIG_USER_NS");
  if (*most == "0")
    return std::pair("user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces=15000");
  if (host.read("/proc/sys/kernel/unprivileged_userns_clone") == "0") {
    return std::pair("kernel.unprivileged_userns_clone is 0",
                     "sysctl -w kernel.unprivileged_userns_clone=1");
  }
  if (host.read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1") {
    return std::pair("kernel.apparmor_restrict_unprivileged_userns is 1",
                     "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor "
                     "profile for zwinger with the rule 'userns,'");
  }
  return std::nullopt;
}

Finding user_namespaces(Host& host) {
  constexpr std::string_view kName = "user-namespaces";
  if (const auto closed = closed_switch(host)) {
    return bad(State::warn, kName, std::string(closed->first), kSandbox,
               std::string(closed->second));
  }
  // The switches are known ones; only a try shows what else stands in the way.
  if (!host.find("unshare")) {
    return bad(State::warn, kName, "no switch forbids them; not tried", kSandbox,
               "apt-get install -y util-linux");
  }
  const auto tried = host.run({"unshare", "--user", "--map-root-user", "true"});
  if (tried && tried->exit_code == 0) return good(kName, "one was made", kSandbox);
  return bad(State::warn, kName,
             tried ? std::string(first_line(tried->output)) : tried.error().message, kSandbox,
             "allow unshare(CLONE_NEWUSER): in a container, its seccomp and AppArmor profiles "
             "forbid it");
}

Finding overlayfs(Host& host) {
  const std::string text = host.read("/proc/filesystems").value_or("");
  bool found = false;
  for_each_piece(text, '\n', [&found](std::string_view line) {
    found = found || line.substr(line.find('\t') + 1) == "overlay";
  });
  if (found) return good("overlayfs", "in /proc/filesystems", kSandbox);
  return bad(State::warn, "overlayfs", "not in /proc/filesystems", kSandbox, "modprobe overlay");
}

// --- control groups
// ---------------------------------------------------------------------------------

constexpr std::array<std::string_view, 3> kControllers = {"cpu", "memory", "pids"};

struct Cgroups {
  fs::path unified;                                     // where version 2 is mounted; or empty
  std::map<std::string, fs::path, std::less<>> legacy;  // controller -> mount point, version 1
  fs::path own_unified;
  std::map<std::string, fs::path, std::less<>> own_legacy;
};

// A line of /proc/self/mountinfo: "... MOUNTPOINT options ... - TYPE source SUPEROPTIONS".
void take_mount(std::string_view line, Cgroups& out) {
  const std::size_t dash = line.find(" - ");
  if (dash == std::string_view::npos) return;
  std::vector<std::string_view> left;
  std::vector<std::string_view> right;
  for_each_piece(line.substr(0, dash), ' ', [&left](std::string_view p) { left.push_back(p); });
  for_each_piece(line.substr(dash + 3), ' ', [&right](std::string_view p) { right.push_back(p); });
  if (left.size() < 5 || right.size() < 3) return;
  const fs::path mount_point = left[4];
  if (right[0] == "cgroup2") out.unified = mount_point;
  if (right[0] != "cgroup") return;
  const auto options = pieces(right[2], ',');
  for (const std::string_view controller : kControllers)
    if (options.contains(controller)) out.legacy.emplace(controller, mount_point);
}

// A line of /proc/self/cgroup: "ID:CONTROLLERS:PATH".
void take_own(std::string_view line, Cgroups& out) {
  const std::size_t first = line.find(':');
  if (first == std::string_view::npos) return;
  const std::size_t second = line.find(':', first + 1);
  if (second == std::string_view::npos) return;
  const fs::path path = line.substr(second + 1);
  const std::string_view controllers = line.substr(first + 1, second - first - 1);
  if (controllers.empty()) out.own_unified = path;
  for (const std::string& each : pieces(controllers, ',')) out.own_legacy.emplace(each, path);
}

Cgroups read_cgroups(Host& host) {
  Cgroups out;
  const std::string mounts = host.read("/proc/self/mountinfo").value_or("");
  const std::string own = host.read("/proc/self/cgroup").value_or("");
  for_each_piece(mounts, '\n', [&out](std::string_view line) { take_mount(line, out); });
  for_each_piece(own, '\n', [&out](std::string_view line) { take_own(line, out); });
  return out;
}

// Our own group below a mount point; the mount point where a namespace hides the rest of the path.
bool own_is_writable(Host& host, const fs::path& mount_point, const fs::path& own) {
  return host.writable(mount_point / own.relative_path()) || host.writable(mount_point);
}

Finding unified_finding(Host& host, const Cgroups& groups) {
  const fs::path own = groups.unified / groups.own_unified.relative_path();
  const auto text = host.read(own / "cgroup.controllers");
  const auto there =
      pieces(text ? *text : host.read(groups.unified / "cgroup.controllers").value_or(""), ' ');
  std::vector<std::string_view> lacking;
  for (const std::string_view each : kControllers)
    if (!there.contains(each)) lacking.push_back(each);
  if (!lacking.empty()) {
    return bad(State::warn, "cgroups",
               fmt::format("version 2 without {}", fmt::join(lacking, ", ")), kSandbox,
               "run it as a systemd service with Delegate=yes");
  }
  const std::string seen = fmt::format("version 2 with {}", fmt::join(kControllers, ", "));
  if (own_is_writable(host, groups.unified, groups.own_unified))
    return good("cgroups", seen + ", writable", kSandbox);
  return bad(
      State::warn, "cgroups", seen + ", not writable", kSandbox,
      "systemd-run --user --scope -p Delegate=yes zwinger up, or Delegate=yes in its service");
}

Finding legacy_finding(Host& host, const Cgroups& groups) {
  const std::string_view version = groups.unified.empty() ? "version 1" : "hybrid, version 1";
  std::vector<std::string_view> lacking;
  bool is_writable = true;
  for (const std::string_view each : kControllers) {
    const auto mount = groups.legacy.find(each);
    if (mount == groups.legacy.end()) {
      lacking.push_back(each);
      continue;
    }
    const auto own = groups.own_legacy.find(each);
    is_writable =
        is_writable && own_is_writable(host, mount->second,
                                       own == groups.own_legacy.end() ? fs::path() : own->second);
  }
  constexpr std::string_view kFix =
      "boot with the kernel parameter systemd.unified_cgroup_hierarchy=1";
  if (!lacking.empty()) {
    return bad(State::warn, "cgroups",
               fmt::format("{} without {}", version, fmt::join(lacking, ", ")), kSandbox,
               std::string(kFix));
  }
  const std::string seen = fmt::format("{} with {}", version, fmt::join(kControllers, ", "));
  if (is_writable) return good("cgroups", seen + ", writable", kSandbox);
  return bad(State::warn, "cgroups", seen + ", not writable", kSandbox,
             std::string(kFix) + ", which can be delegated");
}

Finding cgroups(Host& host) {
  const Cgroups groups = read_cgroups(host);
  if (!groups.legacy.empty()) return legacy_finding(host, groups);
  if (!groups.unified.empty()) return unified_finding(host, groups);
  return bad(State::warn, "cgroups", "not mounted", kSandbox,
             "mount -t cgroup2 none /sys/fs/cgroup");
}

Finding kvm(Host& host) {
  constexpr std::string_view kPurpose = "sandbox with virtual machines (planned)";
  constexpr int kApi = 12;  // the only one since Linux 2.6.22
  const Kvm found = host.kvm();
  if (!found.exists) {
    return bad(State::warn, "kvm", "no /dev/kvm", kPurpose,
               "modprobe kvm_intel or modprobe kvm_amd, with virtualisation on in the firmware");
  }
  if (!found.open_error.empty()) {
    return bad(State::warn, "kvm", fmt::format("/dev/kvm: {}", found.open_error), kPurpose,
               "usermod -aG kvm USER, then log in again");
  }
  const std::string seen = fmt::format("/dev/kvm, API version {}", found.api_version);
  if (found.api_version == kApi) return good("kvm", seen, kPurpose);
  return bad(State::warn, "kvm", seen, kPurpose,
             fmt::format("boot a kernel whose KVM has API version {}", kApi));
}

// --- programs
// ---------------------------------------------------------------------------------------

struct Program {
  std::string_view name;
  std::string_view ask;  // its arguments that print a version, between spaces
  std::string_view purpose;
  std::string_view fix;
};

constexpr std::array kPrograms = {
    Program{.name = "node",
            .ask = "--version",
            .purpose = "MCP servers from npm",
            .fix = "apt-get install -y nodejs"},
    Program{.name = "npx",
            .ask = "--version",
            .purpose = "MCP servers from npm",
            .fix = "apt-get install -y npm"},
    Program{.name = "uvx",
            .ask = "--version",
            .purpose = "MCP servers from PyPI",
            .fix = "apt-get install -y pipx && pipx install uv"},
    Program{.name = "bwrap",
            .ask = "--version",
            .purpose = kSandbox,
            .fix = "apt-get install -y bubblewrap"},
    Program{
        .name = "crun", .ask = "--version", .purpose = kSandbox, .fix = "apt-get install -y crun"},
    Program{
        .name = "runc", .ask = "--version", .purpose = kSandbox, .fix = "apt-get install -y runc"},
    Program{.name = "runsc",
            .ask = "--version",
            .purpose = kSandbox,
            .fix = "apt-get install -y runsc"},
    Program{.name = "qemu-system-x86_64",
            .ask = "--version",
            .purpose = "sandbox with virtual machines (planned)",
            .fix = "apt-get install -y qemu-system-x86"},
    Program{.name = "workerd",
            .ask = "--version",
            .purpose = "sandbox for JavaScript (planned)",
            .fix = "npm install -g workerd"},
    Program{.name = "nats-server",
            .ask = "--version",
            .purpose = "state that several hosts share (planned)",
            .fix = "apt-get install -y nats-server"},
    Program{.name = "kubectl",
            .ask = "version --client",
            .purpose = "Kubernetes (planned)",
            .fix = "apt-get install -y kubernetes-client"},
    Program{.name = "nginx",
            .ask = "-v",
            .purpose = "benchmarks only",
            .fix = "apt-get install -y nginx-light"}};

Finding program(Host& host, const Program& wanted) {
  const auto path = host.find(wanted.name);
  if (!path) {
    return bad(State::warn, wanted.name, "not in PATH", wanted.purpose, std::string(wanted.fix));
  }
  std::vector<std::string> command = {path->string()};
  for_each_piece(wanted.ask, ' ',
                 [&command](std::string_view word) { command.emplace_back(word); });
  const auto ran = host.run(command);
  const std::string reinstall = fmt::format("it does not run; install it anew: {}", wanted.fix);
  if (!ran) {
    return bad(State::warn, wanted.name, fmt::format("{}: {}", path->string(), ran.error().message),
               wanted.purpose, reinstall);
  }
  const std::string seen = fmt::format("{}: {}", path->string(), first_line(ran->output));
  if (ran->exit_code == 0) return good(wanted.name, seen, wanted.purpose);
  return bad(State::warn, wanted.name, fmt::format("{} (exit code {})", seen, ran->exit_code),
             wanted.purpose, reinstall);
}

// --- what the gateway uses
// --------------------------------------------------------------------------

Finding descriptors(Host& host) {
  constexpr std::uint64_t kConnections = 10'000;
  constexpr std::uint64_t kBesides = 512;  // upstreams, the record, counters, listeners
  constexpr std::uint64_t kNeeded = kConnections + kBesides;
  const std::string purpose = fmt::format("{} connections", kConnections);
  const Descriptors limit = host.descriptors();
  const std::string seen = fmt::format("soft limit {}, hard limit {}", limit.soft, limit.hard);
  if (limit.soft >= kNeeded) return good("descriptors", seen, purpose);
  if (limit.hard >= kNeeded)
    return bad(State::warn, "descriptors", seen, purpose, fmt::format("ulimit -n {}", kNeeded));
  return bad(State::warn, "descriptors", seen, purpose,
             fmt::format("LimitNOFILE={0} in its systemd service, or a line 'USER - nofile {0}' in "
                         "/etc/security/limits.conf",
                         kNeeded));
}

Finding clock(Host& host) {
  constexpr std::string_view kPurpose = "expiry of tokens and grants";
  const auto kept = host.clock_synchronised();
  if (kept == true) return good("clock", "synchronised", kPurpose);
  return bad(State::warn, "clock", kept ? "not synchronised" : "the kernel does not say", kPurpose,
             "apt-get install -y systemd-timesyncd && timedatectl set-ntp true");
}

// SQLite's write-ahead log needs memory that its processes share.
bool is_network(std::string_view type) {
  constexpr std::array<std::string_view, 4> kNetwork = {"nfs", "cifs", "smb2", "9p"};
  return std::ranges::find(kNetwork, type) != kNetwork.end();
}

Finding state_directory(Host& host, const fs::path& folder) {
  constexpr std::string_view kName = "state-directory";
  constexpr std::string_view kPurpose = "the record and counters";
  constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;
  constexpr std::uint64_t kTooLittle = 64 * kMiB;
  constexpr std::uint64_t kLittle = 1024 * kMiB;
  const std::string elsewhere = "set stateDir in zwinger.yaml to a folder on a local disk";
  const auto found = host.file_system(folder);
  if (!found) return bad(State::missing, kName, found.error().to_string(), kPurpose, elsewhere);
  const std::string seen =
      fmt::format("{}: {}, {} MiB free", folder.string(), found->type, found->free_bytes / kMiB);
  if (!found->sync_error.empty()) {
    return bad(State::missing, kName,
               fmt::format("{}; a file there could not be written and synced: {}", seen,
                           found->sync_error),
               kPurpose, fmt::format("give its user the folder, or {}", elsewhere));
  }
  if (is_network(found->type)) {
    return bad(State::missing, kName, seen + "; SQLite does not work on a network file system",
               kPurpose, elsewhere);
  }
  if (found->free_bytes < kTooLittle)
    return bad(State::missing, kName, seen, kPurpose, "free space there, or " + elsewhere);
  if (found->type == "tmpfs" || found->type == "ramfs")
    return bad(State::warn, kName, seen + "; lost at reboot", kPurpose, elsewhere);
  if (found->free_bytes < kLittle)
    return bad(State::warn, kName, seen, kPurpose, "free space there, or " + elsewhere);
  return good(kName, seen, kPurpose);
}

Finding policy(const PolicyFacts& facts) {
  constexpr std::string_view kPurpose = "what the gateway does";
  const std::string folder = facts.directory.string();
  if (facts.loaded) {
    return good("policy",
                fmt::format("{}: {} listeners, {} upstreams", folder, facts.listeners.size(),
                            facts.upstreams),
                kPurpose);
  }
  if (facts.errors.empty()) {
    return bad(State::warn, "policy", folder + ": there is none yet", kPurpose,
               fmt::format("zwinger init --policy {}", folder));
  }
  const std::string more =
      facts.errors.size() > 1 ? fmt::format(" and {} more", facts.errors.size() - 1) : "";
  return bad(State::missing, "policy", facts.errors.front().to_string() + more, kPurpose,
             fmt::format("zwinger check {} shows every error; mend them", folder));
}

Finding upstream(Host& host, const std::string& id, const std::string& wanted) {
  const std::string name = "upstream " + id;
  constexpr std::string_view kPurpose = "a server that the policy names";
  if (const auto path = host.find(wanted)) return good(name, path->string(), kPurpose);
  const auto known = std::ranges::find(kPrograms, std::string_view(wanted), &Program::name);
  return bad(State::missing, name, fmt::format("'{}' is not there to be run", wanted), kPurpose,
             known != kPrograms.end()
                 ? std::string(known->fix)
                 : fmt::format("install '{}', or change 'command' of this upstream", wanted));
}

Finding listener(Host& host, const net::Address& address) {
  const std::string name = "listener " + address.to_string();
  constexpr std::string_view kPurpose = "clients";
  const auto can = host.can_listen(address);
  if (can) return good(name, "free", kPurpose);
  // A gateway that runs already is no fault.
  if (can.error().message.contains(std::make_error_code(std::errc::address_in_use).message())) {
    return bad(
        State::warn, name, "somebody listens there already", kPurpose,
        address.family == net::Address::Family::unix_socket
            ? std::string("if it is not this gateway: fuser -v ") + address.host
            : fmt::format("if it is not this gateway: ss -ltnp 'sport = :{}'", address.port));
  }
  return bad(State::missing, name, can.error().message, kPurpose,
             "choose another address for this listener in zwinger.yaml");
}

void add_policy_findings(Host& host, const PolicyFacts& facts, std::vector<Finding>& out) {
  out.push_back(policy(facts));
  out.push_back(state_directory(host, facts.state_dir));
  for (const auto& [id, program] : facts.programs) out.push_back(upstream(host, id, program));
  for (const net::Address& address : facts.listeners) out.push_back(listener(host, address));
}

}  // namespace

std::string_view to_string(Finding::State state) {
  switch (state) {
    case State::ok:
      return "ok";
    case State::warn:
      return "warn";
    case State::missing:
      return "missing";
  }
  return "missing";
}

std::vector<Finding> diagnose(Host& host, const PolicyFacts& facts) {
  std::vector<Finding> out;
  for (const auto& check : {kernel, pidfd, descriptors, clock}) out.push_back(check(host));
  add_policy_findings(host, facts, out);
  for (const auto& check : {user_namespaces, landlock, seccomp, openat2, overlayfs, cgroups, kvm})
    out.push_back(check(host));
  for (const Program& each : kPrograms) out.push_back(program(host, each));
  return out;
}

// --- the command
// ------------------------------------------------------------------------------------

namespace {

struct Arguments {
  std::string policy;
  bool json = false;
};

void take(const gateway::Policy& policy, PolicyFacts& facts) {
  facts.loaded = true;
  facts.state_dir = policy.state_dir;
  for (const gateway::ListenerConfig& each : policy.listeners)
    facts.listeners.push_back(each.address);
  if (policy.admin) facts.listeners.push_back(policy.admin->address);
  facts.upstreams = policy.upstreams.size();
  for (const auto& [id, config] : policy.upstreams)
    if (config.is_stdio()) facts.programs.emplace_back(id, config.command.front());
}

// Where the policy is, and what it says. Errors: usage.
Result<PolicyFacts> read_facts(const Arguments& arguments, const Context& context) {
  PolicyFacts facts;
  ZWINGER_TRY(facts.directory, policy_directory(context, arguments.policy));
  facts.state_dir = facts.directory / "state";
  std::error_code ec;
  if (arguments.policy.empty() && !fs::exists(facts.directory, ec)) return facts;
  auto loaded = gateway::load_policy(facts.directory);
  if (!loaded) {
    facts.errors = std::move(loaded).error();
    return facts;
  }
  if (const auto issuers = gateway::load_issuers(*loaded); !issuers) {
    facts.errors.push_back(issuers.error());
    return facts;
  }
  take(*loaded, facts);
  return facts;
}

std::string as_text(const std::vector<Finding>& findings) {
  std::string out;
  for (const Finding& each : findings) {
    out += fmt::format("{:<8} {:<20} {}\n", to_string(each.state), each.name, each.seen);
    if (each.state == State::ok) continue;
    out += fmt::format("{:<8} for {}\n{:<8} fix: {}\n", "", each.purpose, "", each.fix);
  }
  const auto count = [&findings](State state) {
    return std::ranges::count(findings, state, &Finding::state);
  };
  return out + fmt::format("{} ok, {} to look at, {} missing\n", count(State::ok),
                           count(State::warn), count(State::missing));
}

std::string as_json(const std::vector<Finding>& findings, bool all_there) {
  json::Writer out;
  out.begin_object();
  out.key("ok").boolean(all_there);
  out.key("findings").begin_array();
  for (const Finding& each : findings) {
    out.begin_object();
    out.key("name").string(each.name);
    out.key("state").string(to_string(each.state));
    out.key("seen").string(each.seen);
    out.key("for").string(each.purpose);
    if (!each.fix.empty()) out.key("fix").string(each.fix);
    out.end_object();
  }
  out.end_array();
  return std::move(out.end_object()).take() + "\n";
}

int run(const Arguments& arguments, Context& context) {
  const Result<PolicyFacts> facts = read_facts(arguments, context);
  if (!facts) return report(context, facts.error(), kUsage);
  const std::unique_ptr<Host> host = make_system_host(context.environment);
  const std::vector<Finding> findings = diagnose(*host, *facts);
  const bool all_there =
      std::ranges::find(findings, State::missing, &Finding::state) == findings.end();
  context.out << (arguments.json ? as_json(findings, all_there) : printable(as_text(findings)));
  return all_there ? kOk : kNo;
}

}  // namespace

Command doctor_command() {
  return {.name = "doctor",
          .summary = "Say what this machine lacks, and how to get it",
          .example = "zwinger doctor --policy ./policy",
          .declare = [](Options& options) -> Run {
            auto arguments = std::make_shared<Arguments>();
            options.text("--policy", arguments->policy, "DIR", "The policy directory");
            options.flag("--json", arguments->json, "One JSON object");
            return [arguments](Context& context) { return run(*arguments, context); };
          }};
}

}  // namespace zwinger::cmd
