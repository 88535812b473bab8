#include "net/tls.h"

#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "net/one_shot.h"
#include "net/test_certificates.h"
#include "net/test_loop.h"
#include "net/tls_openssl.h"

namespace zwinger::net {
namespace {

using std::chrono::milliseconds;

constexpr const char* kServerNames = "DNS:gateway.test,IP:127.0.0.1,IP:::1";
constexpr const char* kClientNames = "URI:spiffe://mesh.test/agent/a,DNS:agent.test";

// A stream whose writes wait, from block() on, until it is closed.
class Blocking final : public Stream {
 public:
  Blocking(Loop& loop, std::unique_ptr<Stream> stream)
      : stream_(std::move(stream)), closed_(std::make_shared<OneShot<bool>>(loop)) {}
  Task<Result<std::size_t>> read_some(std::span<char> into,
                                      std::optional<Monotonic> deadline) override {
    return stream_->read_some(into, deadline);
  }
  Task<Result<void>> write_all(std::string_view bytes, std::optional<Monotonic> deadline) override {
    return blocked_ ? wait(closed_) : stream_->write_all(bytes, deadline);
  }
  void shutdown_write() override { stream_->shutdown_write(); }
  void close() override {
    stream_->close();
    closed_->set(true);
  }
  void block() { blocked_ = true; }

 private:
  static Task<Result<void>> wait(std::shared_ptr<OneShot<bool>> closed) {
    auto waiting = closed->wait();
    co_await waiting;
    co_return fail(Code::closed, "the stream was closed");
  }

  std::unique_ptr<Stream> stream_;
  std::shared_ptr<OneShot<bool>> closed_;
  bool blocked_ = false;
};

// A stream that the test keeps a share of, to cut it from below.
class Shared final : public Stream {
 public:
  explicit Shared(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  Task<Result<std::size_t>> read_some(std::span<char> into,
                                      std::optional<Monotonic> deadline) override {
    return stream_->read_some(into, deadline);
  }
  Task<Result<void>> write_all(std::string_view bytes, std::optional<Monotonic> deadline) override {
    return stream_->write_all(bytes, deadline);
  }
  void shutdown_write() override { stream_->shutdown_write(); }
  void close() override { stream_->close(); }

 private:
  std::shared_ptr<Stream> stream_;
};

class TlsTest : public LoopTest {
 protected:
  using ServerEnd = std::shared_ptr<OneShot<Result<TlsConnection>>>;

  // Both ends of one connection.
  struct Pair {
    Result<TlsConnection> client = fail(Code::internal, "not tried");
    Result<TlsConnection> server = fail(Code::internal, "not tried");
    std::shared_ptr<Stream> below_client;
  };
  struct Raw {
    std::unique_ptr<Stream> client;
    std::unique_ptr<Stream> server;
  };

  Task<Raw> raw_pair() {
    auto listener = listen(loop, Address::parse("127.0.0.1:0").value());
    EXPECT_TRUE(listener.has_value());
    auto connecting = connect(loop, (*listener)->address(), soon());
    auto client = co_await connecting;
    auto accepting = (*listener)->accept();
    auto server = co_await accepting;
    EXPECT_TRUE(client.has_value() && server.has_value());
    co_return Raw{.client = std::move(*client), .server = std::move(*server)};
  }

  static Task<void> accept_into(Loop& on, std::unique_ptr<Stream> stream,
                                std::shared_ptr<const TlsServerContext> context, ServerEnd end) {
    auto accepting = tls_accept(on, std::move(stream), std::move(context), soon());
    end->set(co_await accepting);
  }

  Task<Pair> pair(std::shared_ptr<const TlsServerContext> server_context,
                  std::shared_ptr<const TlsClientContext> client_context) {
    auto making = raw_pair();
    Raw raw = co_await making;
    Pair made;
    made.below_client = std::move(raw.client);
    const auto end = std::make_shared<OneShot<Result<TlsConnection>>>(loop);
    loop.spawn(accept_into(loop, std::move(raw.server), std::move(server_context), end));
    auto connecting = tls_connect(loop, std::make_unique<Shared>(made.below_client),
                                  std::move(client_context), soon());
    made.client = co_await connecting;
    auto waiting = end->wait();
    auto server = co_await waiting;
    made.server = std::move(*server);
    co_return made;
  }
  // With the usual contexts, and no client certificate.
  Task<Pair> pair() { return pair(server(), client()); }

