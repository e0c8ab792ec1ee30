// Every function of cpu/simd.h as a loop over arrays, for one instruction set. A translation unit
// defines LAMINA_ISA_NAMESPACE, SIMD_ISA_NAME and SIMD_TABLE_NAME, is compiled with that set's
// flags, and includes this. The unnamed namespace keeps what is compiled here out of the other
// instruction sets' reach.
#include "cpu/simd.h"
#include "simd_expression.h"
#include "ulp.h"

namespace lamina::LAMINA_ISA_NAMESPACE {
namespace {

#define SIMD_UNARY(name)                                                          \
  template <class T>                                                              \
  void run_##name(int64_t n, const T* x, T* y) {                                  \
    using V = Vec<T>;                                                             \
    int64_t i = 0;                                                                \
    for (; i + V::kLanes <= n; i += V::kLanes) name(V::load(x + i)).store(y + i); \
    if (i < n) name(V::load(x + i, int(n - i))).store(y + i, int(n - i));         \
  }
#define SIMD_BINARY(name)                                                           \
  template <class T>                                                                \
  void run_##name(int64_t n, const T* x, const T* y, T* z) {                        \
    using V = Vec<T>;                                                               \
    int64_t i = 0;                                                                  \
    for (; i + V::kLanes <= n; i += V::kLanes) {                                    \
      name(V::load(x + i), V::load(y + i)).store(z + i);                            \
    }                                                                               \
    const int rest = int(n - i);                                                    \
    if (i < n) name(V::load(x + i, rest), V::load(y + i, rest)).store(z + i, rest); \
  }

// clang-format off
#define SIMD_UNARY_LIST(ROW) \
  ROW(exp) ROW(exp2) ROW(expm1) ROW(log) ROW(log2) ROW(log10) ROW(log1p) ROW(tanh) \
  ROW(sigmoid) ROW(softplus) ROW(erf) ROW(erfc) ROW(erfinv) ROW(normal_cdf) ROW(gelu) \
  ROW(gelu_grad) ROW(gelu_tanh) ROW(gelu_tanh_grad) ROW(sin) ROW(cos) ROW(tan) ROW(asin) \
  ROW(acos) ROW(atan) ROW(sinh) ROW(cosh) ROW(asinh) ROW(acosh) ROW(atanh) ROW(sqrt) \
  ROW(floor) ROW(ceil) ROW(trunc) ROW(round) ROW(abs) ROW(sign) ROW(negate)
#define SIMD_BINARY_LIST(ROW) \
  ROW(pow) ROW(atan2) ROW(fmod) ROW(hypot) ROW(max) ROW(min) ROW(maximum) ROW(minimum) \
  ROW(copysign) ROW(add) ROW(subtract) ROW(multiply) ROW(divide) ROW(expression)
// clang-format on

using test::expression;

template <class V>
V negate(V x) {
  return -x;
}
template <class V>
V add(V x, V y) {
  return x + y;
}
template <class V>
V subtract(V x, V y) {
  return x - y;
}
template <class V>
V multiply(V x, V y) {
  return x * y;
}
template <class V>
V divide(V x, V y) {
  return x / y;
}

SIMD_UNARY_LIST(SIMD_UNARY)
SIMD_BINARY_LIST(SIMD_BINARY)

#define SIMD_ENTRY(name) {#name, run_##name<T>},
template <class T>
constexpr test::SimdUnary<T> kUnary[] = {SIMD_UNARY_LIST(SIMD_ENTRY)};
template <class T>
constexpr test::SimdBinary<T> kBinary[] = {SIMD_BINARY_LIST(SIMD_ENTRY)};

template <class T>
void masks(int n, const T* x, const T* y, uint8_t* mask, T* z) {
  using V = Vec<T>;
  const V a = V::load(x, n), b = V::load(y, n);
  const Mask<T> less = (a <= b) & !(a == b);
  less.store(mask, n);
  const Mask<T> reloaded = Mask<T>::load(mask, n);
  select(reloaded | (less & reloaded), a, b).store(z, n);
}

template <class T>
test::SimdFunctions<T> functions() {
  using V = Vec<T>;
  return {V::kLanes,
          kUnary<T>,
          sizeof kUnary<T> / sizeof kUnary<T>[0],
          kBinary<T>,
          sizeof kBinary<T> / sizeof kBinary<T>[0],
          [](const T* x) { return reduce_add(V::load(x)); },
          [](const T* x) { return reduce_max(V::load(x)); },
          [](const T* x) { return reduce_min(V::load(x)); },
          masks<T>};
}

}  // namespace
}  // namespace lamina::LAMINA_ISA_NAMESPACE

namespace lamina::test {

SimdTable SIMD_TABLE_NAME() {
  return {SIMD_ISA_NAME, LAMINA_ISA_NAMESPACE::functions<float>(),
          LAMINA_ISA_NAMESPACE::functions<double>()};
}

}  // namespace lamina::test
