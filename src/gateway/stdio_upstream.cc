#include "gateway/stdio_upstream.h"

#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gateway/line_reader.h"
#include "mcp/envelope.h"
#include "mcp/revision.h"
#include "net/one_shot.h"
#include "net/process.h"

namespace zwinger::gateway {

namespace {

using namespace std::chrono_literals;

using Reply = Result<mcp::Message>;
using ServerReply = Result<std::shared_ptr<const mcp::ServerInfo>>;

constexpr auto kFirstPause = 200ms;
constexpr auto kLongestPause = 10'000ms;
constexpr auto kHealthyAfter = 30s;  // alive this long: the next pause is the first again
constexpr auto kStopGrace = 2'000ms;
constexpr auto kDrainAfterExit = 100ms;
constexpr auto kStopBound = 5 * kStopGrace;
constexpr std::size_t kMaxQuoted = 32;
constexpr std::size_t kMaxOutbox = std::size_t{64} << 20U;
constexpr std::size_t kKeptStderrLines = 5;
constexpr std::size_t kMaxStderrLine = 512;

std::vector<std::pair<std::string, std::string>> clean_environment(const UpstreamConfig& config) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const char* const name : {"PATH", "HOME", "LANG", "TZ"}) {
    const bool configured = std::ranges::any_of(
        config.environment, [&](const auto& entry) { return entry.first == name; });
    // getenv is safe here: nothing in this program changes its environment.
    if (const char* value = std::getenv(name);
        value != nullptr && !configured) {  // NOLINT(concurrency-mt-unsafe)
      out.emplace_back(name, value);
    }
  }
  out.insert(out.end(), config.environment.begin(), config.environment.end());
  return out;
}

std::string describe_end(int status) {
  if (WIFEXITED(status)) return "ended with exit code " + std::to_string(WEXITSTATUS(status));
  if (WIFSIGNALED(status)) return "was ended by signal " + std::to_string(WTERMSIG(status));
  return "ended";
}

}  // namespace

