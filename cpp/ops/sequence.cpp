// Sequences of several lengths as one tensor: padded to the longest, or packed step by step. Rows
// move by one index, forward and backward.
#include <algorithm>
#include <numeric>

#include "ops/common.h"

namespace lamina::ops {
namespace {

// One-dimensional integers of the caller's, as numbers.
std::vector<int64_t> numbers(const char* op, const char* what, const Tensor& t_) {
  check<TypeError>(t_.dtype() == DType::Int64 || t_.dtype() == DType::Int32, op, ": ", what,
                   " must be int64, got ", t_.dtype());
  check<ValueError>(t_.rank() == 1 && t_.device().is_cpu(), op, ": ", what,
                    " must be one-dimensional, on the CPU", line(what, t_));
  const Tensor adjacent = contiguous(to(detach(t_), DType::Int64));
  return {adjacent.as<int64_t>(), adjacent.as<int64_t>() + adjacent.numel()};
}

Tensor int64s(const std::vector<int64_t>& values) {
  Tensor out = empty({static_cast<int64_t>(values.size())}, DType::Int64);
  std::copy(values.begin(), values.end(), out.as<int64_t>());
  return out;
}

// x [a, b, ...] as [a b, ...].
Tensor joined(const Tensor& x) {
  Dims sizes = x.sizes();
  sizes[1] *= sizes[0];
  sizes.erase(0);
  return reshape(x, sizes);
}

// [steps, n, ...] or, batch first, [n, steps, ...] full of `padding`, with `rows` at `places`,
// counted in the same order.
Tensor filled(const Tensor& rows, const std::vector<int64_t>& places, int64_t steps, int64_t n,
              bool batch_first, Scalar padding) {
  Dims sizes = rows.sizes();
  check<ValueError>(steps == 0 || n <= INT64_MAX / steps, "pad_sequence: ", n, " sequences of ",
                    steps, " steps are too many");
  sizes[0] = steps * n;
  const Tensor base = full(sizes, padding, rows.dtype(), rows.device());
  const Tensor flat = index_copy(base, 0, to(int64s(places), rows.device()), rows);
  sizes[0] = batch_first ? steps : n;
  sizes.insert(0, batch_first ? n : steps);
  return view(flat, sizes);
}

}  // namespace

std::pair<Tensor, Tensor> pack_padded_sequence(const Tensor& x, const Tensor& lengths_,
                                               bool batch_first) {
  constexpr const char* kOp = "pack_padded_sequence";
  check<ValueError>(x.rank() >= 2, kOp, ": the input must be ",
                    batch_first ? "[batch, steps, ...]" : "[steps, batch, ...]", line("input", x));
  const std::vector<int64_t> lengths = numbers(kOp, "lengths", lengths_);
  const int64_t steps = x.size(batch_first ? 1 : 0), n = x.size(batch_first ? 0 : 1);
  check<ValueError>(static_cast<int64_t>(lengths.size()) == n, kOp, ": got ", lengths.size(),
                    " lengths for a batch of ", n, line("input", x));
  check<ValueError>(n > 0, kOp, ": needs at least one sequence", line("input", x));
  for (size_t i = 0; i < lengths.size(); ++i) {
    check<ValueError>(lengths[i] > 0 && lengths[i] <= steps, kOp, ": length ", lengths[i],
                      " of sequence ", i, " is not in [1, ", steps, "]", line("input", x));
    check<ValueError>(i == 0 || lengths[i] <= lengths[i - 1], kOp,
                      ": lengths must be in decreasing order; got ", IntList(lengths),
                      line("fix", "pass enforce_sorted=False to have them sorted"));
  }
  std::vector<int64_t> batch, places;
  int64_t rows = n;
  for (int64_t t_ = 0; t_ < lengths[0]; ++t_) {
    while (lengths[static_cast<size_t>(rows - 1)] <= t_) --rows;
    batch.push_back(rows);
    for (int64_t i = 0; i < rows; ++i) places.push_back(batch_first ? i * steps + t_ : t_ * n + i);
  }
  const Tensor data = index_select(joined(x), 0, to(int64s(places), x.device()));
  return {data, int64s(batch)};
}

std::pair<Tensor, Tensor> pad_packed_sequence(const Tensor& data, const Tensor& batch_sizes,
                                              bool batch_first, Scalar padding, int64_t length) {
  constexpr const char* kOp = "pad_packed_sequence";
  check<ValueError>(data.rank() >= 1, kOp, ": data must be [rows, ...]", line("data", data));
  const std::vector<int64_t> batch = numbers(kOp, "batch_sizes", batch_sizes);
  const auto longest = static_cast<int64_t>(batch.size());
  int64_t rest = data.size(0), last = rest;
  for (const int64_t rows : batch) {
    check<ValueError>(rows > 0 && rows <= last && rows <= rest, kOp,
                      ": batch_sizes must be positive, never grow, and add up to the ",
                      data.size(0), " rows of data; got ", IntList(batch));
    rest -= rows;
    last = rows;
  }
  check<ValueError>(rest == 0 && longest > 0, kOp, ": batch_sizes must add up to the ",
                    data.size(0), " rows of data; got ", IntList(batch));
  check<ValueError>(length == 0 || length >= longest, kOp, ": total_length ", length,
                    " is less than the longest sequence, of ", longest);
  const int64_t steps = std::max(length, longest), n = batch[0];
  std::vector<int64_t> places, lengths(static_cast<size_t>(n), 0);
  for (int64_t t_ = 0; t_ < longest; ++t_) {
    for (int64_t i = 0; i < batch[static_cast<size_t>(t_)]; ++i) {
      places.push_back(batch_first ? i * steps + t_ : t_ * n + i);
      ++lengths[static_cast<size_t>(i)];
    }
  }
  return {filled(data, places, steps, n, batch_first, padding), int64s(lengths)};
}

Tensor pad_sequence(std::span<const Tensor> sequences, bool batch_first, Scalar padding,
                    bool left) {
  check<ValueError>(!sequences.empty(), "pad_sequence: needs at least one sequence");
  const Tensor& first = sequences[0];
  const auto n = static_cast<int64_t>(sequences.size());
  std::vector<Tensor> parts;
  int64_t longest = 0;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const Tensor& s = sequences[i];
    check<ValueError>(s.rank() > 0, "pad_sequence: sequence ", i, " has no dimension",
                      line("got", s));
    Dims sizes = s.sizes();
    if (first.rank() > 0) sizes[0] = first.size(0);
    check<ValueError>(sizes == first.sizes(), "pad_sequence: sequences may differ in length only",
                      line("first", first), line("got", s));
    longest = std::max(longest, s.size(0));
    parts.push_back(to(s, first.dtype()));
  }
  std::vector<int64_t> places;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t length = sequences[static_cast<size_t>(i)].size(0);
    const int64_t start = left ? longest - length : 0;
    for (int64_t t_ = start; t_ < start + length; ++t_)
      places.push_back(batch_first ? i * longest + t_ : t_ * n + i);
  }
  return filled(cat(parts), places, longest, n, batch_first, padding);
}

}  // namespace lamina::ops
