// The frame around a leaf, for the writer and the reader: 16 hex digits (the first half of SHA-256
// over the JSON bytes), a space, the JSON, a newline. JSON on one line holds no newline, so a frame
// is a line. Pure; any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace zwinger::ledger {

void append_frame(std::string& out, std::string_view json);

// The JSON of the whole frame that begins at `start`: its length fits and its digits are right. Its
// frame is frame_size() bytes long.
[[nodiscard]] std::optional<std::string_view> frame_at(std::string_view bytes, std::size_t start);
[[nodiscard]] std::size_t frame_size(std::string_view json);

// Where the next whole frame begins, at `start` or after it, at the beginning of a line or not.
[[nodiscard]] std::optional<std::size_t> find_frame(std::string_view bytes, std::size_t start);

}  // namespace zwinger::ledger
