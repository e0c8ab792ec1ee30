// Losses with a term for each element of input and target: a row of pointwise.h where there is one,
// and a reduction.
#include <cmath>
#include <numbers>

#include "ops/loss.h"

namespace lamina::ops {

Tensor reduced(const Tensor& terms, Reduction reduction) {
  switch (reduction) {
    case Reduction::Mean: return mean(terms);
    case Reduction::Sum: return sum(terms);
    case Reduction::BatchMean:
      return terms.rank() == 0
                 ? terms
                 : div(sum(terms), scalar(static_cast<double>(terms.size(0)), terms.device()));
    default: return terms;
  }
}

void check_same_sizes(const char* op, const Tensor& x, const Tensor& target) {
  check<ValueError>(x.sizes() == target.sizes(), op,
                    ": input and target must have the same sizes (a loss does not broadcast)",
                    line("input", x), line("target", target));
}

namespace {

void check_weight(const char* op, const Tensor& x, const Tensor& weight) {
  check<ValueError>(!weight.defined() || can_broadcast_to(weight.sizes(), x.sizes()), op,
                    ": weights must broadcast to the sizes of the input", line("input", x),
                    line("weight", weight.defined() ? weight.sizes() : Dims()));
}

void check_pair(const char* op, const Tensor& x, const Tensor& target) {
  check_floating(op, "input", x);
  check_same_sizes(op, x, target);
}

}  // namespace

Tensor weighted(const char* op, const Tensor& terms, const Tensor& weight) {
  check_weight(op, terms, weight);
  return weight.defined() ? mul(terms, weight) : terms;
}

// -- of the difference -------------------------------------------------------------------------

Tensor mse_loss(const Tensor& x, const Tensor& target, Reduction reduction) {
  check_same_sizes("mse_loss", x, target);
  return reduced(square(sub(x, target)), reduction);
}

Tensor l1_loss(const Tensor& x, const Tensor& target, Reduction reduction) {
  check_same_sizes("l1_loss", x, target);
  return reduced(abs(sub(x, target)), reduction);
}

Tensor smooth_l1_loss(const Tensor& x, const Tensor& target, Reduction reduction, double beta) {
  check_same_sizes("smooth_l1_loss", x, target);
  check<ValueError>(beta >= 0, "smooth_l1_loss: beta must be at least 0, got ", beta);
  if (beta == 0) return l1_loss(x, target, reduction);
  return reduced(unary(UnaryOp::smooth_l1, sub(x, target), {beta, 0}), reduction);
}

Tensor huber_loss(const Tensor& x, const Tensor& target, Reduction reduction, double delta) {
  check_same_sizes("huber_loss", x, target);
  check<ValueError>(delta > 0, "huber_loss: delta must be positive, got ", delta);
  return reduced(unary(UnaryOp::huber, sub(x, target), {delta, 0}), reduction);
}

// -- of probabilities --------------------------------------------------------------------------

namespace {

double host_number(const char* op, const Tensor& t) {
  return t.dtype() == DType::Float32 ? static_cast<double>(host_value<float>(op, t))
                                     : host_value<double>(op, t);
}

void check_probabilities(const char* op, const char* what, const Tensor& p) {
  const Tensor flat = flatten(to(detach(p), DType::Float64));
  const Tensor inside = logical_and(ge(flat, scalar(0)), le(flat, scalar(1)));
  const Tensor outside = nonzero(logical_not(inside));
  if (outside.numel() == 0) return;
  const auto at_ = host_value<int64_t>(op, select(flatten(outside), 0, 0));
  raise<ValueError>(op, ": every ", what, " must lie in [0, 1], got ",
                    host_value<double>(op, select(flat, 0, at_)), " at position ", at_);
}

}  // namespace

Tensor binary_cross_entropy(const Tensor& x, const Tensor& target, const Tensor& weight,
                            Reduction reduction) {
  const char* op = "binary_cross_entropy";
  check_pair(op, x, target);
  check_floating(op, "target", target);
  const Tensor terms = binary(BinaryOp::binary_cross_entropy, x, target);
  const Tensor loss = reduced(weighted(op, terms, weight), reduction);
  if (!x.device().is_cpu()) return loss;
  // Whatever lies outside of [0, 1] makes its term NaN: only then it is looked for.
  const GradMode off(false);
  const Tensor total = loss.rank() == 0 ? loss : sum(detach(loss));
  if (std::isnan(host_number(op, total))) {
    check_probabilities(op, "input", x);
    check_probabilities(op, "target", target);
  }
  return loss;
}

Tensor binary_cross_entropy_with_logits(const Tensor& x, const Tensor& target, const Tensor& weight,
                                        const Tensor& pos_weight, Reduction reduction) {
  const char* op = "binary_cross_entropy_with_logits";
  check_floating(op, "input", x);
  check_floating(op, "target", target);
  check_same_sizes(op, x, target);
  check_weight(op, x, pos_weight);
  Tensor terms;
  if (pos_weight.defined()) {
    // (1 - t) x + (1 + (pos - 1) t) log(1 + exp(-x)): no overflow at either end.
    const Tensor factor = add(mul(sub(pos_weight, scalar(1)), target), scalar(1));
    terms = sub(mul(sub(scalar(1), target), x), mul(unary(UnaryOp::logsigmoid, x), factor));
  } else {
    terms = binary(BinaryOp::binary_cross_entropy_with_logits, x, target);
  }
  return reduced(weighted(op, terms, weight), reduction);
}

Tensor kl_div(const Tensor& x, const Tensor& target, Reduction reduction, bool log_target) {
  check_pair("kl_div", x, target);
  check_floating("kl_div", "target", target);
  return reduced(binary(log_target ? BinaryOp::kl_div_log : BinaryOp::kl_div, x, target),
                 reduction);
}

Tensor multilabel_soft_margin_loss(const Tensor& x, const Tensor& target, const Tensor& weight,
                                   Reduction reduction) {
  const char* op = "multilabel_soft_margin_loss";
  check_pair(op, x, target);
  check<ValueError>(x.rank() >= 1, op, ": the input needs a dimension of classes",
                    line("input", x));
  const Tensor terms =
      weighted(op, binary(BinaryOp::binary_cross_entropy_with_logits, x, target), weight);
  const int64_t classes = -1;
  return reduced(mean(terms, std::span(&classes, 1)), reduction);
}

// -- of labels 1 and -1 ------------------------------------------------------------------------

Tensor hinge_embedding_loss(const Tensor& x, const Tensor& target, double margin,
                            Reduction reduction) {
  check_pair("hinge_embedding_loss", x, target);
  const Tensor zero = scalar(0.0);
  const Tensor apart = clamp_min(sub(scalar(margin), x), zero);
  return reduced(
      add(where(ne(target, scalar(1)), apart, zero), where(ne(target, scalar(-1)), x, zero)),
      reduction);
}

Tensor soft_margin_loss(const Tensor& x, const Tensor& target, Reduction reduction) {
  check_pair("soft_margin_loss", x, target);
  return reduced(neg(unary(UnaryOp::logsigmoid, mul(x, target))), reduction);
}

// -- of a distribution's parameters ------------------------------------------------------------

Tensor poisson_nll_loss(const Tensor& x, const Tensor& target, bool log_input, bool full,
                        double eps, Reduction reduction) {
  check_pair("poisson_nll_loss", x, target);
  Tensor terms =
      log_input ? sub(exp(x), mul(target, x)) : sub(x, mul(target, log(add(x, scalar(eps)))));
  if (full) {
    // Stirling's formula for log(t!), from t = 1 on.
    const Tensor small = le(target, scalar(1));
    const Tensor t_ = where(small, scalar(1.0), target);
    const Tensor stirling = add(sub(mul(t_, log(t_)), t_),
                                mul(log(mul(t_, scalar(2 * std::numbers::pi))), scalar(0.5)));
    terms = add(terms, where(small, scalar(0.0), stirling));
  }
  return reduced(terms, reduction);
}

namespace {

// `var` as it broadcasts to x: of its sizes, or with 1 for one of them, or without the last.
Tensor variance_for(const Tensor& x, const Tensor& var) {
  if (var.sizes() == x.sizes()) return var;
  Dims leading = x.sizes();
  if (x.rank() > 0) leading.erase(x.rank() - 1);
  if (x.rank() > 0 && var.sizes() == leading) return unsqueeze(var, -1);
  int different = 0, ones_ = 0;
  for (int d = 0; var.rank() == x.rank() && d < x.rank(); ++d) {
    different += var.size(d) != x.size(d);
    ones_ += var.size(d) != x.size(d) && var.size(d) == 1;
  }
  check<ValueError>(different == 1 && ones_ == 1,
                    "gaussian_nll_loss: var must have the input's sizes, or 1 for one of them, or "
                    "lack the last",
                    line("input", x), line("var", var));
  return var;
}

// At least eps, as a constant shift: the gradient passes.
Tensor raised(const Tensor& var, double eps) {
  Tensor y;
  {
    const GradMode off(false);
    y = clamp_min(detach(var), scalar(eps));
  }
  if (recording(var))
    record("gaussian_nll_loss", {y}, {var}, [](Backward& b) { b.set(0, b.grad()); });
  return y;
}

}  // namespace

Tensor gaussian_nll_loss(const Tensor& x, const Tensor& target, const Tensor& var_, bool full,
                         double eps, Reduction reduction) {
  const char* op = "gaussian_nll_loss";
  check_floating(op, "input", x);
  check<ValueError>(target.rank() == x.rank() && can_broadcast_to(target.sizes(), x.sizes()), op,
                    ": target must have the input's sizes, or 1 for some of them", line("input", x),
                    line("target", target));
  const bool number = number_of(var_).has_value();
  const Tensor var = number ? ops::full(x.sizes(), Scalar(*number_of(var_)), x.dtype(), x.device())
                            : variance_for(x, var_);
  check_floating(op, "var", var);
  check<ValueError>(!host_value<bool>(op, any(lt(detach(var), scalar(0)))), op,
                    ": no variance may be negative");
  const Tensor v = raised(var, eps);
  Tensor terms = mul(add(log(v), div(square(sub(x, target)), v)), scalar(0.5));
  if (full) terms = add(terms, scalar(0.5 * std::log(2 * std::numbers::pi)));
  return reduced(terms, reduction);
}

}  // namespace lamina::ops
