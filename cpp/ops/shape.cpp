// Ops that change the layout with a copy, or without one where they can.
#include "ops/common.h"

namespace lamina::ops {

Tensor reshape(const Tensor& x, IntList sizes) {
  const Dims to_sizes = resolve_sizes("reshape", x, sizes);
  if (Tensor y = try_view(x, to_sizes); y.defined()) return y;
  return try_view(clone(x), to_sizes);
}

Tensor flatten(const Tensor& x, int64_t start, int64_t end) {
  if (x.rank() == 0) return reshape(x, Dims{1});
  const int first = wrap_dim("flatten", start, x.rank());
  const int last = wrap_dim("flatten", end, x.rank());
  check<ValueError>(first <= last, "flatten: start_dim ", start, " comes after end_dim ", end);
  if (first == last) return x;
  Dims sizes;
  for (int i = 0; i < x.rank(); ++i) {
    if (i > first && i <= last)
      sizes[first] *= x.size(i);
    else
      sizes.push_back(x.size(i));
  }
  return reshape(x, sizes);
}

Tensor clone(const Tensor& x) {
  Tensor y = empty_like(x);
  call<&DeviceApi::copy>(x.device(), "clone", y, x);
  if (recording(x)) record("clone", {y}, {x}, [](Backward& b) { b.set(0, b.take_grad()); });
  return y;
}

Tensor contiguous(const Tensor& x) { return x.contiguous() ? x : clone(x); }

Tensor cat(std::span<const Tensor> tensors, int64_t dim) {
  check<ValueError>(!tensors.empty(), "cat: needs at least one tensor");
  DType dtype = tensors[0].dtype();
  for (const Tensor& t : tensors) {
    dtype = promote(dtype, t.dtype());
    check<ValueError>(t.rank() > 0, "cat: 0-d tensors can't be concatenated; use stack()");
    check_same_device("cat", tensors[0], t);
  }
  // An empty 1-d tensor joins anything, as in PyTorch.
  const auto skipped = [](const Tensor& t) { return t.rank() == 1 && t.size(0) == 0; };
  const Tensor* model = &tensors[0];
  for (const Tensor& t : tensors)
    if (skipped(*model) && !skipped(t)) model = &t;
  const int d = wrap_dim("cat", dim, model->rank());
  Dims sizes = model->sizes();
  sizes[d] = 0;
  std::vector<int64_t> parts;
  for (size_t k = 0; k < tensors.size(); ++k) {
    const Tensor& t = tensors[k];
    const bool skip = skipped(t) && model->rank() != 1;
    bool fits = skip || t.rank() == model->rank();
    for (int i = 0; fits && !skip && i < t.rank(); ++i)
      fits = i == d || t.size(i) == model->size(i);
    check<ValueError>(fits, "cat: tensors must have the same sizes but for dimension ", d,
                      line("first", *model), line(text::concat("no. ", k), t));
    parts.push_back(skip ? 0 : t.size(d));
    sizes[d] += parts.back();
  }
  Tensor out = empty(sizes, dtype, model->device());
  bool records = false;
  int64_t at_ = 0;
  for (size_t k = 0; k < tensors.size(); ++k) {
    records = records || recording(tensors[k]);
    if (parts[k] == 0) continue;
    Dims part = sizes;
    part[d] = parts[k];
    const Tensor into = alias(out, part, out.strides(), at_ * out.stride(d));
    call<&DeviceApi::copy>(out.device(), "cat", into, tensors[k]);
    at_ += parts[k];
  }
  if (records) {
    std::vector<DType> dtypes;
    std::vector<Dims> shapes;
    for (const Tensor& t : tensors) {
      dtypes.push_back(t.dtype());
      shapes.push_back(t.sizes());
    }
    record("cat", {out}, tensors,
           [parts = std::move(parts), dtypes = std::move(dtypes), shapes = std::move(shapes),
            d](Backward& b) {
             int64_t start = 0;
             for (size_t k = 0; k < parts.size(); ++k) {
               if (b.needs(k))
                 b.set(k, reshape(to(slice(b.grad(), d, start, start + parts[k]), dtypes[k]),
                                  shapes[k]));
               start += parts[k];
             }
           });
  }
  return out;
}

Tensor stack(std::span<const Tensor> tensors, int64_t dim) {
  check<ValueError>(!tensors.empty(), "stack: needs at least one tensor");
  std::vector<Tensor> rows;
  for (const Tensor& t : tensors) {
    check<ValueError>(t.sizes() == tensors[0].sizes(), "stack: tensors must have the same sizes",
                      line("first", tensors[0]), line("other", t));
    rows.push_back(unsqueeze(t, dim));
  }
  return cat(rows, wrap_dim("stack", dim, tensors[0].rank() + 1));
}

}  // namespace lamina::ops
