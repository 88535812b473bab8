#include "gateway/stdio_front.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "gateway/line_reader.h"
#include "mcp/envelope.h"
#include "net/one_shot.h"

namespace zwinger::gateway {

StdioFront::StdioFront(Parts parts, std::unique_ptr<net::Stream> input,
                       std::unique_ptr<net::Stream> output, json::Limits limits)
    : parts_(std::move(parts)),
      input_(std::move(input)),
      output_(std::move(output)),
      limits_(limits) {}

Task<void> StdioFront::serve(Duration grace) {
  const auto self = shared_from_this();  // what still runs after the grace keeps using this
  LineReader lines(limits_.max_bytes);
  std::vector<char> chunk(std::size_t{64} << 10U);
  while (!output_broken_) {
    if (outbox_.size() > kStopReadingAbove) co_await wait_until_written();
    const Result<std::size_t> got = co_await input_->read_some(chunk, std::nullopt);
    if (!got || *got == 0) break;
    lines.feed(
        std::string_view(chunk.data(), *got),
        [this](std::string line) { take_line(std::move(line)); },
        [this] {
          const Error error{
              Code::json_too_large,
              "a message may have at most " + std::to_string(limits_.max_bytes) + " bytes",
              {}};
          parts_.notices.note("client_bad_message", parts_.route.upstream->id(), {},
                              name(error.code));
          send(mcp::write_unreadable("null", error));
        });
  }
  if (told_to_stop_) grace = std::min<Duration>(grace, kStopGrace);
  co_await finish(grace);
}

void StdioFront::stop() {
  told_to_stop_ = true;
  input_->close();
  // The client may have closed its side before, and serve() be waiting for what still runs.
  parts_.loop.call_at(net::Loop::now() + kStopGrace, [weak = weak_from_this()] {
    if (const auto self = weak.lock(); self && self->idle_) self->idle_->set(true);
  });
}

Task<void> StdioFront::finish(Duration grace) {
  if (running_ == 0 && !writing_) co_return;
  idle_ = std::make_shared<net::OneShot<bool>>(parts_.loop);
  const auto idle = idle_;
  co_await idle->wait_until(net::Loop::now() + grace);
}

Task<void> StdioFront::wait_until_written() {
  if (!writing_) co_return;
  written_ = std::make_shared<net::OneShot<bool>>(parts_.loop);
  const auto written = written_;
  co_await written->wait();
}

void StdioFront::take_line(std::string line) {
  if (line.empty()) return;
  auto message = mcp::parse_message(std::move(line), limits_);
  if (!message) {
    parts_.notices.note("client_bad_message", parts_.route.upstream->id(), {},
                        name(message.error().error.code));
    send(mcp::write_unreadable(message.error().id, message.error().error));
    return;
  }
  if (message->kind != mcp::MessageKind::request) return take_notification(*message);
  const std::string id = mcp::id_key(*message->document.root().find("id"));
  const std::string& upstream = parts_.route.upstream->id();
  if (in_flight_.contains(id)) {
    parts_.notices.note("client_refused", upstream, {}, name(Code::rpc_id_in_use));
    send(mcp::write_unreadable(
        message->id, {Code::rpc_id_in_use, std::string(info(Code::rpc_id_in_use).text), {}}));
    return;
  }
  if (running_ >= kMaxInFlight) {
    parts_.notices.note("client_refused", upstream, {}, name(Code::overloaded));
    send(mcp::write_unreadable(message->id,
                               {Code::overloaded, std::string(info(Code::overloaded).text), {}}));
    return;
  }
  parts_.loop.spawn(run_exchange(shared_from_this(), *std::move(message)));
}

Task<void> StdioFront::run_exchange(std::shared_ptr<StdioFront> self, mcp::Message message) {
  Exchange x(self->parts_.loop, std::move(message));
  x.who = self->parts_.who;
  x.transport = "stdio";
  x.call_id = self->parts_.random.hex(16);
  x.began = self->parts_.clock.monotonic();
  x.upstream = self->parts_.route.upstream;
  x.vertical = self->parts_.route.vertical;
  // The wrapper has one loop, so the upstream speaks on this thread.
  x.client_progress = [self](std::string progress) {
    if (self->outbox_.size() > kDropProgressAbove) return false;
    self->send(std::move(progress));
    return true;
  };
  ++self->running_;
  {
    const InFlight::Entry entry(self->in_flight_,
                                mcp::id_key(*x.message.document.root().find("id")), x.cancellation);
    Answer answer = co_await self->parts_.pipeline.run(x);
    // A cancelled request gets no answer: the client has stopped waiting
    // (basic/utilities/cancellation).
    if (!x.failure || x.failure->code != Code::cancelled) self->send(std::move(answer.message));
  }
  --self->running_;
  self->tell_if_idle();
}

void StdioFront::take_notification(const mcp::Message& message) {
  const std::string& upstream = parts_.route.upstream->id();
  if (message.kind != mcp::MessageKind::notification) {
    parts_.notices.note("client_answer_refused", upstream, {}, name(Code::rpc_invalid));
    return;
  }
  const auto kind = mcp::parse_notification(message.method);
  if (kind == mcp::Notification::initialized) return;
  if (kind == mcp::Notification::cancelled) {
    const auto params = mcp::read_cancelled_params(message.params);
    std::optional<std::string> reason;
    if (params && params->reason) reason = params->reason->source();
    const bool found =
        params && in_flight_.cancel(mcp::id_key(params->request_id), std::move(reason));
    parts_.notices.note(found ? "cancelled" : "cancel_without_request", upstream);
    return;
  }
  parts_.notices.note("client_notification_refused", upstream, message.method,
                      name(Code::method_not_supported));
}

void StdioFront::send(std::string message) {
  if (output_broken_) return;
  outbox_ += mcp::single_line(std::move(message));
  outbox_ += '\n';
  if (!writing_) parts_.loop.spawn(write_outbox(shared_from_this()));
}

Task<void> StdioFront::write_outbox(std::shared_ptr<StdioFront> self) {
  self->writing_ = true;
  while (!self->outbox_.empty()) {
    const std::string bytes = std::exchange(self->outbox_, {});
    if (const Result<void> written = co_await self->output_->write_all(bytes, std::nullopt);
        !written) {
      self->output_broken_ = true;  // the client is gone
      self->outbox_.clear();
      self->input_->close();
    }
  }
  self->writing_ = false;
  if (self->written_) self->written_->set(true);
  self->tell_if_idle();
}

void StdioFront::tell_if_idle() {
  if (idle_ && running_ == 0 && !writing_) idle_->set(true);
}

}  // namespace zwinger::gateway
