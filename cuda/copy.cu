// Memory: copies with and without a change of dtype, fills, and the way from and to the host.
#include <cstring>

#include "elementwise.cuh"
#include "entries.h"

namespace lamina::cuda {
namespace {

// Elements as plain bits of their size: U is uint8_t, uint32_t or uint64_t.
template <class U>
__global__ void __launch_bounds__(kPointwiseThreads) move_kernel(Elementwise<2> e) {
  for (uint64_t i = grid_index(); i < e.at.numel; i += grid_size()) {
    int64_t offsets[2];
    e.at.offsets(i, offsets);
    *reinterpret_cast<U*>(e.at.data[0] + offsets[0]) =
        *reinterpret_cast<const U*>(e.at.data[1] + offsets[1]);
  }
}

template <class U>
__global__ void __launch_bounds__(kPointwiseThreads) fill_kernel(Elementwise<1> e, U bits) {
  uint64_t done = 0;
  if (e.flat) {
    constexpr int kWidth = 16 / sizeof(U);
    Pack<U, kWidth> pack;
    LAMINA_UNROLL
    for (int j = 0; j < kWidth; ++j) pack.v[j] = bits;
    const uint64_t packs = e.at.numel / kWidth;
    for (uint64_t i = grid_index(); i < packs; i += grid_size())
      reinterpret_cast<Pack<U, kWidth>*>(e.at.data[0])[i] = pack;
    done = packs * kWidth;
  }
  for (uint64_t i = done + grid_index(); i < e.at.numel; i += grid_size()) {
    int64_t offsets[1];
    e.at.offsets(i, offsets);
    *reinterpret_cast<U*>(e.at.data[0] + offsets[0]) = bits;
  }
}

template <class T>
__global__ void __launch_bounds__(kPointwiseThreads) cast_kernel(Elementwise<2> e) {
  strided_elements<T>(e, 0, [](const T(&in)[1]) { return in[0]; });
}

// Computes in double, so that float32 is rounded once.
template <class T>
__global__ void __launch_bounds__(kPointwiseThreads)
    arange_kernel(char* out, DType dtype, int item, uint64_t n, double start, double step) {
  for (uint64_t i = grid_index(); i < n; i += grid_size())
    store_from<T>(out + i * static_cast<uint64_t>(item), dtype,
                  convert<T>(start + step * static_cast<double>(i)));
}

// Calls f with an unsigned integer of the size of `dtype`'s elements.
template <class F>
void dispatch_size(DType dtype, F&& f) {
  switch (item_size(dtype)) {
    case 1: return f(uint8_t{});
    case 4: return f(uint32_t{});
    default: return f(uint64_t{});
  }
}

size_t bytes_of(const TensorRef& t) { return static_cast<size_t>(t.numel() * item_size(t.dtype)); }

}  // namespace

void copy(Ctx& ctx, const TensorRef& dst, const TensorRef& src) {
  const Call call("copy_", ctx);
  const Iter it(call.op(), {dst, src});
  if (it.numel() == 0) return;
  if (dst.dtype == src.dtype && dst.numel() == src.numel() && dst.contiguous() &&
      src.contiguous()) {
    call.check("cudaMemcpyAsync", cudaMemcpyAsync(dst.data, src.data, bytes_of(dst),
                                                  cudaMemcpyDeviceToDevice, call.stream()));
  } else if (dst.dtype == src.dtype) {
    dispatch_size(dst.dtype, [&](auto bits) {
      using U = decltype(bits);
      auto e = Elementwise<2>::make<U>(it);
      e.flat = false;
      launch_elementwise<U>(call, move_kernel<U>, e);
    });
  } else if (dst.dtype == DType::Bool) {  // 0.5 is true, and would be the integer 0
    launch_elementwise<bool>(call, cast_kernel<bool>, Elementwise<2>::make<bool>(it));
  } else {
    dispatch_compute(call.op(), dst.dtype, [&]<class T>() {
      auto e = Elementwise<2>::make<T>(it);
      e.flat = false;
      launch_elementwise<T>(call, cast_kernel<T>, e);
    });
  }
}

void fill(Ctx& ctx, const TensorRef& dst, double value) {
  const Call call("fill_", ctx);
  const Iter it(call.op(), {dst});
  if (it.numel() == 0) return;
  uint64_t word = 0;
  dispatch(call.op(), dst.dtype, [&]<class T>() {
    const T v = convert<T>(value);
    std::memcpy(&word, &v, sizeof(T));
  });
  dispatch_size(dst.dtype, [&](auto bits) {
    using U = decltype(bits);
    std::memcpy(&bits, &word, sizeof(U));
    auto e = Elementwise<1>::make<U>(it);
    e.flat = it.rank() == 1 && it.byte_stride(0, 0) == sizeof(U) &&
             reinterpret_cast<uintptr_t>(dst.data) % 16 == 0;
    launch_elementwise<U>(call, fill_kernel<U>, e, bits);
  });
}

void arange(Ctx& ctx, const TensorRef& dst, double start, double step) {
  const Call call("arange", ctx);
  const auto n = static_cast<uint64_t>(dst.numel());
  if (n == 0) return;
  dispatch_compute(call.op(), dst.dtype, [&]<class T>() {
    call.launch(arange_kernel<T>, dim3(call.blocks_for(n, kPointwiseThreads)), kPointwiseThreads,
                static_cast<char*>(dst.data), dst.dtype, static_cast<int>(item_size(dst.dtype)), n,
                start, step);
  });
}

// Both return when the host may use its memory again.
void to_host(Ctx& ctx, void* host, const TensorRef& src) {
  const Call call("copy to the host", ctx);
  if (src.numel() == 0) return;
  call.check("cudaMemcpyAsync",
             cudaMemcpyAsync(host, src.data, bytes_of(src), cudaMemcpyDeviceToHost, call.stream()));
  call.check("cudaStreamSynchronize", cudaStreamSynchronize(call.stream()));
}

void from_host(Ctx& ctx, const TensorRef& dst, const void* host) {
  const Call call("copy from the host", ctx);
  if (dst.numel() == 0) return;
  call.check("cudaMemcpyAsync",
             cudaMemcpyAsync(dst.data, host, bytes_of(dst), cudaMemcpyHostToDevice, call.stream()));
  call.check("cudaStreamSynchronize", cudaStreamSynchronize(call.stream()));
}

}  // namespace lamina::cuda
