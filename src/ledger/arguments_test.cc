#include "ledger/arguments.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <thread>

#include "base/files.h"
#include "json/canonical.h"
#include "json/writer.h"
#include "text/encoding.h"

namespace zwinger::ledger {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;

const std::string key_bytes(kArgumentKeySize, 'k');

ArgumentSummary summarize(const std::string& text, const std::string& key = key_bytes) {
  const auto document = json::Document::parse(text);
  if (!document) {
    ADD_FAILURE() << document.error().to_string();
    return {};
  }
  return summarize_arguments(document->root(), ArgumentKey(key));
}

// What the documentation says a digest is.
std::string digest(std::string_view canonical, const std::string& key = key_bytes) {
  return text::hex_encode(crypto::hmac_sha256(key, canonical)).substr(0, 32);
}

std::vector<std::string> pointers(const ArgumentSummary& summary) {
  std::vector<std::string> out;
  out.reserve(summary.arguments.size());
  for (const ArgumentTrace& trace : summary.arguments) out.push_back(trace.pointer);
  return out;
}

// Values that a summary accounts for, one way or the other.
std::uint64_t accounted(const ArgumentSummary& summary) {
  std::uint64_t count = summary.more;
  for (const ArgumentTrace& trace : summary.arguments) count += trace.times + trace.more;
  return count;
}

std::string rendered(const ArgumentSummary& summary) {
  Leaf leaf;
  leaf.kind = LeafKind::decision;
  leaf.arguments = summary.arguments;
  leaf.arguments_more = summary.more;
  return to_json(leaf, 1, {});
}

// The list alone, as it stands in a leaf.
std::string rendered_list(const ArgumentSummary& summary) {
  const auto document = json::Document::parse(rendered(summary));
  const auto list = document ? document->root().find("args") : std::nullopt;
  return list ? std::string(list->source()) : std::string();
}

TEST(Arguments, EachValueIsDescribedAndNoneIsTold) {
  const ArgumentSummary summary =
      summarize(R"({"to":"ann@example.org","amount":12.50,"count":3,"urgent":true,"note":null,)"
                R"("link":"https://API.Example.org/x?key=s3cret","file":"/home/ann/plan.txt"})");
  EXPECT_EQ(summary.more, 0);
  EXPECT_EQ(rendered_list(summary),
            R"([{"p":"/to","t":"string","n":15,"c":"email","h":")" +
                digest(R"("ann@example.org")") +
                R"("},{"p":"/amount","t":"number","c":"decimal","h":")" + digest("12.5") +
                R"("},{"p":"/count","t":"number","c":"integer","h":")" + digest("3") +
                R"("},{"p":"/urgent","t":"boolean","h":")" + digest("true") +
                R"("},{"p":"/note","t":"null","h":")" + digest("null") +
                R"("},{"p":"/link","t":"string","n":36,"c":"url","host":"api.example.org","h":")" +
                digest(R"("https://API.Example.org/x?key=s3cret")") +
                R"("},{"p":"/file","t":"string","n":18,"c":"path","top":"home","depth":3,"h":")" +
                digest(R"("/home/ann/plan.txt")") + R"("}])");
}

TEST(Arguments, LengthsAreCodePoints) {
  const ArgumentSummary summary = summarize("{\"a\":\"\u00e4\u20ac\U0001F600x\",\"b\":\"\"}");
  ASSERT_EQ(summary.arguments.size(), 2);
  EXPECT_EQ(summary.arguments[0].size, 4);
  EXPECT_EQ(summary.arguments[1].size, 0);
  EXPECT_EQ(summary.arguments[1].shape, "empty");
}

TEST(Arguments, NestedValuesHaveTheirPointer) {
  EXPECT_EQ(pointers(summarize(R"({"a":{"b":{"c":1,"d":2}},"e":[[3],{"f":4}]})")),
            (std::vector<std::string>{"/a/b/c", "/a/b/d", "/e/*/*", "/e/*/f"}));
}

