// Sum, Prod, Max, Min, Any and All over any dimensions.
//
// Along rows, a result's elements are folded block by block. Otherwise rows of many results are
// accumulated into each other, which reads x in memory order. Either way a long reduction is cut
// into pieces that are a function of the shape alone, run in parallel, and merged in order.
#include <type_traits>

#include "core/parallel.h"
#include "cpu/drivers.h"
#include "cpu/integer_micro.h"
#include "cpu/reduce_plan.h"
#include "cpu/workspace.h"
#include "wrapping.h"

namespace lamina::cpu {
namespace {

constexpr const char* kNames[] = {"sum", "prod", "max", "min", "any", "all"};

double identity(ReduceOp op) {
  switch (op) {
    case ReduceOp::Sum:
    case ReduceOp::Any: return 0;
    case ReduceOp::Prod:
    case ReduceOp::All: return 1;
    default: raise<ValueError>(kNames[static_cast<int>(op)], ": of no elements is not defined");
  }
}

// Blocks of float sums meet in double: it costs nothing there.
template <class T>
using Partial = std::conditional_t<std::is_floating_point_v<T>, double, T>;

template <class P>
P merge(ReduceOp op, P a, P b) {
  if constexpr (std::is_floating_point_v<P>) {
    switch (op) {
      case ReduceOp::Sum: return a + b;
      case ReduceOp::Prod: return a * b;
      case ReduceOp::Max: return a > b || a != a ? a : b;
      default: return a < b || a != a ? a : b;
    }
  } else {
    const Wrapping<P> x(a);
    const Wrapping<P> y(b);
    switch (op) {
      case ReduceOp::Sum: return (x + y).value;
      case ReduceOp::Prod: return (x * y).value;
      case ReduceOp::Max:
      case ReduceOp::Any: return maximum(x, y).value;
      default: return minimum(x, y).value;
    }
  }
}

template <class T>
class Reducer {
 public:
  Reducer(ReduceOp op, const TensorRef& dst, const TensorRef& x)
      : op_(op), plan_(kNames[static_cast<int>(op)], dst, x, kDTypeOf<T>) {
    const ReduceMicro<T>& m = reduce_micro<T>();
    switch (op) {
      case ReduceOp::Sum: fold_ = m.sum, accumulate_ = m.add; break;
      case ReduceOp::Prod: fold_ = m.prod, accumulate_ = m.multiply; break;
      case ReduceOp::Max:
      case ReduceOp::Any: fold_ = m.max, accumulate_ = m.maximum; break;
      default: fold_ = m.min, accumulate_ = m.minimum;
    }
  }

  void run() const { plan_.along_rows() ? along_rows() : along_columns(); }

 private:
  using P = Partial<T>;

  T* output(int64_t o) const {
    return reinterpret_cast<T*>(plan_.it.data(0) + plan_.output_offset(0, o));
  }

  // --- results one after the other ---

  P piece(int64_t o, int64_t begin, int64_t end) const {
    P total{};
    bool first = true;
    plan_.for_blocks<T>(o, begin, end, kReduceGrain, [&](int64_t n, const T* p) {
      const P part = fold_(n, p);
      total = first ? part : merge(op_, total, part);
      first = false;
    });
    return total;
  }

  void along_rows() const {
    const int64_t pieces = pieces_of(plan_.count);
    if (pieces == 1) {
      parallel_for(plan_.outputs, kReduceGrain / plan_.count, [&](int64_t begin, int64_t end) {
        for (int64_t o = begin; o < end; ++o) *output(o) = static_cast<T>(piece(o, 0, plan_.count));
      });
      return;
    }
    // Pieces of neighbouring results are neighbours in memory when x is strided.
    const Workspace<P> partial(pieces * plan_.outputs);
    parallel_for(pieces * plan_.outputs, 1, [&](int64_t t, int64_t) {
      const int64_t begin = t / plan_.outputs * kReduceGrain;
      partial[t] = piece(t % plan_.outputs, begin, std::min(plan_.count, begin + kReduceGrain));
    });
    for (int64_t o = 0; o < plan_.outputs; ++o) {
      P total = partial[o];
      for (int64_t s = 1; s < pieces; ++s)
        total = merge(op_, total, partial[s * plan_.outputs + o]);
      *output(o) = static_cast<T>(total);
    }
  }

  // --- all results of a row at once ---

  static constexpr int64_t kColumns = 1024;  // accumulators that stay in L1
  static constexpr int64_t kRows = 128;      // rows added up before they join the rest

  // acc[0, n) = rows [begin, end) of n columns from x on; each `stride` bytes after the other.
  void rows(int64_t begin, int64_t end, const char* x, int64_t n, int64_t stride, T* acc) const {
    alignas(64) T sum[kColumns];
    alignas(64) T buffer[kColumns];
    const bool direct = plan_.direct && stride == plan_.item();
    for (int64_t block = begin; block < end; block += kRows) {
      T* to = block == begin ? acc : sum;
      for (int64_t k = block; k < std::min(end, block + kRows); ++k) {
        const char* p = x + plan_.reduced_offset(k);
        if (k == block) {
          plan_.cast(n, reinterpret_cast<char*>(to), plan_.item(), p, stride);
        } else if (direct) {
          accumulate_(n, to, reinterpret_cast<const T*>(p));
        } else {
          plan_.cast(n, reinterpret_cast<char*>(buffer), plan_.item(), p, stride);
          accumulate_(n, to, buffer);
        }
      }
      if (to == sum) accumulate_(n, acc, sum);
    }
  }

