// Conversions: dtypes, devices, numbers, lists, arrays, copies.

#include <pybind11/pybind11.h>

#include "autograd/autograd.h"
#include "bindings/args.h"
#include "bindings/bind.h"
#include "bindings/convert.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace py = pybind11;

namespace {

// to(dtype), to(device, dtype) and to(other), each with `copy` two arguments on.
Tensor to(Args& a) {
  const Tensor& x = a.tensor(0);
  Tensor out = x;
  int copy = 3;
  if (a.overload() == 0) {
    out = ops::to(out, *a.dtype(1));
  } else if (a.overload() == 1) {
    if (a.dtype(2)) out = ops::to(out, *a.dtype(2));
    if (a.device(1)) out = ops::to(out, *a.device(1));
    copy = 4;
  } else {
    out = ops::to(ops::to(out, a.tensor(1).dtype()), a.tensor(1).device());
  }
  return a.flag(copy) && out.same(x) ? ops::clone(x) : out;
}

PyObject* numpy(Args& a) {
  if (!a.flag(1)) return to_numpy(a.object(0));
  const auto plain =
      py::reinterpret_steal<py::object>(wrap(on_host(detach(tensor_of(a.object(0))))));
  return to_numpy(plain.ptr());
}

// NumPy's protocol: __array__(dtype=None, copy=None).
PyObject* array(Args& a) {
  auto out = py::reinterpret_steal<py::object>(to_numpy(a.object(0)));
  if (a.has(1)) {
    const py::object given = out;
    out = out.attr("astype")(py::handle(a.object(1)), py::arg("copy") = false);
    check<ValueError>(!a.has(2) || a.flag(2) || out.is(given),
                      "__array__: another dtype needs a copy, but copy=False was asked for");
  }
  if (a.has(2) && a.flag(2)) out = out.attr("copy")();
  return out.release().ptr();
}

PyObject* format(Args& a) {
  PyObject* self = a.object(0);
  const Tensor& t = tensor_of(self);
  const py::str spec(a.text(1));
  if (t.rank() == 0) {
    const auto number = py::reinterpret_steal<py::object>(from_scalar(item("format", t)));
    return PyObject_Format(number.ptr(), spec.ptr());
  }
  check<TypeError>(*a.text(1) == 0, "format: only a 0-d tensor takes a format, got '", a.text(1),
                   "' for a tensor ", t);
  return PyObject_Str(self);
}

PyObject* copy_of(PyObject* self) {
  const Tensor& t = tensor_of(self);
  Tensor copy = ops::clone(detach(t));
  if (t.requires_grad()) set_requires_grad(copy, true);
  return wrap_as(Py_TYPE(self), std::move(copy));
}

PyObject* deepcopy(Args& a) {
  py::object self = py::reinterpret_borrow<py::object>(a.object(0));
  py::object memo = py::reinterpret_borrow<py::object>(a.object(1));
  const py::object id = py::reinterpret_steal<py::object>(PyLong_FromVoidPtr(self.ptr()));
  const py::object known = memo.attr("get")(id);
  if (!known.is_none()) return known.inc_ref().ptr();
  const Tensor& t = tensor_of(self.ptr());
  check<RuntimeError>(is_leaf(t),
                      "deepcopy: only a leaf can be copied with its gradient's record; use "
                      "detach() or clone()");
  auto out = py::reinterpret_steal<py::object>(copy_of(self.ptr()));
  if (!out) throw py::error_already_set();
  memo[id] = out;
  if (const Tensor grad = grad_of(t); grad.defined())
    set_grad(tensor_of(out.ptr()), ops::clone(detach(grad)));
  if (py::hasattr(self, "__dict__")) {
    const py::object deep = py::module_::import("copy").attr("deepcopy");
    out.attr("__dict__").attr("update")(deep(self.attr("__dict__"), memo));
  }
  return out.release().ptr();
}

// Pickles through NumPy, so that the file is readable without this library's classes.
PyObject* reduce(Args& a) {
  const py::object self = py::reinterpret_borrow<py::object>(a.object(0));
  const Tensor& t = tensor_of(self.ptr());
  const auto plain = py::reinterpret_steal<py::object>(wrap(on_host(detach(t))));
  const auto array = py::reinterpret_steal<py::object>(to_numpy(plain.ptr()));
  const py::object rebuild = py::module_::import("lamina._core").attr("_rebuild");
  const py::object state =
      py::hasattr(self, "__dict__") ? self.attr("__dict__") : py::object(py::none());
  return py::make_tuple(rebuild,
                        py::make_tuple(py::type::of(self), array, requires_grad(t) && is_leaf(t)),
                        state)
      .release()
      .ptr();
}

PyObject* rebuild(Args& a) {
  PyObject* type = a.object(0);
  check<TypeError>(
      PyType_Check(type) && PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(type), tensor_type),
      "_rebuild: needs a Tensor type, got ", arrived(type));
  Tensor t = tensor_from_buffer("_rebuild", a.object(1), true);
  if (a.flag(2)) set_requires_grad(t, true);
  return wrap_as(reinterpret_cast<PyTypeObject*>(type), std::move(t));
}

