// Indexing with tensors of integers and masks.
#include "ops/common.h"

namespace lamina::ops {
namespace {

// x[indices] as the device does it: indexed dimensions moved to the front of x, all index tensors
// of one shape; and where the index's shape goes in the result.
struct IndexPlan {
  std::vector<Tensor> indices;
  Dims order;      // of x's dimensions: the indexed ones, then the rest
  Dims raw_sizes;  // index shape, then the rest: what index_read writes
  Dims to_result;  // permutes raw_sizes to the result's

  std::vector<TensorRef> refs() const {
    std::vector<TensorRef> out;
    for (const Tensor& t : indices) out.push_back(t);
    return out;
  }
  Dims from_result() const {
    Dims inverse = to_result;
    for (int i = 0; i < to_result.rank(); ++i) inverse[static_cast<int>(to_result[i])] = i;
    return inverse;
  }
};

// One entry for each dimension: a mask becomes the positions of its true elements.
std::vector<Tensor> integer_indices(const Tensor& x, std::span<const Tensor> indices) {
  std::vector<Tensor> out;
  for (const Tensor& t : indices) {
    const auto dim = static_cast<int>(out.size());
    if (!t.defined()) {
      out.emplace_back();
      continue;
    }
    check<TypeError>(!is_floating(t.dtype()), "index: indices must be integers or bool, got ",
                     t.dtype());
    if (t.dtype() != DType::Bool) {
      out.push_back(to(detach(t), DType::Int64));
      continue;
    }
    for (int i = 0; i < t.rank(); ++i)
      check<IndexError>(dim + i < x.rank() && t.size(i) == x.size(dim + i),
                        "index: the mask's sizes do not fit the tensor's", line("tensor", x),
                        line("mask", t.sizes()));
    const Tensor positions = nonzero(t);
    for (int i = 0; i < t.rank(); ++i) out.push_back(contiguous(select(positions, 1, i)));
  }
  check<IndexError>(static_cast<int>(out.size()) <= x.rank(), "index: ", out.size(),
                    " indices for a tensor of ", x.rank(), " dimensions", line("tensor", x));
  return out;
}

IndexPlan plan_index(const Tensor& x, std::span<const Tensor> given) {
  IndexPlan plan;
  const std::vector<Tensor> entries = integer_indices(x, given);
  Dims shape;
  Dims rest;
  int first = -1;
  int last = -1;
  for (int i = 0; i < x.rank(); ++i) {
    const bool indexed =
        static_cast<size_t>(i) < entries.size() && entries[static_cast<size_t>(i)].defined();
    if (!indexed) {
      rest.push_back(i);
      continue;
    }
    const Tensor& index = entries[static_cast<size_t>(i)];
    int64_t bad = 0;
    if (!call<&DeviceApi::indices_in_range>(index.device(), "index", index, -x.size(i), x.size(i),
                                            &bad))
      raise<IndexError>("index ", bad, " is out of range for dimension ", i, " of size ", x.size(i),
                        line("tensor", x));
    if (first < 0) first = i;
    last = i;
    shape = plan.order.empty() ? index.sizes() : broadcast_sizes("index", shape, index.sizes());
    plan.order.push_back(i);
    plan.indices.push_back(at(index, x.device()));
  }
  const int count = plan.order.rank();
  check<IndexError>(count > 0, "index: needs at least one index tensor");
  for (Tensor& index : plan.indices) index = contiguous(detach(expand(index, shape)));
  for (const int64_t d : rest) plan.order.push_back(d);
  plan.raw_sizes = shape;
  for (const int64_t d : rest) plan.raw_sizes.push_back(x.size(static_cast<int>(d)));
  // Adjacent indices leave their result in their place; others put it in front (NumPy's rule).
  const int before = last - first + 1 == count ? first : 0;
  for (int i = 0; i < before; ++i) plan.to_result.push_back(shape.rank() + i);
  for (int i = 0; i < shape.rank(); ++i) plan.to_result.push_back(i);
  for (int i = before; i < rest.rank(); ++i) plan.to_result.push_back(shape.rank() + i);
  return plan;
}

Tensor raw_index(const Tensor& x, const IndexPlan& plan) {
  Tensor raw = empty(plan.raw_sizes, x.dtype(), x.device());
  const auto refs = plan.refs();
  call<&DeviceApi::index_read>(x.device(), "index", raw, permute(x, plan.order),
                               std::span<const TensorRef>(refs));
  return contiguous(permute(raw, plan.to_result));
}

void raw_index_put(const Tensor& self, const IndexPlan& plan, const Tensor& values,
                   bool accumulate) {
  Dims result_sizes = plan.to_result;
  for (int i = 0; i < result_sizes.rank(); ++i)
    result_sizes[i] = plan.raw_sizes[static_cast<int>(plan.to_result[i])];
  check<ValueError>(can_broadcast_to(values.sizes(), result_sizes),
                    "index_put: the values do not broadcast to what is indexed",
                    line("values", values), line("indexed", result_sizes));
  const Tensor source = permute(expand(to(at(values, self.device()), self.dtype()), result_sizes),
                                plan.from_result());
  const auto refs = plan.refs();
  call<&DeviceApi::index_write>(self.device(), "index_put", permute(self, plan.order),
                                std::span<const TensorRef>(refs), source, accumulate);
}

// The indices as x saw them, one an indexed dimension, for use on a tensor of x's sizes.
std::vector<Saved> save_indices(const Tensor& x, std::span<const Tensor> indices) {
  std::vector<Saved> out;
  for (const Tensor& t : integer_indices(x, indices))
    out.push_back(t.defined() ? Saved::input(t) : Saved());
  return out;
}

std::vector<Tensor> unpack_indices(Backward& b, const std::vector<Saved>& saved) {
  std::vector<Tensor> out;
  for (const Saved& s : saved) out.push_back(b(s));
  return out;
}

}  // namespace

Tensor index(const Tensor& x, std::span<const Tensor> indices) {
  Tensor y = raw_index(detach(x), plan_index(x, indices));
  if (recording(x))
    record("index", {y}, {x}, [saved = save_indices(x, indices), sizes = x.sizes()](Backward& b) {
      Tensor dx = zeros(sizes, b.grad().dtype(), b.grad().device());
      index_put_(dx, unpack_indices(b, saved), b.grad(), true);
      b.set(0, dx);
    });
  return y;
}

void index_put_(const Tensor& self, std::span<const Tensor> indices, const Tensor& values,
                bool accumulate) {
  const bool records = recording(self, values);
  check_writable("index_put_", self, records);
  {
    const GradMode off(false);
    raw_index_put(self, plan_index(self, indices), values, accumulate);
  }
  Tensor history;
  if (records) {
    history = alias(self);
    record("index_put_", {history}, {self, values},
           [saved = save_indices(self, indices), accumulate, sizes = values.sizes(),
            dtype = values.dtype()](Backward& b) {
             const std::vector<Tensor> at_ = unpack_indices(b, saved);
             if (b.needs(1)) b.set(1, to(sum_to(index(b.grad(), at_), sizes), dtype));
             if (!b.needs(0)) return;
             if (accumulate) {
               b.set(0, b.grad());
               return;
             }
             Tensor outside = clone(b.grad());
             index_put_(outside, at_, scalar(0.0), false);
             b.set(0, outside);
           });
  }
  wrote("index_put_", self, history);
}

Tensor index_select(const Tensor& x, int64_t dim, const Tensor& index_) {
  const int d = wrap_dim("index_select", dim, x.rank());
  check<IndexError>(index_.rank() <= 1, "index_select: the index must have one dimension",
                    line("index", index_));
  std::vector<Tensor> indices(static_cast<size_t>(d) + 1);
  indices.back() = checked_positions("index_select", reshape(index_, Dims{index_.numel()}),
                                     x.rank() == 0 ? view(detach(x), Dims{1}) : x, d, false);
  if (x.rank() != 0) return index(x, indices);
  check<ValueError>(index_.numel() == 1, "index_select: of a 0-d tensor, one position can be taken",
                    line("index", index_));
  return reshape(index(view(x, Dims{1}), indices), Dims{});
}

Tensor gather_rows(const Tensor& x, const Tensor& index_) {
  check<ValueError>(x.rank() >= 1 && index_.rank() == 1,
                    "gather_rows: needs a tensor with rows and a 1-d index", line("input", x),
                    line("index", index_));
  check<TypeError>(is_integral(index_.dtype()), "gather_rows: the index must be integers, got ",
                   index_.dtype());
  return index(detach(x), std::span(&index_, 1));
}

Tensor masked_select(const Tensor& x, const Tensor& mask) {
  check<TypeError>(mask.dtype() == DType::Bool, "masked_select: the mask must be bool, got ",
                   mask.dtype());
  const Dims sizes = broadcast_sizes("masked_select", x.sizes(), mask.sizes());
  const Tensor where_ = expand(mask, sizes);
  return index(expand(x, sizes), std::span(&where_, 1));
}

Tensor masked_fill(const Tensor& x, const Tensor& mask, const Tensor& value) {
  check<TypeError>(mask.dtype() == DType::Bool, "masked_fill: the mask must be bool, got ",
                   mask.dtype());
  check<ValueError>(value.rank() == 0, "masked_fill: the value must be a number or a 0-d tensor",
                    line("value", value));
  return to(where(mask, value, x), x.dtype());
}

Tensor nonzero(const Tensor& x) {
  const int64_t count = call<&DeviceApi::count_nonzero>(x.device(), "nonzero", x);
  Tensor out = empty({count, x.rank()}, DType::Int64, x.device());
  call<&DeviceApi::nonzero>(x.device(), "nonzero", out, x);
  return out;
}

}  // namespace lamina::ops
