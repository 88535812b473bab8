// Argument texts: many, different, around a given size, as JSON string contents. The same seed
// gives the same texts. Immutable once made; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bench/gateway/wire.h"

namespace zwinger::bench {

// Sizes are spread evenly over a quarter of `bytes`, `bytes` in the middle.
inline std::vector<std::string> make_corpus(std::size_t variants, std::size_t bytes,
                                            std::uint64_t seed) {
  constexpr std::array<std::string_view, 48> kWords = {
      "invoice",  "claim",    "policy",      "account", "branch",   "credit",  "review",
      "ledger",   "payment",  "renewal",     "the",     "of",       "and",     "before",
      "without",  "between",  "amount",      "in",      "EUR",      "quarter", "customer",
      "contract", "deadline", "Zürich",      "Köln",    "São",      "Paulo",   "approved",
      "rejected", "pending",  "please",      "compare", "attach",   "summary", "page",
      "line",     "\\n",      "\\\"net\\\"", "\\t",     "https://", "a/b",     "(see)",
      "[draft]",  "#",        "50 %",        "–",       "e.g.",     "\\u00e9"};
  std::vector<std::string> out(variants);
  std::uint64_t state = mix(seed);
  for (std::string& text : out) {
    state = mix(state);
    const std::size_t size = bytes - (bytes / 8) + (state % ((bytes / 4) + 1));
    while (text.size() < size) {
      state = mix(state);
      if (state % 7 == 0) {
        append_number(text, (state >> 8U) % 1'000'000);
      } else {
        text += kWords.at((state >> 8U) % kWords.size());
      }
      text += ' ';
    }
  }
  return out;
}

}  // namespace zwinger::bench
