// The inverse trigonometric functions, and the hyperbolic ones with their inverses, over Vec<T>.
// Included by simd.h only.
#pragma once

namespace lamina::LAMINA_ISA_NAMESPACE {

// atan(t) = t + t z atan_tail(z), z = t^2, for |t| <= tan(pi/8).
LAMINA_SIMD VecF atan_tail(VecF z) {  // 2^-28.4
  return horner(z, -0.333333164, 0.199984714, -0.142435223, 0.10593731, -0.0607800633);
}
LAMINA_SIMD VecD atan_tail(VecD z) {  // 2^-58.4
  return horner(z, -0.33333333333333326, 0.19999999999997647, -0.14285714285385684,
                0.11111111088052447, -0.0909090814062938, 0.07692282683042362, -0.0666622580661832,
                0.05877013950465469, -0.05218362387724238, 0.04503410099729929,
                -0.03347188152802881, 0.015193159558265584);
}

// asin(t) = t + t z asin_tail(z), z = t^2, for |t| <= 1/2.
LAMINA_SIMD VecF asin_tail(VecF z) {  // 2^-30.2
  return horner(z, 0.166666597, 0.0750050545, 0.0445167273, 0.0318097435, 0.0144304587,
                0.0375285298);
}
LAMINA_SIMD VecD asin_tail(VecD z) {  // 2^-59.6
  return horner(z, 0.1666666666666666, 0.07500000000002512, 0.044642857139710515,
                0.030381944643428013, 0.02237215164368994, 0.01735294437465226,
                0.013961887656229261, 0.011585828443863825, 0.009483037591077858,
                0.010014192775330987, 0.0006670403563788657, 0.024860321160057278,
                -0.02619438812469503, 0.03367033568408773);
}

// sinh(t) = t + t z sinh_tail(z), z = t^2, for |t| <= 1.
LAMINA_SIMD VecF sinh_tail(VecF z) {  // 2^-27.5
  return horner(z, 0.166666672, 0.0083333496, 0.000198361595, 2.81695179e-06);
}
LAMINA_SIMD VecD sinh_tail(VecD z) {  // 2^-56.8
  return horner(z, 0.16666666666666666, 0.008333333333333333, 0.000198412698412696,
                2.755731922411629e-06, 2.5052108346509174e-08, 1.6059050601239818e-10,
                7.646482897148948e-13, 2.8482329732039093e-15);
}

// What pi / 2 in T lacks.
template <class T>
constexpr double kHalfPiLow = sizeof(T) == 4 ? -4.3711388286737929e-8 : 6.123233995736766e-17;
constexpr double kHalfPi = 1.5707963267948966;

// atan|x| = c pi/4 + atan(t): c is 0, 1 or 2, and t is x, (x - 1) / (x + 1) or -1 / x.
template <class T>
LAMINA_SIMD Vec<T> atan(Vec<T> x) {
  using V = Vec<T>;
  const V a = abs(x);
  const Mask<T> far = a > V(2.414213562373095);
  const Mask<T> near = a <= V(0.41421356237309503);
  const V t = select(near, a, select(far, V(-1), a - 1) / select(far, a, a + 1));
  const V z = t * t;
  const V c = select(near, V(0), select(far, V(1), V(0.5)));
  const V low = fma(c, V(kHalfPiLow<T>), t * z * atan_tail(z));
  const V value = select(near, fma(t * z, atan_tail(z), t), fma(c, V(kHalfPi), t + low));
  return copysign(value, x);
}

// asin|x| = pi/2 - 2 asin(s), s = sqrt((1 - |x|) / 2), beyond 1/2; NaN beyond 1 by the root.
template <class T>
LAMINA_SIMD Vec<T> asin(Vec<T> x) {
  using V = Vec<T>;
  const V a = abs(x);
  const Mask<T> near = a <= V(0.5);
  const V z = select(near, x * x, V(0.5) - V(0.5) * a);
  const V s = select(near, a, sqrt(z));
  const V rest = s * z * asin_tail(z);
  // The first difference is exact, or so large that its rounding is not seen.
  const V far = (V(kHalfPi) - 2 * s) + (V(kHalfPiLow<T>) - 2 * rest);
  return copysign(select(near, s + rest, far), x);
}

template <class T>
LAMINA_SIMD Vec<T> acos(Vec<T> x) {
  using V = Vec<T>;
  const V a = abs(x);
  const Mask<T> near = a <= V(0.5);
  const V z = select(near, x * x, V(0.5) - V(0.5) * a);
  const V s = select(near, x, sqrt(z));
  const V rest = s * z * asin_tail(z);
  const V middle = V(kHalfPi) - (s - (V(kHalfPiLow<T>) - rest));
  const V low = V(2) * (V(kHalfPi) - (s - (V(kHalfPiLow<T>) - rest)));
  return select(near, middle, select(x > V(0), 2 * (s + rest), low));
}

// e^a / 2 for a >= 0: twice the range of exp, so that neither function below overflows early.
template <class T>
LAMINA_SIMD Vec<T> half_exp(Vec<T> a) {
  a = min(Vec<T>(ExpConstants<T>::kHighest + 1), a);
  Vec<T> n, n_bits;
  const Vec<T> r = reduce_exp(a, n, n_bits);
  return ldexp(fma(r * r, exp_tail(r), r) + 1, n - 1);
}

template <class T>
LAMINA_SIMD Vec<T> sinh(Vec<T> x) {
  using V = Vec<T>;
  const V a = abs(x);
  const V h = half_exp(a);
  const V z = x * x;
  return select(a < V(1), fma(x * z, sinh_tail(z), x), copysign(h - V(0.25) / h, x));
}

template <class T>
LAMINA_SIMD Vec<T> cosh(Vec<T> x) {
  const Vec<T> h = half_exp(abs(x));
  return h + Vec<T>(0.25) / h;
}

// By log(1 + u) with a u that has no cancellation; beyond 2^28 (2^56) by log(2 a).
template <class T>
constexpr double kHuge = sizeof(T) == 4 ? 0x1p28 : 0x1p56;

template <class T>
LAMINA_SIMD Vec<T> asinh(Vec<T> x) {
  using V = Vec<T>;
  const V a = abs(x);
  const V square = a * a;
  const V near = log1p(a + square / (1 + sqrt(1 + square)));
  const V far = log(a) + V(0.69314718055994531);
  return copysign(select(a < V(kHuge<T>), near, far), x);
}

template <class T>
LAMINA_SIMD Vec<T> acosh(Vec<T> x) {
  using V = Vec<T>;
  const V u = x - 1;
  const V near = log1p(u + sqrt(u * (u + 2)));
  const V far = log(x) + V(0.69314718055994531);
  const V value = select(x < V(kHuge<T>), near, far);
  return select(x < V(1), V(FloatTraits<T>::kNan), value);
}

template <class T>
LAMINA_SIMD Vec<T> atanh(Vec<T> x) {
  using V = Vec<T>;
  const V a = abs(x);
  return copysign(V(0.5) * log1p(2 * a / (1 - a)), x);
}

}  // namespace lamina::LAMINA_ISA_NAMESPACE
