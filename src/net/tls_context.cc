#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

#include "base/files.h"
#include "net/tls_openssl.h"

namespace zwinger::net {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxKeyFile = std::size_t{64} << 10U;
constexpr std::size_t kMaxCertificateFile = std::size_t{1} << 20U;
constexpr long kMaxPeerChainBytes = 64L << 10U;  // of what a peer may send as its chain
constexpr int kMaxChainDepth = 6;
constexpr int kSecurityLevel = 2;  // 112 bits: RSA 2048, no SHA-1 signatures

// ECDHE and AEAD only. TLS 1.3 has nothing else.
constexpr const char* kCiphers12 =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* kCiphers13 =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr const char* kGroups = "X25519:P-256:P-384";

// "http/1.1" as ALPN writes it: with its length before it.
constexpr std::array<unsigned char, 9> kAlpn = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

std::unexpected<Error> config_error(const fs::path& file, std::string_view what) {
  return fail(Code::tls_config, fmt::format("{}: {}", file.string(), what), file.string());
}

std::unexpected<Error> as_config_error(const fs::path& file, const Error& error) {
  return fail(Code::tls_config, error.message, file.string());
}

// A key file's bytes, overwritten when they are no longer needed.
class Secret {
 public:
  explicit Secret(std::string bytes) : bytes_(std::move(bytes)) {}
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }
  [[nodiscard]] std::string_view bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

OpensslBio reader_of(std::string_view bytes) {
  return OpensslBio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

// OpenSSL's own way would ask on the terminal.
int no_password(char* /*into*/, int /*size*/, int /*writing*/, void* /*context*/) { return -1; }

Result<std::vector<OpensslCertificate>> read_certificates(const fs::path& file) {
  auto bytes = read_file(file, kMaxCertificateFile, Code::tls_config);
  if (!bytes) return as_config_error(file, bytes.error());
  const ErrorQueueGuard guard;
  const OpensslBio bio = reader_of(*bytes);
  if (!bio) return config_error(file, openssl_reason());
  std::vector<OpensslCertificate> certificates;
  while (true) {
    OpensslCertificate next(PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr));
    if (!next) break;
    certificates.push_back(std::move(next));
  }
  // The end of the file shows as a missing first line; anything else is damage.
  const unsigned long why = ERR_peek_last_error();
  if (ERR_GET_LIB(why) != ERR_LIB_PEM || ERR_GET_REASON(why) != PEM_R_NO_START_LINE) {
    return config_error(file, fmt::format("a certificate cannot be read: {}", openssl_reason()));
  }
  if (certificates.empty()) return config_error(file, "there is no certificate in PEM form");
  return certificates;
}

Result<void> use_certificate(SSL_CTX* context, const fs::path& file) {
  ZWINGER_TRY(const auto chain, read_certificates(file));
  const ErrorQueueGuard guard;
  if (SSL_CTX_use_certificate(context, chain.front().get()) != 1) {
    return config_error(file, fmt::format("the certificate cannot be used: {}", openssl_reason()));
  }
  for (std::size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1) {
      return config_error(
          file, fmt::format("certificate {} cannot be used: {}", i + 1, openssl_reason()));
    }
  }
  return {};
}

Result<void> use_key(SSL_CTX* context, const fs::path& file) {
  auto bytes = read_private_file(file, kMaxKeyFile);
  if (!bytes) return as_config_error(file, bytes.error());
  const Secret secret(*std::move(bytes));
  const ErrorQueueGuard guard;
  const OpensslBio bio = reader_of(secret.bytes());
  const OpensslKey key(bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr)
                           : nullptr);
  if (!key) {
    return config_error(file, "there is no private key in PEM form, or it has a password");
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return config_error(file,
                        fmt::format("the key does not fit the certificate: {}", openssl_reason()));
  }
  return {};
}

Result<void> trust(SSL_CTX* context, const fs::path& file, bool announce) {
  ZWINGER_TRY(const auto authorities, read_certificates(file));
  const ErrorQueueGuard guard;
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  for (const auto& authority : authorities) {
    if (X509_STORE_add_cert(store, authority.get()) != 1 ||
        (announce && SSL_CTX_add_client_CA(context, authority.get()) != 1)) {
      return config_error(file, fmt::format("a CA cannot be used: {}", openssl_reason()));
    }
  }
  return {};
}

