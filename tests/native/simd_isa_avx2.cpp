#define LAMINA_ISA_NAMESPACE test_avx2
#define SIMD_ISA_NAME "avx2"
#define SIMD_TABLE_NAME simd_table_avx2
#include "simd_isa.inl"
