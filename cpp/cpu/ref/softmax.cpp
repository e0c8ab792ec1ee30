// Softmax and cross-entropy in double, by definition.

#include <cmath>

#include "cpu/micro.h"

namespace lamina::cpu::ref {
namespace {

// One softmax over n values that are `stride` apart.
template <class T>
void softmax_line(int64_t n, int64_t stride, T* y, const T* x, bool log) {
  double top = -INFINITY;
  for (int64_t i = 0; i < n; ++i) top = std::fmax(top, double(x[i * stride]));
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(double(x[i * stride]) - top);
  for (int64_t i = 0; i < n; ++i) {
    const double shifted = double(x[i * stride]) - top;
    y[i * stride] = T(log ? shifted - std::log(sum) : std::exp(shifted) / sum);
  }
}

template <class T>
void softmax_backward_line(int64_t n, int64_t stride, T* dx, const T* dy, const T* y, bool log) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i)
    sum += double(dy[i * stride]) * (log ? 1.0 : double(y[i * stride]));
  for (int64_t i = 0; i < n; ++i) {
    const double g = double(dy[i * stride]), v = double(y[i * stride]);
    dx[i * stride] = T(log ? g - std::exp(v) * sum : v * (g - sum));
  }
}

template <class T>
void softmax_rows(int64_t rows, int64_t n, T* y, const T* x, bool log) {
  for (int64_t r = 0; r < rows; ++r) softmax_line(n, 1, y + r * n, x + r * n, log);
}
template <class T>
void softmax_columns(int64_t n, int64_t width, int64_t stride, T* y, const T* x, bool log) {
  for (int64_t c = 0; c < width; ++c) softmax_line(n, stride, y + c, x + c, log);
}
template <class T>
void softmax_backward_rows(int64_t rows, int64_t n, T* dx, const T* dy, const T* y, bool log) {
  for (int64_t r = 0; r < rows; ++r)
    softmax_backward_line(n, 1, dx + r * n, dy + r * n, y + r * n, log);
}
template <class T>
void softmax_backward_columns(int64_t n, int64_t width, int64_t stride, T* dx, const T* dy,
                              const T* y, bool log) {
  for (int64_t c = 0; c < width; ++c) softmax_backward_line(n, stride, dx + c, dy + c, y + c, log);
}

template <class T>
void row_logsumexp(int64_t n, const T* x, T* max, T* log_sum) {
  double top = -INFINITY, sum = 0;
  for (int64_t i = 0; i < n; ++i) top = std::fmax(top, double(x[i]));
  for (int64_t i = 0; i < n; ++i) sum += std::exp(double(x[i]) - top);
  *max = T(top);
  *log_sum = T(std::log(sum));
}

template <class T>
T row_smoothing(int64_t n, const T* x, const T* w, T max, T log_sum) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i)
    sum += (w == nullptr ? 1.0 : double(w[i])) * (double(log_sum) - (double(x[i]) - double(max)));
  return T(sum);
}

template <class T>
void cross_entropy_backward_row(int64_t n, T* dx, const T* x, T logsumexp, T scale, const T* w,
                                T w_scale) {
  for (int64_t i = 0; i < n; ++i) {
    dx[i] = T(std::exp(double(x[i]) - double(logsumexp)) * double(scale) -
              (w == nullptr ? 1.0 : double(w[i])) * double(w_scale));
  }
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

}  // namespace lamina::cpu::ref
