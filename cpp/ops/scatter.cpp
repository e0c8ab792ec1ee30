// Reading and writing at positions along one dimension: element by element (gather, scatter) and in
// whole slices (index_add and the like).
#include "ops/common.h"

namespace lamina::ops {

Tensor checked_positions(const char* op, const Tensor& index, const Tensor& x, int dim,
                         bool from_end) {
  check<TypeError>(index.dtype() == DType::Int64 || index.dtype() == DType::Int32, op,
                   ": the index must be int64 or int32, got ", index.dtype());
  const Tensor out = to(detach(index), DType::Int64);
  const int64_t n = x.size(dim);
  int64_t bad = 0;
  if (!call<&DeviceApi::indices_in_range>(out.device(), op, out, from_end ? -n : 0, n, &bad))
    raise<IndexError>(op, ": index ", bad, " is out of range for dimension ", dim, " of size ", n,
                      line("input", x));
  return out;
}

namespace {

// A 0-d tensor as one of a single element, so that it has the dimension that an index is along.
Tensor at_least_1d(const Tensor& t) { return t.rank() == 0 ? view(t, Dims{1}) : t; }

Tensor gathered(const char* op, const Tensor& x, int64_t dim, const Tensor& index, bool from_end) {
  const int d = wrap_dim(op, dim, x.rank());
  const Tensor source = at_least_1d(x);
  const Tensor at_ = at_least_1d(index);
  if (index.numel() != 0) {
    bool fits = at_.rank() == source.rank();
    for (int i = 0; fits && i < at_.rank(); ++i) fits = i == d || at_.size(i) <= source.size(i);
    check<ValueError>(fits, op,
                      ": the index must have the input's dimensions, and none larger "
                      "than the input's but for dimension ",
                      d, line("input", x), line("index", index));
  }
  check_same_device(op, x, index);
  Tensor y = empty(index.sizes(), x.dtype(), x.device());
  const Tensor positions = checked_positions(op, at_, source, d, from_end);
  if (index.numel() != 0)
    call<&DeviceApi::gather>(x.device(), op,
                             alias(y, at_.sizes(), contiguous_strides(at_.sizes()), 0), source, d,
                             positions);
  if (recording(x))
    record("gather", {y}, {x}, [index = Saved::input(index), sizes = x.sizes(), d](Backward& b) {
      b.set(0, scatter(zeros(sizes, b.grad().dtype(), b.grad().device()), d, b(index), b.grad(),
                       ScatterOp::Add));
    });
  return y;
}

}  // namespace

Tensor gather(const Tensor& x, int64_t dim, const Tensor& index) {
  return gathered("gather", x, dim, index, false);
}

Tensor take_along_dim(const Tensor& x, const Tensor& index, std::optional<int64_t> dim) {
  if (!dim)
    return take_along_dim(reshape(x, Dims{x.numel()}), reshape(index, Dims{index.numel()}), 0);
  const int d = wrap_dim("take_along_dim", *dim, x.rank());
  check<ValueError>(x.rank() == index.rank(),
                    "take_along_dim: the index must have the input's dimensions", line("input", x),
                    line("index", index));
  // Everywhere but along the dimension the two broadcast.
  Dims of_x = x.sizes(), of_index = index.sizes();
  if (x.rank() != 0) of_x[d] = of_index[d] = 1;
  const Dims both = broadcast_sizes("take_along_dim", of_x, of_index);
  Dims wide_x = both, wide_index = both;
  if (x.rank() != 0) {
    wide_x[d] = x.size(d);
    wide_index[d] = index.size(d);
  }
  Tensor at_ = contiguous(expand(detach(index), wide_index));
  if (is_integral(at_.dtype()) && x.rank() != 0) {
    // Counted from the end, as the gradient's scatter does not.
    at_ = checked_positions("take_along_dim", at_, x, d, true);
    at_ = where(lt(at_, scalar(0)), add(at_, scalar(x.size(d))), at_);
  }
  return gathered("take_along_dim", expand(x, wide_x), d, at_, false);
}

Tensor take(const Tensor& x, const Tensor& index_) {
  const Tensor flat = reshape(x, Dims{x.numel()});
  const Tensor at_ = checked_positions("take", index_, flat, 0, true);
  return index(flat, std::span(&at_, 1));
}

namespace {

const char* name_of(ScatterOp op) { return op == ScatterOp::Add ? "scatter_add" : "scatter"; }

// What scatter checks, and what it hands to the device.
struct Scatter {
  Scatter(const Tensor& self, int64_t dim_, const Tensor& index, const Tensor& src_, ScatterOp op)
      : name(name_of(op)), dim(wrap_dim(name, dim_, self.rank())), number(movable(src_)) {
    const Tensor target = at_least_1d(detach(self));
    const Tensor at_ = at_least_1d(index);
    // One element for one place is either; but a number takes the tensor's dtype.
    number = number && (index.rank() != 0 || src_.impl()->wrapped_number);
    const Tensor from = number ? src_ : at_least_1d(src_);
    check<TypeError>(number || src_.dtype() == self.dtype(), name,
                     ": src must have the tensor's dtype ", self.dtype(), ", got ", src_.dtype());
    check_same_device(name, self, index);
    check_same_device(name, self, src_);
    if (index.numel() != 0) {
      bool fits = at_.rank() == target.rank() && (number || from.rank() == target.rank());
      for (int i = 0; fits && i < at_.rank(); ++i)
        fits =
            (i == dim || at_.size(i) <= target.size(i)) && (number || at_.size(i) <= from.size(i));
      check<ValueError>(fits, name,
                        ": the index must have the tensor's dimensions, and none larger "
                        "than src's, nor, but for dimension ",
                        dim, ", than the tensor's", line("tensor", self), line("index", index),
                        line("src", src_));
    }
    positions = checked_positions(name, at_, target, dim, false);
    Tensor values = detach(from);
    if (number || &src_.storage() == &self.storage())
      values = clone(to(at(values, self.device()), self.dtype()));
    src = number ? expand(values, at_.sizes())
                 : alias(values, at_.sizes(), values.strides(), values.offset());
  }

