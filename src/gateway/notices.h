// Things worth a leaf that are no exchange: refused server requests, dead upstreams, strangers
// without a token.
//
// They come at a stranger's will, so they are counted and written as few leaves: at most one a
// second for each (event, upstream, method, reason), and about kMaxKinds of these; what exceeds
// it is counted by its event alone. note() is thread-safe; the rest happens on the loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>

#include "ledger/ledger.h"
#include "net/loop.h"

namespace zwinger::gateway {

class Notices {
 public:
  Notices(net::Loop& loop, ledger::Ledger& ledger) : loop_(loop), ledger_(ledger) {}

  // Any thread. `event` and `reason` are words of ours; a `method` that MCP does not know becomes
  // "unknown".
  void note(std::string_view event, std::string_view upstream, std::string_view method = {},
            std::string_view reason = {});
  // Writes what has been counted. Loop thread, or after the loops have ended.
  void flush();

 private:
  static constexpr std::size_t kMaxKinds = 64;
  using Kind = std::tuple<std::string, std::string, std::string, std::string>;

  net::Loop& loop_;
  ledger::Ledger& ledger_;
  std::mutex mutex_;
  std::map<Kind, std::uint64_t> counts_;
  bool scheduled_ = false;
};

}  // namespace zwinger::gateway
