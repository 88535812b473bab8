// JSON pointers (RFC 6901) as text. Private to src/grant. Pure functions; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace zwinger::grant {

// Appends "/" and `name`, with ~ and / escaped.
void append_segment(std::string& pointer, std::string_view name);
void append_segment(std::string& pointer, std::size_t index);

// `pointer` with one more segment.
[[nodiscard]] std::string child_pointer(std::string pointer, std::string_view name);

}  // namespace zwinger::grant
