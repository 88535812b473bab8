#include "gateway/policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <tuple>

#include "base/files.h"
#include "crypto/hash.h"
#include "gateway/config_table.h"
#include "json/yaml.h"
#include "text/glob.h"

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
struct ListenerConfig {
  net::Address address;
};
struct Written {
  Mode mode = Mode::production;
  fs::path state_dir = "state";
  std::vector<Located<ListenerConfig>> listeners;
  std::vector<Located<IssuerConfig>> issuers;
  Entries<UpstreamConfig> upstreams;
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
  return config::parsed<net::Address>(
      "address", R"("minLength":1)", [](const std::string& text) -> Result<net::Address> {
        ZWINGER_TRY(net::Address address, net::Address::parse(text));
        if (address.is_loopback()) return address;
        return fail(Code::policy_listener,
                    "TLS comes with a later release; until then only loopback addresses and Unix "
                    "sockets may "
                    "be listened on");
      });
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

Table<ListenerConfig> listener_table() {
  Table<ListenerConfig> table;
  table
      .required_key(
          "address", &ListenerConfig::address, listen_address(),
          "Where to listen: `127.0.0.1:8080`, `[::1]:8080` or `unix:/path`; port 0 takes any free "
          "port.")
      .refused_key("tls", Code::policy_listener,
                   "TLS comes with a later release; until then only loopback addresses and Unix "
                   "sockets may be "
                   "listened on.");
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
      .required_key(
          "command", &UpstreamConfig::command,
          config::list_of(config::text("string"), Empty::refused),
          "Program and arguments of an MCP server that speaks on its standard input and output. A "
          "program without `/` is looked up in PATH; a relative path is taken from the policy "
          "directory.")
      .optional_key(
          "env", &UpstreamConfig::environment,
          config::map_of(variable_name(), config::any_string(), Empty::allowed),
          "Its environment, beside PATH, HOME, LANG and TZ of the gateway. Numbers are quoted.")
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
                    "The largest message taken from it. Default 16777216.")
      .refused_key("url", Code::policy_value,
                   "HTTP upstreams are not supported yet: use `command`.");
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
      .required_key("upstreams", &Written::upstreams,
                    config::map_of(upstream_id(), config::mapping("upstream", upstream_table()),
                                   Empty::refused),
                    "The MCP servers behind the gateway.")
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
    for (auto& [id, upstream] : written.upstreams) {
      upstream.id = id;
      if (!upstream.command.empty() && upstream.command.front().contains('/')) {
        upstream.command.front() = resolve(upstream.command.front()).string();
      }
      policy_.upstreams.emplace(id, std::move(upstream));
    }
    take_roles(std::move(written.roles));
  }

  void take_listeners(std::vector<Located<ListenerConfig>> listeners) {
    std::set<std::string> seen;
    for (auto& [listener, where] : listeners) {
      net::Address& address = listener.address;
      const bool any_port =
          address.family != net::Address::Family::unix_socket && address.port == 0;
      if (!any_port && !seen.insert(address.to_string()).second) {
        errors_.add({.code = Code::policy_value,
                     .message = "this address is listened on twice",
                     .where = where});
      }
      policy_.listeners.push_back(std::move(address));
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
  out += section("An issuer", "One entry of `issuers`.", issuer_table().rows());
  out += section("An upstream", "One value of `upstreams`; its key is the upstream's id.",
                 upstream_table().rows());
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
