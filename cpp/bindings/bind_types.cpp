// dtype, device and Size.

#include <pybind11/pybind11.h>

#include "bindings/bind.h"
#include "bindings/convert.h"
#include "cuda_info.h"

namespace lamina::bindings {

namespace py = pybind11;

namespace {

struct PyDType {
  DType value;
};

constexpr DType kBound[] = {DType::Bool,  DType::UInt8,   DType::Int32,
                            DType::Int64, DType::Float32, DType::Float64};
PyObject* dtypes[std::size(kBound)];
PyObject* cpu_device;
PyTypeObject* size_type;

Device parse_device(std::string_view name) {
  const size_t colon = name.find(':');
  const std::string_view kind = name.substr(0, colon);
  Device device{kind == "cuda" ? DeviceKind::Cuda : DeviceKind::Cpu, 0};
  bool ok = kind == "cpu" || kind == "cuda";
  if (ok && colon != std::string_view::npos) {
    int index = 0;
    ok = colon + 1 < name.size() && name.size() <= colon + 3;
    for (const char c : name.substr(colon + 1)) {
      ok = ok && c >= '0' && c <= '9';
      if (!ok) break;
      index = index * 10 + (c - '0');
    }
    device.index = static_cast<int8_t>(index);
  }
  check<RuntimeError>(ok, "device: no device '", name, "'; there are 'cpu', 'cuda' and 'cuda:N'");
  check<RuntimeError>(!device.is_cpu() || device.index == 0,
                      "device: there is only one 'cpu', got '", name, "'");
  return device;
}

Device make_device(const py::object& type, const py::object& index) {
  if (py::isinstance<Device>(type)) return type.cast<Device>();
  check<TypeError>(py::isinstance<py::str>(type), "device: takes a name such as 'cpu', got ",
                   arrived(type.ptr()));
  std::string name = type.cast<std::string>();
  if (!index.is_none()) {
    int64_t i = 0;
    const Got got = to_integer(index.ptr(), i);
    if (got == Got::Raised) throw py::error_already_set();
    check<TypeError>(got == Got::Yes, "device: the index must be an int, got ",
                     arrived(index.ptr()));
    name += text::concat(":", i);
  }
  return parse_device(name);
}

// -- Size: the tuple that Tensor.shape is --------------------------------------------------------

PyObject* size_repr(PyObject* self) {
  std::string out = "lamina.Size([";
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self); ++i) {
    py::str part(PyTuple_GET_ITEM(self, i));
    out += (i ? ", " : "") + part.cast<std::string>();
  }
  out += "])";
  return PyUnicode_FromString(out.c_str());
}

PyObject* size_numel(PyObject* self, PyObject*) {
  PyObject* product = PyLong_FromLong(1);
  for (Py_ssize_t i = 0; product && i < PyTuple_GET_SIZE(self); ++i) {
    PyObject* next = PyNumber_Multiply(product, PyTuple_GET_ITEM(self, i));
    Py_DECREF(product);
    product = next;
  }
  return product;
}

PyObject* size_reduce(PyObject* self, PyObject*) {
  return Py_BuildValue("(O(N))", reinterpret_cast<PyObject*>(Py_TYPE(self)), PySequence_List(self));
}

