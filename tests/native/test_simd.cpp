// The vector layer (cpu/simd.h), each instruction set that this CPU has against wider arithmetic.
//
// Development runs: LAMINA_ULP_STRIDE=1 measures every float (minutes a function), LAMINA_ULP_ONLY
// limits it to one function, LAMINA_ULP_TABLE=FILE appends the measured errors as table rows.
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <string_view>
#include <type_traits>
#include <vector>

#include "simd_cases.h"
#include "simd_reference.h"
#include "ulp.h"

using namespace lamina::test;

namespace {

// The worst error over many chunks of inputs, for every instruction set.
template <class T, class R>
class Sweep {
 public:
  Sweep(const Reference<R>& reference, const std::vector<SimdTable>& isas)
      : reference_(reference), worst_(isas.size()) {
    for (const SimdTable& isa : isas) run_.push_back(unary<T>(isa, reference.name));
  }

  void measure(const std::vector<T>& x) {
    const size_t n = x.size();
    want_.resize(n), per_ulp_.resize(n), got_.resize(n);
    for (size_t i = 0; i < n; ++i) {
      want_[i] = reference_.wide(x[i]);
      per_ulp_[i] = 1 / ulp_of<T>(want_[i]);
    }
    for (size_t k = 0; k < run_.size(); ++k) {
      run_[k](static_cast<int64_t>(n), x.data(), got_.data());
      Worst& w = worst_[k];
      for (size_t i = 0; i < n; ++i) {
        R error = std::fabs(got_[i] - want_[i]) * per_ulp_[i];
        if (!(error <= reference_.bound)) {  // too large, or infinities and NaN about
          error = ulp_error(got_[i], want_[i], 1 / per_ulp_[i]);
          const R allowance = std::numeric_limits<T>::epsilon() * per_ulp_[i] *
                              (reference_.per_x * std::fabs(x[i]) + reference_.flat);
          const R excess = allowance > 0 ? error - allowance : error;
          if (excess > w.excess) w.excess = static_cast<double>(excess), w.excess_at = x[i];
        }
        if (error > w.error) w.error = static_cast<double>(error), w.at = x[i];
      }
    }
  }

  void report(const std::vector<SimdTable>& isas) const {
    const char* type = sizeof(T) == 4 ? "float" : "double";
    for (size_t k = 0; k < run_.size(); ++k) {
      const Worst& w = worst_[k];
      BOOST_TEST_CONTEXT(type << " " << reference_.name << " on " << isas[k].isa
                              << " at x = " << w.excess_at) {
        BOOST_TEST(w.excess <= reference_.bound);
      }
    }
    if (const char* path = std::getenv("LAMINA_ULP_TABLE")) {
      std::ofstream file(path, std::ios::app);
      file << "| " << type << " | " << reference_.name;
      char text[64];
      for (const Worst& w : worst_) {
        std::snprintf(text, sizeof text, " | %.3g at %.9g", w.error, static_cast<double>(w.at));
        file << text;
      }
      file << " |\n";
    }
  }

 private:
  struct Worst {
    double error = 0;   // plain, for the table
    double excess = 0;  // where above the bound: less the allowance
    T at = 0, excess_at = 0;
  };

