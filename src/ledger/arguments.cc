#include "ledger/arguments.h"

#include <algorithm>
#include <array>
#include <utility>

#include "json/canonical.h"
#include "json/writer.h"
#include "text/ascii.h"
#include "text/encoding.h"
#include "text/url.h"
#include "text/utf8.h"

namespace zwinger::ledger {

namespace {

using json::Value;

std::string digest_of(crypto::HmacSha256& mac, std::string_view form) {
  const crypto::Sha256 digest = mac.mac(form);
  return text::hex_encode({reinterpret_cast<const char*>(digest.data()), digest.size() / 2});
}

// Whether a member's name is a word of a program, as far as that can be told, and no secret.
bool is_plain_name(std::string_view name) {
  constexpr std::size_t kMaxName = 64;
  constexpr int kMaxDigits = 5;  // an account or telephone number has more
  constexpr int kMinToken = 16;  // letters and digits in a row
  if (name.empty() || name.size() > kMaxName || text::is_digit(name.front()) ||
      name.front() == '.' || name.front() == '-') {
    return false;
  }
  int digits = 0;
  int run = 0;
  bool run_has_digit = false;
  for (const char c : name) {
    if (text::is_digit(c) || text::is_letter(c)) {
      ++run;
      run_has_digit = run_has_digit || text::is_digit(c);
      digits += text::is_digit(c) ? 1 : 0;
      if (digits > kMaxDigits || (run >= kMinToken && run_has_digit)) return false;
    } else if (c == '_' || c == '.' || c == '$' || c == '-') {
      run = 0;
      run_has_digit = false;
    } else {
      return false;
    }
  }
  return true;
}

// Whether the value is listed as one, whatever it holds.
bool is_whole(const Value& value, std::size_t depth) {
  return value.size() == 0 || depth == kMaxArgumentDepth;
}

std::uint64_t count_values(const Value& value, std::size_t depth) {
  if (is_whole(value, depth)) return 1;
  std::uint64_t count = 0;
  for (const Value child : value.children()) count += count_values(child, depth + 1);
  return count;
}

std::string_view number_shape(std::string_view text, bool has_digest) {
  if (!has_digest) return "huge";
  return text.find_first_of(".eE") == std::string_view::npos ? "integer" : "decimal";
}

// Bytes of it in a leaf, with a comma. All its texts are plain ASCII, without escapes.
std::size_t rendered_size(const ArgumentTrace& trace) {
  std::size_t size = 2;  // {}
  const auto text = [&size](std::string_view member, std::string_view value) {
    constexpr std::size_t kAround = std::string_view(R"("":"",)").size();
    size += member.size() + value.size() + kAround;
  };
  const auto number = [&](std::string_view member, std::uint64_t value) {
    text(member, std::to_string(value));
  };
  text("p", trace.pointer);
  text("t", trace.type);
  number("n", trace.size);
  if (!trace.shape.empty()) text("c", trace.shape);
  if (!trace.host.empty()) text("host", trace.host);
  if (!trace.top.empty()) text("top", trace.top);
  if (trace.shape == "path") number("depth", trace.depth);
  text("h", trace.digest);
  if (trace.times != 1) number("times", trace.times);
  if (trace.more != 0) number("more", trace.more);
  return size;
}

class Summary {
 public:
  explicit Summary(const ArgumentKey& key) : mac_(key.mac()) { traces_.reserve(8); }

  void walk(const Value& value, std::size_t depth) {
    if (digests_ >= kMaxArgumentDigests) {
      more_ += count_values(value, depth);
    } else if (is_whole(value, depth)) {
      take(value);
    } else if (value.is_array()) {
      walk_array(value, depth);
    } else {
      walk_object(value, depth);
    }
  }

