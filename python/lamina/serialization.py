"""Saving and loading trees of plain values, arrays and tensors, without running code.

A file is an ordinary safetensors file: any safetensors reader lists its tensors. Its metadata
holds one text, ``lamina``: JSON with a format number, a tree (the containers and plain values,
with references to the tensors; JSON in JSON) and a digest (SHA-256 over the tree and every
tensor's name, dtype, shape and bytes). `load` returns what was saved or raises `ValueError`;
it never unpickles and never returns a part.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from lamina import _core
from lamina._files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = ["load", "save"]

_FORMAT = "1"
_MAX_DEPTH = 100
_INT64 = 2**63
_DTYPES = frozenset(
    f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64)
) - {"float8"} | {"bool"}


def save(obj: Any, f: str | os.PathLike[str] | BinaryIO) -> None:
    """Write a tree of values to a file, atomically.

    Parameters
    ----------
    obj : Any
        Any nesting (up to 100 levels) of dicts with `str` or `int` keys, lists, tuples,
        `int`, `float`, `bool`, `str`, `None`, NumPy arrays and scalars, and tensors. Tensors
        are saved as data: detached, from any device. Tensors that share storage (tied
        weights, views) share it again after `load`; a tensor met twice comes back as one.
        A subclass of `dict` comes back as a `dict`.
    f : str, os.PathLike or binary file
        Where to write. A path is replaced in one step: after a crash it holds the old file
        or the new one.

    Raises
    ------
    TypeError
        When a value is of another type; the message says where in the tree it is.
    ValueError
        When a container contains itself or the nesting is too deep.
    OSError
        When the file cannot be written.

    Examples
    --------
    >>> import os, tempfile, lamina
    >>> path = os.path.join(tempfile.mkdtemp(), "state.safetensors")
    >>> lamina.save({"step": 7, "weight": lamina.ones(2, 3), 0: (1.5, None)}, path)
    >>> lamina.load(path)["step"]
    7
    """
    data = _serialize(obj)
    if hasattr(f, "write"):
        f.write(data)
    else:
        atomic_write(f, data)


def load(
    f: str | os.PathLike[str] | BinaryIO,
    map_location: Any = None,
    *,
    weights_only: bool | None = None,
) -> Any:
    """Read what `save` wrote, after checking all of it.

    Parameters
    ----------
    f : str, os.PathLike or binary file
        The file to read.
    map_location : device, optional
        Where to put the tensors. Default: the CPU.
    weights_only : bool, optional
        Accepted so that PyTorch scripts run unchanged. Loading never runs code, whatever it is.

    Returns
    -------
    Any
        The tree that was saved.

    Raises
    ------
    ValueError
        When the file is cut, damaged, or was not written by `lamina.save`. The message names
        the file.
    OSError
        When the file cannot be read.

    Examples
    --------
    >>> import io, lamina
    >>> buffer = io.BytesIO()
    >>> lamina.save([1, "two", lamina.zeros(3)], buffer)
    >>> _ = buffer.seek(0)
    >>> lamina.load(buffer)[:2]
    [1, 'two']
    """
    if hasattr(f, "read"):
        name, data = str(getattr(f, "name", "the file object")), f.read()
    else:
        name = os.fspath(f)
        with Path(name).open("rb") as file:
            data = file.read()
    try:
        tree, arrays = _verified(data)
        return _Decoder(tree, arrays, map_location).value()
    except _DamagedError as error:
        raise ValueError(f"load: {name}: {error}") from None


class _DamagedError(Exception):
    """The bytes are not what `save` wrote; the text says in what way."""


# ---------------------------------------------------------------------------------------------
# Writing


def _serialize(obj: Any) -> bytes:
    import numpy
    from safetensors import numpy as safetensors

    encoder = _Encoder(numpy)
    value = encoder.encode(obj, (), [])
    entries, leaves = _layout(encoder.leaves)
    tree = json.dumps({"value": value, "leaves": leaves}, separators=(",", ":"))
    # One entry only: the library writes several in an order that varies from call to call.
    metadata = {"format": _FORMAT, "digest": _digest(tree, entries.items()), "tree": tree}
    return safetensors.save(entries, {"lamina": json.dumps(metadata)})


def _digest(tree: str, entries: Iterable[tuple[str, Array]]) -> str:
    digest = hashlib.sha256()
    digest.update(f"{_FORMAT}\n{len(tree)}\n{tree}\n".encode())
    for name, array in sorted(entries):
        digest.update(json.dumps([name, array.dtype.name, array.shape]).encode() + b"\n")
        digest.update(array.reshape(-1).view("uint8").data)
    return digest.hexdigest()


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
        if isinstance(obj, (self.np.ndarray, self.np.generic, _core.Tensor)):
            return self._leaf(obj, path)
        if isinstance(obj, int):
            return int(obj) if -_INT64 <= obj < _INT64 else {"int": hex(obj)}
        if isinstance(obj, float):
            return float(obj) if math.isfinite(obj) else {"float": repr(float(obj))}
        if isinstance(obj, dict) or type(obj) in (list, tuple):
            return self._container(obj, path, parents)
        raise TypeError(
            f"save: {_place(path)} is a {type(obj).__name__}; only dicts, lists, tuples, numbers, "
            "strings, None, NumPy arrays and tensors can be saved"
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


# ---------------------------------------------------------------------------------------------
# Reading


def _verified(data: bytes) -> tuple[str, dict[str, Array]]:
    """Return the tree and the entries once format and digest are right."""
    from safetensors import numpy as safetensors

    size = len(data)
    header_size = int.from_bytes(data[:8], "little")
    if size < 8 or header_size > size - 8:
        raise _DamagedError(f"cut or not a lamina file ({size} bytes, ends inside its header)")
    try:
        header = json.loads(data[8 : 8 + header_size])
        metadata = json.loads(header["__metadata__"]["lamina"])
        version, tree, digest = (metadata[key] for key in ("format", "tree", "digest"))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _DamagedError("damaged, or not written by lamina.save") from None
    if version != _FORMAT:
        raise _DamagedError(f"written in format {version!r}; this version reads format {_FORMAT!r}")
    try:
        arrays = safetensors.load(data)
    except Exception as error:  # its error type is not part of the library's documented API
        raise _DamagedError(f"cut or damaged ({error})") from None
    if not isinstance(tree, str) or _digest(tree, arrays.items()) != digest:
        raise _DamagedError("damaged: its content does not match its digest")
    return tree, arrays


class _Decoder:
    """Rebuilds the tree; a digest that matches a malformed tree still ends in `_DamagedError`."""

    def __init__(self, tree: str, arrays: dict[str, Array], map_location: Any) -> None:
        self._text = tree
        self._tree: Any = None
        self._arrays = arrays
        self._device = map_location
        self._leaves: dict[int, Any] = {}
        self._bases: dict[str, Any] = {}

    def value(self) -> Any:
        try:
            self._tree = json.loads(self._text)
            return self._decode(self._tree["value"])
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            raise _DamagedError(f"its tree is malformed ({error})") from None

    def _decode(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self._decode(item) for item in node]
        if not isinstance(node, dict):
            return node
        ((kind, content),) = node.items()
        if kind == "dict":
            return {self._decode(key): self._decode(item) for key, item in content}
        if kind == "tuple":
            return tuple(self._decode(item) for item in content)
        if kind == "int":
            return int(content, 16)
        if kind == "float":
            return float(content)
        if kind not in ("tensor", "array", "scalar"):
            raise ValueError(f"unknown kind {kind!r}")
        if content not in self._leaves:
            self._leaves[content] = self._leaf(kind, self._tree["leaves"][content])
        return self._leaves[content]

    def _leaf(self, kind: str, reference: list[Any]) -> Any:
        name, *view = reference
        base = self._base(kind, name)
        if kind == "tensor":
            return base.as_strided(*view) if view else base
        if not view:
            return base[()] if kind == "scalar" else base
        shape, strides, offset = view
        return _strided(base, shape, strides, offset)

    def _base(self, kind: str, name: str) -> Any:
        if name not in self._bases:
            array = self._arrays[name]
            if not array.flags.writeable:
                array = array.copy()
            if kind == "tensor":
                tensor = _core.from_numpy(array)
                self._bases[name] = tensor if self._device is None else tensor.to(self._device)
            else:
                self._bases[name] = array
        return self._bases[name]


def _strided(base: Array, shape: list[int], strides: list[int], offset: int) -> Array:
    from numpy.lib.stride_tricks import as_strided

    steps = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
    low = offset + sum(step for step in steps if step < 0)
    high = offset + sum(step for step in steps if step > 0)
    if min(shape, default=1) < 1 or low < 0 or high >= base.size:
        raise ValueError("a view reaches outside its storage")
    start = base.reshape(-1)[offset : offset + 1]
    return as_strided(start, tuple(shape), tuple(s * base.dtype.itemsize for s in strides))
