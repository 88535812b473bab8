// What a client is told, in which order, and what is kept for one that comes back.
#include "gateway/client_stream.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "net/test_loop.h"

namespace zwinger::gateway {
namespace {

using Kind = ClientStream::Next::Kind;
using Form = ClientStream::Form;

class ClientStreamTest : public net::LoopTest {
 protected:
  void poll_until(const bool& done) {
    while (!done) loop.poll();
  }
  // What comes next, without waiting.
  ClientStream::Next next(ClientStream& stream, std::uint64_t reader, Form form = Form::stream) {
    ClientStream::Next out;
    bool done = false;
    loop.spawn([](net::Loop& l, ClientStream& s, std::uint64_t r, Form f, ClientStream::Next& into,
                  bool& over) -> Task<void> {
      auto waiting = s.next(l, r, f, net::Loop::now());
      into = co_await waiting;
      over = true;
    }(loop, stream, reader, form, out, done));
    poll_until(done);
    return out;
  }
  std::vector<std::string> events(ClientStream& stream, std::uint64_t reader) {
    std::vector<std::string> out;
    for (auto now = next(stream, reader); now.kind == Kind::event; now = next(stream, reader)) {
      out.push_back(*now.message);
    }
    return out;
  }
  static FinalAnswer answer(std::string message) {
    FinalAnswer out;
    out.message = std::move(message);
    return out;
  }

