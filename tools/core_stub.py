"""Write python/lamina/_core.pyi from what the extension module says it binds.

With ``--check``, write nothing and exit with 1 if the file is not up to date.
"""

from __future__ import annotations

import sys
from pathlib import Path

STUB = Path(__file__).resolve().parents[1] / "python" / "lamina" / "_core.pyi"
FUNCTION, METHOD = 1, 2
WIDTH = 100

HEADER = """\
# Written by tools/core_stub.py; do not edit.
# ruff: noqa: N801, N802, N803

import builtins
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias, overload

from typing_extensions import Self

_Number: TypeAlias = builtins.float
_Ints: TypeAlias = builtins.int | Sequence[builtins.int]

class dtype:
    @property
    def is_floating_point(self) -> builtins.bool: ...
    @property
    def itemsize(self) -> builtins.int: ...

class device:
    def __init__(self, type: builtins.str | device, index: builtins.int | None = None) -> None: ...
    @property
    def type(self) -> builtins.str: ...
    @property
    def index(self) -> builtins.int | None: ...

class Size(tuple[builtins.int, ...]):
    def numel(self) -> builtins.int: ...

class Node:
    def name(self) -> builtins.str: ...
    @property
    def next_functions(self) -> tuple[tuple[Node | None, builtins.int], ...]: ...

class _SavedList:
    def unpack(self) -> tuple[Any, ...]: ...

class _Checkpoint:
    def __init__(self, again: Callable[[], object]) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *args: object) -> None: ...

def _save(name: builtins.str, tensors: Sequence[Tensor | None]) -> _SavedList: ...
def _record_function(
    name: builtins.str,
    run: Callable[..., Any],
    context: object,
    arguments: tuple[Any, ...],
    outputs: tuple[Any, ...],
    to_save: tuple[Any, ...],
    constant: tuple[Tensor, ...],
    dirty: tuple[Tensor, ...],
    zeros: builtins.bool,
) -> tuple[tuple[Any, ...], _SavedList]: ...
def _look_for_anomalies(
    on: builtins.bool,
    check_values: builtins.bool,
    place: Callable[[builtins.bool], list[tuple[builtins.str, builtins.str]]],
) -> None: ...
def _looks_for_anomalies() -> tuple[builtins.bool, builtins.bool]: ...

class RemovableHandle:
    def remove(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *args: object) -> None: ...

class values_and_indices(NamedTuple):
    values: Tensor
    indices: Tensor

class min_and_max(NamedTuple):
    min: Tensor
    max: Tensor

class Generator:
    def __init__(self, device: builtins.str | device = "cpu") -> None: ...
    def manual_seed(self, seed: builtins.int) -> Self: ...
    def seed(self) -> builtins.int: ...
    def initial_seed(self) -> builtins.int: ...
    def get_state(self) -> Tensor: ...
    def set_state(self, new_state: Tensor) -> None: ...
    @property
    def device(self) -> _device: ...

class qr_result(NamedTuple):
    Q: Tensor
    R: Tensor

class LinAlgError(RuntimeError): ...

_dtype: TypeAlias = dtype
_device: TypeAlias = device
_Dtype: TypeAlias = dtype | type[builtins.float] | type[builtins.int] | type[builtins.bool]
_Device: TypeAlias = device | builtins.str

__version__: builtins.str
default_generator: Generator
"""

DTYPES = ["bool", "uint8", "int32", "int64", "float32", "float64", "float", "double", "long", "int"]

# What the Tensor has beside the bound methods: operators and attributes.
PROPERTIES = {
    "shape": "Size",
    "dtype": "_dtype",
    "device": "_device",
    "ndim": "builtins.int",
    "itemsize": "builtins.int",
    "nbytes": "builtins.int",
    "is_cuda": "builtins.bool",
    "grad_fn": "Node | None",
    "is_leaf": "builtins.bool",
    "retains_grad": "builtins.bool",
    "T": "Tensor",
    "mT": "Tensor",
    "_version": "builtins.int",
}
ATTRIBUTES = {"requires_grad": "builtins.bool", "grad": "Tensor | None", "data": "Tensor"}
BINARY = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor"]
BINARY += ["lshift", "rshift"]
OTHERS = """\
    def __new__(cls, *data: Any) -> Self: ...
    def __matmul__(self, other: Tensor) -> Tensor: ...
    def __eq__(self, other: object) -> Tensor: ...  # type: ignore[override]
    def __ne__(self, other: object) -> Tensor: ...  # type: ignore[override]
    def __hash__(self) -> builtins.int: ...
    def __neg__(self) -> Tensor: ...
    def __pos__(self) -> Self: ...
    def __abs__(self) -> Tensor: ...
    def __invert__(self) -> Tensor: ...
    def __bool__(self) -> builtins.bool: ...
    def __float__(self) -> builtins.float: ...
    def __int__(self) -> builtins.int: ...
    def __index__(self) -> builtins.int: ...
    def __len__(self) -> builtins.int: ...
    def __iter__(self) -> Iterator[Tensor]: ...
    def __contains__(self, value: object) -> builtins.bool: ...
    def __getitem__(self, index: Any) -> Tensor: ...
    def __setitem__(self, index: Any, value: Any) -> None: ...
    def __buffer__(self, flags: builtins.int, /) -> memoryview: ...
"""

