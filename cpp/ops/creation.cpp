#include "ops/common.h"

namespace lamina::ops {
namespace {

DType g_default_dtype = DType::Float32;

}  // namespace

DType default_dtype() { return g_default_dtype; }

void set_default_dtype(DType dtype) {
  check<TypeError>(dtype == DType::Float32 || dtype == DType::Float64,
                   "set_default_dtype: must be float32 or float64, got ", dtype);
  g_default_dtype = dtype;
}

Tensor full(const Dims& sizes, Scalar value, DType dtype, Device device) {
  Tensor out = empty(sizes, dtype, device);
  fill_(out, value);
  return out;
}

Tensor zeros(const Dims& sizes, DType dtype, Device device) {
  return full(sizes, Scalar(0), dtype, device);
}
Tensor ones(const Dims& sizes, DType dtype, Device device) {
  return full(sizes, Scalar(1), dtype, device);
}
Tensor empty_like(const Tensor& x, std::optional<DType> dtype) {
  return empty(x.sizes(), dtype.value_or(x.dtype()), x.device());
}
Tensor zeros_like(const Tensor& x, std::optional<DType> dtype) {
  return zeros(x.sizes(), dtype.value_or(x.dtype()), x.device());
}
Tensor ones_like(const Tensor& x, std::optional<DType> dtype) {
  return ones(x.sizes(), dtype.value_or(x.dtype()), x.device());
}

Tensor scalar(Scalar value, Device device) {
  // On the CPU whatever the device of its future partner: ops move it there.
  const DType dtype = value.kind == Scalar::Kind::Bool  ? DType::Bool
                      : value.kind == Scalar::Kind::Int ? DType::Int64
                                                        : DType::Float64;
  const Tensor out = empty({}, dtype);
  if (dtype == DType::Float64)
    *out.as<double>() = value.d;
  else if (dtype == DType::Int64)
    *out.as<int64_t>() = value.i;
  else
    *out.as<bool>() = value.i != 0;
  out.impl()->wrapped_number = true;
  return at(out, device);
}

Tensor arange(Scalar start, Scalar end, Scalar step, DType dtype, Device device) {
  check<ValueError>(step.d != 0, "arange: step must not be 0");
  const bool integral = start.kind != Scalar::Kind::Float && end.kind != Scalar::Kind::Float &&
                        step.kind != Scalar::Kind::Float;
  check<ValueError>(std::isfinite(start.d) && std::isfinite(end.d) && std::isfinite(step.d),
                    "arange: start, end and step must be finite, got ", start.d, ", ", end.d, ", ",
                    step.d);
  double count;
  int64_t span = 0;
  // A span that overflows is beyond memory whatever the step; INT64_MIN / -1 would trap.
  if (integral && !__builtin_sub_overflow(end.i, start.i, &span) && span != INT64_MIN) {
    count = static_cast<double>(span / step.i + (span % step.i != 0 && (span > 0) == (step.i > 0)));
  } else {
    count = std::ceil((end.d - start.d) / step.d);
  }
  check<ValueError>(count >= 0, "arange: step ", step.d, " does not lead from ", start.d, " to ",
                    end.d);
  check<MemoryError>(count < 1e18, "arange: ", count, " elements are more than memory can hold");
  Tensor out = empty({static_cast<int64_t>(count)}, dtype, device);
  call<&DeviceApi::arange>(device, "arange", out, start.d, step.d);
  return out;
}

Tensor linspace(double start, double end, int64_t steps, DType dtype, Device device) {
  check<ValueError>(steps >= 0, "linspace: steps must be at least 0, got ", steps);
  const double step = steps > 1 ? (end - start) / static_cast<double>(steps - 1) : 0.0;
  Tensor out = empty({steps}, DType::Float64, device);
  call<&DeviceApi::arange>(device, "linspace", out, start, step);
  if (steps > 1) fill_(select(out, 0, steps - 1), Scalar(end));  // without the rounding of steps
  return to(out, dtype);
}

Tensor logspace(double start, double end, int64_t steps, double base, DType dtype, Device device) {
  check<ValueError>(steps >= 0, "logspace: steps must be at least 0, got ", steps);
  return to(pow(scalar(base, device), linspace(start, end, steps, DType::Float64, device)), dtype);
}

namespace {

// How many elements of an n x m matrix lie in the first `offset` + 1 + row columns of their row.
// Of 64-bit sizes, so that what no memory can hold is found before it is counted row by row.
int64_t count_lower(const char* op, int64_t n, int64_t m, int64_t offset) {
  const int64_t first = std::max<int64_t>(0, -offset);  // the first row that has one
  if (first >= n || m == 0) return 0;
  const int64_t whole = std::clamp(m - 1 - offset, first, n);  // from here on, whole rows
  const double ramp =
      static_cast<double>(whole - first) *
      (static_cast<double>(first + offset) + static_cast<double>(whole + offset) + 1) / 2;
  const double total = ramp + static_cast<double>(n - whole) * static_cast<double>(m);
  check<MemoryError>(total < 0x1p50, op, ": ", total, " positions are more than memory can hold");
  return static_cast<int64_t>(total);  // exact below 2^53
}

// Columns [from(row), to(row)) of the rows [first, last).
template <class From, class To>
Tensor matrix_indices(int64_t count, int64_t first, int64_t last, DType dtype, Device device,
                      From from, To to_) {
  const Tensor out = empty({2, count}, DType::Int64);
  auto* rows = out.as<int64_t>();
  auto* columns = rows + count;
  for (int64_t row = first; count > 0 && row < last; ++row) {
    for (int64_t column = from(row); column < to_(row); ++column) {
      *rows++ = row;
      *columns++ = column;
    }
  }
  return to(to(out, dtype), device);
}

// Checked, with an offset that reaches no further than the matrix.
int64_t diagonal_of(const char* op, int64_t n, int64_t m, int64_t offset, DType dtype) {
  check<ValueError>(n >= 0 && m >= 0, op, ": a matrix has no negative sizes, got ", n, " and ", m);
  check<TypeError>(dtype == DType::Int64 || dtype == DType::Int32, op,
                   ": dtype must be int64 or int32, got ", dtype);
  check<MemoryError>(n < int64_t{1} << 60 && m < int64_t{1} << 60, op, ": sizes of ", n, " and ", m,
                     " are more than memory can hold");
  return std::clamp(offset, -n - 1, m + 1);
}

}  // namespace

Tensor tril_indices(int64_t n, int64_t m, int64_t offset, DType dtype, Device device) {
  const int64_t k = diagonal_of("tril_indices", n, m, offset, dtype);
  return matrix_indices(
      count_lower("tril_indices", n, m, k), std::max<int64_t>(0, -k), n, dtype, device,
      [](int64_t) { return int64_t{0}; }, [=](int64_t row) { return std::min(row + 1 + k, m); });
}

Tensor triu_indices(int64_t n, int64_t m, int64_t offset, DType dtype, Device device) {
  const int64_t k = diagonal_of("triu_indices", n, m, offset, dtype);
  // Turned by half a turn, the upper triangle is a lower one.
  return matrix_indices(
      count_lower("triu_indices", n, m, m - n - k), 0, std::min(n, m - k), dtype, device,
      [=](int64_t row) { return std::max<int64_t>(row + k, 0); }, [=](int64_t) { return m; });
}

Tensor eye(int64_t n, int64_t m, DType dtype, Device device) {
  Tensor out = zeros({n, m}, dtype, device);
  fill_(diagonal(out, 0, 0, 1), Scalar(1));
  return out;
}

}  // namespace lamina::ops
