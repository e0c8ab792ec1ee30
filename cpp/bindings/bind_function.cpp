// What autograd.Function and checkpoint need of the tape: Nodes whose backward is Python's, lists
// of saved tensors, and runs that are kept as the promise to be run again.
#include <pybind11/pybind11.h>

#include <set>

#include "autograd/checkpoint.h"
#include "bindings/args.h"
#include "bindings/autograd_objects.h"
#include "bindings/bind.h"
#include "bindings/convert.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace py = pybind11;

namespace {

// Nodes and storages point to names: those of Functions stay for good. Guarded by the GIL.
const char* lasting(const std::string& name) {
  static std::set<std::string> names;
  return names.insert(name).first->c_str();
}

const Tensor& tensor_in(const py::handle& o) { return tensor_of(o.ptr()); }
py::object object_of(Tensor t) { return py::reinterpret_steal<py::object>(wrap(std::move(t))); }

// A Python object that a native one owns: released under the GIL.
class Owned {
 public:
  explicit Owned(py::object o) : object_(o.release().ptr()) {}
  ~Owned() {
    if (!Py_IsInitialized() || finalizing()) return;
    const py::gil_scoped_acquire gil;
    Py_DECREF(object_);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  py::handle get() const { return object_; }

 private:
  PyObject* object_;
};

// Tensors or Nones, saved as ops save theirs.
struct SavedList : RefCounted {
  const char* name = "";
  Node* node = nullptr;  // what owns it, while that lives
  bool freed = false;
  std::vector<Saved> saved;

  py::tuple unpack() const {
    if (freed) raise_freed(name);
    py::tuple out(saved.size());
    for (size_t i = 0; i < saved.size(); ++i)
      out[i] = object_of(saved[i].defined() ? saved[i].unpack(name, node) : Tensor());
    return out;
  }
};

struct PySavedList {
  Ptr<SavedList> list;
};

PySavedList save(const std::string& name, const py::sequence& tensors) {
  auto list = make<SavedList>();
  list->name = lasting(name);
  for (const py::handle o : tensors)
    list->saved.push_back(is_tensor(o.ptr()) ? Saved::input(tensor_in(o)) : Saved());
  return {list};
}

class FunctionNode final : public Node {
 public:
  FunctionNode(const char* name, const py::object& run, const py::object& context, bool zeros)
      : Node(name), run_(run), context_(context), zeros_(zeros) {}
  ~FunctionNode() override { let_go(); }

  void backward(Backward& b) override;
  void free_saved() override {
    if (saved_) saved_->freed = true, saved_->saved.clear();
  }

  struct Input {
    size_t argument;  // its position among forward's
    Dims sizes;
    DType dtype;
    Device device;
  };
  std::vector<Input> inputs_;
  std::vector<bool> is_tensor_;  // of forward's outputs
  Ptr<SavedList> saved_;

 private:
  void let_go() {
    if (saved_) saved_->node = nullptr;
  }
  Tensor fitting(const Input& input, Tensor g) const;

  Owned run_, context_;
  bool zeros_;
};

// The gradient that Python returned, brought to the input's sizes and dtype where that is right.
Tensor FunctionNode::fitting(const Input& input, Tensor g) const {
  if (g.sizes() != input.sizes) {
    check<ValueError>(can_broadcast_to(input.sizes, g.sizes()), name(),
                      ": backward returned a gradient of other sizes than argument ",
                      input.argument, " of forward has", line("argument", input.sizes),
                      line("gradient", g));
    g = ops::sum_to(g, input.sizes);
  }
  check<ValueError>(g.device() == input.device, name(), ": backward returned a gradient on ",
                    g.device(), " for argument ", input.argument, " on ", input.device);
  return ops::to(g, input.dtype);
}

void FunctionNode::backward(Backward& b) {
  const py::gil_scoped_acquire gil;
  py::tuple grads(outputs().size());
  for (size_t i = 0; i < outputs().size(); ++i) {
    Tensor g = b.grad(i);
    const Output& o = outputs()[i];
    if (!g.defined() && zeros_ && is_tensor_[i]) g = ops::zeros(o.sizes, o.dtype, o.device);
    grads[i] = object_of(std::move(g));
  }
  const auto results = py::tuple(run_.get()(context_.get(), grads));
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const py::object g = results[inputs_[i].argument];
    if (b.needs(i) && !g.is_none()) b.set(i, fitting(inputs_[i], tensor_in(g)));
  }
}

bool among(const py::sequence& tensors, const Tensor& t) {
  for (const py::handle o : tensors)
    if (is_tensor(o.ptr()) && tensor_in(o).same(t)) return true;
  return false;
}

// Makes a call of a Function part of the graph. `arguments` and `outputs` are forward's; the
// outputs come back as what the caller is to see, with the list of what was saved.
py::tuple record_function(const std::string& name, const py::object& run, const py::object& context,
                          const py::tuple& arguments, const py::tuple& outputs,
                          const py::tuple& to_save, const py::tuple& constant,
                          const py::tuple& dirty, bool zeros) {
  auto node = make<FunctionNode>(lasting(name), run, context, zeros);
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const py::object o = arguments[i];
    if (!is_tensor(o.ptr())) continue;
    const Tensor& t = tensor_in(o);
    inputs.push_back(t);
    node->inputs_.push_back({i, t.sizes(), t.dtype(), t.device()});
    if (among(dirty, t)) check_writable(node->name(), t, true);
  }
  attach_inputs(*node, inputs);

