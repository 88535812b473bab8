// `zwinger man`: manual pages in mdoc(7), one of the program and one of each command, made from the
// same table as --help. They carry the day of SOURCE_DATE_EPOCH where that is set, so that a
// package builds the same twice.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <ostream>

#include "base/files.h"
#include "cmd/command.h"

namespace zwinger::cmd {

namespace {

namespace fs = std::filesystem;
using Kind = Option::Kind;

// --- what --help does not say: files and variables, with the commands that use them
// -----------------

struct Reference {
  std::string_view name;
  std::string_view doc;
  std::string_view commands;  // names between commas; empty means all
};

constexpr std::string_view kPolicyUsers =
    "up,gateway,init,check,token keygen,token mint,token show,ledger show,doctor";

constexpr std::array kFiles = {
    Reference{.name = "$XDG_CONFIG_HOME/zwinger/policy",
              .doc = "The policy directory where no other is named.",
              .commands = kPolicyUsers},
    Reference{.name = "$XDG_CONFIG_HOME/zwinger/grant.json",
              .doc = "The local grant. It is private to its owner, mode 0600.",
              .commands = "init,wrap"},
    Reference{.name = "$XDG_STATE_HOME/zwinger",
              .doc = "Counters and the record of wrap where there is no policy directory.",
              .commands = "wrap,ledger show"}};

constexpr std::array kVariables = {
    Reference{
        .name = "HOME", .doc = "Where the two below begin when they are not set.", .commands = {}},
    Reference{.name = "XDG_CONFIG_HOME",
              .doc = "Folder of configuration; default $HOME/.config.",
              .commands = {}},
    Reference{.name = "XDG_STATE_HOME",
              .doc = "Folder of what must outlive a process; default $HOME/.local/state.",
              .commands = {}},
    Reference{.name = "PATH",
              .doc = "Where programs without a slash in their name are looked for.",
              .commands = "up,gateway,wrap,doctor"},
    Reference{.name = "SOURCE_DATE_EPOCH",
              .doc = "The date of the pages, in seconds since 1970; default is today.",
              .commands = "man"}};

bool concerns(const Reference& reference, std::string_view command) {
  if (reference.commands.empty() || command.empty()) return true;
  for (std::string_view rest = reference.commands; !rest.empty();) {
    const std::string_view one = rest.substr(0, rest.find(','));
    if (one == command) return true;
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
  }
  return false;
}

// --- roff
// -------------------------------------------------------------------------------------------

// Text as it is: no character of it is a request, an escape or a typographic dash.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (c == '\'') {
      out += "\\(aq";
    } else {
      out += c == '\n' ? ' ' : c;
    }
  }
  return out;
}

// Text in lines of its own: a new one for each sentence, and none longer than mdoc likes.
std::string line(std::string_view text) {
  constexpr std::size_t kWidth = 78;
  std::string out;
  std::size_t column = 0;
  bool sentence_ended = false;
  while (!text.empty()) {
    const std::string_view piece = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), piece.size() + 1));
    const std::string next = escaped(piece);
    const bool first = column == 0;
    if (!first && (sentence_ended || column + 1 + next.size() > kWidth)) {
      out += '\n';
      column = 0;
    } else if (!first) {
      out += ' ';
      ++column;
    }
    if (column == 0 && next.starts_with('.')) out += "\\&";
    out += next;
    column += next.size();
    sentence_ended = piece.ends_with('.');
  }
  return out + "\n";
}

// A word on a macro's line: never a macro's name itself, never punctuation.
std::string word(std::string_view text) {
  std::string out = "\\&";
  for (const char c : escaped(text)) {
    if (c == '"') {
      out += "\\(dq";
    } else {
      out += c;
    }
  }
  return out.contains(' ') ? "\"" + out + "\"" : out;
}

// "token mint" -> "zwinger-token-mint"
std::string page_name(std::string_view command) {
  std::string out = "zwinger";
  if (!command.empty()) out += "-";
  for (const char c : command) out += c == ' ' ? '-' : c;
  return out;
}

