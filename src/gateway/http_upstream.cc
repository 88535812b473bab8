#include "gateway/http_upstream.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <coroutine>
#include <deque>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/files.h"
#include "mcp/envelope.h"
#include "mcp/revision.h"
#include "net/http_client.h"
#include "net/one_shot.h"
#include "net/sse.h"
#include "net/tls.h"
#include "text/ascii.h"
#include "text/url.h"

namespace zwinger::gateway {

namespace {

using namespace std::chrono_literals;

using Reply = Result<mcp::Message>;
using ServerReply = Result<std::shared_ptr<const mcp::ServerInfo>>;
using Incoming = std::unique_ptr<net::HttpIncoming>;

// --- bounds: the upstream's own time limits are the operator's ---
constexpr int kMaxRestarts = 10;  // an answer's events give it that many times its time at most
constexpr auto kNoteTime = 10s;   // for what is sent beside requests: cancellations, refusals
constexpr auto kFarewellTime = 5s;
constexpr int kFarewells = 8;  // at a time
constexpr auto kLingerTime = 1s;
constexpr std::size_t kLingerBytes = std::size_t{64} << 10U;
constexpr int kMaxLingering = 64;                            // of one loop
constexpr std::size_t kMaxRefusal = std::size_t{64} << 10U;  // body of an answer with an error
constexpr std::size_t kMaxSecret = std::size_t{64} << 10U;   // of a header's file
constexpr std::size_t kMaxSessionId = std::size_t{1} << 10U;
constexpr std::size_t kMaxEventId = std::size_t{1} << 10U;
constexpr std::size_t kMaxEndpoint = std::size_t{2} << 10U;
constexpr std::size_t kMaxRunning = 4096;  // requests of one connection
// --- pauses ---
constexpr std::chrono::milliseconds kUsualRetry{1'000};
constexpr std::chrono::milliseconds kShortestRetry{50};
constexpr std::chrono::milliseconds kLongestRetry{30'000};
constexpr int kMaxFruitless = 5;  // attempts to resume that brought nothing
constexpr std::chrono::milliseconds kFirstPause{200};
constexpr std::chrono::milliseconds kLongestPause{10'000};
constexpr auto kHealthyAfter = 30s;   // a session that lived this long is followed at once
constexpr auto kSilentStream = 5min;  // then the standalone stream is asked for again
constexpr auto kCheckInterval = 1s;

constexpr std::string_view kJson = "application/json";
constexpr std::string_view kEventStream = "text/event-stream";

Error stopping_error() { return {Code::upstream_unavailable, "the gateway is shutting down", {}}; }
Error cancelled_error() { return {Code::cancelled, std::string(info(Code::cancelled).text), {}}; }

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), text::to_lower);
  return out;
}

// "text/event-stream; charset=utf-8" is "text/event-stream"; empty without exactly one header.
std::string media_type(const net::HttpResponseHead& head) {
  const auto value = head.header("content-type");
  if (!value) return {};
  std::string_view type = value->substr(0, value->find(';'));
  while (type.ends_with(' ') || type.ends_with('\t')) type.remove_suffix(1);
  return lower(type);
}

bool is_visible(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= 0x21 && c <= 0x7E; });
}

bool is_answer(const mcp::Message& message) {
  return message.kind == mcp::MessageKind::result || message.kind == mcp::MessageKind::error;
}
bool is_answer_to(const mcp::Message& message, std::int64_t id) {
  return is_answer(message) && message.id == std::to_string(id);
}

std::chrono::milliseconds retry_pause(std::optional<std::uint64_t> retry_ms) {
  if (!retry_ms) return kUsualRetry;
  const auto most = static_cast<std::uint64_t>(kLongestRetry.count());
  return std::max(kShortestRetry, std::chrono::milliseconds(std::min(*retry_ms, most)));
}

// What has to be known of a stream to ask for the rest of it.
struct Place {
  std::string last_id;
  std::optional<std::uint64_t> retry_ms;
  bool moved = false;  // events came since the last attempt

  void pass(const net::SseEvent& event) {
    moved = true;
    if (event.retry_ms) retry_ms = event.retry_ms;
    if (!event.id) return;
    // An id that cannot stand in a header cannot be asked for.
    const bool usable =
        event.id->size() <= kMaxEventId &&
        std::ranges::all_of(*event.id, [](char c) { return c >= 0x20 && c <= 0x7E; }) &&
        !event.id->starts_with(' ') && !event.id->ends_with(' ');
    last_id = usable ? *event.id : std::string();
  }
};

// Work on one loop that any thread may end early: whoever awaits Run resumes at once, and ends the
// work by destroying its task. Shared between the two sides.
class Switch : public std::enable_shared_from_this<Switch> {
 public:
  explicit Switch(net::Loop& loop) : loop_(loop) {}
  [[nodiscard]] net::Loop& loop() const { return loop_; }

  void off(Error why) {
    const std::lock_guard lock(mutex_);
    if (over_ || why_) return;
    why_ = std::move(why);
    // Posted under the lock: while somebody waits his loop is there.
    if (waiting_) loop_.post([self = shared_from_this()] { self->wake(); });
  }

  // Runs `work` on the loop, once.
  template <class T>
  class [[nodiscard]] Run {
   public:
    Run(std::shared_ptr<Switch> state, Task<Result<T>>& work)
        : state_(std::move(state)), work_(work) {}
    ~Run() { state_->leave(); }
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> handle) {
      if (!state_->enter(handle)) return handle;
      started_ = true;
      return work_.await_suspend(handle);
    }
    Result<T> await_resume() {
      if (auto why = state_->leave(); why && !started_) return std::unexpected(*std::move(why));
      if (state_->woken_) return std::unexpected(*state_->why_);
      return work_.await_resume();
    }

   private:
    std::shared_ptr<Switch> state_;
    Task<Result<T>>& work_;
    bool started_ = false;
  };

 private:
  bool enter(std::coroutine_handle<> handle) {
    const std::lock_guard lock(mutex_);
    if (why_) return false;
    waiting_ = handle;
    return true;
  }
  std::optional<Error> leave() {
    const std::lock_guard lock(mutex_);
    waiting_ = nullptr;
    over_ = true;
    return why_;
  }
  void wake() {
    std::coroutine_handle<> handle;
    {
      const std::lock_guard lock(mutex_);
      handle = std::exchange(waiting_, nullptr);
      if (handle) over_ = woken_ = true;
    }
    if (handle) handle.resume();
  }

  net::Loop& loop_;
  std::mutex mutex_;
  std::optional<Error> why_;  // does not change once it is there
  std::coroutine_handle<> waiting_;
  bool over_ = false;
  bool woken_ = false;  // the loop's thread
};

// A request that runs.
class Call final : public Switch {
 public:
  Call(net::Loop& loop, std::int64_t number, Duration time)
      : Switch(loop),
        id(number),
        limit_(time),
        last_(net::Loop::now() + time * kMaxRestarts),
        deadline_((net::Loop::now() + time).time_since_epoch().count()) {}

  // Any thread: something came for it, so it has its whole time again.
  void touch() {
    const Monotonic until = std::min(net::Loop::now() + limit_, last_);
    deadline_.store(until.time_since_epoch().count(), std::memory_order_relaxed);
  }
  [[nodiscard]] Monotonic deadline() const {
    return Monotonic(Duration(deadline_.load(std::memory_order_relaxed)));
  }
  [[nodiscard]] Monotonic last() const { return last_; }

  const std::int64_t id;
  std::string progress_key;
  std::shared_ptr<EventSink> events;
  std::shared_ptr<net::OneShot<Reply>> answered;  // HTTP+SSE: comes on another stream
  std::atomic<bool> sent{false};
  bool streamed = false;  // its answer comes as a stream
  std::optional<std::uint64_t> retry_ms;

 private:
  Duration limit_;
  Monotonic last_;
  std::atomic<Duration::rep> deadline_;
};

// Ends a call at its deadline, which may have moved by then.
class Alarm {
 public:
  explicit Alarm(Call& call) : call_(call) { arm(); }
  ~Alarm() {
    if (timer_) call_.loop().cancel(*timer_);
  }
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

 private:
  void arm() {
    timer_ = call_.loop().call_at(call_.deadline(), [this] {
      timer_.reset();
      if (net::Loop::now() < call_.deadline()) {
        arm();
      } else {
        call_.off({Code::upstream_timeout, {}, {}});
      }
    });
  }
  Call& call_;
  std::optional<net::Loop::TimerId> timer_;
};

// What a session was agreed to be, and the headers that follow from it. Immutable.
struct Live {
  std::string session;  // its id; empty without
  std::shared_ptr<const mcp::ServerInfo> server;
  std::string target;  // where messages go
  net::HttpHeaders post;
  net::HttpHeaders get;
  net::HttpHeaders bye;  // for DELETE
};
using LivePtr = std::shared_ptr<const Live>;

constexpr std::array<std::string_view, 12> kOwnHeaders = {
    "accept", "connection",    "content-length",       "content-type",
    "host",   "last-event-id", "mcp-protocol-version", "mcp-session-id",
    "te",     "trailer",       "transfer-encoding",    "upgrade"};

