#include "json/json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <utility>
#include <vector>

#include "text/utf8.h"

namespace zwinger::json {

// Nodes stand in source order, each container before its children, so a value's first child is the
// next node and a scalar's next sibling too.
struct Tree {
  struct Node {
    std::uint32_t begin = 0;  // source(): [begin, end)
    std::uint32_t end = 0;
    std::uint32_t name = 0;  // decoded name of a member: start and size
    std::uint32_t name_size = 0;
    std::uint32_t start_or_count =
        0;  // a string's decoded text: start; a container: number of children
    std::uint32_t size_or_next =
        0;                    // a string's decoded text: size; a container: the node behind it
    std::uint32_t order = 0;  // of an object with more than kSmall members, see Tree::order
    Kind kind = Kind::null;
    bool name_in_arena = false;  // otherwise in the source
    bool text_in_arena = false;
  };
  static_assert(sizeof(Node) == 32);

  // Objects of up to this many members are searched member by member, larger ones by their sorted
  // order.
  static constexpr std::uint32_t kSmall = 16;

  std::string source;
  std::string arena;  // decoded text of all strings and names that hold escapes
  std::vector<Node> nodes;
  std::vector<std::uint32_t> order;  // for each large object, its members' nodes sorted by name

  [[nodiscard]] std::string_view name_of(std::uint32_t i) const {
    const Node& n = nodes[i];
    return std::string_view(n.name_in_arena ? arena : source).substr(n.name, n.name_size);
  }
  [[nodiscard]] bool is_container(std::uint32_t i) const { return nodes[i].kind >= Kind::array; }
  [[nodiscard]] std::uint32_t behind(std::uint32_t i) const {
    return is_container(i) ? nodes[i].size_or_next : i + 1;
  }
  // Precondition of every accessor that needs one kind.
  [[nodiscard]] const Node& expect(std::uint32_t i, Kind kind) const {
    if (nodes[i].kind != kind) std::abort();
    return nodes[i];
  }
};

namespace {

// Bytes that end a run of plain string content: the closing quote, an escape, a control character.
// The NUL behind a std::string is one of them, so a scan needs no bound.
constexpr auto kEndsPlainRun = [] {
  std::array<bool, 256> table{};
  for (unsigned c = 0; c < 0x20; ++c) table.at(c) = true;
  table['"'] = true;
  table['\\'] = true;
  return table;
}();

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::optional<std::uint32_t> hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

// Not recursive: open containers stand on a stack of their own, so depth costs no call stack.
// Functions return false after refuse(). The source is NUL-terminated: *at_ is readable at the end
// and fits no grammar rule.
class Parser {
 public:
  Parser(Tree& tree, const Limits& limits)
      : tree_(tree),
        limits_(limits),
        begin_(tree.source.data()),
        end_(begin_ + tree.source.size()),
        at_(begin_) {
    tree_.nodes.reserve(tree_.source.size() / 24 + 4);
  }

  Result<void> run() {
    if (!document()) return std::unexpected(std::move(error_));
    return {};
  }

 private:
  using Node = Tree::Node;

  bool document() {
    skip_space();
    if (!value({})) return false;
    while (!open_.empty()) {
      if (!step()) return false;
    }
    skip_space();
    if (at_ == end_) return true;
    return refuse(Code::json_trailing_bytes, at_,
                  "expected the end of the text after the JSON value");
  }

  // Within the innermost open container: closes it, or reads one more child.
  bool step() {
    const std::uint32_t container = open_.back();
    const bool object = tree_.nodes[container].kind == Kind::object;
    const bool first = tree_.nodes[container].start_or_count == 0;
    skip_space();
    if (*at_ == (object ? '}' : ']')) return close(container);
    if (!first) {
      if (*at_ != ',') return refuse_expected(object ? "',' or '}'" : "',' or ']'");
      ++at_;
      skip_space();
    }
    Node child;
    if (object && !member_name(child, first)) return false;
    ++tree_.nodes[container].start_or_count;
    return value(child);
  }

