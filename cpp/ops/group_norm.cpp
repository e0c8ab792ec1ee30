// Normalisation of each sample by itself: layer norm (Ba, Kiros and Hinton, 2016), RMS norm (Zhang
// and Sennrich, 2019), group norm (Wu and He, 2018), instance norm (Ulyanov, Vedaldi and Lempitsky,
// 2016), and local response norm (Krizhevsky, Sutskever and Hinton, 2012).
#include "ops/common.h"

namespace lamina::ops {
namespace {

// A tensor as [N, G, C, S], for a call's length.
struct Groups {
  Groups(const Tensor& t, const Dims& sizes_)
      : sizes(sizes_), strides(contiguous_strides(sizes_)), tensor(t) {}
  TensorRef ref() const { return {tensor.data(), sizes, strides, tensor.dtype()}; }
  Dims sizes, strides;
  const Tensor& tensor;
};

// What a forward pass was, for its backward.
struct Pass {
  const char* name;
  Dims sizes;  // [N, G, C, S]
  Tensor x, weight, mean, invstd;
  double eps;
  bool centred;  // false: RMS norm, which has no mean
};

struct Gradients {
  Tensor dx, dweight, dbias;  // the last two [G * C]
};

// From recorded ops, every statistic recomputed from x, for a gradient of the gradient.
Gradients composed_backward(const Tensor& g, const Pass& f) {
  const Dims params{f.sizes[1] * f.sizes[2]}, side{1, f.sizes[1], f.sizes[2], 1};
  const Tensor x = reshape(f.x, f.sizes), dy = reshape(g, f.sizes);
  const auto over = [](const Tensor& t_) { return mean(t_, Dims{2, 3}, true); };
  const Tensor centred = f.centred ? sub(x, over(x)) : x;
  const Tensor scale = rsqrt(add(over(square(centred)), scalar(f.eps)));
  const Tensor normal = mul(centred, scale);
  const Tensor inner = f.weight.defined() ? mul(dy, reshape(f.weight, side)) : dy;
  const Tensor level = f.centred ? sub(inner, over(inner)) : inner;
  const Tensor dx = mul(scale, sub(level, mul(normal, over(mul(inner, normal)))));
  return {reshape(dx, f.x.sizes()), reshape(sum(mul(dy, normal), Dims{0, 3}), params),
          reshape(sum(dy, Dims{0, 3}), params)};
}

Gradients fused_backward(const Tensor& g, const Pass& f, bool needs_weight, bool needs_bias) {
  const Tensor dy = contiguous(g);
  const Dims params{f.sizes[1] * f.sizes[2]};
  Gradients out;
  out.dx = empty_like(f.x);
  if (needs_weight) out.dweight = empty(params, g.dtype(), g.device());
  if (needs_bias) out.dbias = empty(params, g.dtype(), g.device());
  if (g.numel() == 0) {  // no sample says anything about the parameters
    if (needs_weight) fill_(out.dweight, Scalar(0));
    if (needs_bias) fill_(out.dbias, Scalar(0));
    return out;
  }
  const Groups gx(f.x, f.sizes), gdy(dy, f.sizes), gdx(out.dx, f.sizes);
  GroupNormBackwardArgs args;
  args.x = gx.ref();
  args.dy = gdy.ref();
  args.weight = ref_or_none(f.weight);
  args.mean = ref_or_none(f.mean);
  args.invstd = f.invstd;
  args.dx = gdx.ref();
  args.dweight = ref_or_none(out.dweight);
  args.dbias = ref_or_none(out.dbias);
  call<&DeviceApi::group_norm_backward>(g.device(), f.name, args);
  return out;
}

// Weight and bias have the sizes that they came with, and G * C elements.
Tensor normalise(const char* name, const Tensor& x, const Dims& sizes, const Tensor& weight,
                 const Tensor& bias, double eps, bool centred = true) {
  const Tensor source = contiguous(x);
  const Tensor w = weight.defined() ? contiguous(weight) : weight;
  const Tensor b = bias.defined() ? contiguous(bias) : bias;
  Tensor y = empty_like(x);
  const Dims groups{sizes[0] * sizes[1]};
  const Tensor mean_ = centred ? empty(groups, x.dtype(), x.device()) : Tensor();
  const Tensor invstd = empty(groups, x.dtype(), x.device());
  const Groups gx(source, sizes), gy(y, sizes);
  GroupNormArgs args;
  args.x = gx.ref();
  args.y = gy.ref();
  args.weight = ref_or_none(w);
  args.bias = ref_or_none(b);
  args.mean = ref_or_none(mean_);
  args.invstd = invstd;
  args.eps = eps;
  call<&DeviceApi::group_norm>(x.device(), name, args);

  if (recording(source, w, b)) {
    const auto saved = [](const Tensor& t_) { return t_.defined() ? Saved::input(t_) : Saved(); };
    record(name, {y}, {source, w, b},
           [name, sizes, x = Saved::input(source), w = saved(w), mean_ = saved(mean_),
            invstd = Saved::input(invstd), eps, centred,
            shape = (w.defined() ? w : b).defined() ? (w.defined() ? w : b).sizes()
                                                    : Dims()](Backward& b_) {
             const Pass f{name, sizes, b_(x), b_(w), b_(mean_), b_(invstd), eps, centred};
             const Gradients d = grad_enabled()
                                     ? composed_backward(b_.grad(), f)
                                     : fused_backward(b_.grad(), f, b_.needs(1), b_.needs(2));
             if (b_.needs(0)) b_.set(0, d.dx);
             if (b_.needs(1)) b_.set(1, reshape(d.dweight, shape));
             if (b_.needs(2)) b_.set(2, reshape(d.dbias, shape));
           });
  }
  return y;
}

void check_parameter(const char* name, const char* what, const Tensor& t_, const Tensor& x,
                     IntList wanted) {
  if (!t_.defined()) return;
  const Dims sizes(wanted);
  check<ValueError>(t_.sizes() == sizes, name, ": ", what, " must have sizes ", sizes,
                    line("input", x), line(what, t_));
  check<TypeError>(t_.dtype() == x.dtype(), name, ": ", what, " must have the input's dtype ",
                   x.dtype(), ", got ", t_.dtype());
  check_same_device(name, x, t_);
}

// Over the last dimensions: [N, 1, C, 1].
Dims last_dimensions(const char* name, const Tensor& x, IntList shape) {
  check_floating(name, "input", x);
  check<ValueError>(!shape.empty(), name, ": normalized_shape must name one dimension at least");
  const Dims wanted(shape);
  bool fits = wanted.rank() <= x.rank();
  int64_t n = 1, c = 1;
  for (int i = 0; fits && i < x.rank(); ++i) {
    const int last = i - (x.rank() - wanted.rank());
    fits = last < 0 || x.size(i) == wanted[last];
    (last < 0 ? n : c) *= x.size(i);
  }
  check<ValueError>(fits, name, ": the input's last sizes must be normalized_shape ", wanted,
                    line("input", x));
  return {n, 1, c, 1};
}

// [N, C, ...]: [N, C, S].
Dims channels_of(const char* name, const Tensor& x) {
  check_floating(name, "input", x);
  check<ValueError>(x.rank() >= 2, name, ": the input must be [N, C] or [N, C, ...]",
                    line("input", x));
  int64_t s = 1;
  for (int i = 2; i < x.rank(); ++i) s *= x.size(i);
  return {x.size(0), x.size(1), s};
}

}  // namespace

Tensor layer_norm(const Tensor& x, IntList shape, const Tensor& weight, const Tensor& bias,
                  double eps) {
  const Dims sizes = last_dimensions("layer_norm", x, shape);
  check_parameter("layer_norm", "weight", weight, x, shape);
  check_parameter("layer_norm", "bias", bias, x, shape);
  return normalise("layer_norm", x, sizes, weight, bias, eps);
}

Tensor rms_norm(const Tensor& x, IntList shape, const Tensor& weight, std::optional<double> eps) {
  const Dims sizes = last_dimensions("rms_norm", x, shape);
  check_parameter("rms_norm", "weight", weight, x, shape);
  const double epsilon = x.dtype() == DType::Float64 ? std::numeric_limits<double>::epsilon()
                                                     : std::numeric_limits<float>::epsilon();
  return normalise("rms_norm", x, sizes, weight, {}, eps.value_or(epsilon), false);
}

Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias,
                  double eps) {
  const Dims sizes = channels_of("group_norm", x);
  check<ValueError>(groups > 0, "group_norm: num_groups must be positive, got ", groups);
  check<ValueError>(sizes[1] % groups == 0, "group_norm: the ", sizes[1],
                    " channels do not divide into ", groups, " groups", line("input", x));
  check_parameter("group_norm", "weight", weight, x, Dims{sizes[1]});
  check_parameter("group_norm", "bias", bias, x, Dims{sizes[1]});
  check<ValueError>(x.numel() != groups || x.numel() == 0,
                    "group_norm: expected more than 1 value per group", line("input", x));
  return normalise("group_norm", x, {sizes[0], groups, sizes[1] / groups, sizes[2]}, weight, bias,
                   eps);
}

