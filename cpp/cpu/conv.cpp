// Convolutions that gather: the result of a convolution, and the gradient of its input, which is
// one too, with the roles of the channels exchanged and the kernel turned round; a stride leaves
// every row and column of it to a kernel of its own (`Axis`).
//
// A task takes part of an image (or several, where they are narrow), lays it out with the channels
// of a pixel adjacent and with its padding, in a buffer that a cache holds, and computes from it
// all channels of its part of the result: tiles fill a small buffer of the same layout, from which
// planes are written. Weights are packed once a call, in the order in which the tiles read them.
#include "cpu/conv.h"
#include "core/parallel.h"
#include "cpu/drivers.h"
#include "cpu/workspace.h"

namespace lamina::cpu {

using namespace conv_detail;

namespace {

constexpr int64_t kResultBytes = 16 << 10;  // of its buffer: a third of an L1 cache
constexpr int64_t kColumns = 512;           // of a task, about
// Rows of so few pixels give tiles that are too low: then they run across images instead.
constexpr int64_t kNarrow = 6;
constexpr int64_t kResidentBytes = 256 << 10;  // of weights, above which an L2 cache loses them
constexpr int64_t kUnmet = -1;                 // the place of a tap that no pixel meets

template <class T>
class Gather {
 public:
  Gather(const ConvArgs& args, bool input)
      : micro_(micro().of<T>().conv),
        sizes_(args),
        h_(input ? gradient_axis(args, 0) : forward_axis(args, 0)),
        w_(input ? gradient_axis(args, 1) : forward_axis(args, 1)),
        depthwise_(sizes_.depthwise()),
        // A depthwise convolution is one of panels of channels.
        per_group_((input ? sizes_.c : sizes_.k) / (depthwise_ ? 1 : sizes_.groups)),
        sources_((input ? sizes_.k : sizes_.c) / (depthwise_ ? 1 : sizes_.groups)),
        panels_(per_group_, micro_.lanes),
        groups_(depthwise_ ? panels_.count() : sizes_.groups),
        pixels_(micro_, h_, w_, depthwise_ ? panels_.width(0) : sources_,
                !input && sizes_.folds(args.stride[0]), depthwise_ ? panels_.width(0) : sources_),
        source_((input ? args.y : args.x).as<T>()),
        weight_(args.w.as<T>()),
        bias_(args.bias.as<T>()),
        result_((input ? args.x : args.y).as<T>()),
        act_(args.act),
        taps_(sizes_.kernel[0] * sizes_.kernel[1]),
        lane_(depthwise_ || input ? taps_ : sources_ * taps_),
        row_(input ? per_group_ * taps_ : taps_),
        depth_(taps_ * (depthwise_ ? 1 : sources_)) {
    plan();
  }

  void run() const {
    if (sizes_.images == 0 || per_group_ == 0 || h_.size == 0 || w_.size == 0) return;
    const Workspace<T, 64> weights(groups_ * group_weights());
    const int64_t panels = depthwise_ ? 1 : panels_.count();
    const double rows = 1.0 + static_cast<double>(depth_);
    parallel_for(groups_ * panels, std::max<int64_t>(1, static_cast<int64_t>(1e4 / (rows * 32))),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t i = begin; i < end; ++i)
                     pack_weights(i / panels, i % panels, weights.data());
                 });
    const Workspace<T, 2048> zeros(pixels_.folded ? w_.source : 0);
    if (pixels_.folded) std::fill_n(zeros.data(), w_.source, T(0));
    const int64_t parts = panel_parts_ * row_parts_ * column_parts_;
    parallel_for(image_parts_ * groups_ * parts, grain_, [&](int64_t begin, int64_t end) {
      const Workspace<T, 64> source(images_ * image_pitch_);
      const Workspace<T, 64> buffer((across_ ? images_ : 1) * buffer_rows_ * columns_ * 2 *
                                    micro_.lanes);
      const Workspace<const T*, 1024> pointers(std::max(pixels_.pixel, pixels_.channels));
      // What a panel that is not full leaves between pixels is read.
      if (depthwise_) std::fill_n(source.data(), images_ * image_pitch_, T(0));
      for (int64_t i = begin; i < end; ++i) {
        const int64_t group = i / parts % groups_;
        Box box;
        box.image = i / parts / groups_ * images_;
        box.images = std::min(images_, sizes_.images - box.image);
        box.group = group;
        box.panel = i % parts / (row_parts_ * column_parts_) * task_panels_;
        box.y = i / column_parts_ % row_parts_ * rows_;
        box.x = i % column_parts_ * columns_;
        box.columns = std::min(columns_, w_.size - box.x);
        task(box, weights.data() + group * group_weights(), zeros.data(), source.data(),
             buffer.data(), pointers.data());
      }
    });
  }

