// Softmax and cross-entropy, a row or a block of columns at a time.
//
// Three passes: maximum, exponentials and their sum, scale. The maximum is subtracted first, so the
// largest term is 1 and nothing overflows. A row with NaN or +Inf, or with nothing but -Inf, gives
// NaN throughout, as Inf - Inf does; the maximum itself need not care about NaN.

#include "cpu/micro.h"
#include "cpu/simd.h"
#include "cpu/simd_loop.h"

namespace lamina::LAMINA_ISA_NAMESPACE {
namespace {

template <class T>
LAMINA_SIMD Vec<T> lowest() {
  return Vec<T>(-FloatTraits<T>::kInfinity);
}

template <class T>
LAMINA_SIMD T log_of(T x) {
  return log(Vec<T>(x)).r[0];
}

template <class T>
LAMINA_SIMD T row_max(int64_t n, const T* x) {
  using V = Vec<T>;
  V m[2] = {lowest<T>(), lowest<T>()};
  for_vector_pairs<T>(n, [&](int64_t i, int k, auto lanes) {
    m[k] = max(m[k], lanes.load_or(x + i, lowest<T>()));
  });
  return reduce_max(max(m[0], m[1]));
}

// sum(exp(x - max)); stores the terms where asked to.
template <class T, bool kStore>
[[gnu::flatten]] T row_exp_sum(int64_t n, const T* x, T max_of_row, [[maybe_unused]] T* y) {
  using V = Vec<T>;
  const V m(max_of_row);
  V s[2] = {V(T(0)), V(T(0))};
  for_vector_pairs<T>(n, [&](int64_t i, int k, auto lanes) {
    const V e = exp(lanes.load_or(x + i, lowest<T>()) - m);
    if constexpr (kStore) lanes.store(y + i, e);
    s[k] += e;
  });
  return reduce_add(s[0] + s[1]);
}

template <class T>
[[gnu::flatten]] void softmax_rows(int64_t rows, int64_t n, T* y, const T* x, bool log) {
  using V = Vec<T>;
  for (int64_t row = 0; row < rows; ++row, x += n, y += n) {
    const T top = row_max(n, x);
    if (log) {
      const V m(top), log_sum(log_of(row_exp_sum<T, false>(n, x, top, y)));
      for_vectors<T>(
          n, [&](int64_t i, auto lanes) { lanes.store(y + i, (lanes.load(x + i) - m) - log_sum); });
    } else {
      const V scale(T(1) / row_exp_sum<T, true>(n, x, top, y));
      for_vectors<T>(n,
                     [&](int64_t i, auto lanes) { lanes.store(y + i, lanes.load(y + i) * scale); });
    }
  }
}

// Lanes are neighbouring columns.
template <class T, bool kLog, class Lanes>
[[gnu::flatten]] void softmax_lanes(int64_t n, int64_t stride, T* y, const T* x, Lanes lanes) {
  using V = Vec<T>;
  const T* const x_end = x + n * stride;
  V m = lowest<T>(), sum(T(0));
  for (const T* p = x; p != x_end; p += stride) m = max(m, lanes.load(p));
  T* q = y;
  for (const T* p = x; p != x_end; p += stride, q += stride) {
    const V e = exp(lanes.load(p) - m);
    if constexpr (!kLog) lanes.store(q, e);
    sum += e;
  }
  q = y;
  if constexpr (kLog) {
    const V log_sum = log(sum);
    for (const T* p = x; p != x_end; p += stride, q += stride)
      lanes.store(q, (lanes.load(p) - m) - log_sum);
  } else {
    const V scale = V(T(1)) / sum;
    for (const T* const y_end = y + n * stride; q != y_end; q += stride)
      lanes.store(q, lanes.load(q) * scale);
  }
}

template <class T>
void softmax_columns(int64_t n, int64_t width, int64_t stride, T* y, const T* x, bool log) {
  for_vectors<T>(width, [&](int64_t column, auto lanes) {
    if (log)
      softmax_lanes<T, true>(n, stride, y + column, x + column, lanes);
    else
      softmax_lanes<T, false>(n, stride, y + column, x + column, lanes);
  });
}

template <class T>
[[gnu::flatten]] void softmax_backward_rows(int64_t rows, int64_t n, T* dx, const T* dy, const T* y,
                                            bool log) {
  using V = Vec<T>;
  for (int64_t row = 0; row < rows; ++row, dx += n, dy += n, y += n) {
    V s[2] = {V(T(0)), V(T(0))};
    for_vector_pairs<T>(n, [&](int64_t i, int k, auto lanes) {
      s[k] = log ? s[k] + lanes.load(dy + i) : fma(lanes.load(dy + i), lanes.load(y + i), s[k]);
    });
    const V sum(reduce_add(s[0] + s[1]));
    for_vectors<T>(n, [&](int64_t i, auto lanes) {
      const V g = lanes.load(dy + i), v = lanes.load(y + i);
      lanes.store(dx + i, log ? fnma(exp(v), sum, g) : v * (g - sum));
    });
  }
}

template <class T>
[[gnu::flatten]] void softmax_backward_columns(int64_t n, int64_t width, int64_t stride, T* dx,
                                               const T* dy, const T* y, bool log) {
  using V = Vec<T>;
  for_vectors<T>(width, [&](int64_t column, auto lanes) {
    V sum(T(0));
    for (int64_t i = 0; i < n; ++i) {
      const V g = lanes.load(dy + column + i * stride);
      sum = log ? sum + g : fma(g, lanes.load(y + column + i * stride), sum);
    }
    for (int64_t i = 0; i < n; ++i) {
      const int64_t at = column + i * stride;
      const V g = lanes.load(dy + at), v = lanes.load(y + at);
      lanes.store(dx + at, log ? fnma(exp(v), sum, g) : v * (g - sum));
    }
  });
}

template <class T>
void row_logsumexp(int64_t n, const T* x, T* max_of_row, T* log_sum) {
  *max_of_row = row_max(n, x);
  *log_sum = log_of(row_exp_sum<T, false>(n, x, *max_of_row, nullptr));
}

template <class T>
T row_smoothing(int64_t n, const T* x, const T* w, T max_of_row, T log_sum) {
  using V = Vec<T>;
  const V m(max_of_row), ls(log_sum);
  V s[2] = {V(T(0)), V(T(0))};
  for_vector_pairs<T>(n, [&](int64_t i, int k, auto lanes) {
    const V gap = lanes.keep(ls - (lanes.load(x + i) - m));
    s[k] = w == nullptr ? s[k] + gap : fma(lanes.load(w + i), gap, s[k]);
  });
  return reduce_add(s[0] + s[1]);
}

template <class T>
[[gnu::flatten]] void cross_entropy_backward_row(int64_t n, T* dx, const T* x, T logsumexp,
                                                 T scale_of_row, const T* w, T w_scale) {
  using V = Vec<T>;
  const V lse(logsumexp), scale(scale_of_row), ws(w_scale);
  for_vectors<T>(n, [&](int64_t i, auto lanes) {
    const V p = exp(lanes.load(x + i) - lse) * scale;
    lanes.store(dx + i, w == nullptr ? p - ws : fnma(lanes.load(w + i), ws, p));
  });
}

template <class T>
constexpr SoftmaxMicro<T> make_softmax() {
  return {softmax_rows<T>,
          softmax_columns<T>,
          softmax_backward_rows<T>,
          softmax_backward_columns<T>,
          row_logsumexp<T>,
          row_smoothing<T>,
          cross_entropy_backward_row<T>};
}

}  // namespace

LAMINA_MICRO(SoftmaxMicro, softmax);

}  // namespace lamina::LAMINA_ISA_NAMESPACE