  void into(const Tensor& self, ScatterOp op) const {
    if (positions.numel() == 0) return;
    const GradMode off(false);
    call<&DeviceApi::scatter>(self.device(), name, at_least_1d(self), dim, positions, src, op);
  }

  const char* name;
  int dim;
  bool number;
  Tensor positions, src;
};

// src's gradient: what reached the places that it was written to, and zero where the index, being
// smaller, did not come.
Tensor read_back(const Tensor& g, int dim, const Tensor& index, const Dims& sizes) {
  const Tensor found = gather(g, dim, index);
  if (found.sizes() == sizes) return found;
  if (found.numel() == 0) return zeros(sizes, g.dtype(), g.device());
  Tensor out = zeros(sizes, g.dtype(), g.device());
  Tensor part = out;
  for (int i = 0; i < found.rank(); ++i) part = slice(part, i, 0, found.size(i));
  copy_(part, found);
  return out;
}

}  // namespace

Tensor scatter(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src, ScatterOp op) {
  const Scatter s(x, dim, index, src, op);
  const bool records = recording(x, src);
  check<NotImplementedError>(!records || op != ScatterOp::Multiply,
                             "scatter: reduce='multiply' has no gradient; detach() the operands, "
                             "or multiply by a tensor of ones that was scattered to");
  Tensor y = clone(detach(x));
  s.into(y, op);
  if (records)
    record(s.name, {y}, {x, src},
           [index = Saved::input(index), d = s.dim, number = s.number, sizes = src.sizes(),
            dtype = src.dtype(), op](Backward& b) {
             const Tensor at_ = b(index);
             if (b.needs(0))
               b.set(0, op == ScatterOp::Add ? b.grad() : scatter(b.grad(), d, at_, scalar(0.0)));
             if (!b.needs(1)) return;
             const Tensor read =
                 number ? sum(gather(b.grad(), d, at_)) : read_back(b.grad(), d, at_, sizes);
             b.set(1, to(read, dtype));
           });
  return y;
}

void scatter_(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& src,
              ScatterOp op) {
  const char* name = op == ScatterOp::Add ? "scatter_add_" : "scatter_";
  write(
      name, self, recording(self, src), [&] { Scatter(self, dim, index, src, op).into(self, op); },
      [&](const Tensor& x) { return scatter(x, dim, index, src, op); });
}

// -- whole slices
// ----------------------------------------------------------------------------------

namespace {

// The slices of a tensor that a 1-d index names.
struct Slices {
  Slices(const char* op, const Tensor& self, int64_t dim_, const Tensor& index, bool from_end)
      : dim(wrap_dim(op, dim_, self.rank())), rank(self.rank()), sizes(at_least_1d(self).sizes()) {
    check<ValueError>(index.rank() <= 1, op, ": the index must have one dimension",
                      line("index", index));
    check_same_device(op, self, index);
    positions = checked_positions(op, at_least_1d(index), at_least_1d(detach(self)), dim, from_end);
    sizes[dim] = positions.numel();
  }

  // Writes or adds to the slices of `self`, which nothing records.
  void put(const Tensor& self, const Tensor& values, bool accumulate) const {
    const GradMode off(false);
    std::vector<Tensor> indices(static_cast<size_t>(dim) + 1);
    indices.back() = positions;
    index_put_(at_least_1d(self), indices, detach(values), accumulate);
  }

