// Register tiles of the matrix product.
//
// The tile form keeps an mr x nr block of c in registers, lanes along the columns: every step of k
// loads nr/kLanes vectors of b and broadcasts mr elements of a. The sizes leave room for one row of
// b and one broadcast: 14 x 2 vectors of 32 registers, 6 x 2 of 16, 4 x 2 where a multiply without
// fma needs one more. Every height 1..mr is its own instantiation, so that a remainder costs what
// it weighs. The dot form keeps lanes along k and suits a few rows against a transposed b, which it
// reads once and in order.

#include "cpu/micro.h"
#include "cpu/simd.h"
#include "cpu/simd_loop.h"
#include "cpu/simd_transpose.h"

namespace lamina::LAMINA_ISA_NAMESPACE {
namespace {

template <class T>
struct GemmShape {
  static constexpr int kLanes = Vec<T>::kLanes;
  static constexpr bool kWideFile = kLanes * sizeof(T) == 64;  // 32 registers
  static constexpr int kMr = kWideFile ? 14 : Native<T>::kFma ? 6 : 4;
  static constexpr int kNv = 2;
  static constexpr int kNr = kNv * kLanes;
  // One or two rows leave registers, and need sums, for more columns.
  static constexpr int kThinRows = 2;
  static constexpr int kThinNv = kWideFile ? 8 : 6;
  static constexpr int columns(int rows) { return rows <= kThinRows ? kThinNv : kNv; }
  static constexpr int kAWidth = (kMr + kLanes - 1) / kLanes * kLanes;
  static constexpr int kDotM = kWideFile ? 4 : 2;
  static constexpr int kDotN = kWideFile ? 6 : kLanes < 4 ? kLanes : 4;  // a row of c: one vector
};

// --- tile ---

// kTail: the last vector of columns is partial. A variant of its own for adjacent rows (ai == 1)
// saves four additions of 52 instructions in the widest tile and is not worth its code.
template <class T, int kM, int kN, bool kTail>
void gemm_tile(const cpu::GemmTile<T>& t) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  const int tail = t.n - (kN - 1) * kLanes;
  const int64_t ai = t.ai, ap = t.ap, bp = t.bp;
  V acc[kM][kN];
#pragma GCC unroll 16
  for (int i = 0; i < kM; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kN; ++j) acc[i][j] = V(T(0));
  }
  // c is wanted long after its addresses are known.
#pragma GCC unroll 16
  for (int i = 0; i < kM; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kN; ++j) __builtin_prefetch(t.c + i * t.ldc + j * kLanes, 1);
  }
  const T* b = t.b;
  // A base for every three rows: with base + {0, 1, 2} * ai all rows fit the addressing modes.
  constexpr int kBases = (kM + 2) / 3;
  const T* base[kBases];
#pragma GCC unroll 16
  for (int i = 0; i < kBases; ++i) base[i] = t.a + 3 * i * ai;
  for (int64_t p = t.k; p > 0; --p) {
    V bv[kN];
#pragma GCC unroll 8
    for (int j = 0; j < kN; ++j) {
      bv[j] = kTail && j == kN - 1 ? V::load(b + j * kLanes, tail) : V::load(b + j * kLanes);
    }
    b += bp;
#pragma GCC unroll 16
    for (int i = 0; i < kM; ++i) {
      const V av(base[i / 3][(i % 3) * ai]);
#pragma GCC unroll 8
      for (int j = 0; j < kN; ++j) acc[i][j] = fma(av, bv[j], acc[i][j]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kBases; ++i) base[i] += ap;
  }
  const V alpha(t.alpha), beta(t.beta);
  V bias[kN];
#pragma GCC unroll 8
  for (int j = 0; j < kN; ++j) {
    const bool partial = kTail && j == kN - 1;
    bias[j] = t.bias == nullptr ? V(T(0))
              : partial         ? V::load(t.bias + j * kLanes, tail)
                                : V::load(t.bias + j * kLanes);
  }
  T* c = t.c;
  const bool reads_c = t.beta != T(0);
#pragma GCC unroll 16
  for (int i = 0; i < kM; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kN; ++j) {
      const bool partial = kTail && j == kN - 1;
      T* const at = c + j * kLanes;
      V r = fma(acc[i][j], alpha, bias[j]);
      if (reads_c) r = fma(partial ? V::load(at, tail) : V::load(at), beta, r);
      if (partial)
        r.store(at, tail);
      else
        r.store(at);
    }
    c += t.ldc;
  }
}

