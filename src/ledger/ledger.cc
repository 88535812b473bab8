#include "ledger/ledger.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <future>
#include <mutex>
#include <thread>
#include <utility>

#include "base/fd.h"
#include "ledger/frame.h"

namespace zwinger::ledger {

namespace fs = std::filesystem;

namespace {

Leaf leaf_of(LeafKind kind) {
  Leaf leaf;
  leaf.kind = kind;
  return leaf;
}

// Creates what is missing of the path, each folder 0700 and durable in the one above it.
Result<void> make_folder(const fs::path& folder) {
  std::error_code ec;
  if (fs::is_directory(folder, ec)) return {};
  const fs::path above = folder.parent_path();
  if (!above.empty() && above != folder) ZWINGER_CHECK_OK(make_folder(above));
  const auto error = [&] {
    return fail(Code::ledger_unavailable,
                std::string("cannot create the record's folder: ") + std::strerror(errno),
                folder.string());
  };
  // EEXIST: another emitter was faster, or it is no folder, which creating the segment will tell.
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return error();
  const Fd dir(::open(above.empty() ? "." : above.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir || ::fsync(dir.get()) != 0) return error();
  return {};
}

bool is_emitter(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

// <emitter>-20261123T100000.000000Z-<random>.log: names of one emitter sort by time.
std::string segment_name(std::string_view emitter, std::chrono::system_clock::time_point now,
                         Random& random) {
  std::string time = format_time(now);
  std::erase_if(time, [](char c) { return c == '-' || c == ':'; });
  return std::string(emitter) + '-' + time + '-' + random.hex(8) + ".log";
}

}  // namespace

class Ledger::Impl {
 public:
  Impl() = default;
  virtual ~Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  virtual void append(std::vector<Leaf>&& leaves, Done done) = 0;
  [[nodiscard]] virtual bool healthy() const = 0;
};

class Ledger::OnDisk final : public Impl {
 public:
  OnDisk(std::unique_ptr<AppendFile> file, Options options, const Clock& clock)
      : file_(std::move(file)),
        options_(std::move(options)),
        clock_(clock),
        thread_([this] { work(); }) {}

  ~OnDisk() override {
    enqueue({leaf_of(LeafKind::stop)}, [](const Result<void>&) {}, Always::yes);
    {
      const std::scoped_lock lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  OnDisk(const OnDisk&) = delete;
  OnDisk& operator=(const OnDisk&) = delete;

  void append(std::vector<Leaf>&& leaves, Done done) override {
    enqueue(std::move(leaves), std::move(done), Always::no);
  }

  enum class Always : bool { no, yes };  // whether a full queue takes it all the same

  void enqueue(std::vector<Leaf>&& leaves, Done done, Always always) {
    // Rendered here, on the caller's thread: the queue then holds at most kMaxLeaf bytes for a
    // leaf, however long the names that a stranger chose, and the writer's thread is left with
    // hashing.
    Item item{.lines = {}, .done = std::move(done)};
    item.lines.reserve(leaves.size());
    for (const Leaf& leaf : leaves) item.lines.emplace_back().members = render_members(leaf);
    std::string refusal;
    {
      const std::scoped_lock lock(mutex_);
      const bool fits = item.lines.size() <= options_.max_queued &&
                        queued_ <= options_.max_queued - item.lines.size();
      if (!healthy_) {
        refusal = sealed_because_;
      } else if (fits || always == Always::yes) {
        const auto now = clock_.now();
        for (Line& line : item.lines) {
          line.sequence = ++last_sequence_;
          line.time = now;
        }
        queued_ += item.lines.size();
        queue_.push_back(std::move(item));
        wake_.notify_one();
        return;
      } else {
        refusal = "too many leaves are waiting for the disk";
      }
    }
    item.done(fail(Code::ledger_unavailable, std::move(refusal)));
  }

  [[nodiscard]] bool healthy() const override { return healthy_; }

 private:
  struct Line {
    std::string members;
    std::uint64_t sequence = 0;
    std::chrono::system_clock::time_point
        time;  // set with the sequence, so that both rise together
  };
  struct Item {
    std::vector<Line> lines;
    Done done;
  };
  using Batch = std::deque<Item>;

  void work() {
    while (true) {
      Batch batch;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
        if (queue_.empty()) return;
        batch.swap(queue_);
        queued_ = 0;
      }
      if (const auto durable = make_durable(batch)) {
        for (Item& item : batch) item.done({});
      } else {
        seal(std::move(batch), durable.error());
      }
    }
  }

  // One write and one sync for the whole batch.
  Result<void> make_durable(const Batch& batch) {
    std::string bytes;
    for (const Item& item : batch) {
      for (const Line& line : item.lines) {
        append_frame(bytes, complete(line.members, line.sequence, line.time));
      }
    }
    if (bytes.empty()) return {};
    ZWINGER_CHECK_OK(file_->write(bytes));
    return file_->sync();
  }

  // For good: after a failed sync the kernel may have dropped the pages, and a second one would
  // succeed without them. What is queued already fails too; what is appended from now on fails in
  // enqueue().
  void seal(Batch failed, const Error& why) {
    std::string reason = "the record was sealed after an error: " + why.to_string();
    {
      const std::scoped_lock lock(mutex_);
      sealed_because_ = reason;
      healthy_ = false;
      std::ranges::move(queue_, std::back_inserter(failed));
      queue_.clear();
      queued_ = 0;
    }
    for (Item& item : failed) item.done(fail(Code::ledger_unavailable, reason));
  }

  std::unique_ptr<AppendFile> file_;  // the writer thread's
  const Options options_;
  const Clock& clock_;
  std::mutex mutex_;
  std::condition_variable wake_;
  Batch queue_;
  std::size_t queued_ = 0;  // leaves in queue_
  std::uint64_t last_sequence_ = 0;
  std::string sealed_because_;
  bool stopping_ = false;
  std::atomic<bool> healthy_ = true;  // written under mutex_
  std::thread thread_;                // last: it uses all of the above
};

// All that a leaf costs the processor, and nothing else.
class Ledger::InMemory final : public Impl {
 public:
  explicit InMemory(const Clock& clock) : clock_(clock) {}

  void append(std::vector<Leaf>&& leaves, Done done) override {
    std::string bytes;
    for (const Leaf& leaf : leaves) {
      append_frame(bytes, to_json(leaf, ++last_sequence_, clock_.now()));
    }
    done({});
  }
  [[nodiscard]] bool healthy() const override { return true; }

 private:
  const Clock& clock_;
  std::atomic<std::uint64_t> last_sequence_ = 0;
};

Ledger::Ledger(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Ledger::~Ledger() = default;

Result<std::unique_ptr<Ledger>> Ledger::open(const fs::path& folder, Options options,
                                             const Clock& clock, Random& random) {
  if (!is_emitter(options.emitter)) {
    return fail(Code::ledger_unavailable, "an emitter's name is made of a-z, 0-9 and '-'");
  }
  ZWINGER_CHECK_OK(make_folder(folder));
  ZWINGER_TRY(auto file,
              make_posix_file(folder / segment_name(options.emitter, clock.now(), random)));
  auto ledger = over(std::move(file), std::move(options), clock);
  std::promise<Result<void>> booted;
  ledger->append({}, [&](Result<void> result) { booted.set_value(std::move(result)); });
  ZWINGER_CHECK_OK(booted.get_future().get());
  return ledger;
}

std::unique_ptr<Ledger> Ledger::over(std::unique_ptr<AppendFile> file, Options options,
                                     const Clock& clock) {
  auto impl = std::make_unique<OnDisk>(std::move(file), std::move(options), clock);
  impl->enqueue({leaf_of(LeafKind::boot)}, [](const Result<void>&) {}, OnDisk::Always::yes);
  return std::unique_ptr<Ledger>(new Ledger(std::move(impl)));
}

std::unique_ptr<Ledger> Ledger::open_in_memory(RecordNothingForBenchmarks /*danger*/,
                                               const Clock& clock) {
  return std::unique_ptr<Ledger>(new Ledger(std::make_unique<InMemory>(clock)));
}

void Ledger::append(std::vector<Leaf> leaves, Done done) {
  impl_->append(std::move(leaves), std::move(done));
}

bool Ledger::healthy() const { return impl_->healthy(); }

}  // namespace zwinger::ledger
