#include "cpu/blocks.h"

#include <algorithm>
#include <cstring>

namespace lamina::cpu {
namespace {

// How an operand moves over the whole iteration: 0 not at all, `item` contiguously, -1 otherwise.
int64_t whole_step(const Iter& it, int k, int64_t item) {
  if (it.rank() == 0) return item;
  bool still = true;
  bool contiguous = true;
  int64_t expected = item;
  for (int d = 0; d < it.rank(); ++d) {
    still &= it.byte_stride(k, d) == 0;
    contiguous &= it.byte_stride(k, d) == expected;
    expected *= it.size(d);
  }
  return still ? 0 : contiguous ? item : -1;
}

}  // namespace

Blocks::Blocks(const char* op, const Iter& it, const DType* dtypes, unsigned scalars) : it_(it) {
  const auto takes_scalar = [&](int k) { return k > 0 && ((scalars >> (k - 1)) & 1) != 0; };
  bool buffered = false;
  for (int k = 0; k < it.operands(); ++k) {
    item_[k] = item_size(dtypes[k]);
    base_[k] = it.data(k);
    cast_[k] = nullptr;
    const bool same = it.dtype(k) == dtypes[k];
    step_[k] = whole_step(it, k, item_size(it.dtype(k)));
    if (step_[k] == 0 && takes_scalar(k)) {
      scalars_ |= 1u << (k - 1);
      if (same) continue;
      cast_run(op, dtypes[k], it.dtype(k))(1, value_[k], item_[k], base_[k], item_[k]);
      base_[k] = value_[k];
    } else if (step_[k] <= 0 || !same) {
      step_[k] = 0;
      cast_[k] = cast_run(op, dtypes[k], it.dtype(k));
      buffered = true;
    }
  }
  flat_ = !buffered;
  if (flat_ || it.rank() == 0) return;
  const int64_t row = it.size(0);
  if (row < kRun) {
    for (int k = 1; k < it.operands(); ++k) {
      bool repeats = cast_[k] != nullptr && it.rank() > 1;
      for (int d = 1; d < it.rank(); ++d) repeats &= it.byte_stride(k, d) == 0;
      if (repeats) periodic_ |= 1u << k;
    }
    if (periodic_ != 0) chunk_ = kChunk / row * row;
  }
  if (periodic_ != 0 || row < kShortRun) return;

  // Not one run for all, but perhaps every row is one.
  unsigned row_scalars = 0;
  for (int k = 0; k < it.operands(); ++k) {
    const int64_t step = it.byte_stride(k, 0);
    const bool single = step == 0 && takes_scalar(k);
    if (single && (it.dtype(k) == dtypes[k] || base_[k] == value_[k]))
      row_scalars |= 1u << (k - 1);
    else if (it.dtype(k) != dtypes[k] || step != item_[k])
      return;
  }
  runs_ = true;
  scalars_ = row_scalars;
}

// Chunks begin with a row, so that one copy of the repeated rows serves them all.
void Blocks::repeat(int64_t n, char (*memory)[kChunk * 8]) const {
  const int64_t row = it_.size(0);
  for (int k = 1; k < it_.operands(); ++k) {
    if (((periodic_ >> k) & 1) == 0) continue;
    cast_[k](row, memory[k], item_[k], base_[k], it_.byte_stride(k, 0));
    for (int64_t have = row; have < n; have *= 2)
      std::memcpy(memory[k] + have * item_[k], memory[k],
                  static_cast<size_t>(std::min(have, kChunk - have) * item_[k]));
  }
}

void Blocks::gather(int64_t at, int64_t n, char (*memory)[kChunk * 8], char** ptrs) const {
  bool any = false;
  for (int k = 0; k < it_.operands(); ++k) {
    ptrs[k] = cast_[k] != nullptr ? memory[k] : base_[k] + at * step_[k];
    any |= k > 0 && through_gather(k);
  }
  if (!any) return;
  int64_t done = 0;
  it_.for_range(at, at + n, [&](int64_t run, char* const* from, const int64_t* strides) {
    for (int k = 1; k < it_.operands(); ++k)
      if (through_gather(k))
        cast_[k](run, memory[k] + done * item_[k], item_[k], from[k], strides[k]);
    done += run;
  });
}

void Blocks::scatter(int64_t at, int64_t n, const char* from) const {
  int64_t done = 0;
  it_.for_range(at, at + n, [&](int64_t run, char* const* to, const int64_t* strides) {
    cast_[0](run, to[0], strides[0], from + done * item_[0], item_[0]);
    done += run;
  });
}

}  // namespace lamina::cpu
