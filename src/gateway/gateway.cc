#include "gateway/gateway.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/metrics.h"
#include "gateway/admin.h"
#include "gateway/http_front.h"
#include "gateway/http_upstream.h"
#include "gateway/stdio_upstream.h"
#include "net/http_server.h"
#include "net/one_shot.h"
#include "net/process.h"
#include "net/watch.h"

namespace zwinger::gateway {

namespace {

using namespace std::chrono_literals;

constexpr auto kRunningGrace = 8s;  // for requests that run when we are told to stop
constexpr auto kDrainGrace = 10s;   // for their answers to leave
constexpr unsigned kMaxLoops = 8;
constexpr auto kReloadPause = 200ms;
constexpr auto kSweepPause = 30s;

// Connections are descriptors; the soft limit of 1,024 is for programs that use select().
void raise_descriptor_limit() {
  struct rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

// The upstream of a configuration.
std::shared_ptr<Upstream> make_upstream(std::span<net::Loop* const> loops,
                                        const UpstreamConfig& config,
                                        const Environment& environment, Notices& notices) {
  if (config.is_stdio()) {
    return std::make_shared<StdioUpstream>(*loops.front(), StdioUpstreamOptions{.config = config},
                                           environment.log, notices);
  }
  return std::make_shared<HttpUpstream>(loops, config, environment.log, notices);
}

// What a reload cannot change.
std::optional<Error> needs_restart(const Policy& running, const Policy& loaded) {
  const auto differ = [](std::string_view what) {
    return Error{
        .code = Code::policy_restart,
        .message = std::string(what) + " changed: restart the gateway to use the new policy",
        .where = {}};
  };
  if (running.mode != loaded.mode) return differ("the mode");
  if (running.state_dir != loaded.state_dir) return differ("stateDir");
  if (running.listeners != loaded.listeners) return differ("the listeners");
  if (running.admin != loaded.admin) return differ("the admin listener");
  return std::nullopt;
}

// Everything of one running gateway, in the order in which it must be built and, backwards, taken
// down: what posts to a loop goes before the loops do.
class RunningGateway {
 public:
  RunningGateway(const Policy& policy, const Environment& environment)
      : policy_(policy),
        environment_(environment),
        meters_(registry_),
        sessions_(environment.random) {}

  ~RunningGateway() { join(); }
  RunningGateway(const RunningGateway&) = delete;
  RunningGateway& operator=(const RunningGateway&) = delete;

  // `record`: null opens the one on disk.
  Result<void> build(std::unique_ptr<ledger::Ledger> record) {
    const unsigned cores = std::clamp(std::thread::hardware_concurrency(), 1U, kMaxLoops);
    for (unsigned i = 0; i < cores; ++i) {
      loops_.push_back(std::make_unique<net::Loop>());
      loop_pointers_.push_back(loops_.back().get());
    }
    ZWINGER_CHECK_OK(create_private_folder(policy_.state_dir));
    ZWINGER_TRY(auto store, state::open_sqlite(policy_.state_dir / "state.sqlite"));
    store_ = std::make_unique<state::AsyncStore>(std::move(store));
    ledger_ = std::move(record);
    if (!ledger_) {
      ZWINGER_TRY(ledger_,
                  ledger::Ledger::open(policy_.state_dir / "ledger", {.emitter = "gateway"},
                                       environment_.clock, environment_.random));
    }
    ZWINGER_TRY(ledger::ArgumentKey key,
                ledger::load_or_create_argument_key(policy_.state_dir / "argument-key",
                                                    environment_.random));
    argument_key_.emplace(std::move(key));
    notices_ = std::make_unique<Notices>(main_loop(), *ledger_);
    pipeline_ = std::make_unique<Pipeline>(Pipeline::Parts{.store = *store_,
                                                           .ledger = *ledger_,
                                                           .notices = *notices_,
                                                           .clock = environment_.clock,
                                                           .random = environment_.random,
                                                           .meters = meters_,
                                                           .argument_key = *argument_key_,
                                                           .bounds = {}});
    ZWINGER_TRY(auto generation, make_generation(policy_, nullptr));
    current_.set(std::move(generation));
    meters_.generation_at.set(static_cast<double>(environment_.clock.unix_seconds()));
    front_ = std::make_unique<HttpFront>(HttpFront::Parts{.pipeline = *pipeline_,
                                                          .current = current_,
                                                          .sessions = sessions_,
                                                          .notices = *notices_,
                                                          .clock = environment_.clock,
                                                          .random = environment_.random},
                                         json::Limits{});
    ZWINGER_CHECK_OK(listen());
    return listen_for_admins();
  }

  void run(const std::function<void(const Ready&)>& on_ready) {
    for (const int signal : {SIGTERM, SIGINT}) {
      main_loop().on_signal(signal, [this] { begin_shutdown(); });
    }
    main_loop().on_signal(SIGHUP, [this] { reload(); });
    main_loop().post([this, &on_ready] {
      watch_policy();
      for (Served& served : servers_) {
        served.loop->post([&served] { served.server->start(); });
      }
      main_loop().spawn(sweep());
      meters_.ready.set(1);
      on_ready(ready());
    });
    for (std::size_t i = 1; i < loops_.size(); ++i) {
      threads_.emplace_back([loop = loops_[i].get()] { loop->run(); });
    }
    // Children die with the thread that made them, so the upstreams' loop is the main thread's.
    main_loop().run();
    join();
  }

 private:
  struct Served {
    net::Loop* loop;
    std::unique_ptr<Listening> at;  // null: for admins
    std::unique_ptr<net::HttpServer> server;
  };

  net::Loop& main_loop() { return *loops_.front(); }

  // --- policy generations ---

  // Upstreams whose configuration is that of `before` are taken over, with all that runs on them.
  Result<std::shared_ptr<const Generation>> make_generation(const Policy& policy,
                                                            const Generation* before) {
    ZWINGER_TRY(std::vector<identity::Issuer> issuers, load_issuers(policy));
    auto out = std::make_shared<Generation>();
    out->digest = policy.digest;
    out->roles = policy.roles;
    for (const identity::Issuer& issuer : issuers) {
      out->authorization_servers.push_back(issuer.issuer);
    }
    out->verifier = std::make_shared<identity::TokenVerifier>(std::move(issuers));
    for (const auto& [id, config] : policy.upstreams) {
      std::shared_ptr<Upstream> upstream;
      if (before != nullptr) {
        const auto known = before->routes.find(id);
        if (known != before->routes.end() && known->second.upstream->config() == config) {
          upstream = known->second.upstream;
        }
      }
      if (!upstream) upstream = make_upstream(loop_pointers_, config, environment_, *notices_);
      out->routes.emplace(id, Route{.upstream = std::move(upstream), .vertical = config.vertical});
    }
    out->virtual_servers = policy.virtual_servers;
    out->naming = policy.naming;
    out->max_sessions = policy.max_sessions;
    return out;
  }

  void watch_policy() {
    auto watch = net::Watch::start(main_loop(), {policy_.directory, policy_.directory / "roles"},
                                   [this](const std::string& /*name*/) { reload_soon(); });
    if (watch) {
      watch_ = *std::move(watch);
    } else {
      environment_.log.warn("the policy directory is not watched ({}); SIGHUP reloads it",
                            watch.error().to_string());
    }
  }

  // Several files are often renamed one after the other.
  void reload_soon() {
    if (std::exchange(reload_due_, true)) return;
    main_loop().call_at(net::Loop::now() + kReloadPause, [this] {
      reload_due_ = false;
      reload();
    });
  }

  void refuse_reload(const std::vector<Error>& errors) {
    meters_.reloads_failed.add();
    for (const Error& error : errors) {
      environment_.log.error("the new policy is not used: {}", error.to_string());
    }
    environment_.log.error("the policy loaded before stays in force ({})",
                           current_.get()->digest.substr(0, 12));
    notices_->note("policy_refused", {}, {}, name(errors.front().code));
  }

  void reload() {
    if (shutting_down_) return;
    auto loaded = load_policy(policy_.directory);
    if (!loaded) return refuse_reload(loaded.error());
    const auto before = current_.get();
    if (loaded->digest == before->digest) {
      environment_.log.info("the policy is unchanged ({})", before->digest.substr(0, 12));
      return;
    }
    if (auto error = needs_restart(policy_, *loaded)) return refuse_reload({*std::move(error)});
    auto generation = make_generation(*loaded, before.get());
    if (!generation) return refuse_reload({generation.error()});
    const bool same_issuers = policy_.issuers == loaded->issuers;
    policy_ = *std::move(loaded);
    current_.set(*generation);
    retire(*before, **generation);
    // The new policy holds at once for sessions that live. Which upstreams stand behind one URL was
    // settled when they began: these begin anew.
    for (const auto& session : sessions_.all()) {
      if (session->federation()) {
        sessions_.remove(session->id());
      } else {
        session->adopt(*generation, same_issuers);
      }
    }
    meters_.reloads_ok.add();
    meters_.generation_at.set(static_cast<double>(environment_.clock.unix_seconds()));
    notices_->note("policy_loaded", {}, {}, "ok");
    environment_.log.info("policy {} is in force", (*generation)->digest.substr(0, 12));
  }

  // Ends what the new generation has no more: sessions that use it, then the upstream itself.
  void retire(const Generation& before, const Generation& now) {
    for (const auto& [id, route] : before.routes) {
      const auto kept = now.routes.find(id);
      if (kept != now.routes.end() && kept->second.upstream == route.upstream) continue;
      for (const auto& session : sessions_.all()) {
        const auto members = session->members();
        const bool uses = std::ranges::any_of(members, [&](const Session::Member& member) {
          return member.route.upstream == route.upstream;
        });
        if (uses) sessions_.remove(session->id());
      }
      main_loop().spawn(stop_upstream(route.upstream, nullptr));
    }
  }

  // --- listeners ---

  static std::shared_ptr<const net::TlsServerContext> none() { return nullptr; }
  static Result<std::shared_ptr<const net::TlsServerContext>> tls_of(
      const std::optional<TlsListenerConfig>& config) {
    if (!config) return none();
    return net::TlsServerContext::make(
        {.certificate = config->certificate,
         .key = config->key,
         .client_ca = config->client_ca,
         .require_client_certificate = config->require_client_certificate});
  }

  Result<void> listen() {
    for (const ListenerConfig& configured : policy_.listeners) {
      ZWINGER_TRY(const auto tls, tls_of(configured.tls));
      net::Address address = configured.address;
      net::PortUse use = net::PortUse::fresh;
      for (const auto& loop : loops_) {
        ZWINGER_TRY(auto listener, net::listen(*loop, address, use));
        use = net::PortUse::shared;
        address = listener->address();  // port 0 has become a real one: the other loops share it
        add_server(*loop, std::move(listener), configured, tls);
        if (address.family == net::Address::Family::unix_socket) break;
      }
    }
    return {};
  }

  void add_server(net::Loop& loop, std::unique_ptr<net::Listener> listener,
                  const ListenerConfig& config, std::shared_ptr<const net::TlsServerContext> tls) {
    const net::Address address = listener->address();
    auto at = std::make_unique<Listening>();
    const bool is_unix = address.family == net::Address::Family::unix_socket;
    at->authority = is_unix ? std::string() : address.to_string();
    at->tls = tls != nullptr;
    at->loopback = address.is_loopback();
    at->hosts = config.hosts;
    at->origins = config.origins;
    if (addresses_.empty()) first_tls_ = at->tls;
    addresses_.push_back(address);
    auto handler = [this, &loop, where = at.get()](const net::HttpRequest& request,
                                                   net::HttpResponder& responder) {
      return front_->handle(loop, *where, request, responder);
    };
    auto check_head = [this, where = at.get()](const net::HttpRequest& head,
                                               const net::HttpPeer& /*peer*/) {
      return front_->check_head(*where, head);
    };
    net::HttpServerOptions options;
    options.tls = std::move(tls);
    servers_.push_back({.loop = &loop,
                        .at = std::move(at),
                        .server = std::make_unique<net::HttpServer>(
                            loop, std::move(listener), options, std::move(handler),
                            &HttpFront::unreadable, std::move(check_head))});
  }

  Result<void> listen_for_admins() {
    AdminConfig config;
    config.address.family = net::Address::Family::unix_socket;
    config.address.host = (policy_.state_dir / "admin.sock").string();
    const bool is_default = !policy_.admin;
    if (policy_.admin) config = *policy_.admin;
    std::optional<std::string> token;
    if (config.token_file) {
      ZWINGER_TRY(std::string text, read_private_file(*config.token_file, 4096));
      while (text.ends_with('\n')) text.pop_back();
      if (text.size() < 16) {
        return fail(Code::policy_value, "the admin token must have at least 16 characters",
                    config.token_file->string());
      }
      token = std::move(text);
    }
    admin_ = std::make_unique<Admin>(Admin::Parts{
        .registry = registry_, .not_ready = [this] { return not_ready(); }, .token = token});
    ZWINGER_TRY(const auto tls, tls_of(config.tls));
    auto listener = net::listen(main_loop(), config.address);
    if (!listener) {
      if (!is_default) return std::unexpected(std::move(listener).error());
      // A state folder with a long path has no room for a socket's name.
      environment_.log.warn("there is no admin listener: {}", listener.error().to_string());
      return {};
    }
    admin_address_ = (*listener)->address().to_string();
    net::HttpServerOptions options;
    options.max_connections = 64;
    options.tls = tls;
    servers_.push_back({.loop = &main_loop(),
                        .at = nullptr,
                        .server = std::make_unique<net::HttpServer>(
                            main_loop(), *std::move(listener), options,
                            [this](const net::HttpRequest& request, net::HttpResponder& responder) {
                              return admin_->handle(request, responder);
                            },
                            &HttpFront::unreadable)});
    return {};
  }

  [[nodiscard]] std::optional<Error> not_ready() const {
    if (shutting_down_) {
      return Error{Code::http_draining, std::string(info(Code::http_draining).text), {}};
    }
    if (!ledger_->healthy()) {
      return Error{Code::ledger_unavailable, std::string(info(Code::ledger_unavailable).text), {}};
    }
    return std::nullopt;
  }

  [[nodiscard]] Ready ready() const {
    Ready out;
    out.admin = admin_address_;
    for (const net::Address& address : addresses_) {
      std::string text = address.to_string();
      if (std::ranges::find(out.listeners, text) == out.listeners.end())
        out.listeners.push_back(std::move(text));
    }
    if (out.listeners.empty()) return out;
    const bool is_unix = addresses_.front().family == net::Address::Family::unix_socket;
    const std::string base = is_unix
                                 ? out.listeners.front() + ":"
                                 : (first_tls_ ? "https://" : "http://") + out.listeners.front();
    for (const auto& [id, config] : policy_.upstreams)
      out.endpoints[id] = fmt::format("{}/mcp/{}", base, id);
    for (const auto& [id, selection] : policy_.virtual_servers) {
      out.endpoints[id] = fmt::format("{}/mcp/{}", base, id);
    }
    return out;
  }

  // --- the end ---

  Task<void> sweep() {
    while (!shutting_down_) {
      co_await main_loop().sleep(kSweepPause);
      sessions_.sweep(environment_.clock.monotonic(), environment_.clock.unix_seconds());
      meters_.sessions.set(static_cast<double>(sessions_.size()));
    }
  }

  void begin_shutdown() {
    if (shutting_down_.exchange(true)) return;
    meters_.ready.set(0);
    environment_.log.info("stopping: no new requests; running ones have {} s",
                          kRunningGrace.count());
    main_loop().spawn(shut_down());
  }

  static Task<void> drain(net::HttpServer& server, Monotonic deadline,
                          std::shared_ptr<net::OneShot<bool>> done) {
    co_await server.drain(deadline);
    done->set(true);
  }

  static Task<void> stop_upstream(std::shared_ptr<Upstream> upstream,
                                  std::shared_ptr<net::OneShot<bool>> done) {
    co_await upstream->stop();
    if (done) done->set(true);
  }

  // New requests are refused at once. Running ones have kRunningGrace; then they fail, so that
  // their outcomes are recorded and their clients told before connections and processes end. All of
  // it within kShutdownBound.
  Task<void> shut_down() {
    const Monotonic now = net::Loop::now();
    const auto generation = current_.get();
    // Clients that only listen have nothing to wait for.
    for (const auto& session : sessions_.all()) session->standalone()->shut();
    std::vector<std::shared_ptr<net::OneShot<bool>>> drained;
    for (Served& served : servers_) {
      auto done = std::make_shared<net::OneShot<bool>>(main_loop());
      drained.push_back(done);
      served.loop->post([&served, now, done] {
        served.loop->spawn(drain(*served.server, now + kDrainGrace, done));
      });
    }
    const net::Loop::TimerId failing = main_loop().call_at(now + kRunningGrace, [generation] {
      for (const auto& [id, route] : generation->routes) route.upstream->quiesce();
    });
    for (const auto& done : drained) co_await done->wait();
    main_loop().cancel(failing);

    sessions_.end_all();
    std::vector<std::shared_ptr<net::OneShot<bool>>> stopped;
    for (const auto& [id, route] : generation->routes) {
      stopped.push_back(std::make_shared<net::OneShot<bool>>(main_loop()));
      main_loop().spawn(stop_upstream(route.upstream, stopped.back()));
    }
    for (const auto& done : stopped) co_await done->wait();
    watch_.reset();
    net::kill_orphans();
    notices_->flush();
    for (const auto& loop : loops_) loop->stop();
  }

  void join() {
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }

  Policy policy_;  // in force
  const Environment& environment_;
  metrics::Registry registry_;
  Meters meters_;
  std::vector<std::unique_ptr<net::Loop>> loops_;
  std::vector<net::Loop*> loop_pointers_;
  std::unique_ptr<ledger::Ledger> ledger_;
  std::unique_ptr<state::AsyncStore> store_;
  std::optional<ledger::ArgumentKey> argument_key_;
  std::unique_ptr<Notices> notices_;
  std::unique_ptr<Pipeline> pipeline_;
  CurrentGeneration current_;
  Sessions sessions_;
  std::unique_ptr<HttpFront> front_;
  std::unique_ptr<Admin> admin_;
  std::string admin_address_;
  std::vector<net::Address> addresses_;
  bool first_tls_ = false;
  std::vector<Served> servers_;
  std::unique_ptr<net::Watch> watch_;
  bool reload_due_ = false;
  std::vector<std::thread> threads_;
  std::atomic<bool> shutting_down_ = false;
};

Result<void> build_and_run(const Policy& policy, const Environment& environment,
                           const std::function<void(const Ready&)>& on_ready,
                           std::unique_ptr<ledger::Ledger> record) {
  raise_descriptor_limit();
  RunningGateway gateway(policy, environment);
  ZWINGER_CHECK_OK(gateway.build(std::move(record)));
  gateway.run(on_ready);
  return {};
}

}  // namespace

Result<void> run_gateway(const Policy& policy, const Environment& environment,
                         const std::function<void(const Ready&)>& on_ready) {
  return build_and_run(policy, environment, on_ready, nullptr);
}

Result<void> run_gateway(const Policy& policy, const Environment& environment,
                         const std::function<void(const Ready&)>& on_ready,
                         ledger::RecordNothingForBenchmarks danger) {
  return build_and_run(policy, environment, on_ready,
                       ledger::Ledger::open_in_memory(danger, environment.clock));
}

}  // namespace zwinger::gateway
