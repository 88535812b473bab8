// What an engine says of an exchange. Plain values, usable from any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace zwinger {

enum class Decision { allow, deny, require_approval, transform };

[[nodiscard]] std::string_view to_string(Decision decision);

// A default-made verdict denies: whoever forgets to fill one in has refused the exchange.
struct Verdict {
  Decision decision = Decision::deny;
  Code reason = Code::internal;  // meaningless when decision is allow
  std::string at;    // JSON pointer into the arguments, or a tool identity; may be empty
  std::string text;  // one sentence for humans; quotes no argument value
  std::vector<std::string> rules;  // ids of the rules that spoke

  [[nodiscard]] bool allowed() const { return decision == Decision::allow; }
  // The reason's stable name, or "ok".
  [[nodiscard]] std::string_view reason_name() const {
    return allowed() ? std::string_view("ok") : name(reason);
  }

  static Verdict allow() {
    return {
        .decision = Decision::allow, .reason = Code::internal, .at = {}, .text = {}, .rules = {}};
  }
  static Verdict deny(Code reason, std::string at = {}, std::string text = {});
  static Verdict deny(const Error& error);
};

}  // namespace zwinger
