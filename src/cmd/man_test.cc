// Manual pages and completion: that both hold what --help holds, that mandoc finds nothing to
// complain of, and that a real bash completes.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "cmd/command.h"
#include "cmd/doctor.h"

namespace zwinger::cmd {
namespace {

namespace fs = std::filesystem;

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

std::set<std::string> lines_of(std::string_view text) {
  std::set<std::string> out;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (!line.empty()) out.emplace(line);
  }
  return out;
}

class ManTest : public testing::Test {
 protected:
  ManTest() {
    std::string pattern = (fs::temp_directory_path() / "zwinger-man-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~ManTest() override {
    std::error_code ec;
    fs::remove_all(folder_, ec);
  }

  Outcome run(const std::vector<std::string>& words) {
    std::istringstream in;
    std::ostringstream out;
    std::ostringstream err;
    Context context{.clock = clock_,
                    .random = random_,
                    .in = in,
                    .out = out,
                    .err = err,
                    .out_is_terminal = false,
                    .environment = environment_,
                    .executable = {}};
    const int code = run_command(words, context);
    return {.code = code, .out = out.str(), .err = err.str()};
  }
  static std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  static std::vector<std::string> words_of(std::string_view name) {
    const std::size_t space = name.find(' ');
    if (space == std::string_view::npos) return {std::string(name)};
    return {std::string(name.substr(0, space)), std::string(name.substr(space + 1))};
  }
  // What another program makes of it.
  std::string output_of(const std::vector<std::string>& command, int exit_code) {
    const auto ran = tools_->run(command);
    if (!ran) {
      ADD_FAILURE() << command[0] << ": " << ran.error().message
                    << " (tools/bootstrap.sh installs what tests need)";
      return {};
    }
    EXPECT_EQ(ran->exit_code, exit_code) << command[0] << ": " << ran->output;
    return ran->output;
  }

  const ManualClock clock_{1'700'000'000};  // mandoc warns of a day that is yet to come
  SequenceRandom random_;
  std::vector<std::pair<std::string, std::string>> environment_;
  fs::path folder_;
  std::unique_ptr<Host> tools_ = make_system_host({{"PATH", "/usr/bin:/bin"}, {"LANG", "C.UTF-8"}});
};

// --- the table
// --------------------------------------------------------------------------------------

TEST_F(ManTest, TheTableHoldsEveryOptionOfHelpAndNoOther) {
  for (const DescribedCommand& each : describe_commands()) {
    std::vector<std::string> words = words_of(each.command.name);
    words.emplace_back("--help");
    const std::string help = run(words).out;
    std::set<std::string> of_help;
    for (std::size_t at = help.find("\n  --"); at != std::string::npos;
         at = help.find("\n  --", at + 1)) {
      const std::size_t begin = at + 3;
      of_help.insert(help.substr(begin, help.find_first_of(" \n", begin) - begin));
    }
    std::set<std::string> of_table;
    for (const Option& option : each.options) {
      if (option.kind != Option::Kind::rest && !option.is_positional())
        of_table.insert(option.name);
    }
    of_help.erase("--help");
    for (const std::string& name : of_table)
      EXPECT_TRUE(help.contains(name)) << each.command.name << " " << name;
    for (const std::string& name : of_help)
      EXPECT_TRUE(of_table.contains(name)) << each.command.name << " " << name;
  }
}

TEST_F(ManTest, HiddenCommandsAreNowhere) {
  for (const DescribedCommand& each : describe_commands())
    EXPECT_NE(each.command.name, "reference");
  EXPECT_FALSE(run({"completion", "bash"}).out.contains("reference"));
  EXPECT_EQ(run({"man", "reference"}).code, kUsage);
}

// --- manual pages
// -----------------------------------------------------------------------------------

TEST_F(ManTest, EveryCommandHasAPageWithItsSummaryExampleAndOptions) {
  ASSERT_EQ(run({"man", "--out", folder_.string()}).code, kOk);
  std::set<std::string> written;
  for (const auto& entry : fs::directory_iterator(folder_))
    written.insert(entry.path().filename().string());
  const std::vector<DescribedCommand> commands = describe_commands();
  EXPECT_EQ(written.size(), commands.size() + 1);
  for (const DescribedCommand& each : commands) {
    std::string name = fmt::format("zwinger-{}", fmt::join(words_of(each.command.name), "-"));
    EXPECT_TRUE(read(folder_ / "zwinger.1").contains(".Xr " + name + " 1")) << name;
    const fs::path file = folder_ / (name + ".1");
    ASSERT_TRUE(fs::exists(file)) << file;
    const std::string text = read(file);
    for (const char* section :
         {"NAME", "SYNOPSIS", "DESCRIPTION", "ENVIRONMENT", "EXIT STATUS", "EXAMPLES", "SEE ALSO"})
      EXPECT_TRUE(text.contains(fmt::format(".Sh {}\n", section))) << name << " " << section;
    for (const Option& option : each.options) {
      if (option.kind == Option::Kind::rest) continue;
      const std::string item = option.is_positional()
                                   ? fmt::format("\n.It Ar \\&{}", option.name)
                                   : fmt::format("\n.It Fl \\&\\-{}", option.name.substr(2));
      std::string escaped_item;
      for (std::size_t i = 0; i < item.size(); ++i)
        escaped_item += item[i] == '-' && item[i - 1] != '\\' ? "\\-" : std::string(1, item[i]);
      EXPECT_TRUE(text.contains(escaped_item)) << name << escaped_item << "\n" << text;
    }
  }
}

TEST_F(ManTest, MandocHasNothingToComplainOf) {
  ASSERT_EQ(run({"man", "--out", folder_.string()}).code, kOk);
  for (const auto& entry : fs::directory_iterator(folder_)) {
    EXPECT_EQ(output_of({"mandoc", "-Tlint", "-Wwarning", entry.path().string()}, 0), "");
  }
  // It does complain of a page that is none.
  std::ofstream(folder_ / "bad.1") << ".Dd x\n.Sh NAME\n.Op\n.Zz\n";
  const auto bad = tools_->run({"mandoc", "-Tlint", "-Wwarning", (folder_ / "bad.1").string()});
  ASSERT_TRUE(bad);
  EXPECT_NE(bad->exit_code, 0);
}

// What a reader sees, so that an escape that goes wrong is seen too.
TEST_F(ManTest, APageReadsAsItWasMeant) {
  ASSERT_EQ(run({"man", "--out", folder_.string()}).code, kOk);
  const auto rendered = [this](const char* page) {
    std::string text = output_of({"mandoc", "-Tascii", (folder_ / page).string()}, 0);
    std::string plain;  // bold and underlined letters are struck twice
    for (const char c : text) {
      if (c == '\b') {
        plain.pop_back();
      } else {
        plain += c;
      }
    }
    return plain;
  };
  const std::string check = rendered("zwinger-check.1");
  EXPECT_TRUE(check.contains("zwinger check [--policy DIR] [--json] [directory]")) << check;
  EXPECT_TRUE(check.contains("zwinger check ./policy")) << check;
  EXPECT_TRUE(check.contains("November 14, 2023")) << check;
  const std::string wrap = rendered("zwinger-wrap.1");
  EXPECT_TRUE(wrap.contains("-- COMMAND [ARGUMENT ...]")) << wrap;
  EXPECT_TRUE(wrap.contains("what 'init --allow' wrote")) << wrap;
  EXPECT_TRUE(wrap.contains("$XDG_CONFIG_HOME/zwinger/grant.json")) << wrap;
  EXPECT_TRUE(rendered("zwinger.1").contains("zwinger init --allow 'server/*'"));
}

TEST_F(ManTest, OnePageIsNamedInThreeWays) {
  const std::string page = run({"man", "token", "mint"}).out;
  EXPECT_TRUE(page.contains(".Nm zwinger-token-mint\n")) << page;
  EXPECT_EQ(run({"man", "token-mint"}).out, page);
  EXPECT_EQ(run({"man", "zwinger-token-mint"}).out, page);
  EXPECT_TRUE(run({"man"}).out.contains(".Dt ZWINGER 1\n"));
  EXPECT_EQ(run({"man", "zwinger"}).out, run({"man"}).out);
  EXPECT_EQ(run({"man", "nothing"}).code, kUsage);
  EXPECT_EQ(run({"man", "check", "--out", folder_.string()}).code, kUsage);
  EXPECT_TRUE(fs::is_empty(folder_));
  std::ofstream(folder_ / "file") << "x";
  EXPECT_EQ(run({"man", "--out", (folder_ / "file").string()}).code, kUsage);
}

TEST_F(ManTest, TheDateOfAPackageIsItsSources) {
  environment_ = {{"SOURCE_DATE_EPOCH", "86400"}};
  EXPECT_TRUE(run({"man", "check"}).out.starts_with(".Dd January 2, 1970\n"));
  for (const char* bad : {"", "x", "-1", "12x", "999999999999999"}) {
    environment_ = {{"SOURCE_DATE_EPOCH", bad}};
    EXPECT_EQ(run({"man", "check"}).code, kUsage) << bad;
  }
}

// --- completion
// -------------------------------------------------------------------------------------

class CompletionTest : public ManTest {
 protected:
  // What bash offers after these words; the last one is being typed.
  std::set<std::string> bash(const std::vector<std::string>& words) {
    const fs::path script = folder_ / "completion.bash";
    std::ofstream(script) << run({"completion", "bash"}).out;
    std::vector<std::string> command = {
        "bash",
        "--norc",
        "-c",
        R"(set -u; source "$1"; cd "$2"; shift 2; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
           complete -p zwinger >/dev/null || exit 9
           _zwinger zwinger; ((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}")",
        "bash",
        script.string(),
        (folder_ / "here").string()};
    command.insert(command.end(), words.begin(), words.end());
    fs::create_directories(folder_ / "here/a folder");
    std::ofstream(folder_ / "here/a file") << "x";
    return lines_of(output_of(command, 0));
  }
  using Words = std::set<std::string>;
};

TEST_F(CompletionTest, BashCompletesCommands) {
  EXPECT_EQ(bash({"zwinger", "le"}), Words({"ledger"}));
  EXPECT_EQ(bash({"zwinger", "token", ""}), Words({"keygen", "mint", "show", "--help"}));
  EXPECT_EQ(bash({"zwinger", "token", "k"}), Words({"keygen"}));
  const Words all = bash({"zwinger", ""});
  for (const DescribedCommand& each : describe_commands())
    EXPECT_TRUE(all.contains(words_of(each.command.name)[0])) << each.command.name;
  EXPECT_TRUE(bash({"zwinger", "nothing-like-it"}).empty());
}

TEST_F(CompletionTest, BashCompletesTheOptionsOfEveryCommand) {
  EXPECT_EQ(bash({"zwinger", "check", "--"}), Words({"--help", "--policy", "--json"}));
  for (const DescribedCommand& each : describe_commands()) {
    std::vector<std::string> words = {"zwinger"};
    for (std::string& word : words_of(each.command.name)) words.push_back(std::move(word));
    words.emplace_back("--");
    Words expected = {"--help"};
    for (const Option& option : each.options) {
      if (option.kind != Option::Kind::rest && !option.is_positional())
        expected.insert(option.name);
    }
    EXPECT_EQ(bash(words), expected) << each.command.name;
  }
}

TEST_F(CompletionTest, BashCompletesValues) {
  EXPECT_EQ(bash({"zwinger", "replay", "--approvals", ""}), Words({"none", "all"}));
  EXPECT_EQ(bash({"zwinger", "completion", "z"}), Words({"zsh"}));
  EXPECT_EQ(bash({"zwinger", "check", "--policy", ""}), Words({"a folder"}));
  EXPECT_EQ(bash({"zwinger", "check", ""}), Words({"a folder"}));
  EXPECT_EQ(bash({"zwinger", "token", "mint", "--grant", "a"}), Words({"a folder", "a file"}));
  EXPECT_TRUE(bash({"zwinger", "token", "mint", "--subject", ""}).empty());
  // bash takes "--approvals=n" apart.
  EXPECT_EQ(bash({"zwinger", "replay", "--approvals", "=", "n"}), Words({"none"}));
  EXPECT_EQ(bash({"zwinger", "replay", "--approvals", "="}), Words({"none", "all"}));
}

TEST_F(CompletionTest, BashLeavesAnotherProgramsWordsAlone) {
  EXPECT_EQ(bash({"zwinger", "wrap", "--", "cat", "a"}), Words({"a folder", "a file"}));
  EXPECT_TRUE(bash({"zwinger", "wrap", "--", "ba"}).contains("bash"));
}

TEST_F(CompletionTest, ZshAndFishHoldEveryCommandAndOption) {
  const std::string zsh = run({"completion", "zsh"}).out;
  const std::string fish = run({"completion", "fish"}).out;
  EXPECT_TRUE(zsh.starts_with("#compdef zwinger\n"));
  const std::set<std::string> fish_lines = lines_of(fish);
  for (const DescribedCommand& each : describe_commands()) {
    const std::vector<std::string> words = words_of(each.command.name);
    EXPECT_TRUE(zsh.contains("'" + words.back() + ":")) << each.command.name;
    EXPECT_TRUE(zsh.contains("\n  " + words.front() + ")\n")) << each.command.name;
    EXPECT_TRUE(fish.contains(" -a " + words.back() + " -d '")) << each.command.name;
    const std::string condition = words.size() == 1
                                      ? fmt::format("'__fish_seen_subcommand_from {}'", words[0])
                                      : fmt::format(
                                            "'__fish_seen_subcommand_from {}; and "
                                            "__fish_seen_subcommand_from {}'",
                                            words[0], words[1]);
    for (const Option& option : each.options) {
      if (option.kind == Option::Kind::rest || option.is_positional()) continue;
      const bool flag = option.kind == Option::Kind::flag;
      EXPECT_TRUE(zsh.contains(option.name + (flag ? "[" : "=["))) << option.name;
      EXPECT_TRUE(fish.contains(
          fmt::format("complete -c zwinger -n {} -l {} ", condition, option.name.substr(2))))
          << each.command.name << option.name;
    }
  }
}

// Brackets and quotes pair up, and no text of ours ends a quotation.
TEST_F(CompletionTest, ZshAndFishAreQuotedWell) {
  for (const char* shell : {"zsh", "fish"}) {
    const std::string text = run({"completion", shell}).out;
    const bool is_fish = std::string_view(shell) == "fish";
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\n' && text.compare(i + 1, 1, "#") == 0) {
        i = text.find('\n', i + 1) - 1;  // a comment
      } else if (text[i] == '\\' && (is_fish || !quoted)) {
        ++i;  // in zsh a quotation knows no escapes
      } else if (text[i] == '\'') {
        quoted = !quoted;
      } else if (text[i] == '\n') {
        EXPECT_FALSE(quoted) << shell << ": " << text.substr(0, i);
        if (quoted) return;
      }
    }
    EXPECT_FALSE(quoted) << shell;
    EXPECT_EQ(std::ranges::count(text, '{'), std::ranges::count(text, '}')) << shell;
  }
  const std::string fish = run({"completion", "fish"}).out;
  for (const std::string& line : lines_of(fish))
    EXPECT_TRUE(line.starts_with('#') || line.starts_with("complete -c zwinger ")) << line;
}

TEST_F(CompletionTest, NeedsAShellThatItKnows) {
  EXPECT_EQ(run({"completion"}).code, kUsage);
  EXPECT_EQ(run({"completion", "tcsh"}).code, kUsage);
}

}  // namespace
}  // namespace zwinger::cmd
