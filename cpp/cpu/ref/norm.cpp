// Batch norm in double, one element at a time.

#include <cmath>

#include "cpu/micro.h"

namespace lamina::cpu::ref {
namespace {

template <class T>
void moments(int64_t rows, int64_t n, const T* x, int64_t stride, double before, double* mean,
             double* m2) {
  double sum = 0, deviations = 0, squares = 0;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < n; ++i) sum += double(x[r * stride + i]);
  }
  const double count = double(rows * n), rounded = sum / count;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < n; ++i) {
      const double d = double(x[r * stride + i]) - rounded;
      deviations += d;
      squares += d * d;
    }
  }
  const double total = before + count, delta = rounded + deviations / count - *mean;
  *mean += delta * count / total;
  *m2 += squares - deviations * deviations / count + delta * delta * before * count / total;
}
template <class T>
void moments_columns(int64_t rows, int64_t n, const T* x, int64_t stride, double before,
                     double* mean, double* m2) {
  for (int64_t c = 0; c < n; ++c) moments(rows, 1, x + c, stride, before, mean + c, m2 + c);
}

template <class T>
void affine(int64_t rows, int64_t n, T* y, const T* x, int64_t stride, T mean, T scale, T shift) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < n; ++i) {
      const double centered = double(x[r * stride + i]) - double(mean);
      y[r * stride + i] = T(centered * double(scale) + double(shift));
    }
  }
}
template <class T>
void affine_columns(int64_t rows, int64_t n, T* y, const T* x, int64_t stride, const T* mean,
                    const T* scale, const T* shift) {
  for (int64_t c = 0; c < n; ++c)
    affine(rows, 1, y + c, x + c, stride, mean[c], scale[c], shift[c]);
}

template <class T>
void norm_backward_sums(int64_t rows, int64_t n, const T* dy, const T* x, int64_t stride, T mean,
                        double* sum_dy, double* sum_dyx) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < n; ++i) {
      const double g = double(dy[r * stride + i]);
      *sum_dy += g;
      *sum_dyx += g * (double(x[r * stride + i]) - double(mean));
    }
  }
}
template <class T>
void norm_backward_sums_columns(int64_t rows, int64_t n, const T* dy, const T* x, int64_t stride,
                                const T* mean, double* sum_dy, double* sum_dyx) {
  for (int64_t c = 0; c < n; ++c)
    norm_backward_sums(rows, 1, dy + c, x + c, stride, mean[c], sum_dy + c, sum_dyx + c);
}

template <class T>
void norm_backward(int64_t rows, int64_t n, T* dx, const T* dy, const T* x, int64_t stride, T mean,
                   T p, T q, T r) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t i = 0; i < n; ++i) {
      const int64_t at = row * stride + i;
      dx[at] =
          T(double(dy[at]) * double(p) + (double(x[at]) - double(mean)) * double(q) + double(r));
    }
  }
}
template <class T>
void norm_backward_columns(int64_t rows, int64_t n, T* dx, const T* dy, const T* x, int64_t stride,
                           const T* mean, const T* p, const T* q, const T* r) {
  for (int64_t c = 0; c < n; ++c)
    norm_backward(rows, 1, dx + c, dy + c, x + c, stride, mean[c], p[c], q[c], r[c]);
}

template <class T>
void norm_rows(int64_t rows, int64_t n, T* y, const T* x, const T* weight, const T* bias,
               double eps, T* mean, T* invstd) {
  for (int64_t r = 0; r < rows; ++r, x += n, y += n) {
    double m = 0, m2 = 0;
    if (mean != nullptr) {
      moments(1, n, x, n, 0, &m, &m2);
      mean[r] = T(m);
    } else {
      for (int64_t i = 0; i < n; ++i) m2 += double(x[i]) * double(x[i]);
    }
    const double inv = 1 / std::sqrt(m2 / double(n) + eps);
    invstd[r] = T(inv);
    for (int64_t i = 0; i < n; ++i)
      y[i] = T((double(x[i]) - m) * inv * double(weight[i]) + double(bias[i]));
  }
}

template <class T>
void norm_rows_backward(int64_t rows, int64_t n, T* dx, const T* dy, const T* x, const T* weight,
                        const T* mean, const T* invstd, T* dweight, T* dbias) {
  for (int64_t r = 0; r < rows; ++r, dx += n, dy += n, x += n) {
    const double inv = double(invstd[r]), m = mean == nullptr ? 0 : double(mean[r]);
    double sum_g = 0, sum_gx = 0;
    for (int64_t i = 0; i < n; ++i) {
      const double g = double(dy[i]) * double(weight[i]);
      if (mean != nullptr) sum_g += g;
      sum_gx += g * (double(x[i]) - m) * inv;
    }
    for (int64_t i = 0; i < n; ++i) {
      const double g = double(dy[i]), normal = (double(x[i]) - m) * inv;
      dx[i] = T(inv * (g * double(weight[i]) - sum_g / double(n) - normal * sum_gx / double(n)));
      dweight[i] = T(double(dweight[i]) + g * normal);
      dbias[i] = T(double(dbias[i]) + g);
    }
  }
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

}  // namespace lamina::cpu::ref
