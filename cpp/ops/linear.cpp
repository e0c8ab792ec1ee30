// The fully connected layer, its activation included: act(x W^T + b) as one op.
#include "ops/common.h"

namespace lamina::ops {
namespace {

// A tensor [..., columns] as a matrix of the device's, for a call's length.
class Matrix {
 public:
  Matrix(const Tensor& t, int64_t columns) {
    const Tensor* from = &t;
    if (t.rank() == 2) {
      set(t.size(0), columns, t.stride(0), t.stride(1));
    } else {
      if (!t.contiguous()) from = &(copy_ = ops::contiguous(t));
      set(t.numel() / std::max<int64_t>(columns, 1), columns, columns, 1);
    }
    data_ = from->data();
    dtype_ = t.dtype();
  }
  TensorRef ref() const { return {data_, {sizes_, 3}, {strides_, 3}, dtype_}; }
  TensorRef transposed() const { return {data_, {turned_sizes_, 3}, {turned_strides_, 3}, dtype_}; }

 private:
  void set(int64_t rows, int64_t columns, int64_t down, int64_t across) {
    sizes_[1] = turned_sizes_[2] = rows;
    sizes_[2] = turned_sizes_[1] = columns;
    strides_[1] = turned_strides_[2] = down;
    strides_[2] = turned_strides_[1] = across;
  }

  Tensor copy_;
  void* data_;
  DType dtype_;
  int64_t sizes_[3] = {1}, strides_[3] = {0}, turned_sizes_[3] = {1}, turned_strides_[3] = {0};
};

// From recorded ops, for a gradient of the gradient. g is the gradient before the activation.
void composed_backward(Backward& b, const Tensor& g, const Tensor& x, const Tensor& weight,
                       const Dims& sizes) {
  const int64_t dim = 0;
  const auto matrix = [](const Tensor& t_, int64_t columns) {
    return t_.rank() == 2 ? t_
                          : reshape(t_, Dims{t_.numel() / std::max<int64_t>(columns, 1), columns});
  };
  const Tensor flat = matrix(g, g.sizes().back());
  if (b.needs(0)) b.set(0, reshape(mm(flat, weight), sizes));
  if (b.needs(1)) b.set(1, mm(t(flat), matrix(x, sizes.back())));
  if (b.needs(2)) b.set(2, sum(flat, std::span(&dim, 1)));
}

// Each operand is read in place; the bias gradient is summed while dW reads dY.
void fused_backward(Backward& b, const Tensor& g, const Tensor& x, const Tensor& weight,
                    const Dims& sizes) {
  const int64_t out = g.sizes().back(), in = sizes.back();
  const Matrix dy(g, out);
  if (b.needs(0)) {
    Tensor dx = empty(sizes, g.dtype(), g.device());
    const Matrix c(dx, in), w(weight, in);
    call<&DeviceApi::gemm>(g.device(), "linear",
                           GemmArgs{.c = c.ref(), .a = dy.ref(), .b = w.ref()});
    b.set(0, std::move(dx));
  }
  Tensor dbias = b.needs(2) ? empty(Dims{out}, g.dtype(), g.device()) : Tensor();
  if (b.needs(1)) {
    Tensor dweight = empty(Dims{out, in}, g.dtype(), g.device());
    const Matrix c(dweight, in), operand(x, in);
    call<&DeviceApi::gemm>(
        g.device(), "linear",
        GemmArgs{
            .c = c.ref(), .a = dy.transposed(), .b = operand.ref(), .a_sums = ref_or_none(dbias)});
    b.set(1, std::move(dweight));
  } else if (b.needs(2)) {
    const int64_t dim = 0;
    dbias = sum(reshape(g, Dims{g.numel() / std::max<int64_t>(out, 1), out}), std::span(&dim, 1));
  }
  if (b.needs(2)) b.set(2, std::move(dbias));
}

void check_linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check_operands("linear", x, weight);
  check<ValueError>(weight.rank() == 2, "linear: the weight must be a matrix",
                    line("weight", weight));
  check<ValueError>(x.rank() >= 1, "linear: the input must have at least one dimension",
                    line("input", x));
  check<ValueError>(x.sizes().back() == weight.size(1), "linear: input has ", x.sizes().back(),
                    " features but weight expects ", weight.size(1), line("input", x),
                    line("weight", weight));
  if (!bias.defined()) return;
  check<ValueError>(bias.rank() == 1 && bias.size(0) == weight.size(0), "linear: weight gives ",
                    weight.size(0), " features but bias has sizes ", bias.sizes(),
                    line("weight", weight), line("bias", bias));
  check_operands("linear", x, bias);
}

}  // namespace

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation act) {
  check_linear(x, weight, bias);
  const int64_t in = weight.size(1), out = weight.size(0);
  Dims sizes = x.sizes();
  sizes[x.rank() - 1] = out;
  const bool records = recording(x, weight, bias);
  const bool keeps_input = records && needs_input(act);

  Tensor y = empty(sizes, x.dtype(), x.device());
  const Tensor before = keeps_input ? empty(sizes, x.dtype(), x.device()) : Tensor();
  {
    const GradMode off(false);
    const Tensor adjacent = bias.defined() && !bias.contiguous() ? clone(bias) : bias;
    const Matrix a(x, in), w(weight, in), c(keeps_input ? before : y, out);
    call<&DeviceApi::gemm>(x.device(), "linear",
                           GemmArgs{.c = c.ref(),
                                    .a = a.ref(),
                                    .b = w.transposed(),
                                    .bias = ref_or_none(adjacent),
                                    .act = keeps_input ? Activation::None : act});
  }
  if (keeps_input) call<&DeviceApi::unary>(x.device(), "linear", row_of(act), y, before, Params{});
  if (!records) return y;
  // The gradient of the gradient makes `before` again, from all three.
  record("linear", {y}, {x, weight, bias},
         [x = keeps_input || requires_grad(weight) ? Saved::input(x) : Saved(),
          weight = keeps_input || requires_grad(x) ? Saved::input(weight) : Saved(),
          bias = keeps_input && bias.defined() ? Saved::input(bias) : Saved(),
          kept = kept_for(act, before, y), act, sizes = x.sizes()](Backward& b) {
           const Tensor x_ = b(x), weight_ = b(weight);
           const Tensor g =
               before_activation(b, act, kept, [&] { return linear(x_, weight_, b(bias)); });
           if (grad_enabled())
             composed_backward(b, g, x_, weight_, sizes);
           else
             fused_backward(b, g, x_, weight_, sizes);
         });
  return y;
}

}  // namespace lamina::ops
