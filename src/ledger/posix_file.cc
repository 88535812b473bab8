#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/fd.h"
#include "ledger/ledger.h"

namespace zwinger::ledger {

namespace fs = std::filesystem;

namespace {

std::unexpected<Error> os_error(const char* what, const fs::path& path) {
  return fail(Code::ledger_unavailable, std::string("cannot ") + what + ": " + std::strerror(errno),
              path.string());
}

class PosixFile final : public AppendFile {
 public:
  PosixFile(Fd fd, fs::path path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<void> write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return os_error("write the record", path_);
      if (n == 0)
        return fail(Code::ledger_unavailable, "the record takes no bytes", path_.string());
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
  }
  Result<void> sync() override {
    if (::fdatasync(fd_.get()) != 0) return os_error("sync the record", path_);
    return {};
  }

 private:
  Fd fd_;
  fs::path path_;
};

}  // namespace

Result<std::unique_ptr<AppendFile>> make_posix_file(const fs::path& path) {
  Fd fd(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return os_error("create a record segment", path);
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  const Fd dir(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir || ::fsync(dir.get()) != 0) return os_error("sync the record's folder", folder);
  return std::make_unique<PosixFile>(std::move(fd), path);
}

}  // namespace zwinger::ledger