// One process after another, and what waits for it. Its public half may be called from any thread,
// the rest is the home loop's.
class StdioConnection final : public Connection,
                              public std::enable_shared_from_this<StdioConnection> {
 public:
  StdioConnection(net::Loop& home, StdioUpstreamOptions options, ConnectionStart start,
                  bool is_shared, Log& log, Notices& notices)
      : home_(home),
        options_(std::move(options)),
        start_(std::move(start)),
        is_shared_(is_shared),
        log_(log),
        notices_(notices),
        stopped_(std::make_shared<net::OneShot<bool>>(home)) {}

  // --- any thread ---

  [[nodiscard]] std::int64_t next_id() override {
    return next_id_.fetch_add(1, std::memory_order_relaxed);
  }
  Task<Result<std::shared_ptr<const mcp::ServerInfo>>> server(net::Loop& caller) override;
  Task<Result<mcp::Message>> request(net::Loop& caller, UpstreamRequest request) override;
  Task<Result<void>> send(net::Loop& caller, std::string message) override;
  void cancel(std::int64_t id, std::string message) override;
  void listen() override {}
  void close() override {
    on_home([self = shared_from_this()] { self->end(); });
  }
  // No process, and none will come.
  [[nodiscard]] bool over() const { return over_.load(std::memory_order_acquire); }

  // --- home loop ---

  void start() { home_.spawn(supervise(shared_from_this())); }

  void quiesce() {
    stopping_ = true;
    fail_everything({Code::upstream_unavailable, "the gateway is shutting down", {}});
  }

  // Ends the process, for good.
  void end() {
    quiesce();
    if (pause_) pause_->set(true);
    if (process_) process_->output().close();  // ends read_output(), and with it this life
  }

  Task<void> stop() {
    end();
    const auto stopped = stopped_;
    // A child in an uninterruptible system call outlives SIGKILL; it must not keep us.
    co_await stopped->wait_until(net::Loop::now() + kStopBound);
  }

  [[nodiscard]] const std::string& id() const { return options_.config.id; }
  [[nodiscard]] const UpstreamConfig& config() const { return options_.config; }

  // Runs `work` on the home loop, at once where this is it.
  void on_home(net::Callback work) {
    if (home_.on_loop_thread()) {
      work();
    } else {
      home_.post(std::move(work));
    }
  }

  void submit(UpstreamRequest request, std::shared_ptr<net::OneShot<Reply>> reply) {
    if (stopping_ || state_ == State::down) {
      reply->set(std::unexpected(down_error()));
    } else if (request.cancelled && request.cancelled()) {
      reply->set(fail(Code::cancelled, std::string(info(Code::cancelled).text)));
    } else if (state_ == State::starting) {
      waiting_bytes_ += request.message.size();
      if (waiting_bytes_ > kMaxOutbox) {
        waiting_bytes_ -= request.message.size();
        reply->set(std::unexpected(overloaded()));
        return;
      }
      waiting_.push_back({std::move(request), std::move(reply)});
    } else {
      send_request(std::move(request), std::move(reply));
    }
  }

  void tell_server(std::shared_ptr<net::OneShot<ServerReply>> reply) {
    switch (state_) {
      case State::ready:
        reply->set(server_);
        break;
      case State::starting:
        server_waiters_.push_back(std::move(reply));
        break;
      case State::down:
        reply->set(std::unexpected(down_error()));
        break;
    }
  }

  // The request is given up: whatever comes for it later is dropped. The upstream is told where it
  // has been sent.
  void give_up(std::int64_t id, const std::string& message, const Error& error) {
    if (const auto found = pending_.find(id); found != pending_.end()) {
      found->second.reply->set(std::unexpected(error));
      pending_.erase(found);
      if (state_ == State::ready) write(message);
      return;
    }
    const auto queued =
        std::ranges::find_if(waiting_, [id](const Waiting& w) { return w.request.id == id; });
    if (queued == waiting_.end()) return;
    queued->reply->set(std::unexpected(error));
    waiting_bytes_ -= queued->request.message.size();
    waiting_.erase(queued);
  }

 private:
  enum class State { starting, ready, down };
  // Sent, and not answered yet.
  struct Pending {
    std::shared_ptr<net::OneShot<Reply>> reply;
    std::shared_ptr<EventSink> events;
    std::string progress_key;
  };
  // Not sent: the upstream is starting. No answer can belong to it.
  struct Waiting {
    UpstreamRequest request;
    std::shared_ptr<net::OneShot<Reply>> reply;
  };

  [[nodiscard]] Error down_error() const {
    if (!refusal_.empty()) return {Code::upstream_error, refusal_, {}};
    return {Code::upstream_unavailable,
            "upstream '" + id() + "' is not running and will be started again" +
                (last_failure_.empty() ? std::string() : "; it " + last_failure_),
            {}};
  }
  [[nodiscard]] Error overloaded() const {
    return {Code::overloaded, "upstream '" + id() + "' does not read its input fast enough", {}};
  }

  // --- supervision ---

  static Task<void> supervise(std::shared_ptr<StdioConnection> self) {
    auto pause = std::chrono::milliseconds(kFirstPause);
    while (!self->stopping_) {
      const Monotonic began = net::Loop::now();
      self->state_ = State::starting;
      co_await self->run_once();
      if (!self->was_ready_ && !self->is_shared_) self->stopping_ = true;  // its client was told
      if (self->stopping_) break;
      if (net::Loop::now() - began > kHealthyAfter) pause = kFirstPause;
      self->log_.warn("upstream '{}' {}; starting it again in {} ms", self->id(),
                      self->last_failure_, pause.count());
      self->notices_.note("upstream_ended", self->id());
      self->pause_ = std::make_shared<net::OneShot<bool>>(self->home_);
      const auto waiter = self->pause_;
      co_await waiter->wait_until(net::Loop::now() + pause);
      self->pause_.reset();
      pause = std::min<std::chrono::milliseconds>(pause * 2, kLongestPause);
    }
    self->over_.store(true, std::memory_order_release);
    self->stopped_->set(true);
  }

  // One life of the process. On return it is gone, the state is down and nothing is pending.
  Task<void> run_once() {
    net::ProcessOptions options;
    options.command = config().command;
    options.environment = clean_environment(config());
    options.inherit_stderr = options_.inherit_stderr;
    auto started = net::Process::start(home_, options);
    if (!started) {
      last_failure_ = "could not be started: " + started.error().message;
      go_down(down_error());
      co_return;
    }
    process_ = *std::move(started);
    ++life_;
    outbox_.clear();
    stderr_tail_.clear();
    start_problem_.clear();
    auto stderr_done = std::make_shared<net::OneShot<bool>>(home_);
    if (process_->error() != nullptr) {
      home_.spawn(read_stderr(shared_from_this(), stderr_done));
    } else {
      stderr_done->set(true);
    }
    auto exit_status = std::make_shared<net::OneShot<int>>(home_);
    home_.spawn(watch_exit(shared_from_this(), exit_status));
    auto handshake_done = std::make_shared<net::OneShot<bool>>(home_);
    home_.spawn(handshake(shared_from_this(), handshake_done));

    co_await read_output();

    const bool was_ready = state_ == State::ready;
    go_down(refusal_.empty()
                ? Error{Code::upstream_died, "upstream '" + id() + "' ended before it answered", {}}
                : down_error());
    co_await process_->end_tree(kStopGrace);  // closes its input first
    const std::optional<int> status =
        co_await exit_status->wait_until(net::Loop::now() + kStopGrace);
    if (!status) notices_.note("upstream_outlives_kill", id());
    last_failure_ = !start_problem_.empty() ? start_problem_
                                            : describe_end(status.value_or(0)) +
                                                  (was_ready ? "" : " before it was initialized");
    co_await handshake_done->wait();
    // A grandchild may hold standard error open; the tree has been ended, so this cannot last.
    co_await stderr_done->wait_until(net::Loop::now() + kStopGrace);
    if (process_->error() != nullptr) process_->error()->close();
    co_await wait_for_writer();
    if (!stopping_) {
      for (const std::string& line : stderr_tail_) log_.warn("upstream '{}' said: {}", id(), line);
    }
    process_.reset();
  }

  // The one who waits for the process. A grandchild may keep the pipe open after the server itself
  // has ended: what is in the pipe by then is read, and no more.
  static Task<void> watch_exit(std::shared_ptr<StdioConnection> self,
                               std::shared_ptr<net::OneShot<int>> status) {
    const std::uint64_t life = self->life_;
    const int ended = co_await self->process_->wait();
    co_await self->home_.sleep(kDrainAfterExit);
    if (self->process_ && self->life_ == life) self->process_->output().close();
    status->set(ended);
  }

  void go_down(const Error& error) {
    state_ = State::down;
    server_.reset();
    fail_everything(error);
  }

  void fail_everything(const Error& error) {
    for (auto& [request_id, request] : std::exchange(pending_, {})) {
      request.reply->set(std::unexpected(error));
    }
    for (Waiting& waiting : std::exchange(waiting_, {})) waiting.reply->set(std::unexpected(error));
    waiting_bytes_ = 0;
    for (auto& waiter : std::exchange(server_waiters_, {})) waiter->set(std::unexpected(error));
  }

  // --- what we send ---

  void send_request(UpstreamRequest request, std::shared_ptr<net::OneShot<Reply>> reply) {
    if (!write(request.message)) {
      reply->set(std::unexpected(overloaded()));
      return;
    }
    pending_.emplace(request.id, Pending{.reply = std::move(reply),
                                         .events = std::move(request.events),
                                         .progress_key = std::move(request.progress_key)});
  }

  // False where there is no room; then nothing is sent.
  bool write(std::string_view message) {
    if (outbox_.size() + message.size() > kMaxOutbox) return false;
    outbox_ += message;
    outbox_ += '\n';
    if (!writing_) home_.spawn(write_outbox(shared_from_this()));
    return true;
  }

  static Task<void> write_outbox(std::shared_ptr<StdioConnection> self) {
    self->writing_ = true;
    while (!self->outbox_.empty() && self->process_) {
      const std::string bytes = std::exchange(self->outbox_, {});
      // An upstream that does not read is noticed by the time limits of its requests; one that is
      // gone, by the end of its output.
      const Result<void> written = co_await self->process_->input().write_all(bytes, std::nullopt);
      if (!written) break;
    }
    self->outbox_.clear();
    self->writing_ = false;
    if (self->writer_gone_) self->writer_gone_->set(true);
  }

  Task<void> wait_for_writer() {
    if (!writing_) co_return;
    writer_gone_ = std::make_shared<net::OneShot<bool>>(home_);
    const auto gone = writer_gone_;
    co_await gone->wait();
    writer_gone_.reset();
  }

  static Task<void> handshake(std::shared_ptr<StdioConnection> self,
                              std::shared_ptr<net::OneShot<bool>> done) {
    const bool first = self->life_ == 1;
    const std::int64_t request = first ? self->start_.initialize_id : self->next_id();
    std::string message =
        first ? self->start_.initialize
              : mcp::write_request(request, "initialize", self->start_.initialize_params);
    auto reply = std::make_shared<net::OneShot<Reply>>(self->home_);
    UpstreamRequest initialize;
    initialize.id = request;
    initialize.message = std::move(message);
    self->send_request(std::move(initialize), reply);
    std::optional<Reply> answer =
        co_await reply->wait_until(net::Loop::now() + self->config().start_timeout);
    self->start_problem_ = self->finish_handshake(request, answer);
    if (!self->start_problem_.empty() && self->process_) self->process_->output().close();
    done->set(true);
  }

  // Empty when the upstream is ready now (or already gone), else what is wrong with it.
  std::string finish_handshake(std::int64_t request, const std::optional<Reply>& answer) {
    pending_.erase(request);
    if (state_ != State::starting || stopping_) return {};
    if (!answer) {
      return "did not answer initialize within " + std::to_string(config().start_timeout.count()) +
             " s";
    }
    if (!*answer) return "failed at initialize: " + answer->error().to_string();
    const mcp::Message& message = **answer;
    if (message.kind != mcp::MessageKind::result) {
      refusal_ = message.error->source();
      return "answered initialize with an error";
    }
    auto info = mcp::read_initialize_result(*message.result);
    if (!info) return "failed at initialize: " + info.error().to_string();
    if (!mcp::revision_supported(info->protocol_version)) {
      return "speaks MCP revision '" + info->protocol_version.substr(0, kMaxQuoted) +
             "', which this gateway does not";
    }
    server_ = std::make_shared<const mcp::ServerInfo>(*std::move(info));
    state_ = State::ready;
    if (start_.send_initialized || was_ready_) {
      write(mcp::write_notification("notifications/initialized", {}));
    }
    was_ready_ = true;
    waiting_bytes_ = 0;
    for (Waiting& waiting : std::exchange(waiting_, {})) {
      send_request(std::move(waiting.request), std::move(waiting.reply));
    }
    for (auto& waiter : std::exchange(server_waiters_, {})) waiter->set(server_);
    log_.info("upstream '{}' is ready", id());
    return {};
  }

  // --- what it sends ---

  Task<void> read_output() {
    LineReader lines(config().max_answer_bytes);
    std::vector<char> chunk(std::size_t{64} << 10U);
    std::vector<std::optional<std::string>> whole;  // nothing: one that was too long
    while (true) {
      const Result<std::size_t> got = co_await process_->output().read_some(chunk, std::nullopt);
      if (!got || *got == 0) break;
      whole.clear();
      lines.feed(
          std::string_view(chunk.data(), *got),
          [&whole](std::string line) { whole.emplace_back(std::move(line)); },
          [&whole] { whole.emplace_back(std::nullopt); });
      for (std::optional<std::string>& line : whole) {
        if (line) {
          auto taking = take_line(*std::move(line));
          co_await taking;
        } else {
          bad_line({Code::upstream_answer_too_large,
                    "upstream '" + id() + "' sent a message of more than " +
                        std::to_string(config().max_answer_bytes) + " bytes",
                    {}});
        }
      }
    }
    if (lines.in_line()) notices_.note("upstream_cut_off", id());
  }

  static Task<void> read_stderr(std::shared_ptr<StdioConnection> self,
                                std::shared_ptr<net::OneShot<bool>> done) {
    LineReader lines(kMaxStderrLine);
    std::vector<char> chunk(4096);
    while (true) {
      const Result<std::size_t> got =
          co_await self->process_->error()->read_some(chunk, std::nullopt);
      if (!got || *got == 0) break;
      lines.feed(
          std::string_view(chunk.data(), *got),
          [&](std::string line) {
            self->log_.debug("upstream '{}' says: {}", self->id(), line);
            self->stderr_tail_.push_back(std::move(line));
            if (self->stderr_tail_.size() > kKeptStderrLines) self->stderr_tail_.pop_front();
          },
          [] {});
    }
    done->set(true);
  }

  Task<void> take_line(std::string line) {
    if (line.empty()) co_return;
    json::Limits limits;
    limits.max_bytes = config().max_answer_bytes;
    auto message = mcp::parse_message(std::move(line), limits);
    if (!message) {
      bad_line({Code::upstream_invalid_message,
                "upstream '" + id() +
                    "' wrote a line that is no MCP message to its standard output (" +
                    message.error().error.to_string() + "); logs belong on standard error",
                {}});
      co_return;
    }
    if (message->kind == mcp::MessageKind::result || message->kind == mcp::MessageKind::error) {
      take_answer(*std::move(message));
      co_return;
    }
    if (message->kind == mcp::MessageKind::request && message->method == "ping") {
      write(mcp::write_result(message->id, "{}"));
      co_return;
    }
    const std::shared_ptr<EventSink> sink = sink_for(*message);
    if (sink) {
      auto taking = sink->take(home_, *std::move(message));
      co_await taking;
    } else if (message->kind == mcp::MessageKind::request) {
      refuse_request(*message);
    }
  }

  // Who gets a request or notification: progress belongs to its request, the rest to the session,
  // if this is one's connection.
  std::shared_ptr<EventSink> sink_for(const mcp::Message& message) {
    const bool is_notification = message.kind == mcp::MessageKind::notification;
    if (is_notification &&
        mcp::parse_server_notification(message.method) == mcp::Notification::progress) {
      const auto progress = mcp::read_progress_params(message.params);
      if (progress) {
        const std::string key = mcp::id_key(progress->token);
        const auto found = std::ranges::find_if(
            pending_, [&key](const auto& entry) { return entry.second.progress_key == key; });
        if (found != pending_.end() && found->second.events) return found->second.events;
      }
      notices_.note("progress_without_request", id());
      return nullptr;
    }
    if (start_.events) return start_.events;
    if (is_notification) {
      notices_.note("server_notification_refused", id(), message.method,
                    name(Code::method_not_supported));
    }
    return nullptr;
  }

  void take_answer(mcp::Message message) {
    const auto number = message.document.root().find("id")->is_number()
                            ? message.document.root().find("id")->integer()
                            : std::nullopt;
    const auto found = number ? pending_.find(*number) : pending_.end();
    if (found == pending_.end()) {
      notices_.note("answer_without_request", id());
      return;
    }
    const auto reply = found->second.reply;
    pending_.erase(found);
    reply->set(std::move(message));
  }

  // A shared connection has no client that could be asked.
  void refuse_request(const mcp::Message& message) {
    notices_.note("server_request_refused", id(), message.method, name(Code::method_not_supported));
    mcp::Denial denial;
    denial.reason = Code::method_not_supported;
    denial.text = std::string(info(Code::method_not_supported).text);
    denial.rpc_code = mcp::kMethodNotFound;
    write(mcp::write_denial(message.id, denial));
  }

  void bad_line(const Error& error) {
    notices_.note("upstream_bad_message", id(), {}, name(error.code));
    // While it starts only initialize is pending, which has its own time limit: some servers greet
    // on standard output.
    if (state_ != State::ready || pending_.size() != 1) return;
    const auto reply = pending_.begin()->second.reply;
    pending_.clear();
    reply->set(std::unexpected(error));
  }

  net::Loop& home_;
  StdioUpstreamOptions options_;
  ConnectionStart start_;
  bool is_shared_;
  Log& log_;
  Notices& notices_;
  std::atomic<std::int64_t> next_id_{kInitializeId + 1};
  std::atomic<bool> over_{false};

  State state_ = State::starting;
  bool stopping_ = false;
  std::string last_failure_;   // why it is not running: "ended with exit code 1"
  std::string start_problem_;  // why this life did not become ready
  std::string refusal_;        // its own error to initialize, source text
  bool was_ready_ = false;     // some life was initialized
  std::uint64_t life_ = 0;     // counts the processes
  std::unique_ptr<net::Process> process_;
  std::shared_ptr<const mcp::ServerInfo> server_;
  std::unordered_map<std::int64_t, Pending> pending_;
  std::vector<Waiting> waiting_;  // to be sent once the upstream is ready
  std::size_t waiting_bytes_ = 0;
  std::vector<std::shared_ptr<net::OneShot<ServerReply>>> server_waiters_;
  std::string outbox_;
  bool writing_ = false;
  std::shared_ptr<net::OneShot<bool>> writer_gone_;
  std::shared_ptr<net::OneShot<bool>> pause_;
  std::shared_ptr<net::OneShot<bool>> stopped_;
  std::deque<std::string> stderr_tail_;
};

