// Exponentials and logarithms over Vec<T>, and what is built from them. Included by simd.h only.
//
// Coefficients are our own weighted minimax fits (Remez exchange in 50 digits, then rounded); the
// bound beside each is the largest relative error that the polynomial alone adds to the function.
// Measured errors of the whole functions are in docs/accuracy.md.
#pragma once

namespace lamina::LAMINA_ISA_NAMESPACE {

template <class V>
LAMINA_SIMD V horner(V, double c) {
  return V(c);
}
// c0 + x (c1 + x (c2 + ...))
template <class V, class... C>
LAMINA_SIMD V horner(V x, double c0, C... rest) {
  return fma(x, horner(x, static_cast<double>(rest)...), V(c0));
}

template <class T>
struct ExpConstants;

template <>
struct ExpConstants<float> {
  static constexpr float kLog2E = 1.44269502f;
  // ln 2 in two parts; the first is so short that n * kLn2Hi is exact for every n in use.
  static constexpr float kLn2Hi = 0x1.62e4p-1f, kLn2Lo = 0x1.7f7d1cp-20f;
  // exp of anything outside is 0 or infinity after rounding.
  static constexpr float kLowest = -104.0f, kHighest = 88.8f;
  // Beyond it tanh rounds to 1; beyond its opposite expm1 rounds to -1.
  static constexpr float kTanhOne = 10.0f;
};

template <>
struct ExpConstants<double> {
  static constexpr double kLog2E = 1.4426950408889634;
  static constexpr double kLn2Hi = 0x1.62e42ffp-1, kLn2Lo = -0x1.718432a1b0e26p-35;
  static constexpr double kLowest = -746.0, kHighest = 710.0;
  static constexpr double kTanhOne = 20.0;
};

// x = n ln 2 + r, |r| <= ln 2 / 2; n_bits holds n, biased, in its low bits (see pow2).
template <class T>
LAMINA_SIMD Vec<T> reduce_exp(Vec<T> x, Vec<T>& n, Vec<T>& n_bits) {
  using C = ExpConstants<T>;
  const Vec<T> magic(FloatTraits<T>::kMagic + FloatTraits<T>::kBias);
  n_bits = fma(x, Vec<T>(C::kLog2E), magic);
  n = n_bits - magic;
  return fnma(n, Vec<T>(C::kLn2Lo), fnma(n, Vec<T>(C::kLn2Hi), x));
}

// 2^n from the second result of reduce_exp, for n whose power is a normal number.
template <class T>
LAMINA_SIMD Vec<T> pow2(Vec<T> n_bits) {
  return Vec<T>::from_bits(n_bits.bits() << FloatTraits<T>::kMantissaBits);
}

// (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2.
LAMINA_SIMD VecF exp_tail(VecF r) {  // 2^-27.8 in e^r
  return horner(r, 0.49999994, 0.166665196, 0.0416684002, 0.00836885162, 0.00138143275);
}
LAMINA_SIMD VecD exp_tail(VecD r) {  // 2^-56.8 in e^r
  return horner(r, 0.50000000000000111, 0.16666666666666408, 0.041666666666528074,
                0.008333333333497386, 0.0013888888944266944, 0.00019841269502110151,
                2.4801492364379928e-5, 2.7557588694665366e-6, 2.7630533204366235e-7,
                2.4999847422032227e-8);
}

// The same, accurate relative to e^r - 1.
LAMINA_SIMD VecF expm1_tail(VecF r) {  // 2^-30.2 in e^r - 1
  return horner(r, 0.5, 0.166666672, 0.0416664816, 0.00833328161, 0.00139334775, 0.000199099421);
}
LAMINA_SIMD VecD expm1_tail(VecD r) {  // 2^-60.4 in e^r - 1
  return horner(r, 0.5, 0.16666666666666677, 0.041666666666666692, 0.0083333333333215718,
                0.0013888888888869669, 0.00019841269886374031, 2.4801587357176814e-5,
                2.7557243879447575e-6, 2.7557244615476187e-7, 2.5109175871970791e-8,
                2.0924065201564033e-9);
}

template <class T>
LAMINA_SIMD Vec<T> exp(Vec<T> x) {
  using C = ExpConstants<T>;
  // NaN passes: max and min return their second operand then.
  x = min(Vec<T>(C::kHighest), max(Vec<T>(C::kLowest), x));
  Vec<T> n, n_bits;
  const Vec<T> r = reduce_exp(x, n, n_bits);
  return ldexp(fma(r * r, exp_tail(r), r) + 1, n);
}

// factor * exp(hi + lo) for hi <= 0 and |lo| far below 1. The factor is applied before the scaling,
// so that a denormal result is still rounded once.
template <class T>
LAMINA_SIMD Vec<T> exp_scaled(Vec<T> factor, Vec<T> hi, Vec<T> lo) {
  hi = max(Vec<T>(ExpConstants<T>::kLowest), hi);
  Vec<T> n, n_bits;
  const Vec<T> r = reduce_exp(hi, n, n_bits) + lo;
  return ldexp(factor * (fma(r * r, exp_tail(r), r) + 1), n);
}

// exp for x <= 0.
template <class T>
LAMINA_SIMD Vec<T> exp_nonpositive(Vec<T> x) {
  x = max(Vec<T>(ExpConstants<T>::kLowest), x);
  Vec<T> n, n_bits;
  const Vec<T> r = reduce_exp(x, n, n_bits);
  return ldexp(fma(r * r, exp_tail(r), r) + 1, n);
}

template <class T>
LAMINA_SIMD Vec<T> expm1(Vec<T> x) {
  using V = Vec<T>;
  using C = ExpConstants<T>;
  const V y = min(V(C::kHighest), max(V(-2 * C::kTanhOne), x));
  V n, n_bits;
  const V r = reduce_exp(y, n, n_bits);
  const V m = fma(r * r, expm1_tail(r), r);
  // Half of the result first: 2^n overflows before the result does.
  const V half = pow2(n_bits - 1);
  const V value = 2 * (fma(half, m, half - V(0.5)));
  return select(abs(x) < V(FloatTraits<T>::kMinNormal * 4), x, value);
}

template <class T>
LAMINA_SIMD Vec<T> tanh(Vec<T> x) {
  using V = Vec<T>;
  // With t = e^2|x| - 1, tanh|x| = t / (t + 2): no cancellation anywhere.
  const V y = min(V(2 * ExpConstants<T>::kTanhOne), 2 * abs(x));
  V n, n_bits;
  const V r = reduce_exp(y, n, n_bits);
  const V m = fma(r * r, expm1_tail(r), r);
  const V p = pow2(n_bits);
  const V t = fma(p, m, p - 1);
  return copysign(t / (t + 2), x);
}

// 1 / (1 + e^-x), by e^-|x| so that a tiny result keeps its digits.
template <class T>
LAMINA_SIMD Vec<T> sigmoid(Vec<T> x) {
  using V = Vec<T>;
  const V z = exp_nonpositive(-abs(x));
  return select(x < V(0), z, V(1)) / (1 + z);
}

// 2^x.
LAMINA_SIMD VecF exp2(VecF x) {
  const VecF y = min(VecF(129), max(VecF(-151), x));
  const VecF n = round(y);
  const VecF r = y - n;
  // 2^-28.7: ln 2 = 0.69314718 + 1.6e-9 leads.
  const VecF q = horner(r, 0.240226477, 0.0555033199, 0.00961843971, 0.00133991323, 0.000153531335);
  return ldexp(fma(r, VecF(0.693147182), fma(r * r, q, r * VecF(-1.90465421e-9))) + 1, n);
}
LAMINA_SIMD VecD exp2(VecD x) {
  const VecD y = min(VecD(1025), max(VecD(-1076), x));
  const VecD n = round(y);
  const VecD r = y - n;
  const VecD q =  // 2^-58
      horner(r, 0.24022650695910133, 0.055504108664820057, 0.0096181291075935604,
             0.0013333558146780156, 0.00015403530457887927, 1.525273348942012e-5,
             1.3215434865570351e-6, 1.0178200465619053e-7, 7.0738593963661079e-9,
             4.4347308708762296e-10);
  const VecD low = fma(r * r, q, r * VecD(2.3190468138462996e-17));
  return ldexp(fma(r, VecD(0.69314718055994529), low) + 1, n);
}

// log(1 + f) = f + log1p_tail(f) for 1 + f in [sqrt(1/2), sqrt(2)].
LAMINA_SIMD VecF log1p_tail(VecF f) {  // 2^-27.2 in log(1 + f)
  const VecF q = horner(f, 0.333333313, -0.250008225, 0.200012341, -0.166233018, 0.142015427,
                        -0.131605476, 0.12763381, -0.0763580203);
  return f * f * fma(f, q, VecF(-0.5));
}
LAMINA_SIMD VecD log1p_tail(VecD f) {  // 2^-57.7 in log(1 + f)
  // log(1+f) = 2 atanh(s), s = f / (2 + f); written so that f enters exactly.
  const VecD s = f / (2 + f);
  const VecD z = s * s;
  const VecD q = z * horner(z, 0.6666666666666734, 0.39999999999413477, 0.28571428742682387,
                            0.22222198540367991, 0.18183566156694791, 0.15314000682573778,
                            0.14796477726478935);
  const VecD half_square = VecD(0.5) * f * f;
  return fms(s, half_square + q, half_square);
}

// e ln 2 + log(1 + f) as an unevaluated sum: returns the large part, sets lo.
template <class T>
LAMINA_SIMD Vec<T> log_parts(Vec<T> e, Vec<T> f, Vec<T>& lo) {
  using C = ExpConstants<T>;
  const Vec<T> a = e * Vec<T>(C::kLn2Hi);  // exact
  const Vec<T> hi = a + f;
  const Vec<T> lost = f - (hi - a);  // exact: |a| > |f| or a = 0
  lo = log1p_tail(f) + fma(e, Vec<T>(C::kLn2Lo), lost);
  return hi;
}

// Gives a logarithm its values outside (0, inf): -inf at zero, NaN below, x at inf and NaN.
template <class T>
LAMINA_SIMD Vec<T> log_edges(Vec<T> x, Vec<T> value) {
  using V = Vec<T>;
  using Tr = FloatTraits<T>;
  const V edge = select(x == V(0), V(-Tr::kInfinity), select(x < V(0), V(Tr::kNan), x));
  return select((x > V(0)) & (x < V(Tr::kInfinity)), value, edge);
}

template <class T>
LAMINA_SIMD void split(Vec<T> x, Vec<T>& f, Vec<T>& e) {
  Vec<T> m;
  Native<T>::split(x.r, m.r, e.r);
  f = m - 1;
}

template <class T>
LAMINA_SIMD Vec<T> log(Vec<T> x) {
  Vec<T> f, e, lo;
  split(x, f, e);
  const Vec<T> hi = log_parts(e, f, lo);
  return log_edges(x, hi + lo);
}

template <class T>
LAMINA_SIMD Vec<T> log1p(Vec<T> x) {
  using V = Vec<T>;
  const V u = 1 + x;
  V f, e, lo;
  split(u, f, e);
  // f = (1 + x) 2^-e - 1 without the rounding of 1 + x; when x is huge that rounding is nothing.
  const V s = ldexp(V(1), -e);
  f = select(e < V(64), fma(x, s, s - 1), f);
  const V hi = log_parts(e, f, lo);
  return select(x == V(0), x, log_edges(u, hi + lo));
}

template <class T>
LAMINA_SIMD Vec<T> log2(Vec<T> x) {
  using V = Vec<T>;
  V f, e;
  split(x, f, e);
  const V y = f + log1p_tail(f);
  // 1 / ln 2 in two parts.
  const V hi(sizeof(T) == 4 ? 1.4426950216293335 : 1.4426950408889634);
  const V lo(sizeof(T) == 4 ? 1.925963033500011e-08 : 2.0355273740931033e-17);
  return log_edges(x, fma(y, hi, fma(y, lo, e)));
}

template <class T>
LAMINA_SIMD Vec<T> log10(Vec<T> x) {
  using V = Vec<T>;
  V f, e;
  split(x, f, e);
  const V y = f + log1p_tail(f);
  // log10(2) and 1 / ln 10 in two parts, e * two_hi exact.
  const V two_hi(sizeof(T) == 4 ? 0x1.344p-2 : 0x1.3441350ap-2);
  const V two_lo(sizeof(T) == 4 ? 0x1.3509f8p-18 : -0x1.0c0219dc1da99p-39);
  const V hi(sizeof(T) == 4 ? 0x1.bcb7b2p-2 : 0x1.bcb7b1526e50ep-2);
  const V lo(sizeof(T) == 4 ? -0x1.5b235ep-27 : 0x1.95355baaafad3p-57);
  return log_edges(x, fma(e, two_hi, fma(y, hi, fma(y, lo, e * two_lo))));
}

// log(1 + e^x). The logarithm's argument is in [1, 2]: one step of its reduction at most, and none
// of the edges.
template <class T>
LAMINA_SIMD Vec<T> softplus(Vec<T> x) {
  using V = Vec<T>;
  const V z = exp_nonpositive(-abs(x));
  const Mask<T> halve = z > V(FloatTraits<T>::kSqrt2 - 1);
  V lo;
  const V hi = log_parts(select(halve, V(1), V(0)), select(halve, V(0.5) * z - V(0.5), z), lo);
  return max(V(0), x) + (hi + lo);
}

}  // namespace lamina::LAMINA_ISA_NAMESPACE
