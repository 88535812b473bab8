#include "json/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <exception>
#include <map>
#include <sstream>
#include <utility>

#include "json/json.h"
#include "json/writer.h"
#include "text/utf8.h"

namespace zwinger::json {

namespace {

// yaml-cpp recurses once for each level and gives up at 500.
constexpr int kMaxDepth = 200;
// yaml-cpp holds a token for each bracket that is still open before it reports the first of them.
// Brackets in strings and comments count here, too, hence the distance to kMaxDepth.
constexpr int kMaxOpenBrackets = 10'000;

// Leaves yaml-cpp's recursion; caught in parse_yaml.
struct Refusal {
  Code code;
  std::string message;
  int line;  // zero-based, as in YAML::Mark
  int column;
};

Error error_at(std::string_view file, Code code, std::string message, int line, int column) {
  return {code, std::move(message), fmt::format("{}:{}:{}", file, line + 1, column + 1)};
}

Error error_at_offset(std::string_view text, std::string_view file, Code code, std::string message,
                      std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return error_at(file, code, std::move(message),
                  static_cast<int>(std::ranges::count(before, '\n')),
                  static_cast<int>(offset - line_start));
}

// YAML 1.2.2 section 5.1, and no carriage return alone: readers disagree on whether it ends a line.
bool is_accepted_character(std::string_view rest) {
  const auto byte = [&](std::size_t i) {
    return i < rest.size() ? static_cast<unsigned char>(rest[i]) : 0U;
  };
  switch (byte(0)) {
    case '\t':
    case '\n':
      return true;
    case '\r':
      return byte(1) == '\n';
    case 0x7F:
      return false;
    case 0xC2:
      return byte(1) >= 0xA0;  // U+0080 to U+009F
    case 0xEF:
      return byte(1) != 0xBF || byte(2) < 0xBE;  // U+FFFE, U+FFFF
    default:
      return byte(0) >= 0x20;
  }
}

// What must hold before yaml-cpp may see the text.
Result<void> check_text(std::string_view text, std::string_view file, const YamlLimits& limits) {
  const auto refuse = [&](Code code, std::string message, std::size_t offset) {
    return std::unexpected(error_at_offset(text, file, code, std::move(message), offset));
  };
  if (text.size() > limits.max_bytes) {
    return refuse(Code::yaml_too_large,
                  fmt::format("at most {} bytes are accepted", limits.max_bytes), limits.max_bytes);
  }
  if (const auto bad = text::first_invalid_utf8(text)) {
    return refuse(Code::json_bad_utf8, "expected well-formed UTF-8", *bad);
  }
  if (text.starts_with("\xEF\xBB\xBF")) {
    return refuse(Code::yaml_syntax, "remove the byte order mark", 0);
  }
  int open = 0;
  bool before_content = true;  // nothing but comments and white space so far
  bool comment = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!is_accepted_character(text.substr(i))) {
      return refuse(Code::yaml_syntax,
                    "control characters are not accepted; write an escape in double quotes", i);
    }
    const char c = text[i];
    if (c == '[' || c == '{') ++open;
    if ((c == ']' || c == '}') && open > 0) --open;
    if (open > kMaxOpenBrackets) {
      return refuse(Code::yaml_too_large, "too many brackets are never closed", i);
    }
    if (!before_content) continue;
    const bool line_start = i == 0 || text[i - 1] == '\n';
    if (line_start && c == '%') {
      return refuse(Code::yaml_syntax, "directives are not accepted", i);
    }
    comment = c == '#' || (comment && !line_start);
    before_content = comment || c == ' ' || c == '\t' || c == '\r' || c == '\n';
  }
  return {};
}

// Whether YAML 1.2's core schema (section 10.3.2) reads a plain scalar that is not of the JSON
// schema as something else than a string.
bool is_core_schema_only(std::string_view s) {
  constexpr std::array<std::string_view, 9> kWords = {"Null",  "NULL", "True", "TRUE", "False",
                                                      "FALSE", ".nan", ".NaN", ".NAN"};
  if (std::ranges::find(kWords, s) != kWords.end()) return true;
  const auto rest_is = [&](std::string_view alphabet) {
    return s.size() > 2 && s.find_first_not_of(alphabet, 2) == std::string_view::npos;
  };
  if (s.starts_with("0o")) return rest_is("01234567");
  if (s.starts_with("0x")) return rest_is("0123456789abcdefABCDEF");
  const auto take_sign = [&] {
    if (s.starts_with('-') || s.starts_with('+')) s.remove_prefix(1);
  };
  const auto take_digits = [&] {
    const std::size_t count = std::min(s.find_first_not_of("0123456789"), s.size());
    s.remove_prefix(count);
    return count;
  };
  take_sign();
  if (s == ".inf" || s == ".Inf" || s == ".INF") return true;
  std::size_t digits = take_digits();
  if (s.starts_with('.')) {
    s.remove_prefix(1);
    digits += take_digits();
  }
  if (digits == 0) return false;
  if (s.starts_with('e') || s.starts_with('E')) {
    s.remove_prefix(1);
    take_sign();
    if (take_digits() == 0) return false;
  }
  return s.empty();
}

