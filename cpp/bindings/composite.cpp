#include "bindings/composite.h"

#include <cmath>
#include <cstring>

#include "bindings/convert.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

bool holds(const Tensor& condition) { return item("all", ops::all(condition)).i != 0; }

}  // namespace

BinaryOp division(const char* mode) {
  if (!mode) return BinaryOp::div;
  if (std::strcmp(mode, "floor") == 0) return BinaryOp::floor_divide;
  if (std::strcmp(mode, "trunc") == 0) return BinaryOp::div_trunc;
  raise<ValueError>("div: rounding_mode must be None, 'floor' or 'trunc', got '", mode, "'");
}

Tensor isclose(const Tensor& x, const Tensor& y, double rtol, double atol, bool equal_nan) {
  const Device device = x.device();
  const Tensor limit =
      ops::add(ops::scalar(atol, device), ops::mul(ops::scalar(rtol, device), ops::abs(y)));
  const Tensor near = ops::le(ops::abs(ops::sub(x, y)), limit);
  // An infinity is close to itself alone, and its difference to itself is NaN.
  Tensor close = ops::logical_or(ops::eq(x, y), ops::logical_and(near, ops::isfinite(y)));
  if (equal_nan) close = ops::logical_or(close, ops::logical_and(ops::isnan(x), ops::isnan(y)));
  return close;
}

bool allclose(const Tensor& x, const Tensor& y, double rtol, double atol, bool equal_nan) {
  return holds(isclose(x, y, rtol, atol, equal_nan));
}

bool equal(const Tensor& x, const Tensor& y) {
  return x.sizes() == y.sizes() && holds(ops::eq(x, y));
}

Tensor narrow(const Tensor& x, int64_t dim, int64_t start, int64_t length) {
  const int d = wrap_dim("narrow", dim, x.rank());
  check<IndexError>(x.rank() > 0, "narrow: a 0-d tensor has no dimension to narrow");
  const int64_t first = start < 0 ? start + x.size(d) : start;
  check<IndexError>(first >= 0 && length >= 0 && length <= x.size(d) - first, "narrow: start ",
                    start, " and length ", length, " exceed dimension ", d, " with size ",
                    x.size(d));
  return ops::slice(x, d, first, first + length);
}

Tensor squeeze(const Tensor& x, std::span<const int64_t> dims) {
  if (dims.empty()) return ops::squeeze(x);
  bool drop[kMaxRank] = {};
  for (const int64_t dim : dims) drop[wrap_dim("squeeze", dim, x.rank())] = true;
  Tensor out = x;
  for (int i = x.rank() - 1; i >= 0; --i)
    if (drop[i]) out = ops::squeeze(out, i);
  return out.same(x) ? ops::squeeze(x, dims[0]) : out;
}

}  // namespace lamina::bindings
