// Norms, logsumexp and counts: reductions of something elementwise.
#include "ops/common.h"

namespace lamina::ops {

Tensor logsumexp(const Tensor& x_, IntList dims, bool keepdim) {
  const Tensor x = is_floating(x_.dtype()) ? x_ : to(x_, default_dtype());
  const DimSet set = dim_set("logsumexp", x, dims);
  Tensor y;
  {
    const GradMode off(false);
    if (set.count == 0) {
      y = log(sum(x, set.dims, true));
    } else {
      // The largest goes in front of the logarithm, unless it is infinite: inf - inf is no number.
      const Tensor top = amax(x, set.dims, true);
      const Tensor shift = where(isinf(top), scalar(0.0), top);
      y = add(log(sum(exp(sub(x, shift)), set.dims, true)), shift);
    }
    if (!keepdim) y = alias(y, set.squeezed, contiguous_strides(set.squeezed), 0);
  }
  if (recording(x))
    record("logsumexp", {y}, {x},
           [x = Saved::input(x), y = Saved::output(y), keep = set.keep](Backward& b) {
             const Tensor weights = exp(sub(b(x), reshape(b(y), keep)));
             b.set(0, mul(reshape(b.grad(), keep), weights));
           });
  return y;
}

namespace {

// The p-norm where it is a root of a sum, and its gradient: sign(x) |x|^(p-1) / norm^(p-1), which
// is 0 where the norm is.
Tensor root_norm(const Tensor& x, double p, const DimSet& set) {
  Tensor y;
  {
    const GradMode off(false);
    if (p == 1)
      y = sum(abs(x), set.dims, true);
    else if (p == 2)
      y = sqrt(sum(square(x), set.dims, true));
    else
      y = pow(sum(pow(abs(x), scalar(p)), set.dims, true), scalar(1 / p));
  }
  if (recording(x))
    record("norm", {y}, {x}, [x = Saved::input(x), y = Saved::output(y), p](Backward& b) {
      const Tensor in = b(x);
      if (p == 1) {
        b.set(0, mul(b.grad(), sign(in)));
        return;
      }
      const Tensor zero = scalar(0.0), one = scalar(1.0);
      const Tensor length = b(y);
      const Tensor none = eq(length, zero);
      const Tensor divisor = where(none, one, length);
      if (p == 2) {
        b.set(0, mul(in, where(none, zero, div(b.grad(), divisor))));
        return;
      }
      const Tensor flat = eq(in, zero);
      const Tensor size = where(flat, one, abs(in));
      const Tensor slope = where(flat, zero, mul(sign(in), pow(size, scalar(p - 1))));
      b.set(0, mul(slope, where(none, zero, div(b.grad(), pow(divisor, scalar(p - 1))))));
    });
  return y;
}

}  // namespace

Tensor norm(const Tensor& x_, double p, IntList dims, bool keepdim, std::optional<DType> dtype) {
  const Tensor x = dtype ? to(x_, *dtype) : x_;
  check_floating("norm", "input", x);
  check<ValueError>(!std::isnan(p), "norm: p must be a number, got NaN");
  const DimSet set = dim_set("norm", x, dims);
  check<ValueError>(set.count > 0 || (p >= 0 && std::isfinite(p)),
                    "norm: no elements to choose from, which p = ", p, " must", line("input", x));
  if (std::isinf(p)) return p > 0 ? amax(abs(x), dims, keepdim) : amin(abs(x), dims, keepdim);
  Tensor y;
  if (p == 0) {
    y = to(sum(ne(x, scalar(0)), set.dims, true), x.dtype());
    if (recording(x))
      record("norm", {y}, {x}, [x = Saved::input(x)](Backward& b) { b.set(0, zeros_like(b(x))); });
  } else {
    y = set.dims.empty() ? abs(x) : root_norm(x, p, set);
  }
  return keepdim ? y : view(y, set.squeezed);
}

Tensor count_nonzero(const Tensor& x, IntList dims) {
  const DimSet set = dim_set("count_nonzero", x, dims);
  return sum(ne(detach(x), scalar(0)), set.dims);
}

Tensor trace(const Tensor& x) {
  check<ValueError>(x.rank() == 2, "trace: needs a matrix", line("input", x));
  return sum(diagonal(x, 0, 0, 1));
}

}  // namespace lamina::ops
