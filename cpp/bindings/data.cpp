// Tensors from Python data, and lists from tensors.

#include "autograd/autograd.h"
#include "bindings/convert.h"
#include "bindings/python_tensor.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

bool is_list(PyObject* o) { return PyList_Check(o) || PyTuple_Check(o); }

// A tensor or an array among the elements, or nothing.
std::optional<Tensor> block(const char* op, PyObject* o) {
  if (is_tensor(o)) return detach(tensor_of(o));
  if (PyFloat_Check(o) || PyLong_Check(o) || !has_buffer(o)) return {};
  return tensor_from_buffer(op, o, false);
}

class Reader {
 public:
  Reader(const char* op, PyObject* data) : op_(op), data_(data) {
    sizes_of(data);
    visit(data, 0);
  }

  DType dtype() const { return dtype_.value_or(ops::default_dtype()); }

  Tensor read(DType dtype) const {
    Tensor out = empty(sizes_, dtype);
    if (whole_blocks_)
      copy_blocks(data_, out);
    else
      dispatch(op_, dtype, [&]<class T>() {
        T* next = out.as<T>();
        fill(data_, 0, next);
      });
    return out;
  }

 private:
  // The first element at each depth tells the sizes; `visit` checks that the others agree.
  void sizes_of(PyObject* o) {
    while (is_list(o)) {
      sizes_.push_back(PySequence_Fast_GET_SIZE(o));
      if (sizes_.back() == 0) return;
      o = PySequence_Fast_GET_ITEM(o, 0);
    }
    if (const auto inner = block(op_, o); inner && inner->rank() > 0) {
      whole_blocks_ = true;
      depth_ = sizes_.rank();
      for (const int64_t n : inner->sizes()) sizes_.push_back(n);
    }
  }

  void visit(PyObject* o, int dim) {
    const bool at_end = dim == (whole_blocks_ ? depth_ : sizes_.rank());
    if (is_list(o)) {
      const Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
      if (at_end) ragged(dim, "a number", text::concat("a list of ", n));
      if (n != sizes_[dim])
        ragged(dim, text::concat("a list of ", sizes_[dim]), text::concat("a list of ", n));
      PyObject** items = PySequence_Fast_ITEMS(o);
      for (Py_ssize_t i = 0; i < n; ++i) visit(items[i], dim + 1);
      return;
    }
    const auto inner = scalar_kind(o) ? std::nullopt : block(op_, o);
    if (!at_end)
      ragged(dim, text::concat("a list of ", sizes_[dim]),
             inner ? text::concat("a tensor ", inner->sizes()) : std::string("a number"));
    if (inner) {
      const Dims expected(std::span<const int64_t>(sizes_).subspan(static_cast<size_t>(dim)));
      if (inner->sizes() != expected)
        ragged(dim, text::concat("sizes ", expected), text::concat("sizes ", inner->sizes()));
      join(inner->dtype());
    } else if (whole_blocks_) {
      ragged(dim, "a tensor", "a number");
    }
  }

  // Joins the dtype of a plain number; false when `o` is something else.
  bool scalar_kind(PyObject* o) {
    if (PyFloat_Check(o))
      join(ops::default_dtype());
    else if (PyBool_Check(o))
      join(DType::Bool);
    else if (PyLong_Check(o))
      join(DType::Int64);
    else if (is_tensor(o) || has_buffer(o))
      return false;
    else
      other_number(o);
    return true;
  }

  void other_number(PyObject* o) {
    Scalar s(0.0);
    const Got got = to_scalar(o, s);
    check<TypeError>(got == Got::Yes, op_, ": expected numbers, lists or arrays of them, got ",
                     o == Py_None ? "None" : Py_TYPE(o)->tp_name);
    join(s.kind == Scalar::Kind::Float ? ops::default_dtype() : DType::Int64);
  }

  void join(DType t) { dtype_ = dtype_ ? promote(*dtype_, t) : t; }

