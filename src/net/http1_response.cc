#include <fmt/format.h>

#include <limits>

#include "net/http1.h"

namespace zwinger::net {
namespace {

using http1::Framing;
using http1::in_header;

constexpr int kMaxInterim = 8;
// Streams have no end to speak of; who wants a body whole bounds it himself.
constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();

bool is_interim(int status) { return status < 200; }

}  // namespace

std::size_t HttpResponseHead::count(std::string_view name) const {
  return http1::count_of(headers, name);
}

std::optional<std::string_view> HttpResponseHead::header(std::string_view name) const {
  return http1::only(headers, name);
}

ResponseParser::ResponseParser(const HttpLimits& limits)
    : lines_("response", "status line", limits.max_head, limits.max_headers), body_(kNoLimit) {}

void ResponseParser::expect(std::string_view method) {
  if (phase_ == Phase::closed) return;  // whatever comes is an error there
  if (phase_ != Phase::idle && !failed_) {
    failed_ = Error{.code = Code::internal,
                    .message = "a response was expected before the one before it had ended",
                    .where = {}};
    return;
  }
  phase_ = Phase::head;
  head_only_ = method == "HEAD";
  interim_ = 0;
  head_ = {};
}

HttpResponseHead ResponseParser::take_head() {
  HttpResponseHead taken = std::move(head_);
  head_.headers.clear();
  return taken;
}

bool ResponseParser::in_message() const { return phase_ != Phase::idle && phase_ != Phase::closed; }

Result<ResponseParser::State> ResponseParser::feed(std::string_view& input, std::string& body) {
  if (failed_) return std::unexpected(*failed_);
  auto state = step(input, body);
  if (!state) failed_ = state.error();
  return state;
}

Result<ResponseParser::State> ResponseParser::step(std::string_view& input, std::string& body) {
  while (phase_ == Phase::head && !input.empty()) {
    ZWINGER_CHECK_OK(read_head(input));
    if (phase_ == Phase::body) return State::head;
  }
  if (phase_ == Phase::body) {
    ZWINGER_CHECK_OK(body_.feed(input, body));
    return body_.complete() ? finish() : State::need_more;
  }
  if (!input.empty()) {
    return fail(Code::http_syntax,
                phase_ == Phase::closed
                    ? "there are bytes after a response that ended the connection"
                    : "there are bytes that no request has asked for");
  }
  return State::need_more;
}

ResponseParser::State ResponseParser::finish() {
  phase_ = head_.keep_alive ? Phase::idle : Phase::closed;
  return State::complete;
}

Result<ResponseParser::State> ResponseParser::end_of_input() {
  if (failed_) return std::unexpected(*failed_);
  if (!in_message()) {
    phase_ = Phase::closed;
    return State::need_more;
  }
  if (phase_ == Phase::body && (body_.complete() || body_.until_close())) {
    phase_ = Phase::closed;
    return State::complete;
  }
  failed_ = Error{.code = Code::closed,
                  .message = "the peer has closed the connection before the end of its response",
                  .where = {}};
  return std::unexpected(*failed_);
}

// One line of it.
Result<void> ResponseParser::read_head(std::string_view& input) {
  ZWINGER_TRY(const auto line, lines_.next_line(input));
  if (!line) return {};
  if (line->at == 0) return parse_status_line(line->text);
  if (!line->text.empty()) return lines_.add_header(*line, head_.headers);
  ZWINGER_CHECK_OK(end_head());
  lines_.restart();
  return {};
}

// RFC 9112, section 4: HTTP-version SP status-code SP [reason-phrase]
Result<void> ResponseParser::parse_status_line(std::string_view line) {
  constexpr std::size_t kCodeAt = 9;
  constexpr std::size_t kReasonAt = 12;
  ZWINGER_TRY(head_.minor_version, lines_.read_version(line.substr(0, kCodeAt - 1), 0));
  const auto refuse = [this](std::string message, std::size_t at) {
    return lines_.at_byte(Code::http_syntax, std::move(message), at);
  };
  if (!line.substr(kCodeAt - 1).starts_with(' ')) {
    return refuse("the HTTP version is not followed by one space", kCodeAt - 1);
  }
  const std::string_view digits = line.substr(kCodeAt, kReasonAt - kCodeAt);
  if (digits.size() != 3 || !std::ranges::all_of(digits, http1::is_digit) || digits[0] < '1' ||
      digits[0] > '5') {
    return refuse("the status is not a number from 100 to 599", kCodeAt);
  }
  if (!line.substr(kReasonAt).starts_with(' ')) {
    return refuse("the status is not followed by a space", kReasonAt);
  }
  head_.status = (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
  if (head_.status == 101) {
    return refuse("the connection changes to a protocol that nobody asked for", kCodeAt);
  }
  if (is_interim(head_.status) && ++interim_ > kMaxInterim) {
    return refuse(fmt::format("there are more than {} interim responses", kMaxInterim), kCodeAt);
  }
  return {};
}

// RFC 9112, 6.3.
Result<void> ResponseParser::end_head() {
  ZWINGER_TRY(head_.keep_alive, http1::read_keep_alive(head_.headers, head_.minor_version));
  ZWINGER_TRY(const Framing framing,
              lines_.read_framing(head_.headers, head_.minor_version, kNoLimit));
  if (is_interim(head_.status) || head_.status == 204) {
    // RFC 9110, 8.6, forbids both headers; a zero says nothing that is wrong, and servers send it.
    if (framing.kind == Framing::Kind::chunked || framing.length > 0) {
      return in_header(Code::http_ambiguous_framing, "a response of this status has no body",
                       framing.length > 0 ? "content-length" : "transfer-encoding");
    }
  }
  if (is_interim(head_.status)) {
    head_ = {};
    return {};
  }
  phase_ = Phase::body;
  if (head_only_ || head_.status == 204 || head_.status == 304) {
    body_.begin({});
  } else if (framing.kind != Framing::Kind::none) {
    body_.begin(framing);
  } else if (!head_.keep_alive) {
    body_.begin_until_close();
  } else {
    return in_header(Code::http_ambiguous_framing,
                     "the body has no length, and the connection is to stay open",
                     "content-length");
  }
  return {};
}

}  // namespace zwinger::net
