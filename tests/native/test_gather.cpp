// Gathering and scattering along one dimension, on the CPU device.
#include <boost/test/unit_test.hpp>
#include <cstring>

#include "cpu_test.h"

using namespace lamina;
using namespace lamina::test;

namespace {

constexpr DType kAll[] = {DType::Bool,  DType::UInt8,   DType::Int32,
                          DType::Int64, DType::Float32, DType::Float64};

const DeviceApi& api() { return *device_api(DeviceKind::Cpu); }

// Positions in [-size, size), or in [0, size).
Tensor random_index(const Dims& sizes, int64_t size, Layout layout, uint64_t seed, bool negative) {
  std::mt19937_64 bits(seed);
  const Tensor t = make_tensor(sizes, DType::Int64, layout);
  assign<int64_t>(t, [&](int64_t) {
    const auto at = static_cast<int64_t>(bits() % static_cast<uint64_t>(size));
    return negative && bits() % 2 == 0 ? at - size : at;
  });
  return t;
}

// Where element i of `index` is in a contiguous tensor of `sizes`, with its coordinate along `dim`
// replaced by the index's value.
std::vector<size_t> places(const Dims& sizes, int dim, const Tensor& index) {
  const Dims strides = contiguous_strides(sizes);
  std::vector<size_t> out;
  each<int64_t>(index, [&](int64_t i, int64_t value) {
    int64_t rest = i, at = 0;
    for (int d = index.rank() - 1; d >= 0; --d) {
      if (d != dim) at += rest % index.size(d) * strides[d];
      rest /= index.size(d);
    }
    at += (value < 0 ? value + sizes[dim] : value) * strides[dim];
    out.push_back(static_cast<size_t>(at));
  });
  return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gather_and_scatter)

BOOST_AUTO_TEST_CASE(gather_in_every_dtype_layout_and_dimension) {
  Ctx ctx = cpu_ctx();
  uint64_t seed = 0;
  const Dims sizes{4, 5, 6};
  for (const DType dtype : kAll) {
    for (const Layout layout : kLayouts) {
      for (int dim = 0; dim < 3; ++dim) {
        Dims index_sizes{3, 5, 2};
        index_sizes[dim] = 9;
        const Tensor src = random_tensor(sizes, dtype, layout, ++seed);
        const Tensor index = random_index(index_sizes, sizes[dim], kLayouts[seed % 4], seed, true);
        const Tensor dst = make_tensor(index_sizes, dtype, kLayouts[seed / 4 % 4]);
        api().gather(ctx, dst, src, dim, index);
        const auto from = values<double>(src), got = values<double>(dst);
        const auto at = places(sizes, dim, index);
        for (size_t i = 0; i < at.size(); ++i) BOOST_REQUIRE(got[i] == from[at[i]]);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(scatter_in_every_dtype_layout_and_dimension) {
  Ctx ctx = cpu_ctx();
  uint64_t seed = 0;
  const Dims sizes{4, 5, 6};
  for (const DType dtype : kAll) {
    for (const Layout layout : kLayouts) {
      for (int dim = 0; dim < 3; ++dim) {
        for (const ScatterOp op : {ScatterOp::Write, ScatterOp::Add, ScatterOp::Multiply}) {
          Dims index_sizes{3, 4, 2};
          index_sizes[dim] = 7;
          const Tensor dst = random_tensor(sizes, dtype, layout, ++seed);
          const Tensor index =
              random_index(index_sizes, sizes[dim], kLayouts[seed % 4], seed, true);
          const Tensor src = random_tensor(index_sizes, dtype, kLayouts[seed / 4 % 4], seed + 999);
          auto want = values<double>(dst);
          const auto add = values<double>(src);
          const auto at = places(sizes, dim, index);
          for (size_t i = 0; i < at.size(); ++i) {
            double& w = want[at[i]];
            w = op == ScatterOp::Write ? add[i] : op == ScatterOp::Add ? w + add[i] : w * add[i];
            if (dtype == DType::Float32) w = static_cast<float>(w);
            if (dtype == DType::UInt8) w = static_cast<uint8_t>(w);
            if (dtype == DType::Bool) w = w != 0;
          }
          api().scatter(ctx, dst, dim, index, src, op);
          const auto got = values<double>(dst);
          for (size_t i = 0; i < want.size(); ++i) BOOST_REQUIRE(got[i] == want[i]);
        }
      }
    }
  }
}

// Enough lines for several blocks, and lines long and short beside the innermost run, so that both
// orders of the loops are taken. The sums are rounded, so that their order shows.
BOOST_AUTO_TEST_CASE(scatter_has_the_same_bits_for_any_thread_count) {
  Ctx ctx = cpu_ctx();
  for (const auto& [sizes, length, dim] : {std::tuple{Dims{20, 5000}, 12, 0},
                                           {Dims{5000, 20}, 12, 1},
                                           {Dims{3, 700}, 400, 0},
                                           {Dims{5}, 30000, 0}}) {
    Dims index_sizes = sizes;
    index_sizes[dim] = length;
    const Tensor index = random_index(index_sizes, sizes[dim], Layout::Rows, 3, false);
    const Tensor src = make_tensor(index_sizes, DType::Float32);
    std::mt19937_64 bits(5);
    assign<float>(src, [&](int64_t) { return static_cast<float>(bits() >> 40) * 0x1p-24f; });
    const auto add = values<float>(src);
    const auto at = places(sizes, dim, index);
    for (const ScatterOp op : {ScatterOp::Write, ScatterOp::Add}) {
      std::vector<float> want(static_cast<size_t>(checked_numel(sizes)), 0);
      for (size_t i = 0; i < at.size(); ++i)
        want[at[i]] = op == ScatterOp::Add ? want[at[i]] + add[i] : add[i];
      for (const int threads : {1, 2, 3}) {
        const UseThreads with(threads);
        const Tensor dst = make_tensor(sizes, DType::Float32);
        api().fill(ctx, dst, 0);
        api().scatter(ctx, dst, dim, index, src, op);
        BOOST_TEST(std::memcmp(dst.data(), want.data(), want.size() * 4) == 0,
                   to_text(sizes) << ", " << threads << " threads");
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(nothing_to_gather_or_scatter) {
  Ctx ctx = cpu_ctx();
  const Tensor index = make_tensor({0, 3}, DType::Int64);
  const Tensor none = make_tensor({0, 3}, DType::Float32);
  const Tensor x = random_tensor({4, 3}, DType::Float32, Layout::Rows, 1);
  const auto before = values<float>(x);
  api().gather(ctx, none, x, 0, index);
  api().scatter(ctx, x, 0, index, none, ScatterOp::Add);
  BOOST_CHECK(values<float>(x) == before);
}

BOOST_AUTO_TEST_SUITE_END()