 private:
  // What the tiles of one phase of rows and one of columns have in common.
  struct Meeting {
    std::vector<int64_t> offsets;
    int64_t count;
    int64_t first;  // row of the packed weights
  };
  struct Box {
    int64_t image, images, group, panel, y, x, columns;
  };

  // Weights of a group in elements.
  int64_t group_weights() const {
    return depth_ * (depthwise_ ? panels_.width(0) : panels_.padded());
  }

  void plan() {
    if (sizes_.images == 0 || per_group_ == 0 || h_.size == 0 || w_.size == 0) return;
    const double work = 1 + 2.0 * static_cast<double>(sizes_.images * per_group_) *
                                static_cast<double>(depth_ * (depthwise_ ? 4 : sizes_.groups)) *
                                static_cast<double>(h_.size * w_.size);
    const int64_t want = std::clamp<int64_t>(static_cast<int64_t>(work / kTaskWork), 1, 16);
    const int64_t step = w_.step;
    columns_ = w_.size;
    if (columns_ > kColumns) columns_ = ceil_div(even_part(columns_, kColumns), step) * step;
    column_parts_ = ceil_div(w_.size, columns_);
    pitch_ = w_.reach(0, columns_) * pixels_.pixel;
    const auto room = [&](int64_t rows) {
      return kSourceBytes /
             std::max<int64_t>(1, pixels_.rows(0, rows) * pitch_ * int64_t(sizeof(T)));
    };
    const int64_t across = ceil_div(columns_, step);
    const int64_t bytes = group_weights() * static_cast<int64_t>(sizeof(T));
    across_ = across < kNarrow && sizes_.images > across;
    if (across_) {
      images_ = std::clamp<int64_t>(room(h_.size), 1, even_part(sizes_.images, micro_.rows[1]));
    } else if (bytes > kResidentBytes) {
      // Several images for each time that a panel of weights comes from afar.
      images_ = std::clamp<int64_t>(room(h_.size), 1,
                                    ceil_div(sizes_.images * groups_ * column_parts_, want));
    }
    images_ = std::min(images_, sizes_.images);
    image_parts_ = ceil_div(sizes_.images, images_);
    int64_t tasks = image_parts_ * groups_ * column_parts_;
    const int64_t panels = depthwise_ ? 1 : panels_.count();
    task_panels_ = panels;
    if (tasks < want && bytes > kResidentBytes)
      task_panels_ = ceil_div(panels, std::min(panels, ceil_div(want, tasks)));
    panel_parts_ = ceil_div(panels, task_panels_);
    tasks *= panel_parts_;
    rows_ = ceil_div(h_.size, std::min(h_.size, ceil_div(want, tasks)));
    while (rows_ > h_.step && room(rows_) == 0) rows_ = ceil_div(rows_, 2);
    rows_ = std::min(ceil_div(rows_, h_.step) * h_.step, h_.size);
    row_parts_ = ceil_div(h_.size, rows_);
    image_pitch_ = pixels_.rows(0, rows_) * pitch_;
    buffer_rows_ = std::clamp<int64_t>(
        kResultBytes / ((across_ ? images_ : 1) * columns_ * 2 * micro_.lanes * int64_t(sizeof(T))),
        1, rows_);
    const int64_t all = tasks * row_parts_;
    const double of_task = work / static_cast<double>(all);
    grain_ = fair_grain(
        all, std::max<int64_t>({1, static_cast<int64_t>(kTaskWork / of_task), all / 64}));
    meet();
  }

