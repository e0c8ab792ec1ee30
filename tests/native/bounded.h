// A number with a bound on how far the same expression may come out when it is evaluated in T: the
// running error analysis of the rows of pointwise.h. Every operation carries its operands' bounds
// through its derivative and adds its own: half an ULP, or what the function is allowed.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <string_view>

#include "simd_reference.h"
#include "ulp.h"

namespace lamina::test {

using Wide = long double;

template <class T>
struct Bounded {
  Wide v = 0;
  Wide e = 0;
  // Whether an operation since this was last set to false had a finite result that T has no room
  // for.
  static inline bool overflowed = false;

  Bounded(Wide value, Wide error) : v(value), e(error) {}
  // A literal of a row; T may have to round it.
  explicit Bounded(double literal) : v(literal), e(std::fabs(Wide(T(literal)) - Wide(literal))) {}

  // The result of an operation that adds `ulps` to the error its operands bring.
  static Bounded rounded(Wide value, Wide error, double ulps = 0.5) {
    const Wide largest = std::numeric_limits<T>::max();
    const Wide spacing = ulp_of<T>(value);
    if (std::fabs(value) > largest + spacing / 2) {
      overflowed = overflowed || std::isfinite(value);
      return {std::copysign(std::numeric_limits<Wide>::infinity(), value), 0};
    }
    return {value, std::isfinite(value) ? error + Wide(ulps) * spacing : 0};
  }
  static Bounded exact(Wide value) { return {value, 0}; }

  friend Bounded operator-(Bounded a) { return {-a.v, a.e}; }
  friend Bounded operator+(Bounded a, Bounded b) { return rounded(a.v + b.v, a.e + b.e); }
  friend Bounded operator-(Bounded a, Bounded b) { return rounded(a.v - b.v, a.e + b.e); }
  friend Bounded operator*(Bounded a, Bounded b) {
    return rounded(a.v * b.v, carried(a.v, b.e) + carried(b.v, a.e) + a.e * b.e);
  }
  friend Bounded operator/(Bounded a, Bounded b) {
    const Wide q = a.v / b.v;
    // The infinity may be an overflow, of any number that T has no room for.
    if (std::isinf(b.v) && std::isfinite(a.v))
      return rounded(q, std::fabs(a.v) / std::numeric_limits<T>::max());
    return rounded(q, b.e >= std::fabs(b.v) && b.e > 0
                          ? std::numeric_limits<Wide>::infinity()
                          : (a.e + carried(q, b.e)) / (std::fabs(b.v) - b.e));
  }
  friend bool operator==(Bounded a, Bounded b) { return a.v == b.v; }
  friend bool operator!=(Bounded a, Bounded b) { return a.v != b.v; }
  friend bool operator<(Bounded a, Bounded b) { return a.v < b.v; }
  friend bool operator<=(Bounded a, Bounded b) { return a.v <= b.v; }
  friend bool operator>(Bounded a, Bounded b) { return a.v > b.v; }
  friend bool operator>=(Bounded a, Bounded b) { return a.v >= b.v; }
  friend Bounded select(bool c, Bounded a, Bounded b) { return c ? a : b; }
  friend Bounded maximum(Bounded a, Bounded b) { return a.v > b.v || std::isnan(a.v) ? a : b; }
  friend Bounded minimum(Bounded a, Bounded b) { return a.v < b.v || std::isnan(a.v) ? a : b; }
  friend Bounded abs(Bounded a) { return {std::fabs(a.v), a.e}; }
  friend Bounded sign(Bounded a) { return exact(Wide((a.v > 0) - (a.v < 0))); }
  friend Bounded sqrt(Bounded a) {
    const Wide root = std::sqrt(a.v);
    return rounded(root, carried(1 / (2 * root), a.e));
  }

