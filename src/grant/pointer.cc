#include "grant/pointer.h"

namespace zwinger::grant {

void append_segment(std::string& pointer, std::string_view name) {
  pointer += '/';
  for (const char c : name) {
    if (c == '~') {
      pointer += "~0";
    } else if (c == '/') {
      pointer += "~1";
    } else {
      pointer += c;
    }
  }
}

void append_segment(std::string& pointer, std::size_t index) {
  append_segment(pointer, std::to_string(index));
}

std::string child_pointer(std::string pointer, std::string_view name) {
  append_segment(pointer, name);
  return pointer;
}

}  // namespace zwinger::grant
