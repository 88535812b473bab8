// `zwinger codes`, and the hidden `zwinger reference`, which prints the files of docs/reference/
// that are made from tables in the program.
#include <fmt/format.h>

#include <array>
#include <ostream>

#include "cmd/command.h"
#include "cmd/pretty.h"
#include "gateway/meters.h"
#include "json/json.h"
#include "json/writer.h"

namespace zwinger::cmd {

namespace {

constexpr std::array kCodes = {
#define ZWINGER_CODE(name, group, retryable, text) Code::name,
#include "base/codes.def"
#undef ZWINGER_CODE
};

std::string codes_markdown() {
  std::string out =
      "# Codes\n\n"
      "Made by `zwinger codes --markdown` from `src/base/codes.def`; do not edit.\n\n"
      "Every denial, error and record names one of these. They are stable: a code keeps its "
      "meaning. Retryable\n"
      "means that the same request may succeed later without anybody changing anything.\n";
  std::string_view group;
  for (const Code code : kCodes) {
    const CodeInfo& each = info(code);
    if (each.group != group) {
      group = each.group;
      out += fmt::format("\n## {}\n\n| code | retryable | meaning |\n|---|---|---|\n", group);
    }
    out += fmt::format("| `{}` | {} | {} |\n", each.name, each.retryable ? "yes" : "no", each.text);
  }
  return out;
}

std::string codes_json() {
  json::Writer out;
  out.begin_array();
  for (const Code code : kCodes) {
    const CodeInfo& each = info(code);
    out.begin_object();
    out.key("code").string(each.name);
    out.key("group").string(each.group);
    out.key("retryable").boolean(each.retryable);
    out.key("text").string(each.text);
    out.end_object();
  }
  return std::move(out.end_array()).take() + "\n";
}

std::string codes_text() {
  std::string out;
  for (const Code code : kCodes) {
    const CodeInfo& each = info(code);
    out += fmt::format("{:<26} {:<8} {}\n", each.name, each.group, each.text);
  }
  return out;
}

int print_reference(const std::string& name, Context& context) {
  if (name == "codes.md") {
    context.out << codes_markdown();
  } else if (name == "policy.md") {
    context.out << gateway::policy_reference();
  } else if (name == "metrics.md") {
    context.out << gateway::metrics_reference();
  } else {
    const Result<json::Document> schema = json::Document::parse(gateway::policy_schema());
    if (!schema) return report(context, schema.error(), kUsage);
    context.out << pretty(schema->root()) << '\n';
  }
  return kOk;
}

}  // namespace

Command codes_command() {
  return {.name = "codes",
          .summary = "List every code that a denial or an error can carry",
          .example = "zwinger codes --json",
          .declare = [](Options& options) -> Run {
            struct Arguments {
              bool markdown = false;
              bool json = false;
            };
            auto arguments = std::make_shared<Arguments>();
            options.flag("--markdown", arguments->markdown, "As docs/reference/codes.md");
            options.flag("--json", arguments->json, "As a JSON array");
            return [arguments](Context& context) {
              if (arguments->markdown && arguments->json) {
                return usage_error(context, "choose one of --markdown and --json");
              }
              context.out << (arguments->markdown ? codes_markdown()
                              : arguments->json   ? codes_json()
                                                  : codes_text());
              return kOk;
            };
          }};
}

Command reference_command() {
  return {.name = "reference",
          .summary = "Print a file of docs/reference/ that is made from the program",
          .example = "zwinger reference policy.md > docs/reference/policy.md",
          .declare = [](Options& options) -> Run {
            auto name = std::make_shared<std::string>();
            options.choice("name", *name,
                           {"codes.md", "metrics.md", "policy.md", "policy.schema.json"},
                           "Which file");
            return [name](Context& context) {
              if (name->empty()) return usage_error(context, "name a file of docs/reference/");
              return print_reference(*name, context);
            };
          },
          .hidden = true};
}

}  // namespace zwinger::cmd
