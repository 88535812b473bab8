// Strict YAML for policy files, read with yaml-cpp behind a wall: nothing of yaml-cpp shows here.
//
// Accepted: one document of mappings with unique string keys, sequences, and scalars of YAML's JSON
// schema (null or ~ or nothing, true/false, numbers as JSON spells them, strings). Plain
// yes/no/on/off are strings, as in YAML 1.2. Refused, each with file:line:column:
// - duplicate keys, keys that are not strings (null, true, 12 want quotes), merge keys;
// - anchors, aliases, tags, directives, several documents or none;
// - tabs that indent, control characters, a byte order mark, bytes that are not UTF-8;
// - plain scalars that YAML's core schema does not read as strings and JSON does not know
//   (True, NULL, 007, +1, 0x1F, .5, .inf): they must be quoted or spelled as JSON does;
// - plain scalars that go on in the next line, which a list item indented by mistake would do;
// - quotes that are never closed, which yaml-cpp lets pass at the end of a file;
// - nesting or size beyond the limits.
//
// The tree is a value and may be read from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace zwinger::json {

enum class YamlKind : std::uint8_t { null, boolean, number, string, sequence, mapping };

[[nodiscard]] std::string_view to_string(YamlKind kind);

struct YamlMember;

struct YamlNode {
  YamlKind kind = YamlKind::null;
  std::string scalar;               // text of a scalar; a boolean is "true" or "false"
  std::vector<YamlNode> items;      // of a sequence
  std::vector<YamlMember> members;  // of a mapping, in file order
  std::string file;
  int line = 0;      // 1-based
  int column = 0;    // 1-based, in bytes
  int key_line = 0;  // where this member's key stands; 0 for items and the root
  int key_column = 0;

  // "file:line:column" of the value, or of its key where the value is left out.
  [[nodiscard]] std::string where() const;
  // "file:line:column" of the member's key.
  [[nodiscard]] std::string key_where() const;
  [[nodiscard]] const YamlNode* find(std::string_view key) const;
};

struct YamlMember {
  std::string key;
  YamlNode value;
};

struct YamlLimits {
  std::size_t max_bytes = std::size_t{1} << 20U;
  int max_depth = 32;  // nested sequences and mappings; at most 200
};

// `file` is only used in messages. Errors: yaml_* with where = "file:line:column"; json_bad_utf8
// likewise.
[[nodiscard]] Result<YamlNode> parse_yaml(std::string_view text, std::string_view file,
                                          const YamlLimits& limits = {});

// The same tree as JSON text, so that a policy value (a grant, say) has one reader.
[[nodiscard]] std::string yaml_to_json(const YamlNode& node);

}  // namespace zwinger::json
