"""From the bytes of a file to the tree of values, once all of it is verified."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lamina import _core
from lamina.serialization._format import FORMAT, DamagedError, digest_of

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


def verified(data: bytes) -> tuple[str, dict[str, Array]]:
    """Return the tree and the entries once format and digest are right."""
    from safetensors import numpy as safetensors

    size = len(data)
    header_size = int.from_bytes(data[:8], "little")
    if size < 8 or header_size > size - 8:
        raise DamagedError(f"cut or not a lamina file ({size} bytes, ends inside its header)")
    try:
        header = json.loads(data[8 : 8 + header_size])
        metadata = json.loads(header["__metadata__"]["lamina"])
        version, tree, digest = (metadata[key] for key in ("format", "tree", "digest"))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DamagedError("damaged, or not written by lamina.save") from None
    if version != FORMAT:
        raise DamagedError(f"written in format {version!r}; this version reads format {FORMAT!r}")
    try:
        arrays = safetensors.load(data)
    except Exception as error:  # its error type is not part of the library's documented API
        raise DamagedError(f"cut or damaged ({error})") from None
    if not isinstance(tree, str) or digest_of(tree, arrays.items()) != digest:
        raise DamagedError("damaged: its content does not match its digest")
    return tree, arrays


class Decoder:
    """Rebuilds the tree; a digest that matches a malformed tree still ends in `DamagedError`."""

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
            raise DamagedError(f"its tree is malformed ({error})") from None

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
        if kind not in ("tensor", "array", "scalar", "bytes"):
            raise ValueError(f"unknown kind {kind!r}")
        if content not in self._leaves:
            self._leaves[content] = self._leaf(kind, self._tree["leaves"][content])
        return self._leaves[content]

    def _leaf(self, kind: str, reference: list[Any]) -> Any:
        name, *view = reference
        if kind == "bytes":
            return self._arrays[name].tobytes()
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
