// `zwinger completion`: scripts by which a shell completes commands, options and their values. They
// are made from the same table as --help, so they cannot know more or less than the program.
#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include "cmd/command.h"

namespace zwinger::cmd {

namespace {

using Kind = Option::Kind;

// --- what is common to the three shells
// -------------------------------------------------------------

struct Name {
  std::string group;  // empty where there is none
  std::string word;
};

Name split(std::string_view name) {
  const std::size_t space = name.find(' ');
  if (space == std::string_view::npos) return {.group = {}, .word = std::string(name)};
  return {.group = std::string(name.substr(0, space)), .word = std::string(name.substr(space + 1))};
}

struct Entry {
  std::string word;
  std::string summary;
};

// What can stand first: commands and groups, each once, in the order of --help.
std::vector<Entry> first_words(const std::vector<DescribedCommand>& commands) {
  std::vector<Entry> out;
  for (const DescribedCommand& each : commands) {
    const Name name = split(each.command.name);
    if (name.group.empty()) {
      out.push_back({.word = name.word, .summary = std::string(each.command.summary)});
    } else if (std::ranges::find(out, name.group, &Entry::word) == out.end()) {
      const auto group = std::ranges::find(command_groups(), name.group, &CommandGroup::name);
      out.push_back({.word = name.group, .summary = std::string(group->summary)});
    }
  }
  return out;
}

std::vector<Entry> words_of_group(const std::vector<DescribedCommand>& commands,
                                  std::string_view group) {
  std::vector<Entry> out;
  for (const DescribedCommand& each : commands) {
    const Name name = split(each.command.name);
    if (name.group == group)
      out.push_back({.word = name.word, .summary = std::string(each.command.summary)});
  }
  return out;
}

std::string join_words(const std::vector<Entry>& entries) {
  std::string out;
  for (const Entry& each : entries) out += (out.empty() ? "" : " ") + each.word;
  return out;
}

bool takes_folder(const Option& option) { return option.type == "DIR"; }
bool takes_file(const Option& option) { return option.type == "FILE"; }

// --- bash
// -------------------------------------------------------------------------------------------

constexpr std::string_view kBashHead =
    R"(# Completion of zwinger for bash, made by 'zwinger completion bash'. To use it:
#   source <(zwinger completion bash)
_zwinger_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$current"); }
_zwinger_paths() {
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen "$1" -- "$current")
}
_zwinger() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command= i
  COMPREPLY=()
  # What stands behind -- belongs to another program.
  for ((i = 1; i < COMP_CWORD; i++)); do
    if [[ ${COMP_WORDS[i]} == -- ]]; then
      if ((i == COMP_CWORD - 1)); then _zwinger_paths -c; else _zwinger_paths -f; fi
      return
    fi
  done
  # --option=value comes as three words.
  if [[ $current == = ]]; then
    current=
  elif [[ $previous == = ]] && ((COMP_CWORD > 2)); then
    previous=${COMP_WORDS[COMP_CWORD-2]}
  fi
  if ((COMP_CWORD > 1)); then command=${COMP_WORDS[1]}; fi
)";

// What completes the value of an option, or of what stands alone.
std::string bash_value(const Option& option) {
  if (takes_folder(option)) return "_zwinger_paths -d";
  if (takes_file(option)) return "_zwinger_paths -f";
  if (!option.choices.empty())
    return fmt::format("_zwinger_words '{}'", fmt::join(option.choices, " "));
  return ":";
}

std::string bash_command(const DescribedCommand& described) {
  std::string values;
  std::string options = "--help";
  std::string alone;
  for (const Option& option : described.options) {
    if (option.kind == Kind::rest) continue;
    if (option.is_positional()) {
      alone = bash_value(option);
      continue;
    }
    options += " " + option.name;
    if (option.kind == Kind::flag) continue;
    values += fmt::format("    {}) {}; return ;;\n", option.name, bash_value(option));
  }
  std::string out = fmt::format("  '{}')\n", described.command.name);
  if (!values.empty()) out += "    case $previous in\n" + values + "    esac\n";
  const std::string offer = fmt::format("_zwinger_words '{}'", options);
  if (alone.empty()) return out + fmt::format("    {}\n    ;;\n", offer);
  return out +
         fmt::format("    if [[ $current == -* ]]; then {}; else {}; fi\n    ;;\n", offer, alone);
}

