// Losses against classes.
#include "ops/loss.h"

namespace lamina::ops {
namespace {

void check_classes(const char* op, const Tensor& target, int64_t classes,
                   std::optional<int64_t> ignore_index) {
  if (!target.device().is_cpu()) return;
  const auto* p = target.as<int64_t>();
  for (int64_t i = 0; i < target.numel(); ++i)
    check<IndexError>((p[i] >= 0 && p[i] < classes) || p[i] == ignore_index, op, ": target ", p[i],
                      " at position ", i, " is out of range for ", classes, " classes");
}

// [N, C, d...] -> [N d..., C], a recorded view or copy.
Tensor classes_last(const Tensor& x) {
  if (x.rank() == 1) return view(contiguous(x), Dims{1, x.size(0)});
  if (x.rank() == 2) return x;
  Dims order{0};
  for (int i = 2; i < x.rank(); ++i) order.push_back(i);
  order.push_back(1);
  return reshape(permute(x, order), Dims{x.numel() / std::max<int64_t>(x.size(1), 1), x.size(1)});
}

void check_class_weight(const char* op, const Tensor& x, const Tensor& weight, int64_t classes) {
  if (!weight.defined()) return;
  check<ValueError>(weight.rank() == 1 && weight.size(0) == classes, op,
                    ": weight must have one entry for each of the ", classes, " classes",
                    line("weight", weight));
  check<TypeError>(weight.dtype() == x.dtype(), op, ": weight must have the input's dtype ",
                   x.dtype(), ", got ", weight.dtype());
}

struct ClassTargets {
  Tensor logits;  // [N, C]
  Tensor target;  // [N]
  Dims sizes;     // of the unreduced loss
};

ClassTargets class_targets(const char* op, const Tensor& x, const Tensor& target,
                           const Tensor& weight, std::optional<int64_t> ignore_index) {
  check_floating(op, "input", x);
  check<ValueError>(x.rank() >= 1, op, ": the input needs a dimension of classes",
                    line("input", x));
  check<TypeError>(is_integral(target.dtype()), op, ": class targets must be int64, got ",
                   target.dtype(), line("target", target));
  const int class_dim = x.rank() == 1 ? 0 : 1;
  Dims expected = x.sizes();
  expected.erase(class_dim);
  check<ValueError>(target.sizes() == expected, op, ": class targets must have sizes ", expected,
                    " for this input", line("input", x), line("target", target.sizes()));
  const int64_t classes = x.size(class_dim);
  check_class_weight(op, x, weight, classes);
  const Tensor labels = contiguous(flatten(to(detach(target), DType::Int64)));
  check_classes(op, labels, classes, ignore_index);
  return {classes_last(x), labels, expected};
}

// d loss_i / d logits, built from ops so that it has a gradient of its own.
Tensor cross_entropy_gradient(const Tensor& logits, const Tensor& target, const Tensor& weight,
                              int64_t ignore_index, double smoothing, const Tensor& row_grad) {
  const int64_t classes = logits.size(1);
  const Device device = logits.device();
  const Tensor labels = unsqueeze(target, 1);
  const Tensor each = arange(Scalar(0), Scalar(classes), Scalar(1), DType::Int64, device);
  const Tensor w = weight.defined() ? weight : ones({classes}, logits.dtype(), device);
  Tensor wanted = mul(to(eq(each, labels), logits.dtype()), w);  // w[y] at y
  wanted = add(mul(wanted, scalar(1 - smoothing)),
               mul(w, scalar(smoothing / static_cast<double>(classes))));
  const Tensor live = to(ne(labels, scalar(ignore_index)), logits.dtype());
  const int64_t dim = 1;
  const Tensor total = sum(wanted, std::span(&dim, 1), true);
  const Tensor difference = sub(mul(softmax(logits, 1), total), wanted);
  return mul(mul(difference, live), unsqueeze(row_grad, 1));
}

// The rows of a matrix, and their first elements, for the length of a call.
class Rows {
 public:
  explicit Rows(const Tensor& matrix)
      : matrix_(matrix), sizes_{matrix.size(1)}, strides_{matrix.stride(1)} {}
  TensorRef row(int64_t i) const { return {at(i), sizes_, strides_, matrix_.dtype()}; }
  TensorRef item(int64_t i) const { return {at(i), {}, {}, matrix_.dtype()}; }

