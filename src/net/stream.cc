#include "net/stream.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <thread>

#include "net/descriptor.h"

namespace zwinger::net {
namespace {

using Kind = Descriptor::Kind;

std::string errno_text(int error) { return std::generic_category().message(error); }

std::unexpected<Error> io_error(std::string_view what, int error) {
  return fail(Code::io, fmt::format("{}: {}", what, errno_text(error)));
}

std::unexpected<Error> wake_error(Wake wake) {
  if (wake == Wake::timeout) return fail(Code::timeout, "the peer was too slow");
  return fail(Code::closed, "the stream was closed");
}

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

// Both kinds of descriptor, sockets and pipes: which system call is the only difference.
class DescriptorStream final : public Stream {
 public:
  DescriptorStream(std::shared_ptr<Descriptor> descriptor, bool is_socket)
      : descriptor_(std::move(descriptor)), is_socket_(is_socket) {}
  ~DescriptorStream() override { descriptor_->close(); }
  DescriptorStream(const DescriptorStream&) = delete;
  DescriptorStream& operator=(const DescriptorStream&) = delete;

  Task<Result<std::size_t>> read_some(std::span<char> into,
                                      std::optional<Monotonic> deadline) override {
    return read(descriptor_, into, deadline);
  }
  Task<Result<void>> write_all(std::string_view bytes, std::optional<Monotonic> deadline) override {
    return write(descriptor_, is_socket_, bytes, deadline);
  }
  void shutdown_write() override {
    if (is_socket_) {
      ::shutdown(descriptor_->fd(), SHUT_WR);
    } else if (write_end_) {
      descriptor_->close();
    }
  }
  void close() override { descriptor_->close(); }
  bool is_quiet() override {
    if (!is_socket_ || !descriptor_->open()) return false;
    char unread = 0;
    return ::recv(descriptor_->fd(), &unread, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && would_block(errno);
  }
  void set_write_end() { write_end_ = true; }

 private:
  // Static, with their own share of the descriptor: they may end after the stream does.
  static Task<Result<std::size_t>> read(std::shared_ptr<Descriptor> descriptor,
                                        std::span<char> into, std::optional<Monotonic> deadline) {
    if (into.empty()) co_return fail(Code::internal, "a read into no bytes");
    if (descriptor->should_yield()) {
      auto turn = descriptor->yield(Direction::read);
      if (const Wake wake = co_await turn; wake == Wake::closed) co_return wake_error(wake);
    }
    for (bool try_first = !descriptor->drained;; try_first = true) {
      if (!descriptor->open()) co_return wake_error(Wake::closed);
      if (try_first) {
        const ssize_t got = ::read(descriptor->fd(), into.data(), into.size());
        if (got >= 0) {
          // A short read took all there was: the next one waits first and saves a system call that
          // would find nothing.
          descriptor->drained = got > 0 && static_cast<std::size_t>(got) < into.size();
          co_return static_cast<std::size_t>(got);
        }
        if (errno == EINTR) continue;
        if (errno == ECONNRESET) co_return fail(Code::closed, "the peer has reset the connection");
        if (!would_block(errno)) co_return io_error("reading failed", errno);
      }
      auto ready = descriptor->wait(Direction::read, deadline);
      if (const Wake wake = co_await ready; wake != Wake::ready) co_return wake_error(wake);
    }
  }

  static Task<Result<void>> write(std::shared_ptr<Descriptor> descriptor, bool is_socket,
                                  std::string_view bytes, std::optional<Monotonic> deadline) {
    if (descriptor->should_yield()) {
      auto turn = descriptor->yield(Direction::write);
      if (const Wake wake = co_await turn; wake == Wake::closed) co_return wake_error(wake);
    }
    while (!bytes.empty()) {
      if (!descriptor->open()) co_return wake_error(Wake::closed);
      const ssize_t put = is_socket
                              ? ::send(descriptor->fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL)
                              : ::write(descriptor->fd(), bytes.data(), bytes.size());
      if (put >= 0) {
        bytes.remove_prefix(static_cast<std::size_t>(put));
        continue;
      }
      if (errno == EINTR) continue;
      if (errno == EPIPE || errno == ECONNRESET)
        co_return fail(Code::closed, "the peer has closed");
      if (!would_block(errno)) co_return io_error("writing failed", errno);
      auto ready = descriptor->wait(Direction::write, deadline);
      if (const Wake wake = co_await ready; wake != Wake::ready) co_return wake_error(wake);
    }
    co_return Result<void>();
  }

  std::shared_ptr<Descriptor> descriptor_;
  bool is_socket_;
  bool write_end_ = false;
};

// Whether epoll takes it; it refuses what is always ready: regular files, /dev/null.
bool can_wait(int fd, mode_t mode) {
  if (S_ISREG(mode) || S_ISDIR(mode)) return false;
  if (S_ISFIFO(mode) || S_ISSOCK(mode)) return true;
  const Fd probe(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  return ::epoll_ctl(probe.get(), EPOLL_CTL_ADD, fd, &event) == 0 || errno != EPERM;
}

Result<std::unique_ptr<Stream>> adopt(Loop& loop, Fd fd, bool write_end) {
  struct stat about{};
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fstat(fd.get(), &about) != 0)
    return io_error("the descriptor cannot be used", errno);
  std::optional<int> restore;
  Kind kind = Kind::socket;
  if (!can_wait(fd.get(), about.st_mode)) {
    kind = Kind::file;
  } else if ((flags & O_NONBLOCK) == 0) {
    // The flag belongs to the open file, which standard input, output and error may share with each
    // other and with other programs. Our own opening of the same pipe or terminal leaves theirs
    // alone; a socket has no second opening.
    const std::string self = fmt::format("/proc/self/fd/{}", fd.get());
    if (Fd own(::open(self.c_str(), (flags & O_ACCMODE) | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
        own) {
      fd = std::move(own);
    } else {
      if (::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0)
        return io_error("O_NONBLOCK was refused", errno);
      restore = flags;
    }
  }
  auto descriptor = std::make_shared<Descriptor>(loop, std::move(fd), kind, restore);
  if (!descriptor->open()) return fail(Code::io, "epoll refused the descriptor");
  auto stream = std::make_unique<DescriptorStream>(std::move(descriptor), S_ISSOCK(about.st_mode));
  if (write_end) stream->set_write_end();
  return stream;
}

// A socket address as the kernel wants it.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  [[nodiscard]] const sockaddr* get() const {
    return reinterpret_cast<const sockaddr*>(
        &storage);  // NOLINT(*-reinterpret-cast): how sockets are typed
  }
  [[nodiscard]] sockaddr* get() {
    return reinterpret_cast<sockaddr*>(
        &storage);  // NOLINT(*-reinterpret-cast): how sockets are typed
  }
  template <class T>
  void assign(const T& value) {
    std::memcpy(&storage, &value, sizeof value);
    size = sizeof value;
  }
};

Result<SocketAddress> to_socket_address(const Address& address) {
  SocketAddress out;
  switch (address.family) {
    case Address::Family::ipv4: {
      sockaddr_in in{};
      in.sin_family = AF_INET;
      in.sin_port = htons(address.port);
      if (::inet_pton(AF_INET, address.host.c_str(), &in.sin_addr) != 1) break;
      out.assign(in);
      return out;
    }
    case Address::Family::ipv6: {
      sockaddr_in6 in{};
      in.sin6_family = AF_INET6;
      in.sin6_port = htons(address.port);
      if (::inet_pton(AF_INET6, address.host.c_str(), &in.sin6_addr) != 1) break;
      out.assign(in);
      return out;
    }
    case Address::Family::unix_socket: {
      sockaddr_un un{};
      un.sun_family = AF_UNIX;
      if (address.host.empty() || address.host.size() >= sizeof un.sun_path) break;
      address.host.copy(un.sun_path, address.host.size());
      out.assign(un);
      return out;
    }
  }
  return fail(Code::io, fmt::format("'{}' cannot be used as an address", address.to_string()));
}

Fd make_socket(const SocketAddress& address) {
  return Fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

void set_option(int fd, int level, int option) {
  const int on = 1;
  ::setsockopt(fd, level, option, &on, sizeof on);
}

// Identity of a socket file, so that only our own is removed.
struct FileId {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const FileId&) const = default;

  static std::optional<FileId> of(const std::string& path) {
    struct stat about{};
    if (::lstat(path.c_str(), &about) != 0 || !S_ISSOCK(about.st_mode)) return std::nullopt;
    return FileId{.device = about.st_dev, .inode = about.st_ino};
  }
};

class SocketListener final : public Listener {
 public:
  SocketListener(std::shared_ptr<Descriptor> descriptor, Address address,
                 std::optional<FileId> file)
      : descriptor_(std::move(descriptor)), address_(std::move(address)), file_(file) {}
  ~SocketListener() override { shut(); }
  SocketListener(const SocketListener&) = delete;
  SocketListener& operator=(const SocketListener&) = delete;

