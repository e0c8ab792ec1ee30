// The gradient of a convolution's weights: w[k,c,r,s] = sum over images and pixels of y * x
// shifted.
//
// The images go in order to a fixed number of splits, each with sums of its own, which are added up
// in order at the end. An image's x and y are laid out pixel by pixel, as for the convolution
// itself; then a tile is so many neighbours in a row of x (channels, and taps beside each other)
// against one or two vectors of y's channels, its sum runs along rows of pixels, and a few rows at
// a time are done for all tiles while a cache has them.
#include "core/parallel.h"
#include "cpu/conv.h"
#include "cpu/drivers.h"
#include "cpu/workspace.h"

namespace lamina::cpu {

using namespace conv_detail;

namespace {

constexpr int64_t kPartBytes = 512 << 10;  // of x in a part of an image: half an L2 cache
constexpr int64_t kBlockBytes = 24 << 10;  // of what a tile reads at a time: half an L1 cache
constexpr int64_t kPixels = 256;           // of a part, where an image has so many
constexpr int64_t kSums = 4 << 20;         // bytes of all splits together, about

template <class T>
class WeightGradient {
 public:
  explicit WeightGradient(const ConvArgs& args)
      : micro_(micro().of<T>().conv),
        sizes_(args),
        h_(forward_axis(args, 0)),
        w_(forward_axis(args, 1)),
        depthwise_(sizes_.depthwise()),
        channels_(sizes_.k / (depthwise_ ? 1 : sizes_.groups)),
        sources_(sizes_.c / (depthwise_ ? 1 : sizes_.groups)),
        panels_(channels_, micro_.lanes),
        groups_(depthwise_ ? panels_.count() : sizes_.groups),
        pixels_(micro_, h_, w_, depthwise_ ? panels_.width(0) : sources_,
                sizes_.folds(args.stride[0]), depthwise_ ? panels_.width(0) : sources_),
        x_(args.x.as<T>()),
        y_(args.y.as<T>()),
        dw_(args.w.as<T>()),
        dbias_(args.bias.as<T>()),
        taps_(sizes_.kernel[0] * sizes_.kernel[1]),
        depth_(taps_ * (depthwise_ ? 1 : sources_)) {
    plan();
  }

  void run() const {
    if (sizes_.images == 0 || sizes_.k == 0 || sizes_.y[0] * sizes_.y[1] == 0) {
      std::fill_n(dw_, sizes_.k * (depthwise_ ? 1 : sources_) * taps_, T(0));
      if (dbias_ != nullptr) std::fill_n(dbias_, sizes_.k, T(0));
      return;
    }
    const int64_t group_sums = depth_ * panel_width_;
    const Workspace<T, 64> sums(splits_ * groups_ * group_sums);
    const Workspace<double> bias_sums(dbias_ == nullptr ? 0 : splits_ * sizes_.k);
    const Workspace<T, 2048> zeros(pixels_.folded ? w_.source : 0);
    if (pixels_.folded) std::fill_n(zeros.data(), w_.source, T(0));
    const int64_t parts = groups_ * panel_parts_;
    parallel_for(splits_ * parts, grain_, [&](int64_t begin, int64_t end) {
      const Workspace<T, 64> source(images_ * image_pitch_);
      const Workspace<T, 64> turned(images_ * rows_ * columns_ * 2 * micro_.lanes);
      const Workspace<const T*, 1024> pointers(
          std::max<int64_t>({pixels_.pixel, pixels_.channels, 2 * micro_.lanes}));
      // What panels that are not full leave between pixels is read.
      std::fill_n(turned.data(), images_ * rows_ * columns_ * 2 * micro_.lanes, T(0));
      if (depthwise_) std::fill_n(source.data(), images_ * image_pitch_, T(0));
      for (int64_t i = begin; i < end; ++i) {
        Task task;
        const int64_t split = i / parts;
        task.group = i % parts / panel_parts_;
        task.panel = i % panel_parts_ * task_panels_;
        task.sums = sums.data() + (split * groups_ + task.group) * group_sums;
        task.bias = dbias_ == nullptr ? nullptr : bias_sums.data() + split * sizes_.k;
        task.source = source.data();
        task.turned = turned.data();
        task.pointers = pointers.data();
        task.zeros = zeros.data();
        if (depthwise_) std::fill_n(task.sums, group_sums, T(0));
        const int64_t first = split * parts_ / splits_, last = (split + 1) * parts_ / splits_;
        for (int64_t part = first; part < last; ++part) add_part(task, part, part == first);
      }
    });
    if (dbias_ != nullptr) {
      for (int64_t k = 0; k < sizes_.k; ++k) {
        double sum = 0;
        for (int64_t s = 0; s < splits_; ++s) sum += bias_sums[s * sizes_.k + k];
        dbias_[k] = T(sum);
      }
    }
    const int64_t panels = depthwise_ ? 1 : panels_.count();
    const int64_t sources = depthwise_ ? 1 : sources_;
    // A block of the merge: the weights of some of the source's channels for one panel.
    const int64_t chunk =
        std::clamp<int64_t>(1024 / (taps_ * 2 * micro_.lanes), 1, std::max<int64_t>(sources, 1));
    const int64_t chunks = ceil_div(sources, chunk);
    parallel_for(groups_ * panels * chunks, 1, [&](int64_t begin, int64_t end) {
      const Workspace<T> merged(chunk * taps_ * 2 * micro_.lanes);
      for (int64_t i = begin; i < end; ++i)
        merge(i / chunks / panels, i / chunks % panels, i % chunks * chunk,
              std::min(chunk, sources - i % chunks * chunk), sums.data(), group_sums,
              merged.data());
    });
  }

