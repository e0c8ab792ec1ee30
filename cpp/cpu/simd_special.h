// erf, erfc, the normal distribution's CDF and GELU, sin, cos, tan, pow, and what goes by the lane,
// over Vec<T>. Included by simd.h only.
#pragma once

#include "scalar_math.h"

namespace lamina::LAMINA_ISA_NAMESPACE {

// The part of a*a that its rounding lost.
template <class T>
LAMINA_SIMD Vec<T> square_error(Vec<T> a, Vec<T> square) {
  if constexpr (Native<T>::kFma) {
    return fms(a, a, square);
  } else {
    using Int = typename FloatTraits<T>::Int;
    constexpr int kDrop = FloatTraits<T>::kMantissaBits / 2 + 1;
    const Vec<T> hi = Vec<T>::from_bits(a.bits() & ~((Int(1) << kDrop) - 1));
    const Vec<T> lo = a - hi;
    return ((hi * hi - square) + 2 * hi * lo) + lo * lo;
  }
}

template <class T>
struct ErfConstants;
template <>
struct ErfConstants<float> {
  static constexpr float kErfcZero = 10.3f;    // erfc is zero from here on
  static constexpr float kNormalZero = 14.6f;  // x * Phi(-x) is zero from here on
  static constexpr float kTanhZero = 11.0f;    // the tanh form's sigmoid is zero from here on
};
template <>
struct ErfConstants<double> {
  static constexpr double kErfcZero = 27.5;
  static constexpr double kNormalZero = 38.7;
  static constexpr double kTanhZero = 22.0;
};

// e^(z*z) erfc(z) for 0 <= z <= kErfcZero: Q(w) / (z + k) with w = (z - k) / (z + k).
LAMINA_SIMD VecF erfcx(VecF z) {  // k = 3, 2^-25
  const VecF u = 1 / (z + 3);
  const VecF w = (z - 3) * u;
  return u * horner(w, 1.07400692, -0.88339448, 0.590228319, -0.310465962, 0.119529173,
                    -0.0268400609, -0.0012270452, 0.00308057829, -0.000481995638, -0.000324720109);
}
LAMINA_SIMD VecD erfcx(VecD z) {  // k = 4, 2^-52.4
  const VecD u = 1 / (z + 4);
  const VecD w = (z - 4) * u;
  return u * horner(w, 1.0959956610004911, -0.97654872908088208, 0.77320870226523675,
                    -0.54085383131322495, 0.33085158787802493, -0.17401093724029126,
                    0.076381514909114212, -0.026370053334607482, 0.006112055657167873,
                    -0.00028095891585073075, -0.00045505269142782971, 0.00017681308570686492,
                    -3.6351394535117223e-6, -1.8861777661553154e-5, 4.6943071149692381e-6,
                    1.4260683542152999e-6, -8.4597583887003873e-7, -7.7931928777954197e-8,
                    1.2392060846439754e-7, 2.5648995076611454e-9, -1.5395187023756313e-8,
                    -3.6486574742672315e-10, 1.0237949215503115e-9);
}

// erf(x) = x + x * erf_center(x * x) for |x| <= 0.8.
LAMINA_SIMD VecF erf_center(VecF z) {  // 2^-26.4
  return horner(z, 0.128379166, -0.376125962, 0.11283046, -0.0268175397, 0.00507872039,
                -0.000649165595);
}
LAMINA_SIMD VecD erf_center(VecD z) {  // 2^-56
  return horner(z, 0.12837916709551256, -0.37612638903183582, 0.11283791670944891,
                -0.026866170642715938, 0.0052239775961366898, -0.00085483249439250884,
                0.00012055240719299446, -1.4923011260259775e-5, 1.6413324769240868e-6,
                -1.5799352711690975e-7, 1.0987869366835544e-8);
}

// erfc(|x|): the exponent is -x^2 in two words, or the relative error would grow with x^2.
template <class T>
LAMINA_SIMD Vec<T> erfc_abs(Vec<T> x) {
  const Vec<T> a = min(Vec<T>(ErfConstants<T>::kErfcZero), abs(x));
  const Vec<T> square = a * a;
  return exp_scaled(erfcx(a), -square, -square_error(a, square));
}

template <class T>
LAMINA_SIMD Vec<T> erf(Vec<T> x) {
  const Vec<T> near = fma(x, erf_center(x * x), x);
  const Vec<T> far = copysign(1 - erfc_abs(x), x);
  return select(abs(x) < Vec<T>(0.8), near, far);
}

template <class T>
LAMINA_SIMD Vec<T> erfc(Vec<T> x) {
  const Vec<T> near = 1 - fma(x, erf_center(x * x), x);
  const Vec<T> tail = erfc_abs(x);
  const Vec<T> far = select(x < Vec<T>(0), 2 - tail, tail);
  return select(abs(x) < Vec<T>(0.65), near, far);
}

// factor * e^(-a*a/2) for a >= 0.
template <class T>
LAMINA_SIMD Vec<T> gaussian(Vec<T> factor, Vec<T> a) {
  const Vec<T> square = a * a;
  return exp_scaled(factor, Vec<T>(-0.5) * square, Vec<T>(-0.5) * square_error(a, square));
}

// e^(a*a/2) Phi(-a), Phi being the standard normal distribution's CDF.
template <class T>
LAMINA_SIMD Vec<T> mills(Vec<T> a) {
  return Vec<T>(0.5) * erfcx(a * Vec<T>(0.70710678118654752));
}

// Phi(x) for |x| < 0.8, from erf's odd polynomial.
template <class T>
LAMINA_SIMD Vec<T> normal_cdf_center(Vec<T> x) {
  const Vec<T> z = x * Vec<T>(0.35355339059327376);  // x / (2 sqrt 2): both halves at once
  return Vec<T>(0.5) + fma(z, erf_center(x * x * Vec<T>(0.5)), z);
}

// Phi(x) = erfc(-x / sqrt 2) / 2.
template <class T>
LAMINA_SIMD Vec<T> normal_cdf(Vec<T> x) {
  const Vec<T> a = min(Vec<T>(ErfConstants<T>::kNormalZero), abs(x));
  const Vec<T> tail = gaussian(mills(a), a);
  const Vec<T> far = select(x > Vec<T>(0), 1 - tail, tail);
  return select(a < Vec<T>(0.8), normal_cdf_center(x), far);
}

// Phi(x) to 2^-23.1, for max(-kNormalCdfZero, x): (1/2 + x P(x^2) / Q(x^2)) with both terms over
// one denominator, so that what cancels in the negative tail is as exact as a sum can be. P and Q
// are polynomials in x^2 - 6.75: where the sum cancels their first coefficients carry the weight.
// Fitted for the largest error, then improved by hand of neighbouring floats. Needs fma.
constexpr float kNormalCdfZero = 5.45f, kNormalCdfOne = 5.4f;  // where it rounds to 0 and to 1
LAMINA_SIMD VecF normal_cdf_rational(VecF x) {
  const VecF y = min(VecF(kNormalCdfOne), x);
  const VecF u = fma(y, y, VecF(-6.75));
  const VecF p = horner(u, 1.3734647, 0.184744477, 0.0129904598, 0.000359347847, 3.78447248e-06,
                        -2.71133107e-08, 1.80030837e-10);
  const VecF half_q =
      horner(u, 3.60213518, 0.732241452, 0.061678011, 0.00257219165, 4.50250955e-05);
  return max(VecF(0), fma(y, p, half_q)) / (half_q + half_q);
}

// x Phi(x); the limit, -0, at -infinity. Float, with fma: |error| <= 4 ulp(y) + 2^-23 |x|.
// Otherwise the tail keeps its digits: erfcx times an exponential.
template <class T>
LAMINA_SIMD Vec<T> gelu(Vec<T> x) {
  using V = Vec<T>;
  if constexpr (sizeof(T) == 4 && Native<T>::kFma) {
    const V m = max(V(-kNormalCdfZero), x);
    return m * normal_cdf_rational(m);
  } else {
    const V a = min(V(ErfConstants<T>::kNormalZero), abs(x));
    const V far = max(V(0), x) + gaussian(-a * mills(a), a);
    if constexpr (sizeof(T) == 4) return far;
    return select(a < V(0.8), x * normal_cdf_center(x), far);
  }
}

// d gelu / dx = Phi(x) + x phi(x), phi the normal density.
template <class T>
LAMINA_SIMD Vec<T> gelu_grad(Vec<T> x) {
  using V = Vec<T>;
  const V density(0.39894228040143268);
  if constexpr (sizeof(T) == 4 && Native<T>::kFma) {
    constexpr T kZero = ErfConstants<T>::kNormalZero;
    const V y = min(V(kZero), max(V(-kZero), x));
    const V cdf = normal_cdf_rational(max(V(-kNormalCdfZero), x));
    return fma(density * y, exp_nonpositive(V(-0.5) * y * y), cdf);
  } else {
    const V a = min(V(ErfConstants<T>::kNormalZero), abs(x));
    const V tail = fnma(a, density, mills(a));
    V factor = select(x > V(0), -tail, tail);
    V base = select(x > V(0), V(1), V(0));
    if constexpr (sizeof(T) == 8) {
      factor = select(a < V(0.8), x * density, factor);
      base = select(a < V(0.8), normal_cdf_center(x), base);
    }
    return base + gaussian(factor, a);
  }
}

// x sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3)), which is 0.5 x (1 + tanh(...)) without cancellation.
template <class T>
LAMINA_SIMD Vec<T> gelu_tanh(Vec<T> x) {
  using V = Vec<T>;
  const V y = max(V(-ErfConstants<T>::kTanhZero), x);
  const V slope = fma(y * y, V(0.071354816272600168), V(1.5957691216057308));
  const V z = exp_nonpositive(-abs(y) * slope);
  return select(y < V(0), y * z, y) / (1 + z);
}

template <class T>
LAMINA_SIMD Vec<T> gelu_tanh_grad(Vec<T> x) {
  using V = Vec<T>;
  const V limit(ErfConstants<T>::kTanhZero);
  const V y = min(limit, max(-limit, x));
  const V square = y * y;
  const V z =
      exp_nonpositive(-abs(y) * fma(square, V(0.071354816272600168), V(1.5957691216057308)));
  const V q = 1 / (1 + z);
  const V du = fma(square, V(0.21406444881780051), V(1.5957691216057308));
  return fma(y * du, z * q * q, select(y < V(0), z, V(1)) * q);
}

LAMINA_SIMD VecF erfinv(VecF x) { return scalar::erfinv_halley<2>(x); }
LAMINA_SIMD VecD erfinv(VecD x) { return scalar::erfinv_halley<3>(x); }

// One scalar call a lane, for functions that no training loop spends its time in.
#define LAMINA_SIMD_BY_LANE2(name)                                                       \
  LAMINA_SIMD VecF name##_by_lane(VecF x, VecF y) {                                      \
    for (int i = 0; i < VecF::kLanes; ++i) x.r[i] = __builtin_##name##f(x.r[i], y.r[i]); \
    return x;                                                                            \
  }                                                                                      \
  LAMINA_SIMD VecD name##_by_lane(VecD x, VecD y) {                                      \
    for (int i = 0; i < VecD::kLanes; ++i) x.r[i] = __builtin_##name(x.r[i], y.r[i]);    \
    return x;                                                                            \
  }
