// Pointwise micro kernels: one loop each for unary, unary backward, binary and compare,
// instantiated with the rows of pointwise.h.

#include "cpu/micro.h"
#include "cpu/simd.h"

namespace lamina::LAMINA_ISA_NAMESPACE {
namespace {

// flatten: a row too long for the inliner's taste would otherwise become a call for each vector.
template <class T, class Row>
[[gnu::flatten]] void unary_loop(int64_t n, T* out, const T* x, T a, T b) {
  using V = Vec<T>;
  const V va(a);
  const V vb(b);
  int64_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) Row::forward(V::load(x + i), va, vb).store(out + i);
  if (const int rest = static_cast<int>(n - i); rest > 0)
    Row::forward(V::load(x + i, rest), va, vb).store(out + i, rest);
}

template <class T, class Row>
[[gnu::flatten]] void unary_backward_loop(int64_t n, T* dx, const T* g, const T* saved, T a, T b) {
  using V = Vec<T>;
  const V va(a);
  const V vb(b);
  int64_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes)
    Row::backward(V::load(g + i), V::load(saved + i), va, vb).store(dx + i);
  if (const int rest = static_cast<int>(n - i); rest > 0)
    Row::backward(V::load(g + i, rest), V::load(saved + i, rest), va, vb).store(dx + i, rest);
}

// An input of a binary block: a run of values, or one for the whole block.
template <class T, bool kScalar>
struct Operand {
  const T* p;
  Vec<T> value;

  LAMINA_SIMD explicit Operand(const T* from) : p(from) {
    if constexpr (kScalar) value = Vec<T>(*from);
  }
  LAMINA_SIMD Vec<T> at(int64_t i) const {
    if constexpr (kScalar)
      return value;
    else
      return Vec<T>::load(p + i);
  }
  LAMINA_SIMD Vec<T> at(int64_t i, int n) const {
    if constexpr (kScalar)
      return value;
    else
      return Vec<T>::load(p + i, n);
  }
};

LAMINA_SIMD void put(float* out, Vec<float> v) { v.store(out); }
LAMINA_SIMD void put(float* out, Vec<float> v, int n) { v.store(out, n); }
LAMINA_SIMD void put(double* out, Vec<double> v) { v.store(out); }
LAMINA_SIMD void put(double* out, Vec<double> v, int n) { v.store(out, n); }
template <class T>
LAMINA_SIMD void put(bool* out, Mask<T> m) {
  m.store(reinterpret_cast<uint8_t*>(out));
}
template <class T>
LAMINA_SIMD void put(bool* out, Mask<T> m, int n) {
  m.store(reinterpret_cast<uint8_t*>(out), n);
}

template <class T, class Row, class Out, bool kX, bool kY>
[[gnu::flatten]] void zip_loop(int64_t n, Out* out, const T* x, const T* y) {
  using V = Vec<T>;
  const Operand<T, kX> xs(x);
  const Operand<T, kY> ys(y);
  int64_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) put(out + i, Row::forward(xs.at(i), ys.at(i)));
  if (const int rest = static_cast<int>(n - i); rest > 0)
    put(out + i, Row::forward(xs.at(i, rest), ys.at(i, rest)), rest);
}

// The same for any operands: one that is a single value is written out as a vector, and read again
// and again. For rows whose arithmetic hides the load, and whose code would be large four times.
template <class T>
struct Run {
  const T* p;
  int64_t step;
  T values[Vec<T>::kLanes];

  LAMINA_SIMD Run(const T* from, bool scalar) : p(scalar ? values : from), step(scalar ? 0 : 1) {
    if (scalar) Vec<T>(*from).store(values);
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;
  LAMINA_SIMD Vec<T> at(int64_t i) const { return Vec<T>::load(p + step * i); }
  LAMINA_SIMD Vec<T> at(int64_t i, int n) const { return Vec<T>::load(p + step * i, n); }
};

template <class T, class Row>
[[gnu::flatten]] void heavy_zip(int64_t n, T* out, const T* x, const T* y, unsigned scalars) {
  if (n <= 0) return;
  constexpr int kLanes = Vec<T>::kLanes;
  const Run<T> xs(x, (scalars & kXScalar) != 0);
  const Run<T> ys(y, (scalars & kYScalar) != 0);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Row::forward(xs.at(i), ys.at(i)).store(out + i);
  if (const int rest = static_cast<int>(n - i); rest > 0)
    Row::forward(xs.at(i, rest), ys.at(i, rest)).store(out + i, rest);
}

// Row::forward(x, y) into T for binary rows, into bool for comparisons.
template <class T, class Row, class Out>
void zip(int64_t n, Out* out, const T* x, const T* y, unsigned scalars) {
  if (n <= 0) return;
  switch (scalars) {
    case kNoScalar: return zip_loop<T, Row, Out, false, false>(n, out, x, y);
    case kXScalar: return zip_loop<T, Row, Out, true, false>(n, out, x, y);
    case kYScalar: return zip_loop<T, Row, Out, false, true>(n, out, x, y);
    default: return zip_loop<T, Row, Out, true, true>(n, out, x, y);
  }
}

template <class T, class Row>
[[gnu::flatten]] void ternary_loop(int64_t n, T* out, const T* x, const T* y, const T* z, T a,
                                   unsigned scalars) {
  if (n <= 0) return;
  constexpr int kLanes = Vec<T>::kLanes;
  const Vec<T> va(a);
  const Run<T> xs(x, (scalars & kXScalar) != 0);
  const Run<T> ys(y, (scalars & kYScalar) != 0);
  const Run<T> zs(z, (scalars & kZScalar) != 0);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    Row::forward(xs.at(i), ys.at(i), zs.at(i), va).store(out + i);
  if (const int rest = static_cast<int>(n - i); rest > 0)
    Row::forward(xs.at(i, rest), ys.at(i, rest), zs.at(i, rest), va).store(out + i, rest);
}

template <class T>
constexpr PointwiseMicro<T> make_pointwise() {
  PointwiseMicro<T> m{};
#define LAMINA_ROW(name, ...)                                                 \
  m.unary[static_cast<int>(UnaryOp::name)] = unary_loop<T, rows::name##_row>; \
  m.unary_backward[static_cast<int>(UnaryOp::name)] = unary_backward_loop<T, rows::name##_row>;
  LAMINA_UNARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
#define LAMINA_ROW(name, ...)                                                    \
  if constexpr (is_heavy(BinaryOp::name))                                        \
    m.binary[static_cast<int>(BinaryOp::name)] = heavy_zip<T, rows::name##_row>; \
  else                                                                           \
    m.binary[static_cast<int>(BinaryOp::name)] = zip<T, rows::name##_row, T>;
  LAMINA_REAL_BINARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
#define LAMINA_ROW(name, ...) \
  m.ternary[static_cast<int>(TernaryOp::name)] = ternary_loop<T, rows::name##_row>;
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

}  // namespace lamina::LAMINA_ISA_NAMESPACE
