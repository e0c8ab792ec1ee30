// Writing into a tensor that exists.
//
// Where no gradient is recorded the kernel writes straight into it. Where one is, the op runs out
// of place, is copied over, and hands its history on: so an in-place form has the gradient of its
// out-of-place form by construction, and what that saved is never what was overwritten.
#include "ops/common.h"

namespace lamina::ops {
namespace {

void check_result_dtype(const char* op, DType result, const Tensor& self) {
  const auto kind = [](DType t) { return is_floating(t) ? 2 : t == DType::Bool ? 0 : 1; };
  check<TypeError>(kind(result) <= kind(self.dtype()), op, ": the result is ", result,
                   " and can't be written into a tensor of ", self.dtype());
}

// What an in-place row shares: computed straight into `self` where the result has its dtype,
// otherwise in the wider dtype and narrowed.
template <class Direct, class Functional>
void write_row(const RowInfo& row, const Tensor& self, DType result, bool records, Direct&& direct,
               Functional&& functional) {
  check_result_dtype(row.in_place, result, self);
  if (result != self.dtype() && !records) {
    check_writable(row.in_place, self, false);
    raw_copy(self, functional(self));
    wrote(row.in_place, self);
    return;
  }
  write(row.in_place, self, records, direct,
        [&](const Tensor& x) { return to(functional(x), self.dtype()); });
}

void check_operand(const RowInfo& row, const Tensor& self, const Tensor& other) {
  check_same_device(row.in_place, self, other);
  check<ValueError>(can_broadcast_to(other.sizes(), self.sizes()), row.in_place,
                    ": the operand does not broadcast to the tensor that is written",
                    line("tensor", self), line("operand", other));
}

}  // namespace

void unary_(UnaryOp op, const Tensor& self, Params p) {
  const RowInfo& row = info(op);
  const DType result = row_dtype(row, self.dtype(), true);
  write_row(
      row, self, result, recording(self),
      [&] { call<&DeviceApi::unary>(self.device(), row.in_place, op, self, self, p); },
      [&](const Tensor& x) { return unary(op, x, p); });
}

void binary_(BinaryOp op, const Tensor& self, const Tensor& other) {
  const RowInfo& row = info(op);
  check_operand(row, self, other);
  const DType result = row_dtype(row, result_type(self, other), true);
  check_integer_operand(op, row.in_place, result, other);
  const Device device = self.device();
  const auto direct = [&] {
    if (const auto number = op == BinaryOp::pow ? power_row(self, other) : std::nullopt)
      return call<&DeviceApi::unary>(device, row.in_place, number->op, self, self, number->params);
    call<&DeviceApi::binary>(device, row.in_place, op, self, self, at(other, device));
  };
  write_row(row, self, result, recording(self, other), direct,
            [&](const Tensor& x) { return binary(op, x, other); });
}

void ternary_(TernaryOp op, const Tensor& self, const Tensor& y, const Tensor& z, Params p) {
  const RowInfo& row = info(op);
  check_operand(row, self, y);
  check_operand(row, self, z);
  const DType result = row_dtype(row, result_type(self, y, z), true);
  const Device device = self.device();
  write_row(
      row, self, result, recording(self, y, z),
      [&] {
        call<&DeviceApi::ternary>(device, row.in_place, op, self, self, at(y, device),
                                  at(z, device), p);
      },
      [&](const Tensor& x) { return ternary(op, x, y, z, p); });
}

void copy_(const Tensor& self, const Tensor& src) {
  check<ValueError>(can_broadcast_to(src.sizes(), self.sizes()),
                    "copy_: the source does not broadcast to the tensor that is written",
                    line("tensor", self), line("source", src));
  const bool records = recording(self, src);
  check_writable("copy_", self, records);
  raw_copy(self, at(src, self.device()));
  Tensor history;
  if (records) {
    history = alias(self);
    record("copy_", {history}, {self, src},
           [sizes = src.sizes(), dtype = src.dtype()](Backward& b) {
             if (b.needs(0)) b.set(0, zeros_like(b.grad()));
             if (b.needs(1)) b.set(1, to(sum_to(b.grad(), sizes), dtype));
           });
  }
  wrote("copy_", self, history);
}

void fill_(const Tensor& self, Scalar value) {
  check_writable("fill_", self, requires_grad(self));
  const bool exact = value.kind != Scalar::Kind::Int || std::abs(value.d) <= 0x1p53;
  if (exact)
    call<&DeviceApi::fill>(self.device(), "fill_", self, value.d);
  else
    raw_copy(self, at(scalar(value), self.device()));
  wrote("fill_", self, overwritten("fill_", self));
}

void masked_fill_(const Tensor& self, const Tensor& mask, const Tensor& value) {
  write(
      "masked_fill_", self, recording(self, value),
      [&] { raw_copy(self, masked_fill(self, mask, value)); },
      [&](const Tensor& x) { return masked_fill(x, mask, value); });
}

namespace {

void check_out(const char* op, const Tensor& out, const Dims& sizes, DType dtype) {
  check<ValueError>(out.sizes() == sizes, op, ": out has the wrong sizes", line("needs", sizes),
                    line("out", out));
  check_result_dtype(op, dtype, out);
}

void check_no_history(const char* op, bool records) {
  check<RuntimeError>(!records, op,
                      ": out= takes no part in gradients; call it under no_grad(), or "
                      "without out=");
}

}  // namespace

void unary_out(UnaryOp op, const Tensor& out, const Tensor& x, Params p) {
  const RowInfo& row = info(op);
  const DType dtype = row_dtype(row, x.dtype());
  check_no_history(row.name, recording(x, out));
  check_out(row.name, out, x.sizes(), dtype);
  check_writable(row.name, out, false);
  call<&DeviceApi::unary>(out.device(), row.name, op, out, x, p);
  wrote(row.name, out);
}

void binary_out(BinaryOp op, const Tensor& out, const Tensor& x, const Tensor& y) {
  const RowInfo& row = info(op);
  check_same_device(row.name, x, y);
  const DType dtype = row_dtype(row, result_type(x, y));
  check_integer_operand(op, row.name, dtype, y);
  check_no_history(row.name, recording(x, y, out));
  check_out(row.name, out, broadcast_sizes(row.name, x.sizes(), y.sizes()), dtype);
  check_writable(row.name, out, false);
  const Device device = out.device();
  if (const auto number = op == BinaryOp::pow ? power_row(x, y) : std::nullopt)
    call<&DeviceApi::unary>(device, row.name, number->op, out, x, number->params);
  else
    call<&DeviceApi::binary>(device, row.name, op, out, at(x, device), at(y, device));
  wrote(row.name, out);
}

void ternary_out(TernaryOp op, const Tensor& out, const Tensor& x, const Tensor& y, const Tensor& z,
                 Params p) {
  const RowInfo& row = info(op);
  check_same_device(row.name, x, y);
  check_same_device(row.name, x, z);
  check_no_history(row.name, recording(x, y, z, out));
  check_out(row.name, out,
            broadcast_sizes(row.name, x.sizes(), broadcast_sizes(row.name, y.sizes(), z.sizes())),
            row_dtype(row, result_type(x, y, z)));
  check_writable(row.name, out, false);
  const Device device = out.device();
  call<&DeviceApi::ternary>(device, row.name, op, out, at(x, device), at(y, device), at(z, device),
                            p);
  wrote(row.name, out);
}

void rewrite(const char* op, const Tensor& self, bool records,
             const std::function<Tensor(const Tensor&)>& functional) {
  const auto checked = [&](const Tensor& x) {
    const Tensor result = functional(x);
    check<ValueError>(result.sizes() == self.sizes(), op,
                      ": the result has other sizes than the tensor that is written",
                      line("tensor", self), line("result", result));
    check_result_dtype(op, result.dtype(), self);
    return to(result, self.dtype());
  };
  check_writable(op, self, records);
  const Tensor result = checked(records ? clone(self) : self);
  const Tensor constants = records && !requires_grad(result) ? overwritten(op, self) : result;
  raw_copy(self, result);
  wrote(op, self, constants);
}

void composite_out(const char* op, const Tensor& out, const Tensor& result) {
  check_no_history(op, recording(result, out));
  check_out(op, out, result.sizes(), result.dtype());
  check_writable(op, out, false);
  raw_copy(out, at(result, out.device()));
  wrote(op, out);
}

Tensor write_out(const char* op, const Tensor& out, const Tensor& result) {
  if (!out.defined()) return result;
  composite_out(op, out, result);
  return out;
}

}  // namespace lamina::ops
