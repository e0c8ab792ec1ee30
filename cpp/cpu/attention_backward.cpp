// The gradient of attention, from the logarithm of each row's sum: the probabilities are computed
// again.
//
// A task is a head of keys with all queries that read it, so that each gradient has one owner;
// where heads are few, the queries are dealt to a fixed number of tasks, whose shares of dk and dv
// are added up in order.
#include "core/parallel.h"
#include "cpu/attention_blocks.h"

namespace lamina::cpu {
namespace {

using namespace attend;

// Tasks of a backward pass that deals out the queries of a head.
constexpr int64_t kTasks = 8;

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

void attention_backward(Ctx&, const AttentionBackwardArgs& args) {
  dispatch_floating("scaled_dot_product_attention", args.forward.q.dtype,
                    [&]<class T>() { run_backward<T>(args); });
}

}  // namespace lamina::cpu
