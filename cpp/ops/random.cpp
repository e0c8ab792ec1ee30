// Random tensors and dropout. Each op reserves its numbers from the generator, so that element i
// depends on the seed, the order of the calls, and i.
#include "ops/common.h"

namespace lamina::ops {
namespace {

PhiloxStream stream_for(int64_t numel) { return default_generator().reserve(numel); }

void fill_random(const char* op, Distribution distribution, const Tensor& out, double a, double b) {
  call<&DeviceApi::random>(out.device(), op, distribution, out, a, b, stream_for(out.numel()));
}

void write_random(const char* op, Distribution distribution, const Tensor& self, double a,
                  double b) {
  check_writable(op, self, requires_grad(self));
  fill_random(op, distribution, self, a, b);
  wrote(op, self, overwritten(op, self));
}

}  // namespace

Tensor rand(const Dims& sizes, DType dtype, Device device) {
  Tensor out = empty(sizes, dtype, device);
  check_floating("rand", "dtype", out);
  fill_random("rand", Distribution::Uniform, out, 0, 1);
  return out;
}

Tensor randn(const Dims& sizes, DType dtype, Device device) {
  Tensor out = empty(sizes, dtype, device);
  check_floating("randn", "dtype", out);
  fill_random("randn", Distribution::Normal, out, 0, 1);
  return out;
}

Tensor randint(int64_t low, int64_t high, const Dims& sizes, DType dtype, Device device) {
  check<ValueError>(low < high, "randint: low must be less than high, got ", low, " and ", high);
  Tensor out = empty(sizes, DType::Int64, device);
  // The bounds travel as doubles, exact up to 2^53: draw [0, high - low), then shift.
  check<ValueError>(static_cast<double>(high) - static_cast<double>(low) <= 0x1p53,
                    "randint: the range must not exceed 2^53, got ", low, " to ", high);
  fill_random("randint", Distribution::Integer, out, 0, static_cast<double>(high - low));
  if (low != 0) binary_(BinaryOp::add, out, scalar(low));
  return to(out, dtype);
}

Tensor randperm(int64_t n, Device device) {
  check<ValueError>(n >= 0, "randperm: n must be at least 0, got ", n);
  Tensor out = empty({n}, DType::Int64);
  auto* p = out.as<int64_t>();
  for (int64_t i = 0; i < n; ++i) p[i] = i;
  // Fisher and Yates: a chain of swaps, sequential by nature.
  const PhiloxStream stream = stream_for(n);
  for (int64_t i = n - 1; i > 0; --i)
    std::swap(p[i], p[uniform_integer(stream, static_cast<uint64_t>(i), 0, i + 1)]);
  return to(out, device);
}

void uniform_(const Tensor& self, double from, double to) {
  check_floating("uniform_", "tensor", self);
  check<ValueError>(from <= to, "uniform_: from must not exceed to, got ", from, " and ", to);
  write_random("uniform_", Distribution::Uniform, self, from, to);
}

void normal_(const Tensor& self, double mean, double std) {
  check_floating("normal_", "tensor", self);
  check<ValueError>(std >= 0, "normal_: std must be at least 0, got ", std);
  write_random("normal_", Distribution::Normal, self, mean, std);
}

void bernoulli_(const Tensor& self, double p) {
  check<ValueError>(p >= 0 && p <= 1, "bernoulli_: p must lie in [0, 1], got ", p);
  write_random("bernoulli_", Distribution::Bernoulli, self, p, 0);
}

Tensor dropout(const Tensor& x, double p, bool training) {
  check<ValueError>(p >= 0 && p <= 1, "dropout: p must lie in [0, 1], got ", p);
  check_floating("dropout", "input", x);
  if (!training || p == 0) return x;
  Tensor y = empty_like(x);
  Tensor mask = empty_like(x, DType::Bool);
  call<&DeviceApi::dropout>(x.device(), "dropout", y, mask, contiguous(detach(x)), p,
                            stream_for(x.numel()));
  if (recording(x))
    record("dropout", {y}, {x}, [mask = Saved::input(mask), p](Backward& b) {
      const double scale = p < 1 ? 1 / (1 - p) : 0;
      b.set(0, mul(mul(b.grad(), b(mask)), scalar(scale)));
    });
  return y;
}

}  // namespace lamina::ops
