#include "text/url.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace zwinger::text {
namespace {

TEST(Host, HasOneCanonicalForm) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"Bank.Example", "bank.example"},
      {"bank.example.", "bank.example"},
      {"localhost", "localhost"},
      {"a_b.c-d.example", "a_b.c-d.example"},
      {"xn--bcher-kva.example", "xn--bcher-kva.example"},
      {"1password.example", "1password.example"},
      {"0x7f.example", "0x7f.example"},
      {"10.0.0.255", "10.0.0.255"},
      {"10.0.0.1.", "10.0.0.1"},
      {"[::1]", "[::1]"},
      {"[2001:DB8:0:0:0:0:0:1]", "[2001:db8::1]"},
      {"[2001:db8:0:1:0:0:0:1]", "[2001:db8:0:1::1]"},
      {"[2001:db8:0:1:1:1:1:1]", "[2001:db8:0:1:1:1:1:1]"},  // RFC 5952 section 4.2.2
      {"[::ffff:7f00:1]", "[::ffff:127.0.0.1]"},
      {std::string(63, 'a') + ".example", std::string(63, 'a') + ".example"},
  };
  for (const auto& [host, canonical] : cases) EXPECT_EQ(canonical_host(host), canonical) << host;
}

TEST(Host, WhatParsersReadDifferentlyIsNoHost) {
  std::vector<std::string> bad = {
      "",
      ".",
      "..",
      ".bank.example",
      "bank..example",
      "bank.example..",
      "bank example",
      "bank.example\t",
      "bank%2eexample",
      "bank.example%00",
      "b\u00E4nk.example",
      "\uFF42ank.example",
      "bank\u3002example",
      "b\u0430nk.example",
      "bank.example:443",
      "user@bank.example",
      "bank,example",
      "bank;example",
      "bank/example",
      "*.example",
      "127.1",
      "2130706433",
      "0x7f000001",
      "0X7F.0.0.1",
      "0177.0.0.1",
      "127.0.0.01",
      "127.0.0.0x1",
      "0x",
      "127.0.0.256",
      "1.2.3.4.5",
      "1.2.3",
      "foo.1",
      "foo.0xff",
      "4294967296",
      "::1",
      "[::1",
      "[]",
      "[::1%25eth0]",
      "[::1%eth0]",
      "[fe80::1::2]",
      "[127.0.0.1]",
      "[v1.x]",
      "[::1]x",
      "[::01.2.3.4]",
      std::string(64, 'a') + ".example",
  };
  bad.emplace_back("[::1\0]", 6);
  std::string longest = "a";
  for (int i = 0; i < 126; ++i) longest += ".a";
  EXPECT_EQ(canonical_host(longest), longest);  // 253 bytes
  bad.push_back("a" + longest);
  for (const std::string& host : bad) EXPECT_EQ(canonical_host(host), std::nullopt) << host;
}

TEST(Url, YieldsTheHostThatEveryParserFinds) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"https://bank.example", "bank.example"},
      {"HTTPS://BANK.example./a?b=c#d", "bank.example"},
      {"http://bank.example:8080/x", "bank.example"},
      {"http://bank.example:65535", "bank.example"},
      {"wss://bank.example?x=1", "bank.example"},
      {"ws://bank.example#x", "bank.example"},
      {"ftp://bank.example/x", "bank.example"},
      {"https://bank.example/@user", "bank.example"},
      {"https://bank.example/?mail=a@b.example", "bank.example"},
      {"https://bank.example/\u00E4", "bank.example"},
      {"https://[2001:db8::1]:443/", "[2001:db8::1]"},
      {"https://evil.example/https://bank.example", "evil.example"},
      {"https://bank.example.evil.example/", "bank.example.evil.example"},
      {"https://evil.example?https://bank.example/", "evil.example"},
  };
  for (const auto& [url, host] : cases) EXPECT_EQ(canonical_url_host(url), host) << url;
}

TEST(Url, WhatParsersReadDifferentlyHasNoHost) {
  for (const std::string_view url : std::vector<std::string_view>{
           "",
           "bank.example",
           "//bank.example/",
           "/x",
           "https:bank.example",
           "https:/bank.example",
           "https:///bank.example",
           "https://",
           "https://?x",
           "https://:443/",
           "mailto:a@bank.example",
           "data:text/html,x",
           "javascript://bank.example/%0aalert(1)",
           "file://bank.example/etc/passwd",
           "gopher://bank.example/",
           "view-source:https://bank.example/",
           "https://user@bank.example/",
           "https://bank.example@evil.example/",
           "https://bank.example:443@evil.example/",
           "https://@bank.example/",
           "https://bank.example?@evil.example/",
           "https://bank.example#@evil.example/",
           "https://bank.example%40evil.example/",
           "https://bank.example\\@evil.example/",
           "https:\\\\bank.example/",
           "https://bank.example/\\evil.example",
           "https://bank.example%2f.evil.example/",
           " https://bank.example/",
           "https://bank.example/ ",
           "https://bank.example\t/",
           "https://ba\nnk.example/",
           "https://bank.example/\x01",
           "https://bank.example/\x7f",
           "https://bank.example/\xC2\x80",
           "https://bank.example:/",
           "https://bank.example:65536/",
           "https://bank.example:+443/",
           "https://bank.example:443:80/",
           "https://bank.example:0x1bb/",
           "https://bank.example:000443/",
           "https://\uFF42ank.example/",
           "https://bank\uFF0Eexample/",
           "https://evil.example\uFF0F.bank.example/",
           "https://127.1/",
           "https://0x7f.0.0.1/",
           "https://2130706433/",
           "https://::1/",
           "https://[::1]x/",
           "https://[::1",
       }) {
    EXPECT_EQ(canonical_url_host(url), std::nullopt) << url;
  }
}

}  // namespace
}  // namespace zwinger::text
