// Any bytes, appended in one piece and in pieces of sizes that the input itself chooses, give the
// same events and the same end; and the events come back from what write_sse makes of them. The
// first byte tells how many bytes of piece sizes follow it, and chooses the limit.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "net/sse_trace.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using zwinger::net::SseTrace;
  if (size == 0) return 0;
  const std::size_t count = data[0] % 8U;
  if (size < 1 + count) return 0;
  const std::size_t limit = (data[0] & 8U) != 0 ? 16 : 4096;
  const std::uint8_t* sizes = data + 1;
  const std::string_view input(reinterpret_cast<const char*>(sizes + count),
                               size - 1 - count);  // NOLINT(*-reinterpret-cast)
  std::size_t turn = 0;
  const auto next_size = [&]() -> std::size_t { return count == 0 ? 1 : sizes[turn++ % count]; };
  const SseTrace whole = SseTrace::of(input, limit);
  if (whole != SseTrace::of(input, limit, next_size)) std::abort();
  std::string written;
  for (const auto& event : whole.events) written += zwinger::net::write_sse(event);
  const SseTrace again = SseTrace::of(written, written.size());
  if (again.events != whole.events || !again.end.empty()) std::abort();
  return 0;
}
