// The Python Tensor, written by hand against the C API: it is created and dropped for every op.
#pragma once

#include <Python.h>

#include <vector>

#include "core/tensor.h"

namespace lamina::bindings {

// The object owns a reference to the impl; the impl points back (borrowed, under the GIL), so that
// a tensor that went through C++ comes back as the same object while that is alive.
struct PyTensor {
  PyObject_HEAD Tensor tensor;
  PyObject* weakrefs;
};

extern PyTypeObject* tensor_type;

inline bool is_tensor(PyObject* o) {
  return Py_TYPE(o) == tensor_type || PyType_IsSubtype(Py_TYPE(o), tensor_type);
}
inline const Tensor& tensor_of(PyObject* o) { return reinterpret_cast<PyTensor*>(o)->tensor; }

// A new reference; None for an undefined tensor.
PyObject* wrap(Tensor t);
// A new object of a subclass around `t`, which must have no Python object yet.
PyObject* wrap_as(PyTypeObject* type, Tensor t);
// To be called when `t` got a hook: only then can a tensor be part of a reference cycle.
void track(PyObject* tensor);

// Makes lamina._core.Tensor. Slots come from the tensor_*.cpp files.
int add_tensor_type(PyObject* module, std::vector<PyMethodDef>& methods);
extern PyGetSetDef tensor_getset[];
void add_number_slots(std::vector<PyType_Slot>& slots);
void add_buffer_slots(std::vector<PyType_Slot>& slots);
PyObject* tensor_subscript(PyObject* self, PyObject* index);
int tensor_ass_subscript(PyObject* self, PyObject* index, PyObject* value);
PyObject* tensor_repr(PyObject* self);
PyObject* tensor_iter(PyObject* self);
int tensor_contains(PyObject* self, PyObject* value);
Py_ssize_t tensor_length(PyObject* self);

// Sets the Python error that belongs to the C++ exception being handled; returns null.
[[gnu::cold]] PyObject* raise_current();
PyObject* linalg_error();  // the exception type; borrowed

template <class F>
PyObject* guarded(F&& f) {
  try {
    return f();
  } catch (...) {
    return raise_current();
  }
}

}  // namespace lamina::bindings
