#include "ledger/reader.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/fd.h"
#include "json/json.h"
#include "ledger/frame.h"

namespace zwinger::ledger {

namespace fs = std::filesystem;

namespace {

std::unexpected<Error> io_error(const char* what, const fs::path& path) {
  return fail(Code::io, std::string("cannot ") + what + ": " + std::strerror(errno), path.string());
}

class Mapping {
 public:
  Mapping(void* data, std::size_t size) : data_(data), size_(size) {}
  ~Mapping() { (void)::munmap(data_, size_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  [[nodiscard]] std::string_view bytes() const { return {static_cast<const char*>(data_), size_}; }

 private:
  void* data_;
  std::size_t size_;
};

// What is wrong with a whole frame's leaf as the one numbered `expected`; empty where nothing is.
std::string misfit(std::string_view json, std::uint64_t expected) {
  const auto document = json::Document::parse(std::string(json));
  const auto sequence =
      document && document->root().is_object() ? document->root().find("seq") : std::nullopt;
  const auto number =
      sequence && sequence->is_number() ? sequence->integer() : std::optional<std::int64_t>();
  if (!number) return "a whole frame holds no leaf";
  if (std::cmp_equal(*number, expected)) return {};
  return "leaf " + std::to_string(*number) + " stands where leaf " + std::to_string(expected) +
         " was due";
}

// The part of a segment's name by which it is sorted; nothing where the name is none of ours.
std::optional<std::string> time_in_name(std::string_view name) {
  constexpr std::string_view kForm =
      "-ddddddddTdddddd.ddddddZ-hhhhhhhhhhhhhhhh.log";  // d, h: digits
  constexpr std::size_t kTime = 23;
  if (name.size() <= kForm.size()) return std::nullopt;  // something must stand before it
  const std::string_view end = name.substr(name.size() - kForm.size());
  const auto fits = [](char form, char c) {
    const bool digit = c >= '0' && c <= '9';
    if (form == 'd') return digit;
    if (form == 'h') return digit || (c >= 'a' && c <= 'f');
    return c == form;
  };
  if (!std::ranges::equal(kForm, end, fits)) return std::nullopt;
  return std::string(end.substr(1, kTime));
}

}  // namespace

SegmentReport read_frames(std::string_view bytes, const EachLeaf& each) {
  SegmentReport report;
  const auto damaged = [&](std::string what) {
    report.damage = Error{.code = Code::ledger_corrupt,
                          .message = std::move(what),
                          .where = "byte " + std::to_string(report.prefix_bytes)};
  };
  while (report.prefix_bytes < bytes.size()) {
    const auto json = frame_at(bytes, report.prefix_bytes);
    if (!json) {
      if (const auto next = find_frame(bytes, report.prefix_bytes)) {
        damaged("the bytes are no whole frame, but one follows at byte " + std::to_string(*next));
      }
      break;
    }
    if (std::string what = misfit(*json, report.leaves + 1); !what.empty()) {
      damaged(std::move(what));
      break;
    }
    ++report.leaves;
    report.prefix_bytes += frame_size(*json);
    if (!each(*json)) return report;
  }
  report.tail_bytes = bytes.size() - report.prefix_bytes;
  return report;
}

Result<SegmentReport> read_segment(const fs::path& path, const EachLeaf& each) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return io_error("open the segment", path);
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) return io_error("stat the segment", path);
  if (!S_ISREG(st.st_mode)) return fail(Code::io, "the segment is no regular file", path.string());
  SegmentReport report;
  if (st.st_size > 0) {
    const auto size = static_cast<std::size_t>(st.st_size);
    void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
    if (data == MAP_FAILED) return io_error("map the segment", path);
    const Mapping mapping(data, size);
    report = read_frames(mapping.bytes(), each);
  }
  report.path = path;
  if (report.damage) report.damage->where = path.string() + ":" + report.damage->where;
  return report;
}

Result<std::vector<fs::path>> list_segments(const fs::path& folder) {
  std::vector<std::pair<std::string, fs::path>> found;
  std::error_code ec;
  fs::directory_iterator entry(folder, ec);
  for (; !ec && entry != fs::directory_iterator(); entry.increment(ec)) {
    if (auto time = time_in_name(entry->path().filename().string())) {
      found.emplace_back(*std::move(time), entry->path());
    }
  }
  if (ec)
    return fail(Code::io, "cannot list the record's folder: " + ec.message(), folder.string());
  std::ranges::sort(found);
  std::vector<fs::path> out;
  out.reserve(found.size());
  for (auto& [time, path] : found) out.push_back(std::move(path));
  return out;
}

}  // namespace zwinger::ledger
