// Replays recorded sessions through every stage that exists, without upstreams (design section 5,
// "Replay"). One Replay is one session: single thread, no disk, counters in memory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "gateway/policy.h"

namespace zwinger::gateway {

class Replay {
 public:
  // `policy` may be null: then roles do not restrict and upstreams count as shared. It must outlive
  // the Replay. `now` is used until a line says what time it is.
  Replay(const Policy* policy, UnixSeconds now);
  ~Replay();

  // Takes one line of JSON Lines (blank lines give nothing) and returns the output lines it causes,
  // without newlines. Errors: json_*, mcp_params for a malformed line; the caller adds the line
  // number and ends the run. `file`: put as a member "file" into each output line where it is not
  // empty.
  [[nodiscard]] Result<std::vector<std::string>> take_line(std::string_view line,
                                                           std::string_view file);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace zwinger::gateway
