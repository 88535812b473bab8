#include "gateway/admin.h"

#include <utility>

#include "crypto/hash.h"
#include "json/writer.h"

namespace zwinger::gateway {

namespace {

net::HttpResponse respond(int status, std::string_view content_type, std::string body) {
  net::HttpResponse out;
  out.status = status;
  out.headers = {{"Content-Type", std::string(content_type)}, {"Cache-Control", "no-store"}};
  out.body = std::move(body);
  return out;
}

net::HttpResponse refuse(int status, Code code) {
  json::Writer w;
  w.begin_object().key("error").begin_object();
  w.key("reason").string(name(code)).key("message").string(info(code).text);
  w.end_object().end_object();
  return respond(status, "application/json", std::move(w).take());
}

// By digests, so that how long it takes says nothing of where they differ.
bool same(std::string_view a, std::string_view b) { return crypto::sha256(a) == crypto::sha256(b); }

}  // namespace

net::HttpResponse Admin::answer(const net::HttpRequest& request) const {
  if (parts_.token) {
    const auto header = request.header("authorization");
    if (!header || !same(*header, "Bearer " + *parts_.token)) {
      net::HttpResponse out = refuse(401, Code::token_missing);
      out.headers.emplace_back("WWW-Authenticate", "Bearer");
      return out;
    }
  }
  const bool known =
      request.path == "/healthz" || request.path == "/readyz" || request.path == "/metrics";
  if (!known) return refuse(404, Code::http_not_found);
  if (request.method != "GET" && request.method != "HEAD") return refuse(405, Code::http_method);
  if (request.path == "/metrics") {
    return respond(200, metrics::kContentType, parts_.registry.render());
  }
  const std::optional<Error> trouble =
      request.path == "/readyz" ? parts_.not_ready() : std::nullopt;
  if (!trouble) return respond(200, "application/json", R"({"status":"ok"})");
  json::Writer w;
  w.begin_object().key("status").string("not_ready");
  w.key("reason").string(name(trouble->code)).key("message").string(trouble->message).end_object();
  return respond(503, "application/json", std::move(w).take());
}

Task<void> Admin::handle(const net::HttpRequest& request, net::HttpResponder& responder) {
  auto sending = responder.send(answer(request));
  co_await sending;
}

}  // namespace zwinger::gateway
