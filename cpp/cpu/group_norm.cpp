// Normalisation of each group of a sample by itself, over [N, G, C, S].
//
// Where S == 1 a group is a row of numbers with a weight each (layer norm, RMS norm): one micro
// kernel does rows at a time, in L1, and adds up the sums of columns that are the weights'
// gradients. Otherwise a group is C channels of S numbers, which the kernels of batch norm take.
// Sums of columns are taken in parts that depend on the shape alone, and merge in order.
#include <algorithm>
#include <cmath>

#include "core/parallel.h"
#include "cpu/drivers.h"
#include "cpu/micro.h"
#include "cpu/per_channel.h"
#include "cpu/tasks.h"
#include "cpu/workspace.h"

namespace lamina::cpu {
namespace {

constexpr int64_t kTaskElements = 16384;
constexpr int64_t kBlockElements = 2048;  // of a group whose sum is taken in T
// Rows whose sums of columns are one part: enough to make merging cheap, few enough for sums in T.
constexpr int64_t kPartRows = 64, kLeastPartRows = 4;
constexpr int64_t kPartElements = 32768;
constexpr int64_t kMergedColumns = 256;

struct Shape {
  int64_t n, groups, channels, s;
  explicit Shape(std::span<const int64_t> sizes)
      : n(sizes[0]), groups(sizes[1]), channels(sizes[2]), s(sizes[3]) {}
  int64_t group() const { return channels * s; }            // values of a group
  int64_t params() const { return groups * channels; }      // entries of a weight
  int64_t sample() const { return groups * channels * s; }  // values of a sample
  bool empty() const { return n == 0 || sample() == 0; }
  int64_t grain(int64_t elements) const { return std::max<int64_t>(1, kTaskElements / elements); }
};

template <class T>
void run_group_norm(const GroupNormArgs& args) {
  const NormMicro<T>& m = micro().of<T>().norm;
  const Shape shape(args.x.sizes);
  if (shape.empty()) return;
  const T* const x = args.x.as<T>();
  T* const y = args.y.as<T>();
  T* const mean = args.mean.as<T>();
  T* const invstd = args.invstd.as<T>();
  const PerChannel<T> weight(args.weight, shape.params(), T(1));
  const PerChannel<T> bias(args.bias, shape.params(), T(0));
  const int64_t groups = shape.groups, size = shape.group();

  const auto rows = [&](int64_t first, int64_t count, int64_t column) {
    m.rows(count, size, y + first * size, x + first * size, weight.at(column), bias.at(column),
           args.eps, mean == nullptr ? mean : mean + first, invstd + first);
  };
  const auto channels = [&](int64_t row) {
    const T* const from = x + row * size;
    double center = 0, m2 = 0;
    for (int64_t at = 0; at < size; at += kBlockElements)
      m.moments(1, std::min(kBlockElements, size - at), from + at, kBlockElements,
                static_cast<double>(at), &center, &m2);
    const double inv = 1 / std::sqrt(m2 / static_cast<double>(size) + args.eps);
    mean[row] = T(center);
    invstd[row] = T(inv);
    const double rest = center - static_cast<double>(mean[row]);
    for (int64_t c = 0; c < shape.channels; ++c) {
      const int64_t column = row % groups * shape.channels + c;
      const double scale = static_cast<double>(*weight.at(column)) * inv;
      m.affine(1, shape.s, y + row * size + c * shape.s, from + c * shape.s, 0, mean[row], T(scale),
               T(static_cast<double>(*bias.at(column)) - rest * scale));
    }
  };
  parallel_for(shape.n * groups, shape.grain(size), [&](int64_t begin, int64_t end) {
    if (shape.s == 1 && groups == 1) {
      rows(begin, end - begin, 0);
      return;
    }
    for (int64_t row = begin; row < end; ++row) {
      if (shape.s == 1)
        rows(row, 1, row % groups * shape.channels);
      else
        channels(row);
    }
  });
}

// Sums of columns in parts, each [2, columns]: of dy * normalised x, and of dy.
template <class A>
class ColumnSums {
 public:
  ColumnSums(int64_t parts, int64_t columns)
      : parts_(parts), columns_(columns), memory_(parts * 2 * columns) {}
  A* of(int64_t part) const { return memory_.data() + part * 2 * columns_; }

