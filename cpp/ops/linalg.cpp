// Norms, distances, and what needs a factorisation.
#include <cmath>
#include <limits>

#include "ops/common.h"

namespace lamina::ops {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr int64_t kBlockElements = 1 << 20;  // of differences that cdist makes at a time

Tensor norm_values(const Tensor& x, double order, IntList dims) {
  if (order == kInf) return amax(abs(x), dims, true);
  if (order == -kInf) return amin(abs(x), dims, true);
  if (order == 0) return sum(to(ne(x, scalar(0)), x.dtype()), dims, true);
  if (order == 1) return sum(abs(x), dims, true);
  if (order == 2) return sqrt(sum(mul(x, x), dims, true));
  return pow(sum(pow(abs(x), scalar(order)), dims, true), scalar(1 / order));
}

// The gradient of a norm: g and norm have size 1 where it was taken. A norm has no derivative where
// it is zero; the gradient is then zero, which is the smallest of the subgradients.
Tensor norm_gradient(const Tensor& x, const Tensor& norm, const Tensor& g, double order,
                     IntList dims) {
  if (order == 0) return zeros_like(x);
  if (order == 1) return mul(g, sign(x));
  const Tensor zero = scalar(0.0), one = scalar(1.0);
  if (std::isinf(order)) {  // the largest, or smallest, share it
    const Tensor there = to(eq(abs(x), norm), x.dtype());
    return mul(mul(div(g, sum(there, dims, true)), there), sign(x));
  }
  const Tensor flat = eq(norm, zero);
  const Tensor divisor = where(flat, one, norm);
  if (order == 2) return mul(x, where(flat, zero, div(g, divisor)));
  const Tensor none = eq(x, zero);
  const Tensor ratio = div(where(none, one, abs(x)), divisor);
  const Tensor slope = mul(sign(x), pow(ratio, scalar(order - 1)));
  return mul(slope, where(flat, zero, g));
}

void check_norm(const char* op, const Tensor& x, double order) {
  check<TypeError>(is_floating(x.dtype()), op, ": the input must be float32 or float64, got ",
                   x.dtype(), "; pass dtype=");
  check<ValueError>(!std::isnan(order), op, ": the order must not be NaN");
}

}  // namespace

Tensor vector_norm(const Tensor& x_, double order, IntList dims, bool keepdim,
                   std::optional<DType> dtype) {
  check<TypeError>(is_floating(dtype.value_or(DType::Float64)),
                   "linalg.vector_norm: dtype must be float32 or float64, got ", *dtype);
  const Tensor x = dtype && is_floating(x_.dtype()) ? to(x_, *dtype) : x_;
  const DimSet set = dim_set("linalg.vector_norm", x, dims);
  check_norm("linalg.vector_norm", x, order);
  check<ValueError>(set.count > 0 || (order >= 0 && order != kInf), "linalg.vector_norm: order ",
                    order, " has no value for no elements", line("input", x));
  Tensor kept;
  {
    const GradMode off(false);
    kept = norm_values(x, order, set.dims);
  }
  Tensor y = alias(kept, keepdim ? set.keep : set.squeezed,
                   contiguous_strides(keepdim ? set.keep : set.squeezed), 0);
  if (recording(x))
    record("vector_norm", {y}, {x},
           [x = Saved::input(x), y = Saved::output(y), keep = set.keep, dims = set.dims,
            order](Backward& b) {
             b.set(0,
                   norm_gradient(b(x), reshape(b(y), keep), reshape(b.grad(), keep), order, dims));
           });
  return y;
}