Tensor instance_norm(const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
                     const Tensor& weight, const Tensor& bias, bool use_input_stats,
                     double momentum, double eps) {
  constexpr auto kName = "instance_norm";
  const Dims sizes = channels_of(kName, x);
  const Dims channels{sizes[1]};
  check_parameter(kName, "running_mean", running_mean, x, channels);
  check_parameter(kName, "running_var", running_var, x, channels);
  check_parameter(kName, "weight", weight, x, channels);
  check_parameter(kName, "bias", bias, x, channels);
  check<ValueError>(running_mean.defined() == running_var.defined(), kName,
                    ": running_mean and running_var come together, or neither does");
  check<ValueError>(use_input_stats || running_mean.defined(), kName,
                    ": without the input's statistics it needs running_mean and running_var");
  if (!use_input_stats)
    return batch_norm(x, running_mean, running_var, weight, bias, false, momentum, eps);
  check<ValueError>(sizes[2] != 1, kName, ": expected more than 1 element in each channel",
                    line("input", x));
  if (!running_mean.defined() || x.numel() == 0)
    return normalise(kName, x, {sizes[0], sizes[1], 1, sizes[2]}, weight, bias, eps);
  // Batch norm of one sample that has the channels of all; each moves statistics of its own, whose
  // average is kept.
  const auto repeated = [&](const Tensor& t_) {
    return t_.defined() ? repeat(t_, Dims{sizes[0]}) : t_;
  };
  const Tensor mean_of = repeated(detach(running_mean)), var_of = repeated(detach(running_var));
  const Tensor y = batch_norm(reshape(x, Dims{1, sizes[0] * sizes[1], sizes[2]}), mean_of, var_of,
                              repeated(weight), repeated(bias), true, momentum, eps);
  {
    const GradMode off(false);
    const int64_t sample = 0;
    const auto keep = [&](const Tensor& running, const Tensor& t_) {
      copy_(running, mean(view(t_, Dims{sizes[0], sizes[1]}), {&sample, 1}));
    };
    keep(running_mean, mean_of);
    keep(running_var, var_of);
  }
  return reshape(y, x.sizes());
}

Tensor local_response_norm(const Tensor& x, int64_t size, double alpha, double beta, double k) {
  const Dims sizes = channels_of("local_response_norm", x);
  check<ValueError>(x.rank() >= 3, "local_response_norm: the input must be [N, C, ...]",
                    line("input", x));
  check<ValueError>(size > 0, "local_response_norm: size must be positive, got ", size);
  if (x.numel() == 0) return x;
  // What lies beyond all channels is zero anyway, however wide the window.
  const int64_t before = std::min(size / 2, sizes[1]), after = std::min((size - 1) / 2, sizes[1]);
  const auto padding = [&](int64_t count) {
    return zeros(Dims{sizes[0], count, sizes[2]}, x.dtype(), x.device());
  };
  const Tensor parts[] = {padding(before), square(reshape(x, sizes)), padding(after)};
  const int64_t window = 3;
  const Tensor sums = sum(unfold(cat(parts, 1), 1, before + after + 1, 1), {&window, 1});
  const Tensor scale = mul(sums, scalar(alpha / static_cast<double>(size)));
  return div(x, reshape(pow(add(scale, scalar(k)), scalar(beta)), x.sizes()));
}

}  // namespace lamina::ops
