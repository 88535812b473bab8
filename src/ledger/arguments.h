// What the record keeps of a call's arguments: where each value stood, its type and length, what it
// looks like, and a keyed digest by which equal values are seen to be equal. No content, so that
// grants can be learned from records that hold none. docs/reference/ledger.md tells it to users.
//
// A value is a scalar, an empty container, or a container nested kMaxArgumentDepth deep. A pointer
// leads to it from the arguments' object. Elements of an array share the segment "*". A member's
// name that is no plain identifier, or looks like a token or a number, may itself be a secret: "~"
// and its keyed digest stand for it. (RFC 6901 writes ~ only before 0 and 1 and identifiers have
// none, so a segment that begins with ~ is always a digest.)
//
// A digest is the first half of HMAC-SHA-256 over the canonical form (RFC 8785) of the value, in
// hex; that of a name or a URI is over it as a JSON string. A number beyond the range of a double
// has no canonical form and no digest.
//
// Everything a caller can choose is bounded: see the constants. Linear in the arguments.
// Functions are pure but for load_or_create_argument_key; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "crypto/hmac.h"
#include "json/json.h"
#include "ledger/leaf.h"

namespace zwinger::ledger {

inline constexpr std::size_t kMaxArguments = 24;        // values listed
inline constexpr std::size_t kMaxArgumentBytes = 2048;  // of them in a leaf, rendered
inline constexpr std::size_t kMaxAtOnePointer = 4;      // different values listed for one pointer
inline constexpr std::size_t kMaxArgumentDepth = 8;     // segments of a pointer
inline constexpr std::size_t kMaxArgumentDigests = 64;  // values and names that are hashed at all
inline constexpr std::size_t kArgumentKeySize = 32;     // bytes

// The secret of the digests. Who has it can try values against a record; who has not sees only
// which are equal. Copies are independent; one object may be used from many threads.
class ArgumentKey {
 public:
  // `bytes` are kArgumentKeySize random ones.
  explicit ArgumentKey(std::string_view bytes) : mac_(bytes) {}
  // A keyed hash for one thread, to be used many times.
  [[nodiscard]] crypto::HmacSha256 mac() const { return mac_; }

 private:
  crypto::HmacSha256 mac_;
};

// Reads the key, or makes one where the file does not exist: whole, durable and mode 0600 before
// anybody sees it; of several processes that start together all get the same one. Errors:
// ledger_unavailable, also for a file that others may read or that is no key.
[[nodiscard]] Result<ArgumentKey> load_or_create_argument_key(const std::filesystem::path& path,
                                                              Random& random);

struct ArgumentSummary {
  std::vector<ArgumentTrace> arguments;  // in the order of the arguments
  // Values that `arguments` does not account for. Where it is not 0, a pointer that is not listed
  // may have been there all the same, and one that is listed may have had further values.
  std::uint64_t more = 0;
};

[[nodiscard]] ArgumentSummary summarize_arguments(const json::Value& arguments,
                                                  const ArgumentKey& key);

// What the record keeps of a resource's URI: uri_scheme(), the host of a URL that all parsers agree
// on, the digest.
struct ResourceTrace {
  std::string scheme;
  std::string host;
  std::string digest;
};
[[nodiscard]] ResourceTrace trace_resource(std::string_view uri, const ArgumentKey& key);

// The scheme that a URI begins with, in lower case, if it is one of at most 16 characters.
[[nodiscard]] std::string uri_scheme(std::string_view uri);
// What a text looks like: empty, path, odd_path, url, uri, boolean, integer, decimal, uuid, date,
// email, hex, base64, word or text. Sets `shape`, and for a path `top` and `depth`, for a URL
// `host`.
void classify_text(std::string_view text, ArgumentTrace& trace);

}  // namespace zwinger::ledger
