// The rows of pointwise.h on CUDA. One kernel a compute dtype holds every row and picks one by a
// branch that all threads take alike: rows are cheap beside the memory they read, and one kernel a
// row, dtype and layout would make hundreds for each architecture.
#include "pointwise.h"

#include "elementwise.cuh"
#include "entries.h"
#include "wrapping.h"

namespace lamina::cuda {
namespace {

// Integers have only the rows whose rule keeps them integers, and bits are theirs alone.
template <class T, Rule kRule>
constexpr bool kHas = std::is_floating_point_v<T> ? has_floats(kRule) : has_integers(kRule);

// What the rows take for T: plain floats, and integers that wrap.
template <class T>
using Value = std::conditional_t<std::is_integral_v<T>, Wrapping<int64_t>, T>;
LAMINA_DEVICE float plain(float v) { return v; }
LAMINA_DEVICE double plain(double v) { return v; }
LAMINA_DEVICE int64_t plain(Wrapping<int64_t> v) { return v.value; }

template <class T>
struct UnaryForward {
  T a, b;
  template <class Row>
  LAMINA_DEVICE T apply(const T (&in)[1]) const {
    using V = Value<T>;
    return plain(Row::template forward<V>(V(in[0]), V(a), V(b)));
  }
};

template <class T>
struct UnaryBackward {
  T a, b;
  template <class Row>
  LAMINA_DEVICE T apply(const T (&in)[2]) const {
    return Row::template backward<T>(in[0], in[1], a, b);
  }
};

template <class T>
struct TernaryForward {
  T a;
  template <class Row>
  LAMINA_DEVICE T apply(const T (&in)[3]) const {
    using V = Value<T>;
    return plain(Row::template forward<V>(V(in[0]), V(in[1]), V(in[2]), V(a)));
  }
};

struct BinaryForward {
  template <class Row, class T>
  LAMINA_DEVICE T apply(const T (&in)[2]) const {
    using V = Value<T>;
    return plain(Row::template forward<V>(V(in[0]), V(in[1])));
  }
};

// The two loops over rows: the packs of one row, and one element of a row that is picked inside the
// strided loop, where the branch costs nothing beside the index math.
#define LAMINA_PACK_CASE(Op, name, rule)                                              \
  case Op::name:                                                                      \
    if constexpr (kHas<T, Rule::rule>)                                                \
      return flat_packs<T, T, N>(                                                     \
          e, [f](const auto& in) { return f.template apply<rows::name##_row>(in); }); \
    break;
#define LAMINA_ELEMENT_CASE(Op, name, rule)                                           \
  case Op::name:                                                                      \
    if constexpr (kHas<T, Rule::rule>) return f.template apply<rows::name##_row>(in); \
    break;

template <class T, int N, class F>
LAMINA_DEVICE uint64_t packs(UnaryOp op, const Elementwise<N>& e, F f) {
  switch (op) {
#define LAMINA_ROW(name, rule, ...) LAMINA_PACK_CASE(UnaryOp, name, rule)
    LAMINA_UNARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
    default: break;
  }
  return 0;
}
template <class T, int N, class F>
LAMINA_DEVICE uint64_t packs(BinaryOp op, const Elementwise<N>& e, F f) {
  switch (op) {
#define LAMINA_ROW(name, rule, ...) LAMINA_PACK_CASE(BinaryOp, name, rule)
    LAMINA_BINARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
    default: break;
  }
  return 0;
}
template <class T, int N, class F>
LAMINA_DEVICE uint64_t packs(TernaryOp op, const Elementwise<N>& e, F f) {
  switch (op) {
#define LAMINA_ROW(name, rule, ...) LAMINA_PACK_CASE(TernaryOp, name, rule)
    LAMINA_TERNARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
    default: break;
  }
  return 0;
}
template <class T, int M, class F>
LAMINA_DEVICE T element(UnaryOp op, F f, const T (&in)[M]) {
  switch (op) {
#define LAMINA_ROW(name, rule, ...) LAMINA_ELEMENT_CASE(UnaryOp, name, rule)
    LAMINA_UNARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
    default: break;
  }
  return T(0);
}
template <class T, int M, class F>
LAMINA_DEVICE T element(BinaryOp op, F f, const T (&in)[M]) {
  switch (op) {
#define LAMINA_ROW(name, rule, ...) LAMINA_ELEMENT_CASE(BinaryOp, name, rule)
    LAMINA_BINARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
    default: break;
  }
  return T(0);
}
template <class T, int M, class F>
LAMINA_DEVICE T element(TernaryOp op, F f, const T (&in)[M]) {
  switch (op) {
#define LAMINA_ROW(name, rule, ...) LAMINA_ELEMENT_CASE(TernaryOp, name, rule)
    LAMINA_TERNARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
    default: break;
  }
  return T(0);
}
#undef LAMINA_PACK_CASE
#undef LAMINA_ELEMENT_CASE

template <class T, class Op, int N, class F>
__global__ void __launch_bounds__(kPointwiseThreads) rows_kernel(Elementwise<N> e, Op op, F f) {
  const uint64_t done = e.flat ? packs<T>(op, e, f) : 0;
  strided_elements<T>(e, done, [op, f](const T(&in)[N - 1]) { return element<T>(op, f, in); });
}

template <class T>
LAMINA_DEVICE bool compared(CompareOp op, T x, T y) {
  switch (op) {
#define LAMINA_ROW(name, ...) \
  case CompareOp::name: return rows::name##_row::forward(x, y);
    LAMINA_COMPARE_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
    default: return false;
  }
}

template <class T>
__global__ void __launch_bounds__(kPointwiseThreads)
    compare_kernel(Elementwise<3> e, CompareOp op) {
  const auto f = [op](const T(&in)[2]) { return compared<T>(op, in[0], in[1]); };
  const uint64_t done = e.flat ? flat_packs<T, bool>(e, f) : 0;
  strided_elements<T>(e, done, f);
}

// Operands: dst, x, y, cond.
template <class T>
__global__ void __launch_bounds__(kPointwiseThreads) where_kernel(Elementwise<4> e) {
  for (uint64_t i = grid_index(); i < e.at.numel; i += grid_size()) {
    int64_t offsets[4];
    e.at.offsets(i, offsets);
    const int k = e.at.data[3][offsets[3]] != 0 ? 1 : 2;
    const char* from = k == 1 ? e.at.data[1] + offsets[1] : e.at.data[2] + offsets[2];
    store_from<T>(e.at.data[0] + offsets[0], e.dtypes[0],
                  load_as<T>(from, k == 1 ? e.dtypes[1] : e.dtypes[2]));
  }
}

void check_has(const RowInfo& row, DType dtype) {
  check<TypeError>(has_integers(row.rule) || is_floating(dtype), row.name,
                   ": needs a floating dtype (float32 or float64), got ", dtype);
  check<TypeError>(has_floats(row.rule) || !is_floating(dtype), row.name,
                   ": needs an integer dtype, got ", dtype);
}

}  // namespace

void unary(Ctx& ctx, UnaryOp op, const TensorRef& dst, const TensorRef& x, Params params) {
  const RowInfo& row = info(op);
  check_has(row, dst.dtype);
  const Call call(row.name, ctx);
  const Iter it(row.name, {dst, x});
  dispatch_compute(row.name, dst.dtype, [&]<class T>() {
    const UnaryForward<T> f{static_cast<T>(params.a), static_cast<T>(params.b)};
    launch_elementwise<T>(call, rows_kernel<T, UnaryOp, 2, UnaryForward<T>>,
                          Elementwise<2>::make<T>(it), op, f);
  });
}

void unary_backward(Ctx& ctx, UnaryOp op, const TensorRef& dx, const TensorRef& g,
                    const TensorRef& saved, Params params) {
  const RowInfo& row = info(op);
  const Call call(row.name, ctx);
  const Iter it(row.name, {dx, g, saved});
  dispatch_floating(row.name, dx.dtype, [&]<class T>() {
    const UnaryBackward<T> f{static_cast<T>(params.a), static_cast<T>(params.b)};
    launch_elementwise<T>(call, rows_kernel<T, UnaryOp, 3, UnaryBackward<T>>,
                          Elementwise<3>::make<T>(it), op, f);
  });
}

void binary(Ctx& ctx, BinaryOp op, const TensorRef& dst, const TensorRef& x, const TensorRef& y) {
  const RowInfo& row = info(op);
  check_has(row, dst.dtype);
  const Call call(row.name, ctx);
  const Iter it(row.name, {dst, x, y});
  dispatch_compute(row.name, dst.dtype, [&]<class T>() {
    launch_elementwise<T>(call, rows_kernel<T, BinaryOp, 3, BinaryForward>,
                          Elementwise<3>::make<T>(it), op, BinaryForward{});
  });
}

void ternary(Ctx& ctx, TernaryOp op, const TensorRef& dst, const TensorRef& x, const TensorRef& y,
             const TensorRef& z, Params params) {
  const RowInfo& row = info(op);
  check_has(row, dst.dtype);
  const Call call(row.name, ctx);
  const Iter it(row.name, {dst, x, y, z});
  dispatch_compute(row.name, dst.dtype, [&]<class T>() {
    const TernaryForward<T> f{static_cast<T>(params.a)};
    launch_elementwise<T>(call, rows_kernel<T, TernaryOp, 4, TernaryForward<T>>,
                          Elementwise<4>::make<T>(it), op, f);
  });
}

void compare(Ctx& ctx, CompareOp op, const TensorRef& dst, const TensorRef& x, const TensorRef& y,
             DType compute) {
  const Call call(name_of(op), ctx);
  const Iter it(call.op(), {dst, x, y});
  dispatch_compute(call.op(), compute, [&]<class T>() {
    launch_elementwise<T>(call, compare_kernel<T>, Elementwise<3>::make<T, bool>(it), op);
  });
}

void where(Ctx& ctx, const TensorRef& dst, const TensorRef& cond, const TensorRef& x,
           const TensorRef& y) {
  const Call call("where", ctx);
  const Iter it(call.op(), {dst, x, y, cond});
  dispatch_compute(call.op(), dst.dtype, [&]<class T>() {
    auto e = Elementwise<4>::make<T>(it);
    e.flat = false;
    launch_elementwise<T>(call, where_kernel<T>, e);
  });
}

}  // namespace lamina::cuda
