// Rows of a table that indices name, alone or in bags.
#include <algorithm>
#include <cmath>

#include "ops/common.h"

namespace lamina::ops {
namespace {

// index as contiguous int64, each checked to name a row.
Tensor row_numbers(const char* op, const Tensor& index, const Tensor& weight) {
  check<TypeError>(index.dtype() == DType::Int64 || index.dtype() == DType::Int32, op,
                   ": the input must be int64 or int32, got ", index.dtype());
  check_floating(op, "weight", weight);
  check<ValueError>(weight.rank() == 2, op, ": the weight must be a matrix, a row for each number",
                    line("weight", weight));
  const Tensor rows = contiguous(to(detach(index), DType::Int64));
  int64_t bad = 0;
  if (!call<&DeviceApi::indices_in_range>(rows.device(), op, rows, int64_t{0}, weight.size(0),
                                          &bad))
    raise<IndexError>(op, ": ", bad, " is out of range for ", weight.size(0), " rows",
                      line("input", index.sizes()), line("weight", weight));
  return at(rows, weight.device());
}

// The row that padding names, which may count from the end; -1 for none.
int64_t padding_row(const char* op, const EmbeddingOptions& o, const Tensor& weight) {
  if (!o.padding) return -1;
  const int64_t rows = weight.size(0);
  check<ValueError>(*o.padding >= -rows && *o.padding < rows, op, ": padding_idx ", *o.padding,
                    " is out of range for ", rows, " rows", line("weight", weight));
  return *o.padding < 0 ? *o.padding + rows : *o.padding;
}

// Scales the rows that are about to be read down to max_norm.
void renormalize(const Tensor& rows, const Tensor& weight, const EmbeddingOptions& o) {
  const GradMode off(false);
  const Tensor which = unique(reshape(rows, Dims{rows.numel()}), {}, false, false).values;
  const Tensor values = index(weight, std::span(&which, 1));
  const int64_t dim = 1;
  const Tensor size = norm(values, o.norm_type, std::span(&dim, 1), true);
  const Tensor limit = scalar(*o.max_norm);
  const Tensor factor = where(gt(size, limit), div(limit, add(size, scalar(1e-7))), scalar(1.0));
  index_put_(weight, std::span(&which, 1), mul(values, factor), false);
}

// How the gradient of a table is made of that of its rows.
struct Scatter {
  Dims sizes;  // of the table
  int64_t padding;
  bool by_frequency, sparse;
};

Tensor table_gradient(const Tensor& g_, const Tensor& rows, const Scatter& how) {
  Tensor g = g_;
  Unique distinct;
  if (how.by_frequency || how.sparse)
    distinct = unique(reshape(rows, Dims{rows.numel()}), {}, true, true);
  if (how.by_frequency) {
    const Tensor times = index(distinct.counts, std::span(&distinct.inverse, 1));
    g = div(g, to(unsqueeze(reshape(times, rows.sizes()), -1), g.dtype()));
  }
  const bool recorded = grad_enabled();
  const bool sparse = how.sparse && !recorded;
  Tensor dweight = sparse ? untouched_zeros(how.sizes, g.dtype(), g.device())
                          : zeros(how.sizes, g.dtype(), g.device());
  index_put_(dweight, std::span(&rows, 1), g, true);
  if (how.padding >= 0 && recorded) {
    const Tensor each =
        arange(Scalar(0), Scalar(how.sizes[0]), Scalar(1), DType::Int64, g.device());
    dweight = where(unsqueeze(eq(each, scalar(how.padding)), 1), scalar(0.0), dweight);
  } else if (how.padding >= 0) {
    fill_(select(dweight, 0, how.padding), Scalar(0.0));
  }
  if (sparse && dweight.numel() > 0) note_rows(dweight, distinct.values);
  return dweight;
}

Tensor rows_of(const char* op, const Tensor& rows, const Tensor& weight, int64_t padding,
               const EmbeddingOptions& o) {
  Dims sizes = rows.sizes();
  sizes.push_back(weight.size(1));
  Tensor y = empty(sizes, weight.dtype(), weight.device());
  const TensorRef refs[] = {rows};
  call<&DeviceApi::index_read>(weight.device(), op, y, detach(weight),
                               std::span<const TensorRef>(refs));
  if (recording(weight))
    record(op, {y}, {weight},
           [rows = Saved::input(rows),
            how = Scatter{weight.sizes(), padding, o.by_frequency, o.sparse}](Backward& b) {
             b.set(0, table_gradient(b.grad(), b(rows), how));
           });
  return y;
}

// Where each bag begins in the flat index, and, last, where the last one ends.
std::vector<int64_t> bag_starts(const Tensor& index, const Tensor& offsets_, bool last_included) {
  const char* op = "embedding_bag";
  check<ValueError>(index.rank() == 1 || index.rank() == 2, op,
                    ": the input must have 1 or 2 dimensions", line("input", index.sizes()));
  std::vector<int64_t> starts;
  if (index.rank() == 2) {
    check<ValueError>(!offsets_.defined(), op,
                      ": a 2-d input has a bag in every row and takes no offsets",
                      line("input", index.sizes()));
    for (int64_t i = 0; i <= index.size(0); ++i) starts.push_back(i * index.size(1));
    return starts;
  }
  check<ValueError>(offsets_.defined(), op, ": a 1-d input needs offsets, where each bag begins",
                    line("input", index.sizes()));
  check<ValueError>(offsets_.rank() == 1, op, ": offsets must have one dimension",
                    line("offsets", offsets_.sizes()));
  check<TypeError>(is_integral(offsets_.dtype()), op, ": offsets must be integers, got ",
                   offsets_.dtype());
  const Tensor offsets = contiguous(to(to(detach(offsets_), Device{}), DType::Int64));
  const auto* p = offsets.as<const int64_t>();
  for (int64_t i = 0; i < offsets.numel(); ++i) {
    check<ValueError>(i > 0 || p[0] == 0, op, ": offsets must begin with 0, got ", p[0]);
    check<ValueError>((i == 0 || p[i] >= p[i - 1]) && p[i] <= index.numel(), op,
                      ": offsets must not decrease nor go beyond the ", index.numel(),
                      " numbers of the input, got ", p[i], " at position ", i);
    starts.push_back(p[i]);
  }
  check<ValueError>(!last_included || !starts.empty(), op,
                    ": include_last_offset=True needs at least one offset");
  if (!last_included) starts.push_back(index.numel());
  return starts;
}

Tensor as_tensor(const std::vector<int64_t>& values, Device device) {
  Tensor t = empty({static_cast<int64_t>(values.size())}, DType::Int64);
  std::copy(values.begin(), values.end(), t.as<int64_t>());
  return at(t, device);
}

// The largest of each bag, column by column; 0 in an empty one.
Tensor largest(const Tensor& values, const std::vector<int64_t>& begin,
               const std::vector<int64_t>& count) {
  const auto bags = static_cast<int64_t>(begin.size());
  const int64_t most = count.empty() ? 0 : *std::max_element(count.begin(), count.end());
  if (most == 0)
    return mul(sum(values, {}), zeros({bags, values.size(1)}, values.dtype(), values.device()));
  std::vector<int64_t> places;
  for (int64_t i = 0; i < bags; ++i)
    for (int64_t j = 0; j < most; ++j) {
      const auto k = static_cast<size_t>(i);
      // A bag that is shorter shows its first one again, an empty one any.
      places.push_back(j < count[k] ? begin[k] + j : count[k] > 0 ? begin[k] : 0);
    }
  const Tensor at_ = view(as_tensor(places, values.device()), Dims{bags, most});
  const Tensor top = max(index(values, std::span(&at_, 1)), 1).first;
  const Tensor filled = gt(as_tensor(count, values.device()), scalar(0));
  return where(unsqueeze(filled, 1), top, scalar(0.0));
}

}  // namespace

Tensor embedding(const Tensor& index_, const Tensor& weight, const EmbeddingOptions& o) {
  const Tensor rows = row_numbers("embedding", index_, weight);
  const int64_t padding = padding_row("embedding", o, weight);
  if (o.max_norm) renormalize(rows, weight, o);
  return rows_of("embedding", rows, weight, padding, o);
}

Tensor embedding_bag(const Tensor& index_, const Tensor& weight, const Tensor& offsets,
                     BagMode mode, const Tensor& sample_weights, bool last_offset_included,
                     const EmbeddingOptions& o) {
  const char* op = "embedding_bag";
  const std::vector<int64_t> starts = bag_starts(index_, offsets, last_offset_included);
  const Tensor all = row_numbers(op, index_, weight);
  const int64_t padding = padding_row(op, o, weight);
  check<ValueError>(mode != BagMode::Max || !o.by_frequency, op,
                    ": mode='max' has no gradient that scale_grad_by_freq could scale");
  if (sample_weights.defined()) {
    check<ValueError>(mode == BagMode::Sum, op, ": per_sample_weights need mode='sum'");
    check<ValueError>(sample_weights.sizes() == index_.sizes(), op,
                      ": per_sample_weights must have the sizes of the input",
                      line("input", index_.sizes()), line("weights", sample_weights));
    check<TypeError>(sample_weights.dtype() == weight.dtype(), op,
                     ": per_sample_weights must have the weight's dtype ", weight.dtype(), ", got ",
                     sample_weights.dtype());
  }
  // What counts: its places in the flat index, and its bag.
  const Tensor host = to(all, Device{});
  const auto* number = host.as<const int64_t>();
  const auto bags = static_cast<int64_t>(starts.size()) - 1;
  std::vector<int64_t> places, bag, begin, count;
  for (int64_t i = 0; i < bags; ++i) {
    begin.push_back(static_cast<int64_t>(places.size()));
    for (int64_t j = starts[static_cast<size_t>(i)]; j < starts[static_cast<size_t>(i) + 1]; ++j) {
      if (number[j] == padding) continue;
      places.push_back(j);
      bag.push_back(i);
    }
    count.push_back(static_cast<int64_t>(places.size()) - begin.back());
  }
  const Device device = weight.device();
  const Tensor place = as_tensor(places, device);
  const Tensor rows = index(reshape(all, Dims{all.numel()}), std::span(&place, 1));
  if (o.max_norm) renormalize(all, weight, o);  // those that do not count, too
  Tensor values = rows_of(op, rows, weight, padding, o);
  if (mode == BagMode::Max) return largest(values, begin, count);
  if (sample_weights.defined()) {
    const Tensor kept = index(reshape(sample_weights, Dims{all.numel()}), std::span(&place, 1));
    values = mul(values, unsqueeze(kept, 1));
  }
  const Tensor sums = index_add(zeros({bags, weight.size(1)}, weight.dtype(), device), 0,
                                as_tensor(bag, device), values);
  if (mode == BagMode::Sum) return sums;
  const Tensor counts = to(as_tensor(count, device), weight.dtype());
  return div(sums, unsqueeze(clamp(counts, scalar(1.0), {}), 1));
}

Tensor one_hot(const Tensor& index_, std::optional<int64_t> classes) {
  check<TypeError>(is_integral(index_.dtype()) && index_.dtype() != DType::Bool,
                   "one_hot: the input must be integers, got ", index_.dtype());
  const Tensor numbers = contiguous(to(detach(index_), DType::Int64));
  check<ValueError>(!classes || *classes > 0, "one_hot: num_classes must be positive, got ",
                    classes.value_or(0));
  check<ValueError>(classes || numbers.numel() > 0,
                    "one_hot: an empty input does not say how many classes there are; give "
                    "num_classes");
  const int64_t count = classes ? *classes : host_value<int64_t>("one_hot", amax(numbers)) + 1;
  int64_t bad = 0;
  if (!call<&DeviceApi::indices_in_range>(numbers.device(), "one_hot", numbers, int64_t{0}, count,
                                          &bad))
    raise<ValueError>("one_hot: ", bad, " is no class",
                      line("classes", std::max<int64_t>(count, 0)));
  const Tensor each = arange(Scalar(0), Scalar(count), Scalar(1), DType::Int64, numbers.device());
  return to(eq(unsqueeze(numbers, -1), each), DType::Int64);
}

}  // namespace lamina::ops
