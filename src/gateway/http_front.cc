#include "gateway/http_front.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "json/writer.h"
#include "mcp/envelope.h"
#include "text/ascii.h"
#include "text/url.h"

namespace zwinger::gateway {

namespace {

constexpr std::string_view kEndpoint = "/mcp";
constexpr std::string_view kWellKnown = "/.well-known/oauth-protected-resource";

net::HttpResponse json_response(int status, std::string body) {
  net::HttpResponse out;
  out.status = status;
  out.headers = {{"Content-Type", "application/json"}, {"Cache-Control", "no-store"}};
  out.body = std::move(body);
  return out;
}

// An HTTP-level refusal: nothing of JSON-RPC has been read.
net::HttpResponse refuse(int status, Code code, std::string_view message) {
  json::Writer w;
  w.begin_object().key("error").begin_object();
  w.key("reason").string(name(code)).key("message").string(message);
  w.end_object().end_object();
  return json_response(status, std::move(w).take());
}
net::HttpResponse refuse(int status, Code code) { return refuse(status, code, info(code).text); }

// Whether a path can stand in a quoted-string and a URL as it is.
bool is_plain(std::string_view path) {
  return path.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-/.") ==
         std::string_view::npos;
}

// WWW-Authenticate (RFC 6750 section 3, RFC 9728 section 5.1). The texts are our own fixed
// sentences, so only the path needs a look before it is quoted.
std::string challenge(std::string_view authority, std::string_view resource, std::string_view error,
                      std::string_view description, std::string_view scope) {
  std::string out = "Bearer";
  const auto add = [&](std::string_view key, std::string_view value) {
    if (value.empty()) return;
    out += out.ends_with('"') ? ", " : " ";
    out.append(key).append("=\"").append(value).append("\"");
  };
  add("error", error);
  add("error_description", description);
  add("scope", scope);
  if (!authority.empty() && is_plain(resource)) {
    add("resource_metadata",
        "http://" + std::string(authority) + std::string(kWellKnown) + std::string(resource));
  }
  return out;
}

// Media types of a Content-Type or Accept header, parameters dropped, lower case.
bool names_media_type(std::string_view header, std::initializer_list<std::string_view> wanted) {
  while (!header.empty()) {
    const std::size_t comma = header.find(',');
    std::string_view item = header.substr(0, comma);
    header = comma == std::string_view::npos ? std::string_view() : header.substr(comma + 1);
    item = item.substr(0, item.find(';'));
    std::string type;
    for (const char c : item) {
      if (c == ' ' || c == '\t') continue;
      type += text::to_lower(c);
    }
    if (std::ranges::find(wanted, type) != wanted.end()) return true;
  }
  return false;
}

// A web page may talk to us only from this machine: what keeps a rebound DNS name out.
bool origin_allowed(std::string_view origin) {
  const auto host = text::canonical_url_host(origin);
  return host && (*host == "localhost" || *host == "127.0.0.1" || *host == "[::1]");
}

// The header's only value; an error where it occurs twice.
Result<std::optional<std::string_view>> single_header(const net::HttpRequest& request,
                                                      std::string_view header) {
  if (request.count(header) > 1) {
    return fail(Code::http_syntax, "the header " + std::string(header) + " occurs more than once");
  }
  return request.header(header);
}

// What is wrong with the headers of a POST; nothing when all is well.
std::optional<net::HttpResponse> check_headers(const net::HttpRequest& request) {
  const auto content_type = single_header(request, "content-type");
  if (!content_type) return refuse(400, Code::http_syntax, content_type.error().message);
  if (!*content_type || (*content_type)->contains(',') ||
      !names_media_type(**content_type, {"application/json"})) {
    return refuse(415, Code::http_media_type, "Content-Type must be application/json");
  }
  if (request.count("content-encoding") != 0) {
    return refuse(415, Code::http_media_type, "a Content-Encoding is not accepted");
  }
  const auto accepts_json = [](const auto& header) {
    return header.first == "accept" &&
           names_media_type(header.second, {"application/json", "application/*", "*/*"});
  };
  if (request.count("accept") != 0 && std::ranges::none_of(request.headers, accepts_json)) {
    return refuse(406, Code::http_media_type, "Accept must include application/json");
  }
  const auto version = single_header(request, "mcp-protocol-version");
  if (!version) return refuse(400, Code::http_syntax, version.error().message);
  if (*version && **version != mcp::kRevision) {
    return refuse(400, Code::mcp_version,
                  "MCP-Protocol-Version must be " + std::string(mcp::kRevision));
  }
  return std::nullopt;
}

// Length-prefixed, so that no two lists of parts make one key.
std::string in_flight_key(const identity::Authenticated& who, const Route& route,
                          std::string_view id) {
  std::string out;
  for (const std::string_view part :
       {std::string_view(who.principal.session), std::string_view(route.upstream->id()), id}) {
    out += std::to_string(part.size());
    out += ':';
    out += part;
  }
  return out;
}

}  // namespace

HttpFront::HttpFront(Parts parts, Routes routes, json::Limits limits)
    : parts_(std::move(parts)), routes_(std::move(routes)), limits_(limits) {}

net::HttpResponse HttpFront::unreadable(int status, const Error& error) {
  net::HttpResponse out = refuse(status, error.code, error.to_string());
  out.close = true;
  return out;
}

std::optional<HttpFront::Target> HttpFront::find_route(std::string_view path) const {
  if (path == kEndpoint) {
    if (routes_.size() != 1) return std::nullopt;
    return Target{.route = routes_.begin()->second, .resource = kEndpoint};
  }
  if (!path.starts_with("/mcp/")) return std::nullopt;
  const auto found = routes_.find(path.substr(kEndpoint.size() + 1));
  if (found == routes_.end()) return std::nullopt;
  return Target{.route = found->second, .resource = path};
}

// RFC 9728. It tells a stranger the issuers and nothing else: whether an upstream exists is not
// said without a token.
net::HttpResponse HttpFront::metadata(std::string_view authority, std::string_view resource) const {
  json::Writer w;
  w.begin_object()
      .key("resource")
      .string("http://" + std::string(authority) + std::string(resource));
  w.key("authorization_servers").begin_array();
  for (const std::string& issuer : parts_.authorization_servers) w.string(issuer);
  w.end_array().key("bearer_methods_supported").begin_array().string("header").end_array();
  w.key("scopes_supported").begin_array().string("tools:list").string("tools:call").end_array();
  w.end_object();
  return json_response(200, std::move(w).take());
}

Result<std::shared_ptr<const identity::Authenticated>> HttpFront::authenticate(
    const net::HttpRequest& request) {
  const std::size_t credentials = request.count("authorization");
  if (credentials == 0)
    return fail(Code::token_missing, std::string(info(Code::token_missing).text));
  if (credentials > 1)
    return fail(Code::token_ambiguous, std::string(info(Code::token_ambiguous).text));
  ZWINGER_TRY(const std::string_view token,
              identity::bearer_token(*request.header("authorization")));
  return parts_.verifier.verify(token, parts_.clock.unix_seconds());
}

std::expected<std::shared_ptr<const identity::Authenticated>, net::HttpResponse> HttpFront::admit(
    std::string_view authority, const net::HttpRequest& request) {
  if (request.path != kEndpoint && !request.path.starts_with("/mcp/")) {
    return std::unexpected(refuse(404, Code::http_not_found));
  }
  for (const auto& [header, value] : request.headers) {
    if (header != "origin" || origin_allowed(value)) continue;
    parts_.notices.note("stranger_refused", {}, {}, name(Code::http_origin));
    return std::unexpected(refuse(403, Code::http_origin));
  }
  auto who = authenticate(request);
  if (who) return *std::move(who);
  const Code code = who.error().code;
  parts_.notices.note("stranger_refused", {}, {}, name(code));
  net::HttpResponse out = refuse(401, code, who.error().message);
  const bool none =
      code == Code::token_missing;  // RFC 6750 section 3.1: then no error code is given
  out.headers.emplace_back("WWW-Authenticate",
                           challenge(authority, request.path, none ? "" : "invalid_token",
                                     none ? "" : info(code).text, ""));
  return std::unexpected(std::move(out));
}

std::optional<net::HttpResponse> HttpFront::check_head(std::string_view authority,
                                                       const net::HttpRequest& head) {
  auto who = admit(authority, head);
  if (who) return std::nullopt;
  return std::move(who).error();
}

Task<net::HttpResponse> HttpFront::handle(net::Loop& loop, std::string_view authority,
                                          const net::HttpRequest& request) {
  if (request.path.starts_with(kWellKnown)) {
    const std::string_view resource = std::string_view(request.path).substr(kWellKnown.size());
    const bool known_form = resource == kEndpoint || resource.starts_with("/mcp/");
    if (!known_form || authority.empty()) co_return refuse(404, Code::http_not_found);
    if (request.method != "GET") co_return refuse(405, Code::http_method);
    co_return metadata(authority, resource);
  }
  auto who = admit(authority, request);
  if (!who) co_return std::move(who).error();

  const std::optional<Target> target = find_route(request.path);
  if (!target) {
    parts_.notices.note("client_refused", {}, {}, name(Code::upstream_unknown));
    co_return refuse(404, Code::upstream_unknown, "no upstream has this path; use /mcp/<upstream>");
  }
  if (request.method != "POST") {
    net::HttpResponse out =
        refuse(405, Code::http_method, "send MCP messages by POST; there is no stream to GET");
    out.headers.emplace_back("Allow", "POST");
    co_return out;
  }
  co_return co_await post(loop, authority, request, *target, *std::move(who));
}

Task<net::HttpResponse> HttpFront::post(net::Loop& loop, std::string_view authority,
                                        const net::HttpRequest& request, Target target,
                                        std::shared_ptr<const identity::Authenticated> who) {
  const Monotonic began = parts_.clock.monotonic();
  if (auto refusal = check_headers(request)) {
    parts_.notices.note("client_refused", target.route.upstream->id(), {}, "http_headers");
    co_return *std::move(refusal);
  }

  auto message = mcp::parse_message(request.body, limits_);
  if (!message) {
    parts_.notices.note("client_bad_message", target.route.upstream->id(), {},
                        name(message.error().error.code));
    co_return json_response(400, mcp::write_unreadable(message.error().id, message.error().error));
  }
  if (message->kind != mcp::MessageKind::request)
    co_return take_notification(*message, target, *who);

  Exchange x(loop, *std::move(message));
  x.who = who;
  x.transport = "http";
  x.call_id = parts_.random.hex(16);
  x.began = began;
  x.upstream = target.route.upstream;
  x.vertical = target.route.vertical;
  const std::string id = mcp::id_key(*x.message.document.root().find("id"));
  const InFlight::Entry entry(in_flight_, in_flight_key(*who, target.route, id), x.cancellation);

  Answer answer = co_await parts_.pipeline.run(x);

  net::HttpResponse out = json_response(200, std::move(answer.message));
  out.headers.emplace_back("Zwinger-Call-Id", x.call_id);
  if (!answer.verdict.allowed() && answer.verdict.reason == Code::scope_missing) {
    out.status = 403;
    out.headers.emplace_back(
        "WWW-Authenticate",
        challenge(authority, target.resource, "insufficient_scope", info(Code::scope_missing).text,
                  x.method == mcp::Method::tools_list ? "tools:list" : "tools:call"));
  }
  co_return out;
}

net::HttpResponse HttpFront::take_notification(const mcp::Message& message, const Target& target,
                                               const identity::Authenticated& who) {
  const std::string& upstream = target.route.upstream->id();
  net::HttpResponse accepted;
  accepted.status = 202;
  if (message.kind != mcp::MessageKind::notification) {
    parts_.notices.note("client_answer_refused", upstream, {}, name(Code::rpc_invalid));
    return json_response(
        400, mcp::write_unreadable("null",
                                   {Code::rpc_invalid, "no request waits for this answer", "id"}));
  }
  const auto kind = mcp::parse_notification(message.method);
  if (kind == mcp::Notification::initialized) return accepted;
  if (kind == mcp::Notification::cancelled) {
    const auto params = mcp::read_cancelled_params(message.params);
    if (!params) return json_response(400, mcp::write_unreadable("null", params.error()));
    std::optional<std::string> reason;
    if (params->reason) reason = params->reason->source();
    const bool found = in_flight_.cancel(
        in_flight_key(who, target.route, mcp::id_key(params->request_id)), std::move(reason));
    parts_.notices.note(found ? "cancelled" : "cancel_without_request", upstream);
    return accepted;
  }
  parts_.notices.note("client_notification_refused", upstream, message.method,
                      name(Code::method_not_supported));
  return accepted;
}

}  // namespace zwinger::gateway
