#include "ledger/reader.h"

#include <gtest/gtest.h>

#include "ledger/frame.h"
#include "ledger/leaf.h"

namespace zwinger::ledger {
namespace {

using namespace std::string_literals;

std::string frame(std::string_view json) {
  std::string out;
  append_frame(out, json);
  return out;
}

std::string leaf_frame(std::uint64_t sequence) {
  return frame(to_json(Leaf{}, sequence, std::chrono::system_clock::time_point()));
}

std::string leaf_frames(std::uint64_t first, std::uint64_t last) {
  std::string out;
  for (std::uint64_t i = first; i <= last; ++i) out += leaf_frame(i);
  return out;
}

SegmentReport read(std::string_view bytes) {
  return read_frames(bytes, [](std::string_view) { return true; });
}

TEST(Frame, IsSixteenDigitsASpaceTheJsonAndANewline) {
  // printf '{"seq":1,"time":"2023-11-14T22:13:20.000000Z","kind":"boot"}' | sha256sum
  const auto* json = R"({"seq":1,"time":"2023-11-14T22:13:20.000000Z","kind":"boot"})";
  EXPECT_EQ(frame(json), "5505978730672da7 "s + json + "\n");
  EXPECT_EQ(frame_size(json), frame(json).size());
}

TEST(Reader, GivesEveryLeafInOrder) {
  std::vector<std::string> seen;
  const std::string bytes = leaf_frames(1, 3);
  const auto report = read_frames(bytes, [&](std::string_view json) {
    seen.emplace_back(json);
    return true;
  });
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_EQ(frame(seen[0]) + frame(seen[1]) + frame(seen[2]), bytes);
  EXPECT_EQ(report.leaves, 3U);
  EXPECT_EQ(report.prefix_bytes, bytes.size());
  EXPECT_EQ(report.tail_bytes, 0U);
  EXPECT_FALSE(report.damage);
}

TEST(Reader, StopsWhenAsked) {
  const auto report = read_frames(leaf_frames(1, 3), [](std::string_view) { return false; });
  EXPECT_EQ(report.leaves, 1U);
  EXPECT_EQ(report.prefix_bytes, leaf_frame(1).size());
  EXPECT_EQ(report.tail_bytes, 0U);
  EXPECT_FALSE(report.damage);
}

TEST(Reader, NothingIsAnEmptySegment) {
  const auto report = read("");
  EXPECT_EQ(report.leaves, 0U);
  EXPECT_EQ(report.prefix_bytes, 0U);
  EXPECT_EQ(report.tail_bytes, 0U);
  EXPECT_FALSE(report.damage);
}

TEST(Reader, ATailTornAtAnyByteIsNoDamage) {
  const std::string whole = leaf_frames(1, 3);
  const std::string last = leaf_frame(4);
  for (std::size_t kept = 0; kept < last.size(); ++kept) {
    const auto report = read(whole + last.substr(0, kept));
    EXPECT_EQ(report.leaves, 3U) << kept;
    EXPECT_EQ(report.prefix_bytes, whole.size()) << kept;
    EXPECT_EQ(report.tail_bytes, kept);
    EXPECT_FALSE(report.damage) << kept;
  }
  EXPECT_EQ(read(whole + last).leaves, 4U);
}

TEST(Reader, ATailThatTheDiskNeverGotIsNoDamage) {
  const std::string whole = leaf_frames(1, 3);
  const auto report = read(whole + std::string(8192, '\0'));
  EXPECT_EQ(report.leaves, 3U);
  EXPECT_EQ(report.tail_bytes, 8192U);
  EXPECT_FALSE(report.damage);
}

TEST(Reader, AnyBitFlippedBeforeTheLastFrameIsDamage) {
  const std::string whole = leaf_frames(1, 4);
  const std::size_t size = leaf_frame(1).size();
  ASSERT_EQ(whole.size(), 4 * size);
  for (std::size_t byte = 0; byte < 3 * size; ++byte) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      std::string bytes = whole;
      bytes[byte] = static_cast<char>(static_cast<unsigned char>(bytes[byte]) ^ (1U << bit));
      const auto report = read(bytes);
      ASSERT_EQ(report.leaves, byte / size) << byte << '.' << bit;
      ASSERT_EQ(report.prefix_bytes, byte / size * size);
      ASSERT_EQ(report.tail_bytes, bytes.size() - report.prefix_bytes);
      ASSERT_TRUE(report.damage) << byte << '.' << bit;
      ASSERT_EQ(report.damage->code, Code::ledger_corrupt);
      ASSERT_EQ(report.damage->where, "byte " + std::to_string(report.prefix_bytes));
    }
  }
}

