// Clipping and averaging: one device call for many tensors.
#include <cmath>

#include "ops/update_rows.h"

namespace lamina::ops {
namespace {

std::vector<Tensor> gradients(std::span<const Tensor> params) {
  std::vector<Tensor> out;
  out.reserve(params.size());
  for (const Tensor& p : params)
    if (Tensor g = grad_of(p); g.defined()) out.push_back(std::move(g));
  return out;
}

double norm_of(const char* op, std::span<const Tensor> tensors, double order) {
  check<ValueError>(!std::isnan(order), op, ": the norm's order must not be NaN");
  const GradMode off(false);
  Rows rows(op);
  rows.reserve(tensors.size());
  for (const Tensor& t : tensors) rows.add(t, "tensor", false);
  return rows.norm(order);
}

// As PyTorch has it: 1e-6 keeps a norm of zero from dividing, and nothing grows.
double clip_factor(double max_norm, double norm) {
  const double factor = max_norm / (norm + 1e-6);
  return factor > 1 ? 1 : factor;
}

void check_limit(const char* op, const char* name, double value) {
  check<ValueError>(value >= 0, op, ": ", name, " must be at least 0, got ", value);
}

void scale(const char* op, std::span<const Tensor> tensors, double factor) {
  if (factor == 1) return;
  const GradMode off(false);
  Rows rows(op);
  rows.reserve(tensors.size());
  for (const Tensor& t : tensors) rows.add(t, "gradient");
  rows.update(Update::Combine, CombineUpdate<double>{.a = factor, .b = 0});
  for (const Tensor& t : tensors) t.storage().wrote(op);
}

// What a norm over these tensors is given as.
DType norm_dtype(std::span<const Tensor> tensors) {
  if (tensors.empty()) return default_dtype();
  DType dtype = tensors[0].dtype();
  for (const Tensor& t : tensors) dtype = promote(dtype, t.dtype());
  return dtype;
}

}  // namespace

Tensor total_norm(std::span<const Tensor> tensors, double order) {
  const double norm = norm_of("total_norm", tensors, order);
  return full({}, Scalar(norm), norm_dtype(tensors));
}

double grad_norm(std::span<const Tensor> params) {
  return norm_of("grad_norm", gradients(params), 2);
}

Tensor clip_grad_norm_(std::span<const Tensor> params, double max_norm, double order,
                       bool error_if_nonfinite) {
  constexpr const char* kOp = "clip_grad_norm_";
  check_limit(kOp, "max_norm", max_norm);
  const std::vector<Tensor> grads = gradients(params);
  const double norm = norm_of(kOp, grads, order);
  check<RuntimeError>(!error_if_nonfinite || std::isfinite(norm), kOp, ": the total norm of order ",
                      order, " is ", norm,
                      ", so the gradients cannot be clipped; error_if_nonfinite=False scales them "
                      "by it all the same");
  scale(kOp, grads, clip_factor(max_norm, norm));
  return full({}, Scalar(norm), norm_dtype(grads));
}

void clip_grads_with_norm_(std::span<const Tensor> params, double max_norm, double norm) {
  constexpr const char* kOp = "clip_grads_with_norm_";
  check_limit(kOp, "max_norm", max_norm);
  scale(kOp, gradients(params), clip_factor(max_norm, norm));
}

void clip_grad_value_(std::span<const Tensor> params, double limit) {
  constexpr const char* kOp = "clip_grad_value_";
  check_limit(kOp, "clip_value", limit);
  const std::vector<Tensor> grads = gradients(params);
  const GradMode off(false);
  Rows rows(kOp);
  rows.reserve(grads.size());
  for (const Tensor& g : grads) rows.add(g, "gradient");
  rows.update(Update::Clamp, ClampUpdate<double>{.limit = limit});
  for (const Tensor& g : grads) g.storage().wrote(kOp);
}

void lerp_many(std::span<const Tensor> targets, std::span<const Tensor> sources, double weight) {
  constexpr const char* kOp = "lerp_many";
  check<ValueError>(targets.size() == sources.size(), kOp, ": ", targets.size(), " targets but ",
                    sources.size(), " sources");
  const GradMode off(false);
  Rows rows(kOp);
  rows.reserve(targets.size());
  for (size_t i = 0; i < targets.size(); ++i)
    rows.add(targets[i], "target").source = rows.source(sources[i], targets[i], "source");
  rows.update(Update::Lerp, LerpUpdate<double>{.weight = weight, .rest = 1 - weight});
  for (const Tensor& t : targets) t.storage().wrote(kOp);
}

}  // namespace lamina::ops