// The headers that the configuration adds. Errors: upstream_unavailable.
Result<net::HttpHeaders> configured_headers(const UpstreamConfig& config) {
  net::HttpHeaders out = config.headers;
  const auto wrong = [&config](std::string_view header, std::string_view what) {
    return fail(Code::upstream_unavailable,
                fmt::format("upstream '{}': header '{}': {}", config.id, header, what));
  };
  for (const auto& [header, path] : config.secret_headers) {
    auto value = read_private_file(path, kMaxSecret);
    if (!value) return wrong(header, value.error().message);
    if (value->ends_with('\n')) value->pop_back();
    if (value->ends_with('\r')) value->pop_back();
    if (value->empty()) return wrong(header, "its file is empty");
    out.emplace_back(header, *std::move(value));
  }
  for (const auto& [header, value] : out) {
    if (std::ranges::find(kOwnHeaders, lower(header)) != kOwnHeaders.end()) {
      return wrong(header, "is written by the gateway and cannot be configured");
    }
    if (text::has_control(value)) return wrong(header, "its value holds a control character");
  }
  return out;
}

Result<std::shared_ptr<const net::TlsClientContext>> tls_context(const UpstreamConfig& config) {
  if (!config.endpoint.tls) return nullptr;
  auto made = net::TlsClientContext::make({.ca = config.tls_ca,
                                           .certificate = config.tls_certificate,
                                           .key = config.tls_key,
                                           .server_name = config.tls_server_name.empty()
                                                              ? config.endpoint.host
                                                              : config.tls_server_name});
  if (made) return made;
  return fail(Code::upstream_unavailable,
              fmt::format("upstream '{}': {}", config.id, made.error().message),
              made.error().where);
}

// RFC 3986, 5.2.4, of an absolute path.
std::string remove_dot_segments(std::string_view path) {
  std::vector<std::string_view> kept;
  bool ends_in_folder = false;
  while (!path.empty()) {
    path.remove_prefix(1);  // "/"
    const std::string_view segment = path.substr(0, path.find('/'));
    path.remove_prefix(segment.size());
    ends_in_folder = segment == "." || segment == "..";
    if (segment == ".." && !kept.empty()) kept.pop_back();
    if (!ends_in_folder) kept.push_back(segment);
  }
  std::string out;
  for (const std::string_view segment : kept) out.append("/").append(segment);
  if (ends_in_folder || out.empty()) out += '/';
  return out;
}

std::string with_scheme(bool tls, std::string_view rest) {
  return (tls ? "https:" : "http:") + std::string(rest);
}

// Whether an absolute http or https URL has this origin.
bool same_origin(const HttpEndpoint& base, std::string_view url) {
  const std::string scheme = lower(url.substr(0, url.find(':')));
  if (scheme != (base.tls ? "https" : "http")) return false;
  const bool ipv6 = base.host.contains(':');
  const auto ours = text::canonical_host(ipv6 ? "[" + base.host + "]" : base.host);
  if (!ours || text::canonical_url_host(url) != ours) return false;
  const std::string_view rest = url.substr(scheme.size() + 3);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  const std::size_t colon = authority.rfind(':');
  std::uint32_t port = base.tls ? 443 : 80;
  if (colon != std::string_view::npos && !authority.ends_with(']')) {
    port = 0;
    for (const char c : authority.substr(colon + 1))
      port = port * 10 + static_cast<std::uint32_t>(c - '0');
  }
  return port == base.port;
}

}  // namespace

Result<std::string> resolve_sse_endpoint(const HttpEndpoint& base, std::string_view reference) {
  const auto wrong = [](std::string_view what) {
    return fail(Code::upstream_invalid_message,
                fmt::format("the upstream's endpoint event {}", what));
  };
  if (reference.empty() || reference.size() > kMaxEndpoint || !is_visible(reference) ||
      reference.find_first_of("\\<>\"{}|^`") != std::string_view::npos) {
    return wrong("names no URI");
  }
  reference = reference.substr(0, reference.find('#'));
  const std::size_t first = reference.find_first_of(":/?");
  const bool absolute = first != std::string_view::npos && reference[first] == ':';
  std::string rest(reference);  // path and query
  if (absolute || reference.starts_with("//")) {
    const std::string url = absolute ? rest : with_scheme(base.tls, reference);
    if (!same_origin(base, url)) return wrong("leads to another origin than its URL");
    const std::size_t authority = url.find("//") + 2;
    rest = url.substr(std::min(url.find_first_of("/?", authority), url.size()));
    if (!rest.starts_with('/')) rest.insert(0, "/");
  }
  const std::string_view own_path = std::string_view(base.target).substr(0, base.target.find('?'));
  const std::size_t query_at = std::min(rest.find('?'), rest.size());
  const std::string query = rest.substr(query_at);
  std::string path = rest.substr(0, query_at);
  if (path.empty()) {
    if (query.empty()) return wrong("names no URI");
    path = own_path;
  } else if (!path.starts_with('/')) {
    path.insert(0, own_path.substr(0, own_path.rfind('/') + 1));
  }
  if (!path.starts_with('/')) path.insert(0, "/");
  return remove_dot_segments(path) + query;
}

// --- the upstream: what its connections share
// ---------------------------------------------------------------------------

class HttpUpstreamCore : public std::enable_shared_from_this<HttpUpstreamCore> {
 public:
  HttpUpstreamCore(std::span<net::Loop* const> loops, UpstreamConfig config, Log& logger,
                   Notices& noted)
      : config_(std::move(config)), log_(logger), notices_(noted) {
    for (net::Loop* const loop : loops) lanes_.emplace_back().loop = loop;
    prepare();
    if (problem_) log_.error("{}", problem_->message);
  }

  // --- any thread ---

  [[nodiscard]] const UpstreamConfig& config() const { return config_; }
  [[nodiscard]] const std::string& id() const { return config_.id; }
  [[nodiscard]] bool is_legacy() const { return config_.transport == HttpTransport::sse; }
  [[nodiscard]] Log& log() { return log_; }
  [[nodiscard]] Notices& notices() { return notices_; }
  [[nodiscard]] net::Loop& home() { return *lanes_.front().loop; }
  // Why it can never be used.
  [[nodiscard]] const std::optional<Error>& problem() const { return problem_; }

  [[nodiscard]] LivePtr agree(std::string session, std::shared_ptr<const mcp::ServerInfo> server,
                              std::string target) const {
    auto live = std::make_shared<Live>();
    live->post.emplace_back("Content-Type", kJson);
    live->post.emplace_back("Accept", "application/json, text/event-stream");
    live->get.emplace_back("Accept", kEventStream);
    live->bye.emplace_back("Accept", "application/json, text/event-stream");
    for (net::HttpHeaders* const headers : {&live->post, &live->get, &live->bye}) {
      if (server && !is_legacy()) {
        headers->emplace_back("MCP-Protocol-Version", server->protocol_version);
      }
      if (!session.empty()) headers->emplace_back("Mcp-Session-Id", session);
      headers->insert(headers->end(), headers_.begin(), headers_.end());
    }
    live->session = std::move(session);
    live->server = std::move(server);
    live->target = std::move(target);
    return live;
  }

  [[nodiscard]] Error error(Code code, std::string_view what) const {
    return {code, fmt::format("upstream '{}' {}", id(), what), {}};
  }
  [[nodiscard]] Error lost_error() const {
    return error(Code::upstream_session_lost, "has ended the session");
  }
  // What an error of our HTTP client or of the event parser means for a request.
  [[nodiscard]] Error transport_error(const Error& error) const;
  // The same while a response is read.
  [[nodiscard]] Error reading_error(Error error) const {
    if (error.code == Code::io) error.code = Code::closed;
    return transport_error(error);
  }
  [[nodiscard]] Error status_error(int status) const;

  // A message of a body or an event; one that is none is noted.
  [[nodiscard]] Reply parse(std::string text) {
    json::Limits limits;
    limits.max_bytes = config_.max_answer_bytes;
    auto message = mcp::parse_message(std::move(text), limits);
    if (message) return *std::move(message);
    notices_.note("upstream_bad_message", id(), {}, name(message.error().error.code));
    return std::unexpected(
        error(Code::upstream_invalid_message,
              "sent what is no MCP message (" + message.error().error.to_string() + ")"));
  }
  // The message that an event of a stream carries; nothing for none.
  [[nodiscard]] std::optional<mcp::Message> read_event(net::SseEvent event) {
    if (event.data.empty()) return std::nullopt;
    if (!event.event.empty() && event.event != "message") return std::nullopt;
    auto message = parse(std::move(event.data));
    if (!message) return std::nullopt;
    return *std::move(message);
  }

  void enter(const std::shared_ptr<HttpConnection>& connection) {
    const std::lock_guard lock(mutex_);
    connections_.emplace(connection.get(), connection);
  }
  void leave(const HttpConnection* connection) {
    const std::lock_guard lock(mutex_);
    connections_.erase(connection);
  }
  [[nodiscard]] std::vector<std::shared_ptr<HttpConnection>> connections() {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<HttpConnection>> out;
    for (const auto& [key, weak] : connections_) {
      if (auto connection = weak.lock()) out.push_back(std::move(connection));
    }
    return out;
  }

