#include <pybind11/pybind11.h>

#include "bindings/args.h"
#include "bindings/autograd_objects.h"
#include "bindings/bind.h"
#include "bindings/convert.h"

namespace lamina::bindings {

namespace py = pybind11;

namespace {

struct PyNode {
  Ptr<Node> node;
};

// What register_hook returns. It must not keep the tensor or the function alive: a hook often
// refers to its own handle.
struct RemovableHandle {
  Ptr<PyHook::Link> link;
  py::object tensor;  // a weak reference
  uint64_t id;

  void remove() {
    if (!link->hook) return;
    link->hook->disable();
    py::object alive = tensor();
    if (!alive.is_none()) remove_hook(tensor_of(alive.ptr()), id);
  }
};

}  // namespace

bool finalizing() {
#if PY_VERSION_HEX >= 0x030D0000
  return Py_IsFinalizing();
#else
  return _Py_IsFinalizing();
#endif
}

PyObject* node_object(Ptr<Node> node) {
  if (!node) Py_RETURN_NONE;
  return py::cast(PyNode{std::move(node)}).release().ptr();
}

PyHook::PyHook(PyObject* function, bool result_counts)
    : function_(Py_NewRef(function)), result_counts_(result_counts), link_(make<Link>()) {
  link_->hook = this;
}

PyHook::~PyHook() {
  if (!Py_IsInitialized() || finalizing()) return;  // the interpreter frees what it can by itself
  const PyGILState_STATE gil = PyGILState_Ensure();
  link_->hook = nullptr;
  Py_XDECREF(function_);
  PyGILState_Release(gil);
}

void PyHook::disable() {
  PyObject* function = std::exchange(function_, nullptr);
  Py_XDECREF(function);
}

Tensor PyHook::operator()(const Tensor& grad) {
  const py::gil_scoped_acquire gil;
  if (!function_) return {};
  const auto function = py::reinterpret_borrow<py::object>(function_);
  const py::object result = function(py::reinterpret_steal<py::object>(wrap(grad)));
  if (result.is_none() || !result_counts_) return {};
  check<TypeError>(is_tensor(result.ptr()), "hook: must return a Tensor or None, got ",
                   arrived(result.ptr()));
  return tensor_of(result.ptr());
}

int PyHook::traverse(int (*visit)(void*, void*), void* context) {
  return function_ ? visit(function_, context) : 0;
}

PyObject* register_python_hook(PyObject* tensor, PyObject* function, bool after) {
  check<TypeError>(PyCallable_Check(function),
                   after ? "register_post_accumulate_grad_hook" : "register_hook",
                   ": the hook must be callable, got ", arrived(function));
  auto hook = make<PyHook>(function, !after);
  RemovableHandle handle{hook->link(),
                         py::reinterpret_steal<py::object>(PyWeakref_NewRef(tensor, nullptr)), 0};
  if (!handle.tensor) throw py::error_already_set();
  handle.id = register_hook(tensor_of(tensor), std::move(hook), after);
  track(tensor);
  return py::cast(std::move(handle)).release().ptr();
}

namespace {

// A run that turns out to be long goes on without the GIL.
class LongRun {
 public:
  operator WhenLong() {
    return {[](void* release) { static_cast<MaybeRelease*>(release)->now(); }, &release_};
  }

