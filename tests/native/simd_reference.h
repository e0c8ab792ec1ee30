// What the vector functions are measured against: the C library in wider arithmetic, R being double
// for float results and long double for double results, with a bound in ULP for each.
#pragma once

#include <cmath>

#include "scalar_math.h"

namespace lamina::test {

template <class R>
R normal_cdf(R x) {
  // erfc at the rounded argument z = -x / sqrt 2, and a first-order step for what z lost.
  const R root_half = 0.707106781186547524400844362104849L;
  const R z = -x * root_half;
  const R lost = std::isinf(x) ? 0 : std::fma(z, R(2) * root_half, x);
  const R root_rest = R(1.414213562373095048801688724209698L - 2 * (long double)root_half);
  const R dz = (-lost - z * root_rest) * root_half;
  const R density = R(1.128379167095512573896158903121545L) * std::exp(-z * z);
  return (std::erfc(z) - (std::isinf(x) ? 0 : density * dz)) / 2;
}
template <class R>
R sigmoid(R x) {
  return 1 / (1 + std::exp(-x));
}
template <class R>
R softplus(R x) {
  return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}
template <class R>
R gelu(R x) {
  return x < -60 ? R(-0.0) : x * normal_cdf(x);
}
template <class R>
R gelu_grad(R x) {
  const R density = R(0.398942280401432677939946059934382L) * std::exp(-x * x / 2);
  return std::isinf(x) ? R(x > 0) : normal_cdf(x) + x * density;
}
template <class R>
R gelu_tanh(R x) {
  const R c = 0.797884560802865355879892119868764L;
  return x < -60 ? R(-0.0) : x * sigmoid(2 * c * (x + R(0.044715L) * x * x * x));
}
template <class R>
R gelu_tanh_grad(R x) {
  if (std::fabs(x) > 60) return R(x > 0);
  const R c = 0.797884560802865355879892119868764L;
  const R s = sigmoid(2 * c * (x + R(0.044715L) * x * x * x));
  const R t = sigmoid(-2 * c * (x + R(0.044715L) * x * x * x));
  return s + x * s * t * 2 * c * (1 + 3 * R(0.044715L) * x * x);
}
template <class R>
R erfinv(R x) {
  R y = lamina::scalar::erfinv(static_cast<double>(x));
  if (!std::isfinite(y)) return y;
  for (int i = 0; i < 2; ++i) {  // Newton, from the side that has digits
    const R a = std::fabs(x), b = std::fabs(y);
    const R error = a < R(0.5) ? std::erf(b) - a : (1 - a) - std::erfc(b);
    y = std::copysign(b - error * R(0.886226925452758013649083741670573L) * std::exp(b * b), x);
  }
  return y;
}

template <class R>
struct Reference {
  const char* name;
  R (*wide)(R);
  double bound;      // in ULP, for float and for double
  double per_x = 0;  // added: this many machine epsilons times |x|, and
  double flat = 0;   // this many machine epsilons
};

template <class R>
const Reference<R> kReferences[] = {
#define STD(f) [](R x) -> R { return std::f(x); }
    {"exp", STD(exp), 1.5},
    {"exp2", STD(exp2), 1.5},
    {"expm1", STD(expm1), 2},
    {"log", STD(log), 1.5},
    {"log2", STD(log2), 2.5},
    {"log10", STD(log10), 2.5},
    {"log1p", STD(log1p), 2},
    {"tanh", STD(tanh), 3},
    {"sigmoid", sigmoid<R>, 3},
    {"softplus", softplus<R>, 3},
    {"erf", STD(erf), 4},
    {"erfc", STD(erfc), 6},
    {"erfinv", erfinv<R>, 4},
    {"normal_cdf", normal_cdf<R>, 6},
    {"gelu", gelu<R>, 4, 1},
    {"gelu_grad", gelu_grad<R>, 4, 1, 1},
    {"gelu_tanh", gelu_tanh<R>, 4, 1},
    {"gelu_tanh_grad", gelu_tanh_grad<R>, 4, 1, 1},
    {"sin", STD(sin), 1.5},
    {"cos", STD(cos), 1.5},
    {"tan", STD(tan), 2.5},
    {"asin", STD(asin), 2.5},
    {"acos", STD(acos), 2.5},
    {"atan", STD(atan), 2.5},
    {"sinh", STD(sinh), 2.5},
    {"cosh", STD(cosh), 2.5},
    {"asinh", STD(asinh), 3},
    {"acosh", STD(acosh), 3},
    {"atanh", STD(atanh), 3},
    {"sqrt", STD(sqrt), 0.5001},
    {"floor", STD(floor), 0},
    {"ceil", STD(ceil), 0},
    {"trunc", STD(trunc), 0},
    {"round", STD(nearbyint), 0},
    {"abs", STD(fabs), 0},
    {"sign", [](R x) -> R { return R(x > 0) - R(x < 0); }, 0},
    {"negate", [](R x) -> R { return -x; }, 0},
#undef STD
};

}  // namespace lamina::test
