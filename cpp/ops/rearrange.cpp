// Views that need more than strides to say, and copies in another order.
#include <algorithm>
#include <numeric>

#include "ops/common.h"

namespace lamina::ops {

// -- views
// -----------------------------------------------------------------------------------------

Tensor unflatten(const Tensor& x, int64_t dim, IntList sizes) {
  const int d = wrap_dim("unflatten", dim, x.rank());
  check<ValueError>(x.rank() > 0, "unflatten: a 0-d tensor has no dimension to make several of");
  check<ValueError>(!sizes.empty(), "unflatten: needs at least one size");
  int64_t known = 1;
  int unknown = -1;
  for (int i = 0; i < static_cast<int>(sizes.size()); ++i) {
    const int64_t s = sizes[static_cast<size_t>(i)];
    check<ValueError>(s >= 0 || (s == -1 && unknown < 0), "unflatten: sizes must not be negative ",
                      "but for a single -1, got ", sizes);
    if (s == -1)
      unknown = i;
    else
      known *= s;
  }
  const int64_t n = x.size(d);
  check<ValueError>(unknown < 0 ? known == n : known != 0 && n % known == 0, "unflatten: sizes ",
                    sizes, " do not multiply to the size ", n, " of dimension ", d,
                    line("input", x));
  Dims out = x.sizes();
  out.erase(d);
  for (int i = 0; i < static_cast<int>(sizes.size()); ++i)
    out.insert(d + i, i == unknown ? n / known : sizes[static_cast<size_t>(i)]);
  return try_view(x, out);  // to cut a dimension up never needs a copy
}

Tensor movedim(const Tensor& x, IntList from, IntList to) {
  check<ValueError>(from.size() == to.size(),
                    "movedim: needs as many destinations as sources, got ", from, " and ", to);
  Dims order = Dims::filled(x.rank(), -1);
  bool moved[kMaxRank] = {};
  for (size_t i = 0; i < from.size(); ++i) {
    const int source = wrap_dim("movedim", from[i], x.rank());
    const int target = wrap_dim("movedim", to[i], x.rank());
    if (x.rank() == 0) continue;
    check<ValueError>(!moved[source], "movedim: a source appears twice in ", from);
    check<ValueError>(order[target] < 0, "movedim: a destination appears twice in ", to);
    moved[source] = true;
    order[target] = source;
  }
  int next = 0;
  for (int i = 0; i < x.rank(); ++i) {
    if (order[i] >= 0) continue;
    while (moved[next]) ++next;
    order[i] = next++;
  }
  return permute(x, order);
}

namespace {

// What unfold's windows add up to, each where it was.
Tensor fold_windows(const Tensor& g, const Dims& sizes, int d, int64_t size, int64_t step) {
  Tensor out = zeros(sizes, g.dtype(), g.device());
  const int64_t windows = g.size(d);
  {
    const GradMode off(false);
    // Whichever there are fewer of: windows, or positions in one.
    if (windows < size) {
      for (int64_t i = 0; i < windows; ++i)
        binary_(BinaryOp::add, slice(out, d, i * step, i * step + size),
                movedim(select(g, d, i), Dims{-1}, Dims{d}));
    } else {
      for (int64_t i = 0; i < size; ++i)
        binary_(BinaryOp::add, slice(out, d, i, i + (windows - 1) * step + 1, step),
                select(g, -1, i));
    }
  }
  if (recording(g))
    record("unfold_backward", {out}, {g},
           [d, size, step](Backward& b) { b.set(0, unfold(b.grad(), d, size, step)); });
  return out;
}

}  // namespace

Tensor unfold(const Tensor& x, int64_t dim, int64_t size, int64_t step) {
  const int d = wrap_dim("unfold", dim, x.rank());
  const int64_t n = x.rank() == 0 ? 1 : x.size(d);
  check<ValueError>(step > 0, "unfold: the step must be positive, got ", step);
  check<ValueError>(size >= 0 && size <= n, "unfold: the size of a window must lie in [0, ", n,
                    "], the size of dimension ", d, "; got ", size, line("input", x));
  if (x.rank() == 0) return select(unfold(view(x, Dims{1}), 0, size, step), 0, 0);
  Dims sizes = x.sizes();
  Dims strides = x.strides();
  sizes[d] = (n - size) / step + 1;
  step = std::min(step, std::max<int64_t>(n, 1));  // no larger one is ever taken
  strides.push_back(strides[d]);
  strides[d] *= step;
  sizes.push_back(size);
  Tensor y = alias(x, sizes, strides, x.offset());
  mark_view(y, x);
  if (recording(x))
    record("unfold", {y}, {x}, [from = x.sizes(), d, size, step](Backward& b) {
      b.set(0, fold_windows(b.grad(), from, d, size, step));
    });
  return y;
}

std::vector<Tensor> broadcast_tensors(std::span<const Tensor> tensors) {
  Dims sizes;
  for (const Tensor& t : tensors) sizes = broadcast_sizes("broadcast_tensors", sizes, t.sizes());
  std::vector<Tensor> out;
  for (const Tensor& t : tensors) out.push_back(expand(t, sizes));
  return out;
}

std::vector<Tensor> meshgrid(std::span<const Tensor> tensors, bool swapped) {
  const int rank = static_cast<int>(tensors.size());
  check<ValueError>(rank > 0, "meshgrid: needs at least one tensor");
  const auto place = [&](int i) { return swapped && rank > 1 && i < 2 ? 1 - i : i; };
  Dims sizes = Dims::filled(rank, 1);
  for (int i = 0; i < rank; ++i) {
    const Tensor& t = tensors[static_cast<size_t>(i)];
    check<ValueError>(t.rank() <= 1, "meshgrid: takes 0-d and 1-d tensors",
                      line(text::concat("no. ", i), t));
    check<TypeError>(t.dtype() == tensors[0].dtype(), "meshgrid: tensors must have one dtype, got ",
                     tensors[0].dtype(), " and ", t.dtype());
    sizes[place(i)] = t.numel();
  }
  std::vector<Tensor> out;
  for (int i = 0; i < rank; ++i) {
    const Tensor& t = tensors[static_cast<size_t>(i)];
    Dims own = Dims::filled(rank, 1);
    own[place(i)] = t.numel();
    out.push_back(expand(reshape(t, own), sizes));
  }
  return out;
}

// -- copies side by side
// ---------------------------------------------------------------------------

namespace {

// A size of so many copies; an empty tensor's other sizes may be of any size.
int64_t copies(const char* op, int64_t size, int64_t times) {
  check<ValueError>(times >= 0, op, ": a count must not be negative, got ", times);
  check<MemoryError>(size == 0 || times <= (int64_t{1} << 59) / size, op, ": ", times,
                     " copies of ", size, " elements are more than memory can hold");
  return size * times;
}

}  // namespace

Tensor repeat(const Tensor& x, IntList times) {
  const int rank = static_cast<int>(times.size());
  check<ValueError>(rank >= x.rank(), "repeat: needs one count for each of the ", x.rank(),
                    " dimensions, got ", rank);
  // [s] becomes [1, s], is expanded to [n, s] and then read as [n * s].
  Dims split, expanded, joined;
  for (int i = 0; i < rank; ++i) {
    const int own = i - (rank - x.rank());
    const int64_t size = own < 0 ? 1 : x.size(own);
    const int64_t n = times[static_cast<size_t>(i)];
    joined.push_back(copies("repeat", size, n));
    if (n != 1) {
      split.push_back(1);
      expanded.push_back(n);
    }
    split.push_back(size);
    expanded.push_back(size);
  }
  const Tensor out = reshape(expand(reshape(x, split), expanded), joined);
  return out.storage().data() == x.storage().data() ? clone(out) : out;
}

Tensor tile(const Tensor& x, IntList times) {
  Dims all(times);
  while (all.rank() < x.rank()) all.insert(0, 1);
  for (int i = 0; i < all.rank(); ++i) {
    const int own = i - (all.rank() - x.rank());
    copies("tile", own < 0 ? 1 : x.size(own), all[i]);
  }
  return repeat(x, all);
}

namespace {

// x and the dimension along which to repeat, which is all of it when none is given.
std::pair<Tensor, int> repeated(const Tensor& x, std::optional<int64_t> dim) {
  if (!dim || x.rank() == 0) {
    if (dim) wrap_dim("repeat_interleave", *dim, x.rank());
    return {reshape(x, Dims{x.numel()}), 0};
  }
  return {x, wrap_dim("repeat_interleave", *dim, x.rank())};
}

}  // namespace

Tensor repeat_interleave(const Tensor& x, int64_t times, std::optional<int64_t> dim) {
  const auto [whole, d] = repeated(x, dim);
  Dims sizes = whole.sizes();
  sizes.insert(d + 1, times);
  Dims joined = whole.sizes();
  joined[d] = copies("repeat_interleave", joined[d], times);
  const Tensor out = reshape(expand(unsqueeze(whole, d + 1), sizes), joined);
  return out.storage().data() == x.storage().data() ? clone(out) : out;
}

Tensor repeat_interleave(const Tensor& times) {
  check<ValueError>(times.rank() == 1, "repeat_interleave: the counts must have one dimension",
                    line("repeats", times));
  check<TypeError>(times.dtype() == DType::Int64 || times.dtype() == DType::Int32,
                   "repeat_interleave: the counts must be int64 or int32, got ", times.dtype());
  const Tensor counts = contiguous(to(to(detach(times), Device{}), DType::Int64));
  const auto* count = counts.as<const int64_t>();
  int64_t total = 0;
  for (int64_t i = 0; i < counts.numel(); ++i) {
    check<ValueError>(count[i] >= 0, "repeat_interleave: a count must not be negative, got ",
                      count[i]);
    check<ValueError>(count[i] <= (int64_t{1} << 62) - total,
                      "repeat_interleave: the counts add up to more than memory can hold");
    total += count[i];
  }
  Tensor out = empty({total}, DType::Int64);
  auto* to_ = out.as<int64_t>();
  for (int64_t i = 0; i < counts.numel(); ++i) to_ = std::fill_n(to_, count[i], i);
  return at(out, times.device());
}

Tensor repeat_interleave(const Tensor& x, const Tensor& times, std::optional<int64_t> dim) {
  const auto [whole, d] = repeated(x, dim);
  const int64_t n = whole.size(d);
  check<ValueError>(times.rank() <= 1, "repeat_interleave: the counts must have one dimension",
                    line("repeats", times));
  check<ValueError>(times.numel() == n || times.numel() == 1, "repeat_interleave: ", times.numel(),
                    " counts for ", n, " elements along dimension ", d, line("input", x));
  return index_select(whole, d, repeat_interleave(expand(reshape(times, Dims{-1}), Dims{n})));
}

namespace {

// At least so many dimensions, as NumPy adds them: a vector is a row of a matrix, a matrix a slice
// of a cube.
Tensor at_least(int rank, const Tensor& t) {
  if (t.rank() >= rank) return t;
  if (t.rank() == 0) return reshape(t, Dims::filled(rank, 1));
  const Tensor m = t.rank() == 1 && rank > 1 ? unsqueeze(t, 0) : t;
  return rank == 3 ? unsqueeze(m, 2) : m;
}

Tensor joined(const char* op, std::span<const Tensor> tensors, int rank, int64_t dim) {
  check<ValueError>(!tensors.empty(), op, ": needs at least one tensor");
  std::vector<Tensor> parts;
  for (const Tensor& t : tensors) parts.push_back(at_least(rank, t));
  return cat(parts, dim);
}

}  // namespace

Tensor hstack(std::span<const Tensor> tensors) {
  return joined("hstack", tensors, 1, !tensors.empty() && tensors[0].rank() > 1 ? 1 : 0);
}
Tensor vstack(std::span<const Tensor> tensors) { return joined("vstack", tensors, 2, 0); }
Tensor dstack(std::span<const Tensor> tensors) { return joined("dstack", tensors, 3, 2); }

Tensor column_stack(std::span<const Tensor> tensors) {
  std::vector<Tensor> columns;
  for (const Tensor& t : tensors)
    columns.push_back(t.rank() <= 1 ? reshape(t, Dims{t.numel(), 1}) : t);
  return joined("column_stack", columns, 2, 1);
}

// -- another order
// ---------------------------------------------------------------------------------

Tensor flip(const Tensor& x, IntList dims) {
  bool turned[kMaxRank] = {};
  for (const int64_t dim : dims) {
    const int d = wrap_dim("flip", dim, x.rank());
    check<ValueError>(!turned[d], "flip: dim ", dim, " appears twice in ", dims);
    turned[d] = true;
  }
  // A tensor has no negative strides, but what a device is shown may.
  Dims strides = x.strides();
  int64_t last = 0;
  for (int d = 0; d < x.rank(); ++d) {
    if (!turned[d] || x.size(d) == 0) continue;
    last += (x.size(d) - 1) * strides[d];
    strides[d] = -strides[d];
  }
  Tensor y = empty_like(x);
  auto* data = static_cast<char*>(x.data()) + (x.numel() == 0 ? 0 : last * item_size(x.dtype()));
  call<&DeviceApi::copy>(x.device(), "flip", y, TensorRef{data, x.sizes(), strides, x.dtype()});
  if (recording(x))
    record("flip", {y}, {x}, [dims = Dims(dims)](Backward& b) { b.set(0, flip(b.grad(), dims)); });
  return y;
}

namespace {

Tensor roll_one(const Tensor& x, int64_t shift, int d) {
  const int64_t n = x.size(d);
  const int64_t by = n == 0 ? 0 : (shift % n + n) % n;
  Tensor y = empty_like(x);
  const auto part = [d](const Tensor& t, int64_t start, int64_t count) {
    Dims sizes = t.sizes();
    sizes[d] = count;
    return alias(t, sizes, t.strides(), t.offset() + (count == 0 ? 0 : start * t.stride(d)));
  };
  call<&DeviceApi::copy>(x.device(), "roll", part(y, by, n - by), part(x, 0, n - by));
  call<&DeviceApi::copy>(x.device(), "roll", part(y, 0, by), part(x, n - by, by));
  if (recording(x))
    record("roll", {y}, {x}, [by, d](Backward& b) { b.set(0, roll_one(b.grad(), -by, d)); });
  return y;
}

}  // namespace

Tensor roll(const Tensor& x, IntList shifts, IntList dims) {
  if (dims.empty() && shifts.size() == 1)
    return view(roll_one(reshape(x, Dims{x.numel()}), shifts[0], 0), x.sizes());
  check<ValueError>(!shifts.empty() && shifts.size() == dims.size(),
                    "roll: needs as many shifts as dims, got ", shifts, " and ", dims);
  Tensor out = x;
  for (size_t i = 0; i < shifts.size(); ++i) {
    const int d = wrap_dim("roll", dims[i], x.rank());
    if (x.rank() == 0) return clone(x);
    out = roll_one(out, shifts[i], d);
  }
  return out;
}

// -- diagonals and triangles
// -----------------------------------------------------------------------

Tensor diag(const Tensor& x, int64_t offset) {
  check<ValueError>(x.rank() == 1 || x.rank() == 2,
                    "diag: takes a vector or a matrix; for batches "
                    "there are diag_embed and diagonal",
                    line("input", x));
  return x.rank() == 1 ? diag_embed(x, offset, 0, 1) : clone(diagonal(x, offset, 0, 1));
}

Tensor diag_embed(const Tensor& x, int64_t offset, int64_t dim0, int64_t dim1) {
  check<ValueError>(x.rank() >= 1, "diag_embed: a 0-d tensor is no diagonal");
  const int a = wrap_dim("diag_embed", dim0, x.rank() + 1);
  const int b_ = wrap_dim("diag_embed", dim1, x.rank() + 1);
  check<ValueError>(a != b_, "diag_embed: needs two different dimensions, got ", dim0, " and ",
                    dim1);
  check<ValueError>(offset > -(int64_t{1} << 31) && offset < (int64_t{1} << 31),
                    "diag_embed: no tensor is as large as ", "offset ", offset, " asks for");
  const int64_t n = x.sizes().back() + std::abs(offset);
  Dims sizes = x.sizes();
  sizes.erase(x.rank() - 1);
  sizes.insert(std::min(a, b_), n);
  sizes.insert(std::max(a, b_), n);
  Tensor y = zeros(sizes, x.dtype(), x.device());
  {
    const GradMode off(false);
    raw_copy(diagonal(y, offset, a, b_), x);
  }
  if (recording(x))
    record("diag_embed", {y}, {x},
           [offset, a, b_](Backward& b) { b.set(0, diagonal(b.grad(), offset, a, b_)); });
  return y;
}

namespace {

// x where `op` holds between column - row and the diagonal's number, zero elsewhere.
Tensor triangle(const char* name, CompareOp op, const Tensor& x, int64_t diagonal) {
  check<ValueError>(x.rank() >= 2, name, ": needs at least two dimensions", line("input", x));
  const int64_t rows = x.size(x.rank() - 2);
  const int64_t columns = x.size(x.rank() - 1);
  diagonal = std::clamp(diagonal, -rows, columns);
  const auto from = static_cast<int>(diagonal);
  const Tensor row = arange(from, Scalar(diagonal + rows), 1, DType::Int32, x.device());
  const Tensor column = arange(0, Scalar(columns), 1, DType::Int32, x.device());
  const Tensor kept = compare(op, column, view(row, Dims{rows, 1}));
  return where(kept, x, zeros({}, x.dtype(), x.device()));
}

}  // namespace

Tensor tril(const Tensor& x, int64_t diagonal) {
  return triangle("tril", CompareOp::le, x, diagonal);
}
Tensor triu(const Tensor& x, int64_t diagonal) {
  return triangle("triu", CompareOp::ge, x, diagonal);
}
void tril_(const Tensor& self, int64_t diagonal) {
  rewrite("tril_", self, recording(self), [&](const Tensor& x) { return tril(x, diagonal); });
}
void triu_(const Tensor& self, int64_t diagonal) {
  rewrite("triu_", self, recording(self), [&](const Tensor& x) { return triu(x, diagonal); });
}

}  // namespace lamina::ops