LAMINA_SIMD_BY_LANE2(atan2)
LAMINA_SIMD_BY_LANE2(fmod)
LAMINA_SIMD_BY_LANE2(hypot)
#undef LAMINA_SIMD_BY_LANE2

template <class T>
LAMINA_SIMD Vec<T> atan2(Vec<T> y, Vec<T> x) {
  return atan2_by_lane(y, x);
}

// x - trunc(x / y) y: one fused step is exact while the quotient has no more digits than T, but for
// a quotient that was rounded up to an integer. Larger ones go to the C library, which divides in
// steps. Where there is no result, the quotient is NaN or infinite, and so is NaN what follows.
template <class T>
LAMINA_SIMD Vec<T> fmod(Vec<T> x, Vec<T> y) {
  if constexpr (!Native<T>::kFma) {
    return fmod_by_lane(x, y);
  } else {
    using V = Vec<T>;
    const V a = abs(x);
    const V b = abs(y);
    const V q = trunc(a / b);
    if (any((q >= V(FloatTraits<T>::kTwoMantissa)) & isfinite(x) & (b > V(0))))
      return fmod_by_lane(x, y);
    V r = fnma(q, b, a);
    r = copysign(select(r < V(0), r + b, r), x);
    return select(isinf(y) & isfinite(x), x, r);
  }
}

