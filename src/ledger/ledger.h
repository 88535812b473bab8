// The provisional record: append-only segment files, group commit, one writer thread.
//
// Each emitter (process) writes a segment of its own in `folder`, named <emitter>-<UTC
// time>-<random>.log, mode 0600, one frame a leaf: 16 hex digits (first half of SHA-256 over the
// JSON bytes), a space, the JSON, a newline. A reader takes the longest prefix of whole, matching
// frames with gapless `seq`: recovery is that prefix. A segment is never reopened for writing; a
// new process begins a new one and fsyncs the folder before its first acknowledgement.
//
// Durable means: fdatasync returned after the write. A write or sync error seals the segment for
// good: that append and every later one fails with ledger_unavailable, because after a failed fsync
// the kernel may have dropped the pages and a retry would lie.
//
// append() may be called from any thread; `done` runs on the writer's thread, or at once on the
// caller's where the leaves were never queued. The clock must outlive the ledger.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "ledger/leaf.h"

namespace zwinger::ledger {

// What the writer does to the disk, so that tests can make each call fail or wait. The real one is
// make_posix_file().
class AppendFile {
 public:
  virtual ~AppendFile() = default;
  // Writes all of it or says why not (short writes are continued inside).
  [[nodiscard]] virtual Result<void> write(std::string_view bytes) = 0;
  [[nodiscard]] virtual Result<void> sync() = 0;
};

// Creates the file (O_EXCL, mode 0600), fsyncs its folder. Errors: ledger_unavailable.
[[nodiscard]] Result<std::unique_ptr<AppendFile>> make_posix_file(
    const std::filesystem::path& path);

// Whoever writes this name asks for a gateway whose decisions leave no trace. It is for bench/,
// which measures the doorway without the disk, and no policy file, option or variable leads to it.
struct RecordNothingForBenchmarks {
  explicit RecordNothingForBenchmarks() = default;
};

class Ledger {
 public:
  using Done = std::move_only_function<void(Result<void>)>;

  struct Options {
    std::string emitter = "gateway";  // [a-z0-9-]+
    std::size_t max_queued =
        16384;  // leaves; beyond it append fails with ledger_unavailable at once
  };

  // Creates the folder (0700) and a new segment in it, and writes its boot leaf. Errors:
  // ledger_unavailable.
  [[nodiscard]] static Result<std::unique_ptr<Ledger>> open(const std::filesystem::path& folder,
                                                            Options options, const Clock& clock,
                                                            Random& random);
  // For tests: over any file. The boot leaf is queued, not waited for.
  [[nodiscard]] static std::unique_ptr<Ledger> over(std::unique_ptr<AppendFile> file,
                                                    Options options, const Clock& clock);
  // No record: leaves are rendered, numbered and hashed as ever and then dropped; `done` runs at
  // once, on the caller's thread.
  [[nodiscard]] static std::unique_ptr<Ledger> open_in_memory(RecordNothingForBenchmarks danger,
                                                              const Clock& clock);
  ~Ledger();  // writes a stop leaf if it still can, finishes what is queued, joins
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // Queues the leaves together (they become durable together) and calls `done` once they are
  // durable, or with ledger_unavailable. Leaves get consecutive sequence numbers in the order of
  // append; a segment's first is 1. No leaves: `done` runs when all that was appended before is
  // durable.
  void append(std::vector<Leaf> leaves, Done done);
  // False for good after the first error.
  [[nodiscard]] bool healthy() const;

 private:
  class Impl;
  class OnDisk;
  class InMemory;
  explicit Ledger(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace zwinger::ledger
