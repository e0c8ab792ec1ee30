// Runs the modules of a Sequential, one after another, without coming back to Python for those that
// are layers of ours: a layer followed by its activation is then one op. Where anybody could see
// the difference (a hook, a subclass, a method put in place of ours, who looks for anomalies) the
// module is called instead.

#include <pybind11/pybind11.h>

#include <algorithm>
#include <iterator>

#include "bindings/args.h"
#include "bindings/bind.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace py = pybind11;

namespace {

enum class Layer : uint8_t { Other, Linear, BatchNorm, LayerNorm, Conv, Relu, Tanh, Sigmoid, Gelu };
constexpr std::string_view kLayerNames[] = {"other", "linear", "batch_norm", "layer_norm", "conv",
                                            "relu",  "tanh",   "sigmoid",    "gelu"};

// A class of ours, and what its instances run as long as nobody changes it.
struct LayerClass {
  PyTypeObject* type;
  Layer layer;
  PyObject *forward, *call;
  unsigned version;  // of the type, when the two were last seen to be ours; 0: not seen
};
std::vector<LayerClass> layer_classes;

// Of the attributes that are looked at in every instance.
struct Names {
  PyObject *hooks, *forward, *weight, *bias, *inplace, *approximate, *registry, *normalize, *eps,
      *convolve;
};
Names names;

// Tells an error in which layer it arose, as Module.__call__ does; set from Python.
PyObject* annotate = nullptr;

bool unchanged(LayerClass& c) {
  if (c.version != 0 && c.version == c.type->tp_version_tag) return true;
  auto* const type = reinterpret_cast<PyObject*>(c.type);
  const auto same = [&](const char* name, PyObject* ours) {
    const py::object found = py::reinterpret_steal<py::object>(PyObject_GetAttrString(type, name));
    if (!found) PyErr_Clear();
    return found.ptr() == ours;
  };
  if (!same("forward", c.forward) || !same("__call__", c.call)) return false;
  c.version = c.type->tp_version_tag;
  return true;
}

// A module, its attributes, and what it is as long as the caller holds it.
struct Child {
  py::object module, fields;
  Layer layer = Layer::Other;

  PyObject* field(PyObject* name) const {  // borrowed
    return PyDict_GetItemWithError(fields.ptr(), name);
  }
};

Child look_at(PyObject* module) {
  Child child{py::reinterpret_borrow<py::object>(module), {}, Layer::Other};
  if (observer()) [[unlikely]]
    return child;
  for (LayerClass& c : layer_classes) {
    if (Py_TYPE(module) != c.type || !unchanged(c)) continue;
    child.fields = py::reinterpret_steal<py::object>(PyObject_GenericGetDict(module, nullptr));
    if (!child.fields) throw py::error_already_set();
    if (child.field(names.hooks) != Py_None || child.field(names.forward)) return child;
    if (c.layer == Layer::Relu && child.field(names.inplace) != Py_False) return child;
    if (c.layer == Layer::Gelu) {
      PyObject* const form = child.field(names.approximate);
      if (!form || !PyUnicode_Check(form) || PyUnicode_CompareWithASCIIString(form, "none") != 0)
        return child;
    }
    child.layer = c.layer;
    break;
  }
  return child;
}

Activation activation_of(Layer layer) {
  switch (layer) {
    case Layer::Relu: return Activation::Relu;
    case Layer::Tanh: return Activation::Tanh;
    case Layer::Sigmoid: return Activation::Sigmoid;
    case Layer::Gelu: return Activation::Gelu;
    default: return Activation::None;
  }
}

Tensor activate(Activation act, const Tensor& x) {
  const MaybeRelease gil(x.numel());
  return ops::unary(row_of(act), x);
}

// What a Linear or a LayerNorm of ours makes of x; undefined where its fields are not what such a
// layer has. A LayerNorm takes no activation.
Tensor run_native(const Child& child, const Tensor& x, Activation act) {
  PyObject* const weight = child.field(names.weight);
  PyObject* const bias = child.field(names.bias);
  if (!weight || !is_tensor(weight) || !bias || (bias != Py_None && !is_tensor(bias))) return {};
  const Tensor w = tensor_of(weight), b = bias == Py_None ? Tensor() : tensor_of(bias);
  if (child.layer == Layer::LayerNorm) {
    PyObject* const eps = child.field(names.eps);
    if (!eps || !PyFloat_CheckExact(eps)) return {};
    const MaybeRelease gil(x.numel());
    return ops::layer_norm(x, w.sizes(), w, b, PyFloat_AS_DOUBLE(eps));
  }
  const int64_t work = w.rank() == 2 ? x.numel() * w.size(0) / 16 : 0;
  const MaybeRelease gil(work);
  return ops::linear(x, w, b, act);
}

// The value on its way through the modules, in C++ while it stays there.
class Value {
 public:
  explicit Value(PyObject* o) : object_(py::reinterpret_borrow<py::object>(o)) { look(); }
  bool is_tensor() const { return tensor_.defined(); }
  const Tensor& tensor() const { return tensor_; }
  void set(Tensor t) {
    object_ = {};
    tensor_ = std::move(t);
  }
  void set(PyObject* o) {  // steals
    if (!o) throw py::error_already_set();
    object_ = py::reinterpret_steal<py::object>(o);
    look();
  }
  PyObject* object() {  // borrowed
    if (!object_) object_ = py::reinterpret_steal<py::object>(wrap(tensor_));
    return object_.ptr();
  }
  PyObject* release() {
    object();
    return object_.release().ptr();
  }

