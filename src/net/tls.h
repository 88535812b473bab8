// TLS 1.2 and 1.3 over any Stream, server and client side, with or without client certificates
// (RFC 8446, RFC 5246; RFC 9325 for what is switched off). OpenSSL 3 stands behind it and shows in
// no header. A context is immutable and may be used from any thread; a TlsStream lives on its
// loop, like every Stream.
//
// Server and client refuse renegotiation, compression, session tickets across principals (tickets
// are off), TLS below 1.2, and ciphers without forward secrecy and AEAD. ALPN: "http/1.1".
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/task.h"
#include "net/stream.h"

namespace zwinger::net {

// What the handshake proved of the peer.
struct TlsPeer {
  std::string version;  // "TLSv1.3"
  std::string cipher;
  bool verified = false;               // it showed a certificate, and the chain is good
  std::string subject;                 // RFC 2253 form of the leaf's subject; empty without one
  std::vector<std::string> uri_names;  // URI SANs, a SPIFFE ID for one
  std::vector<std::string> dns_names;
  std::string certificate_sha256;  // lower-case hex of the leaf's DER (RFC 8705, x5t#S256)
};

// Paths of PEM files; key files must be private to their owner (mode without group and others).
struct TlsServerConfig {
  std::filesystem::path certificate;  // leaf first, then intermediates
  std::filesystem::path key;
  std::optional<std::filesystem::path> client_ca;  // trust for client certificates
  bool require_client_certificate = false;         // needs client_ca
};
struct TlsClientConfig {
  std::optional<std::filesystem::path> ca;           // absent: the system's store
  std::optional<std::filesystem::path> certificate;  // ours, for mTLS
  std::optional<std::filesystem::path> key;
  std::string
      server_name;  // checked against the certificate, DNS name or IP literal; SNI for names
};

class TlsServerContext {
 public:
  // Reads and checks the files, key against certificate included. Errors: tls_config with where =
  // the file.
  [[nodiscard]] static Result<std::shared_ptr<const TlsServerContext>> make(
      const TlsServerConfig& config);
  virtual ~TlsServerContext() = default;
};
class TlsClientContext {
 public:
  [[nodiscard]] static Result<std::shared_ptr<const TlsClientContext>> make(
      const TlsClientConfig& config);
  virtual ~TlsClientContext() = default;
};

// A stream whose handshake is done.
struct TlsConnection {
  std::unique_ptr<Stream> stream;
  TlsPeer peer;
};
// Handshakes. Errors: tls_handshake (message says what OpenSSL or the verification said, no key
// material), closed, timeout. Reading to a peer's end without its close_notify is Code::closed and
// never a clean end: a truncated message must not look whole.
Task<Result<TlsConnection>> tls_accept(Loop& loop, std::unique_ptr<Stream> stream,
                                       std::shared_ptr<const TlsServerContext> context,
                                       Monotonic deadline);
Task<Result<TlsConnection>> tls_connect(Loop& loop, std::unique_ptr<Stream> stream,
                                        std::shared_ptr<const TlsClientContext> context,
                                        Monotonic deadline);

}  // namespace zwinger::net
