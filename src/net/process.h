// Child processes whose standard input and output are streams on a loop. Loop thread only.
//
// A child starts in a session and process group of its own with exactly the environment given, no
// inherited descriptors but 0, 1, 2, default signal dispositions and an empty signal mask, and dies
// when its parent's thread does (PR_SET_PDEATHSIG; start children from a thread that lives as long
// as the process). This process becomes a child subreaper, so that grandchildren that outlive their
// parent come back to it and can be ended: "whole process tree" means every descendant.
//
// Whose is an orphan? A process that left its parent and its session (a double fork with setsid)
// comes back to us without a mark of the Process that it came from. It is therefore ended when no
// child is left that it could belong to: by the end_tree(), kill_tree() or destructor of the last
// running Process, or by kill_orphans(). Orphans that end by themselves are reaped on SIGCHLD.
//
// Which child processes exist is known to the kernel once per process, so the list of those that
// Process objects own is one per process too: the one exception to "no globals", private to
// process.cc. Children that other code starts are left alone as long as they stay in this
// process's own session; such a child in a session of its own counts as an orphan.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "net/stream.h"

namespace zwinger::net {

struct ProcessOptions {
  // argv. A [0] without a slash is looked up in the absolute folders of `environment`'s PATH, and
  // refused where it has none.
  std::vector<std::string> command;
  std::vector<std::pair<std::string, std::string>> environment;  // all of it
  std::filesystem::path working_directory;                       // empty: the parent's
  bool inherit_stderr = false;                                   // else it is a stream
};

class Process {
 public:
  // Returns when the child runs its program. Errors: io with what the operating system said, so a
  // missing program is told here and not by a dead child.
  [[nodiscard]] static Result<std::unique_ptr<Process>> start(Loop& loop,
                                                              const ProcessOptions& options);
  ~Process();  // kills the tree
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  [[nodiscard]] pid_t pid() const;
  [[nodiscard]] Stream& input();   // the child's standard input, for writing
  [[nodiscard]] Stream& output();  // the child's standard output, for reading
  [[nodiscard]] Stream* error();   // nothing with inherit_stderr

  // Suspends until the child has ended. Wait status as waitpid gives it. Any number of awaiters.
  Task<int> wait();
  // Closes its input, waits `grace` for it to end, then SIGTERM to its process group, waits
  // `grace`, then SIGKILL to every descendant.
  Task<void> end_tree(std::chrono::milliseconds grace);
  // SIGKILL to every descendant, now; returns when they are gone (normally within milliseconds, at
  // most two seconds).
  void kill_tree();

 private:
  class Impl;
  explicit Process(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Every living process below `root` (itself not included), from /proc; order is parents first.
[[nodiscard]] std::vector<pid_t> descendants(pid_t root);
// Kills and reaps children of this process that no Process object owns: orphans that came back to
// the subreaper, with everything below them; not those in the session of a running Process, which
// go with its tree. Returns how many were killed. Any thread; blocks like kill_tree().
std::size_t kill_orphans();

}  // namespace zwinger::net
