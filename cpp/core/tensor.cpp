#include "core/tensor.h"

#include <algorithm>

namespace lamina {

std::string to_text(const Tensor& t) {
  std::string out = to_text(t.sizes());
  if (t.dtype() != DType::Float32) text::append(out, text::concat(" ", t.dtype()));
  if (!t.device().is_cpu()) text::append(out, text::concat(" ", t.device()));
  return out;
}

int64_t strided_extent(std::span<const int64_t> sizes, std::span<const int64_t> strides) {
  // What overflows reaches further than any memory: an extent that callers can still multiply.
  constexpr int64_t kBeyond = int64_t{1} << 59;
  int64_t last = 0;
  bool beyond = false;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 0) return 0;
    int64_t reach = 0;
    beyond = beyond || __builtin_mul_overflow(sizes[i] - 1, strides[i], &reach) ||
             __builtin_add_overflow(last, reach, &last) || last >= kBeyond;
  }
  return beyond ? kBeyond : last + 1;
}

bool overlaps_itself(std::span<const int64_t> sizes, std::span<const int64_t> strides) {
  // Sorted by stride, each dimension must step over all that the smaller ones span. Exotic layouts
  // that interleave without meeting are called overlapping: refused, never wrong.
  Dims order;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 0) return false;
    if (sizes[i] > 1) order.push_back(static_cast<int64_t>(i));
  }
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return strides[static_cast<size_t>(a)] < strides[static_cast<size_t>(b)];
  });
  int64_t span = 1;
  for (const int64_t i : order) {
    const auto d = static_cast<size_t>(i);
    if (strides[d] < span) return true;
    span = strides[d] * (sizes[d] - 1) + span;
  }
  return false;
}

namespace {

Tensor make_tensor(Ptr<Storage> storage, const Dims& sizes, const Dims& strides, int64_t offset,
                   DType dtype, int64_t numel, bool contiguous) {
  auto impl = make<TensorImpl>();
  impl->storage = std::move(storage);
  impl->offset = offset;
  impl->sizes = sizes;
  impl->strides = strides;
  impl->dtype = dtype;
  impl->numel = numel;
  impl->contiguous = contiguous;
  return Tensor(std::move(impl));
}

}  // namespace

Tensor empty(const Dims& sizes, DType dtype, Device device) {
  const int64_t numel = checked_numel(sizes);
  const auto bytes = static_cast<size_t>(numel * item_size(dtype));
  return make_tensor(make<Storage>(device, bytes), sizes, contiguous_strides(sizes), 0, dtype,
                     numel, true);
}

Tensor empty_strided(const Dims& sizes, const Dims& strides, DType dtype, Device device) {
  const int64_t numel = checked_numel(sizes);
  const int64_t bytes = strided_extent(sizes, strides) * item_size(dtype);
  return make_tensor(make<Storage>(device, static_cast<size_t>(bytes)), sizes, strides, 0, dtype,
                     numel, is_contiguous(sizes, strides));
}

Tensor alias(const Tensor& t, const Dims& sizes, const Dims& strides, int64_t offset) {
  return make_tensor(t.impl()->storage, sizes, strides, offset, t.dtype(), checked_numel(sizes),
                     is_contiguous(sizes, strides));
}

Tensor alias(const Tensor& t) {
  return make_tensor(t.impl()->storage, t.sizes(), t.strides(), t.offset(), t.dtype(), t.numel(),
                     t.contiguous());
}

}  // namespace lamina
