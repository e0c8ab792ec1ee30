#define LAMINA_ISA_NAMESPACE cpu::baseline
#include "cpu/isa_table.inl"

namespace lamina::cpu {

constexpr MicroTable kBaselineTable{Isa::Baseline, baseline::make_micro<float>(),
                                    baseline::make_micro<double>()};

}  // namespace lamina::cpu
