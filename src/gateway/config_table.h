// Tables that describe configuration structs, one row a key. The same table reads YAML strictly and
// yields the reference documentation and the JSON schema, so that none of the three can drift from
// the others.
//
// A Kind says how one value is written; a Table lists the keys of a mapping. Reading collects every
// error instead of stopping at the first. Values; any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "json/yaml.h"

namespace zwinger::gateway::config {

class Errors {
 public:
  void add(Code code, const json::YamlNode& at, std::string message);
  // At the key of a mapping's member instead of at its value.
  void add_at_key(Code code, const json::YamlNode& value, std::string message);
  void add(Error error) { errors_.push_back(std::move(error)); }
  [[nodiscard]] bool empty() const { return errors_.empty(); }
  [[nodiscard]] std::vector<Error> take() && { return std::move(errors_); }

 private:
  std::vector<Error> errors_;
};

// How a value of type V is written. `read` gives nothing after it has added an error.
template <class V>
struct Kind {
  std::string type;    // for people: "list of strings"
  std::string schema;  // members of a JSON Schema object, without its braces
  std::function<std::optional<V>(const json::YamlNode&, Errors&)> read;
};

// The text of a non-empty string without control characters; adds policy_type or policy_value
// otherwise.
[[nodiscard]] std::optional<std::string> read_text(const json::YamlNode& node, Errors& errors);
// Whether the node is of this kind; adds policy_type otherwise.
[[nodiscard]] bool expect(const json::YamlNode& node, json::YamlKind kind, Errors& errors);
// A whole number within both bounds; adds policy_type or policy_value otherwise.
[[nodiscard]] std::optional<std::int64_t> read_integer(const json::YamlNode& node,
                                                       std::int64_t least, std::int64_t most,
                                                       Errors& errors);
// An integer kind's schema.
[[nodiscard]] std::string integer_schema(std::int64_t least, std::int64_t most);

// Any string, the empty one too, but without NUL: the value of an environment variable.
[[nodiscard]] Kind<std::string> any_string();
// A string that `parse` understands. Its error's place is the node's.
template <class V>
Kind<V> parsed(std::string type, std::string schema_rest,
               std::function<Result<V>(const std::string&)> parse) {
  return {.type = std::move(type),
          .schema = R"("type":"string")" + (schema_rest.empty() ? "" : "," + schema_rest),
          .read = [parse = std::move(parse)](const json::YamlNode& node,
                                             Errors& errors) -> std::optional<V> {
            const std::optional<std::string> text = read_text(node, errors);
            if (!text) return std::nullopt;
            Result<V> value = parse(*text);
            if (value) return *std::move(value);
            errors.add(value.error().code, node, value.error().message);
            return std::nullopt;
          }};
}
[[nodiscard]] Kind<std::string> text(std::string type);
[[nodiscard]] Kind<std::filesystem::path> path();

template <class V>
Kind<V> integer(std::int64_t least, std::int64_t most) {
  return {.type = "integer from " + std::to_string(least) + " to " + std::to_string(most),
          .schema = integer_schema(least, most),
          .read = [least, most](const json::YamlNode& node, Errors& errors) -> std::optional<V> {
            const auto value = read_integer(node, least, most, errors);
            if (!value) return std::nullopt;
            return static_cast<V>(*value);
          }};
}

enum class Empty : std::uint8_t { allowed, refused };

template <class V>
Kind<std::vector<V>> list_of(Kind<V> element, Empty empty) {
  Kind<std::vector<V>> out;
  out.type = "list of " + element.type;
  out.schema = R"("type":"array","items":{)" + element.schema + "}" +
               (empty == Empty::refused ? R"(,"minItems":1)" : "");
  out.read = [element = std::move(element), empty](
                 const json::YamlNode& node, Errors& errors) -> std::optional<std::vector<V>> {
    if (!expect(node, json::YamlKind::sequence, errors)) return std::nullopt;
    if (node.items.empty() && empty == Empty::refused) {
      errors.add(Code::policy_empty_set, node, "this list must name something");
    }
    std::vector<V> values;
    for (const json::YamlNode& item : node.items) {
      if (auto value = element.read(item, errors)) values.push_back(*std::move(value));
    }
    return values;
  };
  return out;
}

// A mapping with free keys, in file order. The YAML reader has made sure that they are unique.
template <class V>
using Entries = std::vector<std::pair<std::string, V>>;

template <class V>
Kind<Entries<V>> map_of(Kind<std::string> key, Kind<V> element, Empty empty) {
  Kind<Entries<V>> out;
  out.type = "map of " + key.type + " to " + element.type;
  out.schema = R"("type":"object","propertyNames":{)" + key.schema +
               R"(},"additionalProperties":{)" + element.schema + "}" +
               (empty == Empty::refused ? R"(,"minProperties":1)" : "");
  out.read = [key = std::move(key), element = std::move(element), empty](
                 const json::YamlNode& node, Errors& errors) -> std::optional<Entries<V>> {
    if (!expect(node, json::YamlKind::mapping, errors)) return std::nullopt;
    if (node.members.empty() && empty == Empty::refused) {
      errors.add(Code::policy_empty_set, node, "this map must name something");
    }
    Entries<V> entries;
    for (const auto& [name, child] : node.members) {
      json::YamlNode name_node;  // the key, judged like any other string
      name_node.kind = json::YamlKind::string;
      name_node.scalar = name;
      name_node.file = child.file;
      name_node.line = child.key_line;
      name_node.column = child.key_column;
      const bool named = key.read(name_node, errors).has_value();
      auto value = element.read(child, errors);
      if (named && value) entries.emplace_back(name, *std::move(value));
    }
    return entries;
  };
  return out;
}

// A value with its place, for checks that need more than one value.
template <class V>
struct Located {
  V value;
  std::string where;
};
template <class V>
Kind<Located<V>> located(Kind<V> kind) {
  return {.type = kind.type,
          .schema = kind.schema,
          .read = [read = std::move(kind.read)](const json::YamlNode& node,
                                                Errors& errors) -> std::optional<Located<V>> {
            auto value = read(node, errors);
            if (!value) return std::nullopt;
            return Located<V>{.value = *std::move(value), .where = node.where()};
          }};
}

// What is known of a key without its C++ type.
struct Row {
  std::string key;
  std::optional<Code> missing;  // the error when it is absent; nothing: it may be
  std::string type;
  std::string schema;
  std::string doc;
  std::optional<Error> refusal;  // a key that is known and not supported yet
};

// Adds an error for every unknown, refused and missing key.
void check_keys(const std::vector<Row>& rows, const json::YamlNode& mapping, Errors& errors);
// The members of a JSON Schema for such a mapping.
[[nodiscard]] std::string schema_of(const std::vector<Row>& rows);
// A Markdown table of the keys.
[[nodiscard]] std::string reference_of(const std::vector<Row>& rows);

template <class T>
class Table {
 public:
  template <class V>
  Table& optional_key(std::string name, V T::* member, Kind<V> kind, std::string doc) {
    return add(std::move(name), std::nullopt, member, std::move(kind), std::move(doc));
  }
  template <class V>
  Table& required_key(std::string name, V T::* member, Kind<V> kind, std::string doc,
                      Code missing = Code::policy_missing_key) {
    return add(std::move(name), missing, member, std::move(kind), std::move(doc));
  }
  // A key of a later release. With it there, nothing is reported as missing: it may stand for that.
  Table& refused_key(std::string name, Code code, std::string message) {
    rows_.push_back({.key = std::move(name),
                     .missing = {},
                     .type = {},
                     .schema = {},
                     .doc = {},
                     .refusal = Error{.code = code, .message = std::move(message), .where = {}}});
    readers_.emplace_back();
    return *this;
  }

