// Methods that write into their tensor and return it.

#include "bindings/args.h"
#include "bindings/bind.h"
#include "bindings/composite.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

// Rows with arguments of their own are bound further down; others have no such method in PyTorch.
constexpr unsigned where_of(std::string_view row) {
  const bool other = is_one_of(row, {"add", "sub", "div", "maximum", "minimum", "fmax", "fmin",
                                     "logaddexp", "clamp", "logit", "cube", "power", "div_trunc"});
  return other ? 0u : kMethod;
}

// other * alpha, then in place.
Tensor scaled_in_place(BinaryOp op, Args& a) {
  const Scalar factor = a.number(2);
  const Tensor& other = a.tensor(1);
  ops::binary_(op, a.tensor(0),
               factor.value() == 1 ? other : ops::mul(other, ops::scalar(factor, other.device())));
  return a.tensor(0);
}

// Through a new tensor: f(x) of this one.
template <class F>
Tensor rewrite(const char* op, Args& a, bool records, F&& f) {
  ops::rewrite(op, a.tensor(0), records, std::forward<F>(f));
  return a.tensor(0);
}

Tensor ternary_in_place(TernaryOp op, Args& a, double value) {
  ops::ternary_(op, a.tensor(0), a.tensor(1), a.tensor(2), {value, 0});
  return a.tensor(0);
}

