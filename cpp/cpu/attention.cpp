// Scaled dot-product attention in blocks of queries and keys, so that the scores of a block stay in
// a cache and memory grows with the length, not with its square.
//
// Forward is an online softmax over blocks of keys (Milakov and Gimelshein, 2018; Rabe and Staats,
// 2021; Dao et al., 2022); short rows are one block and a plain softmax. It leaves the logarithm of
// each row's sum, from which backward computes the probabilities again. A task of the forward is a
// block of queries of one head. A task of the backward is a head of keys with all queries that read
// it, so that each gradient has one owner; where heads are few, the queries are dealt to a fixed
// number of tasks, whose shares of dk and dv are added up in order.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/parallel.h"
#include "cpu/drivers.h"
#include "cpu/micro.h"
#include "cpu/workspace.h"

namespace lamina::cpu {
namespace {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
// The size of equal blocks of at most `most` that cover n.
constexpr int64_t block_of(int64_t n, int64_t most) {
  return n == 0 ? 1 : ceil_div(n, ceil_div(n, most));
}

// A block of scores has at most so many queries and bytes of keys: half of an L2 cache holds two.
constexpr int64_t kQueries = 128;
constexpr int64_t kKeyBytes = 1024;
// About 15 us of one core: less is not worth waking another for.
constexpr double kTaskWork = 2e6;
// Tasks of a backward pass that deals out the queries of a head.
constexpr int64_t kTasks = 8;

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

