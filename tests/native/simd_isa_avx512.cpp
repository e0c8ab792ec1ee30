#define LAMINA_ISA_NAMESPACE test_avx512
#define SIMD_ISA_NAME "avx512"
#define SIMD_TABLE_NAME simd_table_avx512
#include "simd_isa.inl"