 private:
  struct Task {
    int64_t group, panel;
    T* sums;
    double* bias;
    // Workspace: x and y laid out; pointers to a pixel's channels; a row of zeros.
    T *source, *turned;
    const T** pointers;
    const T* zeros;
  };

  void plan() {
    group_channels_ = depthwise_ ? panels_.width(0) : channels_;
    panel_width_ = depthwise_ ? panels_.width(0) : panels_.padded();
    const int64_t height = h_.size, width = w_.size;
    if (sizes_.images == 0 || sizes_.k == 0 || height == 0 || width == 0) return;
    columns_ = even_part(width, 512);
    column_parts_ = ceil_div(width, columns_);
    pitch_ = w_.reach(0, columns_) * pixels_.pixel;
    const auto bytes = [&](int64_t rows) {
      return pixels_.rows(0, rows) * pitch_ * static_cast<int64_t>(sizeof(T));
    };
    const double work = 1 + 2.0 * static_cast<double>(sizes_.images * sizes_.k) *
                                static_cast<double>(depth_ * (depthwise_ ? 4 : 1)) *
                                static_cast<double>(height * width);
    const int64_t want = std::clamp<int64_t>(static_cast<int64_t>(work / kTaskWork), 1, 8);
    const int64_t all = depth_ * panel_width_ * groups_ * static_cast<int64_t>(sizeof(T));
    splits_ = std::clamp<int64_t>(ceil_div(want, groups_), 1,
                                  std::max<int64_t>(2, kSums / std::max<int64_t>(all, 1)));
    rows_ = ceil_div(height, std::min(height, ceil_div(splits_, sizes_.images * column_parts_)));
    while (rows_ > 1 && bytes(rows_) > kPartBytes) rows_ = ceil_div(rows_, 2);
    row_parts_ = ceil_div(height, rows_);
    image_pitch_ = pixels_.rows(0, rows_) * pitch_;
    // Of small images several: a tile of sums comes and goes once for all of them.
    if (row_parts_ * column_parts_ == 1)
      images_ = std::clamp<int64_t>(
          std::min(kPixels / (rows_ * columns_), kPartBytes / std::max<int64_t>(1, bytes(rows_))),
          1, std::max<int64_t>(1, sizes_.images / splits_));
    parts_ = ceil_div(sizes_.images, images_) * row_parts_ * column_parts_;
    splits_ = std::min(splits_, parts_);
    const int64_t panels = depthwise_ ? 1 : panels_.count();
    task_panels_ = ceil_div(panels, std::min(panels, ceil_div(want, splits_ * groups_)));
    panel_parts_ = ceil_div(panels, task_panels_);
    // A tile reads a line or two of x for each pixel, and its vectors of y.
    const int64_t line = std::min<int64_t>(pixels_.pixel * w_.move, 2 * micro_.lanes);
    block_rows_ = std::clamp<int64_t>(
        kBlockBytes / (columns_ * (2 * micro_.lanes + line) * static_cast<int64_t>(sizeof(T))), 1,
        images_ * rows_);
    const int64_t tasks = splits_ * groups_ * panel_parts_;
    grain_ = fair_grain(
        tasks,
        std::max<int64_t>(1, static_cast<int64_t>(kTaskWork * static_cast<double>(tasks) / work)));
    // Neighbours in a row of the source that meet the same pixel of y: through each tap its
    // channels, through taps beside each other those of all.
    const bool joined = !depthwise_ && w_.adjacent(0);
    run_ = (joined ? sizes_.kernel[1] : 1) * pixels_.pixel;
    for (int64_t i = 0; i < (pixels_.folded ? 1 : sizes_.kernel[0]); ++i) {
      for (int64_t j = 0; j < (joined ? 1 : sizes_.kernel[1]); ++j) {
        const int64_t row = pixels_.folded ? 0 : h_.taps[static_cast<size_t>(i)].offset - h_.low;
        starts_.push_back(row * pitch_ +
                          (w_.taps[static_cast<size_t>(j)].offset - w_.low) * pixels_.pixel);
      }
    }
    for (int64_t i = 0; i < images_; ++i)
      for (int64_t r = 0; r < rows_; ++r)
        row_starts_.push_back(i * image_pitch_ + pixels_.row_of(r, 0) * pitch_);
  }

