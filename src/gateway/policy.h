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

namespace zwinger::gateway {

enum class Mode { development, production };
[[nodiscard]] std::string_view to_string(Mode mode);

// 1 to 32 characters of a-z, 0-9 and '-'.
[[nodiscard]] bool is_upstream_id(std::string_view text);

// The file that every policy directory has.
inline constexpr std::string_view kPolicyFile = "zwinger.yaml";

struct UpstreamConfig {
  std::string id;                    // [a-z0-9-]+, at most 32 characters
  std::vector<std::string> command;  // argv; [0] without "/" is looked up in PATH
  std::vector<std::pair<std::string, std::string>> environment;  // beside PATH, HOME, LANG, TZ
  std::string vertical;
  std::chrono::seconds answer_timeout{60};
  std::chrono::seconds start_timeout{60};
  std::size_t max_answer_bytes = std::size_t{16} << 20U;
};

struct IssuerConfig {
  std::string issuer;
  std::string audience;
  std::vector<crypto::Algorithm> algorithms;
  std::filesystem::path jwks_file;
  std::string jwks;  // what it held when it was read
};

struct Policy {
  std::filesystem::path directory;
  Mode mode = Mode::production;
  std::filesystem::path state_dir;
  std::vector<net::Address> listeners;
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

// Decodes the key sets as they were read by load_policy. Errors: jwks_invalid, json_* with where =
// the file.
[[nodiscard]] Result<std::vector<identity::Issuer>> load_issuers(const Policy& policy);

// docs/reference/policy.md and docs/reference/policy.schema.json, made from the tables that read
// the files.
[[nodiscard]] std::string policy_reference();
[[nodiscard]] std::string policy_schema();

}  // namespace zwinger::gateway
