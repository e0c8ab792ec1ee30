// A reduction as the drivers see it: `outputs` results, each from `count` elements of x.
#pragma once

#include <algorithm>

#include "core/iter.h"
#include "cpu/convert.h"
#include "cpu/tasks.h"

namespace lamina::cpu {

// Elements in one parallel task. Longer reductions are cut into pieces of this size, which are
// merged in order: the cut depends on the shape alone.
inline constexpr int64_t kReduceGrain = 128 * 1024;

struct ReducePlan {
  Iter it;
  DType compute;  // elements of x are cast to it
  bool direct;    // x already has that dtype
  CastRun cast;   // x -> compute
  int64_t count;  // elements in each result
  int64_t outputs;

  // Columns: the innermost dimension of the output. C results that lie `column_stride` bytes apart
  // in x; the other output dimensions are outside of it.
  int64_t columns = 1;
  int64_t column_stride = 0;
  int64_t out_stride = 0;

  ReducePlan(const char* op, const TensorRef& out, const TensorRef& x, DType compute_dtype)
      : it(Iter::reduction(op, out, x)),
        compute(compute_dtype),
        direct(x.dtype == compute_dtype),
        cast(cast_run(op, compute_dtype, x.dtype)),
        outputs(out.numel()) {
    count = outputs == 0 ? 0 : it.numel() / outputs;
    if (it.reduced_rank() < it.rank()) {
      columns = it.size(it.reduced_rank());
      column_stride = it.byte_stride(1, it.reduced_rank());
      out_stride = it.byte_stride(0, it.reduced_rank());
    }
  }

  int64_t item() const { return item_size(compute); }

  // Byte offset in x of reduced index k, and in operand `operand` of result o.
  int64_t reduced_offset(int64_t k) const {
    if (it.reduced_rank() == 1) return k * it.byte_stride(1, 0);
    return offset(1, k, 0, it.reduced_rank());
  }
  int64_t output_offset(int operand, int64_t o) const {
    if (columns == outputs) return o * (operand == 0 ? out_stride : column_stride);
    return offset(operand, o, it.reduced_rank(), it.rank());
  }

  // Whether one result's elements should be read before the next one's (else row by row, all
  // columns at once).
  bool along_rows() const {
    return columns < 2 || one_run() || (contiguous_runs() && it.size(0) >= 32);
  }
  // Whether the elements of a result are runs of contiguous memory, or just one.
  bool contiguous_runs() const {
    return direct && it.reduced_rank() > 0 && it.byte_stride(1, 0) == item();
  }
  bool contiguous_columns() const { return column_stride == item(); }
  bool one_run() const { return it.reduced_rank() == 1 && contiguous_runs() && count >= 8; }

  // Calls take(n, p) with contiguous blocks of elements [begin, end) of result o, in order; blocks
  // through the buffer hold at most kBuffer elements, direct ones at most `limit`.
  static constexpr int64_t kBuffer = 1024;
  template <class T, class F>
  void for_blocks(int64_t o, int64_t begin, int64_t end, int64_t limit, F&& take) const {
    if (one_run()) {
      const T* p = reinterpret_cast<const T*>(it.data(1) + output_offset(1, o));
      for (int64_t i = begin; i < end; i += limit) take(std::min(limit, end - i), p + i);
      return;
    }
    gather_blocks<T>(o, begin, end, limit, take);
  }

 private:
  template <class T, class F>
  void gather_blocks(int64_t o, int64_t begin, int64_t end, int64_t limit, F& take) const {
    alignas(64) T buffer[kBuffer];
    int64_t filled = 0;
    const auto flush = [&] {
      if (filled > 0) take(filled, static_cast<const T*>(buffer));
      filled = 0;
    };
    it.for_range(o * count + begin, o * count + end,
                 [&](int64_t n, char* const* ptrs, const int64_t* strides) {
                   const char* p = ptrs[1];
                   const int64_t stride = strides[1];
                   if (direct && (stride == item() || n == 1) && n >= 64) {
                     flush();
                     for (int64_t i = 0; i < n; i += limit)
                       take(std::min(limit, n - i), reinterpret_cast<const T*>(p) + i);
                     return;
                   }
                   while (n > 0) {
                     const int64_t m = std::min(n, kBuffer - filled);
                     cast(m, reinterpret_cast<char*>(buffer + filled), item(), p, stride);
                     filled += m;
                     p += m * stride;
                     n -= m;
                     if (filled == kBuffer) flush();
                   }
                 });
    flush();
  }

  int64_t offset(int operand, int64_t index, int first, int last) const {
    int64_t bytes = 0;
    for (int d = first; d < last; ++d) {
      bytes += index % it.size(d) * it.byte_stride(operand, d);
      index /= it.size(d);
    }
    return bytes;
  }
};

// Pieces that a reduction of `count` elements is cut into.
inline int64_t pieces_of(int64_t count) {
  return std::max<int64_t>(1, ceil_div(count, kReduceGrain));
}

// Whether element i of both lies at the same multiple of the element size (sizes are equal).
inline bool same_layout(const TensorRef& a, const TensorRef& b) {
  for (size_t d = 0; d < a.sizes.size(); ++d)
    if (a.sizes[d] != 1 && a.strides[d] != b.strides[d]) return false;
  return true;
}

}  // namespace lamina::cpu
