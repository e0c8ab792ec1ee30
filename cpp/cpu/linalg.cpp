// Factorisations of dense matrices, batched: LU with partial pivoting, and Householder's QR.
//
// Matrices lie in rows, so every inner loop runs along a row. Batches are shared among threads; of
// a single large matrix, the product that updates its rest is (LU), or its columns are (QR).
#include <algorithm>
#include <atomic>
#include <cmath>

#include "core/parallel.h"
#include "cpu/drivers.h"
#include "cpu/workspace.h"

namespace lamina::cpu {
namespace {

constexpr int64_t kBlock = 32;       // columns eliminated before the rest is updated by gemm
constexpr int64_t kWork = 1 << 16;   // multiplications that are worth a task
constexpr int64_t kMinColumns = 64;  // of a task of the QR

int64_t grain_of(int64_t work_of_one) {
  return std::max<int64_t>(1, kWork / std::max<int64_t>(work_of_one, 1));
}

// Rows of a matrix, or of a part of one.
template <class T>
struct Rows {
  T* data;
  int64_t step;  // elements from a row to the next
  T* operator[](int64_t i) const { return data + i * step; }
  Rows at(int64_t i, int64_t j) const { return {data + i * step + j, step}; }
};

// c [m, n] -= a [m, k] b [k, n]
template <class T>
void subtract_product(Ctx& ctx, Rows<T> c, Rows<T> a, Rows<T> b, int64_t m, int64_t n, int64_t k) {
  if (m == 0 || n == 0) return;
  const Dims c_sizes{1, m, n}, a_sizes{1, m, k}, b_sizes{1, k, n};
  const Dims c_steps{0, c.step, 1}, a_steps{0, a.step, 1}, b_steps{0, b.step, 1};
  GemmArgs args;
  args.c = {c.data, c_sizes, c_steps, kDTypeOf<T>};
  args.a = {a.data, a_sizes, a_steps, kDTypeOf<T>};
  args.b = {b.data, b_sizes, b_steps, kDTypeOf<T>};
  args.alpha = -1;
  args.beta = 1;
  gemm(ctx, args);
}

// row -= factor * other, over n columns
template <class T>
void subtract_row(T* row, T factor, const T* other, int64_t n) {
  for (int64_t j = 0; j < n; ++j) row[j] -= factor * other[j];
}

// Gaussian elimination with partial pivoting: a [n, n] becomes L and U, b [n, k] becomes U^-1 L^-1
// P b. False when a pivot is zero.
template <class T>
bool eliminate(Ctx& ctx, Rows<T> a, int64_t n, Rows<T> b, int64_t k) {
  for (int64_t left = 0; left < n; left += kBlock) {
    const int64_t right = std::min(left + kBlock, n);
    for (int64_t j = left; j < right; ++j) {
      int64_t pivot = j;
      for (int64_t i = j + 1; i < n; ++i)
        if (std::abs(a[i][j]) > std::abs(a[pivot][j])) pivot = i;
      if (a[pivot][j] == T(0)) return false;
      if (pivot != j) {
        std::swap_ranges(a[j], a[j] + n, a[pivot]);
        std::swap_ranges(b[j], b[j] + k, b[pivot]);
      }
      for (int64_t i = j + 1; i < n; ++i) {
        a[i][j] /= a[j][j];
        subtract_row(a[i] + j + 1, a[i][j], a[j] + j + 1, right - j - 1);
      }
    }
    // The block's rows, to the right of it; then everything below them.
    for (int64_t i = left + 1; i < right; ++i)
      for (int64_t j = left; j < i; ++j) {
        subtract_row(a[i] + right, a[i][j], a[j] + right, n - right);
        subtract_row(b[i], a[i][j], b[j], k);
      }
    const Rows<T> below = a.at(right, left);
    subtract_product(ctx, a.at(right, right), below, a.at(left, right), n - right, n - right,
                     right - left);
    subtract_product(ctx, b.at(right, 0), below, b.at(left, 0), n - right, k, right - left);
  }
  for (int64_t right = n; right > 0;) {
    const int64_t left = (right - 1) / kBlock * kBlock;
    for (int64_t i = right - 1; i >= left; --i) {
      for (int64_t j = i + 1; j < right; ++j) subtract_row(b[i], a[i][j], b[j], k);
      for (int64_t c = 0; c < k; ++c) b[i][c] /= a[i][i];
    }
    subtract_product(ctx, b, a.at(0, left), b.at(left, 0), left, k, right - left);
    right = left;
  }
  return true;
}

// The reflection H = 1 - tau v v^T, v[0] = 1, that takes x [n] (in steps) to (beta, 0, ..., 0):
// x becomes beta and the rest of v. The sign of beta is that of LAPACK: against x[0].
template <class T>
T make_reflection(T* x, int64_t step, int64_t n) {
  T top = 0;
  bool done = true;
  for (int64_t i = 1; i < n; ++i) {
    done = done && x[i * step] == T(0);  // not so for NaN, which must come through
    top = std::max(top, std::abs(x[i * step]));
  }
  if (done) return 0;
  T sum = 0;
  for (int64_t i = 1; i < n; ++i) {
    const T scaled = x[i * step] / top;  // whose square neither overflows nor vanishes
    sum += scaled * scaled;
  }
  const T alpha = x[0];
  const T beta = -std::copysign(std::hypot(alpha, top * std::sqrt(sum)), alpha);
  for (int64_t i = 1; i < n; ++i) x[i * step] /= alpha - beta;
  x[0] = beta;
  return (beta - alpha) / beta;
}

// a [rows, columns] = H a; v in steps, its first element taken as 1.
template <class T>
void reflect(T tau, const T* v, int64_t step, Rows<T> a, int64_t rows, int64_t columns) {
  if (tau == T(0)) return;
  parallel_for(columns, std::max(kMinColumns, grain_of(rows)), [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    Workspace<T> sums(n);
    std::fill(sums.data(), sums.data() + n, T(0));
    for (int64_t i = 0; i < rows; ++i) {
      const T factor = i == 0 ? T(1) : v[i * step];
      const T* row = a[i] + begin;
      for (int64_t j = 0; j < n; ++j) sums[j] += factor * row[j];
    }
    for (int64_t i = 0; i < rows; ++i)
      subtract_row(a[i] + begin, tau * (i == 0 ? T(1) : v[i * step]), sums.data(), n);
  });
}

// r [m, n] holds A and becomes R, zero below its diagonal; q [m, k] becomes the first k columns of
// Q.
template <class T>
void factor(Rows<T> q, int64_t k, Rows<T> r, int64_t m, int64_t n) {
  const int64_t count = std::min(m, n);
  Workspace<T> tau(count);
  for (int64_t j = 0; j < count; ++j) {
    tau[j] = make_reflection(r[j] + j, r.step, m - j);
    reflect(tau[j], r[j] + j, r.step, r.at(j, j + 1), m - j, n - j - 1);
  }
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < k; ++j) q[i][j] = T(i == j);
  // From the last one on, so that the columns before j are those of the identity still.
  for (int64_t j = count - 1; j >= 0; --j)
    if (j < k) reflect(tau[j], r[j] + j, r.step, q.at(j, j), m - j, k - j);
  for (int64_t i = 1; i < m; ++i) std::fill(r[i], r[i] + std::min(i, n), T(0));
}

}  // namespace

int64_t solve(Ctx& ctx, const TensorRef& a, const TensorRef& b) {
  const int64_t count = a.sizes[0], n = a.sizes[1], k = b.sizes[2];
  std::atomic<int64_t> first{count};
  dispatch_floating("solve", a.dtype, [&]<class T>() {
    parallel_for(count, grain_of(n * n * (n + k)), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        if (eliminate<T>(ctx, {a.as<T>() + i * n * n, n}, n, {b.as<T>() + i * n * k, k}, k))
          continue;
        int64_t known = first.load();
        while (i < known && !first.compare_exchange_weak(known, i)) {
        }
      }
    });
  });
  return first == count ? -1 : first.load();
}

void qr(Ctx&, const TensorRef& q, const TensorRef& r) {
  const int64_t m = r.sizes[1], n = r.sizes[2], k = q.sizes[2];
  dispatch_floating("qr", r.dtype, [&]<class T>() {
    parallel_for(r.sizes[0], grain_of(m * n * std::min(m, n)), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        factor<T>({q.as<T>() + i * m * k, k}, k, {r.as<T>() + i * m * n, n}, m, n);
    });
  });
}

}  // namespace lamina::cpu
