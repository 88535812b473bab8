#include "text/path.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "text/utf8.h"

namespace zwinger::text {
namespace {

TEST(Path, IsResolvedLexically) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"/", "/"},
      {"//", "/"},
      {"/data", "/data"},
      {"/data/", "/data"},
      {"//data///x", "/data/x"},
      {"/data/./x/.", "/data/x"},
      {"/data/../etc", "/etc"},
      {"/data/x/../../etc/passwd", "/etc/passwd"},
      {"/data/..", "/"},
      {"/data/...", "/data/..."},
      {"/data/.hidden/..x/x..", "/data/.hidden/..x/x.."},
      {"/data/50%", "/data/50%"},
      {"/data/a%20b", "/data/a%20b"},  // decodes to a plain name, and is kept as it came
      {"/data/100%25", "/data/100%25"},
      {"/data/Bericht\u2026", "/data/Bericht\u2026"},
      {"/data/\u0416", "/data/\u0416"},
      {"/data/Rechnung f\u00FCr M\u00FCller.pdf", "/data/Rechnung f\u00FCr M\u00FCller.pdf"},
      {"/data/fu\u0308r.pdf", "/data/fu\u0308r.pdf"},  // decomposed, and kept so
      {"/data/\u8CC7\u6599\uFF11\uFF08\u6700\u65B0\uFF09.pdf",
       "/data/\u8CC7\u6599\uFF11\uFF08\u6700\u65B0\uFF09.pdf"},
      {"/data/10\uFF05.txt", "/data/10\uFF05.txt"},
      {"/data/\U0001F468\u200D\U0001F469\u200D\U0001F467.png",
       "/data/\U0001F468\u200D\U0001F469\u200D\U0001F467.png"},
      {"/data/\u0645\u06CC\u200C\u062E\u0648\u0627\u0647\u0645",
       "/data/\u0645\u06CC\u200C\u062E\u0648\u0627\u0647\u0645"},
      {"/data/100%25 M\u00FCller", "/data/100%25 M\u00FCller"},
      {"/data/a . b", "/data/a . b"},
  };
  for (const auto& [path, canonical] : cases) EXPECT_EQ(canonical_path(path), canonical) << path;
}

TEST(Path, WhatReadersCouldReadDifferentlyIsNoPath) {
  std::vector<std::string> bad = {
      "",
      "data/x",
      "./x",
      "~/x",
      "C:/x",
      "file:///data/x",
      "/..",
      "/data/../..",
      "/data/../../data",
      "/data\\x",
      "/data/..\\x",
      "\\data",
      "/data/x\n",
      "/data/\x7f",
      "/data/\xC2\x9B",
      "/data/\xFF",
      "/data/%2e%2e/x",
      "/data/%2E",
      "/data/.%2e",
      "/data/%2e./x",
      "/data/%252e%252e/x",
      "/data/%25252e%25252e/x",
      "/data/..%2fetc",
      "/data/a%2Fb",
      "/data/a%5cb",
      "/data/x%00.txt",
      "/data/%0a",
      "/data/%c0%ae%c0%ae/x",
      "/data/%ff",
      "/data/\uFF0E\uFF0E/x",
      "/data/\u2025/x",
      "/data/\u2024\u2024",
      "/data/\uFE52.",
      "/data/..\uFF0Fetc",
      "/data/..\u2215etc",
      "/data/..\u2044etc",
      "/data/..\uFF3Cetc",
      "/data/\uFF052e\uFF052e/x",
      "/data/%EF%BC%8E%EF%BC%8E",
      // NFKC turns these into dots, separators and percent sequences.
      "/data/\uFE30/etc/passwd",
      "/data/%EF%B8%B0/etc/passwd",
      "/data/%\uFF12\uFF45%\uFF12\uFF45/etc/passwd",
      "/data/%\u00B2e%\u00B2e/etc/passwd",
      "/data/\uFE19",
      "/data/a\uFE19b",
      "/data/\u2100",
      "/data/\u2101",
      "/data/\u2105/x",
      "/data/\u2106",
      "/data/\U0001F100",
      "/data/\u33C2",
      "/data/\u33C7",
      "/data/\u33D8",
      "/data/a\uFF0Eb",
      "/data/\u00BD",  // 1, fraction slash, 2
      // What a reader drops: invisible characters, accents, spaces around it.
      "/data/.\u200B./x",
      "/data/.\u00AD./etc",
      "/data/\uFEFF../etc",
      "/data/..\uFE0F/etc",
      "/data/.\U000E0041./etc",
      "/data/%\u200B2e%\u200B2e/etc",
      "/data/.\u0301./etc",
      "/data/.. ",
      "/data/ ..",
      "/data/..\u3000",
      "/data/..%20",
      "/data/..\u2028",
      // Composition would hide the f of the slash from whoever decodes before folding.
      "/data/%252f\u0307etc",
      "/data/..%2\u1E1Fetc",
      // Neither half is UTF-8, only both.
      "/data/\xC3%A9",
  };
  for (std::uint32_t listed = 0x2488; listed <= 0x249B; ++listed) {  // 1. to 20.
    std::string path = "/data/";
    append_utf8(path, listed);
    bad.push_back(std::move(path));
  }
  bad.emplace_back("/data/x\0.txt", 12);
  for (const std::string& path : bad) EXPECT_EQ(canonical_path(path), std::nullopt) << path;
}

TEST(Path, DecodingIsBounded) {
  std::string hidden = "/data/%";
  for (int i = 0; i < 200'000; ++i) hidden += "25";
  EXPECT_EQ(canonical_path(hidden + "2e%2e"), std::nullopt);
}

TEST(Path, UnderEndsAtASegment) {
  EXPECT_TRUE(is_under("/data", "/data"));
  EXPECT_TRUE(is_under("/data/x/y", "/data"));
  EXPECT_FALSE(is_under("/database", "/data"));
  EXPECT_FALSE(is_under("/data-old/x", "/data"));
  EXPECT_FALSE(is_under("/dat", "/data"));
  EXPECT_FALSE(is_under("/", "/data"));
  EXPECT_FALSE(is_under("/Data/x", "/data"));
  EXPECT_TRUE(is_under("/", "/"));
  EXPECT_TRUE(is_under("/data", "/"));
}

}  // namespace
}  // namespace zwinger::text
