// Which table of micro kernels this process runs on.
#include <atomic>

#include "core/check.h"
#include "cpu/micro.h"

namespace lamina::cpu {

// The table of one ISA, made of what its families' objects define.
#define LAMINA_DECLARE(Type, family)     \
  extern const Type<float> family##_f32; \
  extern const Type<double> family##_f64;
#define LAMINA_F32(Type, family) family##_f32,
#define LAMINA_F64(Type, family) family##_f64,
#define LAMINA_TABLE(isa)                                         \
  namespace isa {                                                 \
  LAMINA_MICRO_FAMILIES(LAMINA_DECLARE)                           \
  constexpr Micro<float> f32{LAMINA_MICRO_FAMILIES(LAMINA_F32)};  \
  constexpr Micro<double> f64{LAMINA_MICRO_FAMILIES(LAMINA_F64)}; \
  }
LAMINA_TABLE(ref)
LAMINA_TABLE(baseline)
#if defined(LAMINA_WITH_AVX2)
LAMINA_TABLE(avx2)
#endif
#if defined(LAMINA_WITH_AVX512)
LAMINA_TABLE(avx512)
#endif

constexpr MicroTable kRefTable{Isa::Ref, ref::f32, ref::f64};

namespace {

constexpr MicroTable kBaselineTable{Isa::Baseline, baseline::f32, baseline::f64};
#if defined(LAMINA_WITH_AVX2)
constexpr MicroTable kAvx2Table{Isa::Avx2, avx2::f32, avx2::f64};
#endif
#if defined(LAMINA_WITH_AVX512)
constexpr MicroTable kAvx512Table{Isa::Avx512, avx512::f32, avx512::f64};
#endif

constinit std::atomic<const MicroTable*> in_use{nullptr};

const MicroTable* built_table(Isa isa) {
  switch (isa) {
    case Isa::Ref: return &kRefTable;
    case Isa::Baseline: return &kBaselineTable;
#if defined(LAMINA_WITH_AVX2)
    case Isa::Avx2: return &kAvx2Table;
#endif
#if defined(LAMINA_WITH_AVX512)
    case Isa::Avx512: return &kAvx512Table;
#endif
    default: return nullptr;
  }
}

[[gnu::noinline, gnu::cold]] const MicroTable* choose() {
  // Threads that meet here choose the same one.
  const MicroTable* table = table_for(active_isa());
  check<RuntimeError>(table != nullptr, "this build has no kernels for ", isa_name(active_isa()),
                      "; set LAMINA_ISA=baseline");
  in_use.store(table, std::memory_order_release);
  return table;
}

}  // namespace

const MicroTable* table_for(Isa isa) { return isa_available(isa) ? built_table(isa) : nullptr; }

const MicroTable& micro() {
  const MicroTable* table = in_use.load(std::memory_order_acquire);
  return table != nullptr ? *table : *choose();
}

const MicroTable* use_table(const MicroTable* table) {
  const MicroTable* before = &micro();
  in_use.store(table, std::memory_order_release);
  return before;
}

}  // namespace lamina::cpu