LAMINA_SIMD VecF hypot(VecF x, VecF y) {  // through double, where no square overflows
  VecD x_lo, x_hi, y_lo, y_hi;
  widen(x, x_lo, x_hi);
  widen(y, y_lo, y_hi);
  const VecF root = narrow(sqrt(fma(x_lo, x_lo, y_lo * y_lo)), sqrt(fma(x_hi, x_hi, y_hi * y_hi)));
  return select(isinf(x) | isinf(y), VecF(FloatTraits<float>::kInfinity), root);
}
LAMINA_SIMD VecD hypot(VecD x, VecD y) { return hypot_by_lane(x, y); }

// x = k pi/2 + r + r_lo, |r| <= pi/4, k in the low bits of k_bits. Up to kAngleLimit the first two
// products below are exact; larger arguments need far more digits of pi and go to the C library.
constexpr double kAngleLimit = 0x1p20;

LAMINA_SIMD VecD reduce_angle(VecD x, VecD& r_lo, VecD& k_bits) {
  const VecD magic(FloatTraits<double>::kMagic);
  k_bits = fma(x, VecD(0.63661977236758134), magic);
  const VecD k = k_bits - magic;
  const VecD a = x - k * VecD(0x1.921fb544p0);
  const VecD b = k * VecD(0x1.0b4611a6p-34);
  const VecD t = a - b;
  const VecD c = fms(k, VecD(0x1.3198a2e037073p-69), (a - t) - b);
  const VecD r = t - c;
  r_lo = (t - r) - c;
  return r;
}
// Sine and cosine of r + r_lo.
LAMINA_SIMD VecD sine_near(VecD r, VecD r_lo) {
  const VecD z = r * r;
  const VecD s =  // 2^-56.6
      horner(z, -0.16666666666666627, 0.0083333333333212856, -0.00019841269828869851,
             2.7557313355908072e-6, -2.5050704022679408e-8, 1.5893582948838298e-10);
  return r + fma(z * r, s, fnma(VecD(0.5) * z, r_lo, r_lo));
}
LAMINA_SIMD VecD cosine_near(VecD r, VecD r_lo) {
  const VecD z = r * r;
  const VecD q =  // 2^-59
      horner(z, 0.041666666666666588, -0.0013888888888872598, 2.4801587288492186e-5,
             -2.7557314056586669e-7, 2.0875681879151579e-9, -1.1357448566969593e-11);
  const VecD half_square = VecD(0.5) * z;
  // 1 - z/2 loses up to half an ulp of 1; what it lost is added back.
  const VecD head = 1 - half_square;
  return head + (((1 - head) - half_square) + fms(z * z, q, r * r_lo));
}