TEST(Reader, AnyBitFlippedInTheLastFrameIsATornTail) {
  const std::string whole = leaf_frames(1, 3);
  const std::size_t size = leaf_frame(1).size();
  for (std::size_t byte = 2 * size; byte < 3 * size; ++byte) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      std::string bytes = whole;
      bytes[byte] = static_cast<char>(static_cast<unsigned char>(bytes[byte]) ^ (1U << bit));
      const auto report = read(bytes);
      ASSERT_EQ(report.leaves, 2U) << byte << '.' << bit;
      ASSERT_FALSE(report.damage);
    }
  }
}

TEST(Reader, LeavesTakenOutRepeatedOrSwappedAreDamage) {
  const auto damage_of = [](const std::string& bytes, std::uint64_t leaves) {
    const auto report = read(bytes);
    EXPECT_EQ(report.leaves, leaves);
    return report.damage ? report.damage->message : "none";
  };
  EXPECT_EQ(damage_of(leaf_frames(1, 2) + leaf_frame(4), 2), "leaf 4 stands where leaf 3 was due");
  EXPECT_EQ(damage_of(leaf_frames(1, 2) + leaf_frame(2), 2), "leaf 2 stands where leaf 3 was due");
  EXPECT_EQ(damage_of(leaf_frame(2) + leaf_frame(1), 0), "leaf 2 stands where leaf 1 was due");
  EXPECT_EQ(damage_of(leaf_frames(2, 4), 0), "leaf 2 stands where leaf 1 was due");
}

TEST(Reader, AWholeFrameWithoutALeafIsDamage) {
  for (const auto* json :
       {"", "x", "[]", "1", "{}", R"({"seq":"2"})", R"({"seq":2.0})", R"({"seq":0})",
        R"({"seq":-2})", R"({"seq":null})", R"({"seq":2,"seq":2})", R"({"seq":2}})",
        R"({"seq":99999999999999999999})", "{\"seq\":2,\"tool\":\"\xff\"}"}) {
    const auto report = read(leaf_frame(1) + frame(json));
    EXPECT_EQ(report.leaves, 1U) << json;
    EXPECT_TRUE(report.damage) << json;
  }
}

TEST(Reader, WhatLooksLikeALeafWithoutRoomForItsDigitsIsNoFrame) {
  for (std::size_t before = 0; before <= 16; ++before) {
    const auto report = read(std::string(before, 'a') + " {\"seq\":1}\n");
    EXPECT_EQ(report.leaves, 0U);
    EXPECT_FALSE(report.damage);
  }
}

TEST(Reader, AFrameIsAtMostALeafLong) {
  const auto padded = [](std::size_t size) {
    std::string json = R"({"seq":1,"x":")";
    json.append(size - json.size() - 2, 'x');
    return json + "\"}";
  };
  ASSERT_EQ(padded(kMaxLeaf).size(), kMaxLeaf);
  EXPECT_EQ(read(frame(padded(kMaxLeaf))).leaves, 1U);
  EXPECT_EQ(read(frame(padded(kMaxLeaf + 1))).leaves, 0U);
}

TEST(Reader, ForeignBytesBetweenFramesAreDamage) {
  for (const auto& foreign : {"x"s, "\n"s, " "s, "\0"s, leaf_frame(2).substr(0, 20), "text\n"s}) {
    const auto report = read(leaf_frame(1) + foreign + leaf_frame(2));
    EXPECT_EQ(report.leaves, 1U);
    EXPECT_TRUE(report.damage) << foreign;
  }
}

}  // namespace
}  // namespace zwinger::ledger