TEST(Arguments, EmptyContainersAreValues) {
  const ArgumentSummary summary = summarize(R"({"a":{},"b":[],"c":[[],{}]})");
  ASSERT_EQ(pointers(summary), (std::vector<std::string>{"/a", "/b", "/c/*", "/c/*"}));
  EXPECT_EQ(summary.arguments[0].type, "object");
  EXPECT_EQ(summary.arguments[0].digest, digest("{}"));
  EXPECT_EQ(summary.arguments[1].type, "array");
  EXPECT_EQ(summary.arguments[1].size, 0);
  EXPECT_TRUE(summarize("{}").arguments.empty());
  EXPECT_EQ(summarize("{}").more, 0);
}

TEST(Arguments, ADeepContainerIsOneValue) {
  const ArgumentSummary summary =
      summarize(R"({"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"z":1, "b":[2]}}}}}}}}})");
  ASSERT_EQ(pointers(summary), std::vector<std::string>{"/a/a/a/a/a/a/a/a"});
  EXPECT_EQ(summary.arguments[0].type, "object");
  EXPECT_EQ(summary.arguments[0].size, 2);
  EXPECT_EQ(summary.arguments[0].digest, digest(R"({"b":[2],"z":1})"));
}

TEST(Arguments, ElementsOfAnArrayShareAPointer) {
  const ArgumentSummary summary = summarize(R"({"to":["x@e.org","y@e.org","x@e.org","x@e.org"]})");
  ASSERT_EQ(pointers(summary), (std::vector<std::string>{"/to/*", "/to/*"}));
  EXPECT_EQ(summary.arguments[0].times, 3);
  EXPECT_EQ(summary.arguments[1].times, 1);
  EXPECT_EQ(summary.arguments[0].more, 0);
}

TEST(Arguments, FourDifferentElementsAreListedAndTheRestIsCountedThere) {
  const ArgumentSummary summary =
      summarize(R"({"ids":["a","b","c","d","e","a","f","e"],"last":"x"})");
  ASSERT_EQ(pointers(summary),
            (std::vector<std::string>{"/ids/*", "/ids/*", "/ids/*", "/ids/*", "/last"}));
  EXPECT_EQ(summary.arguments[0].times, 2);
  EXPECT_EQ(summary.arguments[3].more, 3) << "e, f, e";
  EXPECT_EQ(summary.more, 0) << "nothing is missing but at one pointer";
  EXPECT_EQ(accounted(summary), 9);
}

TEST(Arguments, ObjectsInArraysFoldByMember) {
  const ArgumentSummary summary =
      summarize(R"({"rows":[{"id":1,"on":true},{"id":2,"on":true},{"id":1,"on":true}]})");
  EXPECT_EQ(pointers(summary),
            (std::vector<std::string>{"/rows/*/id", "/rows/*/on", "/rows/*/id"}));
  EXPECT_EQ(summary.arguments[0].times, 2);
  EXPECT_EQ(summary.arguments[1].times, 3);
}

TEST(Arguments, EqualTextAndNumberAreDifferentValues) {
  const ArgumentSummary summary = summarize(R"({"a":[1,"1",true,"true"]})");
  EXPECT_EQ(summary.arguments.size(), 4);
}

TEST(Arguments, OneValueHasOneDigestHoweverItIsSpelled) {
  const ArgumentSummary summary =
      summarize(R"({"a":[100,1e2,100.0],"b":["\u0041\/","A/"],"c":[{"x":[{"y":{}}]}],"d":"A/"})");
  ASSERT_EQ(pointers(summary), (std::vector<std::string>{"/a/*", "/b/*", "/c/*/x/*/y", "/d"}));
  EXPECT_EQ(summary.arguments[0].times, 3);
  EXPECT_EQ(summary.arguments[1].times, 2);
  EXPECT_EQ(summary.arguments[1].digest, summary.arguments[3].digest) << "at any pointer";
}

