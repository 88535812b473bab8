// Errors as values.
//
// Every function that can fail for a reason outside the program returns Result<T>. The reason is
// one of a closed list of codes (base/codes.def), whose names are stable: they appear in denials,
// in leaves and in messages, and docs/reference/codes.md has one line for each. Plain values,
// usable from any thread.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace zwinger {

enum class Code : std::uint16_t {
#define ZWINGER_CODE(name, group, retryable, text) name,
#include "base/codes.def"
#undef ZWINGER_CODE
};

// What one line of codes.def says.
struct CodeInfo {
  std::string_view name;   // the stable spelling, for example "tool_not_in_scope"
  std::string_view group;  // where it can come from: input, policy, token, grant, runtime, ledger
  bool retryable;  // whether the same request may succeed later without anybody changing anything
  std::string_view text;  // one sentence for humans
};

[[nodiscard]] const CodeInfo& info(Code code);
[[nodiscard]] inline std::string_view name(Code code) { return info(code).name; }

struct Error {
  Code code;
  std::string
      message;  // what is wrong and what to do next; never holds a secret or a tool's content
  std::string
      where;  // "file:line:column", "byte 17", or a field; empty where there is no such place

  // "code: message (where)", the form that goes to a terminal.
  [[nodiscard]] std::string to_string() const;
};

template <class T>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(Code code, std::string message,
                                                 std::string where = {}) {
  return std::unexpected(Error{code, std::move(message), std::move(where)});
}

}  // namespace zwinger

#define ZWINGER_CONCAT_(a, b) a##b
#define ZWINGER_CONCAT(a, b) ZWINGER_CONCAT_(a, b)
// ZWINGER_TRY(auto x, expression): declares x from a Result, or returns its error.
#define ZWINGER_TRY_(tmp, ret, decl, ...)                \
  auto tmp = (__VA_ARGS__);                              \
  if (!tmp) ret std::unexpected(std::move(tmp).error()); \
  decl = *std::move(tmp)
#define ZWINGER_TRY(decl, ...) \
  ZWINGER_TRY_(ZWINGER_CONCAT(try_, __LINE__), return, decl, __VA_ARGS__)
// The same inside a coroutine.
#define ZWINGER_CO_TRY(decl, ...) \
  ZWINGER_TRY_(ZWINGER_CONCAT(try_, __LINE__), co_return, decl, __VA_ARGS__)
// ZWINGER_CHECK_OK(expression): for Result<void>.
#define ZWINGER_CHECK_OK(...)                                  \
  do {                                                         \
    if (auto check_result = (__VA_ARGS__); !check_result)      \
      return std::unexpected(std::move(check_result).error()); \
  } while (false)
