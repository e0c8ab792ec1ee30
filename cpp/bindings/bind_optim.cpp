// Optimizer steps: one call for all groups of parameters.

#include <pybind11/pybind11.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "bindings/anomaly.h"
#include "bindings/args.h"
#include "bindings/bind.h"
#include "bindings/convert.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace py = pybind11;

namespace {

// What an optimizer keeps for one group of parameters, converted once: every list is as long as
// `params`, or empty where the method has none.
struct Group {
  const ops::OptimizerMethod* method;
  PyObject* settings;  // tuple: the entries of the group's dict that the method reads
  PyObject* needs;     // tuple: for each list of state None, or the entry that says if it is needed
  std::vector<Tensor> params, state[kUpdateStates];
  bool has_state[kUpdateStates];
  Tensor scalars;
  int64_t elements = 0;

  Group(const ops::OptimizerMethod* m, PyObject* settings_, PyObject* needs_)
      : method(m), settings(Py_NewRef(settings_)), needs(Py_NewRef(needs_)) {}
  ~Group() { Py_DECREF(settings), Py_DECREF(needs); }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
};
constexpr const char* kGroup = "lamina.optimizer_group";

PyObject* make_group(Args& a) {
  const ops::OptimizerMethod* const method = ops::optimizer_method(a.text(0));
  check<ValueError>(method, "optimizer_group: there is no method '", a.text(0), "'");
  check<TypeError>(PyTuple_Check(a.object(1)) && PyTuple_Check(a.object(2)),
                   "optimizer_group: 'settings' and 'needs' must be tuples");
  check<ValueError>(PyTuple_GET_SIZE(a.object(2)) <= kUpdateStates, "optimizer_group: at most ",
                    kUpdateStates, " lists of state, but 'needs' has ",
                    PyTuple_GET_SIZE(a.object(2)));
  auto group = std::make_unique<Group>(method, a.object(1), a.object(2));
  const auto list = [&](int i) { return std::vector(a.tensors(i).begin(), a.tensors(i).end()); };
  group->params = list(3);
  for (int i = 0; i < kUpdateStates; ++i) {
    group->state[i] = list(4 + i);
    group->has_state[i] = a.has(4 + i);
    check<ValueError>(!a.has(4 + i) || group->state[i].size() == group->params.size(),
                      "optimizer_group: ", group->params.size(), " parameters but ",
                      group->state[i].size(), " tensors of state in list ", i + 1);
  }
  group->scalars = a.tensor(7);
  for (const Tensor& t : group->params) group->elements += t.numel();
  PyObject* const capsule = PyCapsule_New(group.get(), kGroup, [](PyObject* o) {
    delete static_cast<Group*>(PyCapsule_GetPointer(o, kGroup));
  });
  if (capsule) group.release();
  return capsule;
}

const Group& group_of(const char* op, PyObject* o) {
  check<TypeError>(PyCapsule_IsValid(o, kGroup), op,
                   ": argument 'groups' must be a tuple of what optimizer_group made");
  return *static_cast<Group*>(PyCapsule_GetPointer(o, kGroup));
}

Py_ssize_t groups_in(const char* op, PyObject* groups) {
  check<TypeError>(PyTuple_Check(groups), op,
                   ": argument 'groups' must be a tuple of what optimizer_group made");
  return PyTuple_GET_SIZE(groups);
}

// An entry of a group's dict, borrowed; null where it has none.
PyObject* find(PyObject* dict, PyObject* key) {
  PyObject* const value = PyDict_GetItemWithError(dict, key);
  if (!value && PyErr_Occurred()) throw py::error_already_set();
  return value;
}

bool truth(PyObject* o) {
  const int yes = PyObject_IsTrue(o);
  if (yes < 0) throw py::error_already_set();
  return yes != 0;
}

// The dict of group i of n. Reading from one may run Python, which may do anything to the list: it
// is looked at anew for each, and its dict is held.
py::object dict_of(const char* op, PyObject* dicts, Py_ssize_t i, Py_ssize_t n) {
  check<TypeError>(PyList_Check(dicts) && PyList_GET_SIZE(dicts) == n, op,
                   ": argument 'param_groups' must be a list as long as 'groups'");
  PyObject* const dict = PyList_GET_ITEM(dicts, i);
  if (!PyDict_Check(dict)) [[unlikely]]
    raise<TypeError>(op, ": parameter group ", i, " must be a dict, got ", arrived(dict));
  return py::reinterpret_borrow<py::object>(dict);
}

// -- whether the groups still are what the optimizer has ---------------

// Whether a list or the values of a dict are the very objects of a tuple.
bool same_objects(PyObject* found, PyObject* wanted) {
  if (!PyTuple_Check(wanted)) return false;
  const Py_ssize_t n = PyTuple_GET_SIZE(wanted);
  if (PyDict_Check(found)) {
    if (PyDict_GET_SIZE(found) != n) return false;
    PyObject *key, *value;
    Py_ssize_t i = 0;
    for (Py_ssize_t at = 0; PyDict_Next(found, &at, &key, &value);)
      if (value != PyTuple_GET_ITEM(wanted, i++)) return false;
    return true;
  }
  if (!PyList_Check(found) || PyList_GET_SIZE(found) != n) return false;
  PyObject** const items = PySequence_Fast_ITEMS(found);
  return std::equal(items, items + n, &PyTuple_GET_ITEM(wanted, 0));
}

bool fits(const Group& group, PyObject* params, PyObject* dict) {
  static PyObject* const key = PyUnicode_InternFromString("params");
  PyObject* const now = find(dict, key);
  if (!now || !same_objects(now, params)) return false;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(group.needs); ++i) {
    PyObject* const entry = PyTuple_GET_ITEM(group.needs, i);
    PyObject* const value = Py_IsNone(entry) ? Py_True : find(dict, entry);
    if (!value || truth(value) != group.has_state[i]) return false;
  }
  return true;
}

