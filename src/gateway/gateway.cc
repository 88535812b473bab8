#include "gateway/gateway.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "base/files.h"
#include "gateway/http_front.h"
#include "gateway/stdio_upstream.h"
#include "net/http_server.h"
#include "net/one_shot.h"
#include "net/process.h"

namespace zwinger::gateway {

namespace {

using namespace std::chrono_literals;

constexpr auto kRunningGrace = 8s;  // for requests that run when we are told to stop
constexpr auto kDrainGrace = 10s;   // for their answers to leave
constexpr unsigned kMaxLoops = 8;

// Connections are descriptors; the soft limit of 1,024 is for programs that use select().
void raise_descriptor_limit() {
  struct rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

// Everything of one running gateway, in the order in which it must be built and, backwards, taken
// down: what posts to a loop goes before the loops do.
class RunningGateway {
 public:
  RunningGateway(const Policy& policy, const Environment& environment)
      : policy_(policy), environment_(environment) {}

  ~RunningGateway() { join(); }
  RunningGateway(const RunningGateway&) = delete;
  RunningGateway& operator=(const RunningGateway&) = delete;

  Result<void> build() {
    ZWINGER_TRY(std::vector<identity::Issuer> issuers, load_issuers(policy_));
    std::vector<std::string> authorization_servers;
    authorization_servers.reserve(issuers.size());
    for (const identity::Issuer& issuer : issuers) authorization_servers.push_back(issuer.issuer);
    verifier_ = std::make_unique<identity::TokenVerifier>(std::move(issuers));

    const unsigned cores = std::clamp(std::thread::hardware_concurrency(), 1U, kMaxLoops);
    for (unsigned i = 0; i < cores; ++i) loops_.push_back(std::make_unique<net::Loop>());

    ZWINGER_CHECK_OK(create_private_folder(policy_.state_dir));
    ZWINGER_TRY(auto store, state::open_sqlite(policy_.state_dir / "state.sqlite"));
    store_ = std::make_unique<state::AsyncStore>(std::move(store));
    ZWINGER_TRY(ledger_, ledger::Ledger::open(policy_.state_dir / "ledger", {.emitter = "gateway"},
                                              environment_.clock, environment_.random));
    notices_ = std::make_unique<Notices>(main_loop(), *ledger_);
    pipeline_ = std::make_unique<Pipeline>(policy_.roles, policy_.digest, *store_, *ledger_,
                                           environment_.clock, Bounds{});
    Routes routes;
    for (const auto& [id, config] : policy_.upstreams) {
      upstreams_.push_back(std::make_unique<StdioUpstream>(
          main_loop(), StdioUpstreamOptions{.config = config}, environment_.log, *notices_));
      routes.emplace(id, Route{.upstream = upstreams_.back().get(), .vertical = config.vertical});
    }
    front_ = std::make_unique<HttpFront>(
        HttpFront::Parts{.pipeline = *pipeline_,
                         .verifier = *verifier_,
                         .notices = *notices_,
                         .clock = environment_.clock,
                         .random = environment_.random,
                         .authorization_servers = std::move(authorization_servers)},
        std::move(routes), json::Limits{});
    return listen();
  }

  void run(const std::function<void(const Ready&)>& on_ready) {
    for (const int signal : {SIGTERM, SIGINT}) {
      main_loop().on_signal(signal, [this] { begin_shutdown(); });
    }
    main_loop().post([this, &on_ready] {
      for (const auto& upstream : upstreams_) upstream->start();
      for (Served& served : servers_) {
        served.loop->post([&served] { served.server->start(); });
      }
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
    std::string authority;
    std::unique_ptr<net::HttpServer> server;
  };

  net::Loop& main_loop() { return *loops_.front(); }

  Result<void> listen() {
    for (const net::Address& configured : policy_.listeners) {
      net::Address address = configured;
      net::PortUse use = net::PortUse::fresh;
      for (const auto& loop : loops_) {
        ZWINGER_TRY(auto listener, net::listen(*loop, address, use));
        use = net::PortUse::shared;
        address = listener->address();  // port 0 has become a real one: the other loops share it
        add_server(*loop, std::move(listener));
        if (address.family == net::Address::Family::unix_socket) break;
      }
    }
    return {};
  }

  void add_server(net::Loop& loop, std::unique_ptr<net::Listener> listener) {
    const net::Address address = listener->address();
    const bool is_unix = address.family == net::Address::Family::unix_socket;
    std::string authority = is_unix ? std::string() : address.to_string();
    addresses_.push_back(address);
    auto handler = [this, &loop, authority](const net::HttpRequest& request) {
      return front_->handle(loop, authority, request);
    };
    auto check_head = [this, authority](const net::HttpRequest& head) {
      return front_->check_head(authority, head);
    };
    servers_.push_back({.loop = &loop,
                        .authority = authority,
                        .server = std::make_unique<net::HttpServer>(
                            loop, std::move(listener), net::HttpServerOptions{}, std::move(handler),
                            &HttpFront::unreadable, std::move(check_head))});
  }

  [[nodiscard]] Ready ready() const {
    Ready out;
    for (const net::Address& address : addresses_) {
      std::string text = address.to_string();
      if (std::ranges::find(out.listeners, text) == out.listeners.end())
        out.listeners.push_back(std::move(text));
    }
    if (out.listeners.empty()) return out;
    const bool is_unix = addresses_.front().family == net::Address::Family::unix_socket;
    for (const auto& [id, config] : policy_.upstreams) {
      out.endpoints[id] =
          (is_unix ? out.listeners.front() + ":" : "http://" + out.listeners.front()) + "/mcp/" +
          id;
    }
    return out;
  }

  void begin_shutdown() {
    if (std::exchange(shutting_down_, true)) return;
    environment_.log.info("stopping: no new requests; running ones have {} s",
                          kRunningGrace.count());
    main_loop().spawn(shut_down());
  }

  static Task<void> drain(net::HttpServer& server, Monotonic deadline,
                          std::shared_ptr<net::OneShot<bool>> done) {
    co_await server.drain(deadline);
    done->set(true);
  }

  static Task<void> stop(StdioUpstream& upstream, std::shared_ptr<net::OneShot<bool>> done) {
    co_await upstream.stop();
    done->set(true);
  }

  // New requests are refused at once. Running ones have kRunningGrace; then they fail, so that
  // their outcomes are recorded and their clients told before connections and processes end. All of
  // it within kShutdownBound.
  Task<void> shut_down() {
    const Monotonic now = net::Loop::now();
    std::vector<std::shared_ptr<net::OneShot<bool>>> drained;
    for (Served& served : servers_) {
      auto done = std::make_shared<net::OneShot<bool>>(main_loop());
      drained.push_back(done);
      served.loop->post([&served, now, done] {
        served.loop->spawn(drain(*served.server, now + kDrainGrace, done));
      });
    }
    const net::Loop::TimerId failing = main_loop().call_at(now + kRunningGrace, [this] {
      for (const auto& upstream : upstreams_) upstream->quiesce();
    });
    for (const auto& done : drained) co_await done->wait();
    main_loop().cancel(failing);

    std::vector<std::shared_ptr<net::OneShot<bool>>> stopped;
    for (const auto& upstream : upstreams_) {
      stopped.push_back(std::make_shared<net::OneShot<bool>>(main_loop()));
      main_loop().spawn(stop(*upstream, stopped.back()));
    }
    for (const auto& done : stopped) co_await done->wait();
    net::kill_orphans();
    notices_->flush();
    for (const auto& loop : loops_) loop->stop();
  }

  void join() {
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }

  const Policy& policy_;
  const Environment& environment_;
  std::vector<std::unique_ptr<net::Loop>> loops_;
  std::unique_ptr<identity::TokenVerifier> verifier_;
  std::unique_ptr<ledger::Ledger> ledger_;
  std::unique_ptr<state::AsyncStore> store_;
  std::unique_ptr<Notices> notices_;
  std::unique_ptr<Pipeline> pipeline_;
  std::vector<std::unique_ptr<StdioUpstream>> upstreams_;
  std::unique_ptr<HttpFront> front_;
  std::vector<net::Address> addresses_;
  std::vector<Served> servers_;
  std::vector<std::thread> threads_;
  bool shutting_down_ = false;
};

}  // namespace

Result<void> run_gateway(const Policy& policy, const Environment& environment,
                         const std::function<void(const Ready&)>& on_ready) {
  raise_descriptor_limit();
  RunningGateway gateway(policy, environment);
  ZWINGER_CHECK_OK(gateway.build());
  gateway.run(on_ready);
  return {};
}

}  // namespace zwinger::gateway
