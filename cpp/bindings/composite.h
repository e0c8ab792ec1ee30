// Small ops made of others.
#pragma once

#include <span>

#include "autograd/autograd.h"
#include "core/tensor.h"
#include "ops/ops.h"

namespace lamina::bindings {

Tensor floor_divide(const Tensor& x, const Tensor& y);  // towards minus infinity
Tensor remainder(const Tensor& x, const Tensor& y);     // with the sign of y
Tensor divide(const Tensor& x, const Tensor& y, const char* rounding_mode);  // null, floor, trunc
// On bools; integers have no kernel for it yet.
Tensor bitwise_and(const Tensor& x, const Tensor& y);
Tensor bitwise_or(const Tensor& x, const Tensor& y);
Tensor bitwise_xor(const Tensor& x, const Tensor& y);
Tensor bitwise_not(const Tensor& x);  // also ~i = -i - 1 for integers
Tensor isclose(const Tensor& x, const Tensor& y, double rtol, double atol, bool equal_nan);
bool allclose(const Tensor& x, const Tensor& y, double rtol, double atol, bool equal_nan);
bool equal(const Tensor& x, const Tensor& y);  // same sizes, same values
Tensor softplus(const Tensor& x, double beta, double threshold);
Tensor gelu(const Tensor& x, const char* approximate);
Tensor repeat(const Tensor& x, std::span<const int64_t> times);
// In place by way of a new tensor: what f saves of `self` for its gradient must not be overwritten.
template <class F>
Tensor rewrite(const Tensor& self, bool records, F&& f) {
  ops::copy_(self, f(records ? ops::clone(self) : self));
  return self;
}
Tensor narrow(const Tensor& x, int64_t dim, int64_t start, int64_t length);
Tensor squeeze(const Tensor& x, std::span<const int64_t> dims);

}  // namespace lamina::bindings
