#include "net/http1_parse.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <charconv>

namespace zwinger::net::http1 {
namespace {

bool is_port(std::string_view text) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && is_digit(text.front()) &&
         text.size() <= 5 && port <= 65535;
}

std::unexpected<Error> ambiguous(std::string message, std::string_view header) {
  return in_header(Code::http_ambiguous_framing, std::move(message), header);
}

std::unexpected<Error> too_large(std::size_t max_body, std::string where) {
  return fail(Code::http_body_too_large, fmt::format("the body is larger than {} bytes", max_body),
              std::move(where));
}

}  // namespace

bool is_host(std::string_view text) {
  std::string_view host = text;
  const auto colon = text.rfind(':');
  if (colon != std::string_view::npos && !text.ends_with(']')) {
    host = text.substr(0, colon);
    if (!is_port(text.substr(colon + 1))) return false;
  }
  if (host.starts_with('[')) {
    if (!host.ends_with(']')) return false;
    const std::string literal(host.substr(1, host.size() - 2));
    in6_addr ignored{};
    return literal.find('\0') == std::string::npos &&
           ::inet_pton(AF_INET6, literal.c_str(), &ignored) == 1;
  }
  return !host.empty() && std::ranges::all_of(host, [](char c) {
    return is_digit(c) || is_alpha(c) || c == '-' || c == '.' || c == '_' || c == '~';
  });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::size_t count_of(const Headers& headers, std::string_view name) {
  return static_cast<std::size_t>(std::ranges::count(headers, name, &Headers::value_type::first));
}

std::optional<std::string_view> only(const Headers& headers, std::string_view name) {
  if (count_of(headers, name) != 1) return std::nullopt;
  return std::ranges::find(headers, name, &Headers::value_type::first)->second;
}

std::unexpected<Error> in_header(Code code, std::string message, std::string_view name) {
  return fail(code, std::move(message), fmt::format("header {}", name));
}

// A list of tokens, RFC 9110, 5.6.1, whose empty elements do not count.
Result<bool> read_keep_alive(const Headers& headers, int minor_version) {
  bool close = false;
  bool keep = minor_version == 1;
  for (const auto& [name, value] : headers) {
    if (name != "connection") continue;
    for (std::string_view rest = value; !rest.empty();) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      const std::string_view element = trimmed(rest.substr(0, comma));
      rest.remove_prefix(std::min(rest.size(), comma + 1));
      if (element.empty()) continue;
      if (!is_token(element)) {
        return in_header(Code::http_syntax, "the value is not a list of tokens", "connection");
      }
      close = close || equals_ignoring_case(element, "close");
      keep = keep || equals_ignoring_case(element, "keep-alive");
    }
  }
  return keep && !close;
}

// --- the head
// ----------------------------------------------------------------------------------------

std::unexpected<Error> HeadReader::at_byte(Code code, std::string message,
                                           std::size_t offset) const {
  return fail(code, std::move(message), fmt::format("byte {} of the {} head", offset, kind_));
}

void HeadReader::restart() {
  buffer_.clear();
  line_begin_ = 0;
  padded_.clear();
}

Result<std::optional<HeadReader::Line>> HeadReader::next_line(std::string_view& input) {
  const std::size_t room = max_head_ - buffer_.size();
  if (room == 0) {
    return fail(
        Code::http_header_too_large,
        fmt::format("the {} and the headers are longer than {} bytes", first_line_, max_head_));
  }
  const std::string_view chunk = input.substr(0, room);
  char previous = buffer_.empty() ? '\0' : buffer_.back();
  std::size_t length = 0;
  bool line_ended = false;
  while (length < chunk.size() && !line_ended) {
    const char c = chunk[length];
    const std::size_t offset = buffer_.size() + length;
    if (previous == '\r' && c != '\n') {
      return at_byte(Code::http_syntax, "a CR stands without its LF", offset - 1);
    }
    if (c == '\n' && previous != '\r') {
      return at_byte(Code::http_syntax, "a line ends with LF, not CRLF", offset);
    }
    if (is_control(c) && c != '\r' && c != '\n' && c != '\t') {
      return at_byte(Code::http_syntax, "a control character stands in the head", offset);
    }
    line_ended = c == '\n';
    previous = c;
    ++length;
  }
  buffer_.append(chunk.substr(0, length));
  input.remove_prefix(length);
  if (!line_ended) return std::nullopt;
  const std::size_t at = std::exchange(line_begin_, buffer_.size());
  const std::size_t size = buffer_.size() - at - kCrlf.size();
  return Line{.text = std::string_view(buffer_).substr(at, size), .at = at};
}