YamlKind kind_of_plain(const std::string& scalar) {
  const auto json = Document::parse(scalar);
  if (!json || json->root().source().size() != scalar.size()) return YamlKind::string;
  switch (json->root().kind()) {
    case Kind::null:
      return YamlKind::null;
    case Kind::boolean:
      return YamlKind::boolean;
    case Kind::number:
      return YamlKind::number;
    default:
      return YamlKind::string;
  }
}

// The first pass looks for syntax errors only: where a bracket is not closed, yaml-cpp reports
// events for a key that nobody wrote before it comes to the error.
class SyntaxPass final : public YAML::EventHandler {
  using Mark = YAML::Mark;
  using Anchor = YAML::anchor_t;
  using Style = YAML::EmitterStyle::value;
  void OnDocumentStart(const Mark& /*mark*/) override {}
  void OnDocumentEnd() override {}
  void OnNull(const Mark& /*mark*/, Anchor /*anchor*/) override {}
  void OnAlias(const Mark& /*mark*/, Anchor /*anchor*/) override {}
  void OnScalar(const Mark& /*mark*/, const std::string& /*tag*/, Anchor /*anchor*/,
                const std::string& /*value*/) override {}
  void OnSequenceStart(const Mark& /*mark*/, const std::string& /*tag*/, Anchor /*anchor*/,
                       Style /*style*/) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const Mark& /*mark*/, const std::string& /*tag*/, Anchor /*anchor*/,
                  Style /*style*/) override {}
  void OnMapEnd() override {}
};

// Builds the tree from yaml-cpp's events and throws Refusal at the first thing that is not
// accepted.
class Builder final : public YAML::EventHandler {
 public:
  Builder(std::string_view text, std::string_view file, int max_depth)
      : text_(text), file_(file), max_depth_(max_depth) {}

