#include "bindings/args.h"

#include <cstring>

#include "bindings/anomaly.h"
#include "bindings/convert.h"
#include "ops/ops.h"

namespace lamina::bindings {

const Tensor Args::kNone;

Registry& registry() {
  static Registry r;
  return r;
}

Scalar Args::number(int i) const {
  const Slot& s = slots_[i];
  switch (s.number) {
    case Scalar::Kind::Bool: return Scalar(s.i != 0);
    case Scalar::Kind::Int: return Scalar(s.i);
    default: return Scalar(s.d);
  }
}

int64_t Args::work() const {
  int64_t total = 0;
  const Tensor* first = nullptr;
  for (int i = 0; i < size(); ++i) {
    const Slot& s = slots_[i];
    if (!s.given) continue;
    const Param& param = signature_->params[static_cast<size_t>(i)];
    if (param.kind == Kind::Tensor || param.kind == Kind::Operand) {
      const Tensor& t = tensor(i);
      total += t.numel();
      if (!(where_ & kProduct)) continue;
      // A multiply-add of a GEMM costs about 1/16 of an element of a pointwise op.
      if (first)
        return first->numel() *
               (t.numel() /
                std::max<int64_t>(1, first->sizes().empty() ? 1 : first->sizes().back())) /
               16;
      first = &t;
    } else if (param.kind == Kind::Ints && param.variadic) {
      int64_t n = 1;
      for (const int64_t size : ints(i)) n *= std::clamp<int64_t>(size, 0, kWorthReleasing);
      total += std::min(n, kWorthReleasing);
    } else if (param.kind == Kind::Tensors) {
      for (const Tensor& t : tensors(i)) total += t.numel();
    }
  }
  return total;
}

// -- filling the slots ---------------------------------------------------------------------------

struct Mismatch {
  enum class Why : uint8_t { None, Raised, TooMany, Unknown, Twice, Missing, Type };
  Why why = Why::None;
  int param = 0;
  PyObject* object = nullptr;  // what arrived, or the keyword; borrowed
};

class Binding {
 public:
  Binding(Args& args, unsigned where) : a_(args) { a_.where_ = where; }

  Mismatch bind(const Signature& sig, int overload, PyObject* self, PyObject* const* args,
                Py_ssize_t nargs, PyObject* names);

 private:
  using Why = Mismatch::Why;

  Got convert(const Param& param, Slot& s, PyObject* o);
  Got convert_list(bool none_allowed, Slot& s, PyObject* o);
  Got convert_items(bool none_allowed, Slot& s, PyObject* const* items, Py_ssize_t n);
  Got convert_operand(Slot& s, PyObject* o);

