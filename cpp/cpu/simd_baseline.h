// 16-byte primitives behind Vec<T> in the compiler's own vector extension: SSE2 on x86-64, NEON on
// aarch64, no intrinsics but two on x86 (square root and sign mask, which the extension lacks).
// There is no fused multiply-add: fma(a, b, c) rounds a*b first. Included by simd.h only.
#pragma once

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace lamina::LAMINA_ISA_NAMESPACE {

template <class T, class IntT, int kLaneCount>
struct BaselineNative {
  static constexpr int kLanes = kLaneCount;
  static constexpr bool kFma = false;
  using Traits = FloatTraits<T>;
  typedef T Reg __attribute__((vector_size(16)));
  typedef IntT Int __attribute__((vector_size(16)));
  using Bits = Int;

  LAMINA_SIMD static Reg broadcast(T x) { return x - Reg{}; }
  LAMINA_SIMD static Reg load(const T* p) {
    Reg r;
    __builtin_memcpy(&r, p, sizeof r);
    return r;
  }
  LAMINA_SIMD static Reg load(const T* p, int n) {
    Reg r{};
    for (int i = 0; i < kLanes; ++i) {
      if (i < n) r[i] = p[i];
    }
    return r;
  }
  LAMINA_SIMD static void store(T* p, Reg r) { __builtin_memcpy(p, &r, sizeof r); }
  LAMINA_SIMD static void store(T* p, int n, Reg r) {
    for (int i = 0; i < kLanes; ++i) {
      if (i < n) p[i] = r[i];
    }
  }

  LAMINA_SIMD static Reg fma(Reg a, Reg b, Reg c) { return a * b + c; }
  LAMINA_SIMD static Reg fms(Reg a, Reg b, Reg c) { return a * b - c; }
  LAMINA_SIMD static Reg fnma(Reg a, Reg b, Reg c) { return c - a * b; }
  LAMINA_SIMD static Reg max(Reg a, Reg b) { return select(lt(b, a), a, b); }
  LAMINA_SIMD static Reg min(Reg a, Reg b) { return select(lt(a, b), a, b); }

  // Adding and subtracting 2^(mantissa bits) rounds a smaller number half to even; larger ones,
  // infinities and NaN are integers already and pass.
  template <int kMode>
  LAMINA_SIMD static Reg rounded(Reg a) {
    const Int sign = (Int)a & (Int)broadcast(T(-0.0));
    const Reg magnitude = (Reg)((Int)a ^ sign);
    const Reg big = broadcast(Traits::kTwoMantissa);
    Reg r = (magnitude + big) - big;
    const Reg one = broadcast(T(1));
    if constexpr (kMode == kTowardZero) {
      r -= select(lt(magnitude, r), one, Reg{});
    } else if constexpr (kMode == kDown || kMode == kUp) {
      const Reg s = (Reg)((Int)r | sign);
      const Reg moved =
          kMode == kDown ? s - select(lt(a, s), one, Reg{}) : s + select(lt(s, a), one, Reg{});
      r = (Reg)((Int)moved & ~(Int)broadcast(T(-0.0)));
    }
    return select(lt(magnitude, big), (Reg)((Int)r | sign), a);
  }

  LAMINA_SIMD static Bits lt(Reg a, Reg b) { return (Bits)(a < b); }
  LAMINA_SIMD static Bits le(Reg a, Reg b) { return (Bits)(a <= b); }
  LAMINA_SIMD static Bits eq(Reg a, Reg b) { return (Bits)(a == b); }
  LAMINA_SIMD static Bits ne(Reg a, Reg b) { return (Bits)(a != b); }
  LAMINA_SIMD static Bits nonzero(Int a) { return (Bits)(a != 0); }
  LAMINA_SIMD static Reg select(Bits m, Reg a, Reg b) {
    return (Reg)(((Int)a & m) | ((Int)b & ~m));
  }

  LAMINA_SIMD static Bits load_mask(const uint8_t* p) {
    Int m{};
    for (int i = 0; i < kLanes; ++i) m[i] = p[i];
    return nonzero(m);
  }
};

template <>
struct Native<float> : BaselineNative<float, int32_t, 4> {
  LAMINA_SIMD static Reg sqrt(Reg a) {
#if defined(__SSE2__)
    return _mm_sqrt_ps(a);
#else
    for (int i = 0; i < kLanes; ++i) a[i] = __builtin_sqrtf(a[i]);
    return a;
#endif
  }
  LAMINA_SIMD static int signs(Bits m) {
#if defined(__SSE2__)
    return _mm_movemask_ps((__m128)m);
#else
    return (m[0] & 1) | (m[1] & 2) | (m[2] & 4) | (m[3] & 8);
#endif
  }
  LAMINA_SIMD static Reg scale(Reg p, Reg n) { return scale_by_bits<Native>(p, n); }
  LAMINA_SIMD static void split(Reg x, Reg& m, Reg& e) { split_by_bits<Native>(x, m, e); }
};

template <>
struct Native<double> : BaselineNative<double, int64_t, 2> {
  LAMINA_SIMD static Reg sqrt(Reg a) {
#if defined(__SSE2__)
    return _mm_sqrt_pd(a);
#else
    for (int i = 0; i < kLanes; ++i) a[i] = __builtin_sqrt(a[i]);
    return a;
#endif
  }
  LAMINA_SIMD static int signs(Bits m) {
#if defined(__SSE2__)
    return _mm_movemask_pd((__m128d)m);
#else
    return static_cast<int>((m[0] & 1) | (m[1] & 2));
#endif
  }
  LAMINA_SIMD static Reg scale(Reg p, Reg n) { return scale_by_bits<Native>(p, n); }
  LAMINA_SIMD static void split(Reg x, Reg& m, Reg& e) { split_by_bits<Native>(x, m, e); }
};

// Masks are vectors of 0 and -1.
template <class T>
struct MaskOps {
  using Bits = typename Native<T>::Bits;
  static constexpr int kAll = (1 << Native<T>::kLanes) - 1;
  LAMINA_SIMD static Bits none() { return Bits{}; }
  LAMINA_SIMD static bool any(Bits m) { return Native<T>::signs(m) != 0; }
  LAMINA_SIMD static bool all(Bits m) { return Native<T>::signs(m) == kAll; }
  LAMINA_SIMD static Bits invert(Bits m) { return ~m; }
};

LAMINA_SIMD void widen_reg(Native<float>::Reg r, Native<double>::Reg& lo, Native<double>::Reg& hi) {
  lo = Native<double>::Reg{double(r[0]), double(r[1])};
  hi = Native<double>::Reg{double(r[2]), double(r[3])};
}

LAMINA_SIMD Native<float>::Reg narrow_reg(Native<double>::Reg lo, Native<double>::Reg hi) {
  return Native<float>::Reg{float(lo[0]), float(lo[1]), float(hi[0]), float(hi[1])};
}

}  // namespace lamina::LAMINA_ISA_NAMESPACE
