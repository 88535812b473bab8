// Why a grant allows or denies: the rules of grant.h asked one by one, for people. What counts is
// grant.h; tests hold the two together.
//
// Pure. An Explainer is immutable once made and may be read from any thread; the roles and the JSON
// that it was made from must outlive it.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/verdict.h"
#include "grant/grant.h"
#include "json/json.h"

namespace zwinger::grant {

// What one rule said.
struct Rule {
  std::string whose;   // the grant that was asked: "atr", "act/atr", ...
  std::string member;  // what of it spoke: "toolsInScope", "role.toolsInScope", ...
  std::string text;    // what it looked at and found; holds words of the grant, no argument's value
  Verdict verdict;
  bool is_part = false;  // tells more of the rule before it, and decides nothing by itself
};

// The first denial among rules that decide; an allowing verdict where there is none.
[[nodiscard]] Verdict conclusion(std::span<const Rule> rules);

// One grant of a chain and where it stands.
struct Source {
  std::string where;
  json::Value atr;
};

class Explainer {
 public:
  // `chain`: the token's own grant first, then who delegated it, as in Grant::delegated_by(). All
  // rules are asked, also behind one that denies. Errors: as Grant::compile(); internal for an
  // empty chain.
  [[nodiscard]] static Result<Explainer> compile(const RoleTable& roles,
                                                 std::span<const Source> chain);
  Explainer(Explainer&&) noexcept;
  Explainer& operator=(Explainer&&) noexcept;
  Explainer(const Explainer&) = delete;
  Explainer& operator=(const Explainer&) = delete;
  ~Explainer();

  // The conclusion of each is what Grant's function of the name gives: decision, reason and `at`.
  [[nodiscard]] std::vector<Rule> evaluate_scope(Scope scope) const;
  [[nodiscard]] std::vector<Rule> evaluate_tool(const ToolRef& tool) const;
  [[nodiscard]] std::vector<Rule> evaluate_resource(const ResourceRef& resource) const;
  [[nodiscard]] std::vector<Rule> evaluate_prompt(const PromptRef& prompt) const;
  [[nodiscard]] std::vector<Rule> evaluate_upstream(std::string_view upstream,
                                                    std::string_view vertical) const;
  [[nodiscard]] std::vector<Rule> evaluate_call(const ToolRef& tool,
                                                std::optional<json::Value> arguments) const;

 private:
  struct Link;
  struct Chain;
  class Telling;
  explicit Explainer(std::unique_ptr<const Chain> chain);
  std::unique_ptr<const Chain> chain_;
};

}  // namespace zwinger::grant
