// Running sums, products and extremes along a dimension, and differences, with their gradients.
#include "ops/common.h"

namespace lamina::ops {
namespace {

Tensor run(const char* name, ScanOp op, const Tensor& x, int d, bool reverse = false,
           const Tensor& indices = {}) {
  Tensor y = empty_like(x);
  const Tensor line = x.rank() == 0 ? view(detach(x), Dims{1}) : x;
  const Tensor out = x.rank() == 0 ? view(y, Dims{1}) : y;
  const Tensor at_ = x.rank() == 0 && indices.defined() ? view(indices, Dims{1}) : indices;
  const TensorRef where_ = at_.defined() ? at_.ref() : TensorRef{};
  call<&DeviceApi::scan>(x.device(), name, op, out, where_, line, d, reverse);
  return y;
}

// The gradient of a running sum is the running sum from the other end.
Tensor running_sum(const Tensor& x, int d, bool reverse) {
  Tensor y = run("cumsum", ScanOp::Sum, x, d, reverse);
  if (recording(x))
    record("cumsum", {y}, {x},
           [d, reverse](Backward& b) { b.set(0, running_sum(b.grad(), d, !reverse)); });
  return y;
}

Tensor running_product(const Tensor& x, int d);

// dx_i = sum over j >= i of g_j (product of x_k, k <= j, without x_i). Where x_i is not zero that
// is a division of what the forward made. At a zero, it is the same sum for a line that has a 1
// there: of some value at the first zero of a line, 0 at later ones. At the second it still has a
// slope (in the first), which a second derivative asks for.
Tensor running_product_backward(const Tensor& g, const Tensor& x, const Tensor& y, int d) {
  const Tensor zero = eq(x, scalar(0));
  const Tensor others = running_sum(mul(g, y), d, true);
  if (holds("cumprod", logical_not(zero))) return div(others, x);
  Tensor dx = where(zero, scalar(0.0), div(others, where(zero, scalar(1.0), x)));
  const Tensor count = cumsum(zero, d);
  for (int nth = 1; nth <= (grad_enabled() ? 2 : 1); ++nth) {
    const Tensor here = logical_and(zero, eq(count, scalar(nth)));
    const Tensor filled = where(here, scalar(1.0), x);
    dx = where(here, running_sum(mul(g, running_product(filled, d)), d, true), dx);
  }
  return dx;
}

Tensor running_product(const Tensor& x, int d) {
  Tensor y = run("cumprod", ScanOp::Prod, x, d);
  if (recording(x))
    record("cumprod", {y}, {x}, [x = Saved::input(x), y = Saved::output(y), d](Backward& b) {
      b.set(0, running_product_backward(b.grad(), b(x), b(y), d));
    });
  return y;
}

std::pair<Tensor, Tensor> running_extreme(const char* name, ScanOp op, const Tensor& x,
                                          int64_t dim) {
  const int d = wrap_dim(name, dim, x.rank());
  const Tensor indices = empty_like(x, DType::Int64);
  Tensor y = run(name, op, x, d, false, indices);
  if (recording(x))
    record(name, {y}, {x}, [index = Saved::input(indices), sizes = x.sizes(), d](Backward& b) {
      b.set(0, sizes.empty() ? b.grad() : put_along(sizes, d, b(index), b.grad()));
    });
  return {y, indices};
}

Tensor summable(const Tensor& x, std::optional<DType> dtype) {
  return to(x, dtype.value_or(is_floating(x.dtype()) ? x.dtype() : DType::Int64));
}

}  // namespace

Tensor cumsum(const Tensor& x, int64_t dim, std::optional<DType> dtype) {
  const int d = wrap_dim("cumsum", dim, x.rank());
  return running_sum(summable(x, dtype), d, false);
}
Tensor cumprod(const Tensor& x, int64_t dim, std::optional<DType> dtype) {
  const int d = wrap_dim("cumprod", dim, x.rank());
  return running_product(summable(x, dtype), d);
}
std::pair<Tensor, Tensor> cummax(const Tensor& x, int64_t dim) {
  return running_extreme("cummax", ScanOp::Max, x, dim);
}
std::pair<Tensor, Tensor> cummin(const Tensor& x, int64_t dim) {
  return running_extreme("cummin", ScanOp::Min, x, dim);
}

Tensor diff(const Tensor& x, int64_t n, int64_t dim, const Tensor& prepend, const Tensor& append) {
  check<ValueError>(x.rank() > 0, "diff: needs at least one dimension, got a 0-d tensor");
  const int d = wrap_dim("diff", dim, x.rank());
  check<ValueError>(n >= 0, "diff: n must not be negative, got ", n);
  std::vector<Tensor> parts;
  for (const Tensor& part : {prepend, x, append})
    if (part.defined()) parts.push_back(part);
  Tensor y = parts.size() == 1 ? x : cat(parts, d);
  if (n == 0) return clone(y);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t size = y.size(d);
    if (size == 0) break;
    const Tensor later = slice(y, d, 1, size), earlier = slice(y, d, 0, size - 1);
    y = y.dtype() == DType::Bool ? ne(later, earlier) : sub(later, earlier);
  }
  return y;
}

}  // namespace lamina::ops
