#include "bindings/python_tensor.h"

#include <pybind11/pybind11.h>
#include <structmember.h>

#include <array>
#include <new>

#include "autograd/autograd.h"
#include "bindings/convert.h"
#include "ops/ops.h"

namespace lamina::bindings {

PyTypeObject* tensor_type = nullptr;

namespace {

PyTensor* as_tensor(PyObject* o) { return reinterpret_cast<PyTensor*>(o); }

// Objects of the exact type that died, to be used again: saves the allocator on every op.
struct FreeList {
  std::array<PyObject*, 128> items;
  size_t count = 0;
} free_list;

PyObject* allocate(PyTypeObject* type) {
  // Not tracked by the garbage collector until a hook makes a cycle possible (see `track`).
  if (free_list.count > 0) return PyObject_Init(free_list.items[--free_list.count], type);
  PyTensor* self = PyObject_GC_New(PyTensor, type);
  return reinterpret_cast<PyObject*>(self);
}

PyObject* connect(PyObject* self, Tensor t) {
  PyTensor* object = as_tensor(self);
  object->weakrefs = nullptr;
  t.impl()->python = self;
  new (&object->tensor) Tensor(std::move(t));
  return self;
}

void tensor_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  if (PyObject_GC_IsTracked(self)) PyObject_GC_UnTrack(self);
  PyTensor* object = as_tensor(self);
  if (object->weakrefs) PyObject_ClearWeakRefs(self);
  if (object->tensor.defined()) object->tensor.impl()->python = nullptr;
  object->tensor.~Tensor();
  if (type == tensor_type && free_list.count < free_list.items.size())
    free_list.items[free_list.count++] = self;
  else
    type->tp_free(self);
  Py_DECREF(type);
}

// The hooks that die with this object: those of a tensor that nothing else refers to.
std::vector<HookEntry>* own_hooks(PyObject* self) {
  const Tensor& t = tensor_of(self);
  if (!t.defined() || t.impl()->ref_count() != 1 || !t.impl()->autograd) return nullptr;
  return owned_hooks(t);
}

int tensor_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  struct Visitor {
    visitproc visit;
    void* arg;
  } visitor{visit, arg};
  const auto visit_object = [](void* object, void* context) {
    const auto* v = static_cast<const Visitor*>(context);
    return v->visit(static_cast<PyObject*>(object), v->arg);
  };
  if (const auto* hooks = own_hooks(self)) {
    for (const HookEntry& entry : *hooks) {
      if (entry.hook->ref_count() != 1) continue;
      const int stop = entry.hook->traverse(visit_object, &visitor);
      if (stop) return stop;
    }
  }
  return 0;
}

int tensor_clear(PyObject* self) {
  if (auto* hooks = own_hooks(self)) {
    const std::vector<HookEntry> dying = std::move(*hooks);
    hooks->clear();
  }
  return 0;
}

// Tensor(data), Tensor(2, 3), Tensor(): a subclass gets an object of its own around the same
// memory.
PyObject* tensor_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  return guarded([&]() -> PyObject* {
    const Py_ssize_t n = PyTuple_GET_SIZE(args);
    PyObject* data = n == 1 ? PyTuple_GET_ITEM(args, 0) : nullptr;
    if (n == 0 && kwargs) data = PyDict_GetItemString(kwargs, "data");
    Tensor t;
    int64_t sizes[kMaxRank];
    int count = 0;
    if (data && is_tensor(data)) {
      check<TypeError>(type != tensor_type || tensor_of(data).dtype() == ops::default_dtype(),
                       "Tensor: makes ", ops::default_dtype(), ", got a tensor of ",
                       tensor_of(data).dtype(), "; convert it, or use lamina.tensor(...)");
      t = detach(tensor_of(data));
    } else if (data && is_size(data)) {
      check<RuntimeError>(to_ints(data, sizes, count) == Got::Yes, "Tensor: bad size");
      t = empty(Dims(std::span<const int64_t>(sizes, static_cast<size_t>(count))),
                ops::default_dtype());
    } else if (data && !PyLong_Check(data)) {
      t = tensor_from("Tensor", data, ops::default_dtype(), {});
    } else {
      const Got got = to_ints(args, sizes, count);
      if (got == Got::Raised) return nullptr;
      check<TypeError>(got == Got::Yes,
                       "Tensor: takes the data or the sizes of a tensor; lamina.tensor(...) takes "
                       "options");
      if (n == 0) sizes[count++] = 0;
      t = empty(Dims(std::span<const int64_t>(sizes, static_cast<size_t>(count))),
                ops::default_dtype());
    }
    return wrap_as(type, std::move(t));
  });
}

