// Casts between dtypes, one element or a strided run.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "core/dtype.h"

namespace lamina::cpu {

// C++'s conversion where it is defined. Where it is not: NaN becomes the integer 0, a float beyond
// int64 its nearest end, and narrower integers keep the low bits. To bool is "not zero".
template <class To, class From>
constexpr To convert(From v) {
  if constexpr (std::is_same_v<To, bool>) {
    return v != From(0);
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    constexpr From kEnd = From(0x1p63);
    if (v >= -kEnd && v < kEnd) return static_cast<To>(static_cast<int64_t>(v));
    if (v != v) return To(0);
    using Limits = std::numeric_limits<int64_t>;
    return static_cast<To>(v < From(0) ? Limits::min() : Limits::max());
  } else {
    return static_cast<To>(v);
  }
}

// A bool in memory that someone else wrote may be any non-zero byte.
template <class T>
T read(const void* p) {
  if constexpr (std::is_same_v<T, bool>)
    return *static_cast<const uint8_t*>(p) != 0;
  else
    return *static_cast<const T*>(p);
}

// Strides in bytes. dst and src are disjoint, or the same run.
using CastRun = void (*)(int64_t n, char* dst, int64_t dst_stride, const char* src,
                         int64_t src_stride);

// Raises TypeError, in the name of `op`, for a dtype without kernels.
CastRun cast_run(const char* op, DType to, DType from);

}  // namespace lamina::cpu
