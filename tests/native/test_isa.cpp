#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstring>
#include <string>

#include "core/check.h"
#include "core/cpu_isa.h"

using lamina::Isa;

BOOST_AUTO_TEST_SUITE(isa)

BOOST_AUTO_TEST_CASE(ref_and_baseline_are_always_there) {
  const auto isas = lamina::available_isas();
  BOOST_REQUIRE_GE(isas.size(), 2u);
  BOOST_TEST((isas[0] == Isa::Ref));
  BOOST_TEST((isas[1] == Isa::Baseline));
  BOOST_TEST(std::is_sorted(isas.begin(), isas.end()));
}

BOOST_AUTO_TEST_CASE(every_available_name_selects_its_isa) {
  for (const Isa isa : lamina::available_isas()) {
    BOOST_TEST((lamina::select_isa(lamina::isa_name(isa)) == isa));
  }
}

BOOST_AUTO_TEST_CASE(without_a_name_the_best_is_selected) {
  const Isa best = lamina::available_isas().back();
  BOOST_TEST((lamina::select_isa(nullptr) == best));
  BOOST_TEST((lamina::select_isa("") == best));
}

BOOST_AUTO_TEST_CASE(an_unknown_name_lists_what_there_is) {
  for (const char* name : {"sse", "AVX2", "avx2 ", "avx512f"}) {
    BOOST_CHECK_EXCEPTION(lamina::select_isa(name), lamina::ValueError,
                          [name](const lamina::ValueError& e) {
                            const std::string text = e.what();
                            return text.starts_with("LAMINA_ISA: unknown instruction set '" +
                                                    std::string(name) + "'") &&
                                   text.find("ref, baseline") != std::string::npos;
                          });
  }
}

BOOST_AUTO_TEST_CASE(an_isa_that_the_cpu_lacks_is_refused) {
  for (const Isa isa : lamina::kAllIsas) {
    if (lamina::isa_available(isa)) continue;
    BOOST_CHECK_EXCEPTION(lamina::select_isa(lamina::isa_name(isa)), lamina::ValueError,
                          [](const lamina::ValueError& e) {
                            return std::strstr(e.what(), "this CPU lacks") != nullptr;
                          });
  }
}

#if defined(__x86_64__)
// The compiler's own run-time test is an independent witness.
BOOST_AUTO_TEST_CASE(detection_agrees_with_the_compiler) {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  BOOST_TEST(lamina::isa_available(Isa::Avx2) == avx2);
  BOOST_TEST(lamina::isa_available(Isa::Avx512) == avx512);
  const auto features = lamina::cpu_features();
  const bool listed = std::find(features.begin(), features.end(), "avx2") != features.end();
  BOOST_TEST(listed == static_cast<bool>(__builtin_cpu_supports("avx2")));
}
#endif

BOOST_AUTO_TEST_SUITE_END()
