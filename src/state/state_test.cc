#include "state/store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <future>
#include <limits>
#include <semaphore>
#include <thread>

// This binary's own fdatasync and fsync, which SQLite's library then calls too: they count, and
// fail on demand.
namespace {
std::atomic<int> syncs = 0;
std::atomic<bool> fail_syncs = false;

int sync_or_fail(long call, int fd) {
  ++syncs;
  if (fail_syncs) {
    errno = EIO;
    return -1;
  }
  return static_cast<int>(::syscall(call, fd));
}
}  // namespace
extern "C" int fdatasync(int fd) { return sync_or_fail(SYS_fdatasync, fd); }
extern "C" int fsync(int fd) { return sync_or_fail(SYS_fsync, fd); }

namespace zwinger::state {
namespace {

namespace fs = std::filesystem;

constexpr uid_t kNobody = 65534;

// A folder of its own for each test, gone afterwards.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (fs::temp_directory_path() / "zwinger-state-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TempFolder() {
    std::error_code ec;
    fs::remove_all(path_, ec);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  [[nodiscard]] fs::path operator/(const char* name) const { return path_ / name; }
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// Runs `body` in a child process and gives its exit code, or 128 + signal.
template <class Body>
int in_child(Body body) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(body());
  int status = 0;
  if (::waitpid(pid, &status, 0) != pid) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int soak() {
  const char* text = std::getenv("ZWINGER_SOAK");  // NOLINT(concurrency-mt-unsafe): one thread
  const int factor = text == nullptr ? 1 : std::atoi(text);  // NOLINT(cert-err34-c): 0 becomes 1
  return factor < 1 ? 1 : factor;
}

std::unique_ptr<Store> open_or_die(const fs::path& file) {
  auto store = open_sqlite(file);
  if (!store) {
    ADD_FAILURE() << store.error().to_string();
    return make_memory_store();
  }
  return *std::move(store);
}

// "ok" or the code's name.
std::string outcome(const Result<void>& result) {
  return result ? "ok" : std::string(name(result.error().code));
}

void set_raw(Store& store, std::string_view key, std::string_view value) {
  const auto before = store.get(key);
  ASSERT_TRUE(before);
  const auto set = store.compare_and_swap(key, before->version, value);
  ASSERT_TRUE(set && *set);
}

std::string value_of(Store& store, std::string_view key) {
  const auto entry = store.get(key);
  return entry ? entry->value : "error";
}

Reservation calls(std::string key, std::uint64_t limit) {
  Reservation reservation;
  reservation.counts.push_back({.key = std::move(key), .limit = limit});
  return reservation;
}

Reservation session(std::int64_t now, std::optional<std::int64_t> ttl) {
  Reservation reservation;
  reservation.session_key = "session";
  reservation.now = now;
  reservation.session_ttl = ttl;
  return reservation;
}

// ---- what every store does
// ------------------------------------------------------------------------------------

class EachStore : public testing::TestWithParam<bool> {
 protected:
  EachStore() : store_(GetParam() ? open_or_die(folder_ / "state.db") : make_memory_store()) {}
  TempFolder folder_;
  std::unique_ptr<Store> store_;
};
INSTANTIATE_TEST_SUITE_P(Stores, EachStore, testing::Values(false, true),
                         [](const auto& info) { return info.param ? "Sqlite" : "Memory"; });

TEST_P(EachStore, SwapsOnlyTheVersionThatWasSeen) {
  EXPECT_EQ(store_->get("k")->version, 0U);
  EXPECT_FALSE(*store_->compare_and_swap("k", 1, "x")) << "there is no version 1 yet";
  EXPECT_TRUE(*store_->compare_and_swap("k", 0, "a"));
  EXPECT_FALSE(*store_->compare_and_swap("k", 0, "b")) << "it exists already";
  EXPECT_EQ(store_->get("k")->value, "a");
  EXPECT_EQ(store_->get("k")->version, 1U);
  EXPECT_TRUE(*store_->compare_and_swap("k", 1, "c"));
  EXPECT_FALSE(*store_->compare_and_swap("k", 1, "d")) << "a stale version";
  EXPECT_FALSE(*store_->compare_and_swap("k", std::numeric_limits<std::uint64_t>::max(), "d"));
  EXPECT_EQ(store_->get("k")->value, "c");
  EXPECT_EQ(store_->get("k")->version, 2U);
}

TEST_P(EachStore, KeepsKeysAndValuesByteForByte) {
  using namespace std::string_view_literals;
  EXPECT_TRUE(*store_->compare_and_swap("a\0b"sv, 0, "\xff\0\n"sv));
  EXPECT_EQ(store_->get("a\0b"sv)->value, "\xff\0\n"sv);
  EXPECT_EQ(store_->get("a"sv)->version, 0U);
  EXPECT_TRUE(*store_->compare_and_swap({}, 0, {}));
  EXPECT_EQ(store_->get({})->version, 1U);
  EXPECT_EQ(store_->get({})->value, "");
}

TEST_P(EachStore, RollsBackAFailedTransaction) {
  ASSERT_TRUE(*store_->compare_and_swap("old", 0, "1"));
  const auto result = store_->transaction([](Store& inner) -> Result<void> {
    EXPECT_TRUE(*inner.compare_and_swap("old", 1, "2"));
    EXPECT_TRUE(*inner.compare_and_swap("old", 2, "3"));
    EXPECT_TRUE(*inner.compare_and_swap("new", 0, "1"));
    EXPECT_EQ(inner.get("old")->value, "3") << "it sees its own writes";
    return fail(Code::cancelled, "on purpose");
  });
  EXPECT_EQ(outcome(result), "cancelled");
  EXPECT_EQ(store_->get("old")->value, "1");
  EXPECT_EQ(store_->get("old")->version, 1U);
  EXPECT_EQ(store_->get("new")->version, 0U);
}

TEST_P(EachStore, UndoesOnlyTheNestedTransactionThatFailed) {
  const auto set_and = [](Store& store, std::string_view key, const Result<void>& end) {
    return store.transaction([&](Store& inner) -> Result<void> {
      EXPECT_TRUE(*inner.compare_and_swap(key, 0, "x"));
      return end;
    });
  };
  const auto result = store_->transaction([&](Store& outer) -> Result<void> {
    EXPECT_EQ(outcome(set_and(outer, "first", {})), "ok");
    EXPECT_EQ(outcome(set_and(outer, "second", fail(Code::cancelled, "on purpose"))), "cancelled");
    EXPECT_EQ(outcome(set_and(outer, "third", {})), "ok");
    return {};
  });
  EXPECT_EQ(outcome(result), "ok");
  EXPECT_EQ(store_->get("first")->version, 1U);
  EXPECT_EQ(store_->get("second")->version, 0U);
  EXPECT_EQ(store_->get("third")->version, 1U);
}

TEST_P(EachStore, AFailedOuterTransactionUndoesNestedOnes) {
  const auto result = store_->transaction([](Store& outer) -> Result<void> {
    EXPECT_TRUE(outer.transaction([](Store& inner) -> Result<void> {
      EXPECT_TRUE(*inner.compare_and_swap("k", 0, "x"));
      return {};
    }));
    return fail(Code::cancelled, "on purpose");
  });
  EXPECT_EQ(outcome(result), "cancelled");
  EXPECT_EQ(store_->get("k")->version, 0U);
}

TEST_P(EachStore, ThreadsNeverExceedALimit) {
  std::atomic<int> successes = 0;
  std::vector<std::jthread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        if (reserve(*store_, calls("k", 30))) ++successes;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(successes, 30);
}

// ---- reservations
// ---------------------------------------------------------------------------------------------

TEST_P(EachStore, CountsUpToTheLimitAndNoFurther) {
  EXPECT_EQ(outcome(reserve(*store_, calls("k", 2))), "ok");
  EXPECT_EQ(outcome(reserve(*store_, calls("k", 2))), "ok");
  const auto third = reserve(*store_, calls("k", 2));
  EXPECT_EQ(outcome(third), "max_calls");
  EXPECT_EQ(third.error().where, "k");
  EXPECT_EQ(outcome(reserve(*store_, calls("other", 1))), "ok");
  EXPECT_EQ(outcome(reserve(*store_, calls("never", 0))), "max_calls");
  EXPECT_EQ(outcome(reserve(*store_, calls("k", 1))), "max_calls") << "a lower limit than used";
  EXPECT_EQ(outcome(reserve(*store_, Reservation{})), "ok");
}

TEST_P(EachStore, TakesAllCountersOrNone) {
  Reservation both = calls("wide", 10);
  both.counts.push_back({.key = "narrow", .limit = 1});
  EXPECT_EQ(outcome(reserve(*store_, both)), "ok");
  const auto refused = reserve(*store_, both);
  EXPECT_EQ(outcome(refused), "max_calls");
  EXPECT_EQ(refused.error().where, "narrow");
  EXPECT_EQ(value_of(*store_, "wide"), "1") << "the refused call was half counted";
}

TEST_P(EachStore, EachCountRefusesWithItsOwnReason) {
  Reservation both = calls("constraint", 10);
  both.counts.push_back({.key = "budget", .limit = 1, .refusal = Code::budget_calls});
  EXPECT_EQ(outcome(reserve(*store_, both)), "ok");
  const auto refused = reserve(*store_, both);
  EXPECT_EQ(outcome(refused), "budget_calls");
  EXPECT_EQ(refused.error().where, "budget");
  EXPECT_EQ(value_of(*store_, "constraint"), "1") << "the refused call was half counted";
  both.counts[0].limit = 1;
  EXPECT_EQ(outcome(reserve(*store_, both)), "max_calls") << "the first in order speaks";
}

TEST_P(EachStore, AnOldSessionRefusesWithTheReasonOfItsLimit) {
  Reservation reservation = session(1000, 60);
  reservation.session_refusal = Code::budget_time;
  EXPECT_EQ(outcome(reserve(*store_, reservation)), "ok");
  reservation.now = 1060;
  reservation.counts.push_back({.key = "k", .limit = 0, .refusal = Code::budget_calls});
  const auto refused = reserve(*store_, reservation);
  EXPECT_EQ(outcome(refused), "budget_time") << "the age is judged before the counts";
  EXPECT_EQ(refused.error().where, "session");
}

TEST_P(EachStore, TheSameKeyTwiceCountsTwice) {
  Reservation twice = calls("k", 3);
  twice.counts.push_back({.key = "k", .limit = 3});
  EXPECT_EQ(outcome(reserve(*store_, twice)), "ok");
  EXPECT_EQ(outcome(reserve(*store_, twice)), "max_calls") << "the fourth";
  EXPECT_EQ(outcome(reserve(*store_, calls("k", 3))), "ok");
}

TEST_P(EachStore, ASessionExpiresAtItsTtlAndNotBefore) {
  EXPECT_EQ(outcome(reserve(*store_, session(1000, 60))), "ok");
  EXPECT_EQ(outcome(reserve(*store_, session(1059, 60))), "ok");
  const auto refused = reserve(*store_, session(1060, 60));
  EXPECT_EQ(outcome(refused), "session_expired");
  EXPECT_EQ(refused.error().where, "session");
  EXPECT_EQ(outcome(reserve(*store_, session(1060, 61))), "ok") << "another grant's longer TTL";
}

TEST_P(EachStore, AnExpiredSessionCountsNothing) {
  EXPECT_EQ(outcome(reserve(*store_, session(1000, 60))), "ok");
  Reservation late = session(2000, 60);
  late.counts.push_back({.key = "k", .limit = 5});
  EXPECT_EQ(outcome(reserve(*store_, late)), "session_expired");
  EXPECT_EQ(store_->get("k")->version, 0U);
}

TEST_P(EachStore, AClockSetBackRevivesNoSession) {
  EXPECT_EQ(outcome(reserve(*store_, session(1000, 60))), "ok");
  EXPECT_EQ(outcome(reserve(*store_, session(1060, 60))), "session_expired");
  EXPECT_EQ(outcome(reserve(*store_, session(1059, 60))), "session_expired");
  EXPECT_EQ(outcome(reserve(*store_, session(1000, 60))), "session_expired");
  EXPECT_EQ(outcome(reserve(*store_, session(0, 60))), "session_expired");
}

TEST_P(EachStore, AClockThatRanAheadProlongsNoSession) {
  EXPECT_EQ(outcome(reserve(*store_, session(1030, 60))), "ok");
  EXPECT_EQ(outcome(reserve(*store_, session(1000, 60))), "ok") << "30 s back: age 30";
  EXPECT_EQ(outcome(reserve(*store_, session(1059, 60))), "ok");
  EXPECT_EQ(outcome(reserve(*store_, session(1060, 60))), "session_expired")
      << "60 s after the earliest time it was seen";
}

TEST_P(EachStore, ASessionIsMarkedBeforeAnyGrantLimitsIt) {
  EXPECT_EQ(outcome(reserve(*store_, session(1000, std::nullopt))), "ok");
  EXPECT_EQ(outcome(reserve(*store_, session(1060, 60))), "session_expired");
}

TEST_P(EachStore, NoTimeAndNoTtlOverflows) {
  constexpr auto kLeast = std::numeric_limits<std::int64_t>::min();
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(outcome(reserve(*store_, session(kLeast, kMost))), "ok");
  EXPECT_EQ(outcome(reserve(*store_, session(kMost, kMost))), "session_expired");
  EXPECT_EQ(outcome(reserve(*store_, session(0, kMost))), "session_expired");
}

TEST_P(EachStore, ATtlOfNothingOrLessAllowsNothing) {
  EXPECT_EQ(outcome(reserve(*store_, session(1000, 0))), "session_expired");
  EXPECT_EQ(outcome(reserve(*store_, session(1000, -1))), "session_expired");
}

TEST_P(EachStore, ATtlWithoutASessionIsRefused) {
  Reservation reservation = calls("k", 1);
  reservation.session_ttl = 60;
  EXPECT_EQ(outcome(reserve(*store_, reservation)), "internal");
  EXPECT_EQ(store_->get("k")->version, 0U);
}

TEST_P(EachStore, WhatIsStoredButUnreadableDenies) {
  for (const char* bad :
       {"", " ", "x", "-1", "+1", "1 ", " 1", "0x1", "1.0", "1e0", "18446744073709551616"}) {
    set_raw(*store_, "k", bad);
    EXPECT_EQ(outcome(reserve(*store_, calls("k", 1000))), "state_unavailable")
        << '"' << bad << '"';
    EXPECT_EQ(value_of(*store_, "k"), bad) << "it was overwritten";
  }
  for (const char* bad :
       {"", "1000", "1000 ", " 1000", "1000 x", "x 1000", "1000  1000", "1001 1000",
        "1000 1000 1000", "9223372036854775808 9223372036854775808"}) {
    set_raw(*store_, "session", bad);
    EXPECT_EQ(outcome(reserve(*store_, session(1000, 60))), "state_unavailable")
        << '"' << bad << '"';
    EXPECT_EQ(value_of(*store_, "session"), bad) << "it was overwritten";
  }
}

TEST_P(EachStore, ACounterAtItsEndStaysThere) {
  set_raw(*store_, "k", "18446744073709551615");
  EXPECT_EQ(outcome(reserve(*store_, calls("k", std::numeric_limits<std::uint64_t>::max()))),
            "max_calls");
}

// ---- the SQLite file
// ------------------------------------------------------------------------------------------

class SqliteFile : public testing::Test {
 protected:
  void sql(const char* text) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(file_.c_str(), &db), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(db, text, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
    (void)sqlite3_close(db);
    fs::permissions(file_, fs::perms::owner_read | fs::perms::owner_write);
  }
  [[nodiscard]] std::string opening() const {
    const auto store = open_sqlite(file_);
    return store ? "ok" : std::string(name(store.error().code));
  }

