// The scalar functions that are more than a call of the C library (scalar_math.h).
#include "scalar_math.h"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "simd_cases.h"
#include "simd_reference.h"

using namespace lamina::test;
namespace scalar = lamina::scalar;

namespace {

template <class T, class R>
void check(const char* name, T (*function)(T), R (*wide)(R), double bound, double per_x = 0,
           double flat = 0) {
  auto x = special_values<T>();
  const auto more = random_values<T>(20000, 9);
  x.insert(x.end(), more.begin(), more.end());
  for (const T value : x) {
    const R want = wide(value);
    const R ulp = ulp_of<T>(want);
    const double allowance = static_cast<double>(std::numeric_limits<T>::epsilon() / ulp *
                                                 (flat + per_x * std::fabs(value)));
    const double limit = bound + (std::isfinite(value) ? allowance : 0);
    BOOST_TEST_CONTEXT(name << " of " << value) {
      BOOST_REQUIRE_LE(ulp_error(function(value), want, ulp), limit);
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(scalar_math)

BOOST_AUTO_TEST_CASE_TEMPLATE(composed_functions_are_accurate, T, Floats) {
  using R = std::conditional_t<sizeof(T) == 4, double, long double>;
  check<T, R>("sigmoid", scalar::sigmoid<T>, sigmoid<R>, 2.5);
  check<T, R>("softplus", scalar::softplus<T>, softplus<R>, 2.5);
  check<T, R>("normal_cdf", scalar::normal_cdf, normal_cdf<R>, 3);
  check<T, R>("gelu", scalar::gelu, gelu<R>, 3, 1);
  check<T, R>("gelu_grad", scalar::gelu_grad, gelu_grad<R>, 4, 0, 1);
  check<T, R>("gelu_tanh", scalar::gelu_tanh, gelu_tanh<R>, 4, 1);
  check<T, R>("gelu_tanh_grad", scalar::gelu_tanh_grad, gelu_tanh_grad<R>, 4, 1, 1);
  check<T, R>("erfinv", scalar::erfinv, erfinv<R>, 3);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(names_that_differ_from_the_c_library_do_as_they_say, T, Floats) {
  constexpr T nan = std::numeric_limits<T>::quiet_NaN();
  constexpr T inf = std::numeric_limits<T>::infinity();
  BOOST_TEST(scalar::round(T(2.5)) == 2);
  BOOST_TEST(scalar::round(T(-3.5)) == -4);
  BOOST_TEST(std::isnan(scalar::maximum(nan, T(1))));
  BOOST_TEST(std::isnan(scalar::maximum(T(1), nan)));
  BOOST_TEST(std::isnan(scalar::minimum(nan, T(1))));
  BOOST_TEST(std::isnan(scalar::minimum(T(1), nan)));
  BOOST_TEST(scalar::max(nan, T(1)) == 1);
  BOOST_TEST(scalar::min(nan, T(1)) == 1);
  BOOST_TEST(scalar::maximum(T(3), 5) == 5);
  BOOST_TEST(scalar::sign(nan) == 0);
  BOOST_TEST(scalar::sign(-inf) == -1);
  BOOST_TEST(scalar::fms(T(2), 3, 5) == 1);
  BOOST_TEST(scalar::fnma(T(2), 3, 5) == -1);
  BOOST_TEST((scalar::isnan(nan) && !scalar::isnan(inf)));
  BOOST_TEST((scalar::isinf(-inf) && !scalar::isinf(nan) && !scalar::isinf(T(1))));
  BOOST_TEST((scalar::isfinite(T(1)) && !scalar::isfinite(inf) && !scalar::isfinite(nan)));
  BOOST_TEST((scalar::signbit(T(-0.0)) && !scalar::signbit(T(0))));
  BOOST_TEST(scalar::ldexp(T(3), -2) == T(0.75));
}

BOOST_AUTO_TEST_SUITE_END()
