// Scaled dot-product attention in blocks of queries and keys, so that the scores of a block stay in
// a cache and memory grows with the length, not with its square.
//
// An online softmax over blocks of keys (Milakov and Gimelshein, 2018; Rabe and Staats, 2021; Dao
// et al., 2022); short rows are one block and a plain softmax. A task is a block of queries of one
// head. What is kept of each row is the logarithm of its sum.
#include <limits>

#include "core/parallel.h"
#include "cpu/attention_blocks.h"

namespace lamina::cpu {
namespace {

using namespace attend;

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

}  // namespace

void attention(Ctx&, const AttentionArgs& args) {
  dispatch_floating("scaled_dot_product_attention", args.q.dtype, [&]<class T>() { run<T>(args); });
}

}  // namespace lamina::cpu
