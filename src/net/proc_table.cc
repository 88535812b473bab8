#include "net/proc_table.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <memory>
#include <string_view>

#include "base/fd.h"

namespace zwinger::net {
namespace {

// proc(5), /proc/pid/stat: "pid (comm) state ppid pgrp session ..."; comm may hold spaces and
// parentheses, so the fields are counted from the last ')'.
std::optional<ProcEntry> parse_stat(pid_t pid, std::string_view text) {
  constexpr int kState = 0;
  constexpr int kParent = 1;
  constexpr int kGroup = 2;
  constexpr int kSession = 3;
  constexpr int kStartTime = 19;
  const auto comm_end = text.rfind(')');
  if (comm_end == std::string_view::npos || comm_end + 2 > text.size()) return std::nullopt;
  text.remove_prefix(comm_end + 2);
  ProcEntry entry{.pid = pid};
  for (int field = 0; field <= kStartTime; ++field) {
    const auto space = text.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    const std::string_view value = text.substr(0, space);
    text.remove_prefix(space + 1);
    const auto number = [begin = value.data(), end = value.data() + value.size()](auto& out) {
      std::from_chars(begin, end, out);
    };
    if (field == kState) entry.zombie = value == "Z" || value == "X";
    if (field == kParent) number(entry.parent);
    if (field == kGroup) number(entry.group);
    if (field == kSession) number(entry.session);
    if (field == kStartTime) number(entry.start_time);
  }
  return entry;
}

}  // namespace

std::optional<ProcEntry> read_process(pid_t pid) {
  const Fd file(::open(fmt::format("/proc/{}/stat", pid).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  std::array<char, 1024> buffer{};
  const ssize_t size = ::read(file.get(), buffer.data(), buffer.size());
  if (size <= 0) return std::nullopt;
  return parse_stat(pid, std::string_view(buffer.data(), static_cast<std::size_t>(size)));
}

std::vector<ProcEntry> read_processes() {
  std::vector<ProcEntry> all;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc"), &::closedir);
  if (!folder) return all;
  while (const dirent* item =
             ::readdir(folder.get())) {  // NOLINT(concurrency-mt-unsafe): a stream of our own
    const std::string_view name(item->d_name);
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error != std::errc() || end != name.data() + name.size()) continue;
    if (auto entry = read_process(pid)) all.push_back(*entry);
  }
  return all;
}

void signal_process(const ProcEntry& entry, int signal) {
  const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, entry.pid, 0)));
  if (!pidfd) return;
  const auto current = read_process(entry.pid);  // after the descriptor: it pins whom we compare
  if (!current || current->start_time != entry.start_time) return;
  ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0);
}

}  // namespace zwinger::net