  [[nodiscard]] bool has_document() const { return documents_ == 1; }
  YamlNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) {
      refuse(Code::yaml_syntax, "the document ends before this; a file holds one document", mark);
    }
  }
  void OnDocumentEnd() override {}

  void OnAnchor(const YAML::Mark& mark, const std::string& /*name*/) override {
    refuse_reference(mark);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    refuse_reference(mark);
  }

  void OnNull(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    if (wants_key()) refuse_key(mark);
    check_start(mark);
    const bool flow = !frames_.empty() && frames_.back().flow;
    // Where nothing is written, the mark is that of the next token.
    const bool written = (at(mark) == '~' || at(mark) == 'n' || at(mark) == 'N') &&
                         (frames_.empty() || flow || mark.column + 1 > frames_.back().node.column);
    if (written && at(mark) == 'N') refuse_ambiguous(mark);
    if (flow && at(mark) == ',' && frames_.back().node.kind == YamlKind::sequence) {
      refuse(Code::yaml_syntax, "expected a value before ','", mark);
    }
    YamlNode node = make(YamlKind::null, mark);
    if (!written && !frames_.empty() && frames_.back().node.kind == YamlKind::mapping) {
      node.line = frames_.back().key_line;
      node.column = frames_.back().key_column;
    }
    add(std::move(node));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t /*anchor*/,
                const std::string& value) override {
    check_start(mark);
    check_end(mark, value);
    const bool plain = tag == "?";
    const YamlKind kind = plain ? kind_of_plain(value) : YamlKind::string;
    if (plain && kind == YamlKind::string && is_core_schema_only(value)) refuse_ambiguous(mark);
    if (wants_key()) {
      if (kind != YamlKind::string) refuse_key(mark);
      if (plain && value == "<<") refuse(Code::yaml_alias, "merge keys are not accepted", mark);
      take_key(mark, value);
      return;
    }
    YamlNode node = make(kind, mark);
    node.scalar = value;
    add(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& /*tag*/,
                       YAML::anchor_t /*anchor*/, YAML::EmitterStyle::value style) override {
    open(YamlKind::sequence, mark, style);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t /*anchor*/,
                  YAML::EmitterStyle::value style) override {
    open(YamlKind::mapping, mark, style);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    YamlNode node;
    bool flow = false;
    bool has_key = false;  // in a mapping: the next node is this key's value
    std::string key;
    int key_line = 0;
    int key_column = 0;
    std::map<std::string, int, std::less<>> key_lines;
  };

  [[nodiscard]] char at(const YAML::Mark& mark) const {
    const auto i = static_cast<std::size_t>(mark.pos);
    return i < text_.size() ? text_[i] : '\0';
  }

  [[noreturn]] static void refuse(Code code, std::string message, const YAML::Mark& mark) {
    throw Refusal{code, std::move(message), mark.line, mark.column};
  }
  [[noreturn]] static void refuse_reference(const YAML::Mark& mark) {
    refuse(Code::yaml_alias, "anchors, aliases and tags are not accepted", mark);
  }
  [[noreturn]] static void refuse_key(const YAML::Mark& mark) {
    refuse(Code::yaml_syntax, "a key must be a string; put it in quotes", mark);
  }
  [[noreturn]] static void refuse_ambiguous(const YAML::Mark& mark) {
    refuse(Code::yaml_syntax,
           "YAML readers disagree on this value; put it in quotes, or write null, true, false or a "
           "number as JSON does",
           mark);
  }

  // What holds of every node, whatever its kind. A node's mark is that of its anchor or tag when it
  // has one, so that even the tag '!', which the events do not show, is seen.
  void check_start(const YAML::Mark& mark) {
    if (at(mark) == '!' || at(mark) == '&' || at(mark) == '*') refuse_reference(mark);
    if (mark.line == checked_line_) return;
    checked_line_ = mark.line;
    std::string_view line =
        text_.substr(std::min(static_cast<std::size_t>(mark.pos - mark.column), text_.size()));
    line = line.substr(0, line.find_first_not_of(" \t"));
    if (const std::size_t tab = line.find('\t'); tab != std::string_view::npos) {
      throw Refusal{Code::yaml_syntax, "indent with spaces, not with tabs", mark.line,
                    static_cast<int>(tab)};
    }
  }

  // What yaml-cpp lets pass: a quoted scalar that the end of the file cuts off. What YAML lets pass
  // and a policy must not: list items that are indented a little further than the first one and so
  // become part of its text.
  void check_end(const YAML::Mark& mark, const std::string& value) const {
    const auto start = static_cast<std::size_t>(mark.pos);
    const char first = at(mark);
    if (first == '|' || first == '>') return;
    if (first != '"' && first != '\'') {
      if (text_.substr(start, value.size()) == value) return;
      refuse(Code::yaml_syntax,
             "text without quotes must end on its line; put it in quotes or behind '>-'", mark);
    }
    const std::string_view stops = first == '"' ? "\"\\" : "'";
    const auto escapes = [&](std::size_t i) {  // \" or ''
      return text_[i] == '\\' || (first == '\'' && text_.substr(i + 1).starts_with('\''));
    };
    std::size_t i = text_.find_first_of(stops, start + 1);
    while (i != std::string_view::npos && escapes(i)) i = text_.find_first_of(stops, i + 2);
    if (i == std::string_view::npos)
      refuse(Code::yaml_syntax, "the quote that opens here is never closed", mark);
  }

  [[nodiscard]] bool wants_key() const {
    return !frames_.empty() && frames_.back().node.kind == YamlKind::mapping &&
           !frames_.back().has_key;
  }

  void take_key(const YAML::Mark& mark, const std::string& key) {
    Frame& frame = frames_.back();
    const auto [earlier, is_new] = frame.key_lines.try_emplace(key, mark.line + 1);
    if (!is_new) {
      refuse(Code::yaml_duplicate_key,
             fmt::format("line {} has the key {} already", earlier->second, quote(key)), mark);
    }
    frame.key = key;
    frame.key_line = mark.line + 1;
    frame.key_column = mark.column + 1;
    frame.has_key = true;
  }

  [[nodiscard]] YamlNode make(YamlKind kind, const YAML::Mark& mark) const {
    YamlNode node;
    node.kind = kind;
    node.file = file_;
    node.line = mark.line + 1;
    node.column = mark.column + 1;
    return node;
  }

  void open(YamlKind kind, const YAML::Mark& mark, YAML::EmitterStyle::value style) {
    check_start(mark);
    if (wants_key()) refuse_key(mark);
    if (frames_.size() >= static_cast<std::size_t>(std::max(max_depth_, 0))) {
      refuse(Code::yaml_too_large,
             fmt::format("sequences and mappings may be nested at most {} deep", max_depth_), mark);
    }
    Frame& frame = frames_.emplace_back();
    frame.node = make(kind, mark);
    frame.flow = style == YAML::EmitterStyle::Flow;
  }

  void close() {
    YamlNode node = std::move(frames_.back().node);
    frames_.pop_back();
    add(std::move(node));
  }

  void add(YamlNode node) {
    if (frames_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = frames_.back();
    if (frame.node.kind == YamlKind::sequence) {
      frame.node.items.push_back(std::move(node));
      return;
    }
    node.key_line = frame.key_line;
    node.key_column = frame.key_column;
    frame.node.members.push_back({.key = std::move(frame.key), .value = std::move(node)});
    frame.has_key = false;
  }

  std::string_view text_;
  std::string_view file_;
  int max_depth_;
  int documents_ = 0;
  int checked_line_ = -1;
  std::vector<Frame> frames_;  // open collections, outermost first
  YamlNode root_;
};

void write(Writer& out, const YamlNode& node) {
  switch (node.kind) {
    case YamlKind::null:
      out.null();
      return;
    case YamlKind::boolean:
      out.boolean(node.scalar == "true");
      return;
    case YamlKind::number:
      out.raw(node.scalar);
      return;
    case YamlKind::string:
      out.string(node.scalar);
      return;
    case YamlKind::sequence:
      out.begin_array();
      for (const YamlNode& item : node.items) write(out, item);
      out.end_array();
      return;
    case YamlKind::mapping:
      out.begin_object();
      for (const auto& [key, value] : node.members) {
        out.key(key);
        write(out, value);
      }
      out.end_object();
      return;
  }
}

}  // namespace