  [[nodiscard]] std::optional<T> read(const json::YamlNode& node, Errors& errors) const {
    if (!expect(node, json::YamlKind::mapping, errors)) return std::nullopt;
    check_keys(rows_, node, errors);
    T out;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const json::YamlNode* child = node.find(rows_[i].key);
      if (child != nullptr && readers_[i]) readers_[i](*child, out, errors);
    }
    return out;
  }
  [[nodiscard]] const std::vector<Row>& rows() const { return rows_; }

 private:
  template <class V>
  Table& add(std::string name, std::optional<Code> missing, V T::* member, Kind<V> kind,
             std::string doc) {
    rows_.push_back({.key = std::move(name),
                     .missing = missing,
                     .type = std::move(kind.type),
                     .schema = std::move(kind.schema),
                     .doc = std::move(doc),
                     .refusal = {}});
    readers_.push_back(
        [member, read = std::move(kind.read)](const json::YamlNode& node, T& out, Errors& errors) {
          if (auto value = read(node, errors)) out.*member = *std::move(value);
        });
    return *this;
  }

  std::vector<Row> rows_;
  std::vector<std::function<void(const json::YamlNode&, T&, Errors&)>> readers_;
};

// `type`: how the reference calls it.
template <class T>
Kind<T> mapping(std::string type, Table<T> table) {
  std::string schema = schema_of(table.rows());
  return {.type = std::move(type),
          .schema = std::move(schema),
          .read = [table = std::move(table)](const json::YamlNode& node, Errors& errors) {
            return table.read(node, errors);
          }};
}

// The candidate that `word` is probably a misspelling of; empty when none is near.
[[nodiscard]] std::string_view nearest(std::string_view word,
                                       const std::vector<std::string_view>& candidates);

}  // namespace zwinger::gateway::config
