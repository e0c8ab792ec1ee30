// Operators.

#include <cstring>

#include "bindings/anomaly.h"
#include "bindings/args.h"
#include "bindings/composite.h"
#include "bindings/convert.h"
#include "bindings/python_tensor.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

// The other operand of an operator: a tensor, or a number made into one.
class Operand {
 public:
  // False with a Python error set, or without one: then the operator is not ours. Without `op`,
  // what cannot be an operand is not an error.
  bool take(const char* op, PyObject* o, PyObject* other) {
    if (is_tensor(o)) {
      tensor_ = &tensor_of(o);
      return true;
    }
    Scalar value(0.0);
    const Got got = to_scalar(o, value);
    if (got == Got::Yes) {
      made_ = ops::scalar(value, tensor_of(other).device());
      return true;
    }
    if (got == Got::No && op && refuses(o))
      PyErr_Format(PyExc_TypeError, "%s: an operand must be a Tensor or a number, got %s", op,
                   arrived(o).c_str());
    return false;
  }
  const Tensor& operator*() const { return *tensor_; }

 private:
  // Types of which we know that they have no operator with a tensor.
  static bool refuses(PyObject* o) {
    return PyList_Check(o) || PyTuple_Check(o) || PyUnicode_Check(o) || PyDict_Check(o) ||
           o == Py_None || std::strcmp(Py_TYPE(o)->tp_name, "numpy.ndarray") == 0;
  }

  Tensor made_;
  const Tensor* tensor_ = &made_;
};

template <class F>
PyObject* with_operands(const char* op, PyObject* a, PyObject* b, F f) {
  return guarded([&]() -> PyObject* {
    Operand x, y;
    if (!x.take(op, a, b) || !y.take(op, b, a)) {
      if (PyErr_Occurred()) return nullptr;
      Py_RETURN_NOTIMPLEMENTED;
    }
    Tensor out = watching(op, *x, &*y, [&] {
      MaybeRelease gil((*x).numel() + (*y).numel());
      return f(*x, *y);
    });
    return wrap(std::move(out));
  });
}

template <BinaryOp op>
PyObject* row(PyObject* a, PyObject* b) {
  return with_operands(info(op).name, a, b,
                       [](const Tensor& x, const Tensor& y) { return ops::binary(op, x, y); });
}

template <BinaryOp op>
PyObject* row_in_place(PyObject* a, PyObject* b) {
  return with_operands(info(op).in_place, a, b, [](const Tensor& x, const Tensor& y) {
    ops::binary_(op, x, y);
    return x;
  });
}

PyObject* power(PyObject* a, PyObject* b, PyObject* modulus) {
  if (modulus != Py_None) Py_RETURN_NOTIMPLEMENTED;
  return row<BinaryOp::pow>(a, b);
}

PyObject* power_in_place(PyObject* a, PyObject* b, PyObject* modulus) {
  if (modulus != Py_None) Py_RETURN_NOTIMPLEMENTED;
  return row_in_place<BinaryOp::pow>(a, b);
}

PyObject* matmul(PyObject* a, PyObject* b) {
  if (!is_tensor(a) || !is_tensor(b)) Py_RETURN_NOTIMPLEMENTED;
  return guarded([&] {
    const Tensor &x = tensor_of(a), &y = tensor_of(b);
    Tensor out = watching("matmul", x, &y, [&] {
      const int64_t k = x.rank() == 0 ? 1 : std::max<int64_t>(1, x.sizes().back());
      MaybeRelease gil(x.numel() * (y.numel() / k) / 16);
      return ops::matmul(x, y);
    });
    return wrap(std::move(out));
  });
}

template <class F>
PyObject* unary(PyObject* self, F f) {
  return guarded([&] {
    const Tensor& x = tensor_of(self);
    Tensor out = [&] {
      MaybeRelease gil(x.numel());
      return f(x);
    }();
    return wrap(std::move(out));
  });
}

PyObject* negative(PyObject* self) {
  return unary(self, [](const Tensor& x) { return ops::neg(x); });
}
PyObject* absolute(PyObject* self) {
  return unary(self, [](const Tensor& x) { return ops::abs(x); });
}
PyObject* invert(PyObject* self) {
  return unary(self, [](const Tensor& x) { return ops::bitwise_not(x); });
}
PyObject* positive(PyObject* self) { return Py_NewRef(self); }

int truth(PyObject* self) {
  int result = -1;
  guarded([&]() -> PyObject* {
    const Tensor& t = tensor_of(self);
    check<RuntimeError>(t.numel() == 1, "bool: the truth of a tensor with ", t.numel(),
                        " elements is ambiguous; use .any() or .all()", line("tensor", t));
    result = item("bool", t).value() != 0;
    return nullptr;
  });
  return result;
}

