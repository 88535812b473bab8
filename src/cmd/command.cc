#include "cmd/command.h"

#include <fmt/format.h>

#include <algorithm>
#include <istream>
#include <iterator>
#include <ostream>

#include "base/files.h"
#include "text/utf8.h"

namespace zwinger::cmd {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kMaxInputBytes = std::size_t{1} << 20U;

bool drives_a_terminal(std::uint32_t c) {
  const bool control = (c < 0x20 && c != '\n') || (c >= 0x7F && c <= 0x9F);
  const bool direction = c == 0x061C || c == 0x200E || c == 0x200F ||
                         (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
  return control || direction;
}

// The XDG base directory specification ignores relative paths.
Result<fs::path> xdg_folder(const Context& context, std::string_view variable,
                            std::string_view below_home) {
  if (const auto set = context.variable(variable); set && fs::path(*set).is_absolute()) {
    return fs::path(*set) / "zwinger";
  }
  const auto home = context.variable("HOME");
  if (!home || !fs::path(*home).is_absolute()) {
    return fail(
        Code::usage,
        fmt::format("neither {} nor HOME is set, so the default folder is unknown", variable));
  }
  return fs::path(*home) / below_home / "zwinger";
}

}  // namespace

std::optional<std::string> Context::variable(std::string_view name) const {
  const auto found =
      std::ranges::find(environment, name, &std::pair<std::string, std::string>::first);
  if (found == environment.end()) return std::nullopt;
  return found->second;
}

std::string printable(std::string_view text) {
  std::string clean(text);
  while (const auto bad = text::first_invalid_utf8(clean)) clean[*bad] = '?';
  std::string out;
  out.reserve(clean.size());
  for (std::string_view rest = clean; !rest.empty();) {
    const std::string_view before = rest;
    const std::uint32_t code_point = text::take_code_point(rest);
    if (drives_a_terminal(code_point)) {
      out += fmt::format("\\u{:04x}", code_point);
    } else {
      out += before.substr(0, before.size() - rest.size());
    }
  }
  return out;
}

int report(Context& context, const Error& error, int exit_code) {
  context.err << "zwinger: " << printable(error.to_string()) << '\n';
  return exit_code;
}

int report(Context& context, const std::vector<Error>& errors, int exit_code) {
  for (const Error& error : errors) report(context, error, exit_code);
  return exit_code;
}

int usage_error(Context& context, std::string message) {
  return report(context, {.code = Code::usage, .message = std::move(message), .where = {}}, kUsage);
}

Result<fs::path> config_folder(const Context& context) {
  return xdg_folder(context, "XDG_CONFIG_HOME", ".config");
}

Result<fs::path> state_folder(const Context& context) {
  return xdg_folder(context, "XDG_STATE_HOME", ".local/state");
}

Result<fs::path> policy_directory(const Context& context, const std::string& given) {
  if (!given.empty()) return fs::path(given);
  ZWINGER_TRY(const fs::path folder, config_folder(context));
  return folder / "policy";
}

std::optional<gateway::Policy> load_policy_or_report(Context& context, const std::string& given,
                                                     gateway::KeySets key_sets) {
  const Result<fs::path> directory = policy_directory(context, given);
  if (!directory) {
    report(context, directory.error(), kUsage);
    return std::nullopt;
  }
  auto policy = gateway::load_policy(*directory, key_sets);
  if (policy) return *std::move(policy);
  report(context, policy.error(), kUsage);
  return std::nullopt;
}

Result<std::string> read_input(Context& context, const std::string& name) {
  if (name != "-") return read_file(name, kMaxInputBytes);
  std::string text(kMaxInputBytes + 1, '\0');
  context.in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(context.in.gcount()));
  if (text.size() > kMaxInputBytes) return fail(Code::io, "standard input is longer than 1 MiB");
  return text;
}

}  // namespace zwinger::cmd
