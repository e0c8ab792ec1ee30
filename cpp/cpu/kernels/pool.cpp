// Max pooling, a vector of windows at a time.
//
// Lanes are neighbouring windows. Where those are 2 apart, every second element is wanted; two
// columns of a window that are next to each other share the loads.

#include "cpu/micro.h"
#include "cpu/simd.h"
#include "cpu/simd_loop.h"
#include "cpu/simd_transpose.h"

namespace lamina::LAMINA_ISA_NAMESPACE {
namespace {

template <class T>
struct LanesOf {
  using Indices = typename MakeLaneIndices<Vec<T>::kLanes>::Type;
  using Int = typename Vec<T>::Int;
  typedef uint8_t Bytes __attribute__((vector_size(Vec<T>::kLanes)));
};

// Every second lane of a pair, from lane kFrom on.
template <int kFrom, class T, int... kIndex>
LAMINA_SIMD Vec<T> every_second(Vec<T> a, Vec<T> b, LaneIndices<kIndex...>) {
  return __builtin_shufflevector(a.r, b.r, (2 * kIndex + kFrom)...);
}

// a0 b0 a1 b1 ..., from the middle on if kHigh.
template <bool kHigh, class T, int... kIndex>
LAMINA_SIMD Vec<T> interleave(Vec<T> a, Vec<T> b, LaneIndices<kIndex...>) {
  constexpr int kLanes = sizeof...(kIndex);
  return __builtin_shufflevector(
      a.r, b.r, (kIndex / 2 + (kHigh ? kLanes / 2 : 0) + (kIndex % 2) * kLanes)...);
}

// The first `count` of 2 kLanes elements, in two vectors.
template <class T>
LAMINA_SIMD void load_two(const T* p, int count, Vec<T>& a, Vec<T>& b) {
  constexpr int kLanes = Vec<T>::kLanes;
  a = count < kLanes ? Vec<T>::load(p, count) : Vec<T>::load(p);
  b = count < kLanes        ? Vec<T>(0)
      : count == 2 * kLanes ? Vec<T>::load(p + kLanes)
                            : Vec<T>::load(p + kLanes, count - kLanes);
}

template <class T>
LAMINA_SIMD void store_codes(uint8_t* p, typename LanesOf<T>::Int codes, int count) {
  const auto bytes = __builtin_convertvector(codes, typename LanesOf<T>::Bytes);
  if (count == Vec<T>::kLanes) {
    __builtin_memcpy(p, &bytes, sizeof bytes);
  } else {
    for (int i = 0; i < count; ++i) p[i] = bytes[i];
  }
}

template <class T>
LAMINA_SIMD typename LanesOf<T>::Int load_codes(const uint8_t* p, int count) {
  typename LanesOf<T>::Bytes bytes = {};
  if (count == Vec<T>::kLanes) {
    __builtin_memcpy(&bytes, p, sizeof bytes);
  } else {
    for (int i = 0; i < count; ++i) bytes[i] = p[i];
  }
  return __builtin_convertvector(bytes, typename LanesOf<T>::Int);
}

// The maximum so far of each lane's window, and its code in the bits of a vector.
template <class T, bool kCodes>
struct Largest {
  using V = Vec<T>;
  using Int = typename V::Int;
  V value = V(-FloatTraits<T>::kInfinity);
  Int code;

