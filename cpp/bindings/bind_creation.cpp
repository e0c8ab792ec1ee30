// Making tensors.

#include "bindings/args.h"
#include "bindings/bind.h"
#include "bindings/convert.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

// Every creation function ends in `dtype, device, requires_grad`, at arguments i, i + 1, i + 2.
DType dtype_or(Args& a, int i, DType otherwise) { return a.dtype(i).value_or(otherwise); }
DType dtype_or_default(Args& a, int i) { return dtype_or(a, i, ops::default_dtype()); }
Device device_of(Args& a, int i) { return a.device(i + 1).value_or(Device{}); }
Tensor finish(Args& a, int i, Tensor t) {
  if (a.flag(i + 2)) set_requires_grad(t, true);
  return t;
}

// Memory as it comes; but not every byte is a bool.
Tensor uninitialised(const Dims& sizes, DType dtype, Device device) {
  return dtype == DType::Bool ? ops::zeros(sizes, dtype, device) : empty(sizes, dtype, device);
}

DType dtype_of(Scalar s) {
  if (s.kind == Scalar::Kind::Bool) return DType::Bool;
  return s.kind == Scalar::Kind::Int ? DType::Int64 : ops::default_dtype();
}

Tensor arange(Args& a, Scalar start, Scalar end, Scalar step, int options) {
  const auto integer = [](Scalar s) { return s.kind != Scalar::Kind::Float; };
  const DType type =
      integer(start) && integer(end) && integer(step) ? DType::Int64 : ops::default_dtype();
  return finish(a, options,
                ops::arange(start, end, step, dtype_or(a, options, type), device_of(a, options)));
}

// The options of the *_like functions follow their input, at 1; returns where to make it.
struct Like {
  Dims sizes;
  DType dtype;
  Device device;
  explicit Like(Args& a, int options = 1)
      : sizes(a.tensor(0).sizes()),
        dtype(dtype_or(a, options, a.tensor(0).dtype())),
        device(a.device(options + 1).value_or(a.tensor(0).device())) {}
};

// new_zeros and its like: sizes of their own, at 1, and the rest from the tensor.
struct New : Like {
  explicit New(Args& a, int options = 2) : Like(a, options) { sizes = a.dims(1); }
};

PyObject* make_from_data(Args& a, const char* op) {
  Tensor t = tensor_from(op, a.object(0), a.dtype(1), a.device(2));
  if (a.flag(3)) set_requires_grad(t, true);
  return wrap(std::move(t));
}

PyObject* as_tensor(Args& a) {
  PyObject* data = a.object(0);
  Tensor t;
  if (is_tensor(data)) {
    t = tensor_of(data);
  } else if (has_buffer(data) && !PyFloat_CheckExact(data)) {
    t = tensor_from_buffer("as_tensor", data, false);
  } else {
    return make_from_data(a, "as_tensor");
  }
  if (a.dtype(1)) t = ops::to(t, *a.dtype(1));
  if (a.device(2)) t = ops::to(t, *a.device(2));
  return wrap(std::move(t));
}

PyObject* from_numpy(Args& a) {
  check<TypeError>(has_buffer(a.object(0)), "from_numpy: needs a NumPy array, got ",
                   Py_TYPE(a.object(0))->tp_name);
  return wrap(tensor_from_buffer("from_numpy", a.object(0), false));
}

#define OPTIONS "*, dtype? dtype=None, device? device=None, bool requires_grad=False"

