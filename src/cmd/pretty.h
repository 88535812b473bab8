// JSON laid out anew: for people, or without white space. Scalars are the source's own bytes. Pure;
// any thread.
#pragma once

#include <string>

#include "json/json.h"

namespace zwinger::cmd {

// Two spaces a level; arrays of scalars stay on one line where they fit. Without a newline at the
// end.
[[nodiscard]] std::string pretty(json::Value value);
// On one line, without white space between tokens.
[[nodiscard]] std::string compact(json::Value value);

}  // namespace zwinger::cmd
