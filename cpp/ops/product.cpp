// Products beside matmul: with vectors, added to something, over chosen dimensions.
#include "ops/common.h"

namespace lamina::ops {
namespace {

void check_vector(const char* op, const char* what, const Tensor& t) {
  check<ValueError>(t.rank() == 1, op, ": ", what, " must be a vector", line(what, t));
}

}  // namespace

Tensor mv(const Tensor& a, const Tensor& x) {
  check_operands("mv", a, x);
  check<ValueError>(a.rank() == 2, "mv: the first must be a matrix", line("first", a));
  check_vector("mv", "second", x);
  check<ValueError>(a.size(1) == x.size(0), "mv: the matrix has ", a.size(1),
                    " columns but the vector ", x.size(0), " elements", line("first", a),
                    line("second", x));
  return matmul(a, x);
}

Tensor dot(const Tensor& x, const Tensor& y) {
  check_operands("dot", x, y);
  check_vector("dot", "first", x);
  check_vector("dot", "second", y);
  check<ValueError>(x.numel() == y.numel(), "dot: the vectors must have as many elements",
                    line("first", x), line("second", y));
  return matmul(x, y);
}

Tensor inner(const Tensor& x, const Tensor& y) {
  if (x.rank() == 0 || y.rank() == 0) return mul(x, y);
  check_operands("inner", x, y);
  check<ValueError>(x.sizes().back() == y.sizes().back(), "inner: the last dimensions have sizes ",
                    x.sizes().back(), " and ", y.sizes().back(), line("first", x),
                    line("second", y));
  const Dims last{-1};
  return tensordot(x, y, last, last);
}

Tensor outer(const Tensor& x, const Tensor& y) {
  check_vector("outer", "first", x);
  check_vector("outer", "second", y);
  return mul(unsqueeze(x, 1), y);
}

Tensor kron(const Tensor& x, const Tensor& y) {
  // [a, b] and [c, d] multiply as [a, 1, b, 1] and [c, 1, d] do; then pairs become one.
  const int rank = std::max(x.rank(), y.rank());
  check<ValueError>(2 * rank <= kMaxRank, "kron: operands have at most ", kMaxRank / 2,
                    " dimensions, got ", rank, line("input", x), line("other", y));
  Dims of_x, of_y, joined;
  for (int i = 0; i < rank; ++i) {
    const int ix = i - (rank - x.rank());
    const int iy = i - (rank - y.rank());
    const int64_t a = ix < 0 ? 1 : x.size(ix);
    const int64_t b = iy < 0 ? 1 : y.size(iy);
    of_x.push_back(a);
    of_x.push_back(1);
    of_y.push_back(1);
    of_y.push_back(b);
    joined.push_back(a * b);
  }
  return reshape(mul(reshape(x, of_x), reshape(y, of_y)), joined);
}

// -- beta input + alpha a b
// ------------------------------------------------------------------------

namespace {

Tensor scaled(const Tensor& x, double factor) {
  return factor == 1 ? x : mul(x, scalar(factor, x.device()));
}

// A matrix as a batch of one.
Tensor batched(const Tensor& t) {
  Dims sizes = t.sizes(), strides = t.strides();
  if (t.rank() == 2) {
    sizes.insert(0, 1);
    strides.insert(0, 0);
  }
  return alias(t, sizes, strides, t.offset());
}

// One call of the device for a, b that are both matrices or both batches, of checked sizes.
Tensor add_product(const char* op, const Tensor& input, const Tensor& a, const Tensor& b, Sum s) {
  check_operands(op, a, b);
  check<TypeError>(input.dtype() == a.dtype(), op, ": all operands must have one dtype, got ",
                   input.dtype(), " and ", a.dtype());
  check_same_device(op, input, a);
  const int rank = a.rank();
  Dims sizes = a.sizes();
  sizes[rank - 1] = b.size(rank - 1);
  check<ValueError>(can_broadcast_to(input.sizes(), sizes), op,
                    ": the input does not broadcast to the product", line("input", input),
                    line("product", sizes));
  const double beta = s.beta.value(), alpha = s.alpha.value();
  Tensor c = empty(sizes, a.dtype(), a.device());
  if (beta != 0) raw_copy(c, input);
  const Tensor wide_c = batched(c), wide_a = batched(a), wide_b = batched(b);
  GemmArgs args;
  args.c = wide_c;
  args.a = wide_a;
  args.b = wide_b;
  args.alpha = alpha;
  args.beta = beta;
  call<&DeviceApi::gemm>(c.device(), op, args);
  if (recording(input, a, b))
    record(op, {c}, {input, a, b},
           [a = requires_grad(b) ? Saved::input(a) : Saved(),
            b = requires_grad(a) ? Saved::input(b) : Saved(), sizes = input.sizes(), alpha,
            beta](Backward& bw) {
             const Tensor& g = bw.grad();
             if (bw.needs(0))
               bw.set(0, beta == 0 ? zeros(sizes, g.dtype(), g.device())
                                   : scaled(sum_to(g, sizes), beta));
             if (bw.needs(1)) bw.set(1, scaled(matmul(g, mT(bw(b))), alpha));
             if (bw.needs(2)) bw.set(2, scaled(matmul(mT(bw(a)), g), alpha));
           });
  return c;
}

void check_matrices(const char* op, const Tensor& a, const Tensor& b, int rank) {
  const char* what = rank == 2 ? ": needs two matrices" : ": needs two batches of as many matrices";
  check<ValueError>(a.rank() == rank && b.rank() == rank && (rank == 2 || a.size(0) == b.size(0)),
                    op, what, line("first", a), line("second", b));
  check<ValueError>(a.size(rank - 1) == b.size(rank - 2), op, ": the first has ", a.size(rank - 1),
                    " columns but the second ", b.size(rank - 2), " rows", line("first", a),
                    line("second", b));
}

}  // namespace

Tensor addmm(const Tensor& input, const Tensor& a, const Tensor& b, Sum s) {
  check_matrices("addmm", a, b, 2);
  return add_product("addmm", input, a, b, s);
}

Tensor baddbmm(const Tensor& input, const Tensor& a, const Tensor& b, Sum s) {
  check_matrices("baddbmm", a, b, 3);
  return add_product("baddbmm", input, a, b, s);
}

Tensor addbmm(const Tensor& input, const Tensor& a, const Tensor& b, Sum s) {
  check_matrices("addbmm", a, b, 3);
  // A sum of products is one product over the batch as well.
  const Tensor wide = reshape(permute(a, Dims{1, 0, 2}), Dims{a.size(1), a.size(0) * a.size(2)});
  const Tensor tall = reshape(b, Dims{b.size(0) * b.size(1), b.size(2)});
  return add_product("addbmm", input, wide, tall, s);
}

Tensor addmv(const Tensor& input, const Tensor& a, const Tensor& x, Sum s) {
  check<ValueError>(a.rank() == 2, "addmv: the second must be a matrix", line("second", a));
  check_vector("addmv", "third", x);
  check<ValueError>(a.size(1) == x.size(0), "addmv: the matrix has ", a.size(1),
                    " columns but the vector ", x.size(0), " elements", line("second", a),
                    line("third", x));
  check<ValueError>(can_broadcast_to(input.sizes(), Dims{a.size(0)}),
                    "addmv: the input does not "
                    "broadcast to the product",
                    line("input", input), line("product", Dims{a.size(0)}));
  const Tensor column = input.rank() == 0 ? input : unsqueeze(input, 1);
  return squeeze(add_product("addmv", column, a, unsqueeze(x, 1), s), 1);
}

Tensor addr(const Tensor& input, const Tensor& x, const Tensor& y, Sum s) {
  check_vector("addr", "second", x);
  check_vector("addr", "third", y);
  return add_product("addr", input, unsqueeze(x, 1), unsqueeze(y, 0), s);
}

void add_product_(const char* op, AddProduct f, const Tensor& self, const Tensor& a,
                  const Tensor& b, Sum s) {
  rewrite(op, self, recording(self, a, b), [&](const Tensor& x) { return f(x, a, b, s); });
}

// -- over chosen dimensions
// ------------------------------------------------------------------------

Tensor tensordot(const Tensor& a, const Tensor& b, IntList dims_a, IntList dims_b) {
  check<ValueError>(dims_a.size() == dims_b.size(),
                    "tensordot: needs as many dimensions of the first as of the second, got ",
                    dims_a, " and ", dims_b);
  bool of_a[kMaxRank] = {}, of_b[kMaxRank] = {};
  Dims order_a, order_b, sizes;
  Dims summed_a, summed_b;
  int64_t count = 1;
  for (size_t i = 0; i < dims_a.size(); ++i) {
    const int da = wrap_dim("tensordot", dims_a[i], a.rank());
    const int db = wrap_dim("tensordot", dims_b[i], b.rank());
    check<ValueError>(a.rank() > 0 && b.rank() > 0,
                      "tensordot: a 0-d tensor has no dimension to "
                      "sum over",
                      line("first", a), line("second", b));
    check<ValueError>(!of_a[da] && !of_b[db], "tensordot: a dimension appears twice in ", dims_a,
                      " or ", dims_b);
    check<ValueError>(a.size(da) == b.size(db), "tensordot: dimension ", da,
                      " of the first has size ", a.size(da), " but dimension ", db,
                      " of the second ", b.size(db), line("first", a), line("second", b));
    of_a[da] = of_b[db] = true;
    summed_a.push_back(da);
    summed_b.push_back(db);
    count *= a.size(da);
  }
  check_operands("tensordot", a, b);
  int64_t rows = 1, columns = 1;
  for (int i = 0; i < a.rank(); ++i) {
    if (of_a[i]) continue;
    order_a.push_back(i);
    sizes.push_back(a.size(i));
    rows *= a.size(i);
  }
  order_b = summed_b;
  for (const int64_t d : summed_a) order_a.push_back(d);
  for (int i = 0; i < b.rank(); ++i) {
    if (of_b[i]) continue;
    order_b.push_back(i);
    sizes.push_back(b.size(i));
    columns *= b.size(i);
  }
  return reshape(mm(reshape(permute(a, order_a), Dims{rows, count}),
                    reshape(permute(b, order_b), Dims{count, columns})),
                 sizes);
}

Tensor tensordot(const Tensor& a, const Tensor& b, int64_t dims) {
  check<ValueError>(dims >= 0 && dims <= a.rank() && dims <= b.rank(),
                    "tensordot: dims must lie in "
                    "[0, the number of dimensions], got ",
                    dims, line("first", a), line("second", b));
  Dims last, first;
  for (int64_t i = 0; i < dims; ++i) {
    last.push_back(a.rank() - dims + i);
    first.push_back(i);
  }
  return tensordot(a, b, last, first);
}

}  // namespace lamina::ops
