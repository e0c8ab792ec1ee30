#include "core/cpu_isa.h"

#include <atomic>
#include <cstdint>
#include <cstdlib>

#include "core/check.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace lamina {
namespace {

#if defined(__x86_64__)

// The state components that the operating system saves for us (XCR0).
constexpr uint64_t kAvxState = 0x06;     // SSE and AVX registers
constexpr uint64_t kAvx512State = 0xe6;  // and opmasks, upper halves, the upper 16 registers

enum Register { kEax, kEbx, kEcx, kEdx };

struct Feature {
  const char* name;
  unsigned leaf;
  unsigned subleaf;
  Register reg;
  int bit;
  uint64_t os_state;  // what the operating system must save for it to be usable
  bool avx2;          // the AVX2 table is compiled for it
  bool avx512;        // the AVX-512 table is compiled for it
};

constexpr Feature kFeatures[] = {
    {"sse4.2", 1, 0, kEcx, 20, 0, false, false},
    {"avx", 1, 0, kEcx, 28, kAvxState, true, true},
    {"f16c", 1, 0, kEcx, 29, kAvxState, true, true},
    {"fma", 1, 0, kEcx, 12, kAvxState, true, true},
    {"avx2", 7, 0, kEbx, 5, kAvxState, true, true},
    {"avx512f", 7, 0, kEbx, 16, kAvx512State, false, true},
    {"avx512dq", 7, 0, kEbx, 17, kAvx512State, false, true},
    {"avx512bw", 7, 0, kEbx, 30, kAvx512State, false, true},
    {"avx512vl", 7, 0, kEbx, 31, kAvx512State, false, true},
    {"avx512_vnni", 7, 0, kEcx, 11, kAvx512State, false, false},
    {"avx512_bf16", 7, 1, kEax, 5, kAvx512State, false, false},
};

uint64_t os_saved_state() {
  unsigned r[4] = {};
  constexpr unsigned kOsxsave = 1u << 27;
  if (!__get_cpuid(1, &r[kEax], &r[kEbx], &r[kEcx], &r[kEdx]) || !(r[kEcx] & kOsxsave)) return 0;
  uint32_t low = 0;
  uint32_t high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

bool has(const Feature& f) {
  unsigned r[4] = {};
  if (!__get_cpuid_count(f.leaf, f.subleaf, &r[kEax], &r[kEbx], &r[kEcx], &r[kEdx])) return false;
  return ((r[f.reg] >> f.bit) & 1) != 0 && (os_saved_state() & f.os_state) == f.os_state;
}

bool has_all(bool Feature::* needed) {
  for (const Feature& f : kFeatures) {
    if (f.*needed && !has(f)) return false;
  }
  return true;
}

#endif

std::string available_names() {
  std::string names;
  for (const Isa isa : available_isas()) {
    if (!names.empty()) names += ", ";
    names += isa_name(isa);
  }
  return names;
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::Ref: return "ref";
    case Isa::Baseline: return "baseline";
    case Isa::Avx2: return "avx2";
    case Isa::Avx512: return "avx512";
  }
  return "?";
}

bool isa_available(Isa isa) {
  switch (isa) {
    case Isa::Ref:
    case Isa::Baseline: return true;
#if defined(__x86_64__)
    case Isa::Avx2: return has_all(&Feature::avx2);
    case Isa::Avx512: return has_all(&Feature::avx512);
#else
    default: break;
#endif
  }
  return false;
}

std::vector<Isa> available_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : kAllIsas) {
    if (isa_available(isa)) isas.push_back(isa);
  }
  return isas;
}

Isa select_isa(const char* name) {
  if (name == nullptr || *name == '\0') return available_isas().back();
  for (const Isa isa : kAllIsas) {
    if (std::string_view(name) != isa_name(isa)) continue;
    check<ValueError>(isa_available(isa), "LAMINA_ISA: this CPU lacks '", name, "'",
                      line("available", available_names()));
    return isa;
  }
  raise<ValueError>("LAMINA_ISA: unknown instruction set '", name, "'",
                    line("available", available_names()));
}

Isa active_isa() {
  constexpr int kUnsettled = -1;
  static constinit std::atomic<int> settled{kUnsettled};
  int isa = settled.load(std::memory_order_relaxed);
  if (isa == kUnsettled) {
    isa = static_cast<int>(select_isa(std::getenv("LAMINA_ISA")));
    settled.store(isa, std::memory_order_relaxed);
  }
  return static_cast<Isa>(isa);
}

std::vector<std::string> cpu_features() {
  std::vector<std::string> names;
#if defined(__x86_64__)
  for (const Feature& f : kFeatures) {
    if (has(f)) names.emplace_back(f.name);
  }
#endif
  return names;
}

}  // namespace lamina