// sin (shift 0) or cos (shift 1).
template <int kShift>
LAMINA_SIMD VecD sin_or_cos(VecD x) {
  VecD r_lo, k_bits;
  const VecD r = reduce_angle(x, r_lo, k_bits);
  const auto quadrant = k_bits.bits() + kShift;
  const Mask<double> odd = {Native<double>::nonzero(quadrant & 1)};
  const VecD value = select(odd, cosine_near(r, r_lo), sine_near(r, r_lo));
  VecD result = VecD::from_bits(value.bits() ^ ((quadrant & 2) << 62));
  if constexpr (kShift == 0) result = select(x == VecD(0), x, result);
  if (!all(abs(x) <= VecD(kAngleLimit))) {
    for (int i = 0; i < VecD::kLanes; ++i) {
      if (!(__builtin_fabs(x.r[i]) <= kAngleLimit)) {
        result.r[i] = kShift == 0 ? __builtin_sin(x.r[i]) : __builtin_cos(x.r[i]);
      }
    }
  }
  return result;
}

LAMINA_SIMD VecD sin(VecD x) { return sin_or_cos<0>(x); }
LAMINA_SIMD VecD cos(VecD x) { return sin_or_cos<1>(x); }
LAMINA_SIMD VecD tan(VecD x) {
  VecD r_lo, k_bits;
  const VecD r = reduce_angle(x, r_lo, k_bits);
  const VecD s = sine_near(r, r_lo);
  const VecD c = cosine_near(r, r_lo);
  const Mask<double> odd = {Native<double>::nonzero(k_bits.bits() & 1)};
  VecD result = select(x == VecD(0), x, select(odd, -c, s) / select(odd, s, c));
  if (!all(abs(x) <= VecD(kAngleLimit))) {
    for (int i = 0; i < VecD::kLanes; ++i) {
      if (!(__builtin_fabs(x.r[i]) <= kAngleLimit)) result.r[i] = __builtin_tan(x.r[i]);
    }
  }
  return result;
}

