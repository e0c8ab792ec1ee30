// Batch norm over one cached block, and rows that are normalised each by itself.

#include "cpu/micro.h"
#include "cpu/simd.h"
#include "cpu/simd_loop.h"

namespace lamina::LAMINA_ISA_NAMESPACE {
namespace {

// How a block of n values joins `before` others: Chan, Golub and LeVeque (1979).
struct MomentsMerge {
  double inv_n, share, spread;
  MomentsMerge(double before, double n)
      : inv_n(1 / n), share(n / (before + n)), spread(before * share) {}
};

LAMINA_SIMD double at_least_zero(double x) { return x < 0 ? 0 : x; }  // NaN stays
LAMINA_SIMD VecD at_least_zero(VecD x) { return max(VecD(0), x); }

// From a block's rounded mean and the sums of deviations from it and of their squares; R is double
// or a vector of them. The deviations' sum corrects the mean's rounding.
template <class R>
LAMINA_SIMD void merge_moments(R rounded, R deviations, R squares, const MomentsMerge& w, R& mean,
                               R& m2) {
  const R correction = deviations * R(w.inv_n);
  const R own = squares - deviations * correction;
  const R delta = (rounded + correction) - mean;
  mean = mean + delta * R(w.share);
  m2 = m2 + at_least_zero(own) + delta * delta * R(w.spread);
}

template <class T>
void moments(int64_t rows, int64_t n, const T* x, int64_t stride, double before, double* mean,
             double* m2) {
  using V = Vec<T>;
  V s[2] = {V(T(0)), V(T(0))};
  for (int64_t r = 0; r < rows; ++r) {
    for_vector_pairs<T>(
        n, [&](int64_t i, int k, auto lanes) { s[k] += lanes.load(x + r * stride + i); });
  }
  const double count = static_cast<double>(rows * n);
  const T rounded = T(double(reduce_add(s[0] + s[1])) / count);
  const V center(rounded);
  V d[2] = {V(T(0)), V(T(0))}, q[2] = {V(T(0)), V(T(0))};
  for (int64_t r = 0; r < rows; ++r) {
    for_vector_pairs<T>(n, [&](int64_t i, int k, auto lanes) {
      __builtin_prefetch(x + (r + rows) * stride + i);  // the block after this one
      const V v = lanes.keep(lanes.load(x + r * stride + i) - center);
      d[k] += v;
      q[k] = fma(v, v, q[k]);
    });
  }
  merge_moments(double(rounded), double(reduce_add(d[0] + d[1])), double(reduce_add(q[0] + q[1])),
                MomentsMerge(before, count), *mean, *m2);
}

// f(first, count, parts...) for the doubles in a vector's lanes, a vector of them at a time.
template <class F, class... V>
LAMINA_SIMD void for_doubles(int count, F f, V... parts) {
  if constexpr ((... && (sizeof(typename V::Scalar) == 8))) {
    f(0, count, parts...);
  } else {
    constexpr int kHalf = VecD::kLanes;
    const auto half = [](VecF v, bool high) {
      VecD lo, hi;
      widen(v, lo, hi);
      return high ? hi : lo;
    };
    f(0, count < kHalf ? count : kHalf, half(parts, false)...);
    if (count > kHalf) f(kHalf, count - kHalf, half(parts, true)...);
  }
}

template <class T>
void moments_columns(int64_t rows, int64_t n, const T* x, int64_t stride, double before,
                     double* mean, double* m2) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  const MomentsMerge weights(before, static_cast<double>(rows));
  for_vector_groups<T>(n, [&](int64_t i, auto group, auto lanes) {
    constexpr int kCount = decltype(group)::value;
    V center[kCount], d[kCount], q[kCount];
    for (int k = 0; k < kCount; ++k) center[k] = d[k] = q[k] = V(T(0));
    const T* at = x + i;
    for (int64_t r = 0; r < rows; ++r, at += stride) {
      for (int k = 0; k < kCount; ++k) center[k] += lanes.load(at + k * kLanes);
    }
    for (int k = 0; k < kCount; ++k) center[k] *= V(T(1) / T(rows));
    at = x + i;
    const T* next = x + i + rows * stride;  // the block after this one
    for (int64_t r = 0; r < rows; ++r, at += stride, next += stride) {
      for (int k = 0; k < kCount; ++k) {
        __builtin_prefetch(next + k * kLanes);
        const V v = lanes.load(at + k * kLanes) - center[k];
        d[k] += v;
        q[k] = fma(v, v, q[k]);
      }
    }
    for (int k = 0; k < kCount; ++k) {
      double* const means = mean + i + k * kLanes;
      double* const m2s = m2 + i + k * kLanes;
      for_doubles(
          lanes.count(),
          [&](int first, int count, VecD c, VecD deviations, VecD squares) {
            VecD to_mean = VecD::load(means + first, count);
            VecD to_m2 = VecD::load(m2s + first, count);
            merge_moments(c, deviations, squares, weights, to_mean, to_m2);
            to_mean.store(means + first, count);
            to_m2.store(m2s + first, count);
          },
          center[k], d[k], q[k]);
    }
  });
}

template <class T>
void affine(int64_t rows, int64_t n, T* y, const T* x, int64_t stride, T mean, T scale, T shift) {
  using V = Vec<T>;
  const V m(mean), a(scale), b(shift);
  for (int64_t r = 0; r < rows; ++r, x += stride, y += stride) {
    for_vectors<T>(
        n, [&](int64_t i, auto lanes) { lanes.store(y + i, fma(lanes.load(x + i) - m, a, b)); });
  }
}

// f(row, Count<4 or 1>): rows by fours, then one by one.
template <class F>
LAMINA_SIMD void for_row_groups(int64_t rows, F f) {
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4) f(row, Count<4>{});
  for (; row < rows; ++row) f(row, Count<1>{});
}

