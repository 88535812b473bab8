#include "base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/fd.h"

namespace zwinger {

namespace fs = std::filesystem;

namespace {

std::unexpected<Error> io_error(const fs::path& path, const char* what) {
  return fail(Code::io,
              std::string("cannot ") + what + " " + path.string() + ": " + std::strerror(errno));
}

Result<std::string> read_all(const Fd& fd, const fs::path& path, std::size_t max_bytes,
                             Code too_large) {
  std::string out;
  std::string chunk(std::size_t{64} << 10U, '\0');
  while (true) {
    const ssize_t n = ::read(fd.get(), chunk.data(), chunk.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error(path, "read");
    if (n == 0) return out;
    out.append(chunk, 0, static_cast<std::size_t>(n));
    if (out.size() > max_bytes) {
      return fail(too_large,
                  path.string() + " is longer than " + std::to_string(max_bytes) + " bytes",
                  path.string());
    }
  }
}

// Makes what was created in the folder survive a power cut.
Result<void> sync_folder(const fs::path& folder) {
  const Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return io_error(folder, "sync");
  return {};
}

}  // namespace

Result<std::string> read_file(const fs::path& path, std::size_t max_bytes, Code too_large) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return io_error(path, "open");
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) return io_error(path, "stat");
  if (!S_ISREG(st.st_mode)) return fail(Code::io, path.string() + " is not a regular file");
  return read_all(fd, path, max_bytes, too_large);
}

Result<std::string> read_private_file(const fs::path& path, std::size_t max_bytes) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) {
    if (errno == ELOOP) {
      return fail(Code::grant_file, path.string() + " is a symbolic link; it must be a plain file");
    }
    return io_error(path, "open");
  }
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) return io_error(path, "stat");
  if (!S_ISREG(st.st_mode)) return fail(Code::grant_file, path.string() + " is not a regular file");
  if (st.st_uid != ::geteuid()) {
    return fail(Code::grant_file, path.string() + " belongs to another user; it must be your own");
  }
  if ((st.st_mode & 0077U) != 0) {
    return fail(
        Code::grant_file,
        path.string() + " can be read or written by others; run: chmod 600 " + path.string());
  }
  return read_all(fd, path, max_bytes, Code::grant_file);
}

Result<void> create_private_folder(const fs::path& folder) {
  std::error_code ec;
  fs::path made;
  for (const fs::path& part : folder) {
    const fs::path parent = made.empty() ? fs::path(".") : made;
    made /= part;
    if (::mkdir(made.c_str(), 0700) == 0) {
      ZWINGER_CHECK_OK(sync_folder(parent));
    } else if (errno != EEXIST && !fs::is_directory(made, ec)) {
      return io_error(made, "create");
    }
  }
  if (!fs::is_directory(folder, ec)) return fail(Code::io, folder.string() + " is not a folder");
  // An earlier start may have made it and died before this.
  return sync_folder(folder / "..");
}

Result<void> write_file_atomically(const fs::path& path, std::string_view content, mode_t mode) {
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  ZWINGER_CHECK_OK(create_private_folder(folder));
  std::string temporary = (folder / (path.filename().string() + ".XXXXXX")).string();
  Fd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) return io_error(folder, "create a file in");
  const auto give_up = [&](const char* what) {
    auto error = io_error(path, what);
    (void)::unlink(temporary.c_str());
    return error;
  };
  if (::fchmod(fd.get(), mode) != 0) return give_up("set the mode of");
  while (!content.empty()) {
    const ssize_t n = ::write(fd.get(), content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return give_up("write");
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  if (::fsync(fd.get()) != 0) return give_up("sync");
  if (::rename(temporary.c_str(), path.c_str()) != 0) return give_up("rename to");
  return sync_folder(folder);
}

}  // namespace zwinger
