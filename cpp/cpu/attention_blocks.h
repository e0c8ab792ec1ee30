// What forward and backward of attention share: a problem, cut into blocks of queries and keys, and
// the products of a block, tile by tile where a query may see a key.
#pragma once

#include <algorithm>
#include <cmath>

#include "cpu/drivers.h"
#include "cpu/micro.h"
#include "cpu/tasks.h"
#include "cpu/workspace.h"

namespace lamina::cpu::attend {

// A block of scores has at most so many queries and bytes of keys: half of an L2 cache holds two.
inline constexpr int64_t kQueries = 128;
inline constexpr int64_t kKeyBytes = 1024;
// Rows of a head within [batch, head, row, element].
template <class T>
struct Heads {
  T* data = nullptr;
  int64_t batch = 0, head = 0, row = 0;
  Heads() = default;
  explicit Heads(const TensorRef& t) : data(t.as<T>()) {
    if (!t.defined()) return;
    batch = t.strides[0];
    head = t.strides[1];
    row = t.strides[2];
  }
  T* at(int64_t b, int64_t h, int64_t i) const { return data + b * batch + h * head + i * row; }
  explicit operator bool() const { return data != nullptr; }
};

template <class T>
struct Problem {
  int64_t batch, heads, groups, queries, keys, width, value_width;
  Heads<const T> q, k, v;
  Heads<T> y;
  Heads<const T> bias;  // the mask, one of the two or none
  Heads<const uint8_t> keep;
  T* logsumexp;
  T scale;
  bool causal;
  double dropout;
  PhiloxStream stream;

  explicit Problem(const AttentionArgs& a)
      : batch(a.q.sizes[0]),
        heads(a.q.sizes[1]),
        groups(a.k.sizes[1]),
        queries(a.q.sizes[2]),
        keys(a.k.sizes[2]),
        width(a.q.sizes[3]),
        value_width(a.v.sizes[3]),
        q(a.q),
        k(a.k),
        v(a.v),
        y(a.y),
        logsumexp(a.logsumexp.as<T>()),
        scale(T(a.scale)),
        causal(a.causal),
        dropout(a.dropout),
        stream(a.stream) {
    if (!a.mask.defined()) return;
    if (a.mask.dtype == DType::Bool)
      keep = Heads<const uint8_t>(a.mask);
    else
      bias = Heads<const T>(a.mask);
  }

