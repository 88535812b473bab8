// Any bytes, fed in one piece and in pieces of sizes that the input itself chooses, give the same
// responses and the same error. The first byte tells how many bytes of piece sizes follow it, which
// of three requests were HEAD, and whether the peer closes at the end; limits are small, so that
// every one of them is met.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "net/http1_response_trace.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const unsigned choice = data[0];
  const std::size_t count = choice % 8U;
  if (size < 1 + count) return 0;
  zwinger::net::ResponseTrace trace;
  trace.limits = {.max_target = 24, .max_head = 256, .max_headers = 5, .max_body = 64};
  trace.methods = {(choice & 16U) != 0 ? 'H' : 'G', (choice & 32U) != 0 ? 'H' : 'G',
                   (choice & 64U) != 0 ? 'H' : 'G'};
  trace.ends = (choice & 8U) != 0;
  const std::uint8_t* sizes = data + 1;
  const std::string_view input(reinterpret_cast<const char*>(sizes + count),
                               size - 1 - count);  // NOLINT(*-reinterpret-cast)
  std::size_t turn = 0;
  const auto next_size = [&]() -> std::size_t { return count == 0 ? 1 : sizes[turn++ % count]; };
  if (trace.run(input) != trace.run(input, next_size)) std::abort();
  return 0;
}