bool all_fit(PyObject* groups, PyObject* params, PyObject* dicts, PyObject* views,
             PyObject* state) {
  constexpr const char* kOp = "optimizer_fits";
  const Py_ssize_t n = groups_in(kOp, groups);
  check<TypeError>(PyTuple_Check(params) && PyTuple_GET_SIZE(params) == n, kOp,
                   ": argument 'params' must be a tuple as long as 'groups'");
  if (!same_objects(state, views) || !PyList_Check(dicts) || PyList_GET_SIZE(dicts) != n)
    return false;
  for (Py_ssize_t i = 0; i < n; ++i)
    if (!fits(group_of(kOp, PyTuple_GET_ITEM(groups, i)), PyTuple_GET_ITEM(params, i),
              dict_of(kOp, dicts, i, n).ptr()))
      return false;
  return true;
}

// -- the step ----------------------------------------------------------

// The numbers that a group's dict has as settings, in the method's order. An entry is asked for by
// its name; as (name, n) where it is so many numbers; as (name, word) where it is a word: then the
// number is 1 if it is that one.
class Settings {
 public:
  Settings(const Group& group, PyObject* dict) : op_(ops::name_of(*group.method)) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(group.settings); ++i) {
      PyObject* name = PyTuple_GET_ITEM(group.settings, i);
      PyObject* how = nullptr;
      if (PyTuple_Check(name) && PyTuple_GET_SIZE(name) == 2) {
        how = PyTuple_GET_ITEM(name, 1);
        name = PyTuple_GET_ITEM(name, 0);
      }
      const auto value = py::reinterpret_borrow<py::object>(find(dict, name));
      if (!value) [[unlikely]]
        raise<ValueError>(op_, ": the parameter group has no entry ", repr(name));
      if (!how)
        add(name, value.ptr());
      else if (PyLong_Check(how))
        add_all(name, value.ptr(), PyLong_AsSsize_t(how));
      else
        next(name) = equal(value.ptr(), how);
    }
  }
  std::span<const double> numbers() const { return {numbers_, count_}; }

 private:
  static std::string repr(PyObject* name) { return py::repr(name).cast<std::string>(); }
  static bool equal(PyObject* a, PyObject* b) {
    const int same = PyObject_RichCompareBool(a, b, Py_EQ);
    if (same < 0) throw py::error_already_set();
    return same != 0;
  }
  double& next(PyObject* name) {
    if (count_ == std::size(numbers_)) [[unlikely]]
      raise<ValueError>(op_, ": ", repr(name), " of the parameter group has too many numbers");
    return numbers_[count_++];
  }
  void add_all(PyObject* name, PyObject* values, Py_ssize_t n) {
    const bool sequence = PyTuple_Check(values) || PyList_Check(values);
    if (!sequence || PySequence_Fast_GET_SIZE(values) != n) [[unlikely]]
      raise<ValueError>(op_, ": ", repr(name), " of the parameter group must be ", n,
                        " numbers, got ", repr(values));
    // A list may change while a number is read.
    for (Py_ssize_t k = 0; k < std::min(n, PySequence_Fast_GET_SIZE(values)); ++k)
      add(name, PySequence_Fast_GET_ITEM(values, k));
  }
  void add(PyObject* name, PyObject* value) {
    double& number = next(name);
    if (PyFloat_CheckExact(value)) {
      number = PyFloat_AS_DOUBLE(value);
      return;
    }
    const auto held = py::reinterpret_borrow<py::object>(value);  // reading it may run Python
    if (is_tensor(value)) {
      number = item(op_, tensor_of(value)).value();
      return;
    }
    const Got got = to_real(value, number);
    if (got == Got::Raised) throw py::error_already_set();
    if (got != Got::Yes) [[unlikely]]
      raise<TypeError>(op_, ": ", repr(name), " of the parameter group must be a number, got ",
                       arrived(value));
  }

  const char* op_;
  double numbers_[kMaxParams];
  size_t count_ = 0;
};

