// AVX2 + FMA primitives behind Vec<T>. Included by simd.h only.
#pragma once

#include <immintrin.h>

namespace lamina::LAMINA_ISA_NAMESPACE {

template <>
struct Native<float> {
  static constexpr int kLanes = 8;
  static constexpr bool kFma = true;
  using Traits = FloatTraits<float>;
  typedef float Reg __attribute__((vector_size(32)));
  typedef int32_t Int __attribute__((vector_size(32)));
  using Bits = Int;

  LAMINA_SIMD static __m256i first(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  LAMINA_SIMD static Reg broadcast(float x) { return _mm256_set1_ps(x); }
  LAMINA_SIMD static Reg load(const float* p) { return _mm256_loadu_ps(p); }
  LAMINA_SIMD static Reg load(const float* p, int n) { return _mm256_maskload_ps(p, first(n)); }
  LAMINA_SIMD static void store(float* p, Reg r) { _mm256_storeu_ps(p, r); }
  LAMINA_SIMD static void store(float* p, int n, Reg r) { _mm256_maskstore_ps(p, first(n), r); }

  LAMINA_SIMD static Reg fma(Reg a, Reg b, Reg c) { return _mm256_fmadd_ps(a, b, c); }
  LAMINA_SIMD static Reg fms(Reg a, Reg b, Reg c) { return _mm256_fmsub_ps(a, b, c); }
  LAMINA_SIMD static Reg fnma(Reg a, Reg b, Reg c) { return _mm256_fnmadd_ps(a, b, c); }
  LAMINA_SIMD static Reg sqrt(Reg a) { return _mm256_sqrt_ps(a); }
  LAMINA_SIMD static Reg max(Reg a, Reg b) { return _mm256_max_ps(a, b); }
  LAMINA_SIMD static Reg min(Reg a, Reg b) { return _mm256_min_ps(a, b); }
  template <int kMode>
  LAMINA_SIMD static Reg rounded(Reg a) {
    return _mm256_round_ps(a, kMode);
  }

  LAMINA_SIMD static Bits lt(Reg a, Reg b) { return (Bits)_mm256_cmp_ps(a, b, _CMP_LT_OQ); }
  LAMINA_SIMD static Bits le(Reg a, Reg b) { return (Bits)_mm256_cmp_ps(a, b, _CMP_LE_OQ); }
  LAMINA_SIMD static Bits eq(Reg a, Reg b) { return (Bits)_mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
  LAMINA_SIMD static Bits ne(Reg a, Reg b) { return (Bits)_mm256_cmp_ps(a, b, _CMP_NEQ_UQ); }
  LAMINA_SIMD static Bits nonzero(Int a) { return (Bits)(a != 0); }
  LAMINA_SIMD static Reg select(Bits m, Reg a, Reg b) { return _mm256_blendv_ps(b, a, (__m256)m); }
  LAMINA_SIMD static int signs(Bits m) { return _mm256_movemask_ps((__m256)m); }

  LAMINA_SIMD static Bits load_mask(const uint8_t* p) {
    const __m128i v = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return nonzero((Int)_mm256_cvtepu8_epi32(v));
  }

  LAMINA_SIMD static Reg scale(Reg p, Reg n) { return scale_by_bits<Native>(p, n); }
  LAMINA_SIMD static void split(Reg x, Reg& m, Reg& e) { split_by_bits<Native>(x, m, e); }
};

template <>
struct Native<double> {
  static constexpr int kLanes = 4;
  static constexpr bool kFma = true;
  using Traits = FloatTraits<double>;
  typedef double Reg __attribute__((vector_size(32)));
  typedef int64_t Int __attribute__((vector_size(32)));
  using Bits = Int;

  LAMINA_SIMD static __m256i first(int n) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
  }
  LAMINA_SIMD static Reg broadcast(double x) { return _mm256_set1_pd(x); }
  LAMINA_SIMD static Reg load(const double* p) { return _mm256_loadu_pd(p); }
  LAMINA_SIMD static Reg load(const double* p, int n) { return _mm256_maskload_pd(p, first(n)); }
  LAMINA_SIMD static void store(double* p, Reg r) { _mm256_storeu_pd(p, r); }
  LAMINA_SIMD static void store(double* p, int n, Reg r) { _mm256_maskstore_pd(p, first(n), r); }

  LAMINA_SIMD static Reg fma(Reg a, Reg b, Reg c) { return _mm256_fmadd_pd(a, b, c); }
  LAMINA_SIMD static Reg fms(Reg a, Reg b, Reg c) { return _mm256_fmsub_pd(a, b, c); }
  LAMINA_SIMD static Reg fnma(Reg a, Reg b, Reg c) { return _mm256_fnmadd_pd(a, b, c); }
  LAMINA_SIMD static Reg sqrt(Reg a) { return _mm256_sqrt_pd(a); }
  LAMINA_SIMD static Reg max(Reg a, Reg b) { return _mm256_max_pd(a, b); }
  LAMINA_SIMD static Reg min(Reg a, Reg b) { return _mm256_min_pd(a, b); }
  template <int kMode>
  LAMINA_SIMD static Reg rounded(Reg a) {
    return _mm256_round_pd(a, kMode);
  }

  LAMINA_SIMD static Bits lt(Reg a, Reg b) { return (Bits)_mm256_cmp_pd(a, b, _CMP_LT_OQ); }
  LAMINA_SIMD static Bits le(Reg a, Reg b) { return (Bits)_mm256_cmp_pd(a, b, _CMP_LE_OQ); }
  LAMINA_SIMD static Bits eq(Reg a, Reg b) { return (Bits)_mm256_cmp_pd(a, b, _CMP_EQ_OQ); }
  LAMINA_SIMD static Bits ne(Reg a, Reg b) { return (Bits)_mm256_cmp_pd(a, b, _CMP_NEQ_UQ); }
  LAMINA_SIMD static Bits nonzero(Int a) { return (Bits)(a != 0); }
  LAMINA_SIMD static Reg select(Bits m, Reg a, Reg b) { return _mm256_blendv_pd(b, a, (__m256d)m); }
  LAMINA_SIMD static int signs(Bits m) { return _mm256_movemask_pd((__m256d)m); }

  LAMINA_SIMD static Bits load_mask(const uint8_t* p) {
    int32_t four;
    __builtin_memcpy(&four, p, sizeof four);
    return nonzero((Int)_mm256_cvtepu8_epi64(_mm_cvtsi32_si128(four)));
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
  lo = _mm256_cvtps_pd(_mm256_castps256_ps128(r));
  hi = _mm256_cvtps_pd(_mm256_extractf128_ps(r, 1));
}

LAMINA_SIMD Native<float>::Reg narrow_reg(Native<double>::Reg lo, Native<double>::Reg hi) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(lo)), _mm256_cvtpd_ps(hi), 1);
}

}  // namespace lamina::LAMINA_ISA_NAMESPACE
