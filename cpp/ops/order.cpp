// Sorting and what is made of it: top k, median, quantiles, unique values.
#include "ops/common.h"

namespace lamina::ops {
namespace {

// The k first along d, in order, with their gradient.
std::pair<Tensor, Tensor> ordered(const char* name, const Tensor& x, int d, int64_t k,
                                  bool descending) {
  if (x.rank() == 0) {
    const auto [v, i] = ordered(name, view(x, Dims{1}), 0, k, descending);
    if (k == 0) return {v, i};
    return {view(v, Dims{}), view(i, Dims{})};
  }
  Dims sizes = x.sizes();
  sizes[d] = k;
  Tensor values = empty(sizes, x.dtype(), x.device());
  const Tensor indices = empty(sizes, DType::Int64, x.device());
  call<&DeviceApi::sort>(x.device(), name, values, indices, x, d, descending);
  if (recording(x))
    record(name, {values}, {x}, [index = Saved::input(indices), from = x.sizes(), d](Backward& b) {
      b.set(0, put_along(from, d, b(index), b.grad()));
    });
  return {values, indices};
}

}  // namespace

std::pair<Tensor, Tensor> sort(const Tensor& x, int64_t dim, bool descending) {
  const int d = wrap_dim("sort", dim, x.rank());
  return ordered("sort", x, d, x.rank() == 0 ? 1 : x.size(d), descending);
}

Tensor argsort(const Tensor& x, int64_t dim, bool descending) {
  const int d = wrap_dim("argsort", dim, x.rank());
  return ordered("argsort", detach(x), d, x.rank() == 0 ? 1 : x.size(d), descending).second;
}

std::pair<Tensor, Tensor> topk(const Tensor& x, int64_t k, int64_t dim, bool largest) {
  const int d = wrap_dim("topk", dim, x.rank());
  const int64_t n = x.rank() == 0 ? 1 : x.size(d);
  check<ValueError>(k >= 0 && k <= n, "topk: k must lie in [0, ", n, "] for dimension ", d,
                    ", got ", k, line("input", x));
  return ordered("topk", x, d, k, largest);
}

std::pair<Tensor, Tensor> median(const Tensor& x, int64_t dim, bool keepdim) {
  const int d = wrap_dim("median", dim, x.rank());
  if (x.rank() == 0) return {clone(x), zeros({}, DType::Int64, x.device())};
  check<ValueError>(x.size(d) > 0, "median: dimension ", d, " has no elements to choose from",
                    line("input", x));
  const DimSet set = dim_set("median", x, std::span(&dim, 1));
  Tensor values = empty(set.keep, x.dtype(), x.device());
  const Tensor indices = empty(set.keep, DType::Int64, x.device());
  call<&DeviceApi::median>(x.device(), "median", values, indices, x, d);
  if (recording(x))
    record("median", {values}, {x},
           [index = Saved::input(indices), from = x.sizes(), d](Backward& b) {
             b.set(0, put_along(from, d, b(index), b.grad()));
           });
  if (keepdim) return {values, indices};
  return {view(values, set.squeezed), view(indices, set.squeezed)};
}

Tensor median(const Tensor& x) {
  if (x.numel() == 0) {
    check_floating("median", "an input without elements", x);
    return full({}, std::numeric_limits<double>::quiet_NaN(), x.dtype(), x.device());
  }
  const Tensor flat = flatten(detach(x));
  Tensor y = median(flat, 0).first;
  if (recording(x))
    record("median", {y}, {x}, [x = Saved::input(x), y = Saved::output(y)](Backward& b) {
      // Equal elements share, as PyTorch has it for the median of everything.
      const Tensor in = b(x);
      const Tensor middle = detach(b(y));
      const Tensor hit = logical_or(eq(in, middle), logical_and(isnan(in), isnan(middle)));
      b.set(0, where(hit, div(b.grad(), to(sum(hit), in.dtype())), scalar(0.0)));
    });
  return y;
}

namespace {

// Between two neighbours, from the nearer of them, so that either end is met exactly.
Tensor between(const Tensor& low, const Tensor& high, const Tensor& weight) {
  const Tensor width = sub(high, low);
  return where(lt(weight, scalar(0.5)), add(low, mul(weight, width)),
               sub(high, mul(width, sub(scalar(1.0), weight))));
}

Tensor at_rank(const Tensor& sorted, const Tensor& rank) {
  return index_select(sorted, -1, to(rank, DType::Int64));
}

}  // namespace

Tensor quantile(const Tensor& x, const Tensor& q, std::optional<int64_t> dim, bool keepdim,
                std::string_view how) {
  check_floating("quantile", "input", x);
  check<TypeError>(q.dtype() == x.dtype(), "quantile: q must have the dtype of the input, ",
                   x.dtype(), ", got ", q.dtype());
  check<ValueError>(q.rank() <= 1, "quantile: q must be a number or 1-d", line("q", q));
  const Tensor fractions = detach(q);
  check<ValueError>(
      holds("quantile", logical_and(ge(fractions, scalar(0)), le(fractions, scalar(1)))),
      "quantile: q must lie in [0, 1]");
  const bool linear = how == "linear", lower = how == "lower", higher = how == "higher",
             midpoint = how == "midpoint";
  check<ValueError>(linear || lower || higher || midpoint || how == "nearest",
                    "quantile: interpolation must be 'linear', 'lower', 'higher', 'midpoint' or "
                    "'nearest', got '",
                    how, "'");
  const int d = dim ? wrap_dim("quantile", *dim, x.rank()) : 0;
  Tensor sorted = dim && x.rank() > 0 ? x : flatten(x);
  const int64_t n = sorted.size(d);
  check<ValueError>(n > 0, "quantile: no elements to choose from", line("input", x));
  sorted = ordered("quantile", sorted, d, n, false).first;
  Dims last;  // d goes to the end
  for (int i = 0; i < sorted.rank(); ++i)
    if (i != d) last.push_back(i);
  last.push_back(d);
  sorted = permute(sorted, last);

  const Tensor rank = mul(reshape(q, Dims{q.numel()}), scalar(static_cast<double>(n - 1)));
  const Tensor below = floor(rank), above = ceil(rank);
  Tensor y;  // [..., q]
  if (linear)
    y = between(at_rank(sorted, below), at_rank(sorted, above), sub(rank, below));
  else if (midpoint)
    y = between(at_rank(sorted, below), at_rank(sorted, above), scalar(0.5));
  else
    y = at_rank(sorted, lower ? below : higher ? above : round(rank));
  // A NaN sorts to the end, and takes the place of every quantile.
  const Tensor end = slice(sorted, -1, n - 1, n);
  y = where(isnan(detach(end)), end, y);

  Dims order{y.rank() - 1};
  for (int i = 0; i < y.rank() - 1; ++i) order.push_back(i);
  y = contiguous(permute(y, order));  // [q, ...]
  Dims sizes;
  if (q.rank() == 1) sizes.push_back(q.size(0));
  if (keepdim && !dim)
    for (int i = 0; i < x.rank(); ++i) sizes.push_back(1);
  else
    for (int i = 0; dim && i < x.rank(); ++i)
      if (i != d || keepdim) sizes.push_back(i == d ? 1 : x.size(i));
  return view(y, sizes);
}

namespace {

// Which elements of x, or slices of it, come where: `order` sorts them, and `starts` says where in
// sorted order a value begins.
Unique grouped(const Tensor& starts, const Tensor& order, bool inverse, bool counts) {
  Unique out;
  const int64_t n = order.size(0);
  if (counts) {
    const Tensor end = full({1}, n, DType::Int64, order.device());
    out.counts = diff(select(nonzero(starts), 1, 0), 1, 0, {}, end);
  }
  if (inverse) {
    out.inverse = empty({n}, DType::Int64, order.device());
    index_put_(out.inverse, std::span(&order, 1), sub(cumsum(starts, 0), scalar(1)));
  }
  return out;
}

Tensor starts_of(const Tensor& differs) {  // the first always starts a value
  const Tensor parts[] = {ones({1}, DType::Bool, differs.device()), differs};
  return cat(parts);
}

Unique unique_elements(const Tensor& x, bool inverse, bool counts) {
  const auto [sorted, order] = sort(flatten(x), 0);
  const int64_t n = sorted.size(0);
  const Tensor starts = starts_of(ne(slice(sorted, 0, 1, n), slice(sorted, 0, 0, n - 1)));
  Unique out = grouped(starts, order, inverse, counts);
  out.values = masked_select(sorted, starts);
  if (inverse) out.inverse = view(out.inverse, x.sizes());
  return out;
}

Unique unique_slices(const Tensor& x, int d, bool inverse, bool counts) {
  Dims front{d};  // d in front, and back again
  for (int i = 0; i < x.rank(); ++i)
    if (i != d) front.push_back(i);
  Dims back = front;
  for (int i = 0; i < x.rank(); ++i) back[static_cast<int>(front[i])] = i;
  const int64_t n = x.size(d);
  const Tensor moved = permute(x, front);
  const Tensor rows = contiguous(reshape(moved, Dims{n, x.numel() / n}));
  const Tensor order = empty({n}, DType::Int64, x.device());
  call<&DeviceApi::order_rows>(x.device(), "unique", order, rows);
  const Tensor sorted = index_select(rows, 0, order);
  const int64_t one = 1;
  const Tensor starts =
      starts_of(any(ne(slice(sorted, 0, 1, n), slice(sorted, 0, 0, n - 1)), std::span(&one, 1)));
  Unique out = grouped(starts, order, inverse, counts);
  const Tensor values = index_select(sorted, 0, select(nonzero(starts), 1, 0));
  Dims sizes = moved.sizes();
  sizes[0] = values.size(0);
  out.values = contiguous(permute(view(values, sizes), back));
  return out;
}

}  // namespace

Unique unique(const Tensor& x_, std::optional<int64_t> dim, bool inverse, bool counts) {
  const Tensor x = detach(x_);
  const int d = dim ? wrap_dim("unique", *dim, x.rank()) : 0;
  if (x.numel() == 0) {
    check<ValueError>(!dim || x.size(d) == 0, "unique: slices without elements can't be told apart",
                      line("input", x));
    return {empty(dim ? x.sizes() : Dims{0}, x.dtype(), x.device()),
            empty(dim ? Dims{0} : x.sizes(), DType::Int64, x.device()),
            empty({0}, DType::Int64, x.device())};
  }
  return dim && x.rank() > 0 ? unique_slices(x, d, inverse, counts)
                             : unique_elements(x, inverse, counts);
}

Tensor bincount(const Tensor& x, const Tensor& weights_, int64_t min_length) {
  check<TypeError>(is_integral(x.dtype()), "bincount: the input must be integers, got ", x.dtype());
  check<ValueError>(x.rank() == 1, "bincount: the input must be 1-d", line("input", x));
  check<ValueError>(min_length >= 0, "bincount: minlength must not be negative, got ", min_length);
  const Tensor index = to(x, DType::Int64);
  int64_t length = min_length;
  if (x.numel() > 0) {
    const auto low = host_value<int64_t>("bincount", amin(index));
    check<ValueError>(low >= 0, "bincount: the input must not be negative, got ", low);
    const auto high = host_value<int64_t>("bincount", amax(index));
    check<MemoryError>(high < int64_t{1} << 50, "bincount: ", high,
                       " in the input asks for more bins than memory can hold");
    length = std::max(length, high + 1);
  }
  Tensor weights = ones({1}, DType::Int64, x.device());
  if (weights_.defined()) {
    check<ValueError>(weights_.sizes() == x.sizes(), "bincount: needs one weight for each element",
                      line("input", x), line("weights", weights_));
    weights = detach(weights_);
    if (weights.dtype() != DType::Float32) weights = to(weights, DType::Float64);
  }
  Tensor counts = zeros({length}, weights.dtype(), x.device());
  if (x.numel() > 0) index_put_(counts, std::span(&index, 1), weights, true);
  return counts;
}

}  // namespace lamina::ops
