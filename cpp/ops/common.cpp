#include "ops/common.h"

namespace lamina::ops {

void check_same_device(const char* op, const Tensor& x, const Tensor& y) {
  check<ValueError>(x.device() == y.device() || movable(x) || movable(y), op,
                    ": tensors on two devices", line("first", x), line("second", y),
                    line("fix", "move one with .to(device)"));
}

void check_floating(const char* op, const char* what, const Tensor& x) {
  check<TypeError>(is_floating(x.dtype()), op, ": ", what, " must be float32 or float64, got ",
                   x.dtype(), line(what, x));
}

void check_operands(const char* op, const Tensor& a, const Tensor& b) {
  check_floating(op, "first", a);
  check<TypeError>(a.dtype() == b.dtype(), op, ": both operands must have one dtype, got ",
                   a.dtype(), " and ", b.dtype());
  check<ValueError>(a.device() == b.device(), op, ": tensors on two devices", line("first", a),
                    line("second", b));
}

DType row_dtype(const RowInfo& row, DType operand) {
  check<TypeError>(row.rule != Rule::Number || operand != DType::Bool, row.name,
                   ": not defined for bool; convert it first, or use logical ops");
  return row.rule == Rule::Float && !is_floating(operand) ? default_dtype() : operand;
}

void check_integer_power(BinaryOp op, DType dtype, const Tensor& exponent) {
  if (op != BinaryOp::pow || is_floating(dtype) || exponent.numel() == 0) return;
  const Tensor negative = any(lt(exponent, scalar(0)));
  bool is_negative = false;
  call<&DeviceApi::to_host>(negative.device(), "pow", static_cast<void*>(&is_negative), negative);
  check<ValueError>(!is_negative,
                    "pow: integers to negative integer powers are not allowed; "
                    "convert the base to a float dtype");
}

Tensor overwritten(const char* op, const Tensor& self) {
  if (!recording(self)) return {};
  Tensor history = alias(self);
  record(op, {history}, {self}, [](Backward& b) { b.set(0, zeros_like(b.grad())); });
  return history;
}

DimSet dim_set(const char* op, const Tensor& x, IntList dims) {
  DimSet set;
  for (const int64_t d : dims) {
    const int i = wrap_dim(op, d, x.rank());
    check<ValueError>(!set.has[i], op, ": dim ", d, " appears twice in ", dims);
    set.has[i] = true;
  }
  for (int i = 0; i < x.rank(); ++i) {
    if (dims.empty()) set.has[i] = true;
    set.keep.push_back(set.has[i] ? 1 : x.size(i));
    if (set.has[i]) {
      set.dims.push_back(i);
      set.count *= x.size(i);
    } else {
      set.squeezed.push_back(x.size(i));
    }
  }
  return set;
}

}  // namespace lamina::ops
