#include "base/metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <thread>
#include <vector>

namespace zwinger::metrics {
namespace {

Spec calls() {
  return {.name = "calls_total", .help = "Calls.", .labels = {"upstream", "verdict"}};
}

TEST(Metrics, ARegistryIsWrittenSortedAndWhole) {
  Registry registry;
  auto& open = registry.gauge({.name = "open_connections", .help = "Connections now."}).with({});
  auto& seconds = registry
                      .histogram({.name = "judge_seconds",
                                  .help = "Time to a verdict.",
                                  .labels = {"stage"},
                                  .buckets = {0.001, 0.5, 10}})
                      .with({"grant"});
  auto& family = registry.counter(calls());
  family.with({"mail", "deny"}).add(3);
  family.with({"bank", "deny"}).add();
  family.with({"bank", "allow"}).add(18446744073709551615U);
  open.set(12);
  open.add(-1.5);
  for (const double value : {0.0005, 0.001, 0.25, 11.0}) seconds.observe(value);
  EXPECT_EQ(registry.render(),
            "# HELP calls_total Calls.\n"
            "# TYPE calls_total counter\n"
            "calls_total{upstream=\"bank\",verdict=\"allow\"} 18446744073709551615\n"
            "calls_total{upstream=\"bank\",verdict=\"deny\"} 1\n"
            "calls_total{upstream=\"mail\",verdict=\"deny\"} 3\n"
            "# HELP judge_seconds Time to a verdict.\n"
            "# TYPE judge_seconds histogram\n"
            "judge_seconds_bucket{stage=\"grant\",le=\"0.001\"} 2\n"
            "judge_seconds_bucket{stage=\"grant\",le=\"0.5\"} 3\n"
            "judge_seconds_bucket{stage=\"grant\",le=\"10\"} 3\n"
            "judge_seconds_bucket{stage=\"grant\",le=\"+Inf\"} 4\n"
            "judge_seconds_sum{stage=\"grant\"} 11.2515\n"
            "judge_seconds_count{stage=\"grant\"} 4\n"
            "# HELP open_connections Connections now.\n"
            "# TYPE open_connections gauge\n"
            "open_connections 10.5\n");
  EXPECT_EQ(registry.render(), registry.render());
}

TEST(Metrics, WithoutLabelsASeriesIsThereFromTheStartAndWithLabelsNot) {
  Registry registry;
  (void)registry.counter({.name = "a_total", .help = "A."});
  (void)registry.counter({.name = "b_total", .help = "B.", .labels = {"x"}});
  (void)registry.histogram({.name = "c", .help = "C.", .buckets = {1}});
  EXPECT_EQ(registry.render(),
            "# HELP a_total A.\n# TYPE a_total counter\na_total 0\n"
            "# HELP b_total B.\n# TYPE b_total counter\n"
            "# HELP c C.\n# TYPE c histogram\n"
            "c_bucket{le=\"1\"} 0\nc_bucket{le=\"+Inf\"} 0\nc_sum 0\nc_count 0\n");
  EXPECT_EQ(Registry().render(), "");
}

TEST(Metrics, LabelValuesAreEscapedAndCleaned) {
  Registry registry;
  auto& family = registry.gauge({.name = "g", .help = "Back\\slash.", .labels = {"v"}});
  family.with({"a\\b\"c\nd"}).set(1);
  family.with({std::string_view("e\0\r\x7f\xc3\xa4", 6)}).set(2);
  family.with({std::string(kMaxLabelValue + 50, 'l')}).set(3);
  family.with({""}).set(4);
  EXPECT_EQ(registry.render(),
            "# HELP g Back\\\\slash.\n# TYPE g gauge\n"
            "g{v=\"\"} 4\n"
            "g{v=\"a\\\\b\\\"c\\nd\"} 1\n"
            "g{v=\"e_____\"} 2\n"
            "g{v=\"" +
                std::string(kMaxLabelValue, 'l') + "\"} 3\n");
}

TEST(Metrics, BeyondItsBoundAMetricHasOneSeriesMore) {
  Registry registry;
  Spec spec = calls();
  spec.max_series = 2;
  auto& family = registry.counter(spec);
  Counter& first = family.with({"a", "allow"});
  Counter& second = family.with({"b", "allow"});
  Counter& other = family.with({"c", "allow"});
  EXPECT_EQ(&family.with({"d", "deny"}), &other);
  EXPECT_EQ(&family.with({"other", "other"}), &other);
  EXPECT_EQ(&family.with({"a", "allow"}), &first) << "who is in stays in";
  EXPECT_EQ(&family.with({"b", "allow"}), &second);
  for (int i = 0; i < 1000; ++i) family.with({std::to_string(i), "allow"}).add();
  const std::string text = registry.render();
  EXPECT_EQ(std::ranges::count(text, '\n'), 2 + 3) << text;
  EXPECT_NE(text.find("calls_total{upstream=\"other\",verdict=\"other\"} 1000\n"),
            std::string::npos);
}

TEST(Metrics, NumbersThatAreNone) {
  Registry registry;
  auto& gauge = registry.gauge({.name = "g", .help = "G.", .labels = {"v"}});
  gauge.with({"a"}).set(std::numeric_limits<double>::infinity());
  gauge.with({"b"}).set(-std::numeric_limits<double>::infinity());
  gauge.with({"c"}).set(std::numeric_limits<double>::quiet_NaN());
  gauge.with({"d"}).set(1e300);
  const std::string text = registry.render();
  EXPECT_NE(text.find("g{v=\"a\"} +Inf\ng{v=\"b\"} -Inf\ng{v=\"c\"} NaN\ng{v=\"d\"} 1e+300\n"),
            std::string::npos)
      << text;
  auto& histogram = registry.histogram({.name = "h", .help = "H.", .buckets = {1}}).with({});
  histogram.observe(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(histogram.count(), 0);
  histogram.observe(std::numeric_limits<double>::infinity());
  EXPECT_EQ(histogram.in_bucket(1), 1);
}

TEST(Metrics, WhatThereIsCanBeListed) {
  Registry registry;
  (void)registry.gauge({.name = "open", .help = "Open."});
  (void)registry.counter(calls());
  const auto all = registry.describe();
  ASSERT_EQ(all.size(), 2);
  EXPECT_EQ(all[0].spec, calls());
  EXPECT_EQ(to_string(all[0].type), "counter");
  EXPECT_EQ(all[1].spec.name, "open");
  EXPECT_EQ(to_string(all[1].type), "gauge");
  EXPECT_EQ(to_string(Type::histogram), "histogram");
}

TEST(Metrics, ADescriptionIsChecked) {
  EXPECT_FALSE(problem_with(Type::counter, calls()));
  const Spec good{.name = "good", .help = "Good.", .labels = {"a", "b"}, .buckets = {-1, 0, 2.5}};
  EXPECT_FALSE(problem_with(Type::histogram, good));

  for (const auto* name : {"", "Good", "1good", "_good", "go-od", "go:od", "good\n", "g\u00f6od",
                           "good_total", "good_sum", "good_count", "good_bucket"}) {
    Spec spec = good;
    spec.name = name;
    EXPECT_TRUE(problem_with(Type::histogram, spec)) << name;
  }
  EXPECT_TRUE(problem_with(Type::counter, {.name = "calls", .help = "No _total."}));
  EXPECT_TRUE(problem_with(Type::gauge, {.name = "calls_total", .help = "No counter."}));
  for (const auto* help : {"", "two\nlines", "\u00e4"}) {
    EXPECT_TRUE(problem_with(Type::gauge, {.name = "g", .help = help})) << help;
  }
  for (const std::vector<std::string>& labels :
       {std::vector<std::string>{"le"}, {"a", "b", "a"}, {""}, {"__name"}, {"A"}, {"a b"}}) {
    Spec spec = good;
    spec.labels = labels;
    EXPECT_TRUE(problem_with(Type::histogram, spec)) << labels[0];
  }
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const std::vector<double>& buckets :
       {std::vector<double>{}, {1, 1}, {2, 1}, {1, kInfinity}, {kInfinity - kInfinity}}) {
    Spec spec = good;
    spec.buckets = buckets;
    EXPECT_TRUE(problem_with(Type::histogram, spec)) << buckets.size();
  }
  EXPECT_TRUE(problem_with(Type::gauge, {.name = "g", .help = "G.", .buckets = {1}}));
  EXPECT_TRUE(problem_with(Type::gauge, {.name = "g", .help = "G.", .max_series = 0}));
}

TEST(Metrics, TheSameDescriptionIsTheSameMetric) {
  Registry registry;
  EXPECT_EQ(&registry.counter(calls()), &registry.counter(calls()));
}

TEST(MetricsDeathTest, MisuseEndsTheProgram) {
  Registry registry;
  auto& family = registry.counter(calls());
  EXPECT_DEATH(family.with({"bank"}), "");
  EXPECT_DEATH(family.with({"bank", "allow", "more"}), "");
  EXPECT_DEATH((void)registry.counter({.name = "no", .help = "No."}), "");
  EXPECT_DEATH((void)registry.counter({.name = "calls_total", .help = "Another."}), "");
  (void)registry.gauge({.name = "g", .help = "G."});
  EXPECT_DEATH((void)registry.histogram({.name = "g", .help = "G.", .buckets = {1}}), "");
}

TEST(Metrics, ManyThreadsCountRight) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 5000;
  Registry registry;
  Spec spec = calls();
  spec.max_series = 8;
  auto& family = registry.counter(spec);
  auto& gauge = registry.gauge({.name = "g", .help = "G."}).with({});
  auto& histogram = registry.histogram({.name = "h", .help = "H.", .buckets = {1, 2}}).with({});
  {
    std::vector<std::jthread> threads;
    threads.reserve(kThreads);
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        Counter& mine = family.with({"shared", "allow"});
        for (int i = 0; i < kRounds; ++i) {
          mine.add();
          gauge.add(1);
          histogram.observe(i % 3);
          if (i % 100 == 0) {
            family.with({std::to_string(t) + "-" + std::to_string(i), "deny"}).add();
            (void)registry.render();
          }
        }
      });
    }
  }
  EXPECT_EQ(family.with({"shared", "allow"}).value(), kThreads * kRounds);
  EXPECT_EQ(gauge.value(), kThreads * kRounds);
  EXPECT_EQ(histogram.count(), kThreads * kRounds);
  EXPECT_EQ(histogram.in_bucket(1), kThreads * (kRounds / 3)) << "the twos of 0, 1, 2";
}

}  // namespace
}  // namespace zwinger::metrics