  TempFolder folder_;
  fs::path file_ = folder_ / "state.db";
};

TEST_F(SqliteFile, OutlivesItsProcess) {
  EXPECT_EQ(outcome(reserve(*open_or_die(file_), calls("k", 2))), "ok");
  EXPECT_EQ(outcome(reserve(*open_or_die(file_), calls("k", 2))), "ok");
  EXPECT_EQ(outcome(reserve(*open_or_die(file_), calls("k", 2))), "max_calls");
}

TEST_F(SqliteFile, IsPrivateWithAllThatBelongsToIt) {
  const mode_t before = ::umask(0);
  const auto store = open_or_die(file_);
  EXPECT_EQ(outcome(reserve(*store, calls("k", 1))), "ok");
  (void)::umask(before);
  int seen = 0;
  for (const auto& entry : fs::directory_iterator(folder_.path())) {
    EXPECT_EQ(entry.status().permissions(), fs::perms::owner_read | fs::perms::owner_write)
        << entry.path();
    ++seen;
  }
  EXPECT_EQ(seen, 3) << "state.db, state.db-wal, state.db-shm";
}

TEST_F(SqliteFile, RefusesAFileThatOthersCanReach) {
  (void)open_or_die(file_);
  for (const auto bit : {fs::perms::group_read, fs::perms::group_write, fs::perms::others_read,
                         fs::perms::others_write}) {
    fs::permissions(file_, fs::perms::owner_read | fs::perms::owner_write | bit);
    EXPECT_EQ(opening(), "state_unavailable") << static_cast<unsigned>(bit);
  }
  fs::permissions(file_, fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(opening(), "ok");
}

TEST_F(SqliteFile, RefusesWhatIsNoPlainFile) {
  (void)open_or_die(folder_ / "elsewhere");
  fs::create_symlink(folder_ / "elsewhere", file_);
  EXPECT_EQ(opening(), "state_unavailable");
  fs::remove(file_);
  fs::create_directory(file_);
  EXPECT_EQ(opening(), "state_unavailable");
  EXPECT_FALSE(open_sqlite(""));
  EXPECT_FALSE(open_sqlite(folder_ / "no-such-folder" / "state.db"));
}

TEST_F(SqliteFile, RefusesWhatIsNotASqliteFileAndLeavesItAlone) {
  const std::string text(4096, 'x');
  std::ofstream(file_) << text;
  fs::permissions(file_, fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(opening(), "state_unavailable");
  std::ifstream in(file_);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), text);
}

TEST_F(SqliteFile, RefusesTheDatabaseOfAnotherProgramAndLeavesItAlone) {
  sql("CREATE TABLE theirs(x)");
  EXPECT_EQ(opening(), "state_unavailable");
  sql("INSERT INTO theirs VALUES(1)");
  fs::remove(file_);
  sql("PRAGMA user_version=1");
  EXPECT_EQ(opening(), "state_unavailable") << "empty, but somebody's version is in it";
  fs::remove(file_);
  sql("PRAGMA application_id=7");
  EXPECT_EQ(opening(), "state_unavailable");
}

TEST_F(SqliteFile, RefusesANewerSchema) {
  (void)open_or_die(file_);
  sql("PRAGMA user_version=2");
  const auto store = open_sqlite(file_);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, Code::state_unavailable);
  EXPECT_NE(store.error().message.find("version 2"), std::string::npos) << store.error().message;
}

TEST_F(SqliteFile, RefusesAFileThatOnlyLooksLikeOurs) {
  (void)open_or_die(file_);
  sql("PRAGMA application_id=7");
  EXPECT_EQ(opening(), "state_unavailable");
}

TEST_F(SqliteFile, RefusesASchemaWithSomethingAdded) {
  (void)open_or_die(file_);
  sql("CREATE TRIGGER forget AFTER UPDATE ON entries BEGIN DELETE FROM entries; END");
  EXPECT_EQ(opening(), "state_unavailable");
}

TEST_F(SqliteFile, AnEntryWithoutAVersionIsNotAMissingOne) {
  (void)open_or_die(file_);
  sql("INSERT INTO entries VALUES(x'6b', 0, x'31')");
  const auto store = open_or_die(file_);
  EXPECT_FALSE(store->get("k"));
  EXPECT_EQ(outcome(reserve(*store, calls("k", 1000))), "state_unavailable");
}

TEST_F(SqliteFile, DamagedPagesDeny) {
  {
    const auto store = open_or_die(file_);
    for (int i = 0; i < 40; ++i) {
      ASSERT_TRUE(*store->compare_and_swap("key" + std::to_string(i), 0, std::string(900, 'v')));
    }
    ASSERT_EQ(outcome(reserve(*store, calls("k", 1000))), "ok");
  }  // the last connection folds the WAL into the file
  ASSERT_GT(fs::file_size(file_), 8192U);
  {
    std::fstream io(file_, std::ios::in | std::ios::out | std::ios::binary);
    io.seekp(4096);
    io << std::string(fs::file_size(file_) - 4096, '\x5a');
  }
  // The first page, with the schema, is whole; the one table's pages are not.
  EXPECT_EQ(outcome(reserve(*open_or_die(file_), calls("k", 1000))), "state_unavailable");
}

TEST_F(SqliteFile, TwoProcessesNeverExceedALimit) {
  constexpr int kProcesses = 6;
  constexpr int kAttempts = 30;
  constexpr int kLimit = 100;  // below 6 * 30
  std::vector<pid_t> children;
  for (int p = 0; p < kProcesses; ++p) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      // Opening is part of the race. "busy" is not an answer here: only a taken or a refused call
      // counts.
      auto store = open_sqlite(file_);
      int taken = 0;
      for (int attempt = 0; store && attempt < kAttempts;) {
        const auto result = reserve(**store, calls("k", kLimit));
        if (!result && result.error().code == Code::state_unavailable) continue;
        taken += result ? 1 : 0;
        ++attempt;
      }
      ::_exit(store ? taken : 255);
    }
    ASSERT_GT(pid, 0);
    children.push_back(pid);
  }
  int total = 0;
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    ASSERT_NE(WEXITSTATUS(status), 255) << "a process could not open the file";
    total += WEXITSTATUS(status);
  }
  EXPECT_EQ(total, kLimit);
}