  // `first`: into sums that hold nothing yet.
  void add_part(const Task& task, int64_t part, bool first) const {
    const int64_t image = part / (row_parts_ * column_parts_) * images_;
    const int64_t images = std::min(images_, sizes_.images - image);
    const int64_t y0 = part / column_parts_ % row_parts_ * rows_,
                  x0 = part % column_parts_ * columns_;
    const int64_t rows = std::min(rows_, h_.size - y0), columns = std::min(columns_, w_.size - x0);
    const int64_t x_plane = h_.source * w_.source, y_plane = h_.size * w_.size;
    const int64_t first_c = task.group * (depthwise_ ? panels_.width(0) : sources_);
    Pixels<T> pixels = pixels_;
    if (depthwise_) pixels.channels = panels_.size(task.group);
    for (int64_t i = 0; i < images; ++i)
      pixels.pack(x_ + ((image + i) * sizes_.c + first_c) * x_plane, task.zeros, y0, y0 + rows, x0,
                  w_.reach(x0, x0 + columns), pitch_, task.source + i * image_pitch_,
                  task.pointers);
    const int64_t panels = depthwise_ ? 1 : std::min(task.panel + task_panels_, panels_.count());
    for (int64_t panel = task.panel; panel < panels; ++panel) {
      const int width = depthwise_ ? panels_.width(0) : panels_.width(panel);
      const T* const y = y_ + image * sizes_.k * y_plane + y0 * w_.size + x0;
      for (int64_t i = 0; i < images; ++i)
        turn(task, panel, y + i * sizes_.k * y_plane, rows, columns, first && i == 0,
             task.turned + i * rows * columns * width);
      ConvTile<T> t{};
      t.n = width;
      t.ap = w_.move * pixels_.pixel;
      t.count = columns;
      t.ldc = width;
      T* const c = task.sums + (depthwise_ ? 0 : depth_ * panels_.first(panel));
      // With several images a part has all rows of each, so that those of the next one follow.
      for (int64_t r = 0; r < images * rows; r += block_rows_) {
        t.segments = std::min(block_rows_, images * rows - r);
        t.offsets = row_starts_.data() + r;
        t.b = task.turned + r * columns * width;
        t.add = !first || r > 0;
        if (depthwise_)
          add_depthwise(t, task.source, c);
        else
          add_tiles(t, task.source, c);
      }
    }
  }

  // Lays out part of an image of y, and adds up its channels, if those sums are wanted.
  void turn(const Task& task, int64_t panel, const T* y, int64_t rows, int64_t columns, bool first,
            T* turned) const {
    const int64_t k = task.group * group_channels_ + (depthwise_ ? 0 : panels_.first(panel));
    const int n = panels_.size(depthwise_ ? task.group : panel);
    const int width = depthwise_ ? panels_.width(0) : panels_.width(panel);
    const int64_t plane = h_.size * w_.size;
    const bool whole = columns == w_.size;
    const int64_t runs = whole ? 1 : rows, run = whole ? rows * columns : columns;
    for (int64_t r = 0; r < runs; ++r) {
      for (int j = 0; j < n; ++j) {
        task.pointers[j] = y + (k + j) * plane + r * w_.size;
        if (task.bias == nullptr) continue;
        double& sum = task.bias[k + j];
        sum = (first && r == 0 ? 0.0 : sum) +
              static_cast<double>(micro().of<T>().reduce.sum(run, task.pointers[j]));
      }
      micro_.pack(n, run, task.pointers, turned + r * run * width, width);
    }
  }

