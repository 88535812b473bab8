#include "net/watch.h"

#include <sys/inotify.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include "base/fd.h"
#include "net/stream.h"

namespace zwinger::net {

class Watch::Impl {
 public:
  Impl(std::unique_ptr<Stream> events, std::function<void(const std::string&)> renamed)
      : events_(std::move(events)), renamed_(std::move(renamed)) {}

  static Task<void> read(std::shared_ptr<Impl> self) {
    alignas(inotify_event) std::array<char, 4096> buffer{};
    while (true) {
      auto reading = self->events_->read_some(buffer, std::nullopt);
      const Result<std::size_t> got = co_await reading;
      if (!got || *got == 0 || self->ended_) co_return;
      for (std::size_t at = 0; at + sizeof(inotify_event) <= *got && !self->ended_;) {
        inotify_event event{};
        std::memcpy(&event, buffer.data() + at, sizeof event);
        const char* const name = buffer.data() + at + sizeof event;
        at += sizeof event + event.len;
        if (event.len > 0 && (event.mask & IN_MOVED_TO) != 0) {
          self->renamed_(std::string(name, ::strnlen(name, event.len)));
        }
      }
    }
  }
  void end() {
    ended_ = true;
    events_->close();
  }

 private:
  std::unique_ptr<Stream> events_;
  std::function<void(const std::string&)> renamed_;
  bool ended_ = false;
};

Result<std::unique_ptr<Watch>> Watch::start(Loop& loop,
                                            const std::vector<std::filesystem::path>& folders,
                                            std::function<void(const std::string&)> renamed) {
  Fd fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!fd) return fail(Code::io, "inotify: " + std::generic_category().message(errno));
  for (const std::filesystem::path& folder : folders) {
    if (::inotify_add_watch(fd.get(), folder.c_str(), IN_MOVED_TO | IN_ONLYDIR) < 0 &&
        errno != ENOENT && errno != ENOTDIR) {
      return fail(Code::io, "cannot watch the folder: " + std::generic_category().message(errno),
                  folder.string());
    }
  }
  ZWINGER_TRY(auto events, adopt_read_end(loop, std::move(fd)));
  auto impl = std::make_shared<Impl>(std::move(events), std::move(renamed));
  loop.spawn(Impl::read(impl));
  return std::unique_ptr<Watch>(new Watch(std::move(impl)));
}

Watch::Watch(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Watch::~Watch() { impl_->end(); }

}  // namespace zwinger::net
