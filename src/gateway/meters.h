// What the gateway counts and times, by documented names with bounded labels
// (docs/reference/metrics.md). Thread-safe.
#pragma once

#include <array>
#include <chrono>
#include <string>
#include <string_view>

#include "base/metrics.h"

namespace zwinger::gateway {

class Meters {
 public:
  explicit Meters(metrics::Registry& registry);

  // One exchange was judged. `direction` is "client" or "server".
  void decided(std::string_view upstream, std::string_view direction, std::string_view verdict,
               std::string_view reason);
  // One exchange ended.
  void ended(std::string_view upstream, std::string_view direction, std::string_view status);
  void stage(std::string_view name, std::chrono::microseconds spent);
  // Somebody or something was refused before there was an exchange.
  void refused(std::string_view reason);

  metrics::Gauge& sessions;       // that live
  metrics::Gauge& generation_at;  // Unix seconds when the policy in force was loaded
  metrics::Counter& reloads_ok;
  metrics::Counter& reloads_failed;
  metrics::Gauge& ready;

 private:
  metrics::Family<metrics::Counter>& decisions_;
  metrics::Family<metrics::Counter>& outcomes_;
  metrics::Family<metrics::Histogram>& stages_;
  metrics::Family<metrics::Counter>& refusals_;
};

// docs/reference/metrics.md, made from what a Registry knows of the above.
[[nodiscard]] std::string metrics_reference();

}  // namespace zwinger::gateway
