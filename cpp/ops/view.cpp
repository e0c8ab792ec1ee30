// Views: the same memory, seen with other sizes and strides.
#include <algorithm>

#include "ops/common.h"

namespace lamina::ops {
namespace {

template <class F>
Tensor make_view(const char* name, const Tensor& x, const Dims& sizes, const Dims& strides,
                 int64_t offset, F&& backward) {
  Tensor y = alias(x, sizes, strides, offset);
  mark_view(y, x);
  if (recording(x)) record(name, {y}, {x}, std::forward<F>(backward));
  return y;
}

// A tensor of `like`'s sizes, strides and memory extent, zero outside of `part`, which lies in it
// as `view` lies in `like`.
struct Layout {
  Dims sizes, strides;
  int64_t offset;
  static Layout of(const Tensor& t) { return {t.sizes(), t.strides(), t.offset()}; }
};

Tensor zeros_laid_out(const Layout& base, DType dtype, Device device) {
  Tensor buffer = empty_strided(base.sizes, base.strides, dtype, device);
  const int64_t extent = strided_extent(base.sizes, base.strides);
  fill_(alias(buffer, {extent}, {1}, 0), Scalar(0));
  return buffer;
}

// The gradient of as_strided: puts g where the view was. Where the view showed an element several
// times along a dimension of stride 0, its gradients add up.
Tensor place(const Tensor& g, const Layout& base, const Layout& shown) {
  Tensor part = g;
  Layout to = shown;
  for (int i = to.sizes.rank() - 1; i >= 0; --i) {
    if (to.strides[i] != 0 || to.sizes[i] == 1) continue;
    const int64_t dim = i;
    part = sum(part, std::span(&dim, 1), true);
    to.sizes[i] = 1;
  }
  check<NotImplementedError>(!overlaps_itself(to.sizes, to.strides),
                             "as_strided: no gradient for a view that shows an element twice",
                             line("sizes", to.sizes), line("stride", to.strides));
  Tensor out = zeros_laid_out(base, g.dtype(), g.device());
  copy_(as_strided(out, to.sizes, to.strides, to.offset - base.offset), part);
  return out;
}

Tensor laid_out(const Tensor& g, const Layout& base) {
  Tensor out = empty_strided(base.sizes, base.strides, g.dtype(), g.device());
  copy_(out, g);
  return out;
}

}  // namespace

Tensor as_strided(const Tensor& x, const Dims& sizes, const Dims& strides, int64_t offset) {
  check<ValueError>(sizes.rank() == strides.rank(), "as_strided: ", sizes.rank(), " sizes but ",
                    strides.rank(), " strides");
  for (const int64_t s : strides)
    check<ValueError>(s >= 0, "as_strided: strides must not be negative, got ", strides);
  const bool nothing = checked_numel(sizes) == 0;
  const auto there = static_cast<int64_t>(x.storage().bytes()) / item_size(x.dtype());
  // A view without elements may lie anywhere, as a part of an empty tensor may.
  check<ValueError>(
      offset >= 0 &&
          (nothing || (offset <= there && strided_extent(sizes, strides) <= there - offset)),
      "as_strided: reaches outside of the memory, which has ", x.storage().bytes(), " bytes",
      line("sizes", sizes), line("stride", strides), line("offset", offset));
  // Steps that are never taken may be of any length; sums and multiples of them must not overflow.
  Dims steps = strides;
  for (int64_t& s : steps) s = std::min(s, int64_t{1} << 59);
  if (nothing) steps = contiguous_strides(sizes);
  Tensor y = alias(x, sizes, steps, offset);
  mark_view(y, x);
  if (recording(x)) {
    record("as_strided", {y}, {x}, [base = Layout::of(x), shown = Layout::of(y)](Backward& b) {
      b.set(0, place(b.grad(), base, shown));
    });
  }
  return y;
}

Tensor copy_slices(const Tensor& base, const Tensor& view_, const Tensor& written) {
  Tensor history = alias(base);
  record("copy_slices", {history}, {base, written},
         [whole = Layout::of(base), part = Layout::of(view_)](Backward& b) {
           const Tensor g = laid_out(b.grad(), whole);
           const auto slice = [&](const Tensor& of) {
             return as_strided(of, part.sizes, part.strides, part.offset - whole.offset);
           };
           if (b.needs(1)) b.set(1, clone(slice(g)));
           if (b.needs(0)) {
             Tensor outside = laid_out(b.grad(), whole);
             fill_(slice(outside), Scalar(0));
             b.set(0, outside);
           }
         });
  return history;
}

namespace {

// Strides that show x with new sizes without a copy, or nothing.
std::optional<Dims> view_strides(const Tensor& x, const Dims& sizes) {
  if (x.contiguous() || x.numel() == 0) return contiguous_strides(sizes);
  Dims out = sizes;
  int to = sizes.rank() - 1;
  // Runs of dimensions that are contiguous among themselves, from the last, each cut up anew.
  for (int from = x.rank() - 1; from >= 0;) {
    int64_t stride = x.stride(from);
    int64_t run = x.size(from);
    int next = from - 1;
    while (next >= 0 && (x.size(next) == 1 || run == 1 || x.stride(next) == stride * run)) {
      if (run == 1) stride = x.stride(next);
      run *= x.size(next);
      --next;
    }
    int64_t filled = 1;
    while (to >= 0 && (filled < run || sizes[to] == 1)) {
      out[to] = stride * filled;
      filled *= sizes[to];
      --to;
    }
    if (filled != run) return std::nullopt;
    from = next;
  }
  for (; to >= 0; --to) out[to] = 1;
  return out;
}

}  // namespace

Dims resolve_sizes(const char* op, const Tensor& x, IntList sizes) {
  Dims out{sizes};
  int64_t known = 1;
  int unknown = -1;
  for (int i = 0; i < out.rank(); ++i) {
    if (out[i] == -1) {
      check<ValueError>(unknown < 0, op, ": only one size can be -1, got ", sizes);
      unknown = i;
    } else {
      check<ValueError>(out[i] >= 0, op, ": sizes must not be negative, got ", sizes);
      if (__builtin_mul_overflow(known, out[i], &known)) known = INT64_MAX;
    }
  }
  if (unknown >= 0) {
    check<ValueError>(known != 0 && x.numel() % known == 0, op, ": sizes ", sizes,
                      " leave no whole size for -1", line("input", x));
    out[unknown] = x.numel() / known;
  }
  check<ValueError>(checked_numel(out) == x.numel(), op, ": sizes ", sizes, " hold ",
                    checked_numel(out), " elements but the input has ", x.numel(),
                    line("input", x));
  return out;
}

Tensor try_view(const Tensor& x, const Dims& sizes) {
  const std::optional<Dims> strides = view_strides(x, sizes);
  if (!strides) return {};
  return make_view("view", x, sizes, *strides, x.offset(),
                   [from = x.sizes()](Backward& b) { b.set(0, reshape(b.grad(), from)); });
}

Tensor view(const Tensor& x, IntList sizes) {
  const Tensor y = try_view(x, resolve_sizes("view", x, sizes));
  check<RuntimeError>(y.defined(),
                      "view: these sizes need a copy, since the input is not laid out "
                      "contiguously; use reshape()",
                      line("input", x), line("stride", x.strides()), line("sizes", sizes));
  return y;
}

Tensor permute(const Tensor& x, IntList dims) {
  const int rank = x.rank();
  check<ValueError>(static_cast<int>(dims.size()) == rank, "permute: needs all ", rank,
                    " dimensions, got ", dims);
  Dims sizes, strides, inverse = Dims::filled(rank, -1);
  for (int i = 0; i < rank; ++i) {
    const int d = wrap_dim("permute", dims[static_cast<size_t>(i)], rank);
    check<ValueError>(inverse[d] < 0, "permute: a dimension appears twice in ", dims);
    inverse[d] = i;
    sizes.push_back(x.size(d));
    strides.push_back(x.stride(d));
  }
  return make_view("permute", x, sizes, strides, x.offset(),
                   [inverse](Backward& b) { b.set(0, permute(b.grad(), inverse)); });
}

Tensor transpose(const Tensor& x, int64_t dim0, int64_t dim1) {
  const int a = wrap_dim("transpose", dim0, x.rank());
  const int b_ = wrap_dim("transpose", dim1, x.rank());
  Dims sizes = x.sizes();
  Dims strides = x.strides();
  if (x.rank() != 0) {
    std::swap(sizes[a], sizes[b_]);
    std::swap(strides[a], strides[b_]);
  }
  return make_view("transpose", x, sizes, strides, x.offset(),
                   [a, b_](Backward& b) { b.set(0, transpose(b.grad(), a, b_)); });
}

Tensor t(const Tensor& x) {
  check<ValueError>(x.rank() <= 2, "t: takes at most 2 dimensions; use transpose(dim0, dim1)",
                    line("input", x));
  return x.rank() == 2 ? transpose(x, 0, 1) : alias_view(x);
}

Tensor mT(const Tensor& x) {
  check<ValueError>(x.rank() >= 2, "mT: needs at least 2 dimensions", line("input", x));
  return transpose(x, -2, -1);
}

Tensor alias_view(const Tensor& x) {
  return make_view("alias", x, x.sizes(), x.strides(), x.offset(),
                   [](Backward& b) { b.set(0, b.grad()); });
}

Tensor expand(const Tensor& x, IntList sizes) {
  const int rank = static_cast<int>(sizes.size());
  const int lead = rank - x.rank();
  check<ValueError>(lead >= 0, "expand: ", rank, " sizes are fewer than the input's dimensions",
                    line("input", x), line("sizes", sizes));
  Dims out{sizes};
  Dims strides = out;
  for (int i = 0; i < rank; ++i) {
    const bool is_new = i < lead;
    if (out[i] == -1) {
      check<ValueError>(!is_new, "expand: -1 keeps a size, but dimension ", i, " is new");
      out[i] = x.size(i - lead);
    }
    check<ValueError>(out[i] >= 0, "expand: sizes must not be negative, got ", sizes);
    const bool same = !is_new && x.size(i - lead) == out[i];
    check<ValueError>(is_new || same || x.size(i - lead) == 1, "expand: dimension ", i,
                      " has size ", is_new ? 1 : x.size(i - lead), ", not 1, and can't become ",
                      out[i], line("input", x), line("sizes", sizes));
    strides[i] = same ? x.stride(i - lead) : 0;
  }
  return make_view("expand", x, out, strides, x.offset(),
                   [from = x.sizes()](Backward& b) { b.set(0, sum_to(b.grad(), from)); });
}

namespace {

Tensor resized_view(const char* name, const Tensor& x, const Dims& sizes, const Dims& strides) {
  return make_view(name, x, sizes, strides, x.offset(),
                   [from = x.sizes()](Backward& b) { b.set(0, reshape(b.grad(), from)); });
}

}  // namespace

Tensor squeeze(const Tensor& x, std::optional<int64_t> dim) {
  Dims sizes, strides;
  const int only = dim ? wrap_dim("squeeze", *dim, x.rank()) : -1;
  for (int i = 0; i < x.rank(); ++i) {
    if (x.size(i) == 1 && (only < 0 || only == i)) continue;
    sizes.push_back(x.size(i));
    strides.push_back(x.stride(i));
  }
  return resized_view("squeeze", x, sizes, strides);
}

Tensor unsqueeze(const Tensor& x, int64_t dim) {
  const int d = wrap_dim("unsqueeze", dim, x.rank() + 1);
  Dims sizes = x.sizes();
  Dims strides = x.strides();
  strides.insert(d, d < x.rank() ? x.size(d) * x.stride(d) : 1);
  sizes.insert(d, 1);
  return resized_view("unsqueeze", x, sizes, strides);
}

namespace {

// The gradient of a part is the part's gradient, placed in zeros.
template <class Part>
auto place_part(const Tensor& x, Part part) {
  return [sizes = x.sizes(), part](Backward& b) {
    Tensor whole = zeros(sizes, b.grad().dtype(), b.grad().device());
    copy_(part(whole), b.grad());
    b.set(0, whole);
  };
}

}  // namespace

Tensor select(const Tensor& x, int64_t dim, int64_t index) {
  check<IndexError>(x.rank() > 0, "select: a 0-d tensor has no dimensions to index");
  const int d = wrap_dim("select", dim, x.rank());
  const int64_t n = x.size(d);
  check<IndexError>(index >= -n && index < n, "index ", index, " is out of range for dimension ", d,
                    " of size ", n, line("input", x));
  const int64_t at = index < 0 ? index + n : index;
  Dims sizes = x.sizes();
  Dims strides = x.strides();
  const int64_t offset = x.offset() + at * strides[d];
  sizes.erase(d);
  strides.erase(d);
  return make_view("select", x, sizes, strides, offset,
                   place_part(x, [d, at](const Tensor& whole) { return select(whole, d, at); }));
}

Tensor slice(const Tensor& x, int64_t dim, int64_t start, int64_t end, int64_t step) {
  check<IndexError>(x.rank() > 0, "slice: a 0-d tensor has no dimensions to slice");
  const int d = wrap_dim("slice", dim, x.rank());
  check<ValueError>(step > 0, "slice: the step must be positive, got ", step,
                    "; flip the tensor for a negative one");
  const int64_t n = x.size(d);
  const auto clip = [n](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + n : i, 0, n); };
  start = clip(start);
  end = std::max(clip(end), start);
  Dims sizes = x.sizes();
  Dims strides = x.strides();
  const int64_t offset = x.offset() + (start < n ? start * strides[d] : 0);
  sizes[d] = (end - start) / step + ((end - start) % step != 0);
  if (sizes[d] > 1) strides[d] *= step;
  return make_view("slice", x, sizes, strides, offset,
                   place_part(x, [d, start, end, step](const Tensor& whole) {
                     return slice(whole, d, start, end, step);
                   }));
}

