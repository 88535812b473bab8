#include <fmt/format.h>

#include "net/http1.h"

namespace zwinger::net {

using http1::in_header;

std::size_t HttpRequest::count(std::string_view name) const {
  return http1::count_of(headers, name);
}

std::optional<std::string_view> HttpRequest::header(std::string_view name) const {
  return http1::only(headers, name);
}

RequestParser::RequestParser(const HttpLimits& limits)
    : limits_(limits),
      lines_("request", "request line", limits.max_head, limits.max_headers),
      body_(limits.max_body) {}

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
        ZWINGER_CHECK_OK(body_.feed(input, request_.body));
        if (body_.complete()) phase_ = Phase::complete;
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
  return done;
}

const HttpRequest* RequestParser::awaiting_body() const {
  return phase_ == Phase::body ? &request_ : nullptr;
}

bool RequestParser::in_message() const {
  return lines_.begun() || (phase_ != Phase::head && phase_ != Phase::closed);
}

// One line of it.
Result<void> RequestParser::read_head(std::string_view& input) {
  ZWINGER_TRY(const auto line, lines_.next_line(input));
  if (!line) return {};
  if (line->at == 0) return line->text.empty() ? skip_empty_line() : parse_request_line(line->text);
  if (!line->text.empty()) return lines_.add_header(*line, request_.headers);
  ZWINGER_CHECK_OK(end_head());
  lines_.restart();
  return {};
}

Result<void> RequestParser::skip_empty_line() {
  if (std::exchange(skipped_empty_line_, true)) {
    return lines_.at_byte(Code::http_syntax,
                          "there is more than one empty line before the request line", 0);
  }
  lines_.restart();
  return {};
}

// RFC 9112, section 3: method SP request-target SP HTTP-version
Result<void> RequestParser::parse_request_line(std::string_view line) {
  const auto refuse = [this](std::string message, std::size_t at) {
    return lines_.at_byte(Code::http_syntax, std::move(message), at);
  };
  const auto first = line.find(' ');
  if (first == std::string_view::npos || !http1::is_token(line.substr(0, first))) {
    return refuse("the request line does not begin with a method and one space", 0);
  }
  request_.method = line.substr(0, first);
  const std::size_t target_at = first + 1;
  const auto second = line.find(' ', target_at);
  if (second == std::string_view::npos) return refuse("the HTTP version is missing", line.size());
  const std::string_view target = line.substr(target_at, second - target_at);
  if (target.size() > limits_.max_target) {
    return lines_.at_byte(Code::http_target_too_long,
                          fmt::format("the target is longer than {} bytes", limits_.max_target),
                          target_at);
  }
  if (!target.starts_with('/')) {
    return refuse("the target does not begin with '/': only the origin form is served here",
                  target_at);
  }
  if (const auto bad = std::ranges::find_if_not(target, http1::is_target_char);
      bad != target.end()) {
    return refuse("the target holds a character that no URI has",
                  target_at + static_cast<std::size_t>(bad - target.begin()));
  }
  request_.target = target;
  request_.path = target.substr(0, target.find('?'));
  ZWINGER_TRY(request_.minor_version, lines_.read_version(line.substr(second + 1), second + 1));
  return {};
}

Result<void> RequestParser::end_head() {
  ZWINGER_CHECK_OK(check_host());
  ZWINGER_TRY(request_.keep_alive,
              http1::read_keep_alive(request_.headers, request_.minor_version));
  ZWINGER_TRY(const http1::Framing framing,
              lines_.read_framing(request_.headers, request_.minor_version, limits_.max_body));
  body_.begin(framing);
  phase_ = body_.complete() ? Phase::complete : Phase::body;
  return read_expectation();
}

Result<void> RequestParser::read_expectation() {
  const std::size_t expectations = request_.count("expect");
  if (expectations == 0) return {};
  if (expectations > 1 ||
      !http1::equals_ignoring_case(*request_.header("expect"), "100-continue")) {
    return in_header(Code::http_syntax, "the only expectation that is met is 100-continue",
                     "expect");
  }
  // RFC 9110, 10.1.1: not for HTTP/1.0
  continue_due_ = phase_ != Phase::complete && request_.minor_version == 1;
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
  if (!http1::is_host(*request_.header("host"))) {
    return in_header(Code::http_syntax, "the value is not a host with an optional port", "host");
  }
  return {};
}

}  // namespace zwinger::net
