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

TEST(RequestEnvelope, ForwardsTheJudgedBytesOfTheParams) {
  const Message message = request(
      R"({ "name":"send","arguments":{ "n" : 1.0e3, "t":"\u00e9\/", "b":[1,  2] },"_meta":{"k":{ "x":1 },"progressToken":"t"}})");
  const auto call = read_request_params(Method::tools_call, message.params);
  ASSERT_TRUE(call);
  EXPECT_EQ(
      write_request(42, "tools/call", call->params->source()),
      R"({"jsonrpc":"2.0","id":42,"method":"tools/call","params":{ "name":"send",)"
      R"("arguments":{ "n" : 1.0e3, "t":"\u00e9\/", "b":[1,  2] },"_meta":{"k":{ "x":1 },"progressToken":"t"}}})");
}

TEST(RequestEnvelope, IsOneLineWhateverTheClientSent) {
  const Message message = request("{\"name\":\"send\",\"arguments\":{\n \"t\":\r\n\"a\\nb\" }}");
  EXPECT_EQ(
      write_request(1, "tools/call", message.params->source()),
      R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"send","arguments":{ "t":"a\nb" }}})");
  EXPECT_EQ(write_request(2, "ping", {}), R"({"jsonrpc":"2.0","id":2,"method":"ping"})");
  EXPECT_EQ(write_notification("notifications/x", "{\n}"),
            R"({"jsonrpc":"2.0","method":"notifications/x","params":{}})");
}

TEST(SharedRequest, GivesTheUpstreamOurProgressTokenOrNone) {
  const Message message = request(R"({"name":"t","_meta":{"progressToken":"theirs","a":1}})");
  const auto call = read_request_params(Method::tools_call, message.params);
  ASSERT_TRUE(call);
  EXPECT_EQ(
      write_shared_request(7, "tools/call", *call, true),
      R"({"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t","_meta":{"a":1,"progressToken":7}}})");
  EXPECT_EQ(
      write_shared_request(7, "tools/call", *call, false),
      R"({"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t","_meta":{"a":1}}})");
}

// --- params
// -----------------------------------------------------------------------------------------

