// Who gets what from the admin listener.
#include "gateway/admin.h"

#include <gtest/gtest.h>

#include "gateway/meters.h"

namespace zwinger::gateway {
namespace {

net::HttpRequest get(std::string path, net::HttpHeaders headers = {}) {
  net::HttpRequest out;
  out.method = "GET";
  out.target = path;
  out.path = std::move(path);
  out.headers = std::move(headers);
  return out;
}

class AdminTest : public ::testing::Test {
 protected:
  Admin admin(std::optional<std::string> token = std::nullopt) {
    return Admin({.registry = registry, .not_ready = [this] { return trouble; }, .token = token});
  }
  metrics::Registry registry;
  Meters meters{registry};
  std::optional<Error> trouble;
};

TEST_F(AdminTest, HealthIsNotReadiness) {
  trouble = Error{Code::ledger_unavailable, "the disk is full", {}};
  EXPECT_EQ(admin().answer(get("/healthz")).status, 200);
  const auto ready = admin().answer(get("/readyz"));
  EXPECT_EQ(ready.status, 503);
  EXPECT_NE(ready.body.find("ledger_unavailable"), std::string::npos);
  trouble.reset();
  EXPECT_EQ(admin().answer(get("/readyz")).status, 200);
}

TEST_F(AdminTest, MetricsAreThoseThatWereCounted) {
  meters.decided("bank", "client", "deny", "tool_not_in_scope");
  const auto metrics = admin().answer(get("/metrics"));
  EXPECT_EQ(metrics.status, 200);
  EXPECT_NE(metrics.body.find("zwinger_decisions_total{upstream=\"bank\",direction=\"client\","
                              "verdict=\"deny\",reason=\"tool_not_in_scope\"} 1"),
            std::string::npos)
      << metrics.body;
}

TEST_F(AdminTest, WhereATokenIsNeededNothingGoesWithoutIt) {
  const Admin closed = admin("a-token-of-some-length");
  for (const char* path : {"/healthz", "/readyz", "/metrics", "/nowhere"}) {
    EXPECT_EQ(closed.answer(get(path)).status, 401) << path;
    EXPECT_EQ(closed.answer(get(path, {{"authorization", "Bearer wrong"}})).status, 401) << path;
    EXPECT_EQ(closed
                  .answer(get(path, {{"authorization", "Bearer a-token-of-some-length"},
                                     {"authorization", "Bearer a-token-of-some-length"}}))
                  .status,
              401)
        << path;
  }
  EXPECT_EQ(
      closed.answer(get("/healthz", {{"authorization", "Bearer a-token-of-some-length"}})).status,
      200);
}

TEST_F(AdminTest, NothingElseIsThere) {
  EXPECT_EQ(admin().answer(get("/mcp")).status, 404);
  net::HttpRequest post = get("/metrics");
  post.method = "POST";
  EXPECT_EQ(admin().answer(post).status, 405);
}

}  // namespace
}  // namespace zwinger::gateway
