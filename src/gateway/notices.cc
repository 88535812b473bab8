#include "gateway/notices.h"

#include <chrono>
#include <utility>
#include <vector>

#include "mcp/revision.h"

namespace zwinger::gateway {

void Notices::note(std::string_view event, std::string_view upstream, std::string_view method,
                   std::string_view reason) {
  const std::lock_guard lock(mutex_);
  if (!method.empty() && !mcp::is_known_method(method)) method = "unknown";
  Kind kind(event, upstream, method, reason);
  // Events are few, so beyond the bound they stay apart from each other, whoever caused them.
  if (counts_.size() >= kMaxKinds && !counts_.contains(kind)) kind = Kind(event, "", "", "");
  ++counts_[std::move(kind)];
  if (std::exchange(scheduled_, true)) return;
  loop_.post(
      [this] { loop_.call_at(net::Loop::now() + std::chrono::seconds(1), [this] { flush(); }); });
}

void Notices::flush() {
  std::vector<ledger::Leaf> leaves;
  {
    const std::lock_guard lock(mutex_);
    scheduled_ = false;
    for (auto& [kind, count] : counts_) {
      ledger::Leaf leaf;
      leaf.kind = ledger::LeafKind::notice;
      leaf.event = std::get<0>(kind);
      leaf.upstream = std::get<1>(kind);
      leaf.method = std::get<2>(kind);
      leaf.reason = std::get<3>(kind);
      leaf.count = count;
      leaves.push_back(std::move(leaf));
    }
    counts_.clear();
  }
  // Nothing waits for a notice; when the record fails, every exchange is denied and says so.
  if (!leaves.empty()) ledger_.append(std::move(leaves), [](const Result<void>&) {});
}

}  // namespace zwinger::gateway
