// HTTP/1.1 messages, sans I/O, server side (RFC 9110, RFC 9112). Strict: what RFC 9112 calls
// ambiguous or lets a recipient repair is refused. A RequestParser is a value for one connection;
// no thread affinity.
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

class RequestParser {
 public:
  explicit RequestParser(const HttpLimits& limits) : limits_(limits) {}

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
  enum class Phase : std::uint8_t {
    head,
    body,
    chunk_size,
    chunk_data,
    chunk_end,
    last_chunk_end,
    complete,
    closed
  };

  [[nodiscard]] Result<State> step(std::string_view& input);
  [[nodiscard]] Result<void> read_head(std::string_view& input);
  [[nodiscard]] Result<void> end_line();
  [[nodiscard]] Result<void> parse_request_line(std::string_view line);
  [[nodiscard]] Result<void> parse_header(std::string_view line, std::size_t at);
  [[nodiscard]] Result<void> end_head();
  [[nodiscard]] Result<void> check_host() const;
  [[nodiscard]] Result<void> read_connection();
  [[nodiscard]] Result<void> read_framing();
  [[nodiscard]] Result<void> read_chunk_line(std::string_view& input);
  [[nodiscard]] Result<void> expect_crlf(std::string_view& input);
  void read_body(std::string_view& input);

  HttpLimits limits_;
  Phase phase_ = Phase::head;
  std::optional<Error> failed_;
  std::string buffer_;          // the head so far, or a line of the chunked coding
  std::size_t line_begin_ = 0;  // in buffer_
  bool skipped_empty_line_ = false;
  HttpRequest request_;
  std::vector<std::size_t> padded_;  // indexes of headers whose value had other white space around
                                     // it than one space before
  std::size_t remaining_ = 0;        // of the body or of the chunk
  std::size_t body_bytes_ = 0;       // seen since the head, coding included
  bool continue_due_ = false;
};

}  // namespace zwinger::net