template <class T>
struct GemmTileTable {
  using Shape = GemmShape<T>;
  using Fn = void (*)(const cpu::GemmTile<T>&);
  Fn fn[Shape::kMr][Shape::kThinNv][2];  // [m - 1][vectors - 1][tail]

  template <int kM, int kN>
  constexpr void fill() {
    fn[kM - 1][kN - 1][0] = gemm_tile<T, kM, kN, false>;
    fn[kM - 1][kN - 1][1] = gemm_tile<T, kM, kN, true>;
    if constexpr (kN > 1)
      fill<kM, kN - 1>();
    else if constexpr (kM > 1)
      fill<kM - 1, Shape::columns(kM - 1)>();
  }
  constexpr GemmTileTable() : fn() { fill<Shape::kMr, Shape::columns(Shape::kMr)>(); }
};

template <class T>
void gemm_tile_any(const cpu::GemmTile<T>& t) {
  static constexpr GemmTileTable<T> kTable;
  constexpr int kLanes = Vec<T>::kLanes;
  const int vectors = (t.n + kLanes - 1) / kLanes;
  kTable.fn[t.m - 1][vectors - 1][t.n % kLanes != 0](t);
}

// --- dot ---

// Writes sums [kM][kN], adjacent across vectors, to rows of c.
template <class T, int kN>
struct GemmDotRows {
  using V = Vec<T>;
  V alpha, beta, bias;
  bool reads_c;
  int64_t ldc;

  template <int kRow, int kM>
  LAMINA_SIMD void store(const V* sums, T* c) const {
    constexpr int kLanes = V::kLanes;
    constexpr int kFirst = kRow * kN / kLanes, kLast = ((kRow + 1) * kN - 1) / kLanes;
    const V sum = lanes_from<kRow * kN % kLanes>(sums[kFirst].r, sums[kLast].r,
                                                 typename MakeLaneIndices<kLanes>::Type());
    V r = fma(sum, alpha, bias);
    if (reads_c) r = fma(V::load(c, kN), beta, r);
    r.store(c, kN);
    if constexpr (kRow + 1 < kM) store<kRow + 1, kM>(sums, c + ldc);
  }
};

template <class T, int kM, int kN>
void gemm_dot_tile(const cpu::GemmTile<T>& t, int i0, int j0) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  constexpr int kSums = (kM * kN + kLanes - 1) / kLanes * kLanes;
  const T* const a = t.a + i0 * t.ai;
  const T* const b = t.b + j0 * t.bj;
  V acc[kSums];  // [kM][kN], then what fills the last square
#pragma GCC unroll 32
  for (int i = 0; i < kSums; ++i) acc[i] = V(T(0));
  const auto step = [&](int64_t p, auto lanes) __attribute__((always_inline)) {
    V av[kM];
#pragma GCC unroll 8
    for (int i = 0; i < kM; ++i) av[i] = lanes.load(a + i * t.ai + p);
#pragma GCC unroll 8
    for (int j = 0; j < kN; ++j) {
      const V bv = lanes.load(b + j * t.bj + p);
#pragma GCC unroll 8
      for (int i = 0; i < kM; ++i) acc[i * kN + j] = fma(av[i], bv, acc[i * kN + j]);
    }
  };
  for_vectors<T>(t.k, step);
#pragma GCC unroll 8
  for (int i = 0; i < kSums; i += kLanes) acc[i / kLanes] = sums_of_rows<T>(acc + i);
  const GemmDotRows<T, kN> rows{V(t.alpha), V(t.beta),
                                t.bias == nullptr ? V(T(0)) : V::load(t.bias + j0, kN),
                                t.beta != T(0), t.ldc};
  rows.template store<0, kM>(acc, t.c + i0 * t.ldc + j0);
}

template <class T>
struct GemmDotTable {
  using Shape = GemmShape<T>;
  using Fn = void (*)(const cpu::GemmTile<T>&, int, int);
  Fn fn[Shape::kDotM][Shape::kDotN];

