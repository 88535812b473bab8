#include "gateway/federation.h"

#include <algorithm>
#include <iterator>

#include "crypto/hash.h"
#include "gateway/session.h"
#include "json/json.h"
#include "json/writer.h"
#include "mcp/envelope.h"
#include "net/one_shot.h"
#include "text/encoding.h"
#include "text/glob.h"
#include "text/utf8.h"

namespace zwinger::gateway {

namespace {

using mcp::Method;

constexpr std::string_view kSeparator = "__";  // no upstream's id holds it
constexpr std::string_view kUnavailable = "zwinger/unavailable";
constexpr std::size_t kHashDigits = 8;

// What was parsed before under limits of its own, or written by us from that.
json::Limits limits_for(std::string_view text) {
  json::Limits limits;
  limits.max_bytes = std::max(limits.max_bytes, text.size());
  return limits;
}

// --- tasks side by side
// ----------------------------------------------------------------------------------

struct Countdown {
  std::size_t left;
  std::shared_ptr<net::OneShot<bool>> done;
};

Task<void> count_down(Task<void> task, std::shared_ptr<Countdown> countdown) {
  co_await task;
  if (--countdown->left == 0) countdown->done->set(true);
}

// Returns when all have ended. Each has a time limit of its own: those of its upstream.
Task<void> side_by_side(net::Loop& loop, std::vector<Task<void>> tasks) {
  if (tasks.empty()) co_return;
  auto countdown = std::make_shared<Countdown>(
      Countdown{.left = tasks.size(), .done = std::make_shared<net::OneShot<bool>>(loop)});
  for (Task<void>& task : tasks) loop.spawn(count_down(std::move(task), countdown));
  auto waiting = countdown->done->wait();
  co_await waiting;
}

// --- names
// ------------------------------------------------------------------------------------------------

std::string identity_of(std::string_view upstream, std::string_view raw) {
  return std::string(upstream) + "/" + std::string(raw);
}

std::string prefixed(std::string_view upstream, std::string_view raw) {
  return std::string(upstream) + std::string(kSeparator) + std::string(raw);
}

bool is_hash_digit(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

// Whether a name looks like one that fit_name() has cut.
bool looks_cut(std::string_view shown) {
  if (shown.size() <= kHashDigits || text::count_code_points(shown) != kMaxShownName) return false;
  const std::string_view tail = shown.substr(shown.size() - kHashDigits - 1);
  return tail.front() == '_' && std::ranges::all_of(tail.substr(1), is_hash_digit);
}

// Whether it takes a look at the lists to say what the name is.
bool needs_lists(std::string_view full) {
  return text::count_code_points(full) > kMaxShownName || looks_cut(full);
}

std::string fit_name(std::string full, std::string_view upstream, std::string_view raw) {
  if (text::count_code_points(full) <= kMaxShownName) return full;
  std::string_view rest = full;
  for (std::size_t i = 0; i + kHashDigits + 1 < kMaxShownName; ++i) {
    (void)text::take_code_point(rest);
  }
  full.resize(full.size() - rest.size());
  full += '_';
  full += std::string_view(crypto::sha256_hex(identity_of(upstream, raw))).substr(0, kHashDigits);
  return full;
}

using ByUpstream = std::vector<std::pair<std::string, std::vector<std::string>>>;

// The raw names that must be prefixed under Naming::on_conflict: those that two upstreams list, and
// those that look prefixed, so that none can take the place of another upstream's.
class Conflicts {
 public:
  explicit Conflicts(const ByUpstream& by_upstream) {
    for (const auto& [upstream, names] : by_upstream) {
      upstreams_.insert(upstream);
      for (const std::string& raw : names) {
        const auto [first, is_new] = owner_.emplace(raw, upstream);
        if (!is_new && first->second != upstream) shared_.insert(raw);
      }
    }
  }
  [[nodiscard]] bool contains(std::string_view raw) const {
    if (shared_.contains(raw)) return true;
    const std::size_t at = raw.find(kSeparator);
    return at != std::string_view::npos && upstreams_.contains(raw.substr(0, at));
  }

 private:
  std::set<std::string_view> upstreams_;
  std::map<std::string_view, std::string_view> owner_;
  std::set<std::string_view> shared_;
};

// --- cursors
// ----------------------------------------------------------------------------------------------

// Where to go on in one upstream's list.
struct Place {
  std::string upstream;
  std::string cursor;
};

// What is in a cursor of ours, before base64: no more than comes back as a parameter that is read.
constexpr std::size_t kMaxCursorBytes = (mcp::kMaxSource / 4 * 3) - 16;

std::size_t written_size(const Place& place) {
  return json::quote(place.upstream).size() + json::quote(place.cursor).size() + 4;
}

// Keeps the places that one cursor can hold. The rest of the others cannot be asked for: they are
// named in `lost`.
std::vector<Place> fit_places(std::vector<Place> places, std::vector<std::string>& lost) {
  std::vector<Place> out;
  std::size_t size = 2;
  for (Place& place : places) {
    const std::size_t more = written_size(place);
    if (size + more > kMaxCursorBytes) {
      lost.push_back(std::move(place.upstream));
      continue;
    }
    size += more;
    out.push_back(std::move(place));
  }
  return out;
}

std::string write_cursor(const std::vector<Place>& places) {
  json::Writer w;
  w.begin_array();
  for (const Place& place : places) {
    w.begin_array().string(place.upstream).string(place.cursor).end_array();
  }
  w.end_array();
  return text::base64url_encode(std::move(w).take());
}

std::optional<Place> read_place(json::Value pair) {
  if (!pair.is_array() || pair.size() != 2) return std::nullopt;
  Place out;
  std::string* part = &out.upstream;
  for (const json::Value each : pair.children()) {
    if (!each.is_string()) return std::nullopt;
    *part = each.string();
    part = &out.cursor;
  }
  return out;
}

// Nothing for what we did not write.
std::optional<std::vector<Place>> read_cursor(std::string_view cursor, std::size_t most) {
  const auto decoded = text::base64url_decode(cursor);
  if (!decoded) return std::nullopt;
  const auto document =
      json::Document::parse(*decoded, {.max_bytes = mcp::kMaxSource,
                                       .max_depth = 2,
                                       .max_values = static_cast<std::uint32_t>((3 * most) + 1)});
  if (!document || !document->root().is_array() || document->root().size() == 0) {
    return std::nullopt;
  }
  std::vector<Place> out;
  for (const json::Value pair : document->root().children()) {
    auto place = read_place(pair);
    if (!place) return std::nullopt;
    out.push_back(*std::move(place));
  }
  return out;
}

// --- messages
// ---------------------------------------------------------------------------------------------

// `_meta` without what only one upstream at a time could use; empty where nothing is left.
std::string shared_meta(const mcp::RequestParams& params) {
  if (!params.meta) return {};
  json::Writer w;
  w.begin_object();
  for (const json::Value member : params.meta->children()) {
    if (member.name() != "progressToken") w.key(member.name()).value(member);
  }
  w.end_object();
  std::string meta = std::move(w).take();
  return meta == "{}" ? std::string() : meta;
}

// The params of a request that goes to several upstreams.
std::string shared_params(const mcp::RequestParams& params) {
  if (!params.params) return {};
  if (!params.progress_token) return std::string(params.params->source());
  return mcp::replace_member(*params.params, "_meta", [&] {
    std::string meta = shared_meta(params);
    return meta.empty() ? std::string("{}") : meta;
  }());
}

std::string list_params(std::string_view meta, const std::optional<std::string>& cursor) {
  json::Writer w;
  w.begin_object();
  if (cursor) w.key("cursor").string(*cursor);
  if (!meta.empty()) w.key("_meta").raw(meta);
  w.end_object();
  return std::move(w).take();
}

void write_unavailable(json::Writer& w, const std::vector<std::string>& upstreams) {
  if (upstreams.empty()) return;
  w.key("_meta").begin_object().key(kUnavailable).begin_array();
  for (const std::string& upstream : upstreams) w.string(upstream);
  w.end_array().end_object();
}

// --- what several upstreams said of themselves
// -----------------------------------------------------------

using Said = std::pair<std::string_view, const mcp::ServerInfo*>;  // upstream and what

// The lowest that any of them speaks, and no later one than the client asked for. What we do not
// know is no revision: one upstream's odd answer is not all others'.
std::string agreed_revision(std::string_view asked, const std::vector<Said>& said) {
  std::string_view lowest = mcp::revision_supported(asked) ? asked : std::string_view();
  for (const auto& [upstream, info] : said) {
    const std::string_view spoken = info->protocol_version;
    if (!mcp::revision_supported(spoken)) continue;
    if (lowest.empty() || spoken < lowest) lowest = spoken;
  }
  return std::string(lowest.empty() ? mcp::kRevision : lowest);
}

void write_union(json::Writer& w, const std::vector<json::Value>& objects);

// One member that several upstreams may have: what any can, all can.
void write_joined(json::Writer& w, const std::vector<json::Value>& values) {
  std::vector<json::Value> objects;
  std::ranges::copy_if(values, std::back_inserter(objects), &json::Value::is_object);
  if (!objects.empty()) {
    write_union(w, objects);
    return;
  }
  const auto yes = std::ranges::find_if(
      values, [](const json::Value& value) { return value.is_bool() && value.boolean(); });
  w.value(yes == values.end() ? values.front() : *yes);
}

void write_union(json::Writer& w, const std::vector<json::Value>& objects) {
  std::vector<std::string_view> order;
  std::map<std::string_view, std::vector<json::Value>> members;
  for (const json::Value object : objects) {
    for (const json::Value member : object.children()) {
      std::vector<json::Value>& same = members[member.name()];
      if (same.empty()) order.push_back(member.name());
      same.push_back(member);
    }
  }
  w.begin_object();
  for (const std::string_view name : order) {
    w.key(name);
    write_joined(w, members[name]);
  }
  w.end_object();
}

std::string joined_capabilities(const std::vector<Said>& said) {
  std::vector<json::Document> documents;
  std::vector<json::Value> objects;
  for (const auto& [upstream, info] : said) {
    auto document = json::Document::parse(info->capabilities, limits_for(info->capabilities));
    if (!document || !document->root().is_object()) continue;
    documents.push_back(*std::move(document));
    objects.push_back(documents.back().root());
  }
  json::Writer w;
  write_union(w, objects);
  return std::move(w).take();
}

// Source text of a string; nothing where nobody has any.
std::optional<std::string> joined_instructions(const std::vector<Said>& said) {
  std::string all;
  for (const auto& [upstream, info] : said) {
    if (!info->instructions) continue;
    const auto document =
        json::Document::parse(*info->instructions, limits_for(*info->instructions));
    if (!document || !document->root().is_string()) continue;
    if (!all.empty()) all += "\n\n";
    all += std::string(upstream) + ":\n" + std::string(document->root().string());
  }
  if (all.empty()) return std::nullopt;
  return json::quote(all);
}

std::string joined_result(std::string_view revision, const std::vector<Said>& said,
                          const std::vector<std::string>& unavailable) {
  const std::optional<std::string> instructions = joined_instructions(said);
  std::string own = mcp::own_initialize_result(revision, joined_capabilities(said), instructions,
                                               ZWINGER_VERSION);
  if (unavailable.empty()) return own;
  const json::Limits limits = limits_for(own);
  const auto document = json::Document::parse(std::move(own), limits);
  json::Writer w;
  w.begin_object();
  for (const json::Value member : document->root().children()) w.key(member.name()).value(member);
  write_unavailable(w, unavailable);
  w.end_object();
  return std::move(w).take();
}

// --- lists
// ------------------------------------------------------------------------------------------------

bool fits_as_parameter(Method method, std::string_view key) {
  if (key.empty()) return false;
  switch (method) {
    case Method::resources_list:
    case Method::resources_templates_list:
      return key.size() <= mcp::kMaxUri;
    case Method::tasks_list:
      return key.size() <= mcp::kMaxTaskId;
    default:
      return key.size() <= mcp::kMaxName;
  }
}

std::optional<std::string> next_cursor(json::Value result) {
  const auto next = result.find("nextCursor");
  if (!next || !next->is_string() || next->source().size() > mcp::kMaxSource) return std::nullopt;
  return std::string(next->string());
}

// The text before a template's first expression.
std::string_view literal_prefix(std::string_view uri_template) {
  return uri_template.substr(0, uri_template.find('{'));
}

}  // namespace

Exchange make_exchange(FrontRequest& request, Route route) {
  Exchange x(request.loop, std::move(request.message), request.began);
  x.generation = request.generation;
  x.who = request.who;
  x.transport = request.transport;
  x.peer = request.peer;
  x.call_id = request.call_id;
  x.route = std::move(route);
  x.session = request.session;
  x.cancellation = request.cancellation;
  x.stream = request.stream;
  return x;
}

std::vector<DisplayName> display_names(const ByUpstream& by_upstream, Naming naming) {
  const Conflicts conflicts(by_upstream);
  std::vector<DisplayName> out;
  std::set<std::string> taken;
  for (const auto& [upstream, names] : by_upstream) {
    for (const std::string& raw : names) {
      if (raw.empty() || text::first_invalid_utf8(raw)) continue;
      const bool with_prefix =
          naming == Naming::always || (naming == Naming::on_conflict && conflicts.contains(raw));
      std::string shown = fit_name(with_prefix ? prefixed(upstream, raw) : raw, upstream, raw);
      if (!taken.insert(shown).second) continue;
      out.push_back({.shown = std::move(shown), .upstream = upstream, .raw = raw});
    }
  }
  return out;
}

// --- one request
// ------------------------------------------------------------------------------------------

struct Federation::Run {
  Pipeline& pipeline;
  FrontRequest& request;
  Method method;
  mcp::RequestParams params;  // views into request.message
  std::size_t shares = 0;     // so far