  Args& a_;
};

Mismatch Binding::bind(const Signature& sig, int overload, PyObject* self, PyObject* const* args,
                       Py_ssize_t nargs, PyObject* names) {
  a_.signature_ = &sig;
  a_.overload_ = overload;
  const int n = static_cast<int>(sig.params.size());
  PyObject* objects[kMaxParams];
  std::fill_n(objects, n, nullptr);
  int next = 0;
  if (self) objects[next++] = self;
  PyObject* const* loose = nullptr;
  Py_ssize_t loose_count = 0;
  for (Py_ssize_t i = 0; i < nargs; ++i) {
    if (next >= sig.positional) return {Why::TooMany, next, args[i]};
    const Param& into = sig.params[static_cast<size_t>(next)];
    if (into.variadic && (nargs - i > 1 || (into.kind == Kind::Tensors ? is_tensor(args[i])
                                                                       : PyLong_Check(args[i])))) {
      loose = args + i;
      loose_count = nargs - i;
      break;
    }
    objects[next++] = args[i];
  }
  const Py_ssize_t keywords = names ? PyTuple_GET_SIZE(names) : 0;
  for (Py_ssize_t k = 0; k < keywords; ++k) {
    PyObject* name = PyTuple_GET_ITEM(names, k);
    int at = 0;
    while (at < n && sig.params[static_cast<size_t>(at)].name != name) ++at;
    if (at == n) {  // names in calls are interned, nearly always
      at = 0;
      while (at < n && PyUnicode_Compare(sig.params[static_cast<size_t>(at)].name, name) != 0) ++at;
    }
    if (at == n) return {Why::Unknown, 0, name};
    if (objects[at] || (loose && sig.params[static_cast<size_t>(at)].variadic))
      return {Why::Twice, at, name};
    objects[at] = args[nargs + k];
  }
  for (int i = 0; i < n; ++i) {
    const Param& param = sig.params[static_cast<size_t>(i)];
    Slot& s = a_.slots_[i];
    PyObject* o = objects[i];
    if (param.variadic && loose) {
      s.given = true;
      if (param.kind == Kind::Tensors) {
        for (Py_ssize_t k = 0; k < loose_count; ++k)
          if (!is_tensor(loose[k])) return {Why::Type, i, loose[k]};
        convert_items(false, s, loose, loose_count);
        continue;
      }
      s.count = 0;
      for (Py_ssize_t k = 0; k < loose_count; ++k) {
        if (s.count == kMaxRank) {
          PyErr_Format(PyExc_ValueError, "a tensor has at most %d dimensions, got %zd", kMaxRank,
                       loose_count);
          return {Why::Raised};
        }
        const Got got = to_integer(loose[k], s.ints[s.count]);
        if (got == Got::Raised) return {Why::Raised};
        if (got == Got::No) return {Why::Type, i, loose[k]};
        ++s.count;
      }
      continue;
    }
    if (!o) {
      if (param.required) return {Why::Missing, i};
      std::memcpy(static_cast<void*>(&s), &param.fallback, offsetof(Slot, ints));
      continue;
    }
    if (o == Py_None && param.none_allowed) {
      s.given = false;
      continue;
    }
    s.given = true;
    const Got got = convert(param, s, o);
    if (got == Got::Raised) return {Why::Raised};
    if (got == Got::No) return {Why::Type, i, o};
  }
  return {};
}

Got Binding::convert(const Param& param, Slot& s, PyObject* o) {
  switch (param.kind) {
    case Kind::Tensor:
      if (!is_tensor(o)) return Got::No;
      s.p = &tensor_of(o);
      return Got::Yes;
    case Kind::Operand: return convert_operand(s, o);
    case Kind::Number: {
      Scalar v(0.0);
      Got got = Got::Yes;
      if (is_tensor(o) && tensor_of(o).rank() == 0)
        v = item("item", tensor_of(o));
      else
        got = to_scalar(o, v);
      s.number = v.kind;
      s.i = v.i;
      s.d = v.d;
      return got;
    }
    case Kind::Float: return to_real(o, s.d);
    case Kind::Int: return to_integer(o, s.i);
    case Kind::Bool: return to_flag(o, s.flag);
    case Kind::Str:
      if (!PyUnicode_Check(o)) return Got::No;
      s.p = PyUnicode_AsUTF8(o);
      return s.p ? Got::Yes : Got::Raised;
    case Kind::DType: return to_dtype(o, s.dtype);
    case Kind::Device: {
      Device device;
      const Got got = to_device(o, device);
      s.device_kind = device.kind;
      s.device_index = device.index;
      return got;
    }
    case Kind::Ints: return to_ints(o, s.ints, s.count);
    case Kind::Tensors: return convert_list(false, s, o);
    case Kind::MaybeTensors: return convert_list(true, s, o);
    case Kind::Generator: return to_generator(o, s.p);
    case Kind::Object: s.p = o; return Got::Yes;
  }
  return Got::No;
}

Got Binding::convert_operand(Slot& s, PyObject* o) {
  if (is_tensor(o)) {
    s.p = &tensor_of(o);
    return Got::Yes;
  }
  Scalar v(0.0);
  const Got got = to_scalar(o, v);
  if (got != Got::Yes) return got;
  // A number goes to where the tensor before it is.
  const Param* params = a_.signature_->params.data();
  Device device;
  for (const Slot* other = a_.slots_; other != &s; ++other)
    if (other->given && (params[other - a_.slots_].kind == Kind::Tensor ||
                         params[other - a_.slots_].kind == Kind::Operand))
      device = static_cast<const Tensor*>(other->p)->device();
  Tensor& made = a_.numbers_[a_.made_++ % 3];
  made = ops::scalar(v, device);
  s.p = &made;
  return Got::Yes;
}

Got Binding::convert_list(bool none_allowed, Slot& s, PyObject* o) {
  if (!PyList_Check(o) && !PyTuple_Check(o)) return Got::No;
  return convert_items(none_allowed, s, PySequence_Fast_ITEMS(o), PySequence_Fast_GET_SIZE(o));
}

Got Binding::convert_items(bool none_allowed, Slot& s, PyObject* const* items, Py_ssize_t n) {
  std::vector<Tensor> list(static_cast<size_t>(n));
  for (Py_ssize_t i = 0; i < n; ++i) {
    if (is_tensor(items[i]))
      list[static_cast<size_t>(i)] = tensor_of(items[i]);
    else if (!none_allowed || items[i] != Py_None)
      return Got::No;
  }
  s.count = static_cast<int>(a_.lists_.size());
  a_.lists_.push_back(std::move(list));
  return Got::Yes;
}

// -- error texts ---------------------------------------------------------------------------------

namespace {

const char* expected(const Param& param) {
  switch (param.kind) {
    case Kind::Tensor: return "a Tensor";
    case Kind::Operand: return "a Tensor or a number";
    case Kind::Number:
    case Kind::Float: return "a number";
    case Kind::Int: return "an int";
    case Kind::Bool: return "a bool";
    case Kind::Str: return "a str";
    case Kind::DType: return "a dtype such as lamina.float32";
    case Kind::Device: return "a device such as 'cpu'";
    case Kind::Ints: return "an int or a tuple of ints";
    case Kind::Tensors: return "a list or tuple of Tensors";
    case Kind::MaybeTensors: return "a list or tuple of Tensors or None";
    case Kind::Generator: return "a lamina.Generator";
    case Kind::Object: break;
  }
  return "something else";
}

// "a list with a str in it" for the element that is wrong.
std::string arrived_as(const Param& param, PyObject* o) {
  const bool list =
      param.kind == Kind::Tensors || param.kind == Kind::MaybeTensors || param.kind == Kind::Ints;
  const bool tensor = param.kind == Kind::Tensor || param.kind == Kind::Operand;
  if (!list || !(PyList_Check(o) || PyTuple_Check(o)))
    return tensor || o == Py_None ? arrived(o) : Py_TYPE(o)->tp_name;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); ++i) {
    PyObject* element = PySequence_Fast_GET_ITEM(o, i);
    int64_t ignored;
    const bool fine =
        param.kind == Kind::Ints ? to_integer(element, ignored) == Got::Yes : is_tensor(element);
    if (!fine)
      return text::concat(Py_TYPE(o)->tp_name, " with ", arrived(element), " at position ", i);
  }
  return arrived(o);
}

