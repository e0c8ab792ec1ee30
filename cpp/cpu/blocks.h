// The driver's inner loop for everything elementwise: presents the operands of an iteration to a
// kernel as contiguous blocks of the dtypes that it wants.
//
// An operand that already is contiguous memory of that dtype goes straight through; one that never
// moves is one value for the whole block; anything else is gathered and cast, kChunk elements at a
// time, through a buffer that stays in L1.
#pragma once

#include "core/iter.h"
#include "core/parallel.h"
#include "cpu/convert.h"

namespace lamina::cpu {

inline constexpr int64_t kChunk = 512;
// Rows at least this long are worth a kernel call each; below kRun, only where no operand repeats
// the same row (a bias), which a buffer serves better.
inline constexpr int64_t kShortRun = 4;
inline constexpr int64_t kRun = 32;

// Elements in one parallel block, for work limited by memory and by arithmetic: 10 to 50 us.
inline constexpr int64_t kLightGrain = 64 * 1024;
inline constexpr int64_t kHeavyGrain = 16 * 1024;

class Blocks {
 public:
  // `dtypes`: what the kernel wants each operand in (the output's is its own). `scalars`: bit k
  // says that the kernel takes input k+1 as a single value, with bit k of its last argument set.
  Blocks(const char* op, const Iter& it, const DType* dtypes, unsigned scalars);
  Blocks(const Blocks&) = delete;
  Blocks& operator=(const Blocks&) = delete;

  // kernel(n, ptrs, scalars): ptrs[0] is the output, ptrs[1..] the inputs, contiguous.
  template <class F>
  void run(int64_t grain, F&& kernel) const {
    if (flat_) {
      parallel_for(it_.numel(), grain, [&](int64_t begin, int64_t end) {
        char* ptrs[Iter::kMaxOperands];
        for (int k = 0; k < it_.operands(); ++k) ptrs[k] = base_[k] + begin * step_[k];
        kernel(end - begin, ptrs, scalars_);
      });
    } else if (runs_) {
      parallel_for(it_.numel(), grain, [&](int64_t begin, int64_t end) {
        it_.for_range(begin, end, [&](int64_t n, char** ptrs, const int64_t*) {
          for (int k = 1; k < it_.operands(); ++k)
            if (base_[k] == value_[k]) ptrs[k] = base_[k];
          kernel(n, ptrs, scalars_);
        });
      });
    } else {
      parallel_for(it_.numel(), grain / chunk_ * chunk_, [&](int64_t begin, int64_t end) {
        alignas(64) char memory[Iter::kMaxOperands][kChunk * 8];
        if (periodic_ != 0) repeat(end - begin < chunk_ ? end - begin : chunk_, memory);
        for (int64_t at = begin; at < end; at += chunk_) {
          const int64_t n = end - at < chunk_ ? end - at : chunk_;
          char* ptrs[Iter::kMaxOperands];
          gather(at, n, memory, ptrs);
          kernel(n, ptrs, scalars_);
          if (step_[0] == 0) scatter(at, n, memory[0]);
        }
      });
    }
  }

 private:
  void repeat(int64_t n, char (*memory)[kChunk * 8]) const;
  void gather(int64_t at, int64_t n, char (*memory)[kChunk * 8], char** ptrs) const;
  void scatter(int64_t at, int64_t n, const char* from) const;

  bool through_gather(int k) const { return cast_[k] != nullptr && ((periodic_ >> k) & 1) == 0; }

  const Iter& it_;
  int64_t item_[Iter::kMaxOperands];  // bytes of an element as the kernel sees it
  int64_t step_[Iter::kMaxOperands];  // bytes from one element to the next; 0: through the buffer
  char* base_[Iter::kMaxOperands];    // the first element
  CastRun cast_[Iter::kMaxOperands];  // null: no buffer
  alignas(8) char value_[Iter::kMaxOperands][8];  // a single value of another dtype, cast
  unsigned scalars_ = 0;                          // inputs that are one value
  unsigned periodic_ = 0;   // operands in the buffer that repeat every row: a bias
  int64_t chunk_ = kChunk;  // a multiple of the row then
  bool flat_ = false;       // no buffer anywhere, one run
  bool runs_ = false;       // no buffer anywhere, long runs
};

}  // namespace lamina::cpu
