// Elementwise functions: one binding for each row of pointwise.h, and what is not a row.

#include "bindings/args.h"
#include "bindings/bind.h"
#include "bindings/composite.h"
#include "bindings/convert.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

// Rows with arguments of their own are bound further down; some are no methods in PyTorch.
constexpr unsigned where_of(std::string_view row) {
  if (is_one_of(row, {"leaky_relu", "gelu", "gelu_tanh", "softplus", "add", "sub", "div", "pow"}))
    return 0;
  return row == "silu" ? kFunction : kFunction | kMethod;
}

Tensor unary(UnaryOp op, Args& a) {
  if (!a.has(1)) return ops::unary(op, a.tensor(0));
  ops::unary_out(op, a.tensor(1), a.tensor(0));
  return a.tensor(1);
}

Tensor binary(BinaryOp op, Args& a, const Tensor& x, const Tensor& y, int out) {
  if (!a.has(out)) return ops::binary(op, x, y);
  ops::binary_out(op, a.tensor(out), x, y);
  return a.tensor(out);
}

// The second operand times alpha, as add and sub take it.
Tensor scaled(Args& a, int other, int alpha) {
  const Scalar factor = a.number(alpha);
  if (factor.value() == 1) return a.tensor(other);
  return ops::mul(a.tensor(other), ops::scalar(factor, a.tensor(other).device()));
}

Tensor without_gradient_out(Args& a, Tensor result, int out) {
  if (!a.has(out)) return result;
  const Tensor& target = a.tensor(out);
  check<ValueError>(target.sizes() == result.sizes(), "out has the wrong sizes",
                    line("needs", result), line("out", target));
  ops::copy_(target, result);
  return target;
}