std::string bash(const std::vector<DescribedCommand>& commands) {
  std::string out(kBashHead);
  std::string groups;
  std::string cases = fmt::format("  '') _zwinger_words '{} --help --version' ;;\n",
                                  join_words(first_words(commands)));
  for (const CommandGroup& group : command_groups()) {
    groups += fmt::format("{}{}", groups.empty() ? "" : "|", group.name);
    cases += fmt::format("  '{}') _zwinger_words '{} --help' ;;\n", group.name,
                         join_words(words_of_group(commands, group.name)));
  }
  for (const DescribedCommand& each : commands) cases += bash_command(each);
  return out + fmt::format(R"(  case $command in
  {}) if ((COMP_CWORD > 2)); then command+=" ${{COMP_WORDS[2]}}"; fi ;;
  esac
  case $command in
{}  esac
}}
complete -F _zwinger zwinger
)",
                           groups, cases);
}

// --- zsh
// --------------------------------------------------------------------------------------------

// In single quotes.
std::string zsh_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += R"('\'')";
    } else {
      out += c;
    }
  }
  return out + "'";
}

// A part of an _arguments specification, in which brackets and colons are syntax.
std::string zsh_part(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view("[]:\\").contains(c)) out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_value(const Option& option) {
  std::string action = " ";  // a message only
  if (takes_folder(option)) action = "_files -/";
  if (takes_file(option)) action = "_files";
  if (!option.choices.empty()) action = fmt::format("({})", fmt::join(option.choices, " "));
  const std::string_view what = option.choices.empty() ? option.type : option.name;
  return fmt::format(":{}:{}", zsh_part(what), action);
}

std::string zsh_option(const Option& option) {
  const bool many = option.kind == Kind::list;
  if (option.kind == Kind::rest) return zsh_quoted("*::: :_normal");
  if (option.is_positional()) return zsh_quoted((many ? "*" : "1") + zsh_value(option));
  const std::string doc = "[" + zsh_part(option.doc) + "]";
  if (option.kind == Kind::flag) return zsh_quoted(option.name + doc);
  return zsh_quoted((many ? "*" : "") + option.name + "=" + doc + zsh_value(option));
}

std::string zsh_describe(const std::vector<Entry>& entries, std::string_view indent) {
  std::string out = fmt::format("{}commands=(\n", indent);
  for (const Entry& each : entries)
    out += fmt::format("{}  {}\n", indent, zsh_quoted(each.word + ":" + each.summary));
  return out + fmt::format("{0})\n{0}_describe command commands\n", indent);
}

// `depth` words are in front of the command's own arguments.
std::string zsh_command(const DescribedCommand& described, int depth, std::string_view indent) {
  std::string out = fmt::format("{0}{1})\n{0}  shift {2} words; ((CURRENT -= {2}))\n", indent,
                                split(described.command.name).word, depth);
  out += fmt::format("{}  _arguments '--help[How to use it]'", indent);
  for (const Option& option : described.options)
    out += fmt::format(" \\\n{}    {}", indent, zsh_option(option));
  return out + fmt::format("\n{}  ;;\n", indent);
}

std::string zsh(const std::vector<DescribedCommand>& commands) {
  std::string out =
      "#compdef zwinger\n"
      "# Completion of zwinger for zsh, made by 'zwinger completion zsh'. To use it:\n"
      "#   zwinger completion zsh > ~/.zfunc/_zwinger     with ~/.zfunc in fpath before compinit\n"
      "_zwinger() {\n"
      "  local -a commands\n"
      "  if ((CURRENT == 2)); then\n" +
      zsh_describe(first_words(commands), "    ") +
      "    return\n"
      "  fi\n"
      "  case $words[2] in\n";
  for (const DescribedCommand& each : commands)
    if (split(each.command.name).group.empty()) out += zsh_command(each, 1, "  ");
  for (const CommandGroup& group : command_groups()) {
    out += fmt::format("  {})\n    if ((CURRENT == 3)); then\n", group.name) +
           zsh_describe(words_of_group(commands, group.name), "      ") +
           "      return\n    fi\n    case $words[3] in\n";
    for (const DescribedCommand& each : commands)
      if (split(each.command.name).group == group.name) out += zsh_command(each, 2, "    ");
    out += "    esac\n    ;;\n";
  }
  return out +
         "  esac\n"
         "}\n"
         "if [[ $funcstack[1] == _zwinger ]]; then _zwinger \"$@\"; else compdef _zwinger zwinger; "
         "fi\n";
}

