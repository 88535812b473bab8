#include "grant/uri.h"

#include <algorithm>
#include <string>

#include "text/ascii.h"
#include "text/path.h"
#include "text/utf8.h"

namespace zwinger::grant {

namespace {

bool is_scheme(std::string_view text) {
  return !text.empty() && text::is_letter(text.front()) && std::ranges::all_of(text, [](char c) {
    return text::is_letter(c) || text::is_digit(c) || c == '+' || c == '-' || c == '.';
  });
}

bool is_port(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, text::is_digit);
}

// A host with or without a port. Which host it is does not matter, only that nobody reads another.
bool is_plain_authority(std::string_view authority) {
  const auto is_odd = [](char c) {
    return c == '@' || c == '%' || static_cast<unsigned char>(c) >= 0x80;
  };
  if (std::ranges::any_of(authority, is_odd)) return false;
  std::string_view port = authority;
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos) return false;
    port.remove_prefix(end + 1);
    if (port.empty()) return true;
    if (!port.starts_with(':')) return false;
  } else {
    const std::size_t colon = authority.find(':');
    if (colon == std::string_view::npos) return true;
    port.remove_prefix(colon);
  }
  return is_port(port.substr(1));
}

bool is_plain_segment(std::string_view segment) {
  if (segment.empty()) return true;
  const std::string path = '/' + std::string(segment);
  return text::canonical_path(path) == path;
}

// Cuts at everything that ends a segment for some reader.
bool has_plain_segments(std::string_view text) {
  while (true) {
    const std::size_t end = text.find_first_of("/?#;");
    if (!is_plain_segment(text.substr(0, end))) return false;
    if (end == std::string_view::npos) return true;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

bool is_plain_uri(std::string_view uri) {
  if (uri.size() > kMaxUriBytes || text::first_invalid_utf8(uri) || text::has_control(uri) ||
      uri.find_first_of(" \\") != std::string_view::npos) {
    return false;
  }
  const std::size_t colon = uri.find(':');
  if (colon == std::string_view::npos || !is_scheme(uri.substr(0, colon))) return false;
  std::string_view rest = uri.substr(colon + 1);
  if (rest.empty() || !has_plain_segments(rest)) return false;
  if (rest.starts_with("//")) {
    rest.remove_prefix(2);
    const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
    if (!is_plain_authority(authority)) return false;
    rest.remove_prefix(authority.size());
  }
  return !rest.substr(0, rest.find_first_of("?#")).contains("//");
}

}  // namespace zwinger::grant
