// One MCP session of a client with us: its connections to upstreams, the streams that go to it, and
// what servers wait for from it.
//
// It belongs to the principal's session that initialized it (issuer, tenant, subject, actors,
// task); nobody else finds it. Thread-safe: requests of one client may come in on any loop.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "gateway/client_stream.h"
#include "gateway/exchange.h"
#include "gateway/generation.h"
#include "identity/principal.h"
#include "json/json.h"

namespace zwinger::gateway {

class Federation;

class Session : public std::enable_shared_from_this<Session> {
 public:
  static constexpr std::size_t kMaxWaiting = 256;  // server requests at a time
  static constexpr std::size_t kKeptStreams = 16;  // that have ended
  static constexpr std::uint64_t kStandalone = 1;  // number of the standalone stream

  using Who = std::shared_ptr<const identity::Authenticated>;
  using Generations = std::shared_ptr<const Generation>;
  struct Member {
    Route route;
    std::shared_ptr<Connection> connection;
  };

  // `target` is the path below which it was begun: no other serves it.
  Session(std::string id, std::string target, Who who, Generations generation,
          std::shared_ptr<EventStore> store);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] const std::string& target() const { return target_; }
  [[nodiscard]] const std::string& owner() const { return owner_; }  // principal's session

  // A request of its owner came: it lives, and is judged by this token and policy from now on.
  void use(Who who, Generations generation, Monotonic now);
  // It lives: somebody listened to it until now.
  void touch(Monotonic now);
  // A reload: what servers ask and say from now on is judged by this policy; and, where whom
  // issuers vouch for has changed, refused until the client has shown a token that still counts.
  void adopt(Generations generation, bool same_issuers);
  [[nodiscard]] Monotonic last_use() const;
  [[nodiscard]] Who who() const;  // null: nobody, until the next request
  [[nodiscard]] Generations generation() const;

  // --- what initialize agreed on ---

  // `capabilities` is source text of what the client declared.
  void agree(std::string_view capabilities, std::string protocol_version);
  // How several upstreams look like one; null for a session with one upstream.
  void federate(std::shared_ptr<Federation> federation);
  [[nodiscard]] std::shared_ptr<Federation> federation() const;
  [[nodiscard]] std::string protocol_version() const;
  // Stays valid as long as the session; nothing before agree().
  [[nodiscard]] std::optional<json::Value> capabilities() const;

  // --- connections ---

  void add(Member member);
  [[nodiscard]] std::shared_ptr<Connection> connection_to(std::string_view upstream) const;
  [[nodiscard]] std::vector<Member> members() const;
  // The client listens to the standalone stream.
  void listen();

  // --- streams to the client ---

  // `takes_events`: what belongs to no request may go there too.
  [[nodiscard]] std::shared_ptr<ClientStream> begin_stream(bool takes_events = true);
  [[nodiscard]] std::shared_ptr<ClientStream> standalone() const { return standalone_; }
  // By number: one that runs, or that ended lately.
  [[nodiscard]] std::shared_ptr<ClientStream> find_stream(std::uint64_t number) const;
  // Where something goes that belongs to no request. `by_itself`: the transport said that it does;
  // else it may still be part of the one request that runs.
  [[nodiscard]] std::shared_ptr<ClientStream> stream_for_the_rest(bool by_itself) const;

  // --- what servers ask ---

  // Waits for the client's answer from now on; sets client_request. Errors: overloaded,
  // client_gone.
  Result<void> expect(const std::shared_ptr<ServerExchange>& exchange);
  // The client's answer. False where nothing waits for it.
  bool answer(mcp::Message message);
  [[nodiscard]] bool waits(std::int64_t client_request) const;
  // Nobody waits for it any more.
  void forget(std::int64_t client_request);
  // Our id of what this upstream asked under its own id (an id_key); nothing where it is over.
  [[nodiscard]] std::optional<std::int64_t> find_asked(std::string_view upstream,
                                                       std::string_view id_key) const;
  // Ends the wait for the client: the server has cancelled its request.
  void cancel_asked(std::int64_t client_request);
  // The upstream whose request to the client carries this progress token (an id_key).
  [[nodiscard]] std::shared_ptr<Connection> asked_with_token(std::string_view key) const;

  // A task that the client made when this upstream asked it something: nobody else may ask about
  // it. The oldest are forgotten beyond kMaxWaiting.
  void add_client_task(std::string_view upstream, std::string_view task);
  [[nodiscard]] bool has_client_task(std::string_view upstream, std::string_view task) const;

  // Ends connections, streams and waits, for good.
  void end();
  [[nodiscard]] bool ended() const;

 private:
  void trim_streams();  // with the lock held

  const std::string id_;
  const std::string target_;
  const std::string owner_;
  const std::shared_ptr<EventStore> store_;
  const std::shared_ptr<ClientStream> standalone_;

  mutable std::mutex mutex_;
  Who who_;
  Generations generation_;
  Monotonic last_use_{};
  std::string protocol_version_;
  std::optional<json::Document> capabilities_;
  std::shared_ptr<Federation> federation_;
  std::vector<Member> members_;
  std::list<std::shared_ptr<ClientStream>> streams_;  // oldest first
  std::uint64_t next_stream_ = kStandalone + 1;
  std::map<std::int64_t, std::shared_ptr<ServerExchange>> asked_;
  std::int64_t next_asked_ = 1;
  std::list<std::pair<std::string, std::string>> client_tasks_;  // upstream and id, oldest first
  bool listening_ = false;
  bool ended_ = false;
};

// The sessions of a gateway. Thread-safe.
class Sessions {
 public:
  static constexpr std::chrono::minutes kIdle{60};

  explicit Sessions(Random& random) : random_(random) {}

  // A session that nobody finds yet.
  [[nodiscard]] std::shared_ptr<Session> make(std::string target, Session::Who who,
                                              Session::Generations generation, Monotonic now);
  // From now on its owner finds it. Errors: session_limit.
  Result<void> add(const std::shared_ptr<Session>& session, std::size_t most);
  // The session of this id, if it is this principal's.
  [[nodiscard]] std::shared_ptr<Session> find(std::string_view id, std::string_view target,
                                              const identity::Authenticated& who) const;
  void remove(std::string_view id);  // and ends it
  // Ends those that were not used for kIdle and whose client does not listen, and those whose last
  // token has expired.
  void sweep(Monotonic now, UnixSeconds time);
  void end_all();
  // Every session that lives, for what a reload changes.
  [[nodiscard]] std::vector<std::shared_ptr<Session>> all() const;
  [[nodiscard]] std::size_t size() const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };
  Random& random_;
  const std::shared_ptr<EventStore> store_ = std::make_shared<EventStore>();
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<Session>, Hash, std::equal_to<>> sessions_;
};

}  // namespace zwinger::gateway
