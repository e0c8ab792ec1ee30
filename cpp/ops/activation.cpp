// Activations: the rows of pointwise.h that take arguments, and those that are made of others.
#include <cmath>

#include "ops/common.h"

namespace lamina::ops {

// -- rows --------------------------------------------------------------------------------------

ActivationRow hardtanh_row(const Tensor& x, double low, double high) {
  check<ValueError>(x.dtype() != DType::UInt8 || low >= 0,
                    "hardtanh: a limit of a uint8 tensor can't be negative, got ", low);
  check<ValueError>(!(low > high), "hardtanh: min_val must not exceed max_val, got ", low, " and ",
                    high);
  return {UnaryOp::hardtanh, {low, high}};
}

ActivationRow celu_row(double alpha) {
  check<ValueError>(alpha != 0, "celu: alpha must not be 0, it divides the input");
  return {UnaryOp::celu, {alpha, 0}};
}

ActivationRow softshrink_row(double lambda) {
  check<ValueError>(lambda >= 0, "softshrink: lambd must be at least 0, got ", lambda);
  return {UnaryOp::softshrink, {lambda, 0}};
}

ActivationRow gelu_row(std::string_view approximate) {
  if (approximate == "none") return {UnaryOp::gelu};
  check<ValueError>(approximate == "tanh", "gelu: approximate must be 'none' or 'tanh', got '",
                    approximate, "'");
  return {UnaryOp::gelu_tanh};
}

// -- made of other ops -------------------------------------------------------------------------

Tensor softplus(const Tensor& x, double beta, double threshold) {
  const Params params{0, threshold};
  if (beta == 1) return unary(UnaryOp::softplus, x, params);
  const Tensor b = scalar(beta, x.device());
  return div(unary(UnaryOp::softplus, mul(x, b), params), b);
}

Tensor prelu(const Tensor& x, const Tensor& weight) {
  check_floating("prelu", "input", x);
  check<TypeError>(weight.dtype() == x.dtype(), "prelu: weight must have the input's dtype ",
                   x.dtype(), ", got ", weight.dtype());
  check<ValueError>(weight.rank() <= 1, "prelu: weight must be one number, or one for each channel",
                    line("weight", weight));
  if (weight.numel() == 1)
    return binary(BinaryOp::prelu, x, weight.rank() == 0 ? weight : view(weight, Dims{}));
  const int64_t channels = x.rank() > 1 ? x.size(1) : 1;
  check<ValueError>(weight.numel() == channels, "prelu: weight has ", weight.numel(),
                    " numbers but the input has ", channels,
                    channels == 1 ? " channel" : " channels", line("input", x),
                    line("weight", weight));
  Dims sizes = Dims::filled(x.rank(), 1);
  sizes[1] = channels;
  return binary(BinaryOp::prelu, x, view(contiguous(weight), sizes));
}

Tensor rrelu(const Tensor& x, double lower, double upper, bool training) {
  check_floating("rrelu", "input", x);
  check<ValueError>(std::isfinite(lower) && std::isfinite(upper) && lower <= upper,
                    "rrelu: lower must not exceed upper, and both be finite, got ", lower, " and ",
                    upper);
  if (!training) return leaky_relu(x, (lower + upper) / 2);
  const Tensor slopes = empty_like(x);
  uniform_(slopes, lower, upper);
  return binary(BinaryOp::prelu, x, slopes);
}

void rrelu_(const Tensor& self, double lower, double upper, bool training) {
  rewrite("rrelu_", self, recording(self),
          [&](const Tensor& x) { return rrelu(x, lower, upper, training); });
}

Tensor glu(const Tensor& x, int64_t dim) {
  check_floating("glu", "input", x);
  check<ValueError>(x.rank() > 0, "glu: a 0-d tensor has no halves");
  const int d = wrap_dim("glu", dim, x.rank());
  const int64_t half = x.size(d) / 2;
  check<ValueError>(2 * half == x.size(d), "glu: dimension ", d, " is halved, but its size is ",
                    x.size(d), line("input", x));
  const auto first = [d, half](const Tensor& t_) { return slice(t_, d, 0, half); };
  const auto second = [d, half](const Tensor& t_) { return slice(t_, d, half, 2 * half); };
  Tensor y;
  {
    const GradMode off(false);
    y = mul(first(x), sigmoid(second(x)));
  }
  if (recording(x))
    record("glu", {y}, {x}, [x = Saved::input(x), first, second, d](Backward& b) {
      const Tensor in = b(x), g = b.grad();
      const Tensor gate = sigmoid(second(in)), scaled = mul(g, first(in));
      if (grad_enabled()) {
        const Tensor parts[] = {mul(g, gate), mul(scaled, mul(gate, sub(scalar(1), gate)))};
        b.set(0, cat(parts, d));
        return;
      }
      // Each half where it belongs.
      const Tensor dx = empty_like(in);
      call<&DeviceApi::binary>(in.device(), "glu", BinaryOp::mul, first(dx), g, gate);
      call<&DeviceApi::unary_backward>(in.device(), "glu", UnaryOp::sigmoid, second(dx), scaled,
                                       gate, Params{});
      b.set(0, dx);
    });
  return y;
}

Tensor softmin(const Tensor& x, int64_t dim) {
  check_floating("softmin", "input", x);
  wrap_dim("softmin", dim, x.rank());
  return softmax(neg(x), dim);
}

Tensor gumbel_softmax(const Tensor& logits, double tau, bool hard, int64_t dim) {
  check_floating("gumbel_softmax", "logits", logits);
  const int d = wrap_dim("gumbel_softmax", dim, logits.rank());
  check<ValueError>(tau > 0, "gumbel_softmax: tau must be positive, got ", tau);
  Tensor noise;
  {
    const GradMode off(false);
    // A uniform number may be 0, whose logarithm would leave no room for the logits.
    const Tensor u = rand(logits.sizes(), logits.dtype(), logits.device());
    noise = neg(log(neg(log(clamp_min(u, scalar(0x1p-25))))));
  }
  const Tensor soft = softmax(div(add(logits, noise), scalar(tau)), d);
  if (!hard || logits.size(d) == 0) return soft;
  // The value of the one-hot vector, the gradient of the soft one.
  const Tensor at_ = max(detach(soft), d, true).second;
  const Tensor one_hot = scatter(zeros_like(soft), d, at_, scalar(1.0));
  return add(sub(one_hot, detach(soft)), soft);
}

}  // namespace lamina::ops