  // A function with its derivative at a, where an error of the argument arrives.
  static Bounded apply(const Reference<Wide>& f, Bounded a, Wide derivative) {
    const Wide eps = std::numeric_limits<T>::epsilon();
    const Wide size = std::isfinite(a.v) ? std::fabs(a.v) : 0;
    const Wide own = eps * (size * Wide(f.per_x) + Wide(f.flat));
    return rounded(f.wide(a.v), carried(std::fabs(derivative), a.e) + own, f.bound);
  }
  static Bounded apply(const char* name, Bounded a, Wide derivative) {
    for (const Reference<Wide>& f : kReferences<Wide>)
      if (std::string_view(f.name) == name) return apply(f, a, derivative);
    return {std::numeric_limits<Wide>::quiet_NaN(), 0};
  }
  friend Bounded exp(Bounded a) { return apply("exp", a, std::exp(a.v)); }
  friend Bounded expm1(Bounded a) { return apply("expm1", a, std::exp(a.v)); }
  friend Bounded log(Bounded a) { return apply("log", a, 1 / a.v); }
  friend Bounded exp2(Bounded a) { return apply("exp2", a, std::exp2(a.v)); }
  friend Bounded log2(Bounded a) { return apply("log2", a, 2 / a.v); }
  friend Bounded log10(Bounded a) { return apply("log10", a, 1 / a.v); }
  friend Bounded log1p(Bounded a) { return apply("log1p", a, 1 / (1 + a.v)); }
  friend Bounded sin(Bounded a) { return apply("sin", a, 1); }
  friend Bounded cos(Bounded a) { return apply("cos", a, 1); }
  friend Bounded tanh(Bounded a) { return apply("tanh", a, 1); }
  friend Bounded sigmoid(Bounded a) { return apply("sigmoid", a, 1); }
  friend Bounded erf(Bounded a) { return apply("erf", a, 1.2L); }
  friend Bounded floor(Bounded a) { return exact(std::floor(a.v)); }
  friend Bounded ceil(Bounded a) { return exact(std::ceil(a.v)); }
  friend Bounded trunc(Bounded a) {  // of a quotient that may round to the next integer
    const Wide t = std::trunc(a.v);
    const Wide low = std::trunc(a.v - a.e), high = std::trunc(a.v + a.e);
    return {t, a.e > 0 ? std::fmax(high - t, t - low) : 0};
  }
  friend Bounded round(Bounded a) { return exact(std::nearbyint(a.v)); }
  // Rows give these their input as it is: no error to carry.
  friend Bounded tan(Bounded a) { return apply("tan", a, 0); }
  friend Bounded asin(Bounded a) { return apply("asin", a, 0); }
  friend Bounded acos(Bounded a) { return apply("acos", a, 0); }
  friend Bounded atan(Bounded a) { return apply("atan", a, 0); }
  friend Bounded sinh(Bounded a) { return apply("sinh", a, 0); }
  friend Bounded cosh(Bounded a) { return apply("cosh", a, 0); }
  friend Bounded asinh(Bounded a) { return apply("asinh", a, 0); }
  friend Bounded acosh(Bounded a) { return apply("acosh", a, 0); }
  friend Bounded atanh(Bounded a) { return apply("atanh", a, 0); }
  friend Bounded erfc(Bounded a) { return apply("erfc", a, 0); }
  friend Bounded erfinv(Bounded a) { return apply("erfinv", a, 0); }
  friend Bounded softplus(Bounded a) { return apply("softplus", a, 1); }
  friend Bounded gelu(Bounded a) { return apply("gelu", a, 0); }
  friend Bounded gelu_grad(Bounded a) { return apply("gelu_grad", a, 0); }
  friend Bounded gelu_tanh(Bounded a) { return apply("gelu_tanh", a, 0); }
  friend Bounded gelu_tanh_grad(Bounded a) { return apply("gelu_tanh_grad", a, 0); }
  friend Bounded pow(Bounded a, Bounded b) {
    const Wide v = std::pow(a.v, b.v);
    const Wide error = carried(b.v * v / a.v, a.e) + carried(v * std::log(std::fabs(a.v)), b.e);
    return rounded(v, std::isfinite(error) ? error : 0, 1);
  }
  friend Bounded hypot(Bounded a, Bounded b) { return rounded(std::hypot(a.v, b.v), 0, 1.5); }
  friend Bounded fmod(Bounded a, Bounded b) { return exact(std::fmod(a.v, b.v)); }
  friend Bounded remainder(Bounded a, Bounded b) {
    const Wide m = std::fmod(a.v, b.v);
    return m != 0 && (m < 0) != (b.v < 0) ? rounded(m + b.v, 0) : exact(m);
  }
  // An integer, found from a quotient that is 1.5 ULP off; exact while an integer can be told from
  // its neighbours.
  friend Bounded floor_divide(Bounded a, Bounded b) {
    const Wide m = std::fmod(a.v, b.v);
    if (b.v == 0) return exact(a.v / b.v);
    const Wide q = (a.v - m) / b.v - Wide(m != 0 && (m < 0) != (b.v < 0));
    const Wide whole = std::nearbyint(q);
    const bool is_large = std::fabs(whole) * std::numeric_limits<T>::epsilon() > Wide(0.25);
    return is_large ? rounded(whole, 0, 2) : exact(whole);
  }
  friend Bounded atan2(Bounded a, Bounded b) { return rounded(std::atan2(a.v, b.v), 0, 1.5); }

  // Whether a result of T is within the bound. Second-order terms get one percent. A wider range
  // inside may spare a result the overflow that T runs into, and the NaN that came of one.
  bool allows(T got, bool wider_inside = false) const {
    if (std::isnan(v) && wider_inside && overflowed) return true;
    if (std::isnan(v) || std::isnan(got)) return std::isnan(v) && std::isnan(got);
    const Wide largest = std::numeric_limits<T>::max();
    const Wide error = Wide(1.01) * e;
    if (std::isinf(got))
      return std::signbit(got) == std::signbit(v) && std::fabs(v) + error >= largest;
    if (std::isinf(v)) return wider_inside;
    return std::fabs(Wide(got) - v) <= error;
  }

 private:
  // An exact operand brings no error, however large the factor.
  static Wide carried(Wide factor, Wide error) {
    return error == 0 ? 0 : std::fabs(factor) * error;
  }
};

}  // namespace lamina::test
