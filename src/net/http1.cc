#include "net/http1.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <iterator>

namespace zwinger::net {
namespace {

constexpr std::string_view kCrlf = "\r\n";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_space(char c) { return c == ' ' || c == '\t'; }
bool is_control(char c) { return (static_cast<unsigned char>(c) < 0x20) || c == 0x7f; }

// tchar, RFC 9110, 5.6.2
bool is_token_char(char c) {
  return is_digit(c) || is_alpha(c) ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}
bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, is_token_char);
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::unexpected<Error> at_byte(Code code, std::string message, std::size_t offset) {
  return fail(code, std::move(message), fmt::format("byte {} of the request head", offset));
}
std::unexpected<Error> in_header(Code code, std::string message, std::string_view name) {
  return fail(code, std::move(message), fmt::format("header {}", name));
}

bool is_port(std::string_view text) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && is_digit(text.front()) &&
         text.size() <= 5 && port <= 65535;
}

// host [":" port], RFC 9110, 7.2, without the spellings that only some parsers understand: no
// percent signs, no sub-delims.
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

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "";  // may be empty, RFC 9112, section 4
  }
}

bool frames_the_message(std::string_view name) {
  return equals_ignoring_case(name, "content-length") ||
         equals_ignoring_case(name, "transfer-encoding") ||
         equals_ignoring_case(name, "connection");
}

}  // namespace

std::size_t HttpRequest::count(std::string_view name) const {
  return static_cast<std::size_t>(
      std::ranges::count(headers, name, &std::pair<std::string, std::string>::first));
}

std::optional<std::string_view> HttpRequest::header(std::string_view name) const {
  if (count(name) != 1) return std::nullopt;
  return std::ranges::find(headers, name, &std::pair<std::string, std::string>::first)->second;
}