 private:
  MaybeRelease release_{0};
};

PyObject* run_backward(Args& a, std::span<const Tensor> roots, std::span<const Tensor> grads) {
  const bool create = a.flag(3);
  const bool retain = a.has(2) ? a.flag(2) : create;
  {
    LongRun run;
    if (a.has(4))
      backward_into(a.tensors(4), roots, grads, retain, create, run);
    else
      backward(roots, grads, retain, create, run);
  }
  Py_RETURN_NONE;
}

constexpr Def kDefs[] = {
    def(
        "backward(Tensor self, Tensor? gradient=None, bool? retain_graph=None, bool "
        "create_graph=False, Tensor[]? inputs=None) -> None",
        kMethod | kInner,
        [](Args& a) {
          const Tensor roots[] = {a.tensor(0)}, grads[] = {a.tensor(1)};
          return run_backward(a, roots, grads);
        },
        "Add the gradient of this tensor into the ``.grad`` of every leaf it depends on, or of "
        "`inputs` alone."),
    def(
        "backward(Tensor[] tensors, Tensor?[]? grad_tensors=None, bool? retain_graph=None, bool "
        "create_graph=False, Tensor[]? inputs=None) -> None",
        kFunction | kInner,
        [](Args& a) {
          std::vector<Tensor> grads(a.tensors(1).begin(), a.tensors(1).end());
          grads.resize(a.has(1) ? grads.size() : a.tensors(0).size());
          return run_backward(a, a.tensors(0), grads);
        },
        "Add the gradient of `tensors` into the ``.grad`` of every leaf they depend on, or of "
        "`inputs` alone."),
    def(
        "grad(Tensor[] outputs, Tensor[] inputs, Tensor?[]? grad_outputs=None, bool? "
        "retain_graph=None, bool create_graph=False, bool allow_unused=False) -> tuple[Any, "
        "...]",
        kFunction | kInner,
        [](Args& a) {
          std::vector<Tensor> grads(a.tensors(2).begin(), a.tensors(2).end());
          grads.resize(a.has(2) ? grads.size() : a.tensors(0).size());
          const bool create = a.flag(4);
          std::vector<Tensor> found;
          {
            LongRun run;
            found = grad(a.tensors(0), a.tensors(1), grads, a.has(3) ? a.flag(3) : create, create,
                         a.flag(5), run);
          }
          return to_python(found);
        },
        "The gradient of `outputs` with respect to `inputs`; None where unused and allowed."),
    def(
        "is_grad_enabled() -> bool", kFunction, [](Args&) { return grad_enabled(); },
        "Whether this thread records ops."),
    def(
        "set_grad_enabled(bool mode) -> None", kFunction,
        [](Args& a) { set_grad_enabled(a.flag(0)); }, "Let this thread record ops, or not."),
    def(
        "requires_grad_(Tensor self, bool requires_grad=True)", kMethod,
        [](Args& a) {
          set_requires_grad(a.tensor(0), a.flag(1));
          return a.tensor(0);
        },
        "Set ``requires_grad`` and return this tensor."),
    def(
        "retain_grad(Tensor self) -> None", kMethod, [](Args& a) { retain_grad(a.tensor(0)); },
        "Keep the gradient of this non-leaf tensor in ``.grad`` during backward."),
    def(
        "register_hook(object self, object hook) -> RemovableHandle", kMethod,
        [](Args& a) { return register_python_hook(a.object(0), a.object(1), false); },
        "Call ``hook(grad)`` whenever the gradient of this tensor is known; what it returns, if "
        "not "
        "None, takes its place. The handle's ``remove()`` takes the hook off."),
    def(
        "register_post_accumulate_grad_hook(object self, object hook) -> RemovableHandle", kMethod,
        [](Args& a) { return register_python_hook(a.object(0), a.object(1), true); },
        "Call ``hook(tensor)`` whenever a gradient has been added into the ``.grad`` of this "
        "leaf."),
    def(
        "detach(Tensor input)", kFunction | kMethod, [](Args& a) { return detach(a.tensor(0)); },
        "The same memory without the gradient's record."),
    def(
        "detach_(Tensor self)", kMethod,
        [](Args& a) {
          check<RuntimeError>(!is_view(a.tensor(0)),
                              "detach_: this is a view of another tensor; use detach()");
          if (!is_leaf(a.tensor(0))) a.tensor(0).impl()->autograd.reset();
          a.tensor(0).impl()->requires_grad = false;
          return a.tensor(0);
        },
        "Forget how this tensor was computed."),
};

}  // namespace

void bind_autograd(PyObject* module) {
  const auto m = py::reinterpret_borrow<py::module_>(module);
  py::class_<PyNode>(m, "Node", "One recorded op of the graph.")
      .def("name", [](const PyNode& n) { return n.node->name(); })
      .def_property_readonly("next_functions",
                             [](const PyNode& n) {
                               py::list out;
                               for (const Edge& e : n.node->edges())
                                 out.append(py::make_tuple(
                                     py::reinterpret_steal<py::object>(node_object(e.node)), e.nr));
                               return py::tuple(out);
                             })
      .def("__eq__",
           [](const PyNode& n, const py::object& other) {
             return py::isinstance<PyNode>(other) && other.cast<PyNode>().node == n.node;
           })
      .def("__hash__",
           [](const PyNode& n) { return reinterpret_cast<uintptr_t>(n.node.get()) >> 4; })
      .def("__repr__", [](const PyNode& n) { return text::concat("<", n.node->name(), ">"); });
  py::class_<RemovableHandle>(m, "RemovableHandle", "Takes a hook off again.")
      .def("remove", &RemovableHandle::remove, "Take the hook off; doing so twice is harmless.")
      .def("__enter__", [](const py::object& self) { return self; })
      .def("__exit__", [](RemovableHandle& self, const py::args&) { self.remove(); });
  bind<kDefs>();
}

}  // namespace lamina::bindings