TEST_F(SqliteFile, WhatWasAcknowledgedSurvivesSigkill) {
  std::uint64_t acknowledged = 0;
  const int rounds = 5 * soak();
  for (int round = 0; round < rounds; ++round) {
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe(pipe.data()), 0);
    const pid_t pid = ::fork();
    if (pid == 0) {
      auto store = open_sqlite(file_);
      while (store && reserve(**store, calls("k", 1U << 30U))) {
        if (::write(pipe[1], "+", 1) != 1) break;
      }
      ::_exit(1);
    }
    ASSERT_GT(pid, 0);
    ::close(pipe[1]);
    char byte = 0;
    for (int i = 0; i < 3 + ((round * 7) % 11); ++i) {
      ASSERT_EQ(::read(pipe[0], &byte, 1), 1) << "the child ended by itself";
      ++acknowledged;
    }
    ::kill(pid, SIGKILL);
    while (::read(pipe[0], &byte, 1) == 1) ++acknowledged;
    ::close(pipe[0]);
    ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);
    const std::string stored = value_of(*open_or_die(file_), "k");
    ASSERT_GE(std::stoull(stored), acknowledged);
    // Each round may leave at most one call that was counted but not acknowledged.
    ASSERT_LE(std::stoull(stored), acknowledged + 1);
    acknowledged = std::stoull(stored);
  }
}

