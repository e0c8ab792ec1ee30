// Attributes.

#include "autograd/autograd.h"
#include "bindings/args.h"
#include "bindings/autograd_objects.h"
#include "bindings/convert.h"
#include "bindings/python_tensor.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

template <PyObject* (*F)(const Tensor&)>
PyObject* get(PyObject* self, void*) {
  return guarded([&] { return F(tensor_of(self)); });
}

PyObject* shape(const Tensor& t) { return size_object(t.sizes()); }
PyObject* dtype(const Tensor& t) { return Py_NewRef(dtype_object(t.dtype())); }
PyObject* device(const Tensor& t) { return device_object(t.device()); }
PyObject* ndim(const Tensor& t) { return PyLong_FromLong(t.rank()); }
PyObject* item_bytes(const Tensor& t) { return PyLong_FromLongLong(item_size(t.dtype())); }
PyObject* bytes(const Tensor& t) { return PyLong_FromLongLong(t.numel() * item_size(t.dtype())); }
PyObject* is_cuda(const Tensor& t) { return PyBool_FromLong(!t.device().is_cpu()); }
PyObject* needs_grad(const Tensor& t) { return PyBool_FromLong(requires_grad(t)); }
PyObject* leaf(const Tensor& t) { return PyBool_FromLong(is_leaf(t)); }
PyObject* retains(const Tensor& t) { return PyBool_FromLong(retains_grad(t)); }
PyObject* gradient(const Tensor& t) { return wrap(grad_of(t)); }
PyObject* function(const Tensor& t) { return node_object(grad_fn(t)); }
PyObject* data(const Tensor& t) { return wrap(detach(t)); }
PyObject* version(const Tensor& t) { return PyLong_FromUnsignedLong(t.storage().version()); }

PyObject* transposed(const Tensor& t) {
  if (t.rank() <= 2) return wrap(ops::t(t));
  Dims order;
  for (int i = t.rank(); i-- > 0;) order.push_back(i);
  return wrap(ops::permute(t, order));
}
PyObject* matrix_transposed(const Tensor& t) { return wrap(ops::mT(t)); }

// A setter's body sets no Python error itself; `value` is null for `del`.
template <void (*F)(const Tensor&, PyObject* value)>
int set(PyObject* self, PyObject* value, void*) {
  guarded([&]() -> PyObject* {
    F(tensor_of(self), value);
    return nullptr;
  });
  return PyErr_Occurred() ? -1 : 0;
}

void set_needs_grad(const Tensor& t, PyObject* value) {
  bool on = false;
  check<TypeError>(value && to_flag(value, on) == Got::Yes, "requires_grad must be a bool, got ",
                   value ? arrived(value) : "nothing");
  set_requires_grad(t, on);
}

void set_gradient(const Tensor& t, PyObject* value) {
  if (!value || value == Py_None) return set_grad(t, {});
  check<TypeError>(is_tensor(value), "grad must be a Tensor or None, got ", arrived(value));
  set_grad(t, tensor_of(value));
}

// The tensor shows other memory from now on; whoever else sees the old memory keeps it.
void set_data(const Tensor& t, PyObject* value) {
  check<TypeError>(value && is_tensor(value), "data must be a Tensor, got ",
                   value ? arrived(value) : "nothing");
  const Tensor& from = tensor_of(value);
  TensorImpl& to = *t.impl();
  check<RuntimeError>(!t.requires_grad() || is_floating(from.dtype()),
                      "data: a tensor that requires grad cannot show ", from.dtype(), " values");
  if (Record* record = record_of(t); record && record->base) {
    check<RuntimeError>(!requires_grad(t),
                        "data: a view that is part of a graph cannot show other memory; use "
                        "tensor.detach() first");
    record->base = {};  // it is no view of that any more
  }
  to.storage = from.impl()->storage;
  to.offset = from.offset();
  to.sizes = from.sizes();
  to.strides = from.strides();
  to.numel = from.numel();
  to.dtype = from.dtype();
  to.contiguous = from.contiguous();
}

}  // namespace

PyGetSetDef tensor_getset[] = {
    {"shape", get<shape>, nullptr, "The sizes, a tuple of ints.", nullptr},
    {"dtype", get<dtype>, nullptr, "The element type.", nullptr},
    {"device", get<device>, nullptr, "Where the memory is.", nullptr},
    {"ndim", get<ndim>, nullptr, "Number of dimensions.", nullptr},
    {"itemsize", get<item_bytes>, nullptr, "Bytes of one element.", nullptr},
    {"nbytes", get<bytes>, nullptr, "Bytes of all elements.", nullptr},
    {"is_cuda", get<is_cuda>, nullptr, "Whether it is on a CUDA device.", nullptr},
    {"requires_grad", get<needs_grad>, set<set_needs_grad>,
     "Whether ops on it are recorded for a gradient; may be set on a leaf.", nullptr},
    {"grad", get<gradient>, set<set_gradient>, "The gradient accumulated so far, or None.",
     nullptr},
    {"grad_fn", get<function>, nullptr, "What computed it, in the graph; None for a leaf.",
     nullptr},
    {"is_leaf", get<leaf>, nullptr, "Whether no recorded op made it.", nullptr},
    {"retains_grad", get<retains>, nullptr, "Whether retain_grad() keeps its gradient.", nullptr},
    {"data", get<data>, set<set_data>, "The same memory without the gradient's record.", nullptr},
    {"T", get<transposed>, nullptr, "All dimensions in reverse order.", nullptr},
    {"mT", get<matrix_transposed>, nullptr, "The last two dimensions swapped.", nullptr},
    {"_version", get<version>, nullptr, "Number of in-place writes to its memory.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

}  // namespace lamina::bindings
