// CUDA's reductions and matrix product, run by the emulation in cuda/emulation. Inputs are small
// integers wherever an order of summation could show, so that results must be equal.
#ifdef LAMINA_CUDA_EMULATION
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "cuda_emulation.h"

using namespace lamina;
using namespace lamina::cuda_test;

namespace {

// Calls f(output index, value, index along the reduced elements) for all of x, row-major.
template <class T, class F>
void for_each_reduced(Array<T>& x, const Dims& out_sizes, F f) {
  const int64_t n = x.numel();
  std::vector<int64_t> seen(static_cast<size_t>(checked_numel(out_sizes)));
  for (int64_t i = 0; i < n; ++i) {
    int64_t rest = i;
    int64_t at = 0;
    int64_t step = 1;
    for (int d = x.sizes.rank() - 1; d >= 0; --d) {
      const int64_t k = rest % x.sizes[d];
      rest /= x.sizes[d];
      if (out_sizes[d] == 1) continue;
      at += k * step;
      step *= out_sizes[d];
    }
    f(at, x[i], seen[static_cast<size_t>(at)]++);
  }
}

struct Case {
  Dims sizes;
  unsigned reduced;  // bit d: dimension d
};

// Few and many outputs, few and many elements each, along rows, columns and both. A chunk is 8192
// elements at most, and the longest need a second pass over their chunks.
const Case kCases[] = {
    {{}, 0},        {{1}, 1},       {{5}, 1},       {{8193}, 1},       {{70, 3}, 2},
    {{70, 3}, 1},   {{3, 700}, 2},  {{3, 700}, 1},  {{600, 33}, 1},    {{4, 5, 6}, 2},
    {{4, 5, 6}, 5}, {{4, 5, 6}, 7}, {{4, 5, 6}, 0}, {{2, 300, 40}, 2}, {{9, 1, 40, 2}, 6},
    {{9000, 2}, 1}, {{2, 9000}, 2},
};

Dims kept(const Case& c) {
  Dims out = c.sizes;
  for (int d = 0; d < out.rank(); ++d)
    if (c.reduced >> d & 1) out[d] = 1;
  return out;
}

template <class To, class From>
void check_reductions() {
  Ctx ctx = cuda_ctx();
  for (const Case& c : kCases)
    for (const bool shuffled : {false, true}) {
      const Dims out_sizes = kept(c);
      Array<From> x(c.sizes, shuffled ? shuffled_strides(c.sizes) : contiguous_strides(c.sizes));
      Array<To> out(out_sizes,
                    shuffled ? shuffled_strides(out_sizes) : contiguous_strides(out_sizes));
      x.set_integers(0, 3);
      const auto n = static_cast<size_t>(out.numel());
      const auto check = [&](ReduceOp op, double start, auto join) {
        std::vector<double> expected(n, start);
        for_each_reduced(x, out_sizes, [&](int64_t at, From v, int64_t) {
          double& e = expected[static_cast<size_t>(at)];
          e = join(e, static_cast<double>(v));
        });
        cuda::reduce(ctx, op, out.ref(), x.ref());
        for (size_t i = 0; i < n; ++i)
          BOOST_REQUIRE_EQUAL(out[static_cast<int64_t>(i)],
                              static_cast<To>(static_cast<int64_t>(expected[i])));
      };
      check(ReduceOp::Sum, 0, [](double a, double b) { return a + b; });
      check(ReduceOp::Max, -1, [](double a, double b) { return std::max(a, b); });
      check(ReduceOp::Min, 99, [](double a, double b) { return std::min(a, b); });
      check(ReduceOp::Any, 0, [](double a, double b) { return double(a != 0 || b != 0); });
      check(ReduceOp::All, 1, [](double a, double b) { return double(a != 0 && b != 0); });
      x.set([&](int64_t i) { return i % 97 == 0 ? 2 : 1; });
      if (x.numel() <= 97 * 30) check(ReduceOp::Prod, 1, [](double a, double b) { return a * b; });

      Array<From> values(out_sizes);
      Array<int64_t> indices(out_sizes);
      x.set_integers(0, 1000);
      for (const ReduceOp op : {ReduceOp::Max, ReduceOp::Min}) {
        std::vector<std::pair<double, int64_t>> best(n, {NAN, 0});
        for_each_reduced(x, out_sizes, [&](int64_t at, From v, int64_t index) {
          auto& b = best[static_cast<size_t>(at)];
          const auto value = static_cast<double>(v);
          if (std::isnan(b.first) || (op == ReduceOp::Max ? value > b.first : value < b.first))
            b = {value, index};
        });
        // Elements of a shuffled x are numbered by its strides; indices are asked for along one
        // dimension only.
        if (std::popcount(c.reduced) > 1) continue;
        cuda::arg_reduce(ctx, op, values.ref(), indices.ref(), x.ref(), 0);
        for (size_t i = 0; i < n; ++i) {
          BOOST_REQUIRE_EQUAL(values[static_cast<int64_t>(i)], static_cast<From>(best[i].first));
          BOOST_REQUIRE_EQUAL(indices[static_cast<int64_t>(i)], best[i].second);
        }
      }
    }
}

double activated(Activation act, double x) {
  switch (act) {
    case Activation::Relu: return std::max(x, 0.0);
    case Activation::Tanh: return std::tanh(x);
    case Activation::Sigmoid: return 1 / (1 + std::exp(-x));
    case Activation::Gelu: return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    default: return x;
  }
}

struct Product {
  int64_t batch, m, n, k;
  bool a_transposed = false, b_transposed = false, b_broadcast = false;
  double alpha = 1, beta = 0;
  bool bias = false;
  Activation act = Activation::None;
};

template <class T>
void check_product(const Product& p) {
  Ctx ctx = cuda_ctx();
  const Dims a_strides = p.a_transposed ? Dims{p.m * p.k, 1, p.m} : Dims{p.m * p.k, p.k, 1};
  Dims b_strides = p.b_transposed ? Dims{p.k * p.n, 1, p.k} : Dims{p.k * p.n, p.n, 1};
  if (p.b_broadcast) b_strides[0] = 0;
  Array<T> a(Dims{p.batch, p.m, p.k}, a_strides);
  Array<T> b(Dims{p.batch, p.k, p.n}, b_strides);
  Array<T> c(Dims{p.batch, p.m, p.n}, Dims{p.m * (p.n + 3), p.n + 3, 1});
  Array<T> bias(Dims{p.n});
  a.set_integers();
  b.set_integers();
  bias.set_integers();
  if (p.beta == 0)
    std::fill(c.data.begin(), c.data.end(), std::numeric_limits<T>::quiet_NaN());
  else
    c.set_integers();
  Array<T> before = c;
  GemmArgs args;
  args.c = c.ref();
  args.a = a.ref();
  args.b = b.ref();
  if (p.bias) args.bias = bias.ref();
  args.alpha = p.alpha;
  args.beta = p.beta;
  args.act = p.act;
  cuda::gemm(ctx, args);
  for (int64_t i = 0; i < c.numel(); ++i) {
    const int64_t batch = i / (p.m * p.n);
    const int64_t row = i / p.n % p.m;
    const int64_t col = i % p.n;
    double sum = 0;
    for (int64_t k = 0; k < p.k; ++k)
      sum += static_cast<double>(a[(batch * p.m + row) * p.k + k]) *
             static_cast<double>(b[(batch * p.k + k) * p.n + col]);
    sum *= p.alpha;
    if (p.beta != 0) sum += p.beta * static_cast<double>(before[i]);
    if (p.bias) sum += static_cast<double>(bias[col]);
    const double expected = activated(p.act, sum);
    // Exact up to the activation, which rounds a few times.
    const double tolerance = p.act == Activation::None || p.act == Activation::Relu
                                 ? 0
                                 : 8 * static_cast<double>(std::numeric_limits<T>::epsilon());
    BOOST_REQUIRE_LE(std::abs(static_cast<double>(c[i]) - expected),
                     tolerance * std::max(1.0, std::abs(expected)));
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(cuda_reduce_gemm)

BOOST_AUTO_TEST_CASE(float_reductions) { check_reductions<float, float>(); }
BOOST_AUTO_TEST_CASE(double_reductions_of_integers) { check_reductions<double, int32_t>(); }
BOOST_AUTO_TEST_CASE(integer_reductions) { check_reductions<int64_t, uint8_t>(); }

BOOST_AUTO_TEST_CASE(nan_wins_and_the_first_extreme_is_found) {
  Ctx ctx = cuda_ctx();
  Array<float> x(Dims{20000});
  x.set([](int64_t i) { return i % 5; });
  Array<float> value(Dims{1});
  Array<int64_t> index(Dims{1});
  cuda::arg_reduce(ctx, ReduceOp::Max, value.ref(), index.ref(), x.ref(), 0);
  BOOST_TEST(value[0] == 4);
  BOOST_TEST(index[0] == 4);
  x[17000] = x[12000] = NAN;
  for (const ReduceOp op : {ReduceOp::Max, ReduceOp::Min}) {
    cuda::arg_reduce(ctx, op, value.ref(), index.ref(), x.ref(), 0);
    BOOST_TEST(std::isnan(value[0]));
    BOOST_TEST(index[0] == 12000);
    value[0] = 0;
    cuda::reduce(ctx, op, value.ref(), x.ref());
    BOOST_TEST(std::isnan(value[0]));
  }
  Flags any(Dims{1});
  cuda::reduce(ctx, ReduceOp::All, any.ref(), x.ref());
  BOOST_TEST(any[0] == 0);
}

// 70000 elements down a column are 274 chunks of 256, and these again two.
BOOST_AUTO_TEST_CASE(three_passes) {
  Ctx ctx = cuda_ctx();
  Array<int32_t> x(Dims{70000, 32});
  x.set([](int64_t i) { return i % 32; });
  Array<int64_t> out(Dims{1, 32});
  cuda::reduce(ctx, ReduceOp::Sum, out.ref(), x.ref());
  for (int64_t j = 0; j < 32; ++j) BOOST_TEST(out[j] == 70000 * j);
}

BOOST_AUTO_TEST_CASE(reductions_of_nothing) {
  Ctx ctx = cuda_ctx();
  Array<float> x(Dims{2, 0});
  Array<float> out(Dims{2, 1});
  cuda::reduce(ctx, ReduceOp::Prod, out.ref(), x.ref());
  BOOST_TEST(out.data == (std::vector<float>{1, 1}));
  cuda::reduce(ctx, ReduceOp::Sum, out.ref(), x.ref());
  BOOST_TEST(out.data == (std::vector<float>{0, 0}));
  Array<float> none(Dims{1, 0});
  cuda::reduce(ctx, ReduceOp::Sum, none.ref(), x.ref());
}

// A chain of at most n additions has |error| <= n eps sum|x|; here no chain is longer than 32
// elements of a lane and 8 levels of the tree, in each of at most three passes.
BOOST_AUTO_TEST_CASE(float_sums_are_close_and_have_the_same_bits_twice) {
  Ctx ctx = cuda_ctx();
  for (const Dims& strides : {Dims{3, 1}, Dims{1, 300000}}) {
    Array<float> x(Dims{300000, 3}, strides);
    x.set_normal();
    Array<float> first(Dims{1, 3});
    Array<float> second(Dims{1, 3});
    cuda::reduce(ctx, ReduceOp::Sum, first.ref(), x.ref());
    cuda::reduce(ctx, ReduceOp::Sum, second.ref(), x.ref());
    BOOST_TEST(first.data == second.data);
    for (int64_t j = 0; j < 3; ++j) {
      double sum = 0;
      double magnitude = 0;
      for (int64_t i = 0; i < 300000; ++i) {
        sum += static_cast<double>(x[i * 3 + j]);
        magnitude += std::abs(static_cast<double>(x[i * 3 + j]));
      }
      BOOST_TEST(std::abs(static_cast<double>(first[j]) - sum) <= 3 * 40 * 0x1p-24 * magnitude);
    }
  }
}

BOOST_AUTO_TEST_CASE(variance) {
  Ctx ctx = cuda_ctx();
  for (const Case& c : kCases) {
    const Dims out_sizes = kept(c);
    Array<float> x(c.sizes, shuffled_strides(c.sizes));
    x.set_normal();
    Array<double> var(out_sizes);
    Array<double> mean(out_sizes);
    cuda::var(ctx, var.ref(), mean.ref(), x.ref(), 1);
    const auto n = static_cast<size_t>(var.numel());
    std::vector<double> sums(n), squares(n);
    const double count = static_cast<double>(x.numel()) / static_cast<double>(n);
    for_each_reduced(x, out_sizes, [&](int64_t at, float v, int64_t) {
      sums[static_cast<size_t>(at)] += static_cast<double>(v);
    });
    for_each_reduced(x, out_sizes, [&](int64_t at, float v, int64_t) {
      const double d = static_cast<double>(v) - sums[static_cast<size_t>(at)] / count;
      squares[static_cast<size_t>(at)] += d * d;
    });
    for (size_t i = 0; i < n; ++i) {
      const auto at = static_cast<int64_t>(i);
      BOOST_REQUIRE_SMALL(mean[at] - sums[i] / count, count * 1e-15);
      if (count == 1)
        BOOST_REQUIRE(std::isnan(var[at]));
      else
        BOOST_REQUIRE_SMALL(var[at] - squares[i] / (count - 1), count * 1e-14);
    }
  }
}

BOOST_AUTO_TEST_CASE(products) {
  for (const bool a_transposed : {false, true})
    for (const bool b_transposed : {false, true}) {
      check_product<float>({2, 65, 63, 17, a_transposed, b_transposed});
      check_product<double>({1, 64, 70, 33, a_transposed, b_transposed});
      check_product<float>({1, 130, 257, 19, a_transposed, b_transposed});  // large tiles
    }
  check_product<float>({1, 1, 1, 1});
  check_product<float>({1, 1, 300, 5});
  check_product<float>({1, 300, 1, 5});
  check_product<float>({3, 5, 7, 300, false, true, true});
  check_product<float>({1, 4, 4, 0});
  check_product<double>({1, 4, 4, 0, false, false, false, 1, 2, true});
  check_product<float>({0, 4, 4, 3});
  check_product<float>({2, 9, 10, 11, false, false, false, 0.5, 2, true});
  for (const Activation act :
       {Activation::Relu, Activation::Tanh, Activation::Sigmoid, Activation::Gelu}) {
    check_product<float>({1, 20, 30, 4, false, true, false, 0.125, 0, true, act});
    check_product<double>({1, 20, 30, 4, false, true, false, 0.125, 0, true, act});
  }
}

BOOST_AUTO_TEST_SUITE_END()
#endif  // LAMINA_CUDA_EMULATION