  // Ends a session at the server (DELETE), if that can be done in time.
  void say_goodbye(LivePtr live) {
    home().post([self = shared_from_this(), live = std::move(live),
                 until = net::Loop::now() + kFarewellTime]() mutable {
      self->leaving_.push_back({.live = std::move(live), .until = until});
      if (self->farewells_ >= kFarewells) return;
      ++self->farewells_;
      self->home().spawn(farewell(self));
    });
  }

  // No client is made from now on.
  void shut() { shut_.store(true, std::memory_order_release); }
  // With the loops stopped.
  void drop_clients() {
    shut();
    for (Lane& lane : lanes_) lane.client.reset();
  }

  // --- the given loop's thread ---

  static Task<Result<Incoming>> send(std::shared_ptr<HttpUpstreamCore> self, net::Loop& loop,
                                     net::HttpClientRequest request, Monotonic deadline) {
    Lane* const lane = self->lane(loop);
    if (lane == nullptr) co_return std::unexpected(stopping_error());
    auto sending = lane->client->send(std::move(request), deadline);
    auto incoming = co_await sending;
    if (!incoming) co_return std::unexpected(self->transport_error(incoming.error()));
    co_return *std::move(incoming);
  }
  static Task<Result<Incoming>> post(std::shared_ptr<HttpUpstreamCore> self, net::Loop& loop,
                                     const Live& live, std::string message, Monotonic deadline) {
    return send(
        std::move(self), loop,
        {.method = "POST", .target = live.target, .headers = live.post, .body = std::move(message)},
        deadline);
  }
  static Task<Result<Incoming>> get(std::shared_ptr<HttpUpstreamCore> self, net::Loop& loop,
                                    const Live& live, const std::string& last_id,
                                    Monotonic deadline) {
    net::HttpClientRequest request{
        .method = "GET", .target = self->config_.endpoint.target, .headers = live.get, .body = {}};
    if (!last_id.empty()) request.headers.emplace_back("Last-Event-ID", last_id);
    return send(std::move(self), loop, std::move(request), deadline);
  }

  // Reads a stream behind its answer to the end, so that its connection can be used again and a
  // second answer is noticed.
  void linger(net::Loop& loop, Incoming incoming, net::SseParser parser) {
    Lane* const lane = this->lane(loop);
    if (lane == nullptr || lane->lingering >= kMaxLingering) return;
    loop.spawn(read_rest(shared_from_this(), lane, std::move(incoming), std::move(parser)));
  }

  // --- home loop ---

  Task<void> stop() {
    const auto self = shared_from_this();
    auto said = std::make_shared<net::OneShot<bool>>(home());
    home().post([self, said] {
      if (self->farewells_ == 0) {
        said->set(true);
      } else {
        self->all_said_ = said;
      }
    });
    const Monotonic deadline = net::Loop::now() + kFarewellTime;
    auto saying = said->wait_until(deadline);
    co_await saying;
    shut();
    for (Lane& lane : lanes_) {
      auto dropped = std::make_shared<net::OneShot<bool>>(home());
      lane.loop->post([self, dropped, &lane] {
        lane.client.reset();
        dropped->set(true);
      });
      auto dropping = dropped->wait_until(std::max(deadline, net::Loop::now() + 1s));
      co_await dropping;
    }
  }

 private:
  // What is one loop's own.
  struct Lane {
    net::Loop* loop = nullptr;
    std::unique_ptr<net::HttpClient> client;  // made when it is first needed
    int lingering = 0;
  };
  struct Leaving {
    LivePtr live;
    Monotonic until;
  };
  // Counts one in a lane, also where its coroutine is destroyed.
  class Counted {
   public:
    explicit Counted(int& count) : count_(count) { ++count_; }
    ~Counted() { --count_; }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;

   private:
    int& count_;
  };

  void prepare() {
    auto headers = configured_headers(config_);
    auto tls = tls_context(config_);
    if (!headers) problem_ = headers.error();
    if (!tls) problem_ = tls.error();
    if (problem_) return;
    headers_ = *std::move(headers);
    tls_ = *std::move(tls);
  }

  // Few loops: a walk over them is cheaper than anything that has to be looked up.
  Lane* lane(net::Loop& loop) {
    if (shut_.load(std::memory_order_acquire)) return nullptr;
    const auto found = std::ranges::find(lanes_, &loop, &Lane::loop);
    if (found == lanes_.end()) return nullptr;
    if (!found->client) {
      net::HttpClientOptions options;
      options.origin.host = config_.endpoint.host;
      options.origin.port = config_.endpoint.port;
      options.origin.tls = tls_;
      options.limits.max_body = config_.max_answer_bytes;
      found->client = std::make_unique<net::HttpClient>(loop, std::move(options));
    }
    return &*found;
  }

  static Task<void> read_rest(std::shared_ptr<HttpUpstreamCore> self, Lane* lane, Incoming incoming,
                              net::SseParser parser) {
    const Counted counted(lane->lingering);
    const Monotonic deadline = net::Loop::now() + kLingerTime;
    std::size_t read = 0;
    while (true) {
      for (auto event = parser.next(); event && *event; event = parser.next()) {
        const auto message = self->read_event(**std::move(event));
        if (message && is_answer(*message))
          self->notices_.note("answer_without_request", self->id());
      }
      std::string piece;
      auto reading = incoming->read_some(piece, deadline);
      const auto more = co_await reading;
      read += piece.size();
      if (!more || !*more || read > kLingerBytes) co_return;
      parser.append(piece);
    }
  }

  static Task<void> farewell(std::shared_ptr<HttpUpstreamCore> self) {
    while (!self->leaving_.empty()) {
      const Leaving leaving = std::move(self->leaving_.front());
      self->leaving_.pop_front();
      if (net::Loop::now() >= leaving.until) continue;
      net::HttpClientRequest request{.method = "DELETE",
                                     .target = self->config_.endpoint.target,
                                     .headers = leaving.live->bye,
                                     .body = {}};
      auto sending = send(self, self->home(), std::move(request), leaving.until);
      const auto incoming = co_await sending;
      if (!incoming) continue;
      auto reading = (*incoming)->read_all(kMaxRefusal, leaving.until);
      co_await reading;  // whatever it says
    }
    --self->farewells_;
    if (self->farewells_ == 0 && self->all_said_) self->all_said_->set(true);
  }

  const UpstreamConfig config_;
  Log& log_;
  Notices& notices_;
  net::HttpHeaders headers_;  // configured
  std::shared_ptr<const net::TlsClientContext> tls_;
  std::optional<Error> problem_;
  std::vector<Lane> lanes_;
  std::atomic<bool> shut_{false};

  std::mutex mutex_;
  std::unordered_map<const HttpConnection*, std::weak_ptr<HttpConnection>> connections_;

  // --- home loop ---
  std::deque<Leaving> leaving_;
  int farewells_ = 0;
  std::shared_ptr<net::OneShot<bool>> all_said_;
};

Error HttpUpstreamCore::transport_error(const Error& error) const {
  const auto told = [&](Code code, std::string_view what) {
    return this->error(code, fmt::format("{}: {}", what, error.message));
  };
  switch (error.code) {
    case Code::io:
    case Code::tls_handshake:
      return told(Code::upstream_unavailable, "cannot be reached");
    case Code::timeout:
      // The client says so where it could not even connect.
      if (error.message.contains("nothing was sent")) {
        return told(Code::upstream_unavailable, "cannot be reached");
      }
      return told(Code::upstream_timeout, "was too slow");
    case Code::closed:
      return told(Code::upstream_died, "ended the connection before it answered");
    case Code::http_body_too_large:
    case Code::sse_too_large:
      return this->error(Code::upstream_answer_too_large,
                         fmt::format("sent more than {} bytes", config_.max_answer_bytes));
    case Code::internal:
    case Code::overloaded:
      return error;
    default:
      return this->error(Code::upstream_invalid_message,
                         "sent what cannot be read: " + error.to_string());
  }
}

Error HttpUpstreamCore::status_error(int status) const {
  if (status < 200 || status >= 600) {
    return error(Code::upstream_invalid_message, fmt::format("answered with status {}", status));
  }
  if (status < 300) {
    return error(Code::upstream_invalid_message,
                 fmt::format("answered with status {} and neither JSON nor events", status));
  }
  if (status < 400) {
    return error(Code::upstream_invalid_message,
                 fmt::format("answered with status {}; redirects are not followed", status));
  }
  if (status == 401 || status == 403) {
    return error(Code::upstream_unavailable,
                 fmt::format("does not accept our credentials (status {})", status));
  }
  // What else ended with a server's error may have had its effect: it must not look as if it could
  // simply be repeated.
  const bool later = status == 503 || status == 408 || status == 425 || status == 429;
  return error(later ? Code::upstream_unavailable : Code::upstream_invalid_message,
               fmt::format("refused the message with status {}", status));
}