std::string serialize(const HttpResponse& response, bool keep_alive, bool head_only) {
  const int status = response.status >= 200 && response.status <= 599 ? response.status : 500;
  const bool has_body = status != 204 && status != 304;  // RFC 9110, 15.3.5 and 15.4.5
  std::string out;
  out.reserve(256 + response.body.size());
  fmt::format_to(std::back_inserter(out), "HTTP/1.1 {} {}\r\n", status, reason_phrase(status));
  for (const auto& [name, value] : response.headers) {
    if (!is_token(name) || frames_the_message(name)) continue;
    out.append(name).append(": ");
    const auto begin = static_cast<std::ptrdiff_t>(out.size());
    out.append(value);
    std::replace_if(out.begin() + begin, out.end(), is_control, ' ');
    out.append(kCrlf);
  }
  if (has_body)
    fmt::format_to(std::back_inserter(out), "Content-Length: {}\r\n", response.body.size());
  out.append(keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n");
  if (has_body && !head_only) out.append(response.body);
  return out;
}

Result<RequestParser::State> RequestParser::feed(std::string_view& input) {
  if (failed_) return std::unexpected(*failed_);
  auto state = step(input);
  if (!state) failed_ = state.error();
  return state;
}

Result<RequestParser::State> RequestParser::step(std::string_view& input) {
  while (phase_ != Phase::complete && !input.empty()) {
    switch (phase_) {
      case Phase::head:
        ZWINGER_CHECK_OK(read_head(input));
        if (std::exchange(continue_due_, false)) return State::need_continue;
        break;
      case Phase::body:
      case Phase::chunk_data:
        read_body(input);
        break;
      case Phase::chunk_size:
        ZWINGER_CHECK_OK(read_chunk_line(input));
        break;
      case Phase::chunk_end:
      case Phase::last_chunk_end:
        ZWINGER_CHECK_OK(expect_crlf(input));
        break;
      case Phase::closed:
        return fail(Code::http_syntax,
                    "there are bytes after a request that asked to close the connection");
      case Phase::complete:
        break;
    }
  }
  return phase_ == Phase::complete ? State::complete : State::need_more;
}

HttpRequest RequestParser::take() {
  HttpRequest done = std::exchange(request_, {});
  phase_ = done.keep_alive ? Phase::head : Phase::closed;
  skipped_empty_line_ = false;
  body_bytes_ = 0;
  return done;
}

const HttpRequest* RequestParser::awaiting_body() const {
  const bool waits = phase_ != Phase::head && phase_ != Phase::complete && phase_ != Phase::closed;
  return waits ? &request_ : nullptr;
}

bool RequestParser::in_message() const {
  return !buffer_.empty() || (phase_ != Phase::head && phase_ != Phase::closed);
}

int RequestParser::status_for(Code code) {
  switch (code) {
    case Code::http_syntax:
    case Code::http_ambiguous_framing:
      return 400;
    case Code::http_timeout:
      return 408;
    case Code::http_body_too_large:
      return 413;
    case Code::http_target_too_long:
      return 414;
    case Code::http_header_too_large:
      return 431;
    case Code::overloaded:
    case Code::http_draining:
      return 503;
    case Code::http_version:
      return 505;
    default:
      return 500;
  }
}

// --- the head
// ----------------------------------------------------------------------------------------

// Takes bytes up to the end of one line. Each byte is checked when it comes, each line when it
// ends, so what is wrong does not depend on how the bytes were split.
Result<void> RequestParser::read_head(std::string_view& input) {
  const std::size_t room = limits_.max_head - buffer_.size();
  if (room == 0) {
    return fail(
        Code::http_header_too_large,
        fmt::format("the request line and the headers are longer than {} bytes", limits_.max_head));
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
  return line_ended ? end_line() : Result<void>();
}

Result<void> RequestParser::end_line() {
  const std::string_view line =
      std::string_view(buffer_).substr(line_begin_, buffer_.size() - line_begin_ - kCrlf.size());
  const std::size_t at = std::exchange(line_begin_, buffer_.size());
  if (at == 0 && line.empty()) {
    if (std::exchange(skipped_empty_line_, true)) {
      return at_byte(Code::http_syntax, "there is more than one empty line before the request line",
                     at);
    }
    buffer_.clear();
    line_begin_ = 0;
    return {};
  }
  if (at == 0) return parse_request_line(line);
  if (!line.empty()) return parse_header(line, at);
  ZWINGER_CHECK_OK(end_head());
  buffer_.clear();
  line_begin_ = 0;
  padded_.clear();
  return {};
}

// RFC 9112, section 3: method SP request-target SP HTTP-version
Result<void> RequestParser::parse_request_line(std::string_view line) {
  const auto first = line.find(' ');
  if (first == std::string_view::npos || !is_token(line.substr(0, first))) {
    return at_byte(Code::http_syntax, "the request line does not begin with a method and one space",
                   0);
  }
  request_.method = line.substr(0, first);
  const std::size_t target_at = first + 1;
  const auto second = line.find(' ', target_at);
  if (second == std::string_view::npos) {
    return at_byte(Code::http_syntax, "the HTTP version is missing", line.size());
  }
  const std::string_view target = line.substr(target_at, second - target_at);
  if (target.size() > limits_.max_target) {
    return at_byte(Code::http_target_too_long,
                   fmt::format("the target is longer than {} bytes", limits_.max_target),
                   target_at);
  }
  if (!target.starts_with('/')) {
    return at_byte(Code::http_syntax,
                   "the target does not begin with '/': only the origin form is served here",
                   target_at);
  }
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (target[i] < 0x21 || target[i] > 0x7e ||
        target[i] == '#') {  // char is signed: bytes from 0x80 are below, too
      return at_byte(Code::http_syntax, "the target holds a character that no URI has",
                     target_at + i);
    }
  }
  request_.target = target;
  request_.path = target.substr(0, target.find('?'));

  const std::string_view version = line.substr(second + 1);
  constexpr std::string_view kName = "HTTP/";
  if (version.size() != kName.size() + 3 || !version.starts_with(kName) || !is_digit(version[5]) ||
      version[6] != '.' || !is_digit(version[7])) {
    return at_byte(Code::http_syntax, "what follows the target is not an HTTP version", second + 1);
  }
  if (version[5] != '1' || version[7] > '1') {
    return at_byte(Code::http_version, "the HTTP version is neither 1.1 nor 1.0", second + 1);
  }
  request_.minor_version = version[7] - '0';
  return {};
}

// RFC 9112, section 5: field-name ":" OWS field-value OWS
Result<void> RequestParser::parse_header(std::string_view line, std::size_t at) {
  if (is_space(line.front())) {
    return at_byte(Code::http_syntax,
                   "a header line begins with white space (folded lines are refused)", at);
  }
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) {
    return at_byte(Code::http_syntax, "a header line has no colon", at);
  }
  const std::string_view name = line.substr(0, colon);
  if (name.empty()) return at_byte(Code::http_syntax, "a header has no name", at);
  if (is_space(name.back())) {
    return at_byte(Code::http_syntax, "white space stands before the colon of a header",
                   at + colon - 1);
  }
  if (const auto bad = std::ranges::find_if_not(name, is_token_char); bad != name.end()) {
    return at_byte(Code::http_syntax, "a header's name holds a character that no name has",
                   at + static_cast<std::size_t>(bad - name.begin()));
  }
  if (request_.headers.size() == limits_.max_headers) {
    return at_byte(Code::http_header_too_large,
                   fmt::format("there are more than {} headers", limits_.max_headers), at);
  }
  const std::string_view raw = line.substr(colon + 1);
  const std::string_view value = trimmed(raw);
  if (raw.size() > value.size() + 1 || (raw.size() == value.size() + 1 && raw.front() != ' ')) {
    padded_.push_back(request_.headers.size());
  }
  std::string lower_name(name);
  std::ranges::transform(lower_name, lower_name.begin(), lower);
  request_.headers.emplace_back(std::move(lower_name), value);
  return {};
}

