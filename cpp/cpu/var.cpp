// Mean and variance in two passes over each block, the second from L1; blocks merge in order.

#include "core/parallel.h"
#include "cpu/drivers.h"
#include "cpu/micro.h"
#include "cpu/moments.h"
#include "cpu/reduce_plan.h"
#include "cpu/workspace.h"

namespace lamina::cpu {
namespace {

template <class T>
struct VarReducer {
  const ReducePlan& plan;
  T* var;
  T* mean;  // laid out like var, or null
  double correction;

  static constexpr int64_t kBlock = 2048;

  void put(int64_t o, const Moments& m) const {
    const int64_t at = plan.output_offset(0, o) / int64_t{sizeof(T)};
    const double divisor = m.count - correction;
    var[at] = static_cast<T>(m.m2 / (divisor > 0 ? divisor : 0.0));
    if (mean != nullptr) mean[at] = static_cast<T>(m.mean);
  }

  Moments piece(int64_t o, int64_t begin, int64_t end) const {
    const auto moments = micro().of<T>().norm.moments;
    Moments total;
    plan.for_blocks<T>(o, begin, end, kBlock, [&](int64_t n, const T* p) {
      moments(1, n, p, n, total.count, &total.mean, &total.m2);
      total.count += static_cast<double>(n);
    });
    return total;
  }

  void along_rows() const {
    const int64_t pieces = pieces_of(plan.count);
    if (pieces == 1) {
      parallel_for(plan.outputs, std::max<int64_t>(1, kReduceGrain / plan.count),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t o = begin; o < end; ++o) put(o, piece(o, 0, plan.count));
                   });
      return;
    }
    const Workspace<Moments> part(pieces * plan.outputs);
    parallel_for(pieces * plan.outputs, 1, [&](int64_t t, int64_t) {
      const int64_t begin = t / plan.outputs * kReduceGrain;
      part[t] = piece(t % plan.outputs, begin, std::min(plan.count, begin + kReduceGrain));
    });
    for (int64_t o = 0; o < plan.outputs; ++o) {
      Moments total;
      for (int64_t s = 0; s < pieces; ++s) total.merge(part[s * plan.outputs + o]);
      put(o, total);
    }
  }

  // Rows of contiguous columns, kRows at a time through the norm kernels.
  static constexpr int64_t kColumns = 256;
  static constexpr int64_t kRows = 32;

  void along_columns() const {
    const int64_t chunks = (plan.columns + kColumns - 1) / kColumns;
    const int64_t stripes = plan.outputs / plan.columns * chunks;
    const int64_t width = std::min(plan.columns, kColumns);
    const int64_t piece_rows = std::max(kReduceGrain / width, kRows);
    const int64_t pieces = (plan.count + piece_rows - 1) / piece_rows;
    const int64_t outputs = plan.outputs;
    const int64_t row = plan.it.byte_stride(1, 0);
    const auto moments_columns = micro().of<T>().norm.moments_columns;
    const Workspace<Moments> part(pieces * outputs);
    std::fill_n(part.data(), pieces * outputs, Moments());
    const int64_t grain =
        std::max<int64_t>(1, kReduceGrain / (width * std::min(plan.count, piece_rows)));
    parallel_for(pieces * stripes, grain, [&](int64_t first, int64_t last) {
      double mean_of[kColumns];
      double m2_of[kColumns];
      for (int64_t t = first; t < last; ++t) {
        const int64_t stripe = t % stripes;
        const int64_t begin = stripe % chunks * kColumns;
        const int64_t o = stripe / chunks * plan.columns + begin;
        const int64_t n = std::min(kColumns, plan.columns - begin);
        const char* x = plan.it.data(1) + plan.output_offset(1, o);
        std::fill_n(mean_of, n, 0.0);
        std::fill_n(m2_of, n, 0.0);
        double before = 0;
        const int64_t end = std::min(plan.count, (t / stripes + 1) * piece_rows);
        for (int64_t k = t / stripes * piece_rows; k < end; k += kRows) {
          const int64_t rows = std::min(kRows, end - k);
          moments_columns(rows, n, reinterpret_cast<const T*>(x + k * row),
                          row / int64_t{sizeof(T)}, before, mean_of, m2_of);
          before += static_cast<double>(rows);
        }
        Moments* const to = part.data() + t / stripes * outputs + o;
        for (int64_t i = 0; i < n; ++i) to[i] = {before, mean_of[i], m2_of[i]};
      }
    });
    for (int64_t o = 0; o < outputs; ++o) {
      Moments total;
      for (int64_t s = 0; s < pieces; ++s) total.merge(part[s * outputs + o]);
      put(o, total);
    }
  }

  void run() const {
    const bool columns = !plan.along_rows() && plan.direct && plan.it.reduced_rank() == 1 &&
                         plan.contiguous_columns();
    columns ? along_columns() : along_rows();
  }
};

}  // namespace

void var(Ctx& ctx, const TensorRef& dst, const TensorRef& mean, const TensorRef& x,
         double correction) {
  if (dst.numel() == 0) return;
  if (x.numel() == 0) {
    constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
    fill(ctx, dst, kNan);
    if (mean.defined()) fill(ctx, mean, kNan);
    return;
  }
  if (mean.defined() && !same_layout(mean, dst)) {
    const Tensor same = empty_strided(Dims(dst.sizes), Dims(dst.strides), mean.dtype);
    var(ctx, dst, same, x, correction);
    copy(ctx, mean, same);
    return;
  }
  dispatch_floating("var", dst.dtype, [&]<class T>() {
    const ReducePlan plan("var", dst, x, dst.dtype);
    VarReducer<T>{plan, dst.as<T>(), mean.as<T>(), correction}.run();
  });
}

}  // namespace lamina::cpu