// --- one session
// ---------------------------------------------------------------------------

class HttpConnection final : public Connection,
                             public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(std::shared_ptr<HttpUpstreamCore> core, ConnectionStart start, bool is_shared)
      : core_(std::move(core)),
        start_(std::move(start)),
        is_shared_(is_shared),
        unagreed_(core_->agree({}, nullptr, core_->config().endpoint.target)),
        over_(core_->problem()) {}
  ~HttpConnection() override {
    end({Code::upstream_unavailable, "the session was closed", {}});
    core_->leave(this);
  }
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  [[nodiscard]] std::int64_t next_id() override {
    return next_id_.fetch_add(1, std::memory_order_relaxed);
  }
  Task<Result<std::shared_ptr<const mcp::ServerInfo>>> server(net::Loop& caller) override;
  Task<Result<mcp::Message>> request(net::Loop& caller, UpstreamRequest request) override;
  Task<Result<void>> send(net::Loop& caller, std::string message) override;
  void cancel(std::int64_t id, std::string message) override;
  void listen() override;
  void close() override { end({Code::upstream_unavailable, "the session was closed", {}}); }

  // Fails what waits, and whatever comes later. The session is still there.
  void fail_everything(const Error& why);
  // That, where there are no loops any more to say goodbye on.
  void abandon();
  // That, and the session's end.
  void end(const Error& why);

 private:
  using Core = std::shared_ptr<HttpUpstreamCore>;
  using Self = std::shared_ptr<HttpConnection>;
  using CallPtr = std::shared_ptr<Call>;
  using LiveReply = Result<LivePtr>;
  using Signal = std::shared_ptr<net::OneShot<LiveReply>>;

  // Keeps a call in the table of those that run.
  class Admission {
   public:
    Admission(HttpConnection& connection, const CallPtr& call)
        : connection_(connection), call_(call) {}
    ~Admission() { connection_.forget(*call_); }
    Admission(const Admission&) = delete;
    Admission& operator=(const Admission&) = delete;

   private:
    HttpConnection& connection_;
    const CallPtr& call_;
  };
  // Whoever waits for a start is told, also where the coroutine that starts is destroyed.
  class Starting {
   public:
    explicit Starting(Self connection) : connection_(std::move(connection)) {}
    ~Starting() {
      if (connection_) connection_->finish_start(std::unexpected(stopping_error()));
    }
    Starting(const Starting&) = delete;
    Starting& operator=(const Starting&) = delete;
    void finish(LiveReply outcome) {
      std::exchange(connection_, nullptr)->finish_start(std::move(outcome));
    }

   private:
    Self connection_;
  };
  // An event stream that is read for one request, over several HTTP responses perhaps.
  struct Following {
    net::SseParser parser;
    Place place;
    bool clean = false;  // it ended as a response should
    int fruitless = 0;
  };

  [[nodiscard]] net::Loop& home() const { return core_->home(); }
  [[nodiscard]] bool is_legacy() const { return core_->is_legacy(); }

  // --- the state, under the lock ---
  LiveReply admit(const CallPtr& call);  // null: it has to be started first
  void forget(const Call& call);
  [[nodiscard]] CallPtr find(std::int64_t id);
  [[nodiscard]] CallPtr find_by_progress(const std::string& key);
  [[nodiscard]] LivePtr live();
  [[nodiscard]] bool is_over();
  // The session as it is, or a signal to wait for, and whether the caller has to start it.
  struct Joined {
    LiveReply live = nullptr;
    Signal signal;
    bool start = false;
  };
  Joined join(net::Loop& caller);
  CallPtr begin_start(net::Loop& loop);
  void finish_start(LiveReply outcome);
  void back_off();  // with the lock held
  void lose(const LivePtr& live);
  void stream_ended(const std::shared_ptr<Switch>& stream, const Error& why);

  // --- starting ---
  static Task<LiveReply> ready(Self self, net::Loop& caller);
  static void start(const Self& self, net::Loop& caller);
  static Task<void> run_start(Self self, net::Loop& loop);
  static Task<LiveReply> shake_hands(Self self, CallPtr call);
  static Task<LiveReply> shake_hands_sse(Self self, CallPtr call);
  static Task<LiveReply> open_sse(Self self, CallPtr call);
  static Task<LiveReply> conclude(Self self, CallPtr call, std::string session, std::string target,
                                  Reply reply);
  [[nodiscard]] std::string initialize_message(std::int64_t id) const;
  [[nodiscard]] Result<std::string> read_session_id(const net::HttpResponseHead& head) const;

  // --- requests; on the call's loop ---
  static Task<Reply> serve(Self self, CallPtr call, LivePtr live, std::string message,
                           std::function<bool()> cancelled);
  static Task<Reply> ask(Self self, CallPtr call, LivePtr live, std::string message,
                         std::string* session);
  static Task<Reply> ask_sse(Self self, CallPtr call, LivePtr live, std::string message);
  static Task<Reply> read_json(Self self, CallPtr call, Incoming incoming);
  static Task<Reply> refused(Self self, CallPtr call, LivePtr live, Incoming incoming);
  static Task<Reply> follow(Self self, CallPtr call, LivePtr live, Incoming incoming);
  // Nothing where the stream has ended before the answer.
  static Task<Result<std::optional<mcp::Message>>> read_events(Self self, CallPtr call,
                                                               LivePtr live, Following& following,
                                                               net::HttpIncoming& incoming);
  static Task<Result<Incoming>> resume(Self self, CallPtr call, LivePtr live, Following& following);

  // --- what needs no answer; on the given loop ---
  static Task<Result<void>> tell(Self self, net::Loop& loop, LivePtr live, std::string message,
                                 Monotonic deadline);
  static Task<Result<void>> tell_once_ready(Self self, net::Loop& loop, LivePtr live,
                                            std::string message, Monotonic deadline);
  static Task<void> tell_quietly(Self self, net::Loop& loop, std::string message);
  void suspect(net::Loop& loop, const LivePtr& live);
  static Task<void> check(Self self, net::Loop& loop, LivePtr live);

  // --- what the server sends besides answers ---
  static Task<void> dispatch(Self self, net::Loop& loop, CallPtr own, LivePtr live,
                             mcp::Message message);
  static Task<void> take_event(std::shared_ptr<EventSink> sink, net::Loop& loop,
                               mcp::Message message, std::shared_ptr<net::OneShot<bool>> taken);
  [[nodiscard]] std::shared_ptr<EventSink> sink_for(const CallPtr& own,
                                                    const mcp::Message& message);
  [[nodiscard]] std::shared_ptr<EventSink> progress_sink(const CallPtr& own,
                                                         const mcp::Message& message);

  // --- streams of no request; home loop. They do not keep the connection alive. ---
  static Task<void> run_listening(std::weak_ptr<HttpConnection> weak, Core core,
                                  std::shared_ptr<Switch> control);
  static Task<Result<void>> keep_listening(std::weak_ptr<HttpConnection> weak, Core core);
  // Whether it makes sense to ask again.
  enum class Heard : std::uint8_t { nothing, something, never };
  static Task<Heard> listen_once(std::weak_ptr<HttpConnection> weak, Core core, Place& place,
                                 LivePtr& last);
  bool take_stream(const std::shared_ptr<Switch>& stream);
  static Task<void> run_sse(std::weak_ptr<HttpConnection> weak, Core core,
                            std::shared_ptr<Switch> control, LivePtr live, Incoming incoming,
                            net::SseParser parser);
  static Task<Result<void>> hear(std::weak_ptr<HttpConnection> weak, Core core, LivePtr live,
                                 net::HttpIncoming& incoming, net::SseParser& parser, Place& place,
                                 std::optional<Duration> silence);
  static Task<void> take_stray(Self self, LivePtr live, mcp::Message message);

  const Core core_;
  const ConnectionStart start_;
  const bool is_shared_;
  const LivePtr unagreed_;  // for initialize
  std::atomic<std::int64_t> next_id_{kInitializeId + 1};
  std::atomic<std::int64_t> next_send_{-1};  // notifications stand in the table too

  std::mutex mutex_;
  std::optional<Error> over_;  // nothing can be asked any more
  LivePtr live_;
  bool was_started_ = false;
  bool starting_ = false;
  CallPtr start_call_;
  std::vector<Signal> waiting_;
  Error last_failure_{Code::upstream_unavailable, {}, {}};
  Monotonic next_start_{};
  Monotonic ready_since_{};
  int failures_ = 0;
  std::unordered_map<std::int64_t, CallPtr> calls_;
  std::unordered_map<std::string, CallPtr> by_progress_;
  bool listening_ = false;
  std::shared_ptr<Switch> listener_;
  std::shared_ptr<Switch> stream_;  // of HTTP+SSE
  bool checking_ = false;
  Monotonic last_check_{};
};

// --- state ---

HttpConnection::LiveReply HttpConnection::admit(const CallPtr& call) {
  const std::lock_guard lock(mutex_);
  if (over_) return std::unexpected(*over_);
  if (calls_.size() >= kMaxRunning) {
    return std::unexpected(core_->error(Code::overloaded, "has too many requests running"));
  }
  calls_.emplace(call->id, call);
  if (!call->progress_key.empty()) by_progress_.emplace(call->progress_key, call);
  return live_;
}

