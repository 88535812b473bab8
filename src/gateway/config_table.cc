#include "gateway/config_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "json/writer.h"

namespace zwinger::gateway::config {

namespace {

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

// Levenshtein's distance; the words are keys and commands, so short.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

void Errors::add(Code code, const json::YamlNode& at, std::string message) {
  errors_.push_back({.code = code, .message = std::move(message), .where = at.where()});
}

void Errors::add_at_key(Code code, const json::YamlNode& value, std::string message) {
  errors_.push_back({.code = code, .message = std::move(message), .where = value.key_where()});
}

bool expect(const json::YamlNode& node, json::YamlKind kind, Errors& errors) {
  if (node.kind == kind) return true;
  const bool quotable = kind == json::YamlKind::string && (node.kind == json::YamlKind::number ||
                                                           node.kind == json::YamlKind::boolean);
  errors.add(
      Code::policy_type, node,
      fmt::format("expected a {}, found a {}{}", json::to_string(kind), json::to_string(node.kind),
                  quotable ? fmt::format("; quote it: \"{}\"", node.scalar) : ""));
  return false;
}

std::optional<std::string> read_text(const json::YamlNode& node, Errors& errors) {
  if (!expect(node, json::YamlKind::string, errors)) return std::nullopt;
  if (node.scalar.empty()) {
    errors.add(Code::policy_value, node, "an empty string is not allowed here");
    return std::nullopt;
  }
  if (std::ranges::any_of(node.scalar, is_control)) {
    errors.add(Code::policy_value, node, "control characters are not allowed here");
    return std::nullopt;
  }
  return node.scalar;
}

std::optional<std::int64_t> read_integer(const json::YamlNode& node, std::int64_t least,
                                         std::int64_t most, Errors& errors) {
  if (!expect(node, json::YamlKind::number, errors)) return std::nullopt;
  std::int64_t value = 0;
  const char* end = node.scalar.data() + node.scalar.size();
  const auto [stop, error] = std::from_chars(node.scalar.data(), end, value);
  if (error != std::errc() || stop != end || value < least || value > most) {
    errors.add(Code::policy_value, node,
               fmt::format("{} is not a whole number from {} to {}", node.scalar, least, most));
    return std::nullopt;
  }
  return value;
}

std::string integer_schema(std::int64_t least, std::int64_t most) {
  return fmt::format(R"("type":"integer","minimum":{},"maximum":{})", least, most);
}

Kind<std::string> any_string() {
  return {.type = "string",
          .schema = R"("type":"string")",
          .read = [](const json::YamlNode& node, Errors& errors) -> std::optional<std::string> {
            if (!expect(node, json::YamlKind::string, errors)) return std::nullopt;
            if (!node.scalar.contains('\0')) return node.scalar;
            errors.add(Code::policy_value, node, "a NUL character is not allowed here");
            return std::nullopt;
          }};
}

Kind<std::string> text(std::string type) {
  return parsed<std::string>(std::move(type), R"("minLength":1)",
                             [](const std::string& value) -> Result<std::string> { return value; });
}

Kind<std::filesystem::path> path() {
  return parsed<std::filesystem::path>(
      "path", R"("minLength":1)", [](const std::string& value) -> Result<std::filesystem::path> {
        return std::filesystem::path(value);
      });
}

void check_keys(const std::vector<Row>& rows, const json::YamlNode& mapping, Errors& errors) {
  bool refused = false;
  for (const auto& [name, child] : mapping.members) {
    const auto row = std::ranges::find(rows, name, &Row::key);
    if (row == rows.end()) {
      std::vector<std::string_view> known;
      for (const Row& each : rows) {
        if (!each.refusal) known.emplace_back(each.key);
      }
      const std::string_view meant = nearest(name, known);
      errors.add_at_key(
          Code::policy_unknown_key, child,
          meant.empty()
              ? fmt::format("the key '{}' does not exist here; known are: {}", name,
                            fmt::join(known, ", "))
              : fmt::format("the key '{}' does not exist here; did you mean '{}'?", name, meant));
    } else if (row->refusal) {
      refused = true;
      errors.add_at_key(row->refusal->code, child, row->refusal->message);
    }
  }
  if (refused) return;
  for (const Row& row : rows) {
    if (row.missing && mapping.find(row.key) == nullptr) {
      errors.add(*row.missing, mapping,
                 fmt::format("the key '{}' is missing: {}", row.key, row.doc));
    }
  }
}

std::string schema_of(const std::vector<Row>& rows) {
  std::vector<std::string> properties;
  std::vector<std::string> required;
  for (const Row& row : rows) {
    if (row.refusal) continue;
    properties.push_back(fmt::format(R"({}:{{"description":{},{}}})", json::quote(row.key),
                                     json::quote(row.doc), row.schema));
    if (row.missing) required.push_back(json::quote(row.key));
  }
  return fmt::format(
      R"("type":"object","properties":{{{}}},{}"additionalProperties":false)",
      fmt::join(properties, ","),
      required.empty() ? "" : fmt::format(R"("required":[{}],)", fmt::join(required, ",")));
}

std::string reference_of(const std::vector<Row>& rows) {
  std::string out = "| key | type | required | meaning |\n|---|---|---|---|\n";
  for (const Row& row : rows) {
    if (row.refusal) {
      out += fmt::format("| `{}` | | not yet | {} |\n", row.key, row.refusal->message);
    } else {
      out += fmt::format("| `{}` | {} | {} | {} |\n", row.key, row.type, row.missing ? "yes" : "no",
                         row.doc);
    }
  }
  return out;
}

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates) {
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(word.size() / 3, 1) + 1;
  for (const std::string_view candidate : candidates) {
    const std::size_t d = distance(word, candidate);
    if (d < best_distance) {
      best = candidate;
      best_distance = d;
    }
  }
  return best;
}

}  // namespace zwinger::gateway::config