  std::shared_ptr<const TlsServerContext> server() { return server(config()); }
  static std::shared_ptr<const TlsServerContext> server(const TlsServerConfig& config) {
    auto made = TlsServerContext::make(config);
    EXPECT_TRUE(made.has_value()) << made.error().to_string();
    return std::move(*made);
  }
  TlsServerConfig config() {
    const TestIdentity identity = authority.issue({.name = "server", .alternative = kServerNames});
    return {.certificate = identity.certificate,
            .key = identity.key,
            .client_ca = std::nullopt,
            .require_client_certificate = false};
  }
  TlsServerConfig mutual(bool required) {
    TlsServerConfig made = config();
    made.client_ca = authority.path();
    made.require_client_certificate = required;
    return made;
  }

  std::shared_ptr<const TlsClientContext> client(const std::string& name = "gateway.test") {
    return client({.ca = authority.path(),
                   .certificate = std::nullopt,
                   .key = std::nullopt,
                   .server_name = name});
  }
  std::shared_ptr<const TlsClientContext> client_with(const TestIdentity& identity) {
    return client({.ca = authority.path(),
                   .certificate = identity.certificate,
                   .key = identity.key,
                   .server_name = "gateway.test"});
  }
  static std::shared_ptr<const TlsClientContext> client(const TlsClientConfig& config) {
    auto made = TlsClientContext::make(config);
    EXPECT_TRUE(made.has_value()) << made.error().to_string();
    return std::move(*made);
  }
  // For what the product's own contexts never do.
  static SSL_CTX* inside(const std::shared_ptr<const TlsClientContext>& context) {
    return dynamic_cast<const ClientContext&>(*context).parts.openssl.get();
  }

  static Task<void> send(Stream& stream, std::string text) {
    auto writing = stream.write_all(text, soon());
    const auto written = co_await writing;
    EXPECT_TRUE(written.has_value()) << written.error().to_string();
  }
  // A read's bytes, "end", or the error's name.
  static Task<std::string> read_once(Stream& stream) {
    std::array<char, 64> buffer{};
    auto reading = stream.read_some(buffer, soon());
    const auto got = co_await reading;
    if (!got) co_return std::string(name(got.error().code));
    co_return *got == 0 ? "end" : std::string(buffer.data(), *got);
  }
  // That both ends understand each other.
  static Task<void> talk(Pair& ends) {
    EXPECT_TRUE(ends.client.has_value()) << ends.client.error().to_string();
    EXPECT_TRUE(ends.server.has_value()) << ends.server.error().to_string();
    if (!ends.client || !ends.server) co_return;
    auto asking = send(*ends.client->stream, "question");
    co_await asking;
    auto hearing = read_once(*ends.server->stream);
    EXPECT_EQ(co_await hearing, "question");
    auto answering = send(*ends.server->stream, "answer");
    co_await answering;
    auto reading = read_once(*ends.client->stream);
    EXPECT_EQ(co_await reading, "answer");
    EXPECT_EQ(ERR_peek_error(), 0U);
  }
  // What each end makes of a handshake that must fail; the first error of each.
  Task<std::pair<std::string, std::string>> refusal(
      std::shared_ptr<const TlsServerContext> server_context,
      std::shared_ptr<const TlsClientContext> client_context) {
    auto pairing = pair(std::move(server_context), std::move(client_context));
    Pair ends = co_await pairing;
    EXPECT_EQ(ERR_peek_error(), 0U);
    EXPECT_FALSE(ends.server.has_value());
    const std::string at_server =
        ends.server ? "accepted" : std::string(name(ends.server.error().code));
    if (!ends.client) {
      co_return std::pair(at_server, ends.client.error().message);
    }
    // TLS 1.3: the client is through before the server has seen its certificate.
    auto reading = read_once(*ends.client->stream);
    co_return std::pair(at_server, co_await reading);
  }

