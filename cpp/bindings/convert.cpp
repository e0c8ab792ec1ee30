#include "bindings/convert.h"

#include <bit>
#include <cstring>

#include "bindings/python_tensor.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

Got raised_or_no() {
  // A TypeError means "not of this kind"; anything else (OverflowError) is the user's to see.
  if (PyErr_ExceptionMatches(PyExc_TypeError)) {
    PyErr_Clear();
    return Got::No;
  }
  return Got::Raised;
}

Got long_to_integer(PyObject* o, int64_t& out) {
  out = PyLong_AsLongLong(o);
  if (out == -1 && PyErr_Occurred()) return raised_or_no();
  return Got::Yes;
}

Got index_to_integer(PyObject* o, int64_t& out) {
  PyObject* index = PyNumber_Index(o);
  if (!index) return raised_or_no();
  const Got got = long_to_integer(index, out);
  Py_DECREF(index);
  return got;
}

class BufferView {
 public:
  BufferView(PyObject* o, int flags) : ok_(PyObject_GetBuffer(o, &view_, flags) == 0) {
    if (!ok_) PyErr_Clear();
  }
  ~BufferView() {
    if (ok_) PyBuffer_Release(&view_);
  }
  BufferView(const BufferView&) = delete;
  BufferView& operator=(const BufferView&) = delete;
  explicit operator bool() const { return ok_; }
  const Py_buffer* operator->() const { return &view_; }

 private:
  Py_buffer view_;
  bool ok_;
};

// The value of a NumPy scalar or 0-d array of a dtype that we have.
Got scalar_of_buffer(PyObject* o, Scalar& out) {
  const BufferView view(o, PyBUF_STRIDED_RO | PyBUF_FORMAT);
  if (!view || view->ndim != 0) return Got::No;
  const char* format = view->format ? view->format : "B";
  const auto read = [&]<class T>(T value) {
    std::memcpy(&value, view->buf, sizeof value);
    return value;
  };
  if (*format == '>' || *format == '!') return Got::No;
  if (*format == '?') {
    out = Scalar(read(uint8_t{0}) != 0);
  } else if (*format == 'f') {
    out = Scalar(double{read(float{0})});
  } else if (*format == 'd') {
    out = Scalar(read(double{0}));
  } else if (*format == 'e' || *format == 'g') {
    const double v = PyFloat_AsDouble(o);
    if (v == -1 && PyErr_Occurred()) return raised_or_no();
    out = Scalar(v);
  } else {
    return Got::No;
  }
  return Got::Yes;
}

}  // namespace

Got to_scalar(PyObject* o, Scalar& out) {
  if (PyFloat_Check(o)) {
    out = Scalar(PyFloat_AS_DOUBLE(o));
    return Got::Yes;
  }
  if (PyBool_Check(o)) {
    out = Scalar(o == Py_True);
    return Got::Yes;
  }
  int64_t i = 0;
  if (PyLong_Check(o)) {
    const Got got = long_to_integer(o, i);
    out = Scalar(i);
    return got;
  }
  if (is_tensor(o) || PyUnicode_Check(o) || PyList_Check(o) || PyTuple_Check(o) ||
      PyComplex_Check(o))
    return Got::No;
  if (PyObject_CheckBuffer(o)) {
    const Got got = scalar_of_buffer(o, out);
    if (got != Got::No) return got;
    const BufferView view(o, PyBUF_STRIDED_RO | PyBUF_FORMAT);
    if (view && view->ndim != 0) return Got::No;
  }
  if (PyIndex_Check(o)) {
    const Got got = index_to_integer(o, i);
    out = Scalar(i);
    return got;
  }
  const PyNumberMethods* number = Py_TYPE(o)->tp_as_number;
  if (!number || !number->nb_float) return Got::No;
  const double v = PyFloat_AsDouble(o);
  if (v == -1 && PyErr_Occurred()) return raised_or_no();
  out = Scalar(v);
  return Got::Yes;
}

Got to_real(PyObject* o, double& out) {
  if (PyFloat_Check(o)) {
    out = PyFloat_AS_DOUBLE(o);
    return Got::Yes;
  }
  if (PyUnicode_Check(o) || (is_tensor(o) && tensor_of(o).numel() != 1)) return Got::No;
  out = PyFloat_AsDouble(o);
  if (out == -1 && PyErr_Occurred()) return raised_or_no();
  return Got::Yes;
}

Got to_integer(PyObject* o, int64_t& out) {
  if (PyLong_Check(o)) return PyBool_Check(o) ? Got::No : long_to_integer(o, out);
  return PyIndex_Check(o) ? index_to_integer(o, out) : Got::No;
}

