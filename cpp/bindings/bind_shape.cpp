// Views, and what moves elements around.

#include "bindings/args.h"
#include "bindings/bind.h"
#include "bindings/composite.h"
#include "bindings/convert.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

constexpr unsigned kBoth = kFunction | kMethod;

// split(5) or split([2, 3]), which may be longer than a tensor has dimensions.
PyObject* split(Args& a) {
  PyObject* sizes = a.object(1);
  int64_t size = 0;
  const Got got = to_integer(sizes, size);
  if (got == Got::Raised) return nullptr;
  if (got == Got::Yes) return to_python(ops::split(a.tensor(0), size, a.integer(2)));
  check<TypeError>(
      PyList_Check(sizes) || PyTuple_Check(sizes),
      "split: argument 'split_size_or_sections' must be an int or a list of ints, got ",
      Py_TYPE(sizes)->tp_name);
  std::vector<int64_t> parts(static_cast<size_t>(PySequence_Fast_GET_SIZE(sizes)));
  for (size_t i = 0; i < parts.size(); ++i) {
    PyObject* part = PySequence_Fast_GET_ITEM(sizes, static_cast<Py_ssize_t>(i));
    const Got one = to_integer(part, parts[i]);
    if (one == Got::Raised) return nullptr;
    check<TypeError>(one == Got::Yes, "split: a size must be an int, got ", Py_TYPE(part)->tp_name);
  }
  return to_python(ops::split(a.tensor(0), std::span<const int64_t>(parts), a.integer(2)));
}

// One value of the dimension at argument 1, or else what `all` makes of them.
template <class F>
PyObject* one_or_all(const char* op, std::span<const int64_t> values, Args& a, F all) {
  if (!a.has(1)) return all();
  return PyLong_FromLongLong(
      values[static_cast<size_t>(wrap_dim(op, a.integer(1), static_cast<int>(values.size())))]);
}

PyObject* size(Args& a) {
  const Dims& sizes = a.tensor(0).sizes();
  return one_or_all("size", sizes, a, [&] { return size_object(sizes); });
}

PyObject* stride(Args& a) {
  const Dims& strides = a.tensor(0).strides();
  return one_or_all("stride", strides, a, [&] {
    PyObject* out = PyTuple_New(strides.rank());
    for (int i = 0; out && i < strides.rank(); ++i)
      PyTuple_SET_ITEM(out, i, PyLong_FromLongLong(strides[i]));
    return out;
  });
}

