// Layers and losses.

#include <algorithm>
#include <iterator>

#include "bindings/args.h"
#include "bindings/bind.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

ops::Reduction reduction(const char* op, Args& a, int i) {
  const std::string_view name = a.text(i);
  if (name == "mean") return ops::Reduction::Mean;
  if (name == "sum") return ops::Reduction::Sum;
  check<ValueError>(name == "none", op, ": reduction must be 'none', 'mean' or 'sum', got '", name,
                    "'");
  return ops::Reduction::None;
}

Activation activation(const char* op, Args& a, int i) {
  constexpr std::string_view kNames[] = {"none", "relu", "tanh", "sigmoid", "gelu"};
  const std::string_view name = a.text(i);
  const auto* const found = std::find(std::begin(kNames), std::end(kNames), name);
  check<ValueError>(found != std::end(kNames), op,
                    ": activation must be 'none', 'relu', 'tanh', 'sigmoid' or 'gelu', got '", name,
                    "'");
  return static_cast<Activation>(found - std::begin(kNames));
}

constexpr Def kDefs[] = {
    def(
        "linear(Tensor input, Tensor weight, Tensor? bias=None)", kFunction | kProduct,
        [](Args& a) { return ops::linear(a.tensor(0), a.tensor(1), a.tensor(2)); },
        "input @ weight.T + bias."),
    def(
        "linear_act(Tensor input, Tensor weight, Tensor? bias, str activation)",
        kFunction | kProduct | kInner,
        [](Args& a) {
          return ops::linear(a.tensor(0), a.tensor(1), a.tensor(2), activation("linear_act", a, 3));
        },
        "A linear layer and its activation ('none', 'relu', 'tanh', 'sigmoid' or 'gelu') as one "
        "op."),
    def(
        "dropout(Tensor input, float p=0.5, bool training=True)", kFunction,
        [](Args& a) { return ops::dropout(a.tensor(0), a.real(1), a.flag(2)); },
        "Zeros elements with probability p and scales the others by 1 / (1 - p), in training."),
    def(
        "batch_norm(Tensor input, Tensor? running_mean, Tensor? running_var, Tensor? weight=None, "
        "Tensor? bias=None, bool training=False, float momentum=0.1, float eps=1e-5)",
        kFunction,
        [](Args& a) {
          return ops::batch_norm(a.tensor(0), a.tensor(1), a.tensor(2), a.tensor(3), a.tensor(4),
                                 a.flag(5), a.real(6), a.real(7));
        },
        "Each channel (dimension 1) with mean 0 and variance 1, by the batch's statistics in "
        "training and the running ones otherwise, then scaled and shifted."),
    def(
        "batch_norm_act(Tensor input, Tensor? running_mean, Tensor? running_var, Tensor? weight, "
        "Tensor? bias, bool training, float momentum, float eps, str activation)",
        kFunction | kInner,
        [](Args& a) {
          return ops::batch_norm(a.tensor(0), a.tensor(1), a.tensor(2), a.tensor(3), a.tensor(4),
                                 a.flag(5), a.real(6), a.real(7),
                                 activation("batch_norm_act", a, 8));
        },
        "Batch norm and an activation ('none', 'relu', 'tanh', 'sigmoid' or 'gelu') as one op."),
    def(
        "cross_entropy(Tensor input, Tensor target, Tensor? weight=None, int ignore_index=-100, "
        "str reduction='mean', float label_smoothing=0.0)",
        kFunction,
        [](Args& a) {
          return ops::cross_entropy(a.tensor(0), a.tensor(1), a.tensor(2), a.integer(3),
                                    reduction("cross_entropy", a, 4), a.real(5));
        },
        "Cross-entropy of logits against class indices or probabilities."),
    def(
        "nll_loss(Tensor input, Tensor target, Tensor? weight=None, int ignore_index=-100, "
        "str reduction='mean')",
        kFunction,
        [](Args& a) {
          return ops::nll_loss(a.tensor(0), a.tensor(1), a.tensor(2), a.integer(3),
                               reduction("nll_loss", a, 4));
        },
        "Negative log-likelihood of log-probabilities against class indices."),
#define LOSS(name, doc)                                                       \
  def(                                                                        \
      #name "(Tensor input, Tensor target, str reduction='mean')", kFunction, \
      [](Args& a) { return ops::name(a.tensor(0), a.tensor(1), reduction(#name, a, 2)); }, doc)
    LOSS(mse_loss, "Squared differences."),
    LOSS(l1_loss, "Absolute differences."),
#undef LOSS
    def(
        "binary_cross_entropy_with_logits(Tensor input, Tensor target, Tensor? weight=None, "
        "Tensor? pos_weight=None, str reduction='mean')",
        kFunction,
        [](Args& a) {
          return ops::binary_cross_entropy_with_logits(
              a.tensor(0), a.tensor(1), a.tensor(2), a.tensor(3),
              reduction("binary_cross_entropy_with_logits", a, 4));
        },
        "Cross-entropy of the sigmoid of logits against probabilities."),
};

}  // namespace

void bind_nn() { bind<kDefs>(); }

}  // namespace lamina::bindings
