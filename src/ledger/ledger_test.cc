#include "ledger/ledger.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <future>
#include <mutex>
#include <semaphore>
#include <set>
#include <thread>
#include <type_traits>

#include "json/json.h"
#include "ledger/reader.h"

namespace zwinger::ledger {
namespace {

namespace fs = std::filesystem;

class TempFolder {
 public:
  TempFolder() {
    std::string name = (fs::temp_directory_path() / "zwinger-ledger-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TempFolder() {
    std::error_code ec;
    fs::remove_all(path_, ec);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

int soak() {
  const char* text = std::getenv("ZWINGER_SOAK");  // NOLINT(concurrency-mt-unsafe): one thread
  const int factor = text == nullptr ? 1 : std::atoi(text);  // NOLINT(cert-err34-c): 0 becomes 1
  return factor < 1 ? 1 : factor;
}

// A disk that keeps what was written apart from what was synced, notes every event in order, fails
// its n-th write or sync, and makes syncs wait while it is closed.
struct Disk {
  std::mutex mutex;
  std::string written;
  std::string durable;
  std::vector<std::string> events;
  int writes = 0;
  int syncs = 0;
  int failing_write = 0;  // 1-based; 0: none
  int failing_sync = 0;
  std::size_t torn_bytes = 0;  // how much of a failing write arrives all the same
  bool gated = false;
  std::counting_semaphore<> sync_begun{0};
  std::counting_semaphore<> gate{0};

  void note(std::string event) {
    const std::scoped_lock lock(mutex);
    events.push_back(std::move(event));
  }
  // Safe while the ledger's thread runs.
  template <class Member>
  auto read(Member Disk::* member) {
    const std::scoped_lock lock(mutex);
    return this->*member;
  }
};

class FakeFile final : public AppendFile {
 public:
  explicit FakeFile(Disk& disk) : disk_(disk) {}

  Result<void> write(std::string_view bytes) override {
    const std::scoped_lock lock(disk_.mutex);
    disk_.events.emplace_back("write");
    if (++disk_.writes == disk_.failing_write) {
      disk_.written += bytes.substr(0, disk_.torn_bytes);
      return fail(Code::io, "on purpose");
    }
    disk_.written += bytes;
    return {};
  }
  Result<void> sync() override {
    disk_.sync_begun.release();
    if (disk_.gated) disk_.gate.acquire();
    const std::scoped_lock lock(disk_.mutex);
    disk_.events.emplace_back("sync");
    if (++disk_.syncs == disk_.failing_sync) return fail(Code::io, "on purpose");
    disk_.durable = disk_.written;
    return {};
  }

 private:
  Disk& disk_;
};

std::unique_ptr<Ledger> over(Disk& disk, const Clock& clock, std::size_t max_queued = 16384) {
  return Ledger::over(std::make_unique<FakeFile>(disk),
                      {.emitter = "test", .max_queued = max_queued}, clock);
}

Leaf leaf(std::string call, LeafKind kind = LeafKind::decision) {
  Leaf out;
  out.kind = kind;
  out.call = std::move(call);
  return out;
}

std::vector<Leaf> one(std::string call) { return {leaf(std::move(call))}; }

std::string outcome(const Result<void>& result) {
  return result ? "ok" : std::string(name(result.error().code));
}

// Appends and waits for the outcome.
std::string append(Ledger& ledger, std::vector<Leaf> leaves) {
  std::promise<std::string> done;
  ledger.append(std::move(leaves), [&](const Result<void>& r) { done.set_value(outcome(r)); });
  return done.get_future().get();
}

// "kind" or "kind call" of a leaf.
std::string summary(std::string_view json) {
  const auto document = json::Document::parse(std::string(json));
  if (!document) return "malformed";
  const auto root = document->root();
  std::string out(root.find("kind")->string());
  if (const auto call = root.find("call")) out += ' ' + std::string(call->string());
  return out;
}

std::vector<std::string> recovered(std::string_view bytes) {
  std::vector<std::string> out;
  const auto report = read_frames(bytes, [&](std::string_view json) {
    out.push_back(summary(json));
    return true;
  });
  EXPECT_FALSE(report.damage) << report.damage->to_string();
  return out;
}

std::vector<std::string> recovered_file(const fs::path& path) {
  std::vector<std::string> out;
  const auto report = read_segment(path, [&](std::string_view json) {
    out.push_back(summary(json));
    return true;
  });
  EXPECT_TRUE(report);
  if (report) EXPECT_FALSE(report->damage) << report->damage->to_string();
  return out;
}

using Strings = std::vector<std::string>;

// ---- over a fake disk
// -----------------------------------------------------------------------------------------

class OnFakeDisk : public testing::Test {
 protected:
  ManualClock clock_{1700000000};
  Disk disk_;
};

TEST_F(OnFakeDisk, FramesAreAsDocumented) {
  over(disk_, clock_).reset();
  // Each digest: printf '<the JSON>' | sha256sum
  EXPECT_EQ(
      disk_.written,
      "5505978730672da7 {\"seq\":1,\"time\":\"2023-11-14T22:13:20.000000Z\",\"kind\":\"boot\"}\n"
      "99d6611d9eca270c {\"seq\":2,\"time\":\"2023-11-14T22:13:20.000000Z\",\"kind\":\"stop\"}\n");
}

TEST_F(OnFakeDisk, WhateverWaitsSharesOneWriteAndOneSync) {
  disk_.gated = true;
  Strings order;
  {
    const auto ledger = over(disk_, clock_);
    disk_.sync_begun.acquire();  // the boot leaf's
    for (int i = 0; i < 100; ++i) {
      ledger->append(one(std::to_string(i)), [&order, i](const Result<void>& r) {
        order.push_back(outcome(r) + ' ' + std::to_string(i));
      });
    }
    disk_.gate.release(2);
    EXPECT_EQ(append(*ledger, {}), "ok");
    EXPECT_EQ(disk_.read(&Disk::writes), 2);
    EXPECT_EQ(disk_.read(&Disk::syncs), 2);
    disk_.gate.release();  // for the stop leaf
  }
  Strings expected_order;
  Strings expected{"boot"};
  for (int i = 0; i < 100; ++i) {
    expected_order.push_back("ok " + std::to_string(i));
    expected.push_back("decision " + std::to_string(i));
  }
  expected.emplace_back("stop");
  EXPECT_EQ(order, expected_order);
  EXPECT_EQ(recovered(disk_.durable), expected);
}

TEST_F(OnFakeDisk, NobodyHearsOfSuccessBeforeTheSyncReturned) {
  disk_.gated = true;
  {
    const auto ledger = over(disk_, clock_);
    disk_.sync_begun.acquire();
    ledger->append(one("a"), [&](const Result<void>& r) { disk_.note("done " + outcome(r)); });
    disk_.gate.release();
    disk_.sync_begun.acquire();
    disk_.note("the test looks");  // the sync of "a" has begun and cannot return yet
    disk_.gate.release();
    EXPECT_EQ(append(*ledger, {}), "ok");
    disk_.gate.release();
  }
  EXPECT_EQ(disk_.events, (Strings{"write", "sync", "write", "the test looks", "sync", "done ok",
                                   "write", "sync"}));
}

TEST_F(OnFakeDisk, LeavesAppendedTogetherBecomeDurableTogether) {
  {
    const auto ledger = over(disk_, clock_);
    EXPECT_EQ(append(*ledger, {}), "ok");
    EXPECT_EQ(append(*ledger, {leaf("a"), leaf("b"), leaf("a", LeafKind::outcome)}), "ok");
    EXPECT_EQ(disk_.read(&Disk::writes), 2);
  }
  EXPECT_EQ(recovered(disk_.durable),
            (Strings{"boot", "decision a", "decision b", "outcome a", "stop"}));
}

TEST_F(OnFakeDisk, NoLeavesMeanABarrierAndNoWrite) {
  disk_.gated = true;
  const auto ledger = over(disk_, clock_);
  std::atomic<bool> passed = false;
  disk_.sync_begun.acquire();
  ledger->append(one("a"), [](const Result<void>&) {});
  ledger->append({}, [&](const Result<void>&) { passed = true; });
  disk_.gate.release();
  disk_.sync_begun.acquire();
  EXPECT_FALSE(passed) << "the leaf before it is not durable yet";
  disk_.gate.release();
  EXPECT_EQ(append(*ledger, {}), "ok");
  EXPECT_TRUE(passed);
  EXPECT_EQ(disk_.read(&Disk::syncs), 2);
  disk_.gate.release();
}

TEST_F(OnFakeDisk, ManyThreadsGetGaplessNumbersAndTheirOwnOrder) {
  {
    const auto ledger = over(disk_, clock_);
    std::vector<std::jthread> threads;
    threads.reserve(4);
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&ledger, t] {
        for (int i = 0; i < 250; ++i) {
          ledger->append(one(std::to_string(t) + ':' + std::to_string(i)),
                         [](const Result<void>& r) { EXPECT_EQ(outcome(r), "ok"); });
        }
      });
    }
  }
  const auto leaves = recovered(disk_.durable);
  ASSERT_EQ(leaves.size(), 1002U);
  std::array<int, 4> next{};
  for (std::size_t i = 1; i + 1 < leaves.size(); ++i) {
    const int thread = leaves[i].at(std::string_view("decision ").size()) - '0';
    const std::string expected =
        "decision " + std::to_string(thread) + ':' + std::to_string(next.at(thread)++);
    ASSERT_EQ(leaves[i], expected);
  }
}

struct Injected {
  const char* name;
  bool sync;
  std::size_t torn_bytes;
};

class InjectedError : public testing::TestWithParam<std::tuple<Injected, int>> {};
INSTANTIATE_TEST_SUITE_P(
    EachCall, InjectedError,
    testing::Combine(testing::Values(Injected{.name = "Write", .sync = false, .torn_bytes = 0},
                                     Injected{.name = "TornWrite", .sync = false, .torn_bytes = 30},
                                     Injected{.name = "Sync", .sync = true, .torn_bytes = 0}),
                     testing::Range(1, 7)),
    [](const auto& info) {
      return std::get<0>(info.param).name + std::to_string(std::get<1>(info.param));
    });

// Batch n fails: 1 is the boot leaf's, 2 to 6 carry "1" to "5".
TEST_P(InjectedError, SealsTheSegmentForGood) {
  const auto& [injected, n] = GetParam();
  ManualClock clock(1700000000);
  Disk disk;
  (injected.sync ? disk.failing_sync : disk.failing_write) = n;
  disk.torn_bytes = injected.torn_bytes;
  Strings acknowledged;
  {
    const auto ledger = over(disk, clock);
    if (append(*ledger, {}) == "ok") acknowledged.emplace_back("boot");
    EXPECT_EQ(ledger->healthy(), n > 1);
    for (int i = 1; i <= 8; ++i) {
      const std::string result = append(*ledger, one(std::to_string(i)));
      EXPECT_EQ(result, i + 1 < n ? "ok" : "ledger_unavailable") << i;
      EXPECT_EQ(ledger->healthy(), i + 1 < n) << i;
      if (result == "ok") acknowledged.push_back("decision " + std::to_string(i));
    }
    EXPECT_EQ(append(*ledger, {}), "ledger_unavailable");
  }
  EXPECT_EQ(disk.writes, n) << "a sealed segment is never written again, not even to stop";
  EXPECT_EQ(disk.syncs, injected.sync ? n : n - 1) << "a failed sync is never retried";
  EXPECT_EQ(recovered(disk.durable), acknowledged);
  // What arrived without a sync may be there or not, but never before or instead of what was
  // acknowledged.
  const auto arrived = recovered(disk.written);
  ASSERT_GE(arrived.size(), acknowledged.size());
  EXPECT_TRUE(std::equal(acknowledged.begin(), acknowledged.end(), arrived.begin()));
}

TEST_F(OnFakeDisk, AnErrorFailsAllThatIsQueuedInOrder) {
  disk_.gated = true;
  disk_.failing_sync = 2;
  Strings order;
  const auto ledger = over(disk_, clock_);
  const auto note = [&](std::string name) {
    return [&, name = std::move(name)](const Result<void>& r) {
      EXPECT_FALSE(ledger->healthy()) << "whoever hears of the failure can see it";
      order.push_back(name + ' ' + outcome(r));
    };
  };
  disk_.sync_begun.acquire();
  ledger->append(one("a"), note("a"));
  disk_.gate.release();
  disk_.sync_begun.acquire();  // "a" is in its failing sync; the rest queues up behind it
  ledger->append(one("b"), note("b"));
  ledger->append({}, note("barrier"));
  ledger->append(one("c"), note("c"));
  std::promise<void> last;
  ledger->append(one("d"), [&](const Result<void>&) { last.set_value(); });
  disk_.gate.release();
  last.get_future().wait();
  EXPECT_EQ(order, (Strings{"a ledger_unavailable", "b ledger_unavailable",
                            "barrier ledger_unavailable", "c ledger_unavailable"}));
  EXPECT_EQ(recovered(disk_.durable), Strings{"boot"});
}

TEST_F(OnFakeDisk, TooManyWaitingLeavesAreRefusedAtOnceAndTakeNoNumber) {
  disk_.gated = true;
  {
    const auto ledger = over(disk_, clock_, 3);
    disk_.sync_begun.acquire();
    const auto ignore = [](const Result<void>&) {};
    EXPECT_EQ(append(*ledger, {leaf("w"), leaf("x"), leaf("y"), leaf("z")}), "ledger_unavailable");
    ledger->append(one("a"), ignore);
    ledger->append(one("b"), ignore);
    EXPECT_EQ(append(*ledger, {leaf("c"), leaf("d")}), "ledger_unavailable");
    ledger->append(one("e"), ignore);
    EXPECT_EQ(append(*ledger, one("f")), "ledger_unavailable");
    EXPECT_TRUE(ledger->healthy());
    disk_.gate.release(3);
  }
  EXPECT_EQ(recovered(disk_.durable),
            (Strings{"boot", "decision a", "decision b", "decision e", "stop"}));
}

TEST_F(OnFakeDisk, WhatIsQueuedIsFinishedBeforeTheEnd) {
  disk_.gated = true;
  Strings order;
  {
    const auto ledger = over(disk_, clock_);
    disk_.sync_begun.acquire();
    for (const auto* call : {"a", "b"}) {
      ledger->append(one(call), [&](const Result<void>& r) { order.push_back(outcome(r)); });
    }
    disk_.gate.release(3);
  }
  EXPECT_EQ(order, (Strings{"ok", "ok"}));
  EXPECT_EQ(recovered(disk_.durable), (Strings{"boot", "decision a", "decision b", "stop"}));
}

TEST_F(OnFakeDisk, NamesCannotForgeFrames) {
  Disk other;
  over(other, clock_).reset();
  {
    const auto ledger = over(disk_, clock_);
    Leaf hostile = leaf("a");
    hostile.tool = "x\n" + other.written;  // two whole frames
    EXPECT_EQ(append(*ledger, {hostile}), "ok");
  }
  EXPECT_EQ(recovered(disk_.durable), (Strings{"boot", "decision a", "stop"}));
  EXPECT_EQ(std::ranges::count(disk_.durable, '\n'), 3);
}

// ---- on a real disk
// -------------------------------------------------------------------------------------------

class OnDisk : public testing::Test {
 protected:
  [[nodiscard]] Result<std::unique_ptr<Ledger>> open(std::string emitter = "gateway") {
    return Ledger::open(folder_, {.emitter = std::move(emitter)}, clock_, random_);
  }
  [[nodiscard]] std::vector<fs::path> segments() const {
    const auto list = list_segments(folder_);
    EXPECT_TRUE(list);
    return list ? *list : std::vector<fs::path>();
  }

