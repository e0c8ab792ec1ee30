// Tensors among other libraries' objects: NumPy, DLPack, copies and pickles, and how they print.

#include <pybind11/pybind11.h>

#include "autograd/autograd.h"
#include "bindings/args.h"
#include "bindings/bind.h"
#include "bindings/convert.h"
#include "bindings/dlpack.h"
#include "bindings/repr.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace py = pybind11;

namespace {

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
    if (!out.is(given)) return out.release().ptr();
  }
  if (a.has(2) && a.flag(2)) out = out.attr("copy")();
  return out.release().ptr();
}

// The result of np.sin(tensor) and the like: a tensor again.
PyObject* array_wrap(Args& a) {
  check<TypeError>(has_buffer(a.object(1)), "__array_wrap__: needs an array, got ",
                   arrived(a.object(1)));
  return wrap(tensor_from_buffer("__array_wrap__", a.object(1), false));
}

std::optional<bool> maybe_flag(Args& a, int i) {
  return a.has(i) ? std::optional(a.flag(i)) : std::nullopt;
}

PyObject* maybe_object(Args& a, int i) { return a.has(i) ? a.object(i) : nullptr; }

// asarray(obj, *, dtype, device, copy, requires_grad)
PyObject* asarray(Args& a) {
  PyObject* data = a.object(0);
  const std::optional<bool> copy = maybe_flag(a, 3);
  const bool may_copy = copy.value_or(true);
  const auto refuse = [](const char* what) {
    raise<ValueError>("asarray: ", what, " needs a copy, but copy=False was asked for");
  };
  Tensor source;
  if (is_tensor(data)) {
    source = tensor_of(data);
    if (requires_grad(source) && !a.flag(4)) source = detach(source);
  } else if (!PyFloat_CheckExact(data) && !PyLong_Check(data) && has_buffer(data)) {
    source = tensor_from_buffer("asarray", data, false, may_copy);
  } else if (has_dlpack(data)) {
    source = from_dlpack("asarray", data, {}, may_copy ? std::nullopt : copy);
  } else {
    if (!may_copy) refuse("a list or number");
    source = tensor_from("asarray", data, a.dtype(1), a.device(2));
    if (a.flag(4)) set_requires_grad(source, true);
    return wrap(std::move(source));
  }
  Tensor out = source;
  if (a.dtype(1)) out = ops::to(out, *a.dtype(1));
  if (a.device(2)) out = ops::to(out, *a.device(2));
  if (!may_copy && !out.same(source)) refuse("another dtype or device");
  if (!may_copy) return wrap(std::move(out));
  if (copy.value_or(false) && out.same(source)) out = ops::clone(out);
  if (a.flag(4) && !requires_grad(out)) set_requires_grad(out, true);
  return wrap(std::move(out));
}

PyObject* set_print_options(Args& a) {
  PrintOptions next = print_options();
  if (a.has(4)) {
    const std::string_view profile = a.text(4);
    next = PrintOptions{};
    if (profile == "short") {
      next.precision = 2;
      next.edge_items = 2;
    } else if (profile == "full") {
      next.threshold = INFINITY;
    } else {
      check<ValueError>(profile == "default",
                        "set_printoptions: the profile must be 'default', 'short' or 'full', got '",
                        profile, "'");
    }
  }
  const auto set = [&a](int i, const char* name, int64_t low, int64_t high, auto& out) {
    if (!a.has(i)) return;
    check<ValueError>(a.integer(i) >= low && a.integer(i) <= high, "set_printoptions: ", name,
                      " must be ", low, " to ", high, ", got ", a.integer(i));
    out = static_cast<int>(a.integer(i));
  };
  set(0, "precision", 0, 64, next.precision);
  if (a.has(1)) {
    next.threshold = a.number(1).value();
    check<ValueError>(next.threshold >= 0, "set_printoptions: threshold must not be negative, got ",
                      next.threshold);
  }
  set(2, "edgeitems", 0, 1'000'000, next.edge_items);
  set(3, "linewidth", 1, 1'000'000, next.line_width);
  next.scientific = maybe_flag(a, 5);
  print_options() = next;
  Py_RETURN_NONE;
}

