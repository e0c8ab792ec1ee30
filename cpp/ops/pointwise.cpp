// Pointwise ops: the rows of pointwise.h, with autograd around them.
#include <array>
#include <cmath>
#include <initializer_list>

#include "ops/common.h"
#include "ops/expr.h"
#include "ops/ops.h"

namespace lamina::ops {
namespace {

// The derivative rows over tensors.
using UnaryDerivative = Expr (*)(Expr g, Expr saved, Expr a, Expr b);
using BinaryDerivative = Expr (*)(Expr g, Expr x, Expr y);

constexpr UnaryDerivative kUnaryDerivative[] = {
#define LAMINA_ROW(name, ...) rows::name##_row::backward<Expr>,
    LAMINA_UNARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
};
constexpr BinaryDerivative kBinaryDerivative[][2] = {
#define LAMINA_ROW(name, ...) {rows::name##_row::gx<Expr>, rows::name##_row::gy<Expr>},
    LAMINA_BINARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
};

using TernaryDerivative = Expr (*)(Expr g, Expr x, Expr y, Expr z, Expr a);
constexpr TernaryDerivative kTernaryDerivative[][3] = {
#define LAMINA_ROW(name, ...) \
  {rows::name##_row::gx<Expr>, rows::name##_row::gy<Expr>, rows::name##_row::gz<Expr>},
    LAMINA_TERNARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
};

// A saved operand, or a number in place of one that the derivative does not read.
Expr operand(const Tensor& saved) { return saved.defined() ? Expr(saved) : Expr(0.0); }

}  // namespace

Tensor unary_backward(UnaryOp op, const Tensor& g, const Tensor& saved, Params p) {
  if (grad_enabled()) {
    const Expr out = kUnaryDerivative[static_cast<int>(op)](g, saved, Expr(p.a), Expr(p.b));
    return out.as(g);
  }
  Tensor dx = empty_like(g);
  call<&DeviceApi::unary_backward>(g.device(), info(op).name, op, dx, g, saved, p);
  return dx;
}

Tensor unary(UnaryOp op, const Tensor& x, Params p) {
  const RowInfo& row = info(op);
  Tensor y = empty_like(x, row_dtype(row, x.dtype()));
  call<&DeviceApi::unary>(x.device(), row.name, op, y, x, p);
  if (recording(x)) {
    Saved saved = row.saves == Saves::Input    ? Saved::input(x)
                  : row.saves == Saves::Output ? Saved::output(y)
                                               : Saved();
    record(row.name, {y}, {x}, [op, p, saved = std::move(saved)](Backward& b) {
      const Tensor& g = b.grad();
      b.set(0, unary_backward(op, g, saved.defined() ? b(saved) : g, p));
    });
  }
  return y;
}

Tensor binary(BinaryOp op, const Tensor& x, const Tensor& y) {
  if (op == BinaryOp::pow)
    if (const auto number = power_row(x, y)) return unary(number->op, x, number->params);
  const RowInfo& row = info(op);
  check_same_device(row.name, x, y);
  const DType dtype = row_dtype(row, result_type(x, y));
  check_integer_operand(op, row.name, dtype, y);
  const Device device = common_device(x, y);
  Tensor out = empty(broadcast_sizes(row.name, x.sizes(), y.sizes()), dtype, device);
  call<&DeviceApi::binary>(device, row.name, op, out, at(x, device), at(y, device));
  if (recording(x, y)) {
    const bool wx = requires_grad(x);
    const bool wy = requires_grad(y);
    const unsigned reads = (wx ? row.gx_saves : 0) | (wy ? row.gy_saves : 0);
    record(row.name, {out}, {x, y},
           [op, sx = x.sizes(), sy = y.sizes(), dx = x.dtype(), dy = y.dtype(),
            saved_x = reads & kX ? Saved::input(x) : Saved(),
            saved_y = reads & kY ? Saved::input(y) : Saved()](Backward& b) {
             const Tensor& g = b.grad();
             const Tensor x_ = b(saved_x);
             const Tensor y_ = b(saved_y);
             const auto& derivative = kBinaryDerivative[static_cast<int>(op)];
             const auto gradient = [&](int i, const Dims& sizes, DType dtype_) {
               return to(sum_to(derivative[i](g, operand(x_), operand(y_)).as(g), sizes), dtype_);
             };
             if (b.needs(0)) b.set(0, gradient(0, sx, dx));
             if (b.needs(1)) b.set(1, gradient(1, sy, dy));
           });
  }
  return out;
}

Tensor ternary(TernaryOp op, const Tensor& x, const Tensor& y, const Tensor& z, Params p) {
  const RowInfo& row = info(op);
  check_same_device(row.name, x, y);
  check_same_device(row.name, x, z);
  check_same_device(row.name, y, z);
  const DType dtype = row_dtype(row, result_type(x, y, z));
  const Device device = x.device().is_cpu() ? common_device(y, z) : x.device();
  const Dims sizes =
      broadcast_sizes(row.name, x.sizes(), broadcast_sizes(row.name, y.sizes(), z.sizes()));
  Tensor out = empty(sizes, dtype, device);
  call<&DeviceApi::ternary>(device, row.name, op, out, at(x, device), at(y, device), at(z, device),
                            p);
  if (recording(x, y, z)) {
    const unsigned reads = (requires_grad(x) ? row.gx_saves : 0) |
                           (requires_grad(y) ? row.gy_saves : 0) |
                           (requires_grad(z) ? row.gz_saves : 0);
    const auto saved = [reads](unsigned which, const Tensor& t) {
      return reads & which ? Saved::input(t) : Saved();
    };
    record(row.name, {out}, {x, y, z},
           [op, a = p.a, sizes_of = std::array{x.sizes(), y.sizes(), z.sizes()},
            dtypes = std::array{x.dtype(), y.dtype(), z.dtype()}, sx = saved(kX, x),
            sy = saved(kY, y), sz = saved(kZ, z)](Backward& b) {
             const Tensor& g = b.grad();
             const Tensor x_ = b(sx), y_ = b(sy), z_ = b(sz);
             for (int i = 0; i < 3; ++i) {
               if (!b.needs(i)) continue;
               const auto k = static_cast<size_t>(i);
               const Expr gradient = kTernaryDerivative[static_cast<int>(op)][i](
                   g, operand(x_), operand(y_), operand(z_), Expr(a));
               b.set(i, to(sum_to(gradient.as(g), sizes_of[k]), dtypes[k]));
             }
           });
  }
  return out;
}

Tensor compare(CompareOp op, const Tensor& x, const Tensor& y) {
  const char* name = name_of(op);
  check_same_device(name, x, y);
  const Device device = common_device(x, y);
  Tensor out = empty(broadcast_sizes(name, x.sizes(), y.sizes()), DType::Bool, device);
  call<&DeviceApi::compare>(device, name, op, out, at(x, device), at(y, device), result_type(x, y));
  return out;
}

Tensor leaky_relu(const Tensor& x, double negative_slope) {
  return unary(UnaryOp::leaky_relu, x, {negative_slope, 0});
}

Tensor where(const Tensor& cond, const Tensor& x, const Tensor& y) {
  check<TypeError>(cond.dtype() == DType::Bool, "where: the condition must be bool, got ",
                   cond.dtype());
  check_same_device("where", x, y);
  const Device device = cond.device();
  const DType dtype = result_type(x, y);
  const Dims sizes =
      broadcast_sizes("where", cond.sizes(), broadcast_sizes("where", x.sizes(), y.sizes()));
  Tensor out = empty(sizes, dtype, device);
  call<&DeviceApi::where>(device, "where", out, cond, at(x, device), at(y, device));
  if (recording(x, y))
    record("where", {out}, {x, y},
           [cond = Saved::input(cond), sx = x.sizes(), sy = y.sizes(), dx = x.dtype(),
            dy = y.dtype()](Backward& b) {
             const Tensor c = b(cond);
             const Tensor zero = scalar(0.0);
             if (b.needs(0)) b.set(0, to(sum_to(where(c, b.grad(), zero), sx), dx));
             if (b.needs(1)) b.set(1, to(sum_to(where(c, zero, b.grad()), sy), dy));
           });
  return out;
}

Tensor clamp(const Tensor& x, const Tensor& low, const Tensor& high) {
  check<ValueError>(low.defined() || high.defined(), "clamp: needs min, max or both");
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const auto a = low.defined() ? number_of(low) : -kInfinity;
  const auto b = high.defined() ? number_of(high) : kInfinity;
  if (a && b && is_floating(x.dtype())) return unary(UnaryOp::clamp, x, {*a, *b});
  Tensor y = x;
  if (low.defined()) y = clamp_min(y, low);
  if (high.defined()) y = clamp_max(y, high);
  return y;
}

Tensor nan_to_num(const Tensor& x, double nan, std::optional<double> posinf,
                  std::optional<double> neginf) {
  if (!is_floating(x.dtype())) return clone(x);
  const double largest = x.dtype() == DType::Float32 ? std::numeric_limits<float>::max()
                                                     : std::numeric_limits<double>::max();
  const Tensor infinity = scalar(std::numeric_limits<double>::infinity());
  const Tensor y = where(isnan(x), scalar(nan), x);
  const Tensor z = where(eq(x, infinity), scalar(posinf.value_or(largest)), y);
  return where(eq(x, neg(infinity)), scalar(neginf.value_or(-largest)), z);
}

Tensor logit(const Tensor& x, std::optional<double> eps) {
  if (!eps || *eps < 0) return logit(x);
  return logit(clamp(x, scalar(*eps), scalar(1 - *eps)));
}

Tensor logical_not(const Tensor& x) { return eq(x, scalar(false)); }
Tensor logical_and(const Tensor& x, const Tensor& y) {
  return mul(to(x, DType::Bool), to(y, DType::Bool));
}
Tensor logical_or(const Tensor& x, const Tensor& y) {
  return maximum(to(x, DType::Bool), to(y, DType::Bool));
}

namespace {

// What every bit is flipped with.
Tensor all_bits(const char* op, const Tensor& x) {
  check<TypeError>(!is_floating(x.dtype()), op, ": only for bool and integer tensors, got ",
                   x.dtype());
  return x.dtype() == DType::Bool ? scalar(true) : scalar(-1);
}

}  // namespace

Tensor bitwise_not(const Tensor& x) { return bitwise_xor(x, all_bits("bitwise_not", x)); }
void bitwise_not_(const Tensor& self) {
  binary_(BinaryOp::bitwise_xor, self, all_bits("bitwise_not_", self));
}

Tensor logical_xor(const Tensor& x, const Tensor& y) {
  return ne(to(x, DType::Bool), to(y, DType::Bool));
}

Tensor isnan(const Tensor& x) { return ne(x, x); }
Tensor isinf(const Tensor& x) {
  if (!is_floating(x.dtype())) return zeros_like(x, DType::Bool);
  return eq(abs(detach(x)), scalar(std::numeric_limits<double>::infinity()));
}
Tensor isfinite(const Tensor& x) {
  if (!is_floating(x.dtype())) return ones_like(x, DType::Bool);
  return lt(abs(detach(x)), scalar(std::numeric_limits<double>::infinity()));
}

Tensor to(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  Tensor y = empty_like(x, dtype);
  call<&DeviceApi::copy>(x.device(), "to", y, x);
  if (recording(x) && is_floating(dtype))
    record("to", {y}, {x}, [from = x.dtype()](Backward& b) { b.set(0, to(b.grad(), from)); });
  return y;
}

Tensor to(const Tensor& x, Device device) {
  if (x.device() == device) return x;
  const Tensor source = contiguous(x);
  Tensor y = empty(x.sizes(), x.dtype(), device);
  if (device.is_cpu()) {
    call<&DeviceApi::to_host>(x.device(), "to", y.data(), source);
  } else {
    check<NotImplementedError>(x.device().is_cpu(),
                               "to: copies between CUDA devices go through "
                               "the CPU; call .cpu() first");
    call<&DeviceApi::from_host>(device, "to", y, source.data());
  }
  if (recording(x))
    record("to", {y}, {x}, [from = x.device()](Backward& b) { b.set(0, to(b.grad(), from)); });
  return y;
}

namespace {

// Tensors with dimensions go first, then 0-d tensors, then Python numbers; a lower rank counts only
// when its kind (bool < integer < float) is higher.
int rank_of(const Tensor& t) { return t.impl()->wrapped_number ? 0 : t.rank() == 0 ? 1 : 2; }
int kind_of(DType t) { return is_floating(t) ? 2 : t == DType::Bool ? 0 : 1; }

DType promoted(DType strong, DType weak, bool number) {
  if (kind_of(weak) <= kind_of(strong)) return strong;
  // A Python float beside integers gives the default float dtype, not its own float64.
  return number && kind_of(weak) == 2 ? default_dtype() : weak;
}

}  // namespace

DType result_type(const Tensor& x, const Tensor& y) {
  const int rx = rank_of(x);
  const int ry = rank_of(y);
  if (rx == ry) return promote(x.dtype(), y.dtype());
  return rx > ry ? promoted(x.dtype(), y.dtype(), ry == 0)
                 : promoted(y.dtype(), x.dtype(), rx == 0);
}

DType result_type(const Tensor& x, const Tensor& y, const Tensor& z) {
  std::optional<DType> of_rank[3];
  for (const Tensor* t : {&x, &y, &z}) {
    std::optional<DType>& of = of_rank[rank_of(*t)];
    of = of ? promote(*of, t->dtype()) : t->dtype();
  }
  std::optional<DType> result;
  for (int rank = 2; rank >= 0; --rank)
    if (of_rank[rank])
      result = result ? promoted(*result, *of_rank[rank], rank == 0) : *of_rank[rank];
  return *result;
}

}  // namespace lamina::ops
