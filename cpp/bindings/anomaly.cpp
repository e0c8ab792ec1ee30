#include "bindings/anomaly.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "autograd/autograd.h"
#include "bindings/args.h"
#include "bindings/autograd_objects.h"
#include "bindings/bind.h"
#include "bindings/convert.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace py = pybind11;

namespace {

// -- values
// ----------------------------------------------------------------------------------------

struct Scan {
  Health health;
  int64_t count = 0, first = -1;  // position of the first value that is not finite
  double low = std::numeric_limits<double>::infinity(), high = -low;
};

template <class T>
Scan scan_of(const T* p, int64_t n) {
  Scan s;
  s.count = n;
  for (int64_t i = 0; i < n; ++i) {
    const double v = static_cast<double>(p[i]);
    if (std::isfinite(v)) {
      s.low = std::min(s.low, v);
      s.high = std::max(s.high, v);
      continue;
    }
    ++(std::isnan(v) ? s.health.nans : s.health.infs);
    if (s.first < 0) s.first = i;
  }
  return s;
}

Scan scan(const Tensor& t) {
  if (!t.defined() || !is_floating(t.dtype()) || t.numel() == 0) return {};
  const GradMode off(false);
  const Tensor values = ops::contiguous(on_host(detach(t)));
  return t.dtype() == DType::Float32 ? scan_of(values.as<float>(), t.numel())
                                     : scan_of(values.as<double>(), t.numel());
}

// "[2, 3] finite, from -1 to 0.5" or "[2, 3] with 1 NaN and 2 Inf, the first at [0, 2]"
std::string describe(const Tensor& t, const Scan& s) {
  if (!is_floating(t.dtype()) || t.numel() == 0) return to_text(t);
  if (s.health.fine())
    return s.low == s.high ? text::concat(t, " finite, all ", s.low)
                           : text::concat(t, " finite, from ", s.low, " to ", s.high);
  std::string what;
  if (s.health.nans) what += text::concat(s.health.nans, " NaN");
  if (s.health.nans && s.health.infs) what += " and ";
  if (s.health.infs) what += text::concat(s.health.infs, " Inf");
  Dims at = t.sizes();
  int64_t rest = s.first;
  for (int i = t.rank(); i-- > 0; rest /= t.size(i)) at[i] = rest % t.size(i);
  return text::concat(t, " with ", what, ", the first at ", at);
}

// -- places --------------------------------------------------------------------------------------

// lamina.autograd.anomaly._place(with_module): labels and texts that say where the program is.
PyObject* g_place = nullptr;

using Lines = std::vector<std::pair<std::string, std::string>>;

void append(Lines& lines, const Lines& more) {
  lines.insert(lines.end(), more.begin(), more.end());
}

void add_place(Lines& lines, bool with_module) {
  if (g_place) append(lines, py::cast<Lines>(py::handle(g_place)(with_module)));
}

// Detail lines under an error, their texts aligned.
std::string aligned(const Lines& lines) {
  size_t width = 6;
  for (const auto& [label, text] : lines) width = std::max(width, label.size());
  std::string out;
  for (const auto& [label, text] : lines)
    out += "\n  " + label + std::string(width + 1 - label.size(), ' ') + text;
  return out;
}

// What is known of a Node from when it was recorded.
struct Origin final : RefCounted {
  Lines inputs, place;
};

// -- backward ------------------------------------------------------------------------------------

class Watcher final : public Observer {
 public:
  void recorded(Node& node, std::span<const Tensor> inputs) override;
  void run(Node& node, Backward& b) override;
};

void Watcher::recorded(Node& node, std::span<const Tensor> inputs) {
  const py::gil_scoped_acquire gil;
  auto origin = make<Origin>();
  for (size_t i = 0; checks_values() && i < inputs.size(); ++i)
    if (inputs[i].defined())
      origin->inputs.emplace_back(text::concat("input ", i), describe(inputs[i], scan(inputs[i])));
  add_place(origin->place, true);
  node.origin() = origin;
}

void Watcher::run(Node& node, Backward& b) {
  const auto origin = node.origin() ? Ptr<Origin>(node.origin()) : make<Origin>();
  const size_t count = checks_values() ? node.outputs().size() : 0;
  Lines lines;
  for (size_t i = 0; i < count; ++i) {
    if (!b.grad(i).defined()) continue;
    const Scan s = scan(b.grad(i));
    lines.emplace_back("gradient", describe(b.grad(i), s));
    if (s.health.fine()) continue;
    append(lines, origin->place);
    raise<RuntimeError>(node.name(),
                        ": the gradient that arrives here is not finite, though no op made it so: "
                        "it was given to backward(), came out of a hook, or is a sum that "
                        "overflowed",
                        aligned(lines));
  }
  try {
    node.backward(b);
  } catch (Error& e) {
    e.add(aligned(origin->place));
    throw;
  }
  for (size_t i = 0; checks_values() && i < b.results().size(); ++i) {
    const Tensor& g = b.results()[i];
    const Scan s = scan(g);
    if (s.health.fine()) continue;
    append(lines, origin->inputs);
    lines.emplace_back("result", describe(g, s));
    append(lines, origin->place);
    raise<RuntimeError>(
        node.name(), ": its backward makes the first ", s.health.nans ? "NaN" : "Inf",
        ": the gradient that arrives is finite, the one for input ", i, " is not", aligned(lines));
  }
}

Watcher watcher;

}  // namespace