// --- fish
// -------------------------------------------------------------------------------------------

std::string fish_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

// Files are completed only where a file is meant.
std::string fish_value(const Option& option) {
  if (takes_file(option)) return " -F";
  if (takes_folder(option)) return " -a '(__fish_complete_directories)'";
  if (!option.choices.empty())
    return fmt::format(" -a {}", fish_quoted(fmt::format("{}", fmt::join(option.choices, " "))));
  return "";
}

std::string_view fish_argument(const Option& option) {
  if (option.kind == Kind::flag) return "";
  return takes_file(option) ? " -r" : " -x";
}

std::string fish_command(const DescribedCommand& described) {
  const Name name = split(described.command.name);
  const std::string condition =
      fish_quoted(name.group.empty() ? fmt::format("__fish_seen_subcommand_from {}", name.word)
                                     : fmt::format("__fish_seen_subcommand_from {}; and "
                                                   "__fish_seen_subcommand_from {}",
                                                   name.group, name.word));
  std::string out;
  for (const Option& option : described.options) {
    out += fmt::format("complete -c zwinger -n {}", condition);
    if (option.kind == Kind::rest) {
      out += " -F";
    } else if (option.is_positional()) {
      out += fish_value(option);
    } else {
      out += fmt::format(" -l {}{}{} -d {}", option.name.substr(2), fish_argument(option),
                         fish_value(option), fish_quoted(option.doc));
    }
    out += '\n';
  }
  return out;
}

std::string fish(const std::vector<DescribedCommand>& commands) {
  std::string out =
      "# Completion of zwinger for fish, made by 'zwinger completion fish'. To use it:\n"
      "#   zwinger completion fish > ~/.config/fish/completions/zwinger.fish\n"
      "complete -c zwinger -f\n"
      "complete -c zwinger -l help -d 'How to use it'\n"
      "complete -c zwinger -n __fish_use_subcommand -l version -d 'Print the version'\n";
  for (const Entry& each : first_words(commands)) {
    out += fmt::format("complete -c zwinger -n __fish_use_subcommand -a {} -d {}\n", each.word,
                       fish_quoted(each.summary));
  }
  for (const CommandGroup& group : command_groups()) {
    const std::vector<Entry> inner = words_of_group(commands, group.name);
    const std::string condition =
        fmt::format("__fish_seen_subcommand_from {}; and not __fish_seen_subcommand_from {}",
                    group.name, join_words(inner));
    for (const Entry& each : inner) {
      out += fmt::format("complete -c zwinger -n {} -a {} -d {}\n", fish_quoted(condition),
                         each.word, fish_quoted(each.summary));
    }
  }
  for (const DescribedCommand& each : commands) out += fish_command(each);
  return out;
}

int run(const std::string& shell, Context& context) {
  if (shell.empty()) return usage_error(context, "name a shell: bash, zsh or fish");
  const std::vector<DescribedCommand> commands = describe_commands();
  context.out << (shell == "bash"  ? bash(commands)
                  : shell == "zsh" ? zsh(commands)
                                   : fish(commands));
  return kOk;
}

}  // namespace

Command completion_command() {
  return {.name = "completion",
          .summary = "Print the script by which a shell completes zwinger's commands",
          .example = "zwinger completion bash > ~/.local/share/bash-completion/completions/zwinger",
          .declare = [](Options& options) -> Run {
            auto shell = std::make_shared<std::string>();
            options.choice("shell", *shell, {"bash", "zsh", "fish"}, "Which shell");
            return [shell](Context& context) { return run(*shell, context); };
          }};
}

}  // namespace zwinger::cmd
