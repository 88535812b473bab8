#include "net/http1.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace zwinger::net {
namespace {

using http1::equals_ignoring_case;
using http1::is_control;
using http1::is_token;
using http1::kCrlf;

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

namespace {

constexpr std::string_view kKeepAlive = "Connection: keep-alive\r\n\r\n";
constexpr std::string_view kClose = "Connection: close\r\n\r\n";

int final_status(int status) { return status >= 200 && status <= 599 ? status : 500; }
bool allows_body(int status) {  // RFC 9110, 15.3.5 and 15.4.5
  return status != 204 && status != 304;
}

// Status line and the headers that do not frame the message.
void append_head(std::string& out, int status, const HttpHeaders& headers) {
  fmt::format_to(std::back_inserter(out), "HTTP/1.1 {} {}\r\n", status, reason_phrase(status));
  for (const auto& [name, value] : headers) {
    if (!is_token(name) || frames_the_message(name)) continue;
    out.append(name).append(": ");
    const auto begin = static_cast<std::ptrdiff_t>(out.size());
    out.append(value);
    std::replace_if(out.begin() + begin, out.end(), is_control, ' ');
    out.append(kCrlf);
  }
}

}  // namespace

std::string serialize(const HttpResponse& response, bool keep_alive, bool head_only) {
  const int status = final_status(response.status);
  const bool has_body = allows_body(status);
  std::string out;
  out.reserve(256 + response.body.size());
  append_head(out, status, response.headers);
  if (has_body)
    fmt::format_to(std::back_inserter(out), "Content-Length: {}\r\n", response.body.size());
  out.append(keep_alive ? kKeepAlive : kClose);
  if (has_body && !head_only) out.append(response.body);
  return out;
}

std::string serialize_stream_head(const HttpResponse& head, bool keep_alive,
                                  int peer_minor_version) {
  const int status = final_status(head.status);
  const bool chunked = peer_minor_version > 0 && allows_body(status);
  const bool framed = chunked || !allows_body(status);  // else the end of the connection ends it
  std::string out;
  append_head(out, status, head.headers);
  if (chunked) out.append("Transfer-Encoding: chunked\r\n");
  out.append(keep_alive && framed ? kKeepAlive : kClose);
  return out;
}

std::string serialize_chunk(std::string_view bytes) {
  if (bytes.empty()) return {};
  std::string out;
  out.reserve(bytes.size() + 20);
  fmt::format_to(std::back_inserter(out), "{:x}\r\n", bytes.size());
  out.append(bytes).append(kCrlf);
  return out;
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

// --- requests
// ----------------------------------------------------------------------------------------

namespace {

std::unexpected<Error> defect(std::string_view what) {
  return fail(Code::internal, fmt::format("the request cannot be sent: {}", what));
}

// What serialize_request and the client write themselves.
bool is_reserved(std::string_view name) {
  return equals_ignoring_case(name, "host") || equals_ignoring_case(name, "content-length") ||
         equals_ignoring_case(name, "transfer-encoding") ||
         equals_ignoring_case(name, "connection");
}

Result<void> check_request(std::string_view method, std::string_view target, std::string_view host,
                           const HttpHeaders& headers) {
  // The answer to CONNECT has another framing than all others.
  if (!http1::is_token(method) || method == "CONNECT") return defect("of its method");
  if (!target.starts_with('/') || !std::ranges::all_of(target, http1::is_target_char)) {
    return defect("of its target");
  }
  if (!http1::is_host(host)) return defect("of its host");
  for (const auto& [name, value] : headers) {
    if (!http1::is_token(name)) return defect("a header's name is no token");
    if (is_reserved(name)) return defect(fmt::format("header {} is not the caller's to set", name));
    if (std::ranges::any_of(value, http1::is_control)) {
      return defect(fmt::format("header {} holds a control character", name));
    }
  }
  return {};
}

}  // namespace

Result<std::string> serialize_request(std::string_view method, std::string_view target,
                                      std::string_view host, const HttpHeaders& headers,
                                      std::string_view body) {
  ZWINGER_CHECK_OK(check_request(method, target, host, headers));
  constexpr std::size_t kFixed = 64;  // versions, line ends, "Host", "Content-Length"
  std::size_t size = method.size() + target.size() + host.size() + body.size() + kFixed;
  for (const auto& [name, value] : headers) size += name.size() + value.size() + 4;
  std::string out;
  out.reserve(size);
  out.append(method).append(" ").append(target).append(" HTTP/1.1\r\nHost: ").append(host);
  out.append(http1::kCrlf);
  for (const auto& [name, value] : headers) {
    out.append(name).append(": ").append(value).append(http1::kCrlf);
  }
  if (!body.empty() || method == "POST" || method == "PUT") {
    fmt::format_to(std::back_inserter(out), "Content-Length: {}\r\n", body.size());
  }
  out.append(http1::kCrlf).append(body);
  return out;
}

}  // namespace zwinger::net
