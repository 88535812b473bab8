// Tells when a file was renamed into a folder: how a whole new version of a file arrives (design
// section 3: half a file is never a policy). Loop thread only; Linux inotify.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "net/loop.h"

namespace zwinger::net {

class Watch {
 public:
  // Calls `renamed` with the file's name for each rename into one of the folders, from now on, not
  // below them. Folders that do not exist are left out. Errors: io.
  [[nodiscard]] static Result<std::unique_ptr<Watch>> start(
      Loop& loop, const std::vector<std::filesystem::path>& folders,
      std::function<void(const std::string& name)> renamed);
  ~Watch();  // no call after this
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  class Impl;
  explicit Watch(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace zwinger::net
