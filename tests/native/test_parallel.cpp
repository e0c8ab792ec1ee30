#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <cfenv>
#include <chrono>
#include <csignal>
#include <mutex>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/parallel.h"

using lamina::parallel_for;

namespace {

using Blocks = std::vector<std::pair<int64_t, int64_t>>;

class Threads {
 public:
  explicit Threads(int n) : before_(lamina::num_threads()) { lamina::set_num_threads(n); }
  ~Threads() { lamina::set_num_threads(before_); }

 private:
  int before_;
};

Blocks blocks_of(int64_t n, int64_t grain) {
  std::mutex mutex;
  Blocks blocks;
  parallel_for(n, grain, [&](int64_t begin, int64_t end) {
    const std::lock_guard lock(mutex);
    blocks.emplace_back(begin, end);
  });
  std::sort(blocks.begin(), blocks.end());
  return blocks;
}

// Waits until `count` blocks are running at the same time; false if that takes too long.
bool meet(std::atomic<int>& arrived, int count) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  arrived.fetch_add(1);
  while (arrived.load() < count) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

// One region that really has `count` threads in it, so that all its workers exist and have run.
bool run_on_all(int count) {
  std::atomic<int> arrived{0};
  std::atomic<bool> met{true};
  parallel_for(count, 1, [&](int64_t, int64_t) {
    if (!meet(arrived, count)) met = false;
  });
  return met;
}

// What `body` returns in a forked child; -1 if the child did not end by itself in time.
template <class Body>
int in_child(Body body) {
  const pid_t pid = fork();
  if (pid == 0) _exit(body());
  for (int tries = 0; tries < 2000; ++tries) {
    int status = 0;
    if (waitpid(pid, &status, WNOHANG) == pid) return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  return -1;
}

int64_t sum_to(int64_t n) {
  std::atomic<int64_t> total{0};
  parallel_for(n, 7, [&](int64_t begin, int64_t end) {
    int64_t part = 0;
    for (int64_t i = begin; i < end; ++i) part += i;
    total.fetch_add(part);
  });
  return total;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(parallel)

BOOST_AUTO_TEST_CASE(every_index_once_and_the_same_blocks_on_any_thread_count) {
  for (const int64_t n : {0, 1, 2, 7, 64, 1000, 1023}) {
    for (const int64_t grain : {-3, 0, 1, 3, 64, 1000, 5000}) {
      Blocks expected;
      const int64_t step = std::max<int64_t>(grain, 1);
      for (int64_t b = 0; b < n; b += step) expected.emplace_back(b, std::min(n, b + step));
      for (int threads = 1; threads <= 8; ++threads) {
        const Threads scope(threads);
        BOOST_TEST((blocks_of(n, grain) == expected),
                   "n " << n << " grain " << grain << " threads " << threads);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(nothing_to_do_calls_nothing) {
  parallel_for(0, 1, [](int64_t, int64_t) { BOOST_ERROR("called"); });
  parallel_for(-5, 1, [](int64_t, int64_t) { BOOST_ERROR("called"); });
}

BOOST_AUTO_TEST_CASE(very_long_ranges_keep_their_boundaries) {
  const Threads scope(3);
  const int64_t grain = int64_t{1} << 60;
  const int64_t n = INT64_MAX;
  const Blocks blocks = blocks_of(n, grain);
  BOOST_REQUIRE_EQUAL(blocks.size(), 8u);
  BOOST_TEST(blocks.back().first == 7 * grain);
  BOOST_TEST(blocks.back().second == n);
}

BOOST_AUTO_TEST_CASE(as_many_threads_as_asked_for_work_together) {
  for (const int threads : {1, 2, 5, 8, 3}) {
    const Threads scope(threads);
    BOOST_TEST(run_on_all(threads), threads << " threads did not meet");
  }
}

BOOST_AUTO_TEST_CASE(never_more_threads_than_asked_for) {
  {
    const Threads scope(8);
    BOOST_REQUIRE(run_on_all(8));  // seven workers exist from here on
  }
  const Threads scope(3);
  for (int round = 0; round < 200; ++round) {
    std::mutex mutex;
    std::set<std::thread::id> seen;
    parallel_for(64, 1, [&](int64_t, int64_t) {
      const std::lock_guard lock(mutex);
      seen.insert(std::this_thread::get_id());
    });
    BOOST_REQUIRE_LE(seen.size(), 3u);
  }
}

BOOST_AUTO_TEST_CASE(one_block_is_a_plain_call) {
  const Threads scope(4);
  const auto caller = std::this_thread::get_id();
  parallel_for(10, 10, [&](int64_t begin, int64_t end) {
    BOOST_TEST(begin == 0);
    BOOST_TEST(end == 10);
    BOOST_TEST((std::this_thread::get_id() == caller));
    BOOST_TEST(!lamina::in_parallel_region());
  });
}

BOOST_AUTO_TEST_CASE(nested_calls_run_on_the_calling_thread) {
  const Threads scope(4);
  std::atomic<int64_t> total{0};
  std::atomic<int> elsewhere{0};
  std::atomic<int> outside{0};
  BOOST_TEST(!lamina::in_parallel_region());
  parallel_for(16, 1, [&](int64_t, int64_t) {
    if (!lamina::in_parallel_region()) ++outside;
    const auto here = std::this_thread::get_id();
    parallel_for(100, 9, [&](int64_t begin, int64_t end) {
      if (std::this_thread::get_id() != here) ++elsewhere;
      total += end - begin;
    });
  });
  BOOST_TEST(total == 1600);
  BOOST_TEST(elsewhere == 0);
  BOOST_TEST(outside == 0);
  BOOST_TEST(!lamina::in_parallel_region());
}

BOOST_AUTO_TEST_CASE(the_exception_of_the_first_failing_block_arrives) {
  for (int threads = 1; threads <= 6; ++threads) {
    const Threads scope(threads);
    for (int round = 0; round < 50; ++round) {
      std::atomic<int> before{0};
      const auto region = [&] {
        parallel_for(100, 1, [&](int64_t i, int64_t) {
          if (i < 41) ++before;
          if (i == 41 || i == 42 || i == 97) {
            throw std::runtime_error("block " + std::to_string(i));
          }
        });
      };
      BOOST_CHECK_EXCEPTION(region(), std::runtime_error, [](const std::runtime_error& e) {
        return std::string(e.what()) == "block 41";
      });
      BOOST_REQUIRE_EQUAL(before, 41);
      BOOST_REQUIRE(!lamina::in_parallel_region());
    }
    BOOST_TEST(sum_to(1000) == 499500);  // the pool still works
  }
}

BOOST_AUTO_TEST_CASE(the_first_block_wins_even_when_it_throws_last) {
  const Threads scope(2);
  std::atomic<int> arrived{0};
  std::atomic<bool> second_has_thrown{false};
  const auto region = [&] {
    parallel_for(2, 1, [&](int64_t i, int64_t) {
      meet(arrived, 2);
      if (i == 1) {
        second_has_thrown = true;
        throw std::runtime_error("block 1");
      }
      while (!second_has_thrown) std::this_thread::yield();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      throw std::runtime_error("block 0");
    });
  };
  BOOST_CHECK_EXCEPTION(region(), std::runtime_error, [](const std::runtime_error& e) {
    return std::string(e.what()) == "block 0";
  });
}

BOOST_AUTO_TEST_CASE(callers_on_several_threads_each_get_their_own_result) {
  const Threads scope(3);
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&wrong, caller] {
      for (int64_t round = 0; round < 300; ++round) {
        const int64_t n = 50 + 37 * caller + round;
        if (sum_to(n) != n * (n - 1) / 2) ++wrong;
      }
    });
  }
  for (auto& caller : callers) caller.join();
  BOOST_TEST(wrong == 0);
}

BOOST_AUTO_TEST_CASE(a_busy_pool_does_not_hold_up_another_caller) {
  const Threads scope(2);
  std::atomic<int> inside{0};
  std::atomic<bool> release{false};
  std::thread holder([&] {
    parallel_for(2, 1, [&](int64_t, int64_t) {
      ++inside;
      while (!release) std::this_thread::yield();
    });
  });
  while (inside < 1) std::this_thread::yield();
  const auto here = std::this_thread::get_id();
  std::atomic<int> elsewhere{0};
  parallel_for(8, 1, [&](int64_t, int64_t) {
    if (std::this_thread::get_id() != here) ++elsewhere;
  });
  BOOST_TEST(elsewhere == 0);
  release = true;
  holder.join();
}

BOOST_AUTO_TEST_CASE(regions_after_the_workers_have_gone_to_sleep) {
  const Threads scope(2);
  for (int round = 0; round < 20; ++round) {
    BOOST_REQUIRE(run_on_all(2));
    std::this_thread::sleep_for(std::chrono::milliseconds(round % 3));
  }
}

BOOST_AUTO_TEST_CASE(the_caller_sleeps_through_a_long_block) {
  const Threads scope(2);
  const auto caller = std::this_thread::get_id();
  std::atomic<int> arrived{0};
  std::atomic<bool> finished{false};
  parallel_for(2, 1, [&](int64_t, int64_t) {
    meet(arrived, 2);
    if (std::this_thread::get_id() == caller) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    finished = true;
  });
  BOOST_TEST(finished);
}

BOOST_AUTO_TEST_CASE(changing_the_thread_count_between_regions) {
  const Threads scope(1);
  for (int round = 0; round < 400; ++round) {
    lamina::set_num_threads(1 + (round * 5) % 8);
    BOOST_REQUIRE_EQUAL(sum_to(500), 124750);
  }
}

BOOST_AUTO_TEST_CASE(workers_round_as_the_caller_does) {
  const Threads scope(4);
  for (const int mode : {FE_UPWARD, FE_TONEAREST, FE_DOWNWARD, FE_TONEAREST}) {
    BOOST_REQUIRE_EQUAL(std::fesetround(mode), 0);
    std::atomic<int> arrived{0};
    std::atomic<int> wrong{0};
    parallel_for(4, 1, [&](int64_t, int64_t) {
      meet(arrived, 4);
      // To nearest, 1/3 is rounded up and 7/10 down.
      volatile float one = 1, three = 3, seven = 7, ten = 10;
      const float third = one / three;
      const float seven_tenths = seven / ten;
      if (third != (mode == FE_DOWNWARD ? 0x1.555554p-2f : 0x1.555556p-2f)) ++wrong;
      if (seven_tenths != (mode == FE_UPWARD ? 0x1.666668p-1f : 0x1.666666p-1f)) ++wrong;
    });
    BOOST_REQUIRE_EQUAL(std::fesetround(FE_TONEAREST), 0);
    BOOST_TEST(wrong == 0, "rounding mode " << mode);
  }
}

BOOST_AUTO_TEST_CASE(workers_take_no_signals) {
  const Threads scope(4);
  std::atomic<int> arrived{0};
  std::atomic<int> open{0};
  const auto caller = std::this_thread::get_id();
  parallel_for(4, 1, [&](int64_t, int64_t) {
    meet(arrived, 4);
    if (std::this_thread::get_id() == caller) return;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    for (const int signal : {SIGINT, SIGTERM, SIGCHLD, SIGUSR1}) {
      if (!sigismember(&mask, signal)) ++open;
    }
  });
  BOOST_TEST(open == 0);
}

BOOST_AUTO_TEST_CASE(the_pool_works_in_a_forked_child) {
  for (const int pause_ms : {0, 5}) {  // forked while the workers spin, and while they sleep
    const Threads scope(4);
    BOOST_REQUIRE(run_on_all(4));
    std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
    const int code = in_child([] {
      if (!run_on_all(4) || sum_to(1000) != 499500) return 1;
      return in_child([] { return run_on_all(3) ? 42 : 2; });  // and in a child of the child
    });
    BOOST_TEST(code == 42);
    BOOST_TEST(run_on_all(4));  // and still in the parent
  }
}

BOOST_AUTO_TEST_CASE(a_fork_while_another_thread_is_in_a_region) {
  const Threads scope(2);
  std::atomic<int> inside{0};
  std::atomic<bool> release{false};
  std::thread holder([&] {
    parallel_for(2, 1, [&](int64_t, int64_t) {
      ++inside;
      while (!release) std::this_thread::yield();
    });
  });
  while (inside < 2) std::this_thread::yield();
  BOOST_TEST(in_child([] { return run_on_all(2) ? 42 : 1; }) == 42);
  release = true;
  holder.join();
}

BOOST_AUTO_TEST_CASE(a_child_forked_inside_a_block_gets_an_error_not_a_hang) {
  const Threads scope(2);
  const auto caller = std::this_thread::get_id();
  std::atomic<int> arrived{0};
  std::atomic<int> code{0};
  const pid_t parent = getpid();
  try {
    parallel_for(2, 1, [&](int64_t, int64_t) {
      meet(arrived, 2);
      if (std::this_thread::get_id() != caller) return;
      const pid_t pid = fork();
      if (pid == 0) return;  // the child leaves its block as if nothing had happened
      int status = 0;
      waitpid(pid, &status, 0);
      code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    });
    if (getpid() != parent) _exit(1);
  } catch (const lamina::RuntimeError&) {
    _exit(getpid() == parent ? 2 : 42);
  }
  BOOST_TEST(code == 42);
}

BOOST_AUTO_TEST_CASE(the_process_exits_cleanly_with_live_workers) {
  const Threads scope(4);
  for (const int pause_ms : {0, 2}) {
    const pid_t pid = fork();
    if (pid == 0) {
      const bool met = run_on_all(4);
      std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
      std::quick_exit(met ? 42 : 1);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    BOOST_TEST(WIFEXITED(status));
    BOOST_TEST(WEXITSTATUS(status) == 42);
  }
}

BOOST_AUTO_TEST_CASE(thread_counts_out_of_range_are_refused) {
  const int before = lamina::num_threads();
  BOOST_TEST(before >= 1);
  for (const int n : {0, -1, lamina::kMaxThreads + 1}) {
    BOOST_CHECK_EXCEPTION(
        lamina::set_num_threads(n), lamina::ValueError, [n](const lamina::ValueError& e) {
          return std::string(e.what()) ==
                 "set_num_threads: expected 1 to 256 threads, got " + std::to_string(n);
        });
  }
  BOOST_TEST(lamina::num_threads() == before);
}

BOOST_AUTO_TEST_CASE(the_environment_sets_the_thread_count) {
  using lamina::detail::threads_from_env;
  BOOST_TEST(threads_from_env(nullptr, nullptr, 6) == 6);
  BOOST_TEST(threads_from_env("", "", 6) == 6);
  BOOST_TEST(threads_from_env("3", "5", 6) == 3);
  BOOST_TEST(threads_from_env(nullptr, "5", 6) == 5);
  BOOST_TEST(threads_from_env(nullptr, " 5 ,2", 6) == 5);
  BOOST_TEST(threads_from_env("99999999999999", nullptr, 6) == lamina::kMaxThreads);
  for (const char* bad : {"0", "-2", "abc", "2x", "1.5", " ", "-99999999999999"}) {
    BOOST_CHECK_EXCEPTION(
        threads_from_env(bad, "2", 6), lamina::ValueError, [bad](const lamina::ValueError& e) {
          return std::string(e.what()) == std::string(
                                              "LAMINA_NUM_THREADS: expected a positive integer, "
                                              "got '") +
                                              bad + "'";
        });
  }
  BOOST_CHECK_EXCEPTION(threads_from_env(nullptr, ",2", 6), lamina::ValueError,
                        [](const lamina::ValueError& e) {
                          return std::string(e.what()).starts_with("OMP_NUM_THREADS");
                        });
}

BOOST_AUTO_TEST_SUITE_END()
