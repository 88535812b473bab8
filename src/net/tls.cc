#include "net/tls.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "net/one_shot.h"
#include "net/tls_openssl.h"
#include "text/encoding.h"

namespace zwinger::net {
namespace {

constexpr std::size_t kSlice = std::size_t{16} << 10U;        // of a write: one record
constexpr std::size_t kSmallBuffer = std::size_t{4} << 10U;   // what a waiting read costs
constexpr std::size_t kLargeBuffer = std::size_t{17} << 10U;  // holds any record
// Answers that a peer can provoke by what it sends (key updates, alerts). One that provokes more
// than this without reading any is not served further.
constexpr std::size_t kMaxUnsent = std::size_t{64} << 10U;

// The bytes on both sides of an OpenSSL session: `in` is what the stream below brought and the
// session has not taken yet, `out` is what the session wants sent. Taking never waits: without
// bytes OpenSSL says WANT_READ and we fetch more.
struct Wire {
  std::string_view in;
  std::string out;
};

Wire& wire_of(BIO* bio) { return *static_cast<Wire*>(BIO_get_data(bio)); }

int wire_read(BIO* bio, char* into, std::size_t size, std::size_t* got) {
  Wire& wire = wire_of(bio);
  BIO_clear_retry_flags(bio);
  *got = std::min(size, wire.in.size());
  if (*got == 0) {
    BIO_set_retry_read(bio);
    return 0;
  }
  std::memcpy(into, wire.in.data(), *got);
  wire.in.remove_prefix(*got);
  return 1;
}

int wire_write(BIO* bio, const char* bytes, std::size_t size, std::size_t* put) {
  BIO_clear_retry_flags(bio);
  wire_of(bio).out.append(bytes, size);
  *put = size;
  return 1;
}

long wire_control(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

int wire_create(BIO* bio) {
  BIO_set_init(bio, 1);
  return 1;
}

std::unexpected<Error> closed_error() { return fail(Code::closed, "the stream was closed"); }

// --- what the handshake proved -------------------------------------------------------------------

std::string subject_of(X509* certificate) {
  const OpensslBio text(BIO_new(BIO_s_mem()));
  if (!text ||
      X509_NAME_print_ex(text.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) < 0) {
    return {};
  }
  char* begin = nullptr;
  const long size = BIO_get_mem_data(text.get(), &begin);
  return size > 0 ? std::string(begin, static_cast<std::size_t>(size)) : std::string();
}

// A name with a NUL, a space or a byte outside ASCII is one that two readers may read differently.
void add_name(std::vector<std::string>& names, const ASN1_STRING* text) {
  const auto* begin = reinterpret_cast<const char*>(  // NOLINT(*-reinterpret-cast): octets
      ASN1_STRING_get0_data(text));
  const std::string_view name(begin, static_cast<std::size_t>(ASN1_STRING_length(text)));
  if (name.empty() || !std::ranges::all_of(name, [](char c) { return c > 0x20 && c < 0x7f; }))
    return;
  names.emplace_back(name);
}

void read_names(X509* certificate, TlsPeer& peer) {
  const OpensslNames names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (!names) return;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int type = 0;
    const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type);
    if (type == GEN_URI) add_name(peer.uri_names, static_cast<const ASN1_STRING*>(value));
    if (type == GEN_DNS) add_name(peer.dns_names, static_cast<const ASN1_STRING*>(value));
  }
}

std::string digest_of(X509* certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest.data(), &size) != 1) return {};
  return text::hex_encode(std::string(digest.begin(), digest.begin() + size));
}

TlsPeer describe(SSL* session) {
  const ErrorQueueGuard guard;
  TlsPeer peer;
  peer.version = SSL_get_version(session);
  peer.cipher = SSL_get_cipher_name(session);
  X509* certificate = SSL_get0_peer_certificate(session);
  if (certificate == nullptr) return peer;
  peer.certificate_sha256 = digest_of(certificate);
  peer.verified = SSL_get_verify_result(session) == X509_V_OK &&
                  (SSL_get_verify_mode(session) & SSL_VERIFY_PEER) != 0 &&
                  !peer.certificate_sha256.empty();
  peer.subject = subject_of(certificate);
  read_names(certificate, peer);
  return peer;
}

