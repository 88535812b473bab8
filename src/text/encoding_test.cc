#include "text/encoding.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace zwinger::text {
namespace {

TEST(Base64Url, RoundTripsTheVectorsOfRfc4648) {
  const std::vector<std::pair<std::string, std::string>> vectors = {
      {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
      {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xFB\xFF", "-_8"}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(base64url_encode(bytes), text);
    EXPECT_EQ(base64url_decode(text), bytes);
  }
}

TEST(Base64Url, RoundTripsEveryByte) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_EQ(base64url_decode(base64url_encode(all)), all);
}

TEST(Base64Url, HasOneSpellingPerValue) {
  for (const std::string_view bad :
       {"Zg==", "Zg=", "Z", "Zm9vY", "Zh", "Zm9", "+_8", "-/8", "Zg\n", " Zg", "Z.g", "Z\xC3"}) {
    EXPECT_EQ(base64url_decode(bad), std::nullopt) << bad;
  }
}

TEST(Hex, IsLowerCase) {
  EXPECT_EQ(hex_encode(std::string_view("\x00\x7F\xAB\xFF", 4)), "007fabff");
}

}  // namespace
}  // namespace zwinger::text
