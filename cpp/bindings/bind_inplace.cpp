// Methods that write into their tensor and return it.

#include "bindings/args.h"
#include "bindings/bind.h"
#include "bindings/composite.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

// Rows with arguments of their own are bound further down; others have no such method in PyTorch.
constexpr unsigned where_of(std::string_view row) {
  const bool other = is_one_of(row, {"add", "sub", "div", "leaky_relu", "gelu", "gelu_tanh", "silu",
                                     "softplus", "maximum", "minimum"});
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

constexpr Def kDefs[] = {
#define ROW(name, rule, saves, forward, backward) \
  def(                                            \
      #name "_(Tensor self)", where_of(#name),    \
      [](Args& a) {                               \
        ops::unary_(UnaryOp::name, a.tensor(0));  \
        return a.tensor(0);                       \
      },                                          \
      "In place: " #forward " of each element x."),
    LAMINA_UNARY_ROWS(ROW)
#undef ROW
#define ROW(name, rule, forward, ...)                           \
  def(                                                          \
      #name "_(Tensor self, operand other)", where_of(#name),   \
      [](Args& a) {                                             \
        ops::binary_(BinaryOp::name, a.tensor(0), a.tensor(1)); \
        return a.tensor(0);                                     \
      },                                                        \
      "In place: " #forward " of each element x and y, that of `other`."),
        LAMINA_BINARY_ROWS(ROW)
#undef ROW
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
          if (a.has(2))
            return rewrite(a.tensor(0), recording(a.tensor(0), a.tensor(1)),
                           [&](const Tensor& x) { return divide(x, a.tensor(1), a.text(2)); });
          ops::binary_(BinaryOp::div, a.tensor(0), a.tensor(1));
          return a.tensor(0);
        },
        "In place: self / other."),
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
        "masked_fill_(Tensor self, Tensor mask, number value)", kMethod,
        [](Args& a) {
          ops::masked_fill_(a.tensor(0), a.tensor(1), a.number(2));
          return a.tensor(0);
        },
        "Write `value` where the mask is true."),
#define CLAMP(name)                                                                \
  def(                                                                             \
      name "(Tensor self, operand? min=None, operand? max=None)", kMethod,         \
      [](Args& a) {                                                                \
        const Tensor &low = a.tensor(1), &high = a.tensor(2);                      \
        return rewrite(a.tensor(0), recording(a.tensor(0), low, high),             \
                       [&](const Tensor& x) { return ops::clamp(x, low, high); }); \
      },                                                                           \
      "In place: each element, moved into [min, max].")
    CLAMP("clamp_"),
    CLAMP("clip_"),
#undef CLAMP
    def(
        "uniform_(Tensor self, float from=0, float to=1)", kMethod,
        [](Args& a) {
          ops::uniform_(a.tensor(0), a.real(1), a.real(2));
          return a.tensor(0);
        },
        "Write uniform random numbers from [from, to)."),
    def(
        "normal_(Tensor self, float mean=0, float std=1)", kMethod,
        [](Args& a) {
          ops::normal_(a.tensor(0), a.real(1), a.real(2));
          return a.tensor(0);
        },
        "Write normal random numbers."),
    def(
        "bernoulli_(Tensor self, float p=0.5)", kMethod,
        [](Args& a) {
          ops::bernoulli_(a.tensor(0), a.real(1));
          return a.tensor(0);
        },
        "Write 1 with probability p, else 0."),
};

}  // namespace

void bind_inplace() { bind<kDefs>(); }

}  // namespace lamina::bindings
