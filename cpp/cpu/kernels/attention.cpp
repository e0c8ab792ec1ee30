// The softmax of attention, a block of scores at a time.
//
// Lanes run along the keys. A masked score counts as -Inf, whose exponential is 0; where all that a
// row may see is masked, nothing is subtracted, so that NaN is still told from "nothing to see".

#include "cpu/micro.h"
#include "cpu/simd.h"
#include "cpu/simd_loop.h"

namespace lamina::LAMINA_ISA_NAMESPACE {
namespace {

template <class T>
LAMINA_SIMD int64_t seen_by(const cpu::AttentionBlock<T>& b, int64_t row) {
  const int64_t n = b.visible + row;
  return n < 0 ? 0 : n < b.n ? n : b.n;
}

template <class T>
LAMINA_SIMD Mask<T> load_keep(const uint8_t* p, AllLanes<T>) {
  return Mask<T>::load(p);
}
template <class T>
LAMINA_SIMD Mask<T> load_keep(const uint8_t* p, SomeLanes<T> lanes) {
  return Mask<T>::load(p, lanes.n);
}

// Row `row`'s scores from j on as its masks leave them; -Inf in lanes that are not there.
template <class T, class Lanes>
LAMINA_SIMD Vec<T> masked(const cpu::AttentionBlock<T>& b, int64_t row, int64_t j, Lanes lanes) {
  const Vec<T> hidden(-FloatTraits<T>::kInfinity);
  Vec<T> s = lanes.load_or(b.s + row * b.ld + j, hidden);
  if (b.bias != nullptr) s += lanes.load(b.bias + row * b.mask_ld + j);
  if (b.keep != nullptr) s = select(load_keep(b.keep + row * b.mask_ld + j, lanes), s, hidden);
  return s;
}

template <class T>
LAMINA_SIMD void clear(T* p, int64_t n) {
  for_vectors<T>(n, [&](int64_t i, auto lanes) { lanes.store(p + i, Vec<T>(T(0))); });
}

template <class T>
[[gnu::flatten]] void exponentials(const cpu::AttentionBlock<T>& b, T* max_of, T* sum_of,
                                   T* rescale) {
  using V = Vec<T>;
  const T lowest = -FloatTraits<T>::kInfinity;
  const bool masks = b.bias != nullptr || b.keep != nullptr;
  for (int64_t r = 0; r < b.rows; ++r) {
    const int64_t n = seen_by(b, r);
    T* const s = b.s + r * b.ld;
    V top[2] = {V(lowest), V(lowest)};
    if (masks) {
      for_vector_pairs<T>(n, [&](int64_t j, int k, auto lanes) {
        const V v = masked(b, r, j, lanes);
        lanes.store(s + j, v);
        top[k] = max(top[k], v);
      });
    } else {
      for_vector_pairs<T>(n, [&](int64_t j, int k, auto lanes) {
        top[k] = max(top[k], lanes.load_or(s + j, V(lowest)));
      });
    }
    const T before = max_of[r];
    const T here = reduce_max(max(top[0], top[1]));
    const T now = here > before || here != here ? here : before;
    const V shift(now == lowest ? T(0) : now);
    V sum[2] = {V(T(0)), V(T(0))};
    for_vector_pairs<T>(n, [&](int64_t j, int k, auto lanes) {
      const V e = exp(lanes.load_or(s + j, V(lowest)) - shift);
      lanes.store(s + j, e);
      sum[k] += e;
    });
    clear(s + n, b.n - n);
    const T factor = before == lowest ? T(0) : exp(V(before) - shift).r[0];
    rescale[r] = factor;
    max_of[r] = now;
    sum_of[r] = sum_of[r] * factor + reduce_add(sum[0] + sum[1]);
  }
}

template <class T>
[[gnu::flatten]] void probabilities(const cpu::AttentionBlock<T>& b, const T* logsumexp) {
  using V = Vec<T>;
  const bool masks = b.bias != nullptr || b.keep != nullptr;
  for (int64_t r = 0; r < b.rows; ++r) {
    const int64_t n = seen_by(b, r);
    T* const s = b.s + r * b.ld;
    const V shift(logsumexp[r]);
    if (masks) {
      for_vectors<T>(n, [&](int64_t j, auto lanes) {
        lanes.store(s + j, exp(masked(b, r, j, lanes) - shift));
      });
    } else {
      for_vectors<T>(
          n, [&](int64_t j, auto lanes) { lanes.store(s + j, exp(lanes.load(s + j) - shift)); });
    }
    clear(s + n, b.n - n);
  }
}

template <class T>
[[gnu::flatten]] void attention_backward(const cpu::AttentionBlock<T>& b, const T* p,
                                         const T* delta) {
  using V = Vec<T>;
  T* ds = b.s;
  for (int64_t r = 0; r < b.rows; ++r, ds += b.ld, p += b.ld) {
    const int64_t n = seen_by(b, r);
    const V d(delta[r]);
    for_vectors<T>(n, [&](int64_t j, auto lanes) {
      lanes.store(ds + j, lanes.load(p + j) * (lanes.load(ds + j) - d));
    });
    clear(ds + n, b.n - n);
  }
}

template <class T>
[[gnu::flatten]] void dot_rows(int64_t rows, int64_t n, const T* x, int64_t ldx, const T* y,
                               int64_t ldy, T* out) {
  using V = Vec<T>;
  for (int64_t r = 0; r < rows; ++r, x += ldx, y += ldy) {
    V s[2] = {V(T(0)), V(T(0))};
    for_vector_pairs<T>(n, [&](int64_t j, int k, auto lanes) {
      s[k] = fma(lanes.load(x + j), lanes.load(y + j), s[k]);
    });
    out[r] = reduce_add(s[0] + s[1]);
  }
}

template <class T>
[[gnu::flatten]] void scale_rows(int64_t rows, int64_t n, T* x, int64_t ld, const T* factor) {
  using V = Vec<T>;
  for (int64_t r = 0; r < rows; ++r, x += ld) {
    const V f(factor[r]);
    for_vectors<T>(n, [&](int64_t j, auto lanes) { lanes.store(x + j, lanes.load(x + j) * f); });
  }
}

template <class T>
constexpr AttentionMicro<T> make_attention() {
  return {exponentials<T>, probabilities<T>, attention_backward<T>, dot_rows<T>, scale_rows<T>};
}

}  // namespace

LAMINA_MICRO(AttentionMicro, attention);

}  // namespace lamina::LAMINA_ISA_NAMESPACE
