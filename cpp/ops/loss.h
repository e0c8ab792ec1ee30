// What the losses share.
#pragma once

#include "ops/common.h"

namespace lamina::ops {

// What becomes of the terms of a loss.
Tensor reduced(const Tensor& terms, Reduction reduction);
// Terms times weights that broadcast to them; none is fine.
Tensor weighted(const char* op, const Tensor& terms, const Tensor& weight);
// A loss does not broadcast its target: a size mismatch is nearly always a mistake.
void check_same_sizes(const char* op, const Tensor& x, const Tensor& target);

}  // namespace lamina::ops