std::string head(std::string_view page, std::string_view summary, std::string_view date) {
  std::string title;
  for (const char c : page) title += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  std::string what(summary);
  if (!what.empty() && what.front() >= 'A' && what.front() <= 'Z')
    what.front() = static_cast<char>(what.front() - 'A' + 'a');
  while (what.ends_with('.')) what.pop_back();
  return fmt::format(".Dd {}\n.Dt {} 1\n.Os Zwinger " ZWINGER_VERSION
                     "\n.Sh NAME\n.Nm {}\n.Nd {}\n",
                     date, title, page, escaped(what));
}

// "--policy DIR" on a macro's line.
std::string option_macro(const Option& option) {
  if (option.kind == Kind::rest) return "Fl \\&\\- Ar COMMAND Op Ar ARGUMENT ...";
  std::string out;
  if (option.is_positional()) {
    out = "Ar " + word(option.name);
  } else {
    out = "Fl " + word(option.name.substr(1));
    if (!option.type.empty()) out += " Ar " + word(option.type);
  }
  return out + (option.kind == Kind::list ? " ..." : "");
}

std::string synopsis(const DescribedCommand& described) {
  std::string out = fmt::format(".Sh SYNOPSIS\n.Nm zwinger {}\n", described.command.name);
  const auto add = [&out](const Option& option) {
    out += fmt::format(".{}{}\n", option.required ? "" : "Op ", option_macro(option));
  };
  // What stands alone comes behind what has a name, and another program's command behind both.
  for (const Option& option : described.options)
    if (option.kind != Kind::rest && !option.is_positional()) add(option);
  for (const Option& option : described.options)
    if (option.is_positional()) add(option);
  for (const Option& option : described.options)
    if (option.kind == Kind::rest) add(option);
  return out;
}

std::string sentence(std::string_view text) {
  return line(std::string(text) + (text.ends_with('.') ? "" : "."));
}

std::string description(const DescribedCommand& described) {
  std::string out = ".Sh DESCRIPTION\n" + sentence(described.command.summary) +
                    ".Pp\nThe options are:\n.Bl -tag -width Ds\n";
  for (const Option& option : described.options)
    out += ".It " + option_macro(option) + "\n" + sentence(option.doc);
  return out + ".It Fl \\-help\nShow a short help.\n.El\n";
}

template <std::size_t n>
std::string references(std::string_view title, std::string_view macro,
                       const std::array<Reference, n>& all, std::string_view command) {
  std::string items;
  for (const Reference& each : all) {
    if (concerns(each, command))
      items += fmt::format(".It {} {}\n{}", macro, word(each.name), line(each.doc));
  }
  if (items.empty()) return {};
  return fmt::format(".Sh {}\n.Bl -tag -width Ds\n{}.El\n", title, items);
}

constexpr std::string_view kExitStatus =
    ".Sh EXIT STATUS\n.Bl -tag -width Ds\n"
    ".It 0\nAll is well.\n"
    ".It 1\nThe answer is no.\n"
    ".It 2\nThe command line or the environment is wrong.\n"
    ".El\n";

std::string example_section(std::string_view example) {
  return ".Sh EXAMPLES\n.Dl " + word(example) + "\n";
}

std::string command_page(const DescribedCommand& described, std::string_view date) {
  const std::string_view name = described.command.name;
  return head(page_name(name), described.command.summary, date) + synopsis(described) +
         description(described) + references("ENVIRONMENT", "Ev", kVariables, name) +
         references("FILES", "Pa", kFiles, name) + std::string(kExitStatus) +
         example_section(described.command.example) + ".Sh SEE ALSO\n.Xr zwinger 1\n";
}

