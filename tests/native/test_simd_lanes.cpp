// Lanes, tails, masks and horizontal reductions of the vector layer (cpu/simd.h).
#include <sys/mman.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string_view>
#include <vector>

#include "simd_cases.h"
#include "simd_expression.h"
#include "ulp.h"

using namespace lamina::test;

namespace {

// Memory that ends where the process may not read or write.
template <class T>
class GuardedArray {
 public:
  explicit GuardedArray(int n) : page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    base_ = static_cast<char*>(
        mmap(nullptr, 2 * page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    BOOST_REQUIRE(base_ != MAP_FAILED);
    BOOST_REQUIRE_EQUAL(mprotect(base_ + page_, page_, PROT_NONE), 0);
    data_ = reinterpret_cast<T*>(base_ + page_) - n;
  }
  ~GuardedArray() { munmap(base_, 2 * page_); }
  GuardedArray(const GuardedArray&) = delete;
  T* data() { return data_; }

 private:
  size_t page_;
  char* base_;
  T* data_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(simd_lanes)

BOOST_AUTO_TEST_CASE_TEMPLATE(odd_functions_keep_the_sign_of_zero, T, Floats) {
  for (const SimdTable& isa : tables()) {
    for (const char* name :
         {"expm1", "log1p", "tanh", "erf", "erfinv", "gelu", "gelu_tanh", "sin", "tan", "asin",
          "atan", "sinh", "asinh", "atanh", "sqrt", "floor", "ceil", "trunc", "round"}) {
      const T x[2] = {T(0), T(-0.0)};
      T y[2] = {1, 1};
      unary<T>(isa, name)(2, x, y);
      BOOST_TEST_CONTEXT(name << " on " << isa.isa) {
        BOOST_TEST(same_bits(y[0], x[0]));
        BOOST_TEST(same_bits(y[1], x[1]));
      }
    }
    for (const char* name : {"ceil", "trunc", "round"}) {
      const T x[2] = {T(-0.3), T(-0.5)};
      T y[2];
      unary<T>(isa, name)(2, x, y);
      BOOST_TEST_CONTEXT(name << " on " << isa.isa) {
        BOOST_TEST(same_bits(y[0], T(-0.0)));
        BOOST_TEST(same_bits(y[1], T(-0.0)));
      }
    }
  }
}

// An element's result may depend neither on its lane nor on whether its vector is full, and the
// tail forms may touch nothing behind the array.
BOOST_AUTO_TEST_CASE_TEMPLATE(tails_equal_full_vectors_and_stay_inside, T, Floats) {
  for (const SimdTable& isa : tables()) {
    const auto& f = functions<T>(isa);
    const int n = 4 * f.lanes;
    auto x = special_values<T>();
    const auto more = random_values<T>(200, 11);
    x.insert(x.end(), more.begin(), more.end());
    std::vector<T> full(x.size());
    for (int k = 0; k < f.unary_count; ++k) {
      const auto run = f.unary[k].run;
      for (size_t i = 0; i < x.size(); ++i) {  // each value alone, in every lane
        const std::vector<T> copies(static_cast<size_t>(f.lanes), x[i]);
        std::vector<T> y(copies.size());
        run(f.lanes, copies.data(), y.data());
        full[i] = y[0];
        for (const T value : y) BOOST_REQUIRE(same_result(value, y[0]));
      }
      for (int length = 1; length <= n; ++length) {
        GuardedArray<T> in(length), out(length);
        const size_t start = static_cast<size_t>(length * 7) % (x.size() - static_cast<size_t>(n));
        std::memcpy(in.data(), &x[start], static_cast<size_t>(length) * sizeof(T));
        run(length, in.data(), out.data());
        for (int i = 0; i < length; ++i) {
          BOOST_TEST_CONTEXT(f.unary[k].name << " on " << isa.isa << " of " << in.data()[i]) {
            BOOST_REQUIRE(same_result(out.data()[i], full[start + static_cast<size_t>(i)]));
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(tail_stores_leave_the_rest_alone, T, Floats) {
  for (const SimdTable& isa : tables()) {
    const auto& f = functions<T>(isa);
    for (int n = 1; n < f.lanes; ++n) {
      const std::vector<T> x(static_cast<size_t>(f.lanes), T(-3));
      std::vector<T> y(static_cast<size_t>(f.lanes), T(7));
      unary<T>(isa, "abs")(n, x.data(), y.data());
      for (int i = 0; i < f.lanes; ++i) BOOST_TEST(y[static_cast<size_t>(i)] == (i < n ? 3 : 7));
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(masks_go_through_bytes, T, Floats) {
  for (const SimdTable& isa : tables()) {
    const auto& f = functions<T>(isa);
    const auto x = random_values<T>(64, 21), y = random_values<T>(64, 22);
    for (int n = 0; n <= f.lanes; ++n) {
      std::vector<uint8_t> mask(20, 9);
      std::vector<T> z(20, T(9));
      f.masks(n, x.data(), y.data(), mask.data(), z.data());
      for (size_t i = 0; i < 20; ++i) {
        const bool inside = static_cast<int>(i) < n;
        BOOST_TEST(int(mask[i]) == (inside ? int(x[i] < y[i]) : 9));
        BOOST_TEST(same_bits(z[i], inside ? (x[i] < y[i] ? x[i] : y[i]) : T(9)));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(reductions_fold_halves, T, Floats) {
  std::mt19937 bits(3);
  std::normal_distribution<double> normal;
  for (const SimdTable& isa : tables()) {
    const auto& f = functions<T>(isa);
    const size_t lanes = static_cast<size_t>(f.lanes);
    std::vector<T> x(lanes);
    for (T& value : x) value = static_cast<T>(normal(bits) * 1e3);
    std::vector<T> sum = x;
    for (size_t half = lanes / 2; half > 0; half /= 2) {
      for (size_t i = 0; i < half; ++i) sum[i] += sum[i + half];
    }
    BOOST_TEST(same_bits(f.reduce_add(x.data()), sum[0]));
    for (size_t i = 0; i < lanes; ++i) {
      std::vector<T> y(lanes, T(1));
      y[i] = 5;
      BOOST_TEST(f.reduce_max(y.data()) == 5);
      y[i] = -5;
      BOOST_TEST(f.reduce_min(y.data()) == -5);
      y[i] = std::numeric_limits<T>::quiet_NaN();
      BOOST_TEST(std::isnan(f.reduce_max(y.data())));
      BOOST_TEST(std::isnan(f.reduce_min(y.data())));
    }
  }
}

// One expression for every kind of number, as the kernels' tables have it.
BOOST_AUTO_TEST_CASE_TEMPLATE(an_expression_gives_vectors_and_scalars_the_same_bits, T, Floats) {
  auto g = special_values<T>(), y = random_values<T>(g.size(), 4);
  std::vector<T> got(g.size());
  for (const SimdTable& isa : tables()) {
    binary<T>(isa, "expression")(static_cast<int64_t>(g.size()), g.data(), y.data(), got.data());
    for (size_t i = 0; i < g.size(); ++i) {
      const T want = expression(g[i], y[i]);
      BOOST_TEST_CONTEXT(isa.isa << " of " << g[i] << ", " << y[i]) {
        BOOST_TEST(same_result(got[i], want));
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
