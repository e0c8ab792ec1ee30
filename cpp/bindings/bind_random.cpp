// Random numbers, and the generators that they come from.

#include <pybind11/pybind11.h>

#include "bindings/args.h"
#include "bindings/bind.h"
#include "bindings/convert.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace py = pybind11;

namespace {

// PyTorch's number for a generator that nobody has seeded.
constexpr uint64_t kFirstSeed = 67280421310721;

PyObject* default_object;  // the process-wide generator

// The state as bytes, so that it is a plain uint8 tensor.
Tensor state_of(const Generator& generator) {
  const Generator::State state = generator.state();
  Tensor out = empty({16}, DType::UInt8);
  const uint64_t words[] = {state.seed, state.offset};
  for (int i = 0; i < 16; ++i)
    out.as<uint8_t>()[i] = static_cast<uint8_t>(words[i / 8] >> (i % 8 * 8));
  return out;
}

void set_state(const char* op, Generator& generator, const Tensor& t) {
  check<ValueError>(
      t.dtype() == DType::UInt8 && t.numel() == 16 && t.contiguous() && t.device().is_cpu(), op,
      ": needs what get_", op + 4, " returned: 16 values of uint8, got ", t, " ", t.dtype());
  uint64_t words[2] = {};
  for (int i = 0; i < 16; ++i) words[i / 8] |= uint64_t{t.as<uint8_t>()[i]} << (i % 8 * 8);
  generator.set_state({words[0], words[1]});
}

// From -2^63 to 2^64 - 1; negative ones count from 2^64 down.
uint64_t seed_from(PyObject* given) {
  check<TypeError>(PyIndex_Check(given), "manual_seed: the seed must be an int, got ",
                   arrived(given));
  const auto seed = py::reinterpret_steal<py::object>(PyNumber_Index(given));
  if (!seed) throw py::error_already_set();
  int64_t value = 0;
  const Got got = to_integer(seed.ptr(), value);
  if (got == Got::Raised) {
    PyErr_Clear();
    value = static_cast<int64_t>(PyLong_AsUnsignedLongLong(seed.ptr()));
    if (PyErr_Occurred()) throw py::error_already_set();
  }
  return static_cast<uint64_t>(value);
}

// Every creation function ends in `dtype, device, requires_grad`, at arguments i, i + 1, i + 2, and
// those that draw have their generator before.
DType dtype_or(Args& a, int i, DType otherwise) { return a.dtype(i).value_or(otherwise); }
Device device_or(Args& a, int i, Device otherwise = {}) {
  return a.device(i + 1).value_or(otherwise);
}
Tensor finish(Args& a, int i, Tensor t) {
  if (a.flag(i + 2)) set_requires_grad(t, true);
  return t;
}

Tensor randint(Args& a, int64_t low, int64_t high, const Dims& sizes, int options) {
  return finish(a, options,
                ops::randint(low, high, sizes, dtype_or(a, options, DType::Int64),
                             device_or(a, options), a.generator(options - 1)));
}

Tensor normal(Args& a) {
  const double number = a.overload() == 1 ? a.real(1) : a.overload() == 2 ? a.real(0) : 0;
  switch (a.overload()) {
    case 0: return ops::normal(a.tensor(0), a.tensor(1), a.generator(2));
    case 1: return ops::normal(a.tensor(0), ops::scalar(number), a.generator(2));
    case 2: return ops::normal(ops::scalar(number), a.tensor(1), a.generator(2));
    default: break;
  }
  Tensor t = empty(a.dims(2), dtype_or(a, 4, ops::default_dtype()), device_or(a, 4));
  ops::normal_(t, a.real(0), a.real(1), a.generator(3));
  return finish(a, 4, t);
}

#define OPTIONS "dtype? dtype=None, device? device=None, bool requires_grad=False"
#define DRAWN "*, generator? generator=None"

constexpr Def kDefs[] = {
#define FILL(name, doc)                                                                           \
  def(                                                                                            \
      #name "(*int[] size, " DRAWN ", " OPTIONS ")", kFunction,                                   \
      [](Args& a) {                                                                               \
        return finish(a, 2,                                                                       \
                      ops::name(a.dims(0), dtype_or(a, 2, ops::default_dtype()), device_or(a, 2), \
                                a.generator(1)));                                                 \
      },                                                                                          \
      doc "."),                                                                                   \
      def(                                                                                        \
          #name "_like(Tensor input, *, " OPTIONS ")", kFunction,                                 \
          [](Args& a) {                                                                           \
            const Tensor& x = a.tensor(0);                                                        \
            return finish(                                                                        \
                a, 1,                                                                             \
                ops::name(x.sizes(), dtype_or(a, 1, x.dtype()), device_or(a, 1, x.device())));    \
          },                                                                                      \
          doc ", of the sizes and dtype of `input`.")
    FILL(rand, "Uniform in [0, 1)"),
    FILL(randn, "Standard normal"),
#undef FILL
    def(
        "normal(Tensor mean, Tensor std, " DRAWN ")\n"
        "normal(Tensor mean, float std=1.0, " DRAWN ")\n"
        "normal(float mean, Tensor std, " DRAWN ")\n"
        "normal(float mean, float std, int[] size, " DRAWN ", " OPTIONS ")",
        kFunction, [](Args& a) { return normal(a); },
        "Normal with the given means and standard deviations: those of tensors, or of numbers and "
        "a size."),
    def(
        "randint(int high, int[] size, " DRAWN ", " OPTIONS ")\n"
        "randint(int low, int high, int[] size, " DRAWN ", " OPTIONS ")",
        kFunction,
        [](Args& a) {
          return a.overload() == 0 ? randint(a, 0, a.integer(0), a.dims(1), 3)
                                   : randint(a, a.integer(0), a.integer(1), a.dims(2), 4);
        },
        "Integers from `low` up to, not including, `high`."),
    def(
        "randint_like(Tensor input, int high, *, " OPTIONS ")\n"
        "randint_like(Tensor input, int low, int high, *, " OPTIONS ")",
        kFunction,
        [](Args& a) {
          const int options = a.overload() == 1 ? 3 : 2;
          const Tensor& x = a.tensor(0);
          return finish(
              a, options,
              ops::randint(a.overload() == 1 ? a.integer(1) : 0, a.integer(options - 1), x.sizes(),
                           dtype_or(a, options, x.dtype()), device_or(a, options, x.device())));
        },
        "Integers from `low` up to, not including, `high`, of the sizes and dtype of `input`."),
    def(
        "randperm(int n, " DRAWN ", " OPTIONS ")", kFunction,
        [](Args& a) {
          const Tensor t = ops::randperm(a.integer(0), device_or(a, 2), a.generator(1));
          return finish(a, 2, ops::to(t, dtype_or(a, 2, DType::Int64)));
        },
        "The numbers 0 to n - 1 in random order."),
    def(
        "bernoulli(Tensor input, " DRAWN ")\nbernoulli(Tensor input, float p, " DRAWN ")",
        kFunction | kMethod,
        [](Args& a) {
          if (a.overload() == 0) return ops::bernoulli(a.tensor(0), a.generator(1));
          Tensor t = ops::empty_like(a.tensor(0));
          ops::bernoulli_(t, a.real(1), a.generator(2));
          return t;
        },
        "1 with the probability that the element is, or with probability `p`, else 0."),
    def(
        "multinomial(Tensor input, int num_samples, bool replacement=False, " DRAWN ")",
        kFunction | kMethod,
        [](Args& a) {
          return ops::multinomial(a.tensor(0), a.integer(1), a.flag(2), a.generator(3));
        },
        "Positions drawn with the weights that a 1-d input, or each row of a 2-d one, has."),
#define WRITE(name, params, write, doc)                 \
  def(                                                  \
      #name "(Tensor self, " params DRAWN ")", kMethod, \
      [](Args& a) {                                     \
        write;                                          \
        return a.tensor(0);                             \
      },                                                \
      doc)
    WRITE(uniform_, "float from=0, float to=1, ",
          ops::uniform_(a.tensor(0), a.real(1), a.real(2), a.generator(3)),
          "Write uniform random numbers from [from, to)."),
    WRITE(normal_, "float mean=0, float std=1, ",
          ops::normal_(a.tensor(0), a.real(1), a.real(2), a.generator(3)),
          "Write normal random numbers."),
#undef WRITE
    def(
        "bernoulli_(Tensor self, Tensor p, " DRAWN ")\nbernoulli_(Tensor self, float p=0.5, " DRAWN
        ")",
        kMethod,
        [](Args& a) {
          if (a.overload() == 0)
            ops::bernoulli_(a.tensor(0), a.tensor(1), a.generator(2));
          else
            ops::bernoulli_(a.tensor(0), a.real(1), a.generator(2));
          return a.tensor(0);
        },
        "Write 1 with probability p, else 0."),
    def(
        "random_(Tensor self, " DRAWN ")\nrandom_(Tensor self, int to, " DRAWN
        ")\nrandom_(Tensor self, int from, int? to, " DRAWN ")",
        kMethod,
        [](Args& a) {
          const int to = a.overload();
          ops::random_(a.tensor(0), to == 2 ? a.maybe_integer(1) : std::nullopt,
                       to > 0 ? a.maybe_integer(to) : std::nullopt, a.generator(to + 1));
          return a.tensor(0);
        },
        "Write integers from [from, to); without `to`, up to the largest that the dtype counts "
        "to."),
    def(
        "manual_seed(object seed) -> Generator", kFunction,
        [](Args& a) -> PyObject* {
          default_generator().manual_seed(seed_from(a.object(0)));
          return Py_NewRef(default_object);
        },
        "Start the random numbers at the first of `seed`."),
    def(
        "seed() -> int", kFunction,
        [](Args&) -> PyObject* { return PyLong_FromUnsignedLongLong(default_generator().seed()); },
        "Start the random numbers at a seed that can't be foreseen, and return it."),
    def(
        "initial_seed() -> int", kFunction,
        [](Args&) -> PyObject* {
          return PyLong_FromUnsignedLongLong(default_generator().initial_seed());
        },
        "The seed that the random numbers depend on."),
    def(
        "get_rng_state()", kFunction, [](Args&) { return state_of(default_generator()); },
        "The generator's state, a uint8 tensor."),
    def(
        "set_rng_state(Tensor new_state) -> None", kFunction,
        [](Args& a) { set_state("set_rng_state", default_generator(), a.tensor(0)); },
        "Go on from a state of get_rng_state."),
};

}  // namespace

