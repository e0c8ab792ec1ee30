// The loop behind every pointwise kernel: 16 bytes at a time where all operands are contiguous (or
// one value) and of the compute dtype, element by element through the strides otherwise.
#pragma once

#include "cast.h"
#include "runtime/runtime.h"
#include "strided.h"

namespace lamina::cuda {

inline constexpr unsigned kPointwiseThreads = 256;

// Operand 0 is written, the N-1 others are read.
template <int N>
struct Elementwise {
  Strided<N> at;
  DType dtypes[N];
  bool flat = false;

  // The kernel computes in T and writes Out.
  template <class T, class Out = T>
  static Elementwise make(const Iter& it) {
    static_assert(N <= Iter::kMaxOperands);
    int operands[N];
    for (int k = 0; k < N; ++k) operands[k] = k;
    Elementwise e;
    e.at = Strided<N>(it, 0, it.rank(), operands);
    e.flat = it.is_flat() && it.rank() == 1;
    for (int k = 0; k < N; ++k) {
      e.dtypes[k] = it.dtype(k);
      check_dtype("cuda", e.dtypes[k]);
      const int64_t stride = it.rank() == 0 ? 0 : it.byte_stride(k, 0);
      const bool one_value = k > 0 && stride == 0;
      const int64_t width = k == 0 ? sizeof(Out) : sizeof(T);
      const uintptr_t aligned = static_cast<uintptr_t>(width) * (16 / sizeof(T));
      e.flat = e.flat && e.dtypes[k] == (k == 0 ? kDTypeOf<Out> : kDTypeOf<T>) &&
               (one_value ||
                (stride == width && reinterpret_cast<uintptr_t>(it.data(k)) % aligned == 0));
    }
    return e;
  }
};

template <class T, int kWidth>
struct alignas(sizeof(T) * kWidth) Pack {
  T v[kWidth];
};

#ifdef __CUDACC__
#define LAMINA_DEVICE __device__ __forceinline__
#else
#define LAMINA_DEVICE inline
#endif

LAMINA_DEVICE uint64_t grid_index() {
  return static_cast<uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
LAMINA_DEVICE uint64_t grid_size() { return static_cast<uint64_t>(gridDim.x) * blockDim.x; }

// out = f(in) for the whole packs of a flat iteration; returns how many elements that were.
template <class T, class Out, int N, class F>
LAMINA_DEVICE uint64_t flat_packs(const Elementwise<N>& e, F f) {
  constexpr int kWidth = 16 / sizeof(T);
  const uint64_t packs = e.at.numel / kWidth;
  for (uint64_t i = grid_index(); i < packs; i += grid_size()) {
    Pack<T, kWidth> in[N - 1];
    LAMINA_UNROLL
    for (int k = 0; k < N - 1; ++k) {
      const auto* from = reinterpret_cast<const T*>(e.at.data[k + 1]);
      if (e.at.strides[k + 1][0] != 0) {
        in[k] = reinterpret_cast<const Pack<T, kWidth>*>(from)[i];
      } else {
        LAMINA_UNROLL
        for (int j = 0; j < kWidth; ++j) in[k].v[j] = from[0];
      }
    }
    Pack<Out, kWidth> out;
    LAMINA_UNROLL
    for (int j = 0; j < kWidth; ++j) {
      T values[N - 1];
      LAMINA_UNROLL
      for (int k = 0; k < N - 1; ++k) values[k] = in[k].v[j];
      out.v[j] = f(values);
    }
    reinterpret_cast<Pack<Out, kWidth>*>(e.at.data[0])[i] = out;
  }
  return packs * kWidth;
}

// out = f(in) for elements [begin, numel) of any iteration.
template <class T, int N, class F>
LAMINA_DEVICE void strided_elements(const Elementwise<N>& e, uint64_t begin, F f) {
  for (uint64_t i = begin + grid_index(); i < e.at.numel; i += grid_size()) {
    int64_t offsets[N];
    e.at.offsets(i, offsets);
    T values[N - 1];
    LAMINA_UNROLL
    for (int k = 0; k < N - 1; ++k)
      values[k] = load_as<T>(e.at.data[k + 1] + offsets[k + 1], e.dtypes[k + 1]);
    const auto out = f(values);
    char* to = e.at.data[0] + offsets[0];
    if constexpr (std::is_same_v<decltype(out), const bool>)
      *reinterpret_cast<bool*>(to) = out;
    else
      store_from<T>(to, e.dtypes[0], out);
  }
}

// One thread a pack where that works, one an element elsewhere.
template <class T, int N, class... Params, class... Args>
void launch_elementwise(const Call& call, void (*kernel)(Elementwise<N>, Params...),
                        const Elementwise<N>& e, const Args&... args) {
  if (e.at.numel == 0) return;
  const uint64_t items = e.flat ? e.at.numel * sizeof(T) / 16 + 1 : e.at.numel;
  call.launch(kernel, dim3(call.blocks_for(items, kPointwiseThreads)), kPointwiseThreads, e,
              args...);
}

}  // namespace lamina::cuda
