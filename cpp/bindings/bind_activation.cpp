// Activations, each with its in-place form where PyTorch has one.

#include "bindings/args.h"
#include "bindings/bind.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

Tensor in_place(Args& a, const ops::ActivationRow& row) {
  ops::unary_(row.op, a.tensor(0), row.params);
  return a.tensor(0);
}

// Argument `inplace` says where the result goes.
Tensor activated(Args& a, const ops::ActivationRow& row, int inplace) {
  return a.flag(inplace) ? in_place(a, row) : ops::unary(row.op, a.tensor(0), row.params);
}

ops::ActivationRow with(UnaryOp op, Args& a) { return {op, {a.real(1), 0}}; }

Tensor rrelu_in_place(Args& a) {
  ops::rrelu_(a.tensor(0), a.real(1), a.real(2), a.flag(3));
  return a.tensor(0);
}

// `inplace` is the last argument; PyTorch has the functions with a trailing _ beside it.
#define INPLACE(name, arguments, at, row, doc)                            \
  def(                                                                    \
      #name "(Tensor input" arguments ", bool inplace=False)", kFunction, \
      [](Args& a) { return activated(a, row, at); }, doc " With `inplace`, in place.")
#define BOTH(name, arguments, at, row, doc)                \
  INPLACE(name, arguments, at, row, doc),                  \
      def(                                                 \
          #name "_(Tensor input" arguments ")", kFunction, \
          [](Args& a) { return in_place(a, row); }, "In place: " doc)
#define PLAIN(name, arguments, row, doc)                \
  def(                                                  \
      #name "(Tensor input" arguments ")", kFunction,   \
      [](Args& a) {                                     \
        const ops::ActivationRow r = row;               \
        return ops::unary(r.op, a.tensor(0), r.params); \
      },                                                \
      doc)
#define ROW(op) (ops::ActivationRow{UnaryOp::op})

constexpr Def kDefs[] = {
    def(
        "relu(Tensor input, bool inplace=False, *, Tensor? out=None)", kFunction,
        [](Args& a) {
          if (!a.has(2)) return activated(a, ROW(relu), 1);
          ops::unary_out(UnaryOp::relu, a.tensor(2), a.tensor(0));
          return a.tensor(2);
        },
        "max(x, 0) of each element x. With `inplace`, in place."),
    def(
        "relu_(Tensor input)", kFunction, [](Args& a) { return in_place(a, ROW(relu)); },
        "In place: max(x, 0) of each element x."),
    INPLACE(relu6, "", 1, ROW(relu6), "min(max(x, 0), 6) of each element x."),
    BOTH(leaky_relu, ", float negative_slope=0.01", 2, with(UnaryOp::leaky_relu, a),
         "x where positive, negative_slope * x elsewhere."),
    BOTH(elu, ", float alpha=1", 2, with(UnaryOp::elu, a),
         "x where positive, alpha * (exp(x) - 1) elsewhere."),
    BOTH(celu, ", float alpha=1", 2, ops::celu_row(a.real(1)),
         "x where positive, alpha * (exp(x / alpha) - 1) elsewhere."),
    BOTH(selu, "", 1, ROW(selu),
         "1.0507 times x where positive, times 1.67326 * (exp(x) - 1) elsewhere."),
    BOTH(hardtanh, ", float min_val=-1, float max_val=1", 3,
         ops::hardtanh_row(a.tensor(0), a.real(1), a.real(2)),
         "Each element, moved into [min_val, max_val]."),
    BOTH(threshold, ", float threshold, float value", 3,
         (ops::ActivationRow{UnaryOp::threshold, {a.real(1), a.real(2)}}),
         "x where above the threshold, `value` elsewhere."),
    INPLACE(silu, "", 1, ROW(silu), "x * sigmoid(x)."),
    INPLACE(mish, "", 1, ROW(mish), "x * tanh(log(1 + exp(x)))."),
    INPLACE(hardsigmoid, "", 1, ROW(hardsigmoid), "min(max(x + 3, 0), 6) / 6."),
    INPLACE(hardswish, "", 1, ROW(hardswish), "x * min(max(x + 3, 0), 6) / 6."),
    PLAIN(gelu, ", *, str approximate='none'", ops::gelu_row(a.text(1)),
          "x times the normal distribution function of x, exactly or by its 'tanh' "
          "approximation."),
    PLAIN(logsigmoid, "", ROW(logsigmoid), "log(sigmoid(x)), without its underflow."),
    PLAIN(softsign, "", ROW(softsign), "x / (1 + |x|)."),
    PLAIN(tanhshrink, "", ROW(tanhshrink), "x - tanh(x)."),
    PLAIN(softshrink, ", float lambd=0.5", ops::softshrink_row(a.real(1)),
          "x moved towards 0 by lambd, and 0 where |x| <= lambd."),
    PLAIN(hardshrink, ", float lambd=0.5", with(UnaryOp::hardshrink, a),
          "x, but 0 where |x| <= lambd."),
    def(
        "softplus(Tensor input, float beta=1, float threshold=20)", kFunction,
        [](Args& a) { return ops::softplus(a.tensor(0), a.real(1), a.real(2)); },
        "log(1 + exp(beta * x)) / beta; x itself where beta * x exceeds the threshold."),
    def(
        "prelu(Tensor input, Tensor weight)", kFunction,
        [](Args& a) { return ops::prelu(a.tensor(0), a.tensor(1)); },
        "x where positive, weight * x elsewhere; one weight, or one a channel (dimension 1)."),
    def(
        "rrelu(Tensor input, float lower=0.125, float upper=0.3333333333333333, bool "
        "training=False, bool inplace=False)",
        kFunction,
        [](Args& a) {
          return a.flag(4) ? rrelu_in_place(a)
                           : ops::rrelu(a.tensor(0), a.real(1), a.real(2), a.flag(3));
        },
        "leaky_relu with a slope drawn from [lower, upper] for each element, or outside of "
        "training with their mean."),
    def(
        "rrelu_(Tensor input, float lower=0.125, float upper=0.3333333333333333, bool "
        "training=False)",
        kFunction, [](Args& a) { return rrelu_in_place(a); }, "In place: rrelu."),
    def(
        "glu(Tensor input, int dim=-1)", kFunction,
        [](Args& a) { return ops::glu(a.tensor(0), a.integer(1)); },
        "The first half of the input along `dim`, times the sigmoid of the second."),
    def(
        "softmin(Tensor input, int dim, *, dtype? dtype=None)", kFunction,
        [](Args& a) {
          const Tensor& x = a.tensor(0);
          return ops::softmin(a.dtype(2) ? ops::to(x, *a.dtype(2)) : x, a.integer(1));
        },
        "softmax(-x) along `dim`."),
    def(
        "gumbel_softmax(Tensor logits, float tau=1, bool hard=False, float eps=1e-10, int dim=-1)",
        kFunction,
        [](Args& a) {
          return ops::gumbel_softmax(a.tensor(0), a.real(1), a.flag(2), a.integer(4));
        },
        "softmax((logits + noise) / tau) with noise of Gumbel's law; with `hard` one-hot, and the "
        "soft gradient. `eps` has no effect, as in PyTorch."),
};

}  // namespace

void bind_activation() { bind<kDefs>(); }

}  // namespace lamina::bindings
