"""The IDX format, in which MNIST and the sets that follow it are published."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING

from lamina import _core

if TYPE_CHECKING:
    from lamina import Tensor

__all__ = ["read_idx"]

# Code in the file -> NumPy's name of the type in the file, and of the one it becomes.
_TYPES = {
    0x08: ("u1", "uint8"),
    0x09: ("i1", "int32"),
    0x0B: (">i2", "int32"),
    0x0C: (">i4", "int32"),
    0x0D: (">f4", "float32"),
    0x0E: (">f8", "float64"),
}
_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 20


def read_idx(path: str | os.PathLike[str]) -> Tensor:
    r"""Read an IDX file, compressed with gzip or not.

    The format is described on Y. LeCun's page "The MNIST database of handwritten digits": two
    zero bytes, a byte for the type, a byte for the number of dimensions, their sizes as
    big-endian 32-bit integers, then the values in C order, big-endian too.

    Parameters
    ----------
    path : str or os.PathLike
        The file. Its first bytes tell whether it is compressed, not its name.

    Returns
    -------
    Tensor
        With the sizes that the file says. Type 0x08 becomes uint8, 0x0C int32, 0x0D float32,
        0x0E float64; int8 (0x09) and int16 (0x0B) become int32, which holds all their values.

    Raises
    ------
    OSError
        When the file cannot be read.
    ValueError
        When it is no IDX file, is damaged, or holds fewer or more values than its header says.
        No more memory is taken than the values that are really there need, whatever the header
        says.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "two-by-three.idx")
    >>> header = b"\0\0\x08\x02" b"\0\0\0\x02" b"\0\0\0\x03"  # uint8, two dimensions: 2, 3
    >>> _ = path.write_bytes(header + bytes([0, 1, 2, 253, 254, 255]))
    >>> read_idx(path).tolist()
    [[0, 1, 2], [253, 254, 255]]
    """
    with Path(path).open("rb") as file:
        packed = file.read(2) == _GZIP
        file.seek(0)
        if not packed:
            return _parse(file, path)
        try:
            with gzip.GzipFile(fileobj=file) as content:
                return _parse(content, path)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            reason = str(error)
            if reason.startswith("Not a gzipped file"):  # said of what comes after a whole one
                reason = "bytes follow the end of the gzip"
            raise ValueError(f"{path}: is a damaged gzip file ({reason})") from error


def _parse(file: BufferedIOBase, path: str | os.PathLike[str]) -> Tensor:
    import numpy

    magic = bytes(_read(file, 4))
    if len(magic) < 4 or magic[:2] != b"\0\0":
        start = magic.hex(" ") or "nothing"
        raise ValueError(
            f"{path}: is not an IDX file (starts with {start}; 00 00 TYPE DIMS is IDX)"
        )
    if magic[2] not in _TYPES:
        raise ValueError(
            f"{path}: is not an IDX file (type {magic[2]:02x} is none of {bytes(_TYPES).hex(' ')})"
        )
    in_file, in_memory = _TYPES[magic[2]]
    header = _read(file, 4 * magic[3])
    if not header or len(header) < 4 * magic[3]:
        reason = "ends within its header" if magic[3] else "has no dimension"
        raise ValueError(f"{path}: is not an IDX file ({reason})")
    sizes = [int(size) for size in numpy.frombuffer(header, ">u4")]
    expected = math.prod(sizes) * int(in_file[-1])
    data = _read(file, expected)
    if len(data) < expected or file.read(1):
        held = f"only {len(data)}" if len(data) < expected else "more"
        raise ValueError(
            f"{path}: sizes {sizes} make {expected} bytes of values, but it has {held}"
        )
    values = numpy.frombuffer(data, in_file).astype(in_memory, copy=False)
    try:
        return _core.from_numpy(values).reshape(sizes)
    except (ValueError, MemoryError) as error:  # too many dimensions; no values, and sizes beyond
        raise ValueError(f"{path}: {error}") from error


def _read(file: BufferedIOBase, size: int) -> bytearray:
    """At most `size` bytes; memory grows with what comes, not with what was asked for."""
    data = bytearray()
    while len(data) < size and (chunk := file.read(min(_CHUNK, size - len(data)))):
        data += chunk
    return data
