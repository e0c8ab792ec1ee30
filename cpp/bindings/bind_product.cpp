// Products and linear algebra.

#include "bindings/args.h"
#include "bindings/bind.h"
#include "bindings/convert.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

constexpr unsigned kBoth = kFunction | kMethod;

#define PRODUCT(name, first, second, doc)                                                   \
  def(                                                                                      \
      #name "(Tensor " first ", Tensor " second ", *, Tensor? out=None)", kBoth | kProduct, \
      [](Args& a) {                                                                         \
        return ops::write_out(#name, a.tensor(2), ops::name(a.tensor(0), a.tensor(1)));     \
      },                                                                                    \
      doc)

template <auto F>
Tensor added(const char* op, Args& a) {
  return ops::write_out(op, a.tensor(5),
                        F(a.tensor(0), a.tensor(1), a.tensor(2), {a.number(3), a.number(4)}));
}
template <auto F>
Tensor added_in_place(const char* op, Args& a) {
  ops::add_product_(op, F, a.tensor(0), a.tensor(1), a.tensor(2), {a.number(3), a.number(4)});
  return a.tensor(0);
}

#define ADDED(name, first, second, doc)                                                        \
  def(                                                                                         \
      #name "(Tensor input, Tensor " first ", Tensor " second                                  \
            ", *, number beta=1, number alpha=1, Tensor? out=None)",                           \
      kBoth | kProduct, [](Args& a) { return added<ops::name>(#name, a); },                    \
      "beta * input + alpha * " doc),                                                          \
      def(                                                                                     \
          #name "_(Tensor self, Tensor " first ", Tensor " second                              \
                ", *, number beta=1, number alpha=1)",                                         \
          kMethod | kProduct, [](Args& a) { return added_in_place<ops::name>(#name "_", a); }, \
          "In place: beta * self + alpha * " doc)

// tensordot(a, b, 2), or with the dimensions of both.
PyObject* tensordot(Args& a) {
  const bool listed = a.overload() == 1;
  PyObject* pair = listed ? a.object(2) : nullptr;
  Tensor out;
  if (listed) {
    check<TypeError>(
        (PyList_Check(pair) || PyTuple_Check(pair)) && PySequence_Fast_GET_SIZE(pair) == 2,
        "tensordot: argument 'dims' must be an int or a pair of lists of ints");
    Dims dims[2];
    for (int i = 0; i < 2; ++i) {
      int64_t values[kMaxRank];
      int count = 0;
      PyObject* list = PySequence_Fast_GET_ITEM(pair, i);
      const Got got = to_ints(list, values, count);
      if (got == Got::Raised) return nullptr;
      check<TypeError>(got == Got::Yes,
                       "tensordot: argument 'dims' must be an int or a pair of lists of ints");
      dims[i] = Dims(std::span<const int64_t>(values, static_cast<size_t>(count)));
    }
    const MaybeRelease gil(a.work());
    out = ops::tensordot(a.tensor(0), a.tensor(1), dims[0], dims[1]);
  } else {
    const MaybeRelease gil(a.work());
    out = ops::tensordot(a.tensor(0), a.tensor(1), a.integer(2));
  }
  return to_python(std::move(out));
}

constexpr Def kProducts[] = {
    PRODUCT(matmul, "input", "other",
            "The matrix product; batched over leading dimensions, which broadcast."),
    PRODUCT(mm, "input", "mat2", "The product of two matrices."),
    PRODUCT(bmm, "input", "mat2", "The products of two batches of matrices."),
    PRODUCT(mv, "input", "vec", "The product of a matrix and a vector."),
    PRODUCT(dot, "input", "tensor", "The sum of the products of two vectors' elements."),
    PRODUCT(inner, "input", "other", "Sums of products over the last dimensions of both."),
    PRODUCT(outer, "input", "vec2", "All products of two vectors' elements, as a matrix."),
    PRODUCT(kron, "input", "other", "Kronecker's product: a copy of `other` times each element."),
    ADDED(addmm, "mat1", "mat2", "mat1 @ mat2; `input` is not read where beta is 0."),
    ADDED(addmv, "mat", "vec", "mat @ vec; `input` is not read where beta is 0."),
    ADDED(addr, "vec1", "vec2", "outer(vec1, vec2); `input` is not read where beta is 0."),
    ADDED(baddbmm, "batch1", "batch2", "batch1 @ batch2; `input` is not read where beta is 0."),
    ADDED(addbmm, "batch1", "batch2",
          "the sum of batch1 @ batch2 over the batch; `input` is not read where beta is 0."),
    def(
        "tensordot(Tensor a, Tensor b, int dims=2)\ntensordot(Tensor a, Tensor b, object dims)",
        kFunction, [](Args& a) { return tensordot(a); },
        "Sums of products over the last `dims` dimensions of a and the first of b, or over those "
        "listed."),
    def(
        "einsum(str equation, *Tensor[] operands)", kFunction,
        [](Args& a) { return ops::einsum(a.text(0), a.tensors(1)); },
        "Sums of products as an equation such as 'bij,bjk->bik' says."),
    def(
        "cdist(Tensor x1, Tensor x2, float p=2.0, str? compute_mode=None)", kFunction | kProduct,
        [](Args& a) { return ops::cdist(a.tensor(0), a.tensor(1), a.real(2)); },
        "The distances, by the p-norm, of all points of x1 from all of x2; a point is a row."),
};

#undef PRODUCT
#undef ADDED

// -- lamina.linalg: bound with an underscore for the dot
// -------------------------------------------

enum class Order : uint8_t { None, Number, Frobenius };

Order order_of(const char* op, Args& a, bool text) {
  if (!a.has(1)) return Order::None;
  if (!text) return Order::Number;
  const std::string_view name = a.text(1);
  check<NotImplementedError>(name != "nuc", op,
                             ": order 'nuc' needs singular values, which lamina has not");
  check<ValueError>(name == "fro", op, ": the order must be a number, 'fro' or 'nuc', got '", name,
                    "'");
  return Order::Frobenius;
}

Tensor norm(Args& a) {
  const Tensor& x = a.tensor(0);
  const Order order = order_of("linalg.norm", a, a.overload() == 1);
  const int count = a.has(2) ? static_cast<int>(a.ints(2).size()) : x.rank();
  check<ValueError>(!a.has(2) || count == 1 || count == 2,
                    "linalg.norm: dim must name one or two dimensions, got ", a.ints(2));
  check<ValueError>(order == Order::None || count == 1 || count == 2,
                    "linalg.norm: with an order, dim must say which one or two of the ", x.rank(),
                    " dimensions to reduce", line("A", x));
  check<ValueError>(order != Order::Frobenius || count == 2,
                    "linalg.norm: order 'fro' is that of a matrix", line("A", x));
  if (order != Order::Number) return ops::vector_norm(x, 2, a.ints(2), a.flag(3), a.dtype(4));
  const double p = a.number(1).value();
  if (count == 1) return ops::vector_norm(x, p, a.ints(2), a.flag(3), a.dtype(4));
  return ops::matrix_norm(x, p, a.has(2) ? a.dims(2) : Dims{0, 1}, a.flag(3), a.dtype(4));
}

Tensor matrix_norm(Args& a) {
  const Dims dims = a.has(2) ? a.dims(2) : Dims{-2, -1};
  check<ValueError>(a.tensor(0).rank() >= 2, "linalg.matrix_norm: needs a matrix or a batch",
                    line("A", a.tensor(0)));
  check<ValueError>(dims.rank() == 2, "linalg.matrix_norm: needs two dimensions, got ", dims);
  if (order_of("linalg.matrix_norm", a, a.overload() == 0) != Order::Number)
    return ops::vector_norm(a.tensor(0), 2, dims, a.flag(3), a.dtype(4));
  return ops::matrix_norm(a.tensor(0), a.number(1).value(), dims, a.flag(3), a.dtype(4));
}

PyTypeObject* qr_type() {
  static PyTypeObject* const type = [] {
    static PyStructSequence_Field fields[] = {
        {"Q", "orthonormal columns"}, {"R", "upper triangular"}, {nullptr, nullptr}};
    static PyStructSequence_Desc desc{"lamina.linalg.qr_result", nullptr, fields, 2};
    return PyStructSequence_NewType(&desc);
  }();
  return type;
}

PyObject* qr(Args& a) {
  const std::string_view mode = a.text(1);
  check<ValueError>(mode == "reduced" || mode == "complete" || mode == "r",
                    "linalg.qr: mode must be 'reduced', 'complete' or 'r', got '", mode, "'");
  std::pair<Tensor, Tensor> found = [&] {
    const MaybeRelease gil(a.tensor(0).numel());
    return ops::qr(a.tensor(0), mode == "reduced"    ? ops::QrMode::Reduced
                                : mode == "complete" ? ops::QrMode::Complete
                                                     : ops::QrMode::R);
  }();
  PyTypeObject* type = qr_type();
  PyObject* out = type ? PyStructSequence_New(type) : nullptr;
  if (!out) return nullptr;
  PyStructSequence_SetItem(out, 0, wrap(std::move(found.first)));
  PyStructSequence_SetItem(out, 1, wrap(std::move(found.second)));
  return out;
}

#define NORM_REST "int[]? dim=None, bool keepdim=False, *, dtype? dtype=None, Tensor? out=None)"

constexpr Def kLinalg[] = {
    def(
        "linalg.norm(Tensor A, number? ord=None, " NORM_REST
        "\nlinalg.norm(Tensor A, str ord, " NORM_REST,
        kFunction, [](Args& a) { return ops::write_out("linalg.norm", a.tensor(5), norm(a)); },
        "The norm of a vector, a matrix or, without `ord`, of all elements."),
    def(
        "linalg.vector_norm(Tensor x, number ord=2, " NORM_REST, kFunction,
        [](Args& a) {
          return ops::write_out(
              "linalg.vector_norm", a.tensor(5),
              ops::vector_norm(a.tensor(0), a.number(1).value(), a.ints(2), a.flag(3), a.dtype(4)));
        },
        "(sum |x|^ord)^(1/ord) over `dim`; inf and -inf give the extremes, 0 a count."),
    def(
        "linalg.matrix_norm(Tensor A, str ord='fro', " NORM_REST
        "\nlinalg.matrix_norm(Tensor A, number ord, " NORM_REST,
        kFunction,
        [](Args& a) { return ops::write_out("linalg.matrix_norm", a.tensor(5), matrix_norm(a)); },
        "The norm of matrices: 'fro', 1 and -1 by columns, inf and -inf by rows."),
    def(
        "linalg.solve(Tensor A, Tensor B, *, bool left=True, Tensor? out=None)",
        kFunction | kProduct,
        [](Args& a) {
          return ops::write_out("linalg.solve", a.tensor(3),
                                ops::solve(a.tensor(0), a.tensor(1), a.flag(2)));
        },
        "X of A X = B, or of X A = B; raises LinAlgError for a singular matrix."),
    def(
        "linalg.inv(Tensor A, *, Tensor? out=None)", kFunction,
        [](Args& a) { return ops::write_out("linalg.inv", a.tensor(1), ops::inv(a.tensor(0))); },
        "The inverse; raises LinAlgError for a singular matrix."),
    def(
        "linalg.qr(Tensor A, str mode='reduced') -> qr_result", kFunction,
        [](Args& a) { return qr(a); },
        "A = Q R, Q with orthonormal columns and R upper triangular; 'complete' makes Q square, "
        "'r' leaves it out."),
};

}  // namespace

void bind_product(PyObject* module) {
  bind<kProducts>();
  bind<kLinalg>();
  if (PyModule_AddObjectRef(module, "LinAlgError", linalg_error()) < 0)
    throw Error("bindings: LinAlgError can't be added");
}

}  // namespace lamina::bindings