// -- copies and pickles --------------------------------------------------------------------------

py::object memory_of_copy(const Tensor& t, const py::object& memo) {
  // One copy of a storage, however many tensors of one deepcopy show it.
  Storage& storage = t.storage();
  const auto key = py::make_tuple("lamina.storage", reinterpret_cast<uintptr_t>(&storage));
  py::object known = memo.attr("get")(key);
  if (known.is_none()) {
    auto all = make<TensorImpl>();
    all->storage = t.impl()->storage;
    all->sizes.push_back(static_cast<int64_t>(storage.bytes()));
    all->strides.push_back(1);
    all->numel = all->sizes[0];
    all->dtype = DType::UInt8;
    known = py::reinterpret_steal<py::object>(wrap(ops::clone(Tensor(std::move(all)))));
    if (!known) throw py::error_already_set();
    memo[key] = known;
  }
  return known;
}

PyObject* deepcopy(Args& a) {
  const py::object self = py::reinterpret_borrow<py::object>(a.object(0));
  const py::object memo = py::reinterpret_borrow<py::object>(a.object(1));
  const py::object id = py::reinterpret_steal<py::object>(PyLong_FromVoidPtr(self.ptr()));
  const py::object known = memo.attr("get")(id);
  if (!known.is_none()) return known.inc_ref().ptr();
  const Tensor& t = tensor_of(self.ptr());
  check<RuntimeError>(is_leaf(t),
                      "deepcopy: only a leaf can be copied with its gradient's record; use "
                      "detach() or clone()");
  const py::object memory = memory_of_copy(t, memo);
  Tensor copy = alias(t);
  copy.impl()->storage = tensor_of(memory.ptr()).impl()->storage;
  if (t.requires_grad()) set_requires_grad(copy, true);
  const auto out = py::reinterpret_steal<py::object>(wrap_as(Py_TYPE(self.ptr()), copy));
  if (!out) throw py::error_already_set();
  memo[id] = out;
  const py::object deep = py::module_::import("copy").attr("deepcopy");
  if (Tensor grad = grad_of(t); grad.defined()) {
    const auto theirs =
        py::reinterpret_steal<py::object>(wrap(is_leaf(grad) ? grad : detach(grad)));
    set_grad(copy, tensor_of(deep(theirs, memo).ptr()));
  }
  if (py::hasattr(self, "__dict__"))
    out.attr("__dict__").attr("update")(deep(self.attr("__dict__"), memo));
  return out.inc_ref().ptr();
}

// copy.copy: another object around the same memory.
PyObject* shallow_copy(Args& a) {
  const py::object self = py::reinterpret_borrow<py::object>(a.object(0));
  const Tensor& t = tensor_of(self.ptr());
  Tensor copy = detach(t);
  if (t.requires_grad()) set_requires_grad(copy, true);
  const auto out = py::reinterpret_steal<py::object>(wrap_as(Py_TYPE(self.ptr()), std::move(copy)));
  if (!out) throw py::error_already_set();
  if (py::hasattr(self, "__dict__")) out.attr("__dict__").attr("update")(self.attr("__dict__"));
  return out.inc_ref().ptr();
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
  check<TypeError>(has_buffer(a.object(1)), "_rebuild: needs an array, got ", arrived(a.object(1)));
  Tensor t = tensor_from_buffer("_rebuild", a.object(1), true);
  if (a.flag(2)) set_requires_grad(t, true);
  return wrap_as(reinterpret_cast<PyTypeObject*>(type), std::move(t));
}

