// Optimizer updates in double, rounded to T where a buffer is stored.

#include <cmath>

#include "cpu/micro.h"

namespace lamina::cpu::ref {
namespace {

inline double descent(double g, double p, double sign, double decay) {
  return decay == 0 ? sign * g : sign * g + decay * p;
}

template <class T>
void sgd(int64_t n, T* p, const T* g, T* momentum, const SgdCoefficients<T>& c) {
  for (int64_t i = 0; i < n; ++i) {
    double d = descent(g[i], p[i], c.sign, c.weight_decay);
    if (momentum != nullptr) {
      const double buffer =
          c.first ? d
                  : double(c.momentum) * double(momentum[i]) + double(c.one_minus_dampening) * d;
      momentum[i] = T(buffer);
      d = c.nesterov ? d + double(c.momentum) * buffer : buffer;
    }
    p[i] = T(double(p[i]) - double(c.lr) * d);
  }
}

template <class T>
void adam(int64_t n, T* p, const T* g, T* m, T* v, T* vmax, const AdamCoefficients<T>& c) {
  for (int64_t i = 0; i < n; ++i) {
    const double d = descent(g[i], p[i], c.sign, c.l2);
    const double mean = double(c.beta1) * double(m[i]) + double(c.one_minus_beta1) * d;
    double square = double(c.beta2) * double(v[i]) + double(c.one_minus_beta2) * d * d;
    m[i] = T(mean);
    v[i] = T(square);
    if (vmax != nullptr) {
      if (!(double(vmax[i]) >= square)) vmax[i] = T(square);
      square = double(vmax[i]);
    }
    const double root = std::sqrt(square) * double(c.inv_sqrt_bias2) + double(c.eps);
    p[i] = T(double(p[i]) * double(c.keep) - double(c.step_size) * mean / root);
  }
}

template <class T>
void rmsprop(int64_t n, T* p, const T* g, T* v, T* momentum, T* grad_avg,
             const RmspropCoefficients<T>& c) {
  for (int64_t i = 0; i < n; ++i) {
    const double d = descent(g[i], p[i], c.sign, c.weight_decay);
    double square = double(c.alpha) * double(v[i]) + double(c.one_minus_alpha) * d * d;
    v[i] = T(square);
    if (grad_avg != nullptr) {
      const double mean = double(c.alpha) * double(grad_avg[i]) + double(c.one_minus_alpha) * d;
      grad_avg[i] = T(mean);
      square -= mean * mean;
      if (square < 0) square = 0;
    }
    double step = d / (std::sqrt(square) + double(c.eps));
    if (momentum != nullptr) {
      step += double(c.momentum) * double(momentum[i]);
      momentum[i] = T(step);
    }
    p[i] = T(double(p[i]) - double(c.lr) * step);
  }
}

template <class T>
constexpr OptimMicro<T> make_optim() {
  return {sgd<T>, adam<T>, rmsprop<T>};
}

}  // namespace

LAMINA_MICRO(OptimMicro, optim);

}  // namespace lamina::cpu::ref
