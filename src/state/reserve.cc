#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "state/store.h"

namespace zwinger::state {

namespace {

// The whole text as a number, or nothing: what cannot be read is never taken for zero.
template <class Number>
std::optional<Number> parse(std::string_view text) {
  Number number = 0;
  const char* begin = text.data();
  const char* end = begin + text.size();
  const auto [stop, error] = std::from_chars(begin, end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

Result<void> put(Store& store, std::string_view key, const Versioned& before,
                 std::string_view value) {
  ZWINGER_TRY(const bool set, store.compare_and_swap(key, before.version, value));
  if (!set) return fail(Code::state_unavailable, "an entry changed inside a transaction");
  return {};
}

std::unexpected<Error> damaged(std::string_view what) {
  return fail(Code::state_unavailable,
              "a stored " + std::string(what) + " cannot be read, so nothing is allowed");
}

// How long a session has been seen. The mark holds the earliest and the latest time it was seen at,
// so that its age never shrinks: neither a clock set back nor one that ran ahead lets a session
// live longer.
struct SessionMark {
  std::int64_t first = 0;
  std::int64_t latest = 0;

  static std::optional<SessionMark> read(std::string_view text) {
    const std::size_t space = text.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    const auto first = parse<std::int64_t>(text.substr(0, space));
    const auto latest = parse<std::int64_t>(text.substr(space + 1));
    if (!first || !latest || *first > *latest) return std::nullopt;
    return SessionMark{.first = *first, .latest = *latest};
  }
  [[nodiscard]] std::string write() const {
    return std::to_string(first) + ' ' + std::to_string(latest);
  }
  [[nodiscard]] bool at_least(std::int64_t seconds) const {
    std::int64_t age = 0;
    return __builtin_sub_overflow(latest, first, &age) || age >= seconds;
  }
};

Result<SessionMark> see_session(Store& store, std::string_view key, std::int64_t now) {
  ZWINGER_TRY(const Versioned before, store.get(key));
  SessionMark mark{.first = now, .latest = now};
  if (before.version != 0) {
    const auto stored = SessionMark::read(before.value);
    if (!stored) return damaged("session mark");
    mark = {.first = std::min(stored->first, now), .latest = std::max(stored->latest, now)};
  }
  if (std::string value = mark.write(); value != before.value) {
    ZWINGER_CHECK_OK(put(store, key, before, value));
  }
  return mark;
}

Result<void> count_one(Store& store, const Reservation::Count& count) {
  ZWINGER_TRY(const Versioned before, store.get(count.key));
  std::uint64_t used = 0;
  if (before.version != 0) {
    const auto stored = parse<std::uint64_t>(before.value);
    if (!stored) return damaged("counter");
    used = *stored;
  }
  if (used >= count.limit) {
    return fail(count.refusal, std::string(info(count.refusal).text), count.key);
  }
  return put(store, count.key, before, std::to_string(used + 1));
}

}  // namespace

Result<void> reserve(Store& store, const Reservation& reservation) {
  bool expired = false;
  ZWINGER_CHECK_OK(store.transaction([&](Store& inner) -> Result<void> {
    if (!reservation.session_key.empty()) {
      ZWINGER_TRY(const SessionMark mark,
                  see_session(inner, reservation.session_key, reservation.now));
      expired = reservation.session_ttl && mark.at_least(*reservation.session_ttl);
      // Commits the mark, and nothing else: that the session was seen to be over must outlast the
      // clock.
      if (expired) return {};
    } else if (reservation.session_ttl) {
      return fail(Code::internal, "a session's age was asked for, but no session was named");
    }
    for (const auto& count : reservation.counts) {
      ZWINGER_CHECK_OK(count_one(inner, count));
    }
    return {};
  }));
  if (expired) {
    const Code refusal = reservation.session_refusal;
    return fail(refusal, std::string(info(refusal).text), reservation.session_key);
  }
  return {};
}

}  // namespace zwinger::state
