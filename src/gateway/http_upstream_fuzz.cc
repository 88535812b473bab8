// What an HTTP+SSE server says messages go to: any bytes. What comes out is one request target, and
// behind our own origin it leads nowhere else.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "gateway/http_upstream.h"
#include "text/url.h"

namespace {

using zwinger::gateway::HttpEndpoint;

void check(const HttpEndpoint& base, std::string_view origin, std::string_view reference) {
  const auto target = zwinger::gateway::resolve_sse_endpoint(base, reference);
  if (!target) return;
  const bool plain = target->starts_with('/') && !target->contains('#') &&
                     target->find_first_of(" \\") == std::string::npos;
  for (const char c : *target) {
    if (c < 0x21 || c > 0x7E) std::abort();
  }
  const std::string url = std::string(origin) + *target;
  // An @ in the path is one that old parsers trip over; they would not at ours.
  if (!plain) std::abort();
  const auto host = zwinger::text::canonical_url_host(url);
  if (!host && !target->contains('@')) std::abort();
  if (host && *host != zwinger::text::canonical_url_host(origin)) std::abort();
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer calls it by this name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view reference(reinterpret_cast<const char*>(data), size);
  check({.url = {}, .tls = false, .host = "example.org", .port = 8080, .target = "/a/sse?x=1"},
        "http://example.org:8080", reference);
  check({.url = {}, .tls = true, .host = "::1", .port = 443, .target = "/sse"}, "https://[::1]",
        reference);
  return 0;
}
