#include "gateway/policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <tuple>

#include "base/files.h"
#include "crypto/hash.h"
#include "gateway/config_table.h"
#include "json/yaml.h"
#include "net/tls.h"
#include "text/ascii.h"
#include "text/glob.h"
#include "text/url.h"

namespace zwinger::gateway {

namespace fs = std::filesystem;

namespace {

using config::Empty;
using config::Entries;
using config::Errors;
using config::Kind;
using config::Located;
using config::Table;

constexpr std::size_t kMaxFileBytes = std::size_t{1} << 20U;
constexpr std::size_t kMaxRoleFiles = 1024;
constexpr std::size_t kMaxUpstreamId = 32;

// zwinger.yaml as it is written.
struct Written {
  Mode mode = Mode::production;
  fs::path state_dir = "state";
  std::vector<Located<ListenerConfig>> listeners;
  std::optional<Located<AdminConfig>> admin;
  std::vector<Located<IssuerConfig>> issuers;
  Entries<Located<UpstreamConfig>> upstreams;
  Entries<Located<VirtualServer>> virtual_servers;
  Naming naming = Naming::always;
  std::size_t max_sessions = 20'000;
  Entries<Located<grant::Role>> roles;
};

// --- kinds
// ------------------------------------------------------------------------------------------

Kind<std::string> upstream_id() {
  return config::parsed<std::string>(
      "upstream id", R"("pattern":"^[a-z0-9-]{1,32}$")",
      [](const std::string& id) -> Result<std::string> {
        if (is_upstream_id(id)) return id;
        return fail(Code::policy_value, "an upstream id is 1 to 32 characters of a-z, 0-9 and '-'");
      });
}

Kind<std::string> variable_name() {
  return config::parsed<std::string>(
      "name", R"("pattern":"^[A-Za-z_][A-Za-z0-9_]*$")",
      [](const std::string& name) -> Result<std::string> {
        const auto letter = [](char c) {
          return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        };
        const auto digit = [](char c) { return c >= '0' && c <= '9'; };
        if (letter(name.front()) &&
            std::ranges::all_of(name, [&](char c) { return letter(c) || digit(c); })) {
          return name;
        }
        return fail(Code::policy_value,
                    "the name of an environment variable is letters, digits and '_'");
      });
}

Kind<std::string> vertical() {
  Kind<std::string> name = config::text("name");
  return {.type = name.type,
          .schema = name.schema,
          .read = [read = name.read](const json::YamlNode& node,
                                     Errors& errors) -> std::optional<std::string> {
            const bool nothing = node.kind == json::YamlKind::null ||
                                 (node.kind == json::YamlKind::string && node.scalar.empty());
            if (!nothing) return read(node, errors);
            errors.add(
                Code::policy_vertical_missing, node,
                "write the business domain of this upstream, or 'shared' if it belongs to none");
            return std::nullopt;
          }};
}

Kind<Mode> mode() {
  return config::parsed<Mode>(
      "`development` or `production`", R"("enum":["development","production"])",
      [](const std::string& text) -> Result<Mode> {
        if (text == "development") return Mode::development;
        if (text == "production") return Mode::production;
        return fail(Code::policy_value, "a mode is 'development' or 'production'");
      });
}

Kind<net::Address> listen_address() {
  return config::parsed<net::Address>("address", R"("minLength":1)", [](const std::string& text) {
    return net::Address::parse(text);
  });
}

// true or false, without YAML's other words for them.
Kind<bool> boolean() {
  return {.type = "boolean",
          .schema = R"("type":"boolean")",
          .read = [](const json::YamlNode& node, Errors& errors) -> std::optional<bool> {
            if (!config::expect(node, json::YamlKind::boolean, errors)) return std::nullopt;
            return node.scalar == "true";
          }};
}

// One word of a closed list.
template <class V>
Kind<V> word(std::vector<std::pair<std::string, V>> words) {
  std::vector<std::string> names;
  names.reserve(words.size());
  for (const auto& [name, value] : words) names.push_back(name);
  std::string type = fmt::format("`{}`", fmt::join(names, "`, `"));
  std::string schema = fmt::format(R"("enum":["{}"])", fmt::join(names, R"(",")"));
  return config::parsed<V>(
      std::move(type), std::move(schema),
      [words = std::move(words), names](const std::string& text) -> Result<V> {
        const auto found = std::ranges::find(words, text, &std::pair<std::string, V>::first);
        if (found != words.end()) return found->second;
        return fail(Code::policy_value,
                    fmt::format("no such word; known are: {}", fmt::join(names, ", ")));
      });
}

// An absolute http or https URL without user, fragment, or anything that parsers read differently.
Result<HttpEndpoint> parse_endpoint(const std::string& text) {
  HttpEndpoint out;
  out.url = text;
  const auto host = text::canonical_url_host(text);
  const bool is_http = text.starts_with("http://");
  out.tls = text.starts_with("https://");
  if (!host || (!is_http && !out.tls) || text.contains('#')) {
    return fail(Code::policy_value,
                "write a plain URL, for example https://mcp.example.com/mcp, without user name "
                "and fragment");
  }
  const std::size_t begin = text.find("://") + 3;
  const std::size_t end = std::min(text.find_first_of("/?", begin), text.size());
  const std::string_view authority = std::string_view(text).substr(begin, end - begin);
  out.port = out.tls ? 443 : 80;
  const std::size_t colon = authority.rfind(':');
  if (colon != std::string_view::npos && !authority.ends_with(']')) {
    const std::string_view digits = authority.substr(colon + 1);
    const auto [stop, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), out.port);
    if (error != std::errc() || stop != digits.data() + digits.size() || out.port == 0) {
      return fail(Code::policy_value, "the port is a number from 1 to 65535");
    }
  }
  out.host = host->starts_with('[') ? host->substr(1, host->size() - 2) : *host;
  out.target = text.substr(end);
  if (!out.target.starts_with('/')) out.target.insert(0, "/");
  return out;
}

Kind<HttpEndpoint> endpoint() {
  return config::parsed<HttpEndpoint>("URL", R"("pattern":"^https?://")", parse_endpoint);
}

bool is_this_machine(std::string_view host) {
  const auto v4 = net::Address{.family = net::Address::Family::ipv4, .host = std::string(host)};
  const auto v6 = net::Address{.family = net::Address::Family::ipv6, .host = std::string(host)};
  return host == "localhost" || v4.is_loopback() || v6.is_loopback();
}

Kind<std::string> header_name() {
  return config::parsed<std::string>(
      "header name", R"("pattern":"^[A-Za-z0-9-]+$")",
      [](const std::string& name) -> Result<std::string> {
        constexpr std::array<std::string_view, 9> kOurs = {
            "host",   "content-length", "transfer-encoding",    "connection",   "content-type",
            "accept", "mcp-session-id", "mcp-protocol-version", "last-event-id"};
        std::string lower;
        for (const char c : name) lower += text::to_lower(c);
        const bool plain = std::ranges::all_of(
            lower, [](char c) { return text::is_letter(c) || text::is_digit(c) || c == '-'; });
        if (!plain) return fail(Code::policy_value, "a header's name is letters, digits and '-'");
        if (std::ranges::find(kOurs, lower) != kOurs.end()) {
          return fail(Code::policy_value, "this header is the gateway's own business");
        }
        return name;
      });
}

Kind<std::string> host_name() {
  return config::parsed<std::string>(
      "host name", R"("minLength":1)", [](const std::string& text) -> Result<std::string> {
        if (auto host = text::canonical_host(text)) return *std::move(host);
        return fail(Code::policy_value, "write a host name or an IP address, without a port");
      });
}

Kind<std::string> web_origin() {
  return config::parsed<std::string>(
      "web origin", R"("pattern":"^https?://")",
      [](const std::string& text) -> Result<std::string> {
        const bool ok = text::canonical_url_host(text) &&
                        text.find_first_of("/?#", text.find("://") + 3) == std::string::npos;
        if (ok && (text.starts_with("http://") || text.starts_with("https://"))) return text;
        return fail(Code::policy_value,
                    "write scheme, host and port as browsers do, for example https://app.example");
      });
}

Kind<text::Glob> prompt_glob() {
  return config::parsed<text::Glob>("glob over upstream/prompt", R"("pattern":"/")",
                                    grant::parse_prompt_glob);
}
Kind<grant::ResourceGlob> resource_glob() {
  return config::parsed<grant::ResourceGlob>("glob over upstream/URI", R"("pattern":"/")",
                                             grant::parse_resource_glob);
}

Kind<Naming> naming() {
  return word<Naming>(
      {{"always", Naming::always}, {"on-conflict", Naming::on_conflict}, {"never", Naming::never}});
}

Kind<crypto::Algorithm> algorithm() {
  return config::parsed<crypto::Algorithm>(
      "`RS256`, `ES256` or `EdDSA`", R"("enum":["RS256","ES256","EdDSA"])",
      [](const std::string& text) -> Result<crypto::Algorithm> {
        if (const auto parsed = crypto::parse_algorithm(text)) return *parsed;
        return fail(Code::policy_value, "an algorithm is RS256, ES256 or EdDSA");
      });
}

Kind<grant::Scope> scope() {
  constexpr std::array kAll = {
      grant::Scope::tools_list,     grant::Scope::tools_call,          grant::Scope::resources_list,
      grant::Scope::resources_read, grant::Scope::resources_subscribe, grant::Scope::prompts_list,
      grant::Scope::prompts_get,    grant::Scope::completion,          grant::Scope::sandbox_exec};
  std::vector<std::string_view> words;
  words.reserve(kAll.size());
  for (const grant::Scope each : kAll) words.push_back(grant::to_string(each));
  return config::parsed<grant::Scope>(
      "scope", fmt::format(R"("enum":["{}"])", fmt::join(words, R"(",")")),
      [words](const std::string& text) -> Result<grant::Scope> {
        if (const auto parsed = grant::parse_scope(text)) return *parsed;
        return fail(Code::policy_value,
                    fmt::format("no such scope; known are: {}", fmt::join(words, ", ")));
      });
}

Kind<text::Glob> glob() {
  return config::parsed<text::Glob>("glob over upstream/tool", R"("pattern":"/")",
                                    grant::parse_tool_glob);
}

// --- tables
// -----------------------------------------------------------------------------------------

Kind<std::optional<fs::path>> optional_path() {
  Kind<fs::path> inner = config::path();
  return {.type = inner.type,
          .schema = inner.schema,
          .read = [read = inner.read](const json::YamlNode& node,
                                      Errors& errors) -> std::optional<std::optional<fs::path>> {
            auto path = read(node, errors);
            if (!path) return std::nullopt;
            return std::optional<std::optional<fs::path>>(std::in_place, std::move(path));
          }};
}

template <class V>
Kind<std::optional<V>> maybe(Kind<V> inner) {
  return {.type = inner.type,
          .schema = inner.schema,
          .read = [read = inner.read](const json::YamlNode& node,
                                      Errors& errors) -> std::optional<std::optional<V>> {
            auto value = read(node, errors);
            if (!value) return std::nullopt;
            return std::optional<std::optional<V>>(std::in_place, std::move(value));
          }};
}

Table<TlsListenerConfig> listener_tls_table() {
  Table<TlsListenerConfig> table;
  table
      .required_key("certificate", &TlsListenerConfig::certificate, config::path(),
                    "PEM file: the certificate, then the intermediates.")
      .required_key("key", &TlsListenerConfig::key, config::path(),
                    "PEM file of its private key, readable by its owner only.")
      .optional_key("clientCa", &TlsListenerConfig::client_ca, optional_path(),
                    "PEM file of authorities: clients may show a certificate of theirs, which the "
                    "record then names.")
      .optional_key("requireClientCertificate", &TlsListenerConfig::require_client_certificate,
                    boolean(), "Clients must show one. Needs `clientCa`. Default false.");
  return table;
}

Table<ListenerConfig> listener_table() {
  Table<ListenerConfig> table;
  table
      .required_key(
          "address", &ListenerConfig::address, listen_address(),
          "Where to listen: `127.0.0.1:8080`, `[::1]:8080` or `unix:/path`; port 0 takes any free "
          "port. Other addresses than this machine's own need `tls`.")
      .optional_key("tls", &ListenerConfig::tls,
                    maybe(config::mapping("TLS settings", listener_tls_table())),
                    "TLS 1.2 and 1.3.")
      .optional_key("hosts", &ListenerConfig::hosts, config::list_of(host_name(), Empty::refused),
                    "Names that a request's Host may have, besides the address. What names another "
                    "host is refused.")
      .optional_key("origins", &ListenerConfig::origins,
                    config::list_of(web_origin(), Empty::refused),
                    "Web pages that may use it, besides those of this machine.");
  return table;
}

Table<AdminConfig> admin_table() {
  Table<AdminConfig> table;
  table
      .required_key("address", &AdminConfig::address, listen_address(),
                    "A Unix socket; over TCP `tls` and `tokenFile` are needed.")
      .optional_key("tls", &AdminConfig::tls,
                    maybe(config::mapping("TLS settings", listener_tls_table())),
                    "TLS 1.2 and 1.3.")
      .optional_key("tokenFile", &AdminConfig::token_file, optional_path(),
                    "A private file with the bearer token that requests must carry.");
  return table;
}

Table<VirtualServer> virtual_server_table() {
  Table<VirtualServer> table;
  table
      .required_key("upstreams", &VirtualServer::upstreams,
                    config::list_of(upstream_id(), Empty::refused),
                    "The upstreams behind its URL, in the order of its lists.")
      .optional_key("tools", &VirtualServer::tools, config::list_of(glob(), Empty::refused),
                    "Only tools that one of these matches. Absent means all that a grant lets "
                    "through.")
      .optional_key("prompts", &VirtualServer::prompts,
                    config::list_of(prompt_glob(), Empty::refused),
                    "The same for prompts, over `upstream/prompt`.")
      .optional_key("naming", &VirtualServer::naming, naming(),
                    "How tools and prompts are called: `upstream__tool` always, only where two "
                    "have one name, or never. Default `always`.");
  return table;
}

Table<IssuerConfig> issuer_table() {
  Table<IssuerConfig> table;
  table
      .required_key("issuer", &IssuerConfig::issuer, config::text("string"),
                    "The exact `iss` of its tokens. Each issuer stands here once.")
      .required_key("audience", &IssuerConfig::audience, config::text("string"),
                    "What `aud` of its tokens must name.")
      .required_key("algorithms", &IssuerConfig::algorithms,
                    config::list_of(algorithm(), Empty::refused),
                    "The signature algorithms that its tokens may use.")
      .required_key("jwksFile", &IssuerConfig::jwks_file, config::path(),
                    "Its public keys as a JSON Web Key Set; relative to the policy directory.")
      .refused_key("jwksUrl", Code::policy_value,
                   "Key sets are not fetched yet: save the key set and name it as `jwksFile`.");
  return table;
}

Table<UpstreamConfig> upstream_table() {
  constexpr std::int64_t kDay = 86400;
  constexpr std::int64_t kGiB = std::int64_t{1} << 30U;
  Table<UpstreamConfig> table;
  table
      .optional_key(
          "command", &UpstreamConfig::command,
          config::list_of(config::text("string"), Empty::refused),
          "Program and arguments of an MCP server that speaks on its standard input and output. A "
          "program without `/` is looked up in PATH; a relative path is taken from the policy "
          "directory. Either this or `url`.")
      .optional_key(
          "env", &UpstreamConfig::environment,
          config::map_of(variable_name(), config::any_string(), Empty::allowed),
          "Its environment, beside PATH, HOME, LANG and TZ of the gateway. Numbers are quoted.")
      .optional_key("url", &UpstreamConfig::endpoint, endpoint(),
                    "Where an MCP server is that speaks HTTP: `https://...`, or `http://` on this "
                    "machine.")
      .optional_key("transport", &UpstreamConfig::transport,
                    word<HttpTransport>({{"streamable-http", HttpTransport::streamable},
                                         {"sse", HttpTransport::sse}}),
                    "How: `sse` is the old HTTP+SSE of 2024-11-05. Default `streamable-http`.")
      .optional_key("allowPlaintext", &UpstreamConfig::allow_plaintext, boolean(),
                    "Lets `http://` go to another host, where something else (a mesh sidecar) "
                    "encrypts. Default false.")
      .optional_key("headers", &UpstreamConfig::headers,
                    config::map_of(header_name(), config::text("string"), Empty::refused),
                    "Sent with every request.")
      .optional_key("secretHeaders", &UpstreamConfig::secret_headers,
                    config::map_of(header_name(), config::path(), Empty::refused),
                    "The same, with each value in a private file: "
                    "`{Authorization: bearer.secret}`.")
      .optional_key("tlsCa", &UpstreamConfig::tls_ca, optional_path(),
                    "PEM file of authorities that its certificate must come from. Default: the "
                    "system's.")
      .optional_key("tlsCertificate", &UpstreamConfig::tls_certificate, optional_path(),
                    "PEM file of the certificate that we show it (mTLS).")
      .optional_key("tlsKey", &UpstreamConfig::tls_key, optional_path(),
                    "PEM file of its private key, readable by its owner only.")
      .optional_key("tlsServerName", &UpstreamConfig::tls_server_name, host_name(),
                    "The name its certificate must have. Default: the URL's host.")
      .optional_key("sessions", &UpstreamConfig::sessions,
                    word<SessionUse>({{"own", SessionUse::own}, {"shared", SessionUse::shared}}),
                    "`own`: each client session has a connection, and a process, of its own, and "
                    "servers may ask clients. `shared`: all share one, which can ask nobody. "
                    "Default `own`.")
      .optional_key("maxSessions", &UpstreamConfig::max_sessions,
                    config::integer<std::size_t>(1, 10'000),
                    "How many processes of a `command` may run for sessions. Default 64.")
      .optional_key("serverRequests", &UpstreamConfig::server_requests,
                    config::list_of(
                        word<ServerRequestKind>({{"roots", ServerRequestKind::roots},
                                                 {"sampling", ServerRequestKind::sampling},
                                                 {"elicitation", ServerRequestKind::elicitation}}),
                        Empty::allowed),
                    "What it may ask of clients that declared the capability. Default: all three.")
      .required_key("vertical", &UpstreamConfig::vertical, vertical(),
                    "The business domain it belongs to, or `shared`.",
                    Code::policy_vertical_missing)
      .optional_key("timeoutSeconds", &UpstreamConfig::answer_timeout,
                    config::integer<std::chrono::seconds>(1, kDay),
                    "How long an answer may take. Default 60.")
      .optional_key("startTimeoutSeconds", &UpstreamConfig::start_timeout,
                    config::integer<std::chrono::seconds>(1, kDay),
                    "How long it may take to start and answer `initialize`. Default 60.")
      .optional_key("maxAnswerBytes", &UpstreamConfig::max_answer_bytes,
                    config::integer<std::size_t>(1024, kGiB),
                    "The largest message taken from it. Default 16777216.");
  return table;
}

Table<grant::Role> role_table() {
  Table<grant::Role> table;
  table
      .optional_key("scope", &grant::Role::scope, config::list_of(scope(), Empty::allowed),
                    "What its grants may ask for: `tools:list`, `tools:call` and so on. Absent "
                    "means nothing.")
      .optional_key("toolsInScope", &grant::Role::tools_in_scope,
                    config::list_of(glob(), Empty::allowed),
                    "Globs over `upstream/tool`; `*` does not cross `/`. Absent means no tool.")
      .optional_key("toolsOutOfScope", &grant::Role::tools_out_of_scope,
                    config::list_of(glob(), Empty::allowed), "Globs that win over `toolsInScope`.")
      .optional_key("resourcesInScope", &grant::Role::resources_in_scope,
                    config::list_of(resource_glob(), Empty::allowed),
                    "Globs over `upstream/URI`; `*` does not cross `/`, a final `/**` takes any "
                    "rest. Absent means no resource.")
      .optional_key("promptsInScope", &grant::Role::prompts_in_scope,
                    config::list_of(prompt_glob(), Empty::allowed),
                    "Globs over `upstream/prompt`. Absent means no prompt.")
      .optional_key("verticals", &grant::Role::verticals,
                    config::list_of(config::text("name"), Empty::allowed),
                    "The verticals its grants may reach. Absent means only what is `shared`.");
  return table;
}

Kind<Entries<Located<grant::Role>>> role_map() {
  return config::map_of(config::text("name"),
                        config::located(config::mapping("role", role_table())), Empty::refused);
}

Table<Written> policy_table() {
  Table<Written> table;
  table
      .optional_key(
          "mode", &Written::mode, mode(),
          "`development` allows `zwinger token keygen` and `token mint`. Default `production`.")
      .optional_key(
          "stateDir", &Written::state_dir, config::path(),
          "Where counters and the record live; relative to the policy directory. Default `state`.")
      .optional_key("listeners", &Written::listeners,
                    config::list_of(config::located(config::mapping("listener", listener_table())),
                                    Empty::refused),
                    "Where `zwinger gateway` listens. Not needed for `zwinger wrap`.")
      .optional_key("issuers", &Written::issuers,
                    config::list_of(config::located(config::mapping("issuer", issuer_table())),
                                    Empty::refused),
                    "Who may issue tokens. Required when there are listeners.")
      .optional_key("admin", &Written::admin,
                    maybe(config::located(config::mapping("admin listener", admin_table()))),
                    "Where health, readiness and metrics are. Default: the Unix socket "
                    "`admin.sock` in `stateDir`.")
      .required_key("upstreams", &Written::upstreams,
                    config::map_of(upstream_id(),
                                   config::located(config::mapping("upstream", upstream_table())),
                                   Empty::refused),
                    "The MCP servers behind the gateway, each at `/mcp/<id>`, and all of them "
                    "together at `/mcp`.")
      .optional_key(
          "virtualServers", &Written::virtual_servers,
          config::map_of(upstream_id(),
                         config::located(config::mapping("virtual server", virtual_server_table())),
                         Empty::refused),
          "Selections of them, each at `/mcp/<name>`.")
      .optional_key("naming", &Written::naming, naming(),
                    "How tools and prompts of several upstreams are called at `/mcp`. Default "
                    "`always`: `upstream__tool`.")
      .optional_key("maxSessions", &Written::max_sessions,
                    config::integer<std::size_t>(1, 1'000'000),
                    "How many MCP sessions of clients there may be. Default 20000.")
      .optional_key(
          "roles", &Written::roles, role_map(),
          "What a grant's `role` allows at most. More of them may stand in `roles/*.yaml`. A grant "
          "whose role is defined nowhere is refused.");
  return table;
}

// --- files
// ------------------------------------------------------------------------------------------

// Reads each file once, and knows afterwards whether one changed meanwhile.
class Files {
 public:
  // `name` is how the policy calls it; it goes into the digest. Nothing after an error was added.
  std::optional<std::string_view> read(const std::string& name, const fs::path& path,
                                       const std::string& where, Errors& errors) {
    const auto known = files_.find(name);
    if (known != files_.end()) return known->second.text;
    const Stamp stamp = stamp_of(path);
    Result<std::string> text = read_file(path, kMaxFileBytes, Code::policy_unreadable);
    if (!text) {
      errors.add(
          {.code = Code::policy_unreadable, .message = text.error().message, .where = where});
      return std::nullopt;
    }
    return files_.emplace(name, File{.path = path, .text = *std::move(text), .stamp = stamp})
        .first->second.text;
  }

  void check_unchanged(Errors& errors) const {
    for (const auto& [name, file] : files_) {
      if (stamp_of(file.path) == file.stamp) continue;
      errors.add({.code = Code::policy_unreadable,
                  .message = "the file changed while it was read; write beside it and rename",
                  .where = file.path.string()});
    }
  }

  // Lengths stand before names and contents, so that no two different sets of files look the same.
  [[nodiscard]] std::string digest() const {
    std::string all = "zwinger policy 1\n";
    for (const auto& [name, file] : files_) {
      all += fmt::format("{} {}\n{}{}", name.size(), file.text.size(), name, file.text);
    }
    return crypto::sha256_hex(all);
  }

 private:
  struct Stamp {
    fs::file_time_type changed;
    std::uintmax_t size = 0;
    bool operator==(const Stamp&) const = default;
  };
  struct File {
    fs::path path;
    std::string text;
    Stamp stamp;
  };
  static Stamp stamp_of(const fs::path& path) {
    std::error_code time_error;
    std::error_code size_error;
    return {.changed = fs::last_write_time(path, time_error),
            .size = fs::file_size(path, size_error)};
  }

  std::map<std::string, File> files_;
};

// --- loading
// ----------------------------------------------------------------------------------------

Error in_file(Error error, const fs::path& file) {
  error.where =
      error.where.empty() ? file.string() : fmt::format("{}: {}", file.string(), error.where);
  return error;
}

class Loader {
  struct IssuerPlace {
    std::string file_name;  // as written
    std::string where;
  };

 public:
  Loader(const fs::path& directory, KeySets key_sets)
      : shown_(directory), base_(fs::absolute(directory).lexically_normal()), key_sets_(key_sets) {}

  std::expected<Policy, std::vector<Error>> load() {
    std::error_code ec;
    if (!fs::is_directory(base_, ec)) {
      errors_.add({.code = Code::policy_unreadable,
                   .message = fmt::format(
                       "there is no policy directory here; 'zwinger init --policy {}' writes one",
                       shown_.string()),
                   .where = shown_.string()});
      return std::unexpected(std::move(errors_).take());
    }
    policy_.directory = base_;
    if (auto written = read_yaml<Written>(std::string(kPolicyFile),
                                          [](const json::YamlNode& node, Errors& errors) {
                                            return policy_table().read(node, errors);
                                          })) {
      take(*std::move(written));
    }
    refuse_files_for_other_builds();
    read_role_files();
    if (key_sets_ == KeySets::required) read_key_sets();
    files_.check_unchanged(errors_);
    if (!errors_.empty()) return std::unexpected(std::move(errors_).take());

    std::map<std::string, grant::Role, std::less<>> roles;
    for (auto& [name, role] : roles_) {
      policy_.role_names.push_back(name);
      roles.emplace(name, std::move(role.value));
    }
    policy_.roles = grant::RoleTable(std::move(roles));
    policy_.digest = files_.digest();
    return std::move(policy_);
  }

 private:
  template <class T, class Read>
  std::optional<T> read_yaml(const std::string& name, const Read& read) {
    const std::string shown = (shown_ / name).string();
    const auto text = files_.read(name, base_ / name, shown, errors_);
    if (!text) return std::nullopt;
    const Result<json::YamlNode> node =
        json::parse_yaml(*text, shown, {.max_bytes = kMaxFileBytes});
    if (node) return read(*node, errors_);
    errors_.add(node.error());
    return std::nullopt;
  }

  [[nodiscard]] fs::path resolve(const fs::path& path) const {
    return (base_ / path).lexically_normal();
  }

  void take(Written written) {
    policy_.mode = written.mode;
    policy_.state_dir = resolve(written.state_dir);
    take_listeners(std::move(written.listeners));
    if (!policy_.listeners.empty() && written.issuers.empty()) {
      errors_.add({.code = Code::policy_empty_set,
                   .message = "there are listeners but no issuers, so nobody could ever be let in",
                   .where = (shown_ / kPolicyFile).string()});
    }
    take_issuers(std::move(written.issuers));
    take_admin(std::move(written.admin));
    for (auto& [id, upstream] : written.upstreams) take_upstream(id, std::move(upstream));
    take_virtual_servers(std::move(written.virtual_servers));
    policy_.naming = written.naming;
    policy_.max_sessions = written.max_sessions;
    take_roles(std::move(written.roles));
  }

  void refuse(Code code, std::string message, const std::string& where) {
    errors_.add({.code = code, .message = std::move(message), .where = where});
  }
  void resolve_in_place(std::optional<fs::path>& path) const {
    if (path) path = resolve(*path);
  }
  void resolve_tls(std::optional<TlsListenerConfig>& tls, const std::string& where) {
    if (!tls) return;
    tls->certificate = resolve(tls->certificate);
    tls->key = resolve(tls->key);
    resolve_in_place(tls->client_ca);
    if (tls->require_client_certificate && !tls->client_ca) {
      refuse(Code::policy_value, "requireClientCertificate needs clientCa", where);
    }
  }

  void take_upstream(const std::string& id, Located<UpstreamConfig> located) {
    auto& [upstream, where] = located;
    upstream.id = id;
    const bool is_http = !upstream.endpoint.url.empty();
    if (!errors_.empty() && !is_http && !upstream.is_stdio()) {
      // what is missing may be what was refused
    } else if (is_http == upstream.is_stdio()) {
      refuse(Code::policy_missing_key, "an upstream has either 'command' or 'url'", where);
    } else if (is_http) {
      check_http_upstream(upstream, where);
    } else if (upstream.command.front().contains('/')) {
      upstream.command.front() = resolve(upstream.command.front()).string();
    }
    for (auto& [name, file] : upstream.secret_headers) file = resolve(file);
    resolve_in_place(upstream.tls_ca);
    resolve_in_place(upstream.tls_certificate);
    resolve_in_place(upstream.tls_key);
    policy_.upstreams.emplace(id, std::move(upstream));
  }

  void check_http_upstream(const UpstreamConfig& upstream, const std::string& where) {
    if (!upstream.environment.empty()) {
      refuse(Code::policy_value, "'env' is for upstreams with a 'command'", where);
    }
    const HttpEndpoint& endpoint = upstream.endpoint;
    if (!endpoint.tls && !is_this_machine(endpoint.host) && !upstream.allow_plaintext) {
      refuse(Code::policy_value,
             "http:// goes to this machine only; use https://, or say allowPlaintext where "
             "something else encrypts",
             where);
    }
    const bool has_tls_keys = upstream.tls_ca || upstream.tls_certificate || upstream.tls_key;
    if (has_tls_keys && !endpoint.tls) {
      refuse(Code::policy_value, "TLS settings need an https:// URL", where);
    }
    if (upstream.tls_certificate.has_value() != upstream.tls_key.has_value()) {
      refuse(Code::policy_value, "tlsCertificate and tlsKey go together", where);
    }
  }

  void take_virtual_servers(Entries<Located<VirtualServer>> servers) {
    for (auto& [name, located] : servers) {
      auto& [server, where] = located;
      if (policy_.upstreams.contains(name)) {
        refuse(Code::policy_value,
               fmt::format("'{}' is an upstream already; both would be at /mcp/{}", name, name),
               where);
      }
      for (const std::string& upstream : server.upstreams) {
        if (policy_.upstreams.contains(upstream)) continue;
        refuse(Code::policy_value, fmt::format("there is no upstream '{}'", upstream), where);
      }
      policy_.virtual_servers.emplace(name, std::move(server));
    }
  }

  void take_admin(std::optional<Located<AdminConfig>> located) {
    if (!located) return;
    auto& [admin, where] = *located;
    resolve_tls(admin.tls, where);
    resolve_in_place(admin.token_file);
    const bool is_unix = admin.address.family == net::Address::Family::unix_socket;
    if (!admin.address.host.empty() && !is_unix && (!admin.tls || !admin.token_file)) {
      refuse(Code::policy_listener, "the admin listener over TCP needs 'tls' and 'tokenFile'",
             where);
    }
    policy_.admin = std::move(admin);
  }

  void take_listeners(std::vector<Located<ListenerConfig>> listeners) {
    std::set<std::string> seen;
    for (auto& [listener, where] : listeners) {
      const net::Address& address = listener.address;
      const bool any_port =
          address.family != net::Address::Family::unix_socket && address.port == 0;
      if (!any_port && !seen.insert(address.to_string()).second) {
        refuse(Code::policy_value, "this address is listened on twice", where);
      }
      if (!address.host.empty() && !address.is_loopback() && !listener.tls) {
        refuse(Code::policy_listener,
               "an address that others reach needs 'tls'; without it only loopback addresses and "
               "Unix sockets may be listened on",
               where);
      }
      resolve_tls(listener.tls, where);
      policy_.listeners.push_back(std::move(listener));
    }
  }

  void take_issuers(std::vector<Located<IssuerConfig>> issuers) {
    std::set<std::string> seen;
    for (auto& [issuer, where] : issuers) {
      if (!issuer.issuer.empty() && !seen.insert(issuer.issuer).second) {
        errors_.add(
            {.code = Code::policy_value,
             .message = "this issuer stands here twice; which keys were its own would be ambiguous",
             .where = where});
      }
      issuer_places_.push_back({.file_name = issuer.jwks_file.string(), .where = where});
      if (!issuer.jwks_file.empty()) issuer.jwks_file = resolve(issuer.jwks_file);
      policy_.issuers.push_back(std::move(issuer));
    }
  }

  void take_roles(Entries<Located<grant::Role>> roles) {
    for (auto& [name, role] : roles) {
      const auto [known, added] = roles_.try_emplace(name, role);
      if (added) continue;
      errors_.add({.code = Code::policy_value,
                   .message = fmt::format("the role '{}' is already defined at {}", name,
                                          known->second.where),
                   .where = role.where});
    }
  }

  void read_role_files() {
    const fs::path folder = base_ / "roles";
    std::error_code ec;
    if (fs::symlink_status(folder, ec).type() == fs::file_type::not_found) return;
    std::vector<std::string> names;
    for (auto entry = fs::directory_iterator(folder, ec); !ec && entry != fs::directory_iterator();
         entry.increment(ec)) {
      std::string name = entry->path().filename().string();
      // An editor's or a writer's temporary file is no role file, whatever it holds.
      if (name.starts_with('.') || !name.ends_with(".yaml")) {
        policy_.not_read.push_back(fs::path("roles") / name);
      } else {
        names.push_back(std::move(name));
      }
    }
    const std::string shown = (shown_ / "roles").string();
    if (ec) {
      errors_.add({.code = Code::policy_unreadable,
                   .message = "cannot list the folder: " + ec.message(),
                   .where = shown});
      return;
    }
    if (names.size() > kMaxRoleFiles) {
      errors_.add({.code = Code::policy_value,
                   .message = fmt::format("there are more than {} role files", kMaxRoleFiles),
                   .where = shown});
      return;
    }
    std::ranges::sort(names);
    std::ranges::sort(policy_.not_read);
    for (const std::string& name : names) {
      if (auto roles = read_yaml<Entries<Located<grant::Role>>>("roles/" + name, role_map().read)) {
        take_roles(*std::move(roles));
      }
    }
  }

  // Labels, bindings, overlay rules and others will stand beside zwinger.yaml one day. A file of
  // them that this build does not read may hold a restriction, which must not be ignored.
  void refuse_files_for_other_builds() {
    std::error_code ec;
    for (auto entry = fs::directory_iterator(base_, ec); !ec && entry != fs::directory_iterator();
         entry.increment(ec)) {
      const std::string name = entry->path().filename().string();
      const bool is_yaml = name.ends_with(".yaml") || name.ends_with(".yml");
      if (!is_yaml || name.starts_with('.') || name == kPolicyFile) continue;
      errors_.add({.code = Code::policy_unknown_key,
                   .message = "this build reads no such policy file; move it away, or its content "
                              "into zwinger.yaml or roles/",
                   .where = (shown_ / name).string()});
    }
  }

  void read_key_sets() {
    for (std::size_t i = 0; i < policy_.issuers.size(); ++i) {
      IssuerConfig& issuer = policy_.issuers[i];
      if (issuer.jwks_file.empty()) continue;  // already an error
      const auto& [file_name, where] = issuer_places_[i];
      const auto text = files_.read(file_name, issuer.jwks_file, where, errors_);
      if (!text) continue;
      issuer.jwks = *text;
      const Result<crypto::KeySet> keys = crypto::KeySet::parse(issuer.jwks);
      if (!keys) errors_.add(in_file(keys.error(), issuer.jwks_file));
    }
  }

  fs::path shown_;  // as the user wrote it, for messages
  fs::path base_;
  KeySets key_sets_;
  Errors errors_;
  Files files_;
  Policy policy_;
  std::vector<IssuerPlace> issuer_places_;
  std::map<std::string, Located<grant::Role>, std::less<>> roles_;
};

}  // namespace

std::string_view to_string(Mode mode) {
  return mode == Mode::development ? "development" : "production";
}

bool is_upstream_id(std::string_view text) {
  return !text.empty() && text.size() <= kMaxUpstreamId && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

std::optional<std::string_view> Policy::vertical_of(std::string_view upstream) const {
  const auto found = upstreams.find(upstream);
  if (found == upstreams.end()) return std::nullopt;
  return found->second.vertical;
}

std::expected<Policy, std::vector<Error>> load_policy(const fs::path& directory, KeySets key_sets) {
  return Loader(directory, key_sets).load();
}

std::vector<Error> check_files(const Policy& policy) {
  std::vector<Error> errors;
  const auto keep = [&errors](const auto& result) {
    if (!result) errors.push_back(result.error());
  };
  const auto check_tls = [&keep](const std::optional<TlsListenerConfig>& tls) {
    if (!tls) return;
    keep(net::TlsServerContext::make(
        {.certificate = tls->certificate,
         .key = tls->key,
         .client_ca = tls->client_ca,
         .require_client_certificate = tls->require_client_certificate}));
  };
  for (const ListenerConfig& listener : policy.listeners) check_tls(listener.tls);
  if (policy.admin) {
    check_tls(policy.admin->tls);
    if (policy.admin->token_file) keep(read_private_file(*policy.admin->token_file, kMaxFileBytes));
  }
  for (const auto& [id, upstream] : policy.upstreams) {
    for (const auto& [name, file] : upstream.secret_headers) {
      keep(read_private_file(file, kMaxFileBytes));
    }
    if (!upstream.endpoint.tls) continue;
    keep(net::TlsClientContext::make({.ca = upstream.tls_ca,
                                      .certificate = upstream.tls_certificate,
                                      .key = upstream.tls_key,
                                      .server_name = upstream.tls_server_name.empty()
                                                         ? upstream.endpoint.host
                                                         : upstream.tls_server_name}));
  }
  return errors;
}

Result<std::vector<identity::Issuer>> load_issuers(const Policy& policy) {
  std::vector<identity::Issuer> issuers;
  for (const IssuerConfig& each : policy.issuers) {
    Result<crypto::KeySet> keys = crypto::KeySet::parse(each.jwks);
    if (!keys) return std::unexpected(in_file(keys.error(), each.jwks_file));
    issuers.push_back({.issuer = each.issuer,
                       .audience = each.audience,
                       .algorithms = each.algorithms,
                       .keys = *std::move(keys)});
  }
  return issuers;
}

std::string policy_reference() {
  const auto section = [](std::string_view title, std::string_view text,
                          const std::vector<config::Row>& rows) {
    return fmt::format("\n## {}\n\n{}\n\n{}", title, text, config::reference_of(rows));
  };
  std::string out =
      "# The policy directory\n\n"
      "Made by `zwinger reference policy.md` from the tables that read the files; do not edit.\n\n"
      "A policy directory holds `zwinger.yaml`, the key sets it names, and optionally "
      "`roles/*.yaml`, each a map of\n"
      "role names to roles. It is loaded whole or not at all: an unknown or duplicate key, a wrong "
      "type, an alias or\n"
      "an empty set is an error with file, line and column. `zwinger check DIR` shows all of "
      "them.\n";
  out += section("zwinger.yaml", "The top of the file.", policy_table().rows());
  out += section("A listener", "One entry of `listeners`.", listener_table().rows());
  out += section("TLS settings", "Of a listener; the files are read at start.",
                 listener_tls_table().rows());
  out += section("The admin listener", "`admin`.", admin_table().rows());
  out += section("An issuer", "One entry of `issuers`.", issuer_table().rows());
  out += section("An upstream", "One value of `upstreams`; its key is the upstream's id.",
                 upstream_table().rows());
  out += section("A virtual server",
                 "One value of `virtualServers`; its key is the last part of its URL.",
                 virtual_server_table().rows());
  out += section("A role",
                 "One value of `roles`, or of a file in `roles/`; its key is the role's name.",
                 role_table().rows());
  return out;
}

std::string policy_schema() {
  return fmt::format(
      R"({{"$schema":"https://json-schema.org/draft/2020-12/schema","title":"zwinger.yaml of Zwinger",{}}})",
      config::schema_of(policy_table().rows()));
}

}  // namespace zwinger::gateway
