"""Compares PyTorch's public names with Lamina's, and writes it into docs/pytorch_names.md.

`python tools/torch_names.py`, where PyTorch is installed. The test suite holds the page to Lamina
as it is (tests/python/test_docs.py), without PyTorch.
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "pytorch_names.md"
START, END = "<!-- names: start -->", "<!-- names: end -->"
SPACES = (
    "nn",
    "nn.functional",
    "nn.init",
    "nn.utils",
    "nn.utils.rnn",
    "optim",
    "optim.lr_scheduler",
    "optim.swa_utils",
    "Tensor",
    "functions",
    "linalg",
    "special",
    "autograd",
    "autograd.functional",
    "utils.data",
    "distributions",
)

# Not counted: parts of other functions, entry points of backends and of compilers, texts.
INTERNAL = re.compile(
    "|".join(
        (
            r"^(cudnn|miopen|mkldnn|fbgemm|native|fused|sym|unsafe|batch_norm|sparse_resize)_",
            r"^(has_torch_function|handle_torch_function|boolean_dispatch|assert_int|norm_except)",
            r"^(Broadcasting|Scaling|Swizzle|common_|factory_|GraphExecGroup|NestedIOFunction)",
            r"(_copy|_with_indices|_notes)$|_backward|datapipe|DataPipe|DataChunk|_determin|^runtime_",
            r"^(grid_sampler|affine_grid_generator|embedding_renorm|constant_pad_nd|convolution$)",
            r"^(slice_inverse|sum_to_size|const_data_ptr|hash_tensor|module_load|as_subclass)$",
            r"^(argument_validation|non_deterministic|thread_safe_generator|alias)$",
        )
    )
)
# What a missing name is about, as far as the name says.
REASONS = (
    ("three dimensions", r"3d(_|$)"),
    ("lazy parameters", r"^Lazy|^Uninit"),
    (
        "complex numbers",
        r"complex|conj|^(real|imag|angle|polar|H|mH|adjoint|c(float|double|half)|isreal)$",
    ),
    (
        "sparse, quantized and nested tensors",
        r"sparse|quantize|qparams|^q_|^qscheme|padded|nested|coalesce|dense|indices|int_repr|smm$",
    ),
    ("in place", r"_$"),
)


def public(space: str) -> list[str]:
    """PyTorch's names of a space: what it lists, else its functions and classes."""
    import torch

    if space == "Tensor":
        names = dir(torch.Tensor)
    elif space == "functions":
        names = dir(torch._C._VariableFunctions)
        elsewhere = set(dir(torch.nn.functional))
        names = [n for n in names if n not in elsewhere]
    else:
        module = import_module(f"torch.{space}")
        names = getattr(module, "__all__", None) or [
            name
            for name, thing in vars(module).items()
            if callable(thing) and str(getattr(thing, "__module__", "")).startswith("torch")
        ]
        if space == "nn.functional":
            names = [n for n in names if not inspect.isclass(getattr(module, n))]
    found = {n for n in names if not n.startswith("_") and not INTERNAL.search(n)}
    return sorted(found, key=lambda name: (name.lower(), name))


def home(space: str) -> object:
    """What has Lamina's names of a space."""
    lamina = import_module("lamina")
    if space == "Tensor":
        return lamina.Tensor
    return lamina if space == "functions" else import_module(f"lamina.{space}")


def reason(name: str) -> str:
    """Why a name is missing, as far as it says."""
    return next((why for why, pattern in REASONS if re.search(pattern, name)), "others")


def code(names: list[str]) -> str:
    """Names as Markdown."""
    return " ".join(f"`{name}`" for name in names)


def section(space: str) -> str:
    """One space: what is here, and what is missing by reason."""
    names, there = public(space), home(space)
    here = [name for name in names if hasattr(there, name)]
    missing: dict[str, list[str]] = {}
    for name in names:
        if name not in here:
            missing.setdefault(reason(name), []).append(name)
    title = "Functions of tensors: torch" if space == "functions" else f"torch.{space}"
    lines = [f"## {title}", "", f"Here, {len(here)} of {len(names)}: {code(here)}"]
    if missing:
        lines += ["", "Missing:", ""]
        order = [why for why, _ in REASONS] + ["others"]
        for why in sorted(missing, key=order.index):
            lines.append(f"- {why}: {code(missing[why])}")
    return "\n".join(lines)


def main() -> None:
    """Write the page's part between the marks."""
    import torch

    text = PAGE.read_text(encoding="utf-8")
    before, after = text.split(START)[0], text.split(END)[1]
    version = torch.__version__.split("+")[0]
    head = f"PyTorch {version}; `python tools/torch_names.py` writes these lists."
    middle = "\n\n".join([head, *(section(space) for space in SPACES)])
    PAGE.write_text(f"{before}{START}\n\n{middle}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
