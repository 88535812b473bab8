// The development issuer: a private key in the state directory, and its public half in a key set
// file. Only for policies in development mode; every caller has checked that. Blocking; main
// thread.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"
#include "crypto/jose.h"

namespace zwinger::cmd {

inline constexpr std::string_view kDevKeyFile = "dev-issuer.pem";

// The key's id is its RFC 7638 thumbprint, so that the file needs to hold nothing but the key.
// Errors: grant_file where the file is missing or not private, crypto.
[[nodiscard]] Result<crypto::SigningKey> read_dev_key(const std::filesystem::path& state_dir);
// Makes one, mode 0600, where there is none. Errors: as above, and io.
[[nodiscard]] Result<crypto::SigningKey> make_dev_key(const std::filesystem::path& state_dir,
                                                      crypto::Algorithm algorithm);
[[nodiscard]] Result<std::string> key_id(const crypto::SigningKey& key);

// Adds the public half to the key set, which is made where there is none; other keys stay. False
// where it was there already. Errors: io, jwks_invalid, json_*, crypto.
[[nodiscard]] Result<bool> publish(const crypto::SigningKey& key,
                                   const std::filesystem::path& jwks_file);

}  // namespace zwinger::cmd