  LAMINA_SIMD explicit Largest(int first_code) : code(lanes_of(first_code)) {}
  LAMINA_SIMD static Int lanes_of(int number) {
    return Int{} + static_cast<typename FloatTraits<T>::Int>(number);
  }
  LAMINA_SIMD void meet(V v, int its_code) {
    const auto larger = (v > value) | isnan(v);
    value = select(larger, v, value);
    if constexpr (kCodes)
      code = select(larger, V::from_bits(lanes_of(its_code)), V::from_bits(code)).bits();
  }
};

template <class T, int kStride, bool kCodes, class Lanes>
LAMINA_SIMD void max_windows(const MaxWindows& w, T* y, uint8_t* code, const T* x, Lanes lanes) {
  using V = Vec<T>;
  Largest<T, kCodes> best(w.first_code);
  const typename LanesOf<T>::Indices indices;
  for (int r = 0; r < w.rows; ++r) {
    const T* p = x + r * w.row_step;
    const int row_code = w.first_code + r * w.code_step;
    int c = 0;
    if constexpr (kStride == 2) {
      if (w.col_step == 1) {
        for (; c + 1 < w.cols; c += 2, p += 2) {
          V a, b;
          load_two(p, 2 * lanes.count(), a, b);
          best.meet(every_second<0>(a, b, indices), row_code + c);
          best.meet(every_second<1>(a, b, indices), row_code + c + 1);
        }
      }
    }
    for (; c < w.cols; ++c, p += w.col_step) {
      if constexpr (kStride == 1) {
        best.meet(lanes.load(p), row_code + c);
      } else {
        V a, b;
        load_two(p, 2 * lanes.count() - 1, a, b);
        best.meet(every_second<0>(a, b, indices), row_code + c);
      }
    }
  }
  lanes.store(y, best.value);
  if constexpr (kCodes) store_codes<T>(code, best.code, lanes.count());
}

template <class T, int kStride, bool kCodes>
[[gnu::flatten]] void max_lines(const MaxWindows& w, T* y, [[maybe_unused]] uint8_t* code,
                                const T* x) {
  for (int64_t line = 0; line < w.lines; ++line) {
    for_vectors<T>(w.count, [&](int64_t j, auto lanes) {
      max_windows<T, kStride, kCodes>(w, y + j, kCodes ? code + j : nullptr, x + kStride * j,
                                      lanes);
    });
    x += w.line_step;
    y += w.out_step;
    if constexpr (kCodes) code += w.out_step;
  }
}

template <class T>
void max_pool(const MaxWindows& w, T* y, uint8_t* code, const T* x) {
  if (w.stride == 1)
    code == nullptr ? max_lines<T, 1, false>(w, y, code, x) : max_lines<T, 1, true>(w, y, code, x);
  else
    code == nullptr ? max_lines<T, 2, false>(w, y, code, x) : max_lines<T, 2, true>(w, y, code, x);
}

// What g has for the windows whose maximum has that code, 0 elsewhere.
template <class T>
LAMINA_SIMD Vec<T> where_code(typename LanesOf<T>::Int codes, int code, Vec<T> g) {
  using Int = typename LanesOf<T>::Int;
  return Vec<T>::from_bits((Int)(codes == Largest<T, true>::lanes_of(code)) & g.bits());
}

template <class T>
[[gnu::flatten]] void put_2x2(int64_t lines, int64_t count, T* x, int64_t width, const T* g,
                              const uint8_t* code) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  const typename LanesOf<T>::Indices indices;
  for (int64_t line = 0; line < lines; ++line) {
    for_vectors<T>(count, [&](int64_t j, auto lanes) {
      const int n = lanes.count();
      const V v = lanes.load(g + j);
      const auto codes = load_codes<T>(code + j, n);
      for (int r = 0; r < 2; ++r) {
        const V left = where_code<T>(codes, 2 * r, v), right = where_code<T>(codes, 2 * r + 1, v);
        const V low = interleave<false>(left, right, indices);
        const V high = interleave<true>(left, right, indices);
        T* const to = x + r * width + 2 * j;
        if (2 * n >= kLanes)
          low.store(to);
        else
          low.store(to, 2 * n);
        if (n == kLanes)
          high.store(to + kLanes);
        else if (2 * n > kLanes)
          high.store(to + kLanes, 2 * n - kLanes);
      }
    });
    x += 2 * width;
    g += count;
    code += count;
  }
}

template <class T>
constexpr PoolMicro<T> make_pool() {
  return {max_pool<T>, put_2x2<T>};
}

}  // namespace

LAMINA_MICRO(PoolMicro, pool);

}  // namespace lamina::LAMINA_ISA_NAMESPACE
