// The reducing drivers against sums by definition, over any dimensions and layout.
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "cpu_test.h"

using namespace lamina;
using namespace lamina::test;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

const DeviceApi& api() { return *device_api(DeviceKind::Cpu); }

Dims reduced(const Dims& sizes, unsigned dims) {
  Dims out = sizes;
  for (int d = 0; d < sizes.rank(); ++d)
    if ((dims >> d) & 1) out[d] = 1;
  return out;
}

// The elements that belong to each result, in logical order: groups[o][k].
template <class T>
std::vector<std::vector<T>> groups_of(const TensorRef& x, unsigned dims) {
  const Dims sizes(x.sizes);
  const Dims out = reduced(sizes, dims);
  const Dims strides = contiguous_strides(out);
  std::vector<std::vector<T>> groups(static_cast<size_t>(checked_numel(out)));
  const std::vector<T> all = values<T>(x);
  for (size_t i = 0; i < all.size(); ++i) {
    auto rest = static_cast<int64_t>(i);
    int64_t o = 0;
    for (int d = sizes.rank() - 1; d >= 0; --d) {
      if (!((dims >> d) & 1)) o += rest % sizes[d] * strides[d];
      rest /= sizes[d];
    }
    groups[static_cast<size_t>(o)].push_back(all[i]);
  }
  return groups;
}

const Dims kShapes[] = {{},        {1},       {7},        {1000},      {5, 3},     {3, 200},
                        {200, 3},  {64, 64},  {33, 1, 4}, {2, 17, 40}, {40, 2, 3}, {4, 3, 5, 6},
                        {2000, 9}, {9, 2000}, {3, 1500},  {1, 50},     {50, 1},    {2, 2, 2, 2, 2}};

}  // namespace

BOOST_AUTO_TEST_SUITE(reduce)

