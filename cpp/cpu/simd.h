// The vector layer that every CPU kernel is written against.
//
// Included by ISA translation units only, each of which defines LAMINA_ISA_NAMESPACE first and is
// compiled with its own flags; the compiler's macros choose the implementation. Everything lives in
// lamina::LAMINA_ISA_NAMESPACE, nothing comes from the standard library but fixed-width integers,
// so that no inline symbol is shared between two instruction sets. Needs -ffp-contract=off.
//
// An expression such as `g * (1 - y * y)` written over a type V works for Vec<float>, Vec<double>
// and, with cpp/scalar_math.h, for float and double. An element's result never depends on its lane.
#pragma once

#include <cstdint>

#if !defined(LAMINA_ISA_NAMESPACE)
#error "define LAMINA_ISA_NAMESPACE before including cpu/simd.h"
#endif

#define LAMINA_SIMD inline __attribute__((always_inline))

namespace lamina::LAMINA_ISA_NAMESPACE {

template <class T>
struct FloatTraits;

template <>
struct FloatTraits<float> {
  using Int = int32_t;
  using UInt = uint32_t;
  static constexpr int kMantissaBits = 23, kBias = 127;
  static constexpr float kTwoMantissa = 0x1p23f, kMagic = 0x1.8p23f, kMinNormal = 0x1p-126f;
  static constexpr float kSqrt2 = 0x1.6a09e6p0f, kSqrtHalf = 0x1.6a09e6p-1f;
  static constexpr float kInfinity = __builtin_inff(), kNan = __builtin_nanf("");
};

template <>
struct FloatTraits<double> {
  using Int = int64_t;
  using UInt = uint64_t;
  static constexpr int kMantissaBits = 52, kBias = 1023;
  static constexpr double kTwoMantissa = 0x1p52, kMagic = 0x1.8p52, kMinNormal = 0x1p-1022;
  static constexpr double kSqrt2 = 0x1.6a09e667f3bcdp0, kSqrtHalf = 0x1.6a09e667f3bcdp-1;
  static constexpr double kInfinity = __builtin_inf(), kNan = __builtin_nan("");
};

// Rounding modes with the processor's numbers, inexact exceptions suppressed.
constexpr int kHalfEven = 8, kDown = 9, kUp = 10, kTowardZero = 11;

template <class T>
struct Native;

// p * 2^n for integral n with |n| < 2 * bias. Two factors, the first step exact, so that a
// denormal result is rounded once.
template <class N>
LAMINA_SIMD typename N::Reg scale_by_bits(typename N::Reg p, typename N::Reg n) {
  using Tr = typename N::Traits;
  using Reg = typename N::Reg;
  using Int = typename N::Int;
  const Reg magic = N::broadcast(Tr::kMagic + Tr::kBias);
  const Reg half = N::fma(n, N::broadcast(0.5), magic);
  const Reg rest = (n - (half - magic)) + magic;
  const Reg s1 = (Reg)((Int)half << Tr::kMantissaBits);
  const Reg s2 = (Reg)((Int)rest << Tr::kMantissaBits);
  return p * s1 * s2;
}

// x = m * 2^e with m in [sqrt(1/2), sqrt(2)); x positive and finite, denormals included. For other
// x the results mean nothing: unsigned, so that a NaN's bits may wrap.
template <class N>
LAMINA_SIMD void split_by_bits(typename N::Reg x, typename N::Reg& m, typename N::Reg& e) {
  using Tr = typename N::Traits;
  using Reg = typename N::Reg;
  using Int = typename N::Int;
  using IntT = typename Tr::Int;
  typedef typename Tr::UInt UInt __attribute__((vector_size(sizeof(Reg))));
  constexpr IntT kOne = IntT(Tr::kBias) << Tr::kMantissaBits;
  constexpr IntT kSqrtHalfBits = __builtin_bit_cast(IntT, Tr::kSqrtHalf);
  const auto tiny = N::lt(x, N::broadcast(Tr::kMinNormal));
  const Reg y = N::select(tiny, x * N::broadcast(Tr::kTwoMantissa * 4), x);
  const Int i = (Int)((UInt)y + static_cast<typename Tr::UInt>(kOne - kSqrtHalfBits));
  m = (Reg)((i & ((IntT(1) << Tr::kMantissaBits) - 1)) + kSqrtHalfBits);
  const Int biased = (i >> Tr::kMantissaBits) & (2 * Tr::kBias + 1);
  const Reg big = N::broadcast(Tr::kTwoMantissa);
  const Reg offset =
      N::select(tiny, N::broadcast(Tr::kTwoMantissa + Tr::kBias + Tr::kMantissaBits + 2),
                N::broadcast(Tr::kTwoMantissa + Tr::kBias));
  e = (Reg)(biased | (Int)big) - offset;
}

}  // namespace lamina::LAMINA_ISA_NAMESPACE

