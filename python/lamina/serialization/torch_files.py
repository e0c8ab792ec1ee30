"""PyTorch's own files: weights travel both ways, without PyTorch and without running code."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina._files import atomic_write
from lamina.serialization._format import DamagedError

if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = ["load_torch", "save_torch"]


def load_torch(f: str | os.PathLike[str] | BinaryIO) -> Any:
    """Read a file that ``torch.save`` wrote, such as a ``state_dict``, without PyTorch.

    PyTorch's files are pickles, which can run any program when they are read. This reader runs
    none: it knows the opcodes and names that build dicts, lists, tuples, sets, numbers, strings,
    bytes, tensors and parameters, and refuses every other by name. Both containers are read, the
    zip archive and the older row of pickles.

    Tensors keep sizes, strides and offsets, and share memory where they did. A dtype that
    Lamina lacks becomes the smallest that holds all its values: float16 and bfloat16 become
    float32, int8 and int16 become int32. Other dtypes (complex, quantized, sparse) are refused.
    Everything is on the CPU. What PyTorch notes on a state_dict (``_metadata``) is dropped.

    Parameters
    ----------
    f : str, os.PathLike or binary file
        The file to read.

    Returns
    -------
    Any
        What was saved.

    Raises
    ------
    ValueError
        When the file is cut, damaged, big-endian or not PyTorch's, or holds anything but plain
        values and tensors. The message names the file and what was refused.
    OSError
        When the file cannot be read.

    Examples
    --------
    >>> import os, tempfile, lamina
    >>> path = os.path.join(tempfile.mkdtemp(), "model.pt")
    >>> lamina.save_torch(lamina.nn.Linear(3, 2).state_dict(), path)
    >>> {name: list(tensor.shape) for name, tensor in lamina.load_torch(path).items()}
    {'weight': [2, 3], 'bias': [2]}
    """
    if hasattr(f, "read"):
        name, data = str(getattr(f, "name", "the file object")), f.read()
        if not isinstance(data, bytes):
            raise TypeError(
                f"load_torch: {name}: reading gave {type(data).__name__}, not bytes; "
                "open it in mode 'rb'"
            )
        return _read(name, BytesIO(data), len(data))
    name = os.fspath(f)
    with Path(name).open("rb") as file:
        return _read(name, file, os.fstat(file.fileno()).st_size)


def _read(name: str, file: BinaryIO, size: int) -> Any:
    from lamina.serialization._torch_read import read_legacy, read_zip

    start = file.read(4)
    file.seek(0)
    try:
        if start[:2] == b"PK":
            return read_zip(file, size)
        if start[:1] == b"\x80":
            return read_legacy(file, size)
        raise DamagedError(
            f"not a file of torch.save ({size} bytes, begins with {start!r}); lamina.load reads "
            "what lamina.save wrote"
        )
    except DamagedError as error:
        raise ValueError(f"load_torch: {name}: {error}") from None


def save_torch(obj: Any, f: str | os.PathLike[str] | BinaryIO) -> None:
    """Write a file that ``torch.load(f, weights_only=True)`` reads, such as a ``state_dict``.

    Parameters
    ----------
    obj : Any
        Any nesting (up to 100 levels) of dicts with `str` or number keys, lists, tuples,
        `int`, `float`, `bool`, `str`, `None` and tensors. Tensors are saved from any device;
        parameters stay parameters, and what shares memory shares it again.
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
    >>> import io, lamina
    >>> buffer = io.BytesIO()
    >>> lamina.save_torch({"step": 7, "weight": lamina.ones(2)}, buffer)
    >>> _ = buffer.seek(0)
    >>> lamina.load_torch(buffer)["weight"].tolist()
    [1.0, 1.0]
    """
    from lamina.serialization._torch_write import serialize_torch

    data = serialize_torch(obj)
    if hasattr(f, "write"):
        f.write(data)
    else:
        atomic_write(f, data)