TEST(Arguments, AnotherKeyGivesOtherDigests) {
  const std::string other(kArgumentKeySize, 'o');
  EXPECT_NE(summarize(R"({"a":1})").arguments[0].digest,
            summarize(R"({"a":1})", other).arguments[0].digest);
}

TEST(Arguments, ANumberThatNoDoubleHoldsHasNoDigestAndEqualsNothing) {
  const ArgumentSummary summary = summarize(R"({"a":[1e999,1e999]})");
  ASSERT_EQ(summary.arguments.size(), 2);
  EXPECT_EQ(summary.arguments[0].shape, "huge");
  EXPECT_EQ(summary.arguments[0].digest, "");
  EXPECT_EQ(rendered_list(summarize(R"({"a":-1e999})")), R"([{"p":"/a","t":"number","c":"huge"}])");
}

TEST(Arguments, NamesThatMayBeSecretsAreDigests) {
  for (const auto* name :
       {"", "two words", "ann@example.org", "a/b", "a~b", "9lives", "-x", ".x", "caf\u00e9",
        "line\nbreak", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "AKIAIOSFODNN7EXAMPLE",
        "DE02120300000000202051", "tel_491701234567", "eyJhbGciOiJIUzI1NiJ9", "*",
        "a2345678901234567890123456789012345678901234567890123456789012345"}) {
    json::Writer source;
    source.begin_object().key(name).integer(1).end_object();
    const ArgumentSummary summary = summarize(std::move(source).take());
    ASSERT_EQ(summary.arguments.size(), 1) << name;
    EXPECT_EQ(summary.arguments[0].pointer, "/~" + digest(json::quote(name))) << name;
  }
  for (const auto* name :
       {"to", "$ref", "_meta", "user-id", "user.name", "iso_3166_1", "sha256", "X-Api-Version",
        "include_archived_conversations", "a1b2c3", "averyveryverylongnamewithoutanydigitsinit"}) {
    json::Writer source;
    source.begin_object().key(name).integer(1).end_object();
    EXPECT_EQ(pointers(summarize(std::move(source).take())), std::vector<std::string>{"/"s + name});
  }
}

TEST(Arguments, AtMostTwentyFourAreListed) {
  json::Writer source;
  source.begin_object();
  for (char c = 'A'; c <= 'Z'; ++c) source.key(std::string(1, c)).null();
  source.key("last").begin_array().integer(1).integer(2).end_array().end_object();
  const ArgumentSummary summary = summarize(std::move(source).take());
  EXPECT_EQ(summary.arguments.size(), kMaxArguments);
  EXPECT_EQ(summary.more, 26 + 2 - kMaxArguments);
}

TEST(Arguments, AtMostTwoKibibytesAreListed) {
  json::Writer source;
  source.begin_object();
  for (int i = 10; i < 30; ++i) {
    source.key(std::string(40, 'n') + std::to_string(i)).begin_object();
    source.key(std::string(40, 'm')).string("https://host.example.org/").end_object();
  }
  source.end_object();
  const ArgumentSummary summary = summarize(std::move(source).take());
  EXPECT_LT(summary.arguments.size(), 20);
  EXPECT_GT(summary.arguments.size(), 8);
  EXPECT_EQ(accounted(summary), 20);
  const std::size_t size = rendered_list(summary).size();
  EXPECT_LE(size, kMaxArgumentBytes);
  EXPECT_GT(size, kMaxArgumentBytes - 250) << "what fits is listed";
}

// A megabyte of values costs a walk and no more than kMaxArgumentDigests hashes; all are counted.
TEST(Arguments, ManyValuesAreCounted) {
  json::Writer source;
  source.begin_object().key("a").begin_array();
  for (int i = 0; i < 100000; ++i) source.integer(i);
  source.end_array().key("b").begin_object();
  for (int i = 0; i < 1000; ++i) source.key("secret " + std::to_string(i)).null();
  source.end_object().end_object();
  const ArgumentSummary summary = summarize(std::move(source).take());
  EXPECT_EQ(pointers(summary), (std::vector<std::string>{"/a/*", "/a/*", "/a/*", "/a/*"}));
  EXPECT_EQ(summary.arguments[3].more, kMaxArgumentDigests - 4);
  EXPECT_EQ(accounted(summary), 101000);
}

