// `zwinger eval`: one exchange judged offline, with each stage and each rule.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ostream>

#include "cmd/command.h"
#include "crypto/jose.h"
#include "gateway/explain.h"
#include "gateway/policy.h"
#include "identity/principal.h"
#include "identity/token_verifier.h"
#include "json/json.h"
#include "json/writer.h"
#include "mcp/message.h"
#include "mcp/revision.h"

namespace zwinger::cmd {

namespace {

struct Arguments {
  std::string policy;
  std::string grant;
  std::string token;
  bool no_signature = false;
  std::string upstream;
  std::string tool;
  std::string resource;
  std::string prompt;
  std::string method;
  std::string arguments;
  std::string exchange;
  std::optional<std::int64_t> at;
  bool json = false;
};

std::unexpected<Error> wrong(std::string message) { return fail(Code::usage, std::move(message)); }

// --- the exchange
// ---------------------------------------------------------------------------------------

struct Request {
  std::string method;
  std::optional<json::Document> document;  // owns `params`
  std::optional<json::Value> params;
  std::string task_tool;
};

bool is_about_a_task(std::string_view method) {
  constexpr std::array<std::string_view, 3> kMethods = {"tasks/get", "tasks/result",
                                                        "tasks/cancel"};
  return std::ranges::find(kMethods, method) != kMethods.end();
}

Result<Request> with_params(std::string method, std::string params) {
  ZWINGER_TRY(json::Document document, json::Document::parse(std::move(params)));
  Request out{.method = std::move(method),
              .document = std::move(document),
              .params = std::nullopt,
              .task_tool = {}};
  out.params = out.document->root();
  return out;
}

Result<json::Document> read_arguments(const Arguments& arguments, Context& context) {
  std::string text = arguments.arguments;
  if (text.starts_with('@')) {
    ZWINGER_TRY(text, read_input(context, text.substr(1)));
  }
  auto document = json::Document::parse(std::move(text));
  if (!document) {
    document.error().message += "; --arguments takes a JSON object, or @FILE for one";
    return std::unexpected(std::move(document).error());
  }
  if (!document->root().is_object()) {
    return wrong(R"(--arguments takes a JSON object, such as '{"amount": 5}', or @FILE for one)");
  }
  return document;
}

// Adds the member `arguments` where the command line has some.
Result<void> write_arguments(json::Writer& out, const Arguments& arguments, Context& context) {
  if (arguments.arguments.empty()) return {};
  ZWINGER_TRY(const json::Document document, read_arguments(arguments, context));
  out.key("arguments").value(document.root());
  return {};
}

std::unexpected<Error> does_not_go(std::string_view option, const std::string& method,
                                   std::string_view methods) {
  return wrong(
      fmt::format("{} does not go with --method {}; it goes with {}", option, method, methods));
}

Result<Request> tool_request(const Arguments& arguments, Context& context) {
  const std::string method = arguments.method.empty() ? "tools/call" : arguments.method;
  json::Writer out;
  out.begin_object();
  if (is_about_a_task(method)) {
    out.key("taskId").string("task");
  } else if (method == "tools/call") {
    out.key("name").string(arguments.tool);
    ZWINGER_CHECK_OK(write_arguments(out, arguments, context));
  } else {
    return does_not_go("--tool", method, "tools/call, tasks/get, tasks/result and tasks/cancel");
  }
  ZWINGER_TRY(Request request, with_params(method, std::move(out.end_object()).take()));
  if (method != "tools/call") request.task_tool = arguments.tool;
  return request;
}

// completion/complete of the prompt or template.
Result<Request> completion_request(std::string_view type, std::string_view key,
                                   const std::string& item) {
  json::Writer out;
  out.begin_object().key("ref").begin_object();
  out.key("type").string(type).key(key).string(item).end_object();
  out.key("argument").begin_object().key("name").string("argument").key("value").string("");
  return with_params("completion/complete", std::move(out.end_object().end_object()).take());
}

Result<Request> resource_request(const Arguments& arguments) {
  const std::string method = arguments.method.empty() ? "resources/read" : arguments.method;
  if (method == "completion/complete") {
    return completion_request("ref/resource", "uri", arguments.resource);
  }
  if (method != "resources/read" && method != "resources/subscribe" &&
      method != "resources/unsubscribe") {
    return does_not_go(
        "--resource", method,
        "resources/read, resources/subscribe, resources/unsubscribe and completion/complete");
  }
  json::Writer out;
  out.begin_object().key("uri").string(arguments.resource);
  return with_params(method, std::move(out.end_object()).take());
}

Result<Request> prompt_request(const Arguments& arguments, Context& context) {
  const std::string method = arguments.method.empty() ? "prompts/get" : arguments.method;
  if (method == "completion/complete") {
    return completion_request("ref/prompt", "name", arguments.prompt);
  }
  if (method != "prompts/get") {
    return does_not_go("--prompt", method, "prompts/get and completion/complete");
  }
  json::Writer out;
  out.begin_object().key("name").string(arguments.prompt);
  ZWINGER_CHECK_OK(write_arguments(out, arguments, context));
  return with_params(method, std::move(out.end_object()).take());
}

// A method that names no item.
Result<Request> plain_request(const std::string& method) {
  const auto needs = [&method](std::string_view option) {
    return wrong(fmt::format("{} is about one item: name it with {}", method, option));
  };
  if (method == "tools/call" || is_about_a_task(method)) return needs("--tool");
  if (method.starts_with("resources/") && !method.ends_with("list")) return needs("--resource");
  if (method == "prompts/get") return needs("--prompt");
  if (method == "completion/complete") return needs("--prompt or --resource");
  if (method == "logging/setLevel") return with_params(method, R"({"level":"info"})");
  if (method == "initialize") {
    json::Writer out;
    out.begin_object().key("protocolVersion").string(mcp::kRevision);
    out.key("capabilities").begin_object().end_object().key("clientInfo").begin_object();
    out.key("name").string("zwinger eval").key("version").string("1").end_object();
    return with_params(method, std::move(out.end_object()).take());
  }
  return Request{
      .method = method, .document = std::nullopt, .params = std::nullopt, .task_tool = {}};
}

Result<Request> file_request(const Arguments& arguments, Context& context) {
  ZWINGER_TRY(std::string text, read_input(context, arguments.exchange));
  auto message = mcp::parse_message(std::move(text), {});
  if (!message) {
    Error error = std::move(message.error().error);
    error.where = error.where.empty() ? arguments.exchange
                                      : fmt::format("{}, {}", arguments.exchange, error.where);
    return std::unexpected(std::move(error));
  }
  if (message->kind != mcp::MessageKind::request) {
    return wrong("--exchange takes one JSON-RPC request: jsonrpc, id, method and params");
  }
  Request out{.method = std::string(message->method),
              .document = std::nullopt,
              .params = message->params,
              .task_tool = arguments.tool};
  out.document = std::move(message->document);
  if (is_about_a_task(out.method) && out.task_tool.empty()) {
    return wrong("only the gateway knows what a task runs: name the tool with --tool");
  }
  if (!is_about_a_task(out.method) && !out.task_tool.empty()) {
    return wrong("--tool goes with --exchange only where the request is about a task");
  }
  return out;
}

Result<Request> request_of(const Arguments& arguments, Context& context) {
  const auto given = static_cast<int>(!arguments.tool.empty()) +
                     static_cast<int>(!arguments.resource.empty()) +
                     static_cast<int>(!arguments.prompt.empty());
  if (given > 1) return wrong("choose one of --tool, --resource and --prompt");
  const bool takes_arguments = arguments.exchange.empty() && arguments.resource.empty() &&
                               given == 1 && !is_about_a_task(arguments.method) &&
                               arguments.method != "completion/complete";
  if (!arguments.arguments.empty() && !takes_arguments) {
    return wrong("--arguments goes with the call of a --tool or the get of a --prompt");
  }
  if (!arguments.exchange.empty()) {
    if (!arguments.method.empty() || !arguments.resource.empty() || !arguments.prompt.empty()) {
      return wrong("--exchange holds the whole request: leave out --method, --resource, --prompt");
    }
    return file_request(arguments, context);
  }
  if (!arguments.tool.empty()) return tool_request(arguments, context);
  if (!arguments.resource.empty()) return resource_request(arguments);
  if (!arguments.prompt.empty()) return prompt_request(arguments, context);
  if (!arguments.method.empty()) return plain_request(arguments.method);
  return wrong(
      "say what is asked: --tool NAME, --resource URI, --prompt NAME, --method METHOD or "
      "--exchange FILE");
}

// --- who asks
// ---------------------------------------------------------------------------------------

enum class Signature : std::uint8_t { none, checked, not_checked };
std::string_view to_string(Signature signature) {
  switch (signature) {
    case Signature::none:
      return "none";
    case Signature::checked:
      return "checked";
    case Signature::not_checked:
      return "not checked";
  }
  return {};
}

struct Asker {
  Result<std::shared_ptr<const identity::Authenticated>> who =
      fail(Code::grant_missing, "there is no grant");
  std::optional<json::Document> claims;
  std::string_view proof;
  Signature signature = Signature::none;
};

Result<std::shared_ptr<const identity::Authenticated>> read_who(json::Value claims,
                                                                identity::Proof proof) {
  ZWINGER_TRY(identity::Authenticated who, identity::read_claims(claims, proof));
  return std::make_shared<const identity::Authenticated>(std::move(who));
}

bool is_local_grant(json::Value claims) {
  return std::ranges::all_of(claims.children(), [](json::Value member) {
    return member.name() == "sub" || member.name() == "exp" || member.name() == "atr";
  });
}

Result<Asker> asker_of_grant(const Arguments& arguments, Context& context) {
  ZWINGER_TRY(std::string text, read_input(context, arguments.grant));
  auto claims = json::Document::parse(std::move(text));
  if (!claims) {
    claims.error().where = fmt::format("{}, {}", arguments.grant, claims.error().where);
    return std::unexpected(std::move(claims).error());
  }
  if (!claims->root().is_object() || !claims->root().find("atr")) {
    return fail(Code::usage,
                "--grant takes the claims around a grant: a token's payload, or a local grant "
                R"({"sub", "exp", "atr"}; the value of 'atr' alone says neither who nor how long)",
                arguments.grant);
  }
  Asker out;
  const bool local = is_local_grant(claims->root());
  out.who =
      read_who(claims->root(), local ? identity::Proof::local_grant : identity::Proof::replay);
  out.proof = local ? "a local grant" : "claims from a file: no signature, no audience";
  out.claims = *std::move(claims);
  return out;
}

Result<Asker> asker_of_token(const Arguments& arguments, const gateway::Policy* policy,
                             Context& context, UnixSeconds now) {
  ZWINGER_TRY(std::string token, read_input(context, arguments.token));
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
  Asker out;
  if (const auto jws = crypto::Jws::parse(token)) {
    if (auto claims = json::Document::parse(jws->payload)) out.claims = *std::move(claims);
  }
  if (arguments.no_signature) {
    if (!out.claims) return fail(Code::token_malformed, "the file holds no JWT", arguments.token);
    out.who = read_who(out.claims->root(), identity::Proof::jwt);
    out.proof = "a token whose signature was NOT checked";
    out.signature = Signature::not_checked;
    return out;
  }
  if (policy == nullptr) {
    return wrong(
        "a token is checked against the issuers of a policy: name it with --policy, or say "
        "--no-signature");
  }
  ZWINGER_TRY(std::vector<identity::Issuer> issuers, gateway::load_issuers(*policy));
  out.who = identity::TokenVerifier(std::move(issuers), 0).verify(token, now);
  out.proof = out.who ? "a token of an issuer of the policy" : "a token that was refused";
  out.signature = Signature::checked;
  return out;
}

// --- what is printed
// ---------------------------------------------------------------------------------------

std::string where(const Verdict& verdict) {
  return verdict.at.empty() ? std::string() : fmt::format(" at {}", verdict.at);
}

// What spoke; of the token's own grant it is left out whose.
std::string name_of(const grant::Rule& rule) {
  if (rule.whose.empty() || rule.whose == "atr") return rule.member;
  return fmt::format("{}.{}", rule.whose, rule.member);
}

// Of the column of names.
std::size_t width_of(const gateway::Explanation& explained) {
  std::size_t width = 22;
  for (const gateway::StageReport& stage : explained.stages) {
    for (const grant::Rule& rule : stage.rules) width = std::max(width, name_of(rule).size());
  }
  return width;
}

void print_rule(std::string& out, const grant::Rule& rule, std::size_t width) {
  const bool asked = !rule.is_part || !rule.whose.empty();  // else it is a remark
  const std::string_view mark = !rule.verdict.allowed() ? "no" : asked ? "ok" : "";
  out += fmt::format("  {}{:<3} {:<{}} {}", rule.is_part ? "  " : "", mark, name_of(rule), width,
                     rule.text);
  if (!rule.verdict.allowed()) {
    out += fmt::format(": {}{}", rule.verdict.reason_name(), where(rule.verdict));
  }
  out += '\n';
}

std::string as_text(const gateway::Explanation& explained) {
  const std::size_t width = width_of(explained);
  std::string out;
  for (const gateway::StageReport& stage : explained.stages) {
    if (!stage.reached) {
      out += fmt::format("{:<10} not reached\n", stage.stage);
      continue;
    }
    out += fmt::format("{:<10} {:<12} {}\n", stage.stage, to_string(stage.verdict.decision),
                       stage.looked_at);
    for (const grant::Rule& rule : stage.rules) print_rule(out, rule, width);
  }
  const Verdict& verdict = explained.verdict;
  if (verdict.allowed()) {
    return out + "\nallowed: ok\n  Every stage before the record lets it pass.\n";
  }
  out += fmt::format("\ndenied: {}{}, by {}\n  {}\n", verdict.reason_name(), where(verdict),
                     explained.stage, info(verdict.reason).text);
  if (verdict.text != info(verdict.reason).text) out += fmt::format("  {}\n", verdict.text);
  return out;
}

void write_verdict(json::Writer& out, const Verdict& verdict) {
  out.key("verdict").string(to_string(verdict.decision));
  out.key("reason").string(verdict.reason_name());
  out.key("at").string(verdict.at);
}

void write_stage(json::Writer& out, const gateway::StageReport& stage) {
  out.begin_object().key("stage").string(stage.stage).key("reached").boolean(stage.reached);
  if (stage.reached) write_verdict(out, stage.verdict);
  out.key("lookedAt").string(stage.looked_at);
  out.key("rules").begin_array();
  for (const grant::Rule& rule : stage.rules) {
    out.begin_object().key("grant").string(rule.whose).key("rule").string(rule.member);
    write_verdict(out, rule.verdict);
    out.key("text").string(rule.text).key("decides").boolean(!rule.is_part).end_object();
  }
  out.end_array().end_object();
}

std::string as_json(const gateway::Explanation& explained, const Arguments& arguments,
                    const Request& request, const Asker& asker, UnixSeconds now) {
  const Verdict& verdict = explained.verdict;
  json::Writer out;
  out.begin_object();
  write_verdict(out, verdict);
  out.key("stage").string(explained.stage);
  out.key("meaning").string(verdict.allowed() ? "" : info(verdict.reason).text);
  out.key("text").string(verdict.text);
  out.key("method").string(request.method);
  out.key("upstream").string(arguments.upstream);
  out.key("now").integer(now);
  out.key("signature").string(to_string(asker.signature));
  out.key("stages").begin_array();
  for (const gateway::StageReport& stage : explained.stages) write_stage(out, stage);
  out.end_array();
  return std::move(out.end_object()).take() + "\n";
}

// --- all of it
// ---------------------------------------------------------------------------------------

Result<void> check_who(const Arguments& arguments) {
  if (arguments.grant.empty() == arguments.token.empty()) {
    return wrong(
        "say who asks: --grant FILE with the claims (what 'zwinger init --allow' wrote will do), "
        "or "
        "--token FILE");
  }
  if (arguments.no_signature && arguments.token.empty()) {
    return wrong("--no-signature belongs to --token");
  }
  const auto stdin_readers =
      static_cast<int>(arguments.grant == "-") + static_cast<int>(arguments.token == "-") +
      static_cast<int>(arguments.exchange == "-") + static_cast<int>(arguments.arguments == "@-");
  if (stdin_readers > 1) return wrong("standard input can be read once: only one option may be -");
  return {};
}

// The vertical of the upstream; nothing where the policy has none of that id.
std::optional<std::string_view> vertical_of(const gateway::Policy* policy,
                                            const std::string& upstream) {
  if (policy != nullptr) return policy->vertical_of(upstream);
  return grant::kSharedVertical;
}

int judge(const Arguments& arguments, const gateway::Policy* policy, Context& context) {
  const UnixSeconds now = arguments.at.value_or(context.clock.unix_seconds());
  const Result<Request> request = request_of(arguments, context);
  if (!request) return report(context, request.error(), kUsage);
  const Result<Asker> asker = arguments.token.empty()
                                  ? asker_of_grant(arguments, context)
                                  : asker_of_token(arguments, policy, context, now);
  if (!asker) return report(context, asker.error(), kUsage);
  if (asker->signature == Signature::not_checked) {
    context.err << "zwinger: the token's signature, issuer and audience were NOT checked\n";
  }
  gateway::OfflineExchange asked;
  asked.who = asker->who;
  if (asker->claims) asked.claims = asker->claims->root();
  asked.proof = asker->proof;
  asked.upstream = arguments.upstream;
  asked.vertical = vertical_of(policy, arguments.upstream);
  asked.method = request->method;
  asked.params = request->params;
  asked.task_tool = request->task_tool;
  asked.now = now;
  const gateway::Explanation explained = gateway::explain(
      policy != nullptr ? policy->roles : grant::RoleTable(grant::RolesDoNotRestrict{}), asked);
  context.out << (arguments.json ? as_json(explained, arguments, *request, *asker, now)
                                 : printable(as_text(explained)));
  return explained.verdict.allowed() ? kOk : kNo;
}

int run(const Arguments& arguments, Context& context) {
  if (const auto fit = check_who(arguments); !fit) return report(context, fit.error(), kUsage);
  if (!gateway::is_upstream_id(arguments.upstream)) {
    return usage_error(
        context, "an upstream id is 1 to 32 characters of a-z, 0-9 and '-'; --upstream says which");
  }
  if (!arguments.policy.empty()) {
    const auto policy = load_policy_or_report(context, arguments.policy);
    return policy ? judge(arguments, &*policy, context) : kUsage;
  }
  context.err
      << "zwinger: without --policy roles do not restrict and every upstream counts as shared\n";
  return judge(arguments, nullptr, context);
}

}  // namespace

Command eval_command() {
  return {
      .name = "eval",
      .summary = "Judge one exchange offline and show each stage and each rule",
      .example =
          "zwinger eval --grant grant.json --upstream bank --tool send_money --arguments "
          "'{\"amount\": 5}'",
      .declare = [](Options& options) -> Run {
        auto arguments = std::make_shared<Arguments>();
        options.text("--policy", arguments->policy, "DIR",
                     "The policy directory; without it roles do not restrict and the upstream is "
                     "shared");
        options.text("--grant", arguments->grant, "FILE",
                     "Who asks: a token's payload as JSON, or a local grant; - is standard input");
        options.text("--token", arguments->token, "FILE",
                     "Who asks: a JWT, checked as the gateway does; - is standard input");
        options.flag("--no-signature", arguments->no_signature,
                     "Believe the token of --token without checking who signed it");
        options.text("--upstream", arguments->upstream, "ID", "Which upstream is asked", true);
        options.text("--tool", arguments->tool, "NAME", "The tool to call, by its raw name");
        options.text("--arguments", arguments->arguments, "JSON",
                     "Arguments of the tool or prompt: a JSON object, or @FILE");
        options.text("--resource", arguments->resource, "URI", "The resource to read");
        options.text("--prompt", arguments->prompt, "NAME", "The prompt to get");
        options.text("--method", arguments->method, "METHOD",
                     "The MCP method, where it is another one, such as tools/list or "
                     "resources/subscribe");
        options.text("--exchange", arguments->exchange, "FILE",
                     "A whole JSON-RPC request instead; - is standard input");
        options.number("--at", arguments->at, "When, in Unix seconds; default now", 0,
                       253'402'300'799);
        options.flag("--json", arguments->json, "One JSON object");
        return [arguments](Context& context) { return run(*arguments, context); };
      }};
}

}  // namespace zwinger::cmd
