#include "gateway/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/verdict.h"
#include "gateway/stages.h"
#include "identity/principal.h"
#include "json/json.h"
#include "json/writer.h"
#include "mcp/revision.h"
#include "state/store.h"

namespace zwinger::gateway {

namespace {

// Recorded answers may be as large as upstreams may be configured to send.
constexpr json::Limits kLineLimits{.max_bytes = std::size_t{64} << 20U};

constexpr std::string_view kIdentityStage = "identity";
constexpr std::string_view kRouteStage = "route";
constexpr std::string_view kGrantStage = "grant";
constexpr std::string_view kStateStage = "state";
constexpr std::string_view kReturnStage = "return";

std::unexpected<Error> malformed(std::string message) {
  return fail(Code::mcp_params, std::move(message));
}

Result<json::Value> member(json::Value line, std::string_view name, json::Kind kind) {
  const auto found = line.find(name);
  if (!found) return malformed(fmt::format("the member '{}' is missing", name));
  if (found->kind() != kind) {
    return malformed(fmt::format("'{}' must be of kind {}", name, json::to_string(kind)));
  }
  return *found;
}

Result<std::string_view> string_member(json::Value line, std::string_view name) {
  ZWINGER_TRY(const json::Value value, member(line, name, json::Kind::string));
  if (value.string().empty()) return malformed(fmt::format("'{}' is empty", name));
  return value.string();
}

// One line of output before it is text.
struct Line {
  std::string id;
  std::string_view phase;
  Verdict verdict;
  std::string_view stage;
};

std::string to_json(const Line& line, std::string_view file) {
  json::Writer out;
  out.begin_object();
  out.key("id").string(line.id);
  out.key("phase").string(line.phase);
  out.key("verdict").string(to_string(line.verdict.decision));
  out.key("reason").string(line.verdict.reason_name());
  out.key("stage").string(line.stage);
  out.key("rules").begin_array();
  for (const std::string& rule : line.verdict.rules) out.string(rule);
  out.end_array();
  if (!file.empty()) out.key("file").string(file);
  return std::move(out.end_object()).take();
}

}  // namespace

class Replay::Impl {
 public:
  Impl(const Policy* policy, UnixSeconds now)
      : policy_(policy),
        roles_(policy != nullptr ? policy->roles : grant::RoleTable(grant::RolesDoNotRestrict{})),
        start_(now),
        counters_(state::make_memory_store()) {}

  Result<std::vector<Line>> take(std::string_view text) {
    ZWINGER_TRY(json::Document document, json::Document::parse(std::string(text), kLineLimits));
    const json::Value line = document.root();
    if (!line.is_object()) return malformed("a line must be a JSON object");
    ZWINGER_TRY(const std::string_view type, string_member(line, "type"));
    if (type == "grant") return take_grant(line);
    if (type == "tools") return take_tools(line);
    if (type == "call") return take_call(line);
    if (type == "result") return take_result(line);
    return malformed("'type' is not one of grant, tools, call, result");
  }

 private:
  struct Holder {
    std::optional<UnixSeconds> issued;
    Result<identity::Authenticated> who;  // or why it is nobody
  };

  Result<void> take_time(json::Value line) {
    const auto at = line.find("at");
    if (!at) return {};
    const auto seconds = at->is_number() ? at->integer() : std::nullopt;
    if (!seconds || *seconds < 0) return malformed("'at' must be whole Unix seconds");
    latest_at_ = std::max(latest_at_.value_or(0), *seconds);
    return {};
  }

  Result<std::vector<Line>> take_grant(json::Value line) {
    ZWINGER_TRY(const json::Value claims, member(line, "claims", json::Kind::object));
    const auto issued = claims.find("iat");
    holder_.emplace(
        Holder{.issued = issued && issued->is_number() ? issued->integer() : std::nullopt,
               .who = identity::read_claims(claims, identity::Proof::replay)});
    return std::vector<Line>{};
  }

  Result<std::vector<Line>> take_tools(json::Value line) {
    ZWINGER_TRY(const std::string_view upstream, string_member(line, "upstream"));
    ZWINGER_TRY(const json::Value tools, member(line, "tools", json::Kind::array));
    std::vector<std::string_view> names;
    for (const json::Value tool : tools.children()) {
      if (!tool.is_object()) return malformed("each of 'tools' must be an object");
      ZWINGER_TRY(const std::string_view name, string_member(tool, "name"));
      names.push_back(name);
    }
    const Judged list = judge_list(upstream);
    std::vector<Line> out;
    for (const std::string_view name : names) {
      auto [verdict, stage] = list.verdict.allowed() ? judge_tool(upstream, name) : list;
      out.push_back({.id = fmt::format("{}/{}", upstream, name),
                     .phase = "tools",
                     .verdict = std::move(verdict),
                     .stage = stage});
    }
    return out;
  }

  Result<std::vector<Line>> take_call(json::Value line) {
    ZWINGER_CHECK_OK(take_time(line));
    ZWINGER_TRY(const std::string_view id, string_member(line, "id"));
    ZWINGER_TRY(const std::string_view upstream, string_member(line, "upstream"));
    ZWINGER_TRY(const std::string_view tool, string_member(line, "tool"));
    std::optional<json::Value> arguments;
    if (line.find("arguments")) {
      ZWINGER_TRY(arguments, member(line, "arguments", json::Kind::object));
    }
    const auto [call, is_new] = calls_.try_emplace(std::string(id), Call::denied);
    if (!is_new) return malformed("a call with this id came before");

    auto [verdict, stage] = judge_call(upstream, tool, arguments);
    if (verdict.allowed()) call->second = Call::passed;
    return std::vector<Line>{
        {.id = std::string(id), .phase = "call", .verdict = std::move(verdict), .stage = stage}};
  }