  bool close(std::uint32_t container) {
    ++at_;
    Node& node = tree_.nodes[container];
    node.end = offset(at_);
    node.size_or_next = static_cast<std::uint32_t>(tree_.nodes.size());
    open_.pop_back();
    return node.kind == Kind::array || names_are_unique(container);
  }

  bool member_name(Node& child, bool first) {
    if (*at_ != '"') {
      return refuse_expected(first ? "a member name in double quotes or '}'"
                                   : "a member name in double quotes");
    }
    if (!count_one()) return false;
    if (!string(child.name, child.name_size, child.name_in_arena)) return false;
    skip_space();
    if (*at_ != ':') return refuse_expected("':' after a member name");
    ++at_;
    skip_space();
    return true;
  }

  // Reads a scalar, or opens a container. `node` holds the member's name already.
  bool value(Node node) {
    node.begin = offset(at_);
    switch (*at_) {
      case '{':
        node.kind = Kind::object;
        break;
      case '[':
        node.kind = Kind::array;
        break;
      case '"':
        node.kind = Kind::string;
        break;
      case 't':
      case 'f':
        node.kind = Kind::boolean;
        break;
      case 'n':
        node.kind = Kind::null;
        break;
      default:
        if (*at_ != '-' && !is_digit(*at_)) return refuse_expected("a JSON value");
        node.kind = Kind::number;
    }
    if (!count_one()) return false;
    switch (node.kind) {
      case Kind::array:
      case Kind::object:
        if (open_.size() >= limits_.max_depth) {
          return refuse(Code::json_too_deep, at_,
                        "arrays and objects may be nested at most " +
                            std::to_string(limits_.max_depth) + " deep");
        }
        open_.push_back(static_cast<std::uint32_t>(tree_.nodes.size()));
        ++at_;
        break;
      case Kind::string:
        if (!string(node.start_or_count, node.size_or_next, node.text_in_arena)) return false;
        break;
      case Kind::number:
        if (!number()) return false;
        break;
      case Kind::boolean:
        if (!literal(*at_ == 't' ? "true" : "false")) return false;
        break;
      case Kind::null:
        if (!literal("null")) return false;
        break;
    }
    node.end = offset(at_);  // close() moves a container's end
    tree_.nodes.push_back(node);
    return true;
  }

  bool literal(std::string_view word) {
    for (const char c : word) {
      if (*at_ != c) return refuse_expected("'" + std::string(word) + "'");
      ++at_;
    }
    return true;
  }

  // RFC 8259 section 6.
  bool number() {
    if (*at_ == '-') ++at_;
    if (*at_ == '0') {
      ++at_;
      if (is_digit(*at_)) {
        return refuse(Code::json_syntax, at_, "a number has no leading zeros");
      }
    } else if (!digits()) {
      return false;
    }
    if (*at_ == '.') {
      ++at_;
      if (!digits()) return false;
    }
    if (*at_ == 'e' || *at_ == 'E') {
      ++at_;
      if (*at_ == '+' || *at_ == '-') ++at_;
      if (!digits()) return false;
    }
    return true;
  }

  bool digits() {
    if (!is_digit(*at_)) return refuse_expected("a digit");
    while (is_digit(*at_)) ++at_;
    return true;
  }

  // Reads the literal at the opening quote; says where its decoded text stands.
  bool string(std::uint32_t& start, std::uint32_t& size, bool& in_arena) {
    const char* run = ++at_;
    skip_plain();
    if (*at_ == '"') {
      start = offset(run);
      size = static_cast<std::uint32_t>(at_ - run);
      ++at_;
      return true;
    }
    in_arena = true;
    start = static_cast<std::uint32_t>(tree_.arena.size());  // never longer than the source
    while (true) {
      tree_.arena.append(run, at_);
      if (*at_ == '"') break;
      if (at_ == end_) return refuse_expected("'\"' at the end of a string");
      if (*at_ != '\\') {
        return refuse(Code::json_syntax, at_, "control characters in a string must be escaped");
      }
      if (!escape()) return false;
      run = at_;
      skip_plain();
    }
    ++at_;
    size = static_cast<std::uint32_t>(tree_.arena.size()) - start;
    return true;
  }

