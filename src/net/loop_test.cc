#include "net/loop.h"

#include <csignal>
#include <memory>
#include <thread>
#include <vector>

#include "net/one_shot.h"
#include "net/test_loop.h"

namespace zwinger::net {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

class LoopCore : public LoopTest {};

TEST_F(LoopCore, PostNeverRunsInsideTheCallAndKeepsItsOrder) {
  std::vector<int> order;
  loop.post([&] {
    loop.post([&] { order.push_back(3); });
    order.push_back(1);
  });
  loop.post([&] { order.push_back(2); });
  EXPECT_TRUE(order.empty());
  loop.poll();
  EXPECT_EQ(order, (std::vector{1, 2, 3}));
}

TEST_F(LoopCore, TimersRunInOrderOfTheirTimeAndCancelledOnesDoNot) {
  std::vector<int> order;
  const Monotonic now = Loop::now();
  loop.call_at(now - milliseconds(1), [&] { order.push_back(2); });
  loop.call_at(now - milliseconds(2), [&] { order.push_back(1); });
  const auto cancelled = loop.call_at(now - milliseconds(3), [&] { order.push_back(9); });
  loop.call_at(now + hours(1), [&] { order.push_back(8); });
  loop.cancel(cancelled);
  loop.cancel(cancelled);
  loop.poll();
  EXPECT_EQ(order, (std::vector{1, 2}));
}

TEST_F(LoopCore, ATimerMayCancelAnotherOneThatIsDueToo) {
  bool ran = false;
  Loop::TimerId second = 0;
  loop.call_at(Loop::now() - milliseconds(2), [&] { loop.cancel(second); });
  second = loop.call_at(Loop::now() - milliseconds(1), [&] { ran = true; });
  loop.poll();
  EXPECT_FALSE(ran);
}

TEST_F(LoopCore, AnEarlierTimerOvertakesTheOneThatIsArmed) {
  run([&]() -> Task<void> {
    auto late = std::make_shared<OneShot<int>>(loop);
    loop.call_at(Loop::now() + hours(1), [late] { late->set(1); });
    const Monotonic start = Loop::now();
    auto sleep = loop.sleep(milliseconds(5));
    co_await sleep;
    EXPECT_GE(Loop::now() - start, milliseconds(5));
  }());
}

TEST_F(LoopCore, StopBeforeRunMakesRunReturn) {
  loop.stop();
  loop.run();
}

TEST_F(LoopCore, PostFromManyThreadsRunsEverythingOnTheLoopsThread) {
  constexpr int kThreads = 4;
  constexpr int kEach = 500;
  int count = 0;  // no lock: only the loop's thread touches it, which tsan checks
  std::vector<std::jthread> threads;
  threads.reserve(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        loop.post([&] {
          EXPECT_TRUE(loop.on_loop_thread());
          if (++count == kThreads * kEach) loop.stop();
        });
      }
    });
  }
  loop.run();
  EXPECT_EQ(count, kThreads * kEach);
}

TEST_F(LoopCore, ASignalReachesItsCallbackEveryTime) {
  run([&]() -> Task<void> {
    for (int i = 0; i < 2; ++i) {
      auto arrived = std::make_shared<OneShot<int>>(loop);
      loop.on_signal(SIGHUP, [arrived] { arrived->set(1); });
      ::raise(SIGHUP);
      auto wait = arrived->wait();
      EXPECT_TRUE((co_await wait).has_value());
    }
  }());
}

// Notes its own end.
struct Guard {
  explicit Guard(int& count) : count(count) {}
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  ~Guard() { ++count; }
  int& count;  // NOLINT(cppcoreguidelines-avoid-const-or-ref-data-members)
};

TEST_F(LoopCore, SuspendedCoroutinesAreDestroyedBeforeRunReturns) {
  int destroyed = 0;
  bool resumed = false;
  auto never = std::make_shared<OneShot<int>>(loop);
  auto sleeper = [&]() -> Task<void> {
    const Guard guard(destroyed);
    auto sleep = loop.sleep(hours(1));
    co_await sleep;
    resumed = true;
  };
  auto waiter = [&]() -> Task<void> {
    const Guard guard(destroyed);
    auto wait = never->wait_until(soon());
    co_await wait;
    resumed = true;
  };
  loop.spawn(sleeper());
  loop.spawn(waiter());
  loop.post([&] { loop.stop(); });
  loop.run();
  EXPECT_EQ(destroyed, 2);
  EXPECT_FALSE(never->set(1)) << "nobody waits any more";
  EXPECT_FALSE(resumed);
}

TEST_F(LoopCore, CallbacksThatWereNeverRunAreDestroyedWithTheLoop) {
  int destroyed = 0;
  {
    Loop other;
    other.post([&other, guard = std::make_unique<Guard>(destroyed)] { other.stop(); });
    other.call_at(Loop::now() + hours(1), [guard = std::make_unique<Guard>(destroyed)] {});
  }
  EXPECT_EQ(destroyed, 2);
}

TEST_F(LoopCore, AOneShotGivesTheFirstValueOnly) {
  run([&]() -> Task<void> {
    auto value = std::make_shared<OneShot<int>>(loop);
    EXPECT_TRUE(value->set(1));
    EXPECT_FALSE(value->set(2));
    auto wait = value->wait_until(Loop::now() -
                                  hours(1));  // there already, so the deadline does not matter
    const std::optional<int> got = co_await wait;
    EXPECT_EQ(got, 1);
  }());
}

TEST_F(LoopCore, AOneShotWhoseDeadlineComesFirstRefusesItsValue) {
  run([&]() -> Task<void> {
    auto value = std::make_shared<OneShot<int>>(loop);
    auto wait = value->wait_until(Loop::now() + milliseconds(1));
    const std::optional<int> got = co_await wait;
    EXPECT_FALSE(got.has_value());
    EXPECT_FALSE(value->set(1));
  }());
}

TEST_F(LoopCore, AOneShotSetByAnotherThreadAtItsDeadlineResumesExactlyOnce) {
  run([&]() -> Task<void> {
    for (int i = 0; i < 200; ++i) {
      auto value = std::make_shared<OneShot<int>>(loop);
      const Monotonic deadline = Loop::now() + std::chrono::microseconds(200);
      bool accepted = false;
      std::jthread setter([value, deadline, &accepted] {
        std::this_thread::sleep_until(deadline);
        accepted = value->set(1);
      });
      auto wait = value->wait_until(deadline);
      const std::optional<int> got = co_await wait;
      setter.join();
      EXPECT_EQ(got.has_value(), accepted);
      EXPECT_TRUE(loop.on_loop_thread());
    }
  }());
}

}  // namespace
}  // namespace zwinger::net