  int64_t key_block() const { return block_of(keys, kKeyBytes / static_cast<int64_t>(sizeof(T))); }
  int64_t query_block() const { return block_of(queries, kQueries); }
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
  const int64_t height = block_of(rows, g.mr);
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

int64_t grain_of(double work) {
  return std::max<int64_t>(1, static_cast<int64_t>(kTaskWork / std::max(work, 1.0)));
}

// --- forward ---

template <class T>
struct ForwardSpace {
  explicit ForwardSpace(const Problem<T>& p)
      : area(p.query_block() * p.key_block()),
        scores(area),
        factors(p.dropout > 0 ? area : 0),
        panels(p.width * (p.key_block() + micro().of<T>().gemm.nr)),
        max(p.query_block()),
        sum(p.query_block()),
        rescale(p.query_block()) {}
  int64_t area;
  Workspace<T, 16384> scores;
  Workspace<T, 64> factors;
  Workspace<T, 64> panels;
  Workspace<T, 1024> max, sum, rescale;
};

template <class T>
void forward_block(const Problem<T>& p, int64_t b, int64_t h, int64_t i0,
                   const ForwardSpace<T>& space) {
  const GemmMicro<T>& g = micro().of<T>().gemm;
  const AttentionMicro<T>& a = micro().of<T>().attention;
  const int64_t group = h / (p.heads / p.groups);
  const int64_t rows = std::min(p.query_block(), p.queries - i0);
  T* const y = p.y.at(b, h, i0);
  T* const max = space.max.data();
  T* const sum = space.sum.data();
  T* const rescale = space.rescale.data();
  std::fill_n(max, rows, -std::numeric_limits<T>::infinity());
  std::fill_n(sum, rows, T(0));
  bool first = true;
  for (int64_t j0 = 0; j0 < p.keys; j0 += p.key_block()) {
    const Block block_ = block(p, b, h, i0, j0);
    if (block_.n == 0) break;
    T* s = space.scores.data();
    pack_rows(g, p.k.at(b, group, j0), block_.n, p.width, p.k.row, space.panels.data());
    scores(g, block_, p.scale, p.q.at(b, h, i0), p.q.row, space.panels.data(), p.width, s);
    a.exponentials(masked(p, block_, s), max, sum, rescale);
    if (p.dropout > 0) {
      dropout_factors(p, block_, space.factors.data());
      multiply(block_, s, space.factors.data(), s);
    }
    if (!first) a.scale_rows(rows, p.value_width, y, p.y.row, rescale);
    weighted(g, block_, T(1), s, p.v.at(b, group, j0), p.v.row, p.value_width, T(first ? 0 : 1), y,
             p.y.row);
    first = false;
  }
  if (first)
    for (int64_t r = 0; r < rows; ++r) std::fill_n(y + r * p.y.row, p.value_width, T(0));
  T* const logsumexp = p.logsumexp + (b * p.heads + h) * p.queries + i0;
  for (int64_t r = 0; r < rows; ++r) {
    const bool none = sum[r] == T(0);  // and y is 0
    logsumexp[r] = none ? std::numeric_limits<T>::infinity() : max[r] + std::log(sum[r]);
    rescale[r] = none ? T(0) : T(1) / sum[r];
  }
  a.scale_rows(rows, p.value_width, y, p.y.row, rescale);
}

template <class T>
void run(const AttentionArgs& args) {
  const Problem<T> p(args);
  const int64_t blocks = ceil_div(p.queries, p.query_block());
  parallel_for(p.batch * p.heads * blocks, grain_of(p.work(4)), [&](int64_t begin, int64_t end) {
    const ForwardSpace<T> space(p);
    for (int64_t item = begin; item < end; ++item) {
      const int64_t head = item / blocks;
      forward_block(p, head / p.heads, head % p.heads, item % blocks * p.query_block(), space);
    }
  });
}

// --- backward ---

template <class T>
struct BackwardProblem {
  Problem<T> forward;
  Heads<const T> dy;
  Heads<T> dq, dk, dv;
};

template <class T>
struct BackwardSpace {
  explicit BackwardSpace(const Problem<T>& p)
      : area(p.query_block() * p.key_block()),
        prob(area),
        ds(area),
        factors(p.dropout > 0 ? area : 0),
        k_panels(p.width * (p.key_block() + micro().of<T>().gemm.nr)),
        v_panels(p.value_width * (p.key_block() + micro().of<T>().gemm.nr)),
        delta(p.queries) {}
  int64_t area;
  Workspace<T, 64> prob, ds, factors, k_panels, v_panels;
  Workspace<T, 1024> delta;
};

// A gradient of keys or values: where a head's lies.
template <class T>
struct Rows {
  T* data;  // null: not wanted
  int64_t stride, width;
  T* at(int64_t j) const { return data == nullptr ? nullptr : data + j * stride; }
  void clear(int64_t n) const {
    for (int64_t j = 0; data != nullptr && j < n; ++j) std::fill_n(at(j), width, T(0));
  }
};

// Adds what blocks of queries [first, last) of head h give to the gradients of the keys and values
// that it reads, and writes theirs.
template <class T>
void backward_head(const BackwardProblem<T>& back, int64_t b, int64_t h, int64_t first,
                   int64_t last, const Rows<T>& dk, const Rows<T>& dv,
                   const BackwardSpace<T>& space) {
  const Problem<T>& p = back.forward;
  const GemmMicro<T>& g = micro().of<T>().gemm;
  const AttentionMicro<T>& a = micro().of<T>().attention;
  const int64_t group = h / (p.heads / p.groups), step = p.query_block();
  const T* const logsumexp = p.logsumexp + (b * p.heads + h) * p.queries;
  const int64_t from = first * step, to = std::min(last * step, p.queries);
  T* const delta = space.delta.data();
  a.dot_rows(to - from, p.value_width, back.dy.at(b, h, from), back.dy.row, p.y.at(b, h, from),
             p.y.row, delta + from);
  if (p.keys == 0 && back.dq)
    for (int64_t i = from; i < to; ++i) std::fill_n(back.dq.at(b, h, i), p.width, T(0));
  for (int64_t j0 = 0; j0 < p.keys; j0 += p.key_block()) {
    const int64_t n = std::min(p.key_block(), p.keys - j0);
    pack_rows(g, p.k.at(b, group, j0), n, p.width, p.k.row, space.k_panels.data());
    pack_rows(g, p.v.at(b, group, j0), n, p.value_width, p.v.row, space.v_panels.data());
    for (int64_t i0 = from; i0 < to; i0 += step) {
      const Block block_ = block(p, b, h, i0, j0);
      if (block_.n == 0) continue;
      T* const prob = space.prob.data();
      T* const ds = space.ds.data();
      const T* const q = p.q.at(b, h, i0);
      const T* const dy = back.dy.at(b, h, i0);
      scores(g, block_, p.scale, q, p.q.row, space.k_panels.data(), p.width, prob);
      a.probabilities(masked(p, block_, prob), logsumexp + i0);
      const T* kept = prob;
      if (p.dropout > 0) {
        dropout_factors(p, block_, space.factors.data());
        multiply(block_, prob, space.factors.data(), ds);
        kept = ds;
      }
      if (dv.data != nullptr)
        transposed(g, block_, T(1), kept, dy, back.dy.row, dv.width, dv.at(j0), dv.stride);
      if (dk.data == nullptr && !back.dq) continue;
      scores(g, block_, T(1), dy, back.dy.row, space.v_panels.data(), p.value_width, ds);
      if (p.dropout > 0) multiply(block_, ds, space.factors.data(), ds);
      a.backward(masked(p, block_, ds), prob, delta + i0);
      if (back.dq) {
        weighted(g, block_, p.scale, ds, p.k.at(b, group, j0), p.k.row, p.width, T(j0 == 0 ? 0 : 1),
                 back.dq.at(b, h, i0), back.dq.row);
      }
      if (dk.data != nullptr)
        transposed(g, block_, p.scale, ds, q, p.q.row, dk.width, dk.at(j0), dk.stride);
    }
  }
}

template <class T>
void run_backward(const AttentionBackwardArgs& args) {
  const BackwardProblem<T> back{Problem<T>(args.forward), Heads<const T>(args.dy),
                                Heads<T>(args.dq), Heads<T>(args.dk), Heads<T>(args.dv)};
  const Problem<T>& p = back.forward;
  const int64_t heads = p.batch * p.groups;  // of keys
  if (heads == 0) return;
  const int64_t shared = p.heads / p.groups;
  const int64_t blocks = ceil_div(p.queries, p.query_block());
  const int64_t units = shared * blocks;  // what a head of keys is read by
  const double work = p.work(10) * static_cast<double>(units);
  const auto want = static_cast<int64_t>(work * static_cast<double>(heads) / kTaskWork);
  const int64_t splits =
      std::max<int64_t>(1, std::min(units, ceil_div(std::min(want, kTasks), heads)));
  // The first share is written where the sum belongs, the others side by side.
  const int64_t k_size = heads * p.keys * p.width, v_size = heads * p.keys * p.value_width;
  const Workspace<T, 64> k_shares((splits - 1) * k_size), v_shares((splits - 1) * v_size);
  const auto share = [&](const Heads<T>& whole, const Workspace<T, 64>& shares, int64_t size,
                         int64_t width, int64_t head, int64_t split) {
    if (!whole) return Rows<T>{nullptr, 0, width};
    if (split == 0) return Rows<T>{whole.at(head / p.groups, head % p.groups, 0), whole.row, width};
    return Rows<T>{shares.data() + (split - 1) * size + head * p.keys * width, width, width};
  };
  const auto dk = [&](int64_t head, int64_t split) {
    return share(back.dk, k_shares, k_size, p.width, head, split);
  };
  const auto dv = [&](int64_t head, int64_t split) {
    return share(back.dv, v_shares, v_size, p.value_width, head, split);
  };
  const double work_of_task = work / static_cast<double>(splits);
  parallel_for(heads * splits, grain_of(work_of_task), [&](int64_t begin, int64_t end) {
    const BackwardSpace<T> space(p);
    for (int64_t item = begin; item < end; ++item) {
      const int64_t head = item / splits, split = item % splits;
      const Rows<T> dk_ = dk(head, split), dv_ = dv(head, split);
      dk_.clear(p.keys);
      dv_.clear(p.keys);
      const int64_t last = units * (split + 1) / splits;
      for (int64_t unit = units * split / splits; unit < last;) {
        const int64_t of_group = unit / blocks;
        const int64_t upto = std::min((of_group + 1) * blocks, last);
        backward_head(back, head / p.groups, head % p.groups * shared + of_group, unit % blocks,
                      upto - of_group * blocks, dk_, dv_, space);
        unit = upto;
      }
    }
  });
  if (splits == 1) return;
  const auto add = micro().of<T>().reduce.add;
  const int64_t row_work = 2 * splits * (p.width + p.value_width);
  parallel_for(heads * p.keys, grain_of(static_cast<double>(row_work)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t item = begin; item < end; ++item) {
                   const int64_t head = item / p.keys, j = item % p.keys;
                   for (int64_t split = 1; split < splits; ++split) {
                     if (back.dk) add(p.width, dk(head, 0).at(j), dk(head, split).at(j));
                     if (back.dv) add(p.value_width, dv(head, 0).at(j), dv(head, split).at(j));
                   }
                 }
               });
}

}  // namespace

void attention(Ctx&, const AttentionArgs& args) {
  dispatch_floating("scaled_dot_product_attention", args.q.dtype, [&]<class T>() { run<T>(args); });
}
void attention_backward(Ctx&, const AttentionBackwardArgs& args) {
  dispatch_floating("scaled_dot_product_attention", args.forward.q.dtype,
                    [&]<class T>() { run_backward<T>(args); });
}

}  // namespace lamina::cpu
