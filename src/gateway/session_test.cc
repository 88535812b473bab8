// Whose session is whose, and where a server's words go.
#include "gateway/session.h"

#include <gtest/gtest.h>

#include "json/json.h"

namespace zwinger::gateway {
namespace {

using namespace std::chrono_literals;

Session::Who holder(const std::string& subject, const std::string& task) {
  const auto payload = json::Document::parse(
      R"({"sub":")" + subject + R"(","exp":4102444800,"jti":"j","atr":{"task":{"id":")" + task +
      R"("}}})");
  auto who = identity::read_claims(payload->root(), identity::Proof::replay);
  EXPECT_TRUE(who);
  return std::make_shared<const identity::Authenticated>(*std::move(who));
}

class SessionTest : public ::testing::Test {
 protected:
  std::shared_ptr<Session> begin(const Session::Who& who, const std::string& target = "/mcp/a") {
    auto session = sessions.make(target, who, generation, at);
    EXPECT_TRUE(sessions.add(session, 100));
    return session;
  }
  SystemRandom random;
  Sessions sessions{random};
  Session::Generations generation = std::make_shared<const Generation>();
  Monotonic at{1h};
};

TEST_F(SessionTest, IsFoundByItsOwnerAtItsOwnPathAndByNobodyElse) {
  const auto alice = holder("alice", "t1");
  const auto session = begin(alice);
  EXPECT_EQ(sessions.find(session->id(), "/mcp/a", *alice), session);
  EXPECT_EQ(sessions.find(session->id(), "/mcp/b", *alice), nullptr);
  EXPECT_EQ(sessions.find(session->id(), "/mcp/a", *holder("bob", "t1")), nullptr);
  EXPECT_EQ(sessions.find(session->id(), "/mcp/a", *holder("alice", "t2")), nullptr);
  EXPECT_EQ(sessions.find(session->id() + "0", "/mcp/a", *alice), nullptr);
  EXPECT_EQ(sessions.find("", "/mcp/a", *alice), nullptr);
}

TEST_F(SessionTest, IsNotFoundBeforeItWasAddedNorAfterItEnded) {
  const auto alice = holder("alice", "t1");
  const auto session = sessions.make("/mcp/a", alice, generation, at);
  EXPECT_EQ(sessions.find(session->id(), "/mcp/a", *alice), nullptr);
  ASSERT_TRUE(sessions.add(session, 1));
  EXPECT_FALSE(sessions.add(sessions.make("/mcp/a", alice, generation, at), 1));
  sessions.remove(session->id());
  EXPECT_EQ(sessions.find(session->id(), "/mcp/a", *alice), nullptr);
  EXPECT_TRUE(session->ended());
}

TEST_F(SessionTest, IdsAreLongAndNeverAlike) {
  const auto alice = holder("alice", "t1");
  const auto one = begin(alice);
  const auto other = begin(alice);
  EXPECT_EQ(one->id().size(), 32U);
  EXPECT_NE(one->id(), other->id());
}

TEST_F(SessionTest, OnlyTheIdleAreSweptAndNotThoseThatListen) {
  const auto alice = holder("alice", "t1");
  const auto idle = begin(alice);
  const auto listens = begin(alice);
  const auto used = begin(alice);
  ASSERT_TRUE(listens->standalone()->attach(std::nullopt));
  used->use(alice, generation, at + Sessions::kIdle);
  sessions.sweep(at + Sessions::kIdle + 1s, 0);
  EXPECT_TRUE(idle->ended());
  EXPECT_FALSE(listens->ended());
  EXPECT_FALSE(used->ended());
}

TEST_F(SessionTest, NoneOutlivesItsToken) {
  const auto listens = begin(holder("alice", "t1"));
  ASSERT_TRUE(listens->standalone()->attach(std::nullopt));
  sessions.sweep(at, 4102444800);
  EXPECT_TRUE(listens->ended());
}

TEST_F(SessionTest, AClientsTaskIsThatUpstreamsAloneThatAskedForIt) {
  const auto session = begin(holder("alice", "t1"));
  session->add_client_task("bank", "t-1");
  EXPECT_TRUE(session->has_client_task("bank", "t-1"));
  EXPECT_FALSE(session->has_client_task("mail", "t-1"));
  EXPECT_FALSE(session->has_client_task("bank", "t-2"));
}

TEST_F(SessionTest, WhatBelongsToNoRequestGoesWhereItIsHeard) {
  const auto session = begin(holder("alice", "t1"));
  EXPECT_EQ(session->stream_for_the_rest(false), session->standalone());
  const auto deaf = session->begin_stream(false);
  ASSERT_TRUE(deaf->attach(std::nullopt));
  EXPECT_EQ(session->stream_for_the_rest(false), session->standalone());
  const auto request = session->begin_stream();
  ASSERT_TRUE(request->attach(std::nullopt));
  EXPECT_EQ(session->stream_for_the_rest(false), request) << "the only one that hears";
  EXPECT_EQ(session->stream_for_the_rest(true), session->standalone()) << "its transport says so";
  ASSERT_TRUE(session->standalone()->attach(std::nullopt));
  EXPECT_EQ(session->stream_for_the_rest(false), request) << "one runs: it may belong to that";
  const auto second = session->begin_stream();
  ASSERT_TRUE(second->attach(std::nullopt));
  EXPECT_EQ(session->stream_for_the_rest(false), session->standalone());
}

TEST_F(SessionTest, EndedStreamsAreForgottenInTime) {
  const auto session = begin(holder("alice", "t1"));
  const std::uint64_t first = session->begin_stream()->number();
  for (std::size_t i = 0; i < 3 * Session::kKeptStreams; ++i) session->begin_stream()->finish({});
  EXPECT_TRUE(session->find_stream(first)) << "it has not ended";
  EXPECT_FALSE(session->find_stream(first + 1));
  EXPECT_TRUE(session->find_stream(first + 3 * Session::kKeptStreams));
}

TEST_F(SessionTest, AnAnswerThatNobodyWaitsForIsNone) {
  const auto session = begin(holder("alice", "t1"));
  for (const char* id : {"1", "\"1\"", "99"}) {
    auto answer =
        mcp::parse_message(R"({"jsonrpc":"2.0","id":)" + std::string(id) + R"(,"result":{}})", {});
    EXPECT_FALSE(session->answer(*std::move(answer))) << id;
  }
}

}  // namespace
}  // namespace zwinger::gateway