Tensor matrix_norm(const Tensor& x_, double order, IntList dims, bool keepdim,
                   std::optional<DType> dtype) {
  check<ValueError>(dims.size() == 2, "linalg.matrix_norm: needs two dimensions, got ", dims);
  check<NotImplementedError>(std::abs(order) == 1 || std::isinf(order),
                             "linalg.matrix_norm: order ", order,
                             " needs singular values, which "
                             "lamina has not; there are 'fro', 1, -1, inf and -inf");
  const Tensor x = dtype ? to(x_, *dtype) : x_;
  const DimSet set = dim_set("linalg.matrix_norm", x, dims);
  check_norm("linalg.matrix_norm", x, order);
  // The largest (smallest) of the columns' sums, or of the rows'.
  const int64_t rows = wrap_dim("linalg.matrix_norm", dims[0], x.rank());
  const int64_t columns = wrap_dim("linalg.matrix_norm", dims[1], x.rank());
  const bool by_column = std::abs(order) == 1;
  const int64_t summed = by_column ? rows : columns;
  const int64_t compared = by_column ? columns : rows;
  const Tensor sums = vector_norm(x, 1, std::span(&summed, 1), true);
  if (x.size(static_cast<int>(compared)) == 0) {  // the largest of no sums is 0, as in PyTorch
    check<ValueError>(order > 0, "linalg.matrix_norm: order ", order,
                      " has no value for no elements", line("input", x));
    return sum(sums, set.dims, keepdim);
  }
  const Tensor y = order > 0 ? amax(sums, std::span(&compared, 1), true)
                             : amin(sums, std::span(&compared, 1), true);
  return keepdim ? y : reshape(y, set.squeezed);
}

// -- distances
// -------------------------------------------------------------------------------------

namespace {

constexpr int64_t kLast = -1;
constexpr IntList kLastDim(&kLast, 1);

// [..., p, 1, m] - [..., 1, r, m]
Tensor differences(const Tensor& x, const Tensor& y) {
  return sub(unsqueeze(x, x.rank() - 1), unsqueeze(y, y.rank() - 2));
}

// Calls f(start, end) for blocks of x's rows, so that the differences of one fit the caches.
template <class F>
void for_blocks(const Tensor& x, const Tensor& y, F&& f) {
  const int64_t rows = x.size(x.rank() - 2);
  const int64_t others = std::max<int64_t>(y.size(y.rank() - 2), 1);
  const int64_t each = x.numel() / std::max<int64_t>(rows, 1) * others;
  const int64_t step = std::max<int64_t>(1, kBlockElements / std::max<int64_t>(each, 1));
  for (int64_t start = 0; start < rows; start += step) f(start, std::min(start + step, rows));
}

// x and y of one batch shape.
Tensor distances(const Tensor& x, const Tensor& y, double p) {
  Dims sizes = x.sizes();
  sizes[x.rank() - 1] = y.size(y.rank() - 2);
  Tensor out = empty(sizes, x.dtype(), x.device());
  {
    const GradMode off(false);
    for_blocks(x, y, [&](int64_t start, int64_t end) {
      const Tensor d = differences(slice(x, -2, start, end), y);
      const Tensor part = slice(out, -2, start, end);
      if (x.sizes().back() == 0)
        fill_(part, Scalar(0));
      else
        raw_copy(part, vector_norm(d, p, kLastDim));
    });
  }
  if (recording(x, y))
    record("cdist", {out}, {x, y},
           [x = Saved::input(x), y = Saved::input(y), out = Saved::output(out), p](Backward& b) {
             const Tensor xs = b(x), ys = b(y), norms = b(out);
             std::vector<Tensor> dx;
             Tensor dy = zeros_like(ys);
             for_blocks(xs, ys, [&](int64_t start, int64_t end) {
               const Tensor d = differences(slice(xs, -2, start, end), ys);
               const auto rows = [&](const Tensor& t_) {
                 return unsqueeze(slice(t_, -2, start, end), -1);
               };
               const Tensor g = norm_gradient(d, rows(norms), rows(b.grad()), p, kLastDim);
               const int64_t over_y = -2, over_x = -3;
               if (b.needs(0)) dx.push_back(sum(g, std::span(&over_y, 1)));
               if (b.needs(1)) dy = sub(dy, sum(g, std::span(&over_x, 1)));
             });
             if (b.needs(0)) b.set(0, dx.empty() ? zeros_like(xs) : cat(dx, -2));
             if (b.needs(1)) b.set(1, dy);
           });
  return out;
}

// The leading dimensions of both, broadcast, with the last two of each.
std::pair<Tensor, Tensor> one_batch(const char* op, const Tensor& x, const Tensor& y) {
  const auto lead = [](const Tensor& t_) {
    return Dims(std::span<const int64_t>(t_.sizes()).first(static_cast<size_t>(t_.rank() - 2)));
  };
  const Dims both = broadcast_sizes(op, lead(x), lead(y));
  const auto widened = [&](const Tensor& t_) {
    Dims sizes = both;
    sizes.push_back(t_.size(t_.rank() - 2));
    sizes.push_back(t_.size(t_.rank() - 1));
    return sizes == t_.sizes() ? t_ : expand(t_, sizes);
  };
  return {widened(x), widened(y)};
}

}  // namespace

