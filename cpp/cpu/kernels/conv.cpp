// Register tiles of convolutions.
//
// Lanes are channels of the result, so that any stride, dilation and width of an image fills them;
// its pixels, each with its channels adjacent, are read as broadcasts. One vector of weights feeds
// as many pixels as there are registers for (28 of 32, 12 of 16), two feed half as many with as
// many loads. With one vector every multiply-add loads its own broadcast, which the load ports just
// keep up with.

#include "cpu/micro.h"
#include "cpu/simd.h"
#include "cpu/simd_loop.h"
#include "cpu/simd_transpose.h"

namespace lamina::LAMINA_ISA_NAMESPACE {
namespace {

template <class T>
struct ConvShape {
  static constexpr int kLanes = Vec<T>::kLanes;
  static constexpr bool kWideFile = kLanes * sizeof(T) == 64;  // 32 registers
  static constexpr int kRows1 = kWideFile ? 28 : Native<T>::kFma ? 12 : 8;
  static constexpr int kRows2 = kWideFile ? 14 : Native<T>::kFma ? 6 : 4;
  static constexpr int rows(int vectors) { return vectors == 1 ? kRows1 : kRows2; }
  static constexpr int kDepthwiseRows = kWideFile ? 8 : 4;
  static constexpr int kDepthwiseTaps = 5;
};

// kAdjacent: ai is 1, so that every row of a is at a fixed place behind the first.
template <class T, int kM, int kN, bool kAdjacent>
void conv_tile(const cpu::ConvTile<T>& t) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  V acc[kM][kN];
#pragma GCC unroll 32
  for (int i = 0; i < kM; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kN; ++j) acc[i][j] = V(T(0));
  }
  // A base for every three rows: with base + {0, 1, 2} * ai all rows fit the addressing modes.
  constexpr int kBases = kAdjacent ? 1 : (kM + 2) / 3;
  const int64_t ai = t.ai, ap = t.ap, count = t.count;
  const T* b = t.b;
  for (int64_t s = 0; s < t.segments; ++s) {
    const T* base[kBases];
#pragma GCC unroll 16
    for (int i = 0; i < kBases; ++i) base[i] = t.a + t.offsets[s] + 3 * i * ai;
    for (int64_t p = count; p > 0; --p) {
      V bv[kN];
#pragma GCC unroll 2
      for (int j = 0; j < kN; ++j) bv[j] = V::load(b + j * kLanes);
      b += kN * kLanes;
#pragma GCC unroll 32
      for (int i = 0; i < kM; ++i) {
        const V av(kAdjacent ? base[0][i] : base[i / 3][(i % 3) * ai]);
#pragma GCC unroll 2
        for (int j = 0; j < kN; ++j) acc[i][j] = fma(av, bv[j], acc[i][j]);
      }
#pragma GCC unroll 16
      for (int i = 0; i < kBases; ++i) base[i] += ap;
    }
  }
  T* c = t.c;
#pragma GCC unroll 32
  for (int i = 0; i < kM; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kN; ++j) {
      T* const at = c + j * kLanes;
      (t.add ? V::load(at) + acc[i][j] : acc[i][j]).store(at);
    }
    c += t.ldc;
  }
}

template <class T>
struct ConvTileTable {
  using Shape = ConvShape<T>;
  using Fn = void (*)(const cpu::ConvTile<T>&);
  Fn fn[Shape::kRows1][2][2];  // [m - 1][vectors - 1][ai == 1]

  template <int kM, int kN>
  constexpr void fill() {
    fn[kM - 1][kN - 1][0] = conv_tile<T, kM, kN, false>;
    fn[kM - 1][kN - 1][1] = conv_tile<T, kM, kN, true>;
    if constexpr (kM > 1)
      fill<kM - 1, kN>();
    else if constexpr (kN > 1)
      fill<Shape::kRows1, 1>();
  }
  constexpr ConvTileTable() : fn() { fill<Shape::kRows2, 2>(); }
};

template <class T>
void conv_tile_any(const cpu::ConvTile<T>& t) {
  static constexpr ConvTileTable<T> kTable;
  kTable.fn[t.m - 1][t.n / Vec<T>::kLanes - 1][t.ai == 1](t);
}

// --- pixels along vectors ---