// -- forward
// -----------------------------------------------------------------------------------------

void ValueWatch::input(std::string label, const Tensor& t) {
  if (!t.defined()) return;
  const Scan s = scan(t);
  if (t.impl()->wrapped_number) {
    number_is_nan_ |= s.health.nans > 0;
    number_is_inf_ |= s.health.infs > 0;
  }
  std::string what = t.impl()->wrapped_number ? text::concat(item(op_, t).value()) : describe(t, s);
  inputs_.push_back({std::move(label), std::move(what), t, s.health});
}

void ValueWatch::number(double v) {
  number_is_nan_ |= std::isnan(v);
  number_is_inf_ |= std::isinf(v);
}

void ValueWatch::result(const Tensor& t) const {
  if (!t.defined() || !is_floating(t.dtype()) || inputs_.empty()) return;
  const Scan s = scan(t);
  if (s.health.fine()) return;
  bool nan_came = number_is_nan_, inf_came = number_is_inf_;
  Lines lines;
  for (const Input& input : inputs_) {
    nan_came |= input.health.nans > 0;
    inf_came |= input.health.infs > 0;
    lines.emplace_back(input.label, input.before);
  }
  // An infinity that came in is passed on by right (a mask, say); a NaN is of interest once it
  // reaches a graph. What is new is always reported.
  const bool made_nan = s.health.nans > 0 && !nan_came;
  const bool made_inf = s.health.infs > 0 && !inf_came && !nan_came;
  const bool passed_nan = s.health.nans > 0 && nan_came && !is_leaf(t);
  if (!made_nan && !made_inf && !passed_nan) return;
  lines.emplace_back("result", describe(t, s));
  add_place(lines, false);
  const char* how = passed_nan ? ": passes on a NaN that was there before: no op that was watched "
                                 "made it"
                    : made_inf && !made_nan
                        ? ": makes the first Inf: its inputs are finite, its result is not"
                    : inf_came ? ": makes the first NaN, out of an infinity among its inputs"
                               : ": makes the first NaN: its inputs are finite, its result is not";
  raise<RuntimeError>(op_, how, aligned(lines));
}

void ValueWatch::result(PyObject* o) const {
  if (is_tensor(o)) return result(tensor_of(o));
  if (!PyTuple_Check(o)) return;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(o); ++i)
    if (is_tensor(PyTuple_GET_ITEM(o, i))) result(tensor_of(PyTuple_GET_ITEM(o, i)));
}

void ValueWatch::written() const {
  for (const Input& input : inputs_) result(input.tensor);
}

PyObject* call_watched(const Function& f, Args& a) {
  // Memory as it comes is nobody's result.
  if (f.name.find("empty") != std::string::npos) return f.def->body(a);
  ValueWatch watch(f.name.c_str());
  const Signature& sig = a.signature();
  for (int i = 0; i < a.size(); ++i) {
    if (!a.has(i)) continue;
    const Param& p = sig.params[static_cast<size_t>(i)];
    const char* label = PyUnicode_AsUTF8(p.name);
    if (std::strcmp(label, "out") == 0) continue;
    if (p.kind == Kind::Tensor || p.kind == Kind::Operand) watch.input(label, a.tensor(i));
    if (p.kind == Kind::Number) watch.number(a.number(i).value());
    if (p.kind == Kind::Float) watch.number(a.real(i));
    if (p.kind == Kind::Tensors || p.kind == Kind::MaybeTensors)
      for (size_t k = 0; k < a.tensors(i).size(); ++k)
        watch.input(text::concat(label, "[", k, "]"), a.tensors(i)[k]);
  }
  PyObject* result = f.def->body(a);
  if (!result) return nullptr;
  const auto owned = py::reinterpret_steal<py::object>(result);
  if (result == Py_None)
    watch.written();
  else
    watch.result(result);
  return Py_NewRef(result);
}

void bind_anomaly(PyObject* module) {
  auto m = py::reinterpret_borrow<py::module_>(module);
  m.def(
      "_look_for_anomalies",
      [](bool on, bool check_values, const py::object& origin) {
        Py_XSETREF(g_place, Py_NewRef(origin.ptr()));
        g_checks_values = on && check_values;
        g_observer = on ? &watcher : nullptr;
      },
      "Watch every op that is recorded, and with `check_values` every result, or stop it.");
  m.def("_looks_for_anomalies", [] { return std::pair(observer() != nullptr, checks_values()); });
}

}  // namespace lamina::bindings
