#include "cmd/dev_issuer.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "base/files.h"
#include "cmd/pretty.h"
#include "crypto/hash.h"
#include "json/json.h"
#include "json/writer.h"
#include "text/encoding.h"

namespace zwinger::cmd {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kMaxKeyBytes = std::size_t{64} << 10U;

// RFC 7638 section 3: SHA-256 of the required members, in lexicographic order and without white
// space.
Result<std::string> thumbprint(std::string jwk) {
  ZWINGER_TRY(const json::Document document, json::Document::parse(std::move(jwk)));
  json::Writer canonical;
  canonical.begin_object();
  for (const std::string_view member : {"crv", "e", "kty", "n", "x", "y"}) {
    if (const auto value = document.root().find(member)) canonical.key(member).value(*value);
  }
  const crypto::Sha256 digest = crypto::sha256(std::move(canonical.end_object()).take());
  return text::base64url_encode({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

Result<crypto::SigningKey> with_id(std::string_view pem) {
  ZWINGER_TRY(const crypto::SigningKey nameless, crypto::SigningKey::from_pem(pem, ""));
  ZWINGER_TRY(std::string id, key_id(nameless));
  return crypto::SigningKey::from_pem(pem, std::move(id));
}

}  // namespace

Result<std::string> key_id(const crypto::SigningKey& key) {
  ZWINGER_TRY(std::string jwk, key.public_jwk());
  return thumbprint(std::move(jwk));
}

Result<crypto::SigningKey> read_dev_key(const fs::path& state_dir) {
  const fs::path path = state_dir / kDevKeyFile;
  std::error_code ec;
  if (!fs::exists(path, ec)) {
    return fail(Code::grant_file, "there is no development key; 'zwinger token keygen' makes one",
                path.string());
  }
  ZWINGER_TRY(const std::string pem, read_private_file(path, kMaxKeyBytes));
  return with_id(pem);
}

Result<crypto::SigningKey> make_dev_key(const fs::path& state_dir, crypto::Algorithm algorithm) {
  const fs::path path = state_dir / kDevKeyFile;
  std::error_code ec;
  if (fs::symlink_status(path, ec).type() != fs::file_type::not_found)
    return read_dev_key(state_dir);
  ZWINGER_TRY(const crypto::SigningKey key, crypto::SigningKey::generate(algorithm, ""));
  ZWINGER_TRY(const std::string pem, key.to_pem());
  ZWINGER_CHECK_OK(write_file_atomically(path, pem, 0600));
  return with_id(pem);
}

Result<bool> publish(const crypto::SigningKey& key, const fs::path& jwks_file) {
  ZWINGER_TRY(const std::string jwk, key.public_jwk());
  ZWINGER_TRY(const std::string id, key_id(key));
  json::Writer keys;
  keys.begin_object().key("keys").begin_array();
  std::error_code ec;
  if (fs::exists(jwks_file, ec)) {
    ZWINGER_TRY(std::string text, read_file(jwks_file, kMaxKeyBytes));
    ZWINGER_TRY(const json::Document old, json::Document::parse(std::move(text)));
    const auto list = old.root().find("keys");
    if (!list || !list->is_array())
      return fail(Code::jwks_invalid, "this is no key set", jwks_file.string());
    for (const json::Value each : list->children()) {
      const auto kid = each.find("kid");
      if (kid && kid->is_string() && kid->string() == id) return false;
      keys.value(each);
    }
  }
  keys.raw(jwk);
  ZWINGER_TRY(const json::Document set,
              json::Document::parse(std::move(keys.end_array().end_object()).take()));
  ZWINGER_CHECK_OK(write_file_atomically(jwks_file, pretty(set.root()) + "\n", 0644));
  return true;
}

}  // namespace zwinger::cmd
