// `zwinger check`: loads all that every process would, and shows what was found or every error.
#include <fmt/format.h>

#include <ostream>

#include "cmd/command.h"
#include "json/writer.h"

namespace zwinger::cmd {

namespace {

namespace fs = std::filesystem;

struct Arguments {
  std::string directory;
  std::string policy;
  bool json = false;
};

std::vector<std::string> key_ids(const identity::Issuer& issuer) {
  std::vector<std::string> ids;
  ids.reserve(issuer.keys.keys.size());
  for (const crypto::PublicKey& key : issuer.keys.keys) {
    ids.push_back(
        fmt::format("{} ({})", key.id().empty() ? "no id" : key.id(), to_string(key.algorithm())));
  }
  return ids;
}

std::vector<std::string_view> algorithm_names(const identity::Issuer& issuer) {
  std::vector<std::string_view> names;
  names.reserve(issuer.algorithms.size());
  for (const crypto::Algorithm algorithm : issuer.algorithms)
    names.push_back(crypto::to_string(algorithm));
  return names;
}

std::string as_text(const gateway::Policy& policy, const std::vector<identity::Issuer>& issuers) {
  std::string out = fmt::format("policy     {} ({} mode)\ndigest     {}\nstate      {}\n",
                                policy.directory.string(), gateway::to_string(policy.mode),
                                policy.digest, policy.state_dir.string());
  // The first line of a section names it.
  const auto section = [&out](std::string_view name, const std::vector<std::string>& lines,
                              std::string_view none) {
    if (lines.empty()) out += fmt::format("{:<10} {}\n", name, none);
    for (std::size_t i = 0; i < lines.size(); ++i)
      out += fmt::format("{:<10} {}\n", i == 0 ? name : "", lines[i]);
  };
  std::vector<std::string> lines;
  lines.reserve(policy.listeners.size());
  for (const gateway::ListenerConfig& listener : policy.listeners) {
    lines.push_back(listener.address.to_string() + (listener.tls ? ", TLS" : ""));
  }
  section("listeners", lines, "none: for 'zwinger wrap' and 'zwinger replay' only");

  lines.clear();
  for (const identity::Issuer& issuer : issuers) {
    lines.push_back(fmt::format("{}, audience {}, {}, keys: {}", issuer.issuer, issuer.audience,
                                fmt::join(algorithm_names(issuer), " "),
                                fmt::join(key_ids(issuer), ", ")));
  }
  section("issuers", lines, "none");

  lines.clear();
  for (const auto& [id, upstream] : policy.upstreams) {
    lines.push_back(fmt::format("{}, vertical {}: {}", id, upstream.vertical,
                                upstream.is_stdio()
                                    ? fmt::format("{}", fmt::join(upstream.command, " "))
                                    : upstream.endpoint.url));
  }
  section("upstreams", lines, "none");
  lines.clear();
  for (const auto& [id, server] : policy.virtual_servers) {
    lines.push_back(fmt::format("{}: {}", id, fmt::join(server.upstreams, " ")));
  }
  if (!lines.empty()) section("virtual", lines, "");
  section("roles", policy.role_names, "none: every grant will be refused as role_unknown");

  lines.clear();
  for (const fs::path& path : policy.not_read) lines.push_back(path.string());
  if (!lines.empty()) section("not read", lines, "");
  return out;
}

void write_errors(json::Writer& out, const std::vector<Error>& errors) {
  out.key("errors").begin_array();
  for (const Error& error : errors) {
    out.begin_object();
    out.key("code").string(name(error.code));
    out.key("message").string(error.message);
    out.key("where").string(error.where);
    out.end_object();
  }
  out.end_array();
}

std::string as_json(const gateway::Policy& policy, const std::vector<identity::Issuer>& issuers) {
  const auto strings = [](json::Writer& out, std::string_view key, const auto& values) {
    out.key(key).begin_array();
    for (const auto& value : values) out.string(std::string_view(value));
    out.end_array();
  };
  json::Writer out;
  out.begin_object();
  out.key("valid").boolean(true);
  out.key("directory").string(policy.directory.string());
  out.key("mode").string(gateway::to_string(policy.mode));
  out.key("digest").string(policy.digest);
  out.key("stateDir").string(policy.state_dir.string());
  out.key("listeners").begin_array();
  for (const gateway::ListenerConfig& listener : policy.listeners) {
    out.string(listener.address.to_string());
  }
  out.end_array();
  out.key("issuers").begin_array();
  for (const identity::Issuer& issuer : issuers) {
    out.begin_object();
    out.key("issuer").string(issuer.issuer);
    out.key("audience").string(issuer.audience);
    strings(out, "algorithms", algorithm_names(issuer));
    out.key("keys").begin_array();
    for (const crypto::PublicKey& key : issuer.keys.keys) out.string(key.id());
    out.end_array().end_object();
  }
  out.end_array();
  out.key("upstreams").begin_object();
  for (const auto& [id, upstream] : policy.upstreams) {
    out.key(id).begin_object().key("vertical").string(upstream.vertical);
    if (upstream.is_stdio()) {
      strings(out, "command", upstream.command);
    } else {
      out.key("url").string(upstream.endpoint.url);
    }
    out.end_object();
  }
  out.end_object();
  strings(out, "roles", policy.role_names);
  out.key("notRead").begin_array();
  for (const fs::path& path : policy.not_read) out.string(path.string());
  out.end_array();
  write_errors(out, {});
  return std::move(out.end_object()).take();
}

int refuse(Context& context, const Arguments& arguments, const std::vector<Error>& errors) {
  if (arguments.json) {
    json::Writer out;
    out.begin_object().key("valid").boolean(false);
    write_errors(out, errors);
    context.out << std::move(out.end_object()).take() << '\n';
  }
  return report(context, errors, kNo);
}

int run(const Arguments& arguments, Context& context) {
  if (!arguments.directory.empty() && !arguments.policy.empty()) {
    return usage_error(context, "name the policy directory once");
  }
  const Result<fs::path> directory = policy_directory(
      context, arguments.directory.empty() ? arguments.policy : arguments.directory);
  if (!directory) return report(context, directory.error(), kUsage);
  auto policy = gateway::load_policy(*directory);
  std::error_code ec;
  if (!policy && !fs::is_directory(*directory, ec)) return report(context, policy.error(), kUsage);
  if (!policy) return refuse(context, arguments, policy.error());
  const Result<std::vector<identity::Issuer>> issuers = gateway::load_issuers(*policy);
  if (!issuers) return refuse(context, arguments, {issuers.error()});
  if (const std::vector<Error> files = gateway::check_files(*policy); !files.empty()) {
    return refuse(context, arguments, files);
  }
  context.out << (arguments.json ? as_json(*policy, *issuers) + "\n"
                                 : printable(as_text(*policy, *issuers)));
  return kOk;
}

}  // namespace

Command check_command() {
  return {.name = "check",
          .summary = "Load a policy directory; show what it says, or every error in it",
          .example = "zwinger check ./policy",
          .declare = [](Options& options) -> Run {
            auto arguments = std::make_shared<Arguments>();
            options.text("directory", arguments->directory, "DIR", "The policy directory");
            options.text("--policy", arguments->policy, "DIR", "The same");
            options.flag("--json", arguments->json, "One JSON object");
            return [arguments](Context& context) { return run(*arguments, context); };
          }};
}

}  // namespace zwinger::cmd
