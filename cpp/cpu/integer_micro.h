// The pointwise and reduction tables for integers and bool: plain loops over the same rows,
// compiled once at baseline. A row that makes no sense for integers has no entry.
#pragma once

#include <type_traits>

#include "cpu/micro.h"

namespace lamina::cpu {

// T: bool, uint8_t, int32_t, int64_t
template <class T>
const PointwiseMicro<T>& integer_pointwise();
template <class T>
const ReduceMicro<T>& integer_reduce();

// The pointwise and reduction kernels of any dtype.
template <class T>
const PointwiseMicro<T>& pointwise_micro() {
  if constexpr (std::is_floating_point_v<T>)
    return micro().of<T>().pointwise;
  else
    return integer_pointwise<T>();
}
template <class T>
const ReduceMicro<T>& reduce_micro() {
  if constexpr (std::is_floating_point_v<T>)
    return micro().of<T>().reduce;
  else
    return integer_reduce<T>();
}

}  // namespace lamina::cpu
