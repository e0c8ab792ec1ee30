// Single Python objects to C++ values.
#pragma once

#include <Python.h>

#include <optional>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/dtype.h"
#include "core/shape.h"
#include "core/tensor.h"
#include "ops/scalar.h"

namespace lamina::bindings {

// What became of a conversion. Raised: a Python error is set (an int that is too large, say).
enum class Got : uint8_t { Yes, No, Raised };

// int, float, bool, NumPy scalars and 0-d arrays; anything else with __index__ or __float__ that is
// not a tensor.
Got to_scalar(PyObject* o, Scalar& out);
Got to_real(PyObject* o, double& out);
Got to_integer(PyObject* o, int64_t& out);  // bools and floats are not integers here
Got to_flag(PyObject* o, bool& out);
Got to_dtype(PyObject* o, DType& out);
Got to_generator(PyObject* o, const void*& out);  // the address of a Generator
Got to_device(PyObject* o, Device& out);          // a device or a text such as "cuda:0"
// One int, or a list or tuple of at most kMaxRank.
Got to_ints(PyObject* o, int64_t* out, int& count);
// The single element of a tensor.
Scalar item(const char* op, const Tensor& t);

PyObject* from_scalar(const Scalar& s);
PyObject* dtype_object(DType t);                        // borrowed
PyObject* device_object(Device device);                 // a new reference
PyObject* size_object(std::span<const int64_t> sizes);  // lamina.Size, a new reference
bool is_size(PyObject* o);

// The name of an object's type for error texts, with advice for what should have been a tensor.
std::string arrived(PyObject* o);

// The dtype behind a buffer's format; raises TypeError in the name of `op` for one that we lack.
DType dtype_of_format(const char* op, const char* format, Py_ssize_t item_size);
const char* format_of_dtype(DType t);

// -- tensors from data (data.cpp) ----------------------------------------------------------------

// A copy of nested sequences, numbers, arrays or tensors.
Tensor tensor_from(const char* op, PyObject* data, std::optional<DType> dtype,
                   std::optional<Device> device);
// Shares the memory of an array where that is possible and `copy` is not asked for; where it is not
// possible, copies, or raises unless `may_copy`.
Tensor tensor_from_buffer(const char* op, PyObject* array, bool copy, bool may_copy = true);
// Refuses memory from outside that C++ could not read as bool.
void check_bools(const char* op, const Tensor& t);
bool has_buffer(PyObject* o);  // an array or NumPy scalar; not bytes, not a tensor

PyObject* to_list(const Tensor& t);
PyObject* to_numpy(PyObject* tensor);
Tensor on_host(const Tensor& t);  // itself on the CPU, else a copy there

}  // namespace lamina::bindings
