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

DType row_dtype(const RowInfo& row, DType operand, bool in_place) {
  const char* name = in_place ? row.in_place : row.name;
  const bool bool_refused = row.rule == Rule::Number || row.rule == Rule::Integer;
  check<TypeError>(!bool_refused || operand != DType::Bool, name,
                   ": not defined for bool; convert it first, or use logical ops");
  check<TypeError>(has_floats(row.rule) || !is_floating(operand), name, ": only for ",
                   row.rule == Rule::Bits ? "bool and integer" : "integer", " tensors, got ",
                   operand);
  return row.rule == Rule::Float && !is_floating(operand) ? default_dtype() : operand;
}

std::optional<double> number_of(const Tensor& t) {
  if (!t.impl()->wrapped_number || !t.device().is_cpu()) return std::nullopt;
  if (t.dtype() == DType::Float64) return *t.as<double>();
  if (t.dtype() == DType::Int64) return static_cast<double>(*t.as<int64_t>());
  return std::nullopt;
}

std::optional<PowerRow> power_row(const Tensor& x, const Tensor& exponent) {
  const auto p = number_of(exponent);
  const bool floating = is_floating(x.dtype());
  if (!p || x.dtype() == DType::Bool || (!floating && exponent.dtype() != DType::Int64)) return {};
  if (*p == 2) return PowerRow{UnaryOp::square};
  if (*p == 3) return PowerRow{UnaryOp::cube};
  if (!floating) return {};
  if (*p == 0.5) return PowerRow{UnaryOp::sqrt};
  if (*p == -0.5) return PowerRow{UnaryOp::rsqrt};
  if (*p == -1) return PowerRow{UnaryOp::reciprocal};
  return PowerRow{UnaryOp::power, {*p, 0}};
}

namespace {

// Whether a comparison with 0 holds for any element.
bool any_is(CompareOp op, const Tensor& y) {
  if (y.impl()->wrapped_number && y.dtype() == DType::Int64 && y.device().is_cpu()) {
    const int64_t value = *y.as<int64_t>();
    return op == CompareOp::lt ? value < 0 : value == 0;
  }
  const Tensor found = any(compare(op, y, scalar(0)));
  return host_value<bool>(name_of(op), found);
}

}  // namespace

void check_integer_operand(BinaryOp op, const char* name, DType dtype, const Tensor& y) {
  if (is_floating(dtype)) return;
  switch (op) {
    case BinaryOp::pow:
      check<ValueError>(!any_is(CompareOp::lt, y), name,
                        ": integers to negative integer powers are not allowed; "
                        "convert the base to a float dtype");
      return;
    case BinaryOp::fmod:
    case BinaryOp::remainder:
    case BinaryOp::floor_divide:
    case BinaryOp::div_trunc:
      check<RuntimeError>(!any_is(CompareOp::eq, y), name, ": division of integers by zero");
      return;
    default: return;
  }
}

Tensor overwritten(const char* op, const Tensor& self) {
  if (!recording(self)) return {};
  Tensor history = alias(self);
  record(op, {history}, {self}, [](Backward& b) { b.set(0, zeros_like(b.grad())); });
  return history;
}

Tensor put_along(const Dims& sizes, int dim, const Tensor& index, const Tensor& g) {
  if (index.numel() == 0) return zeros(sizes, g.dtype(), g.device());
  // One index into the elements as they lie, so that nothing but it grows with the rank.
  const Device device = g.device();
  const Dims strides = contiguous_strides(sizes);
  Tensor flat = mul(index, scalar(strides[dim], device));
  for (int d = 0; d < sizes.rank(); ++d) {
    if (d == dim || sizes[d] == 1) continue;
    Dims line = Dims::filled(sizes.rank(), 1);
    line[d] = index.size(d);
    const Tensor steps = arange(Scalar(0), Scalar(index.size(d) * strides[d]), Scalar(strides[d]),
                                DType::Int64, device);
    flat = add(flat, view(steps, line));
  }
  Tensor out = zeros({checked_numel(sizes)}, g.dtype(), device);
  const Tensor at_ = flatten(flat);
  index_put_(out, std::span(&at_, 1), flatten(g), true);
  return view(out, sizes);
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