TEST(Params, RefuseWhatCouldNeitherBeJudgedNorDropped) {
  struct Case {
    Method method;
    const char* params;
  };
  for (const auto& [method, params] :
       {Case{Method::tools_call, R"({})"},
        Case{Method::tools_call, R"({"name":""})"},
        Case{Method::tools_call, R"({"name":5})"},
        Case{Method::tools_call, R"({"name":"t","arguments":[]})"},
        Case{Method::tools_call, R"({"name":"t","arguments":null})"},
        Case{Method::tools_call, R"({"name":"t","_meta":3})"},
        Case{Method::tools_call, R"({"name":"t","task":1})"},
        Case{Method::tools_call, R"({"name":"t","atr":{}})"},
        Case{Method::tools_call, R"([])"},
        Case{Method::tools_list, R"({"cursor":1})"},
        Case{Method::tools_list, R"({"filter":"x"})"},
        Case{Method::resources_read, R"({})"},
        Case{Method::resources_read, R"({"uri":""})"},
        Case{Method::resources_read, R"({"uri":"a:b","range":1})"},
        Case{Method::prompts_get, R"({"name":"p","arguments":{"a":1}})"},
        Case{Method::completion_complete,
             R"({"ref":{"type":"ref/tool","name":"t"},"argument":{}})"},
        Case{Method::completion_complete, R"({"ref":{"type":"ref/prompt"},"argument":{}})"},
        Case{Method::completion_complete, R"({"ref":{"type":"ref/prompt","name":"p"}})"},
        Case{Method::logging_set_level, R"({})"},
        Case{Method::tasks_get, R"({"taskId":7})"},
        Case{Method::initialize, R"({"protocolVersion":"2025-11-25","clientInfo":{}})"},
        Case{Method::elicitation_create, R"({"mode":"url","message":"m","url":"https://x/"})"},
        Case{Method::elicitation_create,
             R"({"message":"m","requestedSchema":{},"url":"https://x/"})"},
        Case{Method::elicitation_create, R"({"mode":"window","message":"m","requestedSchema":{}})"},
        Case{Method::sampling_create_message, R"({"messages":[]})"},
        Case{Method::roots_list, R"({"under":"/"})"},
        Case{Method::ping, R"({"x":1})"}}) {
    const Message message = request(params);
    const auto read = read_request_params(method, message.params);
    ASSERT_FALSE(read) << to_string(method) << params;
    EXPECT_EQ(read.error().code, Code::mcp_params);
  }
}

TEST(Params, SayWhatIsMeant) {
  const Message call = request(R"({"name":"t","arguments":{"a":1},"task":{"ttl":5}})");
  const auto called = read_request_params(Method::tools_call, call.params);
  ASSERT_TRUE(called);
  EXPECT_EQ(called->name, "t");
  EXPECT_TRUE(called->as_task);
  EXPECT_TRUE(called->arguments);

  const Message completion = request(
      R"({"ref":{"type":"ref/resource","uri":"demo://{id}"},"argument":{"name":"id","value":"1"},"context":{}})");
  const auto completed = read_request_params(Method::completion_complete, completion.params);
  ASSERT_TRUE(completed);
  EXPECT_EQ(completed->uri, "demo://{id}");
  EXPECT_EQ(completed->name, "");

  const Message elicitation =
      request(R"({"mode":"url","message":"m","url":"https://x.example/","elicitationId":"e"})");
  const auto elicited = read_request_params(Method::elicitation_create, elicitation.params);
  ASSERT_TRUE(elicited);
  EXPECT_EQ(elicited->url, "https://x.example/");
}

TEST(Params, MayBeAbsentWhereNothingIsNeeded) {
  for (const Method method : {Method::ping, Method::tools_list, Method::roots_list}) {
    EXPECT_TRUE(read_request_params(method, std::nullopt)) << to_string(method);
  }
  for (const Method method : {Method::tools_call, Method::initialize, Method::tasks_get}) {
    EXPECT_FALSE(read_request_params(method, std::nullopt)) << to_string(method);
  }
}

TEST(ProgressToken, IsAStringOrAnInteger) {
  const auto read = [](const char* meta) {
    const Message message = request(R"({"_meta":)" + std::string(meta) + "}");
    const auto params = read_request_params(Method::ping, message.params);
    if (!params) return std::string("refused");
    return params->progress_token ? std::string(params->progress_token->source()) : "none";
  };
  EXPECT_EQ(read(R"({"progressToken":"a"})"), R"("a")");
  EXPECT_EQ(read(R"({"progressToken":3})"), "3");
  EXPECT_EQ(read(R"({})"), "none");
  EXPECT_EQ(read(R"({"progressToken":1.5})"), "refused");
  EXPECT_EQ(read(R"({"progressToken":null})"), "refused");
  EXPECT_EQ(read(R"({"progressToken":{}})"), "refused");
}

TEST(Capabilities, AreDeclaredByObjects) {
  const auto document =
      json::Document::parse(R"({"roots":{},"elicitation":{"url":{}},"sampling":true})");
  EXPECT_TRUE(declares(document->root(), "roots"));
  EXPECT_TRUE(declares(document->root(), "elicitation.url"));
  EXPECT_FALSE(declares(document->root(), "elicitation.form"));
  EXPECT_FALSE(declares(document->root(), "sampling"));
  EXPECT_FALSE(declares(document->root(), "tasks"));
}

TEST(CreatedTask, IsOnlyWhatSaysSo) {
  const auto id = [](const char* text) {
    const auto document = json::Document::parse(text);
    return std::string(created_task(document->root()).value_or("none"));
  };
  EXPECT_EQ(id(R"({"task":{"taskId":"t1","status":"working"}})"), "t1");
  for (const char* text : {R"({})", R"({"task":{}})", R"({"task":{"taskId":1}})",
                           R"({"task":{"taskId":""}})", R"({"task":"t1"})"}) {
    EXPECT_EQ(id(text), "none") << text;
  }
}

TEST(Methods, GoOneWayOrBoth) {
  EXPECT_EQ(parse_client_method("tools/call"), Method::tools_call);
  EXPECT_EQ(parse_client_method("sampling/createMessage"), std::nullopt);
  EXPECT_EQ(parse_server_method("sampling/createMessage"), Method::sampling_create_message);
  EXPECT_EQ(parse_server_method("tools/call"), std::nullopt);
  EXPECT_EQ(parse_server_method("tasks/get"), Method::tasks_get);
  EXPECT_EQ(parse_client_method("tasks/get"), Method::tasks_get);
  EXPECT_EQ(parse_client_notification("notifications/message"), std::nullopt);
  EXPECT_EQ(parse_server_notification("notifications/initialized"), std::nullopt);
}

// --- answers
// ----------------------------------------------------------------------------------------

TEST(InitializeResult, IsKeptAsItCame) {
  const auto result = json::Document::parse(
      R"({"protocolVersion":"2025-06-18", "capabilities":{"tools":{"listChanged":true},"experimental":{"x":{}}},
          "serverInfo":{"name":"s","version":"1","title":"T"},"instructions":"do \"this\"","_meta":{"a":1}})");
  const auto server = read_initialize_result(result->root());
  ASSERT_TRUE(server);
  EXPECT_EQ(server->result, result->root().source());
  EXPECT_EQ(server->protocol_version, "2025-06-18");
  EXPECT_EQ(server->capabilities, R"({"tools":{"listChanged":true},"experimental":{"x":{}}})");
  EXPECT_EQ(server->instructions, R"("do \"this\"")");
}

TEST(InitializeResult, OfOurOwnIsWhole) {
  EXPECT_EQ(own_initialize_result("2025-06-18", R"({"tools":{}})", R"("hi")", "1.2"),
            R"({"protocolVersion":"2025-06-18","capabilities":{"tools":{}},)"
            R"("serverInfo":{"name":"zwinger","version":"1.2"},"instructions":"hi"})");
}

TEST(ListFilter, SplicesWhatIsKeptUntouched) {
  const auto result = json::Document::parse(
      R"({"tools":[{"name":"a", "x":1.0},{"name":"\u0062"},{"name":"c","inputSchema":{ }}],"nextCursor":"n","_meta":{"z":0}})");
  const auto filtered = filter_list(result->root(), *list_shape(Method::tools_list),
                                    [](std::string_view name) { return name != "b"; });
  ASSERT_TRUE(filtered);
  EXPECT_EQ(
      filtered->result,
      R"({"tools":[{"name":"a", "x":1.0},{"name":"c","inputSchema":{ }}],"nextCursor":"n","_meta":{"z":0}})");
  EXPECT_EQ(filtered->kept, 2U);
  EXPECT_EQ(filtered->hidden, 1U);
}

TEST(ListFilter, LeavesTheBytesAloneWhereNothingGoes) {
  const auto result = json::Document::parse(R"({ "resources" : [ {"uri":"a:b"} ] })");
  const auto filtered = filter_list(result->root(), *list_shape(Method::resources_list),
                                    [](std::string_view) { return true; });
  ASSERT_TRUE(filtered);
  EXPECT_EQ(filtered->result, R"({ "resources" : [ {"uri":"a:b"} ] })");
}

TEST(ListFilter, RefusesWhatIsNoList) {
  for (const char* text : {R"({})", R"({"tools":{}})", R"({"tools":[1]})", R"({"tools":[{}]})",
                           R"({"tools":[{"name":1}]})"}) {
    const auto result = json::Document::parse(text);
    EXPECT_FALSE(filter_list(result->root(), *list_shape(Method::tools_list), [](std::string_view) {
      return true;
    })) << text;
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
