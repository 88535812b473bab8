#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <mutex>
#include <utility>

#include "base/fd.h"
#include "state/store.h"

namespace zwinger::state {

namespace fs = std::filesystem;

namespace {

constexpr int kApplicationId = 0x5a57474e;  // "ZWGN", in the file's header
constexpr int kSchemaVersion = 1;
constexpr int kBusyMilliseconds = 1000;
// What sqlite_schema must hold, to the byte: no further table, index, trigger or view.
constexpr std::string_view kSchema =
    "CREATE TABLE entries(key BLOB PRIMARY KEY, version INTEGER NOT NULL, value BLOB NOT NULL) "
    "STRICT, WITHOUT ROWID";

std::unexpected<Error> unavailable(std::string message, const fs::path& file) {
  return fail(Code::state_unavailable, std::move(message), file.string());
}

struct CloseDatabase {
  void operator()(sqlite3* db) const { (void)sqlite3_close_v2(db); }
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const { (void)sqlite3_finalize(statement); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;
using Statement = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

// Ends a statement's run when it goes out of scope: a SELECT left open would pin an old snapshot.
class Run {
 public:
  explicit Run(const Statement& statement) : statement_(statement.get()) {}
  ~Run() {
    (void)sqlite3_reset(statement_);
    (void)sqlite3_clear_bindings(statement_);
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  // The bytes must outlive the run. A null pointer would bind NULL instead of an empty blob.
  [[nodiscard]] bool bind(int index, std::string_view bytes) {
    return sqlite3_bind_blob64(statement_, index, bytes.empty() ? "" : bytes.data(), bytes.size(),
                               SQLITE_STATIC) == SQLITE_OK;
  }
  [[nodiscard]] bool bind(int index, std::int64_t value) {
    return sqlite3_bind_int64(statement_, index, value) == SQLITE_OK;
  }
  [[nodiscard]] int step() { return sqlite3_step(statement_); }
  [[nodiscard]] std::int64_t integer(int column) {
    return sqlite3_column_int64(statement_, column);
  }
  [[nodiscard]] std::string bytes(int column) {
    const void* data = sqlite3_column_blob(statement_, column);
    const int size = sqlite3_column_bytes(statement_, column);
    return data == nullptr
               ? std::string()
               : std::string(static_cast<const char*>(data), static_cast<std::size_t>(size));
  }

 private:
  sqlite3_stmt* statement_;
};

// One connection; used by one thread at a time. It is the Store that a transaction's work is given.
class Connection final : public Store {
 public:
  Connection(Database db, fs::path file) : db_(std::move(db)), file_(std::move(file)) {}

  Result<void> set_up() {
    (void)sqlite3_busy_timeout(db_.get(), kBusyMilliseconds);
    if (sqlite3_db_readonly(db_.get(), "main") != 0) {
      return unavailable("the state file cannot be written", file_);
    }
    ZWINGER_CHECK_OK(
        execute("PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA synchronous=FULL"));
    // Look before the first change, so that a file of somebody else stays as it was.
    ZWINGER_CHECK_OK(execute("BEGIN"));
    ZWINGER_CHECK_OK(is_fresh());
    ZWINGER_CHECK_OK(execute("COMMIT"));
    ZWINGER_CHECK_OK(use_wal());
    // Another process may have done the same meanwhile: look again under the write lock.
    ZWINGER_CHECK_OK(execute("BEGIN IMMEDIATE"));
    ZWINGER_TRY(const bool fresh, is_fresh());
    if (fresh) {
      ZWINGER_CHECK_OK(execute(std::string(kSchema).c_str()));
      ZWINGER_CHECK_OK(
          execute(("PRAGMA application_id=" + std::to_string(kApplicationId)).c_str()));
      ZWINGER_CHECK_OK(execute(("PRAGMA user_version=" + std::to_string(kSchemaVersion)).c_str()));
    }
    ZWINGER_CHECK_OK(execute("COMMIT"));
    ZWINGER_CHECK_OK(prepare(get_, "SELECT version, value FROM entries WHERE key = ?1"));
    ZWINGER_CHECK_OK(
        prepare(insert_, "INSERT INTO entries VALUES(?1, 1, ?2) ON CONFLICT DO NOTHING"));
    ZWINGER_CHECK_OK(
        prepare(update_,
                "UPDATE entries SET version = version + 1, value = ?2 WHERE key = ?1 AND "
                "version = ?3"));
    ZWINGER_CHECK_OK(prepare(begin_, "BEGIN IMMEDIATE"));
    ZWINGER_CHECK_OK(prepare(commit_, "COMMIT"));
    ZWINGER_CHECK_OK(prepare(rollback_, "ROLLBACK"));
    // Savepoints may share a name: RELEASE and ROLLBACK TO mean the innermost.
    ZWINGER_CHECK_OK(prepare(savepoint_, "SAVEPOINT nested"));
    ZWINGER_CHECK_OK(prepare(release_, "RELEASE nested"));
    return prepare(rollback_to_, "ROLLBACK TO nested");
  }

  Result<Versioned> get(std::string_view key) override {
    ZWINGER_CHECK_OK(check_usable());
    Run run(get_);
    if (!run.bind(1, key)) return error("read");
    const int rc = run.step();
    if (rc == SQLITE_DONE) return Versioned{};
    if (rc != SQLITE_ROW) return error("read");
    const std::int64_t version = run.integer(0);
    // 0 would mean "does not exist", and the counter would start anew.
    if (version <= 0) return unavailable("the state file holds a damaged entry", file_);
    return Versioned{.value = run.bytes(1), .version = static_cast<std::uint64_t>(version)};
  }

  Result<bool> compare_and_swap(std::string_view key, std::uint64_t expected,
                                std::string_view value) override {
    ZWINGER_CHECK_OK(check_usable());
    if (expected > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return false;  // no entry has such a version
    }
    Run run(expected == 0 ? insert_ : update_);
    if (!run.bind(1, key) || !run.bind(2, value)) return error("write");
    if (expected != 0 && !run.bind(3, static_cast<std::int64_t>(expected))) return error("write");
    if (run.step() != SQLITE_DONE) return error("write");
    return sqlite3_changes64(db_.get()) == 1;
  }

  Result<void> transaction(const std::function<Result<void>(Store&)>& work) override {
    ZWINGER_CHECK_OK(check_usable());
    const bool outermost = depth_ == 0;
    ZWINGER_CHECK_OK(run_once(outermost ? begin_ : savepoint_));
    ++depth_;
    Result<void> outcome = work(*this);
    if (outcome) outcome = check_usable();
    if (outcome) outcome = run_once(outermost ? commit_ : release_);
    if (!outcome) undo(outermost);
    --depth_;
    return outcome;
  }

 private:
  [[nodiscard]] bool in_transaction() const { return sqlite3_get_autocommit(db_.get()) == 0; }

  // SQLite ends a whole transaction by itself after some errors (disk full, I/O). A SAVEPOINT after
  // that would begin a transaction of its own, and half of the work would be committed: so nothing
  // more is done then.
  Result<void> check_usable() {
    if (in_transaction() == (depth_ > 0)) return {};
    if (depth_ > 0) return unavailable("the transaction was lost after an earlier error", file_);
    return run_once(rollback_);
  }

  void undo(bool outermost) {
    if (!in_transaction()) return;
    if (!outermost && run_once(rollback_to_) && run_once(release_)) return;
    // Dooms the outer work too, by check_usable. Inside a transaction SQLite's ROLLBACK cannot
    // fail.
    [[maybe_unused]] const auto rolled_back = run_once(rollback_);
  }

  // Whether the file is empty. Errors: state_unavailable where it is neither empty nor ours.
  Result<bool> is_fresh() {
    ZWINGER_TRY(const std::string id, query("PRAGMA application_id"));
    ZWINGER_TRY(const std::string version, query("PRAGMA user_version"));
    ZWINGER_TRY(const std::string schema,
                query("SELECT group_concat(sql, ';') FROM sqlite_schema"));
    if (id == "0" && version == "0" && schema.empty()) return true;
    if (id != std::to_string(kApplicationId)) {
      return unavailable("this is a database, but not a state file of Zwinger", file_);
    }
    if (version != std::to_string(kSchemaVersion) || schema != kSchema) {
      return unavailable("the state file has version " + version + ", this build reads version " +
                             std::to_string(kSchemaVersion),
                         file_);
    }
    return false;
  }

  Result<void> use_wal() {
    // The change of mode may answer "busy" without asking the busy handler, where two processes
    // open at once.
    constexpr int kStep = 20;
    for (int waited = 0;; waited += kStep) {
      const auto mode = query("PRAGMA journal_mode=WAL");
      if (mode && *mode == "wal") return {};
      if (mode) return unavailable("the file system has no shared memory for SQLite's WAL", file_);
      const bool busy = (sqlite3_errcode(db_.get()) & 0xff) == SQLITE_BUSY;
      if (!busy || waited >= kBusyMilliseconds) return std::unexpected(mode.error());
      (void)sqlite3_sleep(kStep);
    }
  }

  Result<void> execute(const char* sql) {
    if (sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return error("use");
    return {};
  }

  // The first column of the one row, as text.
  Result<std::string> query(const char* sql) {
    Statement statement;
    ZWINGER_CHECK_OK(prepare(statement, sql));
    Run run(statement);
    if (run.step() != SQLITE_ROW) return error("read");
    return run.bytes(0);
  }

  Result<void> prepare(Statement& out, const char* sql) {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v3(db_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr) !=
        SQLITE_OK) {
      return error("use");
    }
    out.reset(raw);
    return {};
  }

  Result<void> run_once(const Statement& statement) {
    Run run(statement);
    if (run.step() != SQLITE_DONE) return error("write");
    return {};
  }

  std::unexpected<Error> error(const char* what) const {
    return unavailable(
        std::string("cannot ") + what + " the state file: " + sqlite3_errmsg(db_.get()), file_);
  }

  Database db_;  // before the statements: it must be closed after them
  fs::path file_;
  Statement get_, insert_, update_, begin_, commit_, rollback_, savepoint_, release_, rollback_to_;
  int depth_ = 0;
};

class SqliteStore final : public Store {
 public:
  explicit SqliteStore(std::unique_ptr<Connection> connection)
      : connection_(std::move(connection)) {}

  Result<Versioned> get(std::string_view key) override {
    const std::scoped_lock lock(mutex_);
    return connection_->get(key);
  }
  Result<bool> compare_and_swap(std::string_view key, std::uint64_t expected,
                                std::string_view value) override {
    const std::scoped_lock lock(mutex_);
    return connection_->compare_and_swap(key, expected, value);
  }
  Result<void> transaction(const std::function<Result<void>(Store&)>& work) override {
    const std::scoped_lock lock(mutex_);
    return connection_->transaction(work);
  }

 private:
  std::mutex mutex_;
  std::unique_ptr<Connection> connection_;
};

// Makes sure that a private file is there. SQLite gives -wal and -shm the mode of the file itself.
Result<void> prepare_file(const fs::path& file) {
  // mknod, because it opens nothing: closing a second descriptor of a database drops the locks that
  // this process holds on it (fcntl locks), and another connection in this process would go on
  // without them.
  if (::mknod(file.c_str(), S_IFREG | 0600, 0) == 0) {
    const fs::path folder = file.parent_path();
    const Fd dir(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!dir || ::fsync(dir.get()) != 0) {
      return unavailable(std::string("cannot sync the folder: ") + std::strerror(errno), folder);
    }
  } else if (errno != EEXIST) {
    return unavailable(std::string("cannot create the state file: ") + std::strerror(errno), file);
  }
  struct stat st{};
  if (::lstat(file.c_str(), &st) != 0) {
    return unavailable(std::string("cannot stat the state file: ") + std::strerror(errno), file);
  }
  if (!S_ISREG(st.st_mode)) return unavailable("the state file is not a regular file", file);
  if (st.st_uid != ::geteuid()) return unavailable("the state file is another user's", file);
  if ((st.st_mode & 0077U) != 0) {
    return unavailable("the state file is open to others; run: chmod 600 " + file.string(), file);
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Store>> open_sqlite(const fs::path& file) {
  // Absolute, so that no spelling (":memory:", "", "file:...") means anything but a file to SQLite.
  std::error_code ec;
  const fs::path path = fs::absolute(file, ec);
  if (ec || file.empty()) return unavailable("the state file has no usable path", file);
  ZWINGER_CHECK_OK(prepare_file(path));
  sqlite3* raw = nullptr;
  const int rc =
      sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  Database db(raw);  // set even where opening failed
  if (rc != SQLITE_OK) {
    return unavailable(std::string("cannot open the state file: ") + sqlite3_errstr(rc), path);
  }
  auto connection = std::make_unique<Connection>(std::move(db), path);
  ZWINGER_CHECK_OK(connection->set_up());
  return std::make_unique<SqliteStore>(std::move(connection));
}

}  // namespace zwinger::state