TEST_F(SqliteFile, EveryAcknowledgedCallWasSynced) {
  const auto store = open_or_die(file_);
  for (int i = 0; i < 5; ++i) {
    const int before = syncs;
    EXPECT_EQ(outcome(reserve(*store, calls("k", 10))), "ok");
    EXPECT_GT(syncs, before);
  }
}

TEST_F(SqliteFile, AFailedSyncDeniesAndCountsNothing) {
  const auto store = open_or_die(file_);
  EXPECT_EQ(outcome(reserve(*store, calls("k", 2))), "ok");
  fail_syncs = true;
  EXPECT_EQ(outcome(reserve(*store, calls("k", 2))), "state_unavailable");
  EXPECT_EQ(outcome(reserve(*store, calls("k", 2))), "state_unavailable");
  fail_syncs = false;
  EXPECT_EQ(outcome(reserve(*store, calls("k", 2))), "ok");
  EXPECT_EQ(outcome(reserve(*store, calls("k", 2))), "max_calls");
}

TEST_F(SqliteFile, AFullDiskDeniesAndCountsNothing) {
  const int failed_at = in_child([this] {
    (void)std::signal(SIGXFSZ, SIG_IGN);
    auto store = open_sqlite(file_);
    if (!store) return 1;
    for (int i = 0; i < 3; ++i) {
      if (outcome(reserve(**store, calls("k", 10))) != "ok") return 2;
    }
    // From here on no file may grow, as on a disk that is full.
    rlimit limit{};
    if (::getrlimit(RLIMIT_FSIZE, &limit) != 0) return 3;
    limit.rlim_cur = fs::file_size(file_.string() + "-wal");
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 4;
    for (int i = 0; i < 5; ++i) {
      if (outcome(reserve(**store, calls("k", 10))) != "state_unavailable") return 5;
    }
    // One of a batch meets the full disk: all of the batch is refused, also what comes when there
    // is room again.
    bool room = true;
    const auto batch = (*store)->transaction([&](Store& inner) -> Result<void> {
      const auto ignore = [](const auto&) {};
      ignore(reserve(inner, calls("k", 10)));
      ignore(inner.compare_and_swap("big", 0, std::string(std::size_t{16} << 20U, 'x')));
      limit.rlim_cur = limit.rlim_max;
      room = ::setrlimit(RLIMIT_FSIZE, &limit) == 0;
      ignore(reserve(inner, calls("k", 10)));
      return {};
    });
    if (outcome(batch) != "state_unavailable") return 6;
    if (!room) return 7;
    for (int i = 0; i < 7; ++i) {
      if (outcome(reserve(**store, calls("k", 10))) != "ok") return 8;
    }
    return outcome(reserve(**store, calls("k", 10))) == "max_calls" ? 0 : 9;
  });
  EXPECT_EQ(failed_at, 0);
}

