// What the process runs on, and its memory.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings/args.h"
#include "bindings/bind.h"
#include "core/allocator.h"
#include "core/cpu_isa.h"
#include "core/parallel.h"
#include "cuda_info.h"

namespace lamina::bindings {

namespace py = pybind11;
using namespace py::literals;  // NOLINT

namespace {

PyObject* release(py::object o) { return o.release().ptr(); }

PyObject* signatures() {
  py::list out;
  for (const Function* f : registry().all)
    out.append(
        py::make_tuple(f->def->signature, f->def->where & (kFunction | kMethod), f->def->doc));
  return release(out);
}

constexpr Def kDefs[] = {
    def(
        "set_num_threads(int n) -> None", kFunction,
        [](Args& a) {
          check<ValueError>(a.integer(0) >= 1 && a.integer(0) <= kMaxThreads,
                            "set_num_threads: needs 1 to ", kMaxThreads, ", got ", a.integer(0));
          set_num_threads(static_cast<int>(a.integer(0)));
        },
        "How many threads an op may use from now on."),
    def(
        "get_num_threads() -> int", kFunction,
        [](Args&) -> PyObject* { return PyLong_FromLong(num_threads()); },
        "How many threads an op may use."),
    def(
        "cpu_info() -> dict[str, Any]", kFunction,
        [](Args&) -> PyObject* {
          py::list available;
          for (const Isa isa : available_isas()) available.append(isa_name(isa));
          return release(py::dict("isa"_a = isa_name(active_isa()), "available"_a = available,
                                  "features"_a = cpu_features()));
        },
        "The instruction set in use, those there are, and the CPU's features."),
    def(
        "cuda_info() -> dict[str, Any]", kFunction,
        [](Args&) -> PyObject* {
          const CudaInfo& info = cuda_info();
          return release(py::dict("available"_a = info.available, "reason"_a = info.reason,
                                  "devices"_a = info.devices));
        },
        "Whether CUDA can be used, why not, and the names of its devices."),
    def(
        "allocator_stats() -> dict[str, int]", kFunction,
        [](Args&) -> PyObject* {
          const AllocatorStats s = allocator_stats();
          return release(py::dict("live_bytes"_a = s.live_bytes, "cached_bytes"_a = s.cached_bytes,
                                  "peak_bytes"_a = s.peak_bytes,
                                  "system_calls"_a = s.system_calls));
        },
        "Bytes in use, kept for reuse, and most ever in use; calls that asked the system."),
    def(
        "empty_cache() -> None", kFunction, [](Args&) { empty_cache(); },
        "Give memory that is kept for reuse back to the system."),
    def(
        "_signatures() -> list[tuple[str, int, str]]", kFunction,
        [](Args&) { return signatures(); },
        "What is bound: the signature, 1 for a function plus 2 for a method, the doc."),
};

}  // namespace

void bind_info() { bind<kDefs>(); }

}  // namespace lamina::bindings