std::string shape_of(std::string_view text) {
  ArgumentTrace trace;
  classify_text(text, trace);
  std::string out(trace.shape);
  if (!trace.host.empty()) out += ' ' + trace.host;
  if (trace.shape == "path") {
    out += ' ' + std::string(trace.top) + ' ' + std::to_string(trace.depth);
  }
  return out;
}

TEST(Arguments, TextsHaveShapes) {
  for (const auto& [text, shape] : std::vector<std::pair<std::string, std::string>>{
           {"", "empty"},
           {"/", "path  0"},
           {"/etc/passwd", "path etc 2"},
           {"/etc//./x/../passwd", "path etc 2"},
           {"/Users/ann/Documents/a b.txt", "path Users 4"},
           {"/ann/secret", "path  2"},
           {"/etc/../../x", "odd_path"},
           {"/a/%2e%2e/b", "odd_path"},
           {"/first line\nsecond line", "text"},
           {"relative/path.txt", "text"},
           {"https://Example.ORG:443/a?b#c", "url example.org"},
           {"http://127.0.0.1/", "url 127.0.0.1"},
           {"wss://[::1]/x", "url [::1]"},
           {"https://user@example.org/", "uri"},
           {"https://0x7f.1/", "uri"},
           {"postgres://db/app", "uri"},
           {"file:///etc/passwd", "uri"},
           {"file:/etc/passwd", "uri"},
           {"JavaScript:alert(1)", "uri"},
           {"data:text/plain,hello", "uri"},
           {"mailto:ann@example.org", "uri"},
           {"note: call ann", "text"},
           {"see https://example.org", "text"},
           {"true", "boolean"},
           {"false", "boolean"},
           {"True", "word"},
           {"42", "integer"},
           {"-42", "integer"},
           {"+49170123456", "integer"},
           {"12.50", "decimal"},
           {"1.2.3", "word"},
           {"12.", "word"},
           {"-", "word"},
           {"1e5", "word"},
           {"550e8400-e29b-41d4-a716-446655440000", "uuid"},
           {"550E8400-E29B-41D4-A716-446655440000", "uuid"},
           {"550e8400-e29b-41d4-a716-44665544000g", "word"},
           {"2026-11-25", "date"},
           {"2026-11-25T10:00:00.5+01:00", "date"},
           {"2026-11-25 10:00", "date"},
           {"2026-11-25 to 2026-11-30", "text"},
           {"2026-11-25Tsomething", "word"},
           {"ann@example.org", "email"},
           {"ann.lee+x@mail.example.org", "email"},
           {"ann@localhost", "text"},
           {"@example.org", "text"},
           {"ann@ex ample.org", "text"},
           {"ann@one.org, ben@two.org", "text"},
           {"deadbeef01", "hex"},
           {"defaced", "word"},
           {"facade", "word"},
           {"dGhpcyBpcyBhIHNlY3JldCE5OTk=", "base64"},
           {"dGhpcyBpcyBhIHNlY3JldCE5OTk", "base64"},
           {"dGhpcyBpcw==", "text"},
           {"open", "word"},
           {"in_progress", "word"},
           {"v1.2.3-beta", "word"},
           {std::string(64, 'w'), "word"},
           {std::string(65, 'w'), "text"},
           {"two words", "text"},
           {"caf\u00e9", "text"},
           {"/" + std::string(5000, 'a'), "text"},
           {"https://example.org/" + std::string(5000, 'a'), "text"},
       }) {
    EXPECT_EQ(shape_of(text), shape) << text;
  }
}