Tensor diagonal(const Tensor& x, int64_t offset, int64_t dim0, int64_t dim1) {
  const int a = wrap_dim("diagonal", dim0, x.rank());
  const int b_ = wrap_dim("diagonal", dim1, x.rank());
  check<ValueError>(a != b_ && x.rank() >= 2, "diagonal: needs two different dimensions",
                    line("input", x));
  constexpr int64_t kBeyond = int64_t{1} << 60;  // no dimension is as long
  offset = std::clamp(offset, -kBeyond, kBeyond);
  const int64_t row = offset < 0 ? -offset : 0;
  const int64_t column = offset > 0 ? offset : 0;
  const int64_t n = std::max<int64_t>(std::min(x.size(a) - row, x.size(b_) - column), 0);
  Dims sizes = x.sizes();
  Dims strides = x.strides();
  const int64_t start = x.offset() + (n > 0 ? row * strides[a] + column * strides[b_] : 0);
  const int64_t stride = strides[a] + strides[b_];
  for (const int d : {std::max(a, b_), std::min(a, b_)}) {
    sizes.erase(d);
    strides.erase(d);
  }
  sizes.push_back(n);
  strides.push_back(stride);
  return make_view("diagonal", x, sizes, strides, start,
                   place_part(x, [offset, a, b_](const Tensor& whole) {
                     return diagonal(whole, offset, a, b_);
                   }));
}

