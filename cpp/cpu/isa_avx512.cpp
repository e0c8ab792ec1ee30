#define LAMINA_ISA_NAMESPACE cpu::avx512
#include "cpu/isa_table.inl"

namespace lamina::cpu {

constexpr MicroTable kAvx512Table{Isa::Avx512, avx512::make_micro<float>(),
                                  avx512::make_micro<double>()};

}  // namespace lamina::cpu
