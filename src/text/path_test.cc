#include "text/path.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

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
  };
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
