// How the images of a convolution meet, and how they are laid out for the tiles: what conv.cpp and
// conv_weight.cpp share.
#pragma once

#include <algorithm>
#include <vector>

#include "cpu/micro.h"
#include "cpu/tasks.h"
#include "cpu/workspace.h"
#include "device.h"

namespace lamina::cpu::conv_detail {

constexpr int64_t kSourceBytes = 512 << 10;  // of a task's source, laid out: half an L2 cache

constexpr int64_t kFewChannels = 5;

struct Sizes {
  explicit Sizes(const ConvArgs& a)
      : images(a.x.sizes[0]),
        c(a.x.sizes[1]),
        k(a.y.sizes[1]),
        x{a.x.sizes[2], a.x.sizes[3]},
        y{a.y.sizes[2], a.y.sizes[3]},
        kernel{a.w.sizes[2], a.w.sizes[3]},
        groups(a.groups) {}
  // Every channel of the result meets one channel, and every channel is met once.
  bool depthwise() const { return groups > 1 && c == groups && k == groups; }
  // Where a row of the kernel meets too few channels to make a run, or not every row of x is met, a
  // row is laid out for each one of y, its pixels with the channels of a whole column of taps.
  bool folds(int64_t stride) const {
    return !depthwise() && (kernel[0] > 1 ? c / groups < kFewChannels : stride > 1);
  }

  int64_t images, c, k, x[2], y[2], kernel[2], groups;
};

// Along one dimension, which positions of a source meet a position of the result: that at
// phase + u * step meets u * move + offset for each tap of its phase.
struct Axis {
  struct Tap {
    int64_t at;  // in the kernel
    int64_t offset;
  };
  int64_t size, source;  // lengths of result and source
  int64_t step, move;
  std::vector<Tap> taps;       // phase by phase, offsets ascending
  std::vector<int64_t> first;  // of each phase, and the end
  int64_t low = 0, high = 0;   // least and largest offset

  std::span<const Tap> of(int64_t phase) const {
    return {taps.data() + first[static_cast<size_t>(phase)],
            taps.data() + first[static_cast<size_t>(phase) + 1]};
  }
  // Source positions that results [from, to) meet, gaps included; `from` begins a step.
  int64_t reach(int64_t from, int64_t to) const {
    return ((to - 1) / step - from / step) * move + high - low + 1;
  }
  int64_t start(int64_t from) const { return from / step * move + low; }
  // Where source positions beside each other meet a result through taps beside each other.
  bool adjacent(int64_t phase) const {
    const auto t = of(phase);
    for (size_t i = 1; i < t.size(); ++i)
      if (t[i].offset != t[i - 1].offset + 1) return false;
    return true;
  }
  void settle() {
    if (taps.empty()) return;
    const auto less = [](const Tap& a, const Tap& b) { return a.offset < b.offset; };
    low = std::min_element(taps.begin(), taps.end(), less)->offset;
    high = std::max_element(taps.begin(), taps.end(), less)->offset;
  }
};

// y from x.
inline Axis forward_axis(const ConvArgs& a, int dim) {
  const Sizes s(a);
  Axis axis{s.y[dim], s.x[dim], 1, a.stride[dim], {}, {0, s.kernel[dim]}};
  for (int64_t at = 0; at < s.kernel[dim]; ++at)
    axis.taps.push_back({at, at * a.dilation[dim] - a.padding[dim]});
  axis.settle();
  return axis;
}

// x from y: with a stride, neighbours meet different taps.
inline Axis gradient_axis(const ConvArgs& a, int dim) {
  const Sizes s(a);
  const int64_t stride = a.stride[dim];
  Axis axis{s.x[dim], s.y[dim], std::max<int64_t>(1, std::min(stride, s.x[dim])), 1, {}, {0}};
  for (int64_t phase = 0; phase < axis.step; ++phase) {
    for (int64_t at = s.kernel[dim] - 1; at >= 0; --at) {
      const int64_t from = phase + a.padding[dim] - at * a.dilation[dim];
      if (from % stride == 0) axis.taps.push_back({at, from / stride});
    }
    axis.first.push_back(static_cast<int64_t>(axis.taps.size()));
  }
  axis.settle();
  return axis;
}

// A part of an image as the tiles read it: pixel by pixel, the channels of one adjacent, with the
// zeros that pad it; or folded.
template <class T>
struct Pixels {
  Pixels(const ConvMicro<T>& micro_, const Axis& h_, const Axis& w_, int64_t channels_, bool folds,
         int64_t pixel_)
      : micro(micro_),
        h(h_),
        w(w_),
        channels(channels_),
        folded(folds),
        pixel(folds ? static_cast<int64_t>(h_.taps.size()) * channels_ : pixel_) {}

