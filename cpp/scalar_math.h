// The functions of cpu/simd.h for plain float and double, under the same names, so that one
// expression template serves Vec<float>, Vec<double>, float and double: the reference kernels and,
// compiled by nvcc, device code. An expression header says `using namespace scalar;` in its own
// namespace; Vec overloads are found by argument-dependent lookup.
//
// Write constants as V(0.5): a bare 0.5 would turn a float expression into a double one.
#pragma once

#include <math.h>

#include <cstdint>

#if defined(__CUDACC__)
#define LAMINA_HD __host__ __device__ __forceinline__
#else
// Always inlined, so that no copy compiled for one instruction set can be called by another.
#define LAMINA_HD inline __attribute__((always_inline))
#endif

namespace lamina::scalar {

#define LAMINA_SCALAR_1(name, c_name)                      \
  LAMINA_HD float name(float x) { return ::c_name##f(x); } \
  LAMINA_HD double name(double x) { return ::c_name(x); }
#define LAMINA_SCALAR_2(name, c_name)                                  \
  LAMINA_HD float name(float x, float y) { return ::c_name##f(x, y); } \
  LAMINA_HD double name(double x, double y) { return ::c_name(x, y); }
LAMINA_SCALAR_1(exp, exp)
LAMINA_SCALAR_1(exp2, exp2)
LAMINA_SCALAR_1(expm1, expm1)
LAMINA_SCALAR_1(log, log)
LAMINA_SCALAR_1(log1p, log1p)
LAMINA_SCALAR_1(log2, log2)
LAMINA_SCALAR_1(log10, log10)
LAMINA_SCALAR_1(sin, sin)
LAMINA_SCALAR_1(cos, cos)
LAMINA_SCALAR_1(tan, tan)
LAMINA_SCALAR_1(asin, asin)
LAMINA_SCALAR_1(acos, acos)
LAMINA_SCALAR_1(atan, atan)
LAMINA_SCALAR_1(sinh, sinh)
LAMINA_SCALAR_1(cosh, cosh)
LAMINA_SCALAR_1(tanh, tanh)
LAMINA_SCALAR_1(asinh, asinh)
LAMINA_SCALAR_1(acosh, acosh)
LAMINA_SCALAR_1(atanh, atanh)
LAMINA_SCALAR_1(erf, erf)
LAMINA_SCALAR_1(erfc, erfc)
LAMINA_SCALAR_1(sqrt, sqrt)
LAMINA_SCALAR_1(abs, fabs)
LAMINA_SCALAR_1(floor, floor)
LAMINA_SCALAR_1(ceil, ceil)
LAMINA_SCALAR_1(trunc, trunc)
LAMINA_SCALAR_1(round, rint)  // half to even
LAMINA_SCALAR_2(pow, pow)
LAMINA_SCALAR_2(atan2, atan2)
LAMINA_SCALAR_2(fmod, fmod)
LAMINA_SCALAR_2(hypot, hypot)
LAMINA_SCALAR_2(copysign, copysign)
#undef LAMINA_SCALAR_1
#undef LAMINA_SCALAR_2

LAMINA_HD float fma(float a, float b, float c) { return ::fmaf(a, b, c); }
LAMINA_HD double fma(double a, double b, double c) { return ::fma(a, b, c); }

// Only float and double; an int argument takes the type of the others.
template <class T>
struct OnlyReal;
template <>
struct OnlyReal<float> {
  using Type = float;
};
template <>
struct OnlyReal<double> {
  using Type = double;
};
template <class T>
using Real = typename OnlyReal<T>::Type;
template <class T>
struct SameAs {
  using Type = T;
};
// A parameter that does not take part in deduction.
template <class T>
using Same = typename SameAs<T>::Type;

template <class T>
LAMINA_HD Real<T> fms(T a, Same<T> b, Same<T> c) {
  return fma(a, b, -c);
}
template <class T>
LAMINA_HD Real<T> fnma(T a, Same<T> b, Same<T> c) {
  return fma(-a, b, c);
}

template <class T>
LAMINA_HD Real<T> select(bool mask, T a, Same<T> b) {
  return mask ? a : b;
}
LAMINA_HD bool any(bool mask) { return mask; }
LAMINA_HD bool all(bool mask) { return mask; }

// -1, 0 or 1; 0 for NaN.
template <class T>
LAMINA_HD Real<T> sign(T x) {
  return T((x > T(0)) - (x < T(0)));
}

// b where the two are equal or either is NaN, as the vector instructions do.
template <class T>
LAMINA_HD Real<T> max(T a, Same<T> b) {
  return a > b ? a : b;
}
template <class T>
LAMINA_HD Real<T> min(T a, Same<T> b) {
  return a < b ? a : b;
}
// NaN where either is NaN.
template <class T>
LAMINA_HD Real<T> maximum(T a, Same<T> b) {
  return a > b || a != a ? a : b;
}
template <class T>
LAMINA_HD Real<T> minimum(T a, Same<T> b) {
  return a < b || a != a ? a : b;
}

template <class T>
LAMINA_HD bool isnan(T a) {
  return a != a;
}
template <class T>
LAMINA_HD bool isfinite(T a) {
  return a - a == T(0);
}
template <class T>
LAMINA_HD bool isinf(T a) {
  return a == a && a - a != T(0);
}
template <class T>
LAMINA_HD bool signbit(T a) {
  return copysign(T(1), a) < T(0);
}
template <class T>
LAMINA_HD Real<T> ldexp(T p, Same<T> n) {
  return static_cast<T>(::ldexp(static_cast<double>(p), static_cast<int>(n)));
}

template <class T>
LAMINA_HD Real<T> sigmoid(T x) {
  const T z = exp(-abs(x));
  return (x < T(0) ? z : T(1)) / (T(1) + z);
}

// log(1 + e^x)
template <class T>
LAMINA_HD Real<T> softplus(T x) {
  return max(T(0), x) + log1p(exp(-abs(x)));
}

// The standard normal density; the second factor is what the rounding of x * x lost.
LAMINA_HD double normal_pdf(double x) {
  const double square = x * x;
  const double lost = square > 1600 ? 0 : fma(x, x, -square);
  return 0.39894228040143268 * ::exp(-0.5 * square) * (1 - 0.5 * lost);
}

// The standard normal distribution's CDF, erfc(-x / sqrt 2) / 2. The tail magnifies the rounding of
// the argument, so a first-order step follows for what it lost. float goes through double.
LAMINA_HD double normal_cdf(double x) {
  if (x * x > 1600) return double(x > 0);
  const double z = x * -0.70710678118654752;
  const double lost = fma(z, 1.4142135623730951, x) + z * -9.667293313452913e-17;
  return 0.5 * ::erfc(z) + lost * normal_pdf(x);
}
LAMINA_HD float normal_cdf(float x) { return static_cast<float>(normal_cdf(double(x))); }

// x Phi(x); the limit, -0, at -infinity.
LAMINA_HD double gelu(double x) { return x < -40 ? -0.0 : x * normal_cdf(x); }
LAMINA_HD float gelu(float x) { return static_cast<float>(gelu(double(x))); }
// Phi(x) + x phi(x)
LAMINA_HD double gelu_grad(double x) {
  return x * x > 1600 ? double(x > 0) : normal_cdf(x) + x * normal_pdf(x);
}
LAMINA_HD float gelu_grad(float x) { return static_cast<float>(gelu_grad(double(x))); }

// x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3), which is 0.5 x (1 + tanh u).
LAMINA_HD double gelu_tanh(double x) {
  return x < -22 ? -0.0 : x * sigmoid(x * (1.5957691216057308 + 0.071354816272600168 * x * x));
}
LAMINA_HD float gelu_tanh(float x) { return static_cast<float>(gelu_tanh(double(x))); }
LAMINA_HD double gelu_tanh_grad(double x) {
  if (x * x > 484) return double(x > 0);
  const double u2 = x * (1.5957691216057308 + 0.071354816272600168 * x * x);
  const double s = sigmoid(u2);
  const double du2 = 1.5957691216057308 + 0.21406444881780051 * x * x;
  return s + x * du2 * s * sigmoid(-u2);
}
LAMINA_HD float gelu_tanh_grad(float x) { return static_cast<float>(gelu_tanh_grad(double(x))); }

// The inverse of erf for any V: Winitzki's closed approximation (2e-3), then kSteps of Halley's
// method, each cubing the error; through erfc where erf has no digits left. V may be a Vec.
template <int kSteps, class V>
LAMINA_HD V erfinv_halley(V x) {
  const V a = abs(x);
  const V rest = V(1) - a;
  const V l = log(rest * (V(1) + a));
  const V t = V(4.330746750799873) + V(0.5) * l;
  V y = sqrt(max(V(0), sqrt(t * t - l * V(6.802721088435374)) - t));
  for (int i = 0; i < kSteps; ++i) {
    const V error = select(a < V(0.5), erf(y) - a, rest - erfc(y));
    const V u = error * V(0.88622692545275801) * exp(y * y);
    y = y - u / (V(1) + y * u);
  }
  return copysign(select(a == V(1), V(INFINITY), y), x);
}
LAMINA_HD float erfinv(float x) { return static_cast<float>(erfinv_halley<3>(double(x))); }
LAMINA_HD double erfinv(double x) { return erfinv_halley<3>(x); }

// -- expressions over any V: numbers, vectors, and (the derivatives) whole tensors
// ------------------

// sin(pi x) / (pi x); x less an even integer, which is exact, has the same sine.
template <class V>
LAMINA_HD V sinc(V x) {
  const V r = x - V(2) * round(x * V(0.5));
  return select(x == V(0), V(1), sin(r * V(3.14159265358979324)) / (x * V(3.14159265358979324)));
}
// (cos(pi x) - sinc(x)) / x, and its series where that cancels.
template <class V>
LAMINA_HD V sinc_grad(V x) {
  const V pi(3.14159265358979324);
  const V safe = select(abs(x) < V(0.15), V(1), x);
  const V r = safe - V(2) * round(safe * V(0.5));
  const V far = (cos(r * pi) - sin(r * pi) / (safe * pi)) / safe;
  const V z = x * x * V(9.8696044010893586);
  const V near =
      V(-1. / 3) +
      z * (V(1. / 30) +
           z * (V(-1. / 840) +
                z * (V(1. / 45360) +
                     z * (V(-1. / 3991680) + z * (V(1. / 518918400) + z * V(-1. / 93405312000))))));
  return select(abs(x) < V(0.15), x * V(9.8696044010893586) * near, far);
}

// 1 / x, and 0 at 0: the derivative of an angle at the origin, as PyTorch has it.
template <class V>
LAMINA_HD V reciprocal_or_zero(V x) {
  return select(x == V(0), V(0), V(1) / select(x == V(0), V(1), x));
}

// x where it is at most 0, else 0: the argument of an exponential that is used on that side alone,
// and must not overflow on the other.
template <class V>
LAMINA_HD V nonpositive(V x) {
  return select(x > V(0), V(0), x);
}

// tanh(softplus(x)) = n / (n + 2) with n = e^x (e^x + 2); 1 to rounding from 20 on.
template <class V>
LAMINA_HD V mish_gate(V x) {
  const V e = exp(minimum(x, V(40)));
  const V n = e * (e + V(2));
  return n / (n + V(2));
}
// t + x (1 - t^2) sigmoid(x), t the gate, and 1 - t = 2 / (n + 2).
template <class V>
LAMINA_HD V mish_grad(V x) {
  const V low = minimum(x, V(40));
  const V e = exp(low);
  const V n = e * (e + V(2));
  const V t = n / (n + V(2));
  return t + low * (V(2) / (n + V(2)) * (V(1) + t) * sigmoid(low));
}

// p (1 - p), kept from 0, where a derivative divides by it.
template <class V>
LAMINA_HD V bernoulli_variance(V p) {
  return maximum((V(1) - p) * p, V(1e-12));
}

// Python's %: with the sign of y.
template <class V>
LAMINA_HD V remainder(V x, V y) {
  const V m = fmod(x, y);
  return select((m != V(0)) & ((m < V(0)) ^ (y < V(0))), m + y, m);
}

// Python's //: the quotient of x less what remains, so that 1 // 0.1 is 9.
template <class V>
LAMINA_HD V floor_divide(V x, V y) {
  const V m = fmod(x, y);
  V q = (x - m) / y;
  q = select((m != V(0)) & ((m < V(0)) ^ (y < V(0))), q - V(1), q);
  V whole = floor(q);
  whole = select(q - whole > V(0.5), whole + V(1), whole);
  const V plain = x / y;
  return select(y == V(0), plain, select(q == V(0), copysign(V(0), plain), whole));
}

}  // namespace lamina::scalar
