#include "ledger/leaf.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "json/writer.h"

namespace zwinger::ledger {

namespace {

// {"seq":18446744073709551615,"time":"2026-11-23T10:00:00.000000Z", is 65 bytes; the members' own
// brace goes.
constexpr std::size_t kMaxMembers = kMaxLeaf - 65 + 1;

// At most `limit` bytes of text, and no part of a UTF-8 sequence at the end.
std::string_view cut(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return text;
  const auto continues = [&](std::size_t i) {
    return (static_cast<unsigned char>(text[i]) & 0xc0U) == 0x80U;
  };
  std::size_t end = limit;
  for (int back = 0; back < 3 && end > 0 && continues(end); ++back) --end;
  return text.substr(0, continues(end) ? limit : end);
}

// How much of a leaf is written. Each line of kDetails is shorter than the one before.
struct Detail {
  std::size_t limit;  // of a text
  std::size_t actors = kMaxActors;
  bool arguments = true;
  bool stages = true;
  bool lists = true;  // rules and `at`
};
constexpr std::size_t kFewActors = 4;
// A byte may take six as an escape. At 8 bytes a text, even all of them together fit.
constexpr std::array<Detail, 9> kDetails = {{
    {.limit = kMaxName},
    {.limit = kMaxName, .arguments = false},
    {.limit = kMaxName, .arguments = false, .stages = false},
    {.limit = kMaxName, .actors = kFewActors, .arguments = false, .stages = false, .lists = false},
    {.limit = 128, .actors = kFewActors, .arguments = false, .stages = false, .lists = false},
    {.limit = 64, .actors = kFewActors, .arguments = false, .stages = false, .lists = false},
    {.limit = 32, .actors = kFewActors, .arguments = false, .stages = false, .lists = false},
    {.limit = 16, .actors = kFewActors, .arguments = false, .stages = false, .lists = false},
    {.limit = 8, .actors = kFewActors, .arguments = false, .stages = false, .lists = false},
}};

class Members {
 public:
  explicit Members(const Detail& detail) : detail_(detail) { writer_.begin_object(); }

  void text(std::string_view member, std::string_view value) {
    if (value.empty()) return;
    const std::string_view shown = cut(value, detail_.limit);
    writer_.key(member).string(shown);
    if (shown.size() < value.size()) {
      writer_.key(std::string(member) + "_len").unsigned_integer(value.size());
    }
  }
  void number(std::string_view member, std::uint64_t value, bool always = false) {
    if (value != 0 || always) writer_.key(member).unsigned_integer(value);
  }
  void actors(const Leaf& leaf) {
    list("actors", std::span(leaf.actors).first(std::min(leaf.actors.size(), detail_.actors)));
    if (leaf.actors.size() > detail_.actors) {
      number("actors_more", leaf.actors.size() - detail_.actors);
    }
  }
  void arguments(const Leaf& leaf) {
    std::uint64_t more = leaf.arguments_more;
    if (detail_.arguments && !leaf.arguments.empty()) {
      writer_.key("args").begin_array();
      for (const ArgumentTrace& argument : leaf.arguments) write(argument);
      writer_.end_array();
    } else {
      for (const ArgumentTrace& argument : leaf.arguments) more += argument.times + argument.more;
      was_cut_ = was_cut_ || !leaf.arguments.empty();
    }
    number("args_more", more);
  }
  void at_and_rules(const Leaf& leaf) {
    if (!detail_.lists) {
      was_cut_ = true;
      return;
    }
    text("at", leaf.at);
    list("rules", leaf.rules);
  }
  void stages(const Leaf& leaf) {
    if (leaf.stages_us.empty()) return;
    if (!detail_.stages) {
      was_cut_ = true;
      return;
    }
    // Times of one stage are added up: no member may come twice.
    std::vector<std::pair<std::string_view, std::uint64_t>> sums;
    for (const auto& [stage, us] : leaf.stages_us) {
      const auto found =
          std::ranges::find(sums, stage, &std::pair<std::string_view, std::uint64_t>::first);
      if (found == sums.end()) {
        sums.emplace_back(stage, us);
      } else {
        found->second += us;
      }
    }
    writer_.key("stages_us").begin_object();
    for (const auto& [stage, us] : sums) writer_.key(stage).unsigned_integer(us);
    writer_.end_object();
  }
  std::string finish() && {
    if (was_cut_) writer_.key("cut").boolean(true);
    writer_.end_object();
    return std::move(writer_).take();
  }

