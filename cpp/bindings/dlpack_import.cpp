// DLPack, inwards: a tensor over the memory of another library.

#include <pybind11/pybind11.h>

#include <cstring>

#include "autograd/autograd.h"
#include "bindings/convert.h"
#include "bindings/dlpack.h"
#include "bindings/python_tensor.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace py = pybind11;
using namespace py::literals;  // NOLINT
using namespace dlpack;        // NOLINT

namespace {

// The memory goes back when its last tensor dies, on whatever thread; producers differ in whether
// their deleter takes the GIL by itself.
template <class Managed>
void give_back(void* context) noexcept {
  if (!Py_IsInitialized()) return;
  const PyGILState_STATE gil = PyGILState_Ensure();
  auto* managed = static_cast<Managed*>(context);
  if (managed->deleter) managed->deleter(managed);
  PyGILState_Release(gil);
}

DType dtype_of(const char* op, DLDataType t) {
  if (t.lanes == 1) {
    for (const DType known :
         {DType::Bool, DType::UInt8, DType::Int32, DType::Int64, DType::Float32, DType::Float64}) {
      const uint8_t code = known == DType::Bool    ? kBool
                           : known == DType::UInt8 ? kUInt
                           : is_floating(known)    ? kFloat
                                                   : kInt;
      if (t.code == code && t.bits == 8 * item_size(known)) return known;
    }
  }
  const char* kinds[] = {"int", "uint", "float", "opaque", "bfloat", "complex", "bool"};
  const std::string kind = t.code < std::size(kinds)
                               ? kinds[t.code]
                               : text::concat("type code ", int{t.code}, ", bits ");
  raise<TypeError>(op, ": no dtype for ", kind, int{t.bits},
                   t.lanes == 1 ? "" : " in vectors (lanes)",
                   "; convert it to bool, uint8, int32, int64, float32 or float64 first");
}

Device device_of(const char* op, int64_t type, int64_t index) {
  if (type == kCpu || type == kCudaHost) return {};
  check<RuntimeError>(type == kCuda && index >= 0 && index < 100, op,
                      ": the data is on a device that lamina does not have (DLPack type ", type,
                      "); move it to the CPU first");
  const Device device{DeviceKind::Cuda, static_cast<int8_t>(index)};
  allocator(device.kind);  // refuses, with what to do, in a build without CUDA
  return device;
}

// The sizes and strides of a tensor, and the span of memory that they reach, checked for overflow.
struct Layout {
  Dims sizes, strides;
  int64_t extent = 1;
  bool forwards = true;

  Layout(const char* op, const DLTensor& t) {
    check<ValueError>(t.ndim >= 0 && t.ndim <= kMaxRank, op, ": a tensor has 0 to ", kMaxRank,
                      " dimensions, got ", t.ndim);
    for (int i = 0; i < t.ndim; ++i) sizes.push_back(t.shape[i]);
    const bool empty = checked_numel(sizes) == 0;
    const Dims dense = contiguous_strides(sizes);
    bool overflow = false;
    for (int i = 0; i < t.ndim; ++i) {
      // The step over a single element may be anything.
      const int64_t step = t.strides && sizes[i] > 1 && !empty ? t.strides[i] : dense[i];
      strides.push_back(step);
      forwards = forwards && step >= 0;
      int64_t reach = 0;
      overflow =
          overflow || __builtin_mul_overflow(step, std::max<int64_t>(sizes[i], 1) - 1, &reach);
      overflow = overflow || reach == INT64_MIN ||
                 __builtin_add_overflow(extent, reach < 0 ? -reach : reach, &extent);
    }
    check<ValueError>(!overflow && extent < (int64_t{1} << 59), op,
                      ": its strides reach further than memory does");
  }
};

// Elements of any strides, negative ones too, one after the other.
void gather(char*& to, const char* from, const Layout& layout, int dim, int64_t item) {
  if (dim == layout.sizes.rank()) {
    std::memcpy(to, from, static_cast<size_t>(item));
    to += item;
    return;
  }
  for (int64_t i = 0; i < layout.sizes[dim]; ++i)
    gather(to, from + i * layout.strides[dim] * item, layout, dim + 1, item);
}

template <class Managed>
bool read_only(const Managed& managed) {
  if constexpr (std::is_same_v<Managed, Versioned>)
    return (managed.flags & kReadOnly) != 0;
  else
    return false;
}

// The capsule stays unused, and its own destructor frees it, until nothing can fail any more.
template <class Managed>
Tensor adopt(const char* op, PyObject* capsule, std::optional<bool> copy) {
  auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule, Managed::kName));
  if (!managed) throw py::error_already_set();
  if constexpr (std::is_same_v<Managed, Versioned>)
    check<RuntimeError>(managed->major == kMajor, op, ": the data comes in version ",
                        managed->major, ".", managed->minor, " of DLPack; lamina reads version ",
                        kMajor);
  const DLTensor& theirs = managed->tensor;
  const DType dtype = dtype_of(op, theirs.dtype);
  const Device device = device_of(op, theirs.device.type, theirs.device.index);
  const Layout layout(op, theirs);
  const int64_t item = item_size(dtype);
  char* data = static_cast<char*>(theirs.data) + theirs.byte_offset;
  const bool aligned = reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(item) == 0;
  const bool nothing = checked_numel(layout.sizes) == 0;
  const bool shareable = layout.forwards && aligned;
  check<ValueError>(shareable || nothing || copy.value_or(true), op, ": ",
                    aligned ? "a negative stride" : "memory that is not aligned",
                    " needs a copy, but copy=False was asked for");
  check<RuntimeError>(nothing || theirs.data, op, ": the data has no address");
  if (nothing || (!shareable && device.is_cpu())) {
    Tensor out = empty(layout.sizes, dtype, device);
    if (!nothing) {
      auto* to = static_cast<char*>(out.data());
      gather(to, data, layout, 0, item);
      check_bools(op, out);
    }
    return out;  // the capsule goes its way
  }
  check<RuntimeError>(shareable, op, ": the data of another device must be aligned and forwards");
  auto impl = make<TensorImpl>();
  impl->sizes = layout.sizes;
  impl->strides = layout.strides;
  impl->numel = checked_numel(layout.sizes);
  impl->dtype = dtype;
  impl->contiguous = is_contiguous(layout.sizes, layout.strides);
  if (PyCapsule_SetName(capsule, Managed::kUsedName) != 0) throw py::error_already_set();
  impl->storage = make<Storage>(device, data, static_cast<size_t>(layout.extent * item),
                                give_back<Managed>, managed, !read_only(*managed));
  Tensor out(std::move(impl));
  check_bools(op, out);
  return out;
}

