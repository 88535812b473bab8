// classify_text(): what a text looks like, without telling what it says.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "ledger/arguments.h"
#include "text/ascii.h"
#include "text/path.h"
#include "text/url.h"

namespace zwinger::ledger {

namespace {

// Longer texts are no path (PATH_MAX), URL or address that anybody wants to see constrained.
constexpr std::size_t kMaxNamed = 4096;
constexpr std::size_t kMaxWord = 64;
constexpr std::size_t kMinHex = 8;
constexpr std::size_t kMinBase64 = 24;

// Which characters a text is made of.
enum : unsigned {
  kDigits = 1U,
  kHexLower = 2U,
  kHexUpper = 4U,
  kLower = 8U,
  kUpper = 16U,
  kDots = 32U,
  kDashes = 64U,
  kUnderscores = 128U,
  kBase64Marks = 256U,  // + / =
  kRest = 512U,
};

constexpr std::array<std::uint16_t, 256> kCharacterKinds = [] {
  std::array<std::uint16_t, 256> kinds{};
  for (unsigned byte = 0; byte < kinds.size(); ++byte) {
    const char c = static_cast<char>(byte);
    unsigned kind = kRest;
    if (byte >= 0x80) {
      kind = kRest;
    } else if (text::is_digit(c)) {
      kind = kDigits;
    } else if (text::is_letter(c)) {
      const bool lower = c >= 'a';
      if (text::hex_value(c) >= 0) {
        kind = lower ? kHexLower : kHexUpper;
      } else {
        kind = lower ? kLower : kUpper;
      }
    } else if (c == '.') {
      kind = kDots;
    } else if (c == '-') {
      kind = kDashes;
    } else if (c == '_') {
      kind = kUnderscores;
    } else if (c == '+' || c == '/' || c == '=') {
      kind = kBase64Marks;
    }
    kinds.at(byte) = static_cast<std::uint16_t>(kind);
  }
  return kinds;
}();

unsigned kinds_of(std::string_view text) {
  unsigned kinds = 0;
  for (const char c : text) {
    kinds |= kCharacterKinds.at(static_cast<unsigned char>(c));
    if ((kinds & kRest) != 0) break;  // no class below looks further
  }
  return kinds;
}

bool only(unsigned kinds, unsigned allowed) { return (kinds & ~allowed) == 0; }

bool all_digits(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, text::is_digit);
}

// The folders that systems have in common, which say what a path is about and not whose it is.
std::string_view common_folder(std::string_view name) {
  static constexpr std::array<std::string_view, 24> kFolders = {
      "Applications", "Library", "System", "Users", "Volumes", "app",   "bin", "boot",
      "data",         "dev",     "etc",    "home",  "lib",     "media", "mnt", "opt",
      "proc",         "root",    "run",    "srv",   "sys",     "tmp",   "usr", "var"};
  const auto* found = std::ranges::find(kFolders, name);
  return found != kFolders.end() ? *found : std::string_view();
}

void classify_path(std::string_view text, ArgumentTrace& trace) {
  const auto path = text::canonical_path(text);
  if (!path) {
    trace.shape = "odd_path";
    return;
  }
  trace.shape = "path";
  if (*path == "/") return;
  const std::string_view names = std::string_view(*path).substr(1);
  trace.depth = static_cast<std::uint64_t>(std::ranges::count(names, '/')) + 1;
  trace.top = common_folder(names.substr(0, names.find('/')));
}

// "scheme:" at the beginning; 0 where there is none, otherwise the scheme's length.
std::size_t scheme_size(std::string_view text) {
  constexpr std::size_t kMaxScheme = 16;
  const std::size_t colon = text.substr(0, kMaxScheme + 1).find(':');
  if (colon == std::string_view::npos || colon == 0 || !text::is_letter(text.front())) return 0;
  const bool fits = std::ranges::all_of(text.substr(0, colon), [](char c) {
    return text::is_letter(c) || text::is_digit(c) || c == '+' || c == '-' || c == '.';
  });
  return fits ? colon : 0;
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), text::to_lower);
  return out;
}

// URIs of schemes that need no "//". Others would take "note: something" with them.
bool is_opaque_scheme(const std::string& scheme) {
  static constexpr std::array<std::string_view, 7> kSchemes = {
      "blob", "data", "file", "javascript", "mailto", "tel", "urn"};
  return std::ranges::find(kSchemes, scheme) != kSchemes.end();
}

