#include "gateway/http_front.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <utility>

#include "grant/grant.h"
#include "json/writer.h"
#include "mcp/envelope.h"
#include "net/sse.h"
#include "text/ascii.h"
#include "text/url.h"

namespace zwinger::gateway {

namespace {

using namespace std::chrono_literals;

constexpr std::string_view kEndpoint = "/mcp";
constexpr std::string_view kSessionHeader = "mcp-session-id";
constexpr auto kKeepAlive = 15s;  // between comments on an idle stream
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

std::string base_url(const Listening& at) {
  return (at.tls ? "https://" : "http://") + at.authority;
}

// WWW-Authenticate (RFC 6750 section 3, RFC 9728 section 5.1). The texts are our own fixed
// sentences, so only the path needs a look before it is quoted.
std::string challenge(const Listening& at, std::string_view resource, std::string_view error,
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
  if (!at.authority.empty() && is_plain(resource)) {
    add("resource_metadata", base_url(at) + std::string(kWellKnown) + std::string(resource));
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

bool is_this_machine(std::string_view host) {
  return host == "localhost" || host == "127.0.0.1" || host == "[::1]";
}

// A web page may talk to us only from this machine, or from where the configuration says: what
// keeps a rebound DNS name out.
bool origin_allowed(const Listening& at, std::string_view origin) {
  if (std::ranges::find(at.origins, origin) != at.origins.end()) return true;
  const auto host = text::canonical_url_host(origin);
  return host && is_this_machine(*host);
}

// The Host header names this listener: the other half of the same defence (a browser that was led
// here by a rebound name still sends that name).
bool host_allowed(const Listening& at, const net::HttpRequest& request) {
  const auto header = request.header("host");
  if (!header || at.authority.empty()) return true;  // HTTP/1.0; a Unix socket
  const auto host = text::canonical_url_host("http://" + std::string(*header));
  if (!host) return false;
  const auto own = text::canonical_url_host("http://" + at.authority);
  if (own && *host == *own) return true;
  if (at.loopback && is_this_machine(*host)) return true;
  return std::ranges::find(at.hosts, *host) != at.hosts.end();
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
  if (*version && !mcp::revision_supported(**version)) return refuse(400, Code::mcp_version);
  return std::nullopt;
}

bool accepts_events(const net::HttpRequest& request) {
  return std::ranges::any_of(request.headers, [](const auto& header) {
    return header.first == "accept" &&
           names_media_type(header.second, {"text/event-stream", "text/*", "*/*"});
  });
}

// Length-prefixed, so that no two lists of parts make one key.
std::string in_flight_key(const identity::Authenticated& who, std::string_view target,
                          const Session* session, std::string_view id) {
  const std::string_view owner =
      session != nullptr ? std::string_view(session->id()) : who.principal.session;
  std::string out;
  for (const std::string_view part : {owner, target, id}) {
    out += std::to_string(part.size());
    out += ':';
    out += part;
  }
  return out;
}

// What TLS proved of the peer, as the record names it.
std::string name_of(const net::HttpPeer& peer) {
  if (!peer.tls || !peer.tls->verified) return {};
  for (const std::string& uri : peer.tls->uri_names) {
    if (uri.starts_with("spiffe://")) return uri;
  }
  return "sha256:" + peer.tls->certificate_sha256;
}

std::string event_id(const ClientStream& stream, std::uint64_t sequence) {
  return std::to_string(stream.number()) + "-" + std::to_string(sequence);
}

struct EventPlace {
  std::uint64_t stream = 0;
  std::uint64_t sequence = 0;
};
std::optional<EventPlace> parse_event_id(std::string_view text) {
  const auto number = [](std::string_view digits) -> std::optional<std::uint64_t> {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    return value;
  };
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto stream = number(text.substr(0, dash));
  const auto sequence = number(text.substr(dash + 1));
  if (!stream || !sequence) return std::nullopt;
  return EventPlace{.stream = *stream, .sequence = *sequence};
}

net::HttpResponse stream_head(net::HttpHeaders more) {
  net::HttpResponse head;
  head.headers = {{"Content-Type", "text/event-stream"},
                  {"Cache-Control", "no-cache, no-transform"},
                  {"X-Accel-Buffering", "no"}};
  for (auto& header : more) head.headers.push_back(std::move(header));
  return head;
}

// The scope that a refused request would have needed, for the challenge.
std::string_view scope_for(std::string_view method) {
  const auto parsed = mcp::parse_client_method(method);
  if (!parsed) return {};
  switch (*parsed) {
    case mcp::Method::tools_list:
      return to_string(grant::Scope::tools_list);
    case mcp::Method::resources_list:
    case mcp::Method::resources_templates_list:
      return to_string(grant::Scope::resources_list);
    case mcp::Method::resources_read:
      return to_string(grant::Scope::resources_read);
    case mcp::Method::resources_subscribe:
    case mcp::Method::resources_unsubscribe:
      return to_string(grant::Scope::resources_subscribe);
    case mcp::Method::prompts_list:
      return to_string(grant::Scope::prompts_list);
    case mcp::Method::prompts_get:
      return to_string(grant::Scope::prompts_get);
    case mcp::Method::completion_complete:
      return to_string(grant::Scope::completion);
    default:
      return to_string(grant::Scope::tools_call);
  }
}

}  // namespace

net::HttpResponse HttpFront::unreadable(int status, const Error& error) {
  net::HttpResponse out = refuse(status, error.code, error.to_string());
  out.close = true;
  return out;
}

// --- the door
// ---------------------------------------------------------------------------------------

std::optional<HttpFront::Target> HttpFront::find_target(const Generation& generation,
                                                        std::string_view path) {
  Target out;
  out.name = path;
  if (path == kEndpoint) {
    for (const auto& [id, route] : generation.routes) out.routes.push_back(route);
    if (out.routes.size() > 1) {
      out.selection =
          VirtualServer{.upstreams = {}, .tools = {}, .prompts = {}, .naming = generation.naming};
    }
    return out.routes.empty() ? std::nullopt : std::optional(std::move(out));
  }
  if (!path.starts_with("/mcp/")) return std::nullopt;
  const std::string_view name = path.substr(kEndpoint.size() + 1);
  if (const auto found = generation.routes.find(name); found != generation.routes.end()) {
    out.routes.push_back(found->second);
    return out;
  }
  const auto selected = generation.virtual_servers.find(name);
  if (selected == generation.virtual_servers.end()) return std::nullopt;
  for (const std::string& upstream : selected->second.upstreams) {
    const auto found = generation.routes.find(upstream);
    if (found != generation.routes.end()) out.routes.push_back(found->second);
  }
  out.selection = selected->second;
  return out;
}

// RFC 9728. It tells a stranger the issuers and nothing else: whether an upstream exists is not
// said without a token.
namespace {
net::HttpResponse metadata(const Generation& generation, const Listening& at,
                           std::string_view resource) {
  json::Writer w;
  w.begin_object().key("resource").string(base_url(at) + std::string(resource));
  w.key("authorization_servers").begin_array();
  for (const std::string& issuer : generation.authorization_servers) w.string(issuer);
  w.end_array().key("bearer_methods_supported").begin_array().string("header").end_array();
  w.key("scopes_supported").begin_array();
  for (const grant::Scope scope :
       {grant::Scope::tools_list, grant::Scope::tools_call, grant::Scope::resources_list,
        grant::Scope::resources_read, grant::Scope::resources_subscribe, grant::Scope::prompts_list,
        grant::Scope::prompts_get, grant::Scope::completion}) {
    w.string(to_string(scope));
  }
  w.end_array().end_object();
  return json_response(200, std::move(w).take());
}
}  // namespace

Result<HttpFront::Who> HttpFront::authenticate(const Generation& generation,
                                               const net::HttpRequest& request) {
  const std::size_t credentials = request.count("authorization");
  if (credentials == 0)
    return fail(Code::token_missing, std::string(info(Code::token_missing).text));
  if (credentials > 1)
    return fail(Code::token_ambiguous, std::string(info(Code::token_ambiguous).text));
  ZWINGER_TRY(const std::string_view token,
              identity::bearer_token(*request.header("authorization")));
  return generation.verifier->verify(token, parts_.clock.unix_seconds());
}

std::expected<HttpFront::Who, net::HttpResponse> HttpFront::admit(const Listening& at,
                                                                  const Generation& generation,
                                                                  const net::HttpRequest& request) {
  const auto stranger = [&](Code code) {
    parts_.notices.note("stranger_refused", {}, {}, name(code));
    parts_.pipeline.meters().refused(name(code));
  };
  if (!host_allowed(at, request)) {
    stranger(Code::http_host);
    return std::unexpected(refuse(403, Code::http_host));
  }
  if (request.path != kEndpoint && !request.path.starts_with("/mcp/")) {
    return std::unexpected(refuse(404, Code::http_not_found));
  }
  for (const auto& [header, value] : request.headers) {
    if (header != "origin" || origin_allowed(at, value)) continue;
    stranger(Code::http_origin);
    return std::unexpected(refuse(403, Code::http_origin));
  }
  auto who = authenticate(generation, request);
  if (who) return *std::move(who);
  const Code code = who.error().code;
  stranger(code);
  net::HttpResponse out = refuse(401, code, who.error().message);
  const bool none =
      code == Code::token_missing;  // RFC 6750 section 3.1: then no error code is given
  out.headers.emplace_back(
      "WWW-Authenticate",
      challenge(at, request.path, none ? "" : "invalid_token", none ? "" : info(code).text, ""));
  return std::unexpected(std::move(out));
}

std::optional<net::HttpResponse> HttpFront::check_head(const Listening& at,
                                                       const net::HttpRequest& head) {
  auto who = admit(at, *parts_.current.get(), head);
  if (who) return std::nullopt;
  return std::move(who).error();
}

Task<void> HttpFront::handle(net::Loop& loop, const Listening& at, const net::HttpRequest& request,
                             net::HttpResponder& responder) {
  const std::shared_ptr<const Generation> generation = parts_.current.get();
  std::optional<net::HttpResponse> whole;
  std::optional<Admitted> admitted;
  if (request.path.starts_with(kWellKnown)) {
    const std::string_view resource = std::string_view(request.path).substr(kWellKnown.size());
    const bool known_form = resource == kEndpoint || resource.starts_with("/mcp/");
    if (!known_form || at.authority.empty()) {
      whole = refuse(404, Code::http_not_found);
    } else if (request.method != "GET") {
      whole = refuse(405, Code::http_method);
    } else {
      whole = metadata(*generation, at, resource);
    }
  } else if (auto who = admit(at, *generation, request); !who) {
    whole = std::move(who).error();
  } else if (auto target = find_target(*generation, request.path); !target) {
    parts_.notices.note("client_refused", {}, {}, name(Code::upstream_unknown));
    whole = refuse(404, Code::upstream_unknown, "no upstream has this path; use /mcp/<upstream>");
  } else {
    admitted.emplace(Admitted{.generation = generation,
                              .who = *std::move(who),
                              .target = *std::move(target),
                              .peer = name_of(responder.peer())});
  }
  if (admitted && request.method == "POST") {
    auto posting = post(loop, at, request, responder, *std::move(admitted));
    co_await posting;
    co_return;
  }
  if (admitted && request.method == "GET" && request.count(kSessionHeader) != 0) {
    auto listening = listen(loop, request, responder, *std::move(admitted));
    co_await listening;
    co_return;
  }
  if (admitted && request.method == "DELETE") whole = end_session(request, *admitted);
  if (!whole) {
    whole = refuse(405, Code::http_method,
                   "send MCP messages by POST; GET and DELETE need the id of a session");
    whole->headers.emplace_back("Allow", "POST, GET, DELETE");
  }
  auto sending = responder.send(*std::move(whole));
  co_await sending;
}

std::expected<std::shared_ptr<Session>, net::HttpResponse> HttpFront::session_of(
    const net::HttpRequest& request, const Admitted& admitted) {
  const auto header = single_header(request, kSessionHeader);
  if (!header) {
    return std::unexpected(refuse(400, Code::http_syntax, header.error().message));
  }
  if (!*header) return nullptr;
  auto session = parts_.sessions.find(**header, admitted.target.name, *admitted.who);
  if (!session) {
    parts_.notices.note("client_refused", {}, {}, name(Code::session_unknown));
    return std::unexpected(refuse(404, Code::session_unknown));
  }
  session->use(admitted.who, admitted.generation, parts_.clock.monotonic());
  return session;
}

net::HttpResponse HttpFront::end_session(const net::HttpRequest& request,
                                         const Admitted& admitted) {
  auto session = session_of(request, admitted);
  if (!session) return std::move(session).error();
  if (!*session) {
    return refuse(400, Code::session_unknown, "DELETE needs the id of a session");
  }
  parts_.notices.note("session_ended", {}, {}, "client");
  parts_.sessions.remove((*session)->id());
  net::HttpResponse done;
  done.status = 200;
  return done;
}

// --- POST
// -------------------------------------------------------------------------------------------

struct HttpFront::Running {
  Running(HttpFront& the_front, const Listening& listening, Target the_target,
          FrontRequest the_request, std::shared_ptr<ClientStream> stream, std::string key)
      : at(listening),
        target(std::move(the_target)),
        request(std::move(the_request)),
        method(request.message.method),
        id(request.message.id),
        out(std::move(stream)),
        entry(the_front.in_flight_, std::move(key), request.cancellation),
        front(the_front) {}
  ~Running() { front.in_flight_.leave(request.who->principal.session); }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  Listening at;  // a copy: the exchange may outlive its connection
  Target target;
  FrontRequest request;
  std::string method;
  std::string id;  // of the request, source text: the message itself moves on
  std::shared_ptr<ClientStream> out;
  InFlight::Entry entry;
  HttpFront& front;
};

Task<void> HttpFront::run(HttpFront& self, std::shared_ptr<Running> running) {
  FrontRequest& request = running->request;
  Answer answer;
  if (running->target.selection) {
    std::shared_ptr<Federation> federation =
        request.session ? request.session->federation() : nullptr;
    if (!federation) {
      federation = std::make_shared<Federation>(running->target.routes, *running->target.selection);
    }
    auto federated = federation->run(self.parts_.pipeline, request);
    answer = co_await federated;
  } else {
    Exchange x = make_exchange(request, running->target.routes.front());
    auto single = self.parts_.pipeline.run(x);
    answer = co_await single;
  }
  running->out->finish(self.final_answer(*running, std::move(answer)));
}

FinalAnswer HttpFront::final_answer(const Running& running, Answer answer) {
  FinalAnswer out;
  out.headers.emplace_back("Zwinger-Call-Id", running.request.call_id);
  const auto& session = running.request.session;
  const bool good = answer.verdict.allowed() && !answer.failure;
  bool begun = false;  // this request has begun the session
  if (!answer.verdict.allowed() && answer.verdict.reason == Code::scope_missing) {
    out.status = 403;
    out.headers.emplace_back("WWW-Authenticate",
                             challenge(running.at, running.target.name, "insufficient_scope",
                                       info(Code::scope_missing).text, scope_for(running.method)));
  } else if (answer.failure == Code::upstream_session_lost && session) {
    out.status = 404;
    parts_.sessions.remove(session->id());
  } else if (running.method == "initialize" && session && good && answer.is_result) {
    const auto added = parts_.sessions.add(session, running.request.generation->max_sessions);
    if (added) {
      begun = true;
      out.as_stream = answer.as_stream;
    } else {
      session->end();
      out.status = 503;
      mcp::Denial denial;
      denial.reason = added.error().code;
      denial.text = added.error().message;
      denial.call_id = running.request.call_id;
      answer.message = mcp::write_denial(running.id, denial);
    }
  }
  const bool is_theirs = session && (running.method != "initialize" || begun);
  if (is_theirs && !session->ended()) out.headers.emplace_back("Mcp-Session-Id", session->id());
  // Who cancelled a request waits for no answer (basic/utilities/cancellation); but where nothing
  // was sent yet, HTTP needs one.
  if (answer.failure == Code::cancelled && running.out->opened()) return out;
  out.message = std::move(answer.message);
  return out;
}

Task<void> HttpFront::post(net::Loop& loop, const Listening& at, const net::HttpRequest& request,
                           net::HttpResponder& responder, Admitted admitted) {
  const Monotonic began = parts_.clock.monotonic();
  const std::string shown_upstream =
      admitted.target.selection ? std::string() : admitted.target.routes.front().upstream->id();
  std::optional<net::HttpResponse> whole;
  std::shared_ptr<Session> session;
  std::optional<mcp::Message> message;
  if (auto refusal = check_headers(request)) {
    parts_.notices.note("client_refused", shown_upstream, {}, "http_headers");
    whole = std::move(refusal);
  } else if (auto parsed = mcp::parse_message(request.body, limits_); !parsed) {
    parts_.notices.note("client_bad_message", shown_upstream, {}, name(parsed.error().error.code));
    whole = json_response(400, mcp::write_unreadable(parsed.error().id, parsed.error().error));
  } else {
    message.emplace(*std::move(parsed));
    const bool begins =
        message->kind == mcp::MessageKind::request && message->method == "initialize";
    if (begins) {
      session =
          parts_.sessions.make(admitted.target.name, admitted.who, admitted.generation, began);
      if (admitted.target.selection) {
        session->federate(
            std::make_shared<Federation>(admitted.target.routes, *admitted.target.selection));
      }
    } else if (auto found = session_of(request, admitted); found) {
      session = *std::move(found);
    } else {
      whole = std::move(found).error();
    }
  }
  if (!whole && message->kind != mcp::MessageKind::request) {
    auto sending = responder.send(take_message(loop, *std::move(message), admitted, session));
    co_await sending;
    co_return;
  }
  if (!whole && !in_flight_.admit(admitted.who->principal.session)) {
    parts_.notices.note("client_refused", shown_upstream, {}, name(Code::overloaded));
    whole = refuse(503, Code::overloaded);
  }
  if (whole) {
    auto sending = responder.send(*std::move(whole));
    co_await sending;
    co_return;
  }

  const bool events = accepts_events(request);
  const bool initializes = message->method == "initialize";
  auto stream = session ? session->begin_stream(events && !initializes)
                        : std::make_shared<ClientStream>(0, nullptr);
  const std::uint64_t reader = *stream->attach(std::nullopt);
  const std::string id = mcp::id_key(*message->document.root().find("id"));
  std::string key = in_flight_key(*admitted.who, admitted.target.name, session.get(), id);
  const std::string call_id = parts_.random.hex(16);
  const std::shared_ptr<Session> of = session;  // the exchange takes the other
  net::HttpHeaders headers = {{"Zwinger-Call-Id", call_id}};
  if (of && !initializes) headers.emplace_back("Mcp-Session-Id", of->id());
  FrontRequest front{.loop = loop,
                     .message = *std::move(message),
                     .began = began,
                     .generation = std::move(admitted.generation),
                     .who = std::move(admitted.who),
                     .transport = "http",
                     .peer = std::move(admitted.peer),
                     .call_id = call_id,
                     .session = std::move(session),
                     .stream = events ? stream : nullptr};
  auto running = std::make_shared<Running>(*this, at, std::move(admitted.target), std::move(front),
                                           stream, std::move(key));
  // The request goes on, whatever becomes of the connection: a disconnect is no cancellation.
  loop.spawn(run(*this, std::move(running)));

  responder.on_gone([stream, reader] { stream->detach(reader); });
  auto waiting = stream->next(loop, reader, ClientStream::Form::undecided, Monotonic::max());
  ClientStream::Next first = co_await waiting;
  if (first.kind == ClientStream::Next::Kind::answer) {
    net::HttpResponse out = json_response(first.answer.status, {});
    if (first.message) out.body = *first.message;
    for (auto& header : first.answer.headers) out.headers.push_back(std::move(header));
    auto sending = responder.send(std::move(out));
    co_await sending;
    stream->detach(reader);
    co_return;
  }
  if (first.kind != ClientStream::Next::Kind::opened) co_return;
  if (!first.answer.headers.empty()) headers = std::move(first.answer.headers);
  auto streaming = stream_events(loop, responder, stream, reader, of, true, std::move(headers));
  co_await streaming;
}

Task<void> HttpFront::stream_events(net::Loop& loop, net::HttpResponder& responder,
                                    std::shared_ptr<ClientStream> stream, std::uint64_t reader,
                                    std::shared_ptr<Session> session, bool from_start,
                                    net::HttpHeaders headers) {
  using Kind = ClientStream::Next::Kind;
  const bool resumable = session != nullptr;
  const bool primed =
      resumable && from_start && mcp::revision_has_priming_events(session->protocol_version());
  session.reset();  // the stream may go on for long after its session
  auto beginning = responder.begin(stream_head(std::move(headers)));
  bool reading = co_await beginning;
  if (reading && primed) {
    net::SseEvent priming;
    priming.id = event_id(*stream, 0);
    priming.has_data = true;
    auto writing = responder.write(net::write_sse(priming));
    reading = co_await writing;
  }
  while (reading) {
    auto waiting =
        stream->next(loop, reader, ClientStream::Form::stream, net::Loop::now() + kKeepAlive);
    const ClientStream::Next next = co_await waiting;
    std::string bytes;
    if (next.kind == Kind::event) {
      net::SseEvent event;
      event.event = "message";
      event.data = *next.message;
      event.has_data = true;
      if (resumable) event.id = event_id(*stream, next.sequence);
      bytes = net::write_sse(event);
    } else if (next.kind == Kind::timeout) {
      bytes = net::kSseKeepAlive;
    } else if (next.kind == Kind::retry) {
      net::SseEvent retry;
      retry.retry_ms = next.retry_ms;
      bytes = net::write_sse(retry);
    } else if (next.kind == Kind::paused) {
      if (!resumable) continue;  // this client could not ask for the rest
      reading = false;
    } else {
      break;
    }
    if (bytes.empty()) continue;
    auto writing = responder.write(std::move(bytes));
    if (!co_await writing) break;
  }
  stream->detach(reader);
  auto ending = responder.end();
  co_await ending;
}

// --- GET
// --------------------------------------------------------------------------------------------

Task<void> HttpFront::listen(net::Loop& loop, const net::HttpRequest& request,
                             net::HttpResponder& responder, Admitted admitted) {
  std::optional<net::HttpResponse> refusal;
  std::shared_ptr<Session> session;
  std::shared_ptr<ClientStream> stream;
  std::optional<std::uint64_t> reader;
  const auto last = single_header(request, "last-event-id");
  if (auto found = session_of(request, admitted); !found) {
    refusal = std::move(found).error();
  } else if (!accepts_events(request)) {
    refusal = refuse(406, Code::http_media_type, "Accept must include text/event-stream");
  } else if (!last) {
    refusal = refuse(400, Code::http_syntax, last.error().message);
  } else {
    session = *std::move(found);
    const auto place = *last ? parse_event_id(**last) : std::nullopt;
    if (!*last && session->standalone()->attached()) {
      refusal = refuse(409, Code::stream_in_use);
    } else if (!*last) {
      stream = session->standalone();
      reader = stream->attach(std::nullopt);
    } else if (place) {
      stream = session->find_stream(place->stream);
      if (stream) reader = stream->attach(place->sequence);
    }
    if (!reader && !refusal) refusal = refuse(400, Code::resume_unknown);
  }
  if (refusal) {
    auto sending = responder.send(*std::move(refusal));
    co_await sending;
    co_return;
  }
  if (stream == session->standalone()) session->listen();
  responder.on_gone([stream, reader] { stream->detach(*reader); });
  net::HttpHeaders headers = {{"Mcp-Session-Id", session->id()}};
  auto streaming =
      stream_events(loop, responder, stream, *reader, session, false, std::move(headers));
  co_await streaming;
  session->touch(parts_.clock.monotonic());  // later requests may have brought another token
}

// --- what needs no answer
// ---------------------------------------------------------------------------

net::HttpResponse HttpFront::take_message(net::Loop& loop, mcp::Message message,
                                          const Admitted& admitted,
                                          const std::shared_ptr<Session>& session) {
  net::HttpResponse accepted;
  accepted.status = 202;
  const std::string shown_upstream =
      admitted.target.selection ? std::string() : admitted.target.routes.front().upstream->id();
  if (message.kind != mcp::MessageKind::notification) {
    if (session && session->answer(std::move(message))) return accepted;
    parts_.notices.note("client_answer_refused", shown_upstream, {}, name(Code::rpc_invalid));
    return json_response(
        400, mcp::write_unreadable("null",
                                   {Code::rpc_invalid, "no request waits for this answer", "id"}));
  }
  const auto kind = mcp::parse_client_notification(message.method);
  if (kind == mcp::Notification::cancelled) {
    const auto params = mcp::read_cancelled_params(message.params);
    if (!params) return json_response(400, mcp::write_unreadable("null", params.error()));
    const bool found =
        parts_.pipeline.records() &&
        in_flight_.cancel(in_flight_key(*admitted.who, admitted.target.name, session.get(),
                                        mcp::id_key(params->request_id)),
                          [&message](std::int64_t known_as) {
                            return mcp::rewrite_cancelled(message, known_as);
                          });
    parts_.notices.note(found ? "cancelled" : "cancel_without_request", shown_upstream);
    return accepted;
  }
  if (kind && session) {
    pass_on(loop, message, admitted, *session);
  } else if (kind != mcp::Notification::initialized) {
    parts_.notices.note("client_notification_refused", shown_upstream, message.method,
                        name(Code::method_not_supported));
  }
  return accepted;
}

namespace {
Task<void> send_to(net::Loop& loop, Notices& notices, std::shared_ptr<Connection> connection,
                   std::string upstream, std::string method, std::string message) {
  notices.note("client_notification", upstream, method, "ok");
  auto sending = connection->send(loop, std::move(message));
  const Result<void> sent = co_await sending;
  if (!sent) notices.note("notification_not_delivered", upstream, method, name(sent.error().code));
}
}  // namespace

void HttpFront::pass_on(net::Loop& loop, const mcp::Message& message, const Admitted& admitted,
                        Session& session) {
  const auto kind = mcp::parse_client_notification(message.method);
  std::shared_ptr<Connection> only;
  if (kind == mcp::Notification::progress) {
    const auto progress = mcp::read_progress_params(message.params);
    if (progress) only = session.asked_with_token(mcp::id_key(progress->token));
    if (!only) {
      parts_.notices.note("client_notification_refused", {}, message.method, "no_request");
      return;
    }
  }
  for (const Session::Member& member : session.members()) {
    if (only && member.connection != only) continue;
    if (member.route.upstream->config().sessions == SessionUse::shared) continue;
    const std::string& upstream = member.route.upstream->id();
    const Verdict verdict = parts_.pipeline.judge_client_notification(
        *admitted.generation, admitted.who.get(), member.route);
    if (!verdict.allowed()) {
      parts_.notices.note("client_notification_denied", upstream, message.method,
                          verdict.reason_name());
      continue;
    }
    loop.spawn(send_to(loop, parts_.notices, member.connection, upstream,
                       std::string(message.method),
                       mcp::single_line(std::string(message.document.text()))));
  }
}

}  // namespace zwinger::gateway