// What users know it as: layers call some with their activation in it.
std::string_view shown_name(const Function& f) {
  std::string_view name = f.name;
  if (name.ends_with("_act")) name.remove_suffix(4);
  return name;
}

std::string explain(const Function& f, bool method, const Signature& sig, const Mismatch& m) {
  const auto name = [&](int i) {
    return std::string_view(PyUnicode_AsUTF8(sig.params[static_cast<size_t>(i)].name));
  };
  const std::string form = sig.text(method, f.name.c_str());
  using Why = Mismatch::Why;
  switch (m.why) {
    case Why::TooMany:
      return text::concat(f.name, ": too many positional arguments; it takes ", form);
    case Why::Unknown:
      return text::concat(f.name, ": unexpected keyword argument '", PyUnicode_AsUTF8(m.object),
                          "'; it takes ", form);
    case Why::Twice: return text::concat(f.name, ": argument '", name(m.param), "' is given twice");
    case Why::Missing:
      return text::concat(f.name, ": argument '", name(m.param), "' is missing; it takes ", form);
    default: {
      const Param& param = sig.params[static_cast<size_t>(m.param)];
      return text::concat(shown_name(f), ": argument '", name(m.param), "' must be ",
                          expected(param), param.none_allowed ? " or None" : "", ", got ",
                          arrived_as(param, m.object));
    }
  }
}

// Whether all overloads start with a tensor, and something else came.
bool no_tensor_first(const Function& f, PyObject* const* args, Py_ssize_t nargs) {
  const auto takes_tensor = [](const Signature& s) {
    return !s.params.empty() && s.params[0].kind == Kind::Tensor;
  };
  return nargs > 0 && !is_tensor(args[0]) &&
         std::all_of(f.overloads.begin(), f.overloads.end(), takes_tensor);
}

PyObject* raise_mismatch(const Function& f, PyObject* self, PyObject* const* args, Py_ssize_t nargs,
                         PyObject* names, const Mismatch& m) {
  std::string what;
  if (f.overloads.size() == 1) {
    what = explain(f, self != nullptr, f.overloads[0], m);
  } else if (!self && no_tensor_first(f, args, nargs)) {
    what = explain(f, false, f.overloads[0], {Mismatch::Why::Type, 0, args[0]});
  } else {
    what = f.name + ": takes";
    for (size_t i = 0; i < f.overloads.size(); ++i)
      what += (i ? "\n     or " : " ") + f.overloads[i].text(self != nullptr, f.name.c_str());
    what += "\n  got   (";
    const Py_ssize_t total = nargs + (names ? PyTuple_GET_SIZE(names) : 0);
    for (Py_ssize_t i = 0; i < total; ++i) {
      if (i) what += ", ";
      if (i >= nargs)
        text::append(what, text::concat(PyUnicode_AsUTF8(PyTuple_GET_ITEM(names, i - nargs)), "="));
      what += args[i] == Py_None ? "None" : Py_TYPE(args[i])->tp_name;
    }
    what += ")";
  }
  PyErr_SetString(PyExc_TypeError, what.c_str());
  return nullptr;
}

// The body, which may be a composite: an error names what the user called.
PyObject* run(const Function& f, Args& a) {
  try {
    return checks_values() ? call_watched(f, a) : f.def->body(a);
  } catch (Error& e) {
    if (!(f.def->where & kInner) && f.name[0] != '_') e.name_op(f.name);
    throw;
  }
}

}  // namespace

PyObject* call(const Function& f, PyObject* self, PyObject* const* args, Py_ssize_t nargs,
               PyObject* names) {
  nargs = PyVectorcall_NARGS(static_cast<size_t>(nargs));
  return guarded([&]() -> PyObject* {
    Args a;
    Binding binding(a, f.def->where);
    Mismatch m;
    int overload = 0;
    for (const Signature& sig : f.overloads) {
      m = binding.bind(sig, overload++, self, args, nargs, names);
      if (m.why == Mismatch::Why::None) return run(f, a);
      if (m.why == Mismatch::Why::Raised) return nullptr;
    }
    return raise_mismatch(f, self, args, nargs, names, m);
  });
}

}  // namespace lamina::bindings