  bool escape() {
    const char* const backslash = at_++;
    const char c = *at_;
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    if (const std::size_t i = kNames.find(c); i != std::string_view::npos) {
      tree_.arena += kMeanings[i];
      ++at_;
      return true;
    }
    if (c != 'u') return refuse_expected("one of \" \\ / b f n r t u after a backslash");
    std::uint32_t code = 0;
    if (!four_hex_digits(code)) return false;
    if (code >= 0xD800 && code < 0xDC00 && at_[0] == '\\' && at_[1] == 'u') {
      ++at_;
      std::uint32_t low = 0;
      if (!four_hex_digits(low)) return false;
      if (low >= 0xDC00 && low < 0xE000) code = 0x10000 + ((code - 0xD800) << 10U) + (low - 0xDC00);
    }
    if (code >= 0xD800 && code < 0xE000) {
      return refuse(Code::json_lone_surrogate, backslash,
                    "a \\u escape of a surrogate must be one of a high and low pair");
    }
    text::append_utf8(tree_.arena, code);
    return true;
  }

  // at_ stands on the 'u'.
  bool four_hex_digits(std::uint32_t& code) {
    ++at_;
    for (int i = 0; i < 4; ++i, ++at_) {
      const auto digit = hex_value(*at_);
      if (!digit) return refuse_expected("four hexadecimal digits after \\u");
      code = code * 16 + *digit;
    }
    return true;
  }

  // RFC 7493 section 2.3, on decoded names.
  bool names_are_unique(std::uint32_t object) {
    const std::uint32_t count = tree_.nodes[object].start_or_count;
    const std::uint32_t behind = tree_.nodes[object].size_or_next;
    members_.clear();
    for (std::uint32_t i = object + 1; i < behind; i = tree_.behind(i)) {
      members_.emplace_back(tree_.name_of(i), i);
    }
    std::uint32_t twice = behind;  // the first member whose name was used before it
    if (count <= Tree::kSmall) {
      for (std::uint32_t j = 1; j < count && twice == behind; ++j) {
        for (std::uint32_t i = 0; i < j; ++i) {
          if (members_[i].first == members_[j].first) twice = members_[j].second;
        }
      }
    } else {
      std::ranges::sort(members_);
      tree_.nodes[object].order = static_cast<std::uint32_t>(tree_.order.size());
      for (std::uint32_t i = 0; i < count; ++i) {
        if (i > 0 && members_[i - 1].first == members_[i].first)
          twice = std::min(twice, members_[i].second);
        tree_.order.push_back(members_[i].second);
      }
    }
    if (twice == behind) return true;
    // Nothing but white space and one comma stand between the value before it and its name.
    std::size_t after = tree_.nodes[object].begin;
    for (std::uint32_t i = object + 1; i < twice; i = tree_.behind(i)) after = tree_.nodes[i].end;
    return refuse(Code::json_duplicate_key, begin_ + tree_.source.find('"', after),
                  "an earlier member of the same object has this name");
  }

  bool count_one() {
    if (values_ >= limits_.max_values) {
      return refuse(Code::json_too_large, at_,
                    "at most " + std::to_string(limits_.max_values) +
                        " values and member names are accepted");
    }
    ++values_;
    return true;
  }

  void skip_space() {
    while (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t') ++at_;
  }
  void skip_plain() {
    while (!kEndsPlainRun[static_cast<unsigned char>(*at_)]) ++at_;
  }

  [[nodiscard]] std::uint32_t offset(const char* p) const {
    return static_cast<std::uint32_t>(p - begin_);
  }

  bool refuse_expected(std::string what) {
    if (at_ == end_) what += ", found the end of the text";
    return refuse(Code::json_syntax, at_, "expected " + what);
  }
  bool refuse(Code code, const char* where, std::string message) {
    error_ = Error{code, std::move(message), "byte " + std::to_string(where - begin_)};
    return false;
  }

  Tree& tree_;
  const Limits& limits_;
  const char* begin_;
  const char* end_;
  const char* at_;
  std::uint32_t values_ = 0;
  std::vector<std::uint32_t> open_;  // containers around at_, outermost first
  std::vector<std::pair<std::string_view, std::uint32_t>> members_;  // scratch of names_are_unique
  Error error_{Code::internal, {}, {}};
};

}  // namespace

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::null:
      return "null";
    case Kind::boolean:
      return "boolean";
    case Kind::number:
      return "number";
    case Kind::string:
      return "string";
    case Kind::array:
      return "array";
    case Kind::object:
      return "object";
  }
  std::abort();
}

