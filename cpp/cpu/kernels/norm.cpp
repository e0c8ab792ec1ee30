// Batch norm over one cached block.

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

template <class T>
constexpr NormMicro<T> make_norm() {
  return {moments<T>,        moments_columns<T>,      affine<T>,
          affine_columns<T>, norm_backward_sums<T>,   norm_backward_sums_columns<T>,
          norm_backward<T>,  norm_backward_columns<T>};
}

}  // namespace

LAMINA_MICRO(NormMicro, norm);

}  // namespace lamina::LAMINA_ISA_NAMESPACE
