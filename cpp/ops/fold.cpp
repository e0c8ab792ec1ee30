// Windows as columns of a matrix (im2col), and columns added up where they came from (col2im): each
// is the other's gradient. Neither has a kernel: one is a copy of a view, the other an addition for
// each element of a window.
#include "ops/windows.h"

namespace lamina::ops {
namespace {

struct Columns {
  Windows rows, cols;
  int64_t channels;
  bool batched;
};

Dims without_batch(const Dims& sizes, bool batched) {
  Dims out = sizes;
  if (!batched) out.erase(0);
  return out;
}

// [N, C, kernel rows, kernel columns, lines, windows of a line] in a padded [N, C, H, W].
Tensor windows_in(const Tensor& padded, const Columns& c) {
  const Dims& s = padded.strides();
  const Dims sizes{padded.size(0), c.channels, c.rows.kernel,
                   c.cols.kernel,  c.rows.out, c.cols.out};
  const Dims strides{s[0],
                     s[1],
                     s[2] * c.rows.dilation,
                     s[3] * c.cols.dilation,
                     s[2] * c.rows.stride,
                     s[3] * c.cols.stride};
  return alias(padded, sizes, strides, padded.offset());
}

Dims padding_of(const Columns& c, int sign) {
  const int64_t rows = sign * c.rows.padding, cols = sign * c.cols.padding;
  return {cols, cols, rows, rows};
}

Tensor fold(const Tensor& y, const Columns& c);

Tensor unfold(const Tensor& x, const Columns& c) {
  Tensor y;
  {
    const GradMode off(false);
    const Tensor whole = c.batched ? x : unsqueeze(x, 0);
    const Tensor padded = pad(whole, padding_of(c, 1));
    const Tensor seen = windows_in(padded, c);
    y = empty(seen.sizes(), x.dtype(), x.device());
    if (y.numel() != 0) call<&DeviceApi::copy>(x.device(), "unfold", y, seen);
    const Dims sizes{whole.size(0), c.channels * c.rows.kernel * c.cols.kernel,
                     c.rows.out * c.cols.out};
    const Dims shown = without_batch(sizes, c.batched);
    y = alias(y, shown, contiguous_strides(shown), 0);
  }
  if (recording(x)) record("unfold", {y}, {x}, [c](Backward& b) { b.set(0, fold(b.grad(), c)); });
  return y;
}

Tensor fold(const Tensor& y, const Columns& c) {
  Tensor x;
  {
    const GradMode off(false);
    const Tensor columns = contiguous(y);
    const int64_t n = c.batched ? y.size(0) : 1;
    const Tensor padded =
        zeros({n, c.channels, c.rows.in + 2 * c.rows.padding, c.cols.in + 2 * c.cols.padding},
              y.dtype(), y.device());
    if (y.numel() != 0) {
      const Tensor seen = windows_in(padded, c);
      const Tensor from =
          alias(columns, seen.sizes(), contiguous_strides(seen.sizes()), columns.offset());
      for (int64_t kr = 0; kr < c.rows.kernel; ++kr)
        for (int64_t kc = 0; kc < c.cols.kernel; ++kc) {
          const auto part = [&](const Tensor& t) { return select(select(t, 2, kr), 2, kc); };
          binary_(BinaryOp::add, part(seen), part(from));
        }
    }
    x = pad(padded, padding_of(c, -1));
    if (!c.batched) {
      const Dims sizes = without_batch(x.sizes(), false);
      x = alias(x, sizes, contiguous_strides(sizes), 0);
    }
  }
  if (recording(y)) record("fold", {x}, {y}, [c](Backward& b) { b.set(0, unfold(b.grad(), c)); });
  return x;
}

Columns columns_of(const char* op, int64_t channels, bool batched, Pair in, const WindowSizes& w) {
  check<ValueError>(!w.kernel.empty(), op, ": kernel_size must not be empty");
  const Pair kernel = sizes_of(op, "kernel_size", w.kernel, 2, 1, {1, 1});
  const Pair stride = sizes_of(op, "stride", w.stride, 2, 1, {1, 1});
  const Pair padding = sizes_of(op, "padding", w.padding, 2, 0, {0, 0});
  const Pair dilation = sizes_of(op, "dilation", w.dilation, 2, 1, {1, 1});
  const auto along = [&](size_t d) {
    return windows_of(op, in[d], kernel[d], stride[d], padding[d], dilation[d], false);
  };
  return {along(0), along(1), channels, batched};
}

}  // namespace

Tensor im2col(const Tensor& x, const WindowSizes& w) {
  check_planes("unfold", x, 2);
  const int r = x.rank();
  return unfold(x, columns_of("unfold", x.size(r - 3), r == 4, {x.size(r - 2), x.size(r - 1)}, w));
}

Tensor col2im(const Tensor& y, IntList output_size, const WindowSizes& w) {
  const char* op = "fold";
  check_floating(op, "input", y);
  check<ValueError>(y.rank() == 2 || y.rank() == 3, op,
                    ": the input must be [C * kernel, windows] or [N, C * kernel, windows]",
                    line("input", y));
  check<ValueError>(!output_size.empty(), op, ": output_size must not be empty");
  const Pair out = sizes_of(op, "output_size", output_size, 2, 1, {1, 1});
  Columns c = columns_of(op, 0, y.rank() == 3, out, w);
  const int64_t kernel = c.rows.kernel * c.cols.kernel, rows = y.size(y.rank() - 2);
  check<ValueError>(rows % kernel == 0, op, ": ", rows, " rows are no multiple of the ", kernel,
                    " elements of a window", line("input", y));
  c.channels = rows / kernel;
  check<ValueError>(y.size(y.rank() - 1) == c.rows.out * c.cols.out, op, ": the input has ",
                    y.size(y.rank() - 1), " windows, but an output of ", out[0], " x ", out[1],
                    " has ", c.rows.out, " x ", c.cols.out, line("input", y));
  return fold(y, c);
}

}  // namespace lamina::ops
