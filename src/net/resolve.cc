#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <system_error>

#include "net/http_client.h"
#include "net/loop_impl.h"
#include "net/resolver_pool.h"

namespace zwinger::net {
namespace {

constexpr std::size_t kMaxName = 253;      // RFC 1035, 2.3.4, as text without the last dot
constexpr std::size_t kMaxAddresses = 16;  // of one name

std::unexpected<Error> cannot(std::string_view host, std::string_view why) {
  return fail(Code::io, fmt::format("'{}' cannot be resolved: {}", host, why));
}

Address from_bytes(int family, const void* bytes, std::uint16_t port) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(family, bytes, text.data(), text.size());
  return {.family = family == AF_INET ? Address::Family::ipv4 : Address::Family::ipv6,
          .host = text.data(),
          .port = port};
}

std::optional<Address> parse_literal(const std::string& host, std::uint16_t port) {
  in6_addr bytes{};  // large enough for both
  for (const int family : {AF_INET, AF_INET6}) {
    if (::inet_pton(family, host.c_str(), &bytes) == 1) return from_bytes(family, &bytes, port);
  }
  return std::nullopt;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_char(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
         c == '.';
}

// Names only: getaddrinfo takes 127.1, 0x7f000001 and 2130706433 for addresses, too, and who checks
// names against a list would be deceived. All of these end in a label that begins with a digit and
// is a number; no top-level domain is.
Result<void> check_name(std::string_view host) {
  std::string_view name = host;
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty() || name.size() > kMaxName || !std::ranges::all_of(name, is_name_char)) {
    return fail(Code::io, "the host is neither a name nor an IP address");
  }
  const std::string_view last = name.substr(name.rfind('.') + 1);  // all of it without a dot
  const bool hexadecimal = last.starts_with("0x") || last.starts_with("0X");
  if (last.empty() || hexadecimal || std::ranges::all_of(last, is_digit)) {
    return cannot(host, "it ends in a number and is no IP address");
  }
  return {};
}

ResolverPool::Answer look_up(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
  if (error == EAI_SYSTEM) return cannot(host, std::generic_category().message(errno));
  if (error != 0) return cannot(host, ::gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, ::freeaddrinfo);
  std::vector<Address> found;
  for (const addrinfo* at = list; at != nullptr && found.size() < kMaxAddresses; at = at->ai_next) {
    // NOLINTBEGIN(*-reinterpret-cast): how socket addresses are typed
    if (at->ai_family == AF_INET) {
      const auto* in = reinterpret_cast<const sockaddr_in*>(at->ai_addr);
      found.push_back(from_bytes(AF_INET, &in->sin_addr, port));
    } else if (at->ai_family == AF_INET6) {
      const auto* in6 = reinterpret_cast<const sockaddr_in6*>(at->ai_addr);
      // A link-local address means nothing without its interface, which Address does not hold.
      if (in6->sin6_scope_id != 0) continue;
      found.push_back(from_bytes(AF_INET6, &in6->sin6_addr, port));
    }
    // NOLINTEND(*-reinterpret-cast)
  }
  if (found.empty()) return cannot(host, "it has no address that can be used");
  return found;
}

}  // namespace

Task<ResolverPool::Answer> ResolverPool::resolve(std::shared_ptr<ResolverPool> self, Loop& loop,
                                                 std::string host, std::uint16_t port,
                                                 Monotonic deadline) {
  auto reply = std::make_shared<OneShot<Answer>>(loop);
  auto submitted = self->submit({.host = host, .port = port, .deadline = deadline, .reply = reply});
  if (!submitted) co_return std::unexpected(std::move(submitted).error());
  auto waiting = reply->wait_until(deadline);
  auto answer = co_await waiting;
  if (!answer) co_return fail(Code::timeout, fmt::format("'{}' was not resolved in time", host));
  co_return std::move(*answer);
}

Result<void> ResolverPool::submit(Job job) {
  const std::lock_guard lock(mutex_);
  if (waiting_.size() >= kMaxWaiting) return cannot(job.host, "too many names wait for it");
  waiting_.push_back(std::move(job));
  if (threads_ >= kMaxThreads) return {};
  if (start_thread()) {
    ++threads_;
  } else if (threads_ == 0) {
    const Job refused = std::move(waiting_.back());
    waiting_.pop_back();
    return cannot(refused.host, "no thread can be started");
  }
  return {};
}

// std::thread would throw.
bool ResolverPool::start_thread() {
  using Share = std::shared_ptr<ResolverPool>;
  pthread_attr_t attributes;
  if (::pthread_attr_init(&attributes) != 0) return false;
  auto share = std::make_unique<Share>(shared_from_this());
  Share* const argument = share.release();  // the thread's, if there is one
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_t thread{};
  const int error = ::pthread_create(
      &thread, &attributes,
      [](void* given) -> void* {
        const std::unique_ptr<Share> owned(static_cast<Share*>(given));
        (*owned)->work();
        return nullptr;
      },
      argument);
  ::pthread_attr_destroy(&attributes);
  if (error != 0) share.reset(argument);
  return error == 0;
}

void ResolverPool::work() {
  while (true) {
    Job job;
    {
      const std::lock_guard lock(mutex_);
      if (waiting_.empty()) {
        --threads_;
        return;
      }
      job = std::move(waiting_.front());
      waiting_.pop_front();
    }
    const bool awaited = job.reply.use_count() > 1;  // a hint: its coroutine may go at any time
    if (awaited && Loop::now() < job.deadline) job.reply->set(lookup_(job.host, job.port));
  }
}

Task<Result<std::vector<Address>>> resolve(Loop& loop, std::string host, std::uint16_t port,
                                           Monotonic deadline) {
  if (host.find('\0') != std::string::npos) co_return cannot("", "the host holds a NUL");
  if (auto literal = parse_literal(host, port)) co_return std::vector{std::move(*literal)};
  auto checked = check_name(host);
  if (!checked) co_return std::unexpected(std::move(checked).error());
  auto& pool = loop.impl().resolver;
  if (!pool) pool = std::make_shared<ResolverPool>(look_up);
  auto resolving = ResolverPool::resolve(pool, loop, std::move(host), port, deadline);
  co_return co_await resolving;
}

}  // namespace zwinger::net
