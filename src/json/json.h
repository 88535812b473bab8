// Strict JSON (RFC 8259, I-JSON's member rule) with source spans and number text.
//
// One parser for everything a stranger sends: duplicate members at any depth, nesting and size
// beyond the limits, malformed UTF-8, lone surrogates and trailing bytes are refused. A Document
// owns its source bytes and a flat tree of nodes over them; a Value is a cheap view into a Document
// and must not outlive it. Documents are movable (Values stay valid across a move: the tree lives
// on the heap) and read-only once parsed, so they may be read from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace zwinger::json {

struct Limits {
  std::size_t max_bytes = std::size_t{4} << 20U;  // of source text
  std::uint32_t max_depth = 64;                   // nested arrays and objects
  std::uint32_t max_values = 1U << 20U;           // values and member names together
};

enum class Kind : std::uint8_t { null, boolean, number, string, array, object };

[[nodiscard]] std::string_view to_string(Kind kind);

class Document;
struct Tree;  // source and nodes, private to json.cc

class Value {
 public:
  [[nodiscard]] Kind kind() const;
  [[nodiscard]] bool is_null() const { return kind() == Kind::null; }
  [[nodiscard]] bool is_bool() const { return kind() == Kind::boolean; }
  [[nodiscard]] bool is_number() const { return kind() == Kind::number; }
  [[nodiscard]] bool is_string() const { return kind() == Kind::string; }
  [[nodiscard]] bool is_array() const { return kind() == Kind::array; }
  [[nodiscard]] bool is_object() const { return kind() == Kind::object; }

  // The value's own source bytes, without surrounding white space: what a writer splices untouched.
  [[nodiscard]] std::string_view source() const;
  // Offset of source() in the document.
  [[nodiscard]] std::size_t offset() const;

  // Precondition of each: the kind fits. A caller that did not check is a defect and ends the
  // program.
  [[nodiscard]] bool boolean() const;
  [[nodiscard]] std::string_view string() const;       // decoded
  [[nodiscard]] std::string_view number_text() const;  // as written, for example "1e3"
  // Exactly an integer in the int64 range and written without fraction or exponent; nothing
  // otherwise.
  [[nodiscard]] std::optional<std::int64_t> integer() const;

  // Arrays: elements. Objects: members, in source order. Scalars: 0.
  [[nodiscard]] std::size_t size() const;

  // The member of this name; nothing where it is absent or this is no object. Logarithmic in large
  // objects.
  [[nodiscard]] std::optional<Value> find(std::string_view name) const;

  class Iterator;
  struct Range;
  // Elements of an array, or the values of an object's members:
  //   for (const Value v : value.children()) use(v.name(), v);
  [[nodiscard]] Range children() const;
  // The decoded name of this value in its parent object; empty for elements and the root.
  [[nodiscard]] std::string_view name() const;

 private:
  friend class Document;
  Value(const Tree* tree, std::uint32_t index) : tree_(tree), index_(index) {}
  const Tree* tree_;
  std::uint32_t index_;
};

// Forward iterator; going over all children is linear in their number.
class Value::Iterator {
 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = Value;
  using difference_type = std::ptrdiff_t;
  using reference = Value;
  using pointer = void;

  Iterator() = default;
  [[nodiscard]] Value operator*() const { return {tree_, index_}; }
  Iterator& operator++();
  Iterator operator++(int) {
    Iterator before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const Iterator&, const Iterator&) = default;

 private:
  friend class Value;
  Iterator(const Tree* tree, std::uint32_t index) : tree_(tree), index_(index) {}
  const Tree* tree_ = nullptr;
  std::uint32_t index_ = 0;
};

struct Value::Range {
  Iterator first;
  Iterator last;
  [[nodiscard]] Iterator begin() const { return first; }
  [[nodiscard]] Iterator end() const { return last; }
};

class Document {
 public:
  // Parses exactly one value that fills `text` but for white space around it.
  // Errors: json_* with where = "byte N" (zero-based offset of the first offending byte).
  [[nodiscard]] static Result<Document> parse(std::string text, const Limits& limits = {});

  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;
  Document(Document&&) noexcept;
  Document& operator=(Document&&) noexcept;
  ~Document();

  [[nodiscard]] Value root() const;
  [[nodiscard]] std::string_view text() const;  // the whole source

 private:
  explicit Document(std::unique_ptr<Tree> tree);
  std::unique_ptr<Tree> tree_;
};

}  // namespace zwinger::json
