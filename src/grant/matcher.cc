#include "grant/matcher.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "grant/pointer.h"
#include "grant/read.h"
#include "json/decimal.h"
#include "text/path.h"
#include "text/pattern.h"
#include "text/unicode.h"
#include "text/url.h"
#include "text/utf8.h"

namespace zwinger::grant {

namespace {

// --- one condition
// ----------------------------------------------------------------------------------

// Whether a scalar satisfies one member of a matcher.
using Test = std::move_only_function<bool(json::Value) const>;

using Scalar = std::variant<std::monostate, bool, json::Decimal, std::string>;  // monostate: null

// Nothing for arrays, objects and numbers that are not exact.
std::optional<Scalar> to_scalar(json::Value value) {
  switch (value.kind()) {
    case json::Kind::null:
      return Scalar();
    case json::Kind::boolean:
      return Scalar(value.boolean());
    case json::Kind::string:
      return Scalar(std::string(value.string()));
    case json::Kind::number:
      if (const auto decimal = json::Decimal::parse(value.number_text())) return Scalar(*decimal);
      return std::nullopt;
    case json::Kind::array:
    case json::Kind::object:
      return std::nullopt;
  }
  return std::nullopt;
}

Result<Scalar> read_scalar(json::Value value, const std::string& where) {
  auto scalar = to_scalar(value);
  if (!scalar) {
    return fail(Code::grant_invalid, "expected a string, an exact number, true, false or null",
                where);
  }
  return *std::move(scalar);
}

Test is_one_of(std::set<Scalar> allowed) {
  return [allowed = std::move(allowed)](json::Value value) {
    const auto scalar = to_scalar(value);
    return scalar && allowed.contains(*scalar);
  };
}

Result<Test> compile_const(json::Value value, const std::string& where) {
  ZWINGER_TRY(Scalar scalar, read_scalar(value, where));
  return is_one_of({std::move(scalar)});
}

Result<void> check_non_empty_array(json::Value value, const std::string& where) {
  if (!value.is_array() || value.size() == 0) {
    return fail(Code::grant_invalid, "expected an array with at least one element", where);
  }
  return {};
}

Result<Test> compile_enum(json::Value value, const std::string& where) {
  ZWINGER_CHECK_OK(check_non_empty_array(value, where));
  std::set<Scalar> allowed;
  std::size_t index = 0;
  for (const json::Value element : value.children()) {
    ZWINGER_TRY(Scalar scalar, read_scalar(element, child_pointer(where, std::to_string(index++))));
    allowed.insert(std::move(scalar));
  }
  return is_one_of(std::move(allowed));
}

Result<Test> compile_prefix(json::Value value, const std::string& where) {
  ZWINGER_TRY(std::string prefix, read_string(value, where));
  return [prefix = std::move(prefix)](json::Value v) {
    return v.is_string() && v.string().starts_with(prefix);
  };
}

Result<Test> compile_pattern(json::Value value, const std::string& where) {
  ZWINGER_TRY(const std::string regex, read_string(value, where));
  auto pattern = text::Pattern::compile(regex);
  if (!pattern) return fail(Code::grant_invalid, pattern.error().message, where);
  return [pattern = *std::move(pattern)](json::Value v) {
    return v.is_string() && pattern.matches_whole(v.string());
  };
}

std::optional<json::Decimal> to_decimal(json::Value value) {
  return value.is_number() ? json::Decimal::parse(value.number_text()) : std::nullopt;
}

Result<json::Decimal> read_bound(json::Value value, const std::string& where) {
  const auto bound = to_decimal(value);
  if (!bound) return fail(Code::grant_invalid, "expected an exact number", where);
  return *bound;
}

Result<Test> compile_min(json::Value value, const std::string& where) {
  ZWINGER_TRY(const json::Decimal least, read_bound(value, where));
  return [least](json::Value v) {
    const auto decimal = to_decimal(v);
    return decimal && *decimal >= least;
  };
}

Result<Test> compile_max(json::Value value, const std::string& where) {
  ZWINGER_TRY(const json::Decimal most, read_bound(value, where));
  return [most](json::Value v) {
    const auto decimal = to_decimal(v);
    return decimal && *decimal <= most;
  };
}

// A string or a non-empty array of strings, each brought to its canonical form.
Result<std::vector<std::string>> read_canonical(
    json::Value value, std::optional<std::string> (*canonical)(std::string_view),
    const std::string& message, const std::string& where) {
  std::vector<std::string> out;
  const auto add = [&](std::string_view text, const std::string& at) -> Result<void> {
    auto form = canonical(text);
    if (!form) return fail(Code::grant_invalid, message, at);
    out.push_back(*std::move(form));
    return {};
  };
  if (value.is_string()) {
    ZWINGER_CHECK_OK(add(value.string(), where));
  } else {
    ZWINGER_CHECK_OK(check_non_empty_array(value, where));
    ZWINGER_CHECK_OK(for_each_string(value, where, add));
  }
  return out;
}

Result<Test> compile_host(json::Value value, const std::string& where) {
  ZWINGER_TRY(
      std::vector<std::string> hosts,
      read_canonical(value, text::canonical_host,
                     "expected a host name or an IP address, without scheme and port", where));
  return [hosts = std::move(hosts)](json::Value v) {
    if (!v.is_string()) return false;
    const auto host = text::canonical_url_host(v.string());
    return host && std::ranges::find(hosts, *host) != hosts.end();
  };
}

Result<Test> compile_under(json::Value value, const std::string& where) {
  ZWINGER_TRY(std::vector<std::string> roots,
              read_canonical(value, text::canonical_path, "expected an absolute path", where));
  return [roots = std::move(roots)](json::Value v) {
    if (!v.is_string()) return false;
    const auto path = text::canonical_path(v.string());
    return path && std::ranges::any_of(
                       roots, [&](const std::string& root) { return text::is_under(*path, root); });
  };
}

constexpr std::array<std::string_view, 2> kLenMembers = {"min", "max"};

Result<Test> compile_len(json::Value value, const std::string& where) {
  ZWINGER_CHECK_OK(check_object(value, kLenMembers, where));
  if (value.size() == 0) return fail(Code::grant_invalid, "expected min, max or both", where);
  std::int64_t least = 0;
  std::int64_t most = INT64_MAX;
  if (const auto min = value.find("min")) {
    ZWINGER_TRY(least, read_integer(*min, 0, child_pointer(where, "min")));
  }
  if (const auto max = value.find("max")) {
    ZWINGER_TRY(most, read_integer(*max, 0, child_pointer(where, "max")));
  }
  if (least > most) return fail(Code::grant_invalid, "min is larger than max", where);
  return [least, most](json::Value v) {
    if (!v.is_string()) return false;
    const auto length = static_cast<std::int64_t>(text::count_code_points(v.string()));
    return least <= length && length <= most;
  };
}

// The order of the rows is the order in which conditions are checked.
struct ConditionMember {
  std::string_view name;
  Code reason;
  Result<Test> (*compile)(json::Value value, const std::string& where);
};
constexpr std::array<ConditionMember, 9> kConditions = {{
    {"const", Code::constraint_const, compile_const},
    {"enum", Code::constraint_enum, compile_enum},
    {"prefix", Code::constraint_prefix, compile_prefix},
    {"pattern", Code::constraint_pattern, compile_pattern},
    {"min", Code::constraint_min, compile_min},
    {"max", Code::constraint_max, compile_max},
    {"host", Code::constraint_host, compile_host},
    {"under", Code::constraint_under, compile_under},
    {"len", Code::constraint_len, compile_len},
}};
constexpr std::string_view kOptional = "optional";

constexpr std::array<std::string_view, kConditions.size() + 1> kMatcherMembers = [] {
  std::array<std::string_view, kConditions.size() + 1> names;
  for (std::size_t i = 0; i < kConditions.size(); ++i) names.at(i) = kConditions.at(i).name;
  names.back() = kOptional;
  return names;
}();

// --- one pointer and its matcher
// --------------------------------------------------------------------

struct Segment {
  std::string name;
  std::string folded;          // name by text::nfkc_casefold
  bool every_element = false;  // `*`
};

Result<std::vector<Segment>> parse_pointer(std::string_view pointer, const std::string& where) {
  if (!pointer.starts_with('/')) {
    return fail(Code::grant_invalid, "a JSON pointer to an argument begins with /", where);
  }
  std::vector<Segment> segments;
  while (!pointer.empty()) {
    pointer.remove_prefix(1);  // the slash
    const std::string_view raw = pointer.substr(0, pointer.find('/'));
    pointer.remove_prefix(raw.size());
    Segment segment;
    segment.every_element = raw == "*";
    for (std::size_t i = 0; i < raw.size(); ++i) {
      if (raw[i] != '~') {
        segment.name += raw[i];
        continue;
      }
      const char escaped = i + 1 < raw.size() ? raw[++i] : '\0';
      if (escaped != '0' && escaped != '1') {
        return fail(Code::grant_invalid, "in a JSON pointer ~ is written ~0 and / is written ~1",
                    where);
      }
      segment.name += escaped == '0' ? '~' : '/';
    }
    if (!raw.empty() && std::ranges::all_of(raw, [](char c) { return c >= '0' && c <= '9'; })) {
      return fail(Code::grant_invalid,
                  "a pointer names members only; write * for every element of an array", where);
    }
    segment.folded = text::nfkc_casefold(segment.name);
    segments.push_back(std::move(segment));
  }
  return segments;
}

// Whether some reader takes a member of this name, which is not the segment's own, for the segment
// or for something that changes the whole object: Go and .NET match names in any case, and
// JavaScript sets an object's prototype by `__proto__`.
bool is_ambiguous(std::string_view name, const Segment& segment) {
  return name == "__proto__" || text::nfkc_casefolds_to(name, segment.folded);
}

struct Condition {
  Code reason;
  Test holds;
};

struct Constraint {
  std::vector<Segment> pointer;
  std::vector<Condition> conditions;  // at least one
  bool optional = false;

