#include "cmd/ready.h"

#include <fmt/format.h>

#include <utility>

#include "json/json.h"
#include "json/writer.h"

namespace zwinger::cmd {

std::string ReadyLine::to_json() const {
  json::Writer out;
  out.begin_object().key("event").string("ready");
  out.key("endpoints").begin_object();
  for (const auto& [id, url] : endpoints) out.key(id).string(url);
  out.end_object();
  out.key("pid").integer(pid);
  return std::move(out.end_object()).take();
}

std::string ReadyLine::to_text() const {
  std::string out = fmt::format("zwinger is ready (process {})\n", pid);
  for (const auto& [id, url] : endpoints) out += fmt::format("  {:<16} {}\n", id, url);
  return out;
}

std::optional<ReadyLine> ReadyLine::parse(std::string_view line) {
  const auto document = json::Document::parse(std::string(line));
  if (!document || !document->root().is_object()) return std::nullopt;
  const auto event = document->root().find("event");
  const auto endpoints = document->root().find("endpoints");
  const auto pid = document->root().find("pid");
  if (!event || !event->is_string() || event->string() != "ready") return std::nullopt;
  if (!endpoints || !endpoints->is_object() || !pid || !pid->is_number()) return std::nullopt;
  ReadyLine out;
  out.pid = static_cast<pid_t>(pid->integer().value_or(0));
  for (const json::Value url : endpoints->children()) {
    if (!url.is_string()) return std::nullopt;
    out.endpoints.emplace(url.name(), url.string());
  }
  return out;
}

}  // namespace zwinger::cmd
