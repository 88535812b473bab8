// The line by which a gateway says that it is ready, between `gateway` and `up`. Pure; any thread.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace zwinger::cmd {

struct ReadyLine {
  std::map<std::string, std::string> endpoints;  // upstream id -> URL
  pid_t pid = 0;

  // {"event":"ready","endpoints":{...},"pid":123}, without a newline.
  [[nodiscard]] std::string to_json() const;
  // For people, several lines.
  [[nodiscard]] std::string to_text() const;
  // Nothing where the line is another one.
  [[nodiscard]] static std::optional<ReadyLine> parse(std::string_view line);
};

}  // namespace zwinger::cmd
