// Names that ClawQL's grants use and ours do not. Private to src/grant; docs/reference/grant.md has
// the table. What is not listed here is not mapped. Pure functions; any thread.
//
// ClawQL has one MCP server and writes its tools without an upstream. Where such a name permits, it
// means that server only, which has to be the upstream `clawql` in our configuration; where it
// refuses, it means any upstream. Both spellings of execute are one tool.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/glob.h"

namespace zwinger::grant::clawql {

// The identities that a bare tool name permits or refuses; empty where ClawQL has no such tool.
[[nodiscard]] std::vector<text::Glob> permitted_tools(std::string_view name);
[[nodiscard]] std::vector<text::Glob> refused_tools(std::string_view name);
// The identities that a word of its `scope` permits to list and to call; empty where it has no such
// word.
[[nodiscard]] std::vector<text::Glob> tools_of_scope(std::string_view word);

}  // namespace zwinger::grant::clawql