void HttpConnection::forget(const Call& call) {
  const std::lock_guard lock(mutex_);
  if (const auto found = calls_.find(call.id); found != calls_.end() && &*found->second == &call) {
    calls_.erase(found);
  }
  if (call.progress_key.empty()) return;
  const auto found = by_progress_.find(call.progress_key);
  if (found != by_progress_.end() && &*found->second == &call) by_progress_.erase(found);
}

HttpConnection::CallPtr HttpConnection::find(std::int64_t id) {
  const std::lock_guard lock(mutex_);
  const auto found = calls_.find(id);
  return found == calls_.end() ? nullptr : found->second;
}

HttpConnection::CallPtr HttpConnection::find_by_progress(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto found = by_progress_.find(key);
  return found == by_progress_.end() ? nullptr : found->second;
}

LivePtr HttpConnection::live() {
  const std::lock_guard lock(mutex_);
  return over_ ? nullptr : live_;
}

bool HttpConnection::is_over() {
  const std::lock_guard lock(mutex_);
  return over_.has_value();
}

HttpConnection::Joined HttpConnection::join(net::Loop& caller) {
  const std::lock_guard lock(mutex_);
  if (over_) return {.live = std::unexpected(*over_), .signal = {}, .start = false};
  if (live_) return {.live = live_, .signal = {}, .start = false};
  if (!starting_ && net::Loop::now() < next_start_) {
    return {.live = std::unexpected(last_failure_), .signal = {}, .start = false};
  }
  auto signal = std::make_shared<net::OneShot<LiveReply>>(caller);
  waiting_.push_back(signal);
  return {.live = nullptr, .signal = signal, .start = !std::exchange(starting_, true)};
}

HttpConnection::CallPtr HttpConnection::begin_start(net::Loop& loop) {
  const std::lock_guard lock(mutex_);
  if (over_) return nullptr;
  const bool first = !std::exchange(was_started_, true);
  start_call_ = std::make_shared<Call>(loop, first ? start_.initialize_id : next_id(),
                                       core_->config().start_timeout);
  start_call_->events = start_.events;
  return start_call_;
}

void HttpConnection::back_off() {
  failures_ = std::min(failures_ + 1, 16);
  const auto pause = std::min(kFirstPause * (1 << (failures_ - 1)), kLongestPause);
  next_start_ = net::Loop::now() + pause;
}

void HttpConnection::finish_start(LiveReply outcome) {
  std::vector<Signal> waiting;
  std::shared_ptr<Switch> stream;
  LivePtr unwanted;
  {
    const std::lock_guard lock(mutex_);
    starting_ = false;
    start_call_.reset();
    waiting.swap(waiting_);
    if (over_) {
      if (outcome) unwanted = *outcome;
      outcome = std::unexpected(*over_);
    } else if (outcome) {
      live_ = *outcome;
      ready_since_ = net::Loop::now();
    } else if (is_shared_) {
      last_failure_ = outcome.error();
      back_off();
    } else {
      over_ = outcome.error();  // its client is told
    }
    if (!outcome) stream = std::exchange(stream_, nullptr);
  }
  if (stream) stream->off(stopping_error());
  if (unwanted && !unwanted->session.empty()) core_->say_goodbye(unwanted);
  if (outcome) {
    core_->log().debug("upstream '{}' is ready", core_->id());
  } else {
    core_->log().warn("upstream '{}' is not ready: {}", core_->id(), name(outcome.error().code));
  }
  for (const Signal& signal : waiting) signal->set(outcome);
}

// The server does not know the session any more.
void HttpConnection::lose(const LivePtr& live) {
  {
    const std::lock_guard lock(mutex_);
    if (over_ || live_ != live) return;
    live_.reset();
    if (!is_shared_) {
      over_ = core_->lost_error();
    } else {
      last_failure_ = core_->error(Code::upstream_unavailable,
                                   "has ended the session, which will be initialized again");
      if (net::Loop::now() - ready_since_ > kHealthyAfter) {
        failures_ = 0;
        next_start_ = {};
      } else {
        back_off();
      }
    }
  }
  core_->notices().note("upstream_session_lost", core_->id());
  core_->log().info("upstream '{}' has ended a session", core_->id());
}

// HTTP+SSE: with the stream goes the session, and whatever waits.
void HttpConnection::stream_ended(const std::shared_ptr<Switch>& stream, const Error& why) {
  LivePtr live;
  std::vector<CallPtr> running;
  {
    const std::lock_guard lock(mutex_);
    if (stream_ != stream) return;
    stream_.reset();
    live = live_;
    for (const auto& [id, call] : calls_) running.push_back(call);
    if (start_call_) running.push_back(start_call_);
  }
  if (live) lose(live);
  for (const CallPtr& call : running) call->off(why);
}

void HttpConnection::fail_everything(const Error& why) {
  std::vector<std::shared_ptr<Switch>> running;
  std::vector<Signal> waiting;
  {
    const std::lock_guard lock(mutex_);
    if (!over_) over_ = why;
    for (const auto& [id, call] : calls_) running.push_back(call);
    if (start_call_) running.push_back(start_call_);
    if (listener_) running.push_back(std::exchange(listener_, nullptr));
    if (stream_) running.push_back(std::exchange(stream_, nullptr));
    waiting.swap(waiting_);
  }
  for (const auto& each : running) each->off(why);
  for (const Signal& signal : waiting) signal->set(std::unexpected(why));
}

void HttpConnection::abandon() {
  fail_everything(stopping_error());
  const std::lock_guard lock(mutex_);
  live_.reset();
}

void HttpConnection::end(const Error& why) {
  fail_everything(why);
  LivePtr live;
  {
    const std::lock_guard lock(mutex_);
    live = std::exchange(live_, nullptr);
  }
  if (live && !live->session.empty()) core_->say_goodbye(std::move(live));
}

// --- starting ---

Task<HttpConnection::LiveReply> HttpConnection::ready(Self self, net::Loop& caller) {
  Joined joined = self->join(caller);
  if (!joined.signal) co_return std::move(joined.live);
  if (joined.start) start(self, caller);
  const auto signal = joined.signal;
  // A little later than the start itself gives up.
  auto waiting = signal->wait_until(net::Loop::now() + self->core_->config().start_timeout + 1s);
  auto outcome = co_await waiting;
  if (outcome) co_return *std::move(outcome);
  co_return std::unexpected(self->core_->error(Code::upstream_unavailable, "is still starting"));
}

// The stream of HTTP+SSE is the home loop's; else whoever comes first does the work.
void HttpConnection::start(const Self& self, net::Loop& caller) {
  net::Loop& loop = self->is_legacy() ? self->home() : caller;
  if (&loop == &caller) {
    loop.spawn(run_start(self, loop));
  } else {
    loop.post([self, &loop] { loop.spawn(run_start(self, loop)); });
  }
}

Task<void> HttpConnection::run_start(Self self, net::Loop& loop) {
  Starting starting(self);
  const CallPtr call = self->begin_start(loop);
  if (!call) co_return;
  const Alarm alarm(*call);
  auto work = self->is_legacy() ? shake_hands_sse(self, call) : shake_hands(self, call);
  Switch::Run<LivePtr> running(call, work);
  LiveReply outcome = co_await running;
  if (!outcome && outcome.error().code == Code::upstream_timeout) {
    outcome = std::unexpected(self->core_->error(
        Code::upstream_timeout, fmt::format("did not answer initialize within {} s",
                                            self->core_->config().start_timeout.count())));
  }
  starting.finish(std::move(outcome));
}

std::string HttpConnection::initialize_message(std::int64_t id) const {
  if (id == start_.initialize_id) return start_.initialize;
  return mcp::write_request(id, "initialize", start_.initialize_params);
}

Task<HttpConnection::LiveReply> HttpConnection::shake_hands(Self self, CallPtr call) {
  std::string session;
  auto asking = ask(self, call, self->unagreed_, self->initialize_message(call->id), &session);
  auto reply = co_await asking;
  auto concluding =
      conclude(self, call, std::move(session), self->unagreed_->target, std::move(reply));
  co_return co_await concluding;
}

Task<HttpConnection::LiveReply> HttpConnection::shake_hands_sse(Self self, CallPtr call) {
  auto opening = open_sse(self, call);
  ZWINGER_CO_TRY(const LivePtr opened, co_await opening);
  call->answered = std::make_shared<net::OneShot<Reply>>(call->loop());
  if (const auto admitted = self->admit(call); !admitted) {
    co_return std::unexpected(admitted.error());
  }
  const Admission admission(*self, call);
  auto asking = ask_sse(self, call, opened, self->initialize_message(call->id));
  auto reply = co_await asking;
  auto concluding = conclude(self, call, {}, opened->target, std::move(reply));
  co_return co_await concluding;
}