TEST_F(SqliteFile, AFileThatCannotBeWrittenIsRefused) {
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown(folder_.path().c_str(), kNobody, kNobody), 0);
  }
  const int failed_at = in_child([this] {
    if (::geteuid() == 0 && ::setuid(kNobody) != 0) return 1;
    {
      auto store = open_sqlite(file_);
      if (!store || !reserve(**store, calls("k", 5))) return 2;
    }
    if (::chmod(file_.c_str(), 0400) != 0 || opening() != "state_unavailable") return 3;
    if (::chmod(file_.c_str(), 0600) != 0 || opening() != "ok") return 4;
    // A folder in which no -wal can be made.
    if (::chmod(folder_.path().c_str(), 0500) != 0) return 5;
    auto store = open_sqlite(file_);
    if (store && outcome(reserve(**store, calls("k", 5))) != "state_unavailable") return 6;
    return ::chmod(folder_.path().c_str(), 0700) == 0 ? 0 : 7;
  });
  EXPECT_EQ(failed_at, 0);
}

TEST_F(SqliteFile, AnotherUsersFileIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  (void)open_or_die(file_);
  ASSERT_EQ(::chown(file_.c_str(), kNobody, kNobody), 0);
  EXPECT_EQ(opening(), "state_unavailable");
}