template <class T, int kM, int kN>
void conv_row(const cpu::ConvRow<T>& t) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  V acc[kM][kN];
#pragma GCC unroll 32
  for (int i = 0; i < kM; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kN; ++j) acc[i][j] = V(T(0));
  }
  const T* w = t.w;
  const int64_t count = t.count, step = t.step;
  for (int64_t s = 0; s < t.segments; ++s) {
    const T* x = t.x + t.offsets[s];
    for (int64_t p = count; p > 0; --p) {
      V xv[kN];
#pragma GCC unroll 2
      for (int j = 0; j < kN; ++j) xv[j] = V::load(x + j * kLanes);
      x += step;
#pragma GCC unroll 32
      for (int i = 0; i < kM; ++i) {
        const V wv(w[i]);
#pragma GCC unroll 2
        for (int j = 0; j < kN; ++j) acc[i][j] = fma(wv, xv[j], acc[i][j]);
      }
      w += kM;
    }
  }
  T* y = t.y;
  const int tail = t.n - (kN - 1) * kLanes;
#pragma GCC unroll 32
  for (int i = 0; i < kM; ++i) {
    const V bias(t.bias == nullptr ? T(0) : t.bias[i]);
#pragma GCC unroll 2
    for (int j = 0; j < kN; ++j) {
      const V v = t.bias == nullptr ? acc[i][j] : acc[i][j] + bias;
      if (j == kN - 1 && tail != kLanes)
        v.store(y + j * kLanes, tail);
      else
        v.store(y + j * kLanes);
    }
    y += t.plane;
  }
}

template <class T>
struct ConvRowTable {
  using Shape = ConvShape<T>;
  using Fn = void (*)(const cpu::ConvRow<T>&);
  Fn fn[Shape::kRows1][2];  // [m - 1][vectors - 1]

  template <int kM, int kN>
  constexpr void fill() {
    fn[kM - 1][kN - 1] = conv_row<T, kM, kN>;
    if constexpr (kM > 1)
      fill<kM - 1, kN>();
    else if constexpr (kN > 1)
      fill<Shape::kRows1, 1>();
  }
  constexpr ConvRowTable() : fn() { fill<Shape::kRows2, 2>(); }
};

template <class T>
void conv_row_any(const cpu::ConvRow<T>& t) {
  static constexpr ConvRowTable<T> kTable;
  kTable.fn[t.m - 1][t.n > Vec<T>::kLanes](t);
}

// --- one channel meets itself alone ---

template <class T, int kM, int kN>
void depthwise_tile(const cpu::ConvTile<T>& t) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  V acc[kM][kN];
#pragma GCC unroll 8
  for (int i = 0; i < kM; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kN; ++j) acc[i][j] = V(T(0));
  }
  const T* b = t.b;
  for (int64_t s = 0; s < t.segments; ++s, b += kN * kLanes) {
    const T* a = t.a + t.offsets[s];
    V bv[kN];
#pragma GCC unroll 2
    for (int j = 0; j < kN; ++j) bv[j] = V::load(b + j * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < kM; ++i, a += t.ai) {
#pragma GCC unroll 2
      for (int j = 0; j < kN; ++j) acc[i][j] = fma(V::load(a + j * kLanes), bv[j], acc[i][j]);
    }
  }
  T* c = t.c;
#pragma GCC unroll 8
  for (int i = 0; i < kM; ++i, c += t.ldc) {
#pragma GCC unroll 2
    for (int j = 0; j < kN; ++j) acc[i][j].store(c + j * kLanes);
  }
}

template <class T, int kM, int kN>
void depthwise_weight_tile(const cpu::ConvTile<T>& t, const int64_t* taps) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  V acc[kM][kN];
#pragma GCC unroll 8
  for (int i = 0; i < kM; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kN; ++j) acc[i][j] = V(T(0));
  }
  const T* b = t.b;
  for (int64_t s = 0; s < t.segments; ++s) {
    const T* a[kM];
#pragma GCC unroll 8
    for (int i = 0; i < kM; ++i) a[i] = t.a + t.offsets[s] + taps[i];
    for (int64_t p = 0; p < t.count; ++p, b += kN * kLanes) {
#pragma GCC unroll 2
      for (int j = 0; j < kN; ++j) {
        const V bv = V::load(b + j * kLanes);
#pragma GCC unroll 8
        for (int i = 0; i < kM; ++i)
          acc[i][j] = fma(V::load(a[i] + p * t.ap + j * kLanes), bv, acc[i][j]);
      }
    }
  }
  T* c = t.c;
#pragma GCC unroll 8
  for (int i = 0; i < kM; ++i, c += t.ldc) {
#pragma GCC unroll 2
    for (int j = 0; j < kN; ++j) (V::load(c + j * kLanes) + acc[i][j]).store(c + j * kLanes);
  }
}

