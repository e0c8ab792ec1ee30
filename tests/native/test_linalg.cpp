// Systems of equations and QR on the CPU device: by what they must satisfy.
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <limits>

#include "cpu_test.h"

using namespace lamina;
using namespace lamina::test;

namespace {

const DeviceApi& api() { return *device_api(DeviceKind::Cpu); }

Tensor random_batch(const Dims& sizes, DType dtype, uint64_t seed, double diagonal) {
  std::mt19937_64 bits(seed);
  const Tensor t = make_tensor(sizes, dtype);
  dispatch_floating("test", dtype, [&]<class T>() {
    assign<T>(t, [&](int64_t i) {
      const int64_t row = i / sizes[2] % sizes[1], column = i % sizes[2];
      // Off the diagonal, so that pivots are needed.
      const double on = (row + 1) % sizes[1] == column ? diagonal : 0;
      return static_cast<T>(static_cast<double>(bits() >> 11) * 0x1p-52 - 1 + on);
    });
  });
  return t;
}

Tensor copy_of(const Tensor& t) {
  const Tensor out = make_tensor(t.sizes(), t.dtype());
  std::memcpy(out.data(), t.data(), static_cast<size_t>(t.numel() * item_size(t.dtype())));
  return out;
}

// The largest |sum_k a[i, k] b[k, j] - c[i, j]| over a batch, in double; `scale` gets the largest
// sum of the terms' sizes.
double residual(const Tensor& a, const Tensor& b, const Tensor& c, double* scale) {
  const auto x = values<double>(a), y = values<double>(b), z = values<double>(c);
  const int64_t m = a.size(1), k = a.size(2), n = b.size(2);
  double worst = 0;
  *scale = 0;
  for (int64_t s = 0; s < a.size(0); ++s)
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0, size = 0;
        for (int64_t p = 0; p < k; ++p) {
          const double term = x[static_cast<size_t>((s * m + i) * k + p)] *
                              y[static_cast<size_t>((s * k + p) * n + j)];
          sum += term;
          size += std::abs(term);
        }
        worst = std::max(worst, std::abs(sum - z[static_cast<size_t>((s * m + i) * n + j)]));
        *scale = std::max(*scale, size);
      }
  return worst;
}

double eps_of(DType t) { return t == DType::Float32 ? 0x1p-23 : 0x1p-52; }

}  // namespace

BOOST_AUTO_TEST_SUITE(linalg)

