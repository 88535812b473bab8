// What the two HTTP/1.1 parsers share: characters, the lines and header fields of a head, what
// these say of the connection and of the body's end, and the body itself. Private to net/http1*.
// Values of one parser; no thread affinity.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace zwinger::net::http1 {

using Headers = std::vector<std::pair<std::string, std::string>>;  // HttpHeaders

inline constexpr std::string_view kCrlf = "\r\n";

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
inline bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
inline bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
inline bool is_space(char c) { return c == ' ' || c == '\t'; }
inline bool is_control(char c) { return (static_cast<unsigned char>(c) < 0x20) || c == 0x7f; }
// What may stand in a request target. Char is signed: bytes from 0x80 are below, too.
inline bool is_target_char(char c) { return c >= 0x21 && c <= 0x7e && c != '#'; }
// tchar, RFC 9110, 5.6.2
inline bool is_token_char(char c) {
  return is_digit(c) || is_alpha(c) ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}
inline bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, is_token_char);
}
// host [":" port], RFC 9110, 7.2, without the spellings that only some parsers understand: no
// percent signs, no sub-delims.
[[nodiscard]] bool is_host(std::string_view text);

inline char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
inline bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}
[[nodiscard]] std::string_view trimmed(std::string_view text);  // of spaces and tabs

// Names are in lower case.
[[nodiscard]] std::size_t count_of(const Headers& headers, std::string_view name);
// The value where exactly one header has this name.
[[nodiscard]] std::optional<std::string_view> only(const Headers& headers, std::string_view name);

[[nodiscard]] std::unexpected<Error> in_header(Code code, std::string message,
                                               std::string_view name);

// Whether the connection stays open behind this message. RFC 9112, 9.3.
[[nodiscard]] Result<bool> read_keep_alive(const Headers& headers, int minor_version);

// What a head says of where its body ends.
struct Framing {
  enum class Kind : std::uint8_t {
    none,  // neither of the two headers
    length,
    chunked
  };
  Kind kind = Kind::none;
  std::size_t length = 0;
};

// A head, line by line. Each byte is checked when it comes, each line when it ends, so what is
// wrong does not depend on how the bytes were split.
class HeadReader {
 public:
  // `first_line` is "request line" or "status line", `kind` "request" or "response".
  HeadReader(std::string_view kind, std::string_view first_line, std::size_t max_head,
             std::size_t max_headers)
      : kind_(kind), first_line_(first_line), max_head_(max_head), max_headers_(max_headers) {}

  struct Line {
    std::string_view text;  // without its CRLF; until the next call
    std::size_t at = 0;     // its first byte's place in the head
  };
  // Takes bytes up to the end of one line; nothing when more are needed.
  [[nodiscard]] Result<std::optional<Line>> next_line(std::string_view& input);
  // RFC 9112, section 5: field-name ":" OWS field-value OWS
  [[nodiscard]] Result<void> add_header(const Line& line, Headers& into);
  // "HTTP/1.1" or "HTTP/1.0", which stands at this place; the minor version.
  [[nodiscard]] Result<int> read_version(std::string_view text, std::size_t at) const;
  // RFC 9112, section 6, without any of its repairs; of the headers added since restart().
  [[nodiscard]] Result<Framing> read_framing(const Headers& headers, int minor_version,
                                             std::size_t max_body) const;
  [[nodiscard]] std::unexpected<Error> at_byte(Code code, std::string message,
                                               std::size_t offset) const;
  // For the next head.
  void restart();
  [[nodiscard]] bool begun() const { return !buffer_.empty(); }

 private:
  [[nodiscard]] Result<Framing> read_chunked(const Headers& headers, int minor_version) const;

  std::string_view kind_;
  std::string_view first_line_;
  std::size_t max_head_;
  std::size_t max_headers_;
  std::string buffer_;               // the head so far
  std::size_t line_begin_ = 0;       // in buffer_
  std::vector<std::size_t> padded_;  // indexes of headers whose value had other white space around
                                     // it than one space before
};

// A body: counted, chunked, or up to the connection's end.
class BodyReader {
 public:
  explicit BodyReader(std::size_t max_body) : max_body_(max_body) {}

  // A new body. Of kind none it is complete at once.
  void begin(const Framing& framing);
  void begin_until_close();
  // Consumes what belongs to the body and appends what it says to `into`.
  [[nodiscard]] Result<void> feed(std::string_view& input, std::string& into);
  [[nodiscard]] bool complete() const { return phase_ == Phase::complete; }
  [[nodiscard]] bool until_close() const { return phase_ == Phase::until_close; }

 private:
  enum class Phase : std::uint8_t {
    complete,
    counted,
    until_close,
    chunk_size,
    chunk_data,
    chunk_end,
    last_chunk_end
  };
  void read_data(std::string_view& input, std::string& into);
  [[nodiscard]] Result<void> read_chunk_line(std::string_view& input);
  [[nodiscard]] Result<void> begin_chunk();
  [[nodiscard]] Result<void> expect_crlf(std::string_view& input);
  [[nodiscard]] std::unexpected<Error> here(Code code, std::string message) const;

  std::size_t max_body_;
  Phase phase_ = Phase::complete;
  std::string line_;           // of the chunked coding
  std::size_t remaining_ = 0;  // of the body or of the chunk
  std::size_t decoded_ = 0;    // bytes of content that chunks have announced so far
  std::size_t seen_ = 0;       // bytes since the head, coding included
};

}  // namespace zwinger::net::http1
