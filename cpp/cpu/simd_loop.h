// Walking a run of numbers by vectors: whole ones, then one partial. Include after cpu/simd.h.
#pragma once

#include "cpu/simd.h"

namespace lamina::LAMINA_ISA_NAMESPACE {
namespace {

template <class T>
struct LaneNumbers {
  static constexpr T kValues[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
};

// How a loop body reads and writes a whole vector, and a partial one.
template <class T>
struct AllLanes {
  using V = Vec<T>;
  LAMINA_SIMD V load(const T* p) const { return V::load(p); }
  LAMINA_SIMD V load_or(const T* p, V) const { return V::load(p); }
  LAMINA_SIMD void store(T* p, V v) const { v.store(p); }
  LAMINA_SIMD V keep(V v) const { return v; }
  LAMINA_SIMD int count() const { return V::kLanes; }
};
template <class T>
struct SomeLanes {
  using V = Vec<T>;
  int n;
  LAMINA_SIMD Mask<T> mask() const { return V::load(LaneNumbers<T>::kValues) < V(n); }
  LAMINA_SIMD V load(const T* p) const { return V::load(p, n); }
  // `other` in the lanes that are not there
  LAMINA_SIMD V load_or(const T* p, V other) const { return select(mask(), load(p), other); }
  LAMINA_SIMD void store(T* p, V v) const { v.store(p, n); }
  // 0 in the lanes that are not there
  LAMINA_SIMD V keep(V v) const { return select(mask(), v, V(T(0))); }
  LAMINA_SIMD int count() const { return n; }
};

// f(i, lanes) for each vector of [0, n).
template <class T, class F>
LAMINA_SIMD void for_vectors(int64_t n, F f) {
  constexpr int kLanes = Vec<T>::kLanes;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) f(i, AllLanes<T>{});
  if (i < n) f(i, SomeLanes<T>{static_cast<int>(n - i)});
}

// The same two vectors at a time, k being 0 or 1: for sums, whose additions would otherwise wait
// for each other. f(i, k, lanes).
template <class T, class F>
LAMINA_SIMD void for_vector_pairs(int64_t n, F f) {
  constexpr int kLanes = Vec<T>::kLanes;
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    f(i, 0, AllLanes<T>{});
    f(i + kLanes, 1, AllLanes<T>{});
  }
  if (i + kLanes <= n) {
    f(i, 0, AllLanes<T>{});
    i += kLanes;
  }
  if (i < n) f(i, 1, SomeLanes<T>{static_cast<int>(n - i)});
}

template <int kValue>
struct Count {
  static constexpr int value = kValue;
};

// The same four vectors at a time, then one: for columns of a matrix, so that a row is read in runs
// longer than a cache line. f(i, count, lanes).
template <class T, class F>
LAMINA_SIMD void for_vector_groups(int64_t n, F f) {
  constexpr int kLanes = Vec<T>::kLanes;
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) f(i, Count<4>{}, AllLanes<T>{});
  for (; i + kLanes <= n; i += kLanes) f(i, Count<1>{}, AllLanes<T>{});
  if (i < n) f(i, Count<1>{}, SomeLanes<T>{static_cast<int>(n - i)});
}

}  // namespace
}  // namespace lamina::LAMINA_ISA_NAMESPACE
