// What the ops over windows and planes share.
#pragma once

#include <array>

#include "ops/common.h"

namespace lamina::ops {

// The last two dimensions of [..., H, W] as planes, or the last one of [..., L] as planes of one
// line: for a call's length, over contiguous memory.
struct Planes {
  Planes(const Tensor& t, int rank) : tensor(t) {
    int64_t count = 1;
    for (int i = 0; i < t.rank() - rank; ++i) count *= t.size(i);
    sizes = {count, rank == 2 ? t.size(t.rank() - 2) : 1, t.size(t.rank() - 1)};
    strides = contiguous_strides(sizes);
  }
  TensorRef ref() const { return {tensor.data(), sizes, strides, tensor.dtype()}; }
  Dims sizes, strides;
  const Tensor& tensor;
};

using Pair = std::array<int64_t, 2>;  // rows, columns

// One number for all of `rank` dimensions or one for each, in [low, 2^31); `otherwise` when empty.
inline Pair sizes_of(const char* op, const char* what, IntList given, int rank, int64_t low,
                     Pair otherwise) {
  if (given.empty()) return otherwise;
  check<ValueError>(given.size() == 1 || static_cast<int>(given.size()) == rank, op, ": ", what,
                    " must be an int", rank == 1 ? "" : " or a pair of them", ", got ", given);
  for (const int64_t v : given)
    check<ValueError>(v >= low && v < (int64_t{1} << 31), op, ": ", what, " must be at least ", low,
                      v < low ? "" : " and less than 2^31", ", got ", given);
  return rank == 1 ? Pair{otherwise[0], given[0]} : Pair{given.front(), given.back()};
}

// x is [C, ...] or [N, C, ...] with `rank` dimensions behind, all of which but N have elements.
inline void check_planes(const char* op, const Tensor& x, int rank) {
  check_floating(op, "input", x);
  check<ValueError>(x.rank() == rank + 1 || x.rank() == rank + 2, op, ": the input must be ",
                    rank == 1 ? "[C, L] or [N, C, L]" : "[C, H, W] or [N, C, H, W]",
                    line("input", x));
  for (int i = x.rank() - rank; i < x.rank(); ++i)
    check<ValueError>(x.size(i) > 0, op, ": dimension ", i, " has no elements", line("input", x));
}

// The input's sizes with others for the last dimensions.
inline Dims with_last(const Tensor& x, int rank, Pair last) {
  Dims sizes = x.sizes();
  sizes[x.rank() - 1] = last[1];
  if (rank == 2) sizes[x.rank() - 2] = last[0];
  return sizes;
}

// The windows of a kernel along a dimension of n elements. Padding that no window would start in
// is left out of `ceil_mode`, as in PyTorch.
inline Windows windows_of(const char* op, int64_t n, int64_t kernel, int64_t stride,
                          int64_t padding, int64_t dilation, bool ceil_mode) {
  Windows w{.in = n, .kernel = kernel, .stride = stride, .padding = padding, .dilation = dilation};
  int64_t room = n + 2 * padding - dilation * (kernel - 1) - 1 + (ceil_mode ? stride - 1 : 0);
  w.out = room < 0 ? 0 : room / stride + 1;
  if (ceil_mode && (w.out - 1) * stride >= n + padding) --w.out;
  check<ValueError>(w.out > 0, op, ": a kernel of ", kernel, " elements, ", dilation,
                    " apart, does not fit into ", n, " with a padding of ", padding);
  return w;
}

// A map of planes that is linear in rows and in columns, as backward needs it too.
struct PlaneMap {
  // One dimension: sums of windows, or samples between elements.
  struct Axis {
    enum class Kind : uint8_t { Sums, Nearest, Linear };
    Kind kind = Kind::Sums;
    Windows windows;
    double step = 1;  // of samples, in elements
    bool align_corners = false;
  };
  const char* name;
  const char* backward_name;
  int rank;
  Axis rows, cols;
};
// y [..., OH, OW] of x [..., H, W], or x's gradient of y's when transposed.
Tensor map_planes(const Tensor& x, const PlaneMap& map, bool transposed = false);

}  // namespace lamina::ops
