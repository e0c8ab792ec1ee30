// What the tests of the vector layer share: the tables that this CPU can run, and inputs.
#pragma once

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "core/cpu_isa.h"
#include "ulp.h"

namespace lamina::test {

using Floats = std::tuple<float, double>;

inline std::vector<SimdTable> tables() {
  std::vector<SimdTable> all = {simd_table_baseline()};
#if defined(__x86_64__)
  if (isa_available(Isa::Avx2)) all.push_back(simd_table_avx2());
  if (isa_available(Isa::Avx512)) all.push_back(simd_table_avx512());
  for (const Isa isa : {Isa::Avx2, Isa::Avx512}) {
    if (!isa_available(isa)) {
      BOOST_TEST_MESSAGE("skipped: this CPU has no " << isa_name(isa));
    }
  }
#endif
  return all;
}

template <class T>
const SimdFunctions<T>& functions(const SimdTable& table) {
  if constexpr (std::is_same_v<T, float>) {
    return table.f32;
  } else {
    return table.f64;
  }
}

template <class T>
auto unary(const SimdTable& table, std::string_view name) {
  const auto& f = functions<T>(table);
  for (int i = 0; i < f.unary_count; ++i) {
    if (name == f.unary[i].name) return f.unary[i].run;
  }
  throw std::runtime_error("no unary function " + std::string(name));
}

template <class T>
auto binary(const SimdTable& table, std::string_view name) {
  const auto& f = functions<T>(table);
  for (int i = 0; i < f.binary_count; ++i) {
    if (name == f.binary[i].name) return f.binary[i].run;
  }
  throw std::runtime_error("no binary function " + std::string(name));
}

template <class T>
std::vector<T> special_values() {
  using L = std::numeric_limits<T>;
  std::vector<T> values = {0,
                           L::denorm_min(),
                           L::min() / 2,
                           L::min(),
                           L::epsilon(),
                           T(0.25),
                           T(0.5),
                           T(0.8),
                           1,
                           T(1.5),
                           2,
                           T(2.5),
                           3,
                           10,
                           17,
                           20,
                           60,
                           T(88.5),
                           100,
                           T(103.9),
                           T(709.5),
                           T(745),
                           1000,
                           T(1048577),
                           T(16777217),
                           T(9e15),
                           L::max() / 2,
                           L::max(),
                           L::infinity(),
                           L::quiet_NaN()};
  const size_t n = values.size();
  for (size_t i = 0; i < n; ++i) values.push_back(-values[i]);
  for (size_t i = 0; i < 2 * n; ++i) {
    values.push_back(std::nextafter(values[i], L::infinity()));
    values.push_back(std::nextafter(values[i], -L::infinity()));
  }
  return values;
}

// Any bit pattern, and numbers of everyday size.
template <class T>
std::vector<T> random_values(size_t n, uint64_t seed) {
  std::mt19937_64 bits(seed);
  std::vector<T> values(n);
  for (size_t i = 0; i < n; ++i) {
    const uint64_t word = bits();
    if (i % 2 == 0) {
      std::memcpy(&values[i], &word, sizeof(T));
    } else {
      const T unit = static_cast<T>(static_cast<int64_t>(word)) * T(0x1p-63);
      values[i] = unit * T(i % 3 == 0 ? 1.2 : i % 3 == 1 ? 9 : 750);
    }
  }
  return values;
}

template <class T>
bool same_bits(const T& a, const T& b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

// IEEE leaves a NaN's sign and payload open.
template <class T>
bool same_result(const T& a, const T& b) {
  return same_bits(a, b) || (std::isnan(a) && std::isnan(b));
}

}  // namespace lamina::test
