// Copies, fills, and memory of the host.
#include <algorithm>
#include <cstring>

#include "core/iter.h"
#include "core/parallel.h"
#include "cpu/convert.h"
#include "cpu/drivers.h"
#include "cpu/tasks.h"

namespace lamina::cpu {
namespace {

constexpr int64_t kGrainBytes = 256 * 1024;

void copy_bytes(void* dst, const void* src, int64_t bytes) {
  parallel_for(bytes, kGrainBytes, [&](int64_t begin, int64_t end) {
    std::memcpy(static_cast<char*>(dst) + begin, static_cast<const char*>(src) + begin,
                static_cast<size_t>(end - begin));
  });
}

bool equal_sizes(const TensorRef& a, const TensorRef& b) {
  return std::equal(a.sizes.begin(), a.sizes.end(), b.sizes.begin(), b.sizes.end());
}

// The dimension along which src is contiguous when dst is along dim 0 and src is not; 0 if none.
int transposed_dim(const Iter& it) {
  const int64_t item = item_size(it.dtype(0));
  if (it.rank() < 2 || it.dtype(0) != it.dtype(1) || it.byte_stride(0, 0) != item ||
      it.byte_stride(1, 0) == item || it.size(0) < 4)
    return 0;
  for (int d = 1; d < it.rank(); ++d)
    if (it.byte_stride(1, d) == item && it.size(d) >= 4) return d;
  return 0;
}

// Tiles through a buffer: src is read a cache line at a time, whatever its stride, and dst written
// in runs long enough for the hardware to see them coming.
template <class Bits>
void copy_transposed(const Iter& it, int across) {
  constexpr int64_t kItem = sizeof(Bits);
  constexpr int64_t kDown = std::max<int64_t>(8, 64 / kItem);
  constexpr int64_t kAlong = 128;
  const int64_t width = it.size(0);
  const int64_t height = it.size(across);
  const int64_t dst_row = it.byte_stride(0, across);
  const int64_t src_row = it.byte_stride(1, 0);
  const int64_t stripes = ceil_div(height, kDown);
  const int64_t planes = it.numel() / (width * height);
  const int64_t grain = std::max<int64_t>(1, kGrainBytes / (width * kDown * kItem));
  parallel_for(planes * stripes, grain, [&](int64_t begin, int64_t end) {
    Bits tile[kAlong][kDown];
    for (int64_t t = begin; t < end; ++t) {
      char* dst = it.data(0);
      const char* src = it.data(1);
      int64_t plane = t / stripes;
      for (int d = 1; d < it.rank(); ++d) {
        if (d == across) continue;
        dst += plane % it.size(d) * it.byte_stride(0, d);
        src += plane % it.size(d) * it.byte_stride(1, d);
        plane /= it.size(d);
      }
      const int64_t top = t % stripes * kDown;
      const int64_t down = std::min(kDown, height - top);
      for (int64_t left = 0; left < width; left += kAlong) {
        const int64_t along = std::min(kAlong, width - left);
        for (int64_t j = 0; j < along; ++j)
          std::memcpy(tile[j], src + (left + j) * src_row + top * kItem,
                      static_cast<size_t>(down * kItem));
        for (int64_t i = 0; i < down; ++i) {
          Bits* to = reinterpret_cast<Bits*>(dst + (top + i) * dst_row) + left;
          for (int64_t j = 0; j < along; ++j) to[j] = tile[j][i];
        }
      }
    }
  });
}

}  // namespace

void copy(Ctx&, const TensorRef& dst, const TensorRef& src) {
  const int64_t item = item_size(dst.dtype);
  if (dst.dtype == src.dtype && dst.contiguous() && src.contiguous() && equal_sizes(dst, src)) {
    const int64_t bytes = dst.numel() * item;
    const auto* to = static_cast<const char*>(dst.data);
    const auto* from = static_cast<const char*>(src.data);
    if (bytes == 0 || to == from) return;
    if (to + bytes <= from || from + bytes <= to) return copy_bytes(dst.data, src.data, bytes);
  }
  const Iter it("copy", {dst, src});
  if (const int across = transposed_dim(it); across != 0) {
    switch (item) {
      case 1: return copy_transposed<uint8_t>(it, across);
      case 4: return copy_transposed<uint32_t>(it, across);
      default: return copy_transposed<uint64_t>(it, across);
    }
  }
  const CastRun cast = cast_run("copy", dst.dtype, src.dtype);
  parallel_for(it.numel(), kGrainBytes / 8, [&](int64_t begin, int64_t end) {
    it.for_range(begin, end, [&](int64_t n, char* const* ptrs, const int64_t* strides) {
      cast(n, ptrs[0], strides[0], ptrs[1], strides[1]);
    });
  });
}

void fill(Ctx&, const TensorRef& dst, double value) {
  dispatch("fill", dst.dtype, [&]<class T>() {
    const T v = convert<T>(value);
    if (dst.contiguous()) {
      T* out = dst.as<T>();
      parallel_for(dst.numel(), kGrainBytes / int64_t{sizeof(T)},
                   [&](int64_t begin, int64_t end) { std::fill(out + begin, out + end, v); });
      return;
    }
    const Iter it("fill", {dst});
    parallel_for(it.numel(), kGrainBytes / int64_t{sizeof(T)}, [&](int64_t begin, int64_t end) {
      it.for_range(begin, end, [&](int64_t n, char* const* ptrs, const int64_t* strides) {
        for (int64_t i = 0; i < n; ++i) *reinterpret_cast<T*>(ptrs[0] + i * strides[0]) = v;
      });
    });
  });
}

void arange(Ctx&, const TensorRef& dst, double start, double step) {
  dispatch("arange", dst.dtype, [&]<class T>() {
    T* out = dst.as<T>();
    parallel_for(dst.numel(), kGrainBytes / 8, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        out[i] = convert<T>(start + step * static_cast<double>(i));
    });
  });
}

void to_host(Ctx&, void* host, const TensorRef& src) {
  copy_bytes(host, src.data, src.numel() * item_size(src.dtype));
}

void from_host(Ctx&, const TensorRef& dst, const void* host) {
  copy_bytes(dst.data, host, dst.numel() * item_size(dst.dtype));
}

}  // namespace lamina::cpu
