// An MCP server as child processes: one JSON-RPC message a line on standard input and output (MCP
// 2025-11-25, basic/transports, "stdio"). Each connection is a process of its own, so that what one
// client's session leaves in a server's memory is not there for another. Supervised: when a process
// ends it is started again, with growing pauses, and initialized as it was before; a session's that
// never was initialized is not.
//
// The child sees PATH, HOME, LANG and TZ of this process and what its configuration names, nothing
// else. When it is stopped, its whole process tree ends. A line that is no MCP message ends the one
// request that waits for an answer, where only one does; with several it is unclear whose it was,
// so it is noted and each waits for its own answer or time limit.
#pragma once

#include <list>
#include <memory>
#include <mutex>

#include "base/log.h"
#include "gateway/notices.h"
#include "gateway/policy.h"
#include "gateway/upstream.h"
#include "net/loop.h"

namespace zwinger::gateway {

struct StdioUpstreamOptions {
  UpstreamConfig config;
  bool inherit_stderr = false;  // else the last lines are kept and logged when the server fails
};

class StdioConnection;

class StdioUpstream final : public Upstream {
 public:
  // `home` must be run by a thread that lives as long as the process: children die with the thread
  // that made them.
  StdioUpstream(net::Loop& home, StdioUpstreamOptions options, Log& log, Notices& notices);
  ~StdioUpstream() override;  // after stop() has ended, or with the home loop stopped

  [[nodiscard]] const UpstreamConfig& config() const override { return options_.config; }
  [[nodiscard]] std::shared_ptr<Connection> shared() override;
  [[nodiscard]] Result<std::shared_ptr<Connection>> open(ConnectionStart start) override;
  void quiesce() override;
  Task<void> stop() override;

 private:
  std::shared_ptr<StdioConnection> begin(ConnectionStart start, bool is_shared);
  [[nodiscard]] std::list<std::shared_ptr<StdioConnection>> living();

  net::Loop& home_;
  StdioUpstreamOptions options_;
  Log& log_;
  Notices& notices_;
  std::mutex mutex_;
  bool stopping_ = false;
  std::shared_ptr<StdioConnection> shared_;
  std::list<std::weak_ptr<StdioConnection>> sessions_;
};

}  // namespace zwinger::gateway