bool classify_uri(std::string_view text, ArgumentTrace& trace) {
  const std::size_t scheme = scheme_size(text);
  if (scheme == 0) return false;
  if (!text.substr(scheme).starts_with("://") &&
      !is_opaque_scheme(lower_case(text.substr(0, scheme)))) {
    return false;
  }
  trace.shape = "uri";
  if (auto host = text::canonical_url_host(text)) {
    trace.shape = "url";
    trace.host = *std::move(host);
  }
  return true;
}

std::string_view number_shape(std::string_view text) {
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  if (all_digits(text)) return "integer";
  const std::size_t dot = text.find('.');
  if (dot != std::string_view::npos && all_digits(text.substr(0, dot)) &&
      all_digits(text.substr(dot + 1))) {
    return "decimal";
  }
  return {};
}

// `form` with 0 for a digit, x for a hex digit; every other character stands for itself.
bool has_form(std::string_view text, std::string_view form) {
  return std::ranges::equal(text, form, [](char c, char kind) {
    if (kind == '0') return text::is_digit(c);
    if (kind == 'x') return text::hex_value(c) >= 0;
    return c == kind;
  });
}

// A day as ISO 8601 writes it, alone or with a time behind it.
bool is_date(std::string_view text) {
  constexpr std::string_view kDay = "0000-00-00";
  if (!has_form(text.substr(0, kDay.size()), kDay)) return false;
  if (text.size() == kDay.size()) return true;
  const std::string_view time = text.substr(kDay.size());
  constexpr std::size_t kMaxTime = 30;
  return time.size() <= kMaxTime && (time.front() == 'T' || time.front() == ' ') &&
         std::ranges::all_of(time.substr(1), [](char c) {
           return text::is_digit(c) || std::string_view(":.+-Z ").contains(c);
         });
}

bool is_email(std::string_view text) {
  const std::size_t at = text.find('@');
  if (at == std::string_view::npos || at == 0 || at > 64) return false;
  const std::string_view domain = text.substr(at + 1);
  return domain.contains('.') && !domain.ends_with('.') &&
         std::ranges::all_of(text.substr(0, at),
                             [](char c) {
                               return text::is_letter(c) || text::is_digit(c) ||
                                      std::string_view(".!#$%&'*+/=?^_`{|}~-").contains(c);
                             }) &&
         text::canonical_host(domain).has_value();
}

// Classes that follow from which characters there are; "text" where none does.
std::string_view shape_by_characters(std::string_view text) {
  const unsigned kinds = kinds_of(text);
  if ((kinds & kRest) != 0) return "text";
  constexpr unsigned kHex = kDigits | kHexLower | kHexUpper;
  if (only(kinds, kHex) && (kinds & kDigits) != 0 && text.size() >= kMinHex) return "hex";
  constexpr unsigned kLetters = kHexLower | kHexUpper | kLower | kUpper;
  const bool mixed = (kinds & kDigits) != 0 && (kinds & (kHexLower | kLower)) != 0 &&
                     (kinds & (kHexUpper | kUpper)) != 0;
  if (mixed && text.size() >= kMinBase64 &&
      only(kinds, kDigits | kLetters | kDashes | kUnderscores | kBase64Marks)) {
    return "base64";
  }
  const bool is_word = only(kinds, kDigits | kLetters | kDots | kDashes | kUnderscores);
  return is_word && text.size() <= kMaxWord ? "word" : "text";
}

}  // namespace

std::string uri_scheme(std::string_view text) {
  return lower_case(text.substr(0, scheme_size(text)));
}

void classify_text(std::string_view text, ArgumentTrace& trace) {
  if (text.empty()) {
    trace.shape = "empty";
    return;
  }
  if (text.size() <= kMaxNamed) {
    if (text.front() == '/' && !text.contains('\n')) {
      classify_path(text, trace);
      return;
    }
    if (classify_uri(text, trace)) return;
    if (text == "true" || text == "false") {
      trace.shape = "boolean";
      return;
    }
    trace.shape = number_shape(text);
    if (!trace.shape.empty()) return;
    if (has_form(text, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")) {
      trace.shape = "uuid";
      return;
    }
    if (is_date(text)) {
      trace.shape = "date";
      return;
    }
    if (is_email(text)) {
      trace.shape = "email";
      return;
    }
  }
  trace.shape = shape_by_characters(text);
}

}  // namespace zwinger::ledger
