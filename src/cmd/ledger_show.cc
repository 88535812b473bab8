// `zwinger ledger show`: the record, one row a call.
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <ostream>
#include <unordered_map>

#include "cmd/command.h"
#include "json/json.h"
#include "ledger/reader.h"

namespace zwinger::cmd {

namespace {

namespace fs = std::filesystem;

struct Arguments {
  std::string policy;
  std::string state;
  std::string call;
  std::optional<std::int64_t> last;
  bool json = false;
};

std::string text_of(json::Value leaf, std::string_view member) {
  const auto found = leaf.find(member);
  return found && found->is_string() ? std::string(found->string()) : std::string();
}

std::optional<std::int64_t> number_of(json::Value leaf, std::string_view member) {
  const auto found = leaf.find(member);
  return found && found->is_number() ? found->integer() : std::nullopt;
}

struct Row {
  std::string time, call, who, what, verdict, reason, status, milliseconds;
};

// Leaves to rows: an outcome joins the row of its decision.
class Table {
 public:
  void take(json::Value leaf) {
    const std::string kind = text_of(leaf, "kind");
    const std::string call = text_of(leaf, "call");
    if (kind == "outcome") {
      const auto decided = open_.find(call);
      Row& row = decided != open_.end() ? rows_[decided->second] : add(leaf, call);
      row.status = text_of(leaf, "status");
      // The decision said ok; what went wrong afterwards is the outcome's to say.
      if (std::string reason = text_of(leaf, "reason"); !reason.empty())
        row.reason = std::move(reason);
      if (const auto us = number_of(leaf, "duration_us")) {
        row.milliseconds = fmt::format("{}.{:03}", *us / 1000, *us % 1000);
      }
      if (decided != open_.end()) open_.erase(decided);
      return;
    }
    Row& row = add(leaf, call);
    if (kind == "decision") {
      open_.emplace(call, rows_.size() - 1);
    } else {
      const auto count = number_of(leaf, "count");
      row.verdict = kind;
      row.status = text_of(leaf, "event");
      if (count && *count > 1) row.status += fmt::format(" x{}", *count);
    }
  }
  [[nodiscard]] const std::vector<Row>& rows() const { return rows_; }

 private:
  Row& add(json::Value leaf, const std::string& call) {
    const std::string upstream = text_of(leaf, "upstream");
    const std::string tool = text_of(leaf, "tool");
    rows_.push_back({.time = text_of(leaf, "time"),
                     .call = call,
                     .who = text_of(leaf, "subject"),
                     .what = tool.empty()
                                 ? fmt::format("{}{}{}", upstream, upstream.empty() ? "" : " ",
                                               text_of(leaf, "method"))
                                 : fmt::format("{}/{}", upstream, tool),
                     .verdict = text_of(leaf, "verdict"),
                     .reason = text_of(leaf, "reason"),
                     .status = {},
                     .milliseconds = {}});
    return rows_.back();
  }

