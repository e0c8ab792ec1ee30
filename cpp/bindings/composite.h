// Small ops made of others.
#pragma once

#include <span>

#include "autograd/autograd.h"
#include "core/tensor.h"
#include "ops/ops.h"

namespace lamina::bindings {

BinaryOp division(const char* rounding_mode);  // null, floor, trunc
Tensor isclose(const Tensor& x, const Tensor& y, double rtol, double atol, bool equal_nan);
bool allclose(const Tensor& x, const Tensor& y, double rtol, double atol, bool equal_nan);
bool equal(const Tensor& x, const Tensor& y);  // same sizes, same values
Tensor narrow(const Tensor& x, int64_t dim, int64_t start, int64_t length);
Tensor squeeze(const Tensor& x, std::span<const int64_t> dims);

}  // namespace lamina::bindings