  TempDir folder;
  TestAuthority authority{folder.path(), "ca"};
  TestAuthority stranger{folder.path(), "other-ca"};
};

TEST_F(TlsTest, BothVersionsShakeHandsAndSayWhatTheyAgreedOn) {
  run([&]() -> Task<void> {
    auto pairing = pair();
    Pair ends = co_await pairing;
    auto talking = talk(ends);
    co_await talking;
    EXPECT_EQ(ends.server->peer.version, "TLSv1.3");
    EXPECT_EQ(ends.client->peer.version, "TLSv1.3");
    EXPECT_EQ(ends.client->peer.cipher, "TLS_AES_128_GCM_SHA256");
    EXPECT_TRUE(ends.client->peer.verified);
    EXPECT_EQ(ends.client->peer.subject, "CN=server");
    EXPECT_EQ(ends.client->peer.dns_names, std::vector<std::string>{"gateway.test"});
    EXPECT_FALSE(ends.server->peer.verified) << "the client showed nothing";
    EXPECT_EQ(ends.server->peer.subject, "");
    EXPECT_EQ(ends.server->peer.certificate_sha256, "");

    const auto old = client();
    SSL_CTX_set_max_proto_version(inside(old), TLS1_2_VERSION);
    auto pairing_old = pair(server(), old);
    Pair old_ends = co_await pairing_old;
    auto talking_old = talk(old_ends);
    co_await talking_old;
    EXPECT_EQ(old_ends.server->peer.version, "TLSv1.2");
    EXPECT_TRUE(old_ends.server->peer.cipher.starts_with("ECDHE-ECDSA-"))
        << old_ends.server->peer.cipher;
  }());
}

TEST_F(TlsTest, OldVersionsAndCiphersWithoutForwardSecrecyOrAeadAreRefused) {
  run([&]() -> Task<void> {
    const auto old = client();
    SSL_CTX_set_security_level(inside(old), 0);
    SSL_CTX_set_min_proto_version(inside(old), TLS1_VERSION);
    SSL_CTX_set_max_proto_version(inside(old), TLS1_1_VERSION);
    EXPECT_EQ(SSL_CTX_set_cipher_list(inside(old), "ALL:@SECLEVEL=0"), 1);
    auto refusing = refusal(server(), old);
    EXPECT_EQ((co_await refusing).first, "tls_handshake");
    for (const char* cipher : {"ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA256"}) {
      const auto weak = client();
      SSL_CTX_set_max_proto_version(inside(weak), TLS1_2_VERSION);
      EXPECT_EQ(SSL_CTX_set_cipher_list(inside(weak), cipher), 1);
      auto refusing_weak = refusal(server(), weak);
      EXPECT_EQ((co_await refusing_weak).first, "tls_handshake") << cipher;
    }
  }());
}

TEST_F(TlsTest, AClientThatOffersOnlyOtherProtocolsIsRefused) {
  run([&]() -> Task<void> {
    const auto h2 = client();
    const std::array<unsigned char, 3> offer = {2, 'h', '2'};
    SSL_CTX_set_alpn_protos(inside(h2), offer.data(), offer.size());
    auto refusing = refusal(server(), h2);
    EXPECT_EQ((co_await refusing).first, "tls_handshake");
    const auto both = client();
    const std::array<unsigned char, 12> offers = {2,   'h', '2', 8,   'h', 't',
                                                  't', 'p', '/', '1', '.', '1'};
    SSL_CTX_set_alpn_protos(inside(both), offers.data(), offers.size());
    auto pairing = pair(server(), both);
    Pair ends = co_await pairing;
    auto talking = talk(ends);
    co_await talking;
  }());
}

TEST_F(TlsTest, NothingIsResumed) {
  run([&]() -> Task<void> {
    auto pairing = pair();
    Pair ends = co_await pairing;
    auto talking = talk(ends);
    co_await talking;
    EXPECT_EQ(SSL_SESSION_is_resumable(SSL_get_session(openssl_session(*ends.client->stream))), 0);
    const auto old = client();
    SSL_CTX_set_max_proto_version(inside(old), TLS1_2_VERSION);
    auto pairing_old = pair(server(), old);
    Pair old_ends = co_await pairing_old;
    const SSL_SESSION* session = SSL_get_session(openssl_session(*old_ends.client->stream));
    EXPECT_EQ(SSL_SESSION_is_resumable(session), 0);
  }());
}

TEST_F(TlsTest, RenegotiationIsRefused) {
  run([&]() -> Task<void> {
    const auto old = client();
    SSL_CTX_set_max_proto_version(inside(old), TLS1_2_VERSION);
    SSL_CTX_clear_options(inside(old), SSL_OP_NO_RENEGOTIATION);
    auto pairing = pair(server(), old);
    Pair ends = co_await pairing;
    SSL* session = openssl_session(*ends.client->stream);
    EXPECT_EQ(SSL_renegotiate(session), 1);
    EXPECT_EQ(SSL_do_handshake(session), -1);  // puts its hello among the bytes to send
    ERR_clear_error();
    const auto heard = std::make_shared<OneShot<std::string>>(loop);
    auto listening = [](Stream& stream,
                        std::shared_ptr<OneShot<std::string>> result) -> Task<void> {
      auto reading = read_once(stream);
      result->set(co_await reading);
    };
    loop.spawn(listening(*ends.server->stream, heard));
    auto reading = read_once(*ends.client->stream);
    EXPECT_EQ(co_await reading, "closed") << "the answer is an alert: no_renegotiation";
    ends.client->stream.reset();
    auto waiting = heard->wait();
    EXPECT_EQ(co_await waiting, "closed");
  }());
}

TEST_F(TlsTest, AServerThatAsksForRenegotiationIsRefused) {
  run([&]() -> Task<void> {
    const auto asking = server();
    SSL_CTX* context = dynamic_cast<const ServerContext&>(*asking).parts.openssl.get();
    SSL_CTX_clear_options(context, SSL_OP_NO_RENEGOTIATION);
    const auto old = client();
    SSL_CTX_set_max_proto_version(inside(old), TLS1_2_VERSION);
    auto pairing = pair(asking, old);
    Pair ends = co_await pairing;
    SSL* session = openssl_session(*ends.server->stream);
    EXPECT_EQ(SSL_renegotiate(session), 1);
    EXPECT_EQ(SSL_do_handshake(session), 1);  // puts its HelloRequest among the bytes to send
    auto saying = send(*ends.server->stream, "x");
    co_await saying;
    auto hearing = read_once(*ends.client->stream);
    EXPECT_EQ(co_await hearing, "x");
    std::array<char, 8> buffer{};
    auto reading = ends.server->stream->read_some(buffer, Loop::now() + std::chrono::seconds(5));
    const auto got = co_await reading;
    EXPECT_FALSE(got.has_value());
    EXPECT_EQ(got.error().code, Code::closed) << "the answer is an alert: no_renegotiation";
  }());
}

TEST_F(TlsTest, TheServerSeesWhoTheClientIs) {
  const TestIdentity agent = authority.issue({.name = "agent", .alternative = kClientNames});
  run([&]() -> Task<void> {
    for (const bool required : {true, false}) {
      auto pairing = pair(server(mutual(required)), client_with(agent));
      Pair ends = co_await pairing;
      auto talking = talk(ends);
      co_await talking;
      if (!ends.server) co_return;
      const TlsPeer& peer = ends.server->peer;
      EXPECT_TRUE(peer.verified);
      EXPECT_EQ(peer.subject, "CN=agent");
      EXPECT_EQ(peer.uri_names, std::vector<std::string>{"spiffe://mesh.test/agent/a"});
      EXPECT_EQ(peer.dns_names, std::vector<std::string>{"agent.test"});
      EXPECT_EQ(peer.certificate_sha256.size(), 64U);
      EXPECT_EQ(peer.certificate_sha256.find_first_not_of("0123456789abcdef"), std::string::npos);
    }
  }());
}

TEST_F(TlsTest, ARequiredClientCertificateThatIsMissingIsRefusedAnOptionalOneIsNot) {
  run([&]() -> Task<void> {
    auto refusing = refusal(server(mutual(true)), client());
    EXPECT_EQ(co_await refusing, std::pair(std::string("tls_handshake"), std::string("closed")));
    const auto old = client();
    SSL_CTX_set_max_proto_version(inside(old), TLS1_2_VERSION);
    auto refusing_old = refusal(server(mutual(true)), old);
    EXPECT_EQ((co_await refusing_old).first, "tls_handshake");
    auto pairing = pair(server(mutual(false)), client());
    Pair ends = co_await pairing;
    auto talking = talk(ends);
    co_await talking;
    EXPECT_FALSE(ends.server->peer.verified);
  }());
}

TEST_F(TlsTest, AClientCertificateThatIsNotGoodIsRefusedEvenWhereNoneIsRequired) {
  const TestIdentity foreign = stranger.issue({.name = "foreign", .alternative = kClientNames});
  const TestIdentity expired = authority.issue(
      {.name = "expired", .alternative = kClientNames, .begins = -7200, .ends = -3600});
  const TestIdentity early =
      authority.issue({.name = "early", .alternative = kClientNames, .begins = 3600, .ends = 7200});
  run([&]() -> Task<void> {
    for (const TestIdentity& identity : {foreign, expired, early}) {
      for (const bool required : {true, false}) {
        auto refusing = refusal(server(mutual(required)), client_with(identity));
        EXPECT_EQ(co_await refusing, std::pair(std::string("tls_handshake"), std::string("closed")))
            << identity.certificate;
      }
    }
  }());
}

TEST_F(TlsTest, TheClientChecksChainTimeAndName) {
  const auto as_server = [](const TestIdentity& identity) {
    return server({.certificate = identity.certificate,
                   .key = identity.key,
                   .client_ca = std::nullopt,
                   .require_client_certificate = false});
  };
  const TestIdentity foreign = stranger.issue({.name = "foreign", .alternative = kServerNames});
  const TestIdentity expired = authority.issue(
      {.name = "expired", .alternative = kServerNames, .begins = -7200, .ends = -3600});
  const TestIdentity other = authority.issue({.name = "other", .alternative = "DNS:other.test"});
  const TestIdentity cn_only = authority.issue({.name = "gateway.test", .alternative = {}});
  const TestIdentity partial = authority.issue({.name = "part", .alternative = "DNS:gate*.a.test"});
  const TestIdentity wild = authority.issue({.name = "wild", .alternative = "DNS:*.a.test"});
  run([&]() -> Task<void> {
    const std::vector<std::tuple<TestIdentity, std::string, std::string_view>> cases{
        {foreign, "gateway.test", "unable to get local issuer certificate"},
        {expired, "gateway.test", "certificate has expired"},
        {other, "gateway.test", "hostname mismatch"},
        {cn_only, "gateway.test", "hostname mismatch"},
        {partial, "gateway.a.test", "hostname mismatch"},
        {wild, "deep.gateway.a.test", "hostname mismatch"},
    };
    for (const auto& [identity, expected_name, why] : cases) {
      auto refusing = refusal(as_server(identity), client(expected_name));
      const auto [at_server, at_client] = co_await refusing;
      EXPECT_EQ(at_server, "tls_handshake") << identity.certificate << ": the client's alert";
      EXPECT_TRUE(at_client.ends_with(why)) << at_client;
    }
    auto pairing = pair(as_server(wild), client("gateway.a.test"));
    Pair ends = co_await pairing;
    auto talking = talk(ends);
    co_await talking;
  }());
}

TEST_F(TlsTest, ASelfSignedCertificateIsRefusedUnlessItIsTheOneTrusted) {
  const TestAuthority lonely(folder.path(), "lonely");
  run([&]() -> Task<void> {
    // A certificate of its own authority's, seen by a client that trusts another.
    const TestIdentity identity = lonely.issue({.name = "mine", .alternative = kServerNames});
    const auto context = server({.certificate = identity.certificate,
                                 .key = identity.key,
                                 .client_ca = std::nullopt,
                                 .require_client_certificate = false});
    auto refusing = refusal(context, client());
    EXPECT_EQ((co_await refusing).first, "tls_handshake");
    auto pairing = pair(context, client({.ca = lonely.path(),
                                         .certificate = std::nullopt,
                                         .key = std::nullopt,
                                         .server_name = "gateway.test"}));
    Pair ends = co_await pairing;
    auto talking = talk(ends);
    co_await talking;
    // The system's store, for whoever names no CA, trusts neither.
    auto refusing_too = refusal(context, client({.ca = std::nullopt,
                                                 .certificate = std::nullopt,
                                                 .key = std::nullopt,
                                                 .server_name = "gateway.test"}));
    EXPECT_EQ((co_await refusing_too).first, "tls_handshake");
  }());
}

TEST_F(TlsTest, AnIpLiteralIsCheckedAsOneAndSendsNoServerName) {
  const TestIdentity named =
      authority.issue({.name = "named", .alternative = "DNS:127.0.0.1,DNS:gateway.test"});
  run([&]() -> Task<void> {
    for (const char* address : {"127.0.0.1", "::1"}) {
      auto pairing = pair(server(), client(address));
      Pair ends = co_await pairing;
      auto talking = talk(ends);
      co_await talking;
      EXPECT_EQ(
          SSL_get_servername(openssl_session(*ends.server->stream), TLSEXT_NAMETYPE_host_name),
          nullptr);
    }
    auto refusing = refusal(server(), client("127.0.0.2"));
    EXPECT_TRUE((co_await refusing).second.ends_with("IP address mismatch"));
    const auto context = server({.certificate = named.certificate,
                                 .key = named.key,
                                 .client_ca = std::nullopt,
                                 .require_client_certificate = false});
    auto refusing_name = refusal(context, client("127.0.0.1"));
    EXPECT_TRUE((co_await refusing_name).second.ends_with("IP address mismatch"))
        << "a DNS name that looks like an address is none";
    auto pairing = pair();
    Pair ends = co_await pairing;
    EXPECT_STREQ(
        SSL_get_servername(openssl_session(*ends.server->stream), TLSEXT_NAMETYPE_host_name),
        "gateway.test");
  }());
}

TEST_F(TlsTest, ANameWithWhatTwoReadersReadDifferentlyIsNotGivenOn) {
  const TestIdentity odd =
      authority.issue({.name = "odd", .alternative = "URI:spiffe://mesh.test/a b,DNS:agent.test"});
  run([&]() -> Task<void> {
    auto pairing = pair(server(mutual(true)), client_with(odd));
    Pair ends = co_await pairing;
    EXPECT_TRUE(ends.server.has_value());
    if (!ends.server) co_return;
    EXPECT_TRUE(ends.server->peer.uri_names.empty());
    EXPECT_EQ(ends.server->peer.dns_names.size(), 1U);
  }());
}

TEST_F(TlsTest, AnEndIsCleanOnlyWithCloseNotify) {
  run([&]() -> Task<void> {
    auto pairing = pair();
    Pair ends = co_await pairing;
    auto sending = send(*ends.client->stream, "all");
    co_await sending;
    ends.client->stream->shutdown_write();
    for (const char* expected : {"all", "end", "end"}) {
      auto reading = read_once(*ends.server->stream);
      EXPECT_EQ(co_await reading, expected);
    }
    auto answering = send(*ends.server->stream, "still");
    co_await answering;
    auto reading = read_once(*ends.client->stream);
    EXPECT_EQ(co_await reading, "still") << "the other way goes on";
    auto late = ends.client->stream->write_all("more", soon());
    EXPECT_FALSE((co_await late).has_value()) << "our side has ended";

    auto pairing_too = pair();
    Pair cut = co_await pairing_too;
    auto part = send(*cut.client->stream, "part");
    co_await part;
    cut.below_client->shutdown_write();  // TCP ends, TLS says nothing
    for (const char* expected : {"part", "closed", "closed"}) {
      auto reading_cut = read_once(*cut.server->stream);
      EXPECT_EQ(co_await reading_cut, expected);
    }

    auto pairing_closed = pair();
    Pair closed = co_await pairing_closed;
    closed.client->stream->close();  // in the middle, for all the peer knows
    auto reading_closed = read_once(*closed.server->stream);
    EXPECT_EQ(co_await reading_closed, "closed");
  }());
}

TEST_F(TlsTest, ABrokenRecordEndsTheConnection) {
  run([&]() -> Task<void> {
    auto pairing = pair();
    Pair ends = co_await pairing;
    const std::string forged("\x17\x03\x03\x00\x20 forged bytes of thirty-two bytes ", 5 + 32);
    auto writing = ends.below_client->write_all(forged, soon());
    EXPECT_TRUE((co_await writing).has_value());
    for (int i = 0; i < 2; ++i) {
      auto reading = read_once(*ends.server->stream);
      EXPECT_EQ(co_await reading, "closed");
    }
    auto answering = ends.server->stream->write_all("x", soon());
    EXPECT_FALSE((co_await answering).has_value());
    EXPECT_EQ(ERR_peek_error(), 0U);
  }());
}

// Text that says at each place which one it is.
std::string numbered(std::size_t size, char seed) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i)
    text[i] = static_cast<char>(seed + static_cast<char>((i * 31U + i / 251U) % 97U));
  return text;
}

Task<void> pour(Stream& stream, std::string text, bool renew_keys) {
  constexpr std::size_t kPiece = 100'000;
  for (std::size_t at = 0; at < text.size(); at += kPiece) {
    if (renew_keys) {
      EXPECT_EQ(SSL_key_update(openssl_session(stream), SSL_KEY_UPDATE_REQUESTED), 1);
    }
    auto writing = stream.write_all(std::string_view(text).substr(at, kPiece), std::nullopt);
    const auto written = co_await writing;
    EXPECT_TRUE(written.has_value()) << written.error().to_string();
  }
  stream.shutdown_write();
}

TEST_F(TlsTest, MegabytesGoBothWaysAtOnceWithKeysRenewedInBetween) {
  run([&]() -> Task<void> {
    auto pairing = pair();
    Pair ends = co_await pairing;
    const std::string up = numbered(6'000'000, ' ');
    const std::string down = numbered(7'000'001, '!');
    // Each side reads only after the other's writer must have been stopped by back-pressure.
    loop.spawn(pour(*ends.client->stream, up, true));
    loop.spawn(pour(*ends.server->stream, down, false));
    const auto got_up = std::make_shared<OneShot<std::string>>(loop);
    auto listening = [](Stream& stream,
                        std::shared_ptr<OneShot<std::string>> result) -> Task<void> {
      auto reading = read_all(stream);
      result->set(co_await reading);
    };
    loop.spawn(listening(*ends.server->stream, got_up));
    auto reading = read_all(*ends.client->stream);
    const std::string got_down = co_await reading;
    auto waiting = got_up->wait();
    const auto got = co_await waiting;
    EXPECT_TRUE(got_down == down) << got_down.size();
    EXPECT_TRUE(got == up) << got->size();
  }());
}

TEST_F(TlsTest, APeerThatProvokesAnswersAndDoesNotReadThemIsNotServedForEver) {
  run([&]() -> Task<void> {
    auto making = raw_pair();
    Raw raw = co_await making;
    auto below = std::make_unique<Blocking>(loop, std::move(raw.server));
    Blocking& blocking = *below;
    const auto end = std::make_shared<OneShot<Result<TlsConnection>>>(loop);
    loop.spawn(accept_into(loop, std::move(below), server(), end));
    auto connecting = tls_connect(loop, std::move(raw.client), client(), soon());
    const auto peer = co_await connecting;
    auto waiting = end->wait();
    const auto accepted = co_await waiting;
    blocking.block();
    constexpr int kMost = 10'000;  // each provokes some 30 bytes
    std::string heard = "x";
    int updates = 0;
    for (; heard == "x" && updates < kMost; ++updates) {
      EXPECT_EQ(SSL_key_update(openssl_session(*peer->stream), SSL_KEY_UPDATE_REQUESTED), 1);
      auto sending = send(*peer->stream, "x");
      co_await sending;
      auto reading = read_once(*(*accepted)->stream);
      heard = co_await reading;
    }
    EXPECT_EQ(heard, "closed");
    EXPECT_GT(updates, 100) << "some must be answered";
    auto writing = (*accepted)->stream->write_all("x", soon());
    EXPECT_FALSE((co_await writing).has_value());
  }());
}

TEST_F(TlsTest, AWriteWaitsForAPeerThatDoesNotReadAndItsDeadlineEndsIt) {
  run([&]() -> Task<void> {
    auto pairing = pair();
    Pair ends = co_await pairing;
    const std::string text(std::size_t{32} << 20U, 'x');
    auto writing = ends.server->stream->write_all(text, Loop::now() + milliseconds(50));
    const auto written = co_await writing;
    EXPECT_FALSE(written.has_value());
    EXPECT_EQ(written.error().code, Code::timeout);
    auto again = ends.server->stream->write_all("x", soon());
    const auto second = co_await again;
    EXPECT_FALSE(second.has_value()) << "a record was cut off: nothing can follow";
  }());
}

TEST_F(TlsTest, CloseEndsPendingReadsAndWrites) {
  run([&]() -> Task<void> {
    auto pairing = pair();
    Pair ends = co_await pairing;
    const auto read = std::make_shared<OneShot<std::string>>(loop);
    const auto write = std::make_shared<OneShot<std::string>>(loop);
    auto reader = [](Stream& stream, std::shared_ptr<OneShot<std::string>> result) -> Task<void> {
      auto reading = read_once(stream);
      result->set(co_await reading);
    };
    auto writer = [](Stream& stream, std::shared_ptr<OneShot<std::string>> result) -> Task<void> {
      const std::string text(std::size_t{32} << 20U, 'x');
      auto writing = stream.write_all(text, std::nullopt);
      const auto written = co_await writing;
      result->set(written ? "written" : std::string(name(written.error().code)));
    };
    loop.spawn(reader(*ends.client->stream, read));
    loop.spawn(writer(*ends.client->stream, write));
    auto pause = loop.sleep(milliseconds(5));
    co_await pause;
    ends.client->stream.reset();  // closes
    auto waiting_read = read->wait();
    EXPECT_EQ(co_await waiting_read, "closed");
    auto waiting_write = write->wait();
    EXPECT_EQ(co_await waiting_write, "closed");
  }());
}

TEST_F(TlsTest, AReadsDeadlineLeavesTheConnectionUsable) {
  run([&]() -> Task<void> {
    auto pairing = pair();
    Pair ends = co_await pairing;
    std::array<char, 8> buffer{};
    auto reading = ends.server->stream->read_some(buffer, Loop::now() + milliseconds(5));
    const auto got = co_await reading;
    EXPECT_EQ(got.error().code, Code::timeout);
    auto talking = talk(ends);
    co_await talking;
  }());
}

TEST_F(TlsTest, PlainTextSilenceAndALeavingClientEndTheHandshake) {
  run([&]() -> Task<void> {
    auto making = raw_pair();
    Raw plain = co_await making;
    auto sending = send(*plain.client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    co_await sending;
    auto accepting = tls_accept(loop, std::move(plain.server), server(), soon());
    const auto accepted = co_await accepting;
    EXPECT_EQ(accepted.error().code, Code::tls_handshake);
    EXPECT_EQ(ERR_peek_error(), 0U);

    auto making_silent = raw_pair();
    Raw silent = co_await making_silent;
    auto waiting =
        tls_accept(loop, std::move(silent.server), server(), Loop::now() + milliseconds(20));
    EXPECT_EQ((co_await waiting).error().code, Code::timeout);

    auto making_leaving = raw_pair();
    Raw leaving = co_await making_leaving;
    leaving.client.reset();
    auto trying = tls_accept(loop, std::move(leaving.server), server(), soon());
    EXPECT_EQ((co_await trying).error().code, Code::closed);
  }());
}

// --- configuration -------------------------------------------------------------------------------

using TlsConfigTest = TlsTest;

// The file that is to blame, or "fine".
std::string blamed(const TlsServerConfig& config) {
  const auto made = TlsServerContext::make(config);
  EXPECT_EQ(ERR_peek_error(), 0U);
  if (made) return "fine";
  EXPECT_EQ(made.error().code, Code::tls_config) << made.error().to_string();
  return std::filesystem::path(made.error().where).filename();
}

void overwrite(const std::filesystem::path& path, std::string_view text) {
  std::ofstream(path, std::ios::trunc) << text;
}

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(TlsConfigTest, AKeyThatOthersCanReadIsRefused) {
  const TlsServerConfig good = config();
  EXPECT_EQ(blamed(good), "fine");
  for (const mode_t mode : {0644U, 0640U, 0602U}) {
    ASSERT_EQ(::chmod(good.key.c_str(), mode), 0);
    EXPECT_EQ(blamed(good), "server.key");
  }
  ASSERT_EQ(::chmod(good.key.c_str(), 0400), 0);
  EXPECT_EQ(blamed(good), "fine");
}

TEST_F(TlsConfigTest, AKeyThatDoesNotFitOrIsNoneIsRefused) {
  TlsServerConfig bad = config();
  bad.key = authority.issue({.name = "another", .alternative = {}}).key;
  EXPECT_EQ(blamed(bad), "another.key");
  overwrite(bad.key, "not a key");
  EXPECT_EQ(blamed(bad), "another.key");
  overwrite(bad.key, "");
  EXPECT_EQ(blamed(bad), "another.key");
  bad.key = folder.path() / "missing.key";
  EXPECT_EQ(blamed(bad), "missing.key");
}

TEST_F(TlsConfigTest, AKeyWithAPasswordIsRefusedWithoutAskingForIt) {
  const TlsServerConfig bad = config();
  const std::string plain = content(bad.key);
  const OpensslBio bio(BIO_new_mem_buf(plain.data(), static_cast<int>(plain.size())));
  const OpensslKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  const OpensslBio locked(BIO_new(BIO_s_mem()));
  std::string password = "secret";
  ASSERT_EQ(
      PEM_write_bio_PKCS8PrivateKey(locked.get(), key.get(), EVP_aes_256_cbc(), password.data(),
                                    static_cast<int>(password.size()), nullptr, nullptr),
      1);
  char* begin = nullptr;
  const long size = BIO_get_mem_data(locked.get(), &begin);
  overwrite(bad.key, std::string_view(begin, static_cast<std::size_t>(size)));
  EXPECT_EQ(blamed(bad), "server.key");
}

TEST_F(TlsConfigTest, DamagedOrMissingCertificatesAreRefused) {
  TlsServerConfig bad = config();
  const std::string good = content(bad.certificate);
  for (const std::string& text :
       {std::string(), std::string("text"), good.substr(0, good.size() / 2),
        good + good.substr(0, good.size() / 2), content(bad.key)}) {
    overwrite(bad.certificate, text);
    EXPECT_EQ(blamed(bad), "server.pem") << text;
  }
  overwrite(bad.certificate, good + "\nnotes\n" + content(authority.path()));
  EXPECT_EQ(blamed(bad), "fine") << "a chain, with text in between";
  bad.client_ca = folder.path() / "missing.pem";
  EXPECT_EQ(blamed(bad), "missing.pem");
  bad.client_ca.reset();
  bad.require_client_certificate = true;
  EXPECT_EQ(blamed(bad), "server.pem") << "nobody could vouch for a client";
}

TEST_F(TlsConfigTest, AClientNeedsANameToExpectAndBothHalvesOfItsCertificate) {
  const auto code = [&](TlsClientConfig wanted) {
    const auto made = TlsClientContext::make(wanted);
    return made ? std::string("fine") : std::string(name(made.error().code));
  };
  TlsClientConfig wanted{.ca = authority.path(),
                         .certificate = std::nullopt,
                         .key = std::nullopt,
                         .server_name = "gateway.test"};
  EXPECT_EQ(code(wanted), "fine");
  for (const std::string& bad :
       {std::string(), std::string(".gateway.test"), std::string("*.gateway.test"),
        std::string("gateway.test\0.evil.test", 23), std::string("[::1]"), std::string("a b"),
        std::string("127.0.0.1\0", 10), std::string(254, 'a')}) {
    wanted.server_name = bad;
    EXPECT_EQ(code(wanted), "tls_config") << bad;
  }
  wanted.server_name = "gateway.test";
  const TestIdentity agent = authority.issue({.name = "agent", .alternative = kClientNames});
  wanted.certificate = agent.certificate;
  EXPECT_EQ(code(wanted), "tls_config") << "no key";
  wanted.key = agent.key;
  EXPECT_EQ(code(wanted), "fine");
  wanted.certificate.reset();
  EXPECT_EQ(code(wanted), "tls_config") << "no certificate";
}

}  // namespace
}  // namespace zwinger::net
