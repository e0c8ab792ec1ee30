// The softmax of attention in double, by definition.

#include <algorithm>
#include <cmath>

#include "cpu/micro.h"

namespace lamina::cpu::ref {
namespace {

// What row r sees at j: -Inf is nothing.
template <class T>
double score(const AttentionBlock<T>& b, int64_t r, int64_t j) {
  if (j >= b.visible + r) return -INFINITY;
  if (b.keep != nullptr && b.keep[r * b.mask_ld + j] == 0) return -INFINITY;
  const double s = double(b.s[r * b.ld + j]);
  return b.bias == nullptr ? s : s + double(b.bias[r * b.mask_ld + j]);
}

template <class T>
void exponentials(const AttentionBlock<T>& b, T* max_of, T* sum_of, T* rescale) {
  for (int64_t r = 0; r < b.rows; ++r) {
    double top = double(max_of[r]);
    for (int64_t j = 0; j < b.n; ++j) {
      const double s = score(b, r, j);
      if (s > top || std::isnan(s)) top = std::isnan(top) ? top : s;
    }
    const double shift = std::isinf(top) && top < 0 ? 0 : top;
    const double factor = std::exp(double(max_of[r]) - shift);
    double sum = double(sum_of[r]) * factor;
    for (int64_t j = 0; j < b.n; ++j) {
      const double e = std::exp(score(b, r, j) - shift);
      b.s[r * b.ld + j] = T(e);
      sum += e;
    }
    rescale[r] = T(factor);
    max_of[r] = T(top);
    sum_of[r] = T(sum);
  }
}

template <class T>
void probabilities(const AttentionBlock<T>& b, const T* logsumexp) {
  for (int64_t r = 0; r < b.rows; ++r)
    for (int64_t j = 0; j < b.n; ++j)
      b.s[r * b.ld + j] = T(std::exp(score(b, r, j) - double(logsumexp[r])));
}

template <class T>
void attention_backward(const AttentionBlock<T>& b, const T* p, const T* delta) {
  for (int64_t r = 0; r < b.rows; ++r)
    for (int64_t j = 0; j < b.n; ++j) {
      T& ds = b.s[r * b.ld + j];
      const double slope = double(ds) - double(delta[r]);
      ds = j < b.visible + r ? T(double(p[r * b.ld + j]) * slope) : T(0);
    }
}

template <class T>
void dot_rows(int64_t rows, int64_t n, const T* x, int64_t ldx, const T* y, int64_t ldy, T* out) {
  for (int64_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (int64_t j = 0; j < n; ++j) sum += double(x[r * ldx + j]) * double(y[r * ldy + j]);
    out[r] = T(sum);
  }
}

template <class T>
void scale_rows(int64_t rows, int64_t n, T* x, int64_t ld, const T* factor) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < n; ++j) x[r * ld + j] *= factor[r];
}

template <class T>
constexpr AttentionMicro<T> make_attention() {
  return {exponentials<T>, probabilities<T>, attention_backward<T>, dot_rows<T>, scale_rows<T>};
}

}  // namespace

LAMINA_MICRO(AttentionMicro, attention);

}  // namespace lamina::cpu::ref
