// Element types and their promotion.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/check.h"

namespace lamina {

// float16, bfloat16 and int8 hold their place in the numbering; no kernel takes them yet.
enum class DType : uint8_t { Bool, UInt8, Int32, Int64, Float32, Float64, Int8, Float16, BFloat16 };

struct DTypeInfo {
  const char* name;
  uint8_t size;
  bool floating;
};

inline constexpr DTypeInfo kDTypes[] = {
    {"bool", 1, false},  {"uint8", 1, false},  {"int32", 4, false},
    {"int64", 8, false}, {"float32", 4, true}, {"float64", 8, true},
    {"int8", 1, false},  {"float16", 2, true}, {"bfloat16", 2, true},
};

constexpr const DTypeInfo& info(DType t) { return kDTypes[static_cast<int>(t)]; }
constexpr int64_t item_size(DType t) { return info(t).size; }
constexpr bool is_floating(DType t) { return info(t).floating; }
constexpr bool is_integral(DType t) { return !is_floating(t) && t != DType::Bool; }
inline std::string to_text(DType t) { return info(t).name; }

template <class T>
inline constexpr DType kDTypeOf = DType::BFloat16;  // no C++ type maps to it
template <>
inline constexpr DType kDTypeOf<bool> = DType::Bool;
template <>
inline constexpr DType kDTypeOf<uint8_t> = DType::UInt8;
template <>
inline constexpr DType kDTypeOf<int32_t> = DType::Int32;
template <>
inline constexpr DType kDTypeOf<int64_t> = DType::Int64;
template <>
inline constexpr DType kDTypeOf<float> = DType::Float32;
template <>
inline constexpr DType kDTypeOf<double> = DType::Float64;

// Calls f.template operator()<T>() with the C++ type behind `t`.
template <class F>
decltype(auto) dispatch(const char* op, DType t, F&& f) {
  switch (t) {
    case DType::Bool: return f.template operator()<bool>();
    case DType::UInt8: return f.template operator()<uint8_t>();
    case DType::Int32: return f.template operator()<int32_t>();
    case DType::Int64: return f.template operator()<int64_t>();
    case DType::Float32: return f.template operator()<float>();
    case DType::Float64: return f.template operator()<double>();
    default: raise<TypeError>(op, ": no kernel for dtype ", t);
  }
}

template <class F>
decltype(auto) dispatch_floating(const char* op, DType t, F&& f) {
  if (t == DType::Float32) return f.template operator()<float>();
  if (t == DType::Float64) return f.template operator()<double>();
  raise<TypeError>(op, ": needs a floating dtype (float32 or float64), got ", t);
}

// The dtype of an op between two tensors that both have dimensions: PyTorch's lattice
// (bool < uint8 < int32 < int64 < float32 < float64). Which operands count is the ops' business.
constexpr DType promote(DType a, DType b) {
  return static_cast<int>(a) < static_cast<int>(b) ? b : a;
}

}  // namespace lamina
