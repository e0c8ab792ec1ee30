// Memory shared with NumPy and everything else that speaks the buffer protocol.

#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "autograd/autograd.h"
#include "bindings/convert.h"
#include "bindings/python_tensor.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace py = pybind11;

namespace {

struct ReleaseBuffer {
  void operator()(Py_buffer* view) const {
    PyBuffer_Release(view);
    delete view;
  }
};
using BufferPtr = std::unique_ptr<Py_buffer, ReleaseBuffer>;

// The storage of a borrowed array dies on any thread; the array belongs to Python.
void give_back(void* context) noexcept {
  if (!Py_IsInitialized()) return;
  const PyGILState_STATE gil = PyGILState_Ensure();
  ReleaseBuffer()(static_cast<Py_buffer*>(context));
  PyGILState_Release(gil);
}

BufferPtr open_buffer(const char* op, PyObject* o) {
  auto* view = new Py_buffer;
  if (PyObject_GetBuffer(o, view, PyBUF_STRIDED_RO | PyBUF_FORMAT) == 0) return BufferPtr(view);
  delete view;
  PyErr_Clear();
  std::string dtype;
  if (py::hasattr(o, "dtype"))
    dtype = text::concat(" of dtype ", py::str(py::handle(o).attr("dtype")).cast<std::string>());
  raise<TypeError>(op, ": cannot read the memory of a ", Py_TYPE(o)->tp_name, dtype);
}

bool only_0_and_1(const uint8_t* data, std::span<const int64_t> sizes,
                  std::span<const int64_t> strides) {
  if (sizes.empty()) return *data <= 1;
  const int64_t n = strides[0] == 0 ? 1 : sizes[0];
  if (sizes.size() == 1 && strides[0] == 1)
    return std::all_of(data, data + n, [](uint8_t byte) { return byte <= 1; });
  for (int64_t i = 0; i < n; ++i)
    if (!only_0_and_1(data + i * strides[0], sizes.subspan(1), strides.subspan(1))) return false;
  return true;
}

}  // namespace

void check_bools(const char* op, const Tensor& t) {
  if (t.dtype() != DType::Bool || t.numel() == 0 || !t.device().is_cpu()) return;
  const auto* data = static_cast<const uint8_t*>(t.data());
  check<ValueError>(only_0_and_1(data, t.sizes(), t.strides()), op,
                    ": an array of bool holds bytes other than 0 and 1; use "
                    "array.view('uint8') != 0");
}

Tensor tensor_from_buffer(const char* op, PyObject* array, bool copy, bool may_copy) {
  BufferPtr view = open_buffer(op, array);
  const DType dtype = dtype_of_format(op, view->format, view->itemsize);
  const int64_t size = item_size(dtype);
  check<ValueError>(view->ndim <= kMaxRank, op, ": a tensor has at most ", kMaxRank,
                    " dimensions, got ", view->ndim);
  Dims sizes, strides;
  bool shareable = view->buf != nullptr && reinterpret_cast<uintptr_t>(view->buf) % size == 0;
  for (int i = 0; i < view->ndim; ++i) {
    sizes.push_back(view->shape[i]);
    const int64_t stride = view->strides[i];
    // Negative strides, and fields of records, have no tensor that shows them.
    shareable = shareable && stride >= 0 && stride % size == 0;
    strides.push_back(stride / size);
  }
  check<ValueError>(shareable || may_copy || view->len == 0, op,
                    ": memory of this layout needs a copy, but copy=False was asked for");
  if (copy || !shareable) {
    Tensor out = empty(sizes, dtype);
    if (out.numel() > 0 && PyBuffer_ToContiguous(out.data(), view.get(), view->len, 'C') < 0)
      throw py::error_already_set();
    check_bools(op, out);
    return out;
  }
  auto impl = make<TensorImpl>();
  const bool writable = !view->readonly;
  void* data = view->buf;
  const auto bytes = static_cast<size_t>(strided_extent(sizes, strides) * size);
  impl->storage = make<Storage>(Device{}, data, bytes, give_back, view.release(), writable);
  impl->sizes = sizes;
  impl->strides = strides;
  impl->numel = checked_numel(sizes);
  impl->dtype = dtype;
  impl->contiguous = is_contiguous(sizes, strides);
  Tensor out(std::move(impl));
  check_bools(op, out);
  return out;
}

