// What every subcommand shares: the world it runs in, how it declares its options, what it returns.
//
// A subcommand is one file that gives one Command; cli.cc holds the list and is the only file that
// knows CLI11. Main thread only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "gateway/policy.h"

namespace zwinger::cmd {

inline constexpr int kOk = 0;
inline constexpr int kNo = 1;     // the answer is no
inline constexpr int kUsage = 2;  // the command line or the environment is wrong

struct Context {
  const Clock& clock;
  Random& random;
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool out_is_terminal = false;
  std::vector<std::pair<std::string, std::string>> environment;
  std::filesystem::path executable;  // this program, for `up`

  // Nothing where the variable is not set.
  [[nodiscard]] std::optional<std::string> variable(std::string_view name) const;
};

// One option as it was declared: what help, completion and manual pages are made from.
struct Option {
  enum class Kind : std::uint8_t { flag, text, number, choice, list, rest };
  Kind kind = Kind::flag;
  std::string name;  // "--policy", or "files" for what stands alone
  std::string type;  // of its value: FILE and DIR are paths; empty for a flag
  std::string doc;
  std::vector<std::string> choices;  // all values of a choice
  bool required = false;

  [[nodiscard]] bool is_positional() const { return !name.starts_with('-'); }
};

// Declares options. What they are stored in must live as long as the Run that uses it. `name` is
// "--policy" for an option, "files" without dashes for what stands alone.
class Options {
 public:
  class Impl;
  explicit Options(Impl& impl) : impl_(impl) {}

  void flag(const std::string& name, bool& into, const std::string& doc);
  void text(const std::string& name, std::string& into, const std::string& type,
            const std::string& doc, bool required = false);
  void number(const std::string& name, std::optional<std::int64_t>& into, const std::string& doc,
              std::int64_t least, std::int64_t most);
  void choice(const std::string& name, std::string& into, const std::vector<std::string>& among,
              const std::string& doc);
  void list(const std::string& name, std::vector<std::string>& into, const std::string& type,
            const std::string& doc, bool required = false);
  // What stands behind "--".
  void rest(std::vector<std::string>& into);

 private:
  Impl& impl_;
};

// Does the work; gives the exit code.
using Run = std::function<int(Context&)>;

struct Command {
  std::string_view name;  // "check", or "token mint" for one of a group
  std::string_view summary;
  std::string_view example;
  Run (*declare)(Options&);
  bool hidden = false;
};

// "token" of "token mint", with its line in --help.
struct CommandGroup {
  std::string_view name;
  std::string_view summary;
};

struct DescribedCommand {
  Command command;
  std::vector<Option> options;  // in the order of --help
};

// Everything that --help shows, as data: the one source of help, completion and manual pages.
// Hidden commands are left out.
[[nodiscard]] std::vector<DescribedCommand> describe_commands();
[[nodiscard]] std::span<const CommandGroup> command_groups();
inline constexpr std::string_view kProgramSummary =
    "Zwinger stands between an MCP client and its servers and lets through what a grant covers.";

// One a file.
[[nodiscard]] Command up_command();
[[nodiscard]] Command gateway_command();
[[nodiscard]] Command init_command();
[[nodiscard]] Command wrap_command();
[[nodiscard]] Command check_command();
[[nodiscard]] Command replay_command();
[[nodiscard]] Command eval_command();
[[nodiscard]] Command token_keygen_command();
[[nodiscard]] Command token_mint_command();
[[nodiscard]] Command token_show_command();
[[nodiscard]] Command ledger_show_command();
[[nodiscard]] Command doctor_command();
[[nodiscard]] Command completion_command();
[[nodiscard]] Command man_command();
[[nodiscard]] Command codes_command();
[[nodiscard]] Command reference_command();
[[nodiscard]] Command version_command();

// The whole command line without the program's name.
[[nodiscard]] int run_command(std::span<const std::string> arguments, Context& context);

// --- what more than one of them needs
// -----------------------------------------------------------------

// Text from anywhere, fit for a terminal: control characters, other than line breaks, and
// characters that change the direction of writing are escaped; bytes that are not UTF-8 become '?'.
[[nodiscard]] std::string printable(std::string_view text);
// "zwinger: CODE: message (where)" on standard error; gives `exit_code` back.
int report(Context& context, const Error& error, int exit_code);
int report(Context& context, const std::vector<Error>& errors, int exit_code);

// $XDG_CONFIG_HOME/zwinger and $XDG_STATE_HOME/zwinger with their defaults below $HOME. Errors:
// usage.
[[nodiscard]] Result<std::filesystem::path> config_folder(const Context& context);
[[nodiscard]] Result<std::filesystem::path> state_folder(const Context& context);
// The directory of --policy, or the default one where `given` is empty. Errors: usage.
[[nodiscard]] Result<std::filesystem::path> policy_directory(const Context& context,
                                                             const std::string& given);
// Reads the policy for a command that cannot go on without one. Every error is reported.
[[nodiscard]] std::optional<gateway::Policy> load_policy_or_report(
    Context& context, const std::string& given,
    gateway::KeySets key_sets = gateway::KeySets::required);
// "usage: ..." for what the option parser cannot know.
int usage_error(Context& context, std::string message);

// A file's whole text; "-" is standard input. Errors: io.
[[nodiscard]] Result<std::string> read_input(Context& context, const std::string& name);

}  // namespace zwinger::cmd
