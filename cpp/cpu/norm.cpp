// Batch norm over [N, C, S]. Statistics are taken in two passes over each cached block; blocks
// merge in double, in order.
//
// A strip is what one task normalises: one channel where S > 1, neighbouring channels where S == 1.
// A strip that is small enough is finished by the task that took its statistics, while it is in
// cache; a longer one is cut into chunks, whose statistics are merged between two parallel regions.
//
// Of a matrix, strips are as wide as 512 channels, so that memory is read in order. [1024, 512]
// floats move 8 MB through L3 (x twice, y fetched and written), 36 us at the 230 GB/s that a plain
// pass over the same memory reaches. Microseconds of forward and backward, two threads, Zen 5:
//   62, 80  strips of 64, 128 or 256 channels: runs of 256 bytes, whatever the rows of a block
//   56, 72  strips of 512 in chunks of 128 rows, normalised from the last chunk to the first
//   45, 60  and each block normalised row by row, not down its columns (what is left: 23 of 36)
//   42, 60  and the next rows fetched ahead by the forward's passes; the backward's gain nothing
// Chunks of 64 rows and blocks of 8 made no difference. A matrix of one chunk is cut into strips of
// 64 channels instead: it is in L2, and the threads share it.
//
// What lost: copying a strip into adjacent memory while its statistics are taken, lest its rows, a
// power of two apart, push each other out of L2. It cost 10% forward and 50% backward, of
// [32, 32, 32, 32] as well: L2 holds a strip as it is, presumably as its pages lie anywhere. There
// the forward's second pass over a block fetches the next (15%); fetching y, dx or the backward's
// operands lost or did nothing: 12 MB through L3 in 100 us look like its bandwidth.
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

constexpr int64_t kStripColumns = 512, kNarrowColumns = 64;
constexpr int64_t kStripChunk = 65536;  // elements of a chunk of columns
constexpr int64_t kStripBlock =
    32768;                           // bytes of a block of columns: L1 holds it for its two passes
constexpr int64_t kBlockRows = 128;  // of columns, at most
constexpr int64_t kBlockElements = 2048;  // of one channel
constexpr int64_t kChunkElements = 131072;
constexpr int64_t kTaskElements = 16384;

struct Grid {
  int64_t n, channels, s;
  bool columns;
  int64_t width, strips;
  int64_t chunk_rows, chunk_cols, parts, chunks;
  int64_t block_rows, block_cols;
  int64_t stride;  // from one row to the next

  Grid(std::span<const int64_t> sizes, int64_t item)
      : n(sizes[0]), channels(sizes[1]), s(sizes[2]) {
    if (channels == 1 && s == 1) std::swap(n, s);
    columns = s == 1;
    stride = channels * s;
    const bool small = n * std::min(channels, kStripColumns) <= kStripChunk;
    width = columns ? std::clamp<int64_t>(channels, 1, small ? kNarrowColumns : kStripColumns) : 1;
    strips = channels == 0 ? 0 : ceil_div(channels, width);
    chunk_cols = std::clamp<int64_t>(s, 1, kChunkElements);
    parts = ceil_div(s, chunk_cols);
    chunk_rows = std::max<int64_t>(1, columns ? kStripChunk / width : kChunkElements / chunk_cols);
    chunks = ceil_div(n, chunk_rows) * parts;
    block_cols = std::clamp<int64_t>(s, 1, kBlockElements);
    block_rows = columns ? std::clamp<int64_t>(kStripBlock / (width * item), 1, kBlockRows)
                         : std::max<int64_t>(1, kBlockElements / block_cols);
  }

  // Values of each channel in a chunk.
  int64_t values_of(int64_t chunk) const {
    const int64_t row = chunk / parts * chunk_rows, col = chunk % parts * chunk_cols;
    return std::min(chunk_rows, n - row) * std::min(chunk_cols, s - col);
  }
  int64_t first_channel(int64_t strip) const { return strip * width; }
  int64_t channels_of(int64_t strip) const { return std::min(width, channels - strip * width); }

