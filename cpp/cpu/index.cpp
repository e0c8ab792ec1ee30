// Reading and writing rows that index tensors name, and what boolean masks need.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>

#include "core/iter.h"
#include "core/parallel.h"
#include "cpu/convert.h"
#include "cpu/drivers.h"
#include "cpu/integer_micro.h"
#include "cpu/tasks.h"
#include "cpu/workspace.h"

namespace lamina::cpu {
namespace {

constexpr int64_t kGrainBytes = 64 * 1024;

// Calls f(i, offset) for elements [begin, end) in logical order, offset = sum of index * stride.
template <class F>
void walk(std::span<const int64_t> sizes, std::span<const int64_t> strides, int64_t begin,
          int64_t end, F&& f) {
  const int rank = static_cast<int>(sizes.size());
  int64_t at[kMaxRank];
  int64_t offset = 0;
  int64_t rest = begin;
  for (int d = rank - 1; d >= 0; --d) {
    const auto k = static_cast<size_t>(d);
    at[d] = rest % sizes[k];
    rest /= sizes[k];
    offset += at[d] * strides[k];
  }
  for (int64_t i = begin; i < end; ++i) {
    f(i, offset);
    for (int d = rank - 1; d >= 0; --d) {
      const auto k = static_cast<size_t>(d);
      offset += strides[k];
      if (++at[d] < sizes[k]) break;
      offset -= at[d] * strides[k];
      at[d] = 0;
    }
  }
}

// Strides of t when it is broadcast to `sizes`.
Dims broadcast_strides(const TensorRef& t, std::span<const int64_t> sizes) {
  Dims out = Dims::filled(static_cast<int>(sizes.size()), 0);
  for (int d = 1; d <= t.rank(); ++d) {
    const auto k = static_cast<size_t>(t.rank() - d);
    if (t.sizes[k] != 1) out[out.rank() - d] = t.strides[k];
  }
  return out;
}

TensorRef trailing(const TensorRef& t, int leading) {
  const auto n = static_cast<size_t>(leading);
  return {t.data, t.sizes.subspan(n), t.strides.subspan(n), t.dtype};
}

// The positions that index tensors give in the tensor `t` that they index.
class Positions {
 public:
  Positions(const TensorRef& t, std::span<const TensorRef> indices)
      : indexed_(t), indices_(indices), sizes_(indices[0].sizes) {
    for (const TensorRef& index : indices.subspan(1))
      sizes_ = broadcast_sizes("index", sizes_, index.sizes);
    count_ = checked_numel(sizes_);
  }

  const Dims& sizes() const { return sizes_; }
  int64_t count() const { return count_; }
  int indexed() const { return static_cast<int>(indices_.size()); }

  // out[m - begin] = sum over the indices of value * multipliers[k].
  void compute(int64_t begin, int64_t end, const Dims& multipliers, int64_t* out) const {
    std::fill(out, out + (end - begin), 0);
    for (int k = 0; k < indexed(); ++k) {
      const TensorRef& index = indices_[static_cast<size_t>(k)];
      const auto* values = index.as<const int64_t>();
      const int64_t size = indexed_.sizes[static_cast<size_t>(k)];
      const int64_t by = multipliers[k];
      walk(sizes_, broadcast_strides(index, sizes_), begin, end, [&](int64_t m, int64_t at) {
        const int64_t v = values[at];
        out[m - begin] += (v < 0 ? v + size : v) * by;
      });
    }
  }

  // Multipliers that give byte offsets, and row numbers.
  Dims byte_strides() const {
    Dims out;
    for (int k = 0; k < indexed(); ++k)
      out.push_back(indexed_.strides[static_cast<size_t>(k)] * item_size(indexed_.dtype));
    return out;
  }
  Dims row_strides() const {
    return contiguous_strides(indexed_.sizes.first(static_cast<size_t>(indexed())));
  }

