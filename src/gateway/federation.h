// Several upstreams behind one URL: which upstream a request means, and how their answers become
// one. Each upstream's share is an exchange of its own, judged and recorded like any other.
//
// Tools and prompts have display names (Naming); a name leads to an identity (upstream, raw name)
// only through what the upstreams listed, or through its prefix. Resources keep their URIs; which
// upstream has one is learned from lists and templates, the first in order where two do. An
// upstream that does not answer in time is left out of a list and named in its `_meta`; all others
// go on.
//
// One for each session, or for a request without one. Thread-safe.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/task.h"
#include "gateway/exchange.h"
#include "gateway/pipeline.h"
#include "json/json.h"
#include "mcp/envelope.h"

namespace zwinger::gateway {

// A client's request before it is known which upstream it concerns.
struct FrontRequest {
  net::Loop& loop;
  mcp::Message message;
  Monotonic began;
  std::shared_ptr<const Generation> generation;
  std::shared_ptr<const identity::Authenticated> who;
  std::string_view transport;
  std::string peer;
  std::string call_id;
  std::shared_ptr<Session> session;
  std::shared_ptr<Cancellation> cancellation = std::make_shared<Cancellation>();
  std::shared_ptr<ClientStream> stream;
};
// The exchange with one upstream that it becomes; `message` is moved out of it.
[[nodiscard]] Exchange make_exchange(FrontRequest& request, Route route);

// What a tool or prompt is called towards clients, and what it is.
struct DisplayName {
  std::string shown;
  std::string upstream;
  std::string raw;
};
inline constexpr std::size_t kMaxShownName = 64;
// Display names of what the upstreams list, in that order. A name over kMaxShownName characters is
// cut and ends in "_" and 8 hex digits of its identity's SHA-256. No two are alike: of two that
// would be, the later is left out.
[[nodiscard]] std::vector<DisplayName> display_names(
    const std::vector<std::pair<std::string, std::vector<std::string>>>& by_upstream,
    Naming naming);

class Federation {
 public:
  Federation(std::vector<Route> routes, VirtualServer selection);

  // `call_id` of the whole; its shares have "<call id>.<n>".
  Task<Answer> run(Pipeline& pipeline, FrontRequest& request);

 private:
  struct Run;      // a client's request on its way
  struct Ended;    // how a share ended
  struct Listing;  // what one upstream lists
  enum class Kind : std::uint8_t { tools, prompts };

  // What one upstream has listed, in its order. Bounded, because the upstream chooses it.
  class Keys {
   public:
    static constexpr std::size_t kMost = 10'000;
    static constexpr std::size_t kMostBytes = std::size_t{1} << 20U;

    // False where there is no room. No effect for one that is there.
    bool add(std::string_view key);
    void drop_oldest();
    [[nodiscard]] bool contains(std::string_view key) const { return known_.contains(key); }
    [[nodiscard]] const std::deque<std::string>& in_order() const { return order_; }

   private:
    std::deque<std::string> order_;
    std::set<std::string, std::less<>> known_;
    std::size_t bytes_ = 0;
  };
  // What all upstreams have listed under one method.
  struct Learned {
    std::map<std::string, Keys, std::less<>> by_upstream;
    std::optional<Monotonic> asked;                            // when all pages were last asked for
    std::map<std::string, DisplayName, std::less<>> by_shown;  // tools and prompts
    std::map<std::string, std::string, std::less<>> shown;     // the same by "upstream/raw"
  };

  static constexpr std::size_t kMaxPages = 50;  // of one upstream, to learn from
  // What nobody knows is looked for at most this often, so that asking for nonsense is no lever.
  static constexpr std::chrono::seconds kLearnPause{1};

  Task<Answer> dispatch(Run& run);
  Task<Answer> initialize(Run& run);
  Task<Answer> list(Run& run);
  Task<Answer> to_named(Run& run, Kind kind);
  Task<Answer> to_resource(Run& run);
  Task<Answer> to_task(Run& run);
  Task<Answer> to_all(Run& run);
  // The request with these params, as the business of one upstream: with its events, and cancelled
  // when the client cancels.
  Task<Answer> to_one(Run& run, const Route& route, std::string params);
  enum class Share : std::uint8_t { whole, part };
  // One upstream's exchange. `run`, `route` and `out` must outlive the task.
  Task<void> share(Run& run, const Route& route, std::string message, Share kind, Ended& out);
  // The request as it is to all upstreams, side by side; in the order of routes_.
  Task<std::vector<Ended>> ask_all(Run& run);
  Task<void> read_pages(Run& run, Listing& listing, std::size_t most);
  Task<void> read_lists(Run& run, std::vector<Listing>& lists, std::size_t most);
  // Lists all pages of all upstreams and learns from them.
  Task<void> learn(Run& run, std::vector<mcp::Method> methods);

  // Where to begin; nothing for a cursor that is none of ours.
  [[nodiscard]] std::optional<std::vector<Listing>> begin_lists(const Run& run) const;

  [[nodiscard]] Answer merge_initialize(const Run& run, const std::vector<Ended>& ended) const;
  [[nodiscard]] Answer merge_lists(const Run& run, const std::vector<Listing>& lists) const;
  // The entry as the client sees it; nothing where it does not. `seen` are the names so far.
  [[nodiscard]] std::optional<std::string> entry_for_client(const Listing& list,
                                                            const mcp::ListShape& shape,
                                                            json::Value entry,
                                                            std::set<std::string>& seen) const;

  // `asked` is when all pages had been asked for.
  void take(mcp::Method method, const std::vector<Listing>& lists, std::optional<Monotonic> asked);
  void take_task(std::string_view upstream, std::string_view task);
  void name_all(Learned& learned) const;  // with the lock held
  [[nodiscard]] std::optional<Monotonic> last_asked(mcp::Method method) const;
  [[nodiscard]] bool may_learn(const Run& run, mcp::Method method) const;

  [[nodiscard]] static mcp::Method list_of(Kind kind) {
    return kind == Kind::tools ? mcp::Method::tools_list : mcp::Method::prompts_list;
  }
  // What the request's name means.
  Task<std::optional<DisplayName>> resolve(Run& run, Kind kind);
  [[nodiscard]] std::optional<DisplayName> find_name(Kind kind, std::string_view shown) const;
  [[nodiscard]] std::optional<DisplayName> find_prefixed(std::string_view shown) const;
  [[nodiscard]] std::optional<std::string> shown_name(Kind kind, std::string_view upstream,
                                                      std::string_view raw) const;
  [[nodiscard]] bool selected(Kind kind, std::string_view upstream, std::string_view raw) const;
  [[nodiscard]] const Route* route_to(std::string_view upstream) const;
  // The first in order that listed exactly this.
  [[nodiscard]] const Route* find_listed(mcp::Method method, std::string_view key) const;
  [[nodiscard]] const Route* find_exact(std::string_view uri) const;  // or as a template's text
  // The one whose template's literal beginning is the longest that fits.
  [[nodiscard]] const Route* find_template(std::string_view uri) const;
  [[nodiscard]] std::vector<const Route*> find_task(std::string_view task) const;

  const std::vector<Route> routes_;
  const VirtualServer selection_;
  mutable std::mutex mutex_;
  std::map<mcp::Method, Learned> learned_;  // by the method that lists
};

}  // namespace zwinger::gateway