TEST_F(SqliteFile, ATransactionKeepsOthersOutFromItsFirstRead) {
  const auto first = open_or_die(file_);
  const auto second = open_or_die(file_);
  const auto result = first->transaction([&](Store& inner) -> Result<void> {
    EXPECT_EQ(inner.get("k")->version, 0U);
    EXPECT_EQ(outcome(reserve(*second, calls("k", 2))), "state_unavailable") << "after waiting 1 s";
    EXPECT_TRUE(*inner.compare_and_swap("k", 0, "1"));
    return {};
  });
  EXPECT_EQ(outcome(result), "ok");
  EXPECT_EQ(outcome(reserve(*second, calls("k", 2))), "ok");
  EXPECT_EQ(outcome(reserve(*second, calls("k", 2))), "max_calls");
}

// ---- the asynchronous store
// -----------------------------------------------------------------------------------

// Lets a test hold the store's thread inside a transaction, fail its commit, and count
// transactions.
class GatedStore final : public Store {
 public:
  Result<Versioned> get(std::string_view key) override { return inner_->get(key); }
  Result<bool> compare_and_swap(std::string_view key, std::uint64_t expected,
                                std::string_view value) override {
    return inner_->compare_and_swap(key, expected, value);
  }
  Result<void> transaction(const std::function<Result<void>(Store&)>& work) override {
    ++transactions;
    entered.release();
    gate.acquire();
    return inner_->transaction([&](Store& inner) -> Result<void> {
      ZWINGER_CHECK_OK(work(inner));
      if (fail_commit) return fail(Code::state_unavailable, "on purpose");
      return {};
    });
  }