  Task<Result<std::unique_ptr<Stream>>> accept() override {
    return accept_on(descriptor_, address_.family != Address::Family::unix_socket);
  }
  void close() override { shut(); }
  [[nodiscard]] const Address& address() const override { return address_; }

 private:
  static Task<Result<std::unique_ptr<Stream>>> accept_on(std::shared_ptr<Descriptor> listener,
                                                         bool tcp) {
    Loop& loop = listener->loop();
    if (listener->should_yield()) {
      auto turn = listener->yield(Direction::read);
      co_await turn;
    }
    while (listener->open()) {
      Fd fd(::accept4(listener->fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (fd) {
        if (tcp) set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY);
        auto descriptor = std::make_shared<Descriptor>(loop, std::move(fd), Kind::socket);
        co_return std::make_unique<DescriptorStream>(std::move(descriptor), true);
      }
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (would_block(errno)) {
        auto ready = listener->wait(Direction::read, std::nullopt);
        co_await ready;
      } else {
        // No descriptors or no memory left; the peer stays in the backlog meanwhile.
        auto pause = loop.sleep(kAcceptPause);
        co_await pause;
      }
    }
    co_return wake_error(Wake::closed);
  }

  void shut() {
    if (!descriptor_->open()) return;
    if (file_ && FileId::of(address_.host) == file_) ::unlink(address_.host.c_str());
    descriptor_->close();
  }

  static constexpr std::chrono::milliseconds kAcceptPause{50};
  std::shared_ptr<Descriptor> descriptor_;
  Address address_;
  std::optional<FileId> file_;
};

std::unexpected<Error> listen_error(const Address& address, int error) {
  return io_error(fmt::format("cannot listen on {}", address.to_string()), error);
}

// Removes a socket file on which nobody answers.
Result<void> remove_stale_socket(const Address& address, const SocketAddress& socket_address) {
  struct stat about{};
  if (::lstat(address.host.c_str(), &about) != 0) return {};
  if (!S_ISSOCK(about.st_mode)) {
    return fail(Code::io, fmt::format("cannot listen on {}: the file is there and is not a socket",
                                      address.to_string()));
  }
  const Fd probe = make_socket(socket_address);
  if (!probe) return listen_error(address, errno);
  if (::connect(probe.get(), socket_address.get(), socket_address.size) == 0 ||
      errno != ECONNREFUSED) {
    return fail(Code::io, fmt::format("cannot listen on {}: another program answers there",
                                      address.to_string()));
  }
  if (::unlink(address.host.c_str()) != 0) return listen_error(address, errno);
  return {};
}

// Held until `fd` is closed. Anybody may lock a shared folder for ever, so there is a bound.
Result<void> lock_folder(int fd, const Address& address) {
  constexpr int kTries = 100;
  constexpr std::chrono::milliseconds kPause{10};
  for (int i = 0; i < kTries; ++i) {
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return {};
    if (errno != EWOULDBLOCK && errno != EINTR) return listen_error(address, errno);
    std::this_thread::sleep_for(kPause);
  }
  return fail(Code::io, fmt::format("cannot listen on {}: another program holds its folder locked",
                                    address.to_string()));
}

Result<std::unique_ptr<Listener>> listen_unix(Loop& loop, const Address& address,
                                              const SocketAddress& socket_address) {
  // Two starting at once would each take the other's fresh socket for a stale one; the folder's
  // lock makes them queue.
  const std::string folder = std::filesystem::path(address.host).parent_path().string();
  const Fd lock(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock) return listen_error(address, errno);
  ZWINGER_CHECK_OK(lock_folder(lock.get(), address));
  ZWINGER_CHECK_OK(remove_stale_socket(address, socket_address));
  Fd fd = make_socket(socket_address);
  // Linux takes the file's mode from the socket, so it is never wider than this, not even for a
  // moment.
  if (!fd || ::fchmod(fd.get(), S_IRUSR | S_IWUSR) != 0 ||
      ::bind(fd.get(), socket_address.get(), socket_address.size) != 0) {
    return listen_error(address, errno);
  }
  const auto file = FileId::of(address.host);
  auto descriptor = std::make_shared<Descriptor>(loop, std::move(fd), Kind::socket);
  auto listener =
      std::make_unique<SocketListener>(descriptor, address, file);  // from here on removes the file
  if (::listen(descriptor->fd(), SOMAXCONN) != 0) return listen_error(address, errno);
  return listener;
}

Result<std::unique_ptr<Listener>> listen_tcp(Loop& loop, const Address& address,
                                             const SocketAddress& socket_address, PortUse use) {
  if (use == PortUse::fresh && address.port != 0) {
    const Fd probe = make_socket(socket_address);
    if (!probe) return listen_error(address, errno);
    set_option(probe.get(), SOL_SOCKET, SO_REUSEADDR);
    if (address.family == Address::Family::ipv6) set_option(probe.get(), IPPROTO_IPV6, IPV6_V6ONLY);
    if (::bind(probe.get(), socket_address.get(), socket_address.size) != 0) {
      return listen_error(address, errno);
    }
  }
  Fd fd = make_socket(socket_address);
  if (!fd) return listen_error(address, errno);
  set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR);
  set_option(fd.get(), SOL_SOCKET, SO_REUSEPORT);
  if (address.family == Address::Family::ipv6) set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY);
  if (::bind(fd.get(), socket_address.get(), socket_address.size) != 0 ||
      ::listen(fd.get(), SOMAXCONN) != 0) {
    return listen_error(address, errno);
  }
  SocketAddress bound;
  bound.size = sizeof bound.storage;
  if (::getsockname(fd.get(), bound.get(), &bound.size) != 0) return listen_error(address, errno);
  Address actual = address;
  if (address.family == Address::Family::ipv4) {
    sockaddr_in in{};
    std::memcpy(&in, &bound.storage, sizeof in);
    actual.port = ntohs(in.sin_port);
  } else {
    sockaddr_in6 in{};
    std::memcpy(&in, &bound.storage, sizeof in);
    actual.port = ntohs(in.sin6_port);
  }
  auto descriptor = std::make_shared<Descriptor>(loop, std::move(fd), Kind::socket);
  if (!descriptor->open()) return fail(Code::io, "epoll refused the listener");
  return std::make_unique<SocketListener>(std::move(descriptor), std::move(actual), std::nullopt);
}

}  // namespace

Result<std::unique_ptr<Stream>> adopt_read_end(Loop& loop, Fd fd) {
  return adopt(loop, std::move(fd), false);
}
Result<std::unique_ptr<Stream>> adopt_write_end(Loop& loop, Fd fd) {
  return adopt(loop, std::move(fd), true);
}

Result<std::unique_ptr<Listener>> listen(Loop& loop, const Address& address, PortUse use) {
  ZWINGER_TRY(const SocketAddress socket_address, to_socket_address(address));
  if (address.family == Address::Family::unix_socket)
    return listen_unix(loop, address, socket_address);
  return listen_tcp(loop, address, socket_address, use);
}

Task<Result<std::unique_ptr<Stream>>> connect(Loop& loop, Address address, Monotonic deadline) {
  constexpr std::chrono::milliseconds kFullBacklogPause{5};
  const std::string what = fmt::format("cannot connect to {}", address.to_string());
  ZWINGER_CO_TRY(const SocketAddress socket_address, to_socket_address(address));
  Fd fd = make_socket(socket_address);
  if (!fd) co_return io_error(what, errno);
  if (address.family != Address::Family::unix_socket)
    set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY);
  const auto descriptor = std::make_shared<Descriptor>(loop, std::move(fd), Kind::socket);
  while (descriptor->open() &&
         ::connect(descriptor->fd(), socket_address.get(), socket_address.size) != 0) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN) {  // a Unix listener whose backlog is full; there is nothing to wait on
      if (Loop::now() >= deadline) co_return wake_error(Wake::timeout);
      auto pause = loop.sleep(kFullBacklogPause);
      co_await pause;
      continue;
    }
    if (errno != EINPROGRESS && errno != EALREADY) co_return io_error(what, errno);
    auto ready = descriptor->wait(Direction::write, deadline);
    if (const Wake wake = co_await ready; wake != Wake::ready) co_return wake_error(wake);
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(descriptor->fd(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) co_return io_error(what, error);
    break;
  }
  co_return std::make_unique<DescriptorStream>(descriptor, true);
}

}  // namespace zwinger::net