Task<Result<mcp::Message>> StdioConnection::request(net::Loop& caller, UpstreamRequest request) {
  const auto self = shared_from_this();
  const std::int64_t id = request.id;
  auto reply = std::make_shared<net::OneShot<Reply>>(caller);
  self->on_home([self, reply, request = std::move(request)]() mutable {
    self->submit(std::move(request), std::move(reply));
  });
  const Monotonic deadline = net::Loop::now() + self->config().answer_timeout;
  std::optional<Reply> answer = co_await reply->wait_until(deadline);
  if (answer) co_return *std::move(answer);
  const Error error{Code::upstream_timeout,
                    "upstream '" + self->id() + "' did not answer within " +
                        std::to_string(self->config().answer_timeout.count()) + " s",
                    {}};
  self->on_home([self, id, error] {
    self->give_up(id, mcp::write_cancelled(id, R"("time limit reached")"), error);
  });
  co_return std::unexpected(error);
}

Task<Result<std::shared_ptr<const mcp::ServerInfo>>> StdioConnection::server(net::Loop& caller) {
  const auto self = shared_from_this();
  auto reply = std::make_shared<net::OneShot<ServerReply>>(caller);
  self->on_home([self, reply] { self->tell_server(reply); });
  const Monotonic deadline = net::Loop::now() + self->config().start_timeout;
  std::optional<ServerReply> answer = co_await reply->wait_until(deadline);
  if (answer) co_return *std::move(answer);
  co_return fail(Code::upstream_unavailable, "upstream '" + self->id() + "' is still starting");
}

