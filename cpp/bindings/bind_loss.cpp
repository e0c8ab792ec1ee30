// Losses.

#include <string_view>

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

ops::Reduction kl_reduction(Args& a, int i) {
  const std::string_view name = a.text(i);
  if (name == "batchmean") return ops::Reduction::BatchMean;
  check<ValueError>(name == "none" || name == "mean" || name == "sum",
                    "kl_div: reduction must be 'none', 'mean', 'sum' or 'batchmean', got '", name,
                    "'");
  return reduction("kl_div", a, i);
}

constexpr Def kDefs[] = {
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
    def(
        "multi_margin_loss(Tensor input, Tensor target, int p=1, float margin=1, Tensor? "
        "weight=None, str reduction='mean')",
        kFunction,
        [](Args& a) {
          return ops::multi_margin_loss(a.tensor(0), a.tensor(1), a.integer(2), a.real(3),
                                        a.tensor(4), reduction("multi_margin_loss", a, 5));
        },
        "How far the other classes come within the margin of the right one, to the power of p."),
#define LOSS(name, doc)                                                       \
  def(                                                                        \
      #name "(Tensor input, Tensor target, str reduction='mean')", kFunction, \
      [](Args& a) { return ops::name(a.tensor(0), a.tensor(1), reduction(#name, a, 2)); }, doc)
    LOSS(mse_loss, "Squared differences."),
    LOSS(l1_loss, "Absolute differences."),
    LOSS(soft_margin_loss, "log(1 + exp(-target * input)), for targets 1 and -1."),
#undef LOSS
#define LOSS(name, argument, doc)                                                                 \
  def(                                                                                            \
      #name "(Tensor input, Tensor target, str reduction='mean', float " argument ")", kFunction, \
      [](Args& a) {                                                                               \
        return ops::name(a.tensor(0), a.tensor(1), reduction(#name, a, 2), a.real(3));            \
      },                                                                                          \
      doc)
    LOSS(smooth_l1_loss, "beta=1", "d^2 / (2 beta) where |d| < beta, |d| - beta / 2 elsewhere."),
    LOSS(huber_loss, "delta=1", "d^2 / 2 where |d| <= delta, delta (|d| - delta / 2) elsewhere."),
#undef LOSS
    def(
        "kl_div(Tensor input, Tensor target, str reduction='mean', bool log_target=False)",
        kFunction,
        [](Args& a) {
          return ops::kl_div(a.tensor(0), a.tensor(1), kl_reduction(a, 2), a.flag(3));
        },
        "target * (log(target) - input): input and, with `log_target`, target are logarithms."),
    def(
        "binary_cross_entropy(Tensor input, Tensor target, Tensor? weight=None, str "
        "reduction='mean')",
        kFunction,
        [](Args& a) {
          return ops::binary_cross_entropy(a.tensor(0), a.tensor(1), a.tensor(2),
                                           reduction("binary_cross_entropy", a, 3));
        },
        "Cross-entropy of probabilities against probabilities; a logarithm is at least -100."),
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
    def(
        "multilabel_soft_margin_loss(Tensor input, Tensor target, Tensor? weight=None, str "
        "reduction='mean')",
        kFunction,
        [](Args& a) {
          return ops::multilabel_soft_margin_loss(a.tensor(0), a.tensor(1), a.tensor(2),
                                                  reduction("multilabel_soft_margin_loss", a, 3));
        },
        "The mean over the last dimension of binary_cross_entropy_with_logits."),
    def(
        "hinge_embedding_loss(Tensor input, Tensor target, float margin=1, str reduction='mean')",
        kFunction,
        [](Args& a) {
          return ops::hinge_embedding_loss(a.tensor(0), a.tensor(1), a.real(2),
                                           reduction("hinge_embedding_loss", a, 3));
        },
        "input where the target is 1, max(0, margin - input) where it is -1."),
    def(
        "poisson_nll_loss(Tensor input, Tensor target, bool log_input=True, bool full=False, float "
        "eps=1e-8, str reduction='mean')",
        kFunction,
        [](Args& a) {
          return ops::poisson_nll_loss(a.tensor(0), a.tensor(1), a.flag(2), a.flag(3), a.real(4),
                                       reduction("poisson_nll_loss", a, 5));
        },
        "Of counts, given the logarithm of their rate or, without `log_input`, the rate."),
    def(
        "gaussian_nll_loss(Tensor input, Tensor target, operand var, bool full=False, float "
        "eps=1e-6, str reduction='mean')",
        kFunction,
        [](Args& a) {
          return ops::gaussian_nll_loss(a.tensor(0), a.tensor(1), a.tensor(2), a.flag(3), a.real(4),
                                        reduction("gaussian_nll_loss", a, 5));
        },
        "Of targets, given the mean and the variance of their normal distributions."),
    def(
        "margin_ranking_loss(Tensor input1, Tensor input2, Tensor target, float margin=0, str "
        "reduction='mean')",
        kFunction,
        [](Args& a) {
          return ops::margin_ranking_loss(a.tensor(0), a.tensor(1), a.tensor(2), a.real(3),
                                          reduction("margin_ranking_loss", a, 4));
        },
        "max(0, margin - target * (input1 - input2)), for targets 1 and -1."),
    def(
        "cosine_embedding_loss(Tensor input1, Tensor input2, Tensor target, float margin=0, str "
        "reduction='mean')",
        kFunction,
        [](Args& a) {
          return ops::cosine_embedding_loss(a.tensor(0), a.tensor(1), a.tensor(2), a.real(3),
                                            reduction("cosine_embedding_loss", a, 4));
        },
        "1 - cos where the target is 1, max(0, cos - margin) where it is -1."),
    def(
        "triplet_margin_loss(Tensor anchor, Tensor positive, Tensor negative, float margin=1, "
        "float p=2, float eps=1e-6, bool swap=False, str reduction='mean')",
        kFunction,
        [](Args& a) {
          return ops::triplet_margin_loss(a.tensor(0), a.tensor(1), a.tensor(2), a.real(3),
                                          a.real(4), a.real(5), a.flag(6),
                                          reduction("triplet_margin_loss", a, 7));
        },
        "max(0, margin + |anchor - positive| - |anchor - negative|), lengths in the p-norm."),
};

}  // namespace

void bind_loss() { bind<kDefs>(); }

}  // namespace lamina::bindings
