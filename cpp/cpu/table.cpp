// Which table of micro kernels this process runs on.
#include <atomic>

#include "core/check.h"
#include "cpu/micro.h"

namespace lamina::cpu {
namespace {

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