namespace {

// Parts that lie in memory as parts of one tensor do, side by side along `dim`: that tensor.
Tensor joined(std::span<const Tensor> parts, int dim, const Dims& sizes) {
  const Tensor& first = parts[0];
  int64_t offset = first.offset();
  for (const Tensor& part : parts) {
    if (&part.storage() != &first.storage() || part.strides() != first.strides() ||
        part.offset() != offset)
      return {};
    offset += part.size(dim) * part.stride(dim);
  }
  return alias(first, sizes, first.strides(), first.offset());
}

// The gradient of views [start, start + size) along `dim`: theirs side by side, zeros for a view
// that none came to.
void join_gradients(Backward& b, const std::vector<Dims>& shapes, int dim, const Dims& sizes) {
  std::vector<Tensor> parts;
  const Tensor* some = nullptr;
  for (size_t i = 0; i < shapes.size(); ++i)
    if (b.grad(i).defined()) some = &b.grad(i);
  bool all = true;
  for (size_t i = 0; i < shapes.size(); ++i) {
    all = all && b.grad(i).defined();
    parts.push_back(b.grad(i).defined()
                        ? b.grad(i)
                        : expand(zeros({}, some->dtype(), some->device()), shapes[i]));
  }
  Tensor whole = all && !grad_enabled() ? joined(parts, dim, sizes) : Tensor();
  b.set(0, whole.defined() ? std::move(whole) : cat(parts, dim));
}

}  // namespace

