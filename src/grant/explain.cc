#include "grant/explain.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "grant/claims.h"
#include "grant/uri.h"
#include "json/writer.h"
#include "text/unicode.h"

namespace zwinger::grant {

namespace {

constexpr std::size_t kMostShown = 6;  // globs or words of one list

bool holds(const std::vector<std::string>& words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

std::string shown(const std::vector<std::string>& words) {
  const std::size_t count = std::min(words.size(), kMostShown);
  const std::vector<std::string> first(words.begin(),
                                       words.begin() + static_cast<std::ptrdiff_t>(count));
  return fmt::format("{}{}", fmt::join(first, ", "),
                     count < words.size() ? fmt::format(" and {} more", words.size() - count) : "");
}

// The patterns of those globs for which `matches` says yes, or of all where none does.
struct Matched {
  bool any = false;
  std::string text;
};
template <class Glob, class Matches>
Matched match(const std::vector<Glob>& globs, std::string_view what, const Matches& matches) {
  std::vector<std::string> hits;
  std::vector<std::string> all;
  for (const Glob& glob : globs) {
    all.push_back(glob.pattern());
    if (matches(glob)) hits.push_back(glob.pattern());
  }
  if (!hits.empty()) return {.any = true, .text = fmt::format("{} matches {}", shown(hits), what)};
  if (all.empty()) return {.any = false, .text = "nothing is listed"};
  return {.any = false, .text = fmt::format("none matches {}: {}", what, shown(all))};
}

// JSON text without its line breaks, which stand between tokens only.
std::string one_line(std::string_view json) {
  std::string out;
  bool broke = false;
  for (const char c : json) {
    broke = broke || c == '\n' || c == '\r';
    if (broke && (c == '\n' || c == '\r' || c == ' ' || c == '\t')) continue;
    if (broke) out += ' ';
    broke = false;
    out += c;
  }
  return out;
}

// A matcher of one condition, as the grant's reader takes it.
Result<json::Document> matcher_of_one(json::Value matcher, json::Value condition) {
  json::Writer out;
  out.begin_object().key(matcher.name()).begin_object();
  out.key(condition.name()).value(condition);
  if (const auto optional = matcher.find("optional")) out.key("optional").value(*optional);
  out.end_object().end_object();
  return json::Document::parse(std::move(out).take());
}

Verdict judge_condition(json::Value matcher, json::Value condition,
                        std::optional<json::Value> arguments) {
  const auto one = matcher_of_one(matcher, condition);
  if (!one) return Verdict::deny(one.error());
  const auto constraints = ArgumentConstraints::compile(one->root(), false, "");
  return constraints ? constraints->evaluate(arguments) : Verdict::deny(constraints.error());
}

}  // namespace

Verdict conclusion(std::span<const Rule> rules) {
  for (const Rule& rule : rules) {
    if (!rule.is_part && !rule.verdict.allowed()) return rule.verdict;
  }
  return Verdict::allow();
}

struct Explainer::Link {
  Source source;
  Claims claims;
};

struct Explainer::Chain {
  const RoleTable* roles;
  std::vector<Link> links;
};

// The rules of one grant of the chain, in the order in which grant.cc asks them.
class Explainer::Telling {
 public:
  Telling(const RoleTable& roles, const Link& link, std::string at, std::vector<Rule>& out)
      : roles_(roles), link_(link), claims_(link.claims), at_(std::move(at)), out_(out) {
    role_ = roles.unrestricted() || claims_.role.empty() ? nullptr : roles.find(claims_.role);
  }

  void tell_role() {
    if (roles_.unrestricted()) {
      allow("role", "roles do not restrict here");
    } else if (role_ != nullptr) {
      allow("role", fmt::format("the policy defines '{}'", claims_.role));
    } else if (claims_.role.empty()) {
      deny("role", "the grant names none", Code::role_unknown);
    } else {
      deny("role", fmt::format("the policy defines no '{}'", claims_.role), Code::role_unknown);
    }
  }

  void tell_scope(Scope scope) {
    tell_scope_of("scope", claims_.scope.methods, scope);
    if (role_ != nullptr) tell_scope_of("role.scope", role_->scope, scope);
  }

