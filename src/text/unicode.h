// Unicode beyond its encoding: compatibility forms, case, visibility. utf8proc behind one header.
// All text is well-formed UTF-8. Pure functions, linear in the text; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace zwinger::text {

// NFKC_Casefold (Unicode 3.13, UAX 44): compatibility forms, case and default ignorable code points
// make no difference to it. Dotted and dotless i are i besides, as they are for readers that
// compare letter by letter in upper case. Two names with one result are one name to a forgiving
// reader.
[[nodiscard]] std::string nfkc_casefold(std::string_view text);
// nfkc_casefold(text) == folded; where `folded` is ASCII, it stops at the first difference and
// allocates nothing for ASCII.
[[nodiscard]] bool nfkc_casefolds_to(std::string_view text, std::string_view folded);

// Appends the code point's full compatibility decomposition (NFKD), in UTF-8. What NFKC turns into
// ASCII other than letters and `<=>`, this does too; it hides no ASCII by composing it with marks.
void append_nfkd(std::string& out, std::uint32_t code_point);

// Letters, numbers, punctuation and symbols, if they draw something: no marks (they need a base),
// separators, controls, format characters, fillers, private or unassigned code points.
[[nodiscard]] bool is_visible(std::uint32_t code_point);
// Whether nothing of the text is visible.
[[nodiscard]] bool is_blank(std::string_view text);

}  // namespace zwinger::text
