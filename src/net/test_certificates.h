// Test support: CAs and certificates made on the spot, as PEM files in a folder that the test owns.
// Only *_test.cc include it; src/net/tls_test.cc, http_server_test.cc and whoever tests TLS above
// them.
#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

namespace zwinger::net {

struct TestIdentity {
  std::filesystem::path certificate;
  std::filesystem::path key;
};

struct TestCertificateOptions {
  std::string name = "test";  // of the files, and the subject's CN
  std::string alternative;    // in OpenSSL's words: "DNS:localhost,IP:127.0.0.1"; empty: none
  long begins = -3600;        // seconds from now
  long ends = 3600;
};

class TestAuthority {
 public:
  TestAuthority(std::filesystem::path folder, std::string name)
      : folder_(std::move(folder)), name_(std::move(name)), key_(make_key()) {
    certificate_ = make({.name = name_, .alternative = {}}, key_.get(), nullptr);
    write_certificate(path());
  }

  // The file to trust.
  [[nodiscard]] std::filesystem::path path() const { return folder_ / (name_ + ".pem"); }

  [[nodiscard]] TestIdentity issue(const TestCertificateOptions& options) const {
    const Key key = make_key();
    const Certificate certificate = make(options, key.get(), this);
    TestIdentity identity{.certificate = folder_ / (options.name + ".pem"),
                          .key = folder_ / (options.name + ".key")};
    write(identity.certificate, 0644,
          [&](FILE* file) { return PEM_write_X509(file, certificate.get()); });
    write(identity.key, 0600, [&](FILE* file) {
      return PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
    return identity;
  }

 private:
  template <auto Free>
  struct FreeWith {
    template <class T>
    void operator()(T* object) const {
      Free(object);
    }
  };
  using Key = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;
  using Certificate = std::unique_ptr<X509, FreeWith<X509_free>>;
  using Extension = std::unique_ptr<X509_EXTENSION, FreeWith<X509_EXTENSION_free>>;

  static Key make_key() { return Key(EVP_EC_gen("P-256")); }

  // Issued by itself where there is no issuer.
  static Certificate make(const TestCertificateOptions& options, EVP_PKEY* key,
                          const TestAuthority* issuer) {
    Certificate made(X509_new());
    X509* certificate = made.get();
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set_int64(X509_get_serialNumber(certificate),
                           static_cast<std::int64_t>(std::hash<std::string>{}(options.name) >> 2U));
    X509_gmtime_adj(X509_getm_notBefore(certificate), options.begins);
    X509_gmtime_adj(X509_getm_notAfter(certificate), options.ends);
    X509_set_pubkey(certificate, key);
    X509_NAME* subject = X509_get_subject_name(certificate);
    const auto* name =
        reinterpret_cast<const unsigned char*>(options.name.c_str());  // NOLINT(*-reinterpret-cast)
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, name, -1, -1, 0);
    X509* parent = issuer == nullptr ? certificate : issuer->certificate_.get();
    X509_set_issuer_name(certificate, X509_get_subject_name(parent));
    add(certificate, parent, NID_basic_constraints,
        issuer == nullptr ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (!options.alternative.empty())
      add(certificate, parent, NID_subject_alt_name, options.alternative);
    EXPECT_GT(X509_sign(certificate, issuer == nullptr ? key : issuer->key_.get(), EVP_sha256()),
              0);
    return made;
  }

  static void add(X509* certificate, X509* issuer, int kind, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
    EXPECT_TRUE(extension != nullptr) << value;
    X509_add_ext(certificate, extension.get(), -1);
  }

  template <class Write>
  static void write(const std::filesystem::path& path, mode_t mode, const Write& how) {
    FILE* file = std::fopen(path.c_str(), "we");
    ASSERT_TRUE(file != nullptr) << path;
    EXPECT_EQ(how(file), 1);
    EXPECT_EQ(std::fclose(file), 0);
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
  }
  void write_certificate(const std::filesystem::path& path) const {
    write(path, 0644, [&](FILE* file) { return PEM_write_X509(file, certificate_.get()); });
  }

  std::filesystem::path folder_;
  std::string name_;
  Key key_;
  Certificate certificate_;
};

}  // namespace zwinger::net