template <class T>
void affine_columns(int64_t rows, int64_t n, T* y, const T* x, int64_t stride, const T* mean,
                    const T* scale, const T* shift) {
  for_row_groups(rows, [&](int64_t row, auto group) {
    constexpr int kRows = decltype(group)::value;
    const T* const from = x + row * stride;
    T* const to = y + row * stride;
    for_vectors<T>(n, [&](int64_t i, auto lanes) {
      const Vec<T> m = lanes.load(mean + i), a = lanes.load(scale + i), b = lanes.load(shift + i);
      for (int k = 0; k < kRows; ++k) {
        const int64_t at = k * stride + i;
        __builtin_prefetch(from + at + kRows * stride);
        __builtin_prefetch(to + at + kRows * stride);
        lanes.store(to + at, fma(lanes.load(from + at) - m, a, b));
      }
    });
  });
}

template <class T>
void norm_backward_sums(int64_t rows, int64_t n, const T* dy, const T* x, int64_t stride, T mean,
                        double* sum_dy, double* sum_dyx) {
  using V = Vec<T>;
  const V m(mean);
  V s[2] = {V(T(0)), V(T(0))}, sx[2] = {V(T(0)), V(T(0))};
  for (int64_t r = 0; r < rows; ++r, dy += stride, x += stride) {
    for_vector_pairs<T>(n, [&](int64_t i, int k, auto lanes) {
      const V g = lanes.load(dy + i);
      s[k] += g;
      sx[k] = fma(g, lanes.keep(lanes.load(x + i) - m), sx[k]);
    });
  }
  *sum_dy += double(reduce_add(s[0] + s[1]));
  *sum_dyx += double(reduce_add(sx[0] + sx[1]));
}

template <class T>
void norm_backward_sums_columns(int64_t rows, int64_t n, const T* dy, const T* x, int64_t stride,
                                const T* mean, double* sum_dy, double* sum_dyx) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  for_vector_groups<T>(n, [&](int64_t i, auto group, auto lanes) {
    constexpr int kCount = decltype(group)::value;
    V m[kCount], s[kCount], sx[kCount];
    for (int k = 0; k < kCount; ++k) {
      m[k] = lanes.load(mean + i + k * kLanes);
      s[k] = sx[k] = V(T(0));
    }
    for (int64_t r = 0; r < rows; ++r) {
      for (int k = 0; k < kCount; ++k) {
        const int64_t at = r * stride + i + k * kLanes;
        const V g = lanes.load(dy + at);
        s[k] += g;
        sx[k] = fma(g, lanes.load(x + at) - m[k], sx[k]);
      }
    }
    for (int k = 0; k < kCount; ++k) {
      double* const to_dy = sum_dy + i + k * kLanes;
      double* const to_dyx = sum_dyx + i + k * kLanes;
      for_doubles(
          lanes.count(),
          [&](int first, int count, VecD a, VecD b) {
            (VecD::load(to_dy + first, count) + a).store(to_dy + first, count);
            (VecD::load(to_dyx + first, count) + b).store(to_dyx + first, count);
          },
          s[k], sx[k]);
    }
  });
}