constexpr Def kDefs[] = {
#define ROW(name, rule, saves, forward, backward) \
  def(                                            \
      #name "_(Tensor self)", where_of(#name),    \
      [](Args& a) {                               \
        ops::unary_(UnaryOp::name, a.tensor(0));  \
        return a.tensor(0);                       \
      },                                          \
      "In place: " #forward " of each element x."),
    LAMINA_MATH_ROWS(ROW)
#undef ROW
#define ROW(name, rule, forward, ...)                           \
  def(                                                          \
      #name "_(Tensor self, operand other)", where_of(#name),   \
      [](Args& a) {                                             \
        ops::binary_(BinaryOp::name, a.tensor(0), a.tensor(1)); \
        return a.tensor(0);                                     \
      },                                                        \
      "In place: " #forward " of each element x and y, that of `other`."),
        LAMINA_ARITHMETIC_ROWS(ROW) LAMINA_BITS_BINARY_ROWS(ROW)
#undef ROW
#define ROW(name, forward)                                                          \
  def(                                                                              \
      #name "_(Tensor self, operand other)", kMethod,                               \
      [](Args& a) {                                                                 \
        return rewrite(#name "_", a, recording(a.tensor(0)), [&](const Tensor& x) { \
          return ops::compare(CompareOp::name, x, a.tensor(1));                     \
        });                                                                         \
      },                                                                            \
      "In place: 1 where " #forward " of each pair of elements, else 0."),
            LAMINA_COMPARE_ROWS(ROW)
#undef ROW
#define LOGICAL(name)                                                               \
  def(                                                                              \
      #name "_(Tensor self, Tensor other)", kMethod,                                \
      [](Args& a) {                                                                 \
        return rewrite(#name "_", a, recording(a.tensor(0)),                        \
                       [&](const Tensor& x) { return ops::name(x, a.tensor(1)); }); \
      },                                                                            \
      "In place: 1 where " #name " holds, else 0.")
                LOGICAL(logical_and),
    LOGICAL(logical_or),
    LOGICAL(logical_xor),
#undef LOGICAL
    def(
        "logical_not_(Tensor self)", kMethod,
        [](Args& a) {
          return rewrite("logical_not_", a, recording(a.tensor(0)),
                         [](const Tensor& x) { return ops::logical_not(x); });
        },
        "In place: 1 where zero, else 0."),
    def(
        "bitwise_not_(Tensor self)", kMethod,
        [](Args& a) {
          ops::bitwise_not_(a.tensor(0));
          return a.tensor(0);
        },
        "In place: every bit flipped."),
    def(
        "addcmul_(Tensor self, Tensor tensor1, Tensor tensor2, *, number value=1)", kMethod,
        [](Args& a) { return ternary_in_place(TernaryOp::addcmul, a, a.number(3).value()); },
        "In place: self + value * tensor1 * tensor2."),
    def(
        "addcdiv_(Tensor self, Tensor tensor1, Tensor tensor2, *, number value=1)", kMethod,
        [](Args& a) { return ternary_in_place(TernaryOp::addcdiv, a, a.number(3).value()); },
        "In place: self + value * tensor1 / tensor2."),
    def(
        "lerp_(Tensor self, Tensor end, operand weight)", kMethod,
        [](Args& a) { return ternary_in_place(TernaryOp::lerp, a, 0); },
        "In place: self + weight * (end - self)."),
    def(
        "logit_(Tensor self, float? eps=None)", kMethod,
        [](Args& a) {
          const auto eps = a.has(1) ? std::optional(a.real(1)) : std::nullopt;
          return rewrite("logit_", a, recording(a.tensor(0)),
                         [eps](const Tensor& x) { return ops::logit(x, eps); });
        },
        "In place: log(x / (1 - x)) of each element x."),
    def(
        "nan_to_num_(Tensor self, float nan=0, float? posinf=None, float? neginf=None)", kMethod,
        [](Args& a) {
          const auto real = [&](int i) {
            return a.has(i) ? std::optional(a.real(i)) : std::nullopt;
          };
          return rewrite("nan_to_num_", a, recording(a.tensor(0)), [&](const Tensor& x) {
            return ops::nan_to_num(x, a.real(1), real(2), real(3));
          });
        },
        "In place: NaN and infinities replaced."),
    def(
        "add_(Tensor self, operand other, *, number alpha=1)", kMethod,
        [](Args& a) { return scaled_in_place(BinaryOp::add, a); },
        "In place: self + alpha * other."),
    def(
        "sub_(Tensor self, operand other, *, number alpha=1)", kMethod,
        [](Args& a) { return scaled_in_place(BinaryOp::sub, a); },
        "In place: self - alpha * other."),
    def(
        "div_(Tensor self, operand other, *, str? rounding_mode=None)", kMethod,
        [](Args& a) {
          ops::binary_(division(a.has(2) ? a.text(2) : nullptr), a.tensor(0), a.tensor(1));
          return a.tensor(0);
        },
        "In place: self / other, rounded if `rounding_mode` is 'floor' or 'trunc'."),
    def(
        "copy_(Tensor self, Tensor src, bool non_blocking=False)", kMethod,
        [](Args& a) {
          ops::copy_(a.tensor(0), a.tensor(1));
          return a.tensor(0);
        },
        "Write the elements of `src`, broadcast and cast."),
    def(
        "fill_(Tensor self, number value)", kMethod,
        [](Args& a) {
          ops::fill_(a.tensor(0), a.number(1));
          return a.tensor(0);
        },
        "Write one value everywhere."),
    def(
        "zero_(Tensor self)", kMethod,
        [](Args& a) {
          ops::fill_(a.tensor(0), Scalar(0));
          return a.tensor(0);
        },
        "Write zeros."),
    def(
        "masked_fill_(Tensor self, Tensor mask, operand value)", kMethod,
        [](Args& a) {
          ops::masked_fill_(a.tensor(0), a.tensor(1), a.tensor(2));
          return a.tensor(0);
        },
        "Write `value` where the mask is true."),
    def(
        "clamp_(Tensor self, operand? min=None, operand? max=None)", kMethod,
        [](Args& a) {
          const Tensor &low = a.tensor(1), &high = a.tensor(2);
          return rewrite("clamp_", a, recording(a.tensor(0), low, high),
                         [&](const Tensor& x) { return ops::clamp(x, low, high); });
        },
        "In place: each element, moved into [min, max]."),
};

}  // namespace

void bind_inplace() { bind<kDefs>(); }

}  // namespace lamina::bindings
