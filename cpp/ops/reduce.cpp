// Reductions, with their gradients.
#include "ops/common.h"

namespace lamina::ops {
namespace {

Tensor shaped(const Tensor& kept, const DimSet& set, bool keepdim) {
  return keepdim ? kept : alias(kept, set.squeezed, contiguous_strides(set.squeezed), 0);
}

// A gradient of the reduced shape, as a view that broadcasts against the input again.
Tensor unreduced(const Tensor& g, const Dims& keep) { return view(contiguous(g), keep); }

Tensor reduce(const char* name, ReduceOp op, const Tensor& x, const DimSet& set, bool keepdim,
              DType dtype) {
  Tensor out = empty(set.keep, dtype, x.device());
  call<&DeviceApi::reduce>(x.device(), name, op, out, x);
  return shaped(out, set, keepdim);
}

DType sum_dtype(const Tensor& x, std::optional<DType> dtype) {
  return dtype.value_or(is_floating(x.dtype()) ? x.dtype() : DType::Int64);
}

}  // namespace

Tensor sum(const Tensor& x, IntList dims, bool keepdim, std::optional<DType> dtype) {
  const DimSet set = dim_set("sum", x, dims);
  Tensor y = reduce("sum", ReduceOp::Sum, x, set, keepdim, sum_dtype(x, dtype));
  if (recording(x) && is_floating(y.dtype()))
    record("sum", {y}, {x}, [keep = set.keep, sizes = x.sizes(), from = x.dtype()](Backward& b) {
      b.set(0, to(expand(unreduced(b.grad(), keep), sizes), from));
    });
  return y;
}

Tensor mean(const Tensor& x, IntList dims, bool keepdim, std::optional<DType> dtype) {
  check<TypeError>(is_floating(dtype.value_or(x.dtype())), "mean: needs a floating dtype, got ",
                   x.dtype(), "; pass dtype=float32 or convert the input");
  const DimSet set = dim_set("mean", x, dims);
  const Tensor total = sum(x, dims, keepdim, dtype);
  return div(total, scalar(static_cast<double>(set.count)));
}

namespace {

// For every element the product of the others that are reduced with it, without a division, so that
// it has the right derivatives at zeros. Pairs are multiplied on the way up; on the way down each
// of a pair gets the other's product: 4 ops for each doubling of the count.
Tensor product_of_others(const Tensor& x, const DimSet& set) {
  std::vector<int64_t> order, back(static_cast<size_t>(x.rank()));
  for (int i = 0; i < x.rank(); ++i)
    if (!set.has[i]) order.push_back(i);
  for (const int64_t d : set.dims) order.push_back(d);
  for (size_t i = 0; i < order.size(); ++i)
    back[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  const Tensor last = permute(x, order);
  const int64_t rows = x.numel() / std::max<int64_t>(set.count, 1);
  const auto half = [](const Tensor& t_, int64_t which) {
    return slice(t_, 1, which, t_.size(1), 2);
  };
  std::vector<Tensor> levels{reshape(last, Dims{rows, set.count})};
  while (levels.back().size(1) > 1) {
    if (levels.back().size(1) % 2 != 0) {
      const Tensor padded[] = {levels.back(), ones(Dims{rows, 1}, x.dtype(), x.device())};
      levels.back() = cat(padded, 1);
    }
    levels.push_back(mul(half(levels.back(), 0), half(levels.back(), 1)));
  }
  Tensor others = ones(Dims{rows, 1}, x.dtype(), x.device());
  for (size_t i = levels.size() - 1; i-- > 0;) {
    const Tensor& level = levels[i];
    others = slice(others, 1, 0, level.size(1) / 2);  // without what padded the level above
    const Tensor pair[] = {mul(others, half(level, 1)), mul(others, half(level, 0))};
    others = reshape(stack(pair, 2), level.sizes());
  }
  return permute(reshape(slice(others, 1, 0, set.count), last.sizes()), back);
}

}  // namespace

Tensor prod(const Tensor& x, IntList dims, bool keepdim, std::optional<DType> dtype) {
  const DimSet set = dim_set("prod", x, dims);
  Tensor y = reduce("prod", ReduceOp::Prod, x, set, keepdim, sum_dtype(x, dtype));
  if (recording(x) && is_floating(y.dtype()))
    record("prod", {y}, {x}, [x = Saved::input(x), set](Backward& b) {
      // The product of the others, element by element, is exact at zeros too: with one zero
      // only that element gets a gradient, with two nobody does.
      const Tensor in = b(x);
      if (grad_enabled() && in.numel() > 0) {
        const Tensor g = to(unreduced(b.grad(), set.keep), in.dtype());
        b.set(0, mul(g, product_of_others(in, set)));
        return;
      }
      const Tensor zero = eq(in, scalar(0));
      const Tensor zeros_in = sum(zero, set.dims, true);
      const Tensor others = prod(where(zero, ones_like(in), in), set.dims, true);
      const Tensor own = where(zero, others, div(others, where(zero, ones_like(in), in)));
      const Tensor alone = eq(zeros_in, to(zero, DType::Int64));
      const Tensor nothing = scalar(0.0);
      const Tensor g = to(unreduced(b.grad(), set.keep), in.dtype());
      b.set(0, mul(g, where(alone, own, nothing)));
    });
  return y;
}

std::pair<Tensor, Tensor> var_mean(const Tensor& x, IntList dims, double correction, bool keepdim) {
  check_floating("var", "input", x);
  const DimSet set = dim_set("var", x, dims);
  Tensor v = empty(set.keep, x.dtype(), x.device());
  Tensor m = empty(set.keep, x.dtype(), x.device());
  call<&DeviceApi::var>(x.device(), "var", v, m, x, correction);
  Tensor variance = shaped(v, set, keepdim);
  Tensor average = shaped(m, set, keepdim);
  if (recording(x))
    record("var_mean", {variance, average}, {x},
           [x = Saved::input(x), set, correction](Backward& b) {
             const Tensor in = b(x);
             const auto n = static_cast<double>(set.count);
             Tensor dx;
             if (b.grad(0).defined()) {
               const Tensor centred = sub(in, mean(in, set.dims, true));
               const double scale = 2 / std::max(n - correction, 0.0);
               dx = mul(mul(unreduced(b.grad(0), set.keep), centred), scalar(scale));
             }
             if (b.grad(1).defined()) {
               const Tensor part =
                   expand(mul(unreduced(b.grad(1), set.keep), scalar(1 / n)), in.sizes());
               dx = dx.defined() ? add(dx, part) : part;
             }
             b.set(0, dx);
           });
  return {variance, average};
}

Tensor var(const Tensor& x, IntList dims, double correction, bool keepdim) {
  return var_mean(x, dims, correction, keepdim).first;
}

namespace {

// Where nothing varies the root has no slope; the gradient is 0 there, as PyTorch's.
Tensor root(const Tensor& v) {
  if (!recording(v)) return sqrt(v);
  const Tensor flat = eq(v, scalar(0));
  return where(flat, scalar(0.0), sqrt(where(flat, scalar(1.0), v)));
}

}  // namespace

Tensor std(const Tensor& x, IntList dims, double correction, bool keepdim) {
  return root(var(x, dims, correction, keepdim));
}

std::pair<Tensor, Tensor> std_mean(const Tensor& x, IntList dims, double correction, bool keepdim) {
  const auto [variance, average] = var_mean(x, dims, correction, keepdim);
  return {root(variance), average};
}

namespace {

Tensor extreme(const char* name, ReduceOp op, const Tensor& x, IntList dims, bool keepdim) {
  const DimSet set = dim_set(name, x, dims);
  check<ValueError>(set.count > 0, name, ": no elements to choose from", line("input", x));
  Tensor y = reduce(name, op, x, set, keepdim, x.dtype());
  if (recording(x))
    record(name, {y}, {x}, [x = Saved::input(x), y = Saved::output(y), set](Backward& b) {
      const Tensor in = b(x);
      const Tensor hit = eq(in, unreduced(detach(b(y)), set.keep));
      const Tensor share =
          div(unreduced(b.grad(), set.keep), to(sum(hit, set.dims, true), in.dtype()));
      b.set(0, where(hit, share, scalar(0.0)));
    });
  return y;
}

std::pair<Tensor, Tensor> extreme_at(const char* name, ReduceOp op, const Tensor& x, int64_t dim,
                                     bool keepdim) {
  const int d = wrap_dim(name, dim, x.rank());
  if (x.rank() == 0) {
    Tensor values = clone(x);
    return {values, zeros({}, DType::Int64, x.device())};
  }
  check<ValueError>(x.size(d) > 0, name, ": dimension ", d, " has no elements to choose from",
                    line("input", x));
  const DimSet set = dim_set(name, x, std::span(&dim, 1));
  Tensor kept_values = empty(set.keep, x.dtype(), x.device());
  Tensor kept_indices = empty(set.keep, DType::Int64, x.device());
  call<&DeviceApi::arg_reduce>(x.device(), name, op, kept_values, kept_indices, x, d);
  Tensor values = shaped(kept_values, set, keepdim);
  if (recording(x))
    record(
        name, {values}, {x},
        [index = Saved::input(kept_indices), sizes = x.sizes(), keep = set.keep, d](Backward& b) {
          // One element of each line along d takes the gradient: a comparison of positions.
          const Device device = b.grad().device();
          Dims line_sizes = Dims::filled(sizes.rank(), 1);
          line_sizes[d] = sizes[d];
          const Tensor positions = view(
              arange(Scalar(0), Scalar(sizes[d]), Scalar(1), DType::Int64, device), line_sizes);
          b.set(0, where(eq(positions, b(index)), unreduced(b.grad(), keep), scalar(0.0)));
        });
  return {values, shaped(kept_indices, set, keepdim)};
}

Tensor arg_extreme(const char* name, ReduceOp op, const Tensor& x, std::optional<int64_t> dim,
                   bool keepdim) {
  const Tensor source = detach(x);
  if (dim) return extreme_at(name, op, source, *dim, keepdim).second;
  const Tensor index = extreme_at(name, op, flatten(source), 0, false).second;
  return keepdim ? view(index, Dims::filled(x.rank(), 1)) : index;
}

Tensor truth(const char* name, ReduceOp op, const Tensor& x, IntList dims, bool keepdim) {
  const Tensor y = reduce(name, op, x, dim_set(name, x, dims), keepdim, DType::Bool);
  // PyTorch's one exception: from the time before bool.
  return x.dtype() == DType::UInt8 ? to(y, DType::UInt8) : y;
}

}  // namespace

Tensor amax(const Tensor& x, IntList dims, bool keepdim) {
  return extreme("amax", ReduceOp::Max, x, dims, keepdim);
}
Tensor amin(const Tensor& x, IntList dims, bool keepdim) {
  return extreme("amin", ReduceOp::Min, x, dims, keepdim);
}
std::pair<Tensor, Tensor> aminmax(const Tensor& x, std::optional<int64_t> dim, bool keepdim) {
  const IntList dims = dim ? IntList(&*dim, 1) : IntList();
  return {extreme("aminmax", ReduceOp::Min, x, dims, keepdim),
          extreme("aminmax", ReduceOp::Max, x, dims, keepdim)};
}
std::pair<Tensor, Tensor> max(const Tensor& x, int64_t dim, bool keepdim) {
  return extreme_at("max", ReduceOp::Max, x, dim, keepdim);
}
std::pair<Tensor, Tensor> min(const Tensor& x, int64_t dim, bool keepdim) {
  return extreme_at("min", ReduceOp::Min, x, dim, keepdim);
}
Tensor argmax(const Tensor& x, std::optional<int64_t> dim, bool keepdim) {
  return arg_extreme("argmax", ReduceOp::Max, x, dim, keepdim);
}
Tensor argmin(const Tensor& x, std::optional<int64_t> dim, bool keepdim) {
  return arg_extreme("argmin", ReduceOp::Min, x, dim, keepdim);
}
Tensor any(const Tensor& x, IntList dims, bool keepdim) {
  return truth("any", ReduceOp::Any, x, dims, keepdim);
}
Tensor all(const Tensor& x, IntList dims, bool keepdim) {
  return truth("all", ReduceOp::All, x, dims, keepdim);
}

Tensor sum_to(const Tensor& x, IntList sizes) {
  if (std::equal(x.sizes().begin(), x.sizes().end(), sizes.begin(), sizes.end())) return x;
  const int lead = x.rank() - static_cast<int>(sizes.size());
  std::vector<int64_t> dims;
  for (int i = 0; i < x.rank(); ++i)
    if (i < lead || (sizes[static_cast<size_t>(i - lead)] == 1 && x.size(i) != 1))
      dims.push_back(i);
  if (dims.empty()) return x;
  return view(contiguous(sum(x, dims, true)), sizes);
}

}  // namespace lamina::ops
