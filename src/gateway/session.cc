#include "gateway/session.h"

#include <algorithm>
#include <utility>

namespace zwinger::gateway {

Session::Session(std::string id, std::string target, Who who, Generations generation,
                 std::shared_ptr<EventStore> store)
    : id_(std::move(id)),
      target_(std::move(target)),
      owner_(who->principal.session),
      store_(std::move(store)),
      standalone_(std::make_shared<ClientStream>(kStandalone, store_)),
      who_(std::move(who)),
      generation_(std::move(generation)) {}

Session::~Session() { end(); }

void Session::use(Who who, Generations generation, Monotonic now) {
  const std::lock_guard lock(mutex_);
  who_ = std::move(who);
  generation_ = std::move(generation);
  last_use_ = now;
}

void Session::touch(Monotonic now) {
  const std::lock_guard lock(mutex_);
  last_use_ = now;
}

void Session::adopt(Generations generation, bool same_issuers) {
  const std::lock_guard lock(mutex_);
  if (!same_issuers) who_ = nullptr;
  generation_ = std::move(generation);
}

bool Session::waits(std::int64_t client_request) const {
  const std::lock_guard lock(mutex_);
  return asked_.contains(client_request);
}

void Session::add_client_task(std::string_view upstream, std::string_view task) {
  const std::lock_guard lock(mutex_);
  client_tasks_.emplace_back(upstream, task);
  if (client_tasks_.size() > kMaxWaiting) client_tasks_.pop_front();
}

bool Session::has_client_task(std::string_view upstream, std::string_view task) const {
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(client_tasks_, [&](const auto& known) {
    return known.first == upstream && known.second == task;
  });
}

Monotonic Session::last_use() const {
  const std::lock_guard lock(mutex_);
  return last_use_;
}

Session::Who Session::who() const {
  const std::lock_guard lock(mutex_);
  return who_;
}

Session::Generations Session::generation() const {
  const std::lock_guard lock(mutex_);
  return generation_;
}

void Session::agree(std::string_view capabilities, std::string protocol_version) {
  auto document = json::Document::parse(std::string(capabilities));
  const std::lock_guard lock(mutex_);
  // Once: what was asked of the client by then was judged by it, and views point into it.
  if (!capabilities_ && document) capabilities_.emplace(*std::move(document));
  protocol_version_ = std::move(protocol_version);
}

void Session::federate(std::shared_ptr<Federation> federation) {
  const std::lock_guard lock(mutex_);
  federation_ = std::move(federation);
}

std::shared_ptr<Federation> Session::federation() const {
  const std::lock_guard lock(mutex_);
  return federation_;
}

std::string Session::protocol_version() const {
  const std::lock_guard lock(mutex_);
  return protocol_version_;
}

std::optional<json::Value> Session::capabilities() const {
  const std::lock_guard lock(mutex_);
  if (!capabilities_) return std::nullopt;
  return capabilities_->root();
}

void Session::add(Member member) {
  std::shared_ptr<Connection> over;  // that nobody needs any more
  {
    const std::lock_guard lock(mutex_);
    const auto known = std::ranges::find_if(members_, [&](const Member& each) {
      return each.route.upstream->id() == member.route.upstream->id();
    });
    if (ended_) {
      over = member.connection;
    } else if (known == members_.end()) {
      members_.push_back(member);
    } else {
      over = std::exchange(known->connection, member.connection);
    }
  }
  const bool is_own = member.route.upstream->config().sessions == SessionUse::own;
  if (over && is_own) over->close();
}

std::shared_ptr<Connection> Session::connection_to(std::string_view upstream) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find_if(
      members_, [&](const Member& member) { return member.route.upstream->id() == upstream; });
  return found == members_.end() ? nullptr : found->connection;
}

std::vector<Session::Member> Session::members() const {
  const std::lock_guard lock(mutex_);
  return members_;
}

void Session::listen() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(listening_, true)) return;
  }
  for (const Member& member : members()) member.connection->listen();
}

std::shared_ptr<ClientStream> Session::begin_stream(bool takes_events) {
  const std::lock_guard lock(mutex_);
  trim_streams();
  auto stream = std::make_shared<ClientStream>(next_stream_++, store_, takes_events);
  if (ended_) stream->shut();
  streams_.push_back(stream);
  return stream;
}

void Session::trim_streams() {
  std::size_t over = static_cast<std::size_t>(std::ranges::count_if(
      streams_, [](const std::shared_ptr<ClientStream>& stream) { return stream->finished(); }));
  for (auto it = streams_.begin(); it != streams_.end() && over > kKeptStreams;) {
    if ((*it)->finished() && !(*it)->attached()) {
      it = streams_.erase(it);
      --over;
    } else {
      ++it;
    }
  }
}

std::shared_ptr<ClientStream> Session::find_stream(std::uint64_t number) const {
  if (number == kStandalone) return standalone_;
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find_if(
      streams_, [&](const auto& stream) { return stream->number() == number; });
  return found == streams_.end() ? nullptr : *found;
}

std::shared_ptr<ClientStream> Session::stream_for_the_rest(bool by_itself) const {
  if (by_itself) return standalone_;
  const std::lock_guard lock(mutex_);
  std::size_t running = 0;
  std::shared_ptr<ClientStream> latest;
  for (const auto& stream : streams_) {
    if (!stream->takes_events() || stream->finished() || !stream->attached()) continue;
    ++running;
    latest = stream;
  }
  if (standalone_->attached() && running != 1) return standalone_;
  return latest ? latest : standalone_;
}

