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
  session_ = parts_.sessions.make("stdio", parts_.who, parts_.generation, parts_.clock.monotonic());
  parts_.loop.spawn(write_events(self, *session_->standalone()->attach(std::nullopt)));
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

void StdioFront::end() {
  if (session_) session_->end();
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
  if (running_ == 0 && !has_output()) co_return;
  idle_ = std::make_shared<net::OneShot<bool>>(parts_.loop);
  const auto idle = idle_;
  co_await idle->wait_until(net::Loop::now() + grace);
}

Task<void> StdioFront::wait_until_written() {
  if (!writing_) co_return;
  const auto written = written_.emplace_back(std::make_shared<net::OneShot<bool>>(parts_.loop));
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
  if (message->kind == mcp::MessageKind::notification) return take_notification(*message);
  if (message->kind != mcp::MessageKind::request) {
    if (!session_->answer(*std::move(message))) {
      parts_.notices.note("client_answer_refused", parts_.route.upstream->id(), {},
                          name(Code::rpc_invalid));
    }
    return;
  }
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
  const Monotonic began = self->parts_.clock.monotonic();
  self->session_->use(self->parts_.who, self->parts_.generation, began);
  const std::string id = mcp::id_key(*message.document.root().find("id"));
  Exchange x(self->parts_.loop, std::move(message), began);
  x.generation = self->parts_.generation;
  x.who = self->parts_.who;
  x.transport = "stdio";
  x.call_id = self->parts_.random.hex(16);
  x.route = self->parts_.route;
  x.session = self->session_;
  x.stream = self->session_->standalone();
  ++self->running_;
  {
    const InFlight::Entry entry(self->in_flight_, id, x.cancellation);
    auto run = self->parts_.pipeline.run(x);
    Answer answer = co_await run;
    // Through the stream, so that it comes behind the events that came before it. A cancelled
    // request gets no answer: the client has stopped waiting (basic/utilities/cancellation).
    if (answer.failure != Code::cancelled) {
      self->session_->standalone()->append(std::move(answer.message));
    }
  }
  --self->running_;
  self->tell_if_idle();
}

Task<void> StdioFront::write_events(std::shared_ptr<StdioFront> self, std::uint64_t reader) {
  const auto stream = self->session_->standalone();
  while (!self->output_broken_) {
    if (self->outbox_.size() > kHoldEventsAbove) {
      auto writing = self->wait_until_written();
      co_await writing;
    }
    auto waiting =
        stream->next(self->parts_.loop, reader, ClientStream::Form::stream, Monotonic::max());
    const ClientStream::Next next = co_await waiting;
    if (next.kind == ClientStream::Next::Kind::event) {
      self->send(*next.message);
    } else if (next.kind != ClientStream::Next::Kind::paused) {
      break;
    }
  }
  stream->detach(reader);
}

void StdioFront::take_notification(const mcp::Message& message) {
  const std::string& upstream = parts_.route.upstream->id();
  const auto kind = mcp::parse_client_notification(message.method);
  if (kind == mcp::Notification::cancelled) {
    const auto params = mcp::read_cancelled_params(message.params);
    const bool found =
        params && in_flight_.cancel(mcp::id_key(params->request_id), [&](std::int64_t known_as) {
          return mcp::rewrite_cancelled(message, known_as);
        });
    parts_.notices.note(found ? "cancelled" : "cancel_without_request", upstream);
    return;
  }
  if (!kind) {
    parts_.notices.note("client_notification_refused", upstream, message.method,
                        name(Code::method_not_supported));
    return;
  }
  parts_.loop.spawn(pass_notification(shared_from_this(), std::string(message.method),
                                      mcp::single_line(std::string(message.document.text()))));
}

Task<void> StdioFront::pass_notification(std::shared_ptr<StdioFront> self, std::string method,
                                         std::string message) {
  const std::string& upstream = self->parts_.route.upstream->id();
  const auto connection = self->session_->connection_to(upstream);
  if (!connection) co_return;  // nobody has initialized: there is nothing to tell
  const Verdict verdict = self->parts_.pipeline.judge_client_notification(
      *self->parts_.generation, self->parts_.who.get(), self->parts_.route);
  if (!verdict.allowed()) {
    self->parts_.notices.note("client_notification_denied", upstream, method,
                              verdict.reason_name());
    co_return;
  }
  auto sending = connection->send(self->parts_.loop, std::move(message));
  const Result<void> sent = co_await sending;
  self->parts_.notices.note("client_notification", upstream, method,
                            sent ? "ok" : name(sent.error().code));
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
  for (const auto& written : std::exchange(self->written_, {})) written->set(true);
  self->tell_if_idle();
}

bool StdioFront::has_output() const {
  return writing_ || (!output_broken_ && session_ && session_->standalone()->pending());
}

void StdioFront::tell_if_idle() {
  if (idle_ && running_ == 0 && !has_output()) idle_->set(true);
}

}  // namespace zwinger::gateway
