"""The suites: each module has ``cases(tiny)`` and, where a mean is asked for, ``GROUPS``."""

from __future__ import annotations

from types import ModuleType

from benchmarks.suites import imports, matmul, norm, optim, overhead, pointwise, step

SUITES: dict[str, ModuleType] = {
    "matmul": matmul,
    "pointwise": pointwise,
    "norm": norm,
    "optim": optim,
    "overhead": overhead,
    "step": step,
    "import": imports,
}
