// Batch normalisation (Ioffe and Szegedy, 2015).
#include "ops/common.h"

namespace lamina::ops {
namespace {

// [N, C, ...] as [N, C, S], for a call's length.
struct Channels {
  explicit Channels(const Tensor& t) : tensor(t) {
    int64_t s = 1;
    for (int i = 2; i < t.rank(); ++i) s *= t.size(i);
    sizes = {t.size(0), t.size(1), s};
    strides = contiguous_strides(sizes);
  }
  TensorRef ref() const { return {tensor.data(), sizes, strides, tensor.dtype()}; }
  Dims sizes, strides;
  const Tensor& tensor;
};

struct Gradients {
  Tensor dx, dweight, dbias;
};

// What backward needs: of the forward pass, and how it was run.
struct Pass {
  Tensor x, weight, bias, mean, invstd;
  bool training;
  double eps;
  Activation act;
};

// From recorded ops, every statistic recomputed from x, for a gradient of the gradient.
Gradients composed_backward(Tensor g, const Pass& f) {
  const Tensor& x = f.x;
  Dims per_channel = Dims::filled(x.rank(), 1);
  per_channel[1] = x.size(1);
  std::vector<int64_t> dims;
  for (int i = 0; i < x.rank(); ++i)
    if (i != 1) dims.push_back(i);
  const auto over = [&](const Tensor& t_) { return mean(t_, dims, true); };
  const auto channel = [&](const Tensor& t_) { return view(t_, per_channel); };

  const Tensor centred = f.training ? sub(x, over(x)) : sub(x, channel(f.mean));
  const Tensor scale =
      f.training ? rsqrt(add(over(square(centred)), scalar(f.eps))) : channel(f.invstd);
  const Tensor normal = mul(centred, scale);
  const Tensor gain = f.weight.defined() ? mul(scale, channel(f.weight)) : scale;
  if (f.act != Activation::None) {
    Tensor z = mul(centred, gain);
    if (f.bias.defined()) z = add(z, channel(f.bias));
    const UnaryOp row = row_of(f.act);
    g = unary_backward(row, g, info(row).saves == Saves::Output ? unary(row, z) : z);
  }
  Gradients out;
  out.dx = f.training ? mul(gain, sub(sub(g, over(g)), mul(normal, over(mul(g, normal)))))
                      : mul(g, gain);
  out.dweight = sum(mul(g, normal), dims);
  out.dbias = sum(g, dims);
  return out;
}

Gradients fused_backward(const Tensor& g, const Pass& f, bool needs_x, bool needs_weight,
                         bool needs_bias) {
  const Tensor& x = f.x;
  const Tensor dy = contiguous(g);
  Gradients out;
  const Dims channels{x.size(1)};
  // An activation's gradient is taken there first.
  needs_x = needs_x || f.act != Activation::None;
  if (needs_x) out.dx = empty_like(x);
  if (needs_weight) out.dweight = empty(channels, x.dtype(), x.device());
  if (needs_bias) out.dbias = empty(channels, x.dtype(), x.device());
  if (x.numel() == 0) {  // an empty batch says nothing about the parameters
    if (needs_weight) fill_(out.dweight, Scalar(0));
    if (needs_bias) fill_(out.dbias, Scalar(0));
    return out;
  }
  const Channels cx(x), cdy(dy);
  BatchNormBackwardArgs args;
  args.x = cx.ref();
  args.dy = cdy.ref();
  args.weight = ref_or_none(f.weight);
  args.bias = ref_or_none(f.bias);
  args.mean = f.mean;
  args.invstd = f.invstd;
  const Channels cdx(needs_x ? out.dx : x);
  if (needs_x) args.dx = cdx.ref();
  args.dweight = ref_or_none(out.dweight);
  args.dbias = ref_or_none(out.dbias);
  args.training = f.training;
  args.act = f.act;
  call<&DeviceApi::batch_norm_backward>(x.device(), "batch_norm", args);
  return out;
}

void check_channels(const char* what, const Tensor& t_, const Tensor& x) {
  if (!t_.defined()) return;
  check<ValueError>(t_.rank() == 1 && t_.size(0) == x.size(1), "batch_norm: ", what,
                    " must have one entry for each of the ", x.size(1), " channels",
                    line("input", x), line(what, t_));
  check<TypeError>(t_.dtype() == x.dtype(), "batch_norm: ", what, " must have the input's dtype ",
                   x.dtype(), ", got ", t_.dtype());
  check<ValueError>(t_.contiguous(), "batch_norm: ", what, " must be contiguous");
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
                  const Tensor& weight, const Tensor& bias, bool training, double momentum,
                  double eps, Activation act) {
  check_floating("batch_norm", "input", x);
  check<ValueError>(x.rank() >= 2, "batch_norm: the input must be [N, C] or [N, C, ...]",
                    line("input", x));
  check_channels("running_mean", running_mean, x);
  check_channels("running_var", running_var, x);
  check_channels("weight", weight, x);
  check_channels("bias", bias, x);
  check<ValueError>(training || (running_mean.defined() && running_var.defined()),
                    "batch_norm: outside of training it needs running_mean and running_var");
  const int64_t per_channel = x.numel() / std::max<int64_t>(x.size(1), 1);
  check<ValueError>(!training || per_channel > 1,
                    "batch_norm: expected more than 1 value per channel when training",
                    line("input", x),
                    line("fix", "use a larger batch, or drop_last=True in the DataLoader"));

  const Tensor source = contiguous(x);
  Tensor y = empty_like(x);
  const Dims channels{x.size(1)};
  Tensor mean_ = training ? empty(channels, x.dtype(), x.device()) : detach(running_mean);
  Tensor invstd;
  if (training) {
    invstd = empty(channels, x.dtype(), x.device());
  } else {
    const GradMode off(false);
    invstd = rsqrt(add(running_var, scalar(eps)));
  }
  BatchNormArgs args;
  const Channels cx(source), cy(y);
  args.x = cx.ref();
  args.y = cy.ref();
  args.weight = ref_or_none(weight);
  args.bias = ref_or_none(bias);
  args.mean = mean_;
  args.invstd = invstd;
  if (training) {
    args.running_mean = ref_or_none(running_mean);
    args.running_var = ref_or_none(running_var);
  }
  args.momentum = momentum;
  args.eps = eps;
  args.training = training;
  args.act = act;
  call<&DeviceApi::batch_norm>(x.device(), "batch_norm", args);
  if (training)
    for (const Tensor& t_ : {running_mean, running_var})
      if (t_.defined()) t_.storage().wrote("batch_norm");

  if (recording(source, weight, bias)) {
    // Running statistics may move on before backward: what inference used is kept as a copy.
    const Tensor kept_mean = training ? mean_ : clone(mean_);
    record("batch_norm", {y}, {source, weight, bias},
           [x = Saved::input(source), weight = weight.defined() ? Saved::input(weight) : Saved(),
            bias = act != Activation::None && bias.defined() ? Saved::input(bias) : Saved(),
            mean_ = Saved::input(kept_mean), invstd = Saved::input(invstd), training, eps,
            act](Backward& b) {
             const Pass f{b(x), b(weight), b(bias), b(mean_), b(invstd), training, eps, act};
             const Gradients d =
                 grad_enabled() ? composed_backward(b.grad(), f)
                                : fused_backward(b.grad(), f, b.needs(0), b.needs(1), b.needs(2));
             if (b.needs(0)) b.set(0, d.dx);
             if (b.needs(1)) b.set(1, d.dweight);
             if (b.needs(2)) b.set(2, d.dbias);
           });
  }
  return y;
}

}  // namespace lamina::ops
