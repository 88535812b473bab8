// load_or_create_argument_key(): the one file behind the digests of arguments.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>

#include "base/fd.h"
#include "base/files.h"
#include "ledger/arguments.h"

namespace zwinger::ledger {

namespace fs = std::filesystem;

namespace {

std::unexpected<Error> unavailable(std::string message, const fs::path& path) {
  return fail(Code::ledger_unavailable, "the key of the record's digests: " + std::move(message),
              path.string());
}

Result<ArgumentKey> load(const fs::path& path) {
  const auto bytes = read_private_file(path, kArgumentKeySize);
  if (!bytes) return unavailable(bytes.error().message, path);
  if (bytes->size() != kArgumentKeySize) {
    return unavailable(path.string() + " does not hold " + std::to_string(kArgumentKeySize) +
                           " bytes; remove it to get a new key, which does not compare with what "
                           "the old one recorded",
                       path);
  }
  return ArgumentKey(*bytes);
}

// Puts a whole key at `path` unless something is there already. A link, other than a rename,
// replaces nothing, so that nobody goes on with a key that another process has overwritten.
Result<void> create(const fs::path& path, Random& random) {
  std::array<std::byte, kArgumentKeySize> key{};
  random.fill(key);
  const std::string bytes(reinterpret_cast<const char*>(key.data()), key.size());
  const fs::path temporary = path.string() + "." + random.hex(8);
  if (const auto written = write_file_atomically(temporary, bytes, 0600); !written) {
    return unavailable(written.error().message, path);
  }
  const bool linked = ::link(temporary.c_str(), path.c_str()) == 0;
  const int why = errno;
  (void)::unlink(temporary.c_str());
  if (!linked && why != EEXIST) {
    return unavailable("cannot create " + path.string() + ": " + std::strerror(why), path);
  }
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  const Fd dir(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir || ::fsync(dir.get()) != 0) {
    return unavailable("cannot sync " + folder.string() + ": " + std::strerror(errno), path);
  }
  return {};
}

}  // namespace

Result<ArgumentKey> load_or_create_argument_key(const fs::path& path, Random& random) {
  std::error_code ec;
  if (fs::symlink_status(path, ec).type() == fs::file_type::not_found) {
    ZWINGER_CHECK_OK(create(path, random));
  }
  return load(path);
}

}  // namespace zwinger::ledger