constexpr Def kRows[] = {
#define ROW(name, rule, saves, forward, backward)                   \
  def(                                                              \
      #name "(Tensor input, *, Tensor? out=None)", where_of(#name), \
      [](Args& a) { return unary(UnaryOp::name, a); }, #forward " of each element x."),
    LAMINA_UNARY_ROWS(ROW)
#undef ROW
#define ROW(name, rule, forward, ...)                                                 \
  def(                                                                                \
      #name "(operand input, operand other, *, Tensor? out=None)", where_of(#name),   \
      [](Args& a) { return binary(BinaryOp::name, a, a.tensor(0), a.tensor(1), 2); }, \
      #forward " of each pair of elements x and y, after broadcasting."),
        LAMINA_BINARY_ROWS(ROW)
#undef ROW
#define ROW(name, forward)                                                             \
  def(                                                                                 \
      #name "(operand input, operand other)", kFunction | kMethod,                     \
      [](Args& a) { return ops::compare(CompareOp::name, a.tensor(0), a.tensor(1)); }, \
      #forward " of each pair of elements x and y, a bool tensor."),
            LAMINA_COMPARE_ROWS(ROW)
#undef ROW
};

constexpr unsigned kBoth = kFunction | kMethod;

constexpr Def kDefs[] = {
    def(
        "add(operand input, operand other, *, number alpha=1, Tensor? out=None)", kBoth,
        [](Args& a) { return binary(BinaryOp::add, a, a.tensor(0), scaled(a, 1, 2), 3); },
        "input + alpha * other."),
    def(
        "sub(operand input, operand other, *, number alpha=1, Tensor? out=None)", kBoth,
        [](Args& a) { return binary(BinaryOp::sub, a, a.tensor(0), scaled(a, 1, 2), 3); },
        "input - alpha * other."),
    def(
        "div(operand input, operand other, *, str? rounding_mode=None, Tensor? out=None)", kBoth,
        [](Args& a) {
          if (!a.has(2)) return binary(BinaryOp::div, a, a.tensor(0), a.tensor(1), 3);
          return without_gradient_out(a, divide(a.tensor(0), a.tensor(1), a.text(2)), 3);
        },
        "input / other, rounded if `rounding_mode` is 'floor' or 'trunc'."),
    def(
        "pow(operand input, operand exponent, *, Tensor? out=None)", kBoth,
        [](Args& a) { return binary(BinaryOp::pow, a, a.tensor(0), a.tensor(1), 2); },
        "input to the power of exponent."),
    def(
        "floor_divide(operand input, operand other)", kBoth,
        [](Args& a) { return floor_divide(a.tensor(0), a.tensor(1)); },
        "input / other, rounded towards minus infinity."),
    def(
        "remainder(operand input, operand other)", kBoth,
        [](Args& a) { return remainder(a.tensor(0), a.tensor(1)); },
        "What floor_divide leaves; it has the sign of `other`."),
    def(
        "leaky_relu(Tensor input, float negative_slope=0.01)", kFunction,
        [](Args& a) { return ops::leaky_relu(a.tensor(0), a.real(1)); },
        "x where positive, negative_slope * x elsewhere."),
    def(
        "gelu(Tensor input, *, str approximate='none')", kFunction,
        [](Args& a) { return gelu(a.tensor(0), a.text(1)); },
        "x times the normal distribution function of x, exactly or by its 'tanh' approximation."),
    def(
        "softplus(Tensor input, float beta=1, float threshold=20)", kFunction,
        [](Args& a) { return softplus(a.tensor(0), a.real(1), a.real(2)); },
        "log(1 + exp(beta * x)) / beta; x itself where beta * x exceeds the threshold."),
    def(
        "where(Tensor condition, operand input, operand other)", kFunction,
        [](Args& a) { return ops::where(a.tensor(0), a.tensor(1), a.tensor(2)); },
        "`input` where the condition holds, `other` elsewhere."),
    def(
        "where(Tensor self, Tensor condition, operand other)", kMethod,
        [](Args& a) { return ops::where(a.tensor(1), a.tensor(0), a.tensor(2)); },
        "This tensor where the condition holds, `other` elsewhere."),
#define CLAMP(name)                                                              \
  def(                                                                           \
      name "(Tensor input, operand? min=None, operand? max=None)", kBoth,        \
      [](Args& a) { return ops::clamp(a.tensor(0), a.tensor(1), a.tensor(2)); }, \
      "Each element, moved into [min, max].")
    CLAMP("clamp"),
    CLAMP("clip"),
#undef CLAMP
    def(
        "masked_fill(Tensor input, Tensor mask, number value)", kBoth,
        [](Args& a) { return ops::masked_fill(a.tensor(0), a.tensor(1), a.number(2)); },
        "`value` where the mask is true, `input` elsewhere."),
#define PREDICATE(name, doc) \
  def(#name "(Tensor input)", kBoth, [](Args& a) { return ops::name(a.tensor(0)); }, doc)
    PREDICATE(isnan, "Where elements are NaN."),
    PREDICATE(isinf, "Where elements are infinite."),
    PREDICATE(isfinite, "Where elements are neither infinite nor NaN."),
    PREDICATE(logical_not, "Where elements are zero."),
#undef PREDICATE
    def(
        "logical_and(Tensor input, Tensor other)", kBoth,
        [](Args& a) { return ops::logical_and(a.tensor(0), a.tensor(1)); },
        "Where both are not zero."),
    def(
        "logical_or(Tensor input, Tensor other)", kBoth,
        [](Args& a) { return ops::logical_or(a.tensor(0), a.tensor(1)); },
        "Where one or both are not zero."),
    def(
        "isclose(Tensor input, Tensor other, float rtol=1e-5, float atol=1e-8, bool "
        "equal_nan=False)",
        kBoth,
        [](Args& a) { return isclose(a.tensor(0), a.tensor(1), a.real(2), a.real(3), a.flag(4)); },
        "Where |input - other| <= atol + rtol * |other|."),
    def(
        "allclose(Tensor input, Tensor other, float rtol=1e-5, float atol=1e-8, bool "
        "equal_nan=False) -> bool",
        kBoth,
        [](Args& a) { return allclose(a.tensor(0), a.tensor(1), a.real(2), a.real(3), a.flag(4)); },
        "Whether isclose holds everywhere."),
    def(
        "equal(Tensor input, Tensor other) -> bool", kBoth,
        [](Args& a) { return equal(a.tensor(0), a.tensor(1)); },
        "Whether sizes and all elements are the same."),
    def(
        "result_type(operand tensor1, operand tensor2) -> dtype", kFunction,
        [](Args& a) { return ops::result_type(a.tensor(0), a.tensor(1)); },
        "The dtype of an arithmetic op between the two."),
};

}  // namespace

void bind_pointwise() {
  bind<kRows>();
  bind<kDefs>();
}

}  // namespace lamina::bindings