  ArgumentSummary finish() && {
    std::size_t size = 2;  // []
    std::size_t listed = 0;
    while (listed < traces_.size()) {
      size += rendered_size(traces_[listed]);
      if (size > kMaxArgumentBytes) break;
      ++listed;
    }
    for (std::size_t i = listed; i < traces_.size(); ++i) {
      more_ += traces_[i].times + traces_[i].more;
    }
    traces_.resize(listed);
    return {.arguments = std::move(traces_), .more = more_};
  }

 private:
  void walk_array(const Value& array, std::size_t depth) {
    const std::size_t before = pointer_.size();
    pointer_ += "/*";
    ++stars_;
    for (const Value element : array.children()) walk(element, depth + 1);
    --stars_;
    pointer_.resize(before);
  }

  void walk_object(const Value& object, std::size_t depth) {
    for (const Value member : object.children()) {
      if (digests_ >= kMaxArgumentDigests) {
        more_ += count_values(member, depth + 1);
        continue;
      }
      const std::size_t before = pointer_.size();
      pointer_ += '/';
      if (is_plain_name(member.name())) {
        pointer_ += member.name();
      } else {
        ++digests_;
        pointer_ += '~';
        pointer_ += digest_of(mac_, json::quote(member.name()));
      }
      walk(member, depth + 1);
      pointer_.resize(before);
    }
  }

  void take(const Value& value) {
    // Only below an array can a pointer come twice.
    std::array<ArgumentTrace*, kMaxAtOnePointer> same{};
    std::size_t known = 0;
    if (stars_ > 0) {
      for (ArgumentTrace& trace : traces_) {
        if (trace.pointer == pointer_) same.at(known++) = &trace;
      }
    }
    const bool full = traces_.size() == kMaxArguments;
    if (full && known == 0) {
      ++more_;
      return;
    }
    std::string digest = digest_of_value(value);
    const std::string_view type = json::to_string(value.kind());
    for (std::size_t i = 0; i < known; ++i) {
      ArgumentTrace& trace = *same.at(i);
      if (trace.digest == digest && trace.type == type && !digest.empty()) {
        ++trace.times;
        return;
      }
    }
    if (full || known == kMaxAtOnePointer) {
      ++same.at(known - 1)->more;
      return;
    }
    add(value, type, std::move(digest));
  }

  void add(const Value& value, std::string_view type, std::string digest) {
    ArgumentTrace trace;
    trace.pointer = pointer_;
    trace.type = type;
    trace.size = value.size();
    trace.digest = std::move(digest);
    if (value.is_string()) {
      trace.size = text::count_code_points(value.string());
      classify_text(value.string(), trace);
    } else if (value.is_number()) {
      trace.shape = number_shape(value.number_text(), !trace.digest.empty());
    }
    traces_.push_back(std::move(trace));
  }

  // Empty for what has no canonical form.
  std::string digest_of_value(const Value& value) {
    ++digests_;
    form_.clear();
    return json::append_canonical(form_, value) ? digest_of(mac_, form_) : std::string();
  }

  crypto::HmacSha256 mac_;
  std::vector<ArgumentTrace> traces_;
  std::string pointer_;  // of the value at hand
  std::string form_;
  std::size_t digests_ = 0;
  std::size_t stars_ = 0;  // in pointer_
  std::uint64_t more_ = 0;
};

}  // namespace

ArgumentSummary summarize_arguments(const Value& arguments, const ArgumentKey& key) {
  if (arguments.is_object() && arguments.size() == 0) return {};
  Summary summary(key);
  summary.walk(arguments, 0);
  return std::move(summary).finish();
}

ResourceTrace trace_resource(std::string_view uri, const ArgumentKey& key) {
  ResourceTrace trace;
  trace.scheme = uri_scheme(uri);
  if (auto host = text::canonical_url_host(uri)) trace.host = *std::move(host);
  crypto::HmacSha256 mac = key.mac();
  trace.digest = digest_of(mac, json::quote(uri));
  return trace;
}

}  // namespace zwinger::ledger
