#include <pybind11/pybind11.h>

#include "bindings/args.h"
#include "bindings/bind.h"
#include "core/sharing.h"

namespace lamina::bindings {

void add_bound(PyObject* module) {
  Registry& r = registry();
  r.functions.push_back({nullptr, nullptr, 0, nullptr});
  if (add_tensor_type(module, r.methods) < 0 ||
      PyModule_AddFunctions(module, r.functions.data()) < 0)
    throw pybind11::error_already_set();
}

}  // namespace lamina::bindings

PYBIND11_MODULE(_core, m) {
  using namespace lamina::bindings;
  m.doc() = "Lamina's native core: tensors, autograd and ops.";
  m.attr("__version__") = LAMINA_VERSION;
  pybind11::register_exception_translator([](std::exception_ptr e) {
    try {
      std::rethrow_exception(e);
    } catch (const lamina::Error&) {
      raise_current();
    }
  });
  bind_types(m.ptr());
  bind_autograd(m.ptr());
  bind_function(m.ptr());
  bind_anomaly(m.ptr());
  bind_creation();
  bind_random(m.ptr());
  bind_pointwise();
  bind_inplace();
  bind_reduce();
  bind_order();
  bind_shape();
  bind_rearrange();
  bind_scatter();
  bind_product(m.ptr());
  bind_convert();
  bind_interop();
  bind_nn();
  bind_activation();
  bind_loss();
  bind_conv();
  bind_windows();
  bind_attention();
  bind_layers();
  bind_rnn();
  bind_optim();
  bind_info();
  bind_aliases();
  add_bound(m.ptr());
#if !defined(Py_GIL_DISABLED)
  lamina::host_has_lock();
#endif
}
