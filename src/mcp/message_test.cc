#include "mcp/message.h"

#include <gtest/gtest.h>

namespace zwinger::mcp {
namespace {

std::expected<Message, BadMessage> parse(std::string text) {
  return parse_message(std::move(text), {});
}

TEST(Message, KeepsTheSourceTextOfIds) {
  for (const char* id : {R"("a")", R"("\u0061")", "7", "-0", "9007199254740993"}) {
    const auto message = parse(std::string(R"({"jsonrpc":"2.0","method":"ping","id":)") + id + "}");
    ASSERT_TRUE(message) << id;
    EXPECT_EQ(message->kind, MessageKind::request);
    EXPECT_EQ(message->id, id);
  }
}

TEST(Message, TellsTheFourKindsApart) {
  EXPECT_EQ(parse(R"({"jsonrpc":"2.0","method":"m","id":1})")->kind, MessageKind::request);
  EXPECT_EQ(parse(R"({"jsonrpc":"2.0","method":"m"})")->kind, MessageKind::notification);
  EXPECT_EQ(parse(R"({"jsonrpc":"2.0","id":1,"result":{}})")->kind, MessageKind::result);
  EXPECT_EQ(parse(R"({"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"x"}})")->kind,
            MessageKind::error);
}

struct BadCase {
  const char* name;
  const char* text;
  Code code;
  const char* id;  // what the refusal is addressed to
};

class BadMessages : public testing::TestWithParam<BadCase> {};

TEST_P(BadMessages, AreRefused) {
  const auto message = parse(GetParam().text);
  ASSERT_FALSE(message);
  EXPECT_EQ(message.error().error.code, GetParam().code) << message.error().error.to_string();
  EXPECT_EQ(message.error().id, GetParam().id);
}

INSTANTIATE_TEST_SUITE_P(
    All, BadMessages,
    testing::Values(
        BadCase{"not_json", "{", Code::json_syntax, "null"},
        BadCase{"duplicate_method", R"({"jsonrpc":"2.0","id":1,"method":"a","method":"b"})",
                Code::json_duplicate_key, "null"},
        BadCase{"duplicate_by_escape", R"({"jsonrpc":"2.0","id":1,"method":"a","\u006dethod":"b"})",
                Code::json_duplicate_key, "null"},
        BadCase{"batch", R"([{"jsonrpc":"2.0","id":1,"method":"ping"}])", Code::rpc_batch, "null"},
        BadCase{"scalar", "7", Code::rpc_invalid, "null"},
        BadCase{"no_version", R"({"id":1,"method":"ping"})", Code::rpc_invalid, "1"},
        BadCase{"version_number", R"({"jsonrpc":2.0,"id":1,"method":"ping"})", Code::rpc_invalid,
                "1"},
        BadCase{"old_version", R"({"jsonrpc":"1.0","id":"x","method":"ping"})", Code::rpc_invalid,
                "\"x\""},
        BadCase{"null_id", R"({"jsonrpc":"2.0","id":null,"method":"ping"})", Code::rpc_invalid,
                "null"},
        BadCase{"fraction_id", R"({"jsonrpc":"2.0","id":1.0,"method":"ping"})", Code::rpc_invalid,
                "null"},
        BadCase{"exponent_id", R"({"jsonrpc":"2.0","id":1e2,"method":"ping"})", Code::rpc_invalid,
                "null"},
        BadCase{"object_id", R"({"jsonrpc":"2.0","id":{},"method":"ping"})", Code::rpc_invalid,
                "null"},
        BadCase{"method_number", R"({"jsonrpc":"2.0","id":1,"method":5})", Code::rpc_invalid, "1"},
        BadCase{"empty_method", R"({"jsonrpc":"2.0","id":1,"method":""})", Code::rpc_invalid, "1"},
        BadCase{"params_string", R"({"jsonrpc":"2.0","id":1,"method":"m","params":"p"})",
                Code::rpc_invalid, "1"},
        BadCase{"method_and_result", R"({"jsonrpc":"2.0","id":1,"method":"m","result":{}})",
                Code::rpc_invalid, "1"},
        BadCase{"result_and_error",
                R"({"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"m"}})",
                Code::rpc_invalid, "1"},
        BadCase{"neither", R"({"jsonrpc":"2.0","id":1})", Code::rpc_invalid, "1"},
        BadCase{"answer_without_id", R"({"jsonrpc":"2.0","result":{}})", Code::rpc_invalid, "null"},
        BadCase{"result_array", R"({"jsonrpc":"2.0","id":1,"result":[]})", Code::rpc_invalid, "1"},
        BadCase{"error_string", R"({"jsonrpc":"2.0","id":1,"error":"boom"})", Code::rpc_invalid,
                "1"},
        BadCase{"error_code_fraction",
                R"({"jsonrpc":"2.0","id":1,"error":{"code":1.5,"message":"m"}})", Code::rpc_invalid,
                "1"}),
    [](const auto& instance) { return instance.param.name; });

TEST(Message, IdLengthIsLimited) {
  const std::string longest(kMaxIdBytes - 2, 'x');  // the quotes count
  EXPECT_TRUE(parse(R"({"jsonrpc":"2.0","method":"m","id":")" + longest + "\"}"));
  const auto refused = parse(R"({"jsonrpc":"2.0","method":"m","id":")" + longest + "x\"}");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().error.code, Code::rpc_invalid);
}

TEST(Message, IdsOfEqualValueHaveOneKey) {
  const auto key = [](const char* id) { return id_key(json::Document::parse(id)->root()); };
  EXPECT_EQ(key(R"("a")"), key(R"("\u0061")"));
  EXPECT_EQ(key("0"), key("-0"));
  EXPECT_NE(key("1"), key(R"("1")"));
}

}  // namespace
}  // namespace zwinger::mcp