  // Rows of this form that results [from, to) need.
  int64_t rows(int64_t from, int64_t to) const { return folded ? to - from : h.reach(from, to); }
  // How far result row y is from row `from`.
  int64_t row_of(int64_t y, int64_t from) const {
    return folded ? y - from : (y / h.step - from / h.step) * h.move;
  }

  // Columns [x0, x0 + pitch / pixel) for results rows [y0, y1): `source` is the first channel's
  // plane, `zeros` a row of them, `rows_` room for a pointer to each channel of a pixel.
  void pack(const T* source, const T* zeros, int64_t y0, int64_t y1, int64_t x0, int64_t columns,
            int64_t pitch, T* to, const T** pointers) const {
    const int64_t plane = h.source * w.source;
    const int64_t start = w.start(x0);
    const int64_t begin = std::clamp<int64_t>(start, 0, w.source);
    const int64_t end = std::clamp<int64_t>(start + columns, begin, w.source);
    const int64_t before = end > begin ? begin - start : columns;
    const int64_t count = rows(y0, y1);
    for (int64_t r = 0; r < count; ++r, to += pitch) {
      std::fill_n(to, before * pixel, T(0));
      if (end == begin) continue;
      const int64_t taps = folded ? static_cast<int64_t>(h.taps.size()) : 1;
      const T** next = pointers;
      bool some = false;
      for (int64_t t = 0; t < taps; ++t) {
        const int64_t row =
            folded ? (y0 + r) * h.move + h.taps[static_cast<size_t>(t)].offset : h.start(y0) + r;
        const bool inside = row >= 0 && row < h.source;
        some |= inside;
        const T* from = source + row * w.source + begin;
        for (int64_t c = 0; c < channels; ++c, from += plane) *next++ = inside ? from : zeros;
      }
      const int64_t after = columns - before - (end - begin);
      if (some)
        micro.pack(taps * channels, end - begin, pointers, to + before * pixel, pixel);
      else
        std::fill_n(to + before * pixel, (end - begin) * pixel, T(0));
      std::fill_n(to + (columns - after) * pixel, after * pixel, T(0));
    }
  }

  const ConvMicro<T>& micro;
  const Axis &h, &w;
  int64_t channels;
  bool folded;
  int64_t pixel;  // elements from one to the next
};

// The weights that n channels of a result have for `sources` of the other side, as given [channel
// of one side][of the other][tap]: `lane` and `row` are the steps from one to the next. Each row
// [n] of the turned ones is put where place(tap, source) says, if anywhere.
template <class T, class Place>
void turn_weights(const ConvMicro<T>& micro, const T* from, int64_t lane, int64_t row,
                  int64_t sources, int64_t taps, int n, Place place) {
  if (lane == 1) {
    for (int64_t i = 0; i < sources; ++i)
      if (T* const to = place(0, i)) std::copy_n(from + i * row, n, to);
    return;
  }
  constexpr int64_t kBlock = 2048;
  const int64_t chunk = row == taps ? std::max<int64_t>(1, kBlock / (taps * n)) : 1;
  const Workspace<T> turned(std::min(chunk, sources) * taps * n);
  const T* lanes[64];
  for (int64_t i = 0; i < sources; i += chunk) {
    const int64_t rows = std::min(chunk, sources - i);
    for (int l = 0; l < n; ++l) lanes[l] = from + l * lane + i * row;
    micro.pack(n, rows * taps, lanes, turned.data(), n);
    for (int64_t r = 0; r < rows * taps; ++r)
      if (T* const to = place(r % taps, i + r / taps)) std::copy_n(turned.data() + r * n, n, to);
  }
}

// Channels of a result in panels of two vectors, and the rest in one or two.
struct Panels {
  Panels(int64_t channels_, int lanes_) : channels(channels_), lanes(lanes_) {}
  int64_t count() const { return ceil_div(channels, 2 * lanes); }
  int64_t first(int64_t i) const { return i * 2 * lanes; }
  int size(int64_t i) const {
    return static_cast<int>(std::min<int64_t>(2 * lanes, channels - first(i)));
  }
  int width(int64_t i) const { return size(i) <= lanes ? lanes : 2 * lanes; }
  int64_t padded() const { return ceil_div(channels, lanes) * lanes; }

  int64_t channels;
  int lanes;
};

// conv_whole.cpp: where filters are as large as images, a product of matrices.
bool meets_once(const ConvArgs& args);
void conv_whole(Ctx& ctx, const ConvArgs& args);
void conv_whole_input(Ctx& ctx, const ConvArgs& args);
void conv_whole_weight(Ctx& ctx, const ConvArgs& args);

// conv_rows.cpp: a convolution by rows of pixels, if that is the better way; false: it is not.
template <class T>
bool conv_rows(const ConvArgs& args, bool input);

}  // namespace lamina::cpu::conv_detail
