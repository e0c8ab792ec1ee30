"""From a tree of values to the bytes of a file."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, cast

from lamina import _core
from lamina.serialization._format import FORMAT, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Array = npt.NDArray[Any]

_MAX_DEPTH = 100
_INT64 = 2**63
_DTYPES = frozenset(
    f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64)
) - {"float8"} | {"bool"}


def serialize(obj: Any) -> bytes:
    import numpy
    from safetensors import numpy as safetensors

    encoder = _Encoder(numpy)
    value = encoder.encode(obj, (), [])
    entries, leaves = _layout(encoder.leaves)
    tree = json.dumps({"value": value, "leaves": leaves}, separators=(",", ":"))
    # One entry only: the library writes several in an order that varies from call to call.
    metadata = {"format": FORMAT, "digest": digest_of(tree, entries.items()), "tree": tree}
    return safetensors.save(entries, {"lamina": json.dumps(metadata)})


class _Encoder:
    """Turns a tree into JSON values; arrays become indices into `leaves`."""

    def __init__(self, numpy: Any) -> None:
        self.np = numpy
        self.leaves: list[tuple[str, str, Array]] = []  # kind, name, memory
        self._index: dict[int, int] = {}  # id of an array or tensor -> its leaf
        self._alive: list[Any] = []  # keeps those ids from being given to something new

    def encode(self, obj: Any, path: tuple[str, ...], parents: list[int]) -> Any:
        if obj is None or isinstance(obj, (bool, str)):
            return obj
        if isinstance(obj, (bytes, self.np.ndarray, self.np.generic, _core.Tensor)):
            return self._leaf(obj, path)
        if isinstance(obj, int):
            return int(obj) if -_INT64 <= obj < _INT64 else {"int": hex(obj)}
        if isinstance(obj, float):
            return float(obj) if math.isfinite(obj) else {"float": repr(float(obj))}
        if isinstance(obj, dict) or type(obj) in (list, tuple):
            return self._container(obj, path, parents)
        raise TypeError(
            f"save: {_place(path)} is a {type(obj).__name__}; only dicts, lists, tuples, numbers, "
            "strings, bytes, None, NumPy arrays and tensors can be saved"
            + (" (a module: save its state_dict())" if hasattr(obj, "state_dict") else "")
        )

    def _container(self, obj: Any, path: tuple[str, ...], parents: list[int]) -> Any:
        if id(obj) in parents:
            raise ValueError(f"save: {_place(path)} contains itself")
        if len(parents) >= _MAX_DEPTH:
            raise ValueError(f"save: {_place(path)} is nested more than {_MAX_DEPTH} levels deep")
        inner = [*parents, id(obj)]
        if isinstance(obj, dict):
            pairs = []
            for key, item in obj.items():
                if not isinstance(key, (str, int)) or isinstance(key, bool):
                    raise TypeError(
                        f"save: {_place(path)} has the key {key!r}, a {type(key).__name__}; "
                        "keys must be strings or integers"
                    )
                pairs.append(
                    [
                        str(key) if isinstance(key, str) else self.encode(int(key), path, inner),
                        self.encode(item, (*path, str(key)), inner),
                    ]
                )
            return {"dict": pairs}
        items = [self.encode(item, (*path, str(i)), inner) for i, item in enumerate(obj)]
        return {"tuple": items} if isinstance(obj, tuple) else items

    def _leaf(self, obj: Any, path: tuple[str, ...]) -> dict[str, int]:
        if isinstance(obj, _core.Tensor):
            kind, array = "tensor", cast("Array", obj.detach().cpu().numpy())
        elif isinstance(obj, bytes):
            kind, array = "bytes", cast("Array", self.np.frombuffer(obj, self.np.uint8))
        elif isinstance(obj, self.np.generic):
            kind, array = "scalar", cast("Array", self.np.asarray(obj))
        else:
            kind, array = "array", cast("Array", obj)
        masked = isinstance(obj, self.np.ma.MaskedArray)
        if masked or array.dtype.name not in _DTYPES:
            what = "a masked array" if masked else f"of dtype {array.dtype}"
            known = ", ".join(sorted(_DTYPES))
            raise TypeError(f"save: {_place(path)} is {what}; arrays must be one of {known}")
        if id(obj) not in self._index:
            self._index[id(obj)] = len(self.leaves)
            self._alive.append(obj)
            array = self.np.asarray(array, dtype=array.dtype.newbyteorder("="))
            # The library that writes the file accepts only names that are valid UTF-8.
            name = ".".join(path).encode("ascii", "backslashreplace").decode() or "value"
            self.leaves.append((kind, name, array))
        return {kind: self._index[id(obj)]}


def _place(path: tuple[str, ...]) -> str:
    return "obj" + "".join(f"[{part!r}]" for part in path)


def _layout(leaves: list[tuple[str, str, Array]]) -> tuple[dict[str, Array], list[Any]]:
    """Choose the file's entries: one for each stretch of memory that the leaves share.

    A leaf that shares with nobody is an entry of its own shape, referred to by name. Leaves
    over one stretch refer to its entry with shape, strides and offset in elements.
    """
    import numpy
    from numpy.lib.stride_tricks import as_strided

    entries: dict[str, Array] = {}
    references: list[Any] = [None] * len(leaves)

    def add(name: str, array: Array) -> str:
        unique, count = name, 1
        while unique in entries or unique == "__metadata__":
            count += 1
            unique = f"{name}#{count}"
        entries[unique] = array
        return unique

    for group in _sharing(leaves):
        first = group[0]
        _, name, array = leaves[first]
        if len(group) == 1:
            references[first] = [add(name, numpy.ascontiguousarray(array).reshape(array.shape))]
            continue
        bounds = [_bounds(leaves[i][2]) for i in group]
        low, high = min(b[0] for b in bounds), max(b[1] for b in bounds)
        size = array.dtype.itemsize
        whole = [
            i
            for i, b in zip(group, bounds, strict=True)
            if b == (low, high) and leaves[i][2].flags.c_contiguous
        ]
        if whole:
            entry = add(leaves[whole[0]][1], leaves[whole[0]][2])
        else:
            lowest = numpy.atleast_1d(leaves[group[[b[0] for b in bounds].index(low)]][2])
            corner = [slice(0, 1) if s >= 0 else slice(n - 1, n) for n, s in _steps(lowest)]
            flat = as_strided(lowest[tuple(corner)], ((high - low) // size,), (size,))
            entry = add(f"{name}.storage", flat.copy())
        for i in group:
            member = leaves[i][2]
            offset = (_address(member) - low) // size
            strides = [s // size for s in member.strides]
            references[i] = [entry, list(member.shape), strides, offset]
    return entries, references


def _sharing(leaves: list[tuple[str, str, Array]]) -> Iterator[list[int]]:
    """Group the leaves whose memory overlaps, each in the leaves' order."""
    spans = sorted(
        (*_bounds(array), index) for index, (_, _, array) in enumerate(leaves) if array.size
    )
    groups: list[list[int]] = [[i] for i, (_, _, array) in enumerate(leaves) if not array.size]
    end = -1
    for low, high, index in spans:
        if low < end:
            groups[-1].append(index)
        else:
            groups.append([index])
        end = max(end, high)
    for group in groups:
        first_kind, _, first = leaves[group[0]]
        # A tensor over an array's memory, or bytes seen as two dtypes: copies, one each.
        alike = all(
            leaves[i][0] == first_kind
            and leaves[i][2].dtype == first.dtype
            and all(s % first.dtype.itemsize == 0 for s in leaves[i][2].strides)
            for i in group
        )
        yield from [sorted(group)] if alike else ([i] for i in sorted(group))


def _steps(array: Array) -> list[tuple[int, int]]:
    return list(zip(array.shape, array.strides, strict=True))


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def _bounds(array: Array) -> tuple[int, int]:
    """First byte and one past the last byte that `array` (not empty) reaches."""
    start = _address(array)
    low = start + sum((n - 1) * s for n, s in _steps(array) if s < 0)
    high = start + sum((n - 1) * s for n, s in _steps(array) if s > 0)
    return low, high + array.dtype.itemsize
