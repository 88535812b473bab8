// The canonical form of a JSON value, RFC 8785 (JCS): no white space, members sorted by the UTF-16
// code units of their names, strings with the fewest escapes, numbers as ECMAScript writes the
// double they stand for. Two values with one canonical form are one value to every reader that
// takes numbers for doubles; what is signed, or hashed to be compared later, is this form. Pure
// functions; any thread.
//
// Numbers lose here what a double cannot hold: 9007199254740993 and 9007199254740992 have one form.
// Decisions compare numbers exactly (json/decimal.h) and never by this form.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "json/json.h"

namespace zwinger::json {

// Errors: json_number_range with where = "byte N" (of the value's document) for a number beyond the
// range of a double, such as 1e400. What is too small for one is 0, as in ECMAScript.
[[nodiscard]] Result<std::string> canonical(const Value& value);
// The same behind what `out` holds already. On an error `out` holds a part of it.
[[nodiscard]] Result<void> append_canonical(std::string& out, const Value& value);

// A double as ECMAScript's Number.prototype.toString writes it (RFC 8785 section 3.2.2.3): the
// shortest digits that lead back to it. Nothing for NaN and the infinities.
[[nodiscard]] std::optional<std::string> canonical_number(double number);

}  // namespace zwinger::json