template <class T>
struct DepthwiseTable {
  using Shape = ConvShape<T>;
  void (*tile[Shape::kDepthwiseRows][2])(const cpu::ConvTile<T>&);
  void (*weight[Shape::kDepthwiseTaps][2])(const cpu::ConvTile<T>&, const int64_t*);

  template <int kM>
  constexpr void fill() {
    if constexpr (kM <= Shape::kDepthwiseRows) {
      tile[kM - 1][0] = depthwise_tile<T, kM, 1>;
      tile[kM - 1][1] = depthwise_tile<T, kM, 2>;
    }
    if constexpr (kM <= Shape::kDepthwiseTaps) {
      weight[kM - 1][0] = depthwise_weight_tile<T, kM, 1>;
      weight[kM - 1][1] = depthwise_weight_tile<T, kM, 2>;
    }
    if constexpr (kM > 1) fill<kM - 1>();
  }
  constexpr DepthwiseTable() : tile(), weight() { fill<8>(); }
};

template <class T>
void depthwise_any(const cpu::ConvTile<T>& t) {
  static constexpr DepthwiseTable<T> kTable;
  kTable.tile[t.m - 1][t.n / Vec<T>::kLanes - 1](t);
}

template <class T>
void depthwise_weight_any(const cpu::ConvTile<T>& t, const int64_t* taps) {
  static constexpr DepthwiseTable<T> kTable;
  kTable.weight[t.m - 1][t.n / Vec<T>::kLanes - 1](t, taps);
}

// --- channels beside each other, and back ---

template <class T>
void conv_pack(int64_t rows, int64_t n, const T* const* src, T* dst, int64_t ld) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  if (rows == 1 && ld == 1) {
    for_vectors<T>(n, [&](int64_t j, auto lanes) { lanes.store(dst + j, lanes.load(src[0] + j)); });
    return;
  }
  for (int64_t i0 = 0; i0 < rows; i0 += kLanes) {
    const int height = static_cast<int>(rows - i0 < kLanes ? rows - i0 : kLanes);
    const T* row[kLanes];
    for (int i = 0; i < kLanes; ++i) row[i] = src[i0 + (i < height ? i : height - 1)];
    for_vectors<T>(n, [&](int64_t j, auto lanes) {
      V square[kLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) square[i] = lanes.load(row[i] + j);
      transpose(square);
      T* to = dst + j * ld + i0;
      if (height == kLanes) {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i, to += ld) {
          if (i < lanes.count()) square[i].store(to);
        }
      } else {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i, to += ld) {
          if (i < lanes.count()) square[i].store(to, height);
        }
      }
    });
  }
}

template <class T>
void conv_unpack(int64_t rows, int n, const T* src, int64_t width, T* dst, int64_t ld,
                 const T* bias) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  for (int j0 = 0; j0 < n; j0 += kLanes) {
    const int channels = n - j0 < kLanes ? n - j0 : kLanes;
    for (int64_t i0 = 0; i0 < rows; i0 += kLanes) {
      const int height = static_cast<int>(rows - i0 < kLanes ? rows - i0 : kLanes);
      V square[kLanes];
      const T* from = src + i0 * width + j0;
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        square[i] = V::load(from);
        if (i + 1 < height) from += width;
      }
      transpose(square);
      T* to = dst + j0 * ld + i0;
#pragma GCC unroll 16
      for (int j = 0; j < kLanes; ++j, to += ld) {
        if (j >= channels) break;
        const V v = bias == nullptr ? square[j] : square[j] + V(bias[j0 + j]);
        if (height == kLanes)
          v.store(to);
        else
          v.store(to, height);
      }
    }
  }
}

template <class T>
constexpr ConvMicro<T> make_conv() {
  using Shape = ConvShape<T>;
  cpu::ConvMicro<T> c{};
  c.lanes = Shape::kLanes;
  c.rows[0] = Shape::kRows1;
  c.rows[1] = Shape::kRows2;
  c.depthwise_rows = Shape::kDepthwiseRows;
  c.depthwise_taps = Shape::kDepthwiseTaps;
  c.tile = conv_tile_any<T>;
  c.row = conv_row_any<T>;
  c.depthwise = depthwise_any<T>;
  c.depthwise_weight = depthwise_weight_any<T>;
  c.pack = conv_pack<T>;
  c.unpack = conv_unpack<T>;
  return c;
}

}  // namespace

LAMINA_MICRO(ConvMicro, conv);

}  // namespace lamina::LAMINA_ISA_NAMESPACE