PyMethodDef size_methods[] = {
    {"numel", size_numel, METH_NOARGS, "Number of elements of a tensor of this size."},
    {"__reduce__", size_reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

void add_size_type(py::module_& m) {
  PyType_Slot slots[] = {
      {Py_tp_repr, reinterpret_cast<void*>(size_repr)},
      {Py_tp_methods, size_methods},
      {Py_tp_doc, const_cast<char*>("The shape of a tensor: a tuple of ints.")},
      {0, nullptr},
  };
  PyType_Spec spec{"lamina._core.Size", 0, 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
  const auto bases = py::make_tuple(py::handle(reinterpret_cast<PyObject*>(&PyTuple_Type)));
  PyObject* type = PyType_FromSpecWithBases(&spec, bases.ptr());
  if (!type) throw py::error_already_set();
  size_type = reinterpret_cast<PyTypeObject*>(type);
  m.add_object("Size", type);
}

}  // namespace

Got to_dtype(PyObject* o, DType& out) {
  for (size_t i = 0; i < std::size(kBound); ++i) {
    if (o == dtypes[i]) {
      out = kBound[i];
      return Got::Yes;
    }
  }
  // float, int and bool stand for a dtype, as in PyTorch.
  if (o == reinterpret_cast<PyObject*>(&PyFloat_Type))
    out = DType::Float64;
  else if (o == reinterpret_cast<PyObject*>(&PyLong_Type))
    out = DType::Int64;
  else if (o == reinterpret_cast<PyObject*>(&PyBool_Type))
    out = DType::Bool;
  else
    return Got::No;
  return Got::Yes;
}

Got to_device(PyObject* o, Device& out) {
  if (o == cpu_device) {
    out = Device{};
    return Got::Yes;
  }
  if (PyUnicode_Check(o)) {
    const char* name = PyUnicode_AsUTF8(o);
    if (!name) return Got::Raised;
    out = parse_device(name);
  } else if (py::isinstance<Device>(o)) {
    out = py::handle(o).cast<Device>();
  } else {
    return Got::No;
  }
  if (!out.is_cpu()) {
    check<RuntimeError>(register_cuda(), "device: no CUDA here: ", cuda_info().reason);
    check<RuntimeError>(out.index < static_cast<int>(cuda_info().devices.size()), "device: ", out,
                        " is not there; CUDA devices found: ", cuda_info().devices.size());
  }
  return Got::Yes;
}

PyObject* dtype_object(DType t) {
  for (size_t i = 0; i < std::size(kBound); ++i)
    if (kBound[i] == t) return dtypes[i];
  raise<TypeError>("dtype ", t, " is not supported yet");
}

PyObject* device_object(Device device) {
  if (device.is_cpu()) return Py_NewRef(cpu_device);
  return py::cast(device).release().ptr();
}

bool is_size(PyObject* o) { return Py_TYPE(o) == size_type; }

PyObject* size_object(std::span<const int64_t> sizes) {
  PyObject* out = size_type->tp_alloc(size_type, static_cast<Py_ssize_t>(sizes.size()));
  if (!out) return nullptr;
  for (size_t i = 0; i < sizes.size(); ++i)
    PyTuple_SET_ITEM(out, static_cast<Py_ssize_t>(i), PyLong_FromLongLong(sizes[i]));
  return out;
}

void bind_types(PyObject* module) {
  auto m = py::reinterpret_borrow<py::module_>(module);
  const auto name = [](const PyDType& t) { return std::string(info(t.value).name); };
  py::class_<PyDType>(m, "dtype", "The element type of a tensor, such as ``lamina.float32``.")
      .def_property_readonly("is_floating_point",
                             [](const PyDType& t) { return is_floating(t.value); })
      .def_property_readonly("itemsize", [](const PyDType& t) { return item_size(t.value); })
      .def("__repr__", [name](const PyDType& t) { return "lamina." + name(t); })
      .def("__reduce__", name);  // a text: the name of the one object in this module
  for (size_t i = 0; i < std::size(kBound); ++i) {
    dtypes[i] = py::cast(PyDType{kBound[i]}).release().ptr();
    m.attr(info(kBound[i]).name) = py::handle(dtypes[i]);
  }
  constexpr std::pair<const char*, const char*> kNicknames[] = {
      {"float", "float32"}, {"double", "float64"}, {"long", "int64"}, {"int", "int32"}};
  for (const auto& [nickname, full] : kNicknames) m.attr(nickname) = m.attr(full);

  py::class_<Device>(m, "device", "Where a tensor lives: ``device('cpu')``, ``device('cuda:0')``.")
      .def(py::init(&make_device), py::arg("type"), py::arg("index") = py::none())
      .def_property_readonly("type", [](Device d) { return d.is_cpu() ? "cpu" : "cuda"; })
      .def_property_readonly("index",
                             [](Device d) -> py::object {
                               if (d.is_cpu()) return py::none();
                               return py::int_(int{d.index});
                             })
      .def("__str__", [](Device d) { return to_text(d); })
      .def("__repr__",
           [](Device d) {
             return d.is_cpu() ? std::string("device(type='cpu')")
                               : text::concat("device(type='cuda', index=", int{d.index}, ")");
           })
      .def("__eq__",
           [](Device d, const py::object& other) {
             return py::isinstance<Device>(other) && other.cast<Device>() == d;
           })
      .def("__hash__", [](Device d) { return 2 * int{d.index} + !d.is_cpu(); })
      .def("__reduce__", [](const py::object& self) {
        return py::make_tuple(py::type::of(self), py::make_tuple(py::str(self)));
      });
  cpu_device = py::cast(Device{}).release().ptr();
  add_size_type(m);
}

}  // namespace lamina::bindings
