// What is behind tls.h: owners of OpenSSL 3 objects, and the contexts. Private to src/net/tls*.cc
// and their tests: it shows OpenSSL. OpenSSL leaves errors in a queue of the thread; whoever calls
// it empties the queue (ErrorQueueGuard), so that nobody later reads a stale one. No guard is held
// over a co_await.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include "net/tls.h"

namespace zwinger::net {

template <auto Free>
struct OpensslFree {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};

using OpensslBio = std::unique_ptr<BIO, OpensslFree<BIO_free_all>>;
using OpensslBioMethod = std::unique_ptr<BIO_METHOD, OpensslFree<BIO_meth_free>>;
using OpensslCertificate = std::unique_ptr<X509, OpensslFree<X509_free>>;
using OpensslContext = std::unique_ptr<SSL_CTX, OpensslFree<SSL_CTX_free>>;
using OpensslKey = std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>>;
using OpensslNames = std::unique_ptr<GENERAL_NAMES, OpensslFree<GENERAL_NAMES_free>>;
using OpensslSession = std::unique_ptr<SSL, OpensslFree<SSL_free>>;

struct ErrorQueueGuard {
  ErrorQueueGuard() { ERR_clear_error(); }
  ErrorQueueGuard(const ErrorQueueGuard&) = delete;
  ErrorQueueGuard& operator=(const ErrorQueueGuard&) = delete;
  ~ErrorQueueGuard() { ERR_clear_error(); }
};

// What the first error in the queue says. OpenSSL's reasons are fixed texts without key material.
[[nodiscard]] std::string openssl_reason();

// The BIO between a session and its bytes; see Wire in tls.cc.
[[nodiscard]] OpensslBioMethod make_wire_method();

// Of both sides. The method outlives the sessions made with it, so each session shares its context.
struct TlsContextParts {
  OpensslBioMethod wire;
  OpensslContext openssl;
};
struct ServerContext final : TlsServerContext {
  TlsContextParts parts;
};
struct ClientContext final : TlsClientContext {
  TlsContextParts parts;
  std::string server_name;
  bool name_is_ip = false;
};

// The session of a stream that tls_accept() or tls_connect() made; null for others. For tests.
[[nodiscard]] SSL* openssl_session(Stream& stream);

}  // namespace zwinger::net