  // f(offset, rows, cols) for the blocks of one chunk of one strip, in order.
  template <class F>
  void for_blocks(int64_t chunk, int64_t strip, F f) const {
    const int64_t row0 = chunk / parts * chunk_rows, row1 = std::min(n, row0 + chunk_rows);
    const int64_t col0 = chunk % parts * chunk_cols, col1 = std::min(s, col0 + chunk_cols);
    const int64_t at = strip * width * s;
    for (int64_t r = row0; r < row1; r += block_rows) {
      const int64_t rows = std::min(block_rows, row1 - r);
      if (columns) {
        f(at + r * stride, rows, channels_of(strip));
        continue;
      }
      for (int64_t c = col0; c < col1; c += block_cols)
        f(at + r * stride + c, rows, std::min(block_cols, col1 - c));
    }
  }

  // gather(chunk, strip) for all chunks, then finish(strip), then apply(chunk, strip).
  template <class Gather, class Finish, class Apply>
  void run(Gather gather, Finish finish, Apply apply) const {
    if (n == 0 || channels == 0 || s == 0) return;
    const int64_t chunk_elements = std::min(n, chunk_rows) * chunk_cols * width;
    const int64_t grain = std::max<int64_t>(1, kTaskElements / chunk_elements);
    if (chunks == 1) {
      parallel_for(strips, grain, [&](int64_t begin, int64_t end) {
        for (int64_t strip = begin; strip < end; ++strip) {
          gather(0, strip);
          finish(strip);
          apply(0, strip);
        }
      });
      return;
    }
    const auto for_all = [&](auto f) {
      parallel_for(strips * chunks, grain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) f(i / strips, i % strips);
      });
    };
    for_all(gather);
    parallel_for(strips, std::max<int64_t>(1, kTaskElements / (chunks * width * 16)),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t strip = begin; strip < end; ++strip) finish(strip);
                 });
    // From the last chunk to the first: it is still in cache.
    for_all([&](int64_t chunk, int64_t strip) { apply(chunks - 1 - chunk, strip); });
  }
};

// An activation over the rows of a block, and what it makes of a gradient.
template <class T>
class Activator {
 public:
  explicit Activator(Activation act)
      : active_(act != Activation::None),
        output_(info(row_of(act)).saves == Saves::Output),
        forward_(micro().of<T>().pointwise.unary[static_cast<int>(row_of(act))]),
        backward_(micro().of<T>().pointwise.unary_backward[static_cast<int>(row_of(act))]) {}
  explicit operator bool() const { return active_; }
  void forward(int64_t rows, int64_t cols, T* y, int64_t stride) const {
    for (int64_t r = 0; r < rows; ++r, y += stride) forward_(cols, y, y, T(0), T(0));
  }
  // dz holds what was activated, and becomes the gradient with respect to it.
  void backward(int64_t rows, int64_t cols, T* dz, const T* dy, int64_t stride) const {
    for (int64_t r = 0; r < rows; ++r, dz += stride, dy += stride) {
      if (output_) forward_(cols, dz, dz, T(0), T(0));
      backward_(cols, dz, dy, dz, T(0), T(0));
    }
  }

 private:
  bool active_, output_;
  typename PointwiseMicro<T>::Unary forward_;
  typename PointwiseMicro<T>::UnaryBackward backward_;
};

// The statistics of `more` values a channel join those of `before` others: Chan, Golub and LeVeque
// (1979).
void merge_moments(int64_t channels, double before, double more, double* mean, double* m2,
                   const double* more_mean, const double* more_m2) {
  const double share = more / (before + more), spread = before * share;
  for (int64_t c = 0; c < channels; ++c) {
    const double delta = more_mean[c] - mean[c];
    mean[c] += delta * share;
    m2[c] += more_m2[c] + delta * delta * spread;
  }
}

// What a channel's chunks hold, one array a chunk: two sums, or a mean and a sum of squares.
struct Statistics {
  Statistics(const Grid& grid, bool needed)
      : channels(grid.channels), memory(needed ? 2 * grid.chunks * channels : 0) {}
  double* first(int64_t chunk, int64_t channel) const {
    return memory.data() + 2 * chunk * channels + channel;
  }
  double* second(int64_t chunk, int64_t channel) const { return first(chunk, channel) + channels; }
  int64_t channels;
  Workspace<double, 16384> memory;
};

