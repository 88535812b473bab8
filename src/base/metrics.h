// Counters, gauges and histograms, written in Prometheus' text format (version 0.0.4).
//
//   metrics::Registry registry;
//   auto& calls = registry.counter({.name = "zwinger_calls_total", .help = "Calls that were
//   judged.",
//                                   .labels = {"upstream", "verdict"}});
//   metrics::Counter& allowed = calls.with({"bank", "allow"});  // takes a lock; keep the reference
//   allowed.add();                                             // lock-free
//
// A Registry owns its families and their series; references to both are valid as long as it is.
// Everything may be called from any thread.
//
// How many series a metric has is bounded, because labels may come from strangers: beyond
// max_series of them, one more, whose labels are all "other", takes the rest. Label values are ids
// and codes: they are cut at kMaxLabelValue bytes, and what is not printable ASCII or a newline
// becomes '_'.
//
// Names, help and labels are constants of the program: one that is malformed, one name with two
// descriptions, and a wrong number of label values are defects and end the program.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace zwinger::metrics {

inline constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";
inline constexpr std::size_t kMaxLabelValue = 128;
inline constexpr std::string_view kOther = "other";

enum class Type : std::uint8_t { counter, gauge, histogram };
[[nodiscard]] std::string_view to_string(Type type);

struct Spec {
  std::string name;  // [a-z][a-z0-9_]*; a counter's ends in _total, nothing else's does
  std::string help;  // one sentence, in one line
  std::vector<std::string> labels = {};  // names, [a-z][a-z0-9_]*
  std::size_t max_series = 100;          // besides the one labelled "other"
  std::vector<double> buckets = {};      // a histogram's upper bounds, rising; +Inf is added

  friend bool operator==(const Spec&, const Spec&) = default;
};

struct Description {
  Type type;
  Spec spec;
};

// What is wrong with a description, in words; nothing when it is fit for use.
[[nodiscard]] std::optional<std::string> problem_with(Type type, const Spec& spec);

// Only rises. A cache line of its own, so that two of them do not slow each other.
class alignas(64) Counter {
 public:
  void add(std::uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

class alignas(64) Gauge {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  void add(double delta) { value_.fetch_add(delta, std::memory_order_relaxed); }
  [[nodiscard]] double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

class alignas(64) Histogram {
 public:
  explicit Histogram(const std::vector<double>& buckets)
      : bounds_(buckets), counts_(buckets.size() + 1) {}
  void observe(double value);  // what is not a number is not counted
  [[nodiscard]] std::uint64_t count() const;
  [[nodiscard]] double sum() const { return sum_.load(std::memory_order_relaxed); }
  [[nodiscard]] const std::vector<double>& bounds() const { return bounds_; }
  // Observations in the bucket below the bound of this index and above the one before; the index
  // behind the last bound is that of +Inf.
  [[nodiscard]] std::uint64_t in_bucket(std::size_t index) const {
    return counts_[index].load(std::memory_order_relaxed);
  }

 private:
  const std::vector<double> bounds_;
  std::vector<std::atomic<std::uint64_t>> counts_;  // never resized
  std::atomic<double> sum_{0};
};

// What all families have in common, for the Registry.
class AnyFamily {
 public:
  explicit AnyFamily(Description description) : description_(std::move(description)) {}
  virtual ~AnyFamily() = default;
  AnyFamily(const AnyFamily&) = delete;
  AnyFamily& operator=(const AnyFamily&) = delete;

  [[nodiscard]] const Description& description() const { return description_; }
  virtual void render(std::string& out) const = 0;

 private:
  const Description description_;
};

// One metric with all its series.
template <class Metric>
class Family final : public AnyFamily {
 public:
  explicit Family(Description description);

  // The series with these label values, one for each label, in the order of the description; {} for
  // a metric without labels.
  Metric& with(std::initializer_list<std::string_view> values) {
    return with(std::span<const std::string_view>(values.begin(), values.size()));
  }
  Metric& with(std::span<const std::string_view> values);

  void render(std::string& out) const override;

 private:
  using Labels = std::vector<std::string>;
  mutable std::mutex mutex_;
  std::map<Labels, std::unique_ptr<Metric>> series_;  // guarded; what it points to is not
};

extern template class Family<Counter>;
extern template class Family<Gauge>;
extern template class Family<Histogram>;

class Registry {
 public:
  Registry() = default;
  ~Registry() = default;
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // The family of this description; the same one when asked for again.
  [[nodiscard]] Family<Counter>& counter(Spec spec);
  [[nodiscard]] Family<Gauge>& gauge(Spec spec);
  [[nodiscard]] Family<Histogram>& histogram(Spec spec);

  // All of it, sorted by name and label values. A metric without labels is there from the start,
  // one with labels shows its series as they come. Values are read one after the other while others
  // count on.
  [[nodiscard]] std::string render() const;
  // What there is, sorted by name.
  [[nodiscard]] std::vector<Description> describe() const;

 private:
  template <class Metric>
  Family<Metric>& family(Description description);
  mutable std::mutex mutex_;
  std::map<std::string, std::unique_ptr<AnyFamily>> families_;  // guarded
};

}  // namespace zwinger::metrics
