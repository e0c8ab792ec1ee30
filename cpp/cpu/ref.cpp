// The naive table: what every other one is tested against, and selectable (LAMINA_ISA=ref).
#include "cpu/ref_gemm.inl"
#include "cpu/ref_norm.inl"
#include "cpu/ref_optim.inl"
#include "cpu/ref_pointwise.inl"
#include "cpu/ref_reduce.inl"
#include "cpu/ref_softmax.inl"

namespace lamina::cpu {
namespace ref {
namespace {

template <class T>
constexpr Micro<T> make_micro() {
  return {make_pointwise<T>(), make_reduce<T>(), make_gemm<T>(),
          make_softmax<T>(),   make_norm<T>(),   make_optim<T>()};
}

}  // namespace
}  // namespace ref

constexpr MicroTable kRefTable{Isa::Ref, ref::make_micro<float>(), ref::make_micro<double>()};

}  // namespace lamina::cpu