Py_hash_t tensor_hash(PyObject* self) {
  // Identity; the low bits of an address are always zero.
  return static_cast<Py_hash_t>(reinterpret_cast<uintptr_t>(self) >> 4);
}

template <class F>
void* slot(F* function) {
  return reinterpret_cast<void*>(function);
}

PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(PyTensor, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

constexpr const char* kDoc =
    "Tensor(data)\n--\n\n"
    "A multi-dimensional array that records how it was computed.\n\n"
    "Made by ``lamina.tensor`` and the other creation functions; ``Tensor(data)`` itself shares\n"
    "the memory of `data` where that is a tensor, without its gradient.";

}  // namespace

PyObject* wrap(Tensor t) {
  if (!t.defined()) Py_RETURN_NONE;
  TensorImpl* impl = t.impl();
  if (impl->python) return Py_NewRef(static_cast<PyObject*>(impl->python));
  PyObject* self = allocate(tensor_type);
  if (!self) return nullptr;
  const bool has_record = impl->autograd != nullptr;
  connect(self, std::move(t));
  if (has_record) {
    const auto* hooks = owned_hooks(tensor_of(self));
    if (hooks && !hooks->empty()) track(self);
  }
  return self;
}

PyObject* wrap_as(PyTypeObject* type, Tensor t) {
  if (type == tensor_type) return wrap(std::move(t));
  PyObject* self = type->tp_alloc(type, 0);
  return self ? connect(self, std::move(t)) : nullptr;
}

void track(PyObject* tensor) {
  if (!PyObject_GC_IsTracked(tensor)) PyObject_GC_Track(tensor);
}

int add_tensor_type(PyObject* module, std::vector<PyMethodDef>& methods) {
  methods.push_back({nullptr, nullptr, 0, nullptr});
  std::vector<PyType_Slot> slots = {
      {Py_tp_dealloc, slot(tensor_dealloc)},
      {Py_tp_traverse, slot(tensor_traverse)},
      {Py_tp_clear, slot(tensor_clear)},
      {Py_tp_new, slot(tensor_new)},
      {Py_tp_hash, slot(tensor_hash)},
      {Py_tp_repr, slot(tensor_repr)},
      {Py_tp_iter, slot(tensor_iter)},
      {Py_tp_getset, tensor_getset},
      {Py_tp_members, members},
      {Py_tp_methods, methods.data()},
      {Py_tp_doc, const_cast<char*>(kDoc)},
      {Py_mp_length, slot(tensor_length)},
      {Py_mp_subscript, slot(tensor_subscript)},
      {Py_mp_ass_subscript, slot(tensor_ass_subscript)},
      {Py_sq_contains, slot(tensor_contains)},
  };
  add_number_slots(slots);
  add_buffer_slots(slots);
  slots.push_back({0, nullptr});
  PyType_Spec spec{"lamina.Tensor", sizeof(PyTensor), 0,
                   Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots.data()};
  PyObject* type = PyType_FromModuleAndSpec(module, &spec, nullptr);
  if (!type) return -1;
  tensor_type = reinterpret_cast<PyTypeObject*>(type);
  // NumPy's operators step back, so that `array * tensor` is the tensor's business.
  PyObject* priority = PyFloat_FromDouble(1000);
  const int failed = PyObject_SetAttrString(type, "__array_priority__", priority);
  Py_XDECREF(priority);
  return failed ? -1 : PyModule_AddObjectRef(module, "Tensor", type);
}

PyObject* linalg_error() {
  static PyObject* const type = PyErr_NewExceptionWithDoc(
      "lamina.linalg.LinAlgError", "A matrix does not have what was asked for, such as an inverse.",
      PyExc_RuntimeError, nullptr);
  return type;
}

PyObject* raise_current() {
  const auto set = [](PyObject* type, const std::exception& e) { PyErr_SetString(type, e.what()); };
  try {
    throw;
  } catch (pybind11::error_already_set& e) {
    e.restore();  // the original exception, out of a hook
  } catch (const ValueError& e) {
    set(PyExc_ValueError, e);
  } catch (const TypeError& e) {
    set(PyExc_TypeError, e);
  } catch (const IndexError& e) {
    set(PyExc_IndexError, e);
  } catch (const MemoryError& e) {
    set(PyExc_MemoryError, e);
  } catch (const NotImplementedError& e) {
    set(PyExc_NotImplementedError, e);
  } catch (const LinAlgError& e) {
    set(linalg_error(), e);
  } catch (const std::bad_alloc& e) {
    set(PyExc_MemoryError, e);
  } catch (const std::exception& e) {
    set(PyExc_RuntimeError, e);
  }
  return nullptr;
}

}  // namespace lamina::bindings