  int dim, rank;
  Dims sizes;  // of the slices, one after the other
  Tensor positions;
};

// `source`, checked to be as many slices as the index names.
Tensor slices_of(const char* op, const Slices& s, const Tensor& self, const Tensor& source) {
  check<TypeError>(source.dtype() == self.dtype(), op, ": the source must have the tensor's dtype ",
                   self.dtype(), ", got ", source.dtype());
  check_same_device(op, self, source);
  const bool fits = source.rank() == 0 ? s.sizes == Dims{1} : source.sizes() == s.sizes;
  check<ValueError>(fits, op,
                    ": the source must have the tensor's sizes but for one slice an index "
                    "along dimension ",
                    s.dim, line("tensor", self), line("source", source), line("needs", s.sizes));
  return at_least_1d(source);
}

Tensor scaled(const Tensor& x, Scalar factor) {
  return factor.value() == 1 ? x : to(mul(x, scalar(factor, x.device())), x.dtype());
}

// A float factor would be cut off where integers are scaled.
void check_factor(const char* op, const char* name, const Tensor& x, Scalar factor) {
  check<TypeError>(is_floating(x.dtype()) || factor.kind != Scalar::Kind::Float, op, ": ", name,
                   " must be an integer for a tensor of ", x.dtype(), ", got ", factor.value());
}

Tensor cut(const Tensor& g, int dim, const Tensor& index, const Dims& sizes) {
  return reshape(index_select(at_least_1d(g), dim, index), sizes);
}

}  // namespace

Tensor index_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source,
                 Scalar alpha) {
  const Slices s("index_add", x, dim, index, false);
  const Tensor values = slices_of("index_add", s, x, source);
  check_factor("index_add", "alpha", x, alpha);
  Tensor y = clone(detach(x));
  s.put(y, scaled(detach(values), alpha), true);
  if (recording(x, source))
    record(
        "index_add", {y}, {x, source},
        [index = Saved::input(s.positions), d = s.dim, sizes = source.sizes(), alpha](Backward& b) {
          if (b.needs(0)) b.set(0, b.grad());
          if (b.needs(1)) b.set(1, scaled(cut(b.grad(), d, b(index), sizes), alpha));
        });
  return y;
}

Tensor index_copy(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source) {
  const Slices s("index_copy", x, dim, index, false);
  const Tensor values = slices_of("index_copy", s, x, source);
  Tensor y = clone(detach(x));
  s.put(y, values, false);
  if (recording(x, source))
    record("index_copy", {y}, {x, source},
           [index = Saved::input(s.positions), d = s.dim, sizes = source.sizes()](Backward& b) {
             const Tensor at_ = b(index);
             if (b.needs(0)) b.set(0, index_fill(b.grad(), d, at_, scalar(0.0)));
             if (b.needs(1)) b.set(1, cut(b.grad(), d, at_, sizes));
           });
  return y;
}

Tensor index_fill(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& value) {
  check<ValueError>(value.rank() == 0, "index_fill: the value must be a number or a 0-d tensor",
                    line("value", value));
  const Slices s("index_fill", x, dim, index, true);
  Tensor y = clone(detach(x));
  s.put(y, value, false);
  if (recording(x, value))
    record("index_fill", {y}, {x, value},
           [index = Saved::input(s.positions), d = s.dim, dtype = value.dtype()](Backward& b) {
             const Tensor outside = index_fill(b.grad(), d, b(index), scalar(0.0));
             if (b.needs(0)) b.set(0, outside);
             // An element counts once, however often the index names it.
             if (b.needs(1)) b.set(1, to(sum(sub(b.grad(), outside)), dtype));
           });
  return y;
}

void index_add_(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source,
                Scalar alpha) {
  write(
      "index_add_", self, recording(self, source),
      [&] {
        const Slices s("index_add_", self, dim, index, false);
        const Tensor values = slices_of("index_add_", s, self, source);
        check_factor("index_add_", "alpha", self, alpha);
        s.put(self, scaled(detach(values), alpha), true);
      },
      [&](const Tensor& x) { return index_add(x, dim, index, source, alpha); });
}

void index_copy_(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source) {
  write(
      "index_copy_", self, recording(self, source),
      [&] {
        const Slices s("index_copy_", self, dim, index, false);
        s.put(self, slices_of("index_copy_", s, self, source), false);
      },
      [&](const Tensor& x) { return index_copy(x, dim, index, source); });
}

void index_fill_(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& value) {
  check<ValueError>(value.rank() == 0, "index_fill_: the value must be a number or a 0-d tensor",
                    line("value", value));
  write(
      "index_fill_", self, recording(self, value),
      [&] { Slices("index_fill_", self, dim, index, true).put(self, value, false); },
      [&](const Tensor& x) { return index_fill(x, dim, index, value); });
}

}  // namespace lamina::ops
