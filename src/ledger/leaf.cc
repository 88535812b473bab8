#include "ledger/leaf.h"

#include <fmt/format.h>

#include <array>
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

class Members {
 public:
  Members(std::size_t limit, bool with_lists) : limit_(limit), with_lists_(with_lists) {
    writer_.begin_object();
  }

  void text(std::string_view member, std::string_view value) {
    if (value.empty()) return;
    const std::string_view shown = cut(value, limit_);
    writer_.key(member).string(shown);
    if (shown.size() < value.size()) {
      writer_.key(std::string(member) + "_len").unsigned_integer(value.size());
    }
  }
  void number(std::string_view member, std::uint64_t value, bool always = false) {
    if (value != 0 || always) writer_.key(member).unsigned_integer(value);
  }
  // What is dropped first when a leaf is too long.
  void at_and_rules(const Leaf& leaf) {
    if (!with_lists_) return;
    text("at", leaf.at);
    if (leaf.rules.empty()) return;
    writer_.key("rules").begin_array();
    for (const std::string& rule : leaf.rules) {
      const std::string_view shown = cut(rule, limit_);
      was_cut_ = was_cut_ || shown.size() < rule.size();
      writer_.string(shown);
    }
    writer_.end_array();
  }
  std::string finish() && {
    if (was_cut_ || !with_lists_) writer_.key("cut").boolean(true);
    writer_.end_object();
    return std::move(writer_).take();
  }

 private:
  json::Writer writer_;
  std::size_t limit_;
  bool with_lists_;
  bool was_cut_ = false;
};

std::string render(const Leaf& leaf, std::size_t limit, bool with_lists) {
  Members members(limit, with_lists);
  members.text("kind", to_string(leaf.kind));
  members.text("call", leaf.call);
  members.text("generation", leaf.generation);
  members.text("issuer", leaf.issuer);
  members.text("tenant", leaf.tenant);
  members.text("subject", leaf.subject);
  members.text("session", leaf.session);
  members.text("proof", leaf.proof);
  members.text("transport", leaf.transport);
  members.text("method", leaf.method);
  members.text("upstream", leaf.upstream);
  members.text("tool", leaf.tool);
  members.number("request_bytes", leaf.request_bytes, leaf.kind == LeafKind::decision);
  members.text("verdict", leaf.verdict);
  members.text("reason", leaf.reason);
  members.text("stage", leaf.stage);
  members.at_and_rules(leaf);
  members.text("forward_sha256", leaf.forward_sha256);
  members.text("status", leaf.status);
  members.number("answer_bytes", leaf.answer_bytes, leaf.kind == LeafKind::outcome);
  members.text("answer_sha256", leaf.answer_sha256);
  members.number("duration_us", leaf.duration_us, leaf.kind == LeafKind::outcome);
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
  std::string out = render(leaf, kMaxName, true);
  // A byte may take six as an escape. At 8 bytes a text, even all of them together fit.
  for (std::size_t limit = kMaxName; out.size() > kMaxMembers && limit >= 8; limit /= 2) {
    out = render(leaf, limit, false);
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
