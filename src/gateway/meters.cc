#include "gateway/meters.h"

namespace zwinger::gateway {

namespace {

metrics::Spec reloads() {
  return {.name = "zwinger_policy_reloads_total",
          .help = "Reloads of the policy directory, by how they ended.",
          .labels = {"result"}};
}

}  // namespace

Meters::Meters(metrics::Registry& registry)
    : sessions(
          registry.gauge({.name = "zwinger_sessions", .help = "MCP sessions of clients that live."})
              .with({})),
      generation_at(registry
                        .gauge({.name = "zwinger_policy_loaded_seconds",
                                .help = "When the policy in force was loaded, in Unix seconds."})
                        .with({})),
      reloads_ok(registry.counter(reloads()).with({"ok"})),
      reloads_failed(registry.counter(reloads()).with({"refused"})),
      ready(registry
                .gauge({.name = "zwinger_ready",
                        .help = "Whether the gateway takes requests: 1 or 0."})
                .with({})),
      decisions_(registry.counter(
          {.name = "zwinger_decisions_total",
           .help = "Exchanges that were judged, by upstream, direction, verdict and reason.",
           .labels = {"upstream", "direction", "verdict", "reason"},
           .max_series = 2000})),
      outcomes_(registry.counter({.name = "zwinger_outcomes_total",
                                  .help = "Exchanges that ended, by upstream and status.",
                                  .labels = {"upstream", "direction", "status"},
                                  .max_series = 1000})),
      stages_(registry.histogram(
          {.name = "zwinger_stage_seconds",
           .help = "Time that each stage of an exchange took.",
           .labels = {"stage"},
           .buckets = {0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 1, 10}})),
      refusals_(registry.counter(
          {.name = "zwinger_refusals_total",
           .help = "Requests that were refused before there was an exchange, by reason.",
           .labels = {"reason"}})) {}

void Meters::decided(std::string_view upstream, std::string_view direction,
                     std::string_view verdict, std::string_view reason) {
  decisions_.with({upstream, direction, verdict, reason}).add();
}

void Meters::ended(std::string_view upstream, std::string_view direction, std::string_view status) {
  outcomes_.with({upstream, direction, status}).add();
}

void Meters::stage(std::string_view name, std::chrono::microseconds spent) {
  stages_.with({name}).observe(static_cast<double>(spent.count()) / 1e6);
}

void Meters::refused(std::string_view reason) { refusals_.with({reason}).add(); }

}  // namespace zwinger::gateway
