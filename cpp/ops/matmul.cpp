// Products of matrices. All come down to the device's gemm, which takes any strides, so that
// transposes cost nothing.
#include "ops/common.h"

namespace lamina::ops {
namespace {

// A matrix as a batch of one, for a call's length.
struct Batch {
  explicit Batch(const Tensor& t) : sizes(t.sizes()), strides(t.strides()), tensor(t) {
    if (t.rank() == 2) {
      sizes.insert(0, 1);
      strides.insert(0, 0);
    }
  }
  TensorRef ref() const { return {tensor.data(), sizes, strides, tensor.dtype()}; }
  Dims sizes, strides;
  const Tensor& tensor;
};

void gemm(const char* op, const Tensor& c, const Tensor& a, const Tensor& b) {
  const Batch cb(c), ab(a), bb(b);
  call<&DeviceApi::gemm>(c.device(), op, GemmArgs{.c = cb.ref(), .a = ab.ref(), .b = bb.ref()});
}

}  // namespace

Tensor mm(const Tensor& a, const Tensor& b) {
  check_operands("mm", a, b);
  check<ValueError>(a.rank() == 2 && b.rank() == 2, "mm: needs two matrices", line("first", a),
                    line("second", b));
  check<ValueError>(a.size(1) == b.size(0), "mm: the first has ", a.size(1),
                    " columns but the second ", b.size(0), " rows", line("first", a),
                    line("second", b));
  Tensor c = empty({a.size(0), b.size(1)}, a.dtype(), a.device());
  gemm("mm", c, a, b);
  if (recording(a, b))
    record("mm", {c}, {a, b},
           [a = requires_grad(b) ? Saved::input(a) : Saved(),
            b = requires_grad(a) ? Saved::input(b) : Saved()](Backward& bw) {
             if (bw.needs(0)) bw.set(0, mm(bw.grad(), t(bw(b))));
             if (bw.needs(1)) bw.set(1, mm(t(bw(a)), bw.grad()));
           });
  return c;
}

Tensor bmm(const Tensor& a, const Tensor& b) {
  check_operands("bmm", a, b);
  check<ValueError>(a.rank() == 3 && b.rank() == 3 && a.size(0) == b.size(0),
                    "bmm: needs two batches of as many matrices", line("first", a),
                    line("second", b));
  check<ValueError>(a.size(2) == b.size(1), "bmm: the first has ", a.size(2),
                    " columns but the second ", b.size(1), " rows", line("first", a),
                    line("second", b));
  Tensor c = empty({a.size(0), a.size(1), b.size(2)}, a.dtype(), a.device());
  gemm("bmm", c, a, b);
  if (recording(a, b))
    record("bmm", {c}, {a, b},
           [a = requires_grad(b) ? Saved::input(a) : Saved(),
            b = requires_grad(a) ? Saved::input(b) : Saved()](Backward& bw) {
             if (bw.needs(0)) bw.set(0, bmm(bw.grad(), mT(bw(b))));
             if (bw.needs(1)) bw.set(1, bmm(mT(bw(a)), bw.grad()));
           });
  return c;
}

Tensor matmul(const Tensor& a, const Tensor& b) {
  check_operands("matmul", a, b);
  check<ValueError>(a.rank() >= 1 && b.rank() >= 1, "matmul: 0-d tensors have no product; use *",
                    line("first", a), line("second", b));
  const int64_t inner = b.size(b.rank() == 1 ? 0 : b.rank() - 2);
  check<ValueError>(a.sizes().back() == inner, "matmul: the last dimension of the first is ",
                    a.sizes().back(), " but the ", b.rank() == 1 ? "" : "next to last ",
                    "dimension of the second is ", inner, line("first", a), line("second", b));
  if (a.rank() == 1) {
    const Tensor c = matmul(unsqueeze(a, 0), b);
    return squeeze(c, b.rank() == 1 ? 0 : -2);
  }
  if (b.rank() == 1) return squeeze(matmul(a, unsqueeze(b, 1)), -1);
  if (a.rank() == 2 && b.rank() == 2) return mm(a, b);
  if (b.rank() == 2) {  // one tall matrix
    Dims sizes = a.sizes();
    sizes[a.rank() - 1] = b.size(1);
    const int64_t rows = a.numel() / std::max<int64_t>(a.sizes().back(), 1);
    if (a.sizes().back() != 0) return view(mm(reshape(a, Dims{rows, a.sizes().back()}), b), sizes);
  }
  const auto lead = [](const Tensor& t_) {
    return Dims(std::span<const int64_t>(t_.sizes()).first(static_cast<size_t>(t_.rank() - 2)));
  };
  const Dims batch = broadcast_sizes("matmul", lead(a), lead(b));
  int64_t count = 1;
  for (const int64_t s : batch) count *= s;
  const auto flat = [&](const Tensor& t_) {
    const int64_t rows = t_.size(t_.rank() - 2);
    const int64_t columns = t_.size(t_.rank() - 1);
    Dims sizes = batch;
    sizes.push_back(rows);
    sizes.push_back(columns);
    return reshape(expand(t_, sizes), Dims{count, rows, columns});
  };
  Dims sizes = batch;
  sizes.push_back(a.size(a.rank() - 2));
  sizes.push_back(b.size(b.rank() - 1));
  return view(bmm(flat(a), flat(b)), sizes);
}

}  // namespace lamina::ops
