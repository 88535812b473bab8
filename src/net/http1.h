// HTTP/1.1 messages, sans I/O, both sides (RFC 9110, RFC 9112). Strict: what RFC 9112 calls
// ambiguous or lets a recipient repair is refused. A parser is a value for one connection; no
// thread affinity.
//
// Refused: obs-fold, bare CR or LF line ends, white space before the colon or around the name, NUL
// and control characters in values, Content-Length beside Transfer-Encoding, several or list-valued
// Content-Length, signs or spaces in it, any Transfer-Encoding but exactly "chunked", transfer
// coding in HTTP/1.0, missing, repeated or malformed Host, absolute-form, authority-form and
// asterisk-form targets, chunk extensions, trailers, expectations other than 100-continue, bytes
// after a message that asked to close. One empty line before a request is skipped (RFC 9112, 2.2),
// a second one is refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "net/http1_parse.h"

namespace zwinger::net {

struct HttpLimits {
  std::size_t max_target = 2048;
  std::size_t max_head = std::size_t{32} << 10U;  // request line and headers
  std::size_t max_headers = 100;
  std::size_t max_body = std::size_t{4} << 20U;
};

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;
  std::string target;  // origin-form, as sent
  std::string path;    // before "?"; no percent sign is decoded: a path with one matches no route
  int minor_version = 1;
  HttpHeaders headers;  // names in lower case, in order; values without surrounding white space
  std::string body;
  bool keep_alive = true;

  // The value where exactly one header has this (lower-case) name; nothing for none or several.
  // `count` tells how often it occurs: callers that need one refuse two.
  [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const;
  [[nodiscard]] std::size_t count(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  HttpHeaders headers;  // not Content-Length, Transfer-Encoding or Connection: serialize() writes
                        // these and drops others
  std::string body;
  bool close = false;  // ask for the connection to end after this answer
};

// Status line, headers (Content-Length always, except with 204 and 304), body. `keep_alive` is what
// the connection will do. `head_only` for the answer to HEAD: Content-Length as it would be, no
// body. A control character in a header value becomes a space, a header whose name is no token is
// dropped, so no value can split the answer.
[[nodiscard]] std::string serialize(const HttpResponse& response, bool keep_alive,
                                    bool head_only = false);

// The head of an answer whose body follows in pieces, with "Transfer-Encoding: chunked" (to an
// HTTP/1.0 peer: ended by closing). The same care with headers as serialize().
[[nodiscard]] std::string serialize_stream_head(const HttpResponse& head, bool keep_alive,
                                                int peer_minor_version);
// One chunk, RFC 9112, 7.1; nothing for empty bytes, which would end the body.
[[nodiscard]] std::string serialize_chunk(std::string_view bytes);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

// What a client sends: request line, Host, the headers given, Content-Length where there is a body
// or the method is POST or PUT, the body. Errors: internal for a method, target, host or header
// that would break the message.
[[nodiscard]] Result<std::string> serialize_request(std::string_view method,
                                                    std::string_view target, std::string_view host,
                                                    const HttpHeaders& headers,
                                                    std::string_view body);

class RequestParser {
 public:
  explicit RequestParser(const HttpLimits& limits);

  enum class State : std::uint8_t {
    need_more,      // feed again
    need_continue,  // headers are complete and the client waits for "100 Continue"; send it, then
                    // feed again
    complete        // take() the request
  };
  // Consumes bytes of `input` (removing them from its front) up to the end of one request. How the
  // bytes are split over calls makes no difference. Errors: http_*, with `where` as "byte N of the
  // request head" (from 0), "byte N of the body" or the header's name; the connection is then to be
  // answered with status_for() and closed, and feeding again repeats the error.
  [[nodiscard]] Result<State> feed(std::string_view& input);
  // The finished request; the parser is ready for the next one.
  [[nodiscard]] HttpRequest take();
  // The request whose head is complete and whose body is still to come; nothing at other times.
  [[nodiscard]] const HttpRequest* awaiting_body() const;
  // Whether a request has begun to arrive (for choosing the idle or the slow-peer timeout).
  [[nodiscard]] bool in_message() const;

  // 400, 408, 413, 414, 431, 505 for the parser's and the server's errors; 503 overloaded or
  // draining; else 500.
  [[nodiscard]] static int status_for(Code code);

 private:
  enum class Phase : std::uint8_t { head, body, complete, closed };

  [[nodiscard]] Result<State> step(std::string_view& input);
  [[nodiscard]] Result<void> read_head(std::string_view& input);
  [[nodiscard]] Result<void> skip_empty_line();
  [[nodiscard]] Result<void> parse_request_line(std::string_view line);
  [[nodiscard]] Result<void> end_head();
  [[nodiscard]] Result<void> check_host() const;
  [[nodiscard]] Result<void> read_expectation();

  HttpLimits limits_;
  Phase phase_ = Phase::head;
  std::optional<Error> failed_;
  http1::HeadReader lines_;
  http1::BodyReader body_;
  bool skipped_empty_line_ = false;
  bool continue_due_ = false;
  HttpRequest request_;
};

struct HttpResponseHead {
  int status = 0;
  int minor_version = 1;
  HttpHeaders headers;  // names in lower case, in order
  bool keep_alive = true;

  // As in HttpRequest.
  [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const;
  [[nodiscard]] std::size_t count(std::string_view name) const;
};

// What a server answers, client side; as strict as RequestParser, of which it refuses the same
// framing. Interim responses (1xx other than 101) are skipped; 101 is refused. A body without a
// length and without chunks goes on until the peer closes (RFC 9112, 6.3, rule 8) and is accepted
// only where the connection does not stay open: "Connection: close", or HTTP/1.0 without
// keep-alive. limits.max_body does not count here: a stream has no end to speak of.
class ResponseParser {
 public:
  explicit ResponseParser(const HttpLimits& limits);

  // A request of this method was sent; its response comes next. Call once before each response.
  void expect(std::string_view method);

  enum class State : std::uint8_t {
    need_more,  // feed again
    head,       // head() can be read; told once
    complete    // the response ended; `input` holds what stands behind it; told once
  };
  // Consumes bytes of `input` and appends what is body to `body`. Stops at each change of state;
  // after `head` feed again, if with no bytes: a response without a body is complete then.
  // Bytes that come when nothing is expected are http_syntax. Errors as RequestParser::feed.
  [[nodiscard]] Result<State> feed(std::string_view& input, std::string& body);
  // The peer has closed. complete: the body ended by that; need_more: nothing was expected. Errors:
  // closed where the response is cut off.
  [[nodiscard]] Result<State> end_of_input();
  [[nodiscard]] const HttpResponseHead& head() const { return head_; }
  // Moves the headers out, to be kept longer than until the next expect().
  [[nodiscard]] HttpResponseHead take_head();
  // Whether the next bytes would begin a response that was asked for, or belong to one.
  [[nodiscard]] bool in_message() const;

 private:
  enum class Phase : std::uint8_t { idle, head, body, closed };

  [[nodiscard]] Result<State> step(std::string_view& input, std::string& body);
  [[nodiscard]] Result<void> read_head(std::string_view& input);
  [[nodiscard]] Result<void> parse_status_line(std::string_view line);
  [[nodiscard]] Result<void> end_head();
  [[nodiscard]] State finish();

  Phase phase_ = Phase::idle;
  std::optional<Error> failed_;
  http1::HeadReader lines_;
  http1::BodyReader body_;
  bool head_only_ = false;  // the request was HEAD
  int interim_ = 0;
  HttpResponseHead head_;
};

}  // namespace zwinger::net
