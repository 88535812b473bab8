// Writes compact JSON. Spans that were judged are spliced byte for byte. Not thread-safe; one per
// output.
//
//   Writer w;
//   w.begin_object().key("id").raw(id_text).key("result").begin_object().end_object().end_object();
//   std::string bytes = std::move(w).take();
//
// Commas and colons are the writer's business. Misuse (a value without a key in an object, a second
// value at the top, unbalanced ends, taking nothing) is a defect and ends the program. Names are
// not checked for duplicates.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "json/json.h"

namespace zwinger::json {

// `text` as a JSON string literal with quotes. Each byte that is not UTF-8 becomes U+FFFD.
[[nodiscard]] std::string quote(std::string_view text);

class Writer {
 public:
  Writer& begin_object();
  Writer& end_object();
  Writer& begin_array();
  Writer& end_array();
  Writer& key(std::string_view name);
  Writer& string(std::string_view text);
  Writer& integer(std::int64_t value);
  Writer& unsigned_integer(std::uint64_t value);
  Writer& boolean(bool value);
  Writer& null();
  // Splices bytes that are already one JSON value. Line breaks between its tokens stay where they
  // are.
  Writer& raw(std::string_view json);
  Writer& value(const Value& v) { return raw(v.source()); }

  [[nodiscard]] std::string take() &&;

 private:
  void before_value();
  void begin(char bracket);
  void end(char opened, char bracket);
  std::string out_;
  std::vector<char> stack_;  // '{' or '['
  bool need_comma_ = false;
  bool after_key_ = false;
};

}  // namespace zwinger::json
