// AVX-512 (F, BW, DQ, VL) primitives behind Vec<T>. Included by simd.h only.
#pragma once

#include <immintrin.h>

namespace lamina::LAMINA_ISA_NAMESPACE {

template <>
struct Native<float> {
  static constexpr int kLanes = 16;
  static constexpr bool kFma = true;
  using Traits = FloatTraits<float>;
  typedef float Reg __attribute__((vector_size(64)));
  typedef int32_t Int __attribute__((vector_size(64)));
  using Bits = __mmask16;

  LAMINA_SIMD static Bits first(int n) { return static_cast<Bits>((1u << n) - 1u); }
  LAMINA_SIMD static Reg broadcast(float x) { return _mm512_set1_ps(x); }
  LAMINA_SIMD static Reg load(const float* p) { return _mm512_loadu_ps(p); }
  LAMINA_SIMD static Reg load(const float* p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
  LAMINA_SIMD static void store(float* p, Reg r) { _mm512_storeu_ps(p, r); }
  LAMINA_SIMD static void store(float* p, int n, Reg r) { _mm512_mask_storeu_ps(p, first(n), r); }

  LAMINA_SIMD static Reg fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_ps(a, b, c); }
  LAMINA_SIMD static Reg fms(Reg a, Reg b, Reg c) { return _mm512_fmsub_ps(a, b, c); }
  LAMINA_SIMD static Reg fnma(Reg a, Reg b, Reg c) { return _mm512_fnmadd_ps(a, b, c); }
  LAMINA_SIMD static Reg sqrt(Reg a) { return _mm512_maskz_sqrt_ps(0xffff, a); }
  LAMINA_SIMD static Reg max(Reg a, Reg b) { return _mm512_maskz_max_ps(0xffff, a, b); }
  LAMINA_SIMD static Reg min(Reg a, Reg b) { return _mm512_maskz_min_ps(0xffff, a, b); }
  template <int kMode>
  LAMINA_SIMD static Reg rounded(Reg a) {
    return _mm512_maskz_roundscale_ps(0xffff, a, kMode);
  }

  LAMINA_SIMD static Bits lt(Reg a, Reg b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  LAMINA_SIMD static Bits le(Reg a, Reg b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
  LAMINA_SIMD static Bits eq(Reg a, Reg b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
  LAMINA_SIMD static Bits ne(Reg a, Reg b) { return _mm512_cmp_ps_mask(a, b, _CMP_NEQ_UQ); }
  LAMINA_SIMD static Bits nonzero(Int a) { return _mm512_test_epi32_mask((__m512i)a, (__m512i)a); }
  LAMINA_SIMD static Reg select(Bits m, Reg a, Reg b) { return _mm512_mask_blend_ps(m, b, a); }

  LAMINA_SIMD static Bits load_mask(const uint8_t* p) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm_test_epi8_mask(v, v);
  }
  LAMINA_SIMD static void store_mask(uint8_t* p, Bits m) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_maskz_set1_epi8(m, 1));
  }

  LAMINA_SIMD static Reg scale(Reg p, Reg n) { return _mm512_maskz_scalef_ps(0xffff, p, n); }
  LAMINA_SIMD static void split(Reg x, Reg& m, Reg& e) {
    const Reg mant = _mm512_maskz_getmant_ps(0xffff, x, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src);
    const Reg expo = _mm512_maskz_getexp_ps(0xffff, x);
    const Bits big = le(broadcast(Traits::kSqrt2), mant);
    m = _mm512_mask_mul_ps(mant, big, mant, broadcast(0.5f));
    e = _mm512_mask_add_ps(expo, big, expo, broadcast(1.0f));
  }
};

template <>
struct Native<double> {
  static constexpr int kLanes = 8;
  static constexpr bool kFma = true;
  using Traits = FloatTraits<double>;
  typedef double Reg __attribute__((vector_size(64)));
  typedef int64_t Int __attribute__((vector_size(64)));
  using Bits = __mmask8;

  LAMINA_SIMD static Bits first(int n) { return static_cast<Bits>((1u << n) - 1u); }
  LAMINA_SIMD static Reg broadcast(double x) { return _mm512_set1_pd(x); }
  LAMINA_SIMD static Reg load(const double* p) { return _mm512_loadu_pd(p); }
  LAMINA_SIMD static Reg load(const double* p, int n) { return _mm512_maskz_loadu_pd(first(n), p); }
  LAMINA_SIMD static void store(double* p, Reg r) { _mm512_storeu_pd(p, r); }
  LAMINA_SIMD static void store(double* p, int n, Reg r) { _mm512_mask_storeu_pd(p, first(n), r); }