  static Result<Constraint> compile(std::string_view pointer, json::Value matcher,
                                    const std::string& where);

  // Judges what `pointer` names below `value`, whose own pointer is `at` and which `depth` segments
  // led to.
  [[nodiscard]] Verdict check(json::Value value, std::size_t depth, std::string& at) const;
  // The matcher alone.
  [[nodiscard]] Verdict judge(json::Value value, std::string& at) const;

 private:
  [[nodiscard]] Verdict missing(std::size_t depth, std::string at) const;
};

Result<Constraint> Constraint::compile(std::string_view pointer, json::Value matcher,
                                       const std::string& where) {
  Constraint out;
  ZWINGER_TRY(out.pointer, parse_pointer(pointer, where));
  ZWINGER_CHECK_OK(check_object(matcher, kMatcherMembers, where));
  for (const ConditionMember& member : kConditions) {
    if (const auto value = matcher.find(member.name)) {
      ZWINGER_TRY(Test holds, member.compile(*value, child_pointer(where, member.name)));
      out.conditions.push_back({member.reason, std::move(holds)});
    }
  }
  if (const auto optional = matcher.find(kOptional)) {
    ZWINGER_TRY(out.optional, read_bool(*optional, child_pointer(where, kOptional)));
  }
  if (out.conditions.empty()) {
    return fail(Code::grant_invalid,
                "the matcher holds no condition, so it would let everything pass", where);
  }
  return out;
}

Verdict Constraint::missing(std::size_t depth, std::string at) const {
  for (; depth < pointer.size(); ++depth) append_segment(at, pointer[depth].name);
  return Verdict::deny(Code::constraint_missing, std::move(at));
}

Verdict Constraint::judge(json::Value value, std::string& at) const {
  if (value.is_object() || (value.is_array() && value.size() == 0)) {
    return Verdict::deny(conditions.front().reason, at);
  }
  if (value.is_array()) {
    const std::size_t size = at.size();
    std::size_t index = 0;
    for (const json::Value element : value.children()) {
      append_segment(at, index++);
      if (Verdict verdict = judge(element, at); !verdict.allowed()) return verdict;
      at.resize(size);
    }
    return Verdict::allow();
  }
  for (const Condition& condition : conditions) {
    if (!condition.holds(value)) return Verdict::deny(condition.reason, at);
  }
  return Verdict::allow();
}

Verdict Constraint::check(json::Value value, std::size_t depth, std::string& at) const {
  if (depth == pointer.size()) return judge(value, at);
  const Segment& segment = pointer[depth];
  const std::size_t size = at.size();
  if (segment.every_element) {
    if (!value.is_array()) return Verdict::deny(Code::constraint_shape, at);
    if (value.size() == 0)
      return missing(depth, at);  // `optional` excuses absence; this is emptiness
    std::size_t index = 0;
    for (const json::Value element : value.children()) {
      append_segment(at, index++);
      if (Verdict verdict = check(element, depth + 1, at); !verdict.allowed()) return verdict;
      at.resize(size);
    }
    return Verdict::allow();
  }
  if (!value.is_object()) return Verdict::deny(Code::constraint_shape, at);
  const std::optional<json::Value> member = value.find(segment.name);
  if (!member && !optional) return missing(depth, at);
  for (const json::Value child : value.children()) {
    if (child.name() == segment.name || !is_ambiguous(child.name(), segment)) continue;
    append_segment(at, child.name());
    return Verdict::deny(Code::constraint_shape, at);
  }
  if (!member) return Verdict::allow();
  append_segment(at, segment.name);
  Verdict verdict = check(*member, depth + 1, at);
  at.resize(size);
  return verdict;
}

// --- closed
// -----------------------------------------------------------------------------------------

// `leading` are the constraints whose first `depth` segments led to `value`; every child must be
// led to by one of them too, down to the values that a matcher has judged.
Verdict check_closed(json::Value value, const std::vector<const Constraint*>& leading,
                     std::size_t depth, std::string& at) {
  if (!value.is_object() && !value.is_array()) return Verdict::deny(Code::constraint_closed, at);
  const std::size_t size = at.size();
  std::size_t index = 0;
  for (const json::Value child : value.children()) {
    if (value.is_array()) {
      append_segment(at, index++);
    } else {
      append_segment(at, child.name());
    }
    std::vector<const Constraint*> fitting;
    bool judged = false;
    for (const Constraint* constraint : leading) {
      const Segment& segment = constraint->pointer[depth];
      if (value.is_array() ? !segment.every_element
                           : segment.every_element || segment.name != child.name()) {
        continue;
      }
      fitting.push_back(constraint);
      judged = judged || constraint->pointer.size() == depth + 1;
    }
    if (!judged) {
      if (fitting.empty()) return Verdict::deny(Code::constraint_closed, at);
      if (Verdict verdict = check_closed(child, fitting, depth + 1, at); !verdict.allowed())
        return verdict;
    }
    at.resize(size);
  }
  return Verdict::allow();
}

}  // namespace

// --- the set
// ----------------------------------------------------------------------------------------

struct ArgumentConstraints::Compiled {
  std::vector<Constraint> constraints;  // in source order
  bool closed = false;
  json::Document no_arguments;  // {}
};

ArgumentConstraints::ArgumentConstraints(std::unique_ptr<const Compiled> compiled)
    : compiled_(std::move(compiled)) {}
ArgumentConstraints::ArgumentConstraints(ArgumentConstraints&&) noexcept = default;
ArgumentConstraints& ArgumentConstraints::operator=(ArgumentConstraints&&) noexcept = default;
ArgumentConstraints::~ArgumentConstraints() = default;

Result<ArgumentConstraints> ArgumentConstraints::compile(std::optional<json::Value> args,
                                                         bool closed, const std::string& where) {
  ZWINGER_TRY(json::Document no_arguments, json::Document::parse("{}"));
  Compiled compiled{.constraints = {}, .closed = closed, .no_arguments = std::move(no_arguments)};
  if (args && !args->is_object()) {
    return fail(Code::grant_invalid, "expected an object of JSON pointers", where);
  }
  if (args) {
    for (const json::Value matcher : args->children()) {
      ZWINGER_TRY(Constraint constraint, Constraint::compile(matcher.name(), matcher,
                                                             child_pointer(where, matcher.name())));
      compiled.constraints.push_back(std::move(constraint));
    }
  }
  return ArgumentConstraints(std::make_unique<const Compiled>(std::move(compiled)));
}

Verdict ArgumentConstraints::evaluate(std::optional<json::Value> arguments) const {
  const json::Value root = arguments.value_or(compiled_->no_arguments.root());
  if (!root.is_object()) return Verdict::deny(Code::constraint_shape);
  std::string at;
  std::vector<const Constraint*> leading;
  for (const Constraint& constraint : compiled_->constraints) {
    if (Verdict verdict = constraint.check(root, 0, at); !verdict.allowed()) return verdict;
    leading.push_back(&constraint);
  }
  return compiled_->closed ? check_closed(root, leading, 0, at) : Verdict::allow();
}

std::span<const std::string_view> matcher_members() { return kMatcherMembers; }
std::span<const std::string_view> len_members() { return kLenMembers; }

}  // namespace zwinger::grant