PyObject* to_numpy(PyObject* tensor) {
  const Tensor& t = tensor_of(tensor);
  check<TypeError>(t.device().is_cpu(), "numpy: the tensor is on ", t.device(),
                   "; use tensor.cpu().numpy()");
  check<RuntimeError>(!requires_grad(t),
                      "numpy: the tensor requires grad, which NumPy would lose; use "
                      "tensor.detach().numpy()");
  const auto view = py::reinterpret_steal<py::object>(PyMemoryView_FromObject(tensor));
  if (!view) throw py::error_already_set();
  return py::module_::import("numpy").attr("asarray")(view).release().ptr();
}

// -- the other direction: a tensor as a buffer ---------------------------------------------------

namespace {

// What an exported buffer needs for as long as it is out.
struct Export {
  Ptr<Storage> storage;
  Py_ssize_t sizes[kMaxRank], strides[kMaxRank];
};

// Whether the first index is the one that runs along memory.
bool in_fortran_order(const Tensor& t) {
  Dims sizes, strides;
  for (int i = t.rank(); i-- > 0;) {
    sizes.push_back(t.size(i));
    strides.push_back(t.stride(i));
  }
  return is_contiguous(sizes, strides);
}

int get_buffer(PyObject* self, Py_buffer* view, int flags) {
  view->obj = nullptr;
  const Tensor& t = tensor_of(self);
  const char* refusal = nullptr;
  const auto wants = [flags](int kind) { return (flags & kind) == kind; };
  if (!t.device().is_cpu())
    refusal = "tensor: memory of another device has no buffer; use tensor.cpu()";
  else if (requires_grad(t))
    refusal = "tensor: requires grad, which a buffer would lose; use tensor.detach()";
  else if ((flags & PyBUF_WRITABLE) && !t.storage().writable())
    refusal = "tensor: its memory is read-only";
  else if (!t.contiguous() && !wants(PyBUF_STRIDES))
    refusal = "tensor: it is not contiguous";
  else if (wants(PyBUF_C_CONTIGUOUS) && !t.contiguous())
    refusal = "tensor: it is not contiguous";
  else if (wants(PyBUF_F_CONTIGUOUS) && !in_fortran_order(t))
    refusal = "tensor: it is not in Fortran's order";
  else if (wants(PyBUF_ANY_CONTIGUOUS) && !t.contiguous() && !in_fortran_order(t))
    refusal = "tensor: it is not contiguous";
  if (refusal) {
    PyErr_SetString(PyExc_BufferError, refusal);
    return -1;
  }
  auto* out = new Export;
  out->storage = t.impl()->storage;
  const int64_t size = item_size(t.dtype());
  for (int i = 0; i < t.rank(); ++i) {
    out->sizes[i] = t.size(i);
    out->strides[i] = t.stride(i) * size;
  }
  view->buf = t.data();
  view->len = t.numel() * size;
  view->itemsize = size;
  view->readonly = !t.storage().writable();
  view->ndim = t.rank();
  view->format = (flags & PyBUF_FORMAT) ? const_cast<char*>(format_of_dtype(t.dtype())) : nullptr;
  view->shape = (flags & PyBUF_ND) ? out->sizes : nullptr;
  view->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? out->strides : nullptr;
  view->suboffsets = nullptr;
  view->internal = out;
  view->obj = Py_NewRef(self);
  return 0;
}

void release_buffer(PyObject*, Py_buffer* view) { delete static_cast<Export*>(view->internal); }

}  // namespace

void add_buffer_slots(std::vector<PyType_Slot>& slots) {
  slots.push_back({Py_bf_getbuffer, reinterpret_cast<void*>(get_buffer)});
  slots.push_back({Py_bf_releasebuffer, reinterpret_cast<void*>(release_buffer)});
}

}  // namespace lamina::bindings
