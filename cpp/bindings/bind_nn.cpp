// Layers, and distances.

#include "bindings/args.h"
#include "bindings/bind.h"
#include "bindings/words.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

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
#define DROPOUT(name, training, doc)                                                              \
  def(                                                                                            \
      #name "(Tensor input, float p=0.5, bool training=" training ", bool inplace=False)",        \
      kFunction, [](Args& a) { return ops::name(a.tensor(0), a.real(1), a.flag(2), a.flag(3)); }, \
      doc)
    DROPOUT(dropout, "True",
            "Zeros elements with probability p and scales the others by 1 / (1 - p), in training."),
    DROPOUT(dropout1d, "True", "Dropout of whole channels of [C, L] or [N, C, L]."),
    DROPOUT(dropout2d, "True", "Dropout of whole channels of [N, C, H, W] or [N, C, L]."),
    DROPOUT(alpha_dropout, "False",
            "Dropout that keeps mean 0 and variance 1: what is dropped becomes the limit of SELU."),
#undef DROPOUT
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
        "layer_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, Tensor? bias=None, "
        "float eps=1e-5)",
        kFunction,
        [](Args& a) {
          return ops::layer_norm(a.tensor(0), a.ints(1), a.tensor(2), a.tensor(3), a.real(4));
        },
        "The last dimensions, of sizes `normalized_shape`, with mean 0 and variance 1, then scaled "
        "and shifted."),
    def(
        "rms_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, float? eps=None)",
        kFunction,
        [](Args& a) {
          return ops::rms_norm(a.tensor(0), a.ints(1), a.tensor(2),
                               a.has(3) ? std::optional(a.real(3)) : std::nullopt);
        },
        "The last dimensions, of sizes `normalized_shape`, with mean square 1, then scaled."),
    def(
        "group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, "
        "float eps=1e-5)",
        kFunction,
        [](Args& a) {
          return ops::group_norm(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3), a.real(4));
        },
        "Each group of channels of each sample with mean 0 and variance 1, then scaled and "
        "shifted."),
    def(
        "instance_norm(Tensor input, Tensor? running_mean=None, Tensor? running_var=None, "
        "Tensor? weight=None, Tensor? bias=None, bool use_input_stats=True, float momentum=0.1, "
        "float eps=1e-5)",
        kFunction | kInner,
        [](Args& a) {
          return ops::instance_norm(a.tensor(0), a.tensor(1), a.tensor(2), a.tensor(3), a.tensor(4),
                                    a.flag(5), a.real(6), a.real(7));
        },
        "Each channel of each sample with mean 0 and variance 1, or by the running statistics, "
        "then scaled and shifted."),
    def(
        "local_response_norm(Tensor input, int size, float alpha=1e-4, float beta=0.75, "
        "float k=1.0)",
        kFunction | kInner,
        [](Args& a) {
          return ops::local_response_norm(a.tensor(0), a.integer(1), a.real(2), a.real(3),
                                          a.real(4));
        },
        "input / (k + alpha * mean of its squares over `size` neighbouring channels)^beta."),
    def(
        "bilinear(Tensor input1, Tensor input2, Tensor weight, Tensor? bias=None)", kFunction,
        [](Args& a) { return ops::bilinear(a.tensor(0), a.tensor(1), a.tensor(2), a.tensor(3)); },
        "input1 weight[k] input2 + bias[k] for each k: [..., in1], [..., in2], [out, in1, in2]."),
    def(
        "normalize(Tensor input, float p=2, int dim=1, float eps=1e-12, *, Tensor? out=None)",
        kFunction,
        [](Args& a) {
          return ops::write_out("normalize", a.tensor(4),
                                ops::normalize(a.tensor(0), a.real(1), a.integer(2), a.real(3)));
        },
        "The input over its p-norm along `dim`, or over eps where that is more."),
    def(
        "cosine_similarity(Tensor x1, Tensor x2, int dim=1, float eps=1e-8)", kFunction,
        [](Args& a) {
          return ops::cosine_similarity(a.tensor(0), a.tensor(1), a.integer(2), a.real(3));
        },
        "x1 x2 / (max(|x1|, eps) max(|x2|, eps)) along `dim`, after broadcasting."),
    def(
        "pairwise_distance(Tensor x1, Tensor x2, float p=2, float eps=1e-6, bool keepdim=False)",
        kFunction,
        [](Args& a) {
          return ops::pairwise_distance(a.tensor(0), a.tensor(1), a.real(2), a.real(3), a.flag(4));
        },
        "The p-norm of x1 - x2 + eps along the last dimension."),
    def(
        "pdist(Tensor input, float p=2)", kFunction,
        [](Args& a) { return ops::pdist(a.tensor(0), a.real(1)); },
        "The p-norm distance of each pair of rows: (0, 1), (0, 2), ..., (1, 2), ..."),
};

}  // namespace

void bind_nn() { bind<kDefs>(); }

}  // namespace lamina::bindings
