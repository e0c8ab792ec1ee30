// Where along a dimension the first maximum or minimum is; NaN counts as the extreme.

#include "core/parallel.h"
#include "cpu/drivers.h"
#include "cpu/integer_micro.h"
#include "cpu/reduce_plan.h"
#include "cpu/workspace.h"

namespace lamina::cpu {
namespace {

// True when a comes before b in the order that the op looks for.
template <class T>
bool beats(bool want_max, T a, T b) {
  return (want_max ? a > b : a < b) || (a != a && b == b);
}

template <class T>
int64_t find(const T* p, int64_t n, T value) {
  const bool nan = value != value;
  for (int64_t i = 0; i < n; ++i)
    if (p[i] == value || (nan && p[i] != p[i])) return i;
  return 0;
}

template <class T>
struct ArgReducer {
  bool want_max;
  const ReducePlan& plan;
  T* values;  // null when they are not wanted; laid out like the indices
  int64_t* indices;
  T (*extreme)(int64_t, const T*);

  void put(int64_t o, T value, int64_t index) const {
    const int64_t at = plan.output_offset(0, o) / int64_t{sizeof(int64_t)};
    indices[at] = index;
    if (values != nullptr) values[at] = value;
  }

  // Rows in memory: the extreme by the vector kernel, then where it is.
  void rows() const {
    const int64_t pieces = pieces_of(plan.count);
    struct Found {
      T value;
      int64_t index;
    };
    const Workspace<Found> found(pieces * plan.outputs);
    parallel_for(pieces * plan.outputs, std::max<int64_t>(1, kReduceGrain / plan.count),
                 [&](int64_t first, int64_t last) {
                   for (int64_t t = first; t < last; ++t) {
                     const int64_t begin = t % pieces * kReduceGrain;
                     const int64_t n = std::min(plan.count - begin, kReduceGrain);
                     const T* p = reinterpret_cast<const T*>(plan.it.data(1) +
                                                             plan.output_offset(1, t / pieces)) +
                                  begin;
                     const T value = extreme(n, p);
                     found[t] = {value, begin + find(p, n, value)};
                   }
                 });
    for (int64_t o = 0; o < plan.outputs; ++o) {
      Found best = found[o * pieces];
      for (int64_t s = 1; s < pieces; ++s) {
        const Found& f = found[o * pieces + s];
        if (beats(want_max, f.value, best.value)) best = f;
      }
      put(o, best.value, best.index);
    }
  }

  // Many results at once, row by row.
  void columns() const {
    constexpr int64_t kColumns = 256;
    const int64_t chunks = (plan.columns + kColumns - 1) / kColumns;
    const int64_t width = std::min(plan.columns, kColumns);
    const int64_t step = plan.it.reduced_rank() > 0 ? plan.it.byte_stride(1, 0) : 0;
    parallel_for(plan.outputs / plan.columns * chunks,
                 std::max<int64_t>(1, kReduceGrain / 4 / (width * plan.count)),
                 [&](int64_t first, int64_t last) {
                   T best[kColumns];
                   int64_t index[kColumns];
                   for (int64_t stripe = first; stripe < last; ++stripe) {
                     const int64_t begin = stripe % chunks * kColumns;
                     const int64_t o = stripe / chunks * plan.columns + begin;
                     const int64_t n = std::min(kColumns, plan.columns - begin);
                     const char* x = plan.it.data(1) + plan.output_offset(1, o);
                     for (int64_t i = 0; i < n; ++i) {
                       best[i] = read<T>(x + i * plan.column_stride);
                       index[i] = 0;
                     }
                     for (int64_t k = 1; k < plan.count; ++k) {
                       for (int64_t i = 0; i < n; ++i) {
                         const T v = read<T>(x + k * step + i * plan.column_stride);
                         if (!beats(want_max, v, best[i])) continue;
                         best[i] = v;
                         index[i] = k;
                       }
                     }
                     for (int64_t i = 0; i < n; ++i) put(o + i, best[i], index[i]);
                   }
                 });
  }
};

}  // namespace

void arg_reduce(Ctx& ctx, ReduceOp op, const TensorRef& values, const TensorRef& indices,
                const TensorRef& x, int dim) {
  const bool want_max = op == ReduceOp::Max;
  const char* name = want_max ? "argmax" : "argmin";
  if (indices.numel() == 0) return;
  check<ValueError>(x.numel() > 0, name, ": of no elements is not defined", line("input", x.sizes),
                    line("dim", dim));
  if (values.defined() && !same_layout(values, indices)) {
    const Tensor same = empty_strided(Dims(indices.sizes), Dims(indices.strides), values.dtype);
    arg_reduce(ctx, op, same, indices, x, dim);
    copy(ctx, values, same);
    return;
  }
  dispatch(name, x.dtype, [&]<class T>() {
    const ReducePlan plan(name, indices, x, x.dtype);
    const auto& m = reduce_micro<T>();
    const ArgReducer<T> reducer{want_max, plan, values.as<T>(), indices.as<int64_t>(),
                                want_max ? m.max : m.min};
    const bool rows = plan.contiguous_runs() && (plan.count >= 16 || plan.columns < 4);
    rows ? reducer.rows() : reducer.columns();
  });
}

}  // namespace lamina::cpu