  void tell_tool(const ToolRef& tool) {
    const std::string identity = fmt::format("{}/{}", tool.upstream, tool.tool);
    const auto matches = [&identity](const text::Glob& glob) { return glob.matches(identity); };
    const auto refuse = [&](std::string_view member, const std::vector<text::Glob>& globs) {
      const Matched matched = match(globs, identity, matches);
      settle(member, matched.text, !matched.any, Code::tool_out_of_scope);
    };
    const auto permit = [&](std::string_view member, const std::vector<text::Glob>& globs) {
      const Matched matched = match(globs, identity, matches);
      settle(member, matched.text, matched.any, Code::tool_not_in_scope);
    };
    refuse("toolsOutOfScope", claims_.tools_out_of_scope);
    if (role_ != nullptr) refuse("role.toolsOutOfScope", role_->tools_out_of_scope);
    const auto& named = claims_.scope.only_tools;
    if (named) permit("scope", *named);  // ClawQL's words
    if (claims_.tools_in_scope || !named) {
      permit("toolsInScope", claims_.tools_in_scope.value_or(std::vector<text::Glob>()));
    }
    if (role_ != nullptr) permit("role.toolsInScope", role_->tools_in_scope);
    tell_vertical(tool.vertical);
  }

  void tell_resource(const ResourceRef& resource) {
    const bool plain = is_plain_uri(resource.uri);
    settle("uri",
           plain ? "is absolute, and every reader takes it for the same one"
                 : "is not absolute, or could be read as another one",
           plain, Code::resource_not_in_scope);
    const std::string identity = fmt::format("{}/{}", resource.upstream, resource.uri);
    const auto permit = [&](std::string_view member, const std::vector<ResourceGlob>& globs) {
      const Matched matched = match(globs, plain ? std::string_view(identity) : "the URI",
                                    [&](const ResourceGlob& glob) {
                                      return plain && glob.matches(resource.upstream, resource.uri);
                                    });
      settle(member, matched.text, matched.any, Code::resource_not_in_scope);
    };
    permit("resourcesInScope", claims_.resources_in_scope);
    if (role_ != nullptr) permit("role.resourcesInScope", role_->resources_in_scope);
    tell_vertical(resource.vertical);
  }

  void tell_prompt(const PromptRef& prompt) {
    const std::string identity = fmt::format("{}/{}", prompt.upstream, prompt.name);
    const auto permit = [&](std::string_view member, const std::vector<text::Glob>& globs) {
      const Matched matched =
          match(globs, identity, [&](const text::Glob& glob) { return glob.matches(identity); });
      settle(member, matched.text, matched.any, Code::prompt_not_in_scope);
    };
    permit("promptsInScope", claims_.prompts_in_scope);
    if (role_ != nullptr) permit("role.promptsInScope", role_->prompts_in_scope);
    tell_vertical(prompt.vertical);
  }

  void tell_upstream(std::string_view upstream, std::string_view vertical) {
    std::vector<std::string> kinds;
    const auto may = [upstream](const std::vector<text::Glob>& globs) {
      return std::ranges::any_of(globs, [upstream](const text::Glob& glob) {
        return glob.first_segment_matches(upstream);
      });
    };
    const auto may_resource = [upstream](const std::vector<ResourceGlob>& globs) {
      return std::ranges::any_of(
          globs, [upstream](const ResourceGlob& glob) { return glob.may_match(upstream); });
    };
    const auto& named = claims_.scope.only_tools;
    const auto& listed = claims_.tools_in_scope;
    if ((named || listed) && (!named || may(*named)) && (!listed || may(*listed)) &&
        (role_ == nullptr || may(role_->tools_in_scope))) {
      kinds.emplace_back("tools");
    }
    if (may_resource(claims_.resources_in_scope) &&
        (role_ == nullptr || may_resource(role_->resources_in_scope))) {
      kinds.emplace_back("resources");
    }
    if (may(claims_.prompts_in_scope) && (role_ == nullptr || may(role_->prompts_in_scope))) {
      kinds.emplace_back("prompts");
    }
    settle("upstream",
           kinds.empty()
               ? fmt::format("no glob of grant and role speaks of {}", upstream)
               : fmt::format("some {} of {} may be in scope", fmt::join(kinds, ", "), upstream),
           !kinds.empty(), Code::tool_not_in_scope);
    tell_vertical(vertical);
  }

