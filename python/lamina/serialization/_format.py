"""What writing and reading a file agree on."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    Array = npt.NDArray[Any]

FORMAT = "1"


class DamagedError(Exception):
    """The bytes are not what `save` wrote; the text says in what way."""


def digest_of(tree: str, entries: Iterable[tuple[str, Array]]) -> str:
    hashed = hashlib.sha256()
    hashed.update(f"{FORMAT}\n{len(tree)}\n{tree}\n".encode())
    for name, array in sorted(entries):
        hashed.update(json.dumps([name, array.dtype.name, array.shape]).encode() + b"\n")
        hashed.update(array.reshape(-1).view("uint8").data)
    return hashed.hexdigest()
