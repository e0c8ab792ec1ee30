// Random numbers: element i of a call is a function of its stream and i alone (core/random.h), so
// any cut into blocks gives the same bits. Compiled once at baseline: the same on every CPU of an
// architecture, normals too.
#include <cmath>

#include "core/iter.h"
#include "core/parallel.h"
#include "core/random.h"
#include "cpu/blocks.h"
#include "cpu/drivers.h"

#define LAMINA_ISA_NAMESPACE cpu::random_simd
#include "cpu/simd.h"

namespace lamina::cpu {
namespace {

constexpr int64_t kGrain = 8 * 1024;  // elements; whole batches

// Philox blocks that are computed side by side, in lanes that the compiler turns into vectors.
constexpr int kBatch = 16;

struct PhiloxBatch {
  uint32_t word[4 * kBatch];  // block after block

  [[gnu::noinline]] PhiloxBatch(const PhiloxStream& stream, uint64_t first_block) {
    uint32_t c0[kBatch], c1[kBatch], c2[kBatch] = {}, c3[kBatch] = {};
    for (int i = 0; i < kBatch; ++i) {
      const uint64_t counter = stream.offset + first_block + static_cast<uint64_t>(i);
      c0[i] = static_cast<uint32_t>(counter);
      c1[i] = static_cast<uint32_t>(counter >> 32);
    }
    auto key0 = static_cast<uint32_t>(stream.seed);
    auto key1 = static_cast<uint32_t>(stream.seed >> 32);
    for (int round = 0; round < 10; ++round) {
#pragma GCC unroll 1  // unrolled, it would no longer be seen as a vector's worth of the same
      for (int i = 0; i < kBatch; ++i) {
        const uint64_t p0 = uint64_t{0xD2511F53} * c0[i];
        const uint64_t p1 = uint64_t{0xCD9E8D57} * c2[i];
        c0[i] = static_cast<uint32_t>(p1 >> 32) ^ c1[i] ^ key0;
        c2[i] = static_cast<uint32_t>(p0 >> 32) ^ c3[i] ^ key1;
        c1[i] = static_cast<uint32_t>(p1);
        c3[i] = static_cast<uint32_t>(p0);
      }
      key0 += 0x9E3779B9;
      key1 += 0xBB67AE85;
    }
    for (int i = 0; i < kBatch; ++i) {
      word[4 * i] = c0[i];
      word[4 * i + 1] = c1[i];
      word[4 * i + 2] = c2[i];
      word[4 * i + 3] = c3[i];
    }
  }

  uint64_t bits64(int i) const { return (uint64_t{word[2 * i + 1]} << 32) | word[2 * i]; }
};

// Runs batch(b, begin, n) for the batches of elements [0, count) in parallel: n elements from
// `begin` on are the first ones of b. A block holds `per_block` elements (4 of 32 bits, 2 of 64).
template <class F>
void for_batches(const PhiloxStream& stream, int64_t count, int per_block, F&& batch) {
  const int64_t width = per_block * kBatch;
  parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; at += width) {
      const PhiloxBatch b(stream, static_cast<uint64_t>(at / per_block));
      batch(b, at, static_cast<int>(std::min(width, end - at)));
    }
  });
}

// to_uniform_f32; by way of int32, which vectors convert.
float uniform24(uint32_t bits) {
  return static_cast<float>(static_cast<int32_t>(bits >> 8)) * 0x1p-24f;
}

template <class T>
void uniform(T* out, int64_t count, double a, double b, const PhiloxStream& stream) {
  const T low = static_cast<T>(a);
  const T width = static_cast<T>(b - a);
  // Rounding may carry the largest values up to b, which is not in the range.
  const T high = static_cast<T>(b);
  const T last = a < b ? std::nextafter(high, low) : low;
  constexpr int kPerBlock = 16 / sizeof(T);
  for_batches(stream, count, kPerBlock, [=](const PhiloxBatch& batch, int64_t at, int n) {
    T v[kPerBlock * kBatch];
    for (int i = 0; i < kPerBlock * kBatch; ++i) {
      T u;
      if constexpr (sizeof(T) == 4)
        u = uniform24(batch.word[i]);
      else
        u = to_uniform_f64(batch.bits64(i));
      u = low + u * width;
      v[i] = u < high ? u : last;
    }
    std::copy(v, v + n, out + at);
  });
}

// core/random.h's box_muller over vectors: z[2i], z[2i + 1] from u[i], turn[i].
template <int kPairs>
void box_muller_pairs(const double* u, const double* turn, double* z) {
  using random_simd::VecD;
  for (int i = 0; i < kPairs; i += VecD::kLanes) {
    const VecD radius = sqrt(-2 * log(VecD::load(u + i)));
    const VecD eighths = 8 * VecD::load(turn + i);
    const VecD octant = trunc(eighths);
    const VecD half = VecD(0.5) * octant;
    const VecD rest = eighths - octant;
    const VecD angle = select(trunc(half) != half, 1 - rest, rest) * VecD(0.78539816339744830962);
    const VecD c = cos(angle);
    const VecD s = sin(angle);
    const VecD quarter = octant - select(octant >= VecD(4), VecD(4), VecD(0));
    const auto swap = abs(quarter - VecD(1.5)) < VecD(1);
    const VecD x = select(swap, s, c) * radius;
    const VecD y = select(swap, c, s) * radius;
    double first[VecD::kLanes], second[VecD::kLanes];
    select((octant >= VecD(2)) & (octant < VecD(6)), -x, x).store(first);
    select(octant >= VecD(4), -y, y).store(second);
    for (int k = 0; k < VecD::kLanes; ++k) {
      z[2 * (i + k)] = first[k];
      z[2 * (i + k) + 1] = second[k];
    }
  }
}

