// Small-file helpers for configuration and keys. Blocking; not for an event loop's hot path.
// Thread-safe.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace zwinger {

// Reads a regular file of at most `max_bytes`. Errors: io (message names the path and errno's
// text), or `too_large` when longer.
[[nodiscard]] Result<std::string> read_file(const std::filesystem::path& path,
                                            std::size_t max_bytes, Code too_large = Code::io);

// Reads a file that must be private: a regular file, not a link, owned by this process's uid, with
// no permission for group or others. Errors: grant_file where it is not so, io otherwise.
[[nodiscard]] Result<std::string> read_private_file(const std::filesystem::path& path,
                                                    std::size_t max_bytes);

// Writes beside the target, fsyncs, renames over it, fsyncs the folder: readers see the old file or
// the new one. Creates missing parent folders with mode 0700. Errors: io.
[[nodiscard]] Result<void> write_file_atomically(const std::filesystem::path& path,
                                                 std::string_view content, mode_t mode);

// Creates the folder and missing parents with mode 0700; one that is there is left as it is. All of
// it is durable on return. Errors: io.
[[nodiscard]] Result<void> create_private_folder(const std::filesystem::path& folder);

}  // namespace zwinger
