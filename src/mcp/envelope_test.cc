#include "mcp/envelope.h"

#include <gtest/gtest.h>

#include "mcp/message.h"

namespace zwinger::mcp {
namespace {

Message request(std::string params) {
  auto message =
      parse_message(R"({"jsonrpc":"2.0","id":1,"method":"m","params":)" + params + "}", {});
  EXPECT_TRUE(message);
  return *std::move(message);
}

TEST(CallEnvelope, ForwardsTheJudgedBytesOfTheArguments) {
  const Message message = request(
      R"({"name":"send","arguments":{ "n" : 1.0e3, "t":"\u00e9\/", "b":[1,  2] },"_meta":{"k":{ "x":1 }}})");
  const auto call = read_call_params(message.params);
  ASSERT_TRUE(call);
  EXPECT_EQ(
      write_call(42, *call, false),
      R"({"jsonrpc":"2.0","id":42,"method":"tools/call","params":{"name":"send",)"
      R"("arguments":{ "n" : 1.0e3, "t":"\u00e9\/", "b":[1,  2] },"_meta":{"k":{ "x":1 }}}})");
}

TEST(CallEnvelope, IsOneLineWhateverTheClientSent) {
  const Message message = request("{\"name\":\"send\",\"arguments\":{\n \"t\":\r\n\"a\\nb\" }}");
  EXPECT_EQ(
      write_call(1, *read_call_params(message.params), false),
      R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"send","arguments":{ "t":"a\nb" }}})");
}

TEST(CallEnvelope, GivesTheUpstreamOurProgressTokenOrNone) {
  const Message message = request(R"({"name":"t","_meta":{"progressToken":"theirs","a":1}})");
  const auto call = read_call_params(message.params);
  EXPECT_EQ(
      write_call(7, *call, true),
      R"({"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t","_meta":{"a":1,"progressToken":7}}})");
  EXPECT_EQ(
      write_call(7, *call, false),
      R"({"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t","_meta":{"a":1}}})");
}

TEST(CallParams, RefuseWhatCouldNeitherBeJudgedNorDropped) {
  for (const char* params :
       {R"({})", R"({"name":""})", R"({"name":5})", R"({"name":"t","arguments":[]})",
        R"({"name":"t","arguments":null})", R"({"name":"t","_meta":3})",
        R"({"name":"t","task":{}})", R"({"name":"t","atr":{}})", R"([])"}) {
    const Message message = request(params);
    const auto call = read_call_params(message.params);
    ASSERT_FALSE(call) << params;
    EXPECT_EQ(call.error().code, Code::mcp_params);
  }
}

TEST(ProgressToken, IsAStringOrAnInteger) {
  const auto read = [](const char* meta) {
    const auto document = json::Document::parse(meta);
    const auto token = read_progress_token(document->root());
    return token ? (token->has_value() ? std::string((*token)->source()) : "none") : "refused";
  };
  EXPECT_EQ(read(R"({"progressToken":"a"})"), R"("a")");
  EXPECT_EQ(read(R"({"progressToken":3})"), "3");
  EXPECT_EQ(read(R"({})"), "none");
  EXPECT_EQ(read(R"({"progressToken":1.5})"), "refused");
  EXPECT_EQ(read(R"({"progressToken":null})"), "refused");
  EXPECT_EQ(read(R"({"progressToken":{}})"), "refused");
}

TEST(ProgressNotification, CarriesTheClientsTokenBack) {
  const auto message = parse_message(
      R"({"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":9,"progress":0.50,"total":1,"message":"x","_meta":{"a":1},"b":2}})",
      {});
  const auto progress = read_progress_params(message->params);
  ASSERT_TRUE(progress);
  EXPECT_EQ(progress->token, 9);
  EXPECT_EQ(write_progress(*progress, R"("their \u0041")"),
            R"({"jsonrpc":"2.0","method":"notifications/progress","params":)"
            R"({"progressToken":"their \u0041","progress":0.50,"total":1,"message":"x"}})");
}

TEST(InitializeResult, KeepsNoCapabilityButTools) {
  const auto result = json::Document::parse(
      R"({"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true},"prompts":{},"logging":{},
          "resources":{"subscribe":true},"completions":{},"tasks":{},"experimental":{"x":{}}},
          "serverInfo":{"name":"s","version":"1","title":"T"},"instructions":"do \"this\"","_meta":{"a":1}})");
  const auto server = read_initialize_result(result->root());
  ASSERT_TRUE(server);
  EXPECT_EQ(initialize_result(*server),
            R"({"protocolVersion":"2025-11-25","capabilities":{"tools":{}},)"
            R"("serverInfo":{"name":"s","version":"1","title":"T"},"instructions":"do \"this\""})");
}

TEST(InitializeResult, OffersNoToolsWhereTheUpstreamHasNone) {
  const auto result = json::Document::parse(
      R"({"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s"}})");
  EXPECT_EQ(initialize_result(*read_initialize_result(result->root())),
            R"({"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s"}})");
}

TEST(ToolFilter, SplicesWhatIsKeptUntouched) {
  const auto result = json::Document::parse(
      R"({"tools":[{"name":"a", "x":1.0},{"name":"\u0062"},{"name":"c","inputSchema":{ }}],"nextCursor":"n","_meta":{"z":0}})");
  const auto filtered =
      filter_tools(result->root(), [](std::string_view name) { return name != "b"; });
  ASSERT_TRUE(filtered);
  EXPECT_EQ(
      filtered->result,
      R"({"tools":[{"name":"a", "x":1.0},{"name":"c","inputSchema":{ }}],"nextCursor":"n","_meta":{"z":0}})");
  EXPECT_EQ(filtered->kept, 2U);
  EXPECT_EQ(filtered->hidden, 1U);
}

TEST(ToolFilter, RefusesWhatIsNoListOfTools) {
  for (const char* text : {R"({})", R"({"tools":{}})", R"({"tools":[1]})", R"({"tools":[{}]})",
                           R"({"tools":[{"name":1}]})"}) {
    const auto result = json::Document::parse(text);
    EXPECT_FALSE(filter_tools(result->root(), [](std::string_view) { return true; })) << text;
  }
}

TEST(Denial, HasTheContractsShape) {
  Denial denial;
  denial.reason = Code::constraint_enum;
  denial.text = "An argument is not one of the values allowed.";
  denial.at = "/to/1";
  denial.call_id = "c0ffee";
  EXPECT_EQ(
      write_denial("\"x\"", denial),
      R"({"jsonrpc":"2.0","id":"x","error":{"code":-32001,)"
      R"("message":"constraint_enum: An argument is not one of the values allowed.",)"
      R"("data":{"reason":"constraint_enum","rules":[],"callId":"c0ffee","retryable":false,"at":"/to/1"}}})");
}

TEST(Unreadable, TellsJsonFromJsonRpc) {
  EXPECT_NE(write_unreadable("null", {Code::json_duplicate_key, "m", "byte 3"}).find("-32700"),
            std::string::npos);
  EXPECT_NE(write_unreadable("1", {Code::rpc_invalid, "m", "id"}).find("-32600"),
            std::string::npos);
}

}  // namespace
}  // namespace zwinger::mcp
