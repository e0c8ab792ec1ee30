// Reduction micro kernels. The order of every sum is a function of n alone: four vectors of partial
// sums within a block of kReduceBlock elements, blocks pairwise.

#include "cpu/micro.h"
#include "cpu/simd.h"
#include "cpu/simd_loop.h"

namespace lamina::LAMINA_ISA_NAMESPACE {
namespace {

constexpr int64_t kReduceBlock = 1024;

// What an element is folded with: the identity, two vectors into one, and the lanes of one.
struct Sum {
  template <class T>
  static constexpr T kIdentity = 0;
  template <class V>
  LAMINA_SIMD static V apply(V a, V b) {
    return a + b;
  }
  template <class T>
  LAMINA_SIMD static T lanes(Vec<T> v) {
    return reduce_add(v);
  }
};
struct Product {
  template <class T>
  static constexpr T kIdentity = 1;
  template <class V>
  LAMINA_SIMD static V apply(V a, V b) {
    return a * b;
  }
  template <class T>
  LAMINA_SIMD static T lanes(Vec<T> v) {
    T lane[Vec<T>::kLanes];
    v.store(lane);
    T out = lane[0];
    for (int i = 1; i < Vec<T>::kLanes; ++i) out *= lane[i];
    return out;
  }
};
struct Maximum {
  template <class T>
  static constexpr T kIdentity = -FloatTraits<T>::kInfinity;
  template <class V>
  LAMINA_SIMD static V apply(V a, V b) {
    return maximum(a, b);
  }
  template <class T>
  LAMINA_SIMD static T lanes(Vec<T> v) {
    return reduce_max(v);
  }
};
struct Minimum {
  template <class T>
  static constexpr T kIdentity = FloatTraits<T>::kInfinity;
  template <class V>
  LAMINA_SIMD static V apply(V a, V b) {
    return minimum(a, b);
  }
  template <class T>
  LAMINA_SIMD static T lanes(Vec<T> v) {
    return reduce_min(v);
  }
};

template <class T, class Op>
[[gnu::flatten]] T fold_block(int64_t n, const T* x) {
  using V = Vec<T>;
  constexpr int64_t kW = V::kLanes;
  const V start(Op::template kIdentity<T>);
  V acc0 = start, acc1 = start, acc2 = start, acc3 = start;
  int64_t i = 0;
  for (; i + 4 * kW <= n; i += 4 * kW) {
    acc0 = Op::apply(acc0, V::load(x + i));
    acc1 = Op::apply(acc1, V::load(x + i + kW));
    acc2 = Op::apply(acc2, V::load(x + i + 2 * kW));
    acc3 = Op::apply(acc3, V::load(x + i + 3 * kW));
  }
  for (; i + kW <= n; i += kW) acc0 = Op::apply(acc0, V::load(x + i));
  if (const int rest = static_cast<int>(n - i); rest > 0) {
    acc1 = Op::apply(acc1, SomeLanes<T>{rest}.load_or(x + i, start));
  }
  return Op::lanes(Op::apply(Op::apply(acc0, acc1), Op::apply(acc2, acc3)));
}

// Blocks pairwise, so that rounding errors grow with the logarithm of n. (The others do not need
// it: max and min do not round, and a product's errors are relative.)
template <class T>
T sum(int64_t n, const T* x) {
  if (n <= kReduceBlock) return fold_block<T, Sum>(n, x);
  const int64_t blocks = (n + kReduceBlock - 1) / kReduceBlock;
  const int64_t half = blocks / 2 * kReduceBlock;
  return sum(half, x) + sum(n - half, x + half);
}

template <class T, class Row>
[[gnu::flatten]] void accumulate(int64_t n, T* acc, const T* x) {
  for_vectors<T>(n, [&](int64_t i, auto lanes) {
    lanes.store(acc + i, Row::forward(lanes.load(acc + i), lanes.load(x + i)));
  });
}

template <class T>
constexpr ReduceMicro<T> make_reduce() {
  ReduceMicro<T> m{};
  m.sum = sum<T>;
  m.prod = fold_block<T, Product>;
  m.max = fold_block<T, Maximum>;
  m.min = fold_block<T, Minimum>;
  m.add = accumulate<T, rows::add_row>;
  m.multiply = accumulate<T, rows::mul_row>;
  m.maximum = accumulate<T, rows::maximum_row>;
  m.minimum = accumulate<T, rows::minimum_row>;
  return m;
}

}  // namespace

LAMINA_MICRO(ReduceMicro, reduce);

}  // namespace lamina::LAMINA_ISA_NAMESPACE