// Through double: the reduction needs more than a float's digits anyway.
#define LAMINA_SIMD_THROUGH_DOUBLE(name) \
  LAMINA_SIMD VecF name(VecF x) {        \
    VecD lo, hi;                         \
    widen(x, lo, hi);                    \
    return narrow(name(lo), name(hi));   \
  }
LAMINA_SIMD_THROUGH_DOUBLE(sin)
LAMINA_SIMD_THROUGH_DOUBLE(cos)
LAMINA_SIMD_THROUGH_DOUBLE(tan)
#undef LAMINA_SIMD_THROUGH_DOUBLE

// |x|^y in double, for float operands: log and exp there have 29 bits to spare.
LAMINA_SIMD VecD pow_magnitude(VecD x, VecD y) { return exp(y * log(abs(x))); }

LAMINA_SIMD VecF pow(VecF x, VecF y) {
  VecD x_lo, x_hi, y_lo, y_hi;
  widen(x, x_lo, x_hi);
  widen(y, y_lo, y_hi);
  VecF p = narrow(pow_magnitude(x_lo, y_lo), pow_magnitude(x_hi, y_hi));
  const Mask<float> integral = trunc(y) == y;
  const VecF half = y * VecF(0.5);
  const Mask<float> odd = integral & (trunc(half) != half);
  p = select(odd & signbit(x), -p, p);
  p = select((x < VecF(0)) & !integral & isfinite(x), VecF(FloatTraits<float>::kNan), p);
  // 1^anything, anything^0 and (-1)^(+-inf) are 1, NaN included; NaN otherwise spreads by itself.
  const Mask<float> one = (x == VecF(1)) | (y == VecF(0)) | ((x == VecF(-1)) & isinf(y));
  return select(one, VecF(1), p);
}

// By lane: an accurate double power needs a logarithm of about 65 bits; the C library's is that.
LAMINA_SIMD VecD pow(VecD x, VecD y) {
  for (int i = 0; i < VecD::kLanes; ++i) x.r[i] = __builtin_pow(x.r[i], y.r[i]);
  return x;
}

template <class T>
LAMINA_SIMD Vec<T> pow(Vec<T> x, double y) {
  return pow(x, Vec<T>(y));
}

}  // namespace lamina::LAMINA_ISA_NAMESPACE
