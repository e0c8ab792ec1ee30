// Arrays and random numbers for the tests of CUDA's kernels under emulation, where "device memory"
// is plain memory of the host.
#pragma once

#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "../../cuda/entries.h"
#include "core/shape.h"
#include "core/tensor.h"

namespace lamina::cuda_test {

inline std::mt19937& rng() {
  static std::mt19937 generator(20240229);
  return generator;
}
inline int64_t random_int(int64_t low, int64_t high) {  // both included
  return std::uniform_int_distribution<int64_t>(low, high)(rng());
}

// A strided array. `data` holds what the strides can reach and not an element more, so that the
// address sanitizer sees every step outside.
template <class T>
struct Array {
  Dims sizes, strides;
  std::vector<T> data;
  int64_t offset = 0;

  Array(const Dims& sizes_, const Dims& strides_, int64_t offset_ = 0)
      : sizes(sizes_), strides(strides_), offset(offset_) {
    data.resize(static_cast<size_t>(offset + strided_extent(sizes, strides)));
  }
  explicit Array(const Dims& sizes_) : Array(sizes_, contiguous_strides(sizes_)) {}

  TensorRef ref() { return {data.data() + offset, sizes, strides, kDTypeOf<T>}; }
  int64_t numel() const { return checked_numel(sizes); }
  // Element i in row-major order.
  T& operator[](int64_t i) {
    int64_t at = offset;
    for (int d = sizes.rank() - 1; d >= 0; --d) {
      at += i % sizes[d] * strides[d];
      i /= sizes[d];
    }
    return data[static_cast<size_t>(at)];
  }
  template <class F>
  Array& set(F value) {
    for (int64_t i = 0; i < numel(); ++i) (*this)[i] = static_cast<T>(value(i));
    return *this;
  }
  // Small integers: sums and products of them are exact in any order.
  Array& set_integers(int64_t low = -8, int64_t high = 8) {
    return set([=](int64_t) { return random_int(low, high); });
  }
  Array& set_normal() {
    std::normal_distribution<double> normal;
    return set([&](int64_t) { return normal(rng()); });
  }
};
template <>
inline Array<bool>::Array(const Dims&, const Dims&, int64_t) = delete;  // vector<bool> is packed

// bool's elements as bytes.
struct Flags : Array<uint8_t> {
  using Array::Array;
  TensorRef ref() {
    TensorRef r = Array::ref();
    r.dtype = DType::Bool;
    return r;
  }
};

// The strides of a contiguous array whose dimensions were then permuted, with gaps between rows.
inline Dims shuffled_strides(const Dims& sizes, bool gaps = true) {
  std::vector<int> order;
  for (int d = 0; d < sizes.rank(); ++d) order.push_back(d);
  std::shuffle(order.begin(), order.end(), rng());
  Dims strides = Dims::filled(sizes.rank(), 0);
  int64_t step = gaps ? random_int(1, 2) : 1;
  for (const int d : order) {
    strides[d] = step;
    step *= sizes[d] + (gaps ? random_int(0, 2) : 0);
  }
  return strides;
}

inline Ctx cuda_ctx() { return Ctx{Device{DeviceKind::Cuda, 0}}; }

// Equal, NaN to NaN.
template <class T>
bool same(T a, T b) {
  return a == b || (a != a && b != b);
}

}  // namespace lamina::cuda_test