  void add_tiles(ConvTile<T>& t, const T* source, T* c) const {
    if (run_ == 0) return;
    const int64_t height = even_part(run_, micro_.rows[t.n / micro_.lanes - 1]);
    t.ai = 1;
    for (const int64_t start : starts_) {
      for (int64_t i = 0; i < run_; i += height) {
        t.m = static_cast<int>(std::min(height, run_ - i));
        t.a = source + start + i;
        t.c = c + i * t.n;
        micro_.tile(t);
      }
      c += run_ * t.n;
    }
  }

  void add_depthwise(ConvTile<T>& t, const T* source, T* c) const {
    const int64_t height = even_part(taps_, micro_.depthwise_taps);
    t.a = source;
    for (int64_t i = 0; i < taps_; i += height) {
      t.m = static_cast<int>(std::min(height, taps_ - i));
      t.c = c + i * t.n;
      micro_.depthwise_weight(t, starts_.data() + i);
    }
  }

  // Adds up the splits, in the order in which weights lie: [channel of the source][tap][lane], and
  // gives each lane its place.
  void merge(int64_t group, int64_t panel, int64_t c0, int64_t count, const T* sums,
             int64_t group_sums, T* merged) const {
    const int64_t first = depthwise_ ? 0 : panels_.first(panel);
    const int width = depthwise_ ? panels_.width(0) : panels_.width(panel);
    const int64_t kernel_h = sizes_.kernel[0], kernel_w = sizes_.kernel[1];
    const auto add = micro().of<T>().reduce.add;
    for (int64_t c = 0; c < count; ++c) {
      for (int64_t tap = 0; tap < taps_; ++tap) {
        const int64_t r = tap / kernel_w, s = tap % kernel_w;
        const int64_t slot = pixels_.folded ? s * kernel_h + r : tap;
        const T* from = sums + group * group_sums + depth_ * first +
                        (slot * (depthwise_ ? 1 : sources_) + c0 + c) * width;
        T* const to = merged + (c * taps_ + tap) * width;
        std::copy_n(from, width, to);
        for (int64_t split = 1; split < splits_; ++split) {
          from += groups_ * group_sums;
          add(width, to, from);
        }
      }
    }
    const int64_t k = group * group_channels_ + first;
    micro_.unpack(count * taps_, panels_.size(depthwise_ ? group : panel), merged, width,
                  dw_ + k * depth_ + c0 * taps_, depth_, nullptr);
  }

  const ConvMicro<T>& micro_;
  const Sizes sizes_;
  const Axis h_, w_;
  const bool depthwise_;
  const int64_t channels_, sources_;  // of y and of x in a group
  const Panels panels_;               // of y's channels
  const int64_t groups_;
  const Pixels<T> pixels_;
  const T *const x_, *const y_;
  T *const dw_, *const dbias_;
  const int64_t taps_;
  const int64_t depth_;  // rows of a group's sums

  // The plan. A part is some rows and columns of y of an image, or several whole ones.
  int64_t group_channels_ = 0, panel_width_ = 0;
  int64_t images_ = 1, rows_ = 1, columns_ = 1, row_parts_ = 1, column_parts_ = 1, parts_ = 0;
  int64_t splits_ = 1, task_panels_ = 1, panel_parts_ = 1;
  int64_t pitch_ = 0, image_pitch_ = 0;  // of a row and an image of x, laid out
  int64_t block_rows_ = 1, grain_ = 1;
  int64_t run_ = 0;  // neighbours in a row of x
  std::vector<int64_t> starts_, row_starts_;
};

}  // namespace

void conv_weight(Ctx& ctx, const ConvArgs& args) {
  if (meets_once(args)) return conv_whole_weight(ctx, args);
  dispatch_floating("conv", args.w.dtype, [&]<class T>() { WeightGradient<T>(args).run(); });
}

}  // namespace lamina::cpu