// Whole numbers and multiples of 2^-8, few enough that every order of addition is exact.
BOOST_AUTO_TEST_CASE(sums_over_any_dimensions_and_layout) {
  Ctx ctx = cpu_ctx();
  uint64_t seed = 0;
  for (const auto* table : micro_tables()) {
    const UseTable use(table);
    for (const DType dtype : {DType::Float32, DType::Float64, DType::Int64, DType::Bool}) {
      const DType out = is_floating(dtype) ? dtype : DType::Int64;
      for (const Dims& sizes : kShapes) {
        for (unsigned dims = 0; dims < 1u << sizes.rank(); ++dims) {
          const Layout layout = kLayouts[++seed % 4];
          const Tensor x = random_tensor(sizes, dtype, layout, seed);
          const Tensor r = make_tensor(reduced(sizes, dims), out, kLayouts[seed / 4 % 4]);
          api().reduce(ctx, ReduceOp::Sum, r, x);
          const auto got = values<double>(r);
          const auto groups = groups_of<double>(x, dims);
          for (size_t o = 0; o < groups.size(); ++o) {
            double want = 0;
            for (const double v : groups[o]) want += v;
            BOOST_REQUIRE_MESSAGE(
                got[o] == want, isa_name(table->isa) << " sum of " << to_text(sizes) << " over "
                                                     << dims << ": " << got[o] << ", not " << want);
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(products_extremes_and_truth) {
  Ctx ctx = cpu_ctx();
  uint64_t seed = 1000;
  for (const auto* table : micro_tables()) {
    const UseTable use(table);
    for (const DType dtype :
         {DType::Float32, DType::Float64, DType::Int32, DType::UInt8, DType::Bool}) {
      for (const Dims& sizes : kShapes) {
        for (unsigned dims = 0; dims < 1u << sizes.rank(); ++dims) {
          ++seed;
          const Tensor x = random_tensor(sizes, dtype, kLayouts[seed % 4], seed);
          const auto groups = groups_of<double>(x, dims);
          const Dims small = reduced(sizes, dims);
          for (const ReduceOp op : {ReduceOp::Max, ReduceOp::Min, ReduceOp::Any, ReduceOp::All}) {
            const bool truth = op == ReduceOp::Any || op == ReduceOp::All;
            const Tensor r =
                make_tensor(small, truth ? DType::Bool : dtype, kLayouts[seed / 4 % 4]);
            api().reduce(ctx, op, r, x);
            const auto got = values<double>(r);
            for (size_t o = 0; o < groups.size(); ++o) {
              const auto& g = groups[o];
              const auto nonzero = [](double v) { return v != 0; };
              const double want = op == ReduceOp::Max   ? *std::max_element(g.begin(), g.end())
                                  : op == ReduceOp::Min ? *std::min_element(g.begin(), g.end())
                                  : op == ReduceOp::Any ? std::any_of(g.begin(), g.end(), nonzero)
                                                        : std::all_of(g.begin(), g.end(), nonzero);
              BOOST_REQUIRE(got[o] == want);
            }
          }
        }
      }
    }
    // Powers of two: exact in any order.
    for (const Dims& sizes : kShapes) {
      for (unsigned dims = 0; dims < 1u << sizes.rank(); ++dims) {
        ++seed;
        const Tensor x = make_tensor(sizes, DType::Float32, kLayouts[seed % 4]);
        assign<float>(x, [](int64_t i) { return i % 3 == 0 ? -2.f : i % 3 == 1 ? 0.5f : 1.f; });
        const Tensor r = make_tensor(reduced(sizes, dims), DType::Float64);
        api().reduce(ctx, ReduceOp::Prod, r, x);
        const auto got = values<double>(r);
        const auto groups = groups_of<double>(x, dims);
        for (size_t o = 0; o < groups.size(); ++o) {
          double want = 1;
          for (const double v : groups[o]) want *= v;
          BOOST_REQUIRE(got[o] == want);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(nothing_reduces_to_the_identity) {
  Ctx ctx = cpu_ctx();
  const Tensor x = make_tensor({3, 0}, DType::Float32);
  const Tensor r = make_tensor({3, 1}, DType::Float32), b = make_tensor({3, 1}, DType::Bool);
  api().reduce(ctx, ReduceOp::Sum, r, x);
  BOOST_CHECK(values<int>(r) == (std::vector<int>{0, 0, 0}));
  api().reduce(ctx, ReduceOp::Prod, r, x);
  BOOST_CHECK(values<int>(r) == (std::vector<int>{1, 1, 1}));
  api().reduce(ctx, ReduceOp::Any, b, x);
  BOOST_CHECK(values<int>(b) == (std::vector<int>{0, 0, 0}));
  api().reduce(ctx, ReduceOp::All, b, x);
  BOOST_CHECK(values<int>(b) == (std::vector<int>{1, 1, 1}));
  BOOST_CHECK_THROW(api().reduce(ctx, ReduceOp::Max, r, x), ValueError);
}

BOOST_AUTO_TEST_CASE(nan_is_the_extreme) {
  Ctx ctx = cpu_ctx();
  for (const auto* table : micro_tables()) {
    const UseTable use(table);
    for (const unsigned dims : {1u, 2u, 3u}) {
      const Dims sizes{50, 40};
      const Tensor x = random_tensor(sizes, DType::Float32, Layout::Rows, 3);
      x.as<float>()[17 * 40 + 11] = static_cast<float>(kNan);
      const Tensor r = make_tensor(reduced(sizes, dims), DType::Float32);
      for (const ReduceOp op : {ReduceOp::Max, ReduceOp::Min}) {
        api().reduce(ctx, op, r, x);
        const auto got = values<float>(r);
        const size_t hit = dims == 1 ? 11 : dims == 2 ? 17 : 0;
        for (size_t o = 0; o < got.size(); ++o) BOOST_TEST(std::isnan(got[o]) == (o == hit));
      }
    }
  }
}

// A running float sum stops at 2^24. Rows, columns, a strided view.
BOOST_AUTO_TEST_CASE(many_float_ones_sum_exactly) {
  Ctx ctx = cpu_ctx();
  constexpr int64_t kCount = int64_t{40} << 20;
  const Tensor x = make_tensor({kCount}, DType::Float32);
  api().fill(ctx, x, 1);
  const Tensor one = make_tensor({1}, DType::Float32);
  for (const auto* table : micro_tables()) {
    const UseTable use(table);
    api().reduce(ctx, ReduceOp::Sum, one, x);
    BOOST_TEST(one.as<float>()[0] == static_cast<float>(kCount));
    const Tensor r = make_tensor({1, 2}, DType::Float32);
    api().reduce(ctx, ReduceOp::Sum, r, alias(x, {kCount / 2, 2}, {2, 1}, 0));
    BOOST_TEST(r.as<float>()[0] == static_cast<float>(kCount / 2));
    BOOST_TEST(r.as<float>()[1] == static_cast<float>(kCount / 2));
  }
  const Tensor r = make_tensor({1}, DType::Float32);
  api().reduce(ctx, ReduceOp::Sum, r, expand(alias(x, {1}, {1}, 0), {100000000}));
  BOOST_TEST(r.as<float>()[0] == 1e8f);
}

BOOST_AUTO_TEST_CASE(integer_sums_wrap) {
  Ctx ctx = cpu_ctx();
  const Tensor x = make_tensor({3}, DType::Int64), r = make_tensor({1}, DType::Int64);
  assign<int64_t>(x, [](int64_t) { return INT64_MAX; });
  api().reduce(ctx, ReduceOp::Sum, r, x);
  BOOST_TEST(r.as<int64_t>()[0] == INT64_MAX - 2);
}

BOOST_AUTO_TEST_CASE(arg_reduce_finds_the_first_extreme) {
  Ctx ctx = cpu_ctx();
  uint64_t seed = 2000;
  for (const auto* table : micro_tables()) {
    const UseTable use(table);
    for (const DType dtype :
         {DType::Float32, DType::Float64, DType::Int64, DType::UInt8, DType::Bool}) {
      for (const Dims& sizes : kShapes) {
        for (int dim = 0; dim < sizes.rank(); ++dim) {
          const unsigned dims = 1u << dim;
          ++seed;
          const Tensor x = random_tensor(sizes, dtype, kLayouts[seed % 4], seed);
          if (is_floating(dtype) && seed % 3 == 0 && x.numel() > 5)
            dispatch_floating("test", dtype, [&]<class T>() {
              each<T>(x, [](int64_t i, T& v) {
                if (i % 31 == 5) v = static_cast<T>(kNan);
              });
            });
          const Dims small = reduced(sizes, dims);
          const Tensor v = make_tensor(small, dtype, kLayouts[seed / 4 % 4]);
          const Tensor at = make_tensor(small, DType::Int64, kLayouts[seed / 16 % 4]);
          const auto groups = groups_of<double>(x, dims);
          for (const ReduceOp op : {ReduceOp::Max, ReduceOp::Min}) {
            api().arg_reduce(ctx, op, v, at, x, dim);
            const auto got = values<double>(v);
            const auto index = values<int64_t>(at);
            for (size_t o = 0; o < groups.size(); ++o) {
              const auto& g = groups[o];
              size_t best = 0;
              for (size_t k = 1; k < g.size() && !std::isnan(g[best]); ++k)
                if (std::isnan(g[k]) || (op == ReduceOp::Max ? g[k] > g[best] : g[k] < g[best]))
                  best = k;
              BOOST_REQUIRE(index[o] == static_cast<int64_t>(best));
              BOOST_REQUIRE((got[o] == g[best] || (std::isnan(got[o]) && std::isnan(g[best]))));
            }
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(arg_reduce_of_nothing_is_refused) {
  Ctx ctx = cpu_ctx();
  const Tensor x = make_tensor({3, 0}, DType::Float32), at = make_tensor({3, 1}, DType::Int64);
  BOOST_CHECK_THROW(api().arg_reduce(ctx, ReduceOp::Max, {}, at, x, 1), ValueError);
}

// Around a mean a thousand deviations away, where E[x^2] - E[x]^2 has no digits left in float. Two
// passes lose (64 + log2 n) eps of the variance. Blocks meet in double: there a mean has an error
// of up to 2 eps, and two means that lie a deviation apart bring 4 eps * mean * deviation.
using Floats = std::tuple<float, double>;
BOOST_AUTO_TEST_CASE_TEMPLATE(variance, T, Floats) {
  Ctx ctx = cpu_ctx();
  constexpr DType kDType = kDTypeOf<T>;
  constexpr double kEps = std::numeric_limits<T>::epsilon();
  uint64_t seed = 3000;
  for (const auto* table : micro_tables()) {
    const UseTable use(table);
    for (const Dims& sizes : kShapes) {
      for (unsigned dims = 0; dims < 1u << sizes.rank(); ++dims) {
        ++seed;
        const Tensor x = random_tensor(sizes, kDType, kLayouts[seed % 4], seed);
        each<T>(x, [](int64_t, T& v) { v += T(6000); });
        const Dims small = reduced(sizes, dims);
        const Tensor var = make_tensor(small, kDType, kLayouts[seed / 4 % 4]);
        const Tensor mean = make_tensor(small, kDType, kLayouts[seed / 16 % 4]);
        const double correction = static_cast<double>(seed % 2);
        api().var(ctx, var, mean, x, correction);
        const auto got = values<double>(var), centre = values<double>(mean);
        const auto groups = groups_of<long double>(x, dims);
        for (size_t o = 0; o < groups.size(); ++o) {
          const auto& g = groups[o];
          const auto n = static_cast<long double>(g.size());
          long double m = 0, m2 = 0;
          for (const long double v : g) m += v / n;
          for (const long double v : g) m2 += (v - m) * (v - m);
          const long double want = m2 / std::max(0.0L, n - correction);
          BOOST_REQUIRE(std::fabs(centre[o] - m) <= 2 * kEps * m);
          if (std::isnan(want)) {
            BOOST_REQUIRE(std::isnan(got[o]));
          } else {
            const long double bound =
                (64 + std::log2(n + 1)) * kEps * want + 4 * 0x1p-52L * m * std::sqrt(want);
            BOOST_REQUIRE_MESSAGE(std::fabs(got[o] - want) <= bound,
                                  isa_name(table->isa)
                                      << " var of " << to_text(sizes) << " over " << dims << ": "
                                      << got[o] << ", not " << want);
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(variance_of_nothing_is_nan) {
  Ctx ctx = cpu_ctx();
  const Tensor x = make_tensor({2, 0}, DType::Float32);
  const Tensor var = make_tensor({2, 1}, DType::Float32),
               mean = make_tensor({2, 1}, DType::Float32);
  api().var(ctx, var, mean, x, 1);
  for (const float v : values<float>(var)) BOOST_TEST(std::isnan(v));
  for (const float v : values<float>(mean)) BOOST_TEST(std::isnan(v));
}

// Shapes that are cut into several pieces along rows, along columns, narrow, and gathered.
BOOST_AUTO_TEST_CASE(bits_do_not_depend_on_the_threads) {
  Ctx ctx = cpu_ctx();
  struct Case {
    Dims sizes;
    unsigned dims;
    Layout layout;
  };
  const Case cases[] = {
      {{600000}, 1, Layout::Rows},          {{3, 300001}, 2, Layout::Rows},
      {{2000, 301}, 1, Layout::Rows},       {{90001, 7}, 1, Layout::Rows},
      {{150001, 3}, 1, Layout::Sliced},     {{40, 5000, 3}, 5, Layout::Transposed},
      {{300, 1100}, 1, Layout::Transposed}, {{30, 9, 1200}, 5, Layout::Rows}};
  for (const auto* table : micro_tables()) {
    const UseTable use(table);
    for (const Case& c : cases) {
      const Tensor x = make_tensor(c.sizes, DType::Float32, c.layout);
      std::mt19937_64 bits(7);
      each<float>(x, [&](int64_t, float& v) { v = static_cast<float>(bits() >> 40) * 0x1p-24f; });
      const Dims small = reduced(c.sizes, c.dims);
      std::map<int, std::vector<float>> got;
      for (const int threads : {1, 2, 3}) {
        const UseThreads with(threads);
        const Tensor sum = make_tensor(small, DType::Float32);
        const Tensor var = make_tensor(small, DType::Float32);
        const Tensor mean = make_tensor(small, DType::Float32);
        api().reduce(ctx, ReduceOp::Sum, sum, x);
        api().var(ctx, var, mean, x, 1);
        for (const Tensor& t : {sum, var, mean})
          for (const float v : values<float>(t)) got[threads].push_back(v);
      }
      const auto same = [&](int threads) {
        return std::memcmp(got[1].data(), got[threads].data(), got[1].size() * 4) == 0;
      };
      BOOST_TEST((same(2) && same(3)), isa_name(table->isa) << " over " << to_text(c.sizes));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
