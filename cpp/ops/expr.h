// Whole tensors in the vocabulary of pointwise.h's rows, so that a row's derivative is also an
// expression of recorded ops: that is how second derivatives come about.
#pragma once

#include <utility>

#include "ops/ops.h"

namespace lamina::ops {

// A tensor or a number.
class Expr {
 public:
  Expr(Tensor t) : tensor_(std::move(t)) {}
  explicit Expr(double number) : number_(number) {}

  bool is_number() const { return !tensor_.defined(); }
  double number() const { return number_; }
  Tensor operand() const { return is_number() ? scalar(number_) : tensor_; }
  // The value as a tensor of the sizes and dtype of `like`.
  Tensor as(const Tensor& like) const {
    if (!is_number()) return tensor_;
    return full(like.sizes(), number_, like.dtype(), like.device());
  }

 private:
  Tensor tensor_;
  double number_ = 0;
};

// A bool tensor; its own type, as a SIMD mask has.
struct ExprMask {
  Tensor tensor;
};

#define LAMINA_EXPR_BINARY(symbol, op)                                             \
  inline Expr operator symbol(const Expr& x, const Expr& y) {                      \
    if (x.is_number() && y.is_number()) return Expr(x.number() symbol y.number()); \
    return binary(BinaryOp::op, x.operand(), y.operand());                         \
  }
LAMINA_EXPR_BINARY(+, add)
LAMINA_EXPR_BINARY(-, sub)
LAMINA_EXPR_BINARY(*, mul)
LAMINA_EXPR_BINARY(/, div)
#undef LAMINA_EXPR_BINARY

inline Expr operator-(const Expr& x) {
  return x.is_number() ? Expr(-x.number()) : Expr(unary(UnaryOp::neg, x.operand()));
}
#define LAMINA_EXPR_BINARY(name)                             \
  inline Expr name(const Expr& x, const Expr& y) {           \
    return binary(BinaryOp::name, x.operand(), y.operand()); \
  }
LAMINA_EXPR_BINARY(pow)
LAMINA_EXPR_BINARY(maximum)
LAMINA_EXPR_BINARY(minimum)
LAMINA_EXPR_BINARY(hypot)
LAMINA_EXPR_BINARY(floor_divide)
LAMINA_EXPR_BINARY(div_trunc)
#undef LAMINA_EXPR_BINARY

#define LAMINA_EXPR_COMPARE(symbol, op)                           \
  inline ExprMask operator symbol(const Expr& x, const Expr& y) { \
    return {compare(CompareOp::op, x.operand(), y.operand())};    \
  }
LAMINA_EXPR_COMPARE(==, eq)
LAMINA_EXPR_COMPARE(<=, le)
LAMINA_EXPR_COMPARE(>=, ge)
LAMINA_EXPR_COMPARE(<, lt)
LAMINA_EXPR_COMPARE(>, gt)
#undef LAMINA_EXPR_COMPARE

inline Expr select(const ExprMask& mask, const Expr& x, const Expr& y) {
  return where(mask.tensor, x.operand(), y.operand());
}

#define LAMINA_EXPR_UNARY(name) \
  inline Expr name(const Expr& x) { return unary(UnaryOp::name, x.operand()); }
LAMINA_EXPR_UNARY(abs)
LAMINA_EXPR_UNARY(sign)
LAMINA_EXPR_UNARY(sqrt)
LAMINA_EXPR_UNARY(exp)
LAMINA_EXPR_UNARY(log)
LAMINA_EXPR_UNARY(log1p)
LAMINA_EXPR_UNARY(round)
LAMINA_EXPR_UNARY(sin)
LAMINA_EXPR_UNARY(cos)
LAMINA_EXPR_UNARY(sinh)
LAMINA_EXPR_UNARY(cosh)
LAMINA_EXPR_UNARY(tanh)
LAMINA_EXPR_UNARY(sigmoid)
LAMINA_EXPR_UNARY(erf)
#undef LAMINA_EXPR_UNARY

#define LAMINA_EXPR_TERNARY(name)                                           \
  inline Expr name(const Expr& x, const Expr& y, const Expr& z) {           \
    return ternary(TernaryOp::name, x.operand(), y.operand(), z.operand()); \
  }
LAMINA_EXPR_TERNARY(prelu_grad)
LAMINA_EXPR_TERNARY(binary_cross_entropy_grad)
LAMINA_EXPR_TERNARY(logit_entropy_grad)
#undef LAMINA_EXPR_TERNARY

// In one op, with slope 1 at 0.
inline Expr nonpositive(const Expr& x) {
  return binary(BinaryOp::clamp_max, x.operand(), scalar(0.0));
}

// Phi(x) + x phi(x), the normal distribution's functions.
inline Expr gelu_grad(const Expr& x) {
  const Expr half(0.5);
  return half + half * erf(x * Expr(0.7071067811865476)) +
         x * Expr(0.3989422804014327) * exp(Expr(-0.5) * x * x);
}
// Of 0.5 x (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x^3).
inline Expr gelu_tanh_grad(const Expr& x) {
  const Expr one(1), half(0.5), c(0.7978845608028654);
  const Expr t = tanh(c * (x + Expr(0.044715) * x * x * x));
  return half * (one + t) + half * x * (one - t * t) * c * (one + Expr(0.134145) * x * x);
}

}  // namespace lamina::ops
