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
    for (int64_t r = 0; r < rows; ++r, at += stride) {
      for (int k = 0; k < kCount; ++k) {
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

template <class T>
void affine_columns(int64_t rows, int64_t n, T* y, const T* x, int64_t stride, const T* mean,
                    const T* scale, const T* shift) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  for_vector_groups<T>(n, [&](int64_t i, auto group, auto lanes) {
    constexpr int kCount = decltype(group)::value;
    V m[kCount], a[kCount], b[kCount];
    for (int k = 0; k < kCount; ++k) {
      m[k] = lanes.load(mean + i + k * kLanes);
      a[k] = lanes.load(scale + i + k * kLanes);
      b[k] = lanes.load(shift + i + k * kLanes);
    }
    for (int64_t r = 0; r < rows; ++r) {
      for (int k = 0; k < kCount; ++k) {
        const int64_t at = r * stride + i + k * kLanes;
        lanes.store(y + at, fma(lanes.load(x + at) - m[k], a[k], b[k]));
      }
    }
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
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  for_vector_groups<T>(n, [&](int64_t i, auto group, auto lanes) {
    constexpr int kCount = decltype(group)::value;
    V m[kCount], vp[kCount], vq[kCount], vr[kCount];
    for (int k = 0; k < kCount; ++k) {
      m[k] = lanes.load(mean + i + k * kLanes);
      vp[k] = lanes.load(p + i + k * kLanes);
      vq[k] = lanes.load(q + i + k * kLanes);
      vr[k] = lanes.load(r + i + k * kLanes);
    }
    for (int64_t row = 0; row < rows; ++row) {
      for (int k = 0; k < kCount; ++k) {
        const int64_t at = row * stride + i + k * kLanes;
        const V centered = lanes.load(x + at) - m[k];
        lanes.store(dx + at, fma(lanes.load(dy + at), vp[k], fma(centered, vq[k], vr[k])));
      }
    }
  });
}

// -- rows --------------------------------------------------------------------------------------

constexpr int64_t kRowBlock =
    2048;  // values of a row whose sum is taken in T; blocks add in double

// Partial sums of a block, apart from each other so that no addition waits for the one before.
template <class T>
struct BlockSum {
  Vec<T> v[4] = {Vec<T>(T(0)), Vec<T>(T(0)), Vec<T>(T(0)), Vec<T>(T(0))};
  LAMINA_SIMD double total() const { return double(reduce_add((v[0] + v[1]) + (v[2] + v[3]))); }
};

// f(i, k, lanes) for each vector of a block: k is the partial sum that it goes to.
template <class T, class F>
LAMINA_SIMD void for_block(int64_t begin, int64_t end, F f) {
  for_vector_groups<T>(end - begin, [&](int64_t i, auto group, auto lanes) {
    for (int k = 0; k < decltype(group)::value; ++k) f(begin + i + k * Vec<T>::kLanes, k, lanes);
  });
}
LAMINA_SIMD int64_t block_end(int64_t begin, int64_t n) {
  return n - begin < kRowBlock ? n : begin + kRowBlock;
}

template <class T>
struct RowStatistics {
  T mean;
  double rest;  // what the mean's rounding to T left over
  double m2;    // sum of squared deviations
};

template <class T>
LAMINA_SIMD RowStatistics<T> row_statistics(int64_t n, const T* x, double inv_n) {
  if (n > kRowBlock) {
    double mean = 0, m2 = 0;
    for (int64_t at = 0; at < n; at += kRowBlock)
      moments(1, block_end(at, n) - at, x + at, 0, double(at), &mean, &m2);
    return {T(mean), mean - double(T(mean)), m2};
  }
  BlockSum<T> sum, deviations, squares;
  for_block<T>(0, n, [&](int64_t i, int k, auto lanes) { sum.v[k] += lanes.load(x + i); });
  const T mean = T(sum.total() * inv_n);
  const Vec<T> center(mean);
  for_block<T>(0, n, [&](int64_t i, int k, auto lanes) {
    const Vec<T> d = lanes.keep(lanes.load(x + i) - center);
    deviations.v[k] += d;
    squares.v[k] = fma(d, d, squares.v[k]);
  });
  const double off = deviations.total(), rest = off * inv_n;
  return {mean, rest, at_least_zero(squares.total() - off * rest)};
}

template <class T>
LAMINA_SIMD double row_squares(int64_t n, const T* x) {
  double total = 0;
  for (int64_t at = 0; at < n; at += kRowBlock) {
    BlockSum<T> squares;
    for_block<T>(at, block_end(at, n), [&](int64_t i, int k, auto lanes) {
      const Vec<T> v = lanes.load(x + i);
      squares.v[k] = fma(v, v, squares.v[k]);
    });
    total += squares.total();
  }
  return total;
}

template <class T>
void norm_rows(int64_t rows, int64_t n, T* y, const T* x, const T* weight, const T* bias,
               double eps, T* mean, T* invstd) {
  using V = Vec<T>;
  const double inv_n = 1 / static_cast<double>(n);
  for (int64_t r = 0; r < rows; ++r, x += n, y += n) {
    if (mean == nullptr) {
      invstd[r] = T(1 / __builtin_sqrt(row_squares(n, x) * inv_n + eps));
      const V scale(invstd[r]);
      for_vectors<T>(n, [&](int64_t i, auto lanes) {
        lanes.store(y + i,
                    fma(lanes.load(x + i) * scale, lanes.load(weight + i), lanes.load(bias + i)));
      });
      continue;
    }
    const RowStatistics<T> s = row_statistics(n, x, inv_n);
    const double inv = 1 / __builtin_sqrt(s.m2 * inv_n + eps);
    mean[r] = s.mean;
    invstd[r] = T(inv);
    const V center(s.mean), scale(invstd[r]), rest(T(-s.rest * inv));
    for_vectors<T>(n, [&](int64_t i, auto lanes) {
      const V normal = fma(lanes.load(x + i) - center, scale, rest);
      lanes.store(y + i, fma(normal, lanes.load(weight + i), lanes.load(bias + i)));
    });
  }
}

// dx = dy * weight * p + (x - mean) * q + r
template <class T>
struct RowSlopes {
  T mean, p, q, r;
};

// From the row's sums of dy * weight and of that times (x - mean).
template <class T>
LAMINA_SIMD RowSlopes<T> row_slopes(int64_t n, const T* dy, const T* x, const T* weight,
                                    const T* mean, T invstd, double inv_n) {
  const T center = mean == nullptr ? T(0) : *mean;
  const Vec<T> m(center);
  double sum_g = 0, sum_gx = 0;
  for (int64_t at = 0; at < n; at += kRowBlock) {
    BlockSum<T> g_sum, gx_sum;
    for_block<T>(at, block_end(at, n), [&](int64_t i, int k, auto lanes) {
      const Vec<T> g = lanes.load(dy + i) * lanes.load(weight + i);
      g_sum.v[k] += g;
      gx_sum.v[k] = fma(g, lanes.keep(lanes.load(x + i) - m), gx_sum.v[k]);
    });
    sum_g += g_sum.total();
    sum_gx += gx_sum.total();
  }
  const double inv = double(invstd), share = -inv * inv_n;
  return {center, invstd, T(share * inv * inv * sum_gx), mean == nullptr ? T(0) : T(share * sum_g)};
}

// kRows rows at a time, so that the sums of columns are loaded and stored once for all of them.
template <class T, int kRows>
LAMINA_SIMD void norm_backward_row_group(int64_t n, T* dx, const T* dy, const T* x, const T* weight,
                                         const T* mean, const T* invstd, T* dweight, T* dbias,
                                         double inv_n) {
  using V = Vec<T>;
  V m[kRows], p[kRows], q[kRows], r[kRows];
  for (int k = 0; k < kRows; ++k) {
    const RowSlopes<T> s = row_slopes(n, dy + k * n, x + k * n, weight,
                                      mean == nullptr ? mean : mean + k, invstd[k], inv_n);
    m[k] = V(s.mean);
    p[k] = V(s.p);
    q[k] = V(s.q);
    r[k] = V(s.r);
  }
  for_vectors<T>(n, [&](int64_t i, auto lanes) {
    const V w = lanes.load(weight + i);
    V dw = lanes.load(dweight + i), db = lanes.load(dbias + i);
    for (int k = 0; k < kRows; ++k) {
      const V g = lanes.load(dy + k * n + i), centered = lanes.load(x + k * n + i) - m[k];
      lanes.store(dx + k * n + i, fma(g * w, p[k], fma(centered, q[k], r[k])));
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
  const auto group = [&](int64_t row, auto count) {
    norm_backward_row_group<T, decltype(count)::value>(n, dx + row * n, dy + row * n, x + row * n,
                                                       weight, mean == nullptr ? mean : mean + row,
                                                       invstd + row, dweight, dbias, inv_n);
  };
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4) group(row, Count<4>{});
  for (; row < rows; ++row) group(row, Count<1>{});
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
