// Elements of any dtype as the dtype that a kernel computes in: float, double, or int64_t for every
// integer and bool (sums, products and differences of wrapping integers keep their low bits).
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/dtype.h"
#include "scalar_math.h"  // LAMINA_HD

namespace lamina::cuda {

// As the CPU's (cpu/convert.h): NaN becomes the integer 0, a float beyond int64 its nearest end,
// and narrower integers keep the low bits.
template <class To, class From>
LAMINA_HD To convert(From v) {
  if constexpr (std::is_same_v<To, bool>) {
    return v != From(0);
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    constexpr From kEnd = From(0x1p63);
    if (v >= -kEnd && v < kEnd) return static_cast<To>(static_cast<int64_t>(v));
    if (v != v) return To(0);
    return static_cast<To>(v < From(0) ? INT64_MIN : INT64_MAX);
  } else {
    return static_cast<To>(v);
  }
}

template <class To>
LAMINA_HD To load_as(const char* p, DType dtype) {
  switch (dtype) {
    case DType::Bool: return convert<To>(*p != 0);
    case DType::UInt8: return convert<To>(*reinterpret_cast<const uint8_t*>(p));
    case DType::Int32: return convert<To>(*reinterpret_cast<const int32_t*>(p));
    case DType::Int64: return convert<To>(*reinterpret_cast<const int64_t*>(p));
    case DType::Float32: return convert<To>(*reinterpret_cast<const float*>(p));
    case DType::Float64: return convert<To>(*reinterpret_cast<const double*>(p));
    default: return To(0);  // drivers refuse the rest
  }
}

// `dtype` is T's own, or any integer's for int64_t.
template <class T>
LAMINA_HD void store_from(char* p, DType dtype, T v) {
  if constexpr (std::is_same_v<T, int64_t>) {
    switch (dtype) {
      case DType::Bool: *reinterpret_cast<bool*>(p) = v != 0; return;
      case DType::UInt8: *reinterpret_cast<uint8_t*>(p) = static_cast<uint8_t>(v); return;
      case DType::Int32: *reinterpret_cast<int32_t*>(p) = static_cast<int32_t>(v); return;
      default: *reinterpret_cast<int64_t*>(p) = v; return;
    }
  } else {
    *reinterpret_cast<T*>(p) = v;
  }
}

inline void check_dtype(const char* op, DType dtype) {
  check<TypeError>(dtype <= DType::Float64, op, ": no CUDA kernel for dtype ", dtype);
}

// Calls f.template operator()<T>() with the type in which results of `dtype` are computed.
template <class F>
void dispatch_compute(const char* op, DType dtype, F&& f) {
  check_dtype(op, dtype);
  if (dtype == DType::Float32) return f.template operator()<float>();
  if (dtype == DType::Float64) return f.template operator()<double>();
  return f.template operator()<int64_t>();
}

}  // namespace lamina::cuda
