#include <unistd.h>

#include <chrono>
#include <csignal>
#include <map>
#include <memory>
#include <utility>

#include "base/fd.h"
#include "base/files.h"
#include "gateway/gateway.h"
#include "gateway/stdio_front.h"
#include "gateway/stdio_upstream.h"

namespace zwinger::gateway {

namespace {

using namespace std::chrono_literals;

constexpr auto kFinishGrace =
    30s;  // for requests that still run when the client has closed its side

Task<void> serve(StdioFront& front, StdioUpstream& upstream, Notices& notices, net::Loop& loop) {
  co_await front.serve(kFinishGrace);
  co_await upstream.stop();
  co_await front.finish(StdioFront::kStopGrace);
  front.end();
  notices.flush();
  loop.stop();
}

Result<UpstreamConfig> config_of(const WrapOptions& options) {
  UpstreamConfig config;
  config.id = options.upstream_id;
  config.command = options.command;
  config.vertical = grant::kSharedVertical;
  if (options.policy == nullptr) return config;
  const auto configured = options.policy->upstreams.find(options.upstream_id);
  if (configured == options.policy->upstreams.end()) {
    return fail(Code::upstream_unknown, "the policy has no upstream '" + options.upstream_id +
                                            "'; name one of its own with --id");
  }
  config = configured->second;
  config.command = options.command;
  return config;
}

Result<Fd> own(int descriptor) {
  Fd fd(::dup(descriptor));
  if (!fd) return fail(Code::io, "standard input or output is closed");
  return fd;
}

}  // namespace

Result<void> run_wrap(const WrapOptions& options, const Environment& environment) {
  ZWINGER_TRY(auto who,
              identity::load_local_grant(options.grant_file, environment.clock.unix_seconds()));
  if (!who->grant) return std::unexpected(who->grant.error());
  ZWINGER_TRY(UpstreamConfig config, config_of(options));
  const bool has_policy = options.policy != nullptr;
  auto generation = std::make_shared<Generation>();
  generation->digest = has_policy ? options.policy->digest : std::string();
  generation->roles =
      has_policy ? options.policy->roles : grant::RoleTable(grant::RolesDoNotRestrict{});
  Route route{.upstream = nullptr, .vertical = config.vertical};

  net::Loop loop;
  ZWINGER_CHECK_OK(create_private_folder(options.state_dir));
  ZWINGER_TRY(auto store, state::open_sqlite(options.state_dir / "state.sqlite"));
  ZWINGER_TRY(auto ledger, ledger::Ledger::open(options.state_dir / "ledger",
                                                {.emitter = "wrap-" + options.upstream_id},
                                                environment.clock, environment.random));
  state::AsyncStore async_store(std::move(store));
  Notices notices(loop, *ledger);
  ZWINGER_TRY(
      const ledger::ArgumentKey argument_key,
      ledger::load_or_create_argument_key(options.state_dir / "argument-key", environment.random));
  metrics::Registry registry;
  Meters meters(registry);
  Pipeline pipeline({.store = async_store,
                     .ledger = *ledger,
                     .notices = notices,
                     .clock = environment.clock,
                     .random = environment.random,
                     .meters = meters,
                     .argument_key = argument_key,
                     .bounds = {}});
  Sessions sessions(environment.random);
  // The client shows what the server writes to standard error, as it would without us.
  const auto upstream = std::make_shared<StdioUpstream>(
      loop, StdioUpstreamOptions{.config = std::move(config), .inherit_stderr = true},
      environment.log, notices);
  route.upstream = upstream;

  ZWINGER_TRY(Fd in, own(STDIN_FILENO));
  ZWINGER_TRY(Fd out, own(STDOUT_FILENO));
  ZWINGER_TRY(auto input, net::adopt_read_end(loop, std::move(in)));
  ZWINGER_TRY(auto output, net::adopt_write_end(loop, std::move(out)));
  const auto front =
      std::make_shared<StdioFront>(StdioFront::Parts{.loop = loop,
                                                     .pipeline = pipeline,
                                                     .notices = notices,
                                                     .clock = environment.clock,
                                                     .random = environment.random,
                                                     .who = std::move(who),
                                                     .generation = std::move(generation),
                                                     .route = route,
                                                     .sessions = sessions},
                                   std::move(input), std::move(output), json::Limits{});
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    loop.on_signal(signal, [front] { front->stop(); });
  }
  loop.post([&] { loop.spawn(serve(*front, *upstream, notices, loop)); });
  loop.run();
  return {};
}

}  // namespace zwinger::gateway
