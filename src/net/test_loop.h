// Test support: a fixture with one loop, on which the test's coroutine runs to its end. Only
// *_test.cc include it.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers,hicpp-deprecated-headers): mkdtemp is POSIX

#include <chrono>
#include <filesystem>
#include <string>
#include <utility>

#include "net/loop.h"
#include "net/stream.h"

namespace zwinger::net {

// A folder that goes with the test.
class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "zwinger-net-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

class LoopTest : public ::testing::Test {
 protected:
  // Longer than anything here takes on a loaded machine: it ends a test that hangs.
  static constexpr std::chrono::seconds kPatience{60};

  // Once per test. The body is a coroutine made from a lambda in the same expression, so its
  // captures live long enough.
  void run(Task<void> body) {
    bool done = false;
    loop.call_at(Loop::now() + kPatience, [this] {
      ADD_FAILURE() << "the test's coroutine hangs";
      loop.stop();
    });
    loop.spawn(finish(std::move(body), done));
    loop.run();
    EXPECT_TRUE(done);
  }
  static Monotonic soon() { return Loop::now() + kPatience; }

  // Reads until the peer ends, or the result is `size` bytes.
  static Task<std::string> read_all(Stream& stream,
                                    std::size_t size = static_cast<std::size_t>(-1)) {
    std::string all;
    char buffer[4096];
    while (all.size() < size) {
      auto reading =
          stream.read_some(std::span(buffer, std::min(sizeof buffer, size - all.size())), soon());
      const auto got = co_await reading;
      if (!got || *got == 0) break;
      all.append(buffer, *got);
    }
    co_return all;
  }

  Loop loop;  // NOLINT(misc-non-private-member-variables-in-classes)

 private:
  Task<void> finish(Task<void> body, bool& done) {
    co_await body;
    done = true;
    loop.stop();
  }
};

}  // namespace zwinger::net
