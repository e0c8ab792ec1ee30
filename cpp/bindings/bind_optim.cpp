// Optimizer steps: one call for a group of parameters.

#include <algorithm>
#include <memory>
#include <optional>

#include "bindings/anomaly.h"
#include "bindings/args.h"
#include "bindings/bind.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

// What an optimizer keeps for one group of parameters, converted once: every list is as long as
// `params`, or empty where the method has none.
struct Group {
  std::vector<Tensor> params, state[kUpdateStates];
  Tensor scalars;
  int64_t elements = 0;
};
constexpr const char* kGroup = "lamina.optimizer_group";

PyObject* make_group(Args& a) {
  auto group = std::make_unique<Group>();
  const auto list = [&](int i) { return std::vector(a.tensors(i).begin(), a.tensors(i).end()); };
  group->params = list(0);
  for (int i = 0; i < kUpdateStates; ++i) {
    group->state[i] = list(1 + i);
    check<ValueError>(!a.has(1 + i) || group->state[i].size() == group->params.size(),
                      "optimizer_group: ", group->params.size(), " parameters but ",
                      group->state[i].size(), " tensors of state in list ", i + 1);
  }
  group->scalars = a.tensor(4);
  for (const Tensor& t : group->params) group->elements += t.numel();
  PyObject* const capsule = PyCapsule_New(group.get(), kGroup, [](PyObject* o) {
    delete static_cast<Group*>(PyCapsule_GetPointer(o, kGroup));
  });
  if (capsule) group.release();
  return capsule;
}

const Group& group_of(const char* op, PyObject* o) {
  check<TypeError>(PyCapsule_IsValid(o, kGroup), op,
                   ": argument 'group' must be what optimizer_group made");
  return *static_cast<Group*>(PyCapsule_GetPointer(o, kGroup));
}

// run(step, factor) over the group at argument 0, without the GIL where that is worth it.
template <class F>
PyObject* over_group(const char* op, Args& a, F run) {
  const Group& group = group_of(op, a.object(0));
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
    run(s, a.real(1));
  }
  if (watch) watch->written();
  Py_RETURN_NONE;
}

// The settings are the arguments after group and factor; a bool counts as 0 or 1.
PyObject* step(const char* op, Update what, Args& a) {
  double settings[kMaxParams];
  size_t n = 0;
  for (int i = 2; i < a.size(); ++i)
    settings[n++] = a.signature().params[static_cast<size_t>(i)].kind == Kind::Bool
                        ? double(a.flag(i))
                        : a.real(i);
  return over_group(op, a, [&](const ops::OptimizerStep& s, double factor) {
    ops::optimizer_step(what, s, factor, {settings, n});
  });
}

double grad_norm(PyObject* groups) {
  check<TypeError>(PyTuple_Check(groups) || PyList_Check(groups),
                   "grad_norm: argument 'groups' must be a tuple of what optimizer_group made");
  std::vector<Tensor> params;
  int64_t elements = 0;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(groups); ++i) {
    const Group& group = group_of("grad_norm", PySequence_Fast_GET_ITEM(groups, i));
    params.insert(params.end(), group.params.begin(), group.params.end());
    elements += group.elements;
  }
  const MaybeRelease gil(elements);
  return ops::grad_norm(params);
}

// Whether two lists or tuples, or the values of a dict and a tuple, are the same objects.
bool same_objects(PyObject* found, PyObject* wanted) {
  check<TypeError>(PyTuple_Check(wanted), "same_objects: 'wanted' must be a tuple");
  const Py_ssize_t n = PyTuple_GET_SIZE(wanted);
  if (PyDict_Check(found)) {
    if (PyDict_GET_SIZE(found) != n) return false;
    PyObject *key, *value;
    Py_ssize_t i = 0;
    for (Py_ssize_t at = 0; PyDict_Next(found, &at, &key, &value);)
      if (value != PyTuple_GET_ITEM(wanted, i++)) return false;
    return true;
  }
  check<TypeError>(PyList_Check(found) || PyTuple_Check(found),
                   "same_objects: 'found' must be a dict, a list or a tuple");
  if (PySequence_Fast_GET_SIZE(found) != n) return false;
  PyObject** const items = PySequence_Fast_ITEMS(found);
  return std::equal(items, items + n, &PyTuple_GET_ITEM(wanted, 0));
}

