// Looking for the op that makes the first NaN or infinity.
#pragma once

#include <Python.h>

#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace lamina::bindings {

// The only thing that an op's call looks at while nobody searches.
inline std::atomic<bool> g_checks_values{false};
inline bool checks_values() { return g_checks_values.load(std::memory_order_relaxed); }

// The values of one tensor, as far as they are out of the ordinary.
struct Health {
  int64_t nans = 0, infs = 0;
  bool fine() const { return nans == 0 && infs == 0; }
};

// One call: what goes in is noted before the op runs, since it may write there.
class ValueWatch {
 public:
  explicit ValueWatch(const char* op) : op_(op) {}
  void input(std::string label, const Tensor& t);
  void number(double v);
  // Raises RuntimeError if `t` holds what it should not.
  void result(const Tensor& t) const;
  void result(PyObject* o) const;  // a tensor, or a tuple of them
  void written() const;            // the inputs, again

 private:
  struct Input {
    std::string label, before;
    Tensor tensor;
    Health health;
  };
  const char* op_;
  std::vector<Input> inputs_;
  bool number_is_nan_ = false, number_is_inf_ = false;
};

template <class F>
[[gnu::noinline, gnu::cold]] Tensor watched(const char* op, const Tensor& x, const Tensor* y,
                                            F& f) {
  ValueWatch watch(op);
  watch.input("first", x);
  if (y) watch.input("second", *y);
  Tensor out = f();
  watch.result(out);
  return out;
}

// f(), which is the operator `op` of x and perhaps y.
template <class F>
Tensor watching(const char* op, const Tensor& x, const Tensor* y, F f) {
  return checks_values() ? watched(op, x, y, f) : f();
}

}  // namespace lamina::bindings