constexpr Def kDefs[] = {
    def(
        "tensor(object data, " OPTIONS ")", kFunction,
        [](Args& a) { return make_from_data(a, "tensor"); },
        "A copy of `data`: a number, nested lists, an array or a tensor. Ints become int64, floats "
        "the default dtype."),
    def(
        "as_tensor(object data, dtype? dtype=None, device? device=None, bool requires_grad=False)",
        kFunction, [](Args& a) { return as_tensor(a); },
        "`data` as a tensor, without a copy where that is possible."),
    def(
        "from_numpy(object ndarray)", kFunction, [](Args& a) { return from_numpy(a); },
        "A tensor over the memory of an array; read-only if the array is."),
    def(
        "empty(*int[] size, " OPTIONS ")", kFunction,
        [](Args& a) {
          return finish(a, 1, uninitialised(a.dims(0), dtype_or_default(a, 1), device_of(a, 1)));
        },
        "Memory as it comes, not initialised."),
    def(
        "zeros(*int[] size, " OPTIONS ")", kFunction,
        [](Args& a) {
          return finish(a, 1, ops::zeros(a.dims(0), dtype_or_default(a, 1), device_of(a, 1)));
        },
        "Zeros."),
    def(
        "ones(*int[] size, " OPTIONS ")", kFunction,
        [](Args& a) {
          return finish(a, 1, ops::ones(a.dims(0), dtype_or_default(a, 1), device_of(a, 1)));
        },
        "Ones."),
    def(
        "full(int[] size, number fill_value, " OPTIONS ")", kFunction,
        [](Args& a) {
          const Scalar v = a.number(1);
          return finish(a, 2,
                        ops::full(a.dims(0), v, dtype_or(a, 2, dtype_of(v)), device_of(a, 2)));
        },
        "One value everywhere; its type decides the dtype."),
    def(
        "arange(number end, " OPTIONS ")\narange(number start, number end, number step=1, " OPTIONS
        ")",
        kFunction,
        [](Args& a) {
          return a.overload() == 0 ? arange(a, Scalar(0), a.number(0), Scalar(1), 1)
                                   : arange(a, a.number(0), a.number(1), a.number(2), 3);
        },
        "Numbers from `start` up to, not including, `end`."),
    def(
        "linspace(number start, number end, int steps, " OPTIONS ")", kFunction,
        [](Args& a) {
          return finish(a, 3,
                        ops::linspace(a.number(0).value(), a.number(1).value(), a.integer(2),
                                      dtype_or_default(a, 3), device_of(a, 3)));
        },
        "`steps` numbers evenly from `start` to `end`, both included."),
    def(
        "logspace(number start, number end, int steps, float base=10.0, " OPTIONS ")", kFunction,
        [](Args& a) {
          return finish(a, 4,
                        ops::logspace(a.number(0).value(), a.number(1).value(), a.integer(2),
                                      a.real(3), dtype_or_default(a, 4), device_of(a, 4)));
        },
        "`base` to the power of `steps` numbers evenly from `start` to `end`, both included."),
#define TRIANGLE(name, doc)                                                                      \
  def(                                                                                           \
      #name "(int row, int col, int offset=0, *, dtype? dtype=None, device? device=None)",       \
      kFunction,                                                                                 \
      [](Args& a) {                                                                              \
        return ops::name(a.integer(0), a.integer(1), a.integer(2), dtype_or(a, 3, DType::Int64), \
                         device_of(a, 3));                                                       \
      },                                                                                         \
      doc)
    TRIANGLE(tril_indices, "Rows and columns of the elements on and below a diagonal."),
    TRIANGLE(triu_indices, "Rows and columns of the elements on and above a diagonal."),
#undef TRIANGLE
    def(
        "eye(int n, int? m=None, " OPTIONS ")", kFunction,
        [](Args& a) {
          return finish(a, 2,
                        ops::eye(a.integer(0), a.maybe_integer(1).value_or(a.integer(0)),
                                 dtype_or_default(a, 2), device_of(a, 2)));
        },
        "Ones on the diagonal of an n x m matrix."),
#define LIKE(name, make, doc)                                  \
  def(                                                         \
      name "_like(Tensor input, " OPTIONS ")", kFunction,      \
      [](Args& a) {                                            \
        const Like l(a);                                       \
        return finish(a, 1, make(l.sizes, l.dtype, l.device)); \
      },                                                       \
      doc)
    LIKE("empty", uninitialised, "Memory as it comes, of the sizes and dtype of `input`."),
    LIKE("zeros", ops::zeros, "Zeros of the sizes and dtype of `input`."),
    LIKE("ones", ops::ones, "Ones of the sizes and dtype of `input`."),
#undef LIKE
    def(
        "full_like(Tensor input, number fill_value, " OPTIONS ")", kFunction,
        [](Args& a) {
          const Like l(a, 2);
          return finish(a, 2, ops::full(l.sizes, a.number(1), l.dtype, l.device));
        },
        "One value everywhere, of the sizes and dtype of `input`."),
#define NEW(name, make, doc)                                          \
  def(                                                                \
      "new_" name "(Tensor self, *int[] size, " OPTIONS ")", kMethod, \
      [](Args& a) {                                                   \
        const New n(a);                                               \
        return finish(a, 2, make(n.sizes, n.dtype, n.device));        \
      },                                                              \
      doc)
    NEW("empty", uninitialised, "Memory as it comes, of this tensor's dtype and device."),
    NEW("zeros", ops::zeros, "Zeros of this tensor's dtype and device."),
    NEW("ones", ops::ones, "Ones of this tensor's dtype and device."),
#undef NEW
    def(
        "new_tensor(Tensor self, object data, " OPTIONS ")", kMethod,
        [](Args& a) {
          return wrap(
              finish(a, 2,
                     tensor_from("new_tensor", a.object(1), dtype_or(a, 2, a.tensor(0).dtype()),
                                 a.device(3).value_or(a.tensor(0).device()))));
        },
        "A copy of `data`, of this tensor's dtype and device."),
    def(
        "new_full(Tensor self, int[] size, number fill_value, " OPTIONS ")", kMethod,
        [](Args& a) {
          const New n(a, 3);
          return finish(a, 3, ops::full(n.sizes, a.number(2), n.dtype, n.device));
        },
        "One value everywhere, of this tensor's dtype and device."),
    def(
        "set_default_dtype(dtype d) -> None", kFunction,
        [](Args& a) { ops::set_default_dtype(*a.dtype(0)); },
        "The dtype of floats from now on: float32 or float64."),
    def(
        "get_default_dtype() -> dtype", kFunction, [](Args&) { return ops::default_dtype(); },
        "The dtype that Python floats become."),
};

}  // namespace

void bind_creation() { bind<kDefs>(); }

}  // namespace lamina::bindings
