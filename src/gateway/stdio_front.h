// MCP over standard input and output, server side (MCP 2025-11-25, basic/transports, "stdio"): one
// message a line. Loop thread only. The principal is the local grant's; there is one upstream, and
// one session from the start: everything for the client goes to the one stream that it has.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "gateway/cancellation.h"
#include "gateway/federation.h"
#include "gateway/notices.h"
#include "gateway/pipeline.h"
#include "gateway/session.h"
#include "net/one_shot.h"
#include "net/stream.h"

namespace zwinger::gateway {

class StdioFront : public std::enable_shared_from_this<StdioFront> {
 public:
  struct Parts {
    net::Loop& loop;
    Pipeline& pipeline;
    Notices& notices;
    const Clock& clock;
    Random& random;
    std::shared_ptr<const identity::Authenticated> who;
    std::shared_ptr<const Generation> generation;
    Route route;
    Sessions& sessions;
  };
  static constexpr std::size_t kMaxInFlight = 256;
  // Unwritten output: above the first, events wait for it to be written; above the second, no more
  // is read until it is.
  static constexpr std::size_t kHoldEventsAbove = std::size_t{1} << 20U;
  static constexpr std::size_t kStopReadingAbove = std::size_t{8} << 20U;

  StdioFront(Parts parts, std::unique_ptr<net::Stream> input, std::unique_ptr<net::Stream> output,
             json::Limits limits);

  // Reads until the client closes its side or stop() is called, then waits for the requests that
  // still run: at most `grace`, and after stop() at most kStopGrace.
  Task<void> serve(Duration grace);
  void stop();
  // Waits, at most `grace`, until no request runs and everything is written. For after the upstream
  // has been stopped too, so that what it failed is recorded and told.
  Task<void> finish(Duration grace);
  static constexpr std::chrono::seconds kStopGrace{2};
  // Ends the session. For after finish().
  void end();

 private:
  void take_line(std::string line);
  void take_notification(const mcp::Message& message);
  static Task<void> run_exchange(std::shared_ptr<StdioFront> self, mcp::Message message);
  static Task<void> pass_notification(std::shared_ptr<StdioFront> self, std::string method,
                                      std::string message);
  static Task<void> write_events(std::shared_ptr<StdioFront> self, std::uint64_t reader);
  void send(std::string message);
  static Task<void> write_outbox(std::shared_ptr<StdioFront> self);
  Task<void> wait_until_written();
  void tell_if_idle();
  [[nodiscard]] bool has_output() const;

  Parts parts_;
  std::unique_ptr<net::Stream> input_;
  std::unique_ptr<net::Stream> output_;
  json::Limits limits_;
  InFlight in_flight_;
  std::shared_ptr<Session> session_;
  std::size_t running_ = 0;
  std::string outbox_;
  bool writing_ = false;
  bool output_broken_ = false;
  std::vector<std::shared_ptr<net::OneShot<bool>>> written_;  // set when the outbox is empty
  bool told_to_stop_ = false;
  std::shared_ptr<net::OneShot<bool>> idle_;  // set when nothing runs and nothing is left to write
};

}  // namespace zwinger::gateway
