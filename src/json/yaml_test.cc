#include "json/yaml.h"

#include <gtest/gtest.h>

#include "json/json.h"

namespace zwinger::json {
namespace {

using namespace std::string_view_literals;

YamlNode parse_ok(std::string_view text, const YamlLimits& limits = {}) {
  auto node = parse_yaml(text, "p.yaml", limits);
  if (!node) ADD_FAILURE() << text << ": " << node.error().to_string();
  return node ? *std::move(node) : YamlNode{};
}

std::string to_json(std::string_view text) { return yaml_to_json(parse_ok(text)); }

struct Refusal {
  std::string_view text;
  std::string_view at;    // "line:column"
  std::string_view says;  // part of the message
};

void expect_refused(Code code, const Refusal& want, const YamlLimits& limits = {}) {
  const auto node = parse_yaml(want.text, "p.yaml", limits);
  ASSERT_FALSE(node) << want.text << " is " << yaml_to_json(*node);
  EXPECT_EQ(name(node.error().code), name(code)) << want.text << ": " << node.error().to_string();
  EXPECT_EQ(node.error().where, "p.yaml:" + std::string(want.at)) << want.text;
  EXPECT_NE(node.error().message.find(want.says), std::string::npos)
      << want.text << ": " << node.error().message;
}

std::string repeat(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

// --- what is read
// ---------------------------------------------------------------------------------

TEST(Yaml, ReadsAPolicyAndKnowsWhereEverythingStands) {
  const YamlNode root = parse_ok(
      "# a comment\n"
      "mode: production\n"
      "roles:\n"
      "  operator:\n"
      "    tools: [bank/*, \"mail/send\"]\n"
      "\n"
      "  empty:\n"
      "limits:\n"
      "- 10\n"
      "- {max: 1.50}\n");
  ASSERT_EQ(root.kind, YamlKind::mapping);
  EXPECT_EQ(root.where(), "p.yaml:2:1");
  ASSERT_EQ(root.members.size(), 3U);
  EXPECT_EQ(root.members[0].key, "mode");
  EXPECT_EQ(root.members[0].value.scalar, "production");
  EXPECT_EQ(root.members[0].value.where(), "p.yaml:2:7");
  EXPECT_EQ(root.members[0].value.key_where(), "p.yaml:2:1");
  const YamlNode* role = root.find("roles")->find("operator");
  ASSERT_NE(role, nullptr);
  EXPECT_EQ(role->where(), "p.yaml:5:5");
  EXPECT_EQ(role->key_where(), "p.yaml:4:3");
  const YamlNode* tools = role->find("tools");
  ASSERT_EQ(tools->kind, YamlKind::sequence);
  EXPECT_EQ(tools->where(), "p.yaml:5:12");
  EXPECT_EQ(tools->items.at(1).scalar, "mail/send");
  EXPECT_EQ(tools->items.at(1).where(), "p.yaml:5:21");
  const YamlNode* empty = root.find("roles")->find("empty");
  EXPECT_EQ(empty->kind, YamlKind::null);
  EXPECT_EQ(empty->where(), "p.yaml:7:3") << "a value that is left out stands where its key stands";
  EXPECT_EQ(root.find("limits")->items.at(1).find("max")->scalar, "1.50");
  EXPECT_EQ(root.find("operator"), nullptr);
  EXPECT_EQ(root.find("mode")->find("x"), nullptr);
}

TEST(Yaml, CountsColumnsInBytesAndKnowsCrLf) {
  const YamlNode root = parse_ok("\xC3\xA9: [\xC3\xA9, x]\r\nb: y\r\n");
  EXPECT_EQ(root.find("\xC3\xA9")->items.at(1).where(), "p.yaml:1:10");
  EXPECT_EQ(root.find("b")->where(), "p.yaml:2:4");
  EXPECT_EQ(root.find("b")->scalar, "y");
}

TEST(Yaml, ResolvesPlainScalarsByTheJsonSchema) {
  EXPECT_EQ(to_json("[null, ~, true, false]"), "[null,null,true,false]");
  EXPECT_EQ(to_json("- null\n- ~\n-\n- x\n"), R"([null,null,null,"x"])");
  EXPECT_EQ(to_json("{a: , b: ~, c}"), R"({"a":null,"b":null,"c":null})");
  EXPECT_EQ(to_json("a:\nnull_x:\nNULL_x: 1\n"), R"({"a":null,"null_x":null,"NULL_x":1})");
  EXPECT_EQ(to_json("[0, -0, 12, -1.50, 1e3, 1E+3, 12345678901234567890]"),
            "[0,-0,12,-1.50,1e3,1E+3,12345678901234567890]");
  EXPECT_EQ(parse_ok("true").kind, YamlKind::boolean);
  EXPECT_EQ(parse_ok("1").kind, YamlKind::number);
}

TEST(Yaml, EverythingElsePlainIsAString) {
  EXPECT_EQ(to_json("[yes, no, on, off, y, n, tRUE, nil, none, Nope]"),
            R"(["yes","no","on","off","y","n","tRUE","nil","none","Nope"])");
  EXPECT_EQ(
      to_json("[1_000, 12:30:45, 2026-11-23, 1.2.3, 0o8, 0x, 0xg, +, ., ..., e3, 1e, 1ex, -x, +e1, "
              "infinity]"),
      R"(["1_000","12:30:45","2026-11-23","1.2.3","0o8","0x","0xg","+",".","...","e3","1e","1ex","-x","+e1","infinity"])");
  EXPECT_EQ(to_json("a: x & y * z ! w # comment\n"), R"({"a":"x & y * z ! w"})");
  EXPECT_EQ(to_json("url: http://127.0.0.1:8080/a#b\n"), R"({"url":"http://127.0.0.1:8080/a#b"})");
}

TEST(Yaml, QuotedAndBlockScalarsAreStringsWhateverTheySay) {
  EXPECT_EQ(to_json("- 'true'\n- \"12\"\n- ''\n- \"\"\n- '~'\n- \"<<\"\n"),
            R"(["true","12","","","~","<<"])");
  EXPECT_EQ(to_json("- |\n  12\n- >-\n  true\n"), R"(["12\n","true"])");
  EXPECT_EQ(to_json(R"(- 'it''s'
- "\u00e9\x41\t\"\\\U0001F600\0"
- 'a\n'
)"),
            "[\"it's\",\"\xC3\xA9"
            "A\\t\\\"\\\\\xF0\x9F\x98\x80\\u0000\",\"a\\\\n\"]");
  EXPECT_EQ(to_json("a: |\n  x\n  \ty\n   z\nb: >-\n  one\n  two\n\n  three\n"),
            R"({"a":"x\n\ty\n z\n","b":"one two\nthree"})");
  EXPECT_EQ(to_json("a: \"one\n  two\"\n"), R"({"a":"one two"})");
}

TEST(Yaml, AcceptsTheFrameOfOneDocument) {
  EXPECT_EQ(to_json("# c\n---\na: 1\n...\n# end\n"), R"({"a":1})");
  EXPECT_EQ(to_json("[a, b, ]"), R"(["a","b"])");
  EXPECT_EQ(to_json("--- {}\n"), "{}");
  EXPECT_EQ(to_json("? a\n: b\n"), R"({"a":"b"})");
}

TEST(Yaml, JsonOfTheTreeHasTheSameKeysInTheSameOrder) {
  EXPECT_EQ(to_json("z: [{b: 1, a: [[]]}, {}]\n\"q\\\"\": \"\\n\"\n"),
            R"({"z":[{"b":1,"a":[[]]},{}],"q\"":"\n"})");
}

// --- what is refused
// ------------------------------------------------------------------------------

TEST(YamlRefuses, DuplicateKeys) {
  for (const Refusal& r : std::vector<Refusal>{
           {"a: 1\nb: 2\na: 3\n", "3:1", "line 1 has the key \"a\" already"},
           {"{a: 1, a: 1}", "1:8", "line 1"},
           {"a: 1\n\"a\": 1\n", "2:1", "line 1"},
           {"a: 1\n\"\\x61\": 1\n", "2:1", "line 1"},
           {"x:\n  - b: 1\n    c: {d: 1, e: 2, 'd': 3}\n", "3:21", "line 3"},
           {"x:\n  y: 1\n  z: 1\n  y: 1\n", "4:3", "line 2 has the key \"y\" already"},
       }) {
    expect_refused(Code::yaml_duplicate_key, r);
  }
  EXPECT_EQ(to_json("a: {a: {a: 1}}\nA: {a: 1}\n"), R"({"a":{"a":{"a":1}},"A":{"a":1}})");
}

TEST(YamlRefuses, AnchorsAliasesTagsAndMergeKeys) {
  for (const Refusal& r : std::vector<Refusal>{
           {"a: &x 1\nb: *x\n", "1:4", "anchors"},
           {"&x a: 1\n", "1:1", "anchors"},
           {"a: &x\n  b: 1\n", "1:4", "anchors"},
           {"a: &x [1]\n", "1:4", "anchors"},
           {"- &x\n- 1\n", "1:3", "anchors"},
           {"a: *x\n", "1:4", "aliases"},
           {"[*x]", "1:2", "aliases"},
           {"*x : 1\n", "1:1", "aliases"},
           {"a: !t 1\n", "1:4", "tags"},
           {"a: !!str 1\n", "1:4", "tags"},
           {"a: !<t> 1\n", "1:4", "tags"},
           {"a: ! 1\n", "1:4", "tags"},
           {"a: ! 'x'\n", "1:4", "tags"},
           {"a: !\n", "1:4", "tags"},
           {"a: !t\n  b: 1\n", "1:4", "tags"},
           {"a: ![1]\n", "1:4", "tags"},
           {"!t\na: 1\n", "1:1", "tags"},
           {"<<: {a: 1}\n", "1:1", "merge keys"},
           {"x: {<<: {a: 1}}\n", "1:5", "merge keys"},
       }) {
    expect_refused(Code::yaml_alias, r);
  }
}

TEST(YamlRefuses, KeysThatAreNotStrings) {
  for (const Refusal& r : std::vector<Refusal>{
           {"123: a\n", "1:1", "quotes"},
           {"a: {true: a}\n", "1:5", "quotes"},
           {"null: a\n", "1:1", "quotes"},
           {"~: a\n", "1:1", "quotes"},
           {"{: a}\n", "1:2", "quotes"},
           {"? [a]\n: b\n", "1:3", "quotes"},
           {"? {a: b}\n: c\n", "1:3", "quotes"},
           {"{[a]: b}\n", "1:2", "quotes"},
       }) {
    expect_refused(Code::yaml_syntax, r);
  }
  EXPECT_EQ(to_json("'123': a\n\"true\": b\n"), R"({"123":"a","true":"b"})");
}

TEST(YamlRefuses, ScalarsThatReadersDisagreeOn) {
  for (const auto* scalar : {"Null",   "NULL", "True",  "TRUE",  "False", "FALSE", "007",  "-01",
                             "+1",     "0x1F", "0o17",  ".5",    "-.5",   "5.",    "+0.5", "1.e3",
                             "0123e4", ".inf", "-.Inf", "+.INF", ".nan",  ".NaN",  ".NAN"}) {
    expect_refused(Code::yaml_syntax,
                   {"a: " + std::string(scalar) + "\n", "1:4", "readers disagree"});
    expect_refused(Code::yaml_syntax,
                   {"[x, " + std::string(scalar) + "]\n", "1:5", "readers disagree"});
    EXPECT_EQ(to_json("'" + std::string(scalar) + "'"), "\"" + std::string(scalar) + "\"");
  }
}

// A list item indented one space too far would silently become part of the item before it.
TEST(YamlRefuses, PlainScalarsThatGoOnInTheNextLine) {
  for (const Refusal& r : std::vector<Refusal>{
           {"deny:\n - bank/close_*\n  - bank/delete_*\n", "2:4", "must end on its line"},
           {"a: b\n  c\n", "1:4", "must end on its line"},
           {"[a, b\n c]\n", "1:5", "must end on its line"},
           {"? a\n  b\n: c\n", "1:3", "must end on its line"},
       }) {
    expect_refused(Code::yaml_syntax, r);
  }
}

TEST(YamlRefuses, QuotesAndBracketsThatAreNeverClosed) {
  for (const Refusal& r : std::vector<Refusal>{
           {"a: \"b\n", "1:4", "never closed"},
           {"a: \"b\\\"\n", "1:4", "never closed"},
           {"a: \"\\\\\\\"\n", "1:4", "never closed"},
           {"a: 'b\n", "1:4", "never closed"},
           {"a: 'b''\n", "1:4", "never closed"},
           {"a: '", "1:4", "never closed"},
           {"- \"a", "1:5", "not YAML"},
           {"a: [1, 2\n", "2:1", "not YAML"},
           {"a: {b: 1\nc: 2\n", "2:2", "not YAML"},
           {"a: ]\n", "1:4", "not YAML"},
           {"[a, {b]}\n", "1:7", "not YAML"},
           {"[a, , b]\n", "1:5", "expected a value before ','"},
       }) {
    expect_refused(Code::yaml_syntax, r);
  }
  EXPECT_EQ(to_json("['b''', \"\\\\\"]\n"), R"(["b'","\\"])");
}

TEST(YamlRefuses, WrongIndentation) {
  for (const Refusal& r : std::vector<Refusal>{
           {"a:\n\tb: 1\n", "2:3", "not YAML"},
           {"a:\n\tb\n", "2:1", "spaces, not with tabs"},
           {"a:\n \tb\n", "2:2", "spaces, not with tabs"},
           {"[\n\t1]\n", "2:1", "spaces, not with tabs"},
           {"a:\n  b: 1\n c: 2\n", "3:2", "not YAML"},
           {"a:\n  - b\n - c\n", "3:2", "not YAML"},
           {"a: 1\n- b\n", "2:1", "not YAML"},
           {"a: b: c\n", "1:5", "not YAML"},
           {"a: 'x' y\n", "1:8", "not YAML"},
       }) {
    expect_refused(Code::yaml_syntax, r);
  }
}

TEST(YamlRefuses, AnyNumberOfDocumentsButOne) {
  for (const Refusal& r : std::vector<Refusal>{
           {"", "1:1", "no document"},
           {"# only a comment\n", "1:1", "no document"},
           {"a: 1\n---\nb: 2\n", "2:1", "one document"},
           {"a: 1\n...\nb: 2\n", "3:1", "one document"},
           {"[1] [2]\n", "1:5", "one document"},
           {",-", "1:1", "one document"},
           {"a: 1\n, b\n", "2:1", "not YAML"},
           {"- a\n-b\n", "2:1", "one document"},
           {"%YAML 1.1\n---\na: 1\n", "1:1", "directives"},
           {"# c\n\n%TAG ! x\n---\na: 1\n", "3:1", "directives"},
       }) {
    expect_refused(Code::yaml_syntax, r);
  }
  EXPECT_EQ(to_json("a: 50%\nb: |\n  %x\n"), R"({"a":"50%","b":"%x\n"})");
}

TEST(YamlRefuses, BytesThatAreNoText) {
  for (const Refusal& r : std::vector<Refusal>{
           {"\xEF\xBB\xBF"
            "a: 1\n",
            "1:1", "byte order mark"},
           {"a: \x04\nb: 1\n", "1:4",
            "control characters"},  // yaml-cpp takes this byte for the end of the file
           {"a: b\n\0c: 1\n"sv, "2:1", "control characters"},
           {"a: \"\x7F\"\n", "1:5", "control characters"},
           {"a: \xC2\x80\n", "1:4", "control characters"},
           {"a: \xC2\x9F\n", "1:4", "control characters"},
           {"a: \xEF\xBF\xBF\n", "1:4", "control characters"},
           {"a: 1\rb: 2\n", "1:5", "control characters"},
           {"# \x1B[31m\n", "1:3", "control characters"},
       }) {
    expect_refused(Code::yaml_syntax, r);
  }
  for (const Refusal& r : std::vector<Refusal>{
           {"a: 1\nb: \xFF\n", "2:4", "UTF-8"},
           {"# \xC0\x80\n", "1:3", "UTF-8"},
           {"\xFF\xFE"
            "a\0"sv,
            "1:1", "UTF-8"},
       }) {
    expect_refused(Code::json_bad_utf8, r);
  }
  EXPECT_EQ(to_json("a: \"\xC2\xA0\xEF\xBF\xBD\xEF\xBB\xBF\"\n"),
            "{\"a\":\"\xC2\xA0\xEF\xBF\xBD\xEF\xBB\xBF\"}");
}

// --- limits
// ---------------------------------------------------------------------------------------

TEST(YamlLimits, BytesExactly) {
  EXPECT_EQ(yaml_to_json(parse_ok("a: 123\n", {.max_bytes = 7})), R"({"a":123})");
  expect_refused(Code::yaml_too_large, {"a: 1234\n", "1:8", "at most 7 bytes"}, {.max_bytes = 7});
}

TEST(YamlLimits, DepthExactly) {
  const YamlLimits limits{.max_depth = 3};
  parse_ok("a:\n  - [1]\n", limits);
  expect_refused(Code::yaml_too_large, {"a:\n  - [[]]\n", "2:6", "at most 3 deep"}, limits);
  expect_refused(Code::yaml_too_large, {"a:\n b:\n  c:\n   d: 1\n", "4:4", "at most 3 deep"},
                 limits);
  expect_refused(Code::yaml_too_large, {"- - - - 1\n", "1:7", "at most 3 deep"}, limits);
  parse_ok(repeat("[", 32) + repeat("]", 32));
  expect_refused(Code::yaml_too_large,
                 {repeat("[", 33) + repeat("]", 33), "1:33", "at most 32 deep"});
  parse_ok("1", {.max_depth = 0});
  expect_refused(Code::yaml_too_large, {"[]", "1:1", "at most 0 deep"}, {.max_depth = 0});
}

TEST(YamlLimits, DeepNestingEndsBeforeTheStackDoes) {
  const YamlLimits boundless{.max_bytes = std::size_t{1} << 30U, .max_depth = 1'000'000};
  for (const auto* open : {"[", "{a: ", "- ", "? ", "[a: ", "[\n", "- ["}) {
    const auto node = parse_yaml(repeat(open, 100'000), "p.yaml", boundless);
    ASSERT_FALSE(node) << open;
    EXPECT_EQ(name(node.error().code), name(Code::yaml_too_large))
        << open << node.error().to_string();
  }
  parse_ok(repeat("[", 200) + repeat("]", 200), boundless);
  expect_refused(Code::yaml_too_large,
                 {repeat("[", 201) + repeat("]", 201), "1:201", "at most 200 deep"}, boundless);
  expect_refused(Code::yaml_too_large,
                 {repeat("[", 9'000) + repeat("]", 9'000), "1:1", "nested too deep"}, boundless);
}

}  // namespace
}  // namespace zwinger::json
