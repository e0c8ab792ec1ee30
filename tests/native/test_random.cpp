#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstdint>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/random.h"

using namespace lamina;

namespace {

constexpr PhiloxStream kStream{0x0123456789abcdef, 1000};

void check_block(const PhiloxBlock& got, std::array<uint32_t, 4> expected) {
  BOOST_CHECK_EQUAL_COLLECTIONS(got.word, got.word + 4, expected.begin(), expected.end());
}

// |sum of n draws| stays within five standard deviations of the sum of their means.
void check_mean(double sum, int n, double mean, double variance) {
  BOOST_TEST(std::abs(sum - n * mean) < 5 * std::sqrt(n * variance));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(random_numbers)

// The known answers that the authors publish with Random123 (kat_vectors).
BOOST_AUTO_TEST_CASE(philox_known_answers) {
  check_block(philox4x32({{0, 0, 0, 0}}, 0, 0), {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  constexpr uint32_t ff = 0xffffffff;
  check_block(philox4x32({{ff, ff, ff, ff}}, ff, ff),
              {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  check_block(
      philox4x32({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0),
      {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

BOOST_AUTO_TEST_CASE(a_stream_is_the_cipher_of_its_counter) {
  const PhiloxStream stream{0x299f31d0a4093822, 0xfffffffe};
  for (uint64_t block = 0; block < 4; ++block) {
    const uint64_t counter = 0xfffffffe + block;  // crosses 2^32
    const PhiloxBlock expected =
        philox4x32({{static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0, 0}},
                   0xa4093822, 0x299f31d0);
    for (uint64_t i = 0; i < 4; ++i) {
      BOOST_TEST(random_bits32(stream, 4 * block + i) == expected.word[i]);
    }
    for (uint64_t i = 0; i < 2; ++i) {
      BOOST_TEST(random_bits64(stream, 2 * block + i) ==
                 (uint64_t{expected.word[2 * i + 1]} << 32 | expected.word[2 * i]));
    }
  }
}

BOOST_AUTO_TEST_CASE(uniforms_are_in_range_at_the_extremes) {
  BOOST_TEST(to_uniform_f32(0) == 0.0f);
  BOOST_TEST(to_uniform_f32(0xffffffff) == 1.0f - 0x1p-24f);
  BOOST_TEST(to_uniform_f32(0x80000000) == 0.5f);
  BOOST_TEST(to_uniform_f64(0) == 0.0);
  BOOST_TEST(to_uniform_f64(~uint64_t{0}) == 1.0 - 0x1p-53);
  BOOST_TEST(to_uniform_f64(uint64_t{1} << 63) == 0.5);
}

BOOST_AUTO_TEST_CASE(uniforms_have_the_moments_of_a_uniform) {
  constexpr int n = 200000;
  double sum32 = 0, square32 = 0, sum64 = 0, square64 = 0;
  for (int i = 0; i < n; ++i) {
    const double a = uniform_f32(kStream, static_cast<uint64_t>(i));
    const double b = uniform_f64(kStream, static_cast<uint64_t>(i));
    BOOST_REQUIRE((a >= 0 && a < 1 && b >= 0 && b < 1));
    sum32 += a, square32 += a * a, sum64 += b, square64 += b * b;
  }
  check_mean(sum32, n, 1.0 / 2, 1.0 / 12);
  check_mean(sum64, n, 1.0 / 2, 1.0 / 12);
  check_mean(square32, n, 1.0 / 3, 4.0 / 45);
  check_mean(square64, n, 1.0 / 3, 4.0 / 45);
}

BOOST_AUTO_TEST_CASE(multiply_high_is_the_high_half) {
  __extension__ typedef unsigned __int128 Wide;
  for (uint64_t i = 0; i < 1000; ++i) {
    const uint64_t a = random_bits64(kStream, i) >> (i % 64);
    const uint64_t b = ~random_bits64(kStream, i + 5000) >> (i / 64 % 64);
    BOOST_REQUIRE_EQUAL(multiply_high(a, b), static_cast<uint64_t>((Wide{a} * b) >> 64));
  }
  BOOST_TEST(multiply_high(~uint64_t{0}, ~uint64_t{0}) == ~uint64_t{0} - 1);
}

BOOST_AUTO_TEST_CASE(integers_fill_their_range_evenly) {
  BOOST_TEST(to_integer(0, -3, 4) == -3);
  BOOST_TEST(to_integer(~uint64_t{0}, -3, 4) == 3);
  BOOST_TEST(to_integer(~uint64_t{0}, 5, 6) == 5);
  BOOST_TEST(to_integer(0, INT64_MIN, INT64_MAX) == INT64_MIN);
  BOOST_TEST(to_integer(~uint64_t{0}, INT64_MIN, INT64_MAX) == INT64_MAX - 1);
  constexpr int n = 70000;
  std::array<int, 7> count{};
  for (int i = 0; i < n; ++i) {
    ++count.at(static_cast<size_t>(uniform_integer(kStream, static_cast<uint64_t>(i), -3, 4) + 3));
  }
  for (const int c : count) check_mean(c, n, 1.0 / 7, 6.0 / 49);
}

BOOST_AUTO_TEST_CASE(turns_agree_with_cos_and_sin) {
  const double tau = 6.283185307179586;
  for (int i = 0; i < 1000; ++i) {
    const double turn = i / 1000.0;
    const auto direction = cos_sin_turn(turn);
    // The reference rounds its argument: an error of half an ULP of 2*pi.
    BOOST_TEST(std::abs(direction.first - std::cos(tau * turn)) < 1e-15);
    BOOST_TEST(std::abs(direction.second - std::sin(tau * turn)) < 1e-15);
  }
  const double axes[4][3] = {{0, 1, 0}, {0.25, 0, 1}, {0.5, -1, 0}, {0.75, 0, -1}};
  for (const auto& [turn, x, y] : axes) {
    BOOST_TEST(cos_sin_turn(turn).first == x);
    BOOST_TEST(cos_sin_turn(turn).second == y);
  }
}

BOOST_AUTO_TEST_CASE(normals_have_the_moments_of_a_normal) {
  constexpr int n = 200000;
  double sum[4][2] = {};
  for (int i = 0; i < n; ++i) {
    const auto index = static_cast<uint64_t>(i);
    const double z[2] = {normal_f32(kStream, index), normal_f64(kStream, index)};
    for (int k = 0; k < 2; ++k) {
      BOOST_REQUIRE(std::isfinite(z[k]));
      for (int power = 0; power < 4; ++power) sum[power][k] += std::pow(z[k], power + 1);
    }
  }
  for (int k = 0; k < 2; ++k) {
    check_mean(sum[0][k], n, 0, 1);
    check_mean(sum[1][k], n, 1, 2);
    check_mean(sum[2][k], n, 0, 15);
    check_mean(sum[3][k], n, 3, 96);
  }
}

BOOST_AUTO_TEST_CASE(neighbouring_normals_are_independent) {
  constexpr int n = 200000;
  double product[3] = {};
  for (uint64_t i = 0; i < n; ++i) {
    for (uint64_t lag = 1; lag <= 3; ++lag) {
      product[lag - 1] += normal_f64(kStream, i) * normal_f64(kStream, i + lag);
    }
  }
  for (const double p : product) check_mean(p, n, 0, 1);
}

// A device may evaluate float normals in single precision: from the same inputs, to 4 ULP.
BOOST_AUTO_TEST_CASE(float_normals_survive_single_precision) {
  for (uint64_t i = 0; i < 100000; ++i) {
    const float u = 1 - uniform_f32(kStream, 2 * i);
    const float turn = uniform_f32(kStream, 2 * i + 1);
    const auto narrow = box_muller<float>(u, turn);
    const auto wide = box_muller<double>(u, turn);
    for (const auto& [a, b] : {std::pair(narrow.first, wide.first), {narrow.second, wide.second}}) {
      const double ulp = std::ldexp(1.0, std::ilogb(b) - 23);
      BOOST_REQUIRE_LE(std::abs(a - b), 4 * (b == 0 ? 0 : ulp));
    }
  }
}

BOOST_AUTO_TEST_CASE(the_extreme_blocks_give_finite_normals) {
  constexpr uint32_t ff = 0xffffffff;
  const PhiloxBlock low{{0, 0, 0, 0}};
  const PhiloxBlock high{{ff, ff, ff, ff}};
  BOOST_TEST(block_normals_f32(low, 0).first == static_cast<float>(std::sqrt(48 * std::log(2.0))));
  BOOST_TEST(block_normals_f64(low).first == std::sqrt(106 * std::log(2.0)),
             1e-14 % boost::test_tools::tolerance());
  BOOST_TEST(block_normals_f32(high, 1).second == 0.0f);  // log(1) is 0
  BOOST_TEST(block_normals_f64(high).second == 0.0);
}

// A range computed in one go, in pieces, or element by element is the same.
BOOST_AUTO_TEST_CASE(pieces_agree_with_the_whole) {
  constexpr uint64_t n = 45;
  const auto collect = [](auto each, auto one) {
    for (uint64_t begin = 0; begin <= n; ++begin) {
      for (uint64_t end = begin; end <= n; ++end) {
        uint64_t next = begin;
        bool same = true;
        each(begin, end, [&](uint64_t i, auto value) { same &= i == next++ && value == one(i); });
        BOOST_REQUIRE(same);
        BOOST_REQUIRE_EQUAL(next, end);
      }
    }
  };
  collect([](auto... a) { for_each_bits32(kStream, a...); },
          [](uint64_t i) { return random_bits32(kStream, i); });
  collect([](auto... a) { for_each_bits64(kStream, a...); },
          [](uint64_t i) { return random_bits64(kStream, i); });
  collect([](auto... a) { for_each_normal_f32(kStream, a...); },
          [](uint64_t i) { return normal_f32(kStream, i); });
  collect([](auto... a) { for_each_normal_f64(kStream, a...); },
          [](uint64_t i) { return normal_f64(kStream, i); });
}

BOOST_AUTO_TEST_CASE(a_generator_repeats_from_its_seed_and_from_its_state) {
  Generator generator(7);
  const PhiloxStream first = generator.reserve(10);
  const PhiloxStream second = generator.reserve(3);
  BOOST_TEST(first.seed == 7u);
  BOOST_TEST(second.offset >= first.offset + 10);  // no block is used twice
  const Generator::State state = generator.state();
  const PhiloxStream third = generator.reserve(1);
  generator.set_state(state);
  BOOST_TEST(generator.reserve(1).offset == third.offset);
  generator.manual_seed(7);
  BOOST_TEST(generator.initial_seed() == 7u);
  BOOST_TEST(generator.reserve(10).offset == first.offset);
  const auto before = generator.state().offset;
  generator.reserve(0);
  BOOST_TEST(generator.state().offset == before);
  BOOST_CHECK_THROW(generator.reserve(-1), ValueError);
}

BOOST_AUTO_TEST_CASE(streams_reserved_on_several_threads_do_not_overlap) {
  Generator generator(1);
  std::vector<std::vector<uint64_t>> offsets(4);
  std::vector<std::thread> threads;
  for (auto& mine : offsets) {
    threads.emplace_back([&generator, &mine] {
      for (int i = 0; i < 1000; ++i) mine.push_back(generator.reserve(5).offset);
    });
  }
  for (auto& thread : threads) thread.join();
  std::set<uint64_t> all;
  for (const auto& mine : offsets) all.insert(mine.begin(), mine.end());
  BOOST_TEST(all.size() == 4000u);
  for (const uint64_t offset : all) BOOST_REQUIRE_EQUAL(offset % 5, 0u);
  BOOST_TEST(generator.state().offset == 20000u);
}

BOOST_AUTO_TEST_CASE(a_forked_child_continues_the_default_generator) {
  Generator& generator = default_generator();
  generator.manual_seed(11);
  generator.reserve(4);
  const pid_t pid = fork();
  if (pid == 0) _exit(default_generator().reserve(1).offset == 4 ? 42 : 1);
  int status = 0;
  waitpid(pid, &status, 0);
  BOOST_TEST(WEXITSTATUS(status) == 42);
  BOOST_TEST(generator.reserve(1).offset == 4u);
}

BOOST_AUTO_TEST_SUITE_END()