Result<void> RequestParser::end_head() {
  ZWINGER_CHECK_OK(check_host());
  ZWINGER_CHECK_OK(read_connection());
  ZWINGER_CHECK_OK(read_framing());
  const std::size_t expectations = request_.count("expect");
  if (expectations == 0) return {};
  if (expectations > 1 || !equals_ignoring_case(*request_.header("expect"), "100-continue")) {
    return in_header(Code::http_syntax, "the only expectation that is met is 100-continue",
                     "expect");
  }
  continue_due_ = phase_ != Phase::complete &&
                  request_.minor_version == 1;  // RFC 9110, 10.1.1: not for HTTP/1.0
  return {};
}

Result<void> RequestParser::check_host() const {
  const std::size_t hosts = request_.count("host");
  if (hosts == 0 && request_.minor_version == 0) return {};
  if (hosts != 1) {
    return in_header(
        Code::http_syntax,
        hosts == 0 ? "the request names no host" : "the request names more than one host", "host");
  }
  if (!is_host(*request_.header("host"))) {
    return in_header(Code::http_syntax, "the value is not a host with an optional port", "host");
  }
  return {};
}

// RFC 9112, 9.3; a list of tokens, RFC 9110, 5.6.1, whose empty elements do not count.
Result<void> RequestParser::read_connection() {
  bool close = false;
  bool keep = request_.minor_version == 1;
  for (const auto& [name, value] : request_.headers) {
    if (name != "connection") continue;
    for (std::string_view rest = value; !rest.empty();) {
      const std::string_view element = trimmed(rest.substr(0, rest.find(',')));
      rest.remove_prefix(std::min(rest.size(), rest.find(',') == std::string_view::npos
                                                   ? rest.size()
                                                   : rest.find(',') + 1));
      if (element.empty()) continue;
      if (!is_token(element)) {
        return in_header(Code::http_syntax, "the value is not a list of tokens", "connection");
      }
      close = close || equals_ignoring_case(element, "close");
      keep = keep || equals_ignoring_case(element, "keep-alive");
    }
  }
  request_.keep_alive = keep && !close;
  return {};
}