Result<void> Session::expect(const std::shared_ptr<ServerExchange>& exchange) {
  const std::lock_guard lock(mutex_);
  if (ended_) return fail(Code::client_gone, std::string(info(Code::client_gone).text));
  if (asked_.size() >= kMaxWaiting) {
    return fail(Code::overloaded, "too many requests wait for this client's answers");
  }
  exchange->client_request = next_asked_++;
  asked_.emplace(exchange->client_request, exchange);
  return {};
}

bool Session::answer(mcp::Message message) {
  std::shared_ptr<ServerExchange> exchange;
  {
    const std::lock_guard lock(mutex_);
    const auto id = message.document.root().find("id");
    const auto number = id && id->is_number() ? id->integer() : std::nullopt;
    const auto found = number ? asked_.find(*number) : asked_.end();
    if (found == asked_.end()) return false;
    exchange = std::move(found->second);
    asked_.erase(found);
  }
  exchange->answered->set(std::move(message));
  return true;
}

void Session::forget(std::int64_t client_request) {
  const std::lock_guard lock(mutex_);
  asked_.erase(client_request);
}

std::optional<std::int64_t> Session::find_asked(std::string_view upstream,
                                                std::string_view id_key) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [number, exchange] : asked_) {
    if (exchange->upstream() == upstream &&
        mcp::id_key(*exchange->message.document.root().find("id")) == id_key) {
      return number;
    }
  }
  return std::nullopt;
}

void Session::cancel_asked(std::int64_t client_request) {
  std::shared_ptr<ServerExchange> exchange;
  {
    const std::lock_guard lock(mutex_);
    const auto found = asked_.find(client_request);
    if (found == asked_.end()) return;
    exchange = std::move(found->second);
    asked_.erase(found);
  }
  exchange->answered->set(fail(Code::cancelled, "the server cancelled its request"));
}

std::shared_ptr<Connection> Session::asked_with_token(std::string_view key) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [number, exchange] : asked_) {
    if (exchange->params.progress_token && mcp::id_key(*exchange->params.progress_token) == key) {
      return exchange->connection;
    }
  }
  return nullptr;
}

void Session::end() {
  std::vector<Member> members;
  std::map<std::int64_t, std::shared_ptr<ServerExchange>> asked;
  std::list<std::shared_ptr<ClientStream>> streams;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(ended_, true)) return;
    members = std::exchange(members_, {});
    asked = std::exchange(asked_, {});
    streams = streams_;
  }
  for (const auto& [number, exchange] : asked) {
    exchange->answered->set(fail(Code::client_gone, std::string(info(Code::client_gone).text)));
  }
  // Requests that run keep their streams until their outcome is recorded: connections first.
  for (const Member& member : members) {
    if (member.route.upstream->config().sessions == SessionUse::own) member.connection->close();
  }
  standalone_->shut();
  for (const auto& stream : streams) {
    if (stream->finished()) stream->shut();
  }
}

bool Session::ended() const {
  const std::lock_guard lock(mutex_);
  return ended_;
}

// --- the table
// --------------------------------------------------------------------------------------

std::shared_ptr<Session> Sessions::make(std::string target, Session::Who who,
                                        Session::Generations generation, Monotonic now) {
  auto session =
      std::make_shared<Session>(random_.hex(16), std::move(target), who, generation, store_);
  session->use(std::move(who), std::move(generation), now);
  return session;
}

Result<void> Sessions::add(const std::shared_ptr<Session>& session, std::size_t most) {
  const std::lock_guard lock(mutex_);
  if (sessions_.size() >= most) {
    return fail(Code::session_limit, std::string(info(Code::session_limit).text));
  }
  sessions_.emplace(session->id(), session);
  return {};
}

std::shared_ptr<Session> Sessions::find(std::string_view id, std::string_view target,
                                        const identity::Authenticated& who) const {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return nullptr;
  const Session& session = *found->second;
  if (session.owner() != who.principal.session || session.target() != target) return nullptr;
  return found->second;
}

void Sessions::remove(std::string_view id) {
  std::shared_ptr<Session> session;
  {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) return;
    session = std::move(found->second);
    sessions_.erase(found);
  }
  session->end();
}

void Sessions::sweep(Monotonic now, UnixSeconds time) {
  std::vector<std::string> idle;
  for (const auto& session : all()) {
    const bool is_idle = now - session->last_use() > kIdle && !session->standalone()->attached();
    const Session::Who who = session->who();
    if (is_idle || (who && who->principal.expires <= time)) {
      idle.push_back(session->id());
    }
  }
  for (const std::string& id : idle) remove(id);
}

void Sessions::end_all() {
  for (const auto& session : all()) remove(session->id());
}

std::vector<std::shared_ptr<Session>> Sessions::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Session>> out;
  out.reserve(sessions_.size());
  for (const auto& [id, session] : sessions_) out.push_back(session);
  return out;
}

std::size_t Sessions::size() const {
  const std::lock_guard lock(mutex_);
  return sessions_.size();
}

}  // namespace zwinger::gateway
