#include "gateway/meters.h"

#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

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
      outcomes_(
          registry.counter({.name = "zwinger_outcomes_total",
                            .help = "Exchanges that ended, by upstream, direction and status.",
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

namespace {

constexpr std::string_view kReferenceTop =
    R"(# Metrics

Made by `zwinger reference metrics.md` from the descriptions in the program; do not edit.

`GET /metrics` on the admin listener gives them in Prometheus' text format. The listener is the Unix socket
`admin.sock` in `stateDir` unless the policy's `admin` says otherwise; `/healthz` and `/readyz` are there too.

    curl --unix-socket policy/state/admin.sock http://admin/metrics

Names are stable. No label holds a name that a peer chose: not of a tool, not of a person, not of a session.
Each metric has a bound on its series; what comes beyond it is counted in one more, whose labels are `other`.

| metric | type | labels | meaning |
|---|---|---|---|
)";

constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kLabels = {{
    {"direction", "`client` where a client asks a server, `server` where a server asks a client"},
    {"reason", "`ok`, or a code of [codes.md](codes.md)"},
    {"result", "`ok`; `refused`: the policy loaded before stays in force"},
    {"stage",
     "`judge` (from the request's last byte to the verdict), `reserve`, `record_decision`, "
     "`upstream`, `record_outcome`; of clients' exchanges that were allowed"},
    {"status", "the `status` of an outcome leaf: see [ledger.md](ledger.md)"},
    {"upstream", "an upstream's id in the policy"},
}};

std::string list(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += fmt::format("{}`{}`", out.empty() ? "" : ", ", word);
  return out;
}

}  // namespace

std::string metrics_reference() {
  metrics::Registry registry;
  const Meters meters(registry);
  std::string out(kReferenceTop);
  std::string buckets;
  for (const auto& [type, spec] : registry.describe()) {
    out += fmt::format("| `{}` | {} | {} | {} |\n", spec.name, metrics::to_string(type),
                       list(spec.labels), spec.help);
    if (type != metrics::Type::histogram) continue;
    buckets += fmt::format("\nBuckets of `{}`, in seconds: {}.\n", spec.name,
                           fmt::join(spec.buckets, ", "));
  }
  out += buckets + "\n| label | values |\n|---|---|\n";
  for (const auto& [label, values] : kLabels) out += fmt::format("| `{}` | {} |\n", label, values);
  return out;
}

}  // namespace zwinger::gateway