// What the answer to initialize means.
Task<HttpConnection::LiveReply> HttpConnection::conclude(Self self, CallPtr call,
                                                         std::string session, std::string target,
                                                         Reply reply) {
  const HttpUpstreamCore& core = *self->core_;
  if (!reply) co_return std::unexpected(std::move(reply).error());
  if (reply->kind == mcp::MessageKind::error) {
    co_return fail(Code::upstream_error, std::string(reply->error->source()));
  }
  auto info = mcp::read_initialize_result(*reply->result);
  if (!info) {
    co_return std::unexpected(core.error(Code::upstream_invalid_message,
                                         "failed at initialize: " + info.error().to_string()));
  }
  if (!mcp::revision_supported(info->protocol_version)) {
    co_return std::unexpected(
        core.error(Code::upstream_invalid_message,
                   fmt::format("speaks an MCP revision that this gateway does not (of {} bytes)",
                               info->protocol_version.size())));
  }
  info->streamed = call->streamed;
  info->retry_ms = call->retry_ms;
  const LivePtr live =
      core.agree(std::move(session), std::make_shared<const mcp::ServerInfo>(*std::move(info)),
                 std::move(target));
  if (self->start_.send_initialized) {
    auto telling = tell(self, call->loop(), live,
                        mcp::write_notification("notifications/initialized", {}), call->last());
    if (const auto told = co_await telling; !told) co_return std::unexpected(told.error());
  }
  co_return live;
}

Result<std::string> HttpConnection::read_session_id(const net::HttpResponseHead& head) const {
  const std::size_t count = head.count("mcp-session-id");
  if (count == 0) return std::string();
  const auto id = head.header("mcp-session-id");
  if (id && !id->empty() && id->size() <= kMaxSessionId && is_visible(*id)) return std::string(*id);
  return std::unexpected(
      core_->error(Code::upstream_invalid_message, "gave a session id that is none"));
}

// --- requests ---

Task<Result<std::shared_ptr<const mcp::ServerInfo>>> HttpConnection::server(net::Loop& caller) {
  const auto self = shared_from_this();
  auto readying = ready(self, caller);
  ZWINGER_CO_TRY(const LivePtr live, co_await readying);
  co_return live->server;
}

Task<Result<mcp::Message>> HttpConnection::request(net::Loop& caller, UpstreamRequest request) {
  const auto self = shared_from_this();
  const UpstreamConfig& config = self->core_->config();
  const auto call = std::make_shared<Call>(caller, request.id, config.answer_timeout);
  call->progress_key = std::move(request.progress_key);
  call->events = std::move(request.events);
  if (self->is_legacy()) call->answered = std::make_shared<net::OneShot<Reply>>(caller);
  auto live = self->admit(call);
  if (!live) co_return std::unexpected(std::move(live).error());
  const Admission admission(*self, call);
  const Alarm alarm(*call);
  auto work =
      serve(self, call, *std::move(live), std::move(request.message), std::move(request.cancelled));
  Switch::Run<mcp::Message> running(call, work);
  Reply reply = co_await running;
  if (reply || reply.error().code != Code::upstream_timeout) co_return reply;
  if (call->sent) {
    caller.spawn(
        tell_quietly(self, caller, mcp::write_cancelled(call->id, R"("time limit reached")")));
  }
  co_return std::unexpected(
      self->core_->error(Code::upstream_timeout,
                         fmt::format("did not answer within {} s", config.answer_timeout.count())));
}

Task<Reply> HttpConnection::serve(Self self, CallPtr call, LivePtr live, std::string message,
                                  std::function<bool()> cancelled) {
  if (!live) {
    auto readying = ready(self, call->loop());
    LiveReply got = co_await readying;
    if (!got && got.error().code == Code::upstream_error) {
      co_return std::unexpected(
          self->core_->error(Code::upstream_unavailable, "refuses to be initialized"));
    }
    if (!got) co_return std::unexpected(std::move(got).error());
    live = *std::move(got);
    call->touch();
  }
  if (cancelled && cancelled()) co_return std::unexpected(cancelled_error());
  call->sent = true;
  auto asking = self->is_legacy() ? ask_sse(self, call, std::move(live), std::move(message))
                                  : ask(self, call, std::move(live), std::move(message), nullptr);
  co_return co_await asking;
}

// Sends a request and reads until its answer. `session`, where given, gets the session's id.
Task<Reply> HttpConnection::ask(Self self, CallPtr call, LivePtr live, std::string message,
                                std::string* session) {
  auto posting =
      HttpUpstreamCore::post(self->core_, call->loop(), *live, std::move(message), call->last());
  ZWINGER_CO_TRY(Incoming incoming, co_await posting);
  const net::HttpResponseHead& head = incoming->head();
  const std::string type = head.status / 100 == 2 ? media_type(head) : std::string();
  if (session != nullptr && !type.empty()) {
    ZWINGER_CO_TRY(*session, self->read_session_id(head));
  }
  if (type == kJson) {
    auto reading = read_json(self, call, std::move(incoming));
    co_return co_await reading;
  }
  if (type == kEventStream) {
    call->streamed = true;
    if (call->events) call->events->opened();
    auto following = follow(self, call, std::move(live), std::move(incoming));
    co_return co_await following;
  }
  auto refusing = refused(self, call, std::move(live), std::move(incoming));
  co_return co_await refusing;
}

// HTTP+SSE: the answer comes on the connection's stream.
Task<Reply> HttpConnection::ask_sse(Self self, CallPtr call, LivePtr live, std::string message) {
  auto telling = tell(self, call->loop(), std::move(live), std::move(message), call->last());
  const auto told = co_await telling;
  if (!told) co_return std::unexpected(told.error());
  const auto answered = call->answered;
  auto waiting = answered->wait();
  auto answer = co_await waiting;
  if (answer) co_return *std::move(answer);
  co_return fail(Code::internal, "an answer was awaited twice");
}

Task<Reply> HttpConnection::read_json(Self self, CallPtr call, Incoming incoming) {
  HttpUpstreamCore& core = *self->core_;
  auto reading = incoming->read_all(core.config().max_answer_bytes, std::nullopt);
  auto body = co_await reading;
  if (!body) co_return std::unexpected(core.reading_error(std::move(body).error()));
  auto message = core.parse(*std::move(body));
  if (!message || is_answer_to(*message, call->id)) co_return message;
  core.notices().note(is_answer(*message) ? "answer_without_request" : "upstream_bad_message",
                      core.id());
  co_return std::unexpected(
      core.error(Code::upstream_invalid_message, "answered with something else than the answer"));
}

// An answer without a message, or with an error's status. What it says beside that goes nowhere:
// unless it is the JSON-RPC error of this very request.
Task<Reply> HttpConnection::refused(Self self, CallPtr call, LivePtr live, Incoming incoming) {
  HttpUpstreamCore& core = *self->core_;
  const int status = incoming->head().status;
  if (status == 404 && !live->session.empty()) {
    self->lose(live);
    co_return std::unexpected(core.lost_error());
  }
  if (status == 400) self->suspect(call->loop(), live);
  if (status >= 400 && media_type(incoming->head()) == kJson) {
    auto reading = incoming->read_all(kMaxRefusal, net::Loop::now() + kNoteTime);
    auto body = co_await reading;
    auto message = body ? mcp::parse_message(*std::move(body), {})
                        : std::unexpected(mcp::BadMessage{std::move(body).error()});
    if (message && message->kind == mcp::MessageKind::error && is_answer_to(*message, call->id)) {
      co_return *std::move(message);
    }
  }
  co_return std::unexpected(core.status_error(status));
}

// --- an answer that is a stream ---

Task<Reply> HttpConnection::follow(Self self, CallPtr call, LivePtr live, Incoming incoming) {
  HttpUpstreamCore& core = *self->core_;
  Following following{.parser = net::SseParser(core.config().max_answer_bytes), .place = {}};
  while (true) {
    auto reading = read_events(self, call, live, following, *incoming);
    ZWINGER_CO_TRY(auto answer, co_await reading);
    if (answer) {
      core.linger(call->loop(), std::move(incoming), std::move(following.parser));
      co_return *std::move(answer);
    }
    incoming.reset();
    if (following.place.last_id.empty()) {
      co_return std::unexpected(
          core.error(Code::upstream_died, "ended its stream before it answered"));
    }
    auto resuming = resume(self, call, live, following);
    ZWINGER_CO_TRY(incoming, co_await resuming);
  }
}

Task<Result<std::optional<mcp::Message>>> HttpConnection::read_events(Self self, CallPtr call,
                                                                      LivePtr live,
                                                                      Following& following,
                                                                      net::HttpIncoming& incoming) {
  HttpUpstreamCore& core = *self->core_;
  std::string piece;
  while (true) {
    while (true) {
      auto event = following.parser.next();
      if (!event) co_return std::unexpected(core.transport_error(event.error()));
      if (!*event) break;
      following.place.pass(**event);
      if ((*event)->retry_ms) {
        call->retry_ms = (*event)->retry_ms;
        if (call->events) call->events->retry(*call->retry_ms);
      }
      auto message = core.read_event(**std::move(event));
      if (!message) continue;
      call->touch();
      if (is_answer_to(*message, call->id)) co_return std::move(message);
      auto dispatching = dispatch(self, call->loop(), call, live, *std::move(message));
      co_await dispatching;
      call->touch();  // the time that a slow client took is not the server's
    }
    piece.clear();
    auto reading = incoming.read_some(piece, std::nullopt);
    const auto more = co_await reading;
    following.parser.append(piece);
    if ((more && *more) || !piece.empty()) continue;
    following.clean = more.has_value();
    if (!more && more.error().code != Code::closed && more.error().code != Code::io) {
      co_return std::unexpected(core.reading_error(more.error()));
    }
    co_return std::optional<mcp::Message>();
  }
}

