// Filters as large as images: every element of x meets one of w, once, and all three are products
// of matrices, x [N, CHW], w [K, CHW] and y [N, K]. The general forms would compute with zeros
// mostly.
#include "cpu/conv.h"
#include "cpu/drivers.h"

namespace lamina::cpu::conv_detail {
namespace {

struct Matrix {
  Matrix(const TensorRef& t, int64_t columns_)
      : data(t), columns(columns_), sizes{1, t.sizes[0], columns_}, strides{0, columns_, 1} {}
  TensorRef ref() const { return {data.data, sizes, strides, data.dtype}; }

  TensorRef data;
  int64_t columns;
  Dims sizes, strides;
};

struct Matrices {
  explicit Matrices(const ConvArgs& a)
      : x(a.x, a.x.sizes[1] * a.x.sizes[2] * a.x.sizes[3]),
        w(a.w, x.columns),
        y(a.y, a.y.sizes[1]) {}
  Matrix x, w, y;
};

Matrix transposed(Matrix m) {
  std::swap(m.sizes[1], m.sizes[2]);
  std::swap(m.strides[1], m.strides[2]);
  return m;
}

}  // namespace

bool meets_once(const ConvArgs& a) {
  for (int dim = 0; dim < 2; ++dim)
    if (a.y.sizes[2 + dim] != 1 || a.padding[dim] != 0 || a.x.sizes[2 + dim] != a.w.sizes[2 + dim])
      return false;
  return a.groups == 1;
}

void conv_whole(Ctx& ctx, const ConvArgs& a) {
  const Matrices m(a);
  const Matrix w = transposed(m.w);
  gemm(ctx, {.c = m.y.ref(), .a = m.x.ref(), .b = w.ref(), .bias = a.bias, .act = a.act});
}

void conv_whole_input(Ctx& ctx, const ConvArgs& a) {
  const Matrices m(a);
  dispatch_floating("conv", a.x.dtype, [&]<class T>() {
    // The bias of a channel is that of its columns.
    const int64_t area = a.x.sizes[2] * a.x.sizes[3];
    const Workspace<T> bias(a.bias.defined() ? m.x.columns : 0);
    if (a.bias.defined())
      for (int64_t c = 0; c < a.x.sizes[1]; ++c)
        std::fill_n(bias.data() + c * area, area, a.bias.as<T>()[c]);
    const Dims sizes{m.x.columns}, strides{1};
    GemmArgs args{.c = m.x.ref(), .a = m.y.ref(), .b = m.w.ref(), .act = a.act};
    if (a.bias.defined()) args.bias = {bias.data(), sizes, strides, a.x.dtype};
    gemm(ctx, args);
  });
}

void conv_whole_weight(Ctx& ctx, const ConvArgs& a) {
  const Matrices m(a);
  const Matrix y = transposed(m.y);
  gemm(ctx, {.c = m.w.ref(), .a = y.ref(), .b = m.x.ref(), .a_sums = a.bias});
}

}  // namespace lamina::cpu::conv_detail
