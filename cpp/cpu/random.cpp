// Random numbers: element i of a call is a function of its stream and i alone (core/random.h), so
// any cut into blocks gives the same bits.
#include <cmath>

#include "core/iter.h"
#include "core/parallel.h"
#include "core/random.h"
#include "cpu/blocks.h"
#include "cpu/drivers.h"

namespace lamina::cpu {
namespace {

constexpr int64_t kGrain = 8 * 1024;  // a multiple of the numbers in a Philox block

template <class T>
void uniform(T* out, int64_t n, double a, double b, const PhiloxStream& stream) {
  const T low = static_cast<T>(a);
  const T width = static_cast<T>(b - a);
  // Rounding may carry the largest values up to b, which is not in the range.
  const T high = static_cast<T>(b);
  const T last = a < b ? std::nextafter(high, low) : low;
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    const auto put = [&](uint64_t i, auto bits) {
      T u;
      if constexpr (sizeof(T) == 4)
        u = to_uniform_f32(bits);
      else
        u = to_uniform_f64(bits);
      const T v = low + u * width;
      out[i] = v < high ? v : last;
    };
    const auto first = static_cast<uint64_t>(begin);
    const auto stop = static_cast<uint64_t>(end);
    if constexpr (sizeof(T) == 4)
      for_each_bits32(stream, first, stop, put);
    else
      for_each_bits64(stream, first, stop, put);
  });
}

template <class T>
void normal(T* out, int64_t n, double mean, double deviation, const PhiloxStream& stream) {
  const T m = static_cast<T>(mean);
  const T s = static_cast<T>(deviation);
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    const auto put = [&](uint64_t i, T z) { out[i] = m + s * z; };
    const auto first = static_cast<uint64_t>(begin);
    const auto stop = static_cast<uint64_t>(end);
    if constexpr (sizeof(T) == 4)
      for_each_normal_f32(stream, first, stop, put);
    else
      for_each_normal_f64(stream, first, stop, put);
  });
}

template <class T>
void integer(T* out, int64_t n, double a, double b, const PhiloxStream& stream) {
  const int64_t low = convert<int64_t>(a);
  const int64_t high = convert<int64_t>(b);
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    for_each_bits64(stream, static_cast<uint64_t>(begin), static_cast<uint64_t>(end),
                    [&](uint64_t i, uint64_t bits) {
                      out[i] = convert<T>(to_integer(bits, low, high));
                    });
  });
}

template <class T>
void bernoulli(T* out, int64_t n, double p, const PhiloxStream& stream) {
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    for_each_bits32(stream, static_cast<uint64_t>(begin), static_cast<uint64_t>(end),
                    [&](uint64_t i, uint32_t bits) {
                      out[i] = T(static_cast<double>(to_uniform_f32(bits)) < p ? 1 : 0);
                    });
  });
}

}  // namespace

void random(Ctx& ctx, Distribution distribution, const TensorRef& dst, double a, double b,
            const PhiloxStream& stream) {
  if (!dst.contiguous()) {
    const Tensor rows = empty(Dims(dst.sizes), dst.dtype);
    random(ctx, distribution, rows, a, b, stream);
    copy(ctx, dst, rows);
    return;
  }
  const int64_t n = dst.numel();
  switch (distribution) {
    case Distribution::Uniform:
      return dispatch_floating("uniform", dst.dtype,
                               [&]<class T>() { uniform(dst.as<T>(), n, a, b, stream); });
    case Distribution::Normal:
      return dispatch_floating("normal", dst.dtype,
                               [&]<class T>() { normal(dst.as<T>(), n, a, b, stream); });
    case Distribution::Integer:
      return dispatch("randint", dst.dtype,
                      [&]<class T>() { integer(dst.as<T>(), n, a, b, stream); });
    case Distribution::Bernoulli:
      return dispatch("bernoulli", dst.dtype,
                      [&]<class T>() { bernoulli(dst.as<T>(), n, a, stream); });
  }
}

void dropout(Ctx&, const TensorRef& y, const TensorRef& mask, const TensorRef& x, double p,
             const PhiloxStream& stream) {
  check<TypeError>(mask.dtype == DType::Bool, "dropout: the mask is bool, got ", mask.dtype);
  bool* keep = mask.as<bool>();
  parallel_for(mask.numel(), kGrain, [&](int64_t begin, int64_t end) {
    for_each_bits32(stream, static_cast<uint64_t>(begin), static_cast<uint64_t>(end),
                    [&](uint64_t i, uint32_t bits) {
                      keep[i] = static_cast<double>(to_uniform_f32(bits)) >= p;
                    });
  });
  dispatch_floating("dropout", y.dtype, [&]<class T>() {
    const T scale = static_cast<T>(p < 1 ? 1 / (1 - p) : 0.0);
    const Iter it("dropout", {y, mask, x});
    const DType dtypes[] = {y.dtype, DType::Bool, y.dtype};
    Blocks("dropout", it, dtypes, 0)
        .run(kLightGrain, [&](int64_t n, char* const* ptrs, unsigned) {
          T* out = reinterpret_cast<T*>(ptrs[0]);
          const auto* kept = reinterpret_cast<const bool*>(ptrs[1]);
          const T* in = reinterpret_cast<const T*>(ptrs[2]);
          for (int64_t i = 0; i < n; ++i) out[i] = kept[i] ? in[i] * scale : T(0);
        });
  });
}

}  // namespace lamina::cpu
