// The rows of pointwise.h one element at a time, in double.

#include "cpu/micro.h"

namespace lamina::cpu::ref {
namespace {

template <class T, class Row>
void unary(int64_t n, T* out, const T* x, T a, T b) {
  for (int64_t i = 0; i < n; ++i) out[i] = T(Row::forward(double(x[i]), double(a), double(b)));
}

template <class T, class Row>
void unary_backward(int64_t n, T* dx, const T* g, const T* saved, T a, T b) {
  for (int64_t i = 0; i < n; ++i)
    dx[i] = T(Row::backward(double(g[i]), double(saved[i]), double(a), double(b)));
}

template <class T, class Row, class Out>
void zip(int64_t n, Out* out, const T* x, const T* y, unsigned scalars) {
  for (int64_t i = 0; i < n; ++i) {
    const T& left = x[(scalars & kXScalar) != 0 ? 0 : i];
    const T& right = y[(scalars & kYScalar) != 0 ? 0 : i];
    out[i] = Out(Row::forward(double(left), double(right)));
  }
}

template <class T, class Row>
void ternary(int64_t n, T* out, const T* x, const T* y, const T* z, T a, unsigned scalars) {
  for (int64_t i = 0; i < n; ++i)
    out[i] = T(Row::forward(double(x[(scalars & kXScalar) != 0 ? 0 : i]),
                            double(y[(scalars & kYScalar) != 0 ? 0 : i]),
                            double(z[(scalars & kZScalar) != 0 ? 0 : i]), double(a)));
}

template <class T>
constexpr PointwiseMicro<T> make_pointwise() {
  PointwiseMicro<T> m{};
#define LAMINA_ROW(name, ...)                                            \
  m.unary[static_cast<int>(UnaryOp::name)] = unary<T, rows::name##_row>; \
  m.unary_backward[static_cast<int>(UnaryOp::name)] = unary_backward<T, rows::name##_row>;
  LAMINA_UNARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
#define LAMINA_ROW(name, ...) \
  m.binary[static_cast<int>(BinaryOp::name)] = zip<T, rows::name##_row, T>;
  LAMINA_REAL_BINARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
#define LAMINA_ROW(name, ...) \
  m.ternary[static_cast<int>(TernaryOp::name)] = ternary<T, rows::name##_row>;
  LAMINA_TERNARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
#define LAMINA_ROW(name, ...) \
  m.compare[static_cast<int>(CompareOp::name)] = zip<T, rows::name##_row, bool>;
  LAMINA_COMPARE_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
  return m;
}

}  // namespace

LAMINA_MICRO(PointwiseMicro, pointwise);

}  // namespace lamina::cpu::ref
