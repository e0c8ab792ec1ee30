#define LAMINA_ISA_NAMESPACE cpu::avx2
#include "cpu/isa_table.inl"

namespace lamina::cpu {

constexpr MicroTable kAvx2Table{Isa::Avx2, avx2::make_micro<float>(), avx2::make_micro<double>()};

}  // namespace lamina::cpu
