// Convolutions that gather (conv.cpp) by rows: pixels beside each other lie along vectors, as they
// do in the planes, and weights are broadcast. No pixel changes its place, and few channels leave
// no lane empty; but a column's step must be 1, and a row ends in a vector that is not full.
#include "core/parallel.h"
#include "cpu/conv.h"

namespace lamina::cpu::conv_detail {
namespace {

constexpr int64_t kColumns = 1024;          // of a task, about
constexpr int64_t kActiveBytes = 16 << 10;  // of a result before its activation: a third of L1

template <class T>
class Rows {
 public:
  Rows(const ConvArgs& args, bool input)
      : micro_(micro().of<T>().conv),
        sizes_(args),
        h_(input ? gradient_axis(args, 0) : forward_axis(args, 0)),
        w_(input ? gradient_axis(args, 1) : forward_axis(args, 1)),
        groups_(sizes_.groups),
        channels_((input ? sizes_.c : sizes_.k) / groups_),
        sources_((input ? sizes_.k : sizes_.c) / groups_),
        source_((input ? args.y : args.x).as<T>()),
        weight_(args.w.as<T>()),
        bias_(args.bias.as<T>()),
        result_((input ? args.x : args.y).as<T>()),
        act_(args.act),
        taps_(sizes_.kernel[0] * sizes_.kernel[1]),
        depth_(taps_ * sources_),
        lane_(input ? taps_ : depth_),
        row_(input ? channels_ * taps_ : taps_) {}

  void run() {
    if (sizes_.images == 0 || channels_ == 0 || h_.size == 0 || w_.size == 0) return;
    plan();
    const Workspace<T, 64> weights(groups_ * channels_ * depth_);
    const int64_t panels = ceil_div(channels_, height_);
    parallel_for(groups_ * panels, std::max<int64_t>(1, 4096 / (1 + depth_)),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t i = begin; i < end; ++i)
                     pack_weights(i / panels, i % panels * height_, weights.data());
                 });
    const int64_t parts = row_parts_ * column_parts_;
    parallel_for(sizes_.images * groups_ * parts, grain_, [&](int64_t begin, int64_t end) {
      // The last vector of the last row reads on behind it.
      const Workspace<T, 64> source(sources_ * plane_ + micro_.lanes);
      for (int64_t i = begin; i < end; ++i) {
        const int64_t part = i % parts, group = i / parts % groups_;
        task(i / parts / groups_, group, part / column_parts_ * rows_,
             part % column_parts_ * columns_, weights.data() + group * channels_ * depth_,
             source.data());
      }
    });
  }

 private:
  void plan() {
    const double work = 1 + 2.0 * static_cast<double>(sizes_.images * channels_ * groups_) *
                                static_cast<double>(depth_) *
                                static_cast<double>(h_.size * w_.size);
    const int64_t want = std::clamp<int64_t>(static_cast<int64_t>(work / kTaskWork), 1, 16);
    columns_ = w_.size > kColumns ? even_part(w_.size, kColumns) : w_.size;
    column_parts_ = ceil_div(w_.size, columns_);
    const int64_t lanes = micro_.lanes;
    height_ = even_part(channels_, micro_.rows[columns_ > lanes ? 1 : 0]);
    pitch_ = w_.reach(0, columns_);
    const auto bytes = [&](int64_t rows) {
      return sources_ * h_.reach(0, rows) * pitch_ * static_cast<int64_t>(sizeof(T));
    };
    const int64_t tasks = sizes_.images * groups_ * column_parts_;
    rows_ = ceil_div(h_.size, std::min(h_.size, ceil_div(want, tasks)));
    while (rows_ > 1 && bytes(rows_) > kSourceBytes) rows_ = ceil_div(rows_, 2);
    row_parts_ = ceil_div(h_.size, rows_);
    // Planes a power of two apart would share a set of the cache.
    plane_ = h_.reach(0, rows_) * pitch_;
    if (plane_ * static_cast<int64_t>(sizeof(T)) % 512 == 0) plane_ += lanes;
    const int64_t all = tasks * row_parts_;
    grain_ = fair_grain(
        all, std::max<int64_t>(
                 {1, static_cast<int64_t>(kTaskWork * static_cast<double>(all) / work), all / 64}));
    // A run of taps that are as far apart as their pixels.
    const auto across = w_.of(0);
    step_ = across.size() > 1 ? across[1].offset - across[0].offset : 1;
    for (int64_t c = 0; c < sources_; ++c)
      for (const Axis::Tap& tap : h_.taps)
        offsets_.push_back(c * plane_ + (tap.offset - h_.low) * pitch_);
    slots_.resize(static_cast<size_t>(taps_));
    for (size_t i = 0; i < h_.taps.size(); ++i)
      for (size_t j = 0; j < across.size(); ++j)
        slots_[static_cast<size_t>(h_.taps[i].at * sizes_.kernel[1] + across[j].at)] =
            static_cast<int64_t>(i * across.size() + j);
  }