Got to_generator(PyObject* o, const void*& out) {
  if (!py::isinstance<Generator>(o)) return Got::No;
  out = py::handle(o).cast<Generator*>();
  return Got::Yes;
}

void bind_random(PyObject* module) {
  auto m = py::reinterpret_borrow<py::module_>(module);
  py::class_<Generator>(m, "Generator",
                        "A stream of random numbers of its own, for the ``generator`` argument.\n\n"
                        "It starts at a fixed seed until ``manual_seed`` or ``seed`` is called.")
      .def(py::init([](const py::object& device) {
             Device d;
             const Got got = to_device(device.ptr(), d);
             if (got == Got::Raised) throw py::error_already_set();
             check<TypeError>(got == Got::Yes,
                              "Generator: device must be a device such as 'cpu', "
                              "got ",
                              arrived(device.ptr()));
             check<RuntimeError>(d.is_cpu(),
                                 "Generator: a generator lives on the CPU and serves "
                                 "every device; got ",
                                 d);
             return std::make_unique<Generator>(kFirstSeed);
           }),
           py::arg("device") = "cpu")
      .def(
          "manual_seed",
          [](const py::object& self, const py::object& seed) {
            self.cast<Generator&>().manual_seed(seed_from(seed.ptr()));
            return self;
          },
          py::arg("seed"), "Start at the first number of `seed`; returns the generator.")
      .def("seed", &Generator::seed, "Start at a seed that can't be foreseen, and return it.")
      .def("initial_seed", &Generator::initial_seed, "The seed that the numbers depend on.")
      .def(
          "get_state",
          [](const Generator& g) { return py::reinterpret_steal<py::object>(wrap(state_of(g))); },
          "The state, a uint8 tensor.")
      .def(
          "set_state",
          [](Generator& g, const py::object& state) {
            check<TypeError>(is_tensor(state.ptr()), "set_state: needs a Tensor, got ",
                             arrived(state.ptr()));
            set_state("set_state", g, tensor_of(state.ptr()));
          },
          py::arg("new_state"), "Go on from a state of get_state.")
      .def_property_readonly("device", [](const Generator&) {
        return py::reinterpret_steal<py::object>(device_object(Device{}));
      });
  default_object =
      py::cast(&default_generator(), py::return_value_policy::reference).release().ptr();
  m.attr("default_generator") = py::handle(default_object);
  bind<kDefs>();
}

}  // namespace lamina::bindings