  TempFolder temp_;
  fs::path folder_ = temp_.path() / "state" / "ledger";
  ManualClock clock_{1700000000};  // moved on from one segment to the next: they are listed by time
  SequenceRandom random_;
};

TEST_F(OnDisk, ASegmentIsPrivateAndComplete) {
  const mode_t before = ::umask(0);
  {
    auto ledger = open();
    ASSERT_TRUE(ledger) << ledger.error().to_string();
    EXPECT_TRUE((*ledger)->healthy());
    ASSERT_EQ(segments().size(), 1U);
    EXPECT_EQ(recovered_file(segments().front()), Strings{"boot"}) << "durable before open returns";
    EXPECT_EQ(append(**ledger, one("a")), "ok");
    EXPECT_EQ(recovered_file(segments().front()), (Strings{"boot", "decision a"}));
  }
  (void)::umask(before);
  EXPECT_EQ(recovered_file(segments().front()), (Strings{"boot", "decision a", "stop"}));
  EXPECT_EQ(fs::status(segments().front()).permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(fs::status(folder_).permissions(), fs::perms::owner_all);
  EXPECT_EQ(fs::status(folder_.parent_path()).permissions(), fs::perms::owner_all);
}

TEST_F(OnDisk, EveryEmitterAndEveryStartHasASegmentOfItsOwn) {
  auto first = open("gateway");
  clock_.set(1700000001);
  auto second = open("wrap-2");
  ASSERT_TRUE(first && second);
  EXPECT_EQ(append(**first, one("a")), "ok");
  EXPECT_EQ(append(**second, one("b")), "ok");
  first->reset();
  clock_.set(1700000002);
  auto third = open("gateway");
  ASSERT_TRUE(third);
  const auto paths = segments();
  ASSERT_EQ(paths.size(), 3U);
  EXPECT_TRUE(paths[0].filename().string().starts_with("gateway-2"));
  EXPECT_TRUE(paths[1].filename().string().starts_with("wrap-2-2"));
  EXPECT_TRUE(paths[2].filename().string().starts_with("gateway-2"));
  EXPECT_EQ(recovered_file(paths[0]), (Strings{"boot", "decision a", "stop"}));
  EXPECT_EQ(recovered_file(paths[1]), (Strings{"boot", "decision b"}));
  EXPECT_EQ(recovered_file(paths[2]), Strings{"boot"});
}

TEST_F(OnDisk, SegmentsAreListedOldestFirstAndOnlyThey) {
  fs::create_directories(folder_);
  const auto touch = [&](const char* name) { std::ofstream(folder_ / name) << ""; };
  touch("b-20260101T000000.000000Z-0000000000000002.log");
  touch("a-20260101T000000.000001Z-0000000000000001.log");
  touch("z-20251231T235959.999999Z-0000000000000003.log");
  for (const char* other :
       {"notes.txt", ".log", "-20260101T000000.000000Z-0000000000000002.log",
        "a-20260101T000000Z-0000000000000002.log", "a-20260101T000000.000000Z-000000000000000.log",
        "a-20260101T000000.000000Z-000000000000000G.log",
        "a-20260101T000000.000000Z-0000000000000002.log.gz"}) {
    touch(other);
  }
  Strings names;
  for (const auto& path : segments()) names.push_back(path.filename().string());
  EXPECT_EQ(names, (Strings{"z-20251231T235959.999999Z-0000000000000003.log",
                            "b-20260101T000000.000000Z-0000000000000002.log",
                            "a-20260101T000000.000001Z-0000000000000001.log"}));
}

TEST_F(OnDisk, RefusesEmittersThatAreNoPlainNames) {
  for (const char* emitter : {"", "A", "a/b", "../a", "a.b", "a b", "\n"}) {
    const auto ledger = open(emitter);
    ASSERT_FALSE(ledger) << emitter;
    EXPECT_EQ(ledger.error().code, Code::ledger_unavailable);
  }
  EXPECT_FALSE(fs::exists(folder_));
}

TEST_F(OnDisk, RefusesAFolderThatIsNone) {
  fs::create_directories(folder_.parent_path());
  std::ofstream(folder_) << "a file";
  const auto ledger = open();
  ASSERT_FALSE(ledger);
  EXPECT_EQ(ledger.error().code, Code::ledger_unavailable);
}

TEST_F(OnDisk, ASegmentIsNeverReopened) {
  const fs::path path = temp_.path() / "segment.log";
  EXPECT_TRUE(make_posix_file(path));
  const auto again = make_posix_file(path);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::ledger_unavailable);
  fs::create_symlink(temp_.path() / "elsewhere", temp_.path() / "link.log");
  EXPECT_FALSE(make_posix_file(temp_.path() / "link.log"));
}

TEST_F(OnDisk, WhatCannotBeReadIsAnError) {
  EXPECT_EQ(read_segment(temp_.path() / "none", [](std::string_view) { return true; }).error().code,
            Code::io);
  EXPECT_EQ(read_segment(temp_.path(), [](std::string_view) { return true; }).error().code,
            Code::io);
  EXPECT_EQ(list_segments(temp_.path() / "none").error().code, Code::io);
  ASSERT_EQ(::mkfifo((temp_.path() / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(read_segment(temp_.path() / "pipe", [](std::string_view) { return true; }).error().code,
            Code::io);
  std::ofstream(temp_.path() / "empty") << "";
  EXPECT_EQ(read_segment(temp_.path() / "empty", [](std::string_view) { return true; })->leaves,
            0U);
}

TEST_F(OnDisk, DamageNamesTheFileAndTheByte) {
  {
    auto ledger = open();
    ASSERT_TRUE(ledger);
  }
  const fs::path path = segments().front();
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary) << 'x';
  const auto report = read_segment(path, [](std::string_view) { return true; });
  ASSERT_TRUE(report && report->damage);
  EXPECT_EQ(report->path, path);
  EXPECT_EQ(report->damage->code, Code::ledger_corrupt);
  EXPECT_EQ(report->damage->where, path.string() + ":byte 0");
}

// Fixed-size records through a pipe: a write of at most PIPE_BUF bytes arrives whole or not at all.
struct Acknowledgement {
  std::array<char, 24> call;
};

void acknowledge(int pipe, const std::string& call) {
  Acknowledgement record{};
  std::copy_n(call.begin(), std::min(call.size(), record.call.size() - 1), record.call.begin());
  if (::write(pipe, &record, sizeof record) != sizeof record) ::_exit(3);
}

bool next_acknowledgement(int pipe, std::multiset<std::string>& out) {
  Acknowledgement record{};
  if (::read(pipe, &record, sizeof record) != sizeof record) return false;
  out.insert("decision " + std::string(record.call.data()));
  return true;
}

TEST_F(OnDisk, AFullDiskSealsTheSegmentAndLosesNothingAcknowledged) {
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    (void)std::signal(SIGXFSZ, SIG_IGN);
    rlimit limit{};
    if (::getrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(10);
    const rlimit unlimited = limit;
    limit.rlim_cur = 20000;
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(11);
    auto ledger = open();
    if (!ledger) ::_exit(12);
    int i = 0;
    for (; i < 1000; ++i) {
      const std::string call = "c" + std::to_string(i);
      if (append(**ledger, one(call)) != "ok") break;
      acknowledge(pipe[1], call);
    }
    if (i == 1000 || (*ledger)->healthy()) ::_exit(13);
    // Room again: the segment stays sealed all the same.
    if (::setrlimit(RLIMIT_FSIZE, &unlimited) != 0) ::_exit(14);
    if (append(**ledger, one("late")) != "ledger_unavailable") ::_exit(15);
    ledger->reset();
    ::_exit(0);
  }
  ::close(pipe[1]);
  std::multiset<std::string> acknowledged;
  while (next_acknowledgement(pipe[0], acknowledged)) {
  }
  ::close(pipe[0]);
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_EQ(status, 0);
  ASSERT_EQ(segments().size(), 1U);
  EXPECT_EQ(fs::file_size(segments().front()), 20000U) << "the last frame is torn";
  auto leaves = recovered_file(segments().front());
  ASSERT_FALSE(leaves.empty());
  EXPECT_EQ(leaves.front(), "boot");
  leaves.erase(leaves.begin());
  EXPECT_EQ(std::multiset<std::string>(leaves.begin(), leaves.end()), acknowledged);
}

TEST_F(OnDisk, WhatWasAcknowledgedSurvivesSigkill) {
  const int rounds = 25 * soak();
  for (int round = 0; round < rounds; ++round) {
    clock_.set(1700000000 + round);
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe(pipe.data()), 0);
    const pid_t pid = ::fork();
    if (pid == 0) {
      auto ledger = open("r" + std::to_string(round));
      if (!ledger) ::_exit(10);
      std::vector<std::thread> threads;
      threads.reserve(4);
      for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
          std::counting_semaphore<> slots(8);  // so that batches are of several leaves
          for (int i = 0;; ++i) {
            slots.acquire();
            const std::string call = std::to_string(t) + ':' + std::to_string(i);
            (*ledger)->append(one(call), [&, call](const Result<void>& r) {
              if (!r) ::_exit(11);
              acknowledge(pipe[1], call);
              slots.release();
            });
          }
        });
      }
      for (auto& thread : threads) thread.join();
    }
    ASSERT_GT(pid, 0);
    ::close(pipe[1]);
    std::multiset<std::string> acknowledged;
    for (int i = 0; i < 1 + (round * 131) % 400; ++i) {
      ASSERT_TRUE(next_acknowledgement(pipe[0], acknowledged)) << "the child ended by itself";
    }
    ::kill(pid, SIGKILL);
    while (next_acknowledgement(pipe[0], acknowledged)) {
    }
    ::close(pipe[0]);
    ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);

