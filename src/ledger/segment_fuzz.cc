// A segment is read after crashes and by auditors, so its bytes may be anything. Whatever they are:
// the prefix and the tail make up the whole, the prefix read alone gives the same leaves, and only
// a tail can be damaged.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "ledger/reader.h"

namespace {

using zwinger::ledger::SegmentReport;

SegmentReport read(std::string_view bytes, std::vector<std::string>& leaves) {
  return zwinger::ledger::read_frames(bytes, [&](std::string_view json) {
    leaves.emplace_back(json);
    return true;
  });
}

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::vector<std::string> leaves;
  const SegmentReport report = read(bytes, leaves);
  require(report.prefix_bytes + report.tail_bytes == size);
  require(report.leaves == leaves.size());
  require(!report.damage || report.tail_bytes > 0);
  std::vector<std::string> again;
  const SegmentReport prefix = read(bytes.substr(0, report.prefix_bytes), again);
  require(prefix.tail_bytes == 0 && !prefix.damage && again == leaves);
  return 0;
}
