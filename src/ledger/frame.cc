#include "ledger/frame.h"

#include "crypto/hash.h"
#include "ledger/leaf.h"

namespace zwinger::ledger {

namespace {

constexpr std::size_t kDigits = 16;
constexpr std::size_t kHead = kDigits + 1;  // and the space

std::string digits_of(std::string_view json) { return crypto::sha256_hex(json).substr(0, kDigits); }

}  // namespace

void append_frame(std::string& out, std::string_view json) {
  out += digits_of(json);
  out += ' ';
  out += json;
  out += '\n';
}

std::size_t frame_size(std::string_view json) { return kHead + json.size() + 1; }

std::optional<std::string_view> frame_at(std::string_view bytes, std::size_t start) {
  const std::string_view rest = bytes.substr(start);
  if (rest.size() <= kHead || rest[kDigits] != ' ') return std::nullopt;
  const std::string_view body = rest.substr(kHead, kMaxLeaf + 1);
  const std::size_t newline = body.find('\n');
  if (newline == std::string_view::npos) return std::nullopt;
  const std::string_view json = body.substr(0, newline);
  if (rest.substr(0, kDigits) != digits_of(json)) return std::nullopt;
  return json;
}

std::optional<std::size_t> find_frame(std::string_view bytes, std::size_t start) {
  // Every leaf begins like this; looking for it spares a hash at every byte.
  constexpr std::string_view kMark = " {\"seq\":";
  for (std::size_t from = start; (from = bytes.find(kMark, from)) != std::string_view::npos;
       ++from) {
    if (from < start + kDigits) continue;
    if (frame_at(bytes, from - kDigits)) return from - kDigits;
  }
  return std::nullopt;
}

}  // namespace zwinger::ledger
