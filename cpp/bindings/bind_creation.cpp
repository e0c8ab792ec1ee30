// Making tensors, and random numbers.

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

Tensor randint(Args& a, int64_t low, int64_t high, const Dims& sizes, int options) {
  return finish(
      a, options,
      ops::randint(low, high, sizes, dtype_or(a, options, DType::Int64), device_of(a, options)));
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

// A number as 8 bytes, so that the state is a plain uint8 tensor.
Tensor rng_state() {
  const Generator::State state = default_generator().state();
  Tensor out = empty({16}, DType::UInt8);
  const uint64_t words[] = {state.seed, state.offset};
  for (int i = 0; i < 16; ++i)
    out.as<uint8_t>()[i] = static_cast<uint8_t>(words[i / 8] >> (i % 8 * 8));
  return out;
}

void set_rng_state(const Tensor& t) {
  check<ValueError>(
      t.dtype() == DType::UInt8 && t.numel() == 16 && t.contiguous() && t.device().is_cpu(),
      "set_rng_state: needs what get_rng_state returned: 16 values of uint8, got ", t, " ",
      t.dtype());
  uint64_t words[2] = {};
  for (int i = 0; i < 16; ++i) words[i / 8] |= uint64_t{t.as<uint8_t>()[i]} << (i % 8 * 8);
  default_generator().set_state({words[0], words[1]});
}

PyObject* manual_seed(Args& a) {
  PyObject* given = a.object(0);
  check<TypeError>(PyIndex_Check(given), "manual_seed: the seed must be an int, got ",
                   arrived(given));
  PyObject* seed = PyNumber_Index(given);
  if (!seed) return nullptr;
  int64_t value = 0;
  Got got = to_integer(seed, value);  // negative ones count from 2^64 down
  if (got == Got::Raised) {
    PyErr_Clear();
    value = static_cast<int64_t>(PyLong_AsUnsignedLongLong(seed));
    if (!PyErr_Occurred()) got = Got::Yes;
  }
  Py_DECREF(seed);
  if (got != Got::Yes) return nullptr;
  default_generator().manual_seed(static_cast<uint64_t>(value));
  Py_RETURN_NONE;
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
        "eye(int n, int? m=None, " OPTIONS ")", kFunction,
        [](Args& a) {
          return finish(a, 2,
                        ops::eye(a.integer(0), a.maybe_integer(1).value_or(a.integer(0)),
                                 dtype_or_default(a, 2), device_of(a, 2)));
        },
        "Ones on the diagonal of an n x m matrix."),
    def(
        "rand(*int[] size, " OPTIONS ")", kFunction,
        [](Args& a) {
          return finish(a, 1, ops::rand(a.dims(0), dtype_or_default(a, 1), device_of(a, 1)));
        },
        "Uniform in [0, 1)."),
    def(
        "randn(*int[] size, " OPTIONS ")", kFunction,
        [](Args& a) {
          return finish(a, 1, ops::randn(a.dims(0), dtype_or_default(a, 1), device_of(a, 1)));
        },
        "Standard normal."),
    def(
        "normal(float mean, float std, int[] size, " OPTIONS ")", kFunction,
        [](Args& a) {
          Tensor t = empty(a.dims(2), dtype_or_default(a, 3), device_of(a, 3));
          ops::normal_(t, a.real(0), a.real(1));
          return finish(a, 3, t);
        },
        "Normal with the given mean and standard deviation."),
    def(
        "randint(int high, int[] size, " OPTIONS
        ")\nrandint(int low, int high, int[] size, " OPTIONS ")",
        kFunction,
        [](Args& a) {
          return a.overload() == 0 ? randint(a, 0, a.integer(0), a.dims(1), 2)
                                   : randint(a, a.integer(0), a.integer(1), a.dims(2), 3);
        },
        "Integers from `low` up to, not including, `high`."),
    def(
        "randperm(int n, " OPTIONS ")", kFunction,
        [](Args& a) {
          const Tensor t = ops::randperm(a.integer(0), device_of(a, 1));
          return finish(a, 1, ops::to(t, dtype_or(a, 1, DType::Int64)));
        },
        "The numbers 0 to n - 1 in random order."),
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
    LIKE("rand", ops::rand, "Uniform in [0, 1), of the sizes and dtype of `input`."),
    LIKE("randn", ops::randn, "Standard normal, of the sizes and dtype of `input`."),
#undef LIKE
    def(
        "full_like(Tensor input, number fill_value, " OPTIONS ")", kFunction,
        [](Args& a) {
          const Like l(a, 2);
          return finish(a, 2, ops::full(l.sizes, a.number(1), l.dtype, l.device));
        },
        "One value everywhere, of the sizes and dtype of `input`."),
    def(
        "randint_like(Tensor input, int high, " OPTIONS ")\n"
        "randint_like(Tensor input, int low, int high, " OPTIONS ")",
        kFunction,
        [](Args& a) {
          const bool with_low = a.overload() == 1;
          const int options = with_low ? 3 : 2;
          const Like l(a, options);
          return finish(a, options,
                        ops::randint(with_low ? a.integer(1) : 0, a.integer(options - 1), l.sizes,
                                     l.dtype, l.device));
        },
        "Integers from `low` up to, not including, `high`, of the sizes and dtype of `input`."),
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
    def(
        "manual_seed(object seed) -> None", kFunction, [](Args& a) { return manual_seed(a); },
        "Start the random numbers at the first of `seed`."),
    def(
        "initial_seed() -> int", kFunction,
        [](Args&) -> PyObject* {
          return PyLong_FromUnsignedLongLong(default_generator().initial_seed());
        },
        "The seed that the random numbers depend on."),
    def(
        "get_rng_state()", kFunction, [](Args&) { return rng_state(); },
        "The generator's state, a uint8 tensor."),
    def(
        "set_rng_state(Tensor new_state) -> None", kFunction,
        [](Args& a) { set_rng_state(a.tensor(0)); }, "Go on from a state of get_rng_state."),
};

}  // namespace

void bind_creation() { bind<kDefs>(); }

}  // namespace lamina::bindings
