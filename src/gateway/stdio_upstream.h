// An MCP server as a child process: one JSON-RPC message a line on its standard input and output
// (MCP 2025-11-25, basic/transports, "stdio"). Supervised: when it ends it is started again, with
// growing pauses.
//
// The child sees PATH, HOME, LANG and TZ of this process and what its configuration names, nothing
// else. When it is stopped, its whole process tree ends. A line that is no MCP message ends the one
// request that waits for an answer, where only one does; with several it is unclear whose it was,
// so it is noted and each waits for its own answer or time limit.
#pragma once

#include <memory>

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

class StdioUpstream final : public Upstream {
 public:
  // `home` must be run by a thread that lives as long as the process: children die with the thread
  // that made them.
  StdioUpstream(net::Loop& home, StdioUpstreamOptions options, Log& log, Notices& notices);
  ~StdioUpstream() override;  // after stop() has ended, or with the home loop stopped
  StdioUpstream(const StdioUpstream&) = delete;
  StdioUpstream& operator=(const StdioUpstream&) = delete;

  // Home loop.
  void start();
  // Home loop: fails what waits and takes no more. The first half of stop(), for when answers have
  // still to be recorded.
  void quiesce();
  // Home loop: fails what waits, ends the process tree, returns when it is gone or has outlived
  // every bound.
  Task<void> stop();

  [[nodiscard]] const std::string& id() const override;
  [[nodiscard]] std::int64_t next_id() override;
  Task<Result<mcp::Message>> request(net::Loop& caller, UpstreamRequest request) override;
  Task<Result<std::shared_ptr<const mcp::ServerInfo>>> server(net::Loop& caller) override;
  void cancel(std::int64_t id, std::optional<std::string> reason) override;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace zwinger::gateway