  template <class T>
  void merge(const TensorRef& dweight, const TensorRef& dbias) const {
    T* const out[2] = {dweight.as<T>(), dbias.as<T>()};
    const int64_t work = parts_ * std::min(columns_, kMergedColumns);
    const int64_t strips = ceil_div(columns_, kMergedColumns);
    parallel_for(strips, std::max<int64_t>(1, kTaskElements / work),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t strip = begin; strip < end; ++strip) {
                     const int64_t first = strip * kMergedColumns;
                     const int64_t count = std::min(kMergedColumns, columns_ - first);
                     for (int which = 0; which < 2; ++which) {
                       if (out[which] == nullptr) continue;
                       double total[kMergedColumns] = {};
                       for (int64_t part = 0; part < parts_; ++part) {
                         const A* const from = of(part) + which * columns_ + first;
                         for (int64_t c = 0; c < count; ++c)
                           total[c] += static_cast<double>(from[c]);
                       }
                       for (int64_t c = 0; c < count; ++c) out[which][first + c] = T(total[c]);
                     }
                   }
                 });
  }

 private:
  int64_t parts_, columns_;
  Workspace<A> memory_;
};

template <class T>
void run_rows_backward(const GroupNormBackwardArgs& args, const Shape& shape) {
  const NormMicro<T>& m = micro().of<T>().norm;
  const T* const mean = args.mean.as<T>();
  const PerChannel<T> weight(args.weight, shape.params(), T(1));
  const int64_t groups = shape.groups, size = shape.group(), columns = shape.params();
  const int64_t samples =
      std::clamp(kPartElements / std::max<int64_t>(columns, 1), kLeastPartRows, kPartRows);
  const int64_t parts = (shape.n + samples - 1) / samples;
  const ColumnSums<T> sums(parts, columns);
  const auto rows = [&](int64_t first, int64_t count, int64_t column, T* part) {
    const int64_t at = first * size;
    m.rows_backward(count, size, args.dx.as<T>() + at, args.dy.as<T>() + at, args.x.as<T>() + at,
                    weight.at(column), mean == nullptr ? mean : mean + first,
                    args.invstd.as<T>() + first, part + column, part + columns + column);
  };
  parallel_for(parts, shape.grain(samples * columns), [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      T* const to = sums.of(part);
      std::fill_n(to, 2 * columns, T(0));
      const int64_t first = part * samples, last = std::min(shape.n, first + samples);
      if (groups == 1) {
        rows(first, last - first, 0, to);
        continue;
      }
      for (int64_t row = first * groups; row < last * groups; ++row)
        rows(row, 1, row % groups * size, to);
    }
  });
  sums.template merge<T>(args.dweight, args.dbias);
}

template <class T>
void run_channels_backward(const GroupNormBackwardArgs& args, const Shape& shape) {
  const NormMicro<T>& m = micro().of<T>().norm;
  const PerChannel<T> weight(args.weight, shape.params(), T(1));
  const int64_t size = shape.group(), columns = shape.params();
  const ColumnSums<double> sums(shape.n, columns);
  parallel_for(shape.n * shape.groups, shape.grain(size), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* const x = args.x.as<T>() + row * size;
      const T* const dy = args.dy.as<T>() + row * size;
      T* const dx = args.dx.as<T>() + row * size;
      const T mean = args.mean.as<T>()[row];
      const auto inv = static_cast<double>(args.invstd.as<T>()[row]);
      const int64_t column = row % shape.groups * shape.channels;
      double* const dweight = sums.of(row / shape.groups) + column;
      double* const dbias = dweight + columns;
      double sum_g = 0, sum_gx = 0;
      for (int64_t c = 0; c < shape.channels; ++c) {
        dweight[c] = dbias[c] = 0;
        for (int64_t at = c * shape.s; at < (c + 1) * shape.s; at += kBlockElements)
          m.backward_sums(1, std::min(kBlockElements, (c + 1) * shape.s - at), dy + at, x + at, 0,
                          mean, dbias + c, dweight + c);
        const auto w = static_cast<double>(*weight.at(column + c));
        sum_g += w * dbias[c];
        sum_gx += w * dweight[c];
        dweight[c] *= inv;
      }
      const double share = -inv / static_cast<double>(size);
      const T q = T(share * inv * inv * sum_gx), r = T(share * sum_g);
      for (int64_t c = 0; c < shape.channels; ++c) {
        const int64_t at = c * shape.s;
        m.backward(1, shape.s, dx + at, dy + at, x + at, 0, mean,
                   T(static_cast<double>(*weight.at(column + c)) * inv), q, r);
      }
    }
  });
  sums.template merge<T>(args.dweight, args.dbias);
}

}  // namespace

void group_norm(Ctx&, const GroupNormArgs& args) {
  dispatch_floating("group_norm", args.x.dtype, [&]<class T>() { run_group_norm<T>(args); });
}

void group_norm_backward(Ctx&, const GroupNormBackwardArgs& args) {
  dispatch_floating("group_norm", args.x.dtype, [&]<class T>() {
    const Shape shape(args.x.sizes);
    if (shape.empty()) return;
    if (shape.s == 1)
      run_rows_backward<T>(args, shape);
    else
      run_channels_backward<T>(args, shape);
  });
}

}  // namespace lamina::cpu