  void tell_constraints(const ToolRef& tool, std::optional<json::Value> arguments) {
    const std::string identity = fmt::format("{}/{}", tool.upstream, tool.tool);
    const auto written = link_.source.atr.find("toolConstraints");
    bool any = false;
    std::size_t index = 0;
    for (const ConstraintEntry& entry : claims_.constraints) {
      const std::size_t at = index++;
      if (!entry.tools.matches(identity)) continue;
      any = true;
      auto range = written->children();
      tell_entry(entry, *std::next(range.begin(), static_cast<std::ptrdiff_t>(at)), arguments);
    }
    if (!any) {
      allow("toolConstraints", claims_.constraints.empty()
                                   ? std::string("nothing is listed")
                                   : fmt::format("no entry is for {}", identity));
    }
  }

 private:
  void add(std::string_view member, std::string text, Verdict verdict, bool is_part = false) {
    out_.push_back({.whose = link_.source.where,
                    .member = std::string(member),
                    .text = std::move(text),
                    .verdict = std::move(verdict),
                    .is_part = is_part});
  }
  void allow(std::string_view member, std::string text) {
    add(member, std::move(text), Verdict::allow());
  }
  void deny(std::string_view member, std::string text, Code reason) {
    add(member, std::move(text), Verdict::deny(reason, at_));
  }
  void settle(std::string_view member, std::string text, bool passed, Code reason) {
    add(member, std::move(text), passed ? Verdict::allow() : Verdict::deny(reason, at_));
  }

  void tell_scope_of(std::string_view member, const std::vector<Scope>& scopes, Scope wanted) {
    const bool has = std::ranges::find(scopes, wanted) != scopes.end();
    settle(member, fmt::format("{} {}", has ? "has" : "lacks", to_string(wanted)), has,
           Code::scope_missing);
  }

  void tell_vertical(std::string_view vertical) {
    if (vertical == kSharedVertical) {
      allow("verticals", "the upstream is shared: any grant may reach it");
      return;
    }
    const auto tell = [&](std::string_view member, const std::vector<std::string>& listed) {
      const bool has = holds(listed, vertical);
      settle(member,
             has              ? fmt::format("lists {}", vertical)
             : listed.empty() ? fmt::format("lists nothing, so not {}", vertical)
                              : fmt::format("lists {}, not {}", shown(listed), vertical),
             has, Code::vertical_denied);
    };
    tell("verticals", claims_.verticals);
    if (role_ != nullptr) tell("role.verticals", role_->verticals);
    if (claims_.verticals.empty() || vertical == claims_.verticals.front()) return;
    const bool has_purpose = !text::is_blank(claims_.cross_vertical_purpose);
    settle(
        "crossVertical",
        fmt::format("{} is not the home vertical {}: {}, {}", vertical, claims_.verticals.front(),
                    claims_.cross_vertical ? "crossVertical is true" : "crossVertical is not set",
                    has_purpose ? "with a purpose" : "without a purpose"),
        claims_.cross_vertical && has_purpose, Code::vertical_elevation);
  }

  void tell_entry(const ConstraintEntry& entry, json::Value written,
                  std::optional<json::Value> arguments) {
    Verdict verdict = entry.arguments.evaluate(arguments);
    const Verdict whole = verdict;
    add("toolConstraints", fmt::format("entry {}", entry.tools.pattern()), std::move(verdict));
    if (const auto args = written.find("args"); args && args->is_object()) {
      for (const json::Value matcher : args->children()) tell_matcher(matcher, arguments);
    }
    const auto closed = written.find("closed");
    const bool spoke = whole.allowed() || whole.reason == Code::constraint_closed;
    if (closed && closed->is_bool() && closed->boolean() && spoke) {
      add("closed", whole.allowed() ? "every argument is listed" : "an argument is not listed",
          whole, true);
    }
  }