  [[noreturn]] void ragged(int dim, const std::string& expected, const std::string& got) const {
    raise<ValueError>(op_, ": the lists are ragged: expected ", expected, " at depth ", dim,
                      ", got ", got);
  }

  template <class T>
  void fill(PyObject* o, int dim, T*& next) const {
    if (dim < sizes_.rank()) {
      PyObject** items = PySequence_Fast_ITEMS(o);
      for (int64_t i = 0; i < sizes_[dim]; ++i) fill(items[i], dim + 1, next);
      return;
    }
    *next++ = value<T>(o);
  }

  template <class T>
  T value(PyObject* o) const {
    if (PyFloat_Check(o)) return cast<T>(PyFloat_AS_DOUBLE(o));
    Scalar s(0.0);
    if (is_tensor(o))
      s = item(op_, tensor_of(o));
    else
      check<ValueError>(to_scalar(o, s) == Got::Yes, op_,
                        ": an integer does not fit int64, or no number");
    return s.kind == Scalar::Kind::Float ? cast<T>(s.d) : static_cast<T>(s.i);
  }

  template <class T>
  T cast(double v) const {
    if constexpr (std::is_same_v<T, bool>) {
      return v != 0;
    } else if constexpr (std::is_integral_v<T>) {
      check<ValueError>(v >= -0x1p63 && v < 0x1p63, op_, ": ", v, " does not fit an integer dtype");
      return static_cast<T>(static_cast<int64_t>(v));
    } else {
      return static_cast<T>(v);
    }
  }

  void copy_blocks(PyObject* o, const Tensor& out) const {
    if (!is_list(o)) return ops::copy_(out, *block(op_, o));
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); ++i)
      copy_blocks(PySequence_Fast_GET_ITEM(o, i), ops::select(out, 0, i));
  }

  const char* op_;
  PyObject* data_;
  Dims sizes_;
  std::optional<DType> dtype_;
  bool whole_blocks_ = false;
  int depth_ = 0;  // of the lists around blocks
};

PyObject* list_of(const Tensor& t, int dim, int64_t at) {
  if (dim == t.rank())
    return dispatch("tolist", t.dtype(), [&]<class T>() -> PyObject* {
      const T v = static_cast<const T*>(t.storage().data())[at];
      if constexpr (std::is_same_v<T, bool>)
        return PyBool_FromLong(v);
      else if constexpr (std::is_integral_v<T>)
        return PyLong_FromLongLong(v);
      else
        return PyFloat_FromDouble(v);
    });
  PyObject* out = PyList_New(t.size(dim));
  if (!out) return nullptr;
  for (int64_t i = 0; i < t.size(dim); ++i) {
    PyObject* element = list_of(t, dim + 1, at + i * t.stride(dim));
    if (!element) {
      Py_DECREF(out);
      return nullptr;
    }
    PyList_SET_ITEM(out, i, element);
  }
  return out;
}

}  // namespace

Tensor tensor_from(const char* op, PyObject* data, std::optional<DType> dtype,
                   std::optional<Device> device) {
  Tensor out;
  if (is_tensor(data)) {
    out = ops::to(detach(tensor_of(data)), dtype.value_or(tensor_of(data).dtype()));
    if (device) out = ops::to(out, *device);
    const bool fresh = out.impl()->storage.get() != tensor_of(data).impl()->storage.get();
    return fresh ? out : ops::clone(out);
  }
  if (!PyFloat_CheckExact(data) && !PyLong_Check(data) && has_buffer(data)) {
    out = tensor_from_buffer(op, data, true);
    if (dtype) out = ops::to(out, *dtype);
  } else {
    const Reader reader(op, data);
    out = reader.read(dtype.value_or(reader.dtype()));
  }
  return device ? ops::to(out, *device) : out;
}

PyObject* to_list(const Tensor& t) {
  const Tensor host = on_host(t);
  return list_of(host, 0, host.offset());
}

}  // namespace lamina::bindings