constexpr Def kDefs[] = {
    def(
        "view(Tensor self, *int[] shape)", kMethod,
        [](Args& a) { return ops::view(a.tensor(0), a.ints(1)); },
        "The same memory with other sizes; one of them may be -1."),
    def(
        "reshape(Tensor input, int[] shape)", kFunction,
        [](Args& a) { return ops::reshape(a.tensor(0), a.ints(1)); },
        "Other sizes, by a view where possible, else by a copy; one of them may be -1."),
    def(
        "reshape(Tensor self, *int[] shape)", kMethod,
        [](Args& a) { return ops::reshape(a.tensor(0), a.ints(1)); },
        "Other sizes, by a view where possible, else by a copy; one of them may be -1."),
#define AS(name, op)                                                     \
  def(                                                                   \
      name "(Tensor self, Tensor other)", kMethod,                       \
      [](Args& a) { return ops::op(a.tensor(0), a.tensor(1).sizes()); }, \
      #op " to the sizes of `other`.")
    AS("view_as", view),
    AS("reshape_as", reshape),
    AS("expand_as", expand),
#undef AS
    def(
        "permute(Tensor input, int[] dims)", kFunction,
        [](Args& a) { return ops::permute(a.tensor(0), a.ints(1)); },
        "A view with the dimensions in another order."),
    def(
        "permute(Tensor self, *int[] dims)", kMethod,
        [](Args& a) { return ops::permute(a.tensor(0), a.ints(1)); },
        "A view with the dimensions in another order."),
#define TRANSPOSE(name)                                                                \
  def(                                                                                 \
      name "(Tensor input, int dim0, int dim1)", kBoth,                                \
      [](Args& a) { return ops::transpose(a.tensor(0), a.integer(1), a.integer(2)); }, \
      "A view with two dimensions swapped.")
    TRANSPOSE("transpose"),
    TRANSPOSE("swapaxes"),
    TRANSPOSE("swapdims"),
#undef TRANSPOSE
    def(
        "t(Tensor input)", kBoth, [](Args& a) { return ops::t(a.tensor(0)); },
        "The transpose of a matrix."),
    def(
        "expand(Tensor self, *int[] size)", kMethod,
        [](Args& a) { return ops::expand(a.tensor(0), a.ints(1)); },
        "A view that repeats dimensions of size 1; -1 keeps a size."),
    def(
        "broadcast_to(Tensor input, int[] size)", kBoth,
        [](Args& a) { return ops::expand(a.tensor(0), a.ints(1)); },
        "A view that repeats dimensions of size 1."),
    def(
        "repeat(Tensor self, *int[] repeats)", kMethod,
        [](Args& a) { return ops::repeat(a.tensor(0), a.ints(1)); },
        "Copies of the tensor, side by side along each dimension."),
    def(
        "squeeze(Tensor input, int[]? dim=None)", kBoth,
        [](Args& a) {
          return a.has(1) ? squeeze(a.tensor(0), a.ints(1)) : ops::squeeze(a.tensor(0));
        },
        "A view without dimensions of size 1, all or those in `dim`."),
    def(
        "unsqueeze(Tensor input, int dim)", kBoth,
        [](Args& a) { return ops::unsqueeze(a.tensor(0), a.integer(1)); },
        "A view with a new dimension of size 1 at `dim`."),
    def(
        "flatten(Tensor input, int start_dim=0, int end_dim=-1)", kBoth,
        [](Args& a) { return ops::flatten(a.tensor(0), a.integer(1), a.integer(2)); },
        "Several dimensions made one."),
    def(
        "ravel(Tensor input)", kBoth, [](Args& a) { return ops::flatten(a.tensor(0)); },
        "All dimensions made one."),
    def(
        "select(Tensor input, int dim, int index)", kBoth,
        [](Args& a) { return ops::select(a.tensor(0), a.integer(1), a.integer(2)); },
        "A view of one position along `dim`."),
    def(
        "narrow(Tensor input, int dim, int start, int length)", kBoth,
        [](Args& a) { return narrow(a.tensor(0), a.integer(1), a.integer(2), a.integer(3)); },
        "A view of `length` positions along `dim`, from `start` on."),
    def(
        "diagonal(Tensor input, int offset=0, int dim1=0, int dim2=1)", kBoth,
        [](Args& a) {
          return ops::diagonal(a.tensor(0), a.integer(1), a.integer(2), a.integer(3));
        },
        "A view of the diagonal."),
    def(
        "as_strided(Tensor input, int[] size, int[] stride, int? storage_offset=None)", kBoth,
        [](Args& a) {
          return ops::as_strided(a.tensor(0), a.dims(1), a.dims(2),
                                 a.maybe_integer(3).value_or(a.tensor(0).offset()));
        },
        "A view of the memory with given sizes, strides and offset, in elements."),
    def(
        "unbind(Tensor input, int dim=0) -> tuple[Tensor, ...]", kBoth,
        [](Args& a) { return ops::unbind(a.tensor(0), a.integer(1)); },
        "A view of each position along `dim`."),
    def(
        "split(Tensor input, object split_size_or_sections, int dim=0) -> tuple[Tensor, ...]",
        kFunction, [](Args& a) { return split(a); },
        "Views of successive parts along `dim`, of one size or of the sizes given."),
    def(
        "split(Tensor self, object split_size, int dim=0) -> tuple[Tensor, ...]", kMethod,
        [](Args& a) { return split(a); },
        "Views of successive parts along `dim`, of one size or of the sizes given."),
    def(
        "chunk(Tensor input, int chunks, int dim=0) -> tuple[Tensor, ...]", kBoth,
        [](Args& a) { return ops::chunk(a.tensor(0), a.integer(1), a.integer(2)); },
        "Views of at most `chunks` successive parts along `dim`."),
#define JOIN(name, op, doc)                                                            \
  def(                                                                                 \
      name "(Tensor[] tensors, int dim=0, *, Tensor? out=None)", kFunction,            \
      [](Args& a) {                                                                    \
        return ops::write_out(name, a.tensor(2), ops::op(a.tensors(0), a.integer(1))); \
      },                                                                               \
      doc)
    JOIN("cat", cat, "The tensors one after the other along `dim`."),
    JOIN("concat", cat, "The tensors one after the other along `dim`."),
    JOIN("concatenate", cat, "The tensors one after the other along `dim`."),
    JOIN("stack", stack, "The tensors one after the other along a new dimension."),
#undef JOIN
    def(
        "contiguous(Tensor self)", kMethod, [](Args& a) { return ops::contiguous(a.tensor(0)); },
        "The tensor itself if its elements lie in order, else a copy."),
    def(
        "clone(Tensor input)", kBoth, [](Args& a) { return ops::clone(a.tensor(0)); },
        "A copy, with gradient."),
    def(
        "index_select(Tensor input, int dim, Tensor index, *, Tensor? out=None)", kBoth,
        [](Args& a) {
          return ops::write_out("index_select", a.tensor(3),
                                ops::index_select(a.tensor(0), a.integer(1), a.tensor(2)));
        },
        "The positions `index` along `dim`."),
    def(
        "masked_select(Tensor input, Tensor mask)", kBoth,
        [](Args& a) { return ops::masked_select(a.tensor(0), a.tensor(1)); },
        "The elements where the mask is true, in one dimension."),
    def(
        "nonzero(Tensor input)", kBoth, [](Args& a) { return ops::nonzero(a.tensor(0)); },
        "The indices of the elements that are not zero, one a row."),
    def(
        "gather_rows(Tensor input, Tensor index)", kFunction,
        [](Args& a) { return ops::gather_rows(a.tensor(0), a.tensor(1)); },
        "input[index] for a 1-d index, without gradient: one batch of a data set."),
    def(
        "size(Tensor self, int? dim=None) -> Size | int", kMethod, [](Args& a) { return size(a); },
        "The sizes, or that of one dimension."),
    def(
        "stride(Tensor self, int? dim=None) -> Size | int", kMethod,
        [](Args& a) { return stride(a); },
        "Elements between neighbours along each dimension, or one."),
    def(
        "dim(Tensor self) -> int", kMethod,
        [](Args& a) -> PyObject* { return PyLong_FromLong(a.tensor(0).rank()); },
        "Number of dimensions."),
#define COUNT(name, where)                                                              \
  def(                                                                                  \
      name "(Tensor input) -> int", where, [](Args& a) { return a.tensor(0).numel(); }, \
      "Number of elements.")
    COUNT("numel", kBoth),
    COUNT("nelement", kMethod),
#undef COUNT
    def(
        "element_size(Tensor self) -> int", kMethod,
        [](Args& a) { return item_size(a.tensor(0).dtype()); }, "Bytes of one element."),
    def(
        "storage_offset(Tensor self) -> int", kMethod, [](Args& a) { return a.tensor(0).offset(); },
        "Where in its memory the first element lies, in elements."),
    def(
        "is_contiguous(Tensor self) -> bool", kMethod,
        [](Args& a) { return a.tensor(0).contiguous(); }, "Whether the elements lie in order."),
    def(
        "data_ptr(Tensor self) -> int", kMethod,
        [](Args& a) {
          return static_cast<int64_t>(reinterpret_cast<intptr_t>(a.tensor(0).data()));
        },
        "The address of the first element."),
};

}  // namespace

void bind_shape() { bind<kDefs>(); }

}  // namespace lamina::bindings
