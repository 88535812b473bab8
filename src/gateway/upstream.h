// One MCP server behind the gateway, whatever carries it.
//
// An upstream lives on one loop (its home); request(), server() and cancel() may be called from any
// loop's thread and resume on the caller's. Ids towards the upstream are ours and never reused.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/task.h"
#include "mcp/message.h"
#include "mcp/params.h"
#include "net/loop.h"

namespace zwinger::gateway {

// Gets each progress notification of one request, on the upstream's home loop; may be empty.
using ProgressSink = std::function<void(const mcp::ProgressParams&)>;

struct UpstreamRequest {
  std::int64_t id = 0;              // from next_id()
  std::string message;              // carries the id; without a line end
  ProgressSink progress;            // may be empty
  std::function<bool()> cancelled;  // asked on the home loop before it is sent; may be empty
};

class Upstream {
 public:
  virtual ~Upstream() = default;

  [[nodiscard]] virtual const std::string& id() const = 0;
  // A fresh id for a request. Any thread.
  [[nodiscard]] virtual std::int64_t next_id() = 0;
  // Sends the request and waits for its answer. Errors: upstream_unavailable, upstream_timeout,
  // upstream_died, upstream_invalid_message, upstream_answer_too_large, cancelled, overloaded.
  virtual Task<Result<mcp::Message>> request(net::Loop& caller, UpstreamRequest request) = 0;
  // What the upstream said of itself when it was initialized; waits while it starts. Errors:
  // upstream_unavailable.
  virtual Task<Result<std::shared_ptr<const mcp::ServerInfo>>> server(net::Loop& caller) = 0;
  // Ends a running request: the upstream is told, the waiting request() gets Code::cancelled. No
  // effect where it is not running. `reason` is the source text of a JSON string.
  virtual void cancel(std::int64_t id, std::optional<std::string> reason) = 0;
};

}  // namespace zwinger::gateway