Got to_flag(PyObject* o, bool& out) {
  out = o == Py_True;
  if (PyBool_Check(o)) return Got::Yes;
  Scalar s(false);
  if (PyLong_Check(o) || !PyObject_CheckBuffer(o) || scalar_of_buffer(o, s) != Got::Yes ||
      s.kind != Scalar::Kind::Bool)
    return Got::No;
  out = s.i != 0;
  return Got::Yes;
}

Got to_ints(PyObject* o, int64_t* out, int& count) {
  if (!PyList_Check(o) && !PyTuple_Check(o)) {
    count = 1;
    return to_integer(o, out[0]);
  }
  const Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
  if (n > kMaxRank) {
    PyErr_Format(PyExc_ValueError, "a tensor has at most %d dimensions, got %zd", kMaxRank, n);
    return Got::Raised;
  }
  count = static_cast<int>(n);
  for (Py_ssize_t i = 0; i < n; ++i) {
    const Got got = to_integer(PySequence_Fast_GET_ITEM(o, i), out[i]);
    if (got != Got::Yes) return got;
  }
  return Got::Yes;
}

Tensor on_host(const Tensor& t) { return t.device().is_cpu() ? t : ops::to(detach(t), Device{}); }

Scalar item(const char* op, const Tensor& t) {
  check<RuntimeError>(t.numel() == 1, op, ": needs a tensor with one element, got ", t);
  const Tensor host = on_host(t);
  return dispatch(op, host.dtype(), [&]<class T>() -> Scalar {
    const T v = *host.as<T>();
    if constexpr (std::is_same_v<T, bool>)
      return Scalar(v);
    else if constexpr (std::is_floating_point_v<T>)
      return Scalar(static_cast<double>(v));
    else
      return Scalar(static_cast<int64_t>(v));
  });
}

PyObject* from_scalar(const Scalar& s) {
  switch (s.kind) {
    case Scalar::Kind::Bool: return PyBool_FromLong(s.i != 0);
    case Scalar::Kind::Int: return PyLong_FromLongLong(s.i);
    default: return PyFloat_FromDouble(s.d);
  }
}

std::string arrived(PyObject* o) {
  if (o == Py_None) return "None";
  std::string out = Py_TYPE(o)->tp_name;
  if (PyList_Check(o) || PyTuple_Check(o))
    out += "; lamina.tensor(...) makes a Tensor of it";
  else if (out == "numpy.ndarray")
    out += "; lamina.from_numpy(...) makes a Tensor of it";
  return out;
}

// -- buffers -------------------------------------------------------------------------------------

DType dtype_of_format(const char* op, const char* format, Py_ssize_t item_size) {
  if (!format) return DType::UInt8;
  const char* code = format;
  if (*code == '@' || *code == '=' ||
      (*code == '<' && std::endian::native == std::endian::little) ||
      (*code == '>' && std::endian::native == std::endian::big))
    ++code;
  if (std::strlen(code) == 1) {
    switch (*code) {
      case '?': return DType::Bool;
      case 'B': return DType::UInt8;
      case 'f': return DType::Float32;
      case 'd': return DType::Float64;
      case 'i':
      case 'l':
      case 'q': return item_size == 8 ? DType::Int64 : DType::Int32;
      default: break;
    }
  }
  constexpr std::pair<const char*, const char*> kNames[] = {
      {"b", "int8"},   {"h", "int16"},      {"H", "uint16"},      {"I", "uint32"},
      {"L", "uint64"}, {"Q", "uint64"},     {"e", "float16"},     {"g", "long double"},
      {"O", "object"}, {"Zf", "complex64"}, {"Zd", "complex128"},
  };
  std::string name = text::concat("format '", format, "'");
  for (const auto& [text, known] : kNames)
    if (std::strcmp(text, code) == 0) name = known;
  if (*format == '>' || *format == '!') name += " (big-endian)";
  raise<TypeError>(
      op, ": no dtype for an array of ", name,
      "; convert it with .astype(...) to bool, uint8, int32, int64, float32 or float64");
}

const char* format_of_dtype(DType t) {
  switch (t) {
    case DType::Bool: return "?";
    case DType::UInt8: return "B";
    case DType::Int32: return "i";
    case DType::Int64: return sizeof(long) == 8 ? "l" : "q";
    case DType::Float32: return "f";
    default: return "d";
  }
}

bool has_buffer(PyObject* o) {
  return PyObject_CheckBuffer(o) && !PyBytes_Check(o) && !PyByteArray_Check(o) && !is_tensor(o);
}

}  // namespace lamina::bindings