  LAMINA_SIMD static Reg fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_pd(a, b, c); }
  LAMINA_SIMD static Reg fms(Reg a, Reg b, Reg c) { return _mm512_fmsub_pd(a, b, c); }
  LAMINA_SIMD static Reg fnma(Reg a, Reg b, Reg c) { return _mm512_fnmadd_pd(a, b, c); }
  LAMINA_SIMD static Reg sqrt(Reg a) { return _mm512_maskz_sqrt_pd(0xff, a); }
  LAMINA_SIMD static Reg max(Reg a, Reg b) { return _mm512_maskz_max_pd(0xff, a, b); }
  LAMINA_SIMD static Reg min(Reg a, Reg b) { return _mm512_maskz_min_pd(0xff, a, b); }
  template <int kMode>
  LAMINA_SIMD static Reg rounded(Reg a) {
    return _mm512_maskz_roundscale_pd(0xff, a, kMode);
  }

  LAMINA_SIMD static Bits lt(Reg a, Reg b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
  LAMINA_SIMD static Bits le(Reg a, Reg b) { return _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ); }
  LAMINA_SIMD static Bits eq(Reg a, Reg b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }
  LAMINA_SIMD static Bits ne(Reg a, Reg b) { return _mm512_cmp_pd_mask(a, b, _CMP_NEQ_UQ); }
  LAMINA_SIMD static Bits nonzero(Int a) { return _mm512_test_epi64_mask((__m512i)a, (__m512i)a); }
  LAMINA_SIMD static Reg select(Bits m, Reg a, Reg b) { return _mm512_mask_blend_pd(m, b, a); }

  LAMINA_SIMD static Bits load_mask(const uint8_t* p) {
    const __m128i v = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return static_cast<Bits>(_mm_test_epi8_mask(v, v));
  }
  LAMINA_SIMD static void store_mask(uint8_t* p, Bits m) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_maskz_set1_epi8(m, 1));
  }

  LAMINA_SIMD static Reg scale(Reg p, Reg n) { return _mm512_maskz_scalef_pd(0xff, p, n); }
  LAMINA_SIMD static void split(Reg x, Reg& m, Reg& e) {
    const Reg mant = _mm512_maskz_getmant_pd(0xff, x, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src);
    const Reg expo = _mm512_maskz_getexp_pd(0xff, x);
    const Bits big = le(broadcast(Traits::kSqrt2), mant);
    m = _mm512_mask_mul_pd(mant, big, mant, broadcast(0.5));
    e = _mm512_mask_add_pd(expo, big, expo, broadcast(1.0));
  }
};

// Masks are plain integers here.
template <class T>
struct MaskOps {
  using Bits = typename Native<T>::Bits;
  static constexpr Bits kAll = static_cast<Bits>((1u << Native<T>::kLanes) - 1u);
  LAMINA_SIMD static Bits none() { return 0; }
  LAMINA_SIMD static bool any(Bits m) { return m != 0; }
  LAMINA_SIMD static bool all(Bits m) { return m == kAll; }
  LAMINA_SIMD static Bits invert(Bits m) { return static_cast<Bits>(~m & kAll); }
};

LAMINA_SIMD void widen_reg(Native<float>::Reg r, Native<double>::Reg& lo, Native<double>::Reg& hi) {
  lo = _mm512_maskz_cvtps_pd(0xff, __builtin_shufflevector(r, r, 0, 1, 2, 3, 4, 5, 6, 7));
  hi = _mm512_maskz_cvtps_pd(0xff, __builtin_shufflevector(r, r, 8, 9, 10, 11, 12, 13, 14, 15));
}

LAMINA_SIMD Native<float>::Reg narrow_reg(Native<double>::Reg lo, Native<double>::Reg hi) {
  const __m256 a = _mm512_maskz_cvtpd_ps(0xff, lo);
  const __m256 b = _mm512_maskz_cvtpd_ps(0xff, hi);
  return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

}  // namespace lamina::LAMINA_ISA_NAMESPACE