    const auto paths = segments();
    ASSERT_EQ(paths.size(), static_cast<std::size_t>(round) + 1);
    const auto leaves = recovered_file(paths.back());
    const std::multiset<std::string> found(leaves.begin(), leaves.end());
    ASSERT_TRUE(std::ranges::includes(found, acknowledged)) << "round " << round;
  }
}

TEST(LedgerInMemory, AcknowledgesAtOnceOnTheCallersThread) {
  const ManualClock clock(1700000000);
  const auto ledger = Ledger::open_in_memory(RecordNothingForBenchmarks(), clock);
  EXPECT_TRUE(ledger->healthy());
  int done = 0;
  const auto me = std::this_thread::get_id();
  const auto count = [&](const Result<void>& result) {
    EXPECT_TRUE(result);
    EXPECT_EQ(std::this_thread::get_id(), me);
    ++done;
  };
  ledger->append(one("c1"), count);
  EXPECT_EQ(done, 1);
  ledger->append({leaf("c2"), leaf("c2", LeafKind::outcome)}, count);
  ledger->append({}, count);
  EXPECT_EQ(done, 3);
}

// Only somebody who writes the name out gets one.
static_assert(!std::is_convertible_v<std::initializer_list<int>, RecordNothingForBenchmarks>);
template <class T>
concept MadeFromBraces = requires(void (*take)(T)) { take({}); };
static_assert(!MadeFromBraces<RecordNothingForBenchmarks>);

}  // namespace
}  // namespace zwinger::ledger
