// Tensors shared with other libraries through DLPack, and the ABI that its standard lays down.
#pragma once

#include <Python.h>

#include <cstdint>
#include <optional>

#include "core/tensor.h"

namespace lamina::bindings {

namespace dlpack {

inline constexpr uint32_t kMajor = 1, kMinor = 0;

enum DeviceType : int32_t { kCpu = 1, kCuda = 2, kCudaHost = 3 };
enum TypeCode : uint8_t { kInt = 0, kUInt = 1, kFloat = 2, kBFloat = 4, kComplex = 5, kBool = 6 };
inline constexpr uint64_t kReadOnly = 1, kIsCopied = 2;  // flags

struct DLDevice {
  int32_t type, index;
};
struct DLDataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides;  // in elements; null: contiguous
  uint64_t byte_offset;
};
// What a capsule "dltensor" holds, the form of before version 1.
struct Unversioned {
  static constexpr const char *kName = "dltensor", *kUsedName = "used_dltensor";
  DLTensor tensor;
  void* context;
  void (*deleter)(Unversioned*);
};
// What a capsule "dltensor_versioned" holds.
struct Versioned {
  static constexpr const char *kName = "dltensor_versioned", *kUsedName = "used_dltensor_versioned";
  uint32_t major, minor;
  void* context;
  void (*deleter)(Versioned*);
  uint64_t flags;
  DLTensor tensor;
};

}  // namespace dlpack

// A capsule over the memory of `t`; the arguments are those of the protocol's __dlpack__, null
// where they were left out.
PyObject* to_dlpack(const Tensor& t, PyObject* stream, PyObject* max_version, PyObject* device,
                    std::optional<bool> copy);
PyObject* dlpack_device(const Tensor& t);  // (type, index)
// A tensor over the memory of a capsule, or of an object that has __dlpack__.
Tensor from_dlpack(const char* op, PyObject* o, std::optional<Device> device,
                   std::optional<bool> copy);
bool has_dlpack(PyObject* o);

}  // namespace lamina::bindings