#if defined(__AVX512F__)
#include "cpu/simd_avx512.h"
#elif defined(__AVX2__)
#include "cpu/simd_avx2.h"
#else
#include "cpu/simd_baseline.h"
#endif

namespace lamina::LAMINA_ISA_NAMESPACE {

template <class T>
struct Mask {
  using Bits = typename Native<T>::Bits;
  Bits b;

  // One byte per lane: any non-zero byte is true; stored as 0 or 1.
  LAMINA_SIMD static Mask load(const uint8_t* p) { return {Native<T>::load_mask(p)}; }
  LAMINA_SIMD static Mask load(const uint8_t* p, int n) {
    uint8_t lanes[Native<T>::kLanes] = {};
    for (int i = 0; i < n; ++i) lanes[i] = p[i];
    return load(lanes);
  }
  LAMINA_SIMD void store(uint8_t* p) const {
#if defined(__AVX512F__)
    Native<T>::store_mask(p, b);
#else
    for (int i = 0; i < Native<T>::kLanes; ++i) p[i] = static_cast<uint8_t>(b[i] & 1);
#endif
  }
  LAMINA_SIMD void store(uint8_t* p, int n) const {
    uint8_t lanes[Native<T>::kLanes];
    store(lanes);
    for (int i = 0; i < n; ++i) p[i] = lanes[i];
  }

  friend LAMINA_SIMD Mask operator&(Mask x, Mask y) { return {static_cast<Bits>(x.b & y.b)}; }
  friend LAMINA_SIMD Mask operator|(Mask x, Mask y) { return {static_cast<Bits>(x.b | y.b)}; }
  friend LAMINA_SIMD Mask operator^(Mask x, Mask y) { return {static_cast<Bits>(x.b ^ y.b)}; }
  friend LAMINA_SIMD Mask operator!(Mask x) { return {MaskOps<T>::invert(x.b)}; }
  friend LAMINA_SIMD bool any(Mask x) { return MaskOps<T>::any(x.b); }
  friend LAMINA_SIMD bool all(Mask x) { return MaskOps<T>::all(x.b); }
};

template <class T>
struct Vec {
  using Scalar = T;
  using N = Native<T>;
  using Reg = typename N::Reg;
  using Int = typename N::Int;
  using M = Mask<T>;
  static constexpr int kLanes = N::kLanes;

  Reg r;

  Vec() = default;
  LAMINA_SIMD Vec(Reg x) : r(x) {}
  LAMINA_SIMD Vec(float x) : r(N::broadcast(static_cast<T>(x))) {}
  LAMINA_SIMD Vec(double x) : r(N::broadcast(static_cast<T>(x))) {}
  LAMINA_SIMD Vec(int x) : r(N::broadcast(static_cast<T>(x))) {}
  LAMINA_SIMD Vec(int64_t x) : r(N::broadcast(static_cast<T>(x))) {}

  // The forms with n touch the first n elements only (0 <= n <= kLanes); load gives zero elsewhere.
  LAMINA_SIMD static Vec load(const T* p) { return N::load(p); }
  LAMINA_SIMD static Vec load(const T* p, int n) { return N::load(p, n); }
  LAMINA_SIMD void store(T* p) const { N::store(p, r); }
  LAMINA_SIMD void store(T* p, int n) const { N::store(p, n, r); }

