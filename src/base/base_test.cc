#include <gtest/gtest.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers,hicpp-deprecated-headers): mkdtemp is POSIX
#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include "base/files.h"
#include "base/random.h"
#include "base/result.h"
#include "base/task.h"
#include "base/verdict.h"

namespace zwinger {
namespace {

namespace fs = std::filesystem;

class FilesTest : public testing::Test {
 protected:
  FilesTest() {
    std::string pattern = (fs::temp_directory_path() / "zwinger-base-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
  }
  FilesTest(const FilesTest&) = delete;
  FilesTest& operator=(const FilesTest&) = delete;
  ~FilesTest() override {
    std::error_code ignored;
    fs::remove_all(folder, ignored);
  }
  fs::path folder;  // NOLINT(misc-non-private-member-variables-in-classes)
};

struct Listed {
  Code code;
  std::string_view spelling;
};
constexpr Listed kListed[] = {
#define ZWINGER_CODE(code, group, retryable, text) {Code::code, #code},
#include "base/codes.def"
#undef ZWINGER_CODE
};

TEST(Codes, HaveUniqueNamesAndASentenceEach) {
  std::set<std::string_view> names;
  for (const auto& [code, spelling] : kListed) {
    EXPECT_EQ(name(code), spelling);
    EXPECT_TRUE(names.insert(name(code)).second) << spelling;
    EXPECT_TRUE(info(code).text.ends_with(".")) << spelling;
  }
}

TEST(Error, ReadsAsOneLine) {
  EXPECT_EQ((Error{Code::policy_type, "must be a list", "zwinger.yaml:3:5"}.to_string()),
            "policy_type: must be a list (zwinger.yaml:3:5)");
  EXPECT_EQ((Error{Code::io, "cannot open x", {}}.to_string()), "io: cannot open x");
}

TEST(Verdict, DeniesUnlessItIsFilledIn) {
  EXPECT_FALSE(Verdict{}.allowed());
  EXPECT_TRUE(Verdict::allow().allowed());
  EXPECT_EQ(Verdict::deny(Code::max_calls).text, info(Code::max_calls).text);
}

TEST_F(FilesTest, AtomicWriteReplacesTheWholeFileAndSetsItsMode) {
  const fs::path file = folder / "new" / "grant.json";
  ASSERT_TRUE(write_file_atomically(file, "first", 0600));
  ASSERT_TRUE(write_file_atomically(file, "second", 0600));
  EXPECT_EQ(read_file(file, 100).value(), "second");
  struct stat st{};
  ASSERT_EQ(::stat(file.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777U, 0600U);
  EXPECT_EQ(std::distance(fs::directory_iterator(file.parent_path()), fs::directory_iterator()), 1);
}

TEST_F(FilesTest, AtomicWriteLeavesTheOldFileWhenItCannotReplaceIt) {
  const fs::path target = folder / "target";
  fs::create_directory(target);
  ASSERT_TRUE(write_file_atomically(target / "inside", "x", 0600));
  EXPECT_FALSE(write_file_atomically(target, "y", 0600));
  EXPECT_TRUE(fs::is_directory(target));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 1);
}

TEST_F(FilesTest, ReadStopsAtTheLimit) {
  ASSERT_TRUE(write_file_atomically(folder / "f", "12345", 0600));
  EXPECT_TRUE(read_file(folder / "f", 5));
  const auto refused = read_file(folder / "f", 4, Code::yaml_too_large);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::yaml_too_large);
}

TEST_F(FilesTest, ReadRefusesWhatIsNoRegularFile) {
  EXPECT_FALSE(read_file(folder, 10));
  const fs::path fifo = folder / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_FALSE(read_file(fifo, 10));  // and does not hang
}

TEST_F(FilesTest, PrivateFilesMustBePrivate) {
  const fs::path file = folder / "grant.json";
  ASSERT_TRUE(write_file_atomically(file, "{}", 0600));
  EXPECT_TRUE(read_private_file(file, 100));
  for (const mode_t mode : {0640U, 0604U, 0620U, 0602U, 0610U}) {
    ASSERT_EQ(::chmod(file.c_str(), mode), 0);
    const auto refused = read_private_file(file, 100);
    ASSERT_FALSE(refused) << mode;
    EXPECT_EQ(refused.error().code, Code::grant_file);
  }
  ASSERT_EQ(::chmod(file.c_str(), 0600), 0);
  fs::create_symlink(file, folder / "link");
  const auto link = read_private_file(folder / "link", 100);
  ASSERT_FALSE(link);
  EXPECT_EQ(link.error().code, Code::grant_file);
}

TEST(Random, HexIsAsLongAsAskedAndDiffers) {
  SystemRandom random;
  const std::string a = random.hex(16);
  EXPECT_EQ(a.size(), 32U);
  EXPECT_EQ(a.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(a, random.hex(16));
}

Task<int> answer(int value) { co_return value; }
Task<void> add(int& sum) {
  for (int i = 0; i < 100'000; ++i)
    sum += co_await answer(1);  // would overflow the stack without symmetric transfer
}

TEST(Task, RunsWithoutGrowingTheStack) {
  int sum = 0;
  start_detached(add(sum));
  EXPECT_EQ(sum, 100'000);
}

TEST(Task, ThatIsNeverAwaitedIsDestroyed) {
  const auto alive = std::make_shared<int>(1);
  {
    auto task = [](std::shared_ptr<int> held) -> Task<void> {
      (void)held;
      co_return;
    }(alive);
    EXPECT_EQ(alive.use_count(), 2);
  }
  EXPECT_EQ(alive.use_count(), 1);
}

}  // namespace
}  // namespace zwinger