  std::counting_semaphore<> gate{0};
  std::counting_semaphore<> entered{0};
  std::atomic<int> transactions = 0;
  std::atomic<bool> fail_commit = false;

 private:
  std::unique_ptr<Store> inner_ = make_memory_store();
};

TEST(AsyncStore, ReservesOnItsOwnThread) {
  AsyncStore store(make_memory_store());
  std::promise<std::pair<std::string, std::thread::id>> promise;
  store.reserve(calls("k", 1), [&](const Result<void>& result) {
    promise.set_value({outcome(result), std::this_thread::get_id()});
  });
  const auto [result, thread] = promise.get_future().get();
  EXPECT_EQ(result, "ok");
  EXPECT_NE(thread, std::this_thread::get_id());
}

TEST(AsyncStore, CommitsWhateverWaitsAsOneTransactionWithEachItsOwnOutcome) {
  auto owned = std::make_unique<GatedStore>();
  GatedStore& gated = *owned;
  std::vector<std::string> outcomes;
  {
    AsyncStore store(std::move(owned));
    const auto note = [&](const Result<void>& result) { outcomes.push_back(outcome(result)); };
    store.reserve(calls("first", 1), note);
    gated.entered.acquire();  // the thread is in the first transaction: all that follows waits
    for (int i = 0; i < 4; ++i) store.reserve(calls("k", 2), note);
    store.reserve(calls("other", 1), note);
    gated.gate.release(2);
    gated.entered.acquire();
    EXPECT_EQ(gated.transactions, 2);
  }
  EXPECT_EQ(outcomes, (std::vector<std::string>{"ok", "ok", "ok", "max_calls", "max_calls", "ok"}));
}

