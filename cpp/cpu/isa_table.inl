// The table of one instruction set, from the families' files. Each isa_*.cpp defines
// LAMINA_ISA_NAMESPACE and includes this once.
//
// A family X is X.inl: `template <class T> constexpr XMicro<T> make_X()` in an unnamed namespace
// within lamina::LAMINA_ISA_NAMESPACE. The unnamed namespace keeps every instantiation local to the
// object file: a weak one would let the linker hand AVX-512 code to a CPU without it.
#pragma once

#include "cpu/gemm.inl"
#include "cpu/norm.inl"
#include "cpu/optim.inl"
#include "cpu/pointwise.inl"
#include "cpu/reduce.inl"
#include "cpu/softmax.inl"

namespace lamina::LAMINA_ISA_NAMESPACE {
namespace {

template <class T>
constexpr Micro<T> make_micro() {
  return {make_pointwise<T>(), make_reduce<T>(), make_gemm<T>(),
          make_softmax<T>(),   make_norm<T>(),   make_optim<T>()};
}

}  // namespace
}  // namespace lamina::LAMINA_ISA_NAMESPACE