// RFC 7301, 3.2: a server may choose nothing, and nothing that was not offered.
bool alpn_fits(SSL* session) {
  const unsigned char* chosen = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(session, &chosen, &size);
  constexpr std::string_view kOurs = "http/1.1";
  return size == 0 || (size == kOurs.size() && std::memcmp(chosen, kOurs.data(), size) == 0);
}

// --- the session ---------------------------------------------------------------------------------

// An OpenSSL session over a stream. Calls into OpenSSL never wait, so a reading and a writing
// coroutine share it without a lock; what they share beyond that is sending `out`, which one of
// them, or a coroutine of its own, does at a time (flush).
class Session {
 public:
  Session(Loop& loop, std::unique_ptr<Stream> below, std::shared_ptr<const void> context,
          OpensslSession openssl)
      : loop_(loop),
        below_(std::move(below)),
        context_(std::move(context)),
        openssl_(std::move(openssl)) {}

  [[nodiscard]] bool attach(const BIO_METHOD* method) {
    BIO* bio = BIO_new(method);
    if (bio == nullptr) return false;
    BIO_set_data(bio, &wire_);
    SSL_set_bio(openssl_.get(), bio, bio);  // takes it, for both directions
    return true;
  }
  [[nodiscard]] SSL* openssl() const { return openssl_.get(); }

  // Static, with their own share: they may end after the stream does.
  static Task<Result<void>> handshake(std::shared_ptr<Session> self, Monotonic deadline);
  static Task<Result<std::size_t>> read(std::shared_ptr<Session> self, std::span<char> into,
                                        std::optional<Monotonic> deadline);
  static Task<Result<void>> write(std::shared_ptr<Session> self, std::string_view bytes,
                                  std::optional<Monotonic> deadline);
  static void shutdown_write(const std::shared_ptr<Session>& self);
  void close() {
    closed_ = true;
    below_->close();
  }
  [[nodiscard]] bool is_quiet() const {
    return !closed_ && !failed_ && !cut_off_ && !ending_ && wire_.in.empty() &&
           SSL_has_pending(openssl_.get()) == 0 && below_->is_quiet();
  }

 private:
  enum class Step : std::uint8_t { done, need_more, ended, failed };

  // Whoever sends `out`. Gone before the sending ended, it leaves a message cut off.
  class SendingTurn {
   public:
    explicit SendingTurn(Session& session) : session_(session) { session_.sending_ = true; }
    SendingTurn(const SendingTurn&) = delete;
    SendingTurn& operator=(const SendingTurn&) = delete;
    ~SendingTurn() {
      session_.sending_ = false;
      if (!sent_) session_.cut_off_ = true;
      if (auto waiting = std::exchange(session_.sent_, nullptr)) waiting->set(true);
    }
    void sent() { sent_ = true; }

   private:
    Session& session_;
    bool sent_ = false;
  };

  static Task<Result<void>> fetch(std::shared_ptr<Session> self, std::optional<Monotonic> deadline);
  static Task<Result<void>> flush(std::shared_ptr<Session> self, std::optional<Monotonic> deadline);
  static Task<void> flush_aside(std::shared_ptr<Session> self);
  static void start_flush(const std::shared_ptr<Session>& self);

  [[nodiscard]] Step step_handshake();
  [[nodiscard]] Step step_read(std::span<char> into, std::size_t& got);
  [[nodiscard]] bool encrypt(std::string_view slice);
  [[nodiscard]] std::string why_failed() const;
  void end_sending();

  Loop& loop_;
  std::unique_ptr<Stream> below_;
  std::shared_ptr<const void> context_;  // holds the BIO's method; goes after the session
  Wire wire_;
  OpensslSession openssl_;
  std::unique_ptr<char[]> buffer_;          // NOLINT(*-avoid-c-arrays): not filled with zeros
  std::size_t buffer_size_ = kLargeBuffer;  // what the next fetch takes; a handshake comes first
  std::shared_ptr<OneShot<bool>> sent_;     // whoever waits for its turn
  std::string failure_;                     // why OpenSSL gave up
  bool sending_ = false;
  bool cut_off_ = false;  // part of a record was sent: nothing can follow
  bool failed_ = false;
  bool closed_ = false;
  bool ending_ = false;  // close_notify is the last of `out`
  bool ended_ = false;
};