TYPES = {
    "Tensor": "Tensor",
    "operand": "Tensor | _Number",
    "number": "_Number",
    "float": "builtins.float",
    "int": "builtins.int",
    "bool": "builtins.bool",
    "str": "builtins.str",
    "dtype": "_Dtype",
    "device": "_Device",
    "int[]": "_Ints",
    "generator": "Generator",
    "Tensor[]": "Sequence[Tensor]",
    "Tensor?[]": "Sequence[Tensor | None]",
    "object": "Any",
}
RESULTS = {
    "bool": "builtins.bool",
    "int": "builtins.int",
    "float": "builtins.float",
    "str": "builtins.str",
    "dtype": "_dtype",
    "object": "Any",
    "Size | int": "Any",
    "dict[str, int]": "dict[builtins.str, builtins.int]",
    "dict[str, Any]": "dict[builtins.str, Any]",
    "list[tuple[str, int, str]]": "list[tuple[builtins.str, builtins.int, builtins.str]]",
}
# A parameter that Python has no way to spell.
RENAMED = {"from": "from_"}


def parameter(text: str) -> tuple[bool, str, str, str]:
    """Split into: whether it is variadic, its name, type and default (empty: none)."""
    kind, _, name = text.partition(" ")
    name, _, default = name.partition("=")
    variadic = kind.startswith("*")
    kind = kind.removeprefix("*")
    optional = kind.endswith("?")
    annotation = TYPES[kind.removesuffix("?")] + (" | None" if optional else "")
    return variadic, RENAMED.get(name, name), annotation, default.replace("'", '"')


def definitions(line: str, method: bool, indent: str) -> list[str]:
    """Make the stubs for one line of a signature; loose arguments make two."""
    head, _, result = line.partition(" -> ")
    name, _, inside = head.partition("(")
    name = name.replace(".", "_")
    result = RESULTS.get(result, result) or "Tensor"
    parts = [part.strip() for part in inside.rstrip(")").split(",") if part.strip()]
    if method:
        parts = parts[1:]
    forms: list[list[str]] = [["self"] if method else []]
    for part in parts:
        if part == "*":
            for form in forms:
                if not any(item.startswith("*") for item in form):
                    form.append("*")
            continue
        variadic, argument, annotation, default = parameter(part)
        item = f"{argument}: {annotation}" + (f" = {default}" if default else "")
        if not variadic:
            for form in forms:
                form.append(item)
            continue
        element = "Tensor" if "Tensor" in annotation else "builtins.int"
        sequence = [*forms[0], f"{argument}: Sequence[{element}]"]
        forms = [[*forms[0], f"*{argument}: {element}"], sequence]
    return [laid_out(f"{indent}def {name}(", form, f") -> {result}: ...") for form in forms]


def laid_out(head: str, items: list[str], tail: str) -> str:
    """Break a definition that is too long into lines, as the formatter does."""
    indent = " " * (len(head) - len(head.lstrip()))
    items = [item.replace("hook: Any", "hook: Callable[[Tensor], Tensor | None]") for item in items]
    whole = head + ", ".join(items) + tail
    if len(whole) <= WIDTH:
        return whole
    inner = f"{indent}    {', '.join(items)}"
    if len(inner) > WIDTH:
        inner = "\n".join(f"{indent}    {item}," for item in items)
    return f"{head}\n{inner}\n{indent}{tail}"


def block(lines: list[str], method: bool) -> list[str]:
    """Make all stubs of one name, as overloads where there are several."""
    indent = "    " if method else ""
    found = [stub for line in lines for stub in definitions(line, method, indent)]
    if len(found) == 1:
        return found
    return [text for stub in found for text in (f"{indent}@overload", stub)]


def tensor_class(methods: dict[str, list[str]]) -> list[str]:
    """Make the stub of Tensor."""
    out = ["class Tensor:"]
    for name, annotation in PROPERTIES.items():
        out += ["    @property", f"    def {name}(self) -> {annotation}: ..."]
    out += [f"    {name}: {annotation}" for name, annotation in ATTRIBUTES.items()]
    for name in BINARY:
        for form in ("", "r", "i"):
            result = "Self" if form == "i" else "Tensor"
            out.append(f"    def __{form}{name}__(self, other: Tensor | _Number) -> {result}: ...")
    for name in ("lt", "le", "gt", "ge"):
        out.append(f"    def __{name}__(self, other: Tensor | _Number) -> Tensor: ...")
    out += OTHERS.splitlines()
    for name in sorted(methods):
        out += block(methods[name], True)
    return out


def text() -> str:
    """Make the whole stub."""
    from lamina import _core

    functions: dict[str, list[str]] = {}
    methods: dict[str, list[str]] = {}
    for signature, where, _ in _core._signatures():
        lines = signature.split("\n")
        name = lines[0].partition("(")[0].replace(".", "_")
        if where & FUNCTION:
            functions.setdefault(name, []).extend(lines)
        if where & METHOD:
            methods.setdefault(name, []).extend(lines)
    out = [HEADER + "\n".join(f"{name}: _dtype" for name in DTYPES), ""]
    out += tensor_class(methods)
    out.append("")
    for name in sorted(functions):
        out += block(functions[name], False)
    return "\n".join(out) + "\n"


def main() -> int:
    """Write the stub, or check it."""
    new = text()
    if "--check" in sys.argv[1:]:
        if STUB.read_text() == new:
            return 0
        print(f"{STUB.name} is not up to date; run python tools/core_stub.py", file=sys.stderr)
        return 1
    STUB.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
