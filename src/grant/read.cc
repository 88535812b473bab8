#include "grant/read.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

#include "grant/pointer.h"

namespace zwinger::grant {

namespace {

std::unexpected<Error> wrong_type(std::string_view wanted, json::Value value,
                                  const std::string& where) {
  return fail(Code::grant_invalid,
              fmt::format("expected {}, found {}", wanted, json::to_string(value.kind())), where);
}

}  // namespace

Result<bool> read_bool(json::Value value, const std::string& where) {
  if (!value.is_bool()) return wrong_type("true or false", value, where);
  return value.boolean();
}

Result<std::string> read_string(json::Value value, const std::string& where) {
  if (!value.is_string()) return wrong_type("a string", value, where);
  return std::string(value.string());
}

Result<std::int64_t> read_integer(json::Value value, std::int64_t least, const std::string& where) {
  if (!value.is_number()) return wrong_type("an integer", value, where);
  const auto integer = value.integer();
  if (!integer || *integer < least) {
    return fail(
        Code::grant_invalid,
        fmt::format("expected an integer of at least {}, without fraction or exponent", least),
        where);
  }
  return *integer;
}

Result<void> for_each_string(
    json::Value array, const std::string& where,
    const std::function<Result<void>(std::string_view, const std::string&)>& each) {
  if (!array.is_array()) return wrong_type("an array of strings", array, where);
  std::size_t index = 0;
  for (const json::Value element : array.children()) {
    const std::string at = child_pointer(where, std::to_string(index++));
    ZWINGER_TRY(const std::string text, read_string(element, at));
    if (text.empty()) return fail(Code::grant_invalid, "an empty string names nothing", at);
    ZWINGER_CHECK_OK(each(text, at));
  }
  return {};
}

Result<std::vector<std::string>> read_strings(json::Value array, const std::string& where) {
  std::vector<std::string> out;
  ZWINGER_CHECK_OK(
      for_each_string(array, where, [&](std::string_view text, const std::string&) -> Result<void> {
        out.emplace_back(text);
        return {};
      }));
  return out;
}

Result<void> check_object(json::Value value, std::span<const std::string_view> known,
                          const std::string& where) {
  if (!value.is_object()) return wrong_type("an object", value, where);
  for (const json::Value member : value.children()) {
    if (std::ranges::find(known, member.name()) == known.end()) {
      return fail(Code::grant_unsupported,
                  "this build does not know the member and cannot check what it restricts",
                  child_pointer(where, member.name()));
    }
  }
  return {};
}

}  // namespace zwinger::grant
