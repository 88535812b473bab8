// Exchanges on their way through the pipeline: who asks, what, what was decided, and how it ended.
//
// An Exchange is a client's request to one upstream; a ServerExchange is an upstream's request to a
// client. Made by a codec or a connection's sink, filled in stage by stage, owned by the coroutine
// that runs it. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/verdict.h"
#include "gateway/cancellation.h"
#include "gateway/client_stream.h"
#include "gateway/generation.h"
#include "gateway/stages.h"
#include "identity/principal.h"
#include "mcp/message.h"
#include "mcp/params.h"
#include "net/loop.h"
#include "net/one_shot.h"

namespace zwinger::gateway {

class Session;

// What went to the client before the answer.
struct EventRecord {
  std::uint64_t events = 0;
  std::uint64_t bytes = 0;
  std::string digests;  // SHA-256 of each event, binary, one after the other
};

// How long each stage took, for the record and the metrics.
class StageTimes {
 public:
  explicit StageTimes(Monotonic began) : last_(began) {}
  // The time since the last mark was this stage's.
  void mark(std::string_view stage, Monotonic now) {
    spent_.emplace_back(stage, std::chrono::duration_cast<std::chrono::microseconds>(now - last_));
    last_ = now;
  }
  [[nodiscard]] const std::vector<std::pair<std::string_view, std::chrono::microseconds>>& spent()
      const {
    return spent_;
  }

 private:
  Monotonic last_;
  std::vector<std::pair<std::string_view, std::chrono::microseconds>> spent_;
};

struct Exchange {
  Exchange(net::Loop& caller, mcp::Message request, Monotonic at)
      : loop(caller), message(std::move(request)), began(at), times(at) {}

  // --- filled by the codec ---
  net::Loop& loop;
  mcp::Message message;  // a request
  std::shared_ptr<const Generation> generation;
  std::shared_ptr<const identity::Authenticated> who;
  std::string_view transport;  // "http" or "stdio"
  std::string peer;            // what TLS proved of the peer; empty without
  std::string call_id;
  Monotonic began;
  Route route;                       // to the one upstream that this concerns
  std::shared_ptr<Session> session;  // null for a request without one
  std::shared_ptr<Cancellation> cancellation = std::make_shared<Cancellation>();
  std::shared_ptr<ClientStream> stream;  // null where the codec cannot carry events

  // --- read from the body ---
  std::optional<mcp::Method> method;
  mcp::RequestParams params;
  std::string task_tool;  // the tool that a task of ours runs

  // --- decided ---
  // Denies until judge() allowed it, so an exchange that skipped a stage is refused.
  Judgement judgement{.verdict = Verdict::deny(Code::internal),
                      .stage = "none",
                      .reaches_upstream = false,
                      .must_reserve = std::nullopt};
  std::shared_ptr<Connection> connection;
  bool own_connection = false;  // only this client's session uses it
  std::int64_t upstream_request = 0;
  std::string forward;         // the bytes for the upstream; empty where we answer ourselves
  std::string forward_digest;  // SHA-256 hex of them

  // --- how it ended ---
  bool outcome_recorded =
      false;           // the outcome leaf went with the decision leaf: nothing was forwarded
  std::string status;  // of the outcome leaf
  std::optional<Error> failure;       // after the decision: no answer, or one that must not leave
  std::optional<mcp::Message> reply;  // the upstream's, where it gave one
  std::shared_ptr<const mcp::ServerInfo> server;  // of initialize
  std::string result;                             // source text of a result, or
  std::string error;                              // of the upstream's own error
  EventRecord events;
  StageTimes times;

  [[nodiscard]] const std::string& upstream() const { return route.upstream->id(); }
  [[nodiscard]] bool allowed() const { return judgement.verdict.allowed(); }
  void deny(std::string_view stage, Verdict verdict) {
    judgement = {.verdict = std::move(verdict),
                 .stage = stage,
                 .reaches_upstream = false,
                 .must_reserve = std::nullopt};
  }
};

// What an upstream asks of a client. Shared by the coroutine that waits for the client's answer and
// the session that brings it.
struct ServerExchange {
  ServerExchange(mcp::Message request, Monotonic at)
      : message(std::move(request)), began(at), times(at) {}

  mcp::Message message;  // a request
  std::shared_ptr<const Generation> generation;
  std::shared_ptr<const identity::Authenticated> who;  // whose session it is
  std::string call_id;
  Monotonic began;
  Route route;
  std::shared_ptr<Session> session;
  std::shared_ptr<Connection> connection;
  std::shared_ptr<ClientStream> stream;

  std::optional<mcp::Method> method;
  mcp::RequestParams params;
  Judgement judgement{.verdict = Verdict::deny(Code::internal),
                      .stage = "none",
                      .reaches_upstream = false,
                      .must_reserve = std::nullopt};
  std::int64_t client_request = 0;
  std::string forward;  // the bytes for the client
  std::string forward_digest;

  std::shared_ptr<net::OneShot<Result<mcp::Message>>> answered;
  std::string status;
  std::optional<Error> failure;
  std::optional<mcp::Message> reply;
  StageTimes times;

  [[nodiscard]] const std::string& upstream() const { return route.upstream->id(); }
  [[nodiscard]] bool allowed() const { return judgement.verdict.allowed(); }
  void deny(std::string_view stage, Verdict verdict) {
    judgement = {.verdict = std::move(verdict),
                 .stage = stage,
                 .reaches_upstream = false,
                 .must_reserve = std::nullopt};
  }
};

}  // namespace zwinger::gateway
