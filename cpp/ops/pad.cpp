// Padding at the ends of dimensions.
#include "ops/common.h"

namespace lamina::ops {
namespace {

// Elements added before and after each dimension; negative: taken away.
struct Ends {
  Dims before, after;
};

// Each such padding is, negated and with zeros, the gradient of itself.
Tensor constant_pad(const Tensor& x, const Ends& ends, Scalar value) {
  Dims sizes = x.sizes(), part = x.sizes();
  int64_t from = x.offset(), to_ = 0;
  bool nothing = false;
  for (int d = 0; d < x.rank(); ++d) {
    const int64_t before = ends.before[d], after = ends.after[d];
    sizes[d] = x.size(d) + before + after;
    check<ValueError>(sizes[d] >= 0, "pad: dimension ", d, " would have ", sizes[d],
                      " elements with ", before, " before and ", after, " after it",
                      line("input", x));
    part[d] = x.size(d) + std::min<int64_t>(before, 0) + std::min<int64_t>(after, 0);
    nothing = nothing || part[d] <= 0;
  }
  Tensor y = full(sizes, value, x.dtype(), x.device());
  if (!nothing) {
    for (int d = 0; d < x.rank(); ++d) {
      from += std::max<int64_t>(-ends.before[d], 0) * x.stride(d);
      to_ += std::max<int64_t>(ends.before[d], 0) * y.stride(d);
    }
    call<&DeviceApi::copy>(x.device(), "pad", alias(y, part, y.strides(), to_),
                           alias(x, part, x.strides(), from));
  }
  if (recording(x))
    record("pad", {y}, {x}, [ends](Backward& b) {
      Ends back = ends;
      for (int64_t& n : back.before) n = -n;
      for (int64_t& n : back.after) n = -n;
      b.set(0, constant_pad(b.grad(), back, Scalar(0)));
    });
  return y;
}

// More elements at the ends of one dimension, made of those of the input.
Tensor longer(std::string_view mode, const Tensor& x, int d, int64_t before, int64_t after) {
  if (before == 0 && after == 0) return x;
  const int64_t n = x.size(d);
  const auto fits = [&](int64_t count) {
    if (mode == "replicate") return n > 0;
    return count <= (mode == "reflect" ? n - 1 : n);
  };
  check<ValueError>(fits(before) && fits(after), "pad: mode '", mode, "' can't make ", before,
                    " elements before and ", after, " after dimension ", d, " of size ", n,
                    line("input", x));
  const int64_t dim = d;
  const auto repeated = [&](int64_t at, int64_t count) {
    Dims sizes = x.sizes();
    sizes[d] = count;
    return expand(slice(x, d, at, at + 1), sizes);
  };
  Tensor left, right;
  if (mode == "reflect") {
    left = flip(slice(x, d, 1, 1 + before), std::span(&dim, 1));
    right = flip(slice(x, d, n - 1 - after, n - 1), std::span(&dim, 1));
  } else if (mode == "circular") {
    left = slice(x, d, n - before, n);
    right = slice(x, d, 0, after);
  } else {
    left = repeated(0, before);
    right = repeated(n - 1, after);
  }
  const Tensor parts[] = {left, x, right};
  return cat(parts, d);
}

}  // namespace

Tensor pad(const Tensor& x, IntList pads, std::string_view mode, Scalar value) {
  check<ValueError>(
      mode == "constant" || mode == "reflect" || mode == "replicate" || mode == "circular",
      "pad: mode must be 'constant', 'reflect', 'replicate' or 'circular', got '", mode, "'");
  const int count = static_cast<int>(pads.size()) / 2;
  check<ValueError>(pads.size() % 2 == 0 && count <= x.rank(), "pad: needs two numbers for each ",
                    "dimension, the last one first, for at most ", x.rank(), " of them; got ", pads,
                    line("input", x));
  Ends ends{Dims::filled(x.rank(), 0), Dims::filled(x.rank(), 0)};
  for (int i = 0; i < count; ++i) {
    const int d = x.rank() - 1 - i;
    ends.before[d] = pads[static_cast<size_t>(2 * i)];
    ends.after[d] = pads[static_cast<size_t>(2 * i + 1)];
    constexpr int64_t kBeyond = int64_t{1} << 59;  // no dimension is as long
    for (const int64_t n : {ends.before[d], ends.after[d]})
      check<ValueError>(n > -kBeyond && n < kBeyond, "pad: no tensor is as large as ", pads,
                        " asks for");
  }
  if (mode == "constant") return constant_pad(x, ends, value);
  check<ValueError>(count < x.rank(), "pad: mode '", mode, "' pads all but the first dimension ",
                    "at most", line("input", x), line("pad", pads));

  Ends crop{Dims::filled(x.rank(), 0), Dims::filled(x.rank(), 0)}, more = crop;
  bool crops = false;
  for (int d = 0; d < x.rank(); ++d) {
    crop.before[d] = std::min<int64_t>(ends.before[d], 0);
    crop.after[d] = std::min<int64_t>(ends.after[d], 0);
    more.before[d] = ends.before[d] - crop.before[d];
    more.after[d] = ends.after[d] - crop.after[d];
    crops = crops || crop.before[d] != 0 || crop.after[d] != 0;
  }
  const auto cropped = [&](const Tensor& t) {
    return crops ? constant_pad(t, crop, Scalar(0)) : t;
  };
  // What goes round is what is left; what is mirrored or repeated is what was there.
  Tensor y = mode == "circular" ? cropped(x) : x;
  for (int d = x.rank() - 1; d >= 0; --d) y = longer(mode, y, d, more.before[d], more.after[d]);
  if (mode != "circular") y = cropped(y);
  return y.same(x) ? clone(x) : y;
}

}  // namespace lamina::ops
