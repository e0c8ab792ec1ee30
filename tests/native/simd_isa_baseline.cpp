#define LAMINA_ISA_NAMESPACE test_baseline
#define SIMD_ISA_NAME "baseline"
#define SIMD_TABLE_NAME simd_table_baseline
#include "simd_isa.inl"
