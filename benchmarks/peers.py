"""The libraries that are compared: found, set to the same number of threads, and given one face."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# What the command line may ask for, and the columns that it brings. "torch" is PyTorch eager with
# Adam's defaults; "torch-fused" is the same with fused=True, where there is an optimizer.
CHOICES: dict[str, tuple[str, ...]] = {
    "torch": ("torch", "torch-fused"),
    "torch-compile": ("torch-compile",),
    "jax": ("jax",),
    "numpy": ("numpy",),
    "sklearn": ("sklearn",),
}
_MODULES = {"torch-fused": "torch", "torch-compile": "torch"}
_ONLY_AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "OPENBLAS_CORETYPE": "HASWELL",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
}
_PACKAGES = {"sklearn": "scikit-learn"}


@dataclass(frozen=True)
class Peer:
    """A column of the report.

    `module` is the library's namespace; lamina's and torch's are the ``torch`` of the shared code.
    """

    name: str
    module: Any
    version: str

    @property
    def torch_like(self) -> bool:
        return self.name == "lamina" or self.name.startswith("torch")

    @property
    def eager(self) -> bool:
        """Lamina or PyTorch as they come: the two that every case compares."""
        return self.name in ("lamina", "torch")

    def tensor(self, array: Any, requires_grad: bool = False) -> Any:
        """The array in the peer's own memory, aligned as the peer likes it."""
        if self.torch_like:
            made = self.module.tensor(array)
            return made.requires_grad_() if requires_grad else made
        if self.name == "jax":
            return self.module.numpy.asarray(array)
        return array.copy()

    def array(self, tensor: Any) -> Any:
        """A NumPy array with the tensor's values, copied."""
        if self.torch_like:
            return tensor.detach().numpy().copy()
        return importlib.import_module("numpy").array(tensor)


def prepare_environment(threads: int) -> None:
    """Say the number of threads to every library; only works before they are imported."""
    count = str(threads)
    for name in ("OMP", "OPENBLAS", "MKL", "LAMINA", "NUMEXPR", "VECLIB"):
        suffix = "_MAXIMUM_THREADS" if name == "VECLIB" else "_NUM_THREADS"
        os.environ[name + suffix] = count
    # XLA sizes its pool by these.
    os.environ["NPROC"] = os.environ["PJRT_NPROC"] = count
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    # They would choose another core's kernels than this CPU's.
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    # What a CPU without AVX-512 would run: nobody else has it then either.
    if os.environ.get("LAMINA_ISA") == "avx2":
        os.environ.update(_ONLY_AVX2)


def load(names: Iterable[str], threads: int) -> tuple[list[Peer], dict[str, str]]:
    """Import what is installed.

    Parameters
    ----------
    names : iterable of str
        Keys of `CHOICES`; Lamina always comes along.
    threads : int
        For every peer.

    Returns
    -------
    list of Peer, dict of str to str
        The peers, Lamina first, and for each one that is absent the reason.
    """
    found, absent = [], {}
    columns = ["lamina", *(column for name in names for column in CHOICES[name])]
    for column in columns:
        module_name = _MODULES.get(column, column)
        try:
            module = _import(module_name)
        except ImportError as reason:
            absent[column] = str(reason)
            continue
        if module_name in ("torch", "lamina"):
            module.set_num_threads(threads)
        package = _PACKAGES.get(module_name, module_name)
        found.append(Peer(column, module, importlib.metadata.version(package)))
    return found, absent


def _import(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module(name)
        if name == "jax":
            importlib.import_module("jax.numpy")
    return module