  std::vector<Row> rows_;
  std::unordered_map<std::string, std::size_t>
      open_;  // call id -> row of a decision without outcome
};

std::string render(std::span<const Row> rows) {
  static constexpr std::array kColumns = {&Row::time,   &Row::call,        &Row::who,
                                          &Row::what,   &Row::verdict,     &Row::reason,
                                          &Row::status, &Row::milliseconds};
  const Row titles{.time = "time",
                   .call = "call",
                   .who = "who",
                   .what = "upstream/tool",
                   .verdict = "verdict",
                   .reason = "reason",
                   .status = "status",
                   .milliseconds = "ms"};
  const auto cell = [](const Row& row, std::string Row::* column) {
    const std::string text = printable(row.*column);
    return text.empty() ? std::string("-") : text;
  };
  std::array<std::size_t, kColumns.size()> widths{};
  const auto measure = [&](const Row& row) {
    for (std::size_t i = 0; i < widths.size(); ++i)
      widths.at(i) = std::max(widths.at(i), cell(row, kColumns.at(i)).size());
  };
  measure(titles);
  for (const Row& row : rows) measure(row);
  std::string out;
  const auto print = [&](const Row& row) {
    std::string line;
    for (std::size_t i = 0; i < widths.size(); ++i)
      line += fmt::format("{:<{}}  ", cell(row, kColumns.at(i)), widths.at(i));
    line.resize(line.find_last_not_of(' ') + 1);
    std::ranges::replace(line, '\n', ' ');
    out += line + "\n";
  };
  print(titles);
  for (const Row& row : rows) print(row);
  return out;
}

Result<fs::path> ledger_folder(const Arguments& arguments, Context& context) {
  if (!arguments.state.empty()) return fs::path(arguments.state) / "ledger";
  ZWINGER_TRY(const fs::path directory, policy_directory(context, arguments.policy));
  std::error_code ec;
  if (arguments.policy.empty() && !fs::exists(directory, ec)) {  // who only wraps has no policy
    ZWINGER_TRY(const fs::path state, state_folder(context));
    if (fs::exists(state / "ledger", ec)) return state / "ledger";
  }
  const auto policy = gateway::load_policy(directory, gateway::KeySets::not_needed);
  if (policy) return policy->state_dir / "ledger";
  Error error = policy.error().front();
  error.message += "; --state DIR reads a record without its policy";
  return std::unexpected(std::move(error));
}

int run(const Arguments& arguments, Context& context) {
  if (!arguments.policy.empty() && !arguments.state.empty()) {
    return usage_error(context, "choose one of --policy and --state");
  }
  const Result<fs::path> folder = ledger_folder(arguments, context);
  if (!folder) return report(context, folder.error(), kUsage);
  const auto segments = ledger::list_segments(*folder);
  if (!segments) return report(context, segments.error(), kUsage);

  Table table;
  std::deque<std::string> lines;
  const std::size_t last = arguments.last ? static_cast<std::size_t>(*arguments.last) : SIZE_MAX;
  bool damaged = false;
  for (const fs::path& segment : *segments) {
    const auto read = ledger::read_segment(segment, [&](std::string_view json) {
      const auto leaf = json::Document::parse(std::string(json));
      if (!leaf || !leaf->root().is_object()) return true;  // the reader took it as a leaf already
      if (!arguments.call.empty() && text_of(leaf->root(), "call") != arguments.call) return true;
      if (arguments.json) {
        lines.emplace_back(json);
        if (lines.size() > last) lines.pop_front();
      } else {
        table.take(leaf->root());
      }
      return true;
    });
    if (!read) return report(context, read.error(), kUsage);
    if (read->damage) {
      damaged = true;
      report(context, *read->damage, kNo);
    } else if (read->tail_bytes > 0) {
      context.err << printable(fmt::format(
          "zwinger: the last {} bytes are a write that was cut off; no answer left for it ({})\n",
          read->tail_bytes, segment.string()));
    }
  }
  for (const std::string& line : lines) context.out << line << '\n';
  if (!arguments.json) {
    const std::span<const Row> rows(table.rows());
    context.out << render(rows.last(std::min(rows.size(), last)));
  }
  const bool found = !lines.empty() || !table.rows().empty();
  return damaged || (!arguments.call.empty() && !found) ? kNo : kOk;
}

}  // namespace

Command ledger_show_command() {
  return {.name = "ledger show",
          .summary = "Show the record: what was asked, decided and answered",
          .example = "zwinger ledger show --policy ./policy --last 20",
          .declare = [](Options& options) -> Run {
            auto arguments = std::make_shared<Arguments>();
            options.text("--policy", arguments->policy, "DIR",
                         "The policy directory whose record to show");
            options.text("--state", arguments->state, "DIR",
                         "The state directory itself, for the record of 'zwinger wrap'");
            options.text("--call", arguments->call, "ID", "Only this call");
            options.number("--last", arguments->last, "Only the last rows, or with --json leaves",
                           1, 1'000'000'000);
            options.flag("--json", arguments->json, "The leaves as they are, one a line");
            return [arguments](Context& context) { return run(*arguments, context); };
          }};
}

}  // namespace zwinger::cmd
