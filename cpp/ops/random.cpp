// Random tensors. Each op reserves its numbers from the generator, so that element i
// depends on the seed, the order of the calls, and i.
#include "core/parallel.h"
#include "ops/common.h"

namespace lamina::ops {
namespace {

PhiloxStream stream_for(int64_t numel, Generator* generator = nullptr) {
  return (generator ? *generator : default_generator()).reserve(numel);
}

Tensor filled(const char* op, Distribution distribution, const Dims& sizes, DType dtype,
              Device device, Generator* generator) {
  Tensor out = empty(sizes, dtype, device);
  check_floating(op, "dtype", out);
  call<&DeviceApi::random>(device, op, distribution, out, 0.0, 1.0,
                           stream_for(out.numel(), generator));
  return out;
}

// Runs draw(), which writes into `self`.
template <class F>
void write_random(const char* op, const Tensor& self, F&& draw) {
  check_writable(op, self, requires_grad(self));
  draw();
  wrote(op, self, overwritten(op, self));
}

void write_random(const char* op, Distribution distribution, const Tensor& self, double a, double b,
                  Generator* generator) {
  write_random(op, self, [&] {
    call<&DeviceApi::random>(self.device(), op, distribution, self, a, b,
                             stream_for(self.numel(), generator));
  });
}

// What is drawn has no slope in what it was drawn from: a gradient of zeros, as in PyTorch.
Tensor with_flat_history(const char* op, Tensor out, std::initializer_list<Tensor> sources) {
  bool records = false;
  std::vector<Tensor> likes;  // for sizes and dtype
  for (const Tensor& source : sources) {
    records = records || recording(source);
    likes.push_back(detach(source));
  }
  if (records)
    record(op, {out}, sources, [likes = std::move(likes)](Backward& b) {
      for (size_t i = 0; i < likes.size(); ++i)
        if (b.needs(i)) b.set(i, zeros_like(likes[i]));
    });
  return out;
}

// The integers that a dtype counts to without gaps.
struct Span {
  int64_t low, high;
};
Span span_of(DType dtype) {
  switch (dtype) {
    case DType::Bool: return {0, 1};
    case DType::UInt8: return {0, 255};
    case DType::Int32:
      return {std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()};
    case DType::Float32: return {-(int64_t{1} << 24), int64_t{1} << 24};
    case DType::Float64: return {-(int64_t{1} << 53), int64_t{1} << 53};
    default: return {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()};
  }
}

// Integers in [low, last].
void draw_integers(const char* op, const Tensor& out, int64_t low, int64_t last,
                   Generator* generator) {
  const Span span = span_of(out.dtype());
  check<ValueError>(low >= span.low && last <= span.high, op, ": ", out.dtype(),
                    " does not hold every integer from ", low, " to ", last);
  const uint64_t range = static_cast<uint64_t>(last) - static_cast<uint64_t>(low) + 1;
  call<&DeviceApi::random_integers>(out.device(), op, out, low, range,
                                    stream_for(out.numel(), generator));
}

Tensor coin(const Tensor& p, Generator* generator) {
  check_floating("bernoulli", "p", p);
  check<ValueError>(holds("bernoulli", logical_and(ge(p, scalar(0)), le(p, scalar(1)))),
                    "bernoulli: every p must lie in [0, 1]");
  return lt(rand(p.sizes(), p.dtype(), p.device(), generator), p);
}

}  // namespace

Tensor rand(const Dims& sizes, DType dtype, Device device, Generator* generator) {
  return filled("rand", Distribution::Uniform, sizes, dtype, device, generator);
}

Tensor randn(const Dims& sizes, DType dtype, Device device, Generator* generator) {
  return filled("randn", Distribution::Normal, sizes, dtype, device, generator);
}

Tensor randint(int64_t low, int64_t high, const Dims& sizes, DType dtype, Device device,
               Generator* generator) {
  check<ValueError>(low < high, "randint: low must be less than high, got ", low, " and ", high);
  Tensor out = empty(sizes, dtype, device);
  draw_integers("randint", out, low, high - 1, generator);
  return out;
}

Tensor randperm(int64_t n, Device device, Generator* generator) {
  check<ValueError>(n >= 0, "randperm: n must be at least 0, got ", n);
  Tensor out = empty({n}, DType::Int64);
  auto* p = out.as<int64_t>();
  for (int64_t i = 0; i < n; ++i) p[i] = i;
  // Fisher and Yates: a chain of swaps, sequential by nature.
  const PhiloxStream stream = stream_for(n, generator);
  for (int64_t i = n - 1; i > 0; --i)
    std::swap(p[i], p[uniform_integer(stream, static_cast<uint64_t>(i), 0, i + 1)]);
  return to(out, device);
}

Tensor normal(const Tensor& mean, const Tensor& std, Generator* generator) {
  const DType dtype = result_type(mean, std);
  const Dims sizes = broadcast_sizes("normal", mean.sizes(), std.sizes());
  const Tensor m = detach(mean), s = detach(std);
  check<ValueError>(!host_value<bool>("normal", any(lt(s, scalar(0)))),
                    "normal: no standard deviation may be negative");
  const Tensor z = randn(sizes, is_floating(dtype) ? dtype : default_dtype(),
                         common_device(mean, std), generator);
  return with_flat_history("normal", add(m, mul(s, z)), {mean, std});
}

Tensor bernoulli(const Tensor& p, Generator* generator) {
  return with_flat_history("bernoulli", to(coin(detach(p), generator), p.dtype()), {p});
}

namespace {

// A binary tree of sums over n weights. Sums are made of the two below them, never by subtraction,
// so that a part without weight has a sum of exactly 0 and is never drawn.
class WeightTree {
 public:
  explicit WeightTree(int64_t n) {
    while (leaves_ < n) leaves_ *= 2;
    sums_.resize(static_cast<size_t>(2 * leaves_));
  }
  void assign(const double* weights, int64_t n) {
    std::fill(sums_.begin(), sums_.end(), 0.0);
    std::copy(weights, weights + n, sums_.begin() + leaves_);
    for (int64_t i = leaves_ - 1; i > 0; --i) join(i);
  }
  double total() const { return at(1); }
  // The position where the running sum of the weights passes u times their total.
  int64_t find(double u) const {
    double rest = u * total();
    int64_t i = 1;
    while (i < leaves_) {
      i *= 2;
      // Rounding may carry the rest past the last weight.
      if (rest < at(i) || at(i + 1) == 0) continue;
      rest -= at(i);
      ++i;
    }
    return i - leaves_;
  }
  void remove(int64_t leaf) {
    int64_t i = leaf + leaves_;
    sums_[static_cast<size_t>(i)] = 0;
    while ((i /= 2) > 0) join(i);
  }

