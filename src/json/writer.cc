#include "json/writer.h"

#include <cstdlib>
#include <utility>

#include "text/utf8.h"

namespace zwinger::json {

namespace {

// Misuse of a Writer would put malformed JSON on the wire.
void require(bool condition) {
  if (!condition) std::abort();
}

// `text` is well-formed UTF-8.
void append_escaped(std::string& out, std::string_view text) {
  constexpr std::string_view kMeanings = "\"\\\b\f\n\r\t";
  constexpr std::string_view kNames = "\"\\bfnrt";
  constexpr std::string_view kHex = "0123456789abcdef";
  std::size_t run = 0;  // start of what is not copied yet
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out.append(text, run, i - run);
    run = i + 1;
    out += '\\';
    if (const std::size_t name = kMeanings.find(text[i]); name != std::string_view::npos) {
      out += kNames[name];
    } else {
      out += "u00";
      out += kHex[c >> 4U];
      out += kHex[c & 15U];
    }
  }
  out.append(text, run);
}

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  while (const auto bad = text::first_invalid_utf8(text)) {
    append_escaped(out, text.substr(0, *bad));
    out += "\xEF\xBF\xBD";  // U+FFFD
    text.remove_prefix(*bad + 1);
  }
  append_escaped(out, text);
  out += '"';
}

}  // namespace

std::string quote(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 2);
  append_quoted(out, text);
  return out;
}

void Writer::before_value() {
  if (stack_.empty()) {
    require(out_.empty());
  } else if (stack_.back() == '{') {
    require(std::exchange(after_key_, false));
  } else if (need_comma_) {
    out_ += ',';
  }
  need_comma_ = true;
}

void Writer::begin(char bracket) {
  before_value();
  out_ += bracket;
  stack_.push_back(bracket);
  need_comma_ = false;
}

void Writer::end(char opened, char bracket) {
  require(!stack_.empty() && stack_.back() == opened && !after_key_);
  stack_.pop_back();
  out_ += bracket;
  need_comma_ = true;
}

Writer& Writer::begin_object() {
  begin('{');
  return *this;
}

Writer& Writer::end_object() {
  end('{', '}');
  return *this;
}

Writer& Writer::begin_array() {
  begin('[');
  return *this;
}

Writer& Writer::end_array() {
  end('[', ']');
  return *this;
}

Writer& Writer::key(std::string_view name) {
  require(!stack_.empty() && stack_.back() == '{' && !after_key_);
  if (need_comma_) out_ += ',';
  append_quoted(out_, name);
  out_ += ':';
  after_key_ = true;
  return *this;
}

Writer& Writer::string(std::string_view text) {
  before_value();
  append_quoted(out_, text);
  return *this;
}

Writer& Writer::integer(std::int64_t value) { return raw(std::to_string(value)); }

Writer& Writer::unsigned_integer(std::uint64_t value) { return raw(std::to_string(value)); }

Writer& Writer::boolean(bool value) { return raw(value ? "true" : "false"); }

Writer& Writer::null() { return raw("null"); }

Writer& Writer::raw(std::string_view json) {
  require(!json.empty());
  before_value();
  out_ += json;
  return *this;
}

std::string Writer::take() && {
  require(stack_.empty() && !out_.empty());
  return std::move(out_);
}

}  // namespace zwinger::json
