#include "gateway/replay.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace zwinger::gateway {
namespace {

namespace fs = std::filesystem;

constexpr UnixSeconds kNow = 1'000'000;
constexpr std::string_view kGrant =
    R"({"type":"grant","claims":{"sub":"s","exp":2000000,"jti":"j","atr":{"role":"r",)"
    R"("scope":["tools:call","tools:list"],"toolsInScope":["clock/*"]}}})";

fs::path sessions() { return fs::path(ZWINGER_SOURCE_DIR) / "src/gateway/testdata/replay"; }

std::vector<std::string> lines_of(const fs::path& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> replay(const std::vector<std::string>& session, const Policy* policy) {
  Replay run(policy, kNow);
  std::vector<std::string> out;
  for (const std::string& line : session) {
    auto lines = run.take_line(line, "");
    if (!lines) {
      ADD_FAILURE() << lines.error().to_string() << "\n" << line;
      break;
    }
    std::ranges::move(*lines, std::back_inserter(out));
  }
  return out;
}

// Each session beside its expected lines, which are written by hand. A folder of the session's name
// with
// ".policy" is its policy.
TEST(ReplayTest, SessionsGiveTheirExpectedLines) {
  int count = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(sessions())) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(".jsonl") || name.ends_with(".expected.jsonl")) continue;
    ++count;
    SCOPED_TRACE(name);
    const std::string stem = entry.path().stem().string();
    std::expected<Policy, std::vector<Error>> policy;
    const fs::path directory = sessions() / (stem + ".policy");
    const bool has_policy = fs::exists(directory);
    if (has_policy) {
      policy = load_policy(directory);
      ASSERT_TRUE(policy) << policy.error().front().to_string();
    }
    EXPECT_EQ(replay(lines_of(entry.path()), has_policy ? &*policy : nullptr),
              lines_of(sessions() / (stem + ".expected.jsonl")));
  }
  EXPECT_EQ(count, 10);
}

// What an attacker can write is the text of results: no verdict may hang on it.
TEST(ReplayTest, OtherResultTextsGiveTheSameVerdicts) {
  const auto session = lines_of(sessions() / "pay-the-bill.jsonl");
  const auto other = lines_of(sessions() / "pay-the-bill-in-other-words.jsonl");
  ASSERT_NE(session, other);
  EXPECT_EQ(replay(session, nullptr), replay(other, nullptr));
}

TEST(ReplayTest, NowIsUsedWhereNothingSaysTheTime) {
  const std::string call = R"({"type":"call","id":"c","upstream":"clock","tool":"now"})";
  for (const auto& [now, reason] :
       {std::pair<UnixSeconds, std::string>{1'999'999, "ok"},
        std::pair<UnixSeconds, std::string>{2'000'000, "token_expired"}}) {
    Replay run(nullptr, now);
    ASSERT_TRUE(run.take_line(kGrant, ""));
    const auto out = run.take_line(call, "");
    ASSERT_TRUE(out);
    EXPECT_TRUE(out->at(0).contains("\"reason\":\"" + reason + "\"")) << out->at(0);
  }
}

TEST(ReplayTest, NamesTheFileWhereItIsGiven) {
  Replay run(nullptr, kNow);
  const auto out =
      run.take_line(R"({"type":"call","id":"c","upstream":"clock","tool":"now"})", "a\"b.jsonl");
  ASSERT_TRUE(out);
  EXPECT_EQ(out->at(0), R"({"id":"c","phase":"call","verdict":"deny","reason":"grant_missing",)"
                        R"("stage":"identity","rules":[],"file":"a\"b.jsonl"})");
}

TEST(ReplayTest, BlankLinesGiveNothing) {
  Replay run(nullptr, kNow);
  for (const char* line : {"", "  \t", "\r"}) {
    const auto out = run.take_line(line, "");
    ASSERT_TRUE(out);
    EXPECT_TRUE(out->empty());
  }
}

TEST(ReplayTest, MalformedLinesAreErrors) {
  const std::string call = R"({"type":"call","id":"c1","upstream":"clock","tool":"now"})";
  const std::vector<std::pair<const char*, Code>> cases = {
      {"{", Code::json_syntax},
      {R"({"type":"call","type":"tools"})", Code::json_duplicate_key},
      {R"({"type":"call"} {})", Code::json_trailing_bytes},
      {"[]", Code::mcp_params},
      {"{}", Code::mcp_params},
      {R"({"type":"Call","id":"x","upstream":"clock","tool":"now"})", Code::mcp_params},
      {R"({"type":7})", Code::mcp_params},
      {R"({"type":"grant"})", Code::mcp_params},
      {R"({"type":"grant","claims":"token"})", Code::mcp_params},
      {R"({"type":"tools","tools":[]})", Code::mcp_params},
      {R"({"type":"tools","upstream":"clock"})", Code::mcp_params},
      {R"({"type":"tools","upstream":"clock","tools":{}})", Code::mcp_params},
      {R"({"type":"tools","upstream":"clock","tools":["now"]})", Code::mcp_params},
      {R"({"type":"tools","upstream":"clock","tools":[{"name":"now"},{"title":"x"}]})",
       Code::mcp_params},
      {R"({"type":"call","upstream":"clock","tool":"now"})", Code::mcp_params},
      {R"({"type":"call","id":7,"upstream":"clock","tool":"now"})", Code::mcp_params},
      {R"({"type":"call","id":"x","tool":"now"})", Code::mcp_params},
      {R"({"type":"call","id":"x","upstream":"clock"})", Code::mcp_params},
      {R"({"type":"call","id":"x","upstream":"clock","tool":""})", Code::mcp_params},
      {R"({"type":"call","id":"x","upstream":"clock","tool":"now","arguments":[]})",
       Code::mcp_params},
      {R"({"type":"call","id":"x","upstream":"clock","tool":"now","arguments":null})",
       Code::mcp_params},
      {R"({"type":"call","id":"x","upstream":"clock","tool":"now","at":1.5})", Code::mcp_params},
      {R"({"type":"call","id":"x","upstream":"clock","tool":"now","at":1e9})", Code::mcp_params},
      {R"({"type":"call","id":"x","upstream":"clock","tool":"now","at":-1})", Code::mcp_params},
      {R"({"type":"call","id":"x","upstream":"clock","tool":"now","at":"1"})", Code::mcp_params},
      {R"({"type":"call","id":"c1","upstream":"clock","tool":"now"})",
       Code::mcp_params},  // id used before
      {R"({"type":"result","id":"c1"})", Code::mcp_params},
      {R"({"type":"result","id":"c1","result":[]})", Code::mcp_params},
      {R"({"type":"result","id":"c9","result":{}})", Code::mcp_params},  // no such call
  };
  for (const auto& [line, code] : cases) {
    Replay run(nullptr, kNow);
    ASSERT_TRUE(run.take_line(call, ""));
    const auto out = run.take_line(line, "");
    ASSERT_FALSE(out) << line;
    EXPECT_EQ(out.error().code, code) << line << ": " << out.error().to_string();
  }
}

TEST(ReplayTest, ACallIsAnsweredOnce) {
  Replay run(nullptr, kNow);
  const std::string result = R"({"type":"result","id":"c","result":{}})";
  ASSERT_TRUE(run.take_line(kGrant, ""));
  ASSERT_TRUE(run.take_line(R"({"type":"call","id":"c","upstream":"clock","tool":"now"})", ""));
  ASSERT_TRUE(run.take_line(result, ""));
  EXPECT_FALSE(run.take_line(result, ""));
}

}  // namespace
}  // namespace zwinger::gateway
