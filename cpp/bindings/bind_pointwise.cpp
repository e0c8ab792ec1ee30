// Elementwise functions: one binding for each row of pointwise.h, and what is not a row.

#include "bindings/args.h"
#include "bindings/bind.h"
#include "bindings/composite.h"
#include "bindings/convert.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

// Rows with arguments of their own are bound further down, others serve ops alone; the function
// relu is bound with the activations.
constexpr unsigned where_of(std::string_view row) {
  if (is_one_of(row, {"add", "sub", "div", "pow", "clamp", "logit", "cube", "power", "div_trunc"}))
    return 0;
  return row == "relu" ? kMethod : kFunction | kMethod;
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

Tensor ternary(TernaryOp op, Args& a, const Tensor& y, const Tensor& z, double value, int out) {
  if (!a.has(out)) return ops::ternary(op, a.tensor(0), y, z, {value, 0});
  ops::ternary_out(op, a.tensor(out), a.tensor(0), y, z, {value, 0});
  return a.tensor(out);
}

// The result of an op without kernel of its own, into `out` where that is given.
Tensor into(const char* op, Args& a, int out, Tensor result) {
  if (!a.has(out)) return result;
  ops::composite_out(op, a.tensor(out), result);
  return a.tensor(out);
}

std::optional<double> maybe_real(Args& a, int i) {
  return a.has(i) ? std::optional(a.real(i)) : std::nullopt;
}

constexpr Def kRows[] = {
#define ROW(name, rule, saves, forward, backward)                   \
  def(                                                              \
      #name "(Tensor input, *, Tensor? out=None)", where_of(#name), \
      [](Args& a) { return unary(UnaryOp::name, a); }, #forward " of each element x."),
    LAMINA_MATH_ROWS(ROW)
#undef ROW
#define ROW(name, rule, forward, ...)                                                 \
  def(                                                                                \
      #name "(operand input, operand other, *, Tensor? out=None)", where_of(#name),   \
      [](Args& a) { return binary(BinaryOp::name, a, a.tensor(0), a.tensor(1), 2); }, \
      #forward " of each pair of elements x and y, after broadcasting."),
        LAMINA_ARITHMETIC_ROWS(ROW) LAMINA_BITS_BINARY_ROWS(ROW)
#undef ROW
#define ROW(name, forward)                                                                 \
  def(                                                                                     \
      #name "(operand input, operand other, *, Tensor? out=None)", kFunction | kMethod,    \
      [](Args& a) {                                                                        \
        return into(#name, a, 2, ops::compare(CompareOp::name, a.tensor(0), a.tensor(1))); \
      },                                                                                   \
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
          return binary(division(a.has(2) ? a.text(2) : nullptr), a, a.tensor(0), a.tensor(1), 3);
        },
        "input / other, rounded if `rounding_mode` is 'floor' or 'trunc'."),
    def(
        "pow(operand input, operand exponent, *, Tensor? out=None)", kBoth,
        [](Args& a) { return binary(BinaryOp::pow, a, a.tensor(0), a.tensor(1), 2); },
        "input to the power of exponent."),
    def(
        "rsub(Tensor input, operand other, *, number alpha=1)", kFunction,
        [](Args& a) {
          const Scalar factor = a.number(2);
          const Tensor& x = a.tensor(0);
          return ops::sub(a.tensor(1),
                          factor.value() == 1 ? x : ops::mul(x, ops::scalar(factor, x.device())));
        },
        "other - alpha * input."),
    def(
        "addcmul(Tensor input, Tensor tensor1, Tensor tensor2, *, number value=1, Tensor? "
        "out=None)",
        kBoth,
        [](Args& a) {
          return ternary(TernaryOp::addcmul, a, a.tensor(1), a.tensor(2), a.number(3).value(), 4);
        },
        "input + value * tensor1 * tensor2."),
    def(
        "addcdiv(Tensor input, Tensor tensor1, Tensor tensor2, *, number value=1, Tensor? "
        "out=None)",
        kBoth,
        [](Args& a) {
          return ternary(TernaryOp::addcdiv, a, a.tensor(1), a.tensor(2), a.number(3).value(), 4);
        },
        "input + value * tensor1 / tensor2."),
    def(
        "lerp(Tensor input, Tensor end, operand weight, *, Tensor? out=None)", kBoth,
        [](Args& a) { return ternary(TernaryOp::lerp, a, a.tensor(1), a.tensor(2), 0, 3); },
        "input + weight * (end - input)."),
    def(
        "logit(Tensor input, float? eps=None, *, Tensor? out=None)", kBoth,
        [](Args& a) { return into("logit", a, 2, ops::logit(a.tensor(0), maybe_real(a, 1))); },
        "log(x / (1 - x)) of each element x, first moved into [eps, 1 - eps] where eps is given."),
    def(
        "nan_to_num(Tensor input, float nan=0, float? posinf=None, float? neginf=None, *, Tensor? "
        "out=None)",
        kBoth,
        [](Args& a) {
          return into("nan_to_num", a, 4,
                      ops::nan_to_num(a.tensor(0), a.real(1), maybe_real(a, 2), maybe_real(a, 3)));
        },
        "Each element, with NaN and infinities replaced; by default by 0 and the largest numbers."),
    def(
        "positive(Tensor input)", kBoth,
        [](Args& a) {
          check<TypeError>(a.tensor(0).dtype() != DType::Bool, "positive: not defined for bool");
          return a.tensor(0);
        },
        "The tensor itself."),
    def(
        "bitwise_not(Tensor input, *, Tensor? out=None)", kBoth,
        [](Args& a) { return into("bitwise_not", a, 1, ops::bitwise_not(a.tensor(0))); },
        "Every bit of each element flipped; of a bool, its opposite."),
    def(
        "where(Tensor condition, operand input, operand other)\n"
        "where(Tensor condition) -> tuple[Tensor, ...]",
        kFunction,
        [](Args& a) -> PyObject* {
          if (a.overload() == 1)
            return to_python([&] {
              MaybeRelease gil(a.work());
              return ops::unbind(ops::nonzero(a.tensor(0)), 1);
            }());
          return to_python([&] {
            MaybeRelease gil(a.work());
            return ops::where(a.tensor(0), a.tensor(1), a.tensor(2));
          }());
        },
        "`input` where the condition holds, `other` elsewhere; of a condition alone, the indices "
        "of "
        "what is not zero, a tensor for each dimension."),
    def(
        "where(Tensor self, Tensor condition, operand other)", kMethod,
        [](Args& a) { return ops::where(a.tensor(1), a.tensor(0), a.tensor(2)); },
        "This tensor where the condition holds, `other` elsewhere."),
    def(
        "clamp(Tensor input, operand? min=None, operand? max=None, *, Tensor? out=None)", kBoth,
        [](Args& a) {
          return into("clamp", a, 3, ops::clamp(a.tensor(0), a.tensor(1), a.tensor(2)));
        },
        "Each element, moved into [min, max]."),
    def(
        "masked_fill(Tensor input, Tensor mask, operand value)", kBoth,
        [](Args& a) { return ops::masked_fill(a.tensor(0), a.tensor(1), a.tensor(2)); },
        "`value` where the mask is true, `input` elsewhere."),
#define PREDICATE(name, doc) \
  def(#name "(Tensor input)", kBoth, [](Args& a) { return ops::name(a.tensor(0)); }, doc)
    PREDICATE(isnan, "Where elements are NaN."),
    PREDICATE(isinf, "Where elements are infinite."),
    PREDICATE(isfinite, "Where elements are neither infinite nor NaN."),
    PREDICATE(logical_not, "Where elements are zero."),
#undef PREDICATE
#define LOGICAL(name, doc)                                              \
  def(                                                                  \
      #name "(Tensor input, Tensor other, *, Tensor? out=None)", kBoth, \
      [](Args& a) { return into(#name, a, 2, ops::name(a.tensor(0), a.tensor(1))); }, doc)
    LOGICAL(logical_and, "Where both are not zero."),
    LOGICAL(logical_or, "Where one or both are not zero."),
    LOGICAL(logical_xor, "Where one is not zero, and the other is."),
#undef LOGICAL
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