Task<Result<void>> StdioConnection::send(net::Loop& caller, std::string message) {
  const auto self = shared_from_this();
  auto sent = std::make_shared<net::OneShot<Result<void>>>(caller);
  self->on_home([self, sent, message = std::move(message)] {
    if (self->stopping_ || self->state_ != State::ready) {
      sent->set(std::unexpected(self->down_error()));
    } else if (!self->write(message)) {
      sent->set(std::unexpected(self->overloaded()));
    } else {
      sent->set(Result<void>());
    }
  });
  std::optional<Result<void>> result =
      co_await sent->wait_until(net::Loop::now() + self->config().answer_timeout);
  if (!result) co_return std::unexpected(self->overloaded());
  co_return *std::move(result);
}

void StdioConnection::cancel(std::int64_t id, std::string message) {
  on_home([self = shared_from_this(), id, message = std::move(message)] {
    self->give_up(id, message, {Code::cancelled, std::string(info(Code::cancelled).text), {}});
  });
}

// --- the upstream
// -----------------------------------------------------------------------------------

StdioUpstream::StdioUpstream(net::Loop& home, StdioUpstreamOptions options, Log& log,
                             Notices& notices)
    : home_(home), options_(std::move(options)), log_(log), notices_(notices) {}
StdioUpstream::~StdioUpstream() = default;