template <class T>
void run_batch_norm(const BatchNormArgs& args) {
  const NormMicro<T>& m = micro().of<T>().norm;
  const Grid grid(args.x.sizes, sizeof(T));
  const T* const x = args.x.as<T>();
  T* const y = args.y.as<T>();
  T* const mean = args.mean.as<T>();
  T* const invstd = args.invstd.as<T>();
  const PerChannel<T> weight(args.weight, grid.channels, T(1));
  const PerChannel<T> bias(args.bias, grid.channels, T(0));
  const Workspace<T> scale(grid.channels);
  const Activator<T> activator(args.act);
  const Statistics statistics(grid, args.training);  // means, and sums of squared deviations
  const auto values = static_cast<double>(grid.n * grid.s);

  const auto gather = [&](int64_t chunk, int64_t strip) {
    if (!args.training) return;
    const int64_t first = grid.first_channel(strip), count = grid.channels_of(strip);
    double* const to_mean = statistics.first(chunk, first);
    double* const to_m2 = statistics.second(chunk, first);
    std::fill_n(to_mean, count, 0.0);
    std::fill_n(to_m2, count, 0.0);
    double before = 0;
    grid.for_blocks(chunk, strip, [&](int64_t at, int64_t rows, int64_t cols) {
      if (grid.columns)
        m.moments_columns(rows, cols, x + at, grid.stride, before, to_mean, to_m2);
      else
        m.moments(rows, cols, x + at, grid.stride, before, to_mean, to_m2);
      before += static_cast<double>(grid.columns ? rows : rows * cols);
    });
  };
  const auto finish = [&](int64_t strip) {
    const int64_t first = grid.first_channel(strip), count = grid.channels_of(strip);
    if (args.training) {
      double* const means = statistics.first(0, first);
      double* const m2s = statistics.second(0, first);
      auto before = static_cast<double>(grid.values_of(0));
      for (int64_t chunk = 1; chunk < grid.chunks; ++chunk) {
        const auto more = static_cast<double>(grid.values_of(chunk));
        merge_moments(count, before, more, means, m2s, statistics.first(chunk, first),
                      statistics.second(chunk, first));
        before += more;
      }
      for (int64_t c = 0; c < count; ++c) {
        mean[first + c] = T(means[c]);
        invstd[first + c] = T(1 / std::sqrt(m2s[c] / values + args.eps));
      }
      const auto keep = [&](const TensorRef& to, const double* value, double divisor) {
        if (!to.defined()) return;
        T* const running = to.as<T>() + first;
        for (int64_t c = 0; c < count; ++c)
          running[c] = T((1 - args.momentum) * static_cast<double>(running[c]) +
                         args.momentum * (value[c] / divisor));
      };
      keep(args.running_mean, means, 1);
      keep(args.running_var, m2s, values - 1);
    }
    for (int64_t c = first; c < first + count; ++c) scale[c] = *weight.at(c) * invstd[c];
  };
  const auto apply = [&](int64_t chunk, int64_t strip) {
    const int64_t c = grid.first_channel(strip);
    grid.for_blocks(chunk, strip, [&](int64_t at, int64_t rows, int64_t cols) {
      if (grid.columns)
        m.affine_columns(rows, cols, y + at, x + at, grid.stride, mean + c, scale.data() + c,
                         bias.at(c));
      else
        m.affine(rows, cols, y + at, x + at, grid.stride, mean[c], scale[c], *bias.at(c));
      if (activator) activator.forward(rows, cols, y + at, grid.stride);
    });
  };
  grid.run(gather, finish, apply);
}

