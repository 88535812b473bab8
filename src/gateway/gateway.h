// The gateway process: listeners, upstreams, record and state put together; and the stdio wrapper,
// which is the same pipeline with another codec. Blocking: run on the main thread.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/result.h"
#include "gateway/policy.h"
#include "ledger/ledger.h"

namespace zwinger::gateway {

// How a running gateway is told to read its policy again: SIGHUP, or a file renamed into the policy
// directory or its roles/ folder. A policy that does not load, or that would need a restart,
// changes nothing, and is said loudly.

struct Ready {
  std::map<std::string, std::string>
      endpoints;  // upstream id -> URL of its MCP endpoint on the first listener
  std::vector<std::string> listeners;  // addresses as bound
  std::string admin;                   // of the admin listener; empty where there is none
};

struct Environment {
  const Clock& clock;
  Random& random;
  Log& log;
};

// No orderly stop of a gateway takes longer; its supervisor waits this long before it kills.
inline constexpr std::chrono::seconds kShutdownBound{25};

// Serves until SIGTERM or SIGINT, then drains. `on_ready` is called once, when every listener is
// bound. Errors: what kept it from starting (policy_*, ledger_unavailable, state_unavailable, io).
[[nodiscard]] Result<void> run_gateway(const Policy& policy, const Environment& environment,
                                       const std::function<void(const Ready&)>& on_ready);
// The same without a record, for bench/ and nothing else.
[[nodiscard]] Result<void> run_gateway(const Policy& policy, const Environment& environment,
                                       const std::function<void(const Ready&)>& on_ready,
                                       ledger::RecordNothingForBenchmarks danger);

struct WrapOptions {
  std::string upstream_id = "server";
  std::vector<std::string> command;
  std::filesystem::path state_dir;
  const Policy* policy = nullptr;  // null: roles do not restrict and the upstream is shared
  std::string grant_file;
};

// Guards one stdio server: MCP on our standard input and output. Returns when the client closes its
// side or the process is told to stop; a server that dies is started again meanwhile. Errors:
// grant_file and what kept it from starting.
[[nodiscard]] Result<void> run_wrap(const WrapOptions& options, const Environment& environment);

}  // namespace zwinger::gateway
