#include "core/shape.h"

namespace lamina {

int64_t checked_numel(std::span<const int64_t> sizes) {
  // Bytes must fit an int64 even at 8 bytes an element. A size of 0 does not excuse the others: the
  // strides of such a tensor would not fit either.
  constexpr int64_t kLimit = int64_t{1} << 59;
  int64_t n = 1;
  bool zero = false;
  bool huge = false;
  for (const int64_t s : sizes) {
    check<ValueError>(s >= 0, "a tensor's size cannot be negative, got ", sizes);
    zero |= s == 0;
    if (s == 0) continue;
    huge = huge || __builtin_mul_overflow(n, s, &n) || n > kLimit;
  }
  check<MemoryError>(!huge, "a tensor of sizes ", sizes, " has more elements than memory can hold");
  return zero ? 0 : n;
}

Dims contiguous_strides(std::span<const int64_t> sizes) {
  Dims strides(sizes);
  int64_t step = 1;
  for (int i = strides.rank() - 1; i >= 0; --i) {
    strides[i] = step;
    step *= std::max<int64_t>(sizes[static_cast<size_t>(i)], 1);
  }
  return strides;
}

bool is_contiguous(std::span<const int64_t> sizes, std::span<const int64_t> strides) {
  int64_t step = 1;
  for (size_t i = sizes.size(); i-- > 0;) {
    if (sizes[i] == 0) return true;
    if (sizes[i] != 1 && strides[i] != step) return false;
    step *= sizes[i];
  }
  return true;
}

Dims broadcast_sizes(const char* op, std::span<const int64_t> a, std::span<const int64_t> b) {
  if (a.size() < b.size()) std::swap(a, b);
  Dims out(a);
  const size_t lead = a.size() - b.size();
  for (size_t i = 0; i < b.size(); ++i) {
    int64_t& size = out[static_cast<int>(lead + i)];
    if (size == b[i] || b[i] == 1) continue;
    check<ValueError>(size == 1, op, ": sizes ", a, " and ", b, " do not broadcast: ", size,
                      " against ", b[i], " in dimension ", lead + i);
    size = b[i];
  }
  return out;
}

bool can_broadcast_to(std::span<const int64_t> from, std::span<const int64_t> to) {
  if (from.size() > to.size()) return false;
  const size_t lead = to.size() - from.size();
  for (size_t i = 0; i < from.size(); ++i)
    if (from[i] != 1 && from[i] != to[lead + i]) return false;
  return true;
}

int wrap_dim(const char* op, int64_t dim, int rank) {
  const int64_t n = std::max(rank, 1);
  check<IndexError>(dim >= -n && dim < n, op, ": dim ", dim, " is out of range for a tensor of ",
                    rank, " dimensions (expected ", -n, " to ", n - 1, ")");
  return static_cast<int>(dim < 0 ? dim + n : dim);
}

}  // namespace lamina
