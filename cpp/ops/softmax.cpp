#include "ops/common.h"

namespace lamina::ops {
namespace {

// x as [outer, n, inner] around the chosen dimension, for a call's length.
struct Lines {
  Lines(const Tensor& t, int dim) : tensor(t) {
    int64_t outer = 1, n = 1, inner = 1;
    for (int i = 0; i < t.rank(); ++i) (i < dim ? outer : i == dim ? n : inner) *= t.size(i);
    sizes = {outer, n, inner};
    strides = contiguous_strides(sizes);
  }
  TensorRef ref() const { return {tensor.data(), sizes, strides, tensor.dtype()}; }
  Dims sizes, strides;
  const Tensor& tensor;
};

Tensor softmax_backward(const char* name, bool log, const Tensor& g, const Tensor& y, int dim) {
  const int64_t d = dim;
  const auto total = [&](const Tensor& t_) { return sum(t_, std::span(&d, 1), true); };
  if (grad_enabled()) return log ? sub(g, mul(exp(y), total(g))) : mul(y, sub(g, total(mul(g, y))));
  const Tensor dy = contiguous(g);
  Tensor dx = empty_like(y);
  const Lines ly(y, dim), ldy(dy, dim), ldx(dx, dim);
  call<&DeviceApi::softmax_backward>(y.device(), name,
                                     SoftmaxBackwardArgs{ly.ref(), ldy.ref(), ldx.ref(), log});
  return dx;
}

Tensor softmax_op(const char* name, bool log, const Tensor& x, int64_t dim) {
  check_floating(name, "input", x);
  const int d = wrap_dim(name, dim, x.rank());
  const Tensor source = contiguous(detach(x));
  Tensor y = empty_like(x);
  const Lines lx(source, d), ly(y, d);
  call<&DeviceApi::softmax>(x.device(), name, SoftmaxArgs{lx.ref(), ly.ref(), log});
  if (recording(x))
    record(name, {y}, {x}, [name, log, y = Saved::output(y), d](Backward& b) {
      b.set(0, softmax_backward(name, log, b.grad(), b(y), d));
    });
  return y;
}

}  // namespace

Tensor softmax(const Tensor& x, int64_t dim) { return softmax_op("softmax", false, x, dim); }
Tensor log_softmax(const Tensor& x, int64_t dim) { return softmax_op("log_softmax", true, x, dim); }

}  // namespace lamina::ops