std::string program_page(const std::vector<DescribedCommand>& commands, std::string_view date) {
  std::string out = head("zwinger", "a security gateway for MCP", date) +
                    ".Sh SYNOPSIS\n.Nm\n.Ar command\n.Op Ar argument ...\n.Nm\n.Fl \\-version\n"
                    ".Sh DESCRIPTION\n" +
                    line(kProgramSummary) +
                    "Each command has a manual page of its own, and a\n.Fl \\-help\nwith an "
                    "example.\n.Pp\nThe commands are:\n.Bl -tag -width Ds\n";
  for (const DescribedCommand& each : commands)
    out += fmt::format(".It Cm {}\n{}", each.command.name, sentence(each.command.summary));
  out += ".El\n";
  out += references("ENVIRONMENT", "Ev", kVariables, "") + references("FILES", "Pa", kFiles, "");
  out += kExitStatus;
  out += example_section("zwinger init --allow 'server/*'") + ".Sh SEE ALSO\n";
  std::vector<std::string> pages;
  pages.reserve(commands.size());
  for (const DescribedCommand& each : commands) pages.push_back(page_name(each.command.name));
  std::ranges::sort(pages);
  for (const std::string& page : pages)
    out += fmt::format(".Xr {} 1{}\n", page, page == pages.back() ? "" : " ,");
  return out;
}

// --- the command
// --------------------------------------------------------------------------------------

// "November 25, 2026", as mdoc wants it. Errors: usage.
Result<std::string> date_of_pages(const Context& context) {
  UnixSeconds at = context.clock.unix_seconds();
  if (const auto epoch = context.variable("SOURCE_DATE_EPOCH")) {
    const char* const last = epoch->data() + epoch->size();
    const auto [end, error] = std::from_chars(epoch->data(), last, at);
    constexpr UnixSeconds kYear10000 = 253402300800;
    if (error != std::errc() || end != last || at < 0 || at >= kYear10000)
      return fail(Code::usage, "SOURCE_DATE_EPOCH is not a number of seconds since 1970");
  }
  const std::tm day = fmt::gmtime(static_cast<std::time_t>(at));
  return fmt::format("{:%B} {}, {:%Y}", day, day.tm_mday, day);
}

struct Page {
  std::string name;  // "zwinger-check"
  std::string text;
};

std::vector<Page> all_pages(std::string_view date) {
  const std::vector<DescribedCommand> commands = describe_commands();
  std::vector<Page> out = {{.name = "zwinger", .text = program_page(commands, date)}};
  for (const DescribedCommand& each : commands)
    out.push_back({.name = page_name(each.command.name), .text = command_page(each, date)});
  return out;
}

int write_pages(const fs::path& folder, const std::vector<Page>& pages, Context& context) {
  for (const Page& page : pages) {
    const auto written = write_file_atomically(folder / (page.name + ".1"), page.text, 0644);
    if (!written) return report(context, written.error(), kUsage);
  }
  context.out << printable(fmt::format("Wrote {} pages to {}\n", pages.size(), folder.string()));
  return kOk;
}

// "check", "token mint", "token-mint" and "zwinger-token-mint" are the names of pages.
std::string wanted_page(const std::vector<std::string>& words) {
  const std::string name = fmt::format("{}", fmt::join(words, "-"));
  return name == "zwinger" || name.starts_with("zwinger-") ? name : page_name(name);
}

int run(const std::vector<std::string>& words, const std::string& folder, Context& context) {
  const Result<std::string> date = date_of_pages(context);
  if (!date) return report(context, date.error(), kUsage);
  const std::vector<Page> pages = all_pages(*date);
  if (!folder.empty()) {
    if (!words.empty()) return usage_error(context, "--out writes all pages: name none");
    return write_pages(folder, pages, context);
  }
  const auto page = std::ranges::find(pages, wanted_page(words), &Page::name);
  if (page == pages.end()) {
    return usage_error(context, fmt::format("there is no page '{}'; see 'zwinger --help' for the "
                                            "commands",
                                            fmt::join(words, " ")));
  }
  context.out << page->text;
  return kOk;
}

}  // namespace

Command man_command() {
  return {.name = "man",
          .summary = "Print the manual page of a command, or write all of them",
          .example = "zwinger man check | man -l -",
          .declare = [](Options& options) -> Run {
            struct Arguments {
              std::vector<std::string> words;
              std::string folder;
            };
            auto arguments = std::make_shared<Arguments>();
            options.list("command", arguments->words, "NAME",
                         "Whose page; without it the program's own");
            options.text("--out", arguments->folder, "DIR", "Write all pages into this folder");
            return [arguments](Context& context) {
              return run(arguments->words, arguments->folder, context);
            };
          }};
}

}  // namespace zwinger::cmd
