// Pointwise ops: the rows of pointwise.h, with autograd around them.
#include <cmath>

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
  const RowInfo& row = info(op);
  check_same_device(row.name, x, y);
  const DType dtype = row_dtype(row, result_type(x, y));
  check_integer_power(op, dtype, y);
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
               return to(sum_to(derivative[i](g, x_.defined() ? Expr(x_) : Expr(0.0),
                                              y_.defined() ? Expr(y_) : Expr(0.0))
                                    .as(g),
                                sizes),
                         dtype_);
             };
             if (b.needs(0)) b.set(0, gradient(0, sx, dx));
             if (b.needs(1)) b.set(1, gradient(1, sy, dy));
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

namespace {

// Where x is to become the limit. A limit that is NaN is past everything, as in PyTorch.
Tensor beyond(CompareOp op, const Tensor& x, const Tensor& limit) {
  const Tensor past = compare(op, x, limit);
  const bool is_number = limit.impl()->wrapped_number && limit.device().is_cpu();
  if (!is_floating(limit.dtype()) || (is_number && !std::isnan(*limit.as<double>()))) return past;
  return logical_or(past, isnan(limit));
}

}  // namespace

Tensor clamp(const Tensor& x, const Tensor& low, const Tensor& high) {
  check<ValueError>(low.defined() || high.defined(), "clamp: needs min, max or both");
  // Composed of selects, so that at a limit the whole gradient goes to x, and NaN stays NaN.
  Tensor y = x;
  if (low.defined()) y = where(beyond(CompareOp::lt, y, low), low, y);
  if (high.defined()) y = where(beyond(CompareOp::gt, y, high), high, y);
  return y;
}

Tensor logical_not(const Tensor& x) { return eq(x, scalar(false)); }
Tensor logical_and(const Tensor& x, const Tensor& y) {
  return mul(to(x, DType::Bool), to(y, DType::Bool));
}
Tensor logical_or(const Tensor& x, const Tensor& y) {
  return maximum(to(x, DType::Bool), to(y, DType::Bool));
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

DType result_type(const Tensor& x, const Tensor& y) {
  // Tensors with dimensions go first, then 0-d tensors, then Python numbers; a lower rank counts
  // only when its kind (bool < integer < float) is higher.
  const auto rank = [](const Tensor& t) {
    return t.impl()->wrapped_number ? 0 : t.rank() == 0 ? 1 : 2;
  };
  const auto kind = [](DType t) { return is_floating(t) ? 2 : t == DType::Bool ? 0 : 1; };
  const int rx = rank(x);
  const int ry = rank(y);
  if (rx == ry) return promote(x.dtype(), y.dtype());
  const DType strong = rx > ry ? x.dtype() : y.dtype();
  const DType weak = rx > ry ? y.dtype() : x.dtype();
  if (kind(weak) <= kind(strong)) return strong;
  // A Python float beside integers gives the default float dtype, not its own float64.
  const bool number = std::min(rx, ry) == 0;
  return number && kind(weak) == 2 ? default_dtype() : weak;
}

}  // namespace lamina::ops