Task<Result<Incoming>> HttpConnection::resume(Self self, CallPtr call, LivePtr live,
                                              Following& following) {
  HttpUpstreamCore& core = *self->core_;
  Place& place = following.place;
  following.parser = net::SseParser(core.config().max_answer_bytes);
  if (following.clean && call->events) call->events->paused(place.retry_ms);
  if (std::exchange(place.moved, false)) following.fruitless = 0;
  while (following.fruitless++ < kMaxFruitless) {
    auto pausing = call->loop().sleep(retry_pause(place.retry_ms));
    co_await pausing;
    auto asking =
        HttpUpstreamCore::get(self->core_, call->loop(), *live, place.last_id, call->last());
    auto incoming = co_await asking;
    if (!incoming) continue;
    const net::HttpResponseHead& head = (*incoming)->head();
    if (head.status == 200 && media_type(head) == kEventStream) co_return *std::move(incoming);
    if (head.status == 404 && !live->session.empty()) {
      self->lose(live);
      co_return std::unexpected(core.lost_error());
    }
    if (head.status < 500 && head.status != 429) break;
  }
  co_return std::unexpected(core.error(
      Code::upstream_died, "ended its stream before it answered, and gave the rest to nobody"));
}

// --- what needs no answer ---

Task<Result<void>> HttpConnection::tell(Self self, net::Loop& loop, LivePtr live,
                                        std::string message, Monotonic deadline) {
  HttpUpstreamCore& core = *self->core_;
  auto posting = HttpUpstreamCore::post(self->core_, loop, *live, std::move(message), deadline);
  ZWINGER_CO_TRY(const Incoming incoming, co_await posting);
  const int status = incoming->head().status;
  if (status == 404 && !live->session.empty()) {
    self->lose(live);
    co_return std::unexpected(core.lost_error());
  }
  if (status == 400) self->suspect(loop, live);
  if (status / 100 != 2) co_return std::unexpected(core.status_error(status));
  if (media_type(incoming->head()) != kEventStream) {
    const Monotonic until = std::min(deadline, net::Loop::now() + kLingerTime);
    auto reading = incoming->read_all(kMaxRefusal, until);
    co_await reading;  // so that the connection can be used again; what it says is nothing to us
  }
  co_return Result<void>();
}

Task<Result<void>> HttpConnection::tell_once_ready(Self self, net::Loop& loop, LivePtr live,
                                                   std::string message, Monotonic deadline) {
  if (!live) {
    auto readying = ready(self, loop);
    LiveReply got = co_await readying;
    if (!got) co_return std::unexpected(std::move(got).error());
    live = *std::move(got);
  }
  auto telling = tell(self, loop, std::move(live), std::move(message), deadline);
  co_return co_await telling;
}

Task<Result<void>> HttpConnection::send(net::Loop& caller, std::string message) {
  const auto self = shared_from_this();
  const auto call =
      std::make_shared<Call>(caller, self->next_send_.fetch_sub(1, std::memory_order_relaxed),
                             self->core_->config().answer_timeout);
  auto live = self->admit(call);
  if (!live) co_return std::unexpected(std::move(live).error());
  const Admission admission(*self, call);
  const Alarm alarm(*call);
  auto work = tell_once_ready(self, caller, *std::move(live), std::move(message), call->last());
  Switch::Run<void> running(call, work);
  Result<void> told = co_await running;
  if (told || told.error().code != Code::upstream_timeout) co_return told;
  co_return std::unexpected(self->core_->error(Code::upstream_timeout, "did not take a message"));
}

Task<void> HttpConnection::tell_quietly(Self self, net::Loop& loop, std::string message) {
  LivePtr live = self->live();
  if (!live) co_return;
  auto telling =
      tell(self, loop, std::move(live), std::move(message), net::Loop::now() + kNoteTime);
  co_await telling;
}

void HttpConnection::cancel(std::int64_t id, std::string message) {
  const CallPtr call = find(id);
  if (!call) return;
  call->off(cancelled_error());
  if (!call->sent) return;
  call->loop().post([self = shared_from_this(), call, message = std::move(message)]() mutable {
    call->loop().spawn(tell_quietly(self, call->loop(), std::move(message)));
  });
}

// Some servers say 400 instead of 404 to a session that they do not know. Whether that is so, a
// ping tells: what one client provokes must not cost the others their session.
void HttpConnection::suspect(net::Loop& loop, const LivePtr& live) {
  {
    const std::lock_guard lock(mutex_);
    const Monotonic now = net::Loop::now();
    if (over_ || live_ != live || live->session.empty() || checking_) return;
    if (now - last_check_ < kCheckInterval) return;
    checking_ = true;
    last_check_ = now;
  }
  loop.spawn(check(shared_from_this(), loop, live));
}

Task<void> HttpConnection::check(Self self, net::Loop& loop, LivePtr live) {
  auto asking = HttpUpstreamCore::post(self->core_, loop, *live,
                                       mcp::write_request(self->next_id(), "ping", {}),
                                       net::Loop::now() + kNoteTime);
  const auto incoming = co_await asking;
  {
    const std::lock_guard lock(self->mutex_);
    self->checking_ = false;
  }
  if (!incoming) co_return;
  const int status = (*incoming)->head().status;
  if (status == 400 || status == 404) self->lose(live);
}

// --- what the server sends besides answers ---

// In its own coroutine: it goes on where the request that it belongs to is given up meanwhile.
Task<void> HttpConnection::take_event(std::shared_ptr<EventSink> sink, net::Loop& loop,
                                      mcp::Message message,
                                      std::shared_ptr<net::OneShot<bool>> taken) {
  auto taking = sink->take(loop, std::move(message));
  co_await taking;
  taken->set(true);
}

Task<void> HttpConnection::dispatch(Self self, net::Loop& loop, CallPtr own, LivePtr live,
                                    mcp::Message message) {
  HttpUpstreamCore& core = *self->core_;
  if (is_answer(message)) {
    core.notices().note("answer_without_request", core.id());
    co_return;
  }
  const bool is_request = message.kind == mcp::MessageKind::request;
  std::string answer;
  if (is_request && message.method == "ping") {
    answer = mcp::write_result(message.id, "{}");
  } else if (const auto sink = self->sink_for(own, message)) {
    const auto taken = std::make_shared<net::OneShot<bool>>(loop);
    loop.spawn(take_event(sink, loop, std::move(message), taken));
    auto waiting = taken->wait();
    co_await waiting;
  } else if (is_request) {
    // There is no client that could be asked.
    core.notices().note("server_request_refused", core.id(), message.method,
                        name(Code::method_not_supported));
    mcp::Denial denial;
    denial.reason = Code::method_not_supported;
    denial.text = std::string(info(Code::method_not_supported).text);
    denial.rpc_code = mcp::kMethodNotFound;
    answer = mcp::write_denial(message.id, denial);
  }
  if (answer.empty()) co_return;
  auto telling = tell(self, loop, std::move(live), std::move(answer), net::Loop::now() + kNoteTime);
  co_await telling;
}

std::shared_ptr<EventSink> HttpConnection::sink_for(const CallPtr& own,
                                                    const mcp::Message& message) {
  const bool is_notification = message.kind == mcp::MessageKind::notification;
  if (is_notification &&
      mcp::parse_server_notification(message.method) == mcp::Notification::progress) {
    return progress_sink(own, message);
  }
  if (own && own->events) return own->events;
  if (start_.events) return start_.events;
  if (is_notification) {
    core_->notices().note("server_notification_refused", core_->id(), message.method,
                          name(Code::method_not_supported));
  }
  return nullptr;
}

// Progress belongs to the request whose token it names, whatever stream it comes on.
std::shared_ptr<EventSink> HttpConnection::progress_sink(const CallPtr& own,
                                                         const mcp::Message& message) {
  if (const auto progress = mcp::read_progress_params(message.params)) {
    const std::string key = mcp::id_key(progress->token);
    const CallPtr call = own && own->progress_key == key ? own : find_by_progress(key);
    if (call) call->touch();
    if (call && call->events) return call->events;
  }
  core_->notices().note("progress_without_request", core_->id());
  return nullptr;
}

