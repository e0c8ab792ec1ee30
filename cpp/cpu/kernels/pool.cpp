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
  typedef uint16_t Halves __attribute__((vector_size(2 * Vec<T>::kLanes)));
  typedef uint32_t Words __attribute__((vector_size(4 * Vec<T>::kLanes)));
};

// Every second lane of a pair, from lane kFrom on.
template <int kFrom, class T, int... kIndex>
LAMINA_SIMD Vec<T> every_second(Vec<T> a, Vec<T> b, LaneIndices<kIndex...>) {
  return __builtin_shufflevector(a.r, b.r, (2 * kIndex + kFrom)...);
}

// Each lane twice: those of the lower half, or of the upper.
template <bool kUpper, class T, int... kIndex>
LAMINA_SIMD Vec<T> twice(Vec<T> v, LaneIndices<kIndex...>) {
  constexpr int kFrom = kUpper ? sizeof...(kIndex) / 2 : 0;
  return __builtin_shufflevector(v.r, v.r, (kFrom + kIndex / 2)...);
}

// 0 1 0 1 ...
template <class T, int... kIndex>
LAMINA_SIMD typename LanesOf<T>::Int odd_lanes(LaneIndices<kIndex...>) {
  return typename LanesOf<T>::Int{(kIndex % 2)...};
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

// A partial vector is moved as a whole one where `room` elements from p on allow it (masked stores
// are slow on some machines): what is written behind it is written again later, what is read there
// is of no use.
template <class T>
LAMINA_SIMD void store_some(T* p, Vec<T> v, int count, int64_t room) {
  if (count >= Vec<T>::kLanes || room >= Vec<T>::kLanes)
    v.store(p);
  else
    v.store(p, count);
}

// Between codes and lanes, step by step, each of which is an instruction.
template <class T>
LAMINA_SIMD typename LanesOf<T>::Bytes narrowed(typename LanesOf<T>::Int codes) {
  using L = LanesOf<T>;
  const auto words = __builtin_convertvector(codes, typename L::Words);
  return __builtin_convertvector(__builtin_convertvector(words, typename L::Halves),
                                 typename L::Bytes);
}
template <class T>
LAMINA_SIMD typename LanesOf<T>::Int widened(typename LanesOf<T>::Bytes bytes) {
  using L = LanesOf<T>;
  const auto halves = __builtin_convertvector(bytes, typename L::Halves);
  return __builtin_convertvector(__builtin_convertvector(halves, typename L::Words),
                                 typename L::Int);
}

template <class T>
LAMINA_SIMD void store_codes(uint8_t* p, typename LanesOf<T>::Int codes, int count, int64_t room) {
  const auto bytes = narrowed<T>(codes);
  if (count == Vec<T>::kLanes || room >= Vec<T>::kLanes) {
    __builtin_memcpy(p, &bytes, sizeof bytes);
  } else {
    uint8_t each[Vec<T>::kLanes];
    __builtin_memcpy(each, &bytes, sizeof bytes);
    for (int i = 0; i < count; ++i) p[i] = each[i];
  }
}

template <class T>
LAMINA_SIMD typename LanesOf<T>::Int load_codes(const uint8_t* p, int count, int64_t room) {
  typename LanesOf<T>::Bytes bytes;
  if (count == Vec<T>::kLanes || room >= Vec<T>::kLanes) {
    __builtin_memcpy(&bytes, p, sizeof bytes);
    return widened<T>(bytes);
  }
  uint8_t each[Vec<T>::kLanes] = {};
  for (int i = 0; i < count; ++i) each[i] = p[i];
  typename LanesOf<T>::Bytes some;
  __builtin_memcpy(&some, each, sizeof some);
  return widened<T>(some);
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
LAMINA_SIMD void max_windows(const MaxWindows& w, T* y, uint8_t* code, int64_t room, const T* x,
                             Lanes lanes) {
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
  store_some(y, best.value, lanes.count(), room);
  if constexpr (kCodes) store_codes<T>(code, best.code, lanes.count(), room);
}

template <class T, int kStride, bool kCodes>
[[gnu::flatten]] void max_lines(const MaxWindows& w, T* y, [[maybe_unused]] uint8_t* code,
                                const T* x) {
  int64_t room = (w.lines - 1) * w.out_step + w.count;  // windows from here to the last
  for (int64_t line = 0; line < w.lines; ++line) {
    for_vectors<T>(w.count, [&](int64_t j, auto lanes) {
      max_windows<T, kStride, kCodes>(w, y + j, kCodes ? code + j : nullptr, room - j,
                                      x + kStride * j, lanes);
    });
    x += w.line_step;
    y += w.out_step;
    if constexpr (kCodes) code += w.out_step;
    room -= w.out_step;
  }
}

template <class T>
void max_pool(const MaxWindows& w, T* y, uint8_t* code, const T* x) {
  if (w.stride == 1)
    code == nullptr ? max_lines<T, 1, false>(w, y, code, x) : max_lines<T, 1, true>(w, y, code, x);
  else
    code == nullptr ? max_lines<T, 2, false>(w, y, code, x) : max_lines<T, 2, true>(w, y, code, x);
}

// Row r of the windows' elements, for half of a vector of windows: two elements for each.
template <bool kUpper, class T>
LAMINA_SIMD Vec<T> half_row(int r, Vec<T> g, Vec<T> codes) {
  using Int = typename LanesOf<T>::Int;
  const typename LanesOf<T>::Indices indices;
  const Int wanted = twice<kUpper>(codes, indices).bits();
  const Int code = odd_lanes<T>(indices) + Largest<T, true>::lanes_of(2 * r);
  return Vec<T>::from_bits((Int)(wanted == code) & twice<kUpper>(g, indices).bits());
}

template <class T>
[[gnu::flatten]] void put_2x2(int64_t lines, int64_t count, T* x, int64_t width, const T* g,
                              const uint8_t* code) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  int64_t codes_left = lines * count;
  int64_t room = (2 * lines - 1) * width + 2 * count;
  for (int64_t line = 0; line < lines; ++line) {
    for (int r = 0; r < 2; ++r) {
      for_vectors<T>(count, [&](int64_t j, auto lanes) {
        const int n = lanes.count();
        const V v = lanes.load(g + j);
        const V codes = V::from_bits(load_codes<T>(code + j, n, codes_left - j));
        T* const to = x + 2 * j;
        store_some(to, half_row<false>(r, v, codes), 2 * n, room - 2 * j);
        if (2 * n > kLanes)
          store_some(to + kLanes, half_row<true>(r, v, codes), 2 * n - kLanes,
                     room - 2 * j - kLanes);
      });
      x += width;
      room -= width;
    }
    g += count;
    code += count;
    codes_left -= count;
  }
}

template <class T>
constexpr PoolMicro<T> make_pool() {
  return {max_pool<T>, put_2x2<T>};
}

}  // namespace

LAMINA_MICRO(PoolMicro, pool);

}  // namespace lamina::LAMINA_ISA_NAMESPACE
