// Argument constraints: JSON pointer -> matcher object. Part of grant; see grant.h for the rules'
// owner and docs/reference/grant.md for the rules in full.
//
// Members of a matcher: const, enum, prefix, pattern (RE2, whole value), min, max, host (set of
// hosts, for URLs after canonicalisation), under (absolute roots, lexical), len {min,max} in code
// points, optional. All must hold; they are checked in this order, and the first that fails is the
// reason. Types are never coerced. A non-empty array satisfies a matcher if every element does
// (recursively); an empty array or an object never does. In a pointer, `*` means every element of
// an array (none: missing) and every other segment names a member. A missing argument fails unless
// optional. "Missing" means: some object on the way lacks the member; a parent of another shape is
// constraint_shape, optional or not, or {"to": [...]} would evade an optional "/to/email". So is a
// member of an object on the way that a forgiving reader takes for the one named (equal by
// nfkc_casefold), and `__proto__`.
//
// Immutable once made; any thread.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/verdict.h"
#include "json/json.h"

namespace zwinger::grant {

class ArgumentConstraints {
 public:
  // `args` maps pointers to matchers (nothing: no pointer is constrained); `closed` refuses every
  // argument that no pointer lists; `where` is the JSON pointer of `args` for messages. Errors:
  // grant_invalid, and grant_unsupported for a matcher member that this build does not know.
  [[nodiscard]] static Result<ArgumentConstraints> compile(std::optional<json::Value> args,
                                                           bool closed, const std::string& where);
  ArgumentConstraints(ArgumentConstraints&&) noexcept;
  ArgumentConstraints& operator=(ArgumentConstraints&&) noexcept;
  ArgumentConstraints(const ArgumentConstraints&) = delete;
  ArgumentConstraints& operator=(const ArgumentConstraints&) = delete;
  ~ArgumentConstraints();

  // Nothing is judged as an empty object. A denial's `at` is the pointer of the first offending
  // value in source order of the constraints; what `closed` refuses comes last.
  [[nodiscard]] Verdict evaluate(std::optional<json::Value> arguments) const;

 private:
  struct Compiled;
  explicit ArgumentConstraints(std::unique_ptr<const Compiled> compiled);
  std::unique_ptr<const Compiled> compiled_;
};

// The names that compile() knows in a matcher and in its `len`, for the test that compares them
// with the JSON Schema.
[[nodiscard]] std::span<const std::string_view> matcher_members();
[[nodiscard]] std::span<const std::string_view> len_members();

}  // namespace zwinger::grant