  // A share's message, under the client's id.
  [[nodiscard]] std::string write(std::string_view name, std::string_view share_params) const {
    json::Writer w;
    w.begin_object().key("jsonrpc").string("2.0").key("id").raw(request.message.id);
    w.key("method").string(name);
    if (!share_params.empty()) w.key("params").raw(share_params);
    w.end_object();
    return std::move(w).take();
  }
  // Of what is no upstream's business. It has no share that would be in the record, so it is
  // counted there.
  [[nodiscard]] Answer refuse(Code code, std::string text = {}) const {
    pipeline.notices().note("client_refused", {}, request.message.method, name(code));
    Answer out;
    out.verdict = Verdict::deny(code, {}, std::move(text));
    mcp::Denial denial;
    denial.reason = code;
    denial.text = out.verdict.text;
    denial.call_id = request.call_id;
    if (code == Code::mcp_params) denial.rpc_code = mcp::kInvalidParams;
    out.message = mcp::write_denial(request.message.id, denial);
    return out;
  }
  // After its shares were allowed and recorded.
  [[nodiscard]] Answer failed(Code code) const {
    Answer out;
    out.verdict = Verdict::allow();
    out.failure = code;
    mcp::Denial denial;
    denial.reason = code;
    denial.text = info(code).text;
    denial.call_id = request.call_id;
    out.message = mcp::write_denial(request.message.id, denial);
    return out;
  }
  [[nodiscard]] Answer succeed(std::string_view result) const {
    Answer out;
    out.message = mcp::write_result(request.message.id, result);
    out.verdict = Verdict::allow();
    out.is_result = true;
    return out;
  }
};

struct Federation::Ended {
  Answer answer;
  bool reached = false;      // something of the upstream is in reach of the client
  bool unsupported = false;  // it answered that it knows no such method
  std::string result;        // source text
  std::shared_ptr<const mcp::ServerInfo> server;