constexpr Def kDefs[] = {
    def(
        "numpy(object self, *, bool force=False) -> object", kMethod,
        [](Args& a) { return numpy(a); },
        "A NumPy array over the same memory; `force` detaches and copies to the CPU if needed."),
    def(
        "__array__(object self, object? dtype=None, bool? copy=None) -> object", kMethod,
        [](Args& a) { return array(a); }, "NumPy's protocol."),
    def(
        "__array_wrap__(object self, object array, object? context=None, bool return_scalar=False)",
        kMethod, [](Args& a) { return array_wrap(a); },
        "NumPy's protocol: what np.sin(tensor) returns is a tensor."),
    def(
        "asarray(object obj, *, dtype? dtype=None, device? device=None, bool? copy=None, bool "
        "requires_grad=False)",
        kFunction, [](Args& a) { return asarray(a); },
        "`obj` as a tensor that shares its memory where that is possible: a tensor, an array, "
        "anything with the buffer or the DLPack protocol; numbers and lists are copied."),
    def(
        "__dlpack__(Tensor self, *, object? stream=None, object? max_version=None, object? "
        "dl_device=None, bool? copy=None) -> object",
        kMethod,
        [](Args& a) -> PyObject* {
          return to_dlpack(a.tensor(0), maybe_object(a, 1), maybe_object(a, 2), maybe_object(a, 3),
                           maybe_flag(a, 4));
        },
        "The DLPack protocol: a capsule over this tensor's memory."),
    def(
        "__dlpack_device__(Tensor self) -> object", kMethod,
        [](Args& a) -> PyObject* { return dlpack_device(a.tensor(0)); },
        "The DLPack protocol: the device's type and index."),
    def(
        "from_dlpack(object ext_tensor, *, device? device=None, bool? copy=None)", kFunction,
        [](Args& a) -> PyObject* {
          return wrap(from_dlpack("from_dlpack", a.object(0), a.device(1), maybe_flag(a, 2)));
        },
        "A tensor over the memory of another library's, or of a DLPack capsule."),
    def(
        "cuda(Tensor self, device? device=None, bool non_blocking=False)\n"
        "cuda(Tensor self, int device, bool non_blocking=False)",
        kMethod,
        [](Args& a) -> PyObject* {
          const auto place =
              a.overload() == 1 ? py::str(text::concat("cuda:", a.integer(1))) : py::str("cuda");
          Device device;
          if (const auto given = a.overload() == 0 ? a.device(1) : std::nullopt) {
            device = *given;
          } else if (to_device(place.ptr(), device) == Got::Raised) {
            throw py::error_already_set();
          }
          check<ValueError>(!device.is_cpu(), "cuda: needs a CUDA device, got 'cpu'");
          return wrap(ops::to(a.tensor(0), device));
        },
        "On a CUDA device; itself if it is there."),
    def(
        "set_printoptions(int? precision=None, number? threshold=None, int? edgeitems=None, int? "
        "linewidth=None, str? profile=None, bool? sci_mode=None) -> None",
        kFunction, [](Args& a) { return set_print_options(a); },
        "How tensors print: digits, from how many elements on only the edges are shown, how many "
        "at an edge, columns of a line, a profile ('default', 'short', 'full'), and whether "
        "numbers are in scientific notation (None: where the values ask for it)."),
    def(
        "__deepcopy__(object self, object memo) -> Tensor", kMethod,
        [](Args& a) { return deepcopy(a); },
        "A copy of a leaf, with its gradient; what shares memory shares it in the copies."),
    def(
        "__copy__(object self) -> Tensor", kMethod, [](Args& a) { return shallow_copy(a); },
        "Another leaf over the same memory."),
    def(
        "__reduce_ex__(object self, object protocol) -> object", kMethod,
        [](Args& a) { return reduce(a); }, "Pickles through NumPy."),
    def(
        "_rebuild(object type, object array, bool requires_grad) -> Tensor", kFunction,
        [](Args& a) { return rebuild(a); }, "A tensor from its pickle."),
};

}  // namespace

void bind_interop() { bind<kDefs>(); }

}  // namespace lamina::bindings