Result<void> HeadReader::add_header(const Line& line, Headers& into) {
  const auto& [text, at] = line;
  if (is_space(text.front())) {
    return at_byte(Code::http_syntax,
                   "a header line begins with white space (folded lines are refused)", at);
  }
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) {
    return at_byte(Code::http_syntax, "a header line has no colon", at);
  }
  const std::string_view name = text.substr(0, colon);
  if (name.empty()) return at_byte(Code::http_syntax, "a header has no name", at);
  if (is_space(name.back())) {
    return at_byte(Code::http_syntax, "white space stands before the colon of a header",
                   at + colon - 1);
  }
  if (const auto bad = std::ranges::find_if_not(name, is_token_char); bad != name.end()) {
    return at_byte(Code::http_syntax, "a header's name holds a character that no name has",
                   at + static_cast<std::size_t>(bad - name.begin()));
  }
  if (into.size() == max_headers_) {
    return at_byte(Code::http_header_too_large,
                   fmt::format("there are more than {} headers", max_headers_), at);
  }
  const std::string_view raw = text.substr(colon + 1);
  const std::string_view value = trimmed(raw);
  if (raw.size() > value.size() + 1 || (raw.size() == value.size() + 1 && raw.front() != ' ')) {
    padded_.push_back(into.size());
  }
  std::string lower_name(name);
  std::ranges::transform(lower_name, lower_name.begin(), lower);
  into.emplace_back(std::move(lower_name), value);
  return {};
}

Result<int> HeadReader::read_version(std::string_view text, std::size_t at) const {
  constexpr std::string_view kName = "HTTP/";
  if (text.size() != kName.size() + 3 || !text.starts_with(kName) || !is_digit(text[5]) ||
      text[6] != '.' || !is_digit(text[7])) {
    return at_byte(Code::http_syntax, "what stands here is not an HTTP version", at);
  }
  if (text[5] != '1' || text[7] > '1') {
    return at_byte(Code::http_version, "the HTTP version is neither 1.1 nor 1.0", at);
  }
  return text[7] - '0';
}

// Surrounding white space is refused here, although other headers may have it: not every parser
// takes the same characters for white space.
Result<Framing> HeadReader::read_framing(const Headers& headers, int minor_version,
                                         std::size_t max_body) const {
  for (const std::size_t index : padded_) {
    const std::string& name = headers[index].first;
    if (name == "content-length" || name == "transfer-encoding") {
      return ambiguous("the value has stray white space around it", name);
    }
  }
  if (count_of(headers, "transfer-encoding") > 0) return read_chunked(headers, minor_version);
  constexpr std::string_view kName = "content-length";
  const std::size_t lengths = count_of(headers, kName);
  if (lengths == 0) return Framing{};
  if (lengths > 1) return ambiguous("it occurs more than once", kName);
  const std::string_view digits = *only(headers, kName);
  if (digits.empty() || !std::ranges::all_of(digits, is_digit)) {
    return ambiguous("the value is not a decimal number", kName);
  }
  std::size_t length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc() || length > max_body) {
    return too_large(max_body, fmt::format("header {}", kName));
  }
  return Framing{.kind = Framing::Kind::length, .length = length};
}

Result<Framing> HeadReader::read_chunked(const Headers& headers, int minor_version) const {
  constexpr std::string_view kName = "transfer-encoding";
  if (count_of(headers, "content-length") > 0) {
    return ambiguous("it stands beside Content-Length", kName);
  }
  if (count_of(headers, kName) > 1) return ambiguous("it occurs more than once", kName);
  if (minor_version == 0) return ambiguous("HTTP/1.0 has no transfer codings", kName);
  if (*only(headers, kName) != "chunked") {
    return ambiguous("the value is not exactly \"chunked\"", kName);
  }
  return Framing{.kind = Framing::Kind::chunked, .length = 0};
}