  // Of `height_` channels from `first` on: [channel of the source][slot][channel].
  void pack_weights(int64_t group, int64_t first, T* packed) const {
    const auto n = static_cast<int>(std::min(height_, channels_ - first));
    T* const to = packed + (group * channels_ + first) * depth_;
    turn_weights(micro_, weight_ + first * lane_ + group * sources_ * channels_ * taps_, lane_,
                 row_, sources_, taps_, n, [&](int64_t tap, int64_t i) {
                   return to + (i * taps_ + slots_[static_cast<size_t>(tap)]) * n;
                 });
  }

  // The planes that a task needs, padded.
  void lay_out(const T* from, int64_t y0, int64_t y1, int64_t x0, int64_t columns, T* to) const {
    const int64_t start = w_.start(x0), width = w_.reach(x0, x0 + columns);
    const int64_t begin = std::clamp<int64_t>(start, 0, w_.source);
    const int64_t end = std::clamp<int64_t>(start + width, begin, w_.source);
    const int64_t before = end > begin ? begin - start : width;
    const int64_t after = width - before - (end - begin);
    const int64_t rows = h_.reach(y0, y1), top = h_.start(y0);
    for (int64_t c = 0; c < sources_; ++c, from += h_.source * w_.source) {
      T* row = to + c * plane_;
      for (int64_t r = 0; r < rows; ++r, row += pitch_) {
        if (top + r < 0 || top + r >= h_.source) {
          std::fill_n(row, width, T(0));
          continue;
        }
        std::fill_n(row, before, T(0));
        std::copy_n(from + (top + r) * w_.source + begin, end - begin, row + before);
        std::fill_n(row + width - after, after, T(0));
      }
    }
  }

  void task(int64_t image, int64_t group, int64_t y0, int64_t x0, const T* weights,
            T* source) const {
    const int64_t y1 = std::min(y0 + rows_, h_.size);
    const int64_t columns = std::min(columns_, w_.size - x0);
    const int64_t plane = h_.size * w_.size;
    const int64_t first = group * channels_;
    lay_out(source_ + (image * groups_ + group) * sources_ * h_.source * w_.source, y0, y1, x0,
            columns, source);
    T* const result = result_ + (image * groups_ * channels_ + first) * plane + x0;
    ConvRow<T> t{};
    t.offsets = offsets_.data();
    t.segments = static_cast<int64_t>(offsets_.size());
    t.count = sizes_.kernel[1];
    t.step = step_;
    t.plane = plane;
    const int64_t active_rows = std::max<int64_t>(
        1, kActiveBytes / (channels_ * columns * static_cast<int64_t>(sizeof(T))));
    for (int64_t y = y0; y < y1; ++y) {
      const T* const x = source + (y - y0) * h_.move * pitch_;
      for (int64_t c = 0; c < channels_; c += height_) {
        t.m = static_cast<int>(std::min(height_, channels_ - c));
        t.w = weights + c * depth_;
        t.bias = bias_ == nullptr ? nullptr : bias_ + first + c;
        for (int64_t j = 0; j < columns; j += 2 * micro_.lanes) {
          t.n = static_cast<int>(std::min<int64_t>(2 * micro_.lanes, columns - j));
          t.x = x + j;
          t.y = result + c * plane + y * w_.size + j;
          micro_.row(t);
        }
      }
      const int64_t done = (y - y0) % active_rows + 1;
      if (act_ != Activation::None && (done == active_rows || y + 1 == y1))
        activate(result + (y + 1 - done) * w_.size, plane, done, columns);
    }
  }

