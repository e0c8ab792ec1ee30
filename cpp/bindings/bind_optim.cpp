// Optimizer steps: one call for a group of parameters.

#include "bindings/args.h"
#include "bindings/bind.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

// The lists at `state` and after it are aligned with the parameters; None is an empty list.
ops::OptimizerStep step(const char* op, Args& a, int states) {
  ops::OptimizerStep s{};
  s.params = a.tensors(0);
  for (int i = 0; i < states; ++i) {
    s.state[i] = a.tensors(1 + i);
    check<ValueError>(!a.has(1 + i) || s.state[i].size() == s.params.size(), op, ": ",
                      s.params.size(), " parameters but ", s.state[i].size(),
                      " tensors of state in list ", i + 1);
  }
  s.steps = a.tensor(1 + states);
  return s;
}

constexpr Def kDefs[] = {
    def(
        "sgd_step(Tensor[] params, Tensor[]? momentum_buffers, Tensor steps, float lr, "
        "float momentum, float dampening, float weight_decay, bool nesterov, bool maximize) -> "
        "None",
        kFunction | kHeavy,
        [](Args& a) {
          ops::sgd_step(step("sgd_step", a, 1), {.lr = a.real(3),
                                                 .momentum = a.real(4),
                                                 .dampening = a.real(5),
                                                 .weight_decay = a.real(6),
                                                 .nesterov = a.flag(7),
                                                 .maximize = a.flag(8)});
        },
        "One step of SGD; parameters without gradient are skipped."),
    def(
        "adam_step(Tensor[] params, Tensor[] exp_avgs, Tensor[] exp_avg_sqs, "
        "Tensor[]? max_exp_avg_sqs, Tensor steps, float lr, float beta1, float beta2, float eps, "
        "float weight_decay, bool decoupled, bool maximize) -> None",
        kFunction | kHeavy,
        [](Args& a) {
          ops::adam_step(step("adam_step", a, 3), {.lr = a.real(5),
                                                   .beta1 = a.real(6),
                                                   .beta2 = a.real(7),
                                                   .eps = a.real(8),
                                                   .weight_decay = a.real(9),
                                                   .decoupled = a.flag(10),
                                                   .maximize = a.flag(11)});
        },
        "One step of Adam, or of AdamW if `decoupled`; parameters without gradient are skipped."),
    def(
        "rmsprop_step(Tensor[] params, Tensor[] square_avgs, Tensor[]? momentum_buffers, "
        "Tensor[]? grad_avgs, Tensor steps, float lr, float alpha, float eps, float weight_decay, "
        "float momentum, bool maximize) -> None",
        kFunction | kHeavy,
        [](Args& a) {
          ops::rmsprop_step(step("rmsprop_step", a, 3), {.lr = a.real(5),
                                                         .alpha = a.real(6),
                                                         .eps = a.real(7),
                                                         .weight_decay = a.real(8),
                                                         .momentum = a.real(9),
                                                         .maximize = a.flag(10)});
        },
        "One step of RMSprop, centered if `grad_avgs` is given; parameters without gradient are "
        "skipped."),
    def(
        "zero_grad(Tensor[] params, bool set_to_none=True) -> None", kFunction,
        [](Args& a) { ops::zero_grad(a.tensors(0), a.flag(1)); },
        "Forget the gradients of the parameters, or make them zero."),
};

}  // namespace

void bind_optim() { bind<kDefs>(); }

}  // namespace lamina::bindings