template <class T>
void norm_backward(int64_t rows, int64_t n, T* dx, const T* dy, const T* x, int64_t stride, T mean,
                   T p, T q, T r) {
  using V = Vec<T>;
  const V m(mean), vp(p), vq(q), vr(r);
  for (int64_t row = 0; row < rows; ++row, dx += stride, dy += stride, x += stride) {
    for_vectors<T>(n, [&](int64_t i, auto lanes) {
      lanes.store(dx + i, fma(lanes.load(dy + i), vp, fma(lanes.load(x + i) - m, vq, vr)));
    });
  }
}

template <class T>
void norm_backward_columns(int64_t rows, int64_t n, T* dx, const T* dy, const T* x, int64_t stride,
                           const T* mean, const T* p, const T* q, const T* r) {
  for_row_groups(rows, [&](int64_t row, auto group) {
    constexpr int kRows = decltype(group)::value;
    const int64_t first = row * stride;
    for_vectors<T>(n, [&](int64_t i, auto lanes) {
      const Vec<T> m = lanes.load(mean + i), vp = lanes.load(p + i);
      const Vec<T> vq = lanes.load(q + i), vr = lanes.load(r + i);
      for (int k = 0; k < kRows; ++k) {
        const int64_t at = first + k * stride + i;
        const Vec<T> level = fma(lanes.load(x + at) - m, vq, vr);
        lanes.store(dx + at, fma(lanes.load(dy + at), vp, level));
      }
    });
  });
}

// -- rows --------------------------------------------------------------------------------------
//
// kRows rows at a time: one row is a chain of sums, a root and a quotient that wait for each other,
// four such chains hide one another, and weights and the sums of columns are loaded once for all.
// What becomes of a row does not depend on how many go along. The next rows are fetched by a pass
// that reads what L1 has: of [1024, 512] floats the forward by a factor of 1.2, the backward
// of 1.2; where the forward's last pass does it, or y is fetched, nothing is gained or a little
// lost.

constexpr int64_t kRowBlock =
    1024;  // values of a row whose sum is taken in T; blocks add in double

LAMINA_SIMD int64_t block_end(int64_t begin, int64_t n) {
  return n - begin < kRowBlock ? n : begin + kRowBlock;
}
LAMINA_SIMD double total(VecF v) { return double(reduce_add(v)); }
LAMINA_SIMD double total(VecD v) { return reduce_add(v); }

template <class T>
struct RowStatistics {
  T mean;
  double rest;  // what the mean's rounding to T left over
  double m2;    // sum of squared deviations
};

template <class T, int kRows>
LAMINA_SIMD void row_statistics(int64_t n, const T* x, double inv_n, RowStatistics<T>* out) {
  using V = Vec<T>;
  if (n > kRowBlock) {
    for (int k = 0; k < kRows; ++k) {
      double mean = 0, m2 = 0;
      for (int64_t at = 0; at < n; at += kRowBlock)
        moments(1, block_end(at, n) - at, x + k * n + at, kRowBlock, double(at), &mean, &m2);
      out[k] = {T(mean), mean - double(T(mean)), m2};
    }
    return;
  }
  V sum[kRows], deviations[kRows], squares[kRows];
  for (int k = 0; k < kRows; ++k) sum[k] = deviations[k] = squares[k] = V(T(0));
  for_vectors<T>(n, [&](int64_t i, auto lanes) {
    for (int k = 0; k < kRows; ++k) sum[k] += lanes.load(x + k * n + i);
  });
  T means[kRows][V::kLanes];  // loaded as x is, so that lanes that are not there stay 0
  for (int k = 0; k < kRows; ++k) {
    out[k].mean = T(total(sum[k]) * inv_n);
    V(out[k].mean).store(means[k]);
  }
  for_vectors<T>(n, [&](int64_t i, auto lanes) {
    for (int k = 0; k < kRows; ++k) {
      __builtin_prefetch(x + (k + kRows) * n + i);
      const V d = lanes.load(x + k * n + i) - lanes.load(means[k]);
      deviations[k] += d;
      squares[k] = fma(d, d, squares[k]);
    }
  });
  for (int k = 0; k < kRows; ++k) {
    const double off = total(deviations[k]);
    out[k].rest = off * inv_n;
    out[k].m2 = at_least_zero(total(squares[k]) - off * out[k].rest);
  }
}

