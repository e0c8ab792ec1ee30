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

void raw_copy(const Tensor& self, const Tensor& src) {
  call<&DeviceApi::copy>(self.device(), "copy_", self, src);
}

// Runs `direct()` when nothing is recorded, else `functional()` and takes over its history.
template <class Direct, class Functional>
void write(const char* op, const Tensor& self, bool records, Direct&& direct,
           Functional&& functional) {
  check_writable(op, self, records);
  if (!records) {
    direct();
    wrote(op, self);
    return;
  }
  // The functional form may save `self`, which is about to change: let it see a copy with the same
  // history.
  const Tensor before = clone(self);
  const Tensor result = functional(before);
  raw_copy(self, result);
  wrote(op, self, result);
}

}  // namespace

void unary_(UnaryOp op, const Tensor& self, Params p) {
  const RowInfo& row = info(op);
  check_result_dtype(row.name, row_dtype(row, self.dtype()), self);
  write(
      row.name, self, recording(self),
      [&] { call<&DeviceApi::unary>(self.device(), row.name, op, self, self, p); },
      [&](const Tensor& x) { return unary(op, x, p); });
}

void binary_(BinaryOp op, const Tensor& self, const Tensor& other) {
  const RowInfo& row = info(op);
  check_same_device(row.name, self, other);
  check<ValueError>(can_broadcast_to(other.sizes(), self.sizes()), row.name,
                    "_: the operand does not broadcast to the tensor that is written",
                    line("tensor", self), line("operand", other));
  const DType result = row_dtype(row, result_type(self, other));
  check_result_dtype(row.name, result, self);
  check_integer_power(op, result, other);
  const bool direct = result == self.dtype();
  if (!direct && !recording(self, other)) {  // computed in the wider dtype, then narrowed
    check_writable(row.name, self, false);
    raw_copy(self, binary(op, self, other));
    wrote(row.name, self);
    return;
  }
  write(
      row.name, self, recording(self, other),
      [&] {
        call<&DeviceApi::binary>(self.device(), row.name, op, self, self, at(other, self.device()));
      },
      [&](const Tensor& x) { return to(binary(op, x, other), self.dtype()); });
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

void masked_fill_(const Tensor& self, const Tensor& mask, Scalar value) {
  write(
      "masked_fill_", self, recording(self),
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
  check_integer_power(op, dtype, y);
  check_no_history(row.name, recording(x, y, out));
  check_out(row.name, out, broadcast_sizes(row.name, x.sizes(), y.sizes()), dtype);
  check_writable(row.name, out, false);
  const Device device = out.device();
  call<&DeviceApi::binary>(device, row.name, op, out, at(x, device), at(y, device));
  wrote(row.name, out);
}

}  // namespace lamina::ops