  std::shared_ptr<EventStore> store = std::make_shared<EventStore>();
};

using Events = std::vector<std::string>;

TEST_F(ClientStreamTest, AnAnswerThatComesFirstNeedsNoStream) {
  ClientStream stream(2, store);
  const auto reader = stream.attach(std::nullopt);
  EXPECT_EQ(next(stream, *reader, Form::undecided).kind, Kind::timeout);
  stream.finish(answer("a"));
  const auto told = next(stream, *reader, Form::undecided);
  EXPECT_EQ(told.kind, Kind::answer);
  EXPECT_EQ(*told.message, "a");
}

TEST_F(ClientStreamTest, EventsComeInOrderAndTheAnswerLast) {
  ClientStream stream(2, store);
  const auto reader = stream.attach(std::nullopt);
  stream.append("1");
  stream.append("2");
  stream.finish(answer("3"));
  stream.append("too late");
  EXPECT_EQ(next(stream, *reader, Form::undecided).kind, Kind::opened);
  EXPECT_EQ(events(stream, *reader), (Events{"1", "2", "3"}));
  EXPECT_EQ(next(stream, *reader).kind, Kind::ended);
}

TEST_F(ClientStreamTest, AnOpenedStreamStaysOneForASingleAnswer) {
  ClientStream stream(2, store);
  const auto reader = stream.attach(std::nullopt);
  stream.open();
  stream.finish(answer("a"));
  EXPECT_EQ(next(stream, *reader, Form::undecided).kind, Kind::opened);
  EXPECT_EQ(events(stream, *reader), (Events{"a"}));
}

TEST_F(ClientStreamTest, WhoComesBackGetsTheRestAndNothingTwice) {
  ClientStream stream(2, store);
  const auto first = stream.attach(std::nullopt);
  stream.append("1");
  stream.append("2");
  EXPECT_EQ(*next(stream, *first).message, "1");
  stream.detach(*first);
  stream.append("3");
  const auto again = stream.attach(1);
  ASSERT_TRUE(again);
  EXPECT_EQ(events(stream, *again), (Events{"2", "3"}));
  EXPECT_EQ(next(stream, *first).kind, Kind::detached);
}

TEST_F(ClientStreamTest, ALaterReaderTakesOver) {
  ClientStream stream(2, store);
  const auto first = stream.attach(std::nullopt);
  const auto second = stream.attach(0);
  stream.append("1");
  EXPECT_EQ(next(stream, *first).kind, Kind::detached);
  EXPECT_EQ(events(stream, *second), (Events{"1"}));
  stream.detach(*first);  // of no effect: it is not the reader
  EXPECT_TRUE(stream.attached());
}

TEST_F(ClientStreamTest, NobodyResumesBehindWhatNeverWas) {
  ClientStream stream(2, store);
  stream.append("1");
  EXPECT_FALSE(stream.attach(2));
  EXPECT_TRUE(stream.attach(1));
}

TEST_F(ClientStreamTest, WithoutAReaderTheOldestGoWhenTheBoundIsReached) {
  ClientStream stream(2, store);
  const std::string large(ClientStream::kKeptBytes / 2, 'x');
  for (int i = 0; i < 4; ++i) stream.append(large);
  EXPECT_GE(stream.dropped(), 2U);
  EXPECT_FALSE(stream.attach(0)) << "events behind it are gone, so nothing is resumed in silence";
  EXPECT_LE(store->used.load(), ClientStream::kKeptBytes);
}

TEST_F(ClientStreamTest, TheGatewaysBoundHoldsForAllStreams) {
  store->limit = 10;
  ClientStream one(2, store);
  ClientStream other(3, store);
  for (int i = 0; i < 8; ++i) {
    one.append("12345");
    other.append("12345");
  }
  EXPECT_LE(store->used.load(), 10U);
}

TEST_F(ClientStreamTest, WhatItKeptIsGivenBack) {
  {
    ClientStream stream(2, store);
    stream.append("12345");
    EXPECT_EQ(store->used.load(), 5U);
  }
  EXPECT_EQ(store->used.load(), 0U);
}

TEST_F(ClientStreamTest, AProducerWaitsForAReaderThatLags) {
  ClientStream stream(2, store);
  const auto reader = stream.attach(std::nullopt);
  stream.append(std::string(ClientStream::kHighWater + 1, 'x'));
  bool went_on = false;
  loop.spawn([](net::Loop& l, ClientStream& s, bool& on) -> Task<void> {
    auto room = s.room(l);
    co_await room;
    on = true;
  }(loop, stream, went_on));
  loop.poll();
  EXPECT_FALSE(went_on);
  EXPECT_EQ(next(stream, *reader).kind, Kind::event);
  loop.poll();
  EXPECT_TRUE(went_on);
}

TEST_F(ClientStreamTest, AReaderThatLeavesHoldsNobodyUp) {
  ClientStream stream(2, store);
  const auto reader = stream.attach(std::nullopt);
  stream.append(std::string(ClientStream::kHighWater + 1, 'x'));
  int went_on = 0;
  for (int i = 0; i < 2; ++i) {
    loop.spawn([](net::Loop& l, ClientStream& s, int& on) -> Task<void> {
      auto room = s.room(l);
      co_await room;
      ++on;
    }(loop, stream, went_on));
  }
  stream.detach(*reader);
  loop.poll();
  EXPECT_EQ(went_on, 2);
}

TEST_F(ClientStreamTest, APauseIsToldOnceAndOnlyBehindWhatCameBefore) {
  ClientStream stream(2, store);
  const auto reader = stream.attach(std::nullopt);
  stream.append("1");
  stream.set_retry(200);
  stream.pause(200);
  EXPECT_EQ(next(stream, *reader).kind, Kind::retry);
  EXPECT_EQ(next(stream, *reader).kind, Kind::event);
  EXPECT_EQ(next(stream, *reader).kind, Kind::paused);
  EXPECT_EQ(next(stream, *reader).kind, Kind::timeout);
}

TEST_F(ClientStreamTest, AStreamThatIsShutTellsNothingMore) {
  ClientStream stream(2, store);
  const auto reader = stream.attach(std::nullopt);
  stream.append("1");
  stream.shut();
  EXPECT_EQ(next(stream, *reader).kind, Kind::detached);
  const auto later = stream.attach(0);
  EXPECT_EQ(next(stream, later.value_or(0)).kind, Kind::detached);
}

TEST_F(ClientStreamTest, WithoutAStoreNothingIsKeptOnceItWasTold) {
  ClientStream stream(0, nullptr);
  const auto reader = stream.attach(std::nullopt);
  stream.append("1");
  stream.append("2");
  EXPECT_EQ(events(stream, *reader), (Events{"1", "2"}));
  stream.append("3");
  EXPECT_FALSE(stream.attach(1));
}

}  // namespace
}  // namespace zwinger::gateway