 private:
  void* at(int64_t i) const {
    return static_cast<char*>(matrix_.data()) + i * matrix_.stride(0) * item_size(matrix_.dtype());
  }
  const Tensor& matrix_;
  Dims sizes_, strides_;
};

Tensor index_cross_entropy(const Tensor& x, const Tensor& target_, const Tensor& weight_,
                           int64_t ignore_index, Reduction reduction, double smoothing) {
  const ClassTargets in = class_targets("cross_entropy", x, target_, weight_, ignore_index);
  const Tensor logits = contiguous(in.logits);
  const Tensor weight = weight_.defined() ? contiguous(detach(weight_)) : Tensor();
  const int64_t n = logits.size(0);
  // Of every row: loss, weight, log of the sum of exponentials.
  const Tensor rows = empty({3, n}, logits.dtype(), logits.device());
  const Rows of(rows);
  CrossEntropyArgs args;
  args.logits = logits;
  args.target = in.target;
  if (weight.defined()) args.weight = weight;
  // What the user gets may be written in place; what is kept for backward may not.
  const bool whole = reduction == Reduction::None;
  Tensor out = whole ? empty(in.sizes, logits.dtype(), logits.device()) : Tensor();
  args.loss = of.row(0);
  if (whole) args.loss.data = out.data();
  args.row_weight = of.row(1);
  args.logsumexp = of.row(2);
  args.ignore_index = ignore_index;
  args.label_smoothing = smoothing;
  call<&DeviceApi::cross_entropy>(logits.device(), "cross_entropy", args);

  Tensor totals;  // of loss and weight
  if (!whole) {
    totals = empty({2, 1}, logits.dtype(), logits.device());
    const Dims first_two{2, n};
    TensorRef summed = rows.ref();
    summed.sizes = first_two;
    call<&DeviceApi::reduce>(logits.device(), "cross_entropy", ReduceOp::Sum, totals, summed);
    out = alias(totals, {}, {}, 0);
    if (reduction == Reduction::Mean) {
      out = empty({}, logits.dtype(), logits.device());
      const Rows total(totals);
      call<&DeviceApi::binary>(logits.device(), "cross_entropy", BinaryOp::div, out, total.item(0),
                               total.item(1));
    }
  }
  if (recording(logits))
    record("cross_entropy", {out}, {logits},
           [logits = Saved::input(logits), target = Saved::input(in.target),
            weight = weight.defined() ? Saved::input(weight) : Saved(), rows = Saved::input(rows),
            totals = reduction == Reduction::Mean ? Saved::input(totals) : Saved(), n, ignore_index,
            smoothing](Backward& b) {
             const Tensor l = b(logits);
             Tensor g = b.grad();
             if (totals.defined()) g = div(g, select(view(b(totals), Dims{2}), 0, 1));
             if (grad_enabled()) {
               g = g.rank() == 0 ? expand(g, Dims{n}) : reshape(g, Dims{n});
               b.set(0,
                     cross_entropy_gradient(l, b(target), b(weight), ignore_index, smoothing, g));
               return;
             }
             Tensor dlogits = empty_like(l);
             CrossEntropyBackwardArgs back;
             const Tensor t_ = b(target), w = b(weight), kept = b(rows);
             const Rows kept_rows(kept);
             g = contiguous(g);
             const Dims sizes{n}, strides{g.rank() == 0 ? 0 : 1};
             back.logits = l;
             back.target = t_;
             if (w.defined()) back.weight = w;
             back.logsumexp = kept_rows.row(2);
             back.grad = {g.data(), sizes, strides, g.dtype()};
             back.dlogits = dlogits;
             back.ignore_index = ignore_index;
             back.label_smoothing = smoothing;
             call<&DeviceApi::cross_entropy_backward>(l.device(), "cross_entropy", back);
             b.set(0, dlogits);
           });
  return out;
}

// Against probabilities: -sum_c w[c] t[c] log p[c].
Tensor soft_cross_entropy(const Tensor& x, const Tensor& target, const Tensor& weight,
                          Reduction reduction, double smoothing) {
  check_floating("cross_entropy", "input", x);
  check<ValueError>(x.rank() >= 1, "cross_entropy: the input needs a dimension of classes",
                    line("input", x));
  check_same_sizes("cross_entropy", x, target);
  const int class_dim = x.rank() == 1 ? 0 : 1;
  const int64_t classes = x.size(class_dim);
  check_class_weight("cross_entropy", x, weight, classes);
  Tensor t_ = target;
  if (smoothing > 0)
    t_ = add(mul(t_, scalar(1 - smoothing)), scalar(smoothing / static_cast<double>(classes)));
  Tensor terms = mul(log_softmax(x, class_dim), t_);
  if (weight.defined()) {
    Dims sizes = Dims::filled(x.rank(), 1);
    sizes[class_dim] = classes;
    terms = mul(terms, view(weight, sizes));
  }
  const int64_t dim = class_dim;
  const Tensor loss = neg(sum(terms, std::span(&dim, 1)));
  return reduced(loss, reduction);
}

}  // namespace

Tensor cross_entropy(const Tensor& x, const Tensor& target, const Tensor& weight,
                     int64_t ignore_index, Reduction reduction, double label_smoothing) {
  check<ValueError>(label_smoothing >= 0 && label_smoothing <= 1,
                    "cross_entropy: label_smoothing must lie in [0, 1], got ", label_smoothing);
  check<ValueError>(
      !is_floating(target.dtype()) || ignore_index < 0,
      "cross_entropy: ignore_index names a class, and has no meaning for targets that "
      "are probabilities, got ",
      ignore_index);
  if (is_floating(target.dtype()))
    return soft_cross_entropy(x, target, weight, reduction, label_smoothing);
  return index_cross_entropy(x, target, weight, ignore_index, reduction, label_smoothing);
}

Tensor nll_loss(const Tensor& x, const Tensor& target, const Tensor& weight, int64_t ignore_index,
                Reduction reduction) {
  const ClassTargets in = class_targets("nll_loss", x, target, weight, ignore_index);
  const Tensor live = ne(in.target, scalar(ignore_index));
  const Tensor labels = where(live, in.target, scalar(0));
  const int64_t n = in.logits.size(0);
  const Tensor rows = arange(Scalar(0), Scalar(n), Scalar(1), DType::Int64, x.device());
  const Tensor at_[] = {rows, labels};
  const Tensor w = mul(
      weight.defined() ? index(weight, std::span(&labels, 1)) : ones({n}, x.dtype(), x.device()),
      live);
  // where() and not a product: an ignored row may hold an infinity.
  const Tensor loss = neg(where(live, mul(index(in.logits, at_), w), scalar(0.0)));
  if (reduction == Reduction::None) return view(loss, in.sizes);
  return reduction == Reduction::Sum ? sum(loss) : div(sum(loss), sum(w));
}

Tensor multi_margin_loss(const Tensor& x_, const Tensor& target, int64_t p, double margin,
                         const Tensor& weight, Reduction reduction) {
  const char* op = "multi_margin_loss";
  check<ValueError>(p == 1 || p == 2, op, ": p must be 1 or 2, got ", p);
  check<ValueError>(x_.rank() == 1 || x_.rank() == 2, op, ": the input must be [C] or [N, C]",
                    line("input", x_));
  // One sample alone may come with its class as [] or [1].
  const bool batch = x_.rank() == 2 || target.rank() == 1;
  const Tensor x = x_.rank() == 2 ? x_ : unsqueeze(x_, 0);
  const Tensor labels_ = batch ? target : unsqueeze(target, 0);
  const ClassTargets in = class_targets(op, x, labels_, weight, {});
  const int64_t classes = x.size(1);
  check<ValueError>(classes > 0, op, ": the input has no classes", line("input", x_));
  const Tensor labels = unsqueeze(in.target, 1);
  Tensor terms = relu(add(sub(x, gather(x, 1, labels)), scalar(margin)));
  if (p == 2) terms = square(terms);
  if (weight.defined()) terms = mul(terms, index(weight, std::span(&labels, 1)));
  const Tensor each = arange(Scalar(0), Scalar(classes), Scalar(1), DType::Int64, x.device());
  terms = where(eq(each, labels), scalar(0.0), terms);
  const int64_t dim = 1;
  const Tensor loss = mean(terms, std::span(&dim, 1));
  return reduced(batch ? loss : squeeze(loss, 0), reduction);
}

}  // namespace lamina::ops
