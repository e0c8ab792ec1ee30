// Errors in units in the last place, and the tables of vector functions that test_simd.cpp
// measures.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace lamina::test {

// The unit in the last place of a T as large as x; denormals are as far apart as the smallest
// normal numbers, and what overflows is measured like the largest number.
template <class T, class Wide>
Wide ulp_of(Wide x) {
  using Limits = std::numeric_limits<T>;
  int exponent = Limits::min_exponent - 1;
  if (std::isfinite(x) && std::fabs(x) > Limits::min()) {
    int above;
    std::frexp(x, &above);
    exponent = above > Limits::max_exponent ? Limits::max_exponent - 1 : above - 1;
  }
  return std::ldexp(Wide(1), exponent - Limits::digits + 1);
}

// |got - want| in units of the last place of want, an infinity counting as the power of two above
// the largest number. Zero when both are NaN, infinite when one is.
template <class T, class Wide>
double ulp_error(T got, Wide want, Wide ulp) {
  if (std::isnan(got) || std::isnan(want)) {
    return std::isnan(got) && std::isnan(want) ? 0 : std::numeric_limits<double>::infinity();
  }
  const Wide overflow = 2 * std::ldexp(Wide(1), std::numeric_limits<T>::max_exponent - 1);
  const Wide g = std::fmin(std::fmax(static_cast<Wide>(got), -overflow), overflow);
  const Wide w = std::fmin(std::fmax(want, -overflow), overflow);
  return static_cast<double>(std::fabs(g - w) / ulp);
}

template <class T>
struct SimdUnary {
  const char* name;
  void (*run)(int64_t n, const T* x, T* y);
};

template <class T>
struct SimdBinary {
  const char* name;
  void (*run)(int64_t n, const T* x, const T* y, T* z);
};

template <class T>
struct SimdFunctions {
  int lanes;
  const SimdUnary<T>* unary;
  int unary_count;
  const SimdBinary<T>* binary;
  int binary_count;
  T (*reduce_add)(const T* x);
  T (*reduce_max)(const T* x);
  T (*reduce_min)(const T* x);
  // mask[i] = x[i] < y[i] through a stored and reloaded mask, z[i] = mask[i] ? x[i] : y[i].
  void (*masks)(int n, const T* x, const T* y, uint8_t* mask, T* z);
};

struct SimdTable {
  const char* isa;
  SimdFunctions<float> f32;
  SimdFunctions<double> f64;
};

SimdTable simd_table_baseline();
SimdTable simd_table_avx2();
SimdTable simd_table_avx512();

}  // namespace lamina::test