  py::tuple results(outputs.size());
  std::vector<Tensor> made(outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    const py::object o = outputs[i];
    results[i] = o;
    node->is_tensor_.push_back(is_tensor(o.ptr()));
    if (!is_tensor(o.ptr())) {
      node->outputs().push_back({{}, DType::Bool, {}, {}, false, nullptr});
      continue;
    }
    Tensor t = tensor_in(o);
    const auto nr = static_cast<uint32_t>(i);
    node->outputs().push_back({t.sizes(), t.dtype(), t.device(), {}, false, nullptr});
    const bool written = among(dirty, t);
    const bool has_gradient = is_floating(t.dtype()) && !among(constant, t);
    const bool taken = requires_grad(t) || among(arguments, t) ||
                       std::any_of(made.begin(), made.end(), [&](const Tensor& other) {
                         return other.defined() && other.same(t);
                       });
    if (written && has_gradient) {
      const Tensor history = alias(t);
      attach_output(node, nr, history);
      wrote(node->name(), t, history);
    } else {
      if (taken) {  // a tensor with a place of its own in the graph: what comes out is a view of it
        const GradMode off(false);
        t = ops::alias_view(t);
        results[i] = object_of(t);
      }
      if (has_gradient) attach_output(node, nr, t);
    }
    made[i] = t;
  }

  auto list = make<SavedList>();
  list->name = node->name();
  list->node = node.get();
  for (const py::handle o : to_save) {
    if (!is_tensor(o.ptr())) {
      list->saved.push_back(Saved());
      continue;
    }
    const Tensor& t = tensor_in(o);
    const auto found = std::find_if(made.begin(), made.end(), [&](const Tensor& other) {
      return other.defined() && other.same(t) && grad_fn(t) == Ptr<Node>(node);
    });
    list->saved.push_back(found == made.end()
                              ? Saved::input(t)
                              : Saved::output(t, static_cast<uint32_t>(found - made.begin())));
  }
  node->saved_ = list;
  return py::make_tuple(results, PySavedList{list});
}

// -- checkpoint ----------------------------------------------------------------------------------

struct CheckpointRun {
  Ptr<Checkpoint> checkpoint;
  std::unique_ptr<KeeperMode> mode;

  explicit CheckpointRun(const py::object& again) {
    auto held = std::make_shared<Owned>(again);
    checkpoint = make<Checkpoint>([held] {
      const py::gil_scoped_acquire gil;
      held->get()();
    });
  }
  void enter() { mode = std::make_unique<KeeperMode>(checkpoint); }
  void exit() {
    mode.reset();
    checkpoint->close();
  }
};

}  // namespace

void bind_function(PyObject* module) {
  auto m = py::reinterpret_borrow<py::module_>(module);
  py::class_<PySavedList>(m, "_SavedList", "Tensors that were saved for backward.")
      .def(
          "unpack", [](const PySavedList& s) { return s.list->unpack(); },
          "The tensors, if none was written in place since.");
  m.def("_save", &save, py::arg("name"), py::arg("tensors"), "Save tensors outside of a graph.");
  m.def("_record_function", &record_function, "Make a call of a Function part of the graph.");
  py::class_<CheckpointRun>(m, "_Checkpoint", "Within it ops save nothing: it can be run again.")
      .def(py::init<const py::object&>())
      .def("__enter__", &CheckpointRun::enter)
      .def("__exit__", [](CheckpointRun& self, const py::args&) { self.exit(); });
}

}  // namespace lamina::bindings
