// Transposing a square of vectors in registers. Include after cpu/simd.h.
#pragma once

namespace lamina::LAMINA_ISA_NAMESPACE {
namespace {

template <int... kIndex>
struct LaneIndices {};
template <int kCount, int... kIndex>
struct MakeLaneIndices : MakeLaneIndices<kCount - 1, kCount - 1, kIndex...> {};
template <int... kIndex>
struct MakeLaneIndices<0, kIndex...> {
  using Type = LaneIndices<kIndex...>;
};

// The two rows that an exchange of the off-diagonal squares of side kSide leaves.
template <int kSide, class R, int... kIndex>
LAMINA_SIMD void exchange_squares(R& a, R& b, LaneIndices<kIndex...>) {
  constexpr int kLanes = sizeof...(kIndex);
  const R low =
      __builtin_shufflevector(a, b, ((kIndex & kSide) != 0 ? kLanes + kIndex - kSide : kIndex)...);
  const R high =
      __builtin_shufflevector(a, b, ((kIndex & kSide) != 0 ? kLanes + kIndex : kIndex + kSide)...);
  a = low;
  b = high;
}

// A whole vector from lane kFrom of the pair a, b on; the lanes behind the pair are anything.
template <int kFrom, class R, int... kIndex>
LAMINA_SIMD R lanes_from(R a, R b, LaneIndices<kIndex...>) {
  constexpr int kLanes = sizeof...(kIndex);
  return __builtin_shufflevector(a, b, (kFrom + kIndex < 2 * kLanes ? kFrom + kIndex : kIndex)...);
}

template <class T, int kSide = Vec<T>::kLanes / 2>
LAMINA_SIMD void transpose(Vec<T>* rows) {
  constexpr int kLanes = Vec<T>::kLanes;
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if ((i & kSide) == 0) {
      exchange_squares<kSide>(rows[i].r, rows[i + kSide].r,
                              typename MakeLaneIndices<kLanes>::Type());
    }
  }
  if constexpr (kSide > 1) transpose<T, kSide / 2>(rows);
}

// Lane i: the sum of the lanes of rows[i], each in the order of reduce_add, for a quarter of its
// work. Overwrites the rows.
template <class T, int kSide = Vec<T>::kLanes / 2>
LAMINA_SIMD Vec<T> sums_of_rows(Vec<T>* rows) {
  constexpr int kLanes = Vec<T>::kLanes;
#pragma GCC unroll 16
  for (int i = 0; i < kSide; ++i) {
    exchange_squares<kSide>(rows[i].r, rows[i + kSide].r, typename MakeLaneIndices<kLanes>::Type());
    rows[i] += rows[i + kSide];
  }
  if constexpr (kSide > 1)
    return sums_of_rows<T, kSide / 2>(rows);
  else
    return rows[0];
}

}  // namespace
}  // namespace lamina::LAMINA_ISA_NAMESPACE