  LAMINA_SIMD static Vec from_bits(Int x) { return (Reg)x; }
  LAMINA_SIMD Int bits() const { return (Int)r; }

  friend LAMINA_SIMD Vec operator+(Vec a, Vec b) { return a.r + b.r; }
  friend LAMINA_SIMD Vec operator-(Vec a, Vec b) { return a.r - b.r; }
  friend LAMINA_SIMD Vec operator*(Vec a, Vec b) { return a.r * b.r; }
  friend LAMINA_SIMD Vec operator/(Vec a, Vec b) { return a.r / b.r; }
  friend LAMINA_SIMD Vec operator-(Vec a) { return -a.r; }
  LAMINA_SIMD Vec& operator+=(Vec b) { return *this = *this + b; }
  LAMINA_SIMD Vec& operator-=(Vec b) { return *this = *this - b; }
  LAMINA_SIMD Vec& operator*=(Vec b) { return *this = *this * b; }
  LAMINA_SIMD Vec& operator/=(Vec b) { return *this = *this / b; }

  friend LAMINA_SIMD M operator<(Vec a, Vec b) { return {N::lt(a.r, b.r)}; }
  friend LAMINA_SIMD M operator<=(Vec a, Vec b) { return {N::le(a.r, b.r)}; }
  friend LAMINA_SIMD M operator>(Vec a, Vec b) { return {N::lt(b.r, a.r)}; }
  friend LAMINA_SIMD M operator>=(Vec a, Vec b) { return {N::le(b.r, a.r)}; }
  friend LAMINA_SIMD M operator==(Vec a, Vec b) { return {N::eq(a.r, b.r)}; }
  friend LAMINA_SIMD M operator!=(Vec a, Vec b) { return {N::ne(a.r, b.r)}; }
  friend LAMINA_SIMD Vec select(M m, Vec a, Vec b) { return N::select(m.b, a.r, b.r); }

  // a*b + c, a*b - c and c - a*b, one rounding where the instruction set has it.
  friend LAMINA_SIMD Vec fma(Vec a, Vec b, Vec c) { return N::fma(a.r, b.r, c.r); }
  friend LAMINA_SIMD Vec fms(Vec a, Vec b, Vec c) { return N::fms(a.r, b.r, c.r); }
  friend LAMINA_SIMD Vec fnma(Vec a, Vec b, Vec c) { return N::fnma(a.r, b.r, c.r); }
  friend LAMINA_SIMD Vec sqrt(Vec a) { return N::sqrt(a.r); }

  // One instruction: b where the two are equal or either is NaN.
  friend LAMINA_SIMD Vec max(Vec a, Vec b) { return N::max(a.r, b.r); }
  friend LAMINA_SIMD Vec min(Vec a, Vec b) { return N::min(a.r, b.r); }
  // NaN where either is NaN.
  friend LAMINA_SIMD Vec maximum(Vec a, Vec b) { return select(a != a, a, max(a, b)); }
  friend LAMINA_SIMD Vec minimum(Vec a, Vec b) { return select(a != a, a, min(a, b)); }

