// Byte streams on a loop: TCP and Unix sockets, and the pipes of child processes. Loop thread only.
//
// At most one read and one write may be pending at a time. close() makes pending operations end
// with Code::closed; the Stream must outlive them (keep it in the coroutine that awaits, or in a
// shared_ptr).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "base/task.h"
#include "net/loop.h"

namespace zwinger::net {

class Stream {
 public:
  virtual ~Stream() = default;
  // Reads at least one byte; 0 means the peer has ended its side. Errors: closed, io, timeout.
  virtual Task<Result<std::size_t>> read_some(std::span<char> into,
                                              std::optional<Monotonic> deadline) = 0;
  // Writes everything. Errors: closed, io, timeout; then how much was written is unknown.
  virtual Task<Result<void>> write_all(std::string_view bytes,
                                       std::optional<Monotonic> deadline) = 0;
  // Ends our side for writing; reading goes on.
  virtual void shutdown_write() = 0;
  virtual void close() = 0;
  // Whether a socket between two messages is still good: its peer has neither ended nor sent
  // anything that is unread. Does not wait; false where that cannot be told.
  [[nodiscard]] virtual bool is_quiet() { return false; }
};

// Takes over a descriptor (socket, pipe or terminal) and makes it non-blocking.
[[nodiscard]] Result<std::unique_ptr<Stream>> adopt_read_end(Loop& loop, Fd fd);   // read only
[[nodiscard]] Result<std::unique_ptr<Stream>> adopt_write_end(Loop& loop, Fd fd);  // write only

// Where to listen or connect.
struct Address {
  enum class Family : std::uint8_t { ipv4, ipv6, unix_socket };
  Family family = Family::ipv4;
  std::string host;  // IP literal, or the socket's path
  std::uint16_t port = 0;

  // "127.0.0.1:8080", "[::1]:0", "unix:/run/zwinger.sock". Errors: policy_value.
  [[nodiscard]] static Result<Address> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  [[nodiscard]] bool is_loopback() const;  // Unix sockets count
  bool operator==(const Address&) const = default;
};

class Listener {
 public:
  virtual ~Listener() = default;
  // Errors: closed after close(); anything else is retried inside with a pause (EMFILE and the
  // like).
  virtual Task<Result<std::unique_ptr<Stream>>> accept() = 0;
  virtual void close() = 0;
  [[nodiscard]] virtual const Address& address() const = 0;  // with the port that was bound
};

// TCP listeners of this process may share their port between loops (SO_REUSEPORT): listen on it as
// `fresh` first, then on the port it got as `shared`. `fresh` fails where any process listens there
// already, which SO_REUSEPORT alone would let pass in silence. A Unix socket's stale file is
// replaced only when nobody answers on it; mode 0600. Errors: io.
enum class PortUse : std::uint8_t { fresh, shared };
[[nodiscard]] Result<std::unique_ptr<Listener>> listen(Loop& loop, const Address& address,
                                                       PortUse use = PortUse::fresh);
// For tests and clients.
Task<Result<std::unique_ptr<Stream>>> connect(Loop& loop, Address address, Monotonic deadline);

}  // namespace zwinger::net
