// The one iterator for everything pointwise and reducing.
//
// It takes operands (outputs first) that broadcast to one shape, turns strides into bytes, orders
// the dimensions by the outputs' strides and merges those that are contiguous for every operand.
// Most calls end with one dimension, so that a driver's inner loop is the whole op.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "core/tensor.h"

namespace lamina {

class Iter {
 public:
  static constexpr int kMaxOperands = 6;

  // The first `outputs` operands are written. Sizes of the others broadcast to the first output's.
  // Refuses an output that overlaps itself, and one that overlaps another operand partly (the very
  // same elements are fine: that is how in-place ops are written).
  Iter(const char* op, std::initializer_list<TensorRef> operands, int outputs = 1);

  // A reduction: `out` has x's rank, with size 1 in the dimensions that are reduced; in the
  // iteration it does not move there (byte stride 0). Dimensions of the output come last
  // (outermost), reduced ones first, each group ordered by x's strides.
  static Iter reduction(const char* op, const TensorRef& out, const TensorRef& x);

  int operands() const { return operands_; }
  int rank() const { return rank_; }  // after merging; 0 only for a 0-d or empty iteration
  int64_t numel() const { return numel_; }
  int reduced_rank() const { return reduced_; }        // leading dimensions that are reduced
  int64_t size(int dim) const { return sizes_[dim]; }  // dim 0 is the innermost
  int64_t byte_stride(int operand, int dim) const { return strides_[operand][dim]; }
  char* data(int operand) const { return data_[operand]; }
  DType dtype(int operand) const { return dtypes_[operand]; }

  // True when every operand is contiguous over the whole iteration or never moves.
  bool is_flat() const { return rank_ <= 1; }

  // Calls f(n, ptrs, byte_strides) for each run along dim 0 of elements [begin, end) of the
  // iteration; runs of one call never cross a row. ptrs is char*[kMaxOperands].
  template <class F>
  void for_range(int64_t begin, int64_t end, F&& f) const {
    if (begin >= end) return;
    int64_t steps[kMaxOperands];
    for (int k = 0; k < operands_; ++k) steps[k] = rank_ == 0 ? 0 : strides_[k][0];
    const int64_t row = rank_ == 0 ? 1 : sizes_[0];
    int64_t index[kMaxRank];
    int64_t rest = begin;
    for (int d = 0; d < rank_; ++d) {
      index[d] = rest % sizes_[d];
      rest /= sizes_[d];
    }
    char* ptrs[kMaxOperands];
    while (begin < end) {
      for (int k = 0; k < operands_; ++k) {
        ptrs[k] = data_[k];
        for (int d = 0; d < rank_; ++d) ptrs[k] += index[d] * strides_[k][d];
      }
      const int64_t at = rank_ == 0 ? 0 : index[0];
      const int64_t n = row - at < end - begin ? row - at : end - begin;
      f(n, ptrs, steps);
      begin += n;
      if (rank_ != 0) index[0] = 0;
      for (int d = 1; d < rank_; ++d) {
        if (++index[d] < sizes_[d]) break;
        index[d] = 0;
      }
    }
  }

 private:
  Iter() = default;
  void add(const TensorRef& t, std::span<const int64_t> sizes);
  void order(bool reducing);
  void merge();

  int operands_ = 0;
  int outputs_ = 1;
  int rank_ = 0;
  int reduced_ = 0;
  int64_t numel_ = 1;
  int64_t sizes_[kMaxRank];
  int64_t strides_[kMaxOperands][kMaxRank];
  char* data_[kMaxOperands];
  DType dtypes_[kMaxOperands];
};

}  // namespace lamina
