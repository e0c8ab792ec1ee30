// Lengths, distances and angles of vectors, and the losses made of them.
#include "ops/loss.h"

namespace lamina::ops {
namespace {

Tensor clamped(const Tensor& x) { return clamp_min(x, scalar(0.0)); }

IntList just(const int64_t& dim) { return {&dim, 1}; }

}  // namespace

Tensor normalize(const Tensor& x, double p, int64_t dim, double eps) {
  check_floating("normalize", "input", x);
  const int64_t d = wrap_dim("normalize", dim, x.rank());
  return div(x, clamp_min(vector_norm(x, p, just(d), true), scalar(eps)));
}

Tensor cosine_similarity(const Tensor& x1, const Tensor& x2, int64_t dim, double eps) {
  const char* op = "cosine_similarity";
  const DType dtype = result_type(x1, x2);
  const Dims sizes = broadcast_sizes(op, x1.sizes(), x2.sizes());
  const int64_t d = wrap_dim(op, dim, sizes.rank());
  const Tensor a = expand(to(x1, dtype), sizes), b = expand(to(x2, dtype), sizes);
  check_floating(op, "x1", a);
  const auto length = [&](const Tensor& v) {
    return clamp_min(vector_norm(v, 2, just(d)), scalar(eps));
  };
  return div(sum(mul(a, b), just(d)), mul(length(a), length(b)));
}

Tensor pairwise_distance(const Tensor& x1, const Tensor& x2, double p, double eps, bool keepdim) {
  const char* op = "pairwise_distance";
  check_floating(op, "x1", x1);
  check_floating(op, "x2", x2);
  const Tensor d = add(sub(x1, x2), scalar(eps));
  const int64_t last = -1;
  return vector_norm(d, p, d.rank() > 0 ? just(last) : IntList(), keepdim);
}

Tensor pdist(const Tensor& x, double p) {
  check_floating("pdist", "input", x);
  check<ValueError>(x.rank() == 2, "pdist: needs one point a row", line("input", x));
  check<ValueError>(p >= 0, "pdist: p must not be negative, got ", p);
  // Of the square of all distances the part above the diagonal, row by row.
  const int64_t n = x.size(0);
  const Tensor above = triu_indices(n, n, 1, DType::Int64, x.device());
  const Tensor at_ = add(mul(select(above, 0, 0), scalar(n)), select(above, 0, 1));
  return take(cdist(x, x, p), at_);
}

Tensor bilinear(const Tensor& x1, const Tensor& x2, const Tensor& weight, const Tensor& bias) {
  const char* op = "bilinear";
  check_operands(op, x1, x2);
  check_operands(op, x1, weight);
  check<ValueError>(weight.rank() == 3, op, ": the weight must be [out, in1, in2]",
                    line("weight", weight));
  const int rank = x1.rank();
  check<ValueError>(rank > 0 && x2.rank() == rank, op,
                    ": both inputs need the same number of dimensions, and at least one",
                    line("input1", x1), line("input2", x2));
  Dims batch = x1.sizes(), other = x2.sizes();
  batch.erase(rank - 1);
  other.erase(rank - 1);
  check<ValueError>(batch == other, op, ": the inputs differ before their last dimension",
                    line("input1", x1), line("input2", x2));
  const int64_t in1 = x1.sizes().back(), in2 = x2.sizes().back();
  check<ValueError>(in1 == weight.size(1) && in2 == weight.size(2), op, ": the inputs have ", in1,
                    " and ", in2, " features but the weight expects ", weight.size(1), " and ",
                    weight.size(2), line("input1", x1), line("input2", x2), line("weight", weight));
  // All products of a feature of one with a feature of the other, as the input of a linear layer.
  Dims pairs = batch;
  pairs.push_back(in1 * in2);
  const Tensor products = mul(unsqueeze(x1, -1), unsqueeze(x2, -2));
  return linear(reshape(products, pairs), reshape(weight, Dims{weight.size(0), in1 * in2}), bias);
}

Tensor margin_ranking_loss(const Tensor& x1, const Tensor& x2, const Tensor& target, double margin,
                           Reduction reduction) {
  const char* op = "margin_ranking_loss";
  check_floating(op, "input1", x1);
  check_floating(op, "input2", x2);
  check<ValueError>(x1.rank() == x2.rank() && x1.rank() == target.rank(), op,
                    ": inputs and target must have the same number of dimensions",
                    line("input1", x1), line("input2", x2), line("target", target));
  return reduced(clamped(add(mul(target, sub(x2, x1)), scalar(margin))), reduction);
}

Tensor triplet_margin_loss(const Tensor& anchor, const Tensor& positive, const Tensor& negative,
                           double margin, double p, double eps, bool swap, Reduction reduction) {
  const char* op = "triplet_margin_loss";
  check<ValueError>(margin > 0, op, ": margin must be positive, got ", margin);
  check<ValueError>(anchor.rank() == positive.rank() && anchor.rank() == negative.rank(), op,
                    ": anchor, positive and negative must have the same number of dimensions",
                    line("anchor", anchor), line("positive", positive), line("negative", negative));
  const Tensor near = pairwise_distance(anchor, positive, p, eps);
  Tensor far = pairwise_distance(anchor, negative, p, eps);
  if (swap) far = minimum(far, pairwise_distance(positive, negative, p, eps));
  return reduced(clamped(add(sub(near, far), scalar(margin))), reduction);
}

Tensor cosine_embedding_loss(const Tensor& x1, const Tensor& x2, const Tensor& target,
                             double margin, Reduction reduction) {
  const char* op = "cosine_embedding_loss";
  check_floating(op, "input1", x1);
  check_floating(op, "input2", x2);
  check<ValueError>(target.rank() <= 1 && x1.rank() == target.rank() + 1 && x2.rank() == x1.rank(),
                    op, ": needs vectors [D] with a target [], or a batch [N, D] with [N]",
                    line("input1", x1), line("input2", x2), line("target", target));
  constexpr double kTiny = 1e-12;  // beside a squared length, as PyTorch has it
  const int64_t last = -1;
  const auto dot = [&](const Tensor& a, const Tensor& b) { return sum(mul(a, b), just(last)); };
  const auto squared = [&](const Tensor& v) { return add(dot(v, v), scalar(kTiny)); };
  const Tensor cosine = div(dot(x1, x2), sqrt(mul(squared(x1), squared(x2))));
  const Tensor zero = scalar(0.0);
  const Tensor same = where(eq(target, scalar(1)), sub(scalar(1.0), cosine), zero);
  const Tensor different =
      where(eq(target, scalar(-1)), clamped(sub(cosine, scalar(margin))), zero);
  return reduced(add(same, different), reduction);
}

}  // namespace lamina::ops