  friend LAMINA_SIMD Vec copysign(Vec magnitude, Vec sign) {
    const Int s = Vec(-0.0).bits();
    return from_bits((magnitude.bits() & ~s) | (sign.bits() & s));
  }
  friend LAMINA_SIMD Vec abs(Vec a) { return from_bits(a.bits() & ~Vec(-0.0).bits()); }
  // -1, 0 or 1; 0 for NaN.
  friend LAMINA_SIMD Vec sign(Vec a) {
    return select(a > Vec(0), Vec(1), select(a < Vec(0), Vec(-1), Vec(0)));
  }
  friend LAMINA_SIMD Vec floor(Vec a) { return N::template rounded<kDown>(a.r); }
  friend LAMINA_SIMD Vec ceil(Vec a) { return N::template rounded<kUp>(a.r); }
  friend LAMINA_SIMD Vec trunc(Vec a) { return N::template rounded<kTowardZero>(a.r); }
  friend LAMINA_SIMD Vec round(Vec a) { return N::template rounded<kHalfEven>(a.r); }
  friend LAMINA_SIMD M isnan(Vec a) { return a != a; }
  friend LAMINA_SIMD M isinf(Vec a) { return abs(a) == Vec(FloatTraits<T>::kInfinity); }
  friend LAMINA_SIMD M isfinite(Vec a) { return abs(a) < Vec(FloatTraits<T>::kInfinity); }
  friend LAMINA_SIMD M signbit(Vec a) { return {N::nonzero(a.bits() & Vec(-0.0).bits())}; }

  // p * 2^n, n integral and |n| < 2 * bias, rounded once.
  friend LAMINA_SIMD Vec ldexp(Vec p, Vec n) { return N::scale(p.r, n.r); }
};

using VecF = Vec<float>;
using VecD = Vec<double>;

// float lanes [0, kLanes/2) go to lo, the rest to hi; narrow is the inverse and rounds.
LAMINA_SIMD void widen(VecF v, VecD& lo, VecD& hi) { widen_reg(v.r, lo.r, hi.r); }
LAMINA_SIMD VecF narrow(VecD lo, VecD hi) { return narrow_reg(lo.r, hi.r); }

// Horizontal reductions. The order is fixed on every instruction set: while more than one lane is
// left, lane i of the lower half is combined with lane i of the upper half.
struct AddOp {
  template <class R>
  LAMINA_SIMD static R apply(R a, R b) {
    return a + b;
  }
};
struct MaximumOp {
  template <class R>
  LAMINA_SIMD static R apply(R a, R b) {
    return ((a > b) | (a != a)) ? a : b;
  }
};
struct MinimumOp {
  template <class R>
  LAMINA_SIMD static R apply(R a, R b) {
    return ((a < b) | (a != a)) ? a : b;
  }
};

template <class Op, class T, class R>
LAMINA_SIMD T fold(R r) {
  constexpr int kLanes = sizeof(R) / sizeof(T);
  if constexpr (kLanes == 16) {
    return fold<Op, T>(Op::apply(__builtin_shufflevector(r, r, 0, 1, 2, 3, 4, 5, 6, 7),
                                 __builtin_shufflevector(r, r, 8, 9, 10, 11, 12, 13, 14, 15)));
  } else if constexpr (kLanes == 8) {
    return fold<Op, T>(Op::apply(__builtin_shufflevector(r, r, 0, 1, 2, 3),
                                 __builtin_shufflevector(r, r, 4, 5, 6, 7)));
  } else if constexpr (kLanes == 4 && sizeof(T) == 8) {
    return fold<Op, T>(
        Op::apply(__builtin_shufflevector(r, r, 0, 1), __builtin_shufflevector(r, r, 2, 3)));
  } else if constexpr (kLanes == 4) {
    const R s = Op::apply(r, R(__builtin_shufflevector(r, r, 2, 3, 2, 3)));
    return Op::apply(T(s[0]), T(s[1]));
  } else {
    return Op::apply(T(r[0]), T(r[1]));
  }
}

template <class T>
LAMINA_SIMD T reduce_add(Vec<T> v) {
  return fold<AddOp, T>(v.r);
}
// NaN when any lane is NaN.
template <class T>
LAMINA_SIMD T reduce_max(Vec<T> v) {
  return fold<MaximumOp, T>(v.r);
}
template <class T>
LAMINA_SIMD T reduce_min(Vec<T> v) {
  return fold<MinimumOp, T>(v.r);
}

}  // namespace lamina::LAMINA_ISA_NAMESPACE

#include "cpu/simd_math.h"     // IWYU pragma: export
#include "cpu/simd_special.h"  // IWYU pragma: export

#include "cpu/simd_inverse.h"  // IWYU pragma: export