  void meet() {
    slots_.resize(static_cast<size_t>(taps_), kUnmet);
    int64_t slot = 0;
    for (int64_t ph = 0; ph < h_.step; ++ph) {
      for (int64_t pw = 0; pw < w_.step; ++pw) {
        const auto across = w_.of(pw), down = h_.of(ph);
        const auto nh = static_cast<int64_t>(down.size()), nw = static_cast<int64_t>(across.size());
        Meeting m{{}, depthwise_ ? 1 : pixels_.pixel, slot * (depthwise_ ? 1 : sources_)};
        const bool joined = !depthwise_ && nw > 0 && w_.adjacent(pw);
        if (joined) m.count *= nw;
        for (int64_t i = 0; i < (pixels_.folded ? 1 : nh); ++i) {
          for (int64_t j = 0; j < (joined ? 1 : nw); ++j) {
            const int64_t row = pixels_.folded ? 0 : down[static_cast<size_t>(i)].offset - h_.low;
            m.offsets.push_back(row * pitch_ +
                                (across[static_cast<size_t>(j)].offset - w_.low) * pixels_.pixel);
          }
        }
        for (int64_t i = 0; i < nh; ++i) {
          for (int64_t j = 0; j < nw; ++j) {
            const int64_t tap = down[static_cast<size_t>(i)].at * sizes_.kernel[1] +
                                across[static_cast<size_t>(j)].at;
            slots_[static_cast<size_t>(tap)] = slot + (pixels_.folded ? j * nh + i : i * nw + j);
          }
        }
        slot += nh * nw;
        meetings_.push_back(std::move(m));
      }
    }
  }

  // One panel of a group's weights: [slot][channel of the source][lane].
  void pack_weights(int64_t group, int64_t panel, T* packed) const {
    const int64_t first = depthwise_ ? panels_.first(group) : panels_.first(panel);
    const int n = panels_.size(depthwise_ ? group : panel);
    const int width = depthwise_ ? panels_.width(0) : panels_.width(panel);
    T* const to = packed + group * group_weights() + (depthwise_ ? 0 : first * depth_);
    const int64_t sources = depthwise_ ? 1 : sources_;
    if (sources == 0) return;
    const T* const from =
        weight_ + first * lane_ + (depthwise_ ? 0 : group * sources_ * per_group_ * taps_);
    if (n < width) std::fill_n(to, depth_ * width, T(0));
    turn_weights(micro_, from, lane_, row_, sources, taps_, n, [&](int64_t tap, int64_t i) -> T* {
      const int64_t slot = slots_[static_cast<size_t>(tap)];
      return slot == kUnmet ? nullptr : to + (slot * sources + i) * width;
    });
  }

  void task(const Box& box, const T* weights, const T* zeros, T* source, T* buffer,
            const T** pointers) const {
    const int64_t y1 = std::min(box.y + rows_, h_.size);
    const int64_t plane = h_.source * w_.source;
    const int64_t all_sources = depthwise_ ? sources_ : sources_ * groups_;
    Pixels<T> pixels = pixels_;
    if (depthwise_) pixels.channels = panels_.size(box.group);
    for (int64_t i = 0; i < box.images; ++i)
      pixels.pack(source_ + ((box.image + i) * all_sources +
                             box.group * (depthwise_ ? panels_.width(0) : sources_)) *
                                plane,
                  zeros, box.y, y1, box.x, w_.reach(box.x, box.x + box.columns), pitch_,
                  source + i * image_pitch_, pointers);
    const int64_t panels = depthwise_ ? 1 : std::min(box.panel + task_panels_, panels_.count());
    for (int64_t panel = box.panel; panel < panels; ++panel) {
      const int width = depthwise_ ? panels_.width(0) : panels_.width(panel);
      const T* const b = weights + (depthwise_ ? 0 : panels_.first(panel) * depth_);
      for (int64_t i = 0; i < box.images; i += across_ ? box.images : 1) {
        for (int64_t y = box.y; y < y1; y += buffer_rows_) {
          const int64_t rows = std::min(buffer_rows_, y1 - y);
          const int64_t area = rows * box.columns * width;
          for (int64_t r = 0; r < rows; ++r)
            tiles(box, (y + r) % h_.step, width,
                  source + i * image_pitch_ + pixels_.row_of(y + r, box.y) * pitch_, b,
                  buffer + r * box.columns * width, area);
          for (int64_t k = 0; k < (across_ ? box.images : 1); ++k)
            unpack(box, panel, i + k, y, rows, width, buffer + k * area);
        }
      }
    }
  }

