#include "crypto/hmac.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "text/encoding.h"

namespace zwinger::crypto {
namespace {

std::string hex(const Sha256& mac) {
  return text::hex_encode({reinterpret_cast<const char*>(mac.data()), mac.size()});
}

struct Vector {
  std::string key;
  std::string message;
  std::string mac;
};

// RFC 4231 section 4, HMAC-SHA-256. The fifth case is published cut to 128 bits.
std::vector<Vector> rfc4231() {
  std::string counting;
  for (char c = 1; c <= 25; ++c) counting += c;
  return {
      {std::string(20, '\x0b'), "Hi There",
       "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
      {"Jefe", "what do ya want for nothing?",
       "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
      {std::string(20, '\xaa'), std::string(50, '\xdd'),
       "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
      {counting, std::string(50, '\xcd'),
       "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
      {std::string(20, '\x0c'), "Test With Truncation", "a3b6167473100ee06e0c796c2955552b"},
      {std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First",
       "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
      {std::string(131, '\xaa'),
       "This is a test using a larger than block-size key and a larger than block-size data. The "
       "key needs to be hashed before being used by the HMAC algorithm.",
       "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
  };
}

TEST(Hmac, MatchesRfc4231) {
  for (const Vector& vector : rfc4231()) {
    const std::string mac = hmac_sha256(vector.key, vector.message);
    ASSERT_EQ(mac.size(), 32);
    EXPECT_EQ(text::hex_encode(mac).substr(0, vector.mac.size()), vector.mac) << vector.message;
  }
}

TEST(Hmac, AKeyedObjectStartsAnewWithEachMessage) {
  for (const Vector& vector : rfc4231()) {
    HmacSha256 keyed(vector.key);
    const std::string first = hex(keyed.mac(vector.message));
    EXPECT_EQ(first.substr(0, vector.mac.size()), vector.mac);
    EXPECT_NE(hex(keyed.mac(vector.message + "x")), first);
    EXPECT_EQ(hex(keyed.mac(vector.message)), first);
  }
}

TEST(Hmac, EmptyKeysAndMessagesAreKeysAndMessages) {
  // HMAC with no key and no message, as published with HMAC's examples.
  constexpr std::string_view kNothing =
      "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad";
  EXPECT_EQ(text::hex_encode(hmac_sha256({}, {})), kNothing);
  HmacSha256 keyed("key");
  (void)keyed.mac("something");
  keyed = HmacSha256(std::string_view());
  EXPECT_EQ(hex(keyed.mac({})), kNothing);
}

TEST(Hmac, CopiesHaveTheKeyAndNothingElseInCommon) {
  HmacSha256 original("Jefe");
  HmacSha256 copy = original;
  (void)copy.mac("something else");
  const auto vectors = rfc4231();
  EXPECT_EQ(hex(original.mac(vectors[1].message)), vectors[1].mac);
  EXPECT_EQ(hex(copy.mac(vectors[1].message)), vectors[1].mac);
  copy = HmacSha256(vectors[0].key);
  EXPECT_EQ(hex(copy.mac(vectors[0].message)), vectors[0].mac);
  original = copy;
  EXPECT_EQ(hex(original.mac(vectors[0].message)), vectors[0].mac);
  const HmacSha256 moved = std::move(original);
  EXPECT_EQ(hex(HmacSha256(moved).mac(vectors[0].message)), vectors[0].mac);
}

TEST(Hmac, ManyThreadsMayCopyOneKey) {
  const HmacSha256 shared("Jefe");
  const std::string message = rfc4231()[1].message;
  const std::string expected = rfc4231()[1].mac;
  std::array<int, 4> wrong{};
  {
    std::vector<std::jthread> threads;
    threads.reserve(wrong.size());
    for (int& count : wrong) {
      threads.emplace_back([&shared, &message, &expected, &count] {
        for (int i = 0; i < 500; ++i) {
          HmacSha256 mine(shared);
          if (hex(mine.mac(message)) != expected) ++count;
        }
      });
    }
  }
  EXPECT_EQ(wrong, (std::array<int, 4>{}));
}

}  // namespace
}  // namespace zwinger::crypto
