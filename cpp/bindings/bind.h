// The parts of the module; each is bound by one bind_*.cpp.
#pragma once

#include <pybind11/pybind11.h>

namespace lamina::bindings {

void bind_types(pybind11::module_& m);     // dtype, device, Size
void bind_autograd(pybind11::module_& m);  // the graph's nodes, hooks, and what runs it
// Tables of functions and methods (see args.h).
void bind_creation();
void bind_pointwise();
void bind_inplace();
void bind_reduce();
void bind_shape();
void bind_convert();
void bind_nn();
void bind_optim();
void bind_info();
// Makes Tensor and the functions from everything that was bound.
void add_bound(pybind11::module_& m);

}  // namespace lamina::bindings
