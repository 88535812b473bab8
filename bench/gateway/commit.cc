// The floor under every durable record: the time of a group commit, nothing else.
//
//   commit --dir FOLDER [--writers 16] [--seconds 2] [--bytes 1024]
//
// Writers append a record of about --bytes and wait until it is durable, again and again. One
// committer takes what has gathered, writes it in one piece, calls fdatasync and wakes the writers.
// Prints one line of JSON: microseconds from append to wake-up, and of fdatasync alone.
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "bench/gateway/histogram.h"
#include "bench/gateway/wire.h"

namespace zwinger::bench {

namespace {

class GroupCommit {
 public:
  explicit GroupCommit(const std::filesystem::path& path)
      : fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600)) {
    if (!fd_) die_errno(path.string());
    thread_ = std::thread([this] { commit_batches(); });
  }
  ~GroupCommit() { stop(); }
  GroupCommit(const GroupCommit&) = delete;
  GroupCommit& operator=(const GroupCommit&) = delete;

  void append(std::string_view record) {
    std::unique_lock lock(mutex_);
    pending_ += record;
    const std::uint64_t mine = next_batch_;
    work_.notify_one();
    durable_.wait(lock, [&] { return committed_ >= mine; });
  }

  // Ends when all that was appended is durable.
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    work_.notify_one();
    if (thread_.joinable()) thread_.join();
  }

  // After stop().
  [[nodiscard]] const Histogram& syncs() const { return syncs_; }

 private:
  void commit_batches() {
    std::string batch;
    std::unique_lock lock(mutex_);
    for (;;) {
      work_.wait(lock, [&] { return stopping_ || !pending_.empty(); });
      if (pending_.empty()) return;
      batch.clear();
      batch.swap(pending_);
      const std::uint64_t number = next_batch_++;
      lock.unlock();
      write_durably(batch);
      lock.lock();
      committed_ = number;
      durable_.notify_all();
    }
  }

  void write_durably(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_.get(), bytes.data(), bytes.size());
      if (n < 0) die_errno("write");
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    const std::uint64_t began = now_ns();
    if (::fdatasync(fd_.get()) != 0) die_errno("fdatasync");
    syncs_.record(now_ns() - began);
  }

  Fd fd_;
  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable durable_;
  std::string pending_;
  std::uint64_t next_batch_ = 1;
  std::uint64_t committed_ = 0;
  bool stopping_ = false;
  Histogram syncs_;
  std::thread thread_;
};

// Records of different content and size, a quarter around `bytes`.
std::vector<std::string> make_records(std::size_t bytes) {
  constexpr std::size_t kVariants = 256;
  std::vector<std::string> out(kVariants);
  std::uint64_t state = 1;
  for (std::string& record : out) {
    state = mix(state);
    const std::size_t size = bytes - (bytes / 8) + (state % ((bytes / 4) + 1));
    while (record.size() + 1 < size) append_hex16(record, state = mix(state));
    record.resize(size > 0 ? size - 1 : 0);
    record += '\n';
  }
  return out;
}

Histogram run_writer(GroupCommit& log, const std::vector<std::string>& records, std::size_t first,
                     std::uint64_t warm, std::uint64_t end) {
  Histogram out;
  for (std::size_t i = first;; ++i) {
    const std::uint64_t began = now_ns();
    if (began >= end) return out;
    log.append(records[i % records.size()]);
    if (began >= warm) out.record(now_ns() - began);
  }
}

}  // namespace

}  // namespace zwinger::bench

int main(int argc, char** argv) {
  using namespace zwinger::bench;
  const Options options(argc, argv, {"--dir", "--writers", "--seconds", "--bytes"}, {});
  const std::filesystem::path folder = options.text("--dir", "");
  if (folder.empty()) die("--dir FOLDER is missing");
  const std::size_t writers = options.count("--writers", 16);
  const double seconds = options.number("--seconds", 2);
  const std::vector<std::string> records = make_records(options.count("--bytes", 1024));
  const std::filesystem::path file = folder / ("commit-" + std::to_string(::getpid()));

  GroupCommit log(file);
  const std::uint64_t warm = now_ns() + static_cast<std::uint64_t>(seconds * 0.1e9);
  const std::uint64_t end = warm + static_cast<std::uint64_t>(seconds * 1e9);
  std::vector<Histogram> times(writers);
  std::vector<std::thread> threads;
  threads.reserve(writers);
  for (std::size_t i = 0; i < writers; ++i) {
    threads.emplace_back([&, i] { times[i] = run_writer(log, records, i * 37, warm, end); });
  }
  for (std::thread& thread : threads) thread.join();
  log.stop();
  std::filesystem::remove(file);

  Histogram all;
  for (const Histogram& each : times) all.merge(each);
  std::printf(
      "{\"writers\":%zu,\"records\":%llu,\"rate\":%.0f,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,"
      "\"max\":%.1f,\"sync_p50\":%.1f,\"sync_p99\":%.1f}\n",
      writers, static_cast<unsigned long long>(all.count()),
      static_cast<double>(all.count()) / seconds, all.percentile_us(0.5), all.percentile_us(0.9),
      all.percentile_us(0.99), all.max_us(), log.syncs().percentile_us(0.5),
      log.syncs().percentile_us(0.99));
}
