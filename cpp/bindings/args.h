// Arguments of the native functions, from one line of text each:
//
//   def("sum(Tensor input, int[]? dim=None, bool keepdim=False, *, dtype? dtype=None)",
//       kFunction | kMethod,
//       [](Args& a) { return ops::sum(a.tensor(0), a.ints(1), a.flag(2), a.dtype(3)); },
//       "Sum over `dim`, by default over everything.")
//
// The line is the parser, the error text, the docstring and the entry of _core.pyi. Arguments are
// converted before the body runs, so a body touches no Python object and may run without the GIL.
// (pybind11 would answer a wrong argument with C++ types, and takes five times as long to parse.)
//
// Types: Tensor, operand (Tensor or number), number, float, int, bool, str, dtype, device, int[]
// (one int or several), *int[] (the same, or loose arguments), Tensor[], *Tensor[], Tensor?[],
// generator, object. A "?" after a type allows None. Lines of one function are overloads, tried in
// order. A dot in the name ("linalg.inv") is an underscore to Python.
#pragma once

#include <Python.h>

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "bindings/python_tensor.h"
#include "core/random.h"
#include "core/shape.h"
#include "core/sharing.h"
#include "ops/scalar.h"

namespace lamina::bindings {

inline constexpr int kMaxParams = 14;

enum class Kind : uint8_t {
  Tensor,
  Operand,
  Number,
  Float,
  Int,
  Bool,
  Str,
  DType,
  Device,
  Ints,
  Tensors,
  MaybeTensors,
  Generator,
  Object
};

// A converted argument; which members count depends on the parameter's kind.
struct Slot {
  bool given;  // false: left out, or None
  bool flag;
  DType dtype;
  DeviceKind device_kind;
  int8_t device_index;
  Scalar::Kind number;
  int count;
  int64_t i;
  double d;
  const void* p;           // Tensor, Generator, PyObject or text
  int64_t ints[kMaxRank];  // last: copying a default stops before it
};

struct Param {
  PyObject* name;
  Kind kind;
  bool none_allowed, required, keyword_only, variadic;
  Slot fallback;
  std::string default_text, default_string;
};

struct Signature {
  std::vector<Param> params;
  int positional = 0;
  std::string text(bool method, const char* name) const;
};

class Args {
 public:
  bool has(int i) const { return slots_[i].given; }
  const Tensor& tensor(int i) const {
    return slots_[i].given ? *static_cast<const Tensor*>(slots_[i].p) : kNone;
  }
  Scalar number(int i) const;
  double real(int i) const { return slots_[i].d; }
  int64_t integer(int i) const { return slots_[i].i; }
  bool flag(int i) const { return slots_[i].flag; }
  const char* text(int i) const { return static_cast<const char*>(slots_[i].p); }
  std::optional<DType> dtype(int i) const {
    return has(i) ? std::optional(slots_[i].dtype) : std::nullopt;
  }
  std::optional<Device> device(int i) const {
    const Slot& s = slots_[i];
    return s.given ? std::optional(Device{s.device_kind, s.device_index}) : std::nullopt;
  }
  std::optional<int64_t> maybe_integer(int i) const {
    return has(i) ? std::optional(slots_[i].i) : std::nullopt;
  }
  std::span<const int64_t> ints(int i) const {
    return {slots_[i].ints, static_cast<size_t>(has(i) ? slots_[i].count : 0)};
  }
  Dims dims(int i) const { return Dims(ints(i)); }
  std::span<const Tensor> tensors(int i) const {
    if (!has(i)) return {};
    return lists_[static_cast<size_t>(slots_[i].count)];
  }
  lamina::Generator* generator(int i) const {  // null: the process-wide one
    return has(i) ? static_cast<lamina::Generator*>(const_cast<void*>(slots_[i].p)) : nullptr;
  }
  PyObject* object(int i) const {  // borrowed
    return static_cast<PyObject*>(const_cast<void*>(slots_[i].p));
  }
  int overload() const { return overload_; }
  const Signature& signature() const { return *signature_; }
  int size() const { return static_cast<int>(signature_->params.size()); }

  // How much there is to do, in elements of a pointwise op, roughly.
  int64_t work() const;

 private:
  friend class Binding;
  static const Tensor kNone;