 private:
  double at(int64_t i) const { return sums_[static_cast<size_t>(i)]; }
  void join(int64_t i) { sums_[static_cast<size_t>(i)] = at(2 * i) + at(2 * i + 1); }

  int64_t leaves_ = 1;
  std::vector<double> sums_;
};

}  // namespace

Tensor multinomial(const Tensor& x, int64_t count, bool replacement, Generator* generator) {
  check_floating("multinomial", "input", x);
  check<ValueError>(x.rank() == 1 || x.rank() == 2,
                    "multinomial: needs the weights of one draw, or a row of them for each",
                    line("input", x));
  check<ValueError>(count > 0, "multinomial: num_samples must be positive, got ", count);
  const int64_t rows = x.rank() == 2 ? x.size(0) : 1;
  const int64_t n = x.size(x.rank() - 1);
  const Tensor weights = contiguous(to(to(detach(x), Device{}), DType::Float64));
  const auto* w = weights.as<const double>();
  for (int64_t row = 0; row < rows; ++row) {
    double total = 0;
    int64_t possible = 0;
    for (int64_t i = 0; i < n; ++i) {
      const double v = w[row * n + i];
      check<ValueError>(v >= 0 && std::isfinite(v),
                        "multinomial: weights must be finite and not negative, got ", v);
      total += v;
      possible += v > 0;
    }
    check<ValueError>(total > 0 && std::isfinite(total),
                      "multinomial: the weights must have a positive, finite sum, got ", total,
                      line("row", row));
    check<ValueError>(replacement || possible >= count, "multinomial: can't draw ", count,
                      " different positions where only ", possible, " have a positive weight",
                      line("fix", "pass replacement=True"));
  }
  Dims sizes = x.sizes();
  sizes[x.rank() - 1] = count;
  Tensor out = empty(sizes, DType::Int64);
  auto* drawn = out.as<int64_t>();
  const PhiloxStream stream = stream_for(rows * count, generator);
  parallel_for(rows, std::max<int64_t>(1, 16 * 1024 / (n + 16 * count)),
               [&](int64_t first, int64_t last) {
                 WeightTree tree(n);
                 for (int64_t row = first; row < last; ++row) {
                   tree.assign(w + row * n, n);
                   for (int64_t i = row * count; i < (row + 1) * count; ++i) {
                     drawn[i] = tree.find(uniform_f64(stream, static_cast<uint64_t>(i)));
                     if (!replacement) tree.remove(drawn[i]);
                   }
                 }
               });
  return to(out, x.device());
}

void uniform_(const Tensor& self, double from, double to, Generator* generator) {
  check_floating("uniform_", "tensor", self);
  check<ValueError>(from <= to, "uniform_: from must not exceed to, got ", from, " and ", to);
  write_random("uniform_", Distribution::Uniform, self, from, to, generator);
}

void normal_(const Tensor& self, double mean, double std, Generator* generator) {
  check_floating("normal_", "tensor", self);
  check<ValueError>(std >= 0, "normal_: std must be at least 0, got ", std);
  write_random("normal_", Distribution::Normal, self, mean, std, generator);
}

void bernoulli_(const Tensor& self, double p, Generator* generator) {
  check<ValueError>(p >= 0 && p <= 1, "bernoulli_: p must lie in [0, 1], got ", p);
  write_random("bernoulli_", Distribution::Bernoulli, self, p, 0, generator);
}

void bernoulli_(const Tensor& self, const Tensor& p, Generator* generator) {
  check<ValueError>(can_broadcast_to(p.sizes(), self.sizes()),
                    "bernoulli_: p does not broadcast to the tensor that is written",
                    line("tensor", self), line("p", p));
  write_random("bernoulli_", self, [&] {
    const GradMode off(false);
    const Tensor drawn = coin(expand(at(p, self.device()), self.sizes()), generator);
    call<&DeviceApi::copy>(self.device(), "bernoulli_", self, drawn);
  });
}

void random_(const Tensor& self, std::optional<int64_t> from, std::optional<int64_t> to,
             Generator* generator) {
  const int64_t low = from.value_or(0);
  check<ValueError>(!to || low < *to, "random_: from must be less than to, got ", low, " and ",
                    to.value_or(0));
  const int64_t last = to ? *to - 1 : span_of(self.dtype()).high;
  write_random("random_", self, [&] { draw_integers("random_", self, low, last, generator); });
}

}  // namespace lamina::ops