std::vector<Tensor> unbind(const Tensor& x, int64_t dim) {
  check<ValueError>(x.rank() > 0, "unbind: a 0-d tensor can't be taken apart");
  const int d = wrap_dim("unbind", dim, x.rank());
  std::vector<Tensor> out;
  for (int64_t i = 0; i < x.size(d); ++i) out.push_back(select(x, d, i));
  return out;
}

std::vector<Tensor> split(const Tensor& x, IntList sizes, int64_t dim) {
  check<ValueError>(x.rank() > 0, "split: a 0-d tensor can't be split");
  const int d = wrap_dim("split", dim, x.rank());
  int64_t total = 0;
  for (const int64_t s : sizes) {
    check<ValueError>(s >= 0, "split: sizes must not be negative, got ", sizes);
    if (__builtin_add_overflow(total, s, &total)) total = INT64_MAX;
  }
  check<ValueError>(total == x.size(d), "split: sizes ", sizes, " add up to ", total,
                    " but dimension ", d, " has size ", x.size(d), line("input", x));
  std::vector<Tensor> out;
  int64_t start = 0;
  Dims part = x.sizes();
  for (const int64_t s : sizes) {
    part[d] = s;
    out.push_back(alias(x, part, x.strides(), x.offset() + (s > 0 ? start * x.stride(d) : 0)));
    mark_view(out.back(), x);
    start += s;
  }
  if (recording(x) && !out.empty()) {
    std::vector<Dims> shapes;
    for (const Tensor& t_ : out) shapes.push_back(t_.sizes());
    record("split", out, {x}, [shapes = std::move(shapes), d, whole = x.sizes()](Backward& b) {
      join_gradients(b, shapes, d, whole);
    });
  }
  return out;
}

std::vector<Tensor> split(const Tensor& x, int64_t size, int64_t dim) {
  check<ValueError>(size > 0, "split: the size must be positive, got ", size);
  check<ValueError>(x.rank() > 0, "split: a 0-d tensor can't be split");
  const int d = wrap_dim("split", dim, x.rank());
  std::vector<int64_t> sizes;
  for (int64_t left = x.size(d); left > 0; left -= size) sizes.push_back(std::min(size, left));
  if (sizes.empty()) sizes.push_back(0);
  return split(x, sizes, dim);
}

std::vector<Tensor> chunk(const Tensor& x, int64_t chunks, int64_t dim) {
  check<ValueError>(chunks > 0, "chunk: needs at least one chunk, got ", chunks);
  const int d = wrap_dim("chunk", dim, x.rank());
  check<ValueError>(x.rank() > 0, "chunk: a 0-d tensor can't be split");
  return split(x, std::max<int64_t>(x.size(d) / chunks + (x.size(d) % chunks != 0), 1), dim);
}

}  // namespace lamina::ops