Kind Value::kind() const { return tree_->nodes[index_].kind; }

std::string_view Value::source() const {
  const Tree::Node& n = tree_->nodes[index_];
  return std::string_view(tree_->source).substr(n.begin, n.end - n.begin);
}

std::size_t Value::offset() const { return tree_->nodes[index_].begin; }

bool Value::boolean() const {
  return tree_->source[tree_->expect(index_, Kind::boolean).begin] == 't';
}

std::string_view Value::string() const {
  const Tree::Node& n = tree_->expect(index_, Kind::string);
  return std::string_view(n.text_in_arena ? tree_->arena : tree_->source)
      .substr(n.start_or_count, n.size_or_next);
}

std::string_view Value::number_text() const {
  (void)tree_->expect(index_, Kind::number);
  return source();
}

std::optional<std::int64_t> Value::integer() const {
  const std::string_view text = number_text();
  std::int64_t result = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), result);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return result;
}

std::size_t Value::size() const {
  return tree_->is_container(index_) ? tree_->nodes[index_].start_or_count : 0;
}

std::optional<Value> Value::find(std::string_view name) const {
  const Tree::Node& n = tree_->nodes[index_];
  if (n.kind != Kind::object) return std::nullopt;
  if (n.start_or_count <= Tree::kSmall) {
    for (const Value member : children()) {
      if (member.name() == name) return member;
    }
    return std::nullopt;
  }
  const auto first = tree_->order.begin() + n.order;
  const auto last = first + n.start_or_count;
  const auto found = std::ranges::lower_bound(first, last, name, {},
                                              [&](std::uint32_t i) { return tree_->name_of(i); });
  if (found == last || tree_->name_of(*found) != name) return std::nullopt;
  return Value(tree_, *found);
}

Value::Range Value::children() const {
  return {.first = Iterator(tree_, index_ + 1), .last = Iterator(tree_, tree_->behind(index_))};
}

std::string_view Value::name() const { return tree_->name_of(index_); }

Value::Iterator& Value::Iterator::operator++() {
  index_ = tree_->behind(index_);
  return *this;
}

Document::Document(std::unique_ptr<Tree> tree) : tree_(std::move(tree)) {}
Document::Document(Document&&) noexcept = default;
Document& Document::operator=(Document&&) noexcept = default;
Document::~Document() = default;

Result<Document> Document::parse(std::string text, const Limits& limits) {
  // Offsets are 32 bits wide.
  const std::size_t max_bytes =
      std::min<std::size_t>(limits.max_bytes, std::numeric_limits<std::uint32_t>::max());
  if (text.size() > max_bytes) {
    return fail(Code::json_too_large,
                "at most " + std::to_string(max_bytes) + " bytes are accepted",
                "byte " + std::to_string(max_bytes));
  }
  if (text.starts_with("\xEF\xBB\xBF")) {
    return fail(Code::json_syntax, "expected a JSON value, found a byte order mark", "byte 0");
  }
  if (const auto bad = text::first_invalid_utf8(text)) {
    return fail(Code::json_bad_utf8, "expected well-formed UTF-8", "byte " + std::to_string(*bad));
  }
  auto tree = std::make_unique<Tree>();
  tree->source = std::move(text);
  ZWINGER_CHECK_OK(Parser(*tree, limits).run());
  return Document(std::move(tree));
}

Value Document::root() const { return {tree_.get(), 0}; }

std::string_view Document::text() const { return tree_->source; }

}  // namespace zwinger::json