  Result<std::vector<Line>> take_result(json::Value line) {
    ZWINGER_TRY(const std::string_view id, string_member(line, "id"));
    ZWINGER_CHECK_OK(member(line, "result", json::Kind::object));
    const auto call = calls_.find(std::string(id));
    if (call == calls_.end()) return malformed("no call with this id came before");
    if (call->second == Call::answered) return malformed("this call was answered before");
    if (call->second == Call::denied) return std::vector<Line>{};
    call->second = Call::answered;
    // No stage of this build looks at what an upstream answers.
    return std::vector<Line>{{.id = std::string(id),
                              .phase = "result",
                              .verdict = Verdict::allow(),
                              .stage = kReturnStage}};
  }

  struct Judged {
    Verdict verdict;
    std::string_view stage;
  };

  Judged judge_list(std::string_view upstream) {
    Question list;
    list.method = mcp::Method::tools_list;
    list.upstream = upstream;
    return judge_question(list);
  }
  Judged judge_call(std::string_view upstream, std::string_view tool,
                    std::optional<json::Value> arguments) {
    Question call;
    call.method = mcp::Method::tools_call;
    call.upstream = upstream;
    call.name = tool;
    call.arguments = arguments;
    return judge_question(call);
  }
  // After judge_list() allowed.
  [[nodiscard]] Judged judge_tool(std::string_view upstream, std::string_view name) const {
    const auto here = approach(upstream);
    if (!here) return here.error();
    Question list;
    list.who = here->who;
    list.method = mcp::Method::tools_list;
    list.upstream = upstream;
    list.vertical = here->vertical;
    list.now = now();
    return {.verdict = judge_listed(roles_, list, name), .stage = kGrantStage};
  }

  // `question` lacks who asks, where, and when.
  Judged judge_question(Question question) {
    const auto here = approach(question.upstream);
    if (!here) return here.error();
    question.who = here->who;
    question.vertical = here->vertical;
    question.now = now();
    Judgement judgement = judge(roles_, question);
    if (judgement.verdict.allowed() && judgement.must_reserve) {
      if (const auto taken = state::reserve(*counters_, *judgement.must_reserve); !taken) {
        return {.verdict = Verdict::deny(taken.error().code), .stage = kStateStage};
      }
    }
    return {.verdict = std::move(judgement.verdict), .stage = judgement.stage};
  }

  struct Approach {
    const identity::Authenticated* who;
    std::string_view vertical;
  };

  // What stands before judge(): who asks, and which upstream.
  [[nodiscard]] std::expected<Approach, Judged> approach(std::string_view upstream) const {
    const auto refuse = [](std::string_view stage, Verdict verdict) {
      return std::unexpected(Judged{.verdict = std::move(verdict), .stage = stage});
    };
    if (!holder_) return refuse(kIdentityStage, Verdict::deny(Code::grant_missing));
    if (!holder_->who) return refuse(kIdentityStage, Verdict::deny(holder_->who.error()));
    if (const auto valid = identity::check_time(holder_->who->principal, now()); !valid) {
      return refuse(kIdentityStage, Verdict::deny(valid.error()));
    }
    const auto vertical = vertical_of(upstream);
    if (!vertical) return refuse(kRouteStage, Verdict::deny(Code::upstream_unknown));
    return Approach{.who = &*holder_->who, .vertical = *vertical};
  }

  [[nodiscard]] std::optional<std::string_view> vertical_of(std::string_view upstream) const {
    if (policy_ != nullptr) return policy_->vertical_of(upstream);
    if (!is_upstream_id(upstream)) return std::nullopt;  // no configuration could have it
    return grant::kSharedVertical;
  }

  // The latest `at` of the session, else when the grant was issued, else now.
  [[nodiscard]] UnixSeconds now() const {
    if (latest_at_) return *latest_at_;
    if (holder_ && holder_->issued) return *holder_->issued;
    return start_;
  }

  enum class Call : std::uint8_t { denied, passed, answered };

  const Policy* policy_;
  grant::RoleTable roles_;
  UnixSeconds start_;
  std::unique_ptr<state::Store> counters_;
  std::optional<UnixSeconds> latest_at_;
  std::optional<Holder> holder_;  // the grant line before; nothing before the first
  std::unordered_map<std::string, Call> calls_;
};

Replay::Replay(const Policy* policy, UnixSeconds now)
    : impl_(std::make_unique<Impl>(policy, now)) {}
Replay::~Replay() = default;

Result<std::vector<std::string>> Replay::take_line(std::string_view line, std::string_view file) {
  std::vector<std::string> out;
  if (line.find_first_not_of(" \t\r") == std::string_view::npos) return out;
  ZWINGER_TRY(const std::vector<Line> lines, impl_->take(line));
  out.reserve(lines.size());
  for (const Line& each : lines) out.push_back(to_json(each, file));
  return out;
}

}  // namespace zwinger::gateway