  // One row of the result: of one image, or of all the task's, which are `area` apart in c.
  void tiles(const Box& box, int64_t phase, int width, const T* a, const T* b, T* c,
             int64_t area) const {
    const auto most = static_cast<int64_t>(depthwise_ ? micro_.depthwise_rows
                                                      : micro_.rows[width / micro_.lanes - 1]);
    const auto tile = depthwise_ ? micro_.depthwise : micro_.tile;
    const int64_t move = w_.move * pixels_.pixel, step = w_.step * width;
    ConvTile<T> t{};
    t.n = width;
    t.ap = 1;
    t.ai = across_ ? image_pitch_ : move;
    t.ldc = across_ ? area : step;
    for (int64_t pw = 0; pw < std::min(w_.step, box.columns); ++pw) {
      const Meeting& m = meetings_[static_cast<size_t>(phase * w_.step + pw)];
      t.offsets = m.offsets.data();
      t.segments = static_cast<int64_t>(m.offsets.size());
      t.count = m.count;
      t.b = b + m.first * width;
      const int64_t count = ceil_div(box.columns - pw, w_.step);
      const int64_t inner = across_ ? box.images : count, outer = across_ ? count : 1;
      const int64_t height = even_part(inner, most);
      for (int64_t o = 0; o < outer; ++o) {
        for (int64_t i = 0; i < inner; i += height) {
          t.m = static_cast<int>(std::min(height, inner - i));
          t.a = a + o * move + i * t.ai;
          t.c = c + pw * width + o * step + i * t.ldc;
          tile(t);
        }
      }
    }
  }

  // Rows of image number `image` of the task, from the buffer to their planes.
  void unpack(const Box& box, int64_t panel, int64_t image, int64_t y, int64_t rows, int width,
              const T* buffer) const {
    const int64_t plane = h_.size * w_.size;
    const int64_t first =
        depthwise_ ? panels_.first(box.group) : box.group * per_group_ + panels_.first(panel);
    const int n = panels_.size(depthwise_ ? box.group : panel);
    const int64_t all = depthwise_ ? per_group_ : per_group_ * groups_;
    const bool whole = box.columns == w_.size;
    const int64_t runs = whole ? 1 : rows, run = whole ? rows * box.columns : box.columns;
    const T* const bias = bias_ == nullptr ? nullptr : bias_ + first;
    for (int64_t r = 0; r < runs; ++r, buffer += run * width) {
      T* const to =
          result_ + ((box.image + image) * all + first) * plane + (y + r) * w_.size + box.x;
      micro_.unpack(run, n, buffer, width, to, plane, bias);
      if (act_ == Activation::None) continue;
      const auto f = micro().of<T>().pointwise.unary[static_cast<int>(row_of(act_))];
      for (int j = 0; j < n; ++j) f(run, to + j * plane, to + j * plane, T(0), T(0));
    }
  }

  const ConvMicro<T>& micro_;
  const Sizes sizes_;
  const Axis h_, w_;
  const bool depthwise_;
  const int64_t per_group_, sources_;  // channels of the result and of the source in a group
  const Panels panels_;
  const int64_t groups_;
  const Pixels<T> pixels_;
  const T *const source_, *const weight_, *const bias_;
  T* const result_;
  const Activation act_;
  const int64_t taps_;
  // Of the weights: from one channel of the result to the next, and from one of the source.
  const int64_t lane_, row_;
  const int64_t depth_;  // rows of the packed weights

  // The plan: what a task computes, and its workspace.
  int64_t images_ = 1, rows_ = 1, columns_ = 1, task_panels_ = 1;
  int64_t image_parts_ = 0, row_parts_ = 0, column_parts_ = 0, panel_parts_ = 0;
  bool across_ = false;                  // tiles run across the task's images
  int64_t pitch_ = 0, image_pitch_ = 0;  // of a row and of an image, laid out
  int64_t buffer_rows_ = 1, grain_ = 1;
  std::vector<Meeting> meetings_;  // by phase of the row, then of the column
  std::vector<int64_t> slots_;     // where a tap's weights are
};

}  // namespace

void conv(Ctx& ctx, const ConvArgs& args) {
  if (meets_once(args)) return conv_whole(ctx, args);
  dispatch_floating("conv", args.y.dtype, [&]<class T>() {
    if (!conv_rows<T>(args, false)) Gather<T>(args, false).run();
  });
}

void conv_input(Ctx& ctx, const ConvArgs& args) {
  if (meets_once(args)) return conv_whole_input(ctx, args);
  dispatch_floating("conv", args.x.dtype, [&]<class T>() {
    if (!conv_rows<T>(args, true)) Gather<T>(args, true).run();
  });
}

}  // namespace lamina::cpu