  // What stands for several that all failed.
  static Answer first_failure(const std::vector<const Ended*>& all) {
    const auto failed = std::ranges::find_if(
        all, [](const Ended* ended) { return !ended->answer.is_result && !ended->unsupported; });
    return failed == all.end() ? all.front()->answer : (*failed)->answer;
  }
};

struct Federation::Listing {
  const Route* route = nullptr;
  Method method = Method::tools_list;
  std::optional<std::string> cursor = {};  // where it begins
  std::string meta = {};                   // source text for its first page; may be empty

  Ended ended = {};                          // of the first page
  std::optional<json::Document> first = {};  // page; nothing where it failed
  std::optional<std::string> next = {};      // where the second begins
  Keys keys = {};                            // of all pages that were read
  bool whole = false;                        // these are all that there are

  [[nodiscard]] const std::string& upstream() const { return route->upstream->id(); }
  // False where there is no room for more.
  bool take_keys(json::Value array, const mcp::ListShape& shape) {
    bool has_room = true;
    for (const json::Value entry : array.children()) {
      const auto key = entry.find(shape.key);
      if (!key || !key->is_string() || !fits_as_parameter(method, key->string())) continue;
      has_room = keys.add(key->string()) && has_room;
    }
    return has_room;
  }
};

bool Federation::Keys::add(std::string_view key) {
  if (known_.contains(key)) return true;
  if (order_.size() >= kMost || bytes_ + key.size() > kMostBytes) return false;
  bytes_ += key.size();
  order_.emplace_back(key);
  known_.emplace(key);
  return true;
}

void Federation::Keys::drop_oldest() {
  bytes_ -= order_.front().size();
  known_.erase(order_.front());
  order_.pop_front();
}

Federation::Federation(std::vector<Route> routes, VirtualServer selection)
    : routes_(std::move(routes)), selection_(std::move(selection)) {}

Task<Answer> Federation::run(Pipeline& pipeline, FrontRequest& request) {
  const auto method = mcp::parse_client_method(request.message.method);
  Run run{.pipeline = pipeline,
          .request = request,
          .method = method.value_or(Method::ping),
          .params = {}};
  if (routes_.empty()) co_return run.refuse(Code::upstream_unknown);
  auto params = mcp::read_request_params(run.method, request.message.params);
  if (!method || !params || run.method == Method::ping) {
    // No upstream's business: the pipeline answers or denies it.
    Exchange x = make_exchange(request, routes_.front());
    auto answering = pipeline.run(x);
    co_return co_await answering;
  }
  run.params = *std::move(params);
  auto dispatching = dispatch(run);
  co_return co_await dispatching;
}

Task<Answer> Federation::dispatch(Run& run) {
  switch (run.method) {
    case Method::initialize:
      return initialize(run);
    case Method::tools_list:
    case Method::prompts_list:
    case Method::resources_list:
    case Method::resources_templates_list:
    case Method::tasks_list:
      return list(run);
    case Method::tools_call:
      return to_named(run, Kind::tools);
    case Method::prompts_get:
      return to_named(run, Kind::prompts);
    case Method::completion_complete:
      return run.params.uri.empty() ? to_named(run, Kind::prompts) : to_resource(run);
    case Method::resources_read:
    case Method::resources_subscribe:
    case Method::resources_unsubscribe:
      return to_resource(run);
    case Method::tasks_get:
    case Method::tasks_result:
    case Method::tasks_cancel:
      return to_task(run);
    default:  // logging/setLevel: parse_client_method() knows nothing else
      return to_all(run);
  }
}

// --- shares
// -----------------------------------------------------------------------------------------------

Task<void> Federation::share(Run& run, const Route& route, std::string message, Share kind,
                             Ended& out) {
  const std::size_t number = ++run.shares;
  const json::Limits limits = limits_for(message);
  auto parsed = mcp::parse_message(std::move(message), limits);
  if (!parsed) {  // it was a message when it came
    out.answer = run.refuse(Code::internal);
    co_return;
  }
  const FrontRequest& whole = run.request;
  FrontRequest part{.loop = whole.loop,
                    .message = *std::move(parsed),
                    // Later ones waited for the earlier, which is no time of their decision.
                    .began = number == 1 ? whole.began : run.pipeline.now(),
                    .generation = whole.generation,
                    .who = whole.who,
                    .transport = whole.transport,
                    .peer = whole.peer,
                    .call_id = whole.call_id + "." + std::to_string(number),
                    .session = whole.session,
                    .stream = nullptr};
  if (kind == Share::whole) {
    part.cancellation = whole.cancellation;
    part.stream = whole.stream;
  }
  Exchange x = make_exchange(part, route);
  auto running = run.pipeline.run(x);
  out.answer = co_await running;
  out.reached = x.judgement.reaches_upstream;
  out.server = x.server;
  if (x.reply && x.reply->error && !out.answer.failure) {
    const auto code = x.reply->error->find("code");
    out.unsupported = code && code->integer() == mcp::kMethodNotFound;
  }
  if (!out.answer.is_result) co_return;
  if (x.method == Method::tools_call && x.params.as_task && x.reply) {
    if (const auto task = mcp::created_task(*x.reply->result)) take_task(x.upstream(), *task);
  }
  out.result = std::move(x.result);
}

Task<Answer> Federation::to_one(Run& run, const Route& route, std::string params) {
  Ended ended;
  auto sharing =
      share(run, route, run.write(mcp::to_string(run.method), params), Share::whole, ended);
  co_await sharing;
  co_return std::move(ended.answer);
}

Task<std::vector<Federation::Ended>> Federation::ask_all(Run& run) {
  const std::string params = shared_params(run.params);
  std::vector<Ended> ended(routes_.size());
  std::vector<Task<void>> shares;
  shares.reserve(routes_.size());
  for (std::size_t i = 0; i < routes_.size(); ++i) {
    shares.push_back(share(run, routes_[i], run.write(mcp::to_string(run.method), params),
                           Share::part, ended[i]));
  }
  auto together = side_by_side(run.request.loop, std::move(shares));
  co_await together;
  co_return ended;
}

Task<Answer> Federation::to_all(Run& run) {
  auto asking = ask_all(run);
  const std::vector<Ended> ended = co_await asking;
  std::vector<const Ended*> all;
  for (const Ended& each : ended) {
    if (each.answer.is_result) co_return run.succeed("{}");
    all.push_back(&each);
  }
  co_return Ended::first_failure(all);
}

// --- initialize
// -------------------------------------------------------------------------------------------

Task<Answer> Federation::initialize(Run& run) {
  auto asking = ask_all(run);
  const std::vector<Ended> ended = co_await asking;
  co_return merge_initialize(run, ended);
}

Answer Federation::merge_initialize(const Run& run, const std::vector<Ended>& ended) const {
  std::vector<Said> said;
  std::vector<std::string> unavailable;
  std::vector<const Ended*> all;
  for (std::size_t i = 0; i < ended.size(); ++i) {
    const std::string& upstream = routes_[i].upstream->id();
    all.push_back(&ended[i]);
    if (!ended[i].answer.is_result) {
      unavailable.push_back(upstream);
    } else if (ended[i].reached && ended[i].server) {  // else the answer is our own
      said.emplace_back(upstream, ended[i].server.get());
    }
  }
  // The first's answer where the client can reach none of them: it is our own.
  if (said.empty()) return Ended::first_failure(all);
  const std::string revision = agreed_revision(run.params.protocol_version, said);
  // Each upstream's answer was noted as the session's; this is what the client will speak.
  if (run.request.session) {
    run.request.session->agree(run.params.capabilities->source(), revision);
  }
  return run.succeed(joined_result(revision, said, unavailable));
}

// --- lists
// ------------------------------------------------------------------------------------------------

Task<void> Federation::read_pages(Run& run, Listing& listing, std::size_t most) {
  const std::optional<mcp::ListShape> shape = mcp::list_shape(listing.method);
  const Monotonic deadline = run.pipeline.now() + listing.route->upstream->config().answer_timeout;
  std::optional<std::string> cursor = listing.cursor;
  for (std::size_t page = 0; page < most; ++page) {
    const std::string params =
        list_params(page == 0 ? std::string_view(listing.meta) : std::string_view(), cursor);
    Ended ended;
    auto sharing = share(run, *listing.route, run.write(mcp::to_string(listing.method), params),
                         Share::part, ended);
    co_await sharing;
    std::string result = std::move(ended.result);
    const bool good = ended.answer.is_result;
    if (page == 0) listing.ended = std::move(ended);
    if (!good) co_return;
    const json::Limits limits = limits_for(result);
    auto document = json::Document::parse(std::move(result), limits);
    const auto array = document ? document->root().find(shape->array) : std::nullopt;
    if (!array) {  // the pipeline has filtered it, so it is one
      if (page == 0) listing.ended.answer = run.failed(Code::internal);
      co_return;
    }
    const bool has_room = listing.take_keys(*array, *shape);
    std::optional<std::string> next = next_cursor(document->root());
    if (page == 0) {
      listing.next = next;
      listing.first = *std::move(document);
    }
    listing.whole = !next && !listing.cursor && has_room;
    if (!next || next == cursor || !has_room || run.pipeline.now() >= deadline ||
        run.request.cancellation->cancelled()) {
      co_return;
    }
    cursor = std::move(next);
  }
}

Task<void> Federation::read_lists(Run& run, std::vector<Listing>& lists, std::size_t most) {
  std::vector<Task<void>> readings;
  readings.reserve(lists.size());
  for (Listing& listing : lists) readings.push_back(read_pages(run, listing, most));
  auto together = side_by_side(run.request.loop, std::move(readings));
  co_await together;
}

Task<void> Federation::learn(Run& run, std::vector<Method> methods) {
  std::vector<Listing> lists;
  for (const Method method : methods) {
    for (const Route& route : routes_) lists.push_back({.route = &route, .method = method});
  }
  auto reading = read_lists(run, lists, kMaxPages);
  co_await reading;
  for (const Method method : methods) take(method, lists, run.pipeline.now());
}

std::optional<std::vector<Federation::Listing>> Federation::begin_lists(const Run& run) const {
  std::vector<Listing> lists;
  const std::string meta = shared_meta(run.params);
  if (!run.params.cursor) {
    for (const Route& route : routes_) {
      lists.push_back({.route = &route, .method = run.method, .meta = meta});
    }
    return lists;
  }
  const auto places = read_cursor(run.params.cursor->string(), routes_.size());
  if (!places) return std::nullopt;
  for (const Route& route : routes_) {
    const auto place = std::ranges::find(*places, route.upstream->id(), &Place::upstream);
    if (place == places->end()) continue;
    lists.push_back({.route = &route, .method = run.method, .cursor = place->cursor, .meta = meta});
  }
  // An upstream that is none, or stands there twice.
  if (lists.size() != places->size()) return std::nullopt;
  return lists;
}

Task<Answer> Federation::list(Run& run) {
  auto lists = begin_lists(run);
  if (!lists) co_return run.refuse(Code::mcp_params, "the cursor is none that was given out here");
  // What an entry is called may depend on what is on pages that were not asked for.
  const bool by_all_names =
      (run.method == Method::tools_list || run.method == Method::prompts_list) &&
      selection_.naming != Naming::always;
  if (by_all_names && run.params.cursor && !last_asked(run.method)) {
    auto learning = learn(run, {run.method});
    co_await learning;
  }
  const bool reads_all = by_all_names && !run.params.cursor;
  auto reading = read_lists(run, *lists, reads_all ? kMaxPages : 1);
  co_await reading;
  if (run.request.cancellation->cancelled()) co_return run.failed(Code::cancelled);
  take(run.method, *lists, reads_all ? std::optional(run.pipeline.now()) : std::nullopt);
  co_return merge_lists(run, *lists);
}

Answer Federation::merge_lists(const Run& run, const std::vector<Listing>& lists) const {
  const mcp::ListShape shape = *mcp::list_shape(run.method);
  std::vector<const Ended*> ended;
  std::vector<std::string> unavailable;
  std::vector<Place> places;
  std::set<std::string> seen;
  bool any = false;
  json::Writer w;
  w.begin_object().key(shape.array).begin_array();
  for (const Listing& list : lists) {
    ended.push_back(&list.ended);
    if (!list.first) {
      if (!list.ended.unsupported) unavailable.push_back(list.upstream());
      continue;
    }
    any = true;
    if (list.next) places.push_back({.upstream = list.upstream(), .cursor = *list.next});
    for (const json::Value entry : list.first->root().find(shape.array)->children()) {
      const auto shown = entry_for_client(list, shape, entry, seen);
      if (shown) w.raw(*shown);
    }
  }
  w.end_array();
  if (!any) return Ended::first_failure(ended);
  places = fit_places(std::move(places), unavailable);
  if (!places.empty()) w.key("nextCursor").string(write_cursor(places));
  write_unavailable(w, unavailable);
  w.end_object();
  return run.succeed(std::move(w).take());
}

std::optional<std::string> Federation::entry_for_client(const Listing& list,
                                                        const mcp::ListShape& shape,
                                                        json::Value entry,
                                                        std::set<std::string>& seen) const {
  const auto key = entry.find(shape.key);
  // What no request could name is not shown.
  if (!key || !key->is_string() || !fits_as_parameter(list.method, key->string())) {
    return std::nullopt;
  }
  switch (list.method) {
    case Method::tools_list:
    case Method::prompts_list: {
      const Kind kind = list.method == Method::tools_list ? Kind::tools : Kind::prompts;
      if (!selected(kind, list.upstream(), key->string())) return std::nullopt;
      const auto shown = shown_name(kind, list.upstream(), key->string());
      if (!shown || !seen.insert(*shown).second) return std::nullopt;
      return mcp::replace_member(entry, shape.key, json::quote(*shown));
    }
    case Method::resources_list:
    case Method::resources_templates_list: {
      // Of two that have it the first would be asked, so the second's entry would mislead.
      const Route* route = find_listed(list.method, key->string());
      if (route != nullptr && route != list.route) return std::nullopt;
      return std::string(entry.source());
    }
    default:
      return std::string(entry.source());
  }
}

// --- what was learned
// -------------------------------------------------------------------------------------

void Federation::take(Method method, const std::vector<Listing>& lists,
                      std::optional<Monotonic> asked) {
  const bool is_named = method == Method::tools_list || method == Method::prompts_list;
  const Kind kind = method == Method::tools_list ? Kind::tools : Kind::prompts;
  const std::lock_guard lock(mutex_);
  Learned& learned = learned_[method];
  if (asked) learned.asked = asked;
  for (const Listing& list : lists) {
    if (list.method != method || !list.first) continue;  // what a failed one had said before stays
    Keys& keys = learned.by_upstream[list.upstream()];
    // A task may be too young to be listed.
    if (list.whole && method != Method::tasks_list) keys = {};
    for (const std::string& key : list.keys.in_order()) {
      const bool is_needed =
          !is_named ||
          (selected(kind, list.upstream(), key) &&
           (selection_.naming != Naming::always || needs_lists(prefixed(list.upstream(), key))));
      if (is_needed) (void)keys.add(key);  // what has no room stays unknown
    }
  }
  if (is_named) name_all(learned);
}

void Federation::name_all(Learned& learned) const {
  ByUpstream by_upstream;
  for (const Route& route : routes_) {
    const auto found = learned.by_upstream.find(route.upstream->id());
    if (found == learned.by_upstream.end()) continue;
    const std::deque<std::string>& keys = found->second.in_order();
    by_upstream.emplace_back(found->first, std::vector<std::string>(keys.begin(), keys.end()));
  }
  learned.by_shown.clear();
  learned.shown.clear();
  for (DisplayName& each : display_names(by_upstream, selection_.naming)) {
    learned.shown.emplace(identity_of(each.upstream, each.raw), each.shown);
    std::string shown = each.shown;
    learned.by_shown.emplace(std::move(shown), std::move(each));
  }
}

void Federation::take_task(std::string_view upstream, std::string_view task) {
  const std::lock_guard lock(mutex_);
  Keys& keys = learned_[Method::tasks_list].by_upstream[std::string(upstream)];
  while (!keys.add(task)) keys.drop_oldest();
}

std::optional<Monotonic> Federation::last_asked(Method method) const {
  const std::lock_guard lock(mutex_);
  const auto found = learned_.find(method);
  return found == learned_.end() ? std::nullopt : found->second.asked;
}

bool Federation::may_learn(const Run& run, Method method) const {
  const std::optional<Monotonic> asked = last_asked(method);
  return !asked || run.pipeline.now() - *asked >= kLearnPause;
}

const Route* Federation::route_to(std::string_view upstream) const {
  const auto found = std::ranges::find_if(
      routes_, [&](const Route& route) { return route.upstream->id() == upstream; });
  return found == routes_.end() ? nullptr : &*found;
}

bool Federation::selected(Kind kind, std::string_view upstream, std::string_view raw) const {
  const auto& globs = kind == Kind::tools ? selection_.tools : selection_.prompts;
  return globs.empty() || text::any_matches(globs, identity_of(upstream, raw));
}

// --- names
// ------------------------------------------------------------------------------------------------

std::optional<std::string> Federation::shown_name(Kind kind, std::string_view upstream,
                                                  std::string_view raw) const {
  if (selection_.naming == Naming::always) {
    std::string full = prefixed(upstream, raw);
    if (!needs_lists(full)) return full;
  }
  const std::lock_guard lock(mutex_);
  const auto learned = learned_.find(list_of(kind));
  if (learned == learned_.end()) return std::nullopt;
  const auto found = learned->second.shown.find(identity_of(upstream, raw));
  if (found == learned->second.shown.end()) return std::nullopt;
  return found->second;
}

std::optional<DisplayName> Federation::find_name(Kind kind, std::string_view shown) const {
  const std::lock_guard lock(mutex_);
  const auto learned = learned_.find(list_of(kind));
  if (learned == learned_.end()) return std::nullopt;
  const auto found = learned->second.by_shown.find(shown);
  if (found == learned->second.by_shown.end()) return std::nullopt;
  return found->second;
}

std::optional<DisplayName> Federation::find_prefixed(std::string_view shown) const {
  const std::size_t at = shown.find(kSeparator);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view upstream = shown.substr(0, at);
  const std::string_view raw = shown.substr(at + kSeparator.size());
  if (raw.empty() || route_to(upstream) == nullptr) return std::nullopt;
  return DisplayName{
      .shown = std::string(shown), .upstream = std::string(upstream), .raw = std::string(raw)};
}

Task<std::optional<DisplayName>> Federation::resolve(Run& run, Kind kind) {
  const std::string shown(run.params.name);
  const bool is_prefixed = selection_.naming == Naming::always;
  if (is_prefixed && !looks_cut(shown)) co_return find_prefixed(shown);
  std::optional<DisplayName> found = find_name(kind, shown);
  if (!found && may_learn(run, list_of(kind))) {
    auto learning = learn(run, {list_of(kind)});
    co_await learning;
    found = find_name(kind, shown);
  }
  if (!found && is_prefixed) found = find_prefixed(shown);
  co_return found;
}

Task<Answer> Federation::to_named(Run& run, Kind kind) {
  auto resolving = resolve(run, kind);
  const std::optional<DisplayName> found = co_await resolving;
  // The same words for what is not there, not selected and out of reach.
  if (!found || !selected(kind, found->upstream, found->raw)) {
    co_return run.refuse(kind == Kind::tools ? Code::tool_not_in_scope : Code::prompt_not_in_scope);
  }
  const json::Value params = *run.params.params;
  const std::string raw = json::quote(found->raw);
  std::string renamed;
  if (run.method == Method::completion_complete) {
    renamed =
        mcp::replace_member(params, "ref", mcp::replace_member(*params.find("ref"), "name", raw));
  } else {
    renamed = mcp::replace_member(params, "name", raw);
  }
  auto asking = to_one(run, *route_to(found->upstream), std::move(renamed));
  co_return co_await asking;
}

// --- resources and tasks
// ----------------------------------------------------------------------------------

const Route* Federation::find_listed(Method method, std::string_view key) const {
  const std::lock_guard lock(mutex_);
  const auto learned = learned_.find(method);
  if (learned == learned_.end()) return nullptr;
  const auto found = std::ranges::find_if(routes_, [&](const Route& route) {
    const auto keys = learned->second.by_upstream.find(route.upstream->id());
    return keys != learned->second.by_upstream.end() && keys->second.contains(key);
  });
  return found == routes_.end() ? nullptr : &*found;
}

const Route* Federation::find_exact(std::string_view uri) const {
  const Route* route = find_listed(Method::resources_list, uri);
  return route != nullptr ? route : find_listed(Method::resources_templates_list, uri);
}

const Route* Federation::find_template(std::string_view uri) const {
  const std::lock_guard lock(mutex_);
  const auto learned = learned_.find(Method::resources_templates_list);
  if (learned == learned_.end()) return nullptr;
  const Route* best = nullptr;
  std::size_t most = 0;
  for (const Route& route : routes_) {
    const auto keys = learned->second.by_upstream.find(route.upstream->id());
    if (keys == learned->second.by_upstream.end()) continue;
    for (const std::string& each : keys->second.in_order()) {
      const std::string_view prefix = literal_prefix(each);
      if (!uri.starts_with(prefix) || (best != nullptr && prefix.size() <= most)) continue;
      best = &route;
      most = prefix.size();
    }
  }
  return best;
}

Task<Answer> Federation::to_resource(Run& run) {
  const std::string uri(run.params.uri);
  const Route* route = find_exact(uri);
  // A template does not take what another upstream may have listed.
  if (route == nullptr && last_asked(Method::resources_list)) route = find_template(uri);
  if (route == nullptr && may_learn(run, Method::resources_list)) {
    auto learning = learn(run, {Method::resources_list, Method::resources_templates_list});
    co_await learning;
    route = find_exact(uri);
    if (route == nullptr) route = find_template(uri);
  }
  if (route == nullptr) co_return run.refuse(Code::resource_not_in_scope);
  auto asking = to_one(run, *route, std::string(run.params.params->source()));
  co_return co_await asking;
}

std::vector<const Route*> Federation::find_task(std::string_view task) const {
  const std::lock_guard lock(mutex_);
  std::vector<const Route*> out;
  const auto learned = learned_.find(Method::tasks_list);
  if (learned == learned_.end()) return out;
  for (const Route& route : routes_) {
    const auto keys = learned->second.by_upstream.find(route.upstream->id());
    if (keys != learned->second.by_upstream.end() && keys->second.contains(task)) {
      out.push_back(&route);
    }
  }
  return out;
}

Task<Answer> Federation::to_task(Run& run) {
  const std::string task(run.params.task_id);
  std::vector<const Route*> routes = find_task(task);
  if (routes.empty() && may_learn(run, Method::tasks_list)) {
    auto learning = learn(run, {Method::tasks_list});
    co_await learning;
    routes = find_task(task);
  }
  if (routes.empty()) co_return run.refuse(Code::task_unknown);
  // To cancel the wrong one could not be undone.
  if (routes.size() > 1) co_return run.refuse(Code::name_ambiguous);
  auto asking = to_one(run, *routes.front(), std::string(run.params.params->source()));
  co_return co_await asking;
}

}  // namespace zwinger::gateway
