// The parts of the module; each is bound by one bind_*.cpp.
#pragma once

#include <Python.h>

namespace lamina::bindings {

void bind_types(PyObject* module);     // dtype, device, Size
void bind_autograd(PyObject* module);  // the graph's nodes, hooks, and what runs it
void bind_function(PyObject* module);  // nodes of Python's making, checkpoints
void bind_anomaly(PyObject* module);   // looking for NaN and infinities
// Tables of functions and methods (see args.h).
void bind_creation();
void bind_random(PyObject* module);  // and the type Generator
void bind_pointwise();
void bind_inplace();
void bind_reduce();
void bind_order();
void bind_shape();
void bind_rearrange();
void bind_scatter();
void bind_product(PyObject* module);  // and lamina.linalg, with its LinAlgError
void bind_convert();
void bind_interop();
void bind_nn();
void bind_activation();
void bind_loss();
void bind_conv();
void bind_windows();
void bind_attention();
void bind_layers();
void bind_rnn();
void bind_optim();
void bind_info();
void bind_aliases();  // second names of what the others bound
// Makes Tensor and the functions from everything that was bound.
void add_bound(PyObject* module);

}  // namespace lamina::bindings