  const Signature* signature_ = nullptr;
  unsigned where_ = 0;
  int overload_ = 0;
  int made_ = 0;
  Slot slots_[kMaxParams];
  Tensor numbers_[3];  // operands that came as Python numbers
  std::vector<std::vector<Tensor>> lists_;
};

// -- results -----------------------------------------------------------------------------------

// Pairs with names: what max(x, dim) and aminmax(x) return.
struct Selected {
  std::pair<Tensor, Tensor> values_and_indices;
};
struct Extremes {
  std::pair<Tensor, Tensor> min_and_max;
};
PyObject* to_python(Tensor t);
PyObject* to_python(bool v);
PyObject* to_python(int64_t v);
PyObject* to_python(double v);
PyObject* to_python(DType v);
PyObject* to_python(const std::vector<Tensor>& tensors);  // a tuple
PyObject* to_python(std::pair<Tensor, Tensor> pair);
PyObject* to_python(Selected pair);
PyObject* to_python(Extremes pair);

// Lets other Python threads run meanwhile when the work is worth the switch (about 50 us).
inline constexpr int64_t kWorthReleasing = 1 << 16;
class MaybeRelease {
 public:
  explicit MaybeRelease(int64_t elements) {
    if (elements >= kWorthReleasing) now();
  }
  ~MaybeRelease() {
    if (!state_) return;
    PyEval_RestoreThread(state_);
    enter_host_lock();
  }
  MaybeRelease(const MaybeRelease&) = delete;
  MaybeRelease& operator=(const MaybeRelease&) = delete;

  void now() {
    if (state_) return;
    leave_host_lock();
    state_ = PyEval_SaveThread();
  }

 private:
  PyThreadState* state_ = nullptr;
};

// -- definitions -------------------------------------------------------------------------------

enum Where : unsigned {
  kFunction = 1,
  kMethod = 2,
  kProduct = 4,  // the work is that of a contraction of the first two arguments
  kInner = 8,    // an error names the op inside: one of a graph that is run, or a part of this one
};

struct Def {
  const char* signature;
  unsigned where;  // 0: not bound
  PyObject* (*body)(Args&);
  const char* doc;
};

// A body that returns PyObject* works with Python objects and keeps the GIL.
template <class F>
constexpr Def def(const char* signature, unsigned where, F, const char* doc) {
  return {signature, where,
          [](Args& a) -> PyObject* {
            using R = std::invoke_result_t<F, Args&>;
            if constexpr (std::is_same_v<R, PyObject*>) {
              return F{}(a);
            } else if constexpr (std::is_void_v<R>) {
              {
                MaybeRelease gil(a.work());
                F{}(a);
              }
              Py_RETURN_NONE;
            } else {
              R result = [&] {
                MaybeRelease gil(a.work());
                return F{}(a);
              }();
              return to_python(std::move(result));
            }
          },
          doc};
}

struct Function {
  const Def* def = nullptr;
  std::string name, attribute, doc, method_doc;  // attribute: the name without a dot
  std::vector<Signature> overloads;
};

// Everything bound so far; lives as long as the process.
struct Registry {
  std::vector<PyMethodDef> functions, methods;
  std::vector<const Function*> all;
};
Registry& registry();

void prepare(Function& function, const Def& def);
// Runs the body and looks at the values that go in and come out (anomaly.cpp).
PyObject* call_watched(const Function& function, Args& args);
PyObject* call(const Function& function, PyObject* self, PyObject* const* args, Py_ssize_t nargs,
               PyObject* names);

template <auto& Defs, size_t I>
inline Function function_of;

template <auto& Defs, size_t I, bool Method>
PyObject* entry(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* names) {
  return call(function_of<Defs, I>, Method ? self : nullptr, args, nargs, names);
}

template <auto& Defs, size_t I>
void bind_one() {
  if (Defs[I].where == 0) return;
  Function& f = function_of<Defs, I>;
  prepare(f, Defs[I]);
  Registry& r = registry();
  r.all.push_back(&f);
  const auto add = [&](std::vector<PyMethodDef>& list, auto* entry_point, const std::string& doc) {
    const auto any = reinterpret_cast<void (*)()>(entry_point);
    list.push_back({f.attribute.c_str(), reinterpret_cast<PyCFunction>(any),
                    METH_FASTCALL | METH_KEYWORDS, doc.c_str()});
  };
  if (Defs[I].where & kFunction) add(r.functions, &entry<Defs, I, false>, f.doc);
  if (Defs[I].where & kMethod) add(r.methods, &entry<Defs, I, true>, f.method_doc);
}

constexpr bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  for (const std::string_view n : names)
    if (n == name) return true;
  return false;
}

// Binds a table: bind<kReductions>().
template <auto& Defs>
void bind() {
  [&]<size_t... I>(std::index_sequence<I...>) {
    (bind_one<Defs, I>(), ...);
  }(std::make_index_sequence<std::size(Defs)>());
}

}  // namespace lamina::bindings