TEST(Arguments, OfAResourceOnlySchemeAndHostAreKept) {
  const ArgumentKey key(key_bytes);
  const ResourceTrace url = trace_resource("HTTPS://Example.org/a?token=s3cret", key);
  EXPECT_EQ(url.scheme, "https");
  EXPECT_EQ(url.host, "example.org");
  EXPECT_EQ(url.digest, digest(R"("HTTPS://Example.org/a?token=s3cret")"));
  const ResourceTrace file = trace_resource("file:///home/ann/plan", key);
  EXPECT_EQ(file.scheme, "file");
  EXPECT_EQ(file.host, "");
  for (const auto* odd : {"", "no scheme", "9x:y", "sk-verylongsecretscheme:x", ":x", "a b:c"}) {
    const ResourceTrace trace = trace_resource(odd, key);
    EXPECT_EQ(trace.scheme, "") << odd;
    EXPECT_EQ(trace.host, "") << odd;
    EXPECT_EQ(trace.digest.size(), 32) << odd;
  }
}

// Random trees of nasty parts: bounds hold, everything is accounted for, and no string of the
// arguments is in the leaf.
class Nasty {
 public:
  explicit Nasty(unsigned seed) : random_(seed) {}

  std::string object() {
    json::Writer out;
    write_object(out, 0);
    return std::move(out).take();
  }

 private:
  unsigned below(unsigned n) { return static_cast<unsigned>(random_()) % n; }

  void write_object(json::Writer& out, unsigned depth) {
    out.begin_object();
    for (unsigned i = below(7); i > 0; --i) {
      // Numbered, so that no name comes twice.
      const std::string number = std::to_string(i);
      switch (below(3)) {
        case 0:
          out.key("name" + number);
          break;
        case 1:
          out.key("SECRET " + number);
          break;
        default:
          out.key(std::string(60, 'n') + number);
      }
      write_value(out, depth + 1);
    }
    out.end_object();
  }

  void write_value(json::Writer& out, unsigned depth) {
    switch (below(depth > 12 ? 5 : 8)) {
      case 0:
        out.string("SECRET \x01\xF0\x9F\x98\x80" + std::to_string(below(3)));
        break;
      case 1:
        out.string("https://" + std::string(60, 'h') + ".example.org/SECRET");
        break;
      case 2:
        out.string("/home/SECRET/" + std::to_string(below(9)));
        break;
      case 3:
        out.raw(below(2) == 0 ? "1e999" : "-0.5e-7");
        break;
      case 4:
        out.null();
        break;
      case 5:
        write_object(out, depth);
        break;
      default:
        out.begin_array();
        for (unsigned i = below(9); i > 0; --i) write_value(out, depth + 1);
        out.end_array();
    }
  }

  std::minstd_rand random_;
};

std::uint64_t count(const json::Value& value, std::size_t depth) {
  if (value.size() == 0 || depth == kMaxArgumentDepth) return 1;
  std::uint64_t values = 0;
  for (const json::Value child : value.children()) values += count(child, depth + 1);
  return values;
}

TEST(Arguments, NothingBreaksTheBounds) {
  for (unsigned seed = 1; seed <= 400; ++seed) {
    const std::string source = Nasty(seed).object();
    const auto document = json::Document::parse(source);
    ASSERT_TRUE(document) << source;
    const ArgumentSummary summary = summarize_arguments(document->root(), ArgumentKey(key_bytes));
    EXPECT_LE(summary.arguments.size(), kMaxArguments);
    EXPECT_LE(rendered_list(summary).size(), kMaxArgumentBytes);
    EXPECT_EQ(accounted(summary), source == "{}" ? 0 : count(document->root(), 0)) << source;
    EXPECT_EQ(rendered(summary).find("SECRET"), std::string::npos) << rendered(summary);
    for (const ArgumentTrace& trace : summary.arguments) {
      EXPECT_LE(std::ranges::count(trace.pointer, '/'), kMaxArgumentDepth);
      EXPECT_LE(std::ranges::count(summary.arguments, trace.pointer, &ArgumentTrace::pointer),
                kMaxAtOnePointer);
    }
  }
}

class ArgumentKeyFile : public testing::Test {
 protected:
  ArgumentKeyFile() {
    std::string pattern = (fs::temp_directory_path() / "zwinger-key-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
  }
  ArgumentKeyFile(const ArgumentKeyFile&) = delete;
  ArgumentKeyFile& operator=(const ArgumentKeyFile&) = delete;
  ~ArgumentKeyFile() override {
    std::error_code ignored;
    fs::remove_all(folder, ignored);
  }

  [[nodiscard]] fs::path path() const { return folder / "argument-key"; }
  // A digest of some value, or the name of the error's code.
  std::string use(Random& random) const {
    const auto key = load_or_create_argument_key(path(), random);
    if (!key) return std::string(name(key.error().code));
    return text::hex_encode(std::string_view(
        reinterpret_cast<const char*>(key->mac().mac("value").data()), sizeof(crypto::Sha256)));
  }
  void put(std::string_view content, mode_t mode) const {
    ASSERT_TRUE(write_file_atomically(path(), content, mode));
  }

  fs::path folder;  // NOLINT(misc-non-private-member-variables-in-classes)
};

TEST_F(ArgumentKeyFile, IsMadeOnceAndReadAgain) {
  SystemRandom random;
  const std::string first = use(random);
  EXPECT_EQ(first.size(), 64);
  EXPECT_EQ(use(random), first);
  struct stat st{};
  ASSERT_EQ(::stat(path().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777U, 0600U);
  EXPECT_EQ(st.st_size, static_cast<off_t>(kArgumentKeySize));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 1)
      << "nothing else is left behind";
  EXPECT_EQ(first, text::hex_encode(
                       crypto::hmac_sha256(*read_private_file(path(), kArgumentKeySize), "value")));
}

TEST_F(ArgumentKeyFile, OfAnotherFolderIsAnotherKey) {
  SystemRandom random;
  const std::string first = use(random);
  folder /= "missing/folders";
  EXPECT_NE(use(random), first);
  folder = folder.parent_path().parent_path();
}

TEST_F(ArgumentKeyFile, IsRefusedWhenItIsNoPrivateKey) {
  SystemRandom random;
  put(key_bytes, 0640);
  EXPECT_EQ(use(random), "ledger_unavailable");
  put(key_bytes.substr(1), 0600);
  EXPECT_EQ(use(random), "ledger_unavailable");
  put(key_bytes + "x", 0600);
  EXPECT_EQ(use(random), "ledger_unavailable");
  put("", 0600);
  EXPECT_EQ(use(random), "ledger_unavailable");
  fs::remove(path());
  fs::create_symlink(folder / "nowhere", path());
  EXPECT_EQ(use(random), "ledger_unavailable");
  fs::remove(path());
  fs::create_directory(path());
  EXPECT_EQ(use(random), "ledger_unavailable");
  fs::remove(path());
  put(key_bytes, 0600);
  EXPECT_EQ(use(random), text::hex_encode(crypto::hmac_sha256(key_bytes, "value")));
}

TEST_F(ArgumentKeyFile, IsNotMadeWhereNothingCanBe) {
  SystemRandom random;
  std::ofstream(folder / "file") << "x";
  const auto key = load_or_create_argument_key(folder / "file" / "argument-key", random);
  ASSERT_FALSE(key);
  EXPECT_EQ(key.error().code, Code::ledger_unavailable);
}

TEST_F(ArgumentKeyFile, IsTheSameForAllWhoStartTogether) {
  std::vector<std::string> seen(8);
  {
    std::vector<std::jthread> threads;
    threads.reserve(seen.size());
    for (std::string& mine : seen) {
      threads.emplace_back([this, &mine] {
        SystemRandom random;
        mine = use(random);
      });
    }
  }
  EXPECT_EQ(seen[0].size(), 64);
  EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), 1);
}

}  // namespace
}  // namespace zwinger::ledger
