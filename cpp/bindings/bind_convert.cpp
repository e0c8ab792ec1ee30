// Conversions: dtypes, devices, numbers, lists, text.

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
        "__format__(object self, str format_spec) -> str", kMethod,
        [](Args& a) { return format(a); }, "A 0-d tensor formats as its number."),
};

}  // namespace

void bind_convert() { bind<kDefs>(); }

}  // namespace lamina::bindings
