// The policy directory: text to one immutable snapshot, loaded whole or not at all (design section
// 5).
//
// Reads zwinger.yaml, roles/*.yaml and the key sets it names. One digest covers every file that was
// read. A Policy is immutable and may be read from any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "grant/grant.h"
#include "identity/token_verifier.h"
#include "net/stream.h"
#include "text/glob.h"

namespace zwinger::gateway {

enum class Mode { development, production };
[[nodiscard]] std::string_view to_string(Mode mode);

// 1 to 32 characters of a-z, 0-9 and '-'.
[[nodiscard]] bool is_upstream_id(std::string_view text);

// The file that every policy directory has.
inline constexpr std::string_view kPolicyFile = "zwinger.yaml";

// How an HTTP upstream is reached.
struct HttpEndpoint {
  std::string url;   // as written
  bool tls = false;  // https
  std::string host;  // name or IP literal, IPv6 without brackets
  std::uint16_t port = 80;
  std::string target;  // path and query
  bool operator==(const HttpEndpoint&) const = default;
};
enum class HttpTransport : std::uint8_t {
  streamable,  // MCP 2025-03-26 and later
  sse          // HTTP+SSE of 2024-11-05
};
// What a server may ask of a client.
enum class ServerRequestKind : std::uint8_t { roots, sampling, elicitation };
// Whether each client session gets a connection (and a process) of its own.
enum class SessionUse : std::uint8_t { own, shared };

struct UpstreamConfig {
  std::string id;                    // [a-z0-9-]+, at most 32 characters
  std::vector<std::string> command;  // argv; [0] without "/" is looked up in PATH; empty: HTTP
  HttpEndpoint endpoint;             // of an HTTP upstream
  HttpTransport transport = HttpTransport::streamable;
  bool allow_plaintext = false;  // http:// to another host than this one
  std::vector<std::pair<std::string, std::string>> headers;  // sent with every request
  std::vector<std::pair<std::string, std::filesystem::path>> secret_headers;  // value in a file
  std::optional<std::filesystem::path> tls_ca;
  std::optional<std::filesystem::path> tls_certificate;
  std::optional<std::filesystem::path> tls_key;
  std::string tls_server_name;  // empty: the host
  SessionUse sessions = SessionUse::own;
  std::size_t max_sessions = 64;  // processes of a stdio upstream beside the shared one
  std::vector<ServerRequestKind> server_requests = {
      ServerRequestKind::roots, ServerRequestKind::sampling, ServerRequestKind::elicitation};
  std::vector<std::pair<std::string, std::string>> environment;  // beside PATH, HOME, LANG, TZ
  std::string vertical;
  std::chrono::seconds answer_timeout{60};
  std::chrono::seconds start_timeout{60};
  std::size_t max_answer_bytes = std::size_t{16} << 20U;

  [[nodiscard]] bool is_stdio() const { return !command.empty(); }
  bool operator==(const UpstreamConfig&) const = default;  // hot reload keeps what did not change
};

// How the tools and prompts of several upstreams behind one URL are called.
enum class Naming : std::uint8_t {
  always,       // upstream__tool
  on_conflict,  // its own name, and upstream__tool where two have the same
  never         // its own name; of two that have the same the first upstream's is meant
};

// A named selection of upstreams, or of what they have, with a URL of its own: /mcp/<name>.
struct VirtualServer {
  std::vector<std::string> upstreams;  // in their order
  std::vector<text::Glob> tools;       // over upstream/tool; empty: all of them
  std::vector<text::Glob> prompts;     // over upstream/prompt; empty: all of them
  Naming naming = Naming::always;
};

struct TlsListenerConfig {
  std::filesystem::path certificate;
  std::filesystem::path key;
  std::optional<std::filesystem::path> client_ca;
  bool require_client_certificate = false;
  bool operator==(const TlsListenerConfig&) const = default;
};
struct ListenerConfig {
  net::Address address;
  std::optional<TlsListenerConfig> tls;
  std::vector<std::string> hosts;    // names that its Host header may have, besides the address
  std::vector<std::string> origins;  // of web pages that may use it, besides those of this machine
  bool operator==(const ListenerConfig&) const = default;
};
// Health, readiness and metrics.
struct AdminConfig {
  net::Address address;  // a Unix socket, or TCP with TLS and a token
  std::optional<TlsListenerConfig> tls;
  std::optional<std::filesystem::path> token_file;
  bool operator==(const AdminConfig&) const = default;
};

struct IssuerConfig {
  std::string issuer;
  std::string audience;
  std::vector<crypto::Algorithm> algorithms;
  std::filesystem::path jwks_file;
  std::string jwks;  // what it held when it was read
  bool operator==(const IssuerConfig&) const = default;
};

struct Policy {
  std::filesystem::path directory;
  Mode mode = Mode::production;
  std::filesystem::path state_dir;
  std::vector<ListenerConfig> listeners;
  std::optional<AdminConfig> admin;  // absent: <stateDir>/admin.sock
  Naming naming = Naming::always;
  std::map<std::string, VirtualServer, std::less<>> virtual_servers;
  std::size_t max_sessions = 20'000;
  std::vector<IssuerConfig> issuers;
  std::map<std::string, UpstreamConfig, std::less<>> upstreams;
  grant::RoleTable roles{std::map<std::string, grant::Role, std::less<>>{}};
  std::vector<std::string> role_names;  // sorted
  std::string digest;  // SHA-256 hex of every file read, names and contents, in name order
  std::vector<std::filesystem::path>
      not_read;  // in roles/: names that begin with "." or do not end in .yaml

  // The vertical of an upstream id; nothing where there is no such upstream.
  [[nodiscard]] std::optional<std::string_view> vertical_of(std::string_view upstream) const;
};

// `not_needed` is for `token keygen`, which writes the key set: key sets are then neither read nor
// checked.
enum class KeySets { required, not_needed };

// Loads and checks everything; every error is collected, so that one run of `zwinger check` shows
// all of them. Each file is read once; one that changes meanwhile is an error. Relative paths are
// taken from the directory; every path in a Policy is absolute. The list of errors is never empty.
// Errors: policy_*, yaml_*, json_*, jwks_invalid; where = file:line:column.
[[nodiscard]] std::expected<Policy, std::vector<Error>> load_policy(
    const std::filesystem::path& directory, KeySets key_sets = KeySets::required);

// What a gateway would read at start besides the policy: certificates, keys, authorities, secrets.
// Empty when all of it is fit for use. Errors: tls_config, grant_file, policy_value with where =
// the file.
[[nodiscard]] std::vector<Error> check_files(const Policy& policy);

// Decodes the key sets as they were read by load_policy. Errors: jwks_invalid, json_* with where =
// the file.
[[nodiscard]] Result<std::vector<identity::Issuer>> load_issuers(const Policy& policy);

// docs/reference/policy.md and docs/reference/policy.schema.json, made from the tables that read
// the files.
[[nodiscard]] std::string policy_reference();
[[nodiscard]] std::string policy_schema();

}  // namespace zwinger::gateway
