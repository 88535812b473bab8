// One entry of the record. This is the provisional shape: names, sizes, verdicts and reasons, never
// content. Plain values; any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
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

struct Leaf {
  LeafKind kind = LeafKind::notice;
  std::string
      call;  // call id that joins decision and outcome; empty for boot, stop and most notices
  std::string generation;  // digest of the policy directory that judged it

  // who
  std::string issuer, tenant, subject, session, proof;
  std::string transport;  // http or stdio

  // what
  std::string method;  // MCP method
  std::string upstream;
  std::string tool;  // raw name
  std::uint64_t request_bytes = 0;

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
// still too long, `rules` and `at` go, then names are cut shorter, and "cut": true says so.
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