 private:
  void look() {
    tensor_ = bindings::is_tensor(object_.ptr()) ? tensor_of(object_.ptr()) : Tensor();
  }
  py::object object_;
  Tensor tensor_;
};

// The error on its way gets the child's path, and goes on.
[[noreturn]] void add_path(const Child& child) {
  py::error_already_set error;  // the one that is set
  py::reinterpret_borrow<py::object>(annotate)(error.value(), child.module);
  throw error;
}

// One child or, where `next` is its activation, two; returns how many.
size_t run_one(Value& value, const Child& child, const Child* next) {
  const Activation own = activation_of(child.layer);
  if (!value.is_tensor() || child.layer == Layer::Other) {
    value.set(PyObject_CallOneArg(child.module.ptr(), value.object()));
    return 1;
  }
  const bool takes_activation = child.layer != Layer::LayerNorm;
  const Activation act = next && takes_activation ? activation_of(next->layer) : Activation::None;
  const size_t ran = act == Activation::None ? 1 : 2;
  try {
    if (own != Activation::None) {
      value.set(activate(own, value.tensor()));
      return 1;
    }
    if (child.layer != Layer::BatchNorm && child.layer != Layer::Conv) {
      if (Tensor y = run_native(child, value.tensor(), act); y.defined()) {
        value.set(std::move(y));
        return ran;
      }
    } else if (act != Activation::None) {
      // The layer's own method, which takes the activation's name.
      const py::str name(kLayerNames[static_cast<int>(next->layer)].data());
      PyObject* const method = child.layer == Layer::Conv ? names.convolve : names.normalize;
      value.set(PyObject_CallMethodObjArgs(child.module.ptr(), method, value.object(), name.ptr(),
                                           nullptr));
      return 2;
    }
  } catch (py::error_already_set& error) {
    error.restore();
    add_path(child);
  } catch (...) {
    raise_current();
    add_path(child);
  }
  value.set(PyObject_CallOneArg(child.module.ptr(), value.object()));
  return 1;
}

PyObject* run_layers(Args& a) {
  const py::object fields =
      py::reinterpret_steal<py::object>(PyObject_GenericGetDict(a.object(0), nullptr));
  if (!fields) throw py::error_already_set();
  PyObject* const registry = PyDict_GetItemWithError(fields.ptr(), names.registry);
  check<TypeError>(registry && PyDict_Check(registry), "run_layers: needs a Sequential");
  // Held first: a forward may change the container that it is part of.
  SmallVector<Child, 16> children;
  PyObject *name, *kind;
  for (Py_ssize_t at = 0; PyDict_Next(registry, &at, &name, &kind);) {
    if (PyUnicode_CompareWithASCIIString(kind, "module") != 0) continue;
    PyObject* const module = PyDict_GetItemWithError(fields.ptr(), name);
    if (!module) throw py::error_already_set();
    children.push_back(look_at(module));
  }
  Value value(a.object(1));
  for (size_t i = 0; i < children.size();)
    i += run_one(value, children[i], i + 1 < children.size() ? &children[i + 1] : nullptr);
  return value.release();
}

PyObject* set_layers(Args& a) {
  const py::dict classes = py::reinterpret_borrow<py::dict>(a.object(0));
  for (const auto& [type, name] : classes) {
    const auto wanted = py::cast<std::string>(name);
    const auto* const found = std::find(std::begin(kLayerNames), std::end(kLayerNames), wanted);
    check<ValueError>(found != std::end(kLayerNames), "set_layers: no layer is named '", wanted,
                      "'");
    layer_classes.push_back({reinterpret_cast<PyTypeObject*>(type.inc_ref().ptr()),
                             static_cast<Layer>(found - std::begin(kLayerNames)),
                             py::object(type.attr("forward")).release().ptr(),
                             py::object(type.attr("__call__")).release().ptr(), 0});
  }
  annotate = py::reinterpret_borrow<py::object>(a.object(1)).release().ptr();
  Py_RETURN_NONE;
}

constexpr Def kDefs[] = {
    def(
        "run_layers(object sequential, object input) -> object", kFunction,
        [](Args& a) { return run_layers(a); },
        "What the modules of a Sequential make of `input`, one after another."),
    def(
        "set_layers(object classes, object annotate) -> None", kFunction,
        [](Args& a) { return set_layers(a); },
        "Names the classes whose instances run_layers runs itself, and what tells an error its "
        "layer."),
};

}  // namespace

void bind_layers() {
  const auto intern = [](const char* text) { return PyUnicode_InternFromString(text); };
  names = {intern("_hooks"),  intern("forward"),     intern("weight"),    intern("bias"),
           intern("inplace"), intern("approximate"), intern("_registry"), intern("_normalize"),
           intern("eps"),     intern("_convolve")};
  bind<kDefs>();
}

}  // namespace lamina::bindings
