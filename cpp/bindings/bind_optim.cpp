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
  std::vector<Tensor> params, state[3];
  Tensor steps;
  int64_t elements = 0;
};
constexpr const char* kGroup = "lamina.optimizer_group";

PyObject* make_group(Args& a) {
  auto group = std::make_unique<Group>();
  const auto list = [&](int i) { return std::vector(a.tensors(i).begin(), a.tensors(i).end()); };
  group->params = list(0);
  for (int i = 0; i < 3; ++i) {
    group->state[i] = list(1 + i);
    check<ValueError>(!a.has(1 + i) || group->state[i].size() == group->params.size(),
                      "optimizer_group: ", group->params.size(), " parameters but ",
                      group->state[i].size(), " tensors of state in list ", i + 1);
  }
  group->steps = a.tensor(4);
  for (const Tensor& t : group->params) group->elements += t.numel();
  PyObject* const capsule = PyCapsule_New(group.get(), kGroup, [](PyObject* o) {
    delete static_cast<Group*>(PyCapsule_GetPointer(o, kGroup));
  });
  if (capsule) group.release();
  return capsule;
}

// The step over the group at argument 0, without the GIL where that is worth it.
template <class Arguments>
PyObject* step(const char* op, void (*run)(const ops::OptimizerStep&, const Arguments&), Args& a,
               const Arguments& arguments) {
  check<TypeError>(PyCapsule_IsValid(a.object(0), kGroup), op,
                   ": argument 'group' must be what optimizer_group made");
  const Group& group = *static_cast<Group*>(PyCapsule_GetPointer(a.object(0), kGroup));
  ops::OptimizerStep s{};
  s.params = group.params;
  for (int i = 0; i < 3; ++i) s.state[i] = group.state[i];
  s.steps = group.steps;
  std::optional<ValueWatch> watch;
  if (checks_values()) [[unlikely]] {
    watch.emplace(op);
    for (size_t i = 0; i < group.params.size(); ++i)
      watch->input(text::concat("params[", i, "]"), group.params[i]);
  }
  {
    const MaybeRelease gil(group.elements);
    run(s, arguments);
  }
  if (watch) watch->written();
  Py_RETURN_NONE;
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

constexpr Def kDefs[] = {
    def(
        "optimizer_group(Tensor[] params, Tensor[]? state1, Tensor[]? state2, Tensor[]? state3, "
        "Tensor steps) -> object",
        kFunction, [](Args& a) { return make_group(a); },
        "What the steps below take: parameters, their state (SGD: momentum; Adam: averages of g "
        "and g^2, the largest of the latter; RMSprop: average of g^2, momentum, average of g) and "
        "the number of steps that each has been through."),
    def(
        "same_objects(object found, object wanted) -> bool", kFunction,
        [](Args& a) { return to_python(same_objects(a.object(0), a.object(1))); },
        "Whether a list, a tuple or a dict's values are the very objects in the tuple `wanted`."),
    def(
        "sgd_step(object group, float lr, float momentum, float dampening, float weight_decay, "
        "bool nesterov, bool maximize) -> None",
        kFunction,
        [](Args& a) {
          return step("sgd_step", ops::sgd_step, a,
                      SgdArgs{.lr = a.real(1),
                              .momentum = a.real(2),
                              .dampening = a.real(3),
                              .weight_decay = a.real(4),
                              .nesterov = a.flag(5),
                              .maximize = a.flag(6)});
        },
        "One step of SGD; parameters without gradient are skipped."),
    def(
        "adam_step(object group, float lr, float beta1, float beta2, float eps, "
        "float weight_decay, bool decoupled, bool maximize) -> None",
        kFunction,
        [](Args& a) {
          return step("adam_step", ops::adam_step, a,
                      AdamArgs{.lr = a.real(1),
                               .beta1 = a.real(2),
                               .beta2 = a.real(3),
                               .eps = a.real(4),
                               .weight_decay = a.real(5),
                               .decoupled = a.flag(6),
                               .maximize = a.flag(7)});
        },
        "One step of Adam, or of AdamW if `decoupled`; parameters without gradient are skipped."),
    def(
        "rmsprop_step(object group, float lr, float alpha, float eps, float weight_decay, "
        "float momentum, bool maximize) -> None",
        kFunction,
        [](Args& a) {
          return step("rmsprop_step", ops::rmsprop_step, a,
                      RmspropArgs{.lr = a.real(1),
                                  .alpha = a.real(2),
                                  .eps = a.real(3),
                                  .weight_decay = a.real(4),
                                  .momentum = a.real(5),
                                  .maximize = a.flag(6)});
        },
        "One step of RMSprop, centered if `grad_avgs` is given; parameters without gradient are "
        "skipped."),
    def(
        "zero_grad(Tensor[] params, bool set_to_none=True) -> None", kFunction,
        [](Args& a) { ops::zero_grad(a.tensors(0), a.flag(1)); },
        "Forget the gradients of the parameters, or make them zero."),
};

}  // namespace

void bind_optim() { bind<kDefs>(); }

}  // namespace lamina::bindings
