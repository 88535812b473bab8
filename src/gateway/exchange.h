// One MCP request on its way through the pipeline: who asks, what, what was decided, and how it
// ended.
//
// Made by a codec (HTTP or stdio), filled in stage by stage, owned by the codec's coroutine. One
// thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/clock.h"
#include "base/verdict.h"
#include "gateway/cancellation.h"
#include "gateway/stages.h"
#include "gateway/upstream.h"
#include "identity/principal.h"
#include "mcp/message.h"
#include "mcp/params.h"
#include "mcp/revision.h"
#include "net/loop.h"

namespace zwinger::gateway {

// Gets the progress notifications of a request as whole messages for the client; on the upstream's
// home loop. False where the client is too slow, and the event was dropped.
using ClientProgress = std::function<bool(std::string message)>;

// What went to the client before the answer.
struct ProgressRecord {
  std::uint64_t events = 0;
  std::uint64_t bytes = 0;
  std::string digests;  // SHA-256 of each event, binary, one after the other
};

struct Exchange {
  Exchange(net::Loop& caller, mcp::Message request) : loop(caller), message(std::move(request)) {}

  // --- filled by the codec ---
  net::Loop& loop;
  mcp::Message message;  // a request
  std::shared_ptr<const identity::Authenticated> who;
  std::string_view transport;  // "http" or "stdio"
  std::string call_id;
  Monotonic began;
  Upstream* upstream = nullptr;
  std::string_view vertical;  // of the upstream, from the configuration
  std::shared_ptr<Cancellation> cancellation = std::make_shared<Cancellation>();
  ClientProgress client_progress;  // empty where the codec cannot carry it

  // --- read from the body ---
  std::optional<mcp::Method> method;
  std::variant<std::monostate, mcp::InitializeParams, mcp::ListParams, mcp::CallParams> params;
  std::optional<json::Value> progress_token;

  // --- decided ---
  // Denies until judge() allowed it, so an exchange that skipped a stage is refused.
  Judgement judgement{.verdict = Verdict::deny(Code::internal),
                      .stage = "none",
                      .reaches_upstream = false,
                      .must_reserve = std::nullopt};
  std::int64_t upstream_request = 0;
  std::string forward;         // the bytes for the upstream; empty where we answer ourselves
  std::string forward_digest;  // SHA-256 hex of them

  // --- how it ended ---
  bool outcome_recorded =
      false;           // the outcome leaf went with the decision leaf: nothing was forwarded
  std::string status;  // of the outcome leaf
  std::optional<Error> failure;       // after the decision: no answer, or one that must not leave
  std::optional<mcp::Message> reply;  // the upstream's, where it gave one
  std::string result;                 // source text of a result, or
  std::string error;                  // of the upstream's own error
  ProgressRecord progress;

  [[nodiscard]] bool allowed() const { return judgement.verdict.allowed(); }
  [[nodiscard]] std::string_view tool() const {
    const auto* call = std::get_if<mcp::CallParams>(&params);
    return call != nullptr ? call->name : std::string_view();
  }
  void deny(std::string_view stage, Verdict verdict) {
    judgement = {.verdict = std::move(verdict),
                 .stage = stage,
                 .reaches_upstream = false,
                 .must_reserve = std::nullopt};
  }
};

}  // namespace zwinger::gateway
