// Checks and small helpers that the ops share.
#pragma once

#include <limits>

#include "ops/ops.h"

namespace lamina::ops {

// A number made from Python may meet a tensor on any device; two real tensors must share theirs.
inline bool movable(const Tensor& t) { return t.rank() == 0 && t.device().is_cpu(); }
inline Device common_device(const Tensor& x, const Tensor& y) {
  return x.device().is_cpu() ? y.device() : x.device();
}
// A number follows the tensors it meets.
inline Tensor at(const Tensor& t, Device device) {
  return t.device() == device ? t : to(t, device);
}
void check_same_device(const char* op, const Tensor& x, const Tensor& y);
void check_floating(const char* op, const char* what, const Tensor& x);
// A tensor that may be left out, as the device takes it.
inline TensorRef ref_or_none(const Tensor& t) { return t.defined() ? t.ref() : TensorRef{}; }
// The dtype of a row's result for an operand, or two promoted to one, of dtype `operand`.
DType row_dtype(const RowInfo& row, DType operand, bool in_place = false);
// The value of a tensor that was made from a Python int or float, and is still on the CPU.
std::optional<double> number_of(const Tensor& t);
// The row that computes x to the power of one number, where there is one: no general power where a
// product or a root does, and otherwise one whose derivative is a kernel.
struct PowerRow {
  UnaryOp op;
  Params params = {};
};
std::optional<PowerRow> power_row(const Tensor& x, const Tensor& exponent);
// What integers refuse: negative powers, and division by zero.
void check_integer_operand(BinaryOp op, const char* name, DType dtype, const Tensor& y);

// Of a product: floating, of one dtype, on one device.
void check_operands(const char* op, const Tensor& a, const Tensor& b);

// What a row's derivative makes of the gradient g, given what the row saves: fused by the device
// or, when a graph of it is being recorded, as an expression of ops.
Tensor unary_backward(UnaryOp op, const Tensor& g, const Tensor& saved, Params params = {});

// The history of a tensor whose every element was overwritten by constants: it had a gradient, so
// it keeps one, which is zero. Undefined when nothing is recorded.
Tensor overwritten(const char* op, const Tensor& self);

// The one element of a tensor of that dtype, fetched from where it lives.
template <class T>
T host_value(const char* op, const Tensor& t) {
  T value{};
  call<&DeviceApi::to_host>(t.device(), op, static_cast<void*>(&value), t);
  return value;
}
inline bool holds(const char* op, const Tensor& condition) {
  return host_value<bool>(op, all(condition));
}

// Zeros of the given sizes with g added at `index` along `dim`: the gradient of what was picked
// there.
Tensor put_along(const Dims& sizes, int dim, const Tensor& index, const Tensor& g);

inline void raw_copy(const Tensor& self, const Tensor& src) {
  call<&DeviceApi::copy>(self.device(), "copy_", self, src);
}

// Writing in place: runs `direct()` when nothing is recorded, else `functional()`, and takes over
// its history.
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

// -- a layer's op that applies an activation to its result --------------------------------------
//
// Where the derivative needs what the activation got, that is made first, in a tensor of its own
// (`before`), and the activation is a pass behind it.
inline bool needs_input(Activation act) {
  return act != Activation::None && info(row_of(act)).saves == Saves::Input;
}
// What backward needs of it; `before` is undefined where it was not made.
inline Saved kept_for(Activation act, const Tensor& before, const Tensor& result) {
  if (act == Activation::None) return {};
  return before.defined() ? Saved::input(before) : Saved::output(result);
}
// The gradient of what the activation got. A gradient of the gradient makes that again, by
// `again()`, so that it has a history.
template <class Again>
Tensor before_activation(Backward& b, Activation act, const Saved& kept, Again&& again) {
  if (act == Activation::None) return b.grad();
  return unary_backward(row_of(act), b.grad(),
                        grad_enabled() && needs_input(act) ? again() : b(kept));
}

// Integers that name positions along dimension `dim` of x, as int64 and checked; those below zero
// count from its end, where they may.
Tensor checked_positions(const char* op, const Tensor& index, const Tensor& x, int dim,
                         bool from_end);

// Sizes given by a caller, with -1 worked out and the number of elements checked.
Dims resolve_sizes(const char* op, const Tensor& x, IntList sizes);
// x with other sizes, as a view; undefined where that needs a copy.
Tensor try_view(const Tensor& x, const Dims& sizes);

// Dims given by a caller, wrapped, unique, as a mask over x's dimensions; all when empty.
struct DimSet {
  bool has[kMaxRank] = {};
  int64_t count = 1;  // elements in the reduced dimensions
  Dims dims;          // the reduced ones, ascending
  Dims keep;          // x's sizes with 1 in the reduced dimensions
  Dims squeezed;      // without them
};
DimSet dim_set(const char* op, const Tensor& x, IntList dims);

}  // namespace lamina::ops