template <class T>
void run_batch_norm_backward(const BatchNormBackwardArgs& args) {
  const NormMicro<T>& m = micro().of<T>().norm;
  const Grid grid(args.x.sizes, sizeof(T));
  const int64_t channels = grid.channels;
  const T* const x = args.x.as<T>();
  const T* const dy = args.dy.as<T>();
  T* const dx = args.dx.as<T>();
  T* const dweight = args.dweight.as<T>();
  T* const dbias = args.dbias.as<T>();
  const T* const mean = args.mean.as<T>();
  const T* const invstd = args.invstd.as<T>();
  const PerChannel<T> weight(args.weight, channels, T(1)), bias(args.bias, channels, T(0));
  const Activator<T> activator(args.act);
  const Workspace<T> buffer(3 * channels);
  T* const p = buffer.data();  // weight / deviation, which an activation needs first
  T* const q = p + channels;
  T* const r = q + channels;
  for (int64_t c = 0; c < channels; ++c) p[c] = *weight.at(c) * invstd[c];
  const bool needed = dweight != nullptr || dbias != nullptr || (args.training && dx != nullptr);
  const Statistics sums(grid, needed);  // of dy, and of dy * (x - mean)
  const auto elements = static_cast<double>(grid.n * grid.s);

  const auto gather = [&](int64_t chunk, int64_t strip) {
    if (!needed && !activator) return;
    const int64_t first = grid.first_channel(strip), count = grid.channels_of(strip);
    double* const sum_dy = needed ? sums.first(chunk, first) : nullptr;
    double* const sum_dyx = needed ? sums.second(chunk, first) : nullptr;
    if (needed) {
      std::fill_n(sum_dy, count, 0.0);
      std::fill_n(sum_dyx, count, 0.0);
    }
    grid.for_blocks(chunk, strip, [&](int64_t at, int64_t rows, int64_t cols) {
      if (activator) {  // what was activated is made again, in dx, which then takes dy's place
        if (grid.columns)
          m.affine_columns(rows, cols, dx + at, x + at, grid.stride, mean + first, p + first,
                           bias.at(first));
        else
          m.affine(rows, cols, dx + at, x + at, grid.stride, mean[first], p[first],
                   *bias.at(first));
        activator.backward(rows, cols, dx + at, dy + at, grid.stride);
      }
      if (!needed) return;
      const T* const g = (activator ? dx : dy) + at;
      if (grid.columns)
        m.backward_sums_columns(rows, cols, g, x + at, grid.stride, mean + first, sum_dy, sum_dyx);
      else
        m.backward_sums(rows, cols, g, x + at, grid.stride, mean[first], sum_dy, sum_dyx);
    });
  };
  const auto finish = [&](int64_t strip) {
    if (!needed) return;
    const int64_t first = grid.first_channel(strip), count = grid.channels_of(strip);
    double* const all_dy = sums.first(0, first);
    double* const all_dyx = sums.second(0, first);
    for (int64_t chunk = 1; chunk < grid.chunks; ++chunk) {
      const double* const more_dy = sums.first(chunk, first);
      const double* const more_dyx = sums.second(chunk, first);
      for (int64_t c = 0; c < count; ++c) all_dy[c] += more_dy[c];
      for (int64_t c = 0; c < count; ++c) all_dyx[c] += more_dyx[c];
    }
    for (int64_t c = 0; c < count; ++c) {
      const auto inv = static_cast<double>(invstd[first + c]);
      const double slope = static_cast<double>(*weight.at(first + c)) * inv / elements;
      q[first + c] = T(-slope * inv * inv * all_dyx[c]);
      r[first + c] = T(-slope * all_dy[c]);
      all_dyx[c] *= inv;
    }
    if (dbias != nullptr) std::copy_n(all_dy, count, dbias + first);
    if (dweight != nullptr) std::copy_n(all_dyx, count, dweight + first);
  };
  const auto apply = [&](int64_t chunk, int64_t strip) {
    if (dx == nullptr) return;
    const int64_t c = grid.first_channel(strip);
    const T zeros[kStripColumns] = {};
    grid.for_blocks(chunk, strip, [&](int64_t at, int64_t rows, int64_t cols) {
      const int64_t stride = grid.stride;
      const T* const g = (activator ? dx : dy) + at;
      if (args.training && grid.columns)
        m.backward_columns(rows, cols, dx + at, g, x + at, stride, mean + c, p + c, q + c, r + c);
      else if (args.training)
        m.backward(rows, cols, dx + at, g, x + at, stride, mean[c], p[c], q[c], r[c]);
      else if (grid.columns)
        m.affine_columns(rows, cols, dx + at, g, stride, zeros, p + c, zeros);
      else
        m.affine(rows, cols, dx + at, g, stride, T(0), p[c], T(0));
    });
  };
  grid.run(gather, finish, apply);
}

}  // namespace

void batch_norm(Ctx&, const BatchNormArgs& args) {
  dispatch_floating("batch_norm", args.x.dtype, [&]<class T>() { run_batch_norm<T>(args); });
}

void batch_norm_backward(Ctx&, const BatchNormBackwardArgs& args) {
  dispatch_floating("batch_norm", args.x.dtype,
                    [&]<class T>() { run_batch_norm_backward<T>(args); });
}

}  // namespace lamina::cpu