 private:
  const TensorRef& indexed_;
  std::span<const TensorRef> indices_;
  Dims sizes_;
  int64_t count_;
};

void copy_row(char* dst, const char* src, int64_t bytes) {
  switch (bytes) {
    case 4: std::memcpy(dst, src, 4); break;
    case 8: std::memcpy(dst, src, 8); break;
    default: std::memcpy(dst, src, static_cast<size_t>(bytes));
  }
}

bool overlap(const TensorRef& a, const TensorRef& b) {
  const auto* pa = static_cast<const char*>(a.data);
  const auto* pb = static_cast<const char*>(b.data);
  return pa < pb + strided_extent(b.sizes, b.strides) * item_size(b.dtype) &&
         pb < pa + strided_extent(a.sizes, a.strides) * item_size(a.dtype);
}

}  // namespace

void index_read(Ctx& ctx, const TensorRef& dst, const TensorRef& src,
                std::span<const TensorRef> indices) {
  if (dst.numel() == 0) return;
  if (dst.dtype != src.dtype || !dst.contiguous()) {
    const Tensor rows = empty(Dims(dst.sizes), src.dtype);
    index_read(ctx, rows, src, indices);
    copy(ctx, dst, rows);
    return;
  }
  const Positions positions(src, indices);
  const Dims strides = positions.byte_strides();
  const TensorRef src_row = trailing(src, positions.indexed());
  const TensorRef dst_row = trailing(dst, positions.sizes().rank());
  const int64_t item = item_size(src.dtype);
  const int64_t row = src_row.numel();
  const bool whole = src_row.contiguous();
  const Iter it("index", {dst_row, src_row});
  const CastRun cast = cast_run("index", dst.dtype, src.dtype);
  parallel_for(positions.count(), std::max<int64_t>(1, kGrainBytes / (row * item + 8)),
               [&](int64_t begin, int64_t end) {
                 constexpr int64_t kBatch = 256;
                 int64_t offsets[kBatch];
                 for (int64_t at = begin; at < end; at += kBatch) {
                   const int64_t n = std::min(kBatch, end - at);
                   positions.compute(at, at + n, strides, offsets);
                   for (int64_t m = 0; m < n; ++m) {
                     const int64_t to = (at + m) * row * item;
                     if (whole) {
                       copy_row(static_cast<char*>(dst.data) + to,
                                static_cast<const char*>(src.data) + offsets[m], row * item);
                     } else {
                       it.for_range(0, row, [&](int64_t run, char* const* p, const int64_t* steps) {
                         cast(run, p[0] + to, steps[0], p[1] + offsets[m], steps[1]);
                       });
                     }
                   }
                 }
               });
}

namespace {

// m in [0, count), ordered by row number, equal ones by m.
void order_by_row(const int64_t* rows, int64_t count, int64_t total_rows, int64_t* order) {
  if (total_rows <= 4 * count) {
    Workspace<int64_t> next(total_rows + 1);
    std::fill(next.data(), next.data() + total_rows + 1, 0);
    for (int64_t m = 0; m < count; ++m) ++next[rows[m] + 1];
    std::partial_sum(next.data(), next.data() + total_rows + 1, next.data());
    for (int64_t m = 0; m < count; ++m) order[next[rows[m]]++] = m;
  } else {
    std::iota(order, order + count, 0);
    std::stable_sort(order, order + count, [&](int64_t a, int64_t b) { return rows[a] < rows[b]; });
  }
}

template <class T>
void add_run(int64_t n, char* dst, int64_t dst_stride, const char* src, int64_t src_stride) {
  constexpr int64_t kItem = sizeof(T);
  const auto& kernels = reduce_micro<T>();
  if (n > 1 && dst_stride == kItem && src_stride == kItem) {
    kernels.add(n, reinterpret_cast<T*>(dst), reinterpret_cast<const T*>(src));
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    T* to = reinterpret_cast<T*>(dst + i * dst_stride);
    const T value = read<T>(src + i * src_stride);
    if constexpr (std::is_floating_point_v<T>)
      *to += value;
    else
      kernels.add(1, to, &value);
  }
}

}  // namespace

void index_write(Ctx& ctx, const TensorRef& dst, std::span<const TensorRef> indices,
                 const TensorRef& src, bool accumulate) {
  const Positions positions(dst, indices);
  const TensorRef dst_row = trailing(dst, positions.indexed());
  const int64_t row = dst_row.numel();
  const int64_t count = positions.count();
  if (count * row == 0) return;
  if (src.dtype != dst.dtype || overlap(dst, src)) {
    const Tensor own = empty(Dims(src.sizes), dst.dtype);
    copy(ctx, own, src);
    index_write(ctx, dst, indices, own, accumulate);
    return;
  }

  Dims sizes = positions.sizes();
  for (const int64_t s : dst_row.sizes) sizes.push_back(s);
  check<ValueError>(can_broadcast_to(src.sizes, sizes), "index: cannot write values of sizes ",
                    src.sizes, " to an indexed part of sizes ", sizes);
  const Dims src_strides = broadcast_strides(src, sizes);
  const auto split = static_cast<size_t>(positions.sizes().rank());
  const std::span<const int64_t> all_strides = src_strides;
  const TensorRef src_row{src.data, dst_row.sizes, all_strides.subspan(split), src.dtype};
  Dims src_steps(all_strides.first(split));
  const int64_t item = item_size(dst.dtype);
  for (int64_t& s : src_steps) s *= item;

  const Iter it("index", {dst_row, src_row});
  const CastRun apply =
      accumulate ? dispatch("index", dst.dtype, []<class T>() -> CastRun { return add_run<T>; })
                 : cast_run("index", dst.dtype, src.dtype);
  const auto write = [&](int64_t to, int64_t from) {
    it.for_range(0, row, [&](int64_t n, char* const* p, const int64_t* steps) {
      apply(n, p[0] + to, steps[0], p[1] + from, steps[1]);
    });
  };

  Workspace<int64_t> to(count);
  positions.compute(0, count, positions.byte_strides(), to.data());
  Workspace<int64_t> from(count);
  walk(positions.sizes(), src_steps, 0, count, [&](int64_t m, int64_t at) { from[m] = at; });
  if (count * (row * item + 8) <= 2 * kGrainBytes || num_threads() == 1) {
    for (int64_t m = 0; m < count; ++m) write(to[m], from[m]);
    return;
  }

  // Sorted by destination, stable. A block owns the rows that begin in it, and sees the last of
  // them to its end: every row has one owner, which takes its sources in index order. So the bits
  // are those of the loop above.
  Workspace<int64_t> rows(count);
  positions.compute(0, count, positions.row_strides(), rows.data());
  Workspace<int64_t> order(count);
  const Dims leading(dst.sizes.first(static_cast<size_t>(positions.indexed())));
  order_by_row(rows.data(), count, checked_numel(leading), order.data());
  parallel_for(count, std::max<int64_t>(1, kGrainBytes / (row * item + 8)),
               [&](int64_t begin, int64_t end) {
                 const auto continues = [&](int64_t i) {
                   return i > 0 && rows[order[i]] == rows[order[i - 1]];
                 };
                 int64_t i = begin;
                 while (i < end && continues(i)) ++i;
                 if (i == end) return;
                 for (; i < end || (i < count && continues(i)); ++i)
                   write(to[order[i]], from[order[i]]);
               });
}

bool indices_in_range(Ctx& ctx, const TensorRef& index, int64_t low, int64_t high, int64_t* bad) {
  if (!index.contiguous()) {
    const Tensor rows = empty(Dims(index.sizes), index.dtype);
    copy(ctx, rows, index);
    return indices_in_range(ctx, rows, low, high, bad);
  }
  const auto* values = index.as<const int64_t>();
  const int64_t count = index.numel();
  std::atomic<int64_t> first{count};
  parallel_for(count, 64 * 1024, [&](int64_t begin, int64_t end) {
    int64_t wrong = 0;
    for (int64_t i = begin; i < end; ++i) wrong += values[i] < low || values[i] >= high;
    if (wrong == 0) return;
    int64_t at = begin;
    while (values[at] >= low && values[at] < high) ++at;
    int64_t known = first.load();
    while (at < known && !first.compare_exchange_weak(known, at)) {
    }
  });
  if (first == count) return true;
  *bad = values[first];
  return false;
}

namespace {

constexpr int64_t kMaskGrain = 64 * 1024;

int64_t count_true(const uint8_t* p, int64_t n) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) count += p[i] != 0;
  return count;
}

