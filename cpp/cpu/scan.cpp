// Running sums, products, maxima and minima along a dimension.
//
// A line is scanned by one thread from its first element to its last, so that its bits depend on
// its elements alone. Lines whose elements lie apart are taken 64 at a time, row by row.
#include "core/parallel.h"
#include "cpu/convert.h"
#include "cpu/drivers.h"
#include "cpu/lines.h"
#include "cpu/tasks.h"

namespace lamina::cpu {
namespace {

constexpr int64_t kGrain = 16 * 1024;  // elements in one task, where a line is not longer
constexpr int64_t kWidth = 64;

// Floats gain from the wider accumulator; integers wrap, which only unsigned ones may.
template <class T>
using Accumulator = std::conditional_t<std::is_floating_point_v<T>, double, uint64_t>;

template <class T>
struct RunningSum {
  Accumulator<T> total{};
  void start(T v, int64_t) { total = static_cast<Accumulator<T>>(v); }
  void step(T v, int64_t) { total += static_cast<Accumulator<T>>(v); }
  T value() const { return convert<T>(total); }
  int64_t index() const { return 0; }
};

template <class T>
struct RunningProduct {
  Accumulator<T> total{};
  void start(T v, int64_t) { total = static_cast<Accumulator<T>>(v); }
  void step(T v, int64_t) { total *= static_cast<Accumulator<T>>(v); }
  T value() const { return convert<T>(total); }
  int64_t index() const { return 0; }
};

template <class T, bool kMax>
struct RunningExtreme {
  T best{};
  int64_t at{};
  void start(T v, int64_t i) {
    best = v;
    at = i;
  }
  void step(T v, int64_t i) {
    const bool nan = v != v;
    if (nan || (best == best && (kMax ? v >= best : v <= best))) start(v, i);
  }
  T value() const { return best; }
  int64_t index() const { return at; }
};

template <class T, class State>
void scan_lines(const TensorRef& dst, const TensorRef& indices, const TensorRef& x, int dim,
                bool reverse) {
  const Lines lines(x, dim);
  const int64_t n = lines.length();
  const int64_t inner = lines.inner_size();
  const int64_t width = lines.step(x) == 1 ? 1 : std::min(kWidth, inner);
  const int64_t groups = ceil_div(inner, width);  // in one row of the innermost dimension
  parallel_for(lines.count() / inner * groups, std::max<int64_t>(1, kGrain / (n * width)),
               [&](int64_t first, int64_t last) {
                 State state[kWidth];
                 for (int64_t g = first; g < last; ++g) {
                   const int64_t begin = g % groups * width;
                   const int64_t m = std::min(width, inner - begin);
                   const int64_t line = g / groups * inner + begin;
                   const T* from = x.as<const T>() + lines.offset(x, line);
                   T* to = dst.as<T>() + lines.offset(dst, line);
                   int64_t* at = indices.defined()
                                     ? indices.as<int64_t>() + lines.offset(indices, line)
                                     : nullptr;
                   const int64_t across_x = lines.inner_step(x), across_dst = lines.inner_step(dst);
                   for (int64_t k = 0; k < n; ++k) {
                     const int64_t i = reverse ? n - 1 - k : k;
                     const T* row = from + i * lines.step(x);
                     T* out = to + i * lines.step(dst);
                     for (int64_t j = 0; j < m; ++j) {
                       const T v = read<T>(row + j * across_x);
                       k == 0 ? state[j].start(v, i) : state[j].step(v, i);
                       out[j * across_dst] = state[j].value();
                     }
                     if (at == nullptr) continue;
                     int64_t* where = at + i * lines.step(indices);
                     for (int64_t j = 0; j < m; ++j)
                       where[j * lines.inner_step(indices)] = state[j].index();
                   }
                 }
               });
}

}  // namespace

void scan(Ctx&, ScanOp op, const TensorRef& dst, const TensorRef& indices, const TensorRef& x,
          int dim, bool reverse) {
  if (x.numel() == 0) return;
  dispatch("scan", x.dtype, [&]<class T>() {
    switch (op) {
      case ScanOp::Sum: return scan_lines<T, RunningSum<T>>(dst, indices, x, dim, reverse);
      case ScanOp::Prod: return scan_lines<T, RunningProduct<T>>(dst, indices, x, dim, reverse);
      case ScanOp::Max:
        return scan_lines<T, RunningExtreme<T, true>>(dst, indices, x, dim, reverse);
      case ScanOp::Min:
        return scan_lines<T, RunningExtreme<T, false>>(dst, indices, x, dim, reverse);
    }
  });
}

}  // namespace lamina::cpu
