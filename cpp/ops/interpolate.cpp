// Maps of planes that are linear in rows and columns; interpolation, and what moves pixels.
#include <cmath>

#include "ops/windows.h"

namespace lamina::ops {
namespace {

// Taps (device.h) with memory of their own.
struct LineMap {
  std::vector<int64_t> first{0}, source;
  std::vector<double> weight;

  void end() { first.push_back(static_cast<int64_t>(source.size())); }
  Taps taps() const { return {first, source, weight}; }
};

LineMap sums_of(const Windows& w) {
  LineMap line;
  for (int64_t i = 0; i < w.out; ++i) {
    for (int64_t k = w.first(i); k < w.last(i); ++k)
      line.source.push_back(w.start(i) + k * w.dilation);
    line.end();
  }
  return line;
}

// Where samples lie is rounded to the tensor's dtype at every step, so that the nearest element is
// the one that PyTorch takes.
template <class T>
LineMap samples_of(const PlaneMap::Axis& axis) {
  const int64_t n = axis.windows.in, out = axis.windows.out;
  const auto step = static_cast<T>(axis.step);
  const auto below = [n](T at) {
    const auto i = static_cast<int64_t>(std::floor(static_cast<float>(at)));
    return std::min(i, n - 1);
  };
  LineMap line;
  for (int64_t i = 0; i < out; ++i) {
    const T place = static_cast<T>(i);
    if (axis.kind == PlaneMap::Axis::Kind::Nearest) {
      line.source.push_back(below(step * place));
    } else if (n == out) {
      line.source.push_back(i);
      line.weight.push_back(1);
    } else {
      const T at =
          axis.align_corners ? step * place : std::max(step * (place + T(0.5)) - T(0.5), T(0));
      const int64_t low = below(at);
      const T share = std::clamp(at - static_cast<T>(low), T(0), T(1));
      line.source.push_back(low);
      line.weight.push_back(static_cast<double>(T(1) - share));
      line.source.push_back(std::min(low + 1, n - 1));
      line.weight.push_back(static_cast<double>(share));
    }
    line.end();
  }
  return line;
}

// Which elements of the result each of `n` sources goes to.
LineMap transpose_of(const LineMap& line, int64_t n) {
  const auto at = [](int64_t i) { return static_cast<size_t>(i); };
  LineMap out;
  out.first.assign(at(n + 1), 0);
  for (const int64_t s : line.source) ++out.first[at(s + 1)];
  for (int64_t i = 0; i < n; ++i) out.first[at(i + 1)] += out.first[at(i)];
  out.source.resize(line.source.size());
  out.weight.resize(line.weight.size());
  std::vector<int64_t> next(out.first.begin(), out.first.end() - 1);
  for (size_t i = 0; i + 1 < line.first.size(); ++i)
    for (auto k = at(line.first[i]); k < at(line.first[i + 1]); ++k) {
      const auto to = at(next[at(line.source[k])]++);
      out.source[to] = static_cast<int64_t>(i);
      if (!line.weight.empty()) out.weight[to] = line.weight[k];
    }
  return out;
}

LineMap line_of(const PlaneMap::Axis& axis, DType dtype, bool transposed) {
  LineMap line = axis.kind == PlaneMap::Axis::Kind::Sums ? sums_of(axis.windows)
                 : dtype == DType::Float32               ? samples_of<float>(axis)
                                                         : samples_of<double>(axis);
  return transposed ? transpose_of(line, axis.windows.in) : line;
}

}  // namespace

Tensor map_planes(const Tensor& x, const PlaneMap& map, bool transposed) {
  const Windows &rows = map.rows.windows, &cols = map.cols.windows;
  const char* name = transposed ? map.backward_name : map.name;
  const Tensor source = contiguous(detach(x));
  const Pair sizes = transposed ? Pair{rows.in, cols.in} : Pair{rows.out, cols.out};
  const Dims out = with_last(x, map.rank, sizes);
  const bool nothing = x.numel() == 0;  // and what it would be made of may be beyond measure
  Tensor y = nothing ? zeros(out, x.dtype(), x.device()) : empty(out, x.dtype(), x.device());
  if (!nothing && y.numel() != 0) {
    const LineMap of_rows = line_of(map.rows, x.dtype(), transposed);
    const LineMap of_cols = line_of(map.cols, x.dtype(), transposed);
    const Planes from(source, map.rank), to(y, map.rank);
    call<&DeviceApi::resample>(
        x.device(), name,
        ResampleArgs{
            .x = from.ref(), .y = to.ref(), .rows = of_rows.taps(), .cols = of_cols.taps()});
  }
  if (recording(x))
    record(name, {y}, {x},
           [map, transposed](Backward& b) { b.set(0, map_planes(b.grad(), map, !transposed)); });
  return y;
}

Tensor interpolate(const Tensor& x, IntList sizes, std::span<const std::optional<double>> scales,
                   std::string_view mode, bool align_corners) {
  const char* op = "interpolate";
  const bool nearest = mode == "nearest";
  check<ValueError>(nearest || mode == "linear" || mode == "bilinear", op,
                    ": mode must be 'nearest', 'linear' or 'bilinear', got '", mode, "'");
  check_floating(op, "input", x);
  check<ValueError>(x.rank() == 3 || x.rank() == 4, op,
                    ": the input must be [N, C, L] or [N, C, H, W]", line("input", x));
  const int rank = x.rank() - 2;
  check<ValueError>(nearest || (rank == 1) == (mode == "linear"), op, ": mode '", mode,
                    "' is for an input ", mode == "linear" ? "[N, C, L]" : "[N, C, H, W]",
                    line("input", x));
  check<ValueError>(!align_corners || !nearest, op,
                    ": align_corners has no meaning with mode 'nearest'");
  check<ValueError>(static_cast<int>(sizes.size()) == rank, op, ": needs ", rank,
                    rank == 1 ? " size" : " sizes", ", got ", sizes, line("input", x));
  PlaneMap map{op, "interpolate_backward", rank, {}, {}};
  for (int i = 0; i < rank; ++i) {
    const int64_t n = x.size(2 + i), out = sizes[static_cast<size_t>(i)];
    check<ValueError>(n > 0 && out > 0, op, ": sizes must be positive, got ", sizes,
                      line("input", x));
    PlaneMap::Axis& axis = i == rank - 1 ? map.cols : map.rows;
    axis.kind = nearest ? PlaneMap::Axis::Kind::Nearest : PlaneMap::Axis::Kind::Linear;
    axis.windows = {.in = n, .out = out};
    axis.align_corners = align_corners;
    const std::optional<double> scale = scales[static_cast<size_t>(i)];
    if (align_corners)
      axis.step = out > 1 ? static_cast<double>(n - 1) / static_cast<double>(out - 1) : 0;
    else if (scale && *scale > 0)
      axis.step = 1 / *scale;
    else
      axis.step = static_cast<double>(n) / static_cast<double>(out);
  }
  return map_planes(x, map);
}

namespace {

int64_t checked_factor(const char* op, const char* what, const Tensor& x, int64_t factor) {
  check<ValueError>(x.rank() >= 3, op, ": the input must be [..., C, H, W]", line("input", x));
  check<ValueError>(factor > 0 && factor < (int64_t{1} << 30), op, ": ", what,
                    " must be positive, got ", factor);
  return factor;
}

// [..., C, H, W] as [N, C, H, W] in the sizes given for the last three, then turned, then with the
// leading dimensions back.
Tensor turned(const Tensor& x, const Dims& split, const Dims& order, const Dims& last) {
  Dims sizes = x.sizes();
  sizes.resize(x.rank() - 3);
  Dims flat{checked_numel(sizes)};
  for (const int64_t n : split) flat.push_back(n);
  for (const int64_t n : last) sizes.push_back(n);
  return reshape(permute(reshape(x, flat), order), sizes);
}

}  // namespace

Tensor pixel_shuffle(const Tensor& x, int64_t factor) {
  const int64_t f = checked_factor("pixel_shuffle", "upscale_factor", x, factor);
  const int r = x.rank();
  const int64_t c = x.size(r - 3), h = x.size(r - 2), w = x.size(r - 1);
  check<ValueError>(c % (f * f) == 0, "pixel_shuffle: ", c, " channels are no multiple of ", f * f,
                    ", the square of upscale_factor", line("input", x));
  return turned(x, {c / (f * f), f, f, h, w}, {0, 1, 4, 2, 5, 3}, {c / (f * f), h * f, w * f});
}

Tensor pixel_unshuffle(const Tensor& x, int64_t factor) {
  const int64_t f = checked_factor("pixel_unshuffle", "downscale_factor", x, factor);
  const int r = x.rank();
  const int64_t c = x.size(r - 3), h = x.size(r - 2), w = x.size(r - 1);
  check<ValueError>(h % f == 0 && w % f == 0, "pixel_unshuffle: ", h, " x ", w,
                    " is no multiple of downscale_factor ", f, line("input", x));
  return turned(x, {c, h / f, f, w / f, f}, {0, 1, 3, 5, 2, 4}, {c * f * f, h / f, w / f});
}

}  // namespace lamina::ops