  void activate(T* result, int64_t plane, int64_t rows, int64_t columns) const {
    const auto f = micro().of<T>().pointwise.unary[static_cast<int>(row_of(act_))];
    const bool whole = columns == w_.size;
    for (int64_t c = 0; c < channels_; ++c) {
      for (int64_t r = 0; r < (whole ? 1 : rows); ++r) {
        T* const to = result + c * plane + r * w_.size;
        f(whole ? rows * columns : columns, to, to, T(0), T(0));
      }
    }
  }

  const ConvMicro<T>& micro_;
  const Sizes sizes_;
  const Axis h_, w_;
  const int64_t groups_, channels_, sources_;
  const T *const source_, *const weight_, *const bias_;
  T* const result_;
  const Activation act_;
  const int64_t taps_, depth_;
  const int64_t lane_, row_;  // of the weights: to the next channel of the result, of the source

  int64_t rows_ = 1, columns_ = 1, row_parts_ = 1, column_parts_ = 1, grain_ = 1;
  int64_t height_ = 1;             // channels of a tile
  int64_t pitch_ = 0, plane_ = 0;  // of the source, laid out
  int64_t step_ = 1;
  std::vector<int64_t> offsets_, slots_;
};

// Cycles for a pixel of all channels of a group, about: multiply-adds, and what else each form
// does, as measured on a Zen 5 for vectors of 16.
template <class T>
bool suits(const ConvArgs& args, bool input) {
  const Sizes s(args);
  const bool unit = args.stride[1] == 1 && (!input || args.stride[0] == 1);
  if (!unit || s.depthwise() || s.images == 0) return false;
  const ConvMicro<T>& micro = cpu::micro().of<T>().conv;
  const auto lanes = static_cast<double>(micro.lanes);
  const int64_t width = input ? s.x[1] : s.y[1];
  const int64_t channels = (input ? s.c : s.k) / s.groups, sources = (input ? s.k : s.c) / s.groups;
  const auto vectors = [&](int64_t n) { return static_cast<double>(ceil_div(n, micro.lanes)); };
  const auto depth = static_cast<double>(sources * s.kernel[0] * s.kernel[1]);
  const bool folds = !input && s.folds(args.stride[0]);
  const double by_channels =
      vectors(channels) * (depth / 2 + 7) + vectors(folds ? sources * s.kernel[0] : sources) * 6;
  // Tiles of one vector load a pixel for every multiply-add, most of them across cache lines.
  const double slow = width > micro.lanes ? 1.05 : 1.25;
  const double by_rows = static_cast<double>(channels) * (depth / 2 * slow + 2) * vectors(width) /
                             static_cast<double>(std::max<int64_t>(width, 1)) +
                         static_cast<double>(sources) / lanes;
  return by_rows < by_channels;
}

}  // namespace

template <class T>
bool conv_rows(const ConvArgs& args, bool input) {
  if (!suits<T>(args, input)) return false;
  Rows<T>(args, input).run();
  return true;
}

template bool conv_rows<float>(const ConvArgs&, bool);
template bool conv_rows<double>(const ConvArgs&, bool);

}  // namespace lamina::cpu::conv_detail
