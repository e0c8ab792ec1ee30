// The graph's Python objects: nodes and hooks.
#pragma once

#include <Python.h>

#include "autograd/autograd.h"

namespace lamina::bindings {

PyObject* node_object(Ptr<Node> node);  // a new reference; None for none
bool finalizing();                      // the interpreter is on its way out: no more calls into it

// A Python callable as a hook. It takes the GIL to call, and to die.
class PyHook final : public Hook {
 public:
  // The removable handle's view of a hook; knows when the hook is gone. Guarded by the GIL.
  struct Link : RefCounted {
    PyHook* hook = nullptr;
  };

  explicit PyHook(PyObject* function, bool result_counts = true);
  ~PyHook() override;
  Tensor operator()(const Tensor& grad) override;
  int traverse(int (*visit)(void*, void*), void* context) override;
  void disable();
  const Ptr<Link>& link() const { return link_; }

 private:
  PyObject* function_;
  bool result_counts_;
  Ptr<Link> link_;
};

// Registers `function` on the gradient of the tensor object, or (after) on a leaf that has got it;
// returns the handle.
PyObject* register_python_hook(PyObject* tensor, PyObject* function, bool after);

}  // namespace lamina::bindings