std::string_view to_string(YamlKind kind) {
  switch (kind) {
    case YamlKind::null:
      return "null";
    case YamlKind::boolean:
      return "boolean";
    case YamlKind::number:
      return "number";
    case YamlKind::string:
      return "string";
    case YamlKind::sequence:
      return "sequence";
    case YamlKind::mapping:
      return "mapping";
  }
  return "";
}

std::string YamlNode::where() const { return fmt::format("{}:{}:{}", file, line, column); }

std::string YamlNode::key_where() const {
  return fmt::format("{}:{}:{}", file, key_line, key_column);
}

const YamlNode* YamlNode::find(std::string_view key) const {
  const auto found = std::ranges::find(members, key, &YamlMember::key);
  return found == members.end() ? nullptr : &found->value;
}

Result<YamlNode> parse_yaml(std::string_view text, std::string_view file,
                            const YamlLimits& limits) {
  ZWINGER_CHECK_OK(check_text(text, file, limits));
  const auto refuse = [&](Code code, std::string message, int line, int column) {
    return std::unexpected(error_at(file, code, std::move(message), line, column));
  };
  // A second document is refused, and must not be followed by more: yaml-cpp makes endless ones of
  // a stray comma.
  const auto read_two = [text](YAML::EventHandler& handler) {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    if (parser.HandleNextDocument(handler)) parser.HandleNextDocument(handler);
  };
  try {
    SyntaxPass syntax;
    read_two(syntax);
    Builder builder(text, file, std::min(limits.max_depth, kMaxDepth));
    read_two(builder);
    if (!builder.has_document()) {
      return refuse(Code::yaml_syntax, "the file holds no document", 0, 0);
    }
    return builder.take();
  } catch (const Refusal& refusal) {
    return refuse(refusal.code, refusal.message, refusal.line, refusal.column);
  } catch (const YAML::DeepRecursion& error) {
    return refuse(Code::yaml_too_large, "sequences and mappings are nested too deep",
                  error.mark.line, error.mark.column);
  } catch (const YAML::Exception& error) {
    // Every alias ends here, because no anchor was accepted before it.
    const auto offset = static_cast<std::size_t>(error.mark.pos);
    const bool reference =
        offset < text.size() && (text[offset] == '*' || text[offset] == '&' || text[offset] == '!');
    if (reference) {
      return refuse(Code::yaml_alias, "anchors, aliases and tags are not accepted", error.mark.line,
                    error.mark.column);
    }
    return refuse(Code::yaml_syntax,
                  "not YAML (look for a wrong indentation, quote or bracket): " + error.msg,
                  error.mark.line, error.mark.column);
  } catch (const std::exception& error) {
    return refuse(Code::yaml_syntax, fmt::format("not readable as YAML: {}", error.what()), 0, 0);
  }
}

std::string yaml_to_json(const YamlNode& node) {
  Writer out;
  write(out, node);
  return std::move(out).take();
}

}  // namespace zwinger::json
