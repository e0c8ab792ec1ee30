// Integers for the rows of pointwise.h: arithmetic wraps, as PyTorch's and NumPy's does, where
// plain C++ has undefined behaviour. bool takes part as the integers modulo "not zero": + is or, *
// is and.
#pragma once

#include <cstdint>
#include <type_traits>

#include "scalar_math.h"

namespace lamina {

template <class T>
struct Wrapping {
  // At least as wide as int, so that no operand is promoted to a signed type.
  using Wide = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;

  T value;

  Wrapping() = default;
  LAMINA_HD constexpr explicit Wrapping(T v) : value(v) {}

  LAMINA_HD constexpr Wide wide() const { return static_cast<Wide>(value); }
  LAMINA_HD static constexpr Wrapping from(Wide v) { return Wrapping(static_cast<T>(v)); }

  LAMINA_HD friend constexpr Wrapping operator-(Wrapping a) { return from(Wide{0} - a.wide()); }
  LAMINA_HD friend constexpr Wrapping operator+(Wrapping a, Wrapping b) {
    return from(a.wide() + b.wide());
  }
  LAMINA_HD friend constexpr Wrapping operator-(Wrapping a, Wrapping b) {
    return from(a.wide() - b.wide());
  }
  LAMINA_HD friend constexpr Wrapping operator*(Wrapping a, Wrapping b) {
    return from(a.wide() * b.wide());
  }
  LAMINA_HD friend constexpr bool operator==(Wrapping a, Wrapping b) { return a.value == b.value; }
  LAMINA_HD friend constexpr bool operator!=(Wrapping a, Wrapping b) { return a.value != b.value; }
  LAMINA_HD friend constexpr bool operator<(Wrapping a, Wrapping b) { return a.value < b.value; }
  LAMINA_HD friend constexpr bool operator<=(Wrapping a, Wrapping b) { return a.value <= b.value; }
  LAMINA_HD friend constexpr bool operator>(Wrapping a, Wrapping b) { return a.value > b.value; }
  LAMINA_HD friend constexpr bool operator>=(Wrapping a, Wrapping b) { return a.value >= b.value; }

  LAMINA_HD friend constexpr Wrapping select(bool c, Wrapping a, Wrapping b) { return c ? a : b; }
  LAMINA_HD friend constexpr Wrapping maximum(Wrapping a, Wrapping b) { return a < b ? b : a; }
  LAMINA_HD friend constexpr Wrapping minimum(Wrapping a, Wrapping b) { return b < a ? b : a; }
  LAMINA_HD friend constexpr Wrapping abs(Wrapping a) { return a < Wrapping(T(0)) ? -a : a; }
  LAMINA_HD friend constexpr Wrapping sign(Wrapping a) {
    if (a.value == T(0)) return a;
    return a < Wrapping(T(0)) ? -Wrapping(T(1)) : Wrapping(T(1));
  }
  // An integer is whole already.
  LAMINA_HD friend constexpr Wrapping floor(Wrapping a) { return a; }
  LAMINA_HD friend constexpr Wrapping ceil(Wrapping a) { return a; }
  LAMINA_HD friend constexpr Wrapping round(Wrapping a) { return a; }
  LAMINA_HD friend constexpr Wrapping trunc(Wrapping a) { return a; }
  // Towards zero for / and fmod, down for floor_divide and remainder. Ops refuse a divisor of 0;
  // here it gives 0, like the least integer over -1 what wraps.
  LAMINA_HD friend constexpr Wrapping operator/(Wrapping a, Wrapping b) {
    if (b.value == T(0)) return b;
    if (std::is_signed_v<T> && b == -Wrapping(T(1))) return -a;
    return Wrapping(static_cast<T>(a.value / b.value));
  }
  LAMINA_HD friend constexpr Wrapping fmod(Wrapping a, Wrapping b) { return a - a / b * b; }
  LAMINA_HD friend constexpr Wrapping remainder(Wrapping a, Wrapping b) {
    const Wrapping m = fmod(a, b);
    const bool other_side = (m < Wrapping(T(0))) != (b < Wrapping(T(0)));
    return m.value != T(0) && other_side ? m + b : m;
  }
  LAMINA_HD friend constexpr Wrapping floor_divide(Wrapping a, Wrapping b) {
    return (a - remainder(a, b)) / b;
  }

  LAMINA_HD friend constexpr Wrapping operator&(Wrapping a, Wrapping b) {
    return from(a.wide() & b.wide());
  }
  LAMINA_HD friend constexpr Wrapping operator|(Wrapping a, Wrapping b) {
    return from(a.wide() | b.wide());
  }
  LAMINA_HD friend constexpr Wrapping operator^(Wrapping a, Wrapping b) {
    return from(a.wide() ^ b.wide());
  }
  // A count outside the type's width shifts every bit out, as PyTorch says.
  LAMINA_HD friend constexpr Wrapping operator<<(Wrapping a, Wrapping n) {
    return n.wide() < 8 * sizeof(T) ? from(a.wide() << n.wide()) : Wrapping(T(0));
  }
  LAMINA_HD friend constexpr Wrapping operator>>(Wrapping a, Wrapping n) {
    const Wide last = 8 * sizeof(T) - 1;
    return Wrapping(static_cast<T>(a.value >> (n.wide() < last ? n.wide() : last)));
  }
  // By squaring. A negative exponent gives the integer part of the reciprocal, and 0 for a base of
  // 0, as PyTorch's does.
  LAMINA_HD friend constexpr Wrapping pow(Wrapping a, Wrapping n) {
    const Wrapping one(T(1));
    if (n < Wrapping(T(0))) {
      if (a == one) return one;
      if (a == -one) return (n.wide() & 1) != 0 ? a : one;
      return Wrapping(T(0));
    }
    Wrapping out = one;
    for (Wide left = n.wide(); left != 0; left >>= 1) {
      if ((left & 1) != 0) out = out * a;
      a = a * a;
    }
    return out;
  }
};

}  // namespace lamina
