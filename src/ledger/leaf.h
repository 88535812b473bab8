// One entry of the record. This is the provisional shape: names, sizes, verdicts and reasons, never
// content. Plain values; any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zwinger::ledger {

enum class LeafKind : std::uint8_t {
  boot,      // an emitter started; first leaf of every segment
  decision,  // an exchange was judged; durable before anything is forwarded
  outcome,   // how it ended; durable before the answer leaves
  notice,    // something that is no exchange: a refused server request, an upstream's death,
             // strangers counted
  stop       // an orderly end
};
[[nodiscard]] std::string_view to_string(LeafKind kind);

// Texts longer than this, in bytes, are cut for the record, with their full length beside them.
inline constexpr std::size_t kMaxName = 256;
// A leaf's JSON is never longer than this, in bytes.
inline constexpr std::size_t kMaxLeaf = 4096;

// Of how many actors a leaf names at most; the rest is counted.
inline constexpr std::size_t kMaxActors = 8;

// One value among a call's arguments, without the value: see ledger/arguments.h, which makes them.
struct ArgumentTrace {
  std::string pointer;      // JSON pointer; elements of arrays share "*"
  std::string_view type;    // null, boolean, number, string, array, object; a literal
  std::uint64_t size = 0;   // code points of a string; elements or members of a container
  std::string_view shape;   // what the value looks like, a literal; empty where `type` says it all
  std::string host;         // of shape "url"
  std::string_view top;     // of shape "path": its first folder, if that is one of every system
  std::uint64_t depth = 0;  // of shape "path": how many names it has
  std::string digest;       // keyed; 32 hex digits
  std::uint64_t times = 1;  // equal values at the same pointer
  std::uint64_t more = 0;   // further values at this pointer that are not listed
};

struct Leaf {
  LeafKind kind = LeafKind::notice;
  std::string
      call;  // call id that joins decision and outcome; empty for boot, stop and most notices
  std::string generation;  // digest of the policy directory that judged it

  // who
  std::string issuer, tenant, subject, session, proof;
  std::vector<std::string> actors;  // who acts for the subject, the one who speaks first
  std::string peer;                 // SPIFFE ID or certificate fingerprint of the TLS peer
  std::string transport;            // http or stdio
  std::string direction;            // "server" when the upstream asks the client; empty otherwise

  // what
  std::string method;  // MCP method
  std::string upstream;
  std::string tool;    // raw name
  std::string prompt;  // raw name
  // Of a resource's URI, which may hold secrets: see trace_resource() in ledger/arguments.h.
  std::string resource_scheme, resource_host, resource_digest;
  std::uint64_t request_bytes = 0;
  std::vector<ArgumentTrace> arguments;
  std::uint64_t arguments_more = 0;  // values that `arguments` does not account for

  // decision
  std::string verdict;  // allow or deny
  std::string reason;   // "ok" or a code
  std::string stage;    // which stage spoke
  std::string at;       // pointer into the arguments; never a value
  std::vector<std::string> rules;
  std::string forward_sha256;  // of the bytes that go to the upstream; empty when nothing goes

  // outcome
  std::string
      status;  // result, error, denied, not_forwarded, failed, cancelled, no_answer_expected
  std::uint64_t answer_bytes = 0;
  std::string answer_sha256;
  std::uint64_t duration_us = 0;
  // Microseconds by stage, in order; the names are literals, and those of one name are added up.
  std::vector<std::pair<std::string_view, std::uint64_t>> stages_us;
  std::uint64_t progress_events =
      0;  // progress notifications that went to the client before the answer
  std::uint64_t progress_bytes = 0;
  std::string progress_sha256;  // over the events' own SHA-256, one after the other

  // notice
  std::string event;        // stable word, for example "server_request_refused"
  std::uint64_t count = 0;  // how many it stands for
};

// A leaf as one JSON object without a newline, at most kMaxLeaf bytes; docs/reference/ledger.md
// tells each member. Empty texts and zero numbers are left out, save request_bytes of a decision,
// answer_bytes and duration_us of an outcome. A text over kMaxName bytes is cut at a UTF-8
// boundary, with "<member>_len" beside it; bytes that are not UTF-8 become U+FFFD. Where that is
// still too long, `arguments` go (they are counted instead), then `stages_us`, then `rules` and
// `at`, then names are cut shorter, and "cut": true says so.
[[nodiscard]] std::string to_json(const Leaf& leaf, std::uint64_t sequence,
                                  std::chrono::system_clock::time_point time);

// to_json in its two halves, so that the costly one is done before a sequence number is known: the
// members after `seq` and `time`, as an object; and those two put in front of it.
[[nodiscard]] std::string render_members(const Leaf& leaf);
[[nodiscard]] std::string complete(std::string_view members, std::uint64_t sequence,
                                   std::chrono::system_clock::time_point time);

// RFC 3339, UTC, microseconds: "2026-11-23T10:00:00.000000Z".
[[nodiscard]] std::string format_time(std::chrono::system_clock::time_point time);

}  // namespace zwinger::ledger