// Sizes below, at and beyond the block of columns that is eliminated at a time. Partial pivoting is
// backward stable but for a growth that random matrices keep small: the residual is some n
// roundings of the terms.
BOOST_AUTO_TEST_CASE(solutions_solve) {
  Ctx ctx = cpu_ctx();
  uint64_t seed = 0;
  for (const DType dtype : {DType::Float32, DType::Float64}) {
    for (const int64_t n : {1, 2, 3, 31, 32, 33, 64, 65, 130}) {
      for (const int64_t k : {int64_t{1}, int64_t{7}, n}) {
        const Tensor a = random_batch({3, n, n}, dtype, ++seed, 3);
        const Tensor b = random_batch({3, n, k}, dtype, ++seed, 0);
        const Tensor x = copy_of(b);
        BOOST_REQUIRE(api().solve(ctx, copy_of(a), x) == -1);
        double scale = 0;
        const double off = residual(a, x, b, &scale);
        BOOST_TEST(off <= 8 * static_cast<double>(n) * eps_of(dtype) * scale,
                   n << " x " << n << ", " << k << " right sides: " << off << " of " << scale);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(singular_matrices_are_named) {
  Ctx ctx = cpu_ctx();
  const Tensor a = random_batch({40, 9, 9}, DType::Float64, 1, 3);
  for (const int64_t bad : {17, 31})
    for (int64_t i = 0; i < 9; ++i) a.as<double>()[bad * 81 + 4 * 9 + i] = 0;
  for (const int threads : {1, 3}) {
    const UseThreads with(threads);
    BOOST_TEST(api().solve(ctx, copy_of(a), random_batch({40, 9, 1}, DType::Float64, 2, 0)) == 17);
  }
  // Nothing to solve, nothing on the right, no matrices.
  for (const auto& [batch, n, k] : {std::tuple{2, 0, 3}, {2, 4, 0}, {0, 4, 4}})
    BOOST_TEST(api().solve(ctx, random_batch({batch, n, n}, DType::Float64, 3, 5),
                           random_batch({batch, n, k}, DType::Float64, 4, 0)) == -1);
}

BOOST_AUTO_TEST_CASE(nan_is_not_hidden) {
  Ctx ctx = cpu_ctx();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Tensor a = random_batch({1, 3, 3}, DType::Float64, 1, 3);
  a.as<double>()[0] = nan;
  const Tensor x = random_batch({1, 3, 1}, DType::Float64, 2, 0);
  BOOST_TEST(api().solve(ctx, copy_of(a), x) == -1);
  for (const double v : values<double>(x)) BOOST_TEST(std::isnan(v));
  // The only element of its column, so that there would be nothing to reflect.
  const Tensor r = make_tensor({1, 3, 1}, DType::Float64);
  assign<double>(r, [&](int64_t i) { return i == 2 ? nan : 0; });
  const Tensor q = make_tensor({1, 3, 1}, DType::Float64);
  api().qr(ctx, q, r);
  BOOST_TEST(std::isnan(r.as<double>()[0]));
}

BOOST_AUTO_TEST_CASE(qr_gives_back_the_matrix) {
  Ctx ctx = cpu_ctx();
  uint64_t seed = 0;
  for (const DType dtype : {DType::Float32, DType::Float64}) {
    for (const auto& [m, n] : {std::pair{1, 1}, {5, 3}, {3, 5}, {40, 40}, {70, 33}, {33, 70}}) {
      for (const int64_t k : {int64_t{m}, int64_t{std::min(m, n)}}) {
        const Tensor a = random_batch({2, m, n}, dtype, ++seed, 0);
        const Tensor whole = copy_of(a), q = make_tensor({2, m, k}, dtype);
        api().qr(ctx, q, whole);
        const Tensor r = make_tensor({2, k, n}, dtype);
        api().copy(ctx, r, alias(whole, {2, k, n}, {int64_t{m} * n, n, 1}, 0));
        double scale = 0;
        const double bound = 8 * static_cast<double>(m + n) * eps_of(dtype);
        const double off = residual(q, r, a, &scale);
        BOOST_TEST(off <= bound * scale);
        // Orthonormal columns, and nothing below the diagonal.
        const Tensor qt = make_tensor({2, k, m}, dtype), one = make_tensor({2, k, k}, dtype);
        api().copy(ctx, qt, alias(q, {2, k, m}, {m * k, 1, k}, 0));
        dispatch_floating("test", dtype, [&]<class T>() {
          assign<T>(one, [&](int64_t i) { return T(i / k % k == i % k); });
        });
        const double skew = residual(qt, q, one, &scale);
        BOOST_TEST(skew <= bound * scale);
        const auto below = values<double>(whole);
        for (int64_t i = 0; i < m; ++i)
          for (int64_t j = 0; j < std::min<int64_t>(i, n); ++j)
            BOOST_REQUIRE(below[static_cast<size_t>(i * n + j)] == 0);
      }
    }
  }
}

// Elements whose squares are beyond the range, or below it.
BOOST_AUTO_TEST_CASE(qr_neither_overflows_nor_vanishes) {
  Ctx ctx = cpu_ctx();
  for (const double size : {1e30, 1e-30}) {
    const Tensor r = make_tensor({1, 2, 1}, DType::Float32);
    assign<float>(r, [&](int64_t i) { return static_cast<float>((i == 0 ? 3 : 4) * size); });
    const Tensor q = make_tensor({1, 2, 1}, DType::Float32);
    api().qr(ctx, q, r);
    BOOST_TEST(std::abs(r.as<float>()[0] / (-5 * size) - 1) < 4 * 0x1p-23);
    BOOST_TEST(std::abs(q.as<float>()[1] + 0.8f) < 4 * 0x1p-23f);
  }
}

BOOST_AUTO_TEST_CASE(the_same_bits_for_any_thread_count) {
  Ctx ctx = cpu_ctx();
  for (const Dims& sizes : {Dims{1, 300, 300}, Dims{50, 20, 20}}) {
    const Tensor a = random_batch(sizes, DType::Float32, 1, 3);
    const Tensor b = random_batch(sizes, DType::Float32, 2, 0);
    std::vector<float> want[3];
    for (const int threads : {1, 2, 3}) {
      const UseThreads with(threads);
      const Tensor x = copy_of(b), r = copy_of(a), q = make_tensor(sizes, DType::Float32);
      api().solve(ctx, copy_of(a), x);
      api().qr(ctx, q, r);
      int i = 0;
      for (const Tensor& t : {x, r, q}) {
        const auto got = values<float>(t);
        if (threads == 1) want[i] = got;
        BOOST_TEST(std::memcmp(got.data(), want[i].data(), got.size() * 4) == 0);
        ++i;
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