std::shared_ptr<StdioConnection> StdioUpstream::begin(ConnectionStart start, bool is_shared) {
  auto connection = std::make_shared<StdioConnection>(home_, options_, std::move(start), is_shared,
                                                      log_, notices_);
  connection->on_home([connection] { connection->start(); });
  return connection;
}

std::shared_ptr<Connection> StdioUpstream::shared() {
  const std::lock_guard lock(mutex_);
  if (!shared_) {
    ConnectionStart start;
    start.initialize_id = kInitializeId;
    start.initialize_params = mcp::own_initialize_params(ZWINGER_VERSION);
    start.initialize = mcp::write_request(kInitializeId, "initialize", start.initialize_params);
    start.send_initialized = true;
    shared_ = begin(std::move(start), true);
    if (stopping_) shared_->close();
  }
  return shared_;
}

Result<std::shared_ptr<Connection>> StdioUpstream::open(ConnectionStart start) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return fail(Code::upstream_unavailable, "the gateway is shutting down");
  std::erase_if(sessions_, [](const std::weak_ptr<StdioConnection>& session) {
    const auto living = session.lock();
    return !living || living->over();
  });
  if (sessions_.size() >= options_.config.max_sessions) {
    return fail(Code::session_limit, "upstream '" + id() + "' runs " +
                                         std::to_string(sessions_.size()) +
                                         " sessions, which is its limit (maxSessions)");
  }
  auto connection = begin(std::move(start), false);
  sessions_.push_back(connection);
  return connection;
}

std::list<std::shared_ptr<StdioConnection>> StdioUpstream::living() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  std::list<std::shared_ptr<StdioConnection>> out;
  if (shared_) out.push_back(shared_);
  for (const auto& session : sessions_) {
    if (auto connection = session.lock(); connection && !connection->over()) {
      out.push_back(std::move(connection));
    }
  }
  return out;
}

void StdioUpstream::quiesce() {
  for (const auto& connection : living()) connection->quiesce();
}

Task<void> StdioUpstream::stop() {
  const auto all = living();
  for (const auto& connection : all) connection->end();  // side by side
  for (const auto& connection : all) co_await connection->stop();
}

}  // namespace zwinger::gateway