TEST(AsyncStore, AFailedCommitRefusesAllOfItsBatch) {
  auto owned = std::make_unique<GatedStore>();
  GatedStore& gated = *owned;
  std::vector<std::string> outcomes;
  {
    AsyncStore store(std::move(owned));
    const auto note = [&](const Result<void>& result) { outcomes.push_back(outcome(result)); };
    store.reserve(calls("k", 2), note);
    gated.entered.acquire();
    gated.fail_commit = true;
    gated.gate.release();
    // The first batch may have taken these in or not; either way their commit fails.
    store.reserve(calls("k", 2), note);
    store.reserve(calls("k", 0), note);
    gated.gate.release(2);
  }
  EXPECT_EQ(outcomes, (std::vector<std::string>(3, "state_unavailable")));
}

TEST(AsyncStore, RefusesAtOnceWhenTooManyWait) {
  auto owned = std::make_unique<GatedStore>();
  GatedStore& gated = *owned;
  std::size_t accepted = 0;
  {
    AsyncStore store(std::move(owned));
    const auto count = [&](const Result<void>& result) { accepted += result ? 1 : 0; };
    store.reserve(Reservation{}, count);
    gated.entered.acquire();
    for (std::size_t i = 0; i < AsyncStore::kMaxQueued; ++i) store.reserve(Reservation{}, count);
    std::string refused;
    store.reserve(Reservation{}, [&](const Result<void>& result) { refused = outcome(result); });
    EXPECT_EQ(refused, "state_unavailable");
    gated.gate.release(2);
  }
  EXPECT_EQ(accepted, AsyncStore::kMaxQueued + 1);
}

TEST(AsyncStore, FinishesWhatIsQueuedBeforeItEnds) {
  TempFolder folder;
  int finished = 0;
  {
    AsyncStore store(open_or_die(folder / "state.db"));
    for (int i = 0; i < 100; ++i) {
      store.reserve(calls("k", 100),
                    [&](const Result<void>& result) { finished += result ? 1 : 0; });
    }
  }
  EXPECT_EQ(finished, 100);
  EXPECT_EQ(value_of(*open_or_die(folder / "state.db"), "k"), "100");
}

TEST(AsyncStore, SurvivesManyCallers) {
  TempFolder folder;
  std::atomic<int> taken = 0;
  std::atomic<int> refused = 0;
  {
    AsyncStore store(open_or_die(folder / "state.db"));
    std::vector<std::jthread> threads;
    threads.reserve(4);
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 100; ++i) {
          store.reserve(calls("k", 150), [&](const Result<void>& r) { ++(r ? taken : refused); });
        }
      });
    }
  }
  EXPECT_EQ(taken, 150);
  EXPECT_EQ(refused, 250);
}

}  // namespace
}  // namespace zwinger::state