// Without the GIL where that is worth it.
void step(const Group& group, PyObject* dict, double factor) {
  static PyObject* const maximize = PyUnicode_InternFromString("maximize");
  const Settings settings(group, dict);
  if (PyObject* const up = find(dict, maximize); up && truth(up)) factor = -factor;
  const char* const op = ops::name_of(*group.method);
  ops::OptimizerStep s{};
  s.params = group.params;
  for (int i = 0; i < kUpdateStates; ++i) s.state[i] = group.state[i];
  s.scalars = group.scalars;
  std::optional<ValueWatch> watch;
  if (checks_values()) [[unlikely]] {
    watch.emplace(op);
    for (size_t i = 0; i < group.params.size(); ++i)
      watch->input(text::concat("params[", i, "]"), group.params[i]);
  }
  {
    const MaybeRelease gil(group.elements);
    ops::optimizer_step(*group.method, s, factor, settings.numbers());
  }
  if (watch) watch->written();
}

void step_all(PyObject* groups, PyObject* dicts, double factor) {
  constexpr const char* kOp = "optimizer_step";
  const Py_ssize_t n = groups_in(kOp, groups);
  for (Py_ssize_t i = 0; i < n; ++i)
    step(group_of(kOp, PyTuple_GET_ITEM(groups, i)), dict_of(kOp, dicts, i, n).ptr(), factor);
}

double grad_norm(PyObject* groups) {
  const Py_ssize_t n = groups_in("grad_norm", groups);
  std::vector<Tensor> params;
  int64_t elements = 0;
  for (Py_ssize_t i = 0; i < n; ++i) {
    const Group& group = group_of("grad_norm", PyTuple_GET_ITEM(groups, i));
    params.insert(params.end(), group.params.begin(), group.params.end());
    elements += group.elements;
  }
  const MaybeRelease gil(elements);
  return ops::grad_norm(params);
}

constexpr Def kDefs[] = {
    def(
        "optimizer_group(str method, object settings, object needs, Tensor[] params, "
        "Tensor[]? state1, Tensor[]? state2, Tensor[]? state3, Tensor scalars) -> object",
        kFunction, [](Args& a) { return make_group(a); },
        "What a step takes: the method, the names of its settings in a group's dict, for each list "
        "of state None or the name of the entry that says whether it is needed, the parameters, "
        "their state, and float64 [parameters, k] with the number of steps each has been through "
        "first."),
    def(
        "optimizer_fits(object groups, object params, object param_groups, object views, "
        "object state) -> bool",
        kFunction,
        [](Args& a) {
          return to_python(
              all_fit(a.object(0), a.object(1), a.object(2), a.object(3), a.object(4)));
        },
        "Whether an optimizer's dicts have these very parameters and views, and need this state."),
    def(
        "optimizer_step(object groups, object param_groups, float factor) -> None",
        kFunction | kInner,
        [](Args& a) -> PyObject* {
          step_all(a.object(0), a.object(1), a.real(2));
          Py_RETURN_NONE;
        },
        "One step of every group with the settings in its dict. `factor` multiplies the gradients "
        "as they are read: less than 1 clips. Parameters without a gradient are skipped."),
    def(
        "grad_norm(object groups) -> float", kFunction,
        [](Args& a) -> PyObject* { return to_python(grad_norm(a.object(0))); },
        "The norm of all gradients of the groups together."),
    def(
        "total_norm(Tensor[] tensors, float norm_type=2.0) -> Tensor", kFunction,
        [](Args& a) { return ops::total_norm(a.tensors(0), a.real(1)); },
        "The norm of the norms of all the tensors, a tensor of no dimensions."),
    def(
        "clip_grad_norm_(Tensor[] parameters, float max_norm, float norm_type=2.0, "
        "bool error_if_nonfinite=False) -> Tensor",
        kFunction,
        [](Args& a) { return ops::clip_grad_norm_(a.tensors(0), a.real(1), a.real(2), a.flag(3)); },
        "Scale the gradients down together to `max_norm`; the norm they had."),
    def(
        "clip_grads_with_norm_(Tensor[] parameters, float max_norm, float total_norm) -> None",
        kFunction, [](Args& a) { ops::clip_grads_with_norm_(a.tensors(0), a.real(1), a.real(2)); },
        "The same where the norm is known."),
    def(
        "clip_grad_value_(Tensor[] parameters, float clip_value) -> None", kFunction,
        [](Args& a) { ops::clip_grad_value_(a.tensors(0), a.real(1)); },
        "Clamp every element of the gradients to [-clip_value, clip_value]."),
    def(
        "lerp_many(Tensor[] targets, Tensor[] sources, float weight) -> None", kFunction,
        [](Args& a) { ops::lerp_many(a.tensors(0), a.tensors(1), a.real(2)); },
        "targets += weight * (sources - targets), in place."),
    def(
        "zero_grad(Tensor[] params, bool set_to_none=True) -> None", kFunction,
        [](Args& a) { ops::zero_grad(a.tensors(0), a.flag(1)); },
        "Forget the gradients of the parameters, or make them zero."),
};

}  // namespace

void bind_optim() { bind<kDefs>(); }

}  // namespace lamina::bindings
