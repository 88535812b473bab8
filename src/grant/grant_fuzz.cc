// Bytes -> {"atr": ..., "arguments": ...}: compiles the grant and judges a call by it. Whatever the
// bytes are, a call that passes is to a tool that lists show, of an upstream that may be reached,
// refusals cannot be undone, and roles
// only narrow.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "grant/grant.h"
#include "json/json.h"
#include "json/writer.h"

namespace {

using zwinger::grant::Grant;
using zwinger::grant::RoleTable;
using zwinger::grant::ToolRef;
using zwinger::json::Document;
using zwinger::json::Value;

void require(bool holds) {
  if (!holds) std::abort();
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

void judge(const Grant& grant, Value atr, std::optional<Value> arguments) {
  const RoleTable no_roles{zwinger::grant::RolesDoNotRestrict{}};
  const RoleTable empty_role{{{grant.role(), zwinger::grant::Role{}}}};
  for (const char* vertical : {"shared", "lending"}) {
    const ToolRef tool{.upstream = "bank", .tool = "send_money", .vertical = vertical};
    const auto decision = grant.evaluate_call(no_roles, tool, arguments);
    if (grant.evaluate_tool(no_roles, tool).allowed()) {
      require(grant.evaluate_upstream(no_roles, tool.upstream, vertical).allowed());
    }
    if (decision.verdict.allowed()) {
      require(grant.evaluate_tool(no_roles, tool).allowed());
    } else {
      require(decision.counters.empty());
    }
    require(!grant.evaluate_upstream(empty_role, tool.upstream, vertical).allowed());
    require(!grant.evaluate_call(empty_role, tool, arguments).verdict.allowed());

    const auto document = Document::parse(with_all_out_of_scope(atr));
    require(document.has_value());
    const auto refusing = Grant::compile(document->root());
    require(refusing.has_value());
    require(!refusing->evaluate_call(no_roles, tool, arguments).verdict.allowed());
    require(!refusing->evaluate_tool(no_roles, tool).allowed());
  }
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto document = Document::parse(std::string(reinterpret_cast<const char*>(data), size));
  if (!document) return 0;
  const auto atr = document->root().find("atr");
  if (!atr) return 0;
  const auto grant = Grant::compile(*atr);
  if (grant) judge(*grant, *atr, document->root().find("arguments"));
  return 0;
}
