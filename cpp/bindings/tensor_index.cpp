// Indexing: ints, slices, None and Ellipsis make a view; masks and integer arrays go on from there.

#include <cstring>

#include "bindings/args.h"
#include "bindings/convert.h"
#include "bindings/python_tensor.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

// Where the walk through an index is: `view` so far, at its dimension `dim`, which is dimension
// `source` of the tensor that is indexed.
class Indexer {
 public:
  explicit Indexer(const Tensor& x) : view(x), x_(x) {}

  // False with a Python error set.
  bool walk(PyObject* index) {
    if (!PyTuple_Check(index)) return count(index) && step(index);
    const Py_ssize_t n = PyTuple_GET_SIZE(index);
    for (Py_ssize_t i = 0; i < n; ++i)
      if (!count(PyTuple_GET_ITEM(index, i))) return false;
    for (Py_ssize_t i = 0; i < n; ++i)
      if (!step(PyTuple_GET_ITEM(index, i))) return false;
    return true;
  }

  Tensor view;
  std::vector<Tensor> indices;  // as ops::index takes them; empty without masks and arrays

 private:
  bool is_array(PyObject* o) const { return is_tensor(o) || PyList_Check(o) || is_ndarray(o); }
  static bool is_ndarray(PyObject* o) {
    return !PyLong_Check(o) && has_buffer(o) &&
           std::strcmp(Py_TYPE(o)->tp_name, "numpy.ndarray") == 0;
  }

  // How many dimensions the index names; an Ellipsis stands for the others.
  bool count(PyObject* o) {
    if (o == Py_None || o == Py_Ellipsis || PyBool_Check(o)) return true;
    if (is_array(o)) {
      Tensor t;
      if (is_tensor(o))
        t = tensor_of(o);
      else if (PyList_Check(o) && PyList_GET_SIZE(o) == 0)
        t = empty({0}, DType::Int64);
      else
        t = PyList_Check(o) ? tensor_from("index", o, {}, {})
                            : tensor_from_buffer("index", o, false);
      check<IndexError>(t.dtype() == DType::Bool || is_integral(t.dtype()),
                        "index: a tensor of indices must be int64, int32 or bool, got ", t.dtype());
      check<IndexError>(t.dtype() != DType::UInt8,
                        "index: uint8 could mean a mask or positions; say which with .bool() or "
                        ".long()");
      named_ += t.dtype() == DType::Bool ? t.rank() : 1;
      arrays_.push_back(std::move(t));
    } else {
      ++named_;
    }
    check<IndexError>(named_ <= x_.rank(), "index: too many indices: the tensor has ", x_.rank(),
                      " dimensions, the index is for ", named_, " or more", line("input", x_));
    return true;
  }

  bool step(PyObject* o) {
    if (PyLong_Check(o) && !PyBool_Check(o)) {
      int64_t i = 0;
      const Got got = to_integer(o, i);
      if (got == Got::Yes) select(i);
      return got == Got::Yes;
    }
    if (PySlice_Check(o)) return slice(o);
    if (o == Py_Ellipsis) {
      check<IndexError>(!ellipsis_, "index: an Ellipsis ('...') may occur only once");
      ellipsis_ = true;
      dim_ += x_.rank() - named_;
      source_ += x_.rank() - named_;
      return true;
    }
    if (o == Py_None) {
      view = ops::unsqueeze(view, dim_++);
      return true;
    }
    if (PyBool_Check(o)) {
      truth(ops::scalar(o == Py_True, x_.device()));
      return true;
    }
    if (is_array(o)) {
      array(arrays_[next_array_++]);
      return true;
    }
    int64_t i = 0;
    const Got got = to_integer(o, i);  // NumPy's integers and the like
    if (got == Got::Yes) select(i);
    check<IndexError>(got != Got::No,
                      "index: an index is an int, a slice, None, Ellipsis, or a list or tensor of "
                      "ints or bools; got ",
                      Py_TYPE(o)->tp_name);
    return got == Got::Yes;
  }

  void select(int64_t i) {
    const int64_t n = view.size(dim_);
    check<IndexError>(i >= -n && i < n, "index ", i, " is out of range for dimension ", source_,
                      " of size ", n, line("input", x_));
    view = ops::select(view, dim_, i);
    ++source_;
  }

  bool slice(PyObject* o) {
    Py_ssize_t start, stop, stride;
    if (PySlice_Unpack(o, &start, &stop, &stride) < 0) return false;
    check<ValueError>(stride > 0, "index: a slice's step must be positive, got ", stride);
    const Py_ssize_t n = view.size(dim_);
    PySlice_AdjustIndices(n, &start, &stop, stride);
    if (start != 0 || stop != n || stride != 1) view = ops::slice(view, dim_, start, stop, stride);
    ++dim_;
    ++source_;
    return true;
  }

