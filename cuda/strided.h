// An iteration (core/iter.h) in the form that a kernel takes by value: sizes it can divide by, and
// byte strides. Index math is 32-bit where everything fits, which is nearly always.
#pragma once

#include <cstdint>
#include <limits>

#include "core/iter.h"
#include "runtime/cuda.h"
#include "scalar_math.h"  // LAMINA_HD

namespace lamina::cuda {

// n / d by a multiplication and a shift, exact for n < 2^31 and 1 <= d < 2^31 (Granlund and
// Montgomery, "Division by invariant integers using multiplication", 1994).
class FastDivisor {
 public:
  FastDivisor() = default;
  explicit FastDivisor(uint32_t d) {
    while (shift_ < 31 && (uint32_t{1} << shift_) < d) ++shift_;
    const uint64_t rest = (uint64_t{1} << shift_) - d;
    magic_ = static_cast<uint32_t>((rest << 32) / d + 1);
  }
  LAMINA_HD uint32_t divide(uint32_t n) const {
#ifdef __CUDA_ARCH__
    const uint32_t high = __umulhi(n, magic_);
#else
    const auto high = static_cast<uint32_t>(uint64_t{n} * magic_ >> 32);
#endif
    return (high + n) >> shift_;
  }

 private:
  uint32_t magic_ = 1;
  uint32_t shift_ = 0;
};

// Dimensions [begin, end) of an iteration; dim 0 is the innermost.
template <int N>
struct Strided {
  uint64_t numel = 1;
  int rank = 0;
  bool narrow = true;  // indices and byte offsets fit 31 bits
  FastDivisor divisors[kMaxRank];
  int64_t sizes[kMaxRank];
  int64_t strides[N][kMaxRank];
  char* data[N];

  Strided() = default;
  Strided(const Iter& it, int begin, int end, const int (&operands)[N]) : rank(end - begin) {
    constexpr int64_t kNarrow = std::numeric_limits<int32_t>::max();
    for (int k = 0; k < N; ++k) data[k] = it.data(operands[k]);
    for (int d = 0; d < rank; ++d) {
      sizes[d] = it.size(begin + d);
      numel *= static_cast<uint64_t>(sizes[d]);
      for (int k = 0; k < N; ++k) strides[k][d] = it.byte_stride(operands[k], begin + d);
    }
    if (it.numel() == 0) numel = 0;
    narrow = numel <= static_cast<uint64_t>(kNarrow);
    for (int k = 0; k < N; ++k) {
      int64_t extent = 0;
      for (int d = 0; d < rank; ++d) extent += (sizes[d] - 1) * std::abs(strides[k][d]);
      narrow = narrow && extent <= kNarrow;
    }
    if (!narrow) return;
    for (int d = 0; d < rank; ++d) divisors[d] = FastDivisor(static_cast<uint32_t>(sizes[d]));
  }

  // Byte offsets of element `index` (dim 0 runs fastest) from each operand's data.
  LAMINA_HD void offsets(uint64_t index, int64_t (&out)[N]) const {
    if (narrow) {
      int32_t at[N] = {};
      auto rest = static_cast<uint32_t>(index);
      for (int d = 0; d < rank; ++d) {
        const uint32_t next = d + 1 < rank ? divisors[d].divide(rest) : 0;
        const auto i = static_cast<int32_t>(rest - next * static_cast<uint32_t>(sizes[d]));
        LAMINA_UNROLL
        for (int k = 0; k < N; ++k) at[k] += i * static_cast<int32_t>(strides[k][d]);
        rest = next;
      }
      LAMINA_UNROLL
      for (int k = 0; k < N; ++k) out[k] = at[k];
      return;
    }
    LAMINA_UNROLL
    for (int k = 0; k < N; ++k) out[k] = 0;
    for (int d = 0; d < rank; ++d) {
      const uint64_t next = d + 1 < rank ? index / static_cast<uint64_t>(sizes[d]) : 0;
      const auto i = static_cast<int64_t>(index - next * static_cast<uint64_t>(sizes[d]));
      LAMINA_UNROLL
      for (int k = 0; k < N; ++k) out[k] += i * strides[k][d];
      index = next;
    }
  }
};

}  // namespace lamina::cuda