  const Reference<R>& reference_;
  std::vector<void (*)(int64_t, const T*, T*)> run_;
  std::vector<Worst> worst_;
  std::vector<R> want_, per_ulp_;
  std::vector<T> got_;
};

bool selected(const char* name) {
  const char* only = std::getenv("LAMINA_ULP_ONLY");
  return !only || std::string_view(only) == name;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(simd)

BOOST_AUTO_TEST_CASE(float_functions_are_accurate) {
  const char* text = std::getenv("LAMINA_ULP_STRIDE");
  const uint64_t stride = text ? std::strtoull(text, nullptr, 10) : 20011;
  BOOST_REQUIRE(stride > 0);
  const auto isas = tables();
  for (const auto& reference : kReferences<double>) {
    if (!selected(reference.name)) continue;
    Sweep<float, double> sweep(reference, isas);
    std::vector<float> x = special_values<float>();
    for (uint64_t bits = 0; bits < (uint64_t(1) << 32); bits += stride) {
      if (x.size() == 4096) {
        sweep.measure(x);
        x.clear();
      }
      const uint32_t word = static_cast<uint32_t>(bits);
      float value;
      std::memcpy(&value, &word, sizeof value);
      x.push_back(value);
    }
    sweep.measure(x);
    sweep.report(isas);
  }
}

BOOST_AUTO_TEST_CASE(double_functions_are_accurate) {
  const char* text = std::getenv("LAMINA_ULP_DOUBLES");
  const uint64_t count = text ? std::strtoull(text, nullptr, 10) : 20000;
  const auto isas = tables();
  for (const auto& reference : kReferences<long double>) {
    if (!selected(reference.name)) continue;
    Sweep<double, long double> sweep(reference, isas);
    sweep.measure(special_values<double>());
    for (uint64_t done = 0; done < count; done += 20000) {
      sweep.measure(random_values<double>(20000, done + 1));
    }
    sweep.report(isas);
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(binary_functions_are_accurate, T, Floats) {
  using R = std::conditional_t<sizeof(T) == 4, double, long double>;
  struct Row {
    const char* name;
    R (*wide)(R, R);
    double bound;
  };
#define STD(f) [](R x, R y) -> R { return std::f(x, y); }
  const Row rows[] = {
      {"pow", STD(pow), 1},
      {"atan2", STD(atan2), 1.5},
      {"fmod", STD(fmod), 0},
      {"hypot", STD(hypot), 1.5},
      {"copysign", STD(copysign), 0},
      {"max", [](R x, R y) -> R { return x > y ? x : y; }, 0},
      {"min", [](R x, R y) -> R { return x < y ? x : y; }, 0},
      {"maximum", [](R x, R y) -> R { return x > y || x != x ? x : y; }, 0},
      {"minimum", [](R x, R y) -> R { return x < y || x != x ? x : y; }, 0},
      {"add", [](R x, R y) -> R { return x + y; }, 0.5001},
      {"subtract", [](R x, R y) -> R { return x - y; }, 0.5001},
      {"multiply", [](R x, R y) -> R { return x * y; }, 0.5001},
      {"divide", [](R x, R y) -> R { return x / y; }, 0.5001},
  };
#undef STD
  // Every pair of special values, then random ones.
  std::vector<T> x, y;
  const auto special = special_values<T>();
  for (const T a : special) {
    for (const T b : special) x.push_back(a), y.push_back(b);
  }
  const auto more_x = random_values<T>(40000, 5), more_y = random_values<T>(40000, 6);
  for (size_t i = 0; i < more_x.size(); ++i) {
    x.push_back(i % 4 == 1 ? std::fabs(more_x[i]) : more_x[i]);
    y.push_back(i % 4 == 1 ? more_y[i] / 20 : more_y[i]);
  }
  std::vector<T> got(x.size());
  for (const SimdTable& isa : tables()) {
    for (const Row& row : rows) {
      binary<T>(isa, row.name)(static_cast<int64_t>(x.size()), x.data(), y.data(), got.data());
      double worst = 0;
      size_t at = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        const R want = row.wide(x[i], y[i]);
        double error = ulp_error(got[i], want, ulp_of<T>(want));
        if (got[i] == 0 && std::signbit(got[i]) != std::signbit(want)) {
          error = std::numeric_limits<double>::infinity();
        }
        if (error > worst) worst = error, at = i;
      }
      BOOST_TEST_CONTEXT(row.name << " on " << isa.isa << " of " << x[at] << ", " << y[at]
                                  << " gives " << got[at]) {
        BOOST_TEST(worst <= row.bound);
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
