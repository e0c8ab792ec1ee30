// An expression as kernels write them, over any V. None of its roundings depends on a fused
// multiply-add, so that vectors and scalars must agree to the bit.
#pragma once

#include "scalar_math.h"

namespace lamina::test {

using namespace scalar;

template <class V>
LAMINA_HD V expression(V g, V y) {
  const V slope = 1 - y * y;
  const V clipped = maximum(minimum(g, V(2.5)), -abs(y));
  return select((y > V(0)) & !(g == y), clipped * slope, sqrt(abs(y) + 1) / (floor(g) - V(0.5)));
}

}  // namespace lamina::test