#define CAST(name, type)                                                                        \
  def(                                                                                          \
      name "(Tensor self)", kMethod, [](Args& a) { return ops::to(a.tensor(0), DType::type); }, \
      "This tensor as " #type ".")

constexpr Def kDefs[] = {
    def(
        "to(Tensor self, dtype dtype, bool non_blocking=False, bool copy=False)\n"
        "to(Tensor self, device? device=None, dtype? dtype=None, bool non_blocking=False, bool "
        "copy=False)\n"
        "to(Tensor self, Tensor other, bool non_blocking=False, bool copy=False)",
        kMethod, [](Args& a) { return to(a); },
        "Another dtype, another device, or those of `other`; itself when nothing changes."),
    CAST("float", Float32),
    CAST("double", Float64),
    CAST("long", Int64),
    CAST("int", Int32),
    CAST("byte", UInt8),
    CAST("bool", Bool),
    def(
        "type_as(Tensor self, Tensor other)", kMethod,
        [](Args& a) {
          return ops::to(ops::to(a.tensor(0), a.tensor(1).dtype()), a.tensor(1).device());
        },
        "The dtype and device of `other`."),
    def(
        "cpu(Tensor self)", kMethod, [](Args& a) { return ops::to(a.tensor(0), Device{}); },
        "On the CPU; itself if it is there."),
    def(
        "is_floating_point(Tensor input) -> bool", kFunction | kMethod,
        [](Args& a) { return is_floating(a.tensor(0).dtype()); }, "Whether the dtype is a float."),
    def(
        "is_tensor(object obj) -> bool", kFunction,
        [](Args& a) -> PyObject* { return PyBool_FromLong(is_tensor(a.object(0))); },
        "Whether an object is a Tensor."),
    def(
        "item(Tensor self) -> float", kMethod,
        [](Args& a) -> PyObject* { return from_scalar(item("item", a.tensor(0))); },
        "The one element as a Python number."),
    def(
        "tolist(Tensor self) -> object", kMethod,
        [](Args& a) -> PyObject* { return to_list(a.tensor(0)); },
        "The elements as nested lists of Python numbers."),
    def(
        "numpy(object self, *, bool force=False) -> object", kMethod,
        [](Args& a) { return numpy(a); },
        "A NumPy array over the same memory; `force` detaches and copies to the CPU if needed."),
    def(
        "__array__(object self, object? dtype=None, bool? copy=None) -> object", kMethod,
        [](Args& a) { return array(a); }, "NumPy's protocol."),
    def(
        "__format__(object self, str format_spec) -> str", kMethod,
        [](Args& a) { return format(a); }, "A 0-d tensor formats as its number."),
    def(
        "__deepcopy__(object self, object memo) -> Tensor", kMethod,
        [](Args& a) { return deepcopy(a); }, "A copy of a leaf, with its gradient."),
    def(
        "__reduce_ex__(object self, object protocol) -> object", kMethod,
        [](Args& a) { return reduce(a); }, "Pickles through NumPy."),
    def(
        "_rebuild(object type, object array, bool requires_grad) -> Tensor", kFunction,
        [](Args& a) { return rebuild(a); }, "A tensor from its pickle."),
};

}  // namespace

void bind_convert() { bind<kDefs>(); }

}  // namespace lamina::bindings
