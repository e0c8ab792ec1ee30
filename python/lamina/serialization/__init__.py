"""Saving and loading trees of plain values, arrays and tensors, without running code.

A file is an ordinary safetensors file: any safetensors reader lists its tensors. Its metadata
holds one text, ``lamina``: JSON with a format number, a tree (the containers and plain values,
with references to the tensors; JSON in JSON) and a digest (SHA-256 over the tree and every
tensor's name, dtype, shape and bytes). `load` returns what was saved or raises `ValueError`;
it never unpickles and never returns a part.

`load_torch` and `save_torch` read and write PyTorch's own files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina._files import atomic_write
from lamina.serialization._format import DamagedError
from lamina.serialization._read import Decoder, verified
from lamina.serialization._write import serialize
from lamina.serialization.torch_files import load_torch, save_torch

if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = ["load", "load_torch", "save", "save_torch"]


def save(obj: Any, f: str | os.PathLike[str] | BinaryIO) -> None:
    """Write a tree of values to a file, atomically.

    Parameters
    ----------
    obj : Any
        Any nesting (up to 100 levels) of dicts with `str` or `int` keys, lists, tuples,
        `int`, `float`, `bool`, `str`, `bytes`, `None`, NumPy arrays and scalars, and tensors.
        Tensors are saved as data: detached, from any device. Tensors that share storage (tied
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
    data = serialize(obj)
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
    if not isinstance(data, bytes):
        raise TypeError(
            f"load: {name}: reading gave {type(data).__name__}, not bytes; open it in mode 'rb'"
        )
    try:
        tree, arrays = verified(data)
        return Decoder(tree, arrays, map_location).value()
    except DamagedError as error:
        # How torch.save begins: a zip archive, or before PyTorch 1.6 a pickle.
        torch = data.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"))
        hint = "; lamina.load_torch reads what torch.save wrote" if torch else ""
        raise ValueError(f"load: {name}: {error}{hint}") from None
