#include <ostream>

#include "cmd/command.h"

namespace zwinger::cmd {

Command version_command() {
  return {.name = "version",
          .summary = "Print the version",
          .example = "zwinger version",
          .declare = [](Options& /*none*/) -> Run {
            return [](Context& context) {
              context.out << "zwinger " ZWINGER_VERSION "\n";
              return kOk;
            };
          }};
}

}  // namespace zwinger::cmd