// x as contiguous bools; `own` keeps them when that takes a copy.
const uint8_t* as_mask(Ctx& ctx, const TensorRef& x, Tensor* own) {
  if (x.dtype == DType::Bool && x.contiguous()) return x.as<const uint8_t>();
  *own = empty(Dims(x.sizes), DType::Bool);
  copy(ctx, *own, x);
  return own->as<const uint8_t>();
}

}  // namespace

int64_t count_nonzero(Ctx& ctx, const TensorRef& x) {
  Tensor own;
  const uint8_t* mask = as_mask(ctx, x, &own);
  std::atomic<int64_t> total{0};
  parallel_for(x.numel(), kMaskGrain, [&](int64_t begin, int64_t end) {
    total.fetch_add(count_true(mask + begin, end - begin), std::memory_order_relaxed);
  });
  return total;
}

void nonzero(Ctx& ctx, const TensorRef& dst, const TensorRef& x) {
  Tensor own;
  const uint8_t* mask = as_mask(ctx, x, &own);
  const int64_t n = x.numel();
  const int64_t blocks = ceil_div(n, kMaskGrain);
  Workspace<int64_t> start(blocks + 1);
  start[0] = 0;
  parallel_for(n, kMaskGrain, [&](int64_t begin, int64_t end) {
    start[begin / kMaskGrain + 1] = count_true(mask + begin, end - begin);
  });
  for (int64_t b = 0; b < blocks; ++b) start[b + 1] += start[b];
  const int rank = x.rank();
  auto* out = dst.as<int64_t>();
  parallel_for(n, kMaskGrain, [&](int64_t begin, int64_t end) {
    int64_t* to = out + start[begin / kMaskGrain] * rank;
    for (int64_t i = begin; i < end; ++i) {
      if (mask[i] == 0) continue;
      int64_t rest = i;
      for (int d = rank - 1; d >= 0; --d) {
        to[d] = rest % x.sizes[static_cast<size_t>(d)];
        rest /= x.sizes[static_cast<size_t>(d)];
      }
      to += rank;
    }
  });
}

}  // namespace lamina::cpu