  // The same for few columns whose rows lie end to end: many rows are taken as one wide one, and
  // folded at the end.
  void narrow_rows(int64_t begin, int64_t end, const char* x, T* acc) const {
    const int64_t columns = plan_.columns;
    const int64_t group = kColumns / columns;
    const int64_t width = group * columns;
    const int64_t groups = (end - begin) / group;
    const T* p = reinterpret_cast<const T*>(x + plan_.reduced_offset(begin));
    alignas(64) T wide[kColumns];
    alignas(64) T sum[kColumns];
    int64_t have = 0;
    for (int64_t block = 0; block < groups; block += kRows) {
      T* to = block == 0 ? wide : sum;
      std::copy(p, p + width, to);
      p += width;
      for (int64_t g = block + 1; g < std::min(groups, block + kRows); ++g, p += width)
        accumulate_(width, to, p);
      if (to == sum) accumulate_(width, wide, sum);
      have = group;
    }
    const int64_t rest = (end - begin) % group;
    if (have == 0) {
      std::copy(p, p + rest * columns, wide);
      have = rest;
    } else if (rest > 0) {
      accumulate_(rest * columns, wide, p);
    }
    while (have > 1) {
      const int64_t half = have / 2;
      accumulate_(half * columns, wide, wide + (have - half) * columns);
      have -= half;
    }
    std::copy(wide, wide + columns, acc);
  }

  void along_columns() const {
    // Few short rows through the buffer: a stripe of them stays in L1, whose lines hold several.
    const bool few = !plan_.contiguous_columns() && plan_.count < kRows;
    const int64_t most = few ? std::clamp<int64_t>(2048 / plan_.count, 32, kColumns) : kColumns;
    const int64_t width = std::min(plan_.columns, most);
    const int64_t chunks = (plan_.columns + most - 1) / most;
    const int64_t stripes = plan_.outputs / plan_.columns * chunks;
    const int64_t piece_rows = std::max<int64_t>(kReduceGrain / width, kRows);
    const int64_t pieces = (plan_.count + piece_rows - 1) / piece_rows;
    const bool narrow = plan_.columns <= kColumns / 4 && plan_.direct &&
                        plan_.it.reduced_rank() == 1 && plan_.contiguous_columns() &&
                        plan_.it.byte_stride(1, 0) == plan_.columns * plan_.item();
    const auto one = [&](int64_t piece, int64_t stripe, T* acc, int64_t* o, int64_t* n) {
      const int64_t first = stripe % chunks * most;
      *o = stripe / chunks * plan_.columns + first;
      *n = std::min(most, plan_.columns - first);
      const char* x = plan_.it.data(1) + plan_.output_offset(1, *o);
      const int64_t begin = piece * piece_rows;
      const int64_t end = std::min(plan_.count, begin + piece_rows);
      if (narrow)
        narrow_rows(begin, end, x, acc);
      else
        rows(begin, end, x, *n, plan_.column_stride, acc);
    };
    const auto write = [&](int64_t o, int64_t n, const T* from) {
      char* to = plan_.it.data(0) + plan_.output_offset(0, o);
      for (int64_t i = 0; i < n; ++i) *reinterpret_cast<T*>(to + i * plan_.out_stride) = from[i];
    };

    if (pieces == 1) {
      const int64_t grain = std::max<int64_t>(1, kReduceGrain / (width * plan_.count));
      parallel_for(stripes, grain, [&](int64_t begin, int64_t end) {
        alignas(64) T acc[kColumns];
        int64_t o, n;
        for (int64_t stripe = begin; stripe < end; ++stripe) {
          one(0, stripe, acc, &o, &n);
          write(o, n, acc);
        }
      });
      return;
    }
    const int64_t outputs = plan_.outputs;
    const Workspace<T> partial(pieces * outputs);
    parallel_for(pieces * stripes, 1, [&](int64_t t, int64_t) {
      alignas(64) T acc[kColumns];
      int64_t o, n;
      one(t / stripes, t % stripes, acc, &o, &n);
      std::copy(acc, acc + n, partial.data() + t / stripes * outputs + o);
    });
    // Pairwise: neighbours first.
    parallel_for(outputs, std::max<int64_t>(64, kReduceGrain / pieces),
                 [&](int64_t begin, int64_t end) {
                   const auto row = [&](int64_t s) { return partial.data() + s * outputs + begin; };
                   for (int64_t step = 1; step < pieces; step *= 2)
                     for (int64_t s = 0; s + step < pieces; s += 2 * step)
                       accumulate_(end - begin, row(s), row(s + step));
                 });
    for (int64_t o = 0; o < outputs; o += plan_.columns)
      write(o, plan_.columns, partial.data() + o);
  }

  ReduceOp op_;
  ReducePlan plan_;
  T (*fold_)(int64_t, const T*);
  void (*accumulate_)(int64_t, T*, const T*);
};

}  // namespace

void reduce(Ctx& ctx, ReduceOp op, const TensorRef& dst, const TensorRef& x) {
  if (x.numel() == 0) {
    if (dst.numel() > 0) fill(ctx, dst, identity(op));
    return;
  }
  const char* name = kNames[static_cast<int>(op)];
  dispatch(name, dst.dtype, [&]<class T>() {
    // The loss of a small batch: no plan.
    if (op == ReduceOp::Sum && dst.numel() == 1 && x.dtype == dst.dtype && x.contiguous() &&
        x.numel() <= kReduceGrain) {
      *dst.as<T>() = reduce_micro<T>().sum(x.numel(), x.as<const T>());
      return;
    }
    Reducer<T>(op, dst, x).run();
  });
}

}  // namespace lamina::cpu