// RFC 9112, section 6, without any of its repairs. Surrounding white space is refused here,
// although other headers may have it: not every parser takes the same characters for white space.
Result<void> RequestParser::read_framing() {
  const std::size_t lengths = request_.count("content-length");
  const std::size_t codings = request_.count("transfer-encoding");
  const auto ambiguous = [](std::string message, std::string_view header) {
    return in_header(Code::http_ambiguous_framing, std::move(message), header);
  };
  for (const std::size_t index : padded_) {
    const std::string& name = request_.headers[index].first;
    if (name == "content-length" || name == "transfer-encoding") {
      return ambiguous("the value has stray white space around it", name);
    }
  }
  if (lengths + codings == 0) {
    phase_ = Phase::complete;
    return {};
  }
  if (codings > 0) {
    constexpr std::string_view kName = "transfer-encoding";
    if (lengths > 0) return ambiguous("it stands beside Content-Length", kName);
    if (codings > 1) return ambiguous("it occurs more than once", kName);
    if (request_.minor_version == 0) return ambiguous("HTTP/1.0 has no transfer codings", kName);
    if (*request_.header(kName) != "chunked") {
      return ambiguous("the value is not exactly \"chunked\"", kName);
    }
    phase_ = Phase::chunk_size;
    return {};
  }
  constexpr std::string_view kName = "content-length";
  if (lengths > 1) return ambiguous("it occurs more than once", kName);
  const std::string_view digits = *request_.header(kName);
  if (digits.empty() || !std::ranges::all_of(digits, is_digit)) {
    return ambiguous("the value is not a decimal number", kName);
  }
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), remaining_);
  if (error != std::errc() || remaining_ > limits_.max_body) {
    return in_header(Code::http_body_too_large,
                     fmt::format("the body is larger than {} bytes", limits_.max_body), kName);
  }
  phase_ = remaining_ == 0 ? Phase::complete : Phase::body;
  return {};
}

// --- the body
// ----------------------------------------------------------------------------------------

void RequestParser::read_body(std::string_view& input) {
  const std::string_view part = input.substr(0, remaining_);
  request_.body.append(part);
  input.remove_prefix(part.size());
  remaining_ -= part.size();
  body_bytes_ += part.size();
  if (remaining_ == 0) phase_ = phase_ == Phase::body ? Phase::complete : Phase::chunk_end;
}

// chunk-size CRLF, RFC 9112, 7.1, without extensions.
Result<void> RequestParser::read_chunk_line(std::string_view& input) {
  constexpr std::size_t kMaxDigits = 16;  // of a 64-bit number
  const auto ambiguous = [this](std::string message) {
    return fail(Code::http_ambiguous_framing, std::move(message),
                fmt::format("byte {} of the body", body_bytes_));
  };
  while (!input.empty()) {
    const char c = input.front();
    const bool after_cr = buffer_.ends_with('\r');
    if (after_cr ? c != '\n' : c != '\r' && !is_hex(c)) {
      return ambiguous(c == ';' && !after_cr
                           ? "chunk extensions are refused"
                           : "a chunk's size is not a hexadecimal number and CRLF");
    }
    if (c == '\r' && buffer_.empty()) return ambiguous("a chunk's size is missing");
    if (is_hex(c) && buffer_.size() == kMaxDigits) {
      return ambiguous("a chunk's size has too many digits");
    }
    input.remove_prefix(1);
    ++body_bytes_;
    if (c != '\n') {
      buffer_.push_back(c);
      continue;
    }
    std::uint64_t size = 0;
    std::from_chars(buffer_.data(), buffer_.data() + buffer_.size() - 1, size, 16);
    buffer_.clear();
    if (size > limits_.max_body - request_.body.size()) {
      return fail(Code::http_body_too_large,
                  fmt::format("the body is larger than {} bytes", limits_.max_body),
                  fmt::format("byte {} of the body", body_bytes_));
    }
    remaining_ = size;
    phase_ = size == 0 ? Phase::last_chunk_end : Phase::chunk_data;
    return {};
  }
  return {};
}

Result<void> RequestParser::expect_crlf(std::string_view& input) {
  if (input.front() != kCrlf[buffer_.size()]) {
    return fail(
        Code::http_ambiguous_framing,
        phase_ == Phase::chunk_end ? "a chunk is not followed by CRLF" : "trailers are refused",
        fmt::format("byte {} of the body", body_bytes_));
  }
  buffer_.push_back(input.front());
  input.remove_prefix(1);
  ++body_bytes_;
  if (buffer_.size() < kCrlf.size()) return {};
  buffer_.clear();
  phase_ = phase_ == Phase::chunk_end ? Phase::chunk_size : Phase::complete;
  return {};
}

}  // namespace zwinger::net