  int64_t key_block() const { return even_part(keys, kKeyBytes / static_cast<int64_t>(sizeof(T))); }
  int64_t query_block() const { return even_part(queries, kQueries); }
  // Of one pair of blocks, in multiplications and additions; an exponential counts as 30.
  double work(int64_t products) const {
    const auto rows = static_cast<double>(query_block()), seen = static_cast<double>(keys);
    return rows * seen * static_cast<double>(products * std::max<int64_t>(width, 8) + 30);
  }
};

// A block of queries and keys of one head.
struct Block {
  int64_t b, h;      // of the queries
  int64_t i0, rows;  // queries
  int64_t j0, n;     // keys
  int64_t visible;   // query r of the block sees the first visible + r keys of it
  int64_t ld;        // from one query's scores to the next
  int64_t seen_by(int64_t r) const { return std::clamp<int64_t>(visible + r, 0, n); }
};

template <class T>
Block block(const Problem<T>& p, int64_t b, int64_t h, int64_t i0, int64_t j0) {
  Block out{};
  out.b = b;
  out.h = h;
  out.i0 = i0;
  out.j0 = j0;
  out.rows = std::min(p.query_block(), p.queries - i0);
  out.n = std::min(p.key_block(), p.keys - j0);
  out.visible = p.causal ? i0 + 1 - j0 : out.n;
  // Behind what the last query sees there is nothing to do.
  out.n = std::clamp<int64_t>(out.visible + out.rows - 1, 0, out.n);
  out.ld = p.key_block();
  return out;
}

template <class T>
struct Matrix {
  const T* data;
  int64_t row, column;  // strides
};

struct Depth {
  int64_t from, to;  // from > to: nothing is wanted of this tile, not even zeros
};

// c[rows, columns] = alpha a b + beta c, tile by tile; b's columns are adjacent, or it is a
// sequence of packed panels (row 0). depth(i, m, j) is the range of k that a tile needs.
template <class T, class F>
void product(const GemmMicro<T>& g, int64_t rows, int64_t columns, T alpha, const Matrix<T>& a,
             const Matrix<T>& b, int64_t panel, T beta, T* c, int64_t ldc, F depth) {
  GemmTile<T> t{};
  t.ai = a.row;
  t.ap = a.column;
  t.bp = panel != 0 ? g.nr : b.row;
  t.bj = 1;
  t.ldc = ldc;
  t.alpha = alpha;
  t.beta = beta;
  const int64_t height = even_part(rows, g.mr);
  for (int64_t j = 0; j < columns; j += g.nr) {
    t.n = static_cast<int>(std::min<int64_t>(g.nr, columns - j));
    const T* const from = panel != 0 ? b.data + j / g.nr * panel : b.data + j;
    for (int64_t i = 0; i < rows; i += height) {
      t.m = static_cast<int>(std::min(height, rows - i));
      const Depth d = depth(i, t.m, j);
      if (d.from > d.to) continue;
      t.k = d.to - d.from;
      t.a = a.data + i * a.row + d.from * a.column;
      t.b = from + d.from * t.bp;
      t.c = c + i * ldc + j;
      g.tile(t);
    }
  }
}

// Rows of a head, transposed, as panels of b.
template <class T>
void pack_rows(const GemmMicro<T>& g, const T* rows, int64_t n, int64_t width, int64_t stride,
               T* panels) {
  for (int64_t j = 0; j < n; j += g.nr) {
    g.pack(width, static_cast<int>(std::min<int64_t>(g.nr, n - j)), rows + j * stride, stride, 1,
           panels + j * width, g.nr);
  }
}

// c = alpha x y^T where a query may see a key; y's rows are packed.
template <class T>
void scores(const GemmMicro<T>& g, const Block& b, T alpha, const T* x, int64_t ldx,
            const T* panels, int64_t width, T* c) {
  product(g, b.rows, b.n, alpha, Matrix<T>{x, ldx, 1}, Matrix<T>{panels, 0, 1}, g.nr * width, T(0),
          c, b.ld, [&](int64_t i, int m, int64_t j) {
            return b.seen_by(i + m - 1) > j ? Depth{0, width} : Depth{1, 0};
          });
}
// c (+)= alpha p y
template <class T>
void weighted(const GemmMicro<T>& g, const Block& b, T alpha, const T* p, const T* y, int64_t ldy,
              int64_t width, T beta, T* c, int64_t ldc) {
  product(g, b.rows, width, alpha, Matrix<T>{p, b.ld, 1}, Matrix<T>{y, ldy, 1}, 0, beta, c, ldc,
          [&](int64_t i, int m, int64_t) { return Depth{0, b.seen_by(i + m - 1)}; });
}
// c += alpha p^T x
template <class T>
void transposed(const GemmMicro<T>& g, const Block& b, T alpha, const T* p, const T* x, int64_t ldx,
                int64_t width, T* c, int64_t ldc) {
  product(g, b.n, width, alpha, Matrix<T>{p, 1, b.ld}, Matrix<T>{x, ldx, 1}, 0, T(1), c, ldc,
          [&](int64_t j, int, int64_t) {
            return Depth{std::clamp<int64_t>(j + 1 - b.visible, 0, b.rows), b.rows};
          });
}

template <class T>
AttentionBlock<T> masked(const Problem<T>& p, const Block& b, T* s) {
  AttentionBlock<T> out{b.rows, b.n, b.visible, s, b.ld, nullptr, nullptr, 0};
  if (p.bias) out.bias = p.bias.at(b.b, b.h, b.i0) + b.j0;
  if (p.keep) out.keep = p.keep.at(b.b, b.h, b.i0) + b.j0;
  out.mask_ld = p.bias ? p.bias.row : p.keep.row;
  return out;
}

// What dropout multiplies each probability of the block with: 0 or 1 / (1 - p).
template <class T>
void dropout_factors(const Problem<T>& p, const Block& b, T* factors) {
  const auto limit = static_cast<uint32_t>(std::ceil(p.dropout * 0x1p24));
  const T kept = T(p.dropout < 1 ? 1 / (1 - p.dropout) : 0.0);
  for (int64_t r = 0; r < b.rows; ++r) {
    const int64_t row = (b.b * p.heads + b.h) * p.queries + b.i0 + r;
    const auto first = static_cast<uint64_t>(row * p.keys + b.j0);
    T* const to = factors + r * b.ld;
    for_each_bits32(
        p.stream, first, first + static_cast<uint64_t>(b.n),
        [&](uint64_t i, uint32_t bits) { to[i - first] = bits >> 8 < limit ? T(0) : kept; });
  }
}

template <class T>
void multiply(const Block& b, const T* x, const T* y, T* out) {
  const auto mul = micro().of<T>().pointwise.binary[static_cast<int>(BinaryOp::mul)];
  for (int64_t r = 0; r < b.rows; ++r)
    mul(b.n, out + r * b.ld, x + r * b.ld, y + r * b.ld, kNoScalar);
}

inline int64_t grain_of(double work) {
  return std::max<int64_t>(1, static_cast<int64_t>(kTaskWork / std::max(work, 1.0)));
}

}  // namespace lamina::cpu::attend
