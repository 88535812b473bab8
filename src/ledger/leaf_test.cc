#include "ledger/leaf.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "json/json.h"

namespace zwinger::ledger {
namespace {

using namespace std::string_literals;
using std::chrono::microseconds;
using std::chrono::seconds;
using TimePoint = std::chrono::system_clock::time_point;

constexpr TimePoint kTime{seconds(1700000000)};  // 2023-11-14T22:13:20Z

Leaf decision() {
  Leaf leaf;
  leaf.kind = LeafKind::decision;
  leaf.call = "c1";
  return leaf;
}

ArgumentTrace argument(std::string pointer) {
  ArgumentTrace trace;
  trace.pointer = std::move(pointer);
  trace.type = "string";
  trace.digest = std::string(32, 'd');
  return trace;
}

json::Document parse(const std::string& text) {
  auto document = json::Document::parse(text);
  if (!document) {
    ADD_FAILURE() << document.error().to_string() << "\n" << text;
    return *json::Document::parse("{}");
  }
  return *std::move(document);
}

std::string text_of(const json::Document& document, std::string_view member) {
  const auto value = document.root().find(member);
  return value && value->is_string() ? std::string(value->string()) : "(none)";
}

std::int64_t number_of(const json::Document& document, std::string_view member) {
  const auto value = document.root().find(member);
  return value && value->is_number() ? value->integer().value_or(-1) : -1;
}

TEST(Leaf, ADecisionNamesEveryMemberInOrder) {
  Leaf leaf;
  leaf.kind = LeafKind::decision;
  leaf.call = "c1";
  leaf.generation = "g";
  leaf.issuer = "https://idp";
  leaf.tenant = "acme";
  leaf.subject = "ann";
  leaf.session = "s";
  leaf.actors = {"agent", "planner"};
  leaf.proof = "bearer";
  leaf.peer = "spiffe://acme/agent";
  leaf.transport = "http";
  leaf.direction = "server";
  leaf.method = "tools/call";
  leaf.upstream = "bank";
  leaf.tool = "send";
  leaf.prompt = "greet";
  leaf.resource_scheme = "https";
  leaf.resource_host = "example.org";
  leaf.resource_digest = "0f";
  leaf.request_bytes = 120;
  leaf.arguments = {
      {.pointer = "/to/*",
       .type = "string",
       .size = 15,
       .shape = "email",
       .host = {},
       .top = {},
       .digest = "1e",
       .times = 2,
       .more = 3},
      {.pointer = "/file",
       .type = "string",
       .size = 1,
       .shape = "path",
       .host = {},
       .top = {},
       .digest = "2d"},
      {.pointer = "/on", .type = "boolean", .shape = {}, .host = {}, .top = {}, .digest = "3c"}};
  leaf.arguments_more = 4;
  leaf.verdict = "deny";
  leaf.reason = "constraint_enum";
  leaf.stage = "grant";
  leaf.at = "/to/1";
  leaf.rules = {"r1", "r2"};
  leaf.forward_sha256 = "ab";
  leaf.stages_us = {{"judge", 12}, {"ledger", 0}};
  EXPECT_EQ(to_json(leaf, 7, kTime + microseconds(42)),
            R"({"seq":7,"time":"2023-11-14T22:13:20.000042Z","kind":"decision","call":"c1",)"
            R"("generation":"g","issuer":"https://idp","tenant":"acme","subject":"ann",)"
            R"("actors":["agent","planner"],"session":"s","proof":"bearer",)"
            R"("peer":"spiffe://acme/agent","transport":"http","direction":"server",)"
            R"("method":"tools/call","upstream":"bank","tool":"send","prompt":"greet",)"
            R"("resource_scheme":"https","resource_host":"example.org","resource_h":"0f",)"
            R"("request_bytes":120,"args":[{"p":"/to/*","t":"string","n":15,"c":"email",)"
            R"("h":"1e","times":2,"more":3},{"p":"/file","t":"string","n":1,"c":"path",)"
            R"("depth":0,"h":"2d"},{"p":"/on","t":"boolean","h":"3c"}],"args_more":4,)"
            R"("verdict":"deny",)"
            R"("reason":"constraint_enum","stage":"grant","at":"/to/1","rules":["r1","r2"],)"
            R"("forward_sha256":"ab","stages_us":{"judge":12,"ledger":0}})");
}

TEST(Leaf, AnOutcomeAlwaysHasItsNumbers) {
  Leaf leaf;
  leaf.kind = LeafKind::outcome;
  leaf.call = "c1";
  leaf.status = "failed";
  EXPECT_EQ(to_json(leaf, 8, kTime),
            R"({"seq":8,"time":"2023-11-14T22:13:20.000000Z","kind":"outcome","call":"c1",)"
            R"("status":"failed","answer_bytes":0,"duration_us":0})");
  leaf.answer_bytes = 3;
  leaf.answer_sha256 = "cd";
  leaf.duration_us = 4;
  EXPECT_EQ(to_json(leaf, 8, kTime),
            R"({"seq":8,"time":"2023-11-14T22:13:20.000000Z","kind":"outcome","call":"c1",)"
            R"("status":"failed","answer_bytes":3,"answer_sha256":"cd","duration_us":4})");
  leaf.progress_events = 2;
  leaf.progress_bytes = 90;
  leaf.progress_sha256 = "ef";
  EXPECT_EQ(to_json(leaf, 8, kTime),
            R"({"seq":8,"time":"2023-11-14T22:13:20.000000Z","kind":"outcome","call":"c1",)"
            R"("status":"failed","answer_bytes":3,"answer_sha256":"cd","duration_us":4,)"
            R"("progress_events":2,"progress_bytes":90,"progress_sha256":"ef"})");
}

TEST(Leaf, ADecisionAlwaysHasItsSizeAndANoticeOnlyWhatItHas) {
  EXPECT_EQ(to_json(decision(), 1, kTime),
            R"({"seq":1,"time":"2023-11-14T22:13:20.000000Z","kind":"decision","call":"c1",)"
            R"("request_bytes":0})");
  Leaf notice;
  notice.event = "strangers";
  notice.count = 9;
  EXPECT_EQ(to_json(notice, 2, kTime),
            R"({"seq":2,"time":"2023-11-14T22:13:20.000000Z","kind":"notice",)"
            R"("event":"strangers","count":9})");
}

TEST(Leaf, KindsHaveTheirNames) {
  EXPECT_EQ(to_string(LeafKind::boot), "boot");
  EXPECT_EQ(to_string(LeafKind::decision), "decision");
  EXPECT_EQ(to_string(LeafKind::outcome), "outcome");
  EXPECT_EQ(to_string(LeafKind::notice), "notice");
  EXPECT_EQ(to_string(LeafKind::stop), "stop");
}

TEST(Leaf, TimesBeforeTheEpochRoundDown) {
  EXPECT_EQ(format_time(TimePoint(microseconds(-1))), "1969-12-31T23:59:59.999999Z");
  EXPECT_EQ(format_time(TimePoint(seconds(951782400))), "2000-02-29T00:00:00.000000Z");
}

TEST(Leaf, HostileNamesStayOnTheirLine) {
  Leaf leaf = decision();
  leaf.tool = "a\n5505978730672da7 {\"seq\":1}\n\r\t\"\\\0\x1b[2J"s;
  leaf.method = "\n";
  const std::string json = to_json(leaf, 1, kTime);
  EXPECT_EQ(json.find_first_of("\n\r\x1b\0"s), std::string::npos) << json;
  const auto document = parse(json);
  EXPECT_EQ(text_of(document, "tool"), leaf.tool);
  EXPECT_EQ(text_of(document, "method"), "\n");
}

TEST(Leaf, BytesThatAreNotUtf8AreReplaced) {
  Leaf leaf = decision();
  leaf.tool =
      "a\xff"
      "b";
  EXPECT_EQ(text_of(parse(to_json(leaf, 1, kTime)), "tool"),
            "a\xEF\xBF\xBD"
            "b");
}

TEST(Leaf, LongNamesAreCutWithTheirLengthBeside) {
  Leaf leaf = decision();
  leaf.tool = std::string(kMaxName, 'x');
  auto document = parse(to_json(leaf, 1, kTime));
  EXPECT_EQ(text_of(document, "tool"), leaf.tool);
  EXPECT_EQ(number_of(document, "tool_len"), -1) << "256 bytes are not too long";
  leaf.tool += 'y';
  document = parse(to_json(leaf, 1, kTime));
  EXPECT_EQ(text_of(document, "tool"), std::string(kMaxName, 'x'));
  EXPECT_EQ(number_of(document, "tool_len"), 257);
  EXPECT_FALSE(document.root().find("cut")) << "tool_len says it already";
}

TEST(Leaf, NamesAreCutBetweenCharacters) {
  // The 256th byte falls on each byte of a character of two, three and four bytes.
  for (const auto* character : {"\u00e4", "\u20ac", "\U0001F600"}) {
    const std::string one = character;
    for (std::size_t before = kMaxName - one.size(); before <= kMaxName; ++before) {
      Leaf leaf = decision();
      leaf.tool = std::string(before, 'x') + one + "tail";
      const std::string expected = before + one.size() <= kMaxName ? std::string(before, 'x') + one
                                                                   : std::string(before, 'x');
      const auto document = parse(to_json(leaf, 1, kTime));
      EXPECT_EQ(text_of(document, "tool"), expected) << before;
      EXPECT_EQ(number_of(document, "tool_len"), static_cast<std::int64_t>(leaf.tool.size()));
    }
  }
}

TEST(Leaf, ContinuationBytesWithoutEndAreCutAllTheSame) {
  Leaf leaf = decision();
  leaf.tool = std::string(300, '\x80');
  const auto document = parse(to_json(leaf, 1, kTime));
  EXPECT_EQ(text_of(document, "tool").size(), kMaxName * 3) << "each byte is one U+FFFD";
  EXPECT_EQ(number_of(document, "tool_len"), 300);
}

TEST(Leaf, ALongRuleIsCutAndSaid) {
  Leaf leaf = decision();
  leaf.rules = {"short", std::string(300, 'r')};
  const auto document = parse(to_json(leaf, 1, kTime));
  const auto rules = document.root().find("rules");
  ASSERT_TRUE(rules && rules->size() == 2);
  EXPECT_TRUE(document.root().find("cut"));
}

TEST(Leaf, RulesAndPointerGoFirst) {
  Leaf leaf = decision();
  leaf.tool = std::string(200, 't');
  leaf.at = "/pointer";
  leaf.rules.assign(300, "a-rule-with-a-name");
  const auto document = parse(to_json(leaf, 1, kTime));
  EXPECT_FALSE(document.root().find("rules"));
  EXPECT_FALSE(document.root().find("at"));
  const auto marker = document.root().find("cut");
  ASSERT_TRUE(marker && marker->is_bool());
  EXPECT_TRUE(marker->boolean());
  EXPECT_EQ(text_of(document, "tool"), leaf.tool) << "names stay";
  EXPECT_EQ(text_of(document, "call"), "c1");
}

// What is dropped, and in which order: arguments, then stages, then rules and the pointer.
TEST(Leaf, ArgumentsGoFirstThenStages) {
  Leaf leaf = decision();
  leaf.at = "/pointer";
  leaf.rules = {"rule"};
  leaf.arguments.assign(3, argument("/a"));
  leaf.arguments[1].times = 10;
  leaf.arguments[2].more = 100;
  leaf.arguments_more = 1000;
  leaf.stages_us = {{"judge", 1}};
  const auto has = [](const json::Document& document) {
    std::string out;
    for (const auto* member : {"args", "args_more", "stages_us", "rules", "at", "cut"}) {
      if (document.root().find(member)) out.append(member).append(" ");
    }
    return out;
  };
  EXPECT_EQ(has(parse(to_json(leaf, 1, kTime))), "args args_more stages_us rules at ");

  leaf.rules.assign(1, std::string(100, 'r'));
  for (int i = 0; i < 36; ++i) leaf.rules.emplace_back(100, 'r');  // 3811 bytes
  auto document = parse(to_json(leaf, 1, kTime));
  EXPECT_EQ(has(document), "args_more stages_us rules at cut ");
  EXPECT_EQ(number_of(document, "args_more"), 1 + 10 + 1 + 100 + 1000) << "all are counted";

  leaf.stages_us.emplace_back(
      "a-stage-whose-name-takes-as-many-bytes-as-are-left-and-some-more-of-them-than-that-so-that-"
      "it-does-not-fit-with-the-rest-of-the-leaf-however-one-counts-its-members-and-their-commas",
      1);
  EXPECT_EQ(has(parse(to_json(leaf, 1, kTime))), "args_more rules at cut ");

  leaf.rules.assign(50, std::string(100, 'r'));
  EXPECT_EQ(has(parse(to_json(leaf, 1, kTime))), "args_more cut ");
}

// A member that comes twice would make the leaf unreadable.
TEST(Leaf, TimesOfOneStageAreAddedUp) {
  Leaf leaf = decision();
  leaf.stages_us = {{"ledger", 5}, {"judge", 1}, {"ledger", 7}, {"ledger", 0}};
  const std::string json = to_json(leaf, 1, kTime);
  EXPECT_TRUE(json.ends_with(R"("stages_us":{"ledger":12,"judge":1}})")) << json;
}

TEST(Leaf, OfManyActorsTheFirstAreNamed) {
  Leaf leaf = decision();
  for (int i = 1; i <= 9; ++i) leaf.actors.push_back("actor" + std::to_string(i));
  auto document = parse(to_json(leaf, 1, kTime));
  EXPECT_EQ(document.root().find("actors")->size(), kMaxActors);
  EXPECT_EQ(number_of(document, "actors_more"), 1);
  // However hostile the names beside them.
  for (std::string* name : {&leaf.method, &leaf.tool, &leaf.prompt}) {
    *name = std::string(1000, '\x01');
  }
  document = parse(to_json(leaf, 1, kTime));
  const auto actors = document.root().find("actors");
  ASSERT_TRUE(actors && actors->size() == 4);
  EXPECT_EQ((*actors->children().begin()).string(), "actor1");
  EXPECT_EQ(number_of(document, "actors_more"), 5);
}

TEST(Leaf, NothingMakesALeafTooLong) {
  for (const std::string& unit : {"x"s, "\x01"s, "\""s, "\xff"s, "\U0001F600"s}) {
    for (const int count : {1, 63, 64, 65, 255, 256, 257, 5000}) {
      std::string text;
      for (int i = 0; i < count; ++i) text += unit;
      Leaf leaf;
      leaf.kind = LeafKind::decision;
      for (std::string* member : {&leaf.call,
                                  &leaf.generation,
                                  &leaf.issuer,
                                  &leaf.tenant,
                                  &leaf.subject,
                                  &leaf.session,
                                  &leaf.proof,
                                  &leaf.peer,
                                  &leaf.transport,
                                  &leaf.direction,
                                  &leaf.method,
                                  &leaf.upstream,
                                  &leaf.tool,
                                  &leaf.prompt,
                                  &leaf.resource_scheme,
                                  &leaf.resource_host,
                                  &leaf.resource_digest,
                                  &leaf.verdict,
                                  &leaf.reason,
                                  &leaf.stage,
                                  &leaf.at,
                                  &leaf.forward_sha256,
                                  &leaf.status,
                                  &leaf.answer_sha256,
                                  &leaf.progress_sha256,
                                  &leaf.event}) {
        *member = text;
      }
      leaf.rules.assign(20, text);
      leaf.actors.assign(20, text);
      constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();
      leaf.arguments.assign(20, argument(text));
      leaf.arguments_more = kMost / 2;
      leaf.stages_us.assign(20, {"judge", kMost});
      leaf.request_bytes = leaf.answer_bytes = leaf.duration_us = leaf.count = kMost;
      leaf.progress_events = leaf.progress_bytes = kMost;
      const std::string json = to_json(leaf, kMost, kTime);
      EXPECT_LE(json.size(), kMaxLeaf) << count;
      EXPECT_EQ(json.find('\n'), std::string::npos);
      const auto document = parse(json);
      EXPECT_NE(text_of(document, "call"), "(none)");
      EXPECT_NE(text_of(document, "tool"), "(none)");
    }
  }
}

TEST(Leaf, ALeafMayBeAsLongAsTheLimitAndNoLonger) {
  std::size_t longest = 0;
  Leaf leaf = decision();
  leaf.rules.assign(950,
                    "r");  // 3800 bytes; the tool's name then passes the limit one byte at a time
  for (std::size_t size = 1; size <= kMaxName; ++size) {
    leaf.tool = std::string(size, 't');
    longest =
        std::max(longest, to_json(leaf, std::numeric_limits<std::uint64_t>::max(), kTime).size());
  }
  EXPECT_EQ(longest, kMaxLeaf);
}

TEST(Leaf, AHostileToolNameLeavesTheRestWhole) {
  Leaf leaf = decision();
  leaf.call = "0123456789abcdef";
  leaf.subject = "ann@example.org";
  leaf.method = "tools/call";
  leaf.tool = std::string(100000, '\x01');
  leaf.at = "/" + std::string(100000, '\x01');
  leaf.verdict = "deny";
  const auto document = parse(to_json(leaf, 1, kTime));
  EXPECT_EQ(text_of(document, "call"), leaf.call);
  EXPECT_EQ(text_of(document, "subject"), leaf.subject);
  EXPECT_EQ(text_of(document, "verdict"), "deny");
  EXPECT_EQ(number_of(document, "tool_len"), 100000);
}

}  // namespace
}  // namespace zwinger::ledger
