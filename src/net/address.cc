#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <array>
#include <charconv>

#include "net/stream.h"

namespace zwinger::net {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr std::string_view kForms = "write 127.0.0.1:8080, [::1]:8080 or unix:/run/zwinger.sock";

std::unexpected<Error> refuse(std::string_view text, std::string_view why) {
  return fail(Code::policy_value, fmt::format("'{}' is not an address: {}; {}", text, why, kForms));
}

Result<Address> parse_unix(std::string_view text) {
  const std::string_view path = text.substr(kUnixPrefix.size());
  if (!path.starts_with('/')) return refuse(text, "a socket's path begins with /");
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return refuse(text, fmt::format("a socket's path has at most {} bytes",
                                    sizeof(sockaddr_un::sun_path) - 1));
  }
  for (const char c : path) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      return refuse(text, "the path holds a control character");
  }
  return Address{.family = Address::Family::unix_socket, .host = std::string(path), .port = 0};
}

// Decimal without sign or leading zeros.
std::optional<std::uint16_t> parse_port(std::string_view text) {
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return port;
}

// The literal in its one canonical spelling.
std::optional<std::string> canonical_literal(int family, std::string_view text) {
  const std::string literal(text);
  if (literal.size() != text.size() || literal.find('\0') != std::string::npos) return std::nullopt;
  in6_addr bytes{};  // large enough for both
  if (::inet_pton(family, literal.c_str(), &bytes) != 1) return std::nullopt;
  std::array<char, INET6_ADDRSTRLEN> canonical{};
  if (::inet_ntop(family, &bytes, canonical.data(), canonical.size()) == nullptr)
    return std::nullopt;
  return std::string(canonical.data());
}

}  // namespace

Result<Address> Address::parse(std::string_view text) {
  if (text.starts_with(kUnixPrefix)) return parse_unix(text);
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return refuse(text, "the port is missing");
  const auto port = parse_port(text.substr(colon + 1));
  if (!port) return refuse(text, "the port is not a decimal number from 0 to 65535");
  const std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    const auto literal = canonical_literal(AF_INET6, host.substr(1, host.size() - 2));
    if (!literal) return refuse(text, "what stands in brackets is not an IPv6 address");
    return Address{.family = Family::ipv6, .host = *literal, .port = *port};
  }
  const auto literal = canonical_literal(AF_INET, host);
  if (!literal) {
    return refuse(
        text,
        "the host is not an IP address (names are not resolved: for localhost write 127.0.0.1)");
  }
  return Address{.family = Family::ipv4, .host = *literal, .port = *port};
}

std::string Address::to_string() const {
  switch (family) {
    case Family::ipv4:
      return fmt::format("{}:{}", host, port);
    case Family::ipv6:
      return fmt::format("[{}]:{}", host, port);
    case Family::unix_socket:
      return fmt::format("{}{}", kUnixPrefix, host);
  }
  return {};
}

bool Address::is_loopback() const {
  switch (family) {
    case Family::ipv4: {
      in_addr bytes{};
      return ::inet_pton(AF_INET, host.c_str(), &bytes) == 1 && ntohl(bytes.s_addr) >> 24U == 127;
    }
    case Family::ipv6: {
      in6_addr
          bytes{};  // ::ffff:127.0.0.1 does not count: it is an IPv4 address in another spelling
      return ::inet_pton(AF_INET6, host.c_str(), &bytes) == 1 && IN6_IS_ADDR_LOOPBACK(&bytes);
    }
    case Family::unix_socket:
      return true;
  }
  return false;
}

}  // namespace zwinger::net
