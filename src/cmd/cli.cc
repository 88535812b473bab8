// The list of subcommands, and CLI11 behind a wall: a subcommand sees Options, never CLI11.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <ostream>

#include "cmd/command.h"
#include "gateway/config_table.h"

namespace zwinger::cmd {

class Options::Impl {
 public:
  explicit Impl(CLI::App& the_app) : app(the_app) {}
  CLI::App& app;
  std::vector<Option> declared;
  std::vector<std::string>* rest = nullptr;
};

void Options::flag(const std::string& name, bool& into, const std::string& doc) {
  impl_.app.add_flag(name, into, doc);
  impl_.declared.push_back({.kind = Option::Kind::flag,
                            .name = name,
                            .type = {},
                            .doc = doc,
                            .choices = {},
                            .required = false});
}

void Options::text(const std::string& name, std::string& into, const std::string& type,
                   const std::string& doc, bool required) {
  impl_.app.add_option(name, into, doc)->type_name(type)->required(required);
  impl_.declared.push_back({.kind = Option::Kind::text,
                            .name = name,
                            .type = type,
                            .doc = doc,
                            .choices = {},
                            .required = required});
}

void Options::number(const std::string& name, std::optional<std::int64_t>& into,
                     const std::string& doc, std::int64_t least, std::int64_t most) {
  impl_.app.add_option(name, into, doc)
      ->type_name("NUMBER")
      ->check([least, most](const std::string& text) -> std::string {
        std::int64_t value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        const bool whole = error == std::errc() && end == text.data() + text.size();
        if (whole && value >= least && value <= most) return {};
        return fmt::format("{} is not a whole number from {} to {}", text, least, most);
      });
  impl_.declared.push_back({.kind = Option::Kind::number,
                            .name = name,
                            .type = "NUMBER",
                            .doc = doc,
                            .choices = {},
                            .required = false});
}

void Options::choice(const std::string& name, std::string& into,
                     const std::vector<std::string>& among, const std::string& doc) {
  const std::string type = fmt::format("{}", fmt::join(among, "|"));
  impl_.app.add_option(name, into, doc)->type_name(type)->check(CLI::IsMember(among));
  impl_.declared.push_back({.kind = Option::Kind::choice,
                            .name = name,
                            .type = type,
                            .doc = doc,
                            .choices = among,
                            .required = false});
}

void Options::list(const std::string& name, std::vector<std::string>& into, const std::string& type,
                   const std::string& doc, bool required) {
  CLI::Option* option = impl_.app.add_option(name, into, doc)->type_name(type)->required(required);
  if (name.starts_with('-')) option->allow_extra_args(false);
  impl_.declared.push_back({.kind = Option::Kind::list,
                            .name = name,
                            .type = type,
                            .doc = doc,
                            .choices = {},
                            .required = required});
}

void Options::rest(std::vector<std::string>& into) {
  impl_.rest = &into;
  impl_.declared.push_back({.kind = Option::Kind::rest,
                            .name = "-- COMMAND [ARGUMENT...]",
                            .type = {},
                            .doc = "The program to run, and what it is given",
                            .choices = {},
                            .required = true});
}

namespace {

std::vector<Command> all_commands() {
  return {up_command(),         gateway_command(),    wrap_command(),        init_command(),
          check_command(),      eval_command(),       replay_command(),      token_keygen_command(),
          token_mint_command(), token_show_command(), ledger_show_command(), doctor_command(),
          codes_command(),      completion_command(), man_command(),         reference_command(),
          version_command()};
}

constexpr std::array kGroups = {
    CommandGroup{.name = "token", .summary = "Make and read development tokens"},
    CommandGroup{.name = "ledger", .summary = "Read the record"}};

constexpr std::string_view kFirstSteps =
    "Zwinger stands between an MCP client and its servers and lets through what a grant covers.\n"
    "\n"
    "First steps:\n"
    "  zwinger init --allow 'server/*'      a grant for servers on this machine, then\n"
    "  zwinger wrap -- npx -y SOME-SERVER   put this where your client starts SOME-SERVER\n"
    "\n"
    "  zwinger init                         a policy directory for a gateway, then\n"
    "  zwinger up                           the gateway itself\n"
    "\n"
    "  zwinger --help                       all commands\n";

// A command's options and what runs it, as long as one command line is parsed.
struct Declared {
  CLI::App* app = nullptr;
  std::unique_ptr<Options::Impl> impl;
  Run run;
};

// The words of a command's name: {"token", "mint"}.
std::pair<std::string, std::string> split(std::string_view name) {
  const std::size_t space = name.find(' ');
  if (space == std::string_view::npos) return {"", std::string(name)};
  return {std::string(name.substr(0, space)), std::string(name.substr(space + 1))};
}

// Whether `word` is among `known`; says what was probably meant when it is not.
bool check_word(std::string_view word, const std::vector<std::string_view>& known,
                Context& context) {
  if (word.starts_with('-') || std::ranges::find(known, word) != known.end()) return true;
  const std::string_view meant = gateway::config::nearest(word, known);
  usage_error(context,
              meant.empty()
                  ? fmt::format("there is no command '{}'; see 'zwinger --help'", word)
                  : fmt::format("there is no command '{}'; did you mean '{}'?", word, meant));
  return false;
}

bool check_words(std::span<const std::string> words, const std::vector<Command>& commands,
                 Context& context) {
  std::vector<std::string_view> top;
  std::vector<std::string_view> inner;
  for (const Command& command : commands) {
    if (command.hidden && words[0] != command.name) continue;
    const std::size_t space = command.name.find(' ');
    const std::string_view first = command.name.substr(0, space);
    if (std::ranges::find(top, first) == top.end()) top.push_back(first);
    if (space != std::string_view::npos && first == words[0])
      inner.push_back(command.name.substr(space + 1));
  }
  if (!check_word(words[0], top, context)) return false;
  return inner.empty() || words.size() < 2 || check_word(words[1], inner, context);
}

int parse_and_run(std::span<const std::string> words, std::optional<std::vector<std::string>> rest,
                  Context& context) {
  const std::vector<Command> commands = all_commands();
  if (!check_words(words, commands, context)) return kUsage;

  CLI::App top(std::string(kProgramSummary), "zwinger");
  top.require_subcommand(1);
  top.footer("Each command has a --help of its own, with an example.");
  std::vector<Declared> declared;
  std::map<std::string, CLI::App*> groups;
  for (const Command& command : commands) {
    const auto [group, name] = split(command.name);
    CLI::App* parent = &top;
    if (!group.empty()) {
      CLI::App*& of_group = groups[group];
      if (of_group == nullptr) {
        of_group = top.add_subcommand(
            group,
            std::string(
                std::ranges::find(kGroups, std::string_view(group), &CommandGroup::name)->summary));
        of_group->require_subcommand(1);
      }
      parent = of_group;
    }
    CLI::App* app = parent->add_subcommand(name, std::string(command.summary));
    app->footer(fmt::format("Example:\n  {}", command.example));
    if (command.hidden) app->group("");
    auto impl = std::make_unique<Options::Impl>(*app);
    Options options(*impl);
    Run run = command.declare(options);
    declared.push_back({.app = app, .impl = std::move(impl), .run = std::move(run)});
  }

  std::vector<std::string> reversed(words.rbegin(), words.rend());  // as CLI11 wants it
  try {
    top.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    context.out << top.help();
    return kOk;
  } catch (const CLI::ParseError& error) {
    const std::string_view hint =
        words[0] == "wrap" ? " (the server's command stands behind --)" : "";
    return usage_error(context, fmt::format("{}{}; see 'zwinger {}--help'", error.what(), hint,
                                            words[0].starts_with('-') ? "" : words[0] + " "));
  }
  const auto chosen =
      std::ranges::find_if(declared, [](const Declared& each) { return each.app->parsed(); });
  if (chosen->impl->rest != nullptr)
    *chosen->impl->rest = std::move(rest).value_or(std::vector<std::string>());
  return chosen->run(context);
}

}  // namespace

std::vector<DescribedCommand> describe_commands() {
  std::vector<DescribedCommand> out;
  for (const Command& command : all_commands()) {
    if (command.hidden) continue;
    CLI::App app;
    Options::Impl impl(app);
    Options options(impl);
    (void)command.declare(options);
    out.push_back({.command = command, .options = std::move(impl.declared)});
  }
  return out;
}

std::span<const CommandGroup> command_groups() { return kGroups; }

int run_command(std::span<const std::string> arguments, Context& context) {
  if (arguments.empty()) {
    context.err << kFirstSteps;
    return kUsage;
  }
  if (arguments.size() == 1 && arguments[0] == "--version") {
    const std::vector<std::string> version = {"version"};
    return run_command(version, context);
  }
  // What stands behind "--" of `wrap` belongs to another program: no option parser may see it.
  const auto dashes = std::ranges::find(arguments, "--");
  if (arguments[0] != "wrap" || dashes == arguments.end())
    return parse_and_run(arguments, std::nullopt, context);
  return parse_and_run(arguments.first(static_cast<std::size_t>(dashes - arguments.begin())),
                       std::vector<std::string>(dashes + 1, arguments.end()), context);
}

}  // namespace zwinger::cmd