// What comes on a stream of no request.
Task<void> HttpConnection::take_stray(Self self, LivePtr live, mcp::Message message) {
  if (self->is_legacy() && is_answer(message)) {
    const auto id = message.document.root().find("id");
    const auto number = id && id->is_number() ? id->integer() : std::nullopt;
    const CallPtr call = number ? self->find(*number) : nullptr;
    if (call && call->answered && call->answered->set(std::move(message))) co_return;
    self->core_->notices().note("answer_without_request", self->core_->id());
    co_return;
  }
  auto dispatching = dispatch(self, self->home(), nullptr, std::move(live), std::move(message));
  co_await dispatching;
}

// Reads a stream to its end. Errors: of the stream as such.
Task<Result<void>> HttpConnection::hear(std::weak_ptr<HttpConnection> weak, Core core, LivePtr live,
                                        net::HttpIncoming& incoming, net::SseParser& parser,
                                        Place& place, std::optional<Duration> silence) {
  std::string piece;
  while (true) {
    while (true) {
      auto event = parser.next();
      if (!event) {
        core->notices().note("upstream_bad_message", core->id(), {}, name(event.error().code));
        co_return std::unexpected(core->transport_error(event.error()));
      }
      if (!*event) break;
      place.pass(**event);
      auto message = core->read_event(**std::move(event));
      if (!message) continue;
      auto self = weak.lock();
      if (!self) co_return Result<void>();
      auto taking = take_stray(std::move(self), live, *std::move(message));
      co_await taking;
    }
    piece.clear();
    const std::optional<Monotonic> until =
        silence ? std::optional(net::Loop::now() + *silence) : std::nullopt;
    auto reading = incoming.read_some(piece, until);
    const auto more = co_await reading;
    if (piece.empty() && !(more && *more)) co_return Result<void>();
    parser.append(piece);
  }
}

// --- the standalone stream ---

void HttpConnection::listen() {
  if (is_legacy()) return;  // its one stream is open
  std::shared_ptr<Switch> control;
  {
    const std::lock_guard lock(mutex_);
    if (over_ || std::exchange(listening_, true)) return;
    listener_ = control = std::make_shared<Switch>(home());
  }
  home().post([weak = weak_from_this(), core = core_, control = std::move(control)] {
    core->home().spawn(run_listening(weak, core, control));
  });
}

Task<void> HttpConnection::run_listening(std::weak_ptr<HttpConnection> weak, Core core,
                                         std::shared_ptr<Switch> control) {
  auto work = keep_listening(std::move(weak), std::move(core));
  Switch::Run<void> running(std::move(control), work);
  co_await running;
}

Task<Result<void>> HttpConnection::keep_listening(std::weak_ptr<HttpConnection> weak, Core core) {
  Place place;
  LivePtr last;
  std::chrono::milliseconds pause = kUsualRetry;
  while (true) {
    auto listening = listen_once(weak, core, place, last);
    const Heard heard = co_await listening;
    if (heard == Heard::never) co_return Result<void>();
    const auto wanted = std::max(retry_pause(place.retry_ms), kFirstPause);
    if (heard == Heard::something) pause = kUsualRetry;
    auto pausing = core->home().sleep(heard == Heard::something ? wanted : std::max(wanted, pause));
    if (heard == Heard::nothing) pause = std::min(pause * 2, kLongestRetry);
    co_await pausing;
  }
}

Task<HttpConnection::Heard> HttpConnection::listen_once(std::weak_ptr<HttpConnection> weak,
                                                        Core core, Place& place, LivePtr& last) {
  LivePtr live;
  {
    auto self = weak.lock();
    if (!self) co_return Heard::never;
    auto readying = ready(self, core->home());
    LiveReply got = co_await readying;
    if (!got) co_return self->is_over() ? Heard::never : Heard::nothing;
    live = *std::move(got);
  }
  if (live != last) place.last_id.clear();  // another session's
  last = live;
  const Monotonic deadline = net::Loop::now() + core->config().start_timeout;
  auto opening = HttpUpstreamCore::get(core, core->home(), *live, place.last_id, deadline);
  auto incoming = co_await opening;
  if (!incoming) co_return Heard::nothing;
  const int status = (*incoming)->head().status;
  if (status == 404 && !live->session.empty()) {
    if (const auto self = weak.lock()) self->lose(live);
    co_return Heard::nothing;
  }
  if (status != 200) {
    constexpr std::array kPerhapsLater = {401, 403, 408, 425, 429, 500, 502, 503, 504};
    const bool later = std::ranges::find(kPerhapsLater, status) != kPerhapsLater.end();
    co_return later ? Heard::nothing : Heard::never;
  }
  if (media_type((*incoming)->head()) != kEventStream) co_return Heard::never;
  const Monotonic began = net::Loop::now();
  place.moved = false;
  net::SseParser parser(core->config().max_answer_bytes);
  auto hearing = hear(weak, core, live, **incoming, parser, place, kSilentStream);
  co_await hearing;
  const bool lasted = net::Loop::now() - began > kLongestPause;
  co_return place.moved || lasted ? Heard::something : Heard::nothing;
}

// --- HTTP+SSE ---

Task<HttpConnection::LiveReply> HttpConnection::open_sse(Self self, CallPtr call) {
  const Core core = self->core_;
  auto asking = HttpUpstreamCore::get(core, call->loop(), *self->unagreed_, {}, call->last());
  ZWINGER_CO_TRY(Incoming incoming, co_await asking);
  const net::HttpResponseHead& head = incoming->head();
  if (head.status != 200) co_return std::unexpected(core->status_error(head.status));
  if (media_type(head) != kEventStream) {
    co_return std::unexpected(
        core->error(Code::upstream_invalid_message, "did not answer with an event stream"));
  }
  net::SseParser parser(core->config().max_answer_bytes);
  std::string target;
  std::string piece;
  while (target.empty()) {
    auto event = parser.next();
    if (!event) co_return std::unexpected(core->transport_error(event.error()));
    if (*event && (*event)->event == "endpoint") {
      ZWINGER_CO_TRY(target, resolve_sse_endpoint(core->config().endpoint, (*event)->data));
    }
    if (*event) continue;
    piece.clear();
    auto reading = incoming->read_some(piece, std::nullopt);
    const auto more = co_await reading;
    if (!more) co_return std::unexpected(core->reading_error(more.error()));
    if (!*more) {
      co_return std::unexpected(
          core->error(Code::upstream_died, "ended its stream before it said where to send"));
    }
    parser.append(piece);
  }
  const LivePtr live = core->agree({}, nullptr, std::move(target));
  const auto control = std::make_shared<Switch>(core->home());
  if (!self->take_stream(control)) co_return std::unexpected(stopping_error());
  core->home().spawn(
      run_sse(self->weak_from_this(), core, control, live, std::move(incoming), std::move(parser)));
  co_return live;
}

bool HttpConnection::take_stream(const std::shared_ptr<Switch>& stream) {
  const std::lock_guard lock(mutex_);
  if (over_) return false;
  stream_ = stream;
  return true;
}

Task<void> HttpConnection::run_sse(std::weak_ptr<HttpConnection> weak, Core core,
                                   std::shared_ptr<Switch> control, LivePtr live, Incoming incoming,
                                   net::SseParser parser) {
  Place place;
  auto work = hear(weak, core, std::move(live), *incoming, parser, place, std::nullopt);
  Switch::Run<void> running(control, work);
  const Result<void> heard = co_await running;
  const auto self = weak.lock();
  if (!self) co_return;
  self->stream_ended(control,
                     heard ? core->error(Code::upstream_died, "ended its stream before it answered")
                           : heard.error());
}

// --- the upstream
// -----------------------------------------------------------------------------------

HttpUpstream::HttpUpstream(std::span<net::Loop* const> loops, UpstreamConfig config, Log& log,
                           Notices& notices)
    : core_(std::make_shared<HttpUpstreamCore>(loops, std::move(config), log, notices)) {}

HttpUpstream::~HttpUpstream() {
  for (const auto& connection : core_->connections()) connection->abandon();
  core_->drop_clients();
}

const UpstreamConfig& HttpUpstream::config() const { return core_->config(); }

std::shared_ptr<Connection> HttpUpstream::shared() {
  const std::lock_guard lock(mutex_);
  if (!shared_) {
    ConnectionStart start;
    start.initialize_id = kInitializeId;
    start.initialize_params = mcp::own_initialize_params(ZWINGER_VERSION);
    start.initialize = mcp::write_request(kInitializeId, "initialize", start.initialize_params);
    start.send_initialized = true;
    shared_ = std::make_shared<HttpConnection>(core_, std::move(start), true);
    core_->enter(shared_);
    if (stopping_) shared_->end(stopping_error());
  }
  return shared_;
}

Result<std::shared_ptr<Connection>> HttpUpstream::open(ConnectionStart start) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return std::unexpected(stopping_error());
  auto connection = std::make_shared<HttpConnection>(core_, std::move(start), false);
  core_->enter(connection);
  return connection;
}

void HttpUpstream::quiesce() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  for (const auto& connection : core_->connections()) connection->fail_everything(stopping_error());
}

Task<void> HttpUpstream::stop() {
  quiesce();
  for (const auto& connection : core_->connections()) connection->end(stopping_error());
  const auto core = core_;
  auto stopping = core->stop();
  co_await stopping;
}

}  // namespace zwinger::gateway
