// Copies, fills and indexing of the CPU device.
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "cpu_test.h"

using namespace lamina;
using namespace lamina::test;

namespace {

constexpr DType kAll[] = {DType::Bool,  DType::UInt8,   DType::Int32,
                          DType::Int64, DType::Float32, DType::Float64};

const DeviceApi& api() { return *device_api(DeviceKind::Cpu); }

Tensor int64s(const Dims& sizes, const std::vector<int64_t>& v, Layout layout = Layout::Rows) {
  const Tensor t = make_tensor(sizes, DType::Int64, layout);
  assign<int64_t>(t, [&](int64_t i) { return v[static_cast<size_t>(i)]; });
  return t;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(copy_and_index)

BOOST_AUTO_TEST_CASE(copy_casts_every_pair_in_every_layout) {
  Ctx ctx = cpu_ctx();
  uint64_t seed = 0;
  for (const DType from : kAll) {
    for (const DType to : kAll) {
      for (const Dims& sizes : {Dims{}, Dims{0, 3}, Dims{37}, Dims{65, 70}, Dims{3, 33, 34}}) {
        for (const Layout a : kLayouts) {
          for (const Layout b : kLayouts) {
            const Tensor src = random_tensor(sizes, from, a, ++seed);
            const Tensor dst = make_tensor(sizes, to, b);
            api().copy(ctx, dst, src);
            const auto got = values<double>(dst), want = values<double>(src);
            for (size_t i = 0; i < got.size(); ++i) {
              const double w = to == DType::Bool ? want[i] != 0
                               : is_floating(to) ? want[i]
                               : to == DType::UInt8
                                   ? static_cast<uint8_t>(static_cast<int64_t>(want[i]))
                                   : std::trunc(want[i]);
              BOOST_REQUIRE(got[i] == w);
            }
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(copy_broadcasts_and_large_copies_are_whole) {
  Ctx ctx = cpu_ctx();
  for (const int threads : {1, 3}) {
    const UseThreads with(threads);
    const Tensor row = random_tensor({301}, DType::Float32, Layout::Rows, 1);
    const Tensor wide = make_tensor({1000, 301}, DType::Float32, Layout::Transposed);
    api().copy(ctx, wide, row);
    BOOST_CHECK(values<float>(wide) == values<float>(expand(row, {1000, 301})));
    const Tensor same = make_tensor({1000, 301}, DType::Float32);
    api().copy(ctx, same, wide);
    BOOST_CHECK(values<float>(same) == values<float>(wide));
    const Tensor again = make_tensor({1000, 301}, DType::Float32);
    api().copy(ctx, again, same);
    BOOST_CHECK(values<float>(again) == values<float>(same));
    std::vector<float> host(301000);
    api().to_host(ctx, host.data(), same);
    BOOST_CHECK(host == values<float>(same));
    api().fill(ctx, again, 0);
    api().from_host(ctx, again, host.data());
    BOOST_CHECK(values<float>(again) == host);
  }
}

BOOST_AUTO_TEST_CASE(float_to_integer_is_defined_everywhere) {
  Ctx ctx = cpu_ctx();
  const double inf = std::numeric_limits<double>::infinity();
  const double in[] = {std::nan(""), inf, -inf, 1e300, -1.9, 255.9, 3e9};
  const Tensor x = make_tensor({7}, DType::Float64);
  assign<double>(x, [&](int64_t i) { return in[i]; });
  const auto cast = [&](DType to) {
    const Tensor y = make_tensor({7}, to);
    api().copy(ctx, y, x);
    return values<int64_t>(y);
  };
  BOOST_CHECK(cast(DType::Int64) ==
              (std::vector<int64_t>{0, INT64_MAX, INT64_MIN, INT64_MAX, -1, 255, 3000000000}));
  // NaN is 0; the narrower ones keep the low bits of that.
  BOOST_CHECK(cast(DType::Int32) == (std::vector<int64_t>{0, -1, 0, -1, -1, 255, -1294967296}));
  BOOST_CHECK(cast(DType::UInt8) == (std::vector<int64_t>{0, 255, 0, 255, 255, 255, 0}));
  BOOST_CHECK(cast(DType::Bool) == (std::vector<int64_t>{1, 1, 1, 1, 1, 1, 1}));
}

BOOST_AUTO_TEST_CASE(a_copy_onto_itself_and_an_overlap) {
  Ctx ctx = cpu_ctx();
  const Tensor x = random_tensor({10}, DType::Float32, Layout::Rows, 1);
  const auto before = values<float>(x);
  api().copy(ctx, x, x);
  BOOST_CHECK(values<float>(x) == before);
  BOOST_CHECK_THROW(api().copy(ctx, alias(x, {6}, {1}, 0), alias(x, {6}, {1}, 2)), RuntimeError);
}

BOOST_AUTO_TEST_CASE(fill_and_arange) {
  Ctx ctx = cpu_ctx();
  for (const DType dtype : kAll) {
    for (const Layout layout : kLayouts) {
      // The elements between those of a slice stay.
      const Tensor t = make_tensor({5, 9}, dtype, layout);
      std::memset(t.storage().data(), 0, t.storage().bytes());
      api().fill(ctx, t, 1);
      for (const double v : values<double>(t)) BOOST_TEST(v == 1);
      const auto* bytes = static_cast<const uint8_t*>(t.storage().data());
      const int64_t set =
          std::count_if(bytes, bytes + t.storage().bytes(), [](uint8_t b) { return b != 0; });
      const int64_t per_one = dtype == DType::Float32 || dtype == DType::Float64 ? 2 : 1;
      BOOST_TEST(set == 45 * per_one);
    }
  }
  const Tensor i = make_tensor({100000}, DType::Int64), f = make_tensor({11}, DType::Float32);
  api().arange(ctx, i, -7, 3);
  const auto got = values<int64_t>(i);
  for (size_t k = 0; k < got.size(); ++k) BOOST_REQUIRE(got[k] == -7 + 3 * static_cast<int64_t>(k));
  api().arange(ctx, f, 0, 0.1);
  for (size_t k = 0; k < 11; ++k)
    BOOST_TEST(values<float>(f)[k] == static_cast<float>(0.1 * static_cast<double>(k)));
  const Tensor big = make_tensor({2}, DType::Int64);
  api().fill(ctx, big, 9007199254740992.0);
  BOOST_TEST(values<int64_t>(big)[1] == int64_t{1} << 53);
}

BOOST_AUTO_TEST_CASE(index_read_gathers_rows_in_any_layout) {
  Ctx ctx = cpu_ctx();
  uint64_t seed = 0;
  for (const DType dtype : kAll) {
    for (const Layout layout : kLayouts) {
      for (const Dims& sizes : {Dims{6}, Dims{6, 5}, Dims{6, 4, 3}}) {
        const Tensor src = random_tensor(sizes, dtype, layout, ++seed);
        const Tensor index = int64s({2, 3}, {0, -1, 3, 3, -6, 5}, kLayouts[seed % 4]);
        Dims out{2, 3};
        for (int d = 1; d < sizes.rank(); ++d) out.push_back(sizes[d]);
        const Tensor dst = make_tensor(out, dtype, kLayouts[seed / 4 % 4]);
        const std::vector<TensorRef> indices{index};
        api().index_read(ctx, dst, src, indices);
        const auto from = values<double>(src), got = values<double>(dst);
        const size_t row = from.size() / 6;
        const size_t at[] = {0, 5, 3, 3, 0, 5};
        for (size_t m = 0; m < 6; ++m)
          for (size_t k = 0; k < row; ++k) BOOST_REQUIRE(got[m * row + k] == from[at[m] * row + k]);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(several_indices_broadcast) {
  Ctx ctx = cpu_ctx();
  for (const Layout layout : kLayouts) {
    const Tensor src = random_tensor({4, 5, 3}, DType::Float32, layout, 1);
    const Tensor rows = int64s({2, 1}, {3, 0}), columns = int64s({4}, {-1, 0, 2, 2});
    const Tensor dst = make_tensor({2, 4, 3}, DType::Float32);
    const std::vector<TensorRef> indices{rows, columns};
    api().index_read(ctx, dst, src, indices);
    const auto from = values<float>(src), got = values<float>(dst);
    const int64_t r[] = {3, 0}, c[] = {4, 0, 2, 2};
    for (int64_t i = 0; i < 2; ++i)
      for (int64_t j = 0; j < 4; ++j)
        for (int64_t k = 0; k < 3; ++k)
          BOOST_REQUIRE(got[static_cast<size_t>((i * 4 + j) * 3 + k)] ==
                        from[static_cast<size_t>((r[i] * 5 + c[j]) * 3 + k)]);

    // And written back where they came from: what is not named stays.
    const Tensor target = make_tensor({4, 5, 3}, DType::Float32, layout);
    api().fill(ctx, target, -100);
    api().index_write(ctx, target, indices, dst, false);
    const auto now = values<float>(target);
    for (int64_t i = 0; i < 4; ++i) {
      for (int64_t j = 0; j < 5; ++j) {
        const bool named = (i == 3 || i == 0) && (j == 4 || j == 0 || j == 2);
        for (int64_t k = 0; k < 3; ++k) {
          const auto at = static_cast<size_t>((i * 5 + j) * 3 + k);
          BOOST_REQUIRE(now[at] == (named ? from[at] : -100));
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(index_write_accumulates_in_every_dtype_and_layout) {
  Ctx ctx = cpu_ctx();
  uint64_t seed = 0;
  for (const DType dtype : kAll) {
    for (const Layout layout : kLayouts) {
      for (const Dims& rest : {Dims{}, Dims{3}, Dims{2, 2}}) {
        Dims sizes{7}, values_sizes{20};
        for (const int64_t s : rest) sizes.push_back(s), values_sizes.push_back(s);
        seed += 2;
        const Tensor dst = random_tensor(sizes, dtype, layout, seed);
        const Tensor src = random_tensor(values_sizes, dtype, kLayouts[seed / 2 % 4], seed + 1);
        std::vector<int64_t> at(20);
        for (size_t m = 0; m < 20; ++m) at[m] = static_cast<int64_t>(m * m % 7) - (m % 2 ? 7 : 0);
        const Tensor index = int64s({20}, at);
        auto want = values<double>(dst);
        const auto add = values<double>(src);
        const size_t row = want.size() / 7;
        for (size_t m = 0; m < 20; ++m)
          for (size_t k = 0; k < row; ++k) {
            double& w = want[static_cast<size_t>((at[m] + 7) % 7) * row + k];
            w += add[m * row + k];
            if (dtype == DType::UInt8) w = static_cast<uint8_t>(w);
            if (dtype == DType::Bool) w = w != 0;
          }
        const std::vector<TensorRef> indices{index};
        api().index_write(ctx, dst, indices, src, true);
        BOOST_REQUIRE(values<double>(dst) == want);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(index_write_broadcasts_casts_and_reads_its_own_tensor) {
  Ctx ctx = cpu_ctx();
  const Tensor dst = make_tensor({3, 2}, DType::Float32);
  api().fill(ctx, dst, 0);
  const Tensor one = make_tensor({}, DType::Float64);
  api().fill(ctx, one, 2.5);
  const Tensor index = int64s({2}, {2, 0});
  const std::vector<TensorRef> indices{index};
  api().index_write(ctx, dst, indices, one, false);
  BOOST_CHECK(values<float>(dst) == (std::vector<float>{2.5f, 2.5f, 0, 0, 2.5f, 2.5f}));
  // A swap of two rows through views of the very tensor.
  assign<float>(dst, [](int64_t i) { return static_cast<float>(i); });
  api().index_write(ctx, dst, indices, alias(dst, {2, 2}, {4, 1}, 0), false);
  BOOST_CHECK(values<float>(dst) == (std::vector<float>{4, 5, 2, 3, 0, 1}));
  BOOST_CHECK_THROW(api().index_write(ctx, dst, indices, make_tensor({3, 2}, DType::Float32), true),
                    ValueError);
}

// Enough work for several blocks; hot rows, rows across block borders, few and many rows. The sums
// are rounded, so that their order shows.
BOOST_AUTO_TEST_CASE(index_write_has_the_same_bits_for_any_thread_count) {
  Ctx ctx = cpu_ctx();
  for (const int64_t rows : {int64_t{1}, int64_t{50}, int64_t{3000000}}) {
    for (const int64_t width : {1, 7}) {
      constexpr int64_t kCount = 60000;
      std::mt19937_64 bits(static_cast<uint64_t>(rows + width));
      std::vector<int64_t> at(kCount);
      for (int64_t& i : at) i = static_cast<int64_t>(bits() % static_cast<uint64_t>(rows));
      const Tensor index = int64s({kCount}, at);
      const Tensor src = make_tensor({kCount, width}, DType::Float32);
      assign<float>(src, [&](int64_t) { return static_cast<float>(bits() >> 40) * 0x1p-24f; });
      const std::vector<TensorRef> indices{index};
      for (const bool accumulate : {true, false}) {
        std::vector<float> want(static_cast<size_t>(rows * width), 0);
        const auto add = values<float>(src);
        for (size_t m = 0; m < kCount; ++m)
          for (size_t k = 0; k < static_cast<size_t>(width); ++k) {
            float& w = want[static_cast<size_t>(at[m]) * static_cast<size_t>(width) + k];
            w = accumulate ? w + add[m * static_cast<size_t>(width) + k]
                           : add[m * static_cast<size_t>(width) + k];
          }
        for (const int threads : {1, 2, 3}) {
          const UseThreads with(threads);
          const Tensor dst = make_tensor({rows, width}, DType::Float32);
          api().fill(ctx, dst, 0);
          api().index_write(ctx, dst, indices, src, accumulate);
          BOOST_TEST(std::memcmp(dst.data(), want.data(), want.size() * 4) == 0,
                     rows << " rows of " << width << ", " << threads << " threads");
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(empty_indices) {
  Ctx ctx = cpu_ctx();
  const Tensor none = int64s({0}, {});
  const std::vector<TensorRef> indices{none};
  const Tensor src = random_tensor({4, 3}, DType::Float32, Layout::Rows, 1);
  const auto before = values<float>(src);
  const Tensor nothing = make_tensor({0, 3}, DType::Float32);
  api().index_read(ctx, nothing, src, indices);
  api().index_write(ctx, src, indices, nothing, true);
  BOOST_CHECK(values<float>(src) == before);
  int64_t bad = 0;
  BOOST_TEST(api().indices_in_range(ctx, none, 0, 0, &bad));
}

BOOST_AUTO_TEST_CASE(indices_out_of_range_are_found) {
  Ctx ctx = cpu_ctx();
  int64_t bad = 0;
  BOOST_TEST(api().indices_in_range(ctx, int64s({4}, {0, 4, -5, 3}), -5, 5, &bad));
  BOOST_TEST(!api().indices_in_range(ctx, int64s({4}, {0, 5, -6, 3}), -5, 5, &bad));
  BOOST_TEST(bad == 5);
  BOOST_TEST(
      !api().indices_in_range(ctx, int64s({2, 2}, {0, -6, 5, 3}, Layout::Transposed), -5, 5, &bad));
  BOOST_TEST(bad == -6);
  std::vector<int64_t> many(300000, 1);
  many[250000] = 77;
  many[100000] = -9;
  const UseThreads with(3);
  BOOST_TEST(!api().indices_in_range(ctx, int64s({300000}, many), -5, 5, &bad));
  BOOST_TEST(bad == -9);
}

BOOST_AUTO_TEST_CASE(nonzero_lists_indices_row_major) {
  Ctx ctx = cpu_ctx();
  for (const DType dtype : kAll) {
    for (const Layout layout : kLayouts) {
      for (const Dims& sizes : {Dims{}, Dims{0}, Dims{50}, Dims{300, 5, 60}}) {
        const Tensor x = random_tensor(sizes, dtype, layout, 5);
        std::vector<int64_t> want;
        const auto all = values<double>(x);
        int64_t count = 0;
        for (size_t i = 0; i < all.size(); ++i) {
          if (all[i] == 0) continue;
          ++count;
          auto rest = static_cast<int64_t>(i);
          std::vector<int64_t> at;
          for (int d = sizes.rank() - 1; d >= 0; --d)
            at.push_back(rest % sizes[d]), rest /= sizes[d];
          want.insert(want.end(), at.rbegin(), at.rend());
        }
        BOOST_TEST(api().count_nonzero(ctx, x) == count);
        const Tensor dst = make_tensor({count, sizes.rank()}, DType::Int64);
        api().nonzero(ctx, dst, x);
        BOOST_CHECK(values<int64_t>(dst) == want);
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
