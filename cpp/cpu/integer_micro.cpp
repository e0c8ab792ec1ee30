#include "cpu/integer_micro.h"

#include <type_traits>

#include "cpu/convert.h"
#include "wrapping.h"

namespace lamina::cpu {
namespace {

template <class T>
Wrapping<T> load(const T* p) {
  return Wrapping<T>(read<T>(p));
}

template <class T, class Row>
void unary_loop(int64_t n, T* out, const T* x, T a_, T b_) {
  const Wrapping<T> a(a_), b(b_);
  for (int64_t i = 0; i < n; ++i) out[i] = Row::forward(load(x + i), a, b).value;
}

template <class T, class Row>
void ternary_loop(int64_t n, T* out, const T* x, const T* y, const T* z, T a, unsigned scalars) {
  const int64_t dx = (scalars & kXScalar) != 0 ? 0 : 1;
  const int64_t dy = (scalars & kYScalar) != 0 ? 0 : 1;
  const int64_t dz = (scalars & kZScalar) != 0 ? 0 : 1;
  for (int64_t i = 0; i < n; ++i)
    out[i] =
        Row::forward(load(x + dx * i), load(y + dy * i), load(z + dz * i), Wrapping<T>(a)).value;
}

template <class T>
T plain(Wrapping<T> v) {
  return v.value;
}
bool plain(bool v) { return v; }

template <class T, class Row, class Out>
void zip_loop(int64_t n, Out* out, const T* x, const T* y, unsigned scalars) {
  if (n <= 0) return;
  if (scalars == kNoScalar) {
    for (int64_t i = 0; i < n; ++i) out[i] = plain(Row::forward(load(x + i), load(y + i)));
  } else if (scalars == kXScalar) {
    const Wrapping<T> xs = load(x);
    for (int64_t i = 0; i < n; ++i) out[i] = plain(Row::forward(xs, load(y + i)));
  } else if (scalars == kYScalar) {
    const Wrapping<T> ys = load(y);
    for (int64_t i = 0; i < n; ++i) out[i] = plain(Row::forward(load(x + i), ys));
  } else {
    const Out value = plain(Row::forward(load(x), load(y)));
    for (int64_t i = 0; i < n; ++i) out[i] = value;
  }
}

template <class T>
constexpr PointwiseMicro<T> make_pointwise() {
  PointwiseMicro<T> m{};
#define LAMINA_ROW(name, rule, ...)       \
  if constexpr (has_integers(Rule::rule)) \
    m.unary[static_cast<int>(UnaryOp::name)] = unary_loop<T, rows::name##_row>;
  LAMINA_UNARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
#define LAMINA_ROW(name, rule, ...)       \
  if constexpr (has_integers(Rule::rule)) \
    m.binary[static_cast<int>(BinaryOp::name)] = zip_loop<T, rows::name##_row, T>;
  LAMINA_BINARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
#define LAMINA_ROW(name, rule, ...)       \
  if constexpr (has_integers(Rule::rule)) \
    m.ternary[static_cast<int>(TernaryOp::name)] = ternary_loop<T, rows::name##_row>;
  LAMINA_TERNARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
#define LAMINA_ROW(name, ...) \
  m.compare[static_cast<int>(CompareOp::name)] = zip_loop<T, rows::name##_row, bool>;
  LAMINA_COMPARE_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
  return m;
}

template <class T, class Row>
T fold(int64_t n, const T* x, Wrapping<T> value) {
  for (int64_t i = 0; i < n; ++i) value = Row::forward(value, load(x + i));
  return value.value;
}

template <class T>
T sum(int64_t n, const T* x) {
  return fold<T, rows::add_row>(n, x, Wrapping<T>(T(0)));
}
template <class T>
T prod(int64_t n, const T* x) {
  return fold<T, rows::mul_row>(n, x, Wrapping<T>(T(1)));
}
template <class T, class Row>
T extreme(int64_t n, const T* x) {
  return fold<T, Row>(n, x, load(x));
}
template <class T, class Row>
void accumulate(int64_t n, T* acc, const T* x) {
  zip_loop<T, Row, T>(n, acc, acc, x, kNoScalar);
}

template <class T>
constexpr ReduceMicro<T> make_reduce() {
  ReduceMicro<T> m{};
  m.sum = sum<T>;
  m.prod = prod<T>;
  m.max = extreme<T, rows::maximum_row>;
  m.min = extreme<T, rows::minimum_row>;
  m.add = accumulate<T, rows::add_row>;
  m.multiply = accumulate<T, rows::mul_row>;
  m.maximum = accumulate<T, rows::maximum_row>;
  m.minimum = accumulate<T, rows::minimum_row>;
  return m;
}

template <class T>
constexpr PointwiseMicro<T> kPointwise = make_pointwise<T>();
template <class T>
constexpr ReduceMicro<T> kReduce = make_reduce<T>();

}  // namespace

#define LAMINA_INSTANTIATE(T)                    \
  template <>                                    \
  const PointwiseMicro<T>& integer_pointwise() { \
    return kPointwise<T>;                        \
  }                                              \
  template <>                                    \
  const ReduceMicro<T>& integer_reduce() {       \
    return kReduce<T>;                           \
  }
LAMINA_INSTANTIATE(bool)
LAMINA_INSTANTIATE(uint8_t)
LAMINA_INSTANTIATE(int32_t)
LAMINA_INSTANTIATE(int64_t)
#undef LAMINA_INSTANTIATE

}  // namespace lamina::cpu