std::string Session::why_failed() const {
  if (const long verdict = SSL_get_verify_result(openssl_.get()); verdict != X509_V_OK) {
    ERR_clear_error();
    return fmt::format("the peer's certificate is refused: {}",
                       X509_verify_cert_error_string(verdict));
  }
  return openssl_reason();
}

Session::Step Session::step_handshake() {
  const ErrorQueueGuard guard;
  const int done = SSL_do_handshake(openssl_.get());
  if (done == 1) return Step::done;
  if (SSL_get_error(openssl_.get(), done) == SSL_ERROR_WANT_READ) return Step::need_more;
  failure_ = why_failed();
  failed_ = true;
  return Step::failed;
}

Session::Step Session::step_read(std::span<char> into, std::size_t& got) {
  const ErrorQueueGuard guard;
  const int done = SSL_read_ex(openssl_.get(), into.data(), into.size(), &got);
  if (wire_.out.size() > kMaxUnsent) {
    failure_ = "the peer asks for answers and does not read them";
    failed_ = true;
    return Step::failed;
  }
  if (done == 1) return Step::done;
  switch (SSL_get_error(openssl_.get(), done)) {
    case SSL_ERROR_WANT_READ:
      return Step::need_more;
    case SSL_ERROR_ZERO_RETURN:
      return Step::ended;
    default:
      failure_ = openssl_reason();
      failed_ = true;
      return Step::failed;
  }
}

bool Session::encrypt(std::string_view slice) {
  const ErrorQueueGuard guard;
  std::size_t put = 0;
  // It wants to read only in the middle of a peer's message that came in pieces; nobody who is
  // honest cuts those, and half a state is nothing to go on with.
  if (SSL_write_ex(openssl_.get(), slice.data(), slice.size(), &put) == 1 && put == slice.size())
    return true;
  failure_ = openssl_reason();
  failed_ = true;
  return false;
}

// Brings the session the next bytes, of which it has none left.
Task<Result<void>> Session::fetch(std::shared_ptr<Session> self,
                                  std::optional<Monotonic> deadline) {
  const std::size_t size = self->buffer_size_;
  self->buffer_ = std::make_unique_for_overwrite<char[]>(size);  // NOLINT(*-avoid-c-arrays)
  auto reading = self->below_->read_some(std::span(self->buffer_.get(), size), deadline);
  const auto got = co_await reading;
  if (!got) co_return std::unexpected(got.error());
  if (self->closed_) co_return closed_error();
  if (*got == 0)
    co_return fail(Code::closed, "the peer has ended without saying so (no close_notify)");
  self->wire_.in = std::string_view(self->buffer_.get(), *got);
  self->buffer_size_ = *got == size ? kLargeBuffer : kSmallBuffer;
  co_return Result<void>();
}

// Sends `out`, or waits until whoever sends has sent it.
Task<Result<void>> Session::flush(std::shared_ptr<Session> self,
                                  std::optional<Monotonic> deadline) {
  while (self->sending_ || !self->wire_.out.empty()) {
    if (self->closed_) co_return closed_error();
    if (self->cut_off_) co_return fail(Code::closed, "an earlier write was cut off");
    if (self->sending_) {
      self->sent_ = std::make_shared<OneShot<bool>>(self->loop_);
      auto waiting = deadline ? self->sent_->wait_until(*deadline) : self->sent_->wait();
      const auto got = co_await waiting;
      if (!got) co_return fail(Code::timeout, "the peer was too slow");
    } else {
      SendingTurn turn(*self);
      const std::string bytes = std::exchange(self->wire_.out, {});
      auto writing = self->below_->write_all(bytes, deadline);
      const auto written = co_await writing;
      if (!written) co_return written;
      turn.sent();
    }
  }
  self->end_sending();
  co_return Result<void>();
}

