// What holds of every text that the JSON parser accepts.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "json/canonical.h"
#include "json/decimal.h"
#include "json/json.h"
#include "json/writer.h"
#include "text/utf8.h"

namespace {

using namespace zwinger;
using json::Kind;
using json::Value;

void require(bool condition) {
  if (!condition) std::abort();
}

// A value says the same when its source is parsed alone: what is spliced is what was judged.
void check_same(const Value& a, const Value& b) {
  require(a.kind() == b.kind() && a.source() == b.source() && a.size() == b.size());
  if (a.is_string()) require(a.string() == b.string());
}

void copy(json::Writer& out, const Value& value) {
  switch (value.kind()) {
    case Kind::null:
      out.null();
      break;
    case Kind::boolean:
      out.boolean(value.boolean());
      break;
    case Kind::number:
      out.raw(value.number_text());
      break;
    case Kind::string:
      out.string(value.string());
      break;
    case Kind::array:
      out.begin_array();
      for (const Value child : value.children()) copy(out, child);
      out.end_array();
      break;
    case Kind::object:
      out.begin_object();
      for (const Value child : value.children()) {
        out.key(child.name());
        copy(out, child);
      }
      out.end_object();
      break;
  }
}

void check(std::string_view text, const Value& value) {
  require(text.substr(value.offset(), value.source().size()) == value.source());
  std::size_t count = 0;
  for (const Value child : value.children()) {
    ++count;
    const auto alone = json::Document::parse(std::string(child.source()));
    require(alone.has_value());
    check_same(child, alone->root());
    if (value.is_object()) {
      const auto found = value.find(child.name());
      require(found && found->offset() == child.offset());
      require(!text::first_invalid_utf8(child.name()));
    }
    check(text, child);
  }
  require(count == value.size());
  if (value.is_string()) require(!text::first_invalid_utf8(value.string()));
  if (value.is_number()) {
    const auto decimal = json::Decimal::parse(value.number_text());
    const auto integer = value.integer();
    constexpr std::int64_t kExact = (std::int64_t{1} << 53U) - 1;
    if (integer) require(decimal.has_value() == (*integer >= -kExact && *integer <= kExact));
  }
}

// The canonical form is JSON, is its own canonical form, and does not depend on the spelling.
void check_canonical(const Value& root, const Value& rewritten) {
  const auto form = json::canonical(root);
  const auto other = json::canonical(rewritten);
  require(form.has_value() == other.has_value());
  if (!form) {
    require(form.error().code == Code::json_number_range);
    return;
  }
  require(*form == *other);
  const auto again = json::Document::parse(*form);
  require(again.has_value());
  const auto twice = json::canonical(again->root());
  require(twice.has_value() && *twice == *form);
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): the name that libFuzzer calls
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto document = json::Document::parse(std::string(text));
  if (!document) {
    require(document.error().where.starts_with("byte "));
    require(std::stoull(document.error().where.substr(5)) <= size);
    return 0;
  }
  require(document->text() == text);
  check(text, document->root());
  json::Writer out;
  copy(out, document->root());
  const std::string written = std::move(out).take();
  const auto again = json::Document::parse(written);
  require(again.has_value());
  json::Writer twice;
  copy(twice, again->root());
  require(std::move(twice).take() == written);
  check_canonical(document->root(), again->root());
  return 0;
}
