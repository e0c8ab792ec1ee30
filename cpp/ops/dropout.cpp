// Dropout (Srivastava et al., 2014) of elements and of whole channels (Tompson et al., 2015), and
// the one that keeps mean and variance of SELU's activations (Klambauer et al., 2017).
#include <cmath>

#include "ops/common.h"

namespace lamina::ops {
namespace {

void check_dropout(const char* op, const Tensor& x, double p) {
  check<ValueError>(p >= 0 && p <= 1, op, ": p must lie in [0, 1], got ", p);
  check_floating(op, "input", x);
}

// x with the elements dropped that a mask of these sizes, drawn here, leaves out.
Tensor dropped(const char* op, const Tensor& x, double p, const Dims& mask_sizes) {
  Tensor y = empty_like(x);
  Tensor mask = empty(mask_sizes, DType::Bool, x.device());
  call<&DeviceApi::dropout>(x.device(), op, y, mask, contiguous(detach(x)), p,
                            default_generator().reserve(mask.numel()));
  if (recording(x))
    record(op, {y}, {x}, [mask = Saved::input(mask), p](Backward& b) {
      const double scale = p < 1 ? 1 / (1 - p) : 0;
      b.set(0, mul(mul(b.grad(), b(mask)), scalar(scale)));
    });
  return y;
}

Tensor placed(const Tensor& x, const Tensor& y, bool in_place) {
  if (!in_place) return y;
  copy_(x, y);
  return x;
}

// One entry of the mask for each channel, which is in dimension `channel`.
Tensor channels_dropped(const char* op, const Tensor& x, double p, bool training, bool in_place,
                        int channel) {
  if (!training || p == 0) return x;
  Dims sizes = x.sizes();
  for (int d = channel + 1; d < x.rank(); ++d) sizes[d] = 1;
  return placed(x, dropped(op, x, p, sizes), in_place);
}

}  // namespace

Tensor dropout(const Tensor& x, double p, bool training, bool in_place) {
  check_dropout("dropout", x, p);
  if (!training || p == 0) return x;
  return placed(x, dropped("dropout", x, p, x.sizes()), in_place);
}

Tensor dropout1d(const Tensor& x, double p, bool training, bool in_place) {
  check_dropout("dropout1d", x, p);
  check<ValueError>(x.rank() == 2 || x.rank() == 3,
                    "dropout1d: the input must be [C, L] or [N, C, L]", line("input", x));
  return channels_dropped("dropout1d", x, p, training, in_place, x.rank() - 2);
}

Tensor dropout2d(const Tensor& x, double p, bool training, bool in_place) {
  check_dropout("dropout2d", x, p);
  check<ValueError>(x.rank() == 3 || x.rank() == 4,
                    "dropout2d: the input must be [N, C, H, W] or [N, C, L]", line("input", x));
  return channels_dropped("dropout2d", x, p, training, in_place, 1);
}

Tensor alpha_dropout(const Tensor& x, double p, bool training, bool in_place) {
  check_dropout("alpha_dropout", x, p);
  if (!training || p == 0) return x;
  if (p == 1) return placed(x, mul(x, scalar(0.0)), in_place);
  // What is dropped becomes SELU's limit for -inf; then a scale and a shift restore mean 0 and
  // variance 1.
  constexpr double kAlpha = -1.7580993408473766;
  const double scale = 1 / std::sqrt((kAlpha * kAlpha * p + 1) * (1 - p));
  const double shift = -scale * kAlpha * p;
  Tensor kept = empty(x.sizes(), DType::Bool, x.device());
  call<&DeviceApi::random>(x.device(), "alpha_dropout", Distribution::Bernoulli, kept, 1 - p, 0.0,
                           default_generator().reserve(kept.numel()));
  const Tensor limit = full({}, scale * kAlpha + shift, x.dtype(), x.device());
  const Tensor y = where(kept, add(mul(x, scalar(scale)), scalar(shift)), limit);
  return placed(x, y, in_place);
}

}  // namespace lamina::ops
