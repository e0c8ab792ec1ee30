// DLPack, outwards: a capsule over the memory of a tensor.

#include <pybind11/pybind11.h>

#include "autograd/autograd.h"
#include "bindings/autograd_objects.h"
#include "bindings/convert.h"
#include "bindings/dlpack.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace py = pybind11;
using namespace dlpack;  // NOLINT

namespace {

// The protocol's own exception for what cannot be exported.
template <class... Parts>
void check_export(bool ok, const Parts&... parts) {
  if (ok) return;
  PyErr_SetString(PyExc_BufferError, text::concat(parts...).c_str());
  throw py::error_already_set();
}

DLDataType type_of(DType t) {
  const auto bits = static_cast<uint8_t>(8 * item_size(t));
  if (t == DType::Bool) return {kBool, bits, 1};
  if (t == DType::UInt8) return {kUInt, bits, 1};
  return {is_floating(t) ? kFloat : kInt, bits, 1};
}

DLDevice device_of(Device d) { return {d.is_cpu() ? kCpu : kCuda, d.index}; }

// Two ints out of a tuple such as (1, 0).
std::pair<int64_t, int64_t> two(const char* what, PyObject* o) {
  int64_t values[kMaxRank] = {};
  int count = 0;
  const Got got = PyTuple_Check(o) ? to_ints(o, values, count) : Got::No;
  if (got == Got::Raised) throw py::error_already_set();
  check<TypeError>(got == Got::Yes && count == 2, "__dlpack__: ", what,
                   " must be a tuple of two ints, got ", arrived(o));
  return {values[0], values[1]};
}

// What a consumer holds on to. It dies on any thread, with the GIL or without; a storage is let go
// under it (core/sharing.h), or not at all when there is none any more.
template <class Managed>
struct Export {
  Managed managed;
  Ptr<Storage> storage;
  int64_t sizes[kMaxRank], strides[kMaxRank];
};

template <class Managed>
void destroy(Managed* managed) {
  if (!Py_IsInitialized() || finalizing()) return;
  const py::gil_scoped_acquire gil;
  delete static_cast<Export<Managed>*>(managed->context);
}

// A capsule that nobody consumed still owns the tensor.
template <class Managed>
void drop_capsule(PyObject* capsule) {
  if (!PyCapsule_IsValid(capsule, Managed::kName)) return;
  auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule, Managed::kName));
  if (managed->deleter) managed->deleter(managed);
}

template <class Managed>
PyObject* capsule_of(const Tensor& t, uint64_t flags) {
  auto out = std::make_unique<Export<Managed>>();
  out->storage = t.impl()->storage;
  for (int i = 0; i < t.rank(); ++i) {
    out->sizes[i] = t.size(i);
    out->strides[i] = t.stride(i);
  }
  Managed& managed = out->managed;
  managed = {};
  managed.tensor = {t.data(),   device_of(t.device()), t.rank(), type_of(t.dtype()),
                    out->sizes, out->strides,          0};
  managed.context = out.get();
  managed.deleter = destroy<Managed>;
  if constexpr (std::is_same_v<Managed, Versioned>) {
    managed.major = kMajor;
    managed.minor = kMinor;
    managed.flags = flags;
  }
  PyObject* capsule = PyCapsule_New(&managed, Managed::kName, drop_capsule<Managed>);
  if (!capsule) throw py::error_already_set();
  out.release();  // NOLINT(bugprone-unused-return-value): the capsule's from here on
  return capsule;
}

}  // namespace

PyObject* dlpack_device(const Tensor& t) {
  const DLDevice d = device_of(t.device());
  return py::make_tuple(d.type, d.index).release().ptr();
}

PyObject* to_dlpack(const Tensor& t, PyObject* stream, PyObject* max_version, PyObject* device,
                    std::optional<bool> copy) {
  check_export(!requires_grad(t),
               "__dlpack__: the tensor requires grad, which its consumer would lose; use "
               "tensor.detach()");
  bool versioned = false;
  if (max_version) versioned = two("max_version", max_version).first >= 1;
  const DLDevice here = device_of(t.device());
  Tensor out = t;
  if (device) {
    const auto [type, index] = two("dl_device", device);
    const bool same = type == here.type && index == here.index;
    // Only the host can be reached from everywhere.
    check_export(same || type == kCpu, "__dlpack__: the tensor is on ", t.device(),
                 " and cannot be exported to device (", type, ", ", index,
                 "); move it with tensor.to(...) first");
    check_export(same || copy.value_or(true),
                 "__dlpack__: another device needs a copy, but copy=False was asked for");
    if (!same) out = ops::to(t, Device{});
  }
  int64_t stream_number = 0;
  if (stream) {
    check<TypeError>(to_integer(stream, stream_number) == Got::Yes,
                     "__dlpack__: stream must be an int or None, got ", arrived(stream));
    check<ValueError>(!out.device().is_cpu(), "__dlpack__: stream must be None on the cpu, got ",
                      stream_number);
    // All work is in the default stream, which numbers 0 and 1 both mean; -1: no order is wanted.
    check_export(stream_number >= -1 && stream_number <= 1,
                 "__dlpack__: only the default stream can consume, got stream ", stream_number);
  }
  bool copied = !out.same(t);
  if (copy.value_or(false) && !copied) {
    out = ops::clone(out);
    copied = true;
  }
  const bool writable = out.storage().writable();
  if (versioned)
    return capsule_of<Versioned>(
        out, (writable ? uint64_t{0} : kReadOnly) | (copied ? kIsCopied : uint64_t{0}));
  check_export(writable,
               "__dlpack__: the tensor's memory is read-only, which only DLPack 1.0 can say; ask "
               "for max_version=(1, 0), or use tensor.clone()");
  return capsule_of<Unversioned>(out, 0);
}

}  // namespace lamina::bindings
