// Pooling. A map from maxima to their places and its transpose are each other's derivative; so are
// sums of windows and what they spread: derivatives of any order come of it.
#include "ops/windows.h"

namespace lamina::ops {
namespace {

const char* name_of(int rank, const char* one, const char* two) { return rank == 1 ? one : two; }

struct Plane {
  Windows rows, cols;
};

// The windows of a call, checked.
Plane plane_of(const char* op, const Tensor& x, int rank, const WindowSizes& w) {
  check_planes(op, x, rank);
  check<ValueError>(!w.kernel.empty(), op, ": kernel_size must not be empty");
  const Pair kernel = sizes_of(op, "kernel_size", w.kernel, rank, 1, {1, 1});
  const Pair stride = sizes_of(op, "stride", w.stride, rank, 1, kernel);
  const Pair padding = sizes_of(op, "padding", w.padding, rank, 0, {0, 0});
  const Pair dilation = sizes_of(op, "dilation", w.dilation, rank, 1, {1, 1});
  const auto along = [&](size_t d, int64_t n) {
    check<ValueError>(2 * padding[d] <= kernel[d], op, ": padding must be at most half of ",
                      "kernel_size, got ", padding[d], " and ", kernel[d]);
    return windows_of(op, n, kernel[d], stride[d], padding[d], dilation[d], w.ceil_mode);
  };
  Plane out;
  if (rank == 2) out.rows = along(0, x.size(x.rank() - 2));
  out.cols = along(1, x.size(x.rank() - 1));
  return out;
}

// Cuts of a dimension that are as even as whole numbers are; equal ones are plain windows.
Windows cuts_of(int64_t n, int64_t out) {
  Windows w{.in = n, .out = out};
  if (out > 0 && n % out == 0) {
    w.kernel = w.stride = n / out;
  } else {
    w.kernel = out == 0 ? 1 : n / out + 2;
    w.adaptive = true;
  }
  return w;
}

Plane adaptive_plane(const char* op, const Tensor& x, int rank, IntList sizes) {
  check_planes(op, x, rank);
  check<ValueError>(!sizes.empty(), op, ": output_size must not be empty");
  const Pair out = sizes_of(op, "output_size", sizes, rank, 0, {1, 1});
  Plane plane;
  if (rank == 2) plane.rows = cuts_of(x.size(x.rank() - 2), out[0]);
  plane.cols = cuts_of(x.size(x.rank() - 1), out[1]);
  return plane;
}

// -- maxima
// ----------------------------------------------------------------------------------------

struct Maxima {
  const char* name;
  const char* backward_name;
  int rank;
  Plane plane;
  Dims input;
};

Tensor take_places(const Tensor& x, const Tensor& index, const Maxima& m);

// The transpose of taking the maxima: g's elements at the places, zero elsewhere.
Tensor put_places(const Tensor& g, const Tensor& index, const Maxima& m) {
  const Tensor values = contiguous(detach(g));
  const bool nothing = g.numel() == 0;
  Tensor x =
      nothing ? zeros(m.input, g.dtype(), g.device()) : empty(m.input, g.dtype(), g.device());
  if (!nothing && x.numel() != 0) {
    const Planes planes(x, m.rank), windows(values, m.rank), at(index, m.rank);
    call<&DeviceApi::max_pool_put>(
        g.device(), m.backward_name,
        MaxPlacesArgs{planes.ref(), windows.ref(), at.ref(), m.plane.rows, m.plane.cols});
  }
  if (recording(g))
    record(m.backward_name, {x}, {g}, [index = Saved::input(index), m](Backward& b) {
      b.set(0, take_places(b.grad(), b(index), m));
    });
  return x;
}

Tensor take_places(const Tensor& x, const Tensor& index, const Maxima& m) {
  const Tensor source = contiguous(detach(x));
  Tensor values = empty(index.sizes(), x.dtype(), x.device());
  if (values.numel() != 0) {
    const Planes planes(source, m.rank), windows(values, m.rank), at(index, m.rank);
    call<&DeviceApi::max_pool_take>(
        x.device(), m.name,
        MaxPlacesArgs{planes.ref(), windows.ref(), at.ref(), m.plane.rows, m.plane.cols});
  }
  if (recording(x))
    record(m.name, {values}, {x}, [index = Saved::input(index), m](Backward& b) {
      b.set(0, put_places(b.grad(), b(index), m));
    });
  return values;
}

std::pair<Tensor, Tensor> maxima(const Tensor& x, const Maxima& m, bool indices) {
  const Windows &rows = m.plane.rows, &cols = m.plane.cols;
  const Tensor source = contiguous(detach(x));
  const Dims sizes = with_last(x, m.rank, {rows.out, cols.out});
  Tensor y = empty(sizes, x.dtype(), x.device());
  // A place in the window fits a byte unless the window is large.
  const bool small = rows.kernel < 256 && cols.kernel < 256 && rows.kernel * cols.kernel < 256;
  Tensor index;
  if (indices || recording(x))
    index = empty(sizes, small && !indices ? DType::UInt8 : DType::Int64, x.device());
  if (y.numel() != 0) {
    const Planes from(source, m.rank), to(y, m.rank), at(index.defined() ? index : y, m.rank);
    MaxPoolArgs args{.x = from.ref(), .y = to.ref(), .index = {}, .rows = rows, .cols = cols};
    if (index.defined()) args.index = at.ref();
    call<&DeviceApi::max_pool>(x.device(), m.name, args);
  }
  if (recording(x))
    record(m.name, {y}, {x}, [index = Saved::input(index), m](Backward& b) {
      b.set(0, put_places(b.grad(), b(index), m));
    });
  return {y, indices ? index : Tensor()};
}

}  // namespace

std::pair<Tensor, Tensor> max_pool(int rank, const Tensor& x, const WindowSizes& w, bool indices) {
  const char* op = name_of(rank, "max_pool1d", "max_pool2d");
  const Plane plane = plane_of(op, x, rank, w);
  const char* backward = name_of(rank, "max_pool1d_backward", "max_pool2d_backward");
  return maxima(x, {op, backward, rank, plane, x.sizes()}, indices);
}

std::pair<Tensor, Tensor> adaptive_max_pool(int rank, const Tensor& x, IntList sizes,
                                            bool indices) {
  const char* op = name_of(rank, "adaptive_max_pool1d", "adaptive_max_pool2d");
  const Plane plane = adaptive_plane(op, x, rank, sizes);
  const char* backward =
      name_of(rank, "adaptive_max_pool1d_backward", "adaptive_max_pool2d_backward");
  return maxima(x, {op, backward, rank, plane, x.sizes()}, indices);
}

Tensor max_unpool2d(const Tensor& x, const Tensor& indices, const WindowSizes& w,
                    IntList output_size) {
  const char* op = "max_unpool2d";
  check_planes(op, x, 2);
  check<ValueError>(x.sizes() == indices.sizes(), op, ": input and indices must have one shape",
                    line("input", x), line("indices", indices));
  const Pair kernel = sizes_of(op, "kernel_size", w.kernel, 2, 1, {1, 1});
  const Pair stride = sizes_of(op, "stride", w.stride, 2, 1, kernel);
  const Pair padding = sizes_of(op, "padding", w.padding, 2, 0, {0, 0});
  const int r = x.rank();
  // All sizes of the result or its last two.
  if (static_cast<int>(output_size.size()) == r) output_size = output_size.last(2);
  check<ValueError>(output_size.empty() || output_size.size() == 2, op,
                    ": output_size must have 2 or ", r, " entries, got ", output_size);
  Pair out;
  for (size_t d = 0; d < 2; ++d) {
    const int64_t n = x.size(r - 2 + static_cast<int>(d));
    out[d] = (n - 1) * stride[d] - 2 * padding[d] + kernel[d];
    if (!output_size.empty()) {
      const int64_t wanted = output_size[d];
      check<ValueError>(wanted > out[d] - stride[d] && wanted < out[d] + stride[d], op,
                        ": output_size ", output_size, " is too far from what kernel_size, ",
                        "stride and padding give: dimension ", d, " must lie between ",
                        out[d] - stride[d], " and ", out[d] + stride[d]);
      out[d] = wanted;
    }
    check<ValueError>(out[d] > 0, op, ": the result would have ", out[d], " elements along a ",
                      "dimension", line("input", x));
  }
  const auto flat = [&](int64_t n) {
    Dims sizes = x.sizes();
    sizes.resize(r - 1);
    sizes[r - 2] = n;
    return sizes;
  };
  const int64_t n = x.size(r - 2) * x.size(r - 1);
  const Tensor into = zeros(flat(checked_numel(out)), x.dtype(), x.device());
  const Tensor spread = scatter(into, r - 2, reshape(indices, flat(n)), reshape(x, flat(n)));
  return view(spread, with_last(x, 2, out));
}

// -- averages
// --------------------------------------------------------------------------------------

namespace {

PlaneMap sums_map(const char* op, const char* backward, int rank, const Plane& plane) {
  return {op, backward, rank, {.windows = plane.rows}, {.windows = plane.cols}};
}

// How many elements each window has.
template <class Count>
Tensor counts(const Windows& w, Count count, const Tensor& like) {
  Tensor n = empty({w.out}, DType::Float64);
  for (int64_t i = 0; i < w.out; ++i) n.as<double>()[i] = static_cast<double>(count(i));
  return to(to(n, like.dtype()), like.device());
}

// Sums divided by the sizes of their windows, which are one number if all have it.
template <class Count>
Tensor divided(const Tensor& sums, const Plane& plane, int rank, Count count) {
  const auto alike = [&](const Windows& w) {
    for (int64_t i = 1; i < w.out; ++i)
      if (count(w, i) != count(w, 0)) return false;
    return true;
  };
  const Windows &rows = plane.rows, &cols = plane.cols;
  if (sums.numel() == 0) return div(sums, scalar(1, sums.device()));
  if (alike(rows) && alike(cols))
    return div(sums, scalar(static_cast<double>(count(rows, 0) * count(cols, 0)), sums.device()));
  const auto of = [&](const Windows& w) {
    return counts(w, [&](int64_t i) { return count(w, i); }, sums);
  };
  Tensor n = of(cols);
  if (rank == 2) n = mul(view(of(rows), Dims{rows.out, 1}), n);
  return div(sums, n);
}

}  // namespace

Tensor avg_pool(int rank, const Tensor& x, const WindowSizes& w, bool count_padding,
                std::optional<int64_t> divisor) {
  const char* op = name_of(rank, "avg_pool1d", "avg_pool2d");
  const Plane plane = plane_of(op, x, rank, w);
  check<ValueError>(divisor.value_or(1) != 0, op, ": divisor_override must not be 0");
  const char* backward = name_of(rank, "avg_pool1d_backward", "avg_pool2d_backward");
  const Tensor sums = map_planes(x, sums_map(op, backward, rank, plane));
  if (divisor) return div(sums, scalar(static_cast<double>(*divisor), x.device()));
  return divided(sums, plane, rank, [&](const Windows& of, int64_t i) {
    const int64_t start = of.start(i), end = start + of.kernel;
    if (count_padding) return std::min(end, of.in + of.padding) - start;
    return std::min(end, of.in) - std::max<int64_t>(start, 0);
  });
}

Tensor adaptive_avg_pool(int rank, const Tensor& x, IntList sizes) {
  const char* op = name_of(rank, "adaptive_avg_pool1d", "adaptive_avg_pool2d");
  const Plane plane = adaptive_plane(op, x, rank, sizes);
  if (plane.rows.out == 1 && plane.cols.out == 1) {
    const int64_t last[] = {-1, -2};
    return mean(x, std::span(last, static_cast<size_t>(rank)), true);
  }
  const char* backward =
      name_of(rank, "adaptive_avg_pool1d_backward", "adaptive_avg_pool2d_backward");
  const Tensor sums = map_planes(x, sums_map(op, backward, rank, plane));
  return divided(sums, plane, rank, [](const Windows& of, int64_t i) { return of.length(i); });
}

}  // namespace lamina::ops