void Session::end_sending() {
  if (!ending_ || std::exchange(ended_, true)) return;
  below_->shutdown_write();
}

Task<void> Session::flush_aside(std::shared_ptr<Session> self) {
  auto flushing = flush(self, std::nullopt);
  const auto flushed = co_await flushing;
  static_cast<void>(flushed);  // the next write says it
}

// Without waiting: a reader that waited for its answers to be sent would wait for a peer that waits
// for it.
void Session::start_flush(const std::shared_ptr<Session>& self) {
  if (self->wire_.out.empty() || self->sending_ || self->closed_) return;
  self->loop_.spawn(flush_aside(self));
}

Task<Result<void>> Session::handshake(std::shared_ptr<Session> self, Monotonic deadline) {
  while (true) {
    const Step step = self->step_handshake();
    auto flushing = flush(self, deadline);  // after a failure, the alert
    const auto flushed = co_await flushing;
    if (step == Step::failed) {
      co_return fail(Code::tls_handshake, "the TLS handshake failed: " + self->failure_);
    }
    if (!flushed || step == Step::done) co_return flushed;
    auto fetching = fetch(self, deadline);
    const auto fetched = co_await fetching;
    if (!fetched) co_return fetched;
  }
}

Task<Result<std::size_t>> Session::read(std::shared_ptr<Session> self, std::span<char> into,
                                        std::optional<Monotonic> deadline) {
  if (into.empty()) co_return fail(Code::internal, "a read into no bytes");
  while (true) {
    if (self->closed_) co_return closed_error();
    if (self->failed_) co_return fail(Code::closed, "TLS has failed: " + self->failure_);
    std::size_t got = 0;
    const Step step = self->step_read(into, got);
    start_flush(self);
    if (step == Step::done) co_return got;
    if (step == Step::ended) co_return std::size_t{0};
    if (step == Step::failed) continue;
    auto fetching = fetch(self, deadline);
    const auto fetched = co_await fetching;
    if (!fetched) co_return std::unexpected(fetched.error());
  }
}

Task<Result<void>> Session::write(std::shared_ptr<Session> self, std::string_view bytes,
                                  std::optional<Monotonic> deadline) {
  while (!bytes.empty()) {
    if (self->closed_) co_return closed_error();
    if (self->cut_off_) co_return fail(Code::closed, "an earlier write was cut off");
    if (self->ending_) co_return fail(Code::closed, "our side has ended");
    const std::string_view slice = bytes.substr(0, kSlice);
    if (self->failed_ || !self->encrypt(slice))
      co_return fail(Code::closed, "TLS has failed: " + self->failure_);
    auto flushing = flush(self, deadline);
    const auto flushed = co_await flushing;
    if (!flushed) {
      self->cut_off_ = true;
      co_return flushed;
    }
    bytes.remove_prefix(slice.size());
  }
  co_return Result<void>();
}

void Session::shutdown_write(const std::shared_ptr<Session>& self) {
  if (self->closed_ || self->failed_ || self->cut_off_ || std::exchange(self->ending_, true))
    return;
  {
    const ErrorQueueGuard guard;
    SSL_shutdown(self->openssl_.get());  // our half: writes close_notify and waits for nothing
  }
  if (self->wire_.out.empty() && !self->sending_) self->end_sending();
  start_flush(self);
}

class TlsStream final : public Stream {
 public:
  explicit TlsStream(std::shared_ptr<Session> session) : session_(std::move(session)) {}
  ~TlsStream() override { session_->close(); }
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  Task<Result<std::size_t>> read_some(std::span<char> into,
                                      std::optional<Monotonic> deadline) override {
    return Session::read(session_, into, deadline);
  }
  Task<Result<void>> write_all(std::string_view bytes, std::optional<Monotonic> deadline) override {
    return Session::write(session_, bytes, deadline);
  }
  void shutdown_write() override { Session::shutdown_write(session_); }
  // Says nothing to the peer: what was going on is cut off and must not look whole.
  void close() override { session_->close(); }
  bool is_quiet() override { return session_->is_quiet(); }
  [[nodiscard]] SSL* openssl() const { return session_->openssl(); }