template <class T, int kRows>
LAMINA_SIMD void row_squares(int64_t n, const T* x, RowStatistics<T>* out) {
  using V = Vec<T>;
  for (int k = 0; k < kRows; ++k) out[k] = {T(0), 0, 0};
  for (int64_t at = 0; at < n; at += kRowBlock) {
    V squares[kRows];
    for (int k = 0; k < kRows; ++k) squares[k] = V(T(0));
    for_vectors<T>(block_end(at, n) - at, [&](int64_t i, auto lanes) {
      for (int k = 0; k < kRows; ++k) {
        const V v = lanes.load(x + k * n + at + i);
        squares[k] = fma(v, v, squares[k]);
      }
    });
    for (int k = 0; k < kRows; ++k) out[k].m2 += total(squares[k]);
  }
}

template <class T, int kRows, bool kCentred>
LAMINA_SIMD void norm_row_group(int64_t n, T* y, const T* x, const T* weight, const T* bias,
                                double eps, T* mean, T* invstd, double inv_n) {
  using V = Vec<T>;
  RowStatistics<T> s[kRows];
  if constexpr (kCentred)
    row_statistics<T, kRows>(n, x, inv_n, s);
  else
    row_squares<T, kRows>(n, x, s);
  V center[kRows], scale[kRows], rest[kRows];
  for (int k = 0; k < kRows; ++k) {
    const double inv = 1 / __builtin_sqrt(s[k].m2 * inv_n + eps);
    invstd[k] = T(inv);
    scale[k] = V(T(inv));
    if constexpr (kCentred) {
      mean[k] = T(double(s[k].mean) + s[k].rest);
      center[k] = V(s[k].mean);
      rest[k] = V(T(-s[k].rest * inv));
    }
  }
  for_vectors<T>(n, [&](int64_t i, auto lanes) {
    const V w = lanes.load(weight + i), b = lanes.load(bias + i);
    for (int k = 0; k < kRows; ++k) {
      const int64_t at = k * n + i;
      const V v = lanes.load(x + at);
      const V normal = kCentred ? fma(v - center[k], scale[k], rest[k]) : v * scale[k];
      lanes.store(y + at, fma(normal, w, b));
    }
  });
}

// Rows by fours where four of them are small in L1; longer ones have work enough to hide their
// chain, and one stream of memory is read faster than four: of [4096, 1024] floats, forward by a
// factor of 1.5, backward of 1.2.
template <class T, class F>
LAMINA_SIMD void for_norm_rows(int64_t rows, int64_t n, F f) {
  constexpr int64_t kFourAtOnce = 2048 / sizeof(T);
  if (n <= kFourAtOnce) {
    for_row_groups(rows, f);
    return;
  }
  for (int64_t row = 0; row < rows; ++row) f(row, Count<1>{});
}

template <class T>
void norm_rows(int64_t rows, int64_t n, T* y, const T* x, const T* weight, const T* bias,
               double eps, T* mean, T* invstd) {
  const double inv_n = 1 / static_cast<double>(n);
  for_norm_rows<T>(rows, n, [&](int64_t row, auto count) {
    constexpr int kRows = decltype(count)::value;
    if (mean == nullptr)
      norm_row_group<T, kRows, false>(n, y + row * n, x + row * n, weight, bias, eps, nullptr,
                                      invstd + row, inv_n);
    else
      norm_row_group<T, kRows, true>(n, y + row * n, x + row * n, weight, bias, eps, mean + row,
                                     invstd + row, inv_n);
  });
}