PyObject* to_float(PyObject* self) {
  return guarded([&] { return PyFloat_FromDouble(item("float", tensor_of(self)).value()); });
}

PyObject* to_int(PyObject* self) {
  return guarded([&]() -> PyObject* {
    const Scalar s = item("int", tensor_of(self));
    return s.kind == Scalar::Kind::Float ? PyLong_FromDouble(s.d) : PyLong_FromLongLong(s.i);
  });
}

PyObject* to_index(PyObject* self) {
  return guarded([&]() -> PyObject* {
    const Tensor& t = tensor_of(self);
    check<TypeError>(t.numel() == 1 && is_integral(t.dtype()),
                     "index: only an integer tensor with one element can be an index, got ", t, " ",
                     t.dtype());
    return PyLong_FromLongLong(item("index", t).i);
  });
}

PyObject* compare(PyObject* a, PyObject* b, int how) {
  constexpr CompareOp kOps[] = {CompareOp::lt, CompareOp::le, CompareOp::eq,
                                CompareOp::ne, CompareOp::gt, CompareOp::ge};
  static_assert(Py_LT == 0 && Py_LE == 1 && Py_EQ == 2 && Py_NE == 3 && Py_GT == 4 && Py_GE == 5);
  const CompareOp op = kOps[how];
  const bool order = op != CompareOp::eq && op != CompareOp::ne;
  return with_operands(order ? name_of(op) : nullptr, a, b,
                       [op](const Tensor& x, const Tensor& y) { return ops::compare(op, x, y); });
}

template <class F>
PyType_Slot slot(int id, F* function) {
  return {id, reinterpret_cast<void*>(function)};
}

}  // namespace

int tensor_contains(PyObject* self, PyObject* value) {
  PyObject* equal = compare(self, value, Py_EQ);
  if (!equal || !is_tensor(equal)) {
    Py_XDECREF(equal);
    return equal ? 0 : -1;
  }
  int result = -1;
  guarded([&]() -> PyObject* {
    result = item("in", ops::any(tensor_of(equal))).i != 0;
    return nullptr;
  });
  Py_DECREF(equal);
  return result;
}

void add_number_slots(std::vector<PyType_Slot>& slots) {
  for (const PyType_Slot& s : {
           slot(Py_nb_add, row<BinaryOp::add>),
           slot(Py_nb_subtract, row<BinaryOp::sub>),
           slot(Py_nb_multiply, row<BinaryOp::mul>),
           slot(Py_nb_true_divide, row<BinaryOp::div>),
           slot(Py_nb_floor_divide, row<BinaryOp::floor_divide>),
           slot(Py_nb_remainder, row<BinaryOp::remainder>),
           slot(Py_nb_power, power),
           slot(Py_nb_matrix_multiply, matmul),
           slot(Py_nb_and, row<BinaryOp::bitwise_and>),
           slot(Py_nb_or, row<BinaryOp::bitwise_or>),
           slot(Py_nb_xor, row<BinaryOp::bitwise_xor>),
           slot(Py_nb_lshift, row<BinaryOp::bitwise_left_shift>),
           slot(Py_nb_rshift, row<BinaryOp::bitwise_right_shift>),
           slot(Py_nb_inplace_add, row_in_place<BinaryOp::add>),
           slot(Py_nb_inplace_subtract, row_in_place<BinaryOp::sub>),
           slot(Py_nb_inplace_multiply, row_in_place<BinaryOp::mul>),
           slot(Py_nb_inplace_true_divide, row_in_place<BinaryOp::div>),
           slot(Py_nb_inplace_floor_divide, row_in_place<BinaryOp::floor_divide>),
           slot(Py_nb_inplace_remainder, row_in_place<BinaryOp::remainder>),
           slot(Py_nb_inplace_power, power_in_place),
           slot(Py_nb_inplace_and, row_in_place<BinaryOp::bitwise_and>),
           slot(Py_nb_inplace_or, row_in_place<BinaryOp::bitwise_or>),
           slot(Py_nb_inplace_xor, row_in_place<BinaryOp::bitwise_xor>),
           slot(Py_nb_inplace_lshift, row_in_place<BinaryOp::bitwise_left_shift>),
           slot(Py_nb_inplace_rshift, row_in_place<BinaryOp::bitwise_right_shift>),
           slot(Py_nb_negative, negative),
           slot(Py_nb_positive, positive),
           slot(Py_nb_absolute, absolute),
           slot(Py_nb_invert, invert),
           slot(Py_nb_bool, truth),
           slot(Py_nb_float, to_float),
           slot(Py_nb_int, to_int),
           slot(Py_nb_index, to_index),
           slot(Py_tp_richcompare, compare),
       })
    slots.push_back(s);
}

}  // namespace lamina::bindings