  void tell_matcher(json::Value matcher, std::optional<json::Value> arguments) {
    for (const std::string_view name : matcher_members()) {
      const auto condition = matcher.find(name);
      if (!condition || name == "optional") continue;
      const auto optional = matcher.find("optional");
      const bool may_lack = optional && optional->is_bool() && optional->boolean();
      add(matcher.name(),
          fmt::format("{} {}{}", name, one_line(condition->source()), may_lack ? ", optional" : ""),
          judge_condition(matcher, *condition, arguments), true);
    }
  }

  const RoleTable& roles_;
  const Link& link_;
  const Claims& claims_;
  const Role* role_ = nullptr;  // null: does not restrict, or is unknown, which tell_role() denies
  std::string at_;              // of denials
  std::vector<Rule>& out_;
};

Explainer::Explainer(std::unique_ptr<const Chain> chain) : chain_(std::move(chain)) {}
Explainer::Explainer(Explainer&&) noexcept = default;
Explainer& Explainer::operator=(Explainer&&) noexcept = default;
Explainer::~Explainer() = default;

Result<Explainer> Explainer::compile(const RoleTable& roles, std::span<const Source> chain) {
  if (chain.empty()) return fail(Code::internal, "there is no grant to explain");
  auto out = std::make_unique<Chain>(Chain{.roles = &roles, .links = {}});
  for (const Source& source : chain) {
    ZWINGER_TRY(Claims claims, read_atr(source.atr));
    out->links.push_back({.source = source, .claims = std::move(claims)});
  }
  return Explainer(std::move(out));
}

std::vector<Rule> Explainer::evaluate_scope(Scope scope) const {
  std::vector<Rule> out;
  for (const Link& link : chain_->links) {
    Telling telling(*chain_->roles, link, "", out);
    telling.tell_role();
    telling.tell_scope(scope);
  }
  return out;
}

std::vector<Rule> Explainer::evaluate_tool(const ToolRef& tool) const {
  std::vector<Rule> out;
  for (const Link& link : chain_->links) {
    Telling telling(*chain_->roles, link, fmt::format("{}/{}", tool.upstream, tool.tool), out);
    telling.tell_role();
    telling.tell_tool(tool);
  }
  return out;
}

std::vector<Rule> Explainer::evaluate_resource(const ResourceRef& resource) const {
  std::vector<Rule> out;
  const std::string at = is_plain_uri(resource.uri)
                             ? fmt::format("{}/{}", resource.upstream, resource.uri)
                             : std::string(resource.upstream);
  for (const Link& link : chain_->links) {
    Telling telling(*chain_->roles, link, at, out);
    telling.tell_role();
    telling.tell_resource(resource);
  }
  return out;
}

std::vector<Rule> Explainer::evaluate_prompt(const PromptRef& prompt) const {
  std::vector<Rule> out;
  for (const Link& link : chain_->links) {
    Telling telling(*chain_->roles, link, fmt::format("{}/{}", prompt.upstream, prompt.name), out);
    telling.tell_role();
    telling.tell_prompt(prompt);
  }
  return out;
}

std::vector<Rule> Explainer::evaluate_upstream(std::string_view upstream,
                                               std::string_view vertical) const {
  std::vector<Rule> out;
  for (const Link& link : chain_->links) {
    Telling telling(*chain_->roles, link, std::string(upstream), out);
    telling.tell_role();
    telling.tell_upstream(upstream, vertical);
  }
  return out;
}

std::vector<Rule> Explainer::evaluate_call(const ToolRef& tool,
                                           std::optional<json::Value> arguments) const {
  std::vector<Rule> out;
  for (const Link& link : chain_->links) {
    Telling telling(*chain_->roles, link, fmt::format("{}/{}", tool.upstream, tool.tool), out);
    telling.tell_role();
    telling.tell_scope(Scope::tools_call);
    telling.tell_tool(tool);
    telling.tell_constraints(tool, arguments);
  }
  return out;
}

}  // namespace zwinger::grant
