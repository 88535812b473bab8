#include "text/url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "text/ascii.h"

namespace zwinger::text {

namespace {

constexpr std::size_t kMaxHost = 253;  // RFC 1035 section 2.3.4, without the trailing dot
constexpr std::size_t kMaxLabel = 63;

// Cuts the next piece before `separator` off `rest`; `rest` is left empty after the last one.
std::string_view cut(std::string_view& rest, char separator) {
  const std::size_t end = std::min(rest.find(separator), rest.size());
  const std::string_view piece = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return piece;
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, is_digit);
}

// A decimal number of at most `max`, in at most five digits.
bool is_number_up_to(std::string_view text, int max) {
  if (!all_digits(text) || text.size() > 5) return false;
  int value = 0;
  for (const char c : text) value = value * 10 + (c - '0');
  return value <= max;
}

// Whether some parsers take a name with this last label for an IPv4 address (WHATWG URL, "ends in a
// number").
bool looks_like_number(std::string_view label) {
  return all_digits(label) ||
         (label.starts_with("0x") &&
          std::ranges::all_of(label.substr(2), [](char c) { return hex_value(c) >= 0; }));
}

bool is_dotted_quad(std::string_view host) {
  if (std::ranges::count(host, '.') != 3) return false;
  for (int i = 0; i < 4; ++i) {
    const std::string_view part = cut(host, '.');
    if (!is_number_up_to(part, 255) || (part.size() > 1 && part.front() == '0')) return false;
  }
  return true;
}

bool is_label(std::string_view label) {
  return !label.empty() && label.size() <= kMaxLabel && std::ranges::all_of(label, [](char c) {
    return is_digit(c) || is_letter(c) || c == '-' || c == '_';
  });
}

// `literal` without brackets. inet_ntop writes RFC 5952 form; inet_pton knows no zone.
std::optional<std::string> canonical_ipv6(std::string_view literal) {
  in6_addr address{};
  if (literal.size() >= INET6_ADDRSTRLEN ||
      inet_pton(AF_INET6, std::string(literal).c_str(), &address) != 1) {
    return std::nullopt;
  }
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (inet_ntop(AF_INET6, &address, text.data(), text.size()) == nullptr) return std::nullopt;
  return "[" + std::string(text.data()) + "]";
}

// The schemes that all parsers split alike and that do go to their host: a file: or javascript: URL
// can name an allowed host and mean something else.
bool is_known_scheme(std::string_view scheme) {
  std::string lower(scheme);
  std::ranges::transform(lower, lower.begin(), to_lower);
  static constexpr std::array<std::string_view, 5> kSchemes = {"http", "https", "ws", "wss", "ftp"};
  return std::ranges::find(kSchemes, lower) != kSchemes.end();
}

bool has_space_control_or_backslash(std::string_view url) {
  return has_control(url) || url.find_first_of(" \\") != std::string_view::npos;
}

}  // namespace

std::optional<std::string> canonical_host(std::string_view host) {
  if (host.starts_with('[')) {
    if (!host.ends_with(']') || host.contains('\0')) return std::nullopt;
    return canonical_ipv6(host.substr(1, host.size() - 2));
  }
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.empty() || host.size() > kMaxHost || host.ends_with('.')) return std::nullopt;

  std::string lower(host);
  std::ranges::transform(lower, lower.begin(), to_lower);
  std::string_view rest = lower;
  std::string_view last;
  while (!rest.empty()) {
    last = cut(rest, '.');
    if (!is_label(last)) return std::nullopt;
  }
  if (looks_like_number(last) && !is_dotted_quad(lower)) return std::nullopt;
  return lower;
}

std::optional<std::string> canonical_url_host(std::string_view url) {
  if (has_space_control_or_backslash(url)) return std::nullopt;
  const std::size_t colon = url.find("://");
  if (colon == std::string_view::npos || !is_known_scheme(url.substr(0, colon)))
    return std::nullopt;
  const std::string_view rest = url.substr(colon + 3);
  const std::size_t end = std::min(rest.find_first_of("/?#"), rest.size());
  const std::string_view authority = rest.substr(0, end);
  if (authority.contains('@')) return std::nullopt;
  // Parsers older than RFC 3986 end an authority at "/" only, so "https://a?@b/" is userinfo to
  // them.
  if (end < rest.size() && rest[end] != '/' && rest.find('@', end) != std::string_view::npos) {
    return std::nullopt;
  }

  // The port starts at the first colon behind the host; an IPv6 literal's own colons stand in
  // brackets.
  const std::size_t host_end = authority.starts_with('[')
                                   ? authority.find(']')
                                   : std::min(authority.find(':'), authority.size());
  if (host_end == std::string_view::npos) return std::nullopt;
  const std::size_t host_size = authority.starts_with('[') ? host_end + 1 : host_end;
  const std::string_view port = authority.substr(host_size);
  if (!port.empty() && (port.front() != ':' || !is_number_up_to(port.substr(1), 65535))) {
    return std::nullopt;
  }
  return canonical_host(authority.substr(0, host_size));
}

}  // namespace zwinger::text