// dx = dy * weight * p + (x - mean) * q + r, q and r being from the row's sums of dy * weight and
// of that times (x - mean).
template <class T, int kRows, bool kCentred>
LAMINA_SIMD void norm_row_group_backward(int64_t n, T* dx, const T* dy, const T* x, const T* weight,
                                         const T* mean, const T* invstd, T* dweight, T* dbias,
                                         double inv_n) {
  using V = Vec<T>;
  V m[kRows], p[kRows], q[kRows], r[kRows];
  double sum_g[kRows] = {}, sum_gx[kRows] = {};
  for (int k = 0; k < kRows; ++k) m[k] = V(kCentred ? mean[k] : T(0));
  for (int64_t at = 0; at < n; at += kRowBlock) {
    V g_sum[kRows], gx_sum[kRows];
    for (int k = 0; k < kRows; ++k) g_sum[k] = gx_sum[k] = V(T(0));
    for_vectors<T>(block_end(at, n) - at, [&](int64_t j, auto lanes) {
      const int64_t i = at + j;
      const V w = lanes.load(weight + i);
      for (int k = 0; k < kRows; ++k) {
        const V g = lanes.load(dy + k * n + i) * w, v = lanes.load(x + k * n + i);
        if constexpr (kCentred) g_sum[k] += g;
        // Lanes that are not there add 0: an infinite mean has made the row NaN before.
        gx_sum[k] = fma(g, kCentred ? v - m[k] : v, gx_sum[k]);
      }
    });
    for (int k = 0; k < kRows; ++k) {
      sum_g[k] += total(g_sum[k]);
      sum_gx[k] += total(gx_sum[k]);
    }
  }
  for (int k = 0; k < kRows; ++k) {
    const double inv = double(invstd[k]), share = -inv * inv_n;
    p[k] = V(invstd[k]);
    q[k] = V(T(share * inv * inv * sum_gx[k]));
    r[k] = V(T(share * sum_g[k]));
  }
  for_vectors<T>(n, [&](int64_t i, auto lanes) {
    const V w = lanes.load(weight + i);
    V dw = lanes.load(dweight + i), db = lanes.load(dbias + i);
    for (int k = 0; k < kRows; ++k) {
      const int64_t at = k * n + i;
      __builtin_prefetch(dy + at + kRows * n);
      __builtin_prefetch(x + at + kRows * n);
      const V g = lanes.load(dy + at), v = lanes.load(x + at);
      const V centered = kCentred ? v - m[k] : v;
      const V level = kCentred ? fma(centered, q[k], r[k]) : centered * q[k];
      lanes.store(dx + at, fma(g * w, p[k], level));
      dw = fma(g, centered * p[k], dw);
      db += g;
    }
    lanes.store(dweight + i, dw);
    lanes.store(dbias + i, db);
  });
}

template <class T>
void norm_rows_backward(int64_t rows, int64_t n, T* dx, const T* dy, const T* x, const T* weight,
                        const T* mean, const T* invstd, T* dweight, T* dbias) {
  const double inv_n = 1 / static_cast<double>(n);
  for_norm_rows<T>(rows, n, [&](int64_t row, auto count) {
    constexpr int kRows = decltype(count)::value;
    const int64_t at = row * n;
    if (mean == nullptr)
      norm_row_group_backward<T, kRows, false>(n, dx + at, dy + at, x + at, weight, nullptr,
                                               invstd + row, dweight, dbias, inv_n);
    else
      norm_row_group_backward<T, kRows, true>(n, dx + at, dy + at, x + at, weight, mean + row,
                                              invstd + row, dweight, dbias, inv_n);
  });
}

template <class T>
constexpr NormMicro<T> make_norm() {
  return {moments<T>,           moments_columns<T>,       affine<T>,
          affine_columns<T>,    norm_backward_sums<T>,    norm_backward_sums_columns<T>,
          norm_backward<T>,     norm_backward_columns<T>, norm_rows<T>,
          norm_rows_backward<T>};
}

}  // namespace

LAMINA_MICRO(NormMicro, norm);

}  // namespace lamina::LAMINA_ISA_NAMESPACE
