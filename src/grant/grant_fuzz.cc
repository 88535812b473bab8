// Bytes -> {"atr": ..., "parent": ..., "arguments": ..., "uri": ..., "prompt": ...}: compiles the
// grants and judges a call, a resource and a prompt by them. Whatever the bytes are, a call that
// passes is to a tool that lists show, what passes is of an upstream that may be reached, a
// resource that passes has a URI that climbs nowhere, refusals cannot be undone, roles only narrow,
// and a delegated grant allows exactly what both grants do.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "grant/grant.h"
#include "json/json.h"
#include "json/writer.h"

namespace {

using zwinger::grant::Grant;
using zwinger::grant::PromptRef;
using zwinger::grant::ResourceRef;
using zwinger::grant::RoleTable;
using zwinger::grant::Scope;
using zwinger::grant::ToolRef;
using zwinger::json::Document;
using zwinger::json::Value;

void require(bool holds) {
  if (!holds) std::abort();
}

// What is asked of a grant, but for the vertical.
struct Questions {
  std::optional<Value> arguments;
  std::string_view uri = "bank://statements/1";
  std::string_view prompt = "report";

  static Questions read(Value root) {
    Questions out{.arguments = root.find("arguments")};
    if (const auto uri = root.find("uri"); uri && uri->is_string()) out.uri = uri->string();
    if (const auto name = root.find("prompt"); name && name->is_string()) {
      out.prompt = name->string();
    }
    return out;
  }
};

constexpr std::string_view kUpstream = "bank";

struct Answers {
  bool call, tool, resource, prompt, upstream, list;

  static Answers of(const Grant& grant, const RoleTable& roles, const Questions& questions,
                    std::string_view vertical) {
    const ToolRef tool{.upstream = kUpstream, .tool = "send_money", .vertical = vertical};
    const ResourceRef resource{.upstream = kUpstream, .uri = questions.uri, .vertical = vertical};
    const PromptRef prompt{.upstream = kUpstream, .name = questions.prompt, .vertical = vertical};
    const auto decision = grant.evaluate_call(roles, tool, questions.arguments);
    require(decision.verdict.allowed() || decision.counters.empty());
    return {.call = decision.verdict.allowed(),
            .tool = grant.evaluate_tool(roles, tool).allowed(),
            .resource = grant.evaluate_resource(roles, resource).allowed(),
            .prompt = grant.evaluate_prompt(roles, prompt).allowed(),
            .upstream = grant.evaluate_upstream(roles, kUpstream, vertical).allowed(),
            .list = grant.evaluate_scope(roles, Scope::tools_list).allowed()};
  }
  friend bool operator==(const Answers&, const Answers&) = default;
};

Answers both(const Answers& one, const Answers& other) {
  return {.call = one.call && other.call,
          .tool = one.tool && other.tool,
          .resource = one.resource && other.resource,
          .prompt = one.prompt && other.prompt,
          .upstream = one.upstream && other.upstream,
          .list = one.list && other.list};
}

// The claim with every tool taken out of scope.
std::string with_all_out_of_scope(Value atr) {
  zwinger::json::Writer writer;
  writer.begin_object();
  for (const Value member : atr.children()) {
    if (member.name() != "toolsOutOfScope") writer.key(member.name()).value(member);
  }
  writer.key("toolsOutOfScope").raw(R"(["*/*"])").end_object();
  return std::move(writer).take();
}

void check_uri(std::string_view uri) {
  require(uri.contains(':') && !uri.contains("/../") && !uri.ends_with("/.."));
  require(std::ranges::none_of(
      uri, [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == '\\' || c == 0x7F; }));
  for (const std::string_view odd : {"%2f", "%2F", "%5c", "%5C", "%00", "/%2e%2e/", "/%2E%2E/"}) {
    require(!uri.contains(odd));
  }
}

void judge(const Grant& grant, Value atr, const Questions& questions) {
  const RoleTable no_roles{zwinger::grant::RolesDoNotRestrict{}};
  const RoleTable empty_role{{{grant.role(), zwinger::grant::Role{}}}};
  const auto refusing_atr = Document::parse(with_all_out_of_scope(atr));
  require(refusing_atr.has_value());
  const auto refusing = Grant::compile(refusing_atr->root());
  require(refusing.has_value());
  for (const char* vertical : {"shared", "lending"}) {
    const Answers answers = Answers::of(grant, no_roles, questions, vertical);
    require(!answers.call || answers.tool);
    require(answers.upstream || (!answers.tool && !answers.resource && !answers.prompt));
    if (answers.resource) check_uri(questions.uri);
    require(Answers::of(grant, empty_role, questions, vertical) == Answers());
    const Answers refused = Answers::of(*refusing, no_roles, questions, vertical);
    require(!refused.call && !refused.tool && refused.resource == answers.resource);
  }
}

void delegate(Grant child, Grant parent, const Questions& questions) {
  const RoleTable no_roles{zwinger::grant::RolesDoNotRestrict{}};
  const Answers wanted = both(Answers::of(child, no_roles, questions, "lending"),
                              Answers::of(parent, no_roles, questions, "lending"));
  const bool one_tenant = child.tenant() == parent.tenant();
  const auto limits = std::pair(child.session_ttl(), parent.session_ttl());
  const auto chain =
      std::move(child).delegated_by(std::make_shared<const Grant>(std::move(parent)));
  require(chain.has_value() == one_tenant);
  if (!chain) return;
  require(Answers::of(*chain, no_roles, questions, "lending") == wanted);
  for (const auto& limit : {limits.first, limits.second}) {
    require(!limit || (chain->session_ttl() && *chain->session_ttl() <= *limit));
  }
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto document = Document::parse(std::string(reinterpret_cast<const char*>(data), size));
  if (!document) return 0;
  const auto atr = document->root().find("atr");
  if (!atr) return 0;
  auto grant = Grant::compile(*atr);
  if (!grant) return 0;
  const Questions questions = Questions::read(document->root());
  judge(*grant, *atr, questions);
  const auto parent_atr = document->root().find("parent");
  if (!parent_atr) return 0;
  auto parent = Grant::compile(*parent_atr);
  if (parent) delegate(*std::move(grant), *std::move(parent), questions);
  return 0;
}