// One step of a method over a group. `factor` multiplies the gradients as they are read: -1 goes
// up, less than 1 clips. Parameters without gradient are skipped.
#define STEP(name, what, settings, doc)                                          \
  def(                                                                           \
      name "_step(object group, float factor, " settings ") -> None", kFunction, \
      [](Args& a) { return step(name "_step", Update::what, a); }, "One step of " doc)

constexpr Def kDefs[] = {
    def(
        "optimizer_group(Tensor[] params, Tensor[]? state1, Tensor[]? state2, Tensor[]? state3, "
        "Tensor scalars) -> object",
        kFunction, [](Args& a) { return make_group(a); },
        "What the steps below take: parameters, the tensors of state that the step lists, and "
        "float64 [parameters, k] with the number of steps that each has been through first."),
    def(
        "same_objects(object found, object wanted) -> bool", kFunction,
        [](Args& a) { return to_python(same_objects(a.object(0), a.object(1))); },
        "Whether a list, a tuple or a dict's values are the very objects in the tuple `wanted`."),
    STEP("sgd", Sgd, "float lr, float momentum, float dampening, float weight_decay, bool nesterov",
         "SGD; state: momentum, or none."),
    STEP("adam", Adam,
         "float lr, float beta1, float beta2, float eps, float weight_decay, bool decoupled",
         "Adam, AdamW if `decoupled`; state: averages of g and g^2, perhaps the largest of those."),
    STEP("rmsprop", Rmsprop, "float lr, float alpha, float eps, float weight_decay, float momentum",
         "RMSprop; state: average of g^2, perhaps momentum, perhaps average of g."),
    STEP("adagrad", Adagrad, "float lr, float lr_decay, float eps, float weight_decay",
         "Adagrad; state: sum of g^2."),
    STEP("adadelta", Adadelta, "float lr, float rho, float eps, float weight_decay",
         "Adadelta; state: averages of g^2 and of squared steps."),
    STEP("adamax", Adamax, "float lr, float beta1, float beta2, float eps, float weight_decay",
         "Adamax; state: average of g, fading maximum of |g|."),
    STEP("nadam", Nadam,
         "float lr, float beta1, float beta2, float eps, float weight_decay, "
         "float momentum_decay, bool decoupled",
         "NAdam; state: averages of g and g^2; second scalar: product of the momenta."),
    STEP("radam", Radam,
         "float lr, float beta1, float beta2, float eps, float weight_decay, bool decoupled",
         "RAdam; state: averages of g and g^2."),
    STEP("asgd", Asgd, "float lr, float lambd, float alpha, float t0, float weight_decay",
         "ASGD; state: average of p; second and third scalar: eta and mu."),
    STEP("rprop", Rprop, "float eta_minus, float eta_plus, float smallest, float largest",
         "Rprop; state: last g, step sizes."),
    STEP("lion", Lion, "float lr, float beta1, float beta2, float weight_decay",
         "Lion; state: average of g."),
    def(
        "muon_step(object group, float factor, float lr, float weight_decay, float momentum, "
        "bool nesterov, float a, float b, float c, float eps, int ns_steps, "
        "bool match_rms_adamw) -> None",
        kFunction,
        [](Args& a) {
          const ops::MuonSettings settings{.lr = a.real(2),
                                           .weight_decay = a.real(3),
                                           .momentum = a.real(4),
                                           .a = a.real(6),
                                           .b = a.real(7),
                                           .c = a.real(8),
                                           .eps = a.real(9),
                                           .ns_steps = a.integer(10),
                                           .nesterov = a.flag(5),
                                           .match_rms_adamw = a.flag(11)};
          return over_group("muon_step", a, [&](const ops::OptimizerStep& s, double factor) {
            ops::muon_step(s, factor, settings);
          });
        },
        "One step of Muon over matrices; state: momentum."),
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