 private:
  std::shared_ptr<Session> session_;
};

// Name and SNI of one client session.
bool expect_server(SSL* session, const ClientContext& context) {
  X509_VERIFY_PARAM* wanted = SSL_get0_param(session);
  X509_VERIFY_PARAM_set_hostflags(
      wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  const char* name = context.server_name.c_str();
  if (context.name_is_ip) return X509_VERIFY_PARAM_set1_ip_asc(wanted, name) == 1;
  return X509_VERIFY_PARAM_set1_host(wanted, name, context.server_name.size()) == 1 &&
         SSL_set_tlsext_host_name(session, name) == 1;
}

Task<Result<TlsConnection>> establish(std::shared_ptr<Session> session, Monotonic deadline) {
  auto shaking = Session::handshake(session, deadline);
  const auto shaken = co_await shaking;
  if (!shaken) {
    session->close();
    co_return std::unexpected(shaken.error());
  }
  if (!alpn_fits(session->openssl())) {
    session->close();
    co_return fail(Code::tls_handshake, "the peer chose another protocol than HTTP/1.1");
  }
  co_return TlsConnection{.stream = std::make_unique<TlsStream>(session),
                          .peer = describe(session->openssl())};
}

Result<std::shared_ptr<Session>> make_session(Loop& loop, std::unique_ptr<Stream> stream,
                                              std::shared_ptr<const void> context,
                                              const TlsContextParts& parts) {
  const ErrorQueueGuard guard;
  OpensslSession openssl(SSL_new(parts.openssl.get()));
  if (!openssl) return fail(Code::internal, openssl_reason());
  auto session =
      std::make_shared<Session>(loop, std::move(stream), std::move(context), std::move(openssl));
  if (!session->attach(parts.wire.get())) return fail(Code::internal, openssl_reason());
  return session;
}

}  // namespace

OpensslBioMethod make_wire_method() {
  OpensslBioMethod method(BIO_meth_new(BIO_TYPE_SOURCE_SINK, "zwinger wire"));
  if (!method || BIO_meth_set_read_ex(method.get(), wire_read) != 1 ||
      BIO_meth_set_write_ex(method.get(), wire_write) != 1 ||
      BIO_meth_set_ctrl(method.get(), wire_control) != 1 ||
      BIO_meth_set_create(method.get(), wire_create) != 1) {
    return nullptr;
  }
  return method;
}

SSL* openssl_session(Stream& stream) {
  const auto* tls = dynamic_cast<TlsStream*>(&stream);
  return tls == nullptr ? nullptr : tls->openssl();
}

Task<Result<TlsConnection>> tls_accept(Loop& loop, std::unique_ptr<Stream> stream,
                                       std::shared_ptr<const TlsServerContext> context,
                                       Monotonic deadline) {
  const auto* server = dynamic_cast<const ServerContext*>(context.get());
  if (server == nullptr) co_return fail(Code::internal, "this is no server context");
  ZWINGER_CO_TRY(auto session, make_session(loop, std::move(stream), context, server->parts));
  SSL_set_accept_state(session->openssl());
  auto establishing = establish(std::move(session), deadline);
  co_return co_await establishing;
}

Task<Result<TlsConnection>> tls_connect(Loop& loop, std::unique_ptr<Stream> stream,
                                        std::shared_ptr<const TlsClientContext> context,
                                        Monotonic deadline) {
  const auto* client = dynamic_cast<const ClientContext*>(context.get());
  if (client == nullptr) co_return fail(Code::internal, "this is no client context");
  ZWINGER_CO_TRY(auto session, make_session(loop, std::move(stream), context, client->parts));
  SSL_set_connect_state(session->openssl());
  {
    const ErrorQueueGuard guard;
    if (!expect_server(session->openssl(), *client))
      co_return fail(Code::internal, openssl_reason());
  }
  auto establishing = establish(std::move(session), deadline);
  co_return co_await establishing;
}

}  // namespace zwinger::net
