// Batch norm over one cached block. Included by isa_table.inl only.
#pragma once

#include "cpu/micro.h"
#include "cpu/simd.h"
#include "cpu/simd_loop.h"

namespace lamina::LAMINA_ISA_NAMESPACE {
namespace {

// From the rounded mean and the sums of deviations from it and of their squares.
LAMINA_SIMD void finish_moments(double count, double rounded_mean, double deviations,
                                double squares, double* mean, double* m2) {
  *mean = rounded_mean + deviations / count;
  const double corrected = squares - deviations * deviations / count;
  *m2 = corrected < 0 ? 0 : corrected;
}

template <class T>
void moments(int64_t rows, int64_t n, const T* x, int64_t stride, double* mean, double* m2) {
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
  finish_moments(count, double(rounded), double(reduce_add(d[0] + d[1])),
                 double(reduce_add(q[0] + q[1])), mean, m2);
}

template <class T>
void moments_columns(int64_t rows, int64_t n, const T* x, int64_t stride, double* mean,
                     double* m2) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  const double count = static_cast<double>(rows);
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
      T c[kLanes], ds[kLanes], qs[kLanes];
      center[k].store(c);
      d[k].store(ds);
      q[k].store(qs);
      for (int j = 0; j < lanes.count(); ++j) {
        const int64_t column = i + k * kLanes + j;
        finish_moments(count, double(c[j]), double(ds[j]), double(qs[j]), mean + column,
                       m2 + column);
      }
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
      T a[kLanes], b[kLanes];
      s[k].store(a);
      sx[k].store(b);
      for (int j = 0; j < lanes.count(); ++j) {
        sum_dy[i + k * kLanes + j] += double(a[j]);
        sum_dyx[i + k * kLanes + j] += double(b[j]);
      }
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
constexpr cpu::NormMicro<T> make_norm() {
  return {moments<T>,        moments_columns<T>,      affine<T>,
          affine_columns<T>, norm_backward_sums<T>,   norm_backward_sums_columns<T>,
          norm_backward<T>,  norm_backward_columns<T>};
}

}  // namespace
}  // namespace lamina::LAMINA_ISA_NAMESPACE
