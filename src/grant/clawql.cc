#include "grant/clawql.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

namespace zwinger::grant::clawql {

namespace {

constexpr std::array<std::string_view, 2> kExecute = {"execute", "clawql_execute"};
constexpr std::array<std::string_view, 1> kSearch = {"search"};
constexpr std::array<std::string_view, 2> kMemory = {"memory_ingest", "memory_recall"};
constexpr std::array<std::string_view, 11> kOthers = {"sandbox_exec", "ingest_external_knowledge",
                                                      "audit",        "cache",
                                                      "notify",       "schedule",
                                                      "web_search",   "data_query",
                                                      "clawql_sql",   kMemory[0],
                                                      kMemory[1]};

std::vector<text::Glob> globs(std::string_view upstream, std::span<const std::string_view> names) {
  std::vector<text::Glob> out;
  for (const std::string_view name : names) {
    if (auto glob = text::Glob::parse(fmt::format("{}/{}", upstream, name))) {
      out.push_back(*std::move(glob));
    }
  }
  return out;
}

// All spellings of one tool.
std::span<const std::string_view> spellings(std::string_view name) {
  if (std::ranges::find(kExecute, name) != kExecute.end()) return kExecute;
  if (name == kSearch.front()) return kSearch;
  const auto* found = std::ranges::find(kOthers, name);
  if (found == kOthers.end()) return {};
  return {found, 1};
}

}  // namespace

std::vector<text::Glob> permitted_tools(std::string_view name) {
  return globs("clawql", spellings(name));
}

std::vector<text::Glob> refused_tools(std::string_view name) { return globs("*", spellings(name)); }

std::vector<text::Glob> tools_of_scope(std::string_view word) {
  if (word == "execute") return globs("clawql", kExecute);
  if (word == "search") return globs("clawql", kSearch);
  if (word == "memory") return globs("clawql", kMemory);
  return {};
}

}  // namespace zwinger::grant::clawql
