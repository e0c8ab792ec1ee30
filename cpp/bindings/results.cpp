// C++ results to Python objects.

#include "bindings/args.h"
#include "bindings/convert.h"

namespace lamina::bindings {

namespace {

PyTypeObject* values_and_indices_type() {
  static PyTypeObject* const type = [] {
    static PyStructSequence_Field fields[] = {
        {"values", "the elements"}, {"indices", "where they are"}, {nullptr, nullptr}};
    static PyStructSequence_Desc desc{"lamina.values_and_indices", nullptr, fields, 2};
    return PyStructSequence_NewType(&desc);
  }();
  return type;
}

PyTypeObject* min_and_max_type() {
  static PyTypeObject* const type = [] {
    static PyStructSequence_Field fields[] = {
        {"min", "the smallest"}, {"max", "the largest"}, {nullptr, nullptr}};
    static PyStructSequence_Desc desc{"lamina.min_and_max", nullptr, fields, 2};
    return PyStructSequence_NewType(&desc);
  }();
  return type;
}

PyObject* named_pair(PyTypeObject* type, std::pair<Tensor, Tensor> pair) {
  PyObject* out = type ? PyStructSequence_New(type) : nullptr;
  if (!out) return nullptr;
  PyStructSequence_SetItem(out, 0, wrap(std::move(pair.first)));
  PyStructSequence_SetItem(out, 1, wrap(std::move(pair.second)));
  return out;
}

}  // namespace

PyObject* to_python(Tensor t) { return wrap(std::move(t)); }
PyObject* to_python(bool v) { return PyBool_FromLong(v); }
PyObject* to_python(int64_t v) { return PyLong_FromLongLong(v); }
PyObject* to_python(double v) { return PyFloat_FromDouble(v); }
PyObject* to_python(DType v) { return Py_NewRef(dtype_object(v)); }

PyObject* to_python(const std::vector<Tensor>& tensors) {
  PyObject* out = PyTuple_New(static_cast<Py_ssize_t>(tensors.size()));
  for (size_t i = 0; out && i < tensors.size(); ++i) {
    PyObject* element = wrap(tensors[i]);
    if (!element) {
      Py_DECREF(out);
      return nullptr;
    }
    PyTuple_SET_ITEM(out, static_cast<Py_ssize_t>(i), element);
  }
  return out;
}

PyObject* to_python(std::pair<Tensor, Tensor> pair) {
  return to_python(std::vector<Tensor>{std::move(pair.first), std::move(pair.second)});
}

PyObject* to_python(Selected pair) {
  return named_pair(values_and_indices_type(), std::move(pair.values_and_indices));
}
PyObject* to_python(Extremes pair) {
  return named_pair(min_and_max_type(), std::move(pair.min_and_max));
}

}  // namespace lamina::bindings