Tensor from_capsule(const char* op, PyObject* capsule, std::optional<bool> copy) {
  if (PyCapsule_IsValid(capsule, Versioned::kName)) return adopt<Versioned>(op, capsule, copy);
  if (PyCapsule_IsValid(capsule, Unversioned::kName)) return adopt<Unversioned>(op, capsule, copy);
  const char* name = PyCapsule_GetName(capsule);
  PyErr_Clear();
  const std::string_view arrived = name ? name : "";
  check<RuntimeError>(!arrived.starts_with("used_dltensor"), op,
                      ": the capsule was consumed before; each can be used once, ask its producer "
                      "for another");
  raise<TypeError>(op, ": needs a capsule 'dltensor' or 'dltensor_versioned', got '", arrived, "'");
}

// Asks for version 1 first; producers of before do not know the argument.
py::object capsule_from(const char* op, const py::object& producer, bool cuda,
                        std::optional<Device> device, std::optional<bool> copy) {
  py::dict options("max_version"_a = py::make_tuple(kMajor, kMinor));
  py::dict old;
  if (cuda) {
    options["stream"] = 1;
    old["stream"] = 1;
  }
  if (device && device->is_cpu() && cuda) options["dl_device"] = py::make_tuple(int{kCpu}, 0);
  if (copy) options["copy"] = *copy;
  const py::object method = producer.attr("__dlpack__");
  py::object capsule;
  try {
    capsule = method(**options);
  } catch (py::error_already_set& e) {
    if (!e.matches(PyExc_TypeError)) throw;
    capsule = method(**old);
  }
  check<TypeError>(PyCapsule_CheckExact(capsule.ptr()), op, ": __dlpack__ of a ",
                   Py_TYPE(producer.ptr())->tp_name, " returned no capsule but a ",
                   Py_TYPE(capsule.ptr())->tp_name);
  return capsule;
}

}  // namespace

bool has_dlpack(PyObject* o) {
  return PyCapsule_CheckExact(o) || (PyObject_HasAttrString(o, "__dlpack__") &&
                                     PyObject_HasAttrString(o, "__dlpack_device__"));
}

Tensor from_dlpack(const char* op, PyObject* o, std::optional<Device> device,
                   std::optional<bool> copy) {
  check<TypeError>(has_dlpack(o), op,
                   ": needs an object with __dlpack__ and __dlpack_device__, or "
                   "a capsule of it, got ",
                   arrived(o));
  Tensor out;
  bool fresh = false;
  if (is_tensor(o)) {  // one of ours: keep its storage, and with it the count of writes
    const Tensor& t = tensor_of(o);
    check<RuntimeError>(!requires_grad(t), op, ": the tensor requires grad; use tensor.detach()");
    out = alias(t);
  } else if (PyCapsule_CheckExact(o)) {
    out = from_capsule(op, o, copy);
  } else {
    const auto producer = py::reinterpret_borrow<py::object>(o);
    const py::object place = producer.attr("__dlpack_device__")();
    int64_t where[kMaxRank] = {};
    int count = 0;
    if (!PyTuple_Check(place.ptr()) || to_ints(place.ptr(), where, count) != Got::Yes ||
        count != 2) {
      PyErr_Clear();
      raise<TypeError>(op, ": __dlpack_device__ must return two ints, got ", arrived(place.ptr()));
    }
    device_of(op, where[0], where[1]);
    const py::object capsule = capsule_from(op, producer, where[0] == kCuda, device, copy);
    fresh = PyCapsule_IsValid(capsule.ptr(), Versioned::kName) &&
            (static_cast<Versioned*>(PyCapsule_GetPointer(capsule.ptr(), Versioned::kName))->flags &
             kIsCopied) != 0;
    out = from_capsule(op, capsule.ptr(), copy);
  }
  if (device && !(out.device() == *device)) {
    check<ValueError>(copy.value_or(true), op,
                      ": another device needs a copy, but copy=False was asked for");
    return ops::to(out, *device);
  }
  return copy.value_or(false) && !fresh ? ops::clone(out) : out;
}

}  // namespace lamina::bindings