 private:
  void list(std::string_view member, std::span<const std::string> texts) {
    if (texts.empty()) return;
    writer_.key(member).begin_array();
    for (const std::string& one : texts) {
      const std::string_view shown = cut(one, detail_.limit);
      was_cut_ = was_cut_ || shown.size() < one.size();
      writer_.string(shown);
    }
    writer_.end_array();
  }
  // Never cut: what makes these keeps them short.
  void write(const ArgumentTrace& argument) {
    const auto word = [this](std::string_view member, std::string_view value) {
      if (!value.empty()) writer_.key(member).string(value);
    };
    writer_.begin_object().key("p").string(argument.pointer);
    word("t", argument.type);
    if (argument.type == "string" || argument.type == "array" || argument.type == "object") {
      number("n", argument.size, true);
    }
    word("c", argument.shape);
    word("host", argument.host);
    word("top", argument.top);
    if (argument.shape == "path") number("depth", argument.depth, true);
    word("h", argument.digest);
    if (argument.times != 1) number("times", argument.times);
    number("more", argument.more);
    writer_.end_object();
  }

  json::Writer writer_;
  const Detail& detail_;
  bool was_cut_ = false;
};

std::string render(const Leaf& leaf, const Detail& detail) {
  Members members(detail);
  members.text("kind", to_string(leaf.kind));
  members.text("call", leaf.call);
  members.text("generation", leaf.generation);
  members.text("issuer", leaf.issuer);
  members.text("tenant", leaf.tenant);
  members.text("subject", leaf.subject);
  members.actors(leaf);
  members.text("session", leaf.session);
  members.text("proof", leaf.proof);
  members.text("peer", leaf.peer);
  members.text("transport", leaf.transport);
  members.text("direction", leaf.direction);
  members.text("method", leaf.method);
  members.text("upstream", leaf.upstream);
  members.text("tool", leaf.tool);
  members.text("prompt", leaf.prompt);
  members.text("resource_scheme", leaf.resource_scheme);
  members.text("resource_host", leaf.resource_host);
  members.text("resource_h", leaf.resource_digest);
  members.number("request_bytes", leaf.request_bytes, leaf.kind == LeafKind::decision);
  members.arguments(leaf);
  members.text("verdict", leaf.verdict);
  members.text("reason", leaf.reason);
  members.text("stage", leaf.stage);
  members.at_and_rules(leaf);
  members.text("forward_sha256", leaf.forward_sha256);
  members.text("status", leaf.status);
  members.number("answer_bytes", leaf.answer_bytes, leaf.kind == LeafKind::outcome);
  members.text("answer_sha256", leaf.answer_sha256);
  members.number("duration_us", leaf.duration_us, leaf.kind == LeafKind::outcome);
  members.stages(leaf);
  members.number("progress_events", leaf.progress_events);
  members.number("progress_bytes", leaf.progress_bytes);
  members.text("progress_sha256", leaf.progress_sha256);
  members.text("event", leaf.event);
  members.number("count", leaf.count);
  return std::move(members).finish();
}

}  // namespace

std::string_view to_string(LeafKind kind) {
  switch (kind) {
    case LeafKind::boot:
      return "boot";
    case LeafKind::decision:
      return "decision";
    case LeafKind::outcome:
      return "outcome";
    case LeafKind::notice:
      return "notice";
    case LeafKind::stop:
      return "stop";
  }
  return "notice";
}

std::string render_members(const Leaf& leaf) {
  std::string out;
  for (const Detail& detail : kDetails) {
    out = render(leaf, detail);
    if (out.size() <= kMaxMembers) break;
  }
  return out;
}

std::string complete(std::string_view members, std::uint64_t sequence,
                     std::chrono::system_clock::time_point time) {
  return fmt::format(R"({{"seq":{},"time":"{}",{})", sequence, format_time(time),
                     members.substr(1));
}

std::string to_json(const Leaf& leaf, std::uint64_t sequence,
                    std::chrono::system_clock::time_point time) {
  return complete(render_members(leaf), sequence, time);
}

std::string format_time(std::chrono::system_clock::time_point time) {
  using std::chrono::floor;
  const auto day = floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(floor<std::chrono::microseconds>(time - day));
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                     clock.subseconds().count());
}

}  // namespace zwinger::ledger
