#include "base/metrics.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <type_traits>
#include <utility>

namespace zwinger::metrics {

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

bool is_name(std::string_view text) {
  const auto is_lower = [](char c) { return c >= 'a' && c <= 'z'; };
  return !text.empty() && is_lower(text.front()) && std::ranges::all_of(text, [&](char c) {
    return is_lower(c) || (c >= '0' && c <= '9') || c == '_';
  });
}

bool is_printable(char c) { return c >= ' ' && c <= '~'; }

std::optional<std::string> problem_with_name(Type type, std::string_view name) {
  if (!is_name(name)) return "the name is not of the form [a-z][a-z0-9_]*";
  if (name.ends_with("_total") != (type == Type::counter)) {
    return "the names of counters, and no others, end in _total";
  }
  // These are what a histogram's series are called.
  for (const std::string_view taken : {"_bucket", "_sum", "_count"}) {
    if (name.ends_with(taken)) return "the name ends in " + std::string(taken);
  }
  return std::nullopt;
}

std::optional<std::string> problem_with_labels(Type type, const std::vector<std::string>& labels) {
  for (auto label = labels.begin(); label != labels.end(); ++label) {
    if (!is_name(*label)) return "a label is not of the form [a-z][a-z0-9_]*";
    if (type == Type::histogram && *label == "le") return "the label le is that of the buckets";
    if (std::find(labels.begin(), label, *label) != label) return "two labels have one name";
  }
  return std::nullopt;
}

std::optional<std::string> problem_with_buckets(Type type, const std::vector<double>& buckets) {
  if (buckets.empty() != (type != Type::histogram)) {
    return "histograms, and no others, have buckets";
  }
  if (!std::ranges::all_of(buckets, [](double bound) { return std::isfinite(bound); })) {
    return "a bucket is not finite";
  }
  if (std::ranges::adjacent_find(buckets, std::ranges::greater_equal()) != buckets.end()) {
    return "the buckets do not rise";
  }
  return std::nullopt;
}

std::string clean(std::string_view value) {
  std::string out(value.substr(0, kMaxLabelValue));
  std::ranges::replace_if(out, [](char c) { return !is_printable(c) && c != '\n'; }, '_');
  return out;
}

void append_escaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
}

void append_number(std::string& out, std::uint64_t value) { out += std::to_string(value); }

void append_number(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else {
    std::array<char, 32> buffer{};
    const auto written = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
    out.append(buffer.data(), written.ptr);
  }
}

// One line of the format, all but its value.
class Line {
 public:
  Line(std::string& out, const Description& description, const std::vector<std::string>& values)
      : out_(out), spec_(description.spec), values_(values) {}

  // `le` is the bound of a bucket, or empty.
  template <class Number>
  void write(std::string_view suffix, std::string_view le, Number value) const {
    out_.append(spec_.name).append(suffix);
    char before = '{';
    for (std::size_t i = 0; i < values_.size(); ++i) {
      write_label(before, spec_.labels[i], values_[i]);
    }
    if (!le.empty()) write_label(before, "le", le);
    if (before == ',') out_ += '}';
    out_ += ' ';
    append_number(out_, value);
    out_ += '\n';
  }

 private:
  void write_label(char& before, std::string_view name, std::string_view value) const {
    out_ += std::exchange(before, ',');
    out_.append(name).append("=\"");
    append_escaped(out_, value);
    out_ += '"';
  }

  std::string& out_;
  const Spec& spec_;
  const std::vector<std::string>& values_;
};

template <class Simple>
void write_series(const Line& line, const Simple& metric) {
  line.write("", "", metric.value());
}

// The count is that of the last bucket, so that the two never differ.
void write_series(const Line& line, const Histogram& metric) {
  const std::vector<double>& bounds = metric.bounds();
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    count += metric.in_bucket(i);
    std::string le;
    append_number(le, bounds[i]);
    line.write("_bucket", le, count);
  }
  count += metric.in_bucket(bounds.size());
  line.write("_bucket", "+Inf", count);
  line.write("_sum", "", metric.sum());
  line.write("_count", "", count);
}