  // A truth value is a mask over a new dimension of size 1.
  void truth(const Tensor& value) {
    view = ops::unsqueeze(view, dim_);
    put(ops::reshape(value, Dims{1}));
    ++dim_;
  }

  void array(const Tensor& t) {
    if (t.rank() == 0 && t.dtype() != DType::Bool) return select(item("index", t).i);
    if (t.rank() == 0) return truth(t);
    put(t);
    const int rank = t.dtype() == DType::Bool ? t.rank() : 1;
    dim_ += rank;
    source_ += rank;
  }

  void put(const Tensor& index) {
    while (covered_ < dim_) {  // dimensions passed over keep whole
      indices.emplace_back();
      ++covered_;
    }
    indices.push_back(index);
    covered_ += index.dtype() == DType::Bool ? index.rank() : 1;
  }

  const Tensor& x_;
  int dim_ = 0, source_ = 0, named_ = 0, covered_ = 0;
  bool ellipsis_ = false;
  std::vector<Tensor> arrays_;
  size_t next_array_ = 0;
};

Tensor without_leading_ones(const Tensor& value, int rank) {
  Tensor out = value;
  while (out.rank() > rank && out.size(0) == 1) out = ops::squeeze(out, 0);
  return out;
}

bool assign(const Tensor& self, PyObject* index, PyObject* value) {
  Indexer at(self);
  if (!at.walk(index)) return false;
  Tensor source;
  Scalar number(0.0);
  bool is_number = false;
  if (is_tensor(value)) {
    source = tensor_of(value);
  } else {
    const Got got = to_scalar(value, number);
    if (got == Got::Raised) return false;
    is_number = got == Got::Yes;
    check<TypeError>(is_number || has_buffer(value),
                     "index: the value must be a Tensor, a number or an array, got ",
                     arrived(value));
    if (!is_number) source = tensor_from_buffer("index", value, false);
  }
  const MaybeRelease gil(at.view.numel());
  if (at.indices.empty()) {
    if (is_number)
      ops::fill_(at.view, number);
    else
      ops::copy_(at.view, without_leading_ones(source, at.view.rank()));
  } else if (is_number && at.indices.size() == 1 && at.indices[0].dtype() == DType::Bool &&
             at.indices[0].sizes() == at.view.sizes()) {
    ops::masked_fill_(at.view, at.indices[0], ops::scalar(number, self.device()));
  } else {
    if (is_number) source = ops::scalar(number, self.device());
    ops::index_put_(at.view, at.indices, without_leading_ones(source, at.view.rank()));
  }
  return true;
}

}  // namespace

PyObject* tensor_subscript(PyObject* self, PyObject* index) {
  return guarded([&]() -> PyObject* {
    const Tensor& x = tensor_of(self);
    Indexer at(x);
    if (!at.walk(index)) return nullptr;
    if (at.indices.empty())
      // x[...] is a new tensor, as every other index gives one.
      return wrap(at.view.same(x) ? ops::as_strided(x, x.sizes(), x.strides(), x.offset())
                                  : std::move(at.view));
    Tensor out = [&] {
      const MaybeRelease gil(at.view.numel());
      return ops::index(at.view, at.indices);
    }();
    return wrap(std::move(out));
  });
}

int tensor_ass_subscript(PyObject* self, PyObject* index, PyObject* value) {
  bool done = false;
  guarded([&]() -> PyObject* {
    check<TypeError>(value != nullptr, "index: a part of a tensor cannot be deleted");
    done = assign(tensor_of(self), index, value);
    return nullptr;
  });
  return done ? 0 : -1;
}

Py_ssize_t tensor_length(PyObject* self) {
  const Tensor& t = tensor_of(self);
  if (t.rank() > 0) return t.size(0);
  PyErr_SetString(PyExc_TypeError, "len: a 0-d tensor has no length");
  return -1;
}

PyObject* tensor_iter(PyObject* self) {
  return guarded([&]() -> PyObject* {
    const Tensor& t = tensor_of(self);
    check<TypeError>(t.rank() > 0, "iter: a 0-d tensor has nothing to iterate over");
    PyObject* rows = to_python(ops::unbind(t, 0));
    if (!rows) return nullptr;
    PyObject* out = PyObject_GetIter(rows);
    Py_DECREF(rows);
    return out;
  });
}

}  // namespace lamina::bindings
