#include "core/iter.h"

#include <cstdlib>

namespace lamina {
namespace {

struct Span {
  const char* begin;
  const char* end;
};

Span memory_span(const TensorRef& t) {
  const auto* p = static_cast<const char*>(t.data);
  return {p, p + strided_extent(t.sizes, t.strides) * item_size(t.dtype)};
}

bool same_elements(const TensorRef& a, const TensorRef& b) {
  if (a.data != b.data || a.dtype != b.dtype || a.rank() != b.rank()) return false;
  for (size_t i = 0; i < a.sizes.size(); ++i)
    if (a.sizes[i] != b.sizes[i] || (a.sizes[i] > 1 && a.strides[i] != b.strides[i])) return false;
  return true;
}

void check_output(const char* op, const TensorRef& out, std::initializer_list<TensorRef> operands,
                  int at) {
  check<RuntimeError>(!overlaps_itself(out.sizes, out.strides), op,
                      ": the output has several indices for one element (an expanded tensor?); "
                      "write to a clone() of it",
                      line("output", out.sizes), line("stride", out.strides));
  const Span o = memory_span(out);
  int k = 0;
  for (const TensorRef& t : operands) {
    if (k++ == at) continue;
    const Span s = memory_span(t);
    if (s.begin >= o.end || o.begin >= s.end || same_elements(out, t)) continue;
    raise<RuntimeError>(op, ": the output overlaps operand ", k - 1,
                        " in memory but is not the same view of it; clone() one of them first",
                        line("output", out.sizes), line("other", t.sizes));
  }
}

}  // namespace

Iter::Iter(const char* op, std::initializer_list<TensorRef> operands, int outputs)
    : outputs_(outputs) {
  const TensorRef& out = *operands.begin();
  for (int i = 0; i < outputs; ++i) check_output(op, operands.begin()[i], operands, i);
  rank_ = out.rank();
  for (int d = 0; d < rank_; ++d) {
    sizes_[d] = out.sizes[static_cast<size_t>(rank_ - 1 - d)];
    numel_ *= sizes_[d];
  }
  for (const TensorRef& t : operands) {
    check<ValueError>(can_broadcast_to(t.sizes, out.sizes), op, ": sizes ", t.sizes,
                      " do not broadcast to the output's ", out.sizes);
    add(t, out.sizes);
  }
  order(false);
  merge();
}

Iter Iter::reduction(const char* op, const TensorRef& out, const TensorRef& x) {
  Iter it;
  check_output(op, out, {out, x}, 0);
  it.rank_ = x.rank();
  for (int d = 0; d < it.rank_; ++d) {
    it.sizes_[d] = x.sizes[static_cast<size_t>(it.rank_ - 1 - d)];
    it.numel_ *= it.sizes_[d];
  }
  it.add(out, x.sizes);
  it.add(x, x.sizes);
  // A size-1 dimension of x is neither; drop it with the reduced ones (merge removes it).
  it.order(true);
  it.merge();
  return it;
}

void Iter::add(const TensorRef& t, std::span<const int64_t> sizes) {
  const int k = operands_++;
  data_[k] = static_cast<char*>(t.data);
  dtypes_[k] = t.dtype;
  for (int d = 0; d < rank_; ++d) {
    const int from = t.rank() - 1 - d;
    const bool moves = from >= 0 && t.sizes[static_cast<size_t>(from)] != 1 &&
                       sizes[static_cast<size_t>(rank_ - 1 - d)] != 1;
    strides_[k][d] = moves ? t.strides[static_cast<size_t>(from)] * item_size(t.dtype) : 0;
  }
}

// Insertion sort of the dimensions, stable, so that an already good order (nearly always) costs
// one comparison each.
void Iter::order(bool reducing) {
  const auto after = [&](int a, int b) {  // should a come outside b?
    if (reducing && (strides_[0][a] == 0) != (strides_[0][b] == 0)) return strides_[0][b] == 0;
    const int first = reducing ? 1 : 0;
    for (int k = first; k < operands_; ++k) {
      const int64_t sa = std::llabs(strides_[k][a]);
      const int64_t sb = std::llabs(strides_[k][b]);
      if (sa == sb || sa == 0 || sb == 0) continue;
      return sa > sb;
    }
    return false;
  };
  for (int i = 1; i < rank_; ++i)
    for (int j = i; j > 0 && after(j - 1, j); --j) {
      std::swap(sizes_[j - 1], sizes_[j]);
      for (int k = 0; k < operands_; ++k) std::swap(strides_[k][j - 1], strides_[k][j]);
    }
}

void Iter::merge() {
  if (numel_ == 0) {
    rank_ = 0;
    return;
  }
  int last = -1;
  for (int d = 0; d < rank_; ++d) {
    if (sizes_[d] == 1) continue;
    bool joins = last >= 0;
    for (int k = 0; joins && k < operands_; ++k)
      joins = strides_[k][d] == strides_[k][last] * sizes_[last];
    if (joins) {
      sizes_[last] *= sizes_[d];
      continue;
    }
    ++last;
    sizes_[last] = sizes_[d];
    for (int k = 0; k < operands_; ++k) strides_[k][last] = strides_[k][d];
  }
  rank_ = last + 1;
  reduced_ = 0;
  while (reduced_ < rank_ && strides_[0][reduced_] == 0) ++reduced_;
}

}  // namespace lamina
