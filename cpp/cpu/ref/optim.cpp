// The table of updates in double, rounded to T where a buffer is stored.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu/micro.h"

namespace lamina::cpu::ref {
namespace {

template <template <class> class Row, class T>
Row<double> as(const T* coefficients) {
  double wide[kUpdateCoefficients];
  std::copy_n(coefficients, kUpdateCoefficients, wide);
  Row<double> c;
  std::memcpy(&c, wide, sizeof c);
  return c;
}

inline double descent(double g, double p, double factor, double l2) {
  return l2 == 0 ? factor * g : factor * g + l2 * p;
}
inline double maximum(double a, double b) { return std::isnan(a) || a > b ? a : b; }
inline double minimum(double a, double b) { return std::isnan(a) || a < b ? a : b; }
inline double sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }

template <class T>
void sgd(int64_t n, T* p, const T* g, T* const* state, const T* coefficients) {
  const auto c = as<SgdUpdate>(coefficients);
  for (int64_t i = 0; i < n; ++i) {
    double d = descent(g[i], p[i], c.factor, c.l2);
    if (state[0] != nullptr) {
      const double buffer = c.keep * double(state[0][i]) + c.share * d;
      state[0][i] = T(buffer);
      d = c.nesterov != 0 ? d + c.momentum * buffer : buffer;
    }
    p[i] = T(double(p[i]) - c.lr * d);
  }
}

template <class T>
void adam(int64_t n, T* p, const T* g, T* const* state, const T* coefficients) {
  const auto c = as<AdamUpdate>(coefficients);
  for (int64_t i = 0; i < n; ++i) {
    const double d = descent(g[i], p[i], c.factor, c.l2);
    const double mean = c.beta1 * double(state[0][i]) + c.rest1 * d;
    double square = c.beta2 * double(state[1][i]) + c.rest2 * d * d;
    state[0][i] = T(mean);
    state[1][i] = T(square);
    if (state[2] != nullptr) {
      square = maximum(double(state[2][i]), square);
      state[2][i] = T(square);
    }
    p[i] = T(double(p[i]) * c.shrink - c.step * mean / (c.unbias * std::sqrt(square) + c.eps));
  }
}

template <class T>
void nadam(int64_t n, T* p, const T* g, T* const* state, const T* coefficients) {
  const auto c = as<NadamUpdate>(coefficients);
  for (int64_t i = 0; i < n; ++i) {
    const double d = descent(g[i], p[i], c.factor, c.l2);
    const double mean = c.beta1 * double(state[0][i]) + c.rest1 * d;
    const double square = c.beta2 * double(state[1][i]) + c.rest2 * d * d;
    state[0][i] = T(mean);
    state[1][i] = T(square);
    const double root = c.unbias * std::sqrt(square) + c.eps;
    p[i] = T(double(p[i]) * c.shrink - (c.step * mean + c.step_d * d) / root);
  }
}

template <class T>
void radam(int64_t n, T* p, const T* g, T* const* state, const T* coefficients) {
  const auto c = as<RadamUpdate>(coefficients);
  for (int64_t i = 0; i < n; ++i) {
    const double d = descent(g[i], p[i], c.factor, c.l2);
    const double mean = c.beta1 * double(state[0][i]) + c.rest1 * d;
    const double square = c.beta2 * double(state[1][i]) + c.rest2 * d * d;
    state[0][i] = T(mean);
    state[1][i] = T(square);
    const double root = c.rectified != 0 ? std::sqrt(square) + c.eps : 1;
    p[i] = T(double(p[i]) * c.shrink - c.step * mean / root);
  }
}

template <class T>
void rmsprop(int64_t n, T* p, const T* g, T* const* state, const T* coefficients) {
  const auto c = as<RmspropUpdate>(coefficients);
  for (int64_t i = 0; i < n; ++i) {
    const double d = descent(g[i], p[i], c.factor, c.l2);
    double square = c.alpha * double(state[0][i]) + c.rest * d * d;
    state[0][i] = T(square);
    if (state[2] != nullptr) {
      const double mean = c.alpha * double(state[2][i]) + c.rest * d;
      state[2][i] = T(mean);
      square = maximum(square - mean * mean, 0);
    }
    double step = d / (std::sqrt(square) + c.eps);
    if (state[1] != nullptr) {
      step += c.momentum * double(state[1][i]);
      state[1][i] = T(step);
    }
    p[i] = T(double(p[i]) - c.lr * step);
  }
}

template <class T>
void adagrad(int64_t n, T* p, const T* g, T* const* state, const T* coefficients) {
  const auto c = as<AdagradUpdate>(coefficients);
  for (int64_t i = 0; i < n; ++i) {
    const double d = descent(g[i], p[i], c.factor, c.l2);
    const double total = double(state[0][i]) + d * d;
    state[0][i] = T(total);
    p[i] = T(double(p[i]) - c.lr * d / (std::sqrt(total) + c.eps));
  }
}

template <class T>
void adadelta(int64_t n, T* p, const T* g, T* const* state, const T* coefficients) {
  const auto c = as<AdadeltaUpdate>(coefficients);
  for (int64_t i = 0; i < n; ++i) {
    const double d = descent(g[i], p[i], c.factor, c.l2);
    const double square = c.rho * double(state[0][i]) + c.rest * d * d;
    const double step = std::sqrt(double(state[1][i]) + c.eps) / std::sqrt(square + c.eps) * d;
    state[0][i] = T(square);
    state[1][i] = T(c.rho * double(state[1][i]) + c.rest * step * step);
    p[i] = T(double(p[i]) - c.lr * step);
  }
}

template <class T>
void adamax(int64_t n, T* p, const T* g, T* const* state, const T* coefficients) {
  const auto c = as<AdamaxUpdate>(coefficients);
  for (int64_t i = 0; i < n; ++i) {
    const double d = descent(g[i], p[i], c.factor, c.l2);
    const double mean = c.beta1 * double(state[0][i]) + c.rest1 * d;
    const double largest = maximum(c.beta2 * double(state[1][i]), std::fabs(d) + c.eps);
    state[0][i] = T(mean);
    state[1][i] = T(largest);
    p[i] = T(double(p[i]) - c.step * mean / largest);
  }
}

template <class T>
void asgd(int64_t n, T* p, const T* g, T* const* state, const T* coefficients) {
  const auto c = as<AsgdUpdate>(coefficients);
  for (int64_t i = 0; i < n; ++i) {
    const double d = descent(g[i], p[i], c.factor, c.l2);
    const double moved = double(p[i]) * c.shrink - c.eta * d;
    const double before = state[0][i];
    p[i] = T(moved);
    state[0][i] = T(c.mu == 1 ? moved : before + c.mu * (moved - before));
  }
}

template <class T>
void rprop(int64_t n, T* p, const T* g, T* const* state, const T* coefficients) {
  const auto c = as<RpropUpdate>(coefficients);
  for (int64_t i = 0; i < n; ++i) {
    double d = g[i] * c.factor;
    // In T: a product that underflows there is no change of sign.
    const T turn = T(d) * state[0][i];
    const double change = turn > 0 ? c.eta_plus : turn < 0 ? c.eta_minus : 1;
    if (turn < 0) d = 0;
    const double size = minimum(maximum(double(state[1][i]) * change, c.smallest), c.largest);
    state[0][i] = T(d);
    state[1][i] = T(size);
    p[i] = T(double(p[i]) - sign(d) * size);
  }
}

template <class T>
void lion(int64_t n, T* p, const T* g, T* const* state, const T* coefficients) {
  const auto c = as<LionUpdate>(coefficients);
  for (int64_t i = 0; i < n; ++i) {
    const double d = g[i] * c.factor;
    const double mean = state[0][i];
    state[0][i] = T(c.beta2 * mean + c.rest2 * d);
    p[i] = T(double(p[i]) * c.shrink - c.lr * sign(c.beta1 * mean + c.rest1 * d));
  }
}

template <class T>
void combine(int64_t n, T* x, const T* y, T* const*, const T* coefficients) {
  const auto c = as<CombineUpdate>(coefficients);
  for (int64_t i = 0; i < n; ++i)
    x[i] = T(y == nullptr ? c.a * double(x[i]) : c.a * double(x[i]) + c.b * double(y[i]));
}

template <class T>
void clamp(int64_t n, T* x, const T*, T* const*, const T* coefficients) {
  const T limit = coefficients[0];
  for (int64_t i = 0; i < n; ++i) x[i] = x[i] > limit ? limit : x[i] < -limit ? -limit : x[i];
}

template <class T>
void lerp(int64_t n, T* x, const T* y, T* const*, const T* coefficients) {
  const auto c = as<LerpUpdate>(coefficients);
  for (int64_t i = 0; i < n; ++i) {
    const double from = x[i], to = y[i];
    x[i] = T(c.weight < 0.5 ? from + c.weight * (to - from) : to - c.rest * (to - from));
  }
}

template <class T>
double sum_squares(int64_t n, const T* x) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += double(x[i]) * double(x[i]);
  return sum;
}
template <class T>
double sum_abs(int64_t n, const T* x) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::fabs(double(x[i]));
  return sum;
}
template <class T>
T max_abs(int64_t n, const T* x) {
  double most = 0;
  for (int64_t i = 0; i < n; ++i) most = maximum(std::fabs(double(x[i])), most);
  return T(most);
}

template <class T>
constexpr OptimMicro<T> make_optim() {
  return {{
#define LAMINA_ROW(Name, function) function<T>,
              LAMINA_UPDATES(LAMINA_ROW)
#undef LAMINA_ROW
          },
          sum_squares<T>,
          sum_abs<T>,
          max_abs<T>};
}

}  // namespace

LAMINA_MICRO(OptimMicro, optim);

}  // namespace lamina::cpu::ref