template <class Metric>
std::unique_ptr<Metric> make_metric(const Spec& spec) {
  if constexpr (std::is_same_v<Metric, Histogram>) {
    return std::make_unique<Histogram>(spec.buckets);
  } else {
    return std::make_unique<Metric>();
  }
}

}  // namespace

std::string_view to_string(Type type) {
  switch (type) {
    case Type::counter:
      return "counter";
    case Type::gauge:
      return "gauge";
    case Type::histogram:
      return "histogram";
  }
  return "untyped";
}

std::optional<std::string> problem_with(Type type, const Spec& spec) {
  if (auto problem = problem_with_name(type, spec.name)) return problem;
  if (spec.help.empty() || !std::ranges::all_of(spec.help, is_printable)) {
    return "the help is not one line of printable ASCII";
  }
  if (auto problem = problem_with_labels(type, spec.labels)) return problem;
  if (spec.max_series == 0) return "no series is allowed";
  return problem_with_buckets(type, spec.buckets);
}

void Histogram::observe(double value) {
  if (std::isnan(value)) return;
  // The bound belongs to its bucket: le is "less or equal".
  const auto bound = std::ranges::lower_bound(bounds_, value);
  const auto index = static_cast<std::size_t>(bound - bounds_.begin());
  counts_[index].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

std::uint64_t Histogram::count() const {
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) count += in_bucket(i);
  return count;
}

template <class Metric>
Family<Metric>::Family(Description description) : AnyFamily(std::move(description)) {
  if (this->description().spec.labels.empty()) with({});
}

template <class Metric>
Metric& Family<Metric>::with(std::span<const std::string_view> values) {
  const Spec& spec = description().spec;
  require(values.size() == spec.labels.size());
  Labels labels;
  labels.reserve(values.size());
  for (const std::string_view value : values) labels.push_back(clean(value));

  const std::scoped_lock lock(mutex_);
  if (const auto found = series_.find(labels); found != series_.end()) return *found->second;
  if (series_.size() >= spec.max_series) labels.assign(values.size(), std::string(kOther));
  auto& series = series_[std::move(labels)];
  if (!series) series = make_metric<Metric>(spec);
  return *series;
}

template <class Metric>
void Family<Metric>::render(std::string& out) const {
  const auto& [type, spec] = description();
  out.append("# HELP ").append(spec.name).append(" ");
  for (const char c : spec.help) {
    if (c == '\\') out += '\\';
    out += c;
  }
  out.append("\n# TYPE ").append(spec.name).append(" ").append(to_string(type)).append("\n");
  const std::scoped_lock lock(mutex_);
  for (const auto& [labels, metric] : series_) {
    write_series(Line(out, description(), labels), *metric);
  }
}

template class Family<Counter>;
template class Family<Gauge>;
template class Family<Histogram>;

template <class Metric>
Family<Metric>& Registry::family(Description description) {
  require(!problem_with(description.type, description.spec));
  const std::scoped_lock lock(mutex_);
  auto& known = families_[description.spec.name];
  if (known) {
    require(known->description().type == description.type &&
            known->description().spec == description.spec);
  } else {
    known = std::make_unique<Family<Metric>>(std::move(description));
  }
  return static_cast<Family<Metric>&>(*known);  // its type says which one it is
}

Family<Counter>& Registry::counter(Spec spec) {
  return family<Counter>({.type = Type::counter, .spec = std::move(spec)});
}

Family<Gauge>& Registry::gauge(Spec spec) {
  return family<Gauge>({.type = Type::gauge, .spec = std::move(spec)});
}

Family<Histogram>& Registry::histogram(Spec spec) {
  return family<Histogram>({.type = Type::histogram, .spec = std::move(spec)});
}

std::string Registry::render() const {
  const std::scoped_lock lock(mutex_);
  std::string out;
  for (const auto& [name, family] : families_) family->render(out);
  return out;
}

std::vector<Description> Registry::describe() const {
  const std::scoped_lock lock(mutex_);
  std::vector<Description> out;
  out.reserve(families_.size());
  for (const auto& [name, family] : families_) out.push_back(family->description());
  return out;
}

}  // namespace zwinger::metrics