Tensor cdist(const Tensor& x, const Tensor& y, double p) {
  check_floating("cdist", "x1", x);
  check<TypeError>(x.dtype() == y.dtype(), "cdist: both must have one dtype, got ", x.dtype(),
                   " and ", y.dtype());
  check_same_device("cdist", x, y);
  check<ValueError>(x.rank() >= 2 && y.rank() >= 2, "cdist: needs two sets of points, one a row",
                    line("x1", x), line("x2", y));
  check<ValueError>(x.sizes().back() == y.sizes().back(), "cdist: the points have ",
                    x.sizes().back(), " and ", y.sizes().back(), " coordinates", line("x1", x),
                    line("x2", y));
  check<ValueError>(p >= 0, "cdist: p must not be negative, got ", p);
  const auto [a, b] = one_batch("cdist", x, y);
  return distances(a, b, p);
}

// -- systems of equations
// --------------------------------------------------------------------------

namespace {

void check_square(const char* op, const Tensor& a) {
  check_floating(op, "A", a);
  check<ValueError>(a.rank() >= 2 && a.size(a.rank() - 1) == a.size(a.rank() - 2), op,
                    ": A must be a square matrix or a batch of them", line("A", a));
}

// Rows of a batch that the device may overwrite.
Tensor own_batch(const Tensor& t) {
  const int64_t m = t.size(t.rank() - 2), n = t.size(t.rank() - 1);
  const int64_t count =
      checked_numel(std::span<const int64_t>(t.sizes()).first(static_cast<size_t>(t.rank() - 2)));
  const Tensor own = clone(detach(t));
  return alias(own, {count, m, n}, contiguous_strides(Dims{count, m, n}), 0);
}

// a^-1 b, both of one batch shape.
Tensor raw_solve(const char* op, const Tensor& a, const Tensor& b) {
  const Tensor x = own_batch(b);
  const int64_t bad = call<&DeviceApi::solve>(a.device(), op, own_batch(a), x);
  if (bad >= 0) {
    if (a.rank() == 2) raise<LinAlgError>(op, ": the matrix is singular", line("A", a));
    raise<LinAlgError>(op, ": matrix ", bad, " of the batch is singular", line("A", a));
  }
  return alias(x, b.sizes(), contiguous_strides(b.sizes()), 0);
}

Tensor solved(const Tensor& a, const Tensor& b_) {
  Tensor x = raw_solve("linalg.solve", a, b_);
  if (recording(a, b_))
    record("solve", {x}, {a, b_}, [a = Saved::input(a), x = Saved::output(x)](Backward& b) {
      const Tensor g = solved(mT(b(a)), b.grad());
      if (b.needs(0)) b.set(0, neg(matmul(g, mT(b(x)))));
      if (b.needs(1)) b.set(1, g);
    });
  return x;
}

}  // namespace

Tensor solve(const Tensor& a, const Tensor& b, bool left) {
  check_square("linalg.solve", a);
  check<TypeError>(a.dtype() == b.dtype(), "linalg.solve: A and B must have one dtype, got ",
                   a.dtype(), " and ", b.dtype());
  check_same_device("linalg.solve", a, b);
  // B is a batch of vectors where it has A's sizes but for the last.
  Dims vectors = a.sizes();
  vectors.erase(a.rank() - 1);
  const bool vector = b.rank() == 1 || b.sizes() == vectors;
  check<ValueError>(vector || b.rank() >= 2,
                    "linalg.solve: B must be a vector, a matrix or a batch", line("B", b));
  check<ValueError>(!vector || left, "linalg.solve: left=False needs a B that is a matrix",
                    line("B", b));
  const Tensor right = vector ? unsqueeze(b, -1) : left ? b : mT(b);
  check<ValueError>(right.size(right.rank() - 2) == a.sizes().back(), "linalg.solve: A is ",
                    a.sizes().back(), " x ", a.sizes().back(), " but B has ",
                    right.size(right.rank() - 2), left ? " rows" : " columns", line("A", a),
                    line("B", b));
  const auto [whole_a, whole_b] = one_batch("linalg.solve", left ? a : mT(a), right);
  const Tensor x = solved(whole_a, whole_b);
  return vector ? squeeze(x, -1) : left ? x : mT(x);
}

