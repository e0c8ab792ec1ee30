// Batch norm over [N, C, S]. Statistics are taken in two passes over each cached block; blocks
// merge in double, in order.
//
// A strip is what one task normalises: one channel where S > 1, neighbouring channels where S == 1.
// A strip that is small enough is finished by the task that took its statistics, while it is in
// cache; a longer one is cut into chunks, whose statistics are merged between two parallel regions.
#include <algorithm>
#include <cmath>

#include "core/parallel.h"
#include "cpu/drivers.h"
#include "cpu/micro.h"
#include "cpu/moments.h"
#include "cpu/workspace.h"

namespace lamina::cpu {
namespace {

constexpr int64_t kStripColumns = 64;
constexpr int64_t kBlockRows = 64;        // of columns
constexpr int64_t kBlockElements = 2048;  // of one channel
constexpr int64_t kChunkElements = 131072;
constexpr int64_t kTaskElements = 16384;

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct Grid {
  int64_t n, channels, s;
  bool columns;
  int64_t width, strips;
  int64_t chunk_rows, chunk_cols, parts, chunks;
  int64_t block_rows, block_cols;
  int64_t stride;  // from one row to the next

  explicit Grid(std::span<const int64_t> sizes) : n(sizes[0]), channels(sizes[1]), s(sizes[2]) {
    if (channels == 1 && s == 1) std::swap(n, s);
    columns = s == 1;
    stride = channels * s;
    width = columns ? std::min(channels, kStripColumns) : 1;
    strips = channels == 0 ? 0 : ceil_div(channels, width);
    chunk_cols = std::clamp<int64_t>(s, 1, kChunkElements);
    parts = ceil_div(s, chunk_cols);
    chunk_rows = std::max<int64_t>(1, kChunkElements / (columns ? kStripColumns : chunk_cols));
    chunks = ceil_div(n, chunk_rows) * parts;
    block_cols = std::clamp<int64_t>(s, 1, kBlockElements);
    block_rows = columns ? kBlockRows : std::max<int64_t>(1, kBlockElements / block_cols);
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
    for_all(apply);
  }
};

// One value a channel, where there is one.
template <class T>
struct PerChannel {
  T* data;
  int64_t stride;
  explicit PerChannel(const TensorRef& t)
      : data(t.as<T>()), stride(t.defined() ? t.strides[0] : 0) {}
  explicit operator bool() const { return data != nullptr; }
  T& operator[](int64_t c) const { return data[c * stride]; }
  T get(int64_t c, T otherwise) const { return data == nullptr ? otherwise : data[c * stride]; }
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

template <class T>
void run_batch_norm(const BatchNormArgs& args) {
  const NormMicro<T>& m = micro().of<T>().norm;
  const Grid grid(args.x.sizes);
  const int64_t channels = grid.channels;
  const T* const x = args.x.as<T>();
  T* const y = args.y.as<T>();
  const PerChannel<const T> weight(args.weight), bias(args.bias);
  const PerChannel<T> mean_out(args.mean), invstd_out(args.invstd);
  const PerChannel<T> running_mean(args.running_mean), running_var(args.running_var);
  // What the micro kernels read, adjacent.
  const Workspace<T> buffer(3 * channels);
  T* const mean = buffer.data();
  T* const scale = mean + channels;
  T* const shift = scale + channels;
  const Activator<T> activator(args.act);
  // Of every chunk: means, then sums of squared deviations.
  const int64_t count_of_stats = args.training ? grid.chunks * channels : 0;
  const Workspace<double, 16384> statistics(2 * count_of_stats);
  double* const means = statistics.data();
  double* const m2s = means + count_of_stats;
  const auto values = static_cast<double>(grid.n * grid.s);
  const double inv_values = 1 / values, inv_freedom = 1 / (values - 1);

  const auto gather = [&](int64_t chunk, int64_t strip) {
    if (!args.training) return;
    const int64_t first = grid.first_channel(strip), count = grid.channels_of(strip);
    double* const to_mean = means + chunk * channels + first;
    double* const to_m2 = m2s + chunk * channels + first;
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
    const int64_t first = grid.first_channel(strip), last = first + grid.channels_of(strip);
    for (int64_t c = first; c < last; ++c) {
      if (args.training) {
        Moments all;
        for (int64_t chunk = 0; chunk < grid.chunks; ++chunk) {
          const int64_t i = chunk * channels + c;
          all.merge({static_cast<double>(grid.values_of(chunk)), means[i], m2s[i]});
        }
        mean_out[c] = T(all.mean);
        invstd_out[c] = T(1 / std::sqrt(all.m2 * inv_values + args.eps));
        const auto update = [&](T& running, double value) {
          running = T((1 - args.momentum) * static_cast<double>(running) + args.momentum * value);
        };
        if (running_mean) update(running_mean[c], all.mean);
        if (running_var) update(running_var[c], all.m2 * inv_freedom);
      }
      mean[c] = mean_out[c];
      scale[c] = weight.get(c, T(1)) * invstd_out[c];
      shift[c] = bias.get(c, T(0));
    }
  };
  const auto apply = [&](int64_t chunk, int64_t strip) {
    const int64_t c = grid.first_channel(strip);
    grid.for_blocks(chunk, strip, [&](int64_t at, int64_t rows, int64_t cols) {
      if (grid.columns)
        m.affine_columns(rows, cols, y + at, x + at, grid.stride, mean + c, scale + c, shift + c);
      else
        m.affine(rows, cols, y + at, x + at, grid.stride, mean[c], scale[c], shift[c]);
      if (activator) activator.forward(rows, cols, y + at, grid.stride);
    });
  };
  grid.run(gather, finish, apply);
}

struct BackwardSums {
  double dy = 0, dyx = 0;  // of dy, of dy * (x - mean)
};

template <class T>
void run_batch_norm_backward(const BatchNormBackwardArgs& args) {
  const NormMicro<T>& m = micro().of<T>().norm;
  const Grid grid(args.x.sizes);
  const int64_t channels = grid.channels;
  const T* const x = args.x.as<T>();
  const T* const dy = args.dy.as<T>();
  T* const dx = args.dx.as<T>();
  const PerChannel<const T> weight(args.weight), mean_in(args.mean), invstd(args.invstd);
  const PerChannel<T> dweight(args.dweight), dbias(args.dbias);
  const PerChannel<const T> bias(args.bias);
  const Activator<T> activator(args.act);
  const Workspace<T> buffer(6 * channels);
  T* const mean = buffer.data();
  T* const p = mean + channels;
  T* const q = p + channels;
  T* const r = q + channels;
  T* const scale = r + channels;
  T* const shift = scale + channels;
  for (int64_t c = 0; c < channels; ++c) {
    mean[c] = mean_in[c];
    scale[c] = weight.get(c, T(1)) * invstd[c];
    shift[c] = bias.get(c, T(0));
  }
  const bool sums_needed = dweight || dbias || (args.training && dx != nullptr);
  const Workspace<BackwardSums, 16384> sums(sums_needed ? grid.chunks * channels : 0);
  const auto elements = static_cast<double>(grid.n * grid.s);

  const auto gather = [&](int64_t chunk, int64_t strip) {
    if (!sums_needed && !activator) return;
    const int64_t first = grid.first_channel(strip), count = grid.channels_of(strip);
    double sum_dy[kStripColumns] = {}, sum_dyx[kStripColumns] = {};
    grid.for_blocks(chunk, strip, [&](int64_t at, int64_t rows, int64_t cols) {
      if (activator) {  // what was activated is made again, in dx, which then takes dy's place
        if (grid.columns)
          m.affine_columns(rows, cols, dx + at, x + at, grid.stride, mean + first, scale + first,
                           shift + first);
        else
          m.affine(rows, cols, dx + at, x + at, grid.stride, mean[first], scale[first],
                   shift[first]);
        activator.backward(rows, cols, dx + at, dy + at, grid.stride);
      }
      const T* const g = (activator ? dx : dy) + at;
      if (grid.columns)
        m.backward_sums_columns(rows, cols, g, x + at, grid.stride, mean + first, sum_dy, sum_dyx);
      else
        m.backward_sums(rows, cols, g, x + at, grid.stride, mean[first], sum_dy, sum_dyx);
    });
    if (!sums_needed) return;
    for (int64_t c = 0; c < count; ++c)
      sums[chunk * channels + first + c] = {sum_dy[c], sum_dyx[c]};
  };
  const auto finish = [&](int64_t strip) {
    const int64_t first = grid.first_channel(strip), last = first + grid.channels_of(strip);
    for (int64_t c = first; c < last; ++c) {
      BackwardSums all;
      if (sums_needed) {
        for (int64_t chunk = 0; chunk < grid.chunks; ++chunk) {
          all.dy += sums[chunk * channels + c].dy;
          all.dyx += sums[chunk * channels + c].dyx;
        }
      }
      const auto inv = static_cast<double>(invstd[c]);
      const double slope = static_cast<double>(weight.get(c, T(1))) * inv;
      if (dbias) dbias[c] = T(all.dy);
      if (dweight) dweight[c] = T(all.dyx * inv);
      p[c] = T(slope);
      q[c] = T(-slope * inv * inv * all.dyx / elements);
      r[c] = T(-slope * all.dy / elements);
    }
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
