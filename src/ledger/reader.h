// Reads the provisional record back. Blocking; for commands and tests, not for event loops.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace zwinger::ledger {

struct SegmentReport {
  std::filesystem::path path;
  std::uint64_t leaves = 0;  // in the recovered prefix
  std::uint64_t prefix_bytes = 0;
  std::uint64_t tail_bytes = 0;  // after the prefix: a torn write, or damage
  // Set when the bytes after the prefix hold a whole frame: one after a bad place, or one whose
  // `seq` does not follow. That is no torn tail. ledger_corrupt, where = "file:byte N", N being the
  // first byte after the prefix.
  std::optional<Error> damage;
};

using EachLeaf = std::function<bool(std::string_view json)>;

// Calls `each` with the JSON bytes of every leaf of the recovered prefix, in order. `each` returns
// false to stop; the report then ends with that leaf and says nothing of what follows it. `bytes`
// may be anything; the path stays empty, and where = "byte N".
[[nodiscard]] SegmentReport read_frames(std::string_view bytes, const EachLeaf& each);

// The same for a file, which must not shrink meanwhile; it may grow. Errors: io.
[[nodiscard]] Result<SegmentReport> read_segment(const std::filesystem::path& path,
                                                 const EachLeaf& each);

// All files of a folder that are named like segments, oldest first by the name's time. Errors: io.
[[nodiscard]] Result<std::vector<std::filesystem::path>> list_segments(
    const std::filesystem::path& folder);

}  // namespace zwinger::ledger