Tensor inv(const Tensor& a) {
  check_square("linalg.inv", a);
  Tensor x =
      raw_solve("linalg.inv", a,
                expand(eye(a.sizes().back(), a.sizes().back(), a.dtype(), a.device()), a.sizes()));
  if (recording(a))
    record("inv", {x}, {a}, [x = Saved::output(x)](Backward& b) {
      const Tensor t_ = mT(b(x));
      b.set(0, neg(matmul(matmul(t_, b.grad()), t_)));
    });
  return x;
}

// -- QR
// --------------------------------------------------------------------------------------------

namespace {

// Of A = Q R with as many rows as columns, or more rows: (dQ + Q S) R^-T, where S is the symmetric
// matrix with the upper triangle of dR R^T - Q^T dQ. (Walter and Lehmann, 2018.)
Tensor qr_gradient(const Tensor& q, const Tensor& r, const Tensor& dq, const Tensor& dr) {
  const Tensor m = sub(matmul(dr, mT(r)), matmul(mT(q), dq));
  const Tensor s = add(triu(m), mT(triu(m, 1)));
  return solve(mT(r), add(dq, matmul(q, s)), false);
}

}  // namespace

std::pair<Tensor, Tensor> qr(const Tensor& a, QrMode mode) {
  check_floating("linalg.qr", "A", a);
  check<ValueError>(a.rank() >= 2, "linalg.qr: A must be a matrix or a batch of them",
                    line("A", a));
  const int64_t m = a.size(a.rank() - 2), n = a.size(a.rank() - 1);
  const int64_t k = mode == QrMode::Complete ? m : std::min(m, n);
  const Tensor whole = own_batch(a);
  const Tensor columns = empty({whole.size(0), m, k}, a.dtype(), a.device());
  call<&DeviceApi::qr>(a.device(), "linalg.qr", columns, whole);
  Dims sizes = a.sizes();
  sizes[a.rank() - 1] = k;
  Tensor q = alias(columns, sizes, contiguous_strides(sizes), 0);
  sizes[a.rank() - 2] = k;
  sizes[a.rank() - 1] = n;
  Tensor r = contiguous(
      detach(slice(alias(whole, a.sizes(), contiguous_strides(a.sizes()), 0), -2, 0, k)));
  if (mode == QrMode::R) q = empty({0}, a.dtype(), a.device());
  if (recording(a))
    record("qr", {q, r}, {a},
           [q = Saved::output(q, 0), r = Saved::output(r, 1), mode, m, n](Backward& b) {
             check<NotImplementedError>(mode != QrMode::R,
                                        "linalg.qr: mode 'r' has no gradient, since it needs Q; "
                                        "use mode 'reduced'");
             check<NotImplementedError>(mode != QrMode::Complete || m <= n,
                                        "linalg.qr: mode 'complete' has no gradient for more rows "
                                        "than columns, where Q is not unique");
             const Tensor qs = b(q), rs = b(r);
             const Tensor dq = b.grad(0).defined() ? b.grad(0) : zeros_like(qs);
             const Tensor dr = b.grad(1).defined() ? b.grad(1) : zeros_like(rs);
             if (m >= n) {
               b.set(0, qr_gradient(qs, rs, dq, dr));
               return;
             }
             // A = [X, Y], R = [U, V]: X = Q U is square, and V = Q^T Y.
             const Tensor dv = slice(dr, -1, m, n);
             const Tensor y = matmul(qs, slice(rs, -1, m, n));
             const Tensor dx = qr_gradient(qs, slice(rs, -1, 0, m), add(dq, matmul(y, mT(dv))),
                                           slice(dr, -1, 0, m));
             const Tensor parts[] = {dx, matmul(qs, dv)};
             b.set(0, cat(parts, -1));
           });
  return {q, r};
}

}  // namespace lamina::ops