// --- the body
// ----------------------------------------------------------------------------------------

std::unexpected<Error> BodyReader::here(Code code, std::string message) const {
  return fail(code, std::move(message), fmt::format("byte {} of the body", seen_));
}

void BodyReader::begin(const Framing& framing) {
  remaining_ = framing.length;
  decoded_ = 0;
  seen_ = 0;
  if (framing.kind == Framing::Kind::chunked) {
    phase_ = Phase::chunk_size;
  } else {
    phase_ = remaining_ == 0 ? Phase::complete : Phase::counted;
  }
}

void BodyReader::begin_until_close() {
  begin({});
  phase_ = Phase::until_close;
}

Result<void> BodyReader::feed(std::string_view& input, std::string& into) {
  while (phase_ != Phase::complete && !input.empty()) {
    switch (phase_) {
      case Phase::counted:
      case Phase::chunk_data:
        read_data(input, into);
        break;
      case Phase::until_close:
        into.append(std::exchange(input, {}));
        break;
      case Phase::chunk_size:
        ZWINGER_CHECK_OK(read_chunk_line(input));
        break;
      case Phase::chunk_end:
      case Phase::last_chunk_end:
        ZWINGER_CHECK_OK(expect_crlf(input));
        break;
      case Phase::complete:
        break;
    }
  }
  return {};
}

void BodyReader::read_data(std::string_view& input, std::string& into) {
  const std::string_view part = input.substr(0, remaining_);
  into.append(part);
  input.remove_prefix(part.size());
  remaining_ -= part.size();
  seen_ += part.size();
  if (remaining_ == 0) phase_ = phase_ == Phase::counted ? Phase::complete : Phase::chunk_end;
}

// chunk-size CRLF, RFC 9112, 7.1, without extensions.
Result<void> BodyReader::read_chunk_line(std::string_view& input) {
  constexpr std::size_t kMaxDigits = 16;  // of a 64-bit number
  const auto refuse = [this](std::string message) {
    return here(Code::http_ambiguous_framing, std::move(message));
  };
  while (!input.empty()) {
    const char c = input.front();
    const bool after_cr = line_.ends_with('\r');
    if (after_cr ? c != '\n' : c != '\r' && !is_hex(c)) {
      return refuse(c == ';' && !after_cr ? "chunk extensions are refused"
                                          : "a chunk's size is not a hexadecimal number and CRLF");
    }
    if (c == '\r' && line_.empty()) return refuse("a chunk's size is missing");
    if (is_hex(c) && line_.size() == kMaxDigits) {
      return refuse("a chunk's size has too many digits");
    }
    input.remove_prefix(1);
    ++seen_;
    if (c == '\n') return begin_chunk();
    line_.push_back(c);
  }
  return {};
}

Result<void> BodyReader::begin_chunk() {
  std::uint64_t size = 0;
  std::from_chars(line_.data(), line_.data() + line_.size() - 1, size, 16);
  line_.clear();
  if (size > max_body_ - decoded_) {
    return too_large(max_body_, fmt::format("byte {} of the body", seen_));
  }
  decoded_ += size;
  remaining_ = size;
  phase_ = size == 0 ? Phase::last_chunk_end : Phase::chunk_data;
  return {};
}

Result<void> BodyReader::expect_crlf(std::string_view& input) {
  if (input.front() != kCrlf[line_.size()]) {
    return here(Code::http_ambiguous_framing, phase_ == Phase::chunk_end
                                                  ? "a chunk is not followed by CRLF"
                                                  : "trailers are refused");
  }
  line_.push_back(input.front());
  input.remove_prefix(1);
  ++seen_;
  if (line_.size() < kCrlf.size()) return {};
  line_.clear();
  phase_ = phase_ == Phase::chunk_end ? Phase::chunk_size : Phase::complete;
  return {};
}

}  // namespace zwinger::net::http1
