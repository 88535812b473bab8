#include "cmd/pretty.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "json/writer.h"

namespace zwinger::cmd {

namespace {

constexpr std::size_t kLine = 100;

bool is_container(json::Value value) { return value.is_array() || value.is_object(); }

void put_compact(json::Value value, json::Writer& out) {
  if (value.is_array()) {
    out.begin_array();
    for (const json::Value child : value.children()) put_compact(child, out);
    out.end_array();
  } else if (value.is_object()) {
    out.begin_object();
    for (const json::Value child : value.children()) put_compact(child, out.key(child.name()));
    out.end_object();
  } else {
    out.value(value);
  }
}

void put(json::Value value, std::size_t indent, std::string& out) {
  if (!is_container(value)) {
    out += value.source();
    return;
  }
  const char open = value.is_array() ? '[' : '{';
  const char close = value.is_array() ? ']' : '}';
  if (value.size() == 0) {
    out += open;
    out += close;
    return;
  }
  if (value.is_array() && std::ranges::none_of(value.children(), is_container)) {
    std::string line = "[";
    for (const json::Value child : value.children()) {
      if (line.size() > 1) line += ", ";
      line += child.source();
    }
    line += ']';
    if (indent + line.size() <= kLine) {
      out += line;
      return;
    }
  }
  out += open;
  bool first = true;
  for (const json::Value child : value.children()) {
    out += first ? "\n" : ",\n";
    first = false;
    out.append(indent + 2, ' ');
    if (value.is_object()) out += json::quote(child.name()) + ": ";
    put(child, indent + 2, out);
  }
  out += '\n';
  out.append(indent, ' ');
  out += close;
}

}  // namespace

std::string pretty(json::Value value) {
  std::string out;
  put(value, 0, out);
  return out;
}

std::string compact(json::Value value) {
  json::Writer out;
  put_compact(value, out);
  return std::move(out).take();
}

}  // namespace zwinger::cmd