template <class T>
void normal(T* out, int64_t count, double mean, double deviation, const PhiloxStream& stream) {
  const T m = static_cast<T>(mean);
  const T s = static_cast<T>(deviation);
  constexpr int kPerBlock = 16 / sizeof(T);
  constexpr int kPairs = kPerBlock * kBatch / 2;
  for_batches(stream, count, kPerBlock, [=](const PhiloxBatch& batch, int64_t at, int n) {
    double u[kPairs], turn[kPairs], z[2 * kPairs];
    for (int i = 0; i < kPairs; ++i) {
      if constexpr (sizeof(T) == 4) {
        u[i] = static_cast<double>(static_cast<int32_t>(batch.word[2 * i] >> 8) + 1) * 0x1p-24;
        turn[i] = static_cast<double>(uniform24(batch.word[2 * i + 1]));
      } else {
        u[i] = static_cast<double>((batch.bits64(2 * i) >> 11) + 1) * 0x1p-53;
        turn[i] = to_uniform_f64(batch.bits64(2 * i + 1));
      }
    }
    box_muller_pairs<kPairs>(u, turn, z);
    for (int i = 0; i < n; ++i) out[at + i] = m + s * static_cast<T>(z[i]);
  });
}

// A uniform number is a multiple of 2^-24: u < p exactly where its numerator is below this.
int32_t numerator_below(double p) {
  return static_cast<int32_t>(std::ceil(std::fmin(std::fmax(p, 0.0), 1.0) * 0x1p24));
}

template <class T>
void bernoulli(T* out, int64_t count, double p, const PhiloxStream& stream) {
  const int32_t limit = numerator_below(p);
  for_batches(stream, count, 4, [=](const PhiloxBatch& batch, int64_t at, int n) {
    for (int i = 0; i < n; ++i)
      out[at + i] = T(static_cast<int32_t>(batch.word[i] >> 8) < limit ? 1 : 0);
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
    case Distribution::Bernoulli:
      return dispatch("bernoulli", dst.dtype,
                      [&]<class T>() { bernoulli(dst.as<T>(), n, a, stream); });
  }
}

void random_integers(Ctx& ctx, const TensorRef& dst, int64_t low, uint64_t range,
                     const PhiloxStream& stream) {
  if (!dst.contiguous()) {
    const Tensor rows = empty(Dims(dst.sizes), dst.dtype);
    random_integers(ctx, rows, low, range, stream);
    copy(ctx, dst, rows);
    return;
  }
  dispatch("randint", dst.dtype, [&]<class T>() {
    T* out = dst.as<T>();
    for_batches(stream, dst.numel(), 2, [=](const PhiloxBatch& batch, int64_t at, int n) {
      for (int i = 0; i < n; ++i) out[at + i] = convert<T>(to_range(batch.bits64(i), low, range));
    });
  });
}

void dropout(Ctx&, const TensorRef& y, const TensorRef& mask, const TensorRef& x, double p,
             const PhiloxStream& stream) {
  check<TypeError>(mask.dtype == DType::Bool, "dropout: the mask is bool, got ", mask.dtype);
  bool* keep = mask.as<bool>();
  const int32_t limit = numerator_below(p);
  for_batches(stream, mask.numel(), 4, [=](const PhiloxBatch& batch, int64_t at, int n) {
    bool kept[4 * kBatch];
    for (int i = 0; i < 4 * kBatch; ++i)
      kept[i] = static_cast<int32_t>(batch.word[i] >> 8) >= limit;
    std::copy(kept, kept + n, keep + at);
  });
  dispatch_floating("dropout", y.dtype, [&]<class T>() {
    const T scale = static_cast<T>(p < 1 ? 1 / (1 - p) : 0.0);
    const Iter it("dropout", {y, mask, x});
    const DType dtypes[] = {y.dtype, DType::Bool, y.dtype};
    Blocks("dropout", it, dtypes, 0).run(kLightGrain, [&](int64_t n, char* const* ptrs, unsigned) {
      T* out = reinterpret_cast<T*>(ptrs[0]);
      const auto* kept = reinterpret_cast<const bool*>(ptrs[1]);
      const T* in = reinterpret_cast<const T*>(ptrs[2]);
      for (int64_t i = 0; i < n; ++i) out[i] = kept[i] ? in[i] * scale : T(0);
    });
  });
}

}  // namespace lamina::cpu
