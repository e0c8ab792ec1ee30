// Which instruction-set table the CPU device uses.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lamina {

// In order of preference. Ref is the naive table, Baseline the vectorised one that runs on every
// CPU of the architecture.
enum class Isa { Ref, Baseline, Avx2, Avx512 };

inline constexpr Isa kAllIsas[] = {Isa::Ref, Isa::Baseline, Isa::Avx2, Isa::Avx512};

const char* isa_name(Isa isa);  // "ref", "baseline", "avx2", "avx512": the values of LAMINA_ISA

// Whether the CPU has, and the operating system keeps, everything the table is compiled for.
bool isa_available(Isa isa);

std::vector<Isa> available_isas();

// The value of LAMINA_ISA (null or empty: the best available) as an Isa. Raises ValueError, with
// the names that are available, for an unknown name and for one that this CPU lacks.
Isa select_isa(const char* name);

// The table this process uses: select_isa of the environment, settled by the first call that
// succeeds.
Isa active_isa();

// The features found that matter to the tables ("avx2", "fma", ...), for `lamina info`.
std::vector<std::string> cpu_features();

}  // namespace lamina