  template <int kM, int kN>
  constexpr void fill() {
    fn[kM - 1][kN - 1] = gemm_dot_tile<T, kM, kN>;
    if constexpr (kN > 1)
      fill<kM, kN - 1>();
    else if constexpr (kM > 1)
      fill<kM - 1, Shape::kDotN>();
  }
  constexpr GemmDotTable() : fn() { fill<Shape::kDotM, Shape::kDotN>(); }
};

template <class T>
void gemm_dot(const cpu::GemmTile<T>& t) {
  static constexpr GemmDotTable<T> kTable;
  using Shape = GemmShape<T>;
  for (int j = 0; j < t.n; j += Shape::kDotN) {
    const int n = t.n - j < Shape::kDotN ? t.n - j : Shape::kDotN;
    for (int i = 0; i < t.m; i += Shape::kDotM) {
      const int m = t.m - i < Shape::kDotM ? t.m - i : Shape::kDotM;
      kTable.fn[m - 1][n - 1](t, i, j);
    }
  }
}

// --- outer ---

// The bits of the tile form, which would spend most of its instructions on its frame.
template <class T>
void gemm_outer(const cpu::GemmTile<T>& t) {
  using V = Vec<T>;
  const V alpha(t.alpha), zero(T(0));
  const T* a = t.a;
  T* c = t.c;
  for (int i = 0; i < t.m; ++i, a += t.ai, c += t.ldc) {
    const V av(*a);
    for_vectors<T>(t.n, [&](int64_t j, auto lanes) __attribute__((always_inline)) {
      lanes.store(c + j, fma(fma(av, lanes.load(t.b + j), zero), alpha, zero));
    });
  }
}

// --- packing ---

// Rows of the source are adjacent along k: squares are transposed in registers. Where the panel is
// wider than the source, the last row is repeated, which costs less than zeros do.
template <class T>
void gemm_pack_transposed(int64_t k, int width, const T* src, int64_t si, T* panel,
                          int panel_width) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  for (int i0 = 0; i0 < width; i0 += kLanes) {
    const T* row[kLanes];
    for (int i = 0; i < kLanes; ++i) row[i] = src + (i0 + i < width ? i0 + i : width - 1) * si;
    for_vectors<T>(k, [&](int64_t p, auto lanes) {
      V square[kLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) square[i] = lanes.load(row[i] + p);
      transpose(square);
      T* to = panel + p * panel_width + i0;
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i, to += panel_width) {
        if (i < lanes.count()) square[i].store(to);
      }
    });
  }
}

template <class T>
void gemm_pack(int64_t k, int width, const T* src, int64_t si, int64_t sp, T* panel,
               int panel_width) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  if (sp == 1 && si != 1) {
    gemm_pack_transposed(k, width, src, si, panel, panel_width);
  } else if (si == 1) {
    for (int64_t p = 0; p < k; ++p, src += sp, panel += panel_width) {
      for (int i = 0; i < width; i += kLanes) {
        const int n = width - i;
        (n >= kLanes ? V::load(src + i) : V::load(src + i, n)).store(panel + i);
      }
    }
  } else {
    for (int64_t p = 0; p < k; ++p, src += sp, panel += panel_width) {
      for (int i = 0; i < width; ++i) panel[i] = src[i * si];
    }
  }
}

template <class T>
constexpr GemmMicro<T> make_gemm() {
  using Shape = GemmShape<T>;
  constexpr int kScale = sizeof(T) / sizeof(float);
  cpu::GemmMicro<T> g{};
  g.mr = Shape::kMr;
  g.nr = Shape::kNr;
  g.thin_rows = Shape::kThinRows;
  g.thin_nr = Shape::kThinNv * Shape::kLanes;
  g.a_width = Shape::kAWidth;
  g.dot_m = Shape::kWideFile ? 64 : 32;
  // A panel of a (a_width x kc, 24 KiB at most) stays in L1, a block of b (kc x nc) in L2.
  g.kc = 384 / kScale;
  g.mc = 10 * Shape::kMr;
  g.nc = Shape::kWideFile ? 512 : 256;
  g.tile = gemm_tile_any<T>;
  g.dot = gemm_dot<T>;
  g.outer = gemm_outer<T>;
  g.pack = gemm_pack<T>;
  return g;
}

}  // namespace

LAMINA_MICRO(GemmMicro, gemm);

}  // namespace lamina::LAMINA_ISA_NAMESPACE