// What both sides have in common.
Result<TlsContextParts> make_parts(const SSL_METHOD* method) {
  const ErrorQueueGuard guard;
  TlsContextParts parts{.wire = make_wire_method(), .openssl = OpensslContext(SSL_CTX_new(method))};
  SSL_CTX* context = parts.openssl.get();
  if (!parts.wire || context == nullptr) return fail(Code::internal, openssl_reason());
  // The system's openssl.cnf may have set other options.
  SSL_CTX_clear_options(context, SSL_CTX_get_options(context));
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_max_cert_list(context, kMaxPeerChainBytes);
  SSL_CTX_set_verify_depth(context, kMaxChainDepth);
  SSL_CTX_set_security_level(context, kSecurityLevel);
  SSL_CTX_set_default_passwd_cb(context, no_password);
  if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_cipher_list(context, kCiphers12) != 1 ||
      SSL_CTX_set_ciphersuites(context, kCiphers13) != 1 ||
      SSL_CTX_set1_groups_list(context, kGroups) != 1) {
    return fail(Code::internal, openssl_reason());
  }
  return parts;
}

// RFC 7301, 3.2: a client that offers protocols, and not ours, is refused.
int choose_alpn(SSL* /*session*/, const unsigned char** out, unsigned char* out_size,
                const unsigned char* offered, unsigned int offered_size, void* /*context*/) {
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kAlpn.data(), kAlpn.size(), offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

bool is_ip(const std::string& name) {
  in6_addr ignored{};
  return ::inet_pton(AF_INET, name.c_str(), &ignored) == 1 ||
         ::inet_pton(AF_INET6, name.c_str(), &ignored) == 1;
}

// A leading dot would make OpenSSL accept any name below it.
bool is_dns_name(std::string_view name) {
  return !name.empty() && name.size() <= 253 && name.front() != '.' &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '.' || c == '_';
         });
}

}  // namespace

std::string openssl_reason() {
  const char* reason = ERR_reason_error_string(ERR_peek_error());
  std::string text = reason == nullptr ? "no reason is known" : reason;
  ERR_clear_error();
  return text;
}

Result<std::shared_ptr<const TlsServerContext>> TlsServerContext::make(
    const TlsServerConfig& config) {
  if (config.require_client_certificate && !config.client_ca) {
    return fail(Code::tls_config,
                "client certificates are required, but no CA is named that could vouch for them",
                config.certificate.string());
  }
  auto server = std::make_shared<ServerContext>();
  ZWINGER_TRY(server->parts, make_parts(TLS_server_method()));
  SSL_CTX* context = server->parts.openssl.get();
  ZWINGER_CHECK_OK(use_certificate(context, config.certificate));
  ZWINGER_CHECK_OK(use_key(context, config.key));
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_alpn_select_cb(context, choose_alpn, nullptr);
  SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
  if (config.client_ca) {
    ZWINGER_CHECK_OK(trust(context, *config.client_ca, true));
    // A certificate that is shown must be good even where none is required.
    SSL_CTX_set_verify(
        context,
        SSL_VERIFY_PEER |
            (config.require_client_certificate ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE),
        nullptr);
  }
  return server;
}

Result<std::shared_ptr<const TlsClientContext>> TlsClientContext::make(
    const TlsClientConfig& config) {
  auto client = std::make_shared<ClientContext>();
  client->server_name = config.server_name;
  client->name_is_ip =
      config.server_name.find('\0') == std::string::npos && is_ip(config.server_name);
  if (!client->name_is_ip && !is_dns_name(config.server_name)) {
    return fail(Code::tls_config, "the server's name is neither a DNS name nor an IP address",
                "server_name");
  }
  ZWINGER_TRY(client->parts, make_parts(TLS_client_method()));
  SSL_CTX* context = client->parts.openssl.get();
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  const ErrorQueueGuard guard;
  if (SSL_CTX_set_alpn_protos(context, kAlpn.data(), kAlpn.size()) != 0) {
    return fail(Code::internal, openssl_reason());
  }
  if (config.ca) {
    ZWINGER_CHECK_OK(trust(context, *config.ca, false));
  } else if (SSL_CTX_set_default_verify_paths(context) != 1) {
    return fail(Code::tls_config, "the system's store of CAs cannot be used", "ca");
  }
  if (config.certificate.has_value() != config.key.has_value()) {
    return fail(Code::tls_config, "a client certificate needs its key, and a key its certificate",
                config.certificate ? config.certificate->string() : config.key->string());
  }
  if (config.certificate) {
    ZWINGER_CHECK_OK(use_certificate(context, *config.certificate));
    ZWINGER_CHECK_OK(use_key(context, *config.key));
  }
  return client;
}

}  // namespace zwinger::net
