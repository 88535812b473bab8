// Typed reads of a grant's members. Private to src/grant. Pure functions; any thread.
//
// `where` is the JSON pointer of the value; every error is grant_invalid there, or
// grant_unsupported for a member that is not known.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "json/json.h"

namespace zwinger::grant {

[[nodiscard]] Result<bool> read_bool(json::Value value, const std::string& where);
[[nodiscard]] Result<std::string> read_string(json::Value value, const std::string& where);
// An integer of at least `least`, written without fraction or exponent.
[[nodiscard]] Result<std::int64_t> read_integer(json::Value value, std::int64_t least,
                                                const std::string& where);
// Calls `each` with every element of an array of non-empty strings, and with the element's pointer.
[[nodiscard]] Result<void> for_each_string(
    json::Value array, const std::string& where,
    const std::function<Result<void>(std::string_view, const std::string&)>& each);
[[nodiscard]] Result<std::vector<std::string>> read_strings(json::Value array,
                                                            const std::string& where);

// The value is an object whose members are all among `known`: a restriction that this build does
// not know must never be ignored.
[[nodiscard]] Result<void> check_object(json::Value value, std::span<const std::string_view> known,
                                        const std::string& where);

}  // namespace zwinger::grant
